//! The state of one group: its key range in the index, and the inline bodies it adopted.

use crate::engine::Inner;
use crate::format::entry::INLINE_BLOCKS_MAX;
use crate::format::{ChunkEntry, HEADER_LEN, Owner, chunk};
use crate::group::Group;
use crate::index::keys::{self, GroupRecord};
use crate::index::tx::Tx;
use crate::index::{Cursor, Family, IndexOp};
use crate::raft::entry_payload;
use crate::{Direction, Engine, EngineError, StateInstall, StateSnapshot, StateStatus};
use bytes::Bytes;
use ringfort_core::{BlobId, ChunkKey, GroupId};
use std::ops::ControlFlow;
use std::sync::Arc;

/// What a scan does with each record.
type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// The state of one group on this device. Cloning shares it.
#[derive(Clone)]
pub struct GroupState {
    pub(crate) engine: Engine,
    pub(crate) shared: Arc<Group>,
}

impl GroupState {
    /// The group.
    #[must_use]
    pub fn group(&self) -> GroupId {
        self.shared.id
    }

    fn inner(&self) -> &Arc<Inner> {
        self.engine.inner()
    }

    /// The value under `key`.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.inner().index.get(Family::State, &keys::state(self.shared.id, key))
    }

    /// The key range `[from, to)` of the group; an empty `to` means its end.
    fn bounds(&self, from: &[u8], to: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let group = self.shared.id;
        let end = if to.is_empty() { keys::state_end(group) } else { keys::state(group, to) };
        (keys::state(group, from), end)
    }

    /// Visits `[from, to)` in key order or backwards until `visit` breaks. An empty `to` means the end of the group.
    pub fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        direction: Direction,
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        let (from, to) = self.bounds(from, to);
        if from >= to {
            return Ok(());
        }
        let mut cursor = self.inner().index.cursor(Family::State, &from, &to);
        match direction {
            Direction::Forward => cursor.first(),
            Direction::Backward => cursor.last(),
        }
        while let Some((key, value)) = cursor.item() {
            if visit(&key[4..], value).is_break() {
                return Ok(());
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
        let empty = from >= to;
        let mut cursor = self.inner().index.cursor(Family::State, &from, if empty { &from } else { &to });
        cursor.first();
        Ok(StateIter { group: self.shared.id, cursor, empty })
    }

    /// Writes a batch: visible at once and as a whole; durable with the next checkpoint, or by replaying the log.
    ///
    /// Blocks until the log entries up to the batch's applied index are durable here, which they nearly always are (see
    /// [`crate::GroupLog::wait_durable`] to await that first): flushed tables must never be ahead of the log.
    pub fn write(&self, batch: StateBatch) -> Result<(), EngineError> {
        let inner = self.inner();
        if let Some(error) = inner.failure() {
            return Err(error);
        }
        let newest = batch.ops.iter().filter_map(StateOp::entry).chain(batch.applied).max();
        if let Some(newest) = newest {
            self.shared.wait_durable(newest)?;
        }
        let tables = self.tables(&batch)?;
        let mut tx = Tx::begin(inner);
        {
            let state = self.shared.inner.lock();
            if state.lost || state.removing {
                return Err(EngineError::StateLost { group: self.shared.id });
            }
        }
        self.fill(&mut tx, batch.ops, tables)?;
        let applied = batch.applied.unwrap_or_else(|| self.applied());
        let record = GroupRecord { lost: false, applied };
        tx.put(Family::Meta, keys::group(self.shared.id), record.encode());
        // In the order of the index: a checkpoint between the two would publish an applied index it does not hold, or hold one
        // that it does not publish, and only the latter is harmless.
        tx.commit_and(|| {
            let mut state = self.shared.inner.lock();
            state.applied = applied;
            state.has_state = true;
        })
        .inspect_err(|error| inner.fail_with(error))
    }

    /// The block tables of the adopted bodies, made before the index is locked.
    fn tables(&self, batch: &StateBatch) -> Result<Vec<Vec<u32>>, EngineError> {
        let mut out = Vec::new();
        for op in &batch.ops {
            let StateOp::Adopt { blob, entry, offset, len } = op else { continue };
            let payload =
                entry_payload(self.inner(), &self.shared, *entry)?.ok_or(EngineError::LogOrder {
                    group: self.shared.id,
                    index: *entry,
                    last: self.shared.inner.lock().last(),
                })?;
            let (from, to) = (*offset as usize, *offset as usize + *len as usize);
            let body =
                payload.get(from..to).filter(|body| body.len().div_ceil(chunk::BLOCK) <= INLINE_BLOCKS_MAX);
            let range = EngineError::Range {
                from: *offset,
                to: offset.saturating_add(*len),
                len: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            };
            out.push(chunk::table(&inline_key(*blob), body.ok_or(range)?));
        }
        Ok(out)
    }

    fn fill(&self, tx: &mut Tx<'_>, ops: Vec<StateOp>, tables: Vec<Vec<u32>>) -> Result<(), EngineError> {
        let group = self.shared.id;
        let mut tables = tables.into_iter();
        for op in ops {
            match op {
                StateOp::Put(key, value) => tx.put(Family::State, keys::state(group, &key), value),
                StateOp::Delete(key) => tx.ops.push(IndexOp::Delete(Family::State, keys::state(group, &key))),
                StateOp::DeleteRange(from, to) => {
                    let (from, to) = self.bounds(&from, &to);
                    if from < to {
                        tx.ops.push(IndexOp::DeleteRange(Family::State, from, to));
                    }
                }
                StateOp::Adopt { blob, entry, offset, len } => {
                    let table = tables.next().unwrap_or_default();
                    let slot = self.shared.inner.lock().slot(entry).map(|slot| (slot.sequence, slot.pos));
                    let (sequence, pos) =
                        slot.ok_or(EngineError::LogOrder { group, index: entry, last: None })?;
                    let body_offset = pos.offset + u32::try_from(HEADER_LEN).unwrap_or(0) + offset;
                    let new = ChunkEntry {
                        owner: Owner::Inline(group),
                        sequence,
                        extent: pos.extent,
                        body_offset,
                        body_len: len,
                        footprint: len.next_multiple_of(8),
                        older: Vec::new(),
                        table,
                    };
                    tx.set_chunk(inline_key(blob), Some(new))?;
                }
                StateOp::Release(blob) => {
                    let key = inline_key(blob);
                    if tx.chunk(&key)?.is_some_and(|entry| entry.owner == Owner::Inline(group)) {
                        tx.set_chunk(key, None)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The applied index last written.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.shared.inner.lock().applied
    }

    /// The applied index that flushed tables hold: what a crash cannot take back.
    #[must_use]
    pub fn durable_applied(&self) -> u64 {
        self.shared.inner.lock().durable_applied
    }

    /// Whether the state may be used.
    #[must_use]
    pub fn status(&self) -> StateStatus {
        self.shared.inner.lock().status()
    }

    /// A consistent view of the state and its inline bodies, taken in constant time.
    pub fn snapshot(&self) -> Result<StateSnapshot, EngineError> {
        if self.status() == StateStatus::Lost {
            return Err(EngineError::StateLost { group: self.shared.id });
        }
        StateSnapshot::take(Arc::clone(self.inner()), self.shared.id)
    }

    /// Begins to replace the whole state: the old one is dropped, and the state is `Lost` until [`StateInstall::finish`].
    pub async fn install(&self) -> Result<StateInstall, EngineError> {
        StateInstall::begin(self.engine.clone(), Arc::clone(&self.shared)).await
    }
}

/// The name an inline body is read by.
pub(crate) fn inline_key(blob: BlobId) -> ChunkKey {
    ChunkKey { blob, number: 0, fragment: 0 }
}

#[derive(Clone, Debug)]
enum StateOp {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    DeleteRange(Vec<u8>, Vec<u8>),
    Adopt { blob: BlobId, entry: u64, offset: u32, len: u32 },
    Release(BlobId),
}

impl StateOp {
    fn entry(&self) -> Option<u64> {
        match self {
            Self::Adopt { entry, .. } => Some(*entry),
            _ => None,
        }
    }
}

/// One write to a group's state: atomic, of any size; later operations win over earlier ones.
#[derive(Clone, Debug, Default)]
pub struct StateBatch {
    ops: Vec<StateOp>,
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
        self.ops.push(StateOp::Put(key.to_vec(), value.to_vec()));
    }

    /// Removes `key`.
    pub fn delete(&mut self, key: &[u8]) {
        self.ops.push(StateOp::Delete(key.to_vec()));
    }

    /// Removes the keys in `[from, to)`; an empty `to` means the end of the group.
    pub fn delete_range(&mut self, from: &[u8], to: &[u8]) {
        self.ops.push(StateOp::DeleteRange(from.to_vec(), to.to_vec()));
    }

    /// Names the bytes `offset..offset + len` of the payload of log entry `entry` as the inline body `blob`: from now on it is
    /// read as `ChunkKey { blob, number: 0, fragment: 0 }` and survives the purge of the entry.
    pub fn adopt_inline(&mut self, blob: BlobId, entry: u64, offset: u32, len: u32) {
        self.ops.push(StateOp::Adopt { blob, entry, offset, len });
    }

    /// Forgets the inline body `blob`.
    pub fn release_inline(&mut self, blob: BlobId) {
        self.ops.push(StateOp::Release(blob));
    }

    /// Sets the applied index.
    pub fn applied(&mut self, index: u64) {
        self.applied = Some(index);
    }

    /// Whether nothing was put in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty() && self.applied.is_none()
    }
}

/// A cursor over a range of a group's state, in key order.
pub struct StateIter<'a> {
    group: GroupId,
    cursor: Box<dyn Cursor + 'a>,
    empty: bool,
}

impl StateIter<'_> {
    /// Moves to the first record not below `key`.
    pub fn seek(&mut self, key: &[u8]) {
        self.cursor.seek(&keys::state(self.group, key));
    }

    /// The record under the cursor, which moves on.
    #[allow(clippy::should_implement_trait, reason = "fallible, and seekable in between")]
    pub fn next(&mut self) -> Result<Option<(Bytes, Bytes)>, EngineError> {
        if self.empty {
            return Ok(None);
        }
        match self.cursor.item() {
            Some((key, value)) => {
                let item = (Bytes::copy_from_slice(&key[4..]), Bytes::copy_from_slice(value));
                self.cursor.next();
                Ok(Some(item))
            }
            None => self.cursor.status().map(|()| None),
        }
    }
}
