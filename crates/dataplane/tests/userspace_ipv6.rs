//! What only IPv6 has: extension headers and fragments, packets that must get through whatever the path
//! carries, and the errors of ICMPv6.

#![expect(clippy::expect_used, reason = "a test")]

mod ipv6_packets;
mod userspace_lab;

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use etherparse::PacketBuilder;

use ipv6_packets::{UDP, behind, datagram, packet, wrapped};
use userspace_lab::*;

const STRANGER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, 0, 0xfe);
const OTHER_HOME: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 4, 0, 0, 0, 0, 6);

fn fragment(next_header: u8, offset: u16, more: bool, payload: &[u8]) -> Vec<u8> {
    let ends = [HOME_6, CORRESPONDENT_6];
    ipv6_packets::fragment(ends, next_header, offset, more, payload)
}

fn received(backend: &dataplane::userspace::Backend) -> u64 {
    backend
        .traffic(HOME_6.into())
        .expect("installed")
        .packets_in
}

#[test]
fn a_home_agent_believes_nothing() {
    if !possible() {
        return;
    }
    let lab = Lab::new();
    let (home_agent, _mobile_node) = lab.bound();
    let mut other = tunnel(AGENT_6, CARE_OF_2_6);
    other.home_address = OTHER_HOME.into();
    home_agent.apply(&install(other)).expect("install");
    // A correspondent on the home agent's own host, and a prefix around its other address.
    let mut with_itself = tunnel(AGENT_6, CARE_OF_1_6);
    let correspondents = ["2001:db8:c::7/128", "2001:db8:f::1/128", "2001:db8:c::/126"];
    with_itself.correspondents = correspondents
        .iter()
        .map(|prefix| prefix.parse().expect("a prefix"))
        .collect();
    home_agent.apply(&install(with_itself)).expect("install");

    let good = datagram(HOME_6, CORRESPONDENT_6, 9, 16);
    let to = |destination: &str| {
        let destination = destination.parse().expect("an address");
        datagram(HOME_6, destination, 9, 16)
    };
    let routing = [UDP, 0, 4, 1, 0, 0, 0, 0];
    let mut home_address = vec![UDP, 2, 1, 2, 0, 0, 201, 16];
    home_address.extend(OTHER_HOME.octets());
    let mut too_long = good.clone();
    too_long[5] += 1;
    let about = |from, to| {
        let about = datagram(from, to, 9, 16);
        ipv6_packets::report(HOME_6, CORRESPONDENT_6, &about)
    };
    let endless = [60, 0, 1, 4, 0, 0, 0, 0].repeat(20);
    let cases: Vec<(&str, &str, Ipv6Addr, Vec<u8>)> = vec![
        (
            "another host",
            "drop_wrong_outer_source",
            STRANGER,
            good.clone(),
        ),
        (
            "another mobile node",
            "drop_wrong_inner_source",
            CARE_OF_2_6,
            good.clone(),
        ),
        (
            "no home address at all",
            "drop_wrong_inner_source",
            CARE_OF_1_6,
            datagram(STRANGER, CORRESPONDENT_6, 9, 16),
        ),
        (
            "not a correspondent",
            "drop_not_a_correspondent",
            CARE_OF_1_6,
            to("2001:db8:c::8"),
        ),
        (
            "multicast",
            "drop_forbidden_destination",
            CARE_OF_1_6,
            to("ff05::1"),
        ),
        (
            "link-local",
            "drop_forbidden_destination",
            CARE_OF_1_6,
            to("fe80::1"),
        ),
        (
            "loopback",
            "drop_forbidden_destination",
            CARE_OF_1_6,
            to("::1"),
        ),
        (
            "IPv4 in disguise",
            "drop_forbidden_destination",
            CARE_OF_1_6,
            to("::ffff:127.0.0.1"),
        ),
        (
            "a tunnel",
            "drop_nested_tunnel",
            CARE_OF_1_6,
            wrapped(HOME_6, CORRESPONDENT_6, &good),
        ),
        (
            "a tunnel behind an extension header",
            "drop_nested_tunnel",
            CARE_OF_1_6,
            behind(60, &[41, 0, 1, 4, 0, 0, 0, 0], &good),
        ),
        (
            "a Mobility Header",
            "drop_signalling_in_tunnel",
            CARE_OF_1_6,
            packet(
                HOME_6,
                AGENT_6,
                135,
                &[59, 1, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0],
            ),
        ),
        (
            "signalling over UDP",
            "drop_signalling_in_tunnel",
            CARE_OF_1_6,
            datagram(HOME_6, AGENT_6, 4191, 16),
        ),
        (
            "signalling at the port of IPv4",
            "drop_signalling_in_tunnel",
            CARE_OF_1_6,
            datagram(HOME_6, AGENT_6, 434, 16),
        ),
        (
            "a tunnel to ourselves",
            "drop_nested_tunnel",
            CARE_OF_1_6,
            wrapped(HOME_6, AGENT_6, &good),
        ),
        (
            "a report about another's packet",
            "drop_not_a_correspondent",
            CARE_OF_1_6,
            about(CORRESPONDENT_6, OTHER_HOME),
        ),
        (
            "a report about what no correspondent sent",
            "drop_not_a_correspondent",
            CARE_OF_1_6,
            about(STRANGER, HOME_6),
        ),
        (
            "GRE",
            "drop_nested_tunnel",
            CARE_OF_1_6,
            packet(HOME_6, CORRESPONDENT_6, 47, &[0; 8]),
        ),
        (
            "our address that only a prefix holds",
            "drop_not_a_correspondent",
            CARE_OF_1_6,
            to("2001:db8:c::1"),
        ),
        (
            "any router of our network",
            "drop_not_a_correspondent",
            CARE_OF_1_6,
            to("2001:db8:c::"),
        ),
        (
            "a routing header",
            "drop_source_route",
            CARE_OF_1_6,
            behind(43, &routing, &good),
        ),
        (
            "a Home Address option",
            "drop_source_route",
            CARE_OF_1_6,
            behind(60, &home_address, &good),
        ),
        (
            "a tiny fragment",
            "drop_fragment_hides_header",
            CARE_OF_1_6,
            fragment(6, 0, true, &[0; 8]),
        ),
        (
            "a first fragment that ends within the extension headers",
            "drop_fragment_hides_header",
            CARE_OF_1_6,
            fragment(60, 0, true, &[UDP, 9, 1, 4, 0, 0, 0, 0]),
        ),
        (
            "an overlapping fragment",
            "drop_fragment_hides_header",
            CARE_OF_1_6,
            fragment(6, 8, false, &[0; 8]),
        ),
        (
            "an overlong fragment",
            "drop_fragment_hides_header",
            CARE_OF_1_6,
            fragment(UDP, 0xfff8, false, &[0; 64]),
        ),
        (
            "extension headers without end",
            "drop_malformed",
            CARE_OF_1_6,
            behind(60, &endless, &good),
        ),
        (
            "a truncated packet",
            "drop_malformed",
            CARE_OF_1_6,
            good[..38].to_vec(),
        ),
        (
            "a length beyond the end",
            "drop_malformed",
            CARE_OF_1_6,
            too_long,
        ),
        ("nothing", "drop_malformed", CARE_OF_1_6, Vec::new()),
        (
            "IPv4",
            "drop_malformed",
            CARE_OF_1_6,
            userspace_lab::datagram(HOME, CORRESPONDENT, 9),
        ),
    ];
    let number = cases.len();
    for (what, counter, outer_source, inner) in cases {
        let value = count(&home_agent, counter);
        lab.router.forge(wrapped(outer_source, AGENT_6, &inner));
        eventually(&format!("{what} is counted as {counter}"), || {
            count(&home_agent, counter) == value + 1
        });
    }
    let total: u64 = home_agent
        .counters()
        .iter()
        .filter(|(name, _)| name.starts_with("drop_"))
        .map(|(_, count)| count)
        .sum();
    assert_eq!(
        total,
        number as u64,
        "each once: {:?}",
        counted(&home_agent)
    );
    assert_eq!(received(&home_agent), 0, "nothing got through");

    // Congestion that the sender would not understand, and congestion that it would.
    for (ecn, dropped, delivered) in [(0, 1, 0), (2, 1, 1)] {
        let mut inner = good.clone();
        inner[1] = ecn << 4;
        let mut outer = wrapped(CARE_OF_1_6, AGENT_6, &inner);
        outer[1] = 3 << 4;
        lab.router.forge(outer);
        eventually("a congestion mark is judged", || {
            (
                count(&home_agent, "drop_congestion_marked"),
                received(&home_agent),
            ) == (dropped, delivered)
        });
    }
}

#[test]
fn extension_headers_and_fragments_go_through() {
    if !possible() {
        return;
    }
    let lab = Lab::new();
    let (home_agent, _mobile_node) = lab.bound();
    let server = lab
        .cn
        .run(|| UdpSocket::bind((CORRESPONDENT_6, 9)).expect("bind"));
    server
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("timeout");
    let mut buffer = [0; 4000];
    let whole = datagram(HOME_6, CORRESPONDENT_6, 9, 2000);
    let short = datagram(HOME_6, CORRESPONDENT_6, 9, 100);
    // Destination options that a receiver may skip.
    let options = [UDP, 0, 1, 4, 0, 0, 0, 0];
    lab.router
        .forge(wrapped(CARE_OF_1_6, AGENT_6, &behind(60, &options, &short)));
    let (length, from) = server.recv_from(&mut buffer).expect("options");
    assert_eq!((length, from.ip()), (100, IpAddr::V6(HOME_6)));
    // The later fragment comes first.
    let (first, later) = whole[40..].split_at(1200);
    for piece in [
        fragment(UDP, 1200, false, later),
        fragment(UDP, 0, true, first),
    ] {
        lab.router.forge(wrapped(CARE_OF_1_6, AGENT_6, &piece));
    }
    let (length, _) = server.recv_from(&mut buffer).expect("fragments");
    assert_eq!(buffer[..length], [7; 2000]);
    // A program's own fragments, both ways, once the correspondent has been told how large they may be.
    lab.cn.try_sh("ping -c 1 -W 1 -s 1440 2001:db8:4::5");
    lab.mn.sh("ping -c 1 -W 2 -s 5000 2001:db8:c::7");
    lab.cn.sh("ping -c 1 -W 2 -s 5000 2001:db8:4::5");
    settles(&home_agent, &[]);
}

#[test]
fn a_narrow_path_is_learnt_and_told() {
    if !possible() {
        return;
    }
    let lab = Lab::new();
    let (home_agent, mobile_node) = lab.bound();
    // Between router and home agent 1400 octets fit; the mobile node can't see that.
    lab.router.sh("ip link set core mtu 1400");
    lab.cha.sh("ip link set wan mtu 1400");
    let too_big = |host: &Namespace, whom: IpAddr| {
        let output = host.try_sh(&format!("ping -c 1 -W 1 -M do -s 1400 {whom}"));
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("mtu") && text.contains("1360"), "{text}");
    };
    // The first one is lost to the router's own error; then the sender is told what fits inside.
    lab.mn.try_sh("ping -c 1 -W 1 -M do -s 1400 2001:db8:c::7");
    eventually("the path is learnt", || {
        count(&mobile_node, "path_mtu_changes") == 1
    });
    too_big(&lab.mn, IPV6.correspondent);
    lab.mn.sh("ping -c 1 -W 2 -M do -s 1312 2001:db8:c::7");
    // The home agent sees its own interface, and tells the correspondent.
    too_big(&lab.cn, IPV6.home);
    assert_eq!(count(&home_agent, "drop_too_big"), 1);
    lab.cn.sh("ping -c 1 -W 2 -M do -s 1312 2001:db8:4::5");
}

#[test]
fn packets_of_1280_octets_get_through_where_the_path_carries_no_more() {
    if !possible() {
        return;
    }
    let lab = Lab::new();
    let (home_agent, mobile_node) = lab.bound();
    // An access network of 1280 octets.
    lab.mn.sh("ip link set eth0 mtu 1280");
    lab.router.sh("ip link set access1 mtu 1280");
    lab.mn
        .sh("ping -c 2 -i 0.1 -W 2 -M do -s 1232 2001:db8:c::7");
    // The home agent learns of the path from the router.
    lab.cn.try_sh("ping -c 1 -W 1 -M do -s 1232 2001:db8:4::5");
    lab.cn
        .sh("ping -c 2 -i 0.1 -W 2 -M do -s 1232 2001:db8:4::5");
    for (host, whom) in [(&lab.mn, IPV6.correspondent), (&lab.cn, IPV6.home)] {
        let output = host.try_sh(&format!("ping -c 1 -W 1 -M do -s 1300 {whom}"));
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("mtu") && text.contains("1280"), "{text}");
    }
    let pieces = home_agent.traffic(HOME_6.into()).expect("installed");
    let whole = mobile_node.traffic(HOME_6.into()).expect("installed");
    assert_eq!(
        pieces.packets_in, whole.packets_out,
        "pieces are counted as the packet they are of"
    );

    // TCP never needs it: its segments are as large as one outer packet holds.
    let listener = lab
        .cn
        .run(|| std::net::TcpListener::bind((CORRESPONDENT_6, 80)).expect("listen"));
    let _client = lab
        .mn
        .run(|| std::net::TcpStream::connect((CORRESPONDENT_6, 80)).expect("connect"));
    let _server = listener.accept().expect("accept");
    for host in [&lab.mn, &lab.cn] {
        let sockets = host.sh("ss -Htino state established '( sport = 80 or dport = 80 )'");
        assert!(sockets.contains(" mss:1168 "), "{sockets}");
    }

    // Datagrams that the kernel hands over merged, each of which needs two outer packets.
    let receiver = lab
        .cn
        .run(|| UdpSocket::bind((CORRESPONDENT_6, 443)).expect("bind"));
    receiver
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("timeout");
    let sender = lab.mn.run(|| UdpSocket::bind((HOME_6, 0)).expect("bind"));
    nix::sys::socket::setsockopt(&sender, nix::sys::socket::sockopt::UdpGsoSegment, &1230)
        .expect("segmentation offload");
    let server = SocketAddr::from((CORRESPONDENT_6, 443));
    let sent = sender.send_to(&[5; 1230 * 4 + 100], server).expect("send");
    let mut octets = 0;
    let mut buffer = [0; 2000];
    while octets < sent {
        let length = receiver.recv(&mut buffer).expect("receive");
        assert!(length == 1230 || length == 100, "{length}");
        assert!(buffer[..length].iter().all(|octet| *octet == 5));
        octets += length;
    }
}

#[test]
fn errors_find_the_mobile_node() {
    if !possible() {
        return;
    }
    let lab = Lab::new();
    let (home_agent, _mobile_node) = lab.bound();
    let ping = |options: &str| {
        let output = lab.mn.try_sh(&format!("ping -c 1 -W 2 {options}"));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    // The home agent forwards, so it counts hops, and says when they are used up.
    let text = ping("-t 1 2001:db8:c::7");
    assert!(
        text.contains("From 2001:db8:f::1") && text.contains("Hop limit"),
        "{text}"
    );
    lab.mn.sh("ping -c 1 -W 2 -t 2 2001:db8:c::7");
    // Behind the home agent fits less than the tunnel carries.
    lab.cha.sh("ip link set lan mtu 1300");
    let text = ping("-M do -s 1350 2001:db8:c::7");
    assert!(text.contains("mtu") && text.contains("1300"), "{text}");
    assert_eq!(count(&home_agent, "drop_not_a_correspondent"), 0);
}

#[test]
fn an_unbound_home_address_and_a_prohibited_destination_are_answered() {
    if !possible() {
        return;
    }
    let lab = Lab::new();
    let (home_agent, mobile_node) = lab.bound();
    let output = lab.cn.try_sh("ping -c 1 -W 2 2001:db8:4::9:9");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("From 2001:db8:f::1") && text.contains("Address unreachable"),
        "{text}"
    );
    settles(
        &home_agent,
        &[("drop_unbound_home_address", 1), ("icmp_errors_sent", 1)],
    );

    let mut generous = tunnel(CARE_OF_1_6, AGENT_6);
    generous.correspondents = ["2001:db8:c::/64".parse().expect("a prefix")]
        .into_iter()
        .collect();
    mobile_node.apply(&install(generous)).expect("install");
    lab.mn
        .sh("ip route add 2001:db8:c::9/128 dev mn0 src 2001:db8:4::5");
    let output = lab.mn.try_sh("ping -c 1 -W 2 2001:db8:c::9");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("prohibited"), "{text}");
    settles(
        &home_agent,
        &[
            ("drop_unbound_home_address", 1),
            ("drop_not_a_correspondent", 1),
            ("icmp_errors_sent", 2),
        ],
    );
}

#[test]
fn a_mobile_node_believes_its_home_agent_only() {
    if !possible() {
        return;
    }
    let lab = Lab::new();
    let (_home_agent, mobile_node) = lab.bound();
    let good = datagram(CORRESPONDENT_6, HOME_6, 9, 16);
    let report = |about: Vec<u8>| {
        let mut error = Vec::new();
        let kind = etherparse::Icmpv6Type::DestinationUnreachable(
            etherparse::icmpv6::DestUnreachableCode::Address,
        );
        PacketBuilder::ipv6(STRANGER.octets(), HOME_6.octets(), 60)
            .icmpv6(kind)
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
            AGENT_6,
            datagram(CORRESPONDENT_6, OTHER_HOME, 9, 16),
        ),
        (
            "not a correspondent",
            "drop_not_a_correspondent",
            AGENT_6,
            datagram(STRANGER, HOME_6, 9, 16),
        ),
        (
            "an error about others",
            "drop_not_a_correspondent",
            AGENT_6,
            report(datagram(STRANGER, CORRESPONDENT_6, 9, 16)),
        ),
        (
            "an error about a packet to others",
            "drop_not_a_correspondent",
            AGENT_6,
            report(datagram(HOME_6, STRANGER, 9, 16)),
        ),
        (
            "a tunnel",
            "drop_nested_tunnel",
            AGENT_6,
            wrapped(CORRESPONDENT_6, HOME_6, &good),
        ),
    ] {
        let value = count(&mobile_node, counter);
        lab.router.forge(wrapped(outer_source, CARE_OF_1_6, &inner));
        eventually(&format!("{what} is counted as {counter}"), || {
            count(&mobile_node, counter) == value + 1
        });
    }
    assert_eq!(received(&mobile_node), 0);
    lab.router.forge(wrapped(
        AGENT_6,
        CARE_OF_1_6,
        &report(datagram(HOME_6, CORRESPONDENT_6, 9, 16)),
    ));
    eventually("an error about our own packet is delivered", || {
        received(&mobile_node) == 1
    });
}
