//! A group's state as it was at one moment, and the replacement of a state by such a view from elsewhere.

use crate::chunks::{body_len, read_raw};
use crate::effect::{inline_bodies, wipe_records};
use crate::engine::Inner;
use crate::format::{ChunkEntry, Owner, chunk};
use crate::group::Group;
use crate::index::keys::{self, GroupRecord};
use crate::index::tx::{Tx, bad_value};
use crate::index::{Family, View};
use crate::queue::{Put, PutMode, Request};
use crate::state::inline_key;
use crate::{Engine, EngineError};
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use ringfort_core::{BlobId, ChunkKey, GroupId};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes of a page per item beside its own.
const ITEM_BYTES: usize = 32;

/// One item of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotItem {
    /// A record of the state.
    Record {
        /// The key.
        key: Bytes,
        /// The value.
        value: Bytes,
    },
    /// An inline body.
    Inline {
        /// Its name.
        blob: BlobId,
        /// Its bytes.
        body: Bytes,
    },
}

type Page = Result<Vec<SnapshotItem>, EngineError>;

/// A consistent view of a group's state. While it lives no extent is freed, so keep it only as long as it is streamed.
///
/// A thread of its own holds the view of the index, which borrows from the index and so cannot live in a value that moves.
pub struct StateSnapshot {
    applied: u64,
    inner: Arc<Inner>,
    ask: Option<Sender<usize>>,
    pages: Receiver<Page>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl StateSnapshot {
    pub(crate) fn take(inner: Arc<Inner>, group: GroupId) -> Result<Self, EngineError> {
        inner.pins.fetch_add(1, Ordering::SeqCst);
        let (ask, asked) = bounded::<usize>(1);
        let (answer, pages) = bounded::<Page>(1);
        let (ready, taken) = bounded::<Result<u64, EngineError>>(1);
        let shared = Arc::clone(&inner);
        let thread = std::thread::Builder::new()
            .name("engine-snapshot".into())
            .spawn(move || {
                shared.index.with_snapshot(&mut |view| serve(&shared, view, group, &ready, &asked, &answer));
            })
            .map_err(EngineError::io("start a thread for a snapshot"));
        let started = thread.and_then(|thread| match taken.recv() {
            Ok(Ok(applied)) => Ok((thread, applied)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(EngineError::Closed),
        });
        match started {
            Ok((thread, applied)) => Ok(Self { applied, inner, ask: Some(ask), pages, thread: Some(thread) }),
            Err(error) => {
                inner.pins.fetch_sub(1, Ordering::SeqCst);
                Err(error)
            }
        }
    }

    /// The applied index of the view.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// The next items, about `bytes_max` bytes of them, first the records in key order, then the inline bodies; empty at the
    /// end. Blocks.
    pub fn next_page(&mut self, bytes_max: usize) -> Result<Vec<SnapshotItem>, EngineError> {
        let asked = self.ask.as_ref().is_some_and(|ask| ask.send(bytes_max).is_ok());
        if !asked {
            return Err(EngineError::Closed);
        }
        self.pages.recv().unwrap_or(Err(EngineError::Closed))
    }
}

impl Drop for StateSnapshot {
    fn drop(&mut self) {
        self.ask = None;
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
        self.inner.pins.fetch_sub(1, Ordering::SeqCst);
    }
}

fn serve(
    inner: &Inner,
    view: &dyn View,
    group: GroupId,
    ready: &Sender<Result<u64, EngineError>>,
    asked: &Receiver<usize>,
    answer: &Sender<Page>,
) {
    let record = view.get(Family::Meta, &keys::group(group));
    let applied =
        record.map(|value| value.and_then(|value| GroupRecord::decode(&value)).unwrap_or_default().applied);
    if ready.send(applied).is_err() {
        return;
    }
    let mut records = view.cursor(Family::State, &keys::state(group, &[]), &keys::state_end(group));
    records.first();
    let mut chunks = view.cursor(Family::Chunks, &[], &[]);
    chunks.first();
    while let Ok(bytes_max) = asked.recv() {
        let page = (|| {
            let mut page = Vec::new();
            let mut bytes = 0;
            while let Some((key, value)) = records.item().filter(|_| bytes < bytes_max) {
                bytes += key.len() + value.len() + ITEM_BYTES;
                let (key, value) = (Bytes::copy_from_slice(&key[4..]), Bytes::copy_from_slice(value));
                page.push(SnapshotItem::Record { key, value });
                records.next();
            }
            records.status()?;
            while let Some((key, value)) = chunks.item().filter(|_| bytes < bytes_max) {
                let entry = ChunkEntry::decode(value).ok_or_else(|| bad_value("a chunk entry"))?;
                if entry.owner == Owner::Inline(group) {
                    let key = ChunkKey::decode(key).ok_or_else(|| bad_value("a chunk key"))?;
                    let body = inline_body(inner, &key, &entry)?;
                    bytes += body.len() + ITEM_BYTES;
                    page.push(SnapshotItem::Inline { blob: key.blob, body });
                }
                chunks.next();
            }
            chunks.status()?;
            Ok(page)
        })();
        if answer.send(page).is_err() {
            return;
        }
    }
}

/// An inline body at the place the view names: its extent is pinned, so the place holds.
fn inline_body(inner: &Inner, key: &ChunkKey, entry: &ChunkEntry) -> Result<Bytes, EngineError> {
    let corrupt = EngineError::Corrupt { key: *key, extent: entry.extent, offset: entry.body_offset };
    let (table, body) = read_raw(inner, entry)?.ok_or_else(|| corrupt.clone())?;
    if chunk::table(key, &body) == table { Ok(body) } else { Err(corrupt) }
}

/// Inline bodies released at once.
const WIPE_BODIES: usize = 1024;

fn wipe_in_parts(inner: &Inner, group: GroupId) -> Result<(), EngineError> {
    let mut from = Vec::new();
    loop {
        let bodies = inline_bodies(inner, group, &from, WIPE_BODIES)?;
        let Some(last) = bodies.last() else { break };
        from = [last.encode().as_slice(), &[0]].concat();
        let mut tx = Tx::begin(inner);
        for key in bodies {
            if tx.chunk(&key)?.is_some_and(|entry| entry.owner == Owner::Inline(group)) {
                tx.set_chunk(key, None)?;
            }
        }
        tx.commit()?;
    }
    let mut tx = Tx::begin(inner);
    wipe_records(&mut tx, group);
    tx.commit()
}

/// A state that is being replaced. Dropping it without [`Self::finish`] leaves the state `Lost`.
pub struct StateInstall {
    engine: Engine,
    group: Arc<Group>,
}

impl StateInstall {
    pub(crate) async fn begin(engine: Engine, group: Arc<Group>) -> Result<Self, EngineError> {
        let install = Self { engine, group };
        let (inner, group) = (Arc::clone(install.engine.inner()), Arc::clone(&install.group));
        // The loss is durable before anything of the new state is, so a crash in between cannot show a mixture.
        install
            .engine
            .inner()
            .workers()?
            .run(move || {
                let mut tx = Tx::begin(&inner);
                tx.put(Family::Meta, keys::group(group.id), GroupRecord { lost: true, applied: 0 }.encode());
                tx.commit_and(|| {
                    let mut state = group.inner.lock();
                    (state.lost, state.applied, state.durable_applied) = (true, 0, 0);
                    state.generation += 1;
                })?;
                // Nothing is added to a state that is lost, so it can go in parts, with others in between.
                wipe_in_parts(&inner, group.id)?;
                crate::checkpoint::run(&inner)
            })
            .await?;
        Ok(install)
    }

    /// Writes records.
    pub fn put(&mut self, records: &[(Bytes, Bytes)]) -> Result<(), EngineError> {
        let mut tx = Tx::begin(self.engine.inner());
        for (key, value) in records {
            tx.put(Family::State, keys::state(self.group.id, key), value.to_vec());
        }
        tx.commit()
    }

    /// Stores inline bodies.
    pub async fn put_inline(&mut self, bodies: Vec<(BlobId, Bytes)>) -> Result<(), EngineError> {
        let inner = self.engine.inner();
        let mut answers = Vec::with_capacity(bodies.len());
        for (blob, body) in bodies {
            let key = inline_key(blob);
            let (answer, result) = tokio::sync::oneshot::channel();
            let put = Put {
                key,
                owner: Owner::Inline(self.group.id),
                mode: PutMode::Install,
                table: chunk::table(&key, &body),
                body_len: body_len(inner, body.len())?,
                body: vec![body],
                done: Box::new(move |outcome| drop(answer.send(outcome))),
            };
            inner.submit(Request::Put(Box::new(put)));
            answers.push(result);
        }
        for answer in answers {
            answer.await.unwrap_or(Err(EngineError::Closed))?;
        }
        Ok(())
    }

    /// Makes the new state durable, at applied index `applied`.
    pub async fn finish(self, applied: u64) -> Result<(), EngineError> {
        let (inner, group) = (Arc::clone(self.engine.inner()), Arc::clone(&self.group));
        self.engine
            .inner()
            .workers()?
            .run(move || {
                let mut tx = Tx::begin(&inner);
                tx.put(Family::Meta, keys::group(group.id), GroupRecord { lost: false, applied }.encode());
                tx.commit_and(|| {
                    let mut state = group.inner.lock();
                    (state.lost, state.has_state, state.applied) = (false, true, applied);
                })?;
                crate::checkpoint::run(&inner)
            })
            .await
    }
}
