//! Bindings that come, move, are refreshed and go.

use super::*;

#[test]
fn a_first_update_is_lent_a_home_address_in_an_option() {
    let mut world = World::dual();
    let answer = world.update(&Update::new(ALICE, 7, 0x1234)).unwrap();
    assert_eq!(answer.status, Status::ACCEPTED);
    assert_eq!(answer.sequence, 0x1234);
    assert_eq!(answer.lifetime, Lifetime::Finite(secs(600)), "the default");
    assert_eq!(answer.routing_address, None, "it would not be received");
    let home_address = answer.home_address.unwrap();
    assert_eq!(home_address.segments()[..4], [0x2001, 0xdb8, 0x200, 1]);
    assert_eq!(world.take_events()[0], tunnel_6(home_address, 7, None));
    let binding = &world.bindings()[0];
    assert_eq!(binding.care_of, host(7).into());
    assert_eq!(binding.transport, Transport::MobilityHeader);
    assert_eq!(binding.lifetime, secs(600));
    let record = &world.store[&named(&Identity::new(ALICE).unwrap())];
    assert_eq!(record.family(), Family::Ipv6);
    assert_eq!(record.last.sequence, Some(SequenceNumber(0x1234)));
    assert_eq!(world.counter("status_0"), 1);
}

#[test]
fn asking_again_burns_no_second_address() {
    let mut world = World::dual();
    let first = world.bound_6(ALICE, 7, 1);
    assert_eq!(world.bound_6(ALICE, 7, 2), first);
    assert_eq!(world.bound_6(ALICE, 8, 3), first, "also after a move");
    assert_eq!(world.bindings().len(), 1);
}

#[test]
fn lifetimes_are_whole_units_of_four_seconds() {
    let mut config = both();
    config.default_lifetime = secs(603);
    let mut world = World::with(config);
    let granted = |world: &mut World, sequence, asked| {
        let update = Update::new(ALICE, 7, sequence).with(|update| update.lifetime = asked);
        let answer = world.update(&update).unwrap();
        assert_eq!(
            Lifetime::Finite(world.bindings()[0].lifetime),
            answer.lifetime
        );
        answer.lifetime
    };
    let finite = |seconds| Lifetime::Finite(secs(seconds));
    assert_eq!(granted(&mut world, 1, Lifetime::Infinite), finite(600));
    assert_eq!(granted(&mut world, 2, finite(4)), finite(4));
    assert_eq!(granted(&mut world, 3, finite(100)), finite(100));
    assert_eq!(granted(&mut world, 4, finite(100_000)), finite(3600));
}

#[test]
fn a_move_is_carried_at_once_and_the_former_address_for_a_moment() {
    let mut world = World::dual();
    let home_address = world.bound_6(ALICE, 7, 1);
    let update = Update::new(ALICE, 8, 2).of(home_address);
    let answer = world.update(&update).unwrap();
    assert_eq!(answer.status, Status::ACCEPTED);
    assert_eq!(answer.home_address, Some(home_address));
    let moved = unproven(tunnel_6(home_address, 8, Some(7)));
    assert_eq!(world.take_events()[0], moved);
    world.wait(FORMER_CARE_OF_GRACE);
    let settled = unproven(tunnel_6(home_address, 8, None));
    assert_eq!(world.take_events(), [settled]);
}

#[test]
fn numbers_that_are_not_later_are_told_the_last_one() {
    let mut world = World::dual();
    let home_address = world.bound_6(ALICE, 7, 40_000);
    for (sequence, accepted) in [
        (40_000, false),
        (39_999, false),
        (7_232, false),
        (7_231, true),
    ] {
        let mut world = World::dual();
        world.bound_6(ALICE, 7, 40_000);
        let update = Update::new(ALICE, 8, sequence);
        let answer = world.update(&update).unwrap();
        assert_eq!(answer.status == Status::ACCEPTED, accepted, "{sequence}");
        if !accepted {
            assert_eq!(answer.status, Status::SEQUENCE_OUT_OF_WINDOW);
            assert_eq!(answer.sequence, 40_000);
            assert_eq!(world.bindings()[0].care_of, host(7).into());
        }
    }
    // The store remembers it over a restart, and a deleted binding for a while.
    world.restart(both(), secs(1));
    let late = Update::new(ALICE, 8, 39_000);
    assert_eq!(world.status(&late), 135);
    let release = Update::new(ALICE, 7, 40_001).release(home_address);
    assert_eq!(world.status(&release), 0);
    world.wait(secs(9));
    assert_eq!(world.status(&late), 135);
    assert_eq!(world.bindings(), []);
}

#[test]
fn leaving_ends_the_binding_whatever_the_care_of_address() {
    let mut world = World::dual();
    let home_address = world.bound_6(ALICE, 7, 1);
    let answer = world
        .update(&Update::new(ALICE, 9, 2).release(home_address))
        .unwrap();
    assert_eq!(
        (answer.status, answer.lifetime),
        (Status::ACCEPTED, Lifetime::Zero)
    );
    assert_eq!(answer.home_address, Some(home_address));
    assert_eq!(
        world.take_events()[0],
        Event::Dataplane(DataplaneChange::Remove(home_address.into()))
    );
    // The answer was lost.
    let again = Update::new(ALICE, 9, 3).release(home_address);
    assert_eq!(world.status(&again), 0);
    world.wait(secs(300));
    assert!(world.store.is_empty());
    let unknown = Update::new(ALICE, 9, 4).release(home_address);
    assert_eq!(world.status(&unknown), 133);
}
