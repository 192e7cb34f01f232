//! Pages of objects and of uploads. Both seek past a common prefix instead of stepping through it, so a page costs what it
//! shows, not what the container holds.

use crate::page::PageWriter;
use crate::query::KeyRange;
use crate::record::{Front, Version};
use crate::{Refusal, ShardId, ShardRoot, keys};
use ringfort_storage_api::SlotView;
use std::ops::ControlFlow;

/// Delete markers stepped over before a page is handed out as it is.
pub(super) const SKIPPED_MAX: u32 = 4096;
/// Entries of one page at most.
pub(super) const LIMIT_MAX: u32 = 10_000;
/// Length of what precedes the name in a key of the current table.
pub(super) const NAME_AT: usize = keys::ROOT_BYTES;

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

/// What of a range a shard answers for.
pub(super) struct Within {
    from: Vec<u8>,
    to: Vec<u8>,
}

impl Within {
    /// The bounds of a scan over a table of names; `None` if the shard has nothing of the range. Refused if the shard does not
    /// reach down to where the range begins.
    pub(super) fn of(
        root: &ShardRoot,
        shard: ShardId,
        table: u8,
        range: &KeyRange<'_>,
        marker_too: bool,
    ) -> Result<Option<Self>, Refusal> {
        let start = start(range, marker_too);
        let low = if range.low.is_empty() { start.as_slice() } else { range.low.as_bytes() };
        match root.begin() {
            _ if root.end().is_some_and(|(end, _)| low >= end.as_bytes()) => return Ok(None),
            Some(begin) if begin.as_bytes() <= low => {}
            _ => return Err(Refusal::Below),
        }
        // Nothing lies after a prefix of FF bytes alone, which no UTF-8 text is.
        if start.is_empty() && !(range.prefix.is_empty() && range.marker.is_empty()) {
            return Ok(None);
        }
        let at = |name: &[u8]| keys::names_from(table, shard, name);
        let begin = root.begin().unwrap_or_default().as_bytes();
        let from = at(&start.max(begin.to_vec()));
        let mut to = keys::after_prefix(&at(range.prefix.as_bytes()));
        let ends = [Some(range.end).filter(|end| !end.is_empty()), root.end().map(|(end, _)| end)];
        for end in ends.into_iter().flatten() {
            to = to.min(at(end.as_bytes()));
        }
        Ok((from < to).then_some(Self { from, to }))
    }

    pub(super) fn bounds(&self) -> (&[u8], &[u8]) {
        (&self.from, &self.to)
    }
}

pub(super) fn list(view: &dyn SlotView, shard: ShardId, range: &KeyRange<'_>) -> Result<Vec<u8>, Refusal> {
    let root = super::root(view, shard)?;
    let limit = range.limit.min(LIMIT_MAX);
    let within = Within::of(&root, shard, keys::CURRENT, range, false)?;
    let room = if within.is_some() { 32 + 96 * limit as usize } else { 64 };
    let mut page = PageWriter::new(root.versioning, room);
    let Some(within) = within else { return Ok(page.finish(false, None, root.end())) };
    let (from, to) = within.bounds();
    let (mut truncated, mut skipped, mut resume, mut damaged) = (false, 0, None, false);
    view.skip_scan(from, to, &mut |key, value| {
        let named = key.get(NAME_AT..).and_then(|name| std::str::from_utf8(name).ok());
        let (Some(name), Some(front)) = (named, Front::read(value)) else {
            damaged = true;
            return ControlFlow::Break(());
        };
        if front.marker() || (front.expires() && is_over(value, range.now)) {
            skipped += 1;
            if skipped < SKIPPED_MAX {
                return ControlFlow::Continue(None);
            }
            (truncated, resume) = (true, Some(name.to_owned()));
            return ControlFlow::Break(());
        }
        if page.count == limit {
            truncated = true;
            return ControlFlow::Break(());
        }
        match common_prefix(name.as_bytes(), range) {
            Some(rolled) => {
                page.prefix(rolled);
                ControlFlow::Continue(Some(keys::after_prefix(&key[..NAME_AT + rolled.len()])))
            }
            None => {
                page.object(name.as_bytes(), &front);
                ControlFlow::Continue(None)
            }
        }
    });
    if damaged { Err(Refusal::Damaged) } else { Ok(page.finish(truncated, resume.as_deref(), root.end())) }
}

/// Whether a version has expired by `now`.
pub(super) fn is_over(record: &[u8], now: u64) -> bool {
    let expires_at = Version::decode(record).and_then(|version| version.expires_at());
    expires_at.is_some_and(|at| at <= now)
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
    let marker_too = after > 0 && common_prefix(range.marker.as_bytes(), range).is_none();
    let Some(within) = Within::of(&root, shard, keys::UPLOAD, range, marker_too)? else {
        return Ok(page.finish(false, None, root.end()));
    };
    let (from, to) = within.bounds();
    let (mut truncated, mut damaged) = (false, false);
    view.skip_scan(from, to, &mut |key, _| {
        let Some((name, id)) = key.get(NAME_AT..).and_then(keys::unescape).filter(|(_, id)| id.len() == 8)
        else {
            damaged = true;
            return ControlFlow::Break(());
        };
        if marker_too && name == range.marker.as_bytes() && id <= &after.to_be_bytes()[..] {
            let next = keys::upload(shard, &name, after.saturating_add(1));
            return ControlFlow::Continue((next.as_slice() > key).then_some(next));
        }
        if page.count == limit {
            truncated = true;
            return ControlFlow::Break(());
        }
        match common_prefix(&name, range) {
            Some(rolled) => {
                page.prefix(rolled);
                let next = keys::after_prefix(&keys::names_from(keys::UPLOAD, shard, rolled));
                ControlFlow::Continue(Some(next))
            }
            None => {
                page.upload(&name, id);
                ControlFlow::Continue(None)
            }
        }
    });
    if damaged { Err(Refusal::Damaged) } else { Ok(page.finish(truncated, None, root.end())) }
}
