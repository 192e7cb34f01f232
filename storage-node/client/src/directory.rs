//! What the reconcilers ask the owner of blobs: which blobs there are, which are condemned, and may this one go.
//!
//! Chunks are opaque to a storage node; only the home record of a blob says that its bytes are wanted. The object layer owns
//! those records and answers here. Nothing is deleted because an answer is missing: deletion follows a condemnation,
//! which is a commit in the blob's home slot.

use futures_util::future::BoxFuture;
use ringfort_core::{BlobId, ErrorKind, SlotId};

/// One blob as its home slot records it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobHome {
    /// The blob.
    pub blob: BlobId,
    /// Id of the policy its chunks are stored under.
    pub policy: u16,
    /// Bytes per chunk when it was written (the last chunk may be shorter).
    pub chunk_bytes: u32,
    /// Bytes in all.
    pub size: u64,
}

impl BlobHome {
    /// Number of chunks the blob consists of; an empty one has none.
    #[must_use]
    pub fn chunk_count(&self) -> u32 {
        if self.chunk_bytes == 0 {
            return 0;
        }
        u32::try_from(self.size.div_ceil(u64::from(self.chunk_bytes))).unwrap_or(u32::MAX)
    }

    /// Length in bytes of chunk `number`.
    #[must_use]
    pub fn chunk_len(&self, number: u32) -> u32 {
        let start = u64::from(number) * u64::from(self.chunk_bytes);
        let rest = self.size.saturating_sub(start).min(u64::from(self.chunk_bytes));
        u32::try_from(rest).unwrap_or(self.chunk_bytes)
    }
}

/// What a home slot decided about a blob whose chunks were found on a device but which had no home record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrphanVerdict {
    /// A home record exists: the chunks are wanted (or already queued for deletion).
    Known,
    /// The blob is condemned now, by a commit in its home slot: no commit can refer to it any more, and it is in the
    /// list of condemned blobs.
    Condemned,
}

/// The directory could not answer; the reconciler tries again later.
#[derive(Debug, thiserror::Error)]
#[error("the blob directory did not answer: {reason}")]
pub struct DirectoryError {
    /// What the owner of the records said.
    pub reason: String,
    /// Its kind.
    pub kind: ErrorKind,
}

/// The owner of blob home records, as the reconcilers of a storage node see it. Implemented by the object layer.
pub trait BlobDirectory: Send + Sync + 'static {
    /// Live blobs at home in `slot`, in id order, those after `after`, at most `limit`. Fewer than `limit` means the end.
    fn blobs(
        &self,
        slot: SlotId,
        after: Option<BlobId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<BlobHome>, DirectoryError>>;

    /// Condemned blobs at home in `slot`, in id order, those after `after`, at most `limit`: their chunks may be deleted.
    fn condemned(
        &self,
        slot: SlotId,
        after: Option<BlobId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<BlobId>, DirectoryError>>;

    /// Every device that is not removed has durably recorded the delete of these blobs, all at home in `slot`: they may be
    /// forgotten.
    fn confirm_deleted(&self, slot: SlotId, blobs: Vec<BlobId>) -> BoxFuture<'_, Result<(), DirectoryError>>;

    /// Chunks of `blob` exist, and the session that wrote them has ended and is fenced: if the home slot has no record of the
    /// blob, condemns it by a commit, so that no later commit can refer to it.
    fn condemn_orphan(&self, blob: BlobId) -> BoxFuture<'_, Result<OrphanVerdict, DirectoryError>>;

    /// Whether deletions are on hold (after a metadata restore or an unsafe recovery).
    fn on_hold(&self) -> bool {
        false
    }
}
