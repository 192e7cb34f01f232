//! What an operator sees: is my data safe, and if it is not, why, and for how long.

use serde::{Deserialize, Serialize};

/// The state of a storage node and of the cluster as it knows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The cluster's id, 32 hexadecimal digits.
    pub cluster: String,
    /// The ring epoch in force.
    pub epoch: u64,
    /// The verdict in one word and in plain words.
    pub safety: Safety,
    /// Every device of the cluster.
    pub devices: Vec<DeviceStatus>,
    /// Every metadata group.
    pub groups: Vec<GroupHealth>,
    /// Every policy.
    pub policies: Vec<PolicyStatus>,
    /// How whole the stored data are.
    pub redundancy: RedundancyStatus,
    /// The ring change under way, if any.
    pub rebalance: Option<Progress>,
    /// The scrub under way or the last one.
    pub scrub: ScrubStatus,
    /// Condemned blobs whose deletion some device has not confirmed yet.
    pub delete_backlog: u64,
    /// Stored blobs without a record that are not deleted, because they are too many to be the remains of failed writes.
    pub held_orphans: u64,
}

/// How safe the data are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SafetyLevel {
    /// Full redundancy.
    Safe,
    /// Readable and writable, with less redundancy than promised for now, or with a standing weakness.
    #[default]
    Degraded,
    /// Some data cannot be read or written now.
    Unavailable,
    /// Some data are lost or damaged beyond repair.
    Lost,
}

/// The verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Safety {
    /// In one word.
    pub level: SafetyLevel,
    /// In a sentence.
    pub summary: String,
    /// Why, one sentence each, the worst first.
    pub reasons: Vec<String>,
    /// Nothing is known to be wrong, and the check since the start or since the last change of devices still runs.
    #[serde(default)]
    pub checking: bool,
}

/// One device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeviceStatus {
    /// Its id.
    pub id: u32,
    /// Its folder, if this process serves it.
    pub path: Option<String>,
    /// How often it was formatted.
    pub incarnation: u64,
    /// `region/zone/node`.
    pub place: String,
    /// Share of the data.
    pub weight: f64,
    /// `active`, `draining` or `removed` in the ring.
    pub ring_state: String,
    /// `in-service`, `full`, `failed` or `absent`.
    pub health: String,
    /// Why, when it is not in service.
    pub reason: Option<String>,
    /// Bytes the file system holds in all.
    pub capacity_bytes: u64,
    /// Bytes the device's log takes.
    pub used_bytes: u64,
    /// Bytes of it that are live.
    pub live_bytes: u64,
    /// Bytes still free for data (the reserve taken off).
    pub free_bytes: u64,
    /// Chunks stored.
    pub chunks: u64,
    /// Writes that wait for the device.
    pub queued: u64,
    /// Their bytes.
    pub queued_bytes: u64,
    /// Other devices on the same disk: they fail together.
    pub shares_disk_with: Vec<u32>,
}

/// One metadata group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupHealth {
    /// The group.
    pub id: u32,
    /// Devices that hold a voter.
    pub devices: Vec<u32>,
    /// The device of the leader, when there is one.
    pub leader: Option<u32>,
    /// Whether a majority of the voters is in service.
    pub quorum: bool,
    /// The highest log index any voter has applied.
    pub applied: u64,
    /// Commands that wait to be proposed.
    pub queued: u64,
    /// Voters it has.
    pub voters: usize,
    /// Voters that are in service.
    pub running: usize,
}

/// One storage policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyStatus {
    /// Its id.
    pub id: u16,
    /// Its name.
    pub name: String,
    /// `replicated:3`, `erasure:4+2`.
    pub redundancy: String,
    /// Device losses an acknowledged write survives.
    pub f: u8,
    /// The failure domain of which any one may be lost: `device`, `node`, `zone`, `region`, or `none`.
    pub domain: String,
    /// Whether writes can be acknowledged now under that promise, and the metadata groups keep up with it.
    pub promise_holds: bool,
}

/// How whole the stored data are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RedundancyStatus {
    /// Pieces known to be missing and not yet rebuilt.
    pub missing: u64,
    /// Pieces found damaged and not yet rebuilt.
    pub damaged: u64,
    /// Chunks of which too few good pieces are left to read them.
    pub unreadable: u64,
    /// Pieces rebuilt since the start.
    pub repaired: u64,
    /// Chunks waiting in the repair queue.
    pub queued: u64,
    /// The pass under way, if any.
    pub progress: Option<Progress>,
    /// Whether a pass has been completed since the last change that could have cost redundancy.
    pub checked: bool,
}

/// How far a pass is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What is going on.
    pub what: String,
    /// Per cent done.
    pub percent: f64,
    /// Steps done.
    pub done: u64,
    /// Steps in all, as far as known.
    pub total: u64,
    /// Bytes moved or read so far.
    pub bytes: u64,
    /// Seconds it will still take, as far as can be told.
    pub eta_s: Option<u64>,
    /// Whether it is paused.
    pub paused: bool,
}

/// The scrub.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScrubStatus {
    /// The scrub under way.
    pub progress: Option<Progress>,
    /// Pieces read in the last or current scrub.
    pub checked: u64,
    /// Damaged pieces it found.
    pub damaged: u64,
    /// When the last one ended, seconds since the Unix epoch.
    pub finished_s: Option<u64>,
    /// Scrubs that ended since the start.
    pub finished: u64,
}
