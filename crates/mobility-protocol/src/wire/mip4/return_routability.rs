//! The test messages of home-agent-assisted route optimisation (RFC 6521, section 4.1): a router
//! shows that it is reached at its home address and at its care-of address.

use super::{DecodeError, MessageType, Reader};

/// A Home Test Init or Care-of Test Init: `type, reserved, cookie`, ten octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TestInit {
    /// Echoed in the answer.
    pub cookie: u64,
}

impl TestInit {
    /// The octets of the message.
    pub const LENGTH: usize = 10;

    pub(super) fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        exactly(payload, Self::LENGTH, |mut reader| {
            reader.u16()?;
            Some(Self {
                cookie: reader.u64()?,
            })
        })
    }

    pub(super) fn encode(self, message_type: MessageType) -> Vec<u8> {
        let mut octets = Vec::with_capacity(Self::LENGTH);
        octets.extend([message_type.0, 0]);
        octets.extend(self.cookie.to_be_bytes());
        octets
    }
}

/// A Home Test or Care-of Test: `type, reserved, nonce index, cookie, token`, twenty octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Test {
    /// Which nonce of the answering router made the token.
    pub nonce_index: u16,
    /// The one asked with.
    pub cookie: u64,
    /// The keygen token.
    pub token: u64,
}

impl Test {
    /// The octets of the message.
    pub const LENGTH: usize = 20;

    pub(super) fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        exactly(payload, Self::LENGTH, |mut reader| {
            reader.u16()?;
            Some(Self {
                nonce_index: reader.u16()?,
                cookie: reader.u64()?,
                token: reader.u64()?,
            })
        })
    }

    pub(super) fn encode(self, message_type: MessageType) -> Vec<u8> {
        let mut octets = Vec::with_capacity(Self::LENGTH);
        octets.extend([message_type.0, 0]);
        octets.extend(self.nonce_index.to_be_bytes());
        octets.extend(self.cookie.to_be_bytes());
        octets.extend(self.token.to_be_bytes());
        octets
    }
}

fn exactly<T>(
    payload: &[u8],
    expected: usize,
    read: impl FnOnce(Reader<'_>) -> Option<T>,
) -> Result<T, DecodeError> {
    let message_type = MessageType(payload.first().copied().unwrap_or_default());
    let length = payload.len();
    if length > expected {
        return Err(DecodeError::TrailingOctets {
            message_type,
            expected,
            length,
        });
    }
    read(Reader::new(payload)).ok_or(DecodeError::TruncatedMessage {
        message_type,
        expected,
        length,
    })
}
