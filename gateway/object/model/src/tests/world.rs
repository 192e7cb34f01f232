//! What containers and objects are, told with maps: the reference that the records are compared with.

use crate::{ETag, Versioning};
use ringfort_core::BlobId;
use std::collections::{BTreeMap, BTreeSet};

/// A version as the reference knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ver {
    pub(super) stamp: u64,
    pub(super) null: bool,
    pub(super) marker: bool,
    pub(super) size: u64,
    pub(super) etag: ETag,
    pub(super) inline: Option<BlobId>,
    /// Blobs and the names under which they are referred to.
    pub(super) blobs: Vec<(BlobId, BlobId)>,
}

/// An upload: its parts by number, each with size, MD5 and blob.
pub(super) type Upload = BTreeMap<u32, (u64, [u8; 16], BlobId)>;

/// One shard.
#[derive(Clone, Debug, Default)]
pub(super) struct Shard {
    pub(super) versioning: Versioning,
    /// Versions of each key, newest first.
    pub(super) keys: BTreeMap<String, Vec<Ver>>,
    pub(super) uploads: BTreeMap<(String, u64), Upload>,
}

/// All shards, and who refers to which blob.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    pub(super) shards: Vec<Shard>,
    pub(super) referrers: BTreeMap<BlobId, BTreeSet<BlobId>>,
    pub(super) condemned: BTreeSet<BlobId>,
    pub(super) inline: BTreeSet<BlobId>,
    /// References given up in another slot than the blob's home, to be delivered.
    pub(super) outbox: Vec<(BlobId, BlobId)>,
}

impl World {
    pub(super) fn drop_reference(&mut self, blob: BlobId, name: BlobId) {
        let Some(names) = self.referrers.get_mut(&blob) else { return };
        names.remove(&name);
        if names.is_empty() {
            self.referrers.remove(&blob);
            self.condemned.insert(blob);
        }
    }

    fn release(&mut self, shard: usize, ver: &Ver, slots: &[ringfort_core::SlotId]) {
        if let Some(blob) = ver.inline {
            self.inline.remove(&blob);
        }
        for (blob, name) in &ver.blobs {
            if blob.home() == slots[shard] {
                self.drop_reference(*blob, *name);
            } else {
                self.outbox.push((*blob, *name));
            }
        }
    }

    /// Adds a version as the shard's versioning has it.
    pub(super) fn insert(&mut self, shard: usize, key: &str, ver: Ver, slots: &[ringfort_core::SlotId]) {
        self.inline.extend(ver.inline);
        let versions = self.shards[shard].keys.entry(key.to_owned()).or_default();
        let replaced = if ver.null { versions.iter().position(|old| old.null) } else { None };
        let replaced = replaced.map(|at| versions.remove(at));
        versions.insert(0, ver);
        if let Some(old) = replaced {
            self.release(shard, &old, slots);
        }
    }

    /// Removes a version; whether there was one.
    pub(super) fn remove(&mut self, shard: usize, key: &str, at: usize, slots: &[ringfort_core::SlotId]) {
        let versions = self.shards[shard].keys.get_mut(key).unwrap();
        let ver = versions.remove(at);
        if versions.is_empty() {
            self.shards[shard].keys.remove(key);
        }
        self.release(shard, &ver, slots);
    }

    pub(super) fn latest(&self, shard: usize, key: &str) -> Option<&Ver> {
        self.shards[shard].keys.get(key)?.first()
    }
}

impl Shard {
    /// Objects, versions, bytes.
    pub(super) fn counters(&self) -> (u64, u64, u64) {
        let objects = self.keys.values().filter(|versions| !versions[0].marker).count();
        let versions = self.keys.values().flatten();
        (objects as u64, versions.clone().count() as u64, versions.map(|ver| ver.size).sum())
    }

    /// What a listing shows: names, and whether each is a common prefix; and whether there is more.
    pub(super) fn list(
        &self,
        prefix: &str,
        delimiter: &str,
        marker: &str,
        end: &str,
        limit: usize,
    ) -> (Vec<(String, bool)>, bool) {
        let mut shown: Vec<(String, bool)> = Vec::new();
        for (key, versions) in &self.keys {
            let beyond = !end.is_empty() && key.as_str() >= end;
            if versions[0].marker || !key.starts_with(prefix) || beyond {
                continue;
            }
            let rolled = (!delimiter.is_empty()).then(|| key[prefix.len()..].find(delimiter)).flatten();
            let entry = match rolled {
                Some(at) => (key[..prefix.len() + at + delimiter.len()].to_owned(), true),
                None => (key.clone(), false),
            };
            if entry.0.as_str() > marker && shown.last() != Some(&entry) {
                shown.push(entry);
            }
        }
        let more = shown.len() > limit;
        shown.truncate(limit);
        (shown, more)
    }
}
