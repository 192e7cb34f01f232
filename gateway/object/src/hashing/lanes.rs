//! Workers that hash the bodies waiting for them, several at a time.

use super::{BLOCK, Md5};
use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use ringfort_runtime::TaskGroup;
use std::collections::VecDeque;
use std::sync::Arc;
use std::vec;
use tokio::sync::oneshot;

/// Bodies hashed side by side.
const LANES: usize = 8;
/// Blocks hashed before waiting bodies are let in: 64 KiB.
const STRIDE: usize = 1024;

/// A piece of a body to be hashed, at most one of each body at a time; so bodies under way bound the queue.
struct Job {
    hash: Md5,
    pieces: vec::IntoIter<Bytes>,
    piece: Bytes,
    done: oneshot::Sender<Md5>,
}

impl Job {
    /// Whole blocks at hand; none when all is hashed.
    fn ready(&mut self) -> usize {
        loop {
            if self.piece.is_empty() {
                match self.pieces.next() {
                    Some(piece) => self.piece = piece,
                    None => return 0,
                }
            } else if self.hash.filled > 0 || self.piece.len() < BLOCK {
                let taken = self.hash.fill(&self.piece);
                self.piece.advance(taken);
            } else {
                return self.piece.len() / BLOCK;
            }
        }
    }

    fn hash_alone(&mut self, blocks: usize) {
        self.hash.blocks(&self.piece.as_chunks::<BLOCK>().0[..blocks]);
        self.piece.advance(blocks * BLOCK);
    }
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Job>,
    workers: usize,
}

/// Where bodies are hashed. A cheap clone.
#[derive(Clone)]
pub(crate) struct HashLanes {
    queue: Arc<Mutex<Queue>>,
    tasks: TaskGroup,
    workers_max: usize,
}

impl HashLanes {
    pub(crate) fn new(tasks: TaskGroup) -> Self {
        let workers_max = std::thread::available_parallelism().map_or(1, usize::from);
        Self { queue: Arc::default(), tasks, workers_max }
    }

    /// Hashes `pieces` in order on a worker's thread; the answer is the hash as far as it has come.
    pub(crate) fn hash(&self, hash: Md5, pieces: Vec<Bytes>) -> oneshot::Receiver<Md5> {
        let (done, answer) = oneshot::channel();
        let mut queue = self.queue.lock();
        queue.waiting.push_back(Job { hash, pieces: pieces.into_iter(), piece: Bytes::new(), done });
        // A worker takes all that wait into its lanes; another one helps only when they are full.
        let wanted = queue.workers == 0 || queue.waiting.len() >= LANES;
        if wanted && queue.workers < self.workers_max {
            queue.workers += 1;
            drop(queue);
            let lanes = self.clone();
            self.tasks.spawn_blocking(move || lanes.work());
        }
        answer
    }

    fn work(&self) {
        let mut running = Vec::with_capacity(LANES);
        loop {
            {
                let mut queue = self.queue.lock();
                let free = LANES - running.len();
                let more = free.min(queue.waiting.len());
                running.extend(queue.waiting.drain(..more));
                if running.is_empty() {
                    queue.workers -= 1;
                    return;
                }
            }
            step(&mut running);
        }
    }
}

/// Hashes some blocks of all jobs, and answers those that are at their end.
fn step(running: &mut Vec<Job>) {
    let mut blocks = STRIDE;
    let mut at = 0;
    while at < running.len() {
        match running[at].ready() {
            0 => {
                let Job { hash, done, .. } = running.swap_remove(at);
                // Nobody waits if the body was given up.
                let _ = done.send(hash);
            }
            ready => {
                blocks = blocks.min(ready);
                at += 1;
            }
        }
    }
    match running.as_mut_slice() {
        [] => {}
        [alone] => alone.hash_alone(blocks),
        together => hash_together(together, blocks),
    }
}

#[cfg(target_arch = "x86_64")]
fn hash_together(jobs: &mut [Job], blocks: usize) {
    use super::x86;
    if !x86::available() {
        jobs.iter_mut().for_each(|job| job.hash_alone(blocks));
        return;
    }
    let mut states: [_; x86::LANES] = std::array::from_fn(|lane| jobs[lane % jobs.len()].hash.state);
    let lanes: [_; x86::LANES] =
        std::array::from_fn(|lane| &jobs[lane % jobs.len()].piece.as_chunks::<BLOCK>().0[..blocks]);
    x86::compress(&mut states, &lanes);
    for (job, state) in jobs.iter_mut().zip(states) {
        job.hash.state = state;
        job.hash.len = job.hash.len.wrapping_add((blocks * BLOCK) as u64);
        job.piece.advance(blocks * BLOCK);
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn hash_together(jobs: &mut [Job], blocks: usize) {
    jobs.iter_mut().for_each(|job| job.hash_alone(blocks));
}
