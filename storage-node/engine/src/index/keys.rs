//! Keys of the `Meta` family: a tag byte and what it is about.

use crate::format::{Fields, Pos, Target};
use ringfort_core::GroupId;

/// The log this index belongs to.
pub(crate) const LOG_ID: &[u8] = b"L";
/// [`Covered`].
pub(crate) const COVERED: &[u8] = b"C";
/// From where raft records have to be replayed.
pub(crate) const RAFT_FROM: &[u8] = b"R";

/// Accounting of an extent.
pub(crate) fn extent(id: u64) -> Vec<u8> {
    [b"e".as_slice(), &id.to_be_bytes()].concat()
}

/// Raft table of a group.
pub(crate) fn raft(group: GroupId) -> Vec<u8> {
    [b"r".as_slice(), &group.0.to_be_bytes()].concat()
}

/// Status and applied index of a group.
pub(crate) fn group(group: GroupId) -> Vec<u8> {
    [b"g".as_slice(), &group.0.to_be_bytes()].concat()
}

/// Delete record of a blob or piece.
pub(crate) fn tomb(target: &Target) -> Vec<u8> {
    [b"t".as_slice(), &target.encode()].concat()
}

/// Key of an inline body's place.
pub(crate) fn inline(extent: u64, offset: u32) -> Vec<u8> {
    [extent.to_be_bytes().as_slice(), &offset.to_be_bytes()].concat()
}

/// Key of a group's record.
pub(crate) fn state(group: GroupId, key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 + key.len());
    out.extend_from_slice(&group.0.to_be_bytes());
    out.extend_from_slice(key);
    out
}

/// The end of a group's range.
pub(crate) fn state_end(group: GroupId) -> Vec<u8> {
    match group.0.checked_add(1) {
        Some(next) => next.to_be_bytes().to_vec(),
        None => vec![0xff; 5],
    }
}

/// The first key after all that begin with `prefix`; empty if there is none.
pub(crate) fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut out = prefix.to_vec();
    while let Some(last) = out.pop() {
        if last < u8::MAX {
            out.push(last + 1);
            break;
        }
    }
    out
}

/// The group a key without its tag names.
pub(crate) fn group_of(key: &[u8]) -> Option<GroupId> {
    key.try_into().ok().map(|id| GroupId(u32::from_be_bytes(id)))
}

/// What the index covers of the log, and counts that go with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Covered {
    /// Records before this place are in the index.
    pub(crate) pos: Pos,
    /// The sequence the next record gets, at least.
    pub(crate) next_sequence: u64,
    pub(crate) chunks: u64,
    pub(crate) inline_bodies: u64,
}

impl Covered {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = encode_pos(self.pos);
        out.extend_from_slice(&self.next_sequence.to_le_bytes());
        out.extend_from_slice(&self.chunks.to_le_bytes());
        out.extend_from_slice(&self.inline_bodies.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let covered = Self {
            pos: Pos { extent: fields.u64()?, offset: fields.u32()? },
            next_sequence: fields.u64()?,
            chunks: fields.u64()?,
            inline_bodies: fields.u64()?,
        };
        fields.end(covered)
    }
}

pub(crate) fn encode_pos(pos: Pos) -> Vec<u8> {
    [pos.extent.to_le_bytes().as_slice(), &pos.offset.to_le_bytes()].concat()
}

pub(crate) fn decode_pos(bytes: &[u8]) -> Option<Pos> {
    let mut fields = Fields(bytes);
    let pos = Pos { extent: fields.u64()?, offset: fields.u32()? };
    fields.end(pos)
}

/// Status byte and applied index of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupRecord {
    pub(crate) lost: bool,
    pub(crate) applied: u64,
}

impl GroupRecord {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = vec![u8::from(self.lost)];
        out.extend_from_slice(&self.applied.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let lost = match fields.u8()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let record = Self { lost, applied: fields.u64()? };
        fields.end(record)
    }
}

/// What refers to an extent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) live: u64,
    pub(crate) tombs: u32,
}

impl Account {
    pub(crate) fn encode(self) -> Vec<u8> {
        [self.live.to_le_bytes().as_slice(), &self.tombs.to_le_bytes()].concat()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let account = Self { live: fields.u64()?, tombs: fields.u32()? };
        fields.end(account)
    }
}
