//! Lifecycle rules, with days of a second and the reconciler run by hand.

use super::cluster::{World, config};
use super::{at, body, make_box, put};
use crate::{
    Attributes, DeleteOptions, Expiration, GetOptions, LIFECYCLE_ENTRY, LifecycleFilter, LifecycleRule,
    LifecycleRules, NoncurrentExpiration, OBJECT_TAGS_HEADER, ObjectError, PutOptions, StoreConfig,
    UploadListRequest, VersionListRequest, Versioning,
};
use ringfort_object_model::account_slot;
use std::time::Duration;

fn short_days() -> World {
    World::with(StoreConfig { lifecycle_day: Duration::from_secs(1), ..config() })
}

async fn set(world: &World, rules: Vec<LifecycleRule>) {
    let rules = rules.into_iter().map(|rule| LifecycleRule { enabled: true, ..rule }).collect();
    let entry = (LIFECYCLE_ENTRY.to_owned(), LifecycleRules { rules }.encode());
    world.store.set_container_metadata("acct", "box", vec![entry]).await.unwrap();
}

/// Runs the reconciler until `done` holds.
async fn run_until(world: &World, done: impl AsyncFn() -> bool) {
    let run = async {
        while !done().await {
            world.store.run_lifecycle(account_slot("acct")).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), run).await.expect("the rules are carried out");
}

async fn there(world: &World, key: &str) -> bool {
    match world.store.head(&at(key), GetOptions::default()).await {
        Ok(_) => true,
        Err(ObjectError::NoSuchKey | ObjectError::DeleteMarker { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

async fn versions(world: &World) -> usize {
    let request = VersionListRequest { limit: 1000, ..Default::default() };
    world.store.list_versions("acct", "box", &request).await.unwrap().entries.len()
}

#[tokio::test]
async fn objects_that_a_filter_names_expire() {
    let world = short_days();
    make_box(&world.store).await;
    for key in ["logs/1", "logs/large", "other"] {
        put(&world.store, key, if key == "logs/large" { &[1; 3000] } else { b"x" }).await;
    }
    let headers = vec![(OBJECT_TAGS_HEADER.to_owned(), "keep=no".to_owned())];
    let options =
        PutOptions { attributes: Attributes { headers, ..Default::default() }, ..Default::default() };
    world.store.put(&at("tagged"), options, body(b"x")).await.unwrap();
    let small = LifecycleFilter { prefix: "logs/".into(), smaller_than: Some(100), ..Default::default() };
    let tagged = LifecycleFilter { tags: vec![("keep".into(), "no".into())], ..Default::default() };
    let expiration = Some(Expiration::Days(1));
    set(
        &world,
        vec![
            LifecycleRule { filter: small, expiration, ..Default::default() },
            LifecycleRule { filter: tagged, expiration: Some(Expiration::Date(1)), ..Default::default() },
        ],
    )
    .await;
    run_until(&world, async || !there(&world, "logs/1").await && !there(&world, "tagged").await).await;
    assert!(there(&world, "logs/large").await && there(&world, "other").await);
    assert_eq!(versions(&world).await, 2);
}

#[tokio::test]
async fn versions_markers_and_uploads_go_in_turn() {
    let world = short_days();
    let store = &world.store;
    make_box(store).await;
    store.set_versioning("acct", "box", Versioning::Enabled).await.unwrap();
    for text in ["1", "2", "3", "4"] {
        put(store, "k", text.as_bytes()).await;
    }
    store.create_upload(&at("u"), Attributes::default()).await.unwrap();
    let rule = LifecycleRule {
        noncurrent: Some(NoncurrentExpiration { days: 1, newest_kept: 2 }),
        abort_uploads_days: Some(1),
        ..Default::default()
    };
    set(&world, vec![rule]).await;
    let uploads = async || {
        let request = UploadListRequest { limit: 10, ..Default::default() };
        store.list_uploads("acct", "box", &request).await.unwrap().entries.len()
    };
    run_until(&world, async || versions(&world).await == 3 && uploads().await == 0).await;
    assert!(there(&world, "k").await);
    // The latest expires and leaves a marker; then what is beneath it, then the marker.
    let rule = LifecycleRule {
        expiration: Some(Expiration::Date(1)),
        expired_delete_markers: true,
        noncurrent: Some(NoncurrentExpiration { days: 1, newest_kept: 0 }),
        ..Default::default()
    };
    set(&world, vec![rule]).await;
    world.store.run_lifecycle(account_slot("acct")).await.unwrap();
    assert!(!there(&world, "k").await);
    run_until(&world, async || versions(&world).await == 0).await;
    store.delete_container("acct", "box").await.unwrap();
}

#[tokio::test]
async fn nothing_is_removed_before_its_time_or_by_a_rule_that_is_off() {
    let world = World::new();
    let store = &world.store;
    make_box(store).await;
    store.set_versioning("acct", "box", Versioning::Enabled).await.unwrap();
    put(store, "k", b"1").await;
    put(store, "k", b"2").await;
    store.delete(&at("gone"), DeleteOptions::default()).await.unwrap();
    let noncurrent = Some(NoncurrentExpiration { days: 1, newest_kept: 0 });
    let expiration = Some(Expiration::Days(1));
    set(&world, vec![LifecycleRule { expiration, noncurrent, ..Default::default() }]).await;
    store.run_lifecycle(account_slot("acct")).await.unwrap();
    let off = LifecycleRule { expiration: Some(Expiration::Date(1)), ..Default::default() };
    let entry = (LIFECYCLE_ENTRY.to_owned(), LifecycleRules { rules: vec![off] }.encode());
    store.set_container_metadata("acct", "box", vec![entry]).await.unwrap();
    store.run_lifecycle(account_slot("acct")).await.unwrap();
    let entry = (LIFECYCLE_ENTRY.to_owned(), "damaged".to_owned());
    store.set_container_metadata("acct", "box", vec![entry]).await.unwrap();
    store.run_lifecycle(account_slot("acct")).await.unwrap();
    assert_eq!(versions(&world).await, 3);
}

/// The reconciler itself, by its own clock.
#[tokio::test]
async fn passes_are_made_in_the_background() {
    let world = World::with(StoreConfig {
        lifecycle_day: Duration::from_secs(1),
        lifecycle_pass: Duration::from_millis(100),
        ..config()
    });
    make_box(&world.store).await;
    put(&world.store, "k", b"x").await;
    set(&world, vec![LifecycleRule { expiration: Some(Expiration::Date(1)), ..Default::default() }]).await;
    let gone = async {
        while there(&world, "k").await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the object expires");
    world.tasks.stop().await;
}
