//! Binding Error: something about mobility went wrong that has no acknowledgement.

use std::net::Ipv6Addr;

use super::iana::BindingErrorStatus;
use super::option::{Options, align_end};
use super::{DecodeError, MessageType, PseudoHeader, header};

/// A Binding Error (RFC 6275, section 6.1.9).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
///                                 +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///                                 |     Status    |   Reserved    |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                                                               |
/// +                        Home Address                           +
/// |                                                               |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// | Mobility options ...
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingError {
    /// What went wrong.
    pub status: BindingErrorStatus,
    /// The one in the Home Address option of the offending packet; unspecified without one.
    pub home_address: Ipv6Addr,
    /// What follows the fixed part, in order.
    pub options: Options<{ BindingError::FIXED_LENGTH }>,
}

impl BindingError {
    /// The octets before the options.
    pub const FIXED_LENGTH: usize = 24;

    /// The error in these octets, from the first one of the Mobility Header.
    ///
    /// # Errors
    /// [`DecodeError`] says what is wrong with the octets, and where. The checksum is not looked at.
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        let fixed = Self::decode_fixed(message)?;
        Ok(Self {
            options: Options::decode(message)?,
            ..fixed
        })
    }

    /// The error without its options.
    pub(super) fn decode_fixed(message: &[u8]) -> Result<Self, DecodeError> {
        let message_type = MessageType::BINDING_ERROR;
        let (status, home_address) =
            header::fixed_part(message, message_type, Self::FIXED_LENGTH, |mut reader| {
                let status = reader.u8()?;
                reader.u8()?;
                Some((status, reader.ipv6()?))
            })?;
        Ok(Self {
            status: BindingErrorStatus(status),
            home_address,
            options: Options::new(),
        })
    }

    /// The octets of this error.
    #[must_use]
    pub fn encode(&self, pseudo_header: &PseudoHeader) -> Vec<u8> {
        let mut octets = header::begin(MessageType::BINDING_ERROR);
        octets.extend([self.status.0, 0]);
        octets.extend(self.home_address.octets());
        self.options.encode(&mut octets);
        align_end(&mut octets);
        header::finish(octets, pseudo_header)
    }
}
