//! The mobile node's machine, and how it is carried from network to network.
//!
//! Its IPv4 address and default route come from the lab, as from a DHCP client. IPv6 is the kernel's own business:
//! duplicate address detection, then addresses and a default route by what the router advertises. What goes beyond
//! the kernel is as NetworkManager does it: IPv6 is off on an interface without a network, and the default route by
//! the network joined last is preferred.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use ipnet::Ipv4Net;

use crate::{
    AccessNetwork, Family, LabError, Node, family::net, internet::clone_file, network::LinkAddress,
};

/// Detection of duplicates takes up to two seconds, as the kernel begins it after up to one.
const CONFIGURED: Duration = Duration::from_secs(8);

/// The MTU of a network that tells of none, in octets.
const ETHERNET: u32 = 1_500;

/// A laptop with two interfaces.
pub struct Laptop {
    node: Node,
    air: Node,
    number: u8,
    place: Mutex<Place>,
}

#[derive(Default)]
struct Place {
    attached: Vec<Attachment>,
    /// The interface of the latest visit to each network, by the network's name.
    visited: BTreeMap<String, String>,
    moves: u32,
}

struct Attachment {
    interface: String,
    address: Ipv4Net,
    gateway: Ipv4Addr,
    metric: u32,
}

impl Laptop {
    /// The interfaces, in the order of [`Laptop::move_to`]'s preference.
    pub const INTERFACES: [&str; 2] = ["wlan0", "eth0"];

    pub(crate) fn new(
        name: &str,
        number: u8,
        air: Node,
        name_server: IpAddr,
    ) -> Result<Laptop, LabError> {
        let node = Node::new(name)?;
        node.sysctl("net/ipv6/conf/default/accept_dad", "1")?;
        // As Debian's systemd sets it.
        node.sysctl("net/ipv4/conf/all/rp_filter", "0")?;
        node.sysctl("net/ipv4/conf/default/rp_filter", "2")?;
        for interface in Self::INTERFACES {
            let namespace = clone_file(node.network_namespace())?;
            let port = port(number, interface);
            air.run(move |network| network.cable(&port, &namespace, interface))?;
            node.sysctl(&format!("net/ipv4/conf/{interface}/rp_filter"), "2")?;
            node.sysctl(&format!("net/ipv6/conf/{interface}/disable_ipv6"), "1")?;
        }
        node.run(move |network| {
            for interface in Self::INTERFACES {
                network.up(interface)?;
                let identifier = Ipv6Addr::from(identifier(number, interface));
                network.interface_identifier(interface, identifier)?;
            }
            Ok(())
        })?;
        node.write_resolv_conf(&format!("nameserver {name_server}\n"))?;
        Ok(Laptop {
            node,
            air,
            number,
            place: Mutex::new(Place::default()),
        })
    }

    /// The machine.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The laptop's address in a network, of the story's family.
    #[must_use]
    pub fn address_in(&self, network: &AccessNetwork) -> IpAddr {
        self.address_of(network, Family::of_this_story())
    }

    /// The laptop's address of a family in a network. The IPv6 one is that of the interface with which it is there, or
    /// was last, and stays the same at each visit of that interface.
    #[must_use]
    pub fn address_of(&self, network: &AccessNetwork, family: Family) -> IpAddr {
        match family {
            Family::Ipv4 => network.prefixes.host(host_number(self.number)).ipv4.into(),
            Family::Ipv6 => {
                let place = self.place();
                let interface = place.visited.get(&network.name);
                let interface = interface.map_or(Self::INTERFACES[0], String::as_str);
                let prefix = u128::from(network.prefixes.ipv6.network());
                Ipv6Addr::from(prefix | identifier(self.number, interface)).into()
            }
        }
    }

    /// Every address that the laptop has now, usable or not, except loopback.
    pub fn addresses(&self) -> Result<Vec<LinkAddress>, LabError> {
        self.node.run(|network| network.addresses())
    }

    /// From now on uses IPv6 addresses while their detection of duplicates is under way (RFC 4429), or not.
    pub fn be_optimistic(&self, optimistic: bool) -> Result<(), LabError> {
        let value = if optimistic { "1" } else { "0" };
        self.ipv6_sysctl("optimistic_dad", value)?;
        self.ipv6_sysctl("use_optimistic", value)
    }

    /// From now on makes, and prefers, temporary IPv6 addresses beside the others (RFC 8981), or not.
    pub fn use_temporary_addresses(&self, temporary: bool) -> Result<(), LabError> {
        self.ipv6_sysctl("use_tempaddr", if temporary { "2" } else { "0" })
    }

    /// Break before make: leaves every network it is in, then arrives on `wlan0` in `network`. The instant is
    /// the one at which the new address became usable.
    pub fn move_to(&self, network: &AccessNetwork) -> Result<Instant, LabError> {
        self.leave_all()?;
        self.arrive(network, Self::INTERFACES[0])
    }

    /// Make before break, first half: arrives in `network` on the idle interface, with a better default route than
    /// before. The old network still works until [`Laptop::leave`]. Gives the old interface and the instant.
    pub fn also_join(&self, network: &AccessNetwork) -> Result<(String, Instant), LabError> {
        let (old, idle) = {
            let place = self.place();
            let old = place
                .attached
                .last()
                .map(|attachment| attachment.interface.clone())
                .unwrap_or_default();
            let idle = Self::INTERFACES
                .into_iter()
                .find(|interface| *interface != old)
                .unwrap_or("wlan0");
            (old, idle)
        };
        Ok((old, self.arrive(network, idle)?))
    }

    /// Plugs `interface` into `network`, with default routes that are preferred to all earlier ones, and waits until
    /// the laptop's address of the story's family can be used. Gives the instant from which it could.
    pub fn arrive(&self, network: &AccessNetwork, interface: &str) -> Result<Instant, LabError> {
        let usable = self.plug_in(network, interface)?;
        match Family::of_this_story() {
            Family::Ipv4 => Ok(usable),
            Family::Ipv6 => self.wait_for_address(network, Family::Ipv6, CONFIGURED),
        }
    }

    /// As [`Laptop::arrive`], without waiting for IPv6. Gives the instant from which the IPv4 address could be used.
    pub fn plug_in(&self, network: &AccessNetwork, interface: &str) -> Result<Instant, LabError> {
        let attachment = {
            let mut place = self.place();
            place.moves += 1;
            place
                .visited
                .insert(network.name.clone(), interface.to_owned());
            Attachment {
                interface: interface.to_owned(),
                address: net(
                    network.prefixes.host(host_number(self.number)).ipv4,
                    network.prefixes.ipv4.prefix_len(),
                )?,
                gateway: network.gateways.ipv4,
                metric: 10_000_u32.saturating_sub(place.moves),
            }
        };
        let (address, gateway, metric) =
            (attachment.address, attachment.gateway, attachment.metric);
        self.place().attached.push(attachment);
        let settings = format!("net/ipv6/conf/{interface}");
        self.node
            .sysctl(&format!("{settings}/ra_defrtr_metric"), &metric.to_string())?;
        self.node.sysctl(&format!("{settings}/disable_ipv6"), "0")?;
        let (port, bridge) = (port(self.number, interface), network.name.clone());
        self.air.run(move |air| {
            air.plug(&port, &bridge)?;
            air.up(&port)?;
            air.until_it_carries(&port)
        })?;
        let interface = interface.to_owned();
        // What a DHCP server tells holds for IPv6, too, which is to hear it from its own router.
        let mtu = match Family::of_this_story() {
            Family::Ipv4 => network.advertiser.mtu().unwrap_or(ETHERNET),
            Family::Ipv6 => ETHERNET,
        };
        let usable = self.node.run(move |network| {
            network.until_it_carries(&interface)?;
            network.mtu(&interface, mtu)?;
            network.address(&interface, address)?;
            network.route(Family::Ipv4.everywhere(), gateway, metric)?;
            Ok(Instant::now())
        })?;
        // Not before: the kernel forgets addresses that it makes before it knows of the carrier.
        network.advertiser.visitor_came();
        Ok(usable)
    }

    /// Waits until the laptop's address of a family in `network` can be used. Gives the instant.
    pub fn wait_for_address(
        &self,
        network: &AccessNetwork,
        family: Family,
        bound: Duration,
    ) -> Result<Instant, LabError> {
        let awaited = self.address_of(network, family);
        let what = format!("{awaited} to be usable");
        self.node.run(move |network| {
            network.wait_for(&what, bound, |network| {
                let usable = network
                    .addresses()?
                    .iter()
                    .any(|found| found.address == awaited && found.usable);
                Ok(usable.then(Instant::now))
            })
        })
    }

    /// Unplugs `interface`: the carrier goes, then, as a network manager would see to, addresses and routes.
    pub fn leave(&self, interface: &str) -> Result<(), LabError> {
        let mut place = self.place();
        let Some(index) = place
            .attached
            .iter()
            .position(|attachment| attachment.interface == interface)
        else {
            return Ok(());
        };
        let attachment = place.attached.remove(index);
        drop(place);
        let port = port(self.number, interface);
        self.air.run(move |air| air.down(&port))?;
        self.node.run(move |network| {
            // The kernel takes the routes of an address along where it can; the explicit removal may find none.
            let _gone_already = network.remove_route(
                Family::Ipv4.everywhere(),
                attachment.gateway,
                attachment.metric,
            );
            network.remove_address(&attachment.interface, attachment.address)
        })?;
        self.node
            .sysctl(&format!("net/ipv6/conf/{interface}/disable_ipv6"), "1")
    }

    /// Leaves every network.
    pub fn leave_all(&self) -> Result<(), LabError> {
        for interface in Self::INTERFACES {
            self.leave(interface)?;
        }
        Ok(())
    }

    fn ipv6_sysctl(&self, name: &str, value: &str) -> Result<(), LabError> {
        for interface in Self::INTERFACES {
            self.node
                .sysctl(&format!("net/ipv6/conf/{interface}/{name}"), value)?;
        }
        Ok(())
    }

    fn place(&self) -> std::sync::MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The other end of a laptop's interface, in the air.
fn port(number: u8, interface: &str) -> String {
    format!("l{number}-{interface}")
}

/// The lower half of the addresses that a laptop's interface makes of advertised prefixes. One for each: to neighbours
/// an address that reappears on the other interface would for a while be the old one's.
fn identifier(number: u8, interface: &str) -> u128 {
    let interface = Laptop::INTERFACES
        .iter()
        .position(|known| *known == interface);
    let interface = interface.unwrap_or_default() as u128;
    (interface << 8) | u128::from(host_number(number))
}

/// The laptop's place in the networks it visits.
fn host_number(number: u8) -> u8 {
    10 + number
}
