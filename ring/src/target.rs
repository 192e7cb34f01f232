//! How many pieces each failure domain and device should hold: the best balance that the dispersion allows.
//!
//! Dispersion bounds what a domain holds: `base * P` to `(base + 1) * P` pieces over `P` partitions. Within such
//! nested bounds the fairest loads are those of one water level: a device holds `level * weight`, cut off at its
//! bounds, and a domain what its children hold, cut off at its own. Of all loads within the bounds these have the
//! least greatest excess over the share by weight and the greatest least; where a domain is cut off, its children
//! share what it has by a level of their own.
//!
//! Whole pieces then come from fractions from the root down, so that sums hold at every tier; what rounding leaves
//! over goes to those that already hold it. So a table that meets its targets has the same targets again: planning
//! twice moves nothing.

use crate::spread::{DomainAt, Tree};

/// Rounds of bisection for a level: below the precision of the numbers.
const BISECTIONS: usize = 100;
/// Fractions nearer than this to a whole number are whole.
const WHOLE: f64 = 1e-6;

/// The number of pieces each domain of `tree` shall hold over `rows` partitions; `held` is what it holds now.
pub(crate) fn targets(tree: &Tree, rows: usize, held: &[u32]) -> Vec<u32> {
    let rows = u32::try_from(rows).expect("at most 2^20 partitions");
    let mut targets = vec![0; tree.domains.len()];
    targets[0] = tree.domains[0].base * rows;
    let mut levels = Levels { tree, rows: f64::from(rows), loads: vec![0.0; tree.domains.len()] };
    for at in 0..tree.domains.len() {
        let children = tree.domains[at].children.clone();
        if !children.is_empty() {
            levels.settle(at, f64::from(targets[at]));
            round(tree, rows, children, targets[at], &levels.loads, held, &mut targets);
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

impl Levels<'_> {
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

/// Whole targets for `children` that add up to `sum`, each next to its load and within its bounds.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn round(
    tree: &Tree,
    rows: u32,
    children: std::ops::Range<DomainAt>,
    sum: u32,
    loads: &[f64],
    held: &[u32],
    targets: &mut [u32],
) {
    for child in children.clone() {
        targets[child] = (loads[child] + WHOLE).floor() as u32;
    }
    let mut order: Vec<DomainAt> = children.clone().collect();
    order.sort_by(|&a, &b| {
        let part = |at: DomainAt| (loads[at] - f64::from(targets[at])).max(0.0);
        let keeps = |at: DomainAt| part(at) > WHOLE && held[at] > targets[at];
        keeps(b).cmp(&keeps(a)).then(part(b).total_cmp(&part(a))).then(a.cmp(&b))
    });
    // One lap is the rule; further ones only mend what the precision of the numbers left.
    let mut done: u32 = children.clone().map(|child| targets[child]).sum();
    while done != sum {
        let before = done;
        for &child in &order {
            let domain = &tree.domains[child];
            if done < sum && targets[child] < domain.most() * rows {
                targets[child] += 1;
                done += 1;
            } else if done > sum && targets[child] > domain.base * rows {
                targets[child] -= 1;
                done -= 1;
            }
        }
        assert!(done != before, "the bounds of children hold what their parent holds");
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
