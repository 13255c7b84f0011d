//! The MSS clamp: both ends of a TCP connection through the tunnel learn from its first packets what
//! fits (RFC 9293, section 3.7.1; RFC 6691).

use super::checksum::{adjusted, get, put};
use super::ip::{Ip, TCP};

/// Octets of IP and TCP headers without options and extension headers, which an MSS does not count
/// (RFC 6691).
#[expect(clippy::cast_possible_truncation, reason = "40 or 60")]
pub(super) fn headers(ip: &Ip) -> u16 {
    (ip.least_header() + TCP_HEADER) as u16
}

const TCP_HEADER: usize = 20;

/// Lowers the MSS that a SYN or SYN-ACK in `packet` announces to what a packet of `largest` octets
/// holds, and returns the announced MSS thereafter. `partial` says that the checksum covers the
/// pseudo header alone.
pub(super) fn clamp(packet: &mut [u8], ip: &Ip, largest: u16, partial: bool) -> Option<u16> {
    const SYN: u8 = 0x02;
    if ip.protocol != TCP || ip.is_fragment() {
        return None;
    }
    let segment = packet.get_mut(ip.header..ip.total)?;
    if segment.get(13)? & SYN == 0 {
        return None;
    }
    let data = usize::from(segment.get(12)? >> 4) * 4;
    let at = mss_option(segment.get(..data)?)?;
    let announced = get(segment, at)?;
    let most = largest.saturating_sub(headers(ip)).to_be_bytes();
    if announced <= most {
        return Some(u16::from_be_bytes(announced));
    }
    // An option may start at an odd octet; then it has a share in two words of the checksum.
    let words = [at & !1, (at + 1) & !1];
    let words = words.get(..1 + at % 2)?;
    for (word, value) in words.iter().zip([0, 1]) {
        let old = get(segment, *word)?;
        match at % 2 {
            0 => put(segment, at, most),
            _ => *segment.get_mut(at + value)? = most[value],
        }
        if !partial {
            let checksum = adjusted(get(segment, 16)?, old, get(segment, *word)?);
            put(segment, 16, checksum);
        }
    }
    Some(u16::from_be_bytes(most))
}

/// Where the value of the option MSS stands in a TCP header.
fn mss_option(header: &[u8]) -> Option<usize> {
    let mut at = 20;
    loop {
        match *header.get(at)? {
            0 => return None,
            1 => at += 1,
            2 if *header.get(at + 1)? == 4 && at + 4 <= header.len() => return Some(at + 2),
            _ => match usize::from(*header.get(at + 1)?) {
                0 | 1 => return None,
                length => at += length,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{Ipv4HeaderSlice, PacketBuilder, TcpHeaderSlice, TcpOptionElement as Option_};

    fn syn(options: &[Option_]) -> Vec<u8> {
        let mut packet = Vec::new();
        PacketBuilder::ipv4([198, 51, 100, 7], [10, 0, 0, 1], 64)
            .tcp(80, 5000, 1, 1000)
            .syn()
            .options(options)
            .unwrap()
            .write(&mut packet, &[])
            .unwrap();
        packet
    }

    fn announced(packet: &[u8]) -> Option<u16> {
        let ip = Ipv4HeaderSlice::from_slice(packet).unwrap();
        let tcp = TcpHeaderSlice::from_slice(&packet[20..]).unwrap();
        assert_eq!(
            tcp.checksum(),
            tcp.calc_checksum_ipv4(&ip, &[]).unwrap(),
            "checksum"
        );
        tcp.options_iterator().find_map(|option| match option {
            Ok(Option_::MaximumSegmentSize(mss)) => Some(mss),
            _ => None,
        })
    }

    #[test]
    fn only_what_is_too_large_is_lowered() {
        let cases: [(&[Option_], _); 4] = [
            (
                &[
                    Option_::MaximumSegmentSize(1460),
                    Option_::SelectiveAcknowledgementPermitted,
                ],
                Some(1440),
            ),
            (
                &[Option_::Noop, Option_::MaximumSegmentSize(65495)],
                Some(1440),
            ),
            (
                &[Option_::WindowScale(7), Option_::MaximumSegmentSize(1440)],
                Some(1440),
            ),
            (&[Option_::MaximumSegmentSize(536)], Some(536)),
        ];
        for (options, expected) in cases {
            let mut packet = syn(options);
            let ip = Ip::parse(&packet).unwrap();
            assert_eq!(clamp(&mut packet, &ip, 1480, false), expected);
            assert_eq!(announced(&packet), expected);
        }
    }

    #[test]
    fn ipv6_leaves_room_for_its_longer_header() {
        let mut packet = Vec::new();
        PacketBuilder::ipv6([0x20; 16], [0x30; 16], 64)
            .tcp(80, 5000, 1, 1000)
            .syn()
            .options(&[Option_::MaximumSegmentSize(1440)])
            .unwrap()
            .write(&mut packet, &[])
            .unwrap();
        let ip = Ip::parse(&packet).unwrap();
        assert_eq!(clamp(&mut packet, &ip, 1460, false), Some(1400));
        assert!(ip.segment_is_intact(&packet));
    }

    #[test]
    fn other_packets_stay_as_they_are() {
        let mut without_option = syn(&[]);
        let mut data = Vec::new();
        let builder = PacketBuilder::ipv4([1, 2, 3, 4], [5, 6, 7, 8], 9).tcp(80, 5000, 1, 1000);
        builder
            .options(&[Option_::MaximumSegmentSize(9000)])
            .unwrap()
            .write(&mut data, &[1])
            .unwrap();
        for packet in [&mut without_option, &mut data] {
            let before = packet.clone();
            let ip = Ip::parse(packet).unwrap();
            assert_eq!(clamp(packet, &ip, 1480, false), None);
            assert_eq!(*packet, before);
        }
    }
}
