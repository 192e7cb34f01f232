//! How fast background work may go.

use ringfort_runtime::boot_time;
use std::time::Duration;

/// Most unused allowance that is kept, so that a pause is not followed by a burst.
const BURST: Duration = Duration::from_millis(200);

/// Hands out bytes at a rate: whoever took too many waits before the next.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_per_s: u64,
    /// When the bytes taken so far are paid for, by the process's clock.
    paid_at: Duration,
}

impl Pace {
    pub(crate) fn new(bytes_per_s: u64) -> Self {
        Self { bytes_per_s: bytes_per_s.max(1), paid_at: boot_time() }
    }

    /// Accounts for `bytes` just moved, and waits until they are paid for.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub(crate) async fn pay(&mut self, bytes: u64) {
        let now = boot_time();
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_s);
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.paid_at = self.paid_at.max(now.saturating_sub(BURST)).saturating_add(cost);
        if self.paid_at > now {
            tokio::time::sleep(self.paid_at - now).await;
        } else {
            // Clients go first even when the pace is not reached.
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_rate_is_kept() {
        let mut pace = Pace::new(1_000_000);
        let start = boot_time();
        for _ in 0..4 {
            pace.pay(100_000).await;
        }
        // 400 kB at 1 MB/s, less what may be saved up.
        assert!(boot_time() - start >= Duration::from_millis(190));
    }
}
