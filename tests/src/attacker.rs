//! A machine at the core from which anything can be sent, whatever its source says: unlike the access networks, the
//! core looks at destinations alone.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use mobility_protocol::{
    Identity, Path, Transmit, Transport,
    mobile_node::{Config, Credentials, MobileNode},
};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::{
    Capture, Family, Internet, LabError, Node, Prefixes, Site,
    family::{net, net6},
    internet::UPLINK,
    packet,
    stage::own_prefix,
};

/// Time for the receiver to keep up.
const GAP: Duration = Duration::from_micros(100);

/// The IP protocol of the Mobility Header (RFC 6275).
const MOBILITY_HEADER: u8 = 135;

/// The IP protocols of tunnels (RFC 2003, RFC 2473).
const IP_IN_IP: u8 = 4;
const IPV6_IN_IP: u8 = 41;

/// What is before the question in a message of the DNS.
const DNS_HEADER: usize = 12;

/// The UDP port of Mobile IPv4 signalling.
const MIP4_PORT: u16 = 434;

/// The machine.
pub struct Attacker {
    node: Node,
    address: IpAddr,
}

impl Attacker {
    /// A new machine at the core.
    pub fn new(internet: &mut Internet) -> Result<Attacker, LabError> {
        let node = Node::new("attacker")?;
        let next_hop = internet.connect(&node)?;
        let prefixes = Prefixes {
            ipv4: net(Ipv4Addr::new(10, 66, 0, 0), 24)?,
            ipv6: net6(Ipv6Addr::new(0x2001, 0xdb8, 0x66, 0, 0, 0, 0, 0), 64)?,
        };
        for family in Family::ALL {
            own_prefix(internet, &node, next_hop.of(family), prefixes.of(family))?;
        }
        let address = prefixes.host(1).of(Family::of_this_story());
        Ok(Attacker { node, address })
    }

    /// Where answers would reach it, in the story's family.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Captures on a machine's link to the core what `filter` (in tcpdump's words) lets through.
    pub fn listen_at(node: &Node, filter: &str) -> Result<Capture, LabError> {
        Capture::start(node, UPLINK, filter)
    }

    /// Sends whole packets of one family as they are, each once.
    pub fn send(&self, packets: Vec<Vec<u8>>) -> Result<(), LabError> {
        self.node.run(move |_| {
            for octets in packets {
                let (_, destination) = packet::ends(&octets)
                    .ok_or_else(|| LabError::Other("no packet to send".to_owned()))?;
                let what = || LabError::io(format!("send a packet to {destination}"));
                let domain = Domain::for_address((destination, 0).into());
                // The protocol that means: the header is mine (raw(7), ipv6(7)).
                let protocol = Protocol::from(nix::libc::IPPROTO_RAW);
                let socket = Socket::new(domain, Type::RAW, Some(protocol)).map_err(what())?;
                match socket.send_to(&octets, &SockAddr::from(SocketAddr::from((destination, 0)))) {
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                        return Err(what()(error));
                    }
                    Ok(_) | Err(_) => {}
                }
                thread::sleep(GAP);
            }
            Ok(())
        })
    }
}

/// A datagram of UDP from anybody's address, as a packet.
#[must_use]
pub fn datagram(from: SocketAddr, to: SocketAddr, data: &[u8]) -> Vec<u8> {
    packet::udp(from, to, data)
}

/// A packet in a tunnel's packet from anybody's address; `None` if the addresses are of two families.
#[must_use]
pub fn tunnelled(from: IpAddr, to: IpAddr, inner: &[u8]) -> Option<Vec<u8>> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Some(packet::ipv4(from, to, IP_IN_IP, inner)),
        (IpAddr::V6(from), IpAddr::V6(to)) => Some(packet::ipv6(from, to, IPV6_IN_IP, inner)),
        _ => None,
    }
}

/// A captured packet as it can be sent again: its sender left the checksum of UDP to a network card that was none. In
/// IPv4 there needn't be one.
#[must_use]
pub fn repeated(mut octets: Vec<u8>) -> Vec<u8> {
    if let [0x45, _, _, _, _, _, _, _, _, packet::UDP, ..] = octets[..]
        && let Some(checksum) = octets.get_mut(26..28)
    {
        checksum.fill(0);
    }
    octets
}

/// A question about a name in a captured packet.
#[derive(Clone, Debug)]
pub struct Question {
    /// Who asks.
    pub from: SocketAddr,
    /// Whom.
    pub to: SocketAddr,
    message: Vec<u8>,
}

impl Question {
    /// The question about the addresses of `name`, of the story's family, if this packet is one.
    #[must_use]
    pub fn about(name: &str, octets: &[u8]) -> Option<Question> {
        let (from, to) = packet::ends(octets)?;
        let [a, b, c, d, ..] = *packet::udp_header(octets)? else {
            return None;
        };
        let message = packet::udp_data(octets)?;
        let labels = name.split('.').flat_map(|label| {
            [&[u8::try_from(label.len()).unwrap_or(0)], label.as_bytes()].concat()
        });
        let kind = match Family::of_this_story() {
            Family::Ipv4 => 1,
            Family::Ipv6 => 28,
        };
        let question: Vec<u8> = labels.chain([0, 0, kind, 0, 1]).collect();
        let asked = message.get(DNS_HEADER..)?.get(..question.len())?;
        asked.eq_ignore_ascii_case(&question).then(|| Question {
            from: (from, u16::from_be_bytes([a, b])).into(),
            to: (to, u16::from_be_bytes([c, d])).into(),
            message: message[..DNS_HEADER + question.len()].to_vec(),
        })
    }

    /// A packet in which `from` answers that the name has this address, to the question with the number that lies
    /// `beside` the one it has.
    #[must_use]
    pub fn answered(&self, from: SocketAddr, beside: u8, address: IpAddr) -> Vec<u8> {
        let mut answer = self.message.clone();
        answer[1] = answer[1].wrapping_add(beside);
        // A recursive answer with one question and one record (RFC 1035 section 4.1.1).
        answer[2..DNS_HEADER].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        let octets = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let kind = self.message[self.message.len() - 3];
        let length = u8::try_from(octets.len()).unwrap_or(0);
        answer.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, length]);
        answer.extend(octets);
        packet::udp(from, self.from, &answer)
    }
}

/// Where a packet goes.
#[must_use]
pub fn destination(octets: &[u8]) -> Option<IpAddr> {
    packet::ends(octets).map(|(_, destination)| destination)
}

/// What a stranger at `source` would send first to the home agent of a site, as a packet.
pub fn first_contact(number: u32, source: IpAddr, site: &Site) -> Result<Vec<u8>, LabError> {
    let other = |error: &dyn std::fmt::Display| LabError::Other(error.to_string());
    let identity =
        Identity::new(format!("stranger-{number}@example.net")).map_err(|error| other(&error))?;
    let unix_time = SystemTime::now().duration_since(UNIX_EPOCH);
    let mut seed = [0x66; 32];
    seed[..4].copy_from_slice(&number.to_be_bytes());
    let now = Instant::now();
    let mut machine = MobileNode::new(
        Config::new(identity),
        seed,
        now,
        unix_time.unwrap_or_default(),
    );
    let agent = site.agent.into();
    let credentials = Credentials::Agreement { pinned: None };
    machine
        .bind(agent, &site.name, &[site.address], credentials, now)
        .map_err(|error| other(&error))?;
    let path = Path {
        care_of: source.into(),
        interface: 1,
    };
    machine.handle_path(agent, Some(path), false, now);
    let first = machine.poll_transmit();
    first
        .and_then(|first| as_packet(&first))
        .ok_or_else(|| LabError::Other(format!("nothing to send from {source}")))
}

fn as_packet(transmit: &Transmit) -> Option<Vec<u8>> {
    let Transmit {
        source,
        destination,
        payload,
        ..
    } = transmit;
    match (transmit.transport, source, destination) {
        (Transport::Udp { port }, ..) => Some(packet::udp(
            (*source, MIP4_PORT).into(),
            (*destination, port).into(),
            payload,
        )),
        (Transport::MobilityHeader, IpAddr::V6(source), IpAddr::V6(destination)) => Some(
            packet::ipv6(*source, *destination, MOBILITY_HEADER, payload),
        ),
        (Transport::MobilityHeader, ..) => None,
    }
}
