//! Random commands against the model over slots in memory and against the reference, compared after each.

use super::world::{Ver, World};
use crate::{
    BlobRef, Body, Command, CompleteUpload, Deleted, ETag, ETagMatch, Found, KeyRange, MemorySlot, NewBody,
    ObjectModel, Page, PageEntry, Part, PutObject, Query, Refusal, ShardId, ShardRoot, Stored, VersionId,
    Versioning, WriteConditions, decode_blobs, decode_flags, decode_manifest, decode_outbox, decode_reply,
    decode_stamp,
};
use bytes::Bytes;
use proptest::prelude::*;
use ringfort_core::{BlobId, HybridTime, SessionId, SlotId};
use ringfort_storage_api::StateModel;
use std::collections::BTreeSet;

const KEYS: [&str; 9] = ["a", "a/", "a/b", "a/b/c", "a/c", "a\u{10ffff}", "b", "ab", "\u{1}"];

#[derive(Clone, Debug)]
enum Op {
    Put { shard: usize, key: usize, size: u8, guard: Guard },
    Delete { shard: usize, key: usize },
    DeleteVersion { shard: usize, key: usize, at: usize },
    SetVersioning { shard: usize, to: Versioning },
    Copy { from: (usize, usize), to: (usize, usize) },
    Deliver { twice: bool },
    Collect,
    CondemnAll,
    Begin { shard: usize, key: usize },
    Part { upload: usize, number: u32, size: u8 },
    Complete { upload: usize, skip: bool },
    Abort { upload: usize },
    List { shard: usize, prefix: usize, delimiter: &'static str, marker: usize, end: usize, limit: u32 },
    Versions { shard: usize, limit: u32 },
}

#[derive(Clone, Copy, Debug)]
enum Guard {
    None,
    Absent,
    Matches,
    Wrong,
}

fn op() -> impl Strategy<Value = Op> {
    let shard = 0..2_usize;
    let key = 0..KEYS.len();
    let guard = prop_oneof![4 => Just(Guard::None), 1 => Just(Guard::Absent), 1 => Just(Guard::Matches),
        1 => Just(Guard::Wrong)];
    let to = prop_oneof![Just(Versioning::Off), Just(Versioning::Enabled), Just(Versioning::Suspended)];
    let upload = 0..4_usize;
    prop_oneof![
        8 => (shard.clone(), key.clone(), any::<u8>(), guard)
            .prop_map(|(shard, key, size, guard)| Op::Put { shard, key, size, guard }),
        4 => (shard.clone(), key.clone()).prop_map(|(shard, key)| Op::Delete { shard, key }),
        4 => (shard.clone(), key.clone(), 0..4_usize)
            .prop_map(|(shard, key, at)| Op::DeleteVersion { shard, key, at }),
        2 => (shard.clone(), to).prop_map(|(shard, to)| Op::SetVersioning { shard, to }),
        4 => ((shard.clone(), key.clone()), (shard.clone(), key.clone()))
            .prop_map(|(from, to)| Op::Copy { from, to }),
        2 => any::<bool>().prop_map(|twice| Op::Deliver { twice }),
        1 => Just(Op::Collect),
        1 => Just(Op::CondemnAll),
        2 => (shard.clone(), key.clone()).prop_map(|(shard, key)| Op::Begin { shard, key }),
        4 => (upload.clone(), 1..4_u32, any::<u8>()).prop_map(|(upload, number, size)| Op::Part { upload, number, size }),
        2 => (upload.clone(), any::<bool>()).prop_map(|(upload, skip)| Op::Complete { upload, skip }),
        1 => upload.prop_map(|upload| Op::Abort { upload }),
        3 => (shard.clone(), 0..=KEYS.len(), prop_oneof![Just(""), Just("/"), Just("b/")], 0..=KEYS.len(),
                0..=2 * KEYS.len(), 0..6_u32)
            .prop_map(|(shard, prefix, delimiter, marker, end, limit)| Op::List { shard, prefix, delimiter, marker, end, limit }),
        2 => (shard, 1..5_u32).prop_map(|(shard, limit)| Op::Versions { shard, limit }),
    ]
}

/// The model's slots beside the reference.
struct Pair {
    shards: [ShardId; 2],
    slot_ids: Vec<SlotId>,
    slots: Vec<MemorySlot>,
    world: World,
    clock: u64,
    names: u64,
}

impl Pair {
    fn new() -> Self {
        let shards = [ShardId { incarnation: 1, number: 0 }, ShardId { incarnation: 2, number: 0 }];
        let slot_ids: Vec<_> = shards.iter().map(ShardId::slot).collect();
        assert_ne!(slot_ids[0], slot_ids[1]);
        let slots = slot_ids.iter().map(|slot| MemorySlot::new(*slot)).collect();
        let world = World { shards: vec![Default::default(), Default::default()], ..World::default() };
        let mut pair = Self { shards, slot_ids, slots, world, clock: 1_000, names: 0 };
        for (at, shard) in shards.into_iter().enumerate() {
            let command = Command::CreateShard { shard, versioning: Versioning::Off, revision: 1 };
            pair.run(at, &command, Vec::new()).unwrap();
            pair.run(at, &command, Vec::new()).unwrap();
        }
        pair
    }

    fn name(&mut self, at: usize) -> BlobId {
        self.names += 1;
        BlobId::new(self.slot_ids[at], SessionId(3), self.names)
    }

    fn run(&mut self, at: usize, command: &Command<'_>, bodies: Vec<Bytes>) -> Result<Vec<u8>, Refusal> {
        let bytes = command.encode();
        assert_eq!(Command::decode(&bytes).as_ref(), Some(command));
        self.clock += 1;
        let before = self.slots[at].records.clone();
        let reply = self.slots[at].apply(&ObjectModel, HybridTime(self.clock), &bytes, bodies);
        let reply = decode_reply(&reply).map(<[u8]>::to_vec);
        if reply.is_err() {
            assert_eq!(before, self.slots[at].records, "a refused command leaves no trace");
        }
        reply
    }

    fn ask(&self, at: usize, query: &Query<'_>) -> Result<Vec<u8>, Refusal> {
        let bytes = query.encode();
        assert_eq!(Query::decode(&bytes).as_ref(), Some(query));
        let answer = ObjectModel.query(&self.slots[at], &bytes);
        if let Some(blob) = answer.inline {
            assert!(self.slots[at].inline.contains_key(&blob));
        }
        decode_reply(&answer.reply).map(<[u8]>::to_vec)
    }

    fn put(&mut self, at: usize, key: &str, size: u8, guard: Guard) {
        let md5 = [size; 16];
        let latest = self.world.latest(at, key).filter(|ver| !ver.marker).map(|ver| ver.etag);
        let conditions = match guard {
            Guard::None => WriteConditions::default(),
            Guard::Absent => WriteConditions { if_match: None, if_none_match: Some(ETagMatch::Any) },
            Guard::Matches => {
                let tags = latest.into_iter().collect();
                WriteConditions { if_match: Some(ETagMatch::OneOf(tags)), if_none_match: None }
            }
            Guard::Wrong => {
                let tags = vec![ETag { md5: [0xee; 16], parts: 9 }];
                WriteConditions { if_match: Some(ETagMatch::OneOf(tags)), if_none_match: None }
            }
        };
        let expected = match (guard, latest) {
            (Guard::None, _) | (Guard::Absent, None) | (Guard::Matches, Some(_)) => None,
            (Guard::Absent | Guard::Wrong, Some(_)) => Some(Refusal::Precondition),
            (Guard::Matches | Guard::Wrong, None) => Some(Refusal::NoSuchKey),
        };
        let blob = self.name(at);
        let (body, bodies) = match size % 3 {
            0 => (NewBody::Empty, Vec::new()),
            1 => (NewBody::Inline(blob), vec![Bytes::from(vec![size; size as usize])]),
            _ => (NewBody::Chunks { blob, policy: 1, chunk_bytes: 100 }, Vec::new()),
        };
        let size = if size.is_multiple_of(3) { 0 } else { u64::from(size) };
        let (inline, blobs) = match body {
            NewBody::Inline(blob) => (Some(blob), Vec::new()),
            NewBody::Chunks { blob, .. } => (None, vec![(blob, blob)]),
            _ => (None, Vec::new()),
        };
        let put = self.put_command(at, key, conditions, size, ETag::of_md5(md5), body);
        match self.run(at, &Command::Put(put), bodies) {
            Err(refusal) => assert_eq!(Some(refusal), expected),
            Ok(payload) => {
                assert_eq!(expected, None);
                for (blob, name) in &blobs {
                    self.world.referrers.entry(*blob).or_default().insert(*name);
                }
                self.stored(at, key, &payload, ETag::of_md5(md5), inline, blobs);
            }
        }
    }

    fn put_command<'k>(
        &self,
        at: usize,
        key: &'k str,
        conditions: WriteConditions,
        size: u64,
        etag: ETag,
        body: NewBody,
    ) -> PutObject<'k> {
        PutObject {
            shard: self.shards[at],
            key,
            conditions,
            size,
            etag,
            content_type: Some("t/x"),
            extras: &[],
            body,
        }
    }

    fn stored(
        &mut self,
        at: usize,
        key: &str,
        payload: &[u8],
        etag: ETag,
        inline: Option<BlobId>,
        blobs: Vec<(BlobId, BlobId)>,
    ) {
        let stored = Stored::decode(payload).unwrap();
        let null = self.world.shards[at].versioning != Versioning::Enabled;
        assert_eq!(stored.version == VersionId::Null, null);
        let (stamp, size) = (stored.stamp.0, stored.size);
        let ver = Ver { stamp, null, marker: false, size, etag, inline, blobs };
        self.world.insert(at, key, ver, &self.slot_ids.clone());
    }

    fn delete(&mut self, at: usize, key: &str) {
        let shard = self.shards[at];
        let command = Command::Delete { shard, key, version: None, conditions: WriteConditions::default() };
        let deleted = Deleted::decode(&self.run(at, &command, Vec::new()).unwrap()).unwrap();
        let versions = self.world.shards[at].keys.get(key).cloned().unwrap_or_default();
        assert_eq!(deleted.existed, versions.first().is_some_and(|ver| !ver.marker));
        let versioning = self.world.shards[at].versioning;
        let plain = versions.is_empty() || (versions.len() == 1 && versions[0].null);
        if versioning == Versioning::Off && plain {
            assert!(!deleted.marker);
            if !versions.is_empty() {
                self.world.remove(at, key, 0, &self.slot_ids.clone());
            }
            return;
        }
        assert!(deleted.marker);
        let ver = Ver {
            stamp: self.clock,
            null: versioning != Versioning::Enabled,
            marker: true,
            size: 0,
            etag: ETag::default(),
            inline: None,
            blobs: Vec::new(),
        };
        self.world.insert(at, key, ver, &self.slot_ids.clone());
    }

    fn delete_version(&mut self, at: usize, key: &str, index: usize) {
        let versions = self.world.shards[at].keys.get(key).cloned().unwrap_or_default();
        let found = versions.get(index);
        let id = match found {
            Some(ver) if ver.null => VersionId::Null,
            Some(ver) => VersionId::At(HybridTime(ver.stamp)),
            None if !versions.iter().any(|ver| ver.null) => VersionId::Null,
            None => VersionId::At(HybridTime(5)),
        };
        let shard = self.shards[at];
        let command =
            Command::Delete { shard, key, version: Some(id), conditions: WriteConditions::default() };
        let deleted = Deleted::decode(&self.run(at, &command, Vec::new()).unwrap()).unwrap();
        assert_eq!(deleted.existed, found.is_some());
        if let Some(ver) = found {
            assert_eq!(deleted.marker, ver.marker);
            self.world.remove(at, key, index, &self.slot_ids.clone());
            let again = Deleted::decode(&self.run(at, &command, Vec::new()).unwrap()).unwrap();
            assert!(!again.existed, "what is gone is gone");
        }
    }

    fn copy(&mut self, from: (usize, &str), to: (usize, &str)) {
        let query = Query::Get { shard: self.shards[from.0], key: from.1, version: None, body: true };
        let Ok(payload) = self.ask(from.0, &query) else { return };
        let found = Found::decode(&payload).unwrap();
        if found.version.marker {
            return;
        }
        let mut blobs = Vec::new();
        let mut inline = None;
        let mut bodies = Vec::new();
        let mut named = |pair: &mut Self, blob: BlobRef| {
            let name = pair.name(to.0);
            blobs.push((blob.blob, name));
            if blob.blob.home() != pair.slot_ids[to.0] {
                let home = usize::from(blob.blob.home() == pair.slot_ids[1]);
                pair.run(home, &Command::AddReferrers(vec![(blob.blob, name)]), Vec::new()).unwrap();
            }
            BlobRef { referrer: Some(name), ..blob }
        };
        let body = match found.version.body {
            Body::Empty => NewBody::Empty,
            Body::Inline(old) => {
                let blob = self.name(to.0);
                bodies.push(self.slots[from.0].inline[&old].clone());
                inline = Some(blob);
                NewBody::Inline(blob)
            }
            Body::Chunks(blob) => NewBody::Shared(named(self, blob)),
            Body::Manifest { id, parts } => {
                let query = Query::Manifest { shard: self.shards[from.0], id, offset: 0, limit: 100 };
                let page = decode_manifest(&self.ask(from.0, &query).unwrap()).unwrap();
                assert_eq!((page.parts.len(), page.start, page.truncated), (parts as usize, 0, false));
                let mut parts = page.parts;
                for part in &mut parts {
                    part.blob = part.blob.map(|blob| named(self, blob));
                }
                NewBody::Parts(parts)
            }
        };
        let (size, etag) = (found.version.size, found.version.etag);
        let put = self.put_command(to.0, to.1, WriteConditions::default(), size, etag, body);
        let payload = self.run(to.0, &Command::Put(put), bodies).unwrap();
        for (blob, name) in &blobs {
            self.world.referrers.get_mut(blob).unwrap().insert(*name);
        }
        self.stored(to.0, to.1, &payload, etag, inline, blobs);
    }

    fn deliver(&mut self, twice: bool) {
        for at in 0..2 {
            let entries = decode_outbox(&self.ask(at, &Query::Outbox { limit: 1000 }).unwrap()).unwrap();
            for entry in &entries {
                let home = usize::from(entry.blob.home() == self.slot_ids[1]);
                for _ in 0..=usize::from(twice) {
                    self.run(home, &Command::DropReferrers(vec![(entry.blob, entry.referrer)]), vec![])
                        .unwrap();
                }
                self.run(at, &Command::Delivered(vec![entry.entry]), Vec::new()).unwrap();
            }
        }
        for (blob, name) in std::mem::take(&mut self.world.outbox) {
            self.world.drop_reference(blob, name);
        }
    }

    fn condemn_all(&mut self) {
        for at in 0..2 {
            let mut blobs: Vec<_> = self
                .world
                .referrers
                .keys()
                .filter(|blob| blob.home() == self.slot_ids[at])
                .copied()
                .collect();
            let stray = self.name(at);
            blobs.push(stray);
            let command = Command::Condemn(blobs.iter().map(|blob| (*blob, 1)).collect());
            let flags = decode_flags(&self.run(at, &command, Vec::new()).unwrap());
            assert_eq!(flags.iter().filter(|condemned| **condemned).count(), 1, "only the stray one");
            self.world.condemned.insert(stray);
            let put = self.put_command(
                at,
                "x",
                WriteConditions::default(),
                5,
                ETag::default(),
                NewBody::Chunks { blob: stray, policy: 1, chunk_bytes: 5 },
            );
            assert_eq!(self.run(at, &Command::Put(put), Vec::new()), Err(Refusal::NoBlob));
            let name = self.name(1 - at);
            let refused = self.run(at, &Command::AddReferrers(vec![(stray, name)]), Vec::new());
            assert_eq!(refused, Err(Refusal::NoBlob));
        }
    }

    fn collect(&mut self) {
        for at in 0..2 {
            let query = Query::Condemned { after: None, limit: 1000 };
            let all = decode_blobs(&self.ask(at, &query).unwrap()).unwrap();
            let blobs = all.into_iter().map(|(blob, _)| blob).collect();
            self.run(at, &Command::Collected(blobs), Vec::new()).unwrap();
        }
        self.world.condemned.clear();
    }

    /// The upload number `index` of all, if there is one: shard, key, id.
    fn upload(&self, index: usize) -> Option<(usize, String, u64)> {
        let all = (0..2)
            .flat_map(|at| self.world.shards[at].uploads.keys().map(move |(key, id)| (at, key.clone(), *id)));
        all.collect::<Vec<_>>().get(index).cloned()
    }

    fn begin(&mut self, at: usize, key: &str) {
        let command = Command::CreateUpload { shard: self.shards[at], key, content_type: None, extras: &[] };
        let id = decode_stamp(&self.run(at, &command, Vec::new()).unwrap()).unwrap();
        self.world.shards[at].uploads.insert((key.to_owned(), id), Default::default());
    }

    fn part(&mut self, index: usize, number: u32, size: u8) {
        let Some((at, key, upload)) = self.upload(index) else { return };
        let blob = self.name(at);
        let size = u64::from(size) + 1;
        let reference = BlobRef { blob, referrer: None, policy: 1, chunk_bytes: 64 };
        let md5 = [u8::try_from(number).unwrap(); 16];
        let part = Part { number, size, md5, stamp: 0, blob: Some(reference), checksums: Vec::new() };
        let command = Command::PutPart { shard: self.shards[at], key: &key, upload, part };
        self.run(at, &command, Vec::new()).unwrap();
        self.world.referrers.entry(blob).or_default().insert(blob);
        let parts = self.world.shards[at].uploads.get_mut(&(key, upload)).unwrap();
        if let Some((_, _, old)) = parts.insert(number, (size, md5, blob)) {
            self.world.drop_reference(old, old);
        }
    }

    fn complete(&mut self, index: usize, skip: bool) {
        let Some((at, key, upload)) = self.upload(index) else { return };
        let all = self.world.shards[at].uploads[&(key.clone(), upload)].clone();
        let chosen: Vec<_> = all.iter().skip(usize::from(skip)).collect();
        let etag = ETag { md5: [7; 16], parts: u32::try_from(chosen.len()).unwrap() };
        let complete = CompleteUpload {
            shard: self.shards[at],
            key: &key,
            upload,
            conditions: WriteConditions::default(),
            etag,
            part_bytes_min: 0,
            checksums: Vec::new(),
            parts: chosen.iter().map(|(number, (_, md5, _))| (**number, *md5)).collect(),
        };
        let command = Command::Complete(complete);
        let completed = self.run(at, &command, Vec::new());
        if chosen.is_empty() {
            assert_eq!(completed, Err(Refusal::InvalidPartOrder));
            return;
        }
        let payload = completed.unwrap();
        let records = self.slots[at].records.clone();
        assert_eq!(
            self.run(at, &command, Vec::new()).as_ref(),
            Ok(&payload),
            "completing again answers the same"
        );
        assert_eq!(records, self.slots[at].records);
        self.world.shards[at].uploads.remove(&(key.clone(), upload));
        for (number, (_, _, blob)) in &all {
            if !chosen.iter().any(|(chosen, _)| *chosen == number) {
                self.world.drop_reference(*blob, *blob);
            }
        }
        let blobs = chosen.iter().map(|(_, (_, _, blob))| (*blob, *blob)).collect();
        self.stored(at, &key, &payload, etag, None, blobs);
    }

    fn abort(&mut self, index: usize) {
        let Some((at, key, upload)) = self.upload(index) else { return };
        let command = Command::AbortUpload { shard: self.shards[at], key: &key, upload };
        self.run(at, &command, Vec::new()).unwrap();
        assert_eq!(self.run(at, &command, Vec::new()), Err(Refusal::NoSuchUpload));
        for (_, _, blob) in self.world.shards[at].uploads.remove(&(key, upload)).unwrap().into_values() {
            self.world.drop_reference(blob, blob);
        }
    }

    fn list(&self, at: usize, range: KeyRange<'_>) {
        let payload = self.ask(at, &Query::List { shard: self.shards[at], range }).unwrap();
        let page = Page::decode(payload.into()).unwrap();
        let shown: Vec<_> = page
            .entries()
            .map(|entry| match entry {
                PageEntry::Version { key, content_type, .. } => {
                    assert_eq!(content_type, "t/x".get(..content_type.len()).unwrap());
                    (key.to_owned(), false)
                }
                PageEntry::CommonPrefix(prefix) => (prefix.to_owned(), true),
                PageEntry::Upload { .. } => panic!("an upload among objects"),
            })
            .collect();
        let KeyRange { prefix, delimiter, marker, end, limit, .. } = range;
        let expected = self.world.shards[at].list(prefix, delimiter, marker, end, limit as usize);
        assert_eq!((shown, page.truncated), expected, "{range:?}");
    }

    /// All versions, by pages of `limit`, are those of the reference.
    fn versions(&self, at: usize, limit: u32) {
        let (mut marker, mut after) = (String::new(), None);
        let mut seen = Vec::new();
        loop {
            let range = KeyRange { marker: &marker, limit, ..KeyRange::default() };
            let payload = self.ask(at, &Query::Versions { shard: self.shards[at], range, after }).unwrap();
            let page = Page::decode(payload.into()).unwrap();
            let mut last = None;
            for entry in page.entries() {
                let PageEntry::Version { key, version, latest, marker, size, modified, .. } = entry else {
                    panic!("{entry:?}")
                };
                seen.push((key.to_owned(), modified.0, version == VersionId::Null, marker, latest, size));
                last = Some((key.to_owned(), version));
            }
            assert!(seen.len() <= 10_000, "pages go ahead");
            let Some((key, version)) = last.filter(|_| page.truncated) else { break };
            (marker, after) = (key, Some(version));
        }
        let expected: Vec<_> = self.world.shards[at]
            .keys
            .iter()
            .flat_map(|(key, versions)| {
                let all = versions.iter().enumerate();
                all.map(|(i, v)| (key.clone(), v.stamp, v.null, v.marker, i == 0, v.size))
            })
            .collect();
        assert_eq!(seen, expected);
    }

    fn check(&self) {
        let (mut living, mut condemned, mut inline) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for at in 0..2 {
            let payload = self.ask(at, &Query::Shard { shard: self.shards[at] }).unwrap();
            let root = ShardRoot::decode_payload(&payload).unwrap();
            assert_eq!((root.objects, root.versions, root.bytes), self.world.shards[at].counters());
            assert_eq!(root.uploads, self.world.shards[at].uploads.len() as u64);
            let blobs = |query| {
                decode_blobs(&self.ask(at, &query).unwrap()).unwrap().into_iter().map(|(blob, _)| blob)
            };
            living.extend(blobs(Query::Blobs { after: None, limit: 10_000 }));
            condemned.extend(blobs(Query::Condemned { after: None, limit: 10_000 }));
            inline.extend(self.slots[at].inline.keys().copied());
            for key in KEYS {
                self.check_latest(at, key);
            }
            self.check_held(at);
        }
        assert!(living.is_disjoint(&condemned), "no blob is referred to and condemned");
        assert_eq!(living, self.world.referrers.keys().copied().collect());
        assert_eq!(condemned, self.world.condemned);
        assert_eq!(inline, self.world.inline);
    }

    /// What is held here of blobs at home elsewhere is exactly what versions refer to.
    fn check_held(&self, at: usize) {
        let held = self.slots[at].records.keys().filter(|key| key[0] == crate::keys::HELD);
        let held: BTreeSet<_> = held.map(|key| key[1..].to_vec()).collect();
        let blobs = self.world.shards[at].keys.values().flatten().flat_map(|ver| &ver.blobs);
        let foreign = blobs.filter(|(blob, _)| blob.home() != self.slot_ids[at]);
        assert_eq!(held, foreign.map(|(_, name)| name.as_bytes().to_vec()).collect());
    }

    fn check_latest(&self, at: usize, key: &str) {
        let query = Query::Get { shard: self.shards[at], key, version: None, body: true };
        match (self.ask(at, &query), self.world.latest(at, key)) {
            (Err(Refusal::NoSuchKey), None) => {}
            (Ok(payload), Some(ver)) => {
                let found = Found::decode(&payload).unwrap();
                let version = found.version;
                assert_eq!(
                    (version.stamp, version.null, version.marker, version.size, version.etag, found.latest),
                    (ver.stamp, ver.null, ver.marker, ver.size, ver.etag, true)
                );
            }
            (got, expected) => panic!("{got:?} for {expected:?}"),
        }
    }

    fn step(&mut self, op: &Op) {
        let name = |index: usize| KEYS.get(index).copied().unwrap_or_default();
        match *op {
            Op::Put { shard, key, size, guard } => self.put(shard, KEYS[key], size, guard),
            Op::Delete { shard, key } => self.delete(shard, KEYS[key]),
            Op::DeleteVersion { shard, key, at } => self.delete_version(shard, KEYS[key], at),
            Op::SetVersioning { shard, to } => {
                let revision = self.clock + 1;
                let command = Command::SetVersioning { shard: self.shards[shard], versioning: to, revision };
                self.run(shard, &command, Vec::new()).unwrap();
                // An older revision changes nothing.
                let late = Command::SetVersioning {
                    shard: self.shards[shard],
                    versioning: Versioning::Off,
                    revision: 1,
                };
                self.run(shard, &late, Vec::new()).unwrap();
                self.world.shards[shard].versioning = to;
            }
            Op::Copy { from, to } => self.copy((from.0, KEYS[from.1]), (to.0, KEYS[to.1])),
            Op::Deliver { twice } => self.deliver(twice),
            Op::Collect => self.collect(),
            Op::CondemnAll => self.condemn_all(),
            Op::Begin { shard, key } => self.begin(shard, KEYS[key]),
            Op::Part { upload, number, size } => self.part(upload, number, size),
            Op::Complete { upload, skip } => self.complete(upload, skip),
            Op::Abort { upload } => self.abort(upload),
            Op::List { shard, prefix, delimiter, marker, end, limit } => {
                let range = KeyRange {
                    prefix: name(prefix),
                    delimiter,
                    marker: name(marker),
                    end: name(end),
                    limit,
                    resume: "",
                };
                self.list(shard, range);
            }
            Op::Versions { shard, limit } => self.versions(shard, limit),
        }
        self.check();
    }
}

proptest! {
    #[test]
    fn model_conforms_to_reference(ops in prop::collection::vec(op(), 1..80)) {
        let mut pair = Pair::new();
        for op in &ops {
            pair.step(op);
        }
    }
}
