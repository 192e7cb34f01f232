//! Why a storage node could not start or do what it was told.

use ringfort_core::{DeviceId, ErrorKind, with_causes};
use ringfort_engine::EngineError;
use ringfort_meta::MetaError;
use ringfort_ring::RingError;
use ringfort_storage_client::ChunkError;
use std::io;
use std::path::{Path, PathBuf};

/// What went wrong on a storage node.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The configuration makes no sense.
    #[error("bad configuration: {reason}")]
    Config {
        /// Every fault, in words.
        reason: String,
    },
    /// A file or folder could not be read or written.
    #[error("cannot {what} {path}", path = path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder belongs to another cluster.
    #[error(
        "{path} belongs to cluster {found}, not to {wanted}: it was left alone; give another folder or empty it",
        path = path.display()
    )]
    OtherCluster {
        /// The folder.
        path: PathBuf,
        /// The cluster it belongs to.
        found: String,
        /// Our cluster.
        wanted: String,
    },
    /// A device names a cluster, and the data folder none.
    #[error(
        "{path} belongs to cluster {found}, and {file} is missing: put back a copy of it; if the device is another \
         cluster's, give another folder (it was left alone)",
        path = path.display(),
        file = file.display()
    )]
    IdentityMissing {
        /// The device's folder.
        path: PathBuf,
        /// The cluster it belongs to.
        found: String,
        /// The file that would name ours.
        file: PathBuf,
    },
    /// Two folders hold the same device.
    #[error(
        "{path} holds device {device}, and so does {other}: one of them is a copy; take it away",
        path = path.display(),
        other = other.display()
    )]
    DeviceTwice {
        /// The folder.
        path: PathBuf,
        /// The device.
        device: DeviceId,
        /// The other folder.
        other: PathBuf,
    },
    /// The file has a format this program does not know.
    #[error("{path} has format {found}; this program knows formats up to {known}: start a newer one", path = path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// The format met.
        found: u32,
        /// The newest format known.
        known: u32,
    },
    /// An identity file is damaged.
    #[error("{path} is damaged: {reason}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder has data but no identity file.
    #[error("{path} is not empty and holds no device of this cluster: it was left alone", path = path.display())]
    NotADevice {
        /// The folder.
        path: PathBuf,
    },
    /// Too few of the devices that hold the cluster map are there.
    #[error(
        "too few devices are there to read the cluster map; bring back enough of these and start again: {reasons}"
    )]
    NoQuorum {
        /// What is the matter with the others.
        reasons: String,
    },
    /// No such device.
    #[error("there is no device {device}")]
    NoSuchDevice {
        /// The device.
        device: DeviceId,
    },
    /// The change cannot be made now.
    #[error("{reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// The ring could not be planned.
    #[error("the ring cannot be built: {reason}")]
    Ring {
        /// Why.
        reason: String,
    },
    /// The engine of a device.
    #[error("device {device}: {reason}")]
    Engine {
        /// The device.
        device: DeviceId,
        /// What the engine said.
        reason: String,
        /// Its kind.
        kind: ErrorKind,
    },
    /// The metadata groups.
    #[error("metadata: {reason}")]
    Meta {
        /// What they said.
        reason: String,
        /// Its kind.
        kind: ErrorKind,
    },
    /// A record of the system group does not decode.
    #[error("the record `{key}` of the system group is damaged: {reason}")]
    Record {
        /// Its key.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// Chunks.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// The node is stopping.
    #[error("the storage node is stopping")]
    Stopping,
}

impl NodeError {
    pub(crate) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { what, path: path.to_owned(), source }
    }

    pub(crate) fn engine(device: DeviceId, error: &EngineError) -> Self {
        Self::Engine { device, reason: with_causes(error), kind: error.kind() }
    }

    /// The error with its causes, for `status` and for the log.
    pub(crate) fn in_full(&self) -> String {
        with_causes(self)
    }

    /// What the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config { .. }
            | Self::OtherCluster { .. }
            | Self::IdentityMissing { .. }
            | Self::DeviceTwice { .. }
            | Self::NewerFormat { .. }
            | Self::NotADevice { .. }
            | Self::Ring { .. } => ErrorKind::Invalid,
            Self::NoSuchDevice { .. } => ErrorKind::NotFound,
            Self::Refused { .. } => ErrorKind::Conflict,
            Self::Damaged { .. } | Self::Record { .. } => ErrorKind::Corrupt,
            Self::Io { .. } | Self::NoQuorum { .. } | Self::Stopping => ErrorKind::Unavailable,
            Self::Engine { kind, .. } | Self::Meta { kind, .. } => *kind,
            Self::Chunk(error) => error.kind(),
        }
    }
}

impl From<MetaError> for NodeError {
    fn from(error: MetaError) -> Self {
        Self::Meta { reason: error.to_string(), kind: error.kind() }
    }
}

impl From<RingError> for NodeError {
    fn from(error: RingError) -> Self {
        Self::Ring { reason: error.to_string() }
    }
}
