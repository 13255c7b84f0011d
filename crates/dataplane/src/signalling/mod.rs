//! The sockets that signalling arrives at and leaves by, of both daemons.
//!
//! Each message that arrives says which local address it was sent to; each that leaves does so from
//! the address and through the interface it names. All sockets carry [`FWMARK`](crate::FWMARK): their
//! packets never enter a tunnel of ours.
//!
//! # Mobility Headers and the kernel
//! A protocol 135 socket gets no message whose checksum is wrong, and none with a Home Address option
//! unless the kernel knows the mobile node: kernels without support for mobile nodes answer that
//! option with an ICMPv6 Parameter Problem, the others drop the packet silently. A home agent sees
//! such packets all the same, through a protocol 60 socket. Kernels with that support also drop
//! messages that are shorter than their type's least length; without it they arrive.
//!
//! # Who may send
//! Anybody who reaches a socket's address; the machines judge what the messages say. Messages longer
//! than any the codecs accept are dropped and counted. Those that find the kernel's buffer full are
//! lost, as in a network.

mod ipv6;
mod socket;

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::num::NonZeroU32;
use std::task::Poll;

use mobility_protocol::wire::mip4;
use mobility_protocol::wire::mip6::{self, Packet};
use mobility_protocol::{Datagram, Transmit, Transport};

use self::ipv6::{Sender, Way};
use self::socket::{Arrival, Kind, Role, Socket};

/// More than any signalling message the codecs accept, an IPv6 header around it included.
const LARGEST_MESSAGE: usize = 4096;

/// The next header value of destination options (RFC 8200, section 4.6).
const DESTINATION_OPTIONS: u8 = 60;

/// How many useless arrivals are passed over in search of a message before others have their turn.
const PATIENCE: usize = 64;

/// The sockets of one daemon.
#[derive(Debug)]
pub struct Signalling {
    sockets: Vec<Socket>,
    /// By which IPv6 leaves, where there is any.
    sender: Option<Sender>,
    /// Whose turn it is.
    turn: usize,
    /// What has arrived last, behind room for an IPv6 header.
    buffer: Vec<u8>,
    oversized: u64,
    others: u64,
    failures: u64,
}

/// Why a socket could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("can't open {place}: {source}")]
pub struct OpenError {
    place: String,
    source: io::Error,
}

impl Signalling {
    /// The sockets of a home agent with these addresses: UDP port 434 of the IPv4 address; of the
    /// IPv6 address protocol 135 and UDP port 4191. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The first socket that could not be opened.
    pub fn home_agent(ipv4: Option<Ipv4Addr>, ipv6: Option<Ipv6Addr>) -> Result<Self, OpenError> {
        let mut sockets = Vec::new();
        if let Some(address) = ipv4 {
            let local = (address, mip4::PORT).into();
            sockets.push(open(local, Kind::Udp, Role::HomeAgent)?);
        }
        if let Some(address) = ipv6 {
            for (kind, port) in [
                (Kind::MobilityHeader, 0),
                (Kind::DestinationOptions, 0),
                (Kind::Udp, mip6::PORT),
            ] {
                sockets.push(open((address, port).into(), kind, Role::HomeAgent)?);
            }
        }
        Self::new(sockets)
    }

    /// The sockets of a mobile node, on every address it has or will have: a UDP port of each family,
    /// and protocol 135. A system without IPv6 has none of IPv6. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    /// The first socket that could not be opened.
    pub fn mobile_node() -> Result<Self, OpenError> {
        let ipv4 = (Ipv4Addr::UNSPECIFIED, 0).into();
        let mut sockets = vec![open(ipv4, Kind::Udp, Role::MobileNode)?];
        for kind in [Kind::MobilityHeader, Kind::Udp] {
            match open((Ipv6Addr::UNSPECIFIED, 0).into(), kind, Role::MobileNode) {
                Ok(socket) => sockets.push(socket),
                Err(error) if is_absent(&error.source) => tracing::info!(%error, "no IPv6"),
                Err(error) => return Err(error),
            }
        }
        Self::new(sockets)
    }

    fn new(sockets: Vec<Socket>) -> Result<Self, OpenError> {
        let sender = sockets
            .iter()
            .any(|socket| socket.udp().is_some_and(|local| local.is_ipv6()))
            .then(Sender::open)
            .transpose()
            .map_err(|source| OpenError {
                place: "a raw IPv6 socket".to_owned(),
                source,
            })?;
        Ok(Self {
            sockets,
            sender,
            turn: 0,
            buffer: vec![0; ipv6::HEADER + LARGEST_MESSAGE],
            oversized: 0,
            others: 0,
            failures: 0,
        })
    }

    /// Waits until something has arrived.
    ///
    /// # Errors
    /// The runtime is ending.
    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|context| {
            let mut readable = Poll::Pending;
            // Each has to be asked, so that each wakes us.
            for socket in &self.sockets {
                if let Poll::Ready(result) = socket.poll_readable(context) {
                    result?;
                    readable = Poll::Ready(Ok(()));
                }
            }
            readable
        })
        .await
    }

    /// The next message that has arrived already; the sockets take turns.
    pub fn receive(&mut self) -> Option<Datagram<'_>> {
        let Arrival {
            kind,
            source,
            destination,
            length,
            ..
        } = self.arrival()?;
        let (transport, home_address, payload) = match kind {
            Kind::Udp => {
                let port = source.port();
                (Transport::Udp { port }, None, self.arrived(length)?)
            }
            Kind::MobilityHeader => (Transport::MobilityHeader, None, self.arrived(length)?),
            Kind::DestinationOptions => {
                let packet = self.packet(length)?;
                let home_address = packet.home_address;
                (Transport::MobilityHeader, home_address, packet.message)
            }
        };
        Some(Datagram {
            source: source.ip(),
            destination,
            transport,
            home_address,
            payload,
        })
    }

    /// Sends one message now; a socket whose buffer is full loses it, as a network would.
    ///
    /// # Errors
    /// The kernel refused it: there is no way to its destination, or none from its source; or there
    /// is no socket for it.
    pub fn send(&mut self, transmit: &Transmit) -> io::Result<()> {
        let Transmit {
            source,
            interface,
            destination,
            transport,
            home_address,
            ref payload,
        } = *transmit;
        let absent = || io::Error::from(io::ErrorKind::Unsupported);
        let mut ports = self
            .sockets
            .iter()
            .filter_map(|socket| Some((socket, socket.udp()?)));
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let Transport::Udp { port } = transport else {
                    return Err(absent());
                };
                let (socket, _) = ports
                    .find(|(_, local)| local.is_ipv4())
                    .ok_or_else(absent)?;
                let destination = SocketAddrV4::new(destination, port);
                socket.send(source, interface, destination, payload)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let (_, local) = ports
                    .find(|(_, local)| local.is_ipv6())
                    .ok_or_else(absent)?;
                let sender = self.sender.as_mut().ok_or_else(absent)?;
                let way = Way {
                    source,
                    interface: interface.and_then(NonZeroU32::new),
                    destination,
                };
                match transport {
                    Transport::Udp { port } => sender.send_udp(way, (local.port(), port), payload),
                    Transport::MobilityHeader => {
                        sender.send_mobility_header(way, home_address, payload)
                    }
                }
            }
            (IpAddr::V4(_) | IpAddr::V6(_), _) => Err(absent()),
        }
    }

    /// What was dropped, as `drop_<reason>`, and what went wrong.
    #[must_use]
    pub fn counters(&self) -> [(&'static str, u64); 3] {
        [
            ("drop_oversized_signalling", self.oversized),
            ("drop_other_destination_options", self.others),
            ("receive_failures", self.failures),
        ]
    }

    /// The next arrival that is a message.
    fn arrival(&mut self) -> Option<Arrival> {
        let mut silent = 0;
        for _ in 0..PATIENCE {
            if silent == self.sockets.len() {
                return None;
            }
            let turn = self.turn % self.sockets.len();
            self.turn = turn + 1;
            let buffer = self.buffer.get_mut(ipv6::HEADER..)?;
            match self.sockets.get(turn)?.receive(buffer) {
                Ok(Some(arrival)) if !arrival.is_whole => self.oversized += 1,
                Ok(Some(arrival)) if self.is_message(&arrival) => return Some(arrival),
                Ok(Some(_other)) => self.others += 1,
                Ok(None) => silent += 1,
                Err(error) => {
                    self.failures += 1;
                    tracing::debug!(%error, "receiving signalling");
                }
            }
        }
        None
    }

    /// Whether this is a message, and not one that arrives at another socket too: of destination
    /// options, only the Home Address option keeps it from there.
    fn is_message(&mut self, arrival: &Arrival) -> bool {
        if arrival.kind != Kind::DestinationOptions {
            return true;
        }
        let (IpAddr::V6(source), IpAddr::V6(destination)) =
            (arrival.source.ip(), arrival.destination)
        else {
            return false;
        };
        let way = Way {
            source,
            interface: None,
            destination,
        };
        let (Ok(header), Some(room)) = (
            ipv6::header(way, DESTINATION_OPTIONS, arrival.length),
            self.buffer.first_chunk_mut(),
        ) else {
            return false;
        };
        *room = header;
        self.packet(arrival.length)
            .is_some_and(|packet| packet.home_address.is_some())
    }

    /// What has arrived last.
    fn arrived(&self, length: usize) -> Option<&[u8]> {
        self.buffer.get(ipv6::HEADER..)?.get(..length)
    }

    /// The packet around what has arrived last.
    fn packet(&self, length: usize) -> Option<Packet<'_>> {
        Packet::decode(self.buffer.get(..ipv6::HEADER + length)?).ok()
    }
}

fn open(local: SocketAddr, kind: Kind, role: Role) -> Result<Socket, OpenError> {
    Socket::open(local, kind, role).map_err(|source| {
        let what = match kind {
            Kind::Udp if local.port() == 0 => "a UDP port".to_owned(),
            Kind::Udp => format!("UDP port {}", local.port()),
            Kind::MobilityHeader => "IP protocol 135".to_owned(),
            Kind::DestinationOptions => "IP protocol 60".to_owned(),
        };
        OpenError {
            place: match local.ip() {
                address if address.is_unspecified() => what,
                address => format!("{what} of {address}"),
            },
            source,
        }
    })
}

/// Whether the system has no such family at all, or no address of it.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(nix::libc::EAFNOSUPPORT | nix::libc::EADDRNOTAVAIL)
    )
}
