//! Entry points for fuzzing from outside of this crate (feature `fuzzing`): every decoder of what a device holds takes any
//! bytes and must not panic. What decodes must come back the same from its encoded form.

#![allow(missing_docs, reason = "one function per decoder, named after it")]
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a broken property has to stop the fuzzer")]

use crate::disk::sim::SimDisk;
use crate::format::file::{EXTENT_HEADER_LEN, decode_extent, decode_format, encode_extent, encode_format};
use crate::format::raft::RaftTable;
use crate::format::record::{MAGIC, reseal};
use crate::format::{ChunkEntry, ChunkMeta, Decoded, HEADER_LEN, RecordHeader, Salt, Target, Tomb};
use crate::index::Index;
use crate::index::keys::{self, Account, Covered, GroupRecord};
use crate::index::mem::MemIndex;
use crate::scan::{Rule, Scan};
use crate::{EngineConfig, EngineError};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The log and extent whose salt all images have.
const SALT: Salt = Salt { log: 1, extent: 1 };
/// Images are cut to this: a small extent.
const IMAGE_MAX: usize = 64 << 10;

/// A record header that stands at the offset in the first four bytes.
pub fn record_header(data: &[u8]) {
    let Some((offset, bytes)) = data.split_first_chunk::<4>() else { return };
    let offset = u32::from_le_bytes(*offset);
    let mut bytes = bytes.to_vec();
    let _unsealed = RecordHeader::decode(SALT, offset, &bytes);
    reseal(SALT, offset, &mut bytes);
    if let Decoded::Record(header) = RecordHeader::decode(SALT, offset, &bytes) {
        let mut again = Vec::new();
        header.encode(SALT, offset, &mut again);
        assert_eq!(again, bytes[..HEADER_LEN]);
    }
}

/// An image of an extent: every record header in it gets a good checksum if the first byte is odd, so that the fields are
/// believed.
pub(crate) fn image(data: &[u8]) -> Option<Vec<u8>> {
    let (first, rest) = data.split_first()?;
    let mut bytes = encode_extent(SALT.log, SALT.extent);
    bytes.extend_from_slice(&rest[..rest.len().min(IMAGE_MAX)]);
    if first & 1 == 1 {
        for at in (EXTENT_HEADER_LEN as usize..bytes.len().saturating_sub(HEADER_LEN)).step_by(8) {
            if &bytes[at..at + MAGIC.len()] == MAGIC {
                let offset = u32::try_from(at).expect("an image is small");
                reseal(SALT, offset, &mut bytes[at..]);
            }
        }
    }
    Some(bytes)
}

/// The walk over the records of an extent, by every rule.
pub fn extent_scan(data: &[u8]) {
    let Some(bytes) = image(data) else { return };
    let name = crate::extents::name(SALT.extent);
    let disk = SimDisk::with(&BTreeMap::from([(name.clone(), bytes.clone())]));
    let file = crate::disk::Disk::open(&disk, &name).expect("it was just put there");
    for complete in [false, true] {
        for (bodies, synced) in [(false, 0), (true, 0), (true, u32::from(data[0]) * 64)] {
            let rule = Rule { complete, synced, bodies };
            let mut at = 0;
            let end = Scan::new(file.as_ref(), SALT, bytes.len() as u64).walk(
                EXTENT_HEADER_LEN,
                rule,
                &mut |found| {
                    let offset = match found {
                        Ok(found) => found.offset,
                        Err((offset, _)) => offset,
                    };
                    assert!(offset >= at, "a walk only goes forward");
                    at = offset;
                    Ok(())
                },
            );
            assert!(!matches!(end, Err(EngineError::Io { .. })), "memory has no faults");
        }
    }
}

/// Opening a device whose log is this one extent, with its index lost: recovery and rebuild of whatever is there. It is opened
/// twice: the second time finds what the first one left.
pub fn recovery(data: &[u8]) {
    let Some(bytes) = image(data) else { return };
    let disk = SimDisk::with(&BTreeMap::from([
        ("FORMAT".to_owned(), encode_format(SALT.log)),
        (crate::extents::name(SALT.extent), bytes),
    ]));
    let index = MemIndex::default();
    let config = EngineConfig {
        background: false,
        worker_threads: 1,
        extent_bytes: IMAGE_MAX as u64,
        ..EngineConfig::small_for_tests()
    };
    for _ in 0..2 {
        let store = index.clone();
        let make = move |wipe: bool| -> Result<Box<dyn Index>, EngineError> {
            if wipe {
                store.wipe();
            }
            Ok(Box::new(store.clone()))
        };
        match crate::open::open_on(Arc::new(disk.clone()), &make, config.clone()) {
            Ok((engine, _)) => engine.close(),
            Err(EngineError::NewerFormat { .. }) => return,
            Err(error) => panic!("a device of any bytes opens: {error}"),
        }
    }
}

pub fn chunk_meta(data: &[u8]) {
    let _whole = ChunkMeta::decode(data);
    if let Some(meta) = ChunkMeta::decode_head(data) {
        let mut again = Vec::new();
        meta.encode(&[], &mut again);
        assert_eq!(ChunkMeta::decode_head(&again), Some(meta));
    }
}

pub fn chunk_entry(data: &[u8]) {
    if let Some(entry) = ChunkEntry::decode(data) {
        assert_eq!(entry.encode(), data);
    }
}

pub fn tomb(data: &[u8]) {
    if let Some(tomb) = Tomb::decode(data) {
        assert_eq!(tomb.encode(), data);
    }
}

/// What a delete record names.
pub fn target(data: &[u8]) {
    if let Some(target) = Target::decode(data) {
        assert_eq!(target.encode(), data);
    }
}

pub fn raft_table(data: &[u8]) {
    if let Some(table) = RaftTable::decode(data) {
        assert_eq!(table.encode(), data);
    }
}

pub fn format_file(data: &[u8]) {
    if let Ok(log) = decode_format(data) {
        let _again = encode_format(log);
    }
}

pub fn extent_header(data: &[u8]) {
    if let Ok((log, extent)) = decode_extent(data) {
        let _again = encode_extent(log, extent);
    }
}

/// The values of the `Meta` family.
pub fn index_keys(data: &[u8]) {
    let _group = keys::group_of(data);
    let _after = keys::after_prefix(data);
    if let Some(covered) = Covered::decode(data) {
        assert_eq!(covered.encode(), data);
    }
    if let Some(account) = Account::decode(data) {
        assert_eq!(account.encode(), data);
    }
    if let Some(record) = GroupRecord::decode(data) {
        assert_eq!(record.encode(), data);
    }
    if let Some(pos) = keys::decode_pos(data) {
        assert_eq!(keys::encode_pos(pos), data);
    }
}

/// A decoder that takes any bytes.
pub type Entry = fn(&[u8]);

/// Every entry point with its name, for tools that run them all.
pub const ALL: [(&str, Entry); 11] = [
    ("record_header", record_header),
    ("extent_scan", extent_scan),
    ("recovery", recovery),
    ("chunk_meta", chunk_meta),
    ("chunk_entry", chunk_entry),
    ("tomb", tomb),
    ("target", target),
    ("raft_table", raft_table),
    ("format_file", format_file),
    ("extent_header", extent_header),
    ("index_keys", index_keys),
];
