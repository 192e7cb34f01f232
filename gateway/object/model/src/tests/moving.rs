//! Keys moved from one shard to the next, and moves that die on the way.

use super::pair::{KEYS, Pair, TAKER};
use super::world::Staged;
use crate::{
    Command, MovedRecord, PutObject, Query, Refusal, ShardRoot, Versioning, WriteConditions, decode_export,
    decode_tail,
};
use bytes::Bytes;
use ringfort_core::BlobId;

/// Where a move dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    None,
    Held,
    Imported,
}

/// Everything a move gave a new name: blob, old name, new name; and inline bodies, old and new.
#[derive(Default)]
struct Renamed {
    blobs: Vec<(BlobId, BlobId, BlobId)>,
    inline: Vec<(BlobId, BlobId)>,
}

impl Pair {
    /// Moves the last `keys` keys of container 0's first shard to its second one.
    pub(super) fn move_keys(&mut self, keys: u32, death: Death) {
        let (giver, taker) = (self.shards[0], self.shards[TAKER]);
        let tail = self.ask(0, &Query::Tail { shard: giver, keys }).unwrap();
        let Some(from) = decode_tail(&tail).unwrap() else { return };
        let held = self.run(0, &Command::Hold { shard: giver, from }, Vec::new()).unwrap();
        let held = ShardRoot::decode_payload(&held).unwrap();
        let (at, token) = held.range.as_ref().and_then(|range| range.hold.clone()).unwrap();
        assert_eq!(at, from);
        self.check_hold(from, token);
        let unhold = Command::Unhold { shard: giver, token };
        if death == Death::Held {
            self.run(0, &Command::Unhold { shard: giver, token: token + 1 }, Vec::new()).unwrap();
            self.check_hold(from, token);
            self.run(0, &unhold, Vec::new()).unwrap();
            return;
        }
        let export = self.ask(0, &Query::Export { shard: giver, from, bytes_max: u32::MAX }).unwrap();
        let mut records = decode_export(&export).unwrap().unwrap();
        let (renamed, bodies) = self.rename(&mut records);
        let begin = held.end().map(|(end, _)| end);
        let import = Command::Import { shard: taker, token, begin, from, records: records.clone() };
        self.run(TAKER, &import, bodies.clone()).unwrap();
        self.world.drop_staged(self.slot_ids[TAKER]);
        for (blob, _, new) in &renamed.blobs {
            self.world.referrers.get_mut(blob).unwrap().insert(*new);
        }
        self.world.inline.extend(renamed.inline.iter().map(|(_, new)| new));
        let older = Command::Import { shard: taker, token: token - 1, begin, from, records };
        assert_eq!(
            self.run(TAKER, &older, bodies),
            Err(Refusal::Changed),
            "an older copy does not replace it"
        );
        let query = Query::Get { shard: taker, key: KEYS[0], version: None, body: false };
        assert!(from != KEYS[0] || self.ask(TAKER, &query) == Err(Refusal::Below), "the copy is not served");
        let cut = Command::Cut { shard: giver, token, next: taker.number };
        if death == Death::Imported {
            self.run(0, &unhold, Vec::new()).unwrap();
            assert_eq!(self.run(0, &cut, Vec::new()), Err(Refusal::Changed), "called off is called off");
            self.world.staged = Staged {
                blobs: renamed.blobs.iter().map(|(blob, _, new)| (*blob, *new)).collect(),
                inline: renamed.inline.iter().map(|(_, new)| *new).collect(),
            };
            return;
        }
        self.run(0, &cut, Vec::new()).unwrap();
        let gone = self.ask(0, &Query::Get { shard: giver, key: from, version: None, body: false });
        assert_eq!(gone, Err(Refusal::Above { next: taker.number }));
        let other = Command::Serve { shard: taker, begin: "\u{1}\u{1}" };
        assert_eq!(
            self.run(TAKER, &other, Vec::new()),
            Err(Refusal::Changed),
            "only what was copied is served"
        );
        for _ in 0..2 {
            self.run(TAKER, &Command::Serve { shard: taker, begin: from }, Vec::new()).unwrap();
        }
        self.moved(from, &renamed);
    }

    /// Writes of held keys are refused, reads are not.
    fn check_hold(&mut self, from: &str, token: u64) {
        let (shard, key) = (self.shards[0], from);
        let put = PutObject { shard, body: crate::NewBody::Empty, ..self.put_of(key) };
        let deletion = Command::Delete { shard, key, version: None, conditions: WriteConditions::default() };
        for command in [
            Command::Put(put),
            deletion,
            Command::CreateUpload { shard, key, content_type: None, extras: &[] },
            Command::AbortUpload { shard, key, upload: 1 },
            Command::Expire { shard, key, stamp: 1, at: 1 },
            Command::Hold { shard, from: key },
        ] {
            assert_eq!(self.run(0, &command, Vec::new()), Err(Refusal::Held { token }), "{command:?}");
        }
        assert!(self.ask(0, &Query::Get { shard, key, version: None, body: false }).is_ok());
    }

    fn put_of<'k>(&self, key: &'k str) -> PutObject<'k> {
        let conditions = WriteConditions::default();
        self.put_command(0, key, conditions, (0, Default::default()), &[], crate::NewBody::Empty)
    }

    fn rename(&mut self, records: &mut [MovedRecord]) -> (Renamed, Vec<Bytes>) {
        let (mut renamed, mut bodies) = (Renamed::default(), Vec::new());
        for record in records {
            let before = record.holds().unwrap();
            let name = self.name(TAKER);
            let moved = record.rename(name).unwrap();
            match before {
                crate::moving::Holds::Nothing => assert_eq!(moved, None),
                crate::moving::Holds::Inline(old, size) => {
                    assert!(record.inline().unwrap().is_some());
                    let body = self.slots[0].inline[&old].clone();
                    assert_eq!(body.len() as u64, size);
                    bodies.push(body);
                    renamed.inline.push((old, name));
                }
                crate::moving::Holds::Blob(blob) => {
                    assert_eq!(moved, Some(blob.blob));
                    renamed.blobs.push((blob.blob, blob.referrer.unwrap_or(blob.blob), name));
                }
            }
        }
        for (blob, _, name) in &renamed.blobs {
            let home = self.place_of_slot(blob.home());
            if home != TAKER {
                self.run(home, &Command::AddReferrers(vec![(*blob, *name)]), Vec::new()).unwrap();
            }
        }
        (renamed, bodies)
    }

    /// The reference's side of a move that was decided.
    fn moved(&mut self, from: &str, renamed: &Renamed) {
        let end = self.boundary.replace(from.to_owned());
        let moved = |key: &str| end.as_ref().is_none_or(|end| key < end.as_str());
        let slot = self.slot_ids[0];
        let new_name = |old: BlobId| renamed.blobs.iter().find(|(_, of, _)| *of == old).map(|(.., new)| *new);
        let shard = &mut self.world.shards[0];
        for (_, versions) in shard.keys.range_mut(from.to_owned()..).filter(|(key, _)| moved(key)) {
            for ver in versions {
                ver.inline =
                    ver.inline.map(|old| renamed.inline.iter().find(|(of, _)| *of == old).unwrap().1);
                ver.blobs.iter_mut().for_each(|(_, name)| *name = new_name(*name).unwrap());
            }
        }
        let uploads = shard.uploads.range_mut((from.to_owned(), 0)..);
        for (_, parts) in uploads.filter(|((key, _), _)| moved(key)) {
            parts.values_mut().for_each(|(_, _, _, name)| *name = new_name(*name).unwrap());
        }
        for (old, _) in &renamed.inline {
            self.world.inline.remove(old);
        }
        for (blob, old, _) in &renamed.blobs {
            self.world.give_up(slot, *blob, *old);
        }
    }

    /// The second shard follows the first one's versioning.
    pub(super) fn switch(&mut self, container: usize, to: Versioning) {
        let revision = self.clock + 1;
        let places: &[usize] = if container == 0 { &[0, TAKER] } else { &[1] };
        for place in places {
            let shard = self.shards[*place];
            self.run(*place, &Command::SetVersioning { shard, versioning: to, revision }, Vec::new())
                .unwrap();
            // An older revision changes nothing.
            let late = Command::SetVersioning { shard, versioning: Versioning::Off, revision: 1 };
            self.run(*place, &late, Vec::new()).unwrap();
        }
        self.world.shards[container].versioning = to;
    }
}
