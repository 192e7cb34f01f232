//! Single versions, parts of uploads and of multipart objects, and the containers of an account.

use super::{Answer, root};
use crate::codec::{Reader, Writer};
use crate::container::{ContainerRecord, ContainerState};
use crate::record::{Body, Part, UploadRecord, Version, decode_extras};
use crate::reply::Found;
use crate::{Attributes, Refusal, ShardId, VersionId, keys};
use ringfort_core::HybridTime;
use ringfort_storage_api::{Scan, SlotView};
use std::ops::ControlFlow;

/// Items of one answer at most.
const LIMIT_MAX: u32 = 10_000;

pub(super) fn get(
    view: &dyn SlotView,
    shard: ShardId,
    key: &str,
    version: Option<VersionId>,
    body: bool,
) -> Answer {
    let root = root(view, shard)?;
    root.check(key)?;
    let bytes = view.get(&keys::current(shard, key.as_bytes()));
    let missing = if version.is_some() { Refusal::NoSuchVersion } else { Refusal::NoSuchKey };
    let bytes = bytes.ok_or(missing)?;
    let current = Version::decode(&bytes).ok_or(Refusal::Damaged)?;
    let older = match version {
        None => None,
        Some(id) if id == current.id() => None,
        Some(VersionId::Null) => Some(current.null_at.ok_or(missing)?),
        Some(VersionId::At(stamp)) => Some(stamp.0),
    };
    let Some(stamp) = older else {
        let inline = inline_of(&current).filter(|_| body);
        return Ok((Found::encode(root.versioning, true, &bytes), inline));
    };
    let bytes = view.get(&keys::older(shard, key.as_bytes(), stamp)).ok_or(missing)?;
    let found = Version::decode(&bytes).ok_or(Refusal::Damaged)?;
    if Some(found.id()) != version {
        return Err(missing);
    }
    Ok((Found::encode(root.versioning, false, &bytes), inline_of(&found).filter(|_| body)))
}

fn inline_of(version: &Version<'_>) -> Option<ringfort_core::BlobId> {
    match version.body {
        Body::Inline(blob) => Some(blob),
        _ => None,
    }
}

/// Gathers the values of a range into `truncated count:u32 (value:bytes)...`.
fn values(view: &dyn SlotView, from: &[u8], to: &[u8], limit: u32, out: &mut Writer) {
    let limit = limit.min(LIMIT_MAX);
    let at = out.0.len();
    out.u8(0).u32(0);
    let (mut count, mut truncated) = (0_u32, 0_u8);
    if from < to {
        view.scan(from, to, Scan::Forward, &mut |_, value| {
            if count == limit {
                truncated = 1;
                return ControlFlow::Break(());
            }
            out.bytes(value);
            count += 1;
            ControlFlow::Continue(())
        });
    }
    out.0[at] = truncated;
    out.0[at + 1..at + 5].copy_from_slice(&count.to_be_bytes());
}

fn read_values<'a, T>(
    from: &mut Reader<'a>,
    decode: impl Fn(&'a [u8]) -> Option<T>,
) -> Option<(Vec<T>, bool)> {
    let truncated = from.bool()?;
    let count = from.u32()? as usize;
    if count > from.0.len() {
        return None;
    }
    let values = (0..count).map(|_| decode(from.bytes()?)).collect::<Option<Vec<_>>>()?;
    Some((values, truncated))
}

pub(super) fn parts(
    view: &dyn SlotView,
    shard: ShardId,
    key: &str,
    upload: u64,
    after: u32,
    limit: u32,
) -> Result<Vec<u8>, Refusal> {
    root(view, shard)?.check(key)?;
    let record = view.get(&keys::upload(shard, key.as_bytes(), upload)).ok_or(Refusal::NoSuchUpload)?;
    let mut out = Writer::default();
    out.bytes(&record);
    let from = keys::part(shard, key.as_bytes(), upload, after.saturating_add(1));
    let to = keys::after_prefix(&keys::parts_of(shard, key.as_bytes(), upload));
    values(view, &from, &to, limit, &mut out);
    Ok(out.0)
}

/// What an upload was begun with, its parts, and whether there are more.
#[must_use]
pub fn decode_upload(payload: &[u8]) -> Option<(Attributes, Vec<Part>, bool)> {
    let mut from = Reader(payload);
    let record = UploadRecord::decode(from.bytes()?)?;
    let mut attributes = decode_extras(record.extras)?;
    attributes.content_type = record.content_type.map(str::to_owned);
    let (parts, truncated) = read_values(&mut from, Part::decode)?;
    from.end((attributes, parts, truncated))
}

pub(super) fn manifest(
    view: &dyn SlotView,
    shard: ShardId,
    key: &str,
    id: u64,
    offset: u64,
    limit: u32,
) -> Result<Vec<u8>, Refusal> {
    root(view, shard)?.check(key)?;
    let name = key.as_bytes();
    let mut out = Writer::default();
    // Keys carry the offset at which a part ends: the first that ends after `offset` holds it.
    let from = if offset == 0 {
        keys::manifest_of(shard, name, id)
    } else {
        keys::manifest(shard, name, id, offset.saturating_add(1), 0)
    };
    let to = keys::after_prefix(&keys::manifest_of(shard, name, id));
    let mut first_end = 0;
    view.scan(&from, &to, Scan::Forward, &mut |key, _| {
        first_end = keys::manifest_end(key).unwrap_or(0);
        ControlFlow::Break(())
    });
    out.u64(first_end);
    values(view, &from, &to, limit, &mut out);
    Ok(out.0)
}

/// Parts of a multipart object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManifestPage {
    /// Offset in the object at which the first of these parts begins.
    pub start: u64,
    /// The parts in order.
    pub parts: Vec<Part>,
    /// There are more.
    pub truncated: bool,
}

/// Parts of a multipart object in order.
#[must_use]
pub fn decode_manifest(payload: &[u8]) -> Option<ManifestPage> {
    let mut from = Reader(payload);
    let first_end = from.u64()?;
    let (parts, truncated) = read_values(&mut from, Part::decode)?;
    let start = first_end.checked_sub(parts.first().map_or(0, |part| part.size))?;
    from.end(ManifestPage { start, parts, truncated })
}

pub(super) fn containers(
    view: &dyn SlotView,
    account: &str,
    prefix: &str,
    marker: &str,
    limit: u32,
) -> Result<Vec<u8>, Refusal> {
    let limit = limit.min(LIMIT_MAX);
    let base = keys::container(account, "").len();
    let to = keys::after_prefix(&keys::container(account, prefix));
    let mut from = keys::container(account, prefix);
    if !marker.is_empty() {
        let mut after = keys::container(account, marker);
        after.push(0);
        from = from.max(after);
    }
    let mut out = Writer::default();
    out.u8(0).u32(0);
    let (mut count, mut truncated, mut damaged) = (0_u32, 0_u8, false);
    if from < to {
        view.scan(&from, &to, Scan::Forward, &mut |key, value| {
            let Some(record) = ContainerRecord::decode(value) else {
                damaged = true;
                return ControlFlow::Break(());
            };
            if matches!(record.state, ContainerState::Creating | ContainerState::Deleting) {
                return ControlFlow::Continue(());
            }
            if count == limit {
                truncated = 1;
                return ControlFlow::Break(());
            }
            out.bytes(key.get(base..).unwrap_or_default()).u64(record.created.0);
            count += 1;
            ControlFlow::Continue(())
        });
    }
    out.0[0] = truncated;
    out.0[1..5].copy_from_slice(&count.to_be_bytes());
    if damaged { Err(Refusal::Damaged) } else { Ok(out.0) }
}

/// Names and creation times of containers, and whether there are more.
#[must_use]
pub fn decode_containers(payload: &[u8]) -> Option<(Vec<(String, HybridTime)>, bool)> {
    let mut from = Reader(payload);
    let truncated = from.bool()?;
    let count = from.u32()? as usize;
    if count > from.0.len() {
        return None;
    }
    let names = (0..count)
        .map(|_| Some((from.str()?.to_owned(), HybridTime(from.u64()?))))
        .collect::<Option<Vec<_>>>()?;
    from.end((names, truncated))
}
