//! The 16-bit Lifetime field, in units of four seconds (RFC 6275, section 6.1.7).

use std::time::Duration;

use crate::Lifetime;

/// The seconds of one unit.
const UNIT: u64 = 4;

/// What the Lifetime field of a message means: 0 ends a binding, anything else counts four seconds
/// each. There is no infinity.
#[must_use]
pub const fn lifetime_from_wire(units: u16) -> Lifetime {
    match units {
        0 => Lifetime::Zero,
        units => Lifetime::Finite(Duration::from_secs(units as u64 * UNIT)),
    }
}

/// The Lifetime field for this lifetime: whole units, rounded down, but a finite one never becomes
/// zero. What is longer than the field can say, infinity included, becomes the longest it can:
/// 65,535 units, three days and 49 minutes.
#[must_use]
pub fn lifetime_to_wire(lifetime: Lifetime) -> u16 {
    match lifetime {
        Lifetime::Zero => 0,
        Lifetime::Infinite => u16::MAX,
        Lifetime::Finite(duration) => u16::try_from(duration.as_secs() / UNIT)
            .unwrap_or(u16::MAX)
            .max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Lifetime {
        Lifetime::Finite(Duration::from_secs(seconds))
    }

    #[test]
    fn every_field_value_survives() {
        for units in 0..=u16::MAX {
            assert_eq!(lifetime_to_wire(lifetime_from_wire(units)), units);
        }
    }

    #[test]
    fn a_finite_lifetime_is_rounded_down_but_never_to_nothing() {
        assert_eq!(lifetime_to_wire(seconds(600)), 150);
        assert_eq!(lifetime_to_wire(seconds(603)), 150);
        assert_eq!(lifetime_to_wire(seconds(1)), 1);
        assert_eq!(lifetime_to_wire(seconds(262_140)), u16::MAX);
        assert_eq!(lifetime_to_wire(Lifetime::Finite(Duration::MAX)), u16::MAX);
    }

    #[test]
    fn there_is_no_infinity() {
        assert_eq!(lifetime_to_wire(Lifetime::Infinite), u16::MAX);
        assert_eq!(lifetime_from_wire(u16::MAX), seconds(262_140));
    }
}
