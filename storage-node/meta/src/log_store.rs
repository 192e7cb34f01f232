//! openraft's log storage on the engine's log of one group.
//!
//! Entries go to the engine piece by piece, bodies uncopied, and the flush callback runs on the device's thread after the
//! sync. The newest entries stay here decoded, so that applying and replicating them costs no read and no decoding.

use crate::proposal::{PayloadError, Proposal};
use crate::raft_types::{
    Entry, RaftLogId, RaftVote, StorageError, Types, decode_entry, decode_mark, decode_vote, encode_mark,
    encode_vote, entry_pieces, is_batch, payload_log_id,
};
use bytes::Bytes;
use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{
    AnyError, EntryPayload, ErrorSubject, ErrorVerb, OptionalSend, RaftLogReader, StorageIOError,
};
use parking_lot::Mutex;
use ringfort_core::VoterId;
use ringfort_engine::{Engine, EngineError, GroupLog, GroupState, LogEntry};
use ringfort_runtime::{TaskGroup, boot_time};
use std::collections::VecDeque;
use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Bytes of applied entries kept decoded for followers.
const APPLIED_BYTES_KEPT: usize = 256 << 10;
/// Bytes of entries kept decoded in all; what falls out is read from the engine.
const RECENT_BYTES_MAX: usize = 8 << 20;
/// Bytes of one read of the engine's log, and of what one message to a follower carries.
pub(crate) const READ_BYTES: usize = 2 << 20;
/// Bytes of commands that entries read to be applied have in memory; those behind them are left in the log until their turn.
const COMMAND_BYTES_MAX: usize = 4 << 20;
/// How often an append looks whether the snapshot before it is installed, and for how long at most.
const INSTALL_POLL: Duration = Duration::from_millis(5);
const INSTALL_WAIT: Duration = Duration::from_secs(600);
/// The grain of [`LogSize`].
const MARK_BYTES: u64 = 1 << 20;

type Flushed = oneshot::Receiver<Result<(), EngineError>>;

/// The log of one voter.
#[derive(Clone)]
pub(crate) struct LogStore {
    owner: VoterId,
    engine: Engine,
    log: GroupLog,
    state: GroupState,
    recent: Arc<Mutex<Recent>>,
    /// The log up to here is replaced by a snapshot that was still being installed when openraft asked for the purge.
    replaced: Option<RaftLogId>,
    tasks: TaskGroup,
}

/// The newest entries, decoded, and how much was appended.
#[derive(Default)]
pub(crate) struct Recent {
    entries: VecDeque<(Entry, usize)>,
    bytes: usize,
    applied: u64,
    size: LogSize,
}

/// Which entry lies how many bytes back, by the mebibyte.
#[derive(Default)]
struct LogSize {
    total: u64,
    marks: VecDeque<(u64, u64)>,
}

impl Recent {
    fn push(&mut self, entry: Entry, len: usize) {
        let index = entry.log_id.index;
        if self.entries.back().is_some_and(|(last, _)| last.log_id.index + 1 != index) {
            self.entries.clear();
            self.bytes = 0;
        }
        self.entries.push_back((entry, len));
        self.bytes += len;
        self.size.total += len as u64;
        if self.size.marks.back().is_none_or(|(_, at)| self.size.total - at >= MARK_BYTES) {
            self.size.marks.push_back((index, self.size.total));
        }
        self.trim();
    }

    fn trim(&mut self) {
        while let Some((first, len)) = self.entries.front() {
            let applied = first.log_id.index <= self.applied;
            if self.bytes <= if applied { APPLIED_BYTES_KEPT } else { RECENT_BYTES_MAX } {
                break;
            }
            self.bytes -= len;
            self.entries.pop_front();
        }
    }

    /// Entries up to `index` are applied and may be let go.
    pub(crate) fn applied(&mut self, index: u64) {
        self.applied = index;
        self.trim();
    }

    /// The greatest index known to lie at least `tail_bytes` behind the end of the log.
    pub(crate) fn index_behind(&mut self, tail_bytes: u64) -> Option<u64> {
        let limit = self.size.total.checked_sub(tail_bytes)?;
        let mut found = None;
        while let Some(&(index, at)) = self.size.marks.front()
            && at <= limit
        {
            found = Some(index);
            self.size.marks.pop_front();
        }
        found
    }

    fn truncate(&mut self, index: u64) {
        while let Some((_, len)) = self.entries.pop_back_if(|(last, _)| last.log_id.index >= index) {
            self.bytes -= len;
        }
        self.size.marks.retain(|(at, _)| *at < index);
    }

    fn purge(&mut self, index: u64) {
        while let Some((_, len)) = self.entries.pop_front_if(|(first, _)| first.log_id.index <= index) {
            self.bytes -= len;
        }
    }

    /// The entries in `from..to`, if all of them are here.
    fn get(&self, from: u64, to: u64, bytes_max: usize) -> Option<Vec<Entry>> {
        let first = self.entries.front()?.0.log_id.index;
        let start = usize::try_from(from.checked_sub(first)?).ok()?;
        let end = usize::try_from(to.checked_sub(first)?).ok()?;
        if end > self.entries.len() || start >= end {
            return None;
        }
        let mut bytes = 0;
        let fits = |(_, len): &&(Entry, usize)| {
            bytes += len;
            bytes <= bytes_max || bytes == *len
        };
        Some(self.entries.range(start..end).take_while(fits).map(|(entry, _)| entry.clone()).collect())
    }
}

impl LogStore {
    pub(crate) fn new(
        owner: VoterId,
        engine: Engine,
        log: GroupLog,
        state: GroupState,
        tasks: TaskGroup,
    ) -> Self {
        Self { owner, engine, log, state, recent: Arc::default(), replaced: None, tasks }
    }

    /// The newest entries, shared with the state machine and the purger.
    pub(crate) fn recent(&self) -> Arc<Mutex<Recent>> {
        self.recent.clone()
    }

    /// Reads `from..to` from the engine, on the blocking pool. Without bodies the result is small whatever the range
    /// (`COMMAND_BYTES_MAX`).
    #[allow(clippy::result_large_err, reason = "openraft's error type")]
    async fn read(&self, from: u64, to: u64, bodies: bool, all: bool) -> Result<Vec<Entry>, StorageError> {
        let log = self.log.clone();
        let work = move || {
            let mut entries = Vec::new();
            let mut next = from;
            let mut room = COMMAND_BYTES_MAX;
            while next < to {
                let page = log.read(next, to, READ_BYTES).map_err(|error| failed(ErrorVerb::Read, &error))?;
                let Some((last, _)) = page.last() else { break };
                next = last + 1;
                for (index, payload) in &page {
                    let entry = match bodies {
                        true => decode_entry(*index, payload),
                        false => decode_to_apply(*index, payload, &mut room),
                    };
                    entries.push(entry.map_err(|error| damaged(&error))?);
                }
                if !all {
                    break;
                }
            }
            Ok(entries)
        };
        match self.tasks.spawn_blocking(work).await {
            Ok(result) => result,
            Err(error) => {
                Err(StorageIOError::new(ErrorSubject::Logs, ErrorVerb::Read, AnyError::new(&error)).into())
            }
        }
    }

    /// Drops the log that a snapshot has replaced: only then does what follows the snapshot fit the log. Waits until it is
    /// installed, which it is unless a new leader was faster.
    async fn drop_replaced(&mut self) -> Result<(), StorageError> {
        let Some(log_id) = self.replaced.take() else { return Ok(()) };
        let deadline = boot_time() + INSTALL_WAIT;
        while self.state.durable_applied() < log_id.index && boot_time() < deadline {
            tokio::time::sleep(INSTALL_POLL).await;
        }
        let (done, waiting) = oneshot::channel();
        self.log.purge_to(log_id.index, encode_mark(&log_id), move |result| drop(done.send(result)));
        self.written(waiting, ErrorSubject::Logs).await
    }

    async fn written(&self, done: Flushed, subject: ErrorSubject<u64>) -> Result<(), StorageError> {
        let result = done.await.unwrap_or(Err(EngineError::Closed));
        result.map_err(|error| StorageIOError::new(subject, ErrorVerb::Write, AnyError::new(&error)).into())
    }
}

/// An entry without bodies, or as no more than a stand-in when `room` for commands is used up.
fn decode_to_apply(index: u64, payload: &Bytes, room: &mut usize) -> Result<Entry, PayloadError> {
    if *room == 0 && is_batch(payload)? {
        let log_id = payload_log_id(index, payload)?;
        return Ok(Entry { log_id, payload: EntryPayload::Normal(Proposal::left_in_log()) });
    }
    let mut entry = decode_entry(index, payload)?;
    if let EntryPayload::Normal(proposal) = &entry.payload {
        *room = room.saturating_sub(proposal.head_len());
        entry.payload = EntryPayload::Normal(proposal.without_bodies());
    }
    Ok(entry)
}

fn failed(verb: ErrorVerb, error: &EngineError) -> StorageError {
    StorageIOError::new(ErrorSubject::Logs, verb, AnyError::new(error)).into()
}

fn damaged(error: &PayloadError) -> StorageError {
    StorageIOError::new(ErrorSubject::Logs, ErrorVerb::Read, AnyError::new(error)).into()
}

fn limits(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(from) => *from,
        Bound::Excluded(before) => before + 1,
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(last) => last + 1,
        Bound::Excluded(to) => *to,
        Bound::Unbounded => u64::MAX,
    };
    (from, to)
}

/// What openraft reads to apply: bodies are left out, because the state machine adopts them by position.
impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        let (from, to) = limits(&range);
        let recent = self.recent.lock().get(from, to, usize::MAX);
        match recent {
            Some(entries) => Ok(entries),
            None => self.read(from, to, false, true).await,
        }
    }
}

/// What openraft reads to replicate.
pub(crate) struct Replicated(LogStore);

impl RaftLogReader<Types> for Replicated {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        let (from, to) = limits(&range);
        let recent = self.0.recent.lock().get(from, to, usize::MAX);
        match recent {
            Some(entries) => Ok(entries),
            None => self.0.read(from, to, true, true).await,
        }
    }

    async fn limited_get_log_entries(&mut self, from: u64, to: u64) -> Result<Vec<Entry>, StorageError> {
        let recent = self.0.recent.lock().get(from, to, READ_BYTES);
        let mut entries = match recent {
            Some(entries) => entries,
            None => self.0.read(from, to, true, false).await?,
        };
        // A message has to go on where the last one ended; what was purged meanwhile is for a snapshot.
        if entries.first().is_some_and(|first| first.log_id.index != from) {
            entries.clear();
        }
        Ok(entries)
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Replicated;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError> {
        let purged = match self.log.purged() {
            Some((_, mark)) => Some(decode_mark(&mark).map_err(|error| damaged(&error))?),
            None => None,
        };
        let last_log_id = match self.log.last() {
            Some(index) => Some(self.log_id_at(index).await?),
            None => purged,
        };
        Ok(LogState { last_purged_log_id: purged, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Replicated {
        Replicated(self.clone())
    }

    async fn save_vote(&mut self, vote: &RaftVote) -> Result<(), StorageError> {
        let (done, waiting) = oneshot::channel();
        self.log.save_vote(encode_vote(self.owner, vote), move |result| drop(done.send(result)));
        self.written(waiting, ErrorSubject::Vote).await
    }

    async fn read_vote(&mut self) -> Result<Option<RaftVote>, StorageError> {
        match self.log.vote() {
            Some(bytes) => Ok(Some(decode_vote(&bytes).map_err(|error| damaged(&error))?.1)),
            None => Ok(None),
        }
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        self.drop_replaced().await?;
        let mut records = Vec::new();
        {
            let mut recent = self.recent.lock();
            for entry in entries {
                let payload = entry_pieces(&entry);
                let len = payload.iter().map(Bytes::len).sum();
                records.push(LogEntry {
                    index: entry.log_id.index,
                    term: entry.log_id.leader_id.term,
                    payload,
                });
                recent.push(entry, len);
            }
        }
        self.log
            .append(records, move |result| callback.log_io_completed(result.map_err(std::io::Error::other)));
        Ok(())
    }

    async fn truncate(&mut self, log_id: RaftLogId) -> Result<(), StorageError> {
        self.recent.lock().truncate(log_id.index);
        let (done, waiting) = oneshot::channel();
        self.log.truncate_from(log_id.index, move |result| drop(done.send(result)));
        self.written(waiting, ErrorSubject::Logs).await
    }

    async fn purge(&mut self, log_id: RaftLogId) -> Result<(), StorageError> {
        if self.state.durable_applied() < log_id.index {
            self.engine.checkpoint().await.map_err(|error| failed(ErrorVerb::Delete, &error))?;
        }
        self.recent.lock().purge(log_id.index);
        let (done, waiting) = oneshot::channel();
        self.log.purge_to(log_id.index, encode_mark(&log_id), move |result| drop(done.send(result)));
        match waiting.await.unwrap_or(Err(EngineError::Closed)) {
            // openraft asks while a snapshot is being installed; its place in the log is made when something follows it.
            Err(EngineError::PurgeTooFar { .. })
                if self.log.last().is_none_or(|last| last < log_id.index) =>
            {
                self.replaced = Some(log_id);
                Ok(())
            }
            // Nothing is lost by keeping entries that openraft no longer asks for.
            Err(EngineError::PurgeTooFar { index, durable, .. }) => {
                tracing::warn!(index, durable, "the log keeps entries that are not durable in the state yet");
                Ok(())
            }
            result => result.map_err(|error| failed(ErrorVerb::Delete, &error)),
        }
    }
}

impl LogStore {
    async fn log_id_at(&self, index: u64) -> Result<RaftLogId, StorageError> {
        if let Some(entries) = self.recent.lock().get(index, index + 1, usize::MAX) {
            return Ok(entries[0].log_id);
        }
        let log = self.log.clone();
        let read = self.tasks.spawn_blocking(move || log.read(index, index + 1, 1)).await;
        let page =
            read.unwrap_or(Err(EngineError::Closed)).map_err(|error| failed(ErrorVerb::Read, &error))?;
        let (index, payload) = page.first().ok_or_else(|| damaged(&PayloadError::Truncated))?;
        payload_log_id(*index, payload).map_err(|error| damaged(&error))
    }
}
