//! The mobile node's machine, and how it is carried from network to network.

use std::{
    net::Ipv4Addr,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use ipnet::Ipv4Net;

use crate::{
    AccessNetwork, LabError, Node,
    internet::{EVERYWHERE, clone_file, host, net},
};

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
        name_server: Ipv4Addr,
    ) -> Result<Laptop, LabError> {
        let node = Node::new(name)?;
        // As Debian's systemd sets it.
        node.sysctl("net/ipv4/conf/all/rp_filter", "0")?;
        node.sysctl("net/ipv4/conf/default/rp_filter", "2")?;
        for interface in Self::INTERFACES {
            let namespace = clone_file(node.network_namespace())?;
            let port = port(number, interface);
            air.run(move |network| network.cable(&port, &namespace, interface))?;
            node.sysctl(&format!("net/ipv4/conf/{interface}/rp_filter"), "2")?;
        }
        node.run(|network| {
            for interface in Self::INTERFACES {
                network.up(interface)?;
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

    /// The laptop's address in a network.
    #[must_use]
    pub fn address_in(&self, network: &AccessNetwork) -> Ipv4Addr {
        host(network.prefix, 10 + self.number)
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

    /// Plugs `interface` into `network` with this laptop's address there and a default route that is preferred
    /// to all earlier ones.
    pub fn arrive(&self, network: &AccessNetwork, interface: &str) -> Result<Instant, LabError> {
        self.arrive_as(network, interface, self.address_in(network))
    }

    /// As [`Laptop::arrive`], with an address of the caller's choice.
    pub fn arrive_as(
        &self,
        network: &AccessNetwork,
        interface: &str,
        address: Ipv4Addr,
    ) -> Result<Instant, LabError> {
        let (port, bridge) = (port(self.number, interface), network.name.clone());
        self.air.run(move |air| {
            air.plug(&port, &bridge)?;
            air.up(&port)?;
            air.until_it_carries(&port)
        })?;
        let mut place = self.place();
        place.moves += 1;
        let attachment = Attachment {
            interface: interface.to_owned(),
            address: net(address, network.prefix.prefix_len())?,
            gateway: network.gateway,
            metric: 10_000_u32.saturating_sub(place.moves),
        };
        let (interface, address) = (attachment.interface.clone(), attachment.address);
        let (gateway, metric) = (attachment.gateway, attachment.metric);
        place.attached.push(attachment);
        drop(place);
        self.node.run(move |network| {
            network.until_it_carries(&interface)?;
            network.address(&interface, address)?;
            network.route(EVERYWHERE, gateway, metric)?;
            Ok(Instant::now())
        })
    }

    /// Unplugs `interface`: the carrier goes, then, as a DHCP client would see to, address and route.
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
            let _gone_already =
                network.remove_route(EVERYWHERE, attachment.gateway, attachment.metric);
            network.remove_address(&attachment.interface, attachment.address)
        })
    }

    /// Leaves every network.
    pub fn leave_all(&self) -> Result<(), LabError> {
        for interface in Self::INTERFACES {
            self.leave(interface)?;
        }
        Ok(())
    }

    /// Cuts the air without telling the laptop: carrier, address and route stay, nothing passes.
    pub fn cut_silently(&self, network: &AccessNetwork, cut: bool) -> Result<(), LabError> {
        let port = format!("{}-router", network.name);
        self.air
            .run(move |air| if cut { air.down(&port) } else { air.up(&port) })
    }

    fn place(&self) -> std::sync::MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The other end of a laptop's interface, in the air.
fn port(number: u8, interface: &str) -> String {
    format!("l{number}-{interface}")
}
