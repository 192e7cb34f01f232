//! Versions retired by a rule.

use super::objects::plain;
use super::pair::Pair;
use super::world::Ver;
use crate::{Command, Deleted, ETag, Retired, VersionId, Versioning};
use ringfort_core::HybridTime;

impl Pair {
    pub(super) fn retire(&mut self, container: usize, key: &str, index: usize, what: usize, stale: bool) {
        let place = self.place(container, key);
        let what = [Retired::Latest, Retired::Noncurrent, Retired::LoneMarker][what];
        let versions = self.world.shards[container].keys.get(key).cloned().unwrap_or_default();
        let found = versions.get(index);
        let (version, modified) = match found {
            Some(ver) if ver.null => (VersionId::Null, ver.modified()),
            Some(ver) => (VersionId::At(HybridTime(ver.stamp)), ver.modified()),
            None => (VersionId::At(HybridTime(5)), 5),
        };
        let modified = if stale { modified + 1 } else { modified };
        let shard = self.shards[place];
        let command = Command::Retire { shard, key, version, modified, what };
        let deleted = Deleted::decode(&self.run(place, &command, Vec::new()).unwrap()).unwrap();
        let meant = found.is_some_and(|ver| match what {
            Retired::Latest => index == 0 && !ver.marker,
            Retired::Noncurrent => index > 0,
            Retired::LoneMarker => index == 0 && ver.marker && versions.len() == 1,
        });
        if stale || !meant {
            assert!(!deleted.existed && !deleted.marker);
            return;
        }
        assert!(deleted.existed);
        let slot = self.slot_ids[place];
        let versioning = self.world.shards[container].versioning;
        let replaces = versioning == Versioning::Off && versions.len() == 1 && versions[0].null;
        if what != Retired::Latest || replaces {
            self.world.remove(container, key, index, slot);
            return;
        }
        let (stamp, null) = (self.clock * 1_000_000, versioning != Versioning::Enabled);
        let marker = Ver { stamp, null, marker: true, ..plain(ETag::default()) };
        self.world.insert(container, key, marker, slot);
    }
}
