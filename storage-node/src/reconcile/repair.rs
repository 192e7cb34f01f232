//! Repair: missing pieces are rebuilt, whoever finds them missing.

use super::pass::{Pass, after_error};
use super::{Counts, Reconcilers, home_of};
use crate::inner::Inner;
use ringfort_storage_client::{RepairDepth, RepairReport, RepairRequest};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Events that come together are dealt with by one pass.
const SETTLE: Duration = Duration::from_millis(300);

/// Time after which chunks that could not be repaired are tried again.
const BAD_AGAIN_AFTER: Duration = Duration::from_secs(10);

impl Counts {
    /// Pieces that were counted as missing are there, where they belong or on stand-ins.
    pub(crate) fn found_again(&self, pieces: u32) {
        let fewer = |count: u64| Some(count.saturating_sub(u64::from(pieces)));
        // Always `Some`, so it always succeeds.
        let _ = self.missing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
    }
}

impl Reconcilers {
    /// Counts what a repair did.
    pub(crate) fn count(&self, report: &RepairReport) {
        self.counts.repaired.fetch_add(u64::from(report.rebuilt), Ordering::Relaxed);
        metrics::counter!("ringfort_repaired_pieces_total").increment(u64::from(report.rebuilt));
        metrics::counter!("ringfort_repaired_bytes_total").increment(report.bytes);
    }
}

impl Reconcilers {
    /// A pass that began with change number `change` is complete: if every chunk can be read, nothing is needed of the
    /// devices that were lost before it.
    fn note_proven(&self, change: u64) {
        let counts = &self.counts;
        let current = counts.changes.load(Ordering::Relaxed) == change;
        if current && counts.unreadable.load(Ordering::Relaxed) == 0 && self.bad.counts().1 == 0 {
            self.unproven.lock().clear();
        }
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
            // Groups without a quorum were left out; what the others name is looked after.
            Ok(_) if !result.complete => {}
            Ok(_) => {
                counts.changes_checked.store(change, Ordering::Relaxed);
                counts.passes.fetch_add(1, Ordering::Relaxed);
                inner.reconcilers.note_proven(change);
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
        let again = result.short > 0 || !result.complete;
        let wait = if again { every.min(Duration::from_secs(10)) } else { every };
        tokio::select! {
            () = inner.reconcilers.repair.notified() => tokio::time::sleep(SETTLE).await,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Single chunks that readers, writers and the scrub found to be less than whole.
pub(crate) async fn run_queue(inner: Arc<Inner>) {
    let directory = inner.reconcilers.directory().await;
    let (queue, bad) = (inner.chunks.repairs().clone(), &inner.reconcilers.bad);
    let repairing = &inner.reconcilers.counts.repairing;
    let mut pace = super::Pace::new(inner.config.reconcile.bytes_per_s);
    loop {
        if tokio::time::timeout(BAD_AGAIN_AFTER, queue.wait()).await.is_err() {
            bad.requests().into_iter().for_each(|request| queue.push(request));
            if bad.wants_scrub() {
                inner.reconcilers.wake_scrub();
            }
        }
        if queue.take_dropped() > 0 {
            inner.reconcilers.wake_repair();
        }
        // Counted before it leaves the queue: it is always seen in one of the two.
        repairing.store(1, Ordering::Relaxed);
        if let Some(request) = queue.try_pop() {
            match repair_one(&inner, &*directory, &request).await {
                Ok(bytes) => pace.pay(bytes).await,
                Err(error) => {
                    queue.push(request);
                    after_error("read repair", &error).await;
                }
            }
        }
        repairing.store(0, Ordering::Relaxed);
    }
}

async fn repair_one(
    inner: &Inner,
    directory: &dyn ringfort_storage_client::BlobDirectory,
    request: &RepairRequest,
) -> Result<u64, crate::NodeError> {
    let bad = &inner.reconcilers.bad;
    // A write whose commit is still to come has no home record yet, and one whose blob was deleted has none any more:
    // neither is repaired. The next full pass meets the first again.
    let home = home_of(directory, request.blob).await?.filter(|home| request.number < home.chunk_count());
    let policy = |id| inner.map.load().policies.iter().find(|policy| policy.id == id).cloned();
    let Some((home, policy)) = home.and_then(|home| Some((home, policy(home.policy)?))) else {
        bad.gone(request);
        return Ok(0);
    };
    let depth = if request.verify { RepairDepth::Verify } else { RepairDepth::Strays };
    let len = home.chunk_len(request.number);
    let report = inner.chunks.repair_chunk(&policy, home.blob, request.number, len, depth).await?;
    inner.reconcilers.count(&report);
    if report.redundant {
        bad.repaired(request);
    } else if report.unreadable || request.verify {
        bad.not_repaired(*request, report.damaged, report.unreadable);
    }
    Ok(report.bytes)
}
