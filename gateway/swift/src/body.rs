//! Request bodies: a stream for the object layer, or a small document in memory.

use crate::error::{Result, SwiftError};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyDataStream;
use ringfort_http::RequestBody;
use ringfort_object::{BodyError, BodyStream};
use std::future::Future;
use std::sync::Arc;
use tokio::sync::Mutex;

/// The announced length of an upload; `None` for a chunked transfer.
pub(crate) fn length(headers: &HeaderMap) -> Result<Option<u64>> {
    if let Some(coding) = headers.get(TRANSFER_ENCODING) {
        return if coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            Ok(None)
        } else {
            Err(SwiftError::text(
                StatusCode::NOT_IMPLEMENTED,
                "Unsupported Transfer-Encoding header value specified",
            ))
        };
    }
    let Some(value) = headers.get(CONTENT_LENGTH) else {
        return Err(SwiftError::text(StatusCode::LENGTH_REQUIRED, "Missing Content-Length header."));
    };
    let size = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    size.map(Some).ok_or_else(|| SwiftError::bad_request("Invalid Content-Length header value"))
}

/// The body of an upload as the object layer takes it. Not polled before the object layer does.
pub(crate) fn upload(body: RequestBody) -> BodyStream {
    Box::pin(
        BodyDataStream::new(body)
            .map(|piece| piece.map_err(|error| BodyError::new(SwiftError::disconnected(error)))),
    )
}

/// Reads a body of at most `bytes_max` bytes.
pub(crate) async fn read_small(body: RequestBody, bytes_max: usize) -> Result<Bytes> {
    let mut whole = BytesMut::new();
    let mut pieces = BodyDataStream::new(body);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(SwiftError::disconnected)?;
        if whole.len() + piece.len() > bytes_max {
            return Err(StatusCode::PAYLOAD_TOO_LARGE.into());
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

/// Something whose bytes come piece by piece, and may be followed by more of its kind: the files of an archive, the parts
/// of a form.
pub(crate) trait Source: Send + 'static {
    /// More bytes of what is at hand; `None` at its end.
    fn piece(&mut self) -> impl Future<Output = Result<Option<Bytes>>> + Send;
}

/// The bytes of what is at hand in `source`, as the object layer takes them.
pub(crate) fn at_hand<S: Source>(source: Arc<Mutex<S>>) -> BodyStream {
    Box::pin(stream::unfold(Some(source), |source| async move {
        let source = source?;
        let piece = source.lock().await.piece().await;
        match piece {
            Ok(Some(piece)) => Some((Ok::<Bytes, BodyError>(piece), Some(source))),
            Ok(None) => None,
            Err(error) => Some((Err(BodyError::new(error)), None)),
        }
    }))
}
