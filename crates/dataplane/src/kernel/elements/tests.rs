use std::process::Command;
use std::time::Instant;

use mobility_protocol::Family;
use nix::sched::{CloneFlags, unshare};

use super::*;
use crate::kernel::program::remove_table;
use crate::kernel::ruleset::{self, Rules, Served, Sets};

const IPV4: Sets = ruleset::sets(Family::Ipv4);
const IPV6: Sets = ruleset::sets(Family::Ipv6);

/// Runs in a network namespace of its own where the rules are in place, or says loudly that it can't.
fn apart(job: impl FnOnce(&mut Elements) + Send) {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: this test needs root, to make a network namespace");
        return;
    }
    let body = move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let rules = Rules(vec![
            served("cha0", "192.0.2.1", &["10.128.0.0/10"]),
            served("cha0-6", "2001:db8::1", &["2001:db8:4::/64"]),
        ]);
        if let Err(error) = rules.try_out() {
            eprintln!("SKIPPED: no packet filter here: {error}");
            return;
        }
        rules.install(None).unwrap();
        job(&mut Elements::open(ruleset::TABLE).unwrap());
    };
    std::thread::scope(|scope| scope.spawn(body).join().unwrap());
}

fn served(device: &str, address: &str, pools: &[&str]) -> Served {
    Served {
        device: device.to_owned(),
        address: address.parse().unwrap(),
        pools: pools.iter().map(|pool| pool.parse().unwrap()).collect(),
    }
}

fn home(number: u32) -> Element {
    Element::of(IPV4.sent, (0x0a80_0000 + number).to_be_bytes().to_vec())
}

fn care_of(address: [u8; 4], mark: u32) -> Element {
    Element {
        value: Some(mark.to_ne_bytes().to_vec()),
        ..Element::of(IPV4.care_of, address.to_vec())
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
        assert_eq!(listed(elements, IPV4.care_of), wanted[..1]);
        assert_eq!(listed(elements, IPV4.sent), wanted[1..]);
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
        assert_eq!(listed(elements, IPV4.sent), wanted[1..]);
        elements.change(&[home(3)], &[home(1)]).unwrap();
        assert_eq!(listed(elements, IPV4.sent), [home(2), home(3)]);
        assert_eq!(elements.count(&home(2)).unwrap(), Some(Count::default()));
        assert_eq!(elements.count(&home(1)).unwrap(), None);
    });
}

#[test]
fn an_element_with_a_quota_is_one_once_it_is_used_up() {
    apart(|elements| {
        let limit = |number: u32| Element::of(IPV4.unproven, home(number).key);
        let wanted = [
            Element {
                quota: Some(1000),
                ..limit(1)
            },
            limit(2),
        ];
        elements.change(&wanted, &[]).unwrap();
        assert_eq!(listed(elements, IPV4.unproven), [limit(1), limit(2)]);
        let shown = Command::new("nft")
            .args(["list", "table", "inet", "chad"])
            .output()
            .unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        for words in [
            "10.128.0.1 quota over 1000 bytes",
            "ip daddr @unproven4 counter name \"drop_no_credit\" drop",
            "add @recent6 { ip6 daddr . meta hour counter }",
        ] {
            assert!(shown.contains(words), "{words} in {shown}");
        }
        elements.change(&[], &[limit(1), limit(2)]).unwrap();
    });
}

#[test]
fn addresses_of_ipv6_are_elements_too() {
    apart(|elements| {
        let home: IpAddr = "2001:db8:4::9".parse().unwrap();
        let mark = 0x8000_0001_u32.to_ne_bytes();
        let wanted = [
            Element::of(IPV6.bindings, [&mark[..], &octets(home)].concat()),
            Element {
                value: Some(mark.to_vec()),
                ..Element::of(IPV6.care_of, octets("2001:db8:1::10".parse().unwrap()))
            },
            Element::of(IPV6.received, octets(home)),
        ];
        elements.change(&wanted, &[]).unwrap();
        for element in &wanted {
            assert_eq!(listed(elements, element.set), std::slice::from_ref(element));
        }
        let shown = Command::new("nft")
            .args(["list", "table", "inet", "chad"])
            .output()
            .unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        assert!(shown.contains("0x80000001 . 2001:db8:4::9"), "{shown}");
        assert!(shown.contains("2001:db8:1::10 : 0x80000001"), "{shown}");
        assert_eq!(address(&wanted[2].key), Some(home));
    });
}

#[test]
fn correspondents_of_both_families_are_told_at_once() {
    apart(|_| {
        let rules = Rules(vec![
            served("cha0", "192.0.2.1", &[]),
            served("cha0-6", "2001:db8::1", &[]),
        ]);
        let prefixes = |all: &[&str]| all.iter().map(|prefix| prefix.parse().unwrap()).collect();
        let shown = |chain: &str| {
            let output = Command::new("nft")
                .args(["list", "chain", "inet", "chad", chain])
                .output()
                .unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let everybody: Vec<_> = prefixes(&["0.0.0.0/0", "::/0"]);
        rules.set_correspondents(&everybody).unwrap();
        let some: Vec<_> = prefixes(&["198.51.100.0/24", "2001:db8:c::7/128", "198.51.100.7/32"]);
        rules.set_correspondents(&some).unwrap();
        assert!(shown("reports4").contains("0xc6336400-0xc63364ff"));
        let reports = shown("reports6");
        assert!(
            reports.contains("0x20010db8000c00000000000000000007"),
            "{reports}"
        );
        rules.set_correspondents(&[]).unwrap();
        assert!(!shown("reports6").contains("goto"));
    });
}

#[test]
fn rules_installed_again_keep_bindings_and_counters() {
    apart(|elements| {
        elements.change(&[home(1)], &[]).unwrap();
        let rules = Rules(vec![served("cha1", "192.0.2.2", &[])]);
        rules.try_out().unwrap();
        rules.install(None).unwrap();
        assert_eq!(listed(elements, IPV4.sent), [home(1)]);
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
        assert_eq!(listed(elements, IPV4.sent), wanted);
        eprintln!("listed in {:?}", begin.elapsed());
        let begin = Instant::now();
        let keys: Vec<_> = wanted.iter().map(|element| element.key.clone()).collect();
        assert_eq!(
            elements.octets(IPV4.sent, &keys).unwrap(),
            [0; MANY as usize]
        );
        eprintln!("counters read in {:?}", begin.elapsed());
        let begin = Instant::now();
        elements.change(&[], &[home(7)]).unwrap();
        assert!(elements.octets(IPV4.sent, &keys).is_err());
        eprintln!("one removed in {:?}", begin.elapsed());
        elements.change(&[], &wanted[8..]).unwrap();
        assert_eq!(listed(elements, IPV4.sent), wanted[..7]);
        assert!(listed(elements, IPV4.received).is_empty());
    });
}
