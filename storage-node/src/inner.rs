//! What the parts of a storage node share.

use crate::identity::ClusterIdentity;
use crate::local::{LocalDevice, LocalState};
use crate::reconcile::Reconcilers;
use crate::records::{ClusterMap, Records};
use crate::{NodeConfig, NodeError};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use ringfort_core::{DeviceId, Epoch, SessionId};
use ringfort_engine::{Engine, EngineConfig, Health};
use ringfort_meta::{MetaClient, MetaHost};
use ringfort_ring::DeviceState;
use ringfort_runtime::TaskGroup;
use ringfort_storage_client::{
    ChunkStore, Cluster, ClusterView, DeviceHandle, DevicePlace, Member, PolicyRing, Standing,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Tasks of a node, in the order they are stopped.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks {
    /// Watcher and reconcilers.
    pub(crate) background: TaskGroup,
    /// Unfinished chunk writes.
    pub(crate) chunks: TaskGroup,
    /// Metadata groups.
    pub(crate) meta: TaskGroup,
}

/// What the parts of a storage node share.
pub(crate) struct Inner {
    pub(crate) config: NodeConfig,
    pub(crate) identity: ClusterIdentity,
    pub(crate) engine_config: EngineConfig,
    pub(crate) tasks: Tasks,
    pub(crate) host: MetaHost,
    pub(crate) session: SessionId,
    pub(crate) meta: MetaClient,
    pub(crate) records: Records,
    pub(crate) chunks: ChunkStore,
    pub(crate) reconcilers: Reconcilers,
    /// Held through every change of the cluster map and of the set of open devices.
    pub(crate) admin: tokio::sync::Mutex<()>,
    pub(crate) map: ArcSwap<ClusterMap>,
    pub(crate) local: Mutex<BTreeMap<DeviceId, LocalDevice>>,
    /// When a device's voters were last given a new id.
    pub(crate) renewed: Mutex<BTreeMap<DeviceId, Duration>>,
    /// Handles are remade with each picture of the cluster; their bound on bytes in flight must not be.
    handles: Mutex<BTreeMap<DeviceId, DeviceHandle>>,
    /// Pictures of the cluster that operations may still be working with.
    old_views: Mutex<Vec<(Epoch, Weak<Cluster>)>>,
}

/// What is put together when a node opens.
pub(crate) struct Parts {
    pub(crate) config: NodeConfig,
    pub(crate) identity: ClusterIdentity,
    pub(crate) engine_config: EngineConfig,
    pub(crate) tasks: Tasks,
    pub(crate) host: MetaHost,
    pub(crate) session: SessionId,
    pub(crate) records: Records,
    pub(crate) map: ClusterMap,
    pub(crate) local: BTreeMap<DeviceId, LocalDevice>,
}

impl Inner {
    pub(crate) fn new(parts: Parts) -> Self {
        let view = ClusterView::new(Cluster::new(Epoch(0), Vec::new(), Vec::new()));
        let chunks = ChunkStore::new(view, parts.tasks.chunks.clone());
        let inner = Self {
            meta: parts.host.client(parts.session),
            config: parts.config,
            identity: parts.identity,
            engine_config: parts.engine_config,
            tasks: parts.tasks,
            host: parts.host,
            session: parts.session,
            records: parts.records,
            chunks,
            reconcilers: Reconcilers::default(),
            admin: tokio::sync::Mutex::new(()),
            map: ArcSwap::from_pointee(parts.map),
            local: Mutex::new(parts.local),
            renewed: Mutex::default(),
            handles: Mutex::default(),
            old_views: Mutex::default(),
        };
        inner.refresh_view();
        inner.reconcilers.unproven.lock().extend(inner.out_of_service());
        inner
    }

    /// Members of the cluster that are not open here.
    fn out_of_service(&self) -> Vec<DeviceId> {
        let (map, local) = (self.map.load(), self.local.lock());
        let members = map.devices.values().filter(|record| record.state != DeviceState::Removed);
        let open = |id: DeviceId| local.get(&id).is_some_and(|device| device.engine().is_some());
        members.map(|record| record.id).filter(|id| !open(*id)).collect()
    }

    /// Records a changed map and shows it to everyone. The caller holds `admin`.
    pub(crate) async fn commit(&self, mut map: ClusterMap) -> Result<(), NodeError> {
        let old = self.map.load_full();
        self.records.commit(Some(&old), &mut map).await?;
        self.map.store(Arc::new(map));
        self.refresh_view();
        Ok(())
    }

    /// Makes a new picture of the cluster from the map and the open devices.
    pub(crate) fn refresh_view(&self) {
        let map = self.map.load();
        let rings: Vec<PolicyRing> = map
            .policies
            .iter()
            .filter_map(|policy| {
                let ring = map.rings.get(&policy.id)?;
                Some(PolicyRing {
                    policy: policy.clone(),
                    current: Arc::new(ring.current().clone()),
                    previous: ring.previous().cloned().map(Arc::new),
                })
            })
            .collect();
        let epoch = map.rings.values().map(|ring| ring.epoch()).max().unwrap_or_default();
        let devices = self.fresh_handles(&map);
        let old = self.chunks.view().store(Cluster::new(epoch, rings, devices));
        let mut old_views = self.old_views.lock();
        old_views.retain(|(_, view)| view.strong_count() > 0);
        old_views.push((old.epoch, Arc::downgrade(&old)));
    }

    fn fresh_handles(&self, map: &ClusterMap) -> Vec<Arc<DeviceHandle>> {
        let local = self.local.lock();
        let mut handles = self.handles.lock();
        let fresh = map.devices.values().map(|record| {
            let member = match record.state {
                DeviceState::Active => Member::Active,
                DeviceState::Draining => Member::Draining,
                DeviceState::Removed => Member::Removed,
            };
            let standing = match local.get(&record.id).map(|device| &device.state) {
                Some(LocalState::Open(engine)) => Standing::InService(engine.clone()),
                Some(LocalState::Failed(reason)) => Standing::Failed(reason.clone()),
                Some(LocalState::Absent(reason)) => Standing::Absent(reason.clone()),
                None => Standing::Absent("its folder was not given to this process".to_owned()),
            };
            let place = DevicePlace {
                region: record.region.clone(),
                zone: record.zone.clone(),
                node: record.node.clone(),
            };
            let handle = handles.entry(record.id).or_insert_with(|| {
                DeviceHandle::new(record.id, record.incarnation, place.clone(), member, standing.clone())
            });
            handle.incarnation = record.incarnation;
            handle.place = place;
            handle.member = member;
            handle.standing = standing;
            Arc::new(handle.clone())
        });
        fresh.collect()
    }

    /// Whether no operation works any more with a picture older than `epoch`.
    pub(crate) fn views_before_are_gone(&self, epoch: Epoch) -> bool {
        let mut old_views = self.old_views.lock();
        old_views.retain(|(_, view)| view.strong_count() > 0);
        !old_views.iter().any(|(of, _)| *of < epoch)
    }

    /// The open engines that are not failed, by device.
    pub(crate) fn engines(&self) -> Vec<(DeviceId, Engine)> {
        let local = self.local.lock();
        let open = local.iter().filter_map(|(id, device)| Some((*id, device.engine()?.clone())));
        open.filter(|(_, engine)| !matches!(engine.health(), Health::Failed { .. })).collect()
    }

    pub(crate) fn set_local(&self, id: DeviceId, device: LocalDevice) {
        self.local.lock().insert(id, device);
        self.refresh_view();
    }

    /// Runs blocking work that belongs to the background tasks.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NodeError> {
        self.tasks.background.spawn_blocking(work).await.map_err(|_| NodeError::Stopping)
    }
}
