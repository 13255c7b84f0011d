//! A socket that says which of the host's addresses each message was for.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::task::{Context, Poll};

use mobility_protocol::wire::mip6;
use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrStorage, recvmsg, sendmsg,
    setsockopt, sockopt,
};
use socket2::{Domain, Protocol, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::FWMARK;

/// Room for the burst of requests after many laptops moved at once.
const RECEIVE_BUFFER: usize = 4 << 20;

/// What a socket receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// UDP datagrams.
    Udp,
    /// Mobility Headers, their checksum verified by the kernel.
    MobilityHeader,
    /// Destination options and what follows them. The kernel shows them here before it drops, in
    /// most configurations, packets with a Home Address option.
    DestinationOptions,
}

/// Whose socket it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    HomeAgent,
    MobileNode,
}

/// A message that has arrived, in the caller's buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) kind: Kind,
    pub(super) source: SocketAddr,
    /// Which of our addresses it was sent to.
    pub(super) destination: IpAddr,
    /// Its octets in the buffer.
    pub(super) length: usize,
    /// Whether the buffer holds all of it.
    pub(super) is_whole: bool,
}

#[derive(Debug)]
pub(super) struct Socket {
    /// The runtime's type for datagrams; it serves for any socket that it tells readiness of.
    socket: UdpSocket,
    kind: Kind,
    /// Where it listens.
    local: SocketAddr,
}

impl Socket {
    pub(super) fn open(local: SocketAddr, kind: Kind, role: Role) -> io::Result<Self> {
        let domain = Domain::for_address(local);
        let (form, protocol) = match kind {
            Kind::Udp => (Type::DGRAM, Protocol::UDP),
            Kind::MobilityHeader => (Type::RAW, Protocol::from(i32::from(mip6::PROTOCOL))),
            Kind::DestinationOptions => (Type::RAW, Protocol::from(libc::IPPROTO_DSTOPTS)),
        };
        let socket = socket2::Socket::new(domain, form, Some(protocol))?;
        socket.set_nonblocking(true)?;
        socket.set_mark(FWMARK)?;
        if local.is_ipv4() {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        } else {
            if kind == Kind::Udp {
                socket.set_only_v6(true)?;
            }
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        }
        if role == Role::HomeAgent {
            // Root of a user namespace may not force it, and gets what the system allows anybody.
            setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER)
                .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER))?;
        }
        socket.bind(&local.into())?;
        Ok(Self {
            kind,
            local: socket
                .local_addr()?
                .as_socket()
                .ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?,
            socket: UdpSocket::from_std(socket.into())?,
        })
    }

    /// Where it listens, if for UDP.
    pub(super) fn udp(&self) -> Option<SocketAddr> {
        (self.kind == Kind::Udp).then_some(self.local)
    }

    pub(super) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_recv_ready(context)
    }

    /// The next message, if one has arrived.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Arrival>> {
        let received = self
            .socket
            .try_io(Interest::READABLE, || self.arrival(buffer));
        match received {
            Ok(arrival) => Ok(Some(arrival)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends an IPv4 message from this address, through this interface unless the routes are to
    /// decide.
    pub(super) fn send(
        &self,
        source: Ipv4Addr,
        interface: Option<u32>,
        destination: SocketAddrV4,
        payload: &[u8],
    ) -> io::Result<()> {
        let information = libc::in_pktinfo {
            ipi_ifindex: interface.unwrap_or(0).cast_signed(),
            ipi_spec_dst: libc::in_addr {
                s_addr: u32::from(source).to_be(),
            },
            ipi_addr: libc::in_addr { s_addr: 0 },
        };
        sendmsg(
            self.socket.as_raw_fd(),
            &[IoSlice::new(payload)],
            &[ControlMessage::Ipv4PacketInfo(&information)],
            MsgFlags::empty(),
            Some(&SockaddrIn::from(destination)),
        )?;
        Ok(())
    }
}

impl Socket {
    fn arrival(&self, buffer: &mut [u8]) -> io::Result<Arrival> {
        let mut control = nix::cmsg_space!(libc::in6_pktinfo);
        let mut buffers = [IoSliceMut::new(buffer)];
        let message = recvmsg::<SockaddrStorage>(
            self.socket.as_raw_fd(),
            &mut buffers,
            Some(&mut control),
            MsgFlags::empty(),
        )?;
        let destination = message.cmsgs()?.find_map(|control| {
            if let ControlMessageOwned::Ipv4PacketInfo(information) = control {
                let address = u32::from_be(information.ipi_addr.s_addr);
                Some(IpAddr::V4(Ipv4Addr::from(address)))
            } else if let ControlMessageOwned::Ipv6PacketInfo(information) = control {
                let address = information.ipi6_addr.s6_addr;
                Some(IpAddr::V6(Ipv6Addr::from(address)))
            } else {
                None
            }
        });
        Ok(Arrival {
            kind: self.kind,
            source: message
                .address
                .as_ref()
                .and_then(socket_address)
                .unwrap_or(UNKNOWN),
            destination: destination.unwrap_or(UNKNOWN.ip()),
            length: message.bytes,
            is_whole: !message.flags.contains(MsgFlags::MSG_TRUNC),
        })
    }
}

/// What the kernel leaves out; no machine takes a message from or to it.
const UNKNOWN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(address) = address.as_sockaddr_in() {
        return Some(SocketAddr::new(address.ip().into(), address.port()));
    }
    let address = address.as_sockaddr_in6()?;
    Some(SocketAddr::new(address.ip().into(), address.port()))
}
