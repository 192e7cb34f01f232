//! What a durable record changes: in the index and in the memory of its group. The writer and recovery apply the same
//! effects, so a replayed log gives what the writer had.

use crate::EngineError;
use crate::engine::Inner;
use crate::format::raft::{Mark, Slot};
use crate::format::{ChunkEntry, Kind, Owner, Pos, Target, Tomb};
use crate::group::{EntrySlot, Group};
use crate::index::tx::{Tx, bad_value};
use crate::index::{Family, IndexOp, keys};
use bytes::Bytes;
use ringfort_core::{ChunkKey, GroupId};
use std::sync::Arc;

/// The change one record makes.
pub(crate) enum Effect {
    Body {
        key: ChunkKey,
        entry: ChunkEntry,
        /// An inline body that counts only where the index has its name: one that was moved or repaired.
        known_only: bool,
    },
    Delete {
        target: Target,
        sequence: u64,
        pos: Pos,
        moved: bool,
    },
    /// An entry that is in memory already and now durable.
    Entry {
        group: Arc<Group>,
        index: u64,
        ticket: u64,
        sequence: u64,
        pos: Pos,
        length: u32,
    },
    EntryMoved {
        group: Arc<Group>,
        index: u64,
        sequence: u64,
        pos: Pos,
    },
    Mark {
        group: Arc<Group>,
        kind: Kind,
        sequence: u64,
        index: u64,
        bytes: Bytes,
        pos: Pos,
        moved: bool,
    },
    RemoveGroup {
        group: Arc<Group>,
        sequence: u64,
        pos: Pos,
    },
}

impl Effect {
    /// Applies the change. `tx` keeps readers of the index apart from it until it commits.
    pub(crate) fn apply(&self, inner: &Inner, tx: &mut Tx<'_>) -> Result<(), EngineError> {
        match self {
            Self::Body { key, entry, known_only } => body(inner, tx, *key, entry, *known_only),
            Self::Delete { target, sequence, pos, moved } => {
                delete(inner, tx, *target, *sequence, *pos, *moved)
            }
            Self::Entry { group, index, ticket, sequence, pos, length } => {
                let mut state = group.inner.lock();
                if let Some(slot) = state.slot_mut(*index).filter(|slot| slot.ticket == *ticket) {
                    (slot.sequence, slot.pos, slot.length, slot.durable) = (*sequence, *pos, *length, true);
                }
                state.durable.push(*index, Slot { sequence: *sequence, pos: *pos, length: *length });
                Ok(())
            }
            Self::EntryMoved { group, index, sequence, pos } => {
                let mut state = group.inner.lock();
                if let Some(slot) = state.slot_mut(*index).filter(|slot| slot.sequence == *sequence) {
                    slot.pos = *pos;
                }
                state.durable.moved(*index, *sequence, *pos);
                Ok(())
            }
            Self::Mark { group, kind, sequence, index, bytes, pos, moved } => {
                let mark = Mark { sequence: *sequence, pos: *pos, index: *index, bytes: bytes.clone() };
                let mut state = group.inner.lock();
                if *kind == Kind::RemoveGroup {
                    // Only moved ones come here.
                    if let Some(mark) = state.removal_mark.as_mut().filter(|old| old.sequence == *sequence) {
                        mark.pos = *pos;
                    }
                    return Ok(());
                }
                let place = match kind {
                    Kind::Vote => &mut state.vote_mark,
                    Kind::Purge => &mut state.purge_mark,
                    _ => &mut state.truncate_mark,
                };
                let newest = place.as_ref().map_or(0, |old| old.sequence);
                if if *moved { newest == *sequence } else { newest <= *sequence } {
                    *place = Some(mark);
                }
                match kind {
                    _ if *moved => {}
                    Kind::Purge => state.durable.purge_to(*index),
                    Kind::Truncate => state.durable.truncate_from(*index),
                    _ => {}
                }
                Ok(())
            }
            Self::RemoveGroup { group, sequence, pos } => {
                wipe_state(inner, tx, group.id)?;
                tx.ops.push(IndexOp::Delete(Family::Meta, keys::group(group.id)));
                // The table stays until the next checkpoint: it is of the place from which raft records are replayed.
                group.inner.lock().clear(*sequence, *pos);
                Ok(())
            }
        }
    }

    /// Wakes those who wait for the record to be durable.
    pub(crate) fn wake(&self) {
        if let Self::Entry { group, .. } | Self::RemoveGroup { group, .. } = self {
            group.wake();
        }
    }
}

/// Appends an entry found in the log to the memory of its group.
pub(crate) fn replay_entry(
    group: &Group,
    index: u64,
    sequence: u64,
    pos: Pos,
    length: u32,
    moved: bool,
) -> Result<(), ()> {
    let mut state = group.inner.lock();
    if let Some(slot) = state.slot_mut(index) {
        if slot.sequence == sequence {
            slot.pos = pos;
            return Ok(());
        }
        if slot.sequence > sequence {
            return Ok(());
        }
        state.truncate_from(index);
    }
    // A record that was moved and is not in the table any more was purged or truncated since.
    if moved || state.purged.as_ref().is_some_and(|(purged, _)| index <= *purged) {
        return Ok(());
    }
    if state.next_index().is_some_and(|next| next != index) {
        return Err(());
    }
    state.push(index, EntrySlot { ticket: 0, sequence, pos, length, durable: true, payload: None });
    Ok(())
}

fn body(
    inner: &Inner,
    tx: &mut Tx<'_>,
    key: ChunkKey,
    new: &ChunkEntry,
    known_only: bool,
) -> Result<(), EngineError> {
    let mut new = new.clone();
    match tx.chunk(&key)? {
        Some(old) if known_only && new.is_inline() && old.owner != new.owner => return Ok(()),
        Some(old) if old.sequence > new.sequence => return Ok(()),
        // The very record that the index has: nothing to change, and the list of older copies must stay.
        Some(old) if old.extent == new.extent && old.body_offset == new.body_offset => return Ok(()),
        Some(old) => {
            let (inline, old_extent) = (old.is_inline(), old.extent);
            new.older = old.older;
            if !inline && old_extent != new.extent {
                new.older.push(old_extent);
            }
            new.older.retain(|extent| inner.extents.contains(*extent));
            new.older.sort_unstable();
            new.older.dedup();
        }
        // Its group released it, or the index has lost its adoption: applying the log entry again adopts it anew.
        None if known_only && new.is_inline() => return Ok(()),
        None => {}
    }
    tx.set_chunk(key, Some(new))
}

fn delete(
    inner: &Inner,
    tx: &mut Tx<'_>,
    target: Target,
    sequence: u64,
    pos: Pos,
    moved: bool,
) -> Result<(), EngineError> {
    let old = tx.tomb(target)?;
    if moved {
        if let Some(mut tomb) = old.filter(|tomb| tomb.sequence == sequence) {
            (tomb.extent, tomb.offset) = (pos.extent, pos.offset);
            tx.set_tomb(target, Some(tomb))?;
        }
        return Ok(());
    }
    let mut hidden = old.as_ref().map(|tomb| tomb.hidden.clone()).unwrap_or_default();
    for (key, entry) in tx.chunks_of(target.blob())? {
        if !target.covers(&key) || entry.is_inline() || entry.sequence >= sequence {
            continue;
        }
        hidden.push(entry.extent);
        hidden.extend_from_slice(&entry.older);
        tx.set_chunk(key, None)?;
    }
    hidden.retain(|extent| inner.extents.contains(*extent));
    hidden.sort_unstable();
    hidden.dedup();
    if old.is_some_and(|tomb| tomb.sequence > sequence) {
        return Ok(());
    }
    tx.set_tomb(target, Some(Tomb { sequence, extent: pos.extent, offset: pos.offset, hidden }))
}

/// Drops a group's records and inline bodies.
fn wipe_state(inner: &Inner, tx: &mut Tx<'_>, group: GroupId) -> Result<(), EngineError> {
    wipe_records(tx, group);
    let bodies = inline_bodies(inner, group, &[], usize::MAX)?;
    bodies.into_iter().try_for_each(|key| tx.set_chunk(key, None))
}

/// Drops a group's records.
pub(crate) fn wipe_records(tx: &mut Tx<'_>, group: GroupId) {
    tx.ops.push(IndexOp::DeleteRange(Family::State, keys::state(group, &[]), keys::state_end(group)));
}

/// Up to `limit` inline bodies of a group, from the encoded key `from` on.
pub(crate) fn inline_bodies(
    inner: &Inner,
    group: GroupId,
    from: &[u8],
    limit: usize,
) -> Result<Vec<ChunkKey>, EngineError> {
    let mut bodies = Vec::new();
    let mut cursor = inner.index.cursor(Family::Chunks, from, &[]);
    cursor.first();
    while let Some((key, value)) = cursor.item().filter(|_| bodies.len() < limit) {
        let entry = ChunkEntry::decode(value).ok_or_else(|| bad_value("a chunk entry"))?;
        if entry.owner == Owner::Inline(group) {
            bodies.push(ChunkKey::decode(key).ok_or_else(|| bad_value("a chunk key"))?);
        }
        cursor.next();
    }
    cursor.status()?;
    Ok(bodies)
}
