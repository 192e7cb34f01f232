//! Writing a chunk: every piece at once, an answer as soon as the promise holds, the rest in the background.

use crate::device::{self, Fault};
use crate::quorum::{Domains, may_acknowledge};
use crate::view::Cluster;
use crate::{ChunkError, ChunkStore, Placement};
use bytes::Bytes;
use parking_lot::Mutex;
use ringfort_core::{BlobId, ChunkKey, DeviceId, Policy};
use ringfort_engine::IoClass;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a write waits for its quorum before it is given up with an unknown outcome.
const QUORUM_TIMEOUT: Duration = Duration::from_secs(30);

/// What the writers of one chunk's pieces share.
struct WriteShared {
    cluster: Arc<Cluster>,
    placement: Placement,
    /// Stand-ins not used yet for this chunk, in the ring's order; filled at the first need.
    handoffs: Mutex<Option<std::vec::IntoIter<DeviceId>>>,
}

impl WriteShared {
    fn next_handoff(&self) -> Option<DeviceId> {
        self.handoffs.lock().get_or_insert_with(|| self.placement.handoffs().into_iter()).next()
    }
}

/// How the writing of one piece ended.
struct PieceReport {
    fragment: u8,
    stored_on: Option<DeviceId>,
    full: bool,
    conflict: bool,
}

impl ChunkStore {
    /// Stores chunk `number` of `blob`. Returns once enough synced pieces exist to read it after the losses the policy promises
    /// to survive; the other pieces are completed by tasks the store owns, even when the caller goes away.
    ///
    /// # Errors
    /// [`ChunkError::NoSpace`] or [`ChunkError::TooFew`] when no such set of devices takes the pieces.
    ///
    /// # Cancel safety
    ///
    /// A dropped call may have stored any number of pieces; without a commit that names the blob they are orphans.
    pub async fn write_chunk(
        &self,
        policy: &Policy,
        blob: BlobId,
        number: u32,
        body: Vec<Bytes>,
    ) -> Result<(), ChunkError> {
        let cluster = self.view.load();
        let placement = Placement::of(&cluster, policy.id, blob, number)
            .ok_or(ChunkError::UnknownPolicy { policy: policy.id })?;
        let len = body.iter().map(|part| part.len() as u64).sum::<u64>();
        let len = u32::try_from(len).ok().filter(|len| *len > 0);
        let len = len.ok_or(ChunkError::BadRange { start: 0, end: 0, len: 0 })?;
        let pieces = self.pieces_of(policy, body).await?;
        let shared = Arc::new(WriteShared { cluster, placement, handoffs: Mutex::new(None) });
        let (report, reports) = mpsc::channel(pieces.len());
        let width = pieces.len();
        for (fragment, body) in (0u8..).zip(pieces) {
            let key = ChunkKey { blob, number, fragment: piece_name(policy, fragment) };
            let task = store_piece(Arc::clone(&shared), fragment, key, body, report.clone());
            self.tasks.spawn(task);
        }
        drop(report);
        let write = PendingWrite { store: self, policy, blob, number, len, width, shared: &shared };
        write.await_quorum(reports).await
    }

    /// The pieces a chunk is stored as, in the order of the devices they belong on.
    async fn pieces_of(&self, policy: &Policy, body: Vec<Bytes>) -> Result<Vec<Vec<Bytes>>, ChunkError> {
        match self.codec(policy.redundancy)? {
            None => Ok(vec![body; policy.redundancy.width()]),
            Some(codec) => self
                .compute(move || codec.encode_slices(&body))
                .await?
                .map_err(|error| ChunkError::Codec { reason: error.to_string() }),
        }
    }
}

/// The fragment index under which piece `index` is named: whole copies all have the same name.
pub(crate) fn piece_name(policy: &Policy, index: u8) -> u8 {
    match policy.redundancy {
        ringfort_core::Redundancy::Replicated(_) => 0,
        ringfort_core::Redundancy::Erasure { .. } => index,
    }
}

/// A write whose pieces are on their way.
struct PendingWrite<'a> {
    store: &'a ChunkStore,
    policy: &'a Policy,
    blob: BlobId,
    number: u32,
    len: u32,
    width: usize,
    shared: &'a WriteShared,
}

impl PendingWrite<'_> {
    async fn await_quorum(&self, mut reports: mpsc::Receiver<PieceReport>) -> Result<(), ChunkError> {
        let level = self.shared.cluster.level(self.policy.id);
        let mut stored: Vec<Domains> = Vec::with_capacity(self.width);
        let (mut full, mut less_than_whole) = (false, false);
        let deadline = tokio::time::Instant::now() + QUORUM_TIMEOUT;
        loop {
            let report = match tokio::time::timeout_at(deadline, reports.recv()).await {
                Ok(Some(report)) => report,
                Ok(None) => return Err(self.failure(stored.len(), full)),
                Err(_) => return Err(self.timed_out()),
            };
            if report.conflict {
                return Err(ChunkError::Conflict { blob: self.blob, number: self.number });
            }
            full |= report.full;
            less_than_whole |= !self.is_primary(&report);
            stored.extend(report.stored_on.map(|device| self.shared.cluster.domains(device)));
            if may_acknowledge(self.policy, level, &stored) {
                self.watch_stragglers(reports, less_than_whole);
                return Ok(());
            }
        }
    }

    fn is_primary(&self, report: &PieceReport) -> bool {
        report.stored_on.is_some()
            && report.stored_on == self.shared.placement.primaries.get(usize::from(report.fragment)).copied()
    }

    /// Queues the chunk for repair when a piece is, or ends up, elsewhere than on its primary.
    fn watch_stragglers(&self, mut reports: mpsc::Receiver<PieceReport>, less_than_whole: bool) {
        let (policy, blob, number, len) = (self.policy.id, self.blob, self.number, self.len);
        if less_than_whole {
            self.store.want_repair(policy, blob, number, len, false);
            return;
        }
        let primaries = self.shared.placement.primaries.clone();
        let store = self.store.clone();
        self.store.tasks.spawn(async move {
            while let Some(report) = reports.recv().await {
                if report.stored_on != primaries.get(usize::from(report.fragment)).copied() {
                    store.want_repair(policy, blob, number, len, false);
                }
            }
        });
    }

    fn failure(&self, stored: usize, full: bool) -> ChunkError {
        let (blob, number, needed) = (self.blob, self.number, self.policy.write_quorum());
        metrics::counter!("ringfort_chunk_writes_failed_total").increment(1);
        if full {
            ChunkError::NoSpace { blob, number, stored, needed }
        } else {
            ChunkError::TooFew { blob, number, stored, needed }
        }
    }

    fn timed_out(&self) -> ChunkError {
        let after_ms = u64::try_from(QUORUM_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
        ChunkError::TimedOut { blob: self.blob, number: self.number, after_ms }
    }
}

/// Stores one piece on its primary or, where that does not take it, on one stand-in after the other.
async fn store_piece(
    shared: Arc<WriteShared>,
    fragment: u8,
    key: ChunkKey,
    body: Vec<Bytes>,
    report: mpsc::Sender<PieceReport>,
) {
    let mut outcome = PieceReport { fragment, stored_on: None, full: false, conflict: false };
    let mut next = shared.placement.primaries.get(usize::from(fragment)).copied();
    while let Some(id) = next {
        let result = match shared.cluster.device(id) {
            Some(device) => device::put(device, key, body.clone(), IoClass::Client).await,
            None => Err(Fault::Down),
        };
        match result {
            Ok(()) => {
                outcome.stored_on = Some(id);
                break;
            }
            Err(Fault::Conflict) => {
                outcome.conflict = true;
                break;
            }
            Err(Fault::Full) => outcome.full = true,
            Err(Fault::Missing | Fault::Damaged | Fault::Down) => {}
        }
        next = shared.next_handoff();
    }
    if outcome.stored_on.is_some_and(|id| Some(&id) != shared.placement.primaries.get(usize::from(fragment)))
    {
        metrics::counter!("ringfort_handoff_writes_total").increment(1);
    }
    // The receiver may be gone: the caller went away, and the piece is stored all the same.
    let _ = report.send(outcome).await;
}
