//! CreateMultipartUpload, UploadPart, AbortMultipartUpload.

use super::{empty_reply, etag_value, header_value, part_number, push_checksums, refusal, xml_reply};
use crate::body::UploadPlan;
use crate::body::checksum::{Algorithm, UPLOAD_ALGORITHM, UPLOAD_TYPE};
use crate::error::{ErrorCode, S3Error};
use crate::gateway::{Call, CallBody, Reply, S3Gateway};
use crate::headers;
use crate::xml::XmlWriter;
use http::header::ETAG;
use http::{HeaderMap, StatusCode};
use ringfort_object::{Attributes, PartOptions, UploadId};

/// The checksum that an upload was begun with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UploadChecksum {
    pub(super) algorithm: Algorithm,
    /// Over the parts' checksums, not over the bytes.
    pub(super) composite: bool,
}

impl UploadChecksum {
    /// What an upload's attributes say.
    pub(super) fn of(attributes: &Attributes) -> Option<Self> {
        let get = |wanted: &str| {
            attributes.checksums.iter().find(|(name, _)| name == wanted).map(|(_, v)| v.as_str())
        };
        let algorithm = Algorithm::from_stored(get(UPLOAD_ALGORITHM)?)?;
        Some(Self { algorithm, composite: get(UPLOAD_TYPE) == Some("COMPOSITE") })
    }

    pub(super) const fn type_name(self) -> &'static str {
        if self.composite { "COMPOSITE" } else { "FULL_OBJECT" }
    }

    fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, S3Error> {
        let kind = headers::text(headers, "x-amz-checksum-type")?;
        let Some(name) = headers::text(headers, "x-amz-checksum-algorithm")? else {
            return match kind {
                None => Ok(None),
                Some(_) => Err(S3Error::with(
                    ErrorCode::InvalidRequest,
                    "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
                )),
            };
        };
        let algorithm = Algorithm::from_name(name).ok_or_else(|| {
            S3Error::with(
                ErrorCode::InvalidRequest,
                "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, \
                 CRC32C, CRC64NVME, SHA1, SHA256]",
            )
        })?;
        let composite = match kind {
            None => algorithm != Algorithm::Crc64Nvme,
            Some("COMPOSITE") => true,
            Some("FULL_OBJECT") => false,
            Some(_) => {
                return Err(S3Error::with(
                    ErrorCode::InvalidRequest,
                    "Value for x-amz-checksum-type header is invalid.",
                ));
            }
        };
        let possible = if composite { algorithm != Algorithm::Crc64Nvme } else { algorithm.combines() };
        let checksum = Self { algorithm, composite };
        if !possible {
            return Err(S3Error::with(
                ErrorCode::InvalidRequest,
                format!(
                    "The {} checksum type cannot be used with the {} checksum algorithm.",
                    checksum.type_name(),
                    algorithm.stored()
                ),
            ));
        }
        Ok(Some(checksum))
    }
}

/// The `uploadId` of a request.
pub(super) fn upload_of(call: &Call) -> Result<UploadId, S3Error> {
    let text = call.query.get("uploadId").unwrap_or_default();
    text.parse().map_err(|_| {
        S3Error::from(ErrorCode::NoSuchUpload).detail("UploadId", text.chars().take(128).collect::<String>())
    })
}

impl S3Gateway {
    pub(crate) async fn create_multipart_upload(&self, call: &Call) -> Reply {
        const ROOT: &str = "InitiateMultipartUploadResult";
        let mut attributes = super::attributes_of_new(call)?;
        let checksum = UploadChecksum::from_headers(&call.parts.headers)?;
        if let Some(checksum) = checksum {
            attributes.checksums = vec![
                (UPLOAD_ALGORITHM.to_owned(), checksum.algorithm.stored().to_owned()),
                (UPLOAD_TYPE.to_owned(), checksum.type_name().to_owned()),
            ];
        }
        let created = self.inner.objects.create_upload(&call.path(), attributes).await;
        let upload = created.map_err(|e| refusal(e, call))?;

        let mut xml = XmlWriter::root(ROOT, 256);
        xml.text("Bucket", &call.bucket);
        xml.text("Key", &call.key);
        xml.plain("UploadId", upload);
        let mut response = xml_reply(xml.finish(ROOT));
        if let Some(checksum) = checksum {
            let out = response.headers_mut();
            out.insert("x-amz-checksum-algorithm", header_value(checksum.algorithm.name()));
            out.insert("x-amz-checksum-type", header_value(checksum.type_name()));
        }
        Ok(response)
    }

    pub(crate) async fn upload_part(&self, call: &Call, body: CallBody) -> Reply {
        let upload = upload_of(call)?;
        let number = part_number(&call.query)?
            .ok_or_else(|| S3Error::argument("partNumber", "", "A part number is required."))?;
        let size_max = self.inner.config.put_bytes_max;
        let plan = UploadPlan::new(&call.parts.headers, body.payload, size_max)?;
        let (size, md5) = (plan.size, plan.md5);
        let (stream, late) = plan.open(body.body, None);
        let options = PartOptions {
            size,
            size_max: Some(size_max),
            md5,
            checksums: Vec::new(),
            late_checksums: Some(late),
        };
        let put = self.inner.objects.put_part(&call.path(), upload, number, options, Box::pin(stream)).await;
        let part = put.map_err(|e| refusal(e, call))?;

        let mut response = empty_reply(StatusCode::OK);
        let out = response.headers_mut();
        out.insert(ETAG, etag_value(part.etag));
        push_checksums(out, &part.checksums);
        out.remove("x-amz-checksum-type");
        Ok(response)
    }

    pub(crate) async fn abort_multipart_upload(&self, call: &Call) -> Reply {
        let upload = upload_of(call)?;
        self.inner.objects.abort_upload(&call.path(), upload).await.map_err(|e| refusal(e, call))?;
        Ok(empty_reply(StatusCode::NO_CONTENT))
    }
}
