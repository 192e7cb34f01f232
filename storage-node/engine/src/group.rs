//! What a device keeps in memory of one group: where its log records are, recent payloads, and how far its state is.

use crate::format::raft::{Mark, RaftTable, Slot};
use crate::format::{Kind, Pos};
use crate::{EngineError, StateStatus};
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use ringfort_core::GroupId;
use std::collections::VecDeque;

/// One group.
pub(crate) struct Group {
    pub(crate) id: GroupId,
    pub(crate) inner: Mutex<GroupInner>,
    /// Told whenever entries became durable, or the device failed.
    pub(crate) durable: Condvar,
    pub(crate) durable_async: tokio::sync::Notify,
}

/// One log entry.
#[derive(Clone, Debug)]
pub(crate) struct EntrySlot {
    /// Names this appending of this index; an index may be appended again after a truncation.
    pub(crate) ticket: u64,
    pub(crate) sequence: u64,
    /// Where the record begins; known once durable.
    pub(crate) pos: Pos,
    pub(crate) length: u32,
    pub(crate) durable: bool,
    pub(crate) payload: Option<Bytes>,
}

/// Where the entries are that the durable records of a group leave in its log.
#[derive(Default)]
pub(crate) struct DurableLog {
    first: u64,
    slots: VecDeque<Slot>,
}

impl DurableLog {
    pub(crate) fn push(&mut self, index: u64, slot: Slot) {
        self.truncate_from(index);
        if self.slots.is_empty() {
            self.first = index;
        }
        self.slots.push_back(slot);
    }

    pub(crate) fn truncate_from(&mut self, index: u64) {
        self.slots.truncate(usize::try_from(index.saturating_sub(self.first)).unwrap_or(usize::MAX));
    }

    pub(crate) fn purge_to(&mut self, index: u64) {
        while self.first <= index && self.slots.pop_front().is_some() {
            self.first += 1;
        }
    }

    pub(crate) fn moved(&mut self, index: u64, sequence: u64, pos: Pos) {
        let place = index.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        let slot = place.and_then(|place| self.slots.get_mut(place));
        if let Some(slot) = slot.filter(|slot| slot.sequence == sequence) {
            slot.pos = pos;
        }
    }
}

/// The part of a group under its lock.
#[derive(Default)]
pub(crate) struct GroupInner {
    pub(crate) vote: Option<Bytes>,
    pub(crate) committed: Option<Bytes>,
    pub(crate) purged: Option<(u64, Bytes)>,
    /// The records of the last vote, purge and truncation, so that compaction keeps them.
    pub(crate) vote_mark: Option<Mark>,
    pub(crate) purge_mark: Option<Mark>,
    pub(crate) truncate_mark: Option<Mark>,
    /// The record of the last removal, kept as long as there are extents with records that it makes void: a rebuild would
    /// take them for the group's.
    pub(crate) removal_mark: Option<Mark>,
    /// Index of the first entry in `entries`.
    pub(crate) first: u64,
    pub(crate) entries: VecDeque<EntrySlot>,
    /// The entries as the durable records alone say. A checkpoint keeps these: with what was only asked for, a crash could leave
    /// a later request done and an earlier one not.
    pub(crate) durable: DurableLog,
    /// Whether the group is about to be dropped: nothing new is taken for it.
    pub(crate) removing: bool,
    pub(crate) lost: bool,
    pub(crate) applied: u64,
    pub(crate) durable_applied: u64,
    /// Grows when the state is dropped or replaced, so that a checkpoint of an older one is not taken for one of the newer.
    pub(crate) generation: u64,
    /// Whether there is or was a state.
    pub(crate) has_state: bool,
    /// Set for good when the device stops; waiters give up.
    pub(crate) stopped: Option<EngineError>,
}

impl Group {
    pub(crate) fn new(id: GroupId) -> Self {
        Self {
            id,
            inner: Mutex::default(),
            durable: Condvar::new(),
            durable_async: tokio::sync::Notify::new(),
        }
    }

    pub(crate) fn wake(&self) {
        self.durable.notify_all();
        self.durable_async.notify_waiters();
    }

    /// Blocks until the entries up to `index` are durable, as far as the log holds them.
    pub(crate) fn wait_durable(&self, index: u64) -> Result<(), EngineError> {
        let mut inner = self.inner.lock();
        while !inner.is_durable(index)? {
            self.durable.wait(&mut inner);
        }
        Ok(())
    }
}

impl GroupInner {
    pub(crate) fn last(&self) -> Option<u64> {
        (!self.entries.is_empty()).then(|| self.first + self.entries.len() as u64 - 1)
    }

    pub(crate) fn slot(&self, index: u64) -> Option<&EntrySlot> {
        self.entries.get(usize::try_from(index.checked_sub(self.first)?).ok()?)
    }

    pub(crate) fn slot_mut(&mut self, index: u64) -> Option<&mut EntrySlot> {
        self.entries.get_mut(usize::try_from(index.checked_sub(self.first)?).ok()?)
    }

    /// Whether the entries up to `index` are durable, as far as the log holds them. Entries become durable in order.
    pub(crate) fn is_durable(&self, index: u64) -> Result<bool, EngineError> {
        let durable = match self.last() {
            None => true,
            Some(last) => self.slot(index.min(last)).is_none_or(|slot| slot.durable),
        };
        match (&self.stopped, durable) {
            (_, true) => Ok(true),
            (Some(error), false) => Err(error.clone()),
            (None, false) => Ok(false),
        }
    }

    /// The index the next entry has to have, if that is determined.
    pub(crate) fn next_index(&self) -> Option<u64> {
        match (self.last(), &self.purged) {
            (Some(last), _) => Some(last + 1),
            (None, Some((purged, _))) => Some(purged + 1),
            (None, None) => None,
        }
    }

    pub(crate) fn push(&mut self, index: u64, slot: EntrySlot) {
        if self.entries.is_empty() {
            self.first = index;
        }
        self.entries.push_back(slot);
    }

    pub(crate) fn truncate_from(&mut self, index: u64) {
        let keep = usize::try_from(index.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.entries.truncate(keep);
    }

    pub(crate) fn purge_to(&mut self, index: u64, mark: Bytes) {
        while !self.entries.is_empty() && self.first <= index {
            self.entries.pop_front();
            self.first += 1;
        }
        self.purged = Some((index, mark));
    }

    /// Takes what was recovered for what is durable.
    pub(crate) fn recovered(&mut self) {
        let slots = self.entries.iter();
        self.durable = DurableLog {
            first: self.first,
            slots: slots
                .map(|slot| Slot { sequence: slot.sequence, pos: slot.pos, length: slot.length })
                .collect(),
        };
    }

    /// Forgets everything but the waiters, because of a removal.
    pub(crate) fn clear(&mut self, sequence: u64, pos: Pos) {
        let removal = Mark { sequence, pos, index: pos.extent, bytes: Bytes::new() };
        *self = Self {
            stopped: self.stopped.take(),
            generation: self.generation + 1,
            removal_mark: Some(removal),
            ..Self::default()
        };
    }

    /// Forgets a removal that makes nothing void any more, because `oldest` is the oldest extent.
    pub(crate) fn forget_removal(&mut self, oldest: u64) {
        self.removal_mark.take_if(|mark| mark.index < oldest);
    }

    pub(crate) fn is_present(&self) -> bool {
        self.vote.is_some()
            || self.purged.is_some()
            || !self.entries.is_empty()
            || self.has_state
            || self.lost
    }

    pub(crate) fn status(&self) -> StateStatus {
        match (self.lost, self.has_state) {
            (true, _) => StateStatus::Lost,
            (false, true) => StateStatus::Ok,
            (false, false) => StateStatus::Empty,
        }
    }

    /// What a checkpoint keeps: only what is durable in the log.
    pub(crate) fn table(&self) -> RaftTable {
        RaftTable {
            vote: self.vote_mark.clone(),
            purge: self.purge_mark.clone(),
            truncate: self.truncate_mark.clone(),
            removal: self.removal_mark.clone(),
            committed: self.committed.clone(),
            first: self.durable.first,
            slots: self.durable.slots.iter().copied().collect(),
        }
    }

    /// What a checkpoint kept.
    pub(crate) fn restore(&mut self, table: RaftTable) {
        self.vote = table.vote.as_ref().map(|mark| mark.bytes.clone());
        self.purged = table.purge.as_ref().map(|mark| (mark.index, mark.bytes.clone()));
        (self.vote_mark, self.purge_mark, self.truncate_mark) = (table.vote, table.purge, table.truncate);
        self.removal_mark = table.removal;
        self.committed = table.committed;
        self.first = table.first;
        self.entries = table
            .slots
            .into_iter()
            .map(|slot| EntrySlot {
                ticket: 0,
                sequence: slot.sequence,
                pos: slot.pos,
                length: slot.length,
                durable: true,
                payload: None,
            })
            .collect();
    }

    /// The records of the group that are no entries.
    pub(crate) fn marks(&self) -> [(Kind, Option<&Mark>); 4] {
        [
            (Kind::Vote, self.vote_mark.as_ref()),
            (Kind::Purge, self.purge_mark.as_ref()),
            (Kind::Truncate, self.truncate_mark.as_ref()),
            (Kind::RemoveGroup, self.removal_mark.as_ref()),
        ]
    }

    /// Visits the extents of the entries.
    pub(crate) fn entries_at(&self, mut visit: impl FnMut(u64)) {
        let mut last = None;
        for slot in &self.durable.slots {
            if last.replace(slot.pos.extent) != Some(slot.pos.extent) {
                visit(slot.pos.extent);
            }
        }
    }

    /// Bytes of the log that the group's records keep alive, told extent by extent.
    pub(crate) fn refers(&self, mut visit: impl FnMut(Pos, u64)) {
        for slot in &self.durable.slots {
            visit(slot.pos, crate::format::record::footprint(u64::from(slot.length)));
        }
        for mark in self.marks().into_iter().filter_map(|(_, mark)| mark) {
            visit(mark.pos, crate::format::record::footprint(mark.bytes.len() as u64));
        }
    }
}
