//! References delivered, blobs condemned and collected.

use super::pair::Pair;
use crate::{
    Command, ETag, NewBody, Query, Refusal, WriteConditions, decode_blobs, decode_flags, decode_outbox,
    decode_references,
};

impl Pair {
    pub(super) fn deliver(&mut self, twice: bool) {
        for place in 0..self.slots.len() {
            let entries = decode_outbox(&self.ask(place, &Query::Outbox { limit: 1000 }).unwrap()).unwrap();
            for entry in &entries {
                let held = self.ask(place, &Query::Held { referrer: entry.referrer }).unwrap();
                assert_eq!(held, [0], "what is given up is not held");
                let home = self.place_of_slot(entry.blob.home());
                for _ in 0..=usize::from(twice) {
                    self.run(home, &Command::DropReferrers(vec![(entry.blob, entry.referrer)]), vec![])
                        .unwrap();
                }
                self.run(place, &Command::Delivered(vec![entry.entry]), Vec::new()).unwrap();
            }
        }
        for (blob, name) in std::mem::take(&mut self.world.outbox) {
            self.world.drop_reference(blob, name);
        }
        self.check_references();
    }

    /// With nothing on its way, each home knows exactly the references of the reference world.
    fn check_references(&self) {
        for place in 0..self.slots.len() {
            let payload = self.ask(place, &Query::Referrers { after: None, limit: 10_000 }).unwrap();
            let all = decode_references(&payload).unwrap();
            let mine = self.world.referrers.iter().filter(|(blob, _)| blob.home() == self.slot_ids[place]);
            let named = mine.flat_map(|(blob, names)| names.iter().map(move |name| (*blob, *name)));
            assert_eq!(all, named.filter(|(blob, name)| blob != name).collect::<Vec<_>>());
            let (first, rest) = all.split_at(all.len() / 2);
            let payload = self.ask(place, &Query::Referrers { after: first.last().copied(), limit: 10_000 });
            assert_eq!(decode_references(&payload.unwrap()).unwrap(), rest);
        }
    }

    pub(super) fn condemn_all(&mut self) {
        for place in 0..self.slots.len() {
            let mut blobs: Vec<_> = self
                .world
                .referrers
                .keys()
                .filter(|blob| blob.home() == self.slot_ids[place])
                .copied()
                .collect();
            let stray = self.name(place);
            blobs.push(stray);
            let command = Command::Condemn(blobs.iter().map(|blob| (*blob, 1)).collect());
            let flags = decode_flags(&self.run(place, &command, Vec::new()).unwrap());
            assert_eq!(flags.iter().filter(|condemned| **condemned).count(), 1, "only the stray one");
            self.world.condemned.insert(stray);
            let key = ["z", "z", "\u{10ffff}"][place];
            if self.place(place % 2, key) == place {
                let body = NewBody::Chunks { blob: stray, policy: 1, chunk_bytes: 5 };
                let conditions = WriteConditions::default();
                let put = self.put_command(place, key, conditions, (5, ETag::default()), &[], body);
                assert_eq!(self.run(place, &Command::Put(put), Vec::new()), Err(Refusal::NoBlob));
            }
            let name = self.name((place + 1) % self.slots.len());
            let refused = self.run(place, &Command::AddReferrers(vec![(stray, name)]), Vec::new());
            assert_eq!(refused, Err(Refusal::NoBlob));
            let add = Command::AddBlob { blob: stray, policy: 1, chunk_bytes: 5, size: 5, referrer: name };
            assert_eq!(self.run(place, &add, Vec::new()), Err(Refusal::NoBlob));
        }
    }

    pub(super) fn collect(&mut self) {
        for place in 0..self.slots.len() {
            let query = Query::Condemned { after: None, limit: 1000 };
            let all = decode_blobs(&self.ask(place, &query).unwrap()).unwrap();
            let blobs = all.into_iter().map(|(blob, _)| blob).collect();
            self.run(place, &Command::Collected(blobs), Vec::new()).unwrap();
        }
        self.world.condemned.clear();
    }
}
