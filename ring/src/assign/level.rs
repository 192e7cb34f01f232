//! One domain divides its pieces over its children.

use super::{LOOSE, Pieces};
use crate::RingError;
use crate::spread::DomainAt;
use std::collections::BTreeMap;
use std::ops::Range;

/// Not given to a child yet.
const HOLE: u32 = u32::MAX;
/// Cards tried at random before a partition waits for a mend.
const DRAWS: usize = 16;
/// Partitions searched for an exchange that moves only pieces that move anyway.
const FREE_EXCHANGE_SEARCH: usize = 1 << 14;

/// The pieces of a domain on their way to its children.
///
/// "Extra" is a piece of a partition beyond the child's `base`; a `flex` child takes one extra or none.
pub(super) struct Level<'a, 'b> {
    all: &'a mut Pieces<'b>,
    domain: DomainAt,
    children: Range<DomainAt>,
    /// Pieces of this domain, partition by partition.
    pieces: Vec<usize>,
    /// The child each of them goes to, by offset in `children`, or [`HOLE`].
    child: Vec<u32>,
    /// The partitions, as ranges of `pieces`.
    groups: Vec<Range<usize>>,
    /// Children with `base` above 0, and the sum of their bases.
    based: Vec<(u32, u32)>,
    base_sum: u32,
    /// Per child: extras it has, and extras it shall have.
    extras: Vec<u32>,
    extras_wanted: Vec<u32>,
    /// A card per extra that is still to be dealt, naming the child.
    deck: Vec<u32>,
}

impl<'a, 'b> Level<'a, 'b> {
    pub(super) fn new(all: &'a mut Pieces<'b>, domain: DomainAt, pieces: Vec<usize>) -> Self {
        let children = all.tree.domains[domain].children.clone();
        let bases =
            (0..).zip(&all.tree.domains[children.clone()]).map(|(child, domain)| (child, domain.base));
        let based: Vec<(u32, u32)> = bases.filter(|&(_, base)| base > 0).collect();
        let base_sum = based.iter().map(|&(_, base)| base).sum();
        let mut groups: Vec<Range<usize>> = Vec::new();
        for at in 0..pieces.len() {
            match groups.last_mut() {
                Some(group) if pieces[group.start] / all.width == pieces[at] / all.width => {
                    group.end = at + 1
                }
                _ => groups.push(at..at + 1),
            }
        }
        let rows = u32::try_from(groups.len()).expect("at most 2^20 partitions");
        let extra = |child: DomainAt| all.wanted[child] - all.tree.domains[child].base * rows;
        Self {
            extras_wanted: children.clone().map(extra).collect(),
            extras: vec![0; children.len()],
            child: vec![HOLE; pieces.len()],
            deck: Vec::new(),
            all,
            domain,
            children,
            pieces,
            groups,
            based,
            base_sum,
        }
    }

    /// Gives every piece to a child.
    pub(super) fn run(&mut self) -> Result<(), RingError> {
        if self.children.len() == 1 {
            self.child.fill(0);
            return Ok(());
        }
        self.keep();
        for group in 0..self.groups.len() {
            self.trim(group);
        }
        for group in 0..self.groups.len() {
            self.fill_bases(group);
        }
        self.stock_deck();
        let mut holes: Vec<(usize, usize)> = Vec::new();
        for group in 0..self.groups.len() {
            for at in self.groups[group].clone() {
                if self.child[at] == HOLE && !self.deal(group, at) {
                    holes.push((group, at));
                }
            }
        }
        self.shed(&mut holes);
        self.mend(holes)
    }

    /// The pieces with the children they go to.
    pub(super) fn into_children(self) -> impl Iterator<Item = (usize, DomainAt)> {
        let first = self.children.start;
        self.pieces.into_iter().zip(self.child).map(move |(piece, child)| (piece, first + child as usize))
    }

    fn base(&self, child: u32) -> u32 {
        self.all.tree.domains[self.children.start + child as usize].base
    }

    fn is_flex(&self, child: u32) -> bool {
        self.all.tree.domains[self.children.start + child as usize].flex
    }

    /// Pieces of the group that go to `child`.
    fn count(&self, group: usize, child: u32) -> u32 {
        self.child[self.groups[group].clone()].iter().fold(0, |n, &other| n + u32::from(other == child))
    }

    fn has_extra(&self, group: usize, child: u32) -> bool {
        self.count(group, child) > self.base(child)
    }

    /// Leaves every kept piece with the child it is below.
    fn keep(&mut self) {
        let tier = self.all.tree.domains[self.domain].tier + 1;
        for (at, &piece) in self.pieces.iter().enumerate() {
            let device = self.all.kept[piece];
            if device != LOOSE {
                let offset = self.all.tree.path[device as usize][tier] - self.children.start;
                self.child[at] = u32::try_from(offset).expect("at most 65535 children");
            }
        }
        for group in 0..self.groups.len() {
            for at in self.groups[group].clone() {
                let child = self.child[at];
                // Count a child once per partition, at its last piece here.
                let is_last = !self.child[at + 1..self.groups[group].end].contains(&child);
                if child != HOLE && is_last && self.has_extra(group, child) {
                    self.extras[child as usize] += 1;
                }
            }
        }
    }

    /// Loosens extras of a partition that leave too few pieces for the bases of other children.
    fn trim(&mut self, group: usize) {
        let range = self.groups[group].clone();
        let size = u32::try_from(range.len()).expect("at most 48 pieces");
        let room = size - self.base_sum;
        loop {
            let kept = range.clone().filter(|&at| self.child[at] != HOLE).count();
            let based: u32 = self.based.iter().map(|&(child, base)| base.min(self.count(group, child))).sum();
            if u32::try_from(kept).expect("at most 48 pieces") - based <= room {
                return;
            }
            let extras =
                range.clone().filter(|&at| self.child[at] != HOLE && self.has_extra(group, self.child[at]));
            let over = |at: usize| {
                let child = self.child[at] as usize;
                i64::from(self.extras[child]) - i64::from(self.extras_wanted[child])
            };
            let Some(at) = extras.max_by_key(|&at| (self.ease(at), over(at) > 0, over(at))) else { return };
            self.extras[self.child[at] as usize] -= 1;
            self.release(at);
        }
    }

    /// How little it costs to take the piece at `at` off its device: it leaves no gap further down, and its device
    /// has too many.
    fn ease(&self, at: usize) -> (bool, bool) {
        let piece = self.pieces[at];
        if self.all.kept[piece] == LOOSE {
            return (true, true);
        }
        let tier = self.all.tree.domains[self.domain].tier + 1;
        (self.all.is_extra_below(piece, tier), self.all.is_surplus(piece))
    }

    fn release(&mut self, at: usize) {
        self.all.loosen(self.pieces[at]);
        self.child[at] = HOLE;
    }

    fn fill_bases(&mut self, group: usize) {
        for index in 0..self.based.len() {
            let (child, base) = self.based[index];
            for _ in self.count(group, child)..base {
                let hole = self.groups[group].clone().find(|&at| self.child[at] == HOLE);
                self.child[hole.expect("trimming left room for the bases")] = child;
            }
        }
    }

    fn stock_deck(&mut self) {
        for (child, (&has, &wants)) in (0..).zip(self.extras.iter().zip(&self.extras_wanted)) {
            self.deck.extend(std::iter::repeat_n(child, wants.saturating_sub(has) as usize));
        }
        self.all.rng.shuffle(&mut self.deck);
    }

    /// Draws a card for the piece at `at` that its partition can use.
    fn deal(&mut self, group: usize, at: usize) -> bool {
        for draw in 0..DRAWS.min(self.deck.len() * 2) {
            let card = if draw == 0 { self.deck.len() - 1 } else { self.all.rng.below(self.deck.len()) };
            if !self.has_extra(group, self.deck[card]) {
                let child = self.deck.swap_remove(card);
                self.give(at, child);
                return true;
            }
        }
        false
    }

    fn give(&mut self, at: usize, child: u32) {
        self.child[at] = child;
        self.extras[child as usize] += 1;
    }

    /// Takes extras from children above their targets and deals them out anew: first pieces that lie on devices with
    /// too many, from partitions that can use a card. What finds no card becomes a hole.
    fn shed(&mut self, holes: &mut Vec<(usize, usize)>) {
        let over =
            |level: &Self, child: u32| level.extras[child as usize] > level.extras_wanted[child as usize];
        let mut candidates: Vec<(usize, u32)> = Vec::new();
        for group in 0..self.groups.len() {
            let range = self.groups[group].clone();
            for at in range.clone() {
                let child = self.child[at];
                let is_first = !self.child[range.start..at].contains(&child);
                if child != HOLE && is_first && over(self, child) && self.has_extra(group, child) {
                    candidates.push((group, child));
                }
            }
        }
        self.all.rng.shuffle(&mut candidates);
        for needs in [(true, true), (false, true), (true, false), (false, false)] {
            for &(group, child) in &candidates {
                if over(self, child) && self.has_extra(group, child) {
                    self.shed_one(group, child, Some(needs));
                }
            }
        }
        for (group, child) in candidates {
            if over(self, child) && self.has_extra(group, child) {
                let at = self.shed_one(group, child, None);
                holes.extend(at.map(|at| (group, at)));
            }
        }
    }

    /// Sheds the group's easiest piece of `child` if it is as easy as `needs` says and a card can be dealt for it;
    /// with no needs, sheds it at all events and returns the hole.
    fn shed_one(&mut self, group: usize, child: u32, needs: Option<(bool, bool)>) -> Option<usize> {
        let here = self.groups[group].clone().filter(|&at| self.child[at] == child);
        let at = here.max_by_key(|&at| self.ease(at))?;
        if let Some(needs) = needs {
            let ease = self.ease(at);
            if (needs.0 && !ease.0) || (needs.1 && !ease.1) || !self.deal(group, at) {
                return None;
            }
            self.all.loosen(self.pieces[at]);
        } else {
            self.release(at);
        }
        self.extras[child as usize] -= 1;
        needs.is_none().then_some(at)
    }

    /// Fills the last holes by exchanges: partition `p` has a hole, but already the child `j` whose card is left; some
    /// partition `q` lacks `j` and has an extra `i` that `p` lacks. Then `q` takes `j` for `i`, and `p` takes `i`.
    ///
    /// If the only partitions that lack `j` have holes too, one of them takes `j` in its own turn: every lap fills a
    /// hole.
    fn mend(&mut self, mut holes: Vec<(usize, usize)>) -> Result<(), RingError> {
        let mut cards: BTreeMap<u32, usize> = BTreeMap::new();
        for card in std::mem::take(&mut self.deck) {
            *cards.entry(card).or_default() += 1;
        }
        while !holes.is_empty() {
            let before = holes.len();
            holes.retain(|&(group, at)| !self.fill(group, at, &mut cards));
            if holes.len() == before {
                return Err(RingError::Internal {
                    what: "a matrix of near-equal rows can be mended by exchanges",
                });
            }
        }
        if cards.is_empty() {
            Ok(())
        } else {
            Err(RingError::Internal { what: "holes and cards are equally many" })
        }
    }

    /// Fills a hole with a card its partition can use, or by the cheapest exchange.
    fn fill(&mut self, group: usize, at: usize, cards: &mut BTreeMap<u32, usize>) -> bool {
        let usable = cards.keys().copied().find(|&card| !self.has_extra(group, card));
        let card = if let Some(card) = usable {
            self.give(at, card);
            card
        } else {
            let Some((&card, _)) = cards.iter().max_by_key(|&(_, &left)| left) else { return false };
            if !self.exchange(group, at, card, true) && !self.exchange(group, at, card, false) {
                return false;
            }
            card
        };
        if let std::collections::btree_map::Entry::Occupied(mut left) = cards.entry(card) {
            *left.get_mut() -= 1;
            if *left.get() == 0 {
                left.remove();
            }
        }
        true
    }

    fn exchange(&mut self, group: usize, hole: usize, card: u32, free_only: bool) -> bool {
        let from = self.all.rng.below(self.groups.len());
        let search = if free_only { FREE_EXCHANGE_SEARCH } else { usize::MAX };
        for step in 0..self.groups.len().min(search) {
            let other = (from + step) % self.groups.len();
            let range = self.groups[other].clone();
            if self.has_extra(other, card) || self.child[range.clone()].contains(&HOLE) {
                continue;
            }
            let found = range.into_iter().find(|&at| {
                let child = self.child[at];
                (!free_only || self.all.kept[self.pieces[at]] == LOOSE)
                    && self.is_flex(child)
                    && self.has_extra(other, child)
                    && !self.has_extra(group, child)
            });
            if let Some(at) = found {
                self.all.loosen(self.pieces[at]);
                self.child[hole] = std::mem::replace(&mut self.child[at], card);
                self.extras[card as usize] += 1;
                return true;
            }
        }
        false
    }
}
