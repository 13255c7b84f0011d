//! The time a machine lives in: a clock that only runs, a wall clock that anybody may set, and timers that are woken in
//! time or late.

use std::time::{Duration, Instant};

/// 2026-01-01 00:00:00 UTC.
const NEW_YEAR: Duration = Duration::from_secs(1_767_225_600);
/// More than any input may bring about.
pub(crate) const MANY: usize = 10_000;

/// What time it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    pub(crate) now: Instant,
    /// The wall clock said this then.
    wall: (Duration, Instant),
}

impl Clock {
    /// It begins with the year 2026.
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            now,
            wall: (NEW_YEAR, now),
        }
    }

    pub(crate) fn unix_time(&self) -> Duration {
        let (said, at) = self.wall;
        said + (self.now - at)
    }

    /// Another boot has another clock: by it so much passes, by the wall clock so much.
    pub(crate) fn skip(&mut self, time: Duration, wall_time: Duration) {
        let unix_time = self.unix_time() + wall_time;
        self.now += time;
        self.wall = (unix_time, self.now);
    }
}

/// A machine in its time.
pub(crate) trait Timed {
    fn clock(&mut self) -> &mut Clock;
    /// When it wants to be woken.
    fn due(&self) -> Option<Instant>;
    /// It is woken now, and what it brings about is done.
    fn wake(&mut self);
    /// It is told what the wall clock says now, and what it brings about is done.
    fn tell_unix_time(&mut self);

    /// Time passes, with every timer at its time.
    fn wait(&mut self, time: Duration) {
        let end = self.clock().now + time;
        for turn in 0.. {
            assert!(turn < MANY, "its timers don't stop");
            let Some(at) = self.due().filter(|at| *at <= end) else {
                break;
            };
            let now = self.clock().now.max(at);
            self.clock().now = now;
            self.wake();
            assert!(self.due().is_none_or(|next| next > now), "it would spin");
        }
        self.clock().now = end;
    }

    /// Time passes, and the timers come late.
    fn oversleep(&mut self, time: Duration) {
        self.clock().now += time;
        self.wake();
    }

    /// Somebody sets the wall clock by so many seconds.
    fn set_clock(&mut self, seconds: i64) {
        let clock = self.clock();
        let unix_time = clock.unix_time().as_secs().saturating_add_signed(seconds);
        clock.wall = (Duration::from_secs(unix_time), clock.now);
        self.tell_unix_time();
    }
}
