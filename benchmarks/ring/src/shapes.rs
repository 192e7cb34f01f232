//! The scenarios of the comparison.

use crate::scenario::{Cluster, Scenario};

/// All of them, the small ones first.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        tiny(),
        small(),
        heavy(),
        hundred_equal(),
        hundred_unequal(),
        zones_unequal(),
        zones_and_weights_unequal(),
        two_zones(),
        two_regions(),
        erasure("erasure 4+2 over 3 zones", 6, &[4, 4, 4]),
        erasure("erasure 8+4 over 5 zones", 12, &[2, 2, 2, 2, 2]),
        five_hundred(),
        thousand(),
    ]
}

/// A cluster that starts as small as it may and grows.
fn tiny() -> Scenario {
    Scenario::new("3 nodes that become 6", 10, 3, Cluster::grid(&[3], 1))
        .then("a fourth node", |c| c.add("r0", 0, 3))
        .then("a fifth node", |c| c.add("r0", 0, 4))
        .then("a sixth node, twice as large", |c| {
            c.add("r0", 0, 5);
            c.weigh(c.last(), 2.0);
        })
        .then("the first node drained", |c| c.drain(0))
        .then("and removed", |c| c.remove(0))
}

fn small() -> Scenario {
    Scenario::new("6 devices in 3 zones", 10, 3, Cluster::grid(&[1, 1, 1], 2))
        .then("a device added", |c| c.add("r0", 0, 0))
        .then("a fourth zone of 2", |c| c.add_many(2, "r0", 3, 0))
        .then("a device drained", |c| c.drain(0))
        .then("and removed", |c| c.remove(0))
        .then("a device twice as large", |c| c.weigh(2, 2.0))
}

/// One device that would hold more than one piece of each partition, by its weight.
fn heavy() -> Scenario {
    Scenario::new("8 devices, one of weight 10", 12, 3, Cluster::grid(&[2, 2], 2))
        .then("one weighs 10", |c| c.weigh(0, 10.0))
        .then("a device added beside it", |c| c.add("r0", 0, 0))
        .then("it weighs 1 again", |c| c.weigh(0, 1.0))
}

/// What operators do most, to a cluster of nodes of `per_node` devices.
fn ordinary_life(scenario: Scenario, per_node: u32) -> Scenario {
    scenario
        .then("a device added", |c| c.add("r0", 1, 1))
        .then("a node added", |c| c.add_many(per_node, "r0", 2, 90))
        .then("a device drained", |c| c.drain(3))
        .then("a device lost", |c| c.remove(14))
        .then("a device half as large", |c| c.weigh(27, 0.5))
        .then("a node drained", |c| (0..per_node).for_each(|id| c.drain(40 + id)))
        .then("a zone added", |c| {
            (0..4).for_each(|node| c.add_many(per_node, "r0", 9, node));
        })
}

fn hundred_equal() -> Scenario {
    let cluster = Cluster::grid(&[4, 4, 4, 4, 4], 5);
    ordinary_life(Scenario::new("100 equal devices in 5 zones", 14, 3, cluster), 5)
}

fn hundred_unequal() -> Scenario {
    let cluster = Cluster::grid(&[4, 4, 4, 4, 4], 5).weighing(&[1.0, 1.5, 2.0, 4.0, 1.0, 3.0, 2.0]);
    ordinary_life(Scenario::new("100 devices of weight 1 to 4 in 5 zones", 14, 3, cluster), 5)
}

fn zones_unequal() -> Scenario {
    Scenario::new("3 zones of 10, 6 and 4 nodes", 12, 3, Cluster::grid(&[10, 6, 4], 3))
        .then("a node added to the smallest zone", |c| c.add_many(3, "r0", 2, 4))
        .then("a fourth zone of 5 nodes", |c| (0..5).for_each(|node| c.add_many(3, "r0", 3, node)))
        .then("a device drained", |c| c.drain(50))
        .then("a device lost", |c| c.remove(7))
}

fn zones_and_weights_unequal() -> Scenario {
    let cluster = Cluster::grid(&[5, 4, 3, 2], 4).weighing(&[2.0, 1.0, 4.0]);
    Scenario::new("4 zones of 5, 4, 3 and 2 nodes, weights 1 to 4", 13, 3, cluster)
        .then("a device added", |c| c.add("r0", 3, 1))
        .then("a device twice as large", |c| c.weigh(10, 2.0))
        .then("a node drained", |c| (0..4).for_each(|id| c.drain(id)))
        .then("a device lost", |c| c.remove(20))
}

fn two_zones() -> Scenario {
    Scenario::new("2 zones of 3 nodes", 12, 3, Cluster::grid(&[3, 3], 4))
        .then("a device added", |c| c.add("r0", 0, 0))
        .then("a node added", |c| c.add_many(4, "r0", 1, 3))
        .then("a device drained", |c| c.drain(5))
        .then("a third zone", |c| (0..3).for_each(|node| c.add_many(4, "r0", 2, node)))
}

fn two_regions() -> Scenario {
    let mut cluster = Cluster::grid(&[2, 2, 2], 5);
    for (zone, node) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        cluster.add_many(5, "r1", zone, node);
    }
    Scenario::new("2 regions of 3 and 2 zones", 13, 3, cluster)
        .then("a device added", |c| c.add("r1", 0, 0))
        .then("a zone added", |c| (0..2).for_each(|node| c.add_many(5, "r1", 2, node)))
        .then("a device drained", |c| c.drain(33))
        .then("a device lost", |c| c.remove(4))
}

fn erasure(name: &str, width: usize, nodes: &[u32]) -> Scenario {
    Scenario::new(name, 12, width, Cluster::grid(nodes, 4))
        .then("a device added", |c| c.add("r0", 1, 1))
        .then("a node added to each zone", |c| (0..).zip(nodes).for_each(|(z, _)| c.add_many(4, "r0", z, 50)))
        .then("a device drained", |c| c.drain(9))
        .then("a device lost", |c| c.remove(17))
        .then("a device twice as large", |c| c.weigh(25, 2.0))
}

fn five_hundred() -> Scenario {
    let cluster = Cluster::grid(&[10, 10, 10, 10, 10], 10).weighing(&[4.0, 4.0, 8.0]);
    ordinary_life(Scenario::new("500 devices of weight 4 and 8 in 5 zones", 16, 3, cluster), 10).huge()
}

fn thousand() -> Scenario {
    Scenario::new("1000 devices in 5 zones, 2^18 partitions", 18, 3, Cluster::grid(&[10; 5], 20))
        .then("a device added", |c| c.add("r0", 1, 1))
        .then("a node drained", |c| (0..20).for_each(|id| c.drain(40 + id)))
        .huge()
}
