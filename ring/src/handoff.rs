//! Stand-ins: the devices that take a partition's pieces while a primary is away.

use crate::rng::mix;
use crate::{DeviceSpec, PartitionId, RingTable};
use ringfort_core::DeviceId;
use std::cmp::Reverse;

impl RingTable {
    /// The remaining active devices for `partition`, farthest failure domain first.
    ///
    /// Each next one is the device whose region, then zone, then node holds the fewest of the partition's devices and
    /// of the stand-ins already given out, so that stand-ins are spread too; among equals a hash of partition and
    /// device decides, leaning to heavier devices. Every process gets the same order from the same table. One step
    /// costs time in proportion to the number of devices; most callers take one or two.
    ///
    /// # Panics
    /// If `partition` is not one of this table's ([`Self::partitions`]).
    pub fn handoffs(&self, partition: PartitionId) -> impl Iterator<Item = DeviceId> + '_ {
        let primaries = self.devices(partition);
        let free = self.specs().iter().filter(|device| device.is_active() && !primaries.contains(&device.id));
        let mut free: Vec<Candidate<'_>> = free.map(|device| Candidate::new(partition, device)).collect();
        for primary in primaries.iter().filter_map(|&id| self.spec(id)) {
            free.iter_mut().for_each(|candidate| candidate.meet(primary));
        }
        std::iter::from_fn(move || {
            let (at, _) = free.iter().enumerate().min_by_key(|(_, candidate)| candidate.key())?;
            let best = free.swap_remove(at).device;
            free.iter_mut().for_each(|candidate| candidate.meet(best));
            Some(best.id)
        })
    }
}

struct Candidate<'a> {
    device: &'a DeviceSpec,
    /// Devices in use that share its region, zone and node.
    shared: [u32; 3],
    preference: u128,
}

impl<'a> Candidate<'a> {
    /// The preference is a hash scaled by the weight. Integers only: every machine must find the same order.
    fn new(partition: PartitionId, device: &'a DeviceSpec) -> Self {
        let hash =
            mix(mix(u64::from(partition.0) << 32 | u64::from(device.id.0))
                .wrapping_add(0x9e37_79b9_7f4a_7c15));
        Self { device, shared: [0; 3], preference: u128::from(hash) * u128::from(device.weight.milli()) }
    }

    fn meet(&mut self, other: &DeviceSpec) {
        let same_region = self.device.region == other.region;
        let same_zone = same_region && self.device.zone == other.zone;
        let same_node = same_zone && self.device.node == other.node;
        for (shared, same) in self.shared.iter_mut().zip([same_region, same_zone, same_node]) {
            *shared += u32::from(same);
        }
    }

    fn key(&self) -> ([u32; 3], Reverse<u128>, DeviceId) {
        (self.shared, Reverse(self.preference), self.device.id)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Builder, DeviceSpec, DeviceState, PartitionId};
    use ringfort_core::DeviceId;
    use std::collections::BTreeSet;

    /// Fails if `key` leaves out `shared`, or if a handoff given out is not met by the others.
    #[test]
    fn farthest_first_and_each_once() {
        let place =
            |id: u32| DeviceSpec::new(DeviceId(id)).at("r", &format!("z{}", id % 4), &format!("n{}", id % 8));
        let mut specs: Vec<DeviceSpec> = (0..16).map(place).collect();
        specs[15].state = DeviceState::Draining;
        let table = Builder::new(3, [5; 32]).with_power(8).plan(None, &specs).unwrap().table;
        let mut firsts = BTreeSet::new();
        for partition in table.partitions() {
            let primaries = table.devices(partition);
            let handoffs: Vec<DeviceId> = table.handoffs(partition).collect();
            let all: BTreeSet<DeviceId> = primaries.iter().chain(&handoffs).copied().collect();
            assert_eq!((all.len(), handoffs.len()), (15, 12), "all active devices, each once");
            assert!(!all.contains(&DeviceId(15)));
            let zones = |ids: &[DeviceId]| ids.iter().map(|id| id.0 % 4).collect::<BTreeSet<u32>>();
            assert!(!zones(primaries).contains(&(handoffs[0].0 % 4)), "the first is in the unused zone");
            assert_eq!(zones(&handoffs[1..5]).len(), 4, "the next four lie in four zones");
            firsts.insert(handoffs[0]);
        }
        assert_eq!(firsts.len(), 15, "stand-ins are spread over all devices");
        let again: Vec<DeviceId> = table.handoffs(PartitionId(7)).collect();
        assert_eq!(again, table.clone().handoffs(PartitionId(7)).collect::<Vec<_>>());
    }
}
