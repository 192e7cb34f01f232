//! Storing objects: the body first, then one commit in the key's slot.

use crate::body::{BodyLimits, StoredBody, StoredBytes};
use crate::commit::Written;
use crate::shards::Home;
use crate::store::{CallError, decoded};
use crate::{Attributes, BodyStream, ObjectError, ObjectPath, ObjectStore, PutDone, PutOptions};
use bytes::Bytes;
use ringfort_core::{BlobId, Policy};
use ringfort_object_model::{Command, ETag, NewBody, PutObject, Refusal, Stored, encode_extras};
use std::sync::Arc;

/// Bytes of a key at most.
const KEY_BYTES_MAX: usize = 1024;

/// Refuses what no key may be.
pub(crate) fn check_key(key: &str) -> Result<(), ObjectError> {
    if key.len() > KEY_BYTES_MAX {
        return Err(ObjectError::KeyTooLong);
    }
    if key.is_empty() || key.contains('\0') { Err(ObjectError::BadKey) } else { Ok(()) }
}

impl ObjectStore {
    /// Stores an object. The body is not polled before the container was found.
    ///
    /// # Errors
    /// Nothing is stored then; but after [`ObjectError::Unavailable`] it may have been, as with any answer that got lost.
    pub async fn put(
        &self,
        at: &ObjectPath,
        options: PutOptions,
        body: BodyStream,
    ) -> Result<PutDone, ObjectError> {
        check_key(&at.key)?;
        self.check_attributes(&options.attributes)?;
        if let (Some(size), Some(bytes_max)) = (options.size, options.size_max)
            && size > bytes_max
        {
            return Err(ObjectError::EntityTooLarge { bytes_max });
        }
        let home = self.home(&at.account, &at.container, &at.key).await?;
        let (store, at) = (self.clone(), at.clone());
        self.owned(async move { store.put_steps(&at, home, options, body).await }).await
    }

    pub(crate) fn check_attributes(&self, attributes: &Attributes) -> Result<(), ObjectError> {
        let lists = [&attributes.headers, &attributes.metadata, &attributes.checksums];
        let bytes: usize = lists.into_iter().flatten().map(|(name, value)| name.len() + value.len()).sum();
        let all = bytes + attributes.content_type.as_ref().map_or(0, String::len);
        let most = self.inner.config.attributes_bytes_max;
        if all > most { Err(ObjectError::MetadataTooLarge) } else { Ok(()) }
    }

    async fn put_steps(
        &self,
        at: &ObjectPath,
        home: Home,
        options: PutOptions,
        body: BodyStream,
    ) -> Result<PutDone, ObjectError> {
        let policy = self.policy(home.record.policy)?;
        let limits = BodyLimits {
            size: options.size,
            size_max: options.size_max,
            md5: options.md5,
            inline_bytes_max: policy.inline_bytes_max as usize,
        };
        let stored = self.take_body(Arc::clone(&policy), home.shard.slot(), limits, body).await?;
        let PutOptions { mut attributes, conditions, late_checksums, .. } = options;
        if let Some(late) = late_checksums {
            attributes.checksums.extend(late.take());
        }
        let extras = encode_extras(&attributes);
        let commit = Commit {
            at,
            policy: &policy,
            template: PutObject {
                shard: home.shard,
                key: &at.key,
                conditions,
                size: stored.size,
                etag: ETag::of_md5(stored.md5),
                content_type: attributes.content_type.as_deref(),
                extras: &extras,
                body: NewBody::Empty,
            },
        };
        let done = match &stored.bytes {
            StoredBytes::None | StoredBytes::Inline(_) => self.commit_small(&commit, &stored).await?,
            StoredBytes::Blob(blob) => self.commit_large(&commit, *blob).await?,
        };
        self.consider_split(at, home.shard, done.crowd);
        Ok(put_done(&done, ETag::of_md5(stored.md5), attributes.checksums))
    }

    /// Commits a body that is at hand; sent again if the container's record was out of date.
    async fn commit_small(&self, commit: &Commit<'_>, stored: &StoredBody) -> Result<Stored, ObjectError> {
        let at = commit.at;
        self.on_shard(&at.account, &at.container, &at.key, |home| {
            let mut put = PutObject { shard: home.shard, ..commit.template.clone() };
            let mut bodies = Vec::new();
            if let StoredBytes::Inline(bytes) = &stored.bytes {
                put.body = NewBody::Inline(self.new_name(home.shard.slot()));
                bodies.push(bytes.clone());
            }
            self.send_put(put, bodies)
        })
        .await
    }

    pub(crate) async fn send_put(&self, put: PutObject<'_>, bodies: Vec<Bytes>) -> Result<Stored, CallError> {
        let payload = self.execute(put.shard.slot(), &Command::Put(put), bodies).await?;
        Stored::decode(&payload).ok_or(CallError::Refused(Refusal::Damaged))
    }

    async fn commit_large(&self, commit: &Commit<'_>, blob: BlobId) -> Result<Stored, ObjectError> {
        let (at, policy, template) = (commit.at, commit.policy, &commit.template);
        let written = Written { blob, policy, size: template.size, incarnation: template.shard.incarnation };
        self.commit_blob(at, &written, |shard, body| {
            let body = match body.referrer {
                None => NewBody::Chunks { blob, policy: policy.id, chunk_bytes: policy.chunk_bytes },
                Some(_) => NewBody::Shared(body),
            };
            self.send_put(PutObject { shard, body, ..template.clone() }, Vec::new())
        })
        .await
    }
}

/// What a PUT commits but for its body.
struct Commit<'c> {
    at: &'c ObjectPath,
    policy: &'c Arc<Policy>,
    template: PutObject<'c>,
}

pub(crate) fn put_done(stored: &Stored, etag: ETag, checksums: Vec<(String, String)>) -> PutDone {
    PutDone {
        etag,
        version: stored.version,
        modified: stored.stamp,
        size: stored.size,
        versioning: stored.versioning,
        checksums,
    }
}

/// A version's attributes, from its record.
pub(crate) fn attributes_of(version: &ringfort_object_model::Version<'_>) -> Result<Attributes, ObjectError> {
    let mut attributes = decoded(ringfort_object_model::decode_extras(version.extras))?;
    attributes.content_type = version.content_type.map(str::to_owned);
    Ok(attributes)
}
