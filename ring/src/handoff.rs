//! Stand-ins: the devices that take a partition's pieces while a primary is away.

use crate::rng::mix;
use crate::{DeviceSpec, PartitionId, RingTable};
use ringfort_core::DeviceId;

impl RingTable {
    /// The remaining active devices for `partition`, farthest failure domain first.
    ///
    /// Each next one is the device whose region, then zone, then node holds the fewest of the partition's devices and
    /// of the stand-ins already given out, so that stand-ins are spread too; among equals a hash of partition and
    /// device decides, leaning to heavier devices. Every process gets the same order from the same table. One step
    /// costs time in proportion to the number of devices; most callers take one or two.
    pub fn handoffs(&self, partition: PartitionId) -> impl Iterator<Item = DeviceId> + '_ {
        let mut used: Vec<&DeviceSpec> = self.devices(partition).iter().filter_map(|&id| self.spec(id)).collect();
        std::iter::from_fn(move || {
            let free = self.devices.iter().filter(|device| device.is_active());
            let best = free
                .filter(|device| !used.iter().any(|other| other.id == device.id))
                .min_by_key(|device| (crowding(device, &used), std::cmp::Reverse(preference(partition, device)), device.id))?;
            used.push(best);
            Some(best.id)
        })
    }
}

/// How many of `used` share the device's region, zone and node.
fn crowding(device: &DeviceSpec, used: &[&DeviceSpec]) -> (usize, usize, usize) {
    let mut shared = (0, 0, 0);
    for other in used.iter().filter(|other| other.region == device.region) {
        shared.0 += 1;
        if other.zone == device.zone {
            shared.1 += 1;
            shared.2 += usize::from(other.node == device.node);
        }
    }
    shared
}

/// A hash scaled by the weight. Integers only: every machine must find the same order.
fn preference(partition: PartitionId, device: &DeviceSpec) -> u128 {
    let hash = mix(mix(u64::from(partition.0) << 32 | u64::from(device.id.0)).wrapping_add(0x9e37_79b9_7f4a_7c15));
    u128::from(hash) * u128::from(device.weight.milli())
}
