//! Task groups, clocks and shutdown: how our code starts, owns and stops work.

mod clock;
mod tasks;

pub use clock::{boot_time, wall_us};
pub use tasks::TaskGroup;
