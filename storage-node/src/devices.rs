//! Devices at run time: watched, taken out when they fail or vanish, formatted anew when their folder was wiped, added,
//! drained, removed.
//!
//! ```text
//!            folder vanished or replaced            folder blank, no missing mount
//! in service ----------------------------> absent ---------------------------------> in service, next incarnation
//!     |                                      ^                                          new voter id, repaired
//!     | write or sync failed                 | folder blank
//!     +--------------------------> failed ---+
//! ```
//!
//! A folder that holds anything but this device is left alone: only a blank one is formatted.

use crate::identity::DeviceIdentity;
use crate::inner::Inner;
use crate::local::{self, Folder, LocalDevice, LocalState};
use crate::open::{candidate, record_of};
use crate::records::ClusterMap;
use crate::{DeviceConfig, NodeError, voters};
use ringfort_core::{DeviceId, GroupId, Incarnation, VoterId};
use ringfort_engine::{Engine, Health};
use ringfort_ring::DeviceState;
use ringfort_runtime::boot_time;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a device may be away before its voters are replaced, if another device can vote.
const AWAY_GRACE: Duration = Duration::from_secs(30);

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
        if let Err(error) = self.settle_voters().await {
            tracing::warn!(%error, "voters cannot be changed now");
        }
    }

    async fn watch_open(&self, id: DeviceId, device: &LocalDevice, engine: &Engine) -> Result<(), NodeError> {
        if let Health::Failed { reason } = engine.health() {
            return self.take_out(id, LocalState::Failed(reason.to_string())).await;
        }
        let (path, cluster) = (device.path.clone(), self.identity.cluster.clone());
        let (place, folder) =
            self.blocking(move || (local::store_place(&path), local::look(&path, &cluster))).await?;
        let incarnation = self.map.load().devices.get(&id).map(|record| record.incarnation);
        let reason = match folder {
            Ok(Folder::Ours(identity))
                if identity.device == id && Some(identity.incarnation) == incarnation =>
            {
                if place.is_some() && place == device.opened {
                    return Ok(());
                }
                "its stored files were removed".to_owned()
            }
            Ok(Folder::Ours(identity)) => format!("its folder holds device {} now", identity.device),
            Ok(Folder::Blank) => "its folder was wiped".to_owned(),
            Ok(Folder::Unusable(error)) | Err(error) => error.to_string(),
        };
        self.take_out(id, LocalState::Absent(reason)).await
    }

    /// Takes a device out of service: no new operation reaches it, its voters stop, its engine is closed.
    pub(crate) async fn take_out(&self, id: DeviceId, state: LocalState) -> Result<(), NodeError> {
        let _alone = self.admin.lock().await;
        let Some(device) = self.local.lock().get(&id).cloned() else { return Ok(()) };
        if let LocalState::Failed(reason) | LocalState::Absent(reason) = &state {
            tracing::error!(device = %id, path = %device.path.display(), reason, "the device is out of service");
        }
        metrics::counter!("ringfort_devices_lost_total").increment(1);
        self.set_local(
            id,
            LocalDevice { path: device.path.clone(), state, opened: None, away_since: Some(boot_time()) },
        );
        self.host.remove_device(id).await;
        if let Some(engine) = device.engine().cloned() {
            self.blocking(move || engine.close()).await?;
        }
        self.reconcilers.wake_repair();
        Ok(())
    }

    /// Formats the folder of a device that is away anew, if that destroys nothing.
    async fn try_reformat(&self, id: DeviceId, device: &LocalDevice) -> Result<(), NodeError> {
        let _alone = self.admin.lock().await;
        let mut map = ClusterMap::clone(&self.map.load());
        let Some(record) = map.devices.get_mut(&id).filter(|record| record.state != DeviceState::Removed)
        else {
            return Ok(());
        };
        let (path, cluster, own_mount) =
            (device.path.clone(), self.identity.cluster.clone(), record.own_mount);
        let looked = self.blocking(move || {
            let mounted = local::is_own_mount(&path) || !own_mount;
            local::look(&path, &cluster).map(|folder| (folder, mounted))
        });
        let identity = match looked.await?? {
            // A missing mount leaves an empty folder on the wrong disk.
            (Folder::Blank, false) => return Ok(()),
            (Folder::Blank, true) => {
                record.incarnation = Incarnation(record.incarnation.0 + 1);
                record.voter = map.counters.take_voter();
                let identity =
                    DeviceIdentity::new(&self.identity.cluster, id, record.incarnation, record.voter);
                // The cluster knows of the new incarnation before it exists: its numbers can never be given out twice.
                self.commit(map).await?;
                let (path, made) = (device.path.clone(), identity.clone());
                self.blocking(move || local::format(&path, &made)).await??;
                tracing::warn!(device = %id, incarnation = %identity.incarnation, "the folder was blank: formatted anew");
                identity
            }
            // Back as it was, after a cable or a mount came back. A failed engine is not trusted again while we run.
            (Folder::Ours(identity), _)
                if matches!(device.state, LocalState::Absent(_))
                    && identity.device == id
                    && identity.incarnation == record.incarnation =>
            {
                identity
            }
            (Folder::Ours(_) | Folder::Unusable(_), _) => return Ok(()),
        };
        self.bring_in(id, device, &identity).await
    }

    /// Opens the engine of a formatted folder and puts it into service. The caller holds `admin`.
    async fn bring_in(
        &self,
        id: DeviceId,
        device: &LocalDevice,
        identity: &DeviceIdentity,
    ) -> Result<(), NodeError> {
        let (path, config) = (device.path.clone(), self.engine_config.clone());
        let opened = self.blocking(move || {
            local::open_engine(id, &path, config).map(|(engine, _)| (engine, local::store_place(&path)))
        });
        let (engine, opened) = opened.await??;
        self.drop_left_groups(&engine, identity.voter).await?;
        self.host.add_device(id, identity.voter, engine.clone()).await?;
        let state = LocalState::Open(engine);
        self.set_local(id, LocalDevice { path: device.path.clone(), state, opened, away_since: None });
        self.reconcilers.wake_repair();
        Ok(())
    }

    /// Drops what a device stores for groups that replaced its voter while it was away: the voter must not come back.
    async fn drop_left_groups(&self, engine: &Engine, voter: VoterId) -> Result<(), NodeError> {
        let current = self.group_voters();
        for group in engine.groups() {
            if current.get(&group).is_some_and(|voters| !voters.is_empty() && !voters.contains(&voter)) {
                let dropped = engine.remove_group(group).await;
                dropped.map_err(|error| NodeError::Refused { reason: format!("group {group}: {error}") })?;
            }
        }
        Ok(())
    }

    /// The voters of every group that has a leader.
    pub(crate) fn group_voters(&self) -> BTreeMap<GroupId, Vec<VoterId>> {
        let status = self.host.group_status().into_iter().filter(|group| group.leader.is_some());
        status.map(|group| (group.group, group.voters.iter().map(|voter| voter.voter).collect())).collect()
    }

    /// Replaces voters that are gone, and makes three of one when there are three devices.
    async fn settle_voters(&self) -> Result<(), NodeError> {
        self.renew_lost_voters().await?;
        let current = self.group_voters();
        let now = boot_time();
        let candidates: Vec<_> = {
            let (map, local) = (self.map.load(), self.local.lock());
            let counted = map.devices.values().filter(|record| record.state != DeviceState::Removed);
            counted
                .map(|record| {
                    let device = local.get(&record.id);
                    let open = device.is_some_and(|device| device.engine().is_some());
                    let away = device.and_then(|device| device.away_since);
                    let graced = away.is_some_and(|since| now.saturating_sub(since) < AWAY_GRACE);
                    // Within the grace a device that is away is left out of account: neither replaced nor chosen.
                    (candidate(record, open), graced)
                })
                .collect()
        };
        let waiting: Vec<VoterId> =
            candidates.iter().filter(|(_, graced)| *graced).map(|(c, _)| c.voter).collect();
        let candidates: Vec<_> = candidates.into_iter().map(|(candidate, _)| candidate).collect();
        let mut changes = voters::changes(&current, &candidates);
        changes.retain(|group, _| {
            !current.get(group).is_some_and(|voters| voters.iter().any(|voter| waiting.contains(voter)))
        });
        self.change_voters(changes).await
    }

    /// Changes the voters of several groups side by side: a change that unseats a leader waits for an election.
    async fn change_voters(&self, changes: BTreeMap<GroupId, Vec<VoterId>>) -> Result<(), NodeError> {
        let all = changes.iter().map(|(group, voters)| {
            tracing::info!(%group, ?voters, "the group's voters change");
            self.host.change_voters(*group, voters)
        });
        let mut result = Ok(());
        for changed in futures_util::future::join_all(all).await {
            if let Err(error) = changed {
                result = Err(error.into());
            }
        }
        result
    }

    /// Gives a device whose voters lost their state a voter id of its own again.
    async fn renew_lost_voters(&self) -> Result<(), NodeError> {
        let status = self.host.group_status();
        let devices: Vec<(DeviceId, LocalDevice)> =
            self.local.lock().iter().map(|(id, device)| (*id, device.clone())).collect();
        for (id, device) in devices {
            let Some(engine) = device.engine().cloned() else { continue };
            let Some(voter) = self.map.load().devices.get(&id).map(|record| record.voter) else { continue };
            let stopped = status.iter().any(|group| {
                group.leader.is_some()
                    && group.voters.iter().any(|member| member.voter == voter && !member.running)
            });
            if !stopped {
                continue;
            }
            let _alone = self.admin.lock().await;
            if self.local.lock().get(&id).is_none_or(|device| device.engine().is_none()) {
                continue;
            }
            let mut map = ClusterMap::clone(&self.map.load());
            let fresh = map.counters.take_voter();
            let Some(record) = map.devices.get_mut(&id).filter(|record| record.voter == voter) else {
                continue;
            };
            record.voter = fresh;
            let identity = DeviceIdentity::new(&self.identity.cluster, id, record.incarnation, fresh);
            tracing::warn!(device = %id, old = %voter, new = %fresh, "voters lost their state: the device votes anew");
            self.commit(map).await?;
            let path = device.path.clone();
            self.blocking(move || identity.save(&path)).await??;
            self.host.remove_device(id).await;
            self.host.add_device(id, fresh, engine).await?;
        }
        Ok(())
    }

    pub(crate) async fn add_device(&self, device: DeviceConfig) -> Result<DeviceId, NodeError> {
        let alone = self.admin.lock().await;
        let (path, cluster) = (device.path.clone(), self.identity.cluster.clone());
        match self.blocking(move || local::look(&path, &cluster)).await?? {
            Folder::Blank => {}
            Folder::Unusable(error) => return Err(error),
            Folder::Ours(identity) => {
                return Err(NodeError::Refused {
                    reason: format!("{} is device {} already", device.path.display(), identity.device),
                });
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
        let absent = LocalState::Absent("not opened yet".to_owned());
        let local = LocalDevice { path: device.path, state: absent, opened: None, away_since: None };
        // Open before the ring names it, so that nothing meant for it goes to a stand-in.
        self.bring_in(id, &local, &identity).await?;
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
            if self.blocking(move || crate::reconcile::holds_chunks(&engine)).await?? {
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
        if let Err(error) = self.settle_voters_alone().await {
            tracing::warn!(%error, "voters of the removed device are replaced later");
        }
        self.let_go(id).await?;
        drop(alone);
        self.reconcilers.wake_repair();
        self.reconcilers.wake_watch();
        Ok(())
    }

    /// [`Self::settle_voters`] for a caller that holds `admin` already.
    async fn settle_voters_alone(&self) -> Result<(), NodeError> {
        let candidates: Vec<_> = {
            let (map, local) = (self.map.load(), self.local.lock());
            let counted = map.devices.values().filter(|record| record.state != DeviceState::Removed);
            counted
                .map(|record| {
                    candidate(record, local.get(&record.id).is_some_and(|device| device.engine().is_some()))
                })
                .collect()
        };
        self.change_voters(voters::changes(&self.group_voters(), &candidates)).await
    }
}
