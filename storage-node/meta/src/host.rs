//! All voters of this process.

use crate::{DeviceReport, GroupStatus, MetaClient, MetaConfig, MetaError};
use ringfort_core::{DeviceId, GroupId, SessionId, VoterId};
use ringfort_engine::Engine;
use ringfort_runtime::TaskGroup;
use ringfort_storage_api::StateModel;
use std::sync::Arc;

/// All voters of this process. Cheap to clone.
#[derive(Clone)]
pub struct MetaHost {}

impl MetaHost {
    /// A host without devices.
    #[must_use]
    pub fn new(_tasks: TaskGroup, _model: Arc<dyn StateModel>, _config: MetaConfig) -> Self {
        todo!()
    }
    /// Adds a device and starts the voters of the groups found on it.
    pub async fn add_device(&self, _device: DeviceId, _voter: VoterId, _engine: Engine) -> Result<DeviceReport, MetaError> {
        todo!()
    }
    /// Stops the voters of a device that failed or is removed.
    pub async fn remove_device(&self, _device: DeviceId) {
        todo!()
    }
    /// First start of a group: makes `voters` its voters. Does nothing if the group exists.
    pub async fn bootstrap(&self, _group: GroupId, _voters: &[VoterId]) -> Result<(), MetaError> {
        todo!()
    }
    /// Makes `voters` the voters of `group`: new ones learn, catch up, then a joint change. Idempotent.
    pub async fn change_voters(&self, _group: GroupId, _voters: &[VoterId]) -> Result<(), MetaError> {
        todo!()
    }
    /// The state of all groups that have a voter here.
    #[must_use]
    pub fn group_status(&self) -> Vec<GroupStatus> {
        todo!()
    }
    /// A client whose commands belong to `session`.
    #[must_use]
    pub fn client(&self, _session: SessionId) -> MetaClient {
        todo!()
    }
    /// Registers a session of `node` in the system group and ends its earlier ones: see [`crate::kv`].
    pub async fn register_session(&self, _node: &str, _nonce: u64) -> Result<SessionId, MetaError> {
        todo!()
    }
    /// Stops all voters.
    pub async fn shutdown(&self) {
        todo!()
    }
}
