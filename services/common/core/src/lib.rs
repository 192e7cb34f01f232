//! Ids, error kinds, units and hybrid time: the words every other crate shares. No I/O, no clock.

mod blob;
mod calendar;
mod error;
mod ids;
mod policy;
mod time;

pub use blob::{BlobId, BlobIdParseError, ChunkKey};
pub use calendar::CivilTime;
pub use error::{ErrorKind, with_causes};
pub use ids::{
    CommandId, DeviceId, Epoch, GROUP_COUNT_DEFAULT, GroupId, Incarnation, SLOT_COUNT, SYSTEM_GROUP,
    SYSTEM_SLOT, SessionId, SlotId, VoterId,
};
pub use policy::{Policy, PolicyParseError, Redundancy};
pub use time::HybridTime;
