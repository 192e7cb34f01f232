//! Groups whose voters cannot reach each other.

use super::*;
use ringfort_core::ErrorKind;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_cut_off_serves_no_reads_and_its_successor_does() {
    let process = Process::start(3).await;
    let client = process.client();
    increment(&client, SLOT, "n").await;
    counter(&client, SLOT, "n").await;
    let group = process.host.inner.group(GroupId(1));
    let leader = group.leader().unwrap();
    assert!(leader.may_serve_reads());
    process.isolate(leader.id);
    eventually("the lease to run out", || async { !leader.may_serve_reads() }).await;
    assert!(increment(&client, SLOT, "n").await == 2, "the others elect a successor and take the command");
    assert_ne!(group.leader().unwrap().id, leader.id);
    assert!(!leader.may_serve_reads());
    assert_eq!(counter(&client, SLOT, "n").await, 2);
    process.heal();
    assert_eq!(increment(&client, SLOT, "n").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_everything_fails_closed() {
    let config = MetaConfig {
        command_timeout: Duration::from_secs(2),
        query_timeout: Duration::from_secs(1),
        ..fast()
    };
    let mut process = Process::start_with(3, config).await;
    let client = process.client();
    assert_eq!(increment(&client, SLOT, "n").await, 1);
    process.remove(1).await;
    process.remove(2).await;
    // A read may still be answered while the lease of a leader that is left runs.
    eventually("reads to be refused", || async {
        matches!(client.query(SLOT, command(1, "n")).await, Err(error) if error.kind() == ErrorKind::Unavailable)
    })
    .await;
    let error = client.execute(SLOT, command(1, "n"), Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    process.add(2, 2).await;
    let found = eventually_ok("a quorum again", || client.query(SLOT, command(1, "n"))).await;
    assert!(matches!(found.reply.as_ref(), [0, 0, 0, 0, 0, 0, 0, 1 | 2]), "once or not at all: {found:?}");
}

/// Fails when the lane's record is not looked at, and when proposals with a leader that was replaced are waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_stuck_with_a_leader_cut_off_go_on_under_the_next_and_count_once() {
    let process = Process::start(3).await;
    let client = process.client();
    assert_eq!(increment(&client, SLOT, "n").await, 1);
    let group = process.host.inner.group(GroupId(1));
    let leader = group.leader().unwrap();
    let others: Vec<VoterId> = (1..=3).map(VoterId).filter(|id| *id != leader.id).collect();
    let log_ends = || -> Vec<u64> {
        let engines = process.engines.iter().flatten();
        engines.map(|engine| engine.group_log(GroupId(1)).last().unwrap_or(0)).collect()
    };
    let before = log_ends().into_iter().max().unwrap();
    // The others get the entries, but the leader never hears of it and so never commits them.
    others.iter().for_each(|other| process.cut(*other, leader.id));
    let commands: Vec<_> = (0..4)
        .map(|_| {
            let client = client.clone();
            process.tasks.spawn(async move { increment(&client, SLOT, "n").await })
        })
        .collect();
    eventually("all voters to have an entry", || async { log_ends().iter().all(|end| *end > before) }).await;
    process.isolate(leader.id);
    let mut results = Vec::new();
    for command in commands {
        results.push(command.await.unwrap());
    }
    results.sort_unstable();
    assert_eq!(results, [2, 3, 4, 5]);
    assert_eq!(counter(&client, SLOT, "n").await, 5);
    assert_ne!(group.leader().unwrap().id, leader.id);
    process.heal();
    eventually("the old leader to follow", || async { leader.progress.index() + 1 > log_ends()[0] }).await;
    assert_eq!(counter(&client, SLOT, "n").await, 5);
}

/// A voter comes back with entries that were never committed, loses them to another leader, and leads again with a shorter
/// log. Fails when the end of its log at open counts in every term.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_that_were_dropped_hold_up_no_reads() {
    let mut process = Process::start_with(3, MetaConfig { pipeline: 20, ..fast() }).await;
    let client = process.client();
    assert_eq!(increment(&client, SLOT, "n").await, 1);
    let group = process.host.inner.group(GroupId(1));
    let old = group.leader().unwrap().id;
    let device = usize::try_from(old.0).unwrap();
    let before = process.engines[device - 1].as_ref().unwrap().group_log(GroupId(1)).last().unwrap();
    process.isolate(old);
    let mut lost = Vec::new();
    for number in 1..=15 {
        let client = client.clone();
        lost.push(process.tasks.spawn(async move { increment(&client, SLOT, "lost").await }));
        let log = process.engines[device - 1].as_ref().unwrap().group_log(GroupId(1));
        if group.leader().is_some_and(|leader| leader.id == old) {
            eventually("an entry on the leader alone, or another leader", || async {
                log.last().unwrap() >= before + number || group.leader().is_none_or(|now| now.id != old)
            })
            .await;
        }
    }
    lost.iter().for_each(tokio::task::JoinHandle::abort);
    process.remove(device).await;
    let end = {
        let folder = process.folders[device - 1].path();
        let open = || async { Engine::open(folder, EngineConfig::small_for_tests()) };
        let (engine, _) = eventually_ok("the device to open", open).await;
        let end = engine.group_log(GroupId(1)).last().unwrap();
        tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
        end
    };
    assert!(end > before + 8, "{before} {end}");
    eventually("another leader", || async { group.leader().is_some_and(|leader| leader.id != old) }).await;
    process.heal();
    process.add(device, old.0).await;
    let (next, back) = (group.leader().unwrap(), group.voter(old).unwrap());
    assert_eq!(counter(&client, SLOT, "n").await, 1);
    eventually("the voter to have all", || async { back.progress.index() == next.progress.index() }).await;
    // The third does not stand for election, and the leader is taken away.
    for voter in group.voters().iter().filter(|voter| voter.id != old) {
        voter.raft.runtime_config().elect(false);
    }
    process.remove(usize::try_from(next.id.0).unwrap()).await;
    eventually("the voter to lead again", || async { group.leader().is_some_and(|leader| leader.id == old) })
        .await;
    assert_eq!(counter(&client, SLOT, "n").await, 1);
    assert_eq!(counter(&client, SLOT, "lost").await, 0);
    assert!(back.progress.index() < end, "the log is as short as it was to be for this test");
}
