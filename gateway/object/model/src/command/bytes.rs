//! Commands as bytes. First byte: the command's number (never 0, which other models use), second: the format version. A number
//! is never given another meaning.

use super::*;
use crate::codec::{Reader, Writer};

const FORMAT: u8 = 1;

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
