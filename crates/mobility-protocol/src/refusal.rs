//! A home agent's "no", in the numbers of the protocol that carried it.

use std::fmt;

/// A home agent's code for its refusal, with the registry's name for it. The number belongs to the
/// protocol the request came in: a Code of Mobile IPv4 (RFC 5944, section 3.4) or a Status of Mobile
/// IPv6 (RFC 6275, section 6.1.8).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Refusal {
    /// The number.
    pub code: u8,
    /// What the registry calls it.
    pub name: Option<&'static str>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            Some(name) => write!(f, "{} ({name})", self.code),
            None => write!(f, "{}", self.code),
        }
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Refusal({self})")
    }
}
