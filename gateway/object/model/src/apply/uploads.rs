//! Multipart uploads. An upload holds its parts' blobs; completing hands them to the object in one commit.

use super::put::stored;
use super::{Apply, Done, decode_current};
use crate::codec::Writer;
use crate::command::CompleteUpload;
use crate::record::{Body, FORMAT, Part, UploadRecord, Version, decode_extras, encode_extras};
use crate::{Attributes, Refusal, ShardId, ShardRoot, Versioning, keys};

impl Apply<'_> {
    pub(super) fn create_upload(
        &mut self,
        shard: ShardId,
        key: &str,
        content_type: Option<&str>,
        extras: &[u8],
    ) -> Done {
        let mut root = self.open_shard(shard, key)?;
        let id = self.free_id(shard, key.as_bytes(), self.stamp);
        root.uploads += 1;
        self.tx
            .put(&keys::upload(shard, key.as_bytes(), id), &UploadRecord { content_type, extras }.encode());
        self.save_shard(shard, &root);
        let mut out = Writer::with_capacity(8);
        out.u64(id);
        Ok(out.0)
    }

    pub(super) fn put_part(&mut self, shard: ShardId, key: &str, upload: u64, mut part: Part) -> Done {
        self.open_shard(shard, key)?;
        if self.tx.get(&keys::upload(shard, key.as_bytes(), upload)).is_none() {
            return Err(Refusal::NoSuchUpload);
        }
        match &part.blob {
            None if part.size == 0 => {}
            None => return Err(Refusal::Malformed),
            Some(blob) if blob.referrer.is_none() => self.check_new_blob(blob.blob, blob.chunk_bytes)?,
            Some(blob) => self.check_shared(blob)?,
        }
        part.stamp = self.stamp;
        match &part.blob {
            Some(blob) if blob.referrer.is_some() => self.add_shared(blob),
            Some(blob) => {
                self.create_blob(blob.blob, blob.policy, blob.chunk_bytes, part.size);
            }
            None => {}
        }
        let at = keys::part(shard, key.as_bytes(), upload, part.number);
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
        let mut root = self.open_shard(shard, key)?;
        let current_bytes = self.current(shard, key);
        let current = decode_current(current_bytes.as_ref())?;
        let upload_at = keys::upload(shard, key.as_bytes(), upload);
        let Some(record_bytes) = self.tx.get(&upload_at) else {
            return self.completed_before(complete, current, &root);
        };
        let record = UploadRecord::decode(&record_bytes).ok_or(Refusal::Damaged)?;
        let parts = self.chosen_parts(complete)?;
        self.check_conditions(current.as_ref(), &complete.conditions)?;
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
            touched: None,
            older: false,
            null_at: None,
        };
        let mut end = 0_u64;
        for part in &parts {
            end = end.saturating_add(part.size);
            self.tx.delete(&keys::part(shard, key.as_bytes(), upload, part.number));
            self.tx.put(&keys::manifest(shard, key.as_bytes(), upload, end, part.number), &part.encode());
        }
        self.drop_parts(&keys::parts_of(shard, key.as_bytes(), upload));
        self.tx.delete(&upload_at);
        self.tx.put(&keys::done(shard, key.as_bytes(), upload), &encode_done_record(new.stamp));
        root.uploads = root.uploads.saturating_sub(1);
        self.insert(shard, key, &mut root, current_bytes.as_ref().zip(current), new)?;
        self.save_shard(shard, &root);
        Ok(stored(&new, &root))
    }

    /// The answer to a client that did not hear it and completes again, for as long as the version that came of it is there.
    fn completed_before(
        &self,
        complete: &CompleteUpload<'_>,
        current: Option<Version<'_>>,
        root: &ShardRoot,
    ) -> Done {
        let (shard, name) = (complete.shard, complete.key.as_bytes());
        let record = self.tx.get(&keys::done(shard, name, complete.upload)).ok_or(Refusal::NoSuchUpload)?;
        let stamp = match *record {
            [FORMAT, ref stamp @ ..] => {
                stamp.try_into().map(u64::from_be_bytes).map_err(|_| Refusal::Damaged)?
            }
            _ => return Err(Refusal::Damaged),
        };
        let older;
        let version = match current {
            Some(current) if current.stamp == stamp => current,
            _ => {
                older = self.tx.get(&keys::older(shard, name, stamp));
                decode_current(older.as_ref())?.ok_or(Refusal::Damaged)?
            }
        };
        if version.etag == complete.etag { Ok(stored(&version, root)) } else { Err(Refusal::NoSuchUpload) }
    }

    /// The parts named, if all are there as named.
    fn chosen_parts(&self, complete: &CompleteUpload<'_>) -> Result<Vec<Part>, Refusal> {
        let ascending = complete.parts.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if complete.parts.is_empty() || !ascending {
            return Err(Refusal::InvalidPartOrder);
        }
        let mut parts = Vec::with_capacity(complete.parts.len());
        for (number, md5) in &complete.parts {
            let at = keys::part(complete.shard, complete.key.as_bytes(), complete.upload, *number);
            let bytes = self.tx.get(&at);
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
        root.check_write(key)?;
        let at = keys::upload(shard, key.as_bytes(), upload);
        if self.tx.get(&at).is_none() {
            return Err(Refusal::NoSuchUpload);
        }
        self.drop_parts(&keys::parts_of(shard, key.as_bytes(), upload));
        self.tx.delete(&at);
        root.uploads = root.uploads.saturating_sub(1);
        self.save_shard(shard, &root);
        Ok(Vec::new())
    }
}

fn encode_done_record(stamp: u64) -> Vec<u8> {
    let mut out = Writer::with_capacity(9);
    out.u8(FORMAT).u64(stamp);
    out.0
}
