//! Looks after the packet filter's table, which a firewall that is loaded anew takes away
//! (`nft flush ruleset`).

use std::time::Duration;

use tokio::task::JoinHandle;

use crate::Error;

/// How often the table is looked for.
const INTERVAL: Duration = Duration::from_secs(1);

/// A task that looks again and again.
#[derive(Debug)]
pub(crate) struct Keeper(JoinHandle<()>);

impl Keeper {
    /// `repair` puts the table in place if it is missing, and tells how much was.
    pub(crate) fn start(repair: impl Fn() -> Result<usize, Error> + Send + 'static) -> Self {
        Self(tokio::spawn(async move {
            let mut interval = tokio::time::interval(INTERVAL);
            interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                interval.tick().await;
                match repair() {
                    Ok(0) => {}
                    Ok(_) => tracing::warn!(
                        "another program removed our table of the packet filter; it is back"
                    ),
                    Err(error) => {
                        tracing::warn!(%error, "our table of the packet filter is missing");
                    }
                }
            }
        }))
    }

    /// Ends the task, between two looks.
    pub(crate) async fn stop(mut self) {
        self.0.abort();
        // An error only says that it was aborted.
        drop((&mut self.0).await);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}
