//! How many pieces each failure domain and device should hold: the best balance that the dispersion allows.
//!
//! Dispersion bounds what a domain holds: `base * P` to `(base + 1) * P` pieces over `P` partitions. Within such
//! nested bounds the fairest loads are those of one water level: a device holds `level * weight`, cut off at its
//! bounds, and a domain what its children hold, cut off at its own. Of all loads within the bounds these have the
//! least greatest excess over the share by weight and the greatest least; where a domain is cut off, its children
//! share what it has by a level of their own.
//!
//! Whole pieces come from these fractional loads in three steps:
//!
//! 1. What the worst device's deviation from its share has to be, in whole pieces, is found: the least that leaves every
//!    domain a range to choose from, between its bounds and the sums of its children (`Ranges::tightest`).
//! 2. Within that each device shall hold its load, rounded up or down; only if that does not add up, one piece more or less
//!    (`Ranges::near`).
//! 3. Within these ranges every device keeps what it holds. What is then missing or too much at a domain goes to the
//!    children that come nearest to their loads by it.
//!
//! A table that meets its targets lies within the same ranges again and keeps what it holds: planning twice moves nothing.

use crate::spread::{DomainAt, Tree};

/// Rounds of bisection for a level: below the precision of the numbers.
const BISECTIONS: usize = 100;
/// Fractions nearer than this to a whole number are whole.
const WHOLE: f64 = 1e-6;

/// The number of pieces each domain of `tree` shall hold over `rows` partitions; `held` is what it holds now.
pub(crate) fn targets(tree: &Tree, rows: usize, held: &[u32]) -> Vec<u32> {
    let rows = u32::try_from(rows).expect("at most 2^20 partitions");
    let loads = Levels::fill(tree, rows);
    let ranges = Ranges::near(tree, rows, &loads);
    let mut targets = ranges.nearest(tree, held);
    targets[0] = tree.domains[0].base * rows;
    for at in 0..tree.domains.len() {
        let children = tree.domains[at].children.clone();
        if !children.is_empty() {
            settle_sum(children, targets[at], &ranges, &loads, &mut targets);
        }
    }
    targets
}

/// Loads as a function of the water level.
struct Levels<'a> {
    tree: &'a Tree,
    rows: f64,
    loads: Vec<f64>,
}

impl<'a> Levels<'a> {
    /// The fairest loads of all domains.
    fn fill(tree: &'a Tree, rows: u32) -> Vec<f64> {
        let mut levels = Self { tree, rows: f64::from(rows), loads: vec![0.0; tree.domains.len()] };
        levels.loads[0] = f64::from(tree.domains[0].base) * levels.rows;
        for at in 0..tree.domains.len() {
            if !tree.domains[at].children.is_empty() {
                levels.settle(at, levels.loads[at]);
            }
        }
        levels.loads
    }

    /// The load below `at` when the water stands at `level`, cut off at the bounds.
    fn load(&mut self, at: DomainAt, level: f64) -> f64 {
        let tree = self.tree;
        let domain = &tree.domains[at];
        let free = if domain.children.is_empty() { level * domain.weight } else { self.below(at, level) };
        let (least, most) = (f64::from(domain.base) * self.rows, f64::from(domain.most()) * self.rows);
        self.loads[at] = free.clamp(least, most);
        self.loads[at]
    }

    fn below(&mut self, at: DomainAt, level: f64) -> f64 {
        let tree = self.tree;
        tree.domains[at].children.clone().map(|child| self.load(child, level)).sum()
    }

    /// Finds the level at which the children of `at` hold `wanted` together, and leaves their loads in `loads`.
    fn settle(&mut self, at: DomainAt, wanted: f64) {
        let (mut low, mut high) = (0.0, self.rows);
        for _ in 0..BISECTIONS {
            let middle = f64::midpoint(low, high);
            if self.below(at, middle) < wanted {
                low = middle;
            } else {
                high = middle;
            }
        }
        self.below(at, high);
    }
}

/// How many whole pieces each domain may hold. Children whose sums reach that far can always be found.
struct Ranges {
    least: Vec<u32>,
    most: Vec<u32>,
}

impl Ranges {
    /// The ranges within [`Self::tightest`] that lie as near to the loads as adds up.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn near(tree: &Tree, rows: u32, loads: &[f64]) -> Self {
        let tightest = Self::tightest(tree, rows);
        let (mut slack, mut step) = (0_u32, 1);
        while slack < rows {
            let near = Self::of(tree, rows, |at| {
                let (down, up) = ((loads[at] + WHOLE).floor() as u32, (loads[at] - WHOLE).ceil() as u32);
                let least = down.saturating_sub(slack).max(tightest.least[at]);
                (least, up.max(down).saturating_add(slack).min(tightest.most[at]))
            });
            if let Some(near) = near {
                return near;
            }
            (slack, step) = (slack + step, step * 2);
        }
        tightest
    }

    /// The ranges under which the device farthest from its share is as near to it as whole pieces allow.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn tightest(tree: &Tree, rows: u32) -> Self {
        let pieces = f64::from(tree.domains[0].base * rows);
        let share = |at: DomainAt| pieces * tree.domains[at].weight / tree.domains[0].weight;
        let within = |deviation: f64| {
            Self::of(tree, rows, |at| {
                let least = (share(at) * (1.0 - deviation) - WHOLE).ceil().max(0.0);
                (least as u32, (share(at) * (1.0 + deviation) + WHOLE).floor() as u32)
            })
        };
        // So far off that only the bounds count.
        let leaves = (0..tree.domains.len()).filter(|&at| tree.domains[at].children.is_empty());
        let far = leaves.map(|at| f64::from(rows) / share(at)).fold(1.0, f64::max);
        let (mut low, mut high) = (0.0, far);
        let mut tightest = within(far).expect("dispersion alone leaves a choice");
        for _ in 0..BISECTIONS {
            let deviation = f64::midpoint(low, high);
            match within(deviation) {
                Some(ranges) => (high, tightest) = (deviation, ranges),
                None => low = deviation,
            }
        }
        tightest
    }

    /// The ranges when each device has the one that `leaf` says, and dispersion bounds all; `None` if that leaves some
    /// domain nothing to choose.
    fn of(tree: &Tree, rows: u32, leaf: impl Fn(DomainAt) -> (u32, u32)) -> Option<Self> {
        let mut ranges = Self { least: vec![0; tree.domains.len()], most: vec![0; tree.domains.len()] };
        // Children come after their parents.
        for (at, domain) in tree.domains.iter().enumerate().rev() {
            let (least, most) = if domain.children.is_empty() {
                leaf(at)
            } else {
                // Devices may hold more each than their domain may hold in all.
                let sum = |of: &[u32]| {
                    of[domain.children.clone()].iter().fold(0_u32, |sum, &part| sum.saturating_add(part))
                };
                (sum(&ranges.least), sum(&ranges.most))
            };
            ranges.least[at] = least.max(domain.base * rows);
            ranges.most[at] = most.min(domain.most() * rows);
            if ranges.least[at] > ranges.most[at] {
                return None;
            }
        }
        Some(ranges)
    }

    /// What each domain holds when each of its devices holds as nearly as it may what it `held`.
    fn nearest(&self, tree: &Tree, held: &[u32]) -> Vec<u32> {
        let mut targets = vec![0; tree.domains.len()];
        for (at, domain) in tree.domains.iter().enumerate().rev() {
            let holds = if domain.children.is_empty() {
                held[at]
            } else {
                targets[domain.children.clone()].iter().sum()
            };
            targets[at] = holds.clamp(self.least[at], self.most[at]);
        }
        targets
    }
}

/// Makes the targets of `children` add up to `sum`, each within its range.
fn settle_sum(
    children: std::ops::Range<DomainAt>,
    sum: u32,
    ranges: &Ranges,
    loads: &[f64],
    targets: &mut [u32],
) {
    let mut done: u32 = children.clone().map(|child| targets[child]).sum();
    while done != sum {
        let takes = done < sum;
        let off = |at: DomainAt, targets: &[u32]| {
            let lacks = loads[at] - f64::from(targets[at]);
            if takes { lacks } else { -lacks }
        };
        let can = |at: DomainAt| {
            if takes { targets[at] < ranges.most[at] } else { targets[at] > ranges.least[at] }
        };
        let mut order: Vec<DomainAt> = children.clone().filter(|&at| can(at)).collect();
        order.sort_by(|&a, &b| off(b, targets).total_cmp(&off(a, targets)).then(a.cmp(&b)));
        // Those that are off their load come first, all of them once more before any that is not.
        let off_count = order.iter().take_while(|&&at| off(at, targets) > WHOLE).count();
        if off_count > 0 {
            order.truncate(off_count);
        }
        assert!(!order.is_empty(), "the ranges of children hold what their parent holds");
        for at in order.into_iter().take(done.abs_diff(sum) as usize) {
            if takes {
                (targets[at], done) = (targets[at] + 1, done + 1);
            } else {
                (targets[at], done) = (targets[at] - 1, done - 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeviceSpec, Weight};
    use ringfort_core::DeviceId;

    fn device_targets(devices: &[(&str, f64)], width: usize, rows: usize) -> Vec<u32> {
        let spec = |(id, (zone, weight)): (u32, &(&str, f64))| {
            DeviceSpec::new(DeviceId(id))
                .at("r", zone, &format!("n{id}"))
                .with_weight(Weight::from_f64(*weight).unwrap())
        };
        let specs: Vec<DeviceSpec> = (0..).zip(devices).map(spec).collect();
        let refs: Vec<&DeviceSpec> = specs.iter().collect();
        let tree = Tree::new(&refs, |device| device.weight.as_f64(), width);
        let targets = targets(&tree, rows, &vec![0; tree.domains.len()]);
        (0..devices.len()).map(|at| targets[tree.path[at][4]]).collect()
    }

    #[test]
    fn level_fills() {
        // By weight alone; with one device at its bound; with zones that fix what each gets.
        assert_eq!(device_targets(&[("a", 1.0), ("a", 1.0), ("a", 2.0)], 1, 100), [25, 25, 50]);
        assert_eq!(device_targets(&[("a", 1.0), ("a", 1.0), ("a", 8.0)], 2, 100), [50, 50, 100]);
        assert_eq!(
            device_targets(&[("a", 1.0), ("a", 3.0), ("b", 1.0), ("b", 1.0)], 2, 100),
            [25, 75, 50, 50]
        );
        assert_eq!(device_targets(&[("a", 1.0), ("a", 1.0), ("a", 1.0)], 1, 100), [34, 33, 33]);
    }

    /// Fails when `round` does not look at what is held: each of three equal devices would do for the odd piece.
    #[test]
    fn the_odd_piece_stays() {
        let specs: Vec<DeviceSpec> = (0..3).map(|id| DeviceSpec::new(DeviceId(id))).collect();
        let refs: Vec<&DeviceSpec> = specs.iter().collect();
        let tree = Tree::new(&refs, |device| device.weight.as_f64(), 1);
        for odd in 0..3 {
            let mut held = vec![33; tree.domains.len()];
            held[tree.path[odd][4]] = 34;
            assert_eq!(targets(&tree, 100, &held)[tree.path[odd][4]], 34);
        }
    }
}
