//! Registration Reply: the Binding Acknowledgement of Mobile IPv4.

use std::net::Ipv4Addr;

use super::authentication::append_mobile_home;
use super::{
    DecodeError, Extensions, Identification, MessageType, Reader, ReplyCode, lifetime_from_wire,
    lifetime_to_wire,
};
use crate::Lifetime;
use crate::security::SecurityAssociation;

/// A Registration Reply (RFC 5944, section 3.4).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |     Type      |     Code      |           Lifetime            |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                          Home Address                         |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                           Home Agent                          |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                                                               |
/// +                         Identification                        +
/// |                                                               |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// | Extensions ...
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationReply {
    /// The outcome.
    pub code: ReplyCode,
    /// How long the binding lasts. Without meaning in a denial, except that code 69 gives the
    /// foreign agent's maximum.
    pub lifetime: Lifetime,
    /// The home address, asked for or assigned.
    pub home_address: Ipv4Addr,
    /// The home agent's own address.
    pub home_agent: Ipv4Addr,
    /// The request's; the high half is the home agent's clock when the code is 133.
    pub identification: Identification,
    /// What follows the fixed part, in order.
    pub extensions: Extensions,
}

impl RegistrationReply {
    /// The octets before the extensions.
    pub const FIXED_LENGTH: usize = 20;

    /// The reply in these octets.
    ///
    /// # Errors
    /// [`DecodeError`] says what is wrong with the octets, and where.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let fixed = Self::decode_fixed(payload).ok_or(DecodeError::TruncatedMessage {
            message_type: MessageType::REGISTRATION_REPLY,
            expected: Self::FIXED_LENGTH,
            length: payload.len(),
        })?;
        Ok(Self {
            extensions: Extensions::decode(payload, Self::FIXED_LENGTH)?,
            ..fixed
        })
    }

    /// The octets of this reply with the extensions it has, and nothing added.
    #[must_use]
    pub fn encode_unauthenticated(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(128);
        octets.extend([MessageType::REGISTRATION_REPLY.0, self.code.0]);
        octets.extend(lifetime_to_wire(self.lifetime).to_be_bytes());
        octets.extend(self.home_address.octets());
        octets.extend(self.home_agent.octets());
        octets.extend(self.identification.0.to_be_bytes());
        self.extensions.encode(&mut octets);
        octets
    }

    /// The octets of this reply, followed by a Mobile-Home Authentication extension under
    /// `association` that covers all of it.
    #[must_use]
    pub fn encode(&self, association: &SecurityAssociation) -> Vec<u8> {
        append_mobile_home(self.encode_unauthenticated(), association)
    }

    fn decode_fixed(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        reader.u8()?;
        Some(Self {
            code: ReplyCode(reader.u8()?),
            lifetime: lifetime_from_wire(reader.u16()?),
            home_address: reader.ipv4()?,
            home_agent: reader.ipv4()?,
            identification: Identification(reader.u64()?),
            extensions: Extensions::default(),
        })
    }
}

/// Who gives a reply code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A home agent: its replies carry a Mobile-Home Authentication extension.
    HomeAgent,
    /// A foreign agent: its denials are not authenticated to the mobile node.
    ForeignAgent,
    /// A gateway foreign agent (RFC 4857).
    GatewayForeignAgent,
    /// A correspondent router (RFC 6521).
    CorrespondentRouter,
    /// No document says.
    Unknown,
}

impl ReplyCode {
    /// Whether the registration was accepted (RFC 5944, table 1: 0 to 8).
    #[must_use]
    pub const fn is_accepted(self) -> bool {
        self.0 <= 8
    }

    /// Who generated a reply with this code.
    #[must_use]
    pub const fn origin(self) -> Origin {
        match self.0 {
            0 | 1 | 128..=192 => Origin::HomeAgent,
            64..=127 | 194 => Origin::ForeignAgent,
            193 | 195..=200 => Origin::GatewayForeignAgent,
            2 | 201..=210 => Origin::CorrespondentRouter,
            3..=63 | 211..=255 => Origin::Unknown,
        }
    }
}
