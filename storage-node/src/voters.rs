//! Which devices vote in which metadata group. Pure: devices in, voters out.
//!
//! Three voters wherever there are three devices, else one; never two on a device; spread over failure domains first, then
//! evenly over devices. A voter is replaced only when its device lost it, left, or is away while another could vote.

use ringfort_core::{DeviceId, GroupId, VoterId};
use std::collections::BTreeMap;

/// A device that could vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) device: DeviceId,
    /// Its voter id now.
    pub(crate) voter: VoterId,
    pub(crate) place: (String, String, String),
    /// It is open in this process.
    pub(crate) present: bool,
    /// It is to be emptied: votes only while nobody else can.
    pub(crate) leaving: bool,
}

/// How many voters a group has, with `count` devices to choose from.
pub(crate) fn voters_wanted(count: usize) -> usize {
    if count >= 3 { 3 } else { usize::from(count > 0) }
}

/// The first voters of `groups`: as spread and as even as can be.
pub(crate) fn first(groups: &[GroupId], candidates: &[Candidate]) -> BTreeMap<GroupId, Vec<VoterId>> {
    let mut load = BTreeMap::new();
    groups
        .iter()
        .map(|group| (*group, choose(Vec::new(), candidates, voters_wanted(candidates.len()), &mut load)))
        .collect()
}

/// What the voters of each group should be, given what they are. Groups that need no change, or cannot be changed now,
/// are left out.
pub(crate) fn changes(
    current: &BTreeMap<GroupId, Vec<VoterId>>,
    candidates: &[Candidate],
) -> BTreeMap<GroupId, Vec<VoterId>> {
    let mut load: BTreeMap<DeviceId, usize> = BTreeMap::new();
    for voter in current.values().flatten() {
        if let Some(candidate) = candidates.iter().find(|candidate| candidate.voter == *voter) {
            *load.entry(candidate.device).or_default() += 1;
        }
    }
    let mut changed = BTreeMap::new();
    for (group, voters) in current {
        let kept: Vec<&Candidate> = voters
            .iter()
            .filter_map(|voter| candidates.iter().find(|c| c.voter == *voter && c.present && !c.leaving))
            .collect();
        let able = candidates.iter().filter(|c| c.present && !c.leaving).count();
        let staying = candidates.iter().filter(|c| !c.leaving).count();
        let wanted = voters_wanted(staying);
        if kept.len() == voters.len() && kept.len() == wanted {
            continue;
        }
        // With too few devices at hand the old voters stay: one that is away may come back.
        if able < wanted {
            continue;
        }
        let kept = kept.into_iter().take(wanted).collect();
        let mut chosen = choose(kept, candidates, wanted, &mut load);
        chosen.sort_unstable();
        let mut before = voters.clone();
        before.sort_unstable();
        if chosen != before {
            changed.insert(*group, chosen);
        }
    }
    changed
}

/// Adds candidates to `kept` until there are `wanted`: each time the one that shares the fewest domains with those chosen,
/// then the one with the fewest voters.
fn choose(
    kept: Vec<&Candidate>,
    candidates: &[Candidate],
    wanted: usize,
    load: &mut BTreeMap<DeviceId, usize>,
) -> Vec<VoterId> {
    let mut chosen = kept;
    while chosen.len() < wanted {
        let free = candidates.iter().filter(|c| c.present && !c.leaving);
        let free = free.filter(|c| !chosen.iter().any(|other| other.device == c.device));
        let next = free.min_by_key(|c| {
            let shares =
                |same: fn(&Candidate, &Candidate) -> bool| chosen.iter().filter(|o| same(o, c)).count();
            (
                shares(|a, b| a.place.0 == b.place.0),
                shares(|a, b| (&a.place.0, &a.place.1) == (&b.place.0, &b.place.1)),
                shares(|a, b| a.place == b.place),
                load.get(&c.device).copied().unwrap_or(0),
                c.device,
            )
        });
        let Some(next) = next else { break };
        *load.entry(next.device).or_default() += 1;
        chosen.push(next);
    }
    chosen.into_iter().map(|candidate| candidate.voter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(id: u32, zone: &str) -> Candidate {
        Candidate {
            device: DeviceId(id),
            voter: VoterId(u64::from(id)),
            place: ("r".to_owned(), zone.to_owned(), "n".to_owned()),
            present: true,
            leaving: false,
        }
    }

    fn groups() -> Vec<GroupId> {
        (0..9).map(GroupId).collect()
    }

    #[test]
    fn spread_then_even() {
        let zones = ["a", "a", "b", "b", "c", "c"];
        let devices: Vec<_> = (1..).zip(zones).map(|(id, zone)| device(id, zone)).collect();
        let voters = first(&groups(), &devices);
        let mut load = BTreeMap::new();
        for voters in voters.values() {
            let mut seen: Vec<&str> =
                voters.iter().map(|v| zones[usize::try_from(v.0).unwrap() - 1]).collect();
            seen.sort_unstable();
            assert_eq!(seen, ["a", "b", "c"]);
            voters.iter().for_each(|voter| *load.entry(*voter).or_insert(0) += 1);
        }
        assert!(load.values().all(|count| (4..=5).contains(count)), "{load:?}");
        assert!(first(&groups(), &devices[..2]).values().all(|voters| voters.len() == 1));
    }

    #[test]
    fn only_what_must_change_changes() {
        let mut devices: Vec<_> = (1..=4).map(|id| device(id, "z")).collect();
        let current = first(&groups(), &devices);
        assert!(changes(&current, &devices).is_empty());

        // A wiped device comes back with a new voter: exactly its groups change, one voter each.
        devices[1].voter = VoterId(50);
        let changed = changes(&current, &devices);
        for (group, voters) in &current {
            let had = voters.contains(&VoterId(2));
            assert_eq!(changed.contains_key(group), had);
            if let Some(new) = changed.get(group) {
                assert_eq!(new.len(), 3);
                assert_eq!(new.iter().filter(|voter| !voters.contains(voter)).count(), 1);
            }
        }
        // Away with nobody to replace it: the voters stay as they are.
        let mut three: Vec<_> = (1..=3).map(|id| device(id, "z")).collect();
        let current = first(&groups(), &three);
        three[0].present = false;
        assert!(changes(&current, &three).is_empty());
        // A third device makes three voters of one.
        let one = first(&groups(), &three[1..2]);
        three[0].present = true;
        assert!(changes(&one, &three).values().all(|voters| voters.len() == 3));
    }
}
