//! Accounts, and their containers as a listing.

use super::cluster::World;
use super::{at, make_box, put};
use crate::{
    ContainerEntry, ContainerListRequest, ContainerStats, CreateContainer, ListEntry, ListRequest,
    ObjectError, PolicyUse,
};
use futures_util::future::join_all;

#[tokio::test]
async fn an_account_counts_its_containers_and_keeps_metadata() {
    let world = World::new();
    let store = &world.store;
    assert_eq!(store.account("acct").await.unwrap(), Default::default());
    make_box(store).await;
    put(store, "a", b"12345").await;
    let info = store.account("acct").await.unwrap();
    assert_eq!((info.containers, info.objects, info.bytes), (1, 1, 5));
    let used = PolicyUse { containers: 1, stats: ContainerStats { objects: 1, bytes: 5 } };
    assert_eq!(info.policies, [(0, used)]);
    assert!(info.created.is_some() && info.modified.is_none());
    let changes = (0..15_u32).map(|number| {
        store.update_account_metadata("acct", move |metadata| {
            metadata.push((number.to_string(), String::new()));
            Ok::<_, ObjectError>(())
        })
    });
    for done in join_all(changes).await {
        done.unwrap();
    }
    let info = store.account("acct").await.unwrap();
    assert_eq!((info.metadata.len(), info.containers), (15, 1));
    assert!(info.modified > info.created);
    let large = store.update_account_metadata("acct", |metadata| {
        metadata.push(("k".to_owned(), "v".repeat(1 << 20)));
        Ok(())
    });
    assert!(matches!(large.await, Err(ObjectError::MetadataTooLarge)));
    let refused = store.update_account_metadata("acct", |metadata| {
        metadata.clear();
        Err(ObjectError::BadKey)
    });
    assert!(matches!(refused.await, Err(ObjectError::BadKey)), "the change was taken back");
    assert!(matches!(store.delete_account("acct").await, Err(ObjectError::AccountNotEmpty)));
    store.delete(&at("a"), Default::default()).await.unwrap();
    store.delete_container("acct", "box").await.unwrap();
    assert_eq!(store.account("acct").await.unwrap().containers, 0);
    store.delete_account("acct").await.unwrap();
    assert_eq!(store.account("acct").await.unwrap(), Default::default());
    store.delete_account("acct").await.unwrap();
}

#[tokio::test]
async fn totals_are_counted_once_in_a_while() {
    let world = World::new();
    let store = &world.store;
    make_box(store).await;
    put(store, "a", b"12345").await;
    assert_eq!(store.account("acct").await.unwrap().objects, 1);
    for number in 0..20 {
        put(store, &number.to_string(), b"12345").await;
    }
    // Another process has not counted yet, this one will in a second.
    assert_eq!(world.other_store().account("acct").await.unwrap().objects, 21);
    let seen = tokio::time::timeout(std::time::Duration::from_secs(10), async {
        while store.account("acct").await.unwrap().objects != 21 {
            tokio::task::yield_now().await;
        }
    });
    seen.await.expect("the total is counted anew");
}

fn shown(entries: &[ContainerEntry]) -> Vec<&str> {
    let name = |entry: &ContainerEntry| match entry {
        ContainerEntry::Container { name, .. } => name.len(),
        ContainerEntry::CommonPrefix(name) => name.len(),
    };
    assert!(entries.iter().all(|entry| name(entry) > 0));
    entries
        .iter()
        .map(|entry| match entry {
            ContainerEntry::Container { name, .. } | ContainerEntry::CommonPrefix(name) => name.as_str(),
        })
        .collect()
}

#[tokio::test]
async fn containers_are_listed_in_both_directions() {
    let world = World::new();
    let store = &world.store;
    for name in ["a", "a-1", "a-2", "b", "box", "c-1"] {
        store.create_container("acct", name, CreateContainer::default()).await.unwrap();
    }
    put(store, "k", b"12345").await;
    for (reverse, expected) in [(false, ["a", "a-", "b", "box", "c-"]), (true, ["c-", "box", "b", "a-", "a"])]
    {
        let delimiter = "-".to_owned();
        let mut request =
            ContainerListRequest { delimiter, limit: 2, reverse, stats: true, ..Default::default() };
        let mut all = Vec::new();
        loop {
            let page = store.containers("acct", &request).await.unwrap();
            assert!(page.entries.len() <= 2);
            all.extend(page.entries);
            if !page.truncated {
                break;
            }
            request.marker = page.next_marker;
        }
        assert_eq!(shown(&all), expected);
        let stats = all.iter().find_map(|entry| match entry {
            ContainerEntry::Container { name, stats, .. } if name == "box" => *stats,
            _ => None,
        });
        assert_eq!(stats, Some(ContainerStats { objects: 1, bytes: 5 }));
    }
    let request = ContainerListRequest {
        marker: "b".into(),
        end_marker: "a-1".into(),
        limit: 9,
        reverse: true,
        ..Default::default()
    };
    assert_eq!(shown(&store.containers("acct", &request).await.unwrap().entries), ["a-2"]);
}

#[tokio::test]
async fn objects_backward_from_marker_to_end() {
    let world = World::new();
    make_box(&world.store).await;
    for key in ["a", "b/1", "b/2", "c", "d"] {
        put(&world.store, key, b"x").await;
    }
    let list = async |marker: &str, end: &str, delimiter: &str| {
        let request = ListRequest {
            marker: marker.into(),
            end_marker: end.into(),
            delimiter: delimiter.into(),
            limit: 10,
            reverse: true,
            ..Default::default()
        };
        let page = world.store.list("acct", "box", &request).await.unwrap();
        assert!(!page.truncated);
        let names = page.entries().map(|entry| match entry {
            ListEntry::Object(object) => object.key.to_owned(),
            ListEntry::CommonPrefix(prefix) => prefix.to_owned(),
        });
        names.collect::<Vec<_>>()
    };
    assert_eq!(list("", "", "").await, ["d", "c", "b/2", "b/1", "a"]);
    assert_eq!(list("d", "a", "").await, ["c", "b/2", "b/1"]);
    assert_eq!(list("", "", "/").await, ["d", "c", "b/", "a"]);
    assert_eq!(list("b/", "", "/").await, ["a"]);
    assert_eq!(list("a", "", "").await, [""; 0]);
    assert_eq!(list("b", "c", "").await, [""; 0]);
}
