//! What the kernel carries for a home agent, and what it refuses.

use std::net::{IpAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use dataplane::Error;
use dataplane::home_agent::HomeAgentDataplane;
use mobility_protocol::{DataplaneChange, Family, HomeAddress};

use crate::namespace::{eventually, ip, set_ipv6, snapshot};
use crate::site::{Site, World, counter, in_each_family};

pub(crate) fn nft(arguments: &[&str]) -> String {
    let output = Command::new("nft").args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The set of marks and home addresses, as `nft` shows it.
fn bindings(world: World) -> String {
    let set = format!("bindings{}", world.number);
    nft(&["list", "set", "inet", "chad", &set])
}

#[test]
fn packets_are_carried_and_counted_both_ways() {
    in_each_family("carries", |world| async move {
        let site = Site::new(world);
        let mut dataplane = world.start().await;
        assert!(!site.says_back(), "there is no binding yet");
        assert_eq!(counter(&dataplane, "drop_wrong_outer_source"), 1);
        world.install(&mut dataplane, world.home, world.care_of[0], None);
        assert!(site.says_back());
        let traffic = dataplane.traffic(HomeAddress(world.home)).unwrap();
        assert_eq!((traffic.packets_in, traffic.packets_out), (1, 1));
        assert_eq!(
            (traffic.bytes_in, traffic.bytes_out),
            (world.header + 13, world.header + 13)
        );
        assert_eq!(
            dataplane.measure().traffic(HomeAddress(world.home)),
            Some(traffic)
        );
        let remove = DataplaneChange::Remove(HomeAddress(world.home));
        assert!(dataplane.apply([remove.clone(), remove]).is_empty());
        assert_eq!(dataplane.traffic(HomeAddress(world.home)), None);
        assert!(!site.says_back());
        dataplane.shutdown().await.unwrap();
    });
}

#[test]
fn what_does_not_belong_to_the_binding_is_dropped_and_counted() {
    in_each_family("refuses", |world| async move {
        let site = Site::new(world);
        let mut dataplane = world.start().await;
        world.install(&mut dataplane, world.home, world.care_of[0], None);
        assert!(site.says_back());

        // Another inner source through the same tunnel.
        site.mobile_node.run(move || {
            world.give_home(world.second_home);
            let socket = UdpSocket::bind((world.second_home, 0)).unwrap();
            socket.send_to(b"x", (world.server, 9)).unwrap();
        });
        eventually("a forged inner source is counted", || {
            counter(&dataplane, "drop_wrong_inner_source") == 1
        })
        .await;

        // The right inner source from another outer source.
        site.mobile_node.run(move || {
            world.tunnel_device("change", world.care_of[1]);
            let socket = UdpSocket::bind((world.home, 0)).unwrap();
            socket.send_to(b"x", (world.server, 9)).unwrap();
            world.tunnel_device("change", world.care_of[0]);
        });
        eventually("a forged outer source is counted", || {
            counter(&dataplane, "drop_wrong_outer_source") == 1
        })
        .await;

        // Somebody who is not a correspondent: told, and the sender knows by whom.
        let refused = site.mobile_node.run(move || {
            let socket = UdpSocket::bind((world.home, 0)).unwrap();
            socket
                .set_read_timeout(Some(Duration::from_secs(2)))
                .unwrap();
            socket.connect((world.stranger, 9)).unwrap();
            socket.send(b"x").unwrap();
            socket.recv(&mut [0; 16]).unwrap_err().raw_os_error()
        });
        assert_eq!(
            refused,
            Some(world.prohibited),
            "what a prohibition means to a socket"
        );
        assert_eq!(counter(&dataplane, "drop_not_a_correspondent"), 1);
        assert_eq!(counter(&dataplane, "icmp_errors_sent"), 1);
        site.server_sends(world.stranger, world.home);
        eventually("the other direction is counted", || {
            counter(&dataplane, "drop_not_a_correspondent") == 2
        })
        .await;

        site.server_sends(world.server, world.unbound);
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
    in_each_family("moves", |world| async move {
        let site = Site::new(world);
        let mut dataplane = world.start().await;
        world.install(&mut dataplane, world.home, world.care_of[0], None);
        assert!(site.says_back());
        world.install(
            &mut dataplane,
            world.home,
            world.care_of[1],
            Some(world.care_of[0]),
        );
        let way = world.ip(&format!("route show {}", world.home));
        assert!(way.contains(&format!("dst {}", world.care_of[1])), "{way}");
        assert_eq!(way.lines().count(), 1, "{way}");
        // From the former address packets still come in, and from the new one.
        let receiver = site.server.run(move || {
            let receiver = UdpSocket::bind((world.server, 77)).unwrap();
            receiver
                .set_read_timeout(Some(Duration::from_secs(1)))
                .unwrap();
            receiver
        });
        let send = |care_of: IpAddr| {
            site.mobile_node.run(move || {
                world.tunnel_device("change", care_of);
                let socket = UdpSocket::bind((world.home, 0)).unwrap();
                socket.send_to(b"x", (world.server, 77)).unwrap();
            });
            receiver.recv(&mut [0; 16]).is_ok()
        };
        assert!(send(world.care_of[0]));
        assert!(send(world.care_of[1]));
        assert!(site.says_back());
        // Then the former address is over.
        world.install(&mut dataplane, world.home, world.care_of[1], None);
        assert!(!send(world.care_of[0]));
        assert!(send(world.care_of[1]));
        let traffic = dataplane.traffic(HomeAddress(world.home)).unwrap();
        assert_eq!(traffic.packets_in, 5, "a move keeps the counters");
        dataplane.shutdown().await.unwrap();
    });
}

#[test]
fn a_killed_home_agent_goes_on_carrying_and_is_taken_over() {
    in_each_family("taken over", |world| async move {
        let site = Site::new(world);
        if world.family == Family::Ipv6 {
            // A killed daemon leaves it on, and it shows in the routes.
            set_ipv6("all", "forwarding", "1");
        }
        let before = snapshot();
        let mut killed = world.start().await;
        let gone = world.second_home;
        world.install(&mut killed, world.home, world.care_of[0], None);
        world.install(&mut killed, gone, world.care_of[1], None);
        assert!(site.says_back());
        let standing = (snapshot(), bindings(world));
        drop(killed);
        assert!(site.says_back(), "nobody is needed to carry");

        let mut next = world.start().await;
        assert!(site.says_back());
        world.install(&mut next, world.home, world.care_of[0], None);
        assert_eq!(
            (snapshot(), bindings(world)),
            standing,
            "what is as it should be is left alone"
        );
        next.settle().unwrap();
        assert!(site.says_back());
        assert_eq!(
            next.traffic(HomeAddress(world.home)).unwrap().packets_in,
            4,
            "the counters go on"
        );
        assert_eq!(world.ip(&format!("route show {gone}")), "");
        next.shutdown().await.unwrap();
        assert_eq!(snapshot(), before);
        assert_eq!(nft(&["list", "tables"]), "");
    });
}

#[test]
fn what_other_programs_remove_comes_back() {
    in_each_family("repaired", |world| async move {
        let site = Site::new(world);
        let mut dataplane = world.start().await;
        world.install(&mut dataplane, world.home, world.care_of[0], None);
        world.ip(&format!("route del {}", world.home));
        tokio::task::yield_now().await;
        eventually("the route is back", || {
            !world.ip(&format!("route show {}", world.home)).is_empty()
        })
        .await;
        world.ip(&format!("route del unreachable {}", world.pool));
        eventually("the pool is unreachable again", || {
            !world.ip(&format!("route show {}", world.pool)).is_empty()
        })
        .await;
        ip(&format!("link set {} down", world.device));
        eventually("device and route are back", || {
            !world.ip(&format!("route show {}", world.home)).is_empty()
        })
        .await;
        assert!(site.says_back());
        // A firewall that is loaded anew takes every table away. The next change brings ours back.
        nft(&["flush", "ruleset"]);
        world.install(&mut dataplane, world.second_home, world.care_of[1], None);
        assert!(site.says_back());
        assert_eq!(
            dataplane
                .traffic(HomeAddress(world.home))
                .unwrap()
                .packets_in,
            1
        );
        dataplane.shutdown().await.unwrap();
    });
}

#[test]
fn what_is_too_big_for_the_path_is_told_to_its_sender() {
    in_each_family("path MTU", |world| async move {
        let site = Site::new(world);
        let mut dataplane = world.start().await;
        world.install(&mut dataplane, world.home, world.care_of[0], None);
        assert!(site.says_back());
        world.narrow(world.care_of[0], 1400);
        let ping = |fragment: &'static str| {
            site.server.run(move || {
                let output = Command::new("ping")
                    .args([
                        "-c", "3", "-i", "0.2", "-W", "1", "-s", "1400", "-M", fragment,
                    ])
                    .args(["-I", &world.server.to_string(), &world.home.to_string()])
                    .output()
                    .unwrap();
                String::from_utf8(output.stdout).unwrap()
            })
        };
        let told = ping("do");
        let room = 1400 - world.header;
        assert!(
            told.contains(&format!("mtu = {room}")) || told.contains(&format!("mtu={room}")),
            "{told}"
        );
        let carried = ping("dont");
        assert!(carried.contains("3 received"), "{carried}");
        dataplane.shutdown().await.unwrap();
    });
}

#[test]
fn thousands_of_bindings_are_installed_moved_and_removed() {
    in_each_family("thousands", |world| async move {
        const MANY: u32 = 10_000;
        let site = Site::new(world);
        let mut dataplane = world.start().await;
        let homes: Vec<IpAddr> = (0..MANY).map(|number| world.numbered(0, number)).collect();
        let care_of = |number: u32| world.numbered(1, number);
        let all = |shift: u32| {
            homes.iter().zip(0..).map(move |(home, number)| {
                let former = (shift > 0).then(|| care_of(number));
                DataplaneChange::Install(world.tunnel(*home, care_of(number + shift), former))
            })
        };
        world.install(&mut dataplane, world.home, world.care_of[0], None);
        for (what, shift) in [("installed", 0), ("moved", MANY)] {
            let begin = Instant::now();
            assert!(dataplane.apply(all(shift)).is_empty());
            eprintln!("{MANY} {what} in {:?}", begin.elapsed());
        }
        let begin = Instant::now();
        world.install(
            &mut dataplane,
            world.home,
            world.care_of[1],
            Some(world.care_of[0]),
        );
        eprintln!("one moved beside them in {:?}", begin.elapsed());
        let begin = Instant::now();
        assert!(dataplane.measure().traffic(HomeAddress(homes[7])).is_some());
        eprintln!("all counters read in {:?}", begin.elapsed());
        drop(dataplane);
        let begin = Instant::now();
        let mut next = world.start().await;
        eprintln!("taken over in {:?}", begin.elapsed());
        let begin = Instant::now();
        assert!(next.apply(all(MANY)).is_empty());
        world.install(&mut next, world.home, world.care_of[0], None);
        next.settle().unwrap();
        eprintln!("installed again in {:?}", begin.elapsed());
        assert!(site.says_back());
        let begin = Instant::now();
        let removed = homes
            .iter()
            .map(|home| DataplaneChange::Remove(HomeAddress(*home)));
        assert!(next.apply(removed).is_empty());
        eprintln!("removed in {:?}", begin.elapsed());
        assert_eq!(world.ip("route show proto 67").lines().count(), 2);
        next.shutdown().await.unwrap();
    });
}

#[test]
fn another_external_device_is_named() {
    in_each_family("external", |world| async move {
        let _site = Site::new(world);
        ip(&format!("link add else0 type {} external", world.kind));
        let config = world.config();
        let before = snapshot();
        let refused = HomeAgentDataplane::start(config.clone()).await.unwrap_err();
        assert!(
            matches!(&refused, Error::ExternalDevice(name) if name == "else0"),
            "{refused}"
        );
        assert_eq!(snapshot(), before);
        ip("link del else0");
        ip(&format!(
            "link add {} type veth peer name other",
            world.device
        ));
        let refused = HomeAgentDataplane::start(config).await.unwrap_err();
        assert!(matches!(refused, Error::DeviceTaken(_)), "{refused}");
    });
}
