//! Pages of objects, the last ones first.

use super::list::{LIMIT_MAX, NAME_AT, SKIPPED_MAX, common_prefix, is_over};
use super::walk::{Step, walk};
use crate::page::PageWriter;
use crate::query::KeyRange;
use crate::record::Front;
use crate::{Refusal, ShardId, ShardRoot, keys};
use ringfort_storage_api::{Scan, SlotView};

/// What of a range a shard answers for, by names: from the first, to before the second.
struct Within {
    from: Vec<u8>,
    /// `None` for the end of the names.
    to: Option<Vec<u8>>,
    /// The shard before this one has more of the range.
    more_below: bool,
}

/// The lowest of the names that bound a range from above; `None` if nothing does.
pub(super) fn upper(range: &KeyRange<'_>) -> Option<Vec<u8>> {
    let above = keys::after_prefix(range.prefix.as_bytes());
    let bounds = [range.marker.as_bytes(), range.resume.as_bytes(), &above];
    bounds.into_iter().filter(|bound| !bound.is_empty()).min().map(<[u8]>::to_vec)
}

/// The first name of a range.
pub(super) fn lower(range: &KeyRange<'_>) -> Vec<u8> {
    let prefix = range.prefix.as_bytes().to_vec();
    if range.end.is_empty() { prefix } else { prefix.max([range.end.as_bytes(), b"\0"].concat()) }
}

impl Within {
    /// `None` if there is nothing in the range.
    fn of(root: &ShardRoot, range: &KeyRange<'_>) -> Result<Option<Self>, Refusal> {
        let (from, mut to) = (lower(range), upper(range));
        if !range.low.is_empty() {
            let high = range.low.as_bytes().to_vec();
            to = Some(to.map_or(high.clone(), |to| to.min(high)));
        }
        if to.as_ref().is_some_and(|to| *to <= from) {
            return Ok(None);
        }
        if let Some((end, next)) = root.end()
            && to.as_ref().is_none_or(|to| end.as_bytes() < to.as_slice())
        {
            return Err(Refusal::Above { next });
        }
        let begin = root.begin().ok_or(Refusal::Below)?.as_bytes();
        if to.as_ref().is_some_and(|to| to.as_slice() <= begin) {
            return Err(Refusal::Below);
        }
        let more_below = begin > from.as_slice();
        Ok(Some(Self { from: from.max(begin.to_vec()), to, more_below }))
    }
}

pub(super) fn list(view: &dyn SlotView, shard: ShardId, range: &KeyRange<'_>) -> Result<Vec<u8>, Refusal> {
    let root = super::root(view, shard)?;
    let limit = range.limit.min(LIMIT_MAX);
    let Some(within) = Within::of(&root, range)? else {
        return Ok(PageWriter::new(root.versioning, 64).finish(false, None, None));
    };
    let at = |name: &[u8]| keys::names_from(keys::CURRENT, shard, name);
    let from = at(&within.from);
    let to = within.to.as_deref().map_or_else(|| keys::after_prefix(&at(b"")), at);
    let mut page = PageWriter::new(root.versioning, 32 + 96 * limit as usize);
    let (mut truncated, mut skipped, mut resume, mut damaged) = (false, 0, None, false);
    walk(view, (&from, &to), Scan::Backward, &mut |key, value| {
        let named = key.get(NAME_AT..).and_then(|name| std::str::from_utf8(name).ok());
        let (Some(name), Some(front)) = (named, Front::read(value)) else {
            damaged = true;
            return Step::Stop;
        };
        if front.marker() || (front.expires() && is_over(value, range.now)) {
            skipped += 1;
            if skipped < SKIPPED_MAX {
                return Step::On;
            }
            (truncated, resume) = (true, Some(name.to_owned()));
            return Step::Stop;
        }
        if page.count == limit {
            truncated = true;
            return Step::Stop;
        }
        match common_prefix(name.as_bytes(), range) {
            Some(rolled) => {
                page.prefix(rolled);
                Step::Past(key[..NAME_AT + rolled.len()].to_vec())
            }
            None => {
                page.object(name.as_bytes(), &front);
                Step::On
            }
        }
    });
    let begin = root.begin().filter(|_| within.more_below).map(|begin| (begin, shard.number));
    if damaged { Err(Refusal::Damaged) } else { Ok(page.finish(truncated, resume.as_deref(), begin)) }
}
