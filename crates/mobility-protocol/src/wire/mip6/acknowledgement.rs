//! Binding Acknowledgement.

use std::ops::BitOr;

use super::authentication::{BindingAddresses, append_binding_authorization, append_mobile_home};
use super::option::{Options, align_end};
use super::return_routability::BindingManagementKey;
use super::update::one_home_address;
use super::{
    DecodeError, MessageType, Packet, PseudoHeader, SequenceNumber, Status, header,
    lifetime_from_wire, lifetime_to_wire,
};
use crate::Lifetime;
use crate::security::SecurityAssociation;

/// A Binding Acknowledgement (RFC 6275, section 6.1.8).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
///                                 +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///                                 |    Status     |K|R|P|T|B|S|D|r|
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |           Sequence #          |           Lifetime            |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// | Mobility options ...
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingAcknowledgement {
    /// The outcome.
    pub status: Status,
    /// What the home agent can do.
    pub flags: AcknowledgementFlags,
    /// The update's; the last one accepted when the status is 135.
    pub sequence: SequenceNumber,
    /// How long the binding lasts. Without meaning in a refusal.
    pub lifetime: Lifetime,
    /// What follows the fixed part, in order.
    pub options: Options<{ BindingAcknowledgement::FIXED_LENGTH }>,
}

impl BindingAcknowledgement {
    /// The octets before the options.
    pub const FIXED_LENGTH: usize = 12;

    /// The acknowledgement in these octets, from the first one of the Mobility Header.
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

    /// The acknowledgement without its options.
    pub(super) fn decode_fixed(message: &[u8]) -> Result<Self, DecodeError> {
        let message_type = MessageType::BINDING_ACKNOWLEDGEMENT;
        let (status, flags, sequence, lifetime) =
            header::fixed_part(message, message_type, Self::FIXED_LENGTH, |mut reader| {
                Some((reader.u8()?, reader.u8()?, reader.u16()?, reader.u16()?))
            })?;
        Ok(Self {
            status: Status(status),
            flags: AcknowledgementFlags::from_wire(flags),
            sequence: SequenceNumber(sequence),
            lifetime: lifetime_from_wire(lifetime),
            options: Options::new(),
        })
    }

    /// The octets of this acknowledgement with the options it has, and nothing added but the padding
    /// at the end.
    #[must_use]
    pub fn encode_unauthenticated(&self, pseudo_header: &PseudoHeader) -> Vec<u8> {
        let mut octets = self.begin();
        align_end(&mut octets);
        header::finish(octets, pseudo_header)
    }

    /// The octets of this acknowledgement, ended by an MN-HA authentication under `association` that
    /// covers all of it and the addresses of the binding.
    #[must_use]
    pub fn encode(
        &self,
        association: &SecurityAssociation,
        addresses: &BindingAddresses,
        pseudo_header: &PseudoHeader,
    ) -> Vec<u8> {
        append_mobile_home(self.begin(), association, addresses, pseudo_header)
    }

    /// The octets of a correspondent's acknowledgement, ended by a Binding Authorization Data option
    /// under the key of a return routability test. It covers the care-of address (the home address
    /// when the binding was deleted) and, as the correspondent's, the source.
    #[must_use]
    pub fn encode_from_correspondent(
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
            pseudo_header.source,
            pseudo_header,
        )
    }

    /// Which addresses this acknowledgement, received in `packet`, is about: the home address of its
    /// home network prefix option, else that of the packet's type 2 routing header, else the one of
    /// `update`, which are the addresses it answers.
    ///
    /// # Errors
    /// [`DecodeError::ConflictingHomeAddress`] when option and header name different ones.
    pub fn addresses(
        &self,
        packet: &Packet<'_>,
        update: &BindingAddresses,
    ) -> Result<BindingAddresses, DecodeError> {
        let named = one_home_address(self.options.home_address(), packet.routing_address)?;
        Ok(BindingAddresses {
            home_address: named.unwrap_or(update.home_address),
            care_of_address: update.care_of_address,
        })
    }

    fn begin(&self) -> Vec<u8> {
        let mut octets = header::begin(MessageType::BINDING_ACKNOWLEDGEMENT);
        octets.extend([self.status.0, self.flags.to_wire()]);
        octets.extend(self.sequence.0.to_be_bytes());
        octets.extend(lifetime_to_wire(self.lifetime).to_be_bytes());
        self.options.encode(&mut octets);
        octets
    }
}

impl Status {
    /// Whether the update was accepted (RFC 6275, section 6.1.8: less than 128).
    #[must_use]
    pub const fn is_accepted(self) -> bool {
        self.0 < 128
    }
}

/// The flags of a Binding Acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct AcknowledgementFlags(u8);

impl AcknowledgementFlags {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// K: the key management connection survives the movement.
    pub const KEY_MANAGEMENT_MOBILITY: Self = Self(0x80);
    /// R: the home agent serves mobile routers (RFC 3963).
    pub const MOBILE_ROUTER: Self = Self(0x40);
    /// P: it serves proxy registrations (RFC 5213).
    pub const PROXY_REGISTRATION: Self = Self(0x20);
    /// T: with a TLV header in UDP (RFC 5845).
    pub const TLV_HEADER: Self = Self(0x10);
    /// B: for a group of mobile nodes (RFC 6602).
    pub const BULK: Self = Self(0x08);
    /// S: multicast subscription (RFC 7161).
    pub const SUBSCRIPTION: Self = Self(0x04);
    /// D: distributed mobility anchoring (RFC 8885).
    pub const DISTRIBUTED_ANCHORING: Self = Self(0x02);

    /// The bits with a meaning; the other is sent as zero and ignored on reception.
    const KNOWN: u8 = 0xfe;

    /// The flags in their octet of a Binding Acknowledgement. Reserved ones are ignored.
    #[must_use]
    pub const fn from_wire(octet: u8) -> Self {
        Self(octet & Self::KNOWN)
    }

    /// Their octet of a Binding Acknowledgement.
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

impl BitOr for AcknowledgementFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
