//! Binding Refresh Request: the home agent or a correspondent asks for the next update early.

use super::option::{Options, align_end};
use super::{DecodeError, MessageType, PseudoHeader, header};

/// A Binding Refresh Request (RFC 6275, section 6.1.2): nothing but options.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BindingRefreshRequest {
    /// What follows the fixed part, in order.
    pub options: Options<{ BindingRefreshRequest::FIXED_LENGTH }>,
}

impl BindingRefreshRequest {
    /// The octets before the options.
    pub const FIXED_LENGTH: usize = 8;

    /// The request in these octets, from the first one of the Mobility Header.
    ///
    /// # Errors
    /// [`DecodeError`] says what is wrong with the octets, and where. The checksum is not looked at.
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        Self::decode_fixed(message)?;
        Ok(Self {
            options: Options::decode(message)?,
        })
    }

    /// The request without its options.
    pub(super) fn decode_fixed(message: &[u8]) -> Result<Self, DecodeError> {
        let message_type = MessageType::BINDING_REFRESH_REQUEST;
        header::fixed_part(message, message_type, Self::FIXED_LENGTH, |mut reader| {
            reader.u16()
        })?;
        Ok(Self::default())
    }

    /// The octets of this request.
    #[must_use]
    pub fn encode(&self, pseudo_header: &PseudoHeader) -> Vec<u8> {
        let mut octets = header::begin(MessageType::BINDING_REFRESH_REQUEST);
        octets.extend([0, 0]);
        self.options.encode(&mut octets);
        align_end(&mut octets);
        header::finish(octets, pseudo_header)
    }
}
