//! The engine of one device: what its parts share, and the public handle.

use crate::cache::EntryCache;
use crate::extents::Extents;
use crate::format::{ChunkEntry, Target, Tomb};
use crate::group::Group;
use crate::index::tx::{Ledger, bad_value};
use crate::index::{Family, Index, keys};
use crate::queue::{Queue, Request};
use crate::workers::Workers;
use crate::{EngineConfig, EngineError, GroupLog, GroupState, Health, OpenReport, Usage};
use parking_lot::{Condvar, Mutex, RwLock};
use ringfort_core::{BlobId, ChunkKey, GroupId};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

/// Most bytes of bodies that wait to be written.
const BODY_BYTES_MAX: usize = 64 << 20;

/// What the parts of an engine share.
pub(crate) struct Inner {
    pub(crate) config: EngineConfig,
    /// Random id of the log.
    pub(crate) log: u64,
    pub(crate) extents: Extents,
    pub(crate) index: Box<dyn Index>,
    pub(crate) ledger: Mutex<Ledger>,
    pub(crate) queue: Queue,
    pub(crate) cache: EntryCache,
    pub(crate) groups: RwLock<BTreeMap<GroupId, Arc<Group>>>,
    pub(crate) tickets: AtomicU64,
    pub(crate) workers: OnceLock<Workers>,
    /// Permits for bytes of bodies in flight.
    pub(crate) body_bytes: tokio::sync::Semaphore,
    /// Views that need every extent to stay.
    pub(crate) pins: AtomicU64,
    /// Held by whoever flushes the index or moves records: one at a time.
    pub(crate) upkeep: Mutex<()>,
    /// Extents that compaction could not empty, and how often it tried: something in them is damaged.
    pub(crate) stuck: Mutex<BTreeMap<u64, u32>>,
    failed: OnceLock<Arc<str>>,
    full: AtomicBool,
    written: AtomicU64,
    pub(crate) stop: AtomicBool,
    background: Mutex<bool>,
    background_wake: Condvar,
    /// The folder's lock, held until the index above is closed too, which is when the last handle of the engine is gone.
    pub(crate) lock: Mutex<Option<std::fs::File>>,
}

impl Inner {
    pub(crate) fn new(config: EngineConfig, log: u64, extents: Extents, index: Box<dyn Index>) -> Self {
        Self {
            cache: EntryCache::new(config.entry_cache_bytes),
            config,
            log,
            extents,
            index,
            ledger: Mutex::default(),
            queue: Queue::default(),
            groups: RwLock::default(),
            tickets: AtomicU64::new(1),
            workers: OnceLock::new(),
            body_bytes: tokio::sync::Semaphore::new(BODY_BYTES_MAX),
            pins: AtomicU64::new(0),
            upkeep: Mutex::new(()),
            stuck: Mutex::default(),
            failed: OnceLock::new(),
            full: AtomicBool::new(false),
            written: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            background: Mutex::new(false),
            background_wake: Condvar::new(),
            lock: Mutex::new(None),
        }
    }

    /// Why the device is out of service, if it is.
    pub(crate) fn failure(&self) -> Option<EngineError> {
        self.failed.get().map(|reason| EngineError::Failed { reason: Arc::clone(reason) })
    }

    /// Takes the device out of service for good and answers everyone who waits.
    pub(crate) fn fail(&self, reason: String) {
        tracing::error!(reason, "the device has failed and leaves service");
        let reason: Arc<str> = reason.into();
        let error = EngineError::Failed { reason: Arc::clone(self.failed.get_or_init(|| reason)) };
        self.stop_waiters(&error);
        self.queue.fail(&error);
    }

    pub(crate) fn fail_with(&self, error: &EngineError) {
        if self.failed.get().is_some() {
            return;
        }
        let mut reason = error.to_string();
        if let EngineError::Io { source, .. } = error {
            reason = format!("{reason}: {source}");
        }
        self.fail(reason);
    }

    pub(crate) fn stop_waiters(&self, error: &EngineError) {
        for group in self.groups.read().values() {
            group.inner.lock().stopped.get_or_insert(error.clone());
            group.wake();
        }
    }

    /// Queues a request; one that is refused is answered at once.
    pub(crate) fn submit(&self, request: Request) {
        if let Err((request, error)) = self.queue.push(request) {
            request.finish(Err(self.failure().unwrap_or(error)));
        }
    }

    /// Queues a request made around a callback and waits for its answer.
    pub(crate) async fn request(
        &self,
        make: impl FnOnce(crate::queue::Done) -> Request,
    ) -> Result<(), EngineError> {
        let (answer, result) = tokio::sync::oneshot::channel();
        self.submit(make(Box::new(move |outcome| drop(answer.send(outcome)))));
        result.await.unwrap_or_else(|_| Err(self.failure().unwrap_or(EngineError::Closed)))
    }

    /// The same for a thread that may block.
    pub(crate) fn request_blocking(
        &self,
        make: impl FnOnce(crate::queue::Done) -> Request,
    ) -> Result<(), EngineError> {
        let (answer, result) = crossbeam_channel::bounded(1);
        self.submit(make(Box::new(move |outcome| drop(answer.send(outcome)))));
        result.recv().unwrap_or_else(|_| Err(self.failure().unwrap_or(EngineError::Closed)))
    }

    pub(crate) fn workers(&self) -> Result<&Workers, EngineError> {
        self.workers.get().ok_or(EngineError::Closed)
    }

    pub(crate) fn find_group(&self, group: GroupId) -> Option<Arc<Group>> {
        self.groups.read().get(&group).cloned()
    }

    /// The group, made if it is new.
    pub(crate) fn group(&self, id: GroupId) -> Arc<Group> {
        if let Some(group) = self.find_group(id) {
            return group;
        }
        let mut groups = self.groups.write();
        let group = groups.entry(id).or_insert_with(|| Arc::new(Group::new(id)));
        if let Some(error) = self.failure() {
            group.inner.lock().stopped.get_or_insert(error);
        }
        Arc::clone(group)
    }

    pub(crate) fn chunk_entry(&self, key: &ChunkKey) -> Result<Option<ChunkEntry>, EngineError> {
        let Some(value) = self.index.get(Family::Chunks, &key.encode())? else { return Ok(None) };
        ChunkEntry::decode(&value).map(Some).ok_or_else(|| bad_value("a chunk entry"))
    }

    pub(crate) fn tomb(&self, target: &Target) -> Result<Option<Tomb>, EngineError> {
        let Some(value) = self.index.get(Family::Meta, &keys::tomb(target))? else { return Ok(None) };
        Tomb::decode(&value).map(Some).ok_or_else(|| bad_value("a tomb"))
    }

    /// Entries of a blob, inline ones too.
    pub(crate) fn chunks_of(&self, blob: BlobId) -> Result<Vec<(ChunkKey, ChunkEntry)>, EngineError> {
        let mut out = Vec::new();
        let prefix = blob.as_bytes();
        let mut cursor = self.index.cursor(Family::Chunks, prefix, &keys::after_prefix(prefix));
        cursor.first();
        while let Some((key, value)) = cursor.item() {
            let key = ChunkKey::decode(key).ok_or_else(|| bad_value("a chunk key"))?;
            out.push((key, ChunkEntry::decode(value).ok_or_else(|| bad_value("a chunk entry"))?));
            cursor.next();
        }
        cursor.status()?;
        Ok(out)
    }

    /// Whether the index has chunks that a delete of `target` would remove.
    pub(crate) fn has_chunks(&self, target: &Target) -> Result<bool, EngineError> {
        Ok(match target {
            Target::Piece(key) => self.chunk_entry(key)?.is_some_and(|entry| !entry.is_inline()),
            Target::Blob(blob) => self.chunks_of(*blob)?.iter().any(|(_, entry)| !entry.is_inline()),
        })
    }

    /// Counts written bytes, so that the background thread knows when a checkpoint is due.
    pub(crate) fn note_written(&self, bytes: u64) {
        let before = self.written.fetch_add(bytes, Ordering::Relaxed);
        let limit = self.config.checkpoint_log_bytes;
        if before < limit && before + bytes >= limit {
            self.wake_background();
        }
    }

    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    pub(crate) fn reset_written(&self) {
        self.written.store(0, Ordering::Relaxed);
    }

    /// Whether anything was written since the last checkpoint.
    pub(crate) fn dirty(&self) -> bool {
        self.written() > 0
    }

    /// Whether an extent is being written, so that another will be wanted.
    pub(crate) fn last_extent_in_use(&self) -> bool {
        self.extents.all().last().is_some_and(|(_, extent)| !extent.sealed)
    }

    pub(crate) fn wake_background(&self) {
        *self.background.lock() = true;
        self.background_wake.notify_one();
    }

    /// Sleeps until woken or `limit` has passed.
    pub(crate) fn wait_background(&self, limit: std::time::Duration) {
        let mut woken = self.background.lock();
        if !*woken {
            self.background_wake.wait_for(&mut woken, limit);
        }
        *woken = false;
    }

    /// Bytes the log may still grow by before client writes are refused.
    pub(crate) fn client_room(&self) -> Result<u64, EngineError> {
        let disk =
            self.extents.free_bytes().map_err(EngineError::io("ask the file system for its free space"))?;
        let free = match self.config.capacity_bytes {
            Some(capacity) => disk.min(capacity.saturating_sub(self.extents.bytes())),
            None => disk,
        };
        Ok(free.saturating_sub(self.config.reserve_bytes))
    }

    /// Looks whether the device is full: whether one more extent would eat into the reserve.
    pub(crate) fn check_space(&self) {
        match self.client_room() {
            Ok(room) => self.full.store(room < self.extents.extent_bytes(), Ordering::Relaxed),
            Err(error) => tracing::warn!(%error, "free space is unknown"),
        }
    }

    pub(crate) fn set_full(&self) {
        self.full.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }
}

/// The threads of an engine and their end.
pub(crate) struct Handle {
    pub(crate) inner: Arc<Inner>,
    pub(crate) threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Handle {
    /// Stops the threads; what is queued is still done. The index is not flushed.
    pub(crate) fn stop(&self) {
        self.inner.stop.store(true, Ordering::Release);
        self.inner.queue.close(EngineError::Closed);
        self.inner.wake_background();
        if let Some(workers) = self.inner.workers.get() {
            workers.close();
        }
        let threads = std::mem::take(&mut *self.threads.lock());
        // The last handle may be dropped by a callback on one of these very threads, which the others may wait for: they end by
        // themselves then.
        let here = std::thread::current().id();
        if threads.iter().all(|thread| thread.thread().id() != here) {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("a thread of the engine panicked");
                }
            }
        }
        self.inner.stop_waiters(&EngineError::Closed);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One device: its log, its index and the threads that own them. Cloning shares it; dropping the last clone stops the threads
/// without flushing the index, which the next open makes up for by replay.
#[derive(Clone)]
pub struct Engine {
    pub(crate) handle: Arc<Handle>,
}

impl Engine {
    /// Opens the device folder `dir`, formatting it if it is empty. Blocks.
    pub fn open(dir: &Path, config: EngineConfig) -> Result<(Self, OpenReport), EngineError> {
        crate::open::open(dir, config)
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.handle.inner
    }

    /// Space on the device.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let inner = self.inner();
        let (live, covered) = {
            let ledger = inner.ledger.lock();
            (ledger.accounts.values().map(|account| account.live).sum::<u64>(), ledger.covered)
        };
        let mut raft = 0;
        for group in inner.groups.read().values() {
            group.inner.lock().refers(|_, bytes| raft += bytes);
        }
        let (log_bytes, used) = inner
            .extents
            .all()
            .iter()
            .fold((0, 0), |sum, (_, extent)| (sum.0 + extent.size, sum.1 + u64::from(extent.used)));
        let disk = inner.extents.free_bytes().unwrap_or(0);
        let free_bytes = match inner.config.capacity_bytes {
            Some(capacity) => disk.min(capacity.saturating_sub(log_bytes)),
            None => disk,
        };
        Usage {
            capacity_bytes: log_bytes + free_bytes,
            log_bytes,
            live_bytes: live + raft,
            dead_bytes: used.saturating_sub(live + raft),
            free_bytes,
            reserve_bytes: inner.config.reserve_bytes,
            chunks: covered.chunks,
            inline_bodies: covered.inline_bodies,
            extents: inner.extents.count(),
        }
    }

    /// Requests that wait for the device's writer, and their bytes.
    #[must_use]
    pub fn queue_depth(&self) -> (usize, usize) {
        self.inner().queue.depth()
    }

    /// Whether the device serves.
    #[must_use]
    pub fn health(&self) -> Health {
        let inner = self.inner();
        match inner.failure() {
            Some(EngineError::Failed { reason }) => Health::Failed { reason },
            _ if inner.is_full() => Health::Full,
            _ => Health::InService,
        }
    }

    /// Groups with a vote, entries or state here.
    #[must_use]
    pub fn groups(&self) -> Vec<GroupId> {
        let groups = self.inner().groups.read();
        groups.values().filter(|group| group.inner.lock().is_present()).map(|group| group.id).collect()
    }

    /// The log of a group.
    #[must_use]
    pub fn group_log(&self, group: GroupId) -> GroupLog {
        GroupLog { engine: self.clone(), shared: self.inner().group(group) }
    }

    /// The state of a group.
    #[must_use]
    pub fn group_state(&self, group: GroupId) -> GroupState {
        GroupState { engine: self.clone(), shared: self.inner().group(group) }
    }

    /// Drops log, vote, state and inline bodies of a group whose voter left; durable on return.
    pub async fn remove_group(&self, group: GroupId) -> Result<(), EngineError> {
        let group = self.inner().group(group);
        // From here to the end nothing else is taken for the group, so that there is no doubt which side of it that was.
        let begun = !std::mem::replace(&mut group.inner.lock().removing, true);
        let shared = Arc::clone(&group);
        let removed = self.inner().request(|done| Request::RemoveGroup { group, done }).await;
        if begun && removed.is_err() {
            shared.inner.lock().removing = false;
        }
        removed
    }

    /// Flushes the index, which raises [`GroupState::durable_applied`] and frees extents that hold nothing.
    pub async fn checkpoint(&self) -> Result<(), EngineError> {
        let inner = Arc::clone(self.inner());
        self.inner().workers()?.run(move || crate::checkpoint::run(&inner)).await
    }

    /// Compacts one extent if one is worth it, then makes a checkpoint; answers the bytes that this freed.
    pub async fn compact_step(&self) -> Result<u64, EngineError> {
        let inner = Arc::clone(self.inner());
        self.inner().workers()?.run(move || crate::compact::step(&inner, None)).await
    }

    /// Stops the threads and flushes the index; the folder can be opened again once every clone is dropped. Blocks.
    /// A clean stop has no path of its own at the next open: what is not flushed is replayed.
    pub fn close(&self) {
        self.handle.stop();
        if self.inner().failure().is_none()
            && let Err(error) = crate::checkpoint::run(self.inner())
        {
            tracing::warn!(%error, "the index was not flushed; the next open replays the log");
        }
    }
}
