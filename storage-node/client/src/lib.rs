//! Chunks over a ring of devices: placement, quorum, fall-over, erasure coding, read repair.
//!
//! The object layer hands whole chunks to a [`ChunkStore`] and reads ranges back; everything about where the pieces are, how
//! many there must be before a write is acknowledged, and what to do when one is missing, is here. The storage node
//! keeps the [`ClusterView`] current and drives [`ChunkStore::repair_chunk`].

mod delete;
mod device;
mod directory;
mod error;
mod quorum;
mod read;
mod repair;
mod repair_queue;
mod store;
mod survey;
mod view;
mod write;

pub use directory::{BlobDirectory, BlobHome, DirectoryError, OrphanVerdict};
pub use error::ChunkError;
pub use quorum::FailureLevel;
pub use repair::RepairReport;
pub use repair_queue::{RepairQueue, RepairRequest};
pub use store::ChunkStore;
pub use survey::RepairDepth;
pub use view::{Cluster, ClusterView, DeviceHandle, DevicePlace, Member, Placement, PolicyRing, Standing};
