//! The body of a PutObject or UploadPart on its way to the object layer: unframed, counted and verified as it passes.
//!
//! The stream ends with an error if anything about the body is wrong, and the object layer then stores nothing. So the
//! last frame is only followed by the end after length, hash and checksum have been compared.

use super::checksum::{Algorithm, Declared, Hasher, encode};
use super::chunked::ChunkedDecoder;
use crate::auth::Payload;
use crate::error::{ErrorCode, S3Error};
use bytes::Bytes;
use futures_util::Stream;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http_body::Body;
use ringfort_http::RequestBody;
use ringfort_object::{BodyError, LateChecksums};
use sha2::{Digest, Sha256};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// What is known about a body from the head of its request.
#[derive(Debug)]
pub(crate) struct UploadPlan {
    /// Bytes of the object; not known of a plain chunked transfer.
    pub(crate) size: Option<u64>,
    bytes_max: u64,
    bytes_min: u64,
    /// What the client says about its checksum.
    pub(crate) declared: Declared,
    /// What the body must hash to, by `Content-MD5`.
    pub(crate) md5: Option<[u8; 16]>,
    payload: Payload,
}

impl UploadPlan {
    /// Reads the head; everything that can be refused without the body is.
    pub(crate) fn new(headers: &HeaderMap, payload: Payload, bytes_max: u64) -> Result<Self, S3Error> {
        let size = body_size(headers, &payload)?;
        if let Some(size) = size.filter(|size| *size > bytes_max) {
            return Err(too_large(bytes_max).detail("ProposedSize", size.to_string()));
        }
        let declared = Declared::from_headers(headers)?;
        if declared.in_trailer && !matches!(payload, Payload::Chunked { trailer: true, .. }) {
            return Err(S3Error::with(
                ErrorCode::InvalidRequest,
                "x-amz-trailer needs a payload with trailers (x-amz-content-sha256: STREAMING-...-TRAILER).",
            ));
        }
        Ok(Self { size, bytes_max, bytes_min: 0, declared, md5: content_md5(headers)?, payload })
    }

    /// Refuses a body of fewer bytes.
    pub(crate) fn at_least(self, bytes_min: u64) -> Self {
        Self { bytes_min, ..self }
    }

    /// The stream of the object's bytes, and where its checksum will be once it has ended: computed by the declared
    /// algorithm, or by `default` if the client declares none.
    pub(crate) fn open(self, body: RequestBody, default: Option<Algorithm>) -> (Upload, LateChecksums) {
        let late = LateChecksums::default();
        let (framing, sha256) = match self.payload {
            Payload::Unsigned => (None, None),
            Payload::Sha256(expected) => (None, Some((Sha256::new(), expected))),
            Payload::Chunked { signer, trailer } => (Some(ChunkedDecoder::new(signer, trailer)), None),
        };
        let algorithm = self.declared.algorithm.or(default);
        let upload = Upload {
            body,
            framing,
            input: Bytes::new(),
            left: self.size.unwrap_or(self.bytes_max),
            size_known: self.size.is_some(),
            bytes_max: self.bytes_max,
            bytes_min: self.bytes_min,
            sha256,
            checksum: algorithm.map(|a| (a, Hasher::new(a))),
            declared: self.declared,
            late: late.clone(),
            ended: false,
        };
        (upload, late)
    }
}

fn too_large(bytes_max: u64) -> S3Error {
    S3Error::from(ErrorCode::EntityTooLarge).detail("MaxSizeAllowed", bytes_max.to_string())
}

fn body_size(headers: &HeaderMap, payload: &Payload) -> Result<Option<u64>, S3Error> {
    let name = match payload {
        Payload::Chunked { .. } => "x-amz-decoded-content-length",
        Payload::Unsigned | Payload::Sha256(_) => CONTENT_LENGTH.as_str(),
    };
    let Some(size) = headers.get(name) else {
        let chunked = headers.contains_key(TRANSFER_ENCODING);
        return match payload {
            // The end of a chunked transfer says that nothing is missing.
            Payload::Unsigned | Payload::Sha256(_) if chunked => Ok(None),
            // A body-less request of hyper's client has neither header.
            Payload::Sha256(empty) if *empty == EMPTY => Ok(Some(0)),
            _ => Err(ErrorCode::MissingContentLength.into()),
        };
    };
    let digits = size.to_str().ok().filter(|size| size.bytes().all(|b| b.is_ascii_digit()));
    digits
        .and_then(|size| size.parse().ok())
        .map(Some)
        .ok_or_else(|| S3Error::argument("content-length", "", "The content length is no number."))
}

/// SHA-256 of nothing.
const EMPTY: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
    0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// The `Content-MD5` header.
pub(crate) fn content_md5(headers: &HeaderMap) -> Result<Option<[u8; 16]>, S3Error> {
    use base64::Engine;
    let Some(value) = headers.get("content-md5") else { return Ok(None) };
    let decoded = base64::engine::general_purpose::STANDARD.decode(value.as_bytes()).ok();
    let digest = decoded.and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    digest.map(Some).ok_or_else(|| ErrorCode::InvalidDigest.into())
}

/// A body under way.
pub(crate) struct Upload {
    body: RequestBody,
    framing: Option<ChunkedDecoder>,
    input: Bytes,
    /// Bytes that may yet come; must, if the size is known.
    left: u64,
    size_known: bool,
    bytes_max: u64,
    bytes_min: u64,
    sha256: Option<(Sha256, [u8; 32])>,
    checksum: Option<(Algorithm, Hasher)>,
    declared: Declared,
    late: LateChecksums,
    ended: bool,
}

impl Upload {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, S3Error>>> {
        loop {
            if !self.input.is_empty() {
                match &mut self.framing {
                    None => return Poll::Ready(Some(Ok(std::mem::take(&mut self.input)))),
                    Some(decoder) => match decoder.next(&mut self.input) {
                        Ok(Some(piece)) => return Poll::Ready(Some(Ok(piece))),
                        Ok(None) => {}
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    },
                }
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => return Poll::Ready(None),
                // A connection that breaks within the body; the reply hardly arrives, the log line does.
                Some(Err(error)) => {
                    return Poll::Ready(Some(Err(S3Error::from(ErrorCode::IncompleteBody).internal(error))));
                }
                Some(Ok(frame)) => self.input = frame.into_data().unwrap_or_default(),
            }
        }
    }

    fn take(&mut self, piece: &Bytes) -> Result<(), S3Error> {
        self.left = self.left.checked_sub(piece.len() as u64).ok_or_else(|| {
            if self.size_known {
                S3Error::with(ErrorCode::IncompleteBody, "The body is longer than its announced length.")
            } else {
                too_large(self.bytes_max)
            }
        })?;
        if let Some((digest, _)) = &mut self.sha256 {
            digest.update(piece);
        }
        if let Some((_, hasher)) = &mut self.checksum {
            hasher.update(piece);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), S3Error> {
        if self.size_known && self.left > 0 {
            return Err(ErrorCode::IncompleteBody.into());
        }
        let received = self.bytes_max.saturating_sub(self.left);
        if !self.size_known && received < self.bytes_min {
            return Err(S3Error::from(ErrorCode::EntityTooSmall)
                .detail("ProposedSize", received.to_string())
                .detail("MinSizeAllowed", self.bytes_min.to_string()));
        }
        let trailers = self.framing.take().map_or(Ok(Vec::new()), ChunkedDecoder::finish)?;
        if !self.declared.in_trailer && trailers.iter().any(|(name, _)| name.starts_with("x-amz-checksum-")) {
            // Whoever sends it believes that it is verified.
            return Err(ErrorCode::MalformedTrailerError.into());
        }
        if let Some((digest, expected)) = self.sha256.take() {
            let computed: [u8; 32] = digest.finalize().into();
            if computed != expected {
                return Err(S3Error::from(ErrorCode::XAmzContentSHA256Mismatch)
                    .detail("ClientComputedContentSHA256", hex::encode(expected))
                    .detail("S3ComputedContentSHA256", hex::encode(computed)));
            }
        }
        let Some((algorithm, hasher)) = self.checksum.take() else { return Ok(()) };
        let computed = hasher.finish();
        if let Some(expected) = self.expected(algorithm, &trailers)?
            && expected != computed
        {
            return Err(S3Error::with(
                ErrorCode::BadDigest,
                format!("The {} you specified did not match the calculated checksum.", algorithm.name()),
            ));
        }
        self.late.add(algorithm.stored(), encode(&computed));
        Ok(())
    }

    fn expected(
        &self,
        algorithm: Algorithm,
        trailers: &[(String, String)],
    ) -> Result<Option<Vec<u8>>, S3Error> {
        if !self.declared.in_trailer {
            return Ok(self.declared.value.clone());
        }
        let value = trailers.iter().find(|(name, _)| name == algorithm.header()).map(|(_, value)| value);
        let value = value.ok_or_else(|| {
            S3Error::with(ErrorCode::InvalidRequest, "The trailer that x-amz-trailer announces is missing.")
        })?;
        algorithm.decode(value).map(Some)
    }
}

impl Stream for Upload {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let step = match ready!(self.poll_piece(cx)) {
            Some(Ok(piece)) => self.take(&piece).map(|()| Some(piece)),
            Some(Err(error)) => Err(error),
            None => self.finish().map(|()| None),
        };
        self.ended = !matches!(step, Ok(Some(_)));
        Poll::Ready(step.map_err(BodyError::new).transpose())
    }
}
