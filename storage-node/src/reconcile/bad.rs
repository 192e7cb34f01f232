//! Chunks known to be damaged or unreadable, until a repair made them good or their blob went.
//!
//! The repair queue forgets what it handed out, and drops what does not fit; this is what remains to be done, and what
//! `status` counts. Bounded: finds that do not fit call for another scrub once there is room.

use parking_lot::Mutex;
use ringfort_core::BlobId;
use ringfort_storage_client::RepairRequest;
use std::collections::HashMap;

/// Most chunks remembered.
const KNOWN_MAX: usize = 65_536;

#[derive(Clone, Copy, Debug)]
struct Bad {
    request: RepairRequest,
    /// Pieces of it that failed their checksums, as far as was told.
    damaged: u32,
    /// Too few good pieces are left among the devices that answer.
    unreadable: bool,
}

#[derive(Debug, Default)]
struct Known {
    chunks: HashMap<(BlobId, u32), Bad>,
    overflowed: bool,
}

/// The chunks known to be bad.
#[derive(Debug, Default)]
pub(crate) struct BadChunks(Mutex<Known>);

impl BadChunks {
    /// A piece of the chunk failed its checksum.
    pub(crate) fn damaged(&self, request: RepairRequest) {
        self.note(request, |bad| bad.damaged += 1);
    }

    /// The chunk could not be repaired: so many pieces are damaged, and perhaps it cannot even be read.
    pub(crate) fn not_repaired(&self, request: RepairRequest, damaged: u32, unreadable: bool) {
        self.note(request, |bad| (bad.damaged, bad.unreadable) = (damaged, unreadable));
    }

    fn note(&self, request: RepairRequest, change: impl FnOnce(&mut Bad)) {
        let mut known = self.0.lock();
        let key = (request.blob, request.number);
        if known.chunks.len() >= KNOWN_MAX && !known.chunks.contains_key(&key) {
            known.overflowed = true;
            return;
        }
        let fresh = Bad { request, damaged: 0, unreadable: false };
        let bad = known.chunks.entry(key).or_insert(fresh);
        bad.request.verify |= request.verify;
        change(bad);
    }

    /// The chunk's blob is wanted no more.
    pub(crate) fn gone(&self, request: &RepairRequest) {
        self.0.lock().chunks.remove(&(request.blob, request.number));
    }

    /// The chunk has all its pieces; they are known to be good only if the request was to verify them.
    pub(crate) fn repaired(&self, request: &RepairRequest) {
        let mut known = self.0.lock();
        let key = (request.blob, request.number);
        if known.chunks.get(&key).is_some_and(|bad| request.verify || !bad.request.verify) {
            known.chunks.remove(&key);
        }
    }

    /// Damaged pieces and unreadable chunks.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let known = self.0.lock();
        let damaged = known.chunks.values().map(|bad| u64::from(bad.damaged)).sum();
        (damaged, known.chunks.values().filter(|bad| bad.unreadable).count() as u64)
    }

    /// What is to be tried again.
    pub(crate) fn requests(&self) -> Vec<RepairRequest> {
        self.0.lock().chunks.values().map(|bad| bad.request).collect()
    }

    /// Whether finds were dropped and there is room for them now.
    pub(crate) fn wants_scrub(&self) -> bool {
        let mut known = self.0.lock();
        let wanted = known.overflowed && known.chunks.len() < KNOWN_MAX / 2;
        known.overflowed &= !wanted;
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfort_core::{SessionId, SlotId};

    fn request(counter: u64) -> RepairRequest {
        let blob = BlobId::new(SlotId(1), SessionId(1), counter);
        RepairRequest { policy: 0, blob, number: 0, len: 1, verify: true }
    }

    #[test]
    fn what_is_bad_is_counted_until_it_is_settled() {
        let bad = BadChunks::default();
        bad.damaged(request(1));
        bad.damaged(request(1));
        bad.damaged(request(2));
        assert_eq!(bad.counts(), (3, 0));
        bad.not_repaired(request(1), 2, true);
        assert_eq!((bad.counts(), bad.requests().len()), ((3, 1), 2));
        bad.repaired(&RepairRequest { verify: false, ..request(1) });
        assert_eq!(bad.counts(), (3, 1), "that its pieces are there does not say that they are good");
        bad.repaired(&request(1));
        bad.gone(&request(1));
        assert_eq!(bad.counts(), (1, 0));
    }

    #[test]
    fn what_does_not_fit_calls_for_another_scrub() {
        let bad = BadChunks::default();
        (0..=KNOWN_MAX as u64).for_each(|counter| bad.damaged(request(counter)));
        assert_eq!(bad.counts().0, KNOWN_MAX as u64);
        assert!(!bad.wants_scrub(), "there is no room yet");
        (0..=KNOWN_MAX as u64 / 2).for_each(|counter| bad.gone(&request(counter)));
        assert!(bad.wants_scrub());
        assert!(!bad.wants_scrub(), "once");
    }
}
