//! `ringfort status`: is my data safe?

use super::show;
use crate::admin::{AdminClient, StatusReply};
use crate::args::StatusArgs;
use ringfort_storage_node::{DeviceStatus, NodeStatus, SafetyLevel};

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
    print_capacity(node);
    println!("\n{}", device_table(&node.devices));
    for line in shared_disks(&node.devices) {
        println!("{line}");
    }
    print_policies(node);
    print_backlog(node);
    println!("\nProcess  ringfort {}, pid {}", process.version, process.pid);
    let (up, memory) = (show::span(process.uptime_s), show::bytes(process.resident_bytes));
    println!("         up {up}, {memory} of memory");
    for endpoint in &process.endpoints {
        println!("         {:<8} {}", endpoint.service, endpoint.url);
    }
}

fn print_safety(node: &NodeStatus) {
    let word = match node.safety.level {
        SafetyLevel::Safe => "SAFE",
        SafetyLevel::Degraded => "DEGRADED",
        SafetyLevel::Unavailable => "UNAVAILABLE",
        SafetyLevel::Lost => "LOST",
    };
    println!("Data     {word}: {}", node.safety.summary);
    for reason in &node.safety.reasons {
        println!("         - {reason}");
    }
}

/// Devices that share a disk share its space, so each disk counts once.
fn print_capacity(node: &NodeStatus) {
    let first_of_disk =
        |device: &&DeviceStatus| device.shares_disk_with.iter().all(|other| *other > device.id);
    let disks = || node.devices.iter().filter(first_of_disk);
    let capacity: u64 = disks().map(|device| device.capacity_bytes).sum();
    let free: u64 = disks().map(|device| device.free_bytes).sum();
    let used: u64 = node.devices.iter().map(|device| device.used_bytes).sum();
    println!(
        "Space    {} stored (all copies), {} free of {} on {} disk(s)",
        show::bytes(used),
        show::bytes(free),
        show::bytes(capacity),
        disks().count()
    );
}

/// The devices, as `status` and `device list` show them.
pub(super) fn device_table(devices: &[DeviceStatus]) -> comfy_table::Table {
    let rows = devices.iter().map(|device| {
        let health = match &device.reason {
            Some(reason) => format!("{}: {reason}", device.health),
            None => device.health.clone(),
        };
        vec![
            device.id.to_string(),
            device.ring_state.clone(),
            health,
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

/// One warning per disk that several devices are on.
pub(super) fn shared_disks(devices: &[DeviceStatus]) -> Vec<String> {
    let mut lines = Vec::new();
    for device in devices {
        let others = &device.shares_disk_with;
        // Told once, at the first of them.
        if others.is_empty() || others.iter().any(|other| *other < device.id) {
            continue;
        }
        let mut all = vec![device.id];
        all.extend(others);
        let all: Vec<String> = all.iter().map(ToString::to_string).collect();
        lines.push(format!(
            "Devices {} share one disk: if that disk fails they fail together. Good for a trial, not for a copy \
             that counts.",
            all.join(", ")
        ));
    }
    lines
}

fn print_policies(node: &NodeStatus) {
    let rows = node.policies.iter().map(|policy| {
        let promise = if policy.f == 0 {
            "no loss of a device".to_owned()
        } else if policy.domain == "none" {
            format!("{} device(s)", policy.f)
        } else {
            format!("{} device(s), or any one {}", policy.f, policy.domain)
        };
        let holds = if policy.promise_holds { "yes" } else { "NO" };
        vec![policy.name.clone(), policy.redundancy.clone(), promise, holds.to_owned()]
    });
    let head = ["Policy", "Redundancy", "Acknowledged data survive losing", "Now"];
    println!("\n{}", show::table(&head, &[], rows));
}

fn print_backlog(node: &NodeStatus) {
    let redundancy = &node.redundancy;
    println!(
        "\nBacklog  {} missing, {} damaged, {} unreadable, {} queued for repair, {} repaired; {} deletes to confirm",
        redundancy.missing,
        redundancy.damaged,
        redundancy.unreadable,
        redundancy.queued,
        redundancy.repaired,
        node.delete_backlog
    );
    let scrub = &node.scrub;
    for progress in [&redundancy.progress, &node.rebalance, &scrub.progress].into_iter().flatten() {
        println!("         {}", show::progress(progress));
    }
    if scrub.progress.is_none() && scrub.finished_s.is_some() {
        println!("         last scrub: {} pieces read, {} damaged", scrub.checked, scrub.damaged);
    }
    let leaderless: Vec<String> =
        node.groups.iter().filter(|group| group.leader.is_none()).map(|group| group.id.to_string()).collect();
    if !leaderless.is_empty() {
        println!("         metadata groups without a leader now: {}", leaderless.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
