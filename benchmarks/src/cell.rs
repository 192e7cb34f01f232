//! A cell of the table: one kind of load, and the figures that came of it.

use crate::load::Outcome;
use crate::process::Memory;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The figures of one run of a cell.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) name: String,
    pub(crate) operations: u64,
    pub(crate) errors: u64,
    pub(crate) seconds: f64,
    pub(crate) ops_per_second: f64,
    pub(crate) mb_per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    /// User and kernel time of the server and its children.
    pub(crate) server_cpu_s_per_1000: Option<f64>,
    pub(crate) server_rss_bytes: Option<u64>,
    pub(crate) server_rss_peak_bytes: Option<u64>,
    /// Body bytes compared with what was stored.
    pub(crate) verified_bytes: u64,
    pub(crate) failures: BTreeMap<String, u64>,
}

impl Figures {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub(crate) fn new(name: &str, outcome: Outcome) -> Self {
        let seconds = outcome.elapsed.as_secs_f64().max(1e-9);
        let operations = outcome.operations as f64;
        let per_1000 = |cpu: f64| cpu * 1000.0 / operations.max(1.0);
        let memory = |part: fn(Memory) -> u64| outcome.server_memory.map(part);
        Self {
            name: name.to_owned(),
            operations: outcome.operations,
            errors: outcome.errors,
            seconds,
            ops_per_second: operations / seconds,
            mb_per_second: outcome.bytes as f64 / 1e6 / seconds,
            p50_ms: millis(outcome.latency.percentile(50)),
            p99_ms: millis(outcome.latency.percentile(99)),
            max_ms: millis(outcome.latency.max()),
            server_cpu_s_per_1000: outcome.server_cpu.map(per_1000),
            server_rss_bytes: memory(|memory| memory.resident),
            server_rss_peak_bytes: memory(|memory| memory.peak),
            verified_bytes: outcome.verified,
            failures: outcome.failures,
        }
    }

    /// The run that is the median by rate, with the medians of the other measures; errors and checks are summed.
    ///
    /// `None` if there are no runs.
    pub(crate) fn median(runs: &[Self]) -> Option<Self> {
        let mut by_rate: Vec<&Self> = runs.iter().collect();
        by_rate.sort_by(|a, b| a.ops_per_second.total_cmp(&b.ops_per_second));
        let mut middle = (*by_rate.get(by_rate.len() / 2)?).clone();
        let of = |measure: fn(&Self) -> f64| median(runs.iter().map(measure).collect());
        middle.p50_ms = of(|run| run.p50_ms);
        middle.p99_ms = of(|run| run.p99_ms);
        let cpu: Option<Vec<f64>> = runs.iter().map(|run| run.server_cpu_s_per_1000).collect();
        middle.server_cpu_s_per_1000 = cpu.map(median);
        middle.server_rss_peak_bytes = runs.iter().filter_map(|run| run.server_rss_peak_bytes).max();
        middle.errors = runs.iter().map(|run| run.errors).sum();
        middle.verified_bytes = runs.iter().map(|run| run.verified_bytes).sum();
        middle.max_ms = runs.iter().map(|run| run.max_ms).fold(0.0, f64::max);
        for run in runs {
            middle.failures.extend(run.failures.clone());
        }
        Some(middle)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {:.0} ops/s, {:.1} MB/s, p50 {:.2} ms, p99 {:.2} ms, max {:.0} ms, {} ops in {:.1} s, {} errors",
            self.name,
            self.ops_per_second,
            self.mb_per_second,
            self.p50_ms,
            self.p99_ms,
            self.max_ms,
            self.operations,
            self.seconds,
            self.errors
        )?;
        if let Some(cpu) = self.server_cpu_s_per_1000 {
            write!(f, ", server {cpu:.3} CPU-s/1000")?;
        }
        if let (Some(now), Some(peak)) = (self.server_rss_bytes, self.server_rss_peak_bytes) {
            write!(f, ", RSS {} MB (peak {} MB)", now / 1_000_000, peak / 1_000_000)?;
        }
        if self.verified_bytes > 0 {
            write!(f, ", {} bytes verified", self.verified_bytes)?;
        }
        for (failure, count) in &self.failures {
            write!(f, "\n  {count} x {failure}")?;
        }
        Ok(())
    }
}

/// The middle value; of two, the greater.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rate: u64, cpu: f64, errors: u64) -> Figures {
        let outcome = Outcome {
            operations: rate,
            errors,
            bytes: rate * 1000,
            elapsed: Duration::from_secs(1),
            server_cpu: Some(cpu),
            ..Outcome::default()
        };
        Figures::new("cell", outcome)
    }

    #[test]
    fn medians_are_per_measure_and_errors_add_up() {
        let middle = Figures::median(&[run(1000, 3.0, 0), run(3000, 3.0, 2), run(2000, 8.0, 0)]).unwrap();
        assert_eq!(middle.operations, 2000);
        assert_eq!(middle.server_cpu_s_per_1000, Some(3.0));
        assert_eq!(middle.errors, 2);
        assert!(Figures::median(&[]).is_none());
        assert!(middle.to_string().contains("2000 ops/s, 2.0 MB/s"), "{middle}");
    }
}
