//! The object versioning API: version ids, and the listing of all versions.

use super::content_type::Listed;
use crate::clock;
use crate::error::{Result, SwiftError};
use crate::gateway::{Call, SwiftGateway};
use crate::headers;
use crate::history::DELETED;
use crate::listing::{Format, limit};
use http::StatusCode;
use http::header::ACCEPT;
use ringfort_core::HybridTime;
use ringfort_object::{ListedVersion, VersionEntry, VersionId, VersionListRequest};
use serde_json::{Value, json};
use std::collections::VecDeque;

/// MD5 of nothing: the tag of a delete marker.
const EMPTY: &str = "d41d8cd98f00b204e9800998ecf8427e";
/// Versions asked for at a time.
const PAGE: u32 = 1000;

/// A version's id as Swift's clients know it: a timestamp.
pub(crate) fn text_of(version: VersionId) -> String {
    match version {
        VersionId::Null => "null".to_owned(),
        VersionId::At(time) => format!("{:010}.{:06}", time.secs(), time.0 % 1_000_000),
    }
}

/// Reads a version's id.
pub(crate) fn parse(text: &str) -> Result<VersionId> {
    if text == "null" {
        return Ok(VersionId::Null);
    }
    let read = || {
        let (secs, micros) = text.split_once('.').unwrap_or((text, "0"));
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !all_digits(secs) || !all_digits(micros) || micros.len() > 6 {
            return None;
        }
        let micros: u64 = format!("{micros:0<6}").parse().ok()?;
        let secs: u64 = secs.parse().ok()?;
        Some(HybridTime(secs.checked_mul(1_000_000)?.checked_add(micros)?))
    };
    read().map(VersionId::At).ok_or_else(|| SwiftError::bad_request("Invalid version parameter"))
}

impl SwiftGateway {
    /// The listing of a container's versions.
    pub(super) async fn version_listing(&self, call: &Call) -> Result<String> {
        let most = limit(&call.query, self.inner.config.listing_limit)?;
        let text = |name: &str| call.query.get(name).unwrap_or_default().to_owned();
        let reverse = call.query.get("reverse").is_some_and(headers::is_true);
        let version = call.query.get_filled("version_marker").map(parse).transpose()?;
        if version.is_some() && text("marker").is_empty() {
            return Err(SwiftError::bad_request("version_marker param requires marker"));
        }
        // Reversed, it is read forwards and its end is kept.
        let (mut key_marker, mut version_marker, end) = match reverse {
            true => (text("end_marker"), None, End { name: text("marker"), version }),
            false => (text("marker"), version, End { name: text("end_marker"), version: None }),
        };
        let mut rows: VecDeque<Value> = VecDeque::new();
        if most == 0 {
            return Ok("[]".to_owned());
        }
        'pages: loop {
            let full = most.saturating_sub(u32::try_from(rows.len()).unwrap_or(u32::MAX));
            let left = if reverse { PAGE } else { full };
            if left == 0 {
                break;
            }
            let request = VersionListRequest {
                prefix: text("prefix"),
                delimiter: text("delimiter"),
                key_marker,
                version_marker,
                limit: left.min(PAGE),
            };
            let page = self.inner.objects.list_versions(&call.account, &call.container, &request).await?;
            for entry in &page.entries {
                if end.is_reached(entry) {
                    break 'pages;
                }
                rows.push_back(row_of(entry));
                if rows.len() > most as usize {
                    rows.pop_front();
                }
            }
            if !page.truncated {
                break;
            }
            (key_marker, version_marker) = (page.next_key_marker, page.next_version_marker);
        }
        let mut rows = Vec::from(rows);
        if reverse {
            rows.reverse();
        }
        Ok(Value::Array(rows).to_string())
    }

    /// Versions are told in JSON only; who wants something else is refused.
    pub(super) fn version_format(&self, call: &Call) -> Result<Format> {
        let chosen = call.query.get_filled("format").is_some() || call.parts.headers.contains_key(ACCEPT);
        match Format::of(&call.query, &call.parts.headers)? {
            Format::Json => Ok(Format::Json),
            _ if !chosen => Ok(Format::Json),
            _ => {
                let accept = headers::text(&call.parts.headers, ACCEPT.as_str())?.unwrap_or_default();
                let any = call.query.get_filled("format").is_none() && accept.contains("*/*");
                if any { Ok(Format::Json) } else { Err(StatusCode::NOT_ACCEPTABLE.into()) }
            }
        }
    }
}

/// Where a listing that is read forwards ends: before a name, or before one of its versions.
struct End {
    /// Empty for no end.
    name: String,
    version: Option<VersionId>,
}

impl End {
    fn is_reached(&self, entry: &VersionEntry) -> bool {
        if self.name.is_empty() {
            return false;
        }
        match (entry, self.version) {
            (VersionEntry::CommonPrefix(prefix), _) => prefix.as_str() >= self.name.as_str(),
            (VersionEntry::Version(found), None) => found.key.as_str() >= self.name.as_str(),
            (VersionEntry::Version(found), Some(version)) => {
                found.key.as_str() > self.name.as_str()
                    || (found.key == self.name && !is_newer(found.version, version))
            }
        }
    }
}

/// Whether a version comes before another one in a listing, which knows no order for the null version but its own place.
fn is_newer(version: VersionId, than: VersionId) -> bool {
    match (version, than) {
        (VersionId::At(version), VersionId::At(than)) => version > than,
        (VersionId::At(_), VersionId::Null) => true,
        (VersionId::Null, _) => false,
    }
}

fn row_of(entry: &VersionEntry) -> Value {
    let version: &ListedVersion = match entry {
        VersionEntry::CommonPrefix(prefix) => return json!({"subdir": prefix}),
        VersionEntry::Version(version) => version,
    };
    let listed = Listed::parse(&version.content_type);
    let (hash, content_type) = if version.delete_marker {
        (EMPTY.to_owned(), DELETED)
    } else {
        (version.etag.to_string(), listed.content_type.as_str())
    };
    let mut row = json!({
        "name": version.key,
        "bytes": listed.bytes.unwrap_or(version.size),
        "hash": hash,
        "content_type": content_type,
        "last_modified": clock::iso8601(version.modified),
        "version_id": text_of(version.version),
        "is_latest": version.latest,
    });
    if let Some(path) = &listed.symlink_path {
        row["symlink_path"] = json!(path);
    }
    if let Some(tag) = &listed.slo_etag {
        row["slo_etag"] = json!(format!("\"{tag}\""));
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_are_timestamps() {
        assert_eq!(parse("null").unwrap(), VersionId::Null);
        assert_eq!(parse("1369353600.5").unwrap(), VersionId::At(HybridTime(1_369_353_600_500_000)));
        for bad in ["", "x", "1.", ".1", "1.1234567", "-1", "99999999999999999999"] {
            assert_eq!(parse(bad).expect_err(bad).status(), 400, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn ids_come_back(time in 0_u64..9_999_999_999_999_999) {
            let id = VersionId::At(HybridTime(time));
            prop_assert_eq!(parse(&text_of(id)).ok(), Some(id));
        }
    }
}
