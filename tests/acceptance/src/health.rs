//! What a running server says of itself, and waiting until it says what is wanted.

use crate::Server;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(100);

/// What `ringfort status --json` says.
#[derive(Clone, Debug)]
pub struct Status(Value);

impl Status {
    /// The part about the storage node.
    #[must_use]
    pub fn node(&self) -> &Value {
        &self.0["node"]
    }

    /// A figure about redundancy: `missing`, `damaged`, `unreadable`, `queued`, `repaired`.
    ///
    /// # Panics
    /// When there is none of this name.
    #[must_use]
    pub fn redundancy(&self, figure: &str) -> u64 {
        let part = &self.node()["redundancy"];
        part[figure].as_u64().unwrap_or_else(|| panic!("no {figure} in {part}"))
    }

    /// The verdict in one word.
    #[must_use]
    pub fn level(&self) -> &str {
        self.node()["safety"]["level"].as_str().unwrap_or("nothing")
    }

    /// Why it is so, in words.
    #[must_use]
    pub fn reasons(&self) -> String {
        self.node()["safety"]["reasons"].to_string()
    }

    /// Everything is where it belongs, with all the redundancy that it should have, and known to be.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.level() == "safe" && self.node()["rebalance"].is_null() && self.redundancy("queued") == 0
    }

    /// The device in the folder whose path ends so.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn device(&self, path_end: &str) -> &Value {
        let devices = &self.node()["devices"];
        let ends = |device: &&Value| device["path"].as_str().is_some_and(|path| path.ends_with(path_end));
        let found = devices.as_array().and_then(|devices| devices.iter().find(ends));
        found.unwrap_or_else(|| panic!("no device in {path_end}: {devices}"))
    }

    /// Bytes moved so far by what is under way under this name: `repair` or `rebalance`.
    #[must_use]
    pub fn moved(&self, what: &str) -> Option<u64> {
        let progress = match what {
            "repair" => &self.node()["redundancy"]["progress"],
            _ => &self.node()[what],
        };
        progress["bytes"].as_u64()
    }
}

impl Server {
    /// `ringfort status --json`.
    ///
    /// # Errors
    /// When it fails.
    pub fn status(&self) -> Result<Status> {
        let text = self.operate(&["status", "--json"])?;
        Ok(Status(serde_json::from_str(&text).with_context(|| text.clone())?))
    }

    /// Waits until the status is as wanted, and returns how long that took.
    ///
    /// # Errors
    /// When it is not after `limit`, with the status then.
    pub fn wait(&self, what: &str, limit: Duration, wanted: impl Fn(&Status) -> bool) -> Result<Duration> {
        let began = Instant::now();
        while !wanted(&self.status()?) {
            ensure!(
                began.elapsed() < limit,
                "not after {limit:?}: {what}\n{}\n{}",
                self.operate(&["status"])?,
                self.log_tail()
            );
            std::thread::sleep(POLL);
        }
        Ok(began.elapsed())
    }

    /// Waits until every piece is where it belongs.
    ///
    /// # Errors
    /// When it is not after `limit`.
    pub fn wait_whole(&self, limit: Duration) -> Result<Duration> {
        let took = self.wait("everything is whole", limit, Status::is_whole)?;
        let said = self.operate(&["status"])?;
        ensure!(said.contains("SAFE: Your data is safe"), "whole, but not in words:\n{said}");
        Ok(took)
    }

    /// Waits until the device in the folder whose path ends so was formatted anew, as its incarnation says.
    ///
    /// # Errors
    /// When it was not after `limit`.
    pub fn wait_anew(&self, path_end: &str, incarnation: u64, limit: Duration) -> Result<Duration> {
        self.wait(&format!("{path_end} is formatted anew"), limit, |status| {
            let device = status.device(path_end);
            device["incarnation"] == incarnation && device["health"] == "in-service"
        })
    }
}
