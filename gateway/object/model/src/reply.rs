//! What commands and queries answer: a status byte, and what belongs to it.

use crate::account::AccountRecord;
use crate::codec::{Reader, Writer};
use crate::container::{AliasRecord, ContainerRecord};
use crate::shard::ShardRoot;
use crate::{VersionId, Versioning};
use ringfort_core::HybridTime;

/// Why a command did nothing, or a query found nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The shard is not here: the container is gone, or the caller's record of it is out of date.
    #[error("there is no such shard")]
    NoShard,
    /// The shard takes no writes, by the deletion of this token.
    #[error("the shard is sealed")]
    Sealed {
        /// Names the deletion.
        token: u64,
    },
    /// A condition does not hold.
    #[error("a condition does not hold")]
    Precondition,
    /// There is no such key, or its latest version is a delete marker.
    #[error("there is no such key")]
    NoSuchKey,
    /// The key has no such version.
    #[error("there is no such version")]
    NoSuchVersion,
    /// There is no such upload.
    #[error("there is no such upload")]
    NoSuchUpload,
    /// A part is missing or differs.
    #[error("part {number} is missing or differs")]
    InvalidPart {
        /// Its number.
        number: u32,
    },
    /// Parts are not in ascending order, or there are none.
    #[error("parts are not in ascending order")]
    InvalidPartOrder,
    /// A part is too small.
    #[error("part {number} is too small")]
    PartTooSmall {
        /// Its number.
        number: u32,
        /// Its size.
        size: u64,
    },
    /// The key is at or above the end of what the shard holds.
    #[error("the key is in shard {next} or beyond")]
    Above {
        /// The shard that holds the keys from there on.
        next: u32,
    },
    /// The key is below what the shard holds.
    #[error("the key is in a shard before")]
    Below,
    /// The key is about to be moved to another shard.
    #[error("the key is being moved")]
    Held {
        /// Names the move.
        token: u64,
    },
    /// A blob referred to does not exist, or is condemned.
    #[error("a blob is gone")]
    NoBlob,
    /// The shard holds versions or uploads, or is not sealed.
    #[error("the shard is not empty")]
    NotEmpty,
    /// A record has another revision than expected.
    #[error("the record has changed")]
    Changed,
    /// The command or query does not decode or contradicts itself.
    #[error("malformed command")]
    Malformed,
    /// A record here does not decode.
    #[error("a record is damaged")]
    Damaged,
}

impl Refusal {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Self::NoShard => out.u8(1),
            Self::Sealed { token } => out.u8(2).u64(token),
            Self::Precondition => out.u8(3),
            Self::NoSuchKey => out.u8(4),
            Self::NoSuchVersion => out.u8(5),
            Self::NoSuchUpload => out.u8(6),
            Self::InvalidPart { number } => out.u8(7).u32(number),
            Self::InvalidPartOrder => out.u8(8),
            Self::PartTooSmall { number, size } => out.u8(9).u32(number).u64(size),
            Self::NoBlob => out.u8(10),
            Self::NotEmpty => out.u8(11),
            Self::Changed => out.u8(12),
            Self::Malformed => out.u8(13),
            Self::Damaged => out.u8(14),
            Self::Above { next } => out.u8(15).u32(next),
            Self::Below => out.u8(16),
            Self::Held { token } => out.u8(17).u64(token),
        };
        out.0
    }
}

pub(crate) fn encode_done(done: Result<Vec<u8>, Refusal>) -> Vec<u8> {
    match done {
        Ok(mut payload) => {
            payload.insert(0, 0);
            payload
        }
        Err(refusal) => refusal.encode(),
    }
}

/// The payload of a reply, or why there is none.
///
/// # Errors
/// The refusal the slot answered; [`Refusal::Damaged`] if the reply does not decode.
pub fn decode_reply(bytes: &[u8]) -> Result<&[u8], Refusal> {
    let mut from = Reader(bytes);
    let refusal = match from.u8() {
        Some(0) => return Ok(from.0),
        Some(1) => Some(Refusal::NoShard),
        Some(2) => from.u64().map(|token| Refusal::Sealed { token }),
        Some(3) => Some(Refusal::Precondition),
        Some(4) => Some(Refusal::NoSuchKey),
        Some(5) => Some(Refusal::NoSuchVersion),
        Some(6) => Some(Refusal::NoSuchUpload),
        Some(7) => from.u32().map(|number| Refusal::InvalidPart { number }),
        Some(8) => Some(Refusal::InvalidPartOrder),
        Some(9) => from.u32().zip(from.u64()).map(|(number, size)| Refusal::PartTooSmall { number, size }),
        Some(10) => Some(Refusal::NoBlob),
        Some(11) => Some(Refusal::NotEmpty),
        Some(12) => Some(Refusal::Changed),
        Some(13) => Some(Refusal::Malformed),
        Some(15) => from.u32().map(|next| Refusal::Above { next }),
        Some(16) => Some(Refusal::Below),
        Some(17) => from.u64().map(|token| Refusal::Held { token }),
        _ => None,
    };
    Err(refusal.unwrap_or(Refusal::Damaged))
}

/// A version was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// When: the version's stamp.
    pub stamp: HybridTime,
    /// Its id.
    pub version: VersionId,
    /// The shard's versioning state.
    pub versioning: Versioning,
    /// Size of the whole.
    pub size: u64,
    /// Versions that the shard holds now.
    pub crowd: u64,
}

impl Stored {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(24);
        out.u64(self.stamp.0).bool(self.version == VersionId::Null).u8(self.versioning.code());
        out.varint(self.size).varint(self.crowd);
        out.0
    }

    /// The answer in this payload.
    #[must_use]
    pub fn decode(payload: &[u8]) -> Option<Self> {
        let mut from = Reader(payload);
        let stamp = HybridTime(from.u64()?);
        let version = if from.bool()? { VersionId::Null } else { VersionId::At(stamp) };
        let versioning = Versioning::of_code(from.u8()?)?;
        let (size, crowd) = (from.varint()?, from.varint()?);
        from.end(Self { stamp, version, versioning, size, crowd })
    }
}

/// A delete was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// There was something to delete.
    pub existed: bool,
    /// A delete marker was added, or the version removed was one.
    pub marker: bool,
    /// The version removed or the marker added; none when versioning never was on.
    pub version: Option<VersionId>,
}

impl Deleted {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(12);
        out.bool(self.existed).bool(self.marker);
        crate::command::put_version(&mut out, self.version);
        out.0
    }

    /// The answer in this payload.
    #[must_use]
    pub fn decode(payload: &[u8]) -> Option<Self> {
        let mut from = Reader(payload);
        let (existed, marker) = (from.bool()?, from.bool()?);
        let version = crate::command::get_version(&mut from)?;
        from.end(Self { existed, marker, version })
    }
}

/// The payload of a stamp: revisions and upload ids.
#[must_use]
pub fn decode_stamp(payload: &[u8]) -> Option<u64> {
    let mut from = Reader(payload);
    let stamp = from.u64()?;
    from.end(stamp)
}

/// The payload of [`crate::Command::Condemn`]: for each blob whether it is condemned now (`false`: it has referrers).
#[must_use]
pub fn decode_flags(payload: &[u8]) -> Vec<bool> {
    payload.iter().map(|flag| *flag == 1).collect()
}

impl ShardRoot {
    /// The root in this payload.
    #[must_use]
    pub fn decode_payload(payload: &[u8]) -> Option<Self> {
        Self::decode(payload)
    }
}

/// An optional record in a payload: absent if the payload is empty.
pub fn decode_container(payload: &[u8]) -> Option<Option<ContainerRecord>> {
    if payload.is_empty() { Some(None) } else { ContainerRecord::decode(payload).map(Some) }
}

/// An optional record in a payload: absent if the payload is empty.
pub fn decode_alias(payload: &[u8]) -> Option<Option<AliasRecord>> {
    if payload.is_empty() { Some(None) } else { AliasRecord::decode(payload).map(Some) }
}

/// An optional record in a payload: absent if the payload is empty.
pub fn decode_account(payload: &[u8]) -> Option<Option<AccountRecord>> {
    if payload.is_empty() { Some(None) } else { AccountRecord::decode(payload).map(Some) }
}

/// A version that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// The shard's versioning state.
    pub versioning: Versioning,
    /// Whether it is the latest.
    pub latest: bool,
    /// The version.
    pub version: crate::Version<'a>,
}

impl<'a> Found<'a> {
    pub(crate) fn encode(versioning: Versioning, latest: bool, record: &[u8]) -> Vec<u8> {
        let mut out = Writer::with_capacity(3 + record.len());
        out.u8(versioning.code()).bool(latest).raw(record);
        out.0
    }

    /// The answer in this payload.
    #[must_use]
    pub fn decode(payload: &'a [u8]) -> Option<Self> {
        let mut from = Reader(payload);
        let (versioning, latest) = (Versioning::of_code(from.u8()?)?, from.bool()?);
        Some(Self { versioning, latest, version: crate::Version::decode(from.0)? })
    }
}
