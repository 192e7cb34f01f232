//! The index: an ordered key-value store whose writes are atomic and become durable together, by a flush. Two forms: RocksDB,
//! and memory with the same way of forgetting in a crash.
//!
//! | family | key | value |
//! |---|---|---|
//! | `Meta` | see [`keys`] | marks, extent accounting, raft tables, tombs, group status |
//! | `Chunks` | encoded `ChunkKey` | `ChunkEntry` |
//! | `Inline` | extent, body offset (big-endian) | key of the inline body there |
//! | `State` | group (4 bytes big-endian), caller's key | caller's value |

pub(crate) mod keys;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod mem;
mod rocks;
pub(crate) mod tx;

pub(crate) use rocks::RocksIndex;

use crate::EngineError;
use bytes::Bytes;

/// A column family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Meta = 0,
    Chunks = 1,
    Inline = 2,
    State = 3,
}

impl Family {
    pub(crate) const ALL: [Self; 4] = [Self::Meta, Self::Chunks, Self::Inline, Self::State];
}

/// One change.
#[derive(Clone, Debug)]
pub(crate) enum IndexOp {
    Put(Family, Vec<u8>, Vec<u8>),
    Delete(Family, Vec<u8>),
    /// From the first key (inclusive) to the second (exclusive).
    DeleteRange(Family, Vec<u8>, Vec<u8>),
}

/// Something to read from: the index as it is, or as it was at one moment.
pub(crate) trait View {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, EngineError>;
    /// A cursor over `[from, to)`; an empty `to` means the end of the family. It stands nowhere at first.
    fn cursor(&self, family: Family, from: &[u8], to: &[u8]) -> Box<dyn Cursor + '_>;
}

/// A place in an ordered range.
pub(crate) trait Cursor {
    /// To the first key not below `key`.
    fn seek(&mut self, key: &[u8]);
    /// To the first key of the range.
    fn first(&mut self);
    /// To the last key of the range.
    fn last(&mut self);
    fn next(&mut self);
    fn prev(&mut self);
    /// What is under the cursor; `None` at either end, or after an error (see [`Self::status`]).
    fn item(&self) -> Option<(&[u8], &[u8])>;
    fn status(&self) -> Result<(), EngineError>;
}

/// The store.
pub(crate) trait Index: View + Send + Sync {
    /// Applies the changes as one: visible at once, durable with the next flush, never a part of them.
    fn write(&self, ops: &[IndexOp]) -> Result<(), EngineError>;
    /// Makes everything written so far durable, all families at one moment.
    fn flush(&self) -> Result<(), EngineError>;
    /// Calls `visit` with the store as it is now; later writes do not show in it.
    fn with_snapshot(&self, visit: &mut dyn FnMut(&dyn View));
}
