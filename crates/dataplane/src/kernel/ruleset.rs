//! The home agent's rules in the packet filter, as text for `nft`. They are the same for any number
//! of bindings: a packet's outer source gives it a mark (`care_of4`, `care_of6`), the mark survives the
//! unwrapping, and mark and inner source together must be known (`bindings4`, `bindings6`).

use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use mobility_protocol::Family;

use super::elements::Set;
use crate::TUNNELS;
use crate::named::named;
use crate::nft::{self, Purpose};

/// The table, of family `inet`.
pub(super) const TABLE: &str = "chad";

/// Family and name of the table.
pub(super) const TABLE_IN_FULL: &str = "inet chad";

/// The sets of a family whose elements come and go with bindings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sets {
    /// From an outer source to the mark of its packets.
    pub(super) care_of: Set,
    /// Which marks a home address's packets may carry.
    pub(super) bindings: Set,
    /// The packets out of the tunnel of each home address.
    pub(super) received: Set,
    /// Each home address twice: of an address in the header and one that an ICMP error quotes, it tells
    /// that they are the same.
    pub(super) own: Set,
    /// The packets into the tunnel of each home address, and which home addresses are bound.
    pub(super) sent: Set,
    /// What of these packets went in the last two seconds, for each home address and second of the day.
    pub(super) recent: Set,
    /// The home addresses whose care-of address is not proven, with what may still go there.
    pub(super) unproven: Set,
}

/// The sets of this family.
pub(super) const fn sets(family: Family) -> Sets {
    match family {
        Family::Ipv4 => Sets {
            care_of: Set("care_of4"),
            bindings: Set("bindings4"),
            own: Set("own4"),
            received: Set("received4"),
            sent: Set("sent4"),
            recent: Set("recent4"),
            unproven: Set("unproven4"),
        },
        Family::Ipv6 => Sets {
            care_of: Set("care_of6"),
            bindings: Set("bindings6"),
            own: Set("own6"),
            received: Set("received6"),
            sent: Set("sent6"),
            recent: Set("recent6"),
            unproven: Set("unproven6"),
        },
    }
}

/// Packets that went this long before a move earn the credit of an unproven address.
pub(super) const CREDIT_WINDOW: Duration = Duration::from_secs(2);

/// How many seconds of how many home addresses can be remembered. What is not remembered earns no
/// credit.
const MOST_RECENT: u32 = 1 << 20;

/// The counters of the table, by the names that the userspace backend uses for the same reasons.
pub(super) const COUNTERS: [&str; 14] = [
    "drop_malformed",
    "drop_wrong_outer_source",
    "drop_wrong_inner_source",
    "drop_not_a_correspondent",
    "drop_unbound_home_address",
    "drop_nested_tunnel",
    "drop_forbidden_destination",
    "drop_fragment_hides_header",
    "drop_source_route",
    "drop_signalling_in_tunnel",
    "drop_no_credit",
    "membership_reports_ignored",
    "icmp_errors_sent",
    "icmp_errors_withheld",
];

/// The rules for the families that are carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rules(pub(super) Vec<Served>);

/// What the rules of a family depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Served {
    pub(super) device: String,
    /// The home agent's, which says the family.
    pub(super) address: IpAddr,
    /// Prefixes of that family.
    pub(super) pools: Vec<IpNet>,
}

impl Rules {
    /// Puts the rules in place. Bindings in the sets of a former run stay, unless their sets were
    /// made differently; so do the correspondents when none are given.
    ///
    /// # Errors
    /// When `nft` can't be run or the kernel refuses the rules.
    pub(super) fn install(&self, correspondents: Option<&[IpNet]>) -> Result<(), nft::Error> {
        let correspondents = correspondents.map(|all| self.replacement(all));
        let rules = self.text() + &correspondents.unwrap_or_default();
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
    pub(super) fn try_out(&self) -> Result<(), nft::Error> {
        // Under its own name a table of a former run would be part of the trial.
        let mut rules = self.text().replacen(TABLE, "chad_trial", 1);
        // Credits come with elements, of which the rules have none.
        rules.push_str("add rule inet chad_trial prohibited quota over 1 bytes drop\n");
        nft::run(TABLE_IN_FULL, &rules, Purpose::Try)
    }

    /// Makes these the only peers of all home addresses.
    ///
    /// # Errors
    /// When `nft` can't be run or refuses.
    pub(super) fn set_correspondents(&self, correspondents: &[IpNet]) -> Result<(), nft::Error> {
        let rules = self.replacement(correspondents);
        nft::run(TABLE_IN_FULL, &rules, Purpose::Apply)
    }

    /// The name of a family's device.
    pub(super) fn device(&self, family: Family) -> String {
        let served = self.0.iter().find(|served| served.family() == family);
        served.map_or_else(String::new, |served| served.device.clone())
    }

    /// The table without the elements of bindings.
    fn text(&self) -> String {
        let mut counters = String::new();
        for name in COUNTERS {
            // Writing to a string can't fail.
            let _ = writeln!(counters, "\tcounter {name} {{ }}");
        }
        let each = |part: fn(&Served) -> String| self.0.iter().map(part).collect::<String>();
        let (sets, chains) = (each(Served::sets), each(Served::chains));
        let (prerouting, input) = (each(Served::prerouting), each(Served::input));
        let (forward, output) = (each(Served::forward), each(Served::output));
        format!(
            "table inet {TABLE} {{
{counters}{sets}
	chain prerouting {{
		type filter hook prerouting priority -300; policy accept;
{prerouting}	}}
	chain input {{
		type filter hook input priority -150; policy accept;
{input}	}}
	chain forward {{
		type filter hook forward priority -150; policy accept;
{forward}	}}
	chain output {{
		type filter hook output priority -150; policy accept;
{output}	}}
	chain prohibited {{
		counter name drop_not_a_correspondent
		limit rate 100/second burst 50 packets counter name icmp_errors_sent reject with icmpx type admin-prohibited
		counter name icmp_errors_withheld drop
	}}
{chains}}}
"
        )
    }

    /// The peers in their sets, and in the rules that let in what routers report about packets to
    /// them.
    fn replacement(&self, correspondents: &[IpNet]) -> String {
        self.0
            .iter()
            .map(|served| served.replacement(correspondents))
            .collect()
    }
}

impl Served {
    const fn family(&self) -> Family {
        Family::of(self.address)
    }

    /// The number at the end of the names of sets and chains, and what `nft` calls the family's
    /// header, its addresses, and its ICMP.
    const fn words(&self) -> (u8, &'static str, &'static str, &'static str) {
        match self.family() {
            Family::Ipv4 => (4, "ip", "ipv4_addr", "icmp"),
            Family::Ipv6 => (6, "ip6", "ipv6_addr", "icmpv6"),
        }
    }

    /// Source and destination of the packet that an ICMP error quotes behind its own 8 octets.
    const fn quoted(&self) -> [&'static str; 2] {
        match self.family() {
            Family::Ipv4 => ["@th,160,32", "@th,192,32"],
            Family::Ipv6 => ["@th,128,128", "@th,256,128"],
        }
    }

    fn sets(&self) -> String {
        let (n, ip, kind, _) = self.words();
        let [from, _] = self.quoted();
        let seconds = CREDIT_WINDOW.as_secs();
        format!(
            "	map care_of{n} {{ type {kind} : mark; }}
	set bindings{n} {{ type mark . {kind}; }}
	set own{n} {{ typeof {ip} saddr . {from}; }}
	set received{n} {{ type {kind}; counter; }}
	set sent{n} {{ type {kind}; counter; }}
	set recent{n} {{ typeof {ip} daddr . meta hour; size {MOST_RECENT}; flags dynamic,timeout; timeout {seconds}s; }}
	set unproven{n} {{ type {kind}; }}
	set correspondents{n} {{ type {kind}; flags interval; }}
	set named{n} {{ type {kind}; }}
"
        )
    }

    fn prerouting(&self) -> String {
        let (n, ip, ..) = self.words();
        // A set can't be empty.
        let unbound = if self.pools.is_empty() {
            String::new()
        } else {
            let pools = list(self.pools.iter().map(|pool| pool.trunc().to_string()));
            format!(
                "		{ip} daddr {pools} {ip} daddr != @sent{n} counter name drop_unbound_home_address\n"
            )
        };
        let device = &self.device;
        format!(
            "{unbound}		iifname \"{device}\" goto out_of_tunnel{n}
"
        )
    }

    fn input(&self) -> String {
        let Self {
            device, address, ..
        } = self;
        let (n, ip, ..) = self.words();
        let tunnelled = match self.family() {
            Family::Ipv4 => "ip protocol 4",
            // Behind extension headers, too.
            Family::Ipv6 => "meta l4proto 41",
        };
        format!(
            "		iifname \"{device}\" goto to_this_host{n}
		{ip} daddr {address} {tunnelled} goto outer{n}
"
        )
    }

    fn forward(&self) -> String {
        let device = &self.device;
        let (n, ..) = self.words();
        format!(
            "		iifname \"{device}\" tcp flags syn tcp option maxseg size set rt mtu
		iifname \"{device}\" jump to_a_peer{n}
		oifname \"{device}\" goto into_tunnel{n}
"
        )
    }

    fn output(&self) -> String {
        let Self {
            device, address, ..
        } = self;
        match self.family() {
            Family::Ipv4 => format!(
                "		oifname \"{device}\" goto into_tunnel4
		ip saddr {address} ip protocol 4 @th,49,1 0 ip frag-off set ip frag-off & 0xbfff
"
            ),
            Family::Ipv6 => format!(
                "		oifname \"{device}\" ip6 saddr :: ip6 daddr ff00::/8 counter name membership_reports_ignored drop
		oifname \"{device}\" goto into_tunnel6
"
            ),
        }
    }

    fn chains(&self) -> String {
        let (n, ip, _, icmp) = self.words();
        let address = self.address;
        let (bound, errors) = match self.family() {
            Family::Ipv4 => (
                BOUND_4,
                "destination-unreachable, time-exceeded, parameter-problem",
            ),
            Family::Ipv6 => (
                BOUND_6,
                "destination-unreachable, packet-too-big, time-exceeded, parameter-problem",
            ),
        };
        let tunnels = list(TUNNELS.iter().map(ToString::to_string));
        format!(
            "	chain outer{n} {{
		meta mark set {ip} saddr map @care_of{n} accept
		counter name drop_wrong_outer_source drop
	}}
	chain out_of_tunnel{n} {{
		meta mark . {ip} saddr != @bindings{n} counter name drop_wrong_inner_source drop
		meta mark set 0
		jump bound{n}
		meta l4proto {tunnels} counter name drop_nested_tunnel drop
		{icmp} type {{ {errors} }} jump answers{n}
	}}
	chain answers{n} {{ }}
{bound}	chain to_this_host{n} {{
		{ip} daddr != @named{n} goto prohibited
		udp dport {{ 434, 4191 }} counter name drop_signalling_in_tunnel drop
		meta l4proto 135 counter name drop_signalling_in_tunnel drop
		goto to_a_peer{n}
	}}
	chain to_a_peer{n} {{
		{ip} daddr != @correspondents{n} goto prohibited
		{ip} saddr @received{n}
	}}
	chain into_tunnel{n} {{
		{icmp} type {{ {errors} }} jump errors{n}
		{ip} saddr != @correspondents{n} counter name drop_not_a_correspondent drop
		meta l4proto {tunnels} counter name drop_nested_tunnel drop
		tcp flags syn tcp option maxseg size set rt mtu
		goto admitted{n}
	}}
	chain errors{n} {{
		{ip} saddr {address} goto admitted{n}
		goto reports{n}
	}}
	chain reports{n} {{ }}
	chain admitted{n} {{
		{ip} daddr @unproven{n} counter name drop_no_credit drop
		{ip} daddr @sent{n}
		add @recent{n} {{ {ip} daddr . meta hour counter }}
		accept
	}}
"
        )
    }

    fn replacement(&self, correspondents: &[IpNet]) -> String {
        let (n, ip, ..) = self.words();
        let own = prefixes(self.family(), correspondents);
        let mut rules = format!(
            "flush set inet {TABLE} correspondents{n}\nflush set inet {TABLE} named{n}\n\
             flush chain inet {TABLE} reports{n}\nflush chain inet {TABLE} answers{n}\n"
        );
        let named: Vec<String> = named(correspondents, [self.address])
            .iter()
            .filter(|address| Family::of(**address) == self.family())
            .map(ToString::to_string)
            .collect();
        if !named.is_empty() {
            let named = list(named.into_iter());
            // Writing to a string can't fail.
            let _ = writeln!(rules, "add element inet {TABLE} named{n} {named}");
        }
        if !own.is_empty() {
            let elements = list(own.iter().map(ToString::to_string));
            let ranges = list(own.iter().map(range));
            let [from, to] = self.quoted();
            // Who is told of a packet has sent it, and who tells has received it. Writing to a string
            // can't fail.
            let _ = writeln!(
                rules,
                "add element inet {TABLE} correspondents{n} {elements}\n\
                 add rule inet {TABLE} reports{n} {ip} daddr . {from} @own{n} {to} {ranges} goto admitted{n}\n\
                 add rule inet {TABLE} answers{n} {ip} saddr . {to} @own{n} {from} {ranges} return"
            );
        }
        rules
            + &format!(
                "add rule inet {TABLE} answers{n} counter name drop_not_a_correspondent drop\n"
            )
    }
}

/// What comes out of a tunnel from where it may: what its headers must not hold.
const BOUND_4: &str = "	chain bound4 {
		ip option lsrr exists counter name drop_source_route drop
		ip option ssrr exists counter name drop_source_route drop
		ip frag-off & 0x1fff 1 counter name drop_fragment_hides_header drop
		ip frag-off & 0x3fff 0x2000 ip length < 36 counter name drop_fragment_hides_header drop
		ip daddr { 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/3 } counter name drop_forbidden_destination drop
	}
";

/// As [`BOUND_4`]. Destination options that could hold a Home Address option (18 octets) are refused,
/// since the packet filter can't look for one; and so are those with another extension header behind
/// them, where it would see the first of two only. A transport header is there if its last octet that
/// matters can be read; where the headers end before it, the transport protocol is not known.
const BOUND_6: &str = "	chain bound6 {
		exthdr rt exists counter name drop_source_route drop
		dst hdrlength >= 2 counter name drop_source_route drop
		dst nexthdr { 0, 43, 44, 51, 60 } counter name drop_source_route drop
		frag frag-off 1 counter name drop_fragment_hides_header drop
		frag frag-off 0 frag more-fragments 1 jump first_fragment6
		ip6 daddr { ::/128, ::1/128, ::ffff:0:0/96, fe80::/10, ff00::/8 } counter name drop_forbidden_destination drop
		meta l4proto != 255 return
		frag frag-off > 0 return
		counter name drop_malformed drop
	}
	chain first_fragment6 {
		meta l4proto != tcp @th,56,8 & 0 == 0 return
		@th,120,8 & 0 == 0 return
		counter name drop_fragment_hides_header drop
	}
";

/// Those of a family, the least that say the same: ranges of a set must not overlap.
fn prefixes(family: Family, all: &[IpNet]) -> Vec<IpNet> {
    let own = all
        .iter()
        .filter(|prefix| Family::of(prefix.addr()) == family);
    IpNet::aggregate(&own.copied().collect())
}

/// From the first address of a prefix to its last, as numbers.
fn range(prefix: &IpNet) -> String {
    let number = |address| match address {
        IpAddr::V4(address) => format!("{:#010x}", u32::from(address)),
        IpAddr::V6(address) => format!("{:#034x}", u128::from(address)),
    };
    let (first, last) = (number(prefix.network()), number(prefix.broadcast()));
    match first == last {
        true => first,
        false => format!("{first}-{last}"),
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("{{ {} }}", items.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_told_as_the_packet_filter_reads_them() {
        let prefix = |text: &str| text.parse().unwrap();
        assert_eq!(range(&prefix("198.51.100.0/24")), "0xc6336400-0xc63364ff");
        assert_eq!(range(&prefix("198.51.100.7/32")), "0xc6336407");
        assert_eq!(
            range(&prefix("2001:db8:c::/48")),
            "0x20010db8000c00000000000000000000-0x20010db8000cffffffffffffffffffff"
        );
        let all = ["10.0.0.0/9", "10.128.0.0/9", "2001:db8::/32", "10.1.0.0/16"].map(prefix);
        assert_eq!(prefixes(Family::Ipv4, &all), [prefix("10.0.0.0/8")]);
        assert_eq!(prefixes(Family::Ipv6, &all), [prefix("2001:db8::/32")]);
    }

    #[test]
    fn only_families_that_are_served_have_rules() {
        let served = |device: &str, address: &str| Served {
            device: device.to_owned(),
            address: address.parse().unwrap(),
            pools: Vec::new(),
        };
        let ipv6 = Rules(vec![served("cha0-6", "2001:db8::1")]).text();
        assert!(
            ipv6.contains("care_of6") && !ipv6.contains("care_of4"),
            "{ipv6}"
        );
        let both = Rules(vec![
            served("cha0", "192.0.2.1"),
            served("cha0-6", "2001:db8::1"),
        ]);
        let both = both.text();
        assert!(
            both.contains("care_of6") && both.contains("care_of4"),
            "{both}"
        );
    }
}
