//! The small internet: a core router, access networks, sites, a name server.
//!
//! ```text
//!  laptop ~ air (one bridge per access network) - access router - core - gateway (CHA) - server
//!                                                                  | |
//!                                                    name server --+ +-- host without CHA, or CHA = server
//! ```
//! Addresses are those set aside for documentation: access networks from 192.0.2.0/24, the sites' own networks
//! from 198.51.100.0/24, the links of the core from 203.0.113.0/24. Pools lie in 10.128.0.0/9; the core has no
//! route to them, and access routers drop sources that are not theirs.

use std::{net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;

use crate::{LabError, Laptop, NameServer, Node, delay};

/// The default route's destination.
pub(crate) const EVERYWHERE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0);

/// The whole small internet.
pub struct Internet {
    core: Node,
    air: Node,
    links: u8,
    core_links: Vec<String>,
    accesses: Vec<AccessNetwork>,
    sites: u8,
    laptops: u8,
    names: NameServer,
}

/// A network that laptops visit.
#[derive(Clone)]
pub struct AccessNetwork {
    /// Its name, also of its bridge.
    pub name: String,
    /// Its prefix.
    pub prefix: Ipv4Net,
    /// The access router's address in it.
    pub gateway: Ipv4Addr,
    /// The access router, which drops packets whose source is not of this network.
    pub router: Node,
}

/// What a site consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteKind {
    /// A gateway that can run `chad`, with a server behind it.
    Gateway,
    /// One host that is server and gateway at the same time.
    CoLocated,
    /// A host and no gateway: nothing of ours runs here.
    Plain,
}

/// A place with a server.
pub struct Site {
    /// The server's name in the DNS.
    pub name: String,
    /// Where `chad` runs; for a plain site the server itself.
    pub gateway: Node,
    /// The gateway's address, [`Site::agent`] in the words of the protocol.
    pub agent: Ipv4Addr,
    /// The server's machine.
    pub server: Node,
    /// The server's address.
    pub address: Ipv4Addr,
    /// The pool meant for this site's `chad`.
    pub pool: Ipv4Net,
}

impl Internet {
    /// A core, a name server, and one access network per name.
    pub fn new(access_names: &[&str]) -> Result<Internet, LabError> {
        let core = router("core")?;
        let air = Node::new("air")?;
        let names = Node::new("names")?;
        let mut internet = Internet {
            core,
            air,
            links: 0,
            core_links: Vec::new(),
            accesses: Vec::new(),
            sites: 0,
            laptops: 0,
            names: NameServer::idle(names.clone(), Ipv4Addr::UNSPECIFIED),
        };
        let address = internet.connect(&names)?;
        internet.names = NameServer::start(names, address)?;
        for name in access_names {
            internet.add_access(name)?;
        }
        Ok(internet)
    }

    /// The name server.
    #[must_use]
    pub fn names(&self) -> &NameServer {
        &self.names
    }

    /// The router in the middle, where all traffic between networks passes exactly once (twice when delayed).
    #[must_use]
    pub fn core(&self) -> &Node {
        &self.core
    }

    /// An access network by its number, in the order of [`Internet::new`].
    #[must_use]
    pub fn access(&self, number: usize) -> AccessNetwork {
        self.accesses[number].clone()
    }

    /// Delays everything that passes the core so that every round trip takes `round_trip` longer. Call it once,
    /// when all sites stand.
    pub fn delay(&self, round_trip: Duration) -> Result<(), LabError> {
        delay::install(&self.core, self.core_links.clone(), round_trip / 2)
    }

    /// A new site, and its server's name in the DNS. For a site with a gateway `cha.<name>` is there too.
    pub fn site(&mut self, name: &str, kind: SiteKind) -> Result<Site, LabError> {
        let number = self.sites;
        self.sites += 1;
        let short = name.split('.').next().unwrap_or(name).to_owned();
        let pool = net(Ipv4Addr::new(10, 128 + number, 0, 0), 16)?;
        let (gateway, agent, server, address) = match kind {
            SiteKind::Gateway => {
                let gateway = router(&format!("{short}-gw"))?;
                let agent = self.connect(&gateway)?;
                let server = Node::new(&short)?;
                let lan = net(Ipv4Addr::new(198, 51, 100, number * 32), 27)?;
                let (inside, address) = (host(lan, 1), host(lan, 10));
                plug_in(&gateway, "lan", inside, &server, "eth0", address, 27)?;
                server.run(move |network| network.route(EVERYWHERE, inside, 0))?;
                self.core.run(move |network| network.route(lan, agent, 0))?;
                (gateway, agent, server, address)
            }
            SiteKind::CoLocated | SiteKind::Plain => {
                let server = if kind == SiteKind::CoLocated {
                    router(&short)?
                } else {
                    Node::new(&short)?
                };
                let address = self.connect(&server)?;
                (server.clone(), address, server, address)
            }
        };
        self.names.set(name, address);
        if kind != SiteKind::Plain {
            self.names.set(&format!("cha.{name}"), agent);
        }
        Ok(Site {
            name: name.to_owned(),
            gateway,
            agent,
            server,
            address,
            pool,
        })
    }

    /// A laptop with the interfaces `wlan0` and `eth0`, both unplugged, and the lab's name server in resolv.conf.
    pub fn laptop(&mut self, name: &str) -> Result<Laptop, LabError> {
        let number = self.laptops;
        self.laptops += 1;
        Laptop::new(name, number, self.air.clone(), self.names.address())
    }

    /// Connects `node` to the core and makes it its way to everywhere; gives its address.
    pub fn connect(&mut self, node: &Node) -> Result<Ipv4Addr, LabError> {
        let base = self
            .links
            .checked_mul(4)
            .ok_or_else(|| LabError::Other("the core is full".to_owned()))?;
        self.links += 1;
        let (here, there) = (
            Ipv4Addr::new(203, 0, 113, base + 1),
            Ipv4Addr::new(203, 0, 113, base + 2),
        );
        let link = format!("to-{}", node.name());
        let link = link.get(..15).unwrap_or(&link).to_owned();
        plug_in(&self.core, &link, here, node, "uplink", there, 30)?;
        node.run(move |network| network.route(EVERYWHERE, here, 0))?;
        self.core_links.push(link);
        Ok(there)
    }

    fn add_access(&mut self, name: &str) -> Result<(), LabError> {
        let number = u8::try_from(self.accesses.len()).unwrap_or(u8::MAX);
        let base = number
            .checked_mul(64)
            .ok_or_else(|| LabError::Other("four access networks at most".to_owned()))?;
        let prefix = net(Ipv4Addr::new(192, 0, 2, base), 26)?;
        let gateway = host(prefix, 1);
        let router = router(&format!("{name}-router"))?;
        let uplink = self.connect(&router)?;
        let bridge = name.to_owned();
        let router_namespace = clone_file(router.network_namespace())?;
        self.air.run(move |network| {
            network.bridge(&bridge)?;
            let port = format!("{bridge}-router");
            network.cable(&port, &router_namespace, "lan")?;
            network.plug(&port, &bridge)?;
            network.up(&port)
        })?;
        let own = net(gateway, 26)?;
        router.run(move |network| {
            network.address("lan", own)?;
            network.up("lan")
        })?;
        // Ingress filtering: what comes from the visitors' side must have a source of that side.
        router.sysctl("net/ipv4/conf/lan/rp_filter", "1")?;
        self.core
            .run(move |network| network.route(prefix, uplink, 0))?;
        self.accesses.push(AccessNetwork {
            name: name.to_owned(),
            prefix,
            gateway,
            router,
        });
        Ok(())
    }
}

/// Lays a cable between two nodes, with an address at each end, both up.
pub fn plug_in(
    left: &Node,
    left_link: &str,
    left_address: Ipv4Addr,
    right: &Node,
    right_link: &str,
    right_address: Ipv4Addr,
    prefix_length: u8,
) -> Result<(), LabError> {
    let namespace = clone_file(right.network_namespace())?;
    let (name, peer) = (left_link.to_owned(), right_link.to_owned());
    let address = net(left_address, prefix_length)?;
    left.run(move |network| {
        network.cable(&name, &namespace, &peer)?;
        network.address(&name, address)?;
        network.up(&name)
    })?;
    let name = right_link.to_owned();
    let address = net(right_address, prefix_length)?;
    right.run(move |network| {
        network.address(&name, address)?;
        network.up(&name)
    })
}

/// A machine that forwards, and does not judge sources unless told to.
fn router(name: &str) -> Result<Node, LabError> {
    let node = Node::new(name)?;
    node.sysctl("net/ipv4/ip_forward", "1")?;
    node.sysctl("net/ipv4/conf/all/rp_filter", "0")?;
    node.sysctl("net/ipv4/conf/default/rp_filter", "0")?;
    Ok(node)
}

pub(crate) fn net(address: Ipv4Addr, prefix_length: u8) -> Result<Ipv4Net, LabError> {
    Ipv4Net::new(address, prefix_length)
        .map_err(|error| LabError::Other(format!("{address}/{prefix_length}: {error}")))
}

/// The `number`th host of a network.
pub(crate) fn host(network: Ipv4Net, number: u8) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(network.network()) + u32::from(number))
}

pub(crate) fn clone_file(file: &std::fs::File) -> Result<std::fs::File, LabError> {
    file.try_clone()
        .map_err(LabError::io("duplicate a file descriptor"))
}
