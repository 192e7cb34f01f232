//! Multipart uploads: parts are blobs that the upload holds; completing one hands them to the object in one commit.

use crate::body::{BodyLimits, StoredBytes};
use crate::commit::Written;
use crate::hashing::Md5;
use crate::put::{check_key, put_done};
use crate::shards::Home;
use crate::store::{CallError, decoded};
use crate::{
    Attributes, BodyError, BodyStream, CompleteOptions, GetOptions, ObjectError, ObjectPath, ObjectStore,
    PartInfo, PartOptions, PartPage, PutDone, UploadId, VersionId,
};
use futures_util::StreamExt;
use ringfort_core::{BlobId, HybridTime, Policy};
use ringfort_object_model::{
    Command, CompleteUpload, ETag, Part, Query, Refusal, ShardId, Stored, decode_stamp, decode_upload,
};
use std::sync::Arc;

/// The highest number of a part.
const PART_NUMBER_MAX: u32 = 10_000;

impl ObjectStore {
    /// Begins a multipart upload.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchContainer`], [`ObjectError::MetadataTooLarge`], bad keys.
    pub async fn create_upload(
        &self,
        at: &ObjectPath,
        attributes: Attributes,
    ) -> Result<UploadId, ObjectError> {
        check_key(&at.key)?;
        self.check_attributes(&attributes)?;
        let (store, at) = (self.clone(), at.clone());
        self.owned(async move {
            let extras = ringfort_object_model::encode_extras(&attributes);
            let (store, path, extras, content_type) =
                (&store, &at, &extras, attributes.content_type.as_deref());
            let payload = store
                .on_shard(&at.account, &at.container, &at.key, |home| async move {
                    let shard = home.shard;
                    let command = Command::CreateUpload { shard, key: &path.key, content_type, extras };
                    store.execute(shard.slot(), &command, Vec::new()).await
                })
                .await?;
            decoded(decode_stamp(&payload)).map(|stamp| UploadId(HybridTime(stamp)))
        })
        .await
    }

    /// Stores part `number` (1 to 10000) of an upload; an earlier part of that number is replaced.
    ///
    /// # Errors
    /// As for [`Self::put`], and [`ObjectError::NoSuchUpload`], before the body is polled if it can be.
    pub async fn put_part(
        &self,
        at: &ObjectPath,
        upload: UploadId,
        number: u32,
        options: PartOptions,
        body: BodyStream,
    ) -> Result<PartInfo, ObjectError> {
        check_key(&at.key)?;
        if number == 0 || number > PART_NUMBER_MAX {
            return Err(ObjectError::InvalidPart { number });
        }
        if let (Some(size), Some(bytes_max)) = (options.size, options.size_max)
            && size > bytes_max
        {
            return Err(ObjectError::EntityTooLarge { bytes_max });
        }
        // Whether the upload is there at all.
        self.list_parts(at, upload, PART_NUMBER_MAX, 0).await?;
        let home = self.home(&at.account, &at.container, &at.key).await?;
        let (store, at) = (self.clone(), at.clone());
        self.owned(async move { store.part_steps(&at, home, upload, number, options, body).await }).await
    }

    async fn part_steps(
        &self,
        at: &ObjectPath,
        home: Home,
        upload: UploadId,
        number: u32,
        options: PartOptions,
        body: BodyStream,
    ) -> Result<PartInfo, ObjectError> {
        let policy = self.policy(home.record.policy)?;
        let limits = BodyLimits {
            size: options.size,
            size_max: options.size_max,
            md5: options.md5,
            inline_bytes_max: 0,
        };
        let stored = self.take_body(Arc::clone(&policy), home.shard.slot(), limits, body).await?;
        let mut checksums = options.checksums;
        if let Some(late) = options.late_checksums {
            checksums.extend(late.take());
        }
        let blob = match stored.bytes {
            StoredBytes::Blob(blob) => Some(blob),
            StoredBytes::None | StoredBytes::Inline(_) => None,
        };
        let part = Part { number, size: stored.size, md5: stored.md5, stamp: 0, blob: None, checksums };
        let stamp = self.commit_part(at, &home, upload, &part, blob.map(|blob| (blob, &policy))).await?;
        let etag = ETag::of_md5(part.md5);
        Ok(PartInfo { number, size: part.size, etag, modified: HybridTime(stamp), checksums: part.checksums })
    }

    async fn commit_part(
        &self,
        at: &ObjectPath,
        home: &Home,
        upload: UploadId,
        part: &Part,
        blob: Option<(BlobId, &Arc<Policy>)>,
    ) -> Result<u64, ObjectError> {
        let send = |shard: ShardId, part: Part| async move {
            let command = Command::PutPart { shard, key: &at.key, upload: upload.0.0, part };
            let payload = self.execute(shard.slot(), &command, Vec::new()).await?;
            decode_stamp(&payload).ok_or(CallError::Refused(Refusal::Damaged))
        };
        let Some((blob, policy)) = blob else {
            let send = |home: Home| send(home.shard, part.clone());
            return self.on_shard(&at.account, &at.container, &at.key, send).await;
        };
        let written = Written { blob, policy, size: part.size, incarnation: home.shard.incarnation };
        self.commit_blob(at, &written, |shard, blob| send(shard, Part { blob: Some(blob), ..part.clone() }))
            .await
    }

    /// Stores part `number` of an upload from an object, or a range of it. Also tells the version copied from.
    ///
    /// # Errors
    /// As for a read of the source and for [`Self::put_part`].
    pub async fn copy_part(
        &self,
        at: &ObjectPath,
        upload: UploadId,
        number: u32,
        from: &ObjectPath,
        source: GetOptions,
    ) -> Result<(PartInfo, VersionId), ObjectError> {
        let reader = self.get(from, source).await?;
        let size = Some(reader.info.range.end - reader.info.range.start);
        let options = PartOptions { size, ..PartOptions::default() };
        let body = reader.body.map(|piece| piece.map_err(BodyError::new));
        let stored = self.put_part(at, upload, number, options, Box::pin(body)).await;
        match stored {
            Ok(part) => Ok((part, reader.info.version)),
            // An error of the source, not of the caller's body.
            Err(ObjectError::Body(BodyError(error))) => match error.downcast::<ObjectError>() {
                Ok(error) => Err(*error),
                Err(error) => Err(ObjectError::Body(BodyError(error))),
            },
            Err(error) => Err(error),
        }
    }

    /// Makes an object of an upload's parts. Completing again after the answer was lost gives it again.
    ///
    /// # Errors
    /// [`ObjectError::InvalidPart`], [`ObjectError::InvalidPartOrder`], [`ObjectError::EntityTooSmall`],
    /// [`ObjectError::NoSuchUpload`], [`ObjectError::PreconditionFailed`].
    pub async fn complete_upload(
        &self,
        at: &ObjectPath,
        upload: UploadId,
        options: CompleteOptions,
    ) -> Result<PutDone, ObjectError> {
        check_key(&at.key)?;
        let (store, at) = (self.clone(), at.clone());
        self.owned(async move { store.complete_steps(&at, upload, &options).await }).await
    }

    async fn complete_steps(
        &self,
        at: &ObjectPath,
        upload: UploadId,
        options: &CompleteOptions,
    ) -> Result<PutDone, ObjectError> {
        let mut hasher = Md5::new();
        options.parts.iter().for_each(|part| hasher.update(&part.etag.md5));
        let count = u32::try_from(options.parts.len()).map_err(|_| ObjectError::InvalidPartOrder)?;
        let etag = ETag { md5: hasher.finish(), parts: count };
        if let Some(part) = options.parts.iter().find(|part| part.etag.parts > 0) {
            return Err(ObjectError::InvalidPart { number: part.number });
        }
        let parts: Vec<_> = options.parts.iter().map(|part| (part.number, part.etag.md5)).collect();
        let parts = &parts;
        let completed = self
            .on_shard(&at.account, &at.container, &at.key, |home| async move {
                let complete = CompleteUpload {
                    shard: home.shard,
                    key: &at.key,
                    upload: upload.0.0,
                    conditions: options.conditions.clone(),
                    etag,
                    part_bytes_min: options.part_bytes_min,
                    checksums: options.checksums.clone(),
                    parts: parts.clone(),
                };
                let payload =
                    self.execute(home.shard.slot(), &Command::Complete(complete), Vec::new()).await?;
                Stored::decode(&payload).ok_or(CallError::Refused(Refusal::Damaged))
            })
            .await;
        match completed {
            Ok(stored) => Ok(put_done(&stored, etag, options.checksums.clone())),
            Err(ObjectError::EntityTooSmall { number, size, .. }) => {
                Err(ObjectError::EntityTooSmall { number, size, bytes_min: options.part_bytes_min })
            }
            Err(error) => Err(error),
        }
    }

    /// Ends an upload and drops its parts.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchUpload`].
    pub async fn abort_upload(&self, at: &ObjectPath, upload: UploadId) -> Result<(), ObjectError> {
        check_key(&at.key)?;
        let (store, at) = (self.clone(), at.clone());
        self.owned(async move {
            let (store, path) = (&store, &at);
            let abort = |home: Home| async move {
                let command = Command::AbortUpload { shard: home.shard, key: &path.key, upload: upload.0.0 };
                store.execute(home.shard.slot(), &command, Vec::new()).await
            };
            store.on_shard(&path.account, &path.container, &path.key, abort).await.map(|_| ())
        })
        .await
    }

    /// A page of an upload's parts with numbers above `after`.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchUpload`].
    pub async fn list_parts(
        &self,
        at: &ObjectPath,
        upload: UploadId,
        after: u32,
        limit: u32,
    ) -> Result<PartPage, ObjectError> {
        check_key(&at.key)?;
        let payload = self
            .on_shard(&at.account, &at.container, &at.key, |home| async move {
                let (shard, key, upload) = (home.shard, at.key.as_str(), upload.0.0);
                let query = Query::Parts { shard, key, upload, after, limit };
                Ok(self.query(shard.slot(), &query).await?.0)
            })
            .await?;
        let (attributes, parts, truncated) = decoded(decode_upload(&payload))?;
        let parts = parts.into_iter().map(|part| PartInfo {
            number: part.number,
            size: part.size,
            etag: ETag::of_md5(part.md5),
            modified: HybridTime(part.stamp),
            checksums: part.checksums,
        });
        Ok(PartPage { parts: parts.collect(), truncated, attributes })
    }
}
