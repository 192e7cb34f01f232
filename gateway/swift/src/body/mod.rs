//! Bodies: counted on the way in, streams on the way out.

mod reply;
mod request;

pub(crate) use reply::Pieces;
pub use reply::SwiftBody;
pub(crate) use request::{RequestBody, boxed, length, read_small, upload};

/// An error of whoever carries bodies.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
