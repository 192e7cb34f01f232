//! The object layer on a real storage node: engines, metadata groups and chunks on devices in temporary folders.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]

use bytes::Bytes;
use futures_util::{TryStreamExt, future, stream};
use ringfort_core::Policy;
use ringfort_object::{
    BodyError, BodyStream, CompleteOptions, CompletePart, CopyOptions, CreateContainer, DeleteOptions,
    ETagMatch, GetOptions, ListRequest, ObjectError, ObjectPath, ObjectStore, PartOptions, PutOptions,
    RangeSpec, StoreConfig, VersionListRequest, Versioning, WriteConditions,
};
use ringfort_object_model::ObjectModel;
use ringfort_runtime::TaskGroup;
use ringfort_storage_node::{DeviceConfig, NodeConfig, StorageNode};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const INLINE: usize = 4 << 10;
const CHUNK: usize = 64 << 10;

struct Rig {
    node: StorageNode,
    store: ObjectStore,
    tasks: TaskGroup,
}

impl Rig {
    async fn open(dir: &Path, devices: usize, policy: &str) -> Self {
        let limits = StoreConfig { collect_after: Duration::ZERO, ..StoreConfig::default() };
        Self::open_with(dir, devices, policy, limits).await
    }

    async fn open_with(dir: &Path, devices: usize, policy: &str, limits: StoreConfig) -> Self {
        let mut policy = Policy::new(0, policy, policy.parse().unwrap());
        policy.inline_bytes_max = u32::try_from(INLINE).unwrap();
        policy.chunk_bytes = u32::try_from(CHUNK).unwrap();
        let devices = (0..devices).map(|i| DeviceConfig::new(dir.join(format!("d{i}")))).collect();
        let mut config = NodeConfig::new(dir, devices, vec![policy]);
        config.index_memory_bytes = 16 << 20;
        config.extent_bytes = Some(4 << 20);
        config.reserve_bytes = Some(1 << 20);
        config.capacity_bytes = Some(256 << 20);
        config.ring_power = 6;
        config.reconcile.gc_every = Duration::from_millis(300);
        let node = StorageNode::open(config, Arc::new(ObjectModel::new())).await.unwrap();
        let tasks = TaskGroup::new();
        let (meta, chunks) = (Arc::new(node.meta()), Arc::new(node.chunks()));
        let store = ObjectStore::new(meta, chunks, node.policies(), tasks.clone(), limits);
        node.set_directory(Arc::new(store.clone()));
        Self { node, store, tasks }
    }

    async fn close(self) {
        self.tasks.stop().await;
        self.node.shutdown().await;
    }

    async fn make_box(&self) {
        self.store.create_container("acct", "box", CreateContainer::default()).await.unwrap();
    }

    async fn put(&self, key: &str, bytes: &[u8]) {
        self.store.put(&at(key), PutOptions::default(), body(bytes)).await.unwrap();
    }

    async fn get(&self, key: &str) -> Vec<u8> {
        self.read(key, GetOptions::default()).await
    }

    async fn read(&self, key: &str, options: GetOptions) -> Vec<u8> {
        let reader = self.store.get(&at(key), options).await.unwrap();
        let pieces: Vec<Bytes> = reader.body.try_collect().await.unwrap();
        pieces.concat()
    }

    /// Waits until no device holds a chunk.
    async fn eventually_no_chunks(&self) {
        for _ in 0..600 {
            let status = self.node.status().await;
            if status.devices.iter().all(|device| device.chunks == 0) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("chunks are left: {:?}", self.node.status().await.devices);
    }
}

fn at(key: &str) -> ObjectPath {
    ObjectPath::new("acct", "box", key)
}

fn body(bytes: &[u8]) -> BodyStream {
    let pieces: Vec<_> = bytes.chunks(10_007).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    Box::pin(stream::iter(pieces))
}

fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| (i as u64).wrapping_mul(2_654_435_761).to_le_bytes()[2] ^ seed).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_survive_a_restart() {
    for (devices, policy) in [(1, "replicated:1"), (4, "replicated:3"), (4, "erasure:2+2")] {
        let dir = tempfile::tempdir().unwrap();
        let rig = Rig::open(dir.path(), devices, policy).await;
        rig.make_box().await;
        let sizes = [0, 1, INLINE, INLINE + 1, CHUNK, CHUNK + 1, 5 * CHUNK + 3];
        for size in sizes {
            rig.put(&size.to_string(), &pattern(size, 1)).await;
        }
        rig.put("gone", &pattern(CHUNK, 2)).await;
        rig.store.delete(&at("gone"), DeleteOptions::default()).await.unwrap();
        rig.close().await;

        let rig = Rig::open(dir.path(), devices, policy).await;
        for size in sizes {
            assert!(rig.get(&size.to_string()).await == pattern(size, 1), "{policy} {size}");
        }
        let (start, end) = (CHUNK - 1, 4 * CHUNK + 1);
        let range = Some(RangeSpec::FromTo(start as u64, end as u64 - 1));
        let key = sizes[6].to_string();
        let part = rig.read(&key, GetOptions { range, ..GetOptions::default() }).await;
        assert!(part == pattern(sizes[6], 1)[start..end], "{policy}");
        let info = rig.store.container("acct", "box").await.unwrap();
        assert_eq!((info.objects, info.bytes), (7, sizes.iter().sum::<usize>() as u64));
        let page =
            rig.store.list("acct", "box", &ListRequest { limit: 100, ..Default::default() }).await.unwrap();
        assert_eq!(page.len(), 7);
        rig.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_a_hundred_creates_wins() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path(), 3, "replicated:3").await;
    rig.make_box().await;
    let conditions = WriteConditions { if_none_match: Some(ETagMatch::Any), ..WriteConditions::default() };
    let puts = (0..100_u8).map(|i| {
        let options = PutOptions { conditions: conditions.clone(), ..PutOptions::default() };
        let (store, bytes) = (rig.store.clone(), pattern(if i % 4 == 0 { 2 * CHUNK } else { 100 }, i));
        async move { store.put(&at("k"), options, body(&bytes)).await.map(|_| bytes) }
    });
    let ended = future::join_all(puts).await;
    let won: Vec<_> = ended.iter().filter_map(|put| put.as_ref().ok()).collect();
    assert_eq!(won.len(), 1);
    let lost = ended.iter().filter_map(|put| put.as_ref().err());
    assert!(
        lost.clone().all(|error| matches!(error, ObjectError::PreconditionFailed)),
        "{:?}",
        lost.collect::<Vec<_>>()
    );
    assert!(rig.get("k").await == *won[0]);
    rig.store.delete(&at("k"), DeleteOptions::default()).await.unwrap();
    rig.eventually_no_chunks().await;
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_or_aborted_leaves_no_chunks() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path(), 3, "replicated:2").await;
    rig.make_box().await;
    let pieces = vec![Ok(Bytes::from(pattern(5 * CHUNK, 1))), Err(BodyError::new("gone"))];
    let broken: BodyStream = Box::pin(stream::iter(pieces));
    let failed = rig.store.put(&at("k"), PutOptions::default(), broken).await;
    assert!(matches!(failed, Err(ObjectError::Body(_))));

    rig.put("a", &pattern(3 * CHUNK, 2)).await;
    rig.store.copy(&at("a"), None, &at("b"), CopyOptions::default()).await.unwrap();
    rig.store.create_container("acct", "far", CreateContainer::default()).await.unwrap();
    let far = ObjectPath::new("acct", "far", "c");
    rig.store.copy(&at("b"), None, &far, CopyOptions::default()).await.unwrap();
    for key in ["a", "b"] {
        rig.store.delete(&at(key), DeleteOptions::default()).await.unwrap();
    }
    let reader = rig.store.get(&far, GetOptions::default()).await.unwrap();
    let pieces: Vec<Bytes> = reader.body.try_collect().await.unwrap();
    assert!(pieces.concat() == pattern(3 * CHUNK, 2));

    let upload = rig.store.create_upload(&at("u"), Default::default()).await.unwrap();
    let mut parts = Vec::new();
    for number in 1..4_u32 {
        let bytes = pattern(CHUNK + 7, u8::try_from(number).unwrap());
        let part =
            rig.store.put_part(&at("u"), upload, number, PartOptions::default(), body(&bytes)).await.unwrap();
        parts.push(CompletePart { number, etag: part.etag });
    }
    parts.remove(1);
    let options = CompleteOptions { parts, ..CompleteOptions::default() };
    let done = rig.store.complete_upload(&at("u"), upload, options).await.unwrap();
    assert_eq!((done.size, done.etag.parts), (2 * (CHUNK as u64 + 7), 2));
    let expected = [pattern(CHUNK + 7, 1), pattern(CHUNK + 7, 3)].concat();
    assert!(rig.get("u").await == expected);

    rig.store.delete(&far, DeleteOptions::default()).await.unwrap();
    rig.store.delete(&at("u"), DeleteOptions::default()).await.unwrap();
    // The reference of the far copy is released by way of the outbox of its slot.
    for slot in 0..ringfort_core::SLOT_COUNT {
        rig.store.reconcile(ringfort_core::SlotId(slot)).await.unwrap();
    }
    rig.eventually_no_chunks().await;
    for name in ["box", "far"] {
        rig.store.delete_container("acct", name).await.unwrap();
    }
    rig.close().await;
}

/// A reference given up in one slot is released in the blob's home by the process that comes after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outbox_outlives_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let idle = StoreConfig { reconcile_pause: Duration::ZERO, ..StoreConfig::default() };
    let rig = Rig::open_with(dir.path(), 2, "replicated:2", idle).await;
    rig.make_box().await;
    let bytes = pattern(3 * CHUNK, 2);
    rig.put("a", &bytes).await;
    rig.store.create_container("acct", "far", CreateContainer::default()).await.unwrap();
    for key in ["b", "c"] {
        let far = ObjectPath::new("acct", "far", key);
        rig.store.copy(&at("a"), None, &far, CopyOptions::default()).await.unwrap();
    }
    rig.store.delete(&at("a"), DeleteOptions::default()).await.unwrap();
    rig.store.delete(&ObjectPath::new("acct", "far", "b"), DeleteOptions::default()).await.unwrap();
    rig.close().await;

    let rig = Rig::open(dir.path(), 2, "replicated:2").await;
    for _ in 0..2 {
        for slot in 0..ringfort_core::SLOT_COUNT {
            rig.store.reconcile(ringfort_core::SlotId(slot)).await.unwrap();
        }
    }
    let far = ObjectPath::new("acct", "far", "c");
    let reader = rig.store.get(&far, GetOptions::default()).await.unwrap();
    let pieces: Vec<Bytes> = reader.body.try_collect().await.unwrap();
    assert!(pieces.concat() == bytes, "one referrer is left");
    rig.store.delete(&far, DeleteOptions::default()).await.unwrap();
    for slot in 0..ringfort_core::SLOT_COUNT {
        rig.store.reconcile(ringfort_core::SlotId(slot)).await.unwrap();
    }
    rig.eventually_no_chunks().await;
    rig.close().await;
}

async fn shards(rig: &Rig) -> Vec<(String, u32)> {
    let query = ringfort_object_model::Query::Container { account: "acct", name: "box" }.encode();
    let slot = ringfort_object_model::account_slot("acct");
    let answer = rig.node.meta().query(slot, query.into()).await.unwrap();
    let payload = ringfort_object_model::decode_reply(&answer.reply).unwrap();
    ringfort_object_model::decode_container(payload).unwrap().unwrap().shards
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_container_is_split_while_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let limits = StoreConfig {
        collect_after: Duration::ZERO,
        shard_versions_max: 60,
        moved_keys: 16,
        ..StoreConfig::default()
    };
    let rig = Rig::open_with(dir.path(), 3, "replicated:2", limits).await;
    rig.make_box().await;
    let keys: Vec<_> = (0..300_usize).map(|i| format!("{:03}", i * 7 % 300)).collect();
    let size = |key: &str| if key.ends_with('0') { INLINE + 9 } else { 50 };
    let puts = keys.iter().map(|key| async { rig.put(key, &pattern(size(key), key.as_bytes()[2])).await });
    let _: Vec<()> =
        futures_util::StreamExt::collect(futures_util::StreamExt::buffer_unordered(stream::iter(puts), 8))
            .await;
    // A write is what has its shard looked at, so every shard must be written to.
    let mut again = keys.iter();
    while shards(&rig).await.len() <= 2 {
        let Some(key) = again.next() else { panic!("the container is split: {:?}", shards(&rig).await) };
        rig.put(key, &pattern(size(key), key.as_bytes()[2])).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    rig.close().await;

    // The move that was under way was cut off: what it took hold of is found by the look at every slot, here a quick one.
    let quick = StoreConfig {
        collect_after: Duration::ZERO,
        reconcile_slots: 512,
        reconcile_pause: Duration::from_millis(20),
        ..StoreConfig::default()
    };
    let rig = Rig::open_with(dir.path(), 3, "replicated:2", quick).await;
    let page =
        rig.store.list("acct", "box", &ListRequest { limit: 1000, ..Default::default() }).await.unwrap();
    assert_eq!((page.len(), page.truncated), (300, false));
    let info = rig.store.container("acct", "box").await.unwrap();
    let bytes: usize = keys.iter().map(|key| size(key)).sum();
    assert_eq!((info.objects, info.versions, info.bytes), (300, 300, bytes as u64));
    for key in &keys {
        assert!(rig.get(key).await == pattern(size(key), key.as_bytes()[2]), "{key}");
        rig.store.delete(&at(key), DeleteOptions::default()).await.unwrap();
    }
    rig.store.delete_container("acct", "box").await.unwrap();
    for slot in 0..ringfort_core::SLOT_COUNT {
        rig.store.reconcile(ringfort_core::SlotId(slot)).await.unwrap();
    }
    rig.eventually_no_chunks().await;
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_and_listings() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path(), 1, "replicated:1").await;
    rig.make_box().await;
    rig.store.set_versioning("acct", "box", Versioning::Enabled).await.unwrap();
    let keys: Vec<_> = (0..300).map(|i| format!("{:02}/{:03}", i % 20, i)).collect();
    for round in 0..2 {
        let puts = keys.iter().map(|key| rig.put(key, key.as_bytes()));
        future::join_all(puts).await;
        let info = rig.store.container("acct", "box").await.unwrap();
        assert_eq!((info.objects, info.versions), (300, 300 * (round + 1)));
    }
    for key in keys.iter().filter(|key| key.starts_with("00/")) {
        rig.store.delete(&at(key), DeleteOptions::default()).await.unwrap();
    }
    let mut request = ListRequest { limit: 7, delimiter: "/".into(), ..ListRequest::default() };
    let mut prefixes = 0;
    loop {
        let page = rig.store.list("acct", "box", &request).await.unwrap();
        prefixes += page.len();
        if !page.truncated {
            break;
        }
        request.marker = page.next_marker;
    }
    assert_eq!(prefixes, 19);
    let request = VersionListRequest { limit: 1000, ..VersionListRequest::default() };
    let page = rig.store.list_versions("acct", "box", &request).await.unwrap();
    assert_eq!((page.entries.len(), page.truncated), (615, false));
    rig.close().await;
}
