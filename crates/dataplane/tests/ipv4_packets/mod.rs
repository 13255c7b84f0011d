//! IPv4 packets made by hand, right and wrong ones.

#![allow(
    clippy::allow_attributes,
    dead_code,
    reason = "each user needs a part of it"
)]

use std::net::Ipv4Addr;

use etherparse::{IpNumber, Ipv4Header, PacketBuilder};

/// A packet of UDP with this after its header, which may be changed before its checksum is made.
pub(crate) fn packet(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    change: impl FnOnce(&mut Ipv4Header),
    payload: &[u8],
) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("a packet");
    let [source, destination] = [source, destination].map(|address| address.octets());
    let mut header =
        Ipv4Header::new(length, 60, IpNumber::UDP, source, destination).expect("a header");
    header.dont_fragment = false;
    change(&mut header);
    header.header_checksum = header.calc_header_checksum();
    [header.to_bytes().as_slice(), payload].concat()
}

/// A packet around another.
pub(crate) fn encapsulated(source: Ipv4Addr, destination: Ipv4Addr, inner: &[u8]) -> Vec<u8> {
    let change = |header: &mut Ipv4Header| header.protocol = IpNumber::IPV4;
    packet(source, destination, change, inner)
}

/// A UDP datagram.
pub(crate) fn datagram(source: Ipv4Addr, destination: Ipv4Addr, port: u16) -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4(source.octets(), destination.octets(), 60).udp(4000, port);
    builder.write(&mut packet, b"rubbish").expect("a packet");
    packet
}

/// What a router says of a packet that found nobody at its port.
pub(crate) fn report(source: Ipv4Addr, destination: Ipv4Addr, about: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4(source.octets(), destination.octets(), 60);
    let builder = builder.icmpv4_raw(3, 3, [0; 4]);
    builder.write(&mut packet, about).expect("a packet");
    packet
}

/// A fragment of this protocol; `offset` is that of its payload, in units of eight octets.
pub(crate) fn fragment(
    [source, destination]: [Ipv4Addr; 2],
    protocol: u8,
    offset: u16,
    more: bool,
    payload: &[u8],
) -> Vec<u8> {
    let change = |header: &mut Ipv4Header| {
        header.protocol = IpNumber(protocol);
        header.fragment_offset = offset.try_into().expect("an offset");
        header.more_fragments = more;
    };
    packet(source, destination, change, payload)
}

/// The packet with an option that leads it by another way.
pub(crate) fn source_routed(mut packet: Vec<u8>) -> Vec<u8> {
    packet[0] = 0x47;
    packet[3] += 8;
    packet.splice(20..20, [131, 7, 4, 1, 2, 3, 4, 0]);
    let (header, _) = Ipv4Header::from_slice(&packet).expect("a header");
    packet[10..12].copy_from_slice(&header.calc_header_checksum().to_be_bytes());
    packet
}
