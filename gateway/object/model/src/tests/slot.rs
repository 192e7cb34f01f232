//! A slot in memory.

use bytes::Bytes;
use ringfort_core::{BlobId, SlotId};
use ringfort_storage_api::{Scan, SlotTx, SlotView};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, ControlFlow};

/// Records and inline bodies of one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemorySlot {
    pub(crate) slot: SlotId,
    pub(crate) records: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) inline: BTreeSet<BlobId>,
}

impl MemorySlot {
    pub(crate) fn new(slot: SlotId) -> Self {
        Self { slot, records: BTreeMap::new(), inline: BTreeSet::new() }
    }

    fn range(&self, from: &[u8], to: &[u8]) -> impl DoubleEndedIterator<Item = (&Vec<u8>, &Vec<u8>)> {
        let upper = if to.is_empty() { Bound::Unbounded } else { Bound::Excluded(to.to_vec()) };
        let from = from.to_vec();
        assert!(to.is_empty() || from.as_slice() <= to, "a scan's bounds are in order");
        self.records.range((Bound::Included(from), upper))
    }
}

impl SlotView for MemorySlot {
    fn slot(&self) -> SlotId {
        self.slot
    }

    fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.records.get(key).map(|value| Bytes::copy_from_slice(value))
    }

    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        direction: Scan,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) {
        let range = self.range(from, to);
        let mut go = |(key, value): (&Vec<u8>, &Vec<u8>)| visit(key, value).is_break();
        let _ = match direction {
            Scan::Forward => range.into_iter().find(|record| go(*record)),
            Scan::Backward => range.rev().find(|record| go(*record)),
        };
    }

    fn skip_scan(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<(), Option<Vec<u8>>>,
    ) {
        let mut from = from.to_vec();
        while let Some((key, value)) = self.range(&from, to).next() {
            match visit(key, value) {
                ControlFlow::Break(()) => return,
                ControlFlow::Continue(None) => from = [key.as_slice(), &[0]].concat(),
                ControlFlow::Continue(Some(next)) => {
                    assert!(next.is_empty() || next > *key, "a skip goes ahead");
                    from = next;
                }
            }
            if from.is_empty() || (!to.is_empty() && from.as_slice() >= to) {
                return;
            }
        }
    }
}

impl SlotTx for MemorySlot {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.records.insert(key.to_vec(), value.to_vec());
    }

    fn delete(&mut self, key: &[u8]) {
        self.records.remove(key);
    }

    fn adopt_inline(&mut self, _index: usize, blob: BlobId) {
        assert!(self.inline.insert(blob), "an inline body is adopted once");
    }

    fn release_inline(&mut self, blob: BlobId) {
        assert!(self.inline.remove(&blob), "only what was adopted is released");
    }
}
