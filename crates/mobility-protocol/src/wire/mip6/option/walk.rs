//! The rules for a list of options: what comes once, and what ends a message.

use super::super::iana::AuthenticationSubtype;
use super::super::{DecodeError, OptionType};
use super::MobilityOption;
use super::frame::{Frame, Frames};

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
        | MobilityOption::KeyAgreement(_)
        | MobilityOption::Experimental(_)
        | MobilityOption::Vendor(_)
        | MobilityOption::ServiceSelection(_)
        | MobilityOption::HomeNetworkPrefix(_)
        | MobilityOption::BindingIdentifier(_)
        | MobilityOption::Opaque(_) => return None,
    };
    Some((option.option_type(), subtype))
}
