//! Headers of requests: their texts, and the metadata of accounts, containers and objects under Swift's limits.

use crate::clock;
use crate::config::SwiftConfig;
use crate::error::{Result, SwiftError};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Named values: metadata as the object layer keeps it.
pub(crate) type Pairs = Vec<(String, String)>;

/// Latest time that an expiry may name.
const DELETE_AT_MAX: u64 = 9_999_999_999;

/// Whether a word means yes.
pub(crate) fn is_true(word: &str) -> bool {
    ["true", "1", "yes", "on", "t", "y"].iter().any(|yes| word.eq_ignore_ascii_case(yes))
}

/// A header's text, without blanks around it.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = std::str::from_utf8(value.as_bytes()).map(|text| Some(text.trim()));
    text.map_err(|_| SwiftError::bad_request(format!("{name} must be valid UTF-8")))
}

/// A header's text if it is there and not empty.
pub(crate) fn filled<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>> {
    Ok(text(headers, name)?.filter(|text| !text.is_empty()))
}

/// Whether a header says yes.
pub(crate) fn says_yes(headers: &HeaderMap, name: &str) -> bool {
    text(headers, name).ok().flatten().is_some_and(is_true)
}

/// A value of ours as a header's.
pub(crate) fn value(text: impl std::fmt::Display) -> HeaderValue {
    HeaderValue::from_bytes(text.to_string().as_bytes()).unwrap_or(HeaderValue::from_static(""))
}

/// Puts a header into a reply; a name or value that is none is left out.
pub(crate) fn put(out: &mut HeaderMap, name: &str, text: impl std::fmt::Display) {
    let name = HeaderName::from_bytes(name.as_bytes());
    let value = HeaderValue::from_bytes(text.to_string().as_bytes());
    if let (Ok(name), Ok(value)) = (name, value) {
        out.insert(name, value);
    }
}

/// Refuses what is too long in any request.
pub(crate) fn check_lengths(headers: &HeaderMap, config: &SwiftConfig) -> Result<()> {
    for (name, value) in headers {
        if value.len() > config.header_value_bytes_max {
            let name = name.as_str();
            let name = name.get(..config.meta_name_bytes_max).unwrap_or(name);
            return Err(SwiftError::bad_request(format!("Header value too long: {name}")));
        }
    }
    Ok(())
}

/// Whose metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Account,
    Container,
    Object,
}

impl Kind {
    /// What precedes the names of metadata headers.
    pub(crate) const fn prefix(self) -> &'static str {
        match self {
            Self::Account => "x-account-meta-",
            Self::Container => "x-container-meta-",
            Self::Object => "x-object-meta-",
        }
    }

    const fn remove_prefix(self) -> &'static str {
        match self {
            Self::Account => "x-remove-account-meta-",
            Self::Container => "x-remove-container-meta-",
            Self::Object => "x-remove-object-meta-",
        }
    }
}

/// The metadata that a request gives: names in lower case and without the prefix. An empty value removes
/// from accounts and containers, whose metadata grow; those of an object come all at once, and one may be empty.
pub(crate) fn metadata(headers: &HeaderMap, kind: Kind, config: &SwiftConfig) -> Result<Pairs> {
    let mut found: Pairs = Vec::new();
    let (mut count, mut bytes) = (0, 0);
    for (name, value) in headers {
        if let Some(name) = name.as_str().strip_prefix(kind.remove_prefix())
            && kind != Kind::Object
        {
            found.push((name.to_owned(), String::new()));
            continue;
        }
        let Some(name) = name.as_str().strip_prefix(kind.prefix()) else { continue };
        if name.is_empty() {
            return Err(SwiftError::bad_request("Metadata name cannot be empty"));
        }
        let value = std::str::from_utf8(value.as_bytes())
            .map_err(|_| SwiftError::bad_request("Metadata must be valid UTF-8"))?;
        count += 1;
        bytes += name.len() + value.len();
        check_one(name, value, kind, config)?;
        check_all(count, bytes, config)?;
        match found.iter_mut().find(|(known, _)| known == name) {
            // Sent twice is a list.
            Some((_, known)) => *known = format!("{known},{value}"),
            None => found.push((name.to_owned(), value.to_owned())),
        }
    }
    Ok(found)
}

fn check_one(name: &str, value: &str, kind: Kind, config: &SwiftConfig) -> Result<()> {
    let full = format!("{}{name}", kind.prefix());
    if name.len() > config.meta_name_bytes_max {
        return Err(SwiftError::bad_request(format!("Metadata name too long: {full}")));
    }
    let most = config.meta_value_bytes_max;
    if value.len() > most {
        return Err(SwiftError::bad_request(format!("Metadata value longer than {most}: {full}")));
    }
    Ok(())
}

fn check_all(count: usize, bytes: usize, config: &SwiftConfig) -> Result<()> {
    if count > config.meta_count_max {
        let most = config.meta_count_max;
        return Err(SwiftError::bad_request(format!("Too many metadata items; max {most}")));
    }
    if bytes > config.meta_bytes_max {
        let most = config.meta_bytes_max;
        return Err(SwiftError::bad_request(format!("Total metadata too large; max {most}")));
    }
    Ok(())
}

/// Whether metadata that has grown over several requests still is within the limits.
pub(crate) fn check_grown(kept: &Pairs, kind: Kind, config: &SwiftConfig) -> Result<()> {
    let items = kept.iter().filter_map(|(name, value)| Some((name.strip_prefix(kind.prefix())?, value)));
    let (count, bytes) =
        items.fold((0, 0), |(n, sum), (name, value)| (n + 1, sum + name.len() + value.len()));
    check_all(count, bytes, config)
}

/// When an object shall disappear, by `X-Delete-After` or `X-Delete-At`.
pub(crate) fn expiry(headers: &HeaderMap) -> Result<Option<u64>> {
    let now = clock::now_s();
    let read = |name: &str, words: &'static str| -> Result<Option<i128>> {
        let Some(text) = text(headers, name)? else { return Ok(None) };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) if digits => Ok(Some(i128::MAX)),
            Err(_) => Err(SwiftError::bad_request(words)),
        }
    };
    let (at, past) = match read("x-delete-after", "Non-integer X-Delete-After")? {
        Some(after) => (Some(after.saturating_add(i128::from(now))), "X-Delete-After in past"),
        None => (read("x-delete-at", "Non-integer X-Delete-At")?, "X-Delete-At in past"),
    };
    let Some(at) = at else { return Ok(None) };
    if at <= i128::from(now) {
        return Err(SwiftError::bad_request(past));
    }
    Ok(Some(u64::try_from(at).unwrap_or(DELETE_AT_MAX).min(DELETE_AT_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        map
    }

    #[test]
    fn metadata_is_taken_within_limits() {
        let config = SwiftConfig::default();
        let read = |pairs: &[(&str, &str)]| metadata(&map(pairs), Kind::Container, &config);
        let found =
            read(&[("X-Container-Meta-A", "1"), ("x-container-meta-a", "2"), ("x-object-meta-b", "3")]);
        assert_eq!(found.unwrap(), [("a".to_owned(), "1,2".to_owned())]);
        let found = read(&[("x-remove-container-meta-a", "x")]);
        assert_eq!(found.unwrap(), [("a".to_owned(), String::new())]);
        let long_name = format!("x-container-meta-{}", "n".repeat(129));
        let long_value = "v".repeat(257);
        for bad in [("x-container-meta-", "v"), (&*long_name, "v"), ("x-container-meta-a", &*long_value)] {
            assert_eq!(read(&[bad]).expect_err(bad.0).status(), 400, "{bad:?}");
        }
        let many: Vec<String> = (0..91).map(|n| format!("x-container-meta-{n}")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "v")).collect();
        assert!(read(&many[1..]).is_ok());
        assert_eq!(read(&many).expect_err("many").status(), 400);
    }

    #[test]
    fn expiry_lies_ahead() {
        let at = |name: &str, value: &str| expiry(&map(&[(name, value)]));
        assert!(at("x-delete-after", "10").unwrap().is_some_and(|at| at >= clock::now_s() + 9));
        assert_eq!(at("x-delete-at", "99999999999").unwrap(), Some(DELETE_AT_MAX));
        assert_eq!(
            at("x-delete-after", "170141183460469231731687303715884105727").unwrap(),
            Some(DELETE_AT_MAX)
        );
        assert_eq!(at("x-other", "1").unwrap(), None);
        for (name, value) in [
            ("x-delete-after", "x"),
            ("x-delete-after", "0"),
            ("x-delete-after", "-5"),
            ("x-delete-at", "1"),
            ("x-delete-at", "1.5"),
            ("x-delete-at", ""),
        ] {
            assert_eq!(at(name, value).expect_err(value).status(), 400, "{name}: {value}");
        }
    }
}
