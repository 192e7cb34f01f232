//! Orphans: chunks that were written but never committed, because their writer died.
//!
//! That a chunk has no home record proves nothing: its commit may still be under way. So an orphan is looked for only when the
//! session that wrote it has ended and is fenced, and it is then *condemned by a commit in its home slot*, which refuses
//! if a record exists. The garbage collector deletes what is condemned; nothing is deleted here.

use super::pass::after_error;
use super::{PAGE, home_of};
use crate::NodeError;
use crate::inner::Inner;
use ringfort_core::{BlobId, SessionId};
use ringfort_engine::Engine;
use ringfort_meta::kv::KvClient;
use ringfort_storage_client::{BlobDirectory, OrphanVerdict};
use std::collections::HashMap;
use std::sync::Arc;

/// Orphans below this number are condemned whatever their share.
const ALWAYS_MAX: u64 = 1000;

struct Search<'a> {
    inner: &'a Inner,
    directory: &'a dyn BlobDirectory,
    ended: HashMap<SessionId, bool>,
    seen: u64,
    condemned: u64,
}

pub(crate) async fn run(inner: Arc<Inner>) {
    let directory = inner.reconcilers.directory().await;
    loop {
        tokio::time::sleep(inner.config.reconcile.orphans_every).await;
        if directory.on_hold() {
            continue;
        }
        for (device, engine) in inner.engines() {
            let mut search = Search {
                inner: &inner,
                directory: &*directory,
                ended: HashMap::new(),
                seen: 0,
                condemned: 0,
            };
            match search.device(&engine).await {
                Ok(()) if search.condemned > 0 => {
                    tracing::info!(%device, blobs = search.condemned, "blobs that were never committed are condemned");
                    inner.reconcilers.gc.notify_one();
                }
                Ok(()) => {}
                Err(error) => after_error("the search for orphans", &error).await,
            }
        }
    }
}

impl Search<'_> {
    async fn device(&mut self, engine: &Engine) -> Result<(), NodeError> {
        let mut after = None;
        let mut last_blob = None;
        loop {
            let (lister, from) = (engine.clone(), after);
            let page = self.inner.blocking(move || lister.list_chunks(from, PAGE)).await?;
            let page = page.map_err(|error| NodeError::Refused { reason: error.to_string() })?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(*last);
            for (key, _) in &page {
                if last_blob.replace(key.blob) != Some(key.blob) && !self.blob(key.blob).await? {
                    return Ok(());
                }
            }
        }
    }

    /// Looks at one blob; `false` stops the search.
    async fn blob(&mut self, blob: BlobId) -> Result<bool, NodeError> {
        self.seen += 1;
        if !self.has_ended(blob.session()).await? || home_of(self.directory, blob).await?.is_some() {
            tokio::task::yield_now().await;
            return Ok(true);
        }
        if self.too_many() {
            metrics::counter!("ringfort_orphan_brakes_total").increment(1);
            tracing::error!(
                condemned = self.condemned,
                seen = self.seen,
                "more blobs without a record than there should be: nothing more is condemned; look into it"
            );
            return Ok(false);
        }
        if self.directory.condemn_orphan(blob).await? == OrphanVerdict::Condemned {
            self.condemned += 1;
            metrics::counter!("ringfort_orphans_total").increment(1);
        }
        Ok(true)
    }

    #[allow(clippy::cast_precision_loss, reason = "a brake needs no precision")]
    fn too_many(&self) -> bool {
        let share = self.condemned as f64 / self.seen.max(1) as f64;
        self.condemned >= ALWAYS_MAX && share > self.inner.config.reconcile.orphan_share_max
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
