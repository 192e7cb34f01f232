//! What groups and devices tell about themselves.

use bytes::Bytes;
use ringfort_core::{DeviceId, GroupId, VoterId};

/// What `add_device` found on a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceReport {
    /// Groups whose voter here is running now.
    pub opened: Vec<GroupId>,
    /// Groups that have a voter here but whose vote, log or state is damaged or half installed: the voter abstains. Give
    /// the device a new voter id and call `change_voters`.
    pub lost: Vec<GroupId>,
    /// Groups whose state here belongs to another voter id than the device has now: they abstain too, until
    /// `change_voters` replaces them.
    pub foreign: Vec<GroupId>,
}

/// One voter of a group, as far as this process knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoterStatus {
    /// The voter.
    pub voter: VoterId,
    /// Its device, when it is one of this process.
    pub device: Option<DeviceId>,
    /// Runs here and can take part.
    pub running: bool,
    /// The index it has applied; 0 when it does not run.
    pub applied: u64,
}

/// One group, as far as this process knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStatus {
    /// The group.
    pub group: GroupId,
    /// Its leader.
    pub leader: Option<VoterId>,
    /// Its voters by the newest configuration known.
    pub voters: Vec<VoterStatus>,
    /// The highest applied index of any voter.
    pub applied: u64,
    /// Commands that wait to be proposed here.
    pub queued: usize,
    /// A change of voters is under way.
    pub changing: bool,
}

impl GroupStatus {
    /// The number of voters that run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.voters.iter().filter(|voter| voter.running).count()
    }

    /// Losses the group survives from here on: voters it can lose and still decide.
    #[must_use]
    pub fn spare(&self) -> usize {
        let quorum = self.voters.len() / 2 + 1;
        self.running().saturating_sub(quorum)
    }
}

/// The answer to a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryAnswer {
    /// The model's own bytes.
    pub reply: Bytes,
    /// The inline body the model named, read and verified.
    pub inline: Option<Bytes>,
}
