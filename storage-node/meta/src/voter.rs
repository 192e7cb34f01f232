//! One voter: one device's part in one group.

use crate::apply::Applier;
use crate::apply_thread::ApplyThread;
use crate::group::Group;
use crate::lease::Lease;
use crate::log_store::{LogStore, Recent};
use crate::network::{Links, configs};
use crate::raft_types::{Raft, RaftLogId, decode_vote};
use crate::state_machine::StateMachine;
use crate::{MetaConfig, MetaError};
use openraft::{ServerState, SnapshotPolicy};
use parking_lot::{Mutex, RwLock};
use ringfort_core::{DeviceId, GroupId, VoterId};
use ringfort_engine::{Engine, GroupState, StateStatus};
use ringfort_runtime::{TaskGroup, boot_time};
use ringfort_storage_api::StateModel;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A device as voters see it.
#[derive(Clone)]
pub(crate) struct Device {
    pub(crate) id: DeviceId,
    pub(crate) voter: VoterId,
    pub(crate) engine: Engine,
    pub(crate) apply: ApplyThread,
}

/// A running voter.
pub(crate) struct Voter {
    pub(crate) id: VoterId,
    pub(crate) device: DeviceId,
    pub(crate) engine: Engine,
    pub(crate) state: GroupState,
    pub(crate) raft: Raft,
    pub(crate) lease: Arc<Lease>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) recent: Arc<Mutex<Recent>>,
    /// The term it leads, 0 if it does not.
    leader_term: AtomicU64,
    running: AtomicBool,
    /// The term it led when it was opened, and the end of its log then: a leader that was restarted within its term may have
    /// acknowledged all of it. In any other term, having applied an entry of that term is enough.
    read_floor: (u64, u64),
    /// Entries up to here may be purged once they are durable in the state.
    purge_goal: AtomicU64,
}

/// Whether a device's part in a group may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LocalState {
    /// There is nothing.
    Empty,
    /// It belongs to this voter.
    Own,
    /// It belongs to another voter.
    Foreign,
    /// Vote, log or state are damaged.
    Lost,
}

/// What `device` has of `group`, seen as `voter`.
pub(crate) fn local_state(engine: &Engine, group: GroupId, voter: VoterId) -> LocalState {
    let log = engine.group_log(group);
    if engine.group_state(group).status() == StateStatus::Lost {
        return LocalState::Lost;
    }
    match log.vote().map(|bytes| decode_vote(&bytes)) {
        Some(Ok((owner, _))) if owner == voter => LocalState::Own,
        Some(Ok(_)) => LocalState::Foreign,
        Some(Err(_)) => LocalState::Lost,
        // A crash in the middle of beginning the group: its first configuration alone, and nobody has voted.
        None if log.last() == Some(0) && log.purged().is_none() => LocalState::Own,
        None if log.last().is_some() || log.purged().is_some() => LocalState::Lost,
        None if engine.group_state(group).status() == StateStatus::Ok => LocalState::Lost,
        None => LocalState::Empty,
    }
}

impl Voter {
    /// Starts the voter of `device` in `group`.
    pub(crate) async fn open(
        group: &Arc<Group>,
        device: &Device,
        model: Arc<dyn StateModel>,
        config: &MetaConfig,
        tasks: &TaskGroup,
    ) -> Result<Arc<Self>, MetaError> {
        let (id, engine) = (device.voter, device.engine.clone());
        let (log, state) = (engine.group_log(group.id), engine.group_state(group.id));
        let vote = log.vote().map(|bytes| decode_vote(&bytes)).transpose();
        let vote = vote.map_err(|error| raft_error(group.id, error))?.map(|(_, vote)| vote);
        let led = vote.filter(|vote| vote.committed && vote.leader_id.node_id == id.0);
        let read_floor = (led.map_or(0, |vote| vote.leader_id.term), log.last().unwrap_or(0));
        let parts = (log.clone(), state.clone());
        let store = LogStore::new(id, engine.clone(), log, state.clone(), tasks.clone());
        let recent = store.recent();
        let progress = Arc::new(Progress::default());
        let opening = (progress.clone(), recent.clone());
        let open = move || Applier::open(id, parts, model, opening.0, opening.1);
        let applier = device
            .apply
            .run(open)
            .await
            .ok_or_else(|| raft_error(group.id, "the apply thread is gone"))??;
        let lease = Lease::new(id.0, config.lease, config.election_timeout_max, boot_time(), vote.is_some());
        let lease = Arc::new(lease);
        let links = Links::new(group, id, lease.clone());
        let machine = StateMachine::new(applier, device.apply.clone(), tasks.clone());
        let raft = Raft::new(id.0, Arc::new(raft_config(config)?), links, store, machine).await;
        let raft = raft.map_err(|error| raft_error(group.id, error))?;
        let voter = Arc::new(Self {
            id,
            device: device.id,
            engine,
            state,
            raft,
            lease,
            progress,
            recent,
            leader_term: AtomicU64::new(0),
            running: AtomicBool::new(true),
            read_floor,
            purge_goal: AtomicU64::new(0),
        });
        tasks.spawn(watch(voter.clone(), Arc::downgrade(group)));
        Ok(voter)
    }

    /// Stops taking part. What is stored stays.
    pub(crate) async fn close(&self) {
        self.running.store(false, Ordering::Release);
        self.leader_term.store(0, Ordering::Release);
        self.lease.lead(None, 0, Vec::new());
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(voter = %self.id, %error, "a voter did not stop cleanly");
        }
    }

    pub(crate) fn running(&self) -> bool {
        self.running.load(Ordering::Acquire)
    }

    /// The term it leads, if it does.
    pub(crate) fn leads(&self) -> Option<u64> {
        Some(self.leader_term.load(Ordering::Acquire)).filter(|term| *term != 0)
    }

    /// Reads of its state are linearizable now. To be checked after reading.
    pub(crate) fn may_serve_reads(&self) -> bool {
        let term = self.leader_term.load(Ordering::Acquire);
        term != 0
            && self.progress.own_term.load(Ordering::Acquire) == term
            && (term != self.read_floor.0 || self.progress.index() >= self.read_floor.1)
            && self.lease.holds(boot_time())
    }

    /// Entries up to `index` are no longer wanted.
    pub(crate) fn purge_to(&self, index: u64) {
        self.purge_goal.fetch_max(index, Ordering::Relaxed);
    }

    pub(crate) fn purge_goal(&self) -> u64 {
        self.purge_goal.load(Ordering::Relaxed)
    }

    /// The error that stopped openraft, if one did.
    pub(crate) fn stopped_by(&self) -> Option<String> {
        self.raft.metrics().borrow().running_state.as_ref().err().map(ToString::to_string)
    }

    fn note_role(&self) -> bool {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow();
        let leads = metrics.state == ServerState::Leader && metrics.vote.committed && self.running();
        let members = &metrics.membership_config;
        let at = members.log_id().map_or(0, |log_id| log_id.index);
        self.lease.lead(leads.then_some(metrics.vote.leader_id), at, configs(members.membership()));
        let term = if leads { metrics.vote.leader_id.term } else { 0 };
        self.leader_term.swap(term, Ordering::AcqRel) != term
    }
}

/// Follows what openraft says of the voter's role until it stops.
async fn watch(voter: Arc<Voter>, group: std::sync::Weak<Group>) {
    let mut changes = voter.raft.server_metrics();
    loop {
        changes.borrow_and_update();
        let changed = voter.note_role();
        if changed && let Some(group) = group.upgrade() {
            group.leader_changed.notify_waiters();
        }
        if changes.changed().await.is_err() {
            break;
        }
    }
    if voter.running.swap(false, Ordering::AcqRel) {
        let reason = voter.stopped_by();
        tracing::error!(voter = %voter.id, device = %voter.device, reason, "a voter stopped after a storage error");
    }
    voter.leader_term.store(0, Ordering::Release);
    voter.lease.lead(None, 0, Vec::new());
}

/// How far a voter has applied, and the guard between its writes and reads that look twice.
#[derive(Default)]
pub(crate) struct Progress {
    index: AtomicU64,
    /// The term of the last entry applied, if this voter proposed it; else 0.
    own_term: AtomicU64,
    /// Odd while a write is under way.
    version: AtomicU64,
    writing: RwLock<()>,
}

impl Progress {
    pub(crate) fn index(&self) -> u64 {
        self.index.load(Ordering::Acquire)
    }

    pub(crate) fn applied(&self, voter: VoterId, applied: Option<RaftLogId>) {
        let own = applied.filter(|log_id| log_id.leader_id.node_id == voter.0);
        self.index.store(applied.map_or(0, |log_id| log_id.index), Ordering::Release);
        self.own_term.store(own.map_or(0, |log_id| log_id.leader_id.term), Ordering::Release);
    }

    /// Runs a write.
    pub(crate) fn change<T>(&self, write: impl FnOnce() -> T) -> T {
        let _alone = self.writing.write();
        self.version.fetch_add(1, Ordering::AcqRel);
        let result = write();
        self.version.fetch_add(1, Ordering::AcqRel);
        result
    }

    /// Runs `read` so that all it reads is of one state. `read` answers how many reads it made: one is consistent by
    /// itself. Tries without a lock first, since writes are short.
    pub(crate) fn consistent<T>(&self, mut read: impl FnMut() -> (T, u32)) -> T {
        for _ in 0..3 {
            let before = self.version.load(Ordering::Acquire);
            if before % 2 == 1 {
                break;
            }
            let (answer, reads) = read();
            if reads <= 1 || self.version.load(Ordering::Acquire) == before {
                return answer;
            }
        }
        let _still = self.writing.read();
        read().0
    }
}

fn raft_config(config: &MetaConfig) -> Result<openraft::Config, MetaError> {
    let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let raft = openraft::Config {
        cluster_name: "ringfort".to_owned(),
        heartbeat_interval: ms(config.heartbeat),
        election_timeout_min: ms(config.election_timeout_min),
        election_timeout_max: ms(config.election_timeout_max),
        max_payload_entries: 64,
        snapshot_policy: SnapshotPolicy::Never,
        // The purger says what goes, by what is durable; openraft's own policy would not know.
        max_in_snapshot_log_to_keep: u64::MAX,
        ..openraft::Config::default()
    };
    if config.lease >= config.election_timeout_max {
        return Err(MetaError::Invalid {
            what: "the lease must be shorter than the election timeout".to_owned(),
        });
    }
    raft.validate().map_err(|error| MetaError::Invalid { what: error.to_string() })
}

pub(crate) fn raft_error(group: GroupId, reason: impl ToString) -> MetaError {
    MetaError::Raft { group, reason: reason.to_string() }
}
