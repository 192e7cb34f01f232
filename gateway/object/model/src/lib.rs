//! The deterministic commands and records of containers and objects. Pure.
//!
//! A gateway encodes a [`Command`] or a [`Query`], a metadata group applies or answers it by way of [`ObjectModel`], and the
//! gateway decodes the reply. `keys.rs` says where records lie, `record.rs` what their bytes are.

mod account;
mod answer;
mod apply;
mod codec;
mod command;
mod container;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod keys;
mod memory;
mod moving;
mod names;
mod page;
mod query;
mod record;
mod reply;
mod shard;
#[cfg(test)]
mod tests;

pub use account::AccountRecord;
pub use answer::{
    CondemnedRecord, ContainerItem, ContainerItems, Expired, ManifestPage, MarkedContainers, OutboxEntry,
    decode_blobs, decode_condemned, decode_container_items, decode_containers, decode_expiring,
    decode_manifest, decode_marked, decode_outbox, decode_references, decode_tail, decode_upload,
};
pub use command::{Command, CompleteUpload, NewBody, PutObject, Retired, SetAttributes};
pub use container::{AliasRecord, ContainerRecord, ContainerState, ShardOf};
pub use keys::{ShardId, account_slot, alias_slot};
pub use memory::MemorySlot;
pub use moving::{MovedRecord, decode_export};
pub use names::{
    Attributes, ETag, ETagMatch, NameParseError, UploadId, VersionId, Versioning, WriteConditions,
};
pub use page::{Page, PageEntries, PageEntry};
pub use query::{KeyRange, Query};
pub use record::{BlobRecord, BlobRef, Body, Part, Version, decode_extras, encode_extras};
pub use reply::{
    Deleted, Found, Refusal, Stored, decode_account, decode_alias, decode_container, decode_flags,
    decode_reply, decode_stamp,
};
pub use shard::{ShardRange, ShardRoot};

use ringfort_core::HybridTime;
use ringfort_storage_api::{InlineBody, QueryReply, SlotTx, SlotView, StateModel};

/// Containers and objects as a state model.
#[derive(Clone, Copy, Debug, Default)]
pub struct ObjectModel;

impl ObjectModel {
    /// The model; it keeps nothing of its own.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl StateModel for ObjectModel {
    fn apply(
        &self,
        tx: &mut dyn SlotTx,
        stamp: HybridTime,
        command: &[u8],
        bodies: &[InlineBody],
    ) -> Vec<u8> {
        apply::apply(tx, stamp.0, command, bodies)
    }

    fn query(&self, view: &dyn SlotView, query: &[u8]) -> QueryReply {
        answer::answer(view, query)
    }
}
