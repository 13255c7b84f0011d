//! Packets tunnelled in UDP on the signalling port (RFC 3519, section 3.3).

use super::{DecodeError, MessageType, Reader};

/// A packet tunnelled in UDP.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |     Type      |  Next Header  |           Reserved            |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// | Packet ...
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelData {
    /// What the packet is: an IP protocol number, 4 for IPv4.
    pub next_header: u8,
    /// The packet.
    pub packet: Vec<u8>,
}

impl TunnelData {
    /// The octets before the packet.
    pub const HEADER_LENGTH: usize = 4;

    /// The tunnelled packet in these octets.
    ///
    /// # Errors
    /// [`DecodeError::TruncatedMessage`] when the header is not complete.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let (next_header, packet) = Self::split(payload)?;
        Ok(Self {
            next_header,
            packet: packet.to_vec(),
        })
    }

    /// The next header and the packet in these octets, without copying it.
    ///
    /// # Errors
    /// [`DecodeError::TruncatedMessage`] when the header is not complete.
    pub fn split(payload: &[u8]) -> Result<(u8, &[u8]), DecodeError> {
        Self::read(payload).ok_or(DecodeError::TruncatedMessage {
            message_type: MessageType::TUNNEL_DATA,
            expected: Self::HEADER_LENGTH,
            length: payload.len(),
        })
    }

    /// The octets of this message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(Self::HEADER_LENGTH + self.packet.len());
        octets.extend([MessageType::TUNNEL_DATA.0, self.next_header, 0, 0]);
        octets.extend(&self.packet);
        octets
    }

    fn read(payload: &[u8]) -> Option<(u8, &[u8])> {
        let mut reader = Reader::new(payload);
        reader.u8()?;
        let next_header = reader.u8()?;
        reader.u16()?;
        Some((next_header, reader.rest()))
    }
}
