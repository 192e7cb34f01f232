//! The fewest moves from one table to any table with given loads and the best dispersion: a minimum-cost flow.
//!
//! Each partition is a copy of the tree of domains, with the bounds of the best dispersion as capacities, whose
//! leaves lead to the devices; a device passes on as many pieces as it shall hold. A unit through a leaf costs
//! nothing where the partition was on that device and one move elsewhere.

use super::optimum::{Domain, Optimum, path};
use ringfort_core::DeviceId;
use ringfort_ring::{DeviceSpec, DeviceState, RingTable};
use std::collections::{BTreeMap, VecDeque};

/// Cheaper than any number of moves: lower bounds are met first.
const MUST: i64 = -1_000_000;

struct Edge {
    to: usize,
    room: i64,
    cost: i64,
}

#[derive(Default)]
struct Flow {
    edges: Vec<Edge>,
    out: Vec<Vec<usize>>,
}

impl Flow {
    fn node(&mut self) -> usize {
        self.out.push(Vec::new());
        self.out.len() - 1
    }

    fn edge(&mut self, from: usize, to: usize, room: i64, cost: i64) {
        for (from, to, room, cost) in [(from, to, room, cost), (to, from, 0, -cost)] {
            self.out[from].push(self.edges.len());
            self.edges.push(Edge { to, room, cost });
        }
    }

    /// The amount and the cost of a maximum flow of least cost, by successive shortest paths.
    fn run(&mut self, source: usize, sink: usize) -> (i64, i64) {
        let (mut amount, mut cost) = (0, 0);
        while let Some((path, path_cost)) = self.shortest(source, sink) {
            let room = path.iter().map(|&edge| self.edges[edge].room).min().unwrap();
            for edge in path {
                self.edges[edge].room -= room;
                self.edges[edge ^ 1].room += room;
            }
            amount += room;
            cost += room * path_cost;
        }
        (amount, cost)
    }

    fn shortest(&self, source: usize, sink: usize) -> Option<(Vec<usize>, i64)> {
        let mut distance = vec![i64::MAX; self.out.len()];
        let mut by = vec![usize::MAX; self.out.len()];
        let mut queue = VecDeque::from([source]);
        let mut queued = vec![false; self.out.len()];
        distance[source] = 0;
        while let Some(node) = queue.pop_front() {
            queued[node] = false;
            for &at in &self.out[node] {
                let edge = &self.edges[at];
                if edge.room > 0 && distance[node] + edge.cost < distance[edge.to] {
                    distance[edge.to] = distance[node] + edge.cost;
                    by[edge.to] = at;
                    if !std::mem::replace(&mut queued[edge.to], true) {
                        queue.push_back(edge.to);
                    }
                }
            }
        }
        let mut path = Vec::new();
        let mut node = sink;
        while node != source {
            path.push(*by.get(node).filter(|&&edge| edge != usize::MAX)?);
            node = self.edges[by[node] ^ 1].to;
        }
        Some((path, distance[sink]))
    }
}

/// The fewest moves from `old` to a table of the best dispersion over `devices` with the loads of `new`.
pub fn fewest_moves(old: &RingTable, new: &RingTable, devices: &[DeviceSpec]) -> usize {
    let optimum = Optimum::of(devices, new.width());
    let mut flow = Flow::default();
    let (source, sink) = (flow.node(), flow.node());
    let loads: BTreeMap<DeviceId, u32> = new.specs().iter().map(|d| d.id).zip(new.loads()).collect();
    let active: Vec<&DeviceSpec> = devices.iter().filter(|d| d.state == DeviceState::Active).collect();
    let device_nodes: BTreeMap<Domain, (DeviceId, usize)> =
        active.iter().map(|device| (path(device, 4), (device.id, flow.node()))).collect();
    for (id, node) in device_nodes.values() {
        flow.edge(*node, sink, i64::from(loads[id]), 0);
    }
    let mut must = 0;
    for partition in new.partitions() {
        let mut nodes: BTreeMap<&Domain, usize> = BTreeMap::new();
        for (domain, &(fewest, most)) in &optimum.bounds {
            let parent = domain.len().checked_sub(1).map_or(source, |depth| nodes[&domain[..depth].to_vec()]);
            let (fewest, most) = (i64::from(fewest), i64::from(most));
            let node = flow.node();
            nodes.insert(domain, node);
            must += fewest;
            flow.edge(parent, node, fewest, MUST);
            flow.edge(parent, node, most - fewest, 0);
            if let Some(&(id, device)) = device_nodes.get(domain) {
                flow.edge(node, device, 1, i64::from(!old.devices(partition).contains(&id)));
            }
        }
    }
    let (amount, cost) = flow.run(source, sink);
    assert_eq!(amount as usize, new.width() << new.power(), "the loads can be met");
    usize::try_from(cost - must * MUST).expect("every lower bound is met")
}
