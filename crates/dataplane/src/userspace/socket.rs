//! The sockets of the outer side.
//!
//! For each family two raw sockets: one receives the tunnel's protocol and hears of errors about it,
//! the other sends whole packets and hears of nothing, so that an old error never spoils a new packet.

use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mobility_protocol::Family;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    self, ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn6,
    SockaddrStorage, setsockopt, sockopt,
};
use nix::{getsockopt_impl, sockopt_impl};
use socket2::{Domain, Protocol, Socket, Type};

use super::Error;
use super::ip::tunnel_protocol;
use crate::{Addresses, FWMARK};

/// The kernel doubles it, and counts more than the packets' own octets.
const BUFFER: usize = 8 << 20;

/// How long a full send queue is waited for.
const PATIENCE: Duration = Duration::from_millis(100);

/// A raw socket that receives every packet of a tunnel's protocol for one of our addresses.
#[derive(Debug)]
pub(super) struct Receiver {
    socket: OwnedFd,
    pub(super) family: Family,
}

/// A datagram in its buffer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Received {
    /// Of IPv4 with the outer header, of IPv6 without.
    pub(super) length: usize,
    /// Source and traffic class of the outer IPv6 header.
    pub(super) outer: Option<(Ipv6Addr, u8)>,
}

/// What receiving needs again and again.
pub(super) enum ReceiveHeaders {
    Ipv4(MultiHeaders<()>),
    Ipv6(MultiHeaders<SockaddrIn6>),
}

impl Receiver {
    /// Receives what is for `local`, or for any address when it is unspecified.
    pub(super) fn open(local: IpAddr) -> Result<Self, Error> {
        let failed = |action| move |source| Error::Socket { action, source };
        let family = Family::of(local);
        let protocol = Protocol::from(i32::from(tunnel_protocol(family)));
        let socket = Socket::new(domain(family), Type::RAW, Some(protocol))
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
        match family {
            Family::Ipv4 => setsockopt(&socket, sockopt::Ipv4RecvErr, &true),
            Family::Ipv6 => setsockopt(&socket, sockopt::Ipv6RecvErr, &true)
                .and_then(|()| setsockopt(&socket, sockopt::Ipv6RecvTClass, &true)),
        }
        .map_err(option)?;
        socket
            .bind(&SocketAddr::new(local, 0).into())
            .map_err(failed("bind the raw socket to the local address"))?;
        Ok(Self {
            socket: socket.into(),
            family,
        })
    }

    /// Headers for [`Receiver::receive_batch`].
    pub(super) fn headers(&self, packets: usize) -> ReceiveHeaders {
        match self.family {
            Family::Ipv4 => ReceiveHeaders::Ipv4(MultiHeaders::preallocate(packets, None)),
            // Every packet comes with its address and its traffic class, so the kernel leaves the
            // lengths of both fields as they are, and they serve again.
            Family::Ipv6 => {
                let control = nix::cmsg_space!(libc::c_int);
                ReceiveHeaders::Ipv6(MultiHeaders::preallocate(packets, Some(control)))
            }
        }
    }

    /// Receives what is there, a packet of up to `slot` octets every `stride` octets of memory, and
    /// describes them. Returns how many.
    pub(super) fn receive_batch(
        &self,
        headers: &mut ReceiveHeaders,
        memory: &mut [u8],
        (stride, slot): (usize, usize),
        received: &mut [Received],
    ) -> Result<usize, Errno> {
        let buffers = memory
            .chunks_exact_mut(stride)
            .filter_map(|buffer| buffer.get_mut(..slot));
        let mut slices: Vec<_> = buffers.map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let descriptor = self.socket.as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT;
        match headers {
            ReceiveHeaders::Ipv4(headers) => {
                let results = socket::recvmmsg(descriptor, headers, &mut slices, flags, None)?;
                let described = results.zip(received).map(|(result, received)| {
                    *received = Received {
                        length: result.bytes,
                        outer: None,
                    };
                });
                Ok(described.count())
            }
            ReceiveHeaders::Ipv6(headers) => {
                let results = socket::recvmmsg(descriptor, headers, &mut slices, flags, None)?;
                let described = results.zip(received).map(|(result, received)| {
                    let source = result
                        .address
                        .map_or(Ipv6Addr::UNSPECIFIED, |address| address.ip());
                    let class = result.cmsgs().ok().and_then(|mut cmsgs| {
                        cmsgs.find_map(|cmsg| {
                            if let ControlMessageOwned::Ipv6TClass(class) = cmsg {
                                u8::try_from(class).ok()
                            } else {
                                None
                            }
                        })
                    });
                    *received = Received {
                        length: result.bytes,
                        outer: Some((source, class.unwrap_or_default())),
                    };
                });
                Ok(described.count())
            }
        }
    }

    /// Takes the next error from the queue of the socket.
    pub(super) fn next_error(&self) -> Option<PathError> {
        let mut quote = [0; 128];
        let mut slices = [IoSliceMut::new(&mut quote)];
        let mut control =
            nix::cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6, libc::c_int);
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let message = socket::recvmsg::<SockaddrStorage>(
            self.socket.as_raw_fd(),
            &mut slices,
            Some(&mut control),
            flags,
        )
        .ok()?;
        let remote = message.address.and_then(|address| {
            let ipv4 = address.as_sockaddr_in().map(|address| address.ip().into());
            ipv4.or_else(|| address.as_sockaddr_in6().map(|address| address.ip().into()))
        });
        let says_so = |cmsg| {
            matches!(
                cmsg,
                ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _)
                    if error.ee_errno.cast_signed() == libc::EMSGSIZE
            )
        };
        let too_big = message.cmsgs().is_ok_and(|mut cmsgs| cmsgs.any(says_so));
        Some(PathError { remote, too_big })
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What the network said of a packet of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PathError {
    /// Whom the packet was for.
    pub(super) remote: Option<IpAddr>,
    /// Whether it was too big for the path.
    pub(super) too_big: bool,
}

const fn domain(family: Family) -> Domain {
    match family {
        Family::Ipv4 => Domain::IPV4,
        Family::Ipv6 => Domain::IPV6,
    }
}

sockopt_impl!(
    /// The MTU of the path of a connected socket.
    Ipv6Mtu,
    GetOnly,
    libc::IPPROTO_IPV6,
    libc::IPV6_MTU,
    libc::c_int
);

/// What the kernel believes a packet on this way may have, if it knows the way.
pub(super) fn path_mtu(way: Way, remote: IpAddr) -> Option<u16> {
    let family = Family::of(remote);
    let question = Socket::new(domain(family), Type::DGRAM, None).ok()?;
    question.set_mark(FWMARK).ok()?;
    if let Some(interface) = way.interface.and_then(NonZeroU32::new) {
        match family {
            Family::Ipv4 => question.bind_device_by_index_v4(Some(interface)),
            Family::Ipv6 => question.bind_device_by_index_v6(Some(interface)),
        }
        .ok()?;
    }
    question.bind(&SocketAddr::new(way.local, 0).into()).ok()?;
    question
        .connect(&SocketAddr::new(remote, DISCARD).into())
        .ok()?;
    let mtu = match family {
        Family::Ipv4 => socket::getsockopt(&question, sockopt::IpMtu),
        Family::Ipv6 => socket::getsockopt(&question, Ipv6Mtu),
    }
    .ok()?;
    Some(u16::try_from(mtu).unwrap_or(u16::MAX))
}

/// Connecting asks for a route and sends nothing; any port will do.
const DISCARD: u16 = 9;

/// The raw sockets that send whole packets, one for each family that is carried.
#[derive(Debug)]
pub(crate) struct Sender {
    ipv4: Option<Socket>,
    ipv6: Option<Mutex<Bound>>,
}

/// A socket and the interface it is bound to. For IPv6 the kernel takes the interface in a packet's
/// information for advice when there is a source, too, and follows the better default route; it only
/// obeys the socket's.
#[derive(Debug)]
struct Bound {
    socket: Socket,
    interface: Option<NonZeroU32>,
}

/// What sending needs again and again.
pub(super) type SendHeaders = MultiHeaders<SockaddrStorage>;

/// Headers for [`Sender::send_batch`].
pub(super) fn send_headers(packets: usize) -> SendHeaders {
    // The larger of both families'; octets too few for another header are ignored.
    MultiHeaders::preallocate(packets, Some(nix::cmsg_space!(libc::in6_pktinfo)))
}

/// A destination for [`Sender::send_batch`].
pub(super) fn destination(remote: IpAddr) -> SockaddrStorage {
    SockaddrStorage::from(SocketAddr::new(remote, 0))
}

/// Where a packet leaves: the local address and, unless the routes decide, the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) local: IpAddr,
    pub(crate) interface: Option<u32>,
}

/// A [`Way`] as the kernel wants to be told.
enum PacketInfo {
    Ipv4(libc::in_pktinfo),
    Ipv6(libc::in6_pktinfo),
}

impl Way {
    fn info(self) -> PacketInfo {
        let index = self.interface.unwrap_or(0);
        match self.local {
            IpAddr::V4(local) => {
                let address = |address: Ipv4Addr| libc::in_addr {
                    s_addr: u32::from_ne_bytes(address.octets()),
                };
                PacketInfo::Ipv4(libc::in_pktinfo {
                    ipi_ifindex: i32::try_from(index).unwrap_or(0),
                    ipi_spec_dst: address(local),
                    ipi_addr: address(Ipv4Addr::UNSPECIFIED),
                })
            }
            IpAddr::V6(local) => PacketInfo::Ipv6(libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr {
                    s6_addr: local.octets(),
                },
                ipi6_ifindex: index,
            }),
        }
    }
}

impl PacketInfo {
    fn message(&self) -> ControlMessage<'_> {
        match self {
            Self::Ipv4(info) => ControlMessage::Ipv4PacketInfo(info),
            Self::Ipv6(info) => ControlMessage::Ipv6PacketInfo(info),
        }
    }
}

impl Sender {
    pub(crate) fn open(local: Addresses) -> Result<Self, Error> {
        let open = |family| local.of(family).map(|_| open_sender(family)).transpose();
        let unbound = |socket| {
            Mutex::new(Bound {
                socket,
                interface: None,
            })
        };
        Ok(Self {
            ipv4: open(Family::Ipv4)?,
            ipv6: open(Family::Ipv6)?.map(unbound),
        })
    }

    /// Sends packets, each its headers and its payload, until one is refused, and returns how many
    /// went. An error is about the first.
    pub(super) fn send_batch(
        &self,
        headers: &mut SendHeaders,
        way: Way,
        packets: &[[IoSlice<'_>; 2]],
        remotes: &[Option<SockaddrStorage>],
    ) -> Result<usize, Errno> {
        let info = way.info();
        let cmsgs = [info.message()];
        self.with_socket(way, |socket| {
            socket::sendmmsg(socket, headers, packets, remotes, cmsgs, MsgFlags::empty())
                .map(Iterator::count)
        })
    }

    /// Sends one packet.
    pub(crate) fn send(
        &self,
        way: Way,
        remote: IpAddr,
        packet: &[IoSlice<'_>],
    ) -> Result<(), Errno> {
        let info = way.info();
        let cmsgs = [info.message()];
        let remote = destination(remote);
        self.with_socket(way, |socket| {
            socket::sendmsg(socket, packet, &cmsgs, MsgFlags::empty(), Some(&remote)).map(drop)
        })
    }

    fn with_socket<T>(
        &self,
        way: Way,
        send: impl FnOnce(RawFd) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        match Family::of(way.local) {
            Family::Ipv4 => {
                let socket = self.ipv4.as_ref().ok_or(Errno::EAFNOSUPPORT)?;
                send(socket.as_raw_fd())
            }
            Family::Ipv6 => {
                let bound = self.ipv6.as_ref().ok_or(Errno::EAFNOSUPPORT)?;
                let mut bound = bound.lock().unwrap_or_else(PoisonError::into_inner);
                bound.follow(way.interface)?;
                send(bound.socket.as_raw_fd())
            }
        }
    }
}

impl Bound {
    fn follow(&mut self, interface: Option<u32>) -> Result<(), Errno> {
        let interface = interface.and_then(NonZeroU32::new);
        if self.interface != interface {
            self.socket
                .bind_device_by_index_v6(interface)
                .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
            self.interface = interface;
        }
        Ok(())
    }
}

fn open_sender(family: Family) -> Result<Socket, Error> {
    let failed = |action| move |source| Error::Socket { action, source };
    let protocol = Protocol::from(libc::IPPROTO_RAW);
    let socket = Socket::new(domain(family), Type::RAW, Some(protocol))
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
    Ok(socket)
}
