//! The small internet: a core router, access networks, sites, a name server.
//!
//! ```text
//!  laptop ~ air (one bridge per access network) - access router - core - gateway (CHA) - server
//!                                                                  | |
//!                                                    name server --+ +-- host without CHA, or CHA = server
//! ```
//! Every machine has both families. Addresses are those set aside for documentation: access networks from
//! 192.0.2.0/24 and 2001:db8:1::/48, the sites' own networks from 198.51.100.0/24 and 2001:db8:2::/48, the links of
//! the core from 203.0.113.0/24 and 2001:db8:3::/48. Pools lie in 10.128.0.0/9 and 2001:db8:4::/48; the core has no
//! route to them, and access routers drop sources that are not theirs. Visitors get their IPv4 address from the lab
//! as by DHCP, and make their IPv6 address of what the access router advertises.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use ipnet::{IpNet, Ipv6Net};

use crate::{
    Addresses, Family, LabError, Laptop, NameServer, Network, Node, Prefixes,
    advertiser::{Advertisement, Advertiser},
    delay,
    family::{net, net6},
};

/// An access router's link to its visitors.
const VISITORS: &str = "lan";

/// The link to the core of every machine that has one.
pub(crate) const UPLINK: &str = "uplink";

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
    /// Its prefixes.
    pub prefixes: Prefixes,
    /// The access router's addresses in it.
    pub gateways: Addresses,
    /// The access router, which drops packets whose source is not of this network.
    pub router: Node,
    /// What the access router advertises, and when.
    pub advertiser: Advertiser,
}

impl AccessNetwork {
    /// The network stays as it looks, and none of its visitors' packets goes further than its router; or they do
    /// again.
    pub fn lead_nowhere(&self, nowhere: bool) -> Result<(), LabError> {
        self.router
            .run(move |network| network.lose_what_comes_by(VISITORS, nowhere))
    }

    /// Makes the network carry packets of at most `mtu` octets, and tells that to those who come.
    pub fn narrow(&self, mtu: u32) -> Result<(), LabError> {
        self.router.run(move |network| network.mtu(VISITORS, mtu))?;
        self.advertiser.say(Advertisement {
            mtu: Some(mtu),
            ..Advertisement::of(self.prefixes.ipv6)
        });
        Ok(())
    }
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

/// A place with a server. Where nothing else is said, addresses are of the family the story is told in.
pub struct Site {
    /// The server's name in the DNS.
    pub name: String,
    /// Where `chad` runs; for a plain site the server itself.
    pub gateway: Node,
    /// The gateway's address, [`Site::agent`] in the words of the protocol.
    pub agent: IpAddr,
    /// The server's machine.
    pub server: Node,
    /// The server's address.
    pub address: IpAddr,
    /// The pool meant for this site's `chad`.
    pub pool: IpNet,
    /// [`Site::agent`] in both families.
    pub agents: Addresses,
    /// [`Site::address`] in both families.
    pub addresses: Addresses,
    /// [`Site::pool`] in both families.
    pub pools: Prefixes,
}

impl Internet {
    /// A core, a name server, and one access network per name.
    pub fn new(access_names: &[&str]) -> Result<Internet, LabError> {
        let core = router("core")?;
        let air = Node::new("air")?;
        // The air has no addresses of its own.
        air.sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
        let names = Node::new("names")?;
        let nowhere = Addresses {
            ipv4: Ipv4Addr::UNSPECIFIED,
            ipv6: Ipv6Addr::UNSPECIFIED,
        };
        let mut internet = Internet {
            core,
            air,
            links: 0,
            core_links: Vec::new(),
            accesses: Vec::new(),
            sites: 0,
            laptops: 0,
            names: NameServer::idle(names.clone(), nowhere),
        };
        let addresses = internet.connect(&names)?;
        internet.names = NameServer::start(names, addresses)?;
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

    /// Makes the link between an access router and the core carry packets of at most `mtu` octets, of which visitors know
    /// nothing.
    pub fn narrow_behind(&self, access: &AccessNetwork, mtu: u32) -> Result<(), LabError> {
        let link = core_link(&access.router);
        self.core.run(move |network| network.mtu(&link, mtu))?;
        access.router.run(move |network| network.mtu(UPLINK, mtu))
    }

    /// Delays everything that passes the core so that every round trip takes `round_trip` longer. Call it once,
    /// when all sites stand.
    pub fn delay(&self, round_trip: Duration) -> Result<(), LabError> {
        delay::install(&self.core, self.core_links.clone(), round_trip / 2)
    }

    /// A new site, and its server's name in the DNS with an address of the story's family. For a site with a gateway
    /// `cha.<name>` is there too.
    pub fn site(&mut self, name: &str, kind: SiteKind) -> Result<Site, LabError> {
        let family = [Family::of_this_story()];
        self.site_known_by(name, kind, &family, &family)
    }

    /// As [`Internet::site`], with addresses of the given families: the server's, the agent's.
    pub fn site_known_by(
        &mut self,
        name: &str,
        kind: SiteKind,
        server_families: &[Family],
        agent_families: &[Family],
    ) -> Result<Site, LabError> {
        let number = self.sites;
        self.sites += 1;
        let short = name.split('.').next().unwrap_or(name).to_owned();
        let (gateway, agents, server, addresses) = match kind {
            SiteKind::Gateway => {
                let gateway = router(&format!("{short}-gw"))?;
                let agents = self.connect(&gateway)?;
                let server = Node::new(&short)?;
                let lan = Prefixes {
                    ipv4: net(Ipv4Addr::new(198, 51, 100, number * 32), 27)?,
                    ipv6: documentation(2, number)?,
                };
                let (inside, address) = (lan.host_in(1)?, lan.host_in(10)?);
                let (left, right) = (both(inside), both(address));
                plug_in(&gateway, "lan", &left, &server, "eth0", &right)?;
                let (inside, address) = (lan.host(1), lan.host(10));
                server.run(move |network| default_routes(network, inside))?;
                self.core.run(move |network| {
                    network.route(lan.ipv4, agents.ipv4, 0)?;
                    network.route(lan.ipv6, agents.ipv6, 0)
                })?;
                (gateway, agents, server, address)
            }
            SiteKind::CoLocated | SiteKind::Plain => {
                let server = if kind == SiteKind::CoLocated {
                    router(&short)?
                } else {
                    Node::new(&short)?
                };
                let addresses = self.connect(&server)?;
                (server.clone(), addresses, server, addresses)
            }
        };
        let of = |all: Addresses, families: &[Family]| -> Vec<IpAddr> {
            families.iter().map(|family| all.of(*family)).collect()
        };
        self.names
            .set_with(name, &of(addresses, server_families), 60);
        if kind != SiteKind::Plain {
            let agents = of(agents, agent_families);
            self.names.set_with(&format!("cha.{name}"), &agents, 60);
        }
        let pools = Prefixes {
            ipv4: net(Ipv4Addr::new(10, 128 + number * 4, 0, 0), 14)?,
            ipv6: documentation(4, number)?,
        };
        let family = Family::of_this_story();
        Ok(Site {
            name: name.to_owned(),
            gateway,
            agent: agents.of(family),
            server,
            address: addresses.of(family),
            pool: pools.of(family),
            agents,
            addresses,
            pools,
        })
    }

    /// A laptop with the interfaces `wlan0` and `eth0`, both unplugged, and the lab's name server in resolv.conf.
    pub fn laptop(&mut self, name: &str) -> Result<Laptop, LabError> {
        let number = self.laptops;
        self.laptops += 1;
        Laptop::new(name, number, self.air.clone(), self.names.address())
    }

    /// Connects `node` to the core and makes it its way to everywhere; gives its addresses.
    pub fn connect(&mut self, node: &Node) -> Result<Addresses, LabError> {
        let base = self
            .links
            .checked_mul(4)
            .ok_or_else(|| LabError::Other("the core is full".to_owned()))?;
        let prefixes = Prefixes {
            ipv4: net(Ipv4Addr::new(203, 0, 113, base), 30)?,
            ipv6: documentation(3, self.links)?,
        };
        self.links += 1;
        let link = core_link(node);
        let (here, there) = (both(prefixes.host_in(1)?), both(prefixes.host_in(2)?));
        plug_in(&self.core, &link, &here, node, UPLINK, &there)?;
        let core = prefixes.host(1);
        node.run(move |network| default_routes(network, core))?;
        self.core_links.push(link);
        Ok(prefixes.host(2))
    }

    fn add_access(&mut self, name: &str) -> Result<(), LabError> {
        let number = u8::try_from(self.accesses.len()).unwrap_or(u8::MAX);
        let base = number
            .checked_mul(64)
            .ok_or_else(|| LabError::Other("four access networks at most".to_owned()))?;
        let prefixes = Prefixes {
            ipv4: net(Ipv4Addr::new(192, 0, 2, base), 26)?,
            ipv6: documentation(1, number)?,
        };
        let router = router(&format!("{name}-router"))?;
        let uplink = self.connect(&router)?;
        let bridge = name.to_owned();
        let router_namespace = clone_file(router.network_namespace())?;
        self.air.run(move |network| {
            network.bridge(&bridge)?;
            let port = format!("{bridge}-router");
            network.cable(&port, &router_namespace, VISITORS)?;
            network.plug(&port, &bridge)?;
            network.up(&port)
        })?;
        let own = both(prefixes.host_in(1)?);
        router.run(move |network| {
            for address in own {
                network.address(VISITORS, address)?;
            }
            network.up(VISITORS)?;
            // Ingress filtering: what comes from the visitors' side must have a source of that side.
            network.forward_only_from(VISITORS, prefixes.ipv6)
        })?;
        router.sysctl(&format!("net/ipv4/conf/{VISITORS}/rp_filter"), "1")?;
        self.core.run(move |network| {
            network.route(prefixes.ipv4, uplink.ipv4, 0)?;
            network.route(prefixes.ipv6, uplink.ipv6, 0)
        })?;
        let advertisement = Advertisement::of(prefixes.ipv6);
        self.accesses.push(AccessNetwork {
            name: name.to_owned(),
            prefixes,
            gateways: prefixes.host(1),
            advertiser: Advertiser::start(&router, VISITORS, advertisement)?,
            router,
        });
        Ok(())
    }
}

/// Lays a cable between two nodes, with addresses at each end, both up.
pub fn plug_in(
    left: &Node,
    left_link: &str,
    left_addresses: &[IpNet],
    right: &Node,
    right_link: &str,
    right_addresses: &[IpNet],
) -> Result<(), LabError> {
    let namespace = clone_file(right.network_namespace())?;
    let (name, peer) = (left_link.to_owned(), right_link.to_owned());
    left.run(move |network| network.cable(&name, &namespace, &peer))?;
    for (node, link, addresses) in [
        (left, left_link, left_addresses),
        (right, right_link, right_addresses),
    ] {
        let (link, addresses) = (link.to_owned(), addresses.to_vec());
        node.run(move |network| {
            for address in addresses {
                network.address(&link, address)?;
            }
            network.up(&link)
        })?;
    }
    Ok(())
}

/// A machine that forwards, and does not judge sources unless told to.
fn router(name: &str) -> Result<Node, LabError> {
    let node = Node::new(name)?;
    node.sysctl("net/ipv4/ip_forward", "1")?;
    node.sysctl("net/ipv6/conf/all/forwarding", "1")?;
    node.sysctl("net/ipv4/conf/all/rp_filter", "0")?;
    node.sysctl("net/ipv4/conf/default/rp_filter", "0")?;
    Ok(node)
}

/// The core's end of the cable to a machine.
fn core_link(node: &Node) -> String {
    let link = format!("to-{}", node.name());
    link.get(..15).unwrap_or(&link).to_owned()
}

fn default_routes(network: &Network, through: Addresses) -> Result<(), LabError> {
    for family in Family::ALL {
        network.route(family.everywhere(), through.of(family), 0)?;
    }
    Ok(())
}

fn both(addresses: Prefixes) -> [IpNet; 2] {
    Family::ALL.map(|family| addresses.of(family))
}

/// The `number`th network of one of the lab's parts of 2001:db8::/32.
fn documentation(part: u16, number: u8) -> Result<Ipv6Net, LabError> {
    let number = u16::from(number);
    net6(Ipv6Addr::new(0x2001, 0xdb8, part, number, 0, 0, 0, 0), 64)
}

pub(crate) fn clone_file(file: &std::fs::File) -> Result<std::fs::File, LabError> {
    file.try_clone()
        .map_err(LabError::io("duplicate a file descriptor"))
}
