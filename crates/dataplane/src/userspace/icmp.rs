//! ICMP errors (RFC 792, RFC 1812 section 4.3): made, recognised, and kept rare.

use std::net::Ipv4Addr;
use std::time::Instant;

use super::device::is_forbidden;
use super::ipv4::{self, HEADER, ICMP, Ipv4};

/// What a packet's sender is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Complaint {
    /// Nobody has the home address the packet is for (type 3, code 1).
    HostUnreachable,
    /// The packet exceeds the way through the tunnel, and this is what fits (type 3, code 4).
    TooBig(u16),
    /// The destination is not a correspondent (type 3, code 13).
    Prohibited,
}

const UNREACHABLE: u8 = 3;
const CODE_TOO_BIG: u8 = 4;

/// RFC 1812, section 4.3.2.3: as much of the packet as fits into 576 octets.
const LARGEST: usize = 576;

/// RFC 1812, section 4.3.2.5: the precedence of ICMP errors.
const INTERNETWORK_CONTROL: u8 = 0xc0;

/// The ICMP error about a packet, or none where RFC 1812, section 4.3.2.7, forbids one: about ICMP
/// errors, later fragments, and packets that don't name one sender and one receiver.
pub(super) fn complaint(
    complaint: Complaint,
    from: Ipv4Addr,
    ip: &Ipv4,
    packet: &[u8],
) -> Option<Vec<u8>> {
    let payload = packet.get(ip.header..)?;
    let answers_error = ip.protocol == ICMP && payload.first().is_none_or(|kind| is_error(*kind));
    if answers_error || ip.offset != 0 || is_forbidden(ip.source) || is_forbidden(ip.destination) {
        return None;
    }
    let quote = packet.get(..ip.total.min(LARGEST - HEADER - 8))?;
    let (code, mtu) = match complaint {
        Complaint::HostUnreachable => (1, 0),
        Complaint::TooBig(mtu) => (CODE_TOO_BIG, mtu),
        Complaint::Prohibited => (13, 0),
    };
    let [mtu_high, mtu_low] = mtu.to_be_bytes();
    let total = HEADER + 8 + quote.len();
    let [total_high, total_low] = u16::try_from(total).ok()?.to_be_bytes();

    let mut error = Vec::with_capacity(total);
    error.extend([
        0x45,
        INTERNETWORK_CONTROL,
        total_high,
        total_low,
        0,
        0,
        0,
        0,
        64,
        ICMP,
        0,
        0,
    ]);
    error.extend(from.octets());
    error.extend(ip.source.octets());
    error.extend([UNREACHABLE, code, 0, 0, 0, 0, mtu_high, mtu_low]);
    error.extend(quote);
    let checksum = !ipv4::fold(ipv4::sum(error.get(HEADER..)?));
    ipv4::put(&mut error, HEADER + 2, checksum.to_ne_bytes());
    ipv4::write_header_checksum(&mut error, HEADER);
    Some(error)
}

/// The packet an ICMP error complains about, if this is one.
pub(super) fn quoted(ip: &Ipv4, packet: &[u8]) -> Option<Ipv4> {
    let message = packet.get(ip.header..ip.total)?;
    let reports = ip.protocol == ICMP && ip.offset == 0 && is_error(*message.first()?);
    reports
        .then(|| Ipv4::parse_quote(message.get(8..)?))
        .flatten()
}

/// The size of packet that fits, if this is an ICMP error that says so (RFC 1191, section 4).
pub(super) fn next_hop_mtu(ip: &Ipv4, packet: &[u8]) -> Option<u16> {
    let message: &[u8; 8] = packet.get(ip.header..ip.total)?.first_chunk()?;
    let says_so =
        ip.protocol == ICMP && ip.offset == 0 && message[..2] == [UNREACHABLE, CODE_TOO_BIG];
    says_so.then(|| u16::from_be_bytes([message[6], message[7]]))
}

/// Destination unreachable, source quench, redirect, time exceeded, parameter problem.
fn is_error(kind: u8) -> bool {
    matches!(kind, 3 | 4 | 5 | 11 | 12)
}

/// How many ICMP errors may still be sent (RFC 1812, section 4.3.2.8): a bucket that refills evenly.
#[derive(Debug)]
pub(super) struct Allowance {
    left: f64,
    updated: Instant,
}

impl Allowance {
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

    const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

    fn udp(source: [u8; 4], destination: [u8; 4], octets: usize) -> Vec<u8> {
        let mut packet = Vec::new();
        let builder = PacketBuilder::ipv4(source, destination, 64).udp(1000, 2000);
        builder.write(&mut packet, &vec![7; octets]).unwrap();
        packet
    }

    fn about(packet: &[u8], what: Complaint) -> Option<Vec<u8>> {
        complaint(what, GATEWAY, &Ipv4::parse(packet).unwrap(), packet)
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
        assert_eq!(ip.header().source_addr(), GATEWAY);
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

        let header = Ipv4::parse(&error).unwrap();
        assert_eq!(next_hop_mtu(&header, &error), Some(1260));
        let quote = quoted(&header, &error).unwrap();
        assert_eq!(
            (quote.source.octets(), quote.total),
            ([198, 51, 100, 7], packet.len())
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
        let mut allowance = Allowance::new(start);
        assert_eq!((0..1000).filter(|_| allowance.take(start)).count(), 50);
        let later = start + Duration::from_millis(100);
        assert_eq!((0..1000).filter(|_| allowance.take(later)).count(), 20);
    }
}
