//! Applying commands. Each checks everything first and writes only when nothing can refuse any more, so that a refused
//! command leaves no trace.

mod accounts;
mod attributes;
mod blobs;
mod containers;
mod delete;
mod moving;
mod put;
mod uploads;

use crate::record::Version;
use crate::shard::ShardRoot;
use crate::{Command, Refusal, ShardId, WriteConditions, keys, reply};
use bytes::Bytes;
use ringfort_core::HybridTime;
use ringfort_storage_api::{InlineBody, Scan, SlotTx};
use std::ops::ControlFlow;

/// The payload of a reply, or why nothing was done.
pub(crate) type Done = Result<Vec<u8>, Refusal>;

/// One command being applied.
pub(crate) struct Apply<'t> {
    pub(crate) tx: &'t mut dyn SlotTx,
    pub(crate) stamp: u64,
    pub(crate) bodies: &'t [InlineBody],
    /// Entries put into the outbox so far.
    pub(crate) released: u32,
}

/// Applies `command` and encodes its reply.
pub(crate) fn apply(tx: &mut dyn SlotTx, stamp: u64, command: &[u8], bodies: &[InlineBody]) -> Vec<u8> {
    let Some(command) = Command::decode(command) else {
        return Refusal::Malformed.encode();
    };
    reply::encode_done(Apply { tx, stamp, bodies, released: 0 }.run(command))
}

impl Apply<'_> {
    fn run(&mut self, command: Command<'_>) -> Done {
        match command {
            Command::Put(put) => self.put(put),
            Command::Delete { shard, key, version, conditions } => {
                self.delete(shard, key, version, &conditions)
            }
            Command::Expire { shard, key, stamp, at } => self.expire(shard, key, stamp, at),
            Command::SetContainer { account, name, expect, record } => {
                self.set_container(account, name, expect, record)
            }
            Command::SetAlias { name, expect, holder } => self.set_alias(name, expect, holder),
            Command::CreateShard { shard, versioning, revision } => {
                self.create_shard(shard, versioning, revision)
            }
            Command::SetVersioning { shard, versioning, revision } => {
                self.set_versioning(shard, versioning, revision)
            }
            Command::Seal { shard, token } => self.seal(shard, token),
            Command::Unseal { shard, token } => self.unseal(shard, token),
            Command::RemoveShard { shard } => self.remove_shard(shard),
            Command::CreateUpload { shard, key, content_type, extras } => {
                self.create_upload(shard, key, content_type, extras)
            }
            Command::PutPart { shard, key, upload, part } => self.put_part(shard, key, upload, part),
            Command::Complete(complete) => self.complete(&complete),
            Command::AbortUpload { shard, key, upload } => self.abort_upload(shard, key, upload),
            Command::AddReferrers(pairs) => self.add_referrers(&pairs),
            Command::DropReferrers(pairs) => self.drop_referrers(&pairs),
            Command::Condemn(blobs) => self.condemn(&blobs),
            Command::Collected(blobs) => Ok(self.collected(&blobs)),
            Command::Delivered(entries) => Ok(self.delivered(&entries)),
            Command::CreateTaker { shard, versioning, revision, end } => {
                let end = end.map(|(end, next)| (end.to_owned(), next));
                self.create_taker(shard, versioning, revision, end)
            }
            Command::Hold { shard, from } => self.hold(shard, from),
            Command::Unhold { shard, token } => self.unhold(shard, token),
            Command::Import { shard, token, begin, from, records } => {
                self.import(shard, token, begin, from, &records)
            }
            Command::Cut { shard, token, next } => self.cut(shard, token, next),
            Command::Serve { shard, begin } => self.serve(shard, begin),
            Command::AddBlob { blob, policy, chunk_bytes, size, referrer } => {
                self.add_blob(blob, policy, chunk_bytes, size, referrer)
            }
            Command::Retire { shard, key, version, modified, what } => {
                self.retire(shard, key, version, modified, what)
            }
            Command::SetAttributes(set) => self.set_attributes(&set),
            Command::SetAccount { account, expect, metadata } => self.set_account(account, expect, metadata),
        }
    }

    /// The shard's root, if it takes writes of `key`.
    fn open_shard(&self, shard: ShardId, key: &str) -> Result<ShardRoot, Refusal> {
        let root = self.any_shard(shard)?;
        root.check_write(key)?;
        if root.sealed { Err(Refusal::Sealed { token: root.seal_token }) } else { Ok(root) }
    }

    fn any_shard(&self, shard: ShardId) -> Result<ShardRoot, Refusal> {
        let bytes = self.tx.get(&keys::shard(shard)).ok_or(Refusal::NoShard)?;
        ShardRoot::decode(&bytes).ok_or(Refusal::Damaged)
    }

    /// The time of the commit, in seconds since the Unix epoch.
    const fn secs(&self) -> u64 {
        HybridTime(self.stamp).secs()
    }

    /// Whether the conditions hold of the latest version. A delete marker counts as nothing, and so does what has expired.
    fn check_conditions(
        &self,
        latest: Option<&Version<'_>>,
        conditions: &WriteConditions,
    ) -> Result<(), Refusal> {
        if conditions.is_empty() {
            return Ok(());
        }
        check_latest(latest.filter(|version| version.visible(self.secs())), conditions)
    }

    fn save_shard(&mut self, shard: ShardId, root: &ShardRoot) {
        self.tx.put(&keys::shard(shard), &root.encode());
    }

    fn current(&self, shard: ShardId, key: &str) -> Option<Bytes> {
        self.tx.get(&keys::current(shard, key.as_bytes()))
    }

    /// The first record, in order of keys, whose key begins with `prefix`.
    fn first_of(&self, prefix: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut first = None;
        self.tx.scan(prefix, &keys::after_prefix(prefix), Scan::Forward, &mut |key, value| {
            first = Some((key.to_vec(), value.to_vec()));
            ControlFlow::Break(())
        });
        first
    }

    /// All records whose key begins with `prefix`.
    fn all_of(&self, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut all = Vec::new();
        self.tx.scan(prefix, &keys::after_prefix(prefix), Scan::Forward, &mut |key, value| {
            all.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        });
        all
    }
}

/// The version in these bytes, if there are any.
fn decode_current(bytes: Option<&Bytes>) -> Result<Option<Version<'_>>, Refusal> {
    bytes.map(|bytes| Version::decode(bytes).ok_or(Refusal::Damaged)).transpose()
}

/// Whether the conditions hold of the latest version that is an object.
fn check_latest(latest: Option<&Version<'_>>, conditions: &WriteConditions) -> Result<(), Refusal> {
    match (&conditions.if_match, latest) {
        (Some(_), None) => return Err(Refusal::NoSuchKey),
        (Some(wanted), Some(latest)) if !wanted.matches(&latest.etag) => return Err(Refusal::Precondition),
        _ => {}
    }
    match (&conditions.if_none_match, latest) {
        (Some(unwanted), Some(latest)) if unwanted.matches(&latest.etag) => Err(Refusal::Precondition),
        _ => Ok(()),
    }
}
