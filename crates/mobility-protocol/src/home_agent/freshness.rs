//! Whether a request is new (RFC 5944, section 5.7.1; RFC 6275, section 9.5.1; RFC 4285, section 6).

use std::time::{Duration, Instant};

use super::clock::Clock;
use crate::Stamp;
use crate::wire::Identification;
use crate::wire::mip6::SequenceNumber;

/// How a stamp relates to what was accepted before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// Near the time, where it tells one, and later than the last accepted.
    Fresh,
    /// The timestamp accepted last, once more.
    Repeated,
    /// Neither.
    Mismatch,
}

/// What time it is with one mobile node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time {
    /// What its timestamp has to be near.
    near: Identification,
    /// What its stamp has to be later than.
    last: Stamp,
    window: Duration,
    /// The seconds it is told when its timestamp does not do.
    pub(super) told: u32,
}

impl Time {
    /// With a mobile node of which this stamp was the last accepted.
    pub(super) fn new(clock: &Clock, window: Duration, last: Stamp, now: Instant) -> Self {
        let ours = clock.identification(now);
        match last.timestamp {
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

    /// The sequence number accepted last, which it is told when its own does not do.
    pub(super) fn last_sequence(&self) -> SequenceNumber {
        self.last.sequence.unwrap_or(SequenceNumber(0))
    }

    pub(super) fn judge(&self, stamp: Stamp) -> Freshness {
        match (stamp.timestamp, stamp.sequence) {
            (Some(timestamp), _) => self.judge_timestamp(timestamp),
            (None, Some(sequence)) => {
                match self
                    .last
                    .sequence
                    .is_none_or(|last| sequence.is_after(last))
                {
                    true => Freshness::Fresh,
                    false => Freshness::Mismatch,
                }
            }
            (None, None) => Freshness::Mismatch,
        }
    }

    fn judge_timestamp(&self, timestamp: Identification) -> Freshness {
        if self.last.timestamp == Some(timestamp) {
            return Freshness::Repeated;
        }
        let later = self
            .last
            .timestamp
            .is_none_or(|last| timestamp.is_after(last));
        match later && timestamp.distance(self.near) <= self.window {
            true => Freshness::Fresh,
            false => Freshness::Mismatch,
        }
    }
}
