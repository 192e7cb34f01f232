//! What containers and objects are, told with maps: the reference that the records are compared with.

use crate::{ETag, Versioning};
use ringfort_core::{BlobId, SlotId};
use std::collections::{BTreeMap, BTreeSet};

/// A version as the reference knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ver {
    pub(super) stamp: u64,
    pub(super) null: bool,
    pub(super) marker: bool,
    pub(super) size: u64,
    pub(super) etag: ETag,
    pub(super) expires: Option<u64>,
    /// Its attributes were changed then.
    pub(super) touched: Option<u64>,
    /// And are these.
    pub(super) extras: Option<Vec<u8>>,
    pub(super) inline: Option<BlobId>,
    /// Blobs and the names under which they are referred to.
    pub(super) blobs: Vec<(BlobId, BlobId)>,
}

impl Ver {
    pub(super) fn visible(&self, now: u64) -> bool {
        !self.marker && self.expires.is_none_or(|at| at > now)
    }

    pub(super) fn modified(&self) -> u64 {
        self.touched.unwrap_or(self.stamp)
    }
}

/// A part: size, MD5, blob, and the name it is referred to by.
pub(super) type PartOf = (u64, [u8; 16], BlobId, BlobId);

/// An upload: its parts by number.
pub(super) type Upload = BTreeMap<u32, PartOf>;

/// One container.
#[derive(Clone, Debug, Default)]
pub(super) struct Shard {
    pub(super) versioning: Versioning,
    /// Versions of each key, newest first.
    pub(super) keys: BTreeMap<String, Vec<Ver>>,
    pub(super) uploads: BTreeMap<(String, u64), Upload>,
}

/// What a move copied that was then not decided.
#[derive(Clone, Debug, Default)]
pub(super) struct Staged {
    pub(super) blobs: Vec<(BlobId, BlobId)>,
    pub(super) inline: Vec<BlobId>,
}

/// All containers, and who refers to which blob.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    pub(super) shards: Vec<Shard>,
    pub(super) referrers: BTreeMap<BlobId, BTreeSet<BlobId>>,
    pub(super) condemned: BTreeSet<BlobId>,
    pub(super) inline: BTreeSet<BlobId>,
    /// References given up in another slot than the blob's home, to be delivered.
    pub(super) outbox: Vec<(BlobId, BlobId)>,
    pub(super) staged: Staged,
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

    /// A reference held in `slot` is given up.
    pub(super) fn give_up(&mut self, slot: SlotId, blob: BlobId, name: BlobId) {
        if blob.home() == slot {
            self.drop_reference(blob, name);
        } else {
            self.outbox.push((blob, name));
        }
    }

    pub(super) fn release(&mut self, slot: SlotId, ver: &Ver) {
        if let Some(blob) = ver.inline {
            self.inline.remove(&blob);
        }
        for (blob, name) in &ver.blobs {
            self.give_up(slot, *blob, *name);
        }
    }

    /// Adds a version to a key of `slot` as the container's versioning has it.
    pub(super) fn insert(&mut self, shard: usize, key: &str, ver: Ver, slot: SlotId) {
        self.inline.extend(ver.inline);
        let versions = self.shards[shard].keys.entry(key.to_owned()).or_default();
        let replaced = if ver.null { versions.iter().position(|old| old.null) } else { None };
        let replaced = replaced.map(|at| versions.remove(at));
        versions.insert(0, ver);
        if let Some(old) = replaced {
            self.release(slot, &old);
        }
    }

    /// Removes a version.
    pub(super) fn remove(&mut self, shard: usize, key: &str, at: usize, slot: SlotId) {
        let versions = self.shards[shard].keys.get_mut(key).unwrap();
        let ver = versions.remove(at);
        if versions.is_empty() {
            self.shards[shard].keys.remove(key);
        }
        self.release(slot, &ver);
    }

    /// What an import over it drops.
    pub(super) fn drop_staged(&mut self, slot: SlotId) {
        let staged = std::mem::take(&mut self.staged);
        for (blob, name) in staged.blobs {
            self.give_up(slot, blob, name);
        }
        for blob in staged.inline {
            self.inline.remove(&blob);
        }
    }

    pub(super) fn latest(&self, shard: usize, key: &str) -> Option<&Ver> {
        self.shards[shard].keys.get(key)?.first()
    }
}

impl Shard {
    /// Objects, versions, bytes, uploads.
    pub(super) fn counters(&self) -> (u64, u64, u64, u64) {
        let objects = self.keys.values().filter(|versions| !versions[0].marker).count();
        let versions = self.keys.values().flatten();
        let bytes = versions.clone().map(|ver| ver.size).sum();
        (objects as u64, versions.count() as u64, bytes, self.uploads.len() as u64)
    }

    /// What a listing of objects at `now` shows, the last ones first.
    pub(super) fn list_reverse(&self, range: &crate::KeyRange<'_>) -> (Vec<(String, bool)>, bool) {
        let keys = self.keys.iter().filter(|(_, versions)| versions[0].visible(range.now));
        rolled_up_reverse(keys.map(|(key, _)| key), range)
    }

    /// What a listing of objects at `now` shows.
    pub(super) fn list(&self, range: &crate::KeyRange<'_>) -> (Vec<(String, bool)>, bool) {
        let keys = self.keys.iter().filter(|(_, versions)| versions[0].visible(range.now));
        rolled_up(keys.map(|(key, _)| key), range)
    }
}

/// The page of `keys`, the last ones first: below the marker, above the end.
pub(super) fn rolled_up_reverse<'k>(
    keys: impl DoubleEndedIterator<Item = &'k String>,
    range: &crate::KeyRange<'_>,
) -> (Vec<(String, bool)>, bool) {
    let within = |key: &&String| {
        (range.marker.is_empty() || key.as_str() < range.marker)
            && (range.end.is_empty() || key.as_str() > range.end)
    };
    let all = crate::KeyRange { marker: "", end: "", limit: u32::MAX, ..*range };
    let (mut shown, _) = rolled_up(keys.filter(within), &all);
    shown.reverse();
    let more = shown.len() > range.limit as usize;
    shown.truncate(range.limit as usize);
    (shown, more)
}

/// The page of `keys` that `range` names: each entry, whether it is a common prefix, and whether there is more.
pub(super) fn rolled_up<'k>(
    keys: impl Iterator<Item = &'k String>,
    range: &crate::KeyRange<'_>,
) -> (Vec<(String, bool)>, bool) {
    let (prefix, delimiter) = (range.prefix, range.delimiter);
    let mut shown: Vec<(String, bool)> = Vec::new();
    for key in keys {
        let beyond = !range.end.is_empty() && key.as_str() >= range.end;
        if !key.starts_with(prefix) || beyond {
            continue;
        }
        let rolled = (!delimiter.is_empty()).then(|| key[prefix.len()..].find(delimiter)).flatten();
        let entry = match rolled {
            Some(at) => (key[..prefix.len() + at + delimiter.len()].to_owned(), true),
            None => (key.clone(), false),
        };
        if entry.0.as_str() > range.marker && !(entry.1 && shown.last() == Some(&entry)) {
            shown.push(entry);
        }
    }
    let more = shown.len() > range.limit as usize;
    shown.truncate(range.limit as usize);
    (shown, more)
}
