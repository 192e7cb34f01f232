//! Signature Version 2: what older clients send, and newer ones put into URLs unless they are told otherwise (`aws s3
//! presign`, `generate_presigned_url` of boto3, `s3cmd signurl`).
//!
//! An HMAC-SHA1 over method, four headers, the `x-amz-*` headers and the resource (AWS, "Signing and authenticating REST
//! requests"). Of the query only the parameters that name a resource are signed, so a request may have no others than
//! those, and those that only page through a listing: whoever holds a URL could otherwise make another request of it.

use super::{Authenticated, Payload, Rules};
use crate::credentials::{self, Credential, CredentialStore};
use crate::error::{ErrorCode, S3Error};
use crate::target::{Query, Target};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE, DATE};
use http::request::Parts;
use sha1::Sha1;
use std::collections::BTreeMap;

/// Parameters that are part of the resource, in order.
const SIGNED: [&str; 35] = [
    "accelerate",
    "acl",
    "analytics",
    "cors",
    "defaultObjectAcl",
    "delete",
    "inventory",
    "lifecycle",
    "location",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "partNumber",
    "policy",
    "replication",
    "requestPayment",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
    "select",
    "select-type",
    "storageClass",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "website",
];

/// Parameters that may be there unsigned: they page through a listing, or say nothing.
const UNSIGNED: [&str; 18] = [
    "AWSAccessKeyId",
    "Expires",
    "Signature",
    "continuation-token",
    "delimiter",
    "encoding-type",
    "fetch-owner",
    "key-marker",
    "list-type",
    "marker",
    "max-keys",
    "max-parts",
    "max-uploads",
    "part-number-marker",
    "prefix",
    "start-after",
    "upload-id-marker",
    "version-id-marker",
];

/// A claimed signature.
pub(super) struct Claim<'a> {
    access_key: &'a str,
    signature: &'a str,
    /// Of a presigned request: until when it is good, in seconds since the Unix epoch, as it was signed.
    expires: Option<&'a str>,
}

impl<'a> Claim<'a> {
    /// Finds a claim of this version.
    pub(super) fn find(parts: &'a Parts, query: &'a Query) -> Result<Option<Self>, S3Error> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let in_query = query.get("AWSAccessKeyId").zip(query.get("Signature"));
        match (header.filter(|value| !value.is_empty()), in_query) {
            (Some(_), Some(_)) => Err(S3Error::with(
                ErrorCode::InvalidArgument,
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string \
                 parameter or the Authorization header should be specified",
            )),
            (Some(header), None) => {
                let Some(pair) = header.strip_prefix("AWS ") else { return Ok(None) };
                let (access_key, signature) = pair.trim().split_once(':').ok_or_else(|| {
                    S3Error::with(
                        ErrorCode::InvalidArgument,
                        "AWS authorization header is invalid.  Expected AwsAccessKeyId:signature",
                    )
                })?;
                Ok(Some(Self { access_key, signature, expires: None }))
            }
            (None, Some((access_key, signature))) => {
                let expires = query.get("Expires").ok_or_else(|| {
                    S3Error::with(
                        ErrorCode::AccessDenied,
                        "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters",
                    )
                })?;
                Ok(Some(Self { access_key, signature, expires: Some(expires) }))
            }
            (None, None) => Ok(None),
        }
    }

    /// The request must be of now: signed within the allowed skew, or presigned and not expired.
    fn check_time(&self, headers: &HeaderMap, rules: Rules<'_>) -> Result<(), S3Error> {
        let Some(expires) = self.expires else {
            return super::claim::check_skew(
                super::claim::header_time(headers)?,
                rules.now_s,
                rules.skew_max,
            );
        };
        let expires_s: u64 = expires.parse().map_err(|_| {
            S3Error::with(ErrorCode::AccessDenied, "Invalid date (should be seconds since epoch)")
        })?;
        if rules.now_s > expires_s {
            return Err(S3Error::with(ErrorCode::AccessDenied, "Request has expired")
                .detail("Expires", crate::clock::iso8601(expires_s))
                .detail("ServerTime", crate::clock::iso8601(rules.now_s)));
        }
        Ok(())
    }
}

/// Checks a signature of this version.
pub(super) async fn authenticate(
    parts: &Parts,
    target: &Target,
    claim: &Claim<'_>,
    credentials: &dyn CredentialStore,
    rules: Rules<'_>,
) -> Result<Authenticated, S3Error> {
    claim.check_time(&parts.headers, rules)?;
    let credential = credentials::find(credentials, claim.access_key).await?;
    if parts.headers.contains_key("x-amz-security-token") {
        return Err(ErrorCode::InvalidToken.into());
    }
    let query = verify(parts, target, claim, &credential)?;
    let names = query.as_ref().unwrap_or(&target.query);
    let known = |name: &str| SIGNED.contains(&name) || UNSIGNED.contains(&name) || is_header(claim, name);
    if let Some(name) = names.names().find(|name| !known(name)) {
        return Err(S3Error::with(
            ErrorCode::AccessDenied,
            "There were parameters present in the request which Signature Version 2 does not sign",
        )
        .detail("ParametersNotSigned", name.chars().take(64).collect::<String>()));
    }
    let payload = Payload::of_unsigned(parts)?;
    let presigned = claim.expires.is_some();
    Ok(Authenticated { credential: Some(credential), payload, query, presigned, version: "AWS" })
}

/// Signs the request again and compares. If it holds only with `+` in the query meaning itself, the query is returned as
/// read so.
fn verify(
    parts: &Parts,
    target: &Target,
    claim: &Claim<'_>,
    credential: &Credential,
) -> Result<Option<Query>, S3Error> {
    let holds = |path: &str, query: &Query| {
        let mut mac = Hmac::<Sha1>::new_from_slice(credential.secret().as_bytes())
            .expect("HMAC takes keys of any length");
        mac.update(string_to_sign(parts, claim, path, query).as_bytes());
        let given = STANDARD.decode(claim.signature).unwrap_or_default();
        // Compares in constant time.
        mac.verify_slice(&given).is_ok()
    };
    let bucket = target.host_prefix();
    let (raw, strict) = (bucket.clone() + parts.uri.path(), bucket + &target.strict_path());
    if holds(&raw, &target.query) || (strict != raw && holds(&strict, &target.query)) {
        return Ok(None);
    }
    // The resource of a bucket ends in a slash, whether the path does or not.
    if !raw.ends_with('/') && target.key().is_none() && holds(&format!("{raw}/"), &target.query) {
        return Ok(None);
    }
    let raw_query = parts.uri.query().unwrap_or_default();
    if raw_query.contains('+') {
        let query = Query::parse(raw_query, true)?;
        if holds(&raw, &query) {
            return Ok(Some(query));
        }
    }
    Err(S3Error::from(ErrorCode::SignatureDoesNotMatch)
        .detail("AWSAccessKeyId", credential.access_key())
        .detail("SignatureProvided", claim.signature.chars().take(64).collect::<String>()))
}

/// Whether a parameter stands for a header: SDKs sign headers of a URL as such, and move them there.
fn is_header(claim: &Claim<'_>, name: &str) -> bool {
    claim.expires.is_some() && name.starts_with("x-amz-")
}

fn string_to_sign(parts: &Parts, claim: &Claim<'_>, path: &str, query: &Query) -> String {
    let header = |name: &str| parts.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let date = match claim.expires {
        Some(expires) => expires.into(),
        None if parts.headers.contains_key("x-amz-date") => "".into(),
        None => header(DATE.as_str()).unwrap_or_default(),
    };
    let mut text = format!(
        "{}\n{}\n{}\n{}\n",
        parts.method,
        header("content-md5").unwrap_or_default(),
        header(CONTENT_TYPE.as_str()).unwrap_or_default(),
        date
    );
    let mut amz: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in query.pairs().filter(|(name, _)| is_header(claim, name)) {
        amz.entry(name).or_default().push(value.trim().to_owned());
    }
    for (name, value) in &parts.headers {
        if name.as_str().starts_with("x-amz-") {
            let value = String::from_utf8_lossy(value.as_bytes()).trim().to_owned();
            amz.entry(name.as_str()).or_default().push(value);
        }
    }
    for (name, values) in amz {
        for piece in [name, ":", &values.join(","), "\n"] {
            text.push_str(piece);
        }
    }
    text.push_str(path);
    let mut separator = '?';
    for name in SIGNED {
        let Some(value) = query.get(name) else { continue };
        text.push(separator);
        text.push_str(name);
        if !value.is_empty() {
            text.push('=');
            text.push_str(value);
        }
        separator = '&';
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::examples::{at, at_once, head, keys};
    use super::*;

    /// The requests that AWS's documentation signs, with the key of its examples: method, target, type, date, signature, and
    /// when that was.
    const PUBLISHED: [(&str, &str, &str, &str, &str, u64); 5] = [
        (
            "GET",
            "/awsexamplebucket1/photos/puppy.jpg",
            "",
            "Tue, 27 Mar 2007 19:36:42 +0000",
            "qgk2+6Sv9/oM7G3qLEjTH1a1l1g=",
            1_175_024_202,
        ),
        (
            "PUT",
            "/awsexamplebucket1/photos/puppy.jpg",
            "image/jpeg",
            "Tue, 27 Mar 2007 21:15:45 +0000",
            "iqRzw+ileNPu1fhspnRs8nOjjIA=",
            1_175_030_145,
        ),
        (
            "GET",
            "/awsexamplebucket1/?prefix=photos&max-keys=50&marker=puppy",
            "",
            "Tue, 27 Mar 2007 19:42:41 +0000",
            "m0WP8eCtspQl5Ahe6L1SozdX9YA=",
            1_175_024_561,
        ),
        (
            "GET",
            "/awsexamplebucket1/?acl",
            "",
            "Tue, 27 Mar 2007 19:44:46 +0000",
            "82ZHiFIjc+WbcwFKGUVEQspPn+0=",
            1_175_024_686,
        ),
        ("GET", "/", "", "Wed, 28 Mar 2007 01:29:59 +0000", "qGdzdERIC03wnaRNKh6OqZehG9s=", 1_175_045_399),
    ];
    /// The presigned request of the documentation, and when it expires.
    const PRESIGNED: &str = "/awsexamplebucket1/photos/puppy.jpg?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE\
                             &Signature=1No4mq5ETf02z8aet9voy6gui6E%3D&Expires=1175139620";
    const EXPIRES: u64 = 1_175_139_620;

    fn request(method: &str, uri: &str, content_type: &str, date: &str, signature: &str) -> Parts {
        let authorization = format!("AWS AKIAIOSFODNN7EXAMPLE:{signature}");
        let mut headers = vec![("date", date), ("authorization", &authorization)];
        if !content_type.is_empty() {
            headers.push(("content-type", content_type));
        }
        head(method, uri, &headers)
    }

    fn code(parts: &Parts, now_s: u64) -> ErrorCode {
        at(parts, now_s).expect_err("this is refused").code()
    }

    #[test]
    fn published_requests_hold_and_nothing_else_does() {
        for (method, uri, content_type, date, signature, now) in PUBLISHED {
            let found = at(&request(method, uri, content_type, date, signature), now).expect(uri);
            assert!(found.credential.is_some() && !found.presigned, "{uri}");
            assert!(matches!(found.payload, Payload::Unsigned));
            let other = "2WsPnJ0vWhr5xbmpGFJqBCVRBGo=";
            for changed in [
                request("DELETE", uri, content_type, date, signature),
                request(
                    method,
                    &uri.replacen("puppy", "kitten", 1).replacen("/?", "/x?", 1),
                    "x/y",
                    date,
                    signature,
                ),
                request(method, uri, content_type, date, other),
                request(method, uri, content_type, date, "no base64"),
                request(method, uri, content_type, date, ""),
            ] {
                assert_eq!(code(&changed, now), ErrorCode::SignatureDoesNotMatch, "{changed:?}");
            }
            let late = request(method, uri, content_type, date, signature);
            assert_eq!(code(&late, now + 901), ErrorCode::RequestTimeTooSkewed);
            let other_day = date.replace("Tue", "Mon").replace("Wed", "Mon");
            let wrong = request(method, uri, content_type, &other_day, signature);
            assert_eq!(code(&wrong, now + 901), ErrorCode::RequestTimeTooSkewed);
            assert_eq!(code(&wrong, now), ErrorCode::SignatureDoesNotMatch);
        }
    }

    #[test]
    fn a_url_is_good_until_it_expires_and_for_itself_only() {
        let found = at(&head("GET", PRESIGNED, &[]), EXPIRES).expect("it holds");
        assert!(found.presigned && found.credential.is_some());
        assert_eq!(code(&head("GET", PRESIGNED, &[]), EXPIRES + 1), ErrorCode::AccessDenied);
        let later = PRESIGNED.replace("Expires=1175139620", "Expires=1999999999");
        for (method, uri) in [
            ("PUT", PRESIGNED.to_owned()),
            ("GET", later),
            ("GET", format!("{PRESIGNED}&tagging")),
            ("GET", format!("{PRESIGNED}&response-content-type=text/html")),
            ("GET", format!("{PRESIGNED}&x-amz-acl=public-read")),
            ("GET", PRESIGNED.replace("1No4", "1No5")),
        ] {
            assert_eq!(code(&head(method, &uri, &[]), EXPIRES), ErrorCode::SignatureDoesNotMatch, "{uri}");
        }
        // What is not signed could make another request of it.
        for more in
            ["attributes", "publicAccessBlock", "ownershipControls", "policyStatus", "X-Amz-Acl=public-read"]
        {
            let uri = format!("{PRESIGNED}&{more}");
            assert_eq!(code(&head("GET", &uri, &[]), EXPIRES), ErrorCode::AccessDenied, "{more}");
        }
        let headers = [("x-amz-acl", "public-read")];
        assert_eq!(code(&head("GET", PRESIGNED, &headers), EXPIRES), ErrorCode::SignatureDoesNotMatch);
    }

    #[test]
    fn the_resource_of_a_bucket_ends_in_a_slash() {
        let (method, _, content_type, date, signature, now) = PUBLISHED[3];
        let parts = request(method, "/awsexamplebucket1?acl", content_type, date, signature);
        assert!(at(&parts, now).is_ok());
        let (method, uri, content_type, date, signature, now) = PUBLISHED[0];
        let object = request(method, &format!("{uri}/"), content_type, date, signature);
        assert_eq!(code(&object, now), ErrorCode::SignatureDoesNotMatch, "an object's does not");
    }

    /// The documentation's own requests name their bucket so.
    #[test]
    fn a_bucket_in_the_host_name_is_part_of_the_resource() {
        let uri = PRESIGNED.strip_prefix("/awsexamplebucket1").expect("the bucket first");
        for (host, holds) in [("awsexamplebucket1.s3.example", true), ("other.s3.example", false)] {
            let parts = head("GET", uri, &[("host", host)]);
            let target = Target::of_request(&parts, 1 << 14, &["s3.example".to_owned()]).expect("a target");
            let rules = Rules { region: "r", now_s: EXPIRES, skew_max: std::time::Duration::ZERO };
            assert_eq!(
                at_once(super::super::authenticate(&parts, &target, &keys(), rules)).is_ok(),
                holds,
                "{host}"
            );
        }
    }

    #[test]
    fn claims_that_are_none() {
        let unknown = PRESIGNED.replace("AKIAIOSFODNN7EXAMPLE", "NOBODY");
        assert_eq!(code(&head("GET", &unknown, &[]), EXPIRES), ErrorCode::InvalidAccessKeyId);
        let no_expiry = PRESIGNED.replace("&Expires=1175139620", "");
        assert_eq!(code(&head("GET", &no_expiry, &[]), EXPIRES), ErrorCode::AccessDenied);
        let no_number = PRESIGNED.replace("1175139620", "tomorrow");
        assert_eq!(code(&head("GET", &no_number, &[]), EXPIRES), ErrorCode::AccessDenied);
        let both = [("authorization", "AWS AKIAIOSFODNN7EXAMPLE:x")];
        assert_eq!(code(&head("GET", PRESIGNED, &both), EXPIRES), ErrorCode::InvalidArgument);
        for header in ["AWS ", "AWS x", "AWS nothing"] {
            let parts = head("GET", "/b/k", &[("authorization", header)]);
            assert_eq!(code(&parts, EXPIRES), ErrorCode::InvalidArgument, "{header}");
        }
        let dateless = head("GET", "/b/k", &[("authorization", "AWS AKIAIOSFODNN7EXAMPLE:x")]);
        assert_eq!(code(&dateless, EXPIRES), ErrorCode::AccessDenied);
    }

    #[test]
    fn headers_of_amazon_are_signed_in_order() {
        let headers = [
            ("x-amz-meta-b", " two "),
            ("x-amz-acl", "private"),
            ("x-amz-meta-b", "more"),
            ("x-amz-date", "d"),
        ];
        let parts = head("PUT", "/b/k%20k?versionId=v&uploadId=u&acl", &headers);
        let query = Query::parse(parts.uri.query().expect("one"), false).expect("a query");
        let claim = Claim { access_key: "", signature: "", expires: None };
        assert_eq!(
            string_to_sign(&parts, &claim, parts.uri.path(), &query),
            "PUT\n\n\n\nx-amz-acl:private\nx-amz-date:d\nx-amz-meta-b:two,more\n/b/k%20k?acl&uploadId=u&versionId=v"
        );
    }

    #[test]
    fn parameters_of_a_url_are_signed_as_headers() {
        let parts = head("PUT", "/b/k?Expires=9&x-amz-acl=private&x-amz-meta-a=b%20c", &[]);
        let query = Query::parse(parts.uri.query().expect("one"), false).expect("a query");
        let claim = Claim { access_key: "", signature: "", expires: Some("9") };
        assert_eq!(
            string_to_sign(&parts, &claim, parts.uri.path(), &query),
            "PUT\n\n\n9\nx-amz-acl:private\nx-amz-meta-a:b c\n/b/k"
        );
    }
}
