//! Packets made by hand, and read by eye.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::checksum;

/// The IP protocol of UDP.
pub(crate) const UDP: u8 = 17;

const HOPS: u8 = 64;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const UDP_HEADER: usize = 8;

/// A UDP datagram in a packet of the addresses' family.
pub(crate) fn udp(from: SocketAddr, to: SocketAddr, data: &[u8]) -> Vec<u8> {
    match (from.ip(), to.ip()) {
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let datagram = udp_in_ipv6((source, from.port()), (destination, to.port()), data);
            ipv6(source, destination, UDP, &datagram)
        }
        (source, destination) => {
            let of_ipv4 = |address| match address {
                IpAddr::V4(address) => address,
                IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
            };
            // In IPv4 the checksum may be left out.
            let datagram = unsealed(from.port(), to.port(), data);
            ipv4(of_ipv4(source), of_ipv4(destination), UDP, &datagram)
        }
    }
}

/// A UDP datagram for a packet of IPv6.
pub(crate) fn udp_in_ipv6(from: (Ipv6Addr, u16), to: (Ipv6Addr, u16), data: &[u8]) -> Vec<u8> {
    let mut datagram = unsealed(from.1, to.1, data);
    let checksum = checksum::over_ipv6(from.0, to.0, UDP, &datagram);
    datagram[6..8].copy_from_slice(&checksum.to_be_bytes());
    datagram
}

/// A packet of IPv4.
pub(crate) fn ipv4(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend(length(IPV4_HEADER + payload.len()));
    packet.extend([0, 0, 0, 0, HOPS, protocol, 0, 0]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    let checksum = checksum::over(&packet);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet.extend(payload);
    packet
}

/// A packet of IPv6.
pub(crate) fn ipv6(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    next_header: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(length(payload.len()));
    packet.extend([next_header, HOPS]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(payload);
    packet
}

/// The header of the UDP datagram in a packet without options or extension headers.
pub(crate) fn udp_header(packet: &[u8]) -> Option<&[u8]> {
    let header = match packet.first()? >> 4 {
        4 => IPV4_HEADER,
        _ => IPV6_HEADER,
    };
    packet.get(header..header + UDP_HEADER)
}

/// The data of the UDP datagram in a packet without options or extension headers.
pub(crate) fn udp_data(packet: &[u8]) -> Option<&[u8]> {
    let header = match packet.first()? >> 4 {
        4 => IPV4_HEADER,
        _ => IPV6_HEADER,
    };
    packet.get(header + UDP_HEADER..)
}

/// Who a packet is from and to.
pub(crate) fn ends(packet: &[u8]) -> Option<(IpAddr, IpAddr)> {
    match packet.first()? >> 4 {
        4 => {
            let of = |octets: &[u8]| Some(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?));
            let [source, destination] = [packet.get(12..16)?, packet.get(16..20)?];
            Some((of(source)?.into(), of(destination)?.into()))
        }
        6 => {
            let of = |octets: &[u8]| Some(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?));
            let [source, destination] = [packet.get(8..24)?, packet.get(24..40)?];
            Some((of(source)?.into(), of(destination)?.into()))
        }
        _ => None,
    }
}

/// What a packet of IPv4 without options carries.
pub(crate) fn ipv4_payload(packet: &[u8]) -> Option<&[u8]> {
    packet.get(IPV4_HEADER..)
}

fn unsealed(from: u16, to: u16, data: &[u8]) -> Vec<u8> {
    let mut datagram = [from.to_be_bytes(), to.to_be_bytes()].concat();
    datagram.extend(length(UDP_HEADER + data.len()));
    datagram.extend([0; 2]);
    datagram.extend(data);
    datagram
}

fn length(octets: usize) -> [u8; 2] {
    u16::try_from(octets).unwrap_or(u16::MAX).to_be_bytes()
}
