//! Answering queries.

mod blobs;
mod containers;
mod list;
mod marked;
mod moving;
mod objects;
mod reverse;
mod versions;
mod walk;

use crate::shard::ShardRoot;
use crate::{Query, Refusal, ShardId, keys, reply};
use ringfort_core::BlobId;
use ringfort_storage_api::{QueryReply, SlotView};

pub use blobs::{CondemnedRecord, Expired, OutboxEntry};
pub use blobs::{decode_blobs, decode_condemned, decode_expiring, decode_outbox, decode_references};
pub(crate) use containers::count_containers;
pub use containers::{ContainerItem, ContainerItems, decode_container_items};
pub use marked::{MarkedContainers, decode_marked};
pub use moving::decode_tail;
pub(crate) use moving::held;
pub use objects::{ManifestPage, decode_containers, decode_manifest, decode_upload};

/// A payload or a refusal, and an inline body to go with it.
type Answer = Result<(Vec<u8>, Option<BlobId>), Refusal>;

/// Answers `query` and encodes the reply.
pub(crate) fn answer(view: &dyn SlotView, query: &[u8]) -> QueryReply {
    let answered = match Query::decode(query) {
        None => Err(Refusal::Malformed),
        Some(query) => run(view, &query),
    };
    match answered {
        Ok((payload, inline)) => QueryReply { reply: reply::encode_done(Ok(payload)), inline },
        Err(refusal) => QueryReply { reply: refusal.encode(), inline: None },
    }
}

fn run(view: &dyn SlotView, query: &Query<'_>) -> Answer {
    let payload = match *query {
        Query::Get { shard, key, version, body } => return objects::get(view, shard, key, version, body),
        Query::List { shard, range } => list::list(view, shard, &range)?,
        Query::Versions { shard, range, after } => versions::versions(view, shard, &range, after)?,
        Query::Uploads { shard, range, after } => list::uploads(view, shard, &range, after)?,
        Query::Parts { shard, key, upload, after, limit } => {
            objects::parts(view, shard, key, upload, after, limit)?
        }
        Query::Manifest { shard, key, id, offset, limit } => {
            objects::manifest(view, shard, key, id, offset, limit)?
        }
        Query::Container { account, name } => {
            view.get(&keys::container(account, name)).map(Vec::from).unwrap_or_default()
        }
        Query::Containers { account, prefix, marker, limit } => {
            objects::containers(view, account, prefix, marker, limit)?
        }
        Query::Alias { name } => view.get(&keys::alias(name)).map(Vec::from).unwrap_or_default(),
        Query::Shard { shard } => root(view, shard)?.encode(),
        Query::Blobs { after, limit } => blobs::blobs(view, keys::BLOB, after, limit),
        Query::Condemned { after, limit } => blobs::blobs(view, keys::CONDEMNED, after, limit),
        Query::Outbox { limit } => blobs::outbox(view, limit),
        Query::Expiring { before, limit } => blobs::expiring(view, before, limit),
        Query::Referrers { after, limit } => blobs::referrers(view, after, limit),
        Query::Tail { shard, keys } => moving::tail(view, shard, keys)?,
        Query::Export { shard, from, bytes_max } => moving::export(view, shard, from, bytes_max)?,
        Query::Marked { entry, after, limit } => marked::marked(view, entry, after, limit)?,
        Query::ListReverse { shard, range } => reverse::list(view, shard, &range)?,
        Query::Account { account } => containers::account(view, account)?,
        Query::ContainerItems { account, range, reverse } => {
            containers::items(view, account, &range, reverse)?
        }
        Query::Held { referrer } => vec![u8::from(view.get(&keys::held(referrer)).is_some())],
    };
    Ok((payload, None))
}

fn root(view: &dyn SlotView, shard: ShardId) -> Result<ShardRoot, Refusal> {
    let bytes = view.get(&keys::shard(shard)).ok_or(Refusal::NoShard)?;
    ShardRoot::decode(&bytes).ok_or(Refusal::Damaged)
}
