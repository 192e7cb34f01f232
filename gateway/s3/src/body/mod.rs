//! Bodies: framing and checksums on the way in, streams on the way out.

pub(crate) mod checksum;
pub(crate) mod chunked;
mod reply;
mod small;
mod upload;

pub use reply::S3Body;
pub(crate) use small::{is_vouched_for, read_small};
pub(crate) use upload::UploadPlan;

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;

/// An error of whoever carries bodies.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// A request body, whoever carries it.
pub(crate) type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// Hides the type of a request body.
pub(crate) fn boxed<B>(body: B) -> RequestBody
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}
