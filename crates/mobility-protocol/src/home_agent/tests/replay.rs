//! Timestamps: what is old, what is repeated, and clocks that are wrong.

use super::*;

const ALICE: &str = "alice@example.net";

fn shifted(world: &mut World, seconds: i64) -> Ask {
    let unix_time = world
        .agent
        .clock
        .unix_time(world.now)
        .as_secs()
        .checked_add_signed(seconds)
        .unwrap();
    world.ask(ALICE, 7).with(|request| {
        request.identification = Identification::from_unix(secs(unix_time))
            .with_high(Identification::from_unix(secs(unix_time)).high());
    })
}

#[test]
fn a_clock_off_by_more_than_the_window_is_told_the_time() {
    for (off, accepted) in [
        (-3600, false),
        (-8, false),
        (-6, true),
        (6, true),
        (8, false),
        (3600, false),
    ] {
        let mut world = World::new();
        let ask = shifted(&mut world, off);
        let reply = world.send(&ask).unwrap();
        assert_eq!(reply.code.is_accepted(), accepted, "{off}");
        if !accepted {
            assert_eq!(reply.code, ReplyCode::IDENTIFICATION_MISMATCH);
            assert_eq!(
                reply.identification.high(),
                Identification::from_unix(NEW_YEAR).high()
            );
            assert_eq!(reply.identification.low(), ask.request.identification.low());
            assert_eq!(world.used(), (0, 0));
        }
    }
}

#[test]
fn each_request_has_to_be_later_than_the_last_accepted() {
    let mut world = World::new();
    let early = world.ask(ALICE, 8);
    let address = world.bound(ALICE, 7);
    // Delivered late, or replayed: the move it asks for is over.
    let reply = world.send(&early).unwrap();
    assert_eq!(reply.code, ReplyCode::IDENTIFICATION_MISMATCH);
    assert_eq!(
        reply.identification.high(),
        Identification::from_unix(NEW_YEAR).high()
    );
    assert_eq!(world.bindings()[0].care_of, at(7));

    // Only what was accepted counts.
    let refused = shifted(&mut world, 6).of(Ipv4Addr::new(10, 128, 0, 77));
    assert_eq!(world.send(&refused).unwrap().code.0, 129);
    let ask = world.ask(ALICE, 7).of(address);
    assert_eq!(world.send(&ask).unwrap().code, ReplyCode::ACCEPTED);
}

#[test]
fn a_request_that_arrives_twice_is_answered_twice_and_counts_once() {
    let mut world = World::new();
    let ask = world.ask(ALICE, 7);
    let first = world.send(&ask).unwrap();
    let stored = world.store.clone();
    world.take_events();
    world.wait(secs(5));
    let second = world.send(&ask).unwrap();
    assert_eq!(
        (second.code, second.home_address),
        (first.code, first.home_address)
    );
    assert_eq!(
        second.lifetime,
        Lifetime::Finite(secs(595)),
        "not a second longer"
    );
    assert_eq!(world.take_events(), []);
    assert_eq!(world.store, stored);
    assert_eq!(world.used(), (1, 0));

    // Not if it says something else, or comes from elsewhere.
    let elsewhere = Ask {
        source: "192.0.2.1:1".parse().unwrap(),
        ..ask.clone()
    };
    assert_eq!(world.send(&elsewhere).unwrap().code.0, 133);
    let other = ask
        .clone()
        .with(|request| request.lifetime = Lifetime::Zero);
    assert_eq!(world.send(&other).unwrap().code.0, 133);
    let moved = ask.with(|request| request.care_of_address = Ipv4Addr::new(198, 51, 100, 9));
    assert_eq!(world.send(&moved).unwrap().code.0, 133);
}

#[test]
fn a_deregistration_that_arrives_twice_is_answered_twice() {
    let mut world = World::new();
    let address = world.bound(ALICE, 7);
    let ask = world.ask(ALICE, 7).release(address);
    world.send(&ask).unwrap();
    world.take_events();
    let again = world.send(&ask).unwrap();
    assert_eq!(
        (again.code, again.lifetime),
        (ReplyCode::ACCEPTED, Lifetime::Zero)
    );
    assert_eq!(world.take_events(), []);
}

#[test]
fn what_created_a_binding_can_not_create_it_again_after_its_end() {
    for hold_down in [0, 1, 240] {
        let mut world = World::with(Config {
            hold_down: secs(hold_down),
            ..config()
        });
        let create = shifted(&mut world, 6);
        let address = world.send(&create).unwrap().home_address;
        let end = shifted(&mut world, 7).release(address);
        assert_eq!(world.send(&end).unwrap().code.0, 0);
        for _ in 0..30 {
            world.wait(secs(1));
            assert_eq!(world.send(&create).unwrap().code.0, 133);
            let again = world.send(&end).unwrap();
            assert!(
                again.code.0 == 0 || again.code.0 == 133,
                "no effect either way"
            );
            assert_eq!(world.bindings(), []);
        }
    }
}

#[test]
fn a_clock_of_ours_that_was_wrong_locks_nobody_out_and_lets_nothing_in_twice() {
    let mut world = World::new();
    world
        .agent
        .handle_unix_time(NEW_YEAR + secs(31_536_000), world.now);
    let address = world.bound(ALICE, 7);
    let old = world.ask(ALICE, 8).of(address);
    let refresh = world.ask(ALICE, 7).of(address);
    world.send(&refresh).unwrap();

    world.agent.handle_unix_time(NEW_YEAR, world.now);
    world.round();
    let ask = world.ask(ALICE, 7).of(address);
    let reply = world.send(&ask).unwrap();
    assert_eq!(reply.code, ReplyCode::IDENTIFICATION_MISMATCH);
    // What a mobile node makes of it: the difference is added to its clock.
    let offset = reply
        .identification
        .seconds_since(ask.request.identification);
    let corrected = |ask: Ask| {
        let high = ask
            .request
            .identification
            .high()
            .wrapping_add_signed(offset);
        ask.with(|request| request.identification = request.identification.with_high(high))
    };
    world.wait(secs(1));
    let ask = corrected(world.ask(ALICE, 9).of(address));
    assert_eq!(world.send(&ask).unwrap().code, ReplyCode::ACCEPTED);
    assert_eq!(world.send(&old).unwrap().code.0, 133);
    assert_eq!(world.bindings()[0].care_of, at(9));
}

#[test]
fn the_change_of_the_ntp_era_is_not_noticed() {
    let mut world = World::new();
    world
        .agent
        .handle_unix_time(secs(2_085_978_496 - 300), world.now);
    let address = world.bound(ALICE, 7);
    world.wait(secs(400));
    let ask = world.ask(ALICE, 8).of(address);
    assert!(ask.request.identification.high() < 200);
    assert_eq!(world.send(&ask).unwrap().code, ReplyCode::ACCEPTED);
}

#[test]
fn what_was_held_up_on_its_way_changes_nothing_after_a_later_end() {
    let mut world = World::with(Config {
        hold_down: Duration::ZERO,
        ..config()
    });
    let address = world.bound(ALICE, 7);
    let ask = world.ask(ALICE, 7).release(address);
    world.send(&ask).unwrap();
    world.wait(secs(10));
    let held_up = world.ask(ALICE, 7);
    let ask = world.ask(ALICE, 7).release(address);
    assert_eq!(world.send(&ask).unwrap().code, ReplyCode::ACCEPTED);
    // Longer than twice the window after the first end.
    world.wait(secs(5));
    assert_eq!(world.send(&held_up).unwrap().code.0, 133);
    assert!(world.bindings().is_empty());
    world.wait(secs(9));
    assert!(world.store.is_empty());
}

#[test]
fn coming_and_going_under_new_names_takes_a_bounded_memory() {
    let mut world = World::with(Config {
        hold_down: Duration::ZERO,
        ..config()
    });
    let names: Vec<&'static str> = (0..REMEMBERED)
        .map(|number| &*Box::leak(format!("node{number}@example.net").into_boxed_str()))
        .collect();
    for name in &names {
        let address = world.bound(name, 7);
        let ask = world.ask(name, 7).release(address);
        world.send(&ask).unwrap();
    }
    let ask = world.ask(ALICE, 7);
    assert_eq!(
        world.send(&ask).unwrap().code,
        ReplyCode::INSUFFICIENT_RESOURCES
    );
    assert_eq!(world.used(), (0, 0));
    for configured in [LAPTOP, PHONE] {
        let address = world.bound(configured, 7);
        let ask = world.ask(configured, 7).release(address);
        world.send(&ask).unwrap();
    }
    world.bound(names[0], 7);
    world.wait(secs(14));
    world.bound(ALICE, 7);
}
