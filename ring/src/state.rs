//! The life cycle of a ring change as values: each transition consumes the old state.
//!
//! ```text
//!            plan              apply               finish
//!   Done -----------> Planned ---------> Applying --------> Done
//!    ^  <-----------                    |  ^    \
//!    |      discard               pause v  | resume
//!    |                               Paused |
//!    |          finish                  \   v revert
//!    +-------------------------------- Reverted
//! ```
//!
//! - `apply` starts a new epoch. The epoch before stays readable, as `previous`, until `finish`: at most two epochs
//!   are live.
//! - `finish` is the caller's word that every piece is where the current table wants it and that every live session
//!   has acknowledged the epoch. The ring cannot know; it only keeps the two tables.
//! - `revert` also starts a new epoch, with the assignment from before the change: epochs never go back. The aborted
//!   epoch stays readable until what it had moved is back, so `finish` follows here too.
//! - While a change is applied no other is planned: a third live epoch would be needed.

use crate::format::{Kind, Reader, seal, unseal};
use crate::{RingError, RingTable};
use ringfort_core::Epoch;
use std::fmt;

/// Where a ring change stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// No change under way.
    Done,
    /// A change is planned; nothing has moved.
    Planned,
    /// The new table is current, data move.
    Applying,
    /// As `Applying`, but nothing moves. New writes go by the new table.
    Paused,
    /// The old assignment is current again; what had moved goes back.
    Reverted,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Planned => "planned",
            Self::Applying => "being applied",
            Self::Paused => "paused",
            Self::Reverted => "being reverted",
        })
    }
}

/// The ring of one policy with the change under way, if any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingState {
    current: RingTable,
    previous: Option<RingTable>,
    next: Option<RingTable>,
    phase: Phase,
}

impl RingState {
    /// The first ring: nothing to move from.
    #[must_use]
    pub fn first(table: RingTable) -> Self {
        Self { current: table, previous: None, next: None, phase: Phase::Done }
    }

    /// The epoch new writes carry.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.current.epoch()
    }

    /// Where new writes go.
    #[must_use]
    pub const fn current(&self) -> &RingTable {
        &self.current
    }

    /// Where data may still be, while a change is being applied or reverted.
    #[must_use]
    pub const fn previous(&self) -> Option<&RingTable> {
        self.previous.as_ref()
    }

    /// The table of a change that is only planned.
    #[must_use]
    pub const fn next(&self) -> Option<&RingTable> {
        self.next.as_ref()
    }

    /// Where the change stands.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether data should be moving now.
    #[must_use]
    pub const fn is_moving(&self) -> bool {
        matches!(self.phase, Phase::Applying | Phase::Reverted)
    }

    /// Takes a planned table; a plan not yet applied is replaced.
    ///
    /// # Errors
    /// While a change is applied, paused or reverted, and for a table of another policy or cluster.
    pub fn plan(self, table: RingTable) -> Result<Self, RingError> {
        self.expect("plan a ring change", &[Phase::Done, Phase::Planned])?;
        same_ring(self.current.identity(), table.identity())?;
        let table = table.with_epoch(successor(self.epoch()));
        Ok(Self { next: Some(table), phase: Phase::Planned, ..self })
    }

    /// Forgets a plan that was not applied.
    ///
    /// # Errors
    /// Unless a change is planned.
    pub fn discard(self) -> Result<Self, RingError> {
        self.expect("discard the plan", &[Phase::Planned])?;
        Ok(Self { next: None, phase: Phase::Done, ..self })
    }

    /// Makes the planned table current, under a new epoch.
    ///
    /// # Errors
    /// Unless a change is planned.
    pub fn apply(self) -> Result<Self, RingError> {
        self.expect("apply", &[Phase::Planned])?;
        let next = self.next.ok_or(RingError::Internal { what: "a planned change has a table" })?;
        Ok(Self { current: next, previous: Some(self.current), next: None, phase: Phase::Applying })
    }

    /// Stops moving data.
    ///
    /// # Errors
    /// Unless a change is being applied.
    pub fn pause(self) -> Result<Self, RingError> {
        self.expect("pause", &[Phase::Applying])?;
        Ok(Self { phase: Phase::Paused, ..self })
    }

    /// Moves data again.
    ///
    /// # Errors
    /// Unless the change is paused.
    pub fn resume(self) -> Result<Self, RingError> {
        self.expect("resume", &[Phase::Paused])?;
        Ok(Self { phase: Phase::Applying, ..self })
    }

    /// Goes back to the assignment from before the change, under a new epoch.
    ///
    /// # Errors
    /// Unless a change is being applied or is paused.
    pub fn revert(self) -> Result<Self, RingError> {
        self.expect("revert", &[Phase::Applying, Phase::Paused])?;
        let before =
            self.previous.ok_or(RingError::Internal { what: "an applied change has a previous table" })?;
        let restored = before.with_epoch(successor(self.current.epoch()));
        Ok(Self { current: restored, previous: Some(self.current), next: None, phase: Phase::Reverted })
    }

    /// Ends the change: the previous epoch is no longer read.
    ///
    /// # Errors
    /// Unless data are moving.
    pub fn finish(self) -> Result<Self, RingError> {
        self.expect("finish", &[Phase::Applying, Phase::Reverted])?;
        Ok(Self { previous: None, phase: Phase::Done, ..self })
    }

    fn expect(&self, wanted: &'static str, phases: &[Phase]) -> Result<(), RingError> {
        if phases.contains(&self.phase) {
            Ok(())
        } else {
            Err(RingError::Transition { phase: self.phase, wanted })
        }
    }

    /// The state as bytes; the specification is in the module `format`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let phase = match self.phase {
            Phase::Done => 0,
            Phase::Planned => 1,
            Phase::Applying => 2,
            Phase::Paused => 3,
            Phase::Reverted => 4,
        };
        let mut body = vec![phase, u8::from(self.previous.is_some()), u8::from(self.next.is_some()), 0];
        for table in std::iter::once(&self.current).chain(&self.previous).chain(&self.next) {
            let bytes = table.encode();
            let len = u32::try_from(bytes.len()).expect("2^20 partitions of 48 pieces take 100 MB");
            body.extend_from_slice(&len.to_le_bytes());
            body.extend_from_slice(&bytes);
        }
        seal(Kind::State, &body)
    }

    /// The state in these bytes. Total: any bytes give a state that holds together or an error.
    ///
    /// # Errors
    /// Damage, another version, another kind and contents that contradict themselves are told apart.
    pub fn decode(bytes: &[u8]) -> Result<Self, RingError> {
        let mut body = Reader(unseal(Kind::State, bytes)?);
        let [phase, has_previous, has_next, zero] = body.array::<4>()?;
        let (phase, wants) = match phase {
            0 => (Phase::Done, [0, 0]),
            1 => (Phase::Planned, [0, 1]),
            2 => (Phase::Applying, [1, 0]),
            3 => (Phase::Paused, [1, 0]),
            4 => (Phase::Reverted, [1, 0]),
            _ => return Err(RingError::Malformed { what: "a phase is unknown" }),
        };
        if [has_previous, has_next] != wants || zero != 0 {
            return Err(RingError::Malformed { what: "the tables do not fit the phase" });
        }
        let mut table = || -> Result<RingTable, RingError> {
            let len = body.u32()? as usize;
            RingTable::decode(body.take(len)?)
        };
        let current = table()?;
        let previous = if has_previous == 1 { Some(table()?) } else { None };
        let next = if has_next == 1 { Some(table()?) } else { None };
        if !body.0.is_empty() {
            return Err(RingError::Malformed { what: "bytes after the last table" });
        }
        let state = Self { current, previous, next, phase };
        state.check_epochs()?;
        Ok(state)
    }

    /// Of neighbouring tables the newer has the next epoch, and all belong to one ring.
    fn check_epochs(&self) -> Result<(), RingError> {
        let pairs =
            [(self.previous.as_ref(), Some(&self.current)), (Some(&self.current), self.next.as_ref())];
        for (older, newer) in pairs {
            if let (Some(older), Some(newer)) = (older, newer) {
                same_ring(older.identity(), newer.identity())?;
                if newer.epoch() != successor(older.epoch()) {
                    return Err(RingError::Malformed { what: "the epochs do not follow each other" });
                }
            }
        }
        Ok(())
    }
}

/// The epoch after `epoch`.
pub(crate) fn successor(epoch: Epoch) -> Epoch {
    Epoch(epoch.0.saturating_add(1))
}

/// Refuses to go from one ring to another; a ring is its seed, its power and its width.
pub(crate) fn same_ring(old: (&[u8; 32], u8, usize), new: (&[u8; 32], u8, usize)) -> Result<(), RingError> {
    let fail = |what| Err(RingError::Mismatch { what });
    if old.0 != new.0 {
        return fail("the cluster's seed");
    }
    if old.1 != new.1 {
        return fail("the number of partitions");
    }
    if old.2 != new.2 {
        return fail("the number of pieces per partition");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Builder, DeviceSpec};
    use ringfort_core::DeviceId;

    fn tables() -> (RingTable, RingTable) {
        let specs: Vec<DeviceSpec> = (0..5).map(|id| DeviceSpec::new(DeviceId(id))).collect();
        let builder = Builder::new(2, [6; 32]).with_power(4);
        let old = builder.plan(None, &specs[..4]).unwrap().table;
        let new = builder.plan(Some(&old), &specs).unwrap().table;
        (old, new)
    }

    type Step = fn(RingState) -> Result<RingState, RingError>;

    /// Every step from every phase: what the drawing in the module's documentation allows, and nothing else.
    #[test]
    fn transitions() {
        let (old, new) = tables();
        let done = RingState::first(old);
        let planned = done.clone().plan(new).unwrap();
        let applying = planned.clone().apply().unwrap();
        let paused = applying.clone().pause().unwrap();
        let reverted = paused.clone().revert().unwrap();
        let replan: Step = |state| state.plan(tables().1);
        let steps: [(&str, Step); 7] = [
            ("plan", replan),
            ("discard", RingState::discard),
            ("apply", RingState::apply),
            ("pause", RingState::pause),
            ("resume", RingState::resume),
            ("revert", RingState::revert),
            ("finish", RingState::finish),
        ];
        let allowed = [
            (Phase::Done, "plan", Phase::Planned),
            (Phase::Planned, "plan", Phase::Planned),
            (Phase::Planned, "discard", Phase::Done),
            (Phase::Planned, "apply", Phase::Applying),
            (Phase::Applying, "pause", Phase::Paused),
            (Phase::Applying, "revert", Phase::Reverted),
            (Phase::Applying, "finish", Phase::Done),
            (Phase::Paused, "resume", Phase::Applying),
            (Phase::Paused, "revert", Phase::Reverted),
            (Phase::Reverted, "finish", Phase::Done),
        ];
        for state in [done, planned, applying, paused, reverted] {
            for (name, step) in steps {
                let to = allowed
                    .iter()
                    .find(|(from, by, _)| *from == state.phase() && *by == name)
                    .map(|rule| rule.2);
                assert_eq!(
                    step(state.clone()).ok().map(|after| after.phase()),
                    to,
                    "{name} when {}",
                    state.phase()
                );
            }
        }
    }

    #[test]
    fn epochs_only_grow_and_two_are_live() {
        let (old, new) = tables();
        let state = RingState::first(old.clone()).plan(new.clone()).unwrap();
        assert_eq!((state.epoch(), state.previous()), (Epoch(1), None));
        let state = state.apply().unwrap();
        assert_eq!((state.epoch(), state.previous()), (Epoch(2), Some(&old)));
        assert!(state.is_moving());
        let state = state.revert().unwrap();
        assert_eq!(state.epoch(), Epoch(3));
        assert_eq!(state.current(), &old.clone().with_epoch(Epoch(3)));
        assert_eq!(state.previous().map(RingTable::epoch), Some(Epoch(2)));
        let state = state.finish().unwrap();
        assert_eq!((state.epoch(), state.previous(), state.is_moving()), (Epoch(3), None, false));
        let other = Builder::new(2, [7; 32]).with_power(4).plan(None, new.specs()).unwrap().table;
        assert!(matches!(state.plan(other), Err(RingError::Mismatch { .. })));
    }
}
