//! The decoders on any bytes, for fuzzing: each function panics when a promise of the format is broken.
//!
//! A record may be written in more than one way (a long varint for a small number), so what is promised is that what was
//! decoded is what its encoding decodes to.

use crate::record::{Front, UploadRecord};
use crate::{
    AccountRecord, AliasRecord, BlobRecord, Command, ContainerRecord, Deleted, Found, MemorySlot, NewBody,
    ObjectModel, Page, Part, PutObject, Query, ShardId, ShardRoot, Stored, Version, Versioning,
    WriteConditions, decode_account, decode_alias, decode_blobs, decode_condemned, decode_container,
    decode_container_items, decode_containers, decode_expiring, decode_extras, decode_flags, decode_manifest,
    decode_marked, decode_outbox, decode_references, decode_reply, decode_stamp, decode_upload,
    encode_extras, keys,
};
use bytes::Bytes;
use ringfort_core::HybridTime;
use ringfort_storage_api::StateModel;

const SHARD: ShardId = ShardId { incarnation: 1, number: 0 };

/// Every kind of record.
pub fn records(bytes: &[u8]) {
    if let Some(version) = Version::decode(bytes) {
        assert_eq!(Version::decode(&version.encode()), Some(version));
        let front = Front::read(bytes).expect("what decodes has a front");
        assert_eq!((front.marker(), front.null()), (version.marker, version.null));
        assert!(front.fields.len() < bytes.len());
        let _ = (front.older(), version.expires_at());
    }
    if let Some(extras) = decode_extras(bytes) {
        assert_eq!(decode_extras(&encode_extras(&extras)), Some(extras));
    }
    if let Some(root) = ShardRoot::decode(bytes) {
        assert_eq!(root.encode(), bytes, "a shard's root has one stored form");
    }
    if let Some(blob) = BlobRecord::decode(bytes) {
        assert_eq!(BlobRecord::decode(&blob.encode()), Some(blob));
    }
    if let Some(part) = Part::decode(bytes) {
        assert_eq!(Part::decode(&part.encode()), Some(part));
    }
    if let Some(upload) = UploadRecord::decode(bytes) {
        assert_eq!(UploadRecord::decode(&upload.encode()), Some(upload));
    }
    if let Some(container) = ContainerRecord::decode(bytes) {
        assert_eq!(ContainerRecord::decode(&container.encode()), Some(container.clone()));
        let _ = container.shard_of("key");
    }
    if let Some(alias) = AliasRecord::decode(bytes) {
        assert_eq!(AliasRecord::decode(&alias.encode()), Some(alias));
    }
    if let Some(account) = AccountRecord::decode(bytes) {
        assert_eq!(AccountRecord::decode(&account.encode()), Some(account));
    }
    if let Some((name, rest)) = keys::unescape(bytes) {
        assert_eq!([keys::escaped(&name), rest.to_vec()].concat(), bytes, "an escaped name has one form");
    }
}

/// Every kind of answer, as the bytes themselves and as the payload of a reply.
pub fn replies(bytes: &[u8]) {
    for payload in [Ok(bytes), decode_reply(bytes)] {
        match payload {
            Ok(payload) => answer(payload),
            Err(refusal) => assert_eq!(decode_reply(&refusal.encode()), Err(refusal)),
        }
    }
}

fn answer(payload: &[u8]) {
    if let Some(stored) = Stored::decode(payload) {
        assert_eq!(Stored::decode(&stored.encode()), Some(stored));
    }
    if let Some(deleted) = Deleted::decode(payload) {
        assert_eq!(Deleted::decode(&deleted.encode()), Some(deleted));
    }
    let _ = (Found::decode(payload), decode_stamp(payload), decode_flags(payload));
    let _ = (ShardRoot::decode_payload(payload), decode_container(payload), decode_alias(payload));
    let _ = (decode_upload(payload), decode_manifest(payload), decode_containers(payload));
    let _ = (decode_blobs(payload), decode_condemned(payload), decode_outbox(payload));
    let _ = (decode_expiring(payload), decode_references(payload));
    let _ = (decode_account(payload), decode_container_items(payload), decode_marked(payload));
    if let Some(page) = Page::decode(Bytes::copy_from_slice(payload)) {
        let seen = page.entries().count();
        assert!(seen <= page.count as usize && seen <= payload.len());
    }
}

/// Commands: decoded, and applied to a slot that has an object; a refusal writes nothing.
pub fn commands(bytes: &[u8]) {
    if let Some(command) = Command::decode(bytes) {
        assert_eq!(Command::decode(&command.encode()), Some(command));
    }
    let mut slot = slot_with_an_object();
    for (stamp, bodies) in [(9, Vec::new()), (10, vec![Bytes::from_static(b"body")])] {
        let before = slot.clone();
        let reply = slot.apply(&ObjectModel, HybridTime(stamp), bytes, bodies);
        if decode_reply(&reply).is_err() {
            assert!(slot == before, "a command that was refused wrote something");
        }
    }
}

/// Queries: decoded, and asked of a slot that has an object.
pub fn queries(bytes: &[u8]) {
    if let Some(query) = Query::decode(bytes) {
        assert_eq!(Query::decode(&query.encode()), Some(query));
    }
    let reply = ObjectModel.query(&slot_with_an_object(), bytes).reply;
    replies(&reply);
}

/// A slot with an object in two versions, and an upload.
pub(crate) fn slot_with_an_object() -> MemorySlot {
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
    let upload = Command::CreateUpload { shard: SHARD, key: "key", content_type: None, extras: &[] };
    for (stamp, command) in [(1, &make), (2, &put), (3, &put), (4, &upload)] {
        slot.apply(&ObjectModel, HybridTime(stamp), &command.encode(), Vec::new());
    }
    slot
}
