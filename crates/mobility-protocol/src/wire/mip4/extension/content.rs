//! The content of the extensions that are typed, one struct each.

use std::net::Ipv4Addr;

use super::super::Reader;
use super::super::iana::{MobileNetworkCode, UdpTunnelReplyCode};
use crate::wire::Octets;

/// An offer to tunnel in UDP (RFC 3519, section 3.1.1).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |     Type      |    Length     |    Sub-Type   |   Reserved 1  |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |F|R| Reserved 2| Encapsulation |          Reserved 3           |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UdpTunnelRequest {
    /// F: tunnel in UDP even if no translator is seen.
    pub force: bool,
    /// R: the registration had to go through a foreign agent.
    pub registration_through_foreign_agent: bool,
    /// An IP protocol number: 4, 47 or 55; 0 leaves it to the flags of the request.
    pub encapsulation: u8,
}

impl UdpTunnelRequest {
    /// `None` for content with a non-zero Reserved 3, which is not understood (RFC 3519, section
    /// 3.1.3).
    pub(super) fn decode(mut reader: Reader<'_>) -> Option<Option<Self>> {
        reader.u8()?;
        let flags = reader.u8()?;
        let encapsulation = reader.u8()?;
        let reserved = reader.u16()?;
        reader.is_empty().then(|| {
            (reserved == 0).then_some(Self {
                force: flags & 0x80 != 0,
                registration_through_foreign_agent: flags & 0x40 != 0,
                encapsulation,
            })
        })
    }

    pub(super) fn data(self) -> [u8; 6] {
        let flags = bit(self.force, 0x80) | bit(self.registration_through_foreign_agent, 0x40);
        [0, 0, flags, self.encapsulation, 0, 0]
    }
}

/// The answer to an offer to tunnel in UDP (RFC 3519, section 3.1.2).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |     Type      |    Length     |    Sub-Type   |  Reply Code   |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |F|        Reserved             |     Keepalive Interval        |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpTunnelReply {
    /// Whether the home agent will tunnel in UDP.
    pub code: UdpTunnelReplyCode,
    /// F: it does so because it was forced to.
    pub forced: bool,
    /// Seconds between keepalives; 0 leaves it to the mobile node.
    pub keepalive_interval: u16,
}

impl UdpTunnelReply {
    /// Whether the home agent will tunnel in UDP.
    #[must_use]
    pub const fn is_accepted(self) -> bool {
        self.code.0 < 64
    }

    pub(super) fn decode(mut reader: Reader<'_>) -> Option<Self> {
        let code = UdpTunnelReplyCode(reader.u8()?);
        let forced = reader.u16()? & 0x8000 != 0;
        let keepalive_interval = reader.u16()?;
        reader.is_empty().then_some(Self {
            code,
            forced,
            keepalive_interval,
        })
    }

    pub(super) fn data(self) -> [u8; 6] {
        let [high, low] = self.keepalive_interval.to_be_bytes();
        [0, self.code.0, bit(self.forced, 0x80), 0, high, low]
    }
}

/// The wish to receive revocations (RFC 3543, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RevocationSupport {
    /// I: the sender supports the inform bit.
    pub inform: bool,
    /// The sender's clock, the one its revocations are stamped with.
    pub timestamp: u32,
}

impl RevocationSupport {
    pub(super) fn decode(mut reader: Reader<'_>) -> Option<Self> {
        let inform = reader.u16()? & 0x8000 != 0;
        let timestamp = reader.u32()?;
        reader.is_empty().then_some(Self { inform, timestamp })
    }

    pub(super) fn data(self) -> [u8; 6] {
        let [a, b, c, d] = self.timestamp.to_be_bytes();
        [bit(self.inform, 0x80), 0, a, b, c, d]
    }
}

/// Another home agent, asked for or pointed to (RFC 4433, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DynamicHomeAgent {
    /// Asked for or pointed to.
    pub role: DynamicHomeAgentRole,
    /// Its address.
    pub address: Ipv4Addr,
    /// How it is written.
    pub layout: DynamicHomeAgentLayout,
}

/// What a [`DynamicHomeAgent`] is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DynamicHomeAgentRole {
    /// In a request: this one, please (subtype 1).
    Requested,
    /// In a reply: go to this one (subtype 2).
    Redirected,
}

/// The two layouts of a [`DynamicHomeAgent`] that are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DynamicHomeAgentLayout {
    /// `type, subtype, length (16 bits), address`, as RFC 4433 draws it, though receivers that do
    /// not know the type can't skip it then.
    Long,
    /// `type, length (8 bits), subtype, address`, as skippable types must be.
    Short,
}

impl DynamicHomeAgent {
    pub(super) fn decode(
        subtype: u8,
        mut reader: Reader<'_>,
        layout: DynamicHomeAgentLayout,
    ) -> Option<Self> {
        let role = match subtype {
            1 => DynamicHomeAgentRole::Requested,
            2 => DynamicHomeAgentRole::Redirected,
            _ => return None,
        };
        let address = reader.ipv4()?;
        reader.is_empty().then_some(Self {
            role,
            address,
            layout,
        })
    }

    pub(super) const fn subtype(self) -> u8 {
        match self.role {
            DynamicHomeAgentRole::Requested => 1,
            DynamicHomeAgentRole::Redirected => 2,
        }
    }
}

/// A prefix a mobile router asks for (RFC 5177, section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MobileNetworkRequest {
    /// As written; more than 32 is refused by code 1, not by the decoder.
    pub prefix_length: u8,
    /// Unspecified asks for one (RFC 6626).
    pub prefix: Ipv4Addr,
}

impl MobileNetworkRequest {
    pub(super) fn decode(mut reader: Reader<'_>) -> Option<Self> {
        let prefix_length = reader.u8()?;
        let prefix = reader.ipv4()?;
        reader.is_empty().then_some(Self {
            prefix_length,
            prefix,
        })
    }

    pub(super) fn data(self) -> [u8; 6] {
        let [a, b, c, d] = self.prefix.octets();
        [0, self.prefix_length, a, b, c, d]
    }
}

/// The answer about a prefix of a mobile router (RFC 5177, section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MobileNetworkAcknowledgement {
    /// Whether the router listed its prefixes (subtype 1) or the home agent knew them (subtype 2).
    pub explicit: bool,
    /// The outcome.
    pub code: MobileNetworkCode,
    /// As written.
    pub prefix_length: u8,
    /// As written.
    pub prefix: Ipv4Addr,
}

impl MobileNetworkAcknowledgement {
    pub(super) fn decode(explicit: bool, mut reader: Reader<'_>) -> Option<Self> {
        let code = MobileNetworkCode(reader.u8()?);
        let prefix_length = reader.u8()?;
        reader.u8()?;
        let prefix = reader.ipv4()?;
        reader.is_empty().then_some(Self {
            explicit,
            code,
            prefix_length,
            prefix,
        })
    }

    pub(super) fn data(self) -> [u8; 8] {
        let [a, b, c, d] = self.prefix.octets();
        [
            if self.explicit { 1 } else { 2 },
            self.code.0,
            self.prefix_length,
            0,
            a,
            b,
            c,
            d,
        ]
    }
}

/// What a vendor defined, with a value of at most `MAX` octets (RFC 3115).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VendorExtension<const MAX: usize> {
    /// The vendor's enterprise number.
    pub vendor: u32,
    /// Its own type.
    pub vendor_type: u16,
    /// As its own type says.
    pub value: Octets<MAX>,
}

impl<const MAX: usize> VendorExtension<MAX> {
    pub(super) fn decode(mut reader: Reader<'_>) -> Option<Self> {
        let vendor = reader.u32()?;
        let vendor_type = reader.u16()?;
        let value = Octets::new(reader.rest()).ok()?;
        Some(Self {
            vendor,
            vendor_type,
            value,
        })
    }

    pub(super) fn data(&self) -> Vec<u8> {
        [
            &self.vendor.to_be_bytes()[..],
            &self.vendor_type.to_be_bytes(),
            &self.value,
        ]
        .concat()
    }
}

const fn bit(set: bool, mask: u8) -> u8 {
    if set { mask } else { 0 }
}
