//! One device of a storage node: an append-only log of chunks, deletes and Raft records, its index, and crash recovery.
//!
//! An acknowledged write is durable; what was deleted stays deleted; no byte is returned that its checksum does not
//! vouch for. Start at [`Engine`].

mod background;
mod behind;
mod cache;
mod checkpoint;
mod chunks;
mod compact;
mod config;
mod disk;
mod effect;
mod engine;
mod error;
mod extents;
mod format;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod group;
mod index;
mod open;
mod queue;
mod raft;
mod recover;
mod scan;
mod snapshot;
mod state;
mod types;
mod workers;
mod writer;

#[cfg(test)]
mod tests;

pub use config::{EngineConfig, SharedMemory};
pub use engine::Engine;
pub use error::EngineError;
pub use raft::GroupLog;
pub use snapshot::{SnapshotItem, StateInstall, StateSnapshot};
pub use state::{GroupState, StateBatch, StateIter};
pub use types::{ChunkInfo, Damage, Direction, Health, IoClass, LogEntry, OpenReport, StateStatus, Usage};
