//! Clients that write without pause and note what they were told, while the test breaks things.

use crate::ledger::State;
use crate::{Connection, Keys, Ledger, Tally, body_of};
use anyhow::Result;
use bytes::Bytes;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// How the clients write.
#[derive(Clone, Debug)]
pub struct LoadPlan {
    /// The bucket; made before.
    pub bucket: String,
    /// Clients at a time.
    pub clients: usize,
    /// Body lengths, one drawn for each write.
    pub sizes: Vec<usize>,
    /// Seed of all choices.
    pub seed: u64,
}

impl LoadPlan {
    /// Small and middle-sized bodies: inline, one chunk, several blocks.
    #[must_use]
    pub fn mixed(bucket: &str, seed: u64) -> Self {
        let sizes = vec![0, 100, 4096, 4096, 4096, 20_000, 60_000, 300_000, 1_500_000];
        Self { bucket: bucket.to_owned(), clients: 8, sizes, seed }
    }
}

/// Running clients.
pub struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Ledger>>,
}

impl Load {
    /// Starts the clients.
    #[must_use]
    pub fn start(keys: &Keys, plan: &LoadPlan) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let clients = (0..plan.clients).map(|number| {
            let client = Client {
                keys: keys.clone(),
                plan: plan.clone(),
                number,
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
        for _ in 0..12_000 {
            if self.acknowledged.load(Ordering::Relaxed) >= wanted {
                return;
            }
            assert!(
                !self.clients.iter().any(JoinHandle::is_finished),
                "a client met what it should not have"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("fewer than {more} writes were acknowledged in two minutes");
    }

    /// Stops the clients and collects what they know.
    ///
    /// # Errors
    /// When a client met a refusal that it should not have.
    pub async fn stop(self) -> Result<Ledger> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Ledger::default();
        for client in self.clients {
            all.merge(client.await?);
        }
        Ok(all)
    }
}

struct Client {
    keys: Keys,
    plan: LoadPlan,
    number: usize,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
}

impl Client {
    async fn run(self) -> Ledger {
        let mut ledger = Ledger::default();
        let mut draw =
            ChaCha8Rng::seed_from_u64(self.plan.seed ^ (self.number as u64).wrapping_mul(0x9e37_79b9));
        let mut connection = None;
        let mut version = 0;
        while !self.stop.load(Ordering::Relaxed) {
            version += 1;
            // Mostly new keys, and among them overwrites and deletes of older ones.
            let old = version > 10 && draw.random_ratio(1, 4);
            let number = if old { draw.random_range(1..version) } else { version };
            let key = format!("c{}/k{number:06}", self.number);
            let size = self.plan.sizes[draw.random_range(0..self.plan.sizes.len())];
            let state = (!old || draw.random_ratio(2, 3)).then_some((version, size));
            match self.write(&mut connection, &key, state).await {
                Ok(true) => {
                    ledger.acknowledge(&key, state);
                    self.acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                Ok(false) => {
                    ledger.doubt(&key, state);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(_) => {
                    ledger.doubt(&key, state);
                    connection = None;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
        ledger
    }

    /// Whether the write was acknowledged; a server error leaves it open, and a client error is the server's mistake.
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

/// Reads every key of the ledger and the listing, and counts what does not fit.
///
/// # Errors
/// When the server can't be reached, or answers with an error other than 404 for half a minute.
pub async fn read_back(keys: &Keys, bucket: &str, ledger: &Ledger) -> Result<Tally> {
    let mut tally = ledger.tally();
    let listed: HashSet<String> = Connection::open(keys).await?.list(bucket).await?.into_iter().collect();
    let work: Vec<(String, Vec<State>)> = ledger.keys().iter().map(|(k, s)| (k.clone(), s.clone())).collect();
    let share = work.len().div_ceil(16).max(1);
    let mut readers = Vec::new();
    for part in work.chunks(share) {
        readers.push(tokio::spawn(read_part(keys.clone(), bucket.to_owned(), part.to_vec())));
    }
    for reader in readers {
        for (key, states, found) in reader.await?? {
            tally.checked += 1;
            let must_be = !states.contains(&None);
            match found {
                Found::Nothing if must_be => tally.lost.push(key),
                Found::Other => tally.wrong.push(key),
                Found::One if !listed.contains(&key) => tally.unlisted.push(key),
                Found::Nothing if listed.contains(&key) => tally.wrong.push(key),
                Found::Nothing | Found::One => {}
            }
        }
    }
    Ok(tally)
}

enum Found {
    /// The key is not there.
    Nothing,
    /// One of the states the key may be in.
    One,
    /// Something else.
    Other,
}

async fn read_part(
    keys: Keys,
    bucket: String,
    part: Vec<(String, Vec<State>)>,
) -> Result<Vec<(String, Vec<State>, Found)>> {
    let mut connection = Connection::open(&keys).await?;
    let mut found = Vec::with_capacity(part.len());
    for (key, states) in part {
        let mut tries = 0;
        let reply = loop {
            let reply = connection.call("GET", &format!("/{bucket}/{key}"), &[], Bytes::new()).await?;
            tries += 1;
            // Elections and repairs may take a moment; an error that stays is an error.
            if !reply.status.is_server_error() || tries > 60 {
                break reply;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        let one = match reply.status.as_u16() {
            404 => Found::Nothing,
            200 => {
                let fits = |state: &State| {
                    state.is_some_and(|(version, size)| reply.body == body_of(&key, version, size))
                };
                if states.iter().any(fits) { Found::One } else { Found::Other }
            }
            _ => anyhow::bail!("{key}: {} {}", reply.status, reply.text()),
        };
        found.push((key, states, one));
    }
    Ok(found)
}
