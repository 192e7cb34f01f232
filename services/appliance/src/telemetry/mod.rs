//! Log lines and figures.

mod figures;
mod log;

pub(crate) use figures::{node_text, process_text, resident_bytes};
pub(crate) use log::start_logging;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use ringfort_runtime::TaskGroup;
use std::time::Duration;

/// How often the recorder tidies up; without it histograms grow.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Upper bounds of the buckets of times, in seconds.
const SECONDS: [f64; 12] = [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0];

/// Installs the process's metrics recorder.
pub(crate) fn start_metrics() -> Result<PrometheusHandle, metrics_exporter_prometheus::BuildError> {
    let times = Matcher::Suffix("_seconds".to_owned());
    let handle = PrometheusBuilder::new().set_buckets_for_metric(times, &SECONDS)?.install_recorder()?;
    figures::describe();
    Ok(handle)
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
