//! Fleets of mobile nodes and home agents in virtual time, over a network that behaves as badly as
//! the seed says, with a model beside them that knows what must be true.
//!
//! A run that fails prints its seed; `SIMULATOR_SEED=<seed>` runs every test with that seed alone,
//! `SIMULATOR_SEEDS=<n>` with n of them instead of the few that are the default.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a simulation that can't go on has failed"
)]

mod attacker;
mod attacks;
mod checks;
mod fleet;
mod forgery;
mod model;
mod network;
mod node;
mod script;
mod tolls;
mod twist;

use std::time::Duration;

use fleet::{Scale, World};
use mobility_protocol::Family;
use network::Conditions;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const FLEET: Scale = Scale {
    laptops: 300,
    agents: 3,
    pool_length: 16,
    agents_per_laptop: 2,
    conditions: Conditions::BAD,
    lifetime: seconds(120),
    hold_down: seconds(60),
    wrong_clocks: 100,
    nonces: true,
    families: &[Family::Ipv4],
    without_native: 0,
};

/// Everybody talks in both families, and a third can't do so natively.
const BOTH_FAMILIES: Scale = Scale {
    laptops: 200,
    families: &[Family::Ipv4, Family::Ipv6],
    without_native: 333,
    ..FLEET
};

/// Prints the seed when the test fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with SIMULATOR_SEED={}", self.0);
        }
    }
}

fn with_seeds(seeds: u64, scale: Scale, run: impl Fn(&mut World)) {
    let variable = |name| {
        std::env::var(name)
            .ok()
            .and_then(|value| value.parse::<u64>().ok())
    };
    let seeds = match variable("SIMULATOR_SEED") {
        Some(only) => only..only + 1,
        None => 0..variable("SIMULATOR_SEEDS").unwrap_or(seeds),
    };
    for seed in seeds {
        let seed = Seed(seed);
        run(&mut World::new(scale, seed.0));
    }
}

/// The bad network goes on for a while; then it recovers, and everything that still happens by
/// itself has the time to: retries, refreshes, the end of what nobody confirmed. Whoever talked
/// talks on, and both sides say the same.
fn calm_down(world: &mut World, scale: &Scale) {
    world.run(scale.lifetime);
    world.check();
    world.set_conditions(Conditions::GOOD);
    world.run(3 * scale.lifetime + seconds(600));
    world.check_agreement();
    world.set_conditions(scale.conditions);
}

fn tear_down(world: &mut World, scale: &Scale) {
    world.schedule_close(0..scale.laptops, seconds(10));
    world.run(3 * scale.lifetime + scale.hold_down + seconds(300));
    world.check_empty();
}

/// Everything that can happen to a fleet happens; then it has all its bindings, and leaves.
fn move_crash_and_restart(world: &mut World, scale: &Scale, bindings: usize) {
    world.set_up(seconds(20));
    world.schedule_moves(8, seconds(300));
    world.schedule_laptop_crashes(300, seconds(300));
    world.schedule_agent_crashes(seconds(300), false);
    world.schedule_talk(seconds(300));
    world.schedule_checks(300, seconds(300));
    world.run(seconds(320));
    calm_down(world, scale);
    assert_eq!(world.wanted_and_active(), (bindings, bindings));
    tear_down(world, scale);
}

/// More laptops want a binding than there are addresses.
fn run_out_of_addresses(world: &mut World) {
    world.set_up(seconds(20));
    world.schedule_moves(4, seconds(200));
    world.schedule_laptop_crashes(200, seconds(200));
    world.schedule_checks(40, seconds(400));
    world.run(seconds(400));
    let (wanted, active) = world.wanted_and_active();
    assert_eq!(wanted, 300);
    assert!(
        (100..=128).contains(&active),
        "{active} of an exhausted pool"
    );
}

/// Bindings last for seconds, and end in every way.
fn come_and_go_for_moments(world: &mut World, scale: &Scale) {
    world.set_up(seconds(10));
    world.schedule_moves(6, seconds(100));
    world.schedule_laptop_crashes(200, seconds(100));
    world.schedule_agent_crashes(seconds(100), false);
    world.schedule_checks(50, seconds(100));
    world.run(seconds(120));
    world.check();
    tear_down(world, scale);
}

#[test]
fn a_quiet_network_serves_everybody_at_once() {
    let scale = Scale {
        conditions: Conditions::GOOD,
        wrong_clocks: 0,
        ..FLEET
    };
    with_seeds(3, scale, |world| {
        world.set_up(seconds(5));
        world.run(seconds(6));
        world.check_agreement();
        let (wanted, active) = world.wanted_and_active();
        assert_eq!((wanted, active), (600, 600));
        world.check_datagrams(600);
        tear_down(world, &scale);
    });
}

#[test]
fn ten_thousand_laptops_set_up_move_and_leave_at_thirty_percent_loss() {
    let scale = Scale {
        laptops: 10_000,
        agents: 4,
        agents_per_laptop: 1,
        ..FLEET
    };
    with_seeds(1, scale, |world| {
        world.set_up(seconds(30));
        world.run(seconds(60));
        world.check();
        world.schedule_moves(3, seconds(90));
        world.schedule_checks(3, seconds(90));
        world.run(seconds(120));
        calm_down(world, &scale);
        assert_eq!(world.wanted_and_active(), (10_000, 10_000));
        tear_down(world, &scale);
    });
}

#[test]
fn moves_crashes_and_restarts_at_thirty_percent_loss() {
    with_seeds(8, FLEET, |world| {
        move_crash_and_restart(world, &FLEET, 600);
    });
}

#[test]
fn home_agents_that_forget_are_noticed_and_asked_again() {
    with_seeds(4, FLEET, |world| {
        world.set_up(seconds(20));
        world.run(seconds(60));
        world.schedule_agent_crashes(seconds(10), true);
        world.schedule_talk(seconds(120));
        world.run(seconds(60));
        let (_, active) = world.wanted_and_active();
        assert!(active >= 540, "{active} of 600 talk again within a minute");
        calm_down(world, &FLEET);
        assert_eq!(world.wanted_and_active(), (600, 600));
        tear_down(world, &FLEET);
    });
}

#[test]
fn a_pool_that_is_too_small_never_lends_twice_and_recovers() {
    let scale = Scale {
        agents: 1,
        agents_per_laptop: 1,
        pool_length: 25,
        hold_down: seconds(30),
        ..FLEET
    };
    with_seeds(4, scale, |world| {
        run_out_of_addresses(world);

        world.schedule_close(0..200, seconds(100));
        world.schedule_checks(400, seconds(400));
        world.run(seconds(400));
        world.set_conditions(Conditions::GOOD);
        world.run(seconds(1200));
        world.check_agreement();
        assert_eq!(
            world.wanted_and_active(),
            (100, 100),
            "there is room for the others now"
        );
        tear_down(world, &scale);
    });
}

#[test]
fn leaving_while_moving_returns_every_address_long_before_its_lifetime_ends() {
    let scale = Scale {
        conditions: Conditions::SLOW,
        lifetime: seconds(3600),
        // Who misses the last answer has no nonce to give an address back with.
        nonces: false,
        ..FLEET
    };
    with_seeds(6, scale, |world| {
        world.set_up(seconds(10));
        world.run(seconds(15));
        world.schedule_moves(40, seconds(60));
        world.schedule_close(0..scale.laptops, seconds(60));
        world.run(seconds(240));
        world.check_all_returned();
    });
}

#[test]
fn short_lifetimes_on_a_bad_network_leak_nothing() {
    let scale = Scale {
        laptops: 200,
        lifetime: seconds(8),
        hold_down: seconds(20),
        ..FLEET
    };
    with_seeds(6, scale, |world| {
        come_and_go_for_moments(world, &scale);
    });
}

#[test]
fn both_families_are_served_at_once_on_a_quiet_network() {
    let scale = Scale {
        conditions: Conditions::GOOD,
        wrong_clocks: 0,
        without_native: 0,
        ..BOTH_FAMILIES
    };
    with_seeds(3, scale, |world| {
        world.set_up(seconds(5));
        world.run(seconds(6));
        world.check_agreement();
        assert_eq!(world.wanted_and_active(), (800, 800));
        world.check_datagrams(800);
        world.check_transports();
        tear_down(world, &scale);
    });
}

#[test]
fn who_is_without_the_mobility_header_is_served_in_udp_and_goes_back() {
    let scale = Scale {
        conditions: Conditions::GOOD,
        families: &[Family::Ipv6],
        ..BOTH_FAMILIES
    };
    with_seeds(3, scale, |world| {
        world.set_up(seconds(5));
        world.run(seconds(10));
        world.check_agreement();
        assert_eq!(world.wanted_and_active(), (400, 400));
        world.check_transports();
        // Whoever can't becomes who can, and the reverse.
        for laptop in &mut world.laptops {
            laptop.native = !laptop.native;
        }
        world.run(2 * scale.lifetime);
        world.check_agreement();
        world.check_transports();
        tear_down(world, &scale);
    });
}

#[test]
fn mixed_fleets_move_crash_and_restart_at_thirty_percent_loss() {
    with_seeds(6, BOTH_FAMILIES, |world| {
        move_crash_and_restart(world, &BOTH_FAMILIES, 800);
    });
}

#[test]
fn forgetful_home_agents_and_small_pools_are_no_trouble_in_ipv6_either() {
    let scale = Scale {
        families: &[Family::Ipv6],
        ..BOTH_FAMILIES
    };
    with_seeds(3, scale, |world| {
        world.set_up(seconds(20));
        world.run(seconds(60));
        world.schedule_agent_crashes(seconds(10), true);
        world.schedule_talk(seconds(120));
        world.run(seconds(120));
        calm_down(world, &scale);
        assert_eq!(world.wanted_and_active(), (400, 400));
        tear_down(world, &scale);
    });
    let scale = Scale {
        laptops: 300,
        agents: 1,
        agents_per_laptop: 1,
        pool_length: 25,
        hold_down: seconds(30),
        ..scale
    };
    with_seeds(2, scale, |world| {
        run_out_of_addresses(world);
        tear_down(world, &scale);
    });
}

#[test]
fn short_lifetimes_leak_nothing_in_either_family() {
    let scale = Scale {
        lifetime: seconds(8),
        hold_down: seconds(20),
        ..BOTH_FAMILIES
    };
    with_seeds(4, scale, |world| {
        come_and_go_for_moments(world, &scale);
    });
}
