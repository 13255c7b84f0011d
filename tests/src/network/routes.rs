//! Routes and routing rules.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures::TryStreamExt;
use ipnet::{IpNet, Ipv6Net};
use rtnetlink::{
    RouteMessageBuilder, RuleAddRequest,
    packet_route::{
        AddressFamily,
        route::{RouteMessage, RouteScope, RouteType},
        rule::{RuleAction, RuleMessage},
    },
};

use super::Network;
use crate::{Family, LabError};

/// The table that routes are in unless told otherwise.
const MAIN: u32 = 254;

/// The table of what is the machine's own.
const LOCAL: u32 = 255;

/// Where a network that leads nowhere loses what its visitors send.
const NOWHERE: u32 = 50;

/// Where the delay line takes what it delays.
const DETOUR: u32 = 100;

/// Where a router looks whether a visitor's source is one of its network.
const INGRESS: u32 = 200;

impl Network {
    /// Adds a route through a gateway; a smaller metric is preferred.
    pub fn route(
        &self,
        to: impl Into<IpNet>,
        gateway: impl Into<IpAddr>,
        metric: u32,
    ) -> Result<(), LabError> {
        let (to, gateway) = (to.into(), gateway.into());
        let message = via(to, gateway, metric)?;
        self.block_on(
            self.handle.route().add(message).execute(),
            format!("add route {to} via {gateway}"),
        )
    }

    /// Removes a route that [`Network::route`] added.
    pub fn remove_route(
        &self,
        to: impl Into<IpNet>,
        gateway: impl Into<IpAddr>,
        metric: u32,
    ) -> Result<(), LabError> {
        let (to, gateway) = (to.into(), gateway.into());
        let message = via(to, gateway, metric)?;
        self.block_on(
            self.handle.route().del(message).execute(),
            format!("remove route {to} via {gateway}"),
        )
    }

    /// Makes every address of `prefix` one of this machine's.
    pub fn own_prefix(&self, prefix: IpNet) -> Result<(), LabError> {
        let what = format!("own {prefix}");
        let wrong = |error| LabError::Other(format!("{prefix}: {error}"));
        let message = RouteMessageBuilder::<IpAddr>::new()
            .destination_prefix(prefix.network(), prefix.prefix_len())
            .map_err(wrong)?
            .output_interface(self.index("lo")?)
            .table_id(LOCAL)
            .kind(RouteType::Local)
            .scope(RouteScope::Host)
            .build();
        self.block_on(self.handle.route().add(message).execute(), what)
    }

    /// Sends everything that comes in by `link` to `table`, whose only route is the default route to `device`.
    pub fn divert(&self, link: &str, table: u32, device: &str) -> Result<(), LabError> {
        let index = self.index(device)?;
        let routes = [
            RouteMessageBuilder::<Ipv4Addr>::new()
                .output_interface(index)
                .table_id(table)
                .build(),
            RouteMessageBuilder::<Ipv6Addr>::new()
                .output_interface(index)
                .table_id(table)
                .build(),
        ];
        for route in routes {
            self.block_on(
                self.handle.route().add(route).replace().execute(),
                "add the detour",
            )?;
        }
        for family in Family::ALL {
            let rule = self
                .rule(link, family, DETOUR)
                .table_id(table)
                .action(RuleAction::ToTable);
            self.block_on(rule.execute(), format!("divert {link}"))?;
        }
        Ok(())
    }

    /// Forwards of the IPv6 packets that come in by `link` only those with a source of `prefix`. For IPv4 there is
    /// `rp_filter`.
    pub fn forward_only_from(&self, link: &str, prefix: Ipv6Net) -> Result<(), LabError> {
        let what = || format!("filter what comes in by {link}");
        let own = self
            .handle
            .rule()
            .add()
            .v6()
            .input_interface(link)
            .source_prefix(prefix.network(), prefix.prefix_len())
            .priority(INGRESS)
            .table_id(MAIN)
            .action(RuleAction::ToTable);
        self.block_on(own.execute(), what())?;
        let foreign = self
            .rule(link, Family::Ipv6, INGRESS + 1)
            .action(RuleAction::Blackhole);
        self.block_on(foreign.execute(), what())
    }

    /// Loses every packet that came in by `link` and is for another machine, or forwards them again.
    pub fn lose_what_comes_by(&self, link: &str, lose: bool) -> Result<(), LabError> {
        for family in Family::ALL {
            let mut rule = self
                .rule(link, family, NOWHERE)
                .action(RuleAction::Blackhole);
            let message: RuleMessage = rule.message_mut().clone();
            let what = format!("lose what comes by {link}: {lose}");
            if lose {
                self.block_on(rule.execute(), what)?;
            } else {
                self.block_on(self.handle.rule().del(message).execute(), what)?;
            }
        }
        Ok(())
    }

    /// Every route outside the local tables, as the kernel's messages.
    pub fn routes(&self) -> Result<Vec<RouteMessage>, LabError> {
        let mut found = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            let dump = self.handle.route().get(message).execute();
            let all: Vec<RouteMessage> = self.block_on(dump.try_collect(), "list routes")?;
            found.extend(all.into_iter().filter(|route| {
                !matches!(
                    route.header.kind,
                    RouteType::Local
                        | RouteType::Broadcast
                        | RouteType::Anycast
                        | RouteType::Multicast
                )
            }));
        }
        Ok(found)
    }

    /// A rule of a family about what comes in by `link`.
    fn rule(&self, link: &str, family: Family, priority: u32) -> RuleAddRequest {
        let mut rule = self
            .handle
            .rule()
            .add()
            .input_interface(link)
            .priority(priority);
        rule.message_mut().header.family = match family {
            Family::Ipv4 => AddressFamily::Inet,
            Family::Ipv6 => AddressFamily::Inet6,
        };
        rule
    }
}

fn via(to: IpNet, gateway: IpAddr, metric: u32) -> Result<RouteMessage, LabError> {
    let wrong = |error| LabError::Other(format!("route {to} via {gateway}: {error}"));
    Ok(RouteMessageBuilder::<IpAddr>::new()
        .destination_prefix(to.network(), to.prefix_len())
        .map_err(wrong)?
        .gateway(gateway)
        .map_err(wrong)?
        .priority(metric)
        .build())
}
