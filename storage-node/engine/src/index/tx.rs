//! One change of the index: reads see its own writes, and the accounting of extents follows from what entries change.
//!
//! The accounting is a function of the chunk entries: every change compares the old entry with the new one. So replaying
//! a record that the index has already seen changes nothing, and counters cannot drift.

use super::keys::{self, Account, Covered};
use super::{Family, IndexOp};
use crate::EngineError;
use crate::checkpoint::Accounts;
use crate::engine::Inner;
use crate::format::{ChunkEntry, Target, Tomb};
use parking_lot::MutexGuard;
use ringfort_core::{BlobId, ChunkKey};
use std::collections::{BTreeMap, HashMap};

/// What transactions own together; whoever holds its lock is the one writer of the index.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) covered: Covered,
    pub(crate) accounts: BTreeMap<u64, Account>,
}

/// An open change; dropping it changes nothing.
pub(crate) struct Tx<'a> {
    inner: &'a Inner,
    ledger: MutexGuard<'a, Ledger>,
    pub(crate) ops: Vec<IndexOp>,
    chunks: BTreeMap<ChunkKey, Option<ChunkEntry>>,
    tombs: HashMap<Target, Option<Tomb>>,
    live: HashMap<u64, (i64, i64)>,
    counts: (i64, i64),
}

pub(crate) fn bad_value(what: &str) -> EngineError {
    EngineError::IndexDamaged { reason: format!("{what} does not decode") }
}

impl<'a> Tx<'a> {
    pub(crate) fn begin(inner: &'a Inner) -> Self {
        Self {
            inner,
            ledger: inner.ledger.lock(),
            ops: Vec::new(),
            chunks: BTreeMap::new(),
            tombs: HashMap::new(),
            live: HashMap::new(),
            counts: (0, 0),
        }
    }

    pub(crate) fn covered(&mut self) -> &mut Covered {
        &mut self.ledger.covered
    }

    /// The accounting as it is without this transaction.
    pub(crate) fn accounts(&self) -> Accounts {
        Accounts { before: self.ledger.covered.pos.extent, of: self.ledger.accounts.clone() }
    }

    pub(crate) fn chunk(&self, key: &ChunkKey) -> Result<Option<ChunkEntry>, EngineError> {
        match self.chunks.get(key) {
            Some(entry) => Ok(entry.clone()),
            None => self.inner.chunk_entry(key),
        }
    }

    /// Sets or removes the entry of a chunk and accounts for the difference.
    pub(crate) fn set_chunk(&mut self, key: ChunkKey, new: Option<ChunkEntry>) -> Result<(), EngineError> {
        let old = self.chunk(&key)?;
        for (entry, sign) in old.iter().map(|entry| (entry, -1)).chain(new.iter().map(|entry| (entry, 1))) {
            self.live.entry(entry.extent).or_default().0 += sign * i64::from(entry.footprint);
            if entry.is_inline() {
                self.counts.1 += sign;
                let place = keys::inline(entry.extent, entry.body_offset);
                self.ops.push(if sign > 0 {
                    IndexOp::Put(Family::Inline, place, key.encode().to_vec())
                } else {
                    IndexOp::Delete(Family::Inline, place)
                });
            } else {
                self.counts.0 += sign;
            }
        }
        self.ops.push(match &new {
            Some(entry) => IndexOp::Put(Family::Chunks, key.encode().to_vec(), entry.encode()),
            None => IndexOp::Delete(Family::Chunks, key.encode().to_vec()),
        });
        self.chunks.insert(key, new);
        Ok(())
    }

    /// The chunks of a blob, inline ones too.
    pub(crate) fn chunks_of(&self, blob: BlobId) -> Result<Vec<(ChunkKey, ChunkEntry)>, EngineError> {
        let first = ChunkKey { blob, number: 0, fragment: 0 };
        let last = ChunkKey { blob, number: u32::MAX, fragment: u8::MAX };
        let mut found: BTreeMap<ChunkKey, Option<ChunkEntry>> =
            self.inner.chunks_of(blob)?.into_iter().map(|(key, entry)| (key, Some(entry))).collect();
        found.extend(self.chunks.range(first..=last).map(|(key, entry)| (*key, entry.clone())));
        Ok(found.into_iter().filter_map(|(key, entry)| Some((key, entry?))).collect())
    }

    pub(crate) fn tomb(&self, target: Target) -> Result<Option<Tomb>, EngineError> {
        match self.tombs.get(&target) {
            Some(tomb) => Ok(tomb.clone()),
            None => self.inner.tomb(&target),
        }
    }

    /// Sets or removes the tomb of a blob.
    pub(crate) fn set_tomb(&mut self, target: Target, new: Option<Tomb>) -> Result<(), EngineError> {
        let old = self.tomb(target)?;
        for (tomb, sign) in old.iter().map(|tomb| (tomb, -1)).chain(new.iter().map(|tomb| (tomb, 1))) {
            self.live.entry(tomb.extent).or_default().1 += sign;
        }
        self.ops.push(match &new {
            Some(tomb) => IndexOp::Put(Family::Meta, keys::tomb(&target), tomb.encode()),
            None => IndexOp::Delete(Family::Meta, keys::tomb(&target)),
        });
        self.tombs.insert(target, new);
        Ok(())
    }

    pub(crate) fn put(&mut self, family: Family, key: Vec<u8>, value: Vec<u8>) {
        self.ops.push(IndexOp::Put(family, key, value));
    }

    /// Forgets the accounting of an extent that is gone.
    pub(crate) fn forget_extent(&mut self, extent: u64) {
        self.ledger.accounts.remove(&extent);
        self.ops.push(IndexOp::Delete(Family::Meta, keys::extent(extent)));
    }

    /// Writes everything as one.
    pub(crate) fn commit(self) -> Result<(), EngineError> {
        self.commit_and(|| {})
    }

    /// Writes everything as one and calls `then` before anyone else may write or flush.
    pub(crate) fn commit_and(mut self, then: impl FnOnce()) -> Result<(), EngineError> {
        let mut changed = Vec::with_capacity(self.live.len());
        for (extent, (live, tombs)) in self.live.drain() {
            let mut account = self.ledger.accounts.get(&extent).copied().unwrap_or_default();
            account.live = account.live.checked_add_signed(live).unwrap_or_else(|| {
                tracing::error!(extent, live, "extent accounting went below zero");
                0
            });
            account.tombs = u32::try_from((i64::from(account.tombs) + tombs).max(0)).unwrap_or(u32::MAX);
            changed.push((extent, account));
            self.ops.push(IndexOp::Put(Family::Meta, keys::extent(extent), account.encode()));
        }
        let mut covered = self.ledger.covered;
        covered.chunks = covered.chunks.saturating_add_signed(self.counts.0);
        covered.inline_bodies = covered.inline_bodies.saturating_add_signed(self.counts.1);
        self.ops.push(IndexOp::Put(Family::Meta, keys::COVERED.to_vec(), covered.encode()));
        self.inner.index.write(&self.ops)?;
        self.ledger.covered = covered;
        self.ledger.accounts.extend(changed);
        then();
        Ok(())
    }
}
