//! The figures that are read when they are asked for: of the process, the devices, the metadata groups and the upkeep of the
//! stored data. Written as text straight from the status, so that what a removed device showed goes with it; what is counted
//! as it happens goes through the recorder (see [`describe`]).

use ringfort_storage_node::{NodeStatus, Progress, SafetyLevel};
use std::fmt::Write;

/// A page in Prometheus's text form.
#[derive(Default)]
struct Page(String);

impl Page {
    fn family<L: AsRef<str>>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, f64)>,
    ) {
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("writing to a string");
        for (labels, value) in samples {
            let labels = labels.as_ref();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
            writeln!(self.0, "{name}{labels} {value}").expect("writing to a string");
        }
    }

    fn gauge<L: AsRef<str>>(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = (L, f64)>) {
        self.family(name, "gauge", help, samples);
    }

    fn one(&mut self, name: &str, help: &str, value: f64) {
        self.gauge(name, help, [("", value)]);
    }
}

/// What the kernel says of this process.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(crate) fn process_text() -> String {
    let mut page = Page::default();
    if let Some(cpu_s) = cpu_seconds() {
        let help = "Processor time used by this process.";
        page.family("process_cpu_seconds_total", "counter", help, [("", cpu_s)]);
    }
    if let Some(bytes) = resident_bytes() {
        page.one("process_resident_memory_bytes", "Memory this process occupies.", bytes as f64);
    }
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        page.one("process_open_fds", "Open descriptors.", entries.count() as f64);
    }
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    page.gauge("ringfort_build_info", "The version that runs.", [(version, 1.0)]);
    let up = ringfort_runtime::boot_time().as_secs_f64();
    page.one("ringfort_uptime_seconds", "Time since the start.", up);
    page.0
}

/// Bytes of memory this process occupies.
pub(crate) fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[expect(clippy::cast_precision_loss, reason = "seconds of a process's life")]
fn cpu_seconds() -> Option<f64> {
    /// The kernel's unit for user space, the same on every Linux we run on.
    const TICKS_PER_S: f64 = 100.0;
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name may hold spaces and brackets; fields are counted from the last bracket.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(ticks as f64 / TICKS_PER_S)
}

/// What the storage node says of itself.
pub(crate) fn node_text(status: &NodeStatus) -> String {
    let mut page = Page::default();
    let safety = match status.safety.level {
        SafetyLevel::Safe => 0.0,
        SafetyLevel::Degraded => 1.0,
        SafetyLevel::Unavailable => 2.0,
        SafetyLevel::Lost => 3.0,
    };
    let help = "0 safe, 1 degraded, 2 some data unavailable, 3 some data lost; `ringfort status` says why.";
    page.one("ringfort_safety_level", help, safety);
    devices(&mut page, status);
    groups(&mut page, status);
    upkeep(&mut page, status);
    page.0
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn devices(page: &mut Page, status: &NodeStatus) {
    let label = |id: u32| format!("device=\"{id}\"");
    let up = status.devices.iter().map(|device| {
        let up = matches!(device.health.as_str(), "in-service" | "full");
        (label(device.id), f64::from(u8::from(up)))
    });
    page.gauge("ringfort_device_in_service", "1 while the device serves.", up);
    let full = status.devices.iter().map(|d| (label(d.id), f64::from(u8::from(d.health == "full"))));
    page.gauge("ringfort_device_full", "1 while the device takes no new data.", full);
    let space = status.devices.iter().flat_map(|device| {
        [
            ("capacity", device.capacity_bytes),
            ("used", device.used_bytes),
            ("live", device.live_bytes),
            ("free", device.free_bytes),
        ]
        .map(|(what, bytes)| (format!("device=\"{}\",what=\"{what}\"", device.id), bytes as f64))
    });
    let help = "Space of a device: capacity, used by the log, live in it, free for data.";
    page.gauge("ringfort_device_bytes", help, space);
    let chunks = status.devices.iter().map(|device| (label(device.id), device.chunks as f64));
    page.gauge("ringfort_device_chunks", "Chunks stored on the device.", chunks);
    let queued = status.devices.iter().map(|device| (label(device.id), device.queued as f64));
    page.gauge("ringfort_device_queue_requests", "Writes that wait for the device's writer.", queued);
    let queued = status.devices.iter().map(|device| (label(device.id), device.queued_bytes as f64));
    page.gauge("ringfort_device_queue_bytes", "Bytes of the writes that wait.", queued);
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn groups(page: &mut Page, status: &NodeStatus) {
    let groups = || status.groups.iter().map(|group| (format!("group=\"{}\"", group.id), group));
    let flag = |yes: bool| f64::from(u8::from(yes));
    let leader = groups().map(|(label, group)| (label, flag(group.leader.is_some())));
    page.gauge("ringfort_group_has_leader", "1 while the metadata group has a leader.", leader);
    let quorum = groups().map(|(label, group)| (label, flag(group.quorum)));
    page.gauge(
        "ringfort_group_has_quorum",
        "1 while a majority of the group's voters is in service.",
        quorum,
    );
    let voters = groups().map(|(label, group)| (label, group.devices.len() as f64));
    page.gauge("ringfort_group_voters", "Devices that hold a voter of the group.", voters);
    let applied = groups().map(|(label, group)| (label, group.applied as f64));
    page.gauge("ringfort_group_applied_index", "The last log entry the group has applied.", applied);
    let queued = groups().map(|(label, group)| (label, group.queued as f64));
    page.gauge("ringfort_group_queue_commands", "Commands that wait to be proposed.", queued);
    let stuck = status.groups.iter().filter(|group| group.leader.is_none()).count();
    page.one("ringfort_groups_without_leader", "Metadata groups without a leader.", stuck as f64);
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn upkeep(page: &mut Page, status: &NodeStatus) {
    let redundancy = &status.redundancy;
    let pieces = [
        ("missing", redundancy.missing),
        ("damaged", redundancy.damaged),
        ("unreadable", redundancy.unreadable),
        ("queued", redundancy.queued),
    ]
    .map(|(what, count)| (format!("what=\"{what}\""), count as f64));
    let help = "Repair backlog: pieces missing and damaged, chunks unreadable and queued.";
    page.gauge("ringfort_repair_backlog", help, pieces);
    let backlog = status.delete_backlog as f64;
    page.one("ringfort_delete_backlog_blobs", "Deleted blobs that some device still holds.", backlog);
    page.one("ringfort_ring_epoch", "The ring epoch in force.", status.epoch as f64);
    let percent = |progress: Option<&Progress>| progress.map_or(100.0, |progress| progress.percent);
    let done = percent(status.rebalance.as_ref());
    page.one("ringfort_rebalance_percent", "Progress of the ring change under way; 100 without one.", done);
    let done = percent(status.scrub.progress.as_ref());
    page.one("ringfort_scrub_percent", "Progress of the scrub under way; 100 without one.", done);
}

/// Says what the counts of the other crates mean.
pub(crate) fn describe() {
    for (name, help) in [
        ("ringfort_http_requests_total", "Requests answered, by port and class of status."),
        ("ringfort_http_bytes_total", "Bytes received from and sent to clients, by port."),
        ("ringfort_http_connections_accepted_total", "Connections accepted, by port."),
        ("ringfort_http_closed_total", "Connections closed by us: slow heads, idle and stalled ones."),
        ("ringfort_s3_requests_total", "S3 requests by operation and outcome."),
        ("ringfort_s3_errors_total", "S3 errors by their code."),
        ("ringfort_swift_requests_total", "Swift requests by subject, method and outcome."),
        ("ringfort_chunk_reads_degraded_total", "Chunks read by rebuilding fragments that were not there."),
        ("ringfort_chunk_reads_elsewhere_total", "Chunks read from another device than the nearest."),
        ("ringfort_chunk_reads_failed_total", "Chunks that could not be read."),
        ("ringfort_chunk_writes_failed_total", "Chunks that found no quorum."),
        ("ringfort_handoff_writes_total", "Pieces written to a stand-in for a device that is away."),
        ("ringfort_piece_faults_total", "Pieces that a device refused, by what was tried."),
        ("ringfort_damaged_pieces_total", "Pieces that failed their checksum when they were read."),
        ("ringfort_pieces_rebuilt_total", "Pieces rebuilt from others."),
        ("ringfort_repaired_pieces_total", "Pieces that the repair put back."),
        ("ringfort_repaired_bytes_total", "Bytes that the repair put back."),
        ("ringfort_inline_repairs_total", "Small objects' bodies put back from another copy."),
        ("ringfort_scrubbed_pieces_total", "Pieces read and verified by scrubs."),
        ("ringfort_scrub_damaged_pieces_total", "Damaged pieces found by scrubs."),
        ("ringfort_blobs_deleted_total", "Deleted blobs whose space was given back."),
        ("ringfort_orphans_total", "Blobs without an owner that were condemned."),
        ("ringfort_orphan_brakes_total", "Searches for orphans that stopped because they found too many."),
        ("ringfort_devices_lost_total", "Devices that went out of service."),
        ("ringfort_engine_corrupt_reads_total", "Reads of the log that failed their checksum."),
        ("ringfort_engine_compacted_bytes_total", "Bytes of dead log that compaction gave back."),
    ] {
        metrics::describe_counter!(name, help);
    }
    metrics::describe_gauge!("ringfort_http_connections_open", "Connections open now, by port.");
    metrics::describe_histogram!(
        "ringfort_s3_request_seconds",
        "Time to the head of the reply, by S3 operation."
    );
    metrics::describe_histogram!(
        "ringfort_swift_request_seconds",
        "Time to the head of the reply, by subject and method of Swift requests."
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfort_storage_node::{DeviceStatus, GroupHealth};

    #[test]
    fn every_figure_has_a_help_and_a_type() {
        let device =
            DeviceStatus { id: 3, health: "full".to_owned(), free_bytes: 7, ..DeviceStatus::default() };
        let group = GroupHealth { id: 8, leader: Some(3), quorum: true, queued: 5, ..GroupHealth::default() };
        let status = NodeStatus { devices: vec![device], groups: vec![group], ..NodeStatus::default() };
        let text = node_text(&status) + &process_text();
        for wanted in [
            "ringfort_device_in_service{device=\"3\"} 1",
            "ringfort_device_full{device=\"3\"} 1",
            "ringfort_device_bytes{device=\"3\",what=\"free\"} 7",
            "ringfort_group_has_leader{group=\"8\"} 1",
            "ringfort_group_queue_commands{group=\"8\"} 5",
            "ringfort_repair_backlog{what=\"missing\"} 0",
        ] {
            assert!(text.lines().any(|line| line == wanted), "no `{wanted}` in\n{text}");
        }
        for sample in text.lines().filter(|line| !line.starts_with('#')) {
            let name = sample.split(['{', ' ']).next().unwrap();
            for what in ["HELP", "TYPE"] {
                assert!(text.contains(&format!("# {what} {name} ")), "{name} has no {what}");
            }
        }
    }
}
