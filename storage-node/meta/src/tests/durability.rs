//! What a voter answers, it has in its files.

use crate::log_store::LogStore;
use crate::raft_types::{Entry, RaftVote, decode_vote};
use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use openraft::{CommittedLeaderId, EntryPayload, LogId};
use ringfort_core::{GroupId, VoterId};
use ringfort_engine::{Engine, EngineConfig};
use ringfort_runtime::TaskGroup;
use std::path::Path;

/// The folder as a process that is killed now leaves it. (That what is in the files is also synced is proven in the engine, on a
/// disk that loses what is not.)
fn killed(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let mut todo = vec![(folder.to_owned(), copy.path().to_owned())];
    while let Some((from, to)) = todo.pop() {
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            let target = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                std::fs::create_dir(&target).unwrap();
                todo.push((entry.path(), target));
            } else {
                std::fs::copy(entry.path(), target).unwrap();
            }
        }
    }
    copy
}

/// Fails when `LogStore` answers before the engine has: a vote that is forgotten is given twice, an entry that is forgotten was
/// counted into a quorum.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn votes_and_entries_are_in_the_files_when_they_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let config = EngineConfig { extent_bytes: 64 << 10, ..EngineConfig::small_for_tests() };
    let (engine, _) = Engine::open(folder.path(), config.clone()).unwrap();
    let (log, state) = (engine.group_log(GroupId(1)), engine.group_state(GroupId(1)));
    let mut store = LogStore::new(VoterId(3), engine.clone(), log, state, TaskGroup::new());
    for term in 1..=20 {
        let vote = RaftVote::new(term, 7);
        store.save_vote(&vote).await.unwrap();
        let after_vote = killed(folder.path());
        let log_id = LogId::new(CommittedLeaderId::new(term, 7), term);
        store.blocking_append([Entry { log_id, payload: EntryPayload::Blank }]).await.unwrap();
        let after_entry = killed(folder.path());
        for (copy, last) in [(after_vote, term - 1), (after_entry, term)] {
            let (copied, _) = Engine::open(copy.path(), config.clone()).unwrap();
            let log = copied.group_log(GroupId(1));
            assert_eq!(decode_vote(&log.vote().unwrap()).unwrap(), (VoterId(3), vote));
            assert_eq!(log.last().unwrap_or(0), last);
            tokio::task::spawn_blocking(move || copied.close()).await.unwrap();
        }
    }
    tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
}
