//! Standing conditions the object layer keeps true, a few slots at a time: references queued for release are released in the
//! blob's home, versions that have expired are removed, and references that a copy added but never committed are dropped. All are
//! idempotent. And what the storage node's reconcilers ask about blobs, as their [`BlobDirectory`].

use crate::shards::is_routing;
use crate::store::{CallError, decoded};
use crate::{CondemnedBlob, ObjectError, ObjectStore};
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use ringfort_core::{BlobId, SLOT_COUNT, SessionId, SlotId};
use ringfort_object_model::{
    Command, OutboxEntry, Query, decode_blobs, decode_condemned, decode_expiring, decode_flags,
    decode_outbox, decode_references,
};
use ringfort_storage_client::{BlobDirectory, BlobHome, DirectoryError, OrphanVerdict};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Entries of a slot handled in one step.
const BATCH: u32 = 500;
/// Expired versions removed at a time: enough to share a proposal.
const EXPIRED_AT_ONCE: usize = 32;
/// Longest pause after failures.
const PAUSE_MAX: Duration = Duration::from_secs(5);

impl ObjectStore {
    pub(crate) fn start_reconcilers(&self) {
        let pause = self.inner.config.reconcile_pause;
        if pause.is_zero() {
            return;
        }
        let (store, stopping) = (self.clone(), self.inner.tasks.stopping());
        self.inner.tasks.spawn(async move {
            let mut next = 0;
            let mut wait = pause;
            // References are left behind by processes that died or lost an answer, so one look at each slot per process
            // is enough.
            let mut unchecked: BTreeSet<u16> = (0..SLOT_COUNT).collect();
            let mut ended = BTreeSet::new();
            while stopping.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
                wait = pause;
                for _ in 0..store.inner.config.reconcile_slots {
                    let slot = SlotId(next);
                    let mut done = store.reconcile(slot).await;
                    if done.is_ok() && unchecked.contains(&next) {
                        done = store.drop_stray_references(slot, &mut ended).await.map(|complete| {
                            if complete {
                                unchecked.remove(&next);
                            }
                        });
                    }
                    match done {
                        Ok(()) => {}
                        Err(error) => {
                            tracing::debug!(%slot, %error, "a slot cannot be reconciled now");
                            wait = (pause * 20).min(PAUSE_MAX);
                        }
                    }
                    next = (next + 1) % SLOT_COUNT;
                }
            }
        });
    }

    /// Delivers the outbox of `slot` and removes its expired versions. Safe to call at any time.
    ///
    /// # Errors
    /// When a slot does not answer; what is left is done the next time.
    pub async fn reconcile(&self, slot: SlotId) -> Result<(), ObjectError> {
        self.deliver(slot).await?;
        self.expire(slot).await.map(drop)
    }

    async fn deliver(&self, slot: SlotId) -> Result<(), ObjectError> {
        while self.deliver_some(slot).await? == BATCH as usize {}
        Ok(())
    }

    /// Delivers the oldest entries of an outbox, in this order: what is delivered twice because of a crash in between is
    /// dropped once. How many there were.
    async fn deliver_some(&self, slot: SlotId) -> Result<usize, ObjectError> {
        let (payload, _) = self.query(slot, &Query::Outbox { limit: BATCH }).await?;
        let mut by_home: BTreeMap<SlotId, Vec<OutboxEntry>> = BTreeMap::new();
        let all = decoded(decode_outbox(&payload))?;
        let count = all.len();
        for entry in all {
            by_home.entry(entry.blob.home()).or_default().push(entry);
        }
        for (home, entries) in by_home {
            let pairs = entries.iter().map(|entry| (entry.blob, entry.referrer)).collect();
            self.execute(home, &Command::DropReferrers(pairs), Vec::new()).await?;
            let delivered = entries.iter().map(|entry| entry.entry).collect();
            self.execute(slot, &Command::Delivered(delivered), Vec::new()).await?;
        }
        Ok(count)
    }

    /// Drops references to blobs at home in `slot` that were added for a copy in another slot which was never committed: the
    /// session that added them has ended, and then the other slot said that it does not hold them. `false` if there are some of
    /// other sessions that have not ended.
    pub(crate) async fn drop_stray_references(
        &self,
        slot: SlotId,
        ended: &mut BTreeSet<SessionId>,
    ) -> Result<bool, ObjectError> {
        let (mut after, mut complete) = (None, true);
        loop {
            let (payload, _) = self.query(slot, &Query::Referrers { after, limit: BATCH }).await?;
            let page = decoded(decode_references(&payload))?;
            let Some(last) = page.last() else { return Ok(complete) };
            after = Some(*last);
            let own = self.inner.meta.session();
            for (blob, name) in
                page.into_iter().filter(|(_, name)| name.home() != slot && name.session() != own)
            {
                if !self.session_ended(name.session(), ended).await? {
                    complete = false;
                    continue;
                }
                let (held, _) = self.query(name.home(), &Query::Held { referrer: name }).await?;
                if *held == [0] {
                    tracing::info!(%blob, reference = %name, "dropping the reference of a copy that was never committed");
                    self.execute(slot, &Command::DropReferrers(vec![(blob, name)]), Vec::new()).await?;
                }
            }
        }
    }

    async fn session_ended(
        &self,
        session: SessionId,
        ended: &mut BTreeSet<SessionId>,
    ) -> Result<bool, ObjectError> {
        if ended.contains(&session) {
            return Ok(true);
        }
        let answer = self.inner.meta.has_ended(session).await?;
        if answer {
            ended.insert(session);
        }
        Ok(answer)
    }

    /// Removes what has expired in `slot`. Whether there was anything.
    pub(crate) async fn expire(&self, slot: SlotId) -> Result<bool, ObjectError> {
        let mut any = false;
        loop {
            let now = ringfort_runtime::wall_us() / 1_000_000;
            let (payload, _) = self.query(slot, &Query::Expiring { before: now, limit: BATCH }).await?;
            let expired = decoded(decode_expiring(&payload))?;
            any |= !expired.is_empty();
            let (full, mut waiting) = (expired.len() == BATCH as usize, false);
            let removals = expired.into_iter().map(|(shard, key, stamp, at)| async move {
                let command = Command::Expire { shard, key: &key, stamp, at };
                self.execute(slot, &command, Vec::new()).await
            });
            let mut removals = stream::iter(removals).buffered(EXPIRED_AT_ONCE);
            while let Some(removed) = removals.next().await {
                match removed {
                    Ok(_) => {}
                    // Its turn comes again, here or in the shard that the key is being moved to.
                    Err(CallError::Refused(refusal)) if is_routing(refusal) => waiting = true,
                    Err(error) => return Err(error.into()),
                }
            }
            if !full || waiting {
                return Ok(any);
            }
        }
    }

    /// Blobs of `slot` whose chunks shall be deleted, after `after`.
    ///
    /// # Errors
    /// When the slot does not answer.
    pub async fn condemned(
        &self,
        slot: SlotId,
        after: Option<BlobId>,
        limit: u32,
    ) -> Result<Vec<CondemnedBlob>, ObjectError> {
        let (payload, _) = self.query(slot, &Query::Condemned { after, limit }).await?;
        let all = decoded(decode_condemned(&payload))?.into_iter();
        Ok(all.map(|(blob, policy, since)| CondemnedBlob { blob, policy, since }).collect())
    }

    /// Records that the chunks of these condemned blobs of `slot` are gone.
    ///
    /// # Errors
    /// When the slot does not answer.
    pub async fn collected(&self, slot: SlotId, blobs: &[BlobId]) -> Result<(), ObjectError> {
        self.execute(slot, &Command::Collected(blobs.to_vec()), Vec::new()).await?;
        Ok(())
    }

    /// Condemned blobs of `slot` that waited long enough for readers that began before; pages over younger ones.
    async fn ripe(
        &self,
        slot: SlotId,
        mut after: Option<BlobId>,
        limit: usize,
    ) -> Result<Vec<BlobId>, ObjectError> {
        let grace = u64::try_from(self.inner.config.collect_after.as_micros()).unwrap_or(u64::MAX);
        let before = ringfort_runtime::wall_us().saturating_sub(grace);
        let mut ripe = Vec::new();
        loop {
            let page = self.condemned(slot, after, BATCH).await?;
            let full = page.len() == BATCH as usize;
            after = page.last().map(|last| last.blob);
            ripe.extend(page.into_iter().filter(|blob| blob.since.0 <= before).map(|blob| blob.blob));
            if !full || ripe.len() >= limit {
                ripe.truncate(limit);
                return Ok(ripe);
            }
        }
    }

    async fn blob_homes(
        &self,
        slot: SlotId,
        after: Option<BlobId>,
        limit: usize,
    ) -> Result<Vec<BlobHome>, ObjectError> {
        let mut homes = Vec::new();
        let mut after = after;
        while homes.len() < limit {
            let wanted = u32::try_from(limit - homes.len()).unwrap_or(BATCH).min(BATCH);
            let (payload, _) = self.query(slot, &Query::Blobs { after, limit: wanted }).await?;
            let page = decoded(decode_blobs(&payload))?;
            let full = page.len() == wanted as usize;
            after = page.last().map(|(blob, _)| *blob);
            homes.extend(page.into_iter().map(|(blob, record)| BlobHome {
                blob,
                policy: record.policy,
                chunk_bytes: record.chunk_bytes,
                size: record.size,
            }));
            if !full {
                break;
            }
        }
        Ok(homes)
    }

    async fn condemn_one(&self, blob: BlobId) -> Result<OrphanVerdict, ObjectError> {
        // The policy of an orphan is not known; deleting a blob asks every device anyway.
        let flags = self.execute(blob.home(), &Command::Condemn(vec![(blob, 0)]), Vec::new()).await?;
        let condemned = decoded(decode_flags(&flags).first().copied())?;
        Ok(if condemned { OrphanVerdict::Condemned } else { OrphanVerdict::Known })
    }
}

fn directory<T>(answer: Result<T, ObjectError>) -> Result<T, DirectoryError> {
    answer.map_err(|error| DirectoryError { kind: error.kind(), reason: error.to_string() })
}

impl BlobDirectory for ObjectStore {
    fn blobs(
        &self,
        slot: SlotId,
        after: Option<BlobId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<BlobHome>, DirectoryError>> {
        Box::pin(async move { directory(self.blob_homes(slot, after, limit).await) })
    }

    fn condemned(
        &self,
        slot: SlotId,
        after: Option<BlobId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<BlobId>, DirectoryError>> {
        Box::pin(async move { directory(self.ripe(slot, after, limit).await) })
    }

    fn confirm_deleted(&self, slot: SlotId, blobs: Vec<BlobId>) -> BoxFuture<'_, Result<(), DirectoryError>> {
        Box::pin(async move { directory(self.collected(slot, &blobs).await) })
    }

    fn condemn_orphan(&self, blob: BlobId) -> BoxFuture<'_, Result<OrphanVerdict, DirectoryError>> {
        Box::pin(async move { directory(self.condemn_one(blob).await) })
    }
}
