//! Adds again what another program has removed, at a bounded rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::monitor::Losses;
use crate::Error;

/// How many repairs may follow each other at once; more come one an interval. A program that
/// removes our rules again and again is not fought faster.
const BURST: u32 = 5;
const INTERVAL: Duration = Duration::from_secs(1);

/// A task that repairs whenever something of ours may have gone.
#[derive(Debug)]
pub(crate) struct Repair {
    restored: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Repair {
    /// `repair` compares what should be with what is, and tells how much it had to add.
    pub(crate) fn start<F>(losses: Losses, repair: impl Fn() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<usize, Error>> + Send + 'static,
    {
        let restored = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(keep(losses, repair, Arc::clone(&restored)));
        Self { restored, task }
    }

    /// How many addresses, routes and rules were added again.
    pub(crate) fn restored(&self) -> u64 {
        self.restored.load(Ordering::Relaxed)
    }

    /// Ends the task, between two steps of it.
    pub(crate) async fn stop(mut self) {
        self.task.abort();
        // An error only says that it was aborted.
        drop((&mut self.task).await);
    }
}

impl Drop for Repair {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep<F>(mut losses: Losses, repair: impl Fn() -> F, restored: Arc<AtomicU64>)
where
    F: Future<Output = Result<usize, Error>>,
{
    let mut bucket = Bucket::new(Instant::now());
    while losses.lost().await.is_ok() {
        match repair().await {
            // It was our own removal.
            Ok(0) => continue,
            Ok(added) => {
                tracing::warn!(
                    added,
                    "another program removed addresses, routes or rules of ours; they are back"
                );
                restored.fetch_add(u64::try_from(added).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
            Err(error) => {
                tracing::warn!(%error, "removed addresses, routes or rules of ours could not be added again");
            }
        }
        if let Some(next) = bucket.spend(Instant::now()) {
            tokio::time::sleep_until(next).await;
        }
    }
}

/// A bucket of [`BURST`] tokens that gets one an [`INTERVAL`].
#[derive(Debug)]
struct Bucket {
    tokens: u32,
    filled: Instant,
}

impl Bucket {
    fn new(now: Instant) -> Self {
        Self {
            tokens: BURST,
            filled: now,
        }
    }

    /// Takes a token, and tells until when to wait when it was the last.
    fn spend(&mut self, now: Instant) -> Option<Instant> {
        while self.tokens < BURST && self.filled + INTERVAL <= now {
            self.tokens += 1;
            self.filled += INTERVAL;
        }
        if self.tokens == BURST {
            self.filled = now;
        }
        self.tokens = self.tokens.saturating_sub(1);
        (self.tokens == 0).then(|| self.filled + INTERVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_war_is_fought_once_an_interval() {
        let begin = Instant::now();
        let mut bucket = Bucket::new(begin);
        let mut repairs = 0;
        while begin.elapsed() < INTERVAL * 10 {
            repairs += 1;
            if let Some(next) = bucket.spend(Instant::now()) {
                tokio::time::sleep_until(next).await;
            }
        }
        assert!((10..=10 + BURST).contains(&repairs), "{repairs}");
        tokio::time::sleep(INTERVAL * 10).await;
        for _ in 1..BURST {
            assert_eq!(bucket.spend(Instant::now()), None, "peace fills it again");
        }
    }
}
