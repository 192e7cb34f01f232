//! What a request claims about its signature, before anything of it is believed.

use crate::clock;
use crate::error::{ErrorCode, S3Error};
use crate::target::Query;
use http::HeaderMap;
use http::header::{AUTHORIZATION, DATE, HOST};
use http::request::Parts;
use std::borrow::Cow;
use std::time::{Duration, SystemTime};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// Longest life of a presigned request: a week.
const EXPIRES_MAX_S: u64 = 7 * 24 * 3600;

/// `AKID/20130524/us-east-1/s3/aws4_request`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scope<'a> {
    pub(crate) access_key: &'a str,
    pub(crate) date: &'a str,
    pub(crate) region: &'a str,
    service: &'a str,
}

/// A claimed signature.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    pub(crate) scope: Scope<'a>,
    /// Semicolon-separated, as sent.
    pub(crate) signed_headers: &'a str,
    pub(crate) signature: &'a str,
    /// When the request was signed.
    pub(crate) time_s: u64,
    /// `X-Amz-Expires` of a presigned request.
    expires_s: Option<u64>,
    presigned: bool,
}

impl<'a> Claim<'a> {
    /// Finds the claim of a request; `None` if it is anonymous.
    pub(crate) fn find(parts: &'a Parts, query: &'a Query) -> Result<Option<Self>, S3Error> {
        let header = parts.headers.get(AUTHORIZATION).filter(|value| !value.is_empty());
        let in_query =
            query.has("X-Amz-Algorithm") || query.has("X-Amz-Signature") || query.has("X-Amz-Credential");
        match header {
            Some(_) if in_query => Err(S3Error::with(
                ErrorCode::InvalidArgument,
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string \
                 parameter or the Authorization header should be specified",
            )),
            Some(header) => {
                let header = header.to_str().map_err(|_| ErrorCode::AuthorizationHeaderMalformed)?;
                Self::from_header(header, &parts.headers).map(Some)
            }
            None if in_query => Self::from_query(query).map(Some),
            None => Ok(None),
        }
    }

    fn from_header(value: &'a str, headers: &HeaderMap) -> Result<Self, S3Error> {
        let malformed = |what: &str| {
            S3Error::with(
                ErrorCode::AuthorizationHeaderMalformed,
                format!("The authorization header is malformed; {what}"),
            )
        };
        let Some(fields) =
            value.strip_prefix(ALGORITHM).filter(|rest| rest.is_empty() || rest.starts_with(' '))
        else {
            return Err(if value.starts_with("AWS4-") {
                other_algorithm()
            } else {
                S3Error::with(ErrorCode::InvalidArgument, "Unsupported Authorization Type")
            });
        };
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for field in fields.split(',').map(str::trim).filter(|field| !field.is_empty()) {
            let slot = match field.split_once('=') {
                Some(("Credential", value)) => (&mut credential, value),
                Some(("SignedHeaders", value)) => (&mut signed_headers, value),
                Some(("Signature", value)) => (&mut signature, value),
                _ => return Err(malformed("an unknown field was found.")),
            };
            if slot.0.replace(slot.1).is_some() {
                return Err(malformed("a field occurs twice."));
            }
        }
        let credential = credential.ok_or_else(|| malformed("the Credential field is missing."))?;
        let scope = Scope::parse(credential).ok_or_else(|| {
            malformed("the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".")
        })?;
        let time_s = header_time(headers)?;
        if clock::amz_date(time_s)[..8] != *scope.date {
            return Err(malformed(&format!(
                "Invalid credential date \"{}\". This date is not the same as X-Amz-Date: \"{}\".",
                scope.date,
                &clock::amz_date(time_s)[..8]
            )));
        }
        Ok(Self {
            scope,
            signed_headers: signed_headers.ok_or_else(|| malformed("the SignedHeaders field is missing."))?,
            signature: signature.ok_or_else(|| malformed("the Signature field is missing."))?,
            time_s,
            expires_s: None,
            presigned: false,
        })
    }

    fn from_query(query: &'a Query) -> Result<Self, S3Error> {
        let refused =
            |message: &'static str| S3Error::with(ErrorCode::AuthorizationQueryParametersError, message);
        let get = |name| {
            query.get_filled(name).ok_or_else(|| {
                refused(
                    "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, \
                     X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
                )
            })
        };
        if get("X-Amz-Algorithm")? != ALGORITHM {
            return Err(refused(
                "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256\"",
            ));
        }
        let scope =
            Scope::parse(get("X-Amz-Credential")?).ok_or(ErrorCode::AuthorizationQueryParametersError)?;
        let time_s = clock::parse_amz_date(get("X-Amz-Date")?).ok_or_else(|| {
            refused("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
        })?;
        let expires = get("X-Amz-Expires")?;
        if expires.starts_with('-') {
            return Err(refused("X-Amz-Expires must be non-negative"));
        }
        let expires_s = expires.parse().map_err(|_| refused("X-Amz-Expires should be a number"))?;
        if expires_s > EXPIRES_MAX_S {
            return Err(refused("X-Amz-Expires must be less than a week (in seconds) that is 604800"));
        }
        if clock::amz_date(time_s)[..8] != *scope.date {
            return Err(refused("Invalid credential date. This date is not the same as X-Amz-Date."));
        }
        Ok(Self {
            scope,
            signed_headers: get("X-Amz-SignedHeaders")?,
            signature: get("X-Amz-Signature")?,
            time_s,
            expires_s: Some(expires_s),
            presigned: true,
        })
    }

    /// Whether the signature is in the query.
    pub(crate) fn is_presigned(&self) -> bool {
        self.presigned
    }

    /// Whether the header `name` (in lower case) was signed.
    pub(crate) fn signs(&self, name: &str) -> bool {
        self.signed_headers.split(';').any(|signed| signed == name)
    }

    /// Region and service must be ours.
    pub(crate) fn check_scope(&self, region: &str) -> Result<(), S3Error> {
        let (code, what) = if self.presigned {
            (ErrorCode::AuthorizationQueryParametersError, "Error parsing the X-Amz-Credential parameter")
        } else {
            (ErrorCode::AuthorizationHeaderMalformed, "The authorization header is malformed")
        };
        if self.scope.service != "s3" {
            let message = format!(
                "{what}; incorrect service \"{}\". This endpoint belongs to \"s3\".",
                shorten(self.scope.service)
            );
            return Err(S3Error::with(code, message));
        }
        if self.scope.region != region {
            let message =
                format!("{what}; the region '{}' is wrong; expecting '{region}'", shorten(self.scope.region));
            return Err(S3Error::with(code, message).detail("Region", region));
        }
        Ok(())
    }

    /// The request must be of now: signed within the allowed skew, or presigned and not expired.
    pub(crate) fn check_time(&self, now_s: u64, skew_max: Duration) -> Result<(), S3Error> {
        let skew_s = skew_max.as_secs();
        if let Some(expires_s) = self.expires_s {
            if self.time_s > now_s + skew_s {
                return Err(S3Error::with(ErrorCode::AccessDenied, "Request is not valid yet")
                    .detail("X-Amz-Date", clock::amz_date(self.time_s))
                    .detail("ServerTime", clock::iso8601(now_s)));
            }
            if now_s > self.time_s + expires_s || expires_s == 0 {
                return Err(S3Error::with(ErrorCode::AccessDenied, "Request has expired")
                    .detail("X-Amz-Expires", expires_s.to_string())
                    .detail("Expires", clock::iso8601(self.time_s + expires_s))
                    .detail("ServerTime", clock::iso8601(now_s)));
            }
            return Ok(());
        }
        check_skew(self.time_s, now_s, skew_max)
    }

    /// `host` and every `x-amz-*` header must be signed: otherwise whoever holds a signed request could add to what
    /// it says.
    pub(crate) fn check_signed_headers(&self, parts: &Parts) -> Result<(), S3Error> {
        let unsigned = |name: &str| !self.signs(name);
        let missing: Vec<&str> = std::iter::once(HOST.as_str())
            .chain(parts.headers.keys().map(|name| name.as_str()).filter(|name| must_be_signed(name)))
            .filter(|name| unsigned(name))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(S3Error::with(
            ErrorCode::AccessDenied,
            "There were headers present in the request which were not signed",
        )
        .detail("HeadersNotSigned", missing.join(", ")))
    }
}

impl<'a> Scope<'a> {
    pub(crate) fn is_of_s3(&self) -> bool {
        self.service == "s3"
    }

    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        // From the right: an access key may hold slashes.
        let mut fields = text.rsplitn(5, '/');
        let ("aws4_request", service, region, date, access_key) =
            (fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next()?)
        else {
            return None;
        };
        let date_is_date = date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit());
        (date_is_date && !access_key.is_empty()).then_some(Self { access_key, date, region, service })
    }
}

/// SDKs add these two after signing a URL; neither changes what a request does.
fn must_be_signed(name: &str) -> bool {
    name.starts_with("x-amz-") && name != "x-amz-user-agent" && name != "x-amz-checksum-mode"
}

/// A request signed by header must have been signed just now.
pub(super) fn check_skew(time_s: u64, now_s: u64, skew_max: Duration) -> Result<(), S3Error> {
    if time_s.abs_diff(now_s) <= skew_max.as_secs() {
        return Ok(());
    }
    Err(S3Error::from(ErrorCode::RequestTimeTooSkewed)
        .detail("RequestTime", clock::amz_date(time_s))
        .detail("ServerTime", clock::iso8601(now_s))
        .detail("MaxAllowedSkewMilliseconds", skew_max.as_millis().to_string()))
}

/// When a request says that it was signed.
pub(super) fn header_time(headers: &HeaderMap) -> Result<u64, S3Error> {
    let refused = || {
        S3Error::with(
            ErrorCode::AccessDenied,
            "AWS authentication requires a valid Date or x-amz-date header",
        )
    };
    let date = headers.get("x-amz-date").or_else(|| headers.get(DATE));
    let date = date.and_then(|date| date.to_str().ok()).ok_or_else(refused)?;
    if let Some(time_s) = clock::parse_amz_date(date) {
        return Ok(time_s);
    }
    let time = loose_date(date).ok_or_else(refused)?;
    Ok(time.duration_since(std::time::UNIX_EPOCH).map_err(|_| refused())?.as_secs())
}

/// A date as HTTP has it, or with the zone as mail writes it, whatever day of the week it says that was: a signer that is
/// wrong about the day is told that its clock is.
fn loose_date(text: &str) -> Option<SystemTime> {
    let text =
        text.strip_suffix("+0000").map_or(Cow::Borrowed(text), |text| Cow::Owned(format!("{text}GMT")));
    httpdate::parse_http_date(&text).ok().or_else(|| {
        let (_, rest) = text.split_once(", ")?;
        let days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
        days.iter().find_map(|day| httpdate::parse_http_date(&format!("{day}, {rest}")).ok())
    })
}

fn other_algorithm() -> S3Error {
    S3Error::with(
        ErrorCode::InvalidRequest,
        "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
    )
}

fn shorten(text: &str) -> String {
    text.chars().take(64).collect()
}
