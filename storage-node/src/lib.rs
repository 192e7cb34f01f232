//! A storage node: its devices, its voters, and the reconcilers that keep stored data whole.
//!
//! ```text
//! open -> identities -> engines -> voters -> cluster map (system group) -> picture of the cluster -> ChunkStore, MetaClient
//!                                                ^                               ^
//!                     add, drain, remove, ring --+        watcher: lost, wiped --+--> repair, rebalance, scrub, gc
//! ```
//!
//! The cluster map in the system group says what should be; the open folders say what is. Everything in the background
//! only brings the second nearer to the first.

mod config;
mod devices;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod groups;
mod identity;
mod inner;
mod local;
mod node;
mod open;
mod preflight;
mod reconcile;
mod records;
mod report;
mod ring_view;
mod rings;
mod status;
mod voters;
mod watch;

pub use config::{DeviceConfig, NodeConfig, ReconcileConfig};
pub use error::NodeError;
pub use node::StorageNode;
pub use preflight::FolderFault;
pub use report::shared_disks;
pub use ring_view::{DevicePlan, PolicyPlaces, PolicyPlan, RingPlan, RingView};
pub use status::{
    DeviceStatus, GroupHealth, NodeStatus, PolicyStatus, Progress, RedundancyStatus, Safety, SafetyLevel,
    ScrubStatus,
};
