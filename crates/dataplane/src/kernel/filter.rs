//! The mobile node's rules in the packet filter: what comes out of a tunnel is an answer of one of
//! its correspondents to its home address, or a router's report about packets of ours.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::device::GROUP;
use super::elements::{Element, Elements, Set};
use crate::Error;
use crate::nft::{self, Purpose};

const TABLE: &str = "mn-agent";
const TABLE_IN_FULL: &str = "inet mn-agent";

/// Which correspondents may reach which home address by which device.
const CORRESPONDENTS: Set = Set("correspondents4");

/// The counters of the table, by the names that the userspace backend uses for the same reasons.
const COUNTERS: [&str; 2] = ["drop_not_a_correspondent", "drop_nested_tunnel"];

/// The table, and what is in its set.
#[derive(Debug)]
pub(super) struct Filter {
    elements: Elements,
    present: BTreeSet<Element>,
}

impl Filter {
    /// Puts the rules in place. What a former run allowed stays allowed until [`Filter::allow`].
    pub(super) fn open() -> Result<Self, Error> {
        let keep = format!("table inet {TABLE}\nflush table inet {TABLE}\n{}", rules());
        nft::run(TABLE_IN_FULL, &keep, Purpose::Apply)
            .or_else(|_| {
                let anew = format!("table inet {TABLE}\ndelete table inet {TABLE}\n{}", rules());
                nft::run(TABLE_IN_FULL, &anew, Purpose::Apply)
            })
            .map_err(Error::PacketFilter)?;
        let mut elements = Elements::open(TABLE)?;
        let present = elements.list(CORRESPONDENTS)?;
        let present = present.into_iter().map(|present| present.element).collect();
        Ok(Self { elements, present })
    }

    /// Whether program and kernel would take the rules.
    pub(super) fn try_out() -> Result<(), nft::Error> {
        let rules = rules().replacen(TABLE, "mn-agent-trial", 1);
        nft::run(TABLE_IN_FULL, &rules, Purpose::Try)
    }

    /// Adds to what may come in; the rest stays.
    pub(super) fn add(&mut self, wanted: &BTreeSet<Element>) -> Result<(), Error> {
        let missing: Vec<_> = wanted.difference(&self.present).cloned().collect();
        self.elements.change(&missing, &[])?;
        self.present.extend(missing);
        Ok(())
    }

    /// Nothing but this may come in.
    pub(super) fn allow(&mut self, wanted: &BTreeSet<Element>) -> Result<(), Error> {
        let missing: Vec<_> = wanted.difference(&self.present).cloned().collect();
        let surplus: Vec<_> = self.present.difference(wanted).cloned().collect();
        self.elements.change(&missing, &surplus)?;
        self.present.clone_from(wanted);
        Ok(())
    }

    /// Puts everything in place again if it has gone, and tells whether it had.
    pub(super) fn repair(&mut self) -> Result<bool, Error> {
        if self.elements.table_exists()? {
            return Ok(false);
        }
        let wanted = std::mem::take(&mut self.present);
        *self = Self::open()?;
        self.allow(&wanted).map(|()| true)
    }

    /// Every counter by its name, also those at zero.
    pub(super) fn counters(&mut self) -> Vec<(&'static str, u64)> {
        let found = self.elements.counters().unwrap_or_default();
        let packets = |name| {
            let found = found.iter().find(|(known, _)| known == name);
            found.map_or(0, |(_, count)| count.packets)
        };
        COUNTERS.map(|name| (name, packets(name))).to_vec()
    }

    /// Removes the table, if it is there.
    pub(super) fn remove() -> Result<(), nft::Error> {
        let rules = format!("table inet {TABLE}\ndelete table inet {TABLE}\n");
        nft::run(TABLE_IN_FULL, &rules, Purpose::Apply)
    }
}

/// What lets packets of a correspondent to a home address in by a device.
pub(super) fn correspondent(device: u32, home: Ipv4Addr, correspondents: Ipv4Net) -> Element {
    let key = |peer: Ipv4Addr| {
        // `nft` compares numbers in ranges with the most significant octet first.
        [device.to_be_bytes(), home.octets(), peer.octets()].concat()
    };
    Element {
        key_end: Some(key(correspondents.broadcast())),
        ..Element::of(CORRESPONDENTS, key(correspondents.network()))
    }
}

fn rules() -> String {
    format!(
        "table inet {TABLE} {{
	counter drop_not_a_correspondent {{ }}
	counter drop_nested_tunnel {{ }}

	set correspondents4 {{ type iface_index . ipv4_addr . ipv4_addr; flags interval; }}

	chain prerouting {{
		type filter hook prerouting priority -300; policy accept;
		iifgroup {GROUP} goto out_of_tunnel
	}}
	chain out_of_tunnel {{
		ip protocol {{ 4, 41, 47, 55 }} counter name drop_nested_tunnel drop
		meta iif . ip daddr . ip saddr @correspondents4 accept
		icmp type {{ destination-unreachable, time-exceeded, parameter-problem }} accept
		counter name drop_not_a_correspondent drop
	}}
}}
"
    )
}
