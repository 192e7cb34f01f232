//! The way in: commands and queries.

use crate::group::{Group, Pending};
use crate::host::Inner;
use crate::proposal::{CommandKind, Outcome};
use crate::records::View;
use crate::voter::Voter;
use crate::{MetaError, QueryAnswer, kv};
use bytes::Bytes;
use parking_lot::Mutex;
use ringfort_core::{BlobId, ChunkKey, CommandId, GroupId, SYSTEM_SLOT, SessionId, SlotId};
use ringfort_engine::{Engine, EngineError};
use ringfort_storage_api::QueryReply;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// First pause before a command is tried again.
const PAUSE_MIN: Duration = Duration::from_millis(4);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_millis(200);
/// Bytes a command counts beside its own.
const COMMAND_OVERHEAD: usize = 64;
/// Bodies one command may carry.
const BODIES_MAX: usize = 1024;
/// Times a query is asked again because the body it named was gone when it was read.
const GONE_RETRIES: u32 = 8;

/// The lanes of a session: each names a sequence of commands of which one at a time is outstanding.
pub(crate) struct Lanes {
    session: SessionId,
    lanes_max: u32,
    free: Mutex<Free>,
}

#[derive(Default)]
struct Free {
    /// Lanes not in use, with the sequence number used last; the one used last is on top, so that few are ever in use.
    idle: Vec<(u32, u64)>,
    made: u32,
}

impl Lanes {
    pub(crate) fn new(session: SessionId, lanes_max: u32) -> Arc<Self> {
        Arc::new(Self { session, lanes_max, free: Mutex::default() })
    }

    fn take(self: &Arc<Self>) -> Option<Lane> {
        let mut free = self.free.lock();
        let (lane, last) = match free.idle.pop() {
            Some(idle) => idle,
            None if free.made < self.lanes_max => {
                free.made += 1;
                (free.made - 1, 0)
            }
            None => return None,
        };
        Some(Lane { lanes: self.clone(), id: CommandId { session: self.session, lane, sequence: last + 1 } })
    }
}

/// A lane in use; free again when dropped, whatever became of its command.
struct Lane {
    lanes: Arc<Lanes>,
    id: CommandId,
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.lanes.free.lock().idle.push((self.id.lane, self.id.sequence));
    }
}

/// Executes commands and queries on behalf of one session. Cheap to clone.
#[derive(Clone)]
pub struct MetaClient {
    inner: Arc<Inner>,
    lanes: Arc<Lanes>,
}

impl MetaClient {
    pub(crate) fn new(inner: Arc<Inner>, lanes: Arc<Lanes>) -> Self {
        Self { inner, lanes }
    }

    /// The session whose commands these are.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.lanes.session
    }

    /// Executes `command` with `bodies` on `slot` and returns its result. It is sent again under the same command id until
    /// a result is known, so it takes effect at most once.
    ///
    /// # Cancel safety
    ///
    /// A dropped call leaves the outcome unknown: the command takes effect once or not at all.
    pub async fn execute(
        &self,
        slot: SlotId,
        command: Bytes,
        bodies: Vec<Bytes>,
    ) -> Result<Bytes, MetaError> {
        let group = self.inner.group_of(slot)?;
        self.run(group, CommandKind::Model, slot, None, command, bodies).await
    }

    /// Refuses all further commands of `session` in `group`.
    pub(crate) async fn fence(&self, group: GroupId, session: SessionId) -> Result<(), MetaError> {
        let id = CommandId { session, lane: 0, sequence: 0 };
        self.run(group, CommandKind::EndSession, SYSTEM_SLOT, Some(id), Bytes::new(), Vec::new())
            .await
            .map(|_| ())
    }

    pub(crate) async fn run(
        &self,
        group: GroupId,
        kind: CommandKind,
        slot: SlotId,
        id: Option<CommandId>,
        command: Bytes,
        bodies: Vec<Bytes>,
    ) -> Result<Bytes, MetaError> {
        let config = &self.inner.config;
        let bytes = COMMAND_OVERHEAD + command.len() + bodies.iter().map(Bytes::len).sum::<usize>();
        if bytes > config.batch_bytes_max || bodies.len() > BODIES_MAX {
            return Err(MetaError::TooLarge { bytes, bytes_max: config.batch_bytes_max });
        }
        let lane = self.lanes.take().ok_or(MetaError::Busy { group })?;
        let id = id.unwrap_or(lane.id);
        let deadline = Instant::now() + config.command_timeout;
        let found = self.inner.group(group);
        let mut pause = PAUSE_MIN;
        // Whether an earlier attempt may have taken effect: then a refusal now says nothing about the command.
        let mut tried = false;
        loop {
            let (reply, waiting) = oneshot::channel();
            let (command, bodies) = (command.clone(), bodies.clone());
            let queued = found.queue.push(Pending { kind, slot, id, command, bodies, bytes, reply });
            if !queued && !tried {
                return Err(MetaError::Busy { group });
            }
            // A proposal stuck with a leader that lost its quorum is left behind after a few election timeouts: the next
            // leader takes the same id.
            let attempt = deadline.min(Instant::now() + config.election_timeout_max * 4);
            match tokio::time::timeout_at(attempt, waiting).await {
                Ok(Ok(Outcome::Done(result))) => return Ok(result),
                Ok(Ok(Outcome::SessionEnded)) => return Err(MetaError::SessionEnded { session: id.session }),
                Ok(Ok(Outcome::NoSpace)) if !tried => return Err(MetaError::NoSpace { group }),
                Ok(Ok(Outcome::Superseded)) => {
                    return Err(MetaError::Conflict {
                        what: "a later command of the lane came first".to_owned(),
                    });
                }
                Ok(Ok(Outcome::Retry | Outcome::NoSpace) | Err(_)) | Err(_) => tried |= queued,
            }
            if Instant::now() + pause >= deadline {
                return Err(MetaError::Timeout { group });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Answers `query` from the records of `slot` as they are now: linearizable, read on this task from the leader's
    /// state. Reads an inline body from the leader's device, or from another voter's if that copy is damaged, which is
    /// then repaired.
    pub async fn query(&self, slot: SlotId, query: Bytes) -> Result<QueryAnswer, MetaError> {
        let group = self.inner.group(self.inner.group_of(slot)?);
        let mut gone = 0;
        loop {
            let (leader, answer) = self.ask_leader(&group, slot, &query).await?;
            let Some(blob) = answer.inline else {
                return Ok(QueryAnswer { reply: answer.reply.into(), inline: None });
            };
            match read_inline(&group, &leader, blob).await {
                Ok(body) => return Ok(QueryAnswer { reply: answer.reply.into(), inline: Some(body) }),
                // Overwritten or deleted since: what the query says now differs.
                Err(EngineError::ChunkNotFound { .. }) if gone < GONE_RETRIES => gone += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn ask_leader(
        &self,
        group: &Arc<Group>,
        slot: SlotId,
        query: &[u8],
    ) -> Result<(Arc<Voter>, QueryReply), MetaError> {
        let mut deadline = None;
        let mut pause = PAUSE_MIN;
        loop {
            if let Some(leader) = group.leader()
                && let Some(answer) = self.ask_leading(&leader, slot, query)?
            {
                return Ok((leader, answer));
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + self.inner.config.query_timeout);
            if Instant::now() + pause >= deadline {
                return Err(MetaError::NoLeader { group: group.id });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// The answer of a voter that takes itself for the leader; `None` if it may not answer.
    pub(crate) fn ask_leading(
        &self,
        leader: &Voter,
        slot: SlotId,
        query: &[u8],
    ) -> Result<Option<QueryReply>, MetaError> {
        if !leader.may_serve_reads() {
            return Ok(None);
        }
        let answer = self.ask(leader, slot, query)?;
        // The lease, looked at after reading, held while reading.
        Ok(leader.may_serve_reads().then_some(answer))
    }

    fn ask(&self, leader: &Voter, slot: SlotId, query: &[u8]) -> Result<QueryReply, MetaError> {
        let model = &self.inner.model;
        let answer = leader.progress.consistent(|| {
            let view = View::new(&leader.state, slot);
            let reply = if slot == SYSTEM_SLOT || query.first() == Some(&kv::TAG) {
                kv::query(&view, query)
            } else {
                model.query(&view, query)
            };
            let reads = view.reads();
            (view.finish().map(|()| reply), reads)
        });
        answer.map_err(MetaError::from)
    }
}

/// The inline body `blob`, from the leader's device or else from any other voter's.
async fn read_inline(group: &Group, leader: &Arc<Voter>, blob: BlobId) -> Result<Bytes, EngineError> {
    let key = ChunkKey { blob, number: 0, fragment: 0 };
    let first = match read_whole(&leader.engine, key).await {
        Ok(body) => return Ok(body),
        Err(error) => error,
    };
    for other in group.voters() {
        if other.id == leader.id || !other.running() {
            continue;
        }
        if let Ok(body) = read_whole(&other.engine, key).await {
            tracing::warn!(%blob, device = %leader.device, error = %first, "a damaged inline body is repaired from another voter");
            metrics::counter!("ringfort_inline_repairs_total").increment(1);
            if let Err(error) = leader.engine.replace_chunk(key, vec![body.clone()]).await {
                tracing::warn!(%blob, device = %leader.device, %error, "the repair failed");
            }
            return Ok(body);
        }
    }
    Err(first)
}

async fn read_whole(engine: &Engine, key: ChunkKey) -> Result<Bytes, EngineError> {
    let info = engine.chunk_info(key)?.ok_or(EngineError::ChunkNotFound { key })?;
    engine.read_chunk(key, 0..info.len).await
}
