//! Accounts and their containers as a listing.

use super::list::{LIMIT_MAX, common_prefix, start};
use super::reverse::{lower, upper};
use super::walk::{Step, walk};
use crate::codec::{Reader, Writer};
use crate::container::ContainerRecord;
use crate::query::KeyRange;
use crate::{AccountRecord, Refusal, ShardId, keys};
use ringfort_core::HybridTime;
use ringfort_storage_api::{Scan, SlotView};
use std::ops::ControlFlow;

/// The account's record, made up if its containers are older than accounts' records; empty if there is nothing.
pub(super) fn account(view: &dyn SlotView, account: &str) -> Result<Vec<u8>, Refusal> {
    if let Some(bytes) = view.get(&keys::account(account)) {
        return Ok(bytes.to_vec());
    }
    let containers = count_containers(view, account)?;
    Ok(if containers == 0 {
        Vec::new()
    } else {
        AccountRecord { containers, ..AccountRecord::default() }.encode()
    })
}

/// Counts the containers in use of an account that has no record yet.
pub(crate) fn count_containers<V: SlotView + ?Sized>(view: &V, account: &str) -> Result<u64, Refusal> {
    let from = keys::container(account, "");
    let (mut count, mut damaged) = (0, false);
    view.scan(&from, &keys::after_prefix(&from), Scan::Forward, &mut |_, value| {
        match ContainerRecord::decode(value) {
            Some(record) => count += u64::from(record.in_use()),
            None => damaged = true,
        }
        ControlFlow::Continue(())
    });
    if damaged { Err(Refusal::Damaged) } else { Ok(count) }
}

/// One entry of a listing of containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerItem {
    /// A container in use.
    Container {
        /// Its name.
        name: String,
        /// When it was made.
        created: HybridTime,
        /// When its record was changed last.
        modified: HybridTime,
        /// Policy of its objects.
        policy: u16,
        /// The shards of its index.
        shards: Vec<ShardId>,
    },
    /// Names that begin so were rolled up.
    CommonPrefix(String),
}

/// A page of an account's containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerItems {
    /// In the order asked for.
    pub items: Vec<ContainerItem>,
    /// There are more.
    pub truncated: bool,
}

pub(super) fn items(
    view: &dyn SlotView,
    account: &str,
    range: &KeyRange<'_>,
    reverse: bool,
) -> Result<Vec<u8>, Refusal> {
    let limit = range.limit.min(LIMIT_MAX);
    let base = keys::container(account, "");
    let at = |name: &[u8]| [&base, name].concat();
    let (from, to) = bounds(range, reverse, &base);
    let mut out = Writer::default();
    out.u8(0).u32(0);
    let (mut count, mut truncated, mut damaged) = (0_u32, 0_u8, false);
    let direction = if reverse { Scan::Backward } else { Scan::Forward };
    let mut visit = |key: &[u8], value: &[u8]| {
        let name = key.get(base.len()..).unwrap_or_default();
        let Some(record) = ContainerRecord::decode(value) else {
            damaged = true;
            return Step::Stop;
        };
        if !record.in_use() {
            return Step::On;
        }
        if count == limit {
            truncated = 1;
            return Step::Stop;
        }
        count += 1;
        if let Some(rolled) = common_prefix(name, range) {
            out.u8(1).bytes(rolled);
            return Step::Past(at(rolled));
        }
        out.u8(0).bytes(name).u64(record.created.0).u64(record.revision).varint(u64::from(record.policy));
        out.u64(record.incarnation);
        out.len(record.shards.len());
        for (_, number) in &record.shards {
            out.varint(u64::from(*number));
        }
        Step::On
    };
    if from < to {
        walk(view, (&from, &to), direction, &mut visit);
    }
    out.0[0] = truncated;
    out.0[1..5].copy_from_slice(&count.to_be_bytes());
    if damaged { Err(Refusal::Damaged) } else { Ok(out.0) }
}

/// The keys of a range of names of an account.
fn bounds(range: &KeyRange<'_>, reverse: bool, base: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let at = |name: &[u8]| [base, name].concat();
    if reverse {
        let to = upper(range).map_or_else(|| keys::after_prefix(base), |to| at(&to));
        return (at(&lower(range)), to);
    }
    let begin = start(range, false);
    let mut to = keys::after_prefix(&at(range.prefix.as_bytes()));
    if !range.end.is_empty() {
        to = to.min(at(range.end.as_bytes()));
    }
    (at(&begin), to)
}

/// The answer to [`crate::Query::ContainerItems`].
#[must_use]
pub fn decode_container_items(payload: &[u8]) -> Option<ContainerItems> {
    let mut from = Reader(payload);
    let truncated = from.bool()?;
    let count = from.u32()? as usize;
    if count > from.0.len() {
        return None;
    }
    let items = (0..count).map(|_| read_item(&mut from)).collect::<Option<Vec<_>>>()?;
    from.end(ContainerItems { items, truncated })
}

fn read_item(from: &mut Reader<'_>) -> Option<ContainerItem> {
    if from.bool()? {
        return Some(ContainerItem::CommonPrefix(from.str()?.to_owned()));
    }
    let name = from.str()?.to_owned();
    let (created, modified) = (HybridTime(from.u64()?), HybridTime(from.u64()?));
    let (policy, incarnation) = (u16::try_from(from.varint()?).ok()?, from.u64()?);
    let count = from.count()?;
    let shards = (0..count)
        .map(|_| Some(ShardId { incarnation, number: from.varint_u32()? }))
        .collect::<Option<Vec<_>>>()?;
    Some(ContainerItem::Container { name, created, modified, policy, shards })
}
