//! The object store itself: what its operations share. The operations are in the modules beside this one, by resource.

use crate::accounts::SharedTotals;
use crate::hashing::HashLanes;
use crate::{ChunkPort, MetaPort, ObjectError, PortError};
use bytes::Bytes;
use quick_cache::sync::Cache;
use ringfort_core::{BlobId, Policy, SlotId};
use ringfort_object_model::{Command, ContainerRecord, Query, Refusal, decode_reply};
use ringfort_runtime::TaskGroup;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes in a unit of what bodies may have under way.
const AHEAD_UNIT: usize = 4096;

/// Limits of the store.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Chunk writes of one body under way at a time; each holds a chunk in memory.
    pub writes_in_flight: usize,
    /// Bytes that all bodies together may have under way beyond one chunk written, or one piece read, of each. A body that gets
    /// none of it goes on one by one.
    pub ahead_bytes_max: usize,
    /// Bytes that a body is read in at a time.
    pub read_bytes: u32,
    /// Reads of one body under way before they are asked for.
    pub reads_ahead: usize,
    /// Containers whose records are kept at hand.
    pub containers_cached: usize,
    /// How long the chunks of a deleted object stay, for readers that began before.
    pub collect_after: Duration,
    /// Pause between the steps of the reconcilers; none runs if it is zero.
    pub reconcile_pause: Duration,
    /// Slots one step of the reconcilers looks at.
    pub reconcile_slots: u16,
    /// Versions in a shard of a container's index above which it gives keys to a shard after it.
    pub shard_versions_max: u64,
    /// Keys moved from one shard to another at a time.
    pub moved_keys: u32,
    /// Bytes of an object's attributes at most.
    pub attributes_bytes_max: usize,
    /// How long a day of lifecycle rules is; shorter for tests.
    pub lifecycle_day: Duration,
    /// How long the reconciler of lifecycle rules takes to go over all slots; it does not run if this is zero.
    pub lifecycle_pass: Duration,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            writes_in_flight: 3,
            ahead_bytes_max: 64 << 20,
            read_bytes: 1 << 20,
            reads_ahead: 2,
            containers_cached: 10_000,
            collect_after: Duration::from_secs(30),
            reconcile_pause: Duration::from_millis(100),
            reconcile_slots: 8,
            shard_versions_max: 4_000_000,
            moved_keys: 256,
            attributes_bytes_max: 64 << 10,
            lifecycle_day: Duration::from_secs(86_400),
            lifecycle_pass: Duration::from_secs(3_600),
        }
    }
}

/// Containers and objects. A cheap clone.
#[derive(Clone)]
pub struct ObjectStore {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) meta: Arc<dyn MetaPort>,
    pub(crate) chunks: Arc<dyn ChunkPort>,
    pub(crate) policies: Vec<Arc<Policy>>,
    pub(crate) tasks: TaskGroup,
    pub(crate) config: StoreConfig,
    /// Records of containers by account and name. One that is out of date is noticed by the shard it leads to, which is gone
    /// or sealed; see `containers.rs`.
    pub(crate) containers: Cache<String, Arc<ContainerRecord>>,
    pub(crate) totals: Cache<String, Arc<SharedTotals>>,
    pub(crate) hashing: HashLanes,
    /// What is left of `ahead_bytes_max`, in units of [`AHEAD_UNIT`].
    ahead: Arc<Semaphore>,
    /// Held while a container's shards are split: one at a time.
    pub(crate) splitting: tokio::sync::Mutex<()>,
}

/// Why a command or query did not do what was asked.
#[derive(Clone, Debug)]
pub(crate) enum CallError {
    /// The slot refused: nothing happened.
    Refused(Refusal),
    /// The cluster did not answer: a command may have taken effect or not.
    Port(PortError),
}

impl From<PortError> for ObjectError {
    fn from(error: PortError) -> Self {
        match error {
            PortError::NoSpace => Self::NoSpace,
            PortError::Unavailable(reason) => Self::Unavailable { reason },
            PortError::Corrupt(what) => Self::Corrupt { what },
            PortError::Internal(what) => Self::Internal { what },
        }
    }
}

impl From<CallError> for ObjectError {
    fn from(error: CallError) -> Self {
        let refusal = match error {
            CallError::Port(error) => return error.into(),
            CallError::Refused(refusal) => refusal,
        };
        match refusal {
            Refusal::NoShard => Self::NoSuchContainer,
            Refusal::Precondition => Self::PreconditionFailed,
            Refusal::NoSuchKey => Self::NoSuchKey,
            Refusal::NoSuchVersion => Self::NoSuchVersion,
            Refusal::NoSuchUpload => Self::NoSuchUpload,
            Refusal::InvalidPart { number } => Self::InvalidPart { number },
            Refusal::InvalidPartOrder => Self::InvalidPartOrder,
            Refusal::PartTooSmall { number, size } => Self::EntityTooSmall { number, size, bytes_min: 0 },
            Refusal::NotEmpty => Self::ContainerNotEmpty,
            Refusal::Sealed { .. }
            | Refusal::Above { .. }
            | Refusal::Below
            | Refusal::Held { .. }
            | Refusal::Changed
            | Refusal::NoBlob => {
                Self::Unavailable { reason: format!("another request got in between: {refusal}") }
            }
            Refusal::Damaged => Self::Corrupt { what: refusal.to_string() },
            Refusal::Malformed => Self::Internal { what: refusal.to_string() },
        }
    }
}

impl ObjectStore {
    /// A store over these ports. `policies` are those known to the cluster; the first is the default. Starts the
    /// reconcilers, so it must be called within a tokio runtime.
    #[must_use]
    pub fn new(
        meta: Arc<dyn MetaPort>,
        chunks: Arc<dyn ChunkPort>,
        policies: Vec<Policy>,
        tasks: TaskGroup,
        config: StoreConfig,
    ) -> Self {
        let containers = Cache::new(config.containers_cached);
        let totals = Cache::new(config.containers_cached);
        let policies = policies.into_iter().map(Arc::new).collect();
        let splitting = tokio::sync::Mutex::new(());
        let ahead = Arc::new(Semaphore::new(config.ahead_bytes_max / AHEAD_UNIT));
        let hashing = HashLanes::new(tasks.clone());
        let inner =
            Inner { meta, chunks, policies, tasks, config, containers, totals, hashing, ahead, splitting };
        let store = Self { inner: Arc::new(inner) };
        store.start_reconcilers();
        store.start_lifecycle();
        store
    }

    /// Runs a mutating operation to its end, whatever becomes of the caller.
    pub(crate) async fn owned<T, E, F>(&self, operation: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<ObjectError> + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let ended = self.inner.tasks.spawn(operation).await;
        ended.unwrap_or_else(|error| Err(ObjectError::internal(format!("an operation died: {error}")).into()))
    }

    pub(crate) async fn execute(
        &self,
        slot: SlotId,
        command: &Command<'_>,
        bodies: Vec<Bytes>,
    ) -> Result<Bytes, CallError> {
        let reply = self.inner.meta.execute(slot, command.encode().into(), bodies).await;
        payload(reply.map_err(CallError::Port)?)
    }

    pub(crate) async fn query(
        &self,
        slot: SlotId,
        query: &Query<'_>,
    ) -> Result<(Bytes, Option<Bytes>), CallError> {
        let answer = self.inner.meta.query(slot, query.encode().into()).await;
        let (reply, inline) = answer.map_err(CallError::Port)?;
        Ok((payload(reply)?, inline))
    }

    pub(crate) fn policy(&self, id: u16) -> Result<Arc<Policy>, ObjectError> {
        let found = self.inner.policies.iter().find(|policy| policy.id == id);
        found.cloned().ok_or(ObjectError::NoSuchPolicy { policy: id })
    }

    /// Leave to have so many more bytes of a body under way, if there is room; given back when it is dropped.
    pub(crate) fn try_go_ahead(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes.div_ceil(AHEAD_UNIT)).ok()?;
        Arc::clone(&self.inner.ahead).try_acquire_many_owned(units).ok()
    }

    /// A name never used before: of a blob at home in `slot`, of a reference held there, of a container's incarnation.
    pub(crate) fn new_name(&self, slot: SlotId) -> BlobId {
        // One counter for the process: every store of a session draws from it.
        static COUNTER: AtomicU64 = AtomicU64::new(1);
        BlobId::new(slot, self.inner.meta.session(), COUNTER.fetch_add(1, Ordering::Relaxed))
    }
}

fn payload(reply: Bytes) -> Result<Bytes, CallError> {
    let len = decode_reply(&reply).map_err(CallError::Refused)?.len();
    Ok(reply.slice(reply.len() - len..))
}

/// The decoded answer; one that does not decode is a bug or damage on the way.
pub(crate) fn decoded<T>(answer: Option<T>) -> Result<T, ObjectError> {
    answer.ok_or_else(|| ObjectError::Corrupt {
        what: "an answer of a metadata group does not decode".to_owned(),
    })
}
