//! What the kernel carries for a mobile node, alone and with home agents of either backend.

use std::net::{IpAddr, Ipv4Addr, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use dataplane::BackendChoice::{self, Kernel, Userspace};
use dataplane::home_agent::{self, HomeAgentDataplane};
use dataplane::mobile_node::{Config, MobileNodeDataplane};
use ipnet::IpNet;
use mobility_protocol::{DataplaneChange, Encapsulation, HomeAddress, Tunnel, TunnelEndpoints};
use tokio::runtime::Runtime;

use crate::namespace::{
    ACCESS, CORRESPONDENT, HOME, OTHER, Peer, ROUTER, attach, echo, eventually, ip, says_back,
    snapshot,
};
use crate::site::run;

/// This host's address after a move, on the same cable.
const NEXT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 11);

async fn start(backend: BackendChoice) -> MobileNodeDataplane {
    let config = Config {
        backend,
        ..Config::default()
    };
    MobileNodeDataplane::start(config).await.unwrap()
}

fn tunnel(care_of: Ipv4Addr, correspondents: &[Ipv4Addr]) -> Tunnel {
    let prefixes: Arc<[IpNet]> = correspondents
        .iter()
        .map(|address| IpNet::from(IpAddr::from(*address)))
        .collect();
    Tunnel {
        home_address: HomeAddress::from(HOME),
        endpoints: TunnelEndpoints {
            local: care_of.into(),
            remote: ROUTER.into(),
            interface: Some(nix::net::if_::if_nametoindex("wlan0").unwrap()),
        },
        former_remote: None,
        encapsulation: Encapsulation::IpInIp,
        correspondents: prefixes,
    }
}

async fn install(dataplane: &mut MobileNodeDataplane, tunnel: Tunnel) {
    let failures = dataplane.apply([DataplaneChange::Install(tunnel)]).await;
    assert!(failures.is_empty(), "{failures:?}");
}

/// A home agent on the router, and what it runs on.
struct Agent {
    runtime: Runtime,
    dataplane: HomeAgentDataplane,
}

impl Agent {
    fn start(peer: &Peer, backend: BackendChoice) -> Self {
        peer.run(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let config = home_agent::Config {
                backend,
                ..home_agent::Config::new(ROUTER, vec!["10.128.0.0/10".parse().unwrap()])
            };
            let dataplane = runtime.block_on(HomeAgentDataplane::start(config)).unwrap();
            Self { runtime, dataplane }
        })
    }

    /// Tells it what it would learn by a Binding Update.
    fn learn(self, peer: &Peer, tunnel: &Tunnel, former: Option<Ipv4Addr>) -> Self {
        let mut tunnel = tunnel.clone();
        let endpoints = &mut tunnel.endpoints;
        std::mem::swap(&mut endpoints.local, &mut endpoints.remote);
        endpoints.interface = None;
        tunnel.former_remote = former.map(IpAddr::from);
        peer.run(move || {
            let mut agent = self;
            let failures = agent.dataplane.apply([DataplaneChange::Install(tunnel)]);
            assert!(failures.is_empty(), "{failures:?}");
            agent
        })
    }

    fn stop(self, peer: &Peer) {
        peer.run(move || self.runtime.block_on(self.dataplane.shutdown()).unwrap());
    }
}

fn move_to(address: Ipv4Addr, from: Ipv4Addr) {
    ip(&format!("addr add {address}/24 dev wlan0"));
    ip(&format!("addr del {from}/24 dev wlan0"));
    // The kernel promotes the next address or removes the route with the last.
    ip(&format!("route replace default via {ROUTER}"));
}

#[test]
fn a_session_survives_moves_between_all_backends() {
    for (here, there) in [
        (Kernel, Kernel),
        (Kernel, Userspace),
        (Userspace, Kernel),
        (Userspace, Userspace),
    ] {
        run("a session survives moves", move || async move {
            let peer = attach();
            std::fs::write("/proc/sys/net/ipv4/conf/all/promote_secondaries", "1").unwrap();
            echo(&peer);
            let before = snapshot();
            let mut agent = Agent::start(&peer, there);
            let mut mobile_node = start(here).await;
            mobile_node.settle().await.unwrap();
            let first = tunnel(ACCESS, &[CORRESPONDENT]);
            agent = agent.learn(&peer, &first, None);
            install(&mut mobile_node, first).await;
            let mut session = TcpStream::connect((CORRESPONDENT, 7)).unwrap();
            assert_eq!(
                session.local_addr().unwrap().ip(),
                HOME,
                "{here:?} {there:?}"
            );
            says_back(&mut session);
            for (address, from) in [(NEXT, ACCESS), (ACCESS, NEXT), (NEXT, ACCESS)] {
                move_to(address, from);
                let moved = tunnel(address, &[CORRESPONDENT]);
                agent = agent.learn(&peer, &moved, Some(from));
                install(&mut mobile_node, moved).await;
                says_back(&mut session);
            }
            let traffic = mobile_node.traffic(HOME.into()).unwrap();
            assert!(
                traffic.packets_in >= 4 && traffic.packets_out >= 4,
                "{traffic:?}"
            );
            drop(session);
            let remove = DataplaneChange::Remove(HOME.into());
            assert!(mobile_node.apply([remove]).await.is_empty());
            mobile_node.shutdown().await.unwrap();
            agent.stop(&peer);
            move_to(ACCESS, NEXT);
            assert_eq!(snapshot(), before, "{here:?} {there:?}");
        });
    }
}

#[test]
fn a_killed_mobile_node_goes_on_carrying_and_is_taken_over() {
    run("mobile node taken over", || async {
        let peer = attach();
        echo(&peer);
        let before = snapshot();
        let carried = tunnel(ACCESS, &[CORRESPONDENT]);
        let agent = Agent::start(&peer, Kernel).learn(&peer, &carried, None);
        let mut killed = start(Kernel).await;
        install(&mut killed, carried.clone()).await;
        let mut session = TcpStream::connect((CORRESPONDENT, 7)).unwrap();
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
    run("from kernel to user space", || async {
        let peer = attach();
        echo(&peer);
        let carried = tunnel(ACCESS, &[CORRESPONDENT]);
        let agent = Agent::start(&peer, Kernel).learn(&peer, &carried, None);
        let mut killed = start(Kernel).await;
        install(&mut killed, carried.clone()).await;
        let mut session = TcpStream::connect((CORRESPONDENT, 7)).unwrap();
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
    run("make before break", || async {
        let peer = attach();
        let mut mobile_node = start(Kernel).await;
        install(&mut mobile_node, tunnel(ACCESS, &[CORRESPONDENT])).await;
        ip(&format!("addr add {NEXT}/24 dev wlan0"));
        install(&mut mobile_node, tunnel(NEXT, &[CORRESPONDENT])).await;
        let receiver = UdpSocket::bind((HOME, 9)).unwrap();
        receiver
            .set_read_timeout(Some(Duration::from_secs(1)))
            .unwrap();
        for care_of in [ACCESS, NEXT] {
            wrap(&peer, care_of, CORRESPONDENT);
            receiver.recv(&mut [0; 16]).unwrap();
        }
        assert_eq!(mobile_node.traffic(HOME.into()).unwrap().packets_in, 2);
        mobile_node.shutdown().await.unwrap();
    });
}

#[test]
fn only_correspondents_reach_the_home_address() {
    run("correspondents only", || async {
        let peer = attach();
        let mut mobile_node = start(Kernel).await;
        install(&mut mobile_node, tunnel(ACCESS, &[CORRESPONDENT])).await;
        let receiver = UdpSocket::bind((HOME, 9)).unwrap();
        receiver
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        let dropped = |dataplane: &MobileNodeDataplane| {
            let counters = dataplane.counters();
            let found = counters
                .iter()
                .find(|(name, _)| *name == "drop_not_a_correspondent");
            found.unwrap().1
        };
        wrap(&peer, ACCESS, OTHER);
        assert!(receiver.recv(&mut [0; 16]).is_err());
        assert_eq!(dropped(&mobile_node), 1);
        wrap(&peer, ACCESS, CORRESPONDENT);
        receiver.recv(&mut [0; 16]).unwrap();
        // The list follows the binding, both ways.
        install(&mut mobile_node, tunnel(ACCESS, &[OTHER])).await;
        wrap(&peer, ACCESS, OTHER);
        receiver.recv(&mut [0; 16]).unwrap();
        install(&mut mobile_node, tunnel(ACCESS, &[CORRESPONDENT])).await;
        mobile_node.settle().await.unwrap();
        wrap(&peer, ACCESS, OTHER);
        assert!(receiver.recv(&mut [0; 16]).is_err());
        assert_eq!(dropped(&mobile_node), 2);
        mobile_node.shutdown().await.unwrap();
    });
}

#[test]
fn the_home_agent_may_be_the_correspondent_too() {
    run("agent and correspondent", || async {
        let peer = attach();
        let carried = tunnel(ACCESS, &[ROUTER]);
        let agent = Agent::start(&peer, Kernel).learn(&peer, &carried, None);
        let mut mobile_node = start(Kernel).await;
        install(&mut mobile_node, carried).await;
        let receiver = peer.run(|| {
            let receiver = UdpSocket::bind((ROUTER, 9)).unwrap();
            receiver
                .set_read_timeout(Some(Duration::from_secs(1)))
                .unwrap();
            receiver
        });
        let sender = UdpSocket::bind("0.0.0.0:0").unwrap();
        sender.connect((ROUTER, 9)).unwrap();
        assert_eq!(sender.local_addr().unwrap().ip(), HOME);
        sender.send(b"hello").unwrap();
        let (_, from) = receiver.recv_from(&mut [0; 16]).unwrap();
        assert_eq!(from.ip(), HOME);
        mobile_node.shutdown().await.unwrap();
        agent.stop(&peer);
    });
}

#[test]
fn what_other_programs_remove_comes_back() {
    run("mobile node repaired", || async {
        let peer = attach();
        echo(&peer);
        let carried = tunnel(ACCESS, &[CORRESPONDENT]);
        let agent = Agent::start(&peer, Kernel).learn(&peer, &carried, None);
        let mut mobile_node = start(Kernel).await;
        install(&mut mobile_node, carried).await;
        let mut session = TcpStream::connect((CORRESPONDENT, 7)).unwrap();
        says_back(&mut session);
        let standing = snapshot();
        for wipe in [
            "link set mn0 down",
            "rule del pref 102",
            "route flush table 4341",
        ] {
            ip(wipe);
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

/// Sends what a home agent would: a datagram to the home address, wrapped to a care-of address.
fn wrap(peer: &Peer, care_of: Ipv4Addr, source: Ipv4Addr) {
    peer.run(move || {
        ip(&format!(
            "link add out type ipip local {ROUTER} remote {care_of} ttl 64"
        ));
        ip("link set out up");
        ip(&format!("route add {HOME}/32 dev out"));
        let socket = UdpSocket::bind((source, 0)).unwrap();
        socket.send_to(b"hello", (HOME, 9)).unwrap();
        ip("link del out");
    });
}
