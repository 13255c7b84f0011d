//! The network of one node, shaped over rtnetlink from the node's own thread.

mod routes;

use std::{
    fs::File,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

use futures::{StreamExt, TryStreamExt};
use ipnet::IpNet;
use nix::net::if_::if_nametoindex;
use rtnetlink::{
    AddressMessageBuilder, Handle, LinkBridge, LinkIp6Tnl, LinkIpIp, LinkUnspec, LinkVeth,
    MulticastGroup, new_multicast_connection,
    packet_route::{
        address::{AddressAttribute, AddressHeaderFlags, AddressMessage},
        link::{AfSpecInet6, AfSpecUnspec, LinkAttribute, LinkMessage, State},
    },
};
use tokio::runtime::Runtime;

use crate::{Family, LabError, stage::BOUND, wait::patience};

/// Verbs on one node's links, addresses and routes. Each returns when the kernel has acknowledged.
pub struct Network {
    runtime: Runtime,
    handle: Handle,
}

impl Network {
    pub(crate) fn open() -> Result<Network, LabError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(LabError::io("start the node's runtime"))?;
        let handle = {
            let _entered = runtime.enter();
            let (connection, handle, _events) =
                rtnetlink::new_connection().map_err(LabError::io("open a netlink socket"))?;
            runtime.spawn(connection);
            handle
        };
        Ok(Network { runtime, handle })
    }

    /// The index of a link.
    pub fn index(&self, link: &str) -> Result<u32, LabError> {
        if_nametoindex(link).map_err(LabError::errno(format!("find link {link}")))
    }

    /// Makes a cable: `name` here, its other end as `peer_name` in the network namespace `peer`. Both are down.
    pub fn cable(&self, name: &str, peer: &File, peer_name: &str) -> Result<(), LabError> {
        let what = || LabError::netlink(format!("make cable {name} - {peer_name}"));
        // A name that no node uses until the end is where it belongs.
        let under_way = "under-way";
        self.runtime.block_on(async {
            self.handle
                .link()
                .add(LinkVeth::new(name, under_way).build())
                .execute()
                .await
                .map_err(what())
        })?;
        let index = self.index(under_way)?;
        let message = LinkUnspec::new_with_index(index)
            .name(peer_name)
            .setns_by_fd(peer.as_raw_fd())
            .build();
        self.runtime.block_on(async {
            self.handle
                .link()
                .set(message)
                .execute()
                .await
                .map_err(what())
        })
    }

    /// Makes a bridge that forwards at once, and takes it up.
    pub fn bridge(&self, name: &str) -> Result<(), LabError> {
        self.runtime.block_on(async {
            self.handle
                .link()
                .add(LinkBridge::new(name).up().build())
                .execute()
                .await
                .map_err(LabError::netlink(format!("make bridge {name}")))
        })
    }

    /// Makes a device of the kernel's own tunnels over `family`, whose outer addresses come from routes.
    pub fn tunnel(&self, name: &str, family: Family) -> Result<(), LabError> {
        let message = match family {
            Family::Ipv4 => LinkIpIp::new(name).collect_metadata(true).build(),
            Family::Ipv6 => LinkIp6Tnl::new(name).collect_metadata(true).build(),
        };
        self.runtime.block_on(async {
            self.handle
                .link()
                .add(message)
                .execute()
                .await
                .map_err(LabError::netlink(format!(
                    "make tunnel {name} over {family}"
                )))
        })
    }

    /// Plugs a link into a bridge.
    pub fn plug(&self, link: &str, bridge: &str) -> Result<(), LabError> {
        let message = LinkUnspec::new_with_index(self.index(link)?)
            .controller(self.index(bridge)?)
            .build();
        self.set(message, format!("plug {link} into {bridge}"))
    }

    /// Takes a link up.
    pub fn up(&self, link: &str) -> Result<(), LabError> {
        self.set(
            LinkUnspec::new_with_index(self.index(link)?).up().build(),
            format!("take {link} up"),
        )
    }

    /// Waits until a link that was taken up carries packets: the kernel attends to that later, in a thread of its
    /// own, and drops without a word what is sent before.
    pub fn until_it_carries(&self, link: &str) -> Result<(), LabError> {
        let carries = LinkAttribute::OperState(State::Up);
        self.wait_for(&format!("{link} to carry packets"), BOUND, |network| {
            Ok(network.attributes(link)?.contains(&carries).then_some(()))
        })
    }

    /// Takes a link down.
    pub fn down(&self, link: &str) -> Result<(), LabError> {
        self.set(
            LinkUnspec::new_with_index(self.index(link)?).down().build(),
            format!("take {link} down"),
        )
    }

    /// Sets a link's MTU in octets.
    pub fn mtu(&self, link: &str, mtu: u32) -> Result<(), LabError> {
        self.set(
            LinkUnspec::new_with_index(self.index(link)?)
                .mtu(mtu)
                .build(),
            format!("set the mtu of {link}"),
        )
    }

    /// Adds an address with its prefix length, which can be used at once.
    pub fn address(&self, link: &str, address: impl Into<IpNet>) -> Result<(), LabError> {
        let (index, address) = (self.index(link)?, address.into());
        let (local, length) = (address.addr(), address.prefix_len());
        let mut add = self.handle.address().add(index, local, length);
        add.message_mut().header.flags |= AddressHeaderFlags::Nodad;
        self.block_on(add.execute(), format!("add {address} to {link}"))
    }

    /// Takes an address from a link.
    pub fn remove_address(&self, link: &str, address: impl Into<IpNet>) -> Result<(), LabError> {
        let (index, address) = (self.index(link)?, address.into());
        let message = match address {
            IpNet::V4(address) => AddressMessageBuilder::<Ipv4Addr>::new()
                .index(index)
                .address(address.addr(), address.prefix_len())
                .build(),
            IpNet::V6(address) => AddressMessageBuilder::<Ipv6Addr>::new()
                .index(index)
                .address(address.addr(), address.prefix_len())
                .build(),
        };
        self.block_on(
            self.handle.address().del(message).execute(),
            format!("remove {address} from {link}"),
        )
    }

    /// Every address of the node except loopback.
    pub fn addresses(&self) -> Result<Vec<LinkAddress>, LabError> {
        let dump = self.handle.address().get().execute();
        let messages: Vec<AddressMessage> = self.block_on(dump.try_collect(), "list addresses")?;
        Ok(messages.iter().filter_map(LinkAddress::of).collect())
    }

    /// A link's hardware address.
    pub fn hardware_address(&self, link: &str) -> Result<Vec<u8>, LabError> {
        self.attributes(link)?
            .into_iter()
            .find_map(|attribute| {
                if let LinkAttribute::Address(address) = attribute {
                    Some(address)
                } else {
                    None
                }
            })
            .ok_or_else(|| LabError::Other(format!("{link} has no hardware address")))
    }

    /// Sets the lower half of the addresses that a link makes of advertised prefixes.
    pub fn interface_identifier(&self, link: &str, identifier: Ipv6Addr) -> Result<(), LabError> {
        let message = LinkUnspec::new_with_index(self.index(link)?)
            .append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(
                vec![AfSpecInet6::Token(identifier)],
            )]))
            .build();
        self.set(message, format!("set the interface identifier of {link}"))
    }

    /// Looks whether `look` yields a value, again at each change of a link or an address.
    pub fn wait_for<T>(
        &self,
        what: &str,
        bound: Duration,
        look: impl Fn(&Network) -> Result<Option<T>, LabError>,
    ) -> Result<T, LabError> {
        let bound = bound * patience();
        let started = Instant::now();
        let (connection, _own_handle, mut events) = {
            let _entered = self.runtime.enter();
            new_multicast_connection(&[
                MulticastGroup::Link,
                MulticastGroup::Ipv4Ifaddr,
                MulticastGroup::Ipv6Ifaddr,
            ])
            .map_err(LabError::io("listen to the kernel's changes"))?
        };
        let listening = self.runtime.spawn(connection);
        let found = loop {
            match look(self) {
                Ok(Some(value)) => break Ok(value),
                Err(error) => break Err(error),
                Ok(None) => {}
            }
            let left = bound.saturating_sub(started.elapsed());
            let event = async { tokio::time::timeout(left, events.next()).await };
            if !matches!(self.runtime.block_on(event), Ok(Some(_))) {
                break Err(LabError::TimedOut {
                    what: what.to_owned(),
                    seconds: bound.as_secs_f64(),
                });
            }
        };
        listening.abort();
        found
    }

    /// The names of all links.
    pub fn links(&self) -> Result<Vec<String>, LabError> {
        let mut names = Vec::new();
        self.runtime.block_on(async {
            let mut dump = self.handle.link().get().execute();
            while let Some(message) = dump
                .try_next()
                .await
                .map_err(LabError::netlink("list links"))?
            {
                for attribute in message.attributes {
                    if let LinkAttribute::IfName(name) = attribute {
                        names.push(name);
                    }
                }
            }
            names.sort();
            Ok(names)
        })
    }

    fn attributes(&self, link: &str) -> Result<Vec<LinkAttribute>, LabError> {
        let index = self.index(link)?;
        let dump = self.handle.link().get().match_index(index).execute();
        let messages: Vec<LinkMessage> =
            self.block_on(dump.try_collect(), format!("look at {link}"))?;
        Ok(messages
            .into_iter()
            .flat_map(|message| message.attributes)
            .collect())
    }

    fn set(&self, message: LinkMessage, what: String) -> Result<(), LabError> {
        self.runtime.block_on(async {
            self.handle
                .link()
                .set(message)
                .execute()
                .await
                .map_err(LabError::netlink(what))
        })
    }

    fn block_on<T>(
        &self,
        asked: impl Future<Output = Result<T, rtnetlink::Error>>,
        what: impl Into<String>,
    ) -> Result<T, LabError> {
        self.runtime
            .block_on(asked)
            .map_err(LabError::netlink(what))
    }
}

/// An address of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkAddress {
    /// The link's index.
    pub link: u32,
    /// The address.
    pub address: IpAddr,
    /// Whether programs can use it: duplicate address detection has not to be waited for, and did not fail.
    pub usable: bool,
    /// Whether duplicate address detection is under way.
    pub tentative: bool,
    /// Whether its preferred lifetime is over.
    pub deprecated: bool,
}

impl LinkAddress {
    fn of(message: &AddressMessage) -> Option<LinkAddress> {
        let address = message.attributes.iter().find_map(|attribute| {
            // IPv6 has no local address beside this one unless there is a peer.
            if let AddressAttribute::Local(address) | AddressAttribute::Address(address) = attribute
            {
                Some(*address)
            } else {
                None
            }
        })?;
        let flags = message.header.flags;
        let has = |flag| flags.contains(flag);
        Some(LinkAddress {
            link: message.header.index,
            address,
            usable: !has(AddressHeaderFlags::Dadfailed)
                && (!has(AddressHeaderFlags::Tentative) || has(AddressHeaderFlags::Optimistic)),
            tentative: has(AddressHeaderFlags::Tentative),
            deprecated: has(AddressHeaderFlags::Deprecated),
        })
        .filter(|found| !found.address.is_loopback())
    }
}
