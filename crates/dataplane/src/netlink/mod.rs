//! The kernel's tables: addresses, routes and rules as idempotent verbs, and its reports about
//! links, addresses, routes and sockets.
//!
//! Requests and reports use different sockets, since a flood of reports would drop the
//! acknowledgements of requests. Each request is acknowledged and has an end in time.

mod events;
pub(crate) mod forwarding;
pub mod home_agent;
pub(crate) mod messages;
pub mod mobile_node;
pub mod monitor;
mod reconcile;
mod repair;
mod requests;
mod socket_messages;
pub mod sockets;
pub(crate) mod sysctl;
mod ways;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;
use mobility_protocol::Family;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressFlags};
use netlink_packet_route::link::{LinkAttribute, LinkFlags};
use netlink_sys::protocols::NETLINK_ROUTE;

pub(crate) use events::{HEADER_LENGTH, messages as messages_of};
pub(crate) use repair::Repair;
pub(crate) use requests::refusal;

use crate::Error;
use crate::userspace::ipv6_mtu;
use requests::{Requests, Verb};
use sysctl::Setting;

/// A socket for questions and changes in the network namespace it was opened in. Clones share it.
#[derive(Debug, Clone)]
pub struct Netlink(Arc<Requests<RouteNetlinkMessage>>);

/// A network device as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its MTU in octets.
    pub mtu: u32,
    /// It is administratively up.
    pub up: bool,
    /// It is up, its lower layer can carry packets, and it waits for no authentication.
    pub carrier: bool,
}

/// An address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocalAddress {
    /// The address.
    pub address: IpAddr,
    /// The network that it is in, or that begins at the far end of a point-to-point interface.
    pub network: IpNet,
    /// The index of its interface.
    pub interface: u32,
    /// It can be used: duplicate address detection is not under way, unless the address is used
    /// meanwhile (RFC 4429), and did not fail.
    pub usable: bool,
    /// It is a home address that we added.
    pub ours: bool,
}

impl Netlink {
    /// Opens the socket. Needs a tokio runtime, whose tasks answer the requests.
    ///
    /// # Errors
    /// [`Error::Netlink`] when the kernel gives no netlink socket.
    pub fn open() -> Result<Self, Error> {
        Ok(Self(Arc::new(Requests::open(
            NETLINK_ROUTE,
            "open the route socket",
        )?)))
    }

    /// The device of this name; `None` when there is none.
    ///
    /// # Errors
    /// [`Error::Netlink`], [`Error::Timeout`].
    pub async fn link_by_name(&self, name: &str) -> Result<Option<Link>, Error> {
        let question = RouteNetlinkMessage::GetLink(messages::link_by_name(name));
        self.link(&format!("look up the device {name}"), question)
            .await
    }

    /// The device of this index; `None` when there is none.
    ///
    /// # Errors
    /// [`Error::Netlink`], [`Error::Timeout`].
    pub async fn link_by_index(&self, index: u32) -> Result<Option<Link>, Error> {
        let question = RouteNetlinkMessage::GetLink(messages::link(index));
        self.link(&format!("look up the device {index}"), question)
            .await
    }

    /// The addresses of one interface, or of all.
    ///
    /// # Errors
    /// [`Error::Netlink`], [`Error::Timeout`].
    pub async fn addresses(&self, interface: Option<u32>) -> Result<Vec<LocalAddress>, Error> {
        let mut addresses = Vec::new();
        for family in families() {
            let question =
                RouteNetlinkMessage::GetAddress(messages::address_dump(family, interface));
            let answers = self
                .0
                .ask("list the addresses", question, Verb::Dump)
                .await?;
            addresses.extend(answers.into_iter().filter_map(local_address));
        }
        addresses.retain(|found| interface.is_none_or(|wanted| wanted == found.interface));
        Ok(addresses)
    }

    async fn link(
        &self,
        attempt: &str,
        question: RouteNetlinkMessage,
    ) -> Result<Option<Link>, Error> {
        match self.0.ask(attempt, question, Verb::Get).await {
            Ok(answers) => Ok(answers.into_iter().find_map(link)),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn bring_up(&self, link: &Link, mtu: u16) -> Result<(), Error> {
        let change = RouteNetlinkMessage::SetLink(messages::link_up(link.index, Some(mtu)));
        let attempt = format!("bring up {}", link.name);
        self.0.ask(&attempt, change, Verb::Change).await?;
        let ipv6 = Setting::ipv6_device(&link.name, "mtu");
        // Not while it carries IPv4 alone.
        match Setting::ipv6_device(&link.name, "disable_ipv6").is("0") {
            // Going up has made it the device's own.
            true => ipv6.set(&ipv6_mtu(mtu).to_string()).map(drop),
            false => Ok(()),
        }
    }

    /// Sets a device up whose sizes are somebody else's business.
    async fn bring_back_up(&self, link: &Link) -> Result<(), Error> {
        let change = RouteNetlinkMessage::SetLink(messages::link_up(link.index, None));
        let attempt = format!("bring up {}", link.name);
        self.0.ask(&attempt, change, Verb::Change).await.map(drop)
    }

    async fn add_home_address(&self, address: IpAddr, interface: u32) -> Result<(), Error> {
        let change = RouteNetlinkMessage::NewAddress(messages::home_address(address, interface));
        self.ensure(&format!("add the address {address}"), change)
            .await
    }

    async fn remove_home_address(&self, address: IpAddr, interface: u32) -> Result<(), Error> {
        let change = RouteNetlinkMessage::DelAddress(messages::home_address(address, interface));
        self.ensure_gone(&format!("remove the address {address}"), change)
            .await
    }

    /// Makes a change that may have been made already.
    async fn ensure(&self, attempt: &str, change: RouteNetlinkMessage) -> Result<(), Error> {
        match self.0.ask(attempt, change, Verb::Create).await {
            Err(error) if error.is_present() => Ok(()),
            other => other.map(drop),
        }
    }

    /// Removes what may have gone already.
    async fn ensure_gone(&self, attempt: &str, change: RouteNetlinkMessage) -> Result<(), Error> {
        match self.0.ask(attempt, change, Verb::Change).await {
            Err(error) if error.is_absent() => Ok(()),
            other => other.map(drop),
        }
    }
}

/// The families of IP that this system has.
pub(crate) fn families() -> impl Iterator<Item = Family> {
    let ipv6 = has_ipv6().then_some(Family::Ipv6);
    [Family::Ipv4].into_iter().chain(ipv6)
}

/// Whether this system has IPv6 at all.
pub(crate) fn has_ipv6() -> bool {
    Path::new("/proc/sys/net/ipv6").exists()
}

fn link(message: RouteNetlinkMessage) -> Option<Link> {
    let RouteNetlinkMessage::NewLink(message) = message else {
        return None;
    };
    let flags = message.header.flags;
    let (mut name, mut mtu) = (None, 0);
    for attribute in message.attributes {
        if let LinkAttribute::IfName(value) = attribute {
            name = Some(value);
        } else if let LinkAttribute::Mtu(value) = attribute {
            mtu = value;
        }
    }
    Some(Link {
        index: message.header.index,
        name: name?,
        mtu,
        up: flags.contains(LinkFlags::Up),
        // Not IFF_RUNNING, which the kernel updates up to a second later.
        carrier: flags.contains(LinkFlags::Up | LinkFlags::LowerUp)
            && !flags.contains(LinkFlags::Dormant),
    })
}

fn local_address(message: RouteNetlinkMessage) -> Option<LocalAddress> {
    let RouteNetlinkMessage::NewAddress(message) = message else {
        return None;
    };
    let mut flags = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
    let ours = messages::address_is_ours(&message);
    let (mut local, mut address) = (None, None);
    for attribute in message.attributes {
        if let AddressAttribute::Local(value) = attribute {
            local = Some(value);
        } else if let AddressAttribute::Address(value) = attribute {
            address = Some(value);
        } else if let AddressAttribute::Flags(value) = attribute {
            flags = value;
        }
    }
    let network = IpNet::new(address.or(local)?, message.header.prefix_len).ok()?;
    Some(LocalAddress {
        // The other is the far end of a point-to-point interface, if there is one.
        address: local.or(address)?,
        network: network.trunc(),
        interface: message.header.index,
        usable: !flags.contains(AddressFlags::Dadfailed)
            && (!flags.contains(AddressFlags::Tentative)
                || flags.contains(AddressFlags::Optimistic)),
        ours,
    })
}
