//! IPv4 headers (RFC 791): what a packet claims to be, checksums, and the outer header of RFC 2003.
//!
//! Sums are kept in the byte order of memory. The ones' complement sum does not depend on it
//! (RFC 1071, section 2 B), and nothing needs to be swapped on the way.

use std::net::Ipv4Addr;

/// Octets of a header without options, hence of the outer header.
pub(super) const HEADER: usize = 20;

pub(super) const ICMP: u8 = 1;
pub(super) const IP_IN_IP: u8 = 4;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;

/// A header whose lengths fit the packet it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ipv4 {
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
    pub(super) protocol: u8,
    /// DSCP and ECN.
    pub(super) tos: u8,
    /// Octets of the header.
    pub(super) header: usize,
    /// Octets of the packet, header included.
    pub(super) total: usize,
    pub(super) dont_fragment: bool,
    pub(super) more_fragments: bool,
    /// Where this fragment's payload belongs, in octets.
    pub(super) offset: usize,
}

impl Ipv4 {
    /// Reads the header at the start of `packet`; octets after the packet's end are ignored.
    pub(super) fn parse(packet: &[u8]) -> Option<Self> {
        let header = Self::parse_quote(packet)?;
        (header.total >= header.header && header.total <= packet.len()).then_some(header)
    }

    /// Reads a header whose packet may be cut off, as in an ICMP error.
    pub(super) fn parse_quote(packet: &[u8]) -> Option<Self> {
        let fixed: &[u8; HEADER] = packet.first_chunk()?;
        let header = usize::from(fixed[0] & 0x0f) * 4;
        if fixed[0] >> 4 != 4 || header < HEADER || header > packet.len() {
            return None;
        }
        let fragment = u16::from_be_bytes([fixed[6], fixed[7]]);
        Some(Self {
            source: Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]),
            destination: Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]),
            protocol: fixed[9],
            tos: fixed[1],
            header,
            total: usize::from(u16::from_be_bytes([fixed[2], fixed[3]])),
            dont_fragment: fragment & 0x4000 != 0,
            more_fragments: fragment & 0x2000 != 0,
            offset: usize::from(fragment & 0x1fff) * 8,
        })
    }

    /// Whether this is a part of a packet.
    pub(super) fn is_fragment(&self) -> bool {
        self.more_fragments || self.offset != 0
    }
}

/// The ones' complement sum of `octets`, an odd one padded with zero.
pub(super) fn sum(octets: &[u8]) -> u64 {
    const LANES: usize = 8;
    let mut lanes = [0u64; LANES];
    let (blocks, rest) = octets.as_chunks::<{ LANES * 4 }>();
    for block in blocks {
        let (words, _) = block.as_chunks::<4>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane += u64::from(u32::from_ne_bytes(*word));
        }
    }
    let (pairs, odd) = rest.as_chunks::<2>();
    let mut total: u64 = lanes.iter().sum();
    total += pairs
        .iter()
        .map(|pair| u64::from(u16::from_ne_bytes(*pair)))
        .sum::<u64>();
    if let [last] = odd {
        total += u64::from(u16::from_ne_bytes([*last, 0]));
    }
    total
}

/// The sum in sixteen bits.
#[expect(clippy::cast_possible_truncation, reason = "folded below 2^16")]
pub(super) fn fold(mut sum: u64) -> u16 {
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// A number as a part of a sum.
pub(super) fn word(value: u16) -> u64 {
    u64::from(value.to_be())
}

/// The sum of the pseudo header of TCP and UDP.
#[expect(
    clippy::cast_possible_truncation,
    reason = "an IPv4 payload is shorter than 2^16"
)]
pub(super) fn pseudo_header(ip: &Ipv4, length: usize) -> u64 {
    sum(&ip.source.octets())
        + sum(&ip.destination.octets())
        + word(u16::from(ip.protocol))
        + word(length as u16)
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

/// The checksum after one of the words below it has changed (RFC 1624).
pub(super) fn adjusted(checksum: [u8; 2], old: [u8; 2], new: [u8; 2]) -> [u8; 2] {
    let complement = |word: [u8; 2]| u64::from(!u16::from_ne_bytes(word));
    let sum = complement(checksum) + complement(old) + u64::from(u16::from_ne_bytes(new));
    (!fold(sum)).to_ne_bytes()
}

/// Two octets at `at`.
pub(super) fn get(packet: &[u8], at: usize) -> Option<[u8; 2]> {
    packet.get(at..)?.first_chunk().copied()
}

/// Writes two octets at `at`, if the packet is that long.
pub(super) fn put(packet: &mut [u8], at: usize, value: [u8; 2]) {
    if let Some(place) = packet.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *place = value;
    }
}

/// The outer header (RFC 2003, section 3.1). The kernel fills in the checksum.
pub(super) fn outer_header(
    local: Ipv4Addr,
    remote: Ipv4Addr,
    inner: &Ipv4,
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
        0x45, inner.tos, total_high, total_low, id_high, id_low, fragment, 0, OUTER_TTL, IP_IN_IP,
        0, 0, l0, l1, l2, l3, r0, r1, r2, r3,
    ]
}

const OUTER_TTL: u8 = 64;

/// The inner DSCP and ECN after decapsulation (RFC 6040, section 4.2), or none when the packet was
/// congestion-marked and its sender would not understand.
pub(super) fn decapsulated_tos(outer: u8, inner: u8) -> Option<u8> {
    const ECT_1: u8 = 1;
    const ECT_0: u8 = 2;
    const CE: u8 = 3;
    match (outer & 3, inner & 3) {
        (CE, 0) => None,
        (CE, _) => Some(inner | CE),
        (ECT_1, ECT_0) => Some(inner & !3 | ECT_1),
        _ => Some(inner),
    }
}

/// Writes the second octet of the header at the start of `packet` and keeps its checksum right.
pub(super) fn set_tos(packet: &mut [u8], tos: u8) {
    if let (Some(old @ [first, _]), Some(checksum)) = (get(packet, 0), get(packet, 10)) {
        let new = [first, tos];
        put(packet, 0, new);
        put(packet, 10, adjusted(checksum, old, new));
    }
}

/// Whether the options hold a source route, which would lead the packet elsewhere than to its
/// destination, or are not readable to their end.
pub(super) fn has_source_route(options: &[u8]) -> bool {
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
#[expect(clippy::cast_possible_truncation, reason = "the numbers are small")]
mod tests {
    use super::*;

    #[test]
    fn the_sum_agrees_with_a_plain_one_at_every_length() {
        let octets: Vec<u8> = (0..300u32).map(|i| (i * 37 % 251) as u8).collect();
        for length in 0..octets.len() {
            let mut plain = 0u64;
            for pair in octets[..length].chunks(2) {
                plain += u64::from(u16::from_be_bytes([
                    pair[0],
                    pair.get(1).copied().unwrap_or(0),
                ]));
            }
            assert_eq!(
                fold(sum(&octets[..length])).to_be(),
                fold(plain),
                "{length} octets"
            );
        }
    }

    #[test]
    fn ecn_follows_rfc_6040() {
        // Rows: outer ECN; columns: inner ECN; figure 4 of the RFC.
        let expected = [
            [Some(0), Some(1), Some(2), Some(3)],
            [Some(0), Some(1), Some(1), Some(3)],
            [Some(0), Some(1), Some(2), Some(3)],
            [None, Some(3), Some(3), Some(3)],
        ];
        for (outer, row) in expected.iter().enumerate() {
            for (inner, ecn) in row.iter().enumerate() {
                let dscp = 0xb8;
                let result = decapsulated_tos(outer as u8, dscp | inner as u8);
                assert_eq!(
                    result,
                    ecn.map(|ecn| dscp | ecn),
                    "outer {outer}, inner {inner}"
                );
            }
        }
    }

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
            &Ipv4::parse_quote(&[0x45; 20]).unwrap_or_else(|| unreachable!()),
            7,
            100,
        );
        write_header_checksum(&mut packet, HEADER);
        assert!(header_is_intact(&packet, HEADER));
        set_tos(&mut packet, 0x2f);
        assert_eq!(packet[1], 0x2f);
        assert!(header_is_intact(&packet, HEADER));
    }
}
