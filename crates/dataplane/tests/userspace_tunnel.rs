//! Packets through both ends of a userspace tunnel, in network namespaces, and what is left when an
//! end stops.

#![expect(clippy::expect_used, reason = "a test")]

mod userspace_lab;

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpListener, TcpStream};

use dataplane::userspace::{Backend, Error, Ownership, Role, UserspaceConfig, probe};
use mobility_protocol::{DataplaneChange, Family};

use userspace_lab::*;

#[test]
fn a_ping_goes_through_and_back() {
    if !possible() {
        return;
    }
    let lab = Lab::new();
    let (home_agent, mobile_node) = lab.bound();

    for (plan, octets) in [(IPV4, 84), (IPV6, 104)] {
        let Plan {
            home,
            correspondent,
            ..
        } = plan;
        lab.mn.sh(&format!("ping -c 3 -i 0.1 -W 2 {correspondent}"));
        lab.cn.sh(&format!("ping -c 2 -i 0.1 -W 2 {home}"));

        for (backend, who) in [(&home_agent, "home agent"), (&mobile_node, "mobile node")] {
            let traffic = || backend.traffic(home.into()).expect("installed");
            eventually(who, || {
                (traffic().packets_in, traffic().packets_out) == (5, 5)
            });
            let traffic = traffic();
            assert_eq!(
                (traffic.bytes_in, traffic.bytes_out),
                (5 * octets, 5 * octets),
                "{who}"
            );
            assert!(traffic.last_received.is_some(), "{who}");
            settles(backend, &[]);
        }
    }
}

#[test]
fn tcp_carries_its_octets_unharmed_both_ways() {
    if !possible() {
        return;
    }
    for plan in [IPV4, IPV6] {
        octets_both_ways(plan);
    }
}

fn octets_both_ways(plan: Plan) {
    const OCTETS: usize = 20_000_000;
    let Plan {
        home,
        correspondent,
        ..
    } = plan;
    let lab = Lab::new();
    let (home_agent, mobile_node) = lab.bound();
    let listener = lab
        .cn
        .run(move || TcpListener::bind((correspondent, 80)).expect("listen"));
    let client = lab
        .mn
        .run(move || TcpStream::connect((correspondent, 80)).expect("connect"));
    let (server, peer) = listener.accept().expect("accept");
    assert_eq!(peer.ip(), home, "the correspondent sees the home address");

    let pattern: Vec<u8> = (0..=250).cycle().take(OCTETS).collect();
    std::thread::scope(|scope| {
        for (mut from, mut to) in [
            (
                client.try_clone().expect("a clone"),
                server.try_clone().expect("a clone"),
            ),
            (
                server.try_clone().expect("a clone"),
                client.try_clone().expect("a clone"),
            ),
        ] {
            let pattern = &pattern;
            scope.spawn(move || {
                from.write_all(pattern).expect("write");
            });
            scope.spawn(move || {
                let mut received = vec![0; OCTETS];
                to.read_exact(&mut received).expect("read");
                assert!(received == *pattern, "what was read is what was written");
            });
        }
    });
    for backend in [&home_agent, &mobile_node] {
        settles(backend, &[]);
        let traffic = backend.traffic(home.into()).expect("installed");
        assert!(
            traffic.bytes_in > OCTETS as u64 && traffic.bytes_out > OCTETS as u64,
            "{traffic:?}"
        );
        let least = OCTETS as u64 / 1480;
        assert!(
            traffic.packets_in > least && traffic.packets_out > least,
            "{traffic:?}"
        );
    }
}

#[test]
fn an_install_holds_for_the_next_packet_and_a_removal_as_well() {
    if !possible() {
        return;
    }
    let lab = Lab::new();
    let (home_agent, mobile_node) = (lab.home_agent(), lab.mobile_node());
    let socket = lab
        .cn
        .run(|| std::net::UdpSocket::bind((CORRESPONDENT, 9000)).expect("bind"));
    socket
        .set_read_timeout(Some(std::time::Duration::from_secs(5)))
        .expect("timeout");
    let sender = lab
        .mn
        .run(|| std::net::UdpSocket::bind((HOME, 0)).expect("bind"));
    let server = SocketAddrV4::new(CORRESPONDENT, 9000);

    sender.send_to(b"nobody", server).expect("send");
    eventually("an unbound packet is counted", || {
        count(&mobile_node, "drop_unbound_home_address") == 1
    });

    home_agent
        .apply(&install(tunnel(AGENT, CARE_OF_1)))
        .expect("install");
    mobile_node
        .apply(&install(tunnel(CARE_OF_1, AGENT)))
        .expect("install");
    // The ICMP error about the first one waits in the socket.
    let _ = sender.take_error();
    sender.send_to(b"somebody", server).expect("send");
    let mut octets = [0; 16];
    let (length, from) = socket.recv_from(&mut octets).expect("receive");
    assert_eq!(
        (&octets[..length], from.ip()),
        (&b"somebody"[..], HOME.into())
    );

    mobile_node
        .apply(&DataplaneChange::Remove(HOME.into()))
        .expect("remove");
    sender.send_to(b"nobody", server).expect("send");
    eventually("an unbound packet is counted", || {
        count(&mobile_node, "drop_unbound_home_address") == 2
    });
    assert_eq!(mobile_node.traffic(HOME.into()), None);
}

#[test]
fn the_mobile_nodes_device_vanishes_with_it() {
    if !possible() {
        return;
    }
    let lab = Lab::new();
    let exists = |device: &str| {
        lab.mn
            .try_sh(&format!("ip link show dev {device}"))
            .status
            .success()
    };

    drop(lab.mobile_node());
    // A child that another test is just starting may hold a copy of the device until its exec.
    eventually("the device goes with its owner", || !exists("mn0"));
    assert!(
        !lab.mn
            .sh("ip route show table all")
            .contains("198.51.100.7"),
        "and the route through it"
    );

    let backend = lab.mobile_node();
    lab.mn.run(|| backend.shutdown()).expect("shutdown");
    assert!(!exists("mn0"), "an orderly end removes it");
}

#[test]
fn the_home_agents_device_vanishes_with_it() {
    if !possible() {
        return;
    }
    let lab = Lab::new();
    drop(lab.home_agent());
    // As above.
    eventually("the device goes with its owner", || {
        !lab.cha.try_sh("ip link show dev cha0").status.success()
    });
    let backend = lab.home_agent();
    lab.cha.run(|| backend.shutdown()).expect("shutdown");
    assert!(!lab.cha.try_sh("ip link show dev cha0").status.success());
}

#[test]
fn a_device_that_somebody_removes_is_noticed() {
    if !possible() {
        return;
    }
    let lab = Lab::new();
    let backend = lab.mobile_node();
    assert!(backend.is_running());
    lab.mn.sh("ip link del mn0");
    eventually("the backend notices", || !backend.is_running());
    lab.mn
        .run(|| backend.shutdown())
        .expect("shutdown of what is gone already");
}

#[test]
fn a_device_of_another_kind_and_a_bad_mtu_are_refused() {
    if !possible() {
        return;
    }
    let lab = Lab::new();
    assert_eq!(
        lab.mn.run(|| probe(Family::Ipv4)).expect("probe"),
        Ownership::Free
    );
    let start =
        |config: UserspaceConfig| lab.mn.run(move || Backend::start(Role::MobileNode, config));
    let config = UserspaceConfig {
        device: "eth0".to_owned(),
        ..UserspaceConfig::mobile_node()
    };
    assert!(matches!(start(config), Err(Error::Device { .. })));
    let config = UserspaceConfig {
        mtu: 500,
        ..UserspaceConfig::home_agent(AGENT)
    };
    assert!(matches!(
        start(config),
        Err(Error::Mtu {
            mtu: 500,
            least: 576
        })
    ));
}
