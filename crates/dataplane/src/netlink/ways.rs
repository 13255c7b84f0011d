//! The ways of the kernel's own IPv6 tunnels to their other ends.
//!
//! The kernel takes the interface of an `ip6tnl` device for advice: where another one has a default
//! route of a better metric, the tunnel's packets leave there with this network's address, and are
//! lost if that network checks sources or leads nowhere. So each care-of address has a route of its
//! own to the home agent, the one its interface would take, in [`WAY_TABLE`].

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use mobility_protocol::{HomeAddress, Tunnel};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::Netlink;
use super::messages::route_question;
use super::monitor::is_no_route;
use super::requests::Verb;
use crate::error::Errors;
use crate::{Error, ROUTE_PROTOCOL};

/// The routing table of packets from a care-of address to a home agent.
pub const WAY_TABLE: u32 = 4342;

/// Everything of IPv6 has a metric; this is the kernel's own.
const METRIC: u32 = 1024;

/// The ways that are wanted, by home address.
#[derive(Debug, Default)]
pub(super) struct Ways(BTreeMap<HomeAddress, Way>);

/// From where to where, and by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Way {
    care_of: Ipv6Addr,
    agent: Ipv6Addr,
    interface: u32,
}

impl Ways {
    /// Keeps the packets of this tunnel on its interface from now on; of IPv4 they stay there anyway.
    /// Where the interface has no way to the home agent, the host's routes decide.
    pub(super) async fn lead(&mut self, netlink: &Netlink, tunnel: &Tunnel) -> Result<(), Error> {
        let endpoints = tunnel.endpoints;
        let (IpAddr::V6(care_of), IpAddr::V6(agent), Some(interface)) =
            (endpoints.local, endpoints.remote, endpoints.interface)
        else {
            return Ok(());
        };
        let way = Way {
            care_of,
            agent,
            interface,
        };
        let former = self.0.insert(tunnel.home_address, way);
        let led = netlink.lead(way).await;
        match former {
            Some(former) if former != way => netlink.unlead(former).await.and(led),
            Some(_) | None => led,
        }
    }

    /// Does without the way of this tunnel.
    pub(super) async fn forget(
        &mut self,
        netlink: &Netlink,
        home_address: HomeAddress,
    ) -> Result<(), Error> {
        match self.0.remove(&home_address) {
            Some(way) => netlink.unlead(way).await,
            None => Ok(()),
        }
    }

    /// Brings all ways to what the interfaces would take today: routers come and go.
    pub(super) async fn refresh(&self, netlink: &Netlink) -> Result<(), Error> {
        let mut errors = Errors::default();
        for way in self.0.values() {
            errors.note(netlink.lead(*way).await);
        }
        errors.into_result()
    }
}

impl Netlink {
    async fn lead(&self, way: Way) -> Result<(), Error> {
        let mut question = route_question(way.agent.into());
        question.attributes.push(RouteAttribute::Oif(way.interface));
        let attempt = format!("ask for the way to {}", way.agent);
        let question = RouteNetlinkMessage::GetRoute(question);
        let answers = match self.0.ask(&attempt, question, Verb::Get).await {
            Ok(answers) => answers,
            // The interface leads nowhere.
            Err(error) if is_no_route(&error) || error.is_absent() => {
                return self.unlead(way).await;
            }
            Err(error) => return Err(error),
        };
        let found = answers.iter().find_map(|answer| {
            if let RouteNetlinkMessage::NewRoute(route) = answer {
                gateway(route, way.interface)
            } else {
                None
            }
        });
        let Some(gateway) = found else {
            return self.unlead(way).await;
        };
        let attempt = format!("lead packets to {} by their interface", way.agent);
        let route = RouteNetlinkMessage::NewRoute(way.route(gateway));
        self.0.ask(&attempt, route, Verb::Replace).await.map(drop)
    }

    async fn unlead(&self, way: Way) -> Result<(), Error> {
        self.delete_route(way.route(None)).await
    }
}

/// By which router the kernel would go, if it would go by this interface at all.
fn gateway(route: &RouteMessage, interface: u32) -> Option<Option<Ipv6Addr>> {
    let there = route.header.kind == RouteType::Unicast
        && route.attributes.contains(&RouteAttribute::Oif(interface));
    let router = route.attributes.iter().find_map(|attribute| {
        if let RouteAttribute::Gateway(RouteAddress::Inet6(router)) = attribute {
            Some(*router)
        } else {
            None
        }
    });
    there.then_some(router)
}

impl Way {
    fn route(&self, gateway: Option<Ipv6Addr>) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header = RouteHeader {
            address_family: AddressFamily::Inet6,
            destination_prefix_length: 128,
            source_prefix_length: 128,
            table: RouteHeader::RT_TABLE_UNSPEC,
            protocol: RouteProtocol::Other(ROUTE_PROTOCOL),
            scope: RouteScope::Universe,
            kind: RouteType::Unicast,
            ..RouteHeader::default()
        };
        message.attributes = vec![
            RouteAttribute::Destination(RouteAddress::Inet6(self.agent)),
            RouteAttribute::Source(RouteAddress::Inet6(self.care_of)),
            RouteAttribute::Table(WAY_TABLE),
            RouteAttribute::Priority(METRIC),
            RouteAttribute::Oif(self.interface),
        ];
        let gateway = gateway.map(|router| RouteAttribute::Gateway(RouteAddress::Inet6(router)));
        message.attributes.extend(gateway);
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_by_the_interface_itself_is_a_way() {
        let router: Ipv6Addr = "fe80::1".parse().unwrap();
        let way = Way {
            care_of: "2001:db8:1::a".parse().unwrap(),
            agent: "2001:db8:3::2".parse().unwrap(),
            interface: 7,
        };
        assert_eq!(gateway(&way.route(Some(router)), 7), Some(Some(router)));
        assert_eq!(gateway(&way.route(None), 7), Some(None), "on the link");
        assert_eq!(gateway(&way.route(Some(router)), 8), None);
        let mut unreachable = way.route(None);
        unreachable.header.kind = RouteType::Unreachable;
        assert_eq!(gateway(&unreachable, 7), None);
    }
}
