//! Pages of versions: keys in order, under each its versions from the newest.

use super::list::{LIMIT_MAX, NAME_AT, Within, common_prefix};
use crate::page::{LATEST, MARKER, NULL, PageWriter};
use crate::query::KeyRange;
use crate::record::{Front, Version, bit};
use crate::{Refusal, ShardId, VersionId, keys};
use ringfort_storage_api::{Scan, SlotView};
use std::ops::ControlFlow;

/// One page being gathered.
struct Gather<'v> {
    view: &'v dyn SlotView,
    shard: ShardId,
    page: PageWriter,
    limit: u32,
    truncated: bool,
    damaged: bool,
}

pub(super) fn versions(
    view: &dyn SlotView,
    shard: ShardId,
    range: &KeyRange<'_>,
    after: Option<VersionId>,
) -> Result<Vec<u8>, Refusal> {
    let root = super::root(view, shard)?;
    let limit = range.limit.min(LIMIT_MAX);
    let page = PageWriter::new(root.versioning, 1024);
    let Some(within) = Within::of(&root, shard, keys::CURRENT, range, after.is_some())? else {
        return Ok(page.finish(false, None, root.end()));
    };
    let (from, to) = within.bounds();
    let mut gather = Gather { view, shard, page, limit, truncated: false, damaged: false };
    view.skip_scan(from, to, &mut |key, value| {
        let name = key.get(NAME_AT..).unwrap_or_default();
        if let Some(rolled) = common_prefix(name, range) {
            if gather.full() {
                return ControlFlow::Break(());
            }
            gather.page.prefix(rolled);
            return ControlFlow::Continue(Some(keys::after_prefix(&key[..NAME_AT + rolled.len()])));
        }
        let before = match after {
            Some(after) if name == range.marker.as_bytes() => Some(gather.stamp_of(after, value)),
            _ => None,
        };
        gather.key(name, value, before);
        if gather.truncated || gather.damaged { ControlFlow::Break(()) } else { ControlFlow::Continue(None) }
    });
    if gather.damaged {
        return Err(Refusal::Damaged);
    }
    Ok(gather.page.finish(gather.truncated, None, root.end()))
}

impl Gather<'_> {
    fn full(&mut self) -> bool {
        self.truncated |= self.page.count == self.limit;
        self.truncated
    }

    /// The stamp of the version that the page before ended with; 0, with nothing before it, if it is gone and untraceable.
    fn stamp_of(&mut self, after: VersionId, current: &[u8]) -> u64 {
        match (after, Version::decode(current)) {
            (VersionId::At(stamp), _) => stamp.0,
            (VersionId::Null, Some(current)) if current.null => current.stamp,
            (VersionId::Null, Some(current)) => current.null_at.unwrap_or(0),
            (VersionId::Null, None) => {
                self.damaged = true;
                0
            }
        }
    }

    /// The versions of one key that are older than `before`.
    fn key(&mut self, name: &[u8], current: &[u8], before: Option<u64>) {
        let Some(front) = Front::read(current) else {
            self.damaged = true;
            return;
        };
        if before.is_none() && !self.full() {
            self.page.version(flags(&front) | LATEST, name, &front);
        }
        if self.truncated || !front.older() {
            return;
        }
        let all = keys::older_of(self.shard, name);
        let to = keys::after_prefix(&all);
        // Older versions sort newest first; the marker itself is passed over, unless it is the current version.
        let from = match before {
            None => all,
            Some(0) => to.clone(),
            Some(stamp) => keys::older(self.shard, name, stamp - 1),
        };
        if from >= to {
            return;
        }
        let view = self.view;
        view.scan(&from, &to, Scan::Forward, &mut |_, value| {
            if self.full() {
                return ControlFlow::Break(());
            }
            match Front::read(value) {
                Some(front) => self.page.version(flags(&front), name, &front),
                None => self.damaged = true,
            }
            if self.damaged { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    }
}

fn flags(front: &Front<'_>) -> u8 {
    bit(front.marker(), MARKER) | bit(front.null(), NULL)
}
