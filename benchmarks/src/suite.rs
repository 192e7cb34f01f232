//! The whole table: servers of our own, a cell at a time, the median of several runs.

use crate::args::SuiteArgs;
use crate::cell::{Figures, median};
use crate::content::{Content, KeyOrder};
use crate::load::{self, Load};
use crate::report::{Facts, Report};
use crate::server::{Server, Setup, free_port_base};
use crate::sign::{Endpoint, Protection};
use crate::single::{VERIFY_BYTES_MAX, ensure_bucket};
use crate::work::{Place, Work};
use crate::{disk, machine};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::time::Duration;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const BUCKET: &str = "bench";
/// Bytes stored per run of a put cell at most: the disk is not endless.
const PUT_BYTES_MAX: usize = 2 << 30;
/// More puts a second than anything here does: how many are signed ahead.
const PUT_RATE_MAX: u64 = 20_000;
/// Bytes that are scrubbed over and over beside a load.
const SCRUBBED_BYTES: u64 = 1 << 30;
/// What the server counts of its own work.
const COMPACTED: &str = "ringfort_engine_compacted_bytes_total";
const SCRUBBED: &str = "ringfort_scrubbed_pieces_total";
const TIMEOUT: Duration = Duration::from_secs(60);
/// After this long without a request a server counts as idle.
const IDLE_AFTER: Duration = Duration::from_secs(5);
const SETTLE_LIMIT: Duration = Duration::from_mins(5);

/// Makes the table and writes it, also when a part of it failed; that part is then named.
pub(crate) fn run(args: &SuiteArgs) -> Result<()> {
    ensure!(args.runs > 0 && args.seconds > 0, "no runs, no figures");
    fs::create_dir_all(&args.data_root)?;
    disk::ensure_on_disk(&args.data_root)?;
    let unknown = args.only.iter().find(|name| SCENARIOS.iter().all(|scenario| scenario.name != **name));
    if let Some(name) = unknown {
        bail!("there is no scenario `{name}`");
    }
    let mut report = Report::new(args, machine::describe(&args.data_root)?, machine::commit());
    for scenario in SCENARIOS {
        if args.only.is_empty() || args.only.iter().any(|name| name == scenario.name) {
            eprintln!("== {}", scenario.name);
            if let Err(error) = scenario.run(args, &mut report) {
                eprintln!("{}: {error:#}", scenario.name);
                report.failures.push(format!("{}: {error:#}", scenario.name));
            }
            // After each, so that what was measured is kept whatever comes next.
            report.write(args)?;
        }
    }
    println!("{}", report.markdown());
    ensure!(report.failures.is_empty(), "{} parts of the table failed", report.failures.len());
    Ok(())
}

/// A server and what is asked of it.
struct Scenario {
    name: &'static str,
    devices: u32,
    policy: &'static str,
    measure: fn(&mut Bench<'_>) -> Result<()>,
}

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "one-device", devices: 1, policy: "replicated:1", measure: one_device },
    Scenario { name: "protected", devices: 1, policy: "replicated:1", measure: protected },
    Scenario { name: "upkeep", devices: 1, policy: "replicated:1", measure: upkeep },
    Scenario { name: "three-devices", devices: 3, policy: "replicated:3", measure: three_devices },
    Scenario { name: "erasure", devices: 6, policy: "erasure:4+2", measure: erasure },
    Scenario { name: "space", devices: 1, policy: "replicated:1", measure: space },
    Scenario { name: "lists", devices: 1, policy: "replicated:1", measure: lists },
];

impl Scenario {
    fn run(&self, args: &SuiteArgs, report: &mut Report) -> Result<()> {
        let folder = tempfile::Builder::new().prefix("ringfort-bench-").tempdir_in(&args.data_root)?;
        let port_base = if args.port_base == 0 { free_port_base()? } else { args.port_base };
        let setup = Setup {
            server_bin: args.server_bin.clone(),
            folder: folder.path().to_owned(),
            devices: self.devices,
            policy: self.policy.to_owned(),
            port_base,
        };
        let server = Server::start(&setup)?;
        ensure_bucket(&server.endpoint, BUCKET)?;
        let mut bench = Bench { args, report, setup, server: Some(server) };
        (self.measure)(&mut bench)?;
        bench.server.take().context("the scenario has lost its server")?.stop()
    }
}

/// A running scenario.
struct Bench<'a> {
    args: &'a SuiteArgs,
    report: &'a mut Report,
    setup: Setup,
    server: Option<Server>,
}

impl Bench<'_> {
    fn server(&self) -> Result<&Server> {
        self.server.as_ref().context("the scenario has lost its server")
    }

    fn facts(&mut self) -> &mut Facts {
        &mut self.report.facts
    }

    fn place(&self, prefix: &str, order: KeyOrder) -> Result<Place> {
        let endpoint = self.server()?.endpoint.clone();
        Ok(Place { endpoint, bucket: BUCKET.to_owned(), prefix: prefix.to_owned(), order })
    }

    fn load(&self, connections: usize) -> Result<Load> {
        Ok(Load {
            connections,
            threads: self.args.threads,
            duration: Some(Duration::from_secs(self.args.seconds)),
            operations: None,
            warmup: 0,
            timeout: TIMEOUT,
            server: self.server()?.watched(),
        })
    }

    /// Runs a cell as often as asked, with the work of each run, and keeps its figures.
    fn cell(&mut self, cell: &str, load: &Load, work: impl Fn(usize) -> Result<Work>) -> Result<()> {
        let endpoint = self.server()?.endpoint.clone();
        self.cell_at(&endpoint, cell, load, work)
    }

    /// The same at another of the server's ports.
    fn cell_at(
        &mut self,
        endpoint: &Endpoint,
        cell: &str,
        load: &Load,
        work: impl Fn(usize) -> Result<Work>,
    ) -> Result<()> {
        for run in 0..self.args.runs {
            let work = work(run)?;
            let outcome = load::run(endpoint, &work, load).with_context(|| cell.to_owned())?;
            let figures = Figures::new(cell, outcome);
            eprintln!("{figures}");
            if figures.errors > 0 {
                self.report
                    .failures
                    .push(format!("{cell}: {} errors: {:?}", figures.errors, figures.failures));
            }
            self.report.runs.push(figures);
        }
        Ok(())
    }

    fn puts(&mut self, cell: &str, size: usize, connections: usize) -> Result<()> {
        let count = (PUT_RATE_MAX * self.args.seconds).min((PUT_BYTES_MAX / size) as u64);
        let (content, load) = (Content::new(size), self.load(connections)?);
        let place = self.place(&format!("{cell}/"), KeyOrder::Scattered)?;
        self.cell(cell, &load, |run| Work::puts(&place, run as u64 * count, count, content.clone()))
    }

    fn gets(&mut self, cell: &str, size: usize, connections: usize, keys: u64) -> Result<()> {
        let (content, mut load) = (Content::new(size), self.load(connections)?);
        let place = self.place(&format!("{cell}/"), KeyOrder::Scattered)?;
        self.prefill(Work::prefill(&place, 0, keys, content.clone()), keys)?;
        load.warmup = keys.min(1000);
        self.cell(cell, &load, |_| Work::gets(&place, keys, content.clone(), size <= VERIFY_BYTES_MAX))
    }

    fn prefill(&self, work: Work, keys: u64) -> Result<()> {
        let size = work.content.size();
        let load = Load { duration: None, ..self.load(if size < MIB { 64 } else { 4 })? };
        let outcome = load::run(&self.server()?.endpoint, &work, &load)?;
        ensure!(outcome.operations == keys, "a prefill of {keys} objects failed: {:?}", outcome.failures);
        Ok(())
    }
}

fn one_device(bench: &mut Bench<'_>) -> Result<()> {
    bench.facts().start_seconds = Some(bench.server()?.start_time.as_secs_f64());
    std::thread::sleep(IDLE_AFTER);
    bench.facts().rss_idle = bench.server()?.watched().memory()?.map(|memory| memory.resident);
    bench.puts("put-4k", 4 * KIB, 64)?;
    bench.gets("get-4k", 4 * KIB, 64, 20_000)?;
    swift_gets(bench, 20_000)?;
    mixed(bench, "mixed-4k")?;
    list(bench, "list-1000", bench.args.list_keys, 4 * KIB)?;
    bench.puts("put-1m", MIB, 8)?;
    bench.gets("get-1m", MIB, 8, 256)?;
    bench.puts("put-64m", 64 * MIB, 2)?;
    bench.gets("get-64m", 64 * MIB, 8, 8)?;
    bench.facts().rss_peak = bench.server()?.watched().memory()?.map(|memory| memory.peak);
    Ok(())
}

/// The objects of `get-4k` once more, through Swift with a token of the identity service.
fn swift_gets(bench: &mut Bench<'_>, keys: u64) -> Result<()> {
    let swift = bench.server()?.swift()?;
    let (content, load) = (Content::new(4 * KIB), bench.load(64)?);
    let place = bench.place("get-4k/", KeyOrder::Scattered)?;
    bench.cell_at(&swift.endpoint, "swift-get-4k", &load, |_| {
        Work::swift_gets(&swift, &place, keys, content.clone())
    })
}

/// Each run puts objects of its own and gets the same ones.
fn mixed(bench: &mut Bench<'_>, cell: &str) -> Result<()> {
    let (keys, count) = (20_000, PUT_RATE_MAX * bench.args.seconds);
    let (place, load) = (bench.place(&format!("{cell}/"), KeyOrder::Scattered)?, bench.load(64)?);
    let content = Content::new(4 * KIB);
    bench.prefill(Work::prefill(&place, 0, keys, content.clone()), keys)?;
    bench.cell(cell, &load, |run| {
        Work::mixed(&place, keys, keys + run as u64 * count, count, content.clone(), true)
    })
}

/// Pages of a bucket of its own with `keys` objects of `size` bytes.
fn list(bench: &mut Bench<'_>, cell: &str, keys: u64, size: usize) -> Result<()> {
    let mut place = bench.place("list/", KeyOrder::Ascending)?;
    place.bucket = format!("bench-{cell}");
    ensure_bucket(&place.endpoint, &place.bucket)?;
    bench.prefill(Work::prefill(&place, 0, keys, Content::new(size)), keys)?;
    let mut load = bench.load(8)?;
    // Once through all pages, counting their keys.
    load.warmup = keys.div_ceil(1000);
    bench.cell(cell, &load, |_| Work::pages(&place, keys))
}

/// Puts whose bodies are protected as SDKs protect them, by `signed` or by `trailer`.
fn protected(bench: &mut Bench<'_>) -> Result<()> {
    for (size, size_name, connections) in [(4 * KIB, "4k", 64), (MIB, "1m", 8)] {
        for (protection, how) in [(Protection::Signed, "signed"), (Protection::Trailer, "trailer")] {
            let cell = format!("put-{size_name}-{how}");
            // Signed ahead, bodies and all: fewer, so that this takes no longer than the run.
            let count = (PUT_RATE_MAX * bench.args.seconds).min((PUT_BYTES_MAX / size) as u64);
            let (content, load) = (Content::new(size), bench.load(connections)?);
            let place = bench.place(&format!("{cell}/"), KeyOrder::Scattered)?;
            bench.cell(&cell, &load, |run| {
                Work::protected_puts(&place, run as u64 * count, count, content.clone(), protection)
            })?;
        }
    }
    Ok(())
}

/// The server's own work beside that of its clients: compaction of what overwriting leaves, and a scrub of everything.
fn upkeep(bench: &mut Bench<'_>) -> Result<()> {
    let keys = 20_000;
    let (content, load) = (Content::new(4 * KIB), bench.load(64)?);
    let place = bench.place("overwrite-4k/", KeyOrder::Scattered)?;
    bench.prefill(Work::prefill(&place, 0, keys, content.clone()), keys)?;
    let freed_before = bench.server()?.metric(COMPACTED)?;
    bench.cell("overwrite-4k", &load, |_| Work::overwrites(&place, keys, content.clone()))?;
    let freed = bench.server()?.metric(COMPACTED)? - freed_before;
    ensure!(freed > 0.0, "nothing was compacted while objects were overwritten: this cell shows nothing");
    bench.facts().compacted = Some(freed);

    let (big, big_keys) = (Content::new(MIB), SCRUBBED_BYTES / MIB as u64);
    let place = bench.place("scrubbed/", KeyOrder::Scattered)?;
    bench.prefill(Work::prefill(&place, 0, big_keys, big), big_keys)?;
    let scrubbing = bench.server()?.scrub_without_end()?;
    let before = bench.server()?.metric(SCRUBBED)?;
    let measured = mixed(bench, "scrubbed-4k");
    let scrubbed = bench.server()?.metric(SCRUBBED)? - before;
    scrubbing.end();
    measured?;
    ensure!(scrubbed > 0.0, "nothing was scrubbed meanwhile: this cell shows nothing");
    bench.facts().scrubbed = Some(scrubbed);
    Ok(())
}

/// Pages of containers of many keys: a page costs the same wherever it is, however many there are.
fn lists(bench: &mut Bench<'_>) -> Result<()> {
    for (cell, keys) in [("list-10k", 10_000), ("list-1m", 1_000_000), ("list-10m", 10_000_000)] {
        if keys <= bench.args.list_keys_max {
            // Small bodies: it is the keys that count, and the disk is not endless.
            list(bench, cell, keys, 16)?;
        }
    }
    Ok(())
}

fn three_devices(bench: &mut Bench<'_>) -> Result<()> {
    bench.puts("put-4k-3", 4 * KIB, 64)?;
    bench.gets("get-4k-3", 4 * KIB, 64, 20_000)
}

fn erasure(bench: &mut Bench<'_>) -> Result<()> {
    bench.puts("put-1m-ec", MIB, 8)?;
    bench.gets("get-1m-ec", MIB, 8, 256)
}

/// What objects take on the disk, and how long a start takes with them.
fn space(bench: &mut Bench<'_>) -> Result<()> {
    let objects = bench.args.du_objects;
    if objects == 0 {
        return Ok(());
    }
    let place = bench.place("space/", KeyOrder::Scattered)?;
    bench.prefill(Work::prefill(&place, 0, objects, Content::new(4 * KIB)), objects)?;
    let bytes = disk::settled_bytes(&bench.setup.data(), SETTLE_LIMIT)?;
    bench.facts().space = Some((objects, bytes));
    eprintln!("{bytes} bytes for {objects} objects");
    let mut starts = Vec::new();
    for _ in 0..bench.args.runs {
        bench.server.take().context("the scenario has lost its server")?.stop()?;
        let server = Server::start(&bench.setup)?;
        starts.push(server.start_time.as_secs_f64());
        bench.server = Some(server);
    }
    bench.facts().restart_seconds = Some(median(starts));
    std::thread::sleep(IDLE_AFTER);
    bench.facts().rss_restarted = bench.server()?.watched().memory()?.map(|memory| memory.resident);
    Ok(())
}
