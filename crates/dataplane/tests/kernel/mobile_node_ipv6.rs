//! What is IPv6's own in the kernel's tunnels of a mobile node.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use dataplane::BackendChoice::{Kernel, Userspace};
use dataplane::mobile_node::MobileNodeDataplane;
use etherparse::PacketBuilder;
use nix::sys::socket::{setsockopt, sockopt::Ipv6TClass};
use socket2::{Domain, Protocol, Socket, Type};

use crate::namespace::{
    ACCESS_6, CORRESPONDENT_6, HOME_6, OTHER_6, Peer, ROUTER_6, attach_6, echo_at, eventually, ip,
};
use crate::site::run;
use crate::world::{Agent, IPV6, install, receiver, start};

const HEADER: usize = 40;

/// Everything that comes to the router with an IPv6 header, from its link's header on.
fn capture(peer: &Peer) -> Socket {
    peer.run(|| {
        const ETH_P_IPV6: u16 = 0x86dd;
        let protocol = Protocol::from(i32::from(ETH_P_IPV6.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        socket
    })
}

/// The next packet to the router itself.
fn next_tunnelled(capture: &mut Socket) -> Vec<u8> {
    loop {
        let mut packet = vec![0; 2048];
        let length = capture.read(&mut packet).unwrap();
        packet.truncate(length);
        if packet[8..24] == ACCESS_6.octets() && packet[24..HEADER] == ROUTER_6.octets() {
            return packet;
        }
    }
}

#[test]
fn both_backends_put_the_same_octets_on_the_wire() {
    run("octets on the wire", || async {
        let peer = attach_6();
        let mut capture = capture(&peer);
        for backend in [Kernel, Userspace] {
            let mut mobile_node = start(backend).await;
            install(
                &mut mobile_node,
                IPV6.tunnel(IPV6.access, &[IPV6.correspondent]),
            )
            .await;
            let sender = UdpSocket::bind((HOME_6, 1000)).unwrap();
            setsockopt(&sender, Ipv6TClass, &0xba).unwrap();
            sender.send_to(b"hello", (CORRESPONDENT_6, 9)).unwrap();
            let packet = next_tunnelled(&mut capture);
            let (outer, inner) = packet.split_at(HEADER);
            assert_eq!(
                outer[..4],
                inner[..4],
                "class and flow label are those within"
            );
            assert_eq!(
                outer[1] & 0xf0 | outer[0] & 0xf,
                0xab,
                "class 0xba, {backend:?}"
            );
            assert_eq!(outer[4..6], [0, 53], "payload");
            assert_eq!(outer[6..8], [41, 64], "next header and hop limit");
            assert_eq!(inner[8..24], HOME_6.octets());
            if backend == Kernel {
                assert_eq!(ip("-6 addr show dev mn0 scope link"), "");
                assert!(ip("-d link show mn0").contains("addrgenmode none"));
                assert!(ip("link show mn0").contains("mtu 1460"));
                let traffic = mobile_node.traffic(IPV6.home_address()).unwrap();
                assert_eq!((traffic.packets_out, traffic.bytes_out), (1, 53));
            }
            mobile_node.shutdown().await.unwrap();
        }
    });
}

#[test]
fn a_narrow_path_carries_1280_octets_in_pieces() {
    run("narrow path", || async {
        let peer = attach_6();
        echo_at(&peer, CORRESPONDENT_6.into());
        let carried = IPV6.tunnel(IPV6.access, &[IPV6.correspondent]);
        let agent = Agent::start(&peer, IPV6, Userspace).learn(&peer, &carried, None);
        let mut mobile_node = start(Kernel).await;
        install(&mut mobile_node, carried).await;
        let mut session = TcpStream::connect((CORRESPONDENT_6, 7)).unwrap();
        session
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let body = vec![7; 50_000];
        let mut answer = vec![0; body.len()];
        session.write_all(&body).unwrap();
        session.read_exact(&mut answer).unwrap();

        eventually("narrow paths are looked after", || {
            nft("list tables").contains("mn-agent-narrow")
        })
        .await;

        // A session that began on a wide path goes on.
        ip("link set wlan0 mtu 1280");
        peer.run(|| drop(ip("link set up0 mtu 1280")));
        session.write_all(&body).unwrap();
        session.read_exact(&mut answer).unwrap();
        assert_eq!(answer, body);

        // So do datagrams, which can't be told less.
        let socket = peer.run(|| receiver(IPV6.correspondent, Duration::from_millis(200)));
        let sender = UdpSocket::bind((HOME_6, 0)).unwrap();
        eventually("1280 octets arrive", || {
            sender.send_to(&[7; 1232], (CORRESPONDENT_6, 9)).unwrap();
            socket
                .recv(&mut [0; 2048])
                .is_ok_and(|length| length == 1232)
        })
        .await;

        // Elsewhere the path may be wide.
        let known = || nft("list set inet mn-agent-narrow narrow6").contains("2001:db8:1::1 ");
        assert!(known(), "{}", nft("list ruleset"));
        ip("link set wlan0 mtu 1500");
        IPV6.move_to(IPV6.next, IPV6.access);
        install(
            &mut mobile_node,
            IPV6.tunnel(IPV6.next, &[IPV6.correspondent]),
        )
        .await;
        assert!(!known());
        mobile_node.shutdown().await.unwrap();
        agent.stop(&peer);
        assert_eq!(nft("list tables"), "");
    });
}

fn nft(arguments: &str) -> String {
    let output = std::process::Command::new("nft")
        .args(arguments.split(' '))
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// A header in front of these octets.
fn packet(next_header: u8, source: Ipv6Addr, destination: Ipv6Addr, behind: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(u16::try_from(behind.len()).unwrap().to_be_bytes());
    packet.extend([next_header, 64]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(behind);
    packet
}

/// Sends a packet to the home address through the tunnel, from the router.
fn wrap(peer: &Peer, inner: Vec<u8>) {
    peer.run(move || {
        let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::from(255))).unwrap();
        let outer = packet(41, ROUTER_6, ACCESS_6, &inner);
        let access = SocketAddr::new(IpAddr::V6(ACCESS_6), 0);
        socket.send_to(&outer, &access.into()).unwrap();
    });
}

#[test]
fn extension_headers_hide_nothing() {
    run("extension headers", || async {
        const DESTINATION_OPTIONS: u8 = 60;
        const UDP: u8 = 17;
        let peer = attach_6();
        let mut mobile_node = start(Kernel).await;
        install(
            &mut mobile_node,
            IPV6.tunnel(IPV6.access, &[IPV6.correspondent]),
        )
        .await;
        let home = receiver(HOME_6.into(), Duration::from_millis(300));
        let arrives = || home.recv(&mut [0; 64]).is_ok();
        let mut whole = Vec::new();
        PacketBuilder::ipv6(CORRESPONDENT_6.octets(), HOME_6.octets(), 64)
            .udp(1000, 9)
            .write(&mut whole, b"hello")
            .unwrap();
        let datagram = whole.split_off(HEADER);
        let send = |next_header: u8, header: &[u8], behind: &[u8]| {
            let behind = [header, behind].concat();
            wrap(&peer, packet(next_header, CORRESPONDENT_6, HOME_6, &behind));
        };
        let padding = |next_header: u8| [next_header, 0, 1, 4, 0, 0, 0, 0];
        send(DESTINATION_OPTIONS, &padding(UDP), &datagram);
        assert!(
            arrives(),
            "options for the destination are none of our business"
        );

        let inside = packet(UDP, OTHER_6, HOME_6, &datagram);
        send(DESTINATION_OPTIONS, &padding(41), &inside);
        assert!(!arrives());
        assert_eq!(count(&mobile_node, "drop_nested_tunnel"), 1);

        let mut routing = vec![UDP, 2, 2, 1, 0, 0, 0, 0];
        routing.extend(HOME_6.octets());
        send(43, &routing, &datagram);
        assert!(!arrives());
        assert_eq!(count(&mobile_node, "drop_source_route"), 1);

        let mut home_address = vec![UDP, 2, 1, 2, 0, 0, 201, 16];
        home_address.extend(OTHER_6.octets());
        send(DESTINATION_OPTIONS, &home_address, &datagram);
        assert!(!arrives(), "the kernel believes no Home Address option");
        mobile_node.shutdown().await.unwrap();
    });
}

fn count(dataplane: &MobileNodeDataplane, name: &str) -> u64 {
    let counters = dataplane.counters();
    counters.iter().find(|(known, _)| *known == name).unwrap().1
}
