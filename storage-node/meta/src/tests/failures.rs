//! Groups that lose voters.

use super::*;
use crate::MetaError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

fn leader_of(process: &Process, group: GroupId) -> Option<u64> {
    let status = process.host.group_status();
    status.into_iter().find(|status| status.group == group)?.leader.map(|voter| voter.0)
}

/// Its engine stays open while anybody holds the voter, and the device's folder cannot be opened again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_whose_device_is_removed_is_held_by_nobody() {
    let mut process = Process::start(1).await;
    let client = process.client();
    for slot in [SLOT, OTHER_SLOT] {
        increment(&client, slot, "n").await;
    }
    let groups = [GroupId(1), GroupId(2)].map(|id| process.host.inner.group(id));
    let voters = groups.map(|group| Arc::downgrade(&group.leader().unwrap()));
    process.remove(1).await;
    for voter in voters {
        eventually("nobody holds the voter", || async { voter.upgrade().is_none() }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_while_leaders_come_and_go() {
    let mut process = Process::start(3).await;
    let acknowledged = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..8)
        .map(|_| {
            let (client, acknowledged, stop) = (process.client(), acknowledged.clone(), stop.clone());
            process.tasks.spawn(async move {
                let mut last = 0;
                while !stop.load(Ordering::Relaxed) {
                    let now = increment(&client, SLOT, "n").await;
                    assert!(now > last, "a counter never goes back: {last} then {now}");
                    last = now;
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                    assert!(counter(&client, SLOT, "n").await >= now, "a read misses an acknowledged write");
                }
            })
        })
        .collect();
    for _ in 0..3 {
        let before = acknowledged.load(Ordering::Relaxed);
        eventually("progress with three voters", || async {
            acknowledged.load(Ordering::Relaxed) > before + 5
        })
        .await;
        let before = acknowledged.load(Ordering::Relaxed);
        let leader = leader_of(&process, GroupId(1)).unwrap_or(1);
        let device = usize::try_from(leader).unwrap();
        process.remove(device).await;
        eventually("progress with two voters", || async {
            process.assert_running();
            acknowledged.load(Ordering::Relaxed) > before + 5
        })
        .await;
        let report = process.add(device, leader).await;
        assert_eq!(report.opened.len(), 3, "{report:?}");
    }
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await.unwrap();
    }
    assert_eq!(counter(&process.client(), SLOT, "n").await, acknowledged.load(Ordering::Relaxed));
    let process = process.restart().await;
    let client = process.host.client(SessionId(8));
    assert_eq!(counter(&client, SLOT, "n").await, acknowledged.load(Ordering::Relaxed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_voter_returns_under_a_new_id_by_snapshot() {
    let mut process = Process::start(3).await;
    let client = process.client();
    let body = |key: usize| Bytes::from(vec![u8::try_from(key).unwrap(); 4000 + key]);
    for key in 0..40 {
        client.execute(SLOT, command(2, &format!("{key:02}")), vec![body(key)]).await.unwrap();
    }
    process.remove(3).await;
    for engine in process.engines.iter().flatten() {
        engine.checkpoint().await.unwrap();
    }
    eventually("the logs to be purged, so that only a snapshot helps", || {
        let engines: Vec<_> = process.engines.iter().flatten().cloned().collect();
        let client = client.clone();
        async move {
            increment(&client, SLOT, "tick").await;
            for engine in &engines {
                engine.checkpoint().await.unwrap();
            }
            engines.iter().all(|engine| engine.group_log(GroupId(1)).purged().is_some())
        }
    })
    .await;
    process.folders[2] = tempfile::tempdir().unwrap();
    let report = process.add(3, 30).await;
    assert_eq!(report, crate::DeviceReport::default(), "an empty device has no voters");
    let wanted = [VoterId(1), VoterId(2), VoterId(30)];
    for group in [SYSTEM_GROUP, GroupId(1), GroupId(2)] {
        process.host.change_voters(group, &wanted).await.unwrap();
        process.host.change_voters(group, &wanted).await.unwrap();
    }
    let status = process.host.group_status();
    assert!(status.iter().all(|group| group.running() == 3 && group.spare() == 1), "{status:?}");
    // The new voter alone has to know everything now, with one of the old ones.
    process.remove(1).await;
    for key in 0..40 {
        let answer = client.query(SLOT, command(2, &format!("{key:02}"))).await.unwrap();
        assert_eq!(answer.inline, Some(body(key)), "{key}");
    }
    let engine = process.engines[2].clone().unwrap();
    for key in 0..40 {
        let blob = blob_of(SLOT, format!("{key:02}").as_bytes(), 1);
        let name = ringfort_core::ChunkKey { blob, number: 0, fragment: 0 };
        assert_eq!(
            engine.read_chunk(name, 0..4000).await.unwrap(),
            body(key)[..4000],
            "inline body {key} came along"
        );
    }
    assert!(increment(&client, SLOT, "tick").await > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_whose_new_state_was_cut_short_abstains_until_it_is_replaced() {
    let mut process = Process::start(3).await;
    let client = process.client();
    let body = Bytes::from(vec![7; 5000]);
    client.execute(SLOT, command(2, "a"), vec![body.clone()]).await.unwrap();
    process.remove(3).await;
    {
        let open = || async { Engine::open(process.folders[2].path(), EngineConfig::small_for_tests()) };
        let (engine, _) = eventually_ok("the device to open", open).await;
        let mut install = engine.group_state(GroupId(1)).install().await.unwrap();
        install.put(&[(Bytes::from_static(b"half"), Bytes::from_static(b"a state"))]).unwrap();
        drop(install);
        tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
    }
    let report = process.add(3, 3).await;
    assert_eq!((report.lost.as_slice(), report.opened.len()), (&[GroupId(1)][..], 2), "{report:?}");
    let refused = process.host.change_voters(GroupId(1), &[VoterId(1), VoterId(2), VoterId(3)]).await;
    assert!(matches!(refused, Err(MetaError::VoterLost { .. })), "{refused:?}");
    process.remove(3).await;
    process.add(3, 30).await;
    process.host.change_voters(GroupId(1), &[VoterId(1), VoterId(2), VoterId(30)]).await.unwrap();
    process.remove(1).await;
    let answer = eventually_ok("a leader", || client.query(SLOT, command(2, "a"))).await;
    assert_eq!(answer.inline, Some(body));
    let state = process.engines[2].as_ref().unwrap().group_state(GroupId(1));
    assert_eq!(state.get(b"half").unwrap(), None, "nothing of the half state is left");
}

/// Fails when the log that a snapshot replaces is left as it is: what follows the snapshot does not fit it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_that_fell_behind_goes_on_after_a_snapshot_and_a_restart() {
    let mut process = Process::start(3).await;
    let client = process.client();
    increment(&client, SLOT, "n").await;
    process.remove(3).await;
    let behind = process.host.inner.group(GroupId(1)).leader().map_or(0, |leader| leader.progress.index());
    eventually("the logs to be purged beyond what the voter has", || {
        let engines: Vec<_> = process.engines.iter().flatten().cloned().collect();
        let client = client.clone();
        async move {
            increment(&client, SLOT, "n").await;
            for engine in &engines {
                engine.checkpoint().await.unwrap();
            }
            let purged =
                engines.iter().map(|engine| engine.group_log(GroupId(1)).purged().map_or(0, |at| at.0));
            purged.min() > Some(behind + 5)
        }
    })
    .await;
    for _ in 0..2 {
        process.add(3, 3).await;
        let n = increment(&client, SLOT, "n").await;
        eventually("the voter to have all", || async {
            process.assert_running();
            let voters = process.host.inner.group(GroupId(1)).voters();
            voters.len() == 3
                && voters.iter().all(|voter| voter.progress.index() == voters[0].progress.index())
        })
        .await;
        assert_eq!(counter(&client, SLOT, "n").await, n);
        process.remove(3).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_of_another_voter_is_left_alone() {
    let mut process = Process::start(3).await;
    increment(&process.client(), SLOT, "n").await;
    process.remove(3).await;
    let report = process.add(3, 31).await;
    assert_eq!(report.foreign.len(), 3, "{report:?}");
    let refused = process.host.bootstrap(GroupId(1), &[VoterId(1), VoterId(2), VoterId(31)]).await;
    assert!(matches!(refused, Err(MetaError::VoterLost { .. })), "{refused:?}");
    process.host.change_voters(GroupId(1), &[VoterId(1), VoterId(2), VoterId(31)]).await.unwrap();
    assert_eq!(increment(&process.client(), SLOT, "n").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_voter_grows_to_three_and_back() {
    let mut process = Process::start(1).await;
    let client = process.client();
    for round in 1..=10 {
        assert_eq!(increment(&client, SLOT, "n").await, round);
    }
    for device in 2..=3 {
        process.folders.push(tempfile::tempdir().unwrap());
        process.engines.push(None);
        process.add(device, device as u64).await;
    }
    process.host.change_voters(GroupId(1), &[VoterId(1), VoterId(2), VoterId(3)]).await.unwrap();
    assert_eq!(increment(&client, SLOT, "n").await, 11);
    process.host.change_voters(GroupId(1), &[VoterId(2)]).await.unwrap();
    assert_eq!(counter(&client, SLOT, "n").await, 11);
    assert_eq!(increment(&client, SLOT, "n").await, 12);
    assert_eq!(
        process.engines[0].as_ref().unwrap().group_log(GroupId(1)).last(),
        None,
        "what left is dropped"
    );
}

/// On one thread, so that the voter opened last has not run when its group is begun again.
#[tokio::test]
async fn a_first_start_that_reached_one_device_only_is_finished_by_the_next() {
    let mut process = Process::start(3).await;
    for device in 1..=3 {
        process.remove(device).await;
    }
    process.tasks.stop().await;
    let mut folders = std::mem::take(&mut process.folders);
    folders.drain(..2);
    folders.splice(0..0, [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()]);
    let process = Process::over(folders, fast()).await;
    for group in [GroupId(2), GroupId(1), SYSTEM_GROUP] {
        process.host.bootstrap(group, &[VoterId(1), VoterId(2), VoterId(3)]).await.unwrap();
    }
    assert_eq!(increment(&process.client(), SLOT, "n").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bootstrap_never_begins_a_second_time_what_one_voter_has_begun() {
    let mut process = Process::start(1).await;
    assert_eq!(increment(&process.client(), SLOT, "n").await, 1);
    for device in 2..=3 {
        process.folders.push(tempfile::tempdir().unwrap());
        process.engines.push(None);
        process.add(device, device as u64).await;
    }
    process.host.bootstrap(GroupId(1), &[VoterId(1), VoterId(2), VoterId(3)]).await.unwrap();
    for voter in [2, 3] {
        let log = process.engines[voter - 1].as_ref().unwrap().group_log(GroupId(1));
        assert_eq!(
            (log.last(), log.vote()),
            (None, None),
            "voter {voter} was given a configuration of its own"
        );
    }
    assert_eq!(increment(&process.client(), SLOT, "n").await, 2);
}
