//! Chunks over a ring of devices: placement, quorum, fall-over, erasure coding, read repair.

mod directory;
mod error;
mod store;

pub use directory::{BlobDirectory, BlobHome, DirectoryError, OrphanVerdict};
pub use error::ChunkError;
pub use store::ChunkStore;
