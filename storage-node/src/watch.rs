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
//! A folder that holds anything but this device is left alone: only a blank one is formatted. And a blank one only while at
//! most as many devices are lost as every policy survives, or once a complete pass has found everything readable without
//! them: more devices lost at once are more likely moved than wiped, and when they return, a device that took their place
//! would shut them out with the only copies. `device add` of the folder formats it by order.

use crate::NodeError;
use crate::identity::{self, DeviceIdentity, Store};
use crate::inner::Inner;
use crate::local::{self, Folder, LocalDevice, LocalState, OpenedEngine};
use crate::records::ClusterMap;
use ringfort_core::{DeviceId, ErrorKind, Incarnation, VoterId};
use ringfort_engine::{Engine, EngineConfig, Health};
use ringfort_ring::DeviceState;
use ringfort_runtime::boot_time;
use std::path::Path;
use std::time::Duration;

/// How long an engine that was closed may still be held by operations that are ending.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);
const RELEASE_POLL: Duration = Duration::from_millis(50);

/// What is the matter with a device.
enum Verdict {
    Fine,
    /// Its folder is not the one that was opened.
    Gone(String),
    /// Its disk failed.
    Failed(String),
    /// Its index has to be rebuilt.
    IndexDamaged,
}

impl Inner {
    /// One look at every device folder and at the health of every engine.
    pub(crate) async fn watch_once(&self) {
        let ids: Vec<DeviceId> = self.local.lock().keys().copied().collect();
        for id in ids {
            if let Err(error) = self.watch_device(id).await {
                tracing::warn!(device = %id, %error, "the device cannot be brought back now");
            }
        }
        // A change of voters goes on by itself when the node stops; nobody needs to wait for it.
        let stopping = self.tasks.background.stopping();
        if let Some(Err(error)) = stopping.run_until_cancelled(self.settle_voters()).await {
            tracing::warn!(%error, "voters cannot be changed now");
        }
    }

    async fn watch_device(&self, id: DeviceId) -> Result<(), NodeError> {
        let Some(device) = self.local.lock().get(&id).cloned() else { return Ok(()) };
        if device.engine().is_none() {
            return self.try_reformat(id, device).await;
        }
        // No engine is held over what follows: one that is still held somewhere cannot be opened again.
        match self.judge(id, device).await? {
            Verdict::Fine => Ok(()),
            Verdict::Gone(reason) => self.take_out(id, LocalState::Absent(reason)).await,
            Verdict::Failed(reason) => self.take_out(id, LocalState::Failed(reason)).await,
            Verdict::IndexDamaged => self.renew(id, true).await,
        }
    }

    /// What is the matter with a device that is in service.
    async fn judge(&self, id: DeviceId, device: LocalDevice) -> Result<Verdict, NodeError> {
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
            Ok(Folder::Unusable(error)) | Err(error) => Some(error.in_full()),
        };
        if let Some(reason) = gone {
            return Ok(Verdict::Gone(reason));
        }
        Ok(match device.engine().map(Engine::health) {
            Some(Health::Failed { reason }) if local::is_index_damage(&reason) => Verdict::IndexDamaged,
            Some(Health::Failed { reason }) => Verdict::Failed(reason.to_string()),
            Some(Health::InService | Health::Full) | None => {
                let view = self.chunks.view().load();
                let damaged = view.device(id).is_some_and(|handle| handle.take_index_damage());
                if damaged { Verdict::IndexDamaged } else { Verdict::Fine }
            }
        })
    }

    /// Takes a device out of service: no new operation reaches it, its voters stop, its engine is closed.
    async fn take_out(&self, id: DeviceId, state: LocalState) -> Result<(), NodeError> {
        let _alone = self.admin.lock().await;
        self.put_aside(id, state).await?;
        metrics::counter!("ringfort_devices_lost_total").increment(1);
        self.reconcilers.device_lost(id);
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
        match device.state {
            LocalState::Open(engine) => self.blocking(move || engine.close()).await,
            LocalState::Failed(_) | LocalState::Absent(_) => Ok(()),
        }
    }

    /// Formats the folder of a device that is away anew, if that destroys nothing; or takes it back as it was.
    async fn try_reformat(&self, id: DeviceId, device: LocalDevice) -> Result<(), NodeError> {
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
            (Folder::Blank, true) => self.reformat_unless_awaited(id, &device).await,
            (Folder::Emptied(found), _) if found.device == id => {
                self.reformat_unless_awaited(id, &device).await
            }
            // Back as it was, after a cable or a mount came back. A failed engine is not trusted again while we run.
            (Folder::Ours(found), _)
                if matches!(device.state, LocalState::Absent(_))
                    && found.device == id
                    && found.incarnation == record.incarnation =>
            {
                self.bring_in(id, &device.path, &found, false).await
            }
            (Folder::Blank | Folder::Ours(_) | Folder::Emptied(_) | Folder::Unusable(_), _) => Ok(()),
        }
    }

    /// Makes a blank folder the next incarnation of its device, unless its return may be needed. The caller holds `admin`.
    async fn reformat_unless_awaited(&self, id: DeviceId, device: &LocalDevice) -> Result<(), NodeError> {
        let Some(reason) = self.awaited(id) else { return self.reformat(id, &device.path).await };
        let state = LocalState::Absent(reason.clone());
        let told = matches!(&device.state, LocalState::Absent(told) if *told == reason);
        if !told {
            tracing::error!(device = %id, reason, "the folder is not formatted anew");
            self.local.lock().entry(id).and_modify(|device| device.state = state);
        }
        Ok(())
    }

    /// Why what a device held may be needed when it returns; `None` if it is not.
    fn awaited(&self, id: DeviceId) -> Option<String> {
        let lost = self.reconcilers.unproven.lock().clone();
        let map = self.map.load();
        let survived = map.policies.iter().map(|policy| usize::from(policy.tolerance)).min().unwrap_or(0);
        if lost.contains(&id) && lost.len() > survived {
            return Some(format!(
                "its folder is empty; {} devices are lost at once where data survive the loss of {survived}, so it waits for \
                 them to return; if it is lost for good, `ringfort device add` of this folder makes it anew",
                lost.len()
            ));
        }
        let stuck = self.host.group_status().iter().filter(|g| g.running() <= g.voters.len() / 2).count();
        (stuck > 0).then(|| {
            format!(
                "its folder is empty; {stuck} metadata groups have no quorum, so their voters have to return"
            )
        })
    }

    /// Makes a blank folder the next incarnation of its device. The caller holds `admin`.
    pub(crate) async fn reformat(&self, id: DeviceId, folder: &Path) -> Result<(), NodeError> {
        let mut map = ClusterMap::clone(&self.map.load());
        let voter = map.counters.take_voter();
        let Some(record) = map.devices.get_mut(&id) else { return Ok(()) };
        record.incarnation = Incarnation(record.incarnation.0 + 1);
        record.voter = voter;
        let identity = DeviceIdentity::new(&self.identity.cluster, id, record.incarnation, voter);
        // The cluster knows of the new incarnation before it exists: its numbers can never be given out twice.
        self.commit(map).await?;
        let (path, made) = (folder.to_owned(), identity.clone());
        self.blocking(move || local::format(&path, &made)).await??;
        tracing::warn!(device = %id, incarnation = %identity.incarnation, "the folder was blank: formatted anew");
        self.bring_in(id, folder, &identity, true).await?;
        self.reconcilers.device_lost(id);
        Ok(())
    }

    /// Opens the engine of a formatted folder and puts it into service. The caller holds `admin`.
    pub(crate) async fn bring_in(
        &self,
        id: DeviceId,
        folder: &Path,
        identity: &DeviceIdentity,
        blank: bool,
    ) -> Result<(), NodeError> {
        let opened = self.open_released(id, folder, self.engine_config.clone()).await?;
        if opened.report.formatted && !blank {
            self.blocking(move || opened.engine.close()).await?;
            return Err(NodeError::Refused {
                reason: format!("the stored files of device {id} were removed"),
            });
        }
        self.drop_left_groups(&opened.engine, identity.voter).await?;
        self.put_in_service(id, folder, identity.voter, opened).await
    }

    /// Opens an engine whose earlier handle may still be held for a moment by operations that are ending.
    async fn open_released(
        &self,
        id: DeviceId,
        folder: &Path,
        config: EngineConfig,
    ) -> Result<OpenedEngine, NodeError> {
        let deadline = boot_time() + RELEASE_TIMEOUT;
        loop {
            let (path, config) = (folder.to_owned(), config.clone());
            match self.blocking(move || local::open_engine(id, &path, config)).await? {
                Err(NodeError::Engine { kind: ErrorKind::Unavailable, .. }) if boot_time() < deadline => {
                    tokio::time::sleep(RELEASE_POLL).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn put_in_service(
        &self,
        id: DeviceId,
        folder: &Path,
        voter: VoterId,
        opened: OpenedEngine,
    ) -> Result<(), NodeError> {
        let OpenedEngine { engine, place, .. } = opened;
        self.host.add_device(id, voter, engine.clone()).await?;
        let state = LocalState::Open(engine);
        self.set_local(id, LocalDevice { path: folder.to_owned(), state, opened: place, away_since: None });
        self.reconcilers.wake_repair();
        Ok(())
    }

    /// Closes a device's engine and opens it again under a new voter id, because voters lost their state; with `rebuild` its
    /// index is made anew from the log.
    pub(crate) async fn renew(&self, id: DeviceId, rebuild: bool) -> Result<(), NodeError> {
        let _alone = self.admin.lock().await;
        let Some(folder) = self.local.lock().get(&id).map(|device| device.path.clone()) else {
            return Ok(());
        };
        let mut map = ClusterMap::clone(&self.map.load());
        let voter = map.counters.take_voter();
        let Some(record) = map.devices.get_mut(&id) else { return Ok(()) };
        record.voter = voter;
        let identity = DeviceIdentity::new(&self.identity.cluster, id, record.incarnation, voter);
        tracing::warn!(device = %id, rebuild, %voter, "the device is opened anew under a new voter id");
        let why = if rebuild { "its index is being rebuilt" } else { "its voters are being renewed" };
        self.put_aside(id, LocalState::Absent(why.to_owned())).await?;
        self.commit(map).await?;
        let config = self.engine_config.clone();
        let config = if rebuild { config.rebuild_index() } else { config };
        let path = folder.clone();
        self.blocking(move || identity.save(&path)).await??;
        match self.open_released(id, &folder, config).await {
            Ok(opened) => self.put_in_service(id, &folder, voter, opened).await,
            Err(error) => {
                self.put_aside(id, LocalState::Failed(error.to_string())).await?;
                self.reconcilers.device_lost(id);
                Err(error)
            }
        }
    }
}
