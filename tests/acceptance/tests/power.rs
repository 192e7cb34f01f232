//! The built program on a disk whose power is cut: nothing acknowledged is lost, whatever the disk had not flushed.
//!
//! The simulated disk of the engine's own tests ends at the index; here RocksDB, the file system and the identity files
//! are the real ones.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use ringfort_acceptance::power::{
    Cut, Cutter, History, ImageDisk, RecordedDisk, Recorder, Unflushed, WriteLog,
};
use ringfort_acceptance::{
    Connection, Server, ServerBuilder, Tally, Tool, WritePlan, package_folder, read_back,
};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// Far more than is written; a hole costs nothing.
const DISK_MIB: u64 = 6144;
const BUCKET: &str = "cut";
/// Cuts of one run, unless `RINGFORT_POWER_CUTS` says otherwise.
const CUTS_DEFAULT: usize = 60;

/// A run whose disk was recorded.
struct Recording {
    folder: TempDir,
    history: History,
    log: WriteLog,
    access_key: String,
    /// Length of the log when the file system was there, when the server first was ready, and when the last one was killed.
    mounted: u64,
    ready: u64,
    end: u64,
}

fn position(log: &Path) -> u64 {
    std::fs::metadata(log).unwrap().len()
}

fn server(folder: &Path, data: &Path, launcher: &[OsString]) -> ServerBuilder {
    // Little memory for the indexes, so that their tables are written often.
    let config = folder.join("config.toml");
    std::fs::write(&config, "[storage]\nindex_memory = \"8 MiB\"\nreserve = \"16 MiB\"\n").unwrap();
    let words = ["--devices", "3", "--policy", "replicated:3", "--config", config.to_str().unwrap()];
    Server::with(&words).data(data).launcher(launcher)
}

/// Load, kill -9, a replay of what is there, load, a clean stop, load, kill -9.
async fn record(launcher: &[OsString], runs: [u64; 3]) -> Recording {
    let folder =
        tempfile::Builder::new().prefix("power-").tempdir_in(Server::scratch_parent().unwrap()).unwrap();
    let disk = RecordedDisk::mount(folder.path(), DISK_MIB).unwrap();
    let log = disk.log().to_owned();
    let mounted = position(&log);
    let mut server = server(folder.path(), &disk.path().join("data"), launcher).start().unwrap();
    let ready = position(&log);
    let keys = server.keys().unwrap();
    server.make_bucket(BUCKET).await.unwrap();
    let made = position(&log);
    let sizes = vec![0, 100, 1000, 4096, 4096, 4096, 20_000, 60_000];
    let plan = WritePlan { bucket: BUCKET.to_owned(), clients: 6, sizes, seed: 11 };
    let mut history = History::default();
    for (round, seconds) in (0..).zip(runs) {
        let recorder = Recorder::start(&keys, &plan, &log, round);
        recorder.last(Duration::from_secs(seconds)).await;
        if round == 1 {
            history.extend(recorder.stop().await.unwrap());
            server.stop().unwrap();
        } else {
            server.kill();
            history.extend(recorder.stop().await.unwrap());
        }
        if round < 2 {
            let took = server.start().unwrap();
            println!(
                "run {round}: {} writes acknowledged in all, ready again in {took:.2?}",
                history.acknowledged()
            );
        }
    }
    let end = position(&log);
    let access_key = keys.access_key.clone();
    drop(server);
    disk.finish().unwrap();
    let log = WriteLog::open(&log).unwrap();
    let flushes = log.flushes(log.entries_within(mounted), log.entries_within(end)).len();
    println!(
        "recorded: {} writes acknowledged, {} MiB of log, {flushes} flushes",
        history.acknowledged(),
        end >> 20
    );
    Recording { folder, history, log, access_key, mounted, ready: ready.max(made), end }
}

/// Moments of the run: one in six of the first start, the others all over the load, and the very end. Half of them lie right
/// before a flush, where most is at stake.
fn cuts(run: &Recording, count: usize, seed: u64) -> Vec<Cut> {
    let mut draw = ChaCha8Rng::seed_from_u64(seed);
    let (mounted, ready, end) = (
        run.log.entries_within(run.mounted),
        run.log.entries_within(run.ready),
        run.log.entries_within(run.end),
    );
    let mut cuts = Vec::new();
    for number in 0..count {
        let (from, to) = if number % 6 == 0 { (mounted, ready) } else { (ready, end) };
        let at = draw.random_range(from..=to);
        let before_flush = run.log.flushes(at, end).first().copied().filter(|_| draw.random());
        let unflushed = match draw.random_range(0..4) {
            0 => Unflushed::Lost,
            1 => Unflushed::Kept,
            _ => Unflushed::Torn(draw.random()),
        };
        cuts.push(Cut { entries: before_flush.unwrap_or(at), unflushed });
    }
    cuts.push(Cut { entries: end, unflushed: Unflushed::Lost });
    cuts.sort_by_key(|cut| cut.entries);
    cuts
}

/// What is wrong after the cut; nothing, or why.
async fn check(run: &Recording, cutter: &mut Cutter<'_>, cut: Cut) -> Result<Option<Tally>, String> {
    let log_bytes = run.log.length_of(cut.entries);
    let image = cutter.image(cut).unwrap();
    let disk =
        ImageDisk::open(&image, &run.folder.path().join("cut")).map_err(|error| format!("{error:#}"))?;
    let mut server = server(run.folder.path(), &disk.path().join("data"), &[])
        .start()
        .map_err(|error| format!("it does not start: {error:#}"))?;
    let checked = after_the_cut(run, &server, log_bytes).await.map_err(|error| format!("{error:#}"));
    let said = server.log_text();
    server.kill();
    drop(server);
    let tally = checked?;
    // Neither is to be expected of an honest disk: the index is consistent at any moment, and what is cut off the log was
    // never synced.
    for bad in ["the index is rebuilt", "the log is damaged", "voters lost their state", "panicked at"] {
        if let Some(line) = said.lines().find(|line| line.contains(bad)) {
            return Err(format!("the server says: {line}"));
        }
    }
    Ok(tally)
}

async fn after_the_cut(run: &Recording, server: &Server, log_bytes: u64) -> anyhow::Result<Option<Tally>> {
    let keys = server.keys()?;
    let mut tally = None;
    if log_bytes >= run.ready {
        anyhow::ensure!(keys.access_key == run.access_key, "the access key is another one");
        tally = Some(read_back(&keys, BUCKET, &run.history.ledger_at(log_bytes)).await?);
    }
    // It goes on.
    server.make_bucket("after").await?;
    let mut connection = Connection::open(&keys).await?;
    let body = Bytes::from_static(b"after the cut");
    connection.call("PUT", "/after/key", &[], body.clone()).await?.good()?;
    let found = connection.call("GET", "/after/key", &[], Bytes::new()).await?.good()?;
    anyhow::ensure!(found.body == body, "what was written after the cut reads otherwise");
    Ok(tally)
}

/// Cuts the run at `count` moments; answers what was wrong, in words.
async fn cut_all(run: &Recording, count: usize, seed: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut checked, mut keys) = (0, 0);
    let mut cutter = Cutter::new(&run.log, run.folder.path(), DISK_MIB << 20).unwrap();
    for cut in cuts(run, count, seed) {
        let at = format!("{cut:?} ({} KiB unflushed)", cutter.unflushed_bytes(cut) >> 10);
        match check(run, &mut cutter, cut).await {
            Err(error) => wrong.push(format!("{at}: {error}")),
            Ok(None) => checked += 1,
            Ok(Some(tally)) => {
                checked += 1;
                keys += tally.checked;
                let bad: Vec<_> =
                    tally.lost.iter().chain(&tally.wrong).chain(&tally.unlisted).take(5).collect();
                if !bad.is_empty() {
                    wrong.push(format!("{at}: {tally}: {bad:?}"));
                }
            }
        }
    }
    println!("{checked} cuts served, {keys} keys read in all, {} cuts wrong", wrong.len());
    wrong
}

/// Enough of a fault to see what it is.
fn first_words(fault: &str) -> String {
    fault.chars().take(300).collect()
}

fn count() -> usize {
    std::env::var("RINGFORT_POWER_CUTS").map_or(CUTS_DEFAULT, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn nightly_power_cuts_lose_nothing_acknowledged() {
    // The middle one long enough for the index to be flushed, and the log behind it let go.
    let run = record(&[], [12, 36, 12]).await;
    let wrong = cut_all(&run, count(), 5).await;
    assert!(wrong.is_empty(), "{} cuts went wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Builds a C program of `src/power` into the folder.
fn build(folder: &Path, name: &str, flags: &[&str]) -> PathBuf {
    let source = package_folder().join("src/power").join(format!("{name}.c"));
    let built = folder.join(name);
    Tool::new(Path::new("cc"))
        .args(flags)
        .args(&["-O1", "-Wall", "-Werror", "-o"])
        .arg(&built)
        .arg(&source)
        .run()
        .unwrap();
    built
}

/// The same without any sync: if this loses nothing, the test above shows nothing.
#[tokio::test(flavor = "multi_thread")]
async fn nightly_power_cuts_notice_missing_syncs() {
    let folder = tempfile::tempdir().unwrap();
    let launcher = [build(folder.path(), "nosync", &[]).into_os_string()];
    let run = record(&launcher, [4, 4, 4]).await;
    let wrong = cut_all(&run, 8, 6).await;
    assert!(wrong.len() > 4, "no sync was done, and only this went wrong: {wrong:?}");
    println!("as it should be, for example {}", first_words(&wrong[0]));
}

/// The same with an index that never syncs, while the log does.
#[tokio::test(flavor = "multi_thread")]
async fn nightly_power_cuts_notice_a_careless_index() {
    let folder = tempfile::tempdir().unwrap();
    let mut preload = OsString::from("LD_PRELOAD=");
    preload.push(build(folder.path(), "noindexsync", &["-shared", "-fPIC"]));
    let launcher = [OsString::from("/usr/bin/env"), preload];
    let run = record(&launcher, [8, 8, 8]).await;
    let wrong = cut_all(&run, 8, 7).await;
    assert!(!wrong.is_empty(), "the index never synced, and nothing went wrong");
    println!("as it should be, for example {}", first_words(&wrong[0]));
}
