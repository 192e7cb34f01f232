//! Swift's builder, run by a Python program: device lists go to it in a file, tables come back in files.

use crate::ours::Built;
use crate::record::{Recorded, RecordedRun, RecordedScenario, RecordedStep};
use crate::scenario::{Scenario, Step};
use crate::yardstick::{Figures, Table};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Rebalances until nothing gets better, at most.
const PASSES_MAX: usize = 10;
/// Lets a device hold so much more than its share as full dispersion needs.
const OVERLOAD: f64 = 100.0;

/// What each step starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Start {
    /// The table that Swift's builder came to by the step before.
    Own,
    /// Our table of the step before.
    Given,
}

/// One way to run Swift's builder through a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Run {
    pub(crate) start: Start,
    /// The most rebalances after each step; it ends earlier if one no longer betters anything.
    pub(crate) passes: usize,
    pub(crate) overload: f64,
    seed: u64,
}

/// The runs of a scenario: with few partitions luck counts, so that there are several seeds.
fn runs(scenario: &Scenario) -> Vec<Run> {
    let (own, rest) = (Start::Own, PASSES_MAX);
    let ways: &[(Start, usize, f64)] =
        &[(own, 1, 0.0), (own, rest, 0.0), (Start::Given, rest, 0.0), (own, rest, OVERLOAD)];
    let seeds = if scenario.is_huge { 1 } else { 3 };
    let run = |seed| ways.iter().map(move |&(start, passes, overload)| Run { start, passes, overload, seed });
    (0..seeds).flat_map(|number| run(1000 * number)).collect()
}

#[derive(Serialize)]
struct Job<'a> {
    out: &'a Path,
    scenarios: Vec<JobScenario<'a>>,
}

#[derive(Serialize)]
struct JobScenario<'a> {
    power: u8,
    width: usize,
    steps: &'a [Step],
    tables: Vec<PathBuf>,
    runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

/// A table that is done.
#[derive(Deserialize)]
struct Done {
    scenario: usize,
    run: usize,
    step: usize,
    passes: usize,
    seconds: f64,
    table: PathBuf,
}

/// Runs all scenarios and measures the tables; `ours` are our tables of them.
pub(crate) fn run(
    python: &Path,
    program: &Path,
    scenarios: &[Scenario],
    ours: &[Vec<Built>],
) -> Result<Recorded> {
    let folder = tempfile::tempdir()?;
    let mut job = Job { out: folder.path(), scenarios: Vec::new() };
    for (at, (scenario, built)) in scenarios.iter().zip(ours).enumerate() {
        let mut tables = Vec::new();
        for (step, built) in built.iter().enumerate() {
            let path = folder.path().join(format!("given-{at}-{step}.table"));
            fs::write(&path, encode(&built.table)?)?;
            tables.push(path);
        }
        let (power, width, steps) = (scenario.power, scenario.width, &*scenario.steps);
        job.scenarios.push(JobScenario { power, width, steps, tables, runs: runs(scenario) });
    }
    let job_path = folder.path().join("job.json");
    fs::write(&job_path, serde_json::to_vec(&job)?)?;
    let mut child = Command::new(python).arg(program).arg(&job_path).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("a piped output is there")?).lines();
    let collected = collect(&mut lines, scenarios, ours);
    if collected.is_err() {
        child.kill()?;
    }
    let status = child.wait()?;
    let recorded = collected?;
    ensure!(status.success(), "{} failed: {status}", program.display());
    Ok(recorded)
}

fn collect(
    lines: &mut impl Iterator<Item = std::io::Result<String>>,
    scenarios: &[Scenario],
    ours: &[Vec<Built>],
) -> Result<Recorded> {
    let head: Version = serde_json::from_str(&lines.next().context("the program printed nothing")??)?;
    let mut recorded = Recorded {
        swift: head.version,
        scenarios: scenarios.iter().map(RecordedScenario::without_runs).collect(),
    };
    let mut own: Option<(Table, usize)> = None;
    for line in lines {
        let done: Done = serde_json::from_str(&line?)?;
        let scenario = scenarios.get(done.scenario).context("a scenario nobody asked for")?;
        let step = scenario.steps.get(done.step).context("a step nobody asked for")?;
        let run = *runs(scenario).get(done.run).context("a run nobody asked for")?;
        let table = decode(&fs::read(&done.table)?, scenario.width);
        fs::remove_file(&done.table)?;
        ensure!(table.holders.len() == scenario.width << scenario.power, "a table is not whole");
        let before = match (done.step, run.start) {
            (0, _) => None,
            (_, Start::Own) => own.as_ref().map(|(table, moved)| (table, *moved)),
            (at, Start::Given) => Some((&ours[done.scenario][at - 1].table, 0)),
        };
        let figures = Figures::of(&step.devices, before, &table);
        let (passes, seconds) = (done.passes, done.seconds);
        let RecordedStep { runs, .. } = &mut recorded.scenarios[done.scenario].steps[done.step];
        runs.push(RecordedRun {
            start: run.start,
            passes_max: run.passes,
            overload: run.overload,
            passes,
            seconds,
            figures,
        });
        eprintln!("Swift, {}, {}: {figures:?}, {passes} passes, {seconds:.1} s", scenario.name, step.what);
        own = Some((table, figures.moves_so_far));
    }
    Ok(recorded)
}

fn encode(table: &Table) -> Result<Vec<u8>> {
    let narrow = |&id: &u32| u16::try_from(id).context("ids of scenarios take 16 bits");
    let ids: Vec<u16> = table.holders.iter().map(narrow).collect::<Result<_>>()?;
    Ok(ids.into_iter().flat_map(u16::to_le_bytes).collect())
}

fn decode(bytes: &[u8], width: usize) -> Table {
    let ids = bytes.chunks_exact(2).map(|pair| u32::from(u16::from_le_bytes([pair[0], pair[1]])));
    Table { width, holders: ids.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_pass_through_files() {
        let table = Table { width: 2, holders: vec![0, 1, 65_535, 300] };
        assert_eq!(decode(&encode(&table).unwrap(), 2), table);
        assert!(encode(&Table { width: 1, holders: vec![65_536] }).is_err());
    }
}
