//! Compaction: live records of the emptiest extent are written anew, so that it can be let go as a whole.
//!
//! A moved record keeps its sequence. Whether it is still live is decided on the writer thread, where nothing comes in between.
//! The extent goes only after a checkpoint has made durable that nothing refers to it; a crash before leaves both copies,
//! and the index names one of them. Bodies are moved as they are: a damaged one stays as damaged as it was, to be repaired.

use crate::EngineError;
use crate::chunks::{inline_in, read_raw};
use crate::engine::Inner;
use crate::extents::Extent;
use crate::format::file::EXTENT_HEADER_LEN;
use crate::format::record::footprint;
use crate::format::{ChunkMeta, Kind, Pos, Salt, Target};
use crate::queue::{Move, Request};
use crate::raft::read_record;
use crate::scan::{Health, Rule, Scan};
use ringfort_core::ChunkKey;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Bytes moved by one request to the writer: clients get in between.
const STEP_BYTES: usize = 4 << 20;
/// Records moved by one request to the writer: each costs it look-ups in the index, however small it is.
const STEP_RECORDS: usize = 512;
/// An extent is worth compacting if at least this share of its file is dead, in percent.
const DEAD_PERCENT: u64 = 25;

/// How often an extent is tried that could not be emptied.
const TRIES_MAX: u32 = 3;

/// The extent that gives back the most.
pub(crate) fn victim(inner: &Inner) -> Option<(u64, Extent)> {
    let refers = crate::checkpoint::referred(inner);
    let (accounts, before) = {
        let ledger = inner.ledger.lock();
        (ledger.accounts.clone(), ledger.covered.pos.extent)
    };
    let stuck = inner.stuck.lock();
    let tomb_bytes = footprint(ChunkKey::ENCODED_LEN as u64);
    inner
        .extents
        .all()
        .into_iter()
        .filter(|(id, extent)| {
            extent.sealed && *id < before && stuck.get(id).is_none_or(|tries| *tries < TRIES_MAX)
        })
        .map(|(id, extent)| {
            let account = accounts.get(&id).copied().unwrap_or_default();
            let raft = refers.get(&id).copied().unwrap_or(0);
            // What a log entry and an inline body in it both refer to counts twice, which only makes it a later victim.
            let live = account.live + raft + u64::from(account.tombs) * tomb_bytes;
            (extent.size.saturating_sub(live + u64::from(EXTENT_HEADER_LEN)), id, extent)
        })
        .filter(|(dead, _, extent)| dead * 100 >= extent.size * DEAD_PERCENT && *dead > footprint(0))
        .max_by_key(|(dead, id, _)| (*dead, u64::MAX - id))
        .map(|(_, id, extent)| (id, extent))
}

/// Compacts one extent if one is worth it, at most `bytes_per_sec` fast; answers the bytes that became free.
pub(crate) fn step(inner: &Inner, bytes_per_sec: Option<u64>) -> Result<u64, EngineError> {
    let _one = inner.upkeep.lock();
    // A view that is being streamed keeps every extent: what would be moved would only take more space.
    if inner.pins.load(Ordering::SeqCst) > 0 {
        return Ok(0);
    }
    let Some((id, extent)) = victim(inner) else { return Ok(0) };
    let mut mover = Mover { inner, bytes_per_sec, items: Vec::new(), bytes: 0 };
    mover.records(id, &extent)?;
    mover.inline_bodies(id)?;
    let whole = mover.logs(id)?;
    mover.flush()?;
    let freed = crate::checkpoint::run_locked(inner)?;
    if !whole || (inner.extents.contains(id) && inner.pins.load(Ordering::SeqCst) == 0) {
        // Something in it cannot be read, so it stays until it was repaired; trying again and again would change nothing.
        *inner.stuck.lock().entry(id).or_default() += if whole { 1 } else { TRIES_MAX };
    }
    metrics::counter!("ringfort_engine_compacted_bytes_total").increment(freed);
    Ok(freed)
}

struct Mover<'a> {
    inner: &'a Inner,
    bytes_per_sec: Option<u64>,
    items: Vec<Move>,
    bytes: usize,
}

impl Mover<'_> {
    fn add(&mut self, item: Move, bytes: usize) -> Result<(), EngineError> {
        self.items.push(item);
        self.bytes += bytes;
        let full = self.bytes >= STEP_BYTES || self.items.len() >= STEP_RECORDS;
        if full { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), EngineError> {
        let items = std::mem::take(&mut self.items);
        let bytes = std::mem::take(&mut self.bytes) as u64;
        if items.is_empty() {
            return Ok(());
        }
        self.inner.request_blocking(|done| Request::Move { items, done })?;
        if let Some(rate) = self.bytes_per_sec {
            self.inner.wait_background(Duration::from_micros(bytes.saturating_mul(1_000_000) / rate));
        }
        if self.inner.stop.load(Ordering::Acquire) { Err(EngineError::Closed) } else { Ok(()) }
    }

    /// Chunks and delete records, found by their records.
    fn records(&mut self, id: u64, extent: &Extent) -> Result<(), EngineError> {
        let rule = Rule { complete: true, synced: 0, bodies: false };
        let salt = Salt { log: self.inner.log, extent: id };
        let mut scan = Scan::new(extent.file.as_ref(), salt, extent.size);
        scan.walk(EXTENT_HEADER_LEN, rule, &mut |found| {
            let Ok(found) = found else { return Ok(()) };
            if found.health == Health::PayloadDamaged {
                return Ok(());
            }
            match found.header.kind {
                Kind::Chunk => match ChunkMeta::decode_head(found.payload) {
                    Some(meta) => self.body(id, meta.key),
                    None => Ok(()),
                },
                Kind::Delete => match Target::decode(found.payload) {
                    Some(target) => self.delete(Pos { extent: id, offset: found.offset }, target),
                    None => Ok(()),
                },
                _ => Ok(()),
            }
        })?;
        Ok(())
    }

    /// Moves a body if the index says that it is in this extent.
    fn body(&mut self, id: u64, key: ChunkKey) -> Result<(), EngineError> {
        let Some(entry) = self.inner.chunk_entry(&key)?.filter(|entry| entry.extent == id) else {
            return Ok(());
        };
        let Some((table, body)) = read_raw(self.inner, &entry)? else { return Ok(()) };
        let bytes = usize::try_from(footprint(body.len() as u64)).unwrap_or(usize::MAX);
        self.add(Move::Body { key, entry, table, body }, bytes)
    }

    /// Moves a delete record that hides something outside of this extent.
    fn delete(&mut self, pos: Pos, target: Target) -> Result<(), EngineError> {
        let Some(tomb) = self.inner.tomb(&target)? else { return Ok(()) };
        if tomb.extent != pos.extent || tomb.offset != pos.offset {
            return Ok(());
        }
        // What it hides in this very extent goes with it.
        if tomb.hidden.iter().any(|hidden| *hidden != pos.extent && self.inner.extents.contains(*hidden)) {
            return self.add(Move::Delete { target, sequence: tomb.sequence }, 128);
        }
        let mut tx = crate::index::tx::Tx::begin(self.inner);
        if tx.tomb(target)?.as_ref() == Some(&tomb) {
            tx.set_tomb(target, None)?;
        }
        tx.commit()
    }

    /// Inline bodies, found by the index: their log entries do not name them.
    fn inline_bodies(&mut self, id: u64) -> Result<(), EngineError> {
        inline_in(self.inner, id)?.into_iter().try_for_each(|key| self.body(id, key))
    }

    /// Votes, marks and entries. Answers whether all could be read.
    fn logs(&mut self, id: u64) -> Result<bool, EngineError> {
        let mut whole = true;
        let groups: Vec<_> = self.inner.groups.read().values().cloned().collect();
        for group in groups {
            let (entries, marks) = {
                let state = group.inner.lock();
                let entries: Vec<_> = state
                    .entries
                    .iter()
                    .zip(state.first..)
                    .filter(|(slot, _)| slot.durable && slot.pos.extent == id)
                    .map(|(slot, index)| (index, slot.clone()))
                    .collect();
                (entries, state.marks().map(|(kind, mark)| (kind, mark.cloned())))
            };
            for (index, slot) in entries {
                let read =
                    read_record(self.inner, Kind::Entry, group.id, slot.pos, slot.sequence, slot.length);
                let Some(payload) = read else {
                    whole = false;
                    continue;
                };
                let bytes = payload.len() + 64;
                let group = Arc::clone(&group);
                self.add(Move::Entry { group, index, sequence: slot.sequence, payload }, bytes)?;
            }
            for (kind, mark) in marks {
                let Some(mark) = mark.filter(|mark| mark.pos.extent == id) else { continue };
                let (sequence, index, bytes) = (mark.sequence, mark.index, mark.bytes);
                self.add(Move::Mark { group: Arc::clone(&group), kind, sequence, index, bytes }, 128)?;
            }
        }
        Ok(whole)
    }
}

/// How many of an extent's records wait for the next request to the writer once all were looked at.
#[cfg(test)]
pub(crate) fn left_over(inner: &Inner, id: u64, extent: &Extent) -> Result<(usize, usize), EngineError> {
    let mut mover = Mover { inner, bytes_per_sec: None, items: Vec::new(), bytes: 0 };
    mover.records(id, extent)?;
    Ok((mover.items.len(), STEP_RECORDS))
}
