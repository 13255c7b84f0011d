//! The home agent's signalling socket: UDP 434 on the one address it is known by.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use mobility_protocol::{Transmit, Transport};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

/// Registrations arrive here (RFC 5944, section 3).
const PORT: u16 = 434;

/// Room for the burst of requests after many laptops moved at once.
const RECEIVE_BUFFER: usize = 4 << 20;

/// More than any signalling message the codec accepts.
const LARGEST_MESSAGE: usize = 4096;

/// The socket.
pub(crate) struct SignallingSocket {
    socket: UdpSocket,
    address: IpAddr,
    buffer: Vec<u8>,
}

impl SignallingSocket {
    /// Opens it on `address`, marked so that no policy route of ours catches it.
    pub(crate) fn open(address: Ipv4Addr, fwmark: u32) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.set_mark(fwmark)?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.bind(&SocketAddrV4::new(address, PORT).into())?;
        Ok(Self {
            socket: UdpSocket::from_std(socket.into())?,
            address: address.into(),
            buffer: vec![0; LARGEST_MESSAGE],
        })
    }

    /// The address mobile nodes send to.
    pub(crate) const fn address(&self) -> IpAddr {
        self.address
    }

    /// Waits until something has arrived.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// The next message that has arrived already. Errors that only say that an earlier message of
    /// ours did not get through are skipped.
    pub(crate) fn next(&mut self) -> Option<(SocketAddr, &[u8])> {
        for _ in 0..64 {
            match self.socket.try_recv_from(&mut self.buffer) {
                Ok((length, source)) => return Some((source, &self.buffer[..length])),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) => tracing::debug!(%error, "receiving signalling"),
            }
        }
        None
    }

    /// Sends one message now; a socket whose buffer is full loses it, as a network would.
    pub(crate) fn send(&self, transmit: &Transmit) -> io::Result<()> {
        let Transport::Udp { port } = transmit.transport else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        self.socket
            .try_send_to(&transmit.payload, (transmit.destination, port).into())
            .map(drop)
    }
}
