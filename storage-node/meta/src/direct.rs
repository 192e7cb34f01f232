//! A group of one voter without openraft: append, sync, apply. It is no part of the product: `examples/meta_bench.rs`
//! measures it as the least that batching, log and state machine cost, to tell what openraft adds.

use crate::apply::Applier;
use crate::apply_thread::ApplyThread;
use crate::group::{Group, Pending, build};
use crate::log_store::LogStore;
use crate::proposal::{CommandKind, Outcome, Replies};
use crate::raft_types::{Entry, entry_pieces};
use crate::{MetaConfig, MetaError};
use bytes::Bytes;
use openraft::{CommittedLeaderId, EntryPayload, LogId};
use ringfort_core::{CommandId, GroupId, SessionId, SlotId, VoterId};
use ringfort_engine::{Engine, EngineError, GroupLog, LogEntry};
use ringfort_runtime::TaskGroup;
use ringfort_storage_api::StateModel;
use std::sync::Arc;
use tokio::sync::oneshot;

/// A group of one voter without openraft.
#[derive(Clone)]
pub struct DirectGroup {
    group: Arc<Group>,
}

impl DirectGroup {
    /// Starts it over an empty part of `engine`. Blocks shortly.
    pub fn start(
        engine: &Engine,
        id: GroupId,
        model: Arc<dyn StateModel>,
        config: &MetaConfig,
        tasks: &TaskGroup,
    ) -> Result<Self, MetaError> {
        let (log, state) = (engine.group_log(id), engine.group_state(id));
        let recent =
            LogStore::new(VoterId(1), engine.clone(), log.clone(), state.clone(), tasks.clone()).recent();
        let applier =
            Box::new(Applier::open(VoterId(1), (log.clone(), state), model, Arc::default(), recent)?);
        let thread = ApplyThread::start("direct-apply".to_owned()).map_err(|error| MetaError::Invalid {
            what: format!("cannot start the apply thread: {error}"),
        })?;
        let group = Group::new(id, config);
        tasks.spawn_until_stopped(run(group.clone(), config.clone(), log, applier, thread));
        Ok(Self { group })
    }

    /// Executes a command; `lane` must not be in use.
    pub async fn execute(
        &self,
        lane: u32,
        sequence: u64,
        slot: SlotId,
        command: Bytes,
        bodies: Vec<Bytes>,
    ) -> Option<Bytes> {
        let (reply, waiting) = oneshot::channel();
        let id = CommandId { session: SessionId(1), lane, sequence };
        let bytes = command.len();
        self.group.queue.push(Pending { kind: CommandKind::Model, slot, id, command, bodies, bytes, reply });
        match waiting.await {
            Ok(Outcome::Done(result)) => Some(result),
            _ => None,
        }
    }
}

async fn run(
    group: Arc<Group>,
    config: MetaConfig,
    log: GroupLog,
    mut applier: Box<Applier>,
    thread: ApplyThread,
) {
    let mut index = 0;
    loop {
        group.queue.filled().await;
        let commands = group.queue.take(config.batch_commands_max, config.batch_bytes_max);
        let Some((proposal, senders)) = build(&group, commands) else { continue };
        proposal.expect_replies(Replies { proposer: VoterId(1), senders });
        index += 1;
        let entry = Entry {
            log_id: LogId::new(CommittedLeaderId::new(1, 1), index),
            payload: EntryPayload::Normal(proposal),
        };
        let (done, synced) = oneshot::channel();
        let record = LogEntry { index, term: 1, payload: entry_pieces(&entry) };
        log.append(vec![record], move |result: Result<(), EngineError>| drop(done.send(result)));
        if !matches!(synced.await, Ok(Ok(()))) {
            return;
        }
        let applied = thread.run(move || applier.apply(vec![entry]).map(|()| applier)).await;
        match applied {
            Some(Ok(back)) => applier = back,
            _ => return,
        }
    }
}
