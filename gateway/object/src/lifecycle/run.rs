//! Carrying lifecycle rules out, in passes over all slots that take a fixed time.
//!
//! What a rule says is decided from a listing and committed only if the version still is what was listed, so that a pass
//! never meets an object that was written since. Every gateway runs passes; what one has removed, the others do not find.

use super::{LIFECYCLE_ENTRY, LifecycleRules, LifecycleSubject, tags_of};
use crate::store::decoded;
use crate::{
    GetOptions, ListedVersion, ObjectError, ObjectPath, ObjectStore, UploadEntry, UploadListRequest,
    VersionEntry, VersionId, VersionListRequest,
};
use ringfort_core::{HybridTime, SLOT_COUNT, SlotId};
use ringfort_object_model::{Command, Query, Retired, decode_marked};
use std::time::Duration;

/// Versions or uploads of one page.
const PAGE: u32 = 500;
/// Containers of one answer.
const CONTAINERS: u32 = 100;
/// Shortest pause between steps; a pass that is to be shorter takes several slots in a step.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// The versions of a key seen so far, newest first.
#[derive(Default)]
struct Seen {
    key: String,
    /// When the version just before was written: since then the next one is not the latest.
    replaced_at: HybridTime,
    /// Versions that are not the latest.
    noncurrent: u32,
    /// The first one, if it is a delete marker and no other has come yet.
    lone_marker: Option<ListedVersion>,
}

impl ObjectStore {
    pub(crate) fn start_lifecycle(&self) {
        let pass = self.inner.config.lifecycle_pass;
        if pass.is_zero() {
            return;
        }
        let per_step = PAUSE_MIN.as_micros() * u128::from(SLOT_COUNT) / pass.as_micros().max(1);
        let per_step = u16::try_from(per_step).unwrap_or(SLOT_COUNT).clamp(1, SLOT_COUNT);
        let pause = pass * u32::from(per_step) / u32::from(SLOT_COUNT);
        let (store, stopping) = (self.clone(), self.inner.tasks.stopping());
        self.inner.tasks.spawn(async move {
            let mut next = 0;
            while stopping.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
                for _ in 0..per_step {
                    let slot = SlotId(next);
                    let run = stopping.run_until_cancelled(store.run_lifecycle(slot)).await;
                    if let Some(Err(error)) = run {
                        tracing::debug!(%slot, %error, "lifecycle rules of a slot cannot be carried out now");
                    }
                    next = (next + 1) % SLOT_COUNT;
                }
            }
        });
    }

    /// Carries out the lifecycle rules of the containers whose records are in `slot`. Safe to call at any time.
    ///
    /// # Errors
    /// When the cluster does not answer; what is left is done the next time.
    pub async fn run_lifecycle(&self, slot: SlotId) -> Result<(), ObjectError> {
        let mut after = (String::new(), String::new());
        loop {
            let query =
                Query::Marked { entry: LIFECYCLE_ENTRY, after: (&after.0, &after.1), limit: CONTAINERS };
            let (payload, _) = self.query(slot, &query).await?;
            let page = decoded(decode_marked(&payload))?;
            for (account, container, rules) in page.containers {
                let Some(rules) = LifecycleRules::decode(&rules) else {
                    tracing::warn!(%account, %container, "lifecycle rules do not decode");
                    continue;
                };
                match self.run_rules(&account, &container, &rules).await {
                    // Removed meanwhile.
                    Ok(()) | Err(ObjectError::NoSuchContainer) => {}
                    Err(error) => return Err(error),
                }
            }
            let Some(next) = page.next else { return Ok(()) };
            after = next;
        }
    }

    async fn run_rules(
        &self,
        account: &str,
        container: &str,
        rules: &LifecycleRules,
    ) -> Result<(), ObjectError> {
        if !rules.rules.iter().any(|rule| rule.enabled) {
            return Ok(());
        }
        let prefix = rules.common_prefix().to_owned();
        if rules.rules.iter().any(|rule| rule.enabled && rule.abort_uploads_days.is_some()) {
            self.abort_old_uploads(account, container, &prefix, rules).await?;
        }
        let mut request = VersionListRequest { prefix, limit: PAGE, ..VersionListRequest::default() };
        let mut seen = Seen::default();
        loop {
            let page = self.list_versions(account, container, &request).await?;
            for entry in page.entries {
                if let VersionEntry::Version(version) = entry {
                    self.judge(account, container, version, &mut seen, rules).await?;
                }
            }
            if !page.truncated {
                return self.judge_marker(account, container, &mut seen, rules).await;
            }
            request.key_marker = page.next_key_marker;
            request.version_marker = page.next_version_marker;
        }
    }

    async fn judge(
        &self,
        account: &str,
        container: &str,
        version: ListedVersion,
        seen: &mut Seen,
        rules: &LifecycleRules,
    ) -> Result<(), ObjectError> {
        let written = match version.version {
            VersionId::At(stamp) => stamp,
            VersionId::Null => version.modified,
        };
        let same = !version.latest && seen.key == version.key;
        if !same {
            self.judge_marker(account, container, seen, rules).await?;
            *seen = Seen { key: version.key.clone(), replaced_at: written, ..Seen::default() };
        }
        seen.lone_marker = None;
        let path = ObjectPath::new(account, container, version.key.as_str());
        if version.latest && version.delete_marker {
            seen.lone_marker = Some(version);
        } else if version.latest {
            if self.is_over(&path, &version, None, version.modified, rules).await? {
                self.retire(&path, &version, Retired::Latest).await?;
            }
        } else {
            let (newer, since) = (seen.noncurrent, seen.replaced_at);
            seen.noncurrent += 1;
            if self.is_over(&path, &version, Some(newer), since, rules).await? {
                self.retire(&path, &version, Retired::Noncurrent).await?;
            }
        }
        seen.replaced_at = written;
        Ok(())
    }

    /// A delete marker that turned out to have nothing beneath it.
    async fn judge_marker(
        &self,
        account: &str,
        container: &str,
        seen: &mut Seen,
        rules: &LifecycleRules,
    ) -> Result<(), ObjectError> {
        let Some(marker) = seen.lone_marker.take() else { return Ok(()) };
        let day = self.inner.config.lifecycle_day;
        if rules.marker_over(&marker.key, marker.modified.secs(), now(), day) {
            let path = ObjectPath::new(account, container, marker.key.as_str());
            self.retire(&path, &marker, Retired::LoneMarker).await?;
        }
        Ok(())
    }

    /// Whether a version is to be removed: one that is not the latest if `newer` says how many others are before it.
    async fn is_over(
        &self,
        path: &ObjectPath,
        version: &ListedVersion,
        newer: Option<u32>,
        since: HybridTime,
        rules: &LifecycleRules,
    ) -> Result<bool, ObjectError> {
        let mut tags = Vec::new();
        if !version.delete_marker && rules.wants_tags(&version.key, version.size) {
            let options = GetOptions { version: Some(version.version), ..GetOptions::default() };
            tags = match self.head(path, options).await {
                Ok(info) => tags_of(&info.attributes),
                Err(
                    ObjectError::NoSuchKey | ObjectError::NoSuchVersion | ObjectError::DeleteMarker { .. },
                ) => {
                    return Ok(false);
                }
                Err(error) => return Err(error),
            };
        }
        let subject =
            LifecycleSubject { key: &version.key, size: version.size, tags: &tags, since: since.secs() };
        let day = self.inner.config.lifecycle_day;
        Ok(match newer {
            Some(newer) => rules.noncurrent_over(&subject, newer, now(), day),
            None => rules.expiry(&subject, day).is_some_and(|(due, _)| due <= now()),
        })
    }

    async fn retire(
        &self,
        path: &ObjectPath,
        version: &ListedVersion,
        what: Retired,
    ) -> Result<(), ObjectError> {
        let (id, modified) = (version.version, version.modified.0);
        self.on_shard(&path.account, &path.container, &path.key, |home| async move {
            let (shard, key) = (home.shard, path.key.as_str());
            let command = Command::Retire { shard, key, version: id, modified, what };
            self.execute(shard.slot(), &command, Vec::new()).await
        })
        .await
        .map(|_| ())
    }

    async fn abort_old_uploads(
        &self,
        account: &str,
        container: &str,
        prefix: &str,
        rules: &LifecycleRules,
    ) -> Result<(), ObjectError> {
        let prefix = prefix.to_owned();
        let mut request = UploadListRequest { prefix, limit: PAGE, ..UploadListRequest::default() };
        loop {
            let page = self.list_uploads(account, container, &request).await?;
            for entry in &page.entries {
                let UploadEntry::Upload { key, upload } = entry else { continue };
                let day = self.inner.config.lifecycle_day;
                if !rules.upload_over(key, upload.0.secs(), now(), day) {
                    continue;
                }
                let path = ObjectPath::new(account, container, key.as_str());
                match self.abort_upload(&path, *upload).await {
                    Ok(()) | Err(ObjectError::NoSuchUpload) => {}
                    Err(error) => return Err(error),
                }
            }
            if !page.truncated {
                return Ok(());
            }
            request.key_marker = page.next_key_marker;
            request.upload_marker = page.next_upload_marker;
        }
    }
}

fn now() -> u64 {
    ringfort_runtime::wall_us() / 1_000_000
}
