//! By what two nodes that share a key tell a message from an old one.

/// The style of replay protection of a security association (RFC 5944, section 5.7). Messages of
/// Mobile IPv6 have timestamps whatever it says: there is no other (RFC 4285, section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayProtection {
    /// Each request says when it was sent (RFC 5944, section 5.7.1). A first one is good at once; the
    /// clocks have to agree, or the mobile node learns by how much they don't.
    Timestamps,
    /// Each request repeats a number that the last answer brought (RFC 5944, section 5.7.2). It takes no
    /// clock, and one round trip more where the home agent has forgotten the number, or was restarted.
    Nonces,
}

impl ReplayProtection {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Timestamps, Self::Nonces];

    /// The word that names it in configurations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timestamps => "timestamps",
            Self::Nonces => "nonces",
        }
    }
}
