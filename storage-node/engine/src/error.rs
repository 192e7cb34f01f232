//! What can go wrong on one device.

use ringfort_core::{ChunkKey, ErrorKind, GroupId};
use std::io;
use std::sync::Arc;

/// Why an engine call failed. Cheap to clone: one failed sync answers every waiter of its batch.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EngineError {
    /// The index has no such chunk.
    #[error("chunk {blob}/{number}.{fragment} is not on this device", blob = .key.blob, number = .key.number, fragment = .key.fragment)]
    ChunkNotFound {
        /// The chunk.
        key: ChunkKey,
    },
    /// The range asked for does not lie within the chunk.
    #[error("range {from}..{to} lies outside a chunk of {len} bytes")]
    Range {
        /// First byte asked for.
        from: u32,
        /// Byte after the last one asked for.
        to: u32,
        /// Length of the chunk.
        len: u32,
    },
    /// A chunk of this name with other content is already here: names are never reused, so one of the writers is wrong.
    #[error("chunk {blob}/{number}.{fragment} is already here with other content", blob = .key.blob, number = .key.number, fragment = .key.fragment)]
    Conflict {
        /// The chunk.
        key: ChunkKey,
    },
    /// Stored bytes of a chunk fail their checksum: another copy has to serve, and repair this one.
    #[error("chunk {blob}/{number}.{fragment} fails its checksum in extent {extent} at byte {offset}", blob = .key.blob, number = .key.number, fragment = .key.fragment)]
    Corrupt {
        /// The chunk.
        key: ChunkKey,
        /// The extent that holds it.
        extent: u64,
        /// Where in the extent the bad block begins.
        offset: u32,
    },
    /// A record of a group's log fails its checksum: the voter has to abstain until its peers restored it.
    #[error("log of group {group} is damaged in extent {extent} at byte {offset}")]
    LogDamaged {
        /// The group.
        group: GroupId,
        /// The extent.
        extent: u64,
        /// Where in the extent the record begins.
        offset: u32,
    },
    /// The index met corruption. Reopen the engine with [`crate::EngineConfig::rebuild_index`] to rebuild it from the log.
    #[error("the index is damaged: {reason}")]
    IndexDamaged {
        /// What RocksDB said.
        reason: String,
    },
    /// The index could not be read or written for a reason that is not corruption.
    #[error("the index failed: {reason}")]
    Index {
        /// What RocksDB said.
        reason: String,
    },
    /// The state of the group was lost with the index, or was being replaced when the process died.
    #[error("the state of group {group} is lost on this device")]
    StateLost {
        /// The group.
        group: GroupId,
    },
    /// A purge above what flushed tables hold, which would lose applied commands in a crash.
    #[error("group {group} cannot purge to {index}: durable only to {durable}")]
    PurgeTooFar {
        /// The group.
        group: GroupId,
        /// The index asked for.
        index: u64,
        /// The greatest index allowed.
        durable: u64,
    },
    /// Entries that do not follow the last one, or name an entry that is not there.
    #[error("group {group}: entry {index} does not fit a log that ends at {last:?}")]
    LogOrder {
        /// The group.
        group: GroupId,
        /// The entry's index.
        index: u64,
        /// The last index of the log.
        last: Option<u64>,
    },
    /// No space for client data; deletes, votes and log entries still go through.
    #[error("the device is full")]
    NoSpace,
    /// The device's queue is full; repeating later may help.
    #[error("the device's queue is full")]
    Busy,
    /// A body or entry larger than one extent can hold.
    #[error("{len} bytes are more than one record may hold ({max})")]
    TooLarge {
        /// Bytes given.
        len: u64,
        /// Bytes allowed.
        max: u64,
    },
    /// The device is out of service for good: what its disk holds is no longer known.
    #[error("the device has failed: {reason}")]
    Failed {
        /// The first error.
        reason: Arc<str>,
    },
    /// The engine was closed.
    #[error("the engine is closed")]
    Closed,
    /// The folder belongs to a newer format.
    #[error(
        "the device folder has format {found}, this program knows formats up to {known}: use a newer ringfort"
    )]
    NewerFormat {
        /// The format found.
        found: u32,
        /// The newest format known.
        known: u32,
    },
    /// The header of the folder fails its checksum or is no header of ours.
    #[error("`{file}` in the device folder is damaged or is no Ringfort header: {reason}")]
    BadHeader {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process has the folder open.
    #[error("the device folder is in use by another process")]
    Locked,
    /// The configuration makes no sense.
    #[error("invalid engine configuration: {reason}")]
    Config {
        /// What is wrong.
        reason: String,
    },
    /// An operation on a file failed.
    #[error("cannot {doing}")]
    Io {
        /// What was tried.
        doing: String,
        /// Why it failed.
        source: Arc<io::Error>,
    },
}

impl EngineError {
    /// The kind that every dialect knows an answer for.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::ChunkNotFound { .. } => ErrorKind::NotFound,
            Self::Range { .. } | Self::TooLarge { .. } | Self::Config { .. } => ErrorKind::Invalid,
            Self::Conflict { .. } | Self::LogOrder { .. } | Self::PurgeTooFar { .. } => ErrorKind::Conflict,
            Self::Corrupt { .. }
            | Self::LogDamaged { .. }
            | Self::IndexDamaged { .. }
            | Self::BadHeader { .. } => ErrorKind::Corrupt,
            Self::NoSpace => ErrorKind::NoSpace,
            Self::Index { .. }
            | Self::StateLost { .. }
            | Self::Busy
            | Self::Failed { .. }
            | Self::Closed
            | Self::Locked
            | Self::Io { .. } => ErrorKind::Unavailable,
            Self::NewerFormat { .. } => ErrorKind::Invalid,
        }
    }

    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source: Arc::new(source) }
    }
}
