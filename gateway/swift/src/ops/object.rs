//! Objects: which operation a request asks for, and what replies tell about an object.

use crate::authorize::Need;
use crate::clock;
use crate::entity::{self, Entity, SLO_ETAG, kept, link_of};
use crate::gateway::{Call, Reply, SwiftGateway};
use crate::headers::{self, Kind};
use http::header::{ACCEPT_RANGES, CONTENT_TYPE, ETAG, HeaderValue, LAST_MODIFIED};
use http::{HeaderMap, Response, StatusCode};
use ringfort_http::{ReplyBody, RequestBody};
use ringfort_object::{Attributes, ObjectInfo, VersionId, Versioning};

pub(super) const VERSION_ID: &str = "x-object-version-id";

/// Headers that are kept with an object and given back as they are.
pub(super) const SYSTEM: [&str; 7] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
    "x-robots-tag",
    entity::MANIFEST,
];

impl SwiftGateway {
    pub(crate) async fn run_object(&self, call: Call, body: RequestBody) -> Reply {
        match call.method().as_str() {
            "GET" | "HEAD" => {
                self.allow(&call, &call.container, Need::Read).await?;
                self.read_object(call).await
            }
            "PUT" => Box::pin(self.put(call, body)).await,
            "POST" => Box::pin(self.post_object(call)).await,
            "DELETE" => Box::pin(self.delete(call)).await,
            "COPY" => Box::pin(self.copy(call)).await,
            _ => Err(StatusCode::METHOD_NOT_ALLOWED.into()),
        }
    }
}

/// Tells about an object in the headers of a reply.
pub(super) fn push_entity(out: &mut HeaderMap, entity: &Entity) {
    let info = &entity.info;
    out.insert(CONTENT_TYPE, headers::value(entity::content_type(info)));
    if !entity.etag.is_empty() {
        out.insert(ETAG, headers::value(&entity.etag));
    }
    push_info(out, info);
}

/// What is told of an object whatever its bytes are.
pub(super) fn push_info(out: &mut HeaderMap, info: &ObjectInfo) {
    out.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    out.insert(LAST_MODIFIED, headers::value(clock::http_date(info.modified)));
    headers::put(out, "x-timestamp", clock::timestamp(info.modified));
    push_attributes(out, &info.attributes);
    if kept(info, SLO_ETAG).is_some() {
        headers::put(out, "x-static-large-object", "True");
        headers::put(out, "x-manifest-etag", info.etag);
    }
    if let Some(link) = link_of(info) {
        link.push(out);
    }
    push_version(out, info.version, info.versioning);
}

/// Metadata, kept headers and expiry.
pub(super) fn push_attributes(out: &mut HeaderMap, attributes: &Attributes) {
    for (name, value) in &attributes.metadata {
        headers::put(out, &format!("{}{name}", Kind::Object.prefix()), value);
    }
    for (name, value) in &attributes.headers {
        headers::put(out, name, value);
    }
    if let Some(at) = attributes.expires_at {
        headers::put(out, "x-delete-at", at);
    }
}

/// Names the version, where versions exist.
pub(super) fn push_version(out: &mut HeaderMap, version: VersionId, versioning: Versioning) {
    if versioning != Versioning::Off {
        headers::put(out, VERSION_ID, super::version_text(version));
    }
}

/// Names the version that a write made, if it made one.
pub(super) fn push_written_version(out: &mut HeaderMap, version: VersionId, versioning: Versioning) {
    if versioning == Versioning::Enabled {
        push_version(out, version, versioning);
    }
}

/// A reply to a write: nothing but the tag and the time of what was written.
pub(super) fn written(
    status: StatusCode,
    etag: &str,
    modified: ringfort_core::HybridTime,
) -> Response<ReplyBody> {
    let mut response = super::empty_reply(status);
    let out = response.headers_mut();
    if !etag.is_empty() {
        out.insert(ETAG, headers::value(etag));
    }
    out.insert(LAST_MODIFIED, headers::value(clock::http_date(modified)));
    response
}
