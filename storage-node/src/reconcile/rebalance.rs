//! Rebalance: after a ring change, every piece moves to the device the new table names, then the old epoch is retired.
//!
//! Moving is repairing: the piece is missing on its new primary, is built there from the copy on the old one, and the old copy is
//! out of place. The old epoch is retired only when a whole pass found nothing left to move, and when no operation
//! works any more with a picture of the cluster from before the change.

use super::pass::{Pass, after_error};
use crate::inner::Inner;
use crate::rings::RingStep;
use ringfort_ring::Phase;
use ringfort_storage_client::RepairDepth;
use std::sync::Arc;
use std::time::Duration;

/// Pause between two passes while something could not move yet.
const AGAIN_AFTER: Duration = Duration::from_secs(3);

impl Inner {
    /// Whether data should be moving, and whether a change is held.
    pub(crate) fn ring_phase(&self) -> (bool, bool) {
        let map = self.map.load();
        let moving = map.rings.values().any(|ring| ring.is_moving());
        (moving, map.rings.values().any(|ring| ring.phase() == Phase::Paused))
    }
}

pub(crate) async fn run(inner: Arc<Inner>) {
    let directory = inner.reconcilers.directory().await;
    loop {
        let (moving, _) = inner.ring_phase();
        if !moving {
            inner.reconcilers.rebalance.notified().await;
            continue;
        }
        let epoch = inner.chunks.view().load().epoch;
        if !inner.views_before_are_gone(epoch) {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        }
        let go_on = || inner.ring_phase().0 && inner.chunks.view().load().epoch == epoch;
        let mut pass = Pass::new(&inner, &*directory, &inner.reconcilers.rebalance_pass, RepairDepth::Strays);
        let outcome = pass.run("rebalance", go_on).await;
        let result = pass.result;
        match outcome {
            Ok(true) if result.complete && result.short + result.elsewhere == 0 => {
                if let Err(error) = inner.ring_step(RingStep::Finish).await {
                    after_error("rebalance", &error).await;
                } else {
                    tracing::info!(%epoch, chunks = result.chunks, "the ring change is done");
                }
            }
            Ok(true) => tokio::time::sleep(AGAIN_AFTER).await,
            Ok(false) => {}
            Err(error) => after_error("rebalance", &error).await,
        }
    }
}
