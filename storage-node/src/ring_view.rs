//! The ring in words for an operator.

use serde::{Deserialize, Serialize};

/// What a ring change moves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RingPlan {
    /// The epoch it would make.
    pub epoch: u64,
    /// Per policy.
    pub policies: Vec<PolicyPlan>,
    /// Bytes that move in all, by what the devices hold now.
    pub bytes: u64,
    /// Seconds it takes at the set pace.
    pub eta_s: u64,
    /// Why anything moves, in words.
    pub reasons: Vec<String>,
}

/// What a ring change moves of one policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PolicyPlan {
    /// Name of the policy.
    pub policy: String,
    /// Partition places that get another device.
    pub moves: u64,
    /// Partition places in all.
    pub places: u64,
    /// Per device: places it takes and gives.
    pub devices: Vec<DevicePlan>,
}

/// What a ring change does to one device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DevicePlan {
    /// The device.
    pub device: u32,
    /// Places it takes.
    pub takes: u64,
    /// Places it gives away.
    pub gives: u64,
}

/// The ring as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RingView {
    /// The epoch in force.
    pub epoch: u64,
    /// The epoch whose data are still moving.
    pub previous: Option<u64>,
    /// Whether the movement is paused.
    pub paused: bool,
    /// Partitions per policy.
    pub partitions: u64,
    /// Places each device has, by policy.
    pub policies: Vec<PolicyPlaces>,
}

/// Places of one policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PolicyPlaces {
    /// Name of the policy.
    pub policy: String,
    /// `(device, places)`.
    pub devices: Vec<(u32, u64)>,
}
