//! A body on its way in: gathered into chunks without copying, written several chunks at a time while the next one arrives,
//! and hashed on a lane beside that. At most `writes_in_flight` chunks and the one being gathered are in memory, and of all bodies
//! together not much more than two chunks each: further ones need a share of a common budget.
//!
//! MD5 is the slowest step of a large PUT (some 0.5 GB/s per core), so it runs on threads of its own, where bodies that come in at
//! the same time are hashed side by side (`hashing`), and never holds a thread while the client is slow.

use crate::hashing::{HashLanes, Md5};
use crate::store::decoded;
use crate::types::BodyStream;
use crate::{BodyError, ObjectError, ObjectStore};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use ringfort_core::{BlobId, Policy, SlotId};
use ringfort_object_model::{Command, decode_flags};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Bytes worth handing to the hash lane.
const HASH_BYTES_MIN: usize = 256 << 10;
/// Bytes hashed where the body is taken in: some 30 microseconds at most.
const HASH_HERE_BYTES_MAX: usize = 16 << 10;

/// The body's MD5 is not the announced one. Arrives as the source of [`ObjectError::Body`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body's MD5 is not the announced one")]
pub struct DigestMismatch;

/// What a body must be like.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BodyLimits {
    pub(crate) size: Option<u64>,
    pub(crate) size_max: Option<u64>,
    pub(crate) md5: Option<[u8; 16]>,
    /// Bodies up to this many bytes are kept in memory for the commit.
    pub(crate) inline_bytes_max: usize,
}

/// Where the bytes are now.
#[derive(Debug)]
pub(crate) enum StoredBytes {
    None,
    Inline(Bytes),
    Blob(BlobId),
}

/// A body that arrived whole.
#[derive(Debug)]
pub(crate) struct StoredBody {
    pub(crate) bytes: StoredBytes,
    pub(crate) size: u64,
    pub(crate) md5: [u8; 16],
}

/// One body being taken in.
struct Intake<'s> {
    store: &'s ObjectStore,
    policy: Arc<Policy>,
    home: SlotId,
    limits: BodyLimits,
    size: u64,
    /// The chunk being gathered.
    chunk: Vec<Bytes>,
    chunk_len: usize,
    /// The blob, once a chunk of it is on its way, and the number of its next chunk.
    blob: Option<BlobId>,
    next: u32,
    writes: VecDeque<JoinHandle<Result<(), ObjectError>>>,
    md5: Md5Lane,
}

impl ObjectStore {
    /// Takes a body in. If it fails, nothing is left of it (but what a clean-up in the background still removes).
    pub(crate) async fn take_body(
        &self,
        policy: Arc<Policy>,
        home: SlotId,
        limits: BodyLimits,
        body: BodyStream,
    ) -> Result<StoredBody, ObjectError> {
        let mut intake = Intake {
            store: self,
            policy,
            home,
            limits,
            size: 0,
            chunk: Vec::new(),
            chunk_len: 0,
            blob: None,
            next: 0,
            writes: VecDeque::new(),
            md5: Md5Lane::new(self.inner.hashing.clone()),
        };
        let taken = intake.take(body).await;
        if taken.is_err() {
            // No chunk may come into being after the blob was deleted: its writes end first.
            while let Some(write) = intake.writes.pop_front() {
                let _ = write.await;
            }
            if let Some(blob) = intake.blob {
                self.discard(blob, &intake.policy);
            }
        }
        taken
    }

    /// Removes the chunks of a blob that no commit names or will name: condemned in its home first, so that this is certain.
    pub(crate) fn discard(&self, blob: BlobId, policy: &Arc<Policy>) {
        let (store, policy) = (self.clone(), Arc::clone(policy));
        self.inner.tasks.spawn(async move {
            if let Err(error) = store.discard_steps(blob, &policy).await {
                // The collector of orphans finds it after this session has ended.
                tracing::warn!(%blob, %error, "cannot remove the chunks of an aborted write yet");
            }
        });
    }

    async fn discard_steps(&self, blob: BlobId, policy: &Policy) -> Result<(), ObjectError> {
        let flags = self.execute(blob.home(), &Command::Condemn(vec![(blob, policy.id)]), Vec::new()).await?;
        if decoded(decode_flags(&flags).first().copied())? {
            self.inner.chunks.delete(policy, blob).await?;
            self.execute(blob.home(), &Command::Collected(vec![blob]), Vec::new()).await?;
        }
        Ok(())
    }
}

impl Intake<'_> {
    async fn take(&mut self, mut body: BodyStream) -> Result<StoredBody, ObjectError> {
        while let Some(piece) = body.next().await {
            let mut piece = piece.map_err(ObjectError::Body)?;
            self.size += piece.len() as u64;
            self.check_growth()?;
            let chunk_bytes = self.policy.chunk_bytes as usize;
            while self.chunk_len + piece.len() > chunk_bytes {
                let head = piece.split_to(chunk_bytes - self.chunk_len);
                self.push(head).await?;
                self.flush().await?;
            }
            self.push(piece).await?;
        }
        drop(body);
        self.finish().await
    }

    fn check_growth(&self) -> Result<(), ObjectError> {
        if let Some(bytes_max) = self.limits.size_max.filter(|max| self.size > *max) {
            return Err(ObjectError::EntityTooLarge { bytes_max });
        }
        match self.limits.size {
            Some(expected) if self.size > expected => {
                Err(ObjectError::BodyLength { expected, got: self.size })
            }
            _ => Ok(()),
        }
    }

    async fn push(&mut self, piece: Bytes) -> Result<(), ObjectError> {
        if piece.is_empty() {
            return Ok(());
        }
        self.chunk_len += piece.len();
        self.chunk.push(piece.clone());
        self.md5.push(piece, self.policy.chunk_bytes as usize).await
    }

    /// Sends the gathered chunk on its way; waits while too many are under way.
    async fn flush(&mut self) -> Result<(), ObjectError> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        while self.writes.len() >= self.store.inner.config.writes_in_flight.max(1) {
            self.wait_for_one().await?;
        }
        let leave = loop {
            match self.store.try_go_ahead(self.chunk_len) {
                None if !self.writes.is_empty() => self.wait_for_one().await?,
                leave => break leave,
            }
        };
        let blob = *self.blob.get_or_insert_with(|| self.store.new_name(self.home));
        let (number, chunk) = (self.next, std::mem::take(&mut self.chunk));
        self.next = number.checked_add(1).ok_or(ObjectError::EntityTooLarge { bytes_max: self.size })?;
        self.chunk_len = 0;
        let (store, policy) = (self.store.clone(), Arc::clone(&self.policy));
        self.writes.push_back(self.store.inner.tasks.spawn(async move {
            let written = store.inner.chunks.write(&policy, blob, number, chunk).await;
            drop(leave);
            written.map_err(ObjectError::from)
        }));
        Ok(())
    }

    async fn wait_for_one(&mut self) -> Result<(), ObjectError> {
        match self.writes.pop_front() {
            None => Ok(()),
            Some(write) => write.await.unwrap_or_else(|_| Err(ObjectError::internal("a chunk write died"))),
        }
    }

    async fn finish(&mut self) -> Result<StoredBody, ObjectError> {
        if let Some(expected) = self.limits.size.filter(|size| *size != self.size) {
            return Err(ObjectError::BodyLength { expected, got: self.size });
        }
        let bytes = if self.size == 0 {
            StoredBytes::None
        } else if self.blob.is_none() && self.chunk_len <= self.limits.inline_bytes_max {
            StoredBytes::Inline(joined(std::mem::take(&mut self.chunk), self.chunk_len))
        } else {
            self.flush().await?;
            StoredBytes::Blob(self.blob.ok_or_else(|| ObjectError::internal("a body without a blob"))?)
        };
        let md5 = self.md5.finish().await?;
        if self.limits.md5.is_some_and(|expected| expected != md5) {
            return Err(ObjectError::Body(BodyError::new(DigestMismatch)));
        }
        while !self.writes.is_empty() {
            self.wait_for_one().await?;
        }
        Ok(StoredBody { bytes, size: self.size, md5 })
    }
}

fn joined(mut pieces: Vec<Bytes>, len: usize) -> Bytes {
    if pieces.len() == 1 {
        return pieces.pop().unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity(len);
    pieces.iter().for_each(|piece| whole.extend_from_slice(piece));
    whole.freeze()
}

/// Hashes pieces in order, on a worker's thread as soon as there is enough.
struct Md5Lane {
    lanes: HashLanes,
    /// Here unless a piece is being hashed.
    idle: Option<Md5>,
    busy: Option<oneshot::Receiver<Md5>>,
    waiting: Vec<Bytes>,
    waiting_bytes: usize,
}

impl Md5Lane {
    fn new(lanes: HashLanes) -> Self {
        Self { lanes, idle: Some(Md5::new()), busy: None, waiting: Vec::new(), waiting_bytes: 0 }
    }

    /// Takes a piece; waits if more than `bytes_max` are behind.
    async fn push(&mut self, piece: Bytes, bytes_max: usize) -> Result<(), ObjectError> {
        self.waiting_bytes += piece.len();
        self.waiting.push(piece);
        let behind = self.waiting_bytes >= bytes_max.max(HASH_BYTES_MIN);
        if behind || (self.waiting_bytes >= HASH_BYTES_MIN && self.is_free()) {
            self.hand_over().await?;
        }
        Ok(())
    }

    fn is_free(&mut self) -> bool {
        match self.busy.as_mut().map(oneshot::Receiver::try_recv) {
            Some(Ok(hash)) => {
                self.idle = Some(hash);
                self.busy = None;
                true
            }
            Some(Err(_)) => false,
            None => true,
        }
    }

    async fn hand_over(&mut self) -> Result<(), ObjectError> {
        let hash = self.hash().await?;
        let pieces = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        self.busy = Some(self.lanes.hash(hash, pieces));
        Ok(())
    }

    async fn hash(&mut self) -> Result<Md5, ObjectError> {
        if let Some(busy) = self.busy.take() {
            return busy.await.map_err(|_| ObjectError::internal("the hash lane died"));
        }
        self.idle.take().ok_or_else(|| ObjectError::internal("the hash lane is gone"))
    }

    async fn finish(&mut self) -> Result<[u8; 16], ObjectError> {
        if self.waiting_bytes > HASH_HERE_BYTES_MAX {
            self.hand_over().await?;
        }
        let mut hash = self.hash().await?;
        self.waiting.drain(..).for_each(|piece| hash.update(&piece));
        Ok(hash.finish())
    }
}
