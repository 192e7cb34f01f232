//! Bringing index and memory up to the log: replay of the newest part, or a rebuild from all of it.

use crate::disk::SyncPoint;
use crate::effect::{Effect, replay_entry};
use crate::engine::Inner;
use crate::extents::Extent;
use crate::format::file::EXTENT_HEADER_LEN;
use crate::format::record::{FLAG_MOVED, FLAG_REPAIRED, footprint};
use crate::format::{ChunkEntry, ChunkMeta, HEADER_LEN, Kind, Owner, Pos, RecordHeader, Salt, Target, entry};
use crate::index::Family;
use crate::index::keys::{self, GroupRecord};
use crate::index::tx::Tx;
use crate::scan::{End, Found, Health, Rule, Scan};
use crate::{Damage, EngineError, OpenReport};
use bytes::Bytes;
use ringfort_core::GroupId;
use std::collections::BTreeSet;
use std::io::IoSlice;

mod rebuild;

pub(crate) use rebuild::rebuild;

/// Index changes that are written at once.
const TX_OPS: usize = 4096;

/// From where records have to be replayed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct From {
    /// Chunk records before this are in the index.
    pub(crate) covered: Pos,
    /// Raft records before this are in the tables that were loaded; not after `covered`.
    pub(crate) raft: Pos,
}

/// What an effect becomes visible as, in order.
struct Replay<'a> {
    inner: &'a Inner,
    from: From,
    effects: Vec<Effect>,
    end: Pos,
    next_sequence: u64,
    lost: BTreeSet<GroupId>,
    all_lost: bool,
}

/// Replays what the index does not cover; answers the next sequence.
pub(crate) fn replay(inner: &Inner, from: From, report: &mut OpenReport) -> Result<u64, EngineError> {
    let next_sequence = inner.ledger.lock().covered.next_sequence.max(1);
    let mut replay = Replay {
        inner,
        from,
        effects: Vec::new(),
        end: from.covered,
        next_sequence,
        lost: BTreeSet::new(),
        all_lost: false,
    };
    let start = from.raft.min(from.covered);
    let newest = inner.extents.last_id();
    replay.missing(start, report);
    for (id, extent) in inner.extents.all().into_iter().filter(|(id, _)| *id >= start.extent) {
        let at = if id == start.extent { start.offset.max(EXTENT_HEADER_LEN) } else { EXTENT_HEADER_LEN };
        let synced = if id == from.covered.extent { from.covered.offset } else { 0 };
        let rule = Rule { complete: id < newest, synced, bodies: true };
        let salt = Salt { log: inner.log, extent: id };
        let end =
            Scan::new(extent.file.as_ref(), salt, extent.size).walk(at, rule, &mut |found| match found {
                Ok(found) => replay.record(id, &found, report),
                Err((offset, what)) => {
                    // It may have been a vote or an entry of any group.
                    replay.all_lost = true;
                    report.damage.push(Damage { extent: id, offset, what: what.to_owned(), group: None });
                    Ok(())
                }
            })?;
        if end.offset < synced {
            report.damage.push(Damage {
                extent: id,
                offset: end.offset,
                what: "the log ends before what the index has seen of it".to_owned(),
                group: None,
            });
            replay.all_lost = true;
        }
        replay.end = replay.end.max(Pos { extent: id, offset: end.offset });
        finish_extent(inner, id, &extent, end, report)?;
    }
    replay.flush()?;
    recovered(inner);
    replay.unfounded(report);
    replay.mark_lost()?;
    Ok(replay.next_sequence)
}

/// What is in the memory of groups now is what the log has.
fn recovered(inner: &Inner) {
    for group in inner.groups.read().values() {
        group.inner.lock().recovered();
    }
}

/// Cuts what was not synced, so that the log can go on in a new extent: nothing after the cut can ever be taken for a record.
fn finish_extent(
    inner: &Inner,
    id: u64,
    extent: &Extent,
    end: End,
    report: &mut OpenReport,
) -> Result<(), EngineError> {
    let used = end.offset + u32::try_from(footprint(0)).unwrap_or(0);
    if !end.sealed {
        let failed = || EngineError::io(format!("cut extent {id:x}"));
        let mut header = RecordHeader::new(Kind::Seal, 0);
        header.synced = end.offset;
        let mut seal = Vec::new();
        header.encode(Salt { log: inner.log, extent: id }, end.offset, &mut seal);
        extent.file.write_at(&[IoSlice::new(&seal)], u64::from(end.offset)).map_err(failed())?;
        extent.file.set_len(u64::from(used)).map_err(failed())?;
        extent.file.sync(SyncPoint::RecoveryCut).map_err(failed())?;
        inner.extents.update(id, |extent| (extent.size, extent.used) = (u64::from(used), used));
        report.cut_bytes += u64::from(end.cut);
    }
    inner.extents.update(id, |extent| extent.used = used.min(extent.used));
    Ok(())
}

impl Replay<'_> {
    /// Looks for extents that have to be there: none from the one where replay begins was ever freed.
    fn missing(&mut self, start: Pos, report: &mut OpenReport) {
        let first = start.extent.max(1);
        let mut next = first;
        let mut gap = |first: u64, last: u64| {
            let what = format!("extents up to {last:x} are missing");
            report.damage.push(Damage { extent: first, offset: 0, what, group: None });
            self.all_lost = true;
        };
        for (id, _) in self.inner.extents.all().into_iter().filter(|(id, _)| *id >= first) {
            if id > next {
                gap(next, id - 1);
            }
            next = id + 1;
        }
        if next <= self.from.covered.extent {
            gap(next, self.from.covered.extent);
        }
    }

    /// Looks for extents that something refers to and that are not there.
    fn unfounded(&mut self, report: &mut OpenReport) {
        let extents = &self.inner.extents;
        let gone = |extent, group| Damage {
            extent,
            offset: 0,
            what: "the extent is missing, and something in it is needed".to_owned(),
            group,
        };
        for (id, account) in &self.inner.ledger.lock().accounts {
            if (account.live > 0 || account.tombs > 0) && !extents.contains(*id) {
                report.damage.push(gone(*id, None));
            }
        }
        for group in self.inner.groups.read().values() {
            let mut absent = BTreeSet::new();
            group.inner.lock().entries_at(|extent| {
                if !extents.contains(extent) {
                    absent.insert(extent);
                }
            });
            if !absent.is_empty() {
                self.lost.insert(group.id);
            }
            report.damage.extend(absent.into_iter().map(|extent| gone(extent, Some(group.id))));
        }
    }

    fn record(&mut self, extent: u64, found: &Found<'_>, report: &mut OpenReport) -> Result<(), EngineError> {
        let (header, pos) = (found.header, Pos { extent, offset: found.offset });
        report.replayed += 1;
        self.next_sequence = self.next_sequence.max(header.sequence.saturating_add(1));
        let group = GroupId(header.group);
        if found.health != Health::Good {
            let whose = header.kind.is_raft().then_some(group);
            report.damage.push(Damage {
                extent,
                offset: found.offset,
                what: format!("a {:?} record fails its checksum", header.kind),
                group: whose,
            });
            self.lost.extend(whose);
        }
        if header.kind.is_raft() {
            if pos >= self.from.raft
                && found.health == Health::Good
                && self.raft(header, pos, found.payload).is_err()
            {
                self.lost.insert(group);
                report.damage.push(Damage {
                    extent,
                    offset: found.offset,
                    what: format!("entry {} does not follow the one before it", header.index),
                    group: Some(group),
                });
            }
            let moved = header.flags & FLAG_MOVED != 0;
            if header.kind == Kind::RemoveGroup && !moved && pos >= self.from.covered {
                let (group, sequence) = (self.inner.group(group), header.sequence);
                self.effects.push(Effect::RemoveGroup { group, sequence, pos });
                self.flush()?;
            }
        } else if pos >= self.from.covered {
            self.effects.extend(chunk_effect(found, pos));
        }
        if self.effects.len() >= TX_OPS {
            self.flush()?;
        }
        Ok(())
    }

    /// Applies a raft record to the memory of its group.
    fn raft(&mut self, header: RecordHeader, pos: Pos, payload: &[u8]) -> Result<(), ()> {
        let group = self.inner.group(GroupId(header.group));
        let moved = header.flags & FLAG_MOVED != 0;
        match header.kind {
            Kind::Entry => {
                return replay_entry(&group, header.index, header.sequence, pos, header.length, moved);
            }
            Kind::RemoveGroup if moved => {
                let mut state = group.inner.lock();
                if let Some(mark) = state.removal_mark.as_mut().filter(|old| old.sequence == header.sequence)
                {
                    mark.pos = pos;
                }
            }
            Kind::RemoveGroup => {
                self.lost.remove(&group.id);
                let mut state = group.inner.lock();
                let (applied, durable_applied) = (state.applied, state.durable_applied);
                let (has_state, lost) = (state.has_state, state.lost);
                state.clear(header.sequence, pos);
                if pos < self.from.covered {
                    // The index has seen the removal; what it says of the state is of the time after it.
                    (state.applied, state.durable_applied) = (applied, durable_applied);
                    (state.has_state, state.lost) = (has_state, lost);
                }
            }
            _ => replay_mark(&group, header, pos, payload, moved),
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), EngineError> {
        let mut tx = Tx::begin(self.inner);
        for effect in std::mem::take(&mut self.effects) {
            effect.apply(self.inner, &mut tx)?;
        }
        let covered = tx.covered();
        covered.pos = covered.pos.max(self.end);
        covered.next_sequence = covered.next_sequence.max(self.next_sequence);
        tx.commit()
    }

    /// Remembers which voters have to abstain.
    fn mark_lost(&mut self) -> Result<(), EngineError> {
        let mut tx = Tx::begin(self.inner);
        for group in self.inner.groups.read().values() {
            let mut state = group.inner.lock();
            if state.is_present() && (self.all_lost || self.lost.contains(&group.id)) && !state.lost {
                state.lost = true;
                let record = GroupRecord { lost: true, applied: state.applied };
                tx.put(Family::Meta, keys::group(group.id), record.encode());
            }
        }
        tx.commit()
    }
}

/// Applies a vote, purge or truncation found in the log to the memory of its group.
fn replay_mark(group: &crate::group::Group, header: RecordHeader, pos: Pos, payload: &[u8], moved: bool) {
    let bytes = Bytes::copy_from_slice(payload);
    let mark = crate::format::raft::Mark {
        sequence: header.sequence,
        pos,
        index: header.index,
        bytes: bytes.clone(),
    };
    let mut state = group.inner.lock();
    let place = match header.kind {
        Kind::Vote => &mut state.vote_mark,
        Kind::Purge => &mut state.purge_mark,
        Kind::Truncate => &mut state.truncate_mark,
        _ => return,
    };
    if place.as_ref().is_some_and(|old| old.sequence > header.sequence) {
        return;
    }
    // A record that was moved says nothing new of the entries after it.
    let known = moved && place.as_ref().is_some_and(|old| old.sequence == header.sequence);
    *place = Some(mark);
    match header.kind {
        _ if known => {}
        Kind::Vote => state.vote = Some(bytes),
        Kind::Purge => state.purge_to(header.index, bytes),
        _ if !moved => state.truncate_from(header.index),
        _ => {}
    }
}

/// What a chunk or delete record changes.
fn chunk_effect(found: &Found<'_>, pos: Pos) -> Option<Effect> {
    let header = found.header;
    let moved = header.flags & FLAG_MOVED != 0;
    if header.kind.has_body() && found.health != Health::PayloadDamaged {
        let (key, entry) = chunk_entry(&header, pos, found.payload)?;
        let known_only = header.flags & (FLAG_MOVED | FLAG_REPAIRED) != 0;
        return Some(Effect::Body { key, entry, known_only });
    }
    if header.kind == Kind::Delete && found.health == Health::Good {
        let target = Target::decode(found.payload)?;
        return Some(Effect::Delete { target, sequence: header.sequence, pos, moved });
    }
    None
}

/// The index entry of a record with a body.
fn chunk_entry(
    header: &RecordHeader,
    pos: Pos,
    payload: &[u8],
) -> Option<(ringfort_core::ChunkKey, ChunkEntry)> {
    let meta = ChunkMeta::decode_head(payload)?;
    let head = payload.get(..meta.head_len())?;
    let table = head[crate::format::chunk::META_LEN..].chunks_exact(4);
    let inline = header.kind == Kind::Inline;
    let most = if inline { entry::INLINE_BLOCKS_MAX } else { entry::TABLE_BLOCKS_MAX };
    let keep = table.len() <= most;
    let entry = ChunkEntry {
        owner: if inline { Owner::Inline(GroupId(header.group)) } else { Owner::Chunk(meta.blake3) },
        sequence: header.sequence,
        extent: pos.extent,
        body_offset: pos.offset.checked_add(u32::try_from(HEADER_LEN + head.len()).ok()?)?,
        body_len: meta.body_len,
        footprint: u32::try_from(footprint(u64::from(header.length))).ok()?,
        older: Vec::new(),
        table: table
            .filter(|_| keep)
            .map(|crc| u32::from_le_bytes([crc[0], crc[1], crc[2], crc[3]]))
            .collect(),
    };
    Some((meta.key, entry))
}
