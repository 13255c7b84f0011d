//! Mobile IPv4 signalling on UDP port 434: RFC 5944 registration and what grew around it.
//!
//! [`Message::decode`] takes the UDP payload. Each message struct encodes itself; those that carry
//! authentication do it with a [`SecurityAssociation`](crate::security::SecurityAssociation).

mod authentication;
mod error;
mod extension;
pub mod iana;
mod lifetime;
mod reply;
mod request;
mod return_routability;
mod revocation;
mod tunnel_data;

pub use authentication::{Authentication, AuthenticationKind, MobileCorrespondentAuthentication};
pub use error::DecodeError;
pub use extension::{
    DynamicHomeAgent, DynamicHomeAgentLayout, DynamicHomeAgentRole, Extension, Extensions, Framing,
    MAX_EXTENSIONS, MobileNetworkAcknowledgement, MobileNetworkRequest, Opaque, OpaqueContent,
    RevocationSupport, UdpTunnelReply, UdpTunnelRequest, VendorExtension,
};
pub(crate) use extension::{Frame, Frames};
pub use iana::{ExtensionType, MessageType, ReplyCode};
pub use lifetime::{lifetime_from_wire, lifetime_to_wire};
pub use reply::{Origin, RegistrationReply};
pub use request::{RegistrationRequest, RequestFlags};
pub use return_routability::{Test, TestInit};
pub use revocation::{Revocation, RevocationAcknowledgement};
pub use tunnel_data::TunnelData;

pub use super::identification::Identification;
use super::octets::Reader;

/// The UDP port of Mobile IPv4 signalling (RFC 5944, section 3.2).
pub const PORT: u16 = 434;

/// A message on UDP port 434.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Type 1: a Binding Update.
    RegistrationRequest(RegistrationRequest),
    /// Type 3: a Binding Acknowledgement.
    RegistrationReply(RegistrationReply),
    /// Type 4: a packet tunnelled in UDP.
    TunnelData(TunnelData),
    /// Type 7.
    Revocation(Revocation),
    /// Type 15.
    RevocationAcknowledgement(RevocationAcknowledgement),
    /// Type 24.
    HomeTestInit(TestInit),
    /// Type 25.
    CareOfTestInit(TestInit),
    /// Type 26.
    HomeTest(Test),
    /// Type 27.
    CareOfTest(Test),
}

impl Message {
    /// The message in these octets, the payload of a UDP datagram from or to port 434.
    ///
    /// Extensions of unknown skippable types are kept as [`Extension::Opaque`]. Nothing is verified
    /// here: see [`Extensions::mobile_home_authentication`].
    ///
    /// # Errors
    /// [`DecodeError`] says what is wrong with the octets, and where.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let message_type = MessageType(Reader::new(payload).u8().ok_or(DecodeError::Empty)?);
        match message_type {
            MessageType::REGISTRATION_REQUEST => {
                RegistrationRequest::decode(payload).map(Self::RegistrationRequest)
            }
            MessageType::REGISTRATION_REPLY => {
                RegistrationReply::decode(payload).map(Self::RegistrationReply)
            }
            MessageType::TUNNEL_DATA => TunnelData::decode(payload).map(Self::TunnelData),
            MessageType::REVOCATION => Revocation::decode(payload).map(Self::Revocation),
            MessageType::REVOCATION_ACKNOWLEDGEMENT => {
                RevocationAcknowledgement::decode(payload).map(Self::RevocationAcknowledgement)
            }
            MessageType::HOME_TEST_INIT => TestInit::decode(payload).map(Self::HomeTestInit),
            MessageType::CARE_OF_TEST_INIT => TestInit::decode(payload).map(Self::CareOfTestInit),
            MessageType::HOME_TEST => Test::decode(payload).map(Self::HomeTest),
            MessageType::CARE_OF_TEST => Test::decode(payload).map(Self::CareOfTest),
            other => Err(DecodeError::UnknownMessageType(other)),
        }
    }

    /// The octets of this message, authentication extensions included as they stand in its list.
    /// To compute one, use the `encode` of the message itself.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::RegistrationRequest(request) => request.encode_unauthenticated(),
            Self::RegistrationReply(reply) => reply.encode_unauthenticated(),
            Self::TunnelData(data) => data.encode(),
            Self::Revocation(revocation) => revocation.encode_unauthenticated(),
            Self::RevocationAcknowledgement(acknowledgement) => {
                acknowledgement.encode_unauthenticated()
            }
            Self::HomeTestInit(init) => init.encode(MessageType::HOME_TEST_INIT),
            Self::CareOfTestInit(init) => init.encode(MessageType::CARE_OF_TEST_INIT),
            Self::HomeTest(test) => test.encode(MessageType::HOME_TEST),
            Self::CareOfTest(test) => test.encode(MessageType::CARE_OF_TEST),
        }
    }

    /// Its type.
    #[must_use]
    pub const fn message_type(&self) -> MessageType {
        match self {
            Self::RegistrationRequest(_) => MessageType::REGISTRATION_REQUEST,
            Self::RegistrationReply(_) => MessageType::REGISTRATION_REPLY,
            Self::TunnelData(_) => MessageType::TUNNEL_DATA,
            Self::Revocation(_) => MessageType::REVOCATION,
            Self::RevocationAcknowledgement(_) => MessageType::REVOCATION_ACKNOWLEDGEMENT,
            Self::HomeTestInit(_) => MessageType::HOME_TEST_INIT,
            Self::CareOfTestInit(_) => MessageType::CARE_OF_TEST_INIT,
            Self::HomeTest(_) => MessageType::HOME_TEST,
            Self::CareOfTest(_) => MessageType::CARE_OF_TEST,
        }
    }

    /// Its extensions; messages that have none give an empty list.
    #[must_use]
    pub fn extensions(&self) -> &[Extension] {
        match self {
            Self::RegistrationRequest(request) => request.extensions.as_slice(),
            Self::RegistrationReply(reply) => reply.extensions.as_slice(),
            Self::Revocation(revocation) => revocation.extensions.as_slice(),
            Self::RevocationAcknowledgement(acknowledgement) => {
                acknowledgement.extensions.as_slice()
            }
            Self::TunnelData(_)
            | Self::HomeTestInit(_)
            | Self::CareOfTestInit(_)
            | Self::HomeTest(_)
            | Self::CareOfTest(_) => &[],
        }
    }
}

#[cfg(test)]
mod tests;
