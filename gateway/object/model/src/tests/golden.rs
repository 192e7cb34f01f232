//! Bytes of version 1, frozen: stored records must be read for ever.

use crate::record::{Body, ShardRoot, Version};
use crate::{
    AliasRecord, Attributes, BlobRecord, BlobRef, Command, ContainerRecord, ContainerState, ETag, NewBody,
    Part, PutObject, ShardId, Versioning, WriteConditions, decode_extras, encode_extras,
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
    };
    assert_eq!(ShardRoot::decode(&root.encode()), Some(root));
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
    let put = Command::Put(PutObject {
        shard: ShardId { incarnation: 1, number: 2 },
        key: "key",
        conditions: WriteConditions { if_match: None, if_none_match: Some(crate::ETagMatch::Any) },
        size: 4096,
        etag: ETag::of_md5([2; 16]),
        content_type: None,
        extras: &[],
        body: NewBody::Inline(blob()),
    });
    all += &format!("put       {}\n", hex(&put.encode()));
    assert_eq!(all, include_str!("golden.txt"));
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
