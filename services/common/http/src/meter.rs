//! Figures of one port. Counted in plain atomics and published by the sweeper, so a request pays a few adds.

use metrics::{Counter, Gauge};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the latency buckets, in microseconds; one more bucket takes the rest.
const BOUNDS_US: [u64; 12] =
    [250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 10_000_000];

/// What became of connections that we closed ourselves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Closed {
    SlowHead,
    Idle,
    Stalled,
}

#[derive(Debug, Default)]
struct Counts {
    by_class: [AtomicU64; 5],
    by_latency: [AtomicU64; BOUNDS_US.len() + 1],
    latency_us: AtomicU64,
    accepted: AtomicU64,
    closed: [AtomicU64; 3],
}

/// The counts of a port and the handles under which they are published.
pub(crate) struct Meter {
    counts: Counts,
    by_class: [Counter; 5],
    by_latency: Vec<Counter>,
    latency_sum_us: Counter,
    accepted: Counter,
    closed: [Counter; 3],
    open: Gauge,
}

impl Meter {
    pub(crate) fn new(port: &'static str) -> Self {
        let bound = |at: usize| BOUNDS_US.get(at).map_or_else(|| "+Inf".to_owned(), |us| seconds_text(*us));
        let closed = |why| metrics::counter!("ringfort_http_closed_total", "port" => port, "why" => why);
        Self {
            counts: Counts::default(),
            by_class: ["1xx", "2xx", "3xx", "4xx", "5xx"].map(
                |class| metrics::counter!("ringfort_http_requests_total", "port" => port, "class" => class),
            ),
            by_latency: (0..=BOUNDS_US.len())
                .map(|at| {
                    metrics::counter!("ringfort_http_request_seconds_bucket", "port" => port, "le" => bound(at))
                })
                .collect(),
            latency_sum_us: metrics::counter!("ringfort_http_request_us_sum", "port" => port),
            accepted: metrics::counter!("ringfort_http_connections_accepted_total", "port" => port),
            closed: ["slow_head", "idle", "stalled"].map(closed),
            open: metrics::gauge!("ringfort_http_connections_open", "port" => port),
        }
    }

    pub(crate) fn accepted(&self) {
        self.counts.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn closed(&self, why: Closed) {
        self.counts.closed[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn answered(&self, status: http::StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        self.counts.by_class[class].fetch_add(1, Ordering::Relaxed);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        self.counts.by_latency[bucket].fetch_add(1, Ordering::Relaxed);
        self.counts.latency_us.fetch_add(us, Ordering::Relaxed);
    }

    /// Hands the counts to the recorder.
    #[expect(clippy::cast_precision_loss, reason = "a gauge of open connections")]
    pub(crate) fn publish(&self, open: usize) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        for (count, handle) in self.counts.by_class.iter().zip(&self.by_class) {
            handle.absolute(load(count));
        }
        let mut up_to = 0;
        for (count, handle) in self.counts.by_latency.iter().zip(&self.by_latency) {
            up_to += load(count);
            handle.absolute(up_to);
        }
        self.latency_sum_us.absolute(load(&self.counts.latency_us));
        self.accepted.absolute(load(&self.counts.accepted));
        for (count, handle) in self.counts.closed.iter().zip(&self.closed) {
            handle.absolute(load(count));
        }
        self.open.set(open as f64);
    }
}

fn seconds_text(us: u64) -> String {
    format!("{}", Duration::from_micros(us).as_secs_f64())
}
