//! Who has moved shows where he is.

use std::time::Duration;

use mobility_protocol::Reachability;
use mobility_protocol::mobile_node::BindingState;

use crate::world::{World, address, families};

#[test]
fn a_moved_mobile_node_shows_where_it_is_without_being_asked_twice() {
    families(|family| {
        let mut world = World::new(family);
        world.bind(None);
        world.settle();
        let reachability = |world: &World| {
            let mut bindings = world.agent.bindings(world.now);
            bindings.next().unwrap().reachability
        };
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
