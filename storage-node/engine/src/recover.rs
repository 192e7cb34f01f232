//! Recovery: bringing index and groups up to the end of the log.
//!
//! There is no other way to open: a clean stop leaves less to replay, nothing else. Records are applied in log order from the
//! place the index covers (raft records from the last noted tables), and applying one twice changes nothing. A bad byte in the
//! newest extent above everything known to be synced is an unfinished write and is cut; anywhere else it is damage, and told.

use crate::EngineError;
use crate::disk::SyncPoint;
use crate::engine::Inner;
use crate::extents::Extent;
use crate::format::chunk::{self, ChunkMeta};
use crate::format::entry::Target;
use crate::format::raft::Mark;
use crate::format::record::{Decoded, FLAG_MOVED, HEADER_LEN};
use crate::format::{Kind, Owner, Pos, RecordHeader, Salt};
use crate::group::EntrySlot;
use crate::index::tx::Tx;
use crate::types::{Damage, OpenReport};
use crate::{committer, format};
use bytes::Bytes;
use ringfort_core::GroupId;
use std::io::IoSlice;

/// A record as found in the log.
pub(crate) struct Found {
    pub(crate) header: RecordHeader,
    pub(crate) pos: Pos,
    /// The payload; only the part before the body for chunk kinds.
    pub(crate) payload: Bytes,
}

/// How the walk over an extent ended.
pub(crate) enum End {
    /// At a seal, or where the file ends.
    Sealed(u32),
    /// At bytes that are no record; nothing known to be synced lies beyond.
    Torn(u32),
    /// Damage at this offset: something beyond is known to have been synced.
    Damaged(u32),
}

/// Visits the records of an extent from `from` on.
pub(crate) fn walk(
    inner: &Inner,
    id: u64,
    extent: &Extent,
    from: u32,
    newest: bool,
    visit: &mut dyn FnMut(Found) -> Result<(), EngineError>,
) -> Result<End, EngineError> {
    let salt = Salt { log: inner.log, extent: id };
    let io = || EngineError::io(format!("read extent {id:016x}"));
    let mut offset = from;
    loop {
        let mut head = [0; HEADER_LEN];
        let read = extent.file.read_at(&mut head, u64::from(offset)).map_err(io())?;
        if read < HEADER_LEN {
            return Ok(End::Sealed(offset));
        }
        let header = match RecordHeader::decode(salt, offset, &head) {
            Decoded::Record(header) => header,
            Decoded::UnknownVersion(found) => {
                return Err(EngineError::NewerFormat {
                    found: u32::from(found),
                    known: format::file::VERSION,
                });
            }
            Decoded::NoRecord => return end_or_damage(inner, id, extent, offset, newest),
        };
        if header.kind == Kind::Seal {
            return Ok(End::Sealed(offset + u32::try_from(HEADER_LEN).unwrap_or(0)));
        }
        let length = if header.kind.has_body() {
            let mut meta = [0; chunk::META_LEN];
            extent.file.read_at(&mut meta, u64::from(offset) + HEADER_LEN as u64).map_err(io())?;
            ChunkMeta::decode_head(&meta)
                .map_or(chunk::META_LEN, |meta| meta.head_len())
                .min(header.length as usize)
        } else {
            header.length as usize
        };
        let mut payload = vec![0; length];
        let read = extent.file.read_at(&mut payload, u64::from(offset) + HEADER_LEN as u64).map_err(io())?;
        let whole = read == length && crc32fast::hash(&payload) == header.payload_crc;
        let body_whole =
            !header.kind.has_body() || !newest || body_is_whole(extent, offset, &header, &payload)?;
        if !whole || (newest && !body_whole) {
            match end_or_damage(inner, id, extent, offset, newest)? {
                End::Damaged(at) => inner.report_damage(Damage {
                    extent: id,
                    offset: at,
                    what: format!("{:?} record with a bad payload", header.kind),
                    group: header.kind.is_raft().then_some(GroupId(header.group)),
                }),
                other => return Ok(other),
            }
        } else {
            visit(Found { header, pos: Pos { extent: id, offset }, payload: Bytes::from(payload) })?;
        }
        offset = u32::try_from(u64::from(offset) + header.footprint()).unwrap_or(u32::MAX);
    }
}

fn body_is_whole(
    extent: &Extent,
    offset: u32,
    header: &RecordHeader,
    head: &[u8],
) -> Result<bool, EngineError> {
    let Some(meta) = ChunkMeta::decode_head(head) else { return Ok(false) };
    if head.len() < meta.head_len() || header.length as usize != meta.head_len() + meta.body_len as usize {
        return Ok(false);
    }
    let mut body = vec![0; meta.body_len as usize];
    let at = u64::from(offset) + (HEADER_LEN + meta.head_len()) as u64;
    let read = extent.file.read_at(&mut body, at).map_err(EngineError::io("read the log"))?;
    let table = chunk::table(&meta.key, &body);
    let stored = head[chunk::META_LEN..meta.head_len()].chunks_exact(4);
    Ok(read == body.len()
        && table.iter().zip(stored).all(|(crc, stored)| crc.to_le_bytes().as_slice() == stored))
}

/// Tells the end of the log from damage: looks for a later record which says that this place had been synced.
fn end_or_damage(inner: &Inner, id: u64, extent: &Extent, at: u32, newest: bool) -> Result<End, EngineError> {
    if !newest {
        return Ok(End::Damaged(at));
    }
    let salt = Salt { log: inner.log, extent: id };
    let size = u32::try_from(extent.size).unwrap_or(u32::MAX);
    let mut buffer = vec![0; 1 << 20];
    let mut offset = at + 8;
    while offset < size {
        let read =
            extent.file.read_at(&mut buffer, u64::from(offset)).map_err(EngineError::io("read the log"))?;
        if read < HEADER_LEN {
            break;
        }
        let mut i = 0;
        while i + HEADER_LEN <= read {
            let here = offset + u32::try_from(i).unwrap_or(0);
            if buffer[i..].starts_with(format::record::MAGIC)
                && let Decoded::Record(later) = RecordHeader::decode(salt, here, &buffer[i..i + HEADER_LEN])
                && later.synced > at
            {
                return Ok(End::Damaged(at));
            }
            i += 8;
        }
        offset += u32::try_from(i).unwrap_or(u32::MAX).max(8);
    }
    Ok(End::Torn(at))
}

/// The first record at or after `from` that decodes; where a walk goes on after damage.
fn resync(inner: &Inner, id: u64, extent: &Extent, from: u32) -> Result<Option<u32>, EngineError> {
    let salt = Salt { log: inner.log, extent: id };
    let size = usize::try_from(extent.size).unwrap_or(0);
    let mut bytes = vec![0; size.saturating_sub(from as usize)];
    let read = extent.file.read_at(&mut bytes, u64::from(from)).map_err(EngineError::io("read the log"))?;
    let mut i = 8;
    while i + HEADER_LEN <= read {
        let here = from + u32::try_from(i).unwrap_or(0);
        if let Decoded::Record(_) = RecordHeader::decode(salt, here, &bytes[i..i + HEADER_LEN]) {
            return Ok(Some(here));
        }
        i += 8;
    }
    Ok(None)
}

/// Replays the log from `from`; answers where it ends.
pub(crate) fn replay(
    inner: &Inner,
    from: Pos,
    raft_from: Pos,
    report: &mut OpenReport,
) -> Result<Pos, EngineError> {
    let extents = inner.extents.all();
    let newest = extents.last().map_or(0, |(id, _)| *id);
    let start = from.min(raft_from);
    let mut end = start;
    for (id, extent) in extents.into_iter().filter(|(id, _)| *id >= start.extent) {
        let mut at = if id == start.extent { start.offset } else { extent.used };
        end = Pos { extent: id, offset: at };
        loop {
            let mut tx = Tx::begin(inner);
            let outcome = walk(inner, id, &extent, at, id == newest, &mut |found| {
                report.replayed += 1;
                let next = tx.covered().next_sequence.max(found.header.sequence + 1);
                tx.covered().next_sequence = next;
                if found.header.kind.is_raft() {
                    if found.pos >= raft_from {
                        replay_raft(inner, &found);
                    }
                    Ok(())
                } else {
                    replay_stored(&mut tx, &found)
                }
            });
            tx.commit()?;
            match outcome? {
                End::Sealed(used) => {
                    end.offset = used;
                    inner.extents.update(id, |e| (e.used, e.sealed) = (used, id != newest));
                    break;
                }
                End::Torn(used) => {
                    end.offset = used;
                    cut(inner, id, &extent, used, report)?;
                    break;
                }
                End::Damaged(bad) => {
                    inner.report_damage(Damage {
                        extent: id,
                        offset: bad,
                        what: "bytes that are no record".to_owned(),
                        group: None,
                    });
                    match resync(inner, id, &extent, bad)? {
                        Some(next) => at = next,
                        None => {
                            end.offset = bad;
                            inner.extents.update(id, |e| (e.used, e.sealed) = (bad, true));
                            break;
                        }
                    }
                }
            }
        }
    }
    Ok(end)
}

/// Overwrites the header of an unfinished record, so that it cannot be believed once later records stand behind it.
fn cut(inner: &Inner, id: u64, extent: &Extent, at: u32, report: &mut OpenReport) -> Result<(), EngineError> {
    inner.extents.update(id, |e| e.used = at);
    let room = extent.size.saturating_sub(u64::from(at)).min(64);
    let mut there = vec![0; usize::try_from(room).unwrap_or(0)];
    let read = extent.file.read_at(&mut there, u64::from(at)).map_err(EngineError::io("read the log"))?;
    if there[..read].iter().any(|byte| *byte != 0) {
        report.cut_bytes += read as u64;
        let zeros = vec![0; there.len()];
        extent
            .file
            .write_at(&[IoSlice::new(&zeros)], u64::from(at))
            .map_err(EngineError::io("cut the log"))?;
        extent.file.sync(SyncPoint::RecoveryCut).map_err(EngineError::io("sync the cut"))?;
    }
    Ok(())
}

fn replay_stored(tx: &mut Tx<'_>, found: &Found) -> Result<(), EngineError> {
    let Found { header, pos, payload } = found;
    match header.kind {
        Kind::Chunk | Kind::Inline => {
            let Some(meta) = ChunkMeta::decode_head(payload) else { return Ok(()) };
            let existing = tx.chunk(&meta.key)?;
            let hidden = [Target::Blob(meta.key.blob), Target::Piece(meta.key)]
                .into_iter()
                .map(|target| tx.tomb(target))
                .collect::<Result<Vec<_>, _>>()?
                .into_iter()
                .flatten()
                .any(|tomb| tomb.sequence > header.sequence);
            let place = |entry: &format::ChunkEntry| {
                let head = HEADER_LEN + meta.head_len();
                Pos {
                    extent: entry.extent,
                    offset: entry.body_offset.saturating_sub(u32::try_from(head).unwrap_or(0)),
                }
            };
            let stale = existing.as_ref().is_some_and(|entry| {
                entry.sequence > header.sequence
                    || (entry.sequence == header.sequence && place(entry) >= *pos)
            });
            // A moved inline body counts only where the index already knows the body.
            let unknown_inline =
                header.kind == Kind::Inline && existing.is_none() && header.flags & FLAG_MOVED != 0;
            if hidden || stale || unknown_inline {
                return Ok(());
            }
            let owner = match header.kind {
                Kind::Chunk => Owner::Chunk(meta.blake3),
                _ => Owner::Inline(GroupId(header.group)),
            };
            let table: Vec<u32> = payload[chunk::META_LEN..]
                .chunks_exact(4)
                .map(|crc| u32::from_le_bytes([crc[0], crc[1], crc[2], crc[3]]))
                .collect();
            let mut entry = committer::placed_body(header, *pos, meta.body_len, owner, &table);
            if let Some(old) = existing {
                entry.older = old.older;
                entry.older.push(old.extent);
            }
            tx.set_chunk(meta.key, Some(entry))
        }
        Kind::Delete => {
            let Some(target) = Target::decode(payload) else { return Ok(()) };
            if tx
                .tomb(target)?
                .is_some_and(|tomb| tomb.sequence >= header.sequence && tomb.extent >= pos.extent)
            {
                return Ok(());
            }
            committer::delete(tx, target, header.sequence, *pos)
        }
        _ => Ok(()),
    }
}

fn replay_raft(inner: &Inner, found: &Found) {
    let Found { header, pos, payload } = found;
    let group = inner.group(GroupId(header.group));
    let mut state = group.inner.lock();
    let state = &mut *state;
    let mark = Mark { sequence: header.sequence, pos: *pos, index: header.index, bytes: payload.clone() };
    let newer = |old: &Option<Mark>| old.as_ref().is_none_or(|old| old.sequence <= header.sequence);
    match header.kind {
        Kind::Entry if header.flags & FLAG_MOVED != 0 => {
            if let Some(slot) = state.slot_mut(header.index).filter(|slot| slot.sequence == header.sequence) {
                slot.pos = *pos;
            }
        }
        Kind::Entry => {
            if state.purged.as_ref().is_some_and(|(purged, _)| header.index <= *purged) {
                return;
            }
            if state.slot(header.index).is_some_and(|slot| slot.sequence >= header.sequence) {
                return;
            }
            state.truncate_from(header.index);
            if state.next_index().is_some_and(|next| next != header.index) {
                state.lost = true;
                return;
            }
            let slot = EntrySlot {
                ticket: 0,
                sequence: header.sequence,
                pos: *pos,
                length: header.length,
                durable: true,
                payload: None,
            };
            state.push(header.index, slot);
        }
        Kind::Vote if newer(&state.vote_mark) => {
            state.vote = Some(payload.clone());
            state.vote_mark = Some(mark);
        }
        Kind::Truncate if newer(&state.truncate_mark) => {
            if header.flags & FLAG_MOVED == 0 {
                state.truncate_from(header.index);
            }
            state.truncate_mark = Some(mark);
        }
        Kind::Purge if newer(&state.purge_mark) => {
            state.purge_to(header.index, payload.clone());
            state.purge_mark = Some(mark);
        }
        Kind::RemoveGroup => state.clear(),
        _ => {}
    }
}
