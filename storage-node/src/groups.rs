//! Keeping the metadata groups' voters where they should be, at run time.

use crate::NodeError;
use crate::inner::Inner;
use crate::local::LocalDevice;
use crate::open::candidate;
use crate::voters::{self, Candidate};
use ringfort_core::{DeviceId, GroupId, VoterId};
use ringfort_engine::Engine;
use ringfort_ring::DeviceState;
use ringfort_runtime::boot_time;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a device may be away before its voters are replaced, if another device can vote.
const AWAY_GRACE: Duration = Duration::from_secs(30);
/// Within this time of the last renewal of a device's voters its index is not trusted any more.
const RENEWED_LATELY: Duration = Duration::from_secs(300);

impl Inner {
    /// The voters of every group that has a leader.
    pub(crate) fn group_voters(&self) -> BTreeMap<GroupId, Vec<VoterId>> {
        let status = self.host.group_status().into_iter().filter(|group| group.leader.is_some());
        status.map(|group| (group.group, group.voters.iter().map(|voter| voter.voter).collect())).collect()
    }

    /// Replaces voters that are gone, and makes three of one when there are three devices.
    pub(crate) async fn settle_voters(&self) -> Result<(), NodeError> {
        self.renew_lost_voters().await?;
        let current = self.group_voters();
        let (candidates, waiting) = self.candidates();
        let mut changes = voters::changes(&current, &candidates);
        // Within the grace a device that is away keeps its voters.
        changes.retain(|group, _| {
            !current.get(group).is_some_and(|voters| voters.iter().any(|voter| waiting.contains(voter)))
        });
        self.change_voters(changes).await
    }

    /// [`Self::settle_voters`] at once, for a device that leaves for ever.
    pub(crate) async fn settle_voters_now(&self) -> Result<(), NodeError> {
        self.change_voters(voters::changes(&self.group_voters(), &self.candidates().0)).await
    }

    /// Every device that could vote, and the voters of those that have been away for a short time only.
    fn candidates(&self) -> (Vec<Candidate>, Vec<VoterId>) {
        let (map, local, now) = (self.map.load(), self.local.lock(), boot_time());
        let (mut candidates, mut waiting) = (Vec::new(), Vec::new());
        for record in map.devices.values().filter(|record| record.state != DeviceState::Removed) {
            let device = local.get(&record.id);
            candidates.push(candidate(record, device.is_some_and(|device| device.engine().is_some())));
            let away = device.and_then(|device| device.away_since);
            if away.is_some_and(|since| now.saturating_sub(since) < AWAY_GRACE) {
                waiting.push(record.voter);
            }
        }
        (candidates, waiting)
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
        let open: Vec<DeviceId> = {
            let local = self.local.lock();
            let open = |device: &LocalDevice| device.engine().is_some();
            local.iter().filter(|(_, device)| open(device)).map(|(id, _)| *id).collect()
        };
        for id in open {
            let Some(voter) = self.map.load().devices.get(&id).map(|record| record.voter) else { continue };
            let stopped = status.iter().any(|group| {
                let lost = |member: &ringfort_meta::VoterStatus| member.voter == voter && !member.running;
                group.leader.is_some() && group.voters.iter().any(lost)
            });
            if stopped {
                let now = boot_time();
                let last = self.renewed.lock().insert(id, now);
                let lately = last.is_some_and(|last| now.saturating_sub(last) < RENEWED_LATELY);
                self.renew(id, lately).await?;
            }
        }
        Ok(())
    }

    /// Drops what a device stores for groups that replaced its voter while it was away: the voter must not come back.
    pub(crate) async fn drop_left_groups(&self, engine: &Engine, voter: VoterId) -> Result<(), NodeError> {
        let current = self.group_voters();
        for group in engine.groups() {
            if current.get(&group).is_some_and(|voters| !voters.is_empty() && !voters.contains(&voter)) {
                let dropped = engine.remove_group(group).await;
                dropped.map_err(|error| NodeError::Refused { reason: format!("group {group}: {error}") })?;
            }
        }
        Ok(())
    }
}
