//! What must hold between the parts of chad's configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use mobility_protocol::Identity;

use super::super::document::{Located, Report};
use super::SecurityMode;
use super::parse::LocatedNode;

pub(super) fn correspondents_are_not_lent(
    report: &Report<'_>,
    correspondents: &[Located<IpNet>],
    pool: &[Located<IpNet>],
) {
    for correspondent in correspondents {
        if let Some(prefix) = pool
            .iter()
            .find(|prefix| overlap(&prefix.value, &correspondent.value))
        {
            let message = format!(
                "correspondent {} overlaps the pool's {}",
                correspondent.value, prefix.value
            );
            let help = "serve and lend different addresses; a home agent that served everybody would be a VPN";
            report.error(&correspondent.span, &message, help);
        }
    }
}

pub(super) fn listen_address_in_pool(
    report: &Report<'_>,
    listen: &Located<IpAddr>,
    pool: &[Located<IpNet>],
) {
    let address = listen.value;
    if let Some(prefix) = pool.iter().find(|prefix| prefix.value.contains(&address)) {
        if prefix.value == IpNet::from(address) {
            let message = format!("the pool's {address} is the listen address, and never lent");
            report.error(&prefix.span, &message, "write addresses of their own");
            return;
        }
        let message = format!(
            "the listen address {address} is inside the pool's {}",
            prefix.value
        );
        report.warn(
            &listen.span,
            &message,
            "it is never lent; a pool of its own is easier to route",
        );
    }
}

/// What a fixed address may be.
pub(super) struct Available<'a> {
    pub(super) pool: &'a [Located<IpNet>],
    pub(super) exclude: &'a [IpNet],
    pub(super) listen: &'a [Located<IpAddr>],
}

impl Available<'_> {
    /// Why this address can't be lent.
    fn obstacle(&self, address: IpAddr) -> Option<&'static str> {
        let Some(prefix) = self
            .pool
            .iter()
            .find(|prefix| prefix.value.contains(&address))
        else {
            return Some("is outside the pool");
        };
        if let Some(reserved) = reserved(&prefix.value, address) {
            Some(reserved)
        } else if self
            .exclude
            .iter()
            .any(|exclude| exclude.contains(&address))
        {
            Some("is excluded from the pool")
        } else if self.listen.iter().any(|own| own.value == address) {
            Some("is this home agent's own")
        } else {
            None
        }
    }
}

/// Why no host may have this address of the prefix: RFC 919 and, except for two-address and
/// one-address prefixes, RFC 4291, section 2.6.1 (RFC 3021, RFC 6164).
fn reserved(prefix: &IpNet, address: IpAddr) -> Option<&'static str> {
    match prefix {
        IpNet::V4(net) if net.prefix_len() < 31 => (address == net.network()
            || address == net.broadcast())
        .then_some("is the network or broadcast address of its prefix"),
        IpNet::V6(net) if net.prefix_len() < 127 => (address == net.network())
            .then_some("is the Subnet-Router anycast address of its prefix"),
        IpNet::V4(_) | IpNet::V6(_) => None,
    }
}

pub(super) fn fixed_addresses(
    report: &Report<'_>,
    addresses: &[&Located<IpAddr>],
    available: &Available<'_>,
) {
    for address in addresses {
        if let Some(obstacle) = available.obstacle(address.value) {
            let alike =
                |prefix: &&Located<IpNet>| prefix.value.addr().is_ipv4() == address.value.is_ipv4();
            let example = available
                .pool
                .iter()
                .find(alike)
                .map_or_else(|| "the pool".to_owned(), |prefix| prefix.value.to_string());
            let message = format!("the fixed address {} {obstacle}", address.value);
            let help = format!("choose another one in {example}, or leave `address` out");
            report.error(&address.span, &message, help);
        }
    }
}

pub(super) fn modes_and_mobile_nodes(
    report: &Report<'_>,
    mode: &Located<SecurityMode>,
    legacy_open: &Located<bool>,
    nobody: bool,
) {
    if mode.value == SecurityMode::Open {
        return;
    }
    if nobody {
        let help = "add a [[mobile-node]] with identity, spi and key-file for each, or write mode = \"open\"";
        report.error(
            &mode.span,
            "nobody could register: there is no [[mobile-node]]",
            help,
        );
    }
    if legacy_open.value {
        let help = "authenticated mode accepts no unprotected request; leave `legacy-open` out";
        report.warn(&legacy_open.span, "`legacy-open` has no effect here", help);
    }
}

pub(super) fn no_overlaps(report: &Report<'_>, prefixes: &[Located<IpNet>], help: &str) {
    for (index, prefix) in prefixes.iter().enumerate() {
        if let Some(other) = prefixes
            .iter()
            .take(index)
            .find(|other| overlap(&other.value, &prefix.value))
        {
            let message = format!("{} overlaps {} above", prefix.value, other.value);
            report.error(&prefix.span, &message, help);
        }
    }
}

fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}

/// What one mobile node may have twice, and two may not have at all. A key is changed by giving it a
/// second SPI for a while.
pub(super) fn keys_and_addresses(report: &Report<'_>, nodes: &[LocatedNode]) {
    let mut spis = BTreeSet::new();
    let mut addresses: BTreeMap<&Identity, Option<IpAddr>> = BTreeMap::new();
    let mut owners: BTreeMap<IpAddr, &Identity> = BTreeMap::new();
    for node in nodes {
        let Some(Located {
            value: identity,
            span,
        }) = &node.identity
        else {
            continue;
        };
        let address = node.address.as_ref().map(|address| address.value);
        let place = node.address.as_ref().map_or(span, |address| &address.span);
        if let (Some(known), Some(place)) = (&node.node, &node.spi)
            && !spis.insert((identity, known.association.spi))
        {
            let spi = known.association.spi;
            let message = format!("{identity} appears twice with the SPI {spi}");
            report.error(place, &message, "another SPI for each key of a mobile node");
        }
        let before = *addresses.entry(identity).or_insert(address);
        if before != address {
            let message = format!("{identity} appears twice, and not with the same address");
            let help = match before {
                Some(before) => format!("write here, too: address = \"{before}\""),
                None => "write it in each [[mobile-node]] of this identity, or in none".to_owned(),
            };
            report.error(place, &message, help);
        }
        if let Some(address) = address
            && *owners.entry(address).or_insert(identity) != identity
        {
            let message = format!("{address} appears twice");
            report.error(place, &message, "one mobile node for each fixed address");
        }
    }
}

pub(super) fn excluded(report: &Report<'_>, exclude: &[Located<IpNet>], pool: &[Located<IpNet>]) {
    for one in exclude {
        if pool
            .iter()
            .all(|prefix| !overlap(&prefix.value, &one.value))
        {
            let message = format!("`exclude`: {} isn't in the pool anyway", one.value);
            report.warn(&one.span, &message, "leave it out, or correct it");
        }
    }
    for prefix in pool {
        if let Some(all) = exclude.iter().find(|one| one.value.contains(&prefix.value)) {
            let message = format!(
                "`exclude`: {} leaves nothing of {} to lend",
                all.value, prefix.value
            );
            report.error(
                &all.span,
                &message,
                "exclude less, or leave that prefix out of the pool",
            );
        }
    }
}
