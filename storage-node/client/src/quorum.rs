//! When is a chunk durable: the one place that decides whether the pieces stored so far keep promise 1.
//!
//! A write may be acknowledged when the synced pieces still suffice to read it after the loss of any `f` devices, and
//! also after the loss of any one failure domain of the policy's level. Handoffs count like primaries: what matters is
//! where the bytes are, not where they should be.

use crate::DevicePlace;
use ringfort_core::{DeviceId, Policy, Redundancy};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;

/// The widest kind of failure domain of which a policy survives the loss of any one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailureLevel {
    /// Not even one device may be lost.
    #[default]
    None,
    /// Any one device.
    Device,
    /// Any one node.
    Node,
    /// Any one zone.
    Zone,
    /// Any one region.
    Region,
}

impl FailureLevel {
    const WIDEST_FIRST: [Self; 4] = [Self::Region, Self::Zone, Self::Node, Self::Device];

    /// The widest level at which pieces spread evenly over the devices of the ring survive the loss of one domain.
    pub(crate) fn of(redundancy: Redundancy, active: &[Domains]) -> Self {
        let spare = redundancy.tolerance_max();
        Self::WIDEST_FIRST
            .into_iter()
            .find(|level| {
                let mut ids: Vec<u32> = active.iter().map(|domains| domains.at(*level)).collect();
                ids.sort_unstable();
                ids.dedup();
                !ids.is_empty() && redundancy.width().div_ceil(ids.len()) <= spare
            })
            .unwrap_or(Self::None)
    }
}

impl fmt::Display for FailureLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Device => "device",
            Self::Node => "node",
            Self::Zone => "zone",
            Self::Region => "region",
        })
    }
}

/// The failure domains of one device as small numbers; equal numbers mean the same domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Domains {
    region: u32,
    zone: u32,
    node: u32,
    device: u32,
}

impl Domains {
    /// The domains of a device nothing else is known of: alone in each. Numbers from the top, away from interned ones.
    pub(crate) fn lone(id: DeviceId) -> Self {
        let alone = u32::MAX - id.0;
        Self { region: alone, zone: alone, node: alone, device: id.0 }
    }

    pub(crate) fn at(self, level: FailureLevel) -> u32 {
        match level {
            FailureLevel::Region => self.region,
            FailureLevel::Zone => self.zone,
            FailureLevel::Node => self.node,
            FailureLevel::Device | FailureLevel::None => self.device,
        }
    }
}

/// Gives each region, zone and node a number.
#[derive(Debug, Default)]
pub(crate) struct Interner(HashMap<(String, String, String), u32>);

impl Interner {
    pub(crate) fn domains(&mut self, id: DeviceId, place: &DevicePlace) -> Domains {
        let mut number = |region: &str, zone: &str, node: &str| {
            let next = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
            *self.0.entry((region.to_owned(), zone.to_owned(), node.to_owned())).or_insert(next)
        };
        Domains {
            region: number(&place.region, "", ""),
            // A space keeps an empty zone name apart from "no zone".
            zone: number(&place.region, &format!(" {}", place.zone), ""),
            node: number(&place.region, &format!(" {}", place.zone), &format!(" {}", place.node)),
            device: id.0,
        }
    }
}

/// Whether pieces on devices of these domains (one entry per synced piece) may be acknowledged under `policy`.
pub(crate) fn may_acknowledge(policy: &Policy, level: FailureLevel, pieces: &[Domains]) -> bool {
    let needed = policy.redundancy.needed_to_read();
    if pieces.len() < policy.write_quorum() {
        return false;
    }
    let mut per_device = counts(pieces, FailureLevel::Device);
    per_device.sort_unstable_by(|a, b| b.cmp(a));
    let lost: usize = per_device.iter().take(usize::from(policy.tolerance)).sum();
    if pieces.len() - lost < needed {
        return false;
    }
    level == FailureLevel::None || counts(pieces, level).into_iter().all(|lost| pieces.len() - lost >= needed)
}

fn counts(pieces: &[Domains], level: FailureLevel) -> Vec<usize> {
    let mut counted: Vec<(u32, usize)> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let id = piece.at(level);
        match counted.iter_mut().find(|(known, _)| *known == id) {
            Some((_, count)) => *count += 1,
            None => counted.push((id, 1)),
        }
    }
    counted.into_iter().map(|(_, count)| count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(zone: u32, node: u32) -> DevicePlace {
        DevicePlace { region: "r".to_owned(), zone: format!("z{zone}"), node: format!("n{node}") }
    }

    fn all(places: &[DevicePlace]) -> Vec<Domains> {
        let mut interner = Interner::default();
        (0..).zip(places).map(|(id, place)| interner.domains(DeviceId(id), place)).collect()
    }

    #[test]
    fn the_level_is_the_widest_that_can_be_kept() {
        let one_node = all(&[place(1, 1), place(1, 1), place(1, 1), place(1, 1)]);
        let zones = all(&[place(1, 1), place(2, 1), place(3, 1)]);
        let nodes = all(&[place(1, 1), place(1, 2), place(1, 3), place(1, 4), place(1, 5), place(1, 6)]);
        let three = Redundancy::Replicated(3);
        let wide = Redundancy::Erasure { k: 4, m: 2 };
        assert_eq!(FailureLevel::of(three, &one_node), FailureLevel::Device);
        assert_eq!(FailureLevel::of(three, &zones), FailureLevel::Zone);
        assert_eq!(FailureLevel::of(wide, &zones), FailureLevel::Zone);
        assert_eq!(FailureLevel::of(wide, &nodes), FailureLevel::Node);
        assert_eq!(FailureLevel::of(Redundancy::Replicated(1), &zones), FailureLevel::None);
        assert_eq!(FailureLevel::of(three, &[]), FailureLevel::None);
    }

    #[test]
    fn copies_in_one_zone_are_not_enough_where_zones_are_promised() {
        let policy = Policy::new(0, "p", Redundancy::Replicated(3));
        let d = all(&[place(1, 1), place(1, 2), place(2, 1)]);
        assert!(!may_acknowledge(&policy, FailureLevel::Zone, &d[..2]));
        assert!(may_acknowledge(&policy, FailureLevel::Node, &d[..2]));
        assert!(may_acknowledge(&policy, FailureLevel::Zone, &d));
        assert!(!may_acknowledge(&policy, FailureLevel::Device, &d[..1]));
        // The same device twice is one device.
        assert!(!may_acknowledge(&policy, FailureLevel::Device, &[d[0], d[0]]));
    }

    proptest! {
        /// Whatever is acknowledged can be read after any loss the promise names; checked by trying each loss.
        #[test]
        fn acknowledged_pieces_survive_each_promised_loss(
            pieces in proptest::collection::vec((0u32..8, 0u32..3, 0u32..3), 0..8),
            k in 1u8..5, m in 1u8..4, tolerance in 0u8..3,
        ) {
            let mut interner = Interner::default();
            let domains: Vec<Domains> =
                pieces.iter().map(|(id, z, n)| interner.domains(DeviceId(*id), &place(*z, *n))).collect();
            let mut policy = Policy::new(0, "p", Redundancy::Erasure { k, m });
            policy.tolerance = tolerance.min(m);
            for level in FailureLevel::WIDEST_FIRST {
                if !may_acknowledge(&policy, level, &domains) {
                    continue;
                }
                for lost in 0..u32::try_from(1 << 8).unwrap() {
                    if lost.count_ones() == u32::from(policy.tolerance) {
                        let left = domains.iter().filter(|d| lost & (1 << d.device) == 0).count();
                        prop_assert!(left >= usize::from(k));
                    }
                }
                for lost in &domains {
                    let left = domains.iter().filter(|d| d.at(level) != lost.at(level)).count();
                    prop_assert!(left >= usize::from(k));
                }
            }
        }
    }
}
