//! Changing the attributes of a version in place: same bytes, same entity tag, same id.
//!
//! The writer says which attributes it changed, so that of two writers who read the same ones the second is refused and reads
//! again: no change is lost. The version's stamp tells it from another one that took its place under the same id.

use super::{Apply, Done, decode_current};
use crate::command::SetAttributes;
use crate::record::{Version, decode_extras};
use crate::reply::Found;
use crate::{Refusal, keys};

impl Apply<'_> {
    pub(super) fn set_attributes(&mut self, set: &SetAttributes<'_>) -> Done {
        let root = self.open_shard(set.shard, set.key)?;
        let name = set.key.as_bytes();
        let bytes = self.current(set.shard, set.key);
        let current = decode_current(bytes.as_ref())?.ok_or(Refusal::Changed)?;
        let latest = current.stamp == set.stamp;
        let older;
        let (at, version) = if latest {
            (keys::current(set.shard, name), current)
        } else {
            let at = keys::older(set.shard, name, set.stamp);
            older = self.tx.get(&at);
            (at, decode_current(older.as_ref())?.ok_or(Refusal::Changed)?)
        };
        if !version.visible(self.secs()) {
            return Err(Refusal::NoSuchKey);
        }
        if version.mark() != set.expect {
            return Err(Refusal::Changed);
        }
        decode_extras(set.extras).ok_or(Refusal::Malformed)?;
        let touched = if set.touch { Some(self.stamp.max(version.modified().0)) } else { version.touched };
        let new = Version { content_type: set.content_type, extras: set.extras, touched, ..version };
        if new.expires_at() != version.expires_at() {
            let queued = |at| keys::expiry(at, set.shard, version.stamp, name);
            if let Some(at) = version.expires_at() {
                self.tx.delete(&queued(at));
            }
            if let Some(at) = new.expires_at() {
                self.tx.put(&queued(at), &[]);
            }
        }
        let record = new.encode();
        self.tx.put(&at, &record);
        Ok(Found::encode(root.versioning, latest, &record))
    }
}
