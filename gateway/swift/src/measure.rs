//! Counters and times per operation. The handles are made once: looking a metric up by its labels on every request would
//! cost more than routing it.

use http::StatusCode;
use metrics::{Counter, Histogram, counter, histogram};
use std::time::Duration;

/// What a request is about, for the figures.
pub(crate) const SUBJECTS: [&str; 4] = ["service", "account", "container", "object"];
const METHODS: [&str; 8] = ["GET", "HEAD", "PUT", "POST", "DELETE", "COPY", "OPTIONS", "other"];

/// Metrics of all operations.
pub(crate) struct Meters(Vec<Meter>);

struct Meter {
    ok: Counter,
    refused: Counter,
    failed: Counter,
    seconds: Histogram,
}

impl Meters {
    /// Registers with the recorder that is installed now.
    pub(crate) fn new() -> Self {
        let of = |subject: &'static str| METHODS.iter().map(move |method| Meter::new(subject, method));
        Self(SUBJECTS.iter().flat_map(|subject| of(subject)).collect())
    }

    /// Notes an answered request.
    pub(crate) fn note(&self, subject: usize, method: &str, status: StatusCode, took: Duration) {
        let method = METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len() - 1);
        let Some(meter) = self.0.get(subject * METHODS.len() + method) else { return };
        match status.as_u16() {
            ..400 => &meter.ok,
            400..500 => &meter.refused,
            _ => &meter.failed,
        }
        .increment(1);
        meter.seconds.record(took);
    }
}

impl Meter {
    fn new(subject: &'static str, method: &'static str) -> Self {
        let count = |outcome: &'static str| counter!("ringfort_swift_requests_total", "subject" => subject, "method" => method, "outcome" => outcome);
        Self {
            ok: count("ok"),
            refused: count("refused"),
            failed: count("failed"),
            seconds: histogram!("ringfort_swift_request_seconds", "subject" => subject, "method" => method),
        }
    }
}
