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

fn lock(dir: &Path) -> Result<std::fs::File, EngineError> {
    let file = std::fs::File::create(dir.join("LOCK")).map_err(EngineError::io("create the lock file"))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| EngineError::Locked)?;
    Ok(file)
}

fn header_fault(file: &str) -> impl Fn(file::HeaderFault) -> EngineError + '_ {
    move |fault| match fault {
        file::HeaderFault::Newer(found) => EngineError::NewerFormat { found, known: file::VERSION },
        file::HeaderFault::Bad(reason) => {
            EngineError::BadHeader { file: file.to_owned(), reason: reason.to_owned() }
        }
    }
}

/// The id of the log; formats the folder if it is empty.
fn format_of(disk: &dyn Disk, report: &mut OpenReport) -> Result<u64, EngineError> {
    let names = disk.list().map_err(EngineError::io("list the device folder"))?;
    if names.iter().any(|name| name == "FORMAT") {
        let mut bytes = vec![0; 64];
        let read = disk
            .open("FORMAT")
            .and_then(|file| file.read_at(&mut bytes, 0))
            .map_err(EngineError::io("read FORMAT"))?;
        return file::decode_format(&bytes[..read]).map_err(header_fault("FORMAT"));
    }
    if names.iter().any(|name| extents::id_of(name).is_some()) {
        let reason = "it is missing, but there are extents".to_owned();
        return Err(EngineError::BadHeader { file: "FORMAT".to_owned(), reason });
    }
    let mut id = [0; 8];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut id))
        .map_err(EngineError::io("read random bytes"))?;
    let log = u64::from_le_bytes(id);
    let io = || EngineError::io("format the device folder");
    let file = disk.create("FORMAT.new", 0).map_err(io())?;
    file.write_at(&[std::io::IoSlice::new(&file::encode_format(log))], 0).map_err(io())?;
    file.sync(SyncPoint::FormatFile).map_err(io())?;
    disk.rename("FORMAT.new", "FORMAT").map_err(io())?;
    disk.sync_dir(SyncPoint::FormatName).map_err(io())?;
    report.formatted = true;
    Ok(log)
}

fn load_extents(
    disk: &dyn Disk,
    extents: &Extents,
    log: u64,
    report: &mut OpenReport,
) -> Result<(), EngineError> {
    let names = disk.list().map_err(EngineError::io("list the device folder"))?;
    extents.drop_spare(&names).map_err(EngineError::io("drop the spare extent"))?;
    let mut ids: Vec<u64> = names.iter().filter_map(|name| extents::id_of(name)).collect();
    ids.sort_unstable();
    let newest = ids.last().copied();
    for id in ids {
        let name = extents::name(id);
        let io = || EngineError::io(format!("open extent {name}"));
        let file = disk.open(&name).map_err(io())?;
        let mut head = [0; file::EXTENT_HEADER_LEN as usize];
        file.read_at(&mut head, 0).map_err(io())?;
        match file::decode_extent(&head) {
            Ok((found, extent)) if found == log && extent == id => {}
            Err(file::HeaderFault::Newer(found)) => {
                return Err(EngineError::NewerFormat { found, known: file::VERSION });
            }
            _ => report.damage.push(Damage {
                extent: id,
                offset: 0,
                what: "bad extent header".to_owned(),
                group: None,
            }),
        }
        let size = file.len().map_err(io())?;
        extents.insert(id, Extent { file, size, used: file::EXTENT_HEADER_LEN, sealed: Some(id) != newest });
    }
    Ok(())
}

/// Opens the index, or throws it away when it is damaged or another log's.
fn open_index(
    path: &Path,
    config: &EngineConfig,
    log: u64,
    has_log: bool,
) -> Result<(Box<dyn Index>, bool), EngineError> {
    let mark = |index: &RocksIndex| {
        index.write(&[crate::index::IndexOp::Put(
            Family::Meta,
            keys::LOG_ID.to_vec(),
            log.to_le_bytes().to_vec(),
        )])
    };
    let existed = path.exists();
    if existed && !config.rebuild_index {
        match RocksIndex::open(path, &config.shared) {
            Ok(index) => {
                use crate::index::View;
                match index.get(Family::Meta, keys::LOG_ID) {
                    Ok(Some(id)) if id.as_ref() == log.to_le_bytes() => return Ok((Box::new(index), false)),
                    Ok(None) if !has_log => {
                        mark(&index)?;
                        return Ok((Box::new(index), false));
                    }
                    found => tracing::warn!(?found, "the index is not of this log"),
                }
            }
            Err(EngineError::IndexDamaged { reason }) => tracing::error!(reason, "the index is damaged"),
            Err(error) => return Err(error),
        }
    }
    if existed {
        std::fs::remove_dir_all(path).map_err(EngineError::io("remove the damaged index"))?;
    }
    let index = RocksIndex::open(path, &config.shared)?;
    mark(&index)?;
    Ok((Box::new(index), has_log))
}

/// Loads what the index holds and replays the rest.
fn load(inner: &Arc<Inner>, rebuilt: bool, report: &mut OpenReport) -> Result<Head, EngineError> {
    let start = Pos { extent: 0, offset: file::EXTENT_HEADER_LEN };
    let (mut from, mut raft_from) = (start, start);
    {
        let mut ledger = inner.ledger.lock();
        if let Some(bytes) = inner.index.get(Family::Meta, keys::COVERED)? {
            ledger.covered =
                keys::Covered::decode(&bytes).ok_or_else(|| bad_value("the covered position"))?;
            from = ledger.covered.pos;
        }
        if let Some(bytes) = inner.index.get(Family::Meta, keys::RAFT_FROM)? {
            raft_from = keys::decode_pos(&bytes).ok_or_else(|| bad_value("the raft position"))?;
        }
        let mut cursor = inner.index.cursor(Family::Meta, b"e", b"f");
        cursor.first();
        while let Some((key, value)) = cursor.item() {
            let id = key.get(1..9).and_then(|id| id.try_into().ok()).map(u64::from_be_bytes);
            let account = keys::Account::decode(value);
            let (Some(id), Some(account)) = (id, account) else { return Err(bad_value("an extent account")) };
            ledger.accounts.insert(id, account);
            cursor.next();
        }
        cursor.status()?;
    }
    load_groups(inner)?;
    for (id, extent) in inner.extents.all() {
        // Extents before the place covered are not walked again: how far they are used is known by their size.
        if id < from.min(raft_from).extent {
            let used = u32::try_from(extent.size).unwrap_or(u32::MAX);
            inner.extents.update(id, |extent| extent.used = used);
        }
    }
    let end = recover::replay(inner, from, raft_from, report)?;
    if rebuilt {
        for group in inner.all_groups() {
            let mut state = group.inner.lock();
            if state.is_present() {
                (state.lost, state.has_state, state.applied) = (true, false, 0);
            }
        }
    }
    let newest = inner.extents.last_id();
    let sealed = inner.extents.get(newest).is_none_or(|extent| {
        extent.sealed || u64::from(end.offset) + 4096 > extent.size || end.extent != newest
    });
    let next_sequence = inner.ledger.lock().covered.next_sequence.max(1);
    // Recovery goes on behind what it found, in the same extent if there is room.
    let (id, extent, offset) = if sealed {
        inner.extents.update(newest, |extent| extent.sealed = true);
        let extent = inner.extents.activate(newest + 1).map_err(EngineError::io("make an extent"))?;
        (newest + 1, extent.clone(), extent.used)
    } else {
        let extent = inner.extents.get(newest).expect("it is not sealed, so it is there");
        (newest, extent, end.offset)
    };
    Ok(Head { id, extent, offset, synced: offset, next_sequence })
}

fn load_groups(inner: &Arc<Inner>) -> Result<(), EngineError> {
    let mut cursor = inner.index.cursor(Family::Meta, b"g", b"h");
    cursor.first();
    while let Some((key, value)) = cursor.item() {
        let (Some(id), Some(record)) = (keys::group_of(key), keys::GroupRecord::decode(value)) else {
            return Err(bad_value("a group record"));
        };
        let group = inner.group(id);
        let mut state = group.inner.lock();
        (state.lost, state.has_state) = (record.lost, !record.lost);
        (state.applied, state.durable_applied) = (record.applied, record.applied);
        drop(state);
        cursor.next();
    }
    cursor.status()?;
    let mut cursor = inner.index.cursor(Family::Meta, b"r", b"s");
    cursor.first();
    while let Some((key, value)) = cursor.item() {
        let (Some(id), Some(table)) = (keys::group_of(key), crate::format::raft::RaftTable::decode(value))
        else {
            return Err(bad_value("a raft table"));
        };
        inner.group(id).inner.lock().restore(table);
        cursor.next();
    }
    cursor.status()
}

fn start_threads(inner: &Arc<Inner>, head: Head) -> Result<(), EngineError> {
    let (queue, requests) = unbounded();
    let (jobs, work) = bounded::<Job>(4096);
    *inner.queue.lock() = Some(queue);
    *inner.jobs.lock() = Some(jobs);
    let mut threads = Vec::new();
    let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(run)
            .map_err(EngineError::io("start a thread"))
    };
    let writer = Arc::clone(inner);
    threads.push(spawn("rf-writer", Box::new(move || committer::run(&writer, head, &requests)))?);
    for _ in 0..inner.config.worker_threads {
        let work = work.clone();
        threads.push(spawn("rf-worker", Box::new(move || work.iter().for_each(|job| job())))?);
    }
    if inner.config.background {
        let background = Arc::clone(inner);
        threads.push(spawn("rf-background", Box::new(move || run_background(&background)))?);
    }
    *inner.threads.lock() = threads;
    Ok(())
}

/// Checkpoints and compacts from time to time, and at once when an extent is full.
fn run_background(inner: &Arc<Inner>) {
    let mut checkpoint_at = Pos::default();
    let mut idle = Duration::ZERO;
    loop {
        {
            let mut woken = inner.background.0.lock();
            if !*woken {
                inner.background.1.wait_for(&mut woken, Duration::from_secs(1));
            }
            *woken = false;
        }
        if inner.failure().is_some() {
            return;
        }
        inner.measure_space();
        if let Err(error) = inner.extents.prepare_spare() {
            tracing::debug!(%error, "no spare extent");
        }
        idle += Duration::from_secs(1);
        let here = inner.ledger.lock().covered.pos;
        let grown = (here.extent - checkpoint_at.extent).saturating_mul(inner.config.extent_bytes);
        let due =
            grown >= inner.config.checkpoint_log_bytes || idle.as_secs() >= inner.config.checkpoint_secs;
        if !due || here == checkpoint_at {
            continue;
        }
        let outcome = inner.compact_step().and_then(|_| inner.checkpoint());
        if let Err(error) = outcome {
            tracing::warn!(%error, "background work on the device failed");
            if matches!(error, EngineError::IndexDamaged { .. } | EngineError::Index { .. }) {
                inner.fail(&error);
            }
        }
        (checkpoint_at, idle) = (here, Duration::ZERO);
    }
}
