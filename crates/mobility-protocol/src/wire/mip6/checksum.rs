//! The checksum of a Mobility Header (RFC 6275, section 6.1.1).

use std::net::Ipv6Addr;

use super::error::DecodeError;

/// The octets of the field in the message.
pub(super) const FIELD: std::ops::Range<usize> = 4..6;
/// The next header value of the Mobility Header.
const PROTOCOL: u32 = 135;

/// What the checksum of a message covers beside its octets: the IPv6 addresses it travels between.
///
/// The home address stands in for the address in the IPv6 header where the packet has it in a Home
/// Address option (for the source) or in a type 2 routing header (for the destination). In UDP the
/// addresses are those of the inner IPv6 header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PseudoHeader {
    /// Who sends it.
    pub source: Ipv6Addr,
    /// Who receives it.
    pub destination: Ipv6Addr,
}

impl PseudoHeader {
    /// The checksum of these octets, whatever their checksum field holds. Zero is a checksum like
    /// any other, not the absence of one as in UDP.
    #[must_use]
    pub fn checksum(&self, mobility_header: &[u8]) -> u16 {
        let (before, after) = mobility_header
            .split_at_checked(FIELD.start)
            .unwrap_or((mobility_header, &[]));
        // The field lies on a word boundary, so leaving it out equals adding zero.
        let after = after.get(FIELD.len()..).unwrap_or_default();
        let length = u32::try_from(mobility_header.len()).unwrap_or(u32::MAX);
        let sum = words(&self.source.octets())
            + words(&self.destination.octets())
            + words(&length.to_be_bytes())
            + u64::from(PROTOCOL)
            + words(before)
            + words(after);
        !fold(sum)
    }

    /// Whether the checksum in these octets is theirs.
    ///
    /// # Errors
    /// [`DecodeError::BadChecksum`] when it isn't; the message must be dropped silently.
    /// [`DecodeError::TruncatedHeader`] when there is no room for one.
    pub fn verify(&self, mobility_header: &[u8]) -> Result<(), DecodeError> {
        let field = mobility_header
            .get(FIELD)
            .and_then(|field| <[u8; 2]>::try_from(field).ok())
            .ok_or(DecodeError::TruncatedHeader {
                expected: FIELD.end,
                length: mobility_header.len(),
            })?;
        let found = u16::from_be_bytes(field);
        let computed = self.checksum(mobility_header);
        if found == computed {
            Ok(())
        } else {
            Err(DecodeError::BadChecksum { found, computed })
        }
    }
}

/// The sum of the 16-bit words, an odd last octet filled up with zero.
fn words(octets: &[u8]) -> u64 {
    let (pairs, rest) = octets.as_chunks::<2>();
    let whole: u64 = pairs
        .iter()
        .map(|pair| u64::from(u16::from_be_bytes(*pair)))
        .sum();
    whole + rest.first().map_or(0, |last| u64::from(*last) << 8)
}

/// The one's complement sum in 16 bits.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the upper bits are folded into the lower ones first"
)]
const fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
