//! The network of one node, shaped over rtnetlink from the node's own thread.

use std::{fs::File, net::Ipv4Addr, os::fd::AsRawFd};

use futures::TryStreamExt;
use ipnet::Ipv4Net;
use nix::net::if_::if_nametoindex;
use rtnetlink::{
    AddressMessageBuilder, Handle, LinkBridge, LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_route::{
        AddressFamily,
        address::AddressAttribute,
        link::{LinkAttribute, State},
        route::{RouteMessage, RouteType},
        rule::RuleAction,
    },
};
use tokio::runtime::Runtime;

use crate::{LabError, stage::BOUND, wait::wait_for};

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
        let index = self.index(link)?;
        wait_for(&format!("{link} to carry packets"), BOUND, || {
            self.runtime.block_on(async {
                let message = self
                    .handle
                    .link()
                    .get()
                    .match_index(index)
                    .execute()
                    .try_next()
                    .await
                    .map_err(LabError::netlink(format!("look at {link}")))?;
                let carries = message.is_some_and(|message| {
                    message
                        .attributes
                        .contains(&LinkAttribute::OperState(State::Up))
                });
                Ok(carries.then_some(()))
            })
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

    /// Adds an address with its prefix length.
    pub fn address(&self, link: &str, address: Ipv4Net) -> Result<(), LabError> {
        let index = self.index(link)?;
        self.runtime.block_on(async {
            self.handle
                .address()
                .add(index, address.addr().into(), address.prefix_len())
                .execute()
                .await
                .map_err(LabError::netlink(format!("add {address} to {link}")))
        })
    }

    /// Takes an address from a link.
    pub fn remove_address(&self, link: &str, address: Ipv4Net) -> Result<(), LabError> {
        let message = AddressMessageBuilder::<Ipv4Addr>::new()
            .index(self.index(link)?)
            .address(address.addr(), address.prefix_len())
            .build();
        self.runtime.block_on(async {
            self.handle
                .address()
                .del(message)
                .execute()
                .await
                .map_err(LabError::netlink(format!("remove {address} from {link}")))
        })
    }

    /// Every IPv4 address of the node except loopback, with its link's index.
    pub fn addresses(&self) -> Result<Vec<(u32, Ipv4Addr)>, LabError> {
        let mut found = Vec::new();
        self.runtime.block_on(async {
            let mut dump = self.handle.address().get().execute();
            while let Some(message) = dump
                .try_next()
                .await
                .map_err(LabError::netlink("list addresses"))?
            {
                for attribute in &message.attributes {
                    if let AddressAttribute::Local(std::net::IpAddr::V4(address)) = attribute
                        && !address.is_loopback()
                    {
                        found.push((message.header.index, *address));
                    }
                }
            }
            Ok(found)
        })
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

    /// Adds a route through a gateway; `0.0.0.0/0` is the default route. A smaller metric is preferred.
    pub fn route(&self, to: Ipv4Net, gateway: Ipv4Addr, metric: u32) -> Result<(), LabError> {
        let message = via(to, gateway, metric);
        self.runtime.block_on(async {
            self.handle
                .route()
                .add(message)
                .execute()
                .await
                .map_err(LabError::netlink(format!("add route {to} via {gateway}")))
        })
    }

    /// Removes a route that [`Network::route`] added.
    pub fn remove_route(
        &self,
        to: Ipv4Net,
        gateway: Ipv4Addr,
        metric: u32,
    ) -> Result<(), LabError> {
        let message = via(to, gateway, metric);
        self.runtime.block_on(async {
            self.handle
                .route()
                .del(message)
                .execute()
                .await
                .map_err(LabError::netlink(format!(
                    "remove route {to} via {gateway}"
                )))
        })
    }

    /// Sends everything that comes in by `link` to `table`, whose only route is the default route to `device`.
    pub fn divert(&self, link: &str, table: u32, device: &str) -> Result<(), LabError> {
        let index = self.index(device)?;
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .output_interface(index)
            .table_id(table)
            .build();
        self.runtime.block_on(async {
            self.handle
                .route()
                .add(route)
                .replace()
                .execute()
                .await
                .map_err(LabError::netlink("add the detour"))?;
            self.handle
                .rule()
                .add()
                .v4()
                .input_interface(link)
                .table_id(table)
                .priority(100)
                .action(RuleAction::ToTable)
                .execute()
                .await
                .map_err(LabError::netlink(format!("divert {link}")))
        })
    }

    /// Every IPv4 route outside the local table, as the kernel's messages.
    pub fn routes(&self) -> Result<Vec<RouteMessage>, LabError> {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        self.runtime.block_on(async {
            let dump = self.handle.route().get(message).execute();
            let all: Vec<RouteMessage> = dump
                .try_collect()
                .await
                .map_err(LabError::netlink("list routes"))?;
            Ok(all
                .into_iter()
                .filter(|route| {
                    !matches!(route.header.kind, RouteType::Local | RouteType::Broadcast)
                })
                .collect())
        })
    }

    fn set(
        &self,
        message: rtnetlink::packet_route::link::LinkMessage,
        what: String,
    ) -> Result<(), LabError> {
        self.runtime.block_on(async {
            self.handle
                .link()
                .set(message)
                .execute()
                .await
                .map_err(LabError::netlink(what))
        })
    }
}

fn via(to: Ipv4Net, gateway: Ipv4Addr, metric: u32) -> RouteMessage {
    RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(to.network(), to.prefix_len())
        .gateway(gateway)
        .priority(metric)
        .build()
}
