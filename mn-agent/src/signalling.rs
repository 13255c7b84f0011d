//! The mobile node's signalling socket: one port for all home agents and all care-of addresses,
//! each message from the address and the interface the machine names.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::AsRawFd;

use mobility_protocol::{Transmit, Transport};
use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// More than any signalling message the codec accepts.
const LARGEST_MESSAGE: usize = 4096;

/// A message that came in.
pub(crate) struct Received {
    /// Who sent it.
    pub(crate) source: SocketAddr,
    /// Which of our addresses it was sent to.
    pub(crate) destination: IpAddr,
    /// Its octets.
    pub(crate) payload: Vec<u8>,
}

/// The socket.
pub(crate) struct SignallingSocket {
    socket: UdpSocket,
}

impl SignallingSocket {
    /// Opens it on an ephemeral port, marked so that it never enters a tunnel of ours.
    pub(crate) fn open(fwmark: u32) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.set_mark(fwmark)?;
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0).into())?;
        Ok(Self {
            socket: UdpSocket::from_std(socket.into())?,
        })
    }

    /// Sends one message now; a socket whose buffer is full loses it, as a network would.
    pub(crate) fn send(&self, transmit: &Transmit) -> io::Result<()> {
        let (IpAddr::V4(destination), IpAddr::V4(source), Transport::Udp { port }) =
            (transmit.destination, transmit.source, transmit.transport)
        else {
            return Err(io::Error::from(io::ErrorKind::AddrNotAvailable));
        };
        let information = libc::in_pktinfo {
            ipi_ifindex: i32::try_from(transmit.interface.unwrap_or(0)).unwrap_or(0),
            ipi_spec_dst: libc::in_addr {
                s_addr: u32::from(source).to_be(),
            },
            ipi_addr: libc::in_addr { s_addr: 0 },
        };
        sendmsg(
            self.socket.as_raw_fd(),
            &[IoSlice::new(&transmit.payload)],
            &[ControlMessage::Ipv4PacketInfo(&information)],
            MsgFlags::empty(),
            Some(&SockaddrIn::from(SocketAddrV4::new(destination, port))),
        )?;
        Ok(())
    }

    /// Waits for the next message.
    pub(crate) async fn receive(&self) -> io::Result<Received> {
        self.socket
            .async_io(Interest::READABLE, || receive(&self.socket))
            .await
    }
}

fn receive(socket: &UdpSocket) -> io::Result<Received> {
    let mut payload = vec![0; LARGEST_MESSAGE];
    let mut control = nix::cmsg_space!(libc::in_pktinfo);
    let (length, source, destination) = {
        let mut buffers = [IoSliceMut::new(&mut payload)];
        let message = recvmsg::<SockaddrIn>(
            socket.as_raw_fd(),
            &mut buffers,
            Some(&mut control),
            MsgFlags::empty(),
        )?;
        let destination = message.cmsgs()?.find_map(|control| {
            if let ControlMessageOwned::Ipv4PacketInfo(information) = control {
                Some(Ipv4Addr::from(u32::from_be(information.ipi_addr.s_addr)))
            } else {
                None
            }
        });
        (message.bytes, message.address, destination)
    };
    payload.truncate(length);
    Ok(Received {
        source: source.map_or_else(
            || SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0).into(),
            |source| SocketAddrV4::from(source).into(),
        ),
        destination: destination.unwrap_or(Ipv4Addr::UNSPECIFIED).into(),
        payload,
    })
}
