//! One pass over all blobs: every chunk looked at, the least redundant repaired first.
//!
//! Two sweeps: the first looks at the indexes only, repairs at once what has lost more than one piece, and notes the rest; the
//! second repairs what was noted. So the chunk that the next lost device would take is never behind a million that it
//! would not.

use super::sweep::Sweep;
use super::{PAGE, Pace, RETRY_AFTER, Tracker};
use crate::NodeError;
use crate::inner::Inner;
use ringfort_core::Policy;
use ringfort_storage_client::{BlobDirectory, BlobHome, RepairDepth, RepairReport, RepairRequest};
use std::sync::atomic::Ordering;

/// Most chunks noted for the second sweep; what does not fit is repaired in the first.
const NOTED_MAX: usize = 200_000;

/// How a pass ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PassResult {
    /// Chunks looked at.
    pub(crate) chunks: u64,
    /// Chunks that have all their pieces on their primaries now.
    pub(crate) whole: u64,
    /// Chunks that are fully redundant, but partly on stand-ins.
    pub(crate) elsewhere: u64,
    /// Chunks that could not be made redundant.
    pub(crate) short: u64,
    /// Chunks of which too few pieces are left though every device answered.
    pub(crate) lost: u64,
    /// Every slot was answered.
    pub(crate) complete: bool,
}

impl PassResult {
    fn note(&mut self, report: &RepairReport) {
        self.chunks += 1;
        if report.whole {
            self.whole += 1;
        } else if report.unreadable && !report.blind {
            self.lost += 1;
        } else if report.redundant {
            self.elsewhere += 1;
        } else {
            self.short += 1;
        }
    }
}

/// One pass.
pub(crate) struct Pass<'a> {
    pub(crate) inner: &'a Inner,
    pub(crate) directory: &'a dyn BlobDirectory,
    pub(crate) tracker: &'a Tracker,
    pub(crate) depth: RepairDepth,
    pub(crate) pace: Pace,
    pub(crate) result: PassResult,
    /// Chunks that lack one piece.
    noted: Vec<RepairRequest>,
}

impl<'a> Pass<'a> {
    pub(crate) fn new(
        inner: &'a Inner,
        directory: &'a dyn BlobDirectory,
        tracker: &'a Tracker,
        depth: RepairDepth,
    ) -> Self {
        let pace = Pace::new(inner.config.reconcile.bytes_per_s);
        Self { inner, directory, tracker, depth, pace, result: PassResult::default(), noted: Vec::new() }
    }

    /// Runs the pass. `go_on` is asked between pages.
    pub(crate) async fn run(&mut self, what: &str, go_on: impl Fn() -> bool) -> Result<bool, NodeError> {
        // All objects of a container may share a slot, so slots say nothing of how far a pass is: pieces do.
        let pieces = self.inner.engines().into_iter().map(|(_, engine)| engine.usage().chunks).sum();
        self.tracker.begin(what, pieces);
        let outcome = self.sweeps(what, go_on).await;
        self.tracker.end();
        outcome
    }

    async fn sweeps(&mut self, what: &str, go_on: impl Fn() -> bool) -> Result<bool, NodeError> {
        let mut sweep = Sweep::new(self.inner);
        while let Some(slot) = sweep.next() {
            let mut after = None;
            loop {
                if !go_on() {
                    return Ok(false);
                }
                let page = match self.directory.blobs(slot, after, PAGE).await {
                    Ok(page) => page,
                    Err(error) => {
                        tracing::debug!(%slot, %error, "a slot does not answer, its group is left out");
                        sweep.no_answer(slot);
                        break;
                    }
                };
                for home in &page {
                    self.look_at(home).await?;
                }
                match page.last() {
                    Some(last) if page.len() == PAGE => after = Some(last.blob),
                    _ => break,
                }
            }
        }
        self.result.complete = sweep.is_complete();
        let noted = std::mem::take(&mut self.noted);
        self.tracker.begin(what, noted.len() as u64);
        for request in noted {
            if !go_on() {
                return Ok(false);
            }
            if let Some(policy) = self.policy(request.policy) {
                self.repair(&policy, &request, 1).await?;
            }
            self.tracker.advance(1, 0);
        }
        Ok(true)
    }

    fn policy(&self, id: u16) -> Option<Policy> {
        self.inner.map.load().policies.iter().find(|policy| policy.id == id).cloned()
    }

    async fn look_at(&mut self, home: &BlobHome) -> Result<(), NodeError> {
        let Some(policy) = self.policy(home.policy) else {
            tracing::error!(blob = %home.blob, policy = home.policy, "a blob has a policy that the cluster does not know");
            return Ok(());
        };
        for number in 0..home.chunk_count() {
            let len = home.chunk_len(number);
            let request = RepairRequest { policy: policy.id, blob: home.blob, number, len, verify: false };
            let width = policy.redundancy.width() as u64;
            if self.depth != RepairDepth::Presence {
                self.repair(&policy, &request, 0).await?;
                self.tracker.advance(width, 0);
                continue;
            }
            let missing = self.inner.chunks.missing_pieces(&policy, home.blob, number, len).await?;
            self.tracker.advance(width.saturating_sub(u64::from(missing)), 0);
            match missing {
                0 => {
                    self.result.chunks += 1;
                    self.result.whole += 1;
                }
                1 if self.noted.len() < NOTED_MAX => {
                    self.inner.reconcilers.counts.missing.fetch_add(1, Ordering::Relaxed);
                    self.noted.push(request);
                }
                missing => {
                    self.inner.reconcilers.counts.missing.fetch_add(u64::from(missing), Ordering::Relaxed);
                    self.repair(&policy, &request, missing).await?;
                }
            }
            self.pace.pay(0).await;
        }
        Ok(())
    }

    /// Repairs one chunk, of which `counted` pieces were counted as missing.
    async fn repair(
        &mut self,
        policy: &Policy,
        request: &RepairRequest,
        counted: u32,
    ) -> Result<(), NodeError> {
        // What is missing was found by the first sweep; this one looks at every device, also for copies out of place.
        let depth = self.depth.max(RepairDepth::Strays);
        let chunks = &self.inner.chunks;
        let report = chunks.repair_chunk(policy, request.blob, request.number, request.len, depth).await?;
        let reconcilers = &self.inner.reconcilers;
        reconcilers.count(&report);
        if report.redundant {
            reconcilers.counts.found_again(counted);
        } else if report.unreadable && self.depth == RepairDepth::Presence {
            reconcilers.counts.unreadable.fetch_add(1, Ordering::Relaxed);
        }
        self.result.note(&report);
        self.tracker.advance(0, report.bytes);
        self.pace.pay(report.bytes).await;
        Ok(())
    }
}

/// Waits a little after an error, so that a reconciler does not spin while a group has no leader.
pub(crate) async fn after_error(what: &str, error: &NodeError) {
    tracing::debug!(what, %error, "a background pass stopped and is tried again");
    tokio::time::sleep(RETRY_AFTER).await;
}
