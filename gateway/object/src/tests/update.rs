//! Attributes changed in place.

use super::cluster::{CHUNK, World};
use super::{at, body, get, make_box, pattern, put, read};
use crate::{
    Attributes, CompleteOptions, CompletePart, DeleteOptions, GetOptions, ListEntry, ListRequest,
    ObjectError, ObjectStore, PartOptions, PutOptions, ReadConditions, UpdateOptions, VersionEntry,
    VersionId, VersionListRequest, Versioning,
};
use futures_util::future::join_all;

fn note(attributes: &mut Attributes, name: &str, value: &str) -> Result<(), ObjectError> {
    attributes.metadata.retain(|(old, _)| old != name);
    attributes.metadata.push((name.to_owned(), value.to_owned()));
    Ok(())
}

async fn expire(store: &ObjectStore, key: &str, at_secs: Option<u64>) {
    let change = move |attributes: &mut Attributes| {
        attributes.expires_at = at_secs;
        Ok::<_, ObjectError>(())
    };
    store.update_attributes(&at(key), UpdateOptions::default(), change).await.unwrap();
}

async fn tag(
    store: &ObjectStore,
    key: &str,
    version: Option<VersionId>,
    touch: bool,
) -> Result<crate::ObjectInfo, ObjectError> {
    let options = UpdateOptions { version, touch, ..UpdateOptions::default() };
    store.update_attributes(&at(key), options, |attributes| note(attributes, "tag", "new")).await
}

fn of(version: VersionId) -> GetOptions {
    GetOptions { version: Some(version), ..GetOptions::default() }
}

#[tokio::test]
async fn bytes_tag_and_version_stay() {
    let world = World::new();
    let store = &world.store;
    make_box(store).await;
    store.set_versioning("acct", "box", Versioning::Enabled).await.unwrap();
    for size in [0, 7, 3 * CHUNK + 1] {
        let bytes = pattern(size, 3);
        let options = PutOptions {
            attributes: Attributes { content_type: Some("t/x".into()), ..Attributes::default() },
            ..PutOptions::default()
        };
        let done = store.put(&at("k"), options, body(&bytes)).await.unwrap();
        let quiet = tag(store, "k", None, false).await.unwrap();
        assert_eq!((quiet.modified, quiet.etag, quiet.version), (done.modified, done.etag, done.version));
        assert_eq!(quiet.attributes.metadata, [("tag".to_owned(), "new".to_owned())]);
        assert_eq!(quiet.attributes.content_type.as_deref(), Some("t/x"));
        let touched = tag(store, "k", None, true).await.unwrap();
        assert!(touched.modified > done.modified);
        assert_eq!((touched.etag, touched.version, touched.size), (done.etag, done.version, size as u64));
        let seen = store.get(&at("k"), of(done.version)).await.unwrap();
        assert_eq!(seen.info, touched);
        assert!(read(seen).await == bytes);
        // Listings tell the same, and name the same version.
        let page = store.list("acct", "box", &ListRequest { limit: 9, ..Default::default() }).await.unwrap();
        let Some(ListEntry::Object(listed)) = page.entries().next() else { panic!("an object") };
        assert_eq!((listed.modified, listed.content_type), (touched.modified, "t/x"));
        let request = VersionListRequest { limit: 1, ..Default::default() };
        let page = store.list_versions("acct", "box", &request).await.unwrap();
        let VersionEntry::Version(listed) = &page.entries[0] else { panic!("a version") };
        assert_eq!((listed.modified, listed.version), (touched.modified, done.version));
    }
    let info = store.container("acct", "box").await.unwrap();
    assert_eq!((info.versions, info.bytes), (3, 7 + 3 * CHUNK as u64 + 1));
}

#[tokio::test]
async fn changes_at_the_same_time_all_take_effect() {
    let world = World::new();
    make_box(&world.store).await;
    put(&world.store, "k", b"bytes").await;
    let stores = [world.store.clone(), world.other_store()];
    let changes = (0..40_usize).map(|number| {
        let store = stores[number % 2].clone();
        async move {
            let options = UpdateOptions { touch: number % 3 == 0, ..UpdateOptions::default() };
            let change = move |attributes: &mut Attributes| note(attributes, &number.to_string(), "there");
            store.update_attributes(&at("k"), options, change).await
        }
    });
    for done in join_all(changes).await {
        done.unwrap();
    }
    let info = world.store.head(&at("k"), GetOptions::default()).await.unwrap();
    assert_eq!(info.attributes.metadata.len(), 40);
    assert_eq!(get(&world.store, "k").await, b"bytes");
}

#[tokio::test]
async fn old_versions_and_multipart_objects_too() {
    let world = World::new();
    let store = &world.store;
    make_box(store).await;
    let null = put(store, "k", b"null").await;
    store.set_versioning("acct", "box", Versioning::Enabled).await.unwrap();
    let upload = store.create_upload(&at("k"), Attributes::default()).await.unwrap();
    let bytes = pattern(2 * CHUNK, 9);
    let part = store.put_part(&at("k"), upload, 1, PartOptions::default(), body(&bytes)).await.unwrap();
    let parts = vec![CompletePart { number: 1, etag: part.etag }];
    let whole = CompleteOptions { parts, ..CompleteOptions::default() };
    let whole = store.complete_upload(&at("k"), upload, whole).await.unwrap();
    put(store, "k", b"latest").await;
    for (version, etag) in [(null.version, null.etag), (whole.version, whole.etag)] {
        let info = tag(store, "k", Some(version), true).await.unwrap();
        assert_eq!((info.version, info.etag, info.latest), (version, etag, false));
    }
    assert!(read(store.get(&at("k"), of(whole.version)).await.unwrap()).await == bytes);
    let latest = store.head(&at("k"), GetOptions::default()).await.unwrap();
    assert!(latest.attributes.metadata.is_empty());
    let marker = store.delete(&at("k"), DeleteOptions::default()).await.unwrap().version;
    let refused = tag(store, "k", None, false).await.unwrap_err();
    assert!(matches!(refused, ObjectError::DeleteMarker { latest: true, .. }));
    let refused = tag(store, "k", marker, false).await.unwrap_err();
    assert!(matches!(refused, ObjectError::DeleteMarker { latest: false, .. }));
    assert!(matches!(tag(store, "other", None, false).await, Err(ObjectError::NoSuchKey)));
}

#[tokio::test]
async fn what_is_not_met_or_too_large_changes_nothing() {
    let world = World::new();
    let store = &world.store;
    make_box(store).await;
    put(store, "k", b"bytes").await;
    let before = store.head(&at("k"), GetOptions::default()).await.unwrap();
    let conditions = ReadConditions { if_unmodified_since: Some(1), ..ReadConditions::default() };
    let options = UpdateOptions { conditions, ..UpdateOptions::default() };
    let refused = store.update_attributes(&at("k"), options, |attributes| note(attributes, "a", "b")).await;
    assert!(matches!(refused, Err(ObjectError::PreconditionFailed)));
    let large = |attributes: &mut Attributes| note(attributes, "a", &"b".repeat(1 << 20));
    let refused = store.update_attributes(&at("k"), UpdateOptions::default(), large).await;
    assert!(matches!(refused, Err(ObjectError::MetadataTooLarge)));
    let refusing = |attributes: &mut Attributes| {
        note(attributes, "a", "b")?;
        Err(ObjectError::BadKey)
    };
    let refused = store.update_attributes(&at("k"), UpdateOptions::default(), refusing).await;
    assert!(matches!(refused, Err(ObjectError::BadKey)), "the change was taken back");
    assert_eq!(store.head(&at("k"), GetOptions::default()).await.unwrap(), before);
}

#[tokio::test]
async fn an_expiry_can_be_set_moved_and_taken_off() {
    let world = World::new();
    let store = &world.store;
    make_box(store).await;
    let now = ringfort_runtime::wall_us() / 1_000_000;
    put(store, "stays", b"bytes").await;
    put(store, "goes", &[1; 3000]).await;
    let records = world.cluster.records();
    for expiry in [Some(now + 1000), Some(now + 2000), None] {
        expire(store, "stays", expiry).await;
        assert_eq!(world.cluster.records(), records + usize::from(expiry.is_some()), "one entry at most");
    }
    expire(store, "goes", Some(now - 1)).await;
    assert!(matches!(tag(store, "goes", None, false).await, Err(ObjectError::NoSuchKey)));
    world.settle().await;
    assert!(world.cluster.chunks.lock().is_empty());
    assert_eq!(store.container("acct", "box").await.unwrap().objects, 1);
    assert_eq!(get(store, "stays").await, b"bytes");
}
