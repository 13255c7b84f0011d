//! IPv6 packets made by hand, right and wrong ones.

#![allow(
    clippy::allow_attributes,
    dead_code,
    reason = "each user needs a part of it"
)]

use std::net::Ipv6Addr;

use etherparse::{IpNumber, Ipv6Header, PacketBuilder};

pub(crate) const UDP: u8 = 17;

/// A packet with this after its header.
pub(crate) fn packet(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    next_header: u8,
    payload: &[u8],
) -> Vec<u8> {
    let header = Ipv6Header {
        payload_length: payload.len().try_into().expect("a length"),
        next_header: IpNumber(next_header),
        hop_limit: 60,
        source: source.octets(),
        destination: destination.octets(),
        ..Ipv6Header::default()
    };
    [header.to_bytes().as_slice(), payload].concat()
}

/// IPv6 in IPv6.
pub(crate) fn wrapped(source: Ipv6Addr, destination: Ipv6Addr, inner: &[u8]) -> Vec<u8> {
    packet(source, destination, 41, inner)
}

/// A datagram of UDP with so many octets.
pub(crate) fn datagram(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    port: u16,
    octets: usize,
) -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv6(source.octets(), destination.octets(), 60).udp(4000, port);
    builder
        .write(&mut packet, &vec![7; octets])
        .expect("a packet");
    packet
}

/// What a router says of a packet that found nobody at its port.
pub(crate) fn report(source: Ipv6Addr, destination: Ipv6Addr, about: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv6(source.octets(), destination.octets(), 60);
    let builder = builder.icmpv6_raw(1, 4, [0; 4]);
    builder.write(&mut packet, about).expect("a packet");
    packet
}

/// The packet with these extension headers before what follows its header; the last of them names
/// the next protocol.
pub(crate) fn behind(first: u8, headers: &[u8], packet: &[u8]) -> Vec<u8> {
    let [source, destination] = [8, 24].map(|at| {
        let octets: [u8; 16] = packet[at..at + 16].try_into().expect("an address");
        Ipv6Addr::from(octets)
    });
    let payload = [headers, &packet[40..]].concat();
    self::packet(source, destination, first, &payload)
}

/// A fragment; `offset` is that of its payload, in octets.
pub(crate) fn fragment(
    [source, destination]: [Ipv6Addr; 2],
    next_header: u8,
    offset: u16,
    more: bool,
    payload: &[u8],
) -> Vec<u8> {
    let [high, low] = (offset | u16::from(more)).to_be_bytes();
    let header = [next_header, 0, high, low, 0, 0, 0, 9];
    packet(
        source,
        destination,
        44,
        &[header.as_slice(), payload].concat(),
    )
}
