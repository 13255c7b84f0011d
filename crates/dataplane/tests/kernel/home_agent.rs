//! What the kernel carries for a home agent, and what it refuses.

use std::net::{Ipv4Addr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use dataplane::home_agent::{Config, HomeAgentDataplane};
use dataplane::{BackendChoice, Error};
use mobility_protocol::{DataplaneChange, HomeAddress};

use crate::namespace::{eventually, ip, snapshot};
use crate::site::{
    AGENT, CARE_OF, HOME, POOL, SERVER, STRANGER, Site, UNBOUND, counter, install, run, start,
    tunnel,
};

fn nft(arguments: &[&str]) -> String {
    let output = Command::new("nft").args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn packets_are_carried_and_counted_both_ways() {
    run("carries", || async {
        let site = Site::new();
        let mut dataplane = start().await;
        assert!(!site.says_back(), "there is no binding yet");
        assert_eq!(counter(&dataplane, "drop_wrong_outer_source"), 1);
        install(&mut dataplane, HOME, CARE_OF[0], None);
        assert!(site.says_back());
        let traffic = dataplane.traffic(HOME.into()).unwrap();
        assert_eq!((traffic.packets_in, traffic.packets_out), (1, 1));
        assert_eq!((traffic.bytes_in, traffic.bytes_out), (33, 33));
        assert_eq!(dataplane.measure().traffic(HOME.into()), Some(traffic));
        let remove = DataplaneChange::Remove(HomeAddress::from(HOME));
        assert!(dataplane.apply([remove.clone(), remove]).is_empty());
        assert_eq!(dataplane.traffic(HOME.into()), None);
        assert!(!site.says_back());
        dataplane.shutdown().await.unwrap();
    });
}

#[test]
fn what_does_not_belong_to_the_binding_is_dropped_and_counted() {
    run("refuses", || async {
        let site = Site::new();
        let mut dataplane = start().await;
        install(&mut dataplane, HOME, CARE_OF[0], None);
        assert!(site.says_back());

        // Another inner source through the same tunnel.
        site.mobile_node.run(|| {
            let other = Ipv4Addr::new(10, 128, 0, 10);
            ip(&format!("addr add {other}/32 dev lo"));
            let socket = UdpSocket::bind((other, 0)).unwrap();
            socket.send_to(b"x", (SERVER, 9)).unwrap();
        });
        eventually("a forged inner source is counted", || {
            counter(&dataplane, "drop_wrong_inner_source") == 1
        })
        .await;

        // The right inner source from another outer source.
        site.mobile_node.run(|| {
            ip(&format!(
                "link change mn0 type ipip local {} remote {AGENT}",
                CARE_OF[1]
            ));
            let socket = UdpSocket::bind((HOME, 0)).unwrap();
            socket.send_to(b"x", (SERVER, 9)).unwrap();
            ip(&format!(
                "link change mn0 type ipip local {} remote {AGENT}",
                CARE_OF[0]
            ));
        });
        eventually("a forged outer source is counted", || {
            counter(&dataplane, "drop_wrong_outer_source") == 1
        })
        .await;

        // Somebody who is not a correspondent: told, and the sender knows by whom.
        let refused = site.mobile_node.run(|| {
            let socket = UdpSocket::bind((HOME, 0)).unwrap();
            socket
                .set_read_timeout(Some(Duration::from_secs(2)))
                .unwrap();
            socket.connect((STRANGER, 9)).unwrap();
            socket.send(b"x").unwrap();
            socket.recv(&mut [0; 16]).unwrap_err().raw_os_error()
        });
        assert_eq!(
            refused,
            Some(113),
            "EHOSTUNREACH is what a prohibition means to a socket"
        );
        assert_eq!(counter(&dataplane, "drop_not_a_correspondent"), 1);
        assert_eq!(counter(&dataplane, "icmp_errors_sent"), 1);
        site.server_sends(STRANGER, HOME);
        eventually("the other direction is counted", || {
            counter(&dataplane, "drop_not_a_correspondent") == 2
        })
        .await;

        site.server_sends(SERVER, UNBOUND);
        eventually("nobody's address is counted", || {
            counter(&dataplane, "drop_unbound_home_address") == 1
        })
        .await;
        assert!(site.says_back());
        assert_eq!(counter(&dataplane, "drop_unbound_home_address"), 1);
        dataplane.shutdown().await.unwrap();
    });
}

#[test]
fn a_move_is_one_step_and_loses_nothing_under_way() {
    run("moves", || async {
        let site = Site::new();
        let mut dataplane = start().await;
        install(&mut dataplane, HOME, CARE_OF[0], None);
        assert!(site.says_back());
        install(&mut dataplane, HOME, CARE_OF[1], Some(CARE_OF[0]));
        let way = ip(&format!("route show {HOME}"));
        assert!(way.contains(&format!("dst {}", CARE_OF[1])), "{way}");
        assert_eq!(way.lines().count(), 1, "{way}");
        // From the former address packets still come in, and from the new one.
        let receiver = site.server.run(|| {
            let receiver = UdpSocket::bind((SERVER, 77)).unwrap();
            receiver
                .set_read_timeout(Some(Duration::from_secs(1)))
                .unwrap();
            receiver
        });
        let send = |care_of: Ipv4Addr| {
            site.mobile_node.run(move || {
                ip(&format!(
                    "link change mn0 type ipip local {care_of} remote {AGENT}"
                ));
                let socket = UdpSocket::bind((HOME, 0)).unwrap();
                socket.send_to(b"x", (SERVER, 77)).unwrap();
            });
            receiver.recv(&mut [0; 16]).is_ok()
        };
        assert!(send(CARE_OF[0]));
        assert!(send(CARE_OF[1]));
        assert!(site.says_back());
        // Then the former address is over.
        install(&mut dataplane, HOME, CARE_OF[1], None);
        assert!(!send(CARE_OF[0]));
        assert!(send(CARE_OF[1]));
        let traffic = dataplane.traffic(HOME.into()).unwrap();
        assert_eq!(traffic.packets_in, 5, "a move keeps the counters");
        dataplane.shutdown().await.unwrap();
    });
}

#[test]
fn a_killed_home_agent_goes_on_carrying_and_is_taken_over() {
    run("taken over", || async {
        let site = Site::new();
        let before = snapshot();
        let mut killed = start().await;
        let gone = Ipv4Addr::new(10, 128, 0, 50);
        install(&mut killed, HOME, CARE_OF[0], None);
        install(&mut killed, gone, CARE_OF[1], None);
        assert!(site.says_back());
        let standing = (
            snapshot(),
            nft(&["list", "set", "inet", "chad", "bindings4"]),
        );
        drop(killed);
        assert!(site.says_back(), "nobody is needed to carry");

        let mut next = start().await;
        assert!(site.says_back());
        install(&mut next, HOME, CARE_OF[0], None);
        assert_eq!(
            (
                snapshot(),
                nft(&["list", "set", "inet", "chad", "bindings4"])
            ),
            standing,
            "what is as it should be is left alone"
        );
        next.settle().unwrap();
        assert!(site.says_back());
        assert_eq!(
            next.traffic(HOME.into()).unwrap().packets_in,
            4,
            "the counters go on"
        );
        assert_eq!(ip(&format!("route show {gone}")), "");
        next.shutdown().await.unwrap();
        assert_eq!(snapshot(), before);
        assert_eq!(nft(&["list", "tables"]), "");
    });
}

#[test]
fn what_other_programs_remove_comes_back() {
    run("repaired", || async {
        let site = Site::new();
        let mut dataplane = start().await;
        install(&mut dataplane, HOME, CARE_OF[0], None);
        ip(&format!("route del {HOME}"));
        tokio::task::yield_now().await;
        eventually("the route is back", || {
            !ip(&format!("route show {HOME}")).is_empty()
        })
        .await;
        ip(&format!("route del unreachable {POOL}"));
        eventually("the pool is unreachable again", || {
            !ip(&format!("route show {POOL}")).is_empty()
        })
        .await;
        ip("link set cha0 down");
        eventually("device and route are back", || {
            !ip(&format!("route show {HOME}")).is_empty()
        })
        .await;
        assert!(site.says_back());
        // A firewall that is loaded anew takes every table away. The next change brings ours back.
        nft(&["flush", "ruleset"]);
        install(
            &mut dataplane,
            Ipv4Addr::new(10, 128, 0, 50),
            CARE_OF[1],
            None,
        );
        assert!(site.says_back());
        assert_eq!(dataplane.traffic(HOME.into()).unwrap().packets_in, 1);
        dataplane.shutdown().await.unwrap();
    });
}

#[test]
fn what_is_too_big_for_the_path_is_told_to_its_sender() {
    run("path MTU", || async {
        let site = Site::new();
        let mut dataplane = start().await;
        install(&mut dataplane, HOME, CARE_OF[0], None);
        assert!(site.says_back());
        ip("route add 203.0.113.10/32 dev uplink mtu 1300");
        let ping = |fragment: &'static str| {
            site.server.run(move || {
                let output = Command::new("ping")
                    .args([
                        "-c", "3", "-i", "0.2", "-W", "1", "-s", "1400", "-M", fragment,
                    ])
                    .arg(HOME.to_string())
                    .output()
                    .unwrap();
                String::from_utf8(output.stdout).unwrap()
            })
        };
        let told = ping("do");
        assert!(
            told.contains("mtu = 1280") || told.contains("mtu=1280"),
            "{told}"
        );
        let carried = ping("dont");
        assert!(carried.contains("3 received"), "{carried}");
        dataplane.shutdown().await.unwrap();
    });
}

#[test]
fn thousands_of_bindings_are_installed_moved_and_removed() {
    run("thousands", || async {
        const MANY: u32 = 10_000;
        let site = Site::new();
        let mut dataplane = start().await;
        let homes: Vec<Ipv4Addr> = (0..MANY)
            .map(|number| Ipv4Addr::from(0x0a81_0000 + number))
            .collect();
        let care_of = |number: u32| Ipv4Addr::from(0xcb00_0000 + number);
        let all = |shift: u32| {
            homes.iter().zip(0..).map(move |(home, number)| {
                let former = (shift > 0).then(|| care_of(number));
                DataplaneChange::Install(tunnel(*home, care_of(number + shift), former))
            })
        };
        install(&mut dataplane, HOME, CARE_OF[0], None);
        for (what, shift) in [("installed", 0), ("moved", MANY)] {
            let begin = Instant::now();
            assert!(dataplane.apply(all(shift)).is_empty());
            eprintln!("{MANY} {what} in {:?}", begin.elapsed());
        }
        let begin = Instant::now();
        install(&mut dataplane, HOME, CARE_OF[1], Some(CARE_OF[0]));
        eprintln!("one moved beside them in {:?}", begin.elapsed());
        let begin = Instant::now();
        assert!(dataplane.measure().traffic(homes[7].into()).is_some());
        eprintln!("all counters read in {:?}", begin.elapsed());
        drop(dataplane);
        let begin = Instant::now();
        let mut next = start().await;
        eprintln!("taken over in {:?}", begin.elapsed());
        let begin = Instant::now();
        assert!(next.apply(all(MANY)).is_empty());
        install(&mut next, HOME, CARE_OF[0], None);
        next.settle().unwrap();
        eprintln!("installed again in {:?}", begin.elapsed());
        assert!(site.says_back());
        let begin = Instant::now();
        let removed = homes
            .iter()
            .map(|home| DataplaneChange::Remove((*home).into()));
        assert!(next.apply(removed).is_empty());
        eprintln!("removed in {:?}", begin.elapsed());
        assert_eq!(ip("route show proto 67").lines().count(), 2);
        next.shutdown().await.unwrap();
    });
}

#[test]
fn another_external_device_is_named() {
    run("external", || async {
        let _site = Site::new();
        ip("link add else0 type ipip external");
        let config = Config {
            backend: BackendChoice::Kernel,
            ..Config::new(AGENT, vec![POOL.parse().unwrap()])
        };
        let before = snapshot();
        let refused = HomeAgentDataplane::start(config.clone()).await.unwrap_err();
        assert!(
            matches!(&refused, Error::ExternalDevice(name) if name == "else0"),
            "{refused}"
        );
        assert_eq!(snapshot(), before);
        ip("link del else0");
        ip("link add cha0 type veth peer name other");
        let refused = HomeAgentDataplane::start(config).await.unwrap_err();
        assert!(matches!(refused, Error::DeviceTaken(_)), "{refused}");
    });
}
