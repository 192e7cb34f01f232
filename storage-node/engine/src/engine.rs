//! The engine of one device.

use crate::{
    ChunkInfo, EngineConfig, EngineError, GroupLog, GroupState, Health, IoClass, OpenReport, Usage,
};
use bytes::Bytes;
use ringfort_core::{BlobId, ChunkKey, GroupId};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// One device: its log, its index and the threads that own them. Cloning shares it.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<()>,
}

impl Engine {
    /// Opens the device folder `dir`, formatting it if it is empty. Blocks.
    pub fn open(_dir: &Path, config: EngineConfig) -> Result<(Self, OpenReport), EngineError> {
        config.validate()?;
        Ok((Self { inner: Arc::new(()) }, OpenReport::default()))
    }

    /// Stores a chunk; durable on return. The same key with the same content is fine, with other content a conflict.
    ///
    /// # Cancel safety
    ///
    /// A dropped call may or may not have stored the chunk.
    pub async fn put_chunk(&self, _key: ChunkKey, _body: Vec<Bytes>, _class: IoClass) -> Result<(), EngineError> {
        Err(EngineError::Closed)
    }

    /// Repair: stores a good copy of a chunk over a damaged one.
    pub async fn replace_chunk(&self, _key: ChunkKey, _body: Vec<Bytes>) -> Result<(), EngineError> {
        Err(EngineError::Closed)
    }

    /// Reads a range of a chunk or inline body; only the blocks it touches are read and verified.
    pub async fn read_chunk(&self, key: ChunkKey, _range: Range<u32>) -> Result<Bytes, EngineError> {
        Err(EngineError::ChunkNotFound { key })
    }

    /// Reads a chunk in full and checks its blocks and its hash.
    pub async fn verify_chunk(&self, key: ChunkKey) -> Result<(), EngineError> {
        Err(EngineError::ChunkNotFound { key })
    }

    /// Deletes all chunks of a blob that were stored before; durable on return, idempotent.
    pub async fn delete_blob(&self, _blob: BlobId) -> Result<(), EngineError> {
        Err(EngineError::Closed)
    }

    /// What the index knows of a chunk.
    pub fn chunk_info(&self, _key: ChunkKey) -> Result<Option<ChunkInfo>, EngineError> {
        Err(EngineError::Closed)
    }

    /// Up to `limit` chunks after `after` in key order, inline bodies left out.
    pub fn list_chunks(&self, _after: Option<ChunkKey>, _limit: usize) -> Result<Vec<(ChunkKey, ChunkInfo)>, EngineError> {
        Err(EngineError::Closed)
    }

    /// Space on the device.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage::default()
    }

    /// Whether the device serves.
    #[must_use]
    pub fn health(&self) -> Health {
        Health::InService
    }

    /// Flushes the index, which raises [`GroupState::durable_applied`] and frees extents that hold nothing.
    pub async fn checkpoint(&self) -> Result<(), EngineError> {
        Err(EngineError::Closed)
    }

    /// Compacts one extent if one is worth it; answers the bytes freed or to be freed by the next checkpoint.
    pub async fn compact_step(&self) -> Result<u64, EngineError> {
        Err(EngineError::Closed)
    }

    /// Groups with a vote, entries or state here.
    #[must_use]
    pub fn groups(&self) -> Vec<GroupId> {
        Vec::new()
    }

    /// The log of a group.
    #[must_use]
    pub fn group_log(&self, group: GroupId) -> GroupLog {
        GroupLog { engine: self.clone(), group }
    }

    /// The state of a group.
    #[must_use]
    pub fn group_state(&self, group: GroupId) -> GroupState {
        GroupState { engine: self.clone(), group }
    }

    /// Drops log, vote, state and inline bodies of a group whose voter left.
    pub async fn remove_group(&self, _group: GroupId) -> Result<(), EngineError> {
        Err(EngineError::Closed)
    }

    /// Stops the threads and flushes the index. Blocks. A clean stop has no path of its own at the next open.
    pub fn close(&self) {
        let _ = &self.inner;
    }
}
