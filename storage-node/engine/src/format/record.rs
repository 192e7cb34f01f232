//! One record of an extent file, format version 1. Integers are little-endian; records begin at multiples of 8.
//!
//! ```text
//!  0        4     6      8        12            16         24       28      32      40     48       52           56
//!  +--------+-----+------+--------+-------------+----------+--------+-------+-------+------+--------+------------+---------+
//!  | "RFRC" | ver | kind | length | payload_crc | sequence | synced | group | index | term | flags  | header_crc | payload |
//!  +--------+-----+------+--------+-------------+----------+--------+-------+-------+------+--------+------------+---------+
//! ```
//!
//! - `header_crc` covers bytes 0..52 and is checked before any field is believed, so a damaged `length` reads as damage and is
//!   never mistaken for the end of the log. It is salted with the log's own id, the extent's never-reused id and the record's
//!   offset, so that a record of a recycled file's earlier life, or a copy of one inside a stored body, is never believed.
//! - `sequence` grows by one with each new record of the device. A record that compaction moved keeps its own, with flag 1; flag 2
//!   marks an inline body that was repaired.
//! - `synced` is the offset in this extent below which everything was durable before this record was written: a bad byte
//!   below any `synced` is damage, whereas a bad byte above all of them may be a write that power loss cut short.
//! - `group`, `index` and `term` serve the Raft kinds and are in the header because it has a checksum of its own: a record
//!   with a damaged payload can still be told whose it is. Else 0.
//! - `payload_crc` covers the whole payload, except for chunk kinds where it covers only the part before the body (see
//!   [`super::chunk`]), whose blocks have their own.
//! - Bytes 0..6 and 52..56 keep this layout in every version, so any reader can name the version it meets.

use super::Fields;

/// Bytes of a record header.
pub(crate) const HEADER_LEN: usize = 56;
const CRC_AT: usize = 52;
pub(crate) const MAGIC: &[u8; 4] = b"RFRC";
const VERSION: u16 = 1;
/// Set on records that compaction moved.
pub(crate) const FLAG_MOVED: u32 = 1;

const _: () = assert!(HEADER_LEN.is_multiple_of(8) && CRC_AT + 4 == HEADER_LEN);

/// Set on inline bodies that repair wrote over a damaged one: like a moved one, it counts only where its name is known.
pub(crate) const FLAG_REPAIRED: u32 = 2;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub(crate) enum Kind {
    /// A chunk or fragment: meta, block table, body.
    Chunk = 1,
    /// An inline body outside of its log entry, laid out like a chunk; `group` owns it.
    Inline = 2,
    /// Deletes the chunks of a blob, or one piece, with a lower sequence. Payload: the blob's id or the piece's key.
    Delete = 3,
    /// A log entry of `group` at `index`.
    Entry = 4,
    /// A vote of `group`.
    Vote = 5,
    /// `group` dropped its entries from `index` on.
    Truncate = 6,
    /// `group` dropped its entries up to `index`. Payload: the caller's mark.
    Purge = 7,
    /// `group` left this device; everything of it with a lower sequence is void.
    RemoveGroup = 8,
    /// Nothing; carries `synced` when the device is idle.
    Mark = 9,
    /// The extent ends here.
    Seal = 10,
}

impl Kind {
    fn from_u16(kind: u16) -> Option<Self> {
        Some(match kind {
            1 => Self::Chunk,
            2 => Self::Inline,
            3 => Self::Delete,
            4 => Self::Entry,
            5 => Self::Vote,
            6 => Self::Truncate,
            7 => Self::Purge,
            8 => Self::RemoveGroup,
            9 => Self::Mark,
            10 => Self::Seal,
            _ => return None,
        })
    }

    /// Whether the record concerns the vote or log of a group.
    pub(crate) fn is_raft(self) -> bool {
        matches!(self, Self::Entry | Self::Vote | Self::Truncate | Self::Purge | Self::RemoveGroup)
    }

    /// Whether the payload has a body with a block table.
    pub(crate) fn has_body(self) -> bool {
        matches!(self, Self::Chunk | Self::Inline)
    }
}

/// What makes header checksums of one place unlike those of any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Salt {
    /// Random id of the log.
    pub(crate) log: u64,
    /// The extent.
    pub(crate) extent: u64,
}

impl Salt {
    fn crc(self, offset: u32, header: &[u8]) -> u32 {
        let mut salt = [0; 20];
        salt[..8].copy_from_slice(&self.log.to_le_bytes());
        salt[8..16].copy_from_slice(&self.extent.to_le_bytes());
        salt[16..].copy_from_slice(&offset.to_le_bytes());
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&salt);
        hasher.update(header);
        hasher.finalize()
    }
}

/// The fields of a record header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) kind: Kind,
    pub(crate) length: u32,
    pub(crate) payload_crc: u32,
    pub(crate) sequence: u64,
    pub(crate) synced: u32,
    pub(crate) group: u32,
    pub(crate) index: u64,
    pub(crate) term: u64,
    pub(crate) flags: u32,
}

/// What the bytes at a place are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// A header of a version we know.
    Record(RecordHeader),
    /// A header with a good checksum and a version or kind we do not know.
    UnknownVersion(u16),
    /// No header: the end of the log, a torn write, or damage. What it is depends on what follows.
    NoRecord,
}

impl RecordHeader {
    /// A header with nothing set but the kind.
    pub(crate) fn new(kind: Kind, sequence: u64) -> Self {
        Self { kind, length: 0, payload_crc: 0, sequence, synced: 0, group: 0, index: 0, term: 0, flags: 0 }
    }

    /// Appends the header as it is to stand at `offset` of the extent of `salt`.
    pub(crate) fn encode(&self, salt: Salt, offset: u32, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&(self.kind as u16).to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&self.payload_crc.to_le_bytes());
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.synced.to_le_bytes());
        out.extend_from_slice(&self.group.to_le_bytes());
        out.extend_from_slice(&self.index.to_le_bytes());
        out.extend_from_slice(&self.term.to_le_bytes());
        out.extend_from_slice(&self.flags.to_le_bytes());
        let crc = salt.crc(offset, &out[start..start + CRC_AT]);
        out.extend_from_slice(&crc.to_le_bytes());
    }

    /// Reads the header that stands at `offset` of the extent of `salt`.
    pub(crate) fn decode(salt: Salt, offset: u32, bytes: &[u8]) -> Decoded {
        Self::parse(salt, offset, bytes).unwrap_or(Decoded::NoRecord)
    }

    fn parse(salt: Salt, offset: u32, bytes: &[u8]) -> Option<Decoded> {
        let bytes = bytes.get(..HEADER_LEN)?;
        if &bytes[..4] != MAGIC {
            return None;
        }
        let mut fields = Fields(&bytes[4..]);
        let version = fields.u16()?;
        let crc = u32::from_le_bytes(bytes[CRC_AT..].try_into().ok()?);
        if crc != salt.crc(offset, &bytes[..CRC_AT]) {
            return None;
        }
        if version != VERSION {
            return Some(Decoded::UnknownVersion(version));
        }
        let Some(kind) = Kind::from_u16(fields.u16()?) else {
            return Some(Decoded::UnknownVersion(version));
        };
        Some(Decoded::Record(Self {
            kind,
            length: fields.u32()?,
            payload_crc: fields.u32()?,
            sequence: fields.u64()?,
            synced: fields.u32()?,
            group: fields.u32()?,
            index: fields.u64()?,
            term: fields.u64()?,
            flags: fields.u32()?,
        }))
    }

    /// Bytes the record takes in the extent, padding included.
    pub(crate) fn footprint(&self) -> u64 {
        footprint(u64::from(self.length))
    }
}

/// Bytes a record with a payload of `length` takes, padding included.
pub(crate) fn footprint(length: u64) -> u64 {
    (HEADER_LEN as u64 + length).next_multiple_of(8)
}

/// Gives a header its checksum anew, after its fields were changed.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn reseal(salt: Salt, offset: u32, bytes: &mut [u8]) {
    if bytes.len() >= HEADER_LEN {
        let crc = salt.crc(offset, &bytes[..CRC_AT]);
        bytes[CRC_AT..HEADER_LEN].copy_from_slice(&crc.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_believed_only_in_its_own_place() {
        let salt = Salt { log: 7, extent: 3 };
        let mut header = RecordHeader::new(Kind::Entry, 99);
        header.length = 4096;
        header.group = 5;
        header.index = 1 << 40;
        let mut bytes = Vec::new();
        header.encode(salt, 4096, &mut bytes);
        assert_eq!(bytes.len(), HEADER_LEN);
        assert_eq!(RecordHeader::decode(salt, 4096, &bytes), Decoded::Record(header));
        assert_eq!(RecordHeader::decode(salt, 4104, &bytes), Decoded::NoRecord);
        assert_eq!(RecordHeader::decode(Salt { extent: 4, ..salt }, 4096, &bytes), Decoded::NoRecord);
        assert_eq!(RecordHeader::decode(Salt { log: 8, ..salt }, 4096, &bytes), Decoded::NoRecord);
        for bit in 0..HEADER_LEN * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::decode(salt, 4096, &bad), Decoded::NoRecord, "bit {bit}");
        }
    }
}
