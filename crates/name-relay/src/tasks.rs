//! The relay's tasks and how they end.

use std::future::Future;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long queries in work may take to be answered at the end.
const FAREWELL: Duration = Duration::from_millis(500);

/// Tasks that end in two steps: first nothing new is taken and held answers
/// leave, then what remains is dropped.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    kill: CancellationToken,
}

impl Tasks {
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let kill = self.kill.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                () = kill.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// Resolves when nothing new is to be taken.
    pub(crate) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Ends all tasks without waiting for them.
    pub(crate) fn abort(&self) {
        self.stop.cancel();
        self.kill.cancel();
    }

    /// Ends all tasks, giving those that answer somebody a moment.
    pub(crate) async fn end(&self) {
        self.stop.cancel();
        self.tracker.close();
        if timeout(FAREWELL, self.tracker.wait()).await.is_err() {
            self.kill.cancel();
            self.tracker.wait().await;
        }
    }
}
