//! Waiting for events, always with a bound.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::LabError;

/// Pause between two looks at a condition that can't announce itself.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// By how much all bounds are stretched: `LAB_PATIENCE`, for emulated machines. 1 where it is not set.
#[must_use]
pub fn patience() -> u32 {
    std::env::var("LAB_PATIENCE")
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(1)
        .max(1)
}

/// Looks again and again until `look` yields a value. An error ends the wait at once.
pub fn wait_for<T, E: From<LabError>>(
    what: &str,
    bound: Duration,
    mut look: impl FnMut() -> Result<Option<T>, E>,
) -> Result<T, E> {
    let bound = bound * patience();
    let started = Instant::now();
    loop {
        if let Some(value) = look()? {
            return Ok(value);
        }
        if started.elapsed() >= bound {
            return Err(LabError::TimedOut {
                what: what.to_owned(),
                seconds: bound.as_secs_f64(),
            }
            .into());
        }
        thread::sleep(BETWEEN_LOOKS);
    }
}

/// Waits until `holds` is true.
pub fn eventually(
    what: &str,
    bound: Duration,
    mut holds: impl FnMut() -> bool,
) -> Result<(), LabError> {
    wait_for(what, bound, || Ok(holds().then_some(())))
}
