//! Packets of IPv4 that the home agent's kernel must not take out of a tunnel, each counted once under
//! its reason.

use std::net::{IpAddr, Ipv4Addr};

use etherparse::{IpNumber, Ipv4Header};
use mobility_protocol::HomeAddress;

use crate::ipv4_packets::{datagram, encapsulated, fragment, packet, report, source_routed};
use crate::namespace::eventually;
use crate::site::{IPV4, Site, counter, forge, in_family};

fn ipv4(address: IpAddr) -> Ipv4Addr {
    let address = match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    };
    address.expect("an address of IPv4")
}

#[test]
fn packets_that_would_escape_inspection_are_dropped_and_counted() {
    in_family(IPV4, "forged", |world| async move {
        let site = Site::new(world);
        let mut dataplane = world.start().await;
        world.install(&mut dataplane, world.home, world.care_of[0], None);
        let [home, server, agent] = [world.home, world.server, world.agent].map(ipv4);
        let [care_of, elsewhere] = world.care_of.map(ipv4);

        let good = datagram(home, server, 9);
        let to = |destination: &str| datagram(home, destination.parse().unwrap(), 9);
        let of_protocol = |number, destination| {
            let change = |header: &mut Ipv4Header| header.protocol = IpNumber(number);
            packet(home, destination, change, &[0; 16])
        };
        let [stranger, other] = [world.stranger, world.second_home].map(ipv4);
        let about = |from, to| report(home, server, &datagram(from, to, 9));
        let piece = |offset, more| fragment([home, server], 6, offset, more, &[0; 8]);
        let forbidden = "drop_forbidden_destination";
        let nested = "drop_nested_tunnel";
        let prohibited = "drop_not_a_correspondent";
        let signalling = "drop_signalling_in_tunnel";
        let hidden = "drop_fragment_hides_header";
        let cases = [
            (
                "another inner source",
                "drop_wrong_inner_source",
                datagram(elsewhere, server, 9),
            ),
            ("multicast", forbidden, to("224.0.0.1")),
            ("broadcast", forbidden, to("255.255.255.255")),
            ("loopback", forbidden, to("127.0.0.1")),
            ("link-local", forbidden, to("169.254.169.254")),
            ("a tunnel", nested, encapsulated(home, server, &good)),
            (
                "a tunnel to ourselves",
                nested,
                encapsulated(home, agent, &good),
            ),
            ("IPv6", nested, of_protocol(41, server)),
            ("GRE", nested, of_protocol(47, server)),
            ("minimal encapsulation", nested, of_protocol(55, server)),
            ("Ethernet", nested, of_protocol(97, server)),
            ("no correspondent", prohibited, to("198.51.100.8")),
            (
                "our address that only a prefix holds",
                prohibited,
                to("198.51.100.1"),
            ),
            (
                "the broadcast address of a network of ours",
                prohibited,
                to("198.51.100.255"),
            ),
            ("signalling", signalling, datagram(home, agent, 434)),
            (
                "signalling at the port of IPv6",
                signalling,
                datagram(home, agent, 4191),
            ),
            ("a Mobility Header", signalling, of_protocol(135, agent)),
            (
                "a source route",
                "drop_source_route",
                source_routed(good.clone()),
            ),
            (
                "a report about another's packet",
                prohibited,
                about(server, other),
            ),
            (
                "a report about what no correspondent sent",
                prohibited,
                about(stranger, home),
            ),
            (
                "a report about nothing",
                prohibited,
                report(home, server, &[0x45; 8]),
            ),
            ("a tiny fragment", hidden, piece(0, true)),
            ("an overlapping fragment", hidden, piece(1, false)),
        ];
        let number = cases.len() as u64 + 1;
        for (what, name, inner) in cases {
            let before = counter(&dataplane, name);
            forge(&site.mobile_node, encapsulated(care_of, agent, &inner));
            eventually(&format!("{what} is counted as {name}"), || {
                counter(&dataplane, name) == before + 1
            })
            .await;
        }
        forge(&site.mobile_node, encapsulated(elsewhere, agent, &good));
        eventually("another outer source is counted", || {
            counter(&dataplane, "drop_wrong_outer_source") == 1
        })
        .await;
        let counters = dataplane.counters();
        let drops = counters
            .iter()
            .filter(|(name, _)| name.starts_with("drop_"));
        assert_eq!(
            drops.map(|(_, count)| count).sum::<u64>(),
            number,
            "each once: {counters:?}"
        );
        let received = dataplane.traffic(HomeAddress(world.home)).unwrap();
        assert_eq!(received.packets_in, 0, "nothing got through");
        let inner = about(server, home);
        forge(&site.mobile_node, encapsulated(care_of, agent, &inner));
        eventually("a report about what a correspondent sent arrives", || {
            let traffic = dataplane.traffic(HomeAddress(world.home)).unwrap();
            traffic.packets_in == 1
        })
        .await;
        dataplane.shutdown().await.unwrap();
    });
}

#[test]
fn forbidden_destinations_are_answered_rarely() {
    const MANY: u64 = 400;
    in_family(IPV4, "rarely", |world| async move {
        let site = Site::new(world);
        let mut dataplane = world.start().await;
        world.install(&mut dataplane, world.home, world.care_of[0], None);
        let begin = std::time::Instant::now();
        let [care_of, agent] = [world.care_of[0], world.agent].map(ipv4);
        let inner = datagram(ipv4(world.home), ipv4(world.stranger), 9);
        for _ in 0..MANY {
            forge(&site.mobile_node, encapsulated(care_of, agent, &inner));
        }
        eventually("each is counted", || {
            counter(&dataplane, "drop_not_a_correspondent") == MANY
        })
        .await;
        let [sent, withheld] =
            ["icmp_errors_sent", "icmp_errors_withheld"].map(|name| counter(&dataplane, name));
        assert_eq!(sent + withheld, MANY);
        let most = 50 + 100 * (begin.elapsed().as_secs() + 1);
        assert!((50..=most).contains(&sent), "{sent}, at most {most}");
        dataplane.shutdown().await.unwrap();
    });
}
