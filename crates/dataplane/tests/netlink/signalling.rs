//! Signalling between hosts in namespaces of their own.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV6};

use dataplane::signalling::Signalling;
use mobility_protocol::wire::mip6::{self, BindingUpdate, Packet, SequenceNumber, UpdateFlags};
use mobility_protocol::{Lifetime, Transmit, Transport};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::namespace::{PATIENCE, Peer, ip, run};

const AGENT: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
/// The mobile node on its first network, with two addresses, and on its second.
const FIRST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x10);
const FIRST_OTHER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x11);
const SECOND: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x10);
const IN_UDP: Transport = Transport::Udp { port: mip6::PORT };

/// A mobile node in this namespace, between two networks. On each there is a host with the home
/// agent's address, so that who receives a message tells through which interface it left.
struct Networks {
    mobile_node: Signalling,
    /// The home agents on the first and on the second network.
    agents: [Signalling; 2],
    /// The interfaces to them.
    interfaces: [u32; 2],
    _peers: [Peer; 2],
}

impl Networks {
    fn new() -> Self {
        allow_ipv6();
        let peers = [attach("wlan0", 1), attach("wlan1", 2)];
        ip(&format!(
            "addr add {FIRST_OTHER}/64 dev wlan0 nodad preferred_lft 0"
        ));
        let runtime = Handle::current();
        let agents = peers.each_ref().map(|peer| {
            let runtime = runtime.clone();
            peer.run(move || {
                let _runtime = runtime.enter();
                Signalling::home_agent(None, Some(AGENT)).unwrap()
            })
        });
        Self {
            mobile_node: Signalling::mobile_node().unwrap(),
            agents,
            interfaces: ["wlan0", "wlan1"].map(|name| nix::net::if_::if_nametoindex(name).unwrap()),
            _peers: peers,
        }
    }

    /// Sends a message from this address and through this interface, and expects it at the home
    /// agent behind it, then the answer back here.
    async fn there_and_back(&mut self, network: usize, from: Ipv6Addr, transport: Transport) {
        let payload = message(from, AGENT, transport);
        let request = Transmit {
            source: from.into(),
            interface: Some(self.interfaces[network]),
            destination: AGENT.into(),
            transport,
            home_address: None,
            payload: payload.clone(),
        };
        self.mobile_node.send(&request).unwrap();
        let agent = &mut self.agents[network];
        let received = receive(agent).await;
        assert_eq!(received.source, IpAddr::V6(from));
        assert_eq!(received.destination, IpAddr::V6(AGENT));
        assert_eq!(received.payload, payload);

        let payload = message(AGENT, from, transport);
        let answer = Transmit {
            source: AGENT.into(),
            interface: None,
            destination: from.into(),
            transport: received.transport,
            home_address: None,
            payload: payload.clone(),
        };
        agent.send(&answer).unwrap();
        let received = receive(&mut self.mobile_node).await;
        assert_eq!(received.source, IpAddr::V6(AGENT));
        assert_eq!(received.destination, IpAddr::V6(from));
        assert_eq!(received.transport, transport);
        assert_eq!(received.payload, payload);
    }
}

/// A host behind this interface with the home agent's address.
fn attach(interface: &str, network: u16) -> Peer {
    let peer = Peer::new();
    ip(&format!("link add {interface} type veth peer name up0"));
    ip(&format!("link set up0 netns {}", peer.thread_id()));
    ip(&format!(
        "addr add 2001:db8:{network}::10/64 dev {interface} nodad"
    ));
    peer.run(move || {
        allow_ipv6();
        ip("link set lo up");
        ip(&format!("addr add 2001:db8:{network}::1/64 dev up0 nodad"));
        ip(&format!("addr add {AGENT}/128 dev lo nodad"));
        ip("link set up0 up");
    });
    ip(&format!("link set {interface} up"));
    ip(&format!(
        "route add default via 2001:db8:{network}::1 dev {interface} metric {network}"
    ));
    peer
}

fn allow_ipv6() {
    for scope in ["all", "default"] {
        std::fs::write(format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6"), "0").unwrap();
    }
}

struct Received {
    source: IpAddr,
    destination: IpAddr,
    transport: Transport,
    home_address: Option<Ipv6Addr>,
    payload: Vec<u8>,
}

async fn receive(signalling: &mut Signalling) -> Received {
    timeout(PATIENCE, async {
        loop {
            signalling.readable().await.unwrap();
            if let Some(datagram) = signalling.receive() {
                return Received {
                    source: datagram.source,
                    destination: datagram.destination,
                    transport: datagram.transport,
                    home_address: datagram.home_address,
                    payload: datagram.payload.to_vec(),
                };
            }
        }
    })
    .await
    .unwrap()
}

fn binding_update(packet: &Packet<'_>) -> Vec<u8> {
    let update = BindingUpdate {
        sequence: SequenceNumber(7),
        flags: UpdateFlags::HOME,
        lifetime: Lifetime::Infinite,
        options: Vec::new().try_into().unwrap(),
    };
    update.encode_unauthenticated(&packet.pseudo_header())
}

/// A Binding Update between these addresses, as it travels.
fn message(source: Ipv6Addr, destination: Ipv6Addr, transport: Transport) -> Vec<u8> {
    let mut packet = Packet {
        source,
        destination,
        home_address: None,
        routing_address: None,
        message: &[],
    };
    let octets = binding_update(&packet);
    match transport {
        Transport::Udp { .. } => {
            packet.message = &octets;
            packet.encode()
        }
        Transport::MobilityHeader => octets,
    }
}

#[test]
fn messages_in_udp_leave_from_the_address_and_the_interface_they_name() {
    run("udp_from_address_and_interface", || async {
        let mut networks = Networks::new();
        networks.there_and_back(0, FIRST, IN_UDP).await;
        networks.there_and_back(0, FIRST_OTHER, IN_UDP).await;
        networks.there_and_back(1, SECOND, IN_UDP).await;
    });
}

#[test]
fn mobility_headers_leave_from_the_address_and_the_interface_they_name() {
    run("mobility_header_from_address_and_interface", || async {
        let mut networks = Networks::new();
        for (network, from) in [(0, FIRST), (0, FIRST_OTHER), (1, SECOND)] {
            networks
                .there_and_back(network, from, Transport::MobilityHeader)
                .await;
        }
        // One transport takes nothing from the other.
        networks.there_and_back(0, FIRST, IN_UDP).await;
        networks
            .there_and_back(0, FIRST, Transport::MobilityHeader)
            .await;
    });
}

/// A Binding Update as other implementations send it (RFC 6275, section 11.7.1).
fn with_home_address_option(home_address: Ipv6Addr) -> Vec<u8> {
    let mut packet = Packet {
        source: FIRST,
        destination: AGENT,
        home_address: Some(home_address),
        routing_address: None,
        message: &[],
    };
    let octets = binding_update(&packet);
    packet.message = &octets;
    packet.encode()
}

/// Sends whole packets from this namespace.
fn send_packet(packet: &[u8]) {
    let protocol = Protocol::from(nix::libc::IPPROTO_RAW);
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(protocol)).unwrap();
    let destination = SocketAddrV6::new(AGENT, 0, 0, 0);
    socket.send_to(packet, &destination.into()).unwrap();
}

#[test]
fn what_the_kernel_shows_of_a_mobility_header() {
    run("shown_by_the_kernel", || async {
        let mut networks = Networks::new();
        let message = message(FIRST, AGENT, Transport::MobilityHeader);
        let packet = Packet {
            source: FIRST,
            destination: AGENT,
            home_address: None,
            routing_address: None,
            message: &message,
        };
        let mut damaged = packet.encode();
        *damaged.last_mut().unwrap() ^= 1;
        let mut padded = packet.encode();
        padded[6] = 60;
        // Eight octets of padding: destination options without a home address.
        padded.splice(40..40, [135, 0, 1, 4, 0, 0, 0, 0]);
        padded[5] += 8;

        send_packet(&damaged);
        send_packet(&padded);
        let received = receive(&mut networks.agents[0]).await;
        assert_eq!(received.payload, message, "the damaged one is gone");
        assert_eq!(received.home_address, None);

        let homes = ["2001:db8:7::7", "::"].map(|home| home.parse::<Ipv6Addr>().unwrap());
        for home_address in homes {
            send_packet(&with_home_address_option(home_address));
            let received = receive(&mut networks.agents[0]).await;
            assert_eq!(received.source, IpAddr::V6(FIRST));
            assert_eq!(received.destination, IpAddr::V6(AGENT));
            assert_eq!(received.transport, Transport::MobilityHeader);
            assert_eq!(received.home_address, Some(home_address));
            let packet = Packet {
                home_address: Some(home_address),
                message: &received.payload,
                ..packet
            };
            packet.message().unwrap();
        }
        assert!(
            networks.agents[0].receive().is_none(),
            "nothing comes twice"
        );
        let counters = networks.agents[0].counters();
        assert_eq!(counters[1], ("drop_other_destination_options", 1));
    });
}

#[test]
fn an_acknowledgement_may_have_a_routing_header() {
    run("routing_header", || async {
        let mut networks = Networks::new();
        let home_address: Ipv6Addr = "2001:db8:7::7".parse().unwrap();
        // The kernel drops it here, as the home address is not this host's; a socket of protocol 43
        // sees it before that.
        let protocol = Protocol::from(nix::libc::IPPROTO_ROUTING);
        let routing = Socket::new(Domain::IPV6, Type::RAW, Some(protocol)).unwrap();
        routing.set_read_timeout(Some(PATIENCE)).unwrap();
        let packet = Packet {
            source: AGENT,
            destination: FIRST,
            home_address: None,
            routing_address: Some(home_address),
            message: &[],
        };
        let octets = binding_update(&packet);
        let answer = Transmit {
            source: AGENT.into(),
            interface: None,
            destination: FIRST.into(),
            transport: Transport::MobilityHeader,
            home_address: Some(home_address),
            payload: octets.clone(),
        };
        networks.agents[0].send(&answer).unwrap();
        let mut buffer = [0; 256];
        let length = (&routing).read(&mut buffer).unwrap();
        let expected = Packet {
            message: &octets,
            ..packet
        };
        assert_eq!(buffer[..length], expected.encode()[40..]);
    });
}

#[test]
fn a_message_without_a_way_is_refused() {
    run("no_way", || async {
        let mut networks = Networks::new();
        let message = |source: &str, destination: &str| Transmit {
            source: source.parse().unwrap(),
            interface: None,
            destination: destination.parse().unwrap(),
            transport: IN_UDP,
            home_address: None,
            payload: vec![0; 16],
        };
        let sent = networks
            .mobile_node
            .send(&message("2001:db8:9::9", "2001:db8::1"));
        assert!(sent.is_err(), "from an address this host does not have");
        let sent = networks
            .mobile_node
            .send(&message("192.0.2.1", "2001:db8::1"));
        assert!(sent.is_err(), "from one family to the other");
        let sent = networks.agents[0].send(&message("192.0.2.1", "192.0.2.2"));
        assert!(sent.is_err(), "over a family that is not served");
    });
}

#[test]
fn both_families_and_sockets_take_turns_and_nothing_oversized_gets_in() {
    run("turns", || async {
        allow_ipv6();
        let mut agent =
            Signalling::home_agent(Some(Ipv4Addr::LOCALHOST), Some(Ipv6Addr::LOCALHOST)).unwrap();
        let senders = [
            std::net::UdpSocket::bind("127.0.0.1:0").unwrap(),
            std::net::UdpSocket::bind("[::1]:0").unwrap(),
        ];
        senders[0].connect("127.0.0.1:434").unwrap();
        senders[1].connect("[::1]:4191").unwrap();
        for sender in &senders {
            sender.send(&[0; 4097]).unwrap();
            for octet in 1..=3 {
                sender.send(&[octet]).unwrap();
            }
        }
        let mut order = Vec::new();
        for _ in 0..6 {
            let received = receive(&mut agent).await;
            assert_eq!(received.source, received.destination, "loopback");
            order.push((received.source.is_ipv4(), received.payload));
        }
        for family in [true, false] {
            let of_family: Vec<_> = order
                .iter()
                .filter(|(is_ipv4, _)| *is_ipv4 == family)
                .map(|(_, payload)| payload.as_slice())
                .collect();
            assert_eq!(of_family, [[1], [2], [3]], "in order");
        }
        assert_ne!(order[0].0, order[1].0, "in turns: {order:?}");
        assert!(agent.receive().is_none());
        assert_eq!(agent.counters()[0], ("drop_oversized_signalling", 2));
    });
}

#[test]
fn a_port_that_is_taken_is_named() {
    run("taken", || async {
        let _first = Signalling::home_agent(Some(Ipv4Addr::LOCALHOST), None).unwrap();
        let second = Signalling::home_agent(Some(Ipv4Addr::LOCALHOST), None).unwrap_err();
        let sentence = second.to_string();
        assert!(
            sentence.starts_with("can't open UDP port 434 of 127.0.0.1: Address already in use"),
            "{sentence}"
        );
    });
}

#[test]
fn both_ends_speak_ipv4() {
    run("speak_ipv4", || async {
        let mut mobile_node = Signalling::mobile_node().unwrap();
        let mut agent = Signalling::home_agent(Some(Ipv4Addr::LOCALHOST), None).unwrap();
        let request = Transmit {
            source: Ipv4Addr::LOCALHOST.into(),
            interface: None,
            destination: Ipv4Addr::LOCALHOST.into(),
            transport: Transport::Udp { port: 434 },
            home_address: None,
            payload: b"request".to_vec(),
        };
        mobile_node.send(&request).unwrap();
        let received = receive(&mut agent).await;
        assert_eq!(received.payload, b"request");
        let answer = Transmit {
            transport: received.transport,
            home_address: None,
            payload: b"answer".to_vec(),
            ..request
        };
        agent.send(&answer).unwrap();
        let received = receive(&mut mobile_node).await;
        assert_eq!(received.transport, Transport::Udp { port: 434 });
        assert_eq!(received.payload, b"answer");
    });
}
