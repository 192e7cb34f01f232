//! Reply bodies: nothing, bytes at hand, or an object's stream without a copy.

use super::BoxError;
use bytes::Bytes;
use futures_util::Stream;
use http_body::{Body, Frame, SizeHint};
use ringfort_object::ObjectBody;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The body of a reply. An error means that the rest cannot be had; the server then aborts the connection, so that no
/// client takes a cut body for a whole one.
pub struct S3Body(Inner);

enum Inner {
    Whole(Bytes),
    Object { body: ObjectBody, left: u64 },
}

impl S3Body {
    /// No body.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Inner::Whole(Bytes::new()))
    }

    /// Bytes at hand.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Self(Inner::Whole(bytes.into()))
    }

    /// An object's bytes, `len` of them.
    pub(crate) fn object(body: ObjectBody, len: u64) -> Self {
        match body.try_whole() {
            Ok(bytes) => Self::whole(bytes),
            Err(body) => Self(Inner::Object { body, left: len }),
        }
    }
}

impl fmt::Debug for S3Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Whole(bytes) => write!(f, "S3Body({} bytes)", bytes.len()),
            Inner::Object { left, .. } => write!(f, "S3Body(stream of {left} bytes)"),
        }
    }
}

impl Body for S3Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Inner::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Inner::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Inner::Object { body, left } => match ready!(Pin::new(body).poll_next(cx)) {
                Some(Ok(bytes)) => {
                    *left = left.saturating_sub(bytes.len() as u64);
                    Poll::Ready(Some(Ok(Frame::data(bytes))))
                }
                Some(Err(error)) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a reply body broke off");
                    Poll::Ready(Some(Err(Box::new(error))))
                }
                None => Poll::Ready(None),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Whole(bytes) => bytes.is_empty(),
            Inner::Object { left, .. } => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Inner::Object { left, .. } => SizeHint::with_exact(*left),
        }
    }
}
