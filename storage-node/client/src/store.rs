//! The chunk store: what the object layer writes to and reads from.

use crate::ChunkError;
use bytes::Bytes;
use ringfort_core::{BlobId, Policy};
use std::ops::Range;

/// Chunks over the devices of a cluster. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ChunkStore {}

impl ChunkStore {
    /// Stores chunk `number` of `blob`. Returns once enough synced pieces exist to read it after the losses the policy promises
    /// to survive; the other pieces are completed by a task the store owns, even when the caller goes away.
    ///
    /// # Errors
    /// [`ChunkError::NoSpace`] or [`ChunkError::TooFew`] when no such set of devices takes the pieces.
    pub async fn write_chunk(
        &self,
        policy: &Policy,
        blob: BlobId,
        number: u32,
        body: Vec<Bytes>,
    ) -> Result<(), ChunkError> {
        let _ = (policy, body);
        Err(ChunkError::TooFew { blob, number, stored: 0, needed: 0 })
    }

    /// Bytes `range` of chunk `number` of `blob`, which is `chunk_len` bytes long.
    ///
    /// # Errors
    /// [`ChunkError::Missing`] when no device that answers has it, [`ChunkError::Corrupt`] when each copy is damaged.
    pub async fn read_chunk(
        &self,
        policy: &Policy,
        blob: BlobId,
        number: u32,
        chunk_len: u32,
        range: Range<u32>,
    ) -> Result<Bytes, ChunkError> {
        let _ = (policy, chunk_len, range);
        Err(ChunkError::Missing { blob, number })
    }

    /// Deletes every piece of `blob` on every device.
    ///
    /// # Errors
    /// [`ChunkError::DeletePending`] until every device that is not removed has confirmed; call again later.
    pub async fn delete_blob(&self, policy: &Policy, blob: BlobId) -> Result<(), ChunkError> {
        let _ = policy;
        Err(ChunkError::DeletePending { blob, waiting: Vec::new() })
    }
}
