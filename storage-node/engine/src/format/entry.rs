//! The index's values, format version 1: where a chunk is, and why a delete record is still needed.
//!
//! ```text
//! chunk:  ver=1 u8 | owner u8 (0 chunk, 1 inline) | group u32 (inline) | sequence u64 | extent u64 | body_offset u32
//!         | body_len u32 | footprint u32 | blake3 32 (chunk) | n u16, n * extent u64 | m u8, m * crc u32
//! tomb:   ver=1 u8 | sequence u64 | extent u64 | offset u32 | n u32, n * extent u64
//! ```
//!
//! RocksDB has its own block checksums over these. The block table is kept here for bodies of up to [`TABLE_BLOCKS_MAX`] blocks,
//! so that reading a small one costs one read; larger ones have it in the log right before the body.

use super::Fields;
use ringfort_core::{BlobId, ChunkKey, GroupId};

const VERSION: u8 = 1;
/// Most blocks whose table is kept in the index.
pub(crate) const TABLE_BLOCKS_MAX: usize = 16;
/// The same for inline bodies, which have no other place for it while they are in their log entry.
pub(crate) const INLINE_BLOCKS_MAX: usize = 255;

/// Whose body it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A chunk or fragment, with its hash.
    Chunk([u8; 32]),
    /// An inline body of a group.
    Inline(GroupId),
}

/// Where a body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChunkEntry {
    pub(crate) owner: Owner,
    pub(crate) sequence: u64,
    pub(crate) extent: u64,
    pub(crate) body_offset: u32,
    pub(crate) body_len: u32,
    /// Bytes of the log it keeps alive.
    pub(crate) footprint: u32,
    /// Extents that may still hold older copies of it, for whoever deletes it.
    pub(crate) older: Vec<u64>,
    /// The block table, if it is small.
    pub(crate) table: Vec<u32>,
}

impl ChunkEntry {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(72 + 8 * self.older.len() + 4 * self.table.len());
        out.push(VERSION);
        match self.owner {
            Owner::Chunk(_) => out.push(0),
            Owner::Inline(group) => {
                out.push(1);
                out.extend_from_slice(&group.0.to_le_bytes());
            }
        }
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.extent.to_le_bytes());
        out.extend_from_slice(&self.body_offset.to_le_bytes());
        out.extend_from_slice(&self.body_len.to_le_bytes());
        out.extend_from_slice(&self.footprint.to_le_bytes());
        if let Owner::Chunk(hash) = &self.owner {
            out.extend_from_slice(hash);
        }
        let older = &self.older[..self.older.len().min(usize::from(u16::MAX))];
        out.extend_from_slice(&u16::try_from(older.len()).unwrap_or(u16::MAX).to_le_bytes());
        older.iter().for_each(|extent| out.extend_from_slice(&extent.to_le_bytes()));
        out.push(u8::try_from(self.table.len()).unwrap_or(0));
        self.table.iter().for_each(|crc| out.extend_from_slice(&crc.to_le_bytes()));
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        if fields.u8()? != VERSION {
            return None;
        }
        let group = match fields.u8()? {
            0 => None,
            1 => Some(GroupId(fields.u32()?)),
            _ => return None,
        };
        let (sequence, extent) = (fields.u64()?, fields.u64()?);
        let (body_offset, body_len, footprint) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let owner = match group {
            Some(group) => Owner::Inline(group),
            None => Owner::Chunk(fields.array()?),
        };
        let older = (0..fields.u16()?).map(|_| fields.u64()).collect::<Option<_>>()?;
        let table = (0..fields.u8()?).map(|_| fields.u32()).collect::<Option<_>>()?;
        fields.0.is_empty().then_some(Self {
            owner,
            sequence,
            extent,
            body_offset,
            body_len,
            footprint,
            older,
            table,
        })
    }

    pub(crate) fn is_inline(&self) -> bool {
        matches!(self.owner, Owner::Inline(_))
    }
}

/// What a delete record names: a blob (16 bytes) or one piece (21 bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    Blob(BlobId),
    Piece(ChunkKey),
}

impl Target {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Blob(blob) => blob.as_bytes().to_vec(),
            Self::Piece(key) => key.encode().to_vec(),
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        match <[u8; 16]>::try_from(bytes) {
            Ok(blob) => Some(Self::Blob(BlobId::from_bytes(blob))),
            Err(_) => ChunkKey::decode(bytes).map(Self::Piece),
        }
    }

    pub(crate) fn blob(&self) -> BlobId {
        match self {
            Self::Blob(blob) => *blob,
            Self::Piece(key) => key.blob,
        }
    }

    pub(crate) fn covers(&self, key: &ChunkKey) -> bool {
        match self {
            Self::Blob(blob) => *blob == key.blob,
            Self::Piece(piece) => piece == key,
        }
    }
}

/// A delete record that hides older records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tomb {
    pub(crate) sequence: u64,
    pub(crate) extent: u64,
    pub(crate) offset: u32,
    /// Extents with records it hides; when the last of them is gone, so may it be.
    pub(crate) hidden: Vec<u64>,
}

impl Tomb {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(25 + 8 * self.hidden.len());
        out.push(VERSION);
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.extent.to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
        let count = u32::try_from(self.hidden.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&count.to_le_bytes());
        self.hidden.iter().for_each(|extent| out.extend_from_slice(&extent.to_le_bytes()));
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        if fields.u8()? != VERSION {
            return None;
        }
        let (sequence, extent, offset) = (fields.u64()?, fields.u64()?, fields.u32()?);
        let count = fields.u32()? as usize;
        if fields.0.len() != count.checked_mul(8)? {
            return None;
        }
        let hidden = (0..count).map(|_| fields.u64()).collect::<Option<_>>()?;
        Some(Self { sequence, extent, offset, hidden })
    }
}
