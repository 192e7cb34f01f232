//! The log of one group.

use crate::committer::{After, Record};
use crate::format::record::HEADER_LEN;
use crate::format::{Kind, Pos};
use crate::group::{EntrySlot, Group};
use crate::{Engine, EngineError, LogEntry};
use bytes::{Bytes, BytesMut};
use ringfort_core::GroupId;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Recent entries kept in memory per group.
const CACHED_ENTRIES: usize = 256;

/// The Raft log, vote and marks of one group on this device. Cloning shares it.
#[derive(Clone)]
pub struct GroupLog {
    pub(crate) engine: Engine,
    pub(crate) group: Arc<Group>,
}

impl GroupLog {
    /// The group.
    #[must_use]
    pub fn group(&self) -> GroupId {
        self.group.id
    }

    /// Appends entries, which must follow the last one. Queued at once in the order of calls and readable at once; `done` is
    /// called on the device's thread after the sync, so it must be short and must not block.
    pub fn append(
        &self,
        entries: Vec<LogEntry>,
        done: impl FnOnce(Result<(), EngineError>) + Send + 'static,
    ) {
        let mut records = Vec::with_capacity(entries.len());
        let mut state = self.group.inner.lock();
        for entry in entries {
            let next = state.next_index();
            if next.is_some_and(|next| next != entry.index) {
                let last = state.last();
                drop(state);
                return done(Err(EngineError::LogOrder { group: self.group.id, index: entry.index, last }));
            }
            let payload = match <[Bytes; 1]>::try_from(entry.payload) {
                Ok([one]) => one,
                Err(parts) => {
                    let mut whole = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
                    parts.iter().for_each(|part| whole.extend_from_slice(part));
                    whole.freeze()
                }
            };
            let ticket = self.engine.inner.tickets.fetch_add(1, Ordering::Relaxed);
            let record = Record::plain(Kind::Entry, vec![payload.clone()]).of_group(
                &self.group,
                entry.index,
                entry.term,
            );
            let slot = EntrySlot {
                ticket,
                sequence: 0,
                pos: Pos::default(),
                length: record.header.length,
                durable: false,
                payload: Some(payload),
            };
            state.push(entry.index, slot);
            records.push((record, After::Entry { group: Arc::clone(&self.group), ticket }));
        }
        forget_old_payloads(&mut state.entries);
        // Sent under the lock: the order in the log is the order of the calls.
        self.engine.inner.submit(records, Box::new(done));
    }

    /// Saves the vote durably.
    pub fn save_vote(&self, vote: Bytes, done: impl FnOnce(Result<(), EngineError>) + Send + 'static) {
        let mut state = self.group.inner.lock();
        state.vote = Some(vote.clone());
        let record = Record::plain(Kind::Vote, vec![vote.clone()]).of_group(&self.group, 0, 0);
        self.engine.inner.submit(vec![(record, After::Vote(Arc::clone(&self.group), vote))], Box::new(done));
    }

    /// The last vote saved.
    #[must_use]
    pub fn vote(&self) -> Option<Bytes> {
        self.group.inner.lock().vote.clone()
    }

    /// Notes the committed position; not synced by itself, so a crash may bring back an older one.
    pub fn save_committed(&self, committed: Option<Bytes>) {
        self.group.inner.lock().committed = committed;
    }

    /// The committed position last noted.
    #[must_use]
    pub fn committed(&self) -> Option<Bytes> {
        self.group.inner.lock().committed.clone()
    }

    /// Drops the entries from `index` on, durably.
    pub fn truncate_from(&self, index: u64, done: impl FnOnce(Result<(), EngineError>) + Send + 'static) {
        let mut state = self.group.inner.lock();
        state.truncate_from(index);
        let record = Record::plain(Kind::Truncate, Vec::new()).of_group(&self.group, index, 0);
        self.engine.inner.submit(vec![(record, After::Truncate(Arc::clone(&self.group)))], Box::new(done));
    }

    /// Drops the entries up to `index`, durably; `mark` is returned by [`Self::purged`]. Refused above
    /// [`crate::GroupState::durable_applied`].
    pub fn purge_to(
        &self,
        index: u64,
        mark: Bytes,
        done: impl FnOnce(Result<(), EngineError>) + Send + 'static,
    ) {
        let mut state = self.group.inner.lock();
        if index > state.durable_applied {
            let durable = state.durable_applied;
            drop(state);
            return done(Err(EngineError::PurgeTooFar { group: self.group.id, index, durable }));
        }
        state.purge_to(index, mark.clone());
        let record = Record::plain(Kind::Purge, vec![mark.clone()]).of_group(&self.group, index, 0);
        self.engine.inner.submit(vec![(record, After::Purge(Arc::clone(&self.group), mark))], Box::new(done));
    }

    /// The greatest index purged and the mark given with it.
    #[must_use]
    pub fn purged(&self) -> Option<(u64, Bytes)> {
        self.group.inner.lock().purged.clone()
    }

    /// Index of the last entry; `None` if the log holds none (see [`Self::purged`]).
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.group.inner.lock().last()
    }

    /// Entries in `from..to`, as many as fit `bytes_max` but at least one. Recent ones come from memory; others are read from the
    /// disk, which blocks.
    pub fn read(&self, from: u64, to: u64, bytes_max: usize) -> Result<Vec<(u64, Bytes)>, EngineError> {
        let mut found = Vec::new();
        let mut bytes = 0;
        // A range that begins before what was purged gives what is left of it.
        let from = from.max(self.group.inner.lock().first);
        for index in from..to {
            let Some(slot) = self.group.inner.lock().slot(index).cloned() else { break };
            bytes += slot.length as usize;
            if bytes > bytes_max && !found.is_empty() {
                break;
            }
            found.push((index, self.payload(index, slot)?));
        }
        Ok(found)
    }

    /// The payload of an entry, from memory or from the log.
    fn payload(&self, index: u64, mut slot: EntrySlot) -> Result<Bytes, EngineError> {
        loop {
            if let Some(payload) = slot.payload {
                return Ok(payload);
            }
            if let Some(extent) = self.engine.inner.extents.get(slot.pos.extent) {
                return read_payload(&extent, self.group.id, &slot);
            }
            // Compaction moved it meanwhile.
            let again = self.group.inner.lock().slot(index).cloned();
            slot = again.filter(|now| now.pos != slot.pos).ok_or(EngineError::LogDamaged {
                group: self.group.id,
                extent: slot.pos.extent,
                offset: slot.pos.offset,
            })?;
        }
    }

    /// Waits until the entries up to `index` are durable here.
    pub async fn wait_durable(&self, index: u64) -> Result<(), EngineError> {
        loop {
            let notified = self.group.durable_async.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.group.inner.lock().is_durable(index)? {
                return Ok(());
            }
            notified.await;
        }
    }
}

fn forget_old_payloads(entries: &mut std::collections::VecDeque<EntrySlot>) {
    let old = entries.len().saturating_sub(CACHED_ENTRIES);
    for slot in entries.range_mut(..old).rev() {
        match slot.payload {
            None => break,
            Some(_) if slot.durable => slot.payload = None,
            Some(_) => {}
        }
    }
}

fn read_payload(
    extent: &crate::extents::Extent,
    group: GroupId,
    slot: &EntrySlot,
) -> Result<Bytes, EngineError> {
    let mut bytes = vec![0; HEADER_LEN + slot.length as usize];
    let read = extent
        .file
        .read_at(&mut bytes, u64::from(slot.pos.offset))
        .map_err(EngineError::io("read the log"))?;
    // The record's header was checked when its place was learnt; the payload is checked on every read.
    let stored = bytes.get(12..16).and_then(|crc| crc.try_into().ok()).map(u32::from_le_bytes);
    if read < bytes.len() || stored != Some(crc32fast::hash(&bytes[HEADER_LEN..])) {
        return Err(EngineError::LogDamaged { group, extent: slot.pos.extent, offset: slot.pos.offset });
    }
    Ok(Bytes::from(bytes).slice(HEADER_LEN..))
}
