//! State models: the deterministic procedures that metadata groups replicate.
//!
//! A metadata group applies *commands* to the records of one *slot* at a time and answers *queries* about one slot.
//! What the records mean is the business of a [`StateModel`]; the group brings replication, ordering, retries,
//! snapshots and leases. A model reads no clock, no randomness and nothing outside its slot: the same commands in the
//! same order give the same records and the same results on every voter, in every later version of the program
//! (new behaviour needs a new command number behind a feature level).

use bytes::Bytes;
use ringfort_core::{BlobId, HybridTime, SlotId};
use std::ops::ControlFlow;

/// One direction of a scan over the records of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// Ascending keys from the lower bound (inclusive) to the upper (exclusive).
    Forward,
    /// Descending keys from the upper bound (exclusive) to the lower (inclusive).
    Backward,
}

/// The records of one slot, to read. Keys and values are the model's own bytes; the slot's prefix is not seen.
#[allow(clippy::type_complexity, reason = "a visitor reads best where it is used")]
pub trait SlotView {
    /// The slot.
    fn slot(&self) -> SlotId;

    /// The record under `key`.
    fn get(&self, key: &[u8]) -> Option<Bytes>;

    /// Visits records in `[from, to)` in key order, or backwards, until `visit` breaks. An empty `to` means the end of the
    /// slot. Costs one seek plus the records visited.
    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        direction: Scan,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    );

    /// Visits like a forward scan from `from`, but `visit` answers where to go on: [`ControlFlow::Continue`] with `None` steps
    /// to the next record, with `Some(key)` seeks to the first record not below `key` (which must lie ahead).
    fn skip_scan(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<(), Option<Vec<u8>>>,
    );
}

/// The records of one slot while a command is applied to them: reads see the command's own writes and those of all
/// commands before it. Everything a command writes becomes visible, and durable, at once or not at all.
pub trait SlotTx: SlotView {
    /// Writes the record under `key`.
    fn put(&mut self, key: &[u8], value: &[u8]);

    /// Removes the record under `key`, if it is there.
    fn delete(&mut self, key: &[u8]);

    /// Keeps body number `index` of the command as the inline body `blob`: from now on it can be read by that name.
    /// Panics when the command has no such body (a model checks before it decides).
    fn adopt_inline(&mut self, index: usize, blob: BlobId);

    /// Forgets the inline body `blob`; its bytes become dead space.
    fn release_inline(&mut self, blob: BlobId);
}

/// A body that rides in a command: what a model may know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InlineBody {
    /// Length in bytes.
    pub len: u32,
}

/// What a query answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryReply {
    /// The model's own bytes.
    pub reply: Vec<u8>,
    /// An inline body the group shall read and return beside the reply.
    pub inline: Option<BlobId>,
}

/// The deterministic procedures over the records of a slot.
pub trait StateModel: Send + Sync + 'static {
    /// Applies `command` at time `stamp` (strictly growing within the group) and returns its result, which is recorded and
    /// given again to a retry. A command that does not decode, or whose conditions do not hold, answers so in its result and
    /// writes nothing; it must not panic.
    fn apply(&self, tx: &mut dyn SlotTx, stamp: HybridTime, command: &[u8], bodies: &[InlineBody])
    -> Vec<u8>;

    /// Answers `query` from the records of a slot. Must not panic on any bytes.
    fn query(&self, view: &dyn SlotView, query: &[u8]) -> QueryReply;
}
