//! Clients that note for each write where the disk's log stood when they sent it and when it was acknowledged.

use crate::ledger::State;
use crate::{Connection, Keys, Ledger, body_of};
use anyhow::Result;
use bytes::Bytes;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const LIMIT: Duration = Duration::from_secs(120);

/// How the clients write.
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

/// One write: what it did to which key, and the length of the log around it.
#[derive(Clone, Debug)]
struct Write {
    key: String,
    state: State,
    sent: u64,
    acknowledged: Option<u64>,
}

/// All writes of some clients; those of a key are in order.
#[derive(Clone, Debug, Default)]
pub struct History(Vec<Write>);

impl History {
    /// What must and what may be there after a cut when the log was `log_bytes` long.
    #[must_use]
    pub fn ledger_at(&self, log_bytes: u64) -> Ledger {
        let mut ledger = Ledger::default();
        for write in self.0.iter().filter(|write| write.sent <= log_bytes) {
            match write.acknowledged {
                Some(at) if at <= log_bytes => ledger.acknowledge(&write.key, write.state),
                _ => ledger.doubt(&write.key, write.state),
            }
        }
        ledger
    }

    /// Writes acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.0.iter().filter(|write| write.acknowledged.is_some()).count()
    }

    /// Adds what others wrote, later or to other keys.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

/// Running clients.
pub struct Recorder {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Result<Vec<Write>>>>,
}

impl Recorder {
    /// Starts the clients on a server whose disk writes the log at `log`. `round` keeps the versions of several runs apart.
    #[must_use]
    pub fn start(keys: &Keys, plan: &WritePlan, log: &Path, round: u64) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let clients = (0..plan.clients).map(|number| {
            let client = Client {
                keys: keys.clone(),
                plan: plan.clone(),
                log: log.to_owned(),
                number,
                round,
                stop: Arc::clone(&stop),
                acknowledged: Arc::clone(&acknowledged),
            };
            tokio::spawn(client.run())
        });
        Self { clients: clients.collect(), stop, acknowledged }
    }

    /// Waits until `more` further writes have been acknowledged.
    ///
    /// # Panics
    /// When that takes longer than two minutes.
    pub async fn progress(&self, more: u64) {
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

    /// Waits until `time` has passed under load.
    pub async fn last(&self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.progress(1).await;
        }
    }

    /// Stops the clients and collects what they know.
    ///
    /// # Errors
    /// When the log can't be asked for its length.
    pub async fn stop(self) -> Result<History> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for client in self.clients {
            all.extend(client.await??);
        }
        Ok(History(all))
    }
}

struct Client {
    keys: Keys,
    plan: WritePlan,
    log: PathBuf,
    number: usize,
    round: u64,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
}

impl Client {
    async fn run(self) -> Result<Vec<Write>> {
        let mut writes = Vec::new();
        let mut draw = ChaCha8Rng::seed_from_u64(self.plan.seed ^ (self.round << 32) ^ self.number as u64);
        let mut connection = None;
        let mut version = self.round << 32;
        while !self.stop.load(Ordering::Relaxed) {
            version += 1;
            // New keys, and as often overwrites and deletes of older ones.
            let number =
                if version & 1 == 0 { version >> 1 } else { draw.random_range(0..=(version & 0xffff) >> 1) };
            let key = format!("c{}/k{:06}", self.number, number & 0xffff);
            let size = self.plan.sizes[draw.random_range(0..self.plan.sizes.len())];
            let state = (!draw.random_ratio(1, 8)).then_some((version, size));
            let sent = fs::metadata(&self.log)?.len();
            let done = self.write(&mut connection, &key, state).await;
            let acknowledged = if matches!(done, Ok(true)) {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
                Some(fs::metadata(&self.log)?.len())
            } else {
                connection = None;
                tokio::time::sleep(Duration::from_millis(20)).await;
                None
            };
            writes.push(Write { key, state, sent, acknowledged });
        }
        Ok(writes)
    }

    async fn write(&self, connection: &mut Option<Connection>, key: &str, state: State) -> Result<bool> {
        let connection = match connection {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_knows_what_had_been_acknowledged_by_then() {
        let write = |key: &str, version, sent, acknowledged| Write {
            key: key.to_owned(),
            state: Some((version, 1)),
            sent,
            acknowledged,
        };
        let history =
            History(vec![write("a", 1, 10, Some(20)), write("a", 2, 30, Some(40)), write("b", 3, 30, None)]);
        let at = |log_bytes| history.ledger_at(log_bytes).keys().clone();
        assert!(at(9).is_empty());
        assert_eq!(at(10)["a"], [None, Some((1, 1))]);
        assert_eq!(at(20)["a"], [Some((1, 1))]);
        assert_eq!(at(35)["a"], [Some((1, 1)), Some((2, 1))]);
        assert_eq!(at(35)["b"], [None, Some((3, 1))]);
        assert_eq!(at(40)["a"], [Some((2, 1))]);
        assert_eq!(history.acknowledged(), 2);
    }
}
