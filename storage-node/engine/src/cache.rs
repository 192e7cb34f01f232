//! Recent log entries in memory, within a budget per device: followers and the state machine read what was just appended.

use crate::effect::Effect;
use crate::engine::Inner;
use parking_lot::Mutex;
use ringfort_core::GroupId;
use std::collections::VecDeque;

struct Kept {
    group: GroupId,
    index: u64,
    sequence: u64,
    len: u64,
}

/// Which durable entries still have their payload in memory, oldest first.
pub(crate) struct EntryCache {
    bytes_max: u64,
    kept: Mutex<(VecDeque<Kept>, u64)>,
}

impl EntryCache {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { bytes_max, kept: Mutex::default() }
    }

    /// Notes entries that became durable and lets the oldest go. Entries that are not durable are held anyway, bounded by the
    /// queue.
    pub(crate) fn admit(&self, inner: &Inner, effects: &[Effect]) {
        let mut kept = self.kept.lock();
        for effect in effects {
            if let Effect::Entry { group, index, sequence, length, .. } = effect {
                let len = u64::from(*length) + 64;
                kept.0.push_back(Kept { group: group.id, index: *index, sequence: *sequence, len });
                kept.1 += len;
            }
        }
        while kept.1 > self.bytes_max {
            let Some(oldest) = kept.0.pop_front() else { break };
            kept.1 -= oldest.len;
            let Some(group) = inner.find_group(oldest.group) else { continue };
            let mut state = group.inner.lock();
            if let Some(slot) = state.slot_mut(oldest.index).filter(|slot| slot.sequence == oldest.sequence) {
                slot.payload = None;
            }
        }
    }
}
