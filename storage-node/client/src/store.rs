//! The chunk store: what the object layer writes to and reads from.

use crate::view::ClusterView;
use crate::{ChunkError, Placement, RepairQueue, RepairRequest};
use parking_lot::Mutex;
use ringfort_codec::EcCodec;
use ringfort_core::{BlobId, Redundancy};
use ringfort_runtime::TaskGroup;
use std::collections::HashMap;
use std::sync::Arc;

/// Chunks over the devices of a cluster. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ChunkStore {
    pub(crate) view: ClusterView,
    pub(crate) tasks: TaskGroup,
    pub(crate) repairs: RepairQueue,
    codecs: Arc<Mutex<HashMap<(u8, u8), EcCodec>>>,
}

impl ChunkStore {
    /// A store over the cluster that `view` shows. Its unfinished writes belong to `tasks`.
    #[must_use]
    pub fn new(view: ClusterView, tasks: TaskGroup) -> Self {
        Self { view, tasks, repairs: RepairQueue::default(), codecs: Arc::default() }
    }

    /// The cluster as this store sees it.
    #[must_use]
    pub fn view(&self) -> &ClusterView {
        &self.view
    }

    /// Chunks that readers found to be less than whole.
    #[must_use]
    pub fn repairs(&self) -> &RepairQueue {
        &self.repairs
    }

    /// Which devices should hold chunk `number` of `blob`.
    ///
    /// # Errors
    /// [`ChunkError::UnknownPolicy`].
    pub fn placement(&self, policy: u16, blob: BlobId, number: u32) -> Result<Placement, ChunkError> {
        Placement::of(&self.view.load(), policy, blob, number).ok_or(ChunkError::UnknownPolicy { policy })
    }

    pub(crate) fn want_repair(&self, policy: u16, blob: BlobId, number: u32, len: u32, verify: bool) {
        self.repairs.push(RepairRequest { policy, blob, number, len, verify });
    }

    /// The codec of an erasure-coded policy, made once.
    pub(crate) fn codec(&self, redundancy: Redundancy) -> Result<Option<EcCodec>, ChunkError> {
        let Redundancy::Erasure { k, m } = redundancy else { return Ok(None) };
        let mut codecs = self.codecs.lock();
        if let Some(codec) = codecs.get(&(k, m)) {
            return Ok(Some(codec.clone()));
        }
        let codec = EcCodec::new(k, m).map_err(|error| ChunkError::Codec { reason: error.to_string() })?;
        codecs.insert((k, m), codec.clone());
        Ok(Some(codec))
    }

    /// Runs CPU-bound work off the async threads.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ChunkError> {
        self.tasks.spawn_blocking(work).await.map_err(|_| ChunkError::Stopping)
    }
}
