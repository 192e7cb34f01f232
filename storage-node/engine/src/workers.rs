//! The device's threads for reading and hashing, behind one bounded queue.

use crate::EngineError;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use parking_lot::RwLock;
use std::io;
use std::thread::JoinHandle;

type Job = Box<dyn FnOnce() + Send>;

/// Jobs that may wait.
const JOBS_MAX: usize = 4096;

/// A few threads. Closing it lets them finish what waits.
pub(crate) struct Workers {
    jobs: RwLock<Option<Sender<Job>>>,
}

impl Workers {
    pub(crate) fn start(threads: usize) -> io::Result<(Self, Vec<JoinHandle<()>>)> {
        let (jobs, queue) = bounded::<Job>(JOBS_MAX);
        let handles = (0..threads)
            .map(|number| {
                let queue: Receiver<Job> = queue.clone();
                std::thread::Builder::new()
                    .name(format!("engine-work-{number}"))
                    .spawn(move || queue.iter().for_each(|job| job()))
            })
            .collect::<io::Result<_>>()?;
        Ok((Self { jobs: RwLock::new(Some(jobs)) }, handles))
    }

    /// Takes no more jobs.
    pub(crate) fn close(&self) {
        self.jobs.write().take();
    }

    /// Runs `work` on one of the threads and answers what it gives.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let (answer, result) = tokio::sync::oneshot::channel();
        let job: Job = Box::new(move || drop(answer.send(work())));
        let sent = match self.jobs.read().as_ref() {
            Some(jobs) => jobs.try_send(job),
            None => return Err(EngineError::Closed),
        };
        match sent {
            Ok(()) => result.await.map_err(|_| EngineError::Closed)?,
            Err(TrySendError::Full(_)) => Err(EngineError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(EngineError::Closed),
        }
    }
}
