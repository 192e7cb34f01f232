//! Compaction: moving what is still needed out of an extent that is mostly dead.
//!
//! Moved records keep their sequence, so that recovery puts them in the same order; the old extent is freed by the checkpoint
//! that finds nothing referring to it.

use crate::EngineError;
use crate::committer::{After, Record};
use crate::engine::Inner;
use crate::extents::Extent;
use crate::format::chunk::{self, ChunkMeta};
use crate::format::file::EXTENT_HEADER_LEN;
use crate::format::record::HEADER_LEN;
use crate::format::{ChunkEntry, Kind, Owner, Pos, Target};
use crate::index::{Family, keys};
use crate::recover::{Found, walk};
use bytes::Bytes;
use ringfort_core::{ChunkKey, GroupId};
use std::sync::Arc;

/// Bytes moved by one request.
const MOVE_BYTES: u64 = 4 << 20;

pub(crate) fn relocate(inner: &Arc<Inner>, id: u64, extent: &Extent) -> Result<(), EngineError> {
    let mut found = Vec::new();
    walk(inner, id, extent, EXTENT_HEADER_LEN, false, &mut |record| {
        found.push(record);
        Ok(())
    })?;
    let mut moves = Vec::new();
    let mut bytes = 0;
    for record in found {
        collect(inner, extent, &record, &mut moves)?;
        bytes += record.header.footprint();
        if bytes >= MOVE_BYTES {
            inner.submit_and_wait(std::mem::take(&mut moves))?;
            let pause = bytes as f64 / inner.config.compact_bytes_per_sec as f64;
            std::thread::sleep(std::time::Duration::from_secs_f64(pause.min(1.0)));
            bytes = 0;
        }
    }
    collect_adopted(inner, id, &mut moves)?;
    if moves.is_empty() { Ok(()) } else { inner.submit_and_wait(moves) }
}

fn collect(
    inner: &Inner,
    extent: &Extent,
    found: &Found,
    moves: &mut Vec<(Record, After)>,
) -> Result<(), EngineError> {
    let Found { header, pos, payload } = found;
    let group = || inner.group(GroupId(header.group));
    let plain = || Record::plain(header.kind, vec![payload.clone()]);
    let place = |record: Record| record.of_group(&group(), header.index, header.term).moved(header.sequence);
    match header.kind {
        Kind::Chunk | Kind::Inline => {
            let Some(meta) = ChunkMeta::decode_head(payload) else { return Ok(()) };
            let Some(entry) = inner.chunk_entry(&meta.key)? else { return Ok(()) };
            let body_at = pos.offset + u32::try_from(HEADER_LEN + meta.head_len()).unwrap_or(0);
            if (entry.extent, entry.body_offset) == (pos.extent, body_at) {
                move_body(inner, &meta.key, &entry, moves)?;
            }
        }
        Kind::Delete => {
            if let Some(target) = Target::decode(payload)
                && inner
                    .tomb(&target)?
                    .is_some_and(|tomb| (tomb.extent, tomb.offset) == (pos.extent, pos.offset))
            {
                moves.push((plain().moved(header.sequence), After::MovedTomb { target, from: *pos }));
            }
        }
        Kind::Entry => {
            let group = group();
            let live =
                group.inner.lock().slot(header.index).is_some_and(|slot| slot.durable && slot.pos == *pos);
            if live {
                let mut whole = vec![0; header.length as usize];
                extent
                    .file
                    .read_at(&mut whole, u64::from(pos.offset) + HEADER_LEN as u64)
                    .map_err(EngineError::io("read the log"))?;
                let record = place(Record::plain(Kind::Entry, vec![Bytes::from(whole)]));
                moves.push((record, After::MovedEntry { group, from: *pos }));
            }
        }
        Kind::Vote | Kind::Purge | Kind::Truncate => {
            let group = group();
            let state = group.inner.lock();
            let marks = [&state.vote_mark, &state.purge_mark, &state.truncate_mark];
            let live = marks.into_iter().flatten().any(|mark| mark.pos == *pos);
            drop(state);
            if live {
                moves.push((place(plain()), After::MovedMark { group, from: *pos }));
            }
        }
        _ => {}
    }
    Ok(())
}

/// Inline bodies that lie in log entries of the extent.
fn collect_adopted(inner: &Inner, id: u64, moves: &mut Vec<(Record, After)>) -> Result<(), EngineError> {
    let mut adopted = Vec::new();
    {
        let mut cursor = inner.index.cursor(Family::Inline, &keys::inline(id, 0), &keys::inline(id + 1, 0));
        cursor.first();
        while let Some((_, value)) = cursor.item() {
            adopted.extend(ChunkKey::decode(value));
            cursor.next();
        }
        cursor.status()?;
    }
    for key in adopted {
        if let Some(entry) = inner.chunk_entry(&key)?.filter(|entry| entry.extent == id) {
            move_body(inner, &key, &entry, moves)?;
        }
    }
    Ok(())
}

fn move_body(
    inner: &Inner,
    key: &ChunkKey,
    entry: &ChunkEntry,
    moves: &mut Vec<(Record, After)>,
) -> Result<(), EngineError> {
    let body = match inner.read_body(key, entry, 0..entry.body_len, true) {
        Ok(body) => body.unwrap_or_default(),
        // A damaged body stays where it is: repair replaces it, and only then may its extent go.
        Err(EngineError::Corrupt { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    let table = chunk::table(key, &body);
    let from = Pos { extent: entry.extent, offset: entry.body_offset };
    let (kind, blake3, group) = match entry.owner {
        Owner::Chunk(hash) => (Kind::Chunk, hash, None),
        Owner::Inline(group) => (Kind::Inline, [0; 32], Some(group)),
    };
    let meta = ChunkMeta { key: *key, body_len: entry.body_len, blake3 };
    let mut record = Record::body(kind, meta, &table, vec![body]).moved(entry.sequence);
    if let Some(group) = group {
        record = record.of_group(&inner.group(group), 0, 0);
    }
    moves.push((record, After::MovedBody { key: *key, from, table }));
    Ok(())
}
