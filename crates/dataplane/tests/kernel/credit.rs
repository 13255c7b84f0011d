//! What the kernel sends to an address that nobody has shown to be the mobile node's.

use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant};

use dataplane::home_agent::HomeAgentDataplane;
use mobility_protocol::{DataplaneChange, HomeAddress, Reachability, Tunnel};

use crate::home_agent::nft;
use crate::namespace::eventually;
use crate::site::{Site, World, counter, in_each_family};
use crate::stream::{Stream, inner_octets};

const DATAGRAM: usize = 1000;

/// An emulated processor manages this many.
const PER_SECOND: u64 = 400;

/// Datagrams from the server to the home address.
fn stream(site: &Site, world: World) -> Stream {
    let socket = site
        .server
        .run(move || UdpSocket::bind((world.server, 0)).unwrap());
    Stream::start(socket, (world.home, 9).into(), DATAGRAM, PER_SECOND)
}

/// An address beside the mobile node's own.
fn further(world: World) -> IpAddr {
    match world.care_of[1] {
        IpAddr::V4(_) => "203.0.113.12".parse().unwrap(),
        IpAddr::V6(_) => "2001:db8:1::12".parse().unwrap(),
    }
}

/// Counts on the mobile node's network what goes to other addresses than its first one, and keeps it
/// silent about that.
fn watch_victims(site: &Site, world: World) {
    let (ip, protocol) = match world.care_of[1] {
        IpAddr::V4(_) => ("ip", "ip protocol 4"),
        IpAddr::V6(_) => ("ip6", "ip6 nexthdr 41"),
    };
    let victims = format!("{{ {}, {} }}", world.care_of[1], further(world));
    site.mobile_node.run(move || {
        world.give("wlan0", &further(world).to_string(), world.lengths[0]);
        let rules = format!(
            "add table inet watch
             add counter inet watch victims
             add chain inet watch arriving {{ type filter hook prerouting priority -300; }}
             add rule inet watch arriving {ip} daddr {victims} {protocol} counter name victims drop"
        );
        for rule in rules.lines() {
            nft(&[rule]);
        }
    });
}

/// Octets of inner packets that the victims got.
fn arrived(site: &Site, world: World) -> u64 {
    let said = site
        .mobile_node
        .run(|| nft(&["list", "counter", "inet", "watch", "victims"]));
    inner_octets(&said, world.header)
}

fn sent(dataplane: &HomeAgentDataplane, world: World) -> u64 {
    dataplane
        .traffic(HomeAddress(world.home))
        .unwrap()
        .bytes_out
}

fn bring(
    dataplane: &mut HomeAgentDataplane,
    world: World,
    care_of: IpAddr,
    reachability: Reachability,
) {
    let tunnel = Tunnel {
        reachability,
        ..world.tunnel(world.home, care_of, None)
    };
    let failures = dataplane.apply([DataplaneChange::Install(tunnel)]);
    assert!(failures.is_empty(), "{failures:?}");
}

/// The binding is where it was shown to be.
fn come_home(dataplane: &mut HomeAgentDataplane, world: World) {
    bring(dataplane, world, world.care_of[0], Reachability::Proven);
}

/// What has gone at several times, for this long.
fn watch(dataplane: &HomeAgentDataplane, world: World, long: Duration) -> Vec<(Instant, u64)> {
    let begin = Instant::now();
    let mut seen = Vec::new();
    while begin.elapsed() < long {
        seen.push((Instant::now(), sent(dataplane, world)));
        std::thread::sleep(Duration::from_millis(5));
    }
    seen
}

/// What had gone so long before, or still longer.
fn before(seen: &[(Instant, u64)], moment: Instant, long: Duration) -> u64 {
    let found = seen.iter().rev().find(|(at, _)| moment - *at >= long);
    found.expect("watched longer").1
}

/// What had gone so long before, or later.
fn since(seen: &[(Instant, u64)], moment: Instant, long: Duration) -> u64 {
    let found = seen.iter().find(|(at, _)| moment - *at <= long);
    found.or(seen.last()).expect("looked").1
}

#[test]
fn a_stream_moved_onto_a_victim_brings_it_no_more_than_its_owner_took() {
    in_each_family("credit", |world| async move {
        let site = Site::new(world);
        let mut dataplane = world.start().await;
        come_home(&mut dataplane, world);
        watch_victims(&site, world);
        let _stream = stream(&site, world);
        let (victim, mut earlier) = (world.care_of[1], 0);
        for round in 0..2 {
            let seen = watch(&dataplane, world, Duration::from_millis(2_600));
            // Of a whole second; an emulated machine may take its time until the move.
            let least = since(&seen, Instant::now(), Duration::from_millis(500));
            let least = sent(&dataplane, world) - least;
            let begin = Instant::now();
            let start = before(&seen, begin, Duration::from_millis(2_010));
            bring(&mut dataplane, world, victim, Reachability::Unproven);
            let most = sent(&dataplane, world) - start;
            let dropped = counter(&dataplane, "drop_no_credit");
            // To and fro, until everything is used up, and longer.
            while begin.elapsed() < Duration::from_secs(4) {
                for victim in [further(world), victim] {
                    bring(&mut dataplane, world, victim, Reachability::Unproven);
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            eventually("the stream goes on, and nowhere", || {
                counter(&dataplane, "drop_no_credit") > dropped + PER_SECOND
            })
            .await;
            let got = arrived(&site, world) - earlier;
            eprintln!("round {round}: {got} of {least} to {most}");
            assert!(got <= most, "{got} octets are more than {most}");
            assert!(got >= least, "{got} octets are less than {least}");
            earlier += got;
            come_home(&mut dataplane, world);
            // At once again: there is no credit for what was sent on credit, or before.
            let proven = sent(&dataplane, world);
            bring(&mut dataplane, world, victim, Reachability::Unproven);
            let most = sent(&dataplane, world) - proven;
            eventually("the little credit is used up", || {
                counter(&dataplane, "drop_no_credit") > dropped + 2 * PER_SECOND
            })
            .await;
            let got = arrived(&site, world) - earlier;
            // What went between the two questions went to the proven address.
            let slack = PER_SECOND / 4 * (DATAGRAM as u64 + world.header + 8);
            assert!(got <= most + slack, "{got} octets are more than {most}");
            earlier += got;
            come_home(&mut dataplane, world);
        }
        assert_eq!(counter(&dataplane, "icmp_errors_sent"), 0);
        dataplane.shutdown().await.unwrap();
    });
}

#[test]
fn who_shows_up_within_his_credit_loses_nothing() {
    in_each_family("proof", |world| async move {
        let site = Site::new(world);
        let mut dataplane = world.start().await;
        come_home(&mut dataplane, world);
        let _stream = stream(&site, world);
        for care_of in [world.care_of[1], world.care_of[0]] {
            let seen = watch(&dataplane, world, Duration::from_secs(1));
            let [first, last] = [seen.first(), seen.last()].map(|seen| seen.unwrap().1);
            bring(&mut dataplane, world, care_of, Reachability::Unproven);
            eventually("a part of the credit is used", || {
                sent(&dataplane, world) > last + (last - first) / 2
            })
            .await;
            bring(&mut dataplane, world, care_of, Reachability::Proven);
        }
        watch(&dataplane, world, Duration::from_secs(1));
        assert_eq!(counter(&dataplane, "drop_no_credit"), 0);
        dataplane.shutdown().await.unwrap();
    });
}

#[test]
fn without_a_proof_nothing_goes_whatever_happens_to_the_home_agent() {
    in_each_family("no credit", |world| async move {
        let site = Site::new(world);
        let mut dataplane = world.start().await;
        watch_victims(&site, world);
        let victim = world.care_of[1];
        bring(&mut dataplane, world, victim, Reachability::Unproven);
        let mut dropped = 0;
        let mut refused = async |dataplane: &HomeAgentDataplane, what: &str| {
            eventually(what, || counter(dataplane, "drop_no_credit") == dropped + 1).await;
            dropped += 1;
        };

        site.server_sends(world.server, world.home);
        refused(&dataplane, "a forwarded packet").await;
        let here = UdpSocket::bind((world.agent, 0)).unwrap();
        let _ = here.send_to(b"hello", (world.home, 9));
        refused(&dataplane, "a packet of the home agent's own host").await;
        // Of the care-of address, to somebody who is not a correspondent.
        site.mobile_node.run(move || {
            world.tunnel_device("change", victim);
            let socket = UdpSocket::bind((world.home, 0)).unwrap();
            socket.send_to(b"x", (world.stranger, 9)).unwrap();
        });
        refused(&dataplane, "the answer that this is prohibited").await;
        assert_eq!(counter(&dataplane, "drop_not_a_correspondent"), 1);

        drop(dataplane);
        let mut dataplane = world.start().await;
        site.server_sends(world.server, world.home);
        refused(&dataplane, "a packet after a restart").await;
        bring(&mut dataplane, world, victim, Reachability::Unproven);
        dataplane.settle().unwrap();
        site.server_sends(world.server, world.home);
        refused(&dataplane, "a packet after the binding was restored").await;

        nft(&["delete", "table", "inet", "chad"]);
        eventually("the rules are back", || {
            dataplane
                .counters()
                .iter()
                .any(|(name, count)| *name == "drop_no_credit" && *count == 0)
                && nft(&["list", "tables"]).contains("inet chad\n")
        })
        .await;
        eventually("its address is limited again", || {
            let set = format!("unproven{}", world.number);
            nft(&["list", "set", "inet", "chad", &set]).contains(&world.home.to_string())
        })
        .await;
        site.server_sends(world.server, world.home);
        eventually("a packet under new rules", || {
            counter(&dataplane, "drop_no_credit") == 1
        })
        .await;
        assert_eq!(arrived(&site, world), 0);

        bring(&mut dataplane, world, victim, Reachability::Proven);
        site.server_sends(world.server, world.home);
        eventually("a proof opens the way", || arrived(&site, world) > 0).await;
        dataplane.shutdown().await.unwrap();
    });
}
