//! Chunks that a reader found to be less than whole, waiting to be repaired.
//!
//! Bounded: when it is full, further finds are dropped and counted, since the periodic repair and scrub meet them again.
//! Coalesced: a chunk that is read a thousand times while damaged waits once.

use parking_lot::Mutex;
use ringfort_core::BlobId;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use tokio::sync::Notify;

/// Most chunks that wait.
const QUEUE_MAX: usize = 4096;

/// A chunk to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RepairRequest {
    /// Id of the policy.
    pub policy: u16,
    /// The blob.
    pub blob: BlobId,
    /// The chunk's number.
    pub number: u32,
    /// Its length.
    pub len: u32,
    /// Whether the pieces shall be read in full and verified, rather than only looked for.
    pub verify: bool,
}

#[derive(Debug, Default)]
struct Waiting {
    order: VecDeque<RepairRequest>,
    known: HashSet<RepairRequest>,
    dropped: u64,
}

/// The queue. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct RepairQueue {
    waiting: Arc<Mutex<Waiting>>,
    wake: Arc<Notify>,
}

impl RepairQueue {
    /// Queues a chunk unless it waits already or the queue is full.
    pub fn push(&self, request: RepairRequest) {
        let mut waiting = self.waiting.lock();
        if waiting.known.contains(&request) {
            return;
        }
        if waiting.order.len() >= QUEUE_MAX {
            waiting.dropped += 1;
            return;
        }
        waiting.known.insert(request);
        waiting.order.push_back(request);
        drop(waiting);
        self.wake.notify_one();
    }

    /// The next chunk, without waiting.
    #[must_use]
    pub fn try_pop(&self) -> Option<RepairRequest> {
        let mut waiting = self.waiting.lock();
        let request = waiting.order.pop_front()?;
        waiting.known.remove(&request);
        Some(request)
    }

    /// Waits until something may be in the queue.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn wait(&self) {
        if self.is_empty() {
            self.wake.notified().await;
        }
    }

    /// Chunks that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.lock().order.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Finds dropped because the queue was full, since the last call: a reason to run a full pass.
    #[must_use]
    pub fn take_dropped(&self) -> u64 {
        std::mem::take(&mut self.waiting.lock().dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coalesced_and_bounded() {
        let queue = RepairQueue::default();
        let request = |number| RepairRequest {
            policy: 0,
            blob: BlobId::from_bytes([1; 16]),
            number,
            len: 9,
            verify: false,
        };
        for number in 0..5000 {
            queue.push(request(number));
            queue.push(request(number));
        }
        assert_eq!(queue.len(), QUEUE_MAX);
        assert!(queue.take_dropped() > 0);
        assert_eq!(queue.try_pop(), Some(request(0)));
        queue.push(request(0));
        assert_eq!(queue.len(), QUEUE_MAX);
    }
}
