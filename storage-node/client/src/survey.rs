//! Which pieces of a chunk are where, and which of them are good.

use crate::device::{self, Fault};
use crate::view::Cluster;
use crate::write::piece_name;
use crate::{ChunkError, ChunkStore};
use futures_util::future::join_all;
use ringfort_core::{BlobId, ChunkKey, DeviceId, Policy};
use std::sync::Arc;

/// How closely a chunk is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RepairDepth {
    /// Only whether each primary has its piece; the rest is looked at when one has not.
    Presence,
    /// Every device, for copies that are where they no longer belong.
    Strays,
    /// Every device, and every piece is read in full and verified.
    Verify,
}

/// One piece found on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) device: DeviceId,
    pub(crate) fragment: u8,
    /// Length and, as far as it was looked at, content are as they should be.
    pub(crate) good: bool,
}

/// All pieces of one chunk.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) found: Vec<Found>,
    /// Some device that counts did not answer.
    pub(crate) blind: bool,
}

impl Survey {
    pub(crate) fn at(&self, device: DeviceId, fragment: u8) -> Option<&Found> {
        self.found.iter().find(|piece| piece.device == device && piece.fragment == fragment)
    }

    pub(crate) fn good_at(&self, device: DeviceId, fragment: u8) -> bool {
        self.at(device, fragment).is_some_and(|piece| piece.good)
    }

    pub(crate) fn damaged(&self) -> impl Iterator<Item = &Found> {
        self.found.iter().filter(|piece| !piece.good)
    }

    pub(crate) fn mark_damaged(&mut self, device: DeviceId, fragment: u8) {
        for piece in &mut self.found {
            if piece.device == device && piece.fragment == fragment {
                piece.good = false;
            }
        }
    }
}

impl ChunkStore {
    /// How many pieces of the chunk are neither on their primary nor on their device in `previous`; by the indexes alone.
    pub(crate) async fn absent_from_primaries(
        &self,
        cluster: &Arc<Cluster>,
        (primaries, previous): (&[DeviceId], &[DeviceId]),
        policy: &Policy,
        name: (BlobId, u32),
        piece_len: u32,
    ) -> Result<u32, ChunkError> {
        let (cluster, policy) = (Arc::clone(cluster), policy.clone());
        let (primaries, previous) = (primaries.to_vec(), previous.to_vec());
        self.compute(move || {
            let holds = |id: DeviceId, index: u8| {
                let key = ChunkKey { blob: name.0, number: name.1, fragment: piece_name(&policy, index) };
                let engine = cluster.device(id).and_then(|device| device.engine());
                let info = engine.and_then(|engine| engine.chunk_info(key).ok().flatten());
                info.is_some_and(|info| info.len == piece_len)
            };
            let whole_copies = piece_name(&policy, 1) == 0;
            let absent = (0u8..).zip(&primaries).filter(|&(index, id)| {
                // One device with one whole copy stands for one piece only.
                let before = previous.get(usize::from(index));
                let before = before.filter(|id| !(whole_copies && primaries.contains(id)));
                !holds(*id, index) && !before.is_some_and(|id| holds(*id, index))
            });
            u32::try_from(absent.count()).unwrap_or(u32::MAX)
        })
        .await
    }

    /// Looks at every device.
    pub(crate) async fn survey(
        &self,
        cluster: &Arc<Cluster>,
        blob: BlobId,
        number: u32,
        piece_len: u32,
        verify: bool,
    ) -> Result<Survey, ChunkError> {
        let shared = Arc::clone(cluster);
        let mut survey = self.compute(move || survey_indexes(&shared, blob, number, piece_len)).await?;
        if verify {
            self.verify_pieces(cluster, blob, number, &mut survey).await;
        }
        Ok(survey)
    }

    async fn verify_pieces(&self, cluster: &Arc<Cluster>, blob: BlobId, number: u32, survey: &mut Survey) {
        let good = survey.found.iter().filter(|piece| piece.good).copied();
        let verified = join_all(good.map(|piece| async move {
            let key = ChunkKey { blob, number, fragment: piece.fragment };
            let device = cluster.device(piece.device)?;
            device::verify(device, key).await.err().map(|fault| (piece, fault))
        }))
        .await;
        for (piece, fault) in verified.into_iter().flatten() {
            match fault {
                Fault::Damaged => survey.mark_damaged(piece.device, piece.fragment),
                Fault::Missing => survey
                    .found
                    .retain(|found| found.device != piece.device || found.fragment != piece.fragment),
                Fault::Down | Fault::Full | Fault::Conflict => survey.blind = true,
            }
        }
    }
}

fn survey_indexes(cluster: &Cluster, blob: BlobId, number: u32, piece_len: u32) -> Survey {
    let mut survey = Survey::default();
    for handle in cluster.devices().filter(|device| device.counts()) {
        let pieces = handle.engine().map(|engine| device::pieces(engine, blob, number));
        let Some(Ok(pieces)) = pieces else {
            survey.blind = true;
            continue;
        };
        survey.found.extend(pieces.into_iter().map(|(key, info)| Found {
            device: handle.id,
            fragment: key.fragment,
            good: info.len == piece_len,
        }));
    }
    survey
}
