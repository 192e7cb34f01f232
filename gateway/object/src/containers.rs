//! Containers. Their records lie in three places (the account's slot, the slot of the cluster-wide name, the slots of the
//! shards), so creating and deleting one takes several commits. Each step can be repeated, and whoever meets a container that
//! was left half-way goes on from there, so a crash in between is never half-visible:
//!
//! ```text
//! create   record Creating -> name claimed -> shard roots -> record Live        (visible from Live on)
//! delete   record Sealing(token) -> shards sealed -> all empty?
//!            no:  record Live -> shards unsealed
//!            yes: record Deleting (gone for everybody) -> shard roots removed -> name released -> record removed
//! ```
//!
//! All changes of the record and the name are compare-and-set on their revision. A seal counts only while the record says
//! `Sealing` or `Deleting`: a writer that meets another one takes it off. A name whose holder has no record may be taken over,
//! since a record always precedes its claim; claiming again changes the name's revision, so the two cannot both win.

use crate::store::{CallError, decoded};
use crate::{
    ContainerInfo, ContainerPage, ContainerSummary, CreateContainer, Created, ObjectError, ObjectStore,
};
use ringfort_core::HybridTime;
use ringfort_object_model::{
    AliasRecord, Command, ContainerRecord, ContainerState, KeyRange, Page, PageEntry, Query, Refusal,
    ShardId, ShardRoot, Versioning, account_slot, alias_slot, decode_alias, decode_containers, decode_stamp,
};

/// Times a compare-and-set is tried against other writers.
pub(crate) const ATTEMPTS: u32 = 20;
/// Bytes of a container's name at most.
const NAME_BYTES_MAX: usize = 255;

pub(crate) fn crowded() -> ObjectError {
    ObjectError::Unavailable { reason: "the record is being changed by others".to_owned() }
}

/// What came of claiming a name.
enum Claim {
    Held,
    Taken,
}

impl ObjectStore {
    /// Creates a container, and registers its name cluster-wide if that is free.
    ///
    /// # Errors
    /// [`ObjectError::ContainerTaken`] if another account holds the name and the caller requires it.
    pub async fn create_container(
        &self,
        account: &str,
        name: &str,
        options: CreateContainer,
    ) -> Result<Created, ObjectError> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(['\0', '/']) {
            return Err(ObjectError::BadContainerName);
        }
        let policy = match options.policy {
            Some(id) => self.policy(id)?.id,
            None => self.inner.policies.first().ok_or(ObjectError::NoSuchPolicy { policy: 0 })?.id,
        };
        let (store, account, name) = (self.clone(), account.to_owned(), name.to_owned());
        self.owned(async move { store.create_steps(&account, &name, policy, &options).await }).await
    }

    async fn create_steps(
        &self,
        account: &str,
        name: &str,
        policy: u16,
        options: &CreateContainer,
    ) -> Result<Created, ObjectError> {
        for _ in 0..ATTEMPTS {
            let record = match self.fetch_record(account, name).await? {
                Some(record) => record,
                None => {
                    let record = self.new_record(account, policy, options);
                    match self.swap_record(account, name, 0, Some(&record)).await? {
                        Some(revision) => {
                            ContainerRecord { revision, created: HybridTime(revision), ..record }
                        }
                        None => continue,
                    }
                }
            };
            match record.state {
                ContainerState::Live | ContainerState::Sealing(_) => return Ok(Created::AlreadyYours),
                ContainerState::Deleting => self.finish_deletion(account, name, &record).await?,
                ContainerState::Creating => {
                    let claim = self.claim_name(account, name, record.incarnation).await?;
                    if matches!(claim, Claim::Taken) && options.alias_required {
                        self.swap_record(account, name, record.revision, None).await?;
                        return Err(ObjectError::ContainerTaken);
                    }
                    if self.go_live(account, name, record).await? {
                        return Ok(Created::New);
                    }
                }
            }
        }
        Err(crowded())
    }

    fn new_record(&self, account: &str, policy: u16, options: &CreateContainer) -> ContainerRecord {
        // 64 bits of a hash of a name that is never used again.
        let hash = blake3::hash(self.new_name(account_slot(account)).as_bytes());
        let mut incarnation = [0; 8];
        incarnation.copy_from_slice(&hash.as_bytes()[..8]);
        ContainerRecord {
            state: ContainerState::Creating,
            incarnation: u64::from_be_bytes(incarnation),
            created: HybridTime(0),
            revision: 0,
            versioning: options.versioning,
            versioning_revision: ContainerRecord::THIS_REVISION,
            policy,
            shards: vec![(String::new(), 0)],
            metadata: options.metadata.clone(),
        }
    }

    /// Makes the shards and the container visible. `false` if another one got in between.
    async fn go_live(&self, account: &str, name: &str, record: ContainerRecord) -> Result<bool, ObjectError> {
        let versioning = record.versioning;
        for index in 0..record.shards.len() {
            let shard = record.shard(index);
            let command = Command::CreateShard { shard, versioning, revision: record.revision };
            self.execute(shard.slot(), &command, Vec::new()).await?;
        }
        let (expect, mut live) = (record.revision, record);
        live.state = ContainerState::Live;
        live.versioning_revision = expect;
        Ok(self.swap_record(account, name, expect, Some(&live)).await?.is_some())
    }

    /// Writes a container record if it still has revision `expect`; its new revision, or `None` if it has changed.
    pub(crate) async fn swap_record(
        &self,
        account: &str,
        name: &str,
        expect: u64,
        record: Option<&ContainerRecord>,
    ) -> Result<Option<u64>, ObjectError> {
        let command = Command::SetContainer { account, name, expect, record: record.cloned() };
        let swapped = self.execute(account_slot(account), &command, Vec::new()).await;
        self.forget_record(account, name);
        match swapped {
            Ok(payload) => decoded(decode_stamp(&payload)).map(Some),
            Err(CallError::Refused(Refusal::Changed)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn fetch_alias(&self, name: &str) -> Result<Option<AliasRecord>, ObjectError> {
        let (payload, _) = self.query(alias_slot(name), &Query::Alias { name }).await?;
        decoded(decode_alias(&payload))
    }

    async fn swap_alias(
        &self,
        name: &str,
        expect: u64,
        holder: Option<(&str, u64)>,
    ) -> Result<bool, ObjectError> {
        let command = Command::SetAlias { name, expect, holder };
        match self.execute(alias_slot(name), &command, Vec::new()).await {
            Ok(_) => Ok(true),
            Err(CallError::Refused(Refusal::Changed)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn claim_name(&self, account: &str, name: &str, incarnation: u64) -> Result<Claim, ObjectError> {
        for _ in 0..ATTEMPTS {
            let alias = self.fetch_alias(name).await?;
            let expect = alias.as_ref().map_or(0, |alias| alias.revision);
            if let Some(alias) = alias {
                if alias.account == account && alias.incarnation == incarnation {
                    return Ok(Claim::Held);
                }
                if alias.account != account && self.holder_stands(&alias, name).await? {
                    return Ok(Claim::Taken);
                }
            }
            if self.swap_alias(name, expect, Some((account, incarnation))).await? {
                return Ok(Claim::Held);
            }
        }
        Err(crowded())
    }

    /// Whether the holder of a name has a container to show for it. One that was left half-way is brought to an end first.
    async fn holder_stands(&self, alias: &AliasRecord, name: &str) -> Result<bool, ObjectError> {
        let Some(record) = self.fetch_record(&alias.account, name).await? else { return Ok(false) };
        match record.state {
            ContainerState::Live | ContainerState::Sealing(_) => Ok(true),
            ContainerState::Creating => {
                if record.incarnation == alias.incarnation {
                    self.go_live(&alias.account, name, record).await?;
                }
                Ok(true)
            }
            ContainerState::Deleting => {
                Box::pin(self.finish_deletion(&alias.account, name, &record)).await?;
                Ok(false)
            }
        }
    }

    /// Deletes an empty container.
    ///
    /// # Errors
    /// [`ObjectError::ContainerNotEmpty`] if it holds any version or delete marker. Uploads under way are aborted.
    pub async fn delete_container(&self, account: &str, name: &str) -> Result<(), ObjectError> {
        let (store, account, name) = (self.clone(), account.to_owned(), name.to_owned());
        self.owned(async move {
            match store.delete_steps(&account, &name).await {
                // What nobody sees any more keeps no container.
                Err(ObjectError::ContainerNotEmpty) if store.expire_in(&account, &name).await? => {
                    store.delete_steps(&account, &name).await
                }
                done => done,
            }
        })
        .await
    }

    /// Removes what has expired in a container, and elsewhere in the slots of its shards. Whether there was anything.
    async fn expire_in(&self, account: &str, name: &str) -> Result<bool, ObjectError> {
        let Some(record) = self.fetch_record(account, name).await? else { return Ok(false) };
        let mut any = false;
        for index in 0..record.shards.len() {
            any |= self.expire(record.shard(index).slot()).await?;
        }
        Ok(any)
    }

    async fn delete_steps(&self, account: &str, name: &str) -> Result<(), ObjectError> {
        for _ in 0..ATTEMPTS {
            let record = self.fetch_record(account, name).await?.ok_or(ObjectError::NoSuchContainer)?;
            match record.state {
                ContainerState::Creating => return Err(ObjectError::NoSuchContainer),
                ContainerState::Deleting => {
                    self.finish_deletion(account, name, &record).await?;
                    return Err(ObjectError::NoSuchContainer);
                }
                ContainerState::Live | ContainerState::Sealing(_) => {}
            }
            let token = self.new_name(account_slot(account)).counter();
            let sealing = ContainerRecord { state: ContainerState::Sealing(token), ..record };
            let Some(revision) = self.swap_record(account, name, sealing.revision, Some(&sealing)).await?
            else {
                continue;
            };
            let empty = self.seal_all(&sealing, token).await?;
            let state = if empty { ContainerState::Deleting } else { ContainerState::Live };
            let next = ContainerRecord { state, revision, ..sealing };
            let swapped = self.swap_record(account, name, revision, Some(&next)).await?;
            match (swapped, empty) {
                (Some(revision), true) => {
                    let next = ContainerRecord { revision, ..next };
                    return self.finish_deletion(account, name, &next).await;
                }
                (swapped, _) => {
                    self.unseal_all(&next, token).await?;
                    if swapped.is_some() {
                        return Err(ObjectError::ContainerNotEmpty);
                    }
                }
            }
        }
        Err(crowded())
    }

    /// Seals every shard and aborts the uploads if there is nothing else. Whether all are empty.
    async fn seal_all(&self, record: &ContainerRecord, token: u64) -> Result<bool, ObjectError> {
        let mut uploads = 0;
        for index in 0..record.shards.len() {
            let shard = record.shard(index);
            match self.execute(shard.slot(), &Command::Seal { shard, token }, Vec::new()).await {
                Ok(payload) => {
                    let root = decoded(ShardRoot::decode_payload(&payload))?;
                    if let Some((end, number)) = root.end() {
                        // Keys it gave away count where they are now.
                        self.serve_from(ShardId { number, ..shard }, end).await?;
                    }
                    if root.versions > 0 {
                        return Ok(false);
                    }
                    uploads += root.uploads;
                }
                Err(CallError::Refused(Refusal::NoShard)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if uploads > 0 {
            self.abort_all(record).await?;
        }
        Ok(true)
    }

    async fn abort_all(&self, record: &ContainerRecord) -> Result<(), ObjectError> {
        for index in 0..record.shards.len() {
            let shard = record.shard(index);
            let root = match self.root(shard).await {
                Ok(root) => root,
                Err(CallError::Refused(Refusal::NoShard)) => continue,
                Err(error) => return Err(error.into()),
            };
            let Some(low) = root.begin().filter(|_| root.uploads > 0) else { continue };
            loop {
                let range = KeyRange { limit: 100, low, ..KeyRange::default() };
                let (payload, _) =
                    self.query(shard.slot(), &Query::Uploads { shard, range, after: 0 }).await?;
                let page = decoded(Page::decode(payload))?;
                for entry in page.entries() {
                    if let PageEntry::Upload { key, upload } = entry {
                        match self
                            .execute(shard.slot(), &Command::AbortUpload { shard, key, upload }, vec![])
                            .await
                        {
                            Ok(_) | Err(CallError::Refused(Refusal::NoSuchUpload)) => {}
                            Err(error) => return Err(error.into()),
                        }
                    }
                }
                if !page.truncated {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn unseal_all(&self, record: &ContainerRecord, token: u64) -> Result<(), ObjectError> {
        for index in 0..record.shards.len() {
            let shard = record.shard(index);
            match self.execute(shard.slot(), &Command::Unseal { shard, token }, Vec::new()).await {
                Ok(_) | Err(CallError::Refused(Refusal::NoShard)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Removes what is left of a container in state `Deleting`.
    async fn finish_deletion(
        &self,
        account: &str,
        name: &str,
        record: &ContainerRecord,
    ) -> Result<(), ObjectError> {
        for index in 0..record.shards.len() {
            let shard = record.shard(index);
            self.execute(shard.slot(), &Command::RemoveShard { shard }, Vec::new()).await?;
        }
        self.remove_spare(record).await?;
        let alias = self.fetch_alias(name).await?;
        if let Some(alias) = alias.filter(|a| a.account == account && a.incarnation == record.incarnation) {
            // Changed meanwhile: then somebody else finished this deletion already.
            self.swap_alias(name, alias.revision, None).await?;
        }
        self.swap_record(account, name, record.revision, None).await?;
        Ok(())
    }

    /// Removes the shard that a split made but did not live to enter into the record.
    async fn remove_spare(&self, record: &ContainerRecord) -> Result<(), ObjectError> {
        let number = record.shards.iter().map(|(_, number)| *number).max().unwrap_or(0) + 1;
        let shard = ShardId { number, ..record.shard(0) };
        match self.execute(shard.slot(), &Command::Seal { shard, token: 0 }, Vec::new()).await {
            Err(CallError::Refused(Refusal::NoShard)) => return Ok(()),
            sealed => sealed?,
        };
        self.execute(shard.slot(), &Command::RemoveShard { shard }, Vec::new()).await?;
        Ok(())
    }

    /// A container's records and exact counters.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchContainer`].
    pub async fn container(&self, account: &str, name: &str) -> Result<ContainerInfo, ObjectError> {
        for _ in 0..ATTEMPTS {
            // The record itself, not the cached one: other processes change metadata and versioning too.
            self.forget_record(account, name);
            let record = self.record(account, name).await?;
            let mut info = ContainerInfo {
                incarnation: record.incarnation,
                created: record.created,
                objects: 0,
                versions: 0,
                bytes: 0,
                versioning: record.versioning,
                policy: record.policy,
                metadata: record.metadata.clone(),
            };
            // Keys that are being moved are counted once: where one shard ends the next one must begin.
            let mut complete = true;
            let mut reached = Some(String::new());
            for index in 0..record.shards.len() {
                let shard = record.shard(index);
                let root = match self.root(shard).await {
                    Ok(root) => root,
                    Err(CallError::Refused(Refusal::NoShard)) => {
                        complete = false;
                        break;
                    }
                    Err(error) => return Err(error.into()),
                };
                if root.begin() != reached.as_deref() {
                    complete = false;
                    self.finish_move(account, name, record.shard(index.saturating_sub(1))).await?;
                    break;
                }
                reached = root.end().map(|(end, _)| end.to_owned());
                if root.versioning_revision < record.versioning_revision {
                    // A change of versioning stopped between the record and this shard: what the record says is carried on.
                    self.switch_shards(&record).await?;
                }
                info.objects += root.objects;
                info.versions += root.versions;
                info.bytes += root.bytes;
            }
            if complete {
                return Ok(info);
            }
        }
        Err(crowded())
    }

    /// The account that holds `name` cluster-wide, if any.
    pub async fn container_owner(&self, name: &str) -> Result<Option<String>, ObjectError> {
        let Some(alias) = self.fetch_alias(name).await? else { return Ok(None) };
        match self.record(&alias.account, name).await {
            Ok(record) if record.incarnation == alias.incarnation => Ok(Some(alias.account)),
            Ok(_) | Err(ObjectError::NoSuchContainer) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A page of an account's containers, after `marker`.
    pub async fn list_containers(
        &self,
        account: &str,
        prefix: &str,
        marker: &str,
        limit: u32,
    ) -> Result<ContainerPage, ObjectError> {
        let query = Query::Containers { account, prefix, marker, limit };
        let (payload, _) = self.query(account_slot(account), &query).await?;
        let (names, truncated) = decoded(decode_containers(&payload))?;
        let containers =
            names.into_iter().map(|(name, created)| ContainerSummary { name, created }).collect();
        Ok(ContainerPage { containers, truncated })
    }

    /// Switches versioning.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchContainer`].
    pub async fn set_versioning(
        &self,
        account: &str,
        name: &str,
        versioning: Versioning,
    ) -> Result<(), ObjectError> {
        let (store, account, name) = (self.clone(), account.to_owned(), name.to_owned());
        self.owned(async move {
            let change = |record: &mut ContainerRecord| {
                record.versioning = versioning;
                record.versioning_revision = ContainerRecord::THIS_REVISION;
                Ok::<_, ObjectError>(())
            };
            let record = store.change_record(&account, &name, change).await?;
            store.switch_shards(&record).await
        })
        .await
    }

    /// Tells every shard the container's versioning state.
    async fn switch_shards(&self, record: &ContainerRecord) -> Result<(), ObjectError> {
        let (versioning, revision) = (record.versioning, record.versioning_revision);
        for index in 0..record.shards.len() {
            let shard = record.shard(index);
            let command = Command::SetVersioning { shard, versioning, revision };
            self.execute(shard.slot(), &command, Vec::new()).await?;
        }
        Ok(())
    }

    /// Replaces a container's metadata.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchContainer`], [`ObjectError::MetadataTooLarge`].
    pub async fn set_container_metadata(
        &self,
        account: &str,
        name: &str,
        metadata: Vec<(String, String)>,
    ) -> Result<(), ObjectError> {
        self.update_container_metadata(account, name, move |old| {
            old.clone_from(&metadata);
            Ok::<_, ObjectError>(())
        })
        .await
        .map(|_| ())
    }

    /// Changes a container's metadata; as they are then. `change` is called again with what another writer left if one got in
    /// between, so it must do no more than change what it is given; what it refuses stays as it was.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchContainer`], [`ObjectError::MetadataTooLarge`], and what `change` refuses with.
    pub async fn update_container_metadata<E, F>(
        &self,
        account: &str,
        name: &str,
        mut change: F,
    ) -> Result<Vec<(String, String)>, E>
    where
        E: From<ObjectError> + Send + 'static,
        F: FnMut(&mut Vec<(String, String)>) -> Result<(), E> + Send + 'static,
    {
        let (store, account, name) = (self.clone(), account.to_owned(), name.to_owned());
        self.owned(async move {
            let change = |record: &mut ContainerRecord| -> Result<(), E> {
                change(&mut record.metadata)?;
                Ok(store.check_metadata(&record.metadata)?)
            };
            Ok(store.change_record(&account, &name, change).await?.metadata)
        })
        .await
    }

    pub(crate) fn check_metadata(&self, metadata: &[(String, String)]) -> Result<(), ObjectError> {
        let bytes: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > self.inner.config.attributes_bytes_max {
            return Err(ObjectError::MetadataTooLarge);
        }
        Ok(())
    }

    /// Changes the record of a container in use; the record as written.
    async fn change_record<E: From<ObjectError>>(
        &self,
        account: &str,
        name: &str,
        mut change: impl FnMut(&mut ContainerRecord) -> Result<(), E> + Send,
    ) -> Result<ContainerRecord, E> {
        for _ in 0..ATTEMPTS {
            let record = self.fetch_record(account, name).await?;
            let mut record = record.ok_or(ObjectError::NoSuchContainer)?;
            if matches!(record.state, ContainerState::Creating | ContainerState::Deleting) {
                return Err(ObjectError::NoSuchContainer.into());
            }
            let expect = record.revision;
            change(&mut record)?;
            if let Some(revision) = self.swap_record(account, name, expect, Some(&record)).await? {
                record.revision = revision;
                if record.versioning_revision == ContainerRecord::THIS_REVISION {
                    record.versioning_revision = revision;
                }
                return Ok(record);
            }
        }
        Err(crowded().into())
    }
}
