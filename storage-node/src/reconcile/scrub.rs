//! Scrub: every stored byte is read and checked against its checksum, so that damage is found while other copies are good.

use super::pass::after_error;
use super::{PAGE, Pace, ScrubResult, home_of, slots};
use crate::NodeError;
use crate::inner::Inner;
use futures_util::future::join_all;
use ringfort_core::{BlobId, ChunkKey, DeviceId, ErrorKind};
use ringfort_engine::{ChunkInfo, Engine};
use ringfort_runtime::wall_us;
use ringfort_storage_client::{BlobDirectory, BlobHome, RepairRequest};
use std::sync::Arc;
use std::sync::atomic::Ordering;

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
        let chunks: u64 = inner.engines().iter().map(|(_, engine)| engine.usage().chunks).sum();
        inner.reconcilers.scrub_pass.begin("scrub", chunks + u64::from(ringfort_core::SLOT_COUNT));
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
            self.chunks_of(device, &engine).await?;
        }
        for slot in slots() {
            let mut after = None;
            loop {
                let page = self.directory.blobs(slot, after, PAGE).await?;
                for home in page.iter().filter(|home| home.inline) {
                    self.inline_body(home).await?;
                }
                match page.last() {
                    Some(last) if page.len() == PAGE => after = Some(last.blob),
                    _ => break,
                }
            }
            self.inner.reconcilers.scrub_pass.advance(1, 0);
        }
        Ok(())
    }

    async fn chunks_of(&mut self, device: DeviceId, engine: &Engine) -> Result<(), NodeError> {
        let mut after = None;
        loop {
            let (lister, from) = (engine.clone(), after);
            let page: Vec<(ChunkKey, ChunkInfo)> =
                match self.inner.blocking(move || lister.list_chunks(from, PAGE)).await? {
                    Ok(page) => page,
                    // The device left meanwhile: the repair that follows looks after its pieces.
                    Err(error) => {
                        tracing::warn!(%device, %error, "the scrub leaves this device out");
                        return Ok(());
                    }
                };
            for (key, info) in &page {
                self.chunk(device, engine, *key, info.len).await?;
            }
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(*last);
        }
    }

    async fn chunk(
        &mut self,
        device: DeviceId,
        engine: &Engine,
        key: ChunkKey,
        len: u32,
    ) -> Result<(), NodeError> {
        let verified = engine.verify_chunk(key).await;
        self.checked(1);
        self.inner.reconcilers.scrub_pass.advance(1, u64::from(len));
        self.pace.pay(u64::from(len)).await;
        match verified {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::warn!(%device, blob = %key.blob, number = key.number, %error, "the scrub found a damaged piece");
                self.damaged(key.blob, key.number).await
            }
            // Deleted or moved meanwhile, or the device is leaving: nothing to find here.
            Err(_) => Ok(()),
        }
    }

    fn checked(&self, pieces: u64) {
        self.inner.reconcilers.scrub_last.lock().checked += pieces;
        metrics::counter!("ringfort_scrubbed_pieces_total").increment(pieces);
    }

    /// Queues a chunk with a damaged piece; one whose blob nobody wants is left to the garbage collector.
    async fn damaged(&mut self, blob: BlobId, number: u32) -> Result<(), NodeError> {
        self.inner.reconcilers.scrub_last.lock().damaged += 1;
        metrics::counter!("ringfort_scrub_damaged_pieces_total").increment(1);
        let Some(home) = home_of(self.directory, blob).await? else { return Ok(()) };
        if number < home.chunk_count() {
            self.inner.reconcilers.counts.damaged.fetch_add(1, Ordering::Relaxed);
            let len = home.chunk_len(number);
            self.inner.chunks.repairs().push(RepairRequest {
                policy: home.policy,
                blob,
                number,
                len,
                verify: true,
            });
        }
        Ok(())
    }

    /// Verifies the copies of an inline body on the devices that vote for its home, and mends damaged ones from good ones.
    async fn inline_body(&mut self, home: &BlobHome) -> Result<(), NodeError> {
        let key = ChunkKey { blob: home.blob, number: 0, fragment: 0 };
        let engines = self.inner.engines();
        let verified = join_all(engines.iter().map(|(_, engine)| engine.verify_chunk(key))).await;
        let good =
            engines.iter().zip(&verified).find(|(_, result)| result.is_ok()).map(|((_, engine), _)| engine);
        let damaged = engines
            .iter()
            .zip(&verified)
            .filter(|(_, result)| result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Corrupt));
        for ((device, engine), _) in damaged {
            self.inner.reconcilers.scrub_last.lock().damaged += 1;
            tracing::warn!(%device, blob = %home.blob, "the scrub found a damaged inline body");
            let len = u32::try_from(home.size).unwrap_or(u32::MAX);
            let body = match good {
                Some(good) => good.read_chunk(key, 0..len).await.ok(),
                None => None,
            };
            let mended = match body {
                Some(body) => engine.replace_chunk(key, vec![body]).await.is_ok(),
                None => false,
            };
            if mended {
                self.inner.reconcilers.counts.repaired.fetch_add(1, Ordering::Relaxed);
            } else {
                self.inner.reconcilers.counts.damaged.fetch_add(1, Ordering::Relaxed);
            }
        }
        let held = verified.iter().filter(|result| result.is_ok()).count() as u64;
        self.checked(held);
        self.pace.pay(home.size * held).await;
        Ok(())
    }
}
