//! The payload of a chunk record, format version 1.
//!
//! ```text
//!  0     21      22    24         28       60         64            64 + 4n
//!  +-----+-------+-----+----------+--------+----------+-------------+------+
//!  | key | flags | 0   | body_len | blake3 | 0        | crc32 * n   | body |
//!  +-----+-------+-----+----------+--------+----------+-------------+------+
//! ```
//!
//! - The record's `payload_crc` covers bytes 0..64 + 4n; each table entry covers one block of 4 KiB of the body (the last one is
//!   shorter), so a range read verifies just its blocks.
//! - A block's checksum starts from the checksum of the key and mixes in the block's number: a good block of another chunk, or
//!   at another place of the same one, does not pass.
//! - `blake3` hashes the body; all zero for inline bodies.

use super::Fields;
use bytes::Bytes;
use ringfort_core::ChunkKey;

/// Bytes under one checksum.
pub(crate) const BLOCK: usize = 4096;
/// Bytes of the meta before the block table.
pub(crate) const META_LEN: usize = 64;

/// What stands before the block table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkMeta {
    pub(crate) key: ChunkKey,
    pub(crate) body_len: u32,
    pub(crate) blake3: [u8; 32],
}

impl ChunkMeta {
    pub(crate) fn encode(&self, table: &[u32], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.key.encode());
        out.extend_from_slice(&[0; 3]);
        out.extend_from_slice(&self.body_len.to_le_bytes());
        out.extend_from_slice(&self.blake3);
        out.extend_from_slice(&[0; 4]);
        debug_assert_eq!(out.len() - start, META_LEN);
        for crc in table {
            out.extend_from_slice(&crc.to_le_bytes());
        }
    }

    /// The meta at the front of a payload, whose table and body must fit it exactly.
    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let meta = Self::decode_head(payload)?;
        (payload.len() == meta.head_len().checked_add(meta.body_len as usize)?).then_some(meta)
    }

    /// The meta alone.
    pub(crate) fn decode_head(payload: &[u8]) -> Option<Self> {
        let mut fields = Fields(payload.get(..META_LEN)?);
        let key = ChunkKey::decode(fields.take(ChunkKey::ENCODED_LEN)?)?;
        fields.take(3)?;
        let body_len = fields.u32()?;
        let blake3 = fields.array()?;
        Some(Self { key, body_len, blake3 })
    }

    /// Bytes before the body: meta and table.
    pub(crate) fn head_len(&self) -> usize {
        META_LEN + 4 * blocks(self.body_len)
    }
}

/// Blocks of a body.
pub(crate) fn blocks(body_len: u32) -> usize {
    (body_len as usize).div_ceil(BLOCK)
}

/// What the block checksums of a key start from.
pub(crate) fn seed(key: &ChunkKey) -> u32 {
    crc32fast::hash(&key.encode())
}

/// The checksum of block `number` of the chunk with this seed.
pub(crate) fn block_crc(seed: u32, number: usize, block: &[u8]) -> u32 {
    #[allow(clippy::cast_possible_truncation, reason = "bodies have far fewer than 2^32 blocks")]
    let start = seed ^ (number as u32).wrapping_mul(0x9e37_79b9);
    let mut hasher = crc32fast::Hasher::new_with_initial(start);
    hasher.update(block);
    hasher.finalize()
}

/// The block table of a body in one piece.
pub(crate) fn table(key: &ChunkKey, body: &[u8]) -> Vec<u32> {
    let seed = seed(key);
    body.chunks(BLOCK).enumerate().map(|(number, block)| block_crc(seed, number, block)).collect()
}

/// The block table of a body in pieces that need not end at block borders.
pub(crate) fn table_of_pieces(key: &ChunkKey, pieces: &[Bytes]) -> Vec<u32> {
    if let [piece] = pieces {
        return table(key, piece);
    }
    let seed = seed(key);
    let mut out = Vec::new();
    let mut block = Vec::with_capacity(BLOCK);
    for mut piece in pieces.iter().map(Bytes::as_ref) {
        while !piece.is_empty() {
            if block.is_empty() && piece.len() >= BLOCK {
                out.push(block_crc(seed, out.len(), &piece[..BLOCK]));
                piece = &piece[BLOCK..];
                continue;
            }
            let take = piece.len().min(BLOCK - block.len());
            block.extend_from_slice(&piece[..take]);
            piece = &piece[take..];
            if block.len() == BLOCK {
                out.push(block_crc(seed, out.len(), &block));
                block.clear();
            }
        }
    }
    if !block.is_empty() {
        out.push(block_crc(seed, out.len(), &block));
    }
    out
}

/// The hash of a body in pieces.
pub(crate) fn blake3_of_pieces(pieces: &[Bytes]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for piece in pieces {
        hasher.update(piece);
    }
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfort_core::BlobId;

    #[test]
    fn pieces_make_the_same_table_as_the_whole() {
        let key = ChunkKey { blob: BlobId::from_bytes([9; 16]), number: 3, fragment: 1 };
        let body: Vec<u8> = (0..20_000_u32).flat_map(|i| i.to_le_bytes()).collect();
        let whole = table(&key, &body);
        for cut in [1, 4095, 4096, 5000, 79_999] {
            let pieces =
                [Bytes::copy_from_slice(&body[..cut]), Bytes::new(), Bytes::copy_from_slice(&body[cut..])];
            assert_eq!(table_of_pieces(&key, &pieces), whole, "{cut}");
        }
        let other = ChunkKey { fragment: 2, ..key };
        assert_ne!(table(&other, &body)[0], whole[0]);
    }
}
