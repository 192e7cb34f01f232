//! Upkeep of a device: the next extent is set aside, the index flushed, dead space compacted.

use crate::engine::Inner;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_secs(1);

/// Runs until the engine stops.
pub(crate) fn run(inner: &Inner) {
    #[allow(clippy::disallowed_methods, reason = "only paces upkeep of this device")]
    let mut last = Instant::now();
    while !inner.stop.load(Ordering::Acquire) {
        inner.wait_background(TICK);
        if inner.stop.load(Ordering::Acquire) || inner.failure().is_some() {
            break;
        }
        inner.check_space();
        if inner.last_extent_in_use()
            && let Err(error) = inner.extents.prepare_spare()
        {
            tracing::warn!(%error, "no space is set aside for the next extent");
        }
        let written = inner.written();
        let due = last.elapsed() >= Duration::from_secs(inner.config.checkpoint_secs) && inner.dirty();
        if due || written >= inner.config.checkpoint_log_bytes {
            #[allow(clippy::disallowed_methods, reason = "only paces upkeep of this device")]
            let now = Instant::now();
            last = now;
            report("a checkpoint", crate::checkpoint::run(inner).map(|()| 0));
        }
        if crate::compact::victim(inner).is_some() {
            report("compaction", crate::compact::step(inner, Some(inner.config.compact_bytes_per_sec)));
        }
    }
}

fn report(what: &str, result: Result<u64, crate::EngineError>) {
    match result {
        Ok(0) => {}
        Ok(bytes) => tracing::debug!(bytes, "{what} freed space"),
        Err(error) => tracing::warn!(%error, "{what} did not finish"),
    }
}
