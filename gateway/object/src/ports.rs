//! What the object layer needs from the storage cluster, so that it can be tested on a cluster in memory.

use bytes::Bytes;
use ringfort_core::{BlobId, ErrorKind, Policy, SessionId, SlotId, with_causes};
use ringfort_meta::kv::KvClient;
use ringfort_meta::{MetaClient, MetaError};
use ringfort_storage_client::{ChunkError, ChunkStore};
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;

/// A boxed future, as trait objects need.
pub type PortFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, PortError>> + Send + 'a>>;

/// Why the cluster did not do something. A command that failed so may have taken effect all the same.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PortError {
    /// The devices are full.
    #[error("the devices are full")]
    NoSpace,
    /// Too few devices or voters answered.
    #[error("storage does not answer in time: {0}")]
    Unavailable(String),
    /// Stored bytes are damaged.
    #[error("stored data is damaged: {0}")]
    Corrupt(String),
    /// A bug.
    #[error("internal error: {0}")]
    Internal(String),
}

impl PortError {
    fn of(kind: ErrorKind, text: String) -> Self {
        match kind {
            ErrorKind::NoSpace => Self::NoSpace,
            ErrorKind::Unavailable | ErrorKind::Denied => Self::Unavailable(text),
            ErrorKind::Corrupt => Self::Corrupt(text),
            ErrorKind::Invalid
            | ErrorKind::NotFound
            | ErrorKind::Conflict
            | ErrorKind::OverQuota
            | ErrorKind::Internal => Self::Internal(text),
        }
    }
}

impl From<MetaError> for PortError {
    fn from(error: MetaError) -> Self {
        Self::of(error.kind(), with_causes(&error))
    }
}

impl From<ChunkError> for PortError {
    fn from(error: ChunkError) -> Self {
        Self::of(error.kind(), with_causes(&error))
    }
}

/// The metadata groups.
pub trait MetaPort: Send + Sync + 'static {
    /// Applies `command` in `slot`, once, and returns its result.
    fn execute(&self, slot: SlotId, command: Bytes, bodies: Vec<Bytes>) -> PortFuture<'_, Bytes>;

    /// Answers `query` by a linearizable read: the reply, and an inline body if the model named one.
    fn query(&self, slot: SlotId, query: Bytes) -> PortFuture<'_, (Bytes, Option<Bytes>)>;

    /// The session that new blobs are written under.
    fn session(&self) -> SessionId;

    /// Whether `session` is known to have ended, so that none of its commands can take effect any more.
    fn has_ended(&self, session: SessionId) -> PortFuture<'_, bool>;
}

/// The chunks of blobs.
pub trait ChunkPort: Send + Sync + 'static {
    /// Stores a chunk; durable on return.
    fn write<'a>(
        &'a self,
        policy: &'a Policy,
        blob: BlobId,
        number: u32,
        body: Vec<Bytes>,
    ) -> PortFuture<'a, ()>;

    /// Reads a range of a chunk. Cancel-safe.
    fn read<'a>(
        &'a self,
        policy: &'a Policy,
        blob: BlobId,
        number: u32,
        chunk_len: u32,
        range: Range<u32>,
    ) -> PortFuture<'a, Bytes>;

    /// Deletes all chunks of a condemned blob.
    fn delete<'a>(&'a self, policy: &'a Policy, blob: BlobId) -> PortFuture<'a, ()>;
}

impl MetaPort for MetaClient {
    fn execute(&self, slot: SlotId, command: Bytes, bodies: Vec<Bytes>) -> PortFuture<'_, Bytes> {
        Box::pin(async move { Ok(Self::execute(self, slot, command, bodies).await?) })
    }

    fn query(&self, slot: SlotId, query: Bytes) -> PortFuture<'_, (Bytes, Option<Bytes>)> {
        Box::pin(async move {
            let answer = Self::query(self, slot, query).await?;
            Ok((answer.reply, answer.inline))
        })
    }

    fn session(&self) -> SessionId {
        Self::session(self)
    }

    fn has_ended(&self, session: SessionId) -> PortFuture<'_, bool> {
        Box::pin(async move {
            // A session that was never registered is none of ours to judge.
            let state = KvClient::new(self.clone()).session(session).await?;
            Ok(state.is_some_and(|state| !state.live))
        })
    }
}

impl ChunkPort for ChunkStore {
    fn write<'a>(
        &'a self,
        policy: &'a Policy,
        blob: BlobId,
        number: u32,
        body: Vec<Bytes>,
    ) -> PortFuture<'a, ()> {
        Box::pin(async move { Ok(self.write_chunk(policy, blob, number, body).await?) })
    }

    fn read<'a>(
        &'a self,
        policy: &'a Policy,
        blob: BlobId,
        number: u32,
        chunk_len: u32,
        range: Range<u32>,
    ) -> PortFuture<'a, Bytes> {
        Box::pin(async move { Ok(self.read_chunk(policy, blob, number, chunk_len, range).await?) })
    }

    fn delete<'a>(&'a self, policy: &'a Policy, blob: BlobId) -> PortFuture<'a, ()> {
        Box::pin(async move { Ok(self.delete_blob(policy, blob).await?) })
    }
}
