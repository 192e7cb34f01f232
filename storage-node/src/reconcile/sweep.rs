//! A sweep over all slots that leaves out what does not answer.
//!
//! A metadata group without a quorum keeps each question waiting until its time is up, and it has hundreds of slots. What is
//! stored under the other groups must not wait for it: one slot that does not answer speaks for its group.

use crate::inner::Inner;
use ringfort_core::{GroupId, SLOT_COUNT, SlotId};
use std::collections::BTreeSet;

/// One sweep.
pub(crate) struct Sweep {
    groups: Vec<GroupId>,
    silent: BTreeSet<GroupId>,
    next: u16,
}

impl Sweep {
    pub(crate) fn new(inner: &Inner) -> Self {
        Self::over(inner.map.load().slots.clone())
    }

    fn over(groups: Vec<GroupId>) -> Self {
        Self { groups, silent: BTreeSet::new(), next: 0 }
    }

    /// The next slot whose group answers, as far as is known.
    pub(crate) fn next(&mut self) -> Option<SlotId> {
        while self.next < SLOT_COUNT {
            let slot = SlotId(self.next);
            self.next += 1;
            if !self.group(slot).is_some_and(|group| self.silent.contains(&group)) {
                return Some(slot);
            }
        }
        None
    }

    /// The slot did not answer.
    pub(crate) fn no_answer(&mut self, slot: SlotId) {
        self.silent.extend(self.group(slot));
    }

    /// Whether every slot was answered.
    pub(crate) fn is_complete(&self) -> bool {
        self.silent.is_empty()
    }

    fn group(&self, slot: SlotId) -> Option<GroupId> {
        self.groups.get(usize::from(slot.0)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_group_is_asked_once() {
        let groups = (0..SLOT_COUNT).map(|slot| GroupId(u32::from(slot % 8))).collect();
        let mut sweep = Sweep::over(groups);
        let mut asked = 0;
        while let Some(slot) = sweep.next() {
            asked += 1;
            if slot.0 % 8 == 3 {
                sweep.no_answer(slot);
            }
        }
        assert_eq!(asked, usize::from(SLOT_COUNT) / 8 * 7 + 1);
        assert!(!sweep.is_complete());
    }
}
