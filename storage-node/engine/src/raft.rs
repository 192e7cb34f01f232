//! The log of one group.

use crate::{Engine, EngineError, LogEntry};
use bytes::Bytes;
use ringfort_core::GroupId;

/// The Raft log, vote and marks of one group on this device. Cloning shares it.
#[derive(Clone)]
pub struct GroupLog {
    pub(crate) engine: Engine,
    pub(crate) group: GroupId,
}

impl GroupLog {
    /// The group.
    #[must_use]
    pub fn group(&self) -> GroupId {
        let _ = &self.engine;
        self.group
    }

    /// Appends entries, which must follow the last one. Queued at once in the order of calls and readable at once; `done` is
    /// called on the device's thread after the sync, so it must be short and must not block.
    pub fn append(&self, _entries: Vec<LogEntry>, done: impl FnOnce(Result<(), EngineError>) + Send + 'static) {
        done(Err(EngineError::Closed));
    }

    /// Saves the vote durably.
    pub fn save_vote(&self, _vote: Bytes, done: impl FnOnce(Result<(), EngineError>) + Send + 'static) {
        done(Err(EngineError::Closed));
    }

    /// The last vote saved.
    #[must_use]
    pub fn vote(&self) -> Option<Bytes> {
        None
    }

    /// Notes the committed position; not synced by itself, so a crash may bring back an older one.
    pub fn save_committed(&self, _committed: Option<Bytes>) {}

    /// The committed position last noted.
    #[must_use]
    pub fn committed(&self) -> Option<Bytes> {
        None
    }

    /// Drops the entries from `index` on, durably.
    pub fn truncate_from(&self, _index: u64, done: impl FnOnce(Result<(), EngineError>) + Send + 'static) {
        done(Err(EngineError::Closed));
    }

    /// Drops the entries up to `index`, durably; `mark` is returned by [`Self::purged`]. Refused above
    /// [`crate::GroupState::durable_applied`].
    pub fn purge_to(&self, _index: u64, _mark: Bytes, done: impl FnOnce(Result<(), EngineError>) + Send + 'static) {
        done(Err(EngineError::Closed));
    }

    /// The greatest index purged and the mark given with it.
    #[must_use]
    pub fn purged(&self) -> Option<(u64, Bytes)> {
        None
    }

    /// Index of the last entry; `None` if the log holds none (see [`Self::purged`]).
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        None
    }

    /// Entries in `from..to`, as many as fit `bytes_max` but at least one. Recent ones come from memory; others are read from the
    /// disk, which blocks.
    pub fn read(&self, _from: u64, _to: u64, _bytes_max: usize) -> Result<Vec<(u64, Bytes)>, EngineError> {
        Ok(Vec::new())
    }

    /// Waits until the entries up to `index` are durable here.
    pub async fn wait_durable(&self, _index: u64) -> Result<(), EngineError> {
        Err(EngineError::Closed)
    }
}
