//! The deterministic commands and records of containers and objects. Pure.

mod names;

pub use names::{Attributes, ETag, ETagMatch, NameParseError, UploadId, VersionId, Versioning, WriteConditions};
