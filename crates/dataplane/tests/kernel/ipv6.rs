//! What only IPv6 has: extension headers and fragments, inside a home agent's tunnels and around them.

use std::net::{IpAddr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use mobility_protocol::HomeAddress;

use crate::home_agent::nft;
use crate::ipv6_packets::{UDP, behind, datagram, fragment, packet, report, wrapped};
use crate::namespace::eventually;
use crate::site::{IPV6, Site, World, counter, forge, in_family};

fn ipv6(address: IpAddr) -> Ipv6Addr {
    let address = match address {
        IpAddr::V6(address) => Some(address),
        IpAddr::V4(_) => None,
    };
    address.expect("an address of IPv6")
}

/// A server that listens at the port that stands for "discard".
fn listen(site: &Site, world: World) -> UdpSocket {
    let socket = site
        .server
        .run(move || UdpSocket::bind((world.server, 9)).unwrap());
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    socket
}

#[test]
fn packets_that_would_escape_inspection_are_dropped_and_counted() {
    in_family(IPV6, "forged", |world| async move {
        let site = Site::new(world);
        let mut dataplane = world.start().await;
        world.install(&mut dataplane, world.home, world.care_of[0], None);
        let [home, server] = [world.home, world.server].map(ipv6);
        let [agent, care_of] = [world.agent, world.care_of[0]].map(ipv6);

        let good = datagram(home, server, 9, 16);
        let to = |destination: &str| datagram(home, destination.parse().unwrap(), 9, 16);
        let piece = |next_header, offset, more, payload: &[u8]| {
            fragment([home, server], next_header, offset, more, payload)
        };
        let [stranger, other] = [world.stranger, world.second_home].map(ipv6);
        let about = |from, to| report(home, server, &datagram(from, to, 9, 16));
        let mut home_address = vec![UDP, 2, 1, 2, 0, 0, 201, 16];
        home_address.extend(ipv6(world.second_home).octets());
        let hidden = [&[60, 0, 1, 4, 0, 0, 0, 0], &*home_address].concat();
        let cases = [
            ("multicast", "drop_forbidden_destination", to("ff05::1")),
            ("link-local", "drop_forbidden_destination", to("fe80::1")),
            (
                "IPv4 in disguise",
                "drop_forbidden_destination",
                to("::ffff:127.0.0.1"),
            ),
            (
                "a tunnel",
                "drop_nested_tunnel",
                wrapped(home, server, &good),
            ),
            (
                "a tunnel behind an extension header",
                "drop_nested_tunnel",
                behind(60, &[41, 0, 1, 4, 0, 0, 0, 0], &good),
            ),
            (
                "a Mobility Header",
                "drop_signalling_in_tunnel",
                packet(
                    home,
                    agent,
                    135,
                    &[59, 1, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0],
                ),
            ),
            (
                "signalling over UDP",
                "drop_signalling_in_tunnel",
                datagram(home, agent, 4191, 16),
            ),
            (
                "signalling at the port of IPv4",
                "drop_signalling_in_tunnel",
                datagram(home, agent, 434, 16),
            ),
            (
                "a tunnel to ourselves",
                "drop_nested_tunnel",
                wrapped(home, agent, &good),
            ),
            (
                "GRE",
                "drop_nested_tunnel",
                packet(home, server, 47, &[0; 8]),
            ),
            (
                "our address that only a prefix holds",
                "drop_not_a_correspondent",
                to("2001:db8:c::1"),
            ),
            (
                "any router of our network",
                "drop_not_a_correspondent",
                to("2001:db8:c::"),
            ),
            (
                "a routing header",
                "drop_source_route",
                behind(43, &[UDP, 0, 4, 1, 0, 0, 0, 0], &good),
            ),
            (
                "a Home Address option",
                "drop_source_route",
                behind(60, &home_address, &good),
            ),
            (
                "a Home Address option behind other options",
                "drop_source_route",
                behind(60, &hidden, &good),
            ),
            (
                "a report about another's packet",
                "drop_not_a_correspondent",
                about(server, other),
            ),
            (
                "a report about what no correspondent sent",
                "drop_not_a_correspondent",
                about(stranger, home),
            ),
            (
                "a report about nothing",
                "drop_not_a_correspondent",
                report(home, server, &[0x60; 8]),
            ),
            (
                "a tiny fragment",
                "drop_fragment_hides_header",
                piece(6, 0, true, &[0; 8]),
            ),
            (
                "a first fragment that ends within the extension headers",
                "drop_fragment_hides_header",
                piece(60, 0, true, &[UDP, 1, 1, 4, 0, 0, 0, 0]),
            ),
            (
                "an overlapping fragment",
                "drop_fragment_hides_header",
                piece(6, 8, false, &[0; 8]),
            ),
            (
                "an extension header that is cut off",
                "drop_malformed",
                packet(home, server, 60, &[UDP]),
            ),
        ];
        for (what, name, inner) in cases {
            let before = counter(&dataplane, name);
            forge(&site.mobile_node, wrapped(care_of, agent, &inner));
            eventually(&format!("{what} is counted as {name}"), || {
                counter(&dataplane, name) == before + 1
            })
            .await;
        }
        let received = dataplane.traffic(HomeAddress(world.home)).unwrap();
        assert_eq!(received.packets_in, 0, "nothing got through");
        dataplane.shutdown().await.unwrap();
    });
}

#[test]
fn extension_headers_and_fragments_go_through() {
    in_family(IPV6, "extension headers", |world| async move {
        let site = Site::new(world);
        let mut dataplane = world.start().await;
        world.install(&mut dataplane, world.home, world.care_of[0], None);
        let [home, server] = [world.home, world.server].map(ipv6);
        let [agent, care_of] = [world.agent, world.care_of[0]].map(ipv6);
        let socket = listen(&site, world);
        let mut buffer = [0; 4000];

        let short = datagram(home, server, 9, 100);
        // Destination options that a receiver may skip; a limit of encapsulations, as others set it.
        let options = [UDP, 0, 1, 4, 0, 0, 0, 0];
        let limit = [41, 0, 4, 1, 4, 1, 1, 0];
        let inner = behind(60, &options, &short);
        let outer = wrapped(care_of, agent, &inner);
        forge(&site.mobile_node, behind(60, &limit, &outer));
        let (length, from) = socket.recv_from(&mut buffer).expect("options");
        assert_eq!((length, from.ip()), (100, world.home));

        // Fragments inside the tunnel; the later one comes first.
        let whole = datagram(home, server, 9, 2000);
        let (first, later) = whole[40..].split_at(1200);
        for (offset, more, payload) in [(1200, false, later), (0, true, first)] {
            let piece = fragment([home, server], UDP, offset, more, payload);
            forge(&site.mobile_node, wrapped(care_of, agent, &piece));
        }
        let (length, _) = socket.recv_from(&mut buffer).expect("fragments inside");
        assert_eq!(buffer[..length], [7; 2000]);

        // Fragments of the outer packet, as a mobile node on a narrow path sends them.
        let whole = datagram(home, server, 9, 1200);
        let (first, later) = whole.split_at(1200);
        for (offset, more, payload) in [(1200, false, later), (0, true, first)] {
            let piece = fragment([care_of, agent], 41, offset, more, payload);
            forge(&site.mobile_node, piece);
        }
        let (length, _) = socket.recv_from(&mut buffer).expect("fragments outside");
        assert_eq!(buffer[..length], [7; 1200]);
        // From elsewhere they are nobody's.
        for (offset, more, payload) in [(1200, false, later), (0, true, first)] {
            let stranger = ipv6(world.care_of[1]);
            let piece = fragment([stranger, agent], 41, offset, more, payload);
            forge(&site.mobile_node, piece);
        }
        eventually("a stranger's fragments are counted", || {
            counter(&dataplane, "drop_wrong_outer_source") >= 1
        })
        .await;
        dataplane.shutdown().await.unwrap();
    });
}

#[test]
fn a_narrow_path_carries_1280_octets_in_pieces() {
    in_family(IPV6, "narrow path", |world| async move {
        let site = Site::new(world);
        let mut dataplane = world.start().await;
        world.install(&mut dataplane, world.home, world.care_of[0], None);
        assert!(site.says_back());
        let home = world.home;
        let receiver = site.mobile_node.run(move || {
            let receiver = UdpSocket::bind((home, 77)).unwrap();
            receiver
                .set_read_timeout(Some(Duration::from_millis(200)))
                .unwrap();
            receiver
        });
        let sender = site
            .server
            .run(move || UdpSocket::bind((world.server, 0)).unwrap());
        let arrives = || {
            // What was told about the last one is no matter.
            let _ = sender.send_to(&[7; 1232], (home, 77));
            receiver
                .recv(&mut [0; 2048])
                .is_ok_and(|length| length == 1232)
        };
        assert!(arrives(), "in one piece");
        world.narrow(world.care_of[0], 1300);
        eventually("1280 octets arrive in pieces", arrives).await;
        assert!(nft(&["list", "ruleset"]).contains(&world.care_of[0].to_string()));
        nft(&["delete", "table", "inet", "chad-narrow"]);
        eventually("the rules are back, and so is the path", arrives).await;
        dataplane.shutdown().await.unwrap();
        assert_eq!(nft(&["list", "tables"]), "");
    });
}
