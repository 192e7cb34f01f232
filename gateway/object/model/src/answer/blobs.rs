//! What the reconcilers ask: blobs at home here, condemned ones, references to release, versions that expired.

use crate::codec::{Reader, Writer};
use crate::record::BlobRecord;
use crate::{ShardId, keys};
use ringfort_core::{BlobId, HybridTime};
use ringfort_storage_api::{Scan, SlotView};
use std::ops::ControlFlow;

const LIMIT_MAX: u32 = 10_000;

/// A blob and its record.
pub type CondemnedRecord = (BlobId, BlobRecord);

/// A reference to release in the blob's home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Stamp and number: the entry's name, for [`crate::Command::Delivered`].
    pub entry: (u64, u32),
    /// The blob.
    pub blob: BlobId,
    /// The reference's name.
    pub referrer: BlobId,
}

/// Visits at most `limit` records of `[from, to)`.
fn take(view: &dyn SlotView, from: &[u8], to: &[u8], limit: u32, visit: &mut dyn FnMut(&[u8], &[u8])) {
    let mut left = limit.min(LIMIT_MAX);
    if from >= to || left == 0 {
        return;
    }
    view.scan(from, to, Scan::Forward, &mut |key, value| {
        visit(key, value);
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
}

pub(super) fn blobs(view: &dyn SlotView, table: u8, after: Option<BlobId>, limit: u32) -> Vec<u8> {
    let mut from = vec![table];
    if let Some(after) = after {
        from.extend_from_slice(after.as_bytes());
        from.push(0);
    }
    let mut out = Writer::default();
    take(view, &from, &[table + 1], limit, &mut |key, value| {
        out.raw(key.get(1..).unwrap_or_default()).bytes(value);
    });
    out.0
}

/// Blobs and their records, in order of their ids.
#[must_use]
pub fn decode_blobs(payload: &[u8]) -> Option<Vec<CondemnedRecord>> {
    let mut from = Reader(payload);
    let mut all = Vec::new();
    while !from.0.is_empty() {
        all.push((from.blob()?, BlobRecord::decode(from.bytes()?)?));
    }
    Some(all)
}

/// Condemned blobs: id, policy, and since when.
#[must_use]
pub fn decode_condemned(payload: &[u8]) -> Option<Vec<(BlobId, u16, HybridTime)>> {
    let all = decode_blobs(payload)?;
    Some(all.into_iter().map(|(blob, record)| (blob, record.policy, HybridTime(record.mark))).collect())
}

pub(super) fn outbox(view: &dyn SlotView, limit: u32) -> Vec<u8> {
    let mut out = Writer::default();
    take(view, &[keys::OUTBOX], &[keys::OUTBOX + 1], limit, &mut |key, value| {
        if key.len() == 13 && value.len() == 32 {
            out.raw(&key[1..]).raw(value);
        }
    });
    out.0
}

/// References to release, oldest first.
#[must_use]
pub fn decode_outbox(payload: &[u8]) -> Option<Vec<OutboxEntry>> {
    let mut from = Reader(payload);
    let mut all = Vec::new();
    while !from.0.is_empty() {
        let entry = (from.u64()?, from.u32()?);
        all.push(OutboxEntry { entry, blob: from.blob()?, referrer: from.blob()? });
    }
    Some(all)
}

pub(super) fn expiring(view: &dyn SlotView, before: u64, limit: u32) -> Vec<u8> {
    let mut to = vec![keys::EXPIRY];
    to.extend_from_slice(&before.to_be_bytes());
    let mut out = Writer::default();
    take(view, &[keys::EXPIRY], &to, limit, &mut |key, _| {
        out.bytes(key.get(1..).unwrap_or_default());
    });
    out.0
}

/// A version that expired: shard, key, stamp, and the expiry it was queued under.
pub type Expired = (ShardId, String, u64, u64);

/// Versions that expired, oldest expiry first.
#[must_use]
pub fn decode_expiring(payload: &[u8]) -> Option<Vec<Expired>> {
    let mut from = Reader(payload);
    let mut all = Vec::new();
    while !from.0.is_empty() {
        let mut key = Reader(from.bytes()?);
        let at = key.u64()?;
        let shard = crate::command::get_shard(&mut key)?;
        let stamp = key.u64()?;
        all.push((shard, std::str::from_utf8(key.0).ok()?.to_owned(), stamp, at));
    }
    Some(all)
}

pub(super) fn referrers(view: &dyn SlotView, after: Option<(BlobId, BlobId)>, limit: u32) -> Vec<u8> {
    let from = match after {
        None => vec![keys::REFERRER],
        Some((blob, name)) => {
            let mut from = keys::referrer(blob, name);
            from.push(0);
            from
        }
    };
    let mut out = Writer::default();
    take(view, &from, &[keys::REFERRER + 1], limit, &mut |key, _| {
        if key.len() == 33 {
            out.raw(&key[1..]);
        }
    });
    out.0
}

/// Blobs and the names of references to them other than the first.
#[must_use]
pub fn decode_references(payload: &[u8]) -> Option<Vec<(BlobId, BlobId)>> {
    let mut from = Reader(payload);
    let mut all = Vec::new();
    while !from.0.is_empty() {
        all.push((from.blob()?, from.blob()?));
    }
    Some(all)
}
