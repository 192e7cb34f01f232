//! What a ring change would do, and why, before anything is done.

use crate::{DeviceSpec, DeviceState, PartitionId, RingTable};
use ringfort_core::DeviceId;
use std::collections::{BTreeMap, BTreeSet};

/// A new table and everything an operator wants to know before applying it.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The table, under the epoch after the old one's.
    pub table: RingTable,
    /// Every piece whose device changes, by partition. On a first ring: none, since nothing is stored yet.
    pub moves: Vec<Move>,
    /// What becomes of each device of the old and the new ring, by id.
    pub devices: Vec<DeviceChange>,
    /// How far apart the pieces of a partition lie.
    pub dispersion: Dispersion,
    /// How near the devices come to their shares by weight.
    pub balance: Balance,
}

/// One piece that changes its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Move {
    /// The partition.
    pub partition: PartitionId,
    /// The position in the partition: the fragment index of an erasure-coded chunk.
    pub position: u8,
    /// The device that holds the piece under the old table.
    pub from: DeviceId,
    /// The device that shall hold it.
    pub to: DeviceId,
}

/// What becomes of one device.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceChange {
    /// The device.
    pub device: DeviceId,
    /// Where it is, as `region/zone/node`.
    pub place: String,
    /// Its state under the new table.
    pub state: DeviceState,
    /// Pieces it holds under the old table.
    pub holds_before: u32,
    /// Pieces it holds under the new table.
    pub holds_after: u32,
    /// Pieces that leave it.
    pub gives: u32,
    /// Pieces that come to it.
    pub takes: u32,
    /// Pieces it would hold if only weight counted.
    pub share: f64,
    /// Why, for people.
    pub reason: String,
}

/// How far apart the pieces of each partition lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dispersion {
    /// Over regions.
    pub regions: TierSpread,
    /// Over zones.
    pub zones: TierSpread,
    /// Over nodes.
    pub nodes: TierSpread,
}

/// How the pieces of partitions spread over the domains of one tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TierSpread {
    /// Domains with an active device.
    pub domains: usize,
    /// The fewest domains any partition lies in.
    pub fewest: usize,
    /// The most pieces of one partition in one domain: what its loss costs.
    pub most_together: usize,
}

/// How near the devices come to their shares by weight; 0.05 stands for 5 %.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Balance {
    /// How far the fullest active device lies above its share.
    pub most_over: f64,
    /// How far the emptiest active device lies below its share.
    pub most_under: f64,
}

impl Plan {
    /// Describes the step from `old` to `table`; `given` are the devices as the operator listed them.
    pub(crate) fn describe(old: Option<&RingTable>, table: RingTable, given: &[DeviceSpec]) -> Self {
        let moves = old.map_or_else(Vec::new, |old| moves(old, &table));
        let devices = Changes::new(old, &table, given, &moves).list();
        let dispersion = Dispersion::of(&table);
        let active = devices.iter().filter(|change| change.state == DeviceState::Active);
        let ratios = active.map(|change| f64::from(change.holds_after) / change.share - 1.0);
        let balance = ratios.fold(Balance::default(), |balance, ratio| Balance {
            most_over: balance.most_over.max(ratio),
            most_under: balance.most_under.max(-ratio),
        });
        Self { table, moves, devices, dispersion, balance }
    }
}

impl Dispersion {
    /// The dispersion of a table.
    #[must_use]
    pub fn of(table: &RingTable) -> Self {
        Self { regions: spread(table, 1), zones: spread(table, 2), nodes: spread(table, 3) }
    }
}

/// The place of a device down to `depth` names.
fn domain(device: &DeviceSpec, depth: usize) -> [&str; 3] {
    let mut names = [device.region.as_str(), &device.zone, &device.node];
    names[depth..].fill("");
    names
}

fn spread(table: &RingTable, depth: usize) -> TierSpread {
    let active = table.specs().iter().filter(|device| device.is_active());
    let names: BTreeSet<[&str; 3]> = active.map(|device| domain(device, depth)).collect();
    let names: Vec<[&str; 3]> = names.into_iter().collect();
    let number = |device: &DeviceSpec| names.binary_search(&domain(device, depth)).unwrap_or(usize::MAX);
    let numbers: Vec<usize> = table.specs().iter().map(number).collect();
    let mut spread = TierSpread { domains: names.len(), fewest: usize::MAX, most_together: 0 };
    let mut row = Vec::with_capacity(table.width());
    for partition in table.partitions() {
        let at = |id: &DeviceId| table.specs().binary_search_by_key(id, |device| device.id).ok();
        row.clear();
        row.extend(table.devices(partition).iter().filter_map(at).map(|at| numbers[at]));
        row.sort_unstable();
        let runs = row.chunk_by(|a, b| a == b);
        let (count, longest) = runs.fold((0, 0), |(count, longest), run| (count + 1, run.len().max(longest)));
        spread.fewest = spread.fewest.min(count);
        spread.most_together = spread.most_together.max(longest);
    }
    spread
}

fn moves(old: &RingTable, new: &RingTable) -> Vec<Move> {
    let mut moves = Vec::new();
    for partition in new.partitions() {
        let pairs = old.devices(partition).iter().zip(new.devices(partition));
        for (position, (&from, &to)) in (0_u8..).zip(pairs).filter(|(_, (from, to))| from != to) {
            moves.push(Move { partition, position, from, to });
        }
    }
    moves
}

/// Collects what is known of each device to say what becomes of it.
struct Changes<'a> {
    old: Option<&'a RingTable>,
    new: &'a RingTable,
    given: BTreeMap<DeviceId, &'a DeviceSpec>,
    before: BTreeMap<DeviceId, u32>,
    after: BTreeMap<DeviceId, u32>,
    gives: BTreeMap<DeviceId, u32>,
    takes: BTreeMap<DeviceId, u32>,
    weight_sum: f64,
}

impl<'a> Changes<'a> {
    fn new(old: Option<&'a RingTable>, new: &'a RingTable, given: &'a [DeviceSpec], moves: &[Move]) -> Self {
        let loads =
            |table: &RingTable| table.specs().iter().map(|device| device.id).zip(table.loads()).collect();
        let mut gives: BTreeMap<DeviceId, u32> = BTreeMap::new();
        let mut takes: BTreeMap<DeviceId, u32> = BTreeMap::new();
        for step in moves {
            *gives.entry(step.from).or_default() += 1;
            *takes.entry(step.to).or_default() += 1;
        }
        Self {
            old,
            new,
            given: given.iter().map(|device| (device.id, device)).collect(),
            before: old.map(loads).unwrap_or_default(),
            after: loads(new),
            gives,
            takes,
            weight_sum: given
                .iter()
                .filter(|device| device.is_active())
                .map(|device| device.weight.as_f64())
                .sum(),
        }
    }

    fn list(&self) -> Vec<DeviceChange> {
        let known: BTreeSet<DeviceId> = self.given.keys().chain(self.before.keys()).copied().collect();
        known.into_iter().map(|id| self.change(id)).collect()
    }

    #[allow(clippy::cast_precision_loss)]
    fn change(&self, id: DeviceId) -> DeviceChange {
        let before = self.old.and_then(|old| old.spec(id));
        let spec = self.given.get(&id).copied().or(before);
        let state = self.given.get(&id).map_or(DeviceState::Removed, |device| device.state);
        let count = |of: &BTreeMap<DeviceId, u32>| of.get(&id).copied().unwrap_or(0);
        let pieces = (self.new.width() << self.new.power()) as f64;
        let weight =
            spec.filter(|_| state == DeviceState::Active).map_or(0.0, |device| device.weight.as_f64());
        let mut change = DeviceChange {
            device: id,
            place: spec.map_or_else(String::new, |d| format!("{}/{}/{}", d.region, d.zone, d.node)),
            state,
            holds_before: count(&self.before),
            holds_after: count(&self.after),
            gives: count(&self.gives),
            takes: count(&self.takes),
            share: pieces * weight / self.weight_sum,
            reason: String::new(),
        };
        change.reason = self.reason(&change, before, spec);
        change
    }

    fn reason(&self, change: &DeviceChange, before: Option<&DeviceSpec>, now: Option<&DeviceSpec>) -> String {
        match change.state {
            DeviceState::Draining if change.gives > 0 => return "draining: gives up all it holds".to_owned(),
            DeviceState::Draining => return "draining: holds nothing".to_owned(),
            DeviceState::Removed if change.gives > 0 => {
                return "removed: its pieces are made anew elsewhere".to_owned();
            }
            DeviceState::Removed => return "removed: holds nothing".to_owned(),
            DeviceState::Active => {}
        }
        let mut parts = Vec::new();
        match (before, now) {
            (None, Some(_)) if self.old.is_some() => parts.push("new: fills up to its share".to_owned()),
            (None, _) => parts.push("first ring".to_owned()),
            (Some(old), Some(new)) => {
                if !old.is_active() {
                    parts.push("active again: fills up to its share".to_owned());
                }
                if domain(old, 3) != domain(new, 3) {
                    parts.push(format!("moved from {}/{}/{}", old.region, old.zone, old.node));
                }
                if old.weight != new.weight {
                    parts.push(format!("weight {} to {}", old.weight, new.weight));
                }
                if parts.is_empty() {
                    parts.push(why_unchanged(change).to_owned());
                }
            }
            (Some(_), None) => {}
        }
        let ratio = f64::from(change.holds_after) / change.share - 1.0;
        if ratio.abs() > 0.02 {
            let side = if ratio > 0.0 { "above" } else { "below" };
            parts.push(format!(
                "{:.0} % {side} its share by weight, to keep pieces apart",
                ratio.abs() * 100.0
            ));
        }
        parts.join("; ")
    }
}

/// Why a device that is as it was still gives or takes.
fn why_unchanged(change: &DeviceChange) -> &'static str {
    match (change.gives, change.takes) {
        (0, 0) => "stays as it is",
        (gives, takes) if gives > takes => "hands over to others: its share shrinks",
        (gives, takes) if gives < takes => "takes over from others: its share grows",
        _ => "exchanges pieces to keep them apart",
    }
}
