//! Where records lie within a slot. A key is a table byte and then, in order (`root` is an incarnation, 8 bytes, and a shard
//! number, 4 bytes; integers are big-endian):
//!
//! ```text
//! 10 container name                        alias: which account holds the name cluster-wide
//! 11 escaped(account) container name       container
//! 12 account                               account: its metadata, and how many containers it has
//! 20 root                                  shard root: seal, versioning, exact counters
//! 21 root key                              current version of a key: what ordinary reads and listings see
//! 22 root escaped(key) !stamp              older versions of a key, newest first
//! 30 blob                                  blob at home here
//! 31 blob referrer                         a referrer of that blob other than its first
//! 32 blob                                  condemned blob: its chunks are to be deleted
//! 33 referrer                              a reference held here to a blob at home elsewhere
//! 34 stamp(8) number(4)                    outbox: a reference to release in another slot
//! 35 expiry(8) root stamp(8) key           expiring version, ordered by time
//! 40 root escaped(key) upload(8)           multipart upload
//! 41 root escaped(key) upload(8) nr(4)     part of an upload
//! 42 root escaped(key) manifest(8) end(8) nr(4)  part of a multipart object, found by the offset it ends at
//! 43 root escaped(key) upload(8)           what a completed upload became: stamp of its version
//! ```
//!
//! A current version exists exactly if the key has any version; so a listing of objects never steps over old versions, and
//! an ordinary PUT or GET is one point read. `escaped` doubles as a terminator: 00 becomes 00 FF and the end is 00 00, which
//! keeps the order of the names and lets something follow them. All that belongs to a key lies under its name in every table,
//! so that a range of keys can be moved to another shard.

use ringfort_core::{BlobId, SLOT_COUNT, SlotId};

/// Names a shard: a key range of one incarnation of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId {
    /// The container's incarnation.
    pub incarnation: u64,
    /// The shard's number within it.
    pub number: u32,
}

impl ShardId {
    /// The slot its records live in. Part of the stored format.
    #[must_use]
    pub fn slot(&self) -> SlotId {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"shard").update(&self.root());
        slot_of(&hasher)
    }

    pub(crate) fn root(&self) -> [u8; 12] {
        let mut root = [0; 12];
        root[..8].copy_from_slice(&self.incarnation.to_be_bytes());
        root[8..].copy_from_slice(&self.number.to_be_bytes());
        root
    }
}

/// The slot of an account's containers. Part of the stored format.
#[must_use]
pub fn account_slot(account: &str) -> SlotId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"account").update(account.as_bytes());
    slot_of(&hasher)
}

/// The slot of the cluster-wide registry entry of a container name. Part of the stored format.
#[must_use]
pub fn alias_slot(container: &str) -> SlotId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"alias").update(container.as_bytes());
    slot_of(&hasher)
}

fn slot_of(hasher: &blake3::Hasher) -> SlotId {
    let hash = hasher.finalize();
    let bytes = hash.as_bytes();
    SlotId(u16::from_be_bytes([bytes[0], bytes[1]]) % SLOT_COUNT)
}

pub(crate) const ALIAS: u8 = 0x10;
pub(crate) const CONTAINER: u8 = 0x11;
pub(crate) const ACCOUNT: u8 = 0x12;
pub(crate) const SHARD: u8 = 0x20;
pub(crate) const CURRENT: u8 = 0x21;
pub(crate) const OLDER: u8 = 0x22;
pub(crate) const BLOB: u8 = 0x30;
pub(crate) const REFERRER: u8 = 0x31;
pub(crate) const CONDEMNED: u8 = 0x32;
pub(crate) const HELD: u8 = 0x33;
pub(crate) const OUTBOX: u8 = 0x34;
pub(crate) const EXPIRY: u8 = 0x35;
pub(crate) const UPLOAD: u8 = 0x40;
pub(crate) const PART: u8 = 0x41;
pub(crate) const MANIFEST: u8 = 0x42;
pub(crate) const DONE: u8 = 0x43;
/// The tables whose records move with their key.
pub(crate) const MOVING: [u8; 6] = [CURRENT, OLDER, UPLOAD, PART, MANIFEST, DONE];
/// Length of a table byte and a root.
pub(crate) const ROOT_BYTES: usize = 13;

fn key(table: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    out.push(table);
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// The name so that something may follow it without disturbing the order of names.
pub(crate) fn escaped(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len() + 2);
    for &byte in name {
        out.push(byte);
        if byte == 0 {
            out.push(0xff);
        }
    }
    out.extend_from_slice(&[0, 0]);
    out
}

/// The name at the front of `bytes`, and what follows it.
pub(crate) fn unescape(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut name = Vec::with_capacity(bytes.len());
    let mut at = 0;
    loop {
        match (*bytes.get(at)?, bytes.get(at + 1)) {
            (0, Some(0)) => return Some((name, &bytes[at + 2..])),
            (0, Some(0xff)) => {
                name.push(0);
                at += 2;
            }
            (0, _) => return None,
            (byte, _) => {
                name.push(byte);
                at += 1;
            }
        }
    }
}

pub(crate) fn alias(name: &str) -> Vec<u8> {
    key(ALIAS, &[name.as_bytes()])
}

pub(crate) fn container(account: &str, name: &str) -> Vec<u8> {
    key(CONTAINER, &[&escaped(account.as_bytes()), name.as_bytes()])
}

pub(crate) fn account(account: &str) -> Vec<u8> {
    key(ACCOUNT, &[account.as_bytes()])
}

pub(crate) fn shard(shard: ShardId) -> Vec<u8> {
    key(SHARD, &[&shard.root()])
}

pub(crate) fn current(shard: ShardId, name: &[u8]) -> Vec<u8> {
    key(CURRENT, &[&shard.root(), name])
}

/// The range of all older versions of a key starts here; its first record is the newest.
pub(crate) fn older_of(shard: ShardId, name: &[u8]) -> Vec<u8> {
    key(OLDER, &[&shard.root(), &escaped(name)])
}

pub(crate) fn older(shard: ShardId, name: &[u8], stamp: u64) -> Vec<u8> {
    key(OLDER, &[&shard.root(), &escaped(name), &(!stamp).to_be_bytes()])
}

pub(crate) fn blob(blob: BlobId) -> Vec<u8> {
    key(BLOB, &[blob.as_bytes()])
}

pub(crate) fn referrers_of(blob: BlobId) -> Vec<u8> {
    key(REFERRER, &[blob.as_bytes()])
}

pub(crate) fn referrer(blob: BlobId, referrer: BlobId) -> Vec<u8> {
    key(REFERRER, &[blob.as_bytes(), referrer.as_bytes()])
}

pub(crate) fn condemned(blob: BlobId) -> Vec<u8> {
    key(CONDEMNED, &[blob.as_bytes()])
}

pub(crate) fn held(referrer: BlobId) -> Vec<u8> {
    key(HELD, &[referrer.as_bytes()])
}

pub(crate) fn outbox(stamp: u64, number: u32) -> Vec<u8> {
    key(OUTBOX, &[&stamp.to_be_bytes(), &number.to_be_bytes()])
}

pub(crate) fn expiry(at: u64, shard: ShardId, stamp: u64, name: &[u8]) -> Vec<u8> {
    key(EXPIRY, &[&at.to_be_bytes(), &shard.root(), &stamp.to_be_bytes(), name])
}

pub(crate) fn upload(shard: ShardId, name: &[u8], upload: u64) -> Vec<u8> {
    key(UPLOAD, &[&shard.root(), &escaped(name), &upload.to_be_bytes()])
}

pub(crate) fn parts_of(shard: ShardId, name: &[u8], upload: u64) -> Vec<u8> {
    key(PART, &[&shard.root(), &escaped(name), &upload.to_be_bytes()])
}

pub(crate) fn part(shard: ShardId, name: &[u8], upload: u64, number: u32) -> Vec<u8> {
    key(PART, &[&shard.root(), &escaped(name), &upload.to_be_bytes(), &number.to_be_bytes()])
}

pub(crate) fn manifest_of(shard: ShardId, name: &[u8], manifest: u64) -> Vec<u8> {
    key(MANIFEST, &[&shard.root(), &escaped(name), &manifest.to_be_bytes()])
}

pub(crate) fn manifest(shard: ShardId, name: &[u8], manifest: u64, end: u64, number: u32) -> Vec<u8> {
    let tail = [&manifest.to_be_bytes()[..], &end.to_be_bytes(), &number.to_be_bytes()].concat();
    key(MANIFEST, &[&shard.root(), &escaped(name), &tail])
}

/// The end offset in a key of the manifest table.
pub(crate) fn manifest_end(key: &[u8]) -> Option<u64> {
    let (rest, _number) = key.split_last_chunk::<4>()?;
    rest.last_chunk::<8>().map(|end| u64::from_be_bytes(*end))
}

pub(crate) fn done(shard: ShardId, name: &[u8], upload: u64) -> Vec<u8> {
    key(DONE, &[&shard.root(), &escaped(name), &upload.to_be_bytes()])
}

/// Where the records of names from `name` on begin in a table of names.
pub(crate) fn names_from(table: u8, shard: ShardId, name: &[u8]) -> Vec<u8> {
    let mut open = if table == CURRENT { name.to_vec() } else { escaped(name) };
    if table != CURRENT {
        open.truncate(open.len() - 2);
    }
    key(table, &[&shard.root(), &open])
}

/// The name that the record under `key` of a table of names belongs to.
pub(crate) fn name_in(key: &[u8]) -> Option<Vec<u8>> {
    let rest = key.get(ROOT_BYTES..)?;
    if key[0] == CURRENT { Some(rest.to_vec()) } else { unescape(rest).map(|(name, _)| name) }
}

/// The first key after all keys that begin with `prefix`; empty for the end of the slot.
pub(crate) fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < 0xff {
            *last += 1;
            return end;
        }
        end.pop();
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_keeps_the_order() {
        let names: [&[u8]; 7] = [b"", b"\0", b"\0\0", b"\0a", b"a", b"a\0", b"ab"];
        for pair in names.windows(2) {
            assert!(escaped(pair[0]) < escaped(pair[1]), "{pair:?}");
        }
        for name in names {
            let mut bytes = escaped(name);
            bytes.extend_from_slice(b"rest");
            assert_eq!(unescape(&bytes), Some((name.to_vec(), &b"rest"[..])));
        }
        assert_eq!(unescape(b"abc"), None);
        assert_eq!(after_prefix(b"a\xff\xff"), b"b");
        assert_eq!(after_prefix(b"\xff"), b"");
    }

    /// Placement is a format: these never change.
    #[test]
    fn slots_are_frozen() {
        let shard = ShardId { incarnation: 1, number: 0 };
        assert_eq!((shard.slot().0, account_slot("a").0, alias_slot("a").0), frozen());
    }

    fn frozen() -> (u16, u16, u16) {
        (2537, 4020, 695)
    }
}
