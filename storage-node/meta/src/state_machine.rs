//! openraft's state machine: hands entries to the [`Applier`] on the device's apply thread, gives and takes snapshots.

use crate::MetaError;
use crate::apply::Applier;
use crate::apply_thread::ApplyThread;
use crate::raft_types::{Entry, RaftLogId, StorageError, StoredMembers, Types};
use crate::snapshot::{self, SnapshotSource};
use openraft::impls::EmptyNode;
use openraft::storage::RaftStateMachine;
use openraft::{
    AnyError, ErrorSubject, ErrorVerb, OptionalSend, RaftSnapshotBuilder, Snapshot, SnapshotMeta,
    StorageIOError,
};
use ringfort_engine::GroupState;
use ringfort_runtime::TaskGroup;

/// The state machine of one voter, as openraft drives it.
pub(crate) struct StateMachine {
    /// Absent while a job has it, and for good after a job that failed.
    applier: Option<Box<Applier>>,
    thread: ApplyThread,
    tasks: TaskGroup,
}

impl StateMachine {
    pub(crate) fn new(applier: Applier, thread: ApplyThread, tasks: TaskGroup) -> Self {
        Self { applier: Some(Box::new(applier)), thread, tasks }
    }

    #[allow(clippy::result_large_err, reason = "openraft's error type")]
    fn applier(&self) -> Result<&Applier, StorageError> {
        self.applier.as_deref().ok_or_else(|| failed(ErrorVerb::Read, &Gone))
    }

    /// Runs `work` on the apply thread.
    async fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Applier) -> Result<T, MetaError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let mut applier = self.applier.take().ok_or_else(|| failed(ErrorVerb::Write, &Gone))?;
        let job = move || {
            let result = work(&mut applier);
            (applier, result)
        };
        let (applier, result) = self.thread.run(job).await.ok_or_else(|| failed(ErrorVerb::Write, &Gone))?;
        let value = result.map_err(|error| failed(ErrorVerb::Write, &error))?;
        self.applier = Some(applier);
        Ok(value)
    }

    #[allow(clippy::result_large_err, reason = "openraft's error type")]
    fn view(&self) -> Result<View, StorageError> {
        let applier = self.applier()?;
        Ok(View {
            state: applier.state().clone(),
            applied: applier.applied(),
            members: applier.members().clone(),
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the state machine stopped after an error")]
struct Gone;

fn failed(verb: ErrorVerb, error: &(impl std::error::Error + 'static)) -> StorageError {
    StorageIOError::new(ErrorSubject::StateMachine, verb, AnyError::new(error)).into()
}

/// What a snapshot is made from.
pub(crate) struct View {
    state: GroupState,
    applied: Option<RaftLogId>,
    members: StoredMembers,
}

impl View {
    fn meta(&self) -> SnapshotMeta<u64, EmptyNode> {
        let snapshot_id = match &self.applied {
            Some(at) => format!("{}-{}-{}", at.leader_id.term, at.leader_id.node_id, at.index),
            None => String::new(),
        };
        SnapshotMeta { last_log_id: self.applied, last_membership: self.members.clone(), snapshot_id }
    }
}

/// openraft asks for a snapshot to be built before it lets the log be purged. The state itself is durable, so there is
/// nothing to build: the answer is where the state stands.
impl RaftSnapshotBuilder<Types> for View {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError> {
        Ok(Snapshot { meta: self.meta(), snapshot: Box::new(SnapshotSource::Nothing) })
    }
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotBuilder = View;

    async fn applied_state(&mut self) -> Result<(Option<RaftLogId>, StoredMembers), StorageError> {
        let applier = self.applier()?;
        Ok((applier.applied(), applier.members().clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<()>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let count = entries.len();
        self.run(move |applier| applier.apply(entries)).await?;
        Ok(vec![(); count])
    }

    async fn get_snapshot_builder(&mut self) -> View {
        self.view().unwrap_or_else(|_| unreachable!("openraft ends with the first storage error"))
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<SnapshotSource>, StorageError> {
        Ok(Box::new(SnapshotSource::Nothing))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<u64, EmptyNode>,
        source: Box<SnapshotSource>,
    ) -> Result<(), StorageError> {
        let wanted = meta.last_log_id;
        let install = move |applier: &mut Applier| {
            snapshot::install(applier.state(), *source, wanted.map_or(0, |log_id| log_id.index))?;
            applier.load()?;
            if applier.applied() == wanted {
                Ok(())
            } else {
                Err(MetaError::Corrupt {
                    what: format!("the snapshot stands at {:?}, not {wanted:?}", applier.applied()),
                })
            }
        };
        // Not on the apply thread: it takes long, and the other groups of the device go on meanwhile.
        let mut applier = self.applier.take().ok_or_else(|| failed(ErrorVerb::Write, &Gone))?;
        let job = move || install(&mut applier).map(|()| applier);
        let installed = self.tasks.spawn_blocking(job).await.map_err(|_| failed(ErrorVerb::Write, &Gone))?;
        self.applier = Some(installed.map_err(|error| failed(ErrorVerb::Write, &error))?);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StorageError> {
        let view = self.view()?;
        if view.applied.is_none() {
            return Ok(None);
        }
        let live = view.state.snapshot().map_err(|error| failed(ErrorVerb::Read, &error))?;
        Ok(Some(Snapshot { meta: view.meta(), snapshot: Box::new(SnapshotSource::Live(live)) }))
    }
}
