//! Queries: what a reader asks of one slot. First byte: the query's number (never 0), second: the format version.

use crate::codec::{Reader, Writer};
use crate::command::{get_shard, get_version, put_at, put_version};
use crate::{ShardId, VersionId};
use ringfort_core::BlobId;

const FORMAT: u8 = 1;

/// A range of keys to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyRange<'a> {
    /// Only keys that begin so.
    pub prefix: &'a str,
    /// Keys that share what precedes this (after the prefix) are rolled up. Empty for none.
    pub delimiter: &'a str,
    /// Only keys and common prefixes after this one.
    pub marker: &'a str,
    /// Only keys before this one; empty for no limit.
    pub end: &'a str,
    /// Goes on with an unfinished page after this key, instead of `marker`: what a page names as its `resume`.
    pub resume: &'a str,
    /// At most so many entries.
    pub limit: u32,
    /// The time, in seconds since the Unix epoch: what has expired by then is not shown. 0 shows everything.
    pub now: u64,
    /// The shard must hold the keys from here on, or refuses with [`crate::Refusal::Below`]: where the shard before it ended.
    /// Empty for where the range begins.
    pub low: &'a str,
}

/// What a reader asks of one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query<'a> {
    /// A version of a key; see [`crate::Found`].
    Get {
        /// The shard the key belongs to.
        shard: ShardId,
        /// The key.
        key: &'a str,
        /// This version instead of the latest.
        version: Option<VersionId>,
        /// Whether an inline body shall come with it.
        body: bool,
    },
    /// A page of objects; see [`crate::Page`].
    List {
        /// The shard.
        shard: ShardId,
        /// Which keys.
        range: KeyRange<'a>,
    },
    /// A page of versions; see [`crate::Page`].
    Versions {
        /// The shard.
        shard: ShardId,
        /// Which keys; with `after`, the marker's own versions too.
        range: KeyRange<'a>,
        /// Go on after this version of the marker.
        after: Option<VersionId>,
    },
    /// A page of uploads; see [`crate::Page`].
    Uploads {
        /// The shard.
        shard: ShardId,
        /// Which keys; with `after`, the marker's own uploads too.
        range: KeyRange<'a>,
        /// Go on after this upload of the marker; 0 for none.
        after: u64,
    },
    /// An upload and its parts; see [`crate::decode_upload`].
    Parts {
        /// The shard the key belongs to.
        shard: ShardId,
        /// The key.
        key: &'a str,
        /// The upload.
        upload: u64,
        /// Only parts above this number.
        after: u32,
        /// At most so many.
        limit: u32,
    },
    /// The parts of a multipart object from the one that holds byte `offset`; see [`crate::decode_manifest`].
    Manifest {
        /// The shard the key belongs to.
        shard: ShardId,
        /// The key.
        key: &'a str,
        /// The manifest.
        id: u64,
        /// Where to begin.
        offset: u64,
        /// At most so many.
        limit: u32,
    },
    /// A container's record, if there is one; see [`crate::decode_container`].
    Container {
        /// The owning account.
        account: &'a str,
        /// The container.
        name: &'a str,
    },
    /// A page of an account's containers; see [`crate::decode_containers`].
    Containers {
        /// The account.
        account: &'a str,
        /// Only names that begin so.
        prefix: &'a str,
        /// Only names after this one.
        marker: &'a str,
        /// At most so many.
        limit: u32,
    },
    /// The holder of a cluster-wide name, if any; see [`crate::decode_alias`].
    Alias {
        /// The container name.
        name: &'a str,
    },
    /// A shard's root; see [`crate::ShardRoot::decode_payload`].
    Shard {
        /// The shard.
        shard: ShardId,
    },
    /// Blobs at home here; see [`crate::decode_blobs`].
    Blobs {
        /// Only those after this one.
        after: Option<BlobId>,
        /// At most so many.
        limit: u32,
    },
    /// Condemned blobs at home here; see [`crate::decode_blobs`].
    Condemned {
        /// Only those after this one.
        after: Option<BlobId>,
        /// At most so many.
        limit: u32,
    },
    /// References to release in other slots; see [`crate::decode_outbox`].
    Outbox {
        /// At most so many.
        limit: u32,
    },
    /// Versions that expired before a time; see [`crate::decode_expiring`].
    Expiring {
        /// Seconds since the Unix epoch.
        before: u64,
        /// At most so many.
        limit: u32,
    },
    /// References from other slots to blobs at home here; see [`crate::decode_references`].
    Referrers {
        /// Only those after this blob and referrer.
        after: Option<(BlobId, BlobId)>,
        /// At most so many.
        limit: u32,
    },
    /// Whether a reference is held here: the payload is one byte, 0 or 1.
    Held {
        /// The reference's name.
        referrer: BlobId,
    },
    /// Where the last keys of a shard begin; see [`crate::decode_tail`].
    Tail {
        /// The shard.
        shard: ShardId,
        /// So many keys.
        keys: u32,
    },
    /// All records of the shard's keys from one on; see [`crate::MovedRecord`].
    Export {
        /// The shard.
        shard: ShardId,
        /// The first key.
        from: &'a str,
        /// At most so many bytes, inline bodies included.
        bytes_max: u32,
    },
    /// A page of objects, the last ones first; see [`crate::Page`].
    ///
    /// In the range, `marker` is above the keys shown, `end` below them, and `low` is where the shard above began: the shard
    /// must reach up to there, or to the end of the range, or refuses with [`crate::Refusal::Above`]. The page names as its
    /// `end` where the shard begins, if keys below that are in the range.
    ListReverse {
        /// The shard.
        shard: ShardId,
        /// Which keys.
        range: KeyRange<'a>,
    },
    /// An account's record, if there is one; see [`crate::decode_account`].
    Account {
        /// The account.
        account: &'a str,
    },
    /// A page of an account's containers as a listing of keys; see [`crate::decode_container_items`].
    ContainerItems {
        /// The account.
        account: &'a str,
        /// Which names. `resume`, `low` and `now` do not apply.
        range: KeyRange<'a>,
        /// The last ones first: `marker` is above the names shown, `end` below them.
        reverse: bool,
    },
    /// The containers here, of all accounts, whose metadata have an entry of this name; see [`crate::decode_marked`].
    Marked {
        /// The entry's name.
        entry: &'a str,
        /// Go on after this account and container; empty for the first.
        after: (&'a str, &'a str),
        /// At most so many, and no more than a fixed number is looked at.
        limit: u32,
    },
}

fn put_shard(out: &mut Writer, shard: ShardId) {
    out.u64(shard.incarnation).u32(shard.number);
}

impl<'a> KeyRange<'a> {
    fn write(&self, out: &mut Writer) {
        for text in [self.prefix, self.delimiter, self.marker, self.end, self.resume, self.low] {
            out.bytes(text.as_bytes());
        }
        out.u32(self.limit).varint(self.now);
    }

    fn read(from: &mut Reader<'a>) -> Option<Self> {
        let (prefix, delimiter, marker) = (from.str()?, from.str()?, from.str()?);
        let (end, resume, low) = (from.str()?, from.str()?, from.str()?);
        Some(Self { prefix, delimiter, marker, end, resume, low, limit: from.u32()?, now: from.varint()? })
    }
}

impl<'a> Query<'a> {
    const fn number(&self) -> u8 {
        match self {
            Self::Get { .. } => 1,
            Self::List { .. } => 2,
            Self::Versions { .. } => 3,
            Self::Uploads { .. } => 4,
            Self::Parts { .. } => 5,
            Self::Manifest { .. } => 6,
            Self::Container { .. } => 7,
            Self::Containers { .. } => 8,
            Self::Alias { .. } => 9,
            Self::Shard { .. } => 10,
            Self::Blobs { .. } => 11,
            Self::Condemned { .. } => 12,
            Self::Outbox { .. } => 13,
            Self::Expiring { .. } => 14,
            Self::Referrers { .. } => 15,
            Self::Held { .. } => 16,
            Self::Tail { .. } => 17,
            Self::Export { .. } => 18,
            Self::ListReverse { .. } => 19,
            Self::Account { .. } => 20,
            Self::ContainerItems { .. } => 21,
            Self::Marked { .. } => 22,
        }
    }

    /// The query as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(96);
        out.u8(self.number()).u8(FORMAT);
        match self {
            Self::Get { shard, key, version, body } => {
                put_at(&mut out, *shard, key);
                put_version(&mut out, *version);
                out.bool(*body);
            }
            Self::List { shard, range } | Self::ListReverse { shard, range } => {
                put_shard(&mut out, *shard);
                range.write(&mut out);
            }
            Self::Versions { shard, range, after } => {
                put_shard(&mut out, *shard);
                range.write(&mut out);
                put_version(&mut out, *after);
            }
            Self::Uploads { shard, range, after } => {
                put_shard(&mut out, *shard);
                range.write(&mut out);
                out.u64(*after);
            }
            Self::Parts { shard, key, upload, after, limit } => {
                put_at(&mut out, *shard, key);
                out.u64(*upload).u32(*after).u32(*limit);
            }
            Self::Manifest { shard, key, id, offset, limit } => {
                put_at(&mut out, *shard, key);
                out.u64(*id).u64(*offset).u32(*limit);
            }
            Self::Container { account, name } => {
                out.bytes(account.as_bytes()).bytes(name.as_bytes());
            }
            Self::Containers { account, prefix, marker, limit } => {
                out.bytes(account.as_bytes()).bytes(prefix.as_bytes()).bytes(marker.as_bytes()).u32(*limit);
            }
            Self::Account { account: name } | Self::Alias { name } => {
                out.bytes(name.as_bytes());
            }
            Self::Shard { shard } => put_shard(&mut out, *shard),
            Self::Blobs { after, limit } | Self::Condemned { after, limit } => {
                out.option_blob(*after).u32(*limit);
            }
            Self::Outbox { limit } => {
                out.u32(*limit);
            }
            Self::Expiring { before, limit } => {
                out.u64(*before).u32(*limit);
            }
            Self::Referrers { after, limit } => {
                out.option_blob(after.map(|(blob, _)| blob))
                    .option_blob(after.map(|(_, name)| name))
                    .u32(*limit);
            }
            Self::Held { referrer } => {
                out.blob(*referrer);
            }
            Self::Tail { shard, keys } => {
                put_shard(&mut out, *shard);
                out.u32(*keys);
            }
            Self::Export { shard, from, bytes_max } => {
                put_at(&mut out, *shard, from);
                out.u32(*bytes_max);
            }
            Self::Marked { entry, after: (account, name), limit } => {
                out.bytes(entry.as_bytes()).bytes(account.as_bytes()).bytes(name.as_bytes()).u32(*limit);
            }
            Self::ContainerItems { account, range, reverse } => {
                out.bytes(account.as_bytes());
                range.write(&mut out);
                out.bool(*reverse);
            }
        }
        out.0
    }

    /// The query in these bytes.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let [number, FORMAT, rest @ ..] = bytes else { return None };
        let mut from = Reader(rest);
        let query = match number {
            1..=6 | 10 | 17..=19 => Self::read_shard(*number, &mut from)?,
            7 => Self::Container { account: from.str()?, name: from.str()? },
            8 => {
                let (account, prefix, marker) = (from.str()?, from.str()?, from.str()?);
                Self::Containers { account, prefix, marker, limit: from.u32()? }
            }
            9 => Self::Alias { name: from.str()? },
            11 => Self::Blobs { after: from.option_blob()?, limit: from.u32()? },
            12 => Self::Condemned { after: from.option_blob()?, limit: from.u32()? },
            13 => Self::Outbox { limit: from.u32()? },
            14 => Self::Expiring { before: from.u64()?, limit: from.u32()? },
            15 => {
                let after = from.option_blob()?.zip(from.option_blob()?);
                Self::Referrers { after, limit: from.u32()? }
            }
            16 => Self::Held { referrer: from.blob()? },
            20 => Self::Account { account: from.str()? },
            21 => {
                let (account, range) = (from.str()?, KeyRange::read(&mut from)?);
                Self::ContainerItems { account, range, reverse: from.bool()? }
            }
            22 => {
                let (entry, after) = (from.str()?, (from.str()?, from.str()?));
                Self::Marked { entry, after, limit: from.u32()? }
            }
            _ => return None,
        };
        from.end(query)
    }

    fn read_shard(number: u8, from: &mut Reader<'a>) -> Option<Self> {
        let shard = get_shard(from)?;
        Some(match number {
            1 => {
                let (key, version) = (from.str()?, get_version(from)?);
                Self::Get { shard, key, version, body: from.bool()? }
            }
            2 => Self::List { shard, range: KeyRange::read(from)? },
            3 => Self::Versions { shard, range: KeyRange::read(from)?, after: get_version(from)? },
            4 => Self::Uploads { shard, range: KeyRange::read(from)?, after: from.u64()? },
            5 => {
                let (key, upload, after) = (from.str()?, from.u64()?, from.u32()?);
                Self::Parts { shard, key, upload, after, limit: from.u32()? }
            }
            6 => {
                let (key, id, offset) = (from.str()?, from.u64()?, from.u64()?);
                Self::Manifest { shard, key, id, offset, limit: from.u32()? }
            }
            10 => Self::Shard { shard },
            17 => Self::Tail { shard, keys: from.u32()? },
            18 => Self::Export { shard, from: from.str()?, bytes_max: from.u32()? },
            19 => Self::ListReverse { shard, range: KeyRange::read(from)? },
            _ => return None,
        })
    }
}
