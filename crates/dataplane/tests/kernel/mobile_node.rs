//! What the kernel carries for a mobile node, alone and with home agents of either backend.

use std::net::{IpAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use dataplane::BackendChoice::{Kernel, Userspace};
use dataplane::mobile_node::MobileNodeDataplane;
use mobility_protocol::{DataplaneChange, HomeAddress};

use crate::namespace::{echo_at, eventually, ip, says_back, snapshot};
use crate::reports::{report, told};
use crate::site::forge;
use crate::world::{Agent, World, install, receiver, run, start};
use crate::{ipv4_packets, ipv6_packets};

#[test]
fn a_session_survives_moves_between_all_backends() {
    for (here, there) in [
        (Kernel, Kernel),
        (Kernel, Userspace),
        (Userspace, Kernel),
        (Userspace, Userspace),
    ] {
        run("a session survives moves", move |world| async move {
            let peer = world.attach();
            std::fs::write("/proc/sys/net/ipv4/conf/all/promote_secondaries", "1").unwrap();
            echo_at(&peer, world.correspondent);
            let before = snapshot();
            let mut agent = Agent::start(&peer, world, there);
            let mut mobile_node = start(here).await;
            mobile_node.settle().await.unwrap();
            let first = world.tunnel(world.access, &[world.correspondent]);
            agent = agent.learn(&peer, &first, None);
            install(&mut mobile_node, first).await;
            let mut session = TcpStream::connect((world.correspondent, 7)).unwrap();
            assert_eq!(
                session.local_addr().unwrap().ip(),
                world.home,
                "{here:?} {there:?}"
            );
            says_back(&mut session);
            for (address, from) in [
                (world.next, world.access),
                (world.access, world.next),
                (world.next, world.access),
            ] {
                world.move_to(address, from);
                let moved = world.tunnel(address, &[world.correspondent]);
                agent = agent.learn(&peer, &moved, Some(from));
                install(&mut mobile_node, moved).await;
                says_back(&mut session);
            }
            let traffic = mobile_node.traffic(world.home_address()).unwrap();
            assert!(
                traffic.packets_in >= 4 && traffic.packets_out >= 4,
                "{traffic:?}"
            );
            drop(session);
            let remove = DataplaneChange::Remove(world.home_address());
            assert!(mobile_node.apply([remove]).await.is_empty());
            mobile_node.shutdown().await.unwrap();
            agent.stop(&peer);
            world.move_to(world.access, world.next);
            assert_eq!(snapshot(), before, "{here:?} {there:?}");
        });
    }
}

#[test]
fn a_killed_mobile_node_goes_on_carrying_and_is_taken_over() {
    run("mobile node taken over", |world| async move {
        let peer = world.attach();
        echo_at(&peer, world.correspondent);
        let before = snapshot();
        let carried = world.tunnel(world.access, &[world.correspondent]);
        let agent = Agent::start(&peer, world, Kernel).learn(&peer, &carried, None);
        let mut killed = start(Kernel).await;
        install(&mut killed, carried.clone()).await;
        let mut session = TcpStream::connect((world.correspondent, 7)).unwrap();
        says_back(&mut session);
        let standing = snapshot();
        drop(killed);
        says_back(&mut session);

        let mut next = start(Kernel).await;
        says_back(&mut session);
        install(&mut next, carried).await;
        next.settle().await.unwrap();
        assert_eq!(
            snapshot(),
            standing,
            "what is as it should be is left alone"
        );
        says_back(&mut session);
        drop(next);

        // Without bindings to restore everything goes.
        let mut last = start(Kernel).await;
        last.settle().await.unwrap();
        assert_eq!(snapshot(), before);
        last.shutdown().await.unwrap();
        agent.stop(&peer);
        let tables = Command::new("nft")
            .args(["list", "tables"])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&tables.stdout), "");
    });
}

#[test]
fn user_space_takes_the_place_of_a_killed_kernel_backend() {
    run("from kernel to user space", |world| async move {
        let peer = world.attach();
        echo_at(&peer, world.correspondent);
        let carried = world.tunnel(world.access, &[world.correspondent]);
        let agent = Agent::start(&peer, world, Kernel).learn(&peer, &carried, None);
        let mut killed = start(Kernel).await;
        install(&mut killed, carried.clone()).await;
        let mut session = TcpStream::connect((world.correspondent, 7)).unwrap();
        says_back(&mut session);
        drop(killed);
        let mut next = start(Userspace).await;
        install(&mut next, carried).await;
        next.settle().await.unwrap();
        says_back(&mut session);
        next.shutdown().await.unwrap();
        agent.stop(&peer);
    });
}

#[test]
fn packets_under_way_to_the_former_address_arrive() {
    run("make before break", |world| async move {
        let peer = world.attach();
        let mut mobile_node = start(Kernel).await;
        install(
            &mut mobile_node,
            world.tunnel(world.access, &[world.correspondent]),
        )
        .await;
        world.come_to(world.next);
        install(
            &mut mobile_node,
            world.tunnel(world.next, &[world.correspondent]),
        )
        .await;
        let receiver = receiver(world.home, Duration::from_secs(1));
        for care_of in [world.access, world.next] {
            world.wrap(&peer, care_of, world.correspondent);
            receiver.recv(&mut [0; 16]).unwrap();
        }
        assert_eq!(
            mobile_node
                .traffic(world.home_address())
                .unwrap()
                .packets_in,
            2
        );
        mobile_node.shutdown().await.unwrap();
    });
}

#[test]
fn only_correspondents_reach_the_home_address() {
    run("correspondents only", |world| async move {
        let peer = world.attach();
        let mut mobile_node = start(Kernel).await;
        install(
            &mut mobile_node,
            world.tunnel(world.access, &[world.correspondent]),
        )
        .await;
        let receiver = receiver(world.home, Duration::from_millis(300));
        world.wrap(&peer, world.access, world.other);
        assert!(receiver.recv(&mut [0; 16]).is_err());
        assert_eq!(dropped(&mobile_node), 1);
        world.wrap(&peer, world.access, world.correspondent);
        receiver.recv(&mut [0; 16]).unwrap();
        // The list follows the binding, both ways.
        install(&mut mobile_node, world.tunnel(world.access, &[world.other])).await;
        world.wrap(&peer, world.access, world.other);
        receiver.recv(&mut [0; 16]).unwrap();
        install(
            &mut mobile_node,
            world.tunnel(world.access, &[world.correspondent]),
        )
        .await;
        mobile_node.settle().await.unwrap();
        world.wrap(&peer, world.access, world.other);
        assert!(receiver.recv(&mut [0; 16]).is_err());
        assert_eq!(dropped(&mobile_node), 2);
        mobile_node.shutdown().await.unwrap();
    });
}

#[test]
fn a_home_agent_speaks_for_its_own_binding_only() {
    run("its own binding", |world| async move {
        let peer = world.attach();
        let mut mobile_node = start(Kernel).await;
        install_two(world, &mut mobile_node).await;
        let patience = Duration::from_millis(300);
        let own = receiver(world.home, patience);
        let others = receiver(world.other_home(), patience);
        for source in [world.other, world.correspondent] {
            world.wrap_to(&peer, world.access, source, world.other_home());
            assert!(others.recv(&mut [0; 16]).is_err(), "{source}");
        }
        world.wrap(&peer, world.access, world.other);
        assert!(own.recv(&mut [0; 16]).is_err(), "the other's correspondent");
        world.wrap(&peer, world.access, world.correspondent);
        own.recv(&mut [0; 16]).unwrap();
        mobile_node.shutdown().await.unwrap();
    });
}

#[test]
fn routers_report_about_packets_of_the_home_address_alone() {
    run("reports", |world| async move {
        let peer = world.attach();
        let mut mobile_node = start(Kernel).await;
        install_two(world, &mut mobile_node).await;
        let told = told(world.home, world.correspondent);
        let (home, other_home) = (world.home, world.other_home());
        let cases = [
            (
                "to another address",
                other_home,
                [home, world.correspondent],
            ),
            (
                "about another source",
                home,
                [other_home, world.correspondent],
            ),
            ("about another destination", home, [home, world.other]),
            (
                "about another binding to its address",
                other_home,
                [other_home, world.other],
            ),
        ];
        for (number, (what, to, about)) in (1..).zip(cases) {
            forge(&peer, wrapped(world, &report(world.next, to, about)));
            eventually(&format!("a report {what} is dropped"), || {
                dropped(&mobile_node) == number
            })
            .await;
        }
        let about = [home, world.correspondent];
        forge(&peer, wrapped(world, &report(world.next, home, about)));
        let error = told.recv(&mut [0; 16]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        assert_eq!(dropped(&mobile_node), 4);
        mobile_node.shutdown().await.unwrap();
    });
}

#[test]
fn the_home_agent_may_be_the_correspondent_too() {
    run("agent and correspondent", |world| async move {
        let peer = world.attach();
        let carried = world.tunnel(world.access, &[world.router]);
        let agent = Agent::start(&peer, world, Kernel).learn(&peer, &carried, None);
        let mut mobile_node = start(Kernel).await;
        install(&mut mobile_node, carried).await;
        let receiver = peer.run(move || receiver(world.router, Duration::from_secs(1)));
        let sender = UdpSocket::bind((world.unspecified, 0)).unwrap();
        sender.connect((world.router, 9)).unwrap();
        assert_eq!(sender.local_addr().unwrap().ip(), world.home);
        sender.send(b"hello").unwrap();
        let (_, from) = receiver.recv_from(&mut [0; 16]).unwrap();
        assert_eq!(from.ip(), world.home);
        mobile_node.shutdown().await.unwrap();
        agent.stop(&peer);
    });
}

#[test]
fn what_other_programs_remove_comes_back() {
    run("mobile node repaired", |world| async move {
        let peer = world.attach();
        echo_at(&peer, world.correspondent);
        let carried = world.tunnel(world.access, &[world.correspondent]);
        let agent = Agent::start(&peer, world, Kernel).learn(&peer, &carried, None);
        let mut mobile_node = start(Kernel).await;
        install(&mut mobile_node, carried).await;
        let mut session = TcpStream::connect((world.correspondent, 7)).unwrap();
        says_back(&mut session);
        let standing = snapshot();
        for wipe in [
            "link set mn0 down",
            "rule del pref 102",
            "route flush table 4341",
        ] {
            ip(&format!("{} {wipe}", world.option));
            tokio::task::yield_now().await;
            eventually(wipe, || snapshot() == standing).await;
            says_back(&mut session);
        }
        let nft = |arguments: &[&str]| {
            let output = Command::new("nft").args(arguments).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        nft(&["flush", "ruleset"]);
        eventually("the table is back", || {
            nft(&["list", "tables"]).contains("mn-agent")
        })
        .await;
        says_back(&mut session);
        ip("link del mn0");
        assert!(!mobile_node.is_running());
        assert!(mobile_node.revive().await.is_empty());
        assert!(mobile_node.is_running());
        says_back(&mut session);
        mobile_node.shutdown().await.unwrap();
        agent.stop(&peer);
    });
}

/// How many packets were none of a correspondent's.
fn dropped(dataplane: &MobileNodeDataplane) -> u64 {
    let counters = dataplane.counters();
    let found = counters
        .iter()
        .find(|(name, _)| *name == "drop_not_a_correspondent");
    found.unwrap().1
}

/// A binding to the correspondent, and one to the other one at a home agent that says nothing here.
async fn install_two(world: World, dataplane: &mut MobileNodeDataplane) {
    let own = world.tunnel(world.access, &[world.correspondent]);
    let mut other = world.tunnel(world.access, &[world.other]);
    other.home_address = HomeAddress(world.other_home());
    other.endpoints.remote = world.correspondent;
    install(dataplane, own).await;
    install(dataplane, other).await;
}

/// As the home agent sends it to the care-of address.
fn wrapped(world: World, inner: &[u8]) -> Vec<u8> {
    match (world.router, world.access) {
        (IpAddr::V4(router), IpAddr::V4(access)) => {
            ipv4_packets::encapsulated(router, access, inner)
        }
        (IpAddr::V6(router), IpAddr::V6(access)) => ipv6_packets::wrapped(router, access, inner),
        _ => unreachable!("both of one family"),
    }
}
