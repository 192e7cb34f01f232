//! ListObjectVersions.

use super::{page_limit, refusal, url_encoding, xml_reply};
use crate::error::S3Error;
use crate::gateway::{Call, Reply, S3Gateway};
use crate::xml::XmlWriter;
use ringfort_object::{ListedVersion, VersionEntry, VersionListRequest, VersionPage};

const ROOT: &str = "ListVersionsResult";

impl S3Gateway {
    pub(crate) async fn list_object_versions(&self, call: &Call) -> Reply {
        let url = url_encoding(&call.query)?;
        let request = request_of(call)?;
        let page = if request.limit == 0 {
            let found = self.inner.objects.container(call.account(), &call.bucket).await;
            found.map(|_| VersionPage::default()).map_err(|e| refusal(e, call))?
        } else {
            let listed = self.inner.objects.list_versions(call.account(), &call.bucket, &request).await;
            listed.map_err(|e| refusal(e, call))?
        };
        Ok(xml_reply(document(call, &request, &page, url)))
    }
}

fn request_of(call: &Call) -> Result<VersionListRequest, S3Error> {
    let get = |name| call.query.get(name).unwrap_or_default().to_owned();
    let version_marker = match call.query.get_filled("version-id-marker") {
        None => None,
        Some(text) if call.query.get_filled("key-marker").is_none() => {
            return Err(S3Error::argument(
                "version-id-marker",
                text,
                "A version-id marker cannot be specified without a key marker.",
            ));
        }
        Some(text) => Some(
            text.parse()
                .map_err(|_| S3Error::argument("version-id-marker", text, "Invalid version id specified"))?,
        ),
    };
    Ok(VersionListRequest {
        prefix: get("prefix"),
        delimiter: get("delimiter"),
        key_marker: get("key-marker"),
        version_marker,
        limit: page_limit(&call.query, "max-keys")?,
    })
}

fn document(call: &Call, request: &VersionListRequest, page: &VersionPage, url: bool) -> String {
    let mut xml = XmlWriter::root(ROOT, 512 + page.entries.len() * 420);
    xml.encode_names(url);
    xml.text("Name", &call.bucket);
    xml.name("Prefix", &request.prefix);
    xml.name("KeyMarker", &request.key_marker);
    xml.text("VersionIdMarker", call.query.get("version-id-marker").unwrap_or_default());
    if !request.delimiter.is_empty() {
        xml.name("Delimiter", &request.delimiter);
    }
    xml.plain("MaxKeys", request.limit);
    if url {
        xml.text("EncodingType", "url");
    }
    xml.plain("IsTruncated", page.truncated);
    if page.truncated {
        xml.name("NextKeyMarker", &page.next_key_marker);
        if let Some(version) = page.next_version_marker {
            xml.plain("NextVersionIdMarker", version);
        }
    }
    for entry in &page.entries {
        if let VersionEntry::Version(version) = entry {
            push_version_entry(&mut xml, call, version);
        }
    }
    for entry in &page.entries {
        if let VersionEntry::CommonPrefix(prefix) = entry {
            super::list::push_prefix(&mut xml, prefix);
        }
    }
    xml.finish(ROOT)
}

fn push_version_entry(xml: &mut XmlWriter, call: &Call, version: &ListedVersion) {
    let element = if version.delete_marker { "DeleteMarker" } else { "Version" };
    xml.open(element);
    xml.name("Key", &version.key);
    xml.plain("VersionId", version.version);
    xml.plain("IsLatest", version.latest);
    xml.time("LastModified", version.modified);
    if !version.delete_marker {
        xml.etag(version.etag);
        xml.plain("Size", version.size);
        xml.text("StorageClass", "STANDARD");
    }
    xml.owner("Owner", &call.owner());
    xml.close(element);
}
