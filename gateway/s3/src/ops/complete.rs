//! CompleteMultipartUpload, and the checksum of what was put together.

use super::announced::Announced;
use super::multipart::{UploadChecksum, upload_of};
use super::{PAGE_MAX, checksum_type, push_version, refusal, xml_reply};
use crate::body::checksum::{Algorithm, Hasher, TYPE, encode};
use crate::body::read_small;
use crate::error::{ErrorCode, S3Error};
use crate::gateway::{Call, CallBody, Reply, S3Gateway};
use crate::headers::{self, parse_etag};
use crate::xml::{self, Node, XmlWriter};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringfort_object::{CompleteOptions, CompletePart, GetOptions, ObjectError, PartInfo, PutDone, UploadId};

pub(super) const PARTS_MAX: usize = 10_000;

impl S3Gateway {
    pub(crate) async fn complete_multipart_upload(&self, call: &Call, body: CallBody) -> Reply {
        let head = &call.parts.headers;
        let upload = upload_of(call)?;
        let conditions = headers::write_conditions(head)?;
        let must_exist = conditions.if_match.is_some();
        let announced = Announced::from_headers(head)?;
        // The checksum headers of this request are of the object, not of the document.
        let mut document_head = head.clone();
        for algorithm in Algorithm::ALL {
            document_head.remove(algorithm.header());
        }
        let document =
            read_small(&document_head, body.payload, body.body, self.inner.config.xml_bytes_max).await?;
        let named = read_document(&document)?;
        let checksums = self.object_checksums(call, upload, &named, &announced).await?;
        let options = CompleteOptions {
            parts: named.into_iter().map(|part| part.part).collect(),
            part_bytes_min: self.inner.config.part_bytes_min,
            conditions,
            checksums,
        };
        let completed = self.inner.objects.complete_upload(&call.path(), upload, options).await;
        let done = completed.map_err(|e| super::put::write_refusal(refusal(e, call), must_exist, call))?;
        let mut response = xml_reply(result_xml(call, &done));
        push_version(response.headers_mut(), done.version, done.versioning);
        Ok(response)
    }

    /// The checksums to keep with the object: none if the upload was begun without, or if a part lacks its own.
    async fn object_checksums(
        &self,
        call: &Call,
        upload: UploadId,
        named: &[NamedPart],
        announced: &Announced,
    ) -> Result<Vec<(String, String)>, S3Error> {
        let mut stored: Vec<PartInfo> = Vec::new();
        let mut after = 0;
        let begun_with = loop {
            let listed = self.inner.objects.list_parts(&call.path(), upload, after, PAGE_MAX).await;
            let mut page = match listed {
                // Completed before, and the answer got lost: it is given again, if this is still the object.
                Err(ObjectError::NoSuchUpload) => return Ok(self.checksums_of_object(call).await),
                listed => listed.map_err(|e| refusal(e, call))?,
            };
            let begun_with = UploadChecksum::of(&page.attributes);
            after = page.parts.last().map_or(after, |part| part.number);
            let more = page.truncated && !page.parts.is_empty();
            stored.append(&mut page.parts);
            if !more || (begun_with.is_none() && announced.is_nothing()) {
                break begun_with;
            }
        };
        announced.check_size(named, &stored)?;
        let Some(checksum) = announced.agreed(begun_with)? else { return Ok(Vec::new()) };
        let text = Summed::of(checksum, named, &stored)?.map(|sum| sum.text(checksum));
        announced.check_value(text.as_deref())?;
        let Some(text) = text else { return Ok(Vec::new()) };
        let mut checksums = vec![(checksum.algorithm.stored().to_owned(), text)];
        if checksum.composite {
            checksums.push((TYPE.to_owned(), "COMPOSITE".to_owned()));
        }
        Ok(checksums)
    }

    async fn checksums_of_object(&self, call: &Call) -> Vec<(String, String)> {
        let found = self.inner.objects.head(&call.path(), GetOptions::default()).await;
        found.map(|info| info.attributes.checksums).unwrap_or_default()
    }
}

/// A part as the client names it.
pub(super) struct NamedPart {
    pub(super) part: CompletePart,
    checksum: Option<(Algorithm, String)>,
}

pub(super) fn read_document(document: &[u8]) -> Result<Vec<NamedPart>, S3Error> {
    let root = xml::parse(document, "CompleteMultipartUpload")?;
    let parts = root.children.iter().filter(|child| child.name == "Part").map(read_part);
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    if parts.is_empty() || parts.len() > PARTS_MAX {
        return Err(ErrorCode::MalformedXML.into());
    }
    if parts.windows(2).any(|pair| pair[0].part.number >= pair[1].part.number) {
        return Err(ErrorCode::InvalidPartOrder.into());
    }
    Ok(parts)
}

fn read_part(node: &Node) -> Result<NamedPart, S3Error> {
    let number = node.child_text("PartNumber").and_then(|text| text.trim().parse::<u32>().ok());
    let number = number.ok_or(ErrorCode::MalformedXML)?;
    let etag = node.child_text("ETag").ok_or(ErrorCode::MalformedXML)?;
    let invalid = || S3Error::from(ErrorCode::InvalidPart).detail("PartNumber", number.to_string());
    if !(1..=10_000).contains(&number) {
        return Err(S3Error::argument(
            "partNumber",
            &number.to_string(),
            "Part number must be an integer between 1 and 10000, inclusive",
        ));
    }
    let etag = parse_etag(etag.trim()).ok_or_else(invalid)?;
    let checksum = Algorithm::ALL
        .into_iter()
        .find_map(|algorithm| node.child_text(algorithm.element()).map(|text| (algorithm, text.to_owned())));
    Ok(NamedPart { part: CompletePart { number, etag }, checksum })
}

struct Summed {
    bytes: Vec<u8>,
    parts: usize,
}

impl Summed {
    fn of(
        checksum: UploadChecksum,
        named: &[NamedPart],
        stored: &[PartInfo],
    ) -> Result<Option<Self>, S3Error> {
        let mut sum: Option<Vec<u8>> = None;
        let mut composite = Hasher::new(checksum.algorithm);
        for part in named {
            let invalid =
                || S3Error::from(ErrorCode::InvalidPart).detail("PartNumber", part.part.number.to_string());
            let at =
                stored.binary_search_by_key(&part.part.number, |info| info.number).map_err(|_| invalid())?;
            let info = &stored[at];
            let text =
                info.checksums.iter().find(|(name, _)| name == checksum.algorithm.stored()).map(|(_, v)| v);
            if let Some((algorithm, named)) = &part.checksum
                && *algorithm == checksum.algorithm
                && text.is_some_and(|text| text != named)
            {
                return Err(invalid());
            }
            let Some(bytes) = text.and_then(|text| STANDARD.decode(text).ok()) else { return Ok(None) };
            composite.update(&bytes);
            sum = match sum {
                None => Some(bytes),
                Some(sum) if !checksum.composite => match checksum.algorithm.combine(&sum, &bytes, info.size)
                {
                    Some(combined) => Some(combined),
                    None => return Ok(None),
                },
                sum => sum,
            };
        }
        let bytes = if checksum.composite { composite.finish() } else { sum.unwrap_or_default() };
        Ok(Some(Self { bytes, parts: named.len() }))
    }

    fn text(&self, checksum: UploadChecksum) -> String {
        let text = encode(&self.bytes);
        if checksum.composite { format!("{text}-{}", self.parts) } else { text }
    }
}

fn result_xml(call: &Call, done: &PutDone) -> String {
    const ROOT: &str = "CompleteMultipartUploadResult";
    let mut xml = XmlWriter::root(ROOT, 512);
    xml.text("Location", &call.url_of(call.parts.uri.path()));
    xml.text("Bucket", &call.bucket);
    xml.text("Key", &call.key);
    xml.etag(done.etag);
    let mut any = false;
    for (name, value) in &done.checksums {
        if let Some(algorithm) = Algorithm::from_stored(name) {
            xml.text(algorithm.element(), value);
            any = true;
        }
    }
    if any {
        xml.text("ChecksumType", checksum_type(&done.checksums));
    }
    xml.finish(ROOT)
}
