//! How often strangers are answered.

use std::time::{Duration, Instant};

/// A tenth of a second for each answer, and ten of them saved up: about what a kernel allows itself
/// for ICMPv6 errors (RFC 4443, section 2.4 (f)).
const GAP: Duration = Duration::from_millis(100);
const BURST: u32 = 10;

/// A rate that answers to strangers keep, so that no address of somebody else is flooded with them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Budget {
    /// When it is whole again.
    whole_at: Option<Instant>,
}

impl Budget {
    /// Whether there may be one more answer now.
    pub(super) fn spend(&mut self, now: Instant) -> bool {
        let whole_at = self.whole_at.map_or(now, |at| at.max(now));
        if whole_at.saturating_duration_since(now) > GAP * (BURST - 1) {
            return false;
        }
        self.whole_at = Some(whole_at + GAP);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_ten_a_second() {
        let begin = Instant::now();
        let mut budget = Budget::default();
        let answered = |budget: &mut Budget, at| (0..100).filter(|_| budget.spend(at)).count();
        assert_eq!(answered(&mut budget, begin), 10);
        assert_eq!(answered(&mut budget, begin + GAP), 1);
        assert_eq!(answered(&mut budget, begin + Duration::from_secs(60)), 10);
    }
}
