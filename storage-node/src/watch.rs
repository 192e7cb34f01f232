//! Devices at run time: watched, taken out when they fail or vanish, brought back, formatted anew when their folder was wiped.
//!
//! ```text
//!            folder vanished or replaced            folder blank, no missing mount
//! in service ----------------------------> absent ---------------------------------> in service, next incarnation
//!     |   ^                                  ^                                          new voter id, repaired
//!     |   | index rebuilt, new voter id      | folder blank
//!     |   +-------------------------+        |
//!     | index damaged               |        |
//!     +-----------------------------+        |
//!     | write or sync failed                 |
//!     +--------------------------> failed ---+
//! ```
//!
//! A folder that holds anything but this device is left alone: only a blank one is formatted.

use crate::NodeError;
use crate::identity::{self, DeviceIdentity, Store};
use crate::inner::Inner;
use crate::local::{self, Folder, LocalDevice, LocalState, OpenedEngine};
use crate::records::ClusterMap;
use ringfort_core::{DeviceId, Incarnation, VoterId};
use ringfort_engine::{Engine, Health};
use ringfort_ring::DeviceState;
use ringfort_runtime::boot_time;

impl Inner {
    /// One look at every device folder and at the health of every engine.
    pub(crate) async fn watch_once(&self) {
        let devices = self.local.lock().clone();
        for (id, device) in devices {
            let result = match &device.state {
                LocalState::Open(engine) => self.watch_open(id, &device, engine).await,
                LocalState::Failed(_) | LocalState::Absent(_) => self.try_reformat(id, &device).await,
            };
            if let Err(error) = result {
                tracing::warn!(device = %id, %error, "the device cannot be brought back now");
            }
        }
        // A change of voters goes on by itself when the node stops; nobody needs to wait for it.
        let stopping = self.tasks.background.stopping();
        if let Some(Err(error)) = stopping.run_until_cancelled(self.settle_voters()).await {
            tracing::warn!(%error, "voters cannot be changed now");
        }
    }

    async fn watch_open(&self, id: DeviceId, device: &LocalDevice, engine: &Engine) -> Result<(), NodeError> {
        let (path, cluster) = (device.path.clone(), self.identity.cluster.clone());
        let (place, folder) =
            self.blocking(move || (local::store_place(&path), local::look(&path, &cluster))).await?;
        let incarnation = self.map.load().devices.get(&id).map(|record| record.incarnation);
        let gone = match folder {
            Ok(Folder::Ours(found)) if found.device == id && Some(found.incarnation) == incarnation => {
                (place.is_none() || place != device.opened)
                    .then(|| "its stored files were replaced".to_owned())
            }
            Ok(Folder::Ours(found)) => Some(format!("its folder holds device {} now", found.device)),
            Ok(Folder::Emptied(_)) => Some("its stored files were removed".to_owned()),
            Ok(Folder::Blank) => Some("its folder was wiped".to_owned()),
            Ok(Folder::Unusable(error)) | Err(error) => Some(error.to_string()),
        };
        if let Some(reason) = gone {
            return self.take_out(id, LocalState::Absent(reason)).await;
        }
        match engine.health() {
            Health::Failed { reason } if local::is_index_damage(&reason) => self.renew(id, true).await,
            Health::Failed { reason } => self.take_out(id, LocalState::Failed(reason.to_string())).await,
            Health::InService | Health::Full => {
                let view = self.chunks.view().load();
                if view.device(id).is_some_and(|handle| handle.take_index_damage()) {
                    return self.renew(id, true).await;
                }
                Ok(())
            }
        }
    }

    /// Takes a device out of service: no new operation reaches it, its voters stop, its engine is closed.
    async fn take_out(&self, id: DeviceId, state: LocalState) -> Result<(), NodeError> {
        let _alone = self.admin.lock().await;
        self.put_aside(id, state).await?;
        metrics::counter!("ringfort_devices_lost_total").increment(1);
        self.reconcilers.wake_repair();
        Ok(())
    }

    /// [`Self::take_out`] for a caller that holds `admin`.
    async fn put_aside(&self, id: DeviceId, state: LocalState) -> Result<(), NodeError> {
        let Some(device) = self.local.lock().get(&id).cloned() else { return Ok(()) };
        if let LocalState::Failed(reason) | LocalState::Absent(reason) = &state {
            tracing::error!(device = %id, path = %device.path.display(), reason, "the device is out of service");
        }
        let aside =
            LocalDevice { path: device.path.clone(), state, opened: None, away_since: Some(boot_time()) };
        self.set_local(id, aside);
        self.host.remove_device(id).await;
        match device.engine().cloned() {
            Some(engine) => self.blocking(move || engine.close()).await,
            None => Ok(()),
        }
    }

    /// Formats the folder of a device that is away anew, if that destroys nothing; or takes it back as it was.
    async fn try_reformat(&self, id: DeviceId, device: &LocalDevice) -> Result<(), NodeError> {
        let _alone = self.admin.lock().await;
        let Some(record) = self.map.load().devices.get(&id).cloned() else { return Ok(()) };
        if record.state == DeviceState::Removed {
            return Ok(());
        }
        let (path, cluster, own_mount) =
            (device.path.clone(), self.identity.cluster.clone(), record.own_mount);
        let looked = self.blocking(move || {
            let folder = local::look(&path, &cluster)?;
            // The identity is gone and so is the store's header: a removal that our own files got in the way of.
            if matches!(folder, Folder::Unusable(NodeError::NotADevice { .. }))
                && Store::of(&path)? == Store::Remains
            {
                identity::set_remains_aside(&path)?;
                return Ok((local::look(&path, &cluster)?, true));
            }
            // A missing mount leaves an empty folder on the wrong disk.
            let mounted = local::is_own_mount(&path) || !own_mount;
            Ok::<_, NodeError>((folder, mounted))
        });
        match looked.await?? {
            (Folder::Blank, true) => self.reformat(id, device).await,
            (Folder::Emptied(found), _) if found.device == id => self.reformat(id, device).await,
            // Back as it was, after a cable or a mount came back. A failed engine is not trusted again while we run.
            (Folder::Ours(found), _)
                if matches!(device.state, LocalState::Absent(_))
                    && found.device == id
                    && found.incarnation == record.incarnation =>
            {
                self.bring_in(id, device, &found, false).await
            }
            (Folder::Blank | Folder::Ours(_) | Folder::Emptied(_) | Folder::Unusable(_), _) => Ok(()),
        }
    }

    /// Makes a blank folder the next incarnation of its device. The caller holds `admin`.
    async fn reformat(&self, id: DeviceId, device: &LocalDevice) -> Result<(), NodeError> {
        let mut map = ClusterMap::clone(&self.map.load());
        let voter = map.counters.take_voter();
        let Some(record) = map.devices.get_mut(&id) else { return Ok(()) };
        record.incarnation = Incarnation(record.incarnation.0 + 1);
        record.voter = voter;
        let identity = DeviceIdentity::new(&self.identity.cluster, id, record.incarnation, voter);
        // The cluster knows of the new incarnation before it exists: its numbers can never be given out twice.
        self.commit(map).await?;
        let (path, made) = (device.path.clone(), identity.clone());
        self.blocking(move || local::format(&path, &made)).await??;
        tracing::warn!(device = %id, incarnation = %identity.incarnation, "the folder was blank: formatted anew");
        self.bring_in(id, device, &identity, true).await
    }

    /// Opens the engine of a formatted folder and puts it into service. The caller holds `admin`.
    pub(crate) async fn bring_in(
        &self,
        id: DeviceId,
        device: &LocalDevice,
        identity: &DeviceIdentity,
        blank: bool,
    ) -> Result<(), NodeError> {
        let (path, config) = (device.path.clone(), self.engine_config.clone());
        let opened = self.blocking(move || local::open_engine(id, &path, config)).await??;
        if opened.report.formatted && !blank {
            self.blocking(move || opened.engine.close()).await?;
            return Err(NodeError::Refused {
                reason: format!("the stored files of device {id} were removed"),
            });
        }
        self.drop_left_groups(&opened.engine, identity.voter).await?;
        self.put_in_service(id, device, identity.voter, opened).await
    }

    async fn put_in_service(
        &self,
        id: DeviceId,
        device: &LocalDevice,
        voter: VoterId,
        opened: OpenedEngine,
    ) -> Result<(), NodeError> {
        let OpenedEngine { engine, place, .. } = opened;
        self.host.add_device(id, voter, engine.clone()).await?;
        let state = LocalState::Open(engine);
        self.set_local(id, LocalDevice { path: device.path.clone(), state, opened: place, away_since: None });
        self.reconcilers.wake_repair();
        Ok(())
    }

    /// Closes a device's engine and opens it again under a new voter id, because voters lost their state; with `rebuild` its
    /// index is made anew from the log.
    pub(crate) async fn renew(&self, id: DeviceId, rebuild: bool) -> Result<(), NodeError> {
        let _alone = self.admin.lock().await;
        let Some(device) = self.local.lock().get(&id).cloned() else { return Ok(()) };
        let mut map = ClusterMap::clone(&self.map.load());
        let voter = map.counters.take_voter();
        let Some(record) = map.devices.get_mut(&id) else { return Ok(()) };
        record.voter = voter;
        let identity = DeviceIdentity::new(&self.identity.cluster, id, record.incarnation, voter);
        tracing::warn!(device = %id, rebuild, %voter, "the device is opened anew under a new voter id");
        self.put_aside(id, LocalState::Absent("its index is being rebuilt".to_owned())).await?;
        self.commit(map).await?;
        let config = self.engine_config.clone();
        let config = if rebuild { config.rebuild_index() } else { config };
        let path = device.path.clone();
        let opened = self.blocking(move || {
            identity.save(&path)?;
            local::open_engine(id, &path, config)
        });
        match opened.await? {
            Ok(opened) => self.put_in_service(id, &device, voter, opened).await,
            Err(error) => {
                self.put_aside(id, LocalState::Failed(error.to_string())).await?;
                Err(error)
            }
        }
    }
}
