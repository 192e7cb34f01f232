//! openraft's own storage suite on the real engine.

use super::TestModel;
use crate::apply::Applier;
use crate::apply_thread::ApplyThread;
use crate::log_store::{LogStore, Replicated};
use crate::raft_types::{Entry, RaftLogId, RaftVote, StorageError, Types};
use crate::state_machine::StateMachine;
use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::testing::{StoreBuilder, Suite};
use openraft::{OptionalSend, RaftLogReader};
use ringfort_core::{GroupId, VoterId};
use ringfort_engine::{Engine, EngineConfig, GroupState, StateBatch};
use ringfort_runtime::TaskGroup;
use std::fmt::Debug;
use std::ops::RangeBounds;
use std::sync::Arc;

/// The suite purges entries that it never applied, which the engine rightly refuses: this log applies them first. It also purges
/// a log that holds nothing and then appends below that, which is refused too: this log purges nothing where nothing is.
struct SuiteLog {
    log: LogStore,
    state: GroupState,
}

impl RaftLogReader<Types> for SuiteLog {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        self.log.try_get_log_entries(range).await
    }
}

impl RaftLogStorage<Types> for SuiteLog {
    type LogReader = Replicated;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError> {
        self.log.get_log_state().await
    }

    async fn get_log_reader(&mut self) -> Replicated {
        self.log.get_log_reader().await
    }

    async fn save_vote(&mut self, vote: &RaftVote) -> Result<(), StorageError> {
        self.log.save_vote(vote).await
    }

    async fn read_vote(&mut self) -> Result<Option<RaftVote>, StorageError> {
        self.log.read_vote().await
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        self.log.append(entries, callback).await
    }

    async fn truncate(&mut self, log_id: RaftLogId) -> Result<(), StorageError> {
        self.log.truncate(log_id).await
    }

    async fn purge(&mut self, log_id: RaftLogId) -> Result<(), StorageError> {
        if self.log.get_log_state().await?.last_log_id.is_none() {
            return Ok(());
        }
        if self.state.applied() < log_id.index {
            let mut batch = StateBatch::new();
            batch.applied(log_id.index);
            let state = self.state.clone();
            tokio::task::spawn_blocking(move || state.write(batch)).await.unwrap().unwrap();
        }
        self.log.purge(log_id).await
    }
}

struct Builder;

impl StoreBuilder<Types, SuiteLog, StateMachine, (tempfile::TempDir, Closing)> for Builder {
    async fn build(&self) -> Result<((tempfile::TempDir, Closing), SuiteLog, StateMachine), StorageError> {
        let folder = tempfile::tempdir().unwrap();
        let (engine, _) = Engine::open(folder.path(), EngineConfig::small_for_tests()).unwrap();
        let (log, state) = (engine.group_log(GroupId(1)), engine.group_state(GroupId(1)));
        let tasks = TaskGroup::new();
        let parts = (log.clone(), state.clone());
        let log = LogStore::new(VoterId(0), engine.clone(), log, state.clone(), tasks.clone());
        let applier =
            Applier::open(VoterId(0), parts, Arc::new(TestModel), Arc::default(), log.recent()).unwrap();
        let machine = StateMachine::new(applier, ApplyThread::start("suite".to_owned()).unwrap(), tasks);
        Ok(((folder, Closing(engine)), SuiteLog { log, state }, machine))
    }
}

struct Closing(Engine);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[test]
fn openrafts_storage_suite_passes() {
    Suite::test_all(Builder).unwrap();
}
