//! One device of a storage node: an append-only log of chunks, deletes and Raft records, its index, and crash recovery.
//!
//! An acknowledged write is durable; what was deleted stays deleted; no byte is returned that its checksum does not
//! vouch for. Start at [`Engine`].

mod committer;
mod compact;
mod config;
mod disk;
mod engine;
mod error;
mod extents;
mod format;
mod group;
mod index;
mod raft;
mod recover;
mod state;
mod types;

pub use config::{EngineConfig, SharedMemory};
pub use engine::Engine;
pub use error::EngineError;
pub use raft::GroupLog;
pub use state::{GroupState, SnapshotItem, StateBatch, StateInstall, StateIter, StateSnapshot, Visit};
pub use types::{ChunkInfo, Damage, Direction, Health, IoClass, LogEntry, OpenReport, StateStatus, Usage};
