//! Kernel messages, built by pure functions.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};

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
    pub(crate) destination: Ipv4Net,
    /// Lower is preferred.
    pub(crate) metric: u32,
    pub(crate) kind: RouteKind,
}

/// What a route does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RouteKind {
    /// It leads to a device; sockets with no source yet take `source`.
    Device {
        index: u32,
        source: Option<Ipv4Addr>,
    },
    /// It ends with "host unreachable".
    Unreachable,
}

/// A rule of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rule {
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
    /// Packets of this host (not forwarded ones) with this source; 0.0.0.0 is a source not chosen yet.
    LocalSource(Ipv4Addr),
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
    pub(crate) fn message(&self) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header = RouteHeader {
            address_family: AddressFamily::Inet,
            destination_prefix_length: self.destination.prefix_len(),
            table: u8::try_from(self.table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC),
            protocol: RouteProtocol::Other(ROUTE_PROTOCOL),
            ..RouteHeader::default()
        };
        message.attributes = vec![
            RouteAttribute::Destination(RouteAddress::Inet(self.destination.network())),
            RouteAttribute::Table(self.table),
            RouteAttribute::Priority(self.metric),
        ];
        match self.kind {
            RouteKind::Device { index, source } => {
                message.header.kind = RouteType::Unicast;
                message.header.scope = RouteScope::Link;
                message.attributes.push(RouteAttribute::Oif(index));
                let source =
                    source.map(|source| RouteAttribute::PrefSource(RouteAddress::Inet(source)));
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
        let mut destination = Ipv4Addr::UNSPECIFIED;
        let mut table = u32::from(message.header.table);
        let (mut metric, mut index, mut source) = (0, None, None);
        for attribute in &message.attributes {
            #[expect(
                clippy::wildcard_enum_match_arm,
                reason = "the enum is open; other attributes say nothing about our routes"
            )]
            match attribute {
                RouteAttribute::Destination(RouteAddress::Inet(value)) => destination = *value,
                RouteAttribute::Table(value) => table = *value,
                RouteAttribute::Priority(value) => metric = *value,
                RouteAttribute::Oif(value) => index = Some(*value),
                RouteAttribute::PrefSource(RouteAddress::Inet(value)) => source = Some(*value),
                RouteAttribute::Gateway(_) | RouteAttribute::MultiPath(_) => return None,
                _ => {}
            }
        }
        let kind = match (message.header.kind, index) {
            (RouteType::Unicast, Some(index)) => RouteKind::Device { index, source },
            (RouteType::Unreachable, _) => RouteKind::Unreachable,
            _ => return None,
        };
        let length = message.header.destination_prefix_length;
        Some(Self {
            table,
            destination: Ipv4Net::new(destination, length).ok()?,
            metric,
            kind,
        })
    }
}

impl Rule {
    pub(crate) fn message(&self) -> RuleMessage {
        let mut message = RuleMessage::default();
        message.header.family = AddressFamily::Inet;
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
            Selector::LocalSource(source) => {
                message.header.src_len = 32;
                message
                    .attributes
                    .push(RuleAttribute::Source(IpAddr::V4(source)));
                // The kernel routes what this host sends as if it came in by the loopback device.
                message
                    .attributes
                    .push(RuleAttribute::Iifname(LOOPBACK.to_owned()));
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
                RuleAttribute::Source(IpAddr::V4(value)) => source = Some(*value),
                RuleAttribute::Iifname(name) => local = name == LOOPBACK,
                RuleAttribute::Table(value) => table = *value,
                RuleAttribute::Goto(value) => goto = Some(*value),
                RuleAttribute::Destination(_) | RuleAttribute::Oifname(_) => return None,
                _ => {}
            }
        }
        let selector = match (mark, source, message.header.src_len, local) {
            (Some(FWMARK), None, 0, false) => Selector::Marked,
            (None, Some(source), 32, true) => Selector::LocalSource(source),
            (None, None, 0, false) => Selector::All,
            _ => return None,
        };
        let action = match (message.header.action, goto) {
            (RuleAction::ToTable, None) => Action::Table(table),
            (RuleAction::Goto, Some(preference)) => Action::Goto(preference),
            (RuleAction::Nop, None) => Action::Nop,
            _ => return None,
        };
        Some(Self {
            preference,
            selector,
            action,
        })
    }
}

/// All IPv4 routes of ours, in every table: under strict checking the kernel filters by protocol.
pub(crate) fn route_dump() -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.protocol = RouteProtocol::Other(ROUTE_PROTOCOL);
    message
}

/// All IPv4 rules.
pub(crate) fn rule_dump() -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = AddressFamily::Inet;
    message
}

/// How the kernel would reach `destination` for a packet of ours.
pub(crate) fn route_question(destination: Ipv4Addr) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.destination_prefix_length = 32;
    message.attributes = vec![
        RouteAttribute::Destination(RouteAddress::Inet(destination)),
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

pub(crate) fn link_up(index: u32, mtu: u16) -> LinkMessage {
    let mut message = link(index);
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message.attributes = vec![LinkAttribute::Mtu(u32::from(mtu))];
    message
}

/// A home address on the loopback device. The scope keeps the kernel from choosing it by itself as
/// the source of packets that leave by a device without an address; a route may still name it.
pub(crate) fn home_address(address: Ipv4Addr) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = 32;
    message.header.scope = AddressScope::Link;
    message.header.index = LOOPBACK_INDEX;
    message.attributes = vec![
        AddressAttribute::Local(IpAddr::V4(address)),
        AddressAttribute::Address(IpAddr::V4(address)),
        AddressAttribute::Label(ADDRESS_LABEL.to_owned()),
    ];
    message
}

pub(crate) fn address_dump(interface: Option<u32>) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.index = interface.unwrap_or(0);
    message
}

/// Whether an address is ours.
pub(crate) fn address_is_ours(message: &AddressMessage) -> bool {
    message.attributes.iter().any(
        |attribute| matches!(attribute, AddressAttribute::Label(label) if label == ADDRESS_LABEL),
    )
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
