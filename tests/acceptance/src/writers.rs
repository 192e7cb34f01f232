//! What clients that write without pause share: when to stop, how far they are, and one write.

use crate::ledger::State;
use crate::{Connection, Keys, body_of};
use anyhow::Result;
use bytes::Bytes;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How long a client waits after a write that was not acknowledged.
pub(crate) const PAUSE: Duration = Duration::from_millis(20);
/// How long to wait for progress.
const LIMIT: Duration = Duration::from_secs(120);

/// How clients write.
#[derive(Clone, Debug)]
pub struct WritePlan {
    /// The bucket; made before.
    pub bucket: String,
    /// Clients at a time.
    pub clients: usize,
    /// Body lengths, one drawn for each write.
    pub sizes: Vec<usize>,
    /// Seed of all choices.
    pub seed: u64,
}

impl WritePlan {
    /// Small and middle-sized bodies: inline, one chunk, several blocks.
    #[must_use]
    pub fn mixed(bucket: &str, seed: u64) -> Self {
        let sizes = vec![0, 100, 4096, 4096, 4096, 20_000, 60_000, 300_000, 1_500_000];
        Self { bucket: bucket.to_owned(), clients: 8, sizes, seed }
    }
}

/// Running clients, each of which ends with a `T`.
pub(crate) struct Writers<T> {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    clients: Vec<JoinHandle<T>>,
}

impl<T: Send + 'static> Writers<T> {
    /// Starts the plan's clients.
    pub(crate) fn start<F>(keys: &Keys, plan: &WritePlan, run: impl Fn(Writer) -> F) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let clients = (0..plan.clients).map(|number| {
            tokio::spawn(run(Writer {
                keys: keys.clone(),
                plan: plan.clone(),
                number,
                stop: Arc::clone(&stop),
                acknowledged: Arc::clone(&acknowledged),
                connection: None,
            }))
        });
        Self { clients: clients.collect(), stop, acknowledged }
    }

    /// Waits until `more` further writes have been acknowledged.
    ///
    /// # Panics
    /// When that takes longer than two minutes.
    pub(crate) async fn progress(&self, more: u64) {
        let wanted = self.acknowledged.load(Ordering::Relaxed) + more;
        let began = Instant::now();
        while self.acknowledged.load(Ordering::Relaxed) < wanted {
            assert!(began.elapsed() < LIMIT, "fewer than {more} writes were acknowledged in {LIMIT:?}");
            assert!(
                !self.clients.iter().any(JoinHandle::is_finished),
                "a client met what it should not have"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Stops the clients and collects what they end with.
    ///
    /// # Errors
    /// When a client met a refusal that it should not have.
    pub(crate) async fn stop(self) -> Result<Vec<T>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for client in self.clients {
            all.push(client.await?);
        }
        Ok(all)
    }
}

/// One of the clients.
pub(crate) struct Writer {
    keys: Keys,
    pub(crate) plan: WritePlan,
    pub(crate) number: usize,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    connection: Option<Connection>,
}

impl Writer {
    pub(crate) fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// Writes or deletes the key and says whether that was acknowledged; if not, it may have happened or not.
    ///
    /// # Panics
    /// When the server blames the client.
    pub(crate) async fn write(&mut self, key: &str, state: State) -> bool {
        match self.send(key, state).await {
            Ok(true) => {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
                true
            }
            Ok(false) => false,
            Err(_) => {
                self.connection = None;
                false
            }
        }
    }

    async fn send(&mut self, key: &str, state: State) -> Result<bool> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(Connection::open(&self.keys).await?),
        };
        let path = format!("/{}/{key}", self.plan.bucket);
        let reply = match state {
            Some((version, size)) => connection.call("PUT", &path, &[], body_of(key, version, size)).await?,
            None => connection.call("DELETE", &path, &[], Bytes::new()).await?,
        };
        assert!(!reply.status.is_client_error(), "{key}: {} {}", reply.status, reply.text());
        Ok(reply.status.is_success())
    }
}
