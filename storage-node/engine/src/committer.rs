//! The writer thread of a device: group commit.
//!
//! Requests queue up while a batch is synced; the next batch takes them all. Durable order: records, `fdatasync`, index, then the
//! acknowledgements. A failed write or sync is final: what the kernel dropped cannot be known, so the device leaves service.

use crate::disk::SyncPoint;
use crate::engine::Inner;
use crate::extents::Extent;
use crate::format::chunk::{self, ChunkMeta};
use crate::format::entry::{TABLE_BLOCKS_MAX, Target};
use crate::format::raft::Mark;
use crate::format::record::{FLAG_MOVED, HEADER_LEN, footprint};
use crate::format::{ChunkEntry, Kind, Owner, Pos, RecordHeader, Salt, Tomb};
use crate::group::Group;
use crate::index::tx::Tx;
use crate::{EngineError, Health};
use bytes::Bytes;
use crossbeam_channel::Receiver;
use ringfort_core::ChunkKey;
use std::io::IoSlice;
use std::sync::Arc;

/// Most bytes one group commit takes.
const BATCH_BYTES_MAX: u64 = 16 << 20;

pub(crate) type Done = Box<dyn FnOnce(Result<(), EngineError>) + Send>;

/// One record to write; the writer fills in sequence, place and checksum of the header.
pub(crate) struct Record {
    pub(crate) header: RecordHeader,
    /// The payload, in pieces.
    pub(crate) parts: Vec<Bytes>,
}

impl Record {
    /// A record whose whole payload is under one checksum.
    pub(crate) fn plain(kind: Kind, parts: Vec<Bytes>) -> Self {
        let mut header = RecordHeader::new(kind, 0);
        let mut crc = crc32fast::Hasher::new();
        let mut length = 0;
        for part in &parts {
            crc.update(part);
            length += part.len();
        }
        header.length = u32::try_from(length).expect("records are bounded by the extent");
        header.payload_crc = crc.finalize();
        Self { header, parts }
    }

    /// A chunk or inline body behind its meta and block table.
    pub(crate) fn body(kind: Kind, meta: ChunkMeta, table: &[u32], body: Vec<Bytes>) -> Self {
        let mut head = Vec::with_capacity(meta.head_len());
        meta.encode(table, &mut head);
        let mut header = RecordHeader::new(kind, 0);
        header.payload_crc = crc32fast::hash(&head);
        header.length = u32::try_from(head.len()).unwrap_or(u32::MAX).saturating_add(meta.body_len);
        let mut parts = Vec::with_capacity(1 + body.len());
        parts.push(Bytes::from(head));
        parts.extend(body);
        Self { header, parts }
    }

    pub(crate) fn of_group(mut self, group: &Group, index: u64, term: u64) -> Self {
        (self.header.group, self.header.index, self.header.term) = (group.id.0, index, term);
        self
    }

    pub(crate) fn moved(mut self, sequence: u64) -> Self {
        (self.header.sequence, self.header.flags) = (sequence, FLAG_MOVED);
        self
    }
}

/// What a durable record means for index and memory.
pub(crate) enum After {
    Chunk {
        meta: ChunkMeta,
        table: Vec<u32>,
        replace: bool,
    },
    Inline {
        group: Arc<Group>,
        meta: ChunkMeta,
        table: Vec<u32>,
    },
    /// A body that compaction moves from this place, if it is still there.
    MovedBody {
        key: ChunkKey,
        from: Pos,
        table: Vec<u32>,
    },
    Delete(Target),
    MovedTomb {
        target: Target,
        from: Pos,
    },
    Entry {
        group: Arc<Group>,
        ticket: u64,
    },
    MovedEntry {
        group: Arc<Group>,
        from: Pos,
    },
    Vote(Arc<Group>, Bytes),
    Truncate(Arc<Group>),
    Purge(Arc<Group>, Bytes),
    MovedMark {
        group: Arc<Group>,
        from: Pos,
    },
    RemoveGroup(Arc<Group>),
}

/// A change that becomes durable as a whole.
pub(crate) enum Request {
    Write {
        records: Vec<(Record, After)>,
        bytes: u64,
        done: Done,
    },
    /// Notes the groups' tables in the index; `done` is called on the writer with nothing in flight.
    Tables(Done),
    Stop,
}

/// Where the writer stands.
pub(crate) struct Head {
    pub(crate) id: u64,
    pub(crate) extent: Extent,
    pub(crate) offset: u32,
    pub(crate) synced: u32,
    pub(crate) next_sequence: u64,
}

struct Placed {
    header: RecordHeader,
    pos: Pos,
    after: After,
}

pub(crate) fn run(inner: &Arc<Inner>, mut head: Head, queue: &Receiver<Request>) {
    while let Ok(first) = queue.recv() {
        let (mut batch, mut tables, mut stop, mut bytes) = (Vec::new(), Vec::new(), false, 0);
        let mut next = Some(first);
        while let Some(request) = next.take() {
            match request {
                Request::Write { records, bytes: size, done } => {
                    bytes += size;
                    batch.push((records, done));
                }
                Request::Tables(done) => tables.push(done),
                Request::Stop => stop = true,
            }
            if bytes < BATCH_BYTES_MAX && tables.is_empty() && !stop {
                next = queue.try_recv().ok();
            }
        }
        if !batch.is_empty() {
            commit(inner, &mut head, batch);
        }
        for done in tables {
            done(inner.failure().map_or_else(|| note_tables(inner, &head), Err));
        }
        if stop {
            return;
        }
    }
}

fn commit(inner: &Arc<Inner>, head: &mut Head, batch: Vec<(Vec<(Record, After)>, Done)>) {
    let mut dones = Vec::with_capacity(batch.len());
    let mut records = Vec::new();
    for (items, done) in batch {
        records.extend(items);
        dones.push(done);
    }
    let result = match inner.failure() {
        Some(error) => Err(error),
        None => persist(inner, head, records).and_then(|placed| publish(inner, head, placed)),
    };
    if let Err(error) = &result {
        inner.fail(error);
    }
    for done in dones {
        done(result.clone());
    }
}

/// Writes and syncs the records.
fn persist(
    inner: &Inner,
    head: &mut Head,
    records: Vec<(Record, After)>,
) -> Result<Vec<Placed>, EngineError> {
    let mut placed = Vec::with_capacity(records.len());
    let mut pieces: Vec<Bytes> = Vec::with_capacity(records.len() * 4);
    let mut start = head.offset;
    for (record, after) in records {
        let size = footprint(u64::from(record.header.length));
        if u64::from(head.offset) + size + HEADER_LEN as u64 > head.extent.size {
            write(head, &pieces, start)?;
            pieces.clear();
            roll(inner, head)?;
            start = head.offset;
        }
        let mut header = record.header;
        if header.flags & FLAG_MOVED == 0 {
            header.sequence = head.next_sequence;
            head.next_sequence += 1;
        }
        header.synced = head.synced;
        let pos = Pos { extent: head.id, offset: head.offset };
        let mut bytes = Vec::with_capacity(HEADER_LEN);
        header.encode(Salt { log: inner.log, extent: head.id }, head.offset, &mut bytes);
        pieces.push(Bytes::from(bytes));
        pieces.extend(record.parts);
        let used = HEADER_LEN as u64 + u64::from(header.length);
        let padding = usize::try_from(size - used).expect("less than 8");
        pieces.push(Bytes::from_static(&[0; 8][..]).slice(..padding));
        head.offset = u32::try_from(u64::from(head.offset) + size).expect("extents are below 4 GiB");
        placed.push(Placed { header, pos, after });
    }
    write(head, &pieces, start)?;
    head.extent.file.sync(SyncPoint::LogBatch).map_err(EngineError::io("sync the log"))?;
    head.synced = head.offset;
    inner.extents.update(head.id, |extent| extent.used = head.offset);
    Ok(placed)
}

fn write(head: &Head, pieces: &[Bytes], start: u32) -> Result<(), EngineError> {
    let slices: Vec<IoSlice<'_>> = pieces.iter().filter(|p| !p.is_empty()).map(|p| IoSlice::new(p)).collect();
    if slices.is_empty() {
        return Ok(());
    }
    head.extent.file.write_at(&slices, u64::from(start)).map_err(EngineError::io("write the log"))
}

/// Seals the extent and goes on in a fresh one.
fn roll(inner: &Inner, head: &mut Head) -> Result<(), EngineError> {
    let mut bytes = Vec::with_capacity(HEADER_LEN);
    let mut seal = RecordHeader::new(Kind::Seal, head.next_sequence);
    head.next_sequence += 1;
    seal.synced = head.synced;
    seal.encode(Salt { log: inner.log, extent: head.id }, head.offset, &mut bytes);
    write(head, &[Bytes::from(bytes)], head.offset)?;
    head.extent.file.sync(SyncPoint::ExtentSeal).map_err(EngineError::io("sync a full extent"))?;
    let used = head.offset + u32::try_from(HEADER_LEN).expect("small");
    inner.extents.update(head.id, |extent| (extent.used, extent.sealed) = (used, true));
    head.id += 1;
    head.extent = inner.extents.activate(head.id).map_err(EngineError::io("make an extent"))?;
    head.offset = head.extent.used;
    head.synced = head.offset;
    inner.wake_background();
    Ok(())
}

/// Makes durable records visible.
fn publish(inner: &Inner, head: &Head, placed: Vec<Placed>) -> Result<(), EngineError> {
    let mut tx = Tx::begin(inner);
    for item in &placed {
        index_record(&mut tx, &item.header, item.pos, &item.after)?;
    }
    tx.covered().pos = Pos { extent: head.id, offset: head.offset };
    tx.covered().next_sequence = head.next_sequence;
    tx.commit()?;
    for item in placed {
        apply_to_group(&item.header, item.pos, item.after);
    }
    Ok(())
}

fn index_record(tx: &mut Tx<'_>, header: &RecordHeader, pos: Pos, after: &After) -> Result<(), EngineError> {
    match after {
        After::Chunk { meta, table, replace } => {
            put_body(tx, header, pos, meta, table, Owner::Chunk(meta.blake3), *replace)
        }
        After::Inline { group, meta, table } => {
            put_body(tx, header, pos, meta, table, Owner::Inline(group.id), true)
        }
        After::MovedBody { key, from, table } => {
            let Some(entry) = tx.chunk(key)? else { return Ok(()) };
            if (Pos { extent: entry.extent, offset: entry.body_offset }) != *from {
                return Ok(());
            }
            let mut moved = placed_body(header, pos, entry.body_len, entry.owner, table);
            moved.sequence = entry.sequence;
            moved.older = entry.older;
            moved.older.push(entry.extent);
            tx.set_chunk(*key, Some(moved))
        }
        After::Delete(target) => delete(tx, *target, header.sequence, pos),
        After::MovedTomb { target, from } => {
            if let Some(mut tomb) = tx.tomb(*target)?
                && (Pos { extent: tomb.extent, offset: tomb.offset }) == *from
            {
                (tomb.extent, tomb.offset) = (pos.extent, pos.offset);
                tx.set_tomb(*target, Some(tomb))?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

pub(crate) fn placed_body(
    header: &RecordHeader,
    pos: Pos,
    body_len: u32,
    owner: Owner,
    table: &[u32],
) -> ChunkEntry {
    let head = chunk::META_LEN + 4 * chunk::blocks(body_len);
    ChunkEntry {
        owner,
        sequence: header.sequence,
        extent: pos.extent,
        body_offset: pos.offset + u32::try_from(HEADER_LEN + head).unwrap_or(u32::MAX),
        body_len,
        footprint: u32::try_from(header.footprint()).unwrap_or(u32::MAX),
        older: Vec::new(),
        table: if table.len() <= TABLE_BLOCKS_MAX { table.to_vec() } else { Vec::new() },
    }
}

fn put_body(
    tx: &mut Tx<'_>,
    header: &RecordHeader,
    pos: Pos,
    meta: &ChunkMeta,
    table: &[u32],
    owner: Owner,
    replace: bool,
) -> Result<(), EngineError> {
    let mut entry = placed_body(header, pos, meta.body_len, owner, table);
    if let Some(old) = tx.chunk(&meta.key)? {
        if !replace {
            return Ok(());
        }
        entry.older = old.older;
        entry.older.push(old.extent);
    }
    tx.set_chunk(meta.key, Some(entry))
}

/// Removes what a delete record with this sequence hides, and keeps the record while older records lie in the log.
pub(crate) fn delete(tx: &mut Tx<'_>, target: Target, sequence: u64, pos: Pos) -> Result<(), EngineError> {
    let mut hidden = Vec::new();
    for (key, entry) in tx.chunks_of(target.blob())? {
        if target.covers(&key) && entry.sequence < sequence {
            hidden.push(entry.extent);
            hidden.extend(&entry.older);
            tx.set_chunk(key, None)?;
        }
    }
    if let Some(old) = tx.tomb(target)? {
        hidden.extend(old.hidden);
    }
    hidden.sort_unstable();
    hidden.dedup();
    if hidden.is_empty() {
        return Ok(());
    }
    tx.set_tomb(target, Some(Tomb { sequence, extent: pos.extent, offset: pos.offset, hidden }))
}

fn apply_to_group(header: &RecordHeader, pos: Pos, after: After) {
    let mark = |bytes: Bytes| Mark { sequence: header.sequence, pos, index: header.index, bytes };
    match after {
        After::Entry { group, ticket } => {
            let mut state = group.inner.lock();
            if let Some(slot) = state.slot_mut(header.index).filter(|slot| slot.ticket == ticket) {
                (slot.pos, slot.sequence, slot.durable) = (pos, header.sequence, true);
            }
            drop(state);
            group.wake();
        }
        After::MovedEntry { group, from } => {
            if let Some(slot) = group.inner.lock().slot_mut(header.index).filter(|slot| slot.pos == from) {
                slot.pos = pos;
            }
        }
        After::Vote(group, bytes) => group.inner.lock().vote_mark = Some(mark(bytes)),
        After::Truncate(group) => group.inner.lock().truncate_mark = Some(mark(Bytes::new())),
        After::Purge(group, bytes) => group.inner.lock().purge_mark = Some(mark(bytes)),
        After::MovedMark { group, from } => {
            let mut state = group.inner.lock();
            let state = &mut *state;
            for mark in
                [&mut state.vote_mark, &mut state.purge_mark, &mut state.truncate_mark].into_iter().flatten()
            {
                if mark.pos == from {
                    mark.pos = pos;
                }
            }
        }
        After::RemoveGroup(group) => group.inner.lock().clear(),
        _ => {}
    }
}

fn note_tables(inner: &Inner, head: &Head) -> Result<(), EngineError> {
    use crate::index::{Family, keys};
    let mut tx = Tx::begin(inner);
    for group in inner.all_groups() {
        let table = group.inner.lock().table().encode();
        tx.put(Family::Meta, keys::raft(group.id), table);
    }
    let here = Pos { extent: head.id, offset: head.offset };
    tx.put(Family::Meta, keys::RAFT_FROM.to_vec(), keys::encode_pos(here));
    tx.covered().pos = here;
    tx.covered().next_sequence = head.next_sequence;
    tx.commit()
}

/// The health that a failed write leaves.
pub(crate) fn failed(error: &EngineError) -> Health {
    let reason = match error {
        EngineError::Io { doing, source } => format!("cannot {doing}: {source}"),
        other => other.to_string(),
    };
    Health::Failed { reason: Arc::from(reason) }
}
