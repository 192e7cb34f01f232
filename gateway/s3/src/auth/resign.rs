//! Verification by signing again with `aws-sigv4`.
//!
//! That crate signs, so it trusts what it is given, and some inputs make it panic. Hence: only the signed headers are
//! passed on, `host` is among them (it panics without), and the target's length is bounded before (it unwraps the
//! parse of a query that it has re-encoded).
//!
//! A presigned request is signed again *as if* by header, with its query as sent but for the signature: the crate's own
//! presigning leaves out headers that other SDKs sign (`x-amz-checksum-mode`) and would write the `X-Amz-*` parameters
//! anew. The one header that this form adds, `x-amz-date`, is excluded when the client did not sign it.

use super::claim::Claim;
use crate::credentials::Credential;
use crate::error::{ErrorCode, S3Error};
use crate::target::{Query, Target};
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningParams, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use http::header::HOST;
use http::request::Parts;
use std::borrow::Cow;
use std::time::{Duration, UNIX_EPOCH};
use subtle::ConstantTimeEq;

/// Checks the claimed signature. If it holds only with `+` in the query meaning itself, the query is returned as read so.
pub(super) fn verify(
    parts: &Parts,
    target: &Target,
    claim: &Claim<'_>,
    credential: &Credential,
    payload_hash: &str,
) -> Result<Option<Query>, S3Error> {
    let resigner =
        Resigner { parts, claim, credential, payload_hash, headers: signed_headers(parts, claim)? };
    let raw_query = parts.uri.query().unwrap_or_default();
    let query = if claim.is_presigned() { without_signature(raw_query) } else { Cow::Borrowed(raw_query) };
    let strict_path = target.strict_path();
    let raw_path = parts.uri.path();

    if resigner.matches(&strict_path, &query) {
        return Ok(None);
    }
    if raw_path != strict_path && resigner.matches(raw_path, &query) {
        return Ok(None);
    }
    if query.contains('+') && resigner.matches(&strict_path, &query.replace('+', "%2B")) {
        return Query::parse(raw_query, true).map(Some);
    }
    Err(S3Error::from(ErrorCode::SignatureDoesNotMatch)
        .detail("AWSAccessKeyId", credential.access_key())
        .detail("SignatureProvided", claim.signature.chars().take(64).collect::<String>()))
}

/// Name and value of each signed header, in the order of the claim.
fn signed_headers<'a>(parts: &'a Parts, claim: &Claim<'a>) -> Result<Vec<(&'a str, &'a str)>, S3Error> {
    let mut headers = Vec::with_capacity(8);
    for name in claim.signed_headers.split(';') {
        // aws-sigv4 writes this one itself, from the time that was parsed from it.
        if name == "x-amz-date" {
            continue;
        }
        let mut found = false;
        for value in parts.headers.get_all(name) {
            // Not `to_str`: user metadata may be UTF-8.
            let value = std::str::from_utf8(value.as_bytes())
                .map_err(|_| S3Error::argument("header", name, "Header values must be UTF-8."))?;
            headers.push((name, value));
            found = true;
        }
        if !found {
            let authority = parts.uri.authority().filter(|_| name == HOST).map_or("", |a| a.as_str());
            headers.push((name, authority));
        }
    }
    Ok(headers)
}

fn without_signature(query: &str) -> Cow<'_, str> {
    let kept: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("X-Amz-Signature=")).collect();
    Cow::Owned(kept.join("&"))
}

struct Resigner<'a> {
    parts: &'a Parts,
    claim: &'a Claim<'a>,
    credential: &'a Credential,
    payload_hash: &'a str,
    headers: Vec<(&'a str, &'a str)>,
}

impl Resigner<'_> {
    fn matches(&self, path: &str, query: &str) -> bool {
        let Some(signature) = self.sign(path, query) else { return false };
        signature.as_bytes().ct_eq(self.claim.signature.as_bytes()).into()
    }

    fn sign(&self, path: &str, query: &str) -> Option<String> {
        let mut uri = String::with_capacity(path.len() + query.len() + 1);
        uri.push_str(path);
        if !query.is_empty() {
            uri.push('?');
            uri.push_str(query);
        }
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.excluded_headers =
            (!self.claim.signs("x-amz-date")).then(|| vec![Cow::Borrowed("x-amz-date")]);
        let params: SigningParams<'_> = v4::SigningParams::builder()
            .identity(self.credential.identity())
            .region(self.claim.scope.region)
            .name("s3")
            .time(UNIX_EPOCH + Duration::from_secs(self.claim.time_s))
            .settings(settings)
            .build()
            .ok()?
            .into();
        let body = SignableBody::Precomputed(self.payload_hash.to_owned());
        let request =
            SignableRequest::new(self.parts.method.as_str(), uri, self.headers.iter().copied(), body).ok()?;
        Some(sign(request, &params).ok()?.into_parts().1)
    }
}
