//! Our builder's tables of a scenario.

use crate::scenario::Scenario;
use crate::yardstick::{Figures, Table};
use anyhow::{Context, Result};
use ringfort_ring::{Builder, RingTable};
use std::time::Instant;

/// The seed of the cluster; any other does as well.
const SEED: [u8; 32] = *b"the ring beside Swift's builder.";

/// A table, what it is worth and how long it took.
#[derive(Clone, Debug)]
pub(crate) struct Built {
    pub(crate) table: Table,
    pub(crate) figures: Figures,
    pub(crate) seconds: f64,
}

/// Plans every step from the table of the step before.
pub(crate) fn build(scenario: &Scenario) -> Result<Vec<Built>> {
    let builder = Builder::new(scenario.width, SEED).with_power(scenario.power);
    let mut before: Option<RingTable> = None;
    let mut built: Vec<Built> = Vec::new();
    for step in &scenario.steps {
        let start = Instant::now();
        let plan = builder.plan(before.as_ref(), &step.devices);
        let seconds = start.elapsed().as_secs_f64();
        let ring = plan.with_context(|| format!("{}: {}", scenario.name, step.what))?.table;
        let holders =
            ring.partitions().flat_map(|partition| ring.devices(partition)).map(|id| id.0).collect();
        let table = Table { width: scenario.width, holders };
        let last = built.last().map(|last| (&last.table, last.figures.moves_so_far));
        let figures = Figures::of(&step.devices, last, &table);
        built.push(Built { table, figures, seconds });
        before = Some(ring);
    }
    Ok(built)
}
