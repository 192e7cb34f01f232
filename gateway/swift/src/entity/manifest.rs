//! Manifests of static large objects: as clients send them, and as they are kept and given back.

use super::walk::Part;
use crate::error::{Result, SwiftError};
use crate::ranges;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use md5::{Digest, Md5};
use ringfort_object::ObjectPath;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A segment as the client asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Object { path: String, etag: Option<String>, size: Option<u64>, range: Option<String> },
    Data(Bytes),
}

/// What is wrong with a segment: its path, and the words for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem(pub(crate) String, pub(crate) String);

/// Reads the manifest that a client sends for the object `own` (`/container/object`). All mistakes are told at once.
pub(crate) fn parse_asked(text: &[u8], own: &str) -> Result<Vec<Asked>> {
    let parsed: Value = serde_json::from_slice(text)
        .map_err(|_| SwiftError::bad_request("Manifest must be valid JSON.\n"))?;
    let Value::Array(items) = parsed else {
        return Err(SwiftError::bad_request("Manifest must be a list.\n"));
    };
    let count = items.len();
    let mut asked = Vec::with_capacity(count);
    let mut wrong = String::new();
    for (index, item) in items.into_iter().enumerate() {
        match one_asked(item, index + 1 == count, own) {
            Ok(segment) => asked.push(segment),
            // Enough to see what is wrong; a thousand lines would not say more.
            Err(_) if wrong.len() > 64 << 10 => {}
            Err(what) => wrong.push_str(&format!("Index {index}: {what}\n")),
        }
    }
    if wrong.is_empty() && !asked.is_empty() && asked.iter().all(|segment| matches!(segment, Asked::Data(_)))
    {
        wrong.push_str("Inline data segments require at least one object-backed segment.\n");
    }
    if wrong.is_empty() { Ok(asked) } else { Err(SwiftError::bad_request(wrong)) }
}

fn one_asked(item: Value, last: bool, own: &str) -> Result<Asked, String> {
    let Value::Object(map) = item else { return Err("not a JSON object".to_owned()) };
    let kind = ["data", "path"].into_iter().find(|key| map.contains_key(*key));
    let Some(kind) = kind else { return Err("expected keys to include one of 'data' or 'path'".to_owned()) };
    let allowed: &[&str] = if kind == "data" { &["data"] } else { &["path", "range", "etag", "size_bytes"] };
    let mut extra: Vec<&String> = map.keys().filter(|key| !allowed.contains(&key.as_str())).collect();
    if !extra.is_empty() {
        extra.sort();
        let extra: Vec<String> = extra.iter().map(|key| Value::from(key.as_str()).to_string()).collect();
        return Err(format!("extraneous keys {}", extra.join(", ")));
    }
    if kind == "data" {
        let data = map["data"].as_str().and_then(|text| STANDARD.decode(text.trim()).ok());
        let data = data.ok_or("data must be valid base64")?;
        if data.is_empty() {
            return Err("too small; each segment must be at least 1 byte.".to_owned());
        }
        return Ok(Asked::Data(data.into()));
    }
    let Value::String(path) = &map["path"] else { return Err("\"path\" must be a string".to_owned()) };
    let etag = match map.get("etag") {
        None | Some(Value::Null) => None,
        Some(Value::String(etag)) => Some(etag.trim_matches('"').to_owned()).filter(|etag| !etag.is_empty()),
        Some(_) => return Err("\"etag\" must be a string or null (if provided)".to_owned()),
    };
    let path = format!("/{}", path.trim_start_matches('/'));
    let has_both = path[1..]
        .split_once('/')
        .is_some_and(|(container, object)| !container.is_empty() && !object.trim_end_matches('/').is_empty());
    if !has_both || path.contains('\0') {
        return Err(
            "path does not refer to an object. Path must be of the form /container/object.".to_owned()
        );
    }
    let size = asked_size(map.get("size_bytes"), last)?;
    if path == own {
        return Err("manifest must not include itself as a segment".to_owned());
    }
    let range = asked_range(map.get("range"), size)?;
    Ok(Asked::Object { path, etag, size, range })
}

fn asked_size(value: Option<&Value>, last: bool) -> Result<Option<u64>, String> {
    let size = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_i64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(_) => None,
    };
    let size: i64 = size.ok_or("invalid size_bytes")?;
    if size < 1 && !last {
        return Err("too small; each segment must be at least 1 byte.".to_owned());
    }
    u64::try_from(size).map(Some).map_err(|_| "invalid size_bytes".to_owned())
}

fn asked_range(value: Option<&Value>, size: Option<u64>) -> Result<Option<String>, String> {
    let text = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) if text.is_empty() => return Ok(None),
        Some(Value::String(text)) => text.clone(),
        Some(_) => return Err("invalid range".to_owned()),
    };
    if text.contains(',') {
        return Err("multiple ranges (only one allowed)".to_owned());
    }
    if !ranges::is_one(&text) {
        return Err("invalid range".to_owned());
    }
    if size.is_some_and(|size| ranges::of_segment(&text, size).is_none()) {
        return Err("unsatisfiable range".to_owned());
    }
    Ok(Some(text))
}

/// A segment as it is kept; the names are those that clients get to see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Segment {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hash: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_modified: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) range: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) sub_slo: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<String>,
}

impl Segment {
    /// Bytes that it contributes.
    pub(crate) fn len(&self) -> u64 {
        if let Some(data) = self.data() {
            return data.len() as u64;
        }
        let size = self.bytes.unwrap_or(0);
        match &self.range {
            None => size,
            Some(range) => ranges::of_segment(range, size).map_or(0, |range| range.end - range.start),
        }
    }

    pub(crate) fn data(&self) -> Option<Bytes> {
        self.data.as_ref().and_then(|text| STANDARD.decode(text).ok()).map(Bytes::from)
    }

    /// A segment of these bytes.
    pub(crate) fn of_data(data: &Bytes) -> Self {
        Self { data: Some(STANDARD.encode(data)), ..Self::default() }
    }
}

/// The segments of a static large object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest(pub(crate) Vec<Segment>);

impl Manifest {
    /// Reads a kept manifest.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok().map(Self)
    }

    /// The manifest as it is kept.
    pub(crate) fn text(&self) -> Vec<u8> {
        serde_json::to_vec(&self.0).unwrap_or_default()
    }

    /// Bytes of the whole.
    pub(crate) fn size(&self) -> u64 {
        self.0.iter().map(Segment::len).fold(0, u64::saturating_add)
    }

    /// The tag of the whole: the hash of its segments' tags.
    pub(crate) fn etag(&self) -> String {
        let mut hasher = Md5::new();
        for segment in &self.0 {
            match (segment.data(), &segment.hash, &segment.range) {
                (Some(data), ..) => hasher.update(hex::encode(Md5::digest(&data))),
                (None, Some(hash), Some(range)) => hasher.update(format!("{hash}:{range};")),
                (None, Some(hash), None) => hasher.update(hash),
                (None, None, _) => {}
            }
        }
        hex::encode(hasher.finalize())
    }

    /// The parts to read, in the account that the manifest lies in.
    pub(crate) fn into_parts(self, account: &str) -> Vec<Part> {
        let part = |segment: Segment| {
            if let Some(data) = segment.data() {
                return Some(Part::Data(data));
            }
            let (container, object) = segment.name.as_deref()?.trim_start_matches('/').split_once('/')?;
            let size = segment.bytes?;
            let range = match &segment.range {
                None => 0..size,
                Some(range) => ranges::of_segment(range, size)?,
            };
            let at = ObjectPath::new(account, container, object);
            Some(Part::Object { at, etag: segment.hash, size, range, nested: segment.sub_slo })
        };
        self.0.into_iter().filter_map(part).collect()
    }

    /// The manifest in the form in which clients send one.
    pub(crate) fn as_sent(&self) -> Value {
        let one = |segment: &Segment| {
            if let Some(data) = &segment.data {
                return serde_json::json!({"data": data});
            }
            let mut sent = serde_json::json!({
                "path": segment.name,
                "etag": segment.hash,
                "size_bytes": segment.bytes,
            });
            if let Some(range) = &segment.range {
                sent["range"] = range.as_str().into();
            }
            sent
        };
        Value::Array(self.0.iter().map(one).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Vec<Asked>> {
        parse_asked(text.as_bytes(), "/c/own")
    }

    #[test]
    fn manifests_are_read() {
        let asked = parse(
            r#"[{"path":"/c/a","etag":"\"x\"","size_bytes":"5","range":"1-2"},{"path":"c/b"},{"data":"aGk="},
                {"path":"/c/last","size_bytes":0}]"#,
        )
        .unwrap();
        assert_eq!(asked.len(), 4);
        let (etag, range) = (Some("x".to_owned()), Some("1-2".to_owned()));
        assert_eq!(asked[0], Asked::Object { path: "/c/a".to_owned(), etag, size: Some(5), range });
        assert_eq!(asked[2], Asked::Data(Bytes::from_static(b"hi")));
        for bad in [
            "x",
            "{}",
            "[1]",
            "[{}]",
            r#"[{"path":1}]"#,
            r#"[{"path":"/c"}]"#,
            r#"[{"path":"/c/"}]"#,
            r#"[{"path":"/c/own"}]"#,
            r#"[{"path":"/c/a","other":1}]"#,
            r#"[{"path":"/c/a","etag":1}]"#,
            r#"[{"path":"/c/a","size_bytes":0},{"path":"/c/b"}]"#,
            r#"[{"path":"/c/a","size_bytes":-1}]"#,
            r#"[{"path":"/c/a","size_bytes":"x"}]"#,
            r#"[{"path":"/c/a","range":"x"}]"#,
            r#"[{"path":"/c/a","range":"1-2,3-4"}]"#,
            r#"[{"path":"/c/a","range":"7-","size_bytes":5}]"#,
            r#"[{"data":"?"}]"#,
            r#"[{"data":""}]"#,
            r#"[{"data":"aGk="}]"#,
        ] {
            assert_eq!(parse(bad).expect_err(bad).status(), 400, "{bad}");
        }
    }

    #[test]
    fn what_is_kept_comes_back() {
        let object = Segment {
            name: Some("/c/a".to_owned()),
            bytes: Some(10),
            hash: Some("h".to_owned()),
            range: Some("2-4".to_owned()),
            ..Segment::default()
        };
        let manifest = Manifest(vec![object, Segment::of_data(&Bytes::from_static(b"hi"))]);
        assert_eq!(Manifest::read(&manifest.text()), Some(manifest.clone()));
        assert_eq!((manifest.size(), manifest.clone().into_parts("a").len()), (5, 2));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = (parse_asked(&text, "/c/o"), Manifest::read(&text).map(|m| (m.size(), m.etag())));
        }
    }
}
