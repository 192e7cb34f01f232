//! Containers: creating, deleting, listing.

use super::cluster::World;
use super::{at, body, get, make_box, put};
use crate::{CreateContainer, Created, DeleteOptions, ObjectError, PutOptions, Versioning};

fn strict() -> CreateContainer {
    CreateContainer { alias_required: true, ..CreateContainer::default() }
}

#[tokio::test]
async fn names_belong_to_the_first_account() {
    let world = World::new();
    let store = &world.store;
    assert_eq!(store.create_container("a", "box", strict()).await.unwrap(), Created::New);
    assert_eq!(store.create_container("a", "box", strict()).await.unwrap(), Created::AlreadyYours);
    assert!(matches!(store.create_container("b", "box", strict()).await, Err(ObjectError::ContainerTaken)));
    assert_eq!(store.create_container("b", "box", CreateContainer::default()).await.unwrap(), Created::New);
    assert_eq!(store.container_owner("box").await.unwrap().as_deref(), Some("a"));
    store.delete_container("a", "box").await.unwrap();
    assert_eq!(store.container_owner("box").await.unwrap(), None);
    assert_eq!(store.create_container("c", "box", strict()).await.unwrap(), Created::New);
    for name in ["", "a/b", "a\0", &"x".repeat(256)] {
        assert!(matches!(
            store.create_container("a", name, strict()).await,
            Err(ObjectError::BadContainerName)
        ));
    }
    let page = store.list_containers("b", "", "", 10).await.unwrap();
    assert_eq!(page.containers.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["box"]);
}

#[tokio::test]
async fn a_container_goes_only_when_it_is_empty() {
    let world = World::new();
    let store = &world.store;
    make_box(store).await;
    put(store, "k", b"1").await;
    assert!(matches!(store.delete_container("acct", "box").await, Err(ObjectError::ContainerNotEmpty)));
    put(store, "k2", b"2").await;
    for key in ["k", "k2"] {
        store.delete(&at(key), DeleteOptions::default()).await.unwrap();
    }
    let upload = store.create_upload(&at("u"), crate::Attributes::default()).await.unwrap();
    store.put_part(&at("u"), upload, 1, crate::PartOptions::default(), body(&[1; 2000])).await.unwrap();
    store.delete_container("acct", "box").await.unwrap();
    assert!(matches!(store.delete_container("acct", "box").await, Err(ObjectError::NoSuchContainer)));
    assert!(matches!(store.container("acct", "box").await, Err(ObjectError::NoSuchContainer)));
    let refused = store.put(&at("k"), PutOptions::default(), body(b"1")).await;
    assert!(matches!(refused, Err(ObjectError::NoSuchContainer)));
    world.settle().await;
    assert_eq!(world.cluster.records(), 0);
    assert!(world.cluster.chunks.lock().is_empty());
}

#[tokio::test]
async fn a_stale_cache_is_noticed() {
    let world = World::new();
    let (store, other) = (&world.store, world.other_store());
    make_box(store).await;
    put(store, "k", b"1").await;
    put(&other, "k", b"2").await;
    other.delete(&at("k"), DeleteOptions::default()).await.unwrap();
    other.delete_container("acct", "box").await.unwrap();
    let refused = store.put(&at("k"), PutOptions::default(), body(b"1")).await;
    assert!(matches!(refused, Err(ObjectError::NoSuchContainer)), "{refused:?}");
    make_box(&other).await;
    put(&other, "k", b"new").await;
    assert_eq!(get(store, "k").await, b"new");
    other.delete(&at("k"), DeleteOptions::default()).await.unwrap();
    other.delete_container("acct", "box").await.unwrap();
    make_box(&other).await;
    put(store, "k", b"newer").await;
    assert_eq!(get(&other, "k").await, b"newer");
    let list =
        store.list("acct", "box", &crate::ListRequest { limit: 5, ..Default::default() }).await.unwrap();
    assert_eq!(list.len(), 1);
}

#[tokio::test]
async fn a_deletion_that_died_is_called_off_or_finished() {
    use ringfort_object_model::{Command, ContainerState, account_slot};
    let world = World::new();
    let store = &world.store;
    make_box(store).await;
    let record = store.fetch_record("acct", "box").await.unwrap().unwrap();
    let shard = record.shard(0);
    // A seal that came late, after the deletion was called off.
    store.execute(shard.slot(), &Command::Seal { shard, token: 5 }, Vec::new()).await.unwrap();
    put(store, "k", b"1").await;
    // A deletion that died after sealing.
    let set = |state| {
        let store = store.clone();
        async move {
            let mut record = store.fetch_record("acct", "box").await.unwrap().unwrap();
            record.state = state;
            let expect = record.revision;
            let command =
                Command::SetContainer { account: "acct", name: "box", expect, record: Some(record) };
            store.execute(account_slot("acct"), &command, Vec::new()).await.unwrap();
        }
    };
    set(ContainerState::Sealing(6)).await;
    store.execute(shard.slot(), &Command::Seal { shard, token: 6 }, Vec::new()).await.unwrap();
    tokio::time::timeout(std::time::Duration::from_secs(5), put(store, "k", b"2")).await.unwrap();
    store.delete(&at("k"), DeleteOptions::default()).await.unwrap();
    // One that died after the decision: gone for everybody, and out of the way of a new one.
    store.execute(shard.slot(), &Command::Seal { shard, token: 7 }, Vec::new()).await.unwrap();
    set(ContainerState::Deleting).await;
    let refused = store.put(&at("k"), PutOptions::default(), body(b"1")).await;
    assert!(matches!(refused, Err(ObjectError::NoSuchContainer)), "{refused:?}");
    assert_eq!(store.create_container("b", "box", strict()).await.unwrap(), Created::New);
    make_box(store).await;
    put(store, "k", b"3").await;
}

#[tokio::test]
async fn versioning_and_metadata_are_kept() {
    let world = World::new();
    let store = &world.store;
    make_box(store).await;
    store.set_versioning("acct", "box", Versioning::Enabled).await.unwrap();
    store.set_container_metadata("acct", "box", vec![("a".into(), "b".into())]).await.unwrap();
    let info = store.container("acct", "box").await.unwrap();
    assert_eq!((info.versioning, info.metadata.len()), (Versioning::Enabled, 1));
    assert!(info.created.0 > 0);
    assert_eq!(store.list_containers("acct", "b", "", 10).await.unwrap().containers[0].created, info.created);
    assert_eq!(put(store, "k", b"1").await.versioning, Versioning::Enabled);
    assert!(matches!(
        store.set_versioning("acct", "none", Versioning::Enabled).await,
        Err(ObjectError::NoSuchContainer)
    ));
}
