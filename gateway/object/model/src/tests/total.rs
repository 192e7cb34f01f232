//! Any bytes in, no panic out.

use crate::{Command, Found, ObjectModel, Page, Query, ShardId, decode_reply, fuzzing};
use bytes::Bytes;
use proptest::prelude::*;
use ringfort_core::HybridTime;
use ringfort_storage_api::StateModel;

const SHARD: ShardId = ShardId { incarnation: 1, number: 0 };

/// Bytes that begin like a command or query.
fn message() -> impl Strategy<Value = Vec<u8>> {
    (0..32_u8, prop::collection::vec(any::<u8>(), 0..120), any::<bool>()).prop_map(
        |(number, mut rest, at_shard)| {
            if at_shard {
                rest.splice(0..0, 1_u64.to_be_bytes().into_iter().chain([0; 4]).chain([3]).chain(*b"key"));
            }
            rest.splice(0..0, [number, 1]);
            rest
        },
    )
}

proptest! {
    #[test]
    fn messages(bytes in message()) {
        fuzzing::commands(&bytes);
        fuzzing::queries(&bytes);
    }

    /// Damaged records are refused, whatever is asked of them.
    #[test]
    fn damaged_records(which in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>(), flip in any::<u8>()) {
        let mut slot = fuzzing::slot_with_an_object();
        let keys: Vec<_> = slot.records.keys().cloned().collect();
        let record = slot.records.get_mut(which.get(&keys)).unwrap();
        let at = cut.index(record.len());
        if flip == 0 { record.truncate(at) } else { record[at] ^= flip }
        let range = crate::KeyRange { limit: 10, ..Default::default() };
        for query in [
            Query::Get { shard: SHARD, key: "key", version: None, body: true },
            Query::List { shard: SHARD, range },
            Query::Versions { shard: SHARD, range, after: None },
            Query::Shard { shard: SHARD },
        ] {
            let answer = ObjectModel.query(&slot, &query.encode());
            if let Ok(payload) = decode_reply(&answer.reply) {
                let _ = Found::decode(payload);
                let _ = Page::decode(Bytes::copy_from_slice(payload)).map(|page| page.entries().count());
            }
        }
        let delete = Command::Delete { shard: SHARD, key: "key", version: None, conditions: Default::default() };
        slot.apply(&ObjectModel, HybridTime(9), &delete.encode(), Vec::new());
    }

    #[test]
    fn replies(bytes in prop::collection::vec(any::<u8>(), 0..150)) {
        fuzzing::replies(&bytes);
        fuzzing::records(&bytes);
    }
}
