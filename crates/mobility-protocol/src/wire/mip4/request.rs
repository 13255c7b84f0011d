//! Registration Request: the Binding Update of Mobile IPv4.

use std::net::Ipv4Addr;
use std::ops::BitOr;

use super::authentication::append_mobile_home;
use super::{
    DecodeError, Extensions, Identification, MessageType, Reader, lifetime_from_wire,
    lifetime_to_wire,
};
use crate::Lifetime;
use crate::security::SecurityAssociation;

/// A Registration Request (RFC 5944, section 3.3).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |     Type      |S|B|D|M|G|r|T|x|          Lifetime             |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                          Home Address                         |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                           Home Agent                          |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                        Care-of Address                        |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                                                               |
/// +                         Identification                        +
/// |                                                               |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// | Extensions ...
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationRequest {
    /// What the mobile node asks for and can do.
    pub flags: RequestFlags,
    /// How long the binding shall last; zero ends it.
    pub lifetime: Lifetime,
    /// The home address; unspecified asks for one.
    pub home_address: Ipv4Addr,
    /// The home agent.
    pub home_agent: Ipv4Addr,
    /// The end of the tunnel on the mobile node's side.
    pub care_of_address: Ipv4Addr,
    /// What orders the requests and matches the reply.
    pub identification: Identification,
    /// What follows the fixed part, in order.
    pub extensions: Extensions,
}

impl RegistrationRequest {
    /// The octets before the extensions.
    pub const FIXED_LENGTH: usize = 24;

    /// The request in these octets.
    ///
    /// # Errors
    /// [`DecodeError`] says what is wrong with the octets, and where.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let fixed = Self::decode_fixed(payload).ok_or(DecodeError::TruncatedMessage {
            message_type: MessageType::REGISTRATION_REQUEST,
            expected: Self::FIXED_LENGTH,
            length: payload.len(),
        })?;
        Ok(Self {
            extensions: Extensions::decode(payload, Self::FIXED_LENGTH)?,
            ..fixed
        })
    }

    /// The octets of this request with the extensions it has, and nothing added.
    #[must_use]
    pub fn encode_unauthenticated(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(128);
        octets.extend([MessageType::REGISTRATION_REQUEST.0, self.flags.0]);
        octets.extend(lifetime_to_wire(self.lifetime).to_be_bytes());
        octets.extend(self.home_address.octets());
        octets.extend(self.home_agent.octets());
        octets.extend(self.care_of_address.octets());
        octets.extend(self.identification.0.to_be_bytes());
        self.extensions.encode(&mut octets);
        octets
    }

    /// The octets of this request, followed by a Mobile-Home Authentication extension under
    /// `association` that covers all of it.
    #[must_use]
    pub fn encode(&self, association: &SecurityAssociation) -> Vec<u8> {
        append_mobile_home(self.encode_unauthenticated(), association)
    }

    fn decode_fixed(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        reader.u8()?;
        Some(Self {
            flags: RequestFlags::from_wire(reader.u8()?),
            lifetime: lifetime_from_wire(reader.u16()?),
            home_address: reader.ipv4()?,
            home_agent: reader.ipv4()?,
            care_of_address: reader.ipv4()?,
            identification: Identification(reader.u64()?),
            extensions: Extensions::default(),
        })
    }
}

/// The flags of a Registration Request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RequestFlags(u8);

impl RequestFlags {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// S: keep the bindings there are, add this one.
    pub const SIMULTANEOUS_BINDINGS: Self = Self(0x80);
    /// B: tunnel broadcasts of the home network too.
    pub const BROADCAST: Self = Self(0x40);
    /// D: the mobile node itself decapsulates; its care-of address is co-located.
    pub const DECAPSULATION_BY_MOBILE_NODE: Self = Self(0x20);
    /// M: minimal encapsulation (RFC 2004).
    pub const MINIMAL_ENCAPSULATION: Self = Self(0x10);
    /// G: generic routing encapsulation.
    pub const GRE: Self = Self(0x08);
    /// T: the way back goes through the tunnel as well (RFC 3024).
    pub const REVERSE_TUNNEL: Self = Self(0x02);
    /// D and T, what a mobile node asks of a Corresponding Home Agent.
    pub const CO_LOCATED: Self =
        Self(Self::DECAPSULATION_BY_MOBILE_NODE.0 | Self::REVERSE_TUNNEL.0);

    /// The bits with a meaning; the others are sent as zero and ignored on reception.
    const KNOWN: u8 = 0xfa;

    /// The flags in the second octet of a request. The retired `r` and the reserved `x` are ignored.
    #[must_use]
    pub const fn from_wire(octet: u8) -> Self {
        Self(octet & Self::KNOWN)
    }

    /// The second octet of a request.
    #[must_use]
    pub const fn to_wire(self) -> u8 {
        self.0
    }

    /// Whether all of `flags` are among these.
    #[must_use]
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }
}

impl BitOr for RequestFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
