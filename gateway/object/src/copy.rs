//! Copying objects. Large bodies are shared: the copy refers to the same blobs under a name of its own, added in the blob's
//! home before the copy commits (in the same commit where both live in one slot). Small ones are copied.

use crate::put::{check_key, put_done};
use crate::read::Opened;
use crate::shards::{Home, is_routing};
use crate::store::CallError;
use crate::{Attributes, CopyDone, CopyOptions, GetOptions, ObjectError, ObjectPath, ObjectStore, VersionId};
use bytes::Bytes;
use ringfort_core::{BlobId, SlotId};
use ringfort_object_model::{
    BlobRef, Body, Command, NewBody, Part, PutObject, Refusal, Stored, encode_extras,
};
use std::collections::BTreeMap;

/// Times a copy begins again because its source went away under it.
const ATTEMPTS: u32 = 4;
/// References added in one command.
const REFERENCES_MAX: usize = 10_000;

/// A body to commit, and the references added for it in other slots.
#[derive(Default)]
struct Shared {
    body: Option<NewBody>,
    inline: Vec<Bytes>,
    added: BTreeMap<SlotId, Vec<(BlobId, BlobId)>>,
}

impl ObjectStore {
    /// Copies an object; large bodies are shared by reference.
    ///
    /// # Errors
    /// As for a read of the source and a write of the target.
    pub async fn copy(
        &self,
        from: &ObjectPath,
        version: Option<VersionId>,
        to: &ObjectPath,
        options: CopyOptions,
    ) -> Result<CopyDone, ObjectError> {
        check_key(&to.key)?;
        if let Some(attributes) = &options.replace {
            self.check_attributes(attributes)?;
        }
        let (store, from, to) = (self.clone(), from.clone(), to.clone());
        self.owned(async move {
            for _ in 1..ATTEMPTS {
                match store.copy_once(&from, version, &to, &options).await {
                    // The source was replaced after it was read: read it again.
                    Err(CopyError::SourceGone) => {}
                    Err(CopyError::Failed(error)) => return Err(error),
                    Ok(done) => return Ok(done),
                }
            }
            Err(ObjectError::Unavailable { reason: "the source keeps changing".to_owned() })
        })
        .await
    }

    async fn copy_once(
        &self,
        from: &ObjectPath,
        version: Option<VersionId>,
        to: &ObjectPath,
        options: &CopyOptions,
    ) -> Result<CopyDone, CopyError> {
        let read =
            GetOptions { version, conditions: options.source_conditions.clone(), ..GetOptions::default() };
        let opened = self.open(from, &read, true).await?;
        let mut attributes = match &options.replace {
            Some(attributes) => attributes.clone(),
            None => opened.info.attributes.clone(),
        };
        if attributes.checksums.is_empty() {
            attributes.checksums.clone_from(&opened.info.attributes.checksums);
        }
        let stored = self.commit_copy(&opened, to, options, &attributes).await?;
        Ok(CopyDone {
            put: put_done(&stored, opened.info.etag, attributes.checksums),
            source_version: opened.info.version,
            source_versioning: opened.info.versioning,
        })
    }

    async fn commit_copy(
        &self,
        opened: &Opened<'_>,
        to: &ObjectPath,
        options: &CopyOptions,
        attributes: &Attributes,
    ) -> Result<Stored, CopyError> {
        let extras = encode_extras(attributes);
        for attempt in 1.. {
            let Home { shard, .. } = self.home(&to.account, &to.container, &to.key).await?;
            let mut shared = Shared::default();
            let prepared = self.share(opened, shard.slot(), &mut shared).await;
            let body = match prepared {
                Ok(()) => shared.body.take().unwrap_or(NewBody::Empty),
                Err(error) => {
                    self.take_back(&shared.added).await;
                    return Err(error);
                }
            };
            let put = PutObject {
                shard,
                key: &to.key,
                conditions: options.conditions.clone(),
                size: opened.info.size,
                etag: opened.info.etag,
                content_type: attributes.content_type.as_deref(),
                extras: &extras,
                body,
            };
            let refusal = match self.send_put(put, shared.inline.clone()).await {
                Ok(stored) => return Ok(stored),
                // The commit may have happened: its references stay. A reconciler finds those that nobody holds.
                Err(CallError::Port(error)) => return Err(CopyError::Failed(error.into())),
                Err(CallError::Refused(refusal)) => refusal,
            };
            self.take_back(&shared.added).await;
            match refusal {
                Refusal::NoBlob => return Err(CopyError::SourceGone),
                refusal if is_routing(refusal) && attempt < 40 => {
                    self.settle(&to.account, &to.container, shard, refusal, attempt).await?;
                }
                refusal => return Err(CopyError::Failed(CallError::Refused(refusal).into())),
            }
        }
        Err(CopyError::SourceGone)
    }

    /// Prepares the body of a copy in `slot`.
    async fn share(&self, opened: &Opened<'_>, slot: SlotId, shared: &mut Shared) -> Result<(), CopyError> {
        let body = match opened.body {
            Body::Empty => NewBody::Empty,
            Body::Inline(_) => {
                shared.inline.push(opened.inline.clone().ok_or(CopyError::SourceGone)?);
                NewBody::Inline(self.new_name(slot))
            }
            Body::Chunks(blob) => NewBody::Shared(self.named(blob, slot, shared)),
            Body::Manifest { id, .. } => {
                let mut parts: Vec<Part> = Vec::new();
                let mut at = 0;
                loop {
                    let page = self.manifest(opened.at, id, at).await?;
                    for mut part in page.parts {
                        part.blob = part.blob.map(|blob| self.named(blob, slot, shared));
                        at += part.size;
                        parts.push(part);
                    }
                    if !page.truncated {
                        break;
                    }
                }
                if at != opened.info.size {
                    return Err(CopyError::SourceGone);
                }
                NewBody::Parts(parts)
            }
        };
        shared.body = Some(body);
        for (home, pairs) in &shared.added {
            for pairs in pairs.chunks(REFERENCES_MAX) {
                self.execute(*home, &Command::AddReferrers(pairs.to_vec()), Vec::new()).await?;
            }
        }
        Ok(())
    }

    /// `blob` under a new reference held in `slot`; noted to be added if the blob is at home elsewhere.
    fn named(&self, blob: BlobRef, slot: SlotId, shared: &mut Shared) -> BlobRef {
        let name = self.new_name(slot);
        let home = blob.blob.home();
        if home != slot {
            shared.added.entry(home).or_default().push((blob.blob, name));
        }
        BlobRef { referrer: Some(name), ..blob }
    }

    /// Drops references that were added for a commit that was refused.
    pub(crate) async fn take_back(&self, added: &BTreeMap<SlotId, Vec<(BlobId, BlobId)>>) {
        for (home, pairs) in added {
            for pairs in pairs.chunks(REFERENCES_MAX) {
                if let Err(error) =
                    self.execute(*home, &Command::DropReferrers(pairs.to_vec()), Vec::new()).await
                {
                    let error = ObjectError::from(error);
                    tracing::warn!(slot = %home, %error, "cannot drop the references of a refused copy yet");
                }
            }
        }
    }
}

/// Why one attempt at a copy failed.
enum CopyError {
    SourceGone,
    Failed(ObjectError),
}

impl From<ObjectError> for CopyError {
    fn from(error: ObjectError) -> Self {
        Self::Failed(error)
    }
}

impl From<CallError> for CopyError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(Refusal::NoBlob | Refusal::NoShard) => Self::SourceGone,
            error => Self::Failed(error.into()),
        }
    }
}
