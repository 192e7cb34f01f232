//! What this process knows of the cluster right now: ring tables, devices, and which of them serve.
//!
//! Readers take a snapshot with one atomic load and keep it for the whole operation, so a ring change or a dying device in
//! the middle of an operation never shows it half of each world.

use crate::FailureLevel;
use crate::quorum::{Domains, Interner, may_acknowledge};
use arc_swap::ArcSwap;
use ringfort_core::{BlobId, DeviceId, Epoch, Incarnation, Policy};
use ringfort_engine::{Engine, Health};
use ringfort_ring::{PartitionId, RingTable};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Semaphore;

/// Bytes that may be on their way to one device at a time; the answer to "full" is to wait.
pub(crate) const INFLIGHT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes that one permit of the in-flight bound stands for.
const PERMIT_BYTES: usize = 1024;

/// Whether this process can use a device.
#[derive(Clone)]
pub enum Standing {
    /// It is open and serves.
    InService(Engine),
    /// It failed and stays out until an operator replaces it.
    Failed(String),
    /// Its folder is not there, or not ours any more.
    Absent(String),
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InService(_) => f.write_str("InService"),
            Self::Failed(reason) => write!(f, "Failed({reason})"),
            Self::Absent(reason) => write!(f, "Absent({reason})"),
        }
    }
}

/// What the ring wants of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Member {
    /// It holds its share.
    Active,
    /// It is being emptied: still read and deleted from, no longer written to by placement.
    Draining,
    /// It is out for ever; nothing waits for it.
    Removed,
}

/// Where a device stands: the failure domains it is in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DevicePlace {
    /// The widest domain.
    pub region: String,
    /// Within the region.
    pub zone: String,
    /// Within the zone.
    pub node: String,
}

/// One device as this process sees it.
#[derive(Clone, Debug)]
pub struct DeviceHandle {
    /// Its id.
    pub id: DeviceId,
    /// Its formatting.
    pub incarnation: Incarnation,
    /// Its failure domains.
    pub place: DevicePlace,
    /// What the ring wants of it.
    pub member: Member,
    /// Whether it can be used.
    pub standing: Standing,
    inflight: Arc<Semaphore>,
    index_damage: Arc<AtomicBool>,
}

impl DeviceHandle {
    /// A device with nothing on its way to it.
    #[must_use]
    pub fn new(
        id: DeviceId,
        incarnation: Incarnation,
        place: DevicePlace,
        member: Member,
        standing: Standing,
    ) -> Self {
        let inflight = Arc::new(Semaphore::new(INFLIGHT_BYTES_MAX / PERMIT_BYTES));
        Self { id, incarnation, place, member, standing, inflight, index_damage: Arc::default() }
    }

    /// The engine, when the device is in service (a full one is: it serves reads and deletes).
    #[must_use]
    pub fn engine(&self) -> Option<&Engine> {
        match &self.standing {
            Standing::InService(engine) if !matches!(engine.health(), Health::Failed { .. }) => Some(engine),
            _ => None,
        }
    }

    /// The engine, when the device takes new chunks.
    #[must_use]
    pub fn writable(&self) -> Option<&Engine> {
        self.engine().filter(|engine| matches!(engine.health(), Health::InService))
    }

    /// The device's index turned out to be damaged: whoever opened it has to rebuild it.
    pub(crate) fn note_index_damage(&self) {
        self.index_damage.store(true, Ordering::Relaxed);
    }

    /// Whether the index turned out to be damaged since the last call.
    #[must_use]
    pub fn take_index_damage(&self) -> bool {
        self.index_damage.swap(false, Ordering::Relaxed)
    }

    /// Whether the device is one the cluster still counts on (it is not removed).
    #[must_use]
    pub fn counts(&self) -> bool {
        self.member != Member::Removed
    }

    /// Room for `bytes` more on their way to the device; waits for it.
    pub(crate) async fn admit(&self, bytes: usize) -> Option<tokio::sync::OwnedSemaphorePermit> {
        let permits = bytes.div_ceil(PERMIT_BYTES).clamp(1, INFLIGHT_BYTES_MAX / PERMIT_BYTES);
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        Arc::clone(&self.inflight).acquire_many_owned(permits).await.ok()
    }
}

/// The ring of one policy.
#[derive(Clone, Debug)]
pub struct PolicyRing {
    /// The policy.
    pub policy: Policy,
    /// The table in force.
    pub current: Arc<RingTable>,
    /// The table before it, while its data are still moving.
    pub previous: Option<Arc<RingTable>>,
}

/// A consistent picture of the cluster.
#[derive(Debug)]
pub struct Cluster {
    /// The ring epoch in force.
    pub epoch: Epoch,
    policies: BTreeMap<u16, (PolicyRing, FailureLevel)>,
    devices: BTreeMap<DeviceId, (Arc<DeviceHandle>, Domains)>,
}

impl Cluster {
    /// The cluster of these rings and devices.
    #[must_use]
    pub fn new(epoch: Epoch, rings: Vec<PolicyRing>, devices: Vec<Arc<DeviceHandle>>) -> Self {
        let mut interner = Interner::default();
        let devices: BTreeMap<_, _> = devices
            .into_iter()
            .map(|device| {
                let domains = interner.domains(device.id, &device.place);
                (device.id, (device, domains))
            })
            .collect();
        let active: Vec<Domains> = devices
            .values()
            .filter(|(d, _)| d.member == Member::Active)
            .map(|(_, domains)| *domains)
            .collect();
        let policies = rings
            .into_iter()
            .map(|ring| (ring.policy.id, (FailureLevel::of(ring.policy.redundancy, &active), ring)))
            .map(|(id, (level, ring))| (id, (ring, level)))
            .collect();
        Self { epoch, policies, devices }
    }

    /// The ring of a policy.
    #[must_use]
    pub fn ring(&self, policy: u16) -> Option<&PolicyRing> {
        self.policies.get(&policy).map(|(ring, _)| ring)
    }

    /// The rings of all policies, by policy id.
    pub fn rings(&self) -> impl Iterator<Item = &PolicyRing> {
        self.policies.values().map(|(ring, _)| ring)
    }

    /// The failure domain of which any one may be lost without losing an acknowledged chunk of the policy.
    #[must_use]
    pub fn level(&self, policy: u16) -> FailureLevel {
        self.policies.get(&policy).map_or(FailureLevel::None, |(_, level)| *level)
    }

    /// A device.
    #[must_use]
    pub fn device(&self, id: DeviceId) -> Option<&Arc<DeviceHandle>> {
        self.devices.get(&id).map(|(device, _)| device)
    }

    /// All devices, removed ones too, by id.
    pub fn devices(&self) -> impl Iterator<Item = &Arc<DeviceHandle>> {
        self.devices.values().map(|(device, _)| device)
    }

    /// Whether the devices that take chunks now suffice to acknowledge a write under the policy's promise.
    #[must_use]
    pub fn can_acknowledge(&self, policy: &Policy) -> bool {
        let level = self.level(policy.id);
        let mut free: Vec<Domains> = self
            .devices
            .values()
            .filter(|(device, _)| device.member == Member::Active && device.writable().is_some())
            .map(|(_, domains)| *domains)
            .collect();
        // The best spread there can be: each next piece goes to the domain that has the fewest.
        let mut pieces: Vec<Domains> = Vec::new();
        while pieces.len() < policy.redundancy.width() {
            let held = |d: &Domains| pieces.iter().filter(|other| other.at(level) == d.at(level)).count();
            let Some(best) = (0..free.len()).min_by_key(|at| held(&free[*at])) else { break };
            pieces.push(free.swap_remove(best));
        }
        may_acknowledge(policy, level, &pieces)
    }

    pub(crate) fn domains(&self, id: DeviceId) -> Domains {
        self.devices.get(&id).map_or_else(|| Domains::lone(id), |(_, domains)| *domains)
    }
}

/// The cluster as it changes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ClusterView(Arc<ArcSwap<Cluster>>);

impl ClusterView {
    /// A view of `cluster`.
    #[must_use]
    pub fn new(cluster: Cluster) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(cluster)))
    }

    /// The cluster now.
    #[must_use]
    pub fn load(&self) -> Arc<Cluster> {
        self.0.load_full()
    }

    /// Puts a new picture in place and returns the old one; operations under way keep the one they began with.
    pub fn store(&self, cluster: Cluster) -> Arc<Cluster> {
        self.0.swap(Arc::new(cluster))
    }
}

/// Where one chunk belongs.
#[derive(Clone, Debug)]
pub struct Placement {
    /// The devices of the table in force: piece `i` belongs on device `i`.
    pub primaries: Vec<DeviceId>,
    /// The devices of the table before it, if its data are still moving.
    pub previous: Vec<DeviceId>,
    ring: Arc<RingTable>,
    partition: PartitionId,
}

impl Placement {
    /// Where chunk `number` of `blob` belongs under `policy`; `None` when the policy has no ring.
    #[must_use]
    pub fn of(cluster: &Cluster, policy: u16, blob: BlobId, number: u32) -> Option<Self> {
        let ring = cluster.ring(policy)?;
        let partition = ring.current.partition(blob, number);
        let previous = ring
            .previous
            .as_ref()
            .map(|table| table.devices(table.partition(blob, number)).to_vec())
            .unwrap_or_default();
        Some(Self {
            primaries: ring.current.devices(partition).to_vec(),
            previous,
            ring: Arc::clone(&ring.current),
            partition,
        })
    }

    /// Stand-ins in the ring's order, for a primary that is away or full.
    #[must_use]
    pub fn handoffs(&self) -> Vec<DeviceId> {
        self.ring.handoffs(self.partition).collect()
    }

    /// Every device that may hold piece `fragment`, the likeliest first, each once: its primary, its previous
    /// primary, then every other device that is not removed (a handoff may be any of them).
    #[must_use]
    pub fn search_order(&self, cluster: &Cluster, fragment: u8) -> Vec<DeviceId> {
        let mut order = Vec::with_capacity(4);
        let mut push = |id: DeviceId| {
            if !order.contains(&id) {
                order.push(id);
            }
        };
        self.primaries.get(usize::from(fragment)).copied().into_iter().for_each(&mut push);
        self.previous.get(usize::from(fragment)).copied().into_iter().for_each(&mut push);
        self.handoffs().into_iter().for_each(&mut push);
        cluster.devices().filter(|d| d.counts()).map(|d| d.id).for_each(&mut push);
        order
    }
}
