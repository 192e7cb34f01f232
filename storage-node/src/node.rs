//! The storage node: opens devices, starts the voters, keeps data whole, stops.

use crate::inner::Inner;
use crate::open::OpenedNode;
use crate::rings::RingStep;
use crate::{DeviceConfig, NodeConfig, NodeError, NodeStatus, RingPlan, RingView, open, reconcile};
use ringfort_core::{DeviceId, Policy, SessionId};
use ringfort_engine::Engine;
use ringfort_meta::MetaClient;
use ringfort_ring::DeviceState;
use ringfort_storage_api::StateModel;
use ringfort_storage_client::{BlobDirectory, ChunkStore};
use std::sync::Arc;
use std::time::Duration;

/// How long ending the session may take at a stop; the next start ends it otherwise.
const END_SESSION_TIMEOUT: Duration = Duration::from_secs(3);

/// Pause before a session that could not be ended is tried again.
const END_SESSION_AGAIN: Duration = Duration::from_secs(2);

/// A storage node in this process. Cheap to clone.
#[derive(Clone)]
pub struct StorageNode {
    inner: Arc<Inner>,
}

impl StorageNode {
    /// Opens the devices, makes a cluster of them on the first start, starts the voters and the background work.
    ///
    /// # Errors
    /// When a folder belongs elsewhere, has a newer format or is damaged, or when the system group finds no quorum.
    pub async fn open(config: NodeConfig, model: Arc<dyn StateModel>) -> Result<Self, NodeError> {
        let OpenedNode { inner, fresh, earlier } = open::open(config, model).await?;
        let node = Self { inner };
        node.inner.add_policies().await?;
        for device in fresh {
            let path = device.path.display().to_string();
            match node.add_device(device).await {
                Ok(id) => tracing::info!(path, device = %id, "a new folder was added as a device"),
                Err(error) => {
                    tracing::warn!(path, %error, "a new folder was not added; add it when this is settled")
                }
            }
        }
        reconcile::start(&node.inner);
        let ending = end_sessions(Arc::clone(&node.inner), earlier);
        node.inner.tasks.background.spawn_until_stopped(ending);
        Ok(node)
    }

    /// The metadata groups, on behalf of this process's session.
    #[must_use]
    pub fn meta(&self) -> MetaClient {
        self.inner.meta.clone()
    }

    /// The chunks.
    #[must_use]
    pub fn chunks(&self) -> ChunkStore {
        self.inner.chunks.clone()
    }

    /// The cluster's policies, the default one first.
    #[must_use]
    pub fn policies(&self) -> Vec<Policy> {
        self.inner.map.load().policies.clone()
    }

    /// Hands the owner of blob records to the reconcilers, which wait for it.
    pub fn set_directory(&self, directory: Arc<dyn BlobDirectory>) {
        self.inner.reconcilers.set_directory(directory);
    }

    /// Is my data safe? And everything behind the answer.
    pub async fn status(&self) -> NodeStatus {
        let inner = Arc::clone(&self.inner);
        // Sizes of file systems are asked for.
        self.inner.blocking(move || inner.status()).await.unwrap_or_default()
    }

    /// Formats a folder as a new device and gives it a share of the data.
    ///
    /// # Errors
    /// When the folder is in use or the ring cannot be planned.
    pub async fn add_device(&self, device: DeviceConfig) -> Result<DeviceId, NodeError> {
        let inner = Arc::clone(&self.inner);
        self.own(async move { inner.add_device(device).await }).await
    }

    /// Moves everything off a device; it stays in service until it is empty.
    ///
    /// # Errors
    /// When there is no such device or the rest could not hold the policies.
    pub async fn drain_device(&self, device: DeviceId) -> Result<(), NodeError> {
        let inner = Arc::clone(&self.inner);
        self.own(async move { inner.drain_device(device).await }).await
    }

    /// Takes a device out for ever: a drained one, or with `force` one that is lost.
    ///
    /// # Errors
    /// When the device still holds data and `force` is not given.
    pub async fn remove_device(&self, device: DeviceId, force: bool) -> Result<(), NodeError> {
        let inner = Arc::clone(&self.inner);
        self.own(async move { inner.remove_device(device, force).await }).await
    }

    /// What the next ring change would move, without making it.
    ///
    /// # Errors
    /// When the ring cannot be planned.
    pub async fn ring_plan(&self) -> Result<RingPlan, NodeError> {
        self.inner.plan_ring(|_| Ok(())).await
    }

    /// What draining a device would move.
    ///
    /// # Errors
    /// When there is no such device or the rest could not hold the policies.
    pub async fn plan_drain(&self, device: DeviceId) -> Result<RingPlan, NodeError> {
        self.inner
            .plan_ring(|map| {
                let record = map.devices.get_mut(&device).ok_or(NodeError::NoSuchDevice { device })?;
                record.state = DeviceState::Draining;
                Ok(())
            })
            .await
    }

    /// What adding a device would move.
    ///
    /// # Errors
    /// When the ring cannot be planned.
    pub async fn plan_add(&self, device: DeviceConfig) -> Result<RingPlan, NodeError> {
        let config = self.inner.config.clone();
        self.inner
            .plan_ring(|map| {
                let (id, voter) = (map.counters.take_device(), map.counters.take_voter());
                let record = open::record_of(&config, &device, id, ringfort_core::Incarnation(1), voter)?;
                map.devices.insert(id, record);
                Ok(())
            })
            .await
    }

    /// The ring as it is.
    ///
    /// # Errors
    /// None in a single process; a remote node's ring may not be reachable.
    pub async fn ring(&self) -> Result<RingView, NodeError> {
        Ok(self.inner.ring_view())
    }

    /// Holds the data movement of a ring change.
    ///
    /// # Errors
    /// When no ring change is under way.
    pub async fn ring_pause(&self) -> Result<(), NodeError> {
        self.ring_step(RingStep::Pause).await
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When no ring change is paused.
    pub async fn ring_resume(&self) -> Result<(), NodeError> {
        self.ring_step(RingStep::Resume).await
    }

    /// Takes the ring change back.
    ///
    /// # Errors
    /// When no ring change is under way.
    pub async fn ring_revert(&self) -> Result<(), NodeError> {
        self.ring_step(RingStep::Revert).await
    }

    async fn ring_step(&self, step: RingStep) -> Result<(), NodeError> {
        let inner = Arc::clone(&self.inner);
        self.own(async move { inner.ring_step(step).await }).await
    }

    /// Starts a scrub now, unless one is running; [`Self::status`] tells how far it is.
    pub fn scrub(&self) {
        if self.inner.reconcilers.scrub_pass.progress(false).is_none() {
            self.inner.reconcilers.wake_scrub();
        }
    }

    /// Looks for missing pieces now instead of at the next turn.
    pub fn repair(&self) {
        self.inner.reconcilers.wake_repair();
    }

    /// Deletes what is condemned now instead of at the next turn.
    pub fn collect_garbage(&self) {
        self.inner.reconcilers.wake_gc();
    }

    /// Runs a change to its end even when the caller goes away: half of one would leave the map and the devices apart.
    async fn own<T: Send + 'static>(
        &self,
        change: impl Future<Output = Result<T, NodeError>> + Send + 'static,
    ) -> Result<T, NodeError> {
        let task = self.inner.tasks.background.spawn(change);
        task.await.unwrap_or(Err(NodeError::Stopping))
    }

    /// Stops the background work, ends the session, stops the voters, closes the engines.
    pub async fn shutdown(&self) {
        let inner = &self.inner;
        inner.tasks.background.stop().await;
        inner.tasks.chunks.stop().await;
        let ended = tokio::time::timeout(END_SESSION_TIMEOUT, inner.host.end_session(inner.session)).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::info!(session = %inner.session, "the session is ended by the next start");
        }
        inner.host.shutdown().await;
        inner.tasks.meta.stop().await;
        let engines: Vec<Engine> = inner.engines().into_iter().map(|(_, engine)| engine).collect();
        let closing: Vec<_> = engines
            .into_iter()
            .map(|engine| inner.tasks.background.spawn_blocking(move || engine.close()))
            .collect();
        for closed in closing {
            if closed.await.is_err() {
                tracing::error!("closing an engine panicked");
            }
        }
    }
}

/// Ends the sessions of earlier runs, as soon as every metadata group answers.
async fn end_sessions(inner: Arc<Inner>, earlier: Vec<SessionId>) {
    for session in earlier {
        while let Err(error) = inner.host.end_session(session).await {
            tracing::debug!(%session, %error, "an earlier session is ended later");
            tokio::time::sleep(END_SESSION_AGAIN).await;
        }
    }
}
