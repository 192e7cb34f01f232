//! What waits and what is held is bounded.

use super::*;
use crate::MetaError;
use crate::apply::Applier;
use crate::group::{Pending, Queue};
use crate::log_store::LogStore;
use crate::proposal::{CommandKind, ProposalBuilder};
use crate::raft_types::{Entry, entry_pieces};
use openraft::{CommittedLeaderId, EntryPayload, LogId, RaftLogReader};
use ringfort_core::CommandId;
use ringfort_engine::LogEntry;

fn pending(bytes: usize) -> Pending {
    Pending {
        kind: CommandKind::Model,
        slot: SLOT,
        id: CommandId { session: SessionId(1), lane: 0, sequence: 1 },
        command: Bytes::new(),
        bodies: Vec::new(),
        bytes,
        reply: tokio::sync::oneshot::channel().0,
    }
}

#[test]
fn a_queue_is_bounded_by_commands_and_by_bytes() {
    let config = MetaConfig { queue_commands_max: 3, queue_bytes_max: 100, ..MetaConfig::default() };
    let queue = Queue::new(&config);
    assert!(queue.push(pending(10)) && queue.push(pending(10)) && queue.push(pending(10)));
    assert!(!queue.push(pending(10)), "three commands are the limit");
    assert_eq!(queue.take(2, 1000).len(), 2);
    assert!(!queue.push(pending(91)), "a hundred bytes are the limit");
    assert!(queue.push(pending(90)));
    assert_eq!(queue.take(10, 50).len(), 1, "the second does not fit beside the first");
    assert_eq!(queue.take(10, 50).len(), 1, "one is taken whatever its size");
    assert!(queue.push(pending(100)), "what is taken makes room");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_answers_at_once() {
    let config = MetaConfig { queue_bytes_max: 2000, ..fast() };
    let process = Process::start_with(1, config).await;
    let client = process.client();
    let body = |len| vec![Bytes::from(vec![1; len])];
    client.execute(SLOT, command(2, "a"), body(1000)).await.unwrap();
    let refused = client.execute(SLOT, command(2, "a"), body(3000)).await;
    assert!(matches!(refused, Err(MetaError::Busy { group: GroupId(1) })), "{refused:?}");
    assert_eq!(refused.unwrap_err().kind(), ringfort_core::ErrorKind::Unavailable);
    let refused = client.execute(SLOT, command(2, "a"), body(3 << 20)).await;
    assert!(matches!(refused, Err(MetaError::TooLarge { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_has_so_many_commands_outstanding_and_no_more() {
    let mut process = Process::start_with(1, MetaConfig { lanes_max: 2, ..fast() }).await;
    process.remove(1).await;
    let client = process.client();
    let mut commands: Vec<_> = ["a", "b", "c"]
        .map(|key| {
            let client = client.clone();
            process.tasks.spawn(async move { client.execute(SLOT, command(1, key), Vec::new()).await })
        })
        .into();
    // Without a leader two of them wait; whichever comes third is refused at once.
    let third = std::future::poll_fn(|context| {
        let ended = commands.iter_mut().find_map(|command| match std::pin::Pin::new(command).poll(context) {
            std::task::Poll::Ready(result) => Some(result.unwrap()),
            std::task::Poll::Pending => None,
        });
        ended.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
    });
    let third = tokio::time::timeout(Duration::from_secs(10), third).await.expect("an answer at once");
    assert!(matches!(third, Err(MetaError::Busy { .. })), "{third:?}");
    commands.iter().for_each(tokio::task::JoinHandle::abort);
}

/// A voter that restarts may have a long log to apply at once. Fails when `LogStore` decodes all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_log_is_applied_piece_by_piece() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, _) = Engine::open(folder.path(), EngineConfig::small_for_tests()).unwrap();
    let (log, state) = (engine.group_log(GroupId(1)), engine.group_state(GroupId(1)));
    let entries = 90;
    for index in 1..=entries {
        // Long keys, as the bytes are to be in the commands.
        let mut builder = ProposalBuilder::new(3, 0);
        for sequence in 0..3 {
            let key = format!("{:060000}", index % 7 * 3 + sequence);
            let id = CommandId { session: SessionId(1), lane: 1, sequence: index * 3 + sequence };
            builder.push(CommandKind::Model, SLOT, id, &command(1, &key), Vec::new());
        }
        let payload = EntryPayload::Normal(builder.build(HybridTime(index)));
        let log_id = LogId::new(CommittedLeaderId::new(1, 1), index);
        let payload = entry_pieces(&Entry { log_id, payload });
        let (done, written) = tokio::sync::oneshot::channel();
        log.append(vec![LogEntry { index, term: 1, payload }], |result| done.send(result).unwrap());
        written.await.unwrap().unwrap();
    }
    let mut store = LogStore::new(VoterId(1), engine.clone(), log.clone(), state.clone(), TaskGroup::new());
    let read = store.try_get_log_entries(1..=entries).await.unwrap();
    assert_eq!(read.len() as u64, entries);
    let held = read.iter().map(|entry| match &entry.payload {
        EntryPayload::Normal(proposal) => proposal.head_len(),
        _ => 0,
    });
    let held: usize = held.sum();
    assert!((3 << 20..5 << 20).contains(&held), "{held} bytes of commands in memory");
    let model = Arc::new(TestModel);
    let applied = tokio::task::spawn_blocking(move || {
        let mut applier =
            Applier::open(VoterId(1), (log, state.clone()), model, Arc::default(), store.recent()).unwrap();
        applier.apply(read).unwrap();
        assert_eq!(applier.applied().map(|at| at.index), Some(entries));
        let key = [&[1, 0, 0], format!("{:060000}", 0).as_bytes()].concat();
        state.get(&key).unwrap()
    });
    assert_eq!(applied.await.unwrap().unwrap().as_ref(), 12u64.to_be_bytes());
    tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
}
