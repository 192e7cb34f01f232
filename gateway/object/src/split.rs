//! Splitting a container's index: a shard that holds too much gives its last keys to the shard after it, or to a new one.
//!
//! Keys move in batches, each by the steps of the model's `apply/moving.rs`. Only writes of the keys of one batch wait, and only
//! for its few commits; reads never do, except between the commit that takes the keys from the one shard and the commit by
//! which the other serves them. Whoever meets that gap closes it ([`ObjectStore::finish_move`]), so a mover may die at any
//! point. The container's record says where each shard begins; it follows the shards and may be behind them.

use crate::store::{CallError, decoded};
use crate::{ObjectError, ObjectPath, ObjectStore};
use bytes::Bytes;
use ringfort_core::{BlobId, SlotId};
use ringfort_object_model::{
    Command, ContainerRecord, ContainerState, MovedRecord, Query, Refusal, ShardId, ShardRoot, decode_export,
    decode_tail,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// Bytes of one batch at most, inline bodies included; well below what a command may have.
const BATCH_BYTES_MAX: u32 = 1 << 20;
/// Pause between batches, so that clients come in between.
const PAUSE: Duration = Duration::from_millis(2);
/// How long another mover's hold is respected.
const HOLD_PATIENCE: Duration = Duration::from_millis(100);
/// Failed batches in a row after which a split is left to a later write.
const FAILURES_MAX: u32 = 5;
/// Above every key: a shard that holds nothing yet begins here.
const NOWHERE_CHARS: usize = 257;

/// What came of one batch.
enum Batch {
    Moved,
    /// The shard is small enough, or cannot be made smaller.
    Enough,
}

/// What a batch brought along: names to take back if it comes to nothing.
#[derive(Default)]
struct Baggage {
    bodies: Vec<Bytes>,
    added: BTreeMap<SlotId, Vec<(BlobId, BlobId)>>,
}

impl ObjectStore {
    /// Begins to split the shard in the background if it holds more than it should and no other split is under way.
    pub(crate) fn consider_split(&self, at: &ObjectPath, shard: ShardId, versions: u64) {
        if versions <= self.inner.config.shard_versions_max || self.inner.splitting.try_lock().is_err() {
            return;
        }
        let (store, account, name) = (self.clone(), at.account.clone(), at.container.clone());
        let stopping = self.inner.tasks.stopping();
        self.inner.tasks.spawn(async move {
            let Ok(_alone) = store.inner.splitting.try_lock() else { return };
            if let Some(Err(error)) = stopping.run_until_cancelled(store.split(&account, &name, shard)).await
            {
                tracing::warn!(account, container = name, %error, "a container's index cannot be split now");
            }
        });
    }

    /// Moves keys from `shard` to the one after it until it holds half of what it may.
    pub(crate) async fn split(&self, account: &str, name: &str, shard: ShardId) -> Result<(), ObjectError> {
        let taker = match self.taker(account, name, shard).await? {
            Some(taker) => taker,
            None => return Ok(()),
        };
        tracing::info!(
            account,
            container = name,
            from = shard.number,
            to = taker.number,
            "an index shard is split"
        );
        let mut failures = 0;
        loop {
            match self.move_batch(account, name, shard, taker).await {
                Ok(Batch::Enough) => return Ok(()),
                Ok(Batch::Moved) => failures = 0,
                Err(error) if failures >= FAILURES_MAX => return Err(error),
                Err(_) => {
                    failures += 1;
                    self.finish_move(account, name, shard).await?;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The shard that takes the keys of `shard` over: the one after it if that has room, otherwise a new one, which is in the
    /// container's record before it gets a key.
    async fn taker(&self, account: &str, name: &str, shard: ShardId) -> Result<Option<ShardId>, ObjectError> {
        for _ in 0..3 {
            let Some(record) = self.fetch_record(account, name).await? else { return Ok(None) };
            let index = record.shards.iter().position(|(_, number)| *number == shard.number);
            let Some(index) = index.filter(|_| record.incarnation == shard.incarnation) else {
                return Ok(None);
            };
            if record.state != ContainerState::Live {
                return Ok(None);
            }
            let root = self.root(shard).await?;
            let end = root.end();
            if let Some((_, number)) = record.shards.get(index + 1) {
                let next = ShardId { number: *number, ..shard };
                let room = self.inner.config.shard_versions_max / 2;
                let follows = end.is_none_or(|(_, number)| number == next.number);
                match self.root(next).await {
                    Ok(next_root)
                        if next_root.versions < room
                            && (follows || next_root.begin() == end.map(|(end, _)| end)) =>
                    {
                        return Ok(Some(next));
                    }
                    Ok(_) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            let number = record.shards.iter().map(|(_, number)| *number).max().unwrap_or(0) + 1;
            let taker = ShardId { number, ..shard };
            let (versioning, revision) = (record.versioning, record.versioning_revision);
            let create = Command::CreateTaker { shard: taker, versioning, revision, end };
            self.execute(taker.slot(), &create, Vec::new()).await?;
            let begin = end.map_or_else(|| "\u{10ffff}".repeat(NOWHERE_CHARS), |(end, _)| end.to_owned());
            let (expect, mut record) = (record.revision, record);
            record.shards.insert(index + 1, (begin, number));
            if self.swap_record(account, name, expect, Some(&record)).await?.is_some() {
                return Ok(Some(taker));
            }
        }
        Ok(None)
    }

    pub(crate) async fn root(&self, shard: ShardId) -> Result<ShardRoot, CallError> {
        let (payload, _) = self.query(shard.slot(), &Query::Shard { shard }).await?;
        ShardRoot::decode_payload(&payload).ok_or(CallError::Refused(Refusal::Damaged))
    }

    async fn move_batch(
        &self,
        account: &str,
        name: &str,
        giver: ShardId,
        taker: ShardId,
    ) -> Result<Batch, ObjectError> {
        if self.root(giver).await?.versions <= self.inner.config.shard_versions_max / 2 {
            return Ok(Batch::Enough);
        }
        let mut keys = self.inner.config.moved_keys.max(1);
        loop {
            let (payload, _) = self.query(giver.slot(), &Query::Tail { shard: giver, keys }).await?;
            let Some(from) = decoded(decode_tail(&payload))? else { return Ok(Batch::Enough) };
            let held =
                match self.execute(giver.slot(), &Command::Hold { shard: giver, from }, Vec::new()).await {
                    Err(CallError::Refused(Refusal::Held { token })) => {
                        // Another mover's: if it is alive it begins again.
                        tokio::time::sleep(HOLD_PATIENCE).await;
                        self.execute(giver.slot(), &Command::Unhold { shard: giver, token }, Vec::new())
                            .await?;
                        return Err(CallError::Refused(Refusal::Held { token }).into());
                    }
                    held => held?,
                };
            let root = decoded(ShardRoot::decode_payload(&held))?;
            let token = root.range.as_ref().and_then(|range| range.hold.as_ref()).map(|(_, token)| *token);
            let token = decoded(token)?;
            let moved = self.move_held(giver, taker, &root, from, token).await;
            if !matches!(moved, Ok(true)) {
                self.execute(giver.slot(), &Command::Unhold { shard: giver, token }, Vec::new()).await?;
            }
            if moved? {
                self.finish_move(account, name, giver).await?;
                return Ok(Batch::Moved);
            }
            // More than fits one command: fewer keys. What a single key has must fit.
            if keys == 1 {
                return Ok(Batch::Enough);
            }
            keys = (keys / 4).max(1);
        }
    }

    /// Copies the held keys and takes them from the giver. `false` if they are too many.
    async fn move_held(
        &self,
        giver: ShardId,
        taker: ShardId,
        root: &ShardRoot,
        from: &str,
        token: u64,
    ) -> Result<bool, ObjectError> {
        let export = Query::Export { shard: giver, from, bytes_max: BATCH_BYTES_MAX };
        let (payload, _) = self.query(giver.slot(), &export).await?;
        let Some(mut records) = decoded(decode_export(&payload))? else { return Ok(false) };
        let mut baggage = Baggage::default();
        self.pack(giver, taker, &mut records, &mut baggage).await?;
        let begin = root.end().map(|(end, _)| end);
        let import = Command::Import { shard: taker, token, begin, from, records };
        let bodies = std::mem::take(&mut baggage.bodies);
        let imported = match self.add_references(&baggage).await {
            Ok(()) => self.execute(taker.slot(), &import, bodies).await,
            Err(error) => Err(error),
        };
        match imported {
            Ok(_) => {}
            Err(CallError::Refused(refusal)) => {
                self.take_back(&baggage.added).await;
                return Err(CallError::Refused(refusal).into());
            }
            // The copy may be there: the next one drops it, or the search for stray references does.
            Err(unknown) => return Err(unknown.into()),
        }
        let cut = Command::Cut { shard: giver, token, next: taker.number };
        self.execute(giver.slot(), &cut, Vec::new()).await?;
        Ok(true)
    }

    /// Gives everything that the records hold a name of the taker's slot, and fetches the inline bodies.
    async fn pack(
        &self,
        giver: ShardId,
        taker: ShardId,
        records: &mut [MovedRecord],
        baggage: &mut Baggage,
    ) -> Result<(), ObjectError> {
        for record in records {
            if let Some((key, version)) = decoded(record.inline())? {
                let version = Some(version);
                let query = Query::Get { shard: giver, key: &key, version, body: true };
                let (_, body) = self.query(giver.slot(), &query).await?;
                baggage.bodies.push(decoded(body)?);
            }
            let name = self.new_name(taker.slot());
            if let Some(blob) = decoded(record.rename(name))?
                && blob.home() != taker.slot()
            {
                baggage.added.entry(blob.home()).or_default().push((blob, name));
            }
        }
        Ok(())
    }

    async fn add_references(&self, baggage: &Baggage) -> Result<(), CallError> {
        for (home, pairs) in &baggage.added {
            self.execute(*home, &Command::AddReferrers(pairs.clone()), Vec::new()).await?;
        }
        Ok(())
    }

    /// Brings the move of keys from `giver` that was decided last to its end: the taker serves them, and the container's record
    /// says where it begins. Safe to call at any time.
    pub(crate) async fn finish_move(
        &self,
        account: &str,
        name: &str,
        giver: ShardId,
    ) -> Result<(), ObjectError> {
        let root = match self.root(giver).await {
            Ok(root) => root,
            Err(CallError::Refused(Refusal::NoShard)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let Some((end, number)) = root.end() else { return Ok(()) };
        self.serve_from(ShardId { number, ..giver }, end).await?;
        for _ in 0..3 {
            let Some(record) = self.fetch_record(account, name).await? else { return Ok(()) };
            let entry = record.shards.iter().position(|(_, of)| *of == number);
            let Some(index) = entry.filter(|_| record.incarnation == giver.incarnation) else {
                return Ok(());
            };
            let in_use = matches!(record.state, ContainerState::Live | ContainerState::Sealing(_));
            if record.shards[index].0.as_str() <= end || !in_use {
                return Ok(());
            }
            let (expect, mut record): (_, ContainerRecord) = (record.revision, record);
            end.clone_into(&mut record.shards[index].0);
            if self.swap_record(account, name, expect, Some(&record)).await?.is_some() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Tells a shard that it has the keys from `begin` on.
    pub(crate) async fn serve_from(&self, shard: ShardId, begin: &str) -> Result<(), ObjectError> {
        match self.execute(shard.slot(), &Command::Serve { shard, begin }, Vec::new()).await {
            Ok(_) | Err(CallError::Refused(Refusal::Changed | Refusal::NoShard)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
