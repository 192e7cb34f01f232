//! Which device takes which piece: the targets met exactly, pieces apart, and few moves.
//!
//! Pieces are placed from the root of the tree of failure domains to its leaves. A domain divides the pieces it was
//! given over its children: of each partition, `base` pieces to every child and one more to some `flex` ones, so
//! that rows and columns of this matrix of extras have given sums (the partition's pieces, the children's targets).
//! Since the row sums of a domain differ by one at most, such a matrix always exists, whatever the columns (Gale and
//! Ryser), and a wrong one is mended by exchanges with a single other partition (`level`). So the tree never has to
//! be climbed again.
//!
//! Few moves come from what is kept, in this order:
//!
//! 1. Pieces of devices that are gone or draining are loose, and those that are too near to others of their partition
//!    ([`Pieces::loosen_crowded`]).
//! 2. Each domain keeps the pieces it has, cuts what a partition or a child has too many of, and deals the loose
//!    ones to the children below their targets. What is cut lies on a device above its own target wherever that can
//!    be: a piece that must leave its device leaves its node and zone for free.
//! 3. Moves that turn out not to be needed are taken back, in rings of few devices (`improve`).

mod improve;
mod level;

use crate::rng::Rng;
use crate::spread::{DomainAt, TIERS, Tree};
use crate::target::targets;
use crate::{DeviceSpec, RingError};
use level::Level;
use ringfort_core::DeviceId;
use std::collections::HashMap;

/// No device: the piece is loose.
const LOOSE: u32 = u32::MAX;

/// Assigns `rows` partitions of `width` pieces to `active` devices by weight, starting from `before`.
///
/// Position for position, a piece stays where it was if it may.
pub(crate) fn assign(
    active: &[&DeviceSpec],
    before: Option<&[DeviceId]>,
    rows: usize,
    width: usize,
    seed: &[u8; 32],
) -> Result<Vec<DeviceId>, RingError> {
    let tree = Tree::new(active, |device| device.weight.as_f64(), width);
    let index: HashMap<DeviceId, u32> = active.iter().map(|device| device.id).zip(0..).collect();
    let old: Vec<u32> = before.map_or_else(
        || vec![LOOSE; rows * width],
        |before| before.iter().map(|id| index.get(id).copied().unwrap_or(LOOSE)).collect(),
    );
    let placed = place(&tree, old, width, Rng::new(seed, "ringfort ring assignment"))?;
    Ok(placed.into_iter().map(|device| active[device as usize].id).collect())
}

/// As [`assign`], in indexes of devices; [`LOOSE`] in `old` stands for none.
pub(crate) fn place(tree: &Tree, old: Vec<u32>, width: usize, rng: Rng) -> Result<Vec<u32>, RingError> {
    let rows = old.len() / width;
    let mut pieces = Pieces {
        tree,
        width,
        kept_load: vec![0; tree.domains.len()],
        wanted: Vec::new(),
        kept: old.clone(),
        rng,
    };
    for &device in &pieces.kept {
        count(tree, &mut pieces.kept_load, device);
    }
    pieces.loosen_crowded();
    pieces.wanted = targets(tree, rows, &pieces.kept_load);
    let mut domain_of: Vec<DomainAt> = vec![0; old.len()];
    for tier in 0..TIERS {
        pieces.divide(tier, &mut domain_of)?;
    }
    let mut placed: Vec<u32> = domain_of.iter().map(|&leaf| to_index(tree.domains[leaf].device)).collect();
    improve::improve(tree, &mut placed, &old, width, &mut pieces.rng);
    for (row, was) in placed.chunks_exact_mut(width).zip(old.chunks_exact(width)) {
        settle_positions(row, was, &mut pieces.rng);
    }
    Ok(placed)
}

/// The pieces of all partitions: piece `row * width + position`.
struct Pieces<'a> {
    tree: &'a Tree,
    width: usize,
    /// The device each piece stays on so far, or [`LOOSE`].
    kept: Vec<u32>,
    /// Pieces kept per domain.
    kept_load: Vec<u32>,
    /// Pieces each domain shall hold.
    wanted: Vec<u32>,
    rng: Rng,
}

impl Pieces<'_> {
    /// Takes a piece off its device.
    fn loosen(&mut self, piece: usize) {
        let device = std::mem::replace(&mut self.kept[piece], LOOSE);
        if device != LOOSE {
            for &domain in &self.tree.path[device as usize] {
                self.kept_load[domain] -= 1;
            }
        }
    }

    /// The pieces of the row that `piece` belongs to.
    fn row_of(&self, piece: usize) -> std::ops::Range<usize> {
        let from = piece / self.width * self.width;
        from..from + self.width
    }

    /// Kept pieces of the row of `piece` in `domain`.
    fn kept_in(&self, piece: usize, domain: DomainAt) -> u32 {
        let tier = self.tree.domains[domain].tier;
        let kept = &self.kept[self.row_of(piece)];
        kept.iter().fold(0, |n, &device| {
            n + u32::from(device != LOOSE && self.tree.path[device as usize][tier] == domain)
        })
    }

    /// Whether `piece` could leave without another having to take its place in some domain below `tier`.
    fn is_extra_below(&self, piece: usize, tier: usize) -> bool {
        let path = &self.tree.path[self.kept[piece] as usize];
        path[tier + 1..].iter().all(|&domain| self.kept_in(piece, domain) > self.tree.domains[domain].base)
    }

    /// Whether the device of `piece` holds more than it shall.
    fn is_surplus(&self, piece: usize) -> bool {
        let leaf = self.tree.path[self.kept[piece] as usize][TIERS];
        self.kept_load[leaf] > self.wanted[leaf]
    }

    /// Loosens pieces until no domain has more of any partition than it may: the widest domains first, and in them
    /// pieces that are crowded further down too.
    fn loosen_crowded(&mut self) {
        for row in 0..self.kept.len() / self.width {
            for tier in 1..TIERS {
                for piece in row * self.width..(row + 1) * self.width {
                    if self.kept[piece] != LOOSE && self.is_crowded(piece, tier) {
                        let most_crowded = self.most_crowded_with(piece, tier);
                        self.loosen(most_crowded);
                    }
                }
            }
        }
    }

    fn is_crowded(&self, piece: usize, tier: usize) -> bool {
        let domain = self.tree.path[self.kept[piece] as usize][tier];
        self.kept_in(piece, domain) > self.tree.domains[domain].most()
    }

    /// Of the row's pieces in the domain of `piece`, the one crowded in the most tiers; then the one on the fullest
    /// device.
    fn most_crowded_with(&self, piece: usize, tier: usize) -> usize {
        let domain = self.tree.path[self.kept[piece] as usize][tier];
        let here =
            |&at: &usize| self.kept[at] != LOOSE && self.tree.path[self.kept[at] as usize][tier] == domain;
        let crowding = |&at: &usize| {
            let leaf = self.tree.path[self.kept[at] as usize][TIERS];
            ((tier + 1..TIERS).filter(|&tier| self.is_crowded(at, tier)).count(), self.kept_load[leaf])
        };
        self.row_of(piece).filter(here).max_by_key(crowding).unwrap_or(piece)
    }

    /// Moves every piece from its domain in `tier` to a child.
    fn divide(&mut self, tier: usize, domain_of: &mut [DomainAt]) -> Result<(), RingError> {
        for (domain, pieces) in by_domain(self.tree, tier, domain_of) {
            let mut level = Level::new(self, domain, pieces);
            level.run()?;
            for (piece, child) in level.into_children() {
                domain_of[piece] = child;
            }
        }
        Ok(())
    }
}

/// The pieces of each domain of `tier` that has any, in the order of pieces.
fn by_domain(tree: &Tree, tier: usize, domain_of: &[DomainAt]) -> Vec<(DomainAt, Vec<usize>)> {
    let mut lists: Vec<(DomainAt, Vec<usize>)> = Vec::new();
    let mut place = vec![usize::MAX; tree.domains.len()];
    for (at, domain) in tree.domains.iter().enumerate().filter(|(_, domain)| domain.tier == tier) {
        debug_assert_eq!(domain.tier, tier);
        place[at] = lists.len();
        lists.push((at, Vec::new()));
    }
    for (piece, &domain) in domain_of.iter().enumerate() {
        lists[place[domain]].1.push(piece);
    }
    lists.retain(|(_, pieces)| !pieces.is_empty());
    lists
}

fn count(tree: &Tree, load: &mut [u32], device: u32) {
    if device != LOOSE {
        for &domain in &tree.path[device as usize] {
            load[domain] += 1;
        }
    }
}

fn to_index(device: usize) -> u32 {
    u32::try_from(device).expect("at most 65535 devices")
}

/// Puts devices that the partition had before back to their old positions and the new ones to the others in random
/// order, so that no position (no fragment index) sticks to a failure domain.
fn settle_positions(row: &mut [u32], was: &[u32], rng: &mut Rng) {
    for (at, before) in was.iter().enumerate() {
        if let Some(now) = row.iter().position(|device| device == before) {
            row.swap(at, now);
        }
    }
    let fresh: Vec<usize> = (0..row.len()).filter(|&at| row[at] != was[at]).collect();
    for last in (1..fresh.len()).rev() {
        row.swap(fresh[last], fresh[rng.below(last + 1)]);
    }
}
