//! Figures of one port. Counted in plain atomics and published by the sweeper, so a request pays a few adds.

use crate::connection::Traffic;
use metrics::{Counter, Gauge};
use std::fmt::Write;
use std::sync::Arc;
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
    port: &'static str,
    counts: Counts,
    pub(crate) traffic: Arc<Traffic>,
    by_class: [Counter; 5],
    received: Counter,
    sent: Counter,
    accepted: Counter,
    closed: [Counter; 3],
    open: Gauge,
}

impl Meter {
    pub(crate) fn new(port: &'static str) -> Self {
        let bytes = |way| metrics::counter!("ringfort_http_bytes_total", "port" => port, "direction" => way);
        let closed = |why| metrics::counter!("ringfort_http_closed_total", "port" => port, "why" => why);
        Self {
            port,
            counts: Counts::default(),
            traffic: Arc::default(),
            by_class: ["1xx", "2xx", "3xx", "4xx", "5xx"].map(
                |class| metrics::counter!("ringfort_http_requests_total", "port" => port, "class" => class),
            ),
            received: bytes("received"),
            sent: bytes("sent"),
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
        self.received.absolute(load(&self.traffic.received));
        self.sent.absolute(load(&self.traffic.sent));
        self.accepted.absolute(load(&self.counts.accepted));
        for (count, handle) in self.counts.closed.iter().zip(&self.closed) {
            handle.absolute(load(count));
        }
        self.open.set(open as f64);
    }
}

impl Meter {
    /// Name of the histogram of request times.
    pub(crate) const SECONDS: &'static str = "ringfort_http_request_seconds";

    /// The histogram of request times in Prometheus's text form, whose recorder takes no ready-made buckets.
    pub(crate) fn write_seconds(&self, out: &mut String) {
        let (name, port) = (Self::SECONDS, self.port);
        let mut up_to = 0;
        let mut line = |text: std::fmt::Arguments<'_>| out.write_fmt(text).expect("writing to a string");
        for (at, count) in self.counts.by_latency.iter().enumerate() {
            up_to += count.load(Ordering::Relaxed);
            let bound = BOUNDS_US.get(at).map_or_else(|| "+Inf".to_owned(), |us| seconds_text(*us));
            line(format_args!("{name}_bucket{{port=\"{port}\",le=\"{bound}\"}} {up_to}\n"));
        }
        let sum = seconds_text(self.counts.latency_us.load(Ordering::Relaxed));
        line(format_args!("{name}_sum{{port=\"{port}\"}} {sum}\n"));
        line(format_args!("{name}_count{{port=\"{port}\"}} {up_to}\n"));
    }
}

fn seconds_text(us: u64) -> String {
    format!("{}", Duration::from_micros(us).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_fall_into_buckets_that_add_up() {
        let meter = Meter::new("s3");
        for us in [100, 300, 300, 20_000_000] {
            meter.answered(http::StatusCode::OK, Duration::from_micros(us));
        }
        let mut text = String::new();
        meter.write_seconds(&mut text);
        for wanted in [
            r#"ringfort_http_request_seconds_bucket{port="s3",le="0.00025"} 1"#,
            r#"ringfort_http_request_seconds_bucket{port="s3",le="0.0005"} 3"#,
            r#"ringfort_http_request_seconds_bucket{port="s3",le="10"} 3"#,
            r#"ringfort_http_request_seconds_bucket{port="s3",le="+Inf"} 4"#,
            r#"ringfort_http_request_seconds_sum{port="s3"} 20.0007"#,
            r#"ringfort_http_request_seconds_count{port="s3"} 4"#,
        ] {
            assert!(text.lines().any(|line| line == wanted), "no `{wanted}` in\n{text}");
        }
    }
}
