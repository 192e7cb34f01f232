//! Objects: round trips, ranges, conditions, copies.

use super::cluster::{CHUNK, INLINE, World};
use super::{at, body, broken, get, make_box, pattern, put, read};
use crate::{
    CopyOptions, DeleteOptions, ETag, ETagMatch, GetOptions, ListEntry, ListRequest, ObjectError, PutOptions,
    RangeSpec, ReadConditions, WriteConditions,
};
use md5::{Digest, Md5};
use std::sync::atomic::Ordering;

const SIZES: [usize; 12] = [
    0,
    1,
    INLINE - 1,
    INLINE,
    INLINE + 1,
    CHUNK - 1,
    CHUNK,
    CHUNK + 1,
    2 * CHUNK,
    5 * CHUNK + 7,
    20 * CHUNK,
    700_001,
];

#[tokio::test]
async fn bodies_of_all_sizes_come_back() {
    let world = World::new();
    make_box(&world.store).await;
    for size in SIZES {
        let bytes = pattern(size, 1);
        let key = size.to_string();
        let done = put(&world.store, &key, &bytes).await;
        assert_eq!(done.etag, ETag::of_md5(Md5::digest(&bytes).into()), "{size}");
        assert_eq!(done.size, size as u64);
        assert!(get(&world.store, &key).await == bytes, "{size}");
    }
    let info = world.store.container("acct", "box").await.unwrap();
    assert_eq!((info.objects, info.bytes), (SIZES.len() as u64, SIZES.iter().sum::<usize>() as u64));
}

#[tokio::test]
async fn ranges_read_only_their_chunks() {
    let world = World::new();
    make_box(&world.store).await;
    let bytes = pattern(10 * CHUNK + 10, 2);
    put(&world.store, "k", &bytes).await;
    for (range, expected) in [
        (RangeSpec::FromTo(0, 0), 0..1),
        (RangeSpec::FromTo(CHUNK as u64 - 1, CHUNK as u64), CHUNK - 1..CHUNK + 1),
        (RangeSpec::From(10 * CHUNK as u64), 10 * CHUNK..10 * CHUNK + 10),
        (RangeSpec::Suffix(3), 10 * CHUNK + 7..10 * CHUNK + 10),
        (RangeSpec::FromTo(5, u64::MAX), 5..10 * CHUNK + 10),
        (RangeSpec::Suffix(u64::MAX), 0..10 * CHUNK + 10),
    ] {
        let before = world.cluster.read_bytes.load(Ordering::Relaxed);
        let options = GetOptions { range: Some(range), ..GetOptions::default() };
        let reader = world.store.get(&at("k"), options).await.unwrap();
        assert_eq!(reader.info.range, expected.start as u64..expected.end as u64);
        let read_back = read(reader).await;
        assert!(read_back == bytes[expected.clone()], "{range:?}");
        let touched = world.cluster.read_bytes.load(Ordering::Relaxed) - before;
        assert_eq!(touched, expected.len() as u64, "{range:?}");
    }
    for range in [RangeSpec::From(10 * CHUNK as u64 + 10), RangeSpec::Suffix(0), RangeSpec::FromTo(9, 8)] {
        let options = GetOptions { range: Some(range), ..GetOptions::default() };
        let refused = world.store.get(&at("k"), options).await.unwrap_err();
        assert!(matches!(refused, ObjectError::RangeNotSatisfiable { size } if size == bytes.len() as u64));
    }
}

#[tokio::test]
async fn what_fails_on_its_way_in_leaves_nothing() {
    let world = World::new();
    make_box(&world.store).await;
    let records = world.cluster.records();
    let bytes = pattern(7 * CHUNK, 3);
    let refused = world.store.put(&at("k"), PutOptions::default(), broken(&bytes)).await.unwrap_err();
    assert!(matches!(refused, ObjectError::Body(_)));
    let wrong = PutOptions { md5: Some([0; 16]), ..PutOptions::default() };
    assert!(matches!(world.store.put(&at("k"), wrong, body(&bytes)).await, Err(ObjectError::Body(_))));
    let short = PutOptions { size: Some(bytes.len() as u64 + 1), ..PutOptions::default() };
    assert!(matches!(
        world.store.put(&at("k"), short, body(&bytes)).await,
        Err(ObjectError::BodyLength { .. })
    ));
    let long = PutOptions { size_max: Some(10), ..PutOptions::default() };
    assert!(matches!(
        world.store.put(&at("k"), long, body(&bytes)).await,
        Err(ObjectError::EntityTooLarge { .. })
    ));
    world.cluster.full.store(true, Ordering::Relaxed);
    let full = world.store.put(&at("k"), PutOptions::default(), body(&bytes)).await;
    assert!(matches!(full, Err(ObjectError::NoSpace)));
    world.tasks.stop().await;
    assert_eq!(world.cluster.records(), records);
    assert!(world.cluster.chunks.lock().is_empty());
    assert!(matches!(world.store.head(&at("k"), GetOptions::default()).await, Err(ObjectError::NoSuchKey)));
}

#[tokio::test]
async fn a_commit_of_unknown_outcome_keeps_its_chunks() {
    let world = World::new();
    make_box(&world.store).await;
    put(&world.store, "other", b"x").await;
    let bytes = pattern(3 * CHUNK, 4);
    world.cluster.deaf.store(true, Ordering::Relaxed);
    let lost = world.store.put(&at("k"), PutOptions::default(), body(&bytes)).await;
    assert!(matches!(lost, Err(ObjectError::Unavailable { .. })));
    world.cluster.deaf.store(false, Ordering::Relaxed);
    assert!(get(&world.store, "k").await == bytes);
}

#[tokio::test]
async fn only_one_of_many_creates_wins() {
    let world = World::new();
    make_box(&world.store).await;
    let conditions = WriteConditions { if_none_match: Some(ETagMatch::Any), ..WriteConditions::default() };
    let puts = (0..100_u8).map(|i| {
        let options = PutOptions { conditions: conditions.clone(), ..PutOptions::default() };
        let (store, bytes) = (world.store.clone(), pattern(if i % 2 == 0 { 10 } else { 3 * CHUNK }, i));
        async move { store.put(&at("k"), options, body(&bytes)).await.map(|done| (done, bytes)) }
    });
    let ended = futures_util::future::join_all(puts).await;
    let won: Vec<_> = ended.iter().filter_map(|put| put.as_ref().ok()).collect();
    assert_eq!(won.len(), 1);
    assert!(
        ended.iter().flat_map(|put| put.as_ref().err()).all(|e| matches!(e, ObjectError::PreconditionFailed))
    );
    assert!(get(&world.store, "k").await == won[0].1);
    world.settle().await;
    let chunks = world.cluster.chunks.lock().len();
    assert!(chunks == 0 || chunks == 3, "losers leave nothing: {chunks}");
}

#[tokio::test]
async fn conditions_of_reads_and_writes() {
    let world = World::new();
    make_box(&world.store).await;
    let first = put(&world.store, "k", b"one").await;
    let other = ETag::of_md5([9; 16]);
    let read = |conditions| GetOptions { conditions, ..GetOptions::default() };
    let one_of = |etag| Some(ETagMatch::OneOf(vec![etag]));
    let secs = first.modified.secs();
    for (conditions, expected) in [
        (ReadConditions { if_match: one_of(first.etag), ..Default::default() }, 200),
        (ReadConditions { if_match: one_of(other), ..Default::default() }, 412),
        (ReadConditions { if_none_match: one_of(first.etag), ..Default::default() }, 304),
        (ReadConditions { if_none_match: one_of(other), ..Default::default() }, 200),
        (ReadConditions { if_modified_since: Some(secs), ..Default::default() }, 304),
        (ReadConditions { if_modified_since: Some(secs - 1), ..Default::default() }, 200),
        (ReadConditions { if_unmodified_since: Some(secs - 1), ..Default::default() }, 412),
        (ReadConditions { if_unmodified_since: Some(secs), ..Default::default() }, 200),
        (
            ReadConditions {
                if_match: one_of(first.etag),
                if_unmodified_since: Some(0),
                if_none_match: one_of(other),
                if_modified_since: Some(u64::MAX),
            },
            200,
        ),
    ] {
        let got = match world.store.head(&at("k"), read(conditions.clone())).await {
            Ok(_) => 200,
            Err(ObjectError::NotModified { .. }) => 304,
            Err(ObjectError::PreconditionFailed) => 412,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(got, expected, "{conditions:?}");
    }
    let write = |if_match| PutOptions {
        conditions: WriteConditions { if_match, if_none_match: None },
        ..PutOptions::default()
    };
    assert!(matches!(
        world.store.put(&at("k"), write(one_of(other)), body(b"2")).await,
        Err(ObjectError::PreconditionFailed)
    ));
    world.store.put(&at("k"), write(one_of(first.etag)), body(b"2")).await.unwrap();
    assert!(matches!(
        world.store.put(&at("nothing"), write(one_of(first.etag)), body(b"2")).await,
        Err(ObjectError::NoSuchKey)
    ));
}

/// A key in a container of another slot.
async fn far_away(world: &World) -> crate::ObjectPath {
    let here = world.store.home("acct", "box", "").await.unwrap().shard.slot();
    for name in (0..10).map(|i| format!("far{i}")) {
        world.store.create_container("acct", &name, crate::CreateContainer::default()).await.unwrap();
        if world.store.home("acct", &name, "").await.unwrap().shard.slot() != here {
            return crate::ObjectPath::new("acct", name, "copy");
        }
    }
    panic!("all in one slot")
}

#[tokio::test]
async fn copies_share_their_chunks_until_the_last_one_goes() {
    let world = World::new();
    make_box(&world.store).await;
    let bytes = pattern(4 * CHUNK + 1, 5);
    put(&world.store, "small", b"inline").await;
    put(&world.store, "a", &bytes).await;
    let far = far_away(&world).await;
    let chunks = world.cluster.chunks.lock().len();
    let copy = |from, to| {
        let store = world.store.clone();
        async move { store.copy(&from, None, &to, CopyOptions::default()).await.unwrap() }
    };
    copy(at("a"), at("b")).await;
    copy(at("a"), far.clone()).await;
    copy(far.clone(), crate::ObjectPath::new("acct", &far.container, "copy 2")).await;
    copy(at("a"), at("a")).await;
    copy(at("small"), at("small copy")).await;
    assert_eq!(world.cluster.chunks.lock().len(), chunks, "large bodies are shared");
    assert_eq!(get(&world.store, "small copy").await, b"inline");
    for key in ["a", "b"] {
        world.store.delete(&at(key), DeleteOptions::default()).await.unwrap();
    }
    world.settle().await;
    let world = World { tasks: ringfort_runtime::TaskGroup::new(), ..world };
    assert!(read(world.store.get(&far, GetOptions::default()).await.unwrap()).await == bytes);
    world.store.delete(&far, DeleteOptions::default()).await.unwrap();
    let last = crate::ObjectPath::new("acct", &far.container, "copy 2");
    assert!(read(world.store.get(&last, GetOptions::default()).await.unwrap()).await == bytes);
    world.store.delete(&last, DeleteOptions::default()).await.unwrap();
    world.settle().await;
    assert!(world.cluster.chunks.lock().is_empty(), "the last one takes the chunks with it");
    assert_eq!(world.cluster.inline_bodies(), 2);
}

#[tokio::test]
async fn overwriting_and_deleting_frees_everything() {
    let world = World::new();
    make_box(&world.store).await;
    let records = world.cluster.records();
    for size in [10, 3 * CHUNK, 0, 2 * CHUNK, 50] {
        put(&world.store, "k", &pattern(size, 6)).await;
    }
    let done = world.store.delete(&at("k"), DeleteOptions::default()).await.unwrap();
    assert!(done.existed && !done.delete_marker && done.version.is_none());
    assert!(!world.store.delete(&at("k"), DeleteOptions::default()).await.unwrap().existed);
    world.settle().await;
    assert_eq!(world.cluster.records(), records);
    assert_eq!((world.cluster.chunks.lock().len(), world.cluster.inline_bodies()), (0, 0));
}

#[tokio::test]
async fn pages_of_a_listing_fit_together() {
    let world = World::new();
    make_box(&world.store).await;
    let keys = ["a", "a/1", "a/2", "b", "b/x/1", "b/x/2", "b/y", "c", "d/", "e\u{10ffff}z"];
    for key in keys {
        put(&world.store, key, key.as_bytes()).await;
    }
    for limit in 1..=u32::try_from(keys.len()).unwrap() + 1 {
        for (delimiter, expected) in
            [("", &keys[..]), ("/", &["a", "a/", "b", "b/", "c", "d/", "e\u{10ffff}z"])]
        {
            let mut request =
                ListRequest { limit, delimiter: delimiter.to_owned(), ..ListRequest::default() };
            let mut seen = Vec::new();
            loop {
                let page = world.store.list("acct", "box", &request).await.unwrap();
                assert!(page.len() <= limit as usize);
                seen.extend(page.entries().map(|entry| match entry {
                    ListEntry::Object(object) => object.key.to_owned(),
                    ListEntry::CommonPrefix(prefix) => prefix.to_owned(),
                }));
                if !page.truncated {
                    break;
                }
                assert_eq!(page.len(), limit as usize);
                request.marker = page.next_marker;
            }
            assert_eq!(seen, expected, "limit {limit}, delimiter {delimiter}");
        }
    }
    let request =
        ListRequest { limit: 10, prefix: "b/".to_owned(), delimiter: "/".to_owned(), ..Default::default() };
    let page = world.store.list("acct", "box", &request).await.unwrap();
    assert_eq!(page.entries().next(), Some(ListEntry::CommonPrefix("b/x/")));
    assert_eq!(page.len(), 2);
}

#[tokio::test]
async fn expired_objects_go() {
    let world = World::new();
    make_box(&world.store).await;
    let now = ringfort_runtime::wall_us() / 1_000_000;
    for (key, expires_at) in [("gone", now - 10), ("over", now - 1), ("stays", now + 1000)] {
        let attributes = crate::Attributes { expires_at: Some(expires_at), ..Default::default() };
        let options = PutOptions { attributes, ..PutOptions::default() };
        world.store.put(&at(key), options, body(&pattern(2 * CHUNK, 1))).await.unwrap();
    }
    assert!(matches!(
        world.store.head(&at("gone"), GetOptions::default()).await,
        Err(ObjectError::NoSuchKey)
    ));
    let request = ListRequest { limit: 10, ..ListRequest::default() };
    let page = world.store.list("acct", "box", &request).await.unwrap();
    assert!(matches!(page.entries().next(), Some(ListEntry::Object(object)) if object.key == "stays"));
    assert_eq!(page.len(), 1, "what has expired is not shown");
    let copy = world.store.copy(&at("gone"), None, &at("copy"), CopyOptions::default()).await;
    assert!(matches!(copy, Err(ObjectError::NoSuchKey)));
    let fresh = WriteConditions { if_none_match: Some(ETagMatch::Any), ..WriteConditions::default() };
    let options = PutOptions { conditions: fresh, ..PutOptions::default() };
    world.store.put(&at("over"), options, body(b"new")).await.unwrap();
    assert_eq!(world.store.container("acct", "box").await.unwrap().objects, 3);
    world.settle().await;
    let info = world.store.container("acct", "box").await.unwrap();
    assert_eq!((info.objects, info.bytes), (2, 2 * CHUNK as u64 + 3));
    assert_eq!(world.cluster.chunks.lock().len(), 2);
}

#[tokio::test]
async fn what_has_expired_keeps_no_container() {
    let world = World::new();
    make_box(&world.store).await;
    let attributes = crate::Attributes { expires_at: Some(1), ..Default::default() };
    let options = PutOptions { attributes, ..PutOptions::default() };
    world.store.put(&at("gone"), options.clone(), body(b"x")).await.unwrap();
    put(&world.store, "stays", b"x").await;
    let refused = world.store.delete_container("acct", "box").await;
    assert!(matches!(refused, Err(ObjectError::ContainerNotEmpty)));
    assert_eq!(world.store.container("acct", "box").await.unwrap().versions, 1);
    world.store.put(&at("gone"), options, body(b"x")).await.unwrap();
    world.store.delete(&at("stays"), Default::default()).await.unwrap();
    world.store.delete_container("acct", "box").await.unwrap();
}

#[tokio::test]
async fn any_number_of_expired_objects_goes_in_one_round() {
    let world = World::new();
    make_box(&world.store).await;
    let attributes = crate::Attributes { expires_at: Some(1), ..Default::default() };
    for number in 0..1200 {
        let options = PutOptions { attributes: attributes.clone(), ..PutOptions::default() };
        world.store.put(&at(&number.to_string()), options, body(b"x")).await.unwrap();
    }
    world.settle().await;
    assert_eq!(world.store.container("acct", "box").await.unwrap().versions, 0);
    assert_eq!(world.cluster.inline_bodies(), 0);
}

#[tokio::test]
async fn a_chunk_that_is_missing_is_no_missing_object() {
    let world = World::new();
    make_box(&world.store).await;
    let bytes = pattern(3 * CHUNK, 1);
    put(&world.store, "k", &bytes).await;
    let lost = {
        let mut chunks = world.cluster.chunks.lock();
        let name = *chunks.keys().nth(1).unwrap();
        (name, chunks.remove(&name).unwrap())
    };
    let reader = world.store.get(&at("k"), GetOptions::default()).await.unwrap();
    let ended: Vec<_> = futures_util::StreamExt::collect(reader.body).await;
    assert!(matches!(ended.last(), Some(Err(ObjectError::Unavailable { .. }))), "the body is cut, not ended");
    let second = GetOptions { range: Some(RangeSpec::From(CHUNK as u64 + 1)), ..GetOptions::default() };
    let missing = world.store.get(&at("k"), second).await;
    assert!(matches!(missing, Err(ObjectError::Unavailable { .. })));
    world.cluster.chunks.lock().insert(lost.0, lost.1);
    assert!(get(&world.store, "k").await == bytes);
}

/// With no share of the common budget left, bodies still pass, chunk by chunk.
#[tokio::test]
async fn bodies_pass_without_going_ahead() {
    let world = World::with(crate::StoreConfig { ahead_bytes_max: 0, ..super::cluster::config() });
    make_box(&world.store).await;
    let bytes = pattern(9 * CHUNK + 1, 3);
    let (first, second) = tokio::join!(put(&world.store, "a", &bytes), put(&world.store, "b", &bytes));
    assert_eq!(first.etag, second.etag);
    assert!(get(&world.store, "a").await == bytes);
}

#[tokio::test]
async fn references_of_copies_that_never_committed_are_dropped() {
    use ringfort_core::{BlobId, SessionId};
    use ringfort_object_model::Command;
    let world = World::new();
    make_box(&world.store).await;
    put(&world.store, "k", &pattern(3 * CHUNK, 1)).await;
    let far = far_away(&world).await;
    world.store.copy(&at("k"), None, &far, CopyOptions::default()).await.unwrap();
    let blob = world.cluster.chunks.lock().keys().next().unwrap().0;
    let other = world.store.home("acct", &far.container, "x").await.unwrap().shard.slot();
    let dead = BlobId::new(other, SessionId(3), 1);
    let young = BlobId::new(other, crate::memory::SESSION, u64::MAX);
    let add = Command::AddReferrers(vec![(blob, dead), (blob, young)]);
    world.store.execute(blob.home(), &add, Vec::new()).await.unwrap();
    let records = world.cluster.records();
    for _ in 0..2 {
        world.store.drop_stray_references(blob.home(), &mut Default::default()).await.unwrap();
        assert_eq!(world.cluster.records(), records - 1, "only the one of the ended session");
    }
    world.store.delete(&at("k"), DeleteOptions::default()).await.unwrap();
    world.settle().await;
    let world = World { tasks: ringfort_runtime::TaskGroup::new(), ..world };
    assert!(read(world.store.get(&far, GetOptions::default()).await.unwrap()).await == pattern(3 * CHUNK, 1));
}
