//! The closed loop: each connection sends its next request when it has the answer to the last.

use crate::client::{Answer, Connection};
use crate::histogram::Histogram;
use crate::process::{Memory, Watched};
use crate::sign::{self, Endpoint};
use crate::work::{Expect, Item, Work};
use anyhow::{Context, Result, anyhow, ensure};
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, TryStreamExt};
use http::{HeaderMap, Method};
use std::collections::BTreeMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Failures in a row after which a connection gives up: the server is gone, and looping would measure nothing.
const FAILURES_IN_A_ROW_MAX: u32 = 20;
/// Different failures that are kept to be shown.
const FAILURES_SHOWN: usize = 5;

/// No key is listed with its time, ETag and size in fewer bytes.
const LISTED_BYTES_MIN: u64 = 100;

/// How hard and how long to push.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    /// Client threads; the machine is shared with the server.
    pub(crate) threads: usize,
    /// The loop ends after this long ...
    pub(crate) duration: Option<Duration>,
    /// ... or after this many operations, whichever is first.
    pub(crate) operations: Option<u64>,
    /// Operations done first, uncounted.
    pub(crate) warmup: u64,
    /// An operation that takes longer has failed.
    pub(crate) timeout: Duration,
    pub(crate) server: Watched,
}

/// What came of a load.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// Operations that succeeded.
    pub(crate) operations: u64,
    pub(crate) errors: u64,
    /// Body bytes sent and received by the operations that succeeded.
    pub(crate) bytes: u64,
    /// Of these, compared with what was stored.
    pub(crate) verified: u64,
    pub(crate) elapsed: Duration,
    pub(crate) latency: Histogram,
    /// Failures and how often each was met, the first few kinds.
    pub(crate) failures: BTreeMap<String, u64>,
    /// CPU seconds of the server meanwhile.
    pub(crate) server_cpu: Option<f64>,
    /// The server's memory just after.
    pub(crate) server_memory: Option<Memory>,
}

impl Outcome {
    fn merge(&mut self, other: Self) {
        self.operations += other.operations;
        self.errors += other.errors;
        self.bytes += other.bytes;
        self.verified += other.verified;
        self.latency.merge(&other.latency);
        for (failure, count) in other.failures {
            self.note(failure, count);
        }
    }

    fn note(&mut self, failure: String, count: u64) {
        if self.failures.len() < FAILURES_SHOWN || self.failures.contains_key(&failure) {
            *self.failures.entry(failure).or_default() += count;
        }
    }
}

/// Runs `work` against `endpoint` until the load's limit or the end of the work.
pub(crate) fn run(endpoint: &Endpoint, work: &Work, load: &Load) -> Result<Outcome> {
    ensure!(load.connections > 0 && load.threads > 0, "a load needs connections and threads");
    let threads = load.threads.min(load.connections);
    // Twice: once everybody is connected and warm, and once the server's CPU time is read.
    let barrier = Barrier::new(threads + 1);
    let shared = Shared {
        endpoint,
        work,
        load,
        position: AtomicU64::new(0),
        warm: AtomicU64::new(0),
        begun: AtomicU64::new(0),
    };
    thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|thread| {
                let connections = (load.connections + thread) / threads;
                let (shared, barrier) = (&shared, &barrier);
                scope.spawn(move || run_thread(shared, connections, barrier))
            })
            .collect();
        barrier.wait();
        let cpu_before = load.server.cpu_seconds();
        let start = Instant::now();
        barrier.wait();
        let mut outcome = Outcome::default();
        for handle in handles {
            outcome.merge(handle.join().map_err(|_| anyhow!("a client thread panicked"))??);
        }
        outcome.elapsed = start.elapsed();
        let cpu_after = load.server.cpu_seconds()?;
        outcome.server_cpu = cpu_after.zip(cpu_before?).map(|(after, before)| after - before);
        outcome.server_memory = load.server.memory()?;
        Ok(outcome)
    })
}

/// What the threads of one load have in common.
struct Shared<'a> {
    endpoint: &'a Endpoint,
    work: &'a Work,
    load: &'a Load,
    /// The next request to be sent.
    position: AtomicU64,
    /// Warm-up operations begun.
    warm: AtomicU64,
    /// Timed operations begun, if they are limited.
    begun: AtomicU64,
}

/// One thread's share of the connections. Meets the barrier twice whatever happens, or the others would wait for ever.
fn run_thread(shared: &Shared<'_>, connections: usize, barrier: &Barrier) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ready = runtime.context("no runtime").and_then(|runtime| {
        let workers = runtime.block_on(async {
            let mut workers = Vec::new();
            for _ in 0..connections {
                workers.push(Worker::open(shared).await?);
            }
            anyhow::Ok(workers)
        })?;
        let workers = runtime.block_on(all(workers, Phase::Warmup))?;
        Ok((runtime, workers))
    });
    barrier.wait();
    barrier.wait();
    let (runtime, workers) = ready?;
    let workers = runtime.block_on(all(workers, Phase::Timed { start: Instant::now() }))?;
    let mut outcome = Outcome::default();
    for worker in workers {
        outcome.merge(worker.outcome);
    }
    Ok(outcome)
}

#[derive(Clone, Copy)]
enum Phase {
    Warmup,
    Timed { start: Instant },
}

/// Runs all workers of a thread through a phase, side by side.
async fn all<'a>(workers: Vec<Worker<'a>>, phase: Phase) -> Result<Vec<Worker<'a>>> {
    workers.into_iter().map(|worker| worker.run(phase)).collect::<FuturesUnordered<_>>().try_collect().await
}

/// One connection and what it has seen.
struct Worker<'a> {
    shared: &'a Shared<'a>,
    connection: Option<Connection>,
    failures_in_a_row: u32,
    outcome: Outcome,
}

impl<'a> Worker<'a> {
    async fn open(shared: &'a Shared<'a>) -> Result<Self> {
        let connection = connect(shared.endpoint, shared.load.timeout).await?;
        Ok(Self { shared, connection: Some(connection), failures_in_a_row: 0, outcome: Outcome::default() })
    }

    /// Sends requests until the phase is over.
    async fn run(mut self, phase: Phase) -> Result<Self> {
        while !self.is_over(phase) {
            let position = self.shared.position.fetch_add(1, Ordering::Relaxed);
            let Some(item) = self.shared.work.item(position)? else { break };
            let begin = Instant::now();
            let done = tokio::time::timeout(self.shared.load.timeout, self.perform(&item, phase)).await;
            let done = done.unwrap_or_else(|_| Err(anyhow!("no answer in {:?}", self.shared.load.timeout)));
            match (done, phase) {
                (Ok(done), Phase::Timed { .. }) => {
                    self.failures_in_a_row = 0;
                    self.outcome.operations += 1;
                    self.outcome.bytes += done.bytes;
                    self.outcome.verified += done.verified;
                    self.outcome.latency.record(begin.elapsed());
                }
                (Ok(_), Phase::Warmup) => {}
                (Err(error), Phase::Timed { .. }) => self.fail(&error),
                (Err(error), Phase::Warmup) => return Err(error.context("while warming up")),
            }
        }
        Ok(self)
    }

    fn is_over(&self, phase: Phase) -> bool {
        let load = self.shared.load;
        match phase {
            Phase::Warmup => self.shared.warm.fetch_add(1, Ordering::Relaxed) >= load.warmup,
            Phase::Timed { start } => {
                // Failures count as attempts, so that a broken server ends the loop too.
                load.operations.is_some_and(|most| self.shared.begun.fetch_add(1, Ordering::Relaxed) >= most)
                    || load.duration.is_some_and(|most| start.elapsed() >= most)
                    || self.failures_in_a_row >= FAILURES_IN_A_ROW_MAX
            }
        }
    }

    fn fail(&mut self, error: &anyhow::Error) {
        // Its state is unknown: a later answer must not be taken for that of the next request.
        self.connection = None;
        self.failures_in_a_row += 1;
        self.outcome.errors += 1;
        self.outcome.note(format!("{error:#}"), 1);
    }

    async fn perform(&mut self, item: &Item, phase: Phase) -> Result<Done> {
        let connection = match self.connection.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => connect(self.shared.endpoint, self.shared.load.timeout).await?,
        };
        let connection = self.connection.insert(connection);
        exchange(connection, self.shared.work, item, phase).await
    }
}

/// What an operation has moved.
struct Done {
    bytes: u64,
    verified: u64,
}

async fn exchange(connection: &mut Connection, work: &Work, item: &Item, phase: Phase) -> Result<Done> {
    let mut send = Bytes::new();
    let mut check = Check::None;
    match item.expect {
        Expect::Stored(number) => send = work.content.body(number),
        Expect::StoredInChunk(number) => send = sign::chunk(&work.content.body(number)),
        Expect::Body(number) if work.verify => check = Check::Same(work.content.body(number)),
        // Counting costs the client as much CPU as the page costs the server, so only the warm-up does it.
        Expect::Keys(_) if matches!(phase, Phase::Warmup) => check = Check::Keys(KeyCounter::default()),
        Expect::Body(_) | Expect::Keys(_) => {}
    }
    let sent = send.len() as u64;
    let visit = |data: &[u8]| check.visit(data);
    let answer =
        connection.send(item.method.clone(), item.target.clone(), item.headers.clone(), send, visit).await?;
    ensure!(answer.status.is_success(), "{} {}", answer.status, complaint(&answer));
    let mut done = Done { bytes: sent + answer.bytes, verified: 0 };
    match (item.expect, check) {
        (Expect::Body(_), check) => {
            let expected = work.content.size() as u64;
            ensure!(
                answer.bytes == expected,
                "a body of {} bytes where {expected} were stored",
                answer.bytes
            );
            done.verified = if matches!(check, Check::Same(_)) { expected } else { 0 };
        }
        (Expect::Keys(expected), Check::Keys(counter)) => {
            ensure!(counter.keys == expected, "a page of {} keys where {expected} were due", counter.keys);
        }
        (Expect::Keys(expected), _) => {
            let least = expected as u64 * LISTED_BYTES_MIN;
            ensure!(answer.bytes >= least, "a page of {} bytes cannot hold {expected} keys", answer.bytes);
        }
        (Expect::Stored(_) | Expect::StoredInChunk(_), _) => {}
    }
    Ok(done)
}

/// The code and message of an S3 error, or the start of whatever it is.
fn complaint(answer: &Answer) -> String {
    let text = String::from_utf8_lossy(&answer.complaint);
    let element = |name: &str| {
        let start = text.find(&format!("<{name}>"))? + name.len() + 2;
        text[start..].split_once(&format!("</{name}>")).map(|(inside, _)| inside)
    };
    match (element("Code"), element("Message")) {
        (Some(code), message) => format!("{code}: {}", message.unwrap_or_default()),
        _ => text.chars().take(200).collect(),
    }
}

/// How an answer's body is looked at.
enum Check {
    None,
    /// What is still to come.
    Same(Bytes),
    Keys(KeyCounter),
}

impl Check {
    fn visit(&mut self, data: &[u8]) -> Result<()> {
        match self {
            Self::None => {}
            Self::Same(rest) => {
                let next = rest.split_to(data.len().min(rest.len()));
                ensure!(next == data, "the body is not the one that was stored");
            }
            Self::Keys(counter) => counter.visit(data),
        }
        Ok(())
    }
}

/// Counts `<Key>` in a list however it is cut into frames, looking only at what follows a `<`.
#[derive(Default)]
struct KeyCounter {
    keys: usize,
    /// Bytes of the tag seen so far.
    matched: usize,
}

impl KeyCounter {
    const TAG: &[u8] = b"<Key>";

    fn visit(&mut self, data: &[u8]) {
        for byte in data {
            if *byte == Self::TAG[self.matched] {
                self.matched += 1;
            } else {
                self.matched = usize::from(*byte == Self::TAG[0]);
            }
            if self.matched == Self::TAG.len() {
                self.keys += 1;
                self.matched = 0;
            }
        }
    }
}

async fn connect(endpoint: &Endpoint, timeout: Duration) -> Result<Connection> {
    let address = endpoint.address();
    let opening = Connection::open(&address, endpoint.host_header()?);
    tokio::time::timeout(timeout, opening).await.map_err(|_| anyhow!("no connection in {timeout:?}"))?
}

/// One request by itself: its status and the bytes of its answer.
pub(crate) fn once(endpoint: &Endpoint, method: &Method, path: &str, timeout: Duration) -> Result<Answer> {
    let target = endpoint.presign(method.as_str(), path, &[])?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut connection = connect(endpoint, timeout).await?;
        let sending = connection.send(method.clone(), target, HeaderMap::new(), Bytes::new(), |_| Ok(()));
        tokio::time::timeout(timeout, sending).await.map_err(|_| anyhow!("no answer in {timeout:?}"))?
    })
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
