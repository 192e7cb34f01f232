//! Counters and times per operation.

use http::StatusCode;
use ringfort_http::Outcomes;
use std::time::Duration;

/// What a request is about, for the figures.
pub(crate) const SUBJECTS: [&str; 4] = ["service", "account", "container", "object"];
const METHODS: [&str; 8] = ["GET", "HEAD", "PUT", "POST", "DELETE", "COPY", "OPTIONS", "other"];

/// Metrics of all operations.
pub(crate) struct Meters(Vec<Outcomes>);

impl Meters {
    /// Registers with the recorder that is installed now.
    pub(crate) fn new() -> Self {
        let one = |subject, method| {
            Outcomes::new("ringfort_swift_request", &[("subject", subject), ("method", method)])
        };
        let of = |subject: &'static str| METHODS.iter().map(move |method| one(subject, method));
        Self(SUBJECTS.iter().flat_map(|subject| of(subject)).collect())
    }

    /// Notes an answered request.
    pub(crate) fn note(&self, subject: usize, method: &str, status: StatusCode, took: Duration) {
        let method = METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len() - 1);
        if let Some(meter) = self.0.get(subject * METHODS.len() + method) {
            meter.note(status, took);
        }
    }
}
