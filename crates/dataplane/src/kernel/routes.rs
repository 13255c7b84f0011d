//! The home agent's routes: one per home address, which wraps packets to its care-of address, and
//! one per pool that says "unreachable".

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mobility_protocol::Family;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, Parseable};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAttribute, RouteFlags, RouteHeader, RouteIp6Tunnel, RouteIpTunnel, RouteIpTunnelFlags,
    RouteLwEnCapType, RouteLwTunnelEncap, RouteMessage, RouteProtocol, RouteScope, RouteType,
};

use super::channel::Channel;
use super::device::TTL;
use super::message::Message;
use crate::netlink::messages::{
    MAIN_TABLE, Route, address_family, device_metric, host_length, ip_address, route_address,
    route_dump, route_is_ours,
};
use crate::{Error, ROUTE_PROTOCOL};

/// The way to a home address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrap {
    Ipv4(Way<Ipv4Addr>),
    Ipv6(Way<Ipv6Addr>),
}

/// A way in one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way<A> {
    home: A,
    /// The outer source, which also speaks when this host answers the home address itself.
    local: A,
    /// The outer destination.
    remote: A,
}

/// Routes of ours in the main table.
#[derive(Debug, Default)]
pub(super) struct Present {
    /// Those that wrap, through any device.
    pub(super) wraps: Vec<(Wrap, u32)>,
    /// All others.
    pub(super) others: Vec<RouteMessage>,
}

/// `TUNNEL_DONT_FRAGMENT`: outer packets are not fragmented on their way, and what the path can't
/// carry is told to the inner sender.
const DONT_FRAGMENT: u16 = 0x0100;

/// The service and congestion fields are those of the inner packet (RFC 6040).
const TOS_INHERIT: u8 = 1;

impl Wrap {
    /// To this home address between these outer addresses; `None` unless all are of one family.
    pub(super) const fn new(home: IpAddr, local: IpAddr, remote: IpAddr) -> Option<Self> {
        match (home, local, remote) {
            (IpAddr::V4(home), IpAddr::V4(local), IpAddr::V4(remote)) => Some(Self::Ipv4(Way {
                home,
                local,
                remote,
            })),
            (IpAddr::V6(home), IpAddr::V6(local), IpAddr::V6(remote)) => Some(Self::Ipv6(Way {
                home,
                local,
                remote,
            })),
            _ => None,
        }
    }

    pub(super) const fn home(&self) -> IpAddr {
        match self {
            Self::Ipv4(way) => IpAddr::V4(way.home),
            Self::Ipv6(way) => IpAddr::V6(way.home),
        }
    }

    /// The outer source.
    pub(super) const fn local(&self) -> IpAddr {
        match self {
            Self::Ipv4(way) => IpAddr::V4(way.local),
            Self::Ipv6(way) => IpAddr::V6(way.local),
        }
    }

    /// The outer destination: the care-of address.
    pub(super) const fn remote(&self) -> IpAddr {
        match self {
            Self::Ipv4(way) => IpAddr::V4(way.remote),
            Self::Ipv6(way) => IpAddr::V6(way.remote),
        }
    }

    pub(super) const fn family(&self) -> Family {
        Family::of(self.home())
    }

    /// Leads packets there from now on, in place of the former way.
    pub(super) fn install(&self, device: u32) -> Message {
        let message = RouteNetlinkMessage::NewRoute(self.message(device));
        Message::route(&message, NLM_F_CREATE | NLM_F_REPLACE)
    }

    /// Takes the way back.
    pub(super) fn remove(&self, device: u32) -> Message {
        let mut message = self.message(device);
        message.attributes.retain(|attribute| {
            matches!(
                attribute,
                RouteAttribute::Destination(_)
                    | RouteAttribute::Table(_)
                    | RouteAttribute::Priority(_)
                    | RouteAttribute::Oif(_)
            )
        });
        Message::route(&RouteNetlinkMessage::DelRoute(message), 0)
    }

    fn message(&self, device: u32) -> RouteMessage {
        let home = self.home();
        let mut message = RouteMessage::default();
        message.header = RouteHeader {
            address_family: address_family(self.family()),
            destination_prefix_length: host_length(home),
            table: RouteHeader::RT_TABLE_MAIN,
            protocol: RouteProtocol::Other(ROUTE_PROTOCOL),
            scope: match self.family() {
                Family::Ipv4 => RouteScope::Link,
                Family::Ipv6 => RouteScope::Universe,
            },
            kind: RouteType::Unicast,
            ..RouteHeader::default()
        };
        let (kind, wrapping) = self.wrapping();
        message.attributes = vec![
            RouteAttribute::Destination(route_address(home)),
            RouteAttribute::Table(MAIN_TABLE),
            RouteAttribute::Priority(self.metric()),
            RouteAttribute::Oif(device),
            RouteAttribute::PrefSource(route_address(self.local())),
            RouteAttribute::EncapType(kind),
            RouteAttribute::Encap(wrapping),
        ];
        message
    }

    fn wrapping(&self) -> (RouteLwEnCapType, Vec<RouteLwTunnelEncap>) {
        match self {
            Self::Ipv4(way) => {
                let parts = [
                    RouteIpTunnel::Id(0),
                    RouteIpTunnel::Destination(way.remote),
                    RouteIpTunnel::Source(way.local),
                    RouteIpTunnel::Ttl(TTL),
                    RouteIpTunnel::Tos(TOS_INHERIT),
                    RouteIpTunnel::Flags(RouteIpTunnelFlags::from_bits_retain(DONT_FRAGMENT)),
                ];
                let parts = parts.map(RouteLwTunnelEncap::Ip).to_vec();
                (RouteLwEnCapType::Ip, parts)
            }
            Self::Ipv6(way) => {
                let parts = [
                    RouteIp6Tunnel::Id(0),
                    RouteIp6Tunnel::Destination(way.remote),
                    RouteIp6Tunnel::Source(way.local),
                    RouteIp6Tunnel::Hoplimit(TTL),
                    // The kernel can't inherit the service field here; it does the congestion field.
                    RouteIp6Tunnel::Tc(0),
                ];
                let parts = parts.map(RouteLwTunnelEncap::Ip6).to_vec();
                (RouteLwEnCapType::Ip6, parts)
            }
        }
    }

    /// The kernel finds equal routes of IPv4 by a hash over the metric and other things, but not over
    /// the wrapping: with one metric for all, the thousandth route would be compared with the
    /// thousand before it. Those of IPv6 stand in a tree.
    fn metric(&self) -> u32 {
        match self {
            Self::Ipv4(way) => u32::from(way.home),
            Self::Ipv6(_) => device_metric(Family::Ipv6),
        }
    }

    /// The route a message describes, and its device; `None` when it does not wrap.
    fn from_message(message: &RouteMessage) -> Option<(Self, u32)> {
        let (mut home, mut index, mut local, mut remote) = (None, None, None, None);
        for attribute in &message.attributes {
            if let RouteAttribute::Destination(address) = attribute {
                home = ip_address(address);
            } else if let RouteAttribute::Oif(device) = attribute {
                index = Some(*device);
            } else if let RouteAttribute::Encap(wrapping) = attribute {
                for part in wrapping {
                    if let RouteLwTunnelEncap::Ip(RouteIpTunnel::Source(address)) = part {
                        local = Some(IpAddr::from(*address));
                    } else if let RouteLwTunnelEncap::Ip(RouteIpTunnel::Destination(address)) = part
                    {
                        remote = Some(IpAddr::from(*address));
                    } else if let RouteLwTunnelEncap::Ip6(RouteIp6Tunnel::Source(address)) = part {
                        local = Some(IpAddr::from(*address));
                    } else if let RouteLwTunnelEncap::Ip6(RouteIp6Tunnel::Destination(address)) =
                        part
                    {
                        remote = Some(IpAddr::from(*address));
                    }
                }
            }
        }
        let home = home?;
        let wrap = Self::new(home, local?, remote?)?;
        (message.header.destination_prefix_length == host_length(home)).then_some((wrap, index?))
    }
}

/// Everything of ours in the main table, of both families.
pub(super) fn list(channel: &mut Channel) -> Result<Present, Error> {
    let mut present = list_family(channel, Family::Ipv4)?;
    let ipv6 = list_family(channel, Family::Ipv6)?;
    present.wraps.extend(ipv6.wraps);
    present.others.extend(ipv6.others);
    Ok(present)
}

fn list_family(channel: &mut Channel, family: Family) -> Result<Present, Error> {
    let mut question = route_dump(family);
    question.header.table = RouteHeader::RT_TABLE_MAIN;
    let question = Message::route(&RouteNetlinkMessage::GetRoute(question), 0);
    channel.dump(
        "list the routes",
        &question,
        |present: &mut Present, answer| {
            let Ok(message) = RouteMessage::parse(answer) else {
                return;
            };
            // A kernel without IPv6 lists the routes of IPv4 instead.
            if !route_is_ours(&message)
                || message.header.table != RouteHeader::RT_TABLE_MAIN
                || message.header.address_family != address_family(family)
            {
                return;
            }
            match Wrap::from_message(&message) {
                Some(wrap) => present.wraps.push(wrap),
                None => present.others.push(message),
            }
        },
    )
}

/// Adds a route that must not be there.
pub(super) fn add(route: &Route) -> Message {
    let message = RouteNetlinkMessage::NewRoute(route.message());
    Message::route(&message, NLM_F_CREATE | NLM_F_EXCL)
}

/// Removes a route of the former list.
pub(super) fn remove(message: &RouteMessage) -> Message {
    let mut message = message.clone();
    message.header.flags = RouteFlags::empty();
    message.attributes.retain(|attribute| {
        matches!(
            attribute,
            RouteAttribute::Destination(_)
                | RouteAttribute::Table(_)
                | RouteAttribute::Priority(_)
                | RouteAttribute::Oif(_)
        )
    });
    Message::route(&RouteNetlinkMessage::DelRoute(message), 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::HEADER_LENGTH;

    fn wrap(home: &str, local: &str, remote: &str) -> Option<Wrap> {
        let address = |text: &str| text.parse().unwrap();
        Wrap::new(address(home), address(local), address(remote))
    }

    fn wraps() -> [Wrap; 2] {
        [
            wrap("10.128.0.9", "192.0.2.1", "203.0.113.10").unwrap(),
            wrap("2001:db8:4::9", "2001:db8::1", "2001:db8:1::10").unwrap(),
        ]
    }

    /// As it goes to the kernel, without the netlink header.
    fn written(mut message: Message) -> Vec<u8> {
        let mut octets = message.octets(1, 0).to_vec();
        octets.split_off(HEADER_LENGTH)
    }

    #[test]
    fn a_route_is_read_as_it_was_written() {
        for wrap in wraps() {
            let message = RouteMessage::parse(&written(wrap.install(7))).unwrap();
            assert!(route_is_ours(&message));
            assert_eq!(Wrap::from_message(&message), Some((wrap, 7)));
        }
    }

    #[test]
    fn wrapping_is_the_same_as_in_user_space() {
        let [ipv4, ipv6] = wraps().map(|wrap| written(wrap.install(7)));
        // TTL 64, TOS inherited, "don't fragment" in network order (`LWTUNNEL_IP_TTL`, `_TOS`, `_FLAGS`).
        let in_ipv4 = [&[5, 0, 4, 0, 64][..], &[5, 0, 5, 0, 1], &[6, 0, 6, 0, 1, 0]];
        // Hop limit 64 (`LWTUNNEL_IP6_HOPLIMIT`).
        let in_ipv6 = [&[5, 0, 4, 0, 64][..]];
        for (octets, attributes) in [(ipv4, &in_ipv4[..]), (ipv6, &in_ipv6[..])] {
            for attribute in attributes {
                let found = octets
                    .windows(attribute.len())
                    .any(|octets| octets == *attribute);
                assert!(found, "{attribute:?} in {octets:?}");
            }
        }
    }

    #[test]
    fn each_home_address_of_ipv4_has_a_metric_of_its_own() {
        let metric = |home| {
            wrap(home, "192.0.2.1", "203.0.113.10")
                .map(|wrap| wrap.metric())
                .unwrap()
        };
        assert_eq!(metric("10.0.0.1"), 0x0a00_0001);
        assert_ne!(metric("10.0.0.1"), metric("10.0.0.2"));
    }

    #[test]
    fn a_way_is_of_one_family() {
        assert_eq!(wrap("10.128.0.9", "2001:db8::1", "2001:db8:1::10"), None);
        assert_eq!(wrap("2001:db8:4::9", "192.0.2.1", "203.0.113.10"), None);
        assert_eq!(wrap("10.128.0.9", "192.0.2.1", "2001:db8:1::10"), None);
    }
}
