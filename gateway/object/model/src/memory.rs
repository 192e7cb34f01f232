//! A slot in memory: for tests of the model and of what is built on it.

use bytes::Bytes;
use ringfort_core::{BlobId, HybridTime, SlotId};
use ringfort_storage_api::{InlineBody, Scan, SlotTx, SlotView, StateModel};
use std::collections::{BTreeMap, btree_map};
use std::ops::{Bound, ControlFlow};

/// Records and inline bodies of one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemorySlot {
    slot: SlotId,
    /// The records by key.
    pub records: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Inline bodies that were adopted and not released.
    pub inline: BTreeMap<BlobId, Bytes>,
    /// Bodies of the command being applied.
    pub bodies: Vec<Bytes>,
}

impl MemorySlot {
    /// An empty slot.
    #[must_use]
    pub fn new(slot: SlotId) -> Self {
        Self { slot, records: BTreeMap::new(), inline: BTreeMap::new(), bodies: Vec::new() }
    }

    /// Applies a command as a group would.
    pub fn apply(
        &mut self,
        model: &dyn StateModel,
        stamp: HybridTime,
        command: &[u8],
        bodies: Vec<Bytes>,
    ) -> Vec<u8> {
        let lens: Vec<_> = bodies
            .iter()
            .map(|body| InlineBody { len: u32::try_from(body.len()).unwrap_or(u32::MAX) })
            .collect();
        self.bodies = bodies;
        let reply = model.apply(self, stamp, command, &lens);
        self.bodies = Vec::new();
        reply
    }

    fn range(&self, from: &[u8], to: &[u8]) -> btree_map::Range<'_, Vec<u8>, Vec<u8>> {
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

    fn adopt_inline(&mut self, index: usize, blob: BlobId) {
        let body = self.bodies[index].clone();
        assert!(self.inline.insert(blob, body).is_none(), "an inline body is adopted once");
    }

    fn release_inline(&mut self, blob: BlobId) {
        assert!(self.inline.remove(&blob).is_some(), "only what was adopted is released");
    }
}
