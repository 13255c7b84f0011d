//! What a packet claims to be, whichever family it is of.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mobility_protocol::Family;

use super::checksum::{fold, put, sum, word};
use super::offload::{Cut, Piece};
use super::{ipv4, ipv6};

pub(super) const ICMP: u8 = 1;
pub(super) const IP_IN_IP: u8 = 4;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const IPV6: u8 = 41;
pub(super) const ICMPV6: u8 = 58;

pub(super) const OUTER_HOP_LIMIT: u8 = 64;

/// The longest outer header.
pub(super) const LARGEST_OUTER: usize = ipv6::HEADER;

/// A header whose lengths fit the packet it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ip {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// What follows: of a whole packet or a first fragment the transport protocol, of a later
    /// fragment what its first one begins with.
    pub(super) protocol: u8,
    /// DSCP and ECN.
    pub(super) traffic_class: u8,
    /// Of IPv6.
    pub(super) flow_label: u32,
    /// Octets before what `protocol` names: the header with its options or extension headers.
    pub(super) header: usize,
    /// Octets of the packet, header included.
    pub(super) total: usize,
    /// No router may fragment it: always so in IPv6.
    pub(super) dont_fragment: bool,
    pub(super) more_fragments: bool,
    /// Where this fragment's payload belongs, in octets.
    pub(super) offset: usize,
    /// It says that its way leads elsewhere than to its destination, or its source is another than
    /// stands in the header: a source route, a routing header, a Home Address option.
    pub(super) diverted: bool,
}

impl Ip {
    /// Reads the header at the start of `packet`; octets after the packet's end are ignored.
    pub(super) fn parse(packet: &[u8]) -> Option<Self> {
        if version(packet)? == 6 {
            return ipv6::parse(packet);
        }
        let header = ipv4::parse_quote(packet)?;
        (header.total >= header.header && header.total <= packet.len()).then_some(header)
    }

    /// Reads a header whose packet may be cut off, as in an ICMP error.
    pub(super) fn parse_quote(packet: &[u8]) -> Option<Self> {
        match version(packet)? {
            6 => ipv6::parse_quote(packet),
            _ => ipv4::parse_quote(packet),
        }
    }

    pub(super) fn family(&self) -> Family {
        Family::of(self.source)
    }

    /// Octets of the header without options and extension headers.
    pub(super) fn least_header(&self) -> usize {
        header_of(self.family())
    }

    /// Whether this is a part of a packet.
    pub(super) fn is_fragment(&self) -> bool {
        self.more_fragments || self.offset != 0
    }

    /// Whether this is about ICMP of its family.
    pub(super) fn is_icmp(&self) -> bool {
        match self.family() {
            Family::Ipv4 => self.protocol == ICMP,
            Family::Ipv6 => self.protocol == ICMPV6,
        }
    }

    /// Whether the header's own checksum is right, where it has one.
    pub(super) fn is_intact(&self, packet: &[u8]) -> bool {
        match self.family() {
            Family::Ipv4 => ipv4::header_is_intact(packet, self.header),
            Family::Ipv6 => true,
        }
    }

    /// The sum of the pseudo header of `protocol` with this many octets.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a payload is shorter than 2^16"
    )]
    pub(super) fn pseudo_header(&self, length: usize) -> u64 {
        let addresses = match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                sum(&source.octets()) + sum(&destination.octets())
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                sum(&source.octets()) + sum(&destination.octets())
            }
            // No parser makes such a header.
            _ => 0,
        };
        addresses + word(u16::from(self.protocol)) + word(length as u16)
    }

    /// Whether the checksum of the transport segment in `packet` is right.
    pub(super) fn segment_is_intact(&self, packet: &[u8]) -> bool {
        packet
            .get(self.header..self.total)
            .is_some_and(|segment| fold(self.pseudo_header(segment.len()) + sum(segment)) == 0xffff)
    }

    /// Writes the length into the headers at the start of `packet`, whose packet has become another.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the packet it is cut from had a length as well"
    )]
    pub(super) fn write_length(&self, headers: &mut [u8], total: usize) {
        match self.family() {
            Family::Ipv4 => {
                put(headers, 2, (total as u16).to_be_bytes());
                ipv4::write_header_checksum(headers, self.header);
            }
            Family::Ipv6 => {
                let payload = total.saturating_sub(ipv6::HEADER);
                put(headers, 4, (payload as u16).to_be_bytes());
            }
        }
    }

    /// Writes DSCP and ECN into the header at the start of `packet`.
    pub(super) fn write_traffic_class(&self, packet: &mut [u8], class: u8) {
        match self.family() {
            Family::Ipv4 => ipv4::set_traffic_class(packet, class),
            Family::Ipv6 => ipv6::set_traffic_class(packet, class),
        }
    }
}

/// Octets of a header of this family without options and extension headers.
pub(super) const fn header_of(family: Family) -> usize {
    match family {
        Family::Ipv4 => ipv4::HEADER,
        Family::Ipv6 => ipv6::HEADER,
    }
}

/// The protocol of a tunnel of this family in itself.
pub(super) const fn tunnel_protocol(family: Family) -> u8 {
    match family {
        Family::Ipv4 => IP_IN_IP,
        Family::Ipv6 => IPV6,
    }
}

/// The version of IP that a packet begins with.
pub(super) fn version(packet: &[u8]) -> Option<u8> {
    packet.first().map(|first| first >> 4)
}

/// The two ends of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    Ipv4 { local: Ipv4Addr, remote: Ipv4Addr },
    Ipv6 { local: Ipv6Addr, remote: Ipv6Addr },
}

impl Ends {
    /// None unless both are of one family.
    pub(super) const fn new(local: IpAddr, remote: IpAddr) -> Option<Self> {
        match (local, remote) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => Some(Self::Ipv4 { local, remote }),
            (IpAddr::V6(local), IpAddr::V6(remote)) => Some(Self::Ipv6 { local, remote }),
            _ => None,
        }
    }

    pub(super) const fn local(&self) -> IpAddr {
        match *self {
            Self::Ipv4 { local, .. } => IpAddr::V4(local),
            Self::Ipv6 { local, .. } => IpAddr::V6(local),
        }
    }

    pub(super) const fn remote(&self) -> IpAddr {
        match *self {
            Self::Ipv4 { remote, .. } => IpAddr::V4(remote),
            Self::Ipv6 { remote, .. } => IpAddr::V6(remote),
        }
    }

    pub(super) const fn family(&self) -> Family {
        Family::of(self.local())
    }

    /// Octets that the wrapping adds.
    #[expect(clippy::cast_possible_truncation, reason = "20 or 40")]
    pub(super) const fn overhead(&self) -> u16 {
        header_of(self.family()) as u16
    }

    /// The outer header of a packet, or of a piece of it.
    pub(super) fn outer_header(&self, cut: &Cut, identification: u16) -> OuterHeader {
        let (inner, length) = (&cut.ip, cut.length());
        let mut outer = OuterHeader {
            octets: [0; LARGEST_OUTER],
            length: header_of(self.family()),
        };
        match *self {
            Self::Ipv4 { local, remote } => {
                let header = ipv4::outer_header(local, remote, inner, identification, length);
                outer.octets[..ipv4::HEADER].copy_from_slice(&header);
            }
            Self::Ipv6 { local, remote } => {
                let next = match cut.piece {
                    Piece::Whole => IPV6,
                    Piece::First(_) | Piece::Later => ipv6::FRAGMENT,
                };
                outer.octets = ipv6::outer_header(local, remote, inner, next, length);
            }
        }
        outer
    }
}

/// The header around a packet in a tunnel.
#[derive(Debug, Clone, Copy)]
pub(super) struct OuterHeader {
    octets: [u8; LARGEST_OUTER],
    length: usize,
}

impl OuterHeader {
    pub(super) fn octets(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or_default()
    }
}

/// The inner DSCP and ECN after decapsulation (RFC 6040, section 4.2), or none when the packet was
/// congestion-marked and its sender would not understand.
pub(super) fn decapsulated_class(outer: u8, inner: u8) -> Option<u8> {
    const ECT_1: u8 = 1;
    const ECT_0: u8 = 2;
    const CE: u8 = 3;
    match (outer & 3, inner & 3) {
        (CE, 0) => None,
        (CE, _) => Some(inner | CE),
        (ECT_1, ECT_0) => Some(inner & !3 | ECT_1),
        _ => Some(inner),
    }
}

/// Addresses nothing inside a tunnel may go to or come from. IPv4: this network, loopback, link-local,
/// multicast, reserved and broadcast. IPv6: unspecified, loopback, IPv4 in disguise, link-local,
/// multicast.
pub(super) fn is_forbidden(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            matches!(address.octets(), [0 | 127 | 224.., ..] | [169, 254, ..])
        }
        IpAddr::V6(address) => {
            address.is_unspecified()
                || address.is_loopback()
                || address.is_multicast()
                || address.is_unicast_link_local()
                || address.to_ipv4_mapped().is_some()
        }
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "the numbers are small")]
mod tests {
    use super::*;

    #[test]
    fn ecn_follows_rfc_6040() {
        // Rows: outer ECN; columns: inner ECN; figure 4 of the RFC.
        let expected = [
            [Some(0), Some(1), Some(2), Some(3)],
            [Some(0), Some(1), Some(1), Some(3)],
            [Some(0), Some(1), Some(2), Some(3)],
            [None, Some(3), Some(3), Some(3)],
        ];
        for (outer, row) in expected.iter().enumerate() {
            for (inner, ecn) in row.iter().enumerate() {
                let dscp = 0xb8;
                let result = decapsulated_class(outer as u8, dscp | inner as u8);
                assert_eq!(
                    result,
                    ecn.map(|ecn| dscp | ecn),
                    "outer {outer}, inner {inner}"
                );
            }
        }
    }
}
