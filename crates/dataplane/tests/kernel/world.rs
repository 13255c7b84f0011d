//! A mobile node with a home agent behind its router, in one family of addresses or the other. The
//! mobile node is this thread's namespace.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use dataplane::Addresses;
use dataplane::BackendChoice;
use dataplane::home_agent::{self, HomeAgentDataplane};
use dataplane::mobile_node::{Config, MobileNodeDataplane};
use ipnet::IpNet;
use mobility_protocol::{
    DataplaneChange, Encapsulation, Family, HomeAddress, Reachability, Tunnel, TunnelEndpoints,
};
use tokio::runtime::Runtime;

use crate::namespace::{
    ACCESS, ACCESS_6, CORRESPONDENT, CORRESPONDENT_6, HOME, HOME_6, OTHER, OTHER_6, Peer, ROUTER,
    ROUTER_6, attach, attach_6, ip,
};
use crate::site;

/// The addresses of the hosts in one family, and how they are given.
#[derive(Clone, Copy)]
pub(crate) struct World {
    pub(crate) family: Family,
    pub(crate) access: IpAddr,
    /// This host's address after a move, on the same cable.
    pub(crate) next: IpAddr,
    pub(crate) router: IpAddr,
    pub(crate) correspondent: IpAddr,
    pub(crate) other: IpAddr,
    pub(crate) home: IpAddr,
    pub(crate) pool: &'static str,
    pub(crate) prefix: &'static str,
    /// What a tunnel is made of by hand.
    pub(crate) tunnel: &'static str,
    /// The option of `ip`.
    pub(crate) option: &'static str,
    pub(crate) unspecified: IpAddr,
}

pub(crate) const IPV4: World = World {
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

pub(crate) const IPV6: World = World {
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
pub(crate) fn run<F: Future<Output = ()>>(
    name: &'static str,
    test: impl Fn(World) -> F + Send + Copy,
) {
    for world in [IPV4, IPV6] {
        eprintln!("{name}, {}", world.family);
        site::run(name, move || test(world));
    }
}

impl World {
    pub(crate) fn attach(self) -> Peer {
        match self.family {
            Family::Ipv4 => attach(),
            Family::Ipv6 => attach_6(),
        }
    }

    pub(crate) fn home_address(self) -> HomeAddress {
        HomeAddress(self.home)
    }

    /// Another home address than the usual one.
    pub(crate) fn other_home(self) -> IpAddr {
        match self.home {
            IpAddr::V4(home) => Ipv4Addr::from_bits(home.to_bits() + 1).into(),
            IpAddr::V6(home) => Ipv6Addr::from_bits(home.to_bits() + 1).into(),
        }
    }

    pub(crate) fn tunnel(self, care_of: IpAddr, correspondents: &[IpAddr]) -> Tunnel {
        Tunnel {
            home_address: self.home_address(),
            endpoints: TunnelEndpoints {
                local: care_of,
                remote: self.router,
                interface: Some(nix::net::if_::if_nametoindex("wlan0").unwrap()),
            },
            former_remote: None,
            reachability: Reachability::Proven,
            encapsulation: Encapsulation::IpInIp,
            withdrawn: [].into(),
            correspondents: correspondents.iter().copied().map(IpNet::from).collect(),
        }
    }

    pub(crate) fn come_to(self, address: IpAddr) {
        let nodad = match self.family {
            Family::Ipv4 => "",
            Family::Ipv6 => "nodad",
        };
        ip(&format!(
            "addr add {address}/{} dev wlan0 {nodad}",
            self.prefix
        ));
    }

    pub(crate) fn move_to(self, address: IpAddr, from: IpAddr) {
        self.come_to(address);
        ip(&format!("addr del {from}/{} dev wlan0", self.prefix));
        // The kernel promotes the next address or removes the route with the last.
        let World { option, router, .. } = self;
        ip(&format!(
            "{option} route replace default via {router} dev wlan0"
        ));
    }

    /// Sends what a home agent would: a datagram to the home address, wrapped to a care-of address.
    pub(crate) fn wrap(self, peer: &Peer, care_of: IpAddr, source: IpAddr) {
        self.wrap_to(peer, care_of, source, self.home);
    }

    /// As [`World::wrap`], to this home address.
    pub(crate) fn wrap_to(self, peer: &Peer, care_of: IpAddr, source: IpAddr, home: IpAddr) {
        let World { router, tunnel, .. } = self;
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

pub(crate) async fn start(backend: BackendChoice) -> MobileNodeDataplane {
    let config = Config {
        backend,
        ..Config::default()
    };
    MobileNodeDataplane::start(config).await.unwrap()
}

pub(crate) async fn install(dataplane: &mut MobileNodeDataplane, tunnel: Tunnel) {
    let failures = dataplane.apply([DataplaneChange::Install(tunnel)]).await;
    assert!(failures.is_empty(), "{failures:?}");
}

pub(crate) fn receiver(address: IpAddr, patience: Duration) -> UdpSocket {
    let receiver = UdpSocket::bind((address, 9)).unwrap();
    receiver.set_read_timeout(Some(patience)).unwrap();
    receiver
}

/// A home agent on the router, and what it runs on.
pub(crate) struct Agent {
    runtime: Runtime,
    dataplane: HomeAgentDataplane,
}

impl Agent {
    pub(crate) fn start(peer: &Peer, world: World, backend: BackendChoice) -> Self {
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
    pub(crate) fn learn(self, peer: &Peer, tunnel: &Tunnel, former: Option<IpAddr>) -> Self {
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

    pub(crate) fn stop(self, peer: &Peer) {
        peer.run(move || self.runtime.block_on(self.dataplane.shutdown()).unwrap());
    }
}
