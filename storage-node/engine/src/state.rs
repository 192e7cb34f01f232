//! The state of one group: its key range in the index, and the inline bodies it adopted.

use crate::committer::{After, Record};
use crate::engine::Inner;
use crate::format::chunk::{self, BLOCK, ChunkMeta};
use crate::format::entry::TABLE_BLOCKS_MAX;
use crate::format::record::HEADER_LEN;
use crate::format::{ChunkEntry, Kind, Owner};
use crate::group::Group;
use crate::index::keys::{self, GroupRecord};
use crate::index::tx::{Tx, bad_value};
use crate::index::{Cursor, Family, IndexOp};
use crate::{Direction, Engine, EngineError, GroupLog, StateStatus};
use bytes::Bytes;
use crossbeam_channel::{Receiver, bounded};
use ringfort_core::{BlobId, ChunkKey, GroupId};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The state of one group on this device. Cloning shares it.
#[derive(Clone)]
pub struct GroupState {
    pub(crate) engine: Engine,
    pub(crate) group: Arc<Group>,
}

/// Sees a record, and says whether to go on.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

fn inline_key(blob: BlobId) -> ChunkKey {
    ChunkKey { blob, number: 0, fragment: 0 }
}

impl GroupState {
    /// The group.
    #[must_use]
    pub fn group(&self) -> GroupId {
        self.group.id
    }

    fn bounds(&self, from: &[u8], to: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let end = if to.is_empty() { keys::state_end(self.group.id) } else { keys::state(self.group.id, to) };
        (keys::state(self.group.id, from), end)
    }

    /// The value under `key`.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.engine.inner.index.get(Family::State, &keys::state(self.group.id, key))
    }

    /// Visits `[from, to)` in key order or backwards until `visit` breaks. An empty `to` means the end of the group.
    pub fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), EngineError> {
        let (from, to) = self.bounds(from, to);
        let mut cursor = self.engine.inner.index.cursor(Family::State, &from, &to);
        match direction {
            Direction::Forward => cursor.first(),
            Direction::Backward => cursor.last(),
        }
        while let Some((key, value)) = cursor.item() {
            if visit(key.get(4..).unwrap_or_default(), value).is_break() {
                break;
            }
            match direction {
                Direction::Forward => cursor.next(),
                Direction::Backward => cursor.prev(),
            }
        }
        cursor.status()
    }

    /// A cursor over `[from, to)`, in key order. An empty `to` means the end of the group.
    pub fn iter(&self, from: &[u8], to: &[u8]) -> Result<StateIter<'_>, EngineError> {
        let (from, to) = self.bounds(from, to);
        let mut cursor = self.engine.inner.index.cursor(Family::State, &from, &to);
        cursor.first();
        cursor.status()?;
        Ok(StateIter { cursor, group: self.group.id })
    }

    /// Writes a batch: visible at once and as a whole; durable with the next checkpoint, or by replaying the log.
    ///
    /// Blocks until the log entries up to the batch's applied index are durable here, which they nearly always are (see
    /// [`crate::GroupLog::wait_durable`] to await that first): flushed tables must never be ahead of the log.
    pub fn write(&self, batch: StateBatch) -> Result<(), EngineError> {
        let inner = &self.engine.inner;
        if let Some(error) = inner.failure() {
            return Err(error);
        }
        if self.group.inner.lock().lost {
            return Err(EngineError::StateLost { group: self.group.id });
        }
        if let Some(applied) = batch.applied {
            self.group.wait_durable(applied)?;
        }
        let mut adopted = Vec::with_capacity(batch.adopted.len());
        for adopt in &batch.adopted {
            adopted.push(self.adopted(adopt)?);
        }
        let mut tx = Tx::begin(inner);
        for op in batch.ops {
            let op = match op {
                Op::Put(key, value) => IndexOp::Put(Family::State, keys::state(self.group.id, &key), value),
                Op::Delete(key) => IndexOp::Delete(Family::State, keys::state(self.group.id, &key)),
                Op::DeleteRange(from, to) => {
                    let (from, to) = self.bounds(&from, &to);
                    IndexOp::DeleteRange(Family::State, from, to)
                }
            };
            tx.ops.push(op);
        }
        for (key, entry) in adopted {
            tx.set_chunk(key, Some(entry))?;
        }
        for blob in batch.released {
            tx.set_chunk(inline_key(blob), None)?;
        }
        let applied = batch.applied.unwrap_or_else(|| self.applied());
        tx.put(Family::Meta, keys::group(self.group.id), GroupRecord { lost: false, applied }.encode());
        tx.commit()?;
        let mut state = self.group.inner.lock();
        state.applied = applied;
        state.has_state = true;
        Ok(())
    }

    fn adopted(&self, adopt: &Adopt) -> Result<(ChunkKey, ChunkEntry), EngineError> {
        let missing = || EngineError::LogOrder { group: self.group.id, index: adopt.entry, last: None };
        let slot = self.group.inner.lock().slot(adopt.entry).cloned().ok_or_else(missing)?;
        let log = GroupLog { engine: self.engine.clone(), group: Arc::clone(&self.group) };
        let payload = match &slot.payload {
            Some(payload) => payload.clone(),
            None => log.read(adopt.entry, adopt.entry + 1, usize::MAX)?.pop().ok_or_else(missing)?.1,
        };
        let end = adopt
            .offset
            .checked_add(adopt.len)
            .filter(|end| *end as usize <= payload.len())
            .ok_or_else(missing)?;
        let body = &payload[adopt.offset as usize..end as usize];
        let key = inline_key(adopt.blob);
        let header = u32::try_from(HEADER_LEN).expect("small");
        let entry = ChunkEntry {
            owner: Owner::Inline(self.group.id),
            sequence: slot.sequence,
            extent: slot.pos.extent,
            body_offset: slot.pos.offset + header + adopt.offset,
            body_len: adopt.len,
            footprint: adopt.len,
            older: Vec::new(),
            table: chunk::table(&key, body),
        };
        if entry.table.len() > TABLE_BLOCKS_MAX {
            let max = (TABLE_BLOCKS_MAX * BLOCK) as u64;
            return Err(EngineError::TooLarge { len: u64::from(adopt.len), max });
        }
        Ok((key, entry))
    }

    /// The applied index last written.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.group.inner.lock().applied
    }

    /// The applied index that flushed tables hold: what a crash cannot take back.
    #[must_use]
    pub fn durable_applied(&self) -> u64 {
        self.group.inner.lock().durable_applied
    }

    /// Whether the state may be used.
    #[must_use]
    pub fn status(&self) -> StateStatus {
        self.group.inner.lock().status()
    }

    /// A consistent view of the state and its inline bodies, taken in constant time.
    pub fn snapshot(&self) -> Result<StateSnapshot, EngineError> {
        if self.status() == StateStatus::Lost {
            return Err(EngineError::StateLost { group: self.group.id });
        }
        let inner = Arc::clone(&self.engine.inner);
        let group = self.group.id;
        let (ready, taken) = bounded(1);
        let (pages, next) = bounded(1);
        inner.snapshots.fetch_add(1, Ordering::SeqCst);
        let alive = Alive(Arc::clone(&inner));
        std::thread::Builder::new()
            .name("rf-snapshot".to_owned())
            .spawn(move || stream_snapshot(&inner, group, &ready, &pages))
            .map_err(EngineError::io("start a thread"))?;
        let applied = taken.recv().unwrap_or(Err(EngineError::Closed))?;
        Ok(StateSnapshot { applied, pages: next, _alive: alive })
    }

    /// Begins to replace the whole state: the old one is dropped, and the state is `Lost` until [`StateInstall::finish`].
    pub async fn install(&self) -> Result<StateInstall, EngineError> {
        let (inner, group) = (Arc::clone(&self.engine.inner), Arc::clone(&self.group));
        self.engine.inner.work(move || clear(&inner, &group, true)).await?;
        self.engine.checkpoint().await?;
        Ok(StateInstall { state: self.clone() })
    }
}

/// Drops state and inline bodies of a group.
pub(crate) fn clear(inner: &Arc<Inner>, group: &Group, lost: bool) -> Result<(), EngineError> {
    {
        let mut state = group.inner.lock();
        (state.lost, state.has_state, state.applied, state.durable_applied) = (lost, false, 0, 0);
    }
    let mut bodies = Vec::new();
    inner.each_chunk(&[], &[], usize::MAX, &mut |key, entry| {
        if entry.owner == Owner::Inline(group.id) {
            bodies.push(key);
        }
    })?;
    let mut tx = Tx::begin(inner);
    for key in bodies {
        tx.set_chunk(key, None)?;
    }
    let from = keys::state(group.id, &[]);
    tx.ops.push(IndexOp::DeleteRange(Family::State, from, keys::state_end(group.id)));
    let record = GroupRecord { lost, applied: 0 };
    tx.ops.push(if lost {
        IndexOp::Put(Family::Meta, keys::group(group.id), record.encode())
    } else {
        IndexOp::Delete(Family::Meta, keys::group(group.id))
    });
    if !lost {
        tx.ops.push(IndexOp::Delete(Family::Meta, keys::raft(group.id)));
    }
    tx.commit()
}

fn stream_snapshot(
    inner: &Arc<Inner>,
    group: GroupId,
    ready: &crossbeam_channel::Sender<Result<u64, EngineError>>,
    pages: &crossbeam_channel::Sender<Result<Vec<SnapshotItem>, EngineError>>,
) {
    inner.index.with_snapshot(&mut |view| {
        let applied = view.get(Family::Meta, &keys::group(group)).and_then(|found| match found {
            Some(bytes) => {
                GroupRecord::decode(&bytes).map(|record| record.applied).ok_or_else(|| bad_value("a group"))
            }
            None => Ok(0),
        });
        let failed = applied.is_err();
        if ready.send(applied).is_err() || failed {
            return;
        }
        let mut page = Vec::new();
        let mut bytes = 0;
        let mut add = |item: SnapshotItem, size: usize| {
            page.push(item);
            bytes += size;
            if bytes < (256 << 10) {
                return true;
            }
            bytes = 0;
            pages.send(Ok(std::mem::take(&mut page))).is_ok()
        };
        let mut cursor = view.cursor(Family::State, &keys::state(group, &[]), &keys::state_end(group));
        cursor.first();
        while let Some((key, value)) = cursor.item() {
            let record = SnapshotItem::Record {
                key: Bytes::copy_from_slice(key.get(4..).unwrap_or_default()),
                value: Bytes::copy_from_slice(value),
            };
            if !add(record, key.len() + value.len()) {
                return;
            }
            cursor.next();
        }
        let mut status = cursor.status();
        let mut cursor = view.cursor(Family::Chunks, &[], &[]);
        cursor.first();
        while let (Ok(()), Some((key, value))) = (&status, cursor.item()) {
            let (Some(key), Some(entry)) = (ChunkKey::decode(key), ChunkEntry::decode(value)) else {
                status = Err(bad_value("a chunk entry"));
                break;
            };
            if entry.owner == Owner::Inline(group) {
                match inner.read_body(&key, &entry, 0..entry.body_len, true) {
                    Ok(body) => {
                        let body = body.unwrap_or_default();
                        let size = body.len();
                        if !add(SnapshotItem::Inline { blob: key.blob, body }, size) {
                            return;
                        }
                    }
                    Err(error) => status = Err(error),
                }
            }
            cursor.next();
        }
        let status = status.and_then(|()| cursor.status());
        if !page.is_empty() && pages.send(Ok(page)).is_err() {
            return;
        }
        // An empty page says that all was told; without it the reader knows that the stream broke.
        drop(pages.send(status.map(|()| Vec::new())));
    });
}

enum Op {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    DeleteRange(Vec<u8>, Vec<u8>),
}

struct Adopt {
    blob: BlobId,
    entry: u64,
    offset: u32,
    len: u32,
}

/// One write to a group's state: atomic, of any size.
#[derive(Default)]
pub struct StateBatch {
    ops: Vec<Op>,
    adopted: Vec<Adopt>,
    released: Vec<BlobId>,
    applied: Option<u64>,
}

impl StateBatch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes `value` under `key`.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.ops.push(Op::Put(key.to_vec(), value.to_vec()));
    }

    /// Removes `key`.
    pub fn delete(&mut self, key: &[u8]) {
        self.ops.push(Op::Delete(key.to_vec()));
    }

    /// Removes the keys in `[from, to)`; an empty `to` means the end of the group.
    pub fn delete_range(&mut self, from: &[u8], to: &[u8]) {
        self.ops.push(Op::DeleteRange(from.to_vec(), to.to_vec()));
    }

    /// Names the bytes `offset..offset + len` of the payload of log entry `entry` as the inline body `blob`: from now on it is
    /// read as `ChunkKey { blob, number: 0, fragment: 0 }` and survives the purge of the entry.
    pub fn adopt_inline(&mut self, blob: BlobId, entry: u64, offset: u32, len: u32) {
        self.adopted.push(Adopt { blob, entry, offset, len });
    }

    /// Forgets the inline body `blob`.
    pub fn release_inline(&mut self, blob: BlobId) {
        match self.adopted.iter().position(|adopt| adopt.blob == blob) {
            Some(here) => drop(self.adopted.remove(here)),
            None => self.released.push(blob),
        }
    }

    /// Sets the applied index.
    pub fn applied(&mut self, index: u64) {
        self.applied = Some(index);
    }

    /// Whether nothing was put in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty() && self.adopted.is_empty() && self.released.is_empty() && self.applied.is_none()
    }
}

/// A cursor over a range of a group's state, in key order.
pub struct StateIter<'a> {
    cursor: Box<dyn Cursor + 'a>,
    group: GroupId,
}

impl StateIter<'_> {
    /// Moves to the first record not below `key`.
    pub fn seek(&mut self, key: &[u8]) {
        self.cursor.seek(&keys::state(self.group, key));
    }

    /// The record under the cursor, which moves on.
    #[allow(clippy::should_implement_trait, reason = "fallible, and seekable in between")]
    pub fn next(&mut self) -> Result<Option<(Bytes, Bytes)>, EngineError> {
        let found = self.cursor.item().map(|(key, value)| {
            (Bytes::copy_from_slice(key.get(4..).unwrap_or_default()), Bytes::copy_from_slice(value))
        });
        match found {
            Some(record) => {
                self.cursor.next();
                Ok(Some(record))
            }
            None => self.cursor.status().map(|()| None),
        }
    }
}

/// One item of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotItem {
    /// A record of the state.
    Record {
        /// The key.
        key: Bytes,
        /// The value.
        value: Bytes,
    },
    /// An inline body.
    Inline {
        /// Its name.
        blob: BlobId,
        /// Its bytes.
        body: Bytes,
    },
}

struct Alive(Arc<Inner>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.snapshots.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A consistent view of a group's state. While it lives no extent is freed, so keep it only as long as it is streamed.
pub struct StateSnapshot {
    applied: u64,
    pages: Receiver<Result<Vec<SnapshotItem>, EngineError>>,
    _alive: Alive,
}

impl StateSnapshot {
    /// The applied index of the view.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// The next items, about `bytes_max` bytes of them, first the records in key order, then the inline bodies; empty at the
    /// end. Blocks.
    pub fn next_page(&mut self, _bytes_max: usize) -> Result<Vec<SnapshotItem>, EngineError> {
        self.pages.recv().unwrap_or(Err(EngineError::Closed))
    }
}

/// A state that is being replaced. Dropping it without [`Self::finish`] leaves the state `Lost`.
pub struct StateInstall {
    state: GroupState,
}

impl StateInstall {
    /// Writes records.
    pub fn put(&mut self, records: &[(Bytes, Bytes)]) -> Result<(), EngineError> {
        let mut tx = Tx::begin(&self.state.engine.inner);
        for (key, value) in records {
            tx.put(Family::State, keys::state(self.state.group.id, key), value.to_vec());
        }
        tx.commit()
    }

    /// Stores inline bodies.
    pub async fn put_inline(&mut self, bodies: Vec<(BlobId, Bytes)>) -> Result<(), EngineError> {
        let group = &self.state.group;
        let mut records = Vec::with_capacity(bodies.len());
        for (blob, body) in bodies {
            let key = inline_key(blob);
            let len = body.len() as u64;
            let body_len =
                u32::try_from(len).map_err(|_| EngineError::TooLarge { len, max: u64::from(u32::MAX) })?;
            let table = chunk::table(&key, &body);
            let meta = ChunkMeta { key, body_len, blake3: [0; 32] };
            let record = Record::body(Kind::Inline, meta, &table, vec![body]).of_group(group, 0, 0);
            records.push((record, After::Inline { group: Arc::clone(group), meta, table }));
        }
        self.state.engine.write(records).await
    }

    /// Makes the new state durable, at applied index `applied`.
    pub async fn finish(self, applied: u64) -> Result<(), EngineError> {
        let mut tx = Tx::begin(&self.state.engine.inner);
        tx.put(Family::Meta, keys::group(self.state.group.id), GroupRecord { lost: false, applied }.encode());
        tx.commit()?;
        {
            let mut state = self.state.group.inner.lock();
            (state.lost, state.has_state, state.applied) = (false, true, applied);
        }
        self.state.engine.checkpoint().await
    }
}
