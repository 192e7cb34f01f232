//! Task groups, clocks and shutdown: how our code starts, owns and stops work.

mod clock;
mod request;
mod tasks;

pub use clock::{boot_time, wall_us};
pub use request::{current_request, with_request, within_request};
pub use tasks::TaskGroup;
