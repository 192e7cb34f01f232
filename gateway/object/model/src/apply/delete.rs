//! Deleting versions.

use super::{Apply, Done, decode_current};
use crate::command::Retired;
use crate::record::{Body, Version};
use crate::reply::Deleted;
use crate::shard::ShardRoot;
use crate::{ETag, Refusal, ShardId, VersionId, Versioning, WriteConditions, keys};
use bytes::Bytes;
use ringfort_storage_api::Scan;
use std::ops::ControlFlow;

/// Where a version of a key was found.
enum Place {
    Current,
    Older(u64),
}

impl Apply<'_> {
    pub(super) fn delete(
        &mut self,
        shard: ShardId,
        key: &str,
        version: Option<VersionId>,
        conditions: &WriteConditions,
    ) -> Done {
        let mut root = self.open_shard(shard, key)?;
        let bytes = self.current(shard, key);
        let current = decode_current(bytes.as_ref())?;
        let deleted = match version {
            None => {
                let nothing = current.is_none_or(|current| !current.visible(self.secs()));
                if nothing && conditions.if_match.is_some() {
                    return Ok(Deleted { existed: false, marker: false, version: None }.encode());
                }
                self.check_conditions(current.as_ref(), conditions)?;
                self.delete_latest(shard, key, &mut root, bytes.as_ref().zip(current))?
            }
            Some(id) => {
                let place = current.and_then(|current| self.place_of(shard, key, &current, id));
                let (Some(current), Some(place)) = (current, place) else {
                    return Ok(Deleted { existed: false, marker: false, version: Some(id) }.encode());
                };
                self.delete_at(shard, key, &mut root, &current, &place, conditions)?
            }
        };
        self.save_shard(shard, &root);
        Ok(deleted.encode())
    }

    pub(super) fn expire(&mut self, shard: ShardId, key: &str, stamp: u64, at: u64) -> Done {
        let mut root = self.any_shard(shard)?;
        root.check_write(key)?;
        let gone = Ok(Deleted { existed: false, marker: false, version: None }.encode());
        let bytes = self.current(shard, key);
        let Some(current) = decode_current(bytes.as_ref())? else {
            self.tx.delete(&keys::expiry(at, shard, stamp, key.as_bytes()));
            return gone;
        };
        let older = self.tx.get(&keys::older(shard, key.as_bytes(), stamp));
        let (version, place) = if current.stamp == stamp {
            (Some(current), Place::Current)
        } else {
            (decode_current(older.as_ref())?, Place::Older(stamp))
        };
        if at > self.secs() {
            return gone;
        }
        if version.and_then(|version| version.expires_at()) != Some(at) {
            // Nothing of this name is left: the entry would be met again for ever.
            self.tx.delete(&keys::expiry(at, shard, stamp, key.as_bytes()));
            return gone;
        }
        let deleted = self.delete_at(shard, key, &mut root, &current, &place, &WriteConditions::default())?;
        self.save_shard(shard, &root);
        Ok(deleted.encode())
    }

    pub(super) fn retire(
        &mut self,
        shard: ShardId,
        key: &str,
        id: VersionId,
        modified: u64,
        what: Retired,
    ) -> Done {
        let mut root = self.open_shard(shard, key)?;
        let gone = Deleted { existed: false, marker: false, version: Some(id) };
        let bytes = self.current(shard, key);
        let Some(current) = decode_current(bytes.as_ref())? else { return Ok(gone.encode()) };
        let is = |version: &Version<'_>| version.id() == id && version.modified().0 == modified;
        let unconditional = WriteConditions::default();
        let deleted = match what {
            Retired::Latest if is(&current) && !current.marker => {
                self.delete_latest(shard, key, &mut root, bytes.as_ref().zip(Some(current)))?
            }
            Retired::LoneMarker if is(&current) && current.marker && !current.older => {
                self.delete_at(shard, key, &mut root, &current, &Place::Current, &unconditional)?
            }
            Retired::Noncurrent => match self.place_of(shard, key, &current, id) {
                Some(place @ Place::Older(stamp)) => {
                    let older = self.tx.get(&keys::older(shard, key.as_bytes(), stamp));
                    if !decode_current(older.as_ref())?.is_some_and(|version| is(&version)) {
                        return Ok(gone.encode());
                    }
                    self.delete_at(shard, key, &mut root, &current, &place, &unconditional)?
                }
                _ => return Ok(gone.encode()),
            },
            Retired::Latest | Retired::LoneMarker => return Ok(gone.encode()),
        };
        self.save_shard(shard, &root);
        Ok(deleted.encode())
    }

    fn delete_latest(
        &mut self,
        shard: ShardId,
        key: &str,
        root: &mut ShardRoot,
        current: Option<(&Bytes, Version<'_>)>,
    ) -> Result<Deleted, Refusal> {
        let existed = current.is_some_and(|(_, current)| !current.marker);
        if root.versioning == Versioning::Off {
            match current {
                None => return Ok(Deleted { existed, marker: false, version: None }),
                Some((_, current)) if current.null && !current.older => {
                    self.remove_current(shard, key, root, &current)?;
                    return Ok(Deleted { existed, marker: false, version: None });
                }
                // Versions from a time when versioning was on: handled as if it were suspended.
                Some(_) => {}
            }
        }
        let marker = Version {
            stamp: self.stamp_after(current.as_ref().map(|(_, current)| current)),
            null: root.versioning != Versioning::Enabled,
            marker: true,
            etag: ETag::default(),
            size: 0,
            content_type: None,
            body: Body::Empty,
            extras: &[],
            touched: None,
            older: false,
            null_at: None,
        };
        self.insert(shard, key, root, current, marker)?;
        Ok(Deleted { existed, marker: true, version: Some(marker.id()) })
    }

    fn place_of(&self, shard: ShardId, key: &str, current: &Version<'_>, id: VersionId) -> Option<Place> {
        if current.id() == id {
            return Some(Place::Current);
        }
        match id {
            VersionId::Null => current.null_at.map(Place::Older),
            VersionId::At(stamp) => {
                let bytes = self.tx.get(&keys::older(shard, key.as_bytes(), stamp.0))?;
                let version = Version::decode(&bytes)?;
                (version.id() == id).then_some(Place::Older(stamp.0))
            }
        }
    }

    fn delete_at(
        &mut self,
        shard: ShardId,
        key: &str,
        root: &mut ShardRoot,
        current: &Version<'_>,
        place: &Place,
        conditions: &WriteConditions,
    ) -> Result<Deleted, Refusal> {
        match place {
            Place::Current => {
                self.check_conditions(Some(current), conditions)?;
                self.remove_current(shard, key, root, current)?;
                Ok(Deleted { existed: true, marker: current.marker, version: Some(current.id()) })
            }
            Place::Older(stamp) => {
                let bytes =
                    self.tx.get(&keys::older(shard, key.as_bytes(), *stamp)).ok_or(Refusal::Damaged)?;
                let version = Version::decode(&bytes).ok_or(Refusal::Damaged)?;
                self.check_conditions(Some(&version), conditions)?;
                self.remove_older(shard, key, root, *stamp)?;
                let mut mended = *current;
                mended.older = self.first_of(&keys::older_of(shard, key.as_bytes())).is_some();
                mended.null_at = current.null_at.filter(|at| at != stamp);
                self.tx.put(&keys::current(shard, key.as_bytes()), &mended.encode());
                Ok(Deleted { existed: true, marker: version.marker, version: Some(version.id()) })
            }
        }
    }

    /// Removes the current version; the newest older one, if any, becomes current.
    fn remove_current(
        &mut self,
        shard: ShardId,
        key: &str,
        root: &mut ShardRoot,
        current: &Version<'_>,
    ) -> Result<(), Refusal> {
        let mut next = Vec::new();
        if current.older {
            let prefix = keys::older_of(shard, key.as_bytes());
            self.tx.scan(&prefix, &keys::after_prefix(&prefix), Scan::Forward, &mut |key, value| {
                next.push((key.to_vec(), value.to_vec()));
                if next.len() < 2 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
        }
        let at = keys::current(shard, key.as_bytes());
        let promoted = match next.first() {
            None => None,
            Some((_, bytes)) => Some(Version::decode(bytes).ok_or(Refusal::Damaged)?),
        };
        self.release(shard, key, root, current);
        root.objects = root.objects.saturating_sub(u64::from(!current.marker));
        match (promoted, next.first()) {
            (Some(mut version), Some((from, _))) => {
                version.older = next.len() > 1;
                version.null_at = if version.null { None } else { current.null_at };
                root.objects += u64::from(!version.marker);
                self.tx.put(&at, &version.encode());
                self.tx.delete(from);
            }
            _ => self.tx.delete(&at),
        }
        Ok(())
    }
}
