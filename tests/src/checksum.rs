//! The checksum of what IPv6 carries (RFC 8200 section 8.1).

use std::net::Ipv6Addr;

/// The checksum of a message whose own checksum field is zero.
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
    if covered.len() % 2 == 1 {
        covered.push(0);
    }
    let mut sum: u32 = covered
        .chunks_exact(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}
