//! Applying committed entries: the deterministic half of a metadata group.
//!
//! All commands of all entries that openraft hands over at once become one write to the engine's index, beside the
//! applied log id: after a crash either all of it is there or none, and the log brings back what is missing. Each
//! command is applied once: its lane's record tells a retry from a new command and gives the recorded result again.
//!
//! It runs on the device's apply thread ([`crate::apply_thread`]), never on a runtime thread: a read may go to the disk and
//! a write may wait for RocksDB, and a hop costs less than one microsecond per command in a batch.

use crate::log_store::{READ_BYTES, Recent};
use crate::overlay::Overlay;
use crate::proposal::{Command, CommandKind, Outcome, PayloadError, Proposal};
use crate::raft_types::{
    Entry, RaftLogId, Reader, StoredMembers, decode_entry, decode_membership, encode_membership, put_log_id,
};
use crate::records::{APPLIED_KEY, MEMBERSHIP_KEY, ended_key, lane_key, lanes_range};
use crate::voter::Progress;
use crate::{MetaError, kv};
use bytes::{BufMut, Bytes, BytesMut};
use openraft::{EntryPayload, StoredMembership};
use parking_lot::Mutex;
use ringfort_core::{CommandId, HybridTime, SYSTEM_SLOT, SessionId, VoterId};
use ringfort_engine::{Direction, GroupLog, GroupState, StateBatch};
use ringfort_storage_api::{InlineBody, StateModel};
use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Lanes whose last command is remembered in memory; beyond that all are forgotten and read again.
const LANES_REMEMBERED: usize = 8192;
/// Bytes of commands that become one write to the index.
const WRITE_BYTES_MAX: usize = 4 << 20;
/// Results longer than this are not remembered but read again.
const RESULT_REMEMBERED: usize = 512;

/// The state machine of one voter.
pub(crate) struct Applier {
    voter: VoterId,
    log: GroupLog,
    state: GroupState,
    model: Arc<dyn StateModel>,
    progress: Arc<Progress>,
    recent: Arc<Mutex<Recent>>,
    /// Proposals read from the log, the next ones to apply.
    page: VecDeque<(u64, Proposal)>,
    applied: Option<RaftLogId>,
    time: HybridTime,
    members: StoredMembers,
    ended: HashSet<SessionId>,
    lanes: HashMap<(SessionId, u32), (u64, Bytes)>,
}

/// Outcomes of one batch, to be sent once the batch is written.
type Answers = Vec<(Vec<oneshot::Sender<Outcome>>, Vec<Outcome>)>;

impl Applier {
    /// The state machine over `state` as it is stored. Blocks.
    pub(crate) fn open(
        voter: VoterId,
        (log, state): (GroupLog, GroupState),
        model: Arc<dyn StateModel>,
        progress: Arc<Progress>,
        recent: Arc<Mutex<Recent>>,
    ) -> Result<Self, MetaError> {
        let mut applier = Self {
            voter,
            log,
            state,
            model,
            progress,
            recent,
            page: VecDeque::new(),
            applied: None,
            time: HybridTime::default(),
            members: StoredMembers::default(),
            ended: HashSet::new(),
            lanes: HashMap::new(),
        };
        applier.load()?;
        Ok(applier)
    }

    /// Reads the host records anew: at open, and after a snapshot was installed.
    pub(crate) fn load(&mut self) -> Result<(), MetaError> {
        self.applied = None;
        self.time = HybridTime::default();
        self.members = StoredMembers::default();
        self.ended.clear();
        self.lanes.clear();
        if let Some(record) = self.state.get(&APPLIED_KEY)? {
            (self.applied, self.time) =
                decode_applied(&record).map_err(|error| corrupt("the applied record", error))?;
        }
        if let Some(record) = self.state.get(&MEMBERSHIP_KEY)? {
            self.members =
                decode_membership(&record).map_err(|error| corrupt("the membership record", error))?;
        }
        let (from, to) = (ended_key(SessionId(0)), [0u8, 5]);
        let ended = &mut self.ended;
        self.state.scan(&from, &to, Direction::Forward, &mut |key, _| {
            if let Some(session) = key.get(2..10).and_then(|bytes| bytes.try_into().ok()) {
                ended.insert(SessionId(u64::from_be_bytes(session)));
            }
            ControlFlow::Continue(())
        })?;
        self.note_progress();
        Ok(())
    }

    pub(crate) fn state(&self) -> &GroupState {
        &self.state
    }

    pub(crate) fn applied(&self) -> Option<RaftLogId> {
        self.applied
    }

    pub(crate) fn members(&self) -> &StoredMembers {
        &self.members
    }

    /// Applies `entries`, which follow what was applied. Blocks.
    pub(crate) fn apply(&mut self, entries: Vec<Entry>) -> Result<(), MetaError> {
        let mut entries = entries.into_iter();
        while entries.len() > 0 {
            self.apply_some(&mut entries)?;
        }
        Ok(())
    }

    /// Applies as many entries as become one write.
    fn apply_some(&mut self, entries: &mut std::vec::IntoIter<Entry>) -> Result<(), MetaError> {
        let state = self.state.clone();
        let mut overlay = Overlay::new(&state);
        let mut answers = Answers::new();
        let mut members_changed = false;
        let mut bytes = 0;
        while bytes < WRITE_BYTES_MAX
            && let Some(entry) = entries.next()
        {
            let log_id = entry.log_id;
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Membership(members) => {
                    self.members = StoredMembership::new(Some(log_id), members);
                    members_changed = true;
                }
                EntryPayload::Normal(proposal) => {
                    let proposal =
                        if proposal.is_left_in_log() { self.read_proposal(log_id.index)? } else { proposal };
                    bytes += proposal.head_len();
                    let outcomes = self.apply_batch(&mut overlay, log_id.index, &proposal);
                    if let Some(senders) = proposal.take_replies(self.voter) {
                        answers.push((senders, outcomes));
                    }
                }
            }
            self.applied = Some(log_id);
        }
        let mut batch = StateBatch::new();
        overlay.finish(&mut batch)?;
        if members_changed {
            batch.put(&MEMBERSHIP_KEY, &encode_membership(&self.members));
        }
        if let Some(applied) = self.applied {
            batch.put(&APPLIED_KEY, &encode_applied(&applied, self.time));
            batch.applied(applied.index);
        }
        self.progress.change(|| self.state.write(batch))?;
        self.note_progress();
        for (senders, outcomes) in answers {
            for (sender, outcome) in senders.into_iter().zip(outcomes) {
                // Nobody waits any more: the issuer gave up and will find the recorded result if it asks again.
                let _ = sender.send(outcome);
            }
        }
        Ok(())
    }

    /// The proposal at `index`, from the log; those after it are read along.
    fn read_proposal(&mut self, index: u64) -> Result<Proposal, MetaError> {
        self.page.retain(|(at, _)| *at >= index);
        if self.page.front().is_none_or(|(at, _)| *at != index) {
            self.page.clear();
            for (at, payload) in self.log.read(index, u64::MAX, READ_BYTES)? {
                let entry = decode_entry(at, &payload).map_err(|error| corrupt("an entry", error))?;
                if let EntryPayload::Normal(proposal) = entry.payload {
                    self.page.push_back((at, proposal.without_bodies()));
                }
            }
        }
        match self.page.pop_front() {
            Some((at, proposal)) if at == index => Ok(proposal),
            _ => Err(MetaError::Corrupt { what: format!("entry {index} is not in the log") }),
        }
    }

    fn apply_batch(
        &mut self,
        overlay: &mut Overlay<'_, GroupState>,
        entry: u64,
        proposal: &Proposal,
    ) -> Vec<Outcome> {
        let mut room = Vec::new();
        let commands = proposal.commands();
        let mut outcomes = Vec::with_capacity(commands.len());
        for command in commands {
            self.time = self.time.advance(proposal.stamp().0);
            outcomes.push(match command.kind {
                CommandKind::EndSession => self.end_session(overlay, command.id.session),
                CommandKind::Model => self.apply_command(overlay, entry, proposal, command, &mut room),
            });
        }
        outcomes
    }

    fn apply_command(
        &mut self,
        overlay: &mut Overlay<'_, GroupState>,
        entry: u64,
        proposal: &Proposal,
        command: &Command,
        room: &mut Vec<InlineBody>,
    ) -> Outcome {
        let id = command.id;
        // Session 0 issues what must run before there is a session; such commands are safe to run twice.
        let recorded = id.session.0 != 0;
        if recorded {
            if self.ended.contains(&id.session) {
                return Outcome::SessionEnded;
            }
            if let Some((sequence, result)) = self.last_of_lane(overlay, &id) {
                match sequence.cmp(&id.sequence) {
                    std::cmp::Ordering::Less => {}
                    std::cmp::Ordering::Equal => return Outcome::Done(result),
                    std::cmp::Ordering::Greater => return Outcome::Superseded,
                }
            }
        }
        let bytes = proposal.command_bytes(command);
        let bodies = proposal.inline_bodies(command, room);
        let mut tx = overlay.slot(command.slot, entry, proposal.spans(command));
        let result = if command.slot == SYSTEM_SLOT || bytes.first() == Some(&kv::TAG) {
            kv::apply(&mut tx, self.time, bytes)
        } else {
            self.model.apply(&mut tx, self.time, bytes, bodies)
        };
        if !recorded {
            return Outcome::Done(result.into());
        }
        // One allocation holds the lane's record; the result is a view of it.
        let mut record = BytesMut::with_capacity(8 + result.len());
        record.put_u64_le(id.sequence);
        record.put_slice(&result);
        let record = record.freeze();
        let result = record.slice(8..);
        if self.lanes.len() >= LANES_REMEMBERED {
            self.lanes.clear();
        }
        if result.len() <= RESULT_REMEMBERED {
            self.lanes.insert((id.session, id.lane), (id.sequence, result.clone()));
        } else {
            self.lanes.remove(&(id.session, id.lane));
        }
        overlay.put(lane_key(&id).to_vec(), record);
        Outcome::Done(result)
    }

    fn last_of_lane(&self, overlay: &Overlay<'_, GroupState>, id: &CommandId) -> Option<(u64, Bytes)> {
        if let Some(last) = self.lanes.get(&(id.session, id.lane)) {
            return Some(last.clone());
        }
        let record = overlay.get(&lane_key(id))?;
        let (sequence, _) = record.split_first_chunk::<8>()?;
        Some((u64::from_le_bytes(*sequence), record.slice(8..)))
    }

    fn end_session(&mut self, overlay: &mut Overlay<'_, GroupState>, session: SessionId) -> Outcome {
        if session.0 != 0 && self.ended.insert(session) {
            let (from, to) = lanes_range(session);
            overlay.delete_range(&from, &to);
            overlay.put(ended_key(session).to_vec(), Bytes::new());
            self.lanes.retain(|(of, _), _| *of != session);
        }
        Outcome::Done(Bytes::new())
    }

    fn note_progress(&self) {
        let index = self.applied.map_or(0, |log_id| log_id.index);
        self.recent.lock().applied(index);
        self.progress.applied(self.voter, self.applied);
    }
}

pub(crate) fn encode_applied(applied: &RaftLogId, time: HybridTime) -> [u8; 33] {
    let mut out = [0; 33];
    out[0] = 1;
    put_log_id(&mut &mut out[1..25], applied);
    out[25..].copy_from_slice(&time.0.to_le_bytes());
    out
}

pub(crate) fn decode_applied(record: &[u8]) -> Result<(Option<RaftLogId>, HybridTime), PayloadError> {
    let mut reader = Reader(record);
    reader.version()?;
    let applied = reader.log_id()?;
    let time = HybridTime(reader.u64()?);
    reader.end()?;
    Ok((Some(applied), time))
}

fn corrupt(what: &str, error: PayloadError) -> MetaError {
    MetaError::Corrupt { what: format!("{what}: {error}") }
}
