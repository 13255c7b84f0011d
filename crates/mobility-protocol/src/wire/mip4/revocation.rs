//! Registration revocation (RFC 3543): a home agent takes a binding back.

use std::net::Ipv4Addr;

use super::authentication::append_mobile_home;
use super::{DecodeError, Extensions, MessageType, Reader};
use crate::security::SecurityAssociation;

/// A Registration Revocation (RFC 3543, section 3.3).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |     Type      |   Reserved    |A|I|        Reserved           |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                         Home Address                          |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                     Home Domain Address                       |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                    Foreign Domain Address                     |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                     Revocation Identifier                     |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// | Extensions ...
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// A: the sender is the home agent.
    pub by_home_agent: bool,
    /// I: the mobile node may be told.
    pub inform: bool,
    /// Whose binding.
    pub home_address: Ipv4Addr,
    /// The home agent.
    pub home_domain_address: Ipv4Addr,
    /// The foreign agent or the co-located care-of address.
    pub foreign_domain_address: Ipv4Addr,
    /// The sender's clock, newer than the last registration's.
    pub identifier: u32,
    /// What follows the fixed part, in order.
    pub extensions: Extensions,
}

impl Revocation {
    /// The octets before the extensions.
    pub const FIXED_LENGTH: usize = 20;
    const A: u16 = 0x8000;
    const I: u16 = 0x4000;

    /// The revocation in these octets.
    ///
    /// # Errors
    /// [`DecodeError`] says what is wrong with the octets, and where.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let fixed = Self::decode_fixed(payload).ok_or(DecodeError::TruncatedMessage {
            message_type: MessageType::REVOCATION,
            expected: Self::FIXED_LENGTH,
            length: payload.len(),
        })?;
        Ok(Self {
            extensions: Extensions::decode(payload, Self::FIXED_LENGTH)?,
            ..fixed
        })
    }

    /// The octets of this revocation with the extensions it has, and nothing added.
    #[must_use]
    pub fn encode_unauthenticated(&self) -> Vec<u8> {
        let flags = flag(self.by_home_agent, Self::A) | flag(self.inform, Self::I);
        let mut octets = Vec::with_capacity(64);
        octets.extend([MessageType::REVOCATION.0, 0]);
        octets.extend(flags.to_be_bytes());
        octets.extend(self.home_address.octets());
        octets.extend(self.home_domain_address.octets());
        octets.extend(self.foreign_domain_address.octets());
        octets.extend(self.identifier.to_be_bytes());
        self.extensions.encode(&mut octets);
        octets
    }

    /// The octets of this revocation, followed by a Mobile-Home Authentication extension under
    /// `association` that covers all of it.
    #[must_use]
    pub fn encode(&self, association: &SecurityAssociation) -> Vec<u8> {
        append_mobile_home(self.encode_unauthenticated(), association)
    }

    fn decode_fixed(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        reader.u16()?;
        let flags = reader.u16()?;
        Some(Self {
            by_home_agent: flags & Self::A != 0,
            inform: flags & Self::I != 0,
            home_address: reader.ipv4()?,
            home_domain_address: reader.ipv4()?,
            foreign_domain_address: reader.ipv4()?,
            identifier: reader.u32()?,
            extensions: Extensions::default(),
        })
    }
}

/// A Registration Revocation Acknowledgement (RFC 3543, section 3.4).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |     Type      |   Reserved    |I|         Reserved            |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                         Home Address                          |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                     Revocation Identifier                     |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// | Extensions ...
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationAcknowledgement {
    /// I: the mobile node may be told. Another bit than in the revocation.
    pub inform: bool,
    /// Whose binding.
    pub home_address: Ipv4Addr,
    /// The revocation's.
    pub identifier: u32,
    /// What follows the fixed part, in order.
    pub extensions: Extensions,
}

impl RevocationAcknowledgement {
    /// The octets before the extensions.
    pub const FIXED_LENGTH: usize = 12;
    const I: u16 = 0x8000;

    /// The acknowledgement in these octets.
    ///
    /// # Errors
    /// [`DecodeError`] says what is wrong with the octets, and where.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let fixed = Self::decode_fixed(payload).ok_or(DecodeError::TruncatedMessage {
            message_type: MessageType::REVOCATION_ACKNOWLEDGEMENT,
            expected: Self::FIXED_LENGTH,
            length: payload.len(),
        })?;
        Ok(Self {
            extensions: Extensions::decode(payload, Self::FIXED_LENGTH)?,
            ..fixed
        })
    }

    /// The octets of this acknowledgement with the extensions it has, and nothing added.
    #[must_use]
    pub fn encode_unauthenticated(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(64);
        octets.extend([MessageType::REVOCATION_ACKNOWLEDGEMENT.0, 0]);
        octets.extend(flag(self.inform, Self::I).to_be_bytes());
        octets.extend(self.home_address.octets());
        octets.extend(self.identifier.to_be_bytes());
        self.extensions.encode(&mut octets);
        octets
    }

    /// The octets of this acknowledgement, followed by a Mobile-Home Authentication extension under
    /// `association` that covers all of it.
    #[must_use]
    pub fn encode(&self, association: &SecurityAssociation) -> Vec<u8> {
        append_mobile_home(self.encode_unauthenticated(), association)
    }

    fn decode_fixed(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        reader.u16()?;
        Some(Self {
            inform: reader.u16()? & Self::I != 0,
            home_address: reader.ipv4()?,
            identifier: reader.u32()?,
            extensions: Extensions::default(),
        })
    }
}

const fn flag(set: bool, mask: u16) -> u16 {
    if set { mask } else { 0 }
}
