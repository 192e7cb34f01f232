//! How a body is protected: what `x-amz-content-sha256` says.

use super::ChunkSigner;
use super::claim::Claim;
use crate::credentials::Credential;
use crate::error::{ErrorCode, S3Error};
use http::request::Parts;

const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
const CHUNKS: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const CHUNKS_TRAILER: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
const UNSIGNED_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

/// How a body is framed and protected.
#[derive(Debug)]
pub(crate) enum Payload {
    /// Plain, vouched for by nobody.
    Unsigned,
    /// Plain, with this SHA-256.
    Sha256([u8; 32]),
    /// aws-chunked; each chunk signed if there is a signer, followed by trailers if `trailer`.
    Chunked { signer: Option<Box<ChunkSigner>>, trailer: bool },
}

/// The value that was signed in the place of the body's hash.
pub(super) fn signed_hash<'a>(parts: &'a Parts, claim: &Claim<'_>) -> Result<&'a str, S3Error> {
    match parts.headers.get("x-amz-content-sha256") {
        Some(value) => value.to_str().map_err(|_| invalid_hash()),
        None if claim.is_presigned() => Ok(UNSIGNED),
        None => Err(S3Error::with(
            ErrorCode::InvalidRequest,
            "Missing required header for this request: x-amz-content-sha256",
        )),
    }
}

impl Payload {
    /// How a body is protected that no signature covers.
    pub(super) fn of_unsigned(parts: &Parts) -> Result<Self, S3Error> {
        let Some(value) = parts.headers.get("x-amz-content-sha256") else { return Ok(Self::Unsigned) };
        match value.to_str().map_err(|_| invalid_hash())? {
            UNSIGNED => Ok(Self::Unsigned),
            UNSIGNED_TRAILER => Ok(Self::Chunked { signer: None, trailer: true }),
            hash => Self::of_hash(hash),
        }
    }

    fn of_hash(hash: &str) -> Result<Self, S3Error> {
        let mut digest = [0; 32];
        hex::decode_to_slice(hash, &mut digest).map_err(|_| invalid_hash())?;
        Ok(Self::Sha256(digest))
    }

    pub(super) fn from_claim(
        hash: &str,
        claim: &Claim<'_>,
        credential: &Credential,
    ) -> Result<Self, S3Error> {
        let signer = || Some(Box::new(ChunkSigner::new(claim, credential)));
        match hash {
            UNSIGNED => Ok(Self::Unsigned),
            CHUNKS => Ok(Self::Chunked { signer: signer(), trailer: false }),
            CHUNKS_TRAILER => Ok(Self::Chunked { signer: signer(), trailer: true }),
            UNSIGNED_TRAILER => Ok(Self::Chunked { signer: None, trailer: true }),
            hash => Self::of_hash(hash),
        }
    }
}

fn invalid_hash() -> S3Error {
    S3Error::with(
        ErrorCode::InvalidArgument,
        "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, \
         STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, or a valid sha256 value.",
    )
}
