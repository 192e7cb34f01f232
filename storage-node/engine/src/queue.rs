//! The queue in front of a device's writer thread.
//!
//! Bodies wait outside for their share of the bytes (a semaphore); log records never wait, because their order is the order
//! of the calls: a queue that is full of them refuses.

use crate::EngineError;
use crate::format::{ChunkEntry, Kind, Owner, Target};
use crate::group::Group;
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use ringfort_core::ChunkKey;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Called once with the outcome, on the writer thread.
pub(crate) type Done = Box<dyn FnOnce(Result<(), EngineError>) + Send>;

/// Most bytes that log records may have in the queue.
const QUEUE_BYTES_MAX: usize = 256 << 20;
/// Most requests in the queue.
const QUEUE_LEN_MAX: usize = 64 << 10;

/// How a body is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PutMode {
    /// A new chunk; other content under the same name is a conflict.
    New,
    /// Over whatever is there; an inline body only while its group has it.
    Replace,
    /// An inline body of a state that is being replaced.
    Install,
}

/// A body to store, hashed and ready.
pub(crate) struct Put {
    pub(crate) key: ChunkKey,
    pub(crate) owner: Owner,
    pub(crate) mode: PutMode,
    pub(crate) table: Vec<u32>,
    pub(crate) body: Vec<Bytes>,
    pub(crate) body_len: u32,
    pub(crate) done: Done,
}

/// One entry to append.
pub(crate) struct Pending {
    pub(crate) index: u64,
    pub(crate) term: u64,
    pub(crate) ticket: u64,
    pub(crate) payload: Bytes,
}

/// A record that compaction moves.
pub(crate) enum Move {
    /// A body; the entry is the one it has now.
    Body { key: ChunkKey, entry: ChunkEntry, table: Vec<u32>, body: Bytes },
    /// A delete record.
    Delete { target: Target, sequence: u64 },
    /// A log entry.
    Entry { group: Arc<Group>, index: u64, sequence: u64, payload: Bytes },
    /// A vote, purge or truncation.
    Mark { group: Arc<Group>, kind: Kind, sequence: u64, index: u64, bytes: Bytes },
}

/// Something for the writer to do.
pub(crate) enum Request {
    Put(Box<Put>),
    Delete {
        target: Target,
        done: Done,
    },
    Append {
        group: Arc<Group>,
        entries: Vec<Pending>,
        done: Done,
    },
    /// A vote, purge or truncation.
    Mark {
        group: Arc<Group>,
        kind: Kind,
        index: u64,
        bytes: Bytes,
        done: Done,
    },
    RemoveGroup {
        group: Arc<Group>,
        done: Done,
    },
    Move {
        items: Vec<Move>,
        done: Done,
    },
}

impl Request {
    pub(crate) fn bytes(&self) -> usize {
        128 + match self {
            Self::Put(put) => put.body_len as usize,
            Self::Append { entries, .. } => entries.iter().map(|entry| entry.payload.len() + 64).sum(),
            Self::Mark { bytes, .. } => bytes.len(),
            Self::Delete { .. } | Self::RemoveGroup { .. } => 0,
            Self::Move { items, .. } => items
                .iter()
                .map(|item| match item {
                    Move::Body { body, .. } => body.len(),
                    Move::Entry { payload, .. } => payload.len(),
                    Move::Delete { .. } | Move::Mark { .. } => 64,
                })
                .sum(),
        }
    }

    pub(crate) fn finish(self, result: Result<(), EngineError>) {
        match self {
            Self::Put(put) => (put.done)(result),
            Self::Delete { done, .. }
            | Self::Append { done, .. }
            | Self::Mark { done, .. }
            | Self::RemoveGroup { done, .. }
            | Self::Move { done, .. } => done(result),
        }
    }
}

#[derive(Default)]
struct Waiting {
    requests: VecDeque<Request>,
    bytes: usize,
    closed: Option<EngineError>,
    asleep: bool,
}

/// The queue.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    ready: Condvar,
}

/// What the writer got.
pub(crate) enum Taken {
    Some,
    Idle,
    Closed,
}

impl Queue {
    /// Adds a request, or gives it back with the reason.
    pub(crate) fn push(&self, request: Request) -> Result<(), (Request, EngineError)> {
        let mut waiting = self.waiting.lock();
        if let Some(error) = &waiting.closed {
            let error = error.clone();
            return Err((request, error));
        }
        let bytes = request.bytes();
        if !waiting.requests.is_empty()
            && (waiting.bytes + bytes > QUEUE_BYTES_MAX || waiting.requests.len() >= QUEUE_LEN_MAX)
        {
            return Err((request, EngineError::Busy));
        }
        waiting.bytes += bytes;
        waiting.requests.push_back(request);
        if waiting.asleep {
            waiting.asleep = false;
            drop(waiting);
            self.ready.notify_one();
        }
        Ok(())
    }

    /// Moves waiting requests into `batch`, up to about `bytes_max`; waits for the first one, at most for `idle`.
    pub(crate) fn take(&self, batch: &mut Vec<Request>, bytes_max: usize, idle: Duration) -> Taken {
        let mut waiting = self.waiting.lock();
        if waiting.requests.is_empty() {
            if waiting.closed.is_some() {
                return Taken::Closed;
            }
            waiting.asleep = true;
            self.ready.wait_for(&mut waiting, idle);
            waiting.asleep = false;
        }
        let mut bytes = 0;
        while let Some(next) = waiting.requests.front() {
            let len = next.bytes();
            if !batch.is_empty() && bytes + len > bytes_max {
                break;
            }
            bytes += len;
            waiting.bytes -= len;
            batch.extend(waiting.requests.pop_front());
        }
        match (batch.is_empty(), &waiting.closed) {
            (false, _) => Taken::Some,
            (true, Some(_)) => Taken::Closed,
            (true, None) => Taken::Idle,
        }
    }

    /// Requests that wait, and their bytes.
    pub(crate) fn depth(&self) -> (usize, usize) {
        let waiting = self.waiting.lock();
        (waiting.requests.len(), waiting.bytes)
    }

    /// Refuses further requests; those that wait are still served.
    pub(crate) fn close(&self, error: EngineError) {
        self.waiting.lock().closed.get_or_insert(error);
        self.ready.notify_all();
    }

    /// Refuses further requests and answers those that wait with `error`.
    pub(crate) fn fail(&self, error: &EngineError) {
        self.close(error.clone());
        let requests = {
            let mut waiting = self.waiting.lock();
            waiting.bytes = 0;
            std::mem::take(&mut waiting.requests)
        };
        requests.into_iter().for_each(|request| request.finish(Err(error.clone())));
    }
}
