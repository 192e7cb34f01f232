//! The writes of commands that are being applied, over the state they will become part of.
//!
//! All commands of one apply call share an overlay: each reads what those before it wrote, a record that many of them
//! write (a counter) goes to the index once, and keys reach it sorted.

use crate::records::{Records, SLOT_PREFIX_LEN, engine_direction, slot_bound, slot_key};
use bytes::Bytes;
use ringfort_core::{BlobId, SlotId};
use ringfort_engine::{EngineError, StateBatch};
use ringfort_storage_api::{Scan, SlotTx, SlotView};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

/// Pending writes over `records`.
pub(crate) struct Overlay<'a, R> {
    records: &'a R,
    pending: BTreeMap<Vec<u8>, Option<Bytes>>,
    inline: Vec<InlineChange>,
    error: RefCell<Option<EngineError>>,
}

/// A change of inline bodies, in the order made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InlineChange {
    /// Bytes of an entry's payload become a body.
    Adopt { blob: BlobId, entry: u64, offset: u32, len: u32 },
    /// A body is forgotten.
    Release { blob: BlobId },
}

#[allow(clippy::type_complexity, reason = "a visitor reads best where it is used")]
impl<'a, R: Records> Overlay<'a, R> {
    pub(crate) fn new(records: &'a R) -> Self {
        Self { records, pending: BTreeMap::new(), inline: Vec::new(), error: RefCell::new(None) }
    }

    /// The value under a full key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Bytes> {
        match self.pending.get(key) {
            Some(value) => value.clone(),
            None => self.keep(self.records.get(key)),
        }
    }

    /// Writes under a full key.
    pub(crate) fn put(&mut self, key: Vec<u8>, value: Bytes) {
        self.pending.insert(key, Some(value));
    }

    /// Removes the records in a range of full keys.
    pub(crate) fn delete_range(&mut self, from: &[u8], to: &[u8]) {
        let mut keys = Vec::new();
        self.merge(from, to, Scan::Forward, &mut |key, _| {
            keys.push(key.to_vec());
            ControlFlow::Continue(())
        });
        self.pending.extend(keys.into_iter().map(|key| (key, None)));
    }

    /// The records of `slot`, to a command whose bodies lie at `spans` in the payload of `entry`.
    pub(crate) fn slot<'b>(&'b mut self, slot: SlotId, entry: u64, spans: &'b [(u32, u32)]) -> Tx<'a, 'b, R> {
        Tx { overlay: self, slot, entry, spans }
    }

    /// Adds everything to `batch`; fails if any read failed, since then no result is to be believed.
    pub(crate) fn finish(self, batch: &mut StateBatch) -> Result<(), EngineError> {
        if let Some(error) = self.error.into_inner() {
            return Err(error);
        }
        for (key, value) in &self.pending {
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        for change in self.inline {
            match change {
                InlineChange::Adopt { blob, entry, offset, len } => {
                    batch.adopt_inline(blob, entry, offset, len)
                }
                InlineChange::Release { blob } => batch.release_inline(blob),
            }
        }
        Ok(())
    }

    fn keep<T: Default>(&self, result: Result<T, EngineError>) -> T {
        result.unwrap_or_else(|error| {
            self.error.borrow_mut().get_or_insert(error);
            T::default()
        })
    }

    /// Visits the records of `[from, to)` as they will be.
    fn merge(
        &self,
        from: &[u8],
        to: &[u8],
        scan: Scan,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) {
        let bounds = (Bound::Included(from), Bound::Excluded(to));
        if from >= to {
            return;
        }
        let range = self.pending.range::<[u8], _>(bounds);
        match scan {
            Scan::Forward => self.merge_with(range, from, to, scan, visit),
            Scan::Backward => self.merge_with(range.rev(), from, to, scan, visit),
        }
    }

    fn merge_with<'p>(
        &self,
        pending: impl Iterator<Item = (&'p Vec<u8>, &'p Option<Bytes>)>,
        from: &[u8],
        to: &[u8],
        scan: Scan,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) {
        let mut pending = pending.peekable();
        let mut broken = false;
        let before = |a: &[u8], b: &[u8]| if scan == Scan::Forward { a < b } else { a > b };
        let mut on_stored = |key: &[u8], value: &[u8]| {
            // Pending records that lie before the stored one.
            while let Some((pending_key, written)) =
                pending.next_if(|(pending_key, _)| before(pending_key, key))
            {
                if let Some(written) = written {
                    visit(pending_key, written).is_break().then(|| broken = true);
                    if broken {
                        return ControlFlow::Break(());
                    }
                }
            }
            let flow = match pending.next_if(|(pending_key, _)| pending_key.as_slice() == key) {
                Some((_, Some(written))) => visit(key, written),
                Some((_, None)) => ControlFlow::Continue(()),
                None => visit(key, value),
            };
            broken = flow.is_break();
            flow
        };
        let scanned = self.records.scan(from, to, engine_direction(scan), &mut on_stored);
        self.keep(scanned);
        if broken {
            return;
        }
        for (key, written) in pending {
            if let Some(written) = written
                && visit(key, written).is_break()
            {
                return;
            }
        }
    }
}

/// The records of one slot while one command is applied to them.
pub(crate) struct Tx<'a, 'b, R> {
    overlay: &'b mut Overlay<'a, R>,
    slot: SlotId,
    entry: u64,
    spans: &'b [(u32, u32)],
}

#[allow(clippy::type_complexity, reason = "a visitor reads best where it is used")]
impl<R: Records> SlotView for Tx<'_, '_, R> {
    fn slot(&self) -> SlotId {
        self.slot
    }

    fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.overlay.get(&slot_key(self.slot, key))
    }

    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        direction: Scan,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) {
        let (from, to) = (slot_key(self.slot, from), slot_bound(self.slot, to));
        self.overlay.merge(&from, &to, direction, &mut |key, value| visit(&key[SLOT_PREFIX_LEN..], value));
    }

    fn skip_scan(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<(), Option<Vec<u8>>>,
    ) {
        let to = slot_bound(self.slot, to);
        let mut next = Some(slot_key(self.slot, from));
        // Commands seldom skip, so each skip may cost a scan of its own.
        while let Some(from) = next.take() {
            self.overlay.merge(&from, &to, Scan::Forward, &mut |key, value| match visit(
                &key[SLOT_PREFIX_LEN..],
                value,
            ) {
                ControlFlow::Break(()) => ControlFlow::Break(()),
                ControlFlow::Continue(None) => ControlFlow::Continue(()),
                ControlFlow::Continue(Some(ahead)) => {
                    next = Some(slot_key(self.slot, &ahead));
                    ControlFlow::Break(())
                }
            });
        }
    }
}

impl<R: Records> SlotTx for Tx<'_, '_, R> {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.overlay.pending.insert(slot_key(self.slot, key), Some(Bytes::copy_from_slice(value)));
    }

    fn delete(&mut self, key: &[u8]) {
        self.overlay.pending.insert(slot_key(self.slot, key), None);
    }

    fn adopt_inline(&mut self, index: usize, blob: BlobId) {
        let (offset, len) = self.spans[index];
        self.overlay.inline.push(InlineChange::Adopt { blob, entry: self.entry, offset, len });
    }

    fn release_inline(&mut self, blob: BlobId) {
        self.overlay.inline.push(InlineChange::Release { blob });
    }
}

#[cfg(test)]
mod tests;
