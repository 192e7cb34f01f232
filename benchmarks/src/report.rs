//! The table as Markdown, ours beside the others'.

use crate::args::SuiteArgs;
use crate::cell::Figures;
use crate::rivals::{
    Mark, RESTART_SECONDS_MAX, RIVALS, ROWS, RSS_IDLE_MAX, RSS_LOAD_MAX, Row, SLACK, SPACE_REACH,
    SPACE_RIVALS, Unit,
};
use anyhow::{Context, Result};
use serde::Serialize;
use std::fmt::Write;
use std::fs;

/// Figures that are no cell.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Facts {
    /// Start with an empty data folder.
    pub(crate) start_seconds: Option<f64>,
    /// Start with the objects of `space`.
    pub(crate) restart_seconds: Option<f64>,
    pub(crate) rss_idle: Option<u64>,
    pub(crate) rss_peak: Option<u64>,
    /// Idle after the start with the objects of `space`.
    pub(crate) rss_restarted: Option<u64>,
    /// Bytes that compaction freed during `overwrite-4k`.
    pub(crate) compacted: Option<f64>,
    /// Pieces that were read and verified during `scrubbed-4k`.
    pub(crate) scrubbed: Option<f64>,
    /// Objects of 4 KiB, and what they take on the disk.
    pub(crate) space: Option<(u64, u64)>,
}

/// All that a suite has measured so far.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    command: String,
    machine: String,
    commit: String,
    runs_per_cell: usize,
    pub(crate) facts: Facts,
    pub(crate) runs: Vec<Figures>,
    pub(crate) failures: Vec<String>,
}

impl Report {
    pub(crate) fn new(args: &SuiteArgs, machine: String, commit: String) -> Self {
        let mut command = format!(
            "ringfort-bench suite --server-bin <ringfort> --data-root <folder on a disk> --runs {} --seconds {} \
             --list-keys {} --list-keys-max {} --du-objects {} --threads {}",
            args.runs, args.seconds, args.list_keys, args.list_keys_max, args.du_objects, args.threads
        );
        for name in &args.only {
            command.push_str(" --only ");
            command.push_str(name);
        }
        Self {
            command,
            machine,
            commit,
            runs_per_cell: args.runs,
            facts: Facts::default(),
            runs: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Writes the table, and all runs as JSON if that is asked for.
    pub(crate) fn write(&self, args: &SuiteArgs) -> Result<()> {
        if let Some(folder) = args.out.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        fs::write(&args.out, self.markdown())
            .with_context(|| format!("cannot write {}", args.out.display()))?;
        if let Some(path) = &args.json_out {
            fs::write(path, serde_json::to_string_pretty(self)?)?;
        }
        Ok(())
    }

    pub(crate) fn markdown(&self) -> String {
        let mut out = String::from("# Benchmarks\n\n");
        let head = format!(
            "Measured at commit {} on {}; the client runs on the same machine. Each cell is the median of {} runs of a \
             closed loop; reads come from the page cache. CPU-s/1000 are the seconds of CPU that the server used per \
             thousand operations: the figure that holds on a noisy machine. The others' columns are not from this run: \
             they were measured on another 2-core machine shared with its client, one device, one copy. *Share of \
             reach* is rate / reach and reach / CPU: 1 is there, below {:.2} (1 / {SLACK}) is not good enough and \
             **bold**.\n\n",
            self.commit,
            self.machine,
            self.runs_per_cell,
            1.0 / SLACK
        );
        out.push_str(&head);
        out.push_str(&self.table());
        out.push('\n');
        out.push_str(&self.facts_table());
        if !self.failures.is_empty() {
            out.push_str("\nFailed while measuring:\n\n");
            for failure in &self.failures {
                put(&mut out, format_args!("- {}\n", failure.replace('\n', " ")));
            }
        }
        put(
            &mut out,
            format_args!(
                "\nReproduce with `make bench`, whose `BENCH_ARGS` change the settings of\n\n```sh\n{}\n```\n",
                self.command
            ),
        );
        out
    }

    fn table(&self) -> String {
        let mut out =
            format!("| cell | {} | reach | Ringfort | share of reach | p50, p99 ms |\n", RIVALS.join(" | "));
        out.push_str(&"|---".repeat(RIVALS.len() + 5));
        out.push_str("|\n");
        for row in ROWS {
            let runs: Vec<Figures> = self.runs.iter().filter(|run| run.name == row.cell).cloned().collect();
            out.push_str(&line(row, Figures::median(&runs).as_ref()));
        }
        let each = self.facts.space.map(|(objects, bytes)| ratio(bytes, objects.max(1)));
        let objects = self.facts.space.map_or(1_000_000, |(objects, _)| objects);
        put(&mut out, format_args!("| `du` per 4 KiB object after {objects}, settled, all included |"));
        for rival in SPACE_RIVALS {
            put(&mut out, format_args!(" {} |", rival.map_or(String::new(), kilobytes)));
        }
        let share = each.map_or(String::new(), |each| share(SPACE_REACH / each));
        let each = each.map_or_else(|| "-".to_owned(), kilobytes);
        put(&mut out, format_args!(" <= {} | {each} | {share} | |\n", kilobytes(SPACE_REACH)));
        out
    }

    fn facts_table(&self) -> String {
        let facts = &self.facts;
        let megabytes = |bytes: Option<u64>| bytes.map(|bytes| ratio(bytes, 1_000_000));
        let (idle_max, load_max) = (ratio(RSS_IDLE_MAX, 1_000_000), ratio(RSS_LOAD_MAX, 1_000_000));
        let mut out = String::from("| | measured | limit |\n|---|---|---|\n");
        let lines = [
            ("start, empty, to the first answer", facts.start_seconds, None, "s"),
            (
                "start with the objects of the `du` cell",
                facts.restart_seconds,
                Some(RESTART_SECONDS_MAX),
                "s",
            ),
            ("RSS idle, fresh", megabytes(facts.rss_idle), Some(idle_max), "MB"),
            (
                "RSS idle, restarted with the objects of the `du` cell",
                megabytes(facts.rss_restarted),
                Some(idle_max),
                "MB",
            ),
            ("RSS peak under the one-device cells", megabytes(facts.rss_peak), Some(load_max), "MB"),
            (
                "freed by compaction during the overwriting",
                facts.compacted.map(|bytes| bytes / 1e6),
                None,
                "MB",
            ),
            ("pieces verified by the scrub beside the load", facts.scrubbed, None, ""),
        ];
        for (name, measured, limit, unit) in lines {
            let over = measured.zip(limit).is_some_and(|(measured, limit)| measured > limit);
            let measured = measured.map_or_else(|| "-".to_owned(), |value| format!("{value:.2} {unit}"));
            let measured = if over { format!("**{measured}**") } else { measured };
            let limit = limit.map_or(String::new(), |limit| format!("< {limit} {unit}"));
            put(&mut out, format_args!("| {name} | {measured} | {limit} |\n"));
        }
        out
    }
}

/// One line of the table.
fn line(row: &Row, ours: Option<&Figures>) -> String {
    let mut out = format!("| {} |", row.title);
    for rival in row.rivals {
        put(&mut out, format_args!(" {} |", rival.map_or(String::new(), told)));
    }
    let reach = row.reach.map_or(String::new(), |reach| {
        let cpu = reach.cpu.map_or(String::new(), |cpu| format!(", <= {cpu}"));
        format!(">= {}{cpu}", rounded(reach.rate))
    });
    put(&mut out, format_args!(" {reach} |"));
    let Some(ours) = ours else {
        out.push_str(" - | | |\n");
        return out;
    };
    let rate = match row.unit {
        Unit::Operations => ours.ops_per_second,
        Unit::Megabytes => ours.mb_per_second,
    };
    let mark = Mark { rate, cpu: ours.server_cpu_s_per_1000 };
    let errors = if ours.errors > 0 { format!(", **{} errors**", ours.errors) } else { String::new() };
    let shares = row.reach.map_or(String::new(), |reach| {
        let cpu = reach
            .cpu
            .zip(mark.cpu)
            .map_or(String::new(), |(reach, ours)| format!(", {}", share(reach / ours)));
        format!("{}{cpu}", share(mark.rate / reach.rate))
    });
    put(
        &mut out,
        format_args!(" {}{errors} | {shares} | {:.2}, {:.2} |\n", told(mark), ours.p50_ms, ours.p99_ms),
    );
    out
}

fn told(mark: Mark) -> String {
    let cpu = mark.cpu.map_or_else(|| "-".to_owned(), significant);
    format!("{}, {cpu}", rounded(mark.rate))
}

/// Two or three digits that say something.
fn significant(value: f64) -> String {
    match value {
        ..0.1 => format!("{value:.3}"),
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn rounded(rate: f64) -> String {
    format!("{rate:.0}")
}

fn kilobytes(bytes: f64) -> String {
    format!("{:.1} kB", bytes / 1000.0)
}

fn share(of_reach: f64) -> String {
    if of_reach < 1.0 / SLACK { format!("**{of_reach:.2}**") } else { format!("{of_reach:.2}") }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn ratio(value: u64, unit: u64) -> f64 {
    value as f64 / unit as f64
}

fn put(out: &mut String, args: std::fmt::Arguments<'_>) {
    out.write_fmt(args).expect("a String takes all");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use crate::load::Outcome;
    use clap::Parser;
    use std::time::Duration;

    fn report() -> Report {
        let cli = Cli::parse_from(["b", "suite", "--server-bin", "/x/ringfort", "--data-root", "/y"]);
        let Command::Suite(args) = cli.command else { panic!("not a suite") };
        Report::new(&args, "a machine".to_owned(), "abc".to_owned())
    }

    fn run(cell: &str, rate: u64, cpu: f64) -> Figures {
        let elapsed = Duration::from_secs(1);
        let outcome = Outcome { operations: rate, elapsed, server_cpu: Some(cpu), ..Outcome::default() };
        Figures::new(cell, outcome)
    }

    #[test]
    fn lines_tell_ours_beside_the_others() {
        let mut report = report();
        report.runs = vec![run("put-4k", 12_000, 1.2), run("put-4k", 9000, 1.8), run("put-4k", 5000, 1.0)];
        report.facts.space = Some((1000, 6_000_000));
        report.facts.rss_idle = Some(130_000_000);
        let text = report.markdown();
        let line = text.lines().find(|line| line.starts_with("| PUT 4 KiB, 64 conn: ")).unwrap();
        assert_eq!(
            line,
            "| PUT 4 KiB, 64 conn: ops/s, CPU-s/1000 | 942, 1.90 | 1067, 1.33 | 230, 8.30 | 34000, 0.030 \
             | >= 10000, <= 0.12 | 9000, 0.20 | 0.90, **0.60** | 0.00, 0.00 |"
        );
        assert!(text.contains("| <= 5.5 kB | 6.0 kB | 0.92 |"), "{text}");
        assert!(text.contains("| RSS idle, fresh | **130.00 MB** | < 120 MB |"), "{text}");
        assert!(!text.contains("/x/") && !text.contains("/y"), "no folder of this machine: {text}");
    }

    #[test]
    fn every_line_has_every_column() {
        let text = report().markdown();
        for line in text.lines().filter(|line| line.starts_with('|')) {
            let columns = line.matches('|').count() - 1;
            assert!(columns == RIVALS.len() + 5 || columns == 3, "{columns}: {line}");
        }
    }
}
