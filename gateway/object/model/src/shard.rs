//! A shard's root: what it takes, what of a container's keys it holds, and its exact counters. See `record.rs` for its bytes.

use crate::codec::{Reader, Writer};
use crate::record::{FORMAT, bit};
use crate::{Refusal, Versioning};

const SEALED: u8 = 1;
const RANGED: u8 = 2;
const BEGIN: u8 = 1;
const END: u8 = 2;
const HOLD: u8 = 4;
const STAGED: u8 = 8;

/// A shard's root: whether it takes writes, and its exact counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardRoot {
    /// No more writes: the container is being deleted.
    pub sealed: bool,
    /// Names the deletion that sealed it.
    pub seal_token: u64,
    /// What a write does with the version before it.
    pub versioning: Versioning,
    /// The container record's revision that `versioning` came with; a later one wins.
    pub versioning_revision: u64,
    /// Keys whose current version is no delete marker.
    pub objects: u64,
    /// Versions, delete markers included.
    pub versions: u64,
    /// Bytes of all versions.
    pub bytes: u64,
    /// Multipart uploads under way.
    pub uploads: u64,
    /// Which keys it holds; `None` for all, as long as the container has one shard.
    pub range: Option<Box<ShardRange>>,
}

/// Which keys a shard holds, and what is being moved into or out of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardRange {
    /// Keys below are not here. `None` if no key is: the shard was made to take keys over and has not got any.
    pub begin: Option<String>,
    /// Keys from this one on are in the shard of this number.
    pub end: Option<(String, u32)>,
    /// Writes of keys from this one on wait: they are about to be moved, by the move of this token.
    pub hold: Option<(String, u64)>,
    /// Keys from this one to `begin` were copied here, but are still served by the shard that gives them.
    pub staged: Option<String>,
    /// The token of the last move that copied keys here.
    pub token: u64,
}

impl ShardRange {
    fn write(&self, out: &mut Writer) {
        let flags = bit(self.begin.is_some(), BEGIN)
            | bit(self.end.is_some(), END)
            | bit(self.hold.is_some(), HOLD)
            | bit(self.staged.is_some(), STAGED);
        out.u8(flags).u64(self.token);
        if let Some(begin) = &self.begin {
            out.bytes(begin.as_bytes());
        }
        if let Some((end, next)) = &self.end {
            out.bytes(end.as_bytes()).varint(u64::from(*next));
        }
        if let Some((hold, token)) = &self.hold {
            out.bytes(hold.as_bytes()).u64(*token);
        }
        if let Some(staged) = &self.staged {
            out.bytes(staged.as_bytes());
        }
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let (flags, token) = (from.u8()?, from.u64()?);
        let begin = if flags & BEGIN == 0 { None } else { Some(from.str()?.to_owned()) };
        let end = if flags & END == 0 { None } else { Some((from.str()?.to_owned(), from.varint_u32()?)) };
        let hold = if flags & HOLD == 0 { None } else { Some((from.str()?.to_owned(), from.u64()?)) };
        let staged = if flags & STAGED == 0 { None } else { Some(from.str()?.to_owned()) };
        Some(Self { begin, end, hold, staged, token })
    }
}

impl ShardRoot {
    /// The first key it holds; `None` if it holds none and has no end.
    #[must_use]
    pub fn begin(&self) -> Option<&str> {
        match &self.range {
            None => Some(""),
            Some(range) => range.begin.as_deref().or_else(|| range.end.as_ref().map(|(end, _)| end.as_str())),
        }
    }

    /// The first key it no longer holds, and the number of the shard that does; `None` if it holds all to the end.
    #[must_use]
    pub fn end(&self) -> Option<(&str, u32)> {
        self.range.as_ref()?.end.as_ref().map(|(end, next)| (end.as_str(), *next))
    }

    /// Whether it holds `key`.
    pub(crate) fn check(&self, key: &str) -> Result<(), Refusal> {
        let Some(range) = &self.range else { return Ok(()) };
        match &range.end {
            Some((end, next)) if key >= end.as_str() => return Err(Refusal::Above { next: *next }),
            _ => {}
        }
        if range.begin.as_ref().is_some_and(|begin| begin.as_str() <= key) {
            Ok(())
        } else {
            Err(Refusal::Below)
        }
    }

    /// Whether it holds `key` and that may be changed now.
    pub(crate) fn check_write(&self, key: &str) -> Result<(), Refusal> {
        self.check(key)?;
        match self.range.as_ref().and_then(|range| range.hold.as_ref()) {
            Some((hold, token)) if key >= hold.as_str() => Err(Refusal::Held { token: *token }),
            _ => Ok(()),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(52);
        let flags = bit(self.sealed, SEALED) | bit(self.range.is_some(), RANGED);
        out.u8(FORMAT).u8(flags).u64(self.seal_token).u8(self.versioning.code());
        out.u64(self.versioning_revision).u64(self.objects).u64(self.versions);
        out.u64(self.bytes).u64(self.uploads);
        if let Some(range) = &self.range {
            range.write(&mut out);
        }
        out.0
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        if from.u8()? != FORMAT {
            return None;
        }
        let flags = from.u8().filter(|flags| *flags <= SEALED | RANGED)?;
        let root = Self {
            sealed: flags & SEALED != 0,
            seal_token: from.u64()?,
            versioning: Versioning::of_code(from.u8()?)?,
            versioning_revision: from.u64()?,
            objects: from.u64()?,
            versions: from.u64()?,
            bytes: from.u64()?,
            uploads: from.u64()?,
            range: if flags & RANGED == 0 { None } else { Some(Box::new(ShardRange::read(&mut from)?)) },
        };
        from.end(root)
    }
}
