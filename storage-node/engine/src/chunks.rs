//! Chunks: store, read by range, delete, list, verify.

use crate::disk::DiskFile;
use crate::engine::Inner;
use crate::format::chunk::{self, BLOCK};
use crate::format::{ChunkEntry, Owner, Target};
use crate::index::tx::bad_value;
use crate::index::{Family, keys};
use crate::queue::{Put, PutMode, Request};
use crate::writer::{head_len, payload_max};
use crate::{ChunkInfo, Engine, EngineError, IoClass};
use bytes::Bytes;
use ringfort_core::{BlobId, ChunkKey};
use std::ops::Range;
use std::sync::Arc;

/// Bodies up to this size are hashed by the caller: handing them to another thread costs more.
const HASH_HERE_MAX: usize = 16 << 10;
/// Ranges up to this size are read by the caller if the page cache has them.
const READ_HERE_MAX: usize = 128 << 10;

impl Engine {
    /// Stores a chunk; durable on return. The same key with the same content is fine, with other content a conflict.
    ///
    /// # Cancel safety
    ///
    /// A dropped call may or may not have stored the chunk.
    pub async fn put_chunk(
        &self,
        key: ChunkKey,
        body: Vec<Bytes>,
        class: IoClass,
    ) -> Result<(), EngineError> {
        let inner = self.inner();
        // Background work leaves clients an extent more of room.
        let no_room = match class {
            IoClass::Client => inner.is_full(),
            IoClass::Background => inner.is_full() || inner.client_room()? < 2 * inner.extents.extent_bytes(),
        };
        if no_room {
            return Err(EngineError::NoSpace);
        }
        self.store(key, body, PutMode::New).await
    }

    /// Repair: stores a good copy of a chunk over whatever is there; an inline body stays with its group. An empty body is fine.
    pub async fn replace_chunk(&self, key: ChunkKey, body: Vec<Bytes>) -> Result<(), EngineError> {
        self.store(key, body, PutMode::Replace).await
    }

    async fn store(&self, key: ChunkKey, body: Vec<Bytes>, mode: PutMode) -> Result<(), EngineError> {
        let inner = self.inner();
        let len: usize = body.iter().map(Bytes::len).sum();
        let body_len = body_len(inner, len)?;
        let share = u32::try_from(len.min(16 << 20)).unwrap_or(u32::MAX);
        let permit = inner.body_bytes.acquire_many(share).await.map_err(|_| EngineError::Closed)?;
        let inline = match mode {
            PutMode::New | PutMode::Install => None,
            PutMode::Replace => {
                inner.chunk_entry(&key)?.filter(ChunkEntry::is_inline).map(|entry| entry.owner)
            }
        };
        let hash = move || {
            let table = chunk::table_of_pieces(&key, &body);
            let owner = inline.unwrap_or_else(|| Owner::Chunk(chunk::blake3_of_pieces(&body)));
            (owner, table, body)
        };
        let (owner, table, body) =
            if len <= HASH_HERE_MAX { hash() } else { inner.workers()?.run(move || Ok(hash())).await? };
        let result = inner
            .request(|done| Request::Put(Box::new(Put { key, owner, mode, table, body, body_len, done })))
            .await;
        drop(permit);
        result
    }

    /// Reads a range of a chunk or inline body; only the blocks it touches are read and verified.
    pub async fn read_chunk(&self, key: ChunkKey, range: Range<u32>) -> Result<Bytes, EngineError> {
        let inner = self.inner();
        if let Some(error) = inner.failure() {
            return Err(error);
        }
        let entry = inner.chunk_entry(&key)?.ok_or(EngineError::ChunkNotFound { key })?;
        check_range(&entry, &range)?;
        if (range.end - range.start) as usize <= READ_HERE_MAX
            && let Some(bytes) = read_here(inner, &key, &entry, &range)?
        {
            return Ok(bytes);
        }
        let shared = Arc::clone(inner);
        inner.workers()?.run(move || read_blocking(&shared, &key, &range)).await
    }

    /// Reads a chunk in full and checks its blocks and its hash.
    pub async fn verify_chunk(&self, key: ChunkKey) -> Result<(), EngineError> {
        let shared = Arc::clone(self.inner());
        self.inner()
            .workers()?
            .run(move || {
                let entry = shared.chunk_entry(&key)?.ok_or(EngineError::ChunkNotFound { key })?;
                let body = read_blocking(&shared, &key, &(0..entry.body_len))?;
                match entry.owner {
                    Owner::Chunk(hash) if *blake3::hash(&body).as_bytes() != hash => {
                        Err(EngineError::Corrupt { key, extent: entry.extent, offset: entry.body_offset })
                    }
                    _ => Ok(()),
                }
            })
            .await
    }

    /// Deletes all chunks of a blob that were stored before; durable on return, idempotent. Inline bodies are not concerned: their
    /// group releases them.
    pub async fn delete_blob(&self, blob: BlobId) -> Result<(), EngineError> {
        self.inner().request(|done| Request::Delete { target: Target::Blob(blob), done }).await
    }

    /// Deletes one piece; durable on return, idempotent. The same key may be stored again later.
    pub async fn drop_chunk(&self, key: ChunkKey) -> Result<(), EngineError> {
        self.inner().request(|done| Request::Delete { target: Target::Piece(key), done }).await
    }

    /// What the index knows of a chunk.
    pub fn chunk_info(&self, key: ChunkKey) -> Result<Option<ChunkInfo>, EngineError> {
        Ok(self.inner().chunk_entry(&key)?.map(|entry| info(&entry)))
    }

    /// Up to `limit` chunks after `after` in key order, inline bodies left out.
    pub fn list_chunks(
        &self,
        after: Option<ChunkKey>,
        limit: usize,
    ) -> Result<Vec<(ChunkKey, ChunkInfo)>, EngineError> {
        self.list(after, limit, |entry| !entry.is_inline())
    }

    /// Up to `limit` inline bodies after `after` in key order.
    pub fn list_inline(
        &self,
        after: Option<ChunkKey>,
        limit: usize,
    ) -> Result<Vec<(ChunkKey, ChunkInfo)>, EngineError> {
        self.list(after, limit, ChunkEntry::is_inline)
    }

    fn list(
        &self,
        after: Option<ChunkKey>,
        limit: usize,
        wanted: impl Fn(&ChunkEntry) -> bool,
    ) -> Result<Vec<(ChunkKey, ChunkInfo)>, EngineError> {
        let from = after.map_or(Vec::new(), |key| [key.encode().as_slice(), &[0]].concat());
        let mut out = Vec::new();
        let mut cursor = self.inner().index.cursor(Family::Chunks, &from, &[]);
        cursor.first();
        while let Some((key, value)) = cursor.item().filter(|_| out.len() < limit) {
            let entry = ChunkEntry::decode(value).ok_or_else(|| bad_value("a chunk entry"))?;
            if wanted(&entry) {
                out.push((ChunkKey::decode(key).ok_or_else(|| bad_value("a chunk key"))?, info(&entry)));
            }
            cursor.next();
        }
        cursor.status()?;
        Ok(out)
    }
}

fn info(entry: &ChunkEntry) -> ChunkInfo {
    let blake3 = match entry.owner {
        Owner::Chunk(hash) => hash,
        Owner::Inline(_) => [0; 32],
    };
    ChunkInfo { len: entry.body_len, blake3 }
}

/// The length of a body as stored, if one record can hold it.
pub(crate) fn body_len(inner: &Inner, len: usize) -> Result<u32, EngineError> {
    let max = payload_max(inner.extents.extent_bytes());
    let too_large = EngineError::TooLarge { len: len as u64, max };
    match u32::try_from(len) {
        Ok(short) if (head_len(short) + len) as u64 <= max => Ok(short),
        _ => Err(too_large),
    }
}

fn check_range(entry: &ChunkEntry, range: &Range<u32>) -> Result<(), EngineError> {
    if range.start > range.end || range.end > entry.body_len {
        return Err(EngineError::Range { from: range.start, to: range.end, len: entry.body_len });
    }
    Ok(())
}

/// The blocks a range touches: their numbers, and the bytes of the body they span.
fn span(entry: &ChunkEntry, range: &Range<u32>) -> (Range<usize>, Range<usize>) {
    let (from, to) = (range.start as usize, range.end as usize);
    let blocks = from / BLOCK..to.div_ceil(BLOCK);
    let bytes = blocks.start * BLOCK..(blocks.end * BLOCK).min(entry.body_len as usize);
    (blocks, bytes)
}

/// Fills a buffer from an extent, or answers that this would wait.
type Fill<'a> = &'a dyn Fn(&dyn DiskFile, &mut [u8], u64) -> std::io::Result<bool>;

fn fill_waiting(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> std::io::Result<bool> {
    let wanted = buffer.len();
    match file.read_at(buffer, offset)? {
        read if read == wanted => Ok(true),
        _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Reads and verifies a range of a body at the place `entry` names; `None` if `fill` would have to wait.
fn read_entry(
    inner: &Inner,
    key: &ChunkKey,
    entry: &ChunkEntry,
    range: &Range<u32>,
    fill: Fill<'_>,
) -> Result<Option<Bytes>, EngineError> {
    if range.is_empty() {
        return Ok(Some(Bytes::new()));
    }
    let corrupt = |at: usize| EngineError::Corrupt {
        key: *key,
        extent: entry.extent,
        offset: entry.body_offset.saturating_add(u32::try_from(at).unwrap_or(u32::MAX)),
    };
    // A medium error is damage too: another copy has to serve.
    let unreadable = |error: &std::io::Error| {
        tracing::warn!(%error, extent = entry.extent, "an extent cannot be read");
        corrupt(0)
    };
    let Some(extent) = inner.extents.get(entry.extent) else { return Err(corrupt(0)) };
    let (blocks, bytes) = span(entry, range);
    let mut body = vec![0; bytes.len()];
    let at = u64::from(entry.body_offset) + bytes.start as u64;
    if !fill(extent.file.as_ref(), &mut body, at).map_err(|error| unreadable(&error))? {
        return Ok(None);
    }
    let on_disk;
    let table: &[u32] = if let Some(table) = entry.table.get(blocks.clone()) {
        table
    } else {
        let mut raw = vec![0; 4 * blocks.len()];
        let table_at = 4 * (chunk::blocks(entry.body_len) - blocks.start) as u64;
        let Some(at) = u64::from(entry.body_offset).checked_sub(table_at) else { return Err(corrupt(0)) };
        if !fill(extent.file.as_ref(), &mut raw, at).map_err(|error| unreadable(&error))? {
            return Ok(None);
        }
        on_disk = raw
            .chunks_exact(4)
            .map(|crc| u32::from_le_bytes([crc[0], crc[1], crc[2], crc[3]]))
            .collect::<Vec<_>>();
        &on_disk
    };
    let seed = chunk::seed(key);
    for ((number, block), crc) in blocks.clone().zip(body.chunks(BLOCK)).zip(table) {
        if chunk::block_crc(seed, number, block) != *crc {
            return Err(corrupt(number * BLOCK));
        }
    }
    let from = range.start as usize - bytes.start;
    Ok(Some(Bytes::from(body).slice(from..from + range.len())))
}

/// Reads if the page cache has it. Damage is left to the waiting way, which looks twice.
fn read_here(
    inner: &Inner,
    key: &ChunkKey,
    entry: &ChunkEntry,
    range: &Range<u32>,
) -> Result<Option<Bytes>, EngineError> {
    match read_entry(inner, key, entry, range, &|file, buffer, offset| file.try_read_at(buffer, offset)) {
        Err(EngineError::Corrupt { .. }) => Ok(None),
        other => other,
    }
}

/// Reads a range, waiting for the disk. Compaction may have moved the body and freed its extent in between, so damage counts
/// only if the index still names the same place.
pub(crate) fn read_blocking(inner: &Inner, key: &ChunkKey, range: &Range<u32>) -> Result<Bytes, EngineError> {
    let mut entry = inner.chunk_entry(key)?.ok_or(EngineError::ChunkNotFound { key: *key })?;
    loop {
        check_range(&entry, range)?;
        let damage = match read_entry(inner, key, &entry, range, &fill_waiting) {
            Ok(bytes) => return Ok(bytes.expect("a waiting read reads")),
            Err(damage @ EngineError::Corrupt { .. }) => damage,
            Err(error) => return Err(error),
        };
        let now = inner.chunk_entry(key)?.ok_or(EngineError::ChunkNotFound { key: *key })?;
        if now == entry {
            metrics::counter!("ringfort_engine_corrupt_reads_total").increment(1);
            return Err(damage);
        }
        entry = now;
    }
}

/// Reads a body and its block table as they are, good or bad, to move them.
pub(crate) fn read_raw(inner: &Inner, entry: &ChunkEntry) -> Result<Option<(Vec<u32>, Bytes)>, EngineError> {
    let Some(extent) = inner.extents.get(entry.extent) else { return Ok(None) };
    let table_len = if entry.table.is_empty() { 4 * chunk::blocks(entry.body_len) } else { 0 };
    let mut raw = vec![0; table_len + entry.body_len as usize];
    let Some(at) = u64::from(entry.body_offset).checked_sub(table_len as u64) else { return Ok(None) };
    match extent.file.read_at(&mut raw, at) {
        Ok(read) if read == raw.len() => {}
        _ => return Ok(None),
    }
    let mut raw = Bytes::from(raw);
    let table = raw.split_to(table_len);
    let table = match table_len {
        0 => entry.table.clone(),
        _ => table.chunks_exact(4).map(|crc| u32::from_le_bytes([crc[0], crc[1], crc[2], crc[3]])).collect(),
    };
    Ok(Some((table, raw)))
}

/// Key of the inline bodies in an extent, as the index lists them.
pub(crate) fn inline_in(inner: &Inner, extent: u64) -> Result<Vec<ChunkKey>, EngineError> {
    let mut out = Vec::new();
    let mut cursor =
        inner.index.cursor(Family::Inline, &keys::inline(extent, 0), &keys::inline(extent + 1, 0));
    cursor.first();
    while let Some((_, key)) = cursor.item() {
        out.push(ChunkKey::decode(key).ok_or_else(|| bad_value("an inline key"))?);
        cursor.next();
    }
    cursor.status()?;
    Ok(out)
}
