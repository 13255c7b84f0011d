//! What a mobile node and one home agent know each other by, before they speak.

use crate::security::{PublicKey, SecurityAssociation};

/// What a mobile node has for a home agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Keys they share, at least one. While one is being changed the home agent may know either only.
    Associations {
        /// The one to use if the home agent does.
        preferred: SecurityAssociation,
        /// The others, with other indices, in the order in which they are tried.
        others: Vec<SecurityAssociation>,
    },
    /// Nothing yet: a key is agreed on at first contact.
    Agreement {
        /// The only home agent to agree with: the one that has this key. `None` takes whoever
        /// answers first.
        pinned: Option<Pin>,
    },
}

/// The key that a home agent must have, and who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// The operator of this host, for whatever leads to that home agent.
    Configured(PublicKey),
    /// Whoever answers for the name that was looked up. Nobody has to believe that of other names.
    Published(PublicKey),
}

impl Pin {
    /// The key.
    #[must_use]
    pub const fn key(self) -> PublicKey {
        match self {
            Self::Configured(key) | Self::Published(key) => key,
        }
    }
}

impl Credentials {
    /// What to use for a binding that several names share: what is configured for one of them counts for
    /// all.
    #[must_use]
    pub fn or_stricter(self, other: Self) -> Self {
        if other.strictness() > self.strictness() {
            other
        } else {
            self
        }
    }

    const fn strictness(&self) -> u8 {
        match self {
            Self::Agreement { pinned: None } => 0,
            Self::Agreement {
                pinned: Some(Pin::Published(_)),
            } => 1,
            Self::Agreement {
                pinned: Some(Pin::Configured(_)),
            } => 2,
            Self::Associations { .. } => 3,
        }
    }

    /// What whoever has only these insists on.
    pub(super) const fn terms(&self) -> Terms {
        match self {
            Self::Associations { .. } => Terms::Shared,
            Self::Agreement { pinned } => Terms::Agreed(*pinned),
        }
    }
}

/// What a mobile node insists on: it is for them that a home agent fails, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Terms {
    Shared,
    Agreed(Option<Pin>),
}

impl From<SecurityAssociation> for Credentials {
    fn from(association: SecurityAssociation) -> Self {
        Self::Associations {
            preferred: association,
            others: Vec::new(),
        }
    }
}
