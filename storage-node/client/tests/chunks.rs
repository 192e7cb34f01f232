//! Chunks on real engines in temporary folders: written, read around losses, repaired, deleted.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use bytes::Bytes;
use ringfort_core::{
    BlobId, ChunkKey, DeviceId, Epoch, ErrorKind, Incarnation, Policy, Redundancy, SessionId, SlotId,
};
use ringfort_engine::{Engine, EngineConfig};
use ringfort_ring::{Builder, DeviceSpec};
use ringfort_runtime::TaskGroup;
use ringfort_storage_client::{
    ChunkError, ChunkStore, Cluster, ClusterView, DeviceHandle, DevicePlace, Member, PolicyRing, RepairDepth,
    Standing,
};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Devices, a policy over them, and a store.
struct Rig {
    dir: tempfile::TempDir,
    policy: Policy,
    engines: Vec<Engine>,
    table: Arc<ringfort_ring::RingTable>,
    view: ClusterView,
    store: ChunkStore,
    tasks: TaskGroup,
}

fn id(index: usize) -> DeviceId {
    DeviceId(u32::try_from(index).unwrap() + 1)
}

impl Rig {
    fn new(devices: usize, redundancy: &str) -> Self {
        Self::with(devices, redundancy, |_| EngineConfig::small_for_tests())
    }

    fn with(devices: usize, redundancy: &str, config: impl Fn(usize) -> EngineConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let policy = Policy::new(0, "p", redundancy.parse::<Redundancy>().unwrap());
        let engines: Vec<Engine> = (0..devices)
            .map(|index| {
                let path = dir.path().join(format!("{index}"));
                std::fs::create_dir(&path).unwrap();
                Engine::open(&path, config(index)).unwrap().0
            })
            .collect();
        let specs: Vec<DeviceSpec> = (0..devices).map(|index| DeviceSpec::new(id(index))).collect();
        let builder = Builder::new(policy.redundancy.width(), [3; 32]).with_power(6);
        let table = Arc::new(builder.plan(None, &specs).unwrap().table);
        let view = ClusterView::new(Cluster::new(Epoch(0), Vec::new(), Vec::new()));
        let tasks = TaskGroup::new();
        let store = ChunkStore::new(view.clone(), tasks.clone());
        let rig = Self { dir, policy, engines, table, view, store, tasks };
        rig.away(&[]);
        rig
    }

    /// Shows the cluster with these devices away.
    fn away(&self, away: &[usize]) {
        self.show(away, Arc::clone(&self.table), None);
    }

    fn show(
        &self,
        away: &[usize],
        current: Arc<ringfort_ring::RingTable>,
        previous: Option<Arc<ringfort_ring::RingTable>>,
    ) {
        let handles = self.engines.iter().enumerate().map(|(index, engine)| {
            let standing = if away.contains(&index) {
                Standing::Absent("a test".to_owned())
            } else {
                Standing::InService(engine.clone())
            };
            let place = DevicePlace { region: "r".into(), zone: "z".into(), node: "n".into() };
            Arc::new(DeviceHandle::new(id(index), Incarnation(1), place, Member::Active, standing))
        });
        let epoch = current.epoch();
        let ring = PolicyRing { policy: self.policy.clone(), current, previous };
        self.view.store(Cluster::new(epoch, vec![ring], handles.collect()));
    }

    /// Waits until no write is under way any more.
    async fn settle(&self) {
        self.tasks.stop().await;
    }

    async fn write(&self, number: u64, len: usize) -> (BlobId, Vec<u8>) {
        let blob = BlobId::new(SlotId(5), SessionId(1), number);
        let body = body(number, len);
        let parts = body.chunks(40_000).map(Bytes::copy_from_slice).collect();
        self.store.write_chunk(&self.policy, blob, 0, parts).await.unwrap();
        (blob, body)
    }

    async fn read(&self, blob: BlobId, body: &[u8]) {
        let len = u32::try_from(body.len()).unwrap();
        for (from, to) in
            [(0, len), (len / 3, len / 3 + 1), (len / 2, len), (len - 1, len), (4090.min(len), 5000.min(len))]
        {
            let read = self.store.read_chunk(&self.policy, blob, 0, len, from..to).await;
            let read = read.unwrap_or_else(|error| panic!("{from}..{to}: {error}"));
            assert_eq!(read, &body[from as usize..to as usize], "{from}..{to} of {len}");
        }
    }

    async fn repair(
        &self,
        blob: BlobId,
        len: usize,
        depth: RepairDepth,
    ) -> ringfort_storage_client::RepairReport {
        let len = u32::try_from(len).unwrap();
        self.store.repair_chunk(&self.policy, blob, 0, len, depth).await.unwrap()
    }

    /// Pieces on each device.
    fn pieces(&self) -> Vec<usize> {
        let count = |engine: &Engine| engine.list_chunks(None, 10_000).unwrap().len();
        self.engines.iter().map(count).collect()
    }
}

fn body(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    let mut reader = blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof();
    reader.fill(&mut out);
    out
}

/// Flips a bit of the stored bytes `needle` in the files below `dir`; tells whether they were found.
fn damage(dir: &Path, needle: &[u8]) -> bool {
    let mut todo: Vec<PathBuf> = vec![dir.to_owned()];
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(needle.len()).position(|window| window == needle) {
            let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            file.write_all_at(&[bytes[at + 3] ^ 0x10], u64::try_from(at).unwrap() + 3).unwrap();
            return true;
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_copies_survive_each_lost_device() {
    let rig = Rig::new(4, "replicated:3");
    let mut written = Vec::new();
    for number in 0..12 {
        written.push(rig.write(number, 30_000 + 9_000 * usize::try_from(number).unwrap()).await);
    }
    rig.settle().await;
    assert_eq!(rig.pieces().iter().sum::<usize>(), 36);
    for lost in 0..4 {
        rig.away(&[lost]);
        for (blob, body) in &written {
            rig.read(*blob, body).await;
        }
    }
    // Two lost devices are more than was promised, but a third copy is there all the same.
    rig.away(&[0, 1]);
    for (blob, body) in &written {
        rig.read(*blob, body).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn erasure_coded_chunks_survive_each_two_lost_devices() {
    let rig = Rig::new(6, "erasure:4+2");
    let mut written = Vec::new();
    for (number, len) in (0..).zip([1, 63, 4096, 70_000, 262_144, 300_001]) {
        written.push(rig.write(number, len).await);
    }
    rig.settle().await;
    assert_eq!(rig.pieces(), [6; 6]);
    for first in 0..6 {
        for second in first + 1..6 {
            rig.away(&[first, second]);
            for (blob, body) in &written {
                rig.read(*blob, body).await;
            }
        }
    }
    rig.away(&[0, 1, 2]);
    let (blob, body) = &written[4];
    let len = u32::try_from(body.len()).unwrap();
    let error = rig.store.read_chunk(&rig.policy, *blob, 0, len, 0..len).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stand_in_takes_the_place_of_a_lost_primary_and_gives_it_back() {
    for (devices, redundancy) in [(4, "replicated:3"), (7, "erasure:4+2")] {
        let rig = Rig::new(devices, redundancy);
        rig.away(&[2]);
        let mut written = Vec::new();
        for number in 0..8 {
            written.push(rig.write(number, 50_000).await);
        }
        rig.settle().await;
        let width = rig.policy.redundancy.width();
        assert_eq!(rig.pieces()[2], 0);
        assert_eq!(
            rig.pieces().iter().sum::<usize>(),
            8 * width,
            "{redundancy}: stand-ins hold what the lost one should"
        );
        rig.away(&[]);
        let mut rebuilt = 0;
        for (blob, body) in &written {
            rig.read(*blob, body).await;
            let report = rig.repair(*blob, body.len(), RepairDepth::Presence).await;
            assert!(report.whole, "{report:?}");
            assert_eq!(report.dropped, report.rebuilt, "{report:?}");
            rebuilt += report.rebuilt;
            assert_eq!(rig.store.missing_pieces(&rig.policy, *blob, 0, 50_000).await.unwrap(), 0);
            rig.read(*blob, body).await;
        }
        assert!(rebuilt > 0);
        assert_eq!(rig.pieces().iter().sum::<usize>(), 8 * width, "{redundancy}: nothing is out of place");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_device_is_covered_by_stand_ins() {
    let rig = Rig::new(7, "erasure:4+2");
    let (blob, body) = rig.write(1, 100_000).await;
    rig.settle().await;
    let primaries = rig.store.placement(0, blob, 0).unwrap().primaries;
    let lost = (0..7).find(|index| id(*index) == primaries[0]).unwrap();
    rig.away(&[lost]);
    let report = rig.repair(blob, body.len(), RepairDepth::Presence).await;
    assert!(report.redundant && !report.whole && report.rebuilt == 1, "{report:?}");
    // Done once: the stand-in is found again.
    let again = rig.repair(blob, body.len(), RepairDepth::Presence).await;
    assert!(again.redundant && again.rebuilt == 0, "{again:?}");
    let second = (0..7).find(|index| id(*index) == primaries[1]).unwrap();
    let third = (0..7).find(|index| id(*index) == primaries[2]).unwrap();
    rig.away(&[lost, second, third]);
    rig.read(blob, &body).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_devices_are_told_from_full_ones() {
    let rig = Rig::new(3, "replicated:3");
    rig.away(&[0, 1]);
    let blob = BlobId::new(SlotId(0), SessionId(1), 1);
    let error =
        rig.store.write_chunk(&rig.policy, blob, 0, vec![Bytes::from(body(1, 9000))]).await.unwrap_err();
    assert!(matches!(error, ChunkError::TooFew { stored: 1, needed: 2, .. }), "{error}");

    let full = Rig::with(3, "replicated:3", |_| EngineConfig::small_for_tests().capacity_bytes(3 << 20));
    let mut outcome = Ok(());
    for number in 0..80 {
        let blob = BlobId::new(SlotId(0), SessionId(1), number);
        outcome =
            full.store.write_chunk(&full.policy, blob, 0, vec![Bytes::from(body(number, 100_000))]).await;
        if outcome.is_err() {
            break;
        }
    }
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    // Deletes work on full devices.
    full.store.delete_blob(&full.policy, BlobId::new(SlotId(0), SessionId(1), 0)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_primary_hands_off() {
    let small = |index| match index {
        1 => EngineConfig::small_for_tests().capacity_bytes(3 << 20),
        _ => EngineConfig::small_for_tests(),
    };
    let rig = Rig::with(4, "replicated:3", small);
    let mut written = Vec::new();
    for number in 0..60 {
        written.push(rig.write(number, 100_000).await);
    }
    rig.settle().await;
    assert_eq!(rig.pieces().iter().sum::<usize>(), 180, "every chunk has three copies");
    assert!(rig.pieces()[1] < 40);
    for (blob, body) in &written {
        rig.read(*blob, body).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_waits_for_every_device() {
    let rig = Rig::new(4, "replicated:3");
    let (blob, body) = rig.write(1, 50_000).await;
    let (other, other_body) = rig.write(2, 50_000).await;
    rig.settle().await;
    rig.away(&[3]);
    let error = rig.store.delete_blob(&rig.policy, blob).await.unwrap_err();
    assert!(matches!(&error, ChunkError::DeletePending { waiting, .. } if waiting == &[id(3)]), "{error}");
    rig.away(&[]);
    rig.store.delete_blob(&rig.policy, blob).await.unwrap();
    assert!(
        rig.engines.iter().all(|engine| {
            engine.chunk_info(ChunkKey { blob, number: 0, fragment: 0 }).unwrap().is_none()
        })
    );
    let len = u32::try_from(body.len()).unwrap();
    let error = rig.store.read_chunk(&rig.policy, blob, 0, len, 0..len).await.unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Unavailable,
        "a chunk that is asked for is never reported as not found"
    );
    rig.read(other, &other_body).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_pieces_are_read_around_and_repaired() {
    for (devices, redundancy) in [(3, "replicated:3"), (6, "erasure:4+2")] {
        let rig = Rig::new(devices, redundancy);
        let (blob, body) = rig.write(1, 200_000).await;
        rig.settle().await;
        let found = (0..devices).filter(|index| {
            let dir = rig.dir.path().join(format!("{index}"));
            damage(&dir, &body[..32])
        });
        let found = found.take(if devices == 3 { 2 } else { 1 }).count();
        assert!(found > 0);
        rig.read(blob, &body).await;
        let report = rig.repair(blob, body.len(), RepairDepth::Verify).await;
        assert_eq!(report.damaged as usize, found, "{report:?}");
        assert!(report.whole && report.rebuilt as usize == found, "{report:?}");
        let clean = rig.repair(blob, body.len(), RepairDepth::Verify).await;
        assert_eq!((clean.damaged, clean.rebuilt), (0, 0), "{clean:?}");
        for lost in 0..devices {
            rig.away(&[lost]);
            rig.read(blob, &body).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_everywhere_is_corrupt_and_asks_for_repair() {
    let rig = Rig::new(3, "replicated:3");
    let (blob, body) = rig.write(1, 60_000).await;
    rig.settle().await;
    for index in 0..3 {
        assert!(damage(&rig.dir.path().join(format!("{index}")), &body[..32]));
    }
    let len = u32::try_from(body.len()).unwrap();
    let error = rig.store.read_chunk(&rig.policy, blob, 0, len, 0..100).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    // Only the damaged block is lost.
    let rest = rig.store.read_chunk(&rig.policy, blob, 0, len, 8192..len).await.unwrap();
    assert_eq!(rest, &body[8192..]);
    let request = rig.store.repairs().try_pop().unwrap();
    assert!(request.verify && request.blob == blob && request.len == len);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_out_of_place_stays_while_one_in_place_is_damaged() {
    let rig = Rig::new(4, "replicated:3");
    let (blob, body) = rig.write(1, 60_000).await;
    rig.settle().await;
    let primaries = rig.store.placement(0, blob, 0).unwrap().primaries;
    let (damaged, spare) = (
        (0..4).find(|index| id(*index) == primaries[1]),
        (0..4).find(|index| !primaries.contains(&id(*index))),
    );
    let (damaged, spare) = (damaged.unwrap(), spare.unwrap());
    let key = ChunkKey { blob, number: 0, fragment: 0 };
    let copy = vec![Bytes::from(body.clone())];
    rig.engines[spare].put_chunk(key, copy, ringfort_engine::IoClass::Client).await.unwrap();
    assert!(damage(&rig.dir.path().join(format!("{damaged}")), &body[..32]));
    // By the indexes alone all primaries have their piece.
    let report = rig.repair(blob, body.len(), RepairDepth::Strays).await;
    assert!(report.dropped == 0 && !report.whole, "{report:?}");
    assert!(rig.store.repairs().try_pop().unwrap().verify);
    let report = rig.repair(blob, body.len(), RepairDepth::Verify).await;
    assert!(report.whole && report.rebuilt == 1 && report.dropped == 1, "{report:?}");
    assert_eq!(rig.pieces().iter().sum::<usize>(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_ring_change_moves_is_not_missing() {
    for (devices, redundancy) in [(5, "replicated:3"), (7, "erasure:4+2")] {
        let rig = Rig::new(devices, redundancy);
        let specs: Vec<DeviceSpec> = (0..devices - 1).map(|index| DeviceSpec::new(id(index))).collect();
        let builder = Builder::new(rig.policy.redundancy.width(), [3; 32]).with_power(6);
        let before = Arc::new(builder.plan(None, &specs).unwrap().table);
        let specs: Vec<DeviceSpec> = (0..devices).map(|index| DeviceSpec::new(id(index))).collect();
        let after = Arc::new(builder.plan(Some(&before), &specs).unwrap().table);
        rig.show(&[], Arc::clone(&before), None);
        let mut written = Vec::new();
        for number in 0..20 {
            written.push(rig.write(number, 30_000).await);
        }
        rig.settle().await;
        rig.show(&[], Arc::clone(&after), Some(before));
        let mut moved = 0;
        for (blob, body) in &written {
            let len = u32::try_from(body.len()).unwrap();
            assert_eq!(
                rig.store.missing_pieces(&rig.policy, *blob, 0, len).await.unwrap(),
                0,
                "{redundancy}"
            );
            moved += rig.repair(*blob, body.len(), RepairDepth::Strays).await.rebuilt;
        }
        assert!(moved > 0);
        rig.show(&[], after, None);
        for (blob, body) in &written {
            let len = u32::try_from(body.len()).unwrap();
            assert_eq!(rig.store.missing_pieces(&rig.policy, *blob, 0, len).await.unwrap(), 0);
        }
    }
}

/// Fails when a lost fragment is computed from whole fragments instead of the range asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_degraded_read_reads_only_the_blocks_it_needs() {
    let rig = Rig::new(6, "erasure:4+2");
    let (blob, body) = rig.write(1, 1_000_000).await;
    rig.settle().await;
    let primaries = rig.store.placement(0, blob, 0).unwrap().primaries;
    let index = |fragment: usize| (0..6).find(|index| id(*index) == primaries[fragment]).unwrap();
    let codec = ringfort_codec::EcCodec::new(4, 2).unwrap();
    let fragments = codec.encode(&[Bytes::from(body.clone())]).unwrap();
    // Far from the range, every fragment that is left is damaged: more than parity makes up for.
    for (fragment, bytes) in fragments.iter().enumerate().skip(1) {
        let dir = rig.dir.path().join(format!("{}", index(fragment)));
        assert!(damage(&dir, &bytes[100_000..100_032]), "fragment {fragment}");
    }
    rig.away(&[index(0)]);
    let len = u32::try_from(body.len()).unwrap();
    let read = |range: std::ops::Range<u32>| rig.store.read_chunk(&rig.policy, blob, 0, len, range);
    assert_eq!(read(10..4000).await.unwrap(), &body[10..4000]);
    assert_eq!(read(150_000..150_001).await.unwrap(), &body[150_000..150_001]);
    let error = read(100_000..100_010).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unavailable), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_content_under_the_same_name_is_refused() {
    for (devices, redundancy) in [(3, "replicated:3"), (6, "erasure:4+2")] {
        let rig = Rig::new(devices, redundancy);
        let (blob, first) = rig.write(1, 60_000).await;
        let write = |content: Vec<u8>| rig.store.write_chunk(&rig.policy, blob, 0, vec![content.into()]);
        write(first.clone()).await.unwrap();
        let error = write(body(2, 60_000)).await.unwrap_err();
        assert!(matches!(error, ChunkError::Conflict { .. }), "{redundancy}: {error}");
        rig.settle().await;
        for lost in 0..devices {
            rig.away(&[lost]);
            rig.read(blob, &first).await;
        }
    }
}

/// Fails when a reader that had to look elsewhere does not say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_around_a_loss_asks_for_the_repair_that_makes_it_whole() {
    for (devices, redundancy, dropped) in [(3, "replicated:3", 2), (6, "erasure:4+2", 1)] {
        let rig = Rig::new(devices, redundancy);
        let (blob, body) = rig.write(1, 60_000).await;
        rig.settle().await;
        let primaries = rig.store.placement(0, blob, 0).unwrap().primaries;
        for (fragment, primary) in (0..).zip(&primaries).take(dropped) {
            let index = (0..devices).find(|index| id(*index) == *primary).unwrap();
            let fragment = if devices == 3 { 0 } else { fragment };
            rig.engines[index].drop_chunk(ChunkKey { blob, number: 0, fragment }).await.unwrap();
        }
        while rig.store.repairs().try_pop().is_some() {}
        for _ in 0..3 {
            rig.read(blob, &body).await;
        }
        let request = rig.store.repairs().try_pop().expect("a repair was asked for");
        assert!(request.blob == blob && request.len == 60_000 && !request.verify, "{request:?}");
        assert_eq!(rig.store.repairs().try_pop(), None, "once");
        let report = rig.repair(blob, body.len(), RepairDepth::Presence).await;
        assert!(report.whole && report.rebuilt as usize == dropped, "{redundancy}: {report:?}");
        assert_eq!(rig.store.missing_pieces(&rig.policy, blob, 0, 60_000).await.unwrap(), 0);
        rig.read(blob, &body).await;
        assert_eq!(rig.store.repairs().try_pop(), None, "nothing is left to repair");
    }
}
