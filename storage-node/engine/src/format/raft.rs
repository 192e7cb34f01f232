//! A group's log as a checkpoint keeps it in the index, format version 1: where its records are.
//!
//! ```text
//! ver=1 u8 | mark vote | mark purge | mark truncate | mark removal | committed (len u32, bytes; absent = no byte)
//! | first u64 | n u32 | n * (sequence u64, extent u64, offset u32, length u32)
//! removal: its index is the extent before which, itself included, records may be void because of it
//! mark: present u8 | sequence u64 | extent u64 | offset u32 | index u64 | bytes (len u32, bytes)
//! ```

use super::{Fields, Pos, put_bytes};
use bytes::Bytes;

const VERSION: u8 = 1;

/// A vote, purge or truncation: the last of its kind of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) sequence: u64,
    pub(crate) pos: Pos,
    pub(crate) index: u64,
    pub(crate) bytes: Bytes,
}

/// Where a log entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) sequence: u64,
    pub(crate) pos: Pos,
    pub(crate) length: u32,
}

/// The log of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RaftTable {
    pub(crate) vote: Option<Mark>,
    pub(crate) purge: Option<Mark>,
    pub(crate) truncate: Option<Mark>,
    /// The last time the group was removed from this device.
    pub(crate) removal: Option<Mark>,
    pub(crate) committed: Option<Bytes>,
    pub(crate) first: u64,
    pub(crate) slots: Vec<Slot>,
}

fn put_mark(mark: Option<&Mark>, out: &mut Vec<u8>) {
    let Some(mark) = mark else { return out.push(0) };
    out.push(1);
    out.extend_from_slice(&mark.sequence.to_le_bytes());
    out.extend_from_slice(&mark.pos.extent.to_le_bytes());
    out.extend_from_slice(&mark.pos.offset.to_le_bytes());
    out.extend_from_slice(&mark.index.to_le_bytes());
    put_bytes(out, &mark.bytes);
}

#[allow(clippy::option_option, reason = "outer: whether it decodes; inner: whether there is one")]
fn take_mark(fields: &mut Fields<'_>) -> Option<Option<Mark>> {
    match fields.u8()? {
        0 => Some(None),
        1 => Some(Some(Mark {
            sequence: fields.u64()?,
            pos: Pos { extent: fields.u64()?, offset: fields.u32()? },
            index: fields.u64()?,
            bytes: Bytes::copy_from_slice(fields.bytes()?),
        })),
        _ => None,
    }
}

impl RaftTable {
    /// Whether there is nothing to keep.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self { first: self.first, ..Self::default() }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_mark(self.vote.as_ref(), &mut out);
        put_mark(self.purge.as_ref(), &mut out);
        put_mark(self.truncate.as_ref(), &mut out);
        put_mark(self.removal.as_ref(), &mut out);
        out.push(u8::from(self.committed.is_some()));
        if let Some(committed) = &self.committed {
            put_bytes(&mut out, committed);
        }
        out.extend_from_slice(&self.first.to_le_bytes());
        let count = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&count.to_le_bytes());
        for slot in &self.slots {
            out.extend_from_slice(&slot.sequence.to_le_bytes());
            out.extend_from_slice(&slot.pos.extent.to_le_bytes());
            out.extend_from_slice(&slot.pos.offset.to_le_bytes());
            out.extend_from_slice(&slot.length.to_le_bytes());
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        if fields.u8()? != VERSION {
            return None;
        }
        let (vote, purge) = (take_mark(&mut fields)?, take_mark(&mut fields)?);
        let (truncate, removal) = (take_mark(&mut fields)?, take_mark(&mut fields)?);
        let committed = match fields.u8()? {
            0 => None,
            1 => Some(Bytes::copy_from_slice(fields.bytes()?)),
            _ => return None,
        };
        let first = fields.u64()?;
        let count = fields.u32()? as usize;
        if fields.0.len() != count.checked_mul(24)? {
            return None;
        }
        let mut slots = Vec::with_capacity(count);
        for _ in 0..count {
            let sequence = fields.u64()?;
            let pos = Pos { extent: fields.u64()?, offset: fields.u32()? };
            slots.push(Slot { sequence, pos, length: fields.u32()? });
        }
        Some(Self { vote, purge, truncate, removal, committed, first, slots })
    }
}
