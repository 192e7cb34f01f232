//! Clients that write without pause and note what they were told, while the test breaks things.

use crate::ledger::State;
use crate::writers::{PAUSE, Writer, Writers};
use crate::{Connection, Keys, Ledger, Tally, WritePlan, body_of};
use anyhow::Result;
use bytes::Bytes;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::HashSet;
use std::time::Duration;

/// Running clients.
pub struct Load(Writers<Ledger>);

impl Load {
    /// Starts the clients.
    #[must_use]
    pub fn start(keys: &Keys, plan: &WritePlan) -> Self {
        Self(Writers::start(keys, plan, run))
    }

    /// Waits until `more` further writes have been acknowledged.
    ///
    /// # Panics
    /// When that takes longer than two minutes.
    pub async fn progress(&self, more: u64) {
        self.0.progress(more).await;
    }

    /// Stops the clients and collects what they know.
    ///
    /// # Errors
    /// When a client met a refusal that it should not have.
    pub async fn stop(self) -> Result<Ledger> {
        let mut all = Ledger::default();
        for ledger in self.0.stop().await? {
            all.merge(ledger);
        }
        Ok(all)
    }
}

async fn run(mut writer: Writer) -> Ledger {
    let mut ledger = Ledger::default();
    let seed = writer.plan.seed ^ (writer.number as u64).wrapping_mul(0x9e37_79b9);
    let mut draw = ChaCha8Rng::seed_from_u64(seed);
    let mut version = 0;
    while writer.goes_on() {
        version += 1;
        // Mostly new keys, and among them overwrites and deletes of older ones.
        let old = version > 10 && draw.random_ratio(1, 4);
        let number = if old { draw.random_range(1..version) } else { version };
        let key = format!("c{}/k{number:06}", writer.number);
        let size = writer.plan.sizes[draw.random_range(0..writer.plan.sizes.len())];
        let state = (!old || draw.random_ratio(2, 3)).then_some((version, size));
        if writer.write(&key, state).await {
            ledger.acknowledge(&key, state);
        } else {
            ledger.doubt(&key, state);
            tokio::time::sleep(PAUSE).await;
        }
    }
    ledger
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
