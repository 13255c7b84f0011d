//! Binding Update.

use std::net::Ipv6Addr;
use std::ops::BitOr;

use super::authentication::{BindingAddresses, append_binding_authorization, append_mobile_home};
use super::option::{Options, align_end};
use super::return_routability::BindingManagementKey;
use super::{
    DecodeError, MessageType, Packet, PseudoHeader, SequenceNumber, header, lifetime_from_wire,
    lifetime_to_wire,
};
use crate::Lifetime;
use crate::security::SecurityAssociation;

/// A Binding Update (RFC 6275, section 6.1.7).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
///                                 +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///                                 |          Sequence #           |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |A|H|L|K|M|R|P|F|T|B|S|D| Rsrvd |           Lifetime            |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// | Mobility options ...
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingUpdate {
    /// What orders the updates and matches the acknowledgement.
    pub sequence: SequenceNumber,
    /// What the mobile node asks for.
    pub flags: UpdateFlags,
    /// How long the binding shall last; zero ends it.
    pub lifetime: Lifetime,
    /// What follows the fixed part, in order.
    pub options: Options<{ BindingUpdate::FIXED_LENGTH }>,
}

impl BindingUpdate {
    /// The octets before the options.
    pub const FIXED_LENGTH: usize = 12;

    /// The update in these octets, from the first one of the Mobility Header.
    ///
    /// # Errors
    /// [`DecodeError`] says what is wrong with the octets, and where. The checksum is not looked at.
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        let fixed = Self::decode_fixed(message)?;
        Ok(Self {
            options: Options::decode(message)?,
            ..fixed
        })
    }

    /// The update without its options.
    pub(super) fn decode_fixed(message: &[u8]) -> Result<Self, DecodeError> {
        let message_type = MessageType::BINDING_UPDATE;
        let (sequence, flags, lifetime) =
            header::fixed_part(message, message_type, Self::FIXED_LENGTH, |mut reader| {
                Some((reader.u16()?, reader.u16()?, reader.u16()?))
            })?;
        Ok(Self {
            sequence: SequenceNumber(sequence),
            flags: UpdateFlags::from_wire(flags),
            lifetime: lifetime_from_wire(lifetime),
            options: Options::new(),
        })
    }

    /// The octets of this update with the options it has, and nothing added but the padding at the
    /// end.
    #[must_use]
    pub fn encode_unauthenticated(&self, pseudo_header: &PseudoHeader) -> Vec<u8> {
        let mut octets = self.begin();
        align_end(&mut octets);
        header::finish(octets, pseudo_header)
    }

    /// The octets of this update, ended by an MN-HA authentication under `association` that covers
    /// all of it and the addresses it binds.
    #[must_use]
    pub fn encode(
        &self,
        association: &SecurityAssociation,
        addresses: &BindingAddresses,
        pseudo_header: &PseudoHeader,
    ) -> Vec<u8> {
        append_mobile_home(self.begin(), association, addresses, pseudo_header)
    }

    /// The octets of this update to a correspondent, ended by a Binding Authorization Data option
    /// under the key of a return routability test. It covers the care-of address and, as the
    /// correspondent's, the destination.
    #[must_use]
    pub fn encode_to_correspondent(
        &self,
        key: &BindingManagementKey,
        addresses: &BindingAddresses,
        pseudo_header: &PseudoHeader,
    ) -> Vec<u8> {
        let care_of_address = match self.lifetime {
            Lifetime::Zero => addresses.home_address,
            Lifetime::Finite(_) | Lifetime::Infinite => addresses.care_of_address,
        };
        append_binding_authorization(
            self.begin(),
            key,
            care_of_address,
            pseudo_header.destination,
            pseudo_header,
        )
    }

    /// Which addresses this update, received in `packet`, binds to each other (RFC 6275, section
    /// 9.5.1): the home address of its home network prefix option, else that of the packet's Home
    /// Address option, else the packet's source; the alternate care-of address, else the packet's
    /// source. Nothing about them has been checked.
    ///
    /// # Errors
    /// [`DecodeError::ConflictingHomeAddress`] when the two options name different ones.
    pub fn addresses(&self, packet: &Packet<'_>) -> Result<BindingAddresses, DecodeError> {
        let named = one_home_address(self.options.home_address(), packet.home_address)?;
        let care_of_address = self.options.alternate_care_of_address();
        Ok(BindingAddresses {
            home_address: named.unwrap_or(packet.source),
            care_of_address: care_of_address.unwrap_or(packet.source),
        })
    }

    fn begin(&self) -> Vec<u8> {
        let mut octets = header::begin(MessageType::BINDING_UPDATE);
        octets.extend(self.sequence.0.to_be_bytes());
        octets.extend(self.flags.to_wire().to_be_bytes());
        octets.extend(lifetime_to_wire(self.lifetime).to_be_bytes());
        self.options.encode(&mut octets);
        octets
    }
}

/// The home address that an option of the message or a header before it names, or both.
pub(super) fn one_home_address(
    option: Option<Ipv6Addr>,
    header: Option<Ipv6Addr>,
) -> Result<Option<Ipv6Addr>, DecodeError> {
    match (option, header) {
        (Some(option), Some(header)) if option != header => {
            Err(DecodeError::ConflictingHomeAddress { option, header })
        }
        (option, header) => Ok(option.or(header)),
    }
}

/// The flags of a Binding Update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct UpdateFlags(u16);

impl UpdateFlags {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// A: an acknowledgement, please.
    pub const ACKNOWLEDGE: Self = Self(0x8000);
    /// H: the receiver shall be the home agent.
    pub const HOME_REGISTRATION: Self = Self(0x4000);
    /// L: the link-local address has the interface identifier of the home address.
    pub const LINK_LOCAL_COMPATIBILITY: Self = Self(0x2000);
    /// K: the key management connection survives the movement.
    pub const KEY_MANAGEMENT_MOBILITY: Self = Self(0x1000);
    /// M: registration with a mobility anchor point (RFC 5380).
    pub const MAP_REGISTRATION: Self = Self(0x0800);
    /// R: the mobile node is a router (RFC 3963).
    pub const MOBILE_ROUTER: Self = Self(0x0400);
    /// P: sent in the mobile node's place (RFC 5213).
    pub const PROXY_REGISTRATION: Self = Self(0x0200);
    /// F: encapsulate in UDP even if no translator is seen (RFC 5555).
    pub const FORCE_UDP: Self = Self(0x0100);
    /// T: with a TLV header in UDP (RFC 5845).
    pub const TLV_HEADER: Self = Self(0x0080);
    /// B: for a group of mobile nodes (RFC 6602). RFC 5648 has O, overwrite, at the same place: it
    /// means that where there is a binding identifier option and P is clear.
    pub const BULK: Self = Self(0x0040);
    /// S: multicast subscription (RFC 7161).
    pub const SUBSCRIPTION: Self = Self(0x0020);
    /// D: distributed mobility anchoring (RFC 8885).
    pub const DISTRIBUTED_ANCHORING: Self = Self(0x0010);
    /// A and H, what a mobile node asks of a Corresponding Home Agent.
    pub const HOME: Self = Self(Self::ACKNOWLEDGE.0 | Self::HOME_REGISTRATION.0);

    /// The bits with a meaning; the others are sent as zero and ignored on reception.
    const KNOWN: u16 = 0xfff0;

    /// The flags in their field of a Binding Update. Reserved ones are ignored.
    #[must_use]
    pub const fn from_wire(field: u16) -> Self {
        Self(field & Self::KNOWN)
    }

    /// Their field of a Binding Update.
    #[must_use]
    pub const fn to_wire(self) -> u16 {
        self.0
    }

    /// Whether all of `flags` are among these.
    #[must_use]
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }
}

impl BitOr for UpdateFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
