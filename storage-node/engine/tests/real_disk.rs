//! The engine on a real folder with RocksDB, through its public face.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
#![allow(clippy::cast_possible_truncation, reason = "what is counted is small")]

use bytes::Bytes;
use ringfort_core::{BlobId, ChunkKey, GroupId};
use ringfort_engine::{
    Engine, EngineConfig, EngineError, IoClass, LogEntry, SnapshotItem, StateBatch, StateStatus,
};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn key(blob: u8, number: u32) -> ChunkKey {
    ChunkKey { blob: BlobId::from_bytes([blob; 16]), number, fragment: 0 }
}

fn body(seed: u32, len: usize) -> Bytes {
    (0..len)
        .map(|i| (i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) as u8)
        .collect::<Vec<_>>()
        .into()
}

fn open(dir: &Path) -> (Engine, ringfort_engine::OpenReport) {
    Engine::open(dir, EngineConfig { background: false, ..EngineConfig::small_for_tests() }).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

async fn append(engine: &Engine, group: u32, index: u64, payload: Bytes) {
    let (done, result) = tokio::sync::oneshot::channel();
    let entry = LogEntry { index, term: 1, payload: vec![payload] };
    engine.group_log(GroupId(group)).append(vec![entry], move |outcome| drop(done.send(outcome)));
    result.await.unwrap().unwrap();
}

#[test]
fn chunks_survive_reopening_with_and_without_a_flush() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        for round in 0..3_u32 {
            let (engine, report) = open(dir.path());
            assert_eq!(report.formatted, round == 0);
            assert!(report.damage.is_empty(), "{report:?}");
            for old in 0..round {
                for (number, len) in [0, 1, 4096, 70_000, 300_001].into_iter().enumerate() {
                    let key = key(old as u8, number as u32);
                    assert_eq!(engine.read_chunk(key, 0..len as u32).await.unwrap(), body(old, len));
                    engine.verify_chunk(key).await.unwrap();
                }
            }
            for (number, len) in [0, 1, 4096, 70_000, 300_001].into_iter().enumerate() {
                let (key, body) = (key(round as u8, number as u32), body(round, len));
                let pieces = vec![body.slice(..len / 3), body.slice(len / 3..)];
                engine.put_chunk(key, pieces.clone(), IoClass::Client).await.unwrap();
                engine.put_chunk(key, pieces, IoClass::Client).await.unwrap();
                if len > 5000 {
                    assert_eq!(engine.read_chunk(key, 4090..5000).await.unwrap(), body.slice(4090..5000));
                    let other =
                        engine.put_chunk(key, vec![Bytes::from_static(b"other")], IoClass::Client).await;
                    assert!(matches!(other, Err(EngineError::Conflict { .. })));
                }
                let beyond = engine.read_chunk(key, 0..len as u32 + 1).await;
                assert!(matches!(beyond, Err(EngineError::Range { .. })));
            }
            assert_eq!(engine.usage().chunks, u64::from(round + 1) * 5);
            if round == 1 {
                engine.close();
            }
        }
        let (engine, _) = open(dir.path());
        assert_eq!(engine.list_chunks(Some(key(0, 3)), 4).unwrap().len(), 4);
        engine.delete_blob(key(1, 0).blob).await.unwrap();
        engine.drop_chunk(key(2, 0)).await.unwrap();
        drop(engine);
        let (engine, _) = open(dir.path());
        assert_eq!(engine.list_chunks(None, 100).unwrap().len(), 9);
        engine.put_chunk(key(2, 0), vec![Bytes::from_static(b"again")], IoClass::Client).await.unwrap();
        assert_eq!(engine.read_chunk(key(2, 0), 0..5).await.unwrap(), Bytes::from_static(b"again"));
        drop(engine);
        // All of it once more from the log alone.
        let config = EngineConfig { background: false, ..EngineConfig::small_for_tests() }.rebuild_index();
        let (engine, report) = Engine::open(dir.path(), config).unwrap();
        assert!(report.index_rebuilt);
        assert_eq!(engine.list_chunks(None, 100).unwrap().len(), 10);
        assert_eq!(engine.read_chunk(key(0, 4), 0..300_001).await.unwrap(), body(0, 300_001));
        assert_eq!(engine.read_chunk(key(2, 0), 0..5).await.unwrap(), Bytes::from_static(b"again"));
        assert!(matches!(engine.read_chunk(key(1, 1), 0..1).await, Err(EngineError::ChunkNotFound { .. })));
    });
}

#[test]
fn logs_states_and_inline_bodies_survive() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (engine, _) = open(dir.path());
        let (log, state) = (engine.group_log(GroupId(3)), engine.group_state(GroupId(3)));
        assert_eq!(state.status(), StateStatus::Empty);
        let (done, result) = tokio::sync::oneshot::channel();
        log.save_vote(Bytes::from_static(b"vote"), move |outcome| drop(done.send(outcome)));
        result.await.unwrap().unwrap();
        for index in 1..=50 {
            append(&engine, 3, index, body(index as u32, 5000)).await;
            let mut batch = StateBatch::new();
            batch.put(&index.to_be_bytes(), b"value");
            batch.adopt_inline(BlobId::from_bytes([index as u8; 16]), index, 100, 4800);
            batch.applied(index);
            state.write(batch).unwrap();
        }
        engine.checkpoint().await.unwrap();
        assert_eq!(state.durable_applied(), 50);
        append(&engine, 3, 51, body(51, 10)).await;
        let (done, result) = tokio::sync::oneshot::channel();
        log.purge_to(50, Bytes::from_static(b"mark"), move |outcome| drop(done.send(outcome)));
        result.await.unwrap().unwrap();
        let mut batch = StateBatch::new();
        for index in 1..=40_u8 {
            batch.release_inline(BlobId::from_bytes([index; 16]));
        }
        batch.applied(51);
        state.write(batch).unwrap();
        while engine.compact_step().await.unwrap() > 0 {}
        drop((log, state, engine));

        let (engine, report) = open(dir.path());
        assert!(report.lost_groups.is_empty() && report.damage.is_empty(), "{report:?}");
        let (log, state) = (engine.group_log(GroupId(3)), engine.group_state(GroupId(3)));
        assert_eq!(log.vote().unwrap(), "vote");
        assert_eq!(log.purged().unwrap(), (50, Bytes::from_static(b"mark")));
        assert_eq!((log.last(), state.status()), (Some(51), StateStatus::Ok));
        assert_eq!(log.read(51, 60, 1 << 20).unwrap(), vec![(51, body(51, 10))]);
        assert_eq!(engine.groups(), vec![GroupId(3)]);
        for index in 41..=50_u8 {
            let key = ChunkKey { blob: BlobId::from_bytes([index; 16]), number: 0, fragment: 0 };
            let read = engine.read_chunk(key, 0..4800).await.unwrap();
            assert_eq!(read, body(u32::from(index), 5000).slice(100..4900));
        }
        let mut view = state.snapshot().unwrap();
        let mut items = Vec::new();
        loop {
            let page = view.next_page(1000).unwrap();
            if page.is_empty() {
                break;
            }
            items.extend(page);
        }
        drop(view);
        assert_eq!(items.iter().filter(|item| matches!(item, SnapshotItem::Record { .. })).count(), 50);
        let other = engine.group_state(GroupId(4));
        let mut install = other.install().await.unwrap();
        assert_eq!(other.status(), StateStatus::Lost);
        for item in items {
            match item {
                SnapshotItem::Record { key, value } => install.put(&[(key, value)]).unwrap(),
                SnapshotItem::Inline { blob, body } => {
                    let mut id = *blob.as_bytes();
                    id[0] = 99;
                    install.put_inline(vec![(BlobId::from_bytes(id), body)]).await.unwrap();
                }
            }
        }
        install.finish(51).await.unwrap();
        assert_eq!((other.status(), other.applied(), other.durable_applied()), (StateStatus::Ok, 51, 51));
        engine.remove_group(GroupId(3)).await.unwrap();
        assert_eq!(engine.groups(), vec![GroupId(4)]);
        assert_eq!(engine.usage().inline_bodies, 10);
        drop((log, state, other, engine));
        let (engine, _) = open(dir.path());
        assert_eq!(engine.groups(), vec![GroupId(4)]);
        assert_eq!(engine.usage().inline_bodies, 10);
    });
}

#[test]
fn two_processes_a_newer_format_and_a_damaged_header_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = open(dir.path());
    let config = EngineConfig::small_for_tests();
    assert!(matches!(Engine::open(dir.path(), config.clone()), Err(EngineError::Locked)));
    engine.close();
    drop(engine);
    let format = dir.path().join("log/FORMAT");
    let good = std::fs::read(&format).unwrap();
    let mut damaged = good.clone();
    damaged[17] ^= 4;
    std::fs::write(&format, damaged).unwrap();
    assert!(matches!(Engine::open(dir.path(), config.clone()), Err(EngineError::BadHeader { .. })));
    let mut newer = good[..24].to_vec();
    newer[8] = 2;
    newer.extend_from_slice(&crc32fast::hash(&newer).to_le_bytes());
    std::fs::write(&format, newer).unwrap();
    assert!(matches!(Engine::open(dir.path(), config), Err(EngineError::NewerFormat { found: 2, known: 1 })));
}

/// A device with chunks, a log and a state, flushed; more of each after the flush.
async fn fill(engine: &Engine) {
    let state = engine.group_state(GroupId(5));
    for index in 1..=200_u64 {
        append(engine, 5, index, body(index as u32, 3000)).await;
        let mut batch = StateBatch::new();
        batch.put(&index.to_be_bytes(), &[7; 100]);
        batch.adopt_inline(BlobId::from_bytes([index as u8; 16]), index, 10, 2000);
        batch.applied(index);
        state.write(batch).unwrap();
        if index % 10 == 0 {
            let key = key(210, index as u32);
            engine.put_chunk(key, vec![body(index as u32, 9000)], IoClass::Client).await.unwrap();
        }
        if index == 150 {
            engine.checkpoint().await.unwrap();
        }
    }
}

async fn compare(engine: &Engine) -> Result<(), EngineError> {
    for index in 1..=200_u64 {
        if index % 10 == 0 {
            let read = engine.read_chunk(key(210, index as u32), 0..9000).await?;
            assert_eq!(read, body(index as u32, 9000));
        }
    }
    assert_eq!(engine.list_chunks(None, 1000)?.len(), 20);
    let state = engine.group_state(GroupId(5));
    if state.status() == StateStatus::Ok {
        for index in 1..=state.applied() {
            assert_eq!(state.get(&index.to_be_bytes())?.as_deref(), Some([7; 100].as_slice()));
            let inline = ChunkKey { blob: BlobId::from_bytes([index as u8; 16]), number: 0, fragment: 0 };
            let read = engine.read_chunk(inline, 0..2000).await?;
            assert_eq!(read, body(index as u32, 3000).slice(10..2010));
        }
    }
    Ok(())
}

#[test]
fn a_restart_after_a_flush_rebuilds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (engine, _) = open(dir.path());
        fill(&engine).await;
        engine.checkpoint().await.unwrap();
        // Killed: what is in the folder now is what a new process finds.
        let killed = copy_of_open(dir.path());
        engine.close();
        drop(engine);
        for (dir, what) in [(killed.path(), "killed"), (dir.path(), "closed"), (dir.path(), "closed again")] {
            let (engine, report) = open(dir);
            assert!(!report.index_rebuilt && report.lost_groups.is_empty(), "{what}: {report:?}");
            assert!(report.damage.is_empty() && report.replayed <= 2, "{what}: {report:?}");
            let state = engine.group_state(GroupId(5));
            assert_eq!(
                (state.status(), state.applied(), state.durable_applied()),
                (StateStatus::Ok, 200, 200)
            );
            assert_eq!(engine.group_log(GroupId(5)).last(), Some(200));
            compare(&engine).await.unwrap();
            engine.close();
        }
    });
}

#[test]
fn a_kill_between_flushes_replays_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (engine, _) = open(dir.path());
        fill(&engine).await;
        let killed = copy_of_open(dir.path());
        drop(engine);
        let (engine, report) = open(killed.path());
        assert!(!report.index_rebuilt && report.lost_groups.is_empty(), "{report:?}");
        assert!(report.damage.is_empty() && (50..80).contains(&report.replayed), "{report:?}");
        let state = engine.group_state(GroupId(5));
        assert_eq!((state.status(), state.applied()), (StateStatus::Ok, 150));
        assert_eq!(engine.group_log(GroupId(5)).last(), Some(200));
        compare(&engine).await.unwrap();
    });
}

/// A copy of the folder of an open engine, as one moment of it: RocksDB deletes what a flush made obsolete a little
/// later, so a copy across that is thrown away.
fn copy_of_open(from: &Path) -> tempfile::TempDir {
    for _ in 0..100 {
        let to = tempfile::tempdir().unwrap();
        let before = names(from);
        if copy(from, to.path()).is_ok() && names(from) == before {
            return to;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("files come and go without end");
}

fn names(dir: &Path) -> BTreeSet<PathBuf> {
    let mut all = BTreeSet::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            all.extend(names(&entry.path()));
        }
        all.insert(entry.path());
    }
    all
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir_all(&target)?;
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Opens as a storage node does: an index that is found damaged, now or by a read, is rebuilt. Says whether it was.
async fn open_and_compare(dir: &Path, what: &str) -> bool {
    let config = EngineConfig { background: false, ..EngineConfig::small_for_tests() };
    let first = match Engine::open(dir, config.clone()) {
        Ok((engine, report)) => {
            assert!(report.damage.is_empty(), "{what}: {report:?}");
            match compare(&engine).await {
                Ok(()) => return report.index_rebuilt,
                Err(error) => error,
            }
        }
        Err(error) => error,
    };
    assert!(matches!(first, EngineError::IndexDamaged { .. }), "{what}: {first}");
    let (engine, report) = Engine::open(dir, config.rebuild_index()).unwrap();
    assert!(report.index_rebuilt && report.damage.is_empty(), "{what}: {report:?}");
    compare(&engine).await.unwrap();
    true
}

#[test]
fn damaged_files_of_the_index_are_found_and_it_is_rebuilt() {
    let whole = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (engine, _) = open(whole.path());
        fill(&engine).await;
        engine.close();
        drop(engine);
        let names: Vec<_> = std::fs::read_dir(whole.path().join("index"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let of = |part: &'static str| names.iter().filter(move |name| name.contains(part)).cloned();
        let mut rebuilt = 0;
        for name in of(".sst").chain(of("MANIFEST")).chain(of("CURRENT")) {
            let len = std::fs::metadata(whole.path().join("index").join(&name)).unwrap().len() as usize;
            // Flips in several places, a file cut in half, an empty one, none at all.
            let places = [Some(len / 3), Some(len - 1)];
            for (number, place) in places.into_iter().chain([None; 3]).enumerate() {
                let dir = tempfile::tempdir().unwrap();
                copy(whole.path(), dir.path()).unwrap();
                let path = dir.path().join("index").join(&name);
                let mut bytes = std::fs::read(&path).unwrap();
                match (place, number) {
                    (Some(place), _) => bytes[place] ^= 0x10,
                    (None, 2) => bytes.truncate(len / 2),
                    (None, _) => bytes.clear(),
                }
                std::fs::write(&path, bytes).unwrap();
                if number == 4 {
                    std::fs::remove_file(&path).unwrap();
                }
                rebuilt += u32::from(open_and_compare(dir.path(), &format!("{name}, {number}")).await);
            }
        }
        assert!(rebuilt > 8, "only {rebuilt} kinds of damage were noticed");
    });
}

#[test]
fn the_folder_of_format_version_1_opens() {
    let package = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    let golden = std::path::Path::new(&package).join("tests/golden/v1");
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("log")).unwrap();
    copy(&golden.join("log"), &dir.path().join("log")).unwrap();
    let (engine, report) = open(dir.path());
    assert!(report.index_rebuilt && report.damage.is_empty(), "{report:?}");
    assert_eq!(engine.list_chunks(None, 100).unwrap().len(), 2);
    assert_eq!(engine.group_log(GroupId(1)).vote().unwrap(), "vote");
}

#[test]
fn closing_waits_for_every_thread_and_dropping_releases_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        for _ in 0..5 {
            let (engine, _) = open(dir.path());
            // Work that is on the device's threads when it is closed.
            let reads: Vec<_> = (0..50).map(|_| engine.verify_chunk(key(1, 0))).collect();
            let checkpoint = engine.checkpoint();
            let config = EngineConfig::small_for_tests();
            assert!(matches!(Engine::open(dir.path(), config.clone()), Err(EngineError::Locked)));
            engine.close();
            assert!(matches!(Engine::open(dir.path(), config), Err(EngineError::Locked)));
            drop((reads, checkpoint));
            drop(engine);
        }
    });
}
