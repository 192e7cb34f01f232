//! Reading objects: conditions, ranges and parts are settled from the version's record, then only the chunks needed are
//! read, a few pieces ahead of the reader.

use crate::put::{attributes_of, check_key};
use crate::store::decoded;
use crate::types::{ObjectBody, ObjectReader};
use crate::{
    GetOptions, ObjectError, ObjectInfo, ObjectPart, ObjectPath, ObjectStore, RangeSpec, ReadConditions,
    VersionId,
};
use bytes::Bytes;
use futures_util::stream;
use ringfort_core::{BlobId, Policy};
use ringfort_object_model::{BlobRef, Body, Found, ManifestPage, Query, Version, decode_manifest};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

/// Parts of a multipart object fetched at a time.
const PARTS_PAGE: u32 = 256;

/// A version found, and what is needed to read it.
pub(crate) struct Opened<'p> {
    pub(crate) info: ObjectInfo,
    pub(crate) at: &'p ObjectPath,
    pub(crate) body: Body,
    pub(crate) inline: Option<Bytes>,
}

impl ObjectStore {
    /// Finds an object version; no body is read.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub async fn head(&self, at: &ObjectPath, options: GetOptions) -> Result<ObjectInfo, ObjectError> {
        Ok(self.open(at, &options, false).await?.info)
    }

    /// Opens an object version to read.
    ///
    /// # Errors
    /// What is missing, a condition that does not hold, a range outside the object.
    pub async fn get(&self, at: &ObjectPath, options: GetOptions) -> Result<ObjectReader, ObjectError> {
        let opened = self.open(at, &options, true).await?;
        let modified = opened.info.modified;
        match self.reader(opened).await {
            Err(error @ (ObjectError::Unavailable { .. } | ObjectError::Corrupt { .. })) => {
                // Perhaps the version was replaced, and its chunks removed, between the two reads.
                let again = self.open(at, &options, true).await?;
                if again.info.modified == modified { Err(error) } else { self.reader(again).await }
            }
            ended => ended,
        }
    }

    pub(crate) async fn open<'p>(
        &self,
        at: &'p ObjectPath,
        options: &GetOptions,
        body: bool,
    ) -> Result<Opened<'p>, ObjectError> {
        check_key(&at.key)?;
        let version = options.version;
        let (payload, inline) = self
            .on_shard(&at.account, &at.container, &at.key, |home| async move {
                let query = Query::Get { shard: home.shard, key: &at.key, version, body };
                self.query(home.shard.slot(), &query).await
            })
            .await?;
        let found = decoded(Found::decode(&payload))?;
        if found.version.marker {
            let (version, modified) = (found.version.id(), found.version.modified());
            let latest = options.version.is_none();
            return Err(ObjectError::DeleteMarker { version, modified, latest });
        }
        let mut info = info_of(&found)?;
        if !found.version.visible(ringfort_runtime::wall_us() / 1_000_000) {
            return Err(ObjectError::NoSuchKey);
        }
        check_read(&options.conditions, &found.version)?;
        let size = info.size;
        info.range = match (options.part_number, options.range) {
            (Some(number), _) => {
                let (range, checksums) = self.part(at, &found.version, number).await?;
                info.part_checksums = checksums.unwrap_or_else(|| info.attributes.checksums.clone());
                range
            }
            (None, Some(range)) => resolve(range, size)?,
            (None, None) => 0..size,
        };
        Ok(Opened { info, at, body: found.version.body, inline })
    }

    /// Where a part is, and its checksums. An object stored in one go is its own first part, and has the object's.
    #[allow(clippy::type_complexity, reason = "a range and a list")]
    async fn part(
        &self,
        at: &ObjectPath,
        version: &Version<'_>,
        number: u32,
    ) -> Result<(Range<u64>, Option<Vec<(String, String)>>), ObjectError> {
        let size = version.size;
        let Body::Manifest { id, .. } = version.body else {
            return if number == 1 {
                Ok((0..size, None))
            } else {
                Err(ObjectError::RangeNotSatisfiable { size })
            };
        };
        let mut start = 0;
        loop {
            let ManifestPage { parts, truncated, .. } = self.manifest(at, id, start).await?;
            for part in parts {
                if part.number == number {
                    return Ok((start..start + part.size, Some(part.checksums)));
                }
                start += part.size;
            }
            if !truncated {
                return Err(ObjectError::RangeNotSatisfiable { size });
            }
        }
    }

    /// The parts of an object after the number `after`, at most `limit` of them, and whether there are
    /// more. An object stored in one go has none.
    ///
    /// # Errors
    /// As [`Self::head`].
    pub async fn object_parts(
        &self,
        at: &ObjectPath,
        version: Option<VersionId>,
        after: u32,
        limit: usize,
    ) -> Result<(Vec<ObjectPart>, bool), ObjectError> {
        let options = GetOptions { version, ..GetOptions::default() };
        let opened = self.open(at, &options, false).await?;
        let Body::Manifest { id, .. } = opened.body else { return Ok((Vec::new(), false)) };
        let (mut found, mut start) = (Vec::new(), 0);
        loop {
            let ManifestPage { parts, truncated, .. } = self.manifest(at, id, start).await?;
            for part in parts {
                start += part.size;
                if part.number > after {
                    if found.len() == limit {
                        return Ok((found, true));
                    }
                    let (number, size, checksums) = (part.number, part.size, part.checksums);
                    found.push(ObjectPart { number, size, checksums });
                }
            }
            if !truncated {
                return Ok((found, false));
            }
        }
    }

    /// A page of a multipart object's parts, from the one that holds byte `offset`.
    pub(crate) async fn manifest(
        &self,
        at: &ObjectPath,
        id: u64,
        offset: u64,
    ) -> Result<ManifestPage, ObjectError> {
        let payload = self
            .on_shard(&at.account, &at.container, &at.key, |home| async move {
                let query =
                    Query::Manifest { shard: home.shard, key: &at.key, id, offset, limit: PARTS_PAGE };
                Ok(self.query(home.shard.slot(), &query).await?.0)
            })
            .await?;
        decoded(decode_manifest(&payload))
    }

    /// The stream of an opened version. The first piece is read before this returns, so that an error comes as one.
    pub(crate) async fn reader(&self, opened: Opened<'_>) -> Result<ObjectReader, ObjectError> {
        let Opened { info, at, body, inline } = opened;
        let range = info.range.clone();
        if range.is_empty() {
            return Ok(ObjectReader { info, body: ObjectBody::whole(Bytes::new()) });
        }
        let mut ahead = ReadAhead {
            store: self.clone(),
            plan: VecDeque::new(),
            rest: None,
            reads: VecDeque::new(),
            left: range.end - range.start,
        };
        match body {
            Body::Empty => return Err(ObjectError::Corrupt { what: "bytes of an empty body".to_owned() }),
            Body::Inline(blob) => {
                let whole = inline.filter(|bytes| bytes.len() as u64 == info.size);
                let whole = whole.ok_or_else(|| ObjectError::Corrupt {
                    what: format!("inline body {blob} is cut short"),
                })?;
                let (start, end) = (index(range.start)?, index(range.end)?);
                return Ok(ObjectReader { info, body: ObjectBody::whole(whole.slice(start..end)) });
            }
            Body::Chunks(blob) => ahead.plan.push_back(Span::new(self, blob, info.size, range)?),
            Body::Manifest { id, .. } => ahead.rest = Some(Rest { at: at.clone(), id, range }),
        }
        let first = ahead.next().await?;
        if ahead.left == 0 {
            return Ok(ObjectReader { info, body: ObjectBody::whole(first.unwrap_or_default()) });
        }
        let rest = stream::unfold((first, Some(ahead)), |(first, ahead)| async move {
            let mut ahead = ahead?;
            if let Some(first) = first {
                return Some((Ok(first), (None, Some(ahead))));
            }
            match ahead.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), (None, Some(ahead)))),
                Ok(None) => None,
                Err(error) => Some((Err(error), (None, None))),
            }
        });
        Ok(ObjectReader { info, body: ObjectBody::stream(rest) })
    }
}

fn index(offset: u64) -> Result<usize, ObjectError> {
    usize::try_from(offset).map_err(|_| ObjectError::internal("an offset beyond memory"))
}

/// A version as its record tells, read as a whole.
pub(crate) fn info_of(found: &Found<'_>) -> Result<ObjectInfo, ObjectError> {
    let version = &found.version;
    let parts = match version.body {
        Body::Manifest { parts, .. } => parts,
        Body::Empty | Body::Inline(_) | Body::Chunks(_) => 0,
    };
    Ok(ObjectInfo {
        size: version.size,
        etag: version.etag,
        modified: version.modified(),
        version: version.id(),
        versioning: found.versioning,
        latest: found.latest,
        attributes: attributes_of(version)?,
        parts,
        range: 0..version.size,
        part_checksums: Vec::new(),
    })
}

pub(crate) fn check_read(conditions: &ReadConditions, version: &Version<'_>) -> Result<(), ObjectError> {
    let modified = version.modified();
    let met = match (&conditions.if_match, conditions.if_unmodified_since) {
        (Some(wanted), _) => wanted.matches(&version.etag),
        (None, Some(since)) => modified.secs() <= since,
        (None, None) => true,
    };
    if !met {
        return Err(ObjectError::PreconditionFailed);
    }
    let news = match (&conditions.if_none_match, conditions.if_modified_since) {
        (Some(known), _) => !known.matches(&version.etag),
        (None, Some(since)) => modified.secs() > since,
        (None, None) => true,
    };
    if news {
        return Ok(());
    }
    Err(ObjectError::NotModified { etag: version.etag, modified, version: version.id() })
}

/// The bytes of an object of `size` bytes that `range` names.
fn resolve(range: RangeSpec, size: u64) -> Result<Range<u64>, ObjectError> {
    let resolved = match range {
        RangeSpec::From(start) => start..size,
        RangeSpec::FromTo(start, end) => start..end.saturating_add(1).min(size),
        RangeSpec::Suffix(0) => size..size,
        RangeSpec::Suffix(len) => size.saturating_sub(len)..size,
    };
    if resolved.is_empty() { Err(ObjectError::RangeNotSatisfiable { size }) } else { Ok(resolved) }
}

/// Bytes of one blob that are still to be read.
struct Span {
    policy: Arc<Policy>,
    blob: BlobId,
    chunk_bytes: u64,
    size: u64,
    range: Range<u64>,
}

/// One read of a chunk.
struct ChunkRead {
    number: u32,
    chunk_len: u32,
    range: Range<u32>,
}

impl Span {
    fn new(store: &ObjectStore, blob: BlobRef, size: u64, range: Range<u64>) -> Result<Self, ObjectError> {
        let sound = blob.chunk_bytes > 0 && range.end <= size;
        let chunk_bytes = u64::from(blob.chunk_bytes);
        if !sound {
            return Err(ObjectError::Corrupt { what: format!("record of blob {}", blob.blob) });
        }
        Ok(Self { policy: store.policy(blob.policy)?, blob: blob.blob, chunk_bytes, size, range })
    }

    /// Takes the next read of at most `bytes_max` bytes, which never crosses a chunk nor, where it can, a multiple of
    /// `bytes_max`.
    fn take(&mut self, bytes_max: u32) -> Option<ChunkRead> {
        let start = self.range.start;
        let number = u32::try_from(start / self.chunk_bytes).ok()?;
        let chunk_start = start / self.chunk_bytes * self.chunk_bytes;
        let chunk_len = self.chunk_bytes.min(self.size - chunk_start);
        let step = u64::from(bytes_max.max(4096));
        let aligned = (start - chunk_start) / step * step + step;
        let end = (chunk_start + aligned.min(chunk_len)).min(self.range.end);
        self.range.start = end;
        let within = |offset: u64| u32::try_from(offset - chunk_start).ok();
        let (chunk_len, range) = (u32::try_from(chunk_len).ok()?, within(start)?..within(end)?);
        Some(ChunkRead { number, chunk_len, range })
    }
}

/// Parts that are still to be looked up.
struct Rest {
    at: ObjectPath,
    id: u64,
    range: Range<u64>,
}

/// Bytes read, and the leave to have them at hand before they are asked for.
type Ahead = (Bytes, Option<OwnedSemaphorePermit>);

/// Reads under way, in order.
struct ReadAhead {
    store: ObjectStore,
    plan: VecDeque<Span>,
    rest: Option<Rest>,
    reads: VecDeque<JoinHandle<Result<Ahead, ObjectError>>>,
    /// Bytes not handed out yet.
    left: u64,
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        // The reader has gone: reads are cancel-safe.
        self.reads.iter().for_each(JoinHandle::abort);
    }
}

impl ReadAhead {
    /// The next bytes; `None` when all were handed out.
    async fn next(&mut self) -> Result<Option<Bytes>, ObjectError> {
        if self.left == 0 {
            return Ok(None);
        }
        let most = self.store.inner.config.reads_ahead + 1;
        while self.reads.len() < most && self.start_one().await? {}
        let Some(read) = self.reads.pop_front() else {
            return Err(ObjectError::Corrupt {
                what: "an object is shorter than its record says".to_owned(),
            });
        };
        let (bytes, _leave) = read.await.unwrap_or_else(|_| Err(ObjectError::internal("a read died")))?;
        self.left = self.left.saturating_sub(bytes.len() as u64);
        Ok(Some(bytes))
    }

    /// Starts the next read, if there is one.
    async fn start_one(&mut self) -> Result<bool, ObjectError> {
        while self.plan.front().is_none_or(|span| span.range.is_empty()) {
            if self.plan.pop_front().is_none() && !self.look_up().await? {
                return Ok(false);
            }
        }
        // A read beyond the one that is waited for needs its share of what all readers may have under way.
        let leave = self.store.try_go_ahead(self.store.inner.config.read_bytes as usize);
        if leave.is_none() && !self.reads.is_empty() {
            return Ok(false);
        }
        let Some(span) = self.plan.front_mut() else { return Ok(false) };
        let read = span.take(self.store.inner.config.read_bytes);
        let ChunkRead { number, chunk_len, range } =
            read.ok_or_else(|| ObjectError::internal("a chunk beyond counting"))?;
        let (store, policy, blob) = (self.store.clone(), Arc::clone(&span.policy), span.blob);
        let wanted = range.end - range.start;
        self.reads.push_back(self.store.inner.tasks.spawn(async move {
            let bytes = store.inner.chunks.read(&policy, blob, number, chunk_len, range).await?;
            if bytes.len() == wanted as usize {
                return Ok((bytes, leave));
            }
            Err(ObjectError::Corrupt { what: format!("chunk {number} of blob {blob} is cut short") })
        }));
        Ok(true)
    }

    /// Looks up more parts. `false` if there are none.
    async fn look_up(&mut self) -> Result<bool, ObjectError> {
        let Some(Rest { at: path, id, range }) = self.rest.take() else { return Ok(false) };
        let page = self.store.manifest(&path, id, range.start).await?;
        let mut at = range.start;
        let mut skipped = range.start.saturating_sub(page.start);
        for part in page.parts {
            let len = part.size.saturating_sub(skipped).min(range.end.saturating_sub(at));
            if len > 0 {
                let blob = part
                    .blob
                    .ok_or_else(|| ObjectError::Corrupt { what: "a part without bytes".to_owned() })?;
                self.plan.push_back(Span::new(&self.store, blob, part.size, skipped..skipped + len)?);
            }
            at += len;
            skipped = 0;
        }
        if page.truncated && at < range.end && at > range.start {
            self.rest = Some(Rest { at: path, id, range: at..range.end });
        }
        Ok(at > range.start)
    }
}
