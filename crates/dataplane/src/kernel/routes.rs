//! The home agent's routes: one per home address, which wraps packets to its care-of address, and
//! one per pool that says "unreachable".

use std::net::Ipv4Addr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, Parseable};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteIpTunnel, RouteIpTunnelFlags,
    RouteLwEnCapType, RouteLwTunnelEncap, RouteMessage, RouteProtocol, RouteScope, RouteType,
};

use super::channel::Channel;
use super::device::TTL;
use super::message::Message;
use crate::netlink::messages::{MAIN_TABLE, Route, route_dump, route_is_ours};
use crate::{Error, ROUTE_PROTOCOL};

/// The way to a home address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wrap {
    pub(super) home: Ipv4Addr,
    /// The outer source, which also speaks when this host answers the home address itself.
    pub(super) local: Ipv4Addr,
    /// The outer destination.
    pub(super) remote: Ipv4Addr,
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
        let wrapping = [
            RouteIpTunnel::Id(0),
            RouteIpTunnel::Destination(self.remote),
            RouteIpTunnel::Source(self.local),
            RouteIpTunnel::Ttl(TTL),
            RouteIpTunnel::Tos(TOS_INHERIT),
            RouteIpTunnel::Flags(RouteIpTunnelFlags::from_bits_retain(DONT_FRAGMENT)),
        ];
        let mut message = RouteMessage::default();
        message.header = RouteHeader {
            address_family: AddressFamily::Inet,
            destination_prefix_length: 32,
            table: RouteHeader::RT_TABLE_MAIN,
            protocol: RouteProtocol::Other(ROUTE_PROTOCOL),
            scope: RouteScope::Link,
            kind: RouteType::Unicast,
            ..RouteHeader::default()
        };
        message.attributes = vec![
            RouteAttribute::Destination(RouteAddress::Inet(self.home)),
            RouteAttribute::Table(MAIN_TABLE),
            // The kernel finds equal routes by a hash over the metric and other things, but not over
            // the wrapping: with one metric for all, the thousandth route would be compared with the
            // thousand before it.
            RouteAttribute::Priority(u32::from(self.home)),
            RouteAttribute::Oif(device),
            RouteAttribute::PrefSource(RouteAddress::Inet(self.local)),
            RouteAttribute::EncapType(RouteLwEnCapType::Ip),
            RouteAttribute::Encap(wrapping.map(RouteLwTunnelEncap::Ip).to_vec()),
        ];
        message
    }

    /// The route a message describes, and its device; `None` when it does not wrap.
    fn from_message(message: &RouteMessage) -> Option<(Self, u32)> {
        let (mut home, mut index, mut local, mut remote) = (None, None, None, None);
        for attribute in &message.attributes {
            if let RouteAttribute::Destination(RouteAddress::Inet(address)) = attribute {
                home = Some(*address);
            } else if let RouteAttribute::Oif(device) = attribute {
                index = Some(*device);
            } else if let RouteAttribute::Encap(wrapping) = attribute {
                for part in wrapping {
                    if let RouteLwTunnelEncap::Ip(RouteIpTunnel::Source(address)) = part {
                        local = Some(*address);
                    } else if let RouteLwTunnelEncap::Ip(RouteIpTunnel::Destination(address)) = part
                    {
                        remote = Some(*address);
                    }
                }
            }
        }
        let wrap = Self {
            home: home?,
            local: local?,
            remote: remote?,
        };
        (message.header.destination_prefix_length == 32).then_some((wrap, index?))
    }
}

/// Everything of ours in the main table.
pub(super) fn list(channel: &mut Channel) -> Result<Present, Error> {
    let mut question = route_dump(mobility_protocol::Family::Ipv4);
    question.header.table = RouteHeader::RT_TABLE_MAIN;
    let question = Message::route(&RouteNetlinkMessage::GetRoute(question), 0);
    let mut present = Present::default();
    channel.dump("list the routes", &question, |answer| {
        let Ok(message) = RouteMessage::parse(answer) else {
            return;
        };
        if !route_is_ours(&message) || message.header.table != RouteHeader::RT_TABLE_MAIN {
            return;
        }
        match Wrap::from_message(&message) {
            Some(wrap) => present.wraps.push(wrap),
            None => present.others.push(message),
        }
    })?;
    Ok(present)
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
