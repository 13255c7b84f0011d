//! The sockets of the outer side.
//!
//! Two raw sockets: one receives protocol 4 and hears of errors about it, the other sends whole
//! packets and hears of nothing, so that an old error never spoils a new packet.

use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    self, ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn, setsockopt,
    sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};

use super::Error;
use super::ipv4::IP_IN_IP;
use crate::FWMARK;

/// The kernel doubles it, and counts more than the packets' own octets.
const BUFFER: usize = 8 << 20;

/// How long a full send queue is waited for.
const PATIENCE: Duration = Duration::from_millis(100);

/// The raw socket that receives every protocol-4 packet for `local`, outer headers included.
pub(super) fn receiver(local: Ipv4Addr) -> Result<OwnedFd, Error> {
    let failed = |action| move |source| Error::Socket { action, source };
    let protocol = Protocol::from(i32::from(IP_IN_IP));
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(protocol))
        .map_err(failed("open a raw socket"))?;
    // The kernel notes a path's MTU for the route that the socket's own packets would take.
    socket
        .set_mark(FWMARK)
        .map_err(failed("mark the raw socket"))?;
    socket
        .set_nonblocking(true)
        .map_err(failed("configure the raw socket"))?;
    let option = |errno: Errno| Error::Socket {
        action: "configure the raw socket",
        source: errno.into(),
    };
    // Root of a user namespace may not force it, and gets what the system allows anybody.
    setsockopt(&socket, sockopt::RcvBufForce, &BUFFER)
        .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &BUFFER))
        .map_err(option)?;
    setsockopt(&socket, sockopt::Ipv4RecvErr, &true).map_err(option)?;
    let address = SocketAddrV4::new(local, 0);
    socket
        .bind(&address.into())
        .map_err(failed("bind the raw socket to the local address"))?;
    Ok(socket.into())
}

/// Receives what is there, a packet of up to `slot` octets every `stride` octets of memory, and writes
/// their lengths. Returns how many.
pub(super) fn receive_batch(
    socket: &OwnedFd,
    headers: &mut MultiHeaders<()>,
    memory: &mut [u8],
    (stride, slot): (usize, usize),
    lengths: &mut [usize],
) -> Result<usize, Errno> {
    let buffers = memory
        .chunks_exact_mut(stride)
        .filter_map(|buffer| buffer.get_mut(..slot));
    let mut slices: Vec<_> = buffers.map(|buffer| [IoSliceMut::new(buffer)]).collect();
    let results = socket::recvmmsg(
        socket.as_raw_fd(),
        headers,
        &mut slices,
        MsgFlags::MSG_DONTWAIT,
        None,
    )?;
    Ok(results
        .zip(lengths)
        .map(|(result, length)| *length = result.bytes)
        .count())
}

/// Headers for [`receive_batch`].
pub(super) fn receive_headers(packets: usize) -> MultiHeaders<()> {
    MultiHeaders::preallocate(packets, None)
}

/// Headers for [`Sender::send_batch`].
pub(super) fn send_headers(packets: usize) -> MultiHeaders<SockaddrIn> {
    MultiHeaders::preallocate(packets, Some(nix::cmsg_space!(libc::in_pktinfo)))
}

/// What the network said of a packet of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PathError {
    /// Whom the packet was for.
    pub(super) remote: Ipv4Addr,
    /// Whether it was too big for the path.
    pub(super) too_big: bool,
}

/// Takes the next error from the queue of the receiving socket.
pub(super) fn next_error(socket: &OwnedFd) -> Option<PathError> {
    let mut quote = [0; 64];
    let mut slices = [IoSliceMut::new(&mut quote)];
    let mut control = nix::cmsg_space!(libc::sock_extended_err, libc::sockaddr_in);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message =
        socket::recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut slices, Some(&mut control), flags)
            .ok()?;
    let remote = message
        .address
        .map_or(Ipv4Addr::UNSPECIFIED, |address| address.ip());
    let says_so = |cmsg| {
        matches!(cmsg, ControlMessageOwned::Ipv4RecvErr(error, _)
            if error.ee_errno.cast_signed() == libc::EMSGSIZE)
    };
    let too_big = message.cmsgs().is_ok_and(|mut cmsgs| cmsgs.any(says_so));
    Some(PathError { remote, too_big })
}

/// What the kernel believes a packet on this way may have, if it knows the way.
pub(super) fn path_mtu(way: Way, remote: Ipv4Addr) -> Option<u16> {
    let question = Socket::new(Domain::IPV4, Type::DGRAM, None).ok()?;
    question.set_mark(FWMARK).ok()?;
    if let Some(interface) = way.interface.and_then(NonZeroU32::new) {
        question.bind_device_by_index_v4(Some(interface)).ok()?;
    }
    question
        .bind(&SocketAddrV4::new(way.local, 0).into())
        .ok()?;
    question
        .connect(&SocketAddrV4::new(remote, DISCARD).into())
        .ok()?;
    let mtu = socket::getsockopt(&question, sockopt::IpMtu).ok()?;
    Some(u16::try_from(mtu).unwrap_or(u16::MAX))
}

/// Connecting asks for a route and sends nothing; any port will do.
const DISCARD: u16 = 9;

/// The raw socket that sends whole IPv4 packets.
#[derive(Debug)]
pub(super) struct Sender(Socket);

/// Where a packet leaves: the local address and, unless the routes decide, the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) local: Ipv4Addr,
    pub(super) interface: Option<u32>,
}

impl Way {
    fn info(self) -> libc::in_pktinfo {
        let address = |address: Ipv4Addr| libc::in_addr {
            s_addr: u32::from_ne_bytes(address.octets()),
        };
        libc::in_pktinfo {
            ipi_ifindex: self
                .interface
                .map_or(0, |index| i32::try_from(index).unwrap_or(0)),
            ipi_spec_dst: address(self.local),
            ipi_addr: address(Ipv4Addr::UNSPECIFIED),
        }
    }
}

impl Sender {
    pub(super) fn open() -> Result<Self, Error> {
        let failed = |action| move |source| Error::Socket { action, source };
        let protocol = Protocol::from(libc::IPPROTO_RAW);
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(protocol))
            .map_err(failed("open a raw socket"))?;
        socket
            .set_mark(FWMARK)
            .map_err(failed("mark the raw socket"))?;
        socket
            .set_write_timeout(Some(PATIENCE))
            .map_err(failed("configure the raw socket"))?;
        setsockopt(&socket, sockopt::SndBufForce, &BUFFER)
            .or_else(|_| setsockopt(&socket, sockopt::SndBuf, &BUFFER))
            .map_err(|errno| Error::Socket {
                action: "configure the raw socket",
                source: errno.into(),
            })?;
        Ok(Self(socket))
    }

    /// Sends packets, each its headers and its payload, until one is refused, and returns how many
    /// went. An error is about the first.
    pub(super) fn send_batch(
        &self,
        headers: &mut MultiHeaders<SockaddrIn>,
        way: Way,
        packets: &[[IoSlice<'_>; 2]],
        remotes: &[Option<SockaddrIn>],
    ) -> Result<usize, Errno> {
        let info = way.info();
        let cmsgs = [ControlMessage::Ipv4PacketInfo(&info)];
        socket::sendmmsg(
            self.0.as_raw_fd(),
            headers,
            packets,
            remotes,
            cmsgs,
            MsgFlags::empty(),
        )
        .map(Iterator::count)
    }

    /// Sends one packet.
    pub(super) fn send(
        &self,
        way: Way,
        remote: Ipv4Addr,
        packet: &[IoSlice<'_>],
    ) -> Result<(), Errno> {
        let info = way.info();
        let cmsgs = [ControlMessage::Ipv4PacketInfo(&info)];
        let remote = SockaddrIn::from(SocketAddrV4::new(remote, 0));
        socket::sendmsg(
            self.0.as_raw_fd(),
            packet,
            &cmsgs,
            MsgFlags::empty(),
            Some(&remote),
        )
        .map(drop)
    }
}
