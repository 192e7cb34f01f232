//! Account records. See `record.rs` for their bytes.

use crate::codec::{Reader, Writer};
use crate::record::FORMAT;
use ringfort_core::HybridTime;

/// What is recorded of an account beside its containers, in their slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountRecord {
    /// When it was used first.
    pub created: HybridTime,
    /// Time of the last change of the metadata; set by the commit.
    pub revision: u64,
    /// Containers in use. Kept by the commits that make and remove them.
    pub containers: u64,
    /// The dialects' metadata.
    pub metadata: Vec<(String, String)>,
}

impl AccountRecord {
    /// The record as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u8(FORMAT).u64(self.created.0).u64(self.revision).varint(self.containers).pairs(&self.metadata);
        out.0
    }

    /// The record in these bytes.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        if from.u8()? != FORMAT {
            return None;
        }
        let (created, revision, containers) = (HybridTime(from.u64()?), from.u64()?, from.varint()?);
        let metadata = from.pairs()?;
        from.end(Self { created, revision, containers, metadata })
    }
}
