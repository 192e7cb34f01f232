//! Signatures of the chunks of an aws-chunked body: each signs its predecessor's signature and its own bytes, the first
//! one the signature of the head.
//!
//! The signing key is derived once per request, its HMAC state is cloned per chunk, and the chunk's hash is computed
//! while its bytes pass: no chunk is held in memory.

use super::claim::Claim;
use crate::clock;
use crate::credentials::Credential;
use aws_sigv4::sign::v4::generate_signing_key;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt;
use std::time::{Duration, UNIX_EPOCH};
use subtle::ConstantTimeEq;

const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The chain of chunk signatures of one body.
pub(crate) struct ChunkSigner {
    keyed: Hmac<Sha256>,
    /// `20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n`
    preamble: String,
    previous: String,
    chunk: Sha256,
}

impl ChunkSigner {
    pub(super) fn new(claim: &Claim<'_>, credential: &Credential) -> Self {
        let time = UNIX_EPOCH + Duration::from_secs(claim.time_s);
        let key = generate_signing_key(credential.secret(), time, claim.scope.region, "s3");
        Self {
            keyed: Hmac::new_from_slice(key.as_ref()).expect("HMAC takes keys of any length"),
            preamble: format!(
                "{}\n{}/{}/s3/aws4_request\n",
                clock::amz_date(claim.time_s),
                claim.scope.date,
                claim.scope.region
            ),
            previous: claim.signature.to_owned(),
            chunk: Sha256::new(),
        }
    }

    /// More bytes of the current chunk.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.chunk.update(bytes);
    }

    /// Ends the current chunk: whether `signature` is its signature.
    pub(crate) fn chunk_matches(&mut self, signature: &str) -> bool {
        let hash = hex::encode(self.chunk.finalize_reset());
        let expected = self.sign(&[
            "AWS4-HMAC-SHA256-PAYLOAD\n",
            &self.preamble,
            &self.previous,
            "\n",
            EMPTY_SHA256,
            "\n",
            &hash,
        ]);
        self.step(expected, signature)
    }

    /// Whether `signature` is that of the trailers, given as `name:value\n` each.
    pub(crate) fn trailer_matches(&mut self, trailers: &[u8], signature: &str) -> bool {
        let hash = hex::encode(Sha256::digest(trailers));
        let expected =
            self.sign(&["AWS4-HMAC-SHA256-TRAILER\n", &self.preamble, &self.previous, "\n", &hash]);
        self.step(expected, signature)
    }

    fn sign(&self, string_to_sign: &[&str]) -> String {
        let mut mac = self.keyed.clone();
        for part in string_to_sign {
            mac.update(part.as_bytes());
        }
        hex::encode(mac.finalize().into_bytes())
    }

    fn step(&mut self, expected: String, signature: &str) -> bool {
        let matches = expected.as_bytes().ct_eq(signature.as_bytes()).into();
        self.previous = expected;
        matches
    }
}

impl fmt::Debug for ChunkSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkSigner").finish_non_exhaustive()
    }
}
