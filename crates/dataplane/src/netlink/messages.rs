//! Kernel messages, built by pure functions.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use mobility_protocol::Family;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, AddressScope, CacheInfo,
};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage};

use crate::{ADDRESS_LABEL, FWMARK, ROUTE_PROTOCOL};

/// The kernel's main routing table (`RT_TABLE_MAIN`).
pub(crate) const MAIN_TABLE: u32 = RouteHeader::RT_TABLE_MAIN as u32;

/// The name of the loopback device.
pub(crate) const LOOPBACK: &str = "lo";

/// The index of the loopback device in every network namespace (`LOOPBACK_IFINDEX`).
pub(crate) const LOOPBACK_INDEX: u32 = 1;

/// A route of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Route {
    pub(crate) table: u32,
    pub(crate) destination: IpNet,
    /// Of IPv6: for packets without a source only. (Rules of IPv6 don't match an unset source, but
    /// routes do.)
    pub(crate) unset_source: bool,
    /// Lower is preferred.
    pub(crate) metric: u32,
    pub(crate) kind: RouteKind,
}

/// What a route does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RouteKind {
    /// It leads to a device; sockets with no source yet take `source`.
    Device { index: u32, source: Option<IpAddr> },
    /// It ends with "host unreachable".
    Unreachable,
}

/// The metric of routes to a device: in IPv6 the kernel makes 1024 out of none.
pub(crate) const fn device_metric(family: Family) -> u32 {
    match family {
        Family::Ipv4 => 0,
        Family::Ipv6 => 1024,
    }
}

/// A rule of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rule {
    pub(crate) family: Family,
    /// Lower is asked first.
    pub(crate) preference: u32,
    pub(crate) selector: Selector,
    pub(crate) action: Action,
}

/// What a rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Selector {
    /// Every packet.
    All,
    /// Packets that carry [`FWMARK`].
    Marked,
    /// Packets of this host (not forwarded ones).
    Local,
    /// Packets of this host with this source; 0.0.0.0 is a source not chosen yet.
    LocalSource(IpAddr),
    /// Packets of this host with this source, and those for which the kernel would choose it where
    /// the rule leads (IPv6 only).
    LocalChoice(IpAddr),
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    /// Look into this table; go on with the next rule if nothing is there.
    Table(u32),
    /// Go on with the rule of this preference.
    Goto(u32),
    /// Go on with the next rule.
    Nop,
}

impl Route {
    pub(crate) fn family(&self) -> Family {
        Family::of(self.destination.addr())
    }

    pub(crate) fn message(&self) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header = RouteHeader {
            address_family: address_family(self.family()),
            destination_prefix_length: self.destination.prefix_len(),
            table: u8::try_from(self.table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC),
            protocol: RouteProtocol::Other(ROUTE_PROTOCOL),
            ..RouteHeader::default()
        };
        message.attributes = vec![
            RouteAttribute::Destination(route_address(self.destination.network())),
            RouteAttribute::Table(self.table),
            RouteAttribute::Priority(self.metric),
        ];
        if self.unset_source {
            message.header.source_prefix_length = 128;
            let unset = RouteAddress::Inet6(Ipv6Addr::UNSPECIFIED);
            message.attributes.push(RouteAttribute::Source(unset));
        }
        match self.kind {
            RouteKind::Device { index, source } => {
                message.header.kind = RouteType::Unicast;
                message.header.scope = match self.family() {
                    Family::Ipv4 => RouteScope::Link,
                    Family::Ipv6 => RouteScope::Universe,
                };
                message.attributes.push(RouteAttribute::Oif(index));
                let source = source.map(|source| RouteAttribute::PrefSource(route_address(source)));
                message.attributes.extend(source);
            }
            RouteKind::Unreachable => {
                message.header.kind = RouteType::Unreachable;
                message.header.scope = RouteScope::Universe;
            }
        }
        message
    }

    /// The route a message describes; `None` when no route of ours looks like that.
    pub(crate) fn from_message(message: &RouteMessage) -> Option<Self> {
        let mut destination = unspecified(family_of(message.header.address_family)?);
        let mut unset_source = false;
        let mut table = u32::from(message.header.table);
        let (mut metric, mut index, mut source) = (0, None, None);
        for attribute in &message.attributes {
            #[expect(
                clippy::wildcard_enum_match_arm,
                reason = "the enum is open; other attributes say nothing about our routes"
            )]
            match attribute {
                RouteAttribute::Destination(value) => destination = ip_address(value)?,
                RouteAttribute::Source(value) => {
                    unset_source = message.header.source_prefix_length == 128
                        && *value == RouteAddress::Inet6(Ipv6Addr::UNSPECIFIED);
                }
                RouteAttribute::Table(value) => table = *value,
                RouteAttribute::Priority(value) => metric = *value,
                RouteAttribute::Oif(value) => index = Some(*value),
                RouteAttribute::PrefSource(value) => source = Some(ip_address(value)?),
                RouteAttribute::Gateway(_) | RouteAttribute::MultiPath(_) => return None,
                _ => {}
            }
        }
        let kind = match (message.header.kind, index) {
            (RouteType::Unicast, Some(index)) => RouteKind::Device { index, source },
            (RouteType::Unreachable, _) => RouteKind::Unreachable,
            _ => return None,
        };
        if message.header.source_prefix_length != 0 && !unset_source {
            return None;
        }
        let length = message.header.destination_prefix_length;
        Some(Self {
            table,
            destination: IpNet::new(destination, length).ok()?,
            unset_source,
            metric,
            kind,
        })
    }
}

impl Rule {
    pub(crate) fn message(&self) -> RuleMessage {
        let mut message = RuleMessage::default();
        message.header.family = address_family(self.family);
        message.attributes = vec![
            RuleAttribute::Priority(self.preference),
            RuleAttribute::Protocol(RouteProtocol::Other(ROUTE_PROTOCOL)),
        ];
        match self.selector {
            Selector::All => {}
            Selector::Marked => {
                message.attributes.push(RuleAttribute::FwMark(FWMARK));
                message.attributes.push(RuleAttribute::FwMask(u32::MAX));
            }
            Selector::Local => message.attributes.push(of_this_host()),
            Selector::LocalSource(source) => {
                message.header.src_len = host_length(source);
                message.attributes.push(RuleAttribute::Source(source));
                message.attributes.push(of_this_host());
            }
            Selector::LocalChoice(source) => {
                message.header.src_len = host_length(source);
                message.header.flags = RuleFlags::from_bits_retain(FIND_SOURCE);
                message.attributes.push(RuleAttribute::Source(source));
                message.attributes.push(of_this_host());
            }
        }
        match self.action {
            Action::Table(table) => {
                message.header.action = RuleAction::ToTable;
                message.header.table = u8::try_from(table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
                message.attributes.push(RuleAttribute::Table(table));
            }
            Action::Goto(preference) => {
                message.header.action = RuleAction::Goto;
                message.attributes.push(RuleAttribute::Goto(preference));
            }
            Action::Nop => message.header.action = RuleAction::Nop,
        }
        message
    }

    /// The rule a message describes; `None` when no rule of ours looks like that.
    pub(crate) fn from_message(message: &RuleMessage) -> Option<Self> {
        let (mut preference, mut mark, mut source, mut goto) = (0, None, None, None);
        let mut table = u32::from(message.header.table);
        let mut local = false;
        for attribute in &message.attributes {
            #[expect(
                clippy::wildcard_enum_match_arm,
                reason = "the enum is open; other attributes say nothing about our rules"
            )]
            match attribute {
                RuleAttribute::Priority(value) => preference = *value,
                RuleAttribute::FwMark(value) => mark = Some(*value),
                RuleAttribute::Source(value) => source = Some(*value),
                RuleAttribute::Iifname(name) => local = name == LOOPBACK,
                RuleAttribute::Table(value) => table = *value,
                RuleAttribute::Goto(value) => goto = Some(*value),
                RuleAttribute::Destination(_) | RuleAttribute::Oifname(_) => return None,
                _ => {}
            }
        }
        let family = family_of(message.header.family)?;
        let length = message.header.src_len;
        let choice = message.header.flags.bits() & FIND_SOURCE != 0;
        let selector = match (mark, source, local) {
            (Some(FWMARK), None, false) => Selector::Marked,
            (None, Some(source), true) if length == host_length(source) => match choice {
                true => Selector::LocalChoice(source),
                false => Selector::LocalSource(source),
            },
            (None, None, true) => Selector::Local,
            (None, None, false) => Selector::All,
            _ => return None,
        };
        let action = match (message.header.action, goto) {
            (RuleAction::ToTable, None) => Action::Table(table),
            (RuleAction::Goto, Some(preference)) => Action::Goto(preference),
            (RuleAction::Nop, None) => Action::Nop,
            _ => return None,
        };
        Some(Self {
            family,
            preference,
            selector,
            action,
        })
    }
}

/// `FIB_RULE_FIND_SADDR`: a packet without a source matches as well, if the kernel would choose a
/// matching one.
const FIND_SOURCE: u32 = 0x1_0000;

/// The kernel routes what this host sends as if it came in by the loopback device.
fn of_this_host() -> RuleAttribute {
    RuleAttribute::Iifname(LOOPBACK.to_owned())
}

pub(crate) const fn address_family(family: Family) -> AddressFamily {
    match family {
        Family::Ipv4 => AddressFamily::Inet,
        Family::Ipv6 => AddressFamily::Inet6,
    }
}

fn family_of(family: AddressFamily) -> Option<Family> {
    if family == AddressFamily::Inet {
        Some(Family::Ipv4)
    } else if family == AddressFamily::Inet6 {
        Some(Family::Ipv6)
    } else {
        None
    }
}

pub(crate) fn route_address(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(address) => RouteAddress::Inet(address),
        IpAddr::V6(address) => RouteAddress::Inet6(address),
    }
}

/// The address in a route's attribute, if it is one of IP.
pub(crate) fn ip_address(address: &RouteAddress) -> Option<IpAddr> {
    if let RouteAddress::Inet(address) = address {
        Some(IpAddr::V4(*address))
    } else if let RouteAddress::Inet6(address) = address {
        Some(IpAddr::V6(*address))
    } else {
        None
    }
}

const fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::Ipv6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

/// The length of the prefix that is this address alone.
pub(crate) const fn host_length(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// All routes of ours of a family, in every table: under strict checking the kernel filters by
/// protocol.
pub(crate) fn route_dump(family: Family) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = address_family(family);
    message.header.protocol = RouteProtocol::Other(ROUTE_PROTOCOL);
    message
}

/// The main table of a family, as far as the kernel filters by table.
pub(crate) fn main_table_dump(family: Family) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = address_family(family);
    message.attributes = vec![RouteAttribute::Table(MAIN_TABLE)];
    message
}

/// All rules of a family.
pub(crate) fn rule_dump(family: Family) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = address_family(family);
    message
}

/// How the kernel would reach `destination` for a packet of ours.
pub(crate) fn route_question(destination: IpAddr) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = address_family(Family::of(destination));
    message.header.destination_prefix_length = host_length(destination);
    message.attributes = vec![
        RouteAttribute::Destination(route_address(destination)),
        RouteAttribute::Mark(FWMARK),
    ];
    message
}

pub(crate) fn link(index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message
}

pub(crate) fn link_by_name(name: &str) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
    message
}

pub(crate) fn link_up(index: u32, mtu: Option<u16>) -> LinkMessage {
    let mut message = link(index);
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    let mtu = mtu.map(|mtu| LinkAttribute::Mtu(u32::from(mtu)));
    message.attributes.extend(mtu);
    message
}

/// A home address on an interface.
///
/// IPv4: the scope keeps the kernel from choosing it by itself as the source of packets that leave by
/// a device without an address; a route may still name it.
///
/// IPv6: it is deprecated, so that any other address is chosen before it; nobody on the device's link
/// could have it too; and it brings no route.
pub(crate) fn home_address(address: IpAddr, interface: u32) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = address_family(Family::of(address));
    message.header.prefix_len = host_length(address);
    message.header.index = interface;
    message.attributes = vec![
        AddressAttribute::Local(address),
        AddressAttribute::Address(address),
    ];
    match address {
        IpAddr::V4(_) => {
            message.header.scope = AddressScope::Link;
            let label = AddressAttribute::Label(ADDRESS_LABEL.to_owned());
            message.attributes.push(label);
        }
        IpAddr::V6(_) => {
            let mut lifetimes = CacheInfo::default();
            lifetimes.ifa_valid = u32::MAX;
            message.attributes.extend([
                AddressAttribute::CacheInfo(lifetimes),
                AddressAttribute::Flags(AddressFlags::Nodad | AddressFlags::Noprefixroute),
                AddressAttribute::Protocol(AddressProtocol::Other(ROUTE_PROTOCOL)),
            ]);
        }
    }
    message
}

/// The addresses of a family on one interface, or on all.
pub(crate) fn address_dump(family: Family, interface: Option<u32>) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = address_family(family);
    message.header.index = interface.unwrap_or(0);
    message
}

/// Whether an address is ours: of IPv4 by its label, of IPv6 by its protocol, which Linux before 5.18
/// does not keep. There it is ours by standing on our device.
pub(crate) fn address_is_ours(message: &AddressMessage) -> bool {
    message.attributes.iter().any(|attribute| {
        matches!(attribute, AddressAttribute::Label(label) if label == ADDRESS_LABEL)
            || *attribute == AddressAttribute::Protocol(AddressProtocol::Other(ROUTE_PROTOCOL))
    })
}

/// Whether a route is ours.
pub(crate) fn route_is_ours(message: &RouteMessage) -> bool {
    message.header.protocol == RouteProtocol::Other(ROUTE_PROTOCOL)
}

/// Whether a rule is ours.
pub(crate) fn rule_is_ours(message: &RuleMessage) -> bool {
    message
        .attributes
        .contains(&RuleAttribute::Protocol(RouteProtocol::Other(
            ROUTE_PROTOCOL,
        )))
}

#[cfg(test)]
mod tests;
