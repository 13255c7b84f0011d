//! IPv6 headers (RFC 8200), their extension headers, and the outer header of RFC 2473.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};

use super::checksum::put;
use super::ip::{Ip, OUTER_HOP_LIMIT};

/// Octets of a header without extension headers, hence of the outer header.
pub(super) const HEADER: usize = 40;

/// Octets of a fragment header.
pub(super) const FRAGMENT_HEADER: usize = 8;

/// The next header value of a fragment header.
pub(super) const FRAGMENT: u8 = 44;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;

/// RFC 8200, section 4.1, wants each at most once, destination options twice.
const MOST_EXTENSION_HEADERS: usize = 8;

/// RFC 6275, section 6.3.
const HOME_ADDRESS_OPTION: u8 = 201;

/// Reads the header and the extension headers at the start of `packet`. None unless they are whole;
/// of a first fragment they may be cut off, and [`Ip::protocol`] is then an extension header.
pub(super) fn parse(packet: &[u8]) -> Option<Ip> {
    let (ip, whole) = read(packet)?;
    let fits = ip.total <= packet.len();
    (fits && (whole || ip.more_fragments && ip.offset == 0)).then_some(ip)
}

/// Reads a header whose packet may be cut off, as in an ICMP error.
pub(super) fn parse_quote(packet: &[u8]) -> Option<Ip> {
    read(packet).map(|(ip, _)| ip)
}

/// Whether this next header value is one of an extension header that does not end the walk.
pub(super) fn is_extension(protocol: u8) -> bool {
    matches!(
        protocol,
        HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION_OPTIONS
    )
}

/// The header, and whether its extension headers are there to their end.
fn read(packet: &[u8]) -> Option<(Ip, bool)> {
    let fixed: &[u8; HEADER] = packet.first_chunk()?;
    if fixed[0] >> 4 != 6 {
        return None;
    }
    let total = HEADER + usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
    let word = u32::from_be_bytes([fixed[0], fixed[1], fixed[2], fixed[3]]);
    let source: [u8; 16] = *fixed[8..].first_chunk()?;
    let destination: [u8; 16] = *fixed[24..].first_chunk()?;
    let mut ip = Ip {
        source: IpAddr::from(source),
        destination: IpAddr::from(destination),
        protocol: fixed[6],
        traffic_class: fixed[0] << 4 | fixed[1] >> 4,
        flow_label: word & 0x000f_ffff,
        header: HEADER,
        total,
        dont_fragment: true,
        more_fragments: false,
        offset: 0,
        diverted: false,
    };
    let packet = packet.get(..total).unwrap_or(packet);
    for _ in 0..MOST_EXTENSION_HEADERS {
        if ip.offset != 0 || !is_extension(ip.protocol) {
            return Some((ip, true));
        }
        if pass_extension(&mut ip, packet).is_none() {
            break;
        }
    }
    Some((ip, ip.offset != 0 || !is_extension(ip.protocol)))
}

/// Goes past one extension header. None when it is not there to its end.
fn pass_extension(ip: &mut Ip, packet: &[u8]) -> Option<()> {
    let rest = packet.get(ip.header..)?;
    let &[next, length, third, fourth] = rest.first_chunk()?;
    let length = match ip.protocol {
        FRAGMENT => FRAGMENT_HEADER,
        AUTHENTICATION => (usize::from(length) + 2) * 4,
        _ => (usize::from(length) + 1) * 8,
    };
    let header = rest.get(..length)?;
    match ip.protocol {
        FRAGMENT => {
            let place = u16::from_be_bytes([third, fourth]);
            ip.offset = usize::from(place & 0xfff8);
            ip.more_fragments = place & 1 != 0;
        }
        // `fourth` counts the segments left.
        ROUTING => ip.diverted |= fourth != 0,
        DESTINATION_OPTIONS => ip.diverted |= has_home_address(header.get(2..)?),
        _ => {}
    }
    ip.protocol = next;
    ip.header += length;
    Some(())
}

/// Whether destination options hold a Home Address option, or are not readable to their end.
fn has_home_address(options: &[u8]) -> bool {
    let mut rest = options;
    while let [kind, tail @ ..] = rest {
        match kind {
            0 => rest = tail,
            &HOME_ADDRESS_OPTION => return true,
            _ => match tail.split_first() {
                Some((length, data)) if data.len() >= usize::from(*length) => {
                    rest = data.get(usize::from(*length)..).unwrap_or_default();
                }
                _ => return true,
            },
        }
    }
    false
}

/// The outer header (RFC 2473, section 5.1), without a tunnel encapsulation limit, whose destination
/// options many networks drop.
pub(super) fn outer_header(
    local: Ipv6Addr,
    remote: Ipv6Addr,
    inner: &Ip,
    next_header: u8,
    payload: usize,
) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    // RFC 6040, section 4.1: the ECN field is copied, and so is the DSCP. The flow label tells flows
    // apart to routers on the way, as RFC 6438 wants it.
    let class = u32::from(inner.traffic_class) << 20;
    let word = 6 << 28 | class | inner.flow_label;
    header[..4].copy_from_slice(&word.to_be_bytes());
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the sender of the packet holds to the path MTU"
    )]
    header[4..6].copy_from_slice(&(payload as u16).to_be_bytes());
    header[6] = next_header;
    header[7] = OUTER_HOP_LIMIT;
    header[8..24].copy_from_slice(&local.octets());
    header[24..].copy_from_slice(&remote.octets());
    header
}

/// Identifications of packets that go in pieces, which nobody can foresee (RFC 7739).
#[derive(Debug, Default)]
pub(crate) struct Identifications {
    randomness: RandomState,
    given: AtomicU64,
}

impl Identifications {
    /// Another one.
    #[expect(clippy::cast_possible_truncation, reason = "32 of its bits")]
    pub(crate) fn next(&self) -> u32 {
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        self.randomness.hash_one(number) as u32
    }
}

/// Source and destination of a packet without extension headers, and the packet in pieces of up to
/// `most` octets (RFC 8200, section 4.5). None when it is no such packet, or no larger.
pub(crate) fn pieces(
    packet: &[u8],
    most: u32,
    identification: u32,
) -> Option<(Ipv6Addr, Ipv6Addr, Vec<Vec<u8>>)> {
    let ip = parse(packet).filter(|ip| ip.header == HEADER && ip.total == packet.len())?;
    let (IpAddr::V6(source), IpAddr::V6(destination)) = (ip.source, ip.destination) else {
        return None;
    };
    let most = usize::try_from(most).ok()?;
    let (header, payload) = packet.split_first_chunk::<HEADER>()?;
    let step = most.checked_sub(HEADER + FRAGMENT_HEADER)? & !7;
    if packet.len() <= most || step == 0 {
        return None;
    }
    let last = payload.chunks(step).count() - 1;
    let pieces = payload.chunks(step).enumerate().map(|(number, carried)| {
        let place = u16::try_from(number * step).ok()? | u16::from(number != last);
        let length = u16::try_from(FRAGMENT_HEADER + carried.len()).ok()?;
        let mut piece = header.to_vec();
        put(&mut piece, 4, length.to_be_bytes());
        put(&mut piece, 6, [FRAGMENT, header[7]]);
        piece.extend([ip.protocol, 0]);
        piece.extend(place.to_be_bytes());
        piece.extend(identification.to_be_bytes());
        piece.extend(carried);
        Some(piece)
    });
    Some((source, destination, pieces.collect::<Option<_>>()?))
}

/// Writes the traffic class of the header at the start of `packet`.
pub(super) fn set_traffic_class(packet: &mut [u8], class: u8) {
    if let Some([first, second]) = packet.first_chunk_mut() {
        *first = *first & 0xf0 | class >> 4;
        *second = *second & 0x0f | class << 4;
    }
}

#[cfg(test)]
mod tests;
