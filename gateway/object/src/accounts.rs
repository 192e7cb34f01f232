//! Accounts: their metadata, their containers as a listing, and what all of them hold together.
//!
//! An account's record lies in the slot of its containers' records and counts them exactly. What the containers hold is counted
//! by their shards, so a total asks every shard. It is kept for a while, at least a second and never less than ten times what
//! it took to find it: however often it is asked for, at most a tenth of one request's work goes into it, per gateway.

use crate::containers::{ATTEMPTS, crowded};
use crate::store::{CallError, decoded};
use crate::{
    AccountInfo, ContainerEntry, ContainerListRequest, ContainerListing, ContainerStats, ObjectError,
    ObjectStore, PolicyUse,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use ringfort_core::HybridTime;
use ringfort_object_model::{
    AccountRecord, Command, ContainerItem, KeyRange, Query, Refusal, ShardId, account_slot, decode_account,
    decode_container_items,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Containers whose shards are asked at a time.
const ASKED_AT_ONCE: usize = 64;
/// Containers counted between two queries of the account's slot.
const PAGE: u32 = 1_000;
/// How long a total is kept at least.
const KEPT_MIN: Duration = Duration::from_secs(1);
/// How long a total is kept, in times of what it took to find it.
const KEPT_TIMES: u32 = 10;

/// The total of an account as it was found last; held while it is being found, so that one request does it for all.
pub(crate) type SharedTotals = tokio::sync::Mutex<Option<Totals>>;

/// What the containers of an account held at a time.
#[derive(Clone, Debug)]
pub(crate) struct Totals {
    by_policy: BTreeMap<u16, PolicyUse>,
    good_until: Instant,
}

impl ObjectStore {
    /// A page of an account's containers. With `stats` each container's shards are asked, many at a time.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn containers(
        &self,
        account: &str,
        request: &ContainerListRequest,
    ) -> Result<ContainerListing, ObjectError> {
        let (items, truncated) = self.container_items(account, request).await?;
        let entries = stream::iter(items)
            .map(|item| self.container_entry(item, request.stats))
            .buffered(ASKED_AT_ONCE)
            .try_collect::<Vec<_>>()
            .await?;
        let next_marker = match entries.last() {
            Some(ContainerEntry::Container { name, .. } | ContainerEntry::CommonPrefix(name))
                if truncated =>
            {
                name.clone()
            }
            _ => String::new(),
        };
        Ok(ContainerListing { entries, truncated, next_marker })
    }

    async fn container_items(
        &self,
        account: &str,
        request: &ContainerListRequest,
    ) -> Result<(Vec<ContainerItem>, bool), ObjectError> {
        let range = KeyRange {
            prefix: &request.prefix,
            delimiter: &request.delimiter,
            marker: &request.marker,
            end: &request.end_marker,
            limit: request.limit,
            ..KeyRange::default()
        };
        let query = Query::ContainerItems { account, range, reverse: request.reverse };
        let (payload, _) = self.query(account_slot(account), &query).await?;
        let page = decoded(decode_container_items(&payload))?;
        Ok((page.items, page.truncated))
    }

    async fn container_entry(&self, item: ContainerItem, stats: bool) -> Result<ContainerEntry, ObjectError> {
        Ok(match item {
            ContainerItem::CommonPrefix(prefix) => ContainerEntry::CommonPrefix(prefix),
            ContainerItem::Container { name, created, modified, policy, shards } => {
                let stats = if stats { Some(self.stats_of(&shards).await?) } else { None };
                ContainerEntry::Container { name, created, modified, policy, stats }
            }
        })
    }

    /// What these shards hold; one that was removed meanwhile holds nothing.
    async fn stats_of(&self, shards: &[ShardId]) -> Result<ContainerStats, ObjectError> {
        let mut stats = ContainerStats::default();
        for shard in shards {
            match self.root(*shard).await {
                Ok(root) => {
                    stats.objects += root.objects;
                    stats.bytes = stats.bytes.saturating_add(root.bytes);
                }
                Err(CallError::Refused(Refusal::NoShard)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(stats)
    }

    async fn account_record(&self, account: &str) -> Result<Option<AccountRecord>, ObjectError> {
        let (payload, _) = self.query(account_slot(account), &Query::Account { account }).await?;
        decoded(decode_account(&payload))
    }

    /// An account. Objects and bytes lag by a second, of an account with very many containers by ten times as long as it takes
    /// to count them.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn account(&self, account: &str) -> Result<AccountInfo, ObjectError> {
        let Some(record) = self.account_record(account).await? else { return Ok(AccountInfo::default()) };
        let policies =
            if record.containers == 0 { BTreeMap::default() } else { self.totals(account).await? };
        let known = |time: HybridTime| Some(time).filter(|time| time.0 > 0);
        Ok(AccountInfo {
            containers: record.containers,
            objects: policies.values().map(|used| used.stats.objects).sum(),
            bytes: policies.values().fold(0, |sum, used| sum.saturating_add(used.stats.bytes)),
            policies: policies.into_iter().collect(),
            metadata: record.metadata,
            created: known(record.created),
            modified: known(HybridTime(record.revision)),
        })
    }

    async fn totals(&self, account: &str) -> Result<BTreeMap<u16, PolicyUse>, ObjectError> {
        let shared = match self.inner.totals.get(account) {
            Some(shared) => shared,
            None => {
                let shared = Arc::new(SharedTotals::default());
                self.inner.totals.insert(account.to_owned(), Arc::clone(&shared));
                shared
            }
        };
        let mut totals = shared.lock().await;
        if let Some(totals) = totals.as_ref().filter(|totals| Instant::now() < totals.good_until) {
            return Ok(totals.by_policy.clone());
        }
        let begun = Instant::now();
        let by_policy = self.count_all(account).await?;
        let kept = KEPT_MIN.max(begun.elapsed() * KEPT_TIMES);
        *totals = Some(Totals { by_policy: by_policy.clone(), good_until: Instant::now() + kept });
        Ok(by_policy)
    }

    async fn count_all(&self, account: &str) -> Result<BTreeMap<u16, PolicyUse>, ObjectError> {
        let mut request =
            ContainerListRequest { limit: PAGE, stats: true, ..ContainerListRequest::default() };
        let mut all: BTreeMap<u16, PolicyUse> = BTreeMap::new();
        loop {
            let page = self.containers(account, &request).await?;
            for entry in &page.entries {
                if let ContainerEntry::Container { policy, stats: Some(stats), .. } = entry {
                    let used = all.entry(*policy).or_default();
                    used.containers += 1;
                    used.stats.objects += stats.objects;
                    used.stats.bytes = used.stats.bytes.saturating_add(stats.bytes);
                }
            }
            if !page.truncated {
                return Ok(all);
            }
            request.marker = page.next_marker;
        }
    }

    /// The metadata of an account, without counting what it holds.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn account_metadata(&self, account: &str) -> Result<Vec<(String, String)>, ObjectError> {
        Ok(self.account_record(account).await?.unwrap_or_default().metadata)
    }

    /// Changes an account's metadata; as they are then. `change` is called again with what another writer left if one got in
    /// between, so it must do no more than change what it is given; what it refuses stays as it was.
    ///
    /// # Errors
    /// [`ObjectError::MetadataTooLarge`], and what `change` refuses with.
    pub async fn update_account_metadata<E, F>(
        &self,
        account: &str,
        mut change: F,
    ) -> Result<Vec<(String, String)>, E>
    where
        E: From<ObjectError> + Send + 'static,
        F: FnMut(&mut Vec<(String, String)>) -> Result<(), E> + Send + 'static,
    {
        let (store, account) = (self.clone(), account.to_owned());
        self.owned(async move {
            for _ in 0..ATTEMPTS {
                let record = store.account_record(&account).await?.unwrap_or_default();
                let mut metadata = record.metadata;
                change(&mut metadata)?;
                store.check_metadata(&metadata)?;
                if store.swap_account(&account, record.revision, Some(metadata.clone())).await? {
                    return Ok(metadata);
                }
            }
            Err(crowded().into())
        })
        .await
    }

    /// Forgets an account that has no containers: its metadata, and when it was used first.
    ///
    /// # Errors
    /// [`ObjectError::AccountNotEmpty`].
    pub async fn delete_account(&self, account: &str) -> Result<(), ObjectError> {
        let (store, account) = (self.clone(), account.to_owned());
        self.owned(async move {
            for _ in 0..ATTEMPTS {
                let Some(record) = store.account_record(&account).await? else { return Ok(()) };
                if store.swap_account(&account, record.revision, None).await? {
                    return Ok(());
                }
            }
            Err(crowded())
        })
        .await
    }

    async fn swap_account(
        &self,
        account: &str,
        expect: u64,
        metadata: Option<Vec<(String, String)>>,
    ) -> Result<bool, ObjectError> {
        let command = Command::SetAccount { account, expect, metadata };
        match self.execute(account_slot(account), &command, Vec::new()).await {
            Ok(_) => Ok(true),
            Err(CallError::Refused(Refusal::Changed)) => Ok(false),
            Err(CallError::Refused(Refusal::NotEmpty)) => Err(ObjectError::AccountNotEmpty),
            Err(error) => Err(error.into()),
        }
    }
}
