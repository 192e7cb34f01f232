//! Changing the voters of a group.
//!
//! ```text
//! wanted -> open what is new, empty -> learner -> caught up -> joint change -> new set alone -> drop those that left
//! ```
//!
//! Each step looks at what is there first, so a change cut short anywhere is finished by asking for it again.

use crate::MetaError;
use crate::group::Group;
use crate::host::Inner;
use crate::voter::{LocalState, Voter, local_state, raft_error};
use openraft::impls::EmptyNode;
use ringfort_core::{GroupId, VoterId};
use ringfort_runtime::boot_time;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Entries a learner may be behind when it becomes a voter.
const CAUGHT_UP_ENTRIES: u64 = 64;
/// How often a learner's progress is looked at.
const PROGRESS_POLL: Duration = Duration::from_millis(20);
/// Attempts of one change while leadership moves.
const ATTEMPTS: u32 = 10;

/// Makes `wanted` the voters of `id`.
pub(crate) async fn change(inner: &Inner, id: GroupId, wanted: &[VoterId]) -> Result<(), MetaError> {
    let wanted: BTreeSet<u64> = wanted.iter().map(|voter| voter.0).collect();
    if wanted.is_empty() {
        return Err(MetaError::Invalid { what: "a group needs a voter".to_owned() });
    }
    let group = inner.group(id);
    let _alone = group.changing.lock().await;
    let mut last = Ok(());
    for _ in 0..ATTEMPTS {
        last = attempt(inner, &group, &wanted).await;
        match &last {
            Ok(()) => break,
            Err(MetaError::Raft { reason, .. }) => {
                tracing::info!(group = %id, reason, "the change of voters is tried again");
                tokio::time::sleep(inner.config.heartbeat).await;
            }
            Err(_) => break,
        }
    }
    last
}

async fn attempt(inner: &Inner, group: &Arc<Group>, wanted: &BTreeSet<u64>) -> Result<(), MetaError> {
    let leader = group.wait_leader(inner.config.query_timeout).await?;
    let (voters, members) = membership(&leader);
    for voter in wanted {
        open_new(inner, group, VoterId(*voter), members.contains(voter)).await?;
    }
    if voters != [wanted.clone()] {
        for voter in wanted.difference(&members) {
            let added = leader.raft.add_learner(*voter, EmptyNode {}, false).await;
            added.map_err(|error| raft_error(group.id, error))?;
        }
        for voter in wanted {
            catch_up(inner, group, &leader, *voter).await?;
        }
        let changed = leader.raft.change_membership(wanted.clone(), false).await;
        changed.map_err(|error| raft_error(group.id, error))?;
    }
    settled(inner, group, &leader).await?;
    drop_left(inner, group, wanted).await
}

/// Waits until the configuration the leader acts by is committed. Before that a successor may still act by the one before, and
/// then needs those who left.
async fn settled(inner: &Inner, group: &Group, leader: &Voter) -> Result<(), MetaError> {
    let deadline = boot_time() + inner.config.query_timeout;
    loop {
        let at =
            leader.raft.server_metrics().borrow().membership_config.log_id().map_or(0, |log_id| log_id.index);
        if leader.progress.index() >= at {
            return Ok(());
        }
        if !leader.running() || boot_time() > deadline {
            return Err(raft_error(group.id, "the new configuration is not committed"));
        }
        tokio::time::sleep(PROGRESS_POLL).await;
    }
}

/// The voters by configuration, and all members.
pub(crate) fn membership(leader: &Voter) -> (Vec<BTreeSet<u64>>, BTreeSet<u64>) {
    let metrics = leader.raft.server_metrics();
    let metrics = metrics.borrow();
    let members = metrics.membership_config.membership();
    (members.get_joint_config().clone(), members.nodes().map(|(id, _)| *id).collect())
}

/// Starts a voter that does not run yet. A device that has the group under another voter, or damaged, is emptied first:
/// a group with a leader gets all of it again by snapshot.
async fn open_new(inner: &Inner, group: &Arc<Group>, voter: VoterId, member: bool) -> Result<(), MetaError> {
    if group.voter(voter).is_some_and(|voter| voter.running()) {
        return Ok(());
    }
    let device = inner.device_of(group.id, voter)?;
    match local_state(&device.engine, group.id, voter) {
        LocalState::Own => {}
        // A member without its vote and log could vote a second time or forget what it acknowledged.
        LocalState::Empty if member => return Err(MetaError::VoterLost { group: group.id, voter }),
        LocalState::Empty => {}
        LocalState::Lost | LocalState::Foreign if member => {
            return Err(MetaError::VoterLost { group: group.id, voter });
        }
        LocalState::Lost | LocalState::Foreign => device.engine.remove_group(group.id).await?,
    }
    inner.open_voter(group.id, &device).await
}

/// Waits until `voter` has nearly all that the leader has; gives up when it stands still too long.
async fn catch_up(inner: &Inner, group: &Group, leader: &Voter, voter: u64) -> Result<(), MetaError> {
    if voter == leader.id.0 {
        return Ok(());
    }
    let mut best = None;
    let mut since = boot_time();
    loop {
        let (matched, last) = {
            let metrics = leader.raft.data_metrics();
            let metrics = metrics.borrow();
            let Some(replication) = &metrics.replication else {
                return Err(raft_error(group.id, "the leader stepped down while a voter was catching up"));
            };
            let matched = replication.get(&voter).copied().flatten().map(|log_id| log_id.index);
            (matched, metrics.last_log.map_or(0, |log_id| log_id.index))
        };
        if matched.is_some_and(|matched| matched + CAUGHT_UP_ENTRIES >= last) {
            return Ok(());
        }
        // A snapshot on its way is no progress to openraft, so the wait is generous.
        if matched > best {
            (best, since) = (matched, boot_time());
        }
        if boot_time().saturating_sub(since) > inner.config.catch_up_timeout {
            return Err(MetaError::Timeout { group: group.id });
        }
        tokio::time::sleep(PROGRESS_POLL).await;
    }
}

/// Stops voters that are no members any more and drops what they stored.
async fn drop_left(inner: &Inner, group: &Group, wanted: &BTreeSet<u64>) -> Result<(), MetaError> {
    for voter in group.voters() {
        if wanted.contains(&voter.id.0) {
            continue;
        }
        group.remove(voter.id);
        voter.close().await;
        // Only while the device still counts the group as this voter's.
        if inner.device_of(group.id, voter.id).is_ok() {
            voter.engine.remove_group(group.id).await?;
        }
    }
    group.wait_leader(inner.config.query_timeout).await.map(|_| ())
}
