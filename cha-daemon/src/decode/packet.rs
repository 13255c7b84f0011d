//! From a captured frame to the signalling in it: link layer, IPv4, UDP port 434.

use std::net::{Ipv4Addr, SocketAddrV4};

/// Mobile IP signalling (RFC 5944, section 3).
const SIGNALLING_PORT: u16 = 434;
const UDP: u8 = 17;
const UDP_HEADER: usize = 8;
const IPV4_HEADER: usize = 20;
const ETHERTYPE_IPV4: u16 = 0x0800;
const VLAN_TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];

/// What a frame holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found<'f> {
    /// A signalling message.
    Datagram(Datagram<'f>),
    /// Signalling, but not to be read.
    Damaged {
        /// Sender; port 0 when unknown.
        source: SocketAddrV4,
        /// Receiver; port 0 when unknown.
        destination: SocketAddrV4,
        /// A name for programs.
        kind: &'static str,
        /// A sentence.
        reason: String,
    },
    /// A fragment of a UDP datagram without the ports: signalling or not, who knows.
    LaterFragment,
    /// Something else.
    Other,
}

/// A signalling message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Datagram<'f> {
    pub(crate) source: SocketAddrV4,
    pub(crate) destination: SocketAddrV4,
    /// As far as it was captured.
    pub(crate) payload: &'f [u8],
    /// How many octets weren't.
    pub(crate) missing: usize,
}

/// How a capture frames packets (tcpdump.org, link-layer header types).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Ethernet,
    LinuxCooked,
    LinuxCooked2,
    /// An address family in either byte order.
    Null,
    Raw,
}

impl Link {
    /// The type of this number, if it is one of ours.
    pub(crate) fn of_number(number: i32) -> Option<Self> {
        match number {
            0 | 108 => Some(Self::Null),
            1 => Some(Self::Ethernet),
            12 | 14 | 101 | 228 => Some(Self::Raw),
            113 => Some(Self::LinuxCooked),
            276 => Some(Self::LinuxCooked2),
            _ => None,
        }
    }

    /// The IPv4 packet in a frame.
    fn network(self, frame: &[u8]) -> Option<&[u8]> {
        match self {
            Self::Ethernet => after_ethertype(frame, 12),
            Self::LinuxCooked => after_ethertype(frame, 14),
            Self::LinuxCooked2 => (be16(frame, 0)? == ETHERTYPE_IPV4).then(|| frame.get(20..))?,
            Self::Null => {
                matches!(frame.get(..4)?, [2, 0, 0, 0] | [0, 0, 0, 2]).then(|| frame.get(4..))?
            }
            Self::Raw => Some(frame),
        }
    }
}

/// What is behind the EtherType at `offset` and the VLAN tags there may be (802.1Q).
fn after_ethertype(frame: &[u8], mut offset: usize) -> Option<&[u8]> {
    const DEEPEST: usize = 4;
    for _ in 0..DEEPEST {
        let ethertype = be16(frame, offset)?;
        if ethertype == ETHERTYPE_IPV4 {
            return frame.get(offset + 2..);
        }
        if !VLAN_TAGS.contains(&ethertype) {
            return None;
        }
        offset += 4;
    }
    None
}

/// What a captured frame holds.
pub(crate) fn inside(link: Link, frame: &[u8]) -> Found<'_> {
    link.network(frame)
        .and_then(inside_ipv4)
        .unwrap_or(Found::Other)
}

/// What an IPv4 packet holds; `None` when it isn't one.
pub(crate) fn inside_ipv4(packet: &[u8]) -> Option<Found<'_>> {
    let first = *packet.first()?;
    let header_length = usize::from(first & 0x0f) * 4;
    let total_length = usize::from(be16(packet, 2)?);
    if first >> 4 != 4 || header_length < IPV4_HEADER || *packet.get(9)? != UDP {
        return None;
    }
    let (source, destination) = (ipv4(packet, 12)?, ipv4(packet, 16)?);
    // Segmentation offload leaves the length zero.
    let total_length = if total_length == 0 {
        packet.len()
    } else {
        total_length
    };
    let captured = packet.get(header_length..total_length.min(packet.len()))?;
    let fragment = be16(packet, 6)?;
    let (offset, more) = (fragment & 0x1fff, fragment & 0x2000 != 0);
    if offset != 0 {
        return Some(Found::LaterFragment);
    }
    let (Some(from), Some(to)) = (be16(captured, 0), be16(captured, 2)) else {
        return Some(Found::Other);
    };
    if from != SIGNALLING_PORT && to != SIGNALLING_PORT {
        return Some(Found::Other);
    }
    let (source, destination) = (
        SocketAddrV4::new(source, from),
        SocketAddrV4::new(destination, to),
    );
    let damaged = |kind, reason| {
        Some(Found::Damaged {
            source,
            destination,
            kind,
            reason,
        })
    };
    if more {
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
    let room = total_length.saturating_sub(header_length);
    if udp_length < UDP_HEADER || udp_length > room {
        return damaged(
            "bad_udp_length",
            format!("the UDP header speaks of {udp_length} octets, the packet has {room}"),
        );
    }
    let payload = captured
        .get(UDP_HEADER..udp_length.min(captured.len()))
        .unwrap_or_default();
    let missing = udp_length - UDP_HEADER - payload.len();
    Some(Found::Datagram(Datagram {
        source,
        destination,
        payload,
        missing,
    }))
}

fn be16(octets: &[u8], offset: usize) -> Option<u16> {
    octets
        .get(offset..offset.checked_add(2)?)?
        .try_into()
        .ok()
        .map(u16::from_be_bytes)
}

fn ipv4(octets: &[u8], offset: usize) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = octets
        .get(offset..offset.checked_add(4)?)?
        .try_into()
        .ok()?;
    Some(octets.into())
}
