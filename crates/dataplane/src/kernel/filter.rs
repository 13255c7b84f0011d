//! The mobile node's rules in the packet filter: what comes out of a tunnel is an answer of one of
//! its correspondents to its home address, or a router's report about a packet from there to one of
//! them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use mobility_protocol::Family;

use super::device::GROUP;
use super::elements::{Element, Elements, Set};
use super::program::{
    Header, Hook, Meta, Part, Program, RangeSet, Register, Step, Verdict, remove_table,
};
use crate::{Error, TUNNELS};

const TABLE: &str = "mn-agent";

/// The counters of the table, by the names that the userspace backend uses for the same reasons.
const COUNTERS: [&str; 3] = [
    "drop_not_a_correspondent",
    "drop_nested_tunnel",
    "drop_source_route",
];

/// The routing header of IPv6, and where in it the segments left are.
const ROUTING_HEADER: u8 = 43;
const SEGMENTS_LEFT: u32 = 3;

/// What differs between the families.
#[derive(Debug)]
struct Rules {
    /// `NFPROTO_IPV4` or `NFPROTO_IPV6`.
    number: u8,
    /// Which correspondents may reach which home address by which device.
    correspondents: Set,
    /// How `nft` shows an address.
    address: Part,
    /// Where in the header the addresses are.
    source: u32,
    destination: u32,
    icmp: u8,
    /// What routers on the way say about our own packets: unreachable, too big, time exceeded,
    /// parameter problem.
    icmp_errors: &'static [u8],
}

const IPV4: Rules = Rules {
    number: 2,
    correspondents: Set("correspondents4"),
    address: Part { kind: 7, octets: 4 },
    source: 12,
    destination: 16,
    icmp: 1,
    icmp_errors: &[3, 11, 12],
};

const IPV6: Rules = Rules {
    number: 10,
    correspondents: Set("correspondents6"),
    address: Part {
        kind: 8,
        octets: 16,
    },
    source: 8,
    destination: 24,
    icmp: 58,
    icmp_errors: &[1, 2, 3, 4],
};

/// How `nft` shows the index of a device.
const INTERFACE_INDEX: Part = Part {
    kind: 20,
    octets: 4,
};

/// The first register, and the one behind its first four octets.
const FIRST: Register = Register(1);
const SECOND: Register = Register(9);

/// Where in an ICMP error the header begins that it quotes.
const QUOTE: u32 = 8;

/// The table, and what is in its set.
#[derive(Debug)]
pub(super) struct Filter {
    elements: Elements,
    present: BTreeSet<Element>,
}

impl Filter {
    /// Puts the rules in place. What a former run allowed stays allowed until [`Filter::allow`].
    pub(super) fn open() -> Result<Self, Error> {
        let mut elements = Elements::open(TABLE)?;
        rules(TABLE)
            .apply(&mut elements)
            .or_else(|_| rules(TABLE).anew(&mut elements))?;
        let mut present = BTreeSet::new();
        for rules in [IPV4, IPV6] {
            let listed = elements.list(rules.correspondents)?;
            present.extend(listed.into_iter().map(|listed| listed.element));
        }
        Ok(Self { elements, present })
    }

    /// Whether the kernel would take the rules.
    pub(super) fn try_out() -> Result<(), Error> {
        // Under its own name a table of a former run would be part of the trial.
        let tried = rules("mn-agent-trial").try_out(&mut Elements::open(TABLE)?);
        tried.map_err(|error| Error::NoPacketFilter(Box::new(error)))
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
    pub(super) fn remove() -> Result<(), Error> {
        remove_table(&mut Elements::open(TABLE)?, TABLE)
    }
}

/// What lets packets of a correspondent to a home address in by a device; `None` when they are of
/// different families.
pub(super) fn correspondent(device: u32, home: IpAddr, correspondents: IpNet) -> Option<Element> {
    let rules = match (Family::of(home), Family::of(correspondents.addr())) {
        (Family::Ipv4, Family::Ipv4) => IPV4,
        (Family::Ipv6, Family::Ipv6) => IPV6,
        _ => return None,
    };
    let key = |peer: IpAddr| {
        // `nft` compares numbers in ranges with the most significant octet first.
        [device.to_be_bytes().to_vec(), octets(home), octets(peer)].concat()
    };
    Some(Element {
        key_end: Some(key(correspondents.broadcast())),
        ..Element::of(rules.correspondents, key(correspondents.network()))
    })
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The rules, as `nft list table inet mn-agent` shows them.
///
/// What the home address itself is asked to do by options for destinations, our kernel refuses: a
/// Home Address option is one of these, and only a security policy of the operator's allows it.
fn rules(table: &'static str) -> Program {
    let chain = "prerouting";
    let drop = |counter| [Step::Count(counter), Step::Verdict(Verdict::Drop)];
    let mut program = Program::new(table);
    for counter in COUNTERS {
        program.counter(counter);
    }
    for rules in [IPV4, IPV6] {
        program.set(RangeSet {
            name: rules.correspondents.0,
            parts: &[INTERFACE_INDEX, rules.address, rules.address],
        });
    }
    // Before connections are tracked (`raw`).
    program.chain(chain, Hook::Prerouting, -300);
    let foreign = [
        Step::Meta(Meta::DeviceGroup, FIRST),
        Step::IsNot(FIRST, &GROUP.to_ne_bytes()),
        Step::Verdict(Verdict::Accept),
    ];
    program.rule(chain, &foreign);
    for protocol in TUNNELS {
        let [count, drop] = drop("drop_nested_tunnel");
        let nested = [
            // Behind all extension headers.
            Step::Meta(Meta::Transport, FIRST),
            Step::Is(FIRST, &[protocol]),
            count,
            drop,
        ];
        program.rule(chain, &nested);
    }
    let [count, refuse] = drop("drop_source_route");
    let diverted = [
        Step::Meta(Meta::Family, FIRST),
        Step::Is(FIRST, &[IPV6.number]),
        Step::Extension(ROUTING_HEADER, SEGMENTS_LEFT, 1, FIRST),
        Step::IsNot(FIRST, &[0]),
        count,
        refuse,
    ];
    program.rule(chain, &diverted);
    for rules in [IPV4, IPV6] {
        let length = rules.address.octets;
        let source = Register(SECOND.0 + length / 4);
        let answer = [
            Step::Meta(Meta::Family, FIRST),
            Step::Is(FIRST, &[rules.number]),
            Step::Meta(Meta::Device, FIRST),
            Step::BigEndian(FIRST),
            Step::Payload(Header::Network, rules.destination, length, SECOND),
            Step::Payload(Header::Network, rules.source, length, source),
            Step::In(rules.correspondents.0, FIRST),
            Step::Verdict(Verdict::Accept),
        ];
        program.rule(chain, &answer);
        for &kind in rules.icmp_errors {
            // Of the bindings by one device a single one has this correspondent, so that who was told
            // and who had sent are the same.
            let report = [
                Step::Meta(Meta::Family, FIRST),
                Step::Is(FIRST, &[rules.number]),
                Step::Meta(Meta::Transport, FIRST),
                Step::Is(FIRST, &[rules.icmp]),
                Step::Payload(Header::Transport, 0, 1, FIRST),
                Step::Is(FIRST, &[kind]),
                Step::Meta(Meta::Device, FIRST),
                Step::BigEndian(FIRST),
                Step::Payload(Header::Network, rules.destination, length, SECOND),
                Step::Payload(Header::Transport, QUOTE + rules.destination, length, source),
                Step::In(rules.correspondents.0, FIRST),
                Step::Payload(Header::Transport, QUOTE + rules.source, length, SECOND),
                Step::In(rules.correspondents.0, FIRST),
                Step::Verdict(Verdict::Accept),
            ];
            program.rule(chain, &report);
        }
    }
    program.rule(chain, &drop("drop_not_a_correspondent"));
    program
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use nix::sched::{CloneFlags, unshare};

    use super::*;

    #[test]
    fn nft_shows_what_the_rules_say() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("SKIPPED: this test needs root, to make a network namespace");
            return;
        }
        let body = || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let nft = |arguments: &[&str]| {
                let output = Command::new("nft").args(arguments).output().unwrap();
                String::from_utf8(output.stdout).unwrap()
            };
            if let Err(error) = Filter::try_out() {
                eprintln!("SKIPPED: no packet filter here: {error}");
                return;
            }
            assert_eq!(
                nft(&["list", "tables"]),
                "",
                "a trial leaves nothing behind"
            );
            let mut filter = Filter::open().unwrap();
            let wanted = |home: &str, prefix: &str| {
                correspondent(1, home.parse().unwrap(), prefix.parse().unwrap()).unwrap()
            };
            let kept = wanted("10.128.0.9", "203.0.113.7/32");
            let both = BTreeSet::from([
                kept.clone(),
                wanted("10.128.0.9", "198.51.100.0/24"),
                wanted("2001:db8:4::9", "2001:db8:c::/64"),
                wanted("2001:db8:4::9", "2001:db8:d::1/128"),
            ]);
            filter.allow(&both).unwrap();
            let shown = nft(&["list", "table", "inet", "mn-agent"]);
            for words in [
                "type iface_index . ipv4_addr . ipv4_addr",
                "\"lo\" . 10.128.0.9 . 198.51.100.0/24",
                "\"lo\" . 10.128.0.9 . 203.0.113.7",
                "iifgroup != 67 accept",
                "type iface_index . ipv6_addr . ipv6_addr",
                "\"lo\" . 2001:db8:4::9 . 2001:db8:c::/64",
                "\"lo\" . 2001:db8:4::9 . 2001:db8:d::1",
                "meta l4proto ipv6 counter name \"drop_nested_tunnel\" drop",
                "rt seg-left != 0 counter name \"drop_source_route\" drop",
                "iif . ip6 daddr . ip6 saddr @correspondents6 accept",
                "icmpv6 type packet-too-big iif . ip6 daddr . @th,256,128 @correspondents6 iif . @th,128,128 . @th,256,128 @correspondents6 accept",
                "iif . ip daddr . ip saddr @correspondents4 accept",
                "icmp type time-exceeded iif . ip daddr . @th,192,32 @correspondents4 iif . @th,160,32 . @th,192,32 @correspondents4 accept",
                "counter name \"drop_not_a_correspondent\" drop",
            ] {
                assert!(shown.contains(words), "{words:?} in:\n{shown}");
            }

            // The next run finds it, and what it does not want goes.
            let mut next = Filter::open().unwrap();
            assert_eq!(next.present, both);
            next.allow(&[kept].into()).unwrap();
            assert_eq!(
                nft(&["list", "table", "inet", "mn-agent"])
                    .matches("\"lo\"")
                    .count(),
                1
            );
            assert!(!next.repair().unwrap());
            nft(&["flush", "ruleset"]);
            assert!(next.repair().unwrap());
            assert_eq!(
                nft(&["list", "table", "inet", "mn-agent"])
                    .matches("\"lo\"")
                    .count(),
                1
            );
            Filter::remove().unwrap();
            Filter::remove().unwrap();
            assert_eq!(nft(&["list", "tables"]), "");
        };
        std::thread::spawn(body).join().unwrap();
    }
}
