//! ICMP errors (RFC 792, RFC 1812 section 4.3; RFC 4443): made, recognised, and kept rare.

use std::net::IpAddr;
use std::time::Instant;

use mobility_protocol::Family;

use super::checksum::{fold, put, sum};
use super::ip::{ICMP, ICMPV6, Ip, is_forbidden};
use super::{ipv4, ipv6};

/// What a packet's sender is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Complaint {
    /// Nobody has the home address the packet is for: host or address unreachable.
    HostUnreachable,
    /// The packet exceeds the way through the tunnel, and this is what fits.
    TooBig(u16),
    /// The destination is not a correspondent: administratively prohibited.
    Prohibited,
}

const UNREACHABLE: u8 = 3;
const CODE_TOO_BIG: u8 = 4;

/// Types of ICMPv6.
const UNREACHABLE_6: u8 = 1;
const TOO_BIG_6: u8 = 2;
const REDIRECT_6: u8 = 137;

/// Octets of the message before the packet it quotes.
const MESSAGE: usize = 8;

/// RFC 1812, section 4.3.2.3: as much of the packet as fits into 576 octets; RFC 4443, section 2.4:
/// into 1280.
const LARGEST: usize = 576;
const LARGEST_6: usize = 1280;

/// RFC 1812, section 4.3.2.5: the precedence of ICMP errors.
const INTERNETWORK_CONTROL: u8 = 0xc0;

const HOP_LIMIT: u8 = 64;

/// The ICMP error about a packet, or none where RFC 1812, section 4.3.2.7, and RFC 4443, section 2.4,
/// forbid one: about ICMP errors, later fragments, and packets that don't name one sender and one
/// receiver; and when `from` is of the other family.
pub(super) fn complaint(
    complaint: Complaint,
    from: IpAddr,
    ip: &Ip,
    packet: &[u8],
) -> Option<Vec<u8>> {
    let payload = packet.get(ip.header..)?;
    let answers_error = ip.is_icmp()
        && payload
            .first()
            .is_none_or(|kind| is_error(ip.family(), *kind));
    if answers_error || ip.offset != 0 || is_forbidden(ip.source) || is_forbidden(ip.destination) {
        return None;
    }
    match (from, ip.source) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let (code, mtu) = match complaint {
                Complaint::HostUnreachable => (1, 0),
                Complaint::TooBig(mtu) => (CODE_TOO_BIG, mtu),
                Complaint::Prohibited => (13, 0),
            };
            let quote = packet.get(..ip.total.min(LARGEST - ipv4::HEADER - MESSAGE))?;
            let total = ipv4::HEADER + MESSAGE + quote.len();
            let [total_high, total_low] = u16::try_from(total).ok()?.to_be_bytes();
            let mut error = Vec::with_capacity(total);
            error.extend([0x45, INTERNETWORK_CONTROL, total_high, total_low]);
            error.extend([0, 0, 0, 0, HOP_LIMIT, ICMP, 0, 0]);
            error.extend(from.octets());
            error.extend(to.octets());
            let [mtu_high, mtu_low] = mtu.to_be_bytes();
            error.extend([UNREACHABLE, code, 0, 0, 0, 0, mtu_high, mtu_low]);
            error.extend(quote);
            let checksum = !fold(sum(error.get(ipv4::HEADER..)?));
            put(&mut error, ipv4::HEADER + 2, checksum.to_ne_bytes());
            ipv4::write_header_checksum(&mut error, ipv4::HEADER);
            Some(error)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let (kind, code, mtu) = match complaint {
                Complaint::HostUnreachable => (UNREACHABLE_6, 3, 0),
                Complaint::TooBig(mtu) => (TOO_BIG_6, 0, mtu),
                Complaint::Prohibited => (UNREACHABLE_6, 1, 0),
            };
            let quote = packet.get(..ip.total.min(LARGEST_6 - ipv6::HEADER - MESSAGE))?;
            let length = MESSAGE + quote.len();
            let [length_high, length_low] = u16::try_from(length).ok()?.to_be_bytes();
            let mut error = Vec::with_capacity(ipv6::HEADER + length);
            error.extend([0x60, 0, 0, 0, length_high, length_low, ICMPV6, HOP_LIMIT]);
            error.extend(from.octets());
            error.extend(to.octets());
            let [mtu_high, mtu_low] = mtu.to_be_bytes();
            error.extend([kind, code, 0, 0, 0, 0, mtu_high, mtu_low]);
            error.extend(quote);
            let pseudo = Ip::parse(&error)?.pseudo_header(length);
            let checksum = !fold(pseudo + sum(error.get(ipv6::HEADER..)?));
            put(&mut error, ipv6::HEADER + 2, checksum.to_ne_bytes());
            Some(error)
        }
        _ => None,
    }
}

/// Whether this says what became of a packet.
pub(super) fn is_report(ip: &Ip, packet: &[u8]) -> bool {
    let kind = packet.get(ip.header..ip.total).and_then(<[u8]>::first);
    ip.is_icmp() && ip.offset == 0 && kind.is_some_and(|kind| reports(ip.family(), *kind))
}

/// The packet an ICMP error reports about, if this is one.
pub(super) fn quoted(ip: &Ip, packet: &[u8]) -> Option<Ip> {
    if !is_report(ip, packet) {
        return None;
    }
    let message = packet.get(ip.header..ip.total)?;
    let quoted = Ip::parse_quote(message.get(MESSAGE..)?)?;
    (quoted.family() == ip.family()).then_some(quoted)
}

/// The size of packet that fits, if this is an ICMP error that says so (RFC 1191, section 4; RFC 4443,
/// section 3.2).
pub(super) fn next_hop_mtu(ip: &Ip, packet: &[u8]) -> Option<u16> {
    let message: &[u8; MESSAGE] = packet.get(ip.header..ip.total)?.first_chunk()?;
    if !ip.is_icmp() || ip.offset != 0 {
        return None;
    }
    match ip.family() {
        Family::Ipv4 => (message[..2] == [UNREACHABLE, CODE_TOO_BIG])
            .then(|| u16::from_be_bytes([message[6], message[7]])),
        Family::Ipv6 => (message[0] == TOO_BIG_6).then(|| {
            let mtu = u32::from_be_bytes([message[4], message[5], message[6], message[7]]);
            u16::try_from(mtu).unwrap_or(u16::MAX)
        }),
    }
}

/// Destination unreachable, packet too big, time exceeded, parameter problem.
fn reports(family: Family, kind: u8) -> bool {
    match family {
        Family::Ipv4 => matches!(kind, 3 | 11 | 12),
        Family::Ipv6 => matches!(kind, 1..=4),
    }
}

/// ICMP: destination unreachable, source quench, redirect, time exceeded, parameter problem. ICMPv6:
/// all errors, and redirects, which are not to be answered by errors either.
fn is_error(family: Family, kind: u8) -> bool {
    match family {
        Family::Ipv4 => matches!(kind, 3 | 4 | 5 | 11 | 12),
        Family::Ipv6 => kind < 128 || kind == REDIRECT_6,
    }
}

/// How many ICMP errors may still be sent (RFC 1812, section 4.3.2.8): a bucket that refills evenly.
#[derive(Debug)]
pub(super) struct Complaints {
    left: f64,
    updated: Instant,
}

impl Complaints {
    const PER_SECOND: f64 = 200.0;
    const BURST: f64 = 50.0;

    pub(super) fn new(now: Instant) -> Self {
        Self {
            left: Self::BURST,
            updated: now,
        }
    }

    /// Whether one more may go now.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let refill = now.saturating_duration_since(self.updated).as_secs_f64() * Self::PER_SECOND;
        self.left = (self.left + refill).min(Self::BURST);
        self.updated = now;
        let granted = self.left >= 1.0;
        if granted {
            self.left -= 1.0;
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{
        Icmpv4Type, NetSlice, PacketBuilder, SlicedPacket,
        icmpv4::DestUnreachableHeader as Unreachable,
    };
    use std::time::Duration;

    const GATEWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn udp(source: [u8; 4], destination: [u8; 4], octets: usize) -> Vec<u8> {
        let mut packet = Vec::new();
        let builder = PacketBuilder::ipv4(source, destination, 64).udp(1000, 2000);
        builder.write(&mut packet, &vec![7; octets]).unwrap();
        packet
    }

    fn about(packet: &[u8], what: Complaint) -> Option<Vec<u8>> {
        complaint(what, GATEWAY, &Ip::parse(packet).unwrap(), packet)
    }

    #[test]
    fn an_error_quotes_the_packet_and_reaches_its_sender() {
        let packet = udp([198, 51, 100, 7], [10, 0, 0, 1], 1400);
        let error = about(&packet, Complaint::TooBig(1260)).unwrap();
        assert_eq!(error.len(), LARGEST);

        let sliced = SlicedPacket::from_ip(&error).unwrap();
        let Some(NetSlice::Ipv4(ip)) = sliced.net else {
            panic!("not IPv4")
        };
        assert_eq!(IpAddr::from(ip.header().source_addr()), GATEWAY);
        assert_eq!(ip.header().destination(), [198, 51, 100, 7]);
        assert_eq!(
            ip.header().header_checksum(),
            ip.header().to_header().calc_header_checksum()
        );
        let Some(etherparse::TransportSlice::Icmpv4(icmp)) = sliced.transport else {
            panic!("not ICMP")
        };
        let expected = Unreachable::FragmentationNeeded { next_hop_mtu: 1260 };
        assert_eq!(
            icmp.icmp_type(),
            Icmpv4Type::DestinationUnreachable(expected)
        );
        assert_eq!(
            icmp.header().checksum,
            icmp.icmp_type().calc_checksum(icmp.payload())
        );

        let header = Ip::parse(&error).unwrap();
        assert_eq!(next_hop_mtu(&header, &error), Some(1260));
        let quote = quoted(&header, &error).unwrap();
        assert_eq!(
            (quote.source, quote.total),
            (IpAddr::from([198, 51, 100, 7]), packet.len())
        );
    }

    #[test]
    fn no_error_answers_an_error_a_later_fragment_or_a_multicast() {
        let packet = udp([198, 51, 100, 7], [10, 0, 0, 1], 100);
        let error = about(&packet, Complaint::HostUnreachable).unwrap();
        assert_eq!(about(&error, Complaint::HostUnreachable), None);

        let mut fragment = packet.clone();
        fragment[7] = 1;
        assert_eq!(about(&fragment, Complaint::HostUnreachable), None);
        fragment[6..8].copy_from_slice(&[0x20, 0]);
        assert!(
            about(&fragment, Complaint::HostUnreachable).is_some(),
            "a first fragment is answered"
        );

        assert_eq!(
            about(
                &udp([198, 51, 100, 7], [224, 0, 0, 251], 10),
                Complaint::HostUnreachable
            ),
            None
        );
        assert_eq!(
            about(
                &udp([0, 0, 0, 0], [10, 0, 0, 1], 10),
                Complaint::HostUnreachable
            ),
            None
        );
    }

    #[test]
    fn errors_are_rare() {
        let start = Instant::now();
        let mut complaints = Complaints::new(start);
        assert_eq!((0..1000).filter(|_| complaints.take(start)).count(), 50);
        let later = start + Duration::from_millis(100);
        assert_eq!((0..1000).filter(|_| complaints.take(later)).count(), 20);
    }
}
