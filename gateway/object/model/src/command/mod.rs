//! Commands: what a writer asks of one slot. See `bytes.rs` for how they are sent and stored.

mod bytes;

pub(crate) use bytes::{get_shard, get_version, put_at, put_version};

use crate::container::ContainerRecord;
use crate::moving::MovedRecord;
use crate::record::{BlobRef, Part};
use crate::{ETag, ETagMatch, ShardId, VersionId, Versioning, WriteConditions};
use ringfort_core::{BlobId, HybridTime};

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
