//! Bytes of version 1, frozen: stored records must be read for ever.

use crate::ShardRoot;
use crate::record::{Body, Version};
use crate::{
    AccountRecord, AliasRecord, Attributes, BlobRecord, BlobRef, Command, CompleteUpload, ContainerRecord,
    ContainerState, ETag, ETagMatch, MovedRecord, NewBody, Part, PutObject, Retired, SetAttributes, ShardId,
    ShardRange, VersionId, Versioning, WriteConditions, decode_extras, encode_extras, keys,
};
use ringfort_core::{BlobId, HybridTime, SessionId, SlotId};
use std::fmt::Write;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn blob() -> BlobId {
    BlobId::new(SlotId(0x123), SessionId(0x456), 0x789)
}

fn version(body: Body, extras: &[u8]) -> Version<'_> {
    Version {
        stamp: 0x0006_4400_0000_0001,
        null: true,
        marker: false,
        etag: ETag::of_md5([0xab; 16]),
        size: 4096,
        content_type: Some("application/octet-stream"),
        body,
        extras,
        touched: None,
        older: false,
        null_at: None,
    }
}

#[test]
fn an_ordinary_object_takes_less_than_a_hundred_bytes() {
    let bytes = version(Body::Inline(blob()), &[]).encode();
    assert!(bytes.len() < 100, "{}", bytes.len());
}

#[test]
fn records_are_frozen() {
    let attributes = Attributes {
        content_type: None,
        headers: vec![("cache-control".into(), "no-store".into())],
        metadata: vec![("a".into(), "b".into())],
        checksums: vec![("crc32c".into(), "AAAAAA==".into())],
        expires_at: Some(1_900_000_000),
    };
    let extras = encode_extras(&attributes);
    assert_eq!(decode_extras(&extras), Some(attributes));
    let blob_ref = BlobRef { blob: blob(), referrer: Some(blob()), policy: 3, chunk_bytes: 4 << 20 };
    let versions = [
        version(Body::Empty, &[]),
        version(Body::Inline(blob()), &[]),
        Version { older: true, null: false, null_at: Some(5), ..version(Body::Chunks(blob_ref), &extras) },
        version(Body::Manifest { id: 9, parts: 10_000 }, &[]),
        Version { touched: Some(7), null_at: Some(5), ..version(Body::Chunks(blob_ref), &extras) },
    ];
    let mut all = String::new();
    for version in &versions {
        let bytes = version.encode();
        assert_eq!(Version::decode(&bytes).as_ref(), Some(version));
        all += &format!("version   {}\n", hex(&bytes));
    }
    let root = ShardRoot {
        sealed: true,
        seal_token: 1,
        versioning: Versioning::Suspended,
        versioning_revision: 2,
        objects: 3,
        versions: 4,
        bytes: 5,
        uploads: 6,
        range: None,
    };
    assert_eq!(ShardRoot::decode(&root.encode()), Some(root.clone()));
    all += &format!("shard     {}\n", hex(&root.encode()));
    let home = BlobRecord { policy: 1, chunk_bytes: 4 << 20, size: 1 << 40, mark: 1 };
    assert_eq!(BlobRecord::decode(&home.encode()), Some(home));
    all += &format!("blob      {}\n", hex(&home.encode()));
    let part = Part {
        number: 7,
        size: 1 << 30,
        md5: [1; 16],
        stamp: 2,
        blob: Some(BlobRef { referrer: None, ..blob_ref }),
        checksums: vec![("sha256".into(), "x".into())],
    };
    assert_eq!(Part::decode(&part.encode()), Some(part.clone()));
    all += &format!("part      {}\n", hex(&part.encode()));
    let container = ContainerRecord {
        state: ContainerState::Sealing(8),
        incarnation: 1,
        created: HybridTime(2),
        revision: 3,
        versioning: Versioning::Enabled,
        versioning_revision: 4,
        policy: 5,
        shards: vec![(String::new(), 0), ("m".into(), 1)],
        metadata: vec![("k".into(), "v".into())],
    };
    assert_eq!(ContainerRecord::decode(&container.encode()), Some(container.clone()));
    all += &format!("container {}\n", hex(&container.encode()));
    let alias = AliasRecord { revision: 1, incarnation: 2, account: "acct".into() };
    assert_eq!(AliasRecord::decode(&alias.encode()), Some(alias.clone()));
    all += &format!("alias     {}\n", hex(&alias.encode()));
    let metadata = vec![("k".into(), "v".into())];
    let account = AccountRecord { created: HybridTime(1), revision: 2, containers: 300, metadata };
    assert_eq!(AccountRecord::decode(&account.encode()), Some(account.clone()));
    all += &format!("account   {}\n", hex(&account.encode()));
    for command in commands() {
        let bytes = command.encode();
        assert_eq!(Command::decode(&bytes).as_ref(), Some(&command));
        all += &format!("command   {}\n", hex(&bytes));
    }
    let range = ShardRange {
        begin: Some("b".into()),
        end: Some(("y".into(), 3)),
        hold: Some(("x".into(), 4)),
        staged: Some("a".into()),
        token: 5,
    };
    let ranged = ShardRoot { range: Some(Box::new(range)), ..root };
    assert_eq!(ShardRoot::decode(&ranged.encode()), Some(ranged.clone()));
    all += &format!("ranged    {}\n", hex(&ranged.encode()));
    for key in [keys::current(SHARD, b"k"), keys::older(SHARD, b"k", 1), keys::upload(SHARD, b"k", 2)]
        .into_iter()
        .chain([
            keys::part(SHARD, b"k", 2, 3),
            keys::manifest(SHARD, b"k", 4, 5, 6),
            keys::done(SHARD, b"k", 2),
        ])
        .chain([
            keys::blob(blob()),
            keys::referrer(blob(), blob()),
            keys::condemned(blob()),
            keys::held(blob()),
        ])
        .chain([
            keys::outbox(7, 8),
            keys::expiry(9, SHARD, 10, b"k"),
            keys::container("a", "c"),
            keys::alias("c"),
        ])
        .chain([keys::shard(SHARD), keys::account("a")])
    {
        all += &format!("key       {}\n", hex(&key));
    }
    assert_eq!(all, include_str!("golden.txt"));
}

const SHARD: ShardId = ShardId { incarnation: 1, number: 2 };

/// One of each.
fn commands() -> Vec<Command<'static>> {
    let (shard, key, token) = (SHARD, "key", 3);
    let tags = vec![ETag { md5: [4; 16], parts: 5 }];
    let conditions =
        WriteConditions { if_match: Some(ETagMatch::OneOf(tags)), if_none_match: Some(ETagMatch::Any) };
    let blob_ref = BlobRef { blob: blob(), referrer: Some(blob()), policy: 3, chunk_bytes: 4 << 20 };
    let part =
        Part { number: 1, size: 2, md5: [3; 16], stamp: 4, blob: Some(blob_ref), checksums: Vec::new() };
    let put = |body| {
        Command::Put(PutObject {
            shard,
            key,
            conditions: conditions.clone(),
            size: 4096,
            etag: ETag::of_md5([2; 16]),
            content_type: Some("t"),
            extras: b"x",
            body,
        })
    };
    let record = ContainerRecord {
        state: ContainerState::Live,
        incarnation: 1,
        created: HybridTime(2),
        revision: 3,
        versioning: Versioning::Off,
        versioning_revision: 4,
        policy: 5,
        shards: vec![(String::new(), 0)],
        metadata: Vec::new(),
    };
    let complete = CompleteUpload {
        shard,
        key,
        upload: 6,
        conditions: conditions.clone(),
        etag: ETag { md5: [7; 16], parts: 1 },
        part_bytes_min: 8,
        checksums: vec![("a".into(), "b".into())],
        parts: vec![(1, [9; 16])],
    };
    let moved = MovedRecord { table: keys::UPLOAD, rest: vec![1], value: vec![2] };
    let (versioning, revision, pairs) = (Versioning::Enabled, 9, vec![(blob(), blob())]);
    vec![
        put(NewBody::Empty),
        put(NewBody::Inline(blob())),
        put(NewBody::Chunks { blob: blob(), policy: 1, chunk_bytes: 2 }),
        put(NewBody::Shared(blob_ref)),
        put(NewBody::Parts(vec![part.clone()])),
        Command::Delete { shard, key, version: Some(VersionId::At(HybridTime(1))), conditions },
        Command::Expire { shard, key, stamp: 1, at: 2 },
        Command::SetContainer { account: "a", name: "c", expect: 1, record: Some(record) },
        Command::SetAlias { name: "c", expect: 1, holder: Some(("a", 2)) },
        Command::CreateShard { shard, versioning, revision },
        Command::SetVersioning { shard, versioning, revision },
        Command::Seal { shard, token },
        Command::Unseal { shard, token },
        Command::RemoveShard { shard },
        Command::CreateUpload { shard, key, content_type: None, extras: b"x" },
        Command::PutPart { shard, key, upload: 1, part },
        Command::Complete(complete),
        Command::AbortUpload { shard, key, upload: 1 },
        Command::AddReferrers(pairs.clone()),
        Command::DropReferrers(pairs),
        Command::Condemn(vec![(blob(), 1)]),
        Command::Collected(vec![blob()]),
        Command::Delivered(vec![(1, 2)]),
        Command::CreateTaker { shard, versioning, revision, end: Some(("z", 4)) },
        Command::Hold { shard, from: key },
        Command::Unhold { shard, token },
        Command::Import { shard, token, begin: Some("z"), from: key, records: vec![moved] },
        Command::Cut { shard, token, next: 4 },
        Command::Serve { shard, begin: key },
        Command::AddBlob { blob: blob(), policy: 1, chunk_bytes: 2, size: 3, referrer: blob() },
        Command::SetAttributes(SetAttributes {
            shard,
            key,
            stamp: 4,
            expect: [5; 16],
            touch: true,
            content_type: Some("t"),
            extras: b"x",
        }),
        Command::SetAccount { account: "a", expect: 1, metadata: Some(vec![("k".into(), "v".into())]) },
        Command::SetAccount { account: "a", expect: 1, metadata: None },
        Command::Retire { shard, key, version: VersionId::Null, modified: 7, what: Retired::Noncurrent },
    ]
}

#[test]
fn the_shard_of_a_key() {
    let container = ContainerRecord {
        state: ContainerState::Live,
        incarnation: 1,
        created: HybridTime(0),
        revision: 0,
        versioning: Versioning::Off,
        versioning_revision: 0,
        policy: 0,
        shards: vec![(String::new(), 4), ("m".into(), 2), ("t".into(), 9)],
        metadata: Vec::new(),
    };
    for (key, number) in [("", 4), ("a", 4), ("lzz", 4), ("m", 2), ("s", 2), ("t", 9), ("zz", 9)] {
        assert_eq!(container.shard_of(key).id.number, number, "{key}");
    }
}
