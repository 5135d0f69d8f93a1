//! Long-lived tasks: each is one of [`Task`], and each says what its end means.

use std::future::Future;

use tokio_util::task::TaskTracker;

/// A task that lives as long as the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Drives one loop. Its end is usual: the loop sleeps or is over.
    Loop,
    /// Answers one webhook request, even if its caller goes away. Its end is usual.
    Acceptance,
    /// Fires timers. Cancelled while draining; if it failed, delays would never end.
    Timers,
    /// Watches the cycle files. Cancelled while draining; if it failed, edits would go unseen.
    Reload,
    /// Takes away what is no longer kept. Cancelled while draining; if it failed, the disk would fill up.
    Retention,
    /// Gets tokens, even if whoever needs them is stopped: what is granted and not kept is lost. Its end is
    /// usual.
    Refresh,
    /// Delivers notices of failed runs. Brings what is under way to its end while draining; if it failed,
    /// nobody would be told.
    Outbox,
    /// Starts cycles at the times of their schedules. Brings a start under way to its end while draining; if
    /// it failed, no schedule would start anything.
    Schedules,
    /// Looks whether a run that waits for all of its cycle may go on. Its end is usual.
    Gathering,
    /// Writes a log line that nobody waits for. Its end is usual.
    Note,
    /// Takes up what was under way before the start. Ends when all is taken up.
    Recovery,
}

/// The engine's tasks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks(TaskTracker);

impl Tasks {
    /// Starts a task. A panic in it ends that task alone and is reported by the panic hook.
    pub(crate) fn start<F>(&self, task: Task, future: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        tracing::trace!(?task, "task starts");
        self.0.spawn(future)
    }

    /// Starts the task of a loop.
    pub(crate) fn drive(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.start(Task::Loop, future);
    }

    /// Completes when no task is left; none may be started any more that nobody waits for.
    pub(crate) async fn ended(&self) {
        self.0.close();
        self.0.wait().await;
    }
}
