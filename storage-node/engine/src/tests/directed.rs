//! Single situations that random histories meet too rarely.

use super::{EXTENT_BYTES, config, open, wait};
use crate::disk::sim::SimDisk;
use crate::format::{Owner, chunk};
use crate::index::mem::MemIndex;
use crate::queue::{Put, PutMode, Request};
use crate::{
    Engine, EngineConfig, EngineError, GroupLog, Health, IoClass, LogEntry, StateBatch, StateStatus,
};
use bytes::Bytes;
use crossbeam_channel::Receiver;
use ringfort_core::{BlobId, ChunkKey, GroupId};
use std::time::Duration;

const GROUP: GroupId = GroupId(4);

fn key(blob: u8, number: u32) -> ChunkKey {
    ChunkKey { blob: BlobId::from_bytes([blob; 16]), number, fragment: 0 }
}

type Outcome = Result<(), EngineError>;

/// Makes a call and answers where its outcome will be.
fn begin(call: impl FnOnce(Box<dyn FnOnce(Outcome) + Send>)) -> Receiver<Outcome> {
    let (answer, result) = crossbeam_channel::bounded(1);
    call(Box::new(move |outcome| drop(answer.send(outcome))));
    result
}

fn append(log: &GroupLog, index: u64) -> Receiver<Outcome> {
    let entry = LogEntry { index, term: 1, payload: vec![Bytes::from(vec![7; 400])] };
    begin(|done| log.append(vec![entry], done))
}

/// A device with a group that has applied its `entries` entries.
fn device(entries: u64) -> (SimDisk, MemIndex, Engine) {
    let (disk, index) = (SimDisk::new(), MemIndex::default());
    let (engine, _) = open(&disk, &index, config()).unwrap();
    let (log, state) = (engine.group_log(GROUP), engine.group_state(GROUP));
    for index in 1..=entries {
        append(&log, index).recv().unwrap().unwrap();
        let mut batch = StateBatch::new();
        batch.put(b"old", &index.to_be_bytes());
        batch.adopt_inline(BlobId::from_bytes([200; 16]), index, 0, 100);
        batch.applied(index);
        state.write(batch).unwrap();
    }
    wait(engine.checkpoint()).unwrap();
    (disk, index, engine)
}

#[test]
fn a_purge_that_is_not_durable_is_not_in_a_checkpoint() {
    let (disk, index, engine) = device(5);
    let log = engine.group_log(GROUP);
    let stalled = disk.stall();
    let purged = begin(|done| log.purge_to(3, Bytes::from_static(b"mark"), done));
    assert_eq!(log.purged().map(|(index, _)| index), Some(3));
    wait(engine.checkpoint()).unwrap();
    disk.set_fuse(Some(0));
    drop(stalled);
    assert!(purged.recv().unwrap().is_err());
    drop((log, engine));
    disk.crash(0);
    index.crash(u64::MAX);
    let (engine, report) = open(&disk, &index, config()).unwrap();
    assert!(report.damage.is_empty() && report.lost_groups.is_empty(), "{report:?}");
    let log = engine.group_log(GROUP);
    let read = log.read(1, 9, usize::MAX).unwrap();
    assert_eq!((log.purged(), read.len()), (None, 5), "a log must not begin after its purge mark");
    log.purge_to(3, Bytes::from_static(b"mark"), |outcome| outcome.unwrap());
    assert_eq!(append(&log, 6).recv().unwrap().map_err(|error| error.to_string()), Ok(()));
    drop((log, engine));
    let (engine, _) = open(&disk, &index, config()).unwrap();
    let log = engine.group_log(GROUP);
    assert_eq!((log.purged().map(|(index, _)| index), log.last()), (Some(3), Some(6)));
    assert_eq!(log.read(4, 9, usize::MAX).unwrap().len(), 3);
}

#[test]
fn a_truncation_of_everything_that_is_not_durable_is_not_in_a_checkpoint() {
    let (disk, index) = (SimDisk::new(), MemIndex::default());
    let (engine, _) = open(&disk, &index, config()).unwrap();
    let log = engine.group_log(GROUP);
    for index in 1..=2 {
        append(&log, index).recv().unwrap().unwrap();
    }
    wait(engine.checkpoint()).unwrap();
    // No vote, no purge, no state: the group looks as if it were not there.
    let stalled = disk.stall();
    let truncated = begin(|done| log.truncate_from(1, done));
    assert_eq!(log.last(), None);
    wait(engine.checkpoint()).unwrap();
    disk.set_fuse(Some(0));
    drop(stalled);
    assert!(truncated.recv().unwrap().is_err());
    drop((log, engine));
    disk.crash(1);
    index.crash(1);
    let (engine, _) = open(&disk, &index, config()).unwrap();
    assert_eq!(engine.group_log(GROUP).last(), Some(2), "entries that were acknowledged are gone");
}

#[test]
fn whoever_waits_for_an_entry_that_is_truncated_goes_on() {
    let (disk, _index, engine) = device(4);
    let log = engine.group_log(GROUP);
    let stalled = disk.stall();
    let appended = append(&log, 5);
    let (answer, waited) = crossbeam_channel::bounded(1);
    let shared = log.clone();
    let thread = std::thread::spawn(move || answer.send(shared.shared.wait_durable(5)));
    assert!(waited.recv_timeout(Duration::from_millis(50)).is_err(), "the entry is not durable");
    let truncated = begin(|done| log.truncate_from(5, done));
    assert!(waited.recv_timeout(Duration::from_secs(30)).unwrap().is_ok());
    drop(stalled);
    appended.recv().unwrap().unwrap();
    truncated.recv().unwrap().unwrap();
    thread.join().unwrap().unwrap();
}

#[test]
fn nothing_is_taken_for_a_group_that_is_being_removed() {
    let (disk, index, engine) = device(4);
    let log = engine.group_log(GROUP);
    let stalled = disk.stall();
    let shared = engine.clone();
    let thread = std::thread::spawn(move || wait(shared.remove_group(GROUP)));
    while !log.shared.inner.lock().removing {
        std::thread::yield_now();
    }
    assert!(matches!(append(&log, 5).recv().unwrap(), Err(EngineError::Busy)));
    let vote = begin(|done| log.save_vote(Bytes::from_static(b"vote"), done));
    assert!(matches!(vote.recv().unwrap(), Err(EngineError::Busy)));
    drop(stalled);
    thread.join().unwrap().unwrap();
    append(&log, 1).recv().unwrap().unwrap();
    drop((log, engine));
    let (engine, _) = open(&disk, &index, config()).unwrap();
    let log = engine.group_log(GROUP);
    assert_eq!((log.last(), log.vote()), (Some(1), None));
    assert_eq!(engine.group_state(GROUP).status(), StateStatus::Empty);
}

#[test]
fn a_vote_of_any_size_does_not_stop_the_device() {
    let (_disk, _index, engine) = device(1);
    let log = engine.group_log(GROUP);
    let vote = begin(|done| log.save_vote(Bytes::from(vec![0; 1 << 20]), done));
    assert!(matches!(vote.recv().unwrap(), Err(EngineError::TooLarge { .. })));
    append(&log, 2).recv().unwrap().unwrap();
}

/// Replaces the state by one at applied index 20.
async fn install(engine: &Engine) -> Outcome {
    let mut install = engine.group_state(GROUP).install().await?;
    let record = |name: &'static [u8]| (Bytes::from_static(name), Bytes::from_static(b"value"));
    install.put(&[record(b"new 1"), record(b"new 2")])?;
    let bodies = (1..=3).map(|blob| (BlobId::from_bytes([blob; 16]), Bytes::from(vec![blob; 5000])));
    install.put_inline(bodies.collect()).await?;
    install.finish(20).await
}

#[test]
fn an_install_that_is_cut_short_leaves_the_old_the_new_or_a_lost_state() {
    let mut seen = [0; 3];
    for changes in 0..30 {
        for index_seed in [0, 1, 2, u64::MAX] {
            let (disk, index, engine) = device(5);
            disk.set_fuse(Some(changes));
            let outcome = wait(install(&engine));
            disk.set_fuse(Some(0));
            drop(engine);
            disk.crash(changes);
            index.crash(index_seed);
            let (engine, report) = open(&disk, &index, config()).unwrap();
            assert!(report.damage.is_empty(), "{report:?}");
            let state = engine.group_state(GROUP);
            let has = |name: &[u8]| state.get(name).unwrap().is_some();
            match (state.status(), state.applied()) {
                (StateStatus::Ok, 5) => {
                    assert!(outcome.is_err() && has(b"old") && !has(b"new 1"));
                    assert_eq!(wait(engine.read_chunk(key(200, 0), 0..100)).unwrap(), vec![7; 100]);
                    seen[0] += 1;
                }
                (StateStatus::Ok, 20) => {
                    assert!(!has(b"old") && has(b"new 1") && has(b"new 2"));
                    for blob in 1..=3 {
                        let body = wait(engine.read_chunk(key(blob, 0), 0..5000)).unwrap();
                        assert_eq!(body, vec![blob; 5000]);
                    }
                    assert!(engine.chunk_info(key(200, 0)).unwrap().is_none());
                    seen[1] += 1;
                }
                (StateStatus::Lost, _) => {
                    assert!(outcome.is_err() && report.lost_groups == [GROUP]);
                    seen[2] += 1;
                }
                other => panic!("{other:?} after {changes} changes"),
            }
            // Whatever it is, it can be replaced.
            wait(install(&engine)).unwrap();
            assert_eq!(state.status(), StateStatus::Ok);
            assert_eq!(engine.usage().inline_bodies, 3);
        }
    }
    // The loss is flushed first of all, so the old state is seen only if that flush is lost too.
    assert!(seen[1] > 0 && seen[2] > 0, "{seen:?}");
}

/// Puts chunks until the device takes no more.
fn fill(engine: &Engine) -> u32 {
    for number in 0..10_000_u32 {
        let body = vec![Bytes::from(vec![number.to_le_bytes()[0]; 3000])];
        match wait(engine.put_chunk(key(9, number), body, IoClass::Client)) {
            Ok(()) => {}
            Err(EngineError::NoSpace) => return number,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the device is never full");
}

#[test]
fn a_full_device_takes_deletes_and_logs_and_comes_back() {
    let (disk, index) = (SimDisk::new(), MemIndex::default());
    let with_reserve = EngineConfig { reserve_bytes: 4 * EXTENT_BYTES, ..config() };
    disk.set_free(Some(12 * EXTENT_BYTES));
    let (engine, _) = open(&disk, &index, with_reserve.clone()).unwrap();
    let stored = fill(&engine);
    assert!(stored > 10, "{stored}");
    assert_eq!(engine.health(), Health::Full);
    let repair = wait(engine.put_chunk(key(8, 0), vec![Bytes::from_static(b"x")], IoClass::Background));
    assert!(matches!(repair, Err(EngineError::NoSpace)));
    drop(engine);
    let (engine, report) = open(&disk, &index, with_reserve).unwrap();
    assert!(report.damage.is_empty());
    assert_eq!(engine.usage().chunks, u64::from(stored));
    let log = engine.group_log(GROUP);
    for index in 1..=20 {
        append(&log, index).recv().unwrap().unwrap();
    }
    for number in 0..stored {
        wait(engine.drop_chunk(key(9, number))).unwrap();
    }
    while wait(engine.compact_step()).unwrap() > 0 {}
    assert_eq!((engine.health(), engine.usage().chunks), (Health::InService, 0));
    assert!(fill(&engine) >= stored - 6, "the space of what was deleted comes back");
}

#[test]
fn a_file_system_without_any_space_refuses_and_breaks_nothing() {
    let (disk, index) = (SimDisk::new(), MemIndex::default());
    let (engine, _) = open(&disk, &index, config()).unwrap();
    wait(engine.put_chunk(key(1, 0), vec![Bytes::from(vec![1; 3000])], IoClass::Client)).unwrap();
    disk.set_free(Some(0));
    // The engine believes that there is space until it asks for more of it.
    let stored = fill(&engine);
    assert!(matches!(
        wait(engine.replace_chunk(key(2, 0), vec![Bytes::from(vec![1; 9000])])),
        Err(EngineError::NoSpace)
    ));
    assert_eq!(engine.health(), Health::Full);
    assert_eq!(engine.usage().chunks, u64::from(stored) + 1);
    for number in 0..stored {
        let body = wait(engine.read_chunk(key(9, number), 0..3000)).unwrap();
        assert_eq!(body, vec![number.to_le_bytes()[0]; 3000]);
    }
    drop(engine);
    let (engine, report) = open(&disk, &index, config()).unwrap();
    assert!(report.damage.is_empty() && report.replayed >= u64::from(stored), "{report:?}");
    assert_eq!(engine.usage().chunks, u64::from(stored) + 1);
    disk.set_free(None);
    wait(engine.checkpoint()).unwrap();
    assert_eq!(engine.health(), Health::InService);
    wait(engine.put_chunk(key(3, 0), vec![Bytes::from(vec![3; 9000])], IoClass::Client)).unwrap();
}

#[test]
fn an_inline_body_is_repaired_only_while_its_group_has_it() {
    let (disk, _index, engine) = device(3);
    let good = vec![Bytes::from(vec![7; 100])];
    wait(engine.replace_chunk(key(200, 0), good.clone())).unwrap();
    assert_eq!(wait(engine.read_chunk(key(200, 0), 0..100)).unwrap(), vec![7; 100]);
    // The repair waits for the disk while the group releases the body.
    let stalled = disk.stall();
    let repaired = begin(|done| {
        engine.inner().submit(Request::Put(Box::new(Put {
            key: key(200, 0),
            owner: Owner::Inline(GROUP),
            mode: PutMode::Replace,
            table: chunk::table(&key(200, 0), &good[0]),
            body_len: 100,
            body: good,
            done,
        })));
    });
    let mut batch = StateBatch::new();
    batch.release_inline(key(200, 0).blob);
    engine.group_state(GROUP).write(batch).unwrap();
    drop(stalled);
    repaired.recv().unwrap().unwrap();
    assert!(engine.chunk_info(key(200, 0)).unwrap().is_none(), "what was released does not come back");
    assert_eq!(engine.usage().inline_bodies, 0);
}

/// The writer serves nobody else while it moves records, so it is given few at once.
#[test]
fn small_records_are_moved_in_small_lots() {
    let (disk, index) = (SimDisk::new(), MemIndex::default());
    let (engine, _) = open(&disk, &index, EngineConfig { extent_bytes: 1 << 20, ..config() }).unwrap();
    let records: u32 = 1300;
    for number in 0..records {
        let body = vec![Bytes::from(number.to_le_bytes().to_vec())];
        wait(engine.put_chunk(key(1, number), body, IoClass::Client)).unwrap();
    }
    let (id, extent) = engine.inner().extents.all().into_iter().next().unwrap();
    let (left, most) = crate::compact::left_over(engine.inner(), id, &extent).unwrap();
    assert!(left < most && most <= 1000, "{left} of {records} in one lot");
    assert_eq!(engine.usage().chunks, u64::from(records));
}
