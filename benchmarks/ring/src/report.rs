//! The comparison as Markdown.

use crate::ours::Built;
use crate::record::{Recorded, RecordedRun, RecordedStep};
use crate::scenario::Scenario;
use crate::swift::Start;
use crate::yardstick::{Difference, Figures};
use std::cmp::Ordering;

const HEAD: &str = include_str!("head.md");

/// The text, and the steps in which we are worse.
pub(crate) struct Report {
    pub(crate) text: String,
    pub(crate) worse: Vec<String>,
}

const WORSE: &str = "**worse**";

/// Ways to run Swift's builder, a column each.
type Way = fn(&RecordedRun) -> bool;
const WAYS: [Way; 4] = [
    |run| run.start == Start::Own && run.passes_max == 1 && run.overload == 0.0,
    |run| run.start == Start::Own && run.passes_max > 1 && run.overload == 0.0,
    |run| run.start == Start::Given,
    |run| run.overload > 0.0,
];

pub(crate) fn markdown(scenarios: &[Scenario], ours: &[Vec<Built>], record: &Recorded) -> Report {
    let text = HEAD.replace("{swift}", &record.swift);
    let mut report = Report { text, worse: Vec::new() };
    for ((scenario, built), recorded) in scenarios.iter().zip(ours).zip(&record.scenarios) {
        report.text += &format!(
            "\n### {}\n\n2^{} partitions of {} pieces.\n\n{}\n|---|---|---|---|---|---|---|\n",
            scenario.name,
            scenario.power,
            scenario.width,
            "| step | Ringfort | Swift, one pass | to rest | from Ringfort's table | overload | better by |"
        );
        for (step, built) in recorded.steps.iter().zip(built) {
            let cells: Vec<String> = WAYS.iter().map(|way| swift_cell(step, *way)).collect();
            let ours = cell(&built.figures, built.seconds);
            let verdict = verdict(&built.figures, step);
            report.text += &format!("| {} | {ours} | {} | {verdict} |\n", step.what, cells.join(" | "));
            if verdict == WORSE {
                report.worse.push(format!("{}: {}", scenario.name, step.what));
            }
        }
    }
    report
}

/// The best of the runs of this way; nothing for a first step that starts from a given table.
fn swift_cell(step: &RecordedStep, way: Way) -> String {
    let runs = step.runs.iter().filter(|run| way(run));
    let best = runs.min_by(|one, other| one.figures.compare(&other.figures, false).0);
    best.map_or_else(String::new, |run| cell(&run.figures, run.seconds))
}

fn cell(figures: &Figures, seconds: f64) -> String {
    let Figures { near, balance, above, moves, moves_so_far } = figures;
    format!("{near}; {:.3} % ({above:.0}); {moves} ({moves_so_far}); {seconds:.3} s", balance * 100.0)
}

/// What decides between us and the strongest of Swift's runs.
fn verdict(ours: &Figures, step: &RecordedStep) -> &'static str {
    match step.strongest(ours).map(|run| run.against(ours)) {
        None => "",
        Some((Ordering::Greater, _)) => WORSE,
        Some((_, Difference::None)) => "equal",
        Some((_, Difference::Moves)) => "moves",
        Some((_, Difference::Balance)) => "balance",
        Some((_, Difference::Dispersion)) => "dispersion",
    }
}
