//! Which devices hold which data: a consistent-hash ring built by plans that move as little as they can.
//!
//! The hash of a chunk's name picks one of `2^power` partitions; a table assigns each partition to `width` devices, one
//! table per storage policy. The [`Builder`] makes a table from the devices and the table before:
//!
//! 1. **Apart first.** The pieces of a partition lie as far apart as the devices allow: they share as few regions as
//!    possible, then zones, then nodes, and never a device (`spread`).
//! 2. **Then balanced.** Within that, each device holds its share by weight (`target`).
//! 3. **Then still.** Within that, as little as possible moves from the table before (`assign`).
//!
//! The crate is pure: no I/O, no clock, no randomness but the seed given. Equal input gives an equal ring on every
//! machine.

mod assign;
mod builder;
mod device;
mod error;
mod format;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod handoff;
mod plan;
mod report;
mod rng;
mod spread;
mod state;
mod table;
mod target;

pub use builder::{Builder, plan};
pub use device::{DEVICES_MAX, DeviceSpec, DeviceState, NAME_BYTES_MAX, Weight};
pub use error::RingError;
pub use format::FORMAT_VERSION;
pub use plan::{Balance, DeviceChange, Dispersion, Move, Plan, TierSpread};
pub use report::{PlanReport, PlanRow};
pub use state::{Phase, RingState};
pub use table::{PartitionId, RingTable};

/// The power of two of the number of partitions, unless told otherwise.
pub const POWER_DEFAULT: u8 = 14;
/// The smallest power of two of the number of partitions.
pub const POWER_MIN: u8 = 4;
/// The greatest power of two of the number of partitions.
pub const POWER_MAX: u8 = 20;
/// The most pieces per partition (erasure coding with 32 data and 16 parity fragments).
pub const WIDTH_MAX: usize = 48;
