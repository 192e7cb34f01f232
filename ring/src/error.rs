//! What can be wrong with a ring, its devices or its stored form.

use ringfort_core::{DeviceId, ErrorKind};

/// Why a ring operation was refused. Nothing has changed when one of these comes back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// The policy needs more devices than there are.
    #[error("the policy places {width} pieces on distinct devices, but only {active} devices are active")]
    TooFewDevices {
        /// Devices in state `active`.
        active: usize,
        /// Pieces per partition.
        width: usize,
    },
    /// More devices than a table can name.
    #[error("{count} devices are more than the {max} a ring can name")]
    TooManyDevices {
        /// Devices given.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// Two specifications carry the same id.
    #[error("device {device} is listed twice")]
    DuplicateDevice {
        /// The id that is not unique.
        device: DeviceId,
    },
    /// A weight is zero, negative, not a number or out of range.
    #[error("`{text}` is no weight: write a number from 0.001 to 1000000000000")]
    BadWeight {
        /// The weight as given.
        text: String,
    },
    /// A device whose weight does not lie in the range.
    #[error("device {device} has a weight that is out of range; to empty a device, drain it")]
    BadDeviceWeight {
        /// The device.
        device: DeviceId,
    },
    /// A region, zone or node name that cannot be used.
    #[error("device {device}: the {tier} name must have 1 to 64 bytes and no control characters")]
    BadName {
        /// The device.
        device: DeviceId,
        /// Which name: region, zone or node.
        tier: &'static str,
    },
    /// The number of partitions is out of range.
    #[error("a ring has 2^{min} to 2^{max} partitions, not 2^{power}", min = crate::POWER_MIN, max = crate::POWER_MAX)]
    BadPower {
        /// The power of two asked for.
        power: u8,
    },
    /// The number of pieces per partition is out of range.
    #[error("a policy places 1 to {max} pieces, not {width}", max = crate::WIDTH_MAX)]
    BadWidth {
        /// The width asked for.
        width: usize,
    },
    /// The old table was made for another policy, power or cluster.
    #[error("the old ring and the new one differ in {what}, which never changes for data already written")]
    Mismatch {
        /// What differs.
        what: &'static str,
    },
    /// The ring change is not at a point where this is possible.
    #[error("cannot {wanted} while the ring change is {phase}")]
    Transition {
        /// Where the change stands.
        phase: crate::Phase,
        /// What was asked for.
        wanted: &'static str,
    },
    /// The bytes end early or go on for too long.
    #[error("the ring has {found} bytes where its header promises {promised}")]
    Length {
        /// Bytes there are.
        found: u64,
        /// Bytes there should be.
        promised: u64,
    },
    /// The first bytes are not those of a ring.
    #[error("this is not a ring")]
    BadMagic,
    /// The header fails its checksum, so none of its fields is believed.
    #[error("the ring's header fails its checksum")]
    HeaderDamaged,
    /// Written by a newer version.
    #[error("the ring has format version {version}; this build reads up to {max}", max = crate::FORMAT_VERSION)]
    UnknownVersion {
        /// The version found.
        version: u16,
    },
    /// The header is sound, but it is the header of the other thing.
    #[error("this is a ring file of kind {kind}, not of the kind expected")]
    WrongKind {
        /// The kind found.
        kind: u16,
    },
    /// The body fails its checksum.
    #[error("the ring's body fails its checksum")]
    BodyDamaged,
    /// The checksums hold but the contents contradict themselves: a bug of the writer.
    #[error("the ring is malformed: {what}")]
    Malformed {
        /// What contradicts what.
        what: &'static str,
    },
    /// An invariant of the builder did not hold; nothing was changed.
    #[error("bug in the ring builder: {what}")]
    Internal {
        /// The invariant.
        what: &'static str,
    },
}

impl RingError {
    /// The kind every dialect maps to its own status.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::TooFewDevices { .. }
            | Self::TooManyDevices { .. }
            | Self::DuplicateDevice { .. }
            | Self::BadWeight { .. }
            | Self::BadDeviceWeight { .. }
            | Self::BadName { .. }
            | Self::BadPower { .. }
            | Self::BadWidth { .. }
            | Self::Mismatch { .. }
            | Self::UnknownVersion { .. }
            | Self::WrongKind { .. } => ErrorKind::Invalid,
            Self::Transition { .. } => ErrorKind::Conflict,
            Self::Length { .. }
            | Self::BadMagic
            | Self::HeaderDamaged
            | Self::BodyDamaged
            | Self::Malformed { .. } => ErrorKind::Corrupt,
            Self::Internal { .. } => ErrorKind::Internal,
        }
    }
}
