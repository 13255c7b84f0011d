//! IPv4 headers (RFC 791), and the outer header of RFC 2003.

use std::net::{IpAddr, Ipv4Addr};

use super::checksum::{adjusted, fold, get, put, sum};
use super::ip::{IP_IN_IP, Ip, OUTER_HOP_LIMIT};

/// Octets of a header without options, hence of the outer header.
pub(super) const HEADER: usize = 20;

/// Reads a header whose packet may be cut off, as in an ICMP error.
pub(super) fn parse_quote(packet: &[u8]) -> Option<Ip> {
    let fixed: &[u8; HEADER] = packet.first_chunk()?;
    let header = usize::from(fixed[0] & 0x0f) * 4;
    if fixed[0] >> 4 != 4 || header < HEADER {
        return None;
    }
    let options = packet.get(HEADER..header)?;
    let fragment = u16::from_be_bytes([fixed[6], fixed[7]]);
    Some(Ip {
        source: IpAddr::from([fixed[12], fixed[13], fixed[14], fixed[15]]),
        destination: IpAddr::from([fixed[16], fixed[17], fixed[18], fixed[19]]),
        protocol: fixed[9],
        traffic_class: fixed[1],
        flow_label: 0,
        header,
        total: usize::from(u16::from_be_bytes([fixed[2], fixed[3]])),
        dont_fragment: fragment & 0x4000 != 0,
        more_fragments: fragment & 0x2000 != 0,
        offset: usize::from(fragment & 0x1fff) * 8,
        diverted: has_source_route(options),
    })
}

/// Writes the checksum of the header at the start of `packet`.
pub(super) fn write_header_checksum(packet: &mut [u8], header: usize) {
    put(packet, 10, [0, 0]);
    let checksum = !fold(sum(packet.get(..header).unwrap_or_default()));
    put(packet, 10, checksum.to_ne_bytes());
}

/// Whether the checksum of the header at the start of `packet` is right.
pub(super) fn header_is_intact(packet: &[u8], header: usize) -> bool {
    packet
        .get(..header)
        .is_some_and(|header| fold(sum(header)) == 0xffff)
}

/// The outer header (RFC 2003, section 3.1). The kernel fills in the checksum.
pub(super) fn outer_header(
    local: Ipv4Addr,
    remote: Ipv4Addr,
    inner: &Ip,
    identification: u16,
    inner_length: usize,
) -> [u8; HEADER] {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the sender of the packet holds to the path MTU"
    )]
    let [total_high, total_low] = ((HEADER + inner_length) as u16).to_be_bytes();
    let [id_high, id_low] = identification.to_be_bytes();
    let [l0, l1, l2, l3] = local.octets();
    let [r0, r1, r2, r3] = remote.octets();
    let fragment = if inner.dont_fragment { 0x40 } else { 0 };
    // RFC 6040, section 4.1: the ECN field is copied, and so is the DSCP.
    [
        0x45,
        inner.traffic_class,
        total_high,
        total_low,
        id_high,
        id_low,
        fragment,
        0,
        OUTER_HOP_LIMIT,
        IP_IN_IP,
        0,
        0,
        l0,
        l1,
        l2,
        l3,
        r0,
        r1,
        r2,
        r3,
    ]
}

/// Writes the second octet of the header at the start of `packet` and keeps its checksum right.
pub(super) fn set_traffic_class(packet: &mut [u8], class: u8) {
    if let (Some(old @ [first, _]), Some(checksum)) = (get(packet, 0), get(packet, 10)) {
        let new = [first, class];
        put(packet, 0, new);
        put(packet, 10, adjusted(checksum, old, new));
    }
}

/// Whether the options hold a source route, which would lead the packet elsewhere than to its
/// destination, or are not readable to their end.
fn has_source_route(options: &[u8]) -> bool {
    let mut rest = options;
    while let [kind, tail @ ..] = rest {
        match kind {
            0 => return false,
            1 => rest = tail,
            131 | 137 => return true,
            _ => match tail
                .first()
                .and_then(|length| rest.get(usize::from(*length)..))
            {
                Some(after) if after.len() + 2 <= rest.len() => rest = after,
                _ => return true,
            },
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_routes_and_unreadable_options_are_found() {
        assert!(!has_source_route(&[]));
        assert!(!has_source_route(&[1, 1, 0, 131]));
        assert!(!has_source_route(&[7, 4, 4, 0]));
        assert!(has_source_route(&[1, 131, 3, 4]));
        assert!(has_source_route(&[7, 4, 4, 0, 137, 7, 4, 0]));
        for unreadable in [&[7][..], &[7, 0], &[7, 1], &[7, 9, 0, 0]] {
            assert!(has_source_route(unreadable), "{unreadable:?}");
        }
    }

    #[test]
    fn a_changed_word_is_followed_by_its_checksum() {
        let mut packet = outer_header(
            Ipv4Addr::new(192, 0, 2, 1),
            Ipv4Addr::new(198, 51, 100, 1),
            &parse_quote(&[0x45; 20]).unwrap_or_else(|| unreachable!()),
            7,
            100,
        );
        write_header_checksum(&mut packet, HEADER);
        assert!(header_is_intact(&packet, HEADER));
        set_traffic_class(&mut packet, 0x2f);
        assert_eq!(packet[1], 0x2f);
        assert!(header_is_intact(&packet, HEADER));
    }
}
