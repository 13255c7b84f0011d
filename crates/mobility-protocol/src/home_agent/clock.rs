//! Unix time, kept along the monotonic clock.

use std::time::{Duration, Instant};

use crate::wire::Identification;

/// What time it is elsewhere.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    at: Instant,
    unix_time: Duration,
}

impl Clock {
    pub(super) const fn new(unix_time: Duration, at: Instant) -> Self {
        Self { at, unix_time }
    }

    /// The Unix time at some moment, past or to come.
    pub(super) fn unix_time(&self, at: Instant) -> Duration {
        match at.checked_duration_since(self.at) {
            Some(ahead) => self.unix_time.saturating_add(ahead),
            None => self
                .unix_time
                .saturating_sub(self.at.saturating_duration_since(at)),
        }
    }

    /// How long from `now` it is until some Unix time; zero if that has passed.
    pub(super) fn remaining(&self, until: Duration, now: Instant) -> Duration {
        until.saturating_sub(self.unix_time(now))
    }

    pub(super) fn identification(&self, now: Instant) -> Identification {
        Identification::from_unix(self.unix_time(now))
    }
}
