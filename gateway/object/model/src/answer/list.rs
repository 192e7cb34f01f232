//! Pages of objects and of uploads. Both seek past a common prefix instead of stepping through it, so a page costs what it
//! shows, not what the container holds.

use crate::page::PageWriter;
use crate::query::KeyRange;
use crate::record::Front;
use crate::{Refusal, ShardId, keys};
use ringfort_storage_api::SlotView;
use std::ops::ControlFlow;

/// Delete markers stepped over before a page is handed out as it is.
const SKIPPED_MAX: u32 = 4096;
/// Entries of one page at most.
pub(super) const LIMIT_MAX: u32 = 10_000;

/// The common prefix that `name` is rolled up into, if any.
pub(super) fn common_prefix<'n>(name: &'n [u8], range: &KeyRange<'_>) -> Option<&'n [u8]> {
    let (skip, delimiter) = (range.prefix.len(), range.delimiter.as_bytes());
    if delimiter.is_empty() || name.len() < skip {
        return None;
    }
    let at = find(&name[skip..], delimiter)?;
    Some(&name[..skip + at + delimiter.len()])
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    match wanted {
        [byte] => text.iter().position(|b| b == byte),
        _ => text.windows(wanted.len()).position(|window| window == wanted),
    }
}

/// The name to begin at: the first one that is in the prefix and after the marker (and after the common prefix the marker
/// lies in, which was shown before it).
pub(super) fn start(range: &KeyRange<'_>, marker_too: bool) -> Vec<u8> {
    let prefix = range.prefix.as_bytes();
    if !range.resume.is_empty() {
        return [range.resume.as_bytes(), b"\0"].concat().max(prefix.to_vec());
    }
    let marker = range.marker.as_bytes();
    if marker < prefix || marker.is_empty() {
        return prefix.to_vec();
    }
    let rolled = if marker.starts_with(prefix) { common_prefix(marker, range) } else { None };
    match rolled {
        Some(rolled) => keys::after_prefix(rolled),
        None if marker_too => marker.to_vec(),
        None => [marker, b"\0"].concat(),
    }
}

/// The bounds of a scan over names.
pub(super) fn bounds(shard: ShardId, range: &KeyRange<'_>, marker_too: bool) -> Option<(Vec<u8>, Vec<u8>)> {
    let start = start(range, marker_too);
    // Nothing lies after a prefix of FF bytes alone, which no UTF-8 text is.
    if start.is_empty() && !(range.prefix.is_empty() && range.marker.is_empty()) {
        return None;
    }
    let from = keys::current(shard, &start);
    let mut to = keys::after_prefix(&keys::current(shard, range.prefix.as_bytes()));
    if !range.end.is_empty() {
        to = to.min(keys::current(shard, range.end.as_bytes()));
    }
    (from < to).then_some((from, to))
}

/// Length of what precedes the name in a key of the current table.
pub(super) const NAME_AT: usize = 13;

pub(super) fn list(view: &dyn SlotView, shard: ShardId, range: &KeyRange<'_>) -> Result<Vec<u8>, Refusal> {
    let root = super::root(view, shard)?;
    let limit = range.limit.min(LIMIT_MAX);
    let mut page = PageWriter::new(root.versioning, 32 + 96 * limit as usize);
    let Some((from, to)) = bounds(shard, range, false) else { return Ok(page.finish(false, None)) };
    let (mut truncated, mut skipped, mut resume, mut damaged) = (false, 0, None, false);
    view.skip_scan(&from, &to, &mut |key, value| {
        let name = key.get(NAME_AT..).unwrap_or_default();
        let Some(front) = Front::read(value) else {
            damaged = true;
            return ControlFlow::Break(());
        };
        if front.marker() {
            skipped += 1;
            if skipped < SKIPPED_MAX {
                return ControlFlow::Continue(None);
            }
            (truncated, resume) = (true, Some(name.to_vec()));
            return ControlFlow::Break(());
        }
        if page.count == limit {
            truncated = true;
            return ControlFlow::Break(());
        }
        match common_prefix(name, range) {
            Some(rolled) => {
                page.prefix(rolled);
                ControlFlow::Continue(Some(keys::after_prefix(&key[..NAME_AT + rolled.len()])))
            }
            None => {
                page.object(name, front.fields);
                ControlFlow::Continue(None)
            }
        }
    });
    if damaged { Err(Refusal::Damaged) } else { Ok(page.finish(truncated, resume.as_deref())) }
}

pub(super) fn uploads(
    view: &dyn SlotView,
    shard: ShardId,
    range: &KeyRange<'_>,
    after: u64,
) -> Result<Vec<u8>, Refusal> {
    let root = super::root(view, shard)?;
    let limit = range.limit.min(LIMIT_MAX);
    let mut page = PageWriter::new(root.versioning, 1024);
    let to = keys::after_prefix(&open_ended(shard, range.prefix.as_bytes()));
    let from = if after > 0 && range.marker >= range.prefix {
        keys::upload(shard, range.marker.as_bytes(), after.saturating_add(1))
    } else if range.marker.is_empty() || range.marker < range.prefix {
        open_ended(shard, range.prefix.as_bytes())
    } else {
        match common_prefix(range.marker.as_bytes(), range).filter(|_| range.marker.starts_with(range.prefix))
        {
            Some(rolled) => keys::after_prefix(&open_ended(shard, rolled)),
            None => keys::after_prefix(&keys::uploads_of(shard, range.marker.as_bytes())),
        }
    };
    let (mut truncated, mut damaged) = (false, false);
    if from >= to {
        return Ok(page.finish(false, None));
    }
    view.skip_scan(&from, &to, &mut |key, _| {
        let Some((name, id)) = key.get(NAME_AT..).and_then(keys::unescape).filter(|(_, id)| id.len() == 8)
        else {
            damaged = true;
            return ControlFlow::Break(());
        };
        if page.count == limit {
            truncated = true;
            return ControlFlow::Break(());
        }
        match common_prefix(&name, range) {
            Some(rolled) => {
                page.prefix(rolled);
                ControlFlow::Continue(Some(keys::after_prefix(&open_ended(shard, rolled))))
            }
            None => {
                page.upload(&name, id);
                ControlFlow::Continue(None)
            }
        }
    });
    if damaged { Err(Refusal::Damaged) } else { Ok(page.finish(truncated, None)) }
}

/// What the keys of all uploads of names that begin with `prefix` begin with.
fn open_ended(shard: ShardId, prefix: &[u8]) -> Vec<u8> {
    let mut key = keys::uploads_of(shard, prefix);
    key.truncate(key.len() - 2);
    key
}
