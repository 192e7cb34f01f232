//! `ringfort status`: is my data safe?

use super::show;
use crate::admin::{AdminClient, StatusReply};
use crate::args::StatusArgs;
use ringfort_storage_node::{DeviceStatus, NodeStatus, PolicyStatus, SafetyLevel};

pub(crate) async fn run(args: &StatusArgs) -> anyhow::Result<()> {
    let reply: StatusReply = AdminClient::new(&args.target.data).get("/v1/status").await?;
    if args.json {
        return show::json(&reply);
    }
    print(&reply);
    Ok(())
}

fn print(reply: &StatusReply) {
    let StatusReply { process, node } = reply;
    print_safety(node);
    say!("{}", space(node));
    say!("{}", groups(node));
    say!("\n{}", device_table(&node.devices));
    print_policies(node);
    say!("\n{}", backlog(node));
    say!("\nProcess  ringfort {}, pid {}", process.version, process.pid);
    let (up, memory) = (show::span(process.uptime_s), show::bytes(process.resident_bytes));
    say!("         up {up}, {memory} of memory");
    for endpoint in &process.endpoints {
        say!("         {:<8} {}", endpoint.service, endpoint.url);
    }
}

fn print_safety(node: &NodeStatus) {
    let word = match node.safety.level {
        SafetyLevel::Safe => "SAFE",
        SafetyLevel::Degraded if node.safety.checking => "CHECKING",
        SafetyLevel::Degraded => "DEGRADED",
        SafetyLevel::Unavailable => "UNAVAILABLE",
        SafetyLevel::Lost => "LOST",
    };
    say!("Data     {word}: {}", node.safety.summary);
    for reason in &node.safety.reasons {
        say!("         - {reason}");
    }
}

/// Devices that share a disk share its space, so each disk counts once.
fn space(node: &NodeStatus) -> String {
    let first_of_disk =
        |device: &&DeviceStatus| device.shares_disk_with.iter().all(|other| *other > device.id);
    // A device that is away tells nothing of its disk.
    let there = |device: &&DeviceStatus| device.capacity_bytes > 0;
    let disks = || node.devices.iter().filter(there).filter(first_of_disk);
    let free: u64 = disks().map(|device| device.free_bytes).sum();
    let capacity: u64 = disks().map(|device| device.capacity_bytes).sum();
    let live: u64 = node.devices.iter().map(|device| device.live_bytes).sum();
    let used: u64 = node.devices.iter().map(|device| device.used_bytes).sum();
    format!(
        "Space    {} stored, all copies and metadata counted, in {} set aside; {} free of {} on {} disk(s)",
        show::bytes(live),
        show::bytes(used),
        show::bytes(free),
        show::bytes(capacity),
        disks().count()
    )
}

/// Where the names of the objects are: the metadata groups.
fn groups(node: &NodeStatus) -> String {
    let stuck: Vec<String> = node
        .groups
        .iter()
        .filter(|group| group.leader.is_none() || !group.quorum)
        .map(|group| group.id.to_string())
        .collect();
    let count = node.groups.len();
    let voters = node.groups.iter().map(|group| group.devices.len()).min().unwrap_or(0);
    if stuck.is_empty() {
        format!("Names    {count} metadata groups, each on {voters} device(s) or more, all have a leader")
    } else {
        format!(
            "Names    {count} metadata groups, of which {} have no leader or no quorum now",
            stuck.join(", ")
        )
    }
}

/// The devices, as `status` and `device list` show them.
pub(super) fn device_table(devices: &[DeviceStatus]) -> comfy_table::Table {
    let rows = devices.iter().map(|device| {
        vec![
            device.id.to_string(),
            device.ring_state.clone(),
            device.health.clone(),
            device.place.clone(),
            format!("{}", device.weight),
            show::bytes(device.used_bytes),
            show::bytes(device.free_bytes),
            device.chunks.to_string(),
            device.path.clone().unwrap_or_default(),
        ]
    });
    let head = ["Device", "Ring", "Health", "Place", "Weight", "Used", "Free", "Chunks", "Path"];
    show::table(&head, &[4, 5, 6, 7], rows)
}

fn print_policies(node: &NodeStatus) {
    let rows = node.policies.iter().map(|policy| {
        let holds = if policy.promise_holds { "yes" } else { "NO" };
        vec![policy.name.clone(), policy.redundancy.clone(), promise(policy), holds.to_owned()]
    });
    let head = ["Policy", "Redundancy", "Acknowledged data survive the loss of", "Now"];
    say!("\n{}", show::table(&head, &[], rows));
}

/// What may be lost without losing data.
fn promise(policy: &PolicyStatus) -> String {
    let devices = match policy.f {
        0 => return "nothing: a single copy".to_owned(),
        1 => "any 1 device".to_owned(),
        f => format!("any {f} devices"),
    };
    match policy.domain.as_str() {
        "none" | "device" => devices,
        domain => format!("{devices}, or any one {domain}"),
    }
}

fn backlog(node: &NodeStatus) -> String {
    let redundancy = &node.redundancy;
    let parts: Vec<String> = [
        (redundancy.missing, "pieces missing"),
        (redundancy.damaged, "pieces damaged"),
        (redundancy.unreadable, "chunks unreadable"),
        (redundancy.queued, "chunks queued for repair"),
        (node.delete_backlog, "deleted blobs still to be freed on some device"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    let mut lines = vec![if parts.is_empty() { "nothing waits".to_owned() } else { parts.join(", ") }];
    if redundancy.repaired > 0 {
        lines.push(format!("{} pieces repaired since the start", redundancy.repaired));
    }
    let scrub = &node.scrub;
    let running = [&redundancy.progress, &node.rebalance, &scrub.progress];
    lines.extend(running.into_iter().flatten().map(show::progress));
    if scrub.progress.is_none() && scrub.finished_s.is_some() {
        lines.push(format!("last scrub: {} pieces read, {} damaged", scrub.checked, scrub.damaged));
    }
    format!("Backlog  {}", lines.join("\n         "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfort_storage_node::{GroupHealth, RedundancyStatus};

    #[test]
    fn a_promise_is_told_in_words() {
        let check = |f, domain: &str, wanted: &str| {
            let policy = PolicyStatus { f, domain: domain.to_owned(), ..PolicyStatus::default() };
            assert_eq!(promise(&policy), wanted);
        };
        check(0, "none", "nothing: a single copy");
        check(1, "device", "any 1 device");
        check(2, "zone", "any 2 devices, or any one zone");
    }

    #[test]
    fn only_what_waits_is_told() {
        let mut node = NodeStatus::default();
        assert_eq!(backlog(&node), "Backlog  nothing waits");
        node.redundancy = RedundancyStatus { missing: 3, repaired: 2, ..RedundancyStatus::default() };
        node.delete_backlog = 4;
        let wanted = "Backlog  3 pieces missing, 4 deleted blobs still to be freed on some device\n         \
                      2 pieces repaired since the start";
        assert_eq!(backlog(&node), wanted);
    }

    #[test]
    fn disks_and_stuck_groups_are_counted_once() {
        let device = |id, others: &[u32]| DeviceStatus {
            id,
            shares_disk_with: others.to_vec(),
            capacity_bytes: 2 << 30,
            free_bytes: 1 << 30,
            ..DeviceStatus::default()
        };
        let group =
            |id, leader| GroupHealth { id, leader, quorum: leader.is_some(), ..GroupHealth::default() };
        let node = NodeStatus {
            devices: vec![device(1, &[2]), device(2, &[1]), device(3, &[])],
            groups: vec![group(0, Some(1)), group(7, None)],
            ..NodeStatus::default()
        };
        assert!(space(&node).ends_with("2.00 GiB free of 4.00 GiB on 2 disk(s)"), "{}", space(&node));
        assert!(groups(&node).contains("of which 7 have no leader"), "{}", groups(&node));
    }
}
