//! Clients that note for each write where the disk's log stood when they sent it and when it was acknowledged.

use crate::ledger::State;
use crate::writers::{PAUSE, Writer, Writers};
use crate::{Keys, Ledger, WritePlan};
use anyhow::Result;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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
pub struct Recorder(Writers<Result<Vec<Write>>>);

impl Recorder {
    /// Starts the clients on a server whose disk writes the log at `log`. `round` keeps the versions of several runs apart.
    #[must_use]
    pub fn start(keys: &Keys, plan: &WritePlan, log: &Path, round: u64) -> Self {
        Self(Writers::start(keys, plan, |writer| run(writer, log.to_owned(), round)))
    }

    /// Waits until `more` further writes have been acknowledged.
    ///
    /// # Panics
    /// When that takes longer than two minutes.
    pub async fn progress(&self, more: u64) {
        self.0.progress(more).await;
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
        let mut all = Vec::new();
        for writes in self.0.stop().await? {
            all.extend(writes?);
        }
        Ok(History(all))
    }
}

async fn run(mut writer: Writer, log: PathBuf, round: u64) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    let mut draw = ChaCha8Rng::seed_from_u64(writer.plan.seed ^ (round << 32) ^ writer.number as u64);
    let mut version = round << 32;
    while writer.goes_on() {
        version += 1;
        // New keys, and as often overwrites and deletes of older ones.
        let number =
            if version & 1 == 0 { version >> 1 } else { draw.random_range(0..=(version & 0xffff) >> 1) };
        let key = format!("c{}/k{:06}", writer.number, number & 0xffff);
        let size = writer.plan.sizes[draw.random_range(0..writer.plan.sizes.len())];
        let state = (!draw.random_ratio(1, 8)).then_some((version, size));
        let sent = fs::metadata(&log)?.len();
        let done = writer.write(&key, state).await;
        let acknowledged = if done {
            Some(fs::metadata(&log)?.len())
        } else {
            tokio::time::sleep(PAUSE).await;
            None
        };
        writes.push(Write { key, state, sent, acknowledged });
    }
    Ok(writes)
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
