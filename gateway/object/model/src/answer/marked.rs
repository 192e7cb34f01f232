//! Containers found by an entry of their metadata, for reconcilers that go over all of a slot.

use crate::codec::{Reader, Writer};
use crate::container::ContainerRecord;
use crate::{Refusal, keys};
use ringfort_storage_api::{Scan, SlotView};
use std::ops::ControlFlow;

/// Containers looked at by one answer.
const LOOKED_AT: u32 = 2_000;

/// Containers with the entry asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MarkedContainers {
    /// Account, name, and the entry's value.
    pub containers: Vec<(String, String, String)>,
    /// Where to go on, if there may be more.
    pub next: Option<(String, String)>,
}

pub(super) fn marked(
    view: &dyn SlotView,
    entry: &str,
    (account, name): (&str, &str),
    limit: u32,
) -> Result<Vec<u8>, Refusal> {
    let mut from = vec![keys::CONTAINER];
    if !account.is_empty() {
        from = keys::container(account, name);
        from.push(0);
    }
    let (mut out, mut last) = (Writer::default(), None);
    let (mut looked, mut found, mut damaged) = (0_u32, 0_u32, false);
    view.scan(&from, &[keys::CONTAINER + 1], Scan::Forward, &mut |key, value| {
        let (Some((account, name)), Some(record)) = (names(key), ContainerRecord::decode(value)) else {
            damaged = true;
            return ControlFlow::Break(());
        };
        looked += 1;
        if record.in_use()
            && let Some((_, value)) = record.metadata.iter().find(|(name, _)| name == entry)
        {
            out.u8(1).bytes(account.as_bytes()).bytes(name.as_bytes()).bytes(value.as_bytes());
            found += 1;
        }
        if found >= limit || looked == LOOKED_AT {
            last = Some((account, name));
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    if damaged {
        return Err(Refusal::Damaged);
    }
    if let Some((account, name)) = last {
        out.u8(2).bytes(account.as_bytes()).bytes(name.as_bytes());
    }
    Ok(out.0)
}

fn names(key: &[u8]) -> Option<(String, String)> {
    let (account, name) = keys::unescape(key.get(1..)?)?;
    Some((String::from_utf8(account).ok()?, String::from_utf8(name.to_vec()).ok()?))
}

/// The answer to [`crate::Query::Marked`].
#[must_use]
pub fn decode_marked(payload: &[u8]) -> Option<MarkedContainers> {
    let mut from = Reader(payload);
    let mut marked = MarkedContainers::default();
    while !from.0.is_empty() {
        let kind = from.u8()?;
        let (account, name) = (from.str()?.to_owned(), from.str()?.to_owned());
        match kind {
            1 => marked.containers.push((account, name, from.str()?.to_owned())),
            2 => {
                marked.next = Some((account, name));
                return from.end(marked);
            }
            _ => return None,
        }
    }
    Some(marked)
}
