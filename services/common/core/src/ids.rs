//! Newtypes for everything that has a number.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// A device's place in the ring; stays the same when the disk behind it is replaced.
    DeviceId(u32)
);
number!(
    /// One formatting of a device. Never reused: a wiped device comes back under a new one.
    Incarnation(u64)
);
number!(
    /// A Raft voter: one metadata incarnation of one device. Never reused.
    VoterId(u64)
);
number!(
    /// A metadata group (one Raft group). Group 0 is the system group.
    GroupId(u32)
);
number!(
    /// One of the fixed 4096 slots that metadata keys hash to, or [`SYSTEM_SLOT`].
    SlotId(u16)
);
number!(
    /// A ring epoch; grows by one with each applied ring change.
    Epoch(u64)
);
number!(
    /// A process's session in the system group; at most 48 bits are used, so that it fits a [`crate::BlobId`].
    SessionId(u64)
);

/// Number of slots that metadata keys hash to. Fixed for ever: stored blob ids name slots.
pub const SLOT_COUNT: u16 = 4096;
/// The slot of the system group's own records (cluster map, sessions, ring epochs, membership).
pub const SYSTEM_SLOT: SlotId = SlotId(SLOT_COUNT);
/// The group that holds [`SYSTEM_SLOT`].
pub const SYSTEM_GROUP: GroupId = GroupId(0);
/// Number of ordinary metadata groups a new cluster starts with (ids 1..=8).
pub const GROUP_COUNT_DEFAULT: u32 = 8;

/// Names one command for ever, so that a retry finds the recorded result.
///
/// A session owns a bounded set of lanes; a lane has at most one command outstanding, so a state machine keeps one
/// result per `(session, lane)` and knows by `sequence` whether it meets a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CommandId {
    /// The session that issued the command.
    pub session: SessionId,
    /// The lane within the session.
    pub lane: u32,
    /// Grows by one with each command of the lane, starting at 1.
    pub sequence: u64,
}
