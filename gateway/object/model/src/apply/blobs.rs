//! Blobs at home in this slot, and references to blobs at home elsewhere.
//!
//! A blob is *referred to* (record in the blob table), *condemned* (record in the condemned table) or unknown, never two of them.
//! Losing the last referrer condemns it in the same commit. A reference to a blob that is not referred to is refused.

use super::{Apply, Done};
use crate::codec::Writer;
use crate::record::{BlobRecord, BlobRef, Part};
use crate::{Refusal, keys};
use ringfort_core::BlobId;

impl Apply<'_> {
    /// Whether `blob` can be made here.
    pub(super) fn check_new_blob(&self, blob: BlobId, chunk_bytes: u32) -> Result<(), Refusal> {
        if blob.home() != self.tx.slot() || chunk_bytes == 0 {
            return Err(Refusal::Malformed);
        }
        if self.tx.get(&keys::condemned(blob)).is_some() {
            return Err(Refusal::NoBlob);
        }
        if self.tx.get(&keys::blob(blob)).is_some() { Err(Refusal::Malformed) } else { Ok(()) }
    }

    /// Makes the home record of `blob`, held by its first referrer.
    pub(super) fn create_blob(&mut self, blob: BlobId, policy: u16, chunk_bytes: u32, size: u64) -> BlobRef {
        self.tx.put(&keys::blob(blob), &BlobRecord { policy, chunk_bytes, size, mark: 1 }.encode());
        BlobRef { blob, referrer: None, policy, chunk_bytes }
    }

    /// Whether a further reference can be taken: the blob at home here is referred to, or the reference was added in its home
    /// elsewhere under a name of this slot.
    pub(super) fn check_shared(&self, blob: &BlobRef) -> Result<(), Refusal> {
        let name = blob.referrer.filter(|name| name.home() == self.tx.slot()).ok_or(Refusal::Malformed)?;
        if blob.blob.home() == self.tx.slot() {
            self.check_add(blob.blob, name)?;
            let taken = self.tx.get(&keys::referrer(blob.blob, name)).is_some();
            return if taken { Err(Refusal::Malformed) } else { Ok(()) };
        }
        if self.tx.get(&keys::held(name)).is_some() { Err(Refusal::Malformed) } else { Ok(()) }
    }

    fn check_add(&self, blob: BlobId, name: BlobId) -> Result<(), Refusal> {
        if name == blob {
            return Err(Refusal::Malformed);
        }
        if self.tx.get(&keys::blob(blob)).is_some() { Ok(()) } else { Err(Refusal::NoBlob) }
    }

    /// Takes the reference that [`Self::check_shared`] allowed.
    pub(super) fn add_shared(&mut self, blob: &BlobRef) {
        let Some(name) = blob.referrer else { return };
        if blob.blob.home() == self.tx.slot() {
            self.tx.put(&keys::referrer(blob.blob, name), &[]);
        } else {
            self.tx.put(&keys::held(name), blob.blob.as_bytes());
        }
    }

    /// Gives up a reference: at once if the blob is at home here, otherwise by way of the outbox.
    pub(super) fn drop_reference(&mut self, blob: &BlobRef) {
        let name = blob.referrer.unwrap_or(blob.blob);
        if blob.blob.home() == self.tx.slot() {
            self.drop_here(blob.blob, name);
            return;
        }
        let mut entry = Writer::with_capacity(32);
        entry.blob(blob.blob).blob(name);
        self.tx.put(&keys::outbox(self.stamp, self.released), &entry.0);
        self.released += 1;
        self.tx.delete(&keys::held(name));
    }

    fn drop_here(&mut self, blob: BlobId, name: BlobId) {
        let at = keys::blob(blob);
        let Some(mut record) = self.tx.get(&at).and_then(|bytes| BlobRecord::decode(&bytes)) else { return };
        if name == blob {
            record.mark = 0;
        } else {
            self.tx.delete(&keys::referrer(blob, name));
        }
        if record.mark == 0 && self.first_of(&keys::referrers_of(blob)).is_none() {
            record.mark = self.stamp;
            self.tx.delete(&at);
            self.tx.put(&keys::condemned(blob), &record.encode());
        } else if name == blob {
            self.tx.put(&at, &record.encode());
        }
    }

    /// Drops all part records under `prefix` and the references they hold.
    pub(super) fn drop_parts(&mut self, prefix: &[u8]) {
        for (key, value) in self.all_of(prefix) {
            if let Some(blob) = Part::decode(&value).and_then(|part| part.blob) {
                self.drop_reference(&blob);
            }
            self.tx.delete(&key);
        }
    }

    pub(super) fn add_referrers(&mut self, pairs: &[(BlobId, BlobId)]) -> Done {
        for (blob, name) in pairs {
            if blob.home() != self.tx.slot() {
                return Err(Refusal::Malformed);
            }
            self.check_add(*blob, *name)?;
        }
        for (blob, name) in pairs {
            self.tx.put(&keys::referrer(*blob, *name), &[]);
        }
        Ok(Vec::new())
    }

    /// Makes the home record of a blob that is referred to from another slot only.
    pub(super) fn add_blob(
        &mut self,
        blob: BlobId,
        policy: u16,
        chunk_bytes: u32,
        size: u64,
        referrer: BlobId,
    ) -> Done {
        self.check_new_blob(blob, chunk_bytes)?;
        if referrer.home() == self.tx.slot() || referrer == blob {
            return Err(Refusal::Malformed);
        }
        self.tx.put(&keys::blob(blob), &BlobRecord { policy, chunk_bytes, size, mark: 0 }.encode());
        self.tx.put(&keys::referrer(blob, referrer), &[]);
        Ok(Vec::new())
    }

    pub(super) fn drop_referrers(&mut self, pairs: &[(BlobId, BlobId)]) -> Done {
        if pairs.iter().any(|(blob, _)| blob.home() != self.tx.slot()) {
            return Err(Refusal::Malformed);
        }
        for (blob, name) in pairs {
            // The first referrer is a record of this slot; it never comes by way of an outbox.
            if blob != name {
                self.drop_here(*blob, *name);
            }
        }
        Ok(Vec::new())
    }

    pub(super) fn condemn(&mut self, blobs: &[(BlobId, u16)]) -> Done {
        if blobs.iter().any(|(blob, _)| blob.home() != self.tx.slot()) {
            return Err(Refusal::Malformed);
        }
        let mut flags = Vec::with_capacity(blobs.len());
        for (blob, policy) in blobs {
            let wanted = self.tx.get(&keys::blob(*blob)).is_some();
            let at = keys::condemned(*blob);
            if !wanted && self.tx.get(&at).is_none() {
                let record = BlobRecord { policy: *policy, chunk_bytes: 0, size: 0, mark: self.stamp };
                self.tx.put(&at, &record.encode());
            }
            flags.push(u8::from(!wanted));
        }
        Ok(flags)
    }

    pub(super) fn collected(&mut self, blobs: &[BlobId]) -> Vec<u8> {
        for blob in blobs {
            self.tx.delete(&keys::condemned(*blob));
        }
        Vec::new()
    }

    pub(super) fn delivered(&mut self, entries: &[(u64, u32)]) -> Vec<u8> {
        for (stamp, number) in entries {
            self.tx.delete(&keys::outbox(*stamp, *number));
        }
        Vec::new()
    }
}
