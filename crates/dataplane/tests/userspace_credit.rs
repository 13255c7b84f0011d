//! What an address gets that nobody has shown to be the mobile node's.

#![expect(clippy::expect_used, reason = "a test")]

mod ipv6_packets;
mod stream;
mod userspace_lab;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use dataplane::userspace::Backend;
use mobility_protocol::{Family, Reachability, Tunnel};

use stream::{Stream, inner_octets};
use userspace_lab::*;

const DATAGRAM: usize = 1200;

const STRANGER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 9);
const STRANGER_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 9);

/// 100 Mbit/s.
const PER_SECOND: u64 = 10_000;

/// Datagrams from the correspondent to the home address.
fn stream(lab: &Lab, plan: Plan) -> Stream {
    let socket = lab
        .cn
        .run(move || UdpSocket::bind((plan.correspondent, 0)).expect("bind"));
    let to = SocketAddr::from((plan.home, 9000));
    socket.connect(to).expect("connect");
    Stream::start(socket, to, DATAGRAM, PER_SECOND)
}

/// Where the binding is moved to: the mobile node's other address, and one that nobody has.
fn victims(plan: Plan) -> [IpAddr; 2] {
    let nobody = match plan.family {
        Family::Ipv4 => "10.2.0.9",
        Family::Ipv6 => "2001:db8:2::9",
    };
    [plan.care_of[1], nobody.parse().expect("an address")]
}

/// Counts, where the home agent's packets come by, what goes to the victims.
fn count_arrivals(lab: &Lab, plan: Plan) {
    let (family, protocol) = match plan.family {
        Family::Ipv4 => ("ip", "ip protocol 4"),
        Family::Ipv6 => ("ip6", "ip6 nexthdr 41"),
    };
    let [one, other] = victims(plan);
    lab.router.sh(&format!(
        "nft 'table {family} arrivals {{
            counter victims {{ }}
            chain passing {{
                type filter hook prerouting priority -300;
                {family} daddr {{ {one}, {other} }} {protocol} counter name victims
            }}
        }}'"
    ));
}

/// Octets of inner packets that went to the victims.
fn arrived(lab: &Lab, plan: Plan) -> u64 {
    let (family, header) = match plan.family {
        Family::Ipv4 => ("ip", 20),
        Family::Ipv6 => ("ip6", 40),
    };
    let said = lab
        .router
        .sh(&format!("nft list counter {family} arrivals victims"));
    inner_octets(&said, header)
}

fn apply(home_agent: &Backend, plan: Plan, remote: IpAddr, reachability: Reachability) {
    let tunnel = Tunnel {
        reachability,
        ..tunnel(plan.agent, remote)
    };
    home_agent.apply(&install(tunnel)).expect("install");
}

fn sent(home_agent: &Backend, plan: Plan) -> u64 {
    let traffic = home_agent.traffic(plan.home.into()).expect("installed");
    traffic.bytes_out
}

/// Watches the stream for more than two seconds; then how many octets had gone `long` before, or a bit
/// longer, and how many went in the last `short`, or a bit shorter.
fn watch(home_agent: &Backend, plan: Plan, long: Duration, short: Duration) -> (u64, u64) {
    let begin = Instant::now();
    let mut seen = Vec::new();
    while begin.elapsed() < Duration::from_millis(2_500) {
        seen.push((Instant::now(), sent(home_agent, plan)));
        std::thread::sleep(Duration::from_millis(5));
    }
    let (end, last) = *seen.last().expect("looked");
    let before = seen.iter().rev().find(|(at, _)| end - *at >= long);
    let since = seen.iter().find(|(at, _)| end - *at <= short);
    (
        before.expect("watched longer").1,
        last - since.expect("looked").1,
    )
}

#[test]
fn a_stream_moved_onto_a_victim_brings_it_no_more_than_its_owner_took() {
    if possible() {
        [IPV4, IPV6].into_iter().for_each(moved_onto_a_victim);
    }
}

fn moved_onto_a_victim(plan: Plan) {
    let lab = Lab::new();
    let (home_agent, _mobile_node) = lab.bound();
    count_arrivals(&lab, plan);
    let home = plan.home;
    let _listener = lab
        .mn
        .run(move || UdpSocket::bind((home, 9000)).expect("bind"));
    let stream = stream(&lab, plan);

    let mut before = 0;
    for round in 0..2 {
        let (long, short) = (Duration::from_millis(2_010), Duration::from_millis(1_500));
        let (start, least) = watch(&home_agent, plan, long, short);
        apply(&home_agent, plan, victims(plan)[0], Reachability::Unproven);
        let moved = sent(&home_agent, plan);
        let most = moved - start;
        let dropped = count(&home_agent, "drop_no_credit");
        // To and fro, until everything is used up, and longer.
        let mut to = 0;
        eventually("the stream goes on, and nowhere", || {
            to = 1 - to;
            apply(&home_agent, plan, victims(plan)[to], Reachability::Unproven);
            count(&home_agent, "drop_no_credit") > dropped + 5_000
        });
        let got = arrived(&lab, plan) - before;
        let spent = sent(&home_agent, plan) - moved;
        eprintln!("{} round {round}: {got} of {least} to {most}", plan.family);
        assert!(got <= most, "{got} octets are more than {most}");
        assert!(spent >= least, "{spent} octets are less than {least}");
        before += got;
        apply(&home_agent, plan, plan.care_of[0], Reachability::Proven);
    }
    stream.stop();
    assert_eq!(count(&home_agent, "icmp_errors_sent"), 0);
}

#[test]
fn who_shows_up_within_his_credit_loses_nothing() {
    if possible() {
        [IPV4, IPV6].into_iter().for_each(shows_up);
    }
}

fn shows_up(plan: Plan) {
    let lab = Lab::new();
    let (home_agent, mobile_node) = lab.bound();
    let home = plan.home;
    let listener = lab
        .mn
        .run(move || UdpSocket::bind((home, 9000)).expect("bind"));
    listener
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("timeout");
    let stream = stream(&lab, plan);
    let half = Duration::from_millis(500);
    for care_of in [1, 0] {
        let (_, earned) = watch(&home_agent, plan, half, half);
        let moved = sent(&home_agent, plan);
        mobile_node
            .apply(&install(tunnel(plan.care_of[care_of], plan.agent)))
            .expect("install");
        let remote = plan.care_of[care_of];
        apply(&home_agent, plan, remote, Reachability::Unproven);
        eventually("a part of the credit is used", || {
            sent(&home_agent, plan) > moved + earned / 2
        });
        apply(&home_agent, plan, remote, Reachability::Proven);
    }
    stream.stop();
    settles(&home_agent, &[]);
    drop(listener);
}

#[test]
fn a_binding_that_begins_unproven_gets_nothing() {
    if !possible() {
        return;
    }
    for plan in [IPV4, IPV6] {
        let lab = Lab::new();
        let (home_agent, _mobile_node) = (lab.home_agent(), lab.mobile_node());
        let victim = plan.care_of[1];
        apply(&home_agent, plan, victim, Reachability::Unproven);
        lab.cn.sh(&format!("! ping -c 2 -i 0.1 -W 1 {}", plan.home));
        settles(&home_agent, &[("drop_no_credit", 2)]);
        // Nor is anybody told there that a destination is prohibited.
        let inner = match (plan.home, plan.agent) {
            (IpAddr::V4(home), IpAddr::V4(agent)) => {
                let forbidden = datagram(home, STRANGER, 9);
                encapsulated(CARE_OF_2, agent, &forbidden)
            }
            (IpAddr::V6(home), IpAddr::V6(agent)) => {
                let forbidden = ipv6_packets::datagram(home, STRANGER_6, 9, 16);
                ipv6_packets::wrapped(CARE_OF_2_6, agent, &forbidden)
            }
            _ => unreachable!("a plan is of one family"),
        };
        lab.router.forge(inner);
        settles(
            &home_agent,
            &[("drop_not_a_correspondent", 1), ("drop_no_credit", 3)],
        );
        apply(&home_agent, plan, victim, Reachability::Proven);
        assert_eq!(sent(&home_agent, plan), 0);
    }
}
