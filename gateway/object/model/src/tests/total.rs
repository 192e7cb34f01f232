//! Any bytes in, no panic out.

use crate::{
    Command, ContainerRecord, Deleted, Found, MemorySlot, NewBody, ObjectModel, Page, PutObject, Query,
    ShardId, Stored, Versioning, WriteConditions, decode_blobs, decode_containers, decode_expiring,
    decode_extras, decode_manifest, decode_outbox, decode_references, decode_reply, decode_upload,
};
use bytes::Bytes;
use proptest::prelude::*;
use ringfort_core::HybridTime;
use ringfort_storage_api::StateModel;

const SHARD: ShardId = ShardId { incarnation: 1, number: 0 };

fn slot_with_an_object() -> MemorySlot {
    let mut slot = MemorySlot::new(SHARD.slot());
    let make = Command::CreateShard { shard: SHARD, versioning: Versioning::Enabled, revision: 1 };
    let put = Command::Put(PutObject {
        shard: SHARD,
        key: "key",
        conditions: WriteConditions::default(),
        size: 0,
        etag: Default::default(),
        content_type: Some("text/plain"),
        extras: &[],
        body: NewBody::Empty,
    });
    for (stamp, command) in [(1, &make), (2, &put), (3, &put)] {
        slot.apply(&ObjectModel, HybridTime(stamp), &command.encode(), Vec::new());
    }
    slot
}

/// Bytes that begin like a command or query.
fn message() -> impl Strategy<Value = Vec<u8>> {
    (0..28_u8, prop::collection::vec(any::<u8>(), 0..120), any::<bool>()).prop_map(
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
        let mut slot = slot_with_an_object();
        ObjectModel.query(&slot, &bytes);
        slot.apply(&ObjectModel, HybridTime(9), &bytes, Vec::new());
        slot.apply(&ObjectModel, HybridTime(10), &bytes, vec![Bytes::from_static(b"body")]);
    }

    /// Damaged records are refused, whatever is asked of them.
    #[test]
    fn damaged_records(which in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>(), flip in any::<u8>()) {
        let mut slot = slot_with_an_object();
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
        let _ = decode_reply(&bytes);
        let _ = (Stored::decode(&bytes), Deleted::decode(&bytes), Found::decode(&bytes));
        let _ = (decode_extras(&bytes), decode_upload(&bytes), decode_manifest(&bytes), decode_containers(&bytes));
        let _ = (decode_blobs(&bytes), decode_outbox(&bytes), decode_expiring(&bytes), decode_references(&bytes));
        let _ = ContainerRecord::decode(&bytes);
        if let Some(page) = Page::decode(bytes.into()) {
            let _ = (page.last(), page.entries().count());
        }
    }
}
