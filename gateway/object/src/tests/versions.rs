//! Versions and delete markers.

use super::cluster::World;
use super::{at, get, make_box, put, read};
use crate::{
    DeleteOptions, GetOptions, ObjectError, VersionEntry, VersionId, VersionListRequest, Versioning,
};

async fn versions(world: &World, limit: u32) -> Vec<(String, VersionId, bool, bool)> {
    let mut request = VersionListRequest { limit, ..VersionListRequest::default() };
    let mut all = Vec::new();
    loop {
        let page = world.store.list_versions("acct", "box", &request).await.unwrap();
        all.extend(page.entries.into_iter().map(|entry| match entry {
            VersionEntry::Version(v) => (v.key, v.version, v.latest, v.delete_marker),
            VersionEntry::CommonPrefix(prefix) => panic!("{prefix}"),
        }));
        if !page.truncated {
            return all;
        }
        request.key_marker = page.next_key_marker;
        request.version_marker = page.next_version_marker;
    }
}

fn of(version: VersionId) -> GetOptions {
    GetOptions { version: Some(version), ..GetOptions::default() }
}

fn only(version: VersionId) -> DeleteOptions {
    DeleteOptions { version: Some(version), ..DeleteOptions::default() }
}

#[tokio::test]
async fn old_versions_stay_until_they_are_named() {
    let world = World::new();
    let store = &world.store;
    make_box(store).await;
    let null = put(store, "k", b"null").await.version;
    assert_eq!(null, VersionId::Null);
    store.set_versioning("acct", "box", Versioning::Enabled).await.unwrap();
    let one = put(store, "k", &[1; 3000]).await.version;
    let two = put(store, "k", b"two").await.version;
    put(store, "j", b"j").await;
    assert_eq!(get(store, "k").await, b"two");
    assert_eq!(read(store.get(&at("k"), of(one)).await.unwrap()).await, [1; 3000]);
    assert_eq!(read(store.get(&at("k"), of(null)).await.unwrap()).await, b"null");
    let marker = store.delete(&at("k"), DeleteOptions::default()).await.unwrap();
    assert!(marker.delete_marker);
    let gone = store.get(&at("k"), GetOptions::default()).await.unwrap_err();
    assert!(matches!(gone, ObjectError::DeleteMarker { latest: true, .. }));
    let gone = store.get(&at("k"), of(marker.version.unwrap())).await.unwrap_err();
    assert!(matches!(gone, ObjectError::DeleteMarker { latest: false, .. }));
    let info = store.container("acct", "box").await.unwrap();
    assert_eq!((info.objects, info.versions, info.bytes), (1, 5, 3008));
    for limit in 1..6 {
        let all = versions(&world, limit).await;
        let ids: Vec<_> =
            all.iter().map(|(key, id, latest, marker)| (key.as_str(), *id, *latest, *marker)).collect();
        assert_eq!(
            ids[1..],
            [
                ("k", marker.version.unwrap(), true, true),
                ("k", two, false, false),
                ("k", one, false, false),
                ("k", null, false, false),
            ]
        );
    }
    // The marker goes, and the object is back.
    let undone = store.delete(&at("k"), only(marker.version.unwrap())).await.unwrap();
    assert!(undone.delete_marker && undone.existed);
    assert_eq!(get(store, "k").await, b"two");
    store.delete(&at("k"), only(one)).await.unwrap();
    assert!(matches!(store.get(&at("k"), of(one)).await, Err(ObjectError::NoSuchVersion)));
    store.delete(&at("k"), only(two)).await.unwrap();
    assert_eq!(get(store, "k").await, b"null");
    store.delete(&at("k"), only(null)).await.unwrap();
    assert!(matches!(store.get(&at("k"), GetOptions::default()).await, Err(ObjectError::NoSuchKey)));
    world.settle().await;
    assert!(world.cluster.chunks.lock().is_empty());
    assert_eq!(store.container("acct", "box").await.unwrap().versions, 1);
}

#[tokio::test]
async fn suspended_versioning_replaces_only_the_null_version() {
    let world = World::new();
    let store = &world.store;
    make_box(store).await;
    store.set_versioning("acct", "box", Versioning::Enabled).await.unwrap();
    let one = put(store, "k", b"one").await.version;
    store.set_versioning("acct", "box", Versioning::Suspended).await.unwrap();
    for text in ["a", "b"] {
        assert_eq!(put(store, "k", text.as_bytes()).await.version, VersionId::Null);
    }
    assert_eq!(versions(&world, 10).await.len(), 2);
    store.set_versioning("acct", "box", Versioning::Enabled).await.unwrap();
    put(store, "k", b"three").await;
    store.set_versioning("acct", "box", Versioning::Suspended).await.unwrap();
    put(store, "k", b"null again").await;
    let all = versions(&world, 10).await;
    assert_eq!(all.iter().filter(|version| version.1 == VersionId::Null).count(), 1);
    assert_eq!(all.len(), 3);
    let marker = store.delete(&at("k"), DeleteOptions::default()).await.unwrap();
    assert_eq!((marker.delete_marker, marker.version), (true, Some(VersionId::Null)));
    assert_eq!(versions(&world, 10).await.len(), 3);
    assert_eq!(read(store.get(&at("k"), of(one)).await.unwrap()).await, b"one");
}
