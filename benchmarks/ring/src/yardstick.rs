//! How good a table is, read from the table alone, whoever built it.
//!
//! - **Dispersion**: the partitions whose pieces are less far apart than the devices allow. Two pieces of a partition
//!   may share a region, a zone, a node; of all sets of active devices some have the fewest pairs that share a region,
//!   of these some the fewest that share a zone, of these some the fewest that share a node. A partition that does
//!   not lie on such a set counts.
//! - **Balance**: how far the worst device is from its share by weight, up or down. A device that shall hold
//!   nothing, but does, is off by [`STRANDED`].
//!   Beside it stands what all devices together hold above their shares; it ranks nothing, but tells tables apart
//!   whose worst device is one that dispersion keeps off its share.
//! - **Moves**: pieces on a device that held none of their partition before; of one step, and since the first ring.

use ringfort_ring::{DeviceSpec, DeviceState};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::HashMap;

/// The deviation of a device that holds pieces and shall hold none. Swift's builder has the same convention.
const STRANDED: f64 = 9.9999;
/// Balances nearer than this are the same: they differ by the last bits of a division.
const SAME: f64 = 1e-9;
/// Region, zone, node, device.
const TIERS: usize = 4;

/// Pairs of pieces that share a region, a zone, a node, a device: compared in this order.
type Pairs = [usize; TIERS];

/// Which devices hold each partition, by id, `width` to a partition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Table {
    pub(crate) width: usize,
    pub(crate) holders: Vec<u32>,
}

impl Table {
    fn partitions(&self) -> impl Iterator<Item = &[u32]> {
        self.holders.chunks_exact(self.width)
    }
}

/// What the yardsticks say of a table.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Partitions less far apart than the devices allow.
    pub(crate) near: usize,
    /// The worst device's deviation from its share; 0.01 is 1 %.
    pub(crate) balance: f64,
    /// Pieces above the shares of their devices.
    pub(crate) above: f64,
    /// Pieces that came to a device; none for a first table.
    pub(crate) moves: usize,
    /// All moves of the history up to here.
    pub(crate) moves_so_far: usize,
}

/// Why one table is better than another: the first yardstick by which they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Difference {
    None,
    Moves,
    Balance,
    Dispersion,
}

impl Figures {
    /// Measures `table` over `devices`, which follows on `before`, a table that `moved` pieces led to.
    pub(crate) fn of(devices: &[DeviceSpec], before: Option<(&Table, usize)>, table: &Table) -> Self {
        let (moves, moved) = before.map_or((0, 0), |(before, moved)| (moves(before, table), moved));
        let (balance, above) = balance(devices, table);
        Self { near: near(devices, table), balance, above, moves, moves_so_far: moved + moves }
    }

    /// First by dispersion, then by balance, then by moves; the better one is less. Says what they differ by.
    ///
    /// Steps from the same table are compared by their own moves. In histories that each go their own way the moves so far
    /// count: a step that leaves a table less balanced leaves its moves to the next.
    pub(crate) fn compare(&self, other: &Self, from_same: bool) -> (Ordering, Difference) {
        let moves = |of: &Self| if from_same { of.moves } else { of.moves_so_far };
        let by = if self.near != other.near {
            return (self.near.cmp(&other.near), Difference::Dispersion);
        } else if (self.balance - other.balance).abs() >= SAME {
            return (self.balance.total_cmp(&other.balance), Difference::Balance);
        } else {
            moves(self).cmp(&moves(other))
        };
        (by, if by.is_eq() { Difference::None } else { Difference::Moves })
    }
}

/// The domains of each active device, by number: two devices share a domain if they have its number in common.
struct Places(HashMap<u32, [usize; TIERS]>);

impl Places {
    fn of(devices: &[DeviceSpec]) -> Self {
        let mut numbers: HashMap<(&str, &str, &str, Option<u32>), usize> = HashMap::new();
        let mut places = HashMap::new();
        for device in devices.iter().filter(|device| device.state == DeviceState::Active) {
            let (region, zone, node) = (device.region.as_str(), device.zone.as_str(), device.node.as_str());
            let domains = [
                (region, "", "", None),
                (region, zone, "", None),
                (region, zone, node, None),
                (region, zone, node, Some(device.id.0)),
            ];
            let mut number = |domain| {
                let next = numbers.len();
                *numbers.entry(domain).or_insert(next)
            };
            places.insert(device.id.0, domains.map(&mut number));
        }
        Self(places)
    }

    /// The pairs of a partition on these devices; none if one of them shall hold nothing.
    fn pairs(&self, holders: &[u32]) -> Option<Pairs> {
        let places: Vec<&[usize; TIERS]> =
            holders.iter().map(|id| self.0.get(id)).collect::<Option<Vec<_>>>()?;
        let mut pairs = [0; TIERS];
        for (at, one) in places.iter().enumerate() {
            for other in &places[..at] {
                for (count, (a, b)) in pairs.iter_mut().zip(one.iter().zip(*other)) {
                    *count += usize::from(a == b);
                }
            }
        }
        Some(pairs)
    }

    /// The fewest pairs of any `width` devices: each next one is the device that adds the fewest. In a tree of domains
    /// a choice made so is never one to take back, since what a domain's next piece adds only grows.
    fn fewest_pairs(&self, width: usize) -> Pairs {
        let mut left: Vec<&[usize; TIERS]> = self.0.values().collect();
        let mut taken: HashMap<usize, usize> = HashMap::new();
        let mut sum = [0; TIERS];
        for _ in 0..width {
            let adds = |place: &[usize; TIERS]| place.map(|domain| taken.get(&domain).copied().unwrap_or(0));
            let best = left.iter().enumerate().map(|(at, place)| (adds(place), at)).min();
            let Some((added, at)) = best else { break };
            for (tier, &domain) in left.swap_remove(at).iter().enumerate() {
                sum[tier] += added[tier];
                *taken.entry(domain).or_default() += 1;
            }
        }
        sum
    }
}

fn near(devices: &[DeviceSpec], table: &Table) -> usize {
    let places = Places::of(devices);
    let fewest = places.fewest_pairs(table.width);
    table.partitions().filter(|holders| places.pairs(holders) != Some(fewest)).count()
}

/// The worst device's deviation, and the pieces above all shares.
#[allow(clippy::cast_precision_loss)]
fn balance(devices: &[DeviceSpec], table: &Table) -> (f64, f64) {
    let mut loads: HashMap<u32, usize> = HashMap::new();
    for &id in &table.holders {
        *loads.entry(id).or_default() += 1;
    }
    let active: Vec<&DeviceSpec> = devices.iter().filter(|d| d.state == DeviceState::Active).collect();
    let weights: f64 = active.iter().map(|device| device.weight.milli() as f64).sum();
    let (mut worst, mut above) = (0.0_f64, 0.0);
    for device in active {
        let share = table.holders.len() as f64 * device.weight.milli() as f64 / weights;
        let load = loads.remove(&device.id.0).unwrap_or(0) as f64;
        worst = worst.max((load / share - 1.0).abs());
        above += (load - share).max(0.0);
    }
    // What is left is on devices that are draining or gone.
    let stranded: usize = loads.values().sum();
    (if stranded == 0 { worst } else { worst.max(STRANDED) }, above + stranded as f64)
}

fn moves(before: &Table, after: &Table) -> usize {
    let pairs = before.partitions().zip(after.partitions());
    pairs.map(|(was, is)| is.iter().filter(|id| !was.contains(id)).count()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};
    use ringfort_core::DeviceId;
    use ringfort_ring::Weight;

    fn device(id: u32, region: &str, zone: &str, node: &str) -> DeviceSpec {
        DeviceSpec::new(DeviceId(id)).at(region, zone, node)
    }

    fn table(width: usize, holders: &[u32]) -> Table {
        Table { width, holders: holders.to_vec() }
    }

    #[test]
    fn partitions_that_could_lie_farther_apart_count() {
        let devices = [
            device(0, "r", "a", "1"),
            device(1, "r", "a", "1"),
            device(2, "r", "a", "2"),
            device(3, "r", "b", "1"),
        ];
        // Two zones for two pieces; for three, two nodes of the zone that has two.
        assert_eq!(near(&devices, &table(2, &[0, 3, 1, 3, 0, 1, 0, 2])), 2);
        assert_eq!(near(&devices, &table(3, &[0, 2, 3, 1, 2, 3, 0, 1, 3, 0, 1, 2])), 2);
        // The same names elsewhere are other places.
        let apart = [device(0, "r", "a", "1"), device(1, "s", "a", "1"), device(2, "r", "b", "1")];
        assert_eq!(near(&apart, &table(2, &[0, 1, 1, 2, 0, 2])), 1);
    }

    #[test]
    fn a_piece_on_a_device_that_drains_is_off_by_all() {
        let mut devices = [device(0, "r", "a", "1"), device(1, "r", "b", "1"), device(2, "r", "c", "1")];
        devices[2].state = DeviceState::Draining;
        let figures = |holders: &[u32]| Figures::of(&devices, None, &table(1, holders));
        let expected = |near, balance, above| Figures { near, balance, above, moves: 0, moves_so_far: 0 };
        assert_eq!(figures(&[0, 1, 0, 1]), expected(0, 0.0, 0.0));
        assert_eq!(figures(&[0, 1, 0, 2]), expected(1, STRANDED, 1.0));
    }

    #[test]
    fn the_worst_device_is_the_balance() {
        let heavy = Weight::from_milli(2000).unwrap();
        let devices = [device(0, "r", "a", "1"), device(1, "r", "a", "1").with_weight(heavy)];
        let check = |holders: &[u32], worst: f64, above: f64| {
            let (found, found_above) = balance(&devices, &table(1, holders));
            assert!((found - worst).abs() < SAME && (found_above - above).abs() < SAME, "{holders:?}");
        };
        check(&[0, 0, 1, 1, 1, 1], 0.0, 0.0);
        check(&[0, 1, 1, 1, 1, 1], 0.5, 1.0);
        check(&[1, 1, 1], 1.0, 1.0);
    }

    #[test]
    fn a_piece_that_changes_its_position_does_not_move() {
        assert_eq!(moves(&table(2, &[0, 1, 2, 3]), &table(2, &[1, 0, 2, 4])), 1);
    }

    #[test]
    fn moves_add_up() {
        let devices = [device(0, "r", "a", "1"), device(1, "r", "b", "1"), device(2, "r", "c", "1")];
        let figures = Figures::of(&devices, Some((&table(1, &[0, 1, 2]), 7)), &table(1, &[1, 2, 2]));
        assert_eq!((figures.moves, figures.moves_so_far), (2, 9));
    }

    #[test]
    fn dispersion_comes_before_balance_and_balance_before_moves() {
        let figures =
            |near, balance, moves, moves_so_far| Figures { near, balance, above: 0.0, moves, moves_so_far };
        let compare = |from_same, a: Figures, b: Figures| {
            let (ordering, difference) = a.compare(&b, from_same);
            assert_eq!(b.compare(&a, from_same), (ordering.reverse(), difference));
            assert_ne!(ordering, Ordering::Greater);
            difference
        };
        assert_eq!(compare(true, figures(0, 0.2, 9, 9), figures(1, 0.1, 0, 0)), Difference::Dispersion);
        assert_eq!(compare(true, figures(0, 0.1, 9, 9), figures(0, 0.2, 0, 0)), Difference::Balance);
        assert_eq!(
            compare(true, figures(0, 0.1, 5, 9), figures(0, 0.1 + SAME / 2.0, 6, 8)),
            Difference::Moves
        );
        assert_eq!(compare(false, figures(0, 0.1, 6, 8), figures(0, 0.1, 5, 9)), Difference::Moves);
        assert_eq!(compare(true, figures(0, 0.1, 5, 8), figures(0, 0.1, 5, 9)), Difference::None);
    }

    /// The greedy choice against every set of devices.
    #[test]
    fn fewest_pairs_are_the_fewest_of_all_sets() {
        let mut rng = StdRng::seed_from_u64(1);
        for _ in 0..200 {
            let count = rng.random_range(1..=9_u32);
            let name = |rng: &mut StdRng, most: u32| rng.random_range(0..most).to_string();
            let devices: Vec<DeviceSpec> = (0..count)
                .map(|id| device(id, &name(&mut rng, 2), &name(&mut rng, 3), &name(&mut rng, 2)))
                .collect();
            let places = Places::of(&devices);
            for width in 1..=count {
                let sets = (0..1_u32 << count).filter(|set| set.count_ones() == width);
                let members = |set: u32| (0..count).filter(|at| set >> at & 1 == 1).collect::<Vec<u32>>();
                let fewest = sets.filter_map(|set| places.pairs(&members(set))).min();
                assert_eq!(fewest, Some(places.fewest_pairs(width as usize)), "{devices:?}");
            }
        }
    }
}
