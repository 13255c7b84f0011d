//! Mobile IPv6 signalling: the Mobility Header of RFC 6275 and what grew around it.
//!
//! # From octets to a message and back
//!
//! 1. What arrived becomes a [`Packet`]. A protocol 135 socket hands out the message itself, so the
//!    packet is put together from the socket's addresses:
//!    `Packet { source, destination, home_address: None, routing_address: None, message }`. What
//!    arrives at UDP port [`PORT`] is an IPv6 packet of its own, or a tunnelled one:
//!    [`Packet::decode`] of the payload tells them apart.
//! 2. [`Packet::message`] verifies the checksum and decodes. [`Message::decode`] leaves the checksum
//!    out.
//! 3. Of a [`BindingUpdate`], [`BindingUpdate::addresses`] says which home address and care-of address
//!    it is about, wherever they stand; an unspecified home address asks for one. They and the octets
//!    as they arrived are what its authenticator covers:
//!    `update.options.mn_ha_authentication()?.is_valid(&association, &addresses, packet.message)`.
//! 4. The answer names the assigned home address in a home network prefix option
//!    ([`NetworkPrefix::of_address`]). [`BindingAcknowledgement::encode`] ends it with an
//!    authenticator over the same addresses, with the assigned home address, and fills in the checksum
//!    for the addresses it is sent between. A protocol 135 socket takes these octets. For UDP,
//!    [`Packet::encode`] puts the IPv6 header before them.
//! 5. The mobile node checks the answer in the same way with [`BindingAcknowledgement::addresses`].

mod acknowledgement;
mod authentication;
mod binding_error;
mod checksum;
mod error;
mod header;
pub mod iana;
mod lifetime;
mod option;
mod packet;
mod refresh_request;
mod return_routability;
mod sequence;
mod update;

pub use acknowledgement::{AcknowledgementFlags, BindingAcknowledgement};
pub use authentication::{Authentication, BindingAddresses, BindingAuthorization};
pub use binding_error::BindingError;
pub use checksum::PseudoHeader;
pub use error::DecodeError;
pub use header::{MAX_LENGTH, NO_NEXT_HEADER};
pub use iana::{MessageType, OptionType, Status};
pub use lifetime::{lifetime_from_wire, lifetime_to_wire};
pub use option::{
    BindingIdentifier, DnsUpdate, Ipv4AddressAcknowledgement, Ipv4HomeAddress, MAX_OPTIONS,
    MobileNodeIdentifier, MobilityOption, NatDetection, NetworkPrefix, NonceIndices, Opaque,
    Options, OptionsError, VendorOption,
};
pub(crate) use option::{Frame, Walk};
pub use packet::{Packet, PacketError};
pub use refresh_request::BindingRefreshRequest;
pub use return_routability::{
    BindingManagementKey, Test, TestInit, care_of_keygen_token, home_keygen_token,
};
pub use sequence::SequenceNumber;
pub use update::{BindingUpdate, UpdateFlags};

pub use super::identification::Identification;
use super::octets::Reader;

/// The IPv6 next header value of the Mobility Header.
pub const PROTOCOL: u8 = 135;

/// The UDP port of Mobile IPv6 in UDP: messages and tunnelled packets (RFC 5555, section 4.1).
pub const PORT: u16 = 4191;

/// A Mobility Header message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Type 0.
    BindingRefreshRequest(BindingRefreshRequest),
    /// Type 1.
    HomeTestInit(TestInit),
    /// Type 2.
    CareOfTestInit(TestInit),
    /// Type 3.
    HomeTest(Test),
    /// Type 4.
    CareOfTest(Test),
    /// Type 5.
    BindingUpdate(BindingUpdate),
    /// Type 6.
    BindingAcknowledgement(BindingAcknowledgement),
    /// Type 7.
    BindingError(BindingError),
}

impl Message {
    /// The message in these octets, from the first one of the Mobility Header to its last.
    ///
    /// Options of unknown types are kept as [`MobilityOption::Opaque`]. Nothing is verified here:
    /// see [`Packet::message`] and [`Options::mn_ha_authentication`].
    ///
    /// # Errors
    /// [`DecodeError`] says what is wrong with the octets, and where.
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        let message_type = header::decode(message)?;
        match message_type {
            MessageType::BINDING_REFRESH_REQUEST => {
                BindingRefreshRequest::decode(message).map(Self::BindingRefreshRequest)
            }
            MessageType::HOME_TEST_INIT => {
                TestInit::decode(message, message_type).map(Self::HomeTestInit)
            }
            MessageType::CARE_OF_TEST_INIT => {
                TestInit::decode(message, message_type).map(Self::CareOfTestInit)
            }
            MessageType::HOME_TEST => Test::decode(message, message_type).map(Self::HomeTest),
            MessageType::CARE_OF_TEST => Test::decode(message, message_type).map(Self::CareOfTest),
            MessageType::BINDING_UPDATE => BindingUpdate::decode(message).map(Self::BindingUpdate),
            MessageType::BINDING_ACKNOWLEDGEMENT => {
                BindingAcknowledgement::decode(message).map(Self::BindingAcknowledgement)
            }
            MessageType::BINDING_ERROR => BindingError::decode(message).map(Self::BindingError),
            other => Err(DecodeError::UnknownMessageType(other)),
        }
    }

    /// The message in these octets without its options, and where those begin.
    pub(crate) fn decode_fixed(message: &[u8]) -> Result<(Self, usize), DecodeError> {
        let message_type = header::decode(message)?;
        Ok(match message_type {
            MessageType::BINDING_REFRESH_REQUEST => (
                Self::BindingRefreshRequest(BindingRefreshRequest::decode_fixed(message)?),
                BindingRefreshRequest::FIXED_LENGTH,
            ),
            MessageType::HOME_TEST_INIT => (
                Self::HomeTestInit(TestInit::decode_fixed(message, message_type)?),
                TestInit::FIXED_LENGTH,
            ),
            MessageType::CARE_OF_TEST_INIT => (
                Self::CareOfTestInit(TestInit::decode_fixed(message, message_type)?),
                TestInit::FIXED_LENGTH,
            ),
            MessageType::HOME_TEST => (
                Self::HomeTest(Test::decode_fixed(message, message_type)?),
                Test::FIXED_LENGTH,
            ),
            MessageType::CARE_OF_TEST => (
                Self::CareOfTest(Test::decode_fixed(message, message_type)?),
                Test::FIXED_LENGTH,
            ),
            MessageType::BINDING_UPDATE => (
                Self::BindingUpdate(BindingUpdate::decode_fixed(message)?),
                BindingUpdate::FIXED_LENGTH,
            ),
            MessageType::BINDING_ACKNOWLEDGEMENT => (
                Self::BindingAcknowledgement(BindingAcknowledgement::decode_fixed(message)?),
                BindingAcknowledgement::FIXED_LENGTH,
            ),
            MessageType::BINDING_ERROR => (
                Self::BindingError(BindingError::decode_fixed(message)?),
                BindingError::FIXED_LENGTH,
            ),
            other => return Err(DecodeError::UnknownMessageType(other)),
        })
    }

    /// The octets of this message between these addresses, authentication options included as they
    /// stand in its list. To compute one, use the `encode` of the message itself.
    #[must_use]
    pub fn encode(&self, pseudo_header: &PseudoHeader) -> Vec<u8> {
        let message_type = self.message_type();
        match self {
            Self::BindingRefreshRequest(request) => request.encode(pseudo_header),
            Self::HomeTestInit(init) | Self::CareOfTestInit(init) => {
                init.encode(message_type, pseudo_header)
            }
            Self::HomeTest(test) | Self::CareOfTest(test) => {
                test.encode(message_type, pseudo_header)
            }
            Self::BindingUpdate(update) => update.encode_unauthenticated(pseudo_header),
            Self::BindingAcknowledgement(acknowledgement) => {
                acknowledgement.encode_unauthenticated(pseudo_header)
            }
            Self::BindingError(error) => error.encode(pseudo_header),
        }
    }

    /// Its type.
    #[must_use]
    pub const fn message_type(&self) -> MessageType {
        match self {
            Self::BindingRefreshRequest(_) => MessageType::BINDING_REFRESH_REQUEST,
            Self::HomeTestInit(_) => MessageType::HOME_TEST_INIT,
            Self::CareOfTestInit(_) => MessageType::CARE_OF_TEST_INIT,
            Self::HomeTest(_) => MessageType::HOME_TEST,
            Self::CareOfTest(_) => MessageType::CARE_OF_TEST,
            Self::BindingUpdate(_) => MessageType::BINDING_UPDATE,
            Self::BindingAcknowledgement(_) => MessageType::BINDING_ACKNOWLEDGEMENT,
            Self::BindingError(_) => MessageType::BINDING_ERROR,
        }
    }

    /// Its options, padding included.
    #[must_use]
    pub fn options(&self) -> &[MobilityOption] {
        match self {
            Self::BindingRefreshRequest(request) => request.options.as_slice(),
            Self::HomeTestInit(init) | Self::CareOfTestInit(init) => init.options.as_slice(),
            Self::HomeTest(test) | Self::CareOfTest(test) => test.options.as_slice(),
            Self::BindingUpdate(update) => update.options.as_slice(),
            Self::BindingAcknowledgement(acknowledgement) => acknowledgement.options.as_slice(),
            Self::BindingError(error) => error.options.as_slice(),
        }
    }
}

#[cfg(test)]
mod tests;
