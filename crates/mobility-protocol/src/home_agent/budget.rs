//! How often something may be done: at a rate, with some of it saved up.

use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// So many a second, and so many at once after a time without.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    /// What one costs.
    gap: Duration,
    /// What may be owed.
    most: Duration,
}

impl Rate {
    /// Both at least 1.
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        let gap = SECOND / per_second.max(1);
        Self {
            gap,
            most: gap.saturating_mul(burst.max(1)),
        }
    }
}

/// What of a rate is left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// When it is whole again.
    whole_at: Option<Instant>,
}

impl Budget {
    /// Nothing of it is used.
    pub(super) const WHOLE: Self = Self { whole_at: None };

    /// Whether there may be one more now.
    pub(super) fn has_room(&self, rate: Rate, now: Instant) -> bool {
        let owed = self
            .whole_at
            .map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        owed.saturating_add(rate.gap) <= rate.most
    }

    /// When it is whole again, if it is not new.
    pub(super) const fn whole_at(&self) -> Option<Instant> {
        self.whole_at
    }

    /// There is one more now. Tells when it is whole again.
    pub(super) fn take(&mut self, rate: Rate, now: Instant) -> Instant {
        let whole_at = self.whole_at.map_or(now, |at| at.max(now)) + rate.gap;
        self.whole_at = Some(whole_at);
        whole_at
    }

    /// One more now, if there may be.
    pub(super) fn spend(&mut self, rate: Rate, now: Instant) -> bool {
        let room = self.has_room(rate, now);
        if room {
            self.take(rate, now);
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_ten_a_second() {
        let begin = Instant::now();
        let rate = Rate::new(10, 10);
        let mut budget = Budget::WHOLE;
        let done = |budget: &mut Budget, at| (0..100).filter(|_| budget.spend(rate, at)).count();
        assert_eq!(done(&mut budget, begin), 10);
        assert_eq!(done(&mut budget, begin + Duration::from_millis(100)), 1);
        assert_eq!(done(&mut budget, begin + Duration::from_secs(60)), 10);
    }

    #[test]
    fn the_highest_rate_is_none() {
        let now = Instant::now();
        let mut budget = Budget::WHOLE;
        assert!((0..10_000).all(|_| budget.spend(Rate::new(u32::MAX, u32::MAX), now)));
    }
}
