//! Whether a request is new (RFC 5944, section 5.7.1).

use std::time::{Duration, Instant};

use super::clock::Clock;
use crate::wire::mip4::Identification;

/// How an Identification relates to what was accepted before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// Near the time, and later than the last accepted.
    Fresh,
    /// The one accepted last, once more.
    Repeated,
    /// Neither.
    Mismatch,
}

/// What time it is with one mobile node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time {
    /// What its Identification has to be near.
    near: Identification,
    /// What it has to be later than.
    last: Option<Identification>,
    window: Duration,
    /// The seconds a reply of code 133 tells it.
    pub(super) told: u32,
}

impl Time {
    /// With a mobile node of which this Identification was the last accepted.
    pub(super) fn new(
        clock: &Clock,
        window: Duration,
        last: Option<Identification>,
        now: Instant,
    ) -> Self {
        let ours = clock.identification(now);
        match last {
            // Accepted in a future that our clock has since been taken back from. Going on from
            // there, nobody is locked out until our clock catches up, and nothing is accepted twice.
            Some(ahead) if ahead.is_after(ours) && ahead.distance(ours) > window => Self {
                near: ahead,
                last,
                window,
                told: ahead.high().wrapping_add(1),
            },
            _ => Self {
                near: ours,
                last,
                window,
                told: ours.high(),
            },
        }
    }

    pub(super) fn judge(&self, identification: Identification) -> Freshness {
        if self.last == Some(identification) {
            return Freshness::Repeated;
        }
        let later = self.last.is_none_or(|last| identification.is_after(last));
        match later && identification.distance(self.near) <= self.window {
            true => Freshness::Fresh,
            false => Freshness::Mismatch,
        }
    }
}
