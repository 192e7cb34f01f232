//! Messages between the voters of one process: direct calls, nothing copied.

use crate::group::Group;
use crate::lease::{Configs, Lease};
use crate::raft_types::{Raft, RaftVote, Types};
use crate::voter::Voter;
use openraft::error::{
    Fatal, RPCError, RaftError, RemoteError, ReplicationClosed, StreamingError, Unreachable,
};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{EntryPayload, OptionalSend, Snapshot};
use ringfort_core::VoterId;
use ringfort_runtime::boot_time;
use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

type RpcError = RPCError<u64, openraft::impls::EmptyNode, RaftError<u64>>;

/// A voter that cannot be reached is tried again after this.
const BACKOFF: Duration = Duration::from_millis(150);

/// Makes the links of one voter to its peers.
#[derive(Clone)]
pub(crate) struct Links {
    group: Weak<Group>,
    from: VoterId,
    lease: Arc<Lease>,
}

impl Links {
    pub(crate) fn new(group: &Arc<Group>, from: VoterId, lease: Arc<Lease>) -> Self {
        Self { group: Arc::downgrade(group), from, lease }
    }
}

impl RaftNetworkFactory<Types> for Links {
    type Network = Link;

    async fn new_client(&mut self, target: u64, _node: &openraft::impls::EmptyNode) -> Link {
        Link { links: self.clone(), target: VoterId(target) }
    }
}

/// The way from one voter to another.
pub(crate) struct Link {
    links: Links,
    target: VoterId,
}

#[derive(Debug, thiserror::Error)]
#[error("voter {to} cannot be reached from voter {from}")]
struct Away {
    from: VoterId,
    to: VoterId,
}

impl Link {
    /// The peer, once a message to it has crossed the wire.
    async fn reach(&self) -> Result<Arc<Voter>, Away> {
        let away = Away { from: self.links.from, to: self.target };
        let Some(group) = self.links.group.upgrade() else { return Err(away) };
        if !group.wire.carries(self.links.from, self.target).await {
            return Err(away);
        }
        group.voter(self.target).filter(|voter| voter.running()).ok_or(away)
    }

    /// Waits until the answer to a message has crossed the wire.
    async fn answered(&self) -> Result<(), Away> {
        let away = Away { from: self.links.from, to: self.target };
        match self.links.group.upgrade() {
            Some(group) if group.wire.carries(self.target, self.links.from).await => Ok(()),
            _ => Err(away),
        }
    }

    fn remote(&self, error: RaftError<u64>) -> RpcError {
        match error {
            RaftError::Fatal(fatal) => RPCError::Unreachable(Unreachable::new(&fatal)),
            other => RPCError::RemoteError(RemoteError::new(self.target.0, other)),
        }
    }
}

impl RaftNetwork<Types> for Link {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RpcError> {
        let sent = boot_time();
        let leader = request.vote.leader_id;
        for entry in &request.entries {
            if let EntryPayload::Membership(members) = &entry.payload {
                self.links.lease.sends_configs(leader, entry.log_id.index, configs(members));
            }
        }
        let voter = self.reach().await.map_err(unreachable)?;
        let response = voter.raft.append_entries(request).await.map_err(|error| self.remote(error))?;
        self.answered().await.map_err(unreachable)?;
        if !matches!(response, AppendEntriesResponse::HigherVote(_)) {
            self.links.lease.acknowledged(leader, self.target.0, sent);
        }
        Ok(response)
    }

    async fn vote(
        &mut self,
        request: VoteRequest<u64>,
        _option: RPCOption,
    ) -> Result<VoteResponse<u64>, RpcError> {
        self.links.lease.campaigns(request.vote.leader_id);
        let voter = self.reach().await.map_err(unreachable)?;
        let response = if voter.lease.refuses_votes(request.vote.leader_id, boot_time()) {
            let vote = voter.raft.server_metrics().borrow().vote;
            VoteResponse::new(vote, None, false)
        } else {
            voter.raft.vote(request).await.map_err(|error| self.remote(error))?
        };
        self.answered().await.map_err(unreachable)?;
        Ok(response)
    }

    async fn full_snapshot(
        &mut self,
        vote: RaftVote,
        snapshot: Snapshot<Types>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<Types, Fatal<u64>>> {
        let members = &snapshot.meta.last_membership;
        let at = members.log_id().map_or(0, |log_id| log_id.index);
        self.links.lease.sends_configs(vote.leader_id, at, configs(members.membership()));
        let voter =
            self.reach().await.map_err(|away| StreamingError::Unreachable(Unreachable::new(&away)))?;
        let raft: Raft = voter.raft.clone();
        // The other voter pulls the pages; giving up here does not stop it, it only leaves the answer unheard.
        tokio::select! {
            installed = raft.install_full_snapshot(vote, snapshot) => {
                installed.map_err(|fatal| StreamingError::RemoteError(RemoteError::new(self.target.0, fatal)))
            }
            closed = cancel => Err(StreamingError::Closed(closed)),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(BACKOFF))
    }
}

fn unreachable(away: Away) -> RpcError {
    RPCError::Unreachable(Unreachable::new(&away))
}

/// The voters of each part of a configuration.
pub(crate) fn configs(members: &openraft::Membership<u64, openraft::impls::EmptyNode>) -> Configs {
    members.get_joint_config().iter().map(|config| config.iter().copied().collect()).collect()
}

/// The wire between the voters of a group. All voters are in one process, so it carries everything, at once; tests put faults on
/// it.
#[derive(Default)]
pub(crate) struct Wire {
    #[cfg(test)]
    pub(crate) faults: crate::tests::faults::Faults,
}

impl Wire {
    /// Whether a message gets from one voter to another; returns when it has arrived.
    #[cfg(test)]
    async fn carries(&self, from: VoterId, to: VoterId) -> bool {
        self.faults.carries(from, to).await
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_async, clippy::unused_self, reason = "the form that tests need")]
    async fn carries(&self, _from: VoterId, _to: VoterId) -> bool {
        true
    }
}
