//! The two clocks.

use rustix::time::{ClockId, clock_gettime};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Microseconds since the Unix epoch by the wall clock. May jump; never use it for leases.
#[must_use]
pub fn wall_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Time since the first call in this process by the boot clock; for leases and deadlines. It never goes back, and it goes on
/// while the machine sleeps: a leader that slept through its lease knows it when it wakes.
#[must_use]
pub fn boot_time() -> Duration {
    static START: OnceLock<Duration> = OnceLock::new();
    let now = since_boot();
    // The first two callers may race; the one that lost may hold the earlier time.
    now.saturating_sub(*START.get_or_init(|| now))
}

fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    // The kernel's clocks since boot are not negative, and nanoseconds are below 10^9.
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails on the clock that stands still during sleep, once the machine has slept, and on the wall clock.
    #[test]
    fn boot_time_is_the_boot_clock() {
        let start = since_boot().checked_sub(boot_time()).unwrap();
        let text = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = text.split(' ').next().unwrap().parse().unwrap();
        let now = start + boot_time();
        assert!((now.as_secs_f64() - uptime).abs() < 5.0, "{now:?} is not the {uptime} s since boot");
        let earlier = boot_time();
        assert!(boot_time() >= earlier);
    }
}
