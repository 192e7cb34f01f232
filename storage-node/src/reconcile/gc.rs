//! Garbage collection: the chunks of condemned blobs are deleted on every device, then the blobs are forgotten.
//!
//! A blob stays in its home's list of condemned ones until every device that is not removed has recorded the delete, so a
//! device that is away now gets it when it comes back.

use super::PAGE;
use super::sweep::Sweep;
use crate::NodeError;
use crate::inner::Inner;
use futures_util::StreamExt;
use futures_util::stream;
use ringfort_core::{BlobId, DeviceId, SlotId};
use ringfort_storage_client::{BlobDirectory, ChunkError};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Deletes under way at a time: enough for the devices to sync many at once.
const AT_ONCE: usize = 32;
/// Most half-deleted blobs whose confirmations are remembered between passes; others ask every device again.
const REMEMBERED_MAX: usize = 100_000;

/// Which devices have confirmed the delete of a blob that others have not.
type Confirmed = HashMap<BlobId, Vec<DeviceId>>;

pub(crate) async fn run(inner: Arc<Inner>) {
    let directory = inner.reconcilers.directory().await;
    let mut confirmed = Confirmed::new();
    loop {
        tokio::select! {
            () = inner.reconcilers.gc.notified() => {}
            () = tokio::time::sleep(inner.config.reconcile.gc_every) => {}
        }
        if directory.on_hold() {
            continue;
        }
        let backlog = collect(&inner, &*directory, &mut confirmed).await;
        inner.reconcilers.counts.delete_backlog.store(backlog, Ordering::Relaxed);
    }
}

/// One pass; returns how many condemned blobs are left.
async fn collect(inner: &Inner, directory: &dyn BlobDirectory, confirmed: &mut Confirmed) -> u64 {
    let mut backlog = 0;
    let mut sweep = Sweep::new(inner);
    while let Some(slot) = sweep.next() {
        match collect_slot(inner, directory, confirmed, slot).await {
            Ok(left) => backlog += left,
            Err(error) => {
                tracing::debug!(%slot, %error, "a slot does not answer, its group is left out");
                sweep.no_answer(slot);
            }
        }
    }
    backlog
}

async fn collect_slot(
    inner: &Inner,
    directory: &dyn BlobDirectory,
    confirmed: &mut Confirmed,
    slot: SlotId,
) -> Result<u64, NodeError> {
    let (mut backlog, mut after) = (0, None);
    loop {
        let page = directory.condemned(slot, after, PAGE).await?;
        let Some(last) = page.last().copied() else { return Ok(backlog) };
        let full = page.len() == PAGE;
        backlog += delete_page(inner, directory, confirmed, slot, page).await?;
        if !full {
            return Ok(backlog);
        }
        after = Some(last);
    }
}

async fn delete_page(
    inner: &Inner,
    directory: &dyn BlobDirectory,
    confirmed: &mut Confirmed,
    slot: SlotId,
    page: Vec<BlobId>,
) -> Result<u64, NodeError> {
    let known: Vec<_> =
        page.into_iter().map(|blob| (blob, confirmed.remove(&blob).unwrap_or_default())).collect();
    let deleted: Vec<_> = stream::iter(known)
        .map(|(blob, mut devices)| async move {
            let result = inner.chunks.delete_blob_except(blob, &mut devices).await;
            (blob, devices, result)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let (mut done, mut left) = (Vec::new(), 0);
    for (blob, devices, result) in deleted {
        match result {
            Ok(()) => done.push(blob),
            Err(ChunkError::DeletePending { .. }) => {
                left += 1;
                if confirmed.len() < REMEMBERED_MAX {
                    confirmed.insert(blob, devices);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    if !done.is_empty() {
        metrics::counter!("ringfort_blobs_deleted_total").increment(done.len() as u64);
        directory.confirm_deleted(slot, done).await?;
    }
    Ok(left)
}
