//! A cluster in memory: slots, chunks, and switches to make them fail.

use crate::{ChunkPort, MetaPort, ObjectStore, PortError, PortFuture, StoreConfig};
use bytes::Bytes;
use parking_lot::Mutex;
use ringfort_core::{BlobId, HybridTime, Policy, SessionId, SlotId};
use ringfort_object_model::{MemorySlot, ObjectModel};
use ringfort_runtime::TaskGroup;
use ringfort_storage_api::StateModel;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// The first session in use; earlier ones have ended.
pub(super) const SESSION: SessionId = SessionId(7);

/// Slots and chunks of a cluster.
pub(super) struct MemoryCluster {
    slots: Mutex<HashMap<SlotId, MemorySlot>>,
    pub(super) chunks: Mutex<BTreeMap<(BlobId, u32), Bytes>>,
    clock: AtomicU64,
    /// Bytes read from chunks.
    pub(super) read_bytes: AtomicU64,
    /// Chunk writes fail as if the devices were full.
    pub(super) full: AtomicBool,
    /// Commands take effect but their answer is lost.
    pub(super) deaf: AtomicBool,
    /// So many commands until the process dies: no later one takes effect.
    pub(super) life: AtomicI64,
    session: AtomicU64,
}

impl Default for MemoryCluster {
    fn default() -> Self {
        Self {
            slots: Mutex::default(),
            chunks: Mutex::default(),
            clock: AtomicU64::new(0),
            read_bytes: AtomicU64::new(0),
            full: AtomicBool::new(false),
            deaf: AtomicBool::new(false),
            life: AtomicI64::new(i64::MAX),
            session: AtomicU64::new(SESSION.0),
        }
    }
}

impl MetaPort for MemoryCluster {
    fn execute(&self, slot: SlotId, command: Bytes, bodies: Vec<Bytes>) -> PortFuture<'_, Bytes> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            if self.life.fetch_sub(1, Ordering::Relaxed) <= 0 {
                return Err(PortError::Unavailable("the process died".to_owned()));
            }
            let mut slots = self.slots.lock();
            let stamp = HybridTime(self.clock.load(Ordering::Relaxed)).advance(ringfort_runtime::wall_us());
            self.clock.store(stamp.0, Ordering::Relaxed);
            let slot = slots.entry(slot).or_insert_with(|| MemorySlot::new(slot));
            let reply = slot.apply(&ObjectModel, stamp, &command, bodies);
            if self.deaf.load(Ordering::Relaxed) {
                return Err(PortError::Unavailable("the answer was lost".to_owned()));
            }
            Ok(reply.into())
        })
    }

    fn query(&self, slot: SlotId, query: Bytes) -> PortFuture<'_, (Bytes, Option<Bytes>)> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let mut slots = self.slots.lock();
            let slot = slots.entry(slot).or_insert_with(|| MemorySlot::new(slot));
            let answer = ObjectModel.query(slot, &query);
            let inline = answer.inline.map(|blob| slot.inline[&blob].clone());
            Ok((answer.reply.into(), inline))
        })
    }

    fn session(&self) -> SessionId {
        SessionId(self.session.load(Ordering::Relaxed))
    }

    fn has_ended(&self, session: SessionId) -> PortFuture<'_, bool> {
        Box::pin(async move { Ok(session < self.session()) })
    }
}

impl ChunkPort for MemoryCluster {
    fn write<'a>(&'a self, _: &'a Policy, blob: BlobId, number: u32, body: Vec<Bytes>) -> PortFuture<'a, ()> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            if self.full.load(Ordering::Relaxed) {
                return Err(PortError::NoSpace);
            }
            self.chunks.lock().insert((blob, number), body.concat().into());
            Ok(())
        })
    }

    fn read<'a>(
        &'a self,
        _: &'a Policy,
        blob: BlobId,
        number: u32,
        chunk_len: u32,
        range: Range<u32>,
    ) -> PortFuture<'a, Bytes> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let chunk = self.chunks.lock().get(&(blob, number)).cloned();
            let chunk = chunk.ok_or_else(|| PortError::Unavailable("no such chunk".to_owned()))?;
            assert_eq!(chunk.len(), chunk_len as usize);
            self.read_bytes.fetch_add(u64::from(range.end - range.start), Ordering::Relaxed);
            Ok(chunk.slice(range.start as usize..range.end as usize))
        })
    }

    fn delete<'a>(&'a self, _: &'a Policy, blob: BlobId) -> PortFuture<'a, ()> {
        Box::pin(async move {
            self.chunks.lock().retain(|(of, _), _| *of != blob);
            Ok(())
        })
    }
}

impl MemoryCluster {
    /// The process died, and another one takes its place.
    pub(super) fn restart(&self) {
        self.life.store(i64::MAX, Ordering::Relaxed);
        self.session.fetch_add(1, Ordering::Relaxed);
    }

    /// Records of all slots.
    pub(super) fn records(&self) -> usize {
        self.slots.lock().values().map(|slot| slot.records.len()).sum()
    }

    /// Inline bodies of all slots.
    pub(super) fn inline_bodies(&self) -> usize {
        self.slots.lock().values().map(|slot| slot.inline.len()).sum()
    }

    /// Slots that hold anything.
    pub(super) fn slots(&self) -> Vec<SlotId> {
        self.slots.lock().keys().copied().collect()
    }
}

/// A store over a cluster in memory, with small chunks.
pub(super) struct World {
    pub(super) cluster: Arc<MemoryCluster>,
    pub(super) store: ObjectStore,
    pub(super) tasks: TaskGroup,
}

pub(super) const INLINE: usize = 100;
pub(super) const CHUNK: usize = 1000;

pub(super) fn policy() -> Policy {
    let mut policy = Policy::new(0, "test", ringfort_core::Redundancy::Replicated(1));
    policy.inline_bytes_max = u32::try_from(INLINE).unwrap();
    policy.chunk_bytes = u32::try_from(CHUNK).unwrap();
    policy
}

pub(super) fn config() -> StoreConfig {
    StoreConfig {
        read_bytes: 4096,
        reconcile_pause: Duration::ZERO,
        collect_after: Duration::ZERO,
        lifecycle_pass: Duration::ZERO,
        ..StoreConfig::default()
    }
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(config())
    }

    pub(super) fn with(config: StoreConfig) -> Self {
        let (cluster, tasks) = (Arc::new(MemoryCluster::default()), TaskGroup::new());
        let store = ObjectStore::new(cluster.clone(), cluster.clone(), vec![policy()], tasks.clone(), config);
        Self { cluster, store, tasks }
    }

    /// The same cluster after the process died.
    pub(super) fn restarted(self, config: StoreConfig) -> Self {
        self.cluster.restart();
        let (cluster, tasks) = (self.cluster, TaskGroup::new());
        let store = ObjectStore::new(cluster.clone(), cluster.clone(), vec![policy()], tasks.clone(), config);
        Self { cluster, store, tasks }
    }

    /// Another store over the same cluster, as another process would have.
    pub(super) fn other_store(&self) -> ObjectStore {
        let cluster = &self.cluster;
        ObjectStore::new(cluster.clone(), cluster.clone(), vec![policy()], self.tasks.clone(), config())
    }

    /// Does what the reconcilers would: delivers, expires, deletes the chunks of condemned blobs.
    pub(super) async fn settle(&self) {
        self.tasks.stop().await;
        for slot in self.cluster.slots() {
            self.store.drop_stray_references(slot, &mut Default::default()).await.unwrap();
            self.store.reconcile(slot).await.unwrap();
        }
        for slot in self.cluster.slots() {
            loop {
                let condemned = self.store.condemned(slot, None, 1000).await.unwrap();
                if condemned.is_empty() {
                    break;
                }
                for blob in &condemned {
                    ChunkPort::delete(&*self.cluster, &policy(), blob.blob).await.unwrap();
                }
                let blobs: Vec<_> = condemned.iter().map(|blob| blob.blob).collect();
                self.store.collected(slot, &blobs).await.unwrap();
            }
        }
    }
}
