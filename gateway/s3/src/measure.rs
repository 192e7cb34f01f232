//! Counters and times per operation.

use crate::operation::Operation;
use http::StatusCode;
use metrics::counter;
use ringfort_http::Outcomes;
use std::time::Duration;

/// Metrics of all operations.
pub(crate) struct Meters {
    by_operation: Vec<Outcomes>,
    /// Requests that were refused before their operation was known.
    unrouted: Outcomes,
}

impl Meters {
    /// Registers with the recorder that is installed now.
    pub(crate) fn new() -> Self {
        Self {
            by_operation: Operation::ALL.iter().map(|operation| of(operation.name())).collect(),
            unrouted: of("none"),
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
        meter.note(status, took);
    }
}

fn of(operation: &'static str) -> Outcomes {
    Outcomes::new("ringfort_s3_request", &[("operation", operation)])
}
