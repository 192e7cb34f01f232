//! Names of stored bytes.

use crate::{SessionId, SlotId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The name of a blob: 16 bytes, big-endian fields, so that blobs of a slot and of a session sort together.
///
/// ```text
///  0          2                8                 16
///  +----------+----------------+-----------------+
///  | home slot| session (48 b) | counter (64 b)  |
///  +----------+----------------+-----------------+
/// ```
///
/// The session is the one that writes the blob's chunks: a blob without a home record may be condemned only after
/// that session has ended. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BlobId([u8; 16]);

impl BlobId {
    /// The blob number `counter` of `session`, at home in `slot`.
    #[must_use]
    pub fn new(slot: SlotId, session: SessionId, counter: u64) -> Self {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&slot.0.to_be_bytes());
        id[2..8].copy_from_slice(&session.0.to_be_bytes()[2..]);
        id[8..].copy_from_slice(&counter.to_be_bytes());
        Self(id)
    }

    /// The id with these bytes, as stored.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, as stored.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The slot whose group owns this blob.
    #[must_use]
    pub fn home(&self) -> SlotId {
        SlotId(u16::from_be_bytes([self.0[0], self.0[1]]))
    }

    /// The session that writes this blob's chunks.
    #[must_use]
    pub fn session(&self) -> SessionId {
        let mut wide = [0; 8];
        wide[2..].copy_from_slice(&self.0[2..8]);
        SessionId(u64::from_be_bytes(wide))
    }

    /// The number of this blob within its session.
    #[must_use]
    pub fn counter(&self) -> u64 {
        let mut wide = [0; 8];
        wide.copy_from_slice(&self.0[8..]);
        u64::from_be_bytes(wide)
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobId({self})")
    }
}

/// The text is not 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a blob id is 32 hexadecimal digits")]
pub struct BlobIdParseError;

impl std::str::FromStr for BlobId {
    type Err = BlobIdParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id).map_err(|_| BlobIdParseError)?;
        Ok(Self(id))
    }
}

/// The name of one stored piece on one device: a chunk's replica, or one fragment of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChunkKey {
    /// The blob the chunk belongs to.
    pub blob: BlobId,
    /// The chunk's number within the blob.
    pub number: u32,
    /// The fragment's index in an erasure-coded chunk; 0 for a whole replica or an inline body.
    pub fragment: u8,
}

impl ChunkKey {
    /// Length of the encoded key in bytes.
    pub const ENCODED_LEN: usize = 21;

    /// The key as bytes that sort like the key: blob, number (big-endian), fragment.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::ENCODED_LEN] {
        let mut out = [0; Self::ENCODED_LEN];
        out[..16].copy_from_slice(self.blob.as_bytes());
        out[16..20].copy_from_slice(&self.number.to_be_bytes());
        out[20] = self.fragment;
        out
    }

    /// The key in these bytes; `None` unless there are exactly [`Self::ENCODED_LEN`].
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::ENCODED_LEN] = bytes.try_into().ok()?;
        let mut blob = [0; 16];
        blob.copy_from_slice(&bytes[..16]);
        let number = u32::from_be_bytes([bytes[16], bytes[17], bytes[18], bytes[19]]);
        Some(Self { blob: BlobId::from_bytes(blob), number, fragment: bytes[20] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_survive_the_round_trip() {
        let id = BlobId::new(SlotId(4095), SessionId(0x0000_1234_5678_9abc), u64::MAX - 1);
        assert_eq!(id.home(), SlotId(4095));
        assert_eq!(id.session(), SessionId(0x0000_1234_5678_9abc));
        assert_eq!(id.counter(), u64::MAX - 1);
        assert_eq!(id.to_string().parse::<BlobId>(), Ok(id));
        let key = ChunkKey { blob: id, number: 77, fragment: 5 };
        assert_eq!(ChunkKey::decode(&key.encode()), Some(key));
        assert_eq!(ChunkKey::decode(&key.encode()[1..]), None);
    }
}
