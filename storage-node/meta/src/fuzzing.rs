//! The decoders on any bytes, for fuzzing: each function panics when a promise of the format is broken.

use crate::apply::{decode_applied, encode_applied};
use crate::kv;
use crate::proposal::PREFIX_LEN;
use crate::raft_types::{
    decode_entry, decode_mark, decode_membership, decode_vote, encode_mark, encode_membership, encode_vote,
    entry_pieces, payload_log_id,
};
use bytes::Bytes;
use openraft::EntryPayload;
use ringfort_core::HybridTime;
use ringfort_storage_api::SlotTx;

/// Index of the entry whose payload the bytes are.
const INDEX: u64 = 7;

/// The payload of a log entry, as it is and behind the prefix of a batch and of a membership.
pub fn entry(bytes: &[u8]) {
    let behind = |kind: u8| [&[1, kind], &[0; PREFIX_LEN - 2][..], bytes].concat();
    for payload in [bytes.to_vec(), behind(1), behind(2)] {
        let payload = Bytes::from(payload);
        let Ok(entry) = decode_entry(INDEX, &payload) else { continue };
        assert_eq!(payload_log_id(INDEX, &payload), Ok(entry.log_id));
        let again = Bytes::from(entry_pieces(&entry).concat());
        assert!(decode_entry(INDEX, &again).as_ref() == Ok(&entry), "an entry survives its encoding");
        let EntryPayload::Normal(batch) = &entry.payload else { continue };
        assert_eq!(again, payload, "a batch has one stored form");
        for command in batch.commands() {
            let _ = batch.command_bytes(command);
            for &(at, len) in batch.spans(command) {
                let end = at as usize + len as usize;
                assert!(at as usize >= PREFIX_LEN && end <= payload.len(), "a body lies in its payload");
            }
        }
        assert_eq!(batch.without_bodies().commands(), batch.commands());
    }
}

/// Votes, purge marks, memberships and the record of what was applied.
pub fn records(bytes: &[u8]) {
    if let Ok((owner, vote)) = decode_vote(bytes) {
        assert_eq!(encode_vote(owner, &vote), bytes, "a vote has one stored form");
    }
    if let Ok(log_id) = decode_mark(bytes) {
        assert_eq!(encode_mark(&log_id), bytes, "a mark has one stored form");
    }
    if let Ok(members) = decode_membership(bytes) {
        assert_eq!(decode_membership(&encode_membership(&members)), Ok(members));
    }
    if let Ok((applied, time)) = decode_applied(bytes) {
        let applied = applied.expect("the record names a log id");
        assert_eq!(encode_applied(&applied, time), bytes, "the record has one stored form");
    }
}

/// Commands and queries of the system slot, run on `slot`; answers name what they are.
pub fn system_slot(slot: &mut dyn SlotTx, bytes: &[u8]) {
    for kind in [1, 2, 3] {
        let message = [&[kv::TAG, kind], bytes].concat();
        for stamp in 1..3 {
            let result = kv::apply(slot, HybridTime(stamp), &message);
            assert!(matches!(result.first(), Some(&(kv::DONE | kv::MISMATCH | kv::MALFORMED))));
        }
        let reply = kv::query(slot, &message).reply;
        assert!(matches!(reply.first(), Some(&(kv::DONE | kv::MALFORMED))));
    }
    let _ = (kv::apply(slot, HybridTime(9), bytes), kv::query(slot, bytes));
}
