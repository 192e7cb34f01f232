//! Bodies of any dialect: requests of whatever carries them, replies of bytes at hand or of a stream.

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// An error of whoever carries bodies.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request body, whoever carries it.
pub type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// Hides the type of a request body.
pub fn boxed<B>(body: B) -> RequestBody
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}

/// The bytes of a reply as they come. An error means that the rest cannot be had.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, BoxError>> + Send>>;

/// The body of a reply. An error aborts the connection, so that no client takes a cut body for a whole one.
pub struct ReplyBody(Inner);

enum Inner {
    Whole(Bytes),
    Stream { pieces: Pieces, left: Option<u64> },
}

impl ReplyBody {
    /// No body.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Inner::Whole(Bytes::new()))
    }

    /// Bytes at hand.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Self(Inner::Whole(bytes.into()))
    }

    /// A stream, of `len` bytes if that is known.
    #[must_use]
    pub fn stream(pieces: Pieces, len: Option<u64>) -> Self {
        Self(Inner::Stream { pieces, left: len })
    }
}

impl fmt::Debug for ReplyBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Whole(bytes) => write!(f, "ReplyBody({} bytes)", bytes.len()),
            Inner::Stream { left, .. } => write!(f, "ReplyBody(stream of {left:?} bytes)"),
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let (pieces, left) = match &mut self.0 {
            Inner::Whole(bytes) if bytes.is_empty() => return Poll::Ready(None),
            Inner::Whole(bytes) => return Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Inner::Stream { pieces, left } => (pieces, left),
        };
        match ready!(pieces.as_mut().poll_next(cx)) {
            Some(Ok(bytes)) => {
                *left = left.map(|left| left.saturating_sub(bytes.len() as u64));
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Some(Err(error)) => {
                tracing::warn!(error = &*error as &dyn std::error::Error, "a reply body broke off");
                Poll::Ready(Some(Err(error)))
            }
            None if left.is_some_and(|left| left > 0) => {
                Poll::Ready(Some(Err("the body is shorter than announced".into())))
            }
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Whole(bytes) => bytes.is_empty(),
            Inner::Stream { left, .. } => *left == Some(0),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Inner::Stream { left: Some(left), .. } => SizeHint::with_exact(*left),
            Inner::Stream { left: None, .. } => SizeHint::default(),
        }
    }
}
