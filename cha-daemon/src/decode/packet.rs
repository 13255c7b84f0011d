//! From an IP packet to the signalling in it: UDP port 434 over IPv4, the Mobility Header over IPv6,
//! and the latter in UDP port 4191 over either.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use mobility_protocol::wire::{mip4, mip6};

use super::link::Link;

const UDP: u8 = 17;
const UDP_HEADER: usize = 8;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const IPV6_FRAGMENT: u8 = 44;
const FRAGMENT_HEADER: usize = 8;

/// What a frame holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found<'f> {
    /// A Mobile IPv4 message.
    Datagram(Datagram<'f>),
    /// A Mobile IPv6 message.
    MobilityHeader(MobilityHeader),
    /// Signalling, but not to be read.
    Damaged {
        source: Endpoint,
        destination: Endpoint,
        /// A name for programs.
        kind: &'static str,
        /// A sentence.
        reason: String,
    },
    /// A later fragment of a datagram or packet: signalling or not, who knows.
    LaterFragment,
    /// Something else.
    Other,
}

/// One end of a message's way, with the port where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Port(SocketAddr),
    Host(IpAddr),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(address) => address.fmt(f),
            Self::Host(address) => address.fmt(f),
        }
    }
}

/// A Mobile IPv4 message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Datagram<'f> {
    pub(crate) source: Endpoint,
    pub(crate) destination: Endpoint,
    /// As far as it was captured.
    pub(crate) payload: &'f [u8],
    /// How many octets weren't.
    pub(crate) missing: usize,
}

/// A Mobile IPv6 message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MobilityHeader {
    /// Where the UDP datagram around its packet comes from and goes to.
    pub(crate) outer: Option<(Endpoint, Endpoint)>,
    pub(crate) source: Ipv6Addr,
    pub(crate) destination: Ipv6Addr,
    pub(crate) home_address: Option<Ipv6Addr>,
    pub(crate) routing_address: Option<Ipv6Addr>,
    pub(crate) pseudo_header: mip6::PseudoHeader,
    /// As far as it was captured.
    pub(crate) message: Vec<u8>,
    /// How many octets weren't.
    pub(crate) missing: usize,
}

/// What a captured frame holds.
pub(crate) fn inside(link: Link, frame: &[u8]) -> Found<'_> {
    link.network(frame)
        .and_then(inside_ip)
        .unwrap_or(Found::Other)
}

/// What an IP packet holds; `None` when it isn't one.
pub(crate) fn inside_ip(packet: &[u8]) -> Option<Found<'_>> {
    match packet.first()? >> 4 {
        4 => inside_ipv4(packet),
        6 => inside_ipv6(packet),
        _ => None,
    }
}

fn inside_ipv4(packet: &[u8]) -> Option<Found<'_>> {
    let header_length = usize::from(*packet.first()? & 0x0f) * 4;
    if header_length < IPV4_HEADER || *packet.get(9)? != UDP {
        return None;
    }
    let source = array(packet, 12).map(Ipv4Addr::from)?;
    let destination = array(packet, 16).map(Ipv4Addr::from)?;
    // Segmentation offload leaves the length zero.
    let total_length = match usize::from(be16(packet, 2)?) {
        0 => packet.len(),
        stated => stated,
    };
    let fragment = be16(packet, 6)?;
    if fragment & 0x1fff != 0 {
        return Some(Found::LaterFragment);
    }
    Some(inside_udp(&Transport {
        source: source.into(),
        destination: destination.into(),
        captured: packet.get(header_length..total_length.min(packet.len()))?,
        room: total_length.saturating_sub(header_length),
        is_fragment: fragment & 0x2000 != 0,
    }))
}

fn inside_ipv6(packet: &[u8]) -> Option<Found<'_>> {
    let next_header = *packet.get(6)?;
    let source = array(packet, 8).map(Ipv6Addr::from)?;
    let destination = array(packet, 24).map(Ipv6Addr::from)?;
    let room = match usize::from(be16(packet, 4)?) {
        0 => packet.len().saturating_sub(IPV6_HEADER),
        stated => stated,
    };
    let captured = packet.get(IPV6_HEADER..(IPV6_HEADER + room).min(packet.len()))?;
    let transport = Transport {
        source: source.into(),
        destination: destination.into(),
        captured,
        room,
        is_fragment: false,
    };
    match (next_header, captured) {
        (UDP, _) => Some(inside_udp(&transport)),
        (IPV6_FRAGMENT, [UDP, _, high, low, ..]) => {
            let fragment = u16::from_be_bytes([*high, *low]);
            if fragment & 0xfff8 != 0 {
                return Some(Found::LaterFragment);
            }
            Some(inside_udp(&Transport {
                captured: captured.get(FRAGMENT_HEADER..)?,
                room: room.saturating_sub(FRAGMENT_HEADER),
                is_fragment: fragment & 1 != 0,
                ..transport
            }))
        }
        _ => mobility_header(packet, None),
    }
}

/// A UDP datagram, or the first fragment of one.
struct Transport<'f> {
    source: IpAddr,
    destination: IpAddr,
    captured: &'f [u8],
    /// What the IP header says there was.
    room: usize,
    is_fragment: bool,
}

fn inside_udp<'f>(transport: &Transport<'f>) -> Found<'f> {
    let &Transport { captured, room, .. } = transport;
    let (Some(from), Some(to)) = (be16(captured, 0), be16(captured, 2)) else {
        return Found::Other;
    };
    let port = match [from, to] {
        ports if ports.contains(&mip4::PORT) && transport.source.is_ipv4() => mip4::PORT,
        ports if ports.contains(&mip6::PORT) => mip6::PORT,
        _ => return Found::Other,
    };
    let source = Endpoint::Port(SocketAddr::new(transport.source, from));
    let destination = Endpoint::Port(SocketAddr::new(transport.destination, to));
    let damaged = |kind, reason| match port {
        // More tunnelled packets than messages, and who knows which.
        mip6::PORT => Found::Other,
        _ => Found::Damaged {
            source,
            destination,
            kind,
            reason,
        },
    };
    if transport.is_fragment {
        return damaged(
            "fragment",
            "the first fragment of a datagram; fragments aren't put together here".to_owned(),
        );
    }
    let Some(udp_length) = be16(captured, 4).map(usize::from) else {
        return damaged(
            "truncated_capture",
            "the capture ends inside the UDP header".to_owned(),
        );
    };
    if udp_length < UDP_HEADER || udp_length > room {
        return damaged(
            "bad_udp_length",
            format!("the UDP header speaks of {udp_length} octets, the packet has {room}"),
        );
    }
    let payload = captured
        .get(UDP_HEADER..udp_length.min(captured.len()))
        .unwrap_or_default();
    if port == mip6::PORT {
        return mobility_header(payload, Some((source, destination))).unwrap_or(Found::Other);
    }
    Found::Datagram(Datagram {
        source,
        destination,
        payload,
        missing: udp_length - UDP_HEADER - payload.len(),
    })
}

/// The message in an IPv6 packet, itself in the UDP datagram between `outer` if that is given;
/// `None` when there is none.
fn mobility_header(packet: &[u8], outer: Option<(Endpoint, Endpoint)>) -> Option<Found<'static>> {
    let source = array(packet, 8).map(Ipv6Addr::from)?;
    let destination = array(packet, 24).map(Ipv6Addr::from)?;
    let end = IPV6_HEADER + usize::from(be16(packet, 4)?);
    let missing = end.saturating_sub(packet.len());
    // What was captured of a packet is a shorter packet, as far as its headers go.
    let mut shortened = packet.to_vec();
    if let (1.., Some(field)) = (missing, shortened.get_mut(4..6)) {
        let length = u16::try_from(packet.len() - IPV6_HEADER).ok()?;
        field.copy_from_slice(&length.to_be_bytes());
    }
    match mip6::Packet::decode(&shortened) {
        Ok(packet) => Some(Found::MobilityHeader(MobilityHeader {
            outer,
            source,
            destination,
            home_address: packet.home_address,
            routing_address: packet.routing_address,
            pseudo_header: packet.pseudo_header(),
            message: packet.message.to_vec(),
            missing,
        })),
        Err(mip6::PacketError::Fragment(offset)) if be16(packet, offset + 2)? & 0xfff8 != 0 => {
            Some(Found::LaterFragment)
        }
        Err(
            error @ (mip6::PacketError::Fragment(_) | mip6::PacketError::MalformedHeader { .. }),
        ) => {
            let bare = (
                Endpoint::Host(source.into()),
                Endpoint::Host(destination.into()),
            );
            let (source, destination) = outer.unwrap_or(bare);
            Some(Found::Damaged {
                source,
                destination,
                kind: error.drop_reason(),
                reason: error.to_string(),
            })
        }
        Err(
            mip6::PacketError::Version(_)
            | mip6::PacketError::Truncated { .. }
            | mip6::PacketError::OtherProtocol { .. },
        ) => None,
    }
}

pub(crate) fn be16(octets: &[u8], offset: usize) -> Option<u16> {
    array(octets, offset).map(u16::from_be_bytes)
}

fn array<const N: usize>(octets: &[u8], offset: usize) -> Option<[u8; N]> {
    octets.get(offset..offset.checked_add(N)?)?.try_into().ok()
}
