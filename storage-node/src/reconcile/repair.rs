//! Repair: missing pieces are rebuilt, whoever finds them missing.

use super::pass::{Pass, after_error};
use super::{Reconcilers, home_of};
use crate::inner::Inner;
use ringfort_storage_client::{RepairDepth, RepairReport, RepairRequest};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Events that come together are dealt with by one pass.
const SETTLE: Duration = Duration::from_millis(300);

impl Reconcilers {
    /// Counts what a repair found and did; `known` says that its missing pieces were counted before.
    pub(crate) fn count(&self, report: &RepairReport, known: bool) {
        let counts = &self.counts;
        counts.repaired.fetch_add(u64::from(report.rebuilt), Ordering::Relaxed);
        if known && report.redundant {
            let fixed = u64::from(report.missing);
            let _ = counts
                .missing
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| Some(n.saturating_sub(fixed)));
        }
        if report.unreadable {
            counts.unreadable.fetch_add(1, Ordering::Relaxed);
        }
        metrics::counter!("ringfort_repaired_pieces_total").increment(u64::from(report.rebuilt));
        metrics::counter!("ringfort_repaired_bytes_total").increment(report.bytes);
    }
}

/// Full passes: at the start, after anything that may have cost redundancy, and from time to time.
pub(crate) async fn run(inner: Arc<Inner>) {
    let directory = inner.reconcilers.directory().await;
    let every = inner.config.reconcile.repair_every;
    loop {
        let counts = &inner.reconcilers.counts;
        let change = counts.changes.load(Ordering::Relaxed);
        counts.missing.store(0, Ordering::Relaxed);
        counts.unreadable.store(0, Ordering::Relaxed);
        let mut pass = Pass::new(&inner, &*directory, &inner.reconcilers.repair_pass, RepairDepth::Presence);
        let outcome = pass.run("repair", || true).await;
        let result = pass.result;
        match outcome {
            Ok(_) => {
                counts.changes_checked.store(change, Ordering::Relaxed);
                counts.passes.fetch_add(1, Ordering::Relaxed);
                if result.short + result.lost > 0 {
                    tracing::warn!(
                        chunks = result.chunks,
                        short = result.short,
                        lost = result.lost,
                        "some chunks could not be made redundant"
                    );
                } else {
                    tracing::debug!(chunks = result.chunks, elsewhere = result.elsewhere, "repair pass done");
                }
            }
            Err(error) => {
                after_error("repair", &error).await;
                continue;
            }
        }
        let wait = if result.short > 0 { every.min(Duration::from_secs(10)) } else { every };
        tokio::select! {
            () = inner.reconcilers.repair.notified() => tokio::time::sleep(SETTLE).await,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Single chunks that readers, writers and the scrub found to be less than whole.
pub(crate) async fn run_queue(inner: Arc<Inner>) {
    let directory = inner.reconcilers.directory().await;
    let queue = inner.chunks.repairs().clone();
    let mut pace = super::Pace::new(inner.config.reconcile.bytes_per_s);
    loop {
        queue.wait().await;
        if queue.take_dropped() > 0 {
            inner.reconcilers.wake_repair();
        }
        let Some(request) = queue.try_pop() else { continue };
        match repair_one(&inner, &*directory, &request).await {
            Ok(bytes) => pace.pay(bytes).await,
            Err(error) => after_error("read repair", &error).await,
        }
    }
}

async fn repair_one(
    inner: &Inner,
    directory: &dyn ringfort_storage_client::BlobDirectory,
    request: &RepairRequest,
) -> Result<u64, crate::NodeError> {
    // A write whose commit is still to come has no home record yet, and one whose blob was deleted has none any more:
    // neither is repaired. The next full pass meets the first again.
    let Some(home) = home_of(directory, request.blob).await? else { return Ok(0) };
    let policy = inner.map.load().policies.iter().find(|policy| policy.id == home.policy).cloned();
    let Some(policy) = policy.filter(|_| request.number < home.chunk_count()) else { return Ok(0) };
    let depth = if request.verify { RepairDepth::Verify } else { RepairDepth::Strays };
    let len = home.chunk_len(request.number);
    let report = inner.chunks.repair_chunk(&policy, home.blob, request.number, len, depth).await?;
    inner.reconcilers.count(&report, false);
    if request.verify && report.redundant {
        let fixed = u64::from(report.damaged);
        let damaged = &inner.reconcilers.counts.damaged;
        let _ = damaged.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| Some(n.saturating_sub(fixed)));
    }
    Ok(report.bytes)
}
