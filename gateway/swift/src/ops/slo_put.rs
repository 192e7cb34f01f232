//! PUT of the manifest of a static large object: every segment is looked at before it is believed.

use super::content_type::Listed;
use super::object::{push_written_version, written};
use super::put::conditions;
use crate::authorize::Need;
use crate::body::read_small;
use crate::clock;
use crate::entity::{Asked, Look, Manifest, Problem, SLO_ETAG, SLO_SIZE, Segment, kept, parse_asked};
use crate::error::{Result, SwiftError};
use crate::gateway::{Call, Reply, SwiftGateway};
use crate::headers;
use crate::ranges;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::StatusCode;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use ringfort_http::RequestBody;
use ringfort_object::{ObjectPath, PutOptions};
use std::collections::BTreeMap;

/// Segments looked at side by side.
const LOOKS: usize = 8;
/// Different segments of which a note is kept, so that one that is named often is looked at once.
type Known = BTreeMap<String, Result<Found, String>>;

/// What was found of a segment.
#[derive(Clone, Debug)]
struct Found {
    size: u64,
    etag: String,
    content_type: String,
    last_modified: String,
    nested: bool,
}

impl SwiftGateway {
    pub(super) async fn put_manifest(&self, call: Call, body: RequestBody) -> Reply {
        let head = &call.parts.headers;
        let most = self.inner.config.manifest_bytes_max;
        let too_large =
            || SwiftError::text(StatusCode::PAYLOAD_TOO_LARGE, format!("Manifest File > {most} bytes"));
        if !head.contains_key(CONTENT_LENGTH) && !head.contains_key(TRANSFER_ENCODING) {
            return Err(StatusCode::LENGTH_REQUIRED.into());
        }
        let announced = head.get(CONTENT_LENGTH).and_then(|len| len.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|len| len > most) {
            return Err(too_large());
        }
        let container = self.container(&call.account, &call.container).await?;
        let text = read_small(body, most).await.map_err(|error| match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => too_large(),
            _ => error,
        })?;
        let asked = parse_asked(&text, &format!("/{}/{}", call.container, call.object))?;
        let objects = asked.iter().filter(|segment| matches!(segment, Asked::Object { .. })).count();
        let segments_max = self.inner.config.manifest_segments_max;
        if objects > segments_max {
            let text = format!("Number of object-backed segments must be <= {segments_max}");
            return Err(SwiftError::text(StatusCode::PAYLOAD_TOO_LARGE, text));
        }
        let manifest = self.checked(&call, asked).await?;
        let etag = manifest.etag();
        if let Some(wanted) = headers::filled(head, "etag")?
            && wanted.trim_matches('"') != etag
        {
            return Err(StatusCode::UNPROCESSABLE_ENTITY.into());
        }
        let size = manifest.size();
        let mut attributes = self.attributes(head, &call.object)?;
        attributes.headers.retain(|(name, _)| name != crate::entity::MANIFEST);
        let content_type = attributes.content_type.take().unwrap_or_default();
        let listed =
            Listed { content_type, bytes: Some(size), slo_etag: Some(etag.clone()), ..Listed::default() };
        attributes.content_type = Some(listed.stored());
        attributes.headers.push((SLO_ETAG.to_owned(), etag.clone()));
        attributes.headers.push((SLO_SIZE.to_owned(), size.to_string()));
        let stored = Bytes::from(manifest.text());
        let options = PutOptions {
            attributes,
            conditions: conditions(head)?,
            size: Some(stored.len() as u64),
            ..PutOptions::default()
        };
        self.before_write(&call, &container, Some(stored.len() as u64)).await?;
        let body = stream::once(async move { Ok(stored) });
        let done = self.inner.objects.put(&call.path(), options, Box::pin(body)).await?;
        let mut response = written(StatusCode::CREATED, &format!("\"{etag}\""), done.modified);
        push_written_version(response.headers_mut(), done.version, done.versioning);
        Ok(response)
    }

    /// Looks at every segment of a manifest that is about to be copied.
    pub(super) async fn check_copied(&self, to: &Call, manifest: &Manifest) -> Result<()> {
        let text = manifest.as_sent().to_string();
        let asked = parse_asked(text.as_bytes(), &format!("/{}/{}", to.container, to.object))?;
        self.checked(to, asked).await.map(|_| ())
    }

    /// Looks at every segment that the manifest names.
    async fn checked(&self, call: &Call, asked: Vec<Asked>) -> Result<Manifest> {
        let mut known: Known = BTreeMap::new();
        for segment in &asked {
            if let Asked::Object { path, .. } = segment {
                known.insert(path.clone(), Err(String::new()));
            }
        }
        let looks = stream::iter(known.into_keys()).map(|path| async move {
            let found = self.look_at(call, &path).await;
            (path, found)
        });
        let mut looks = Box::pin(looks.buffer_unordered(LOOKS));
        let mut known: Known = BTreeMap::new();
        while let Some((path, found)) = looks.next().await {
            known.insert(path, found?);
        }
        let count = asked.len();
        let (mut segments, mut problems) = (Vec::with_capacity(count), Vec::new());
        for (index, segment) in asked.into_iter().enumerate() {
            match segment {
                Asked::Data(data) => segments.push(Segment::of_data(&data)),
                Asked::Object { path, etag, size, range } => {
                    let found = known.get(&path).cloned().unwrap_or_else(|| Err("404 Not Found".to_owned()));
                    match found.and_then(|found| judge(&path, found, etag, size, range, index + 1 == count)) {
                        Ok(segment) => segments.push(segment),
                        Err(what) => problems.push(Problem(path, what)),
                    }
                }
            }
        }
        if problems.is_empty() { Ok(Manifest(segments)) } else { Err(report(call, &problems)) }
    }

    /// What a segment is, or what is wrong with it.
    async fn look_at(&self, call: &Call, path: &str) -> Result<Result<Found, String>> {
        let (container, object) = path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
        let at = ObjectPath::new(call.account.as_str(), container, object);
        let found = async {
            self.allow_at(call, &at, Need::Read).await?;
            self.entity(call, at.clone(), &Look { raw: true, ..Look::default() }).await
        };
        match found.await {
            Ok(found) => {
                let nested = kept(&found.info, SLO_ETAG).zip(kept(&found.info, SLO_SIZE));
                let (etag, size) = match nested {
                    Some((etag, size)) => (etag.to_owned(), size.parse().unwrap_or(0)),
                    None => (found.info.etag.to_string(), found.info.size),
                };
                Ok(Ok(Found {
                    size,
                    etag,
                    content_type: crate::entity::content_type(&found.info),
                    last_modified: clock::iso8601(found.info.modified),
                    nested: nested.is_some(),
                }))
            }
            Err(error) if error.status().is_server_error() => Err(error),
            Err(error) => Ok(Err(error.status_line())),
        }
    }
}

fn judge(
    path: &str,
    found: Found,
    etag: Option<String>,
    size: Option<u64>,
    range: Option<String>,
    last: bool,
) -> Result<Segment, String> {
    if size.is_some_and(|size| size != found.size) {
        return Err("Size Mismatch".to_owned());
    }
    if etag.is_some_and(|etag| etag != found.etag) {
        return Err("Etag Mismatch".to_owned());
    }
    if range.as_ref().is_some_and(|range| ranges::of_segment(range, found.size).is_none()) {
        return Err("Unsatisfiable Range".to_owned());
    }
    // Kept in its one writing; a range of everything is none.
    let range = range.and_then(|range| ranges::of_segment(&range, found.size));
    let range = range.filter(|range| *range != (0..found.size));
    let range = range.map(|range| format!("{}-{}", range.start, range.end.saturating_sub(1)));
    if found.size < 1 && !last {
        return Err("Too Small; each segment must be at least 1 byte.".to_owned());
    }
    Ok(Segment {
        name: Some(path.to_owned()),
        bytes: Some(found.size),
        hash: Some(found.etag),
        content_type: Some(found.content_type),
        last_modified: Some(format!("{}.{}", &found.last_modified[..19], &found.last_modified[20..])),
        range,
        sub_slo: found.nested,
        data: None,
    })
}

/// What is wrong with the segments, in the form that the client likes.
fn report(call: &Call, problems: &[Problem]) -> SwiftError {
    let accept = call.parts.headers.get("accept").and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let quoted = |path: &str| crate::target::quote(path);
    if accept.contains("application/json") {
        let errors: Vec<_> =
            problems.iter().map(|Problem(path, what)| serde_json::json!([quoted(path), what])).collect();
        let text = serde_json::json!({"Errors": errors}).to_string();
        return SwiftError::made(StatusCode::BAD_REQUEST, "application/json", text.into());
    }
    let mut text = "Errors:\n".to_owned();
    for Problem(path, what) in problems {
        text.push_str(&format!("{}, {what}\n", quoted(path)));
    }
    SwiftError::bad_request(text)
}
