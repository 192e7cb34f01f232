//! Log lines and figures.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use ringfort_runtime::TaskGroup;
use ringfort_storage_node::{NodeStatus, Progress, SafetyLevel};
use std::io::IsTerminal;
use std::time::Duration;
use tracing_subscriber::EnvFilter;

/// How often the recorder tidies up; without it histograms grow.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Starts logging to standard error. `RINGFORT_LOG` stands above the settings.
pub(crate) fn start_logging(json: bool, filter: &str) {
    let filter = EnvFilter::try_from_env("RINGFORT_LOG").unwrap_or_else(|_| EnvFilter::new(filter));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second subscriber in one process is a test's business, not a fault.
    let _ = if json {
        lines.json().flatten_event(true).try_init()
    } else {
        lines.with_ansi(std::io::stderr().is_terminal()).try_init()
    };
}

/// Installs the process's metrics recorder.
pub(crate) fn start_metrics() -> Result<PrometheusHandle, metrics_exporter_prometheus::BuildError> {
    PrometheusBuilder::new().install_recorder()
}

/// Keeps the recorder's memory bounded.
pub(crate) fn keep_up(handle: &PrometheusHandle, tasks: &TaskGroup) {
    let handle = handle.clone();
    tasks.spawn_until_stopped(async move {
        let mut tick = tokio::time::interval(UPKEEP_INTERVAL);
        loop {
            tick.tick().await;
            handle.run_upkeep();
        }
    });
}

/// What the kernel and the allocator say of this process.
#[expect(clippy::cast_precision_loss, reason = "gauges")]
pub(crate) fn publish_process() {
    if let Some(cpu_s) = cpu_seconds() {
        metrics::gauge!("process_cpu_seconds_total").set(cpu_s);
    }
    if let Some(bytes) = resident_bytes() {
        metrics::gauge!("process_resident_memory_bytes").set(bytes as f64);
    }
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        metrics::gauge!("process_open_fds").set(entries.count() as f64);
    }
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
#[expect(clippy::cast_precision_loss, reason = "gauges")]
pub(crate) fn publish_node(status: &NodeStatus) {
    let safety = match status.safety.level {
        SafetyLevel::Safe => 0.0,
        SafetyLevel::Degraded => 1.0,
        SafetyLevel::Unavailable => 2.0,
        SafetyLevel::Lost => 3.0,
    };
    metrics::gauge!("ringfort_safety_level").set(safety);
    metrics::gauge!("ringfort_ring_epoch").set(status.epoch as f64);
    for device in &status.devices {
        let id = device.id.to_string();
        let up = if device.health == "in-service" { 1.0 } else { 0.0 };
        metrics::gauge!("ringfort_device_in_service", "device" => id.clone()).set(up);
        for (what, bytes) in [
            ("capacity", device.capacity_bytes),
            ("used", device.used_bytes),
            ("live", device.live_bytes),
            ("free", device.free_bytes),
        ] {
            metrics::gauge!("ringfort_device_bytes", "device" => id.clone(), "what" => what)
                .set(bytes as f64);
        }
        metrics::gauge!("ringfort_device_chunks", "device" => id).set(device.chunks as f64);
    }
    let redundancy = &status.redundancy;
    for (what, pieces) in [
        ("missing", redundancy.missing),
        ("damaged", redundancy.damaged),
        ("unreadable", redundancy.unreadable),
        ("queued", redundancy.queued),
        ("repaired", redundancy.repaired),
    ] {
        metrics::gauge!("ringfort_redundancy_pieces", "what" => what).set(pieces as f64);
    }
    metrics::gauge!("ringfort_delete_backlog_blobs").set(status.delete_backlog as f64);
    let leaderless = status.groups.iter().filter(|group| group.leader.is_none()).count();
    metrics::gauge!("ringfort_groups_without_leader").set(leaderless as f64);
    let percent = |progress: Option<&Progress>| progress.map_or(100.0, |progress| progress.percent);
    metrics::gauge!("ringfort_rebalance_percent").set(percent(status.rebalance.as_ref()));
    metrics::gauge!("ringfort_scrub_percent").set(percent(status.scrub.progress.as_ref()));
}
