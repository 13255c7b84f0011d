//! The 16-bit Lifetime field (RFC 5944, sections 3.3 and 3.4).

use std::time::Duration;

use crate::Lifetime;

const INFINITE: u16 = 0xffff;
const LONGEST: u16 = INFINITE - 1;

/// What the Lifetime field of a message means: 0 ends a binding, 0xffff is infinity, anything else
/// is seconds.
#[must_use]
pub const fn lifetime_from_wire(seconds: u16) -> Lifetime {
    match seconds {
        0 => Lifetime::Zero,
        INFINITE => Lifetime::Infinite,
        seconds => Lifetime::Finite(Duration::from_secs(seconds as u64)),
    }
}

/// The Lifetime field for this lifetime. A finite one never becomes zero or infinity: it is whole
/// seconds, rounded down, from 1 to 65,534.
#[must_use]
pub fn lifetime_to_wire(lifetime: Lifetime) -> u16 {
    match lifetime {
        Lifetime::Zero => 0,
        Lifetime::Infinite => INFINITE,
        Lifetime::Finite(duration) => u16::try_from(duration.as_secs())
            .unwrap_or(LONGEST)
            .clamp(1, LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_value_survives() {
        for seconds in 0..=u16::MAX {
            assert_eq!(lifetime_to_wire(lifetime_from_wire(seconds)), seconds);
        }
    }

    #[test]
    fn a_finite_lifetime_stays_finite() {
        assert_eq!(
            lifetime_to_wire(Lifetime::Finite(Duration::from_millis(3))),
            1
        );
        assert_eq!(lifetime_to_wire(Lifetime::Finite(Duration::MAX)), 65_534);
        assert_eq!(
            lifetime_to_wire(Lifetime::Finite(Duration::from_secs(65_535))),
            65_534
        );
    }
}
