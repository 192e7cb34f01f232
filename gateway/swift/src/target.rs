//! The request target: `/v1/{account}[/{container}[/{object}]]` and the query.

use crate::error::{Result, SwiftError};
use http::{StatusCode, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use ringfort_http::query_pairs;

/// What a path keeps as it is when it is written into a header or an HTML page.
pub(crate) const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
/// As [`PATH`], with the slash escaped.
pub(crate) const SEGMENT: &AsciiSet = &PATH.add(b'/');

/// Encodes a path.
pub(crate) fn quote(path: &str) -> String {
    utf8_percent_encode(path, PATH).to_string()
}

/// A parsed request target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Something that is of the service and no account's.
    Service(String),
    /// An account, a container or an object.
    Store {
        /// The account's name with its prefix.
        account: String,
        container: Option<String>,
        object: Option<String>,
    },
}

impl Target {
    /// Reads a target's path.
    pub(crate) fn parse(uri: &Uri, bytes_max: usize) -> Result<Self> {
        if uri.path().len() + uri.query().map_or(0, str::len) > bytes_max {
            return Err(StatusCode::URI_TOO_LONG.into());
        }
        let path = unquote(uri.path())?;
        let mut parts = path.splitn(5, '/');
        let (root, version) = (parts.next(), parts.next().unwrap_or_default());
        if root != Some("") || !matches!(version, "v1" | "v1.0") {
            return Ok(Self::Service(path));
        }
        let (account, container, object) = (parts.next(), parts.next(), parts.next());
        let account = match (account, container) {
            (None | Some(""), None) => return Err(SwiftError::precondition("Bad URL")),
            (None | Some(""), Some(_)) => return Err(SwiftError::not_found()),
            (Some(account), _) => account,
        };
        if container == Some("") && object.is_some() {
            return Err(SwiftError::not_found());
        }
        let filled = |name: Option<&str>| name.filter(|name| !name.is_empty()).map(str::to_owned);
        let (container, object) = (filled(container), filled(object));
        Ok(Self::Store { account: account.to_owned(), container, object })
    }
}

/// Decodes an escaped path; what is no UTF-8 or holds a NUL names nothing.
pub(crate) fn unquote(text: &str) -> Result<String> {
    let decoded = percent_decode_str(text).decode_utf8().ok().filter(|path| !path.contains('\0'));
    let decoded = decoded.ok_or_else(|| SwiftError::precondition("Invalid UTF8 or contains NULL"))?;
    Ok(decoded.into_owned())
}

/// Decoded query parameters in their order.
#[derive(Debug, Default, Clone)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes a query string.
    pub(crate) fn parse(raw: &str) -> Result<Self> {
        let pairs = query_pairs(raw, false);
        pairs.map(Self).map_err(|_| SwiftError::bad_request("Query string is not UTF-8"))
    }

    /// A query of these parameters.
    pub(crate) fn of(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// The last value of `name`, as Swift takes it.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The value of `name` if it is not empty.
    pub(crate) fn get_filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Whether `name` occurs.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

/// Reads `container/object` of a header such as `X-Copy-From`, escaped, with or without a slash before it.
pub(crate) fn container_and_object(text: &str) -> Option<(String, String)> {
    let decoded = unquote(text).ok()?;
    let path = decoded.strip_prefix('/').unwrap_or(&decoded);
    let (container, object) = path.split_once('/')?;
    (!container.is_empty() && !object.is_empty()).then(|| (container.to_owned(), object.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths() {
        let check = |text: &str, wanted: (&str, Option<&str>, Option<&str>)| {
            let target = Target::parse(&text.parse().unwrap(), 1 << 14).expect(text);
            let owned = |name: Option<&str>| name.map(str::to_owned);
            let (account, container, object) = (wanted.0.to_owned(), owned(wanted.1), owned(wanted.2));
            assert_eq!(target, Target::Store { account, container, object }, "{text}");
        };
        check("/v1/AUTH_a", ("AUTH_a", None, None));
        check("/v1/AUTH_a/", ("AUTH_a", None, None));
        check("/v1.0/AUTH_a/c", ("AUTH_a", Some("c"), None));
        check("/v1/AUTH_a/c/", ("AUTH_a", Some("c"), None));
        check("/v1/AUTH_a/c/o%2Fp/q%20", ("AUTH_a", Some("c"), Some("o/p/q ")));
        check("/v1/AUTH_a/c//o", ("AUTH_a", Some("c"), Some("/o")));
        let service = |text: &str| Target::parse(&text.parse().unwrap(), 1 << 14).expect(text);
        assert_eq!(service("/info"), Target::Service("/info".to_owned()));
        assert_eq!(service("//v1/AUTH_a"), Target::Service("//v1/AUTH_a".to_owned()));
    }

    #[test]
    fn what_names_nothing() {
        for (text, status) in [
            ("/v1", 412),
            ("/v1/", 412),
            ("/v1//c", 404),
            ("/v1/a//o", 404),
            ("/v1/%ff", 412),
            ("/v1/a%00", 412),
        ] {
            let refused = Target::parse(&text.parse().unwrap(), 1 << 14).expect_err(text);
            assert_eq!(refused.status(), status, "{text}");
        }
        let long = format!("/v1/{}", "a".repeat(100)).parse().unwrap();
        assert_eq!(Target::parse(&long, 50).expect_err("long").status(), 414);
    }

    #[test]
    fn queries_take_the_last() {
        let query = Query::parse("a=1&b&c=x%2By+z&&a=2").unwrap();
        assert_eq!((query.get("a"), query.get("b"), query.get("c")), (Some("2"), Some(""), Some("x+y z")));
        assert!(!query.has("d"));
    }

    #[test]
    fn sources_of_copies() {
        let check = |text: &str, wanted: Option<(&str, &str)>| {
            let wanted = wanted.map(|(a, b)| (a.to_owned(), b.to_owned()));
            assert_eq!(container_and_object(text), wanted, "{text}");
        };
        check("c/o", Some(("c", "o")));
        check("/c/o/p%20q", Some(("c", "o/p q")));
        check("c", None);
        check("/c/", None);
        check("//o", None);
        check("c/%ff", None);
    }

    proptest! {
        #[test]
        fn any_query_is_parsed_without_panic(raw in "[ -~]{0,60}") {
            let _ = (Query::parse(&raw), container_and_object(&raw), unquote(&raw));
        }
    }
}
