//! Waiting for events, always with a bound.

use std::{
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use crate::LabError;

/// Pause between two looks at a condition that can't announce itself.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// [`patience`] on a machine whose processor is emulated.
const EMULATED: u32 = 4;

/// By how much time is stretched in the lab, bounds, daemons' timers and rates of transfer alike: `LAB_PATIENCE`, else
/// what the processor demands.
#[must_use]
pub fn patience() -> u32 {
    static PATIENCE: OnceLock<u32> = OnceLock::new();
    *PATIENCE.get_or_init(|| {
        let wished = std::env::var("LAB_PATIENCE")
            .ok()
            .and_then(|value| value.parse().ok());
        let demanded = || {
            let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
            if processor.contains("QEMU TCG") {
                EMULATED
            } else {
                1
            }
        };
        wished.unwrap_or_else(demanded).max(1)
    })
}

/// A stretch of the lab's time, as this machine's clock counts it.
#[must_use]
pub fn stretched(time: Duration) -> Duration {
    time * patience()
}

/// Looks again and again until `look` yields a value. An error ends the wait at once.
pub fn wait_for<T, E: From<LabError>>(
    what: &str,
    bound: Duration,
    mut look: impl FnMut() -> Result<Option<T>, E>,
) -> Result<T, E> {
    let bound = stretched(bound);
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
