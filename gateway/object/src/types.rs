//! What callers say and hear: requests, options and answers of the object layer.

use crate::{BodyError, ObjectError};
use bytes::Bytes;
use futures_util::Stream;
use parking_lot::Mutex;
use ringfort_core::{BlobId, HybridTime};
use ringfort_object_model::{Attributes, ETag, ETagMatch, UploadId, VersionId, Versioning, WriteConditions};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A body on its way in. An `Err` aborts the write: nothing is stored.
pub type BodyStream = Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>;

/// Names an object: account, container, key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectPath {
    /// The owning account.
    pub account: String,
    /// The container within the account.
    pub container: String,
    /// The key within the container.
    pub key: String,
}

impl ObjectPath {
    /// The path of these three names.
    #[must_use]
    pub fn new(account: impl Into<String>, container: impl Into<String>, key: impl Into<String>) -> Self {
        Self { account: account.into(), container: container.into(), key: key.into() }
    }
}

/// How to create a container.
#[derive(Clone, Debug, Default)]
pub struct CreateContainer {
    /// Storage policy of new objects; the default one if not given.
    pub policy: Option<u16>,
    /// Versioning from the start.
    pub versioning: Versioning,
    /// Metadata of the container.
    pub metadata: Vec<(String, String)>,
    /// Whether a name whose alias another account holds is refused (as S3 does) or created without the alias (as Swift does).
    pub alias_required: bool,
}

/// What came of creating a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// It is new.
    New,
    /// The account had it already; nothing changed.
    AlreadyYours,
}

/// A container as its records tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerInfo {
    /// The incarnation: another one after the container was deleted and made again.
    pub incarnation: u64,
    /// When it was created.
    pub created: HybridTime,
    /// Objects: keys whose latest version is no delete marker. Exact.
    pub objects: u64,
    /// Versions, delete markers included. Exact.
    pub versions: u64,
    /// Bytes of all versions. Exact.
    pub bytes: u64,
    /// Versioning state.
    pub versioning: Versioning,
    /// Storage policy of new objects.
    pub policy: u16,
    /// Metadata of the container.
    pub metadata: Vec<(String, String)>,
}

/// One container in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerSummary {
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created: HybridTime,
}

/// A page of an account's containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerPage {
    /// In order of their names.
    pub containers: Vec<ContainerSummary>,
    /// There are more; go on with the last name as marker.
    pub truncated: bool,
}

/// Which containers to list.
#[derive(Clone, Debug, Default)]
pub struct ContainerListRequest {
    /// Only names that begin so.
    pub prefix: String,
    /// As in [`ListRequest::delimiter`].
    pub delimiter: String,
    /// Only names, and common prefixes, after this one.
    pub marker: String,
    /// Only names before this one; empty for no limit.
    pub end_marker: String,
    /// At most so many entries.
    pub limit: u32,
    /// As in [`ListRequest::reverse`].
    pub reverse: bool,
    /// Whether to count what each container holds.
    pub stats: bool,
}

/// What a container holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContainerStats {
    /// Keys whose latest version is no delete marker.
    pub objects: u64,
    /// Bytes of all versions.
    pub bytes: u64,
}

/// One entry of a listing of containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerEntry {
    /// A container.
    Container {
        /// Its name.
        name: String,
        /// When it was created.
        created: HybridTime,
        /// When its metadata, versioning or index was changed last.
        modified: HybridTime,
        /// Policy of its objects.
        policy: u16,
        /// What it holds, if that was asked for.
        stats: Option<ContainerStats>,
    },
    /// Names that begin so were rolled up.
    CommonPrefix(String),
}

/// A page of containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerListing {
    /// In the order asked for.
    pub entries: Vec<ContainerEntry>,
    /// There are more: go on with `next_marker`.
    pub truncated: bool,
    /// The last name or common prefix of a truncated page.
    pub next_marker: String,
}

/// What the containers of one policy hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicyUse {
    /// Containers.
    pub containers: u64,
    /// What they hold together.
    pub stats: ContainerStats,
}

/// An account as its records tell. One that was never used is there too, with nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountInfo {
    /// Containers. Exact.
    pub containers: u64,
    /// Objects of all containers; may lag, see [`crate::ObjectStore::account`].
    pub objects: u64,
    /// Bytes of all containers; as `objects`.
    pub bytes: u64,
    /// The same by policy, of those that have containers; as `objects`.
    pub policies: Vec<(u16, PolicyUse)>,
    /// Metadata of the account.
    pub metadata: Vec<(String, String)>,
    /// When it was used first, if that is known.
    pub created: Option<HybridTime>,
    /// When its metadata was changed last, if ever.
    pub modified: Option<HybridTime>,
}

/// Checksums that are known only when the body has ended: the dialect keeps a clone and fills it in before its stream ends.
#[derive(Clone, Debug, Default)]
pub struct LateChecksums(Arc<Mutex<Vec<(String, String)>>>);

impl LateChecksums {
    /// Adds a checksum by name.
    pub fn add(&self, name: impl Into<String>, value: impl Into<String>) {
        self.0.lock().push((name.into(), value.into()));
    }

    /// Takes what was added.
    #[must_use]
    pub fn take(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.0.lock())
    }
}

/// How to store an object.
#[derive(Clone, Debug, Default)]
pub struct PutOptions {
    /// What is kept beside the bytes.
    pub attributes: Attributes,
    /// What must hold of the latest version.
    pub conditions: WriteConditions,
    /// The announced length; a body of another length is refused.
    pub size: Option<u64>,
    /// The greatest length accepted.
    pub size_max: Option<u64>,
    /// The MD5 the body must have.
    pub md5: Option<[u8; 16]>,
    /// Checksums the dialect computes while the body passes.
    pub late_checksums: Option<LateChecksums>,
}

/// A stored object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutDone {
    /// Its entity tag.
    pub etag: ETag,
    /// Its version.
    pub version: VersionId,
    /// When it was committed.
    pub modified: HybridTime,
    /// Its size.
    pub size: u64,
    /// The container's versioning state at the commit: a dialect names the version only when it is not `Off`.
    pub versioning: Versioning,
    /// Its checksums.
    pub checksums: Vec<(String, String)>,
}

/// What must hold for a read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadConditions {
    /// Must match, or [`ObjectError::PreconditionFailed`].
    pub if_match: Option<ETagMatch>,
    /// Must not match, or [`ObjectError::NotModified`].
    pub if_none_match: Option<ETagMatch>,
    /// Seconds since the Unix epoch; ignored when `if_none_match` is given.
    pub if_modified_since: Option<u64>,
    /// Seconds since the Unix epoch; ignored when `if_match` is given.
    pub if_unmodified_since: Option<u64>,
}

/// The part of a body that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeSpec {
    /// From this offset to the end.
    From(u64),
    /// From the first to the second offset, both included.
    FromTo(u64, u64),
    /// The last so many bytes.
    Suffix(u64),
}

impl RangeSpec {
    /// Reads `1-2`, `1-` or `-2` (RFC 9110, 14.1.1). A number beyond all bounds stands for the greatest there is.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-')?;
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| text.parse().unwrap_or(u64::MAX))
        };
        match (first.is_empty(), last.is_empty()) {
            (true, _) => number(last).map(Self::Suffix),
            (false, true) => number(first).map(Self::From),
            (false, false) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::FromTo(first, last))
            }
        }
    }
}

/// How to read an object.
#[derive(Clone, Debug, Default)]
pub struct GetOptions {
    /// This version instead of the latest.
    pub version: Option<VersionId>,
    /// What must hold.
    pub conditions: ReadConditions,
    /// This range only.
    pub range: Option<RangeSpec>,
    /// This part only (1 for the whole of an object that has no parts).
    pub part_number: Option<u32>,
}

/// An object version as its record tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Size of the whole body.
    pub size: u64,
    /// Entity tag.
    pub etag: ETag,
    /// When it was modified: committed, or its attributes changed by an update with `touch`.
    pub modified: HybridTime,
    /// Which version it is.
    pub version: VersionId,
    /// The container's versioning state: a dialect names the version only when it is not `Off`.
    pub versioning: Versioning,
    /// Whether it is the latest.
    pub latest: bool,
    /// What is kept beside the bytes.
    pub attributes: Attributes,
    /// Number of parts; 0 for an object stored in one go.
    pub parts: u32,
    /// The bytes this request asks for: the whole, a range, or a part.
    pub range: Range<u64>,
    /// Checksums of the part that was asked for, if one was.
    pub part_checksums: Vec<(String, String)>,
}

/// A part of an object that was stored in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectPart {
    /// Its number.
    pub number: u32,
    /// Its size.
    pub size: u64,
    /// Its checksums.
    pub checksums: Vec<(String, String)>,
}

/// An object being read.
#[derive(Debug)]
pub struct ObjectReader {
    /// The version found.
    pub info: ObjectInfo,
    /// The bytes of `info.range`.
    pub body: ObjectBody,
}

/// The bytes of a read, as a stream. An `Err` means that the rest cannot be had: the connection must be aborted, never ended
/// as if the body were complete.
pub struct ObjectBody(pub(crate) BodyInner);

pub(crate) enum BodyInner {
    Whole(Option<Bytes>),
    Stream(Pin<Box<dyn Stream<Item = Result<Bytes, ObjectError>> + Send>>),
}

impl ObjectBody {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self(BodyInner::Whole(Some(bytes)))
    }

    pub(crate) fn stream(stream: impl Stream<Item = Result<Bytes, ObjectError>> + Send + 'static) -> Self {
        Self(BodyInner::Stream(Box::pin(stream)))
    }

    /// The whole body at once if it is at hand (small objects); otherwise the stream is given back.
    pub fn try_whole(self) -> Result<Bytes, Self> {
        match self.0 {
            BodyInner::Whole(bytes) => Ok(bytes.unwrap_or_default()),
            BodyInner::Stream(_) => Err(self),
        }
    }
}

impl std::fmt::Debug for ObjectBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ObjectBody")
    }
}

impl Stream for ObjectBody {
    type Item = Result<Bytes, ObjectError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.0 {
            BodyInner::Whole(bytes) => Poll::Ready(bytes.take().filter(|b| !b.is_empty()).map(Ok)),
            BodyInner::Stream(stream) => stream.as_mut().poll_next(cx),
        }
    }
}

/// How to change the attributes of an object in place.
#[derive(Clone, Debug, Default)]
pub struct UpdateOptions {
    /// Of this version instead of the latest.
    pub version: Option<VersionId>,
    /// Whether it counts as a modification, so that `modified` becomes the time of the change.
    pub touch: bool,
    /// What must hold of the version when the change is made.
    pub conditions: ReadConditions,
}

/// How to delete.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    /// This version for good, instead of the latest by the rules of versioning.
    pub version: Option<VersionId>,
    /// What must hold of the latest version (or of the named one).
    pub conditions: WriteConditions,
    /// The latest version must be this one, modified then. Not for a named version; in place of `conditions`.
    pub unchanged: Option<(VersionId, HybridTime)>,
}

/// What a delete did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeleteDone {
    /// The version removed, or the delete marker added; none when versioning never was on.
    pub version: Option<VersionId>,
    /// A delete marker was added (or removed, when a version was named).
    pub delete_marker: bool,
    /// There was something to delete.
    pub existed: bool,
}

/// One of many deletes.
#[derive(Clone, Debug)]
pub struct DeleteItem {
    /// The key.
    pub key: String,
    /// How.
    pub options: DeleteOptions,
}

/// How to copy.
#[derive(Clone, Debug, Default)]
pub struct CopyOptions {
    /// New attributes instead of the source's.
    pub replace: Option<Attributes>,
    /// What must hold of the source.
    pub source_conditions: ReadConditions,
    /// What must hold of the target's latest version.
    pub conditions: WriteConditions,
}

/// A finished copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyDone {
    /// The new object.
    pub put: PutDone,
    /// The version copied from.
    pub source_version: VersionId,
    /// The source container's versioning state.
    pub source_versioning: Versioning,
}

/// Which objects to list.
#[derive(Clone, Debug, Default)]
pub struct ListRequest {
    /// Only keys that begin so.
    pub prefix: String,
    /// Keys that share what precedes this (after the prefix) are rolled up into one entry. Empty means none.
    pub delimiter: String,
    /// Only keys, and common prefixes, after this one.
    pub marker: String,
    /// Only keys before this one; empty for no limit.
    pub end_marker: String,
    /// At most so many entries.
    pub limit: u32,
    /// The last keys first. The markers change their sense: only keys (and common prefixes with any) before `marker`, and only
    /// keys after `end_marker`.
    pub reverse: bool,
}

/// One entry of a listing, borrowed from its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListEntry<'a> {
    /// An object: the latest version of its key.
    Object(ListedObject<'a>),
    /// Keys that begin so were rolled up.
    CommonPrefix(&'a str),
}

/// An object in a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedObject<'a> {
    /// The key.
    pub key: &'a str,
    /// Size in bytes.
    pub size: u64,
    /// Entity tag.
    pub etag: ETag,
    /// When it was committed.
    pub modified: HybridTime,
    /// MIME type; empty if none was given.
    pub content_type: &'a str,
}

/// Which versions to list.
#[derive(Clone, Debug, Default)]
pub struct VersionListRequest {
    /// Only keys that begin so.
    pub prefix: String,
    /// As in [`ListRequest::delimiter`].
    pub delimiter: String,
    /// Only keys after this one, or its versions after `version_marker`.
    pub key_marker: String,
    /// Versions of `key_marker` after this one too.
    pub version_marker: Option<VersionId>,
    /// At most so many entries.
    pub limit: u32,
}

/// One entry of a listing of versions, newest first under each key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionEntry {
    /// A version or a delete marker.
    Version(ListedVersion),
    /// Keys that begin so were rolled up.
    CommonPrefix(String),
}

/// A version in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedVersion {
    /// The key.
    pub key: String,
    /// Which version.
    pub version: VersionId,
    /// Whether it is the latest of its key.
    pub latest: bool,
    /// Whether it is a delete marker.
    pub delete_marker: bool,
    /// Size in bytes.
    pub size: u64,
    /// Entity tag.
    pub etag: ETag,
    /// When it was committed.
    pub modified: HybridTime,
    /// MIME type; empty if none was given.
    pub content_type: String,
}

/// A page of versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionPage {
    /// In order of keys, newest first.
    pub entries: Vec<VersionEntry>,
    /// There are more: go on with these markers.
    pub truncated: bool,
    /// The last key or common prefix of the page.
    pub next_key_marker: String,
    /// The last version of the page, if its last entry is a version.
    pub next_version_marker: Option<VersionId>,
}

/// A stored part of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartInfo {
    /// Its number.
    pub number: u32,
    /// Its size.
    pub size: u64,
    /// Its entity tag.
    pub etag: ETag,
    /// When it was committed.
    pub modified: HybridTime,
    /// Its checksums.
    pub checksums: Vec<(String, String)>,
}

/// How to store a part.
#[derive(Clone, Debug, Default)]
pub struct PartOptions {
    /// The announced length; a body of another length is refused.
    pub size: Option<u64>,
    /// The greatest length accepted.
    pub size_max: Option<u64>,
    /// The MD5 the body must have.
    pub md5: Option<[u8; 16]>,
    /// Checksums known before the body.
    pub checksums: Vec<(String, String)>,
    /// Checksums the dialect computes while the body passes.
    pub late_checksums: Option<LateChecksums>,
}

/// A part as the caller of complete names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletePart {
    /// Its number.
    pub number: u32,
    /// The entity tag it must have.
    pub etag: ETag,
}

/// How to complete an upload.
#[derive(Clone, Debug, Default)]
pub struct CompleteOptions {
    /// The parts, in ascending order.
    pub parts: Vec<CompletePart>,
    /// Least size of every part but the last.
    pub part_bytes_min: u64,
    /// What must hold of the key's latest version.
    pub conditions: WriteConditions,
    /// Checksums of the whole object.
    pub checksums: Vec<(String, String)>,
}

/// A page of an upload's parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartPage {
    /// In ascending order.
    pub parts: Vec<PartInfo>,
    /// There are more; go on after the last number.
    pub truncated: bool,
    /// What the upload was begun with.
    pub attributes: Attributes,
}

/// Which uploads to list.
#[derive(Clone, Debug, Default)]
pub struct UploadListRequest {
    /// Only keys that begin so.
    pub prefix: String,
    /// As in [`ListRequest::delimiter`].
    pub delimiter: String,
    /// Only keys after this one, or its uploads after `upload_marker`.
    pub key_marker: String,
    /// Uploads of `key_marker` after this one too.
    pub upload_marker: Option<UploadId>,
    /// At most so many entries.
    pub limit: u32,
}

/// One entry of a listing of uploads, oldest first under each key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UploadEntry {
    /// An upload that is under way.
    Upload {
        /// The key.
        key: String,
        /// The upload.
        upload: UploadId,
    },
    /// Keys that begin so were rolled up.
    CommonPrefix(String),
}

/// A page of uploads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UploadPage {
    /// In order of keys, oldest first.
    pub entries: Vec<UploadEntry>,
    /// There are more: go on with these markers.
    pub truncated: bool,
    /// The last key or common prefix of the page.
    pub next_key_marker: String,
    /// The last upload of the page, if its last entry is one.
    pub next_upload_marker: Option<UploadId>,
}

/// A blob whose chunks shall be deleted, by a commit of its home slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CondemnedBlob {
    /// The blob.
    pub blob: BlobId,
    /// The policy its chunks were written under.
    pub policy: u16,
    /// When it was condemned.
    pub since: HybridTime,
}
