//! The records and their bytes, format version 1 (the first byte of each). See `keys.rs` for where they lie.
//!
//! ```text
//! version   01 flags stamp(8) md5(16) size:varint parts:varint content_type:string [touched(8)] body [null_at(8)] extras...
//!           flags: 1 delete marker, 2 null version, 4 older versions exist, 8 null_at follows, 16 has a content type,
//!           32 has an expiry, 64 touched follows
//! body      00 | 01 blob(16) | 02 blob_ref | 03 manifest(8) parts:varint
//! blob_ref  blob(16) policy:varint chunk_bytes:varint (00 | 01 referrer(16))
//! extras    headers:pairs metadata:pairs checksums:pairs expires:varint      (empty when all are empty)
//! shard     01 flags seal_token(8) versioning versioning_revision(8) objects(8) versions(8) bytes(8) uploads(8) [range]
//!           flags: 1 sealed, 2 range follows
//! range     flags token(8) [begin:string] [end:string next:varint] [hold:string hold_token(8)] [staged:string]
//!           flags: 1 begin, 2 end, 4 hold, 8 staged
//! done      01 stamp(8)
//! blob      01 policy:varint chunk_bytes:varint size:varint own
//! condemned 01 policy:varint chunk_bytes:varint size:varint since(8)
//! part      01 number:varint size:varint md5(16) stamp(8) (00 | 01 blob_ref) checksums:pairs
//! upload    01 content_type:string has_type extras...
//! container 01 state token(8) incarnation(8) created(8) revision(8) versioning policy:varint shards metadata:pairs
//! alias     01 revision(8) incarnation(8) account:string
//! account   01 created(8) revision(8) containers:varint metadata:pairs
//! ```

use crate::codec::{Reader, Writer};
use crate::{Attributes, ETag, VersionId, Versioning};
use ringfort_core::{BlobId, HybridTime};

pub(crate) const FORMAT: u8 = 1;

const MARKER: u8 = 1;
const NULL: u8 = 2;
const OLDER: u8 = 4;
const NULL_AT: u8 = 8;
const TYPED: u8 = 16;
const EXPIRES: u8 = 32;
const TOUCHED: u8 = 64;

impl Versioning {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Off => 0,
            Self::Enabled => 1,
            Self::Suspended => 2,
        }
    }

    pub(crate) const fn of_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Off),
            1 => Some(Self::Enabled),
            2 => Some(Self::Suspended),
            _ => None,
        }
    }
}

/// A reference to a chunked blob, from the record that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobRef {
    /// The blob.
    pub blob: BlobId,
    /// The name this reference has in the blob's home; `None` for the blob's first referrer, whose name is the blob's own.
    pub referrer: Option<BlobId>,
    /// Policy of the blob's chunks.
    pub policy: u16,
    /// Bytes per chunk; the last one may be shorter.
    pub chunk_bytes: u32,
}

impl BlobRef {
    pub(crate) fn write(&self, out: &mut Writer) {
        out.blob(self.blob).varint(u64::from(self.policy)).varint(u64::from(self.chunk_bytes));
        out.option_blob(self.referrer);
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let blob = from.blob()?;
        let policy = from.varint()?.try_into().ok()?;
        let chunk_bytes = from.varint_u32()?;
        Some(Self { blob, policy, chunk_bytes, referrer: from.option_blob()? })
    }
}

/// Where the bytes of a version are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// There are none.
    Empty,
    /// In the metadata group itself; they belong to this version alone.
    Inline(BlobId),
    /// In the chunks of a blob.
    Chunks(BlobRef),
    /// In the parts of a multipart object.
    Manifest {
        /// Names the part records within the shard.
        id: u64,
        /// How many there are.
        parts: u32,
    },
}

impl Body {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Empty => {
                out.u8(0);
            }
            Self::Inline(blob) => {
                out.u8(1).blob(*blob);
            }
            Self::Chunks(blob) => {
                out.u8(2);
                blob.write(out);
            }
            Self::Manifest { id, parts } => {
                out.u8(3).u64(*id).varint(u64::from(*parts));
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(match from.u8()? {
            0 => Self::Empty,
            1 => Self::Inline(from.blob()?),
            2 => Self::Chunks(BlobRef::read(from)?),
            3 => Self::Manifest { id: from.u64()?, parts: from.varint_u32()? },
            _ => return None,
        })
    }
}

/// A version of a key, borrowed from its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version<'a> {
    /// When it was committed; orders the versions of a key.
    pub stamp: u64,
    /// It is the key's null version.
    pub null: bool,
    /// It is a delete marker.
    pub marker: bool,
    /// Entity tag.
    pub etag: ETag,
    /// Size of the body.
    pub size: u64,
    /// MIME type, if one was given.
    pub content_type: Option<&'a str>,
    /// Where the bytes are.
    pub body: Body,
    /// Headers, metadata, checksums and expiry, as [`encode_extras`] makes them.
    pub extras: &'a [u8],
    /// When its attributes were changed last, if that counts as a modification.
    pub touched: Option<u64>,
    /// Of a current version: the key has older ones.
    pub(crate) older: bool,
    /// Of a current version that is not the null version: stamp of the null version among the older ones.
    pub(crate) null_at: Option<u64>,
}

impl<'a> Version<'a> {
    /// Its id.
    #[must_use]
    pub const fn id(&self) -> VersionId {
        if self.null { VersionId::Null } else { VersionId::At(HybridTime(self.stamp)) }
    }

    /// When it was last modified: its bytes by its commit, or its attributes in place.
    #[must_use]
    pub fn modified(&self) -> HybridTime {
        HybridTime(self.touched.unwrap_or(self.stamp))
    }

    /// Names its attributes as they are, for a compare-and-set.
    #[must_use]
    pub fn mark(&self) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new();
        let content_type = self.content_type.unwrap_or_default();
        hasher.update(&[u8::from(self.content_type.is_some())]);
        hasher.update(&(content_type.len() as u64).to_be_bytes());
        hasher.update(content_type.as_bytes()).update(self.extras);
        let mut mark = [0; 16];
        mark.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        mark
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(96 + self.extras.len());
        let flags = bit(self.marker, MARKER)
            | bit(self.null, NULL)
            | bit(self.older, OLDER)
            | bit(self.null_at.is_some(), NULL_AT)
            | bit(self.content_type.is_some(), TYPED)
            | bit(self.expires_at().is_some(), EXPIRES)
            | bit(self.touched.is_some(), TOUCHED);
        out.u8(FORMAT).u8(flags).u64(self.stamp).raw(&self.etag.md5);
        out.varint(self.size).varint(u64::from(self.etag.parts));
        out.bytes(self.content_type.unwrap_or_default().as_bytes());
        if let Some(stamp) = self.touched {
            out.u64(stamp);
        }
        self.body.write(&mut out);
        if let Some(stamp) = self.null_at {
            out.u64(stamp);
        }
        out.raw(self.extras);
        out.0
    }

    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (flags, mut from) = open(bytes)?;
        let stamp = from.u64()?;
        let md5 = from.array()?;
        let size = from.varint()?;
        let etag = ETag { md5, parts: from.varint_u32()? };
        let content_type = from.str()?;
        let touched = if flags & TOUCHED == 0 { None } else { Some(from.u64()?) };
        let body = Body::read(&mut from)?;
        let null_at = if flags & NULL_AT == 0 { None } else { Some(from.u64()?) };
        Some(Self {
            stamp,
            null: flags & NULL != 0,
            marker: flags & MARKER != 0,
            etag,
            size,
            content_type: (flags & TYPED != 0).then_some(content_type),
            body,
            extras: from.0,
            touched,
            older: flags & OLDER != 0,
            null_at,
        })
    }

    /// Seconds since the Unix epoch at which it shall disappear.
    pub(crate) fn expires_at(&self) -> Option<u64> {
        expiry_of(self.extras)
    }

    /// Whether it is an object to who asks at `now` (seconds since the Unix epoch): no delete marker, and not expired.
    #[must_use]
    pub fn visible(&self, now: u64) -> bool {
        !self.marker && self.expires_at().is_none_or(|at| at > now)
    }
}

/// `flag` if it is set.
pub(crate) const fn bit(set: bool, flag: u8) -> u8 {
    if set { flag } else { 0 }
}

fn open(bytes: &[u8]) -> Option<(u8, Reader<'_>)> {
    match bytes {
        [FORMAT, flags, rest @ ..] => Some((*flags, Reader(rest))),
        _ => None,
    }
}

/// The front of a version record, for listings: whether it is a marker, whether there are older versions, and the bytes from
/// the stamp to the content type, which a page takes over as they are.
pub(crate) struct Front<'a> {
    pub(crate) flags: u8,
    pub(crate) fields: &'a [u8],
    /// When its attributes were changed last, if that counts as a modification.
    pub(crate) touched: Option<u64>,
}

impl<'a> Front<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (flags, from) = open(bytes)?;
        let mut rest = from;
        rest.raw(24)?;
        rest.varint()?;
        rest.varint_u32()?;
        rest.str()?;
        let fields = &from.0[..from.0.len() - rest.0.len()];
        let touched = if flags & TOUCHED == 0 { None } else { Some(rest.u64()?) };
        Some(Self { flags, fields, touched })
    }

    pub(crate) const fn marker(&self) -> bool {
        self.flags & MARKER != 0
    }

    pub(crate) const fn null(&self) -> bool {
        self.flags & NULL != 0
    }

    pub(crate) const fn older(&self) -> bool {
        self.flags & OLDER != 0
    }

    pub(crate) const fn expires(&self) -> bool {
        self.flags & EXPIRES != 0
    }
}

/// Everything of the attributes but the content type, as bytes; none when there is nothing.
#[must_use]
pub fn encode_extras(attributes: &Attributes) -> Vec<u8> {
    let Attributes { content_type: _, headers, metadata, checksums, expires_at } = attributes;
    if headers.is_empty() && metadata.is_empty() && checksums.is_empty() && expires_at.is_none() {
        return Vec::new();
    }
    let mut out = Writer::default();
    out.pairs(headers).pairs(metadata).pairs(checksums).varint(expires_at.unwrap_or(0));
    out.0
}

/// The expiry in these bytes, without looking at what precedes it.
fn expiry_of(extras: &[u8]) -> Option<u64> {
    if extras.is_empty() {
        return None;
    }
    let mut from = Reader(extras);
    for _ in 0..3 {
        for _ in 0..2 * from.count()? {
            from.bytes()?;
        }
    }
    from.varint().filter(|at| *at > 0)
}

/// The attributes in these bytes, without a content type. An expiry of 0 is none.
#[must_use]
pub fn decode_extras(bytes: &[u8]) -> Option<Attributes> {
    if bytes.is_empty() {
        return Some(Attributes::default());
    }
    let mut from = Reader(bytes);
    let (headers, metadata, checksums) = (from.pairs()?, from.pairs()?, from.pairs()?);
    let expires_at = Some(from.varint()?).filter(|at| *at > 0);
    from.end(Attributes { content_type: None, headers, metadata, checksums, expires_at })
}

/// What the home slot records of a blob, living or condemned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobRecord {
    /// Policy of its chunks.
    pub policy: u16,
    /// Bytes per chunk.
    pub chunk_bytes: u32,
    /// Bytes in all; 0 if not known (a condemned blob that never was committed).
    pub size: u64,
    /// Living: 1 while its first referrer holds it. Condemned: since when.
    pub mark: u64,
}

impl BlobRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(24);
        out.u8(FORMAT).varint(u64::from(self.policy)).varint(u64::from(self.chunk_bytes));
        out.varint(self.size).varint(self.mark);
        out.0
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        if from.u8()? != FORMAT {
            return None;
        }
        let policy = from.varint()?.try_into().ok()?;
        let record =
            Self { policy, chunk_bytes: from.varint_u32()?, size: from.varint()?, mark: from.varint()? };
        from.end(record)
    }
}

/// A part of an upload or of a multipart object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The number its writer gave it.
    pub number: u32,
    /// Its size.
    pub size: u64,
    /// MD5 of its bytes.
    pub md5: [u8; 16],
    /// When it was committed.
    pub stamp: u64,
    /// Its bytes, unless it is empty.
    pub blob: Option<BlobRef>,
    /// Its checksums.
    pub checksums: Vec<(String, String)>,
}

impl Part {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(64);
        out.u8(FORMAT);
        self.write(&mut out);
        out.0
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        if from.u8()? != FORMAT {
            return None;
        }
        let part = Self::read(&mut from)?;
        from.end(part)
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.varint(u64::from(self.number)).varint(self.size).raw(&self.md5).u64(self.stamp);
        match &self.blob {
            None => {
                out.u8(0);
            }
            Some(blob) => {
                out.u8(1);
                blob.write(out);
            }
        }
        out.pairs(&self.checksums);
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let (number, size, md5, stamp) = (from.varint_u32()?, from.varint()?, from.array()?, from.u64()?);
        let blob = if from.bool()? { Some(BlobRef::read(from)?) } else { None };
        Some(Self { number, size, md5, stamp, blob, checksums: from.pairs()? })
    }
}

/// A multipart upload under way, borrowed from its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UploadRecord<'a> {
    pub(crate) content_type: Option<&'a str>,
    pub(crate) extras: &'a [u8],
}

impl<'a> UploadRecord<'a> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u8(FORMAT).bytes(self.content_type.unwrap_or_default().as_bytes());
        out.bool(self.content_type.is_some()).raw(self.extras);
        out.0
    }

    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        if from.u8()? != FORMAT {
            return None;
        }
        let content_type = from.str()?;
        let typed = from.bool()?;
        Some(Self { content_type: typed.then_some(content_type), extras: from.0 })
    }
}
