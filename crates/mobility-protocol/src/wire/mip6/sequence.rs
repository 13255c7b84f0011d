//! The Sequence Number that orders a mobile node's updates (RFC 6275, sections 6.1.7 and 9.5.1).

use std::fmt;

use serde::{Deserialize, Serialize};

/// The Sequence Number of a Binding Update and its acknowledgement, compared modulo 65,536.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SequenceNumber(pub u16);

impl SequenceNumber {
    /// Whether this number is later than `other`, the last one accepted: one to 32,767 ahead of it.
    /// `other` itself and the 32,768 values before it are not.
    #[must_use]
    pub const fn is_after(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() > 0
    }

    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SequenceNumber({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_ordered_modulo_65536() {
        let last = SequenceNumber(15);
        let refused: Vec<u16> = (0..=u16::MAX)
            .filter(|number| !SequenceNumber(*number).is_after(last))
            .collect();
        let expected: Vec<u16> = (0..=15).chain(32_783..=u16::MAX).collect();
        assert_eq!(refused, expected, "RFC 6275, section 9.5.1");
        assert_eq!(refused.len(), 32_769);
    }

    #[test]
    fn goes_on_after_the_greatest() {
        let greatest = SequenceNumber(u16::MAX);
        assert_eq!(greatest.next(), SequenceNumber(0));
        assert!(greatest.next().is_after(greatest));
        assert!(!greatest.is_after(greatest.next()));
    }
}
