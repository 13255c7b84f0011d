//! Signalling on its way in and out of a machine.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::CareOfAddress;

/// What carries a signalling message between its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Transport {
    /// A UDP datagram.
    Udp {
        /// The port of the other end: it sent from it, or is sent to at it.
        port: u16,
    },
    /// A Mobility Header, IP protocol 135, by itself (RFC 6275, section 6.1).
    MobilityHeader,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp { port } => write!(f, "UDP port {port}"),
            Self::MobilityHeader => f.write_str("Mobility Header"),
        }
    }
}

/// A signalling message as it arrived.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    /// Who sent it, as the network says.
    pub source: IpAddr,
    /// The local address it was sent to.
    pub destination: IpAddr,
    /// What it came in.
    pub transport: Transport,
    /// The home address in a Home Address option before a Mobility Header (RFC 6275, section 6.3):
    /// what the checksum has in place of the source. In UDP it is a part of the payload.
    pub home_address: Option<Ipv6Addr>,
    /// The octets after the transport header, or the Mobility Header itself. Authentication is
    /// computed over exactly these.
    pub payload: &'a [u8],
}

/// A signalling message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// The local address to send from.
    pub source: IpAddr,
    /// The interface to leave by; `None` leaves it to the routes.
    pub interface: Option<u32>,
    /// Where to.
    pub destination: IpAddr,
    /// What to send it in.
    pub transport: Transport,
    /// The home address to put into a type 2 routing header before the Mobility Header (RFC 6275,
    /// section 6.4): what its checksum has in place of the destination.
    pub home_address: Option<Ipv6Addr>,
    /// The octets after the transport header, or the Mobility Header itself, checksum included.
    pub payload: Vec<u8>,
}

/// A way out of a mobile node: what the kernel answers when asked how it would reach a home agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// The source address the kernel would use.
    pub care_of: CareOfAddress,
    /// The index of the interface it would leave by.
    pub interface: u32,
}
