//! What can go wrong with containers and objects.

use ringfort_core::{ErrorKind, HybridTime};
use ringfort_object_model::{ETag, VersionId};

/// The body's source failed: the dialect's own error, given back to it untouched.
#[derive(Debug, thiserror::Error)]
#[error("the body could not be read")]
pub struct BodyError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

impl BodyError {
    /// Wraps the dialect's error; [`Self::downcast_ref`] gives it back.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }

    /// The dialect's own error, if it is of type `E`.
    #[must_use]
    pub fn downcast_ref<E: std::error::Error + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref()
    }
}

/// Why an operation on containers or objects did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// No such container in the account.
    #[error("there is no container of this name")]
    NoSuchContainer,
    /// Another account holds the container name cluster-wide.
    #[error("another account holds this container name")]
    ContainerTaken,
    /// The account has this container already, and the caller insisted on a new one.
    #[error("the account has this container already")]
    ContainerAlreadyYours,
    /// The container still holds objects, versions or uploads.
    #[error("the container is not empty")]
    ContainerNotEmpty,
    /// The account still has containers.
    #[error("the account is not empty")]
    AccountNotEmpty,
    /// A name that no container may have (empty, too long, NUL).
    #[error("this is no possible container name")]
    BadContainerName,
    /// No such key.
    #[error("there is no object under this key")]
    NoSuchKey,
    /// The key has no such version.
    #[error("the object has no such version")]
    NoSuchVersion,
    /// The version found is a delete marker.
    #[error("the version is a delete marker")]
    DeleteMarker {
        /// The marker's version id.
        version: VersionId,
        /// When it was written.
        modified: HybridTime,
        /// The request asked for the latest version, not for the marker by its id.
        latest: bool,
    },
    /// A condition did not hold.
    #[error("a condition of the request does not hold")]
    PreconditionFailed,
    /// A conditional read found nothing new.
    #[error("the object has not changed")]
    NotModified {
        /// The object's entity tag.
        etag: ETag,
        /// When it was written.
        modified: HybridTime,
        /// Its version.
        version: VersionId,
    },
    /// The range lies outside the object.
    #[error("the range lies outside the object of {size} bytes")]
    RangeNotSatisfiable {
        /// Size of the object.
        size: u64,
    },
    /// No such multipart upload.
    #[error("there is no such upload")]
    NoSuchUpload,
    /// A part is missing or has another entity tag.
    #[error("part {number} is missing or differs")]
    InvalidPart {
        /// The part's number.
        number: u32,
    },
    /// Parts were not named in ascending order, or none was.
    #[error("parts must be named in ascending order")]
    InvalidPartOrder,
    /// A part other than the last is below the least size.
    #[error("part {number} of {size} bytes is too small")]
    EntityTooSmall {
        /// The part's number.
        number: u32,
        /// Its size.
        size: u64,
        /// The least size.
        bytes_min: u64,
    },
    /// The body exceeds a limit.
    #[error("the body exceeds {bytes_max} bytes")]
    EntityTooLarge {
        /// The limit.
        bytes_max: u64,
    },
    /// The body's length is not the announced one.
    #[error("the body has {got} bytes instead of {expected}")]
    BodyLength {
        /// Announced.
        expected: u64,
        /// Received (at least).
        got: u64,
    },
    /// The key exceeds 1024 bytes.
    #[error("the key is too long")]
    KeyTooLong,
    /// The key is empty or holds a NUL.
    #[error("this is no possible key")]
    BadKey,
    /// Attributes exceed the limit of a record.
    #[error("the metadata is too large")]
    MetadataTooLarge,
    /// The caller's body stream failed; nothing was stored.
    #[error("the body could not be read")]
    Body(#[source] BodyError),
    /// The named storage policy is unknown.
    #[error("there is no storage policy {policy}")]
    NoSuchPolicy {
        /// The policy's index.
        policy: u16,
    },
    /// The devices are full.
    #[error("the devices are full")]
    NoSpace,
    /// Too few devices or voters answer; repeating later may help.
    #[error("storage does not answer in time: {reason}")]
    Unavailable {
        /// For the log.
        reason: String,
    },
    /// Stored bytes are damaged beyond repair.
    #[error("stored data is damaged: {what}")]
    Corrupt {
        /// For the log.
        what: String,
    },
    /// A bug of ours.
    #[error("internal error: {what}")]
    Internal {
        /// For the log.
        what: String,
    },
}

impl ObjectError {
    /// The error's kind, from which a dialect without words of its own takes its status.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSuchContainer
            | Self::NoSuchKey
            | Self::NoSuchVersion
            | Self::DeleteMarker { .. }
            | Self::NoSuchUpload => ErrorKind::NotFound,
            Self::ContainerTaken
            | Self::ContainerAlreadyYours
            | Self::ContainerNotEmpty
            | Self::AccountNotEmpty
            | Self::PreconditionFailed
            | Self::NotModified { .. } => ErrorKind::Conflict,
            Self::BadContainerName
            | Self::RangeNotSatisfiable { .. }
            | Self::InvalidPart { .. }
            | Self::InvalidPartOrder
            | Self::EntityTooSmall { .. }
            | Self::EntityTooLarge { .. }
            | Self::BodyLength { .. }
            | Self::KeyTooLong
            | Self::BadKey
            | Self::MetadataTooLarge
            | Self::NoSuchPolicy { .. }
            | Self::Body(_) => ErrorKind::Invalid,
            Self::NoSpace => ErrorKind::NoSpace,
            Self::Unavailable { .. } => ErrorKind::Unavailable,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Internal { .. } => ErrorKind::Internal,
        }
    }

    pub(crate) fn internal(what: impl Into<String>) -> Self {
        Self::Internal { what: what.into() }
    }
}
