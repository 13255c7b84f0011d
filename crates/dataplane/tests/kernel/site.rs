//! A home agent with a mobile node and a correspondent beside it. The home agent is this thread's
//! namespace.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use dataplane::home_agent::{Config, HomeAgentDataplane};
use dataplane::{BackendChoice, Carrier};
use ipnet::IpNet;
use mobility_protocol::{DataplaneChange, Encapsulation, HomeAddress, Tunnel, TunnelEndpoints};

use crate::namespace::{self, Peer, ip};

pub(crate) const AGENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Two care-of addresses of the mobile node.
pub(crate) const CARE_OF: [Ipv4Addr; 2] = [
    Ipv4Addr::new(203, 0, 113, 10),
    Ipv4Addr::new(203, 0, 113, 11),
];
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// Beside the server, and not a correspondent.
pub(crate) const STRANGER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 8);
pub(crate) const HOME: Ipv4Addr = Ipv4Addr::new(10, 128, 0, 9);
/// In the pool, and nobody's.
pub(crate) const UNBOUND: Ipv4Addr = Ipv4Addr::new(10, 128, 0, 77);
pub(crate) const POOL: &str = "10.128.0.0/10";

pub(crate) struct Site {
    pub(crate) mobile_node: Peer,
    pub(crate) server: Peer,
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

impl Site {
    pub(crate) fn new() -> Self {
        let (mobile_node, server) = (Peer::new(), Peer::new());
        mobile_node.connect("uplink", "wlan0");
        server.connect("site", "eth0");
        ip("addr add 203.0.113.1/24 dev uplink");
        ip("addr add 198.51.100.1/24 dev site");
        ip(&format!("addr add {AGENT}/32 dev lo"));
        mobile_node.run(|| {
            ip("link set lo up");
            for care_of in CARE_OF {
                ip(&format!("addr add {care_of}/24 dev wlan0"));
            }
            ip("route add default via 203.0.113.1");
            ip(&format!("addr add {HOME}/32 dev lo"));
            ip(&format!(
                "link add mn0 type ipip local {} remote {AGENT} ttl 64",
                CARE_OF[0]
            ));
            ip("link set mn0 up");
            for inside in [SERVER, STRANGER, UNBOUND] {
                ip(&format!("route add {inside}/32 dev mn0 src {HOME}"));
            }
        });
        server.run(|| {
            ip("link set lo up");
            for address in [SERVER, STRANGER] {
                ip(&format!("addr add {address}/24 dev eth0"));
            }
            ip("route add default via 198.51.100.1");
        });
        Self {
            mobile_node,
            server,
        }
    }

    /// Sends a datagram from the mobile node to a place where the server listens, and tells whether
    /// the answer came back.
    pub(crate) fn says_back(&self) -> bool {
        let (socket, port) = self.server.run(|| {
            let socket = UdpSocket::bind((SERVER, 0)).unwrap();
            socket
                .set_read_timeout(Some(Duration::from_secs(1)))
                .unwrap();
            let port = socket.local_addr().unwrap().port();
            (socket, port)
        });
        let sender = self.mobile_node.run(move || {
            let sender = UdpSocket::bind((HOME, 0)).unwrap();
            sender
                .set_read_timeout(Some(Duration::from_secs(1)))
                .unwrap();
            sender.connect((SERVER, port)).unwrap();
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

    /// Sends a datagram from the server to a home address.
    pub(crate) fn server_sends(&self, source: Ipv4Addr, to: Ipv4Addr) {
        self.server.run(move || {
            let socket = UdpSocket::bind((source, 0)).unwrap();
            // What an earlier datagram brought about is told here and does not matter.
            let _ = socket.send_to(b"hello", (to, 9));
        });
    }
}

pub(crate) async fn start() -> HomeAgentDataplane {
    let config = Config {
        backend: BackendChoice::Kernel,
        ..Config::new(AGENT, vec![POOL.parse().unwrap()])
    };
    let dataplane = HomeAgentDataplane::start(config).await.unwrap();
    assert_eq!(dataplane.backend().carrier, Carrier::Kernel);
    dataplane
}

pub(crate) fn correspondents() -> Arc<[IpNet]> {
    Arc::from([
        IpNet::from(IpAddr::from(SERVER)),
        IpNet::from(IpAddr::from(AGENT)),
    ])
}

pub(crate) fn tunnel(home: Ipv4Addr, care_of: Ipv4Addr, former: Option<Ipv4Addr>) -> Tunnel {
    Tunnel {
        home_address: HomeAddress::from(home),
        endpoints: TunnelEndpoints {
            local: AGENT.into(),
            remote: care_of.into(),
            interface: None,
        },
        former_remote: former.map(IpAddr::from),
        encapsulation: Encapsulation::IpInIp,
        correspondents: correspondents(),
    }
}

pub(crate) fn install(
    dataplane: &mut HomeAgentDataplane,
    home: Ipv4Addr,
    care_of: Ipv4Addr,
    former: Option<Ipv4Addr>,
) {
    let change = DataplaneChange::Install(tunnel(home, care_of, former));
    let failures = dataplane.apply([change]);
    assert!(failures.is_empty(), "{failures:?}");
}

pub(crate) fn counter(dataplane: &HomeAgentDataplane, name: &str) -> u64 {
    let counters = dataplane.counters();
    counters.iter().find(|(known, _)| *known == name).unwrap().1
}
