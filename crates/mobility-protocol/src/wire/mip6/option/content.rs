//! The content of the options that are typed, one struct each.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::Reader;
use super::super::iana::{IdentifierSubtype, Ipv4AddressStatus, Status};
use crate::Identity;
use crate::wire::{Octets, OctetsError};

/// Which nonces of the correspondent made the key (RFC 6275, section 6.2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NonceIndices {
    /// The one of the home keygen token.
    pub home: u16,
    /// The one of the care-of keygen token.
    pub care_of: u16,
}

impl NonceIndices {
    pub(super) fn decode(mut reader: Reader<'_>) -> Option<Self> {
        let home = reader.u16()?;
        let care_of = reader.u16()?;
        reader.is_empty().then_some(Self { home, care_of })
    }

    pub(super) fn data(self) -> Vec<u8> {
        [self.home.to_be_bytes(), self.care_of.to_be_bytes()].concat()
    }
}

/// A prefix: of a mobile network (RFC 3963, section 4.3) or a home network (RFC 5213, section 8.3).
///
/// As a home network prefix of length 128 it is a home address; all zero at that length it asks for
/// one.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |     Type      |    Length     |   Reserved    | Prefix Length |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                                                               |
/// +                            Prefix                             +
/// |                                                               |
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkPrefix {
    /// As written; more than 128 is refused by status 141, not by the decoder.
    pub length: u8,
    /// As written.
    pub prefix: Ipv6Addr,
}

impl NetworkPrefix {
    /// The home address `::`, which asks for one.
    pub const REQUEST: Self = Self::of_address(Ipv6Addr::UNSPECIFIED);

    const ADDRESS: u8 = 128;

    /// This one address.
    #[must_use]
    pub const fn of_address(address: Ipv6Addr) -> Self {
        Self {
            length: Self::ADDRESS,
            prefix: address,
        }
    }

    /// The one address it is, if it is no more than that. Unspecified asks for one.
    #[must_use]
    pub const fn address(self) -> Option<Ipv6Addr> {
        match self.length {
            Self::ADDRESS => Some(self.prefix),
            _ => None,
        }
    }

    pub(super) fn decode(mut reader: Reader<'_>) -> Option<Self> {
        reader.u8()?;
        let length = reader.u8()?;
        let prefix = reader.ipv6()?;
        reader.is_empty().then_some(Self { length, prefix })
    }

    pub(super) fn data(self) -> Vec<u8> {
        [&[0, self.length][..], &self.prefix.octets()].concat()
    }
}

/// Who a mobile node is, by one of several kinds of name (RFC 4283, section 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MobileNodeIdentifier {
    /// The kind of name.
    pub subtype: IdentifierSubtype,
    /// The name.
    pub identifier: Octets<254>,
}

impl MobileNodeIdentifier {
    /// This Network Access Identifier.
    ///
    /// # Errors
    /// [`OctetsError`] when it has 255 octets, one more than the option carries.
    pub fn nai(identity: &Identity) -> Result<Self, OctetsError> {
        Ok(Self {
            subtype: IdentifierSubtype::NAI,
            identifier: Octets::new(identity.as_bytes())?,
        })
    }

    /// The Network Access Identifier, if it is one.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        match self.subtype {
            IdentifierSubtype::NAI => Identity::new(&*self.identifier).ok(),
            _ => None,
        }
    }

    pub(super) fn decode(mut reader: Reader<'_>) -> Option<Self> {
        let subtype = IdentifierSubtype(reader.u8()?);
        let identifier = Octets::new(reader.rest()).ok()?;
        (!identifier.is_empty()).then_some(Self {
            subtype,
            identifier,
        })
    }

    pub(super) fn data(&self) -> Vec<u8> {
        [&[self.subtype.0][..], &self.identifier].concat()
    }
}

/// A wish about the mobile node's name in the DNS, or the answer to it (RFC 5026, section 8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsUpdate {
    /// The answer; zero in a Binding Update.
    pub status: u8,
    /// R: remove the name.
    pub remove: bool,
    /// The name, as the DNS carries it.
    pub name: Octets<253>,
}

impl DnsUpdate {
    pub(super) fn decode(mut reader: Reader<'_>) -> Option<Self> {
        let status = reader.u8()?;
        let remove = reader.u8()? & 0x80 != 0;
        let name = Octets::new(reader.rest()).ok()?;
        Some(Self {
            status,
            remove,
            name,
        })
    }

    pub(super) fn data(&self) -> Vec<u8> {
        [&[self.status, bit(self.remove, 0x80)][..], &self.name].concat()
    }
}

/// What a vendor defined (RFC 5094).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VendorOption {
    /// The vendor's enterprise number.
    pub vendor: u32,
    /// Its own type.
    pub subtype: u8,
    /// As its own type says.
    pub value: Octets<250>,
}

impl VendorOption {
    pub(super) fn decode(mut reader: Reader<'_>) -> Option<Self> {
        let vendor = reader.u32()?;
        let subtype = reader.u8()?;
        let value = Octets::new(reader.rest()).ok()?;
        Some(Self {
            vendor,
            subtype,
            value,
        })
    }

    pub(super) fn data(&self) -> Vec<u8> {
        [&self.vendor.to_be_bytes()[..], &[self.subtype], &self.value].concat()
    }
}

/// An IPv4 home address asked for or named in a Binding Update (RFC 5555, section 3.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv4HomeAddress {
    /// Six bits: 32 for an address alone; zero and more than 32 are refused by status, not by the
    /// decoder.
    pub prefix_length: u8,
    /// P: a prefix of that length, please.
    pub request_prefix: bool,
    /// Unspecified asks for one.
    pub address: Ipv4Addr,
}

impl Ipv4HomeAddress {
    pub(super) fn decode(mut reader: Reader<'_>) -> Option<Self> {
        let first = reader.u8()?;
        reader.u8()?;
        let address = reader.ipv4()?;
        reader.is_empty().then_some(Self {
            prefix_length: first >> 2,
            request_prefix: first & 0x02 != 0,
            address,
        })
    }

    pub(super) fn data(self) -> Vec<u8> {
        let first = (self.prefix_length << 2) | bit(self.request_prefix, 0x02);
        [&[first, 0][..], &self.address.octets()].concat()
    }
}

/// The answer about an IPv4 home address in a Binding Acknowledgement (RFC 5555, section 3.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv4AddressAcknowledgement {
    /// The outcome.
    pub status: Ipv4AddressStatus,
    /// Six bits; zero in a refusal.
    pub prefix_length: u8,
    /// The one asked for or assigned.
    pub address: Ipv4Addr,
}

impl Ipv4AddressAcknowledgement {
    pub(super) fn decode(mut reader: Reader<'_>) -> Option<Self> {
        let status = Ipv4AddressStatus(reader.u8()?);
        let prefix_length = reader.u8()? >> 2;
        let address = reader.ipv4()?;
        reader.is_empty().then_some(Self {
            status,
            prefix_length,
            address,
        })
    }

    pub(super) fn data(self) -> Vec<u8> {
        let fixed = [self.status.0, self.prefix_length << 2];
        [&fixed[..], &self.address.octets()].concat()
    }
}

/// Whether the home agent saw a translator before the mobile node (RFC 5555, section 3.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NatDetection {
    /// F: UDP is used whether there is a translator or not.
    pub forced: bool,
    /// Seconds after which a translator may forget the mobile node: 0 leaves it to the mobile node,
    /// 0xffffffff needs no keepalives.
    pub refresh_time: u32,
}

impl NatDetection {
    /// The refresh time where there is no translator.
    pub const NO_KEEPALIVES: u32 = u32::MAX;

    pub(super) fn decode(mut reader: Reader<'_>) -> Option<Self> {
        let forced = reader.u16()? & 0x8000 != 0;
        let refresh_time = reader.u32()?;
        reader.is_empty().then_some(Self {
            forced,
            refresh_time,
        })
    }

    pub(super) fn data(self) -> Vec<u8> {
        let flags = [bit(self.forced, 0x80), 0];
        [&flags[..], &self.refresh_time.to_be_bytes()].concat()
    }
}

/// One of several care-of addresses of a mobile node (RFC 5648, section 4.1, and RFC 5555).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindingIdentifier {
    /// Which one; zero is reserved.
    pub identifier: u16,
    /// The outcome for this one, in a Binding Acknowledgement.
    pub status: Status,
    /// H: a binding of the home network beside those of foreign ones.
    pub simultaneous_home: bool,
    /// The care-of address, where the packet does not say it.
    pub care_of_address: Option<IpAddr>,
}

impl BindingIdentifier {
    pub(super) fn decode(mut reader: Reader<'_>) -> Option<Self> {
        let identifier = reader.u16()?;
        let status = Status(reader.u8()?);
        let simultaneous_home = reader.u8()? & 0x80 != 0;
        let care_of_address = match reader.rest().len() {
            0 => None,
            4 => Some(reader.ipv4()?.into()),
            16 => Some(reader.ipv6()?.into()),
            _ => return None,
        };
        Some(Self {
            identifier,
            status,
            simultaneous_home,
            care_of_address,
        })
    }

    pub(super) fn data(self) -> Vec<u8> {
        let mut data = self.identifier.to_be_bytes().to_vec();
        data.extend([self.status.0, bit(self.simultaneous_home, 0x80)]);
        match self.care_of_address {
            None => {}
            Some(IpAddr::V4(address)) => data.extend(address.octets()),
            Some(IpAddr::V6(address)) => data.extend(address.octets()),
        }
        data
    }
}

const fn bit(set: bool, mask: u8) -> u8 {
    if set { mask } else { 0 }
}
