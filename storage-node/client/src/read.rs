//! Reading a range of a chunk: from the likeliest device first, from wherever it is in the end.
//!
//! A chunk that is asked for is referred to by a commit, so "not there" is never an answer: pieces are looked for on
//! their primaries, on those of the previous epoch, on every stand-in, and, while a repair is moving them under our
//! feet, once more from the start. Whatever is found missing or damaged on the way is queued for repair.

use crate::device::{self, Fault};
use crate::view::Cluster;
use crate::{ChunkError, ChunkStore, Placement};
use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use parking_lot::Mutex;
use ringfort_codec::{EcCodec, FragmentRange};
use ringfort_core::{BlobId, ChunkKey, DeviceId, Policy};
use std::ops::Range;
use std::sync::Arc;

/// What was met on the way to the bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Met {
    missing: bool,
    damaged: bool,
    down: bool,
}

impl Met {
    fn note(&mut self, fault: Fault, at_home: bool) {
        match fault {
            Fault::Damaged => self.damaged = true,
            Fault::Missing => self.missing |= at_home,
            Fault::Down | Fault::Full | Fault::Conflict => self.down = true,
        }
    }
}

/// One read.
struct Reading {
    cluster: Arc<Cluster>,
    placement: Placement,
    blob: BlobId,
    number: u32,
    chunk_len: u32,
    met: Mutex<Met>,
}

impl ChunkStore {
    /// Bytes `range` of chunk `number` of `blob`, which is `chunk_len` bytes long.
    ///
    /// # Errors
    /// [`ChunkError::Missing`] when no device that answers has it, [`ChunkError::Corrupt`] when each copy is damaged.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn read_chunk(
        &self,
        policy: &Policy,
        blob: BlobId,
        number: u32,
        chunk_len: u32,
        range: Range<u32>,
    ) -> Result<Bytes, ChunkError> {
        if range.start > range.end || range.end > chunk_len {
            return Err(ChunkError::BadRange { start: range.start, end: range.end, len: chunk_len });
        }
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let mut outcome = Err(ChunkError::Missing { blob, number });
        // The second round is for a piece that moved between the places we looked at.
        for _ in 0..2 {
            let cluster = self.view.load();
            let placement = Placement::of(&cluster, policy.id, blob, number)
                .ok_or(ChunkError::UnknownPolicy { policy: policy.id })?;
            let met = Mutex::default();
            let reading = Reading { cluster, placement, blob, number, chunk_len, met };
            outcome = match self.codec(policy.redundancy)? {
                None => reading.replica(range.clone()).await,
                Some(codec) => reading.fragments(self, &codec, range.clone()).await,
            };
            let met = *reading.met.lock();
            if met.damaged || met.missing {
                self.want_repair(policy.id, blob, number, chunk_len, met.damaged);
            }
            if outcome.is_ok() {
                return outcome;
            }
        }
        metrics::counter!("ringfort_chunk_reads_failed_total").increment(1);
        outcome
    }
}

impl Reading {
    fn key(&self, fragment: u8) -> ChunkKey {
        ChunkKey { blob: self.blob, number: self.number, fragment }
    }

    async fn at(&self, id: DeviceId, fragment: u8, range: Range<u32>, at_home: bool) -> Option<Bytes> {
        let device = self.cluster.device(id)?;
        match device::read(device, self.key(fragment), range).await {
            Ok(bytes) => Some(bytes),
            Err(fault) => {
                self.met.lock().note(fault, at_home);
                None
            }
        }
    }

    /// The error when nothing could serve: corrupt only if every device answered and some had damaged bytes.
    fn failure(&self) -> ChunkError {
        let (blob, number, met) = (self.blob, self.number, self.met.lock());
        if met.damaged && !met.down {
            ChunkError::Corrupt { blob, number }
        } else {
            ChunkError::Missing { blob, number }
        }
    }

    /// From any whole copy; the first choice is spread over the primaries by the chunk's name.
    async fn replica(&self, range: Range<u32>) -> Result<Bytes, ChunkError> {
        let primaries = &self.placement.primaries;
        let spread = usize::try_from(self.blob.counter() % 64).unwrap_or(0) + self.number as usize;
        for turn in 0..primaries.len() {
            let id = primaries[(spread + turn) % primaries.len()];
            if let Some(bytes) = self.at(id, 0, range.clone(), true).await {
                return Ok(bytes);
            }
        }
        for id in self.placement.search_order(&self.cluster, 0) {
            if primaries.contains(&id) {
                continue;
            }
            if let Some(bytes) = self.at(id, 0, range.clone(), false).await {
                metrics::counter!("ringfort_chunk_reads_elsewhere_total").increment(1);
                return Ok(bytes);
            }
        }
        Err(self.failure())
    }

    /// A range of one fragment, from wherever it is.
    async fn fragment(&self, fragment: u8, range: Range<u32>) -> Option<Bytes> {
        let home = self.placement.primaries.get(usize::from(fragment)).copied();
        if let Some(id) = home
            && let Some(bytes) = self.at(id, fragment, range.clone(), true).await
        {
            return Some(bytes);
        }
        for id in self.placement.search_order(&self.cluster, fragment) {
            if Some(id) == home {
                continue;
            }
            if let Some(bytes) = self.at(id, fragment, range.clone(), false).await {
                return Some(bytes);
            }
        }
        None
    }

    /// From the fragments that hold the range; what cannot be read is computed from the same bytes of others.
    async fn fragments(
        &self,
        store: &ChunkStore,
        codec: &EcCodec,
        range: Range<u32>,
    ) -> Result<Bytes, ChunkError> {
        let codec_error = |error: ringfort_codec::CodecError| ChunkError::Codec { reason: error.to_string() };
        let parts = codec.locate(self.chunk_len, range).map_err(codec_error)?;
        let read = join_all(parts.iter().map(|part| self.fragment(part.index, part.range.clone()))).await;
        let mut pieces = Vec::with_capacity(parts.len());
        for (part, bytes) in parts.iter().zip(&read) {
            pieces.push(match bytes {
                Some(bytes) => bytes.clone(),
                None => self.reconstruct(store, codec, part, &parts, &read).await?,
            });
        }
        Ok(join(pieces))
    }

    /// The bytes of `lost` from the same range of any `k` other fragments, those at hand first.
    async fn reconstruct(
        &self,
        store: &ChunkStore,
        codec: &EcCodec,
        lost: &FragmentRange,
        parts: &[FragmentRange],
        read: &[Option<Bytes>],
    ) -> Result<Bytes, ChunkError> {
        metrics::counter!("ringfort_chunk_reads_degraded_total").increment(1);
        let k = usize::from(codec.k());
        let mut available: Vec<(u8, Bytes)> = parts
            .iter()
            .zip(read)
            .filter_map(|(part, bytes)| Some((part, bytes.as_ref()?)))
            .filter(|(part, _)| part.range.start <= lost.range.start && lost.range.end <= part.range.end)
            .map(|(part, bytes)| {
                let from = (lost.range.start - part.range.start) as usize;
                (part.index, bytes.slice(from..from + lost.range.len()))
            })
            .collect();
        let known: Vec<u8> =
            parts.iter().zip(read).filter(|(_, b)| b.is_none()).map(|(p, _)| p.index).collect();
        let mut candidates = (0u8..)
            .take(codec.count())
            .filter(|index| !known.contains(index) && !available.iter().any(|(have, _)| have == index))
            .collect::<Vec<u8>>()
            .into_iter();
        while available.len() < k {
            let batch: Vec<u8> = candidates.by_ref().take(k - available.len()).collect();
            if batch.is_empty() {
                return Err(self.failure());
            }
            let read = join_all(batch.iter().map(|index| self.fragment(*index, lost.range.clone()))).await;
            available.extend(batch.into_iter().zip(read).filter_map(|(index, bytes)| Some((index, bytes?))));
        }
        compute_fragment(store, codec, self.chunk_len, lost.index, lost.range.clone(), available).await
    }
}

/// Computes a range of fragment `wanted` from `k` others, off the async threads.
pub(crate) async fn compute_fragment(
    store: &ChunkStore,
    codec: &EcCodec,
    chunk_len: u32,
    wanted: u8,
    range: Range<u32>,
    available: Vec<(u8, Bytes)>,
) -> Result<Bytes, ChunkError> {
    let codec = codec.clone();
    let computed = store
        .compute(move || {
            let slices: Vec<(u8, &[u8])> =
                available.iter().map(|(index, bytes)| (*index, &bytes[..])).collect();
            codec.reconstruct_range(chunk_len, range, &slices, &[wanted])
        })
        .await?
        .map_err(|error| ChunkError::Codec { reason: error.to_string() })?;
    let reason = "the codec computed no fragment".to_owned();
    computed.into_iter().next().map(Bytes::from).ok_or(ChunkError::Codec { reason })
}

fn join(mut pieces: Vec<Bytes>) -> Bytes {
    if pieces.len() == 1 {
        return pieces.remove(0);
    }
    let mut whole = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    pieces.iter().for_each(|piece| whole.extend_from_slice(piece));
    whole.freeze()
}
