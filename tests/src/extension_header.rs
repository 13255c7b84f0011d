//! UDP over IPv6 behind an extension header, which ordinary sockets don't send.

use std::{
    net::{SocketAddrV6, UdpSocket},
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::{LabError, Node, packet, udp};

/// PadN (RFC 8200 section 4.2) that fills a header of eight octets.
const PADDING: [u8; 6] = [1, 4, 0, 0, 0, 0];

/// An extension header (RFC 8200 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtensionHeader {
    /// For every router on the way.
    HopByHopOptions,
    /// For the destination alone.
    DestinationOptions,
}

impl ExtensionHeader {
    /// The number by which the header before it announces it.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            ExtensionHeader::HopByHopOptions => 0,
            ExtensionHeader::DestinationOptions => 60,
        }
    }

    /// Sends one datagram behind this header from `from`, which is an address of `node`, and waits for one answer.
    pub fn exchange(
        self,
        node: &Node,
        from: SocketAddrV6,
        to: SocketAddrV6,
        datagram: &[u8],
        bound: Duration,
    ) -> Result<Option<Vec<u8>>, LabError> {
        let packet = self.packet(from, to, datagram);
        node.run(move |_| {
            let what = || LabError::io(format!("send a packet from {from} to {to}"));
            let ear = UdpSocket::bind(from).map_err(what())?;
            let raw = Some(Protocol::from(nix::libc::IPPROTO_RAW));
            let mouth = Socket::new(Domain::IPV6, Type::RAW, raw).map_err(what())?;
            // The route depends on the source.
            let own = SocketAddrV6::new(*from.ip(), 0, 0, 0);
            mouth.bind(&own.into()).map_err(what())?;
            let address = SocketAddrV6::new(*to.ip(), 0, 0, 0);
            mouth.send_to(&packet, &address.into()).map_err(what())?;
            udp::answer(&ear, bound)
        })
    }

    fn packet(self, from: SocketAddrV6, to: SocketAddrV6, data: &[u8]) -> Vec<u8> {
        let (from, to) = ((*from.ip(), from.port()), (*to.ip(), to.port()));
        let mut payload = vec![packet::UDP, 0];
        payload.extend(PADDING);
        payload.extend(packet::udp_in_ipv6(from, to, data));
        packet::ipv6(from.0, to.0, self.number(), &payload)
    }
}
