//! What both daemons tell the service manager (sd_notify(3)), and their clocks and seeds: the few
//! things that come from the system and that the machines must be given.

use std::io;
use std::time::{Duration, SystemTime};

use sd_notify::NotifyState;

/// Tells the service manager that the daemon serves. Without one nothing happens.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Tells the service manager that the daemon is on its way out.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Shows the service manager that the run loop still turns.
#[derive(Debug)]
pub struct Watchdog {
    interval: Option<tokio::time::Interval>,
}

impl Watchdog {
    /// As the service manager demands in this process's environment; never due without one.
    #[must_use]
    pub fn new() -> Self {
        let interval = sd_notify::watchdog_enabled()
            .filter(|limit| !limit.is_zero())
            .map(|limit| tokio::time::interval(limit / 3));
        Self { interval }
    }

    /// Waits until a sign of life is due and gives it. To be polled in the loop whose life it shows.
    pub async fn tick(&mut self) {
        match &mut self.interval {
            Some(interval) => {
                interval.tick().await;
                notify(&[NotifyState::Watchdog]);
            }
            None => std::future::pending().await,
        }
    }
}

impl Default for Watchdog {
    fn default() -> Self {
        Self::new()
    }
}

/// The time since 1970-01-01 00:00:00 UTC; zero before it.
#[must_use]
pub fn unix_time() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// Octets nobody can predict.
///
/// # Errors
/// When the system has none.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut octets = [0; N];
    getrandom::fill(&mut octets).map_err(io::Error::other)?;
    Ok(octets)
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager can't be told");
    }
}
