//! A disk that forgets what was not synced.
//!
//! What a crash leaves of unsynced writes is drawn anew: each sector of them is kept or not, by itself, so writes are
//! dropped, torn and reordered. Of unsynced changes of names any prefix is kept. A fuse makes the power fail after a number of
//! changes: every one after it fails, until [`SimDisk::crash`] brings the disk back. One named sync point can be left out.

#![allow(clippy::unwrap_used, reason = "only tests and fuzzing use it")]
#![cfg_attr(feature = "fuzzing", allow(dead_code, reason = "fuzzing needs only a part of it"))]

use super::{Disk, DiskFile, SyncPoint};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::Arc;

const SECTOR: usize = 512;

/// A small generator of its own, so that a seed means the same for ever.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}

#[derive(Clone, Default)]
struct Content {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// Sectors written since the last sync.
    dirty: std::collections::BTreeSet<usize>,
}

#[derive(Clone, Debug)]
enum NameOp {
    Create(String, u64),
    Rename(String, String),
    Remove(String),
}

#[derive(Default)]
struct State {
    files: BTreeMap<u64, Content>,
    next_file: u64,
    names: BTreeMap<String, u64>,
    synced_names: BTreeMap<String, u64>,
    unsynced: Vec<NameOp>,
    /// Changes until the power fails.
    fuse: Option<u64>,
    off: bool,
    ignored: Option<SyncPoint>,
    /// Bytes that all files together may have.
    capacity: u64,
    /// A sync that fails, as often as it is tried.
    failing: Option<SyncPoint>,
    /// Bytes of files that cannot be read.
    unreadable: Vec<(u64, std::ops::Range<u64>)>,
    syncs: BTreeMap<String, u64>,
    /// Incremented by a crash: handles of an earlier life are dead.
    life: u64,
}

impl State {
    fn free(&self) -> u64 {
        let used: u64 = self.names.values().map(|id| self.files[id].now.len() as u64).sum();
        self.capacity.saturating_sub(used)
    }
}

/// The disk; cloning shares it.
#[derive(Clone, Default)]
pub(crate) struct SimDisk(Arc<Mutex<State>>, Arc<Mutex<()>>);

struct SimFile {
    disk: SimDisk,
    id: u64,
    life: u64,
}

fn power() -> io::Error {
    io::Error::other("the power failed")
}

impl State {
    /// Counts a change; an error once the fuse has blown.
    fn change(&mut self) -> io::Result<()> {
        if self.off {
            return Err(power());
        }
        if let Some(fuse) = &mut self.fuse {
            if *fuse == 0 {
                self.off = true;
                return Err(power());
            }
            *fuse -= 1;
        }
        Ok(())
    }

    fn apply(names: &mut BTreeMap<String, u64>, op: &NameOp) {
        match op {
            NameOp::Create(name, file) => drop(names.insert(name.clone(), *file)),
            NameOp::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            NameOp::Remove(name) => drop(names.remove(name)),
        }
    }
}

impl SimDisk {
    pub(crate) fn new() -> Self {
        let disk = Self::default();
        disk.0.lock().capacity = 1 << 40;
        disk
    }

    /// Lets the power fail after `changes` more writes, syncs and name changes.
    pub(crate) fn set_fuse(&self, changes: Option<u64>) {
        self.0.lock().fuse = changes;
    }

    /// Leaves out one sync point from now on.
    pub(crate) fn ignore(&self, point: Option<SyncPoint>) {
        self.0.lock().ignored = point;
    }

    /// Leaves `bytes` of space; `None` gives more than any test needs.
    pub(crate) fn set_free(&self, bytes: Option<u64>) {
        let mut state = self.0.lock();
        state.capacity = 1 << 40;
        if let Some(bytes) = bytes {
            state.capacity = bytes + ((1 << 40) - state.free());
        }
    }

    /// Lets every sync of this kind fail, or none.
    pub(crate) fn fail_sync(&self, point: Option<SyncPoint>) {
        self.0.lock().failing = point;
    }

    /// Makes bytes of a file unreadable, until they are written anew.
    pub(crate) fn set_unreadable(&self, name: &str, range: std::ops::Range<u64>) {
        let mut state = self.0.lock();
        let id = state.names[name];
        state.unreadable.push((id, range));
    }

    /// Holds up every write of records until what is returned is dropped.
    pub(crate) fn stall(&self) -> parking_lot::MutexGuard<'_, ()> {
        self.1.lock()
    }

    /// How often a point was synced.
    pub(crate) fn syncs(&self, point: SyncPoint) -> u64 {
        self.0.lock().syncs.get(&format!("{point:?}")).copied().unwrap_or(0)
    }

    /// The power fails and comes back: of what was not synced only what `seed` says is there.
    pub(crate) fn crash(&self, seed: u64) {
        let mut state = self.0.lock();
        let state = &mut *state;
        let mut draw = Draw(seed);
        let kept = usize::try_from(draw.below(state.unsynced.len() as u64 + 1)).unwrap();
        let mut names = state.synced_names.clone();
        for op in state.unsynced.drain(..).take(kept) {
            State::apply(&mut names, &op);
        }
        (state.names, state.synced_names) = (names.clone(), names);
        for content in state.files.values_mut() {
            // Mostly some sectors, at times all or none.
            let mode = draw.below(4);
            for sector in std::mem::take(&mut content.dirty) {
                let keep = match mode {
                    0 => false,
                    1 => true,
                    _ => draw.below(2) == 0,
                };
                let (from, to) = (sector * SECTOR, ((sector + 1) * SECTOR).min(content.now.len()));
                if keep && from < to {
                    if content.synced.len() < to {
                        content.synced.resize(to, 0);
                    }
                    content.synced[from..to].copy_from_slice(&content.now[from..to]);
                }
            }
            content.now = content.synced.clone();
        }
        let named: std::collections::BTreeSet<u64> = state.names.values().copied().collect();
        state.files.retain(|id, _| named.contains(id));
        (state.fuse, state.off) = (None, false);
        state.life += 1;
    }

    /// The process is killed: what it wrote is still there, but what was not synced may yet be lost.
    pub(crate) fn kill(&self) {
        let mut state = self.0.lock();
        (state.fuse, state.off) = (None, false);
        state.life += 1;
    }

    /// Names and contents as they are, for tests that damage them.
    pub(crate) fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.0.lock();
        state.names.iter().map(|(name, id)| (name.clone(), state.files[id].now.clone())).collect()
    }

    /// A disk with these contents, all synced.
    pub(crate) fn with(contents: &BTreeMap<String, Vec<u8>>) -> Self {
        let disk = Self::new();
        {
            let mut state = disk.0.lock();
            for (name, bytes) in contents {
                let id = state.next_file;
                state.next_file += 1;
                state
                    .files
                    .insert(id, Content { now: bytes.clone(), synced: bytes.clone(), ..Content::default() });
                state.names.insert(name.clone(), id);
                state.synced_names.insert(name.clone(), id);
            }
        }
        disk
    }

    /// Flips a bit of a file, as it is and as it is synced.
    pub(crate) fn flip(&self, name: &str, bit: usize) {
        let mut state = self.0.lock();
        let id = state.names[name];
        let content = state.files.get_mut(&id).unwrap();
        content.now[bit / 8] ^= 1 << (bit % 8);
        if let Some(byte) = content.synced.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
        }
    }

    fn file(&self, id: u64, life: u64) -> Arc<dyn DiskFile> {
        Arc::new(SimFile { disk: self.clone(), id, life })
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().names.keys().cloned().collect())
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.0.lock();
        state.change()?;
        if state.free() < bytes {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let id = state.next_file;
        state.next_file += 1;
        let zeros = vec![0; usize::try_from(bytes).unwrap()];
        // Space that was set aside reads as zeros after a crash too.
        state.files.insert(id, Content { now: zeros.clone(), synced: zeros, ..Content::default() });
        let op = NameOp::Create(name.to_owned(), id);
        State::apply(&mut state.names, &op);
        state.unsynced.push(op);
        Ok(self.file(id, state.life))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.0.lock();
        let id = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.file(id, state.life))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change()?;
        if !state.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let op = NameOp::Rename(from.to_owned(), to.to_owned());
        State::apply(&mut state.names, &op);
        state.unsynced.push(op);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change()?;
        let op = NameOp::Remove(name.to_owned());
        State::apply(&mut state.names, &op);
        state.unsynced.push(op);
        Ok(())
    }

    fn sync_dir(&self, point: SyncPoint) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change()?;
        *state.syncs.entry(format!("{point:?}")).or_default() += 1;
        if state.failing == Some(point) {
            return Err(io::Error::other("input/output error"));
        }
        if state.ignored == Some(point) {
            return Ok(());
        }
        state.unsynced.clear();
        state.synced_names = state.names.clone();
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.0.lock().free())
    }
}

impl SimFile {
    fn content<T>(&self, change: bool, act: impl FnOnce(&mut Content) -> T) -> io::Result<T> {
        let mut state = self.disk.0.lock();
        if state.life != self.life {
            return Err(power());
        }
        if change {
            state.change()?;
        }
        state.files.get_mut(&self.id).map(act).ok_or_else(power)
    }
}

impl DiskFile for SimFile {
    fn write_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        // Not so a header: who writes it holds what others need to let go of extents.
        if offset > 0 {
            drop(self.disk.1.lock());
        }
        let from = usize::try_from(offset).unwrap();
        let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
        self.content(true, |content| {
            let to = from + bytes.len();
            if content.now.len() < to {
                content.now.resize(to, 0);
            }
            content.now[from..to].copy_from_slice(&bytes);
            content.dirty.extend(from / SECTOR..to.div_ceil(SECTOR));
        })
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let from = usize::try_from(offset).unwrap();
        let to = offset + buffer.len() as u64;
        let bad = |(id, range): &(u64, std::ops::Range<u64>)| {
            *id == self.id && range.start < to && offset < range.end
        };
        if self.disk.0.lock().unreadable.iter().any(bad) {
            return Err(io::Error::other("input/output error"));
        }
        self.content(false, |content| {
            let rest = content.now.get(from..).unwrap_or(&[]);
            let len = rest.len().min(buffer.len());
            buffer[..len].copy_from_slice(&rest[..len]);
            len
        })
    }

    fn try_read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
        let wanted = buffer.len();
        Ok(self.read_at(buffer, offset)? == wanted)
    }

    fn sync(&self, point: SyncPoint) -> io::Result<()> {
        let ignored = {
            let mut state = self.disk.0.lock();
            *state.syncs.entry(format!("{point:?}")).or_default() += 1;
            if state.failing == Some(point) {
                return Err(io::Error::other("input/output error"));
            }
            state.ignored == Some(point)
        };
        self.content(true, |content| {
            if !ignored {
                content.synced = content.now.clone();
                content.dirty.clear();
            }
        })
    }

    fn let_go(&self, _offset: u64, _bytes: u64) {}

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let len = usize::try_from(bytes).unwrap();
        // A cut is durable with the next sync; until then the sectors beyond may come back, which is what `synced` still has.
        self.content(true, |content| content.now.resize(len, 0))
    }

    fn len(&self) -> io::Result<u64> {
        self.content(false, |content| content.now.len() as u64)
    }
}
