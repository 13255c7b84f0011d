//! A home agent with a mobile node and a correspondent beside it. The home agent is this thread's
//! namespace.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use dataplane::home_agent::{Config, HomeAgentDataplane};
use dataplane::{Addresses, BackendChoice, Carrier};
use ipnet::IpNet;
use mobility_protocol::{
    DataplaneChange, Encapsulation, Family, HomeAddress, Reachability, Tunnel, TunnelEndpoints,
};

use crate::namespace::{self, Peer, ip, speak_ipv6};

/// Who has which address in one family, and how things are called there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct World {
    pub(crate) family: Family,
    pub(crate) agent: IpAddr,
    /// Two care-of addresses of the mobile node.
    pub(crate) care_of: [IpAddr; 2],
    pub(crate) server: IpAddr,
    /// Beside the server, and not a correspondent.
    pub(crate) stranger: IpAddr,
    pub(crate) home: IpAddr,
    /// In the pool as well.
    pub(crate) second_home: IpAddr,
    /// In the pool, and nobody's.
    pub(crate) unbound: IpAddr,
    pub(crate) pool: &'static str,
    /// The home agent on the mobile node's network, and on the server's.
    gateways: [&'static str; 2],
    /// The length of those networks' prefixes, and of one address.
    pub(crate) lengths: [u8; 2],
    /// The home agent's device.
    pub(crate) device: &'static str,
    /// The kind of device, and what the mobile node's is given.
    pub(crate) kind: &'static str,
    settings: &'static str,
    /// The option of `ip`.
    pub(crate) option: &'static str,
    /// The number behind the names of sets.
    pub(crate) number: u8,
    /// Octets of a header.
    pub(crate) header: u64,
    /// What a prohibition means to a socket.
    pub(crate) prohibited: i32,
}

pub(crate) const IPV4: World = World {
    family: Family::Ipv4,
    agent: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    care_of: [
        IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10)),
        IpAddr::V4(Ipv4Addr::new(203, 0, 113, 11)),
    ],
    server: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)),
    stranger: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 8)),
    home: IpAddr::V4(Ipv4Addr::new(10, 128, 0, 9)),
    second_home: IpAddr::V4(Ipv4Addr::new(10, 128, 0, 10)),
    unbound: IpAddr::V4(Ipv4Addr::new(10, 128, 0, 77)),
    pool: "10.128.0.0/10",
    gateways: ["203.0.113.1", "198.51.100.1"],
    lengths: [24, 32],
    device: "cha0",
    kind: "ipip",
    settings: "ttl 64",
    option: "-4",
    number: 4,
    header: 20,
    prohibited: 113, // EHOSTUNREACH
};

pub(crate) const IPV6: World = World {
    family: Family::Ipv6,
    agent: ipv6(0xf, 1),
    care_of: [ipv6(1, 0x10), ipv6(1, 0x11)],
    server: ipv6(0xc, 7),
    stranger: ipv6(0xc, 8),
    home: ipv6(4, 9),
    second_home: ipv6(4, 0xa),
    unbound: ipv6(4, 0x77),
    pool: "2001:db8:4::/64",
    gateways: ["2001:db8:1::1", "2001:db8:c::1"],
    lengths: [64, 128],
    device: "cha0-6",
    kind: "ip6tnl",
    settings: "mode ip6ip6 hoplimit 64 encaplimit none",
    option: "-6",
    number: 6,
    header: 40,
    prohibited: 13, // EACCES
};

const fn ipv6(network: u16, host: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, network, 0, 0, 0, 0, host))
}

pub(crate) struct Site {
    pub(crate) mobile_node: Peer,
    pub(crate) server: Peer,
    world: World,
}

/// Runs a test in each family.
pub(crate) fn in_each_family<F: Future<Output = ()>>(
    name: &'static str,
    test: impl Fn(World) -> F + Send + Copy,
) {
    for world in [IPV4, IPV6] {
        in_family(world, name, test);
    }
}

/// Runs a test in one family.
pub(crate) fn in_family<F: Future<Output = ()>>(
    world: World,
    name: &'static str,
    test: impl Fn(World) -> F + Send + Copy,
) {
    run(name, move || {
        eprintln!("{name} in {}", world.family);
        if world.family == Family::Ipv6 {
            speak_ipv6();
        }
        test(world)
    });
}

/// Runs a test where the kernel has tunnels; says loudly where it has none.
pub(crate) fn run<F: Future<Output = ()>>(name: &'static str, test: impl FnOnce() -> F + Send) {
    namespace::run(name, move || async move {
        if !has_tunnels() {
            eprintln!("SKIPPED {name}: this kernel has no module ipip or ip6_tunnel");
            return;
        }
        test().await;
    });
}

pub(crate) fn has_tunnels() -> bool {
    // The first question loads a module, which brings a device of its own.
    ["ipip remote 192.0.0.8", "ip6tnl remote 100::1"]
        .into_iter()
        .all(|kind| {
            let made = std::process::Command::new("ip")
                .args(format!("link add trial type {kind}").split(' '))
                .output()
                .unwrap()
                .status
                .success();
            if made {
                ip("link del trial");
            }
            made
        })
}

impl World {
    /// Runs `ip` about this family.
    pub(crate) fn ip(self, arguments: &str) -> String {
        ip(&format!("{} {arguments}", self.option))
    }

    /// Gives a device of this namespace an address, of a network or of its own.
    pub(crate) fn give(self, device: &str, address: &str, length: u8) {
        let at_once = match self.family {
            Family::Ipv4 => "",
            Family::Ipv6 => "nodad",
        };
        ip(&format!(
            "addr add {address}/{length} dev {device} {at_once}"
        ));
    }

    pub(crate) fn give_home(self, address: IpAddr) {
        self.give("lo", &address.to_string(), self.lengths[1]);
    }

    /// Makes the mobile node's device end at this care-of address; `verb` is `add` or `change`.
    pub(crate) fn tunnel_device(self, verb: &str, care_of: IpAddr) {
        let Self {
            kind,
            agent,
            settings,
            ..
        } = self;
        ip(&format!(
            "link {verb} mn0 type {kind} local {care_of} remote {agent} {settings}"
        ));
    }

    /// Sets the MTU of the route to a care-of address.
    pub(crate) fn narrow(self, care_of: IpAddr, mtu: u16) {
        let length = self.lengths[1];
        self.ip(&format!(
            "route replace {care_of}/{length} dev uplink mtu {mtu}"
        ));
    }

    /// The address of this number in a large range: home addresses (0) or care-of addresses (1).
    pub(crate) fn numbered(self, range: u8, number: u32) -> IpAddr {
        match (self.family, range) {
            (Family::Ipv4, 0) => Ipv4Addr::from(0x0a81_0000 + number).into(),
            (Family::Ipv4, _) => Ipv4Addr::from(0xcb00_0000 + number).into(),
            (Family::Ipv6, range) => {
                let network = [0x2001_0db8_0004_0000, 0x2001_0db8_0100_0000][usize::from(range)];
                Ipv6Addr::from((network << 64) + 0x1_0000 + u128::from(number)).into()
            }
        }
    }

    pub(crate) fn config(self) -> Config {
        Config {
            backend: BackendChoice::Kernel,
            ..Config::new(self.addresses(), vec![self.pool.parse().unwrap()])
        }
    }

    pub(crate) fn addresses(self) -> Addresses {
        match self.agent {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => address.into(),
        }
    }

    pub(crate) async fn start(self) -> HomeAgentDataplane {
        let dataplane = HomeAgentDataplane::start(self.config()).await.unwrap();
        assert_eq!(dataplane.backend().carrier, Carrier::Kernel);
        dataplane
    }

    pub(crate) fn tunnel(self, home: IpAddr, care_of: IpAddr, former: Option<IpAddr>) -> Tunnel {
        Tunnel {
            home_address: HomeAddress(home),
            endpoints: TunnelEndpoints {
                local: self.agent,
                remote: care_of,
                interface: None,
            },
            former_remote: former,
            reachability: Reachability::Proven,
            encapsulation: Encapsulation::within(self.family),
            withdrawn: [].into(),
            correspondents: correspondents(),
        }
    }

    pub(crate) fn install(
        self,
        dataplane: &mut HomeAgentDataplane,
        home: IpAddr,
        care_of: IpAddr,
        former: Option<IpAddr>,
    ) {
        let change = DataplaneChange::Install(self.tunnel(home, care_of, former));
        let failures = dataplane.apply([change]);
        assert!(failures.is_empty(), "{failures:?}");
    }
}

impl Site {
    pub(crate) fn new(world: World) -> Self {
        let (mobile_node, server) = (Peer::new(), Peer::new());
        if world.family == Family::Ipv6 {
            for peer in [&mobile_node, &server] {
                peer.run(speak_ipv6);
            }
        }
        mobile_node.connect("uplink", "wlan0");
        server.connect("site", "eth0");
        let [networks, host] = world.lengths;
        for (device, gateway) in ["uplink", "site"].into_iter().zip(world.gateways) {
            world.give(device, gateway, networks);
        }
        world.give("lo", &world.agent.to_string(), host);
        mobile_node.run(move || {
            ip("link set lo up");
            for care_of in world.care_of {
                world.give("wlan0", &care_of.to_string(), networks);
            }
            world.ip(&format!("route add default via {}", world.gateways[0]));
            world.give_home(world.home);
            world.tunnel_device("add", world.care_of[0]);
            ip("link set mn0 up");
            for inside in [world.server, world.stranger, world.unbound] {
                world.ip(&format!(
                    "route add {inside}/{host} dev mn0 src {}",
                    world.home
                ));
            }
        });
        server.run(move || {
            ip("link set lo up");
            for address in [world.server, world.stranger] {
                world.give("eth0", &address.to_string(), networks);
            }
            world.ip(&format!("route add default via {}", world.gateways[1]));
        });
        Self {
            mobile_node,
            server,
            world,
        }
    }

    /// Sends a datagram from the mobile node to a place where the server listens, and tells whether
    /// the answer came back.
    pub(crate) fn says_back(&self) -> bool {
        let World { server, home, .. } = self.world;
        let (socket, port) = self.server.run(move || {
            let socket = UdpSocket::bind((server, 0)).unwrap();
            socket
                .set_read_timeout(Some(Duration::from_secs(1)))
                .unwrap();
            let port = socket.local_addr().unwrap().port();
            (socket, port)
        });
        let sender = self.mobile_node.run(move || {
            let sender = UdpSocket::bind((home, 0)).unwrap();
            sender
                .set_read_timeout(Some(Duration::from_secs(1)))
                .unwrap();
            sender.connect((server, port)).unwrap();
            sender.send(b"hello").unwrap();
            sender
        });
        let mut buffer = [0; 16];
        let Ok((length, from)) = socket.recv_from(&mut buffer) else {
            return false;
        };
        socket.send_to(&buffer[..length], from).unwrap();
        sender.recv(&mut buffer).is_ok()
    }

    /// Sends a datagram from the server's network to a home address.
    pub(crate) fn server_sends(&self, source: IpAddr, to: IpAddr) {
        self.server.run(move || {
            let socket = UdpSocket::bind((source, 0)).unwrap();
            // What an earlier datagram brought about is told here and does not matter.
            let _ = socket.send_to(b"hello", (to, 9));
        });
    }
}

/// Sends a packet from this host as it is, whatever it claims to be, where its destination leads.
pub(crate) fn forge(host: &Peer, packet: Vec<u8>) {
    host.run(move || {
        let (domain, destination) = if packet[0] >> 4 == 6 {
            let destination: [u8; 16] = packet[24..40].try_into().unwrap();
            (socket2::Domain::IPV6, IpAddr::from(destination))
        } else {
            let destination: [u8; 4] = packet[16..20].try_into().unwrap();
            (socket2::Domain::IPV4, IpAddr::from(destination))
        };
        let header_is_ours = Some(255.into()); // IPPROTO_RAW
        let raw = socket2::Socket::new(domain, socket2::Type::RAW, header_is_ours).unwrap();
        raw.send_to(&packet, &SocketAddr::new(destination, 0).into())
            .unwrap();
    });
}

/// In both families: the server, and the home agent's own host; prefixes around its other address and
/// a broadcast address.
pub(crate) fn correspondents() -> Arc<[IpNet]> {
    let around = ["198.51.100.0/30", "198.51.100.252/30", "2001:db8:c::/126"];
    [IPV4, IPV6]
        .iter()
        .flat_map(|world| [world.server, world.agent])
        .map(IpNet::from)
        .chain(around.iter().map(|prefix| prefix.parse().unwrap()))
        .collect()
}

pub(crate) fn counter(dataplane: &HomeAgentDataplane, name: &str) -> u64 {
    let counters = dataplane.counters();
    counters.iter().find(|(known, _)| *known == name).unwrap().1
}
