//! Internet checksums (RFC 1071), and words in packets.
//!
//! Sums are kept in the byte order of memory. The ones' complement sum does not depend on it
//! (RFC 1071, section 2 B), and nothing needs to be swapped on the way.

/// The ones' complement sum of `octets`, an odd one padded with zero.
pub(crate) fn sum(octets: &[u8]) -> u64 {
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
pub(crate) fn fold(mut sum: u64) -> u16 {
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// A number as a part of a sum.
pub(crate) fn word(value: u16) -> u64 {
    u64::from(value.to_be())
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
pub(crate) fn put(packet: &mut [u8], at: usize, value: [u8; 2]) {
    if let Some(place) = packet.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *place = value;
    }
}

#[cfg(test)]
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
}
