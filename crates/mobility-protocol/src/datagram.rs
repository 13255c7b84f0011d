//! Signalling on its way in and out of a machine.

use std::net::IpAddr;

use crate::CareOfAddress;

/// What carries a signalling message between its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// A UDP datagram.
    Udp {
        /// The port of the other end: it sent from it, or is sent to at it.
        port: u16,
    },
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
    /// The octets after the transport header. Authentication is computed over exactly these.
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
    /// The octets after the transport header.
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
