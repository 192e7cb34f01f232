//! What the builder promises, against oracles that know nothing of its method (`support`).
//!
//! Each property has been seen to fail; the doc comment says on which change to the builder.

#![allow(clippy::unwrap_used, clippy::cast_precision_loss, clippy::cast_possible_truncation)]

mod support;

use proptest::prelude::*;
use ringfort_core::DeviceId;
use ringfort_ring::{Builder, DeviceSpec, DeviceState, Plan, RingError, RingTable, Weight, plan};
use std::time::{Duration, Instant};
use support::flow::fewest_moves;
use support::optimum::{Optimum, pairs};
use support::{devices, step};

fn cases(most: u32) -> ProptestConfig {
    let given = ProptestConfig::default();
    // `PROPTEST_CASES` raises what is a modest number by default.
    let default = ProptestConfig::with_cases(256).cases;
    ProptestConfig {
        failure_persistence: None,
        cases: if given.cases == default { most } else { given.cases },
        ..given
    }
}

fn spec_of<'a>(devices: &'a [DeviceSpec], id: &DeviceId) -> &'a DeviceSpec {
    devices.iter().find(|device| device.id == *id).unwrap()
}

/// Every partition lies as far apart as any set of devices can.
fn check_dispersion(table: &RingTable, devices: &[DeviceSpec]) -> Result<(), TestCaseError> {
    let optimum = Optimum::of(devices, table.width());
    for partition in table.partitions() {
        let set: Vec<&DeviceSpec> = table.devices(partition).iter().map(|id| spec_of(devices, id)).collect();
        prop_assert!(set.iter().all(|device| device.state == DeviceState::Active));
        prop_assert_eq!(pairs(&set), optimum.pairs, "partition {}", partition);
    }
    Ok(())
}

/// No device's load by weight lies more than 1 % and a piece or two of rounding above what the best balance has.
fn check_balance(table: &RingTable, devices: &[DeviceSpec]) -> Result<(), TestCaseError> {
    let peak = Optimum::of(devices, table.width()).least_peak(devices, table.width());
    for (device, load) in table.specs().iter().zip(table.loads()) {
        let best = peak * device.weight.milli() as f64 * table.partition_count() as f64;
        prop_assert!(f64::from(load) <= best * 1.01 + 2.0, "{} holds {} of {}", device.id, load, best);
    }
    Ok(())
}

/// The device farthest from its share could not be nearer to it, in whole pieces.
fn check_worst(plan: &Plan, devices: &[DeviceSpec]) -> Result<(), TestCaseError> {
    let (optimum, rows) = (Optimum::of(devices, plan.table.width()), plan.table.partition_count());
    let worst = plan.balance.most_over.max(plan.balance.most_under);
    prop_assert!(optimum.can_be_within(worst + 1e-9, devices, rows), "the oracle allows what is");
    prop_assert!(worst < 1e-6 || !optimum.can_be_within(worst - 1e-6, devices, rows), "{:?}", plan.balance);
    Ok(())
}

/// A device that stays in a partition keeps its position: the fragment it holds stays what it is.
fn check_positions(old: &RingTable, new: &RingTable) -> Result<(), TestCaseError> {
    for partition in new.partitions() {
        let (was, is) = (old.devices(partition), new.devices(partition));
        let stays = was.iter().zip(is).all(|(before, now)| now == before || !is.contains(before));
        prop_assert!(stays, "{:?} becomes {:?}", was, is);
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(192))]

    /// Seen to fail when `Tree::marginals` charges a shared node before a shared zone.
    #[test]
    fn pieces_lie_as_far_apart_as_the_devices_allow(devices in devices(1..=9), width in 1..=6_usize) {
        let width = width.min(devices.len());
        let plan = Builder::new(width, [9; 32]).with_power(6).plan(None, &devices).unwrap();
        check_dispersion(&plan.table, &devices)?;
    }

    /// Seen to fail when `Levels::load` does not cut off at the domain's bounds (the level is found, but not the
    /// best one).
    #[test]
    fn loads_are_as_balanced_as_the_dispersion_allows(devices in devices(1..=9), width in 1..=6_usize) {
        let width = width.min(devices.len());
        let plan = Builder::new(width, [9; 32]).with_power(11).plan(None, &devices).unwrap();
        check_balance(&plan.table, &devices)?;
    }

    /// Few partitions, so that one piece more or less counts.
    ///
    /// Seen to fail when `Ranges::near` starts from the bounds of dispersion instead of the tightest ranges.
    #[test]
    fn the_worst_device_is_as_near_to_its_share_as_whole_pieces_allow(
        devices in devices(1..=9),
        width in 1..=6_usize,
        power in 4..=8_u8,
    ) {
        let width = width.min(devices.len());
        let plan = Builder::new(width, [9; 32]).with_power(power).plan(None, &devices).unwrap();
        check_worst(&plan, &devices)?;
    }

    /// Over a random history every table is as apart and as balanced as one from nothing, a plan for unchanged
    /// devices moves nothing, and all moves together stay within 5 % of the fewest possible for the loads reached.
    ///
    /// Seen to fail when `improve` is left out (moves), when `settle_positions` does not put devices back
    /// (positions), and when `Tree::marginals` is wrong as above. The oracle takes the loads as given: `target` has its own tests.
    #[test]
    fn histories_move_little(
        first in devices(3..=7),
        plans in prop::collection::vec(prop::collection::vec(step(), 1..4), 1..5),
        width in 1..=5_usize,
        seed in any::<[u8; 32]>(),
    ) {
        let width = width.min(first.len());
        let builder = Builder::new(width, seed).with_power(5);
        let mut devices = first;
        let mut table = builder.plan(None, &devices).unwrap().table;
        let (mut moved, mut fewest) = (0, 0);
        for steps in plans {
            let after = steps.iter().fold(devices.clone(), |now, step| step.apply(&now, width, 9).unwrap_or(now));
            let plan = builder.plan(Some(&table), &after).unwrap();
            check_dispersion(&plan.table, &after)?;
            check_balance(&plan.table, &after)?;
            check_worst(&plan, &after)?;
            check_positions(&table, &plan.table)?;
            prop_assert!(builder.plan(Some(&plan.table), &after).unwrap().moves.is_empty());
            moved += plan.moves.len();
            fewest += fewest_moves(&table, &plan.table, &after);
            (devices, table) = (after, plan.table);
        }
        prop_assert!(moved >= fewest, "the oracle is a lower bound");
        // Two pieces of grace: with 32 partitions, 5 % of a small change is less than one piece.
        prop_assert!(moved as f64 <= fewest as f64 * 1.05 + 2.0, "{} moves where {} do", moved, fewest);
    }

    /// The order of the list does not matter, and nothing but the arguments does.
    #[test]
    fn equal_input_gives_an_equal_ring(devices in devices(3..=9), seed in any::<[u8; 32]>()) {
        let builder = Builder::new(3, seed).with_power(8);
        let plan = builder.plan(None, &devices).unwrap();
        let backwards: Vec<DeviceSpec> = devices.iter().rev().cloned().collect();
        prop_assert_eq!(&plan.table, &builder.plan(None, &backwards).unwrap().table);
        let mut fewer = backwards.clone();
        fewer[0].state = DeviceState::Draining;
        if devices.len() > 3 {
            let once = builder.plan(Some(&plan.table), &fewer).unwrap();
            fewer.reverse();
            prop_assert_eq!(once, builder.plan(Some(&plan.table), &fewer).unwrap());
        }
    }
}

/// At the size of a real ring the bound on moves is the sum of what devices must give up: loads above their new
/// targets, all of it on devices that are gone. In a tree this even, dispersion forces no more than that.
///
/// Seen to fail when `Level::shed` takes pieces without regard to the devices above their targets.
#[test]
fn a_large_ring_moves_only_what_must_move() {
    let place =
        |id: u32| DeviceSpec::new(DeviceId(id)).at("r", &format!("z{}", id % 5), &format!("n{}", id % 20));
    let mut devices: Vec<DeviceSpec> = (0..100).map(place).collect();
    let builder = Builder::new(3, [1; 32]);
    let mut table = builder.plan(None, &devices).unwrap().table;
    let (mut moved, mut least) = (0, 0);
    for round in 0..12_u32 {
        match round % 4 {
            0 => devices.push(place(100 + round)),
            1 => devices[round as usize].state = DeviceState::Draining,
            2 => drop(devices.remove(round as usize)),
            _ => devices[round as usize].weight = Weight::from_milli(500 * u64::from(round)).unwrap(),
        }
        let plan = builder.plan(Some(&table), &devices).unwrap();
        moved += plan.moves.len();
        least +=
            plan.devices.iter().map(|d| d.holds_before.saturating_sub(d.holds_after) as usize).sum::<usize>();
        assert!(plan.balance.most_over < 0.01, "{:?}", plan.balance);
        assert_eq!(plan.dispersion.zones.most_together, 1);
        table = plan.table;
    }
    assert!(moved >= least && moved as f64 <= least as f64 * 1.05, "{moved} moves where {least} do");
}

/// Two devices of one zone hold everything; two more zones come at once, and no partition has to be in any of them.
///
/// Seen to fail when `loosen_crowded` is left out: no domain has too few pieces, but partitions stay in one zone.
#[test]
fn crowded_pieces_part_when_there_is_room() {
    let place = |(id, zone): (u32, &str)| DeviceSpec::new(DeviceId(id)).at("r", zone, &format!("n{id}"));
    let devices: Vec<DeviceSpec> = [(0, "a"), (1, "a"), (2, "b"), (3, "c")].map(place).to_vec();
    let builder = Builder::new(2, [2; 32]).with_power(6);
    let old = builder.plan(None, &devices[..2]).unwrap();
    assert_eq!((old.dispersion.zones.most_together, old.dispersion.nodes.most_together), (2, 1));
    let new = builder.plan(Some(&old.table), &devices).unwrap();
    assert_eq!((new.dispersion.zones.fewest, new.dispersion.zones.most_together), (2, 1));
    // A third of the partitions leaves the zone with both pieces, as its share is two thirds of one piece each.
    assert_eq!(new.moves.len(), fewest_moves(&old.table, &new.table, &devices));
}

/// Two zones hold two pieces of each partition; of a third one with a single device every partition must hold one.
///
/// Seen to fail when `Level::trim` is left out: no zone has too many pieces, but nothing is left for the third.
#[test]
fn a_new_domain_gets_its_piece_of_every_partition() {
    let place =
        |id: u32| DeviceSpec::new(DeviceId(id)).at("r", ["a", "b", "c"][id as usize / 3], &format!("n{id}"));
    let devices: Vec<DeviceSpec> = (0..7).map(place).collect();
    let builder = Builder::new(4, [2; 32]).with_power(6);
    let old = builder.plan(None, &devices[..6]).unwrap();
    let new = builder.plan(Some(&old.table), &devices).unwrap();
    assert_eq!((old.dispersion.zones.fewest, new.dispersion.zones.fewest), (2, 3));
    assert_eq!((new.moves.len(), new.table.loads()[6]), (64, 64));
}

/// No position, no fragment index, sticks to a failure domain: data fragments would all be read from one zone.
///
/// Seen to fail when `settle_positions` does not shuffle.
#[test]
fn positions_are_spread() {
    let place = |id: u32| DeviceSpec::new(DeviceId(id)).at("r", &format!("z{}", id % 3), &format!("n{id}"));
    let devices: Vec<DeviceSpec> = (0..9).map(place).collect();
    let table = Builder::new(6, [2; 32]).with_power(10).plan(None, &devices).unwrap().table;
    for position in 0..6 {
        let first_zone = table.partitions().filter(|&p| table.devices(p)[position].0 % 3 == 0).count();
        assert!(
            (280..400).contains(&first_zone),
            "position {position} is in zone 0 {first_zone} of 1024 times"
        );
    }
}

#[test]
fn impossible_policies_are_refused() {
    let three: Vec<DeviceSpec> = (0..3).map(|id| DeviceSpec::new(DeviceId(id))).collect();
    let mut drained = three.clone();
    drained[1].state = DeviceState::Draining;
    let seed = [0; 32];
    assert_eq!(plan(None, &three, 4, seed).unwrap_err(), RingError::TooFewDevices { active: 3, width: 4 });
    assert_eq!(plan(None, &drained, 3, seed).unwrap_err(), RingError::TooFewDevices { active: 2, width: 3 });
    assert_eq!(plan(None, &[], 1, seed).unwrap_err(), RingError::TooFewDevices { active: 0, width: 1 });
    assert_eq!(plan(None, &three, 0, seed).unwrap_err(), RingError::BadWidth { width: 0 });
    assert_eq!(plan(None, &three, 49, seed).unwrap_err(), RingError::BadWidth { width: 49 });
    for power in [0, 3, 21, 255] {
        let error = Builder::new(1, seed).with_power(power).plan(None, &three).unwrap_err();
        assert_eq!(error, RingError::BadPower { power });
    }
    let old = Builder::new(2, seed).with_power(5).plan(None, &three).unwrap().table;
    for other in
        [Builder::new(3, seed).with_power(5), Builder::new(2, seed), Builder::new(2, [1; 32]).with_power(5)]
    {
        assert!(matches!(other.plan(Some(&old), &three), Err(RingError::Mismatch { .. })));
    }
}

/// 2^18 partitions over 1000 devices, three pieces each: how long the first ring and the next one take.
fn large_build() -> [Duration; 2] {
    let place = |id: u32| {
        let weight = Weight::from_milli(1000 + u64::from(id % 3) * 500).unwrap();
        DeviceSpec::new(DeviceId(id))
            .at("r", &format!("z{}", id % 5), &format!("n{}", id % 50))
            .with_weight(weight)
    };
    let devices: Vec<DeviceSpec> = (0..1001).map(place).collect();
    let builder = Builder::new(3, [7; 32]).with_power(18);
    let start = Instant::now();
    let first = builder.plan(None, &devices[..1000]).unwrap();
    let first_took = start.elapsed();
    let start = Instant::now();
    let next = builder.plan(Some(&first.table), &devices).unwrap();
    let next_took = start.elapsed();
    for plan in [&first, &next] {
        assert_eq!(plan.dispersion.zones.most_together, 1);
        assert!(plan.balance.most_over < 0.002 && plan.balance.most_under < 0.002, "{:?}", plan.balance);
    }
    assert!(next.moves.len() < 1000, "{} moves for a device that takes 786 pieces", next.moves.len());
    [first_took, next_took]
}

/// The goal is two seconds on a machine that does nothing else (`nightly_large_rings_are_built_within_their_goal`); here
/// others may run beside, but a builder that has become slow by an order of magnitude shows.
#[test]
fn large_rings_are_built_in_seconds() {
    let took = large_build();
    assert!(took.iter().all(|took| *took < Duration::from_secs(20)), "{took:?}");
}

#[test]
fn nightly_large_rings_are_built_within_their_goal() {
    let took = large_build();
    assert!(took.iter().all(|took| *took < Duration::from_secs(2)), "{took:?}");
}

/// Shapes at the edge of what is allowed.
#[test]
fn extreme_shapes_are_built() {
    let flat = |count: u32| (0..count).map(|id| DeviceSpec::new(DeviceId(id))).collect::<Vec<_>>();
    for (count, width, power) in
        [(1, 1, 4), (48, 48, 4), (49, 48, 6), (5, 4, 12), (1000, 3, 12), (20, 16, 10)]
    {
        let plan = Builder::new(width, [4; 32]).with_power(power).plan(None, &flat(count)).unwrap();
        let (least, most) = (plan.table.loads().into_iter().min(), plan.table.loads().into_iter().max());
        assert!(most.unwrap() - least.unwrap() <= 1, "{count} devices, width {width}");
    }
    let mut skewed = flat(6);
    skewed[0].weight = Weight::from_milli(1_000_000_000_000_000).unwrap();
    skewed[1].weight = Weight::from_milli(1).unwrap();
    let plan = Builder::new(3, [4; 32]).plan(None, &skewed).unwrap();
    assert_eq!((plan.table.loads()[0], plan.table.loads()[1]), (1 << 14, 8));
}
