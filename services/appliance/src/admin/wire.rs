//! What goes over the admin socket.

use ringfort_storage_node::NodeStatus;
use serde::{Deserialize, Serialize};

/// Answer of `GET /v1/status`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StatusReply {
    pub(crate) process: ProcessStatus,
    pub(crate) node: NodeStatus,
}

/// The process that answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ProcessStatus {
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) uptime_s: u64,
    pub(crate) resident_bytes: u64,
    pub(crate) endpoints: Vec<Endpoint>,
}

/// One open port.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    pub(crate) service: String,
    pub(crate) url: String,
}

/// Body of `POST /v1/devices`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddDevice {
    /// Absolute.
    pub(crate) path: String,
    pub(crate) region: Option<String>,
    pub(crate) zone: Option<String>,
    pub(crate) node: Option<String>,
    pub(crate) weight: Option<f64>,
}

/// Body of `POST /v1/ring/plan`: the change to plan; none means what an earlier one left to do.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanChange {
    pub(crate) add: Option<AddDevice>,
    pub(crate) drain: Option<u32>,
}

/// Answer of `POST /v1/devices`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DeviceAdded {
    pub(crate) device: u32,
}

/// Any answer that is not a success.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) error: String,
    pub(crate) request_id: String,
}
