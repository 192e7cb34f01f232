//! Records on their way from one shard to another: what a shard gives away of a range of keys, as the shard that takes it over
//! stores it.
//!
//! A blob's references are named by the slot that holds them, so each is given a new name on the way; an inline body becomes a
//! new one with the same bytes. Everything else stays as it is.

use crate::codec::{Reader, Writer};
use crate::keys;
use crate::record::{BlobRef, Body, Part, Version};
use crate::{ShardId, VersionId};
use ringfort_core::{BlobId, HybridTime};

/// A record that moves with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedRecord {
    /// Its table.
    pub(crate) table: u8,
    /// Its key after the table and the shard's root.
    pub(crate) rest: Vec<u8>,
    /// Its value.
    pub(crate) value: Vec<u8>,
}

/// What a record holds beside its own bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    Nothing,
    Inline(BlobId, u64),
    Blob(BlobRef),
}

impl MovedRecord {
    pub(crate) fn write(&self, out: &mut Writer) {
        out.u8(self.table).bytes(&self.rest).bytes(&self.value);
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let table = from.u8().filter(|table| keys::MOVING.contains(table))?;
        Some(Self { table, rest: from.bytes()?.to_vec(), value: from.bytes()?.to_vec() })
    }

    /// Its key in `shard`.
    pub(crate) fn key(&self, shard: ShardId) -> Vec<u8> {
        [&[self.table][..], &shard.root(), &self.rest].concat()
    }

    /// The version in it, if its table holds versions.
    pub(crate) fn version(&self) -> Option<Option<Version<'_>>> {
        if matches!(self.table, keys::CURRENT | keys::OLDER) {
            Version::decode(&self.value).map(Some)
        } else {
            Some(None)
        }
    }

    pub(crate) fn holds(&self) -> Option<Holds> {
        let blob = match self.table {
            keys::CURRENT | keys::OLDER => match Version::decode(&self.value)? {
                Version { body: Body::Inline(blob), size, .. } => return Some(Holds::Inline(blob, size)),
                Version { body: Body::Chunks(blob), .. } => Some(blob),
                _ => None,
            },
            keys::PART | keys::MANIFEST => Part::decode(&self.value)?.blob,
            _ => None,
        };
        Some(blob.map_or(Holds::Nothing, Holds::Blob))
    }

    /// The key and version whose inline body goes with this record, if any; `None` if the record does not decode.
    #[must_use]
    pub fn inline(&self) -> Option<Option<(String, VersionId)>> {
        let Holds::Inline(..) = self.holds()? else { return Some(None) };
        let version = Version::decode(&self.value)?;
        let name =
            if self.table == keys::CURRENT { self.rest.clone() } else { keys::unescape(&self.rest)?.0 };
        let id = if version.null { VersionId::Null } else { VersionId::At(HybridTime(version.stamp)) };
        Some(Some((String::from_utf8(name).ok()?, id)))
    }

    /// Gives what it holds the name `name`, and answers the blob that this is now a reference to, if it is one; `None` if the
    /// record does not decode.
    #[must_use]
    pub fn rename(&mut self, name: BlobId) -> Option<Option<BlobId>> {
        let (blob, body) = match self.holds()? {
            Holds::Nothing => return Some(None),
            Holds::Inline(..) => (None, Body::Inline(name)),
            Holds::Blob(blob) => (Some(blob.blob), Body::Chunks(BlobRef { referrer: Some(name), ..blob })),
        };
        self.value = match self.table {
            keys::CURRENT | keys::OLDER => Version { body, ..Version::decode(&self.value)? }.encode(),
            _ => {
                let mut part = Part::decode(&self.value)?;
                part.blob = part.blob.map(|blob| BlobRef { referrer: Some(name), ..blob });
                part.encode()
            }
        };
        Some(blob)
    }
}

/// Records of [`crate::Query::Export`]; `None` inside if there were more than asked for.
#[must_use]
pub fn decode_export(payload: &[u8]) -> Option<Option<Vec<MovedRecord>>> {
    let mut from = Reader(payload);
    if from.bool()? {
        return from.end(None);
    }
    let mut records = Vec::new();
    while !from.0.is_empty() {
        records.push(MovedRecord::read(&mut from)?);
    }
    Some(Some(records))
}
