//! Multipart uploads.

use super::cluster::{CHUNK, World};
use super::{at, body, broken, get, make_box, pattern, put, read};
use crate::{
    Attributes, CompleteOptions, CompletePart, CopyOptions, DeleteOptions, ETag, GetOptions, ObjectError,
    PartOptions, RangeSpec, UploadEntry, UploadId, UploadListRequest,
};
use md5::{Digest, Md5};

async fn part(world: &World, upload: UploadId, number: u32, bytes: &[u8]) -> CompletePart {
    let stored =
        world.store.put_part(&at("k"), upload, number, PartOptions::default(), body(bytes)).await.unwrap();
    CompletePart { number, etag: stored.etag }
}

fn complete(parts: &[CompletePart]) -> CompleteOptions {
    CompleteOptions { parts: parts.to_vec(), part_bytes_min: CHUNK as u64, ..CompleteOptions::default() }
}

#[tokio::test]
async fn parts_become_an_object() {
    let world = World::new();
    let store = &world.store;
    make_box(store).await;
    put(store, "k", &pattern(2 * CHUNK, 9)).await;
    let attributes = Attributes { content_type: Some("text/plain".into()), ..Attributes::default() };
    let upload = store.create_upload(&at("k"), attributes).await.unwrap();
    let sizes = [2 * CHUNK + 1, CHUNK, 3 * CHUNK, 5];
    let bodies: Vec<_> = sizes.iter().zip(0..).map(|(size, i)| pattern(*size, i)).collect();
    let mut parts = Vec::new();
    for (number, bytes) in (1..).step_by(2).zip(&bodies) {
        part(&world, upload, number, &pattern(7 * CHUNK, 99)).await;
        parts.push(part(&world, upload, number, bytes).await);
    }
    part(&world, upload, 100, &pattern(CHUNK, 3)).await;
    let failed = store.put_part(&at("k"), upload, 1, PartOptions::default(), broken(&[0; 5000])).await;
    assert!(matches!(failed, Err(ObjectError::Body(_))));
    let page = store.list_parts(&at("k"), upload, 1, 2).await.unwrap();
    assert_eq!((page.parts.iter().map(|p| p.number).collect::<Vec<_>>(), page.truncated), (vec![3, 5], true));

    let mut swapped = parts.clone();
    swapped.swap(0, 1);
    assert!(matches!(
        store.complete_upload(&at("k"), upload, complete(&swapped)).await,
        Err(ObjectError::InvalidPartOrder)
    ));
    let mut wrong = parts.clone();
    wrong[1].etag = ETag::of_md5([0; 16]);
    assert!(matches!(
        store.complete_upload(&at("k"), upload, complete(&wrong)).await,
        Err(ObjectError::InvalidPart { number: 3 })
    ));
    let large = CompleteOptions { part_bytes_min: CHUNK as u64 + 1, ..complete(&parts) };
    assert!(matches!(
        store.complete_upload(&at("k"), upload, large).await,
        Err(ObjectError::EntityTooSmall { number: 3, .. })
    ));
    let done = store.complete_upload(&at("k"), upload, complete(&parts)).await.unwrap();
    let again = store.complete_upload(&at("k"), upload, complete(&parts)).await.unwrap();
    assert_eq!(done, again, "a repeated completion gives the same answer");

    let whole = bodies.concat();
    let md5s: Vec<u8> = bodies.iter().flat_map(|bytes| Md5::digest(bytes).to_vec()).collect();
    assert_eq!(done.etag, ETag { md5: Md5::digest(&md5s).into(), parts: 4 });
    assert_eq!(done.size, whole.len() as u64);
    assert!(get(store, "k").await == whole);
    check_reads(&world, &whole, sizes[0], sizes[1]).await;

    store.copy(&at("k"), None, &at("copy"), CopyOptions::default()).await.unwrap();
    store.delete(&at("k"), DeleteOptions::default()).await.unwrap();
    assert!(get(store, "copy").await == whole);
    store.delete(&at("copy"), DeleteOptions::default()).await.unwrap();
    world.settle().await;
    assert!(world.cluster.chunks.lock().is_empty());
}

async fn check_reads(world: &World, whole: &[u8], first: usize, second: usize) {
    let info = world.store.head(&at("k"), GetOptions::default()).await.unwrap();
    assert_eq!((info.parts, info.attributes.content_type.as_deref()), (4, Some("text/plain")));
    let numbered = GetOptions { part_number: Some(3), ..GetOptions::default() };
    let reader = world.store.get(&at("k"), numbered).await.unwrap();
    assert_eq!(reader.info.range, first as u64..(first + second) as u64);
    assert!(read(reader).await == whole[first..first + second]);
    for (start, end) in
        [(0, 1), (first - 1, first + 1), (first + 5, whole.len()), (first + second, whole.len() - 5)]
    {
        let range = Some(RangeSpec::FromTo(start as u64, end as u64 - 1));
        let reader = world.store.get(&at("k"), GetOptions { range, ..GetOptions::default() }).await.unwrap();
        assert!(read(reader).await == whole[start..end], "{start}..{end}");
    }
    let missing = GetOptions { part_number: Some(2), ..GetOptions::default() };
    assert!(matches!(world.store.get(&at("k"), missing).await, Err(ObjectError::RangeNotSatisfiable { .. })));
}

#[tokio::test]
async fn an_aborted_upload_leaves_nothing() {
    let world = World::new();
    let store = &world.store;
    make_box(store).await;
    let records = world.cluster.records();
    let upload = store.create_upload(&at("k"), Attributes::default()).await.unwrap();
    part(&world, upload, 1, &pattern(3 * CHUNK, 1)).await;
    part(&world, upload, 2, &[]).await;
    store.abort_upload(&at("k"), upload).await.unwrap();
    assert!(matches!(store.abort_upload(&at("k"), upload).await, Err(ObjectError::NoSuchUpload)));
    let late = store.put_part(&at("k"), upload, 1, PartOptions::default(), body(b"1")).await;
    assert!(matches!(late, Err(ObjectError::NoSuchUpload)));
    world.settle().await;
    assert_eq!(world.cluster.records(), records);
    assert!(world.cluster.chunks.lock().is_empty());
}

/// Completing, aborting and uploading at once: one of the two endings wins, and nothing is left of what lost.
#[tokio::test]
async fn an_upload_ends_once() {
    let (mut completed, mut aborted) = (0, 0);
    for round in 0..40_u8 {
        let world = World::new();
        let store = &world.store;
        make_box(store).await;
        let upload = store.create_upload(&at("k"), Attributes::default()).await.unwrap();
        let (one, two) = (pattern(2 * CHUNK, round), pattern(2 * CHUNK, round ^ 0x55));
        let first = part(&world, upload, 1, &one).await;
        let wait = |turns: u8| async move {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        };
        let complete = async {
            wait(round % 13).await;
            store.complete_upload(&at("k"), upload, complete(std::slice::from_ref(&first))).await
        };
        let abort = async {
            wait(round % 7).await;
            store.abort_upload(&at("k"), upload).await
        };
        let path = at("k");
        let late = store.put_part(&path, upload, 1, PartOptions::default(), body(&two));
        let (done, gone, late) = tokio::join!(complete, abort, late);
        match (&done, &gone) {
            (Ok(_), Err(ObjectError::NoSuchUpload)) => {
                completed += 1;
                assert!(get(store, "k").await == one);
            }
            (Err(ObjectError::NoSuchUpload | ObjectError::InvalidPart { .. }), Ok(())) => {
                aborted += 1;
                assert!(matches!(
                    store.head(&at("k"), GetOptions::default()).await,
                    Err(ObjectError::NoSuchKey)
                ));
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(late, Ok(_) | Err(ObjectError::NoSuchUpload)), "{late:?}");
        let _ = store.delete(&at("k"), DeleteOptions::default()).await.unwrap();
        store.delete_container("acct", "box").await.unwrap();
        world.settle().await;
        assert_eq!(world.cluster.records(), 0);
        assert!(world.cluster.chunks.lock().is_empty());
    }
    assert!(completed > 0 && aborted > 0, "{completed} {aborted}");
}

/// The answer to a completion is kept as long as what came of it, whatever was written over it since.
#[tokio::test]
async fn a_completion_is_answered_again() {
    let world = World::new();
    let store = &world.store;
    make_box(store).await;
    store.set_versioning("acct", "box", crate::Versioning::Enabled).await.unwrap();
    let upload = store.create_upload(&at("k"), Attributes::default()).await.unwrap();
    let parts = [part(&world, upload, 1, &pattern(2 * CHUNK, 1)).await];
    let done = store.complete_upload(&at("k"), upload, complete(&parts)).await.unwrap();
    put(store, "k", b"newer").await;
    let again = store.complete_upload(&at("k"), upload, complete(&parts)).await.unwrap();
    assert_eq!(again, done);
    assert_eq!(get(store, "k").await, b"newer");
    let options = DeleteOptions { version: Some(done.version), ..DeleteOptions::default() };
    store.delete(&at("k"), options).await.unwrap();
    let late = store.complete_upload(&at("k"), upload, complete(&parts)).await;
    assert!(matches!(late, Err(ObjectError::NoSuchUpload)), "{late:?}");
}

#[tokio::test]
async fn uploads_are_listed_and_parts_copied() {
    let world = World::new();
    let store = &world.store;
    make_box(store).await;
    let mut made = Vec::new();
    for key in ["a/1", "a/1", "a/2", "b", "c/1"] {
        made.push((key.to_owned(), store.create_upload(&at(key), Attributes::default()).await.unwrap()));
    }
    for limit in 1..6 {
        let mut request = UploadListRequest { limit, ..UploadListRequest::default() };
        let mut seen = Vec::new();
        loop {
            let page = store.list_uploads("acct", "box", &request).await.unwrap();
            seen.extend(page.entries.into_iter().map(|entry| match entry {
                UploadEntry::Upload { key, upload } => (key, upload),
                UploadEntry::CommonPrefix(prefix) => panic!("{prefix}"),
            }));
            if !page.truncated {
                break;
            }
            request.key_marker = page.next_key_marker;
            request.upload_marker = page.next_upload_marker;
        }
        assert_eq!(seen, made);
    }
    let rolled = UploadListRequest { limit: 10, delimiter: "/".into(), ..UploadListRequest::default() };
    let page = store.list_uploads("acct", "box", &rolled).await.unwrap();
    assert_eq!(page.entries.len(), 3);

    let source = pattern(4 * CHUNK, 7);
    put(store, "source", &source).await;
    let upload = store.create_upload(&at("k"), Attributes::default()).await.unwrap();
    let range = Some(RangeSpec::FromTo(10, 2999));
    let options = GetOptions { range, ..GetOptions::default() };
    let (first, _) = store.copy_part(&at("k"), upload, 1, &at("source"), options).await.unwrap();
    let none = store.copy_part(&at("k"), upload, 2, &at("nothing"), GetOptions::default()).await;
    assert!(matches!(none, Err(ObjectError::NoSuchKey)));
    let parts = [CompletePart { number: 1, etag: first.etag }];
    store.complete_upload(&at("k"), upload, complete(&parts)).await.unwrap();
    assert!(get(store, "k").await == source[10..3000]);
}
