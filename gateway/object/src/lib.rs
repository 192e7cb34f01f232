//! The object layer: containers and objects as streams, with versions, multipart and conditions. No HTTP.

mod error;
mod ports;
mod store;
mod types;

pub use error::{BodyError, ObjectError};
pub use ports::{ChunkPort, MetaPort, PortError, PortFuture};
pub use ringfort_object_model::{
    Attributes, ETag, ETagMatch, NameParseError, UploadId, VersionId, Versioning, WriteConditions,
};
pub use store::{ListEntries, ListPage, ObjectStore, StoreConfig};
pub use types::{
    BodyStream, CompleteOptions, CompletePart, CondemnedBlob, ContainerInfo, ContainerPage, ContainerSummary, CopyDone,
    CopyOptions, CreateContainer, Created, DeleteDone, DeleteItem, DeleteOptions, GetOptions, LateChecksums, ListEntry,
    ListRequest, ListedObject, ListedVersion, ObjectBody, ObjectInfo, ObjectPath, ObjectReader, PartInfo, PartOptions,
    PartPage, PutDone, PutOptions, RangeSpec, ReadConditions, UploadEntry, UploadListRequest, UploadPage, VersionEntry,
    VersionListRequest, VersionPage,
};
