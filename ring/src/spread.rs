//! How many pieces of a partition each failure domain gets when they lie as far apart as the devices allow.
//!
//! The devices form a tree: the ring, regions, zones, nodes, devices. The *cost* of placing a partition is the
//! number of pairs of its pieces that share a region, then a zone, then a node, compared in this order; a device
//! takes one piece at most. The placements of least cost are the ones allowed, and they have a simple form:
//!
//! - The `n`-th piece of a domain adds `n - 1` pairs at its own tier and what it costs further down, so the costs of
//!   a domain's first, second, ... piece, its *marginals*, strictly grow, and cost is a convex function of the
//!   counts.
//! - Hence `c` pieces in a domain cost least exactly when they take the `c` least marginals of its children.
//!   Children below the threshold take the piece in every partition, the ones at it are equal choices, and since
//!   marginals of a child strictly grow, it has at most one at the threshold.
//! - So every domain holds `base` pieces of each partition, or `base` or `base + 1` if it is `flex`; and any counts
//!   within these bounds that add up at each domain cost the least. [`Tree::new`] computes the bounds, once per
//!   plan.

use crate::DeviceSpec;
use std::ops::Range;

/// Index of a domain in [`Tree::domains`]; the root is 0.
pub(crate) type DomainAt = usize;

/// Tiers below the root: region, zone, node, device.
pub(crate) const TIERS: usize = 4;
const DEVICE_TIER: usize = TIERS;

/// Pairs that one more piece makes, per tier: region, zone, node.
type Cost = [u32; 3];

/// One failure domain, or a device at the leaves.
pub(crate) struct Domain {
    /// 0 for the root, 1 region, ... 4 device.
    pub(crate) tier: usize,
    /// Its children, which lie side by side.
    pub(crate) children: Range<DomainAt>,
    /// For a leaf, the index of its device; for others, that of the first device below.
    pub(crate) device: usize,
    /// The sum of the weights below.
    pub(crate) weight: f64,
    /// Pieces of every partition it holds.
    pub(crate) base: u32,
    /// Whether it may hold one more.
    pub(crate) flex: bool,
}

impl Domain {
    /// The most pieces of one partition it may hold.
    pub(crate) fn most(&self) -> u32 {
        self.base + u32::from(self.flex)
    }
}

/// The tree of failure domains with the bounds for one width.
pub(crate) struct Tree {
    /// Tier by tier.
    pub(crate) domains: Vec<Domain>,
    /// For each device, its domain in each tier; `[0]` is the root.
    pub(crate) path: Vec<[DomainAt; TIERS + 1]>,
}

impl Tree {
    /// The tree of `devices` with the bounds for `width` pieces, which must not exceed the number of devices.
    pub(crate) fn new(devices: &[&DeviceSpec], weight: impl Fn(&DeviceSpec) -> f64, width: usize) -> Self {
        let mut tree = Self::grow(devices, weight);
        tree.bound(width);
        tree
    }

    fn grow(devices: &[&DeviceSpec], weight: impl Fn(&DeviceSpec) -> f64) -> Self {
        let mut order: Vec<usize> = (0..devices.len()).collect();
        let key = |at: usize| (&devices[at].region, &devices[at].zone, &devices[at].node, devices[at].id);
        order.sort_by(|&a, &b| key(a).cmp(&key(b)));
        let same = |a: usize, b: usize, tier: usize| {
            let (a, b) = (key(a), key(b));
            a.0 == b.0 && (tier < 2 || a.1 == b.1) && (tier < 3 || a.2 == b.2) && tier < DEVICE_TIER
        };
        let mut domains =
            vec![Domain { tier: 0, children: 1..1, device: 0, weight: 0.0, base: 0, flex: false }];
        let mut path = vec![[0; TIERS + 1]; devices.len()];
        for tier in 1..=DEVICE_TIER {
            let mut last: Option<usize> = None;
            for &at in &order {
                let parent = path[at][tier - 1];
                if last.is_none_or(|last| !same(last, at, tier)) {
                    let this = domains.len();
                    if domains[parent].children.is_empty() {
                        domains[parent].children = this..this;
                    }
                    domains[parent].children.end = this + 1;
                    domains.push(Domain {
                        tier,
                        children: 0..0,
                        device: at,
                        weight: 0.0,
                        base: 0,
                        flex: false,
                    });
                }
                path[at][tier] = domains.len() - 1;
                last = Some(at);
            }
        }
        for (at, device) in devices.iter().enumerate() {
            for &domain in &path[at] {
                domains[domain].weight += weight(device);
            }
        }
        Self { domains, path }
    }

    /// The marginals of each domain, and the least ones of its children merged; from the leaves up.
    fn marginals(&self, width: usize) -> (Vec<Vec<Cost>>, Vec<Vec<Cost>>) {
        let mut marginals: Vec<Vec<Cost>> = vec![Vec::new(); self.domains.len()];
        let mut merged: Vec<Vec<Cost>> = vec![Vec::new(); self.domains.len()];
        for at in (0..self.domains.len()).rev() {
            let domain = &self.domains[at];
            if domain.tier == DEVICE_TIER {
                marginals[at] = vec![[0; 3]];
                continue;
            }
            let mut least: Vec<Cost> = marginals[domain.children.clone()].iter().flatten().copied().collect();
            least.sort_unstable();
            least.truncate(width);
            marginals[at].clone_from(&least);
            if domain.tier > 0 {
                for (cost, others) in marginals[at].iter_mut().zip(0..) {
                    cost[domain.tier - 1] += others;
                }
            }
            merged[at] = least;
        }
        (marginals, merged)
    }

    /// Sets `base` and `flex` everywhere: thresholds from the root down.
    fn bound(&mut self, width: usize) {
        let (marginals, merged) = self.marginals(width);
        self.domains[0].base = u32::try_from(width).expect("a width is at most 48");
        for (at, merged) in merged.iter().enumerate() {
            let (base, flex) = (self.domains[at].base, self.domains[at].flex);
            // With `base + 1` pieces the last one has the marginal at index `base`; that is the class where children
            // are equal.
            let threshold =
                if flex { merged.get(base as usize) } else { merged.get((base as usize).wrapping_sub(1)) };
            let Some(&threshold) = threshold else { continue };
            let children = self.domains[at].children.clone();
            let below =
                |child: DomainAt| marginals[child].iter().take_while(|&&cost| cost < threshold).count();
            let (mut below_sum, mut equal) = (0, 0);
            for child in children.clone() {
                let count = below(child);
                self.domains[child].base = u32::try_from(count).expect("at most the width");
                self.domains[child].flex = marginals[child].get(count) == Some(&threshold);
                below_sum += count;
                equal += usize::from(self.domains[child].flex);
            }
            // All the equal ones are taken in every partition: no choice after all.
            if !flex && base as usize - below_sum == equal {
                for child in children {
                    self.domains[child].base += u32::from(std::mem::take(&mut self.domains[child].flex));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfort_core::DeviceId;

    /// `places`: (region, zone, node) per device; expected: (tier, base, flex) of the domains below the root.
    fn bounds(places: &[(&str, &str, &str)], width: usize, tier: usize) -> Vec<(u32, bool)> {
        let specs: Vec<DeviceSpec> =
            (0..).zip(places).map(|(id, (r, z, n))| DeviceSpec::new(DeviceId(id)).at(r, z, n)).collect();
        let devices: Vec<&DeviceSpec> = specs.iter().collect();
        let tree = Tree::new(&devices, |device| device.weight.as_f64(), width);
        tree.domains
            .iter()
            .filter(|domain| domain.tier == tier)
            .map(|domain| (domain.base, domain.flex))
            .collect()
    }

    #[test]
    fn even_tree() {
        let places = [("r", "a", "1"), ("r", "b", "1"), ("r", "c", "1"), ("r", "c", "2")];
        assert_eq!(bounds(&places, 3, 2), [(1, false); 3]);
        assert_eq!(bounds(&places, 3, 3), [(1, false), (1, false), (0, true), (0, true)]);
        assert_eq!(bounds(&places, 2, 2), [(0, true); 3]);
    }

    #[test]
    fn a_region_with_more_zones_takes_the_odd_piece() {
        let places = [("a", "1", "n"), ("a", "1", "m"), ("b", "1", "n"), ("b", "2", "n")];
        assert_eq!(bounds(&places, 3, 1), [(1, false), (2, false)]);
        assert_eq!(bounds(&places, 3, 2), [(1, false), (1, false), (1, false)]);
        assert_eq!(bounds(&places, 4, 4), [(1, false); 4]);
    }
}
