//! Multipart uploads.

use super::objects::plain;
use super::pair::Pair;
use super::world::Ver;
use crate::{
    BlobRef, Command, CompleteUpload, ETag, ETagMatch, Part, Query, Refusal, Stored, WriteConditions,
    decode_stamp, decode_upload,
};

impl Pair {
    /// The upload number `index` of all, if there is one: container, key, id.
    fn upload(&self, index: usize) -> Option<(usize, String, u64)> {
        let all = (0..2)
            .flat_map(|at| self.world.shards[at].uploads.keys().map(move |(key, id)| (at, key.clone(), *id)));
        all.collect::<Vec<_>>().get(index).cloned()
    }

    pub(super) fn begin(&mut self, container: usize, key: &str) {
        let place = self.place(container, key);
        let shard = self.shards[place];
        let command = Command::CreateUpload { shard, key, content_type: None, extras: &[] };
        let id = decode_stamp(&self.run(place, &command, Vec::new()).unwrap()).unwrap();
        let before = self.world.shards[container].uploads.insert((key.to_owned(), id), Default::default());
        assert_eq!(before, None, "an upload has a number of its own");
    }

    pub(super) fn part(&mut self, index: usize, number: u32, size: u8) {
        let Some((container, key, upload)) = self.upload(index) else { return };
        let place = self.place(container, &key);
        let blob = self.name(place);
        let size = u64::from(size) + 1;
        let reference = BlobRef { blob, referrer: None, policy: 1, chunk_bytes: 64 };
        let md5 = [u8::try_from(number).unwrap(); 16];
        let part = Part { number, size, md5, stamp: 0, blob: Some(reference), checksums: Vec::new() };
        let command = Command::PutPart { shard: self.shards[place], key: &key, upload, part };
        self.run(place, &command, Vec::new()).unwrap();
        self.world.referrers.entry(blob).or_default().insert(blob);
        let parts = self.world.shards[container].uploads.get_mut(&(key, upload)).unwrap();
        if let Some((_, _, old, name)) = parts.insert(number, (size, md5, blob, blob)) {
            self.world.give_up(self.slot_ids[place], old, name);
        }
    }

    pub(super) fn list_parts(&self, index: usize, after: u32, limit: u32) {
        let Some((container, key, upload)) = self.upload(index) else { return };
        let place = self.place(container, &key);
        let query = Query::Parts { shard: self.shards[place], key: &key, upload, after, limit };
        let (_, parts, truncated) = decode_upload(&self.ask(place, &query).unwrap()).unwrap();
        let shown: Vec<_> = parts.iter().map(|part| (part.number, part.size)).collect();
        let all = &self.world.shards[container].uploads[&(key, upload)];
        let expected: Vec<_> = all.range(after + 1..).map(|(number, part)| (*number, part.0)).collect();
        assert_eq!(shown, expected[..expected.len().min(limit as usize)]);
        assert_eq!(truncated, expected.len() > limit as usize);
    }

    pub(super) fn complete(&mut self, index: usize, skip: bool, fresh: bool) {
        let Some((container, key, upload)) = self.upload(index) else { return };
        let place = self.place(container, &key);
        let slot = self.slot_ids[place];
        let all = self.world.shards[container].uploads[&(key.clone(), upload)].clone();
        let chosen: Vec<_> = all.iter().skip(usize::from(skip)).collect();
        let etag = ETag { md5: [7; 16], parts: u32::try_from(chosen.len()).unwrap() };
        let if_none_match = fresh.then_some(ETagMatch::Any);
        let complete = CompleteUpload {
            shard: self.shards[place],
            key: &key,
            upload,
            conditions: WriteConditions { if_match: None, if_none_match },
            etag,
            part_bytes_min: 0,
            checksums: Vec::new(),
            parts: chosen.iter().map(|(number, (_, md5, ..))| (**number, *md5)).collect(),
        };
        self.refused_completions(place, &complete);
        let command = Command::Complete(complete);
        let soon = self.soon();
        let exists = self.world.latest(container, &key).is_some_and(|ver| ver.visible(soon));
        let completed = self.run(place, &command, Vec::new());
        if chosen.is_empty() {
            assert_eq!(completed, Err(Refusal::InvalidPartOrder));
            return;
        }
        if fresh && exists {
            assert_eq!(completed, Err(Refusal::Precondition));
            return;
        }
        let payload = completed.unwrap();
        self.completed.push((container, key.clone(), command.encode(), Stored::decode(&payload).unwrap()));
        self.world.shards[container].uploads.remove(&(key.clone(), upload));
        for (number, (_, _, blob, name)) in &all {
            if !chosen.iter().any(|(chosen, _)| *chosen == number) {
                self.world.give_up(slot, *blob, *name);
            }
        }
        let blobs = chosen.iter().map(|(_, (_, _, blob, name))| (*blob, *name)).collect();
        self.stored(container, &key, &payload, Ver { blobs, ..plain(etag) });
    }

    fn refused_completions(&mut self, place: usize, complete: &CompleteUpload<'_>) {
        let parts = &complete.parts;
        let Some((last, _)) = parts.last() else { return };
        let mut wrong = parts.clone();
        wrong[0].1 = [0xdd; 16];
        let mut reversed = parts.clone();
        reversed.reverse();
        let missing = [&parts[..], &[(last + 1, [1; 16])]].concat();
        let small = CompleteUpload { part_bytes_min: 1000, ..complete.clone() };
        let mut cases = vec![
            (
                CompleteUpload { parts: wrong, ..complete.clone() },
                Refusal::InvalidPart { number: parts[0].0 },
            ),
            (
                CompleteUpload { parts: missing, ..complete.clone() },
                Refusal::InvalidPart { number: last + 1 },
            ),
        ];
        if parts.len() > 1 {
            cases.push((CompleteUpload { parts: reversed, ..complete.clone() }, Refusal::InvalidPartOrder));
            let refused = self.run(place, &Command::Complete(small), Vec::new());
            assert!(matches!(refused, Err(Refusal::PartTooSmall { number, .. }) if number == parts[0].0));
        }
        for (complete, expected) in cases {
            assert_eq!(self.run(place, &Command::Complete(complete), Vec::new()), Err(expected));
        }
    }

    /// A completion whose answer was lost, once more: the same answer as long as what came of it is there.
    pub(super) fn complete_again(&mut self, index: usize) {
        let Some((container, key, command, first)) = self.completed.get(index).cloned() else { return };
        let place = self.place(container, &key);
        if place != container {
            // The client of a moved key asks its new shard, by a command that names it; see the object layer's tests.
            return;
        }
        let records = self.slots[place].records.clone();
        let again = self.run_bytes(place, &command, Vec::new());
        assert_eq!(records, self.slots[place].records);
        let versions = self.world.shards[container].keys.get(&key);
        let there = versions.is_some_and(|versions| versions.iter().any(|ver| ver.stamp == first.stamp.0));
        if there {
            let again = Stored::decode(&again.unwrap()).unwrap();
            assert_eq!((again.stamp, again.version, again.size), (first.stamp, first.version, first.size));
        } else {
            assert_eq!(again, Err(Refusal::NoSuchUpload));
        }
    }

    pub(super) fn abort(&mut self, index: usize) {
        let Some((container, key, upload)) = self.upload(index) else { return };
        let place = self.place(container, &key);
        let command = Command::AbortUpload { shard: self.shards[place], key: &key, upload };
        self.run(place, &command, Vec::new()).unwrap();
        assert_eq!(self.run(place, &command, Vec::new()), Err(Refusal::NoSuchUpload));
        let parts = self.world.shards[container].uploads.remove(&(key, upload)).unwrap();
        for (_, _, blob, name) in parts.into_values() {
            self.world.give_up(self.slot_ids[place], blob, name);
        }
    }
}
