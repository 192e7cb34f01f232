//! Counters and times per operation. The handles are made once: looking a metric up by its labels on every request
//! would cost more than routing it.

use crate::operation::Operation;
use http::StatusCode;
use metrics::{Counter, Histogram, counter, histogram};
use std::time::Duration;

/// Metrics of all operations.
pub(crate) struct Meters {
    by_operation: Vec<Meter>,
    /// Requests that were refused before their operation was known.
    unrouted: Meter,
}

struct Meter {
    ok: Counter,
    refused: Counter,
    failed: Counter,
    seconds: Histogram,
}

impl Meters {
    /// Registers with the recorder that is installed now.
    pub(crate) fn new() -> Self {
        Self {
            by_operation: Operation::ALL.iter().map(|operation| Meter::new(operation.name())).collect(),
            unrouted: Meter::new("none"),
        }
    }

    /// Notes an error, by its code. Rare enough to be looked up.
    pub(crate) fn refused(&self, code: &'static str) {
        counter!("ringfort_s3_errors_total", "code" => code).increment(1);
    }

    /// Notes an answered request.
    pub(crate) fn note(&self, operation: Option<Operation>, status: StatusCode, took: Duration) {
        let meter = operation
            .and_then(|operation| self.by_operation.get(operation as usize))
            .unwrap_or(&self.unrouted);
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
    fn new(operation: &'static str) -> Self {
        let count = |outcome: &'static str| counter!("ringfort_s3_requests_total", "operation" => operation, "outcome" => outcome);
        Self {
            ok: count("ok"),
            refused: count("refused"),
            failed: count("failed"),
            seconds: histogram!("ringfort_s3_request_seconds", "operation" => operation),
        }
    }
}
