//! Limits and times of metadata groups.

use ringfort_core::GROUP_COUNT_DEFAULT;
use std::time::Duration;

/// Limits and times; the defaults suit voters in one process or one rack.
#[derive(Clone, Debug)]
pub struct MetaConfig {
    /// Ordinary groups, with ids from 1; slot `s` belongs to group `1 + s % groups` until a slot table says otherwise.
    pub groups: u32,
    /// A leader speaks to its followers at least this often (openraft's timer runs at one and a half times this).
    pub heartbeat: Duration,
    /// A follower that hears nothing for between these two campaigns; the greater is also the time for which a voter that
    /// has heard a leader grants no vote.
    pub election_timeout_min: Duration,
    /// See [`Self::election_timeout_min`].
    pub election_timeout_max: Duration,
    /// How long after the send time of its last quorum-acknowledged message a leader answers reads. Below
    /// [`Self::election_timeout_max`] by more than clocks drift in that time.
    pub lease: Duration,
    /// Commands in one proposal.
    pub batch_commands_max: usize,
    /// Bytes in one proposal; also the most one command may have.
    pub batch_bytes_max: usize,
    /// Commands that may wait before one group; more are answered [`crate::MetaError::Busy`].
    pub queue_commands_max: usize,
    /// Bytes that may wait before one group.
    pub queue_bytes_max: usize,
    /// Proposals of one group under way at once. One: the next batch grows meanwhile, and cost follows commands per entry (ADR
    /// 0001).
    pub pipeline: usize,
    /// Commands a session may have outstanding, over all groups.
    pub lanes_max: u32,
    /// A command that has no result by then answers [`crate::MetaError::Timeout`].
    pub command_timeout: Duration,
    /// A query that finds no leader with a lease by then answers [`crate::MetaError::NoLeader`].
    pub query_timeout: Duration,
    /// A change of voters gives up waiting for a new voter to catch up after this long without progress.
    pub catch_up_timeout: Duration,
    /// Bytes of log a voter keeps below its applied index, so that a short absence needs no snapshot.
    pub log_tail_bytes: u64,
    /// How often logs are looked at for purging.
    pub purge_interval: Duration,
}

impl Default for MetaConfig {
    fn default() -> Self {
        Self {
            groups: GROUP_COUNT_DEFAULT,
            heartbeat: Duration::from_millis(200),
            election_timeout_min: Duration::from_millis(700),
            election_timeout_max: Duration::from_millis(1000),
            lease: Duration::from_millis(850),
            batch_commands_max: 256,
            batch_bytes_max: 2 << 20,
            queue_commands_max: 4096,
            queue_bytes_max: 8 << 20,
            pipeline: 1,
            lanes_max: 4096,
            command_timeout: Duration::from_secs(20),
            query_timeout: Duration::from_secs(10),
            catch_up_timeout: Duration::from_secs(60),
            log_tail_bytes: 8 << 20,
            purge_interval: Duration::from_secs(2),
        }
    }
}
