//! What the tests of a node share: a node on temporary folders, and a blob directory in memory.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use ringfort_core::{BlobId, HybridTime, Policy, SlotId};
use ringfort_storage_api::{InlineBody, QueryReply, SlotTx, SlotView, StateModel};
use ringfort_storage_client::{BlobDirectory, BlobHome, DirectoryError, OrphanVerdict};
use ringfort_storage_node::{DeviceConfig, NodeConfig, NodeError, NodeStatus, SafetyLevel, StorageNode};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// No model: these tests use the groups for the cluster's own records only.
struct NoModel;

impl StateModel for NoModel {
    fn apply(&self, _: &mut dyn SlotTx, _: HybridTime, _: &[u8], _: &[InlineBody]) -> Vec<u8> {
        Vec::new()
    }

    fn query(&self, _: &dyn SlotView, _: &[u8]) -> QueryReply {
        QueryReply::default()
    }
}

/// Home records in memory.
#[derive(Default)]
pub(crate) struct Directory {
    homes: Mutex<BTreeMap<BlobId, BlobHome>>,
    condemned: Mutex<BTreeSet<BlobId>>,
    held: AtomicBool,
}

impl Directory {
    pub(crate) fn condemned_count(&self) -> usize {
        self.condemned.lock().len()
    }

    /// Holds the reconcilers up: pages are not answered.
    pub(crate) fn hold_pages(&self, held: bool) {
        self.held.store(held, Ordering::Relaxed);
    }
}

fn after(slot: SlotId, after: Option<BlobId>) -> impl Fn(&&BlobId) -> bool {
    move |blob| blob.home() == slot && after.is_none_or(|after| **blob > after)
}

impl BlobDirectory for Directory {
    fn blobs(
        &self,
        slot: SlotId,
        from: Option<BlobId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<BlobHome>, DirectoryError>> {
        Box::pin(async move {
            while self.held.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            let homes = self.homes.lock();
            Ok(homes.keys().filter(after(slot, from)).take(limit).map(|blob| homes[blob]).collect())
        })
    }

    fn condemned(
        &self,
        slot: SlotId,
        from: Option<BlobId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<BlobId>, DirectoryError>> {
        let found = self.condemned.lock().iter().filter(after(slot, from)).take(limit).copied().collect();
        Box::pin(async move { Ok(found) })
    }

    fn confirm_deleted(&self, _: SlotId, blobs: Vec<BlobId>) -> BoxFuture<'_, Result<(), DirectoryError>> {
        self.condemned.lock().retain(|blob| !blobs.contains(blob));
        Box::pin(async { Ok(()) })
    }

    fn condemn_orphan(&self, blob: BlobId) -> BoxFuture<'_, Result<OrphanVerdict, DirectoryError>> {
        let known = self.homes.lock().contains_key(&blob) || !self.condemned.lock().insert(blob);
        Box::pin(async move { Ok(if known { OrphanVerdict::Known } else { OrphanVerdict::Condemned }) })
    }
}

pub(crate) fn node_config(data_dir: &Path, devices: Vec<DeviceConfig>, policies: &[&str]) -> NodeConfig {
    let policies =
        (0..).zip(policies).map(|(id, text)| Policy::new(id, text, text.parse().unwrap())).collect();
    let mut config = NodeConfig::new(data_dir, devices, policies);
    config.index_memory_bytes = 16 << 20;
    config.reserve_bytes = Some(0);
    config.extent_bytes = Some(1 << 20);
    config.ring_power = 6;
    config.reconcile.watch_every = Duration::from_millis(50);
    config.reconcile.gc_every = Duration::from_millis(100);
    config.reconcile.orphans_every = Duration::from_millis(200);
    config
}

pub(crate) async fn open(config: NodeConfig) -> Result<StorageNode, NodeError> {
    StorageNode::open(config, Arc::new(NoModel)).await
}

pub(crate) fn body(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// Waits until `condition` holds; fails when it takes unreasonably long.
pub(crate) async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    for _ in 0..600 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("never: {what}");
}

pub(crate) fn remove_contents(dir: &Path) {
    // The node may be making files at the same time.
    for _ in 0..50 {
        if std::fs::remove_dir_all(dir).is_ok() || !dir.exists() {
            break;
        }
    }
    std::fs::create_dir_all(dir).unwrap();
}

/// A node, and what was stored on it.
pub(crate) struct Rig {
    dir: tempfile::TempDir,
    config: NodeConfig,
    node: Option<StorageNode>,
    pub(crate) directory: Arc<Directory>,
    counter: u64,
}

impl Rig {
    pub(crate) async fn start(devices: u32, policies: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folders = (1..=devices).map(|n| DeviceConfig::new(dir.path().join(format!("dev{n}")))).collect();
        let config = node_config(dir.path(), folders, policies);
        let mut rig = Self { dir, config, node: None, directory: Arc::default(), counter: 0 };
        rig.reopen().await;
        rig
    }

    pub(crate) fn node(&self) -> &StorageNode {
        self.node.as_ref().expect("the node runs")
    }

    pub(crate) async fn try_open(&self) -> Result<StorageNode, NodeError> {
        open(self.config.clone()).await
    }

    pub(crate) async fn reopen(&mut self) {
        let node = self.try_open().await.unwrap();
        node.set_directory(Arc::clone(&self.directory) as Arc<dyn BlobDirectory>);
        self.node = Some(node);
    }

    pub(crate) async fn stop(&mut self) {
        if let Some(node) = self.node.take() {
            node.shutdown().await;
        }
    }

    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        let extra = self.new_path("extra");
        if extra.exists() && !self.config.devices.iter().any(|device| device.path == extra) {
            self.config.devices.push(DeviceConfig::new(extra));
        }
        self.reopen().await;
    }

    pub(crate) fn new_path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn device_path(&self, device: u32) -> PathBuf {
        self.dir.path().join(format!("dev{device}"))
    }

    fn next_blob(&mut self) -> BlobId {
        self.counter += 1;
        let slot = SlotId(u16::try_from(self.counter * 37 % 4096).unwrap());
        BlobId::new(slot, self.node().meta().session(), self.counter)
    }

    async fn write(&mut self, policy: u16, len: usize) -> BlobId {
        let blob = self.next_blob();
        let policy = self.node().policies()[usize::from(policy)].clone();
        let bytes = Bytes::from(body(blob.counter(), len));
        self.node().chunks().write_chunk(&policy, blob, 0, vec![bytes]).await.unwrap();
        blob
    }

    /// Writes and commits blobs of one chunk each.
    pub(crate) async fn write_some(&mut self, count: u64, policy: u16, len: usize) {
        for _ in 0..count {
            let blob = self.write(policy, len).await;
            let size = u64::try_from(len).unwrap();
            let home = BlobHome { blob, policy, chunk_bytes: 4 << 20, size };
            self.directory.homes.lock().insert(blob, home);
        }
    }

    pub(crate) async fn write_uncommitted(&mut self, count: u64, len: usize) {
        for _ in 0..count {
            self.write(0, len).await;
        }
    }

    pub(crate) async fn read_all(&self) {
        let homes: Vec<BlobHome> = self.directory.homes.lock().values().copied().collect();
        for home in homes {
            let policy = self.node().policies()[usize::from(home.policy)].clone();
            let len = home.chunk_len(0);
            let read = self.node().chunks().read_chunk(&policy, home.blob, 0, len, 0..len).await;
            let read = read.unwrap_or_else(|error| panic!("{error}"));
            assert!(read == body(home.blob.counter(), len as usize), "blob {}", home.blob);
        }
    }

    /// Condemns some blobs; returns their ids and lengths.
    pub(crate) fn condemn(&self, count: usize) -> Vec<(BlobId, u32)> {
        let mut homes = self.directory.homes.lock();
        let chosen: Vec<(BlobId, u32)> =
            homes.values().take(count).map(|home| (home.blob, home.chunk_len(0))).collect();
        for (blob, _) in &chosen {
            homes.remove(blob);
            self.directory.condemned.lock().insert(*blob);
        }
        chosen
    }

    /// Pieces with bytes on all devices in service.
    pub(crate) fn pieces(&self) -> usize {
        let cluster = self.node().chunks().view().load();
        let engines = cluster.devices().filter_map(|device| device.engine());
        engines.map(|engine| engine.list_chunks(None, 10_000).unwrap().len()).sum()
    }

    /// Flips a bit in the stored bytes of up to `count` blobs on a device; returns in how many.
    pub(crate) fn damage_on(&self, device: u32, count: usize) -> usize {
        let blobs: Vec<BlobId> = self.directory.homes.lock().keys().copied().collect();
        let mut files = Vec::new();
        let mut todo = vec![self.device_path(device)];
        while let Some(path) = todo.pop() {
            if path.is_dir() {
                todo.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else {
                files.push((std::fs::read(&path).unwrap(), path));
            }
        }
        let flip = |blob: &BlobId| {
            let needle = body(blob.counter(), 32);
            files.iter().any(|(bytes, path)| {
                let Some(at) = bytes.windows(32).position(|window| window == needle) else { return false };
                let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
                file.write_all_at(&[bytes[at + 5] ^ 1], u64::try_from(at).unwrap() + 5).unwrap();
                true
            })
        };
        blobs.iter().filter(|blob| flip(blob)).take(count).count()
    }

    /// Waits until the status is as wanted.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&NodeStatus) -> bool) {
        for _ in 0..600 {
            if wanted(&self.node().status().await) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("never: {what}: {:#?}", self.node().status().await);
    }

    pub(crate) async fn eventually_safe(&self) {
        self.until("safe", |status| status.safety.level == SafetyLevel::Safe).await;
    }
}
