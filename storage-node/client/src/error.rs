//! Why a chunk could not be written, read, repaired or deleted.

use ringfort_core::{BlobId, DeviceId, ErrorKind};

/// What went wrong with a chunk. Every variant names what was tried, so that the log line alone is enough to look further.
#[derive(Debug, thiserror::Error)]
pub enum ChunkError {
    /// The policy has no ring table: it is not one of this cluster's.
    #[error("storage policy {policy} has no ring table in this cluster")]
    UnknownPolicy {
        /// The policy's id.
        policy: u16,
    },
    /// The range does not lie within the chunk, or the chunk's length does not fit the policy.
    #[error("bytes {start}..{end} do not lie within a chunk of {len} bytes")]
    BadRange {
        /// First byte asked for.
        start: u32,
        /// First byte not asked for.
        end: u32,
        /// Length of the chunk.
        len: u32,
    },
    /// Too few devices have room.
    #[error("chunk {number} of blob {blob}: {stored} of {needed} pieces stored, the other devices are full")]
    NoSpace {
        /// The blob.
        blob: BlobId,
        /// The chunk's number.
        number: u32,
        /// Pieces that were synced.
        stored: usize,
        /// Pieces needed before the write may be acknowledged.
        needed: usize,
    },
    /// Too few devices are in service, or the pieces stored do not survive the loss that the policy promises to survive.
    #[error("chunk {number} of blob {blob}: {stored} of {needed} pieces stored, too few devices in service")]
    TooFew {
        /// The blob.
        blob: BlobId,
        /// The chunk's number.
        number: u32,
        /// Pieces that were synced.
        stored: usize,
        /// Pieces needed before the write may be acknowledged.
        needed: usize,
    },
    /// A chunk that is referred to is on no device that answers now. It may come back: never "not found".
    #[error("chunk {number} of blob {blob} is on no device in service")]
    Missing {
        /// The blob.
        blob: BlobId,
        /// The chunk's number.
        number: u32,
    },
    /// Every piece that could serve the bytes fails its checksum.
    #[error("chunk {number} of blob {blob} fails its checksum on every device that holds it")]
    Corrupt {
        /// The blob.
        blob: BlobId,
        /// The chunk's number.
        number: u32,
    },
    /// The name was used before for other bytes.
    #[error("chunk {number} of blob {blob} exists already with other bytes")]
    Conflict {
        /// The blob.
        blob: BlobId,
        /// The chunk's number.
        number: u32,
    },
    /// Not every device has confirmed the delete yet.
    #[error("blob {blob}: devices {waiting:?} have not confirmed the delete")]
    DeletePending {
        /// The blob.
        blob: BlobId,
        /// Devices that have still to confirm.
        waiting: Vec<DeviceId>,
    },
    /// The writes did not come to an end in time; their outcome is unknown.
    #[error("chunk {number} of blob {blob}: no quorum within {after_ms} ms")]
    TimedOut {
        /// The blob.
        blob: BlobId,
        /// The chunk's number.
        number: u32,
        /// Milliseconds waited.
        after_ms: u64,
    },
    /// The erasure codec refused, which only a bug of ours can cause.
    #[error("the erasure codec refused: {reason}")]
    Codec {
        /// The codec's words.
        reason: String,
    },
    /// The process is stopping.
    #[error("the storage node is stopping")]
    Stopping,
}

impl ChunkError {
    /// What the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::BadRange { .. } => ErrorKind::Invalid,
            Self::NoSpace { .. } => ErrorKind::NoSpace,
            Self::TooFew { .. }
            | Self::Missing { .. }
            | Self::DeletePending { .. }
            | Self::TimedOut { .. }
            | Self::Stopping => ErrorKind::Unavailable,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::UnknownPolicy { .. } | Self::Conflict { .. } | Self::Codec { .. } => ErrorKind::Internal,
        }
    }
}
