//! Our ring builder beside Swift's: the same device lists, one yardstick, one table.
//!
//! Swift's builder is what rings of this kind have been judged by for years, so ours must not be worse than it in anything
//! that an operator pays for: pieces that could lie farther apart, devices that fill up before the others, data that move.
//! Neither builder's own figures are used: both tables are measured by the same code (`yardstick`).

mod ours;
mod record;
mod report;
mod scenario;
mod shapes;
mod swift;
mod yardstick;

use anyhow::{Result, ensure};
use clap::Parser;
use std::fs;
use std::path::PathBuf;

/// Runs both builders and writes the comparison.
#[derive(Debug, Parser)]
#[command(name = "ringfort-bench-ring", version)]
struct Args {
    /// A Python that has `swift` installed.
    #[arg(long)]
    python: PathBuf,
    /// The program that runs Swift's builder.
    #[arg(long, default_value = "benchmarks/ring/swift_builder.py")]
    program: PathBuf,
    /// Where the Markdown goes.
    #[arg(long, default_value = "docs/ring-comparison.md")]
    out: PathBuf,
    /// Where Swift's figures go, which the tests compare with.
    #[arg(long, default_value = "benchmarks/ring/swift-record.json")]
    record: PathBuf,
    /// Only scenarios whose name has this in it; writes no file.
    #[arg(long)]
    only: Option<String>,
    /// So many random scenarios instead; writes no file.
    #[arg(long, conflicts_with = "only")]
    random: Option<u64>,
    /// Number of the first random scenario.
    #[arg(long, default_value_t = 0)]
    from: u64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut scenarios = match args.random {
        Some(count) => (args.from..args.from + count).map(scenario::random).collect(),
        None => shapes::all(),
    };
    if let Some(part) = &args.only {
        scenarios.retain(|scenario| scenario.name.contains(part.as_str()));
    }
    ensure!(!scenarios.is_empty(), "there is no such scenario");
    let ours = scenarios.iter().map(ours::build).collect::<Result<Vec<_>>>()?;
    let record = swift::run(&args.python, &args.program, &scenarios, &ours)?;
    let report = report::markdown(&scenarios, &ours, &record);
    if args.only.is_none() && args.random.is_none() {
        record.write(&args.record)?;
        fs::write(&args.out, &report.text)?;
    }
    println!("{}", report.text);
    ensure!(report.worse.is_empty(), "worse than Swift's builder: {:#?}", report.worse);
    Ok(())
}
