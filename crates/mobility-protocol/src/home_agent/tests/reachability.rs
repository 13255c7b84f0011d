//! Where mobile nodes show that they are.

use super::*;
use crate::security::Cookie;
use crate::wire::KeyAgreement;

const ALICE: &str = "alice@example.net";

/// With the element that leaves room for a cookie, or brings it.
fn bringing(ask: Ask, cookie: Cookie) -> Ask {
    ask.extended(Extension::KeyAgreement(KeyAgreement::Cookie(cookie)))
}

/// Moves to this place, and gives back what is to be sent from there.
fn moved(world: &mut World, who: &'static str, address: Ipv4Addr, host: u8) -> Option<Cookie> {
    let ask = bringing(world.ask(who, host).of(address), Cookie::NONE);
    let reply = world.send(&ask).unwrap();
    assert_eq!(reply.code, ReplyCode::ACCEPTED);
    reply.extensions.cookie()
}

fn echo(world: &mut World, who: &'static str, address: Ipv4Addr, host: u8, cookie: Cookie) {
    let ask = bringing(world.ask(who, host).of(address), cookie);
    assert_eq!(world.send(&ask).unwrap().code, ReplyCode::ACCEPTED);
}

fn reachability(world: &World) -> Reachability {
    world.bindings()[0].reachability
}

fn counts(world: &World) -> (u64, u64) {
    (
        world.counter("moves_unproven"),
        world.counter("moves_proven"),
    )
}

#[test]
fn a_move_is_carried_at_once_and_proven_when_the_cookie_comes_back() {
    for who in [ALICE, LAPTOP] {
        let mut world = World::new();
        let address = world.bound(who, 7);
        assert_eq!(reachability(&world), Reachability::Proven);
        let cookie = moved(&mut world, who, address, 8).unwrap();
        assert_eq!(
            world.take_events()[0],
            unproven(tunnel(address, 8, Some(7)))
        );
        assert_eq!(reachability(&world), Reachability::Unproven);

        // A refresh that does not know it is told again, and changes nothing.
        assert!(moved(&mut world, who, address, 8).is_some());
        assert!(matches!(
            world.take_events()[..],
            [Event::BindingRefreshed { .. }]
        ));

        let ask = bringing(world.ask(who, 8).of(address), cookie);
        let reply = world.send(&ask).unwrap();
        assert_eq!(reply.extensions.cookie(), None);
        assert_eq!(world.take_events()[0], tunnel(address, 8, Some(7)));
        assert_eq!(reachability(&world), Reachability::Proven);
        assert_eq!(counts(&world), (1, 1));
        assert_eq!(moved(&mut world, who, address, 8), None);
    }
}

#[test]
fn a_cookie_proves_nothing_elsewhere_or_later_or_of_others() {
    let mut world = World::new();
    let address = world.bound(ALICE, 7);
    let cookie = moved(&mut world, ALICE, address, 8).unwrap();
    echo(&mut world, ALICE, address, 9, cookie);
    assert_eq!(reachability(&world), Reachability::Unproven);
    let cookie = moved(&mut world, ALICE, address, 9).unwrap();
    world.wait(secs(61));
    echo(&mut world, ALICE, address, 9, cookie);
    assert_eq!(reachability(&world), Reachability::Unproven);

    let other = world.bound(LAPTOP, 7);
    let theirs = moved(&mut world, LAPTOP, other, 9).unwrap();
    echo(&mut world, ALICE, address, 9, theirs);
    let all_unproven = |binding: &BindingView| binding.reachability == Reachability::Unproven;
    assert!(world.bindings().iter().all(all_unproven));
}

#[test]
fn who_returns_within_a_minute_need_not_show_it_and_later_must() {
    let mut world = World::new();
    let address = world.bound(ALICE, 7);
    assert!(moved(&mut world, ALICE, address, 8).is_some());
    assert!(moved(&mut world, ALICE, address, 9).is_some());
    world.wait(secs(50));
    assert_eq!(moved(&mut world, ALICE, address, 7), None);
    assert_eq!(reachability(&world), Reachability::Proven);

    assert!(moved(&mut world, ALICE, address, 8).is_some());
    world.wait(secs(61));
    assert!(moved(&mut world, ALICE, address, 7).is_some());
    assert_eq!(reachability(&world), Reachability::Unproven);
}

#[test]
fn no_answer_is_larger_than_its_request_even_if_that_leaves_no_room_for_a_cookie() {
    let mut world = World::new();
    let address = world.bound(PHONE, 7);
    // Another implementation's: `send` compares the sizes.
    let ask = world.ask(PHONE, 8).of(address);
    let reply = world.send(&ask).unwrap();
    assert_eq!(
        (reply.code, reply.extensions.cookie()),
        (ReplyCode::ACCEPTED, None)
    );
    assert_eq!(reachability(&world), Reachability::Unproven);
}

#[test]
fn a_node_that_does_not_know_how_is_taken_at_its_word_where_that_is_configured() {
    let mut config = config();
    config.mobile_nodes[1].proves_moves = false;
    let mut world = World::with(config);
    let address = world.bound(PHONE, 7);
    let ask = world.ask(PHONE, 8).of(address);
    assert_eq!(world.send(&ask).unwrap().code, ReplyCode::ACCEPTED);
    assert_eq!(world.take_events()[0], tunnel(address, 8, Some(7)));
    assert_eq!(reachability(&world), Reachability::Proven);
    assert_eq!(counts(&world), (0, 0));
}

#[test]
fn who_has_a_configured_key_is_asked_nothing_where_it_stays() {
    for who in [ALICE, LAPTOP] {
        let mut world = World::new();
        let address = world.bound(who, 7);
        for _ in 0..5 {
            world.wait(secs(480));
            assert_eq!(moved(&mut world, who, address, 7), None);
            assert_eq!(reachability(&world), Reachability::Proven);
        }
        assert_eq!(world.counter("proofs_lapsed"), 0);
    }
}

#[test]
fn a_retransmission_is_answered_with_a_cookie_too() {
    let mut world = World::new();
    let address = world.bound(ALICE, 7);
    let ask = bringing(world.ask(ALICE, 8).of(address), Cookie::NONE);
    let first = world.send(&ask).unwrap().extensions.cookie();
    assert!(first.is_some());
    assert_eq!(world.send(&ask).unwrap().extensions.cookie(), first);
    assert_eq!(counts(&world), (1, 0));
}

#[test]
fn a_restart_neither_proves_nor_forgets_anything() {
    let mut world = World::new();
    let address = world.bound(ALICE, 7);
    let cookie = moved(&mut world, ALICE, address, 8).unwrap();
    world.restart(config(), secs(1));
    assert_eq!(world.take_events(), [unproven(tunnel(address, 8, None))]);
    echo(&mut world, ALICE, address, 8, cookie);
    assert_eq!(reachability(&world), Reachability::Proven);
    world.restart(config(), secs(1));
    assert_eq!(world.take_events(), [tunnel(address, 8, None)]);
}
