//! From a container and key to the shard that holds it.
//!
//! Container records are cached. A record that is out of date leads to a shard that is not there (incarnations are never
//! used again), is sealed, or no longer holds the key, so a stale cache is noticed where the command is applied, refreshed, and
//! the command sent again: no expiry time, no stale answer.

use crate::store::{CallError, decoded};
use crate::{ObjectError, ObjectStore};
use ringfort_object_model::{
    Command, ContainerRecord, ContainerState, Query, Refusal, ShardId, account_slot, decode_container,
};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Times an operation is sent again after its container turned out to have changed.
const ATTEMPTS: u32 = 40;
/// Attempts after which a deletion that sealed the shard is taken for dead.
const SEAL_PATIENCE: u32 = 20;
/// Pause before looking again at a sealed shard.
const SEAL_PAUSE: Duration = Duration::from_millis(25);
/// Pause before trying again what waits for a move of keys between shards.
const HOLD_PAUSE: Duration = Duration::from_millis(10);

/// Whether a refusal is about the shard and not about what was asked of it.
pub(crate) const fn is_routing(refusal: Refusal) -> bool {
    matches!(
        refusal,
        Refusal::NoShard
            | Refusal::Sealed { .. }
            | Refusal::Above { .. }
            | Refusal::Below
            | Refusal::Held { .. }
    )
}

/// Where a key lives.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    pub(crate) record: Arc<ContainerRecord>,
    pub(crate) shard: ShardId,
}

pub(crate) fn cache_key(account: &str, container: &str) -> String {
    [account, container].join("\0")
}

impl ObjectStore {
    /// The container's record as it is now, visible or not.
    pub(crate) async fn fetch_record(
        &self,
        account: &str,
        name: &str,
    ) -> Result<Option<ContainerRecord>, ObjectError> {
        let (payload, _) = self.query(account_slot(account), &Query::Container { account, name }).await?;
        decoded(decode_container(&payload))
    }

    /// The record of a container that is in use.
    pub(crate) async fn record(
        &self,
        account: &str,
        name: &str,
    ) -> Result<Arc<ContainerRecord>, ObjectError> {
        let key = cache_key(account, name);
        if let Some(record) = self.inner.containers.get(&key) {
            return Ok(record);
        }
        let record = self.fetch_record(account, name).await?;
        let live = record.filter(|r| matches!(r.state, ContainerState::Live | ContainerState::Sealing(_)));
        let record = Arc::new(live.ok_or(ObjectError::NoSuchContainer)?);
        self.inner.containers.insert(key, Arc::clone(&record));
        Ok(record)
    }

    pub(crate) fn forget_record(&self, account: &str, name: &str) {
        self.inner.containers.remove(&cache_key(account, name));
    }

    /// Where `key` lives by the record at hand.
    pub(crate) async fn home(&self, account: &str, container: &str, key: &str) -> Result<Home, ObjectError> {
        let record = self.record(account, container).await?;
        let shard = record.shard_of(key).id;
        Ok(Home { record, shard })
    }

    /// Runs `operation` on the shard of `key`, again when the record was out of date or a deletion of the container came to
    /// nothing. `operation` must be safe to repeat when it was refused.
    pub(crate) async fn on_shard<T, F, R>(
        &self,
        account: &str,
        container: &str,
        key: &str,
        operation: F,
    ) -> Result<T, ObjectError>
    where
        F: Fn(Home) -> R,
        R: Future<Output = Result<T, CallError>>,
    {
        let mut attempt = 0;
        loop {
            let home = self.home(account, container, key).await?;
            let shard = home.shard;
            let refusal = match operation(home).await {
                Err(CallError::Refused(refusal)) if is_routing(refusal) => refusal,
                ended => return Ok(ended?),
            };
            attempt += 1;
            if attempt > ATTEMPTS {
                return Err(CallError::Refused(refusal).into());
            }
            self.settle(account, container, shard, refusal, attempt).await?;
        }
    }

    /// After `shard` refused: refreshes the record, takes the seal of a dead deletion or the hold of a dead move off, and
    /// brings a move that was decided to its end.
    pub(crate) async fn settle(
        &self,
        account: &str,
        container: &str,
        shard: ShardId,
        refusal: Refusal,
        attempt: u32,
    ) -> Result<(), ObjectError> {
        self.forget_record(account, container);
        match refusal {
            Refusal::Sealed { token } => self.settle_seal(account, container, shard, token, attempt).await,
            Refusal::Held { token } => {
                if attempt.is_multiple_of(SEAL_PATIENCE) {
                    self.execute(shard.slot(), &Command::Unhold { shard, token }, Vec::new()).await?;
                }
                tokio::time::sleep(HOLD_PAUSE).await;
                Ok(())
            }
            Refusal::Above { .. } => self.finish_move(account, container, shard).await,
            Refusal::Below => {
                tokio::time::sleep(HOLD_PAUSE).await;
                Ok(())
            }
            _ => {
                let record = self.record(account, container).await?;
                if attempt > 2 && record.incarnation == shard.incarnation {
                    return Err(ObjectError::internal("a container in use lacks a shard"));
                }
                Ok(())
            }
        }
    }

    async fn settle_seal(
        &self,
        account: &str,
        container: &str,
        shard: ShardId,
        token: u64,
        attempt: u32,
    ) -> Result<(), ObjectError> {
        let Some(record) = self.fetch_record(account, container).await? else { return Ok(()) };
        match record.state {
            ContainerState::Live if record.incarnation == shard.incarnation => {
                // The deletion was called off, but this seal came late or stayed.
                self.execute(shard.slot(), &Command::Unseal { shard, token }, Vec::new()).await?;
            }
            ContainerState::Sealing(_) if attempt < SEAL_PATIENCE => tokio::time::sleep(SEAL_PAUSE).await,
            ContainerState::Sealing(_) => self.call_off_deletion(account, container, record).await?,
            ContainerState::Live | ContainerState::Creating | ContainerState::Deleting => {}
        }
        Ok(())
    }

    async fn call_off_deletion(
        &self,
        account: &str,
        name: &str,
        record: ContainerRecord,
    ) -> Result<(), ObjectError> {
        let expect = record.revision;
        let record = ContainerRecord { state: ContainerState::Live, ..record };
        let command = Command::SetContainer { account, name, expect, record: Some(record) };
        match self.execute(account_slot(account), &command, Vec::new()).await {
            Ok(_) | Err(CallError::Refused(Refusal::Changed)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
