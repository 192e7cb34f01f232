//! Devices join and leave: added, drained, removed.

use crate::identity::DeviceIdentity;
use crate::inner::Inner;
use crate::local::{self, Folder};
use crate::open::record_of;
use crate::records::ClusterMap;
use crate::{DeviceConfig, NodeError};
use ringfort_core::{DeviceId, Incarnation};
use ringfort_ring::DeviceState;

impl Inner {
    pub(crate) async fn add_device(&self, device: DeviceConfig) -> Result<DeviceId, NodeError> {
        let alone = self.admin.lock().await;
        let (path, cluster) = (device.path.clone(), self.identity.cluster.clone());
        let known = self.lost_device_of(&device);
        match (self.blocking(move || local::look(&path, &cluster)).await??, known) {
            // By order: the operator says that what the device held will not return.
            (Folder::Blank, Some(id)) => {
                self.reformat(id, &device.path).await?;
                return Ok(id);
            }
            (Folder::Emptied(identity), Some(id)) if identity.device == id => {
                self.reformat(id, &device.path).await?;
                return Ok(id);
            }
            (Folder::Blank, None) => {}
            (Folder::Unusable(error), _) => return Err(error),
            (Folder::Ours(identity) | Folder::Emptied(identity), _) => {
                return Err(self.taken(&device, identity.device));
            }
        }
        let mut map = ClusterMap::clone(&self.map.load());
        let (id, voter) = (map.counters.take_device(), map.counters.take_voter());
        let record = record_of(&self.config, &device, id, Incarnation(1), voter)?;
        // Numbers first: a start cut short after this wastes them, which is better than giving them out twice.
        let mut planned = map.clone();
        planned.devices.insert(id, record.clone());
        self.blocking(move || crate::rings::plan(&planned, &planned.specs()).map(|_| ())).await??;
        self.commit(map).await?;
        let identity = DeviceIdentity::new(&self.identity.cluster, id, Incarnation(1), voter);
        let (path, made) = (device.path.clone(), identity.clone());
        self.blocking(move || local::format(&path, &made)).await??;
        // Open before the ring names it, so that nothing meant for it goes to a stand-in.
        self.bring_in(id, &device.path, &identity, true).await?;
        let joined = self.change_ring(|map| {
            map.devices.insert(id, record);
            Ok(())
        });
        if let Err(error) = joined.await {
            self.let_go(id).await?;
            return Err(error);
        }
        drop(alone);
        self.reconcilers.wake_watch();
        Ok(id)
    }

    /// The device of the cluster that belongs in the folder and is not in service.
    fn lost_device_of(&self, device: &DeviceConfig) -> Option<DeviceId> {
        let (name, local) = (local::path_name(&self.config.data_dir, device), self.local.lock());
        let lost = |id: &DeviceId| local.get(id).is_none_or(|device| device.engine().is_none());
        let map = self.map.load();
        let members = map.devices.values().filter(|record| record.state != DeviceState::Removed);
        members.filter(|record| record.path == name).map(|record| record.id).find(lost)
    }

    /// Why a folder that holds the files of a device cannot be added.
    fn taken(&self, device: &DeviceConfig, id: DeviceId) -> NodeError {
        let (path, map) = (device.path.display(), self.map.load());
        let removed = map.devices.get(&id).is_none_or(|record| record.state == DeviceState::Removed);
        let reason = if removed {
            format!(
                "{path} still holds the files of device {id}, which was removed: empty the folder, then it can be added \
                 as a new device"
            )
        } else {
            format!("{path} is device {id} already")
        };
        NodeError::Refused { reason }
    }

    /// Closes a device that is no member of the cluster (any more). The caller holds `admin`.
    async fn let_go(&self, id: DeviceId) -> Result<(), NodeError> {
        let device = self.local.lock().remove(&id);
        self.refresh_view();
        self.host.remove_device(id).await;
        match device.and_then(|device| device.engine().cloned()) {
            Some(engine) => self.blocking(move || engine.close()).await,
            None => Ok(()),
        }
    }

    pub(crate) async fn drain_device(&self, id: DeviceId) -> Result<(), NodeError> {
        let _alone = self.admin.lock().await;
        self.change_ring(|map| {
            let record = map.devices.get_mut(&id).filter(|record| record.state != DeviceState::Removed);
            record.ok_or(NodeError::NoSuchDevice { device: id })?.state = DeviceState::Draining;
            Ok(())
        })
        .await?;
        self.reconcilers.wake_watch();
        Ok(())
    }

    pub(crate) async fn remove_device(&self, id: DeviceId, force: bool) -> Result<(), NodeError> {
        let alone = self.admin.lock().await;
        let record = self.map.load().devices.get(&id).cloned();
        let record = record.filter(|record| record.state != DeviceState::Removed);
        let record = record.ok_or(NodeError::NoSuchDevice { device: id })?;
        let engine = self.local.lock().get(&id).and_then(|device| device.engine().cloned());
        if !force {
            if record.state != DeviceState::Draining {
                let reason =
                    format!("device {id} is active: drain it first, or force the removal of a lost device");
                return Err(NodeError::Refused { reason });
            }
            let Some(engine) = engine else {
                let reason = format!("device {id} is not in service: force the removal if it is lost");
                return Err(NodeError::Refused { reason });
            };
            if self.holds_wanted(&engine).await? {
                let reason = format!("device {id} still holds data; `status` tells how far the drain is");
                return Err(NodeError::Refused { reason });
            }
        }
        self.change_ring(|map| {
            if let Some(record) = map.devices.get_mut(&id) {
                record.state = DeviceState::Removed;
            }
            Ok(())
        })
        .await?;
        // Its voters go while they can still take part in the change.
        if let Err(error) = self.settle_voters_now().await {
            tracing::warn!(%error, "voters of the removed device are replaced later");
        }
        self.let_go(id).await?;
        drop(alone);
        self.reconcilers.wake_repair();
        self.reconcilers.wake_watch();
        Ok(())
    }
}
