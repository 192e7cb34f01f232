//! Putting the status together, and the verdict in plain words.

use crate::inner::Inner;
use crate::local::{self, LocalDevice, LocalState};
use crate::records::{ClusterMap, DeviceRecord};
use crate::{
    DeviceStatus, GroupHealth, NodeStatus, PolicyStatus, RedundancyStatus, Safety, SafetyLevel, ScrubStatus,
};
use ringfort_core::{DeviceId, SYSTEM_GROUP};
use ringfort_engine::Health;
use ringfort_ring::DeviceState;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

impl Inner {
    /// The state of everything. Blocks: it asks for the sizes of file systems.
    pub(crate) fn status(&self) -> NodeStatus {
        let map = self.map.load_full();
        let local = self.local.lock().clone();
        let cluster = self.chunks.view().load();
        let (_, paused) = self.ring_phase();
        let scrub = *self.reconcilers.scrub_last.lock();
        let groups = self.groups(&map);
        let mut status = NodeStatus {
            cluster: self.identity.cluster.clone(),
            epoch: cluster.epoch.0,
            safety: Safety::default(),
            devices: devices(&map, &local),
            policies: self.policies(&map, &groups),
            groups,
            redundancy: self.redundancy(),
            rebalance: self.rebalance(paused),
            scrub: ScrubStatus {
                progress: self.reconcilers.scrub_pass.progress(false),
                checked: scrub.checked,
                damaged: scrub.damaged,
                finished_s: scrub.finished_s,
                finished: scrub.finished,
            },
            delete_backlog: self.reconcilers.counts.delete_backlog.load(Ordering::Relaxed),
            held_orphans: self.reconcilers.held_orphans.lock().values().map(|(without, _)| without).sum(),
        };
        status.safety = verdict(&status);
        status
    }

    fn redundancy(&self) -> RedundancyStatus {
        let counts = &self.reconcilers.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        // In this order: a chunk that leaves the queue is counted as under repair before.
        let queued = self.chunks.repairs().len() as u64 + read(&counts.repairing);
        let (damaged, unreadable) = self.reconcilers.bad.counts();
        RedundancyStatus {
            missing: read(&counts.missing),
            damaged: damaged + self.reconcilers.scrub_last.lock().unmended,
            unreadable: unreadable.max(read(&counts.unreadable)),
            repaired: read(&counts.repaired),
            queued,
            progress: self.reconcilers.repair_pass.progress(false),
            checked: read(&counts.passes) > 0 && read(&counts.changes_checked) == read(&counts.changes),
        }
    }

    fn rebalance(&self, paused: bool) -> Option<crate::Progress> {
        let (moving, _) = self.ring_phase();
        let waiting = crate::Progress { what: "rebalance".to_owned(), paused, ..crate::Progress::default() };
        let running = self.reconcilers.rebalance_pass.progress(paused);
        if moving || paused { Some(running.unwrap_or(waiting)) } else { None }
    }

    fn groups(&self, map: &ClusterMap) -> Vec<GroupHealth> {
        let device_of = |voter| map.devices.values().find(|d| d.voter == voter).map(|d| d.id.0);
        self.host
            .group_status()
            .into_iter()
            .map(|group| GroupHealth {
                id: group.group.0,
                devices: group.voters.iter().filter_map(|voter| device_of(voter.voter)).collect(),
                leader: group.leader.and_then(device_of),
                quorum: group.leader.is_some() && group.running() > group.voters.len() / 2,
                applied: group.applied,
                queued: group.queued as u64,
                voters: group.voters.len(),
                running: group.running(),
            })
            .collect()
    }

    fn policies(&self, map: &ClusterMap, groups: &[GroupHealth]) -> Vec<PolicyStatus> {
        let cluster = self.chunks.view().load();
        let voters = groups.iter().map(|group| group.devices.len()).min().unwrap_or(0);
        map.policies
            .iter()
            .map(|policy| PolicyStatus {
                id: policy.id,
                name: policy.name.clone(),
                redundancy: policy.redundancy.to_string(),
                f: policy.tolerance,
                domain: cluster.level(policy.id).to_string(),
                promise_holds: cluster.can_acknowledge(policy) && voters > 2 * usize::from(policy.tolerance),
            })
            .collect()
    }
}

fn devices(map: &ClusterMap, local: &BTreeMap<DeviceId, LocalDevice>) -> Vec<DeviceStatus> {
    let disks: BTreeMap<DeviceId, u64> = local
        .iter()
        .filter(|(_, device)| device.engine().is_some())
        .filter_map(|(id, device)| Some((*id, local::disk_of(&device.path)?)))
        .collect();
    let shares = |id: &DeviceId| {
        let disk = disks.get(id);
        let others = disks.iter().filter(|(other, of)| *other != id && Some(*of) == disk);
        others.map(|(other, _)| other.0).collect()
    };
    let shown = map.devices.values().filter(|record| record.state != DeviceState::Removed);
    shown.map(|record| device(record, local.get(&record.id), shares(&record.id))).collect()
}

#[allow(clippy::cast_precision_loss, reason = "a weight for people")]
fn device(record: &DeviceRecord, local: Option<&LocalDevice>, shares_disk_with: Vec<u32>) -> DeviceStatus {
    let (health, reason) = match local.map(|device| &device.state) {
        None => ("absent", Some("its folder was not given to this process".to_owned())),
        Some(LocalState::Absent(reason)) => ("absent", Some(reason.clone())),
        Some(LocalState::Failed(reason)) => ("failed", Some(reason.clone())),
        Some(LocalState::Open(engine)) => match engine.health() {
            Health::InService => ("in-service", None),
            Health::Full => ("full", Some("it takes no new data; deletes still work".to_owned())),
            Health::Failed { reason } => ("failed", Some(reason.to_string())),
        },
    };
    let engine = local.and_then(LocalDevice::engine);
    let usage = engine.map(ringfort_engine::Engine::usage).unwrap_or_default();
    let (queued, queued_bytes) = engine.map(ringfort_engine::Engine::queue_depth).unwrap_or_default();
    DeviceStatus {
        id: record.id.0,
        path: local.map(|device| device.path.display().to_string()),
        incarnation: record.incarnation.0,
        place: format!("{}/{}/{}", record.region, record.zone, record.node),
        weight: record.weight.milli() as f64 / 1000.0,
        ring_state: record.state.to_string(),
        health: health.to_owned(),
        reason,
        capacity_bytes: usage.capacity_bytes,
        used_bytes: usage.log_bytes,
        live_bytes: usage.live_bytes,
        free_bytes: usage.free_bytes.saturating_sub(usage.reserve_bytes),
        chunks: usage.chunks,
        queued: queued as u64,
        queued_bytes: queued_bytes as u64,
        shares_disk_with,
    }
}

/// What a person wants to know first. Each reason has a level; the worst one decides.
struct Findings(Vec<(SafetyLevel, String)>);

impl Findings {
    fn add(&mut self, found: bool, level: SafetyLevel, reason: impl FnOnce() -> String) {
        if found {
            self.0.push((level, reason()));
        }
    }
}

fn severity(level: SafetyLevel) -> u8 {
    match level {
        SafetyLevel::Safe => 0,
        SafetyLevel::Degraded => 1,
        SafetyLevel::Unavailable => 2,
        SafetyLevel::Lost => 3,
    }
}

fn verdict(status: &NodeStatus) -> Safety {
    let mut findings = Findings(Vec::new());
    metadata(status, &mut findings);
    voters(status, &mut findings);
    stored_data(status, &mut findings);
    devices_and_policies(status, &mut findings);
    let mut found = findings.0;
    found.sort_by_key(|(level, _)| std::cmp::Reverse(severity(*level)));
    let level = found.first().map_or(SafetyLevel::Safe, |(level, _)| *level);
    let wrong = found.iter().filter(|(level, _)| *level != SafetyLevel::Safe).count();
    let checking = wrong == 1 && !status.redundancy.checked;
    let summary = match level {
        SafetyLevel::Degraded if checking => {
            "Your data is readable; whether all of it has its full redundancy is being checked."
        }
        SafetyLevel::Safe => {
            "Your data is safe: everything is readable and has all the redundancy it should have."
        }
        SafetyLevel::Degraded => {
            "Your data is readable, but for now it has less redundancy than it should have."
        }
        SafetyLevel::Unavailable => {
            "Some data cannot be read or written at the moment; nothing is known to be lost."
        }
        SafetyLevel::Lost => {
            "Some data cannot be read although every device answers: it is lost unless a device returns."
        }
    };
    Safety {
        level,
        summary: summary.to_owned(),
        reasons: found.into_iter().map(|(_, reason)| reason).collect(),
        checking,
    }
}

fn metadata(status: &NodeStatus, findings: &mut Findings) {
    for group in status.groups.iter().filter(|group| !group.quorum) {
        let what = if group.id == SYSTEM_GROUP.0 { "the system group" } else { "a metadata group" };
        findings.add(true, SafetyLevel::Unavailable, || format!("{what} ({}) has no quorum.", group.id));
    }
    findings.add(status.groups.is_empty(), SafetyLevel::Unavailable, || "No metadata group runs.".to_owned());
    let f = status.policies.iter().map(|policy| usize::from(policy.f)).max().unwrap_or(0);
    let fewest = status.groups.iter().map(|group| group.devices.len()).min().unwrap_or(0);
    findings.add(fewest < 2 * f + 1, SafetyLevel::Degraded, || {
        format!(
            "Metadata groups have {fewest} voters where {} are needed to survive the loss of {f} devices.",
            2 * f + 1
        )
    });
}

fn voters(status: &NodeStatus, findings: &mut Findings) {
    let short = status.groups.iter().filter(|group| group.running < group.voters).count();
    findings.add(short > 0, SafetyLevel::Degraded, || {
        format!(
            "{short} metadata groups run with fewer voters than they have; the others are being replaced."
        )
    });
}

fn stored_data(status: &NodeStatus, findings: &mut Findings) {
    let redundancy = &status.redundancy;
    let complete =
        status.devices.iter().all(|device| matches!(device.health.as_str(), "in-service" | "full"));
    let level = if complete { SafetyLevel::Lost } else { SafetyLevel::Unavailable };
    findings.add(redundancy.unreadable > 0, level, || {
        format!("{} chunks have too few good pieces left to be read.", redundancy.unreadable)
    });
    findings.add(redundancy.damaged > 0, SafetyLevel::Degraded, || {
        format!("{} damaged pieces are being repaired from good ones.", redundancy.damaged)
    });
    findings.add(redundancy.missing > 0, SafetyLevel::Degraded, || {
        let done = redundancy.progress.as_ref().map_or(0.0, |progress| progress.percent);
        format!("{} missing pieces are being rebuilt ({done:.0} % of the pass done).", redundancy.missing)
    });
    findings.add(!redundancy.checked, SafetyLevel::Degraded, || {
        "Not all data has been checked since the start or the last change of devices; the check is running.".to_owned()
    });
    findings.add(status.held_orphans > 0, SafetyLevel::Degraded, || {
        format!(
            "{} stored blobs have no record, too many to be remains of failed writes: none of them is deleted. Perhaps \
             metadata were lost.",
            status.held_orphans
        )
    });
}

fn devices_and_policies(status: &NodeStatus, findings: &mut Findings) {
    for device in &status.devices {
        let reason = device.reason.as_deref().unwrap_or("");
        let out = matches!(device.health.as_str(), "failed" | "absent");
        findings.add(out, SafetyLevel::Degraded, || {
            format!("Device {} is {}: {reason}.", device.id, device.health)
        });
        findings
            .add(device.health == "full", SafetyLevel::Degraded, || format!("Device {} is full.", device.id));
    }
    for policy in &status.policies {
        findings.add(!policy.promise_holds, SafetyLevel::Degraded, || {
            format!(
                "Policy {} ({}) cannot keep its promise to survive the loss of {} devices at the moment: writes are refused \
                 where it would be broken.",
                policy.name, policy.redundancy, policy.f
            )
        });
        findings.add(policy.f == 0, SafetyLevel::Safe, || {
            format!("Policy {} ({}) survives the loss of no device.", policy.name, policy.redundancy)
        });
    }
    for line in shared_disks(&status.devices) {
        findings.add(true, SafetyLevel::Safe, || line);
    }
}

/// One warning per disk that several devices are on.
#[must_use]
pub fn shared_disks(devices: &[DeviceStatus]) -> Vec<String> {
    let mut lines = Vec::new();
    for device in devices {
        let others = &device.shares_disk_with;
        // Told once, at the first of them.
        if others.is_empty() || others.iter().any(|other| *other < device.id) {
            continue;
        }
        let all = std::iter::once(&device.id).chain(others).map(ToString::to_string);
        let all = all.collect::<Vec<_>>().join(", ");
        lines.push(format!(
            "Devices {all} share one disk: if that disk fails they fail together. Good for a trial, not for copies that \
             count."
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy() -> NodeStatus {
        NodeStatus {
            groups: vec![GroupHealth {
                id: 0,
                devices: vec![1, 2, 3],
                leader: Some(1),
                quorum: true,
                voters: 3,
                running: 3,
                ..GroupHealth::default()
            }],
            policies: vec![PolicyStatus { f: 1, promise_holds: true, ..PolicyStatus::default() }],
            devices: vec![DeviceStatus { id: 1, health: "in-service".to_owned(), ..DeviceStatus::default() }],
            redundancy: RedundancyStatus { checked: true, ..RedundancyStatus::default() },
            ..NodeStatus::default()
        }
    }

    #[test]
    fn the_worst_finding_decides() {
        let check = |change: fn(&mut NodeStatus), level: SafetyLevel, word: &str| {
            let mut status = healthy();
            change(&mut status);
            let safety = verdict(&status);
            assert_eq!(safety.level, level, "{safety:?}");
            assert!(safety.reasons.first().is_none_or(|reason| reason.contains(word)), "{safety:?}");
        };
        check(|_| {}, SafetyLevel::Safe, "");
        check(|s| s.devices[0].shares_disk_with = vec![2], SafetyLevel::Safe, "share one disk");
        check(|s| s.redundancy.missing = 3, SafetyLevel::Degraded, "missing");
        check(|s| s.redundancy.checked = false, SafetyLevel::Degraded, "Not all data has been checked");
        check(|s| s.groups[0].devices = vec![1], SafetyLevel::Degraded, "voters");
        check(|s| s.devices[0].health = "failed".to_owned(), SafetyLevel::Degraded, "failed");
        check(|s| s.groups[0].running = 2, SafetyLevel::Degraded, "fewer voters");
        check(|s| s.held_orphans = 7, SafetyLevel::Degraded, "no record");
        check(|s| s.groups[0].quorum = false, SafetyLevel::Unavailable, "system group");
        check(|s| s.redundancy.unreadable = 1, SafetyLevel::Lost, "too few");
    }

    #[test]
    fn a_check_under_way_is_no_loss_of_redundancy() {
        let mut status = healthy();
        status.redundancy.checked = false;
        let safety = verdict(&status);
        assert!(safety.checking && !safety.summary.contains("less redundancy"), "{safety:?}");
        status.redundancy.missing = 1;
        let safety = verdict(&status);
        assert!(!safety.checking && safety.summary.contains("less redundancy"), "{safety:?}");
    }

    #[test]
    fn shared_disks_are_told_once() {
        let device =
            |id, others: &[u32]| DeviceStatus { id, shares_disk_with: others.to_vec(), ..Default::default() };
        let lines =
            shared_disks(&[device(1, &[2, 3]), device(2, &[1, 3]), device(3, &[1, 2]), device(4, &[])]);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with("Devices 1, 2, 3 share one disk"));
    }
}
