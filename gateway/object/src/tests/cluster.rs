//! A process over a cluster in memory, with small chunks.

use crate::memory::{MemoryCluster, policy};
use crate::{ChunkPort, ObjectStore, StoreConfig};
use ringfort_runtime::TaskGroup;
use std::sync::Arc;
use std::time::Duration;

/// A store over a cluster in memory, with small chunks.
pub(super) struct World {
    pub(super) cluster: Arc<MemoryCluster>,
    pub(super) store: ObjectStore,
    pub(super) tasks: TaskGroup,
}

pub(super) const INLINE: usize = crate::memory::INLINE as usize;
pub(super) const CHUNK: usize = crate::memory::CHUNK as usize;

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
        let tasks = TaskGroup::new();
        let (cluster, store) = MemoryCluster::store(config, &tasks);
        Self { cluster, store, tasks }
    }

    /// The same cluster after the process died.
    pub(super) fn restarted(self, config: StoreConfig) -> Self {
        self.cluster.restart();
        let (cluster, tasks) = (self.cluster, TaskGroup::new());
        let store = cluster.another_store(config, &tasks);
        Self { cluster, store, tasks }
    }

    /// Another store over the same cluster, as another process would have.
    pub(super) fn other_store(&self) -> ObjectStore {
        self.cluster.another_store(config(), &self.tasks)
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
