use super::*;
use proptest::prelude::*;

fn address(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn binding(remote: &str, former: Option<&str>) -> Option<Binding> {
    Some(Binding {
        local: address("192.0.2.1"),
        remote: address(remote),
        former: former.map(address),
    })
}

fn change(
    bindings: &mut Bindings,
    changes: &[(&str, Option<Binding>)],
) -> (Vec<String>, Vec<String>) {
    let after = changes
        .iter()
        .map(|(home, binding)| (address(home), *binding))
        .collect();
    let Difference { add, remove } = bindings.exchange(&after);
    (shown(&add), shown(&remove))
}

/// `set key` or `set key value`, marks counted from zero.
fn shown(elements: &[Element]) -> Vec<String> {
    let mark = |octets: &[u8]| u32::from_ne_bytes(octets.try_into().unwrap()) - FIRST_MARK;
    let ip = |octets: &[u8]| Ipv4Addr::from(<[u8; 4]>::try_from(octets).unwrap());
    elements
        .iter()
        .map(|element| match (element.set, &element.value) {
            (set, Some(value)) => format!("{} {} {}", set.0, ip(&element.key), mark(value)),
            (BINDINGS, None) => {
                format!(
                    "bindings4 {} {}",
                    mark(&element.key[..4]),
                    ip(&element.key[4..])
                )
            }
            (set, None) => format!("{} {}", set.0, ip(&element.key)),
        })
        .collect()
}

#[test]
fn a_move_adds_the_new_pair_and_keeps_the_former_until_told() {
    let mut bindings = Bindings::default();
    let home = "10.128.0.9";
    let (add, remove) = change(&mut bindings, &[(home, binding("203.0.113.1", None))]);
    assert_eq!(
        add,
        [
            "bindings4 0 10.128.0.9",
            "care_of4 203.0.113.1 0",
            "received4 10.128.0.9",
            "sent4 10.128.0.9",
        ]
    );
    assert!(remove.is_empty());

    let moved = binding("203.0.113.2", Some("203.0.113.1"));
    let (add, remove) = change(&mut bindings, &[(home, moved)]);
    assert_eq!(add, ["bindings4 1 10.128.0.9", "care_of4 203.0.113.2 1"]);
    assert!(remove.is_empty(), "{remove:?}");

    let (add, remove) = change(&mut bindings, &[(home, binding("203.0.113.2", None))]);
    assert!(add.is_empty(), "{add:?}");
    assert_eq!(remove, ["bindings4 0 10.128.0.9", "care_of4 203.0.113.1 0"]);

    let (add, remove) = change(&mut bindings, &[(home, None)]);
    assert!(add.is_empty());
    assert_eq!(remove.len(), 4);
    assert!(bindings.all_elements().is_empty());
}

#[test]
fn home_addresses_behind_one_care_of_address_share_its_mark() {
    let mut bindings = Bindings::default();
    let shared = binding("203.0.113.1", None);
    change(&mut bindings, &[("10.128.0.1", shared)]);
    let (add, _) = change(&mut bindings, &[("10.128.0.2", shared)]);
    assert_eq!(
        add,
        [
            "bindings4 0 10.128.0.2",
            "received4 10.128.0.2",
            "sent4 10.128.0.2"
        ]
    );
    let (_, remove) = change(&mut bindings, &[("10.128.0.1", None)]);
    assert_eq!(
        remove,
        [
            "bindings4 0 10.128.0.1",
            "received4 10.128.0.1",
            "sent4 10.128.0.1"
        ]
    );
}

#[test]
fn what_comes_and_goes_within_one_round_changes_nothing() {
    let mut bindings = Bindings::default();
    let here = binding("203.0.113.1", None);
    change(&mut bindings, &[("10.128.0.1", here)]);
    // One leaves the care-of address that another takes.
    let (add, remove) = change(&mut bindings, &[("10.128.0.1", None), ("10.128.0.2", here)]);
    assert!(
        add.iter()
            .chain(&remove)
            .all(|element| !element.starts_with("care_of4"))
    );
    let (add, remove) = change(&mut bindings, &[("10.128.0.2", here)]);
    assert!(add.is_empty() && remove.is_empty());
    let (add, remove) = change(&mut bindings, &[("10.128.0.3", None)]);
    assert!(add.is_empty() && remove.is_empty());
}

#[test]
fn a_former_run_is_taken_over_with_its_marks() {
    let mut first = Bindings::default();
    change(
        &mut first,
        &[
            ("10.128.0.1", binding("203.0.113.1", None)),
            ("10.128.0.2", binding("203.0.113.2", Some("203.0.113.3"))),
            ("10.128.0.3", binding("203.0.113.4", None)),
        ],
    );
    change(&mut first, &[("10.128.0.1", None)]);
    let marks = first
        .care_of
        .iter()
        .map(|(address, care_of)| (*address, care_of.mark))
        .collect();
    let pairs = first
        .all_elements()
        .into_iter()
        .filter(|element| element.set == BINDINGS)
        .map(|element| {
            let (mark, home) = element.key.split_at(4);
            let mark = u32::from_ne_bytes(mark.try_into().unwrap());
            (mark, Ipv4Addr::from(<[u8; 4]>::try_from(home).unwrap()))
        })
        .collect();
    let routed = first
        .by_home
        .iter()
        .map(|(home, binding)| {
            (
                *home,
                Binding {
                    former: None,
                    ..*binding
                },
            )
        })
        .collect();
    let mut next = Bindings::take_over(&marks, &pairs, &routed);
    assert_eq!(next.by_home, first.by_home);
    assert_eq!(next.all_elements(), first.all_elements());
    let (add, _) = change(&mut next, &[("10.128.0.7", binding("203.0.113.9", None))]);
    assert!(
        add.contains(&"care_of4 203.0.113.9 0".to_owned()),
        "{add:?}"
    );
    let (add, _) = change(&mut next, &[("10.128.0.8", binding("203.0.113.8", None))]);
    assert!(
        add.contains(&"care_of4 203.0.113.8 4".to_owned()),
        "{add:?}"
    );
}

proptest! {
    /// The kernel, told every difference, has what the bindings need, and no mark twice.
    #[test]
    fn differences_add_up(
        rounds in proptest::collection::vec(
            proptest::collection::btree_map(
                0u8..6,
                proptest::option::of((0u8..5, proptest::option::of(0u8..5))),
                0..4,
            ),
            0..40,
        )
    ) {
        let mut bindings = Bindings::default();
        let mut kernel = BTreeSet::new();
        for round in rounds {
            let care_of = |last| Ipv4Addr::new(203, 0, 113, last);
            let after = round
                .into_iter()
                .map(|(home, state)| {
                    let binding = state.map(|(remote, former)| Binding {
                        local: Ipv4Addr::LOCALHOST,
                        remote: care_of(remote),
                        former: former.map(care_of),
                    });
                    (Ipv4Addr::new(10, 0, 0, home), binding)
                })
                .collect();
            let Difference { add, remove } = bindings.exchange(&after);
            for element in remove {
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
