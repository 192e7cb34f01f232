//! GET and HEAD of an object: conditions, ranges, and the whole.

use super::object::push_entity;
use crate::clock;
use crate::entity::{self, Content, Entity, Look, Part, is_static};
use crate::error::{Result, SwiftError};
use crate::gateway::{Call, Reply, SwiftGateway};
use crate::headers;
use crate::ranges::{self, Wanted};
use http::header::{
    CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};
use http::{HeaderMap, Response, StatusCode};
use ringfort_http::ReplyBody;
use ringfort_object::VersionId;

impl SwiftGateway {
    pub(crate) async fn read_object(&self, call: Call) -> Reply {
        let head = &call.parts.headers;
        let raw = call.query.get("multipart-manifest") == Some("get");
        let choosy = [RANGE, IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE];
        let plain = !call.is_head() && !choosy.iter().any(|name| head.contains_key(name));
        let look = Look {
            version: version_of(&call)?,
            open: plain && !call.query.has("part-number"),
            raw,
            link: call.query.get("symlink") == Some("get"),
        };
        let entity = self.entity(&call, call.path(), &look).await?;
        if raw && is_static(&entity.info) {
            return Box::pin(self.read_manifest(call, entity)).await;
        }
        self.reply(call, entity).await
    }

    /// The manifest itself, as it is kept or as it was sent.
    async fn read_manifest(&self, call: Call, mut entity: Entity) -> Reply {
        let body = match &mut entity.content {
            Content::Plain(body) => body.take(),
            Content::Parts(_) | Content::Endless { .. } => None,
        };
        let sent_form = call.query.get("format") == Some("raw");
        if sent_form {
            let manifest = self.manifest_of(&entity.at, &entity.info, body).await?;
            let text = manifest.as_sent().to_string();
            use md5::Digest;
            entity.etag = hex::encode(md5::Md5::digest(text.as_bytes()));
            let mut response = Response::new(ReplyBody::whole(text));
            push_entity(response.headers_mut(), &entity);
            return Ok(with_length(response));
        }
        entity.content = Content::Plain(body);
        let mut response = self.reply(call, entity).await?;
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        Ok(response)
    }

    /// The reply about an entity that was found.
    pub(crate) async fn reply(&self, call: Call, mut entity: Entity) -> Reply {
        let mut response = Response::new(ReplyBody::empty());
        push_entity(response.headers_mut(), &entity);
        let version = &entity.info.version;
        if entity.linked {
            let location = self.location(&entity.at);
            response.headers_mut().insert(CONTENT_LOCATION, headers::value(location));
        } else if *version != VersionId::Null && !call.query.has("version-id") {
            // Where these very bytes stay, whatever comes after them.
            let location =
                format!("{}?version-id={}", self.location(&entity.at), super::version_text(*version));
            response.headers_mut().insert(CONTENT_LOCATION, headers::value(location));
        }
        if let Some(status) = unmet(&call.parts.headers, &entity)? {
            if status == StatusCode::NOT_MODIFIED {
                *response.status_mut() = status;
                return Ok(response);
            }
            *response.status_mut() = status;
            let (content_type, page) = SwiftError::usual(status).page();
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            *response.body_mut() = ReplyBody::whole(page);
            return Ok(response);
        }
        let part = part_number(&call, &entity, response.headers_mut())?;
        let Some(size) = entity.size else {
            // Nobody knows how long it is.
            if !call.is_head() {
                let pieces = self.read(&call, &mut entity, None).await?;
                *response.body_mut() = ReplyBody::stream(pieces, None);
            }
            return Ok(response);
        };
        let wanted = match part {
            Some(part) => part,
            None => range_of(&call.parts.headers, &entity, size),
        };
        // What is read object by object is not jumped about in.
        let dynamic = matches!(entity.content, Content::Parts(_)) && !is_static(&entity.info);
        let wanted = match wanted {
            Wanted::Parts(parts) if dynamic && parts.len() > 1 => Wanted::Whole,
            wanted => wanted,
        };
        match wanted {
            Wanted::Whole => {
                response.headers_mut().insert(CONTENT_LENGTH, size.into());
                if !call.is_head() && size > 0 {
                    let pieces = self.read(&call, &mut entity, None).await?;
                    *response.body_mut() = ReplyBody::stream(pieces, Some(size));
                }
                Ok(response)
            }
            Wanted::Nothing => {
                let unsatisfied = headers::value(format_args!("bytes */{size}"));
                let status = StatusCode::RANGE_NOT_SATISFIABLE;
                let error = if call.query.has("part-number") {
                    SwiftError::text(status, "The requested part number is not satisfiable")
                } else {
                    SwiftError::usual(status)
                };
                let mut error = error.header(CONTENT_RANGE, unsatisfied);
                let told = response.headers().iter().filter(|(name, _)| **name != CONTENT_TYPE);
                for (name, value) in told {
                    error = error.header(name.clone(), value.clone());
                }
                Err(error)
            }
            Wanted::Parts(mut parts) if parts.len() == 1 => {
                let range = parts.pop().unwrap_or(0..0);
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                let out = response.headers_mut();
                let (start, last) = (range.start, range.end.saturating_sub(1));
                out.insert(CONTENT_RANGE, headers::value(format_args!("bytes {start}-{last}/{size}")));
                let len = range.end - range.start;
                out.insert(CONTENT_LENGTH, len.into());
                if !call.is_head() && len > 0 {
                    let pieces = self.read(&call, &mut entity, Some(range)).await?;
                    *response.body_mut() = ReplyBody::stream(pieces, Some(len));
                }
                Ok(response)
            }
            Wanted::Parts(parts) => Ok(self.several(call, entity, parts, response)),
        }
    }

    fn several(
        &self,
        call: Call,
        entity: Entity,
        parts: Vec<std::ops::Range<u64>>,
        mut response: Response<ReplyBody>,
    ) -> Response<ReplyBody> {
        let boundary = call.trans_id.clone();
        let inner = response.headers().get(CONTENT_TYPE).cloned();
        let inner = inner.unwrap_or(HeaderValue::from_static("application/octet-stream"));
        let head = call.is_head();
        let (pieces, len) = entity::multipart(self.clone(), call, entity, parts, boundary.clone(), inner);
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let out = response.headers_mut();
        out.insert(CONTENT_TYPE, headers::value(format_args!("multipart/byteranges;boundary={boundary}")));
        out.insert(CONTENT_LENGTH, len.into());
        if !head {
            *response.body_mut() = ReplyBody::stream(pieces, Some(len));
        }
        response
    }
}

/// A reply whose length is that of its body, HEAD or not.
fn with_length(mut response: Response<ReplyBody>) -> Response<ReplyBody> {
    let len = http_body::Body::size_hint(response.body()).exact().unwrap_or(0);
    response.headers_mut().insert(CONTENT_LENGTH, len.into());
    response
}

/// The version that a request names.
pub(super) fn version_of(call: &Call) -> Result<Option<VersionId>> {
    let Some(text) = call.query.get_filled("version-id") else { return Ok(None) };
    let version = super::parse_version(text)?;
    // Old versions are the owner's business.
    if !call.is_owner() {
        return Err(crate::authorize::denied(call));
    }
    Ok(Some(version))
}

/// The segment of a large object that `part-number` asks for, as a range.
fn part_number(call: &Call, entity: &Entity, out: &mut HeaderMap) -> Result<Option<Wanted>> {
    let Some(text) = call.query.get("part-number") else { return Ok(None) };
    let refused = || SwiftError::bad_request("Part number must be an integer greater than 0");
    let number: u64 = text.parse().ok().filter(|number| *number > 0).ok_or_else(refused)?;
    let (Content::Parts(parts), true) = (&entity.content, is_static(&entity.info)) else { return Ok(None) };
    if call.parts.headers.contains_key(RANGE) {
        return Err(SwiftError::bad_request("Range requests are not supported with part number queries"));
    }
    headers::put(out, "x-parts-count", parts.len());
    Ok(Some(match part_of(parts, number) {
        Some(part) => Wanted::Parts(std::iter::once(part).collect()),
        None => Wanted::Nothing,
    }))
}

/// Where part `number` lies within the whole.
pub(super) fn part_of(parts: &[Part], number: u64) -> Option<std::ops::Range<u64>> {
    let mut start = 0;
    for (part, place) in parts.iter().zip(1_u64..) {
        let end = start + part.len();
        if place == number {
            return Some(start..end);
        }
        start = end;
    }
    None
}

fn range_of(head: &HeaderMap, entity: &Entity, size: u64) -> Wanted {
    let Some(range) = head.get(RANGE).and_then(|range| range.to_str().ok()) else { return Wanted::Whole };
    let counts = head.get(IF_RANGE).is_none_or(|validator| {
        let Ok(text) = validator.to_str() else { return false };
        match clock::parse_http_date(text) {
            Some(date) => date == clock::rounded_up(entity.info.modified),
            None => same_tag(text.trim(), &entity.etag),
        }
    });
    if counts { ranges::wanted(range, size) } else { Wanted::Whole }
}

/// The status that says which condition does not hold.
fn unmet(head: &HeaderMap, entity: &Entity) -> Result<Option<StatusCode>> {
    let tags = |name: &str| -> Result<Option<bool>> {
        Ok(headers::text(head, name)?.map(|list| names_tag(list, &entity.etag)))
    };
    if tags("if-none-match")? == Some(true) {
        return Ok(Some(StatusCode::NOT_MODIFIED));
    }
    if tags("if-match")? == Some(false) {
        return Ok(Some(StatusCode::PRECONDITION_FAILED));
    }
    let modified = clock::rounded_up(entity.info.modified);
    let since = |name: &str| -> Result<Option<u64>> {
        Ok(headers::text(head, name)?.and_then(clock::parse_http_date))
    };
    if since("if-modified-since")?.is_some_and(|since| modified <= since) {
        return Ok(Some(StatusCode::NOT_MODIFIED));
    }
    if since("if-unmodified-since")?.is_some_and(|since| modified > since) {
        return Ok(Some(StatusCode::PRECONDITION_FAILED));
    }
    Ok(None)
}

/// Whether a list of tags names this one.
pub(super) fn names_tag(list: &str, etag: &str) -> bool {
    list.split(',').map(str::trim).any(|tag| tag == "*" || same_tag(tag, etag))
}

fn same_tag(a: &str, b: &str) -> bool {
    let bare = |tag: &str| tag.trim_start_matches("W/").trim_matches('"').to_owned();
    bare(a) == bare(b)
}
