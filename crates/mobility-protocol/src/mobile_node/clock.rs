//! Identification by timestamps (RFC 5944, section 5.7.1): always increasing, and in step with the
//! home agent's clock rather than with ours.

use std::time::{Duration, Instant};

use rand_core::Rng;

use crate::wire::Identification;

/// Steps back smaller than this are the ordinary slewing of a disciplined clock.
const SMALLEST_STEP: Duration = Duration::from_millis(500);

/// Unix time, carried forward by the clock that never steps.
#[derive(Debug, Clone, Copy)]
pub(super) struct WallClock {
    unix_time: Duration,
    at: Instant,
}

/// What a new reading of the wall clock means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It went on as expected.
    Steady,
    /// It was set back by this much.
    Back(Duration),
    /// It was set forward by this much, or the host slept.
    Forward(Duration),
}

impl WallClock {
    pub(super) const fn new(unix_time: Duration, at: Instant) -> Self {
        Self { unix_time, at }
    }

    pub(super) fn unix_time(&self, now: Instant) -> Duration {
        self.unix_time
            .saturating_add(now.saturating_duration_since(self.at))
    }

    pub(super) fn set(&mut self, unix_time: Duration, now: Instant) -> Step {
        let expected = self.unix_time(now);
        *self = Self::new(unix_time, now);
        if expected.saturating_sub(unix_time) >= SMALLEST_STEP {
            Step::Back(expected.saturating_sub(unix_time))
        } else if unix_time.saturating_sub(expected) >= SMALLEST_STEP {
            Step::Forward(unix_time.saturating_sub(expected))
        } else {
            Step::Steady
        }
    }
}

/// The Identifications one home agent has seen from us.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct AgentClock {
    /// Seconds to add to our clock to get the home agent's.
    offset: i64,
    /// The next one must be greater.
    floor: Option<Identification>,
    /// The last one the home agent accepted: only these count there.
    accepted: Option<Identification>,
}

impl AgentClock {
    /// As it was before a restart.
    pub(super) const fn resume(offset: i64, floor: Option<Identification>) -> Self {
        Self {
            offset,
            floor,
            accepted: floor,
        }
    }

    pub(super) const fn offset(&self) -> i64 {
        self.offset
    }

    pub(super) const fn floor(&self) -> Option<Identification> {
        self.floor
    }

    /// The Identification for a message that leaves now.
    ///
    /// The fraction keeps a millisecond of time; the rest is random, because the low half is what
    /// ties a reply to its request and must be hard to guess where the key is no secret.
    pub(super) fn next(&mut self, unix_time: Duration, rng: &mut impl Rng) -> Identification {
        const RANDOM_BITS: u64 = (1 << 22) - 1;
        let time = Identification(
            self.time(unix_time).0 & !RANDOM_BITS | u64::from(rng.next_u32()) & RANDOM_BITS,
        );
        let next = match self.floor {
            Some(floor) if !time.is_after(floor) => {
                Identification(floor.0.wrapping_add(1 + u64::from(rng.next_u32() & 0xffff)))
            }
            Some(_) | None => time,
        };
        self.floor = Some(next);
        next
    }

    /// The home agent accepted this one.
    pub(super) fn accept(&mut self, identification: Identification) {
        if self
            .accepted
            .is_none_or(|accepted| identification.is_after(accepted))
        {
            self.accepted = Some(identification);
        }
    }

    /// Code 133: the high half of the reply is the home agent's clock. Returns by how many seconds
    /// our idea of it was wrong.
    pub(super) fn resynchronise(&mut self, high: u32, unix_time: Duration) -> u64 {
        let correction =
            i64::from(Identification::from_parts(high, 0).seconds_since(self.time(unix_time)));
        self.offset = self.offset.saturating_add(correction);
        if correction < 0 {
            self.floor = self.accepted;
        }
        correction.unsigned_abs()
    }

    /// Our clock was set back; the home agent's was not.
    pub(super) fn compensate(&mut self, step: Duration) {
        if self.accepted.is_some() {
            let seconds = i64::try_from(step.as_millis().div_ceil(1000)).unwrap_or(i64::MAX);
            self.offset = self.offset.saturating_add(seconds);
        }
    }

    fn time(&self, unix_time: Duration) -> Identification {
        let seconds = unix_time.as_secs().saturating_add_signed(self.offset);
        Identification::from_unix(Duration::new(seconds, unix_time.subsec_nanos()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::ChaCha12Rng;
    use rand_core::SeedableRng;

    use super::*;

    const NEW_YEAR: Duration = Duration::from_secs(1_767_225_600);

    #[test]
    fn follows_the_home_agents_clock_after_133() {
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let mut clock = AgentClock::default();
        let first = clock.next(NEW_YEAR, &mut rng);
        assert_eq!(first.high(), 0xed00_3780);
        assert_eq!(clock.resynchronise(0xed00_4590, NEW_YEAR), 3600);
        assert_eq!(clock.next(NEW_YEAR, &mut rng).high(), 0xed00_4590);
        assert_eq!(clock.resynchronise(0xed00_3780, NEW_YEAR), 3600);
        assert_eq!(
            clock.next(NEW_YEAR, &mut rng).high(),
            0xed00_3780,
            "rejected ones do not count"
        );
    }

    #[test]
    fn never_returns_below_what_was_accepted() {
        let mut rng = ChaCha12Rng::seed_from_u64(2);
        let mut clock = AgentClock::default();
        let accepted = clock.next(NEW_YEAR, &mut rng);
        clock.accept(accepted);
        clock.resynchronise(accepted.high() - 1000, NEW_YEAR);
        assert!(clock.next(NEW_YEAR, &mut rng).is_after(accepted));
    }

    #[test]
    fn a_clock_set_back_does_not_reach_the_home_agent() {
        let mut rng = ChaCha12Rng::seed_from_u64(3);
        let now = Instant::now();
        let mut wall = WallClock::new(NEW_YEAR, now);
        let mut clock = AgentClock::default();
        let accepted = clock.next(wall.unix_time(now), &mut rng);
        clock.accept(accepted);
        let later = now + Duration::from_secs(30);
        let Step::Back(step) = wall.set(NEW_YEAR - Duration::from_secs(3600), later) else {
            unreachable!("the clock went back")
        };
        clock.compensate(step);
        let next = clock.next(wall.unix_time(later), &mut rng);
        assert!(next.is_after(accepted));
        assert!(next.seconds_since(accepted).abs_diff(30) <= 1);
    }

    proptest! {
        #[test]
        fn always_increases(seed: u64, steps in proptest::collection::vec(-100_000i64..100_000, 1..100)) {
            let mut rng = ChaCha12Rng::seed_from_u64(seed);
            let mut clock = AgentClock::default();
            let mut unix_time = Duration::from_secs(2_085_978_496 - 50_000);
            let mut last: Option<Identification> = None;
            for step in steps {
                unix_time = Duration::from_secs(unix_time.as_secs().saturating_add_signed(step));
                let next = clock.next(unix_time, &mut rng);
                prop_assert!(last.is_none_or(|last| next.is_after(last)));
                last = Some(next);
            }
        }
    }
}
