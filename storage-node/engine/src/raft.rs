//! The log of one group.

use crate::engine::Inner;
use crate::format::{Decoded, HEADER_LEN, Kind, Pos, RecordHeader, Salt};
use crate::group::{EntrySlot, Group, GroupInner};
use crate::queue::{Done, Pending, Request};
use crate::writer::payload_max;
use crate::{Engine, EngineError, LogEntry};
use bytes::Bytes;
use ringfort_core::GroupId;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Most bytes of a vote or of the mark of a purge: they are kept in memory and in the index too.
const MARK_BYTES_MAX: usize = 8 << 10;

/// The Raft log, vote and marks of one group on this device. Cloning shares it.
///
/// What is written is visible to the reads of this type at once, and durable when `done` is called.
#[derive(Clone)]
pub struct GroupLog {
    pub(crate) engine: Engine,
    pub(crate) shared: Arc<Group>,
}

impl GroupLog {
    /// The group.
    #[must_use]
    pub fn group(&self) -> GroupId {
        self.shared.id
    }

    /// Appends entries, which must follow the last one. Queued at once in the order of calls and readable at once; `done` is
    /// called on the device's thread after the sync, so it must be short and must not block.
    pub fn append(
        &self,
        entries: Vec<LogEntry>,
        done: impl FnOnce(Result<(), EngineError>) + Send + 'static,
    ) {
        let inner = self.engine.inner();
        let done: Done = Box::new(done);
        let max = payload_max(inner.extents.extent_bytes());
        let mut group = self.shared.inner.lock();
        if group.removing {
            drop(group);
            return done(Err(EngineError::Busy));
        }
        let mut next = group.next_index();
        for entry in &entries {
            let len: u64 = entry.payload.iter().map(|piece| piece.len() as u64).sum();
            let error = if next.is_some_and(|next| next != entry.index) {
                EngineError::LogOrder { group: self.shared.id, index: entry.index, last: group.last() }
            } else if len > max {
                EngineError::TooLarge { len, max }
            } else {
                next = Some(entry.index + 1);
                continue;
            };
            drop(group);
            return done(Err(error));
        }
        let was = group.next_index();
        let pending: Vec<Pending> = entries.into_iter().map(|entry| self.pending(entry)).collect();
        let request = Request::Append { group: Arc::clone(&self.shared), entries: pending, done };
        // The group stays locked while the request is queued: the queue has the order of the log.
        match inner.queue.push(with_slots(&mut group, request)) {
            Ok(()) => {}
            Err((request, error)) => {
                match (was, &request) {
                    (Some(was), _) => group.truncate_from(was),
                    (None, _) => group.entries.clear(),
                }
                drop(group);
                request.finish(Err(inner.failure().unwrap_or(error)));
            }
        }
    }

    fn pending(&self, entry: LogEntry) -> Pending {
        let ticket = self.engine.inner().tickets.fetch_add(1, Ordering::Relaxed);
        let payload = match <[Bytes; 1]>::try_from(entry.payload) {
            Ok([piece]) => piece,
            Err(pieces) => pieces.concat().into(),
        };
        Pending { index: entry.index, term: entry.term, ticket, payload }
    }

    /// Saves the vote durably.
    pub fn save_vote(&self, vote: Bytes, done: impl FnOnce(Result<(), EngineError>) + Send + 'static) {
        let mut group = self.shared.inner.lock();
        if let Err(error) = self.takes_mark(&group, &vote) {
            drop(group);
            return done(Err(error));
        }
        let before = group.vote.replace(vote.clone());
        if let Err((request, error)) = self.push_mark(Kind::Vote, 0, vote, Box::new(done)) {
            group.vote = before;
            drop(group);
            request.finish(Err(error));
        }
    }

    /// Whether a vote, purge or truncation can be taken now.
    fn takes_mark(&self, group: &GroupInner, bytes: &Bytes) -> Result<(), EngineError> {
        if group.removing {
            return Err(EngineError::Busy);
        }
        match bytes.len() {
            len if len > MARK_BYTES_MAX => {
                Err(EngineError::TooLarge { len: len as u64, max: MARK_BYTES_MAX as u64 })
            }
            _ => Ok(()),
        }
    }

    fn push_mark(
        &self,
        kind: Kind,
        index: u64,
        bytes: Bytes,
        done: Done,
    ) -> Result<(), (Request, EngineError)> {
        let inner = self.engine.inner();
        inner
            .queue
            .push(Request::Mark { group: Arc::clone(&self.shared), kind, index, bytes, done })
            .map_err(|(request, error)| (request, inner.failure().unwrap_or(error)))
    }

    /// The last vote saved.
    #[must_use]
    pub fn vote(&self) -> Option<Bytes> {
        self.shared.inner.lock().vote.clone()
    }

    /// Notes the committed position; not synced by itself, so a crash may bring back an older one.
    pub fn save_committed(&self, committed: Option<Bytes>) {
        self.shared.inner.lock().committed = committed;
    }

    /// The committed position last noted.
    #[must_use]
    pub fn committed(&self) -> Option<Bytes> {
        self.shared.inner.lock().committed.clone()
    }

    /// Drops the entries from `index` on, durably.
    pub fn truncate_from(&self, index: u64, done: impl FnOnce(Result<(), EngineError>) + Send + 'static) {
        let mut group = self.shared.inner.lock();
        if let Err(error) = self.takes_mark(&group, &Bytes::new()) {
            drop(group);
            return done(Err(error));
        }
        // Never beyond the end: the record of this truncation takes the place of that of the last one.
        let index = group.next_index().map_or(index, |next| index.min(next));
        match self.push_mark(Kind::Truncate, index, Bytes::new(), Box::new(done)) {
            Ok(()) => {
                group.truncate_from(index);
                // Whoever waits for an entry that is gone looks again.
                self.shared.wake();
            }
            Err((request, error)) => {
                drop(group);
                request.finish(Err(error));
            }
        }
    }

    /// Drops the entries up to `index`, durably; `mark` is returned by [`Self::purged`]. Refused above
    /// [`crate::GroupState::durable_applied`].
    pub fn purge_to(
        &self,
        index: u64,
        mark: Bytes,
        done: impl FnOnce(Result<(), EngineError>) + Send + 'static,
    ) {
        let mut group = self.shared.inner.lock();
        if index > group.durable_applied {
            let error =
                EngineError::PurgeTooFar { group: self.shared.id, index, durable: group.durable_applied };
            drop(group);
            return done(Err(error));
        }
        if group.purged.as_ref().is_some_and(|(purged, _)| *purged >= index) {
            drop(group);
            return done(Ok(()));
        }
        if let Err(error) = self.takes_mark(&group, &mark) {
            drop(group);
            return done(Err(error));
        }
        match self.push_mark(Kind::Purge, index, mark.clone(), Box::new(done)) {
            Ok(()) => group.purge_to(index, mark),
            Err((request, error)) => {
                drop(group);
                request.finish(Err(error));
            }
        }
    }

    /// The greatest index purged and the mark given with it.
    #[must_use]
    pub fn purged(&self) -> Option<(u64, Bytes)> {
        self.shared.inner.lock().purged.clone()
    }

    /// Index of the last entry; `None` if the log holds none (see [`Self::purged`]).
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.shared.inner.lock().last()
    }

    /// Entries in `from..to`, as many as fit `bytes_max` but at least one; what lies before the first entry of the log is left out.
    /// Recent ones come from memory; others are read from the disk, which blocks.
    pub fn read(&self, from: u64, to: u64, bytes_max: usize) -> Result<Vec<(u64, Bytes)>, EngineError> {
        let mut out = Vec::new();
        let mut bytes = 0;
        let first = {
            let group = self.shared.inner.lock();
            if group.entries.is_empty() { to } else { group.first }
        };
        for index in from.max(first)..to {
            let Some(payload) = entry_payload(self.engine.inner(), &self.shared, index)? else { break };
            bytes += payload.len();
            if !out.is_empty() && bytes > bytes_max {
                break;
            }
            out.push((index, payload));
        }
        Ok(out)
    }

    /// Waits until the entries up to `index` are durable here, as far as the log holds them.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn wait_durable(&self, index: u64) -> Result<(), EngineError> {
        loop {
            let told = self.shared.durable_async.notified();
            tokio::pin!(told);
            told.as_mut().enable();
            if self.shared.inner.lock().is_durable(index)? {
                return Ok(());
            }
            told.await;
        }
    }
}

/// Notes the entries of an append in memory.
fn with_slots(group: &mut GroupInner, request: Request) -> Request {
    if let Request::Append { entries, .. } = &request {
        for entry in entries {
            let slot = EntrySlot {
                ticket: entry.ticket,
                sequence: 0,
                pos: Pos::default(),
                length: u32::try_from(entry.payload.len()).unwrap_or(u32::MAX),
                durable: false,
                payload: Some(entry.payload.clone()),
            };
            group.push(entry.index, slot);
        }
    }
    request
}

/// The payload of an entry, from memory or the disk; `None` if the log does not hold it.
pub(crate) fn entry_payload(inner: &Inner, group: &Group, index: u64) -> Result<Option<Bytes>, EngineError> {
    loop {
        let slot = match group.inner.lock().slot(index) {
            None => return Ok(None),
            Some(EntrySlot { payload: Some(payload), .. }) => return Ok(Some(payload.clone())),
            Some(slot) => slot.clone(),
        };
        match read_record(inner, Kind::Entry, group.id, slot.pos, slot.sequence, slot.length) {
            Some(payload) => return Ok(Some(payload)),
            // Moved by compaction meanwhile, or truncated: look again.
            None if group.inner.lock().slot(index).is_none_or(|now| now.pos != slot.pos) => {}
            None => {
                return Err(EngineError::LogDamaged {
                    group: group.id,
                    extent: slot.pos.extent,
                    offset: slot.pos.offset,
                });
            }
        }
    }
}

/// Reads a record of a group that has to be at `pos`; `None` if it is not, or is damaged.
pub(crate) fn read_record(
    inner: &Inner,
    kind: Kind,
    group: GroupId,
    pos: Pos,
    sequence: u64,
    length: u32,
) -> Option<Bytes> {
    let extent = inner.extents.get(pos.extent)?;
    let mut raw = vec![0; HEADER_LEN + length as usize];
    let read = extent.file.read_at(&mut raw, u64::from(pos.offset)).ok()?;
    let salt = Salt { log: inner.log, extent: pos.extent };
    let Decoded::Record(header) = RecordHeader::decode(salt, pos.offset, &raw) else { return None };
    let mut raw = Bytes::from(raw);
    let payload = raw.split_off(HEADER_LEN);
    let matches = read == HEADER_LEN + payload.len()
        && (header.kind, header.group, header.sequence, header.length) == (kind, group.0, sequence, length)
        && header.payload_crc == crc32fast::hash(&payload);
    matches.then_some(payload)
}
