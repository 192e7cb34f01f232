//! One metadata group: its voters in this process, the queue before it, and the task that makes proposals of the queue.

use crate::network::Wire;
use crate::proposal::{CommandKind, Outcome, Proposal, ProposalBuilder, Replies};
use crate::raft_types::Types;
use crate::voter::Voter;
use crate::{MetaConfig, MetaError};
use bytes::Bytes;
use openraft::raft::ClientWriteResult;
use parking_lot::{Mutex, RwLock};
use ringfort_core::{CommandId, GroupId, HybridTime, SlotId, VoterId};
use ringfort_engine::Health;
use ringfort_runtime::wall_us;
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// How long the batcher waits for a leader before it sends the commands back.
const LEADER_WAIT: Duration = Duration::from_millis(100);

/// One group.
pub(crate) struct Group {
    pub(crate) id: GroupId,
    voters: RwLock<BTreeMap<VoterId, Arc<Voter>>>,
    pub(crate) queue: Queue,
    pub(crate) leader_changed: Notify,
    /// Held while voters are changed.
    pub(crate) changing: tokio::sync::Mutex<()>,
    stamp: Mutex<HybridTime>,
    pub(crate) wire: Wire,
}

/// A command on its way into a proposal.
pub(crate) struct Pending {
    pub(crate) kind: CommandKind,
    pub(crate) slot: SlotId,
    pub(crate) id: CommandId,
    pub(crate) command: Bytes,
    pub(crate) bodies: Vec<Bytes>,
    pub(crate) bytes: usize,
    pub(crate) reply: oneshot::Sender<Outcome>,
}

/// Commands that wait for a proposal; bounded by number and bytes.
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    wake: Notify,
    commands_max: usize,
    bytes_max: usize,
}

#[derive(Default)]
struct Waiting {
    commands: VecDeque<Pending>,
    bytes: usize,
}

impl Queue {
    pub(crate) fn new(config: &MetaConfig) -> Self {
        Self {
            waiting: Mutex::default(),
            wake: Notify::new(),
            commands_max: config.queue_commands_max,
            bytes_max: config.queue_bytes_max,
        }
    }

    /// Adds a command; `false` if the queue is full.
    pub(crate) fn push(&self, pending: Pending) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.commands.len() >= self.commands_max || waiting.bytes + pending.bytes > self.bytes_max {
            return false;
        }
        waiting.bytes += pending.bytes;
        waiting.commands.push_back(pending);
        let first = waiting.commands.len() == 1;
        drop(waiting);
        if first {
            self.wake.notify_one();
        }
        true
    }

    /// The next commands that fit one proposal.
    pub(crate) fn take(&self, commands_max: usize, bytes_max: usize) -> Vec<Pending> {
        let mut waiting = self.waiting.lock();
        let mut bytes = 0;
        let mut count = 0;
        for pending in waiting.commands.iter().take(commands_max) {
            bytes += pending.bytes;
            if bytes > bytes_max && count > 0 {
                bytes -= pending.bytes;
                break;
            }
            count += 1;
        }
        waiting.bytes -= bytes;
        waiting.commands.drain(..count).collect()
    }

    /// Commands that wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.lock().commands.len()
    }

    fn is_empty(&self) -> bool {
        self.waiting.lock().commands.is_empty()
    }

    /// Waits until there is a command. For one waiter; cancel-safe.
    pub(crate) async fn filled(&self) {
        while self.is_empty() {
            self.wake.notified().await;
        }
    }
}

impl Group {
    pub(crate) fn new(id: GroupId, config: &MetaConfig) -> Arc<Self> {
        Arc::new(Self {
            id,
            voters: RwLock::default(),
            queue: Queue::new(config),
            leader_changed: Notify::new(),
            changing: tokio::sync::Mutex::new(()),
            stamp: Mutex::default(),
            wire: Wire::default(),
        })
    }

    pub(crate) fn voter(&self, id: VoterId) -> Option<Arc<Voter>> {
        self.voters.read().get(&id).cloned()
    }

    pub(crate) fn voters(&self) -> Vec<Arc<Voter>> {
        self.voters.read().values().cloned().collect()
    }

    pub(crate) fn insert(&self, voter: Arc<Voter>) {
        self.voters.write().insert(voter.id, voter);
    }

    pub(crate) fn remove(&self, id: VoterId) -> Option<Arc<Voter>> {
        self.voters.write().remove(&id)
    }

    /// The voter that leads by the highest term.
    pub(crate) fn leader(&self) -> Option<Arc<Voter>> {
        let voters = self.voters.read();
        let leading = voters.values().filter_map(|voter| voter.leads().map(|term| (term, voter)));
        leading.max_by_key(|(term, _)| *term).map(|(_, voter)| voter.clone())
    }

    /// The leader, waited for until `limit` has passed.
    pub(crate) async fn wait_leader(&self, limit: Duration) -> Result<Arc<Voter>, MetaError> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let changed = self.leader_changed.notified();
            if let Some(leader) = self.leader() {
                return Ok(leader);
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Err(MetaError::NoLeader { group: self.id });
            }
        }
    }

    /// Whether a device below a voter refuses new bodies. All voters store them, so one full device is enough.
    fn is_full(&self) -> bool {
        let voters = self.voters.read();
        voters.values().any(|voter| voter.running() && voter.engine.health() == Health::Full)
    }
}

/// Proposals under way, each to be answered in any case.
#[derive(Default)]
struct UnderWay(Vec<(Proposal, VoterId, oneshot::Receiver<ClientWriteResult<Types>>)>);

impl UnderWay {
    /// Waits until one has ended; for ever if there are none. Cancel-safe.
    async fn ended(&mut self) {
        poll_fn(|context| {
            let before = self.0.len();
            self.0.retain_mut(|(proposal, proposer, waiting)| match Pin::new(waiting).poll(context) {
                Poll::Pending => true,
                Poll::Ready(Ok(Ok(_))) => false,
                Poll::Ready(_) => {
                    send_back(proposal, *proposer);
                    false
                }
            });
            if self.0.len() < before { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Gives up those with a leader that another voter has replaced: cut off or stuck on its disk, it may never answer, and the
    /// commands go on under the same ids.
    fn abandon(&mut self, leader: VoterId) {
        self.0.retain(|(proposal, proposer, _)| {
            let replaced = *proposer != leader;
            if replaced {
                send_back(proposal, *proposer);
            }
            !replaced
        });
    }
}

/// Tells those who wait for `proposal` to try again.
fn send_back(proposal: &Proposal, proposer: VoterId) {
    for reply in proposal.take_replies(proposer).into_iter().flatten() {
        let _ = reply.send(Outcome::Retry);
    }
}

/// Makes proposals of what is queued: while some are under way the next batch collects. Ends with `stop`.
pub(crate) async fn run_batcher(
    group: Arc<Group>,
    config: MetaConfig,
    stop: tokio_util::sync::CancellationToken,
) {
    let mut under_way = UnderWay::default();
    loop {
        // Made before the leader is looked at: no change is missed in between.
        let changed = group.leader_changed.notified();
        // Only its name: who is held here over the wait below could not go when its device is removed.
        if let Some(leader) = group.leader().map(|leader| leader.id) {
            under_way.abandon(leader);
        }
        let full = under_way.0.len() >= config.pipeline;
        if full || group.queue.is_empty() {
            tokio::select! {
                () = group.queue.filled(), if !full => {}
                () = under_way.ended() => {}
                () = changed, if !under_way.0.is_empty() => {}
                () = stop.cancelled() => return,
            }
            continue;
        }
        let commands = group.queue.take(config.batch_commands_max, config.batch_bytes_max);
        let Ok(leader) = group.wait_leader(LEADER_WAIT).await else {
            commands.into_iter().for_each(|pending| drop(pending.reply.send(Outcome::Retry)));
            continue;
        };
        if let Some((proposal, senders)) = build(&group, commands) {
            let proposer = leader.id;
            proposal.expect_replies(Replies { proposer, senders });
            match leader.raft.client_write_ff(proposal.clone()).await {
                Ok(waiting) => under_way.0.push((proposal, proposer, waiting)),
                Err(_stopped) => send_back(&proposal, proposer),
            }
        }
    }
}

/// One proposal of `commands`, without those that nobody waits for any more or that there is no room for.
pub(crate) fn build(
    group: &Group,
    commands: Vec<Pending>,
) -> Option<(Proposal, Vec<oneshot::Sender<Outcome>>)> {
    let full = commands.iter().any(|pending| !pending.bodies.is_empty()) && group.is_full();
    let head_bytes = commands.iter().map(|pending| pending.command.len()).sum();
    let mut builder = ProposalBuilder::new(commands.len(), head_bytes);
    let mut senders = Vec::with_capacity(commands.len());
    for pending in commands {
        if pending.reply.is_closed() {
            continue;
        }
        if full && !pending.bodies.is_empty() {
            let _ = pending.reply.send(Outcome::NoSpace);
            continue;
        }
        builder.push(pending.kind, pending.slot, pending.id, &pending.command, pending.bodies);
        senders.push(pending.reply);
    }
    if senders.is_empty() {
        return None;
    }
    let mut stamp = group.stamp.lock();
    *stamp = stamp.advance(wall_us());
    Some((builder.build(*stamp), senders))
}
