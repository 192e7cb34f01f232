//! The best dispersion and the best balance for it, by trying every set of devices.

use ringfort_ring::{DeviceSpec, DeviceState};
use std::collections::BTreeMap;

/// A failure domain: the names down to it; four for a device.
pub type Domain = Vec<String>;

/// Pairs of pieces that share a region, a zone, a node: compared in this order.
pub type Pairs = [usize; 3];

pub fn path(device: &DeviceSpec, depth: usize) -> Domain {
    let names = [device.region.clone(), device.zone.clone(), device.node.clone(), device.id.to_string()];
    names[..depth].to_vec()
}

pub fn pairs(devices: &[&DeviceSpec]) -> Pairs {
    let mut pairs = [0; 3];
    for (at, a) in devices.iter().enumerate() {
        for b in &devices[..at] {
            for (depth, count) in (1..).zip(&mut pairs) {
                *count += usize::from(path(a, depth) == path(b, depth));
            }
        }
    }
    pairs
}

/// What the sets of `width` devices that lie farthest apart have in common.
pub struct Optimum {
    /// The least cost of any set.
    pub pairs: Pairs,
    /// For each domain and device, the fewest and the most pieces a set of least cost has in it.
    pub bounds: BTreeMap<Domain, (u32, u32)>,
}

impl Optimum {
    pub fn of(devices: &[DeviceSpec], width: usize) -> Self {
        let active: Vec<&DeviceSpec> = devices.iter().filter(|d| d.state == DeviceState::Active).collect();
        let sets = (0..1_u32 << active.len()).filter(|set| set.count_ones() as usize == width);
        let members = |set: u32| -> Vec<&DeviceSpec> {
            active
                .iter()
                .enumerate()
                .filter(|(at, _)| set >> at & 1 == 1)
                .map(|(_, &device)| device)
                .collect()
        };
        let sets: Vec<(Pairs, Vec<&DeviceSpec>)> = sets.map(members).map(|set| (pairs(&set), set)).collect();
        let least = sets.iter().map(|(pairs, _)| *pairs).min().unwrap();
        let mut bounds: BTreeMap<Domain, (u32, u32)> = BTreeMap::new();
        for device in &active {
            for depth in 0..=4 {
                bounds.insert(path(device, depth), (u32::MAX, 0));
            }
        }
        for (_, set) in sets.iter().filter(|(pairs, _)| *pairs == least) {
            for (domain, (fewest, most)) in &mut bounds {
                let count = set.iter().filter(|device| path(device, domain.len()) == *domain).count() as u32;
                (*fewest, *most) = ((*fewest).min(count), (*most).max(count));
            }
        }
        Self { pairs: least, bounds }
    }

    /// The least greatest `load / weight` (per partition) of any balance within the bounds, by bisection.
    pub fn least_peak(&self, devices: &[DeviceSpec], width: usize) -> f64 {
        let weight = |domain: &Domain| {
            let device = devices.iter().find(|device| path(device, 4) == *domain);
            device.map_or(0.0, |device| device.weight.milli() as f64)
        };
        let (mut low, mut high) = (0.0_f64, 1.0_f64);
        for _ in 0..60 {
            let peak = f64::midpoint(low, high);
            if self.most_held(&Vec::new(), &|domain| peak * weight(domain)) >= width as f64 - 1e-9 {
                high = peak;
            } else {
                low = peak;
            }
        }
        high
    }

    /// The most a domain can hold when each device holds at most `cap`. Lower bounds cannot be missed for a cap that is
    /// feasible at all, but one that forces more than the cap allows makes the cap infeasible.
    fn most_held(&self, domain: &Domain, cap: &dyn Fn(&Domain) -> f64) -> f64 {
        let (fewest, most) = self.bounds[domain];
        let free: f64 = if domain.len() == 4 {
            cap(domain)
        } else {
            let below = self.bounds.keys().filter(|d| d.len() == domain.len() + 1 && d.starts_with(domain));
            below.map(|child| self.most_held(child, cap)).sum()
        };
        if free < f64::from(fewest) - 1e-9 { f64::NEG_INFINITY } else { free.min(f64::from(most)) }
    }

    /// Whether whole loads exist within the bounds for which no device is off its share by more than `deviation`.
    pub fn can_be_within(&self, deviation: f64, devices: &[DeviceSpec], rows: usize) -> bool {
        let active = devices.iter().filter(|device| device.state == DeviceState::Active);
        let weights: BTreeMap<Domain, f64> =
            active.map(|device| (path(device, 4), device.weight.milli() as f64)).collect();
        let pieces = f64::from(self.bounds[&Vec::new()].0) * rows as f64;
        let total: f64 = weights.values().sum();
        self.range(&Vec::new(), rows, &|domain| {
            let share = pieces * weights[domain] / total;
            ((share * (1.0 - deviation)).ceil() as i64, (share * (1.0 + deviation)).floor() as i64)
        })
        .is_some()
    }

    /// What `domain` may hold over `rows` partitions when each device holds what `leaf` says.
    fn range(
        &self,
        domain: &Domain,
        rows: usize,
        leaf: &dyn Fn(&Domain) -> (i64, i64),
    ) -> Option<(i64, i64)> {
        let (fewest, most) = self.bounds[domain];
        let (low, high) = if domain.len() == 4 {
            leaf(domain)
        } else {
            let below = self.bounds.keys().filter(|d| d.len() == domain.len() + 1 && d.starts_with(domain));
            let ranges: Vec<(i64, i64)> =
                below.map(|child| self.range(child, rows, leaf)).collect::<Option<_>>()?;
            (ranges.iter().map(|range| range.0).sum(), ranges.iter().map(|range| range.1).sum())
        };
        let (low, high) = (low.max(i64::from(fewest) * rows as i64), high.min(i64::from(most) * rows as i64));
        (low <= high).then_some((low, high))
    }
}
