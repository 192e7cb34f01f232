//! A storage node: its devices, its voters, and the reconcilers that keep stored data whole.

mod config;
mod error;
mod node;
mod ring_view;
mod status;

pub use config::{DeviceConfig, NodeConfig, ReconcileConfig};
pub use error::NodeError;
pub use node::StorageNode;
pub use ring_view::{DevicePlan, PolicyPlaces, PolicyPlan, RingPlan, RingView};
pub use status::{
    DeviceStatus, GroupHealth, NodeStatus, PolicyStatus, Progress, RedundancyStatus, Safety, SafetyLevel, ScrubStatus,
};
