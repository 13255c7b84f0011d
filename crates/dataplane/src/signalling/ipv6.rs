//! Sending IPv6 packets through exactly the interface that is named.
//!
//! Linux takes the interface in IPV6_PKTINFO for a wish: among default routes of different metrics the
//! best wins, whatever was named, and a message leaves one network with the address of another. Only
//! a socket bound to a device is held to it, and a socket that receives can't be bound anew for each
//! message without missing what arrives elsewhere. So the packets are made here and leave by a raw
//! socket, which receives nothing.

use std::io::{self, IoSlice};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::num::NonZeroU32;
use std::os::fd::AsRawFd;

use mobility_protocol::wire::mip6::Packet;
use nix::libc;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn6, sendmsg};
use socket2::{Domain, Protocol, Socket, Type};

use crate::FWMARK;
use crate::userspace::checksum;

const UDP: u8 = 17;
const HOP_LIMIT: u8 = 64;
/// The octets of an IPv6 header.
pub(super) const HEADER: usize = 40;
const UDP_HEADER: usize = 8;
/// Where in a UDP header the checksum is.
const UDP_CHECKSUM: usize = 6;

/// The two ends of a packet, and how it leaves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) source: Ipv6Addr,
    /// The routes decide where there is none.
    pub(super) interface: Option<NonZeroU32>,
    pub(super) destination: Ipv6Addr,
}

/// The raw socket.
#[derive(Debug)]
pub(super) struct Sender {
    socket: Socket,
    bound: Option<NonZeroU32>,
}

impl Sender {
    pub(super) fn open() -> io::Result<Self> {
        let protocol = Protocol::from(libc::IPPROTO_RAW);
        let socket = Socket::new(Domain::IPV6, Type::RAW, Some(protocol))?;
        socket.set_nonblocking(true)?;
        socket.set_mark(FWMARK)?;
        Ok(Self {
            socket,
            bound: None,
        })
    }

    /// Sends a UDP datagram between these ports.
    pub(super) fn send_udp(
        &mut self,
        way: Way,
        (from, to): (u16, u16),
        payload: &[u8],
    ) -> io::Result<()> {
        let length = u16::try_from(UDP_HEADER + payload.len())
            .map_err(|_too_long| io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut packet = header(way, UDP, length.into())?.to_vec();
        for field in [from, to, length, 0] {
            packet.extend_from_slice(&field.to_be_bytes());
        }
        packet.extend_from_slice(payload);
        let (_, datagram) = packet.split_at_mut(HEADER);
        let checksum = udp_checksum(way, datagram, length);
        checksum::put(datagram, UDP_CHECKSUM, checksum.to_ne_bytes());
        self.send(way, &packet)
    }

    /// Sends a Mobility Header, its checksum included, behind a type 2 routing header with this home
    /// address if there is one. Kernels without support for mobile nodes would not add that.
    pub(super) fn send_mobility_header(
        &mut self,
        way: Way,
        home_address: Option<Ipv6Addr>,
        message: &[u8],
    ) -> io::Result<()> {
        let packet = Packet {
            source: way.source,
            destination: way.destination,
            home_address: None,
            routing_address: home_address,
            message,
        };
        self.send(way, &packet.encode())
    }

    fn send(&mut self, way: Way, packet: &[u8]) -> io::Result<()> {
        if self.bound != way.interface {
            self.socket.bind_device_by_index_v6(way.interface)?;
            self.bound = way.interface;
        }
        // The kernel refuses a source that is not an address of this host.
        let information = libc::in6_pktinfo {
            ipi6_addr: libc::in6_addr {
                s6_addr: way.source.octets(),
            },
            ipi6_ifindex: way.interface.map_or(0, NonZeroU32::get),
        };
        let destination = SockaddrIn6::from(SocketAddrV6::new(way.destination, 0, 0, 0));
        sendmsg(
            self.socket.as_raw_fd(),
            &[IoSlice::new(packet)],
            &[ControlMessage::Ipv6PacketInfo(&information)],
            MsgFlags::empty(),
            Some(&destination),
        )?;
        Ok(())
    }
}

/// The IPv6 header (RFC 8200, section 3).
pub(super) fn header(way: Way, next_header: u8, length: usize) -> io::Result<[u8; HEADER]> {
    let length = u16::try_from(length)
        .map_err(|_too_long| io::Error::from(io::ErrorKind::InvalidInput))?
        .to_be_bytes();
    let mut header = [0; HEADER];
    let (fixed, addresses) = header.split_at_mut(8);
    fixed.copy_from_slice(&[
        6 << 4,
        0,
        0,
        0,
        length[0],
        length[1],
        next_header,
        HOP_LIMIT,
    ]);
    let (source, destination) = addresses.split_at_mut(16);
    source.copy_from_slice(&way.source.octets());
    destination.copy_from_slice(&way.destination.octets());
    Ok(header)
}

/// RFC 8200, section 8.1, in the byte order of memory; the field in the datagram is zero.
fn udp_checksum(way: Way, datagram: &[u8], length: u16) -> u16 {
    let sum = checksum::sum(&way.source.octets())
        + checksum::sum(&way.destination.octets())
        + checksum::word(length)
        + checksum::word(UDP.into())
        + checksum::sum(datagram);
    // Zero would say that there is no checksum, and none is forbidden.
    match !checksum::fold(sum) {
        0 => u16::MAX,
        checksum => checksum,
    }
}
