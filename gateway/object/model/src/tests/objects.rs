//! Versions: put, deleted, copied, expired.

use super::pair::{KEYS, Pair};
use super::world::Ver;
use crate::{
    Attributes, BlobRef, Body, Command, Deleted, ETag, ETagMatch, Found, NewBody, Query, Refusal, VersionId,
    Versioning, WriteConditions, decode_expiring, decode_manifest, encode_extras,
};
use bytes::Bytes;
use ringfort_core::{BlobId, HybridTime};

/// What a condition of a write names.
#[derive(Clone, Copy, Debug)]
pub(super) enum Guard {
    None,
    Any,
    Same,
    Other,
}

impl Guard {
    fn tags(self, latest: Option<ETag>) -> Option<ETagMatch> {
        let other = ETag { md5: [0xee; 16], parts: 9 };
        match self {
            Self::None => None,
            Self::Any => Some(ETagMatch::Any),
            Self::Same => Some(ETagMatch::OneOf(vec![other, latest.unwrap_or_default()])),
            Self::Other => Some(ETagMatch::OneOf(vec![other])),
        }
    }

    const fn holds(self) -> bool {
        matches!(self, Self::Any | Self::Same)
    }
}

/// The conditions of a write and what is to be expected of them, the rules told once more.
fn guarded(latest: Option<ETag>, (must, must_not): (Guard, Guard)) -> (WriteConditions, Option<Refusal>) {
    let conditions = WriteConditions { if_match: must.tags(latest), if_none_match: must_not.tags(latest) };
    let refusal = match latest {
        None if !matches!(must, Guard::None) => Some(Refusal::NoSuchKey),
        Some(_) if !matches!(must, Guard::None) && !must.holds() => Some(Refusal::Precondition),
        Some(_) if must_not.holds() => Some(Refusal::Precondition),
        _ => None,
    };
    (conditions, refusal)
}

impl Pair {
    fn visible(&self, container: usize, key: &str) -> Option<ETag> {
        let soon = self.soon();
        self.world.latest(container, key).filter(|ver| ver.visible(soon)).map(|ver| ver.etag)
    }

    pub(super) fn put(
        &mut self,
        container: usize,
        key: &str,
        size: u8,
        guards: (Guard, Guard),
        life: Option<u64>,
    ) {
        let place = self.place(container, key);
        let etag = ETag::of_md5([size; 16]);
        let (conditions, expected) = guarded(self.visible(container, key), guards);
        let blob = self.name(place);
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
        let expires = life.map(|life| self.clock + life);
        let metadata = vec![("m".to_owned(), "v".to_owned())];
        let extras = encode_extras(&Attributes { expires_at: expires, metadata, ..Attributes::default() });
        let put = self.put_command(place, key, conditions, (size, etag), &extras, body);
        match self.run(place, &Command::Put(put), bodies) {
            Err(refusal) => assert_eq!(Some(refusal), expected),
            Ok(payload) => {
                assert_eq!(expected, None);
                for (blob, name) in &blobs {
                    self.world.referrers.entry(*blob).or_default().insert(*name);
                }
                let ver = Ver { expires, inline, blobs, ..plain(etag) };
                self.stored(container, key, &payload, ver);
            }
        }
    }

    pub(super) fn delete(&mut self, container: usize, key: &str, guards: (Guard, Guard)) {
        let place = self.place(container, key);
        let visible = self.visible(container, key);
        let (conditions, expected) = guarded(visible, guards);
        let command = Command::Delete { shard: self.shards[place], key, version: None, conditions };
        let deleted = self.run(place, &command, Vec::new());
        if expected == Some(Refusal::NoSuchKey) {
            let nothing = Deleted { existed: false, marker: false, version: None };
            assert_eq!(Deleted::decode(&deleted.unwrap()), Some(nothing), "nothing to delete is no failure");
            return;
        }
        if let Some(refusal) = expected {
            assert_eq!(deleted, Err(refusal));
            return;
        }
        let deleted = Deleted::decode(&deleted.unwrap()).unwrap();
        let versions = self.world.shards[container].keys.get(key).cloned().unwrap_or_default();
        assert_eq!(deleted.existed, versions.first().is_some_and(|ver| !ver.marker));
        let versioning = self.world.shards[container].versioning;
        let alone = versions.is_empty() || (versions.len() == 1 && versions[0].null);
        let slot = self.slot_ids[place];
        if versioning == Versioning::Off && alone {
            assert!(!deleted.marker);
            if !versions.is_empty() {
                self.world.remove(container, key, 0, slot);
            }
            return;
        }
        assert!(deleted.marker);
        let ver = Ver {
            stamp: self.clock * 1_000_000,
            null: versioning != Versioning::Enabled,
            marker: true,
            ..plain(ETag::default())
        };
        self.world.insert(container, key, ver, slot);
    }

    pub(super) fn delete_version(
        &mut self,
        container: usize,
        key: &str,
        index: usize,
        guards: (Guard, Guard),
    ) {
        let place = self.place(container, key);
        let versions = self.world.shards[container].keys.get(key).cloned().unwrap_or_default();
        let found = versions.get(index);
        let id = match found {
            Some(ver) if ver.null => VersionId::Null,
            Some(ver) => VersionId::At(HybridTime(ver.stamp)),
            None if !versions.iter().any(|ver| ver.null) => VersionId::Null,
            None => VersionId::At(HybridTime(5)),
        };
        let soon = self.soon();
        let visible = found.filter(|ver| ver.visible(soon)).map(|ver| ver.etag);
        let (conditions, expected) = guarded(visible, guards);
        let command = Command::Delete { shard: self.shards[place], key, version: Some(id), conditions };
        let deleted = self.run(place, &command, Vec::new());
        let Some(ver) = found else {
            assert!(!Deleted::decode(&deleted.unwrap()).unwrap().existed);
            return;
        };
        if let Some(refusal) = expected {
            assert_eq!(deleted, Err(refusal));
            return;
        }
        let deleted = Deleted::decode(&deleted.unwrap()).unwrap();
        assert_eq!((deleted.existed, deleted.marker), (true, ver.marker));
        self.world.remove(container, key, index, self.slot_ids[place]);
        let again = Deleted::decode(&self.run(place, &command, Vec::new()).unwrap()).unwrap();
        assert!(!again.existed, "what is gone is gone");
    }

    pub(super) fn copy(&mut self, from: (usize, &str), to: (usize, &str)) {
        let (source, target) = (self.place(from.0, from.1), self.place(to.0, to.1));
        let query = Query::Get { shard: self.shards[source], key: from.1, version: None, body: true };
        let Ok(payload) = self.ask(source, &query) else { return };
        let found = Found::decode(&payload).unwrap();
        if found.version.marker {
            return;
        }
        let mut blobs = Vec::new();
        let mut inline = None;
        let mut bodies = Vec::new();
        let mut named = |pair: &mut Self, blob: BlobRef| {
            let named = pair.named(target, blob);
            blobs.push((blob.blob, named.referrer.unwrap()));
            named
        };
        let body = match found.version.body {
            Body::Empty => NewBody::Empty,
            Body::Inline(old) => {
                let blob = self.name(target);
                bodies.push(self.slots[source].inline[&old].clone());
                inline = Some(blob);
                NewBody::Inline(blob)
            }
            Body::Chunks(blob) => NewBody::Shared(named(self, blob)),
            Body::Manifest { id, parts } => {
                let (shard, key) = (self.shards[source], from.1);
                let query = Query::Manifest { shard, key, id, offset: 0, limit: 100 };
                let page = decode_manifest(&self.ask(source, &query).unwrap()).unwrap();
                assert_eq!((page.parts.len(), page.start, page.truncated), (parts as usize, 0, false));
                let mut parts = page.parts;
                for part in &mut parts {
                    part.blob = part.blob.map(|blob| named(self, blob));
                }
                NewBody::Parts(parts)
            }
        };
        let expires = found.version.expires_at();
        let (size, etag) = (found.version.size, found.version.etag);
        let extras = found.version.extras.to_vec();
        let put = self.put_command(target, to.1, WriteConditions::default(), (size, etag), &extras, body);
        let payload = self.run(target, &Command::Put(put), bodies).unwrap();
        for (blob, name) in &blobs {
            self.world.referrers.get_mut(blob).unwrap().insert(*name);
        }
        self.stored(to.0, to.1, &payload, Ver { expires, inline, blobs, ..plain(etag) });
    }

    /// Removes what has expired, as the reconciler does.
    pub(super) fn expire(&mut self) {
        for place in 0..self.slots.len() {
            let container = place % super::pair::TAKER;
            let query = Query::Expiring { before: self.clock, limit: 1000 };
            for (shard, key, stamp, at) in decode_expiring(&self.ask(place, &query).unwrap()).unwrap() {
                assert_eq!(shard, self.shards[place]);
                assert!(at < self.clock);
                let command = Command::Expire { shard, key: &key, stamp, at };
                if self.place(container, &key) != place {
                    assert!(self.run(place, &command, Vec::new()).is_err(), "a copy that is not served");
                    continue;
                }
                let early = Command::Expire { shard, key: &key, stamp, at: at + 1_000_000 };
                for (command, expected) in [(early, false), (command.clone(), true), (command, false)] {
                    let deleted = Deleted::decode(&self.run(place, &command, Vec::new()).unwrap()).unwrap();
                    assert_eq!(deleted.existed, expected);
                }
                let versions = &self.world.shards[container].keys[&key];
                let index = versions.iter().position(|ver| ver.stamp == stamp).unwrap();
                assert_eq!(versions[index].expires, Some(at));
                self.world.remove(container, &key, index, self.slot_ids[place]);
            }
        }
    }

    /// A large body whose key was moved while it came in: its home record is made first.
    pub(super) fn put_from_elsewhere(&mut self, container: usize, key: &str) {
        let place = self.place(container, key);
        let home = (place + 1) % self.slots.len();
        let (blob, referrer) = (self.name(home), self.name(place));
        let add = Command::AddBlob { blob, policy: 1, chunk_bytes: 100, size: 5, referrer };
        self.run(home, &add, Vec::new()).unwrap();
        assert!(self.run(home, &add, Vec::new()).is_err(), "a blob is made once");
        let shared = BlobRef { blob, referrer: Some(referrer), policy: 1, chunk_bytes: 100 };
        let etag = ETag::of_md5([77; 16]);
        let conditions = WriteConditions::default();
        let put = self.put_command(place, key, conditions, (5, etag), &[], NewBody::Shared(shared));
        let payload = self.run(place, &Command::Put(put), Vec::new()).unwrap();
        self.world.referrers.entry(blob).or_default().insert(referrer);
        self.stored(container, key, &payload, Ver { blobs: vec![(blob, referrer)], ..plain(etag) });
    }
}

pub(super) fn plain(etag: ETag) -> Ver {
    let (stamp, size) = (0, 0);
    let blobs: Vec<(BlobId, BlobId)> = Vec::new();
    Ver {
        stamp,
        null: false,
        marker: false,
        size,
        etag,
        expires: None,
        touched: None,
        extras: None,
        inline: None,
        blobs,
    }
}

/// Key number `index`; the empty one beyond the last.
pub(super) fn key_at(index: usize) -> &'static str {
    KEYS.get(index).copied().unwrap_or_default()
}
