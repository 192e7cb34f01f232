//! The model's slots in memory beside the reference, compared after each step. Container 0 has two shards, of which the second
//! takes keys over; container 1 has one.

use super::world::{Ver, World};
use crate::{
    BlobRef, Command, ETag, Found, MemorySlot, NewBody, ObjectModel, PutObject, Query, Refusal, ShardId,
    ShardRoot, Stored, VersionId, Versioning, WriteConditions, decode_blobs, decode_reply,
};
use bytes::Bytes;
use ringfort_core::{BlobId, HybridTime, SessionId, SlotId};
use ringfort_storage_api::StateModel;
use std::collections::BTreeSet;

pub(super) const KEYS: [&str; 9] = ["a", "a/", "a/b", "a/b/c", "a/c", "a\u{10ffff}", "b", "ab", "\u{1}"];
/// The place of the shard that takes keys over.
pub(super) const TAKER: usize = 2;

pub(super) struct Pair {
    pub(super) shards: [ShardId; 3],
    pub(super) slot_ids: [SlotId; 3],
    pub(super) slots: Vec<MemorySlot>,
    pub(super) world: World,
    /// Where the second shard of container 0 begins.
    pub(super) boundary: Option<String>,
    /// Seconds.
    pub(super) clock: u64,
    names: u64,
    /// Uploads that were completed: container, key, upload, command, answer.
    pub(super) completed: Vec<(usize, String, Vec<u8>, Stored)>,
}

impl Pair {
    pub(super) fn new() -> Self {
        let shard = |incarnation, number| ShardId { incarnation, number };
        let shards = [shard(1, 0), shard(2, 0), shard(1, 1)];
        let slot_ids = shards.map(|shard| shard.slot());
        assert_eq!(BTreeSet::from(slot_ids).len(), 3);
        let slots = slot_ids.iter().map(|slot| MemorySlot::new(*slot)).collect();
        let world = World { shards: vec![Default::default(), Default::default()], ..World::default() };
        let completed = Vec::new();
        let mut pair =
            Self { shards, slot_ids, slots, world, boundary: None, clock: 1_000, names: 0, completed };
        for (at, shard) in shards.into_iter().enumerate().take(TAKER) {
            let command = Command::CreateShard { shard, versioning: Versioning::Off, revision: 1 };
            pair.run(at, &command, Vec::new()).unwrap();
            pair.run(at, &command, Vec::new()).unwrap();
        }
        let (shard, versioning) = (shards[TAKER], Versioning::Off);
        let command = Command::CreateTaker { shard, versioning, revision: 1, end: None };
        pair.run(TAKER, &command, Vec::new()).unwrap();
        pair
    }

    /// Where a key of a container is.
    pub(super) fn place(&self, container: usize, key: &str) -> usize {
        let moved = container == 0 && self.boundary.as_ref().is_some_and(|boundary| boundary.as_str() <= key);
        if moved { TAKER } else { container }
    }

    pub(super) fn place_of_slot(&self, slot: SlotId) -> usize {
        self.slot_ids.iter().position(|id| *id == slot).unwrap()
    }

    pub(super) fn name(&mut self, place: usize) -> BlobId {
        self.names += 1;
        BlobId::new(self.slot_ids[place], SessionId(3), self.names)
    }

    /// Seconds since the epoch at the next command.
    pub(super) fn soon(&self) -> u64 {
        self.clock + 1
    }

    pub(super) fn run(
        &mut self,
        place: usize,
        command: &Command<'_>,
        bodies: Vec<Bytes>,
    ) -> Result<Vec<u8>, Refusal> {
        let bytes = command.encode();
        assert_eq!(Command::decode(&bytes).as_ref(), Some(command));
        self.run_bytes(place, &bytes, bodies)
    }

    pub(super) fn run_bytes(
        &mut self,
        place: usize,
        bytes: &[u8],
        bodies: Vec<Bytes>,
    ) -> Result<Vec<u8>, Refusal> {
        self.clock += 1;
        let before = self.slots[place].clone();
        let stamp = HybridTime(self.clock * 1_000_000);
        let reply = self.slots[place].apply(&ObjectModel, stamp, bytes, bodies.clone());
        let mut again = before.clone();
        assert_eq!(
            again.apply(&ObjectModel, stamp, bytes, bodies),
            reply,
            "the same command, the same result"
        );
        assert_eq!(again, self.slots[place], "and the same records");
        let reply = decode_reply(&reply).map(<[u8]>::to_vec);
        if reply.is_err() {
            assert_eq!(before, self.slots[place], "a refused command leaves no trace");
        }
        reply
    }

    pub(super) fn ask(&self, place: usize, query: &Query<'_>) -> Result<Vec<u8>, Refusal> {
        let bytes = query.encode();
        assert_eq!(Query::decode(&bytes).as_ref(), Some(query));
        let answer = ObjectModel.query(&self.slots[place], &bytes);
        if let Some(blob) = answer.inline {
            assert!(self.slots[place].inline.contains_key(&blob));
        }
        decode_reply(&answer.reply).map(<[u8]>::to_vec)
    }

    pub(super) fn put_command<'k>(
        &self,
        place: usize,
        key: &'k str,
        conditions: WriteConditions,
        (size, etag): (u64, ETag),
        extras: &'k [u8],
        body: NewBody,
    ) -> PutObject<'k> {
        let shard = self.shards[place];
        PutObject { shard, key, conditions, size, etag, content_type: Some("t/x"), extras, body }
    }

    pub(super) fn stored(&mut self, container: usize, key: &str, payload: &[u8], ver: Ver) {
        let stored = Stored::decode(payload).unwrap();
        let null = self.world.shards[container].versioning != Versioning::Enabled;
        assert_eq!(stored.version == VersionId::Null, null);
        let ver = Ver { stamp: stored.stamp.0, null, size: stored.size, ..ver };
        let slot = self.slot_ids[self.place(container, key)];
        self.world.insert(container, key, ver, slot);
    }

    pub(super) fn root(&self, place: usize) -> ShardRoot {
        ShardRoot::decode_payload(&self.ask(place, &Query::Shard { shard: self.shards[place] }).unwrap())
            .unwrap()
    }

    pub(super) fn check(&self) {
        let (mut living, mut condemned, mut inline) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for place in 0..self.slots.len() {
            let blobs = |query| {
                decode_blobs(&self.ask(place, &query).unwrap()).unwrap().into_iter().map(|(blob, _)| blob)
            };
            living.extend(blobs(Query::Blobs { after: None, limit: 10_000 }));
            condemned.extend(blobs(Query::Condemned { after: None, limit: 10_000 }));
            inline.extend(self.slots[place].inline.keys().copied());
            self.check_held(place);
            self.check_expiry(place);
        }
        for container in 0..2 {
            let roots = [Some(self.root(container)), (container == 0).then(|| self.root(TAKER))];
            let counters = roots.iter().flatten().fold((0, 0, 0, 0), |sum, root| {
                (sum.0 + root.objects, sum.1 + root.versions, sum.2 + root.bytes, sum.3 + root.uploads)
            });
            assert_eq!(counters, self.world.shards[container].counters());
            for key in KEYS {
                self.check_latest(container, key);
            }
        }
        assert!(living.is_disjoint(&condemned), "no blob is referred to and condemned");
        assert_eq!(living, self.world.referrers.keys().copied().collect());
        assert_eq!(condemned, self.world.condemned);
        assert_eq!(inline, self.world.inline);
    }

    /// All that the keys at a place refer to.
    fn referred(&self, place: usize) -> impl Iterator<Item = (BlobId, BlobId)> {
        let container = place % TAKER;
        let here = move |key: &str| self.place(container, key) == place;
        let shard = &self.world.shards[container];
        let versions = shard.keys.iter().filter(move |(key, _)| here(key)).flat_map(|(_, versions)| versions);
        let parts = shard.uploads.iter().filter(move |((key, _), _)| here(key));
        let parts = parts.flat_map(|(_, parts)| parts.values().map(|(_, _, blob, name)| (*blob, *name)));
        let staged = (place == TAKER).then_some(&self.world.staged.blobs);
        let staged = staged.into_iter().flatten().copied();
        versions.flat_map(|ver| ver.blobs.iter().copied()).chain(parts).chain(staged)
    }

    /// What is held here of blobs at home elsewhere is exactly what is referred to from here.
    fn check_held(&self, place: usize) {
        let held = self.slots[place].records.keys().filter(|key| key[0] == crate::keys::HELD);
        let held: BTreeSet<_> = held.map(|key| key[1..].to_vec()).collect();
        let foreign = self.referred(place).filter(|(blob, _)| blob.home() != self.slot_ids[place]);
        assert_eq!(held, foreign.map(|(_, name)| name.as_bytes().to_vec()).collect());
    }

    /// Every version that expires is queued once.
    fn check_expiry(&self, place: usize) {
        if place == TAKER && self.root(TAKER).range.is_some_and(|range| range.staged.is_some()) {
            return;
        }
        let queued = self.slots[place].records.keys().filter(|key| key[0] == crate::keys::EXPIRY).count();
        let container = place % TAKER;
        let keys = self.world.shards[container].keys.iter();
        let here = keys.filter(|(key, _)| self.place(container, key) == place);
        assert_eq!(
            queued,
            here.flat_map(|(_, versions)| versions).filter(|ver| ver.expires.is_some()).count()
        );
    }

    fn check_latest(&self, container: usize, key: &str) {
        let place = self.place(container, key);
        let query = Query::Get { shard: self.shards[place], key, version: None, body: true };
        match (self.ask(place, &query), self.world.latest(container, key)) {
            (Err(Refusal::NoSuchKey), None) => {}
            (Ok(payload), Some(ver)) => {
                let found = Found::decode(&payload).unwrap();
                let version = found.version;
                assert_eq!(
                    (version.stamp, version.null, version.marker, version.size, version.etag, found.latest),
                    (ver.stamp, ver.null, ver.marker, ver.size, ver.etag, true)
                );
                assert_eq!(version.visible(self.clock), ver.visible(self.clock));
                assert_eq!(version.modified().0, ver.modified());
                assert!(ver.extras.as_ref().is_none_or(|extras| extras == version.extras));
            }
            (got, expected) => panic!("{got:?} for {expected:?}"),
        }
    }

    /// `blob` under a new name held at `place`, added in its home if that is elsewhere.
    pub(super) fn named(&mut self, place: usize, blob: BlobRef) -> BlobRef {
        let name = self.name(place);
        let home = self.place_of_slot(blob.blob.home());
        if home != place {
            self.run(home, &Command::AddReferrers(vec![(blob.blob, name)]), Vec::new()).unwrap();
        }
        BlobRef { referrer: Some(name), ..blob }
    }
}
