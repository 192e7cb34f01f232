//! What a device has to hold, told in a few maps. An operation that was not acknowledged may have happened or not.

use super::{config, open, wait};
use crate::disk::sim::SimDisk;
use crate::format::ChunkEntry;
use crate::index::mem::MemIndex;
use crate::index::{Family, View};
use crate::{Engine, EngineConfig, EngineError, IoClass, LogEntry, OpenReport, StateBatch, StateStatus};
use bytes::Bytes;
use ringfort_core::{BlobId, ChunkKey, GroupId};
use std::collections::BTreeMap;

/// Blobs that chunks are put under; inline bodies have others.
const BLOBS: u8 = 5;
const NUMBERS: u32 = 2;
pub(super) const GROUPS: [u32; 2] = [1, 2];

/// One step of a history.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Put {
        blob: u8,
        number: u32,
        len: usize,
    },
    Replace {
        blob: u8,
        number: u32,
        len: usize,
    },
    Delete {
        blob: u8,
    },
    Drop {
        blob: u8,
        number: u32,
    },
    Append {
        group: usize,
        count: u64,
        len: usize,
    },
    Truncate {
        group: usize,
        back: u64,
    },
    Purge {
        group: usize,
    },
    Vote {
        group: usize,
    },
    Apply {
        group: usize,
    },
    RemoveGroup {
        group: usize,
    },
    Checkpoint,
    Compact,
    /// The power fails after this many changes of the disk.
    Fuse {
        changes: u64,
    },
    /// The power fails now, and perhaps again while the device is opened.
    Crash {
        seed: u64,
        index_seed: u64,
        fuse: Option<u64>,
    },
    /// The process ends without flushing the index.
    Kill,
    Close,
    /// The index is lost.
    LoseIndex,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct GroupModel {
    vote: Option<Bytes>,
    purged: Option<u64>,
    /// Entries after the purged ones.
    entries: BTreeMap<u64, Bytes>,
}

#[derive(Clone, Debug, Default)]
struct StateModel {
    /// What the state holds at each applied index that a crash may go back to.
    history: BTreeMap<u64, BTreeMap<Vec<u8>, Vec<u8>>>,
    /// Inline bodies, likewise.
    inline: BTreeMap<u64, BTreeMap<ChunkKey, Bytes>>,
    durable: u64,
}

/// The device and what it has to hold.
pub(super) struct Run {
    pub(super) disk: SimDisk,
    pub(super) index: MemIndex,
    config: EngineConfig,
    engine: Option<Engine>,
    /// What may be under each name.
    chunks: BTreeMap<ChunkKey, Vec<Option<Bytes>>>,
    groups: Vec<Vec<GroupModel>>,
    states: Vec<StateModel>,
    serial: u64,
}

type Outcome = Result<(), String>;

fn content(serial: u64, len: usize) -> Bytes {
    let mut draw = crate::disk::sim::Draw(serial);
    (0..len).map(|_| draw.next() as u8).collect::<Vec<_>>().into()
}

fn chunk_key(blob: u8, number: u32) -> ChunkKey {
    ChunkKey { blob: BlobId::from_bytes([blob % BLOBS; 16]), number: number % NUMBERS, fragment: 0 }
}

fn inline_key(group: usize, index: u64) -> ChunkKey {
    let mut id = [100 + group as u8; 16];
    id[8..].copy_from_slice(&index.to_be_bytes());
    ChunkKey { blob: BlobId::from_bytes(id), number: 0, fragment: 0 }
}

/// Waits for a call that takes a callback.
fn called(call: impl FnOnce(Box<dyn FnOnce(Result<(), EngineError>) + Send>)) -> Result<(), EngineError> {
    let (answer, result) = crossbeam_channel::bounded(1);
    call(Box::new(move |outcome| drop(answer.send(outcome))));
    result.recv().unwrap_or(Err(EngineError::Closed))
}

impl Run {
    pub(super) fn new(change: impl FnOnce(&mut EngineConfig)) -> Self {
        let mut config = config();
        change(&mut config);
        Self {
            disk: SimDisk::new(),
            index: MemIndex::default(),
            config,
            engine: None,
            chunks: BTreeMap::new(),
            groups: vec![vec![GroupModel::default()]; GROUPS.len()],
            states: vec![StateModel::default(); GROUPS.len()],
            serial: 0,
        }
    }

    /// Runs a history; an error says what did not hold.
    pub(super) fn history(&mut self, ops: &[Op]) -> Outcome {
        self.reopen(false)?;
        for (number, op) in ops.iter().enumerate() {
            self.step(op).map_err(|fault| format!("step {number}, {op:?}: {fault}"))?;
        }
        self.crash(7, 0, None)?;
        Ok(())
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("a run has an engine between its steps")
    }

    fn step(&mut self, op: &Op) -> Outcome {
        let failed = match *op {
            Op::Put { blob, number, len } => self.put(chunk_key(blob, number), len, false)?,
            Op::Replace { blob, number, len } => self.put(chunk_key(blob, number), len, true)?,
            Op::Delete { blob } => self.delete(chunk_key(blob, 0), true),
            Op::Drop { blob, number } => self.delete(chunk_key(blob, number), false),
            Op::Append { group, count, len } => self.append(group, count, len)?,
            Op::Truncate { group, back } => self.truncate(group, back),
            Op::Purge { group } => self.purge(group),
            Op::Vote { group } => self.vote(group),
            Op::Apply { group } => self.apply(group)?,
            Op::RemoveGroup { group } => self.remove_group(group),
            Op::Checkpoint => wait(self.engine().checkpoint()).is_err(),
            Op::Compact => wait(self.engine().compact_step()).is_err(),
            Op::Fuse { changes } => {
                self.disk.set_fuse(Some(changes));
                false
            }
            Op::Crash { seed, index_seed, fuse } => return self.crash(seed, index_seed, fuse),
            Op::Kill => {
                self.note_durable();
                self.engine = None;
                return self.revive(3);
            }
            Op::Close => {
                self.note_durable();
                self.engine().close();
                let failed = self.engine().failure();
                self.engine = None;
                if failed {
                    return self.crash(11, 0, None);
                }
                return self.revive(5);
            }
            Op::LoseIndex => {
                self.engine = None;
                self.index.wipe();
                return self.revive_without_index();
            }
        };
        if failed { self.crash(self.serial * 31, self.serial, None) } else { self.check() }
    }

    /// Opens after the process ended; if the power failed on the way, after that too.
    fn revive(&mut self, seed: u64) -> Outcome {
        match self.reopen(false) {
            Err(fault) if fault.contains("the power failed") => self.crash(seed, seed, None),
            other => other,
        }
    }

    fn revive_without_index(&mut self) -> Outcome {
        let reopened = match self.reopen(true) {
            Err(fault) if fault.contains("the power failed") => {
                self.disk.crash(9);
                self.index.wipe();
                self.reopen(true)
            }
            other => other,
        };
        reopened?;
        Ok(())
    }

    /// The power fails, and perhaps again during the opening.
    fn crash(&mut self, seed: u64, index_seed: u64, fuse: Option<u64>) -> Outcome {
        self.note_durable();
        // Threads of the old life may still write: into a disk that is gone.
        self.disk.set_fuse(Some(0));
        self.engine = None;
        self.disk.crash(seed);
        self.index.crash(index_seed);
        if fuse.is_some() {
            self.disk.set_fuse(fuse);
            match self.reopen(false) {
                Err(fault) if fault.contains("the power failed") => {}
                Err(fault) => return Err(fault),
                Ok(()) => self.note_durable(),
            }
            self.disk.set_fuse(Some(0));
            self.engine = None;
            self.disk.crash(seed ^ 0x5555);
            self.index.crash(index_seed ^ 1);
        }
        self.reopen(false)
    }

    fn note_durable(&mut self) {
        let Some(engine) = &self.engine else { return };
        for (number, state) in self.states.iter_mut().enumerate() {
            state.durable = engine.group_state(GroupId(GROUPS[number])).durable_applied();
        }
    }

    fn reopen(&mut self, index_lost: bool) -> Outcome {
        let (engine, report) = open(&self.disk, &self.index, self.config.clone()).map_err(|error| {
            let mut text = format!("open: {error}");
            if let EngineError::Io { source, .. } = error {
                text = format!("{text}: {source}");
            }
            text
        })?;
        self.engine = Some(engine);
        self.found(&report, index_lost)?;
        self.check()
    }

    fn found(&mut self, report: &OpenReport, index_lost: bool) -> Outcome {
        if !report.damage.is_empty() {
            return Err(format!("a crash reads as damage: {:?}", report.damage));
        }
        if index_lost {
            // What the log has of votes and entries is still there; states are not, and their voters have to go.
            for number in 0..GROUPS.len() {
                if self.engine().group_state(GroupId(GROUPS[number])).status() == StateStatus::Lost {
                    self.check_group(number)?;
                }
                if self.remove_group(number) {
                    return self.crash(13, 0, None);
                }
            }
        } else if report.index_rebuilt || !report.lost_groups.is_empty() {
            return Err(format!("a crash loses states: {report:?}"));
        }
        Ok(())
    }

    fn put(&mut self, key: ChunkKey, len: usize, replace: bool) -> Result<bool, String> {
        self.serial += 1;
        let body = content(self.serial, len % 9000);
        let pieces = vec![body.slice(..body.len() / 3), body.slice(body.len() / 3..)];
        let before = self.chunks.get(&key).cloned().unwrap_or_else(|| vec![None]);
        let result = if replace {
            wait(self.engine().replace_chunk(key, pieces))
        } else {
            wait(self.engine().put_chunk(key, pieces, IoClass::Client))
        };
        match result {
            Ok(()) if !replace && before != [None] && before != [Some(body.clone())] => {
                Err("a chunk was overwritten".to_owned())
            }
            Ok(()) => {
                self.chunks.insert(key, vec![Some(body)]);
                Ok(false)
            }
            Err(EngineError::Conflict { .. }) if before != [None] => Ok(false),
            Err(EngineError::Conflict { .. }) => Err("a conflict with nothing".to_owned()),
            Err(_) => {
                let mut may = before;
                may.push(Some(body));
                self.chunks.insert(key, may);
                Ok(true)
            }
        }
    }

    fn delete(&mut self, key: ChunkKey, whole: bool) -> bool {
        let result = if whole {
            wait(self.engine().delete_blob(key.blob))
        } else {
            wait(self.engine().drop_chunk(key))
        };
        for (name, may) in &mut self.chunks {
            if if whole { name.blob == key.blob } else { *name == key } {
                match result {
                    Ok(()) => *may = vec![None],
                    Err(_) => may.push(None),
                }
            }
        }
        result.is_err()
    }

    fn group(&self, number: usize) -> GroupModel {
        self.groups[number].first().cloned().unwrap_or_default()
    }

    /// Sets what a group's log may be: with an answer just `after`, else anything on the way.
    fn settle(&mut self, number: usize, ok: bool, after: Vec<GroupModel>) -> bool {
        if ok {
            self.groups[number] = after.into_iter().next_back().into_iter().collect();
        } else {
            self.groups[number].extend(after);
        }
        !ok
    }

    fn append(&mut self, number: usize, count: u64, len: usize) -> Result<bool, String> {
        let mut model = self.group(number);
        let log = self.engine().group_log(GroupId(GROUPS[number]));
        let next = model.entries.keys().next_back().copied().or(model.purged).map_or(1, |last| last + 1);
        let mut entries = Vec::new();
        let mut after = Vec::new();
        for index in next..next + count {
            self.serial += 1;
            let payload = content(self.serial, 64 + len % 5000);
            entries.push(LogEntry {
                index,
                term: 1,
                payload: vec![payload.slice(..20), payload.slice(20..)],
            });
            model.entries.insert(index, payload);
            after.push(model.clone());
        }
        let result = called(|done| log.append(entries, done));
        Ok(self.settle(number, result.is_ok(), after))
    }

    fn truncate(&mut self, number: usize, back: u64) -> bool {
        let mut model = self.group(number);
        let applied = self.engine().group_state(GroupId(GROUPS[number])).applied();
        let Some(last) = model.entries.keys().next_back().copied() else { return false };
        let from = last.saturating_sub(back).max(applied + 1);
        let result =
            called(|done| self.engine().group_log(GroupId(GROUPS[number])).truncate_from(from, done));
        model.entries.retain(|index, _| *index < from);
        self.settle(number, result.is_ok(), vec![model])
    }

    fn purge(&mut self, number: usize) -> bool {
        let mut model = self.group(number);
        let id = GroupId(GROUPS[number]);
        let upto = self.engine().group_state(id).durable_applied();
        if upto == 0 || model.purged >= Some(upto) {
            return false;
        }
        let mark = Bytes::copy_from_slice(&upto.to_be_bytes());
        let result = called(|done| self.engine().group_log(id).purge_to(upto, mark, done));
        model.entries.retain(|index, _| *index > upto);
        model.purged = Some(upto);
        self.settle(number, result.is_ok(), vec![model])
    }

    fn vote(&mut self, number: usize) -> bool {
        self.serial += 1;
        let mut model = self.group(number);
        let vote = content(self.serial, 24);
        let result =
            called(|done| self.engine().group_log(GroupId(GROUPS[number])).save_vote(vote.clone(), done));
        model.vote = Some(vote);
        self.settle(number, result.is_ok(), vec![model])
    }

    /// Applies the next entry: a record, an inline body that is the entry's tail, and at times the release of an older one.
    fn apply(&mut self, number: usize) -> Result<bool, String> {
        let id = GroupId(GROUPS[number]);
        let state = self.engine().group_state(id);
        let index = state.applied() + 1;
        let Some(payload) = self.group(number).entries.get(&index).cloned() else { return Ok(false) };
        let model = &mut self.states[number];
        let mut records = model.history.values().next_back().cloned().unwrap_or_default();
        let mut inline = model.inline.values().next_back().cloned().unwrap_or_default();
        let mut batch = StateBatch::new();
        let key = (index % 7).to_be_bytes();
        batch.put(&key, &payload[..8]);
        records.insert(key.to_vec(), payload[..8].to_vec());
        let offset = 30_u32;
        batch.adopt_inline(inline_key(number, index).blob, index, offset, payload.len() as u32 - offset);
        inline.insert(inline_key(number, index), payload.slice(offset as usize..));
        if index > 3 && index.is_multiple_of(2) {
            batch.release_inline(inline_key(number, index - 3).blob);
            inline.remove(&inline_key(number, index - 3));
        }
        batch.applied(index);
        model.history.insert(index, records);
        model.inline.insert(index, inline);
        Ok(state.write(batch).is_err())
    }

    fn remove_group(&mut self, number: usize) -> bool {
        let result = wait(self.engine().remove_group(GroupId(GROUPS[number])));
        let ok = result.is_ok();
        if ok {
            self.states[number] = StateModel::default();
        } else {
            // Gone or not; either way the state may be empty.
            self.states[number].history.insert(0, BTreeMap::new());
            self.states[number].inline.insert(0, BTreeMap::new());
            self.states[number].durable = 0;
        }
        self.settle(number, ok, vec![GroupModel::default()])
    }

    /// Compares everything, and takes what was found for what there is.
    fn check(&mut self) -> Outcome {
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

    fn check_group(&mut self, number: usize) -> Outcome {
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

impl Engine {
    fn failure(&self) -> bool {
        self.inner().failure().is_some()
    }
}
