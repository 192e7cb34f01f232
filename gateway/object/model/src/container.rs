//! Container records and cluster-wide names. See `record.rs` for their bytes.

use crate::Versioning;
use crate::codec::{Reader, Writer};
use crate::record::FORMAT;
use ringfort_core::HybridTime;

/// How far a container has come. See the object layer's `containers` module for the transitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerState {
    /// Not visible yet: its alias or shards may be missing.
    Creating,
    /// In use.
    Live,
    /// In use, while a deletion of this token seals the shards to see whether all are empty.
    Sealing(u64),
    /// Gone for everybody: what is left is being removed.
    Deleting,
}

/// A container's record in its account's slot. Changed only by compare-and-set on the revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerRecord {
    /// How far it has come.
    pub state: ContainerState,
    /// Different each time a container of this name is made.
    pub incarnation: u64,
    /// When it was made; set by the commit.
    pub created: HybridTime,
    /// Time of the last change; set by the commit.
    pub revision: u64,
    /// What writes do with the version before them.
    pub versioning: Versioning,
    /// The revision at which `versioning` was last set.
    pub versioning_revision: u64,
    /// Storage policy of new objects.
    pub policy: u16,
    /// The key each shard begins at, and its number; in order of the keys, the first one empty.
    pub shards: Vec<(String, u32)>,
    /// The dialects' metadata.
    pub metadata: Vec<(String, String)>,
}

impl ContainerRecord {
    /// Whether it is there for clients.
    #[must_use]
    pub const fn in_use(&self) -> bool {
        matches!(self.state, ContainerState::Live | ContainerState::Sealing(_))
    }

    /// As `versioning_revision` of a record being written: the revision that the commit gives it.
    pub const THIS_REVISION: u64 = u64::MAX;

    /// The shard that `key` belongs to.
    #[must_use]
    pub fn shard_of(&self, key: &str) -> ShardOf {
        let index = self.shards.partition_point(|(from, _)| from.as_str() <= key).saturating_sub(1);
        ShardOf { index, id: self.shard(index) }
    }

    /// Shard `index` in order of keys.
    #[must_use]
    pub fn shard(&self, index: usize) -> crate::ShardId {
        let number = self.shards.get(index).map_or(0, |(_, number)| *number);
        crate::ShardId { incarnation: self.incarnation, number }
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        let (state, token) = match self.state {
            ContainerState::Creating => (0, 0),
            ContainerState::Live => (1, 0),
            ContainerState::Sealing(token) => (2, token),
            ContainerState::Deleting => (3, 0),
        };
        out.u8(FORMAT).u8(state).u64(token).u64(self.incarnation).u64(self.created.0).u64(self.revision);
        out.u8(self.versioning.code()).u64(self.versioning_revision).varint(u64::from(self.policy));
        out.len(self.shards.len());
        for (from, number) in &self.shards {
            out.bytes(from.as_bytes()).varint(u64::from(*number));
        }
        out.pairs(&self.metadata);
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        if from.u8()? != FORMAT {
            return None;
        }
        let state = match (from.u8()?, from.u64()?) {
            (0, _) => ContainerState::Creating,
            (1, _) => ContainerState::Live,
            (2, token) => ContainerState::Sealing(token),
            (3, _) => ContainerState::Deleting,
            _ => return None,
        };
        let (incarnation, created, revision) = (from.u64()?, HybridTime(from.u64()?), from.u64()?);
        let versioning = Versioning::of_code(from.u8()?)?;
        let versioning_revision = from.u64()?;
        let policy = from.varint()?.try_into().ok()?;
        let count = from.count()?;
        let shards = (0..count)
            .map(|_| Some((from.str()?.to_owned(), from.varint_u32()?)))
            .collect::<Option<Vec<_>>>()?;
        let metadata = from.pairs()?;
        Some(Self {
            state,
            incarnation,
            created,
            revision,
            versioning,
            versioning_revision,
            policy,
            shards,
            metadata,
        })
    }

    /// The record as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        self.write(&mut out);
        out.0
    }

    /// The record in these bytes.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        let record = Self::read(&mut from)?;
        from.end(record)
    }
}

/// A shard found for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardOf {
    /// Its index in order of keys.
    pub index: usize,
    /// Its name.
    pub id: crate::ShardId,
}

/// Which account holds a container name cluster-wide. Changed only by compare-and-set on the revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliasRecord {
    /// Time of the last change; set by the commit.
    pub revision: u64,
    /// The incarnation it was claimed for.
    pub incarnation: u64,
    /// The account.
    pub account: String,
}

impl AliasRecord {
    /// The record as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u8(FORMAT).u64(self.revision).u64(self.incarnation).bytes(self.account.as_bytes());
        out.0
    }

    /// The record in these bytes.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        if from.u8()? != FORMAT {
            return None;
        }
        let record =
            Self { revision: from.u64()?, incarnation: from.u64()?, account: from.str()?.to_owned() };
        from.end(record)
    }
}
