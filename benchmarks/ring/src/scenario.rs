//! What happens to a cluster: device lists, one after the other.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use ringfort_core::DeviceId;
use ringfort_ring::{DeviceSpec, DeviceState, Weight};
use serde::Serialize;

/// A cluster and what becomes of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) power: u8,
    pub(crate) width: usize,
    pub(crate) steps: Vec<Step>,
    /// So large that Swift's builder takes minutes: it gets one try.
    #[serde(skip)]
    pub(crate) is_huge: bool,
}

/// The device list after a step, the first one included.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Step {
    pub(crate) what: String,
    pub(crate) devices: Vec<DeviceSpec>,
}

impl Scenario {
    /// Steps of `cluster` that an operator takes, each told by what it does.
    pub(crate) fn new(name: &str, power: u8, width: usize, cluster: Cluster) -> Self {
        let first = Step { what: "first ring".to_owned(), devices: cluster.devices };
        Self { name: name.to_owned(), power, width, steps: vec![first], is_huge: false }
    }

    pub(crate) fn then(mut self, what: &str, change: impl FnOnce(&mut Cluster)) -> Self {
        let mut cluster = Cluster { devices: self.steps[self.steps.len() - 1].devices.clone() };
        change(&mut cluster);
        self.steps.push(Step { what: what.to_owned(), devices: cluster.devices });
        self
    }

    pub(crate) fn huge(self) -> Self {
        Self { is_huge: true, ..self }
    }
}

/// A device list that is being changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cluster {
    devices: Vec<DeviceSpec>,
}

impl Cluster {
    /// Zones of so many nodes each, in one region, with `per_node` devices on each node.
    pub(crate) fn grid(nodes_per_zone: &[u32], per_node: u32) -> Self {
        let mut cluster = Self::default();
        for (zone, &nodes) in (0..).zip(nodes_per_zone) {
            for node in 0..nodes {
                cluster.add_many(per_node, "r0", zone, node);
            }
        }
        cluster
    }

    /// With the weights given in turn, in the order of ids.
    pub(crate) fn weighing(mut self, weights: &[f64]) -> Self {
        for (device, &weight) in self.devices.iter_mut().zip(weights.iter().cycle()) {
            device.weight = weight_of(weight);
        }
        self
    }

    /// One more device of weight 1.
    pub(crate) fn add(&mut self, region: &str, zone: u32, node: u32) {
        let id = self.devices.last().map_or(0, |device| device.id.0 + 1);
        let spec = DeviceSpec::new(DeviceId(id)).at(region, &format!("z{zone}"), &format!("n{node}"));
        self.devices.push(spec);
    }

    /// The id of the device added last.
    pub(crate) fn last(&self) -> u32 {
        self.devices.last().map_or(0, |device| device.id.0)
    }

    pub(crate) fn add_many(&mut self, count: u32, region: &str, zone: u32, node: u32) {
        for _ in 0..count {
            self.add(region, zone, node);
        }
    }

    pub(crate) fn weigh(&mut self, id: u32, weight: f64) {
        self.find(id).weight = weight_of(weight);
    }

    pub(crate) fn drain(&mut self, id: u32) {
        self.find(id).state = DeviceState::Draining;
    }

    pub(crate) fn remove(&mut self, id: u32) {
        self.devices.retain(|device| device.id.0 != id);
    }

    fn find(&mut self, id: u32) -> &mut DeviceSpec {
        let found = self.devices.iter_mut().find(|device| device.id.0 == id);
        found.expect("scenarios change devices that are there")
    }

    fn active(&self) -> usize {
        self.devices.iter().filter(|device| device.state == DeviceState::Active).count()
    }
}

fn weight_of(weight: f64) -> Weight {
    Weight::from_f64(weight).expect("scenarios weigh within the limits")
}

/// A random cluster with random steps: the same for the same number on every machine.
pub(crate) fn random(number: u64) -> Scenario {
    let mut rng = StdRng::seed_from_u64(number);
    let weights: &[f64] =
        [&[1.0][..], &[1.0, 2.0], &[1.0, 1.5, 4.0], &[0.5, 8.0, 2.0, 3.0]][rng.random_range(0..4)];
    let mut cluster = Cluster::default();
    let even_nodes = rng.random_bool(0.5).then(|| (rng.random_range(1..=4), rng.random_range(1..=4)));
    for region in 0..if rng.random_bool(0.2) { 2 } else { 1 } {
        for zone in 0..rng.random_range(1..=5) {
            let (nodes, per_node) =
                even_nodes.unwrap_or_else(|| (rng.random_range(1..=4), rng.random_range(1..=4)));
            for node in 0..nodes {
                cluster.add_many(per_node, &format!("r{region}"), zone, node);
            }
        }
    }
    let width = [3, 3, 3, 2, 4, 6][rng.random_range(0..6)];
    while cluster.devices.len() < width + 1 {
        cluster.add("r0", 0, 0);
    }
    cluster = cluster.weighing(weights);
    let mut scenario = Scenario::new(&format!("random {number}"), rng.random_range(8..=11), width, cluster);
    for _ in 0..4 {
        let (what, cluster) = random_step(&mut rng, &scenario, width, weights);
        scenario = scenario.then(&what, |now| *now = cluster);
    }
    scenario
}

fn random_step(rng: &mut StdRng, now: &Scenario, width: usize, weights: &[f64]) -> (String, Cluster) {
    loop {
        let mut cluster = Cluster { devices: now.steps[now.steps.len() - 1].devices.clone() };
        let device = cluster.devices[rng.random_range(0..cluster.devices.len())].clone();
        let id = device.id.0;
        let weight = weights[rng.random_range(0..weights.len())];
        let what = match rng.random_range(0..5) {
            0 => {
                cluster.add(&device.region, rng.random_range(0..6), rng.random_range(0..4));
                cluster.weigh(cluster.last(), weight);
                format!("device {} added", cluster.last())
            }
            1 => {
                let (added, weight) = (DeviceId(cluster.last() + 1), weight_of(weight));
                cluster.devices.push(DeviceSpec { id: added, weight, ..device });
                format!("device {added} added beside {id}")
            }
            2 => {
                cluster.drain(id);
                format!("device {id} drained")
            }
            3 => {
                cluster.remove(id);
                format!("device {id} removed")
            }
            _ => {
                let weight = weight * [0.5, 2.0, 3.0][rng.random_range(0..3)];
                cluster.weigh(id, weight);
                format!("device {id} weighs {weight}")
            }
        };
        if cluster.active() > width {
            return (what, cluster);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_scenarios_are_the_same_each_time_and_can_be_built() {
        for number in 0..50 {
            let scenario = random(number);
            assert_eq!(scenario, random(number));
            for step in &scenario.steps {
                assert!(Cluster { devices: step.devices.clone() }.active() > scenario.width);
            }
        }
    }
}
