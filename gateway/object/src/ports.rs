//! What the object layer needs from the storage cluster, so that it can be tested on a cluster in memory.

use bytes::Bytes;
use ringfort_core::{BlobId, Policy, SessionId, SlotId};
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;

/// A boxed future, as trait objects need.
pub type PortFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, PortError>> + Send + 'a>>;

/// Why the cluster did not do something.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PortError {
    /// The devices are full; nothing was written.
    #[error("the devices are full")]
    NoSpace,
    /// Too few devices or voters answered; a write may have happened or not.
    #[error("storage does not answer in time: {0}")]
    Unavailable(String),
    /// Stored bytes are damaged.
    #[error("stored data is damaged: {0}")]
    Corrupt(String),
    /// A bug.
    #[error("internal error: {0}")]
    Internal(String),
}

/// The metadata groups.
pub trait MetaPort: Send + Sync + 'static {
    /// Applies `command` in `slot`, once, and returns its result.
    fn execute(&self, slot: SlotId, command: Bytes, bodies: Vec<Bytes>) -> PortFuture<'_, Bytes>;

    /// Answers `query` by a linearizable read: the reply, and an inline body if the model named one.
    fn query(&self, slot: SlotId, query: Bytes) -> PortFuture<'_, (Bytes, Option<Bytes>)>;

    /// The session that new blobs are written under.
    fn session(&self) -> SessionId;
}

/// The chunks of blobs.
pub trait ChunkPort: Send + Sync + 'static {
    /// Stores a chunk; durable on return.
    fn write<'a>(&'a self, policy: &'a Policy, blob: BlobId, number: u32, body: Vec<Bytes>) -> PortFuture<'a, ()>;

    /// Reads a range of a chunk.
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
