//! Background work that keeps stored data whole: repair, rebalance, scrub, garbage collection, the search for orphans.
//!
//! Each is a loop that compares what should be with what is and acts on the difference; it takes no input but a wake-up, may be
//! cut short anywhere, and starts over. All are paced, so that clients come first, and wait until the owner of the blob
//! records has been given to the node: without the records nothing is known to be wanted, and nothing is touched.

mod bad;
mod gc;
mod orphans;
mod pace;
mod pass;
mod progress;
mod rebalance;
mod repair;
mod scrub;
mod sweep;

pub(crate) use pace::Pace;
pub(crate) use progress::Tracker;

use crate::NodeError;
use crate::inner::Inner;
use bad::BadChunks;
use parking_lot::Mutex;
use ringfort_core::{BlobId, DeviceId};
use ringfort_engine::Engine;
use ringfort_storage_client::{BlobDirectory, BlobHome, DirectoryError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Notify;

/// Blobs or chunks read per page.
pub(crate) const PAGE: usize = 256;
/// Pause before a pass that met an error is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// What the reconcilers share and count.
#[derive(Default)]
pub(crate) struct Reconcilers {
    directory: OnceLock<Arc<dyn BlobDirectory>>,
    directory_set: Notify,
    watch: Notify,
    repair: Notify,
    rebalance: Notify,
    scrub: Notify,
    gc: Notify,
    pub(crate) counts: Counts,
    pub(crate) repair_pass: Tracker,
    pub(crate) rebalance_pass: Tracker,
    pub(crate) scrub_pass: Tracker,
    pub(crate) scrub_last: Mutex<ScrubResult>,
    pub(crate) bad: BadChunks,
    /// Devices that were lost, or made anew, since a complete pass last found everything readable without them.
    pub(crate) unproven: Mutex<BTreeSet<DeviceId>>,
    /// What the brake of the search for orphans holds back, by device: blobs without a record, and blobs in all.
    pub(crate) held_orphans: Mutex<BTreeMap<DeviceId, (u64, u64)>>,
}

/// Figures for `status`.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Pieces found missing by the last pass or the one under way, not rebuilt yet.
    pub(crate) missing: AtomicU64,
    /// Chunks that the last pass, or the one under way, found to have too few pieces.
    pub(crate) unreadable: AtomicU64,
    /// Chunks out of the repair queue that are being repaired.
    pub(crate) repairing: AtomicU64,
    /// Pieces rebuilt since the start.
    pub(crate) repaired: AtomicU64,
    /// Changes that could have cost redundancy, and the last of them that a complete pass has dealt with.
    pub(crate) changes: AtomicU64,
    pub(crate) changes_checked: AtomicU64,
    /// A complete pass was made since the start.
    pub(crate) passes: AtomicU64,
    /// Condemned blobs waiting for some device.
    pub(crate) delete_backlog: AtomicU64,
}

/// What the last scrub found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ScrubResult {
    pub(crate) checked: u64,
    pub(crate) damaged: u64,
    /// Damage that could not be repaired when it was found.
    pub(crate) unmended: u64,
    pub(crate) finished_s: Option<u64>,
    /// Scrubs that ended since the start.
    pub(crate) finished: u64,
}

impl Reconcilers {
    pub(crate) fn set_directory(&self, directory: Arc<dyn BlobDirectory>) {
        if self.directory.set(directory).is_err() {
            tracing::warn!("the blob directory was given twice; the first one stays");
        }
        self.directory_set.notify_waiters();
    }

    /// The directory, once it is there.
    async fn directory(&self) -> Arc<dyn BlobDirectory> {
        loop {
            let given = self.directory_set.notified();
            if let Some(directory) = self.directory.get() {
                return Arc::clone(directory);
            }
            given.await;
        }
    }

    pub(crate) fn wake_watch(&self) {
        self.watch.notify_one();
    }

    /// Something happened that may have cost redundancy.
    pub(crate) fn wake_repair(&self) {
        self.counts.changes.fetch_add(1, Ordering::Relaxed);
        self.repair.notify_one();
    }

    /// A device was lost or made anew: what it held has to be found elsewhere.
    pub(crate) fn device_lost(&self, device: DeviceId) {
        // In this order: a pass that began before cannot prove anything about the device any more.
        self.wake_repair();
        self.unproven.lock().insert(device);
    }

    pub(crate) fn wake_rebalance(&self) {
        self.rebalance.notify_one();
    }

    pub(crate) fn wake_gc(&self) {
        self.gc.notify_one();
    }

    pub(crate) fn wake_scrub(&self) {
        self.scrub.notify_one();
    }
}

/// Starts everything that runs in the background.
pub(crate) fn start(inner: &Arc<Inner>) {
    let tasks = &inner.tasks.background;
    let every = inner.config.reconcile.clone();
    // Cancelled between awaits: each loop may be cut short anywhere, since it only compares and acts idempotently.
    tasks.spawn(watch(Arc::clone(inner), every.watch_every));
    tasks.spawn_until_stopped(repair::run(Arc::clone(inner)));
    tasks.spawn_until_stopped(repair::run_queue(Arc::clone(inner)));
    tasks.spawn_until_stopped(rebalance::run(Arc::clone(inner)));
    tasks.spawn_until_stopped(scrub::run(Arc::clone(inner)));
    tasks.spawn_until_stopped(gc::run(Arc::clone(inner)));
    tasks.spawn_until_stopped(orphans::run(Arc::clone(inner)));
}

/// Looks at the devices until the node stops. Never cut short within a look: it opens and closes engines.
async fn watch(inner: Arc<Inner>, every: Duration) {
    let stopping = inner.tasks.background.stopping();
    while !stopping.is_cancelled() {
        inner.watch_once().await;
        tokio::select! {
            () = stopping.cancelled() => {}
            () = inner.reconcilers.watch.notified() => {}
            () = tokio::time::sleep(every) => {}
        }
    }
}

/// The home record of one blob.
async fn home_of(directory: &dyn BlobDirectory, blob: BlobId) -> Result<Option<BlobHome>, DirectoryError> {
    let before =
        u128::from_be_bytes(*blob.as_bytes()).checked_sub(1).map(|id| BlobId::from_bytes(id.to_be_bytes()));
    let found = directory.blobs(blob.home(), before, 1).await?;
    Ok(found.into_iter().next().filter(|home| home.blob == blob))
}

impl Inner {
    /// Whether a device holds a chunk that somebody refers to. What failed writes left, and what was deleted and waits for
    /// the garbage collector, is not wanted any more.
    pub(crate) async fn holds_wanted(&self, engine: &Engine) -> Result<bool, NodeError> {
        let (mut after, mut looked_at) = (None, None);
        loop {
            let (lister, from) = (engine.clone(), after);
            let page = self.blocking(move || lister.list_chunks(from, PAGE)).await?;
            let page = page.map_err(|error| NodeError::Refused { reason: error.to_string() })?;
            let Some((last, _)) = page.last() else { return Ok(false) };
            after = Some(*last);
            for (key, _) in page {
                let Some(directory) = self.reconcilers.directory.get() else { return Ok(true) };
                if looked_at.replace(key.blob) == Some(key.blob) {
                    continue;
                }
                if home_of(&**directory, key.blob).await?.is_some() {
                    return Ok(true);
                }
            }
        }
    }
}

impl From<DirectoryError> for NodeError {
    fn from(error: DirectoryError) -> Self {
        Self::Meta { reason: error.to_string(), kind: error.kind }
    }
}
