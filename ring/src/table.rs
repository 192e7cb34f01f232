//! The assignment table: which devices hold each partition, for one policy in one epoch.

use crate::device::DeviceSpec;
use crate::{POWER_MAX, POWER_MIN, RingError, WIDTH_MAX, device};
use ringfort_core::{BlobId, DeviceId, Epoch};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// One of the `2^power` slices of the hash space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartitionId(pub u32);

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where everything is: partition to devices, one policy, one epoch. Cheap to clone.
///
/// The position of a device in a partition's list is the index of the fragment it holds, so a device that stays in a
/// partition keeps its position through every ring change.
#[derive(Clone, PartialEq, Eq)]
pub struct RingTable {
    pub(crate) epoch: Epoch,
    pub(crate) seed: [u8; 32],
    pub(crate) power: u8,
    pub(crate) width: u8,
    /// Sorted by id.
    pub(crate) devices: Arc<[DeviceSpec]>,
    /// `width` devices per partition, partition by partition.
    pub(crate) assignment: Arc<[DeviceId]>,
}

impl RingTable {
    /// A table from its parts, checked.
    pub(crate) fn from_parts(
        epoch: Epoch,
        seed: [u8; 32],
        power: u8,
        mut devices: Vec<DeviceSpec>,
        width: usize,
        assignment: Vec<DeviceId>,
    ) -> Result<Self, RingError> {
        check_power(power)?;
        let narrow = check_width(width)?;
        device::check_all(&devices)?;
        devices.sort_by_key(|device| device.id);
        if assignment.len() != width << power {
            return Err(RingError::Malformed { what: "the assignment does not cover the partitions" });
        }
        for row in assignment.chunks_exact(width) {
            if row.iter().enumerate().any(|(at, id)| row[..at].contains(id)) {
                return Err(RingError::Malformed { what: "a device holds two pieces of a partition" });
            }
        }
        Ok(Self { epoch, seed, power, width: narrow, devices: devices.into(), assignment: assignment.into() })
    }

    /// The partition of chunk `number` of `blob`: the top bits of `blake3(seed, blob id || number)`, big-endian.
    ///
    /// This is a stored format: it never changes for data already written.
    #[must_use]
    pub fn partition(&self, blob: BlobId, number: u32) -> PartitionId {
        let mut name = [0; 20];
        name[..16].copy_from_slice(blob.as_bytes());
        name[16..].copy_from_slice(&number.to_be_bytes());
        let hash = blake3::keyed_hash(&self.seed, &name);
        let [a, b, c, d, ..] = *hash.as_bytes();
        PartitionId(u32::from_be_bytes([a, b, c, d]) >> (32 - u32::from(self.power)))
    }

    /// The devices that hold `partition`, by fragment index.
    ///
    /// # Panics
    /// If `partition` is not one of this table's ([`Self::partitions`]).
    #[must_use]
    pub fn devices(&self, partition: PartitionId) -> &[DeviceId] {
        let width = usize::from(self.width);
        let from = partition.0 as usize * width;
        &self.assignment[from..from + width]
    }

    /// The devices of chunk `number` of `blob`.
    #[must_use]
    pub fn locate(&self, blob: BlobId, number: u32) -> &[DeviceId] {
        self.devices(self.partition(blob, number))
    }

    /// The epoch this table serves in.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The same assignment under another epoch.
    #[must_use]
    pub fn with_epoch(mut self, epoch: Epoch) -> Self {
        self.epoch = epoch;
        self
    }

    /// What never changes from one table of a ring to the next: seed, power and width.
    pub(crate) fn identity(&self) -> (&[u8; 32], u8, usize) {
        (&self.seed, self.power, self.width())
    }

    /// The cluster's seed.
    #[must_use]
    pub const fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// The power of two of the number of partitions.
    #[must_use]
    pub const fn power(&self) -> u8 {
        self.power
    }

    /// Pieces per partition.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width as usize
    }

    /// Number of partitions.
    #[must_use]
    pub const fn partition_count(&self) -> usize {
        1 << self.power
    }

    /// All partitions.
    pub fn partitions(&self) -> impl Iterator<Item = PartitionId> + use<> {
        (0..1_u32 << self.power).map(PartitionId)
    }

    /// The active and draining devices this table was made from, sorted by id. Only active ones hold partitions.
    #[must_use]
    pub fn specs(&self) -> &[DeviceSpec] {
        &self.devices
    }

    /// The specification of `id`; `None` if this table does not know the device.
    #[must_use]
    pub fn spec(&self, id: DeviceId) -> Option<&DeviceSpec> {
        self.devices.binary_search_by_key(&id, |device| device.id).ok().map(|at| &self.devices[at])
    }

    /// The partitions `device` holds, each with the position (fragment index) it has there.
    pub fn held_by(&self, device: DeviceId) -> impl Iterator<Item = (PartitionId, usize)> + '_ {
        self.partitions().filter_map(move |p| {
            self.devices(p).iter().position(|&holder| holder == device).map(|at| (p, at))
        })
    }

    /// How many pieces each device of [`Self::specs`] holds, in that order.
    #[must_use]
    pub fn loads(&self) -> Vec<u32> {
        let mut loads = vec![0; self.devices.len()];
        for id in self.assignment.iter() {
            if let Ok(at) = self.devices.binary_search_by_key(id, |device| device.id) {
                loads[at] += 1;
            }
        }
        loads
    }
}

impl fmt::Debug for RingTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingTable")
            .field("epoch", &self.epoch)
            .field("power", &self.power)
            .field("width", &self.width)
            .field("devices", &self.devices.len())
            .finish_non_exhaustive()
    }
}

pub(crate) fn check_power(power: u8) -> Result<(), RingError> {
    if (POWER_MIN..=POWER_MAX).contains(&power) { Ok(()) } else { Err(RingError::BadPower { power }) }
}

pub(crate) fn check_width(width: usize) -> Result<u8, RingError> {
    u8::try_from(width).ok().filter(|_| (1..=WIDTH_MAX).contains(&width)).ok_or(RingError::BadWidth { width })
}
