//! Generic records of the system slot: what the cluster knows about itself (sessions, policies, ring epochs, devices).
//!
//! # Commands and queries, version 1
//!
//! The first byte is [`TAG`], the second the operation; integers are little-endian; a *string* is its length (u32) and its
//! bytes; an *option* is 0, or 1 and the value.
//!
//! ```text
//! command 1, transaction:       checks u16 (key string, expected option string) *, writes u16 (key string, value option string) *
//! command 2, register session:  node string, nonce u64
//! command 3, end session:       session u64
//! query 1, get:                 key string
//! query 2, list:                prefix string, after option string, limit u32
//! query 3, session:             session u64
//!
//! result 0, done       then for a session: id u64, ended u16 (id u64) *
//! result 1, mismatch   then the number of the first check that failed u16, and what is there: option string
//! result 2, malformed
//! ```
//!
//! Records, within the slot:
//!
//! ```text
//! 'k' key            a record of a client
//! 'c'                the last session id given out, u64
//! 'n' node           sessions of a node not yet ended: (id u64, nonce u64) *
//! 's' id(8 BE)       a session: state u8 (1 live, 2 ended), began u64, node
//! ```

mod client;
mod codec;

pub use client::{Expected, KvClient, KvOutcome, SessionState};
#[cfg(test)]
pub(crate) use client::{found, get_query};

use codec::{Reader, put_option, put_string};
use ringfort_core::{HybridTime, SYSTEM_SLOT};
use ringfort_storage_api::{QueryReply, Scan, SlotTx, SlotView};
use std::ops::ControlFlow;

/// First byte of commands and queries that are answered here and never reach the state model.
pub const TAG: u8 = 0;

pub(crate) const OP_TRANSACTION: u8 = 1;
pub(crate) const OP_REGISTER: u8 = 2;
pub(crate) const OP_END: u8 = 3;
pub(crate) const OP_GET: u8 = 1;
pub(crate) const OP_LIST: u8 = 2;
pub(crate) const OP_SESSION: u8 = 3;

pub(crate) const DONE: u8 = 0;
pub(crate) const MISMATCH: u8 = 1;
pub(crate) const MALFORMED: u8 = 2;

const SESSION_LIVE: u8 = 1;
const SESSION_ENDED: u8 = 2;
/// Records one list answers at most.
const LIST_MAX: u32 = 10_000;
/// Session ids have 48 bits, because blob ids carry them.
const SESSION_MAX: u64 = (1 << 48) - 1;

/// Applies a command to the system slot.
pub(crate) fn apply(tx: &mut dyn SlotTx, now: HybridTime, command: &[u8]) -> Vec<u8> {
    let mut reader = Reader::new(command);
    let done = match (tx.slot() == SYSTEM_SLOT, reader.u8(), reader.u8()) {
        (true, Some(TAG), Some(OP_TRANSACTION)) => transaction(tx, reader),
        (true, Some(TAG), Some(OP_REGISTER)) => register(tx, now, reader),
        (true, Some(TAG), Some(OP_END)) => end(tx, reader),
        _ => None,
    };
    done.unwrap_or_else(|| vec![MALFORMED])
}

/// Answers a query of the system slot.
pub(crate) fn query(view: &dyn SlotView, query: &[u8]) -> QueryReply {
    let mut reader = Reader::new(query);
    let reply = match (view.slot() == SYSTEM_SLOT, reader.u8(), reader.u8()) {
        (true, Some(TAG), Some(OP_GET)) => get(view, reader),
        (true, Some(TAG), Some(OP_LIST)) => list(view, reader),
        (true, Some(TAG), Some(OP_SESSION)) => session(view, reader),
        _ => None,
    };
    QueryReply { reply: reply.unwrap_or_else(|| vec![MALFORMED]), inline: None }
}

fn record_key(kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + rest.len());
    key.push(kind);
    key.extend_from_slice(rest);
    key
}

fn transaction(tx: &mut dyn SlotTx, mut reader: Reader<'_>) -> Option<Vec<u8>> {
    let mut failed = None;
    for check in 0..reader.u16()? {
        let (key, expected) = (reader.string()?, reader.option()?);
        let found = tx.get(&record_key(b'k', key));
        if failed.is_none() && found.as_deref() != expected {
            failed = Some((check, found));
        }
    }
    // All is decoded before anything is written: a malformed command writes nothing.
    let mut writes = Vec::new();
    for _ in 0..reader.u16()? {
        writes.push((reader.string()?, reader.option()?));
    }
    reader.end()?;
    if let Some((check, found)) = failed {
        let mut out = vec![MISMATCH];
        out.extend_from_slice(&check.to_le_bytes());
        put_option(&mut out, found.as_deref());
        return Some(out);
    }
    for (key, value) in writes {
        match value {
            Some(value) => tx.put(&record_key(b'k', key), value),
            None => tx.delete(&record_key(b'k', key)),
        }
    }
    Some(vec![DONE])
}

fn register(tx: &mut dyn SlotTx, now: HybridTime, mut reader: Reader<'_>) -> Option<Vec<u8>> {
    let (node, nonce) = (reader.string()?, reader.u64()?);
    reader.end()?;
    let node_key = record_key(b'n', node);
    let earlier = sessions_of(tx, &node_key);
    if let Some((id, _)) = earlier.iter().find(|(_, of)| *of == nonce) {
        // A retry; whom it ended may not be fenced everywhere yet.
        let others = earlier.iter().map(|(other, _)| *other).filter(|other| other != id);
        return Some(registered(*id, others.collect()));
    }
    let last =
        tx.get(b"c").and_then(|value| Some(u64::from_le_bytes(value.as_ref().try_into().ok()?))).unwrap_or(0);
    let id = (last + 1).min(SESSION_MAX);
    tx.put(b"c", &id.to_le_bytes());
    let mut record = vec![SESSION_LIVE];
    record.extend_from_slice(&now.0.to_le_bytes());
    record.extend_from_slice(node);
    tx.put(&record_key(b's', &id.to_be_bytes()), &record);
    let mut known = Vec::new();
    for (session, nonce) in earlier.iter().chain(std::iter::once(&(id, nonce))) {
        known.extend_from_slice(&session.to_le_bytes());
        known.extend_from_slice(&nonce.to_le_bytes());
    }
    tx.put(&node_key, &known);
    Some(registered(id, earlier.into_iter().map(|(session, _)| session).collect()))
}

fn registered(id: u64, ended: Vec<u64>) -> Vec<u8> {
    let mut out = vec![DONE];
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&u16::try_from(ended.len()).unwrap_or(u16::MAX).to_le_bytes());
    for session in ended.iter().take(usize::from(u16::MAX)) {
        out.extend_from_slice(&session.to_le_bytes());
    }
    out
}

/// The sessions of a node that have not ended, with their nonces.
fn sessions_of(tx: &dyn SlotTx, node_key: &[u8]) -> Vec<(u64, u64)> {
    let known = tx.get(node_key).unwrap_or_default();
    let mut reader = Reader::new(&known);
    std::iter::from_fn(|| Some((reader.u64()?, reader.u64()?))).collect()
}

fn end(tx: &mut dyn SlotTx, mut reader: Reader<'_>) -> Option<Vec<u8>> {
    let id = reader.u64()?;
    reader.end()?;
    let key = record_key(b's', &id.to_be_bytes());
    if let Some(record) = tx.get(&key) {
        let mut ended = record.to_vec();
        *ended.first_mut()? = SESSION_ENDED;
        tx.put(&key, &ended);
        let node_key = record_key(b'n', record.get(9..)?);
        let mut left = Vec::new();
        for (session, nonce) in sessions_of(tx, &node_key).into_iter().filter(|(session, _)| *session != id) {
            left.extend_from_slice(&session.to_le_bytes());
            left.extend_from_slice(&nonce.to_le_bytes());
        }
        tx.put(&node_key, &left);
    }
    Some(vec![DONE])
}

fn get(view: &dyn SlotView, mut reader: Reader<'_>) -> Option<Vec<u8>> {
    let key = record_key(b'k', reader.string()?);
    reader.end()?;
    let mut out = vec![DONE];
    put_option(&mut out, view.get(&key).as_deref());
    Some(out)
}

fn list(view: &dyn SlotView, mut reader: Reader<'_>) -> Option<Vec<u8>> {
    let (prefix, after, limit) = (reader.string()?, reader.option()?, reader.u32()?.min(LIST_MAX));
    reader.end()?;
    let prefix = record_key(b'k', prefix);
    let from = match after {
        // The least key after `after`.
        Some(after) => record_key(b'k', &[after, &[0]].concat()).max(prefix.clone()),
        None => prefix.clone(),
    };
    let mut out = vec![DONE];
    let mut count = 0;
    view.scan(&from, &[], Scan::Forward, &mut |key, value| {
        if count == limit || !key.starts_with(&prefix) {
            return ControlFlow::Break(());
        }
        count += 1;
        put_string(&mut out, &key[1..]);
        put_string(&mut out, value);
        ControlFlow::Continue(())
    });
    Some(out)
}

fn session(view: &dyn SlotView, mut reader: Reader<'_>) -> Option<Vec<u8>> {
    let key = record_key(b's', &reader.u64()?.to_be_bytes());
    reader.end()?;
    let mut out = vec![DONE];
    put_option(&mut out, view.get(&key).as_deref());
    Some(out)
}
