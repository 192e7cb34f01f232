//! Random devices and histories, and oracles that know nothing of the builder's method: dispersion by trying every
//! set of devices, balance by bisection, moves by a minimum-cost flow.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    missing_docs
)]

pub mod flow;
pub mod optimum;

use proptest::prelude::*;
use ringfort_core::DeviceId;
use ringfort_ring::{DeviceSpec, DeviceState, Weight};

/// A device somewhere among up to 2 regions of up to 3 zones of up to 2 nodes.
pub fn device() -> impl Strategy<Value = DeviceSpec> {
    let region = prop_oneof![3 => Just(0_u8), 1 => Just(1)];
    (region, 0..3_u8, 0..2_u8, 1..=8_u64).prop_map(|(region, zone, node, weight)| {
        DeviceSpec::new(DeviceId(0))
            .at(&format!("r{region}"), &format!("z{zone}"), &format!("n{node}"))
            .with_weight(Weight::from_milli(weight * 500).unwrap())
    })
}

pub fn devices(count: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<DeviceSpec>> {
    prop::collection::vec(device(), count).prop_map(|mut devices| {
        (0..).zip(&mut devices).for_each(|(id, device)| device.id = DeviceId(id));
        devices
    })
}

/// One step of an operator.
#[derive(Clone, Debug)]
pub enum Step {
    Add(DeviceSpec),
    Drain(prop::sample::Index),
    Activate(prop::sample::Index),
    Remove(prop::sample::Index),
    Reweight(prop::sample::Index, u64),
}

pub fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => device().prop_map(Step::Add),
        2 => any::<prop::sample::Index>().prop_map(Step::Drain),
        1 => any::<prop::sample::Index>().prop_map(Step::Activate),
        2 => any::<prop::sample::Index>().prop_map(Step::Remove),
        3 => (any::<prop::sample::Index>(), 1..=8_u64).prop_map(|(at, weight)| Step::Reweight(at, weight)),
    ]
}

impl Step {
    /// The devices after this step; `None` if it would leave fewer active ones than `least` or more than `most`
    /// devices.
    pub fn apply(&self, devices: &[DeviceSpec], least: usize, most: usize) -> Option<Vec<DeviceSpec>> {
        let mut after = devices.to_vec();
        match self {
            Self::Add(device) => {
                let id = devices.iter().map(|device| device.id.0).max().map_or(0, |id| id + 1);
                after.push(DeviceSpec { id: DeviceId(id), ..device.clone() });
            }
            Self::Drain(at) => at.get_mut(&mut after).state = DeviceState::Draining,
            Self::Activate(at) => at.get_mut(&mut after).state = DeviceState::Active,
            Self::Remove(at) => drop(after.remove(at.index(devices.len()))),
            Self::Reweight(at, weight) => {
                at.get_mut(&mut after).weight = Weight::from_milli(weight * 500).unwrap()
            }
        }
        let active = after.iter().filter(|device| device.state == DeviceState::Active).count();
        (active >= least && after.len() <= most).then_some(after)
    }
}
