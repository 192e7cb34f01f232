//! The spike of the PUT path: what one small PUT costs below the object layer.
//!
//! ```text
//! cargo run --release -p ringfort-meta --example meta_bench -- [FOLDER] [SECONDS]
//! ```
//!
//! 64 closed loops of 4 KiB bodies; prints commands per second and CPU seconds per 1000 commands of the whole process,
//! engine included, for one voter and three, one slot and many, and for one voter without openraft. Then reads, and the
//! CPU share of an idle process with 27 voters.
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

struct Measured {
    ops: u64,
    wall: Duration,
    cpu: Duration,
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

fn report(name: &str, measured: &Measured) {
    let ops = measured.ops.max(1) as f64;
    println!(
        "{name:<42} {:>9.0} ops/s {:>9.4} CPU-s/1000",
        ops / measured.wall.as_secs_f64(),
        measured.cpu.as_secs_f64() * 1000.0 / ops
    );
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
    Measured { ops: ops.load(Ordering::Relaxed), wall: boot_time() - began, cpu: cpu_time() - cpu }
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

async fn host(
    folder: &Path,
    name: &str,
    devices: u32,
    pipeline: usize,
    tasks: &TaskGroup,
) -> (MetaHost, Vec<Engine>) {
    let config = MetaConfig { pipeline, ..MetaConfig::default() };
    let host = MetaHost::new(tasks.clone(), Arc::new(PutModel), config);
    let mut engines = Vec::new();
    for device in 1..=devices {
        let engine = engine(folder, &format!("{name}-{device}"));
        host.add_device(DeviceId(device), VoterId(u64::from(device)), engine.clone()).await.unwrap();
        engines.push(engine);
    }
    let voters: Vec<VoterId> = (1..=u64::from(devices)).map(VoterId).collect();
    for group in 0..=8 {
        host.bootstrap(GroupId(group), &voters).await.unwrap();
    }
    (host, engines)
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let temporary = tempfile::tempdir().unwrap();
    let folder = arguments.get(1).map_or(temporary.path(), |folder| Path::new(folder)).to_owned();
    let seconds: u64 = arguments.get(2).map_or(5, |seconds| seconds.parse().unwrap());
    let body = Bytes::from(vec![0x5a; BODY_BYTES]);
    for (devices, pipeline) in [(1, 1), (1, 2), (3, 1), (3, 2)] {
        let tasks = TaskGroup::new();
        let (host, engines) =
            host(&folder, &format!("raft{devices}-{pipeline}"), devices, pipeline, &tasks).await;
        let client = host.client(SessionId(1));
        for many in [false, true] {
            let (put_client, body) = (client.clone(), body.clone());
            let entries_before: u64 = host.group_status().iter().map(|group| group.applied).sum();
            let measured = measure(&tasks, seconds, move |number, round| {
                let (client, body) = (put_client.clone(), body.clone());
                async move {
                    client.execute(slot(many, number, round), put(number, round), vec![body]).await.unwrap();
                }
            });
            let measured = measured.await;
            let where_to = if many { "all slots" } else { "one slot" };
            report(&format!("put, {devices} voter(s), pipeline {pipeline}, {where_to}"), &measured);
            let entries: u64 = host.group_status().iter().map(|group| group.applied).sum();
            println!(
                "{:<42} {:>9.1} commands",
                "  entry, on average",
                measured.ops as f64 / (entries - entries_before).max(1) as f64
            );
        }
        let get_client = client.clone();
        let measured = measure(&tasks, seconds.min(3), move |number, round| {
            let client = get_client.clone();
            async move {
                let found = client.query(slot(true, number, 1), put(number, 1).slice(..16)).await.unwrap();
                assert!(!found.reply.is_empty(), "the record was written above");
                if round.is_multiple_of(64) {
                    tokio::task::yield_now().await;
                }
            }
        });
        report(&format!("get of a record, {devices} voter(s)"), &measured.await);
        let cpu = cpu_time();
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let share = (cpu_time() - cpu).as_secs_f64() / seconds as f64 * 100.0;
        println!("{:<42} {share:>9.2} % of one core", format!("idle, {} voters", 9 * devices));
        host.shutdown().await;
        tasks.stop().await;
        close(engines).await;
    }
    let tasks = TaskGroup::new();
    let engine = engine(&folder, "direct");
    let direct =
        DirectGroup::start(&engine, GroupId(1), Arc::new(PutModel), &MetaConfig::default(), &tasks).unwrap();
    let measured = measure(&tasks, seconds, move |number, round| {
        let (direct, body) = (direct.clone(), body.clone());
        async move {
            direct.execute(number, round, SlotId(0), put(number, round), vec![body]).await.unwrap();
        }
    });
    report("put, one voter, one slot, without openraft", &measured.await);
    tasks.stop().await;
    close(vec![engine]).await;
}

async fn close(engines: Vec<Engine>) {
    for engine in engines {
        tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
    }
}
