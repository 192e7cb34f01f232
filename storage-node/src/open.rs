//! Starting a node: on folders that are new, on folders that are known, and on any mixture a crash or a new disk leaves.
//!
//! The first start can be cut short anywhere and is then finished by the next: `cluster.json` says `formed` only when the
//! system group holds the whole cluster map, and until then every step looks first at what is already there.

use crate::identity::{ClusterIdentity, DeviceIdentity};
use crate::inner::{Inner, Parts, Tasks};
use crate::local::{self, Folder, LocalDevice, LocalState, OpenedEngine};
use crate::records::{ClusterMap, Counters, DeviceRecord, Records};
use crate::voters::{self, Candidate};
use crate::{DeviceConfig, NodeConfig, NodeError, rings};
use ringfort_core::{
    DeviceId, ErrorKind, GROUP_COUNT_DEFAULT, GroupId, Incarnation, SYSTEM_GROUP, SessionId, VoterId,
};
use ringfort_engine::EngineConfig;
use ringfort_meta::kv::KvClient;
use ringfort_meta::{MetaConfig, MetaError, MetaHost};
use ringfort_ring::{DeviceState, Weight};
use ringfort_runtime::boot_time;
use ringfort_storage_api::StateModel;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The name this process's sessions are registered under.
const NODE_NAME: &str = "node";

/// A node under construction.
struct Opening {
    config: NodeConfig,
    identity: ClusterIdentity,
    engine_config: EngineConfig,
    tasks: Tasks,
    host: MetaHost,
    local: BTreeMap<DeviceId, LocalDevice>,
    identities: BTreeMap<DeviceId, DeviceIdentity>,
    /// Folders that no device of this cluster was found in.
    unmatched: Vec<(DeviceConfig, Option<NodeError>)>,
    /// Sessions of earlier runs that have not ended.
    earlier: Vec<SessionId>,
}

/// A node as far as its first picture of the cluster; nothing runs in the background yet.
pub(crate) struct OpenedNode {
    pub(crate) inner: Arc<Inner>,
    /// Configured folders that the cluster has never seen: they are to be added as new devices.
    pub(crate) fresh: Vec<DeviceConfig>,
    /// Sessions of earlier runs that are to be ended.
    pub(crate) earlier: Vec<SessionId>,
}

/// Opens a node.
pub(crate) async fn open(config: NodeConfig, model: Arc<dyn StateModel>) -> Result<OpenedNode, NodeError> {
    config.validate()?;
    let data_dir = config.data_dir.clone();
    let tasks = Tasks::default();
    let found = tasks.background.spawn_blocking(move || ClusterIdentity::load(&data_dir)).await;
    let found = found.map_err(|_| NodeError::Stopping)??;
    let missing = found.is_none();
    // A new one is written down only once the folders are known to be fit for it.
    let identity = found.unwrap_or_else(ClusterIdentity::new);
    let host = MetaHost::new(tasks.meta.clone(), model, MetaConfig::default());
    let mut opening = Opening {
        engine_config: local::engine_config(&config),
        config,
        identity,
        tasks,
        host,
        local: BTreeMap::new(),
        identities: BTreeMap::new(),
        unmatched: Vec::new(),
        earlier: Vec::new(),
    };
    match opening.look().await {
        Err(NodeError::OtherCluster { path, found, .. }) if missing => {
            return Err(NodeError::IdentityMissing {
                path: path.clone(),
                found,
                file: ClusterIdentity::file(&opening.config.data_dir),
            });
        }
        looked => looked?,
    }
    let result = if opening.identity.formed { opening.restart().await } else { opening.first_start().await };
    match result {
        Ok((session, records, map)) => {
            let fresh = opening.settle(&map)?;
            let Opening { config, identity, engine_config, tasks, host, local, earlier, .. } = opening;
            let parts = Parts { config, identity, engine_config, tasks, host, session, records, map, local };
            Ok(OpenedNode { inner: Arc::new(Inner::new(parts)), fresh, earlier })
        }
        Err(error) => {
            opening.abandon().await;
            Err(error)
        }
    }
}

type Opened = (SessionId, Records, ClusterMap);

impl Opening {
    /// Looks at every folder.
    async fn look(&mut self) -> Result<(), NodeError> {
        let (devices, cluster) = (self.config.devices.clone(), self.identity.cluster.clone());
        let looked = self.tasks.background.spawn_blocking(move || {
            devices
                .into_iter()
                .map(|device| local::look(&device.path, &cluster).map(|folder| (device, folder)))
                .collect()
        });
        let looked: Result<Vec<_>, NodeError> = looked.await.map_err(|_| NodeError::Stopping)?;
        for (device, folder) in looked? {
            match folder {
                Folder::Emptied(identity) if self.identity.formed => {
                    let state = LocalState::Absent("its stored files were removed".to_owned());
                    let away_since = Some(boot_time());
                    let local = LocalDevice { path: device.path, state, opened: None, away_since };
                    self.local.entry(identity.device).or_insert(local);
                }
                Folder::Ours(identity) | Folder::Emptied(identity) => {
                    if let Some(other) = self.local.get(&identity.device) {
                        let (path, other) = (device.path, other.path.clone());
                        return Err(NodeError::DeviceTwice { path, device: identity.device, other });
                    }
                    let state = LocalState::Absent("not opened yet".to_owned());
                    let local = LocalDevice { path: device.path, state, opened: None, away_since: None };
                    self.local.insert(identity.device, local);
                    self.identities.insert(identity.device, identity);
                }
                Folder::Blank => self.unmatched.push((device, None)),
                Folder::Unusable(error) => self.unmatched.push((device, Some(error))),
            }
        }
        Ok(())
    }

    /// Makes a cluster of the folders.
    async fn first_start(&mut self) -> Result<Opened, NodeError> {
        let mut next = self.identities.keys().map(|id| id.0).max().unwrap_or(0) + 1;
        let mut records = BTreeMap::new();
        for device in self.config.devices.clone() {
            let known = self.local.iter().find(|(_, local)| local.path == device.path).map(|(id, _)| *id);
            let id = known.unwrap_or(DeviceId(next));
            if known.is_none() {
                next += 1;
            }
            records
                .insert(id, record_of(&self.config, &device, id, Incarnation(1), VoterId(u64::from(id.0)))?);
        }
        if let Some((_, Some(error))) = take_first(&mut self.unmatched, |(_, error)| error.is_some()) {
            return Err(error);
        }
        let counters = Counters { next_device: next, next_voter: u64::from(next) };
        let seed = self.identity.ring_seed(&self.config.data_dir)?;
        let (policies, power) = (self.config.policies.clone(), self.config.ring_power);
        let specs: Vec<_> = records.values().map(DeviceRecord::spec).collect();
        let planned = self
            .tasks
            .background
            .spawn_blocking(move || rings::first(&policies, &specs, seed, power).map(|r| (r, policies)));
        let (rings, policies) = planned.await.map_err(|_| NodeError::Stopping)??;
        let slots = ClusterMap::first_slots(GROUP_COUNT_DEFAULT);
        let mut map = ClusterMap { version: 0, counters, policies, devices: records, rings, slots };
        self.save_identity().await?;
        self.format_new(&map).await?;
        self.open_engines().await?;
        self.bootstrap(&map).await?;
        let session = self.register().await?;
        let records = Records::new(KvClient::new(self.host.client(session)));
        match records.load().await? {
            Some(there) => map = there,
            None => records.commit(None, &mut map).await?,
        }
        self.identity = self.identity.clone().formed();
        self.save_identity().await?;
        Ok((session, records, map))
    }

    /// Writes the cluster's identity down. Before any device names the cluster: a device of a cluster that nobody knows could
    /// not be used again.
    async fn save_identity(&self) -> Result<(), NodeError> {
        let (identity, data_dir) = (self.identity.clone(), self.config.data_dir.clone());
        let save = self.tasks.background.spawn_blocking(move || {
            std::fs::create_dir_all(&data_dir)
                .map_err(|source| NodeError::io("create", &data_dir, source))?;
            identity.save(&data_dir)
        });
        save.await.map_err(|_| NodeError::Stopping)?
    }

    async fn format_new(&mut self, map: &ClusterMap) -> Result<(), NodeError> {
        let blank: Vec<_> = self.unmatched.drain(..).map(|(device, _)| device).collect();
        for device in blank {
            let name = local::path_name(&self.config.data_dir, &device);
            let Some(record) = map.devices.values().find(|record| record.path == name) else { continue };
            let identity =
                DeviceIdentity::new(&self.identity.cluster, record.id, record.incarnation, record.voter);
            let (path, made) = (device.path.clone(), identity.clone());
            let formatted = self.tasks.background.spawn_blocking(move || local::format(&path, &made));
            formatted.await.map_err(|_| NodeError::Stopping)??;
            let state = LocalState::Absent("not opened yet".to_owned());
            self.local
                .insert(record.id, LocalDevice { path: device.path, state, opened: None, away_since: None });
            self.identities.insert(record.id, identity);
        }
        Ok(())
    }

    /// Opens every engine at once, and starts the voters found.
    async fn open_engines(&mut self) -> Result<(), NodeError> {
        let opening: Vec<_> = self
            .local
            .iter()
            .filter(|(id, _)| self.identities.contains_key(id))
            .map(|(id, local)| {
                let (id, path, config) = (*id, local.path.clone(), self.engine_config.clone());
                (id, self.tasks.background.spawn_blocking(move || local::open_engine(id, &path, config)))
            })
            .collect();
        for (id, task) in opening {
            let opened = task.await.map_err(|_| NodeError::Stopping)?;
            let Some(local) = self.local.get_mut(&id) else { continue };
            match opened {
                Ok(OpenedEngine { engine, place, .. }) => {
                    let voter = self.identities[&id].voter;
                    let report = self.host.add_device(id, voter, engine.clone()).await?;
                    if !report.lost.is_empty() {
                        tracing::warn!(device = %id, groups = ?report.lost, "voters lost their state and will be replaced");
                    }
                    local.state = LocalState::Open(engine);
                    local.opened = place;
                }
                // A wrong program or a second process: going on without the device would hide the mistake.
                Err(
                    error @ (NodeError::Engine { kind: ErrorKind::Invalid, .. } | NodeError::Refused { .. }),
                ) => return Err(error),
                Err(error) => {
                    tracing::error!(device = %id, %error, "the device cannot be opened and stays out of service");
                    local.state = LocalState::Failed(error.to_string());
                    local.away_since = Some(boot_time());
                }
            }
        }
        Ok(())
    }

    async fn bootstrap(&self, map: &ClusterMap) -> Result<(), NodeError> {
        let candidates: Vec<Candidate> = map.devices.values().map(|record| candidate(record, true)).collect();
        let groups: Vec<GroupId> =
            std::iter::once(SYSTEM_GROUP).chain((1..=GROUP_COUNT_DEFAULT).map(GroupId)).collect();
        let first = voters::first(&groups, &candidates);
        let all = first.iter().map(|(group, voters)| self.host.bootstrap(*group, voters));
        for result in futures_util::future::join_all(all).await {
            result?;
        }
        Ok(())
    }

    /// Opens what is there and reads the map back.
    async fn restart(&mut self) -> Result<Opened, NodeError> {
        self.open_engines().await?;
        if !self.local.values().any(|local| local.engine().is_some()) {
            let reason =
                format!("no device of this cluster is in the folders given: {}", self.away().join("; "));
            return Err(NodeError::Refused { reason });
        }
        let session = self.register().await?;
        let records = Records::new(KvClient::new(self.host.client(session)));
        let map = records.load().await?.ok_or_else(|| NodeError::Record {
            key: "map/version".to_owned(),
            reason: "the system group holds no cluster map".to_owned(),
        })?;
        self.host.set_slots(map.slots.clone())?;
        self.match_identities(&map).await?;
        Ok((session, records, map))
    }

    /// The devices that are not open, and why not.
    fn away(&self) -> Vec<String> {
        let unmatched = self.unmatched.iter().map(|(device, error)| match error {
            Some(error) => error.in_full(),
            None => format!("{} is empty or not there", device.path.display()),
        });
        let closed = self.local.values().filter_map(|local| match &local.state {
            LocalState::Open(_) => None,
            LocalState::Failed(reason) | LocalState::Absent(reason) => {
                Some(format!("{}: {reason}", local.path.display()))
            }
        });
        unmatched.chain(closed).collect()
    }

    /// Opens the session of this run. Needs the system group only, so that a node starts and serves what it can while
    /// other groups wait for their devices.
    async fn register(&mut self) -> Result<SessionId, NodeError> {
        let (nonce, _) = uuid::Uuid::new_v4().as_u64_pair();
        let registered = self.host.register_session(NODE_NAME, nonce).await;
        let (session, earlier) = registered.map_err(|error| self.no_quorum(error))?;
        self.earlier = earlier;
        Ok(session)
    }

    /// Says which devices are missing, when that is why the system group does not answer.
    fn no_quorum(&self, error: MetaError) -> NodeError {
        let reasons = self.away();
        if reasons.is_empty() || error.kind() != ErrorKind::Unavailable {
            return error.into();
        }
        NodeError::NoQuorum { reasons: reasons.join("; ") }
    }

    /// Takes devices out that the cluster replaced or removed meanwhile, and gives voters the ids the cluster knows.
    async fn match_identities(&mut self, map: &ClusterMap) -> Result<(), NodeError> {
        for (id, identity) in self.identities.clone() {
            let verdict = match map.devices.get(&id) {
                None => Err("the cluster does not know it".to_owned()),
                Some(record) if record.state == DeviceState::Removed => Err("it was removed".to_owned()),
                Some(record) if record.incarnation != identity.incarnation => Err(format!(
                    "it is incarnation {}, which was replaced by {}",
                    identity.incarnation, record.incarnation
                )),
                Some(record) => Ok(record.voter),
            };
            let Some(local) = self.local.get_mut(&id) else { continue };
            let Some(engine) = local.engine().cloned() else { continue };
            match verdict {
                Ok(voter) if voter == identity.voter => {}
                Ok(voter) => {
                    let renamed = DeviceIdentity::new(&identity.cluster, id, identity.incarnation, voter);
                    let path = local.path.clone();
                    let saved = self.tasks.background.spawn_blocking(move || renamed.save(&path));
                    saved.await.map_err(|_| NodeError::Stopping)??;
                    self.host.remove_device(id).await;
                    self.host.add_device(id, voter, engine).await?;
                }
                Err(reason) => {
                    tracing::warn!(device = %id, path = %local.path.display(), reason, "the device is not used");
                    self.host.remove_device(id).await;
                    let closed = self.tasks.background.spawn_blocking(move || engine.close());
                    closed.await.map_err(|_| NodeError::Stopping)?;
                    local.state = LocalState::Absent(reason);
                }
            }
        }
        Ok(())
    }

    /// Sorts the folders no device was found in: the place of a known device (the watcher reformats it if it is blank), or
    /// a new device, or something foreign.
    fn settle(&mut self, map: &ClusterMap) -> Result<Vec<DeviceConfig>, NodeError> {
        let mut fresh = Vec::new();
        for (device, error) in std::mem::take(&mut self.unmatched) {
            let name = local::path_name(&self.config.data_dir, &device);
            let known = map.devices.values().find(|record| {
                record.path == name
                    && record.state != DeviceState::Removed
                    && !self.local.contains_key(&record.id)
            });
            match (known, error) {
                (Some(record), error) => {
                    let reason =
                        error.map_or_else(|| "its folder is empty".to_owned(), |error| error.in_full());
                    tracing::warn!(device = %record.id, path = %device.path.display(), reason, "the device is absent");
                    let state = LocalState::Absent(reason);
                    let away_since = Some(boot_time());
                    let local = LocalDevice { path: device.path, state, opened: None, away_since };
                    self.local.insert(record.id, local);
                }
                (None, Some(error)) => return Err(error),
                (None, None) => fresh.push(device),
            }
        }
        Ok(fresh)
    }

    /// Closes what was opened after a start that failed.
    async fn abandon(self) {
        self.host.shutdown().await;
        self.tasks.meta.stop().await;
        let engines: Vec<_> = self.local.values().filter_map(|local| local.engine().cloned()).collect();
        let closing = self
            .tasks
            .background
            .spawn_blocking(move || engines.iter().for_each(ringfort_engine::Engine::close));
        if closing.await.is_err() {
            tracing::warn!("closing an engine failed");
        }
        self.tasks.background.stop().await;
    }
}

/// The record of a device as it was configured.
pub(crate) fn record_of(
    config: &NodeConfig,
    device: &DeviceConfig,
    id: DeviceId,
    incarnation: Incarnation,
    voter: VoterId,
) -> Result<DeviceRecord, NodeError> {
    Ok(DeviceRecord {
        id,
        incarnation,
        voter,
        region: device.region.clone(),
        zone: device.zone.clone(),
        node: device.node.clone(),
        weight: Weight::from_f64(device.weight)?,
        state: DeviceState::Active,
        path: local::path_name(&config.data_dir, device),
        own_mount: local::is_own_mount(&device.path),
    })
}

/// A device as somebody who could vote.
pub(crate) fn candidate(record: &DeviceRecord, present: bool) -> Candidate {
    Candidate {
        device: record.id,
        voter: record.voter,
        place: (record.region.clone(), record.zone.clone(), record.node.clone()),
        present,
        leaving: record.state != DeviceState::Active,
    }
}

fn take_first<T>(items: &mut Vec<T>, wanted: impl Fn(&T) -> bool) -> Option<T> {
    let at = items.iter().position(wanted)?;
    Some(items.remove(at))
}
