//! Comparing a device with its model.

use super::{GROUPS, GroupModel, Outcome, Run, wait};
use crate::format::file::{EXTENT_HEADER_LEN, decode_format};
use crate::format::{ChunkEntry, RecordHeader, Salt};
use crate::index::{Family, View};
use crate::scan::{Rule, Scan};
use bytes::Bytes;
use ringfort_core::{ChunkKey, GroupId};
use std::collections::BTreeMap;
use std::fmt::Write as _;

impl Run {
    /// Compares everything, and takes what was found for what there is.
    pub(super) fn check(&mut self) -> Outcome {
        let listed = self.engine().list_chunks(None, usize::MAX).map_err(|error| format!("list: {error}"))?;
        for (key, info) in &listed {
            if !self.chunks.contains_key(key) {
                return Err(format!("{key:?} was never put ({info:?})"));
            }
        }
        for (key, may) in self.chunks.clone() {
            let found = match self.engine().chunk_info(key).map_err(|error| error.to_string())? {
                None => None,
                Some(info) => Some(self.read(key, info.len)?),
            };
            if listed.iter().any(|(listed, _)| *listed == key) != found.is_some() {
                return Err(format!("{key:?} is listed and not there, or there and not listed"));
            }
            if !may.contains(&found) {
                let lens: Vec<_> = may.iter().map(|body| body.as_ref().map(Bytes::len)).collect();
                return Err(format!(
                    "{key:?} holds {:?} bytes, not one of {lens:?}",
                    found.map(|body| body.len())
                ));
            }
            self.chunks.insert(key, vec![found]);
        }
        for number in 0..GROUPS.len() {
            self.check_group(number)?;
            self.check_state(number)?;
        }
        self.check_accounts()
    }

    fn read(&self, key: ChunkKey, len: u32) -> Result<Bytes, String> {
        let whole =
            wait(self.engine().read_chunk(key, 0..len)).map_err(|error| format!("read {key:?}: {error}"))?;
        let (from, to) = (len / 3, len - len / 4);
        let part = wait(self.engine().read_chunk(key, from..to))
            .map_err(|error| format!("read {key:?}: {error}"))?;
        if part != whole.slice(from as usize..to as usize) {
            Err(format!("{key:?}: a part differs"))
        } else {
            Ok(whole)
        }
    }

    pub(super) fn check_group(&mut self, number: usize) -> Outcome {
        let log = self.engine().group_log(GroupId(GROUPS[number]));
        let first = log.purged().map_or(1, |(purged, _)| purged + 1);
        let read = log.read(first, u64::MAX, usize::MAX).map_err(|error| format!("log {number}: {error}"))?;
        if read.last().map(|(index, _)| *index) != log.last() {
            return Err(format!("log {number} ends at {:?}, its entries at {:?}", log.last(), read.last()));
        }
        let found = GroupModel {
            vote: log.vote(),
            purged: log.purged().map(|(index, _)| index),
            entries: read.into_iter().collect(),
        };
        if !self.groups[number].contains(&found) {
            return Err(format!(
                "log {number}: vote {:?}, purged {:?}, entries {:?}; allowed {:?}",
                found.vote.is_some(),
                found.purged,
                found.entries.keys(),
                self.groups[number]
                    .iter()
                    .map(|model| (model.vote == found.vote, model.purged, model.entries.keys()))
                    .collect::<Vec<_>>()
            ));
        }
        self.groups[number] = vec![found];
        Ok(())
    }

    fn check_state(&mut self, number: usize) -> Outcome {
        let state = self.engine().group_state(GroupId(GROUPS[number]));
        let (applied, durable) = (state.applied(), self.states[number].durable);
        if applied < durable {
            return Err(format!("state {number} went back to {applied}, durable was {durable}"));
        }
        let mut records = BTreeMap::new();
        let mut iter = state.iter(&[], &[]).map_err(|error| error.to_string())?;
        while let Some((key, value)) = iter.next().map_err(|error| error.to_string())? {
            records.insert(key.to_vec(), value.to_vec());
        }
        drop(iter);
        let model = &mut self.states[number];
        model.removing = false;
        let expected = model.history.get(&applied).cloned().unwrap_or_default();
        if records != expected {
            return Err(format!("state {number} at {applied} holds {records:?}, not {expected:?}"));
        }
        model.history.retain(|index, _| *index <= applied);
        model.inline.retain(|index, _| *index <= applied);
        let inline = model.inline.get(&applied).cloned().unwrap_or_default();
        for (key, body) in inline {
            if self.read(key, body.len() as u32)? != body {
                return Err(format!("inline body {key:?} differs"));
            }
        }
        Ok(())
    }

    /// The raft records of a group as they are in the log, for people.
    pub(super) fn log_of(&self, group: u32) -> String {
        let mut out = String::new();
        let files = self.disk.contents();
        let log = decode_format(&files["FORMAT"]).unwrap();
        for (name, bytes) in &files {
            let Some(extent) = crate::extents::id_of(name) else { continue };
            let file = crate::disk::Disk::open(&self.disk, name).unwrap();
            let rule = Rule { complete: false, synced: 0, bodies: false };
            let _end = Scan::new(file.as_ref(), Salt { log, extent }, bytes.len() as u64).walk(
                EXTENT_HEADER_LEN,
                rule,
                &mut |found| {
                    if let Ok(found) = found
                        && found.header.kind.is_raft()
                        && found.header.group == group
                    {
                        let RecordHeader { kind, sequence, index, flags, .. } = found.header;
                        let _ok = writeln!(
                            out,
                            "{extent}:{} {kind:?} sequence {sequence} index {index} flags {flags}",
                            found.offset
                        );
                    }
                    Ok(())
                },
            );
        }
        out
    }

    /// The accounting has to be what the entries say.
    fn check_accounts(&self) -> Outcome {
        let mut live: BTreeMap<u64, u64> = BTreeMap::new();
        let (mut chunks, mut bodies) = (0, 0);
        let mut cursor = self.index.cursor(Family::Chunks, &[], &[]);
        cursor.first();
        while let Some((_, value)) = cursor.item() {
            let entry = ChunkEntry::decode(value).ok_or("an entry does not decode")?;
            *live.entry(entry.extent).or_default() += u64::from(entry.footprint);
            if entry.is_inline() {
                bodies += 1
            } else {
                chunks += 1
            }
            cursor.next();
        }
        let ledger = self.engine().inner().ledger.lock();
        for (extent, account) in &ledger.accounts {
            if account.live != live.remove(extent).unwrap_or(0) {
                return Err(format!("extent {extent} is accounted wrongly: {account:?}"));
            }
        }
        if !live.is_empty() || (ledger.covered.chunks, ledger.covered.inline_bodies) != (chunks, bodies) {
            return Err(format!("accounts miss {live:?}, or counts are wrong: {:?}", ledger.covered));
        }
        Ok(())
    }
}
