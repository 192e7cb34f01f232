//! A plan as text for an operator: who gives, who takes, how many bytes, how long, and why.

use crate::plan::{Balance, Dispersion, Plan};
use crate::{DeviceState, TierSpread};
use ringfort_core::{DeviceId, Epoch};
use std::collections::BTreeMap;
use std::fmt;

/// A plan with bytes and time, ready to print. Its `Display` is the whole text; the fields serve other renderings.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanReport {
    /// The epoch the plan would start.
    pub epoch: Epoch,
    /// One row per device, by id.
    pub rows: Vec<PlanRow>,
    /// Pieces that move.
    pub moves: usize,
    /// Pieces there are.
    pub pieces: usize,
    /// Bytes that move.
    pub bytes: u64,
    /// Seconds that takes at the rate given.
    pub eta_secs: Option<u64>,
    /// How far apart the pieces will lie.
    pub dispersion: Dispersion,
    /// How near the devices will come to their shares.
    pub balance: Balance,
}

/// What the plan asks of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanRow {
    /// The device.
    pub device: DeviceId,
    /// Where it is, as `region/zone/node`.
    pub place: String,
    /// Its state under the plan.
    pub state: DeviceState,
    /// Pieces it will hold.
    pub holds: u32,
    /// Pieces that leave it.
    pub gives: u32,
    /// Pieces that come to it.
    pub takes: u32,
    /// Bytes that leave it.
    pub gives_bytes: u64,
    /// Bytes that come to it.
    pub takes_bytes: u64,
    /// Why.
    pub why: String,
}

impl Plan {
    /// The plan in bytes and time: `stored` are the bytes on each device now, `bytes_per_sec` the rate data move at.
    ///
    /// A device's bytes are taken to be spread evenly over its pieces; a device missing in `stored` has as many per
    /// piece as the others on average.
    #[must_use]
    pub fn report(&self, stored: &BTreeMap<DeviceId, u64>, bytes_per_sec: Option<u64>) -> PlanReport {
        let per_piece = BytesPerPiece::new(self, stored);
        let mut gives: BTreeMap<DeviceId, u128> = BTreeMap::new();
        let mut takes: BTreeMap<DeviceId, u128> = BTreeMap::new();
        for step in &self.moves {
            let bytes = per_piece.of(step.from);
            *gives.entry(step.from).or_default() += bytes;
            *takes.entry(step.to).or_default() += bytes;
        }
        let bytes = whole(gives.values().sum());
        let of = |map: &BTreeMap<DeviceId, u128>, id| whole(map.get(&id).copied().unwrap_or(0));
        let row = |change: &crate::DeviceChange| PlanRow {
            device: change.device,
            place: change.place.clone(),
            state: change.state,
            holds: change.holds_after,
            gives: change.gives,
            takes: change.takes,
            gives_bytes: of(&gives, change.device),
            takes_bytes: of(&takes, change.device),
            why: change.reason.clone(),
        };
        PlanReport {
            epoch: self.table.epoch(),
            rows: self.devices.iter().map(row).collect(),
            moves: self.moves.len(),
            pieces: self.table.width() << self.table.power(),
            bytes,
            eta_secs: bytes_per_sec.filter(|&rate| rate > 0).map(|rate| bytes.div_ceil(rate)),
            dispersion: self.dispersion,
            balance: self.balance,
        }
    }
}

/// Bytes of a piece in 2^-16 of a byte, so that sums over many pieces do not lose the fractions.
struct BytesPerPiece {
    known: BTreeMap<DeviceId, u128>,
    average: u128,
}

const FRACTION_BITS: u32 = 16;

impl BytesPerPiece {
    fn new(plan: &Plan, stored: &BTreeMap<DeviceId, u64>) -> Self {
        let held = plan.devices.iter().filter(|change| change.holds_before > 0);
        let pairs: Vec<(DeviceId, u128, u128)> = held
            .filter_map(|change| {
                stored.get(&change.device).map(|&b| (change.device, b.into(), change.holds_before.into()))
            })
            .collect();
        let (bytes, pieces) = pairs.iter().fold((0, 0), |(b, p), pair| (b + pair.1, p + pair.2));
        let divide = |bytes: u128, pieces: u128| (bytes << FRACTION_BITS).checked_div(pieces).unwrap_or(0);
        Self {
            known: pairs.iter().map(|&(id, b, p)| (id, divide(b, p))).collect(),
            average: divide(bytes, pieces),
        }
    }

    fn of(&self, device: DeviceId) -> u128 {
        self.known.get(&device).copied().unwrap_or(self.average)
    }
}

/// Whole bytes, to the nearest.
fn whole(fraction: u128) -> u64 {
    u64::try_from((fraction + (1 << (FRACTION_BITS - 1))) >> FRACTION_BITS).unwrap_or(u64::MAX)
}

impl PlanReport {
    /// The heads of [`Self::cells`].
    pub const HEADS: [&'static str; 8] =
        ["device", "place", "state", "holds", "gives", "takes", "bytes out/in", "why"];

    /// The rows as text, cell by cell, for a renderer of tables.
    #[must_use]
    pub fn cells(&self) -> Vec<[String; 8]> {
        let cells = |row: &PlanRow| {
            [
                row.device.to_string(),
                row.place.clone(),
                row.state.to_string(),
                row.holds.to_string(),
                row.gives.to_string(),
                row.takes.to_string(),
                format!("{} / {}", human_bytes(row.gives_bytes), human_bytes(row.takes_bytes)),
                row.why.clone(),
            ]
        };
        self.rows.iter().map(cells).collect()
    }

    /// What the plan comes to, in sentences.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut text = if self.moves == 0 {
            format!("Epoch {}: nothing has to move.", self.epoch)
        } else {
            format!(
                "Epoch {}: {} of {} pieces move, {}.",
                self.epoch,
                self.moves,
                self.pieces,
                human_bytes(self.bytes)
            )
        };
        if let Some(secs) = self.eta_secs.filter(|_| self.moves > 0) {
            text += &format!(" It takes about {}.", human_secs(secs));
        }
        let tiers = [
            ("region", self.dispersion.regions),
            ("zone", self.dispersion.zones),
            ("node", self.dispersion.nodes),
        ];
        let tiers: Vec<String> = tiers.iter().map(|(name, tier)| tier_text(name, *tier)).collect();
        text += &format!("\nOf the pieces of one partition, {}.", tiers.join(", "));
        let Balance { most_over, most_under } = self.balance;
        let (over, under) = (most_over * 100.0, most_under * 100.0);
        text + &format!(
            "\nThe fullest device lies {over:.1} % above its share by weight, the emptiest {under:.1} % below."
        )
    }
}

fn tier_text(name: &str, tier: TierSpread) -> String {
    format!("a {name} holds {} at most ({} {name}s)", tier.most_together, tier.domains)
}

impl fmt::Display for PlanReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = vec![Self::HEADS.map(str::to_owned)];
        lines.extend(self.cells());
        let mut widths = [0; 8];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for line in &lines {
            let padded: Vec<String> =
                line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            writeln!(f, "{}", padded.join("  ").trim_end())?;
        }
        write!(f, "{}", self.summary())
    }
}

/// Bytes with a unit, three digits or so.
#[allow(clippy::cast_precision_loss)]
fn human_bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"].iter().peekable();
    let mut unit = units.next().unwrap_or(&"B");
    while value >= 1023.95 && units.peek().is_some() {
        value /= 1024.0;
        unit = units.next().unwrap_or(&"PiB");
    }
    if *unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

/// Seconds in the two largest units.
fn human_secs(secs: u64) -> String {
    let (days, hours, minutes) = (secs / 86_400, secs / 3600 % 24, secs / 60 % 60);
    if days > 0 {
        format!("{days} d {hours} h")
    } else if hours > 0 {
        format!("{hours} h {minutes} min")
    } else if minutes > 0 {
        format!("{minutes} min {} s", secs % 60)
    } else {
        format!("{secs} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Builder, DeviceSpec};

    #[test]
    fn units() {
        for (bytes, text) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1 << 40, "1.0 TiB"), (u64::MAX, "16384.0 PiB")]
        {
            assert_eq!(human_bytes(bytes), text);
        }
        for (secs, text) in [(0, "0 s"), (61, "1 min 1 s"), (3660, "1 h 1 min"), (90_000, "1 d 1 h")] {
            assert_eq!(human_secs(secs), text);
        }
    }

    #[test]
    fn a_drain_in_words() {
        let spec = |id| DeviceSpec::new(DeviceId(id)).at("r1", "z1", &format!("n{id}"));
        let builder = Builder::new(2, [1; 32]).with_power(10);
        let old = builder.plan(None, &[spec(0), spec(1), spec(2), spec(3)]).unwrap().table;
        let drained = spec(3).with_state(DeviceState::Draining);
        let plan = builder.plan(Some(&old), &[spec(0), spec(1), spec(2), drained]).unwrap();
        let stored = (0..4).map(|id| (DeviceId(id), 512 << 20)).collect();
        let report = plan.report(&stored, Some(1 << 20));
        assert_eq!((report.bytes, report.eta_secs), (512 << 20, Some(512)));
        assert_eq!(report.rows[3].gives_bytes, 512 << 20);
        assert_eq!(report.rows[..3].iter().map(|row| row.takes_bytes).sum::<u64>(), 512 << 20);
        let text = report.to_string();
        for part in [
            "draining: gives up all it holds",
            "512 of 2048 pieces move, 512.0 MiB",
            "about 8 min 32 s",
            "a node holds 1 at most",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        let still = builder.plan(Some(&plan.table), &[spec(0), spec(1), spec(2)]).unwrap();
        assert!(still.report(&stored, Some(1)).summary().contains("nothing has to move"));
    }
}
