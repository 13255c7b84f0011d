//! Packets that must not get through, each counted once under its reason.

#![expect(clippy::cast_possible_truncation, reason = "a test")]

mod userspace_lab;

use std::net::Ipv4Addr;

use etherparse::{IpNumber, Ipv4Header, PacketBuilder};

use userspace_lab::*;

const STRANGER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 254);
const OTHER_HOME: Ipv4Addr = Ipv4Addr::new(10, 128, 0, 6);
const OTHER_CORRESPONDENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 8);

/// A packet from the mobile node with a header of one's own making.
fn packet(change: impl FnOnce(&mut Ipv4Header), payload: &[u8]) -> Vec<u8> {
    ipv4_packets::packet(HOME, CORRESPONDENT, change, payload)
}

#[test]
fn a_home_agent_believes_nothing() {
    if !possible() {
        return;
    }
    let lab = Lab::new();
    let (home_agent, _mobile_node) = lab.bound();
    let mut other = tunnel(AGENT, CARE_OF_2);
    other.home_address = OTHER_HOME.into();
    home_agent.apply(&install(other)).expect("install");
    // A correspondent on the home agent's own host, and prefixes around its other address and a
    // broadcast address.
    let mut with_itself = tunnel(AGENT, CARE_OF_1);
    let correspondents = [
        "198.51.100.7/32",
        "203.0.113.1/32",
        "198.51.100.0/29",
        "198.51.100.252/30",
    ];
    with_itself.correspondents = correspondents
        .iter()
        .map(|prefix| prefix.parse().expect("a prefix"))
        .collect();
    home_agent.apply(&install(with_itself)).expect("install");

    let good = datagram(HOME, CORRESPONDENT, 9);
    let to = |destination| datagram(HOME, destination, 9);
    let about = |from, to| ipv4_packets::report(HOME, CORRESPONDENT, &datagram(from, to, 9));
    let fragment = |protocol, offset, more, payload: &[u8]| {
        ipv4_packets::fragment([HOME, CORRESPONDENT], protocol, offset, more, payload)
    };
    let of_protocol = |number| packet(|header| header.protocol = IpNumber(number), &[0; 8]);
    let mut truncated = good.clone();
    truncated.truncate(18);
    let mut broken = good.clone();
    broken[8] ^= 1;
    let mut too_long = good.clone();
    too_long[3] += 1;
    let routed = ipv4_packets::source_routed(packet(|_| {}, &[0; 16]));

    let cases: Vec<(&str, &str, Ipv4Addr, Vec<u8>)> = vec![
        (
            "another host",
            "drop_wrong_outer_source",
            STRANGER,
            good.clone(),
        ),
        (
            "another mobile node",
            "drop_wrong_inner_source",
            CARE_OF_2,
            good.clone(),
        ),
        (
            "no home address at all",
            "drop_wrong_inner_source",
            CARE_OF_1,
            datagram(STRANGER, CORRESPONDENT, 9),
        ),
        (
            "not a correspondent",
            "drop_not_a_correspondent",
            CARE_OF_1,
            to(Ipv4Addr::new(198, 51, 100, 9)),
        ),
        (
            "multicast",
            "drop_forbidden_destination",
            CARE_OF_1,
            to(Ipv4Addr::new(224, 0, 0, 1)),
        ),
        (
            "broadcast",
            "drop_forbidden_destination",
            CARE_OF_1,
            to(Ipv4Addr::BROADCAST),
        ),
        (
            "loopback",
            "drop_forbidden_destination",
            CARE_OF_1,
            to(Ipv4Addr::LOCALHOST),
        ),
        (
            "link-local",
            "drop_forbidden_destination",
            CARE_OF_1,
            to(Ipv4Addr::new(169, 254, 169, 254)),
        ),
        (
            "a tunnel",
            "drop_nested_tunnel",
            CARE_OF_1,
            encapsulated(HOME, CORRESPONDENT, &good),
        ),
        ("GRE", "drop_nested_tunnel", CARE_OF_1, of_protocol(47)),
        (
            "IPv6 in IPv4",
            "drop_nested_tunnel",
            CARE_OF_1,
            of_protocol(41),
        ),
        (
            "minimal encapsulation",
            "drop_nested_tunnel",
            CARE_OF_1,
            of_protocol(55),
        ),
        ("Ethernet", "drop_nested_tunnel", CARE_OF_1, of_protocol(97)),
        (
            "a tunnel to ourselves",
            "drop_nested_tunnel",
            CARE_OF_1,
            encapsulated(HOME, AGENT, &good),
        ),
        (
            "our address that only a prefix holds",
            "drop_not_a_correspondent",
            CARE_OF_1,
            to(Ipv4Addr::new(198, 51, 100, 1)),
        ),
        (
            "the broadcast address of a network of ours",
            "drop_not_a_correspondent",
            CARE_OF_1,
            to(Ipv4Addr::new(198, 51, 100, 255)),
        ),
        (
            "signalling",
            "drop_signalling_in_tunnel",
            CARE_OF_1,
            datagram(HOME, AGENT, 434),
        ),
        (
            "signalling at the port of IPv6",
            "drop_signalling_in_tunnel",
            CARE_OF_1,
            datagram(HOME, AGENT, 4191),
        ),
        (
            "a Mobility Header",
            "drop_signalling_in_tunnel",
            CARE_OF_1,
            {
                let change = |header: &mut Ipv4Header| header.protocol = IpNumber(135);
                ipv4_packets::packet(HOME, AGENT, change, &[0; 16])
            },
        ),
        (
            "a report about another's packet",
            "drop_not_a_correspondent",
            CARE_OF_1,
            about(CORRESPONDENT, OTHER_HOME),
        ),
        (
            "a report about what no correspondent sent",
            "drop_not_a_correspondent",
            CARE_OF_1,
            about(STRANGER, HOME),
        ),
        (
            "a report about nothing",
            "drop_not_a_correspondent",
            CARE_OF_1,
            ipv4_packets::report(HOME, CORRESPONDENT, &[0x45; 8]),
        ),
        ("a source route", "drop_source_route", CARE_OF_1, routed),
        (
            "a tiny fragment",
            "drop_fragment_hides_header",
            CARE_OF_1,
            fragment(6, 0, true, &[0; 8]),
        ),
        (
            "an overlapping fragment",
            "drop_fragment_hides_header",
            CARE_OF_1,
            fragment(6, 1, false, &[0; 8]),
        ),
        (
            "an overlong fragment",
            "drop_fragment_hides_header",
            CARE_OF_1,
            fragment(17, 8191, false, &[0; 64]),
        ),
        ("a truncated packet", "drop_malformed", CARE_OF_1, truncated),
        (
            "a wrong header checksum",
            "drop_malformed",
            CARE_OF_1,
            broken,
        ),
        (
            "a length beyond the end",
            "drop_malformed",
            CARE_OF_1,
            too_long,
        ),
        ("nothing", "drop_malformed", CARE_OF_1, Vec::new()),
        ("IPv6", "drop_malformed", CARE_OF_1, vec![0x60; 60]),
    ];
    let number = cases.len();
    for (what, counter, outer_source, inner) in cases {
        let counted_before = counted(&home_agent);
        let value = count(&home_agent, counter);
        lab.router.forge(encapsulated(outer_source, AGENT, &inner));
        eventually(
            &format!("{what} is counted as {counter}, not {counted_before:?}"),
            || count(&home_agent, counter) > value,
        );
        assert_eq!(count(&home_agent, counter), value + 1, "{what}");
    }
    let total: u64 = home_agent
        .counters()
        .iter()
        .filter(|(name, _)| name.starts_with("drop_"))
        .map(|(_, n)| n)
        .sum();
    assert_eq!(
        total,
        number as u64,
        "each once: {:?}",
        counted(&home_agent)
    );
    assert_eq!(
        home_agent
            .traffic(HOME.into())
            .expect("installed")
            .packets_in,
        0,
        "nothing got through"
    );

    // Congestion that the sender would not understand, and congestion that it would.
    for (ecn, counter_grows, received_grows) in [(0, 1, 0), (2, 0, 1)] {
        let dropped = count(&home_agent, "drop_congestion_marked");
        let received = home_agent
            .traffic(HOME.into())
            .expect("installed")
            .packets_in;
        let inner = packet(
            |header| header.ecn = etherparse::IpEcn::try_new(ecn).expect("two bits"),
            &[0; 16],
        );
        let mut outer = encapsulated(CARE_OF_1, AGENT, &inner);
        outer[1] = 3;
        lab.router.forge(outer);
        eventually("a congestion mark is judged", || {
            count(&home_agent, "drop_congestion_marked") == dropped + counter_grows
                && home_agent
                    .traffic(HOME.into())
                    .expect("installed")
                    .packets_in
                    == received + received_grows
        });
    }
}

#[test]
fn a_mobile_node_believes_its_home_agent_only() {
    if !possible() {
        return;
    }
    let lab = Lab::new();
    let (_home_agent, mobile_node) = lab.bound();
    let good = datagram(CORRESPONDENT, HOME, 9);
    let other_home = datagram(CORRESPONDENT, OTHER_HOME, 9);
    let from_elsewhere = datagram(STRANGER, HOME, 9);
    let report = |about: Vec<u8>| {
        let mut error = Vec::new();
        let unreachable = etherparse::icmpv4::DestUnreachableHeader::Host;
        let kind = etherparse::Icmpv4Type::DestinationUnreachable(unreachable);
        PacketBuilder::ipv4(STRANGER.octets(), HOME.octets(), 60)
            .icmpv4(kind)
            .write(&mut error, &about)
            .expect("error");
        error
    };
    for (what, counter, outer_source, inner) in [
        (
            "another host",
            "drop_wrong_outer_source",
            STRANGER,
            good.clone(),
        ),
        (
            "another home address",
            "drop_wrong_inner_destination",
            AGENT,
            other_home,
        ),
        (
            "not a correspondent",
            "drop_not_a_correspondent",
            AGENT,
            from_elsewhere,
        ),
        (
            "an error about others",
            "drop_not_a_correspondent",
            AGENT,
            report(datagram(STRANGER, CORRESPONDENT, 9)),
        ),
        (
            "an error about a packet to others",
            "drop_not_a_correspondent",
            AGENT,
            report(datagram(HOME, STRANGER, 9)),
        ),
        (
            "a tunnel",
            "drop_nested_tunnel",
            AGENT,
            encapsulated(CORRESPONDENT, HOME, &good),
        ),
    ] {
        let value = count(&mobile_node, counter);
        lab.router
            .forge(encapsulated(outer_source, CARE_OF_1, &inner));
        eventually(&format!("{what} is counted as {counter}"), || {
            count(&mobile_node, counter) == value + 1
        });
    }
    assert_eq!(
        mobile_node
            .traffic(HOME.into())
            .expect("installed")
            .packets_in,
        0
    );

    lab.router.forge(encapsulated(
        AGENT,
        CARE_OF_1,
        &report(datagram(HOME, CORRESPONDENT, 9)),
    ));
    eventually("an error about our own packet is delivered", || {
        mobile_node
            .traffic(HOME.into())
            .expect("installed")
            .packets_in
            == 1
    });
}

#[test]
fn a_home_agent_speaks_for_its_own_binding_only() {
    if !possible() {
        return;
    }
    let lab = Lab::new();
    let (_home_agent, mobile_node) = lab.bound();
    let mut other = tunnel(CARE_OF_1, STRANGER);
    other.home_address = OTHER_HOME.into();
    other.correspondents = [std::net::IpAddr::from(OTHER_CORRESPONDENT).into()].into();
    mobile_node.apply(&install(other)).expect("install");
    let to = |home: Ipv4Addr, from: Ipv4Addr| datagram(from, home, 9);
    for (what, counter, agent, inner) in [
        (
            "another agent's correspondent",
            "drop_not_a_correspondent",
            AGENT,
            to(HOME, OTHER_CORRESPONDENT),
        ),
        (
            "the same the other way round",
            "drop_not_a_correspondent",
            STRANGER,
            to(OTHER_HOME, CORRESPONDENT),
        ),
        (
            "another agent's binding",
            "drop_wrong_inner_destination",
            AGENT,
            to(OTHER_HOME, OTHER_CORRESPONDENT),
        ),
    ] {
        let value = count(&mobile_node, counter);
        lab.router.forge(encapsulated(agent, CARE_OF_1, &inner));
        eventually(&format!("{what} is counted as {counter}"), || {
            count(&mobile_node, counter) == value + 1
        });
    }
    for home in [HOME, OTHER_HOME] {
        let traffic = mobile_node.traffic(home.into()).expect("installed");
        assert_eq!(traffic.packets_in, 0, "{home}");
    }
    let inner = to(OTHER_HOME, OTHER_CORRESPONDENT);
    lab.router.forge(encapsulated(STRANGER, CARE_OF_1, &inner));
    eventually("its own is taken", || {
        let traffic = mobile_node.traffic(OTHER_HOME.into());
        traffic.expect("installed").packets_in == 1
    });
}

#[test]
fn a_packet_for_an_unbound_home_address_is_counted_once_and_answered() {
    if !possible() {
        return;
    }
    let lab = Lab::new();
    let (home_agent, _mobile_node) = lab.bound();
    let output = lab.cn.try_sh("ping -c 1 -W 2 10.128.9.9");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("From 203.0.113.1") && text.contains("Destination Host Unreachable"),
        "{text}"
    );
    settles(
        &home_agent,
        &[("drop_unbound_home_address", 1), ("icmp_errors_sent", 1)],
    );

    // Nobody is told of an error about an error, nor more often than is decent.
    let error = {
        let mut error = Vec::new();
        let unreachable = etherparse::icmpv4::DestUnreachableHeader::Host;
        let kind = etherparse::Icmpv4Type::DestinationUnreachable(unreachable);
        let builder = PacketBuilder::ipv4(CORRESPONDENT.octets(), [10, 128, 9, 9], 60).icmpv4(kind);
        builder
            .write(&mut error, &datagram(HOME, CORRESPONDENT, 9))
            .expect("error");
        error
    };
    lab.cn.forge(error);
    eventually("it is dropped", || {
        count(&home_agent, "drop_unbound_home_address") == 2
    });
    settles(
        &home_agent,
        &[("drop_unbound_home_address", 2), ("icmp_errors_sent", 1)],
    );
}

#[test]
fn only_correspondents_reach_a_mobile_node() {
    if !possible() {
        return;
    }
    let lab = Lab::new();
    let (home_agent, mobile_node) = lab.bound();
    lab.cn.sh("ip addr add 198.51.100.8/24 dev eth0");
    lab.cn.sh("! ping -c 1 -W 1 -I 198.51.100.8 10.128.0.5");
    lab.cn.forge(encapsulated(
        CORRESPONDENT,
        HOME,
        &datagram(STRANGER, HOME, 9),
    ));
    settles(
        &home_agent,
        &[("drop_not_a_correspondent", 1), ("drop_nested_tunnel", 1)],
    );
    assert_eq!(
        mobile_node
            .traffic(HOME.into())
            .expect("installed")
            .packets_in,
        0
    );
}

#[test]
fn a_mobile_node_learns_that_a_destination_is_prohibited() {
    if !possible() {
        return;
    }
    let lab = Lab::new();
    let (home_agent, mobile_node) = lab.bound();
    let mut generous = tunnel(CARE_OF_1, AGENT);
    generous.correspondents = ["198.51.100.0/24".parse().expect("a prefix")]
        .into_iter()
        .collect();
    mobile_node.apply(&install(generous)).expect("install");
    lab.mn.sysctl("net.ipv4.conf.mn0.rp_filter", "0");
    lab.mn
        .sh("ip route add 198.51.100.9/32 dev mn0 src 10.128.0.5");
    let output = lab.mn.try_sh("ping -c 1 -W 2 198.51.100.9");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("From 203.0.113.1") && text.contains("Packet filtered"),
        "{text}"
    );
    settles(
        &home_agent,
        &[("drop_not_a_correspondent", 1), ("icmp_errors_sent", 1)],
    );
}

#[test]
fn forbidden_destinations_are_answered_rarely() {
    const MANY: u64 = 2_000;
    if !possible() {
        return;
    }
    let lab = Lab::new();
    let (home_agent, _mobile_node) = lab.bound();
    let begin = std::time::Instant::now();
    let forbidden = datagram(HOME, Ipv4Addr::new(198, 51, 100, 9), 9);
    for _ in 0..MANY {
        lab.router.forge(encapsulated(CARE_OF_1, AGENT, &forbidden));
    }
    eventually("each is counted", || {
        count(&home_agent, "drop_not_a_correspondent") == MANY
    });
    let [sent, withheld] =
        ["icmp_errors_sent", "icmp_errors_withheld"].map(|name| count(&home_agent, name));
    assert_eq!(sent + withheld, MANY);
    let most = 50 + 200 * (begin.elapsed().as_millis() as u64 / 1000 + 1);
    assert!((50..=most).contains(&sent), "{sent}, at most {most}");
}

#[test]
fn a_tunnelled_packet_does_not_circle() {
    if !possible() {
        return;
    }
    let lab = Lab::new();
    let (home_agent, _mobile_node) = lab.bound();
    let mut careless = tunnel(AGENT, CARE_OF_1);
    careless.correspondents = ["0.0.0.0/0".parse().expect("a prefix")]
        .into_iter()
        .collect();
    home_agent.apply(&install(careless)).expect("install");
    // The mobile node tunnels to its own home address.
    lab.router.sh("ip route add 10.128.0.0/10 via 203.0.113.1");
    lab.router.forge(encapsulated(
        CARE_OF_1,
        HOME,
        &datagram(CORRESPONDENT, HOME, 9),
    ));
    eventually("the loop is cut", || {
        count(&home_agent, "drop_tunnel_loop") == 1
    });
    // A care-of address inside the pool leads our own packets back to us.
    home_agent
        .apply(&install(tunnel(AGENT, OTHER_HOME)))
        .expect("install");
    let mut back = tunnel(AGENT, HOME);
    back.home_address = OTHER_HOME.into();
    back.correspondents = ["0.0.0.0/0".parse().expect("a prefix")]
        .into_iter()
        .collect();
    home_agent.apply(&install(back)).expect("install");
    lab.cn.forge(datagram(CORRESPONDENT, HOME, 9));
    eventually("the loop is cut", || {
        count(&home_agent, "drop_tunnel_loop") == 2
    });
}
