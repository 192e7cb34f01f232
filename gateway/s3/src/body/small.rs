//! Bodies that are read whole: the XML documents of a few operations.

use super::UploadPlan;
use super::checksum::Declared;
use super::upload::content_md5;
use crate::auth::Payload;
use crate::error::{ErrorCode, S3Error};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::HeaderMap;
use md5::{Digest, Md5};
use ringfort_http::RequestBody;

/// Reads a body of at most `bytes_max` bytes and verifies it like any other.
pub(crate) async fn read_small(
    headers: &HeaderMap,
    payload: Payload,
    body: RequestBody,
    bytes_max: usize,
) -> Result<Bytes, S3Error> {
    if http_body::Body::is_end_stream(&body) && !headers.contains_key("content-length") {
        return Ok(Bytes::new());
    }
    let plan = UploadPlan::new(headers, payload, bytes_max as u64).map_err(of_message)?;
    let mut whole =
        BytesMut::with_capacity(usize::try_from(plan.size.unwrap_or(0)).unwrap_or(0).min(bytes_max));
    let (mut upload, _) = plan.open(body, None);
    while let Some(piece) = upload.next().await {
        let piece = piece.map_err(|error| {
            let error = error.downcast_ref::<S3Error>().cloned();
            of_message(error.unwrap_or_else(|| ErrorCode::IncompleteBody.into()))
        })?;
        whole.extend_from_slice(&piece);
    }
    let md5 = content_md5(headers)?;
    if md5.is_some_and(|expected| Md5::digest(&whole)[..] != expected) {
        return Err(ErrorCode::BadDigest.into());
    }
    Ok(whole.freeze())
}

/// What is too large is no object here.
fn of_message(error: S3Error) -> S3Error {
    if error.code() == ErrorCode::EntityTooLarge { ErrorCode::MaxMessageLengthExceeded.into() } else { error }
}

/// Whether something vouches for the integrity of the body, which DeleteObjects demands.
pub(crate) fn is_vouched_for(headers: &HeaderMap, payload: &Payload) -> Result<bool, S3Error> {
    let declared = Declared::from_headers(headers)?;
    Ok(declared.algorithm.is_some()
        || headers.contains_key("content-md5")
        || matches!(payload, Payload::Sha256(_)))
}
