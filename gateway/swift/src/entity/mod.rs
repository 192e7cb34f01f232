//! What a path means to a reader: a plain object, or one that other objects make up.
//!
//! ```text
//!  path -> symlink? -> its target (at most so many times)
//!       -> manifest of a static large object?  -> the segments that it lists
//!       -> X-Object-Manifest?                  -> the objects that begin so
//!       -> the bytes themselves
//! ```

mod dynamic;
mod manifest;
mod symlink;
mod walk;

pub(crate) use dynamic::MANIFEST;
pub(crate) use manifest::{Asked, Manifest, Problem, Segment, parse_asked};
pub(crate) use symlink::{Link, NO_BODY, TARGET_ACCOUNT, link_of, set_account};
pub(crate) use walk::{Part, Walk};

use crate::error::{Result, SwiftError};
use crate::gateway::{Call, SwiftGateway};
use crate::ops::Listed;
use futures_util::{StreamExt, stream};
use http::{HeaderValue, StatusCode};
use ringfort_http::Pieces;
use ringfort_object::{GetOptions, ObjectBody, ObjectInfo, ObjectPath, RangeSpec, VersionId};
use std::ops::Range;

/// Attributes of ours beside the body. The slash makes them impossible as headers, so that no dialect sends or shows them.
pub(crate) const SLO_ETAG: &str = "swift/slo-etag";
pub(crate) const SLO_SIZE: &str = "swift/slo-size";

/// How deep large objects may lie within each other.
pub(crate) const DEPTH_MAX: usize = 10;

/// What was found under a path.
#[derive(Debug)]
pub(crate) struct Entity {
    /// Where it was found, after symlinks.
    pub(crate) at: ObjectPath,
    pub(crate) info: ObjectInfo,
    /// Its tag as clients see it.
    pub(crate) etag: String,
    /// Bytes of the whole, where that is known.
    pub(crate) size: Option<u64>,
    pub(crate) content: Content,
    /// A symlink led here.
    pub(crate) linked: bool,
}

/// Where the bytes come from.
#[derive(Debug)]
pub(crate) enum Content {
    /// The object itself, opened already if it was read without a range.
    Plain(Option<ObjectBody>),
    /// Parts one after the other.
    Parts(Vec<Part>),
    /// More objects than are listed at once: read as they are listed.
    Endless { container: String, prefix: String },
}

/// How to look.
#[derive(Clone, Debug, Default)]
pub(crate) struct Look {
    pub(crate) version: Option<VersionId>,
    /// The body will be wanted whole.
    pub(crate) open: bool,
    /// Manifests are taken as they are.
    pub(crate) raw: bool,
    /// Symlinks are not followed.
    pub(crate) link: bool,
}

/// Kept by the object layer under a name of ours.
pub(crate) fn kept<'i>(info: &'i ObjectInfo, name: &str) -> Option<&'i str> {
    info.attributes.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// Whether it is the manifest of a static large object.
pub(crate) fn is_static(info: &ObjectInfo) -> bool {
    kept(info, SLO_ETAG).is_some()
}

impl SwiftGateway {
    /// Finds what a path means.
    pub(crate) async fn entity(&self, call: &Call, at: ObjectPath, look: &Look) -> Result<Entity> {
        let (at, info, body, linked) = self.follow(call, at, look).await?;
        let plain = |info: ObjectInfo, body| {
            let (etag, size) = (info.etag.to_string(), Some(info.size));
            (info, etag, size, Content::Plain(body))
        };
        let (info, etag, size, content) = if look.raw {
            plain(info, body)
        } else if let (Some(tag), Some(size)) = (kept(&info, SLO_ETAG), kept(&info, SLO_SIZE)) {
            let (tag, size) = (format!("\"{tag}\""), size.parse().ok());
            let parts = if call.is_head()
                && !call.parts.headers.contains_key("range")
                && !call.query.has("part-number")
            {
                Vec::new()
            } else {
                self.manifest_of(&at, &info, body).await?.into_parts(&at.account)
            };
            (info, tag, size, Content::Parts(parts))
        } else if let Some(prefix) = kept(&info, MANIFEST) {
            let found = self.dynamic(call, &at.account, prefix).await?;
            (info, found.etag, found.size, found.content)
        } else {
            plain(info, body)
        };
        Ok(Entity { at, info, etag, size, content, linked })
    }

    /// One object as it is, opened if that is wished.
    pub(crate) async fn object(
        &self,
        at: &ObjectPath,
        version: Option<VersionId>,
        open: bool,
    ) -> Result<(ObjectInfo, Option<ObjectBody>)> {
        let options = GetOptions { version, ..GetOptions::default() };
        if open {
            let reader = self.inner.objects.get(at, options).await?;
            return Ok((reader.info, Some(reader.body)));
        }
        Ok((self.inner.objects.head(at, options).await?, None))
    }

    /// The bytes of a part of an entity. The first of them are read before this returns, so that an error comes as one.
    pub(crate) async fn read(
        &self,
        call: &Call,
        entity: &mut Entity,
        range: Option<Range<u64>>,
    ) -> Result<Pieces> {
        let walk = match &mut entity.content {
            Content::Plain(body) => {
                let body = match (body.take(), &range) {
                    (Some(body), None) => body,
                    _ => self.read_plain(entity, range).await?,
                };
                return Ok(Box::pin(body.map(|piece| piece.map_err(Into::into))));
            }
            Content::Parts(parts) => {
                let whole = entity.size.unwrap_or(0);
                Walk::over(self, call, parts.clone(), range.unwrap_or(0..whole))
            }
            Content::Endless { container, prefix } => Walk::endless(
                self,
                call,
                ObjectPath::new(entity.at.account.as_str(), container.as_str(), prefix.as_str()),
            ),
        };
        walk.start().await
    }

    async fn read_plain(&self, entity: &mut Entity, range: Option<Range<u64>>) -> Result<ObjectBody> {
        // A version that is named stays what it is; the latest may be replaced between the look and the read.
        let version = Some(entity.info.version).filter(|version| *version != VersionId::Null);
        let range = range.map(|range| RangeSpec::FromTo(range.start, range.end.saturating_sub(1)));
        let options = GetOptions { version, range, ..GetOptions::default() };
        let reader = self.inner.objects.get(&entity.at, options).await?;
        if reader.info.modified != entity.info.modified {
            return Err(
                SwiftError::usual(StatusCode::SERVICE_UNAVAILABLE).internal("the object was replaced")
            );
        }
        Ok(reader.body)
    }

    /// Reads and understands the manifest of a static large object.
    pub(crate) async fn manifest_of(
        &self,
        at: &ObjectPath,
        info: &ObjectInfo,
        body: Option<ObjectBody>,
    ) -> Result<Manifest> {
        let most = self.inner.config.manifest_bytes_max as u64 * 2;
        if info.size > most {
            return Err(
                SwiftError::usual(StatusCode::INTERNAL_SERVER_ERROR).internal("a manifest beyond all limits")
            );
        }
        let body = match body {
            Some(body) => body,
            None => {
                let version = Some(info.version).filter(|version| *version != VersionId::Null);
                self.object(at, version, true).await?.1.ok_or_else(SwiftError::not_found)?
            }
        };
        let mut text = Vec::new();
        let mut pieces = body;
        while let Some(piece) = pieces.next().await {
            text.extend_from_slice(&piece?);
        }
        Manifest::read(&text).ok_or_else(|| {
            SwiftError::usual(StatusCode::INTERNAL_SERVER_ERROR).internal("a manifest that cannot be read")
        })
    }
}

/// The bytes of several ranges, each with a head of its own.
pub(crate) fn multipart(
    gateway: SwiftGateway,
    call: Call,
    entity: Entity,
    ranges: Vec<Range<u64>>,
    boundary: String,
    content_type: HeaderValue,
) -> (Pieces, u64) {
    let size = entity.size.unwrap_or(0);
    let head = |range: &Range<u64>| {
        let content_type = content_type.to_str().unwrap_or("application/octet-stream");
        let (start, last) = (range.start, range.end.saturating_sub(1));
        format!(
            "--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: bytes {start}-{last}/{size}\r\n\r\n"
        )
    };
    let tail = format!("--{boundary}--");
    let parts: Vec<(String, Range<u64>)> = ranges.iter().map(|range| (head(range), range.clone())).collect();
    let len = parts.iter().map(|(head, range)| head.len() as u64 + range.end - range.start + 2).sum::<u64>()
        + tail.len() as u64;
    let state = (gateway, call, entity, parts.into_iter());
    let bodies = stream::try_unfold(state, |(gateway, call, mut entity, mut parts)| async move {
        let Some((head, range)) = parts.next() else { return Ok::<_, ringfort_http::BoxError>(None) };
        let body = gateway.read(&call, &mut entity, Some(range)).await?;
        let framed = stream::once(async move { Ok(head.into()) })
            .chain(body)
            .chain(stream::once(async { Ok(bytes::Bytes::from_static(b"\r\n")) }));
        Ok(Some((framed, (gateway, call, entity, parts))))
    });
    let flat = futures_util::TryStreamExt::try_flatten(bodies);
    let whole = flat.chain(stream::once(async move { Ok(tail.into()) }));
    (Box::pin(whole), len)
}

/// The content type as clients see it.
pub(crate) fn content_type(info: &ObjectInfo) -> String {
    let stored = info.attributes.content_type.as_deref().unwrap_or("application/octet-stream");
    Listed::parse(stored).content_type
}
