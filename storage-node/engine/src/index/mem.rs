//! An index in memory that forgets like RocksDB: a crash brings back the last flush, or any later moment between two writes.

#![allow(clippy::unwrap_used, reason = "only tests and fuzzing use it")]
#![cfg_attr(feature = "fuzzing", allow(dead_code, reason = "fuzzing needs only a part of it"))]

use super::{Cursor, Family, Index, IndexOp, View};
use crate::EngineError;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;
type Maps = [Map; 4];

#[derive(Default)]
struct State {
    now: Maps,
    flushed: Maps,
    since: Vec<Vec<IndexOp>>,
    /// Makes flushes do nothing: a fault that tests put in.
    ignore_flush: bool,
}

/// The store; cloning shares it.
#[derive(Clone, Default)]
pub(crate) struct MemIndex(Arc<Mutex<State>>);

fn apply(maps: &mut Maps, ops: &[IndexOp]) {
    for op in ops {
        match op {
            IndexOp::Put(family, key, value) => {
                drop(maps[*family as usize].insert(key.clone(), value.clone()))
            }
            IndexOp::Delete(family, key) => drop(maps[*family as usize].remove(key)),
            IndexOp::DeleteRange(family, from, to) => {
                maps[*family as usize].retain(|key, _| key < from || (!to.is_empty() && key >= to));
            }
        }
    }
}

impl MemIndex {
    /// Forgets: `seed` says how much of what was written since the last flush is still there; the greatest, that all is.
    pub(crate) fn crash(&self, seed: u64) {
        let mut state = self.0.lock();
        let kept = match seed {
            u64::MAX => state.since.len(),
            _ => usize::try_from(seed % (state.since.len() as u64 + 1)).unwrap(),
        };
        let mut maps = state.flushed.clone();
        for ops in state.since.drain(..).take(kept) {
            apply(&mut maps, &ops);
        }
        (state.now, state.flushed) = (maps.clone(), maps);
    }

    pub(crate) fn ignore_flush(&self) {
        self.0.lock().ignore_flush = true;
    }

    /// Another index with the same content, all of it flushed.
    pub(crate) fn copy(&self) -> Self {
        let now = self.0.lock().now.clone();
        Self(Arc::new(Mutex::new(State { flushed: now.clone(), now, ..State::default() })))
    }

    pub(crate) fn wipe(&self) {
        let mut state = self.0.lock();
        *state = State { ignore_flush: state.ignore_flush, ..State::default() };
    }
}

fn get(maps: &Maps, family: Family, key: &[u8]) -> Option<Bytes> {
    maps[family as usize].get(key).map(|value| Bytes::copy_from_slice(value))
}

fn range(maps: &Maps, family: Family, from: &[u8], to: &[u8]) -> Box<dyn Cursor + 'static> {
    let items = maps[family as usize]
        .range(from.to_vec()..)
        .take_while(|(key, _)| to.is_empty() || key.as_slice() < to)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    Box::new(MemCursor { items, at: None })
}

impl View for MemIndex {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Ok(get(&self.0.lock().now, family, key))
    }

    fn cursor(&self, family: Family, from: &[u8], to: &[u8]) -> Box<dyn Cursor + '_> {
        range(&self.0.lock().now, family, from, to)
    }
}

impl Index for MemIndex {
    fn write(&self, ops: &[IndexOp]) -> Result<(), EngineError> {
        let mut state = self.0.lock();
        apply(&mut state.now, ops);
        state.since.push(ops.to_vec());
        Ok(())
    }

    fn flush(&self) -> Result<(), EngineError> {
        let mut state = self.0.lock();
        if state.ignore_flush {
            return Ok(());
        }
        state.flushed = state.now.clone();
        state.since.clear();
        Ok(())
    }

    fn with_snapshot(&self, visit: &mut dyn FnMut(&dyn View)) {
        let maps = self.0.lock().now.clone();
        visit(&MemView(maps));
    }
}

struct MemView(Maps);

impl View for MemView {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Ok(get(&self.0, family, key))
    }

    fn cursor(&self, family: Family, from: &[u8], to: &[u8]) -> Box<dyn Cursor + '_> {
        range(&self.0, family, from, to)
    }
}

struct MemCursor {
    items: Vec<(Vec<u8>, Vec<u8>)>,
    at: Option<usize>,
}

impl Cursor for MemCursor {
    fn seek(&mut self, key: &[u8]) {
        self.at = Some(self.items.partition_point(|(item, _)| item.as_slice() < key));
    }

    fn first(&mut self) {
        self.at = Some(0);
    }

    fn last(&mut self) {
        self.at = self.items.len().checked_sub(1);
    }

    fn next(&mut self) {
        self.at = self.at.map(|at| at + 1);
    }

    fn prev(&mut self) {
        self.at = self.at.and_then(|at| at.checked_sub(1));
    }

    fn item(&self) -> Option<(&[u8], &[u8])> {
        let (key, value) = self.items.get(self.at?)?;
        Some((key, value))
    }

    fn status(&self) -> Result<(), EngineError> {
        Ok(())
    }
}
