//! What the kernel carries for a mobile node, alone and with home agents of either backend.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use dataplane::Addresses;
use dataplane::BackendChoice::{self, Kernel, Userspace};
use dataplane::home_agent::{self, HomeAgentDataplane};
use dataplane::mobile_node::{Config, MobileNodeDataplane};
use ipnet::IpNet;
use mobility_protocol::{
    DataplaneChange, Encapsulation, Family, HomeAddress, Tunnel, TunnelEndpoints,
};
use tokio::runtime::Runtime;

use crate::namespace::{
    ACCESS, ACCESS_6, CORRESPONDENT, CORRESPONDENT_6, HOME, HOME_6, OTHER, OTHER_6, Peer, ROUTER,
    ROUTER_6, attach, attach_6, echo_at, eventually, ip, says_back, snapshot,
};
use crate::site;

/// The addresses of the hosts in one family, and how they are given.
#[derive(Clone, Copy)]
struct World {
    family: Family,
    access: IpAddr,
    /// This host's address after a move, on the same cable.
    next: IpAddr,
    router: IpAddr,
    correspondent: IpAddr,
    other: IpAddr,
    home: IpAddr,
    pool: &'static str,
    prefix: &'static str,
    /// What a tunnel is made of by hand.
    tunnel: &'static str,
    /// The option of `ip`.
    option: &'static str,
    unspecified: IpAddr,
}

const IPV4: World = World {
    family: Family::Ipv4,
    access: IpAddr::V4(ACCESS),
    next: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 11)),
    router: IpAddr::V4(ROUTER),
    correspondent: IpAddr::V4(CORRESPONDENT),
    other: IpAddr::V4(OTHER),
    home: IpAddr::V4(HOME),
    pool: "10.128.0.0/10",
    prefix: "24",
    tunnel: "type ipip ttl 64",
    option: "-4",
    unspecified: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
};

const IPV6: World = World {
    family: Family::Ipv6,
    access: IpAddr::V6(ACCESS_6),
    next: IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x11)),
    router: IpAddr::V6(ROUTER_6),
    correspondent: IpAddr::V6(CORRESPONDENT_6),
    other: IpAddr::V6(OTHER_6),
    home: IpAddr::V6(HOME_6),
    pool: "2001:db8:4::/64",
    prefix: "64",
    tunnel: "type ip6tnl mode ip6ip6 hoplimit 64 encaplimit none",
    option: "-6",
    unspecified: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
};

/// Runs a test in each family.
fn run<F: Future<Output = ()>>(name: &'static str, test: impl Fn(World) -> F + Send + Copy) {
    for world in [IPV4, IPV6] {
        eprintln!("{name}, {}", world.family);
        site::run(name, move || test(world));
    }
}

impl World {
    fn attach(self) -> Peer {
        match self.family {
            Family::Ipv4 => attach(),
            Family::Ipv6 => attach_6(),
        }
    }

    fn home_address(self) -> HomeAddress {
        HomeAddress(self.home)
    }

    fn tunnel(self, care_of: IpAddr, correspondents: &[IpAddr]) -> Tunnel {
        Tunnel {
            home_address: self.home_address(),
            endpoints: TunnelEndpoints {
                local: care_of,
                remote: self.router,
                interface: Some(nix::net::if_::if_nametoindex("wlan0").unwrap()),
            },
            former_remote: None,
            encapsulation: Encapsulation::IpInIp,
            correspondents: correspondents.iter().copied().map(IpNet::from).collect(),
        }
    }

    fn come_to(self, address: IpAddr) {
        let nodad = match self.family {
            Family::Ipv4 => "",
            Family::Ipv6 => "nodad",
        };
        ip(&format!(
            "addr add {address}/{} dev wlan0 {nodad}",
            self.prefix
        ));
    }

    fn move_to(self, address: IpAddr, from: IpAddr) {
        self.come_to(address);
        ip(&format!("addr del {from}/{} dev wlan0", self.prefix));
        // The kernel promotes the next address or removes the route with the last.
        let World { option, router, .. } = self;
        ip(&format!(
            "{option} route replace default via {router} dev wlan0"
        ));
    }

    /// Sends what a home agent would: a datagram to the home address, wrapped to a care-of address.
    fn wrap(self, peer: &Peer, care_of: IpAddr, source: IpAddr) {
        let World {
            router,
            home,
            tunnel,
            ..
        } = self;
        peer.run(move || {
            ip(&format!(
                "link add name out {tunnel} local {router} remote {care_of}"
            ));
            ip("link set out up");
            ip(&format!("route add {home} dev out"));
            let socket = UdpSocket::bind((source, 0)).unwrap();
            socket.send_to(b"hello", (home, 9)).unwrap();
            ip("link del out");
        });
    }
}

async fn start(backend: BackendChoice) -> MobileNodeDataplane {
    let config = Config {
        backend,
        ..Config::default()
    };
    MobileNodeDataplane::start(config).await.unwrap()
}

async fn install(dataplane: &mut MobileNodeDataplane, tunnel: Tunnel) {
    let failures = dataplane.apply([DataplaneChange::Install(tunnel)]).await;
    assert!(failures.is_empty(), "{failures:?}");
}

fn receiver(address: IpAddr, patience: Duration) -> UdpSocket {
    let receiver = UdpSocket::bind((address, 9)).unwrap();
    receiver.set_read_timeout(Some(patience)).unwrap();
    receiver
}

/// A home agent on the router, and what it runs on.
struct Agent {
    runtime: Runtime,
    dataplane: HomeAgentDataplane,
}

impl Agent {
    fn start(peer: &Peer, world: World, backend: BackendChoice) -> Self {
        peer.run(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let addresses = match world.router {
                IpAddr::V4(address) => Addresses::from(address),
                IpAddr::V6(address) => Addresses::from(address),
            };
            let config = home_agent::Config {
                backend,
                ..home_agent::Config::new(addresses, vec![world.pool.parse().unwrap()])
            };
            let dataplane = runtime.block_on(HomeAgentDataplane::start(config)).unwrap();
            Self { runtime, dataplane }
        })
    }

    /// Tells it what it would learn by a Binding Update.
    fn learn(self, peer: &Peer, tunnel: &Tunnel, former: Option<IpAddr>) -> Self {
        let mut tunnel = tunnel.clone();
        let endpoints = &mut tunnel.endpoints;
        std::mem::swap(&mut endpoints.local, &mut endpoints.remote);
        endpoints.interface = None;
        tunnel.former_remote = former;
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
        let dropped = |dataplane: &MobileNodeDataplane| {
            let counters = dataplane.counters();
            let found = counters
                .iter()
                .find(|(name, _)| *name == "drop_not_a_correspondent");
            found.unwrap().1
        };
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
