//! The home agent's rules in the packet filter, as text for `nft`. They are the same for any number
//! of bindings: a packet's outer source gives it a mark (`care_of4`), the mark survives the
//! unwrapping, and mark and inner source together must be known (`bindings4`).

use std::fmt::Write;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::elements::Set;
use crate::nft::{self, Purpose};

/// The table, of family `inet`.
pub(super) const TABLE: &str = "chad";

/// Family and name of the table.
pub(super) const TABLE_IN_FULL: &str = "inet chad";

/// From an outer source to the mark of its packets.
pub(super) const CARE_OF: Set = Set("care_of4");
/// Which marks a home address's packets may carry.
pub(super) const BINDINGS: Set = Set("bindings4");
/// The packets out of the tunnel of each home address.
pub(super) const RECEIVED: Set = Set("received4");
/// The packets into the tunnel of each home address, and which home addresses are bound.
pub(super) const SENT: Set = Set("sent4");

/// The sets whose elements come and go with bindings.
pub(super) const SETS: [Set; 4] = [BINDINGS, CARE_OF, RECEIVED, SENT];

/// The counters of the table, by the names that the userspace backend uses for the same reasons.
pub(super) const COUNTERS: [&str; 11] = [
    "drop_wrong_outer_source",
    "drop_wrong_inner_source",
    "drop_not_a_correspondent",
    "drop_unbound_home_address",
    "drop_nested_tunnel",
    "drop_forbidden_destination",
    "drop_fragment_hides_header",
    "drop_source_route",
    "drop_signalling_in_tunnel",
    "icmp_errors_sent",
    "icmp_errors_withheld",
];

/// What the rules depend on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) device: &'a str,
    pub(super) address: Ipv4Addr,
    pub(super) pools: &'a [Ipv4Net],
}

impl Rules<'_> {
    /// Puts the rules in place. Bindings in the sets of a former run stay, unless their sets were
    /// made differently; so do the correspondents when none are given.
    ///
    /// # Errors
    /// When `nft` can't be run or the kernel refuses the rules.
    pub(super) fn install(self, correspondents: Option<&[Ipv4Net]>) -> Result<(), nft::Error> {
        let rules = self.text() + &correspondents.map(replacement).unwrap_or_default();
        let keep = format!("table inet {TABLE}\nflush table inet {TABLE}\n{rules}");
        nft::run(TABLE_IN_FULL, &keep, Purpose::Apply).or_else(|_| {
            let anew = format!("table inet {TABLE}\ndelete table inet {TABLE}\n{rules}");
            nft::run(TABLE_IN_FULL, &anew, Purpose::Apply)
        })
    }

    /// Whether program and kernel would take the rules.
    ///
    /// # Errors
    /// As [`Rules::install`].
    pub(super) fn try_out(self) -> Result<(), nft::Error> {
        // Under its own name a table of a former run would be part of the trial.
        let rules = self.text().replacen(TABLE, "chad_trial", 1);
        nft::run(TABLE_IN_FULL, &rules, Purpose::Try)
    }

    /// The table without the elements of bindings.
    fn text(self) -> String {
        let Self {
            device,
            address,
            pools,
        } = self;
        let mut counters = String::new();
        for name in COUNTERS {
            // Writing to a string can't fail.
            let _ = writeln!(counters, "\tcounter {name} {{ }}");
        }
        // A set can't be empty.
        let unbound = if pools.is_empty() {
            String::new()
        } else {
            let pools = list(pools.iter().map(|pool| pool.trunc().to_string()));
            format!("ip daddr {pools} ip daddr != @sent4 counter name drop_unbound_home_address")
        };
        format!(
            "table inet {TABLE} {{
{counters}
	map care_of4 {{ type ipv4_addr : mark; }}
	set bindings4 {{ type mark . ipv4_addr; }}
	set received4 {{ type ipv4_addr; counter; }}
	set sent4 {{ type ipv4_addr; counter; }}
	set correspondents4 {{ type ipv4_addr; flags interval; }}

	chain prerouting {{
		type filter hook prerouting priority -300; policy accept;
		{unbound}
		iifname \"{device}\" goto out_of_tunnel
	}}
	chain input {{
		type filter hook input priority -150; policy accept;
		iifname \"{device}\" ip daddr {address} udp dport 434 counter name drop_signalling_in_tunnel drop
		iifname \"{device}\" goto to_a_peer
		ip daddr {address} ip protocol 4 goto outer
	}}
	chain forward {{
		type filter hook forward priority -150; policy accept;
		iifname \"{device}\" tcp flags syn tcp option maxseg size set rt mtu
		iifname \"{device}\" jump to_a_peer
		oifname \"{device}\" goto into_tunnel
	}}
	chain output {{
		type filter hook output priority -150; policy accept;
		oifname \"{device}\" goto into_tunnel
		ip saddr {address} ip protocol 4 @th,49,1 0 ip frag-off set ip frag-off & 0xbfff
	}}
	chain outer {{
		meta mark set ip saddr map @care_of4 accept
		counter name drop_wrong_outer_source drop
	}}
	chain out_of_tunnel {{
		meta mark . ip saddr @bindings4 goto bound
		counter name drop_wrong_inner_source drop
	}}
	chain bound {{
		meta mark set 0
		ip option lsrr exists counter name drop_source_route drop
		ip option ssrr exists counter name drop_source_route drop
		ip frag-off & 0x1fff 1 counter name drop_fragment_hides_header drop
		ip frag-off & 0x3fff 0x2000 ip length < 36 counter name drop_fragment_hides_header drop
		ip daddr {{ 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/3 }} counter name drop_forbidden_destination drop
		ip protocol {{ 4, 41, 47, 55 }} counter name drop_nested_tunnel drop
	}}
	chain to_a_peer {{
		ip daddr != @correspondents4 goto prohibited
		ip saddr @received4
	}}
	chain prohibited {{
		counter name drop_not_a_correspondent
		limit rate 100/second burst 50 packets counter name icmp_errors_sent reject with icmp type admin-prohibited
		counter name icmp_errors_withheld drop
	}}
	chain into_tunnel {{
		ip saddr {address} icmp type {{ destination-unreachable, time-exceeded, parameter-problem }} ip daddr @sent4 accept
		ip saddr != @correspondents4 counter name drop_not_a_correspondent drop
		ip protocol {{ 4, 41, 47, 55 }} counter name drop_nested_tunnel drop
		tcp flags syn tcp option maxseg size set rt mtu
		ip daddr @sent4
	}}
}}
"
        )
    }
}

/// Makes these the only peers of all home addresses.
///
/// # Errors
/// When `nft` can't be run or refuses.
pub(super) fn set_correspondents(correspondents: &[Ipv4Net]) -> Result<(), nft::Error> {
    nft::run(TABLE_IN_FULL, &replacement(correspondents), Purpose::Apply)
}

fn replacement(correspondents: &[Ipv4Net]) -> String {
    let mut rules = format!("flush set inet {TABLE} correspondents4\n");
    if !correspondents.is_empty() {
        let elements = list(correspondents.iter().map(ToString::to_string));
        // Writing to a string can't fail.
        let _ = writeln!(rules, "add element inet {TABLE} correspondents4 {elements}");
    }
    rules
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("{{ {} }}", items.collect::<Vec<_>>().join(", "))
}
