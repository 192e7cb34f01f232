//! The request target: bucket and key, of the path or of the host name, and the query.
//!
//! Signatures are over the *strict* encoding of what the path means, so the path is decoded once, here, and encoded
//! again from its meaning; what the client wrote is kept for the clients that sign that instead.

use crate::error::{ErrorCode, S3Error};
use http::Uri;
use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use ringfort_http::query_pairs;
use std::borrow::Cow;

/// Everything but RFC 3986's unreserved characters.
pub(crate) const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// As [`STRICT`], with the slash between segments kept.
pub(crate) const STRICT_PATH: &AsciiSet = &STRICT.remove(b'/');

/// A parsed request target.
#[derive(Debug)]
pub(crate) struct Target {
    /// The decoded path, with its leading slash.
    pub(crate) path: String,
    /// The decoded query.
    pub(crate) query: Query,
    /// The bucket that the host name names; the whole path is the key then.
    host_bucket: Option<String>,
}

impl Target {
    /// Reads a target, refusing what is too long or is no UTF-8.
    pub(crate) fn parse(uri: &Uri, bytes_max: usize) -> Result<Self, S3Error> {
        let raw_query = uri.query().unwrap_or_default();
        if uri.path().len() + raw_query.len() > bytes_max {
            return Err(ErrorCode::URITooLong.into());
        }
        let path = percent_decode_str(uri.path()).decode_utf8().map_err(|_| ErrorCode::InvalidURI)?;
        // What only looks like an escape would be a name with two writings.
        if !path.starts_with('/') || !escapes_are_whole(uri.path()) {
            return Err(ErrorCode::InvalidURI.into());
        }
        Ok(Self { path: path.into_owned(), query: Query::parse(raw_query, false)?, host_bucket: None })
    }

    /// Reads the target of a request, whose host name may be that of a bucket under one of `domains`.
    pub(crate) fn of_request(parts: &Parts, bytes_max: usize, domains: &[String]) -> Result<Self, S3Error> {
        let mut target = Self::parse(&parts.uri, bytes_max)?;
        if !domains.is_empty() {
            let of_header = || parts.headers.get(HOST).and_then(|host| host.to_str().ok());
            let host = parts.uri.authority().map(Authority::as_str).or_else(of_header);
            target.host_bucket = host.and_then(|host| bucket_of_host(host, domains));
        }
        Ok(target)
    }

    /// The bucket, if the request names one.
    pub(crate) fn bucket(&self) -> Option<&str> {
        if let Some(bucket) = &self.host_bucket {
            return Some(bucket);
        }
        let bucket = self.path[1..].split('/').next().unwrap_or_default();
        (!bucket.is_empty()).then_some(bucket)
    }

    /// The key, if the path names one.
    pub(crate) fn key(&self) -> Option<&str> {
        if self.host_bucket.is_some() {
            return Some(&self.path[1..]).filter(|key| !key.is_empty());
        }
        let (_, key) = self.path[1..].split_once('/')?;
        (!key.is_empty()).then_some(key)
    }

    /// What stands before the path where a resource is named by a path alone: the bucket of the host name.
    pub(crate) fn host_prefix(&self) -> String {
        self.host_bucket.as_ref().map(|bucket| format!("/{bucket}")).unwrap_or_default()
    }

    /// The path in its one strict encoding.
    pub(crate) fn strict_path(&self) -> Cow<'_, str> {
        Cow::from(utf8_percent_encode(&self.path, STRICT_PATH))
    }
}

/// The bucket before the longest of `domains` that the host ends in.
fn bucket_of_host(host: &str, domains: &[String]) -> Option<String> {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.to_ascii_lowercase();
    if domains.iter().any(|domain| name.eq_ignore_ascii_case(domain)) {
        return None;
    }
    let before = |domain: &String| name.strip_suffix(&domain.to_ascii_lowercase())?.strip_suffix('.');
    let shortest = domains.iter().filter_map(before).min_by_key(|bucket| bucket.len())?;
    (!shortest.is_empty()).then(|| shortest.to_owned())
}

fn escapes_are_whole(path: &str) -> bool {
    let digits = |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    path.split('%').skip(1).all(digits)
}

/// Decoded query parameters in their order.
#[derive(Debug, Default, Clone)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes a query string. `+` means a space, unless the client signed it as itself.
    pub(crate) fn parse(raw: &str, plus_is_literal: bool) -> Result<Self, S3Error> {
        query_pairs(raw, plus_is_literal).map(Self).map_err(|_| ErrorCode::InvalidURI.into())
    }

    /// The first value of `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The value of `name` if it is not empty.
    pub(crate) fn get_filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Whether `name` occurs.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// All parameters.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// All names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn target(text: &str) -> Target {
        Target::parse(&text.parse().expect("a URI"), 1 << 14).expect("a target")
    }

    #[test]
    fn paths() {
        let check = |text: &str, bucket: Option<&str>, key: Option<&str>| {
            let target = target(text);
            assert_eq!((target.bucket(), target.key()), (bucket, key), "{text}");
        };
        check("/", None, None);
        check("/b", Some("b"), None);
        check("/b/", Some("b"), None);
        check("/b/k", Some("b"), Some("k"));
        check("/b//k", Some("b"), Some("/k"));
        check("/b/a%2Fb%20c", Some("b"), Some("a/b c"));
        check("/b/a+b", Some("b"), Some("a+b"));
        check("http://host:9000/b/k?x", Some("b"), Some("k"));
        assert_eq!(target("/b/a!b(c)%20d/%C3%A9").strict_path(), "/b/a%21b%28c%29%20d/%C3%A9");
    }

    #[test]
    fn buckets_as_host_names() {
        let domains = ["s3.lan".to_owned(), "eu.s3.lan".to_owned()];
        let check = |host: &str, path: &str, bucket: Option<&str>, key: Option<&str>| {
            let (parts, ()) =
                http::Request::get(path).header("host", host).body(()).expect("a request").into_parts();
            let target = Target::of_request(&parts, 1 << 14, &domains).expect("a target");
            assert_eq!((target.bucket(), target.key()), (bucket, key), "{host}{path}");
        };
        check("s3.lan:9000", "/b/k", Some("b"), Some("k"));
        check("b.S3.lan:9000", "/k/l", Some("b"), Some("k/l"));
        check("b.s3.lan", "/", Some("b"), None);
        check("a.b.eu.s3.lan", "/k", Some("a.b"), Some("k"));
        check("eu.s3.lan", "/b/k", Some("b"), Some("k"));
        check("127.0.0.1:9000", "/b/k", Some("b"), Some("k"));
        check("bs3.lan", "/b/k", Some("b"), Some("k"));
    }

    #[test]
    fn what_is_no_target() {
        for (text, code) in [
            ("/b/%ff", ErrorCode::InvalidURI),
            ("/b/%zz", ErrorCode::InvalidURI),
            ("/b/100%", ErrorCode::InvalidURI),
            ("/b/%4", ErrorCode::InvalidURI),
            ("*", ErrorCode::InvalidURI),
            ("/b?%ff", ErrorCode::InvalidURI),
        ] {
            let refused = Target::parse(&text.parse().expect("a URI"), 1 << 14).expect_err(text);
            assert_eq!(refused.code(), code, "{text}");
        }
        let long = format!("/{}", "a".repeat(20_000));
        assert_eq!(
            Target::parse(&long.parse().expect("a URI"), 1 << 14).expect_err("long").code(),
            ErrorCode::URITooLong
        );
    }

    #[test]
    fn queries() {
        let query = Query::parse("a=1&b&c=x%2By+z&&a=2", false).expect("a query");
        assert_eq!((query.get("a"), query.get("b"), query.get("c")), (Some("1"), Some(""), Some("x+y z")));
        assert!(!query.has("d"));
        assert_eq!(Query::parse("c=x+y", true).expect("a query").get("c"), Some("x+y"));
    }

    proptest! {
        #[test]
        fn any_query_is_parsed_without_panic(raw in "[ -~]{0,60}") {
            let _ = Query::parse(&raw, false);
        }
    }
}
