//! Small public types.

use ringfort_core::GroupId;
use std::sync::Arc;

/// For whom a write is made, which decides whether it may use the reserve and how soon it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum IoClass {
    /// A client waits for it.
    #[default]
    Client,
    /// Repair, rebalance: yields to clients, and is refused earlier on a full device.
    Background,
}

/// What the index knows of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkInfo {
    /// Length in bytes.
    pub len: u32,
    /// Hash of the content. All zero for an inline body, which is covered by its entry instead.
    pub blake3: [u8; 32],
}

/// Space on the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// What the log holds plus what the file system still gives.
    pub capacity_bytes: u64,
    /// Bytes of all extent files.
    pub log_bytes: u64,
    /// Bytes in the log that something refers to.
    pub live_bytes: u64,
    /// Bytes in the log that nothing refers to.
    pub dead_bytes: u64,
    /// Bytes the file system still gives.
    pub free_bytes: u64,
    /// Bytes kept back for deletes, votes, log entries, compaction and the index.
    pub reserve_bytes: u64,
    /// Chunks stored, inline bodies not counted.
    pub chunks: u64,
    /// Inline bodies that live in log entries.
    pub inline_bodies: u64,
    /// Extent files.
    pub extents: u64,
}

/// Whether the device serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It serves reads and writes.
    InService,
    /// It refuses client writes, everything else goes on.
    Full,
    /// A write or sync failed: final, the device has to leave.
    Failed {
        /// The first error.
        reason: Arc<str>,
    },
}

/// A damaged place in the log, for people and for repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The extent.
    pub extent: u64,
    /// Where in it the damage begins.
    pub offset: u32,
    /// What was found.
    pub what: String,
    /// The group whose vote or log it concerns, if that is known.
    pub group: Option<GroupId>,
}

/// What opening found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Whether the folder was formatted just now.
    pub formatted: bool,
    /// Records replayed from the log.
    pub replayed: u64,
    /// Bytes of an unfinished last write that were cut.
    pub cut_bytes: u64,
    /// Whether the index was rebuilt from the log; group states are lost then.
    pub index_rebuilt: bool,
    /// Damage found on the way.
    pub damage: Vec<Damage>,
    /// Groups whose voter has to abstain until its peers restored it.
    pub lost_groups: Vec<GroupId>,
}

/// The state of a group on this device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateStatus {
    /// There is none yet.
    Empty,
    /// It may be read and written.
    Ok,
    /// It was lost with the index, a damaged record concerns it, or its replacement was cut short.
    Lost,
}

/// Direction of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Ascending keys.
    Forward,
    /// Descending keys.
    Backward,
}

/// One entry of a group's log as given to [`crate::GroupLog::append`].
#[derive(Clone, Debug)]
pub struct LogEntry {
    /// Position in the group's log.
    pub index: u64,
    /// Raft term, kept in the record header for tools.
    pub term: u64,
    /// Pieces of the payload, in order.
    pub payload: Vec<bytes::Bytes>,
}
