//! What a storage node is told when it starts.

use crate::NodeError;
use ringfort_core::Policy;
use std::path::PathBuf;
use std::time::Duration;

/// One device folder.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceConfig {
    /// The folder; made on first start.
    pub path: PathBuf,
    /// Region, the widest failure domain.
    pub region: String,
    /// Zone within the region.
    pub zone: String,
    /// Node within the zone.
    pub node: String,
    /// Share of the data it takes, relative to the others; 1.0 for equal shares.
    pub weight: f64,
}

impl DeviceConfig {
    /// A device at `path` in the default region, zone and node, with weight 1.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            region: "region1".to_owned(),
            zone: "zone1".to_owned(),
            node: "node1".to_owned(),
            weight: 1.0,
        }
    }
}

/// How fast the background work may go, and how often it looks.
#[derive(Clone, Debug, PartialEq)]
pub struct ReconcileConfig {
    /// Time between two looks at the device folders.
    pub watch_every: Duration,
    /// Time between two full passes of the repair reconciler when nothing calls for one.
    pub repair_every: Duration,
    /// Time between the starts of two scrubs.
    pub scrub_every: Duration,
    /// Time between two garbage collections.
    pub gc_every: Duration,
    /// Time between two searches for orphans.
    pub orphans_every: Duration,
    /// Bytes per second that repair, rebalance and scrub may each move or read.
    pub bytes_per_s: u64,
    /// Share of the blobs of one device that one search for orphans may condemn before it stops by itself.
    pub orphan_share_max: f64,
}

impl Default for ReconcileConfig {
    fn default() -> Self {
        Self {
            watch_every: Duration::from_secs(1),
            repair_every: Duration::from_secs(600),
            scrub_every: Duration::from_secs(7 * 24 * 3600),
            gc_every: Duration::from_secs(10),
            orphans_every: Duration::from_secs(3600),
            bytes_per_s: 256 * 1024 * 1024,
            orphan_share_max: 0.2,
        }
    }
}

/// What a storage node is told when it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeConfig {
    /// Folder of the process: cluster identity, and by default the device folders.
    pub data_dir: PathBuf,
    /// The devices this process serves.
    pub devices: Vec<DeviceConfig>,
    /// Policies of a new cluster, the first is the default; a cluster that exists keeps its own and gains new names.
    pub policies: Vec<Policy>,
    /// Bytes of memory for RocksDB's block caches and write buffers of all devices together.
    pub index_memory_bytes: usize,
    /// Bytes of free space each device keeps for deletes, the Raft log and compaction.
    pub reserve_bytes: Option<u64>,
    /// Size of an extent file of the engines; `None` for their default.
    pub extent_bytes: Option<u64>,
    /// Most bytes each device's log may take; `None` for all that the file system gives.
    pub capacity_bytes: Option<u64>,
    /// Power of two of the number of ring partitions of a new cluster (policies of many pieces get fewer).
    pub ring_power: u8,
    /// The background work.
    pub reconcile: ReconcileConfig,
}

impl NodeConfig {
    /// The default share of memory for the indexes.
    pub const INDEX_MEMORY_BYTES_DEFAULT: usize = 64 * 1024 * 1024;

    /// A node of these devices and policies, everything else by default.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>, devices: Vec<DeviceConfig>, policies: Vec<Policy>) -> Self {
        Self {
            data_dir: data_dir.into(),
            devices,
            policies,
            index_memory_bytes: Self::INDEX_MEMORY_BYTES_DEFAULT,
            reserve_bytes: None,
            extent_bytes: None,
            capacity_bytes: None,
            ring_power: ringfort_ring::POWER_DEFAULT,
            reconcile: ReconcileConfig::default(),
        }
    }

    /// Every fault of the configuration at once.
    pub(crate) fn validate(&self) -> Result<(), NodeError> {
        let mut faults = Vec::new();
        if self.devices.is_empty() {
            faults.push("no device is given".to_owned());
        }
        if self.policies.is_empty() {
            faults.push("no storage policy is given".to_owned());
        }
        for (at, device) in self.devices.iter().enumerate() {
            let path = device.path.display();
            if self.devices[..at].iter().any(|other| other.path == device.path) {
                faults.push(format!("device folder {path} is given twice"));
            }
            if let Err(error) = ringfort_ring::Weight::from_f64(device.weight) {
                faults.push(format!("device folder {path}: {error}"));
            }
            for (what, name) in [("region", &device.region), ("zone", &device.zone), ("node", &device.node)] {
                if name.is_empty()
                    || name.len() > ringfort_ring::NAME_BYTES_MAX
                    || name.chars().any(char::is_control)
                {
                    faults.push(format!(
                        "device folder {path}: the {what} name is empty, too long or has odd characters"
                    ));
                }
            }
        }
        for (at, policy) in self.policies.iter().enumerate() {
            let earlier = &self.policies[..at];
            if earlier.iter().any(|other| other.id == policy.id || other.name == policy.name) {
                faults.push(format!("storage policy {} is given twice", policy.name));
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(NodeError::Config { reason: faults.join("; ") }) }
    }
}
