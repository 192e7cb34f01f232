//! ListObjects, both versions.

use super::{page_limit, refusal, url_encoding, xml_reply};
use crate::error::S3Error;
use crate::gateway::{Call, Reply, S3Gateway};
use crate::xml::XmlWriter;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ringfort_object::{ListEntry, ListPage, ListRequest, ListedObject};

const ROOT: &str = "ListBucketResult";
/// Room for an entry of ordinary length.
const ENTRY_BYTES: usize = 300;

impl S3Gateway {
    pub(crate) async fn list_objects(&self, call: &Call) -> Reply {
        let query = &call.query;
        let url = url_encoding(query)?;
        let request = request_of(call, query.get("marker").unwrap_or_default().to_owned())?;
        let page = self.page_of(call, &request).await?;

        let mut xml = begin(call, &request, &page, url);
        xml.name("Marker", &request.marker);
        if page.truncated && !request.delimiter.is_empty() {
            xml.name("NextMarker", &page.next_marker);
        }
        push_entries(&mut xml, call, &page, true);
        Ok(xml_reply(xml.finish(ROOT)))
    }

    pub(crate) async fn list_objects_v2(&self, call: &Call) -> Reply {
        let query = &call.query;
        let url = url_encoding(query)?;
        let token = query.get("continuation-token");
        let start_after = query.get("start-after");
        let marker = match token {
            Some(token) if !token.is_empty() => decode_token(token)?,
            _ => start_after.unwrap_or_default().to_owned(),
        };
        let request = request_of(call, marker)?;
        let page = self.page_of(call, &request).await?;

        let mut xml = begin(call, &request, &page, url);
        xml.plain("KeyCount", page.len());
        xml.text_if("ContinuationToken", token);
        if page.truncated {
            xml.text("NextContinuationToken", &URL_SAFE_NO_PAD.encode(&page.next_marker));
        }
        if let Some(start_after) = start_after.filter(|start| !start.is_empty()) {
            xml.name("StartAfter", start_after);
        }
        push_entries(&mut xml, call, &page, query.get("fetch-owner") == Some("true"));
        Ok(xml_reply(xml.finish(ROOT)))
    }

    async fn page_of(&self, call: &Call, request: &ListRequest) -> Result<ListPage, S3Error> {
        if request.limit == 0 {
            // An empty page, but of a bucket that exists.
            let found = self.inner.objects.container(call.account(), &call.bucket).await;
            return found.map(|_| ListPage::default()).map_err(|e| refusal(e, call));
        }
        self.inner.objects.list(call.account(), &call.bucket, request).await.map_err(|e| refusal(e, call))
    }
}

fn request_of(call: &Call, marker: String) -> Result<ListRequest, S3Error> {
    let get = |name| call.query.get(name).unwrap_or_default().to_owned();
    if call.query.get("allow-unordered") == Some("true") && call.query.get_filled("delimiter").is_some() {
        // Ceph's: whoever asks for any order gets ours, but has no prefixes in common then.
        return Err(S3Error::argument("allow-unordered", "true", "A list in any order takes no delimiter"));
    }
    Ok(ListRequest {
        prefix: get("prefix"),
        delimiter: get("delimiter"),
        marker,
        end_marker: String::new(),
        limit: page_limit(&call.query, "max-keys")?,
        reverse: false,
    })
}

fn begin(call: &Call, request: &ListRequest, page: &ListPage, url: bool) -> XmlWriter {
    let mut xml = XmlWriter::root(ROOT, 512 + page.len() * ENTRY_BYTES);
    xml.encode_names(url);
    xml.text("Name", &call.bucket);
    xml.name("Prefix", &request.prefix);
    if !request.delimiter.is_empty() {
        xml.name("Delimiter", &request.delimiter);
    }
    xml.plain("MaxKeys", request.limit);
    if url {
        xml.text("EncodingType", "url");
    }
    xml.plain("IsTruncated", page.truncated);
    xml
}

/// Objects, then common prefixes, as AWS orders them.
fn push_entries(xml: &mut XmlWriter, call: &Call, page: &ListPage, owner: bool) {
    for entry in page.entries() {
        if let ListEntry::Object(object) = entry {
            push_object(xml, call, &object, owner);
        }
    }
    for entry in page.entries() {
        if let ListEntry::CommonPrefix(prefix) = entry {
            push_prefix(xml, prefix);
        }
    }
}

fn push_object(xml: &mut XmlWriter, call: &Call, object: &ListedObject<'_>, owner: bool) {
    xml.open("Contents");
    xml.name("Key", object.key);
    xml.time("LastModified", object.modified);
    xml.etag(object.etag);
    xml.plain("Size", object.size);
    if owner {
        xml.owner("Owner", &call.owner());
    }
    xml.raw("<StorageClass>STANDARD</StorageClass></Contents>");
}

/// A rolled up prefix.
pub(super) fn push_prefix(xml: &mut XmlWriter, prefix: &str) {
    xml.open("CommonPrefixes");
    xml.name("Prefix", prefix);
    xml.close("CommonPrefixes");
}

pub(super) fn decode_token(token: &str) -> Result<String, S3Error> {
    let marker = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    marker.filter(|marker| !marker.is_empty()).ok_or_else(|| {
        S3Error::argument("continuation-token", token, "The continuation token provided is incorrect")
    })
}
