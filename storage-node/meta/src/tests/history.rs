//! Whether what clients saw of a register can be explained: by some order of their operations, each at one moment between
//! its call and its return, in which a plain register would have answered the same.

use std::collections::HashSet;

/// One operation and what its issuer saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A read that found this; 0 stands for nothing.
    Read(u64),
    /// A compare-and-set that was done.
    Set { expected: u64, new: u64 },
    /// A compare-and-set that found something else.
    Mismatch { expected: u64, found: u64 },
    /// A compare-and-set of unknown outcome.
    Unknown { expected: u64, new: u64 },
}

/// When an operation was called and returned, on one clock that never gives the same time twice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) called: u64,
    pub(crate) returned: u64,
    pub(crate) seen: Seen,
}

impl Event {
    /// An operation of unknown outcome may take effect at any time after its call, or never.
    fn ends(&self) -> u64 {
        if self.open() { u64::MAX } else { self.returned }
    }

    fn open(&self) -> bool {
        matches!(self.seen, Seen::Unknown { .. })
    }

    /// The register after the operation, if a register that holds `value` would answer like this.
    fn step(&self, value: u64) -> Option<u64> {
        match self.seen {
            Seen::Read(found) => (found == value).then_some(value),
            Seen::Mismatch { expected, found } => (found == value && found != expected).then_some(value),
            // One that finds something else changes nothing: as good as never.
            Seen::Set { expected, new } | Seen::Unknown { expected, new } => {
                (expected == value).then_some(new)
            }
        }
    }
}

/// Whether a register that begins with nothing explains `events`. Walks all reachable pairs of operations done and value.
pub(crate) fn is_linearizable(mut events: Vec<Event>) -> bool {
    events.sort_unstable_by_key(|event| event.called);
    let start = (vec![0u64; events.len().div_ceil(64)], 0u64);
    let mut met = HashSet::from([start.clone()]);
    let mut todo = vec![start];
    while let Some((done, value)) = todo.pop() {
        let left: Vec<usize> = (0..events.len()).filter(|at| done[at / 64] >> (at % 64) & 1 == 0).collect();
        if left.iter().all(|at| events[*at].open()) {
            return true;
        }
        let first_end = left.iter().map(|at| events[*at].ends()).min().unwrap_or(u64::MAX);
        for at in left.into_iter().take_while(|at| events[*at].called < first_end) {
            let Some(next) = events[at].step(value) else { continue };
            let mut done = done.clone();
            done[at / 64] |= 1 << (at % 64);
            if met.insert((done.clone(), next)) {
                todo.push((done, next));
            }
        }
    }
    false
}

#[test]
fn histories_are_judged_rightly() {
    let event = |called, returned, seen| Event { called, returned, seen };
    let set = |expected, new| Seen::Set { expected, new };
    let check = |events: &[Event], expected: bool| {
        assert_eq!(is_linearizable(events.to_vec()), expected, "{events:?}");
    };
    check(&[], true);
    check(&[event(1, 2, set(0, 5)), event(3, 4, Seen::Read(5))], true);
    check(&[event(1, 2, set(0, 5)), event(3, 4, Seen::Read(0))], false);
    // At the same time: either order will do, but only one.
    check(&[event(1, 4, set(0, 5)), event(2, 3, Seen::Read(0))], true);
    check(&[event(1, 6, set(0, 5)), event(2, 3, Seen::Read(5)), event(4, 5, Seen::Read(0))], false);
    // Of two that expect the same, one wins.
    check(&[event(1, 4, set(0, 5)), event(2, 3, set(0, 6))], false);
    let lost = Seen::Mismatch { expected: 0, found: 5 };
    check(&[event(1, 4, set(0, 5)), event(2, 3, lost)], true);
    check(&[event(1, 2, lost), event(3, 4, set(0, 5))], false);
    // An unknown outcome: never, or late, but not before its call, and once.
    let unknown = Seen::Unknown { expected: 0, new: 5 };
    check(&[event(1, 2, unknown), event(3, 4, Seen::Read(0)), event(5, 6, Seen::Read(5))], true);
    check(&[event(1, 2, unknown), event(3, 4, Seen::Read(0))], true);
    check(&[event(1, 2, Seen::Read(5)), event(3, 4, unknown)], false);
    let back = [event(3, 4, set(5, 0)), event(5, 6, Seen::Read(5))];
    check(&[&[event(1, 2, unknown)][..], &back].concat(), false);
}
