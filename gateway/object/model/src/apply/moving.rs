//! Moving the last keys of a shard to the shard after it, a batch at a time:
//!
//! ```text
//! giver:  Hold (writes of the keys wait)
//! taker:  Import (a copy, not served; what an earlier move left behind is dropped)
//! giver:  Cut (the keys are gone from here: from now on the taker has them)
//! taker:  Serve
//! ```
//!
//! The giver's commit of `Cut` decides: until then only the giver serves the keys, after it only the taker does, as soon as
//! somebody tells it so. A hold whose mover died is taken off by whoever it keeps waiting; then its `Cut` is refused. Tokens
//! are times of the giver, so that a copy made under an older hold can never replace a newer one.

use super::{Apply, Done};
use crate::answer::held;
use crate::moving::{Holds, MovedRecord};
use crate::record::{Part, Version};
use crate::shard::{ShardRange, ShardRoot};
use crate::{Refusal, ShardId, Versioning, keys};
use ringfort_storage_api::Scan;
use std::ops::ControlFlow;

impl Apply<'_> {
    /// Makes a shard that is to take keys over. One that was left behind, without a key, is used again.
    pub(super) fn create_taker(
        &mut self,
        shard: ShardId,
        versioning: Versioning,
        revision: u64,
        end: Option<(String, u32)>,
    ) -> Done {
        if shard.slot() != self.tx.slot() {
            return Err(Refusal::Malformed);
        }
        let token = match self.any_shard(shard) {
            Err(Refusal::NoShard) => 0,
            Err(refusal) => return Err(refusal),
            Ok(root) => {
                let range = root.range.as_ref().filter(|range| range.begin.is_none());
                let range = range.ok_or(Refusal::Changed)?;
                let token = range.token;
                self.drop_staged(shard, &root);
                token
            }
        };
        let range = ShardRange { end, token, ..ShardRange::default() };
        let root = ShardRoot {
            versioning,
            versioning_revision: revision,
            range: Some(Box::new(range)),
            ..ShardRoot::default()
        };
        self.save_shard(shard, &root);
        Ok(Vec::new())
    }

    pub(super) fn hold(&mut self, shard: ShardId, from: &str) -> Done {
        let mut root = self.any_shard(shard)?;
        if root.sealed {
            return Err(Refusal::Sealed { token: root.seal_token });
        }
        root.check(from)?;
        let stamp = self.stamp;
        let range = root.range.get_or_insert_with(|| {
            Box::new(ShardRange { begin: Some(String::new()), ..ShardRange::default() })
        });
        if let Some((_, token)) = range.hold {
            return Err(Refusal::Held { token });
        }
        range.hold = Some((from.to_owned(), stamp));
        self.save_shard(shard, &root);
        Ok(root.encode())
    }

    pub(super) fn unhold(&mut self, shard: ShardId, token: u64) -> Done {
        let mut root = self.any_shard(shard)?;
        if let Some(range) = root.range.as_mut().filter(|range| holds(range, token)) {
            range.hold = None;
            self.save_shard(shard, &root);
        }
        Ok(Vec::new())
    }

    pub(super) fn cut(&mut self, shard: ShardId, token: u64, next: u32) -> Done {
        let mut root = self.any_shard(shard)?;
        if root.sealed {
            return Err(Refusal::Sealed { token: root.seal_token });
        }
        let range = root.range.as_mut().filter(|range| holds(range, token)).ok_or(Refusal::Changed)?;
        let Some((from, _)) = range.hold.take() else { return Err(Refusal::Changed) };
        let end = range.end.replace((from.clone(), next)).map(|(end, _)| end);
        self.drop_range(shard, &mut root, &from, end.as_deref());
        self.save_shard(shard, &root);
        Ok(root.encode())
    }

    pub(super) fn import(
        &mut self,
        shard: ShardId,
        token: u64,
        begin: Option<&str>,
        from: &str,
        records: &[MovedRecord],
    ) -> Done {
        let mut root = self.any_shard(shard)?;
        if root.sealed {
            return Err(Refusal::Sealed { token: root.seal_token });
        }
        let fresh = root.range.as_ref().is_some_and(|range| range.token < token);
        if !fresh || root.begin() != begin || begin.is_some_and(|begin| from >= begin) {
            return Err(Refusal::Changed);
        }
        self.check_import(shard, begin, from, records)?;
        self.drop_staged(shard, &root);
        let mut index = 0;
        for record in records {
            match record.holds() {
                Some(Holds::Inline(blob, _)) => {
                    self.tx.adopt_inline(index, blob);
                    index += 1;
                }
                Some(Holds::Blob(blob)) => self.add_shared(&blob),
                _ => {}
            }
            if let Some(Some(version)) = record.version()
                && let Some(at) = version.expires_at()
                && let Some(name) = keys::name_in(&record.key(shard))
            {
                self.tx.put(&keys::expiry(at, shard, version.stamp, &name), &[]);
            }
            self.tx.put(&record.key(shard), &record.value);
        }
        if let Some(range) = root.range.as_mut() {
            range.staged = Some(from.to_owned());
            range.token = token;
        }
        self.save_shard(shard, &root);
        Ok(Vec::new())
    }

    /// Whether every record belongs here and all that they hold can be taken.
    fn check_import(
        &self,
        shard: ShardId,
        begin: Option<&str>,
        from: &str,
        records: &[MovedRecord],
    ) -> Result<(), Refusal> {
        let mut bodies = self.bodies.iter();
        for record in records {
            let key = record.key(shard);
            let (low, high) = held(shard, record.table, Some(from), begin);
            if key < low || key >= high || keys::name_in(&key).is_none() {
                return Err(Refusal::Malformed);
            }
            match record.holds().ok_or(Refusal::Malformed)? {
                Holds::Nothing => {}
                Holds::Inline(blob, size) => {
                    let len = bodies.next().map(|body| u64::from(body.len));
                    if blob.home() != self.tx.slot() || len != Some(size) {
                        return Err(Refusal::Malformed);
                    }
                }
                Holds::Blob(blob) => self.check_shared(&blob)?,
            }
        }
        if bodies.next().is_none() { Ok(()) } else { Err(Refusal::Malformed) }
    }

    /// Serves the keys from `begin` on, which the giver no longer has.
    pub(super) fn serve(&mut self, shard: ShardId, begin: &str) -> Done {
        let mut root = self.any_shard(shard)?;
        if root.begin().is_some_and(|at| at <= begin) {
            return Ok(Vec::new());
        }
        let staged = root.range.as_ref().and_then(|range| range.staged.as_deref()) == Some(begin);
        if !staged {
            return Err(Refusal::Changed);
        }
        let end = root.begin().map(str::to_owned);
        for (key, value) in self.names_between(shard, begin, end.as_deref()) {
            count(&mut root, key.first().copied().unwrap_or_default(), &value)?;
        }
        if let Some(range) = root.range.as_mut() {
            range.begin = range.staged.take();
        }
        self.save_shard(shard, &root);
        Ok(Vec::new())
    }

    /// All records of the names in `[from, end)`.
    fn names_between(&self, shard: ShardId, from: &str, end: Option<&str>) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut all = Vec::new();
        for table in keys::MOVING {
            let (from, to) = held(shard, table, Some(from), end);
            self.tx.scan(&from, &to, Scan::Forward, &mut |key, value| {
                all.push((key.to_vec(), value.to_vec()));
                ControlFlow::Continue(())
            });
        }
        all
    }

    /// Drops what was copied here and is not served.
    pub(super) fn drop_staged(&mut self, shard: ShardId, root: &ShardRoot) {
        let staged = root.range.as_ref().and_then(|range| range.staged.clone());
        if let Some(staged) = staged {
            let end = root.begin().map(str::to_owned);
            self.drop_range(shard, &mut root.clone(), &staged, end.as_deref());
        }
    }

    /// Drops all records of the names in `[from, end)` and what they hold, and takes them out of the counters.
    fn drop_range(&mut self, shard: ShardId, root: &mut ShardRoot, from: &str, end: Option<&str>) {
        for (key, value) in self.names_between(shard, from, end) {
            let table = key.first().copied().unwrap_or_default();
            match table {
                keys::CURRENT | keys::OLDER => {
                    let name = keys::name_in(&key).and_then(|name| String::from_utf8(name).ok());
                    if let (Some(version), Some(name)) = (Version::decode(&value), name) {
                        root.objects =
                            root.objects.saturating_sub(u64::from(table == keys::CURRENT && !version.marker));
                        self.release(shard, &name, root, &version);
                    }
                }
                keys::PART => {
                    if let Some(blob) = Part::decode(&value).and_then(|part| part.blob) {
                        self.drop_reference(&blob);
                    }
                }
                keys::UPLOAD => root.uploads = root.uploads.saturating_sub(1),
                _ => {}
            }
            self.tx.delete(&key);
        }
    }
}

/// Takes a record that is served from now on into the counters.
fn count(root: &mut ShardRoot, table: u8, value: &[u8]) -> Result<(), Refusal> {
    match table {
        keys::CURRENT | keys::OLDER => {
            let version = Version::decode(value).ok_or(Refusal::Damaged)?;
            root.versions += 1;
            root.bytes = root.bytes.saturating_add(version.size);
            root.objects += u64::from(table == keys::CURRENT && !version.marker);
        }
        keys::UPLOAD => root.uploads += 1,
        _ => {}
    }
    Ok(())
}

fn holds(range: &ShardRange, token: u64) -> bool {
    range.hold.as_ref().is_some_and(|(_, held)| *held == token)
}
