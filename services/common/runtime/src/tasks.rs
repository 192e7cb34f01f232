//! A group of tasks with one owner.

use crate::request::{current_request, with_request, within_request};
use std::future::Future;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Names, owns, cancels and joins tasks. Cloning shares the group; a child group stops with its parent.
#[derive(Clone, Debug, Default)]
pub struct TaskGroup {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl TaskGroup {
    /// An empty group.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A group of its own that is told to stop when `self` is.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { tracker: TaskTracker::new(), stop: self.stop.child_token() }
    }

    /// Runs `task` to its end, on behalf of the caller's request if there is one; it watches [`Self::stopping`] if it is
    /// long. Panics outside a tokio runtime.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        match current_request() {
            Some(request) => self.tracker.spawn(with_request(request, task)),
            None => self.tracker.spawn(task),
        }
    }

    /// Runs `task` until it ends or the group stops, whichever is first: only for tasks that are cancel-safe.
    pub fn spawn_until_stopped<F>(&self, task: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let stop = self.stop.clone();
        self.tracker.spawn(async move { stop.run_until_cancelled(task).await })
    }

    /// Runs blocking work on tokio's blocking pool, owned by this group, on behalf of the caller's request if there is one.
    pub fn spawn_blocking<F, T>(&self, work: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match current_request() {
            Some(request) => self.tracker.spawn_blocking(move || within_request(request, work)),
            None => self.tracker.spawn_blocking(work),
        }
    }

    /// The token that is cancelled when the group stops.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Tells every task to stop and waits for the last one.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_work_for_the_request_they_were_started_by() {
        let group = TaskGroup::new();
        assert_eq!(group.spawn(async { current_request() }).await.unwrap(), None);
        let inner = group.clone();
        let (task, blocking) = with_request(7, async move {
            let task = inner.spawn(async { current_request() }).await.unwrap();
            (task, inner.spawn_blocking(current_request).await.unwrap())
        })
        .await;
        assert_eq!((task, blocking), (Some(7), Some(7)));
        group.stop().await;
    }
}
