use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Instant;

use ipnet::Ipv4Net;
use nix::sched::{CloneFlags, unshare};

use super::*;
use crate::kernel::program::remove_table;
use crate::kernel::ruleset::{self, CARE_OF, RECEIVED, Rules, SENT};

/// Runs in a network namespace of its own where the rules are in place, or says loudly that it can't.
fn apart(job: impl FnOnce(&mut Elements) + Send) {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: this test needs root, to make a network namespace");
        return;
    }
    let body = move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let pool: Ipv4Net = "10.128.0.0/10".parse().unwrap();
        let rules = Rules {
            device: "cha0",
            address: Ipv4Addr::new(192, 0, 2, 1),
            pools: &[pool],
        };
        if let Err(error) = rules.try_out() {
            eprintln!("SKIPPED: no packet filter here: {error}");
            return;
        }
        rules.install(None).unwrap();
        job(&mut Elements::open(ruleset::TABLE).unwrap());
    };
    std::thread::scope(|scope| scope.spawn(body).join().unwrap());
}

fn home(number: u32) -> Element {
    Element::of(SENT, (0x0a80_0000 + number).to_be_bytes().to_vec())
}

fn care_of(address: [u8; 4], mark: u32) -> Element {
    Element {
        value: Some(mark.to_ne_bytes().to_vec()),
        ..Element::of(CARE_OF, address.to_vec())
    }
}

fn listed(elements: &mut Elements, set: Set) -> Vec<Element> {
    let mut listed: Vec<_> = elements
        .list(set)
        .unwrap()
        .into_iter()
        .map(|present| present.element)
        .collect();
    listed.sort();
    listed
}

#[test]
fn elements_come_and_go_and_nft_understands_them() {
    apart(|elements| {
        let wanted = [care_of([203, 0, 113, 1], 0x8000_0007), home(1), home(2)];
        elements.change(&wanted, &[]).unwrap();
        assert_eq!(listed(elements, CARE_OF), wanted[..1]);
        assert_eq!(listed(elements, SENT), wanted[1..]);
        let shown = Command::new("nft")
            .args(["list", "table", "inet", "chad"])
            .output()
            .unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        assert!(shown.contains("203.0.113.1 : 0x80000007"), "{shown}");
        assert!(shown.contains("10.128.0.1 counter packets 0"), "{shown}");
        // What is there may be added again; what is not there can't be removed, and then nothing is.
        elements.change(&wanted, &[]).unwrap();
        let absent = elements
            .change(&[home(3)], &[home(1), home(9)])
            .unwrap_err();
        assert!(absent.is_absent(), "{absent}");
        assert_eq!(listed(elements, SENT), wanted[1..]);
        elements.change(&[home(3)], &[home(1)]).unwrap();
        assert_eq!(listed(elements, SENT), [home(2), home(3)]);
        assert_eq!(elements.count(&home(2)).unwrap(), Some(Count::default()));
        assert_eq!(elements.count(&home(1)).unwrap(), None);
    });
}

#[test]
fn rules_installed_again_keep_bindings_and_counters() {
    apart(|elements| {
        elements.change(&[home(1)], &[]).unwrap();
        let rules = Rules {
            device: "cha1",
            address: Ipv4Addr::new(192, 0, 2, 2),
            pools: &[],
        };
        rules.try_out().unwrap();
        rules.install(None).unwrap();
        assert_eq!(listed(elements, SENT), [home(1)]);
        let counters = elements.counters().unwrap();
        let names: Vec<&str> = counters.iter().map(|(name, _)| name.as_str()).collect();
        for name in ruleset::COUNTERS {
            assert!(names.contains(&name), "{name} in {names:?}");
        }
        assert!(elements.table_exists().unwrap());
        remove_table(elements, ruleset::TABLE).unwrap();
        assert!(!elements.table_exists().unwrap());
        assert!(elements.change(&[home(1)], &[]).unwrap_err().is_absent());
    });
}

#[test]
fn many_elements_take_many_transactions_and_all_are_listed() {
    apart(|elements| {
        const MANY: u32 = 20_000;
        let wanted: Vec<_> = (0..MANY).map(home).collect();
        let begin = Instant::now();
        elements.change(&wanted, &[]).unwrap();
        eprintln!("{MANY} elements added in {:?}", begin.elapsed());
        let begin = Instant::now();
        assert_eq!(listed(elements, SENT), wanted);
        eprintln!("listed in {:?}", begin.elapsed());
        let begin = Instant::now();
        elements.change(&[], &[home(7)]).unwrap();
        eprintln!("one removed in {:?}", begin.elapsed());
        elements.change(&[], &wanted[8..]).unwrap();
        assert_eq!(listed(elements, SENT), wanted[..7]);
        assert!(listed(elements, RECEIVED).is_empty());
    });
}
