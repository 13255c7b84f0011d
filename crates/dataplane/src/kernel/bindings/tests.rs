use std::net::Ipv4Addr;

use super::*;
use crate::kernel::elements;
use proptest::prelude::*;

const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

/// One address told for both families: for IPv6 it is the last part.
fn address(family: Family, text: &str) -> IpAddr {
    let ipv4: Ipv4Addr = text.parse().unwrap();
    match family {
        Family::Ipv4 => ipv4.into(),
        Family::Ipv6 => ipv4.to_ipv6_mapped().into(),
    }
}

/// Bindings of one family, told by texts.
struct Told {
    family: Family,
    bindings: Bindings,
}

/// Care-of address, and the one before.
type State = Option<(&'static str, Option<&'static str>)>;

impl Told {
    fn new(family: Family) -> Self {
        let bindings = Bindings::default();
        Self { family, bindings }
    }

    /// What is added and what is removed.
    fn change(&mut self, changes: &[(&str, State)]) -> (Vec<String>, Vec<String>) {
        let family = self.family;
        let address = |text: &str| address(family, text);
        let binding = |home, (remote, former): (&str, Option<&str>)| Binding {
            wrap: Wrap::new(home, address("192.0.2.1"), address(remote)).unwrap(),
            former: former.map(address),
            reachability: Reachability::Proven,
        };
        let after = changes
            .iter()
            .map(|(home, state)| {
                let home = address(home);
                (home, state.map(|state| binding(home, state)))
            })
            .collect();
        let Difference { add, remove, .. } = self.bindings.exchange(&after);
        (shown(self.family, &add), shown(self.family, &remove))
    }
}

/// `set key` or `set key value`, without the number of the set's family, marks counted from zero.
fn shown(family: Family, elements: &[Element]) -> Vec<String> {
    let suffix = match family {
        Family::Ipv4 => "4",
        Family::Ipv6 => "6",
    };
    let mark = |octets: &[u8]| u32::from_ne_bytes(octets.try_into().unwrap()) - FIRST_MARK;
    let ip = |octets: &[u8]| elements::address(octets).unwrap().to_canonical();
    elements
        .iter()
        .map(|element| {
            let set = element.set.0.strip_suffix(suffix).unwrap();
            match (set, &element.value) {
                (_, Some(value)) => format!("{set} {} {}", ip(&element.key), mark(value)),
                ("bindings", None) => {
                    let (number, home) = element.key.split_at(4);
                    format!("{set} {} {}", mark(number), ip(home))
                }
                ("own", None) => {
                    let (home, same) = element.key.split_at(element.key.len() / 2);
                    assert_eq!(home, same);
                    format!("{set} {}", ip(home))
                }
                _ => format!("{set} {}", ip(&element.key)),
            }
        })
        .collect()
}

#[test]
fn a_move_adds_the_new_pair_and_keeps_the_former_until_told() {
    for family in FAMILIES {
        let mut told = Told::new(family);
        let home = "10.128.0.9";
        let (add, remove) = told.change(&[(home, Some(("203.0.113.1", None)))]);
        assert_eq!(
            add,
            [
                "bindings 0 10.128.0.9",
                "care_of 203.0.113.1 0",
                "own 10.128.0.9",
                "received 10.128.0.9",
                "sent 10.128.0.9",
            ]
        );
        assert!(remove.is_empty());

        let moved = Some(("203.0.113.2", Some("203.0.113.1")));
        let (add, remove) = told.change(&[(home, moved)]);
        assert_eq!(add, ["bindings 1 10.128.0.9", "care_of 203.0.113.2 1"]);
        assert!(remove.is_empty(), "{remove:?}");

        let (add, remove) = told.change(&[(home, Some(("203.0.113.2", None)))]);
        assert!(add.is_empty(), "{add:?}");
        assert_eq!(remove, ["bindings 0 10.128.0.9", "care_of 203.0.113.1 0"]);

        let (add, remove) = told.change(&[(home, None)]);
        assert!(add.is_empty());
        assert_eq!(remove.len(), 5);
        assert!(told.bindings.all_elements().is_empty());
    }
}

#[test]
fn home_addresses_behind_one_care_of_address_share_its_mark() {
    for family in FAMILIES {
        let mut told = Told::new(family);
        let shared = Some(("203.0.113.1", None));
        told.change(&[("10.128.0.1", shared)]);
        let (add, _) = told.change(&[("10.128.0.2", shared)]);
        assert_eq!(
            add,
            [
                "bindings 0 10.128.0.2",
                "own 10.128.0.2",
                "received 10.128.0.2",
                "sent 10.128.0.2"
            ]
        );
        let (_, remove) = told.change(&[("10.128.0.1", None)]);
        assert_eq!(
            remove,
            [
                "bindings 0 10.128.0.1",
                "own 10.128.0.1",
                "received 10.128.0.1",
                "sent 10.128.0.1"
            ]
        );
    }
}

#[test]
fn what_comes_and_goes_within_one_round_changes_nothing() {
    for family in FAMILIES {
        let mut told = Told::new(family);
        let here = Some(("203.0.113.1", None));
        told.change(&[("10.128.0.1", here)]);
        // One leaves the care-of address that another takes.
        let (add, remove) = told.change(&[("10.128.0.1", None), ("10.128.0.2", here)]);
        assert!(
            add.iter()
                .chain(&remove)
                .all(|element| !element.starts_with("care_of"))
        );
        let (add, remove) = told.change(&[("10.128.0.2", here)]);
        assert!(add.is_empty() && remove.is_empty());
        let (add, remove) = told.change(&[("10.128.0.3", None)]);
        assert!(add.is_empty() && remove.is_empty());
    }
}

#[test]
fn a_former_run_is_taken_over_with_its_marks() {
    for family in FAMILIES {
        let mut first = Told::new(family);
        first.change(&[
            ("10.128.0.1", Some(("203.0.113.1", None))),
            ("10.128.0.2", Some(("203.0.113.2", Some("203.0.113.3")))),
            ("10.128.0.3", Some(("203.0.113.4", None))),
        ]);
        first.change(&[("10.128.0.1", None)]);
        let first = first.bindings;
        let present = first.all_elements();
        let routed = first.by_home.values().map(|binding| binding.wrap);
        let bindings = Bindings::take_over(&present, routed);
        assert_eq!(bindings.by_home, first.by_home);
        assert_eq!(bindings.all_elements(), first.all_elements());
        let mut next = Told { family, bindings };
        let (add, _) = next.change(&[("10.128.0.7", Some(("203.0.113.9", None)))]);
        assert!(add.contains(&"care_of 203.0.113.9 0".to_owned()), "{add:?}");
        let (add, _) = next.change(&[("10.128.0.8", Some(("203.0.113.8", None)))]);
        assert!(add.contains(&"care_of 203.0.113.8 4".to_owned()), "{add:?}");
    }
}

#[test]
fn what_a_crash_left_of_a_binding_is_surplus() {
    for family in FAMILIES {
        let mut told = Told::new(family);
        let here = Some(("203.0.113.1", None));
        told.change(&[("10.128.0.1", here), ("10.128.0.2", here)]);
        let present = told
            .bindings
            .all_elements()
            .into_iter()
            .filter(|element| element.value.is_some() || is_pair(element))
            .collect();
        told.change(&[("10.128.0.2", None), ("10.128.0.3", here)]);
        let done = told.bindings.completion(&present);
        let left = ["own 10.128.0.2", "received 10.128.0.2", "sent 10.128.0.2"];
        assert_eq!(shown(family, &done.uncertain), left);
        assert_eq!(
            shown(family, &done.surplus),
            [&["bindings 0 10.128.0.2"], &left[..]].concat()
        );
        assert_eq!(
            shown(family, &done.missing),
            [
                "bindings 0 10.128.0.3",
                "own 10.128.0.1",
                "own 10.128.0.3",
                "received 10.128.0.1",
                "received 10.128.0.3",
                "sent 10.128.0.1",
                "sent 10.128.0.3",
            ]
        );
        assert_eq!(done.count, 1);
    }
}

#[test]
fn an_unproven_address_is_limited_until_its_proof_also_after_a_crash() {
    for family in FAMILIES {
        let home = address(family, "10.128.0.9");
        let at = |remote: &str, reachability| {
            let wrap = Wrap::new(home, address(family, "192.0.2.1"), address(family, remote));
            let binding = Binding {
                wrap: wrap.unwrap(),
                former: None,
                reachability,
            };
            BTreeMap::from([(home, Some(binding))])
        };
        let mut bindings = Bindings::default();
        bindings.exchange(&at("203.0.113.1", Reachability::Proven));
        let moved = bindings.exchange(&at("203.0.113.2", Reachability::Unproven));
        assert!(moved.add.contains(&limit(home)));
        let further = bindings.exchange(&at("203.0.113.3", Reachability::Unproven));
        assert!(
            [further.add, further.remove, further.lift]
                .iter()
                .all(|elements| !elements.contains(&limit(home))),
            "what was spent stays spent"
        );
        let routed: Vec<_> = bindings.all().map(|binding| binding.wrap).collect();
        let mut next = Bindings::take_over(&bindings.all_elements(), routed);
        assert_eq!(next.by_home, bindings.by_home);
        let proven = next.exchange(&at("203.0.113.3", Reachability::Proven));
        assert_eq!(proven.lift, [limit(home)]);
        assert_eq!((proven.add, proven.remove), (vec![], vec![]));
    }
}

proptest! {
    /// The kernel, told every difference, has what the bindings need, and no mark twice.
    #[test]
    fn differences_add_up(
        rounds in proptest::collection::vec(
            proptest::collection::btree_map(
                0u8..6,
                proptest::option::of((0u8..5, proptest::option::of(0u8..5), any::<bool>())),
                0..4,
            ),
            0..40,
        )
    ) {
        let mut bindings = Bindings::default();
        let mut kernel = BTreeSet::new();
        for round in rounds {
            let after = round
                .into_iter()
                .map(|(home, state)| {
                    // Those with an odd number are of IPv6.
                    let family = FAMILIES[usize::from(home % 2)];
                    let address = |network: u8, last: u8| {
                        address(family, &format!("10.0.{network}.{last}"))
                    };
                    let home = address(0, home);
                    let binding = state.map(|(remote, former, proven): (u8, Option<u8>, bool)| Binding {
                        wrap: Wrap::new(home, address(1, 1), address(2, remote)).unwrap(),
                        former: former.map(|former| address(2, former)),
                        reachability: if proven {
                            Reachability::Proven
                        } else {
                            Reachability::Unproven
                        },
                    });
                    (home, binding)
                })
                .collect();
            let Difference { add, remove, lift } = bindings.exchange(&after);
            prop_assert!(lift.iter().all(is_limit) && !remove.iter().any(is_limit));
            for element in remove.into_iter().chain(lift) {
                prop_assert!(kernel.remove(&element), "{element:?} was not there");
            }
            for element in add {
                prop_assert!(kernel.insert(element.clone()), "{element:?} was there");
            }
            prop_assert_eq!(&kernel, &bindings.all_elements());
            let marks: Vec<_> = kernel.iter().filter_map(|element| element.value.clone()).collect();
            let distinct: BTreeSet<_> = marks.iter().cloned().collect();
            prop_assert_eq!(marks.len(), distinct.len());
        }
    }
}
