//! What a shard has to give away.

use super::root;
use crate::codec::{Reader, Writer};
use crate::moving::{Holds, MovedRecord};
use crate::{Refusal, ShardId, keys};
use ringfort_storage_api::{Scan, SlotView};
use std::ops::ControlFlow;

/// Keys looked at for one answer at most.
const KEYS_MAX: u32 = 10_000;
/// Inline bodies of one answer at most: they go into one command.
const BODIES_MAX: u32 = 1000;

/// The key from which on there are `count` keys, or fewer if the shard has no more.
pub(super) fn tail(view: &dyn SlotView, shard: ShardId, count: u32) -> Result<Vec<u8>, Refusal> {
    let root = root(view, shard)?;
    let (mut left, mut first) = (count.min(KEYS_MAX), Vec::new());
    let (from, to) = held(shard, keys::CURRENT, root.begin(), root.end().map(|(end, _)| end));
    if left > 0 && from < to {
        view.scan(&from, &to, Scan::Backward, &mut |key, _| {
            left -= 1;
            if left == 0 {
                first = key.get(keys::ROOT_BYTES..).unwrap_or_default().to_vec();
            }
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    }
    let mut out = Writer::default();
    out.bytes(&first);
    Ok(out.0)
}

/// Where the last keys of a shard begin; `None` inside if it has fewer.
#[must_use]
pub fn decode_tail(payload: &[u8]) -> Option<Option<&str>> {
    let mut from = Reader(payload);
    let first = from.str()?;
    from.end(Some(first).filter(|first| !first.is_empty()))
}

/// The bounds of the keys from `begin` to `end` in a table of names.
pub(crate) fn held(shard: ShardId, table: u8, begin: Option<&str>, end: Option<&str>) -> (Vec<u8>, Vec<u8>) {
    let to = match end {
        Some(end) => keys::names_from(table, shard, end.as_bytes()),
        None => keys::after_prefix(&keys::names_from(table, shard, b"")),
    };
    let from = begin.map_or_else(|| to.clone(), |begin| keys::names_from(table, shard, begin.as_bytes()));
    (from, to)
}

pub(super) fn export(
    view: &dyn SlotView,
    shard: ShardId,
    from: &str,
    bytes_max: u32,
) -> Result<Vec<u8>, Refusal> {
    let root = root(view, shard)?;
    root.check(from)?;
    let mut out = Writer::default();
    out.u8(0);
    let (mut weight, mut bodies, mut damaged) = (0_u64, 0, false);
    for table in keys::MOVING {
        let (from, to) = held(shard, table, Some(from), root.end().map(|(end, _)| end));
        view.scan(&from, &to, Scan::Forward, &mut |key, value| {
            let rest = key.get(keys::ROOT_BYTES..).unwrap_or_default();
            let record = MovedRecord { table, rest: rest.to_vec(), value: value.to_vec() };
            weight += (key.len() + value.len()) as u64;
            match record.holds() {
                None => damaged = true,
                Some(Holds::Inline(_, size)) => {
                    weight += size;
                    bodies += 1;
                }
                Some(_) => {}
            }
            record.write(&mut out);
            let over = weight > u64::from(bytes_max) || bodies > BODIES_MAX;
            if over || damaged { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if damaged {
            return Err(Refusal::Damaged);
        }
        if weight > u64::from(bytes_max) || bodies > BODIES_MAX {
            return Ok(vec![1]);
        }
    }
    Ok(out.0)
}
