//! Hybrid time: wall-clock microseconds that never go back for one leader.

use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch, assigned by a group's leader to each command and strictly growing within a
/// group (a clock that stands still or goes back is outrun by adding one). State machines read no clock: this is
/// their only time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HybridTime(pub u64);

impl HybridTime {
    /// The next time after `self` that is not before `wall_us`.
    #[must_use]
    pub fn advance(self, wall_us: u64) -> Self {
        Self(wall_us.max(self.0.saturating_add(1)))
    }

    /// Whole seconds since the Unix epoch.
    #[must_use]
    pub const fn secs(self) -> u64 {
        self.0 / 1_000_000
    }
}
