//! Dynamic large objects: every object of a container whose name begins so.

use super::Content;
use super::walk::Part;
use crate::authorize::Need;
use crate::error::Result;
use crate::gateway::{Call, SwiftGateway};
use crate::ops::Listed;
use md5::{Digest, Md5};
use ringfort_object::{ListEntry, ListRequest, ListedObject, ObjectError, ObjectPath};

/// The header, and the name, under which the prefix of the segments is kept, as it was given.
pub(crate) const MANIFEST: &str = "x-object-manifest";

/// Objects listed at a time.
const PAGE: u32 = 1000;

/// What the segments make up.
pub(super) struct Dynamic {
    pub(super) etag: String,
    pub(super) size: Option<u64>,
    pub(super) content: Content,
}

/// A listed object as a part.
pub(super) fn part_of(prefix: &ObjectPath, object: ListedObject<'_>) -> Part {
    let at = ObjectPath::new(prefix.account.as_str(), prefix.container.as_str(), object.key);
    let listed = Listed::parse(object.content_type);
    match (listed.bytes, listed.slo_etag) {
        (Some(size), Some(etag)) => Part::Object { at, etag: Some(etag), size, range: 0..size, nested: true },
        _ => Part::Object {
            at,
            etag: Some(object.etag.to_string()),
            size: object.size,
            range: 0..object.size,
            nested: false,
        },
    }
}

impl SwiftGateway {
    /// Lists the segments, at most as many as one listing may have; beyond that neither size nor tag is known.
    pub(super) async fn dynamic(&self, call: &Call, account: &str, manifest: &str) -> Result<Dynamic> {
        let manifest = crate::target::unquote(manifest)?;
        let (container, prefix) = manifest.trim_start_matches('/').split_once('/').unwrap_or((&manifest, ""));
        let at = ObjectPath::new(account, container, prefix);
        self.allow_at(call, &at, Need::Read).await?;
        let mut hasher = Md5::new();
        let (mut parts, mut size, mut marker) = (Vec::new(), 0_u64, String::new());
        loop {
            let request =
                ListRequest { prefix: prefix.to_owned(), marker, limit: PAGE, ..ListRequest::default() };
            let page = match self.inner.objects.list(account, container, &request).await {
                Ok(page) => page,
                // Segments in a container that is not there are no segments.
                Err(ObjectError::NoSuchContainer) => break,
                Err(error) => return Err(error.into()),
            };
            for entry in page.entries() {
                let ListEntry::Object(object) = entry else { continue };
                let part = part_of(&at, object);
                size = size.saturating_add(part.len());
                if let Part::Object { etag: Some(etag), .. } = &part {
                    hasher.update(etag);
                }
                parts.push(part);
            }
            if !page.truncated {
                break;
            }
            if parts.len() >= self.inner.config.listing_limit as usize {
                let (container, prefix) = (container.to_owned(), prefix.to_owned());
                let content = Content::Endless { container, prefix };
                return Ok(Dynamic { etag: String::new(), size: None, content });
            }
            marker = page.next_marker;
        }
        let etag = format!("\"{}\"", hex::encode(hasher.finalize()));
        Ok(Dynamic { etag, size: Some(size), content: Content::Parts(parts) })
    }
}
