//! Scrub: every stored byte is read and checked against its checksum, so that damage is found while other copies are good.

use super::pass::after_error;
use super::{PAGE, Pace, ScrubResult, home_of};
use crate::NodeError;
use crate::inner::Inner;
use ringfort_core::{BlobId, ChunkKey, DeviceId, ErrorKind};
use ringfort_engine::{ChunkInfo, Engine};
use ringfort_runtime::wall_us;
use ringfort_storage_client::{BlobDirectory, RepairRequest};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bodies {
    /// Pieces of chunks, which are repaired by way of their blob's home record.
    Chunks,
    /// Bodies of small objects, which the voters of their metadata group hold.
    Inline,
}

/// One scrub of everything.
struct Scrub<'a> {
    inner: &'a Inner,
    directory: &'a dyn BlobDirectory,
    pace: Pace,
}

pub(crate) async fn run(inner: Arc<Inner>) {
    let directory = inner.reconcilers.directory().await;
    loop {
        tokio::select! {
            () = inner.reconcilers.scrub.notified() => {}
            () = tokio::time::sleep(inner.config.reconcile.scrub_every) => {}
        }
        let pace = Pace::new(inner.config.reconcile.bytes_per_s);
        let mut scrub = Scrub { inner: &inner, directory: &*directory, pace };
        {
            let mut last = inner.reconcilers.scrub_last.lock();
            *last = ScrubResult { finished: last.finished, ..ScrubResult::default() };
        }
        let usages = inner.engines().into_iter().map(|(_, engine)| engine.usage());
        let pieces = usages.map(|usage| usage.chunks + usage.inline_bodies).sum();
        inner.reconcilers.scrub_pass.begin("scrub", pieces);
        let outcome = scrub.everything().await;
        inner.reconcilers.scrub_pass.end();
        match outcome {
            Ok(()) => {
                let mut last = inner.reconcilers.scrub_last.lock();
                last.finished_s = Some(wall_us() / 1_000_000);
                last.finished += 1;
                tracing::info!(checked = last.checked, damaged = last.damaged, "scrub done");
            }
            Err(error) => {
                after_error("scrub", &error).await;
                inner.reconcilers.wake_scrub();
            }
        }
    }
}

impl Scrub<'_> {
    async fn everything(&mut self) -> Result<(), NodeError> {
        for (device, engine) in self.inner.engines() {
            self.bodies(device, &engine, Bodies::Chunks).await?;
            self.bodies(device, &engine, Bodies::Inline).await?;
        }
        Ok(())
    }

    /// Verifies everything of one kind on a device.
    async fn bodies(&mut self, device: DeviceId, engine: &Engine, kind: Bodies) -> Result<(), NodeError> {
        let mut after = None;
        loop {
            let (lister, from) = (engine.clone(), after);
            let listed = self.inner.blocking(move || match kind {
                Bodies::Chunks => lister.list_chunks(from, PAGE),
                Bodies::Inline => lister.list_inline(from, PAGE),
            });
            let page: Vec<(ChunkKey, ChunkInfo)> = match listed.await? {
                Ok(page) => page,
                // The device left meanwhile: the repair that follows looks after its pieces.
                Err(error) => {
                    tracing::warn!(%device, %error, "the scrub leaves this device out");
                    return Ok(());
                }
            };
            for (key, info) in &page {
                self.body(device, engine, *key, info.len, kind).await?;
            }
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(*last);
        }
    }

    async fn body(
        &mut self,
        device: DeviceId,
        engine: &Engine,
        key: ChunkKey,
        len: u32,
        kind: Bodies,
    ) -> Result<(), NodeError> {
        let verified = engine.verify_chunk(key).await;
        self.inner.reconcilers.scrub_last.lock().checked += 1;
        metrics::counter!("ringfort_scrubbed_pieces_total").increment(1);
        self.inner.reconcilers.scrub_pass.advance(1, u64::from(len));
        self.pace.pay(u64::from(len)).await;
        let Err(error) = verified else { return Ok(()) };
        // Anything else: deleted or moved meanwhile, or the device is leaving. Nothing to find here.
        if error.kind() != ErrorKind::Corrupt {
            return Ok(());
        }
        let wanted = match kind {
            Bodies::Inline => {
                self.mend(device, engine, key, len).await;
                true
            }
            Bodies::Chunks => match self.queue(key.blob, key.number).await {
                Ok(wanted) => wanted,
                Err(error) => {
                    // Its home does not answer now; the next scrub meets it again.
                    tracing::warn!(%device, blob = %key.blob, %error, "the damage is not repaired now");
                    self.inner.reconcilers.scrub_last.lock().unmended += 1;
                    true
                }
            },
        };
        if wanted {
            tracing::warn!(%device, blob = %key.blob, number = key.number, %error, "the scrub found damage");
            self.inner.reconcilers.scrub_last.lock().damaged += 1;
            metrics::counter!("ringfort_scrub_damaged_pieces_total").increment(1);
        }
        Ok(())
    }

    /// Queues a chunk with a damaged piece. `false` for one whose blob nobody wants any more: it is left to the garbage
    /// collector, and nothing is lost with it.
    async fn queue(&mut self, blob: BlobId, number: u32) -> Result<bool, NodeError> {
        let home = home_of(self.directory, blob).await?;
        let Some(home) = home.filter(|home| number < home.chunk_count()) else { return Ok(false) };
        let len = home.chunk_len(number);
        let request = RepairRequest { policy: home.policy, blob, number, len, verify: true };
        self.inner.reconcilers.bad.damaged(request);
        self.inner.chunks.repairs().push(request);
        Ok(true)
    }

    /// Stores a good copy of an inline body over a damaged one: every voter of its group holds the same bytes.
    async fn mend(&self, device: DeviceId, engine: &Engine, key: ChunkKey, len: u32) {
        for (_, other) in self.inner.engines().into_iter().filter(|(id, _)| *id != device) {
            let Ok(body) = other.read_chunk(key, 0..len).await else { continue };
            match engine.replace_chunk(key, vec![body]).await {
                Ok(()) => {
                    self.inner.reconcilers.counts.repaired.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                Err(error) => {
                    tracing::warn!(%device, blob = %key.blob, %error, "an inline body is not mended")
                }
            }
        }
        self.inner.reconcilers.scrub_last.lock().unmended += 1;
    }
}
