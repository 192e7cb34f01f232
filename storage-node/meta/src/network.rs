//! Messages between the voters of one process: direct calls, nothing copied.

use crate::group::Group;
use crate::lease::Lease;
use crate::raft_types::{Raft, RaftVote, Types};
use crate::voter::Voter;
use openraft::error::{
    Fatal, RPCError, RaftError, RemoteError, ReplicationClosed, StreamingError, Unreachable,
};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, Snapshot};
use ringfort_core::VoterId;
use ringfort_runtime::boot_time;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
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
    isolated: Arc<AtomicBool>,
}

impl Links {
    pub(crate) fn new(
        group: &Arc<Group>,
        from: VoterId,
        lease: Arc<Lease>,
        isolated: Arc<AtomicBool>,
    ) -> Self {
        Self { group: Arc::downgrade(group), from, lease, isolated }
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
    fn target(&self) -> Result<Arc<Voter>, Away> {
        let voter = self.links.group.upgrade().and_then(|group| group.voter(self.target));
        voter
            .filter(|voter| voter.running() && !voter.isolated.load(Ordering::Relaxed))
            .filter(|_| !self.links.isolated.load(Ordering::Relaxed))
            .ok_or(Away { from: self.links.from, to: self.target })
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
        let voter = self.target().map_err(|away| RPCError::Unreachable(Unreachable::new(&away)))?;
        let response = voter.raft.append_entries(request).await.map_err(|error| self.remote(error))?;
        if self.links.isolated.load(Ordering::Relaxed) || voter.isolated.load(Ordering::Relaxed) {
            let away = Away { from: self.links.from, to: self.target };
            return Err(RPCError::Unreachable(Unreachable::new(&away)));
        }
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
        let voter = self.target().map_err(|away| RPCError::Unreachable(Unreachable::new(&away)))?;
        if voter.lease.refuses_votes(request.vote.leader_id, boot_time()) {
            let vote = voter.raft.server_metrics().borrow().vote;
            return Ok(VoteResponse::new(vote, None, false));
        }
        voter.raft.vote(request).await.map_err(|error| self.remote(error))
    }

    async fn full_snapshot(
        &mut self,
        vote: RaftVote,
        snapshot: Snapshot<Types>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<Types, Fatal<u64>>> {
        let voter = self.target().map_err(|away| StreamingError::Unreachable(Unreachable::new(&away)))?;
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
