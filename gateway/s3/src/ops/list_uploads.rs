//! ListParts and ListMultipartUploads.

use super::multipart::{UploadChecksum, upload_of};
use super::{object_acl, page_limit, refusal, url_encoding, xml_reply};
use crate::access::Owner;
use crate::body::checksum::Algorithm;
use crate::error::S3Error;
use crate::gateway::{Call, Reply, S3Gateway};
use crate::xml::XmlWriter;
use futures_util::{StreamExt, stream};
use ringfort_core::HybridTime;
use ringfort_object::{
    ObjectError, ObjectPath, PartInfo, PartPage, UploadEntry, UploadListRequest, UploadPage,
};

/// Uploads of a page whose owners are asked for at a time.
const OWNERS_IN_FLIGHT: usize = 16;

impl S3Gateway {
    pub(crate) async fn list_parts(&self, call: &Call) -> Reply {
        const ROOT: &str = "ListPartsResult";
        let upload = upload_of(call)?;
        let url = url_encoding(&call.query)?;
        let limit = page_limit(&call.query, "max-parts")?;
        let after = match call.query.get_filled("part-number-marker") {
            None => 0,
            Some(text) => text.parse().map_err(|_| {
                S3Error::argument("part-number-marker", text, "Provided part-number-marker not an integer")
            })?,
        };
        let listed = self.inner.objects.list_parts(&call.path(), upload, after, limit).await;
        let page: PartPage = listed.map_err(|e| refusal(e, call))?;

        let mut xml = XmlWriter::root(ROOT, 512 + page.parts.len() * 250);
        xml.encode_names(url);
        xml.text("Bucket", &call.bucket);
        xml.name("Key", &call.key);
        xml.plain("UploadId", upload);
        let owner = object_acl(&page.attributes).map_or_else(|| call.owner(), |acl| acl.owner);
        xml.owner("Initiator", &owner);
        xml.owner("Owner", &owner);
        xml.text("StorageClass", "STANDARD");
        if let Some(checksum) = UploadChecksum::of(&page.attributes) {
            xml.text("ChecksumAlgorithm", checksum.algorithm.name());
            xml.text("ChecksumType", checksum.type_name());
        }
        xml.plain("PartNumberMarker", after);
        if let Some(last) = page.parts.last() {
            xml.plain("NextPartNumberMarker", last.number);
        }
        xml.plain("MaxParts", limit);
        xml.plain("IsTruncated", page.truncated);
        for part in &page.parts {
            push_part(&mut xml, part);
        }
        Ok(xml_reply(xml.finish(ROOT)))
    }

    pub(crate) async fn list_multipart_uploads(&self, call: &Call) -> Reply {
        let url = url_encoding(&call.query)?;
        let get = |name| call.query.get(name).unwrap_or_default().to_owned();
        let request = UploadListRequest {
            prefix: get("prefix"),
            delimiter: get("delimiter"),
            key_marker: get("key-marker"),
            // AWS ignores the marker of an upload without that of its key.
            upload_marker: call
                .query
                .get_filled("upload-id-marker")
                .filter(|_| call.query.get_filled("key-marker").is_some())
                .map(|text| {
                    text.parse()
                        .map_err(|_| S3Error::argument("upload-id-marker", text, "Invalid uploadId marker"))
                })
                .transpose()?,
            limit: page_limit(&call.query, "max-uploads")?,
        };
        let listed = self.inner.objects.list_uploads(call.account(), &call.bucket, &request).await;
        let page = listed.map_err(|e| refusal(e, call))?;
        let owners = self.owners_of(call, &page).await?;
        Ok(xml_reply(uploads_xml(call, &request, &page, &owners, url)))
    }

    /// Who began each upload of a page. Where nobody but the bucket's account may write, nobody else has.
    async fn owners_of(&self, call: &Call, page: &UploadPage) -> Result<Vec<Owner>, S3Error> {
        let rules = &call.home()?.rules;
        let guests = rules.acl.is_some() || rules.policy.is_some();
        let uploads = page.entries.iter().filter_map(|entry| match entry {
            UploadEntry::Upload { key, upload } => Some((key, *upload)),
            UploadEntry::CommonPrefix(_) => None,
        });
        if !guests {
            return Ok(uploads.map(|_| call.owner()).collect());
        }
        let asked = uploads.map(|(key, upload)| {
            let objects = self.inner.objects.clone();
            let at = ObjectPath::new(call.account(), call.bucket.as_str(), key.as_str());
            async move { objects.list_parts(&at, upload, 0, 1).await }
        });
        let asked: Vec<_> = asked.collect();
        let found: Vec<_> = stream::iter(asked).buffered(OWNERS_IN_FLIGHT).collect().await;
        let owner = |found: Result<PartPage, ObjectError>| match found {
            Ok(found) => Ok(object_acl(&found.attributes).map_or_else(|| call.owner(), |acl| acl.owner)),
            // It has ended since.
            Err(ObjectError::NoSuchUpload) => Ok(call.owner()),
            Err(error) => Err(refusal(error, call)),
        };
        found.into_iter().map(owner).collect()
    }
}

fn push_part(xml: &mut XmlWriter, part: &PartInfo) {
    xml.open("Part");
    xml.plain("PartNumber", part.number);
    xml.time("LastModified", part.modified);
    xml.etag(part.etag);
    xml.plain("Size", part.size);
    for (name, value) in &part.checksums {
        if let Some(algorithm) = Algorithm::from_stored(name) {
            xml.text(algorithm.element(), value);
        }
    }
    xml.close("Part");
}

fn uploads_xml(
    call: &Call,
    request: &UploadListRequest,
    page: &UploadPage,
    owners: &[Owner],
    url: bool,
) -> String {
    const ROOT: &str = "ListMultipartUploadsResult";
    let mut xml = XmlWriter::root(ROOT, 512 + page.entries.len() * 400);
    xml.encode_names(url);
    xml.text("Bucket", &call.bucket);
    xml.name("KeyMarker", &request.key_marker);
    xml.text("UploadIdMarker", call.query.get("upload-id-marker").unwrap_or_default());
    if page.truncated {
        xml.name("NextKeyMarker", &page.next_key_marker);
        if let Some(upload) = page.next_upload_marker {
            xml.plain("NextUploadIdMarker", upload);
        }
    }
    xml.name("Prefix", &request.prefix);
    if !request.delimiter.is_empty() {
        xml.name("Delimiter", &request.delimiter);
    }
    xml.plain("MaxUploads", request.limit);
    if url {
        xml.text("EncodingType", "url");
    }
    xml.plain("IsTruncated", page.truncated);
    let uploads = page.entries.iter().filter_map(|entry| match entry {
        UploadEntry::Upload { key, upload } => Some((key, upload)),
        UploadEntry::CommonPrefix(_) => None,
    });
    for ((key, upload), owner) in uploads.zip(owners) {
        xml.open("Upload");
        xml.name("Key", key);
        xml.plain("UploadId", upload);
        xml.owner("Initiator", owner);
        xml.owner("Owner", owner);
        xml.text("StorageClass", "STANDARD");
        // An upload's id is the time it was begun.
        xml.time("Initiated", HybridTime(upload.0.0));
        xml.close("Upload");
    }
    for entry in &page.entries {
        if let UploadEntry::CommonPrefix(prefix) = entry {
            super::list::push_prefix(&mut xml, prefix);
        }
    }
    xml.finish(ROOT)
}
