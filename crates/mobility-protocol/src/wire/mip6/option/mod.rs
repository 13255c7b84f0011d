//! Mobility options: what may follow the fixed part of a message (RFC 6275, section 6.2).

mod content;
mod frame;
mod list;
mod walk;

pub use content::{
    BindingIdentifier, DnsUpdate, Ipv4AddressAcknowledgement, Ipv4HomeAddress,
    MobileNodeIdentifier, NatDetection, NetworkPrefix, NonceIndices, VendorOption,
};
pub(crate) use frame::Frame;
pub use frame::MAX_OPTIONS;
pub use list::{Options, OptionsError};
pub(crate) use walk::Walk;

use std::net::{Ipv4Addr, Ipv6Addr};

use super::authentication::{Authentication, BindingAuthorization};
use super::{
    DecodeError, Identification, OptionType, Reader, lifetime_from_wire, lifetime_to_wire,
};
use crate::Lifetime;
use crate::wire::{KeyAgreement, Octets};

/// The octets of type and length.
const HEADER: usize = 2;
/// Messages are a multiple of this many octets.
const UNIT: usize = 8;

/// A mobility option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MobilityOption {
    /// So many octets of padding: one PadN (option 1), or a run of Pad1 (option 0).
    Padding(usize),
    /// Option 2: when the home agent would like to be asked again, in place of the end of the
    /// lifetime.
    BindingRefreshAdvice(Lifetime),
    /// Option 3: the care-of address, where it is said under an authenticator.
    AlternateCareOfAddress(Ipv6Addr),
    /// Option 4.
    NonceIndices(NonceIndices),
    /// Option 5.
    BindingAuthorization(BindingAuthorization),
    /// Option 6 (RFC 3963).
    MobileNetworkPrefix(NetworkPrefix),
    /// Option 8: who the mobile node is (RFC 4283).
    MobileNodeIdentifier(MobileNodeIdentifier),
    /// Option 9 (RFC 4285, section 5).
    Authentication(Authentication),
    /// Option 10: a timestamp against replay (RFC 4285, section 6).
    ReplayProtection(Identification),
    /// Option 11 (RFC 4866).
    CgaParametersRequest,
    /// Option 12 (RFC 4866).
    CgaParameters(Octets<255>),
    /// Option 13 (RFC 4866).
    Signature(Octets<255>),
    /// Option 14 (RFC 4866).
    PermanentHomeKeygenToken(Octets<255>),
    /// Option 15 (RFC 4866).
    CareOfTestInit,
    /// Option 16: a care-of keygen token (RFC 4866).
    CareOfTest(u64),
    /// Option 17 (RFC 5026).
    DnsUpdate(DnsUpdate),
    /// Option 18, where it is about a key (RFC 5096).
    KeyAgreement(KeyAgreement),
    /// Option 18, about anything else.
    Experimental(Octets<255>),
    /// Option 19 (RFC 5094).
    Vendor(VendorOption),
    /// Option 20: the service asked for (RFC 5149).
    ServiceSelection(Octets<255>),
    /// Option 22: the home address (RFC 5213, section 8.3). In a Binding Update, unspecified asks
    /// for one; in a Binding Acknowledgement it is the one the binding has.
    HomeNetworkPrefix(NetworkPrefix),
    /// Option 29 (RFC 5555).
    Ipv4HomeAddress(Ipv4HomeAddress),
    /// Option 30 (RFC 5555).
    Ipv4AddressAcknowledgement(Ipv4AddressAcknowledgement),
    /// Option 31 (RFC 5555).
    NatDetection(NatDetection),
    /// Option 32: the care-of address as the mobile node sees it (RFC 5555).
    Ipv4CareOfAddress(Ipv4Addr),
    /// Option 35 (RFC 5648).
    BindingIdentifier(BindingIdentifier),
    /// Anything else: it may be skipped.
    Opaque(Opaque),
}

/// An option whose content is not looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opaque {
    /// Its type, none of those that have a form of their own here.
    pub option_type: OptionType,
    /// Its content.
    pub data: Octets<255>,
}

impl MobilityOption {
    /// Its type.
    #[must_use]
    pub const fn option_type(&self) -> OptionType {
        match self {
            Self::Padding(1) => OptionType::PAD1,
            Self::Padding(_) => OptionType::PADN,
            Self::BindingRefreshAdvice(_) => OptionType::BINDING_REFRESH_ADVICE,
            Self::AlternateCareOfAddress(_) => OptionType::ALTERNATE_CARE_OF_ADDRESS,
            Self::NonceIndices(_) => OptionType::NONCE_INDICES,
            Self::BindingAuthorization(_) => OptionType::BINDING_AUTHORIZATION_DATA,
            Self::MobileNetworkPrefix(_) => OptionType::MOBILE_NETWORK_PREFIX,
            Self::MobileNodeIdentifier(_) => OptionType::MOBILE_NODE_IDENTIFIER,
            Self::Authentication(_) => OptionType::AUTHENTICATION,
            Self::ReplayProtection(_) => OptionType::REPLAY_PROTECTION,
            Self::CgaParametersRequest => OptionType::CGA_PARAMETERS_REQUEST,
            Self::CgaParameters(_) => OptionType::CGA_PARAMETERS,
            Self::Signature(_) => OptionType::SIGNATURE,
            Self::PermanentHomeKeygenToken(_) => OptionType::PERMANENT_HOME_KEYGEN_TOKEN,
            Self::CareOfTestInit => OptionType::CARE_OF_TEST_INIT,
            Self::CareOfTest(_) => OptionType::CARE_OF_TEST,
            Self::DnsUpdate(_) => OptionType::DNS_UPDATE,
            Self::KeyAgreement(_) | Self::Experimental(_) => OptionType::EXPERIMENTAL,
            Self::Vendor(_) => OptionType::VENDOR,
            Self::ServiceSelection(_) => OptionType::SERVICE_SELECTION,
            Self::HomeNetworkPrefix(_) => OptionType::HOME_NETWORK_PREFIX,
            Self::Ipv4HomeAddress(_) => OptionType::IPV4_HOME_ADDRESS,
            Self::Ipv4AddressAcknowledgement(_) => OptionType::IPV4_ADDRESS_ACKNOWLEDGEMENT,
            Self::NatDetection(_) => OptionType::NAT_DETECTION,
            Self::Ipv4CareOfAddress(_) => OptionType::IPV4_CARE_OF_ADDRESS,
            Self::BindingIdentifier(_) => OptionType::BINDING_IDENTIFIER,
            Self::Opaque(opaque) => opaque.option_type,
        }
    }

    pub(crate) fn decode(frame: &Frame<'_>) -> Result<Self, DecodeError> {
        Self::decode_content(frame).map_err(|reason| DecodeError::MalformedOption {
            option: frame.option_type,
            offset: frame.offset,
            length: frame.data.len(),
            reason,
        })
    }

    fn decode_content(frame: &Frame<'_>) -> Result<Self, &'static str> {
        let mut reader = Reader::new(frame.data);
        Ok(match frame.option_type {
            OptionType::PAD1 | OptionType::PADN => Self::Padding(frame.length()),
            OptionType::BINDING_REFRESH_ADVICE => Self::BindingRefreshAdvice(lifetime_from_wire(
                exactly(reader, Reader::u16).ok_or("2 octets")?,
            )),
            OptionType::ALTERNATE_CARE_OF_ADDRESS => {
                Self::AlternateCareOfAddress(exactly(reader, Reader::ipv6).ok_or("16 octets")?)
            }
            OptionType::NONCE_INDICES => {
                Self::NonceIndices(NonceIndices::decode(reader).ok_or("4 octets")?)
            }
            OptionType::BINDING_AUTHORIZATION_DATA => {
                Self::BindingAuthorization(BindingAuthorization::decode(frame)?)
            }
            OptionType::MOBILE_NETWORK_PREFIX => {
                Self::MobileNetworkPrefix(NetworkPrefix::decode(reader).ok_or("18 octets")?)
            }
            OptionType::MOBILE_NODE_IDENTIFIER => Self::MobileNodeIdentifier(
                MobileNodeIdentifier::decode(reader).ok_or("a subtype and an identifier")?,
            ),
            OptionType::AUTHENTICATION => Self::Authentication(Authentication::decode(frame)?),
            OptionType::REPLAY_PROTECTION => Self::ReplayProtection(Identification(
                exactly(reader, Reader::u64).ok_or("8 octets")?,
            )),
            OptionType::CGA_PARAMETERS_REQUEST => Self::nothing(frame, Self::CgaParametersRequest)?,
            OptionType::CGA_PARAMETERS => Self::CgaParameters(all(frame)?),
            OptionType::SIGNATURE => Self::Signature(all(frame)?),
            OptionType::PERMANENT_HOME_KEYGEN_TOKEN => Self::PermanentHomeKeygenToken(all(frame)?),
            OptionType::CARE_OF_TEST_INIT => Self::nothing(frame, Self::CareOfTestInit)?,
            OptionType::CARE_OF_TEST => {
                Self::CareOfTest(exactly(reader, Reader::u64).ok_or("8 octets")?)
            }
            OptionType::DNS_UPDATE => {
                Self::DnsUpdate(DnsUpdate::decode(reader).ok_or("at least 2 octets")?)
            }
            OptionType::EXPERIMENTAL => match KeyAgreement::decode(frame.data) {
                Some(element) => Self::KeyAgreement(element),
                None => Self::Experimental(all(frame)?),
            },
            OptionType::VENDOR => {
                Self::Vendor(VendorOption::decode(reader).ok_or("at least 5 octets")?)
            }
            OptionType::SERVICE_SELECTION => {
                reader.u8().ok_or("1 to 255 octets")?;
                Self::ServiceSelection(all(frame)?)
            }
            OptionType::HOME_NETWORK_PREFIX => {
                Self::HomeNetworkPrefix(NetworkPrefix::decode(reader).ok_or("18 octets")?)
            }
            OptionType::IPV4_HOME_ADDRESS => {
                Self::Ipv4HomeAddress(Ipv4HomeAddress::decode(reader).ok_or("6 octets")?)
            }
            OptionType::IPV4_ADDRESS_ACKNOWLEDGEMENT => Self::Ipv4AddressAcknowledgement(
                Ipv4AddressAcknowledgement::decode(reader).ok_or("6 octets")?,
            ),
            OptionType::NAT_DETECTION => {
                Self::NatDetection(NatDetection::decode(reader).ok_or("6 octets")?)
            }
            OptionType::IPV4_CARE_OF_ADDRESS => {
                reader.u16().ok_or("6 octets")?;
                Self::Ipv4CareOfAddress(exactly(reader, Reader::ipv4).ok_or("6 octets")?)
            }
            OptionType::BINDING_IDENTIFIER => Self::BindingIdentifier(
                BindingIdentifier::decode(reader).ok_or("4, 8 or 20 octets")?,
            ),
            option_type => Self::Opaque(Opaque {
                option_type,
                data: all(frame)?,
            }),
        })
    }

    fn nothing(frame: &Frame<'_>, option: Self) -> Result<Self, &'static str> {
        if frame.data.is_empty() {
            Ok(option)
        } else {
            Err("no content")
        }
    }

    /// The octets after type and length; padding is written by [`put_padding`] instead.
    fn data(&self) -> Vec<u8> {
        match self {
            Self::Padding(_) | Self::CgaParametersRequest | Self::CareOfTestInit => Vec::new(),
            Self::BindingRefreshAdvice(interval) => {
                lifetime_to_wire(*interval).to_be_bytes().to_vec()
            }
            Self::AlternateCareOfAddress(address) => address.octets().to_vec(),
            Self::NonceIndices(indices) => indices.data(),
            Self::BindingAuthorization(authorization) => authorization.authenticator.to_vec(),
            Self::MobileNetworkPrefix(prefix) | Self::HomeNetworkPrefix(prefix) => prefix.data(),
            Self::MobileNodeIdentifier(identifier) => identifier.data(),
            Self::Authentication(authentication) => authentication.data(),
            Self::ReplayProtection(timestamp) => timestamp.0.to_be_bytes().to_vec(),
            Self::CgaParameters(data)
            | Self::Signature(data)
            | Self::PermanentHomeKeygenToken(data)
            | Self::Experimental(data)
            | Self::ServiceSelection(data) => data.to_vec(),
            Self::KeyAgreement(element) => element.data(),
            Self::CareOfTest(token) => token.to_be_bytes().to_vec(),
            Self::DnsUpdate(update) => update.data(),
            Self::Vendor(vendor) => vendor.data(),
            Self::Ipv4HomeAddress(address) => address.data(),
            Self::Ipv4AddressAcknowledgement(acknowledgement) => acknowledgement.data(),
            Self::NatDetection(detection) => detection.data(),
            Self::Ipv4CareOfAddress(address) => [&[0, 0][..], &address.octets()].concat(),
            Self::BindingIdentifier(identifier) => identifier.data(),
            Self::Opaque(opaque) => opaque.data.to_vec(),
        }
    }

    /// The octets of the whole option.
    fn length(&self) -> usize {
        if let Self::Padding(octets) = self {
            *octets
        } else {
            HEADER + self.data().len()
        }
    }

    fn encode(&self, octets: &mut Vec<u8>) {
        if let Self::Padding(count) = self {
            put_padding(octets, *count);
        } else {
            put(octets, self.option_type(), &self.data());
        }
    }
}

/// Where an option with this many octets may begin: `(x, y)` for the notation "xn+y", counted from
/// the beginning of the message.
const fn alignment(option_type: OptionType, length: usize) -> (usize, usize) {
    match option_type {
        OptionType::BINDING_REFRESH_ADVICE | OptionType::NONCE_INDICES => (2, 0),
        OptionType::ALTERNATE_CARE_OF_ADDRESS => (8, 6),
        // Nothing may follow them, not even padding: they end with the message.
        OptionType::BINDING_AUTHORIZATION_DATA | OptionType::AUTHENTICATION => {
            (UNIT, (UNIT - length % UNIT) % UNIT)
        }
        OptionType::MOBILE_NETWORK_PREFIX | OptionType::HOME_NETWORK_PREFIX => (8, 4),
        OptionType::REPLAY_PROTECTION | OptionType::TIMESTAMP => (8, 2),
        OptionType::VENDOR => (4, 2),
        OptionType::IPV4_HOME_ADDRESS
        | OptionType::IPV4_ADDRESS_ACKNOWLEDGEMENT
        | OptionType::NAT_DETECTION
        | OptionType::IPV4_CARE_OF_ADDRESS => (4, 0),
        OptionType::BINDING_IDENTIFIER if length > HEADER + 4 => (8, 2),
        OptionType::BINDING_IDENTIFIER => (2, 0),
        _ => (1, 0),
    }
}

/// The padding an option with this many octets needs before it when `offset` octets of the message
/// are before that.
const fn padding(offset: usize, option_type: OptionType, length: usize) -> usize {
    let (step, remainder) = alignment(option_type, length);
    (remainder + step - offset % step) % step
}

/// Fills a message up so that one more option of this type, with this many octets in all, may begin.
pub(super) fn align(octets: &mut Vec<u8>, option_type: OptionType, length: usize) {
    let padding = padding(octets.len(), option_type, length);
    put_padding(octets, padding);
}

/// Fills a message up to its end.
pub(super) fn align_end(octets: &mut Vec<u8>) {
    let padding = octets.len().next_multiple_of(UNIT) - octets.len();
    put_padding(octets, padding);
}

/// Every caller's content fits by its type; `take` keeps length and content in step regardless.
fn put(octets: &mut Vec<u8>, option_type: OptionType, data: &[u8]) {
    let length = u8::try_from(data.len()).unwrap_or(u8::MAX);
    octets.extend([option_type.0, length]);
    octets.extend(data.iter().take(usize::from(length)));
}

fn put_padding(octets: &mut Vec<u8>, mut count: usize) {
    const LONGEST: usize = HEADER + 255;
    while count > 0 {
        let padding = count.min(LONGEST);
        match padding {
            1 => octets.push(OptionType::PAD1.0),
            _ => {
                let end = octets.len() + padding;
                octets.push(OptionType::PADN.0);
                octets.push(u8::try_from(padding - HEADER).unwrap_or(u8::MAX));
                octets.resize(end, 0);
            }
        }
        count -= padding;
    }
}

fn all(frame: &Frame<'_>) -> Result<Octets<255>, &'static str> {
    Octets::new(frame.data).map_err(|_| "at most 255 octets")
}

/// What is read, if nothing is left.
fn exactly<'a, T>(
    mut reader: Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Option<T>,
) -> Option<T> {
    let value = read(&mut reader)?;
    reader.is_empty().then_some(value)
}
