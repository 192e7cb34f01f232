//! The storage node: opens devices, starts the voters, keeps data whole, stops.

use crate::{DeviceConfig, NodeConfig, NodeError, NodeStatus, RingPlan, RingView};
use ringfort_core::{DeviceId, Policy};
use ringfort_meta::MetaClient;
use ringfort_storage_api::StateModel;
use ringfort_storage_client::{BlobDirectory, ChunkStore};
use std::sync::Arc;

/// A storage node in this process. Cheap to clone.
#[derive(Clone)]
pub struct StorageNode {}

impl StorageNode {
    /// Opens the devices, makes a cluster of them on the first start, starts the voters and the background work.
    ///
    /// # Errors
    /// When a folder belongs elsewhere, has a newer format or is damaged, or when the system group finds no quorum.
    pub async fn open(config: NodeConfig, model: Arc<dyn StateModel>) -> Result<Self, NodeError> {
        let _ = (config, model);
        Err(NodeError::Stopping)
    }

    /// The metadata groups.
    #[must_use]
    pub fn meta(&self) -> MetaClient {
        unreachable!("no node was opened")
    }

    /// The chunks.
    #[must_use]
    pub fn chunks(&self) -> ChunkStore {
        unreachable!("no node was opened")
    }

    /// The cluster's policies, the default one first.
    #[must_use]
    pub fn policies(&self) -> Vec<Policy> {
        Vec::new()
    }

    /// Hands the owner of blob records to the reconcilers, which wait for it.
    pub fn set_directory(&self, directory: Arc<dyn BlobDirectory>) {
        let _ = directory;
    }

    /// Is my data safe? And everything behind the answer.
    pub async fn status(&self) -> NodeStatus {
        NodeStatus::default()
    }

    /// Formats a folder as a new device and gives it a share of the data.
    ///
    /// # Errors
    /// When the folder is in use or the ring cannot be planned.
    pub async fn add_device(&self, device: DeviceConfig) -> Result<DeviceId, NodeError> {
        let _ = device;
        Err(NodeError::Stopping)
    }

    /// Moves everything off a device; it stays in service until it is empty.
    ///
    /// # Errors
    /// When there is no such device or the rest could not hold the policies.
    pub async fn drain_device(&self, device: DeviceId) -> Result<(), NodeError> {
        let _ = device;
        Err(NodeError::Stopping)
    }

    /// Takes a device out for ever: a drained one, or with `force` one that is lost.
    ///
    /// # Errors
    /// When the device still holds data and `force` is not given.
    pub async fn remove_device(&self, device: DeviceId, force: bool) -> Result<(), NodeError> {
        let _ = (device, force);
        Err(NodeError::Stopping)
    }

    /// What the next ring change would move, without making it.
    ///
    /// # Errors
    /// When the ring cannot be planned.
    pub async fn ring_plan(&self) -> Result<RingPlan, NodeError> {
        Err(NodeError::Stopping)
    }

    /// The ring as it is.
    pub async fn ring(&self) -> Result<RingView, NodeError> {
        Err(NodeError::Stopping)
    }

    /// Holds the data movement of a ring change.
    ///
    /// # Errors
    /// When no ring change is under way.
    pub async fn ring_pause(&self) -> Result<(), NodeError> {
        Err(NodeError::Stopping)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When no ring change is paused.
    pub async fn ring_resume(&self) -> Result<(), NodeError> {
        Err(NodeError::Stopping)
    }

    /// Takes the ring change back.
    ///
    /// # Errors
    /// When no ring change is under way.
    pub async fn ring_revert(&self) -> Result<(), NodeError> {
        Err(NodeError::Stopping)
    }

    /// Starts a scrub now, unless one is running; [`Self::status`] tells how far it is.
    pub fn scrub(&self) {}

    /// Looks for missing pieces now instead of at the next turn.
    pub fn repair(&self) {}

    /// Stops the background work, ends the session, closes the engines.
    pub async fn shutdown(&self) {}
}
