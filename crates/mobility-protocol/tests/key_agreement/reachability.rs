//! Who has moved shows where he is.

use std::time::Duration;

use mobility_protocol::Reachability;
use mobility_protocol::mobile_node::{BindingState, Usage};

use crate::world::{SEED, World, address, families, home_agent};

fn reachability(world: &World) -> Reachability {
    world.agent.bindings(world.now).next().unwrap().reachability
}

/// The laptop has a binding, which it needs.
fn bind_for_long(world: &mut World) {
    world.bind(None);
    world.settle();
    let agent = home_agent(world.family);
    world.laptop.handle_usage(agent, Usage::Sockets, world.now);
}

/// What the laptop says for so many seconds arrives, and no answer reaches it.
fn unheard(world: &mut World, seconds: u64) {
    for _ in 0..seconds {
        for sent in world.sent() {
            world.answers(&sent, sent.source);
        }
        world.wait(Duration::from_secs(1));
    }
}

#[test]
fn a_moved_mobile_node_shows_where_it_is_without_being_asked_twice() {
    families(|family| {
        let mut world = World::new(family);
        world.bind(None);
        world.settle();
        assert_eq!(reachability(&world), Reachability::Proven);
        world.attach(8);
        let update = world.sent().remove(0);
        let answer = world.answers(&update, update.source).remove(0);
        assert_eq!(reachability(&world), Reachability::Unproven);
        world.deliver(&answer);
        assert_eq!(
            world.state(),
            Some(BindingState::Active),
            "traffic need not wait"
        );

        // The echo is lost, and sent again.
        assert_eq!(world.sent().len(), 1);
        assert_eq!(reachability(&world), Reachability::Unproven);
        world.wait(Duration::from_secs(1));
        assert_eq!(world.settle().len(), 1);
        assert_eq!(reachability(&world), Reachability::Proven);
        assert_eq!(world.drops("moves_unproven"), 1);
        assert_eq!(world.drops("moves_proven"), 1);
        world.wait(Duration::from_secs(100));
        assert_eq!(world.settle(), [], "and that is all");
    });
}

#[test]
fn an_owner_elsewhere_proves_nothing() {
    families(|family| {
        let mut world = World::new(family);
        world.bind(None);
        world.settle();
        // It sends from an address where it does not hear the answers.
        world.attach(66);
        for _ in 0..8 {
            for sent in world.sent() {
                world.answers(&sent, sent.source);
            }
            world.wait(Duration::from_secs(1));
        }
        let binding = world.agent.bindings(world.now).next().unwrap();
        assert_eq!(binding.care_of.ip(), address(family, 66));
        assert_eq!(binding.reachability, Reachability::Unproven);
        assert_eq!(world.drops("moves_proven"), 0);
    });
}

#[test]
fn a_home_agent_that_asks_for_ever_is_not_answered_for_ever() {
    families(|family| {
        let mut world = World::new(family);
        world.bind(None);
        world.settle();
        world.attach(8);
        let mut sent = 0_u8;
        for _ in 0..80 {
            for update in world.sent() {
                sent += 1;
                for answer in world.answers(&update, update.source) {
                    world.deliver(&answer);
                }
                // Whatever it has just asked for is worth nothing to it any more.
                world.replace_agent(&[100 + sent; 32]);
            }
            world.wait(Duration::from_millis(100));
        }
        let binding = world.agent.bindings(world.now).next().unwrap();
        assert_eq!(binding.reachability, Reachability::Unproven);
        assert!((3..8).contains(&sent), "{sent} messages in eight seconds");
    });
}

#[test]
fn who_stays_shows_now_and_then_that_it_is_still_there() {
    families(|family| {
        let mut world = World::new(family);
        bind_for_long(&mut world);
        for refreshes in 1..4 {
            world.wait(Duration::from_secs(481));
            let update = world.sent().remove(0);
            let answer = world.answers(&update, update.source).remove(0);
            assert!(answer.payload.len() <= update.payload.len());
            assert_eq!(reachability(&world), Reachability::Proven);
            world.deliver(&answer);
            assert_eq!(world.state(), Some(BindingState::Active));
            assert_eq!(world.settle().len(), 1, "the echo leaves at once");
            assert_eq!(world.settle(), [], "and is enough");
            assert_eq!(world.drops("bindings_refreshed"), 2 * refreshes);
        }
        assert_eq!(reachability(&world), Reachability::Proven);
        assert_eq!(world.drops("moves_unproven"), 0);
        assert_eq!(world.drops("proofs_lapsed"), 0);
    });
}

#[test]
fn an_echo_is_good_for_five_minutes_and_a_restart() {
    families(|family| {
        let mut world = World::with(family, |config| {
            config.max_lifetime = Duration::from_secs(300);
            config.default_lifetime = Duration::from_secs(300);
        });
        bind_for_long(&mut world);
        for exchanges in [1, 2, 1, 2] {
            world.wait(Duration::from_secs(241));
            assert_eq!(world.settle().len(), exchanges);
        }
        let mut world = World::new(family);
        bind_for_long(&mut world);
        world.wait(Duration::from_secs(250));
        world.replace_agent(&SEED);
        world.wait(Duration::from_secs(231));
        assert_eq!(world.settle().len(), 1, "asked five minutes after it");
    });
}

#[test]
fn an_owner_who_has_left_is_believed_for_a_minute() {
    families(|family| {
        let mut world = World::new(family);
        bind_for_long(&mut world);
        // From here on it may be somebody else's address.
        world.wait(Duration::from_secs(481));
        unheard(&mut world, 60);
        assert_eq!(reachability(&world), Reachability::Proven);
        unheard(&mut world, 40);
        assert_eq!(reachability(&world), Reachability::Unproven);
        assert_eq!(world.drops("proofs_lapsed"), 1);
        let bindings: Vec<_> = world.agent.bindings(world.now).collect();
        assert_eq!(bindings[0].care_of.ip(), address(family, 7));

        // If it was there all the time, the next answer that arrives ends it.
        world.wait(Duration::from_secs(40));
        assert_eq!(world.settle().len(), 2);
        assert_eq!(reachability(&world), Reachability::Proven);
        assert_eq!(world.drops("moves_proven"), 1);
        assert_eq!(world.drops("bindings_created"), 1);
    });
}

#[test]
fn an_owner_who_comes_and_goes_shows_nothing_by_that() {
    families(|family| {
        let mut world = World::new(family);
        bind_for_long(&mut world);
        let mut returns = Vec::new();
        for _ in 0..6 {
            world.attach(66);
            unheard(&mut world, 40);
            assert_eq!(reachability(&world), Reachability::Unproven);
            world.attach(7);
            unheard(&mut world, 40);
            returns.push(reachability(&world));
        }
        let (early, late) = returns.split_at(4);
        assert!(early.iter().all(|found| *found == Reachability::Proven));
        assert!(late.iter().all(|found| *found == Reachability::Unproven));
    });
}

#[test]
fn a_binding_is_not_lengthened_until_its_owner_has_shown_where_he_is() {
    families(|family| {
        for place in [7, 66] {
            let minute = Duration::from_secs(60);
            let mut world = World::with(family, |config| config.quotas.first_lifetime = minute);
            bind_for_long(&mut world);
            world.wait(Duration::from_secs(50));
            world.settle();
            let left = |world: &World| {
                let bindings: Vec<_> = world.agent.bindings(world.now).collect();
                bindings[0].expires_in.as_secs()
            };
            assert_eq!(left(&world), 600);
            world.wait(Duration::from_secs(481));
            world.attach(place);
            assert_eq!(left(&world), 119);
            unheard(&mut world, 20);
            assert!((95..100).contains(&left(&world)), "{}", left(&world));
            unheard(&mut world, 60);
            assert!((1..60).contains(&left(&world)), "{}", left(&world));

            world.wait(Duration::from_secs(20));
            assert_eq!(world.settle().len(), 2);
            assert_eq!(left(&world), 600);
        }
    });
}
