//! The options of one message, and what a machine asks of them.

use std::net::Ipv6Addr;

use super::super::header::MAX_LENGTH;
use super::super::iana::AuthenticationSubtype;
use super::super::{DecodeError, Identification, OptionType};
use super::frame::{Frame, Frames};
use super::{
    Authentication, BindingAuthorization, Ipv4AddressAcknowledgement, Ipv4HomeAddress,
    MobilityOption, NatDetection, NonceIndices, padding,
};
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

/// The options of a message, decoded one after the other by the rules for a list of them. Ends after
/// the first error.
pub(crate) struct Walk<'a> {
    frames: Frames<'a>,
    state: State,
    /// The types seen that must not come again.
    seen: Vec<OnlyOnce>,
}

/// What a message has at most one of.
type OnlyOnce = (OptionType, u8);

enum State {
    /// Not authenticated yet.
    Open,
    /// Behind an MN-HA authentication: only an MN-AAA one may follow, with padding before it.
    MobileHome {
        /// Where the first padding begins.
        padding: Option<(OptionType, usize)>,
    },
    /// Behind the last option there may be.
    Closed,
}

impl<'a> Walk<'a> {
    /// Those that begin at `offset` of `message`.
    pub(crate) const fn new(message: &'a [u8], offset: usize) -> Self {
        Self {
            frames: Frames::new(message, offset),
            state: State::Open,
            seen: Vec::new(),
        }
    }

    fn accept(&mut self, frame: Frame<'a>) -> Result<(Frame<'a>, MobilityOption), DecodeError> {
        let (option_type, offset) = (frame.option_type, frame.offset);
        let follows = Err(DecodeError::OptionAfterAuthentication {
            option: option_type,
            offset,
        });
        let option = MobilityOption::decode(&frame)?;
        let authentication = if let MobilityOption::Authentication(authentication) = &option {
            Some(authentication.subtype)
        } else {
            None
        };
        match &mut self.state {
            State::Open => {}
            State::MobileHome { padding } => match (&option, authentication) {
                (MobilityOption::Padding(_), _) => {
                    padding.get_or_insert((option_type, offset));
                }
                (_, Some(AuthenticationSubtype::MN_AAA)) => {}
                _ => return follows,
            },
            State::Closed => return follows,
        }
        if let Some(once) = only_once(&option) {
            if self.seen.contains(&once) {
                return Err(DecodeError::RepeatedOption {
                    option: option_type,
                    offset,
                });
            }
            self.seen.push(once);
        }
        match (&option, authentication) {
            (_, Some(AuthenticationSubtype::MN_HA)) => {
                self.state = State::MobileHome { padding: None };
            }
            (_, Some(_)) | (MobilityOption::BindingAuthorization(_), _) => {
                self.state = State::Closed;
            }
            _ => {}
        }
        Ok((frame, option))
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Result<(Frame<'a>, MobilityOption), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.frames.next() {
            Some(Ok(frame)) => Some(self.accept(frame)),
            Some(Err(error)) => {
                self.state = State::Closed;
                Some(Err(error))
            }
            // The padding had nothing to go before.
            None => match std::mem::replace(&mut self.state, State::Closed) {
                State::MobileHome {
                    padding: Some((option, offset)),
                } => Some(Err(DecodeError::OptionAfterAuthentication {
                    option,
                    offset,
                })),
                State::MobileHome { padding: None } | State::Open | State::Closed => None,
            },
        }
    }
}

/// The type, and the subtype where there may be one of each; `None` for those there may be several
/// of.
const fn only_once(option: &MobilityOption) -> Option<OnlyOnce> {
    let subtype = match option {
        MobilityOption::Authentication(authentication) => authentication.subtype.0,
        MobilityOption::MobileNodeIdentifier(identifier) => identifier.subtype.0,
        MobilityOption::BindingRefreshAdvice(_)
        | MobilityOption::AlternateCareOfAddress(_)
        | MobilityOption::NonceIndices(_)
        | MobilityOption::BindingAuthorization(_)
        | MobilityOption::ReplayProtection(_)
        | MobilityOption::CareOfTestInit
        | MobilityOption::CareOfTest(_)
        | MobilityOption::Ipv4HomeAddress(_)
        | MobilityOption::Ipv4AddressAcknowledgement(_)
        | MobilityOption::NatDetection(_)
        | MobilityOption::Ipv4CareOfAddress(_) => 0,
        MobilityOption::Padding(_)
        | MobilityOption::MobileNetworkPrefix(_)
        | MobilityOption::CgaParametersRequest
        | MobilityOption::CgaParameters(_)
        | MobilityOption::Signature(_)
        | MobilityOption::PermanentHomeKeygenToken(_)
        | MobilityOption::DnsUpdate(_)
        | MobilityOption::Experimental(_)
        | MobilityOption::Vendor(_)
        | MobilityOption::ServiceSelection(_)
        | MobilityOption::HomeNetworkPrefix(_)
        | MobilityOption::BindingIdentifier(_)
        | MobilityOption::Opaque(_) => return None,
    };
    Some((option.option_type(), subtype))
}
