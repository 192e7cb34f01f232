//! Takes back moves that were not needed, by exchanges around cycles of devices.
//!
//! The division from the root down looks at one tier at a time, so a partition chosen to leave a zone can turn out
//! to be one that fits badly elsewhere. Here every single exchange that keeps a partition's dispersion is an arc
//! from the device that loses the piece to the one that gets it; it costs a move, saves one, or neither. A cycle of
//! arcs leaves every load as it is. While there is a cycle that saves moves on balance, it is taken: when there is
//! none (over distinct partitions), the moves are the fewest for these loads. Effort is bounded by counts, never by
//! a clock, and rings of very many devices, whose many choices the division serves well, are left as they are.

use super::LOOSE;
use crate::rng::Rng;
use crate::spread::{DomainAt, TIERS, Tree};

/// The most devices considered.
const DEVICES: usize = 64;
/// The most exchanges looked at per sweep.
const SWEEP_ARCS: usize = 1 << 24;
/// Exchanges remembered per pair of devices and cost.
const ARCS_PER_PAIR: usize = 512;
/// Rounds of collecting arcs and taking cycles.
const SWEEPS: usize = 64;
/// Arc relaxations in all.
const RELAXATIONS: usize = 1 << 28;

/// An exchange: the index of the piece, in a partition where the other device may take it.
type Arc = u32;

/// Costs of an arc, by class: it saves a move, is neutral, or makes one.
const COSTS: [i32; 3] = [-1, 0, 1];

/// Reduces the moves from `old` to `placed`, partition by partition of `width` pieces, without changing any load.
pub(super) fn improve(tree: &Tree, placed: &mut [u32], old: &[u32], width: usize, rng: &mut Rng) {
    let devices = tree.path.len();
    let is_first = old.iter().all(|&device| device == LOOSE);
    if is_first || devices > DEVICES || placed.len() * devices > SWEEP_ARCS {
        return;
    }
    let mut search =
        Search { tree, placed, old, width, devices, arcs: Vec::new(), used: Vec::new(), work: 0 };
    for _ in 0..SWEEPS {
        search.collect(rng);
        if !search.take_cycles() || search.work > RELAXATIONS {
            return;
        }
    }
}

struct Search<'a> {
    tree: &'a Tree,
    placed: &'a mut [u32],
    old: &'a [u32],
    width: usize,
    devices: usize,
    /// Per cost class and pair of devices.
    arcs: Vec<Vec<Arc>>,
    /// Partitions changed in this sweep; their arcs are stale.
    used: Vec<bool>,
    work: usize,
}

impl Search<'_> {
    fn slot(&self, class: usize, from: usize, to: usize) -> usize {
        (class * self.devices + from) * self.devices + to
    }

    fn collect(&mut self, rng: &mut Rng) {
        let rows = self.placed.len() / self.width;
        self.used = vec![false; rows];
        self.arcs = vec![Vec::new(); COSTS.len() * self.devices * self.devices];
        let start = rng.below(rows);
        for row in (start..rows).chain(0..start) {
            let range = row * self.width..(row + 1) * self.width;
            let mut counts: Vec<(DomainAt, u32)> = Vec::with_capacity(self.width * TIERS);
            for &device in &self.placed[range.clone()] {
                for &domain in &self.tree.path[device as usize] {
                    match counts.iter_mut().find(|(other, _)| *other == domain) {
                        Some((_, count)) => *count += 1,
                        None => counts.push((domain, 1)),
                    }
                }
            }
            for piece in range.clone() {
                for to in 0..self.devices {
                    self.collect_arc(piece, to, &counts);
                }
            }
        }
    }

    fn collect_arc(&mut self, piece: usize, to: usize, counts: &[(DomainAt, u32)]) {
        let row = piece / self.width * self.width;
        let from = self.placed[piece] as usize;
        let device = |at: usize| u32::try_from(at).expect("at most 65535 devices");
        let was_there = |at: usize| self.old[row..row + self.width].contains(&device(at));
        let class = 1 + usize::from(was_there(from)) - usize::from(was_there(to));
        let slot = self.slot(class, from, to);
        if self.arcs[slot].len() < ARCS_PER_PAIR && self.keeps_bounds(from, to, counts) {
            self.arcs[slot].push(u32::try_from(piece).expect("at most 2^24 pieces are considered"));
        }
    }

    /// Whether the partition with these counts stays as far apart when a piece goes `from` one device `to` another.
    fn keeps_bounds(&self, from: usize, to: usize, counts: &[(DomainAt, u32)]) -> bool {
        let count = |domain| counts.iter().find(|(other, _)| *other == domain).map_or(0, |&(_, count)| count);
        let pairs = self.tree.path[from].iter().zip(&self.tree.path[to]);
        pairs.filter(|(loses, gets)| loses != gets).all(|(&loses, &gets)| {
            count(loses) > self.tree.domains[loses].base && count(gets) < self.tree.domains[gets].most()
        }) && from != to
    }

    /// Takes cycles that save moves until there are none; false if there was none at all.
    fn take_cycles(&mut self) -> bool {
        let mut any = false;
        while self.work <= RELAXATIONS {
            let Some(cycle) = self.find_cycle() else { break };
            let pieces = self.pick(&cycle);
            // Two arcs of one partition cannot be taken together unseen; the arc that has no other is dropped.
            for (&(slot, to), piece) in cycle.iter().zip(pieces.iter().flatten()) {
                self.placed[*piece as usize] = to;
                self.used[*piece as usize / self.width] = true;
                self.arcs[slot].pop();
                any = true;
            }
        }
        any
    }

    /// A piece for each arc of the cycle, in distinct partitions; `None` (and an arc fewer) if one has none left.
    fn pick(&mut self, cycle: &[(usize, u32)]) -> Option<Vec<Arc>> {
        let mut pieces: Vec<Arc> = Vec::new();
        for &(slot, _) in cycle {
            let width = self.width;
            let row = |piece: Arc| piece as usize / width;
            let arcs = &self.arcs[slot];
            let free = arcs
                .iter()
                .rposition(|&arc| pieces.iter().all(|&other| row(other) != row(arc)) && !self.used[row(arc)]);
            let Some(at) = free else {
                self.arcs[slot].pop();
                return None;
            };
            let last = self.arcs[slot].len() - 1;
            self.arcs[slot].swap(at, last);
            pieces.push(self.arcs[slot][last]);
        }
        Some(pieces)
    }

    /// The cheapest class with an arc from one device to another.
    fn cheapest(&mut self, from: usize, to: usize) -> Option<usize> {
        for class in 0..COSTS.len() {
            let slot = self.slot(class, from, to);
            while let Some(&arc) = self.arcs[slot].last() {
                if !self.used[arc as usize / self.width] {
                    return Some(class);
                }
                self.arcs[slot].pop();
            }
        }
        None
    }

    /// A cycle of negative cost as (slot, receiving device) per arc, by Bellman and Ford.
    fn find_cycle(&mut self) -> Option<Vec<(usize, u32)>> {
        let n = self.devices;
        let mut edges: Vec<(usize, usize, usize)> = Vec::new();
        for from in 0..n {
            for to in 0..n {
                if let Some(class) = self.cheapest(from, to) {
                    edges.push((from, to, class));
                }
            }
        }
        self.work += n * n;
        let mut distance = vec![0_i32; n];
        let mut by: Vec<Option<usize>> = vec![None; n];
        let mut last_changed = None;
        for _ in 0..n {
            self.work += edges.len();
            last_changed = None;
            for (at, &(from, to, class)) in edges.iter().enumerate() {
                if distance[from] + COSTS[class] < distance[to] {
                    distance[to] = distance[from] + COSTS[class];
                    by[to] = Some(at);
                    last_changed = Some(to);
                }
            }
            last_changed?;
        }
        // After n steps back from a device that still changed we stand on the cycle.
        let mut node = last_changed?;
        for _ in 0..n {
            node = edges[by[node]?].0;
        }
        let (first, mut cycle) = (node, Vec::new());
        loop {
            let (from, to, class) = edges[by[node]?];
            cycle.push((self.slot(class, from, to), u32::try_from(to).expect("at most 64 devices")));
            node = from;
            if node == first {
                return Some(cycle);
            }
        }
    }
}
