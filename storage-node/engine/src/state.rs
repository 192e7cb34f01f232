//! The state of one group: its key range in the index, and the inline bodies it adopted.

use crate::{Direction, Engine, EngineError, StateStatus};
use bytes::Bytes;
use ringfort_core::{BlobId, GroupId};
use std::marker::PhantomData;
use std::ops::ControlFlow;

/// The state of one group on this device. Cloning shares it.
#[derive(Clone)]
pub struct GroupState {
    pub(crate) engine: Engine,
    pub(crate) group: GroupId,
}

impl GroupState {
    /// The group.
    #[must_use]
    pub fn group(&self) -> GroupId {
        let _ = &self.engine;
        self.group
    }

    /// The value under `key`.
    pub fn get(&self, _key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Ok(None)
    }

    /// Visits `[from, to)` in key order or backwards until `visit` breaks. An empty `to` means the end of the group.
    pub fn scan(
        &self,
        _from: &[u8],
        _to: &[u8],
        _direction: Direction,
        _visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        Ok(())
    }

    /// A cursor over `[from, to)`, in key order. An empty `to` means the end of the group.
    pub fn iter(&self, _from: &[u8], _to: &[u8]) -> Result<StateIter<'_>, EngineError> {
        Ok(StateIter { marker: PhantomData })
    }

    /// Writes a batch: visible at once and as a whole; durable with the next checkpoint, or by replaying the log.
    ///
    /// Blocks until the log entries up to the batch's applied index are durable here, which they nearly always are (see
    /// [`crate::GroupLog::wait_durable`] to await that first): flushed tables must never be ahead of the log.
    pub fn write(&self, _batch: StateBatch) -> Result<(), EngineError> {
        Ok(())
    }

    /// The applied index last written.
    #[must_use]
    pub fn applied(&self) -> u64 {
        0
    }

    /// The applied index that flushed tables hold: what a crash cannot take back.
    #[must_use]
    pub fn durable_applied(&self) -> u64 {
        0
    }

    /// Whether the state may be used.
    #[must_use]
    pub fn status(&self) -> StateStatus {
        StateStatus::Empty
    }

    /// A consistent view of the state and its inline bodies, taken in constant time.
    pub fn snapshot(&self) -> Result<StateSnapshot, EngineError> {
        Err(EngineError::Closed)
    }

    /// Begins to replace the whole state: the old one is dropped, and the state is `Lost` until [`StateInstall::finish`].
    pub async fn install(&self) -> Result<StateInstall, EngineError> {
        Err(EngineError::Closed)
    }
}

/// One write to a group's state: atomic, of any size.
#[derive(Clone, Debug, Default)]
pub struct StateBatch {
    _ops: Vec<u8>,
}

impl StateBatch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes `value` under `key`.
    pub fn put(&mut self, _key: &[u8], _value: &[u8]) {}

    /// Removes `key`.
    pub fn delete(&mut self, _key: &[u8]) {}

    /// Removes the keys in `[from, to)`; an empty `to` means the end of the group.
    pub fn delete_range(&mut self, _from: &[u8], _to: &[u8]) {}

    /// Names the bytes `offset..offset + len` of the payload of log entry `entry` as the inline body `blob`: from now on it is
    /// read as `ChunkKey { blob, number: 0, fragment: 0 }` and survives the purge of the entry.
    pub fn adopt_inline(&mut self, _blob: BlobId, _entry: u64, _offset: u32, _len: u32) {}

    /// Forgets the inline body `blob`.
    pub fn release_inline(&mut self, _blob: BlobId) {}

    /// Sets the applied index.
    pub fn applied(&mut self, _index: u64) {}

    /// Whether nothing was put in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        true
    }
}

/// A cursor over a range of a group's state, in key order.
pub struct StateIter<'a> {
    marker: PhantomData<&'a ()>,
}

impl StateIter<'_> {
    /// Moves to the first record not below `key`.
    pub fn seek(&mut self, _key: &[u8]) {
        let _ = self.marker;
    }

    /// The record under the cursor, which moves on.
    #[allow(clippy::should_implement_trait, reason = "fallible, and seekable in between")]
    pub fn next(&mut self) -> Result<Option<(Bytes, Bytes)>, EngineError> {
        Ok(None)
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

/// A consistent view of a group's state. While it lives no extent is freed, so keep it only as long as it is streamed.
pub struct StateSnapshot {
    _private: (),
}

impl StateSnapshot {
    /// The applied index of the view.
    #[must_use]
    pub fn applied(&self) -> u64 {
        0
    }

    /// The next items, about `bytes_max` bytes of them, first the records in key order, then the inline bodies; empty at the
    /// end. Blocks.
    pub fn next_page(&mut self, _bytes_max: usize) -> Result<Vec<SnapshotItem>, EngineError> {
        Ok(Vec::new())
    }
}

/// A state that is being replaced. Dropping it without [`Self::finish`] leaves the state `Lost`.
pub struct StateInstall {
    _private: (),
}

impl StateInstall {
    /// Writes records.
    pub fn put(&mut self, _records: &[(Bytes, Bytes)]) -> Result<(), EngineError> {
        Ok(())
    }

    /// Stores inline bodies.
    pub async fn put_inline(&mut self, _bodies: Vec<(BlobId, Bytes)>) -> Result<(), EngineError> {
        Ok(())
    }

    /// Makes the new state durable, at applied index `applied`.
    pub async fn finish(self, _applied: u64) -> Result<(), EngineError> {
        Ok(())
    }
}
