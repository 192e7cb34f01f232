//! Orphans: chunks that were written but never committed, because their writer died.
//!
//! That a chunk has no home record proves nothing: its commit may still be under way. So an orphan is looked for only when the
//! session that wrote it has ended and is fenced, and it is then *condemned by a commit in its home slot*, which refuses
//! if a record exists. The garbage collector deletes what is condemned; nothing is deleted here.

use super::pass::after_error;
use super::{PAGE, home_of};
use crate::NodeError;
use crate::inner::Inner;
use ringfort_core::{BlobId, DeviceId, SessionId};
use ringfort_engine::Engine;
use ringfort_meta::kv::KvClient;
use ringfort_storage_client::{BlobDirectory, OrphanVerdict};
use std::collections::HashMap;
use std::sync::Arc;

/// Orphans below this number are condemned whatever their share.
const ALWAYS_MAX: usize = 1000;
/// Most orphans condemned by one search of a device; the next one finds the rest.
const CONDEMNED_MAX: usize = 65_536;

/// What a search of one device found.
#[derive(Default)]
struct Findings {
    /// Blobs looked at.
    seen: u64,
    /// Blobs whose writer has ended and which have no home record.
    without_record: u64,
    /// The first of these.
    candidates: Vec<BlobId>,
}

struct Search<'a> {
    inner: &'a Inner,
    directory: &'a dyn BlobDirectory,
    ended: HashMap<SessionId, bool>,
}

pub(crate) async fn run(inner: Arc<Inner>) {
    let directory = inner.reconcilers.directory().await;
    loop {
        tokio::time::sleep(inner.config.reconcile.orphans_every).await;
        if directory.on_hold() {
            continue;
        }
        for (device, engine) in inner.engines() {
            let mut search = Search { inner: &inner, directory: &*directory, ended: HashMap::new() };
            match search.device(device, &engine).await {
                Ok(0) => {}
                Ok(condemned) => {
                    tracing::info!(%device, blobs = condemned, "blobs that were never committed are condemned");
                    inner.reconcilers.gc.notify_one();
                }
                Err(error) => after_error("the search for orphans", &error).await,
            }
        }
    }
}

impl Search<'_> {
    /// Looks at everything on a device before anything is condemned, so that the brake holds all of it or nothing.
    async fn device(&mut self, device: DeviceId, engine: &Engine) -> Result<u64, NodeError> {
        let findings = self.look(engine).await?;
        let most = self.inner.config.reconcile.orphan_share_max;
        let held = &self.inner.reconcilers.held_orphans;
        if findings.too_many(most) {
            metrics::counter!("ringfort_orphan_brakes_total").increment(1);
            let Findings { seen, without_record, .. } = findings;
            tracing::error!(%device, without_record, seen,
                "more blobs without a record than there should be: nothing is condemned; look into it");
            held.lock().insert(device, (without_record, seen));
            return Ok(0);
        }
        held.lock().remove(&device);
        let mut condemned = 0;
        for blob in findings.candidates {
            if self.directory.condemn_orphan(blob).await? == OrphanVerdict::Condemned {
                condemned += 1;
                metrics::counter!("ringfort_orphans_total").increment(1);
            }
        }
        Ok(condemned)
    }

    async fn look(&mut self, engine: &Engine) -> Result<Findings, NodeError> {
        let mut findings = Findings::default();
        let mut after = None;
        let mut last_blob = None;
        loop {
            let (lister, from) = (engine.clone(), after);
            let page = self.inner.blocking(move || lister.list_chunks(from, PAGE)).await?;
            let page = page.map_err(|error| NodeError::Refused { reason: error.to_string() })?;
            let Some((last, _)) = page.last() else { return Ok(findings) };
            after = Some(*last);
            for (key, _) in &page {
                if last_blob.replace(key.blob) != Some(key.blob) {
                    self.blob(key.blob, &mut findings).await?;
                }
            }
        }
    }

    async fn blob(&mut self, blob: BlobId, findings: &mut Findings) -> Result<(), NodeError> {
        findings.seen += 1;
        if self.has_ended(blob.session()).await? && home_of(self.directory, blob).await?.is_none() {
            findings.without_record += 1;
            if findings.candidates.len() < CONDEMNED_MAX {
                findings.candidates.push(blob);
            }
        }
        // Clients go first.
        tokio::task::yield_now().await;
        Ok(())
    }

    async fn has_ended(&mut self, session: SessionId) -> Result<bool, NodeError> {
        if session == self.inner.session {
            return Ok(false);
        }
        if let Some(ended) = self.ended.get(&session) {
            return Ok(*ended);
        }
        // A session that was never registered is none of ours to judge.
        let state = KvClient::new(self.inner.meta.clone()).session(session).await?;
        let ended = state.is_some_and(|state| !state.live);
        self.ended.insert(session, ended);
        Ok(ended)
    }
}

impl Findings {
    /// Whether so many blobs lack a record that rather the records are missing than the blobs unwanted.
    #[allow(clippy::cast_precision_loss, reason = "a brake needs no precision")]
    fn too_many(&self, share_max: f64) -> bool {
        let share = self.without_record as f64 / self.seen.max(1) as f64;
        self.without_record > ALWAYS_MAX as u64 && share > share_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brake_holds_what_is_much_and_a_large_share() {
        let too_many =
            |without_record, seen| Findings { seen, without_record, candidates: Vec::new() }.too_many(0.2);
        assert!(!too_many(1000, 1000), "a small cluster's crash");
        assert!(!too_many(1001, 10_000), "a large one's");
        assert!(too_many(1001, 2000));
        assert!(too_many(1_000_000, 1_000_000));
    }
}
