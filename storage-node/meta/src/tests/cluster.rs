//! Groups that work.

use super::*;
use crate::kv::{KvClient, KvOutcome};
use crate::proposal::CommandKind;
use ringfort_core::CommandId;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_device_executes_reads_and_survives_a_restart() {
    let process = Process::start(1).await;
    let client = process.client();
    for round in 1..=20 {
        assert_eq!(increment(&client, SLOT, "a").await, round);
        assert_eq!(counter(&client, SLOT, "a").await, round);
    }
    let body = Bytes::from(vec![7; 5000]);
    client.execute(OTHER_SLOT, command(2, "b"), vec![body.clone()]).await.unwrap();
    let answer = client.query(OTHER_SLOT, command(2, "b")).await.unwrap();
    assert_eq!(answer.inline.as_ref(), Some(&body));
    let process = process.restart().await;
    let client = process.host.client(SessionId(8));
    assert_eq!(counter(&client, SLOT, "a").await, 20);
    let answer = client.query(OTHER_SLOT, command(2, "b")).await.unwrap();
    assert_eq!(answer.inline, Some(body));
    client.execute(OTHER_SLOT, command(3, "b"), Vec::new()).await.unwrap();
    assert_eq!(client.query(OTHER_SLOT, command(2, "b")).await.unwrap().inline, None);
    assert_eq!(increment(&client, SLOT, "a").await, 21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_share_proposals_and_all_count() {
    let process = Process::start(3).await;
    let client = process.client();
    let tasks: Vec<_> = (0..200)
        .map(|task: u32| {
            let client = client.clone();
            process.tasks.spawn(async move {
                let slot = if task.is_multiple_of(2) { SLOT } else { OTHER_SLOT };
                let stamp = client
                    .execute(slot, command(2, &format!("{task:03}")), vec![vec![1; 3000].into()])
                    .await
                    .unwrap();
                increment(&client, slot, "sum").await;
                (slot, stamp)
            })
        })
        .collect();
    let mut stamps = Vec::new();
    for task in tasks {
        stamps.push(task.await.unwrap());
    }
    stamps.sort();
    stamps.dedup();
    assert_eq!(stamps.len(), 200, "times grow strictly within a group");
    assert_eq!(counter(&client, SLOT, "sum").await + counter(&client, OTHER_SLOT, "sum").await, 200);
    let status = process.host.group_status();
    assert_eq!(status.len(), 3);
    assert!(
        status.iter().all(|group| group.leader.is_some() && group.running() == 3 && group.spare() == 1),
        "{status:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_gets_the_recorded_result() {
    let process = Process::start(1).await;
    let client = process.client();
    let run = async |sequence: u64| {
        let id = CommandId { session: SessionId(9), lane: 3, sequence };
        client.run(GroupId(1), CommandKind::Model, SLOT, Some(id), command(1, "n"), Vec::new()).await
    };
    let first = run(1).await.unwrap();
    assert_eq!(run(1).await.unwrap(), first);
    assert_eq!(run(1).await.unwrap(), first);
    assert_ne!(run(2).await.unwrap(), first);
    assert!(run(1).await.is_err(), "a command overtaken in its lane is refused");
    let process = process.restart().await;
    let client = process.client();
    let id = CommandId { session: SessionId(9), lane: 3, sequence: 2 };
    let again = client
        .run(GroupId(1), CommandKind::Model, SLOT, Some(id), command(1, "n"), Vec::new())
        .await
        .unwrap();
    assert_eq!(again.as_ref(), 2u64.to_be_bytes(), "the record outlives a restart");
    assert_eq!(counter(&client, SLOT, "n").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ended_is_fenced_everywhere() {
    let process = Process::start(1).await;
    let (old, earlier) = process.host.register_session("here", 100).await.unwrap();
    assert_eq!(earlier, []);
    let again = process.host.register_session("here", 100).await.unwrap();
    assert_eq!(again, (old, Vec::new()), "the same nonce is the same start");
    let (elsewhere, _) = process.host.register_session("there", 100).await.unwrap();
    assert!(elsewhere > old);
    let old_client = process.host.client(old);
    increment(&old_client, SLOT, "x").await;
    let (new, earlier) = process.host.register_session("here", 101).await.unwrap();
    assert!(new > elsewhere);
    assert_eq!(earlier, [old]);
    process.host.end_session(old).await.unwrap();
    process.host.end_session(old).await.unwrap();
    for slot in [SLOT, OTHER_SLOT, ringfort_core::SYSTEM_SLOT] {
        let refused = old_client.execute(slot, command(1, "x"), Vec::new()).await;
        assert!(matches!(refused, Err(crate::MetaError::SessionEnded { .. })), "{refused:?}");
    }
    let kv = KvClient::new(process.host.client(new));
    assert!(!kv.session(old).await.unwrap().unwrap().live);
    let state = kv.session(new).await.unwrap().unwrap();
    assert!(state.live && state.node == "here");
    assert!(kv.session(elsewhere).await.unwrap().unwrap().live);
    assert_eq!(increment(&process.host.client(new), SLOT, "x").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn system_records_are_listed_and_set_conditionally() {
    let process = Process::start(1).await;
    let kv = KvClient::new(process.client());
    for key in ["a/1", "a/2", "a/3", "b/1"] {
        kv.put(key.as_bytes(), key.to_uppercase().as_bytes()).await.unwrap();
    }
    let keys = |records: Vec<(Bytes, Bytes)>| records.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    assert_eq!(keys(kv.list(b"a/", None, 10).await.unwrap()), ["a/1", "a/2", "a/3"]);
    assert_eq!(keys(kv.list(b"a/", Some(b"a/1"), 1).await.unwrap()), ["a/2"]);
    assert_eq!(kv.get(b"b/1").await.unwrap().unwrap(), "B/1");
    assert_eq!(kv.compare_and_set(b"b/1", Some(b"B/1"), Some(b"new")).await.unwrap(), KvOutcome::Done);
    let found = Some(Bytes::from_static(b"new"));
    assert_eq!(
        kv.compare_and_set(b"b/1", None, Some(b"x")).await.unwrap(),
        KvOutcome::Mismatch { check: 0, found }
    );
    kv.delete(b"b/1").await.unwrap();
    assert_eq!(kv.get(b"b/1").await.unwrap(), None);
    for garbage in [&[0u8][..], &[0, 1], &[0, 1, 255, 255], &[0, 9, 1], &[1], &[]] {
        let result = process
            .client()
            .execute(ringfort_core::SYSTEM_SLOT, Bytes::copy_from_slice(garbage), vec![])
            .await;
        assert_eq!(result.unwrap().as_ref(), [2], "malformed");
    }
}
