//! The options of one message, and what a machine asks of them.

use std::net::Ipv6Addr;

use super::super::header::MAX_LENGTH;
use super::super::iana::AuthenticationSubtype;
use super::super::{DecodeError, Identification};
use super::walk::Walk;
use super::{
    Authentication, BindingAuthorization, Ipv4AddressAcknowledgement, Ipv4HomeAddress,
    MobilityOption, NatDetection, NonceIndices, padding,
};
use crate::security::{Cookie, PublicKey, ResumptionToken};
use crate::wire::KeyAgreement;
use crate::{Identity, Lifetime};

/// What is kept free for an authentication option and the padding before it.
const RESERVE: usize = 32;

/// The options of a message whose fixed part has `START` octets, in order, with the padding between
/// them: never more than a message has room for beside its authentication, so that encoding can't
/// fail.
///
/// Nothing may follow the options that authenticate a message, so all others are covered by them.
/// Two lists that differ only in padding are equal.
#[derive(Debug, Clone, Default)]
pub struct Options<const START: usize> {
    list: Vec<MobilityOption>,
    /// The octets they take.
    length: usize,
}

/// More options than a message has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these options take {length} octets, a message has room for {max}")]
pub struct OptionsError {
    /// How many octets they would take.
    pub length: usize,
    /// How many there is room for.
    pub max: usize,
}

impl<const START: usize> Options<START> {
    /// The octets there is room for.
    pub const MAX_LENGTH: usize = MAX_LENGTH - RESERVE - START;

    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            list: Vec::new(),
            length: 0,
        }
    }

    /// All of them, padding included.
    #[must_use]
    pub fn as_slice(&self) -> &[MobilityOption] {
        &self.list
    }

    /// Those that are no padding.
    pub fn iter(&self) -> impl Iterator<Item = &MobilityOption> {
        self.list
            .iter()
            .filter(|option| !matches!(option, MobilityOption::Padding(_)))
    }

    /// Adds one at the end, after the padding its alignment asks for.
    ///
    /// # Errors
    /// [`OptionsError`] when there is no room for it; the list is as it was then.
    pub fn push(&mut self, option: MobilityOption) -> Result<(), OptionsError> {
        let offset = START + self.length;
        let before = padding(offset, option.option_type(), option.length());
        let length = self.length + before + option.length();
        if length > Self::MAX_LENGTH {
            return Err(OptionsError {
                length,
                max: Self::MAX_LENGTH,
            });
        }
        if before > 0 {
            self.list.push(MobilityOption::Padding(before));
        }
        self.list.push(option);
        self.length = length;
        Ok(())
    }

    /// The Network Access Identifier of the mobile node (RFC 4283).
    #[must_use]
    pub fn nai(&self) -> Option<Identity> {
        self.find(|option| {
            if let MobilityOption::MobileNodeIdentifier(identifier) = option {
                identifier.identity()
            } else {
                None
            }
        })
    }

    /// The home address asked for or assigned: the one home network prefix of length 128.
    /// Unspecified asks for one. Several say nothing that could be relied on, like none.
    #[must_use]
    pub fn home_address(&self) -> Option<Ipv6Addr> {
        let mut found = self.list.iter().filter_map(|option| {
            if let MobilityOption::HomeNetworkPrefix(prefix) = option {
                Some(prefix)
            } else {
                None
            }
        });
        let first = found.next()?;
        found.next().is_none().then(|| first.address())?
    }

    /// The care-of address, where an option says it.
    #[must_use]
    pub fn alternate_care_of_address(&self) -> Option<Ipv6Addr> {
        self.find(|option| {
            if let MobilityOption::AlternateCareOfAddress(address) = option {
                Some(*address)
            } else {
                None
            }
        })
    }

    /// What authenticates the message between mobile node and home agent (RFC 4285).
    #[must_use]
    pub fn mn_ha_authentication(&self) -> Option<&Authentication> {
        self.authentication(AuthenticationSubtype::MN_HA)
    }

    /// What authenticates the message between mobile node and its AAA server (RFC 4285).
    #[must_use]
    pub fn mn_aaa_authentication(&self) -> Option<&Authentication> {
        self.authentication(AuthenticationSubtype::MN_AAA)
    }

    /// What authenticates the message after a return routability test (RFC 6275).
    #[must_use]
    pub fn binding_authorization(&self) -> Option<&BindingAuthorization> {
        self.find(|option| {
            if let MobilityOption::BindingAuthorization(authorization) = option {
                Some(authorization)
            } else {
                None
            }
        })
    }

    /// Which nonces made the key of [`Options::binding_authorization`].
    #[must_use]
    pub fn nonce_indices(&self) -> Option<NonceIndices> {
        self.find(|option| {
            if let MobilityOption::NonceIndices(indices) = option {
                Some(*indices)
            } else {
                None
            }
        })
    }

    /// The public key of the sender.
    #[must_use]
    pub fn key_share(&self) -> Option<PublicKey> {
        self.key_agreement(KeyAgreement::key_share)
    }

    /// The cookie of the home agent.
    #[must_use]
    pub fn cookie(&self) -> Option<Cookie> {
        self.key_agreement(KeyAgreement::cookie)
    }

    /// What a mobile node that comes back has of the home agent.
    #[must_use]
    pub fn resumption_token(&self) -> Option<ResumptionToken> {
        self.key_agreement(KeyAgreement::resumption_token)
    }

    /// The timestamp against replay (RFC 4285).
    #[must_use]
    pub fn replay_protection(&self) -> Option<Identification> {
        self.find(|option| {
            if let MobilityOption::ReplayProtection(timestamp) = option {
                Some(*timestamp)
            } else {
                None
            }
        })
    }

    /// When the home agent would like to be asked again.
    #[must_use]
    pub fn refresh_advice(&self) -> Option<Lifetime> {
        self.find(|option| {
            if let MobilityOption::BindingRefreshAdvice(interval) = option {
                Some(*interval)
            } else {
                None
            }
        })
    }

    /// The IPv4 home address asked for or named (RFC 5555).
    #[must_use]
    pub fn ipv4_home_address(&self) -> Option<Ipv4HomeAddress> {
        self.find(|option| {
            if let MobilityOption::Ipv4HomeAddress(address) = option {
                Some(*address)
            } else {
                None
            }
        })
    }

    /// The answer about an IPv4 home address (RFC 5555).
    #[must_use]
    pub fn ipv4_address_acknowledgement(&self) -> Option<Ipv4AddressAcknowledgement> {
        self.find(|option| {
            if let MobilityOption::Ipv4AddressAcknowledgement(acknowledgement) = option {
                Some(*acknowledgement)
            } else {
                None
            }
        })
    }

    /// Whether the home agent saw a translator (RFC 5555).
    #[must_use]
    pub fn nat_detection(&self) -> Option<NatDetection> {
        self.find(|option| {
            if let MobilityOption::NatDetection(detection) = option {
                Some(*detection)
            } else {
                None
            }
        })
    }

    /// Those of `message`, from the end of its fixed part to its own.
    pub(in super::super) fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        let list = Walk::new(message, START)
            .map(|item| item.map(|(_, option)| option))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            list,
            length: message.len().saturating_sub(START),
        })
    }

    pub(in super::super) fn encode(&self, octets: &mut Vec<u8>) {
        for option in &self.list {
            option.encode(octets);
        }
    }

    /// The first element of a key agreement that says this.
    fn key_agreement<T>(&self, read: impl Fn(&KeyAgreement) -> Option<T>) -> Option<T> {
        self.find(|option| {
            if let MobilityOption::KeyAgreement(element) = option {
                read(element)
            } else {
                None
            }
        })
    }

    fn authentication(&self, subtype: AuthenticationSubtype) -> Option<&Authentication> {
        self.find(|option| {
            if let MobilityOption::Authentication(authentication) = option
                && authentication.subtype == subtype
            {
                Some(authentication)
            } else {
                None
            }
        })
    }

    fn find<'a, T>(&'a self, read: impl FnMut(&'a MobilityOption) -> Option<T>) -> Option<T> {
        self.list.iter().find_map(read)
    }
}

impl<const START: usize> PartialEq for Options<START> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<const START: usize> Eq for Options<START> {}

impl<const START: usize> TryFrom<Vec<MobilityOption>> for Options<START> {
    type Error = OptionsError;

    fn try_from(list: Vec<MobilityOption>) -> Result<Self, OptionsError> {
        let mut options = Self::new();
        for option in list {
            options.push(option)?;
        }
        Ok(options)
    }
}
