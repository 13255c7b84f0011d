//! The Internet checksum (RFC 1071).

use std::net::Ipv6Addr;

/// Over these octets, in which the checksum's own field is zero.
pub(crate) fn over(octets: &[u8]) -> u16 {
    let mut sum: u32 = octets
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

/// Over a message in IPv6 (RFC 8200 section 8.1).
pub(crate) fn over_ipv6(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    protocol: u8,
    message: &[u8],
) -> u16 {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut covered = [source.octets(), destination.octets()].concat();
    covered.extend(length.to_be_bytes());
    covered.extend([0, 0, 0, protocol]);
    covered.extend(message);
    over(&covered)
}
