//! The object layer: containers and objects as streams, with versions, multipart and conditions. No HTTP.
//!
//! [`ObjectStore`] is what the dialects use. Metadata are commands and queries of `ringfort-object-model`, sent to the slot
//! that a key hashes to; large bodies are chunks. Both sides are reached through [`MetaPort`] and [`ChunkPort`].

mod accounts;
mod body;
mod commit;
mod containers;
mod copy;
mod delete;
mod error;
mod hashing;
mod lifecycle;
mod list;
pub mod memory;
mod ports;
mod put;
mod read;
mod reconcile;
mod reverse;
mod settings;
mod shards;
mod split;
mod store;
#[cfg(test)]
mod tests;
mod types;
mod update;
mod uploads;

pub use body::DigestMismatch;
pub use error::{BodyError, ObjectError};
pub use lifecycle::{
    Expiration, LIFECYCLE_ENTRY, LifecycleFilter, LifecycleRule, LifecycleRules, LifecycleSubject,
    NoncurrentExpiration, OBJECT_TAGS_HEADER, tags_of,
};
pub use list::{ListEntries, ListPage};
pub use ports::{ChunkPort, MetaPort, PortError, PortFuture};
pub use ringfort_object_model::{
    Attributes, ETag, ETagMatch, NameParseError, UploadId, VersionId, Versioning, WriteConditions,
};
pub use settings::ContainerSettings;
pub use store::{ObjectStore, StoreConfig};
pub use types::{
    AccountInfo, BodyStream, CompleteOptions, CompletePart, CondemnedBlob, ContainerEntry, ContainerInfo,
    ContainerListRequest, ContainerListing, ContainerPage, ContainerStats, ContainerSummary, CopyDone,
    CopyOptions, CreateContainer, Created, DeleteDone, DeleteItem, DeleteOptions, GetOptions, LateChecksums,
    ListEntry, ListRequest, ListedObject, ListedVersion, ObjectBody, ObjectInfo, ObjectPart, ObjectPath,
    ObjectReader, PartInfo, PartOptions, PartPage, PolicyUse, PutDone, PutOptions, RangeSpec, ReadConditions,
    UpdateOptions, UploadEntry, UploadListRequest, UploadPage, VersionEntry, VersionListRequest, VersionPage,
};
