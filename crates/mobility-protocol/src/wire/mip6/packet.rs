//! The IPv6 packet around a message: the addresses that matter to it, and where in the packet it is.

use std::net::Ipv6Addr;

use super::{DecodeError, Message, PseudoHeader, Reader, header};

const HEADER: usize = 40;
const HOP_LIMIT: u8 = 64;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;
const MOBILITY: u8 = 135;
/// The destination option of RFC 6275, section 6.3.
const HOME_ADDRESS: u8 = 201;
/// The routing header of RFC 6275, section 6.4.
const ROUTING_TYPE: u8 = 2;
const UNIT: usize = 8;

/// A Mobility Header message and the addresses it travels between.
///
/// A protocol 135 socket hands out the message without the packet: there, the fields are filled in
/// from what the socket says. Everywhere else [`Packet::decode`] does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The source in the IPv6 header.
    pub source: Ipv6Addr,
    /// The destination in the IPv6 header.
    pub destination: Ipv6Addr,
    /// The address in a Home Address destination option (RFC 6275, section 6.3), as it stands there:
    /// not necessarily one that can be a home address.
    pub home_address: Option<Ipv6Addr>,
    /// The address in a type 2 routing header that is still to be visited (RFC 6275, section 6.4).
    pub routing_address: Option<Ipv6Addr>,
    /// The octets of the Mobility Header. Authentication is computed over exactly these.
    pub message: &'a [u8],
}

/// Why some octets are not an IPv6 packet with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Another version of IP, or none.
    #[error("IP version {0}, it must be 6")]
    Version(u8),
    /// A header runs past the end.
    #[error("the header at offset {offset} takes {expected} octets, there are only {available}")]
    Truncated {
        /// Where it begins.
        offset: usize,
        /// The octets it would take (at least).
        expected: usize,
        /// The octets from its beginning to the end of the packet.
        available: usize,
    },
    /// Something else than a message: the next header value that says what, and where it begins.
    #[error("next header {next_header} at offset {offset} is no Mobility Header")]
    OtherProtocol {
        /// The next header value.
        next_header: u8,
        /// Where what it stands for begins.
        offset: usize,
    },
    /// Only a part of the message.
    #[error("a fragment, by the header at offset {0}")]
    Fragment(usize),
    /// A Home Address option or type 2 routing header that is malformed or there twice.
    #[error("the mobility part of the header at offset {offset} is malformed: {reason}")]
    MalformedHeader {
        /// Where the header begins.
        offset: usize,
        /// What its definition asks for.
        reason: &'static str,
    },
}

impl PacketError {
    /// The name this reason has in counters (`drop_<reason>`).
    #[must_use]
    pub const fn drop_reason(&self) -> &'static str {
        match self {
            Self::Version(_) => "not_ipv6",
            Self::Truncated { .. } => "truncated_packet",
            Self::OtherProtocol { .. } => "no_mobility_header",
            Self::Fragment(_) => "fragment",
            Self::MalformedHeader { .. } => "malformed_header",
        }
    }

    /// Every name [`PacketError::drop_reason`] gives, so that a counter can exist before its first
    /// event.
    pub const DROP_REASONS: [&'static str; 5] = [
        "not_ipv6",
        "truncated_packet",
        "no_mobility_header",
        "fragment",
        "malformed_header",
    ];

    /// Where in the packet the fault is.
    #[must_use]
    pub const fn offset(&self) -> usize {
        match self {
            Self::Version(_) => 0,
            Self::Truncated { offset, .. }
            | Self::OtherProtocol { offset, .. }
            | Self::MalformedHeader { offset, .. }
            | Self::Fragment(offset) => *offset,
        }
    }
}

impl<'a> Packet<'a> {
    /// The message in this IPv6 packet: one from a link, or the payload of a UDP datagram from or to
    /// port 4191. What is behind the end the IPv6 header states is not looked at.
    ///
    /// # Errors
    /// [`PacketError`]. Over UDP, [`PacketError::OtherProtocol`] and, for 4, [`PacketError::Version`]
    /// are the usual case: tunnelled packets arrive at the same port.
    pub fn decode(octets: &'a [u8]) -> Result<Self, PacketError> {
        let first = octets.first().copied().unwrap_or_default();
        if first >> 4 != 6 {
            return Err(PacketError::Version(first >> 4));
        }
        let truncated = |expected| PacketError::Truncated {
            offset: 0,
            expected,
            available: octets.len(),
        };
        let fixed = Fixed::decode(Reader::new(octets)).ok_or_else(|| truncated(HEADER))?;
        let end = HEADER + usize::from(fixed.payload_length);
        let octets = octets.get(..end).ok_or_else(|| truncated(end))?;
        let mut packet = Self {
            source: fixed.source,
            destination: fixed.destination,
            home_address: None,
            routing_address: None,
            message: &[],
        };
        let (mut next_header, mut offset) = (fixed.next_header, HEADER);
        while next_header != MOBILITY {
            let rest = octets.get(offset..).unwrap_or_default();
            let header = extension_header(next_header, offset, rest)?;
            match next_header {
                DESTINATION_OPTIONS => packet.destination_options(offset, header)?,
                ROUTING => packet.routing(offset, header)?,
                _ => {}
            }
            next_header = header.first().copied().unwrap_or_default();
            offset += header.len();
        }
        packet.message = octets.get(offset..).unwrap_or_default();
        Ok(packet)
    }

    /// The octets of an IPv6 packet with this message: for a link, or as the payload of a UDP
    /// datagram to or from port 4191.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut extensions = Vec::new();
        let routed = self.routing_address.is_some();
        if let Some(address) = self.routing_address {
            let next_header = match self.home_address {
                Some(_) => DESTINATION_OPTIONS,
                None => MOBILITY,
            };
            extensions.extend([next_header, 2, ROUTING_TYPE, 1, 0, 0, 0, 0]);
            extensions.extend(address.octets());
        }
        if let Some(address) = self.home_address {
            extensions.extend([MOBILITY, 2, 1, 2, 0, 0, HOME_ADDRESS, 16]);
            extensions.extend(address.octets());
        }
        let next_header = match (routed, self.home_address) {
            (true, _) => ROUTING,
            (false, Some(_)) => DESTINATION_OPTIONS,
            (false, None) => MOBILITY,
        };
        let length = extensions.len() + self.message.len();
        let mut octets = Vec::with_capacity(HEADER + length);
        octets.extend([0x60, 0, 0, 0]);
        octets.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        octets.extend([next_header, HOP_LIMIT]);
        octets.extend(self.source.octets());
        octets.extend(self.destination.octets());
        octets.extend(extensions);
        octets.extend(self.message);
        octets
    }

    /// The addresses under the checksum of the message (RFC 6275, section 6.1.1).
    #[must_use]
    pub fn pseudo_header(&self) -> PseudoHeader {
        PseudoHeader {
            source: self.home_address.unwrap_or(self.source),
            destination: self.routing_address.unwrap_or(self.destination),
        }
    }

    /// The message, its checksum verified.
    ///
    /// # Errors
    /// [`DecodeError`] says what is wrong with its octets, and where.
    pub fn message(&self) -> Result<Message, DecodeError> {
        header::decode(self.message)?;
        self.pseudo_header().verify(self.message)?;
        Message::decode(self.message)
    }

    fn destination_options(&mut self, offset: usize, header: &[u8]) -> Result<(), PacketError> {
        let malformed = |reason| PacketError::MalformedHeader { offset, reason };
        let mut options = header.get(2..).unwrap_or_default();
        while let [kind, after @ ..] = options {
            if *kind == 0 {
                options = after;
                continue;
            }
            let (length, rest) = after
                .split_first()
                .ok_or_else(|| malformed("options within the header"))?;
            let (data, rest) = rest
                .split_at_checked(usize::from(*length))
                .ok_or_else(|| malformed("options within the header"))?;
            options = rest;
            if *kind == HOME_ADDRESS {
                let address = <[u8; 16]>::try_from(data)
                    .map_err(|_| malformed("a Home Address option of 16 octets"))?;
                if self.home_address.replace(address.into()).is_some() {
                    return Err(malformed("one Home Address option"));
                }
            }
        }
        Ok(())
    }

    fn routing(&mut self, offset: usize, header: &[u8]) -> Result<(), PacketError> {
        let malformed = |reason| PacketError::MalformedHeader { offset, reason };
        let mut reader = Reader::new(header);
        let [_, _, kind, left] = [(); 4].map(|()| reader.u8().unwrap_or_default());
        if left == 0 {
            return Ok(());
        }
        reader.u32();
        let address = reader.ipv6().filter(|_| reader.is_empty());
        match (kind, left, address) {
            (ROUTING_TYPE, 1, Some(address)) => {
                if self.routing_address.replace(address).is_some() {
                    return Err(malformed("one type 2 routing header"));
                }
                Ok(())
            }
            (ROUTING_TYPE, ..) => Err(malformed("one address, one segment left")),
            // On its way to somewhere else yet.
            _ => Err(PacketError::OtherProtocol {
                next_header: ROUTING,
                offset,
            }),
        }
    }
}

/// The IPv6 header.
struct Fixed {
    payload_length: u16,
    next_header: u8,
    source: Ipv6Addr,
    destination: Ipv6Addr,
}

impl Fixed {
    fn decode(mut reader: Reader<'_>) -> Option<Self> {
        reader.u32()?;
        let payload_length = reader.u16()?;
        let next_header = reader.u8()?;
        reader.u8()?;
        Some(Self {
            payload_length,
            next_header,
            source: reader.ipv6()?,
            destination: reader.ipv6()?,
        })
    }
}

/// The extension header that begins `rest`, which begins at `offset` of the packet.
fn extension_header(next_header: u8, offset: usize, rest: &[u8]) -> Result<&[u8], PacketError> {
    let truncated = |expected| PacketError::Truncated {
        offset,
        expected,
        available: rest.len(),
    };
    let length = match next_header {
        HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => {
            let units = rest.get(1).ok_or_else(|| truncated(UNIT))?;
            (usize::from(*units) + 1) * UNIT
        }
        FRAGMENT => match rest.first_chunk::<UNIT>().ok_or_else(|| truncated(UNIT))? {
            // An atomic fragment is a whole packet (RFC 6946).
            [_, _, 0, low, ..] if low & 0xf9 == 0 => UNIT,
            [HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS | MOBILITY, ..] => {
                return Err(PacketError::Fragment(offset));
            }
            [next_header, _, _, _, _, _, _, _] => {
                return Err(PacketError::OtherProtocol {
                    next_header: *next_header,
                    offset: offset + UNIT,
                });
            }
        },
        next_header => {
            return Err(PacketError::OtherProtocol {
                next_header,
                offset,
            });
        }
    };
    rest.get(..length).ok_or_else(|| truncated(length))
}
