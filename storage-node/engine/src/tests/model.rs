//! What a device has to hold, told in a few maps. An operation that was not acknowledged may have happened or not.

#![allow(clippy::cast_possible_truncation, reason = "what is drawn is small")]

use super::{config, open, wait};
use crate::disk::sim::{Draw, SimDisk};
use crate::index::mem::MemIndex;
use crate::{Engine, EngineConfig, EngineError, OpenReport, StateSnapshot, StateStatus};
use bytes::Bytes;
use ringfort_core::{BlobId, ChunkKey, GroupId};
use std::collections::BTreeMap;

mod check;
mod ops;
mod together;

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
    /// Several requests that wait for the writer together; in between a checkpoint is made.
    Together {
        seed: u64,
        count: u64,
        checkpoint: bool,
    },
    /// The power fails, or the process is killed, after this many changes of the disk.
    Fuse {
        changes: u64,
        kill: bool,
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
    /// The index is lost, and the power may fail while it is made anew.
    LoseIndex {
        fuse: Option<u64>,
    },
    /// So many extents of space are left, or no end of it.
    Space {
        extents: Option<u64>,
    },
    /// A view of a state is taken, to be read at the next such step.
    View {
        group: usize,
    },
}

/// A view of a state, and what it has to show.
struct Seen {
    view: StateSnapshot,
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    inline: BTreeMap<ChunkKey, Bytes>,
}

/// A request that waits, and what it changes.
enum Waiting {
    Put { key: ChunkKey, body: Bytes, replace: bool },
    Delete { key: ChunkKey, whole: bool },
    Log { number: usize, after: Vec<GroupModel> },
}

#[derive(Clone, Debug, Default, PartialEq)]
struct GroupModel {
    vote: Option<Bytes>,
    purged: Option<u64>,
    /// Entries after the purged ones.
    entries: BTreeMap<u64, Bytes>,
}

impl GroupModel {
    /// The index of the next entry.
    fn next(&self) -> u64 {
        self.entries.keys().next_back().copied().max(self.purged).map_or(1, |last| last + 1)
    }
}

#[derive(Clone, Debug, Default)]
struct StateModel {
    /// What the state holds at each applied index that a crash may go back to.
    history: BTreeMap<u64, BTreeMap<Vec<u8>, Vec<u8>>>,
    /// Inline bodies, likewise.
    inline: BTreeMap<u64, BTreeMap<ChunkKey, Bytes>>,
    durable: u64,
    /// Whether a removal had no answer.
    removing: bool,
}

/// The device and what it has to hold.
pub(super) struct Run {
    pub(super) disk: SimDisk,
    pub(super) index: MemIndex,
    config: EngineConfig,
    engine: Option<Engine>,
    seen: Option<Seen>,
    /// Whether the fuse kills the process and leaves the disk's cache alone.
    fuse_kills: bool,
    formatted: bool,
    /// What may be under each name.
    chunks: BTreeMap<ChunkKey, Vec<Option<Bytes>>>,
    groups: Vec<Vec<GroupModel>>,
    states: Vec<StateModel>,
    serial: u64,
}

type Outcome = Result<(), String>;

fn content(serial: u64, len: usize) -> Bytes {
    let mut draw = Draw(serial);
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
            seen: None,
            fuse_kills: false,
            formatted: false,
            chunks: BTreeMap::new(),
            groups: vec![vec![GroupModel::default()]; GROUPS.len()],
            states: vec![StateModel::default(); GROUPS.len()],
            serial: 0,
        }
    }

    /// Opens the device for the first time.
    pub(super) fn start(&mut self) -> Outcome {
        self.reopen(false)
    }

    /// Runs a history; an error says what did not hold.
    pub(super) fn history(&mut self, ops: &[Op]) -> Outcome {
        if self.engine.is_none() {
            self.start()?;
        }
        for (number, op) in ops.iter().enumerate() {
            self.step(op).map_err(|fault| format!("step {number}, {op:?}: {fault}"))?;
        }
        self.crash(7, 0, None)?;
        self.settle_down()
    }

    /// Forward progress: what nobody needs goes, and after a clean stop there is nothing to replay.
    fn settle_down(&mut self) -> Outcome {
        self.disk.set_free(None);
        self.seen = None;
        for blob in 0..BLOBS {
            if self.delete(chunk_key(blob, 0), true) {
                return Err("a delete failed on a disk without a fault".to_owned());
            }
        }
        for number in 0..GROUPS.len() {
            if self.remove_group(number) {
                return Err("a group could not be removed".to_owned());
            }
        }
        // Twice: what compaction writes may only then be let go.
        for _ in 0..2 {
            let key = chunk_key(0, 0);
            for _ in 0..3 {
                self.put(key, 8000, true)?;
            }
            self.delete(key, true);
            let mut steps = 0;
            while wait(self.engine().compact_step()).map_err(|error| error.to_string())? > 0 {
                steps += 1;
                if steps > 200 {
                    return Err("compaction does not end".to_owned());
                }
            }
        }
        self.check()?;
        let usage = self.engine().usage();
        if (usage.chunks, usage.inline_bodies) != (0, 0) || usage.extents > 4 {
            return Err(format!("space does not come back: {usage:?}"));
        }
        self.engine().close();
        self.engine = None;
        let (engine, report) = self.open_engine()?;
        self.engine = Some(engine);
        if report.replayed > 1 || report.index_rebuilt || report.cut_bytes > 0 {
            return Err(format!("something is pending after a clean stop: {report:?}"));
        }
        self.check()
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
            Op::Together { seed, count, checkpoint } => self.together(seed, count, checkpoint)?,
            Op::Fuse { changes, kill } => {
                self.disk.set_fuse(Some(changes));
                self.fuse_kills = kill;
                false
            }
            Op::Space { extents } => {
                self.disk.set_free(extents.map(|count| count * super::EXTENT_BYTES));
                false
            }
            Op::View { group } => {
                self.look()?;
                self.view(group)?;
                false
            }
            Op::Crash { seed, index_seed, fuse } => return self.crash(seed, index_seed, fuse),
            Op::Kill => {
                self.note_durable();
                self.seen = None;
                self.engine = None;
                self.index.crash(self.serial);
                return self.revive(3);
            }
            Op::Close => {
                self.note_durable();
                self.seen = None;
                self.engine().close();
                let failed = self.engine().failure();
                self.engine = None;
                if failed {
                    return self.crash(11, 0, None);
                }
                return self.revive(5);
            }
            Op::LoseIndex { fuse } => {
                self.seen = None;
                self.engine = None;
                self.index.wipe();
                if fuse.is_some() {
                    self.disk.set_fuse(fuse);
                }
                return self.revive_without_index();
            }
        };
        match failed {
            true if self.fuse_kills => self.killed(),
            true => self.crash(self.serial * 31, self.serial, None),
            false => self.check(),
        }
    }

    /// The process died: the disk's cache is as it was, the index has what it had flushed, or more.
    fn killed(&mut self) -> Outcome {
        self.note_durable();
        self.disk.set_fuse(Some(0));
        self.seen = None;
        self.engine = None;
        self.disk.kill();
        self.index.crash(self.serial * 17);
        self.reopen(false)
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
                self.index.crash(self.serial);
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
        self.seen = None;
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
            // A removal without an answer may have happened.
            let durable = engine.group_state(GroupId(GROUPS[number])).durable_applied();
            state.durable = if state.removing { 0 } else { durable };
        }
    }

    fn reopen(&mut self, index_lost: bool) -> Outcome {
        let (engine, report) = self.open_engine()?;
        self.engine = Some(engine);
        if std::mem::replace(&mut self.formatted, true) && report.formatted {
            return Err("a folder that was formatted is formatted again".to_owned());
        }
        self.found(&report, index_lost)?;
        self.check()
    }

    fn open_engine(&self) -> Result<(Engine, OpenReport), String> {
        open(&self.disk, &self.index, self.config.clone()).map_err(|error| {
            let mut text = format!("open: {error}");
            if let EngineError::Io { source, .. } = error {
                text = format!("{text}: {source}");
            }
            text
        })
    }

    fn found(&mut self, report: &OpenReport, index_lost: bool) -> Outcome {
        if !report.damage.is_empty() {
            return Err(format!("a crash reads as damage: {:?}", report.damage));
        }
        if index_lost {
            // What the log has of votes and entries is still there; states are not, and their voters have to go.
            for (number, group) in GROUPS.into_iter().enumerate() {
                let lost = self.engine().group_state(GroupId(group)).status() == StateStatus::Lost;
                if lost {
                    self.check_group(number).map_err(|fault| format!("{fault}\n{}", self.log_of(group)))?;
                }
                if self.remove_group(number) {
                    // The states are as lost after the crash; on a full disk it would fail again.
                    self.disk.set_free(None);
                    self.disk.set_fuse(Some(0));
                    self.engine = None;
                    self.disk.crash(13);
                    self.index.crash(0);
                    return self.reopen(true);
                }
            }
        } else if report.index_rebuilt || !report.lost_groups.is_empty() {
            return Err(format!("a crash loses states: {report:?}"));
        }
        Ok(())
    }
}

impl Engine {
    fn failure(&self) -> bool {
        self.inner().failure().is_some()
    }
}
