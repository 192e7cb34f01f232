//! Who sends this request, and is it the request that they signed?
//!
//! AWS Signature Version 4, in the `Authorization` header or in the query (presigned), checked by signing the request
//! again with the owner's secret; and Version 2, see `v2.rs`. Everything here looks at the head only: the body is not polled before the answer.

mod chunk;
mod claim;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod examples;
mod payload;
mod resign;
mod v2;

pub(crate) use chunk::ChunkSigner;
pub(crate) use payload::Payload;

use crate::credentials::{self, Credential, CredentialStore};
use crate::error::{ErrorCode, S3Error};
use crate::target::{Query, Target};
use claim::Claim;
pub(crate) use claim::Scope;
use http::request::Parts;
use std::sync::Arc;
use std::time::Duration;

/// A request whose signature holds, or that has none.
#[derive(Debug)]
pub(crate) struct Authenticated {
    /// None of an anonymous request.
    pub(crate) credential: Option<Arc<Credential>>,
    /// How the body is protected.
    pub(crate) payload: Payload,
    /// The query as it was signed, where that differs from how it was read at first.
    pub(crate) query: Option<Query>,
    /// The signature was in the query.
    pub(crate) presigned: bool,
    /// The signature's version, as policies name it; empty if there is none.
    pub(crate) version: &'static str,
}

/// What verification needs beside the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    pub(crate) region: &'a str,
    pub(crate) now_s: u64,
    pub(crate) skew_max: Duration,
}

/// Checks the signature of a request.
pub(crate) async fn authenticate(
    parts: &Parts,
    target: &Target,
    credentials: &dyn CredentialStore,
    rules: Rules<'_>,
) -> Result<Authenticated, S3Error> {
    if let Some(claim) = v2::Claim::find(parts, &target.query)? {
        return v2::authenticate(parts, target, &claim, credentials, rules).await;
    }
    let Some(claim) = Claim::find(parts, &target.query)? else {
        let payload = Payload::of_unsigned(parts)?;
        return Ok(Authenticated { credential: None, payload, query: None, presigned: false, version: "" });
    };
    claim.check_scope(rules.region)?;
    claim.check_time(rules.now_s, rules.skew_max)?;
    claim.check_signed_headers(parts)?;
    let credential = credentials::find(credentials, claim.scope.access_key).await?;
    if parts.headers.contains_key("x-amz-security-token") || target.query.has("X-Amz-Security-Token") {
        // Keys here are long-lived ones, to which no token belongs.
        return Err(ErrorCode::InvalidToken.into());
    }
    let hash = payload::signed_hash(parts, &claim)?;
    let query = resign::verify(parts, target, &claim, &credential, hash)?;
    let payload = Payload::from_claim(hash, &claim, &credential)?;
    let presigned = claim.is_presigned();
    Ok(Authenticated { credential: Some(credential), payload, query, presigned, version: "AWS4-HMAC-SHA256" })
}

#[cfg(test)]
mod tests;
