//! The spike of the PUT path: what one small PUT costs below the object layer.
//!
//! ```text
//! cargo run --release -p ringfort-meta --example meta_bench -- FOLDER [SECONDS] [RUNS] [FILTER]
//! ```
//!
//! 64 closed loops of 4 KiB bodies on real engines below FOLDER, which has to be on a real disk; prints CPU time per command
//! of the whole process, engine included (it holds on a busy machine, where commands per second do not), as median, least
//! and most of the runs: for one voter and three, one slot and many, one and two proposals in flight, and for one voter
//! without openraft. Then reads, and the CPU share of an idle process. FILTER picks cases by a part of their name.
#![allow(clippy::unwrap_used, missing_docs, reason = "a measuring tool")]

use bytes::Bytes;
use ringfort_core::{BlobId, DeviceId, GroupId, HybridTime, SLOT_COUNT, SessionId, SlotId, VoterId};
use ringfort_engine::{Engine, EngineConfig};
use ringfort_meta::direct::DirectGroup;
use ringfort_meta::{MetaConfig, MetaHost};
use ringfort_runtime::{TaskGroup, boot_time};
use ringfort_storage_api::{InlineBody, QueryReply, SlotTx, SlotView, StateModel};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const LOOPS: u32 = 64;
const BODY_BYTES: usize = 4096;

/// Writes about what an object model writes for a PUT: a record of 300 bytes, a counter, an inline body.
struct PutModel;

impl StateModel for PutModel {
    fn apply(
        &self,
        tx: &mut dyn SlotTx,
        stamp: HybridTime,
        command: &[u8],
        bodies: &[InlineBody],
    ) -> Vec<u8> {
        let key = &command[..16];
        let known = tx.get(key).is_some();
        let count =
            tx.get(b"count").map_or(0, |value| u64::from_be_bytes(value.as_ref().try_into().unwrap()));
        tx.put(b"count", &(count + u64::from(!known)).to_be_bytes());
        tx.put(key, &command[16..]);
        if !bodies.is_empty() {
            let number = u64::from_be_bytes(command[8..16].try_into().unwrap());
            tx.adopt_inline(0, BlobId::new(tx.slot(), SessionId(1), number));
        }
        stamp.0.to_be_bytes().to_vec()
    }

    fn query(&self, view: &dyn SlotView, query: &[u8]) -> QueryReply {
        QueryReply { reply: view.get(query).unwrap_or_default().to_vec(), inline: None }
    }
}

/// One setting of the PUT path.
#[derive(Clone, Copy)]
struct Case {
    voters: u32,
    pipeline: usize,
    many_slots: bool,
    openraft: bool,
}

impl Case {
    fn all() -> Vec<Self> {
        let mut cases = vec![Self { voters: 1, pipeline: 1, many_slots: false, openraft: false }];
        for voters in [1, 3] {
            for many_slots in [false, true] {
                cases.extend([1, 2].map(|pipeline| Self { voters, pipeline, many_slots, openraft: true }));
            }
        }
        cases
    }

    fn name(&self) -> String {
        let slots = if self.many_slots { "8 groups" } else { "one slot" };
        let raft = if self.openraft { "" } else { ", without openraft" };
        format!("put, {} voter(s), {} in flight, {slots}{raft}", self.voters, self.pipeline)
    }
}

struct Measured {
    ops: u64,
    entries: u64,
    wall: Duration,
    cpu: Duration,
}

impl Measured {
    fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.ops.max(1) as f64
    }
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

fn report(name: &str, runs: &[Measured]) {
    let sorted = |value: &dyn Fn(&Measured) -> f64| {
        let mut values: Vec<f64> = runs.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        (values[values.len() / 2], values[0], values[values.len() - 1])
    };
    let (cpu, least, most) = sorted(&Measured::cpu_us);
    let (per_entry, _, _) = sorted(&|run| run.ops as f64 / run.entries.max(1) as f64);
    let (rate, _, _) = sorted(&|run| run.ops as f64 / run.wall.as_secs_f64());
    println!("{name:<58} {cpu:>7.1} us ({least:.1}-{most:.1}) {per_entry:>6.1} commands/entry {rate:>8.0}/s");
}

/// Runs `once(loop, round)` in closed loops for a while.
async fn measure<F: Future<Output = ()> + Send>(
    tasks: &TaskGroup,
    seconds: u64,
    once: impl Fn(u32, u64) -> F + Clone + Send + 'static,
) -> Measured {
    let ops = Arc::new(AtomicU64::new(0));
    let (began, cpu) = (boot_time(), cpu_time());
    let until = began + Duration::from_secs(seconds);
    let loops: Vec<_> = (0..LOOPS)
        .map(|number| {
            let (once, ops) = (once.clone(), ops.clone());
            tasks.spawn(async move {
                let mut round = 0;
                while boot_time() < until {
                    round += 1;
                    once(number, round).await;
                    ops.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for task in loops {
        task.await.unwrap();
    }
    Measured {
        ops: ops.load(Ordering::Relaxed),
        entries: 0,
        wall: boot_time() - began,
        cpu: cpu_time() - cpu,
    }
}

fn put(number: u32, round: u64) -> Bytes {
    let mut command = vec![b'p'; 316];
    command[..8].copy_from_slice(&(u64::from(number) + 1).to_be_bytes());
    command[8..16].copy_from_slice(&((u64::from(number) << 40) | round).to_be_bytes());
    command[0] = b'o';
    command.into()
}

fn slot(many: bool, number: u32, round: u64) -> SlotId {
    let spread = u64::from(number).wrapping_mul(61).wrapping_add(round) % u64::from(SLOT_COUNT);
    SlotId(if many { u16::try_from(spread).unwrap() } else { 0 })
}

fn engine(folder: &Path, name: &str) -> Engine {
    let folder = folder.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    Engine::open(&folder, EngineConfig::default()).unwrap().0
}

async fn host(folder: &Path, devices: u32, pipeline: usize, tasks: &TaskGroup) -> (MetaHost, Vec<Engine>) {
    let config = MetaConfig { pipeline, ..MetaConfig::default() };
    let host = MetaHost::new(tasks.clone(), Arc::new(PutModel), config);
    let mut engines = Vec::new();
    for device in 1..=devices {
        let engine = engine(folder, &format!("{device}"));
        host.add_device(DeviceId(device), VoterId(u64::from(device)), engine.clone()).await.unwrap();
        engines.push(engine);
    }
    let voters: Vec<VoterId> = (1..=u64::from(devices)).map(VoterId).collect();
    for group in 0..=8 {
        host.bootstrap(GroupId(group), &voters).await.unwrap();
    }
    (host, engines)
}

/// One run of a case, on new folders.
async fn run(folder: &Path, case: Case, seconds: u64) -> Measured {
    let folder = tempfile::tempdir_in(folder).unwrap();
    let body = Bytes::from(vec![0x5a; BODY_BYTES]);
    let tasks = TaskGroup::new();
    if !case.openraft {
        let engine = engine(folder.path(), "direct");
        let config = MetaConfig::default();
        let direct = DirectGroup::start(&engine, GroupId(1), Arc::new(PutModel), &config, &tasks).unwrap();
        let puts = direct.clone();
        let measured = measure(&tasks, seconds, move |number, round| {
            let (direct, body) = (puts.clone(), body.clone());
            async move {
                direct.execute(number, round, SlotId(0), put(number, round), vec![body]).await.unwrap();
            }
        });
        let measured = measured.await;
        let entries = engine.group_log(GroupId(1)).last().unwrap();
        tasks.stop().await;
        close(vec![engine]).await;
        return Measured { entries, ..measured };
    }
    let (host, engines) = host(folder.path(), case.voters, case.pipeline, &tasks).await;
    let client = host.client(SessionId(1));
    let entries = || host.group_status().iter().map(|group| group.applied).sum::<u64>();
    let before = entries();
    let measured = measure(&tasks, seconds, move |number, round| {
        let (client, body) = (client.clone(), body.clone());
        async move {
            let slot = slot(case.many_slots, number, round);
            client.execute(slot, put(number, round), vec![body]).await.unwrap();
        }
    });
    let measured = Measured { entries: entries() - before, ..measured.await };
    host.shutdown().await;
    tasks.stop().await;
    close(engines).await;
    measured
}

async fn reads_and_idle(folder: &Path, seconds: u64) {
    let folder = tempfile::tempdir_in(folder).unwrap();
    let tasks = TaskGroup::new();
    let (host, engines) = host(folder.path(), 3, 1, &tasks).await;
    let client = host.client(SessionId(1));
    for number in 0..LOOPS {
        client.execute(slot(true, number, 1), put(number, 1), Vec::new()).await.unwrap();
    }
    let measured = measure(&tasks, seconds, move |number, round| {
        let client = client.clone();
        async move {
            let found = client.query(slot(true, number, 1), put(number, 1).slice(..16)).await.unwrap();
            assert!(!found.reply.is_empty(), "the record was written above");
            if round.is_multiple_of(64) {
                tokio::task::yield_now().await;
            }
        }
    });
    report("read of a record under the lease", &[measured.await]);
    let cpu = cpu_time();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let share = (cpu_time() - cpu).as_secs_f64() / seconds as f64 * 100.0;
    println!("{:<58} {share:>7.2} % of one core", "idle, 27 voters");
    host.shutdown().await;
    tasks.stop().await;
    close(engines).await;
}

async fn close(engines: Vec<Engine>) {
    for engine in engines {
        tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let folder = Path::new(arguments.get(1).expect("a folder on the disk to measure"));
    let number = |at: usize, default: u64| arguments.get(at).map_or(default, |text| text.parse().unwrap());
    let (seconds, runs) = (number(2, 2), number(3, 5));
    let filter = arguments.get(4).map_or("", String::as_str);
    let cases: Vec<Case> = Case::all().into_iter().filter(|case| case.name().contains(filter)).collect();
    let mut measured: Vec<Vec<Measured>> = cases.iter().map(|_| Vec::new()).collect();
    // Case after case within a run, so that a busy spell of the machine hits all of them.
    for _ in 0..runs {
        for (case, measured) in cases.iter().zip(&mut measured) {
            measured.push(run(folder, *case, seconds).await);
        }
    }
    for (case, measured) in cases.iter().zip(&measured) {
        report(&case.name(), measured);
    }
    if filter.is_empty() {
        reads_and_idle(folder, seconds).await;
    }
}
