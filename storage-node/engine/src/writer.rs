//! The writer thread: takes what waits, writes it with few system calls, syncs once, changes the index once, answers all.
//!
//! Durable order: records, `fdatasync`, index, answers. A full extent is sealed and synced before the next one is used, so
//! whatever recovery finds missing before the newest extent is damage and nothing else.

use crate::EngineError;
use crate::behind::{BODIES_BYTES_MIN, Behind};
use crate::disk::{DiskFile, SyncPoint};
use crate::effect::Effect;
use crate::engine::Inner;
use crate::format::file::EXTENT_HEADER_LEN;
use crate::format::record::{FLAG_MOVED, FLAG_REPAIRED, footprint};
use crate::format::{
    ChunkEntry, ChunkMeta, HEADER_LEN, Kind, Owner, Pos, RecordHeader, Salt, Target, chunk, entry,
};
use crate::group::Group;
use crate::index::tx::Tx;
use crate::queue::{Done, Move, Pending, Put, PutMode, Request, Taken};
use bytes::Bytes;
use ringfort_core::ChunkKey;
use std::collections::{HashMap, HashSet};
use std::io::IoSlice;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Bytes one group commit takes from the queue.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// How long the device has to be idle before a mark says that all before it was synced.
const IDLE: Duration = if cfg!(test) {
    // A history that is drawn from a seed must not depend on how busy the machine is.
    LONG_IDLE
} else {
    Duration::from_millis(20)
};
/// How long to wait for requests when there is nothing else to do.
const LONG_IDLE: Duration = Duration::from_secs(10);
/// Bodies below this are copied into the batch's buffer: cheaper than a piece of their own.
const COPY_MAX: usize = 16 << 10;

/// Fails the device if the writer panics, so that nobody waits for it for ever.
struct PanicGuard(Arc<Inner>);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail("the writer thread panicked".to_owned());
        }
    }
}

enum Piece {
    Copied(Range<usize>),
    Body(Bytes),
}

impl Piece {
    /// Bytes of a body that was worth a piece of its own.
    fn body_bytes(&self) -> usize {
        match self {
            Self::Copied(_) => 0,
            Self::Body(body) => body.len(),
        }
    }
}

/// The end of the log.
pub(crate) struct Writer {
    inner: Arc<Inner>,
    active: Option<Active>,
    next_sequence: u64,
    /// Whether a mark has to be written once the device is idle.
    unmarked: bool,
    behind: Behind,
}

struct Active {
    id: u64,
    file: Arc<dyn DiskFile>,
    size: u64,
    /// Where the next record goes.
    end: u32,
    /// Everything below is durable.
    synced: u32,
}

/// Records gathered for one sync.
#[derive(Default)]
struct Batch {
    buffer: Vec<u8>,
    pieces: Vec<Piece>,
    /// Where the first piece goes.
    start: u32,
    effects: Vec<Effect>,
    done: Vec<(Done, Result<(), EngineError>)>,
    /// What the batch stores and deletes, which the index does not know yet.
    stored: HashMap<ChunkKey, [u8; 32]>,
    deleted: HashSet<Target>,
}

impl Batch {
    fn copied(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let from = self.buffer.len();
        write(&mut self.buffer);
        let to = self.buffer.len();
        match self.pieces.last_mut() {
            Some(Piece::Copied(range)) if range.end == from => range.end = to,
            _ => self.pieces.push(Piece::Copied(from..to)),
        }
    }

    fn body(&mut self, body: &Bytes) {
        if body.len() < COPY_MAX {
            self.copied(|buffer| buffer.extend_from_slice(body));
        } else {
            self.pieces.push(Piece::Body(body.clone()));
        }
    }
}

impl Writer {
    pub(crate) fn new(inner: Arc<Inner>, next_sequence: u64) -> Self {
        Self { inner, active: None, next_sequence, unmarked: false, behind: Behind::default() }
    }

    /// Serves the queue until it is closed.
    pub(crate) fn run(mut self) {
        let _guard = PanicGuard(Arc::clone(&self.inner));
        let mut requests = Vec::new();
        loop {
            let idle = if self.unmarked { IDLE } else { LONG_IDLE };
            match self.inner.queue.take(&mut requests, BATCH_BYTES_MAX, idle) {
                Taken::Some => self.commit(requests.drain(..)),
                Taken::Idle => self.mark(),
                Taken::Closed => break,
            }
        }
        self.mark();
    }

    /// Writes that everything is synced. Not synced itself: it only helps to tell damage from a write that was cut short.
    pub(crate) fn mark(&mut self) {
        if !std::mem::take(&mut self.unmarked) || self.inner.failure().is_some() {
            return;
        }
        let salt_log = self.inner.log;
        let Some(active) = self.active.as_mut() else { return };
        if !fits(active, footprint(0)) {
            return;
        }
        let mut header = RecordHeader::new(Kind::Mark, 0);
        header.synced = active.synced;
        let mut bytes = Vec::new();
        header.encode(Salt { log: salt_log, extent: active.id }, active.end, &mut bytes);
        if let Err(error) = active.file.write_at(&[IoSlice::new(&bytes)], u64::from(active.end)) {
            self.inner.fail(format!("cannot write to extent {:x}: {error}", active.id));
            return;
        }
        active.end += u32::try_from(bytes.len()).unwrap_or(0);
        self.note_end();
    }

    fn note_end(&self) {
        if let Some(active) = &self.active {
            self.inner.extents.update(active.id, |extent| extent.used = active.end);
        }
    }

    /// One group commit.
    pub(crate) fn commit(&mut self, requests: impl Iterator<Item = Request>) {
        let mut batch =
            Batch { start: self.active.as_ref().map_or(0, |active| active.end), ..Batch::default() };
        let mut failed = self.inner.failure();
        for request in requests {
            match failed {
                Some(ref error) => request.finish(Err(error.clone())),
                None => failed = self.add(&mut batch, request).err(),
            }
        }
        #[cfg(test)]
        if self.inner.config.ack_early {
            batch.done.drain(..).for_each(|(done, result)| done(result));
        }
        if failed.is_none() {
            failed = self.write_out(&mut batch, Some(SyncPoint::LogBatch)).err();
        }
        if failed.is_none() {
            failed = self.index(&mut batch).err();
        }
        if let Some(error) = &failed {
            self.inner.fail_with(error);
        }
        for (done, result) in batch.done {
            done(failed.clone().map_or(result, Err));
        }
    }

    /// Adds a request's records to the batch. An error is one of the device. No space is one for bodies and deletes only: what a
    /// log was promised must not be left out, and the reserve is there for it.
    fn add(&mut self, batch: &mut Batch, request: Request) -> Result<(), EngineError> {
        let refusable = matches!(request, Request::Put(_) | Request::Delete { .. } | Request::Move { .. });
        let answers = batch.done.len();
        match self.add_records(batch, request) {
            Err(EngineError::NoSpace) if refusable && batch.done.len() > answers => {
                self.inner.set_full();
                batch.done[answers].1 = Err(EngineError::NoSpace);
                Ok(())
            }
            other => other,
        }
    }

    fn add_records(&mut self, batch: &mut Batch, request: Request) -> Result<(), EngineError> {
        match request {
            Request::Put(put) => self.add_put(batch, *put),
            Request::Delete { target, done } => self.add_delete(batch, target, done),
            Request::Append { group, entries, done } => {
                batch.done.push((done, Ok(())));
                entries.into_iter().try_for_each(|entry| self.add_entry(batch, &group, entry))
            }
            Request::Mark { group, kind, index, bytes, done } => {
                batch.done.push((done, Ok(())));
                let sequence = self.sequence();
                self.add_mark(batch, group, kind, sequence, 0, index, bytes)
            }
            Request::RemoveGroup { group, done } => {
                batch.done.push((done, Ok(())));
                let sequence = self.sequence();
                let mut header = RecordHeader::new(Kind::RemoveGroup, sequence);
                header.group = group.id.0;
                let pos = self.place(batch, header, 0)?;
                batch.effects.push(Effect::RemoveGroup { group, sequence, pos });
                Ok(())
            }
            Request::Move { items, done } => {
                batch.done.push((done, Ok(())));
                items.into_iter().try_for_each(|item| self.add_move(batch, item))
            }
        }
    }

    fn sequence(&mut self) -> u64 {
        self.next_sequence += 1;
        self.next_sequence - 1
    }

    fn add_put(&mut self, batch: &mut Batch, put: Put) -> Result<(), EngineError> {
        if let (PutMode::New, Owner::Chunk(hash)) = (put.mode, &put.owner) {
            let present = match batch.stored.get(&put.key) {
                Some(hash) => Some(Owner::Chunk(*hash)),
                None if batch.deleted.iter().any(|target| target.covers(&put.key)) => None,
                None => self.inner.chunk_entry(&put.key)?.map(|entry| entry.owner),
            };
            if let Some(present) = present {
                let same = present == Owner::Chunk(*hash);
                batch.done.push((
                    put.done,
                    if same { Ok(()) } else { Err(EngineError::Conflict { key: put.key }) },
                ));
                return Ok(());
            }
        }
        let sequence = self.sequence();
        let Put { key, owner, mode, table, body, body_len, done } = put;
        batch.done.push((done, Ok(())));
        let repaired = mode == PutMode::Replace && matches!(owner, Owner::Inline(_));
        let flags = if repaired { FLAG_REPAIRED } else { 0 };
        self.add_body(batch, Body { key, owner, sequence, flags, table, pieces: &body, body_len })?;
        if let Owner::Chunk(hash) = owner {
            batch.stored.insert(key, hash);
        }
        Ok(())
    }

    fn add_body(&mut self, batch: &mut Batch, body: Body<'_>) -> Result<(), EngineError> {
        let (kind, group, hash) = match body.owner {
            Owner::Chunk(hash) => (Kind::Chunk, 0, hash),
            Owner::Inline(group) => (Kind::Inline, group.0, [0; 32]),
        };
        let meta = ChunkMeta { key: body.key, body_len: body.body_len, blake3: hash };
        let mut head = Vec::with_capacity(meta.head_len());
        meta.encode(&body.table, &mut head);
        let mut header = RecordHeader::new(kind, body.sequence);
        header.group = group;
        header.flags = body.flags;
        header.payload_crc = crc32fast::hash(&head);
        let pos = self.place(batch, header, head.len() as u64 + u64::from(body.body_len))?;
        batch.copied(|buffer| buffer.extend_from_slice(&head));
        body.pieces.iter().for_each(|piece| batch.body(piece));
        pad(batch, head.len() + body.body_len as usize);
        let length = head.len() as u64 + u64::from(body.body_len);
        let most = if kind == Kind::Inline { entry::INLINE_BLOCKS_MAX } else { entry::TABLE_BLOCKS_MAX };
        let keep = body.table.len() <= most;
        batch.effects.push(Effect::Body {
            key: body.key,
            known_only: body.flags & (FLAG_MOVED | FLAG_REPAIRED) != 0,
            entry: ChunkEntry {
                owner: body.owner,
                sequence: body.sequence,
                extent: pos.extent,
                body_offset: pos.offset + u32::try_from(HEADER_LEN + head.len()).unwrap_or(u32::MAX),
                body_len: body.body_len,
                footprint: u32::try_from(footprint(length)).unwrap_or(u32::MAX),
                older: Vec::new(),
                table: if keep { body.table } else { Vec::new() },
            },
        });
        Ok(())
    }

    fn add_delete(&mut self, batch: &mut Batch, target: Target, done: Done) -> Result<(), EngineError> {
        let pending = batch.stored.keys().any(|key| target.covers(key));
        if !pending && !self.inner.has_chunks(&target)? {
            batch.done.push((done, Ok(())));
            return Ok(());
        }
        batch.done.push((done, Ok(())));
        let sequence = self.sequence();
        self.add_delete_record(batch, target, sequence, 0)?;
        batch.stored.retain(|key, _| !target.covers(key));
        batch.deleted.insert(target);
        Ok(())
    }

    fn add_delete_record(
        &mut self,
        batch: &mut Batch,
        target: Target,
        sequence: u64,
        flags: u32,
    ) -> Result<(), EngineError> {
        let payload = target.encode();
        let mut header = RecordHeader::new(Kind::Delete, sequence);
        header.flags = flags;
        header.payload_crc = crc32fast::hash(&payload);
        let pos = self.place(batch, header, payload.len() as u64)?;
        batch.copied(|buffer| buffer.extend_from_slice(&payload));
        pad(batch, payload.len());
        batch.effects.push(Effect::Delete { target, sequence, pos, moved: flags & FLAG_MOVED != 0 });
        Ok(())
    }

    fn add_entry(
        &mut self,
        batch: &mut Batch,
        group: &Arc<Group>,
        entry: Pending,
    ) -> Result<(), EngineError> {
        let sequence = self.sequence();
        let pos = self.entry_record(batch, group, entry.index, entry.term, sequence, 0, &entry.payload)?;
        batch.effects.push(Effect::Entry {
            group: Arc::clone(group),
            index: entry.index,
            ticket: entry.ticket,
            sequence,
            pos,
            length: u32::try_from(entry.payload.len()).unwrap_or(u32::MAX),
        });
        Ok(())
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of one record")]
    fn entry_record(
        &mut self,
        batch: &mut Batch,
        group: &Group,
        index: u64,
        term: u64,
        sequence: u64,
        flags: u32,
        payload: &Bytes,
    ) -> Result<Pos, EngineError> {
        let mut header = RecordHeader::new(Kind::Entry, sequence);
        (header.group, header.index, header.term, header.flags) = (group.id.0, index, term, flags);
        header.payload_crc = crc32fast::hash(payload);
        let pos = self.place(batch, header, payload.len() as u64)?;
        batch.body(payload);
        pad(batch, payload.len());
        Ok(pos)
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of one record")]
    fn add_mark(
        &mut self,
        batch: &mut Batch,
        group: Arc<Group>,
        kind: Kind,
        sequence: u64,
        flags: u32,
        index: u64,
        bytes: Bytes,
    ) -> Result<(), EngineError> {
        let mut header = RecordHeader::new(kind, sequence);
        (header.group, header.index, header.flags) = (group.id.0, index, flags);
        header.payload_crc = crc32fast::hash(&bytes);
        let pos = self.place(batch, header, bytes.len() as u64)?;
        batch.body(&bytes);
        pad(batch, bytes.len());
        let moved = flags & FLAG_MOVED != 0;
        batch.effects.push(Effect::Mark { group, kind, sequence, index, bytes, pos, moved });
        Ok(())
    }

    /// Writes a live record anew. Whether it is still live is decided here, where nothing else is in between.
    fn add_move(&mut self, batch: &mut Batch, item: Move) -> Result<(), EngineError> {
        match item {
            Move::Body { key, entry, table, body } => {
                // Written when extents were larger: it stays where it is.
                let wanted = footprint(head_len(entry.body_len) as u64 + u64::from(entry.body_len));
                if wanted > footprint(payload_max(self.inner.extents.extent_bytes())) {
                    return Ok(());
                }
                let gone =
                    batch.deleted.iter().any(|target| target.covers(&key)) || batch.stored.contains_key(&key);
                let same = |now: &ChunkEntry| now.sequence == entry.sequence && now.extent == entry.extent;
                if gone || !self.inner.chunk_entry(&key)?.as_ref().is_some_and(same) {
                    return Ok(());
                }
                let (owner, sequence, body_len) = (entry.owner, entry.sequence, entry.body_len);
                let pieces = [body];
                let flags = FLAG_MOVED;
                self.add_body(batch, Body { key, owner, sequence, flags, table, pieces: &pieces, body_len })
            }
            Move::Delete { target, sequence } => {
                if self.inner.tomb(&target)?.is_none_or(|tomb| tomb.sequence != sequence) {
                    return Ok(());
                }
                self.add_delete_record(batch, target, sequence, FLAG_MOVED)
            }
            Move::Entry { group, index, sequence, payload } => {
                let same = |slot: &crate::group::EntrySlot| slot.durable && slot.sequence == sequence;
                let too_large = payload.len() as u64 > payload_max(self.inner.extents.extent_bytes());
                if too_large || !group.inner.lock().slot(index).is_some_and(same) {
                    return Ok(());
                }
                let pos = self.entry_record(batch, &group, index, 0, sequence, FLAG_MOVED, &payload)?;
                batch.effects.push(Effect::EntryMoved { group, index, sequence, pos });
                Ok(())
            }
            Move::Mark { group, kind, sequence, index, bytes } => {
                let newest = |(of, mark): &(Kind, Option<&crate::format::raft::Mark>)| {
                    *of == kind && mark.is_some_and(|mark| mark.sequence == sequence)
                };
                if !group.inner.lock().marks().iter().any(newest) {
                    return Ok(());
                }
                self.add_mark(batch, group, kind, sequence, FLAG_MOVED, index, bytes)
            }
        }
    }

    /// Finds the place of a record with `length` bytes of payload and puts its header there; goes on to the next extent if this
    /// one is full.
    fn place(
        &mut self,
        batch: &mut Batch,
        mut header: RecordHeader,
        length: u64,
    ) -> Result<Pos, EngineError> {
        let wanted = footprint(length);
        if !self.active.as_ref().is_some_and(|active| fits(active, wanted)) {
            self.roll(batch)?;
        }
        let active = self.active.as_mut().expect("roll left an active extent");
        assert!(fits(active, wanted), "callers bound records to what an extent holds");
        header.length = u32::try_from(length).expect("an extent is below 4 GiB");
        header.synced = active.synced;
        let pos = Pos { extent: active.id, offset: active.end };
        let salt = Salt { log: self.inner.log, extent: active.id };
        batch.copied(|buffer| header.encode(salt, pos.offset, buffer));
        active.end += u32::try_from(wanted).expect("an extent is below 4 GiB");
        Ok(pos)
    }

    /// Seals the active extent, makes it durable as a whole, and opens the next.
    fn roll(&mut self, batch: &mut Batch) -> Result<(), EngineError> {
        // Before anything else, so that a device without space for one more extent is as it was.
        self.inner.extents.prepare_spare().map_err(|error| match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => EngineError::NoSpace,
            _ => EngineError::io("set an extent aside")(error),
        })?;
        if let Some(active) = self.active.as_mut() {
            let mut header = RecordHeader::new(Kind::Seal, 0);
            header.synced = active.synced;
            let salt = Salt { log: self.inner.log, extent: active.id };
            let offset = active.end;
            batch.copied(|buffer| header.encode(salt, offset, buffer));
            active.end += u32::try_from(footprint(0)).expect("a header is small");
            self.write_out(batch, Some(SyncPoint::ExtentSeal))?;
            if let Some(active) = self.active.take() {
                self.inner.extents.update(active.id, |extent| extent.sealed = true);
            }
        }
        let id = self.inner.extents.last_id() + 1;
        let extent =
            self.inner.extents.activate(id).map_err(EngineError::io(format!("set up extent {id:x}")))?;
        self.active = Some(Active {
            id,
            file: extent.file,
            size: extent.size,
            end: EXTENT_HEADER_LEN,
            synced: EXTENT_HEADER_LEN,
        });
        batch.start = EXTENT_HEADER_LEN;
        self.inner.check_space();
        self.inner.wake_background();
        Ok(())
    }

    /// Writes the gathered records and makes them durable.
    fn write_out(&mut self, batch: &mut Batch, sync: Option<SyncPoint>) -> Result<(), EngineError> {
        let Some(active) = self.active.as_mut().filter(|_| !batch.pieces.is_empty()) else { return Ok(()) };
        let slices: Vec<IoSlice<'_>> = batch
            .pieces
            .iter()
            .map(|piece| match piece {
                Piece::Copied(range) => IoSlice::new(&batch.buffer[range.clone()]),
                Piece::Body(body) => IoSlice::new(body),
            })
            .collect();
        let written: usize = slices.iter().map(|slice| slice.len()).sum();
        assert_eq!(u64::from(batch.start) + written as u64, u64::from(active.end), "records leave no gap");
        active
            .file
            .write_at(&slices, u64::from(batch.start))
            .map_err(EngineError::io(format!("write to extent {:x}", active.id)))?;
        if let Some(point) = sync {
            active.file.sync(point).map_err(EngineError::io(format!("sync extent {:x}", active.id)))?;
        }
        drop(slices);
        let bodies: usize = batch.pieces.iter().map(Piece::body_bytes).sum();
        if bodies >= BODIES_BYTES_MIN {
            self.behind.synced(&active.file, u64::from(batch.start), written as u64);
        }
        active.synced = active.end;
        batch.start = active.end;
        batch.pieces.clear();
        batch.buffer.clear();
        self.unmarked = true;
        self.note_end();
        self.inner.note_written(written as u64);
        Ok(())
    }

    /// Applies what is durable now to memory and index.
    fn index(&mut self, batch: &mut Batch) -> Result<(), EngineError> {
        let Some(active) = &self.active else { return Ok(()) };
        if batch.effects.is_empty() {
            return Ok(());
        }
        let mut tx = Tx::begin(&self.inner);
        for effect in &batch.effects {
            effect.apply(&self.inner, &mut tx)?;
        }
        let covered = tx.covered();
        covered.pos = Pos { extent: active.id, offset: active.synced };
        covered.next_sequence = self.next_sequence;
        tx.commit()?;
        self.inner.cache.admit(&self.inner, &batch.effects);
        for effect in &batch.effects {
            effect.wake();
        }
        Ok(())
    }
}

struct Body<'a> {
    key: ChunkKey,
    owner: Owner,
    sequence: u64,
    flags: u32,
    table: Vec<u32>,
    pieces: &'a [Bytes],
    body_len: u32,
}

/// Whether a record of `wanted` bytes fits, and a seal after it.
fn fits(active: &Active, wanted: u64) -> bool {
    u64::from(active.end) + wanted + footprint(0) <= active.size
}

fn pad(batch: &mut Batch, payload: usize) {
    let rest = payload.next_multiple_of(8) - payload;
    if rest > 0 {
        batch.copied(|buffer| buffer.resize(buffer.len() + rest, 0));
    }
}

/// The greatest payload a record may have.
pub(crate) fn payload_max(extent_bytes: u64) -> u64 {
    extent_bytes - u64::from(EXTENT_HEADER_LEN) - 2 * footprint(0) - 8
}

/// Bytes before the body of a chunk record.
pub(crate) fn head_len(body_len: u32) -> usize {
    chunk::META_LEN + 4 * chunk::blocks(body_len)
}
