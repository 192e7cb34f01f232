//! Checkpoints: the index becomes durable, so a group may purge its log that far, and extents that nothing needs can go.

use crate::EngineError;
use crate::engine::Inner;
use crate::format::{Target, Tomb};
use crate::index::tx::{Tx, bad_value};
use crate::index::{Family, IndexOp, keys};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// Flushes the index and lets go of extents that hold nothing. Blocks.
pub(crate) fn run(inner: &Inner) -> Result<(), EngineError> {
    let _one = inner.upkeep.lock();
    run_locked(inner).map(|_| ())
}

/// The same for a caller that holds the lock; answers the bytes that became free.
pub(crate) fn run_locked(inner: &Inner) -> Result<u64, EngineError> {
    if let Some(error) = inner.failure() {
        return Err(error);
    }
    inner.reset_written();
    let groups: Vec<_> = inner.groups.read().values().cloned().collect();
    let mut tx = Tx::begin(inner);
    let from = tx.covered().pos;
    tx.put(Family::Meta, keys::RAFT_FROM.to_vec(), keys::encode_pos(from));
    let oldest = inner.extents.first_id();
    let mut applied = Vec::with_capacity(groups.len());
    for group in &groups {
        let mut state = group.inner.lock();
        state.forget_removal(oldest);
        // Not what the group says of itself: of what was only asked for, nothing may be kept.
        let table = state.table();
        if table.is_empty() {
            tx.ops.push(IndexOp::Delete(Family::Meta, keys::raft(group.id)));
        } else {
            tx.put(Family::Meta, keys::raft(group.id), table.encode());
        }
        applied.push((state.generation, state.applied));
    }
    // What refers to nothing now is empty in the tables that are flushed below: only then may it go.
    let empty = empty_extents(inner, &tx.accounts());
    tx.commit().inspect_err(|error| inner.fail_with(error))?;
    inner.index.flush()?;
    inner.check_space();
    for (group, (generation, applied)) in groups.into_iter().zip(applied) {
        let mut state = group.inner.lock();
        if state.generation == generation {
            state.durable_applied = state.durable_applied.max(applied);
        }
    }
    if inner.pins.load(Ordering::SeqCst) > 0 || empty.is_empty() {
        return Ok(0);
    }
    free(inner, &empty)
}

/// Sealed extents that nothing refers to.
fn empty_extents(inner: &Inner, accounts: &Accounts) -> Vec<u64> {
    let refers = referred(inner);
    inner
        .extents
        .all()
        .into_iter()
        .filter(|(id, extent)| extent.sealed && *id < accounts.before)
        .map(|(id, _)| id)
        .filter(|id| accounts.of.get(id).is_none_or(|account| account.live == 0 && account.tombs == 0))
        .filter(|id| !refers.contains_key(id))
        .collect()
}

/// What a transaction knows of extents.
pub(crate) struct Accounts {
    /// Extents before this one have all their records in the index.
    pub(crate) before: u64,
    pub(crate) of: BTreeMap<u64, keys::Account>,
}

/// Bytes per extent that the logs of groups keep alive.
pub(crate) fn referred(inner: &Inner) -> BTreeMap<u64, u64> {
    let mut refers = BTreeMap::new();
    for group in inner.groups.read().values() {
        group.inner.lock().refers(|pos, bytes| *refers.entry(pos.extent).or_default() += bytes);
    }
    refers
}

/// Lets go of extents that nothing can refer to again: whatever is empty and complete stays so.
fn free(inner: &Inner, empty: &[u64]) -> Result<u64, EngineError> {
    let mut freed = 0;
    for id in empty {
        let size = inner.extents.get(*id).map_or(0, |extent| extent.size);
        if let Err(error) = inner.extents.free(*id) {
            let error = EngineError::io(format!("free extent {id:x}"))(error);
            inner.fail_with(&error);
            return Err(error);
        }
        inner.stuck.lock().remove(id);
        freed += size;
    }
    let idle = idle_tombs(inner)?;
    let mut tx = Tx::begin(inner);
    empty.iter().for_each(|id| tx.forget_extent(*id));
    for (target, tomb) in idle {
        if tx.tomb(target)?.as_ref() == Some(&tomb) {
            tx.set_tomb(target, None)?;
        }
    }
    tx.commit().inspect_err(|error| inner.fail_with(error))?;
    inner.check_space();
    Ok(freed)
}

/// Delete records that hide nothing any more.
fn idle_tombs(inner: &Inner) -> Result<Vec<(Target, Tomb)>, EngineError> {
    let mut out = Vec::new();
    let mut cursor = inner.index.cursor(Family::Meta, b"t", b"u");
    cursor.first();
    while let Some((key, value)) = cursor.item() {
        let target = Target::decode(&key[1..]).ok_or_else(|| bad_value("a tomb's key"))?;
        let tomb = Tomb::decode(value).ok_or_else(|| bad_value("a tomb"))?;
        if !tomb.hidden.iter().any(|extent| inner.extents.contains(*extent)) {
            out.push((target, tomb));
        }
        cursor.next();
    }
    cursor.status()?;
    Ok(out)
}
