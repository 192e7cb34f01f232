//! Voters of metadata groups: distinct devices, apart, and no device with more groups than it must have.

use crate::rng::mix;
use crate::spread::{DomainAt, Tree};
use crate::{DeviceSpec, RingTable};
use ringfort_core::{DeviceId, GroupId};

/// Groups are laid out in rounds of this many, so that the cost of asking for any one is bounded.
const ROUND: u32 = 1024;

impl RingTable {
    /// The devices for the `count` voters of `group`, as far apart as the active devices allow; all of them if there
    /// are fewer.
    ///
    /// Groups are laid out one after the other from group 0: of the domains, then of the devices that are equally
    /// far apart, the ones with the fewest voters per device come first, so that the voters of any number of groups
    /// are spread evenly. Weights do not count: a voter costs the same on every device. A function of the active
    /// devices, not of the assignment; after devices come or go it may name other devices, and it is for the owner
    /// of the groups to decide which voters to move.
    #[must_use]
    pub fn slot_voters(&self, group: GroupId, count: usize) -> Vec<DeviceId> {
        let active: Vec<&DeviceSpec> = self.specs().iter().filter(|device| device.is_active()).collect();
        let count = count.min(active.len());
        if count == 0 {
            return Vec::new();
        }
        let tree = Tree::new(&active, |_| 1.0, count);
        let mut layout =
            Layout { tree: &tree, voters: vec![0; tree.domains.len()], salt: mix(u64::from(self.seed()[0])) };
        let mut chosen = Vec::with_capacity(count);
        for round in 0..=group.0 % ROUND {
            chosen.clear();
            layout.choose(0, count, round, &mut chosen);
        }
        chosen.into_iter().map(|device| active[device].id).collect()
    }
}

/// Voters per domain so far.
struct Layout<'a> {
    tree: &'a Tree,
    voters: Vec<u32>,
    salt: u64,
}

impl Layout<'_> {
    /// Chooses `count` devices below `at`.
    fn choose(&mut self, at: DomainAt, count: usize, round: u32, chosen: &mut Vec<usize>) {
        let tree = self.tree;
        let domain = &tree.domains[at];
        self.voters[at] += u32::try_from(count).unwrap_or(u32::MAX);
        if domain.children.is_empty() {
            chosen.extend(std::iter::repeat_n(domain.device, count));
            return;
        }
        let based: usize = domain.children.clone().map(|child| tree.domains[child].base as usize).sum();
        let mut flex: Vec<DomainAt> =
            domain.children.clone().filter(|&child| tree.domains[child].flex).collect();
        flex.sort_by(|&a, &b| {
            let fullness = |at: DomainAt| f64::from(self.voters[at]) / tree.domains[at].weight;
            let tie = |at: DomainAt| mix(self.salt ^ (u64::from(round) << 32) ^ at as u64);
            fullness(a).total_cmp(&fullness(b)).then(tie(a).cmp(&tie(b)))
        });
        flex.truncate(count.saturating_sub(based));
        for child in domain.children.clone() {
            let wants = tree.domains[child].base as usize + usize::from(flex.contains(&child));
            if wants > 0 {
                self.choose(child, wants, round, chosen);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Builder, DeviceSpec};
    use ringfort_core::{DeviceId, GroupId};
    use std::collections::{BTreeMap, BTreeSet};

    /// Voters per device over `groups` groups of three, on devices spread over `zones`.
    fn voters_per_device(devices: u32, zones: u32, groups: u32) -> BTreeMap<DeviceId, u32> {
        let specs: Vec<DeviceSpec> = (0..devices)
            .map(|id| DeviceSpec::new(DeviceId(id)).at("r", &format!("z{}", id % zones), &format!("n{id}")))
            .collect();
        let table = Builder::new(1, [3; 32]).with_power(4).plan(None, &specs).unwrap().table;
        let mut counts = BTreeMap::new();
        for group in 0..groups {
            let voters = table.slot_voters(GroupId(group), 3);
            let spread: BTreeSet<u32> = voters.iter().map(|id| id.0 % zones).collect();
            let distinct: BTreeSet<&DeviceId> = voters.iter().collect();
            assert_eq!((voters.len(), distinct.len()), (3, 3));
            assert_eq!(spread.len(), zones.min(3) as usize, "voters of a group lie apart");
            for id in voters {
                *counts.entry(id).or_default() += 1;
            }
        }
        counts
    }

    /// Fails if `Layout::choose` sorts by `tie` alone.
    #[test]
    fn voters_are_spread_evenly() {
        for (devices, zones, groups) in
            [(4, 1, 9), (4, 4, 9), (6, 3, 9), (10, 5, 9), (7, 1, 100), (12, 4, 33)]
        {
            let counts = voters_per_device(devices, zones, groups);
            let (fair, rest) = (groups * 3 / devices, groups * 3 % devices);
            assert_eq!(counts.values().sum::<u32>(), groups * 3);
            assert!(
                counts.values().all(|&n| n >= fair && n <= fair + u32::from(rest > 0)),
                "{devices} {zones} {counts:?}"
            );
        }
    }

    #[test]
    fn fewer_devices_than_voters() {
        let table =
            Builder::new(1, [3; 32]).with_power(4).plan(None, &[DeviceSpec::new(DeviceId(9))]).unwrap().table;
        assert_eq!(table.slot_voters(GroupId(5), 3), [DeviceId(9)]);
        assert!(table.slot_voters(GroupId(5), 0).is_empty());
    }
}
