//! A container's index in several shards: keys that move while clients write, movers that die, and what clients see of it.

use super::cluster::{CHUNK, World, config};
use super::{at, body, get, make_box, pattern, put, read};
use crate::{
    Attributes, BodyStream, CompleteOptions, CompletePart, CopyOptions, DeleteOptions, GetOptions, ListEntry,
    ListRequest, ObjectError, ObjectStore, PartOptions, PutOptions, StoreConfig, UploadId, UploadListRequest,
    VersionId, VersionListRequest, Versioning,
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Semaphore;

/// A shard gives keys away above this many versions.
const MOST: u64 = 8;

fn small_shards() -> StoreConfig {
    StoreConfig { shard_versions_max: MOST, moved_keys: 3, ..config() }
}

/// No split by itself, but small batches.
fn by_hand() -> StoreConfig {
    StoreConfig { moved_keys: 3, ..config() }
}

async fn names(world: &World, limit: u32, delimiter: &str) -> Vec<String> {
    let mut request = ListRequest { limit, delimiter: delimiter.to_owned(), ..ListRequest::default() };
    let mut seen = Vec::new();
    loop {
        let page = world.store.list("acct", "box", &request).await.unwrap();
        assert!(page.len() <= limit as usize);
        seen.extend(page.entries().map(|entry| match entry {
            ListEntry::Object(object) => object.key.to_owned(),
            ListEntry::CommonPrefix(prefix) => prefix.to_owned(),
        }));
        if !page.truncated {
            return seen;
        }
        request.marker = page.next_marker;
    }
}

async fn names_reverse(world: &World, limit: u32, delimiter: &str) -> Vec<String> {
    let delimiter = delimiter.to_owned();
    let mut request = ListRequest { limit, delimiter, reverse: true, ..ListRequest::default() };
    let mut seen = Vec::new();
    loop {
        let page = world.store.list("acct", "box", &request).await.unwrap();
        assert!(page.len() <= limit as usize);
        seen.extend(page.entries().map(|entry| match entry {
            ListEntry::Object(object) => object.key.to_owned(),
            ListEntry::CommonPrefix(prefix) => prefix.to_owned(),
        }));
        if !page.truncated {
            return seen;
        }
        request.marker = page.next_marker;
    }
}

#[tokio::test]
async fn listings_backward_over_many_shards() {
    let world = World::with(small_shards());
    make_box(&world.store).await;
    // The other store's record stays behind.
    let behind = World { store: world.other_store(), ..World::new() };
    assert!(names_reverse(&behind, 5, "").await.is_empty());
    for number in 0..60 {
        put(&world.store, &format!("{:02}/{}", number / 3, number % 3), b"x").await;
    }
    split_all(&world).await;
    assert!(shards(&world).await > 4);
    for world in [&world, &behind] {
        for delimiter in ["", "/"] {
            for limit in [1, 2, 7, 100] {
                let mut forward = names(world, limit, delimiter).await;
                forward.reverse();
                assert_eq!(names_reverse(world, limit, delimiter).await, forward, "{limit} {delimiter}");
                assert_eq!(forward.len(), if delimiter.is_empty() { 60 } else { 20 });
            }
        }
    }
}

async fn shards(world: &World) -> usize {
    world.store.fetch_record("acct", "box").await.unwrap().unwrap().shards.len()
}

/// Splits every shard that is too full, until none is.
async fn split_all(world: &World) {
    loop {
        let record = world.store.fetch_record("acct", "box").await.unwrap().unwrap();
        let mut full = None;
        for index in 0..record.shards.len() {
            let shard = record.shard(index);
            if world.store.root(shard).await.unwrap().versions > MOST {
                full = full.or(Some(shard));
            }
        }
        let Some(shard) = full else { return };
        world.store.split("acct", "box", shard).await.unwrap();
    }
}

#[tokio::test]
async fn clients_see_nothing_of_a_split() {
    let world = World::with(small_shards());
    make_box(&world.store).await;
    let split = AtomicBool::new(false);
    let writers = (0..4_u32).map(|writer| {
        let (store, split) = (world.store.clone(), &split);
        async move {
            let mut mine = BTreeMap::new();
            for round in 0.. {
                if round >= 120 && split.load(Ordering::Relaxed) {
                    break;
                }
                assert!(round < 1_000_000, "the container is split");
                let number = (round * 7 + writer) % 40;
                let key = format!("{:02}/{writer}", number);
                let bytes = pattern(if round % 5 == 0 { CHUNK + 7 } else { 9 }, round as u8);
                if round % 4 == 3 {
                    store.delete(&at(&key), DeleteOptions::default()).await.unwrap();
                    mine.remove(&key);
                } else {
                    put(&store, &key, &bytes).await;
                    mine.insert(key.clone(), bytes);
                }
                match (store.get(&at(&key), GetOptions::default()).await, mine.get(&key)) {
                    (Ok(reader), Some(bytes)) => assert!(read(reader).await == *bytes),
                    (Err(ObjectError::NoSuchKey), None) => {}
                    (got, _) => panic!("{key}: {:?}", got.map(|_| ())),
                }
            }
            mine
        }
    });
    let lister = async {
        loop {
            let seen = names(&world, 7, "").await;
            assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
            world.store.container("acct", "box").await.unwrap();
            if shards(&world).await > 4 {
                return split.store(true, Ordering::Relaxed);
            }
        }
    };
    let (written, ()) = tokio::join!(futures_util::future::join_all(writers), lister);
    let all: BTreeMap<_, _> = written.into_iter().flatten().collect();
    let quiet = world.store.inner.splitting.lock().await;
    assert_eq!(names(&world, 9, "").await, all.keys().cloned().collect::<Vec<_>>());
    let info = world.store.container("acct", "box").await.unwrap();
    assert_eq!((info.objects, info.bytes), (all.len() as u64, all.values().map(|b| b.len() as u64).sum()));
    for (key, bytes) in &all {
        assert!(get(&world.store, key).await == *bytes, "{key}");
        world.store.delete(&at(key), DeleteOptions::default()).await.unwrap();
    }
    world.store.delete_container("acct", "box").await.unwrap();
    drop(quiet);
    world.settle().await;
    assert_eq!((world.cluster.records(), world.cluster.inline_bodies()), (0, 0));
    assert!(world.cluster.chunks.lock().is_empty());
}

/// Everything a key can have, under twelve keys.
struct Filled {
    bodies: BTreeMap<String, Vec<u8>>,
    old: VersionId,
    upload: UploadId,
    part: CompletePart,
}

async fn fill(world: &World) -> Filled {
    let store = &world.store;
    make_box(store).await;
    store.set_versioning("acct", "box", Versioning::Enabled).await.unwrap();
    let mut bodies = BTreeMap::new();
    for number in 0..10_u8 {
        let (key, bytes) =
            (format!("k{number}"), pattern(if number % 2 == 0 { 20 } else { 2 * CHUNK }, number));
        put(store, &key, &bytes).await;
        bodies.insert(key, bytes);
    }
    let old = put(store, "k8", b"old").await.version;
    put(store, "k8", &bodies["k8"]).await;
    store.delete(&at("k91"), DeleteOptions::default()).await.unwrap();
    store.copy(&at("k7"), None, &at("k92"), CopyOptions::default()).await.unwrap();
    bodies.insert("k92".to_owned(), bodies["k7"].clone());
    let (upload, part, bytes) = begun(world, "k93").await;
    let options = CompleteOptions { parts: vec![part], ..CompleteOptions::default() };
    store.complete_upload(&at("k93"), upload, options).await.unwrap();
    bodies.insert("k93".to_owned(), bytes);
    let (upload, part, _) = begun(world, "k94").await;
    Filled { bodies, old, upload, part }
}

/// An upload with one part.
async fn begun(world: &World, key: &str) -> (UploadId, CompletePart, Vec<u8>) {
    let upload = world.store.create_upload(&at(key), Attributes::default()).await.unwrap();
    let bytes = pattern(CHUNK + 1, 93);
    let part = world.store.put_part(&at(key), upload, 1, PartOptions::default(), body(&bytes)).await.unwrap();
    (upload, CompletePart { number: 1, etag: part.etag }, bytes)
}

impl Filled {
    async fn check(&self, world: &World) {
        let store = &world.store;
        assert_eq!(names(world, 4, "").await, self.bodies.keys().cloned().collect::<Vec<_>>());
        for (key, bytes) in &self.bodies {
            assert!(get(store, key).await == *bytes, "{key}");
        }
        let version = GetOptions { version: Some(self.old), ..GetOptions::default() };
        assert_eq!(read(store.get(&at("k8"), version).await.unwrap()).await, b"old");
        let request = VersionListRequest { limit: 100, ..VersionListRequest::default() };
        let page = store.list_versions("acct", "box", &request).await.unwrap();
        assert_eq!((page.entries.len(), page.truncated), (self.bodies.len() + 3, false));
        let request = UploadListRequest { limit: 100, ..UploadListRequest::default() };
        assert_eq!(store.list_uploads("acct", "box", &request).await.unwrap().entries.len(), 1);
        let info = store.container("acct", "box").await.unwrap();
        let bytes: usize = self.bodies.values().map(Vec::len).sum::<usize>() + 20 + 3;
        assert_eq!((info.objects, info.versions), (self.bodies.len() as u64, self.bodies.len() as u64 + 3));
        assert_eq!(info.bytes, bytes as u64);
    }

    async fn remove(&self, world: World) {
        let store = &world.store;
        let options = CompleteOptions { parts: vec![self.part.clone()], ..CompleteOptions::default() };
        let done = store.complete_upload(&at("k94"), self.upload, options.clone()).await.unwrap();
        assert_eq!(store.complete_upload(&at("k94"), self.upload, options).await.unwrap(), done);
        let request = VersionListRequest { limit: 100, ..VersionListRequest::default() };
        for entry in store.list_versions("acct", "box", &request).await.unwrap().entries {
            let crate::VersionEntry::Version(listed) = entry else { panic!("{entry:?}") };
            let options = DeleteOptions { version: Some(listed.version), ..DeleteOptions::default() };
            assert!(store.delete(&at(&listed.key), options).await.unwrap().existed);
        }
        store.delete_container("acct", "box").await.unwrap();
        world.settle().await;
        assert_eq!((world.cluster.records(), world.cluster.inline_bodies()), (0, 0));
        assert!(world.cluster.chunks.lock().is_empty());
    }
}

#[tokio::test]
async fn a_mover_may_die_at_any_command() {
    let mut lived = false;
    for commands in 0..200 {
        let world = World::with(by_hand());
        let filled = fill(&world).await;
        let shard = world.store.home("acct", "box", "").await.unwrap().shard;
        let mover = splitter(&world);
        world.cluster.life.store(commands, Ordering::Relaxed);
        lived = mover.split("acct", "box", shard).await.is_ok();
        let world = world.restarted(by_hand());
        let kept = world.store.delete_container("acct", "box").await;
        assert!(matches!(kept, Err(ObjectError::ContainerNotEmpty)), "{commands}: {kept:?}");
        filled.check(&world).await;
        for (key, bytes) in &filled.bodies {
            // A hold that was left does not keep writers for ever.
            let done = put(&world.store, key, bytes).await;
            let options = DeleteOptions { version: Some(done.version), ..DeleteOptions::default() };
            world.store.delete(&at(key), options).await.unwrap();
        }
        let world = world.restarted(small_shards());
        split_all(&world).await;
        filled.check(&world).await;
        filled.remove(world).await;
        if lived {
            assert!(commands > 10, "{commands}");
            break;
        }
    }
    assert!(lived, "a split comes to an end");
}

/// A store over the same cluster that keeps shards small.
fn splitter(world: &World) -> ObjectStore {
    world.cluster.another_store(small_shards(), &world.tasks)
}

#[tokio::test]
async fn listings_go_over_all_shards() {
    let world = World::with(small_shards());
    make_box(&world.store).await;
    let keys: Vec<_> = (0..60).map(|i| format!("{:02}/{}", i / 7, i % 7)).collect();
    for key in &keys {
        put(&world.store, key, key.as_bytes()).await;
    }
    let quiet = world.store.inner.splitting.lock().await;
    split_all(&world).await;
    assert!(shards(&world).await > 5);
    let prefixes: Vec<_> = (0..9).map(|i| format!("{i:02}/")).collect();
    for limit in [1, 2, 7, 60, 1000] {
        assert_eq!(names(&world, limit, "").await, keys);
        assert_eq!(names(&world, limit, "/").await, prefixes);
    }
    let request = ListRequest { prefix: "04/".into(), limit: 1000, ..ListRequest::default() };
    let page = world.store.list("acct", "box", &request).await.unwrap();
    assert_eq!((page.len(), page.truncated), (7, false));
    let request = ListRequest { end_marker: "05/3".into(), limit: 1000, ..ListRequest::default() };
    let page = world.store.list("acct", "box", &request).await.unwrap();
    assert_eq!((page.len(), page.truncated), (38, false));
    drop(quiet);
}

#[tokio::test]
async fn a_stale_record_finds_its_way() {
    let world = World::with(by_hand());
    make_box(&world.store).await;
    let stale = world.other_store();
    let keys: Vec<_> = (0..20).map(|i| format!("k{i:02}")).collect();
    for key in &keys {
        put(&stale, key, key.as_bytes()).await;
    }
    let world = world.restarted(small_shards());
    split_all(&world).await;
    let page =
        stale.list("acct", "box", &ListRequest { limit: 100, ..ListRequest::default() }).await.unwrap();
    assert_eq!(page.len(), 20);
    assert_eq!(get(&stale, "k19").await, b"k19");
    put(&stale, "k18", b"new").await;
    assert_eq!(get(&world.store, "k18").await, b"new");
    let page =
        stale.list_versions("acct", "box", &VersionListRequest { limit: 100, ..Default::default() }).await;
    assert_eq!(page.unwrap().entries.len(), 20);
}

/// A body whose second half comes when it is told to.
fn halves(bytes: &[u8], go: Arc<Semaphore>) -> BodyStream {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let (first, second) = (Bytes::copy_from_slice(first), Bytes::copy_from_slice(second));
    let rest = async move {
        let _ = go.acquire().await;
        Ok(second)
    };
    Box::pin(stream::iter([Ok(first)]).chain(stream::once(rest)))
}

#[tokio::test]
async fn a_key_may_move_while_its_body_comes_in() {
    let world = World::with(by_hand());
    make_box(&world.store).await;
    for number in 0..20 {
        put(&world.store, &format!("k{number:02}"), b"x").await;
    }
    let upload = world.store.create_upload(&at("k18"), Attributes::default()).await.unwrap();
    let bytes = pattern(5 * CHUNK, 1);
    let (store, go) = (&world.store, Arc::new(Semaphore::new(0)));
    let (k17, k18) = (at("k17"), at("k18"));
    let write = store.put(&k17, PutOptions::default(), halves(&bytes, go.clone()));
    let part = store.put_part(&k18, upload, 1, PartOptions::default(), halves(&bytes, go.clone()));
    let split = async {
        while world.cluster.chunks.lock().len() < 4 {
            tokio::task::yield_now().await;
        }
        let shard = store.home("acct", "box", "").await.unwrap().shard;
        splitter(&world).split("acct", "box", shard).await.unwrap();
        go.add_permits(2);
    };
    let (written, part, ()) = tokio::join!(write, part, split);
    written.unwrap();
    let parts = vec![CompletePart { number: 1, etag: part.unwrap().etag }];
    assert!(get(store, "k17").await == bytes);
    let options = CompleteOptions { parts, ..CompleteOptions::default() };
    store.complete_upload(&at("k18"), upload, options).await.unwrap();
    assert!(get(store, "k18").await == bytes);
    for number in 0..20 {
        store.delete(&at(&format!("k{number:02}")), DeleteOptions::default()).await.unwrap();
    }
    store.delete_container("acct", "box").await.unwrap();
    world.settle().await;
    assert_eq!((world.cluster.records(), world.cluster.inline_bodies()), (0, 0));
    assert!(world.cluster.chunks.lock().is_empty());
}
