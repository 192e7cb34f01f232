//! The bytes of a large object: its parts one after the other, each opened when its turn comes.
//!
//! Large objects may lie within large objects. What is still to come is a stack, one level per manifest that was opened, so
//! memory is bounded by depth times segments and a loop ends at the greatest depth.

use super::{DEPTH_MAX, Look, is_static};
use crate::authorize::Need;
use crate::error::{Result, SwiftError};
use crate::gateway::{Call, SwiftGateway};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::StatusCode;
use ringfort_http::{BoxError, Pieces};
use ringfort_object::{GetOptions, ListEntry, ListRequest, ObjectBody, ObjectPath, RangeSpec};
use std::collections::VecDeque;
use std::ops::Range;

/// Objects of an endless one listed at a time.
const PAGE: u32 = 1000;

/// A part of a large object.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Object {
        at: ObjectPath,
        /// The tag it must have.
        etag: Option<String>,
        /// Its whole size.
        size: u64,
        /// What of it belongs to the large object.
        range: Range<u64>,
        /// It is a static large object itself.
        nested: bool,
    },
    Data(Bytes),
}

impl Part {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Object { range, .. } => range.end.saturating_sub(range.start),
            Self::Data(data) => data.len() as u64,
        }
    }

    /// The part without its first `skip` bytes, and at most `most` long.
    fn cut(self, skip: u64, most: u64) -> Self {
        match self {
            Self::Object { at, etag, size, range, nested } => {
                let start = range.start.saturating_add(skip).min(range.end);
                let end = range.end.min(start.saturating_add(most));
                Self::Object { at, etag, size, range: start..end, nested }
            }
            Self::Data(data) => {
                let start = usize::try_from(skip).unwrap_or(usize::MAX).min(data.len());
                let end = usize::try_from(most)
                    .map_or(data.len(), |most| start.saturating_add(most).min(data.len()));
                Self::Data(data.slice(start..end))
            }
        }
    }
}

/// The parts that make up `range` of the whole.
fn within(parts: Vec<Part>, range: Range<u64>) -> VecDeque<Part> {
    let mut at = 0_u64;
    let mut chosen = VecDeque::new();
    for part in parts {
        let (start, end) = (at, at.saturating_add(part.len()));
        at = end;
        if end <= range.start || start >= range.end {
            continue;
        }
        let skip = range.start.saturating_sub(start);
        chosen.push_back(part.cut(skip, range.end - start.max(range.start)));
    }
    chosen
}

/// A walk over parts.
pub(crate) struct Walk {
    gateway: SwiftGateway,
    call: Call,
    levels: Vec<VecDeque<Part>>,
    /// Where the listing of an endless object goes on.
    listing: Option<(ObjectPath, String)>,
    current: Option<ObjectBody>,
    /// The container whose objects the caller was last found to be allowed to read.
    allowed: Option<(String, String)>,
}

impl Walk {
    /// Over `range` of what these parts make up.
    pub(super) fn over(gateway: &SwiftGateway, call: &Call, parts: Vec<Part>, range: Range<u64>) -> Self {
        Self::new(gateway, call, vec![within(parts, range)], None)
    }

    /// Over all objects of a container that begin with the path's key.
    pub(super) fn endless(gateway: &SwiftGateway, call: &Call, prefix: ObjectPath) -> Self {
        Self::new(gateway, call, Vec::new(), Some((prefix, String::new())))
    }

    fn new(
        gateway: &SwiftGateway,
        call: &Call,
        levels: Vec<VecDeque<Part>>,
        listing: Option<(ObjectPath, String)>,
    ) -> Self {
        Self { gateway: gateway.clone(), call: call.clone(), levels, listing, current: None, allowed: None }
    }

    /// Reads the first piece and gives the stream of all.
    pub(super) async fn start(mut self) -> Result<Pieces> {
        let first = Box::pin(self.next()).await.map_err(|error| match error.status().as_u16() {
            // A segment that is gone, is another one, or is kept from the caller.
            401 | 403 | 404 | 412 => SwiftError::usual(StatusCode::CONFLICT).internal(error),
            _ => error,
        })?;
        let Some(first) = first else { return Ok(Box::pin(stream::empty())) };
        let rest = stream::try_unfold(self, |mut walk| async move {
            let piece = Box::pin(walk.next()).await.map_err(|error| Box::new(error) as BoxError)?;
            Ok(piece.map(|piece| (piece, walk)))
        });
        Ok(Box::pin(stream::once(async move { Ok(first) }).chain(rest)))
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(body) = &mut self.current {
                match body.next().await {
                    Some(piece) => return Ok(Some(piece?)),
                    None => self.current = None,
                }
            }
            let Some(part) = self.next_part().await? else { return Ok(None) };
            match part {
                Part::Data(data) if data.is_empty() => {}
                Part::Data(data) => return Ok(Some(data)),
                Part::Object { range, .. } if range.is_empty() => {}
                Part::Object { at, etag, size, range, nested } => {
                    self.allow(&at).await?;
                    if nested {
                        self.descend(at, etag, range).await?;
                    } else {
                        self.open(at, etag, size, range).await?;
                    }
                }
            }
        }
    }

    async fn next_part(&mut self) -> Result<Option<Part>> {
        loop {
            match self.levels.last_mut().map(VecDeque::pop_front) {
                Some(Some(part)) => return Ok(Some(part)),
                Some(None) => {
                    self.levels.pop();
                }
                None if self.list_more().await? => {}
                None => return Ok(None),
            }
        }
    }

    /// Lists more objects of an endless one.
    async fn list_more(&mut self) -> Result<bool> {
        let Some((prefix, marker)) = self.listing.take() else { return Ok(false) };
        let request =
            ListRequest { prefix: prefix.key.clone(), marker, limit: PAGE, ..ListRequest::default() };
        let page = self.gateway.inner.objects.list(&prefix.account, &prefix.container, &request).await?;
        let parts = page.entries().filter_map(|entry| match entry {
            ListEntry::Object(object) => Some(super::dynamic::part_of(&prefix, object)),
            ListEntry::CommonPrefix(_) => None,
        });
        self.levels.push(parts.collect());
        if page.truncated {
            self.listing = Some((prefix, page.next_marker));
        }
        Ok(true)
    }

    async fn allow(&mut self, at: &ObjectPath) -> Result<()> {
        let place = (at.account.clone(), at.container.clone());
        if self.allowed.as_ref() != Some(&place) {
            self.gateway.allow_at(&self.call, at, Need::Read).await?;
            self.allowed = Some(place);
        }
        Ok(())
    }

    async fn descend(&mut self, at: ObjectPath, etag: Option<String>, range: Range<u64>) -> Result<()> {
        if self.levels.len() >= DEPTH_MAX {
            let error = SwiftError::usual(StatusCode::CONFLICT);
            return Err(error.internal("large objects lie too deep within each other"));
        }
        let look = Look { raw: true, open: true, ..Look::default() };
        let found = Box::pin(self.gateway.entity(&self.call, at, &look)).await?;
        let super::Content::Plain(body) = found.content else { return Err(changed()) };
        if !is_static(&found.info)
            || etag.is_some_and(|etag| super::kept(&found.info, super::SLO_ETAG) != Some(&etag))
        {
            return Err(changed());
        }
        let manifest = self.gateway.manifest_of(&found.at, &found.info, body).await?;
        self.levels.push(within(manifest.into_parts(&found.at.account), range));
        Ok(())
    }

    async fn open(
        &mut self,
        at: ObjectPath,
        etag: Option<String>,
        size: u64,
        range: Range<u64>,
    ) -> Result<()> {
        let part = (range.start > 0 || range.end < size)
            .then(|| RangeSpec::FromTo(range.start, range.end.saturating_sub(1)));
        let options = GetOptions { range: part, ..GetOptions::default() };
        let mut reader = self.gateway.inner.objects.get(&at, options.clone()).await;
        let linked = match &reader {
            Ok(found) => super::link_of(&found.info).is_some(),
            Err(ringfort_object::ObjectError::RangeNotSatisfiable { size: 0 }) => true,
            Err(_) => false,
        };
        if linked {
            let found =
                Box::pin(self.gateway.entity(&self.call, at, &Look { raw: true, ..Look::default() })).await?;
            reader = self.gateway.inner.objects.get(&found.at, options).await;
        }
        let reader = reader?;
        let same = etag.is_none_or(|etag| reader.info.etag.to_string() == etag);
        if !same || reader.info.size != size {
            return Err(changed());
        }
        self.current = Some(reader.body);
        Ok(())
    }
}

fn changed() -> SwiftError {
    SwiftError::usual(StatusCode::CONFLICT).internal("a segment is not what its manifest says")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn data(text: &'static str) -> Part {
        Part::Data(Bytes::from_static(text.as_bytes()))
    }

    proptest! {
        #[test]
        fn a_range_of_the_parts_is_the_range_of_the_whole(start in 0_usize..12, len in 0_usize..12) {
            let whole = "abcdefghij";
            let parts = vec![data("abc"), data(""), data("d"), data("efghij")];
            let end = (start + len).min(whole.len());
            let start = start.min(end);
            let mut joined = Vec::new();
            for part in within(parts, start as u64..end as u64) {
                let Part::Data(data) = part else { panic!("data") };
                joined.extend_from_slice(&data);
            }
            prop_assert_eq!(&joined[..], &whole.as_bytes()[start..end]);
        }
    }
}
