//! How the requests of one kind end, and how long they take. The handles are made once: looking a metric up by its labels on
//! every request would cost more than routing it.

use http::StatusCode;
use metrics::{Counter, Histogram, Label, counter, histogram};
use std::time::Duration;

/// Counters and times of one kind of request.
pub struct Outcomes {
    ok: Counter,
    refused: Counter,
    failed: Counter,
    seconds: Histogram,
}

impl Outcomes {
    /// Registers `<name>s_total` by outcome and `<name>_seconds`, both under `labels`, with the recorder that is installed
    /// now.
    #[must_use]
    pub fn new(name: &str, labels: &[(&'static str, &'static str)]) -> Self {
        let labels: Vec<Label> = labels.iter().map(|(name, value)| Label::new(*name, *value)).collect();
        let count = |outcome: &'static str| {
            let labels = [&labels[..], &[Label::new("outcome", outcome)]].concat();
            counter!(format!("{name}s_total"), labels)
        };
        Self {
            ok: count("ok"),
            refused: count("refused"),
            failed: count("failed"),
            seconds: histogram!(format!("{name}_seconds"), labels.clone()),
        }
    }

    /// Notes an answered request.
    pub fn note(&self, status: StatusCode, took: Duration) {
        match status.as_u16() {
            ..400 => &self.ok,
            400..500 => &self.refused,
            _ => &self.failed,
        }
        .increment(1);
        self.seconds.record(took);
    }
}
