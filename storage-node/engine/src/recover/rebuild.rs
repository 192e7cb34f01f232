//! The index anew from all of the log, after it was lost or damaged.
//!
//! Records are in the order of their places, but those that compaction moved keep the sequence of their first writing: of
//! one name the highest sequence wins, and a delete hides what has a lower one. Group states are not in the log: they are
//! lost, and their voters have to be restored from peers. What the log has of votes and entries is kept for that decision.

use super::{chunk_entry, finish_extent, replay_mark};
use crate::effect::replay_entry;
use crate::engine::Inner;
use crate::format::file::EXTENT_HEADER_LEN;
use crate::format::raft::Slot;
use crate::format::{Kind, Owner, Pos, RecordHeader, Salt, Target, Tomb};
use crate::index::Family;
use crate::index::keys::{self, GroupRecord};
use crate::index::tx::Tx;
use crate::scan::{Found, Health, Rule, Scan};
use crate::{Damage, EngineError, OpenReport};
use ringfort_core::GroupId;
use std::collections::{BTreeMap, HashMap};

/// Chunks whose entries are written at once.
const TX_CHUNKS: usize = 1024;

/// Raft records in memory before those are dropped that a purge has made void.
const RAFT_RECORDS: usize = 64 << 10;

struct Raft {
    header: RecordHeader,
    pos: Pos,
    /// Of marks only.
    payload: Vec<u8>,
}

/// Fills an empty index from the log; answers the next sequence.
pub(crate) fn rebuild(inner: &Inner, report: &mut OpenReport) -> Result<u64, EngineError> {
    let mut tombs: HashMap<Target, Tomb> = HashMap::new();
    let mut raft: Vec<Raft> = Vec::new();
    let mut raft_max = RAFT_RECORDS;
    let mut next_sequence = 1;
    let mut end = Pos::default();
    let newest = inner.extents.last_id();
    for (id, extent) in inner.extents.all() {
        let rule = Rule { complete: id < newest, synced: 0, bodies: id == newest };
        let salt = Salt { log: inner.log, extent: id };
        let stop = Scan::new(extent.file.as_ref(), salt, extent.size).walk(
            EXTENT_HEADER_LEN,
            rule,
            &mut |found| {
                let found = match found {
                    Ok(found) => found,
                    Err((offset, what)) => {
                        report.damage.push(Damage { extent: id, offset, what: what.to_owned(), group: None });
                        return Ok(());
                    }
                };
                report.replayed += 1;
                next_sequence = next_sequence.max(found.header.sequence.saturating_add(1));
                note(id, &found, &mut tombs, &mut raft, report);
                if raft.len() >= raft_max {
                    forget_purged(&mut raft);
                    raft_max = (2 * raft.len()).max(RAFT_RECORDS);
                }
                Ok(())
            },
        )?;
        end = Pos { extent: id, offset: stop.offset };
        finish_extent(inner, id, &extent, stop, report)?;
    }
    chunks(inner, &mut tombs)?;
    logs(inner, raft);
    super::recovered(inner);
    let mut tx = Tx::begin(inner);
    for (target, tomb) in tombs.into_iter().filter(|(_, tomb)| !tomb.hidden.is_empty()) {
        tx.set_tomb(target, Some(tomb))?;
    }
    for group in inner.groups.read().values() {
        let mut state = group.inner.lock();
        if state.is_present() {
            state.lost = true;
            tx.put(Family::Meta, keys::group(group.id), GroupRecord { lost: true, applied: 0 }.encode());
        }
    }
    let covered = tx.covered();
    (covered.pos, covered.next_sequence) = (end, next_sequence);
    tx.commit()?;
    Ok(next_sequence)
}

/// First pass: deletes and raft records.
fn note(
    extent: u64,
    found: &Found<'_>,
    tombs: &mut HashMap<Target, Tomb>,
    raft: &mut Vec<Raft>,
    report: &mut OpenReport,
) {
    let (header, pos) = (found.header, Pos { extent, offset: found.offset });
    if found.health != Health::Good {
        let group = header.kind.is_raft().then_some(GroupId(header.group));
        let what = format!("a {:?} record fails its checksum", header.kind);
        report.damage.push(Damage { extent, offset: found.offset, what, group });
        return;
    }
    if header.kind.is_raft() {
        let payload = if header.kind == Kind::Entry { Vec::new() } else { found.payload.to_vec() };
        raft.push(Raft { header, pos, payload });
    }
    if let Some(target) = Target::decode(found.payload).filter(|_| header.kind == Kind::Delete) {
        let tomb = Tomb { sequence: header.sequence, extent, offset: found.offset, hidden: Vec::new() };
        let newest = tombs.entry(target).or_insert_with(|| tomb.clone());
        if newest.sequence <= tomb.sequence {
            *newest = tomb;
        }
    }
}

/// Drops entries that a later purge removes anyway: a log holds far more of them than a group keeps.
fn forget_purged(raft: &mut Vec<Raft>) {
    let mut floors: HashMap<u32, Vec<(u64, u64)>> = HashMap::new();
    for Raft { header, .. } in raft.iter() {
        match header.kind {
            Kind::Purge => floors.entry(header.group).or_default().push((header.sequence, header.index)),
            Kind::RemoveGroup => floors.entry(header.group).or_default().push((header.sequence, u64::MAX)),
            _ => {}
        }
    }
    // The last purges say it best, and a few are enough.
    for floor in floors.values_mut() {
        floor.sort_unstable();
        floor.drain(..floor.len().saturating_sub(4));
    }
    raft.retain(|Raft { header, .. }| {
        let void = |floor: &(u64, u64)| header.sequence < floor.0 && header.index <= floor.1;
        let floors = floors.get(&header.group);
        header.kind != Kind::Entry || !floors.is_some_and(|floors| floors.iter().any(void))
    });
}

/// Second pass: what no delete hides.
fn chunks(inner: &Inner, tombs: &mut HashMap<Target, Tomb>) -> Result<(), EngineError> {
    for (id, extent) in inner.extents.all() {
        // The first pass has cut the tail, so every extent is complete now, and has reported its damage.
        let rule = Rule { complete: true, synced: 0, bodies: false };
        let salt = Salt { log: inner.log, extent: id };
        let mut waiting = Vec::new();
        let size = inner.extents.get(id).map_or(extent.size, |extent| extent.size);
        Scan::new(extent.file.as_ref(), salt, size).walk(EXTENT_HEADER_LEN, rule, &mut |found| {
            let Ok(found) = found else { return Ok(()) };
            if found.header.kind != Kind::Chunk || found.health == Health::PayloadDamaged {
                return Ok(());
            }
            let pos = Pos { extent: id, offset: found.offset };
            let Some((key, entry)) = chunk_entry(&found.header, pos, found.payload) else { return Ok(()) };
            debug_assert!(matches!(entry.owner, Owner::Chunk(_)));
            for target in [Target::Blob(key.blob), Target::Piece(key)] {
                if let Some(tomb) = tombs.get_mut(&target).filter(|tomb| tomb.sequence > entry.sequence) {
                    if !tomb.hidden.contains(&id) {
                        tomb.hidden.push(id);
                    }
                    return Ok(());
                }
            }
            waiting.push((key, entry));
            if waiting.len() >= TX_CHUNKS { store(inner, &mut waiting) } else { Ok(()) }
        })?;
        store(inner, &mut waiting)?;
    }
    Ok(())
}

fn store(
    inner: &Inner,
    waiting: &mut Vec<(ringfort_core::ChunkKey, crate::format::ChunkEntry)>,
) -> Result<(), EngineError> {
    let mut tx = Tx::begin(inner);
    for (key, entry) in waiting.drain(..) {
        crate::effect::Effect::Body { key, entry, known_only: false }.apply(inner, &mut tx)?;
    }
    tx.commit()
}

/// The logs of the groups, by applying what happened in the order in which it happened.
///
/// Of entries that were purged or truncated later compaction may have dropped some and not others, so there may be gaps on the
/// way. In the end there are none: what lives is there as a whole.
fn logs(inner: &Inner, mut raft: Vec<Raft>) {
    raft.sort_by_key(|record| (record.header.sequence, record.pos));
    let mut logs: HashMap<u32, BTreeMap<u64, Slot>> = HashMap::new();
    for Raft { header, pos, payload } in raft {
        let group = inner.group(GroupId(header.group));
        let log = logs.entry(header.group).or_default();
        match header.kind {
            Kind::Entry => {
                if log.get(&header.index).is_none_or(|slot| slot.sequence != header.sequence) {
                    drop(log.split_off(&header.index));
                }
                let slot = Slot { sequence: header.sequence, pos, length: header.length };
                log.insert(header.index, slot);
            }
            Kind::RemoveGroup => {
                log.clear();
                group.inner.lock().clear(header.sequence, pos);
            }
            kind => {
                replay_mark(&group, header, pos, &payload, false);
                match kind {
                    Kind::Truncate => drop(log.split_off(&header.index)),
                    Kind::Purge => log.retain(|index, _| *index > header.index),
                    _ => {}
                }
            }
        }
    }
    for (group, log) in logs {
        let group = inner.group(GroupId(group));
        for (index, slot) in log {
            // After a gap, which only damage leaves, nothing is of use.
            if replay_entry(&group, index, slot.sequence, slot.pos, slot.length, false).is_err() {
                break;
            }
        }
    }
}
