//! Tests of whole groups on real device folders.

mod cluster;
mod durability;
mod failures;
pub(crate) mod faults;
mod history;
mod limits;
mod partitions;
mod simulation;
mod suite;

use crate::{MetaClient, MetaConfig, MetaHost};
use bytes::Bytes;
use ringfort_core::{BlobId, DeviceId, GroupId, HybridTime, SYSTEM_GROUP, SessionId, SlotId, VoterId};
use ringfort_engine::{Engine, EngineConfig};
use ringfort_runtime::TaskGroup;
use ringfort_storage_api::{InlineBody, QueryReply, SlotTx, SlotView, StateModel};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// A slot of group 1 and one of group 2.
const SLOT: SlotId = SlotId(0);
const OTHER_SLOT: SlotId = SlotId(1);

/// Counters and blobs: the least that shows whether commands are lost or run twice.
///
/// ```text
/// command 1 key       adds one to a counter; result: the new value
/// command 2 key       keeps body 0 as the blob named by the key, releasing an earlier one; result: the stamp
/// command 3 key       removes both; result: empty
/// query   1 key       the counter's value, and the blob kept under the key
/// ```
struct TestModel;

fn blob_of(slot: SlotId, key: &[u8], version: u64) -> BlobId {
    let name = key.iter().fold(0, |name, byte| name << 8 | u64::from(*byte));
    BlobId::new(slot, SessionId(name), version)
}

impl StateModel for TestModel {
    fn apply(
        &self,
        tx: &mut dyn SlotTx,
        stamp: HybridTime,
        command: &[u8],
        bodies: &[InlineBody],
    ) -> Vec<u8> {
        let (slot, key) = (tx.slot(), &command[1..]);
        let counter = tx.get(key).map_or(0, |value| u64::from_be_bytes(value.as_ref().try_into().unwrap()));
        match command[0] {
            1 => {
                tx.put(key, &(counter + 1).to_be_bytes());
                (counter + 1).to_be_bytes().to_vec()
            }
            2 if !bodies.is_empty() => {
                if counter > 0 {
                    tx.release_inline(blob_of(slot, key, counter));
                }
                tx.put(key, &(counter + 1).to_be_bytes());
                tx.adopt_inline(0, blob_of(slot, key, counter + 1));
                stamp.0.to_be_bytes().to_vec()
            }
            3 => {
                tx.delete(key);
                tx.release_inline(blob_of(slot, key, counter));
                Vec::new()
            }
            _ => b"bad".to_vec(),
        }
    }

    fn query(&self, view: &dyn SlotView, query: &[u8]) -> QueryReply {
        let key = &query[1..];
        let reply = view.get(key).map_or_else(Vec::new, |value| value.to_vec());
        let version = <[u8; 8]>::try_from(reply.as_slice()).map_or(0, u64::from_be_bytes);
        let inline = (query[0] == 2 && version > 0).then(|| blob_of(view.slot(), key, version));
        QueryReply { reply, inline }
    }
}

fn fast() -> MetaConfig {
    MetaConfig {
        groups: 2,
        heartbeat: Duration::from_millis(60),
        election_timeout_min: Duration::from_millis(300),
        election_timeout_max: Duration::from_millis(600),
        lease: Duration::from_millis(450),
        purge_interval: Duration::from_millis(100),
        log_tail_bytes: 0,
        ..MetaConfig::default()
    }
}

/// A process with some devices.
struct Process {
    host: MetaHost,
    tasks: TaskGroup,
    folders: Vec<tempfile::TempDir>,
    engines: Vec<Option<Engine>>,
}

impl Process {
    /// A new process on `devices` new folders, with all groups begun. Device `n` is voter `n`, from 1.
    async fn start(devices: usize) -> Self {
        Self::start_with(devices, fast()).await
    }

    async fn start_with(devices: usize, config: MetaConfig) -> Self {
        let folders = (0..devices).map(|_| tempfile::tempdir().unwrap()).collect();
        let process = Self::over(folders, config).await;
        let voters: Vec<VoterId> = (1..=devices as u64).map(VoterId).collect();
        for group in [SYSTEM_GROUP, GroupId(1), GroupId(2)] {
            process.host.bootstrap(group, &voters).await.unwrap();
        }
        process
    }

    async fn over(folders: Vec<tempfile::TempDir>, config: MetaConfig) -> Self {
        let tasks = TaskGroup::new();
        let host = MetaHost::new(tasks.clone(), Arc::new(TestModel), config);
        let engines = folders.iter().map(|_| None).collect();
        let mut process = Self { host, tasks, folders, engines };
        for device in 1..=process.folders.len() {
            process.add(device, device as u64).await;
        }
        process
    }

    async fn add(&mut self, device: usize, voter: u64) -> crate::DeviceReport {
        // Whoever was about to answer a message when the device was closed may hold it a little longer.
        let folder = self.folders[device - 1].path();
        let open = || async { Engine::open(folder, EngineConfig::small_for_tests()) };
        let (engine, _) = eventually_ok("the device to open", open).await;
        self.engines[device - 1] = Some(engine.clone());
        self.host.add_device(DeviceId(u32::try_from(device).unwrap()), VoterId(voter), engine).await.unwrap()
    }

    async fn remove(&mut self, device: usize) {
        self.host.remove_device(DeviceId(u32::try_from(device).unwrap())).await;
        if let Some(engine) = self.engines[device - 1].take() {
            tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
        }
    }

    /// Stops everything and starts again on the same folders.
    async fn restart(mut self) -> Self {
        for device in 1..=self.folders.len() {
            self.remove(device).await;
        }
        self.tasks.stop().await;
        Self::over(std::mem::take(&mut self.folders), fast()).await
    }

    fn client(&self) -> MetaClient {
        self.host.client(SessionId(7))
    }

    /// Fails if a voter that is here has stopped: no fault that tests put in is a reason to.
    fn assert_running(&self) {
        for group in self.host.inner.groups.read().values() {
            for voter in group.voters() {
                let stopped = voter.stopped_by();
                assert!(
                    voter.running() && stopped.is_none(),
                    "voter {} of {}: {stopped:?}",
                    voter.id,
                    group.id
                );
            }
        }
    }

    /// Loses messages of group 1 from `from` to `to`.
    fn cut(&self, from: VoterId, to: VoterId) {
        self.host.inner.group(GroupId(1)).wire.faults.cut(from, to);
    }

    /// Loses all messages of group 1 to and from `voter`.
    fn isolate(&self, voter: VoterId) {
        for other in self.host.inner.group(GroupId(1)).voters() {
            self.cut(voter, other.id);
            self.cut(other.id, voter);
        }
    }

    fn heal(&self) {
        self.host.inner.group(GroupId(1)).wire.faults.heal();
    }
}

/// The next number of a sequence that looks random (splitmix64).
fn random_after(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// A seed of its own for each run; the test prints it.
fn random_seed() -> u64 {
    std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 0u8)
}

async fn increment(client: &MetaClient, slot: SlotId, key: &str) -> u64 {
    let result = client.execute(slot, command(1, key), Vec::new()).await.unwrap();
    u64::from_be_bytes(result.as_ref().try_into().unwrap())
}

async fn counter(client: &MetaClient, slot: SlotId, key: &str) -> u64 {
    let answer = client.query(slot, command(1, key)).await.unwrap();
    <[u8; 8]>::try_from(answer.reply.as_ref()).map_or(0, u64::from_be_bytes)
}

fn command(kind: u8, key: &str) -> Bytes {
    [&[kind], key.as_bytes()].concat().into()
}

/// Tries until it succeeds, with a limit.
async fn eventually_ok<T, E: std::fmt::Debug, F: Future<Output = Result<T, E>>>(
    what: &str,
    mut attempt: impl FnMut() -> F,
) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{what}: {error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits for a condition, with a limit.
async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "waited too long for: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
