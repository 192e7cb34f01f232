//! What can go wrong between a command and its recorded result.

use ringfort_core::{DeviceId, ErrorKind, GroupId, SessionId, SlotId, VoterId};
use ringfort_engine::EngineError;

/// Why a command, a query or a change of voters did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum MetaError {
    /// No voter of the group leads it, or none that may serve a read.
    #[error("metadata group {group} has no leader at the moment")]
    NoLeader {
        /// The group.
        group: GroupId,
    },
    /// The queue before a group is full, or every lane of the session is in use.
    #[error("the queue of metadata group {group} is full")]
    Busy {
        /// The group.
        group: GroupId,
    },
    /// The deadline passed. The command may or may not take effect.
    #[error("metadata group {group} did not answer in time; the outcome of the command is unknown")]
    Timeout {
        /// The group.
        group: GroupId,
    },
    /// The devices below the group's voters have no room for new bodies.
    #[error("no space for new data in metadata group {group}")]
    NoSpace {
        /// The group.
        group: GroupId,
    },
    /// The session has ended; its commands are refused for ever.
    #[error("session {session} has ended")]
    SessionEnded {
        /// The session.
        session: SessionId,
    },
    /// A command is larger than a proposal may be.
    #[error("a command of {bytes} bytes is larger than the limit of {bytes_max}")]
    TooLarge {
        /// Its length, bodies included.
        bytes: usize,
        /// The most that is accepted.
        bytes_max: usize,
    },
    /// The slot does not exist.
    #[error("there is no slot {slot}")]
    NoSuchSlot {
        /// The slot.
        slot: SlotId,
    },
    /// No device of this process has this voter.
    #[error("voter {voter} of metadata group {group} is on no device here")]
    NoSuchVoter {
        /// The group.
        group: GroupId,
        /// The voter.
        voter: VoterId,
    },
    /// The voter is a member of the group but its vote, log or state is gone: it may only come back under a new id.
    #[error("voter {voter} of metadata group {group} lost its state and needs a new voter id")]
    VoterLost {
        /// The group.
        group: GroupId,
        /// The voter.
        voter: VoterId,
    },
    /// The device was added twice, or with a voter id that another device has.
    #[error("device {device} or its voter {voter} is already in use")]
    DeviceInUse {
        /// The device.
        device: DeviceId,
        /// The voter.
        voter: VoterId,
    },
    /// Stored or received bytes do not decode.
    #[error("damaged metadata: {what}")]
    Corrupt {
        /// What does not decode, and how.
        what: String,
    },
    /// The Raft library refused or failed.
    #[error("raft of metadata group {group}: {reason}")]
    Raft {
        /// The group.
        group: GroupId,
        /// Its words.
        reason: String,
    },
    /// A request that makes no sense, such as a list of no voters.
    #[error("{what}")]
    Invalid {
        /// What is wrong with it.
        what: String,
    },
    /// A record changed meanwhile, or is not as the request assumes.
    #[error("{what}")]
    Conflict {
        /// What was found.
        what: String,
    },
    /// The device's engine failed.
    #[error("the engine of a voter failed")]
    Engine(#[source] EngineError),
}

impl MetaError {
    /// The kind a caller can act on.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoLeader { .. } | Self::Busy { .. } | Self::Timeout { .. } | Self::Raft { .. } => {
                ErrorKind::Unavailable
            }
            Self::NoSpace { .. } => ErrorKind::NoSpace,
            Self::SessionEnded { .. } => ErrorKind::Denied,
            Self::TooLarge { .. } | Self::NoSuchSlot { .. } | Self::Invalid { .. } => ErrorKind::Invalid,
            Self::NoSuchVoter { .. } => ErrorKind::NotFound,
            Self::VoterLost { .. } | Self::DeviceInUse { .. } | Self::Conflict { .. } => ErrorKind::Conflict,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Engine(source) => source.kind(),
        }
    }
}

impl From<EngineError> for MetaError {
    fn from(source: EngineError) -> Self {
        Self::Engine(source)
    }
}
