//! What the model itself costs per PUT, GET and listed key, over slots in memory: nanoseconds of one core, best of several runs.

use bytes::Bytes;
use ringfort_core::{BlobId, HybridTime, SessionId};
use ringfort_object_model::{
    Command, ETag, KeyRange, MemorySlot, NewBody, ObjectModel, Page, PutObject, Query, ShardId, Versioning,
    WriteConditions, decode_reply,
};
use ringfort_storage_api::StateModel;
use std::hint::black_box;
use std::time::{Duration, Instant};

const SHARD: ShardId = ShardId { incarnation: 1, number: 0 };
const KEYS: u64 = 100_000;
const PAGE: u32 = 1000;

fn put(slot: &mut MemorySlot, number: u64, body: &Bytes) {
    let key = format!("objects/{number:012}");
    let command = Command::Put(PutObject {
        shard: SHARD,
        key: &key,
        conditions: WriteConditions::default(),
        size: body.len() as u64,
        etag: ETag::of_md5([3; 16]),
        content_type: Some("application/octet-stream"),
        extras: &[],
        body: NewBody::Inline(BlobId::new(SHARD.slot(), SessionId(1), number)),
    });
    slot.apply(&ObjectModel, HybridTime(number), &command.encode(), vec![body.clone()]);
}

/// The shortest of several runs, per item.
fn best(items: u64, mut run: impl FnMut()) -> u128 {
    let mut best = Duration::MAX;
    for _ in 0..9 {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed());
    }
    best.as_nanos() / u128::from(items)
}

fn main() {
    let mut slot = MemorySlot::new(SHARD.slot());
    let create = Command::CreateShard { shard: SHARD, versioning: Versioning::Off, revision: 1 };
    slot.apply(&ObjectModel, HybridTime(1), &create.encode(), Vec::new());
    let body = Bytes::from(vec![7; 4096]);
    let mut next = 2;
    let written = best(KEYS / 10, || {
        for _ in 0..KEYS / 10 {
            put(&mut slot, next, &body);
            next += 1;
        }
    });
    let get = Query::Get { shard: SHARD, key: "objects/000000004711", version: None, body: true }.encode();
    let read = best(10_000, || {
        for _ in 0..10_000 {
            black_box(ObjectModel.query(&slot, black_box(&get)));
        }
    });
    let range = KeyRange { limit: PAGE, marker: "objects/000000031000", ..KeyRange::default() };
    let list = Query::List { shard: SHARD, range }.encode();
    let listed = best(u64::from(PAGE) * 100, || {
        for _ in 0..100 {
            black_box(ObjectModel.query(&slot, black_box(&list)));
        }
    });
    let reply = ObjectModel.query(&slot, &list).reply;
    let payload = Bytes::copy_from_slice(decode_reply(&reply).unwrap_or_default());
    let decoded = best(u64::from(PAGE) * 100, || {
        for _ in 0..100 {
            let page = Page::decode(payload.clone()).unwrap_or_default();
            black_box(page.entries().filter(|entry| black_box(entry) == entry).count());
        }
    });
    println!("put {written} ns, get {read} ns, listed key {listed} ns and {decoded} ns to decode");
}
