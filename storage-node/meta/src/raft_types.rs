//! The types our openraft runs with, and the stored forms of what it keeps: votes, log ids, memberships.
//!
//! # Stored forms, version 1
//!
//! All integers little-endian; the engine's records and the index's blocks bring the checksums.
//!
//! ```text
//! vote:        | version u8 | owner u64 | term u64 | node u64 | committed u8 |
//! log id:      | index u64 | term u64 | node u64 |
//! purge mark:  | version u8 | log id |
//! membership:  | version u8 | has log id u8 | log id | configs u8 | (voters u16 | voter u64 *) * | members u16 | member u64 * |
//! ```
//!
//! `owner` is the voter the log belongs to: a voter that comes to a log of another abstains, because a vote or an
//! acknowledgement of the other must never be counted twice.

use crate::proposal::{
    KIND_BATCH, KIND_BLANK, KIND_MEMBERSHIP, PAYLOAD_VERSION, PREFIX_LEN, PayloadError, Proposal,
};
use crate::snapshot::SnapshotSource;
use bytes::{BufMut, Bytes, BytesMut};
use openraft::impls::{EmptyNode, OneshotResponder};
use openraft::{CommittedLeaderId, EntryPayload, LogId, Membership, StoredMembership, TokioRuntime, Vote};
use ringfort_core::VoterId;
use std::collections::{BTreeMap, BTreeSet};

openraft::declare_raft_types!(
    /// The types of a metadata group. An applied entry answers nothing through openraft: the outcomes of a batch go to those
    /// who wait for them as soon as the proposer has applied it.
    pub(crate) Types:
        D = Proposal,
        R = (),
        NodeId = u64,
        Node = EmptyNode,
        Entry = openraft::Entry<Types>,
        SnapshotData = SnapshotSource,
        Responder = OneshotResponder<Types>,
        AsyncRuntime = TokioRuntime,
);

pub(crate) type Entry = openraft::Entry<Types>;
pub(crate) type Raft = openraft::Raft<Types>;
pub(crate) type RaftVote = Vote<u64>;
pub(crate) type RaftLogId = LogId<u64>;
pub(crate) type StoredMembers = StoredMembership<u64, EmptyNode>;
pub(crate) type StorageError = openraft::StorageError<u64>;

const VERSION: u8 = 1;
const LOG_ID_LEN: usize = 24;

/// The vote of `owner`, to store.
pub(crate) fn encode_vote(owner: VoterId, vote: &RaftVote) -> Bytes {
    let mut out = BytesMut::with_capacity(26);
    out.put_u8(VERSION);
    out.put_u64_le(owner.0);
    out.put_u64_le(vote.leader_id.term);
    out.put_u64_le(vote.leader_id.node_id);
    out.put_u8(u8::from(vote.committed));
    out.freeze()
}

/// A stored vote and its owner.
pub(crate) fn decode_vote(bytes: &[u8]) -> Result<(VoterId, RaftVote), PayloadError> {
    let mut reader = Reader(bytes);
    reader.version()?;
    let owner = VoterId(reader.u64()?);
    let (term, node) = (reader.u64()?, reader.u64()?);
    let vote = match reader.u8()? {
        0 => Vote::new(term, node),
        1 => Vote::new_committed(term, node),
        _ => return Err(PayloadError::Lengths),
    };
    reader.end()?;
    Ok((owner, vote))
}

/// A log id within a larger record.
pub(crate) fn put_log_id(out: &mut impl BufMut, log_id: &RaftLogId) {
    out.put_u64_le(log_id.index);
    out.put_u64_le(log_id.leader_id.term);
    out.put_u64_le(log_id.leader_id.node_id);
}

/// A purge mark.
pub(crate) fn encode_mark(log_id: &RaftLogId) -> Bytes {
    let mut out = BytesMut::with_capacity(1 + LOG_ID_LEN);
    out.put_u8(VERSION);
    put_log_id(&mut out, log_id);
    out.freeze()
}

/// The log id of a purge mark.
pub(crate) fn decode_mark(bytes: &[u8]) -> Result<RaftLogId, PayloadError> {
    let mut reader = Reader(bytes);
    reader.version()?;
    let log_id = reader.log_id()?;
    reader.end()?;
    Ok(log_id)
}

/// A membership and where it stands in the log.
pub(crate) fn encode_membership(stored: &StoredMembers) -> Bytes {
    let mut out = BytesMut::with_capacity(128);
    out.put_u8(VERSION);
    out.put_u8(u8::from(stored.log_id().is_some()));
    put_log_id(&mut out, &stored.log_id().unwrap_or_default());
    let configs = stored.membership().get_joint_config();
    out.put_u8(u8::try_from(configs.len()).expect("a joint configuration has two parts"));
    for config in configs {
        out.put_u16_le(u16::try_from(config.len()).expect("a group has few voters"));
        config.iter().for_each(|voter| out.put_u64_le(*voter));
    }
    out.put_u16_le(u16::try_from(stored.membership().nodes().count()).expect("a group has few members"));
    stored.membership().nodes().for_each(|(member, _)| out.put_u64_le(*member));
    out.freeze()
}

/// A stored membership.
pub(crate) fn decode_membership(bytes: &[u8]) -> Result<StoredMembers, PayloadError> {
    let mut reader = Reader(bytes);
    reader.version()?;
    let has_log_id = reader.u8()? != 0;
    let log_id = reader.log_id()?;
    let mut configs = Vec::new();
    for _ in 0..reader.u8()? {
        let mut config = BTreeSet::new();
        for _ in 0..reader.u16()? {
            config.insert(reader.u64()?);
        }
        configs.push(config);
    }
    let mut members = BTreeMap::new();
    for _ in 0..reader.u16()? {
        members.insert(reader.u64()?, EmptyNode {});
    }
    reader.end()?;
    // `Membership::new` panics on a voter that is no member.
    if !configs.iter().flatten().all(|voter| members.contains_key(voter)) {
        return Err(PayloadError::Membership);
    }
    Ok(StoredMembership::new(has_log_id.then_some(log_id), Membership::new(configs, members)))
}

/// The pieces of an entry's payload; bodies are not copied.
pub(crate) fn entry_pieces(entry: &Entry) -> Vec<Bytes> {
    let kind = match &entry.payload {
        EntryPayload::Blank => KIND_BLANK,
        EntryPayload::Membership(_) => KIND_MEMBERSHIP,
        EntryPayload::Normal(_) => KIND_BATCH,
    };
    let mut prefix = BytesMut::with_capacity(PREFIX_LEN);
    prefix.put_slice(&[PAYLOAD_VERSION, kind, 0, 0]);
    prefix.put_u64_le(entry.log_id.leader_id.term);
    prefix.put_u64_le(entry.log_id.leader_id.node_id);
    let prefix = prefix.freeze();
    match &entry.payload {
        EntryPayload::Blank => vec![prefix],
        EntryPayload::Membership(members) => {
            vec![prefix, encode_membership(&StoredMembership::new(Some(entry.log_id), members.clone()))]
        }
        EntryPayload::Normal(proposal) => std::iter::once(prefix).chain(proposal.pieces()).collect(),
    }
}

/// The log id of the entry at `index` whose payload this is; looks at the prefix only.
pub(crate) fn payload_log_id(index: u64, payload: &[u8]) -> Result<RaftLogId, PayloadError> {
    let mut reader = Reader(payload);
    reader.prefix().map(|(_, term, node)| LogId::new(CommittedLeaderId::new(term, node), index))
}

/// Whether this is the payload of a batch; looks at the prefix only.
pub(crate) fn is_batch(payload: &[u8]) -> Result<bool, PayloadError> {
    Reader(payload).prefix().map(|(kind, _, _)| kind == KIND_BATCH)
}

/// The entry at `index` whose payload this is.
pub(crate) fn decode_entry(index: u64, payload: &Bytes) -> Result<Entry, PayloadError> {
    let mut reader = Reader(payload);
    let (kind, term, node) = reader.prefix()?;
    let log_id = LogId::new(CommittedLeaderId::new(term, node), index);
    let rest = payload.slice(PREFIX_LEN..);
    let payload = match kind {
        KIND_BLANK if rest.is_empty() => EntryPayload::Blank,
        KIND_BLANK => return Err(PayloadError::Lengths),
        KIND_MEMBERSHIP => EntryPayload::Membership(decode_membership(&rest)?.membership().clone()),
        KIND_BATCH => EntryPayload::Normal(Proposal::decode(&rest)?),
        other => return Err(PayloadError::Kind(other)),
    };
    Ok(Entry { log_id, payload })
}

/// Reads little-endian fields off the front.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], PayloadError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(PayloadError::Truncated)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, PayloadError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, PayloadError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, PayloadError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn version(&mut self) -> Result<(), PayloadError> {
        match self.u8()? {
            VERSION => Ok(()),
            other => Err(PayloadError::Version(other)),
        }
    }

    pub(crate) fn log_id(&mut self) -> Result<RaftLogId, PayloadError> {
        let (index, term, node) = (self.u64()?, self.u64()?, self.u64()?);
        Ok(LogId::new(CommittedLeaderId::new(term, node), index))
    }

    fn prefix(&mut self) -> Result<(u8, u64, u64), PayloadError> {
        self.version()?;
        let kind = self.u8()?;
        if self.array::<2>()? != [0, 0] {
            return Err(PayloadError::Reserved);
        }
        Ok((kind, self.u64()?, self.u64()?))
    }

    pub(crate) fn end(&self) -> Result<(), PayloadError> {
        if self.0.is_empty() { Ok(()) } else { Err(PayloadError::Lengths) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stored_forms_survive_the_round_trip() {
        let log_id = LogId::new(CommittedLeaderId::new(3, 9), 77);
        let vote = Vote::new_committed(3, 9);
        assert_eq!(decode_vote(&encode_vote(VoterId(5), &vote)), Ok((VoterId(5), vote)));
        assert_eq!(decode_mark(&encode_mark(&log_id)), Ok(log_id));
        let config = |voters: &[u64]| voters.iter().copied().collect::<BTreeSet<_>>();
        let members: BTreeMap<u64, EmptyNode> = [1, 2, 3, 4].map(|id| (id, EmptyNode {})).into();
        for (at, configs) in [(None, vec![]), (Some(log_id), vec![config(&[1, 2, 3]), config(&[2, 3, 4])])] {
            let stored = StoredMembership::new(at, Membership::new(configs, members.clone()));
            assert_eq!(decode_membership(&encode_membership(&stored)), Ok(stored.clone()));
            let entry = Entry { log_id, payload: EntryPayload::Membership(stored.membership().clone()) };
            let payload: Bytes = entry_pieces(&entry).concat().into();
            assert_eq!(payload_log_id(77, &payload), Ok(log_id));
            assert!(decode_entry(77, &payload) == Ok(entry));
        }
    }

    /// Written by version 1; what a device holds stays readable.
    #[test]
    fn stored_forms_of_version_1_are_frozen() {
        let log_id = LogId::new(CommittedLeaderId::new(0x0203, 0x04), 0x0506);
        let vote = Vote::new_committed(0x0203, 0x04);
        let vote_bytes: &[u8] = b"\x01\x09\0\0\0\0\0\0\0\x03\x02\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\x01";
        assert_eq!(encode_vote(VoterId(9), &vote), vote_bytes);
        let id_bytes = b"\x06\x05\0\0\0\0\0\0\x03\x02\0\0\0\0\0\0\x04\0\0\0\0\0\0\0";
        assert_eq!(encode_mark(&log_id), [&[1], &id_bytes[..]].concat());
        let members = Membership::new(vec![BTreeSet::from([4])], BTreeMap::from([(4, EmptyNode {})]));
        let tail = b"\x01\x01\0\x04\0\0\0\0\0\0\0\x01\0\x04\0\0\0\0\0\0\0";
        let stored = StoredMembership::new(Some(log_id), members);
        assert_eq!(encode_membership(&stored), [&[1, 1], &id_bytes[..], &tail[..]].concat());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
        #[test]
        fn decoders_are_total(mut bytes in proptest::collection::vec(any::<u8>(), 1..120), valid_start: bool) {
            if valid_start {
                bytes[0] = VERSION;
            }
            let _ = decode_vote(&bytes);
            let _ = decode_mark(&bytes);
            let _ = decode_membership(&bytes);
            let _ = decode_entry(1, &bytes.into());
        }
    }
}
