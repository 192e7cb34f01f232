//! Multipart uploads. An upload holds its parts' blobs; completing hands them to the object in one commit.

use super::put::stored;
use super::{Apply, Done, check_conditions, decode_current};
use crate::codec::Writer;
use crate::command::CompleteUpload;
use crate::record::{Body, Part, UploadRecord, Version, decode_extras, encode_extras};
use crate::{Attributes, Refusal, ShardId, Versioning, keys};

impl Apply<'_> {
    pub(super) fn create_upload(
        &mut self,
        shard: ShardId,
        key: &str,
        content_type: Option<&str>,
        extras: &[u8],
    ) -> Done {
        let mut root = self.open_shard(shard)?;
        let at = keys::upload(shard, key.as_bytes(), self.stamp);
        if self.tx.get(&at).is_none() {
            root.uploads += 1;
            self.tx.put(&at, &UploadRecord { content_type, extras }.encode());
            self.save_shard(shard, &root);
        }
        let mut out = Writer::with_capacity(8);
        out.u64(self.stamp);
        Ok(out.0)
    }

    pub(super) fn put_part(&mut self, shard: ShardId, key: &str, upload: u64, mut part: Part) -> Done {
        self.open_shard(shard)?;
        if self.tx.get(&keys::upload(shard, key.as_bytes(), upload)).is_none() {
            return Err(Refusal::NoSuchUpload);
        }
        match &part.blob {
            None if part.size == 0 => {}
            Some(blob) if blob.referrer.is_none() => self.check_new_blob(blob.blob, blob.chunk_bytes)?,
            _ => return Err(Refusal::Malformed),
        }
        part.stamp = self.stamp;
        if let Some(blob) = &part.blob {
            self.create_blob(blob.blob, blob.policy, blob.chunk_bytes, part.size);
        }
        let at = keys::part(shard, upload, part.number);
        let replaced = self.tx.get(&at).and_then(|bytes| Part::decode(&bytes)).and_then(|part| part.blob);
        if let Some(blob) = replaced {
            self.drop_reference(&blob);
        }
        self.tx.put(&at, &part.encode());
        let mut out = Writer::with_capacity(8);
        out.u64(self.stamp);
        Ok(out.0)
    }

    pub(super) fn complete(&mut self, complete: &CompleteUpload<'_>) -> Done {
        let CompleteUpload { shard, key, upload, .. } = *complete;
        let mut root = self.open_shard(shard)?;
        let current_bytes = self.current(shard, key);
        let current = decode_current(current_bytes.as_ref())?;
        let upload_at = keys::upload(shard, key.as_bytes(), upload);
        let Some(record_bytes) = self.tx.get(&upload_at) else {
            // A client that did not hear the answer completes again.
            return match current {
                Some(done) if done.etag == complete.etag && is_manifest(&done, upload) => {
                    Ok(stored(&done, &root))
                }
                _ => Err(Refusal::NoSuchUpload),
            };
        };
        let record = UploadRecord::decode(&record_bytes).ok_or(Refusal::Damaged)?;
        let parts = self.chosen_parts(complete)?;
        check_conditions(current.as_ref(), &complete.conditions)?;
        let attributes = decode_extras(record.extras).ok_or(Refusal::Damaged)?;
        let extras = encode_extras(&Attributes { checksums: complete.checksums.clone(), ..attributes });
        let size = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.size));
        let new = Version {
            stamp: self.stamp_after(current.as_ref()),
            null: root.versioning != Versioning::Enabled,
            marker: false,
            etag: complete.etag,
            size,
            content_type: record.content_type,
            body: Body::Manifest { id: upload, parts: u32::try_from(parts.len()).unwrap_or(u32::MAX) },
            extras: &extras,
            older: false,
            null_at: None,
        };
        let mut end = 0_u64;
        for part in &parts {
            end = end.saturating_add(part.size);
            self.tx.delete(&keys::part(shard, upload, part.number));
            self.tx.put(&keys::manifest(shard, upload, end, part.number), &part.encode());
        }
        self.drop_parts(&keys::parts_of(shard, upload));
        self.tx.delete(&upload_at);
        root.uploads = root.uploads.saturating_sub(1);
        self.insert(shard, key, &mut root, current_bytes.as_ref().zip(current), new)?;
        self.save_shard(shard, &root);
        Ok(stored(&new, &root))
    }

    /// The parts named, if all are there as named.
    fn chosen_parts(&self, complete: &CompleteUpload<'_>) -> Result<Vec<Part>, Refusal> {
        let ascending = complete.parts.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if complete.parts.is_empty() || !ascending {
            return Err(Refusal::InvalidPartOrder);
        }
        let mut parts = Vec::with_capacity(complete.parts.len());
        for (number, md5) in &complete.parts {
            let bytes = self.tx.get(&keys::part(complete.shard, complete.upload, *number));
            let part = bytes.map(|bytes| Part::decode(&bytes).ok_or(Refusal::Damaged)).transpose()?;
            match part {
                Some(part) if part.md5 == *md5 => parts.push(part),
                _ => return Err(Refusal::InvalidPart { number: *number }),
            }
        }
        let small = parts[..parts.len() - 1].iter().find(|part| part.size < complete.part_bytes_min);
        match small {
            Some(part) => Err(Refusal::PartTooSmall { number: part.number, size: part.size }),
            None => Ok(parts),
        }
    }

    pub(super) fn abort_upload(&mut self, shard: ShardId, key: &str, upload: u64) -> Done {
        let mut root = self.any_shard(shard)?;
        let at = keys::upload(shard, key.as_bytes(), upload);
        if self.tx.get(&at).is_none() {
            return Err(Refusal::NoSuchUpload);
        }
        self.drop_parts(&keys::parts_of(shard, upload));
        self.tx.delete(&at);
        root.uploads = root.uploads.saturating_sub(1);
        self.save_shard(shard, &root);
        Ok(Vec::new())
    }
}

fn is_manifest(version: &Version<'_>, upload: u64) -> bool {
    matches!(version.body, Body::Manifest { id, .. } if id == upload)
}
