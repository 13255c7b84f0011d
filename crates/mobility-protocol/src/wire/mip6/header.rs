//! The octets every message begins with (RFC 6275, section 6.1.1).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! | Payload Proto |  Header Len   |   MH Type     |   Reserved    |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |           Checksum            |                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+                               |
//! |                         Message Data                          |
//! ```

use super::checksum::{self, PseudoHeader};
use super::{DecodeError, MessageType, Reader};

/// The most octets a Mobility Header has.
pub const MAX_LENGTH: usize = 256 * UNIT;

/// What Payload Proto must say, the first octet of every message: no next header.
pub const NO_NEXT_HEADER: u8 = 59;
/// What Header Len counts, not counting the first one.
const UNIT: usize = 8;
/// Where Header Len is.
const HEADER_LENGTH: usize = 1;
/// The octets before the message data.
const LENGTH: usize = 6;

/// The type of the message in these octets, which have the length that it states.
pub(super) fn decode(octets: &[u8]) -> Result<MessageType, DecodeError> {
    let truncated = |expected| DecodeError::TruncatedHeader {
        expected,
        length: octets.len(),
    };
    let &[payload_protocol, units, message_type, ..] = octets else {
        return Err(match octets {
            [] => DecodeError::Empty,
            _ => truncated(UNIT),
        });
    };
    let message_type = MessageType(message_type);
    let expected = (usize::from(units) + 1) * UNIT;
    if octets.len() < expected {
        return Err(truncated(expected));
    }
    if octets.len() > expected {
        return Err(DecodeError::TrailingOctets {
            message_type,
            expected,
            length: octets.len(),
        });
    }
    if payload_protocol != NO_NEXT_HEADER {
        return Err(DecodeError::PayloadProtocol(payload_protocol));
    }
    Ok(message_type)
}

/// A message of this type with a fixed part of `expected` octets, read from behind the checksum on.
pub(super) fn fixed_part<T>(
    octets: &[u8],
    message_type: MessageType,
    expected: usize,
    read: impl FnOnce(Reader<'_>) -> Option<T>,
) -> Result<T, DecodeError> {
    let found = decode(octets)?;
    if found != message_type {
        return Err(DecodeError::UnknownMessageType(found));
    }
    octets
        .get(LENGTH..)
        .and_then(|data| read(Reader::new(data)))
        .ok_or(DecodeError::TruncatedMessage {
            message_type,
            expected,
            length: octets.len(),
        })
}

/// The first octets of a message, its length and checksum to be filled in by [`finish`].
pub(super) fn begin(message_type: MessageType) -> Vec<u8> {
    let mut octets = Vec::with_capacity(128);
    octets.extend([NO_NEXT_HEADER, 0, message_type.0, 0, 0, 0]);
    octets
}

/// Fills in the Header Len of a message that has or will have this many octets.
///
/// Lists of options have a bound that keeps messages within [`MAX_LENGTH`].
pub(super) fn set_length(octets: &mut [u8], length: usize) {
    let units = length.div_ceil(UNIT).saturating_sub(1);
    if let Some(field) = octets.get_mut(HEADER_LENGTH) {
        *field = u8::try_from(units).unwrap_or(u8::MAX);
    }
}

/// Fills in length and checksum of a message that is complete otherwise, a multiple of eight octets.
pub(super) fn finish(mut octets: Vec<u8>, pseudo_header: &PseudoHeader) -> Vec<u8> {
    let length = octets.len();
    set_length(&mut octets, length);
    let computed = pseudo_header.checksum(&octets);
    if let Some(field) = octets.get_mut(checksum::FIELD) {
        field.copy_from_slice(&computed.to_be_bytes());
    }
    octets
}
