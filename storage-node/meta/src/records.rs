//! The layout of a group's state, and reading it slot by slot.
//!
//! ```text
//! 0x00 0x01                          applied: version u8, log id (24 bytes), hybrid time u64
//! 0x00 0x02                          the membership in force, see `crate::raft_types`
//! 0x00 0x03 session(8 BE) lane(4 BE) the last command of a lane: sequence u64 LE, then its result
//! 0x00 0x04 session(8 BE)            the session has ended: nothing follows
//! 0x01 slot(2 BE) key                a record of a slot
//! ```

use bytes::Bytes;
use ringfort_core::{CommandId, SessionId, SlotId};
use ringfort_engine::{Direction, EngineError, GroupState};
use ringfort_storage_api::{Scan, SlotView};
use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;

/// Key of the applied record.
pub(crate) const APPLIED_KEY: [u8; 2] = [0, 1];
/// Key of the membership record.
pub(crate) const MEMBERSHIP_KEY: [u8; 2] = [0, 2];
/// Length of what precedes a model's key.
pub(crate) const SLOT_PREFIX_LEN: usize = 3;

/// Key of the record of a lane.
pub(crate) fn lane_key(id: &CommandId) -> [u8; 14] {
    let mut key = [0; 14];
    key[1] = 3;
    key[2..10].copy_from_slice(&id.session.0.to_be_bytes());
    key[10..].copy_from_slice(&id.lane.to_be_bytes());
    key
}

/// The range of the lane records of a session.
pub(crate) fn lanes_range(session: SessionId) -> ([u8; 14], [u8; 15]) {
    let first = lane_key(&CommandId { session, lane: 0, sequence: 0 });
    let last = lane_key(&CommandId { session, lane: u32::MAX, sequence: 0 });
    let mut end = [0; 15];
    end[..14].copy_from_slice(&last);
    (first, end)
}

/// Key of the mark that a session has ended.
pub(crate) fn ended_key(session: SessionId) -> [u8; 10] {
    let mut key = [0; 10];
    key[1] = 4;
    key[2..].copy_from_slice(&session.0.to_be_bytes());
    key
}

/// The prefix of a slot's records.
pub(crate) fn slot_prefix(slot: SlotId) -> [u8; SLOT_PREFIX_LEN] {
    let [high, low] = slot.0.to_be_bytes();
    [1, high, low]
}

/// `key` of `slot` in the group's state.
pub(crate) fn slot_key(slot: SlotId, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(SLOT_PREFIX_LEN + key.len());
    full.extend_from_slice(&slot_prefix(slot));
    full.extend_from_slice(key);
    full
}

/// The upper bound `to` of a range in `slot`; empty means the end of the slot.
pub(crate) fn slot_bound(slot: SlotId, to: &[u8]) -> Vec<u8> {
    if !to.is_empty() {
        return slot_key(slot, to);
    }
    match slot.0.checked_add(1) {
        Some(next) => slot_prefix(SlotId(next)).to_vec(),
        None => vec![2],
    }
}

/// Something with sorted records: a group's state, or a fake of it.
#[allow(clippy::type_complexity, reason = "a visitor reads best where it is used")]
pub(crate) trait Records {
    /// The value under `key`.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError>;
    /// Visits `[from, to)`.
    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        direction: Direction,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), EngineError>;
    /// Visits `[from, to)` forwards; `visit` may seek ahead.
    fn skip_scan(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<(), Option<Vec<u8>>>,
    ) -> Result<(), EngineError>;
}

#[allow(clippy::type_complexity, reason = "a visitor reads best where it is used")]
impl Records for GroupState {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Self::get(self, key)
    }

    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        direction: Direction,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        Self::scan(self, from, to, direction, visit)
    }

    fn skip_scan(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<(), Option<Vec<u8>>>,
    ) -> Result<(), EngineError> {
        let mut cursor = self.iter(from, to)?;
        while let Some((key, value)) = cursor.next()? {
            match visit(&key, &value) {
                ControlFlow::Break(()) => break,
                ControlFlow::Continue(None) => {}
                ControlFlow::Continue(Some(ahead)) => cursor.seek(&ahead),
            }
        }
        Ok(())
    }
}

/// The records of one slot, to read. An error of the engine makes reads come back empty and is kept for the caller, which
/// then throws the answer away.
pub(crate) struct View<'a, R> {
    records: &'a R,
    slot: SlotId,
    reads: Cell<u32>,
    error: RefCell<Option<EngineError>>,
}

impl<'a, R: Records> View<'a, R> {
    pub(crate) fn new(records: &'a R, slot: SlotId) -> Self {
        Self { records, slot, reads: Cell::new(0), error: RefCell::new(None) }
    }

    /// The number of reads made; each saw one state as a whole, but two may have seen two states.
    pub(crate) fn reads(&self) -> u32 {
        self.reads.get()
    }

    /// The first error met.
    pub(crate) fn finish(self) -> Result<(), EngineError> {
        self.error.into_inner().map_or(Ok(()), Err)
    }

    fn keep<T: Default>(&self, result: Result<T, EngineError>) -> T {
        self.reads.set(self.reads.get() + 1);
        result.unwrap_or_else(|error| {
            self.error.borrow_mut().get_or_insert(error);
            T::default()
        })
    }
}

#[allow(clippy::type_complexity, reason = "a visitor reads best where it is used")]
impl<R: Records> SlotView for View<'_, R> {
    fn slot(&self) -> SlotId {
        self.slot
    }

    fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.keep(self.records.get(&slot_key(self.slot, key)))
    }

    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        direction: Scan,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) {
        let (from, to) = (slot_key(self.slot, from), slot_bound(self.slot, to));
        let mut stripped = |key: &[u8], value: &[u8]| visit(&key[SLOT_PREFIX_LEN..], value);
        self.keep(self.records.scan(&from, &to, engine_direction(direction), &mut stripped));
    }

    fn skip_scan(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<(), Option<Vec<u8>>>,
    ) {
        let (from, to) = (slot_key(self.slot, from), slot_bound(self.slot, to));
        let mut stripped = |key: &[u8], value: &[u8]| match visit(&key[SLOT_PREFIX_LEN..], value) {
            ControlFlow::Continue(Some(ahead)) => ControlFlow::Continue(Some(slot_key(self.slot, &ahead))),
            other => other,
        };
        self.keep(self.records.skip_scan(&from, &to, &mut stripped));
    }
}

/// The engine's word for a direction.
pub(crate) fn engine_direction(direction: Scan) -> Direction {
    match direction {
        Scan::Forward => Direction::Forward,
        Scan::Backward => Direction::Backward,
    }
}
