//! Flipped bits, lost files, disks that cannot read or sync: never a wrong byte, never a panic, and damage has a name.

#![allow(clippy::cast_possible_truncation, reason = "what is drawn is small")]

use super::scenario::cases;
use super::{config, open, wait};
use crate::disk::SyncPoint;
use crate::disk::sim::{Draw, SimDisk};
use crate::format::file::EXTENT_HEADER_LEN;
use crate::format::{Kind, Salt};
use crate::index::mem::MemIndex;
use crate::scan::{Rule, Scan};
use crate::{Engine, EngineError, Health, IoClass, LogEntry, OpenReport, StateBatch, StateStatus};
use bytes::Bytes;
use proptest::prelude::*;
use ringfort_core::{BlobId, ChunkKey, GroupId};
use std::collections::BTreeMap;

const GROUP: GroupId = GroupId(7);
const ENTRIES: u64 = 10;
/// Entries that are applied.
const APPLIED: u64 = 9;
/// Entries that are purged; their inline bodies stay.
const PURGED: u64 = 3;

fn body(seed: u64, len: usize) -> Bytes {
    let mut draw = Draw(seed);
    (0..len).map(|_| draw.next() as u8).collect::<Vec<_>>().into()
}

fn key(blob: u8, number: u32) -> ChunkKey {
    ChunkKey { blob: BlobId::from_bytes([blob; 16]), number, fragment: 0 }
}

fn inline(index: u64) -> ChunkKey {
    key(100 + index as u8, 0)
}

fn entry(index: u64) -> Bytes {
    body(1000 + index, 700)
}

fn told<T>(call: impl FnOnce(Box<dyn FnOnce(T) + Send>)) -> T
where
    T: Send + 'static,
{
    let (answer, result) = crossbeam_channel::bounded(1);
    call(Box::new(move |outcome| drop(answer.send(outcome))));
    result.recv().expect("the engine answers")
}

/// A device that was stopped cleanly, and what is on it.
struct Device {
    files: BTreeMap<String, Vec<u8>>,
    index: MemIndex,
    chunks: BTreeMap<ChunkKey, Option<Bytes>>,
}

/// Chunks, some deleted, one replaced; a group with a vote, entries, a purge, a state and inline bodies; compacted.
fn device(flushed_at_the_end: bool) -> Device {
    let (disk, index) = (SimDisk::new(), MemIndex::default());
    let (engine, _) = open(&disk, &index, config()).unwrap();
    let mut chunks = BTreeMap::new();
    let log = engine.group_log(GROUP);
    let state = engine.group_state(GROUP);
    told(|done| log.save_vote(Bytes::from_static(b"an old vote"), done)).unwrap();
    for round in 0..3_u8 {
        for number in 0..3_u32 {
            let (key, body) =
                (key(round * 3 + 1, number), body(u64::from(round) * 10 + u64::from(number), 5000));
            wait(engine.put_chunk(key, vec![body.clone()], IoClass::Client)).unwrap();
            chunks.insert(key, Some(body));
            let index = u64::from(round) * 3 + u64::from(number) + 1;
            let append = LogEntry { index, term: 1, payload: vec![entry(index)] };
            told(|done| log.append(vec![append], done)).unwrap();
            let mut batch = StateBatch::new();
            batch.put(&index.to_be_bytes(), b"value");
            batch.adopt_inline(inline(index).blob, index, 100, 500);
            batch.applied(index);
            state.write(batch).unwrap();
        }
    }
    wait(engine.delete_blob(key(1, 0).blob)).unwrap();
    wait(engine.drop_chunk(key(4, 1))).unwrap();
    wait(engine.replace_chunk(key(7, 0), vec![body(20, 5000)])).unwrap();
    for gone in [key(1, 0), key(1, 1), key(1, 2), key(4, 1)] {
        chunks.insert(gone, None);
    }
    wait(engine.checkpoint()).unwrap();
    told(|done| log.purge_to(PURGED, Bytes::from_static(b"mark"), done)).unwrap();
    let before = engine.usage().extents;
    let mut steps = 0;
    while wait(engine.compact_step()).unwrap() > 0 {
        steps += 1;
    }
    assert!(steps > 0 && before > 3, "the device has to have seen compaction");
    // After the last checkpoint.
    told(|done| log.save_vote(Bytes::from_static(b"vote"), done)).unwrap();
    let last = LogEntry { index: ENTRIES, term: 1, payload: vec![entry(ENTRIES)] };
    told(|done| log.append(vec![last], done)).unwrap();
    if flushed_at_the_end {
        engine.close();
    }
    drop((log, state, engine));
    if !flushed_at_the_end {
        index.crash(0);
    }
    Device { files: disk.contents(), index, chunks }
}

impl Device {
    fn disk(&self) -> SimDisk {
        SimDisk::with(&self.files)
    }

    /// Compares; says whether anything was missing, and panics if anything was wrong or missing in silence.
    fn compare(&self, engine: &Engine, report: &OpenReport) -> bool {
        let noted = !report.damage.is_empty();
        let mut missing = false;
        for (key, expected) in &self.chunks {
            let len = expected.as_ref().map_or(1, Bytes::len) as u32;
            match (wait(engine.read_chunk(*key, 0..len)), expected) {
                (Ok(read), Some(expected)) => assert_eq!(read, expected, "{key:?}"),
                (Err(EngineError::ChunkNotFound { .. }), None) => {}
                (Err(EngineError::ChunkNotFound { .. }), Some(_)) => {
                    assert!(noted, "{key:?} is gone in silence");
                    missing = true;
                }
                (Err(EngineError::Corrupt { .. }), Some(expected)) => {
                    missing = true;
                    assert!(wait(engine.verify_chunk(*key)).is_err());
                    wait(engine.replace_chunk(*key, vec![expected.clone()])).unwrap();
                    assert_eq!(wait(engine.read_chunk(*key, 0..len)).unwrap(), expected, "repaired {key:?}");
                }
                // A delete whose record is damaged is undone by a rebuild, which is told of.
                (Ok(_) | Err(EngineError::Corrupt { .. }), None) => {
                    assert!(noted, "{key:?} is back in silence");
                    missing = true;
                }
                (Err(error), _) => panic!("{key:?}: {error}"),
            }
        }
        missing | self.compare_group(engine, report)
    }

    fn compare_group(&self, engine: &Engine, report: &OpenReport) -> bool {
        let (log, state) = (engine.group_log(GROUP), engine.group_state(GROUP));
        let lost = state.status() == StateStatus::Lost;
        assert_eq!(lost, report.lost_groups.contains(&GROUP));
        let mut missing = lost;
        if !lost {
            assert_eq!(log.vote().as_deref(), Some(b"vote".as_slice()), "a voter that goes on has its vote");
            assert_eq!(log.purged().map(|(index, _)| index), Some(PURGED));
            assert_eq!(log.last(), Some(ENTRIES));
            assert_eq!(
                (state.applied(), state.get(&1_u64.to_be_bytes()).unwrap().is_some()),
                (APPLIED, true)
            );
        }
        for index in PURGED + 1..=ENTRIES {
            match log.read(index, index + 1, usize::MAX) {
                Ok(read) if read.is_empty() => assert!(lost, "entry {index} is gone in silence"),
                Ok(read) => assert_eq!(read, vec![(index, entry(index))]),
                Err(EngineError::LogDamaged { .. }) => missing = true,
                Err(error) => panic!("entry {index}: {error}"),
            }
        }
        for index in (1..=APPLIED).filter(|_| !lost) {
            match wait(engine.read_chunk(inline(index), 0..500)) {
                Ok(read) => assert_eq!(read, entry(index).slice(100..600)),
                Err(EngineError::Corrupt { .. }) => {
                    missing = true;
                    let good = entry(index).slice(100..600);
                    wait(engine.replace_chunk(inline(index), vec![good.clone()])).unwrap();
                    assert_eq!(wait(engine.read_chunk(inline(index), 0..500)).unwrap(), good);
                }
                Err(error) => panic!("inline {index}: {error}"),
            }
        }
        missing
    }

    /// Where each record of the log is: extent file, offset, kind, group, footprint.
    fn records(&self) -> Vec<(String, u32, Kind, u64)> {
        let disk = self.disk();
        let format = crate::format::file::decode_format(&self.files["FORMAT"]).unwrap();
        let mut out = Vec::new();
        for (name, bytes) in self.files.iter().filter(|(name, _)| name.ends_with(".extent")) {
            let file = crate::disk::Disk::open(&disk, name).unwrap();
            let salt = Salt { log: format, extent: crate::extents::id_of(name).unwrap() };
            let rule = Rule { complete: false, synced: 0, bodies: false };
            Scan::new(file.as_ref(), salt, bytes.len() as u64)
                .walk(EXTENT_HEADER_LEN, rule, &mut |found| {
                    if let Ok(found) = found {
                        out.push((name.clone(), found.offset, found.header.kind, found.header.footprint()));
                    }
                    Ok(())
                })
                .unwrap();
        }
        out
    }

    /// The last record of a kind.
    fn last(&self, kind: Kind) -> (String, u32) {
        let record = self.records().into_iter().rev().find(|record| record.2 == kind).unwrap();
        (record.0, record.1)
    }
}

/// Opens, compares, and opens once more: the second time finds nothing new that is missing, repaired chunks above all.
fn check(device: &Device, disk: &SimDisk, index: &MemIndex) -> (OpenReport, bool) {
    let (engine, report) = open(disk, index, config()).unwrap();
    let missing = device.compare(&engine, &report);
    engine.close();
    drop(engine);
    let (engine, again) = open(disk, index, config()).unwrap();
    for (key, expected) in &device.chunks {
        if let (Some(expected), Ok(Some(info))) = (expected, engine.chunk_info(*key))
            && report.damage.is_empty()
        {
            assert_eq!(wait(engine.read_chunk(*key, 0..info.len)).unwrap(), expected, "{again:?}");
        }
    }
    (report, missing)
}

#[test]
fn a_whole_device_compares_clean() {
    for flushed in [true, false] {
        let device = device(flushed);
        let (report, missing) = check(&device, &device.disk(), &device.index.copy());
        assert!(!missing && report.damage.is_empty() && !report.index_rebuilt, "{report:?}");
    }
}

#[test]
fn a_lost_index_is_rebuilt_with_every_chunk_and_every_delete() {
    let device = device(true);
    let (disk, index) = (device.disk(), MemIndex::default());
    let (engine, report) = open(&disk, &index, config()).unwrap();
    assert!(report.index_rebuilt && report.damage.is_empty(), "{report:?}");
    assert_eq!(report.lost_groups, vec![GROUP]);
    assert!(device.compare(&engine, &report), "the group's state was lost with the index");
    // What the log has of the group is kept for whoever restores it.
    let log = engine.group_log(GROUP);
    assert_eq!((log.vote().as_deref(), log.last()), (Some(b"vote".as_slice()), Some(ENTRIES)));
    assert_eq!(engine.list_chunks(None, 100).unwrap().len(), 5);
    // Deletes stay deleted when their extents are compacted after the rebuild, and the index is lost once more.
    wait(engine.remove_group(GROUP)).unwrap();
    wait(engine.delete_blob(key(4, 0).blob)).unwrap();
    while wait(engine.compact_step()).unwrap() > 0 {}
    engine.close();
    drop(engine);
    let (engine, report) = open(&disk, &MemIndex::default(), config()).unwrap();
    assert!(report.damage.is_empty() && report.lost_groups.is_empty(), "{report:?}");
    assert_eq!(engine.list_chunks(None, 100).unwrap().len(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(60), ..ProptestConfig::default() })]

    #[test]
    fn flipped_bits_never_give_a_wrong_byte(seed: u64, flips in 1..4_u32, lost: bool, flushed: bool) {
        let device = device(flushed);
        let disk = device.disk();
        let mut draw = Draw(seed);
        let names: Vec<_> = device.files.keys().filter(|name| name.ends_with(".extent")).collect();
        for _ in 0..flips {
            let name = names[draw.below(names.len() as u64) as usize];
            disk.flip(name, draw.below(device.files[name].len() as u64 * 8) as usize);
        }
        let index = if lost { MemIndex::default() } else { device.index.copy() };
        check(&device, &disk, &index);
    }
}

#[test]
fn a_flip_in_any_header_is_noticed() {
    let device = device(true);
    for (name, offset, kind, _) in device.records() {
        // What recovery makes anew, or what only helps it, is not missed.
        if matches!(kind, Kind::Mark | Kind::Seal) {
            continue;
        }
        let disk = device.disk();
        disk.flip(&name, (offset as usize + 9) * 8);
        let (report, _) = check(&device, &disk, &MemIndex::default());
        assert!(!report.damage.is_empty(), "{kind:?} in {name} at {offset}");
    }
}

#[test]
fn a_damaged_format_file_is_refused() {
    let device = device(true);
    for bit in 0..device.files["FORMAT"].len() * 8 {
        let disk = device.disk();
        disk.flip("FORMAT", bit);
        let opened = open(&disk, &device.index.copy(), config());
        assert!(matches!(opened, Err(EngineError::BadHeader { .. })), "bit {bit}");
    }
}

#[test]
fn a_damaged_vote_makes_the_voter_abstain() {
    let device = device(false);
    let (name, offset) = device.last(Kind::Vote);
    let disk = device.disk();
    // In the payload, so that it is known whose it is.
    disk.flip(&name, (offset as usize + 57) * 8);
    let (report, missing) = check(&device, &disk, &device.index.copy());
    assert!(missing);
    assert_eq!(report.lost_groups, vec![GROUP]);
    assert!(report.damage.iter().any(|damage| damage.group == Some(GROUP) && damage.offset == offset));
}

#[test]
fn a_damaged_entry_makes_the_voter_abstain_or_is_told_by_its_read() {
    for flushed in [false, true] {
        let device = device(flushed);
        let (name, offset) = device.last(Kind::Entry);
        let disk = device.disk();
        disk.flip(&name, (offset as usize + 60) * 8);
        let (report, missing) = check(&device, &disk, &device.index.copy());
        assert!(missing, "{report:?}");
    }
}

#[test]
fn a_lost_extent_is_damage_and_not_the_end_of_the_log() {
    for lost in [true, false] {
        let device = device(true);
        let names: Vec<_> = device.files.keys().filter(|name| name.ends_with(".extent")).cloned().collect();
        for name in &names {
            let mut files = device.files.clone();
            files.remove(name);
            let disk = SimDisk::with(&files);
            let index = if lost { MemIndex::default() } else { device.index.copy() };
            let (engine, report) = open(&disk, &index, config()).unwrap();
            if !lost {
                assert!(!report.damage.is_empty(), "{name} is missed by nobody");
                device.compare(&engine, &report);
            }
        }
    }
}

#[test]
fn what_cannot_be_read_is_damage_that_can_be_repaired() {
    let device = device(true);
    let (disk, index) = (device.disk(), device.index.copy());
    let (engine, report) = open(&disk, &index, config()).unwrap();
    let entry = engine.inner().chunk_entry(&key(4, 0)).unwrap().unwrap();
    let name = crate::extents::name(entry.extent);
    disk.set_unreadable(&name, u64::from(entry.body_offset)..u64::from(entry.body_offset) + 512);
    let read = wait(engine.read_chunk(key(4, 0), 0..4096));
    assert!(matches!(read, Err(EngineError::Corrupt { .. })), "{read:?}");
    // Only what was asked for is read.
    assert_eq!(wait(engine.read_chunk(key(4, 0), 4096..5000)).unwrap(), body(10, 5000).slice(4096..));
    assert!(device.compare(&engine, &report));
}

#[test]
fn an_unreadable_sector_does_not_keep_a_device_from_opening() {
    let device = device(false);
    let newest = device.files.keys().rfind(|name| name.ends_with(".extent")).unwrap().clone();
    for (name, offset, _, footprint) in device.records() {
        for lost in [true, false] {
            let disk = device.disk();
            disk.set_unreadable(&name, u64::from(offset)..u64::from(offset) + footprint.min(512));
            let index = if lost { MemIndex::default() } else { device.index.copy() };
            match open(&disk, &index, config()) {
                Ok((engine, report)) => {
                    device.compare(&engine, &report);
                }
                // At the end of the log nobody knows what was there: better not to open than to cut it off.
                Err(EngineError::Io { .. }) => assert_eq!(name, newest),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn a_failed_sync_is_final() {
    for point in [SyncPoint::LogBatch, SyncPoint::ExtentSeal, SyncPoint::ExtentHeader, SyncPoint::ExtentName]
    {
        let (disk, index) = (SimDisk::new(), MemIndex::default());
        let (engine, _) = open(&disk, &index, config()).unwrap();
        wait(engine.put_chunk(key(1, 0), vec![body(1, 3000)], IoClass::Client)).unwrap();
        disk.fail_sync(Some(point));
        let mut outcome = Ok(());
        for number in 1..20 {
            outcome = wait(engine.put_chunk(key(1, number), vec![body(1, 3000)], IoClass::Client));
            if outcome.is_err() {
                break;
            }
        }
        assert!(outcome.is_err(), "{point:?}");
        disk.fail_sync(None);
        let syncs = disk.syncs(point);
        let again = wait(engine.put_chunk(key(2, 0), vec![body(2, 10)], IoClass::Client));
        assert!(matches!(again, Err(EngineError::Failed { .. })), "{again:?}");
        assert!(matches!(wait(engine.checkpoint()), Err(EngineError::Failed { .. })));
        assert!(matches!(engine.health(), Health::Failed { .. }));
        assert_eq!(disk.syncs(point), syncs, "a failed sync is not tried again");
    }
}
