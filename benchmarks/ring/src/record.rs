//! What Swift's builder reached, kept in a file beside this program, so that every test run compares with it.

use crate::scenario::Scenario;
use crate::swift::Start;
use crate::yardstick::{Difference, Figures};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fs;
use std::path::Path;

/// All scenarios.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recorded {
    /// The version of Swift.
    pub(crate) swift: String,
    pub(crate) scenarios: Vec<RecordedScenario>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RecordedScenario {
    pub(crate) name: String,
    /// Of the device lists: figures of other lists say nothing.
    pub(crate) fingerprint: u64,
    pub(crate) steps: Vec<RecordedStep>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RecordedStep {
    pub(crate) what: String,
    pub(crate) runs: Vec<RecordedRun>,
}

/// What one run came to by one step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RecordedRun {
    pub(crate) start: Start,
    pub(crate) passes_max: usize,
    pub(crate) overload: f64,
    /// Rebalances it took.
    pub(crate) passes: usize,
    pub(crate) seconds: f64,
    #[serde(flatten)]
    pub(crate) figures: Figures,
}

impl Recorded {
    #[cfg(test)]
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&bytes).with_context(|| format!("{} is no record", path.display()))
    }

    /// Writes a run to a line, so that a new record differs by what differs.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let mut text = format!("{{\n\"swift\": {},\n\"scenarios\": [\n", serde_json::to_string(&self.swift)?);
        for (at, scenario) in self.scenarios.iter().enumerate() {
            let name = serde_json::to_string(&scenario.name)?;
            text += &format!("{{\"name\": {name}, \"fingerprint\": {}, \"steps\": [\n", scenario.fingerprint);
            for (at, step) in scenario.steps.iter().enumerate() {
                text += &format!(" {{\"what\": {}, \"runs\": [\n", serde_json::to_string(&step.what)?);
                let runs: Vec<String> =
                    step.runs.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
                text += &format!("  {}\n ]}}{}\n", runs.join(",\n  "), comma(at, scenario.steps.len()));
            }
            text += &format!("]}}{}\n", comma(at, self.scenarios.len()));
        }
        fs::write(path, text + "]\n}\n").with_context(|| format!("cannot write {}", path.display()))
    }
}

fn comma(at: usize, count: usize) -> &'static str {
    if at + 1 < count { "," } else { "" }
}

impl RecordedScenario {
    pub(crate) fn without_runs(scenario: &Scenario) -> Self {
        let step = |what: &String| RecordedStep { what: what.clone(), runs: Vec::new() };
        Self {
            name: scenario.name.clone(),
            fingerprint: fingerprint(scenario),
            steps: scenario.steps.iter().map(|s| step(&s.what)).collect(),
        }
    }

    /// Whether this is a record of `scenario` as it is now.
    #[cfg(test)]
    pub(crate) fn is_of(&self, scenario: &Scenario) -> bool {
        self.name == scenario.name && self.fingerprint == fingerprint(scenario)
    }
}

impl RecordedRun {
    /// How `ours` compares with this run, and by what; less is better for us.
    pub(crate) fn against(&self, ours: &Figures) -> (Ordering, Difference) {
        ours.compare(&self.figures, self.start == Start::Given)
    }
}

impl RecordedStep {
    /// The run that `ours` is worse than, or else the one it is better than by the least.
    pub(crate) fn strongest(&self, ours: &Figures) -> Option<&RecordedRun> {
        self.runs.iter().max_by_key(|run| match run.against(ours) {
            (Ordering::Greater, difference) => 10 + difference as isize,
            (_, difference) => -(difference as isize),
        })
    }
}

/// FNV-1a of the device lists as JSON.
fn fingerprint(scenario: &Scenario) -> u64 {
    let bytes = serde_json::to_vec(scenario).expect("device lists are plain data");
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ours, shapes};

    fn record() -> Recorded {
        let package = std::env::var("CARGO_MANIFEST_DIR").unwrap();
        Recorded::read(&Path::new(&package).join("swift-record.json")).unwrap()
    }

    /// Every scenario against the best that any run of Swift's builder came to. `make bench-ring` records anew.
    #[test]
    fn no_scenario_is_worse_than_what_swift_was_recorded_with() {
        let (record, scenarios) = (record(), shapes::all());
        assert_eq!(record.scenarios.len(), scenarios.len());
        let mut worse = Vec::new();
        for (recorded, scenario) in record.scenarios.iter().zip(&scenarios) {
            assert!(recorded.is_of(scenario), "{} is recorded with other device lists", scenario.name);
            for ((recorded, step), built) in
                recorded.steps.iter().zip(&scenario.steps).zip(ours::build(scenario).unwrap())
            {
                assert!(!recorded.runs.is_empty(), "{}, {}: nothing recorded", scenario.name, step.what);
                let strongest = recorded.strongest(&built.figures).unwrap();
                if strongest.against(&built.figures).0.is_gt() {
                    worse.push(format!(
                        "{}, {}: {:?}, {strongest:?}",
                        scenario.name, step.what, built.figures
                    ));
                }
            }
        }
        assert!(worse.is_empty(), "{worse:#?}");
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.json");
        let record = record();
        record.write(&path).unwrap();
        assert_eq!(Recorded::read(&path).unwrap(), record);
    }
}
