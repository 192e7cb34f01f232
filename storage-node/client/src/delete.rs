//! Deleting a blob: on every device, since a handoff may be anywhere and a straggler may still arrive.

use crate::{ChunkError, ChunkStore};
use futures_util::future::join_all;
use ringfort_core::{BlobId, DeviceId, Policy};

impl ChunkStore {
    /// Deletes every piece of `blob` on every device.
    ///
    /// # Errors
    /// [`ChunkError::DeletePending`] until every device that is not removed has confirmed; call again later.
    ///
    /// # Cancel safety
    ///
    /// A dropped call may have deleted on some devices; call again.
    pub async fn delete_blob(&self, policy: &Policy, blob: BlobId) -> Result<(), ChunkError> {
        // The policy says where pieces belong, not where they are: handoffs can be on any device.
        let _ = policy;
        self.delete_blob_except(blob, &mut Vec::new()).await
    }

    /// Like [`Self::delete_blob`], but leaves out the devices in `confirmed` and adds those that confirm now: for a caller who
    /// remembers, between attempts, who is still missing.
    ///
    /// # Errors
    /// [`ChunkError::DeletePending`] until every device that is not removed has confirmed.
    pub async fn delete_blob_except(
        &self,
        blob: BlobId,
        confirmed: &mut Vec<DeviceId>,
    ) -> Result<(), ChunkError> {
        let cluster = self.view.load();
        let todo = cluster.devices().filter(|device| device.counts() && !confirmed.contains(&device.id));
        let deleted = join_all(todo.map(|device| async move {
            let Some(engine) = device.engine() else { return (device.id, false) };
            match engine.delete_blob(blob).await {
                Ok(()) => (device.id, true),
                Err(error) => {
                    tracing::debug!(device = %device.id, %blob, %error, "delete not confirmed");
                    (device.id, false)
                }
            }
        }))
        .await;
        let (done, waiting): (Vec<_>, Vec<_>) = deleted.into_iter().partition(|(_, done)| *done);
        confirmed.extend(done.into_iter().map(|(id, _)| id));
        if waiting.is_empty() {
            return Ok(());
        }
        Err(ChunkError::DeletePending { blob, waiting: waiting.into_iter().map(|(id, _)| id).collect() })
    }
}
