//! The engine of one device.

use crate::committer::{self, After, Done, Head, Record, Request};
use crate::disk::{Disk, FileDisk, SyncPoint};
use crate::extents::{self, Extent, Extents};
use crate::format::chunk::{self, BLOCK, ChunkMeta};
use crate::format::{ChunkEntry, Kind, Pos, Target, Tomb, file};
use crate::group::Group;
use crate::index::tx::{Ledger, Tx, bad_value};
use crate::index::{Family, Index, RocksIndex, keys};
use crate::recover;
use crate::{
    ChunkInfo, Damage, EngineConfig, EngineError, GroupLog, GroupState, Health, IoClass, OpenReport, Usage,
};
use bytes::{Bytes, BytesMut};
use crossbeam_channel::{Sender, bounded, unbounded};
use parking_lot::{Condvar, Mutex};
use ringfort_core::{BlobId, ChunkKey, GroupId};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};

/// KiB of chunk bodies that may wait for the writer.
const QUEUE_KIB: u32 = 64 << 10;

mod open;

use open::{format_of, load, load_extents, lock, open_index, start_threads};

type Job = Box<dyn FnOnce() + Send>;

/// One device: its log, its index and the threads that own them. Cloning shares it.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: EngineConfig,
    pub(crate) log: u64,
    pub(crate) extents: Extents,
    pub(crate) index: Box<dyn Index>,
    pub(crate) ledger: Mutex<Ledger>,
    groups: Mutex<BTreeMap<GroupId, Arc<Group>>>,
    queue: Mutex<Option<Sender<Request>>>,
    jobs: Mutex<Option<Sender<Job>>>,
    space: Semaphore,
    health: Mutex<Health>,
    failure: Mutex<Option<EngineError>>,
    damage: Mutex<Vec<Damage>>,
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
    background: (Mutex<bool>, Condvar),
    pub(crate) tickets: AtomicU64,
    /// Snapshots alive: while there are any, no extent is freed.
    pub(crate) snapshots: AtomicU64,
    free_bytes: AtomicU64,
    /// Held while the folder is in use; let go by `close`, whoever still has a clone of the engine.
    lock: Mutex<Option<std::fs::File>>,
}

impl Inner {
    pub(crate) fn failure(&self) -> Option<EngineError> {
        self.failure.lock().clone()
    }

    /// Takes the device out of service for good.
    pub(crate) fn fail(&self, error: &EngineError) {
        let mut failure = self.failure.lock();
        if failure.is_some() {
            return;
        }
        *self.health.lock() = committer::failed(error);
        let reason = match committer::failed(error) {
            Health::Failed { reason } => reason,
            _ => Arc::from("failed"),
        };
        let error = match error {
            EngineError::IndexDamaged { .. } | EngineError::Closed => error.clone(),
            _ => EngineError::Failed { reason },
        };
        tracing::error!(%error, "the device leaves service");
        *failure = Some(error.clone());
        drop(failure);
        for group in self.all_groups() {
            group.inner.lock().stopped = Some(error.clone());
            group.wake();
        }
    }

    pub(crate) fn wake_background(&self) {
        *self.background.0.lock() = true;
        self.background.1.notify_all();
    }

    pub(crate) fn report_damage(&self, damage: Damage) {
        tracing::error!(?damage, "damage in the log");
        if let Some(group) = damage.group {
            self.group(group).inner.lock().lost = true;
        }
        self.damage.lock().push(damage);
    }

    pub(crate) fn group(&self, id: GroupId) -> Arc<Group> {
        Arc::clone(self.groups.lock().entry(id).or_insert_with(|| {
            let group = Group::new(id);
            group.inner.lock().stopped = self.failure.lock().clone();
            Arc::new(group)
        }))
    }

    pub(crate) fn all_groups(&self) -> Vec<Arc<Group>> {
        self.groups.lock().values().cloned().collect()
    }

    pub(crate) fn chunk_entry(&self, key: &ChunkKey) -> Result<Option<ChunkEntry>, EngineError> {
        let found = self.index.get(Family::Chunks, &key.encode())?;
        found.map(|value| ChunkEntry::decode(&value).ok_or_else(|| bad_value("a chunk entry"))).transpose()
    }

    pub(crate) fn chunks_of(&self, blob: BlobId) -> Result<Vec<(ChunkKey, ChunkEntry)>, EngineError> {
        let mut found = Vec::new();
        let prefix = blob.as_bytes();
        self.each_chunk(prefix, &keys::after_prefix(prefix), usize::MAX, &mut |key, entry| {
            found.push((key, entry))
        })?;
        Ok(found)
    }

    pub(crate) fn each_chunk(
        &self,
        from: &[u8],
        to: &[u8],
        limit: usize,
        visit: &mut dyn FnMut(ChunkKey, ChunkEntry),
    ) -> Result<(), EngineError> {
        let mut cursor = self.index.cursor(Family::Chunks, from, to);
        cursor.seek(from);
        for _ in 0..limit {
            let Some((key, value)) = cursor.item() else { break };
            let key = ChunkKey::decode(key).ok_or_else(|| bad_value("a chunk key"))?;
            visit(key, ChunkEntry::decode(value).ok_or_else(|| bad_value("a chunk entry"))?);
            cursor.next();
        }
        cursor.status()
    }

    pub(crate) fn tomb(&self, target: &Target) -> Result<Option<Tomb>, EngineError> {
        let found = self.index.get(Family::Meta, &keys::tomb(target))?;
        found.map(|value| Tomb::decode(&value).ok_or_else(|| bad_value("a tomb"))).transpose()
    }

    pub(crate) fn submit(&self, records: Vec<(Record, After)>, done: Done) {
        let bytes = records.iter().map(|(record, _)| record.header.footprint()).sum();
        self.send(Request::Write { records, bytes, done });
    }

    fn send(&self, request: Request) {
        let refused = match self.queue.lock().as_ref() {
            Some(queue) => queue.send(request).err().map(|error| error.0),
            None => Some(request),
        };
        if let Some(Request::Write { done, .. } | Request::Tables(done)) = refused {
            done(Err(self.failure().unwrap_or(EngineError::Closed)));
        }
    }

    pub(crate) fn submit_and_wait(&self, records: Vec<(Record, After)>) -> Result<(), EngineError> {
        let (tx, rx) = bounded(1);
        self.submit(records, Box::new(move |result| drop(tx.send(result))));
        rx.recv().unwrap_or(Err(EngineError::Closed))
    }

    /// Runs blocking work on the device's threads.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let (tx, rx) = oneshot::channel();
        let job: Job = Box::new(move || drop(tx.send(work())));
        let jobs = self.jobs.lock().clone().ok_or(EngineError::Closed)?;
        let sent = jobs.try_send(job);
        if sent.is_err() {
            return Err(EngineError::Busy);
        }
        rx.await.unwrap_or(Err(EngineError::Closed))
    }

    /// Refuses client data when the device is full.
    pub(crate) fn check_space(&self, bytes: u64, class: IoClass) -> Result<(), EngineError> {
        if let Some(error) = self.failure() {
            return Err(error);
        }
        let free = match self.config.capacity_bytes {
            Some(capacity) => capacity.saturating_sub(self.extents.bytes()),
            None => self.free_bytes.load(Ordering::Relaxed),
        };
        let keep = self.config.reserve_bytes.saturating_mul(if class == IoClass::Background { 2 } else { 1 });
        let full = free < keep.saturating_add(bytes);
        let mut health = self.health.lock();
        match (&*health, full) {
            (Health::InService, true) => *health = Health::Full,
            (Health::Full, false) if class == IoClass::Client => *health = Health::InService,
            _ => {}
        }
        if full { Err(EngineError::NoSpace) } else { Ok(()) }
    }

    fn measure_space(&self) {
        self.free_bytes.store(self.extents.free_bytes().unwrap_or(0), Ordering::Relaxed);
    }

    /// Bytes of an extent that something refers to.
    fn live(&self) -> BTreeMap<u64, (u64, u32)> {
        let mut live: BTreeMap<u64, (u64, u32)> = self
            .ledger
            .lock()
            .accounts
            .iter()
            .map(|(id, account)| (*id, (account.live, account.tombs)))
            .collect();
        for group in self.all_groups() {
            group.inner.lock().refers(|pos, bytes| live.entry(pos.extent).or_default().0 += bytes);
        }
        live
    }

    pub(crate) fn checkpoint(&self) -> Result<(), EngineError> {
        let before: Vec<_> = self
            .all_groups()
            .into_iter()
            .map(|group| (Arc::clone(&group), group.inner.lock().applied))
            .collect();
        let (tx, rx) = bounded(1);
        self.send(Request::Tables(Box::new(move |result| drop(tx.send(result)))));
        rx.recv().unwrap_or(Err(EngineError::Closed))?;
        // What is dead before the flush is dead in what the flush holds.
        let live = self.live();
        let newest = self.extents.last_id();
        self.index.flush()?;
        for (group, applied) in before {
            let mut state = group.inner.lock();
            state.durable_applied = state.durable_applied.max(applied);
        }
        if self.snapshots.load(Ordering::SeqCst) == 0 {
            for (id, extent) in self.extents.all() {
                let (bytes, tombs) = live.get(&id).copied().unwrap_or_default();
                if id != newest && extent.sealed && bytes == 0 && tombs == 0 {
                    self.free_extent(id)?;
                }
            }
        }
        self.measure_space();
        Ok(())
    }

    fn free_extent(&self, id: u64) -> Result<(), EngineError> {
        self.extents.free(id).map_err(EngineError::io("free an extent"))?;
        let mut released = Vec::new();
        {
            let mut cursor = self.index.cursor(Family::Meta, b"t", b"u");
            cursor.first();
            while let Some((key, value)) = cursor.item() {
                let tomb = Tomb::decode(value).ok_or_else(|| bad_value("a tomb"))?;
                if tomb.hidden.contains(&id)
                    && let Some(target) = Target::decode(&key[1..])
                {
                    released.push(target);
                }
                cursor.next();
            }
            cursor.status()?;
        }
        let mut tx = Tx::begin(self);
        for target in released {
            if let Some(mut tomb) = tx.tomb(target)? {
                tomb.hidden.retain(|extent| *extent != id);
                let keep = (!tomb.hidden.is_empty()).then_some(tomb);
                tx.set_tomb(target, keep)?;
            }
        }
        tx.forget_extent(id);
        tx.commit()
    }

    /// Moves what lives in the emptiest extent, if that frees at least half of it.
    pub(crate) fn compact_step(self: &Arc<Self>) -> Result<u64, EngineError> {
        let live = self.live();
        let newest = self.extents.last_id();
        let candidate = self
            .extents
            .all()
            .into_iter()
            .filter(|(id, extent)| *id != newest && extent.sealed)
            .map(|(id, extent)| (live.get(&id).map_or(0, |(bytes, _)| *bytes), id, extent))
            .filter(|(bytes, id, extent)| {
                let tombs = live.get(id).map_or(0, |(_, tombs)| *tombs);
                (*bytes > 0 || tombs > 0) && *bytes * 2 < u64::from(extent.used)
            })
            .min_by_key(|(bytes, id, _)| (*bytes, *id));
        let Some((bytes, id, extent)) = candidate else { return Ok(0) };
        crate::compact::relocate(self, id, &extent)?;
        Ok(u64::from(extent.used).saturating_sub(bytes))
    }

    /// Reads and verifies a range of a body.
    pub(crate) fn read_body(
        &self,
        key: &ChunkKey,
        entry: &ChunkEntry,
        range: Range<u32>,
        wait: bool,
    ) -> Result<Option<Bytes>, EngineError> {
        if range.start >= range.end {
            return Ok(Some(Bytes::new()));
        }
        let Some(extent) = self.extents.get(entry.extent) else {
            return Err(EngineError::ChunkNotFound { key: *key });
        };
        let first = range.start as usize / BLOCK;
        let last = (range.end as usize).div_ceil(BLOCK);
        let start = first * BLOCK;
        let end = (last * BLOCK).min(entry.body_len as usize);
        let io = || EngineError::io(format!("read extent {:016x}", entry.extent));
        let fill = |buffer: &mut [u8], at: u64| -> Result<bool, EngineError> {
            if wait {
                extent.file.read_at(buffer, at).map(|read| read == buffer.len()).map_err(io())
            } else {
                extent.file.try_read_at(buffer, at).map_err(io())
            }
        };
        let corrupt = |block: usize| EngineError::Corrupt {
            key: *key,
            extent: entry.extent,
            offset: entry.body_offset + u32::try_from(block * BLOCK).unwrap_or(0),
        };
        let mut buffer = BytesMut::zeroed(end - start);
        if !fill(&mut buffer, u64::from(entry.body_offset) + start as u64)? {
            return if wait { Err(corrupt(first)) } else { Ok(None) };
        }
        let table = if entry.table.is_empty() {
            let at =
                u64::from(entry.body_offset) - 4 * chunk::blocks(entry.body_len) as u64 + 4 * first as u64;
            let mut bytes = vec![0; 4 * (last - first)];
            if !fill(&mut bytes, at)? {
                return if wait { Err(corrupt(first)) } else { Ok(None) };
            }
            bytes.chunks_exact(4).map(|crc| u32::from_le_bytes([crc[0], crc[1], crc[2], crc[3]])).collect()
        } else {
            entry.table.get(first..last).map(<[u32]>::to_vec).ok_or_else(|| bad_value("a block table"))?
        };
        let seed = chunk::seed(key);
        for (i, block) in buffer.chunks(BLOCK).enumerate() {
            if table.get(i) != Some(&chunk::block_crc(seed, first + i, block)) {
                return Err(corrupt(first + i));
            }
        }
        let body = buffer.freeze().slice(range.start as usize - start..range.end as usize - start);
        Ok(Some(body))
    }
}

impl Engine {
    /// Opens the device folder `dir`, formatting it if it is empty. Blocks.
    pub fn open(dir: &Path, config: EngineConfig) -> Result<(Self, OpenReport), EngineError> {
        config.validate()?;
        let mut report = OpenReport::default();
        let log_dir = dir.join("log");
        let disk: Arc<dyn Disk> =
            Arc::new(FileDisk::open(&log_dir).map_err(EngineError::io("open the device folder"))?);
        let lock = lock(dir)?;
        let log = format_of(disk.as_ref(), &mut report)?;
        let extents = Extents::new(Arc::clone(&disk), log, config.extent_bytes);
        load_extents(disk.as_ref(), &extents, log, &mut report)?;
        let (index, rebuilt) = open_index(&dir.join("index"), &config, log, extents.last_id() > 0)?;
        report.index_rebuilt = rebuilt;
        let inner = Arc::new(Inner {
            log,
            extents,
            index,
            ledger: Mutex::default(),
            groups: Mutex::default(),
            queue: Mutex::new(None),
            jobs: Mutex::new(None),
            space: Semaphore::new(QUEUE_KIB as usize),
            health: Mutex::new(Health::InService),
            failure: Mutex::new(None),
            damage: Mutex::default(),
            threads: Mutex::default(),
            background: (Mutex::new(false), Condvar::new()),
            tickets: AtomicU64::new(1),
            snapshots: AtomicU64::new(0),
            free_bytes: AtomicU64::new(0),
            lock: Mutex::new(Some(lock)),
            config,
        });
        let head = load(&inner, rebuilt, &mut report)?;
        start_threads(&inner, head)?;
        inner.measure_space();
        report.damage = inner.damage.lock().clone();
        report.lost_groups =
            inner.all_groups().iter().filter(|group| group.inner.lock().lost).map(|group| group.id).collect();
        Ok((Self { inner }, report))
    }

    /// Stores a chunk; durable on return. The same key with the same content is fine, with other content a conflict.
    ///
    /// # Cancel safety
    ///
    /// A dropped call may or may not have stored the chunk.
    pub async fn put_chunk(
        &self,
        key: ChunkKey,
        body: Vec<Bytes>,
        class: IoClass,
    ) -> Result<(), EngineError> {
        self.store(key, body, class, false).await
    }

    /// Repair: stores a good copy of a chunk over a damaged one.
    pub async fn replace_chunk(&self, key: ChunkKey, body: Vec<Bytes>) -> Result<(), EngineError> {
        self.store(key, body, IoClass::Client, true).await
    }

    async fn store(
        &self,
        key: ChunkKey,
        body: Vec<Bytes>,
        class: IoClass,
        replace: bool,
    ) -> Result<(), EngineError> {
        let len: u64 = body.iter().map(|part| part.len() as u64).sum();
        let max = self.inner.config.extent_bytes / 2;
        let body_len =
            u32::try_from(len).ok().filter(|_| len <= max).ok_or(EngineError::TooLarge { len, max })?;
        self.inner.check_space(len, class)?;
        let kib = u32::try_from(len / 1024 + 1).unwrap_or(QUEUE_KIB).min(QUEUE_KIB);
        let _share = self.inner.space.acquire_many(kib).await.map_err(|_| EngineError::Closed)?;
        let inner = Arc::clone(&self.inner);
        let (blake3, table, body) = inner
            .work(move || Ok((chunk::blake3_of_pieces(&body), chunk::table_of_pieces(&key, &body), body)))
            .await?;
        let old = self.inner.chunk_entry(&key)?;
        let mut kind = Kind::Chunk;
        let mut group = None;
        match old.map(|old| old.owner) {
            Some(crate::format::Owner::Chunk(hash)) if !replace => {
                return if hash == blake3 { Ok(()) } else { Err(EngineError::Conflict { key }) };
            }
            Some(crate::format::Owner::Inline(id)) => {
                kind = Kind::Inline;
                group = Some(self.inner.group(id));
            }
            _ => {}
        }
        let meta = ChunkMeta { key, body_len, blake3: if group.is_some() { [0; 32] } else { blake3 } };
        let mut record = Record::body(kind, meta, &table, body);
        let after = match group {
            Some(group) => {
                record = record.of_group(&group, 0, 0);
                After::Inline { group, meta, table }
            }
            None => After::Chunk { meta, table, replace },
        };
        self.write(vec![(record, after)]).await
    }

    pub(crate) async fn write(&self, records: Vec<(Record, After)>) -> Result<(), EngineError> {
        let (tx, rx) = oneshot::channel();
        self.inner.submit(records, Box::new(move |result| drop(tx.send(result))));
        rx.await.unwrap_or(Err(EngineError::Closed))
    }

    /// Reads a range of a chunk or inline body; only the blocks it touches are read and verified.
    pub async fn read_chunk(&self, key: ChunkKey, range: Range<u32>) -> Result<Bytes, EngineError> {
        // A body may move between the look-up and the read: the second look-up finds its new place.
        for attempt in 0..3 {
            let entry = self.inner.chunk_entry(&key)?.ok_or(EngineError::ChunkNotFound { key })?;
            // An open end asks for the whole body.
            let range = if range == (0..u32::MAX) { 0..entry.body_len } else { range.clone() };
            if range.start > range.end || range.end > entry.body_len {
                return Err(EngineError::Range { from: range.start, to: range.end, len: entry.body_len });
            }
            match self.inner.read_body(&key, &entry, range.clone(), false) {
                Ok(Some(body)) => return Ok(body),
                Ok(None) => {}
                Err(EngineError::ChunkNotFound { .. }) if attempt < 2 => continue,
                Err(error) => return Err(error),
            }
            let inner = Arc::clone(&self.inner);
            let wait = Arc::clone(&self.inner);
            let found = inner.work(move || wait.read_body(&key, &entry, range, true)).await;
            match found {
                Err(EngineError::ChunkNotFound { .. }) if attempt < 2 => {}
                other => return Ok(other?.unwrap_or_default()),
            }
        }
        Err(EngineError::ChunkNotFound { key })
    }

    /// Reads a chunk in full and checks its blocks and its hash.
    pub async fn verify_chunk(&self, key: ChunkKey) -> Result<(), EngineError> {
        let body = self.read_chunk(key, 0..u32::MAX).await?;
        let Some(entry) = self.inner.chunk_entry(&key)? else { return Ok(()) };
        if let crate::format::Owner::Chunk(hash) = entry.owner {
            let actual = Arc::clone(&self.inner).work(move || Ok(chunk::blake3_of_pieces(&[body]))).await?;
            if actual != hash {
                return Err(EngineError::Corrupt { key, extent: entry.extent, offset: entry.body_offset });
            }
        }
        Ok(())
    }

    /// Deletes all chunks of a blob that were stored before; durable on return, idempotent.
    pub async fn delete_blob(&self, blob: BlobId) -> Result<(), EngineError> {
        self.delete(Target::Blob(blob)).await
    }

    /// Deletes one piece; durable on return, idempotent.
    pub async fn drop_chunk(&self, key: ChunkKey) -> Result<(), EngineError> {
        self.delete(Target::Piece(key)).await
    }

    async fn delete(&self, target: Target) -> Result<(), EngineError> {
        if self.inner.chunks_of(target.blob())?.is_empty() {
            return self.inner.failure().map_or(Ok(()), Err);
        }
        let record = Record::plain(Kind::Delete, vec![Bytes::from(target.encode())]);
        self.write(vec![(record, After::Delete(target))]).await
    }

    /// What the index knows of a chunk.
    pub fn chunk_info(&self, key: ChunkKey) -> Result<Option<ChunkInfo>, EngineError> {
        Ok(self.inner.chunk_entry(&key)?.map(|entry| info(&entry)))
    }

    /// Up to `limit` chunks after `after` in key order, inline bodies left out.
    pub fn list_chunks(
        &self,
        after: Option<ChunkKey>,
        limit: usize,
    ) -> Result<Vec<(ChunkKey, ChunkInfo)>, EngineError> {
        let mut from = after.map(|key| [key.encode().as_slice(), &[0]].concat()).unwrap_or_default();
        let mut found = Vec::new();
        loop {
            let mut seen = 0;
            let mut last = None;
            self.inner.each_chunk(&from, &[], 1024, &mut |key, entry| {
                seen += 1;
                last = Some(key);
                if !entry.is_inline() && found.len() < limit {
                    found.push((key, info(&entry)));
                }
            })?;
            match last {
                Some(key) if seen == 1024 && found.len() < limit => {
                    from = [key.encode().as_slice(), &[0]].concat()
                }
                _ => return Ok(found),
            }
        }
    }

    /// Space on the device.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let inner = &self.inner;
        let live_bytes = inner.live().values().map(|(bytes, _)| bytes).sum();
        let log_bytes = inner.extents.bytes();
        let free = inner.extents.free_bytes().unwrap_or(0);
        let free_bytes =
            inner.config.capacity_bytes.map_or(free, |capacity| capacity.saturating_sub(log_bytes).min(free));
        let written: u64 = inner.extents.all().iter().map(|(_, extent)| u64::from(extent.used)).sum();
        let covered = inner.ledger.lock().covered;
        Usage {
            capacity_bytes: log_bytes + free_bytes,
            log_bytes,
            live_bytes,
            dead_bytes: written.saturating_sub(live_bytes),
            free_bytes,
            reserve_bytes: inner.config.reserve_bytes,
            chunks: covered.chunks,
            inline_bodies: covered.inline_bodies,
            extents: inner.extents.count(),
        }
    }

    /// Whether the device serves.
    #[must_use]
    pub fn health(&self) -> Health {
        self.inner.health.lock().clone()
    }

    /// Flushes the index, which raises [`GroupState::durable_applied`] and frees extents that hold nothing.
    pub async fn checkpoint(&self) -> Result<(), EngineError> {
        let inner = Arc::clone(&self.inner);
        self.inner.work(move || inner.checkpoint()).await
    }

    /// Compacts one extent if one is worth it; answers the bytes freed or to be freed by the next checkpoint.
    pub async fn compact_step(&self) -> Result<u64, EngineError> {
        let inner = Arc::clone(&self.inner);
        self.inner.work(move || inner.compact_step()).await
    }

    /// Groups with a vote, entries or state here.
    #[must_use]
    pub fn groups(&self) -> Vec<GroupId> {
        let groups = self.inner.all_groups();
        groups.iter().filter(|group| group.inner.lock().is_present()).map(|group| group.id).collect()
    }

    /// The log of a group.
    #[must_use]
    pub fn group_log(&self, group: GroupId) -> GroupLog {
        GroupLog { engine: self.clone(), group: self.inner.group(group) }
    }

    /// The state of a group.
    #[must_use]
    pub fn group_state(&self, group: GroupId) -> GroupState {
        GroupState { engine: self.clone(), group: self.inner.group(group) }
    }

    /// Drops log, vote, state and inline bodies of a group whose voter left.
    pub async fn remove_group(&self, group: GroupId) -> Result<(), EngineError> {
        let group = self.inner.group(group);
        let inner = Arc::clone(&self.inner);
        let state = Arc::clone(&group);
        self.inner.work(move || crate::state::clear(&inner, &state, false)).await?;
        let record = Record::plain(Kind::RemoveGroup, Vec::new()).of_group(&group, 0, 0);
        self.write(vec![(record, After::RemoveGroup(group))]).await?;
        self.checkpoint().await
    }

    /// Stops the threads and flushes the index. Blocks. A clean stop has no path of its own at the next open.
    pub fn close(&self) {
        let result = self.inner.checkpoint();
        if let Err(error) = result {
            tracing::warn!(%error, "the index was not flushed");
        }
        self.inner.send(Request::Stop);
        *self.inner.queue.lock() = None;
        *self.inner.jobs.lock() = None;
        self.inner.fail(&EngineError::Closed);
        self.inner.wake_background();
        for thread in std::mem::take(&mut *self.inner.threads.lock()) {
            drop(thread.join());
        }
        *self.inner.lock.lock() = None;
    }
}

fn info(entry: &ChunkEntry) -> ChunkInfo {
    let blake3 = match entry.owner {
        crate::format::Owner::Chunk(hash) => hash,
        crate::format::Owner::Inline(_) => [0; 32],
    };
    ChunkInfo { len: entry.body_len, blake3 }
}
