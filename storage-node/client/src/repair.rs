//! Making one chunk whole: every piece on its primary, nothing anywhere else.
//!
//! Idempotent, and safe beside readers, writers and deletes: pieces are only ever added under their own name with the same bytes,
//! stand-ins are let go only when every primary holds a good piece, and an engine that has recorded the delete of the
//! blob hides whatever arrives later.

use crate::device::{self, Fault};
use crate::read::compute_fragment;
use crate::survey::{RepairDepth, Survey};
use crate::view::Cluster;
use crate::write::piece_name;
use crate::{ChunkError, ChunkStore, Placement};
use bytes::Bytes;
use ringfort_codec::EcCodec;
use ringfort_core::{BlobId, ChunkKey, DeviceId, Policy};
use ringfort_engine::IoClass;
use std::sync::Arc;

/// What a repair found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// Pieces that were on no device where they belong.
    pub missing: u32,
    /// Pieces that were damaged.
    pub damaged: u32,
    /// Pieces rebuilt, on primaries or stand-ins.
    pub rebuilt: u32,
    /// Copies dropped that were where they did not belong.
    pub dropped: u32,
    /// Bytes written.
    pub bytes: u64,
    /// Every primary holds a good piece now.
    pub whole: bool,
    /// As many good pieces as the policy wants exist now, on primaries or stand-ins.
    pub redundant: bool,
    /// Too few good pieces are left, among the devices that answer, to read the chunk.
    pub unreadable: bool,
    /// Some device did not answer, so "unreadable" need not be for ever.
    pub blind: bool,
}

struct Repair<'a> {
    store: &'a ChunkStore,
    cluster: Arc<Cluster>,
    placement: Placement,
    policy: &'a Policy,
    codec: Option<EcCodec>,
    blob: BlobId,
    number: u32,
    len: u32,
    piece_len: u32,
    depth: RepairDepth,
    survey: Survey,
    /// Pieces this repair has stored.
    built: Vec<(DeviceId, u8)>,
    report: RepairReport,
}

impl ChunkStore {
    /// How many pieces of a chunk are missing where they belong, or belonged before the ring change under way; by the
    /// indexes alone.
    ///
    /// # Errors
    /// [`ChunkError::UnknownPolicy`], [`ChunkError::Stopping`], or a codec that refuses.
    pub async fn missing_pieces(
        &self,
        policy: &Policy,
        blob: BlobId,
        number: u32,
        len: u32,
    ) -> Result<u32, ChunkError> {
        let cluster = self.view.load();
        let placement = Placement::of(&cluster, policy.id, blob, number)
            .ok_or(ChunkError::UnknownPolicy { policy: policy.id })?;
        let piece_len = self.piece_len(policy, len)?;
        let places = (&placement.primaries[..], &placement.previous[..]);
        self.absent_from_primaries(&cluster, places, policy, (blob, number), piece_len).await
    }

    /// Length of each piece of a chunk of `len` bytes.
    fn piece_len(&self, policy: &Policy, len: u32) -> Result<u32, ChunkError> {
        match self.codec(policy.redundancy)? {
            None => Ok(len),
            Some(codec) => {
                codec.fragment_len(len).map_err(|error| ChunkError::Codec { reason: error.to_string() })
            }
        }
    }

    /// Rebuilds the missing and damaged pieces of a chunk on their primaries (on stand-ins where a primary is away or full), and
    /// drops copies elsewhere once all primaries are good.
    ///
    /// # Errors
    /// [`ChunkError::UnknownPolicy`], [`ChunkError::Stopping`], or a codec that refuses. That the chunk cannot be made whole
    /// now is no error but part of the report.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe in effect: a dropped call may have rebuilt some pieces.
    pub async fn repair_chunk(
        &self,
        policy: &Policy,
        blob: BlobId,
        number: u32,
        len: u32,
        depth: RepairDepth,
    ) -> Result<RepairReport, ChunkError> {
        let cluster = self.view.load();
        let placement = Placement::of(&cluster, policy.id, blob, number)
            .ok_or(ChunkError::UnknownPolicy { policy: policy.id })?;
        let codec = self.codec(policy.redundancy)?;
        let piece_len = self.piece_len(policy, len)?;
        if depth == RepairDepth::Presence
            && self
                .absent_from_primaries(
                    &cluster,
                    (&placement.primaries, &[]),
                    policy,
                    (blob, number),
                    piece_len,
                )
                .await?
                == 0
        {
            return Ok(RepairReport { whole: true, redundant: true, ..RepairReport::default() });
        }
        let survey = self.survey(&cluster, blob, number, piece_len, depth == RepairDepth::Verify).await?;
        let report = RepairReport {
            damaged: u32::try_from(survey.damaged().count()).unwrap_or(u32::MAX),
            blind: survey.blind,
            ..RepairReport::default()
        };
        let repair = Repair {
            store: self,
            cluster,
            placement,
            policy,
            codec,
            blob,
            number,
            len,
            piece_len,
            depth,
            survey,
            built: Vec::new(),
            report,
        };
        repair.run().await
    }
}

impl Repair<'_> {
    async fn run(mut self) -> Result<RepairReport, ChunkError> {
        let mut whole_copy = None;
        let mut uncovered = 0;
        for (index, target) in self.targets() {
            self.report.missing += 1;
            let Some(target) = target else {
                uncovered += 1;
                continue;
            };
            let name = piece_name(self.policy, index);
            let bytes = match whole_copy.clone() {
                Some(bytes) if self.codec.is_none() => Some(bytes),
                _ => self.piece_bytes(name).await?,
            };
            let Some(bytes) = bytes else {
                self.report.unreadable = true;
                break;
            };
            whole_copy = Some(bytes.clone());
            if !self.store_piece(target, name, bytes).await {
                uncovered += 1;
            }
        }
        // A damaged piece is counted as damaged, not as missing too.
        self.report.missing = self.report.missing.saturating_sub(self.report.damaged);
        self.report.redundant = uncovered == 0 && !self.report.unreadable;
        self.report.whole = self.report.redundant && self.primaries_good();
        if self.report.whole && self.strays().next().is_some() && self.homes_verified().await {
            self.drop_strays().await;
        }
        Ok(self.report)
    }

    /// Whether what is on the primaries may take the place of what is elsewhere: an index says what should be there, only
    /// reading says that it is. What this repair has built was read and is not read again.
    async fn homes_verified(&mut self) -> bool {
        if self.depth == RepairDepth::Verify {
            return true;
        }
        let homes: Vec<(u8, DeviceId)> = (0u8..).zip(self.placement.primaries.clone()).collect();
        for (index, id) in homes {
            let name = piece_name(self.policy, index);
            if self.built.contains(&(id, name)) {
                continue;
            }
            let Some(handle) = self.cluster.device(id) else { return false };
            let key = ChunkKey { blob: self.blob, number: self.number, fragment: name };
            let Err(fault) = device::verify(handle, key).await else { continue };
            // The copy elsewhere may be the good one: it stays, and a damaged piece gets a turn of its own.
            if fault == Fault::Damaged {
                self.store.want_repair(self.policy.id, self.blob, self.number, self.len, true);
            }
            (self.report.whole, self.report.redundant) = (false, false);
            return false;
        }
        true
    }

    /// Copies that are where they do not belong.
    fn strays(&self) -> impl Iterator<Item = &crate::survey::Found> {
        self.survey.found.iter().filter(|piece| !self.is_home(piece.device, piece.fragment))
    }

    fn primaries_good(&self) -> bool {
        (0u8..)
            .zip(&self.placement.primaries)
            .all(|(index, id)| self.survey.good_at(*id, piece_name(self.policy, index)))
    }

    /// The pieces to build, and where: on the primary if it takes chunks, else on a stand-in, unless one has it already.
    fn targets(&self) -> Vec<(u8, Option<DeviceId>)> {
        let mut used: Vec<DeviceId> = self.survey.found.iter().filter(|p| p.good).map(|p| p.device).collect();
        let mut covering: Vec<DeviceId> = Vec::new();
        let mut targets = Vec::new();
        for (index, primary) in (0u8..).zip(&self.placement.primaries) {
            let name = piece_name(self.policy, index);
            if self.survey.good_at(*primary, name) {
                continue;
            }
            if self.takes_chunks(*primary) {
                targets.push((index, Some(*primary)));
                continue;
            }
            let stand_in = self.survey.found.iter().find(|piece| {
                piece.good
                    && piece.fragment == name
                    && !self.is_home(piece.device, name)
                    && !covering.contains(&piece.device)
            });
            if let Some(stand_in) = stand_in {
                covering.push(stand_in.device);
                continue;
            }
            let target =
                self.placement.handoffs().into_iter().find(|id| !used.contains(id) && self.takes_chunks(*id));
            used.extend(target);
            targets.push((index, target));
        }
        targets
    }

    fn takes_chunks(&self, id: DeviceId) -> bool {
        self.cluster.device(id).is_some_and(|device| device.writable().is_some())
    }

    /// Whether the device is the primary of a piece of this name.
    fn is_home(&self, id: DeviceId, name: u8) -> bool {
        (0u8..)
            .zip(&self.placement.primaries)
            .any(|(index, home)| *home == id && piece_name(self.policy, index) == name)
    }

    /// The bytes of a piece: from a good copy of it, else computed from others; `None` when too few are left.
    async fn piece_bytes(&mut self, name: u8) -> Result<Option<Bytes>, ChunkError> {
        if let Some(bytes) = self.read_good(name).await {
            return Ok(Some(bytes));
        }
        let Some(codec) = self.codec.clone() else { return Ok(None) };
        let mut available: Vec<(u8, Bytes)> = Vec::new();
        for other in (0u8..).take(codec.count()).filter(|other| *other != name) {
            if available.len() == usize::from(codec.k()) {
                break;
            }
            available.extend(self.read_good(other).await.map(|bytes| (other, bytes)));
        }
        if available.len() < usize::from(codec.k()) {
            return Ok(None);
        }
        let range = 0..self.piece_len;
        compute_fragment(self.store, &codec, self.len, name, range, available).await.map(Some)
    }

    async fn read_good(&mut self, name: u8) -> Option<Bytes> {
        let sources: Vec<DeviceId> =
            self.survey.found.iter().filter(|p| p.good && p.fragment == name).map(|p| p.device).collect();
        let key = ChunkKey { blob: self.blob, number: self.number, fragment: name };
        for id in sources {
            let Some(source) = self.cluster.device(id) else { continue };
            match device::read(source, key, 0..self.piece_len).await {
                Ok(bytes) => return Some(bytes),
                Err(Fault::Damaged) => {
                    // Found while reading: this piece needs a turn of its own.
                    self.survey.mark_damaged(id, name);
                    self.report.damaged += 1;
                    self.store.want_repair(self.policy.id, self.blob, self.number, self.len, true);
                }
                Err(Fault::Missing | Fault::Full | Fault::Conflict | Fault::Down) => self.report.blind = true,
            }
        }
        None
    }

    async fn store_piece(&mut self, target: DeviceId, name: u8, bytes: Bytes) -> bool {
        let Some(handle) = self.cluster.device(target) else { return false };
        let key = ChunkKey { blob: self.blob, number: self.number, fragment: name };
        let len = bytes.len() as u64;
        let stored = if self.survey.at(target, name).is_some() {
            device::replace(handle, key, vec![bytes]).await
        } else {
            device::put(handle, key, vec![bytes], IoClass::Background).await
        };
        if stored.is_err() {
            return false;
        }
        metrics::counter!("ringfort_pieces_rebuilt_total").increment(1);
        self.report.rebuilt += 1;
        self.report.bytes += len;
        self.built.push((target, name));
        self.survey.found.retain(|piece| piece.device != target || piece.fragment != name);
        self.survey.found.push(crate::survey::Found { device: target, fragment: name, good: true });
        true
    }

    async fn drop_strays(&mut self) {
        let strays: Vec<_> = self.strays().copied().collect();
        for piece in strays {
            let Some(handle) = self.cluster.device(piece.device) else { continue };
            let key = ChunkKey { blob: self.blob, number: self.number, fragment: piece.fragment };
            if device::drop_piece(handle, key).await.is_ok() {
                self.report.dropped += 1;
            }
        }
    }
}
