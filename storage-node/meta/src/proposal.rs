//! What a log entry holds: a batch of commands with their bodies, encoded so that bodies are written to the log without
//! a copy and are found there later by position.
//!
//! # Format of an entry's payload, version 1
//!
//! Integers are little-endian. The payload lies in one record of the engine's log, whose checksums cover it.
//!
//! ```text
//!  0         1      2          4       12       20
//!  +---------+------+----------+--------+--------+------------------------+
//!  | version | kind | reserved | term   | leader | by kind                |
//!  +---------+------+----------+--------+--------+------------------------+
//!
//!  kind 0, blank: nothing follows
//!  kind 1, membership: the configuration, see `crate::codec`
//!  kind 2, batch:
//!  20       28      32         36
//!  +--------+-------+----------+-------+--------------------------------+
//!  | stamp  | count | head_len | heads | bodies of all commands in order |
//!  +--------+-------+----------+-------+--------------------------------+
//!
//!  one head:
//!  0      1      3         11     15         23            27           29
//!  +------+------+---------+------+----------+-------------+------------+------------------+---------+
//!  | kind | slot | session | lane | sequence | command_len | body_count | body_len (u32) * | command |
//!  +------+------+---------+------+----------+-------------+------------+------------------+---------+
//! ```
//!
//! - `term` and `leader` name the leader that proposed the entry; with the record's index they are its log id.
//! - `stamp` is the leader's hybrid time; the state machine raises it where it would not grow.
//! - A head's `kind` is 0 for a command of the state model, 1 for the end of the session named in `session`.
//! - Bodies come last, so that a body's place in the payload is known from the heads alone: the state machine hands that
//!   place to the index, and the body is never written a second time.
//! - Reserved bytes are 0 and are refused otherwise: a later version may give them a meaning.

use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use ringfort_core::{CommandId, HybridTime, SessionId, SlotId, VoterId};
use ringfort_storage_api::InlineBody;
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Version of the payload format this program writes.
pub(crate) const PAYLOAD_VERSION: u8 = 1;
/// Length of what all payloads begin with.
pub(crate) const PREFIX_LEN: usize = 20;
/// Bytes before the heads of a batch, the prefix not counted.
const BATCH_FIXED_LEN: usize = 16;
/// Bytes of a head before its body lengths.
const HEAD_FIXED_LEN: usize = 29;

/// Kind of an entry.
pub(crate) const KIND_BLANK: u8 = 0;
/// Kind of an entry.
pub(crate) const KIND_MEMBERSHIP: u8 = 1;
/// Kind of an entry.
pub(crate) const KIND_BATCH: u8 = 2;

/// What one command of a batch is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommandKind {
    /// For the state model.
    Model,
    /// Ends a session in this group.
    EndSession,
}

/// One command of a batch: where its parts are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) kind: CommandKind,
    pub(crate) slot: SlotId,
    pub(crate) id: CommandId,
    /// In [`Batch::head`].
    command: Range<usize>,
    /// In [`Batch::spans`].
    bodies: Range<usize>,
}

/// What became of one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The recorded result.
    Done(Bytes),
    /// The session has ended.
    SessionEnded,
    /// A later command of its lane has been applied already: its issuer has stopped waiting.
    Superseded,
    /// Not proposed: a device below the group has no room for bodies.
    NoSpace,
    /// It was not proposed, or its fate is unknown to this voter: try again under the same id.
    Retry,
}

/// Where the outcomes of a batch go.
pub(crate) struct Replies {
    /// Answers only when this voter has applied the batch, so that its issuer reads its own write here.
    pub(crate) proposer: VoterId,
    pub(crate) senders: Vec<oneshot::Sender<Outcome>>,
}

/// A batch of commands. Shared by the voters of one process.
pub(crate) struct Batch {
    stamp: HybridTime,
    /// From `stamp` to the last head, as in the log.
    head: Bytes,
    commands: Vec<Command>,
    /// Place in the payload and length of every body.
    spans: Vec<(u32, u32)>,
    bodies: Vec<Bytes>,
    body_bytes: usize,
    /// Nothing of it is here: whoever applies it reads it from the log.
    left_in_log: bool,
    replies: Mutex<Option<Replies>>,
}

/// The application data of an openraft entry.
#[derive(Clone)]
pub(crate) struct Proposal(Arc<Batch>);

/// Why bytes are no payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PayloadError {
    #[error("payload ends early")]
    Truncated,
    #[error("payload version {0} is unknown")]
    Version(u8),
    #[error("payload kind {0} is unknown")]
    Kind(u8),
    #[error("reserved bytes are not zero")]
    Reserved,
    #[error("lengths in the payload contradict each other")]
    Lengths,
    #[error("the membership does not decode")]
    Membership,
}

impl Proposal {
    pub(crate) fn stamp(&self) -> HybridTime {
        self.0.stamp
    }

    pub(crate) fn commands(&self) -> &[Command] {
        &self.0.commands
    }

    /// The bytes of `command`.
    pub(crate) fn command_bytes(&self, command: &Command) -> &[u8] {
        &self.0.head[command.command.clone()]
    }

    /// Place in the payload and length of each body of `command`.
    pub(crate) fn spans(&self, command: &Command) -> &[(u32, u32)] {
        &self.0.spans[command.bodies.clone()]
    }

    /// What a model may know of the bodies of `command`.
    pub(crate) fn inline_bodies<'a>(
        &self,
        command: &Command,
        room: &'a mut Vec<InlineBody>,
    ) -> &'a [InlineBody] {
        room.clear();
        room.extend(self.spans(command).iter().map(|&(_, len)| InlineBody { len }));
        room
    }

    /// Bytes of the payload without its prefix.
    pub(crate) fn encoded_len(&self) -> usize {
        self.0.head.len() + self.0.body_bytes
    }

    /// The pieces that follow the prefix in the payload; nothing is copied.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Bytes> + '_ {
        assert!(
            self.0.bodies.len() == self.0.spans.len() && !self.0.left_in_log,
            "a batch stripped of its bodies goes nowhere but to apply"
        );
        std::iter::once(self.0.head.clone()).chain(self.0.bodies.iter().cloned())
    }

    /// Attaches the places that wait for the outcomes.
    pub(crate) fn expect_replies(&self, replies: Replies) {
        *self.0.replies.lock() = Some(replies);
    }

    /// Takes the places that wait, if `voter` is the one to answer.
    pub(crate) fn take_replies(&self, voter: VoterId) -> Option<Vec<oneshot::Sender<Outcome>>> {
        let mut replies = self.0.replies.lock();
        replies.take_if(|replies| replies.proposer == voter).map(|replies| replies.senders)
    }

    /// The same commands without their bodies and without a hold on the payload they were decoded from: enough to apply.
    pub(crate) fn without_bodies(&self) -> Self {
        Self(Arc::new(Batch {
            stamp: self.0.stamp,
            head: Bytes::copy_from_slice(&self.0.head),
            commands: self.0.commands.clone(),
            spans: self.0.spans.clone(),
            bodies: Vec::new(),
            body_bytes: 0,
            left_in_log: false,
            replies: Mutex::new(None),
        }))
    }

    /// Stands for a proposal that is still in the log, so that a long row of entries costs little memory.
    pub(crate) fn left_in_log() -> Self {
        Self(Arc::new(Batch {
            stamp: HybridTime::default(),
            head: Bytes::new(),
            commands: Vec::new(),
            spans: Vec::new(),
            bodies: Vec::new(),
            body_bytes: 0,
            left_in_log: true,
            replies: Mutex::new(None),
        }))
    }

    pub(crate) fn is_left_in_log(&self) -> bool {
        self.0.left_in_log
    }

    /// Bytes of the commands, without their bodies.
    pub(crate) fn head_len(&self) -> usize {
        self.0.head.len()
    }

    /// Decodes what follows the prefix.
    pub(crate) fn decode(rest: &Bytes) -> Result<Self, PayloadError> {
        let mut reader = Reader { bytes: rest, at: 0 };
        let stamp = HybridTime(reader.u64()?);
        let count = reader.u32()? as usize;
        let heads_len = reader.u32()? as usize;
        let head_end = BATCH_FIXED_LEN
            .checked_add(heads_len)
            .filter(|&end| end <= rest.len())
            .ok_or(PayloadError::Truncated)?;
        let head = rest.slice(..head_end);
        let mut reader = Reader { bytes: &head, at: BATCH_FIXED_LEN };
        let mut commands = Vec::with_capacity(count.min(heads_len / HEAD_FIXED_LEN));
        let mut spans = Vec::new();
        let mut bodies = Vec::new();
        let mut body_at = head_end;
        for _ in 0..count {
            let (mut command, body_count) = reader.head()?;
            let first = spans.len();
            for _ in 0..body_count {
                let len = reader.u32()?;
                let end = body_at
                    .checked_add(len as usize)
                    .filter(|&end| end <= rest.len())
                    .ok_or(PayloadError::Lengths)?;
                let at = u32::try_from(body_at + PREFIX_LEN).map_err(|_| PayloadError::Lengths)?;
                spans.push((at, len));
                bodies.push(rest.slice(body_at..end));
                body_at = end;
            }
            command.bodies = first..spans.len();
            let len = command.command.len();
            let from = reader.at;
            reader.take(len)?;
            command.command = from..from + len;
            commands.push(command);
        }
        if reader.at != head_end || body_at != rest.len() {
            return Err(PayloadError::Lengths);
        }
        let body_bytes = rest.len() - head_end;
        Ok(Self(Arc::new(Batch {
            stamp,
            head,
            commands,
            spans,
            bodies,
            body_bytes,
            left_in_log: false,
            replies: Mutex::new(None),
        })))
    }
}

/// Collects commands into a [`Proposal`].
pub(crate) struct ProposalBuilder {
    head: BytesMut,
    commands: Vec<Command>,
    spans: Vec<(u32, u32)>,
    bodies: Vec<Bytes>,
    body_bytes: usize,
}

impl ProposalBuilder {
    /// A builder with room for `commands` commands of `head_bytes` bytes in all.
    pub(crate) fn new(commands: usize, head_bytes: usize) -> Self {
        let mut head =
            BytesMut::with_capacity(BATCH_FIXED_LEN + commands * (HEAD_FIXED_LEN + 4) + head_bytes);
        head.put_bytes(0, BATCH_FIXED_LEN);
        Self {
            head,
            commands: Vec::with_capacity(commands),
            spans: Vec::with_capacity(commands),
            bodies: Vec::with_capacity(commands),
            body_bytes: 0,
        }
    }

    /// Adds a command. The caller bounds the sizes: a batch is far below 4 GiB and a command has at most 65535 bodies.
    pub(crate) fn push(
        &mut self,
        kind: CommandKind,
        slot: SlotId,
        id: CommandId,
        command: &[u8],
        bodies: Vec<Bytes>,
    ) {
        self.head.put_u8(match kind {
            CommandKind::Model => 0,
            CommandKind::EndSession => 1,
        });
        self.head.put_u16_le(slot.0);
        self.head.put_u64_le(id.session.0);
        self.head.put_u32_le(id.lane);
        self.head.put_u64_le(id.sequence);
        self.head.put_u32_le(u32::try_from(command.len()).expect("the caller bounds commands"));
        self.head.put_u16_le(u16::try_from(bodies.len()).expect("the caller bounds bodies"));
        let first = self.spans.len();
        for body in bodies {
            let len = u32::try_from(body.len()).expect("the caller bounds bodies");
            self.head.put_u32_le(len);
            // The place within the bodies; `build` adds what lies before them.
            self.spans.push((u32::try_from(self.body_bytes).expect("the caller bounds batches"), len));
            self.body_bytes += body.len();
            self.bodies.push(body);
        }
        let from = self.head.len();
        self.head.put_slice(command);
        self.commands.push(Command {
            kind,
            slot,
            id,
            command: from..self.head.len(),
            bodies: first..self.spans.len(),
        });
    }

    /// The batch, stamped.
    pub(crate) fn build(mut self, stamp: HybridTime) -> Proposal {
        let count = u32::try_from(self.commands.len()).expect("the caller bounds batches");
        let heads_len = u32::try_from(self.head.len() - BATCH_FIXED_LEN).expect("the caller bounds batches");
        self.head[0..8].copy_from_slice(&stamp.0.to_le_bytes());
        self.head[8..12].copy_from_slice(&count.to_le_bytes());
        self.head[12..16].copy_from_slice(&heads_len.to_le_bytes());
        let bodies_at = u32::try_from(PREFIX_LEN + self.head.len()).expect("the caller bounds batches");
        for (at, _) in &mut self.spans {
            *at += bodies_at;
        }
        Proposal(Arc::new(Batch {
            stamp,
            head: self.head.freeze(),
            commands: self.commands,
            spans: self.spans,
            bodies: self.bodies,
            body_bytes: self.body_bytes,
            left_in_log: false,
            replies: Mutex::new(None),
        }))
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], PayloadError> {
        let end = self.at.checked_add(len).ok_or(PayloadError::Truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(PayloadError::Truncated)?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PayloadError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn u16(&mut self) -> Result<u16, PayloadError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, PayloadError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, PayloadError> {
        self.array().map(u64::from_le_bytes)
    }

    /// The fixed part of a head; the range of the command says its length only, and the bodies are to be filled in.
    fn head(&mut self) -> Result<(Command, u16), PayloadError> {
        let kind = match self.array::<1>()?[0] {
            0 => CommandKind::Model,
            1 => CommandKind::EndSession,
            other => return Err(PayloadError::Kind(other)),
        };
        let slot = SlotId(self.u16()?);
        let session = SessionId(self.u64()?);
        let lane = self.u32()?;
        let sequence = self.u64()?;
        let command_len = self.u32()? as usize;
        let body_count = self.u16()?;
        let id = CommandId { session, lane, sequence };
        Ok((Command { kind, slot, id, command: 0..command_len, bodies: 0..0 }, body_count))
    }
}

impl std::fmt::Debug for Proposal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Proposal({} commands, {} bytes)", self.0.commands.len(), self.encoded_len())
    }
}

impl PartialEq for Proposal {
    fn eq(&self, other: &Self) -> bool {
        self.0.head == other.0.head && self.0.bodies == other.0.bodies
    }
}

// openraft asks for serde on everything it holds; our storage and network never use it.
impl serde::Serialize for Proposal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut flat = Vec::with_capacity(self.encoded_len());
        for piece in self.pieces() {
            flat.extend_from_slice(&piece);
        }
        serializer.serialize_bytes(&flat)
    }
}

impl<'de> serde::Deserialize<'de> for Proposal {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let flat = Bytes::deserialize(deserializer)?;
        Self::decode(&flat).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
