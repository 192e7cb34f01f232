//! The thread of a device on which its voters apply.

use std::sync::mpsc::{SyncSender, sync_channel};
use tokio::sync::oneshot;

/// Jobs waiting for the thread. Each voter has at most one outstanding, so this is never reached.
const JOBS_MAX: usize = 1024;

type Job = Box<dyn FnOnce() + Send>;

/// Runs blocking jobs in order, one at a time. The thread ends with the last clone.
#[derive(Clone)]
pub(crate) struct ApplyThread {
    jobs: SyncSender<Job>,
}

impl ApplyThread {
    /// Starts the thread `name`.
    pub(crate) fn start(name: String) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel::<Job>(JOBS_MAX);
        std::thread::Builder::new().name(name).spawn(move || queue.into_iter().for_each(|job| job()))?;
        Ok(Self { jobs })
    }

    /// Runs `work` there; `None` if the thread is gone or the work panicked.
    ///
    /// # Cancel safety
    ///
    /// A dropped call leaves the work running or queued.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (done, waiting) = oneshot::channel();
        let job: Job = Box::new(move || drop(done.send(work())));
        self.jobs.try_send(job).ok()?;
        waiting.await.ok()
    }
}
