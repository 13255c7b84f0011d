use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn config(prefixes: &[&str]) -> PoolConfig {
    PoolConfig {
        prefixes: nets(prefixes),
        hold_down: Duration::from_secs(240),
        ..PoolConfig::default()
    }
}

fn pool(config: PoolConfig) -> Pool {
    Pool::new(config, [42; 32]).unwrap()
}

fn drain(pool: &mut Pool, now: Instant) -> Vec<IpAddr> {
    std::iter::from_fn(|| pool.allocate(now).ok()).collect()
}

#[test]
fn a_small_prefix_lends_each_host_address_once_and_is_exhausted_at_once() {
    let now = Instant::now();
    for (prefix, hosts) in [
        ("10.0.0.0/32", 1),
        ("10.0.0.0/31", 2),
        ("10.0.0.0/30", 2),
        ("10.0.0.0/24", 254),
    ] {
        let mut pool = pool(config(&[prefix]));
        let mut lent = drain(&mut pool, now);
        assert_eq!(pool.allocate(now), Err(Exhausted));
        assert_eq!(lent.len(), hosts, "{prefix}");
        lent.sort_unstable();
        lent.dedup();
        assert_eq!(lent.len(), hosts, "{prefix}");
    }
}

#[test]
fn excluded_and_fixed_addresses_are_not_lent_to_just_anybody() {
    let now = Instant::now();
    let mut pool = pool(PoolConfig {
        exclude: nets(&["10.0.0.1/32", "10.0.0.8/29"]),
        fixed: [ip("10.0.0.9"), ip("10.0.0.2")].into(),
        ..config(&["10.0.0.0/28"])
    });
    let mut lent = drain(&mut pool, now);
    lent.sort_unstable();
    assert_eq!(
        lent,
        ["10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.7"].map(ip)
    );
    assert_eq!(
        pool.claim(ip("10.0.0.8")),
        Err(ClaimError::NotLent(ip("10.0.0.8")))
    );
    assert_eq!(
        pool.claim(ip("10.0.1.8")),
        Err(ClaimError::NotLent(ip("10.0.1.8")))
    );
    assert_eq!(pool.claim(ip("10.0.0.9")), Ok(()));
    assert_eq!(
        pool.claim(ip("10.0.0.9")),
        Err(ClaimError::InUse(ip("10.0.0.9")))
    );
    assert_eq!(pool.usage()[0].size, 7);
    assert_eq!(pool.usage()[0].used, 6);
    assert_eq!(
        pool.release(ip("10.0.0.9"), now),
        None,
        "its next user is its last"
    );
    assert_eq!(pool.claim(ip("10.0.0.9")), Ok(()));
}

#[test]
fn a_returned_address_rests_for_the_hold_down() {
    let now = Instant::now();
    let mut pool = pool(config(&["10.0.0.0/32"]));
    let address = pool.allocate(now).unwrap();
    let until = pool.release(address, now).unwrap();
    assert_eq!(until, now + Duration::from_secs(240));
    assert_eq!(pool.poll_timeout(), Some(until));
    assert_eq!(pool.usage()[0].held_down, 1);
    assert_eq!(
        pool.allocate(until - Duration::from_millis(1)),
        Err(Exhausted)
    );
    assert_eq!(pool.allocate(until), Ok(address));
    assert_eq!(pool.usage()[0].held_down, 0);
}

#[test]
fn whoever_had_an_address_can_have_it_back_from_hold_down() {
    let now = Instant::now();
    let mut pool = pool(config(&["10.0.0.0/32"]));
    let address = pool.allocate(now).unwrap();
    pool.release(address, now);
    pool.claim(address).unwrap();
    let later = now + Duration::from_secs(300);
    assert_eq!(
        pool.allocate(later),
        Err(Exhausted),
        "the old hold-down must not free it"
    );
    pool.release(address, later);
    assert_eq!(
        pool.allocate(later + Duration::from_secs(239)),
        Err(Exhausted)
    );
    assert_eq!(pool.allocate(later + Duration::from_secs(240)), Ok(address));
}

#[test]
fn nothing_is_held_down_without_a_hold_down() {
    let now = Instant::now();
    let mut pool = pool(PoolConfig {
        hold_down: Duration::ZERO,
        ..config(&["10.0.0.0/32"])
    });
    let address = pool.allocate(now).unwrap();
    assert_eq!(pool.release(address, now), None);
    assert_eq!(pool.allocate(now), Ok(address));
}

#[test]
fn the_largest_prefixes_cost_nothing() {
    let now = Instant::now();
    for prefix in ["10.0.0.0/8", "2001:db8::/64"] {
        let mut pool = pool(config(&[prefix]));
        for _ in 0..1000 {
            let address = pool.allocate(now).unwrap();
            assert!(pool.covers(address));
        }
        assert_eq!(pool.usage()[0].used, 1000);
    }
    assert_eq!(pool(config(&["2001:db8::/64"])).usage()[0].size, u64::MAX);
}

#[test]
fn the_order_differs_from_seed_to_seed() {
    let now = Instant::now();
    let order = |seed| {
        let mut pool = Pool::new(config(&["10.0.0.0/8"]), [seed; 32]).unwrap();
        (0..8)
            .map(|_| pool.allocate(now).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
}

#[test]
fn the_last_free_address_of_a_restored_pool_is_found() {
    let now = Instant::now();
    let mut pool = pool(config(&["10.0.0.0/16"]));
    for number in 1..65535_u32 {
        if number != 777 {
            let address = IpAddr::from(std::net::Ipv4Addr::from(0x0a00_0000 + number));
            pool.claim(address).unwrap();
        }
    }
    pool.settle();
    assert_eq!(pool.allocate(now), Ok(ip("10.0.3.9")));
    assert_eq!(pool.allocate(now), Err(Exhausted));
}

#[test]
fn memory_follows_what_is_in_use() {
    let now = Instant::now();
    let mut pool = pool(PoolConfig {
        hold_down: Duration::from_secs(1),
        ..config(&["10.0.0.0/8"])
    });
    let lent: Vec<IpAddr> = (0..20_000).map(|_| pool.allocate(now).unwrap()).collect();
    for address in &lent[100..] {
        pool.release(*address, now);
    }
    pool.handle_timeout(now + Duration::from_secs(1));
    assert!(pool.free.capacity() < 4096, "{}", pool.free.capacity());
    assert!(pool.taken.capacity() < 4096, "{}", pool.taken.capacity());
    for address in &lent[..100] {
        assert_eq!(pool.claim(*address), Err(ClaimError::InUse(*address)));
    }
}

#[test]
fn registering_and_leaving_in_a_loop_piles_nothing_up() {
    let now = Instant::now();
    let mut pool = pool(config(&["10.0.0.0/24"]));
    let address = pool.allocate(now).unwrap();
    for millisecond in 0..100_000 {
        pool.release(address, now + Duration::from_millis(millisecond));
        pool.claim(address).unwrap();
    }
    assert!(pool.holds.len() <= SLACK + 2, "{}", pool.holds.len());
}

#[test]
fn contradictory_configurations_are_refused() {
    let error = |config| Pool::new(config, [0; 32]).err().unwrap();
    assert_eq!(error(config(&[])), PoolError::NoPrefix);
    assert!(matches!(
        error(config(&["10.0.0.0/7"])),
        PoolError::TooLarge(_)
    ));
    assert!(matches!(
        error(config(&["2001:db8::/63"])),
        PoolError::TooLarge(_)
    ));
    assert!(matches!(
        error(config(&["10.0.0.0/8", "2001:db8::/64"])),
        PoolError::MixedFamilies(..)
    ));
    assert!(matches!(
        error(config(&["10.0.0.0/8", "10.1.0.0/16"])),
        PoolError::Overlap(..)
    ));
    let fixed = |address| PoolConfig {
        fixed: [ip(address)].into(),
        ..config(&["10.0.0.0/24"])
    };
    assert_eq!(
        error(fixed("10.0.1.1")),
        PoolError::FixedOutside(ip("10.0.1.1"))
    );
    assert_eq!(
        error(fixed("10.0.0.255")),
        PoolError::FixedReserved(ip("10.0.0.255"))
    );
}

/// The same pool as a table with a line for every address.
struct Naive {
    fixed: BTreeSet<IpAddr>,
    lines: BTreeMap<IpAddr, Option<TakenState>>,
}

impl Naive {
    fn expire(&mut self, now: Instant) {
        for line in self.lines.values_mut() {
            if matches!(line, Some(TakenState::HeldDown { until }) if *until <= now) {
                *line = None;
            }
        }
    }

    fn count(&self, prefix: &IpNet, wanted: fn(&TakenState) -> bool) -> u64 {
        let lines = self.lines.iter();
        lines
            .filter(|(address, line)| {
                prefix.contains(*address) && line.as_ref().is_some_and(wanted)
            })
            .count() as u64
    }
}

#[derive(Debug, Clone)]
enum Step {
    Allocate,
    Release(usize),
    Claim(usize),
    Wait(u64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Allocate),
        4 => (0..64_usize).prop_map(Step::Release),
        2 => (0..64_usize).prop_map(Step::Claim),
        2 => (0..20_u64).prop_map(Step::Wait),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #[test]
    fn a_pool_does_what_a_table_of_all_addresses_does(
        steps in prop::collection::vec(step(), 1..300),
        seed: [u8; 32],
        hold_down in 0..30_u64,
    ) {
        let config = PoolConfig {
            prefixes: nets(&["10.0.0.0/28", "10.0.1.0/29", "10.0.2.0/32", "10.9.9.0/30"]),
            exclude: nets(&["10.0.0.12/30", "10.9.9.0/30", "192.0.2.0/24", "2001:db8::/64"]),
            fixed: [ip("10.0.0.2"), ip("10.0.0.13")].into(),
            hold_down: Duration::from_secs(hold_down),
        };
        let mut pool = Pool::new(config.clone(), seed).unwrap();
        let mut now = Instant::now();
        let mut naive = Naive {
            fixed: config.fixed.clone(),
            lines: (1..=11).map(|host| format!("10.0.0.{host}"))
                .chain((1..=6).map(|host| format!("10.0.1.{host}")))
                .chain(["10.0.2.0".to_owned(), "10.0.0.13".to_owned()])
                .map(|text| (ip(&text), None))
                .collect(),
        };
        let addresses: Vec<IpAddr> = naive.lines.keys().copied().collect();
        for step in steps {
            match step {
                Step::Allocate => match pool.allocate(now) {
                    Ok(address) => {
                        prop_assert!(!naive.fixed.contains(&address));
                        prop_assert_eq!(naive.lines.insert(address, Some(TakenState::InUse)), Some(None));
                    }
                    Err(Exhausted) => {
                        let free = naive.lines.iter().find(|(address, line)| line.is_none() && !naive.fixed.contains(address));
                        prop_assert_eq!(free, None);
                    }
                },
                Step::Release(which) => {
                    let address = addresses[which % addresses.len()];
                    let until = pool.release(address, now);
                    let line = naive.lines.get_mut(&address).unwrap();
                    if *line == Some(TakenState::InUse) {
                        *line = until.map(|until| TakenState::HeldDown { until });
                        let rests = hold_down > 0 && !naive.fixed.contains(&address);
                        prop_assert_eq!(until, rests.then(|| now + config.hold_down));
                    } else {
                        prop_assert_eq!(until, None);
                    }
                }
                Step::Claim(which) => {
                    let address = addresses[which % addresses.len()];
                    let line = naive.lines.get_mut(&address).unwrap();
                    let expected = match line {
                        Some(TakenState::InUse) => Err(ClaimError::InUse(address)),
                        Some(TakenState::HeldDown { .. }) | None => Ok(()),
                    };
                    prop_assert_eq!(pool.claim(address), expected);
                    *line = Some(TakenState::InUse);
                }
                Step::Wait(seconds) => {
                    now += Duration::from_secs(seconds);
                    pool.handle_timeout(now);
                    naive.expire(now);
                }
                Step::Restart => {
                    pool = Pool::new(config.clone(), seed).unwrap();
                    for (address, line) in &naive.lines {
                        match line {
                            Some(TakenState::InUse) => pool.claim(*address).unwrap(),
                            Some(TakenState::HeldDown { until }) => pool.hold(*address, *until).unwrap(),
                            None => {}
                        }
                    }
                    pool.settle();
                }
            }
            for usage in pool.usage() {
                prop_assert_eq!(usage.used, naive.count(&usage.prefix, |state| *state == TakenState::InUse));
                prop_assert_eq!(usage.held_down, naive.count(&usage.prefix, |state| *state != TakenState::InUse));
            }
            let next = naive.lines.values().filter_map(|line| match line {
                Some(TakenState::HeldDown { until }) => Some(*until),
                Some(TakenState::InUse) | None => None,
            }).min();
            if let Some(next) = next {
                prop_assert!(pool.poll_timeout().is_some_and(|timeout| timeout <= next));
            }
        }
    }
}
