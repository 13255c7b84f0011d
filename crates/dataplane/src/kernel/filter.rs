//! The mobile node's rules in the packet filter: what comes out of a tunnel is an answer of one of
//! its correspondents to its home address, or a router's report about packets of ours.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::device::GROUP;
use super::elements::{Element, Elements, Set};
use super::program::{Header, Meta, Program, RangeSet, Register, Step, Verdict, remove_table};
use crate::Error;

const TABLE: &str = "mn-agent";

/// Which correspondents may reach which home address by which device.
const CORRESPONDENTS: Set = Set("correspondents4");

/// The counters of the table, by the names that the userspace backend uses for the same reasons.
const COUNTERS: [&str; 2] = ["drop_not_a_correspondent", "drop_nested_tunnel"];

/// IP-in-IP, IPv6-in-IP, GRE and minimal encapsulation: whatever is inside would escape the filter.
const TUNNELS: [u8; 4] = [4, 41, 47, 55];

/// What routers on the way say about our own packets: unreachable, time exceeded, parameter problem.
const ICMP_ERRORS: [u8; 3] = [3, 11, 12];

/// Types of `nft`.
const INTERFACE_INDEX: u32 = 20;
const IPV4_ADDRESS: u32 = 7;

/// The first register; the next four octets are in register 9.
const FIRST: Register = Register(1);

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
        let present = elements.list(CORRESPONDENTS)?;
        let present = present.into_iter().map(|present| present.element).collect();
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

/// The rules, as `nft list table inet mn-agent` shows them.
fn rules(table: &'static str) -> Program {
    const IPV4: Step<'_> = Step::Is(FIRST, &[2]);
    let chain = "prerouting";
    let drop = |counter| [Step::Count(counter), Step::Verdict(Verdict::Drop)];
    let mut program = Program::new(table);
    for counter in COUNTERS {
        program.counter(counter);
    }
    program.set(RangeSet {
        name: CORRESPONDENTS.0,
        types: &[INTERFACE_INDEX, IPV4_ADDRESS, IPV4_ADDRESS],
    });
    // Before connections are tracked (`raw`).
    program.prerouting_chain(chain, -300);
    let foreign = [
        Step::Meta(Meta::DeviceGroup, FIRST),
        Step::IsNot(FIRST, &GROUP.to_ne_bytes()),
        Step::Verdict(Verdict::Accept),
    ];
    program.rule(chain, &foreign);
    for protocol in TUNNELS {
        let [count, drop] = drop("drop_nested_tunnel");
        let nested = [
            Step::Meta(Meta::Family, FIRST),
            IPV4,
            Step::Payload(Header::Network, 9, 1, FIRST),
            Step::Is(FIRST, &[protocol]),
            count,
            drop,
        ];
        program.rule(chain, &nested);
    }
    let answer = [
        Step::Meta(Meta::Family, FIRST),
        IPV4,
        Step::Meta(Meta::Device, FIRST),
        Step::BigEndian(FIRST),
        // Destination and source.
        Step::Payload(Header::Network, 16, 4, Register(9)),
        Step::Payload(Header::Network, 12, 4, Register(10)),
        Step::In(CORRESPONDENTS.0, FIRST),
        Step::Verdict(Verdict::Accept),
    ];
    program.rule(chain, &answer);
    for kind in ICMP_ERRORS {
        let report = [
            Step::Meta(Meta::Family, FIRST),
            IPV4,
            Step::Meta(Meta::Transport, FIRST),
            Step::Is(FIRST, &[1]),
            Step::Payload(Header::Transport, 0, 1, FIRST),
            Step::Is(FIRST, &[kind]),
            Step::Verdict(Verdict::Accept),
        ];
        program.rule(chain, &report);
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
            let home = Ipv4Addr::new(10, 128, 0, 9);
            let wanted = |prefix: &str| correspondent(1, home, prefix.parse().unwrap());
            let both = BTreeSet::from([wanted("198.51.100.0/24"), wanted("203.0.113.7/32")]);
            filter.allow(&both).unwrap();
            let shown = nft(&["list", "table", "inet", "mn-agent"]);
            for words in [
                "type iface_index . ipv4_addr . ipv4_addr",
                "\"lo\" . 10.128.0.9 . 198.51.100.0/24",
                "\"lo\" . 10.128.0.9 . 203.0.113.7",
                "iifgroup != 67 accept",
                "ip protocol ipencap counter name \"drop_nested_tunnel\" drop",
                "iif . ip daddr . ip saddr @correspondents4 accept",
                "icmp type time-exceeded accept",
                "counter name \"drop_not_a_correspondent\" drop",
            ] {
                assert!(shown.contains(words), "{words:?} in:\n{shown}");
            }

            // The next run finds it, and what it does not want goes.
            let mut next = Filter::open().unwrap();
            assert_eq!(next.present, both);
            next.allow(&[wanted("203.0.113.7/32")].into()).unwrap();
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
