//! What version 1 of every format is, byte for byte: the files under `tests/golden/v1` are kept for ever, and a program that
//! cannot read them, or writes them otherwise, has changed a format.

use super::{config, open, wait};
use crate::disk::sim::SimDisk;
use crate::engine::Inner;
use crate::extents::Extents;
use crate::format::file::{EXTENT_HEADER_LEN, decode_extent, decode_format, encode_extent, encode_format};
use crate::format::raft::{Mark, RaftTable, Slot};
use crate::format::{ChunkEntry, ChunkMeta, Kind, Owner, Pos, Salt, Target, Tomb, chunk};
use crate::index::keys::{self, Account, Covered, GroupRecord};
use crate::index::mem::MemIndex;
use crate::queue::{Done, Move, Pending, Put, PutMode, Request};
use crate::scan::{Rule, Scan};
use crate::writer::Writer;
use bytes::Bytes;
use ringfort_core::{BlobId, ChunkKey, GroupId};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

const LOG: u64 = 0x1122_3344_5566_7788;

fn folder() -> PathBuf {
    [std::env::var("CARGO_MANIFEST_DIR").unwrap().as_str(), "tests", "golden", "v1"].iter().collect()
}

fn key(blob: u8, number: u32, fragment: u8) -> ChunkKey {
    ChunkKey { blob: BlobId::from_bytes([blob; 16]), number, fragment }
}

fn body(seed: u8, len: usize) -> Bytes {
    (0..len).map(|at| seed.wrapping_add((at % 251).try_into().unwrap())).collect::<Vec<_>>().into()
}

fn done() -> Done {
    Box::new(|outcome| outcome.unwrap())
}

fn put(key: ChunkKey, owner: Option<GroupId>, body: Bytes) -> Request {
    let owner = owner.map_or_else(|| Owner::Chunk(*blake3::hash(&body).as_bytes()), Owner::Inline);
    Request::Put(Box::new(Put {
        key,
        owner,
        mode: PutMode::Install,
        table: chunk::table(&key, &body),
        body_len: body.len().try_into().unwrap(),
        body: vec![body],
        done: done(),
    }))
}

/// The log of a device that has seen every kind of record. The writer is driven by hand: what a thread writes depends on time.
fn written() -> BTreeMap<String, Vec<u8>> {
    let disk = SimDisk::with(&BTreeMap::from([("FORMAT".to_owned(), encode_format(LOG))]));
    let config = config();
    let extents = Extents::new(Arc::new(disk.clone()), LOG, config.extent_bytes);
    let inner = Arc::new(Inner::new(config, LOG, extents, Box::new(MemIndex::default())));
    let mut writer = Writer::new(Arc::clone(&inner), 1);
    let (one, two) = (inner.group(GroupId(1)), inner.group(GroupId(2)));
    let entry = |index, payload| Pending { index, term: 3, ticket: index, payload };
    let mark = |group, kind, index, bytes: &'static [u8]| Request::Mark {
        group,
        kind,
        index,
        bytes: Bytes::from_static(bytes),
        done: done(),
    };
    writer.commit(
        [
            put(key(1, 0, 0), None, body(1, 5000)),
            put(key(2, 7, 3), None, Bytes::new()),
            put(key(3, 0, 0), Some(GroupId(1)), body(3, 100)),
            mark(Arc::clone(&one), Kind::Vote, 0, b"vote"),
            Request::Append {
                group: Arc::clone(&one),
                entries: vec![entry(5, body(4, 33)), entry(6, body(5, 8)), entry(7, Bytes::new())],
                done: done(),
            },
            mark(Arc::clone(&one), Kind::Truncate, 7, b""),
            mark(Arc::clone(&one), Kind::Purge, 5, b"purged"),
            Request::Append { group: Arc::clone(&two), entries: vec![entry(1, body(6, 5))], done: done() },
        ]
        .into_iter(),
    );
    writer.mark();
    writer.commit(
        [
            Request::Delete { target: Target::Piece(key(2, 7, 3)), done: done() },
            Request::RemoveGroup { group: two, done: done() },
            put(key(4, 0, 0), None, body(7, 3000)),
            put(key(4, 1, 0), None, body(8, 3000)),
        ]
        .into_iter(),
    );
    writer.commit([Request::Delete { target: Target::Blob(key(4, 0, 0).blob), done: done() }].into_iter());
    // Into the next extent, and a chunk of the first one after it.
    writer.commit([put(key(5, 0, 0), None, body(9, 4097))].into_iter());
    let entry = inner.chunk_entry(&key(1, 0, 0)).unwrap().unwrap();
    let moved =
        Move::Body { key: key(1, 0, 0), entry: entry.clone(), table: entry.table, body: body(1, 5000) };
    writer.commit([Request::Move { items: vec![moved], done: done() }].into_iter());
    writer.mark();
    disk.contents()
}

/// Values of the index, by name.
fn values() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("chunk_entry", chunk_entry().encode()),
        ("inline_entry", inline_entry().encode()),
        ("tomb", tomb().encode()),
        ("raft_table", raft_table().encode()),
        ("empty_raft_table", RaftTable::default().encode()),
        ("covered", covered().encode()),
        ("account", Account { live: 1 << 33, tombs: 5 }.encode()),
        ("group_record", GroupRecord { lost: true, applied: 77 }.encode()),
        ("pos", keys::encode_pos(Pos { extent: 9, offset: 4096 })),
        ("format_file", encode_format(LOG)),
        ("extent_header", encode_extent(LOG, 258)),
        ("tomb_key", keys::tomb(&Target::Piece(key(2, 7, 3)))),
        ("inline_key", keys::inline(3, 4096)),
        ("state_key", keys::state(GroupId(6), b"key")),
    ]
}

fn chunk_entry() -> ChunkEntry {
    ChunkEntry {
        owner: Owner::Chunk([0xab; 32]),
        sequence: 1 << 40,
        extent: 3,
        body_offset: 4200,
        body_len: 5000,
        footprint: 5128,
        older: vec![1, 2],
        table: vec![0xdead_beef, 7],
    }
}

fn inline_entry() -> ChunkEntry {
    ChunkEntry { owner: Owner::Inline(GroupId(6)), older: Vec::new(), table: vec![1], ..chunk_entry() }
}

fn tomb() -> Tomb {
    Tomb { sequence: 12, extent: 4, offset: 64, hidden: vec![1, 1 << 33] }
}

fn raft_table() -> RaftTable {
    let mark = |sequence, bytes: &'static [u8]| {
        let pos = Pos { extent: 2, offset: 128 };
        Some(Mark { sequence, pos, index: 9, bytes: Bytes::from_static(bytes) })
    };
    RaftTable {
        vote: mark(1, b"vote"),
        purge: mark(2, b"mark"),
        truncate: None,
        removal: mark(4, b""),
        committed: Some(Bytes::from_static(b"committed")),
        first: 10,
        slots: vec![Slot { sequence: 3, pos: Pos { extent: 2, offset: 256 }, length: 4096 }],
    }
}

fn covered() -> Covered {
    Covered { pos: Pos { extent: 8, offset: 640 }, next_sequence: 99, chunks: 3, inline_bodies: 4 }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").unwrap();
        out
    })
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn golden_values() -> BTreeMap<String, Vec<u8>> {
    let text = std::fs::read_to_string(folder().join("values.txt")).unwrap();
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, hex)| (name.to_owned(), unhex(hex)))
        .collect()
}

fn golden_log() -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(folder().join("log")).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap()))
        .collect()
}

#[test]
#[ignore = "writes what is missing of the golden files of a new version; what is there is never written again"]
fn write_golden_files() {
    std::fs::create_dir_all(folder().join("log")).unwrap();
    let lines: String = values().iter().map(|(name, value)| format!("{name} {}\n", hex(value))).collect();
    let mut files = vec![(folder().join("values.txt"), lines.into_bytes())];
    files.extend(written().into_iter().map(|(name, bytes)| (folder().join("log").join(name), bytes)));
    for (path, bytes) in files.into_iter().filter(|(path, _)| !path.exists()) {
        std::fs::write(path, bytes).unwrap();
    }
}

#[test]
fn values_of_version_1_are_written_alike() {
    let written: BTreeMap<String, Vec<u8>> =
        values().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    assert_eq!(written, golden_values());
}

#[test]
fn values_of_version_1_are_read() {
    let golden = golden_values();
    let bytes = |name: &str| golden[name].as_slice();
    assert_eq!(ChunkEntry::decode(bytes("chunk_entry")), Some(chunk_entry()));
    assert_eq!(ChunkEntry::decode(bytes("inline_entry")), Some(inline_entry()));
    assert_eq!(Tomb::decode(bytes("tomb")), Some(tomb()));
    assert_eq!(RaftTable::decode(bytes("raft_table")), Some(raft_table()));
    assert_eq!(RaftTable::decode(bytes("empty_raft_table")), Some(RaftTable::default()));
    assert_eq!(Covered::decode(bytes("covered")), Some(covered()));
    assert_eq!(Account::decode(bytes("account")), Some(Account { live: 1 << 33, tombs: 5 }));
    assert_eq!(GroupRecord::decode(bytes("group_record")), Some(GroupRecord { lost: true, applied: 77 }));
    assert_eq!(keys::decode_pos(bytes("pos")), Some(Pos { extent: 9, offset: 4096 }));
    assert_eq!(decode_format(bytes("format_file")), Ok(LOG));
    assert_eq!(decode_extent(bytes("extent_header")), Ok((LOG, 258)));
    assert_eq!(Target::decode(&bytes("tomb_key")[1..]), Some(Target::Piece(key(2, 7, 3))));
}

#[test]
fn the_log_of_version_1_is_written_alike() {
    let (written, golden) = (written(), golden_log());
    assert_eq!(written.keys().collect::<Vec<_>>(), golden.keys().collect::<Vec<_>>());
    for (name, bytes) in &written {
        let differs = bytes.iter().zip(&golden[name]).position(|(one, other)| one != other);
        assert_eq!((differs, bytes.len()), (None, golden[name].len()), "{name}");
    }
}

/// Kind, sequence, group, index, term, flags and payload length of a record.
type Fields = (Kind, u64, u32, u64, u64, u32, u32);

#[test]
fn records_of_version_1_decode_to_these_values() {
    let golden = golden_log();
    let disk = SimDisk::with(&golden);
    let mut found: Vec<Fields> = Vec::new();
    let mut keys = Vec::new();
    for name in golden.keys().filter(|name| name.ends_with(".extent")) {
        let file = crate::disk::Disk::open(&disk, name).unwrap();
        let salt = Salt { log: LOG, extent: crate::extents::id_of(name).unwrap() };
        let rule = Rule { complete: false, synced: 0, bodies: true };
        let size = golden[name].len() as u64;
        Scan::new(file.as_ref(), salt, size)
            .walk(EXTENT_HEADER_LEN, rule, &mut |record| {
                let record = record.unwrap();
                let header = record.header;
                let (group, index, term) = (header.group, header.index, header.term);
                found.push((header.kind, header.sequence, group, index, term, header.flags, header.length));
                if header.kind.has_body() {
                    let meta = ChunkMeta::decode(record.payload).unwrap();
                    keys.push((meta.key, meta.body_len));
                    assert_eq!(meta.blake3 == [0; 32], header.kind == Kind::Inline);
                }
                Ok(())
            })
            .unwrap();
    }
    let expected: Vec<Fields> = vec![
        (Kind::Chunk, 1, 0, 0, 0, 0, 5072),
        (Kind::Chunk, 2, 0, 0, 0, 0, 64),
        (Kind::Inline, 3, 1, 0, 0, 0, 168),
        (Kind::Vote, 4, 1, 0, 0, 0, 4),
        (Kind::Entry, 5, 1, 5, 3, 0, 33),
        (Kind::Entry, 6, 1, 6, 3, 0, 8),
        (Kind::Entry, 7, 1, 7, 3, 0, 0),
        (Kind::Truncate, 8, 1, 7, 0, 0, 0),
        (Kind::Purge, 9, 1, 5, 0, 0, 6),
        (Kind::Entry, 10, 2, 1, 3, 0, 5),
        (Kind::Mark, 0, 0, 0, 0, 0, 0),
        (Kind::Delete, 11, 0, 0, 0, 0, 21),
        (Kind::RemoveGroup, 12, 2, 0, 0, 0, 0),
        (Kind::Chunk, 13, 0, 0, 0, 0, 3068),
        (Kind::Chunk, 14, 0, 0, 0, 0, 3068),
        (Kind::Delete, 15, 0, 0, 0, 0, 16),
        (Kind::Chunk, 16, 0, 0, 0, 0, 4169),
        (Kind::Chunk, 1, 0, 0, 0, 1, 5072),
        (Kind::Mark, 0, 0, 0, 0, 0, 0),
    ];
    assert_eq!(found, expected);
    let bodies = [
        (key(1, 0, 0), 5000),
        (key(2, 7, 3), 0),
        (key(3, 0, 0), 100),
        (key(4, 0, 0), 3000),
        (key(4, 1, 0), 3000),
        (key(5, 0, 0), 4097),
        (key(1, 0, 0), 5000),
    ];
    assert_eq!(keys, bodies);
}

#[test]
fn a_device_of_version_1_opens() {
    let disk = SimDisk::with(&golden_log());
    let (engine, report) = open(&disk, &MemIndex::default(), config()).unwrap();
    assert!(report.damage.is_empty() && report.index_rebuilt, "{report:?}");
    let chunks = engine.list_chunks(None, 100).unwrap();
    assert_eq!(chunks.iter().map(|(key, _)| *key).collect::<Vec<_>>(), vec![key(1, 0, 0), key(5, 0, 0)]);
    assert_eq!(wait(engine.read_chunk(key(1, 0, 0), 0..5000)).unwrap(), body(1, 5000));
    assert_eq!(wait(engine.read_chunk(key(5, 0, 0), 4000..4097)).unwrap(), body(9, 4097).slice(4000..));
    assert_eq!(engine.groups(), vec![GroupId(1)]);
    let log = engine.group_log(GroupId(1));
    assert_eq!(log.vote().as_deref(), Some(b"vote".as_slice()));
    assert_eq!(log.purged(), Some((5, Bytes::from_static(b"purged"))));
    assert_eq!(log.read(6, 9, 1 << 20).unwrap(), vec![(6, body(5, 8))]);
}
