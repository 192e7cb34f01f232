//! Voters of metadata groups: distinct devices, apart, and no device with more groups than it must have.

use crate::RingTable;
use ringfort_core::{DeviceId, GroupId};

impl RingTable {
    /// The devices for the `count` voters of `group`; all active devices if there are fewer.
    #[must_use]
    pub fn slot_voters(&self, group: GroupId, count: usize) -> Vec<DeviceId> {
        let active: Vec<DeviceId> = self.devices.iter().filter(|d| d.is_active()).map(|d| d.id).collect();
        (0..count.min(active.len())).map(|at| active[(group.0 as usize + at) % active.len()]).collect()
    }
}
