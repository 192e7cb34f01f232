//! Durable 4 KiB log entries with inline bodies, as the metadata groups write them: how many per second, and how much of a core
//! each thread of the engine takes for them.
//!
//! `cargo run --release -p ringfort-engine --example append_bench -- FOLDER [ENTRIES] [IN_FLIGHT]`

#![allow(clippy::unwrap_used, reason = "a tool that stops at the first fault")]

use bytes::Bytes;
use ringfort_core::{BlobId, GroupId};
use ringfort_engine::{Engine, EngineConfig, LogEntry, StateBatch};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

const GROUPS: u64 = 8;
const BODY: usize = 4096;
/// The kernel counts the time of threads in such parts of a second.
const TICKS: f64 = 100.0;

/// Seconds of CPU by name of thread.
fn cpu() -> BTreeMap<String, f64> {
    let mut out = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let Ok(stat) = std::fs::read_to_string(task.path().join("stat")) else { continue };
        let (name, rest) = stat.split_once('(').unwrap().1.rsplit_once(')').unwrap();
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        *out.entry(name.to_owned()).or_default() += ticks / TICKS;
    }
    out
}

fn main() {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().expect("a folder on the disk to measure"));
    let entries: u64 = args.next().map_or(100_000, |text| text.parse().unwrap());
    let in_flight: usize = args.next().map_or(64, |text| text.parse().unwrap());
    let (engine, report) = Engine::open(&dir, EngineConfig::default()).unwrap();
    assert!(report.formatted, "the folder has to be empty");
    let (before, begun) = (cpu(), Instant::now());
    let (give, permits) = crossbeam_channel::bounded(in_flight);
    (0..in_flight).for_each(|_| give.send(()).unwrap());
    for number in 0..entries {
        permits.recv().unwrap();
        let (group, index) = (GroupId(u32::try_from(number % GROUPS).unwrap()), number / GROUPS + 1);
        let payload = Bytes::from(vec![number.to_le_bytes()[0]; BODY + 100]);
        let entry = LogEntry { index, term: 1, payload: vec![payload] };
        let give = give.clone();
        engine.group_log(group).append(vec![entry], move |outcome| {
            outcome.unwrap();
            give.send(()).unwrap();
        });
        if index > 1 {
            // Applied one behind, as a state machine does.
            let mut batch = StateBatch::new();
            let mut blob = [0; 16];
            blob[..8].copy_from_slice(&number.to_be_bytes());
            batch.adopt_inline(BlobId::from_bytes(blob), index - 1, 50, 4096);
            batch.put(&blob, &blob);
            batch.applied(index - 1);
            engine.group_state(group).write(batch).unwrap();
        }
    }
    (0..in_flight).for_each(|_| permits.recv().unwrap());
    let seconds = begun.elapsed().as_secs_f64();
    println!("{entries} entries of {BODY} bytes, {in_flight} in flight: {:.0}/s", entries as f64 / seconds);
    for (thread, used) in cpu() {
        let used = used - before.get(&thread).copied().unwrap_or(0.0);
        println!("{thread:>16}: {:.3} CPU-s per 1000", used * 1000.0 / entries as f64);
    }
    engine.close();
}
