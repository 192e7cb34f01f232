//! All voters of this process.

use crate::apply_thread::ApplyThread;
use crate::client::Lanes;
use crate::group::{Group, run_batcher};
use crate::voter::{Device, LocalState, Voter, local_state, raft_error};
use crate::{DeviceReport, GroupStatus, MetaClient, MetaConfig, MetaError, VoterStatus, kv, purge};
use arc_swap::ArcSwap;
use openraft::error::{InitializeError, RaftError};
use openraft::impls::EmptyNode;
use parking_lot::{Mutex, RwLock};
use ringfort_core::{DeviceId, GroupId, SLOT_COUNT, SYSTEM_GROUP, SYSTEM_SLOT, SessionId, SlotId, VoterId};
use ringfort_engine::Engine;
use ringfort_runtime::TaskGroup;
use ringfort_storage_api::StateModel;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// All voters of this process: for each device added, one voter in each group that has one there. Cheap to clone.
#[derive(Clone)]
pub struct MetaHost {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) tasks: TaskGroup,
    pub(crate) model: Arc<dyn StateModel>,
    pub(crate) config: MetaConfig,
    pub(crate) devices: Mutex<BTreeMap<DeviceId, Device>>,
    pub(crate) groups: RwLock<BTreeMap<GroupId, Arc<Group>>>,
    sessions: Mutex<HashMap<SessionId, Arc<Lanes>>>,
    /// The group of each slot.
    slots: ArcSwap<Vec<GroupId>>,
}

impl MetaHost {
    /// A host without devices. Its tasks belong to `tasks` and end with it.
    #[must_use]
    pub fn new(tasks: TaskGroup, model: Arc<dyn StateModel>, config: MetaConfig) -> Self {
        let groups = config.groups.max(1);
        let slots = (0..SLOT_COUNT).map(|slot| GroupId(1 + u32::from(slot) % groups)).collect();
        let inner = Arc::new(Inner {
            tasks,
            model,
            config,
            devices: Mutex::default(),
            groups: RwLock::default(),
            sessions: Mutex::default(),
            slots: ArcSwap::from_pointee(slots),
        });
        inner.tasks.spawn_until_stopped(purge::run(Arc::downgrade(&inner), inner.config.clone()));
        Self { inner }
    }

    /// Adds a device, whose metadata incarnation is `voter`, and starts its voters in the groups found on it. Groups that
    /// are lost or belong to another voter are reported and left alone.
    pub async fn add_device(
        &self,
        device: DeviceId,
        voter: VoterId,
        engine: Engine,
    ) -> Result<DeviceReport, MetaError> {
        let apply = ApplyThread::start(format!("meta-apply-{device}")).map_err(|error| {
            MetaError::Invalid { what: format!("cannot start the apply thread: {error}") }
        })?;
        let added = Device { id: device, voter, engine, apply };
        {
            let mut devices = self.inner.devices.lock();
            if devices.contains_key(&device) || devices.values().any(|other| other.voter == voter) {
                return Err(MetaError::DeviceInUse { device, voter });
            }
            devices.insert(device, added.clone());
        }
        let mut report = DeviceReport::default();
        for group in added.engine.groups() {
            match local_state(&added.engine, group, voter) {
                LocalState::Empty => {}
                LocalState::Lost => report.lost.push(group),
                LocalState::Foreign => report.foreign.push(group),
                LocalState::Own => match self.inner.open_voter(group, &added).await {
                    Ok(()) => report.opened.push(group),
                    Err(error) => {
                        tracing::error!(%device, %group, %error, "a voter cannot start");
                        report.lost.push(group);
                    }
                },
            }
        }
        Ok(report)
    }

    /// Stops the voters of a device that failed or is removed. What it stores stays.
    pub async fn remove_device(&self, device: DeviceId) {
        let removed = self.inner.devices.lock().remove(&device);
        let Some(removed) = removed else { return };
        let groups: Vec<_> = self.inner.groups.read().values().cloned().collect();
        for group in groups {
            if let Some(voter) = group.remove(removed.voter) {
                voter.close().await;
            }
        }
    }

    /// First start of a group: makes `voters` its voters. Does nothing if the group has begun, so that it can be repeated
    /// after a crash in the middle.
    pub async fn bootstrap(&self, group: GroupId, voters: &[VoterId]) -> Result<(), MetaError> {
        if voters.is_empty() {
            return Err(MetaError::Invalid { what: "a group needs a voter".to_owned() });
        }
        let found = self.inner.group(group);
        let _alone = found.changing.lock().await;
        let mut empty = Vec::new();
        let mut begun = None;
        for voter in voters {
            let device = self.inner.device_of(group, *voter)?;
            match local_state(&device.engine, group, *voter) {
                LocalState::Empty => empty.push(device),
                LocalState::Own => {
                    self.inner.open_voter(group, &device).await?;
                    begun = begun.or_else(|| found.voter(*voter));
                }
                LocalState::Foreign | LocalState::Lost => {
                    return Err(MetaError::VoterLost { group, voter: *voter });
                }
            }
        }
        // A group begins once. A second configuration beside the first would be a second group under the same name, so
        // a voter that has none joins only if the configuration that is there names it.
        let members: BTreeMap<u64, EmptyNode> = match &begun {
            // Asked of the voter itself: what it shows to others is empty until it has run for the first time.
            Some(voter) => {
                let known = voter.raft.with_raft_state(|state| state.membership_state.effective().clone());
                let known = known.await.map_err(|error| raft_error(group, error))?;
                known.nodes().map(|(id, _)| (*id, EmptyNode {})).collect()
            }
            None => voters.iter().map(|voter| (voter.0, EmptyNode {})).collect(),
        };
        for device in empty.iter().filter(|device| members.contains_key(&device.voter.0)) {
            self.inner.open_voter(group, device).await?;
        }
        if begun.is_none() {
            let first = voters.iter().find_map(|voter| found.voter(*voter));
            let first = first.ok_or(MetaError::NoLeader { group })?;
            match first.raft.initialize(members).await {
                Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
                Err(error) => return Err(raft_error(group, error)),
            }
        }
        found.wait_leader(self.inner.config.query_timeout).await.map(|_| ())
    }

    /// Makes `voters` the voters of `group`: those that are new learn first, then one joint change replaces the old set,
    /// then what those that left have stored is dropped. Idempotent; a call cut short is repeated from the start.
    ///
    /// # Cancel safety
    ///
    /// Runs in a task of its own: a dropped call leaves the change running.
    pub async fn change_voters(&self, group: GroupId, voters: &[VoterId]) -> Result<(), MetaError> {
        let (inner, wanted) = (self.inner.clone(), voters.to_vec());
        let change =
            self.inner.tasks.spawn(async move { crate::membership::change(&inner, group, &wanted).await });
        change.await.unwrap_or_else(|error| Err(raft_error(group, error)))
    }

    /// The state of all groups that have a voter here.
    #[must_use]
    pub fn group_status(&self) -> Vec<GroupStatus> {
        let groups: Vec<_> = self.inner.groups.read().values().cloned().collect();
        groups.iter().map(|group| self.inner.status(group)).collect()
    }

    /// A client whose commands belong to `session`. Clients of one session share its lanes.
    #[must_use]
    pub fn client(&self, session: SessionId) -> MetaClient {
        let lanes_max = self.inner.config.lanes_max;
        let mut sessions = self.inner.sessions.lock();
        let lanes = sessions.entry(session).or_insert_with(|| Lanes::new(session, lanes_max)).clone();
        MetaClient::new(self.inner.clone(), lanes)
    }

    /// Registers a session of `node` in the system group, the same again for the same `nonce`. Also tells the earlier
    /// sessions of that node that have not ended: the caller is to [`Self::end_session`] each of them.
    pub async fn register_session(
        &self,
        node: &str,
        nonce: u64,
    ) -> Result<(SessionId, Vec<SessionId>), MetaError> {
        kv::KvClient::new(self.client(SessionId(0))).register_session(node, nonce).await
    }

    /// Ends a session: fences it in every group, where its recorded results are dropped and its commands refused, and
    /// then records its end in the system group. In this order, because whoever reads that it has ended relies on it that
    /// nothing of it can take effect any more. Idempotent; fails while a group does not answer.
    pub async fn end_session(&self, session: SessionId) -> Result<(), MetaError> {
        let client = self.client(SessionId(0));
        let mut groups: Vec<GroupId> = self.inner.slots.load().iter().copied().collect();
        groups.push(SYSTEM_GROUP);
        groups.sort_unstable();
        groups.dedup();
        for group in groups {
            client.fence(group, session).await?;
        }
        kv::KvClient::new(client).end_session(session).await?;
        self.inner.sessions.lock().remove(&session);
        Ok(())
    }

    /// The group of `slot`.
    pub fn group_of(&self, slot: SlotId) -> Result<GroupId, MetaError> {
        self.inner.group_of(slot)
    }

    /// Installs another slot table, one group per slot; the system slot always belongs to the system group.
    pub fn set_slots(&self, slots: Vec<GroupId>) -> Result<(), MetaError> {
        if slots.len() != usize::from(SLOT_COUNT) {
            return Err(MetaError::Invalid {
                what: format!("a slot table has {SLOT_COUNT} entries, not {}", slots.len()),
            });
        }
        self.inner.slots.store(Arc::new(slots));
        Ok(())
    }

    /// Stops all voters. What they store stays.
    pub async fn shutdown(&self) {
        let devices: Vec<DeviceId> = self.inner.devices.lock().keys().copied().collect();
        for device in devices {
            self.remove_device(device).await;
        }
    }
}

impl Inner {
    pub(crate) fn group_of(&self, slot: SlotId) -> Result<GroupId, MetaError> {
        if slot == SYSTEM_SLOT {
            return Ok(SYSTEM_GROUP);
        }
        self.slots.load().get(usize::from(slot.0)).copied().ok_or(MetaError::NoSuchSlot { slot })
    }

    /// The group, made with its batcher at first use.
    pub(crate) fn group(&self, id: GroupId) -> Arc<Group> {
        if let Some(group) = self.groups.read().get(&id) {
            return group.clone();
        }
        let mut groups = self.groups.write();
        let made = groups.entry(id).or_insert_with(|| {
            let group = Group::new(id, &self.config);
            self.tasks.spawn(run_batcher(group.clone(), self.config.clone(), self.tasks.stopping()));
            group
        });
        made.clone()
    }

    pub(crate) fn device_of(&self, group: GroupId, voter: VoterId) -> Result<Device, MetaError> {
        let devices = self.devices.lock();
        let found = devices.values().find(|device| device.voter == voter);
        found.cloned().ok_or(MetaError::NoSuchVoter { group, voter })
    }

    /// Starts the voter of `device` in `group` unless it runs.
    pub(crate) async fn open_voter(&self, group: GroupId, device: &Device) -> Result<(), MetaError> {
        let group = self.group(group);
        if group.voter(device.voter).is_none() {
            let voter = Voter::open(&group, device, self.model.clone(), &self.config, &self.tasks).await?;
            group.insert(voter);
        }
        Ok(())
    }

    fn status(&self, group: &Group) -> GroupStatus {
        let voters = group.voters();
        let leader = group.leader();
        // The membership as the leader sees it, else as the voter sees it that has applied most.
        let source =
            leader.clone().or_else(|| voters.iter().max_by_key(|voter| voter.progress.index()).cloned());
        let configs: Vec<u64> = source.map_or_else(Vec::new, |voter| {
            let metrics = voter.raft.server_metrics();
            let metrics = metrics.borrow();
            metrics.membership_config.membership().voter_ids().collect()
        });
        let device = |id: VoterId| {
            self.devices.lock().values().find(|device| device.voter == id).map(|device| device.id)
        };
        let describe = |id: &u64| {
            let voter = group.voter(VoterId(*id));
            VoterStatus {
                voter: VoterId(*id),
                device: device(VoterId(*id)),
                running: voter.as_ref().is_some_and(|voter| voter.running()),
                applied: voter.map_or(0, |voter| voter.progress.index()),
            }
        };
        GroupStatus {
            group: group.id,
            leader: leader.map(|voter| voter.id),
            voters: configs.iter().map(describe).collect(),
            applied: voters.iter().map(|voter| voter.progress.index()).max().unwrap_or(0),
            queued: group.queue.len(),
            changing: group.changing.try_lock().is_err(),
        }
    }
}
