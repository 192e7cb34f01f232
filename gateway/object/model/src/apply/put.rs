//! Storing versions.

use super::{Apply, Done, decode_current};
use crate::command::{NewBody, PutObject};
use crate::record::{Body, Version};
use crate::reply::Stored;
use crate::shard::ShardRoot;
use crate::{Refusal, ShardId, VersionId, Versioning, keys};
use bytes::Bytes;
use ringfort_core::HybridTime;

impl Apply<'_> {
    pub(super) fn put(&mut self, put: PutObject<'_>) -> Done {
        let mut root = self.open_shard(put.shard, put.key)?;
        let current_bytes = self.current(put.shard, put.key);
        let current = decode_current(current_bytes.as_ref())?;
        self.check_conditions(current.as_ref(), &put.conditions)?;
        self.check_body(&put)?;
        let stamp = self.stamp_after(current.as_ref());
        let new = Version {
            stamp,
            null: root.versioning != Versioning::Enabled,
            marker: false,
            etag: put.etag,
            size: put.size,
            content_type: put.content_type,
            body: self.take_body(&put, stamp),
            extras: put.extras,
            touched: None,
            older: false,
            null_at: None,
        };
        self.insert(put.shard, put.key, &mut root, current_bytes.as_ref().zip(current), new)?;
        self.save_shard(put.shard, &root);
        Ok(stored(&new, &root))
    }

    /// The command's time, or just after the latest version if a slot ever came to a group whose clock is behind.
    pub(super) fn stamp_after(&self, current: Option<&Version<'_>>) -> u64 {
        current.map_or(self.stamp, |current| self.stamp.max(current.stamp.saturating_add(1)))
    }

    /// A number from `stamp` on that names neither an upload of this key nor a manifest; of a key that came from another slot
    /// both may carry times of that slot's clock.
    pub(super) fn free_id(&self, shard: ShardId, name: &[u8], stamp: u64) -> u64 {
        let taken = |id: &u64| {
            self.tx.get(&keys::upload(shard, name, *id)).is_some()
                || self.first_of(&keys::manifest_of(shard, name, *id)).is_some()
        };
        (stamp..).find(|id| !taken(id)).unwrap_or(stamp)
    }

    /// Makes `new` the current version. A null version replaces the key's null version; whatever else was current becomes the
    /// newest of the older ones.
    pub(super) fn insert(
        &mut self,
        shard: ShardId,
        key: &str,
        root: &mut ShardRoot,
        current: Option<(&Bytes, Version<'_>)>,
        mut new: Version<'_>,
    ) -> Result<(), Refusal> {
        if let Some((bytes, current)) = current {
            root.objects = root.objects.saturating_sub(u64::from(!current.marker));
            if new.null && current.null {
                new.older = current.older;
                self.release(shard, key, root, &current);
            } else {
                self.tx.put(&keys::older(shard, key.as_bytes(), current.stamp), bytes);
                new.older = true;
                let null_at = if current.null { Some(current.stamp) } else { current.null_at };
                match null_at {
                    Some(at) if new.null => self.remove_older(shard, key, root, at)?,
                    _ => new.null_at = null_at,
                }
            }
        }
        root.objects += u64::from(!new.marker);
        root.versions += 1;
        root.bytes = root.bytes.saturating_add(new.size);
        self.tx.put(&keys::current(shard, key.as_bytes()), &new.encode());
        if let Some(at) = new.expires_at() {
            self.tx.put(&keys::expiry(at, shard, new.stamp, key.as_bytes()), &[]);
        }
        Ok(())
    }

    /// Removes the older version of this stamp and what it holds. The caller mends the current record.
    pub(super) fn remove_older(
        &mut self,
        shard: ShardId,
        key: &str,
        root: &mut ShardRoot,
        stamp: u64,
    ) -> Result<(), Refusal> {
        let at = keys::older(shard, key.as_bytes(), stamp);
        if let Some(bytes) = self.tx.get(&at) {
            let version = Version::decode(&bytes).ok_or(Refusal::Damaged)?;
            self.release(shard, key, root, &version);
            self.tx.delete(&at);
        }
        Ok(())
    }

    /// Gives up what a version holds and takes it out of the counters (but for `objects`).
    pub(super) fn release(&mut self, shard: ShardId, key: &str, root: &mut ShardRoot, version: &Version<'_>) {
        root.versions = root.versions.saturating_sub(1);
        root.bytes = root.bytes.saturating_sub(version.size);
        if let Some(at) = version.expires_at() {
            self.tx.delete(&keys::expiry(at, shard, version.stamp, key.as_bytes()));
        }
        match version.body {
            Body::Empty => {}
            Body::Inline(blob) => self.tx.release_inline(blob),
            Body::Chunks(blob) => self.drop_reference(&blob),
            Body::Manifest { id, .. } => {
                self.drop_parts(&keys::manifest_of(shard, key.as_bytes(), id));
                self.tx.delete(&keys::done(shard, key.as_bytes(), id));
            }
        }
    }

    /// Whether the body named can be taken, without taking it.
    fn check_body(&self, put: &PutObject<'_>) -> Result<(), Refusal> {
        let sound = match &put.body {
            NewBody::Empty => put.size == 0,
            NewBody::Inline(blob) => {
                blob.home() == self.tx.slot()
                    && self.bodies.first().is_some_and(|body| u64::from(body.len) == put.size)
            }
            NewBody::Chunks { blob, chunk_bytes, .. } => return self.check_new_blob(*blob, *chunk_bytes),
            NewBody::Shared(blob) => return self.check_shared(blob),
            NewBody::Parts(parts) => {
                for blob in parts.iter().filter_map(|part| part.blob.as_ref()) {
                    self.check_shared(blob)?;
                }
                parts.iter().try_fold(0_u64, |sum, part| sum.checked_add(part.size)) == Some(put.size)
            }
        };
        if sound { Ok(()) } else { Err(Refusal::Malformed) }
    }

    fn take_body(&mut self, put: &PutObject<'_>, stamp: u64) -> Body {
        match &put.body {
            NewBody::Empty => Body::Empty,
            NewBody::Inline(blob) => {
                self.tx.adopt_inline(0, *blob);
                Body::Inline(*blob)
            }
            NewBody::Chunks { blob, policy, chunk_bytes } => {
                Body::Chunks(self.create_blob(*blob, *policy, *chunk_bytes, put.size))
            }
            NewBody::Shared(blob) => {
                self.add_shared(blob);
                Body::Chunks(*blob)
            }
            NewBody::Parts(parts) => {
                let name = put.key.as_bytes();
                let id = self.free_id(put.shard, name, stamp);
                let mut end = 0_u64;
                for part in parts {
                    end = end.saturating_add(part.size);
                    if let Some(blob) = &part.blob {
                        self.add_shared(blob);
                    }
                    self.tx.put(&keys::manifest(put.shard, name, id, end, part.number), &part.encode());
                }
                Body::Manifest { id, parts: u32::try_from(parts.len()).unwrap_or(u32::MAX) }
            }
        }
    }
}

/// The reply to a stored version.
pub(super) fn stored(version: &Version<'_>, root: &ShardRoot) -> Vec<u8> {
    let id = if version.null { VersionId::Null } else { VersionId::At(HybridTime(version.stamp)) };
    let (versioning, crowd) = (root.versioning, root.versions);
    Stored { stamp: HybridTime(version.stamp), version: id, versioning, size: version.size, crowd }.encode()
}
