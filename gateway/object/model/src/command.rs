//! Commands: what a writer asks of one slot. First byte: the command's number (never 0, which other models use), second: the
//! format version. A number is never given another meaning.

use crate::codec::{Reader, Writer};
use crate::container::ContainerRecord;
use crate::moving::MovedRecord;
use crate::record::{BlobRef, Part};
use crate::{ETag, ETagMatch, ShardId, VersionId, Versioning, WriteConditions};
use ringfort_core::{BlobId, HybridTime};

const FORMAT: u8 = 1;

/// Where the bytes of a new version are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewBody {
    /// There are none.
    Empty,
    /// In body 0 of the command, to be kept under this name.
    Inline(BlobId),
    /// In the chunks of a new blob, at home in the key's slot.
    Chunks {
        /// The blob.
        blob: BlobId,
        /// Policy of its chunks.
        policy: u16,
        /// Bytes per chunk.
        chunk_bytes: u32,
    },
    /// In a blob that exists. If its home is another slot, the reference has been added there before.
    Shared(BlobRef),
    /// In the blobs of another multipart object's parts, in order; as for `Shared`.
    Parts(Vec<Part>),
}

/// Stores a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutObject<'a> {
    /// The shard the key belongs to.
    pub shard: ShardId,
    /// The key.
    pub key: &'a str,
    /// What must hold of the latest version.
    pub conditions: WriteConditions,
    /// Size of the body.
    pub size: u64,
    /// Entity tag.
    pub etag: ETag,
    /// MIME type.
    pub content_type: Option<&'a str>,
    /// The other attributes, by [`crate::encode_extras`].
    pub extras: &'a [u8],
    /// Where the bytes are.
    pub body: NewBody,
}

/// Makes an object of an upload's parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompleteUpload<'a> {
    /// The shard the key belongs to.
    pub shard: ShardId,
    /// The key.
    pub key: &'a str,
    /// The upload.
    pub upload: u64,
    /// What must hold of the latest version.
    pub conditions: WriteConditions,
    /// Entity tag of the whole.
    pub etag: ETag,
    /// Least size of every part but the last.
    pub part_bytes_min: u64,
    /// Checksums of the whole.
    pub checksums: Vec<(String, String)>,
    /// Number and MD5 of each part, in ascending order.
    pub parts: Vec<(u32, [u8; 16])>,
}

/// What of a key a rule of its container retires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retired {
    /// The latest version, by the rules of versioning.
    Latest,
    /// A version that is not the latest, for good.
    Noncurrent,
    /// A delete marker with no version left beneath it, for good.
    LoneMarker,
}

impl Retired {
    const fn code(self) -> u8 {
        match self {
            Self::Latest => 0,
            Self::Noncurrent => 1,
            Self::LoneMarker => 2,
        }
    }

    const fn of_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Latest),
            1 => Some(Self::Noncurrent),
            2 => Some(Self::LoneMarker),
            _ => None,
        }
    }
}

/// Changes the attributes of a version in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAttributes<'a> {
    /// The shard the key belongs to.
    pub shard: ShardId,
    /// The key.
    pub key: &'a str,
    /// The version's stamp.
    pub stamp: u64,
    /// The attributes it must have: see [`crate::Version::mark`].
    pub expect: [u8; 16],
    /// Whether this counts as a modification.
    pub touch: bool,
    /// MIME type.
    pub content_type: Option<&'a str>,
    /// The other attributes, by [`crate::encode_extras`].
    pub extras: &'a [u8],
}

/// What a writer asks of one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Stores a version.
    Put(PutObject<'a>),
    /// Deletes the latest version by the rules of versioning, or a named one for good.
    Delete {
        /// The shard the key belongs to.
        shard: ShardId,
        /// The key.
        key: &'a str,
        /// This version for good.
        version: Option<VersionId>,
        /// What must hold of the version named, or the latest.
        conditions: WriteConditions,
    },
    /// Removes the version of this stamp for good if it has expired at the time of the commit.
    Expire {
        /// The shard the key belongs to.
        shard: ShardId,
        /// The key.
        key: &'a str,
        /// The version's stamp.
        stamp: u64,
        /// The expiry it was queued under.
        at: u64,
    },
    /// Writes a container record if its revision is the expected one (0: there is none); `None` removes it.
    SetContainer {
        /// The owning account.
        account: &'a str,
        /// The container.
        name: &'a str,
        /// The revision expected.
        expect: u64,
        /// The record; its revision is set by the commit, and so is `created` when it is new.
        record: Option<ContainerRecord>,
    },
    /// Writes or removes a cluster-wide name, under the same condition.
    SetAlias {
        /// The container name.
        name: &'a str,
        /// The revision expected.
        expect: u64,
        /// The new holder's account and incarnation.
        holder: Option<(&'a str, u64)>,
    },
    /// Makes a shard's root, unless it is there.
    CreateShard {
        /// The shard.
        shard: ShardId,
        /// What writes do with the version before them.
        versioning: Versioning,
        /// The container revision this comes from.
        revision: u64,
    },
    /// Switches versioning, unless a later revision did.
    SetVersioning {
        /// The shard.
        shard: ShardId,
        /// What writes do with the version before them.
        versioning: Versioning,
        /// The container revision this comes from.
        revision: u64,
    },
    /// Refuses writes from now on.
    Seal {
        /// The shard.
        shard: ShardId,
        /// Names the deletion.
        token: u64,
    },
    /// Takes writes again, if this deletion sealed the shard.
    Unseal {
        /// The shard.
        shard: ShardId,
        /// Names the deletion.
        token: u64,
    },
    /// Removes the root of a sealed shard that holds nothing.
    RemoveShard {
        /// The shard.
        shard: ShardId,
    },
    /// Begins a multipart upload.
    CreateUpload {
        /// The shard the key belongs to.
        shard: ShardId,
        /// The key.
        key: &'a str,
        /// MIME type.
        content_type: Option<&'a str>,
        /// The other attributes.
        extras: &'a [u8],
    },
    /// Stores a part; an earlier one of the same number is dropped.
    PutPart {
        /// The shard the key belongs to.
        shard: ShardId,
        /// The key.
        key: &'a str,
        /// The upload.
        upload: u64,
        /// The part; its stamp is set by the commit.
        part: Part,
    },
    /// Makes an object of an upload's parts.
    Complete(CompleteUpload<'a>),
    /// Ends an upload and drops its parts.
    AbortUpload {
        /// The shard the key belongs to.
        shard: ShardId,
        /// The key.
        key: &'a str,
        /// The upload.
        upload: u64,
    },
    /// Adds these references to blobs at home here, all or none.
    AddReferrers(Vec<(BlobId, BlobId)>),
    /// Drops these references to blobs at home here; those that are not there are passed over.
    DropReferrers(Vec<(BlobId, BlobId)>),
    /// Condemns those of these blobs that have no home record, so that no later commit can refer to them.
    Condemn(Vec<(BlobId, u16)>),
    /// Forgets condemned blobs whose chunks are gone everywhere.
    Collected(Vec<BlobId>),
    /// Forgets entries of the outbox that were delivered.
    Delivered(Vec<(u64, u32)>),
    /// Makes a shard that is to take over the last keys of the one before it.
    CreateTaker {
        /// The shard.
        shard: ShardId,
        /// What writes do with the version before them.
        versioning: Versioning,
        /// The container revision this comes from.
        revision: u64,
        /// Where it ends, and the shard after it.
        end: Option<(&'a str, u32)>,
    },
    /// Writes of keys from this one on wait from now on; answers the root, whose hold names the move.
    Hold {
        /// The shard that gives.
        shard: ShardId,
        /// The first key.
        from: &'a str,
    },
    /// Calls a move off, unless it was decided.
    Unhold {
        /// The shard that gives.
        shard: ShardId,
        /// Names the move.
        token: u64,
    },
    /// Keeps a copy of the held keys. Inline bodies come along in the order of their records.
    Import {
        /// The shard that takes.
        shard: ShardId,
        /// Names the move.
        token: u64,
        /// Where the giver ends: the first key that this shard has, `None` if it has none.
        begin: Option<&'a str>,
        /// The first key moved.
        from: &'a str,
        /// The records, renamed.
        records: Vec<MovedRecord>,
    },
    /// Removes the held keys: from now on the shard after this one has them. Answers the root.
    Cut {
        /// The shard that gives.
        shard: ShardId,
        /// Names the move.
        token: u64,
        /// The shard that takes.
        next: u32,
    },
    /// Serves the keys that were copied, from the key on at which the giver ends now.
    Serve {
        /// The shard that takes.
        shard: ShardId,
        /// Where the giver ends.
        begin: &'a str,
    },
    /// Makes the home record of a blob whose only referrer is held in another slot.
    AddBlob {
        /// The blob.
        blob: BlobId,
        /// Policy of its chunks.
        policy: u16,
        /// Bytes per chunk.
        chunk_bytes: u32,
        /// Its size.
        size: u64,
        /// The reference's name.
        referrer: BlobId,
    },
    /// Changes the attributes of a version in place; answers the version as [`crate::Found`].
    SetAttributes(SetAttributes<'a>),
    /// Replaces an account's metadata if their revision is the expected one (0: there are none); `None` removes the account,
    /// which must have no container.
    SetAccount {
        /// The account.
        account: &'a str,
        /// The revision expected.
        expect: u64,
        /// The metadata.
        metadata: Option<Vec<(String, String)>>,
    },
    /// Retires a version that a rule applies to, if it still is what the rule was applied to; answers as `Delete` does.
    Retire {
        /// The shard the key belongs to.
        shard: ShardId,
        /// The key.
        key: &'a str,
        /// The version.
        version: VersionId,
        /// When it was modified.
        modified: u64,
        /// What it must be.
        what: Retired,
    },
}

fn put_shard(out: &mut Writer, shard: ShardId) {
    out.u64(shard.incarnation).u32(shard.number);
}

pub(crate) fn get_shard(from: &mut Reader<'_>) -> Option<ShardId> {
    Some(ShardId { incarnation: from.u64()?, number: from.u32()? })
}

pub(crate) fn put_at(out: &mut Writer, shard: ShardId, key: &str) {
    put_shard(out, shard);
    out.bytes(key.as_bytes());
}

fn put_type(out: &mut Writer, content_type: Option<&str>) {
    match content_type {
        None => out.u8(0),
        Some(text) => out.u8(1).bytes(text.as_bytes()),
    };
}

fn get_type<'a>(from: &mut Reader<'a>) -> Option<Option<&'a str>> {
    if from.bool()? { from.str().map(Some) } else { Some(None) }
}

fn put_match(out: &mut Writer, condition: Option<&ETagMatch>) {
    match condition {
        None => {
            out.u8(0);
        }
        Some(ETagMatch::Any) => {
            out.u8(1);
        }
        Some(ETagMatch::OneOf(tags)) => {
            out.u8(2).len(tags.len());
            for tag in tags {
                out.raw(&tag.md5).varint(u64::from(tag.parts));
            }
        }
    }
}

fn get_match(from: &mut Reader<'_>) -> Option<Option<ETagMatch>> {
    Some(match from.u8()? {
        0 => None,
        1 => Some(ETagMatch::Any),
        2 => {
            let count = from.count()?;
            let tags = (0..count).map(|_| get_etag(from)).collect::<Option<_>>()?;
            Some(ETagMatch::OneOf(tags))
        }
        _ => return None,
    })
}

fn get_etag(from: &mut Reader<'_>) -> Option<ETag> {
    Some(ETag { md5: from.array()?, parts: from.varint_u32()? })
}

fn put_conditions(out: &mut Writer, conditions: &WriteConditions) {
    put_match(out, conditions.if_match.as_ref());
    put_match(out, conditions.if_none_match.as_ref());
}

fn get_conditions(from: &mut Reader<'_>) -> Option<WriteConditions> {
    Some(WriteConditions { if_match: get_match(from)?, if_none_match: get_match(from)? })
}

pub(crate) fn put_version(out: &mut Writer, version: Option<VersionId>) {
    match version {
        None => out.u8(0),
        Some(VersionId::Null) => out.u8(1),
        Some(VersionId::At(stamp)) => out.u8(2).u64(stamp.0),
    };
}

pub(crate) fn get_version(from: &mut Reader<'_>) -> Option<Option<VersionId>> {
    Some(match from.u8()? {
        0 => None,
        1 => Some(VersionId::Null),
        2 => Some(VersionId::At(HybridTime(from.u64()?))),
        _ => return None,
    })
}

impl NewBody {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Empty => {
                out.u8(0);
            }
            Self::Inline(blob) => {
                out.u8(1).blob(*blob);
            }
            Self::Chunks { blob, policy, chunk_bytes } => {
                out.u8(2).blob(*blob).varint(u64::from(*policy)).varint(u64::from(*chunk_bytes));
            }
            Self::Shared(blob) => {
                out.u8(3);
                blob.write(out);
            }
            Self::Parts(parts) => {
                out.u8(4).len(parts.len());
                for part in parts {
                    part.write(out);
                }
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(match from.u8()? {
            0 => Self::Empty,
            1 => Self::Inline(from.blob()?),
            2 => {
                let (blob, policy) = (from.blob()?, from.varint()?.try_into().ok()?);
                Self::Chunks { blob, policy, chunk_bytes: from.varint_u32()? }
            }
            3 => Self::Shared(BlobRef::read(from)?),
            4 => {
                let count = from.count()?;
                Self::Parts((0..count).map(|_| Part::read(from)).collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }
}

impl PutObject<'_> {
    fn write(&self, out: &mut Writer) {
        put_at(out, self.shard, self.key);
        put_conditions(out, &self.conditions);
        out.varint(self.size).raw(&self.etag.md5).varint(u64::from(self.etag.parts));
        put_type(out, self.content_type);
        out.bytes(self.extras);
        self.body.write(out);
    }
}

impl<'a> PutObject<'a> {
    fn read(from: &mut Reader<'a>) -> Option<Self> {
        Some(Self {
            shard: get_shard(from)?,
            key: from.str()?,
            conditions: get_conditions(from)?,
            size: from.varint()?,
            etag: get_etag(from)?,
            content_type: get_type(from)?,
            extras: from.bytes()?,
            body: NewBody::read(from)?,
        })
    }
}

impl SetAttributes<'_> {
    fn write(&self, out: &mut Writer) {
        put_at(out, self.shard, self.key);
        out.u64(self.stamp).raw(&self.expect).bool(self.touch);
        put_type(out, self.content_type);
        out.bytes(self.extras);
    }
}

impl<'a> SetAttributes<'a> {
    fn read(from: &mut Reader<'a>) -> Option<Self> {
        Some(Self {
            shard: get_shard(from)?,
            key: from.str()?,
            stamp: from.u64()?,
            expect: from.array()?,
            touch: from.bool()?,
            content_type: get_type(from)?,
            extras: from.bytes()?,
        })
    }
}

impl CompleteUpload<'_> {
    fn write(&self, out: &mut Writer) {
        put_at(out, self.shard, self.key);
        out.u64(self.upload);
        put_conditions(out, &self.conditions);
        out.raw(&self.etag.md5).varint(u64::from(self.etag.parts)).varint(self.part_bytes_min);
        out.pairs(&self.checksums).len(self.parts.len());
        for (number, md5) in &self.parts {
            out.varint(u64::from(*number)).raw(md5);
        }
    }
}

impl<'a> CompleteUpload<'a> {
    fn read(from: &mut Reader<'a>) -> Option<Self> {
        let (shard, key, upload) = (get_shard(from)?, from.str()?, from.u64()?);
        let conditions = get_conditions(from)?;
        let (etag, part_bytes_min, checksums) = (get_etag(from)?, from.varint()?, from.pairs()?);
        let count = from.count()?;
        let parts =
            (0..count).map(|_| Some((from.varint_u32()?, from.array()?))).collect::<Option<Vec<_>>>()?;
        Some(Self { shard, key, upload, conditions, etag, part_bytes_min, checksums, parts })
    }
}

fn put_blob_pairs(out: &mut Writer, pairs: &[(BlobId, BlobId)]) {
    out.len(pairs.len());
    for (blob, referrer) in pairs {
        out.blob(*blob).blob(*referrer);
    }
}

fn get_blob_pairs(from: &mut Reader<'_>) -> Option<Vec<(BlobId, BlobId)>> {
    let count = from.count()?;
    (0..count).map(|_| Some((from.blob()?, from.blob()?))).collect()
}

impl<'a> Command<'a> {
    /// The command as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(192);
        out.u8(self.number()).u8(FORMAT);
        self.write(&mut out);
        out.0
    }

    const fn number(&self) -> u8 {
        match self {
            Self::Put(_) => 1,
            Self::Delete { .. } => 2,
            Self::Expire { .. } => 3,
            Self::SetContainer { .. } => 4,
            Self::SetAlias { .. } => 5,
            Self::CreateShard { .. } => 6,
            Self::SetVersioning { .. } => 7,
            Self::Seal { .. } => 8,
            Self::Unseal { .. } => 9,
            Self::RemoveShard { .. } => 10,
            Self::CreateUpload { .. } => 11,
            Self::PutPart { .. } => 12,
            Self::Complete(_) => 13,
            Self::AbortUpload { .. } => 14,
            Self::AddReferrers(_) => 15,
            Self::DropReferrers(_) => 16,
            Self::Condemn(_) => 17,
            Self::Collected(_) => 18,
            Self::Delivered(_) => 19,
            Self::CreateTaker { .. } => 20,
            Self::Hold { .. } => 21,
            Self::Unhold { .. } => 22,
            Self::Import { .. } => 23,
            Self::Cut { .. } => 24,
            Self::Serve { .. } => 25,
            Self::AddBlob { .. } => 26,
            Self::SetAttributes(_) => 27,
            Self::SetAccount { .. } => 28,
            Self::Retire { .. } => 29,
        }
    }

    fn write(&self, out: &mut Writer) {
        match self {
            Self::Put(put) => put.write(out),
            Self::Delete { shard, key, version, conditions } => {
                put_at(out, *shard, key);
                put_version(out, *version);
                put_conditions(out, conditions);
            }
            Self::Expire { shard, key, stamp, at } => {
                put_at(out, *shard, key);
                out.u64(*stamp).u64(*at);
            }
            Self::SetContainer { account, name, expect, record } => {
                out.bytes(account.as_bytes()).bytes(name.as_bytes()).u64(*expect).bool(record.is_some());
                if let Some(record) = record {
                    record.write(out);
                }
            }
            Self::SetAlias { name, expect, holder } => {
                out.bytes(name.as_bytes()).u64(*expect).bool(holder.is_some());
                if let Some((account, incarnation)) = holder {
                    out.bytes(account.as_bytes()).u64(*incarnation);
                }
            }
            Self::CreateShard { shard, versioning, revision }
            | Self::SetVersioning { shard, versioning, revision } => {
                put_shard(out, *shard);
                out.u8(versioning.code()).u64(*revision);
            }
            Self::Seal { shard, token } | Self::Unseal { shard, token } | Self::Unhold { shard, token } => {
                put_shard(out, *shard);
                out.u64(*token);
            }
            Self::RemoveShard { shard } => put_shard(out, *shard),
            Self::CreateUpload { shard, key, content_type, extras } => {
                put_at(out, *shard, key);
                put_type(out, *content_type);
                out.bytes(extras);
            }
            Self::PutPart { shard, key, upload, part } => {
                put_at(out, *shard, key);
                out.u64(*upload);
                part.write(out);
            }
            Self::Complete(complete) => complete.write(out),
            Self::AbortUpload { shard, key, upload } => {
                put_at(out, *shard, key);
                out.u64(*upload);
            }
            Self::AddReferrers(pairs) | Self::DropReferrers(pairs) => put_blob_pairs(out, pairs),
            Self::Condemn(blobs) => {
                out.len(blobs.len());
                for (blob, policy) in blobs {
                    out.blob(*blob).varint(u64::from(*policy));
                }
            }
            Self::Collected(blobs) => {
                out.len(blobs.len());
                for blob in blobs {
                    out.blob(*blob);
                }
            }
            Self::Delivered(entries) => {
                out.len(entries.len());
                for (stamp, number) in entries {
                    out.u64(*stamp).u32(*number);
                }
            }
            Self::CreateTaker { shard, versioning, revision, end } => {
                put_shard(out, *shard);
                out.u8(versioning.code()).u64(*revision).bool(end.is_some());
                if let Some((end, next)) = end {
                    out.bytes(end.as_bytes()).u32(*next);
                }
            }
            Self::Hold { shard, from } => put_at(out, *shard, from),
            Self::Import { shard, token, begin, from, records } => {
                put_at(out, *shard, from);
                put_type(out, *begin);
                out.u64(*token).len(records.len());
                records.iter().for_each(|record| record.write(out));
            }
            Self::Cut { shard, token, next } => {
                put_shard(out, *shard);
                out.u64(*token).u32(*next);
            }
            Self::Serve { shard, begin } => put_at(out, *shard, begin),
            Self::AddBlob { blob, policy, chunk_bytes, size, referrer } => {
                out.blob(*blob).varint(u64::from(*policy)).varint(u64::from(*chunk_bytes));
                out.varint(*size).blob(*referrer);
            }
            Self::SetAttributes(set) => set.write(out),
            Self::Retire { shard, key, version, modified, what } => {
                put_at(out, *shard, key);
                put_version(out, Some(*version));
                out.u64(*modified).u8(what.code());
            }
            Self::SetAccount { account, expect, metadata } => {
                out.bytes(account.as_bytes()).u64(*expect).bool(metadata.is_some());
                if let Some(metadata) = metadata {
                    out.pairs(metadata);
                }
            }
        }
    }

    /// The command in these bytes.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let [number, FORMAT, rest @ ..] = bytes else { return None };
        let mut from = Reader(rest);
        let command = match number {
            1 => Self::Put(PutObject::read(&mut from)?),
            2..=3 | 11..=14 | 29 => Self::read_keyed(*number, &mut from)?,
            4..=10 => Self::read_container(*number, &mut from)?,
            15..=19 | 26 => Self::read_blobs(*number, &mut from)?,
            20..=25 => Self::read_moving(*number, &mut from)?,
            27 => Self::SetAttributes(SetAttributes::read(&mut from)?),
            28 => {
                let (account, expect) = (from.str()?, from.u64()?);
                let metadata = if from.bool()? { Some(from.pairs()?) } else { None };
                Self::SetAccount { account, expect, metadata }
            }
            _ => return None,
        };
        from.end(command)
    }

    fn read_keyed(number: u8, from: &mut Reader<'a>) -> Option<Self> {
        if number == 13 {
            return CompleteUpload::read(from).map(Self::Complete);
        }
        let (shard, key) = (get_shard(from)?, from.str()?);
        Some(match number {
            2 => {
                let version = get_version(from)?;
                Self::Delete { shard, key, version, conditions: get_conditions(from)? }
            }
            3 => Self::Expire { shard, key, stamp: from.u64()?, at: from.u64()? },
            11 => Self::CreateUpload { shard, key, content_type: get_type(from)?, extras: from.bytes()? },
            12 => Self::PutPart { shard, key, upload: from.u64()?, part: Part::read(from)? },
            14 => Self::AbortUpload { shard, key, upload: from.u64()? },
            29 => {
                let (version, modified) = (get_version(from)??, from.u64()?);
                Self::Retire { shard, key, version, modified, what: Retired::of_code(from.u8()?)? }
            }
            _ => return None,
        })
    }

    fn read_container(number: u8, from: &mut Reader<'a>) -> Option<Self> {
        if number == 4 {
            let (account, name, expect) = (from.str()?, from.str()?, from.u64()?);
            let record = if from.bool()? { Some(ContainerRecord::read(from)?) } else { None };
            return Some(Self::SetContainer { account, name, expect, record });
        }
        if number == 5 {
            let (name, expect) = (from.str()?, from.u64()?);
            let holder = if from.bool()? { Some((from.str()?, from.u64()?)) } else { None };
            return Some(Self::SetAlias { name, expect, holder });
        }
        let shard = get_shard(from)?;
        Some(match number {
            6 | 7 => {
                let (versioning, revision) = (Versioning::of_code(from.u8()?)?, from.u64()?);
                if number == 6 {
                    Self::CreateShard { shard, versioning, revision }
                } else {
                    Self::SetVersioning { shard, versioning, revision }
                }
            }
            8 => Self::Seal { shard, token: from.u64()? },
            9 => Self::Unseal { shard, token: from.u64()? },
            10 => Self::RemoveShard { shard },
            _ => return None,
        })
    }

    fn read_moving(number: u8, from: &mut Reader<'a>) -> Option<Self> {
        let shard = get_shard(from)?;
        Some(match number {
            20 => {
                let (versioning, revision) = (Versioning::of_code(from.u8()?)?, from.u64()?);
                let end = if from.bool()? { Some((from.str()?, from.u32()?)) } else { None };
                Self::CreateTaker { shard, versioning, revision, end }
            }
            21 => Self::Hold { shard, from: from.str()? },
            22 => Self::Unhold { shard, token: from.u64()? },
            23 => {
                let (first, begin, token) = (from.str()?, get_type(from)?, from.u64()?);
                let count = from.count()?;
                let records = (0..count).map(|_| MovedRecord::read(from)).collect::<Option<_>>()?;
                Self::Import { shard, token, begin, from: first, records }
            }
            24 => Self::Cut { shard, token: from.u64()?, next: from.u32()? },
            25 => Self::Serve { shard, begin: from.str()? },
            _ => return None,
        })
    }

    fn read_blobs(number: u8, from: &mut Reader<'a>) -> Option<Self> {
        if number == 26 {
            let (blob, policy) = (from.blob()?, from.varint()?.try_into().ok()?);
            let (chunk_bytes, size) = (from.varint_u32()?, from.varint()?);
            return Some(Self::AddBlob { blob, policy, chunk_bytes, size, referrer: from.blob()? });
        }
        if number <= 16 {
            let pairs = get_blob_pairs(from)?;
            return Some(if number == 15 { Self::AddReferrers(pairs) } else { Self::DropReferrers(pairs) });
        }
        let count = from.count()?;
        Some(match number {
            17 => Self::Condemn(
                (0..count)
                    .map(|_| Some((from.blob()?, from.varint()?.try_into().ok()?)))
                    .collect::<Option<_>>()?,
            ),
            18 => Self::Collected((0..count).map(|_| from.blob()).collect::<Option<_>>()?),
            19 => {
                Self::Delivered((0..count).map(|_| Some((from.u64()?, from.u32()?))).collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }
}
