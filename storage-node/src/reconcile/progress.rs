//! How far a pass is, for people.

use crate::Progress;
use parking_lot::Mutex;
use ringfort_runtime::boot_time;
use std::time::Duration;

#[derive(Clone, Debug)]
struct Pass {
    what: String,
    done: u64,
    total: u64,
    bytes: u64,
    began: Duration,
}

/// The pass under way, if any.
#[derive(Debug, Default)]
pub(crate) struct Tracker(Mutex<Option<Pass>>);

impl Tracker {
    pub(crate) fn begin(&self, what: &str, total: u64) {
        *self.0.lock() = Some(Pass { what: what.to_owned(), done: 0, total, bytes: 0, began: boot_time() });
    }

    pub(crate) fn advance(&self, steps: u64, bytes: u64) {
        if let Some(pass) = self.0.lock().as_mut() {
            pass.done += steps;
            pass.bytes += bytes;
        }
    }

    pub(crate) fn end(&self) {
        *self.0.lock() = None;
    }

    #[allow(clippy::cast_precision_loss, reason = "percentages for people")]
    pub(crate) fn progress(&self, paused: bool) -> Option<Progress> {
        let pass = self.0.lock().clone()?;
        let share = if pass.total == 0 { 0.0 } else { pass.done.min(pass.total) as f64 / pass.total as f64 };
        let elapsed = boot_time().saturating_sub(pass.began).as_secs_f64();
        let left = (share > 0.0).then(|| elapsed * (1.0 - share) / share);
        Some(Progress {
            what: pass.what,
            percent: share * 100.0,
            done: pass.done,
            total: pass.total,
            bytes: pass.bytes,
            eta_s: left.and_then(|left| Duration::try_from_secs_f64(left).ok()).map(|left| left.as_secs()),
            paused,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_tells_how_far_it_is() {
        let tracker = Tracker::default();
        assert!(tracker.progress(false).is_none());
        tracker.begin("repair", 8);
        assert_eq!(tracker.progress(false).unwrap().eta_s, None);
        tracker.advance(2, 100);
        let progress = tracker.progress(true).unwrap();
        assert!((progress.percent - 25.0).abs() < 1e-9 && progress.bytes == 100 && progress.paused);
        assert!(progress.eta_s.is_some());
        tracker.end();
        assert!(tracker.progress(false).is_none());
    }
}
