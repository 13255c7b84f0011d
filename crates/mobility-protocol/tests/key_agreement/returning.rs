//! Who comes back needs no echo before he has a binding.

use std::sync::Arc;
use std::time::Duration;

use mobility_protocol::Reachability;
use mobility_protocol::home_agent::StoredRecord;
use mobility_protocol::mobile_node::{BindingState, StoredAcquaintance};
use mobility_protocol::security::{HomeAgentSecret, Key, SecurityAssociation};

use crate::world::{SEED, World, families};

#[test]
fn who_comes_back_needs_one_round_trip_and_then_shows_where_he_is() {
    families(|family| {
        let mut world = World::acquainted(family);
        world.bind(None);
        let request = world.sent().remove(0);
        let answer = world.answers(&request, request.source).remove(0);
        assert!(answer.payload.len() <= request.payload.len());
        world.deliver(&answer);
        assert_eq!(world.state(), Some(BindingState::Active));
        let binding = world.agent.bindings(world.now).next().unwrap();
        assert_eq!(
            binding.reachability,
            Reachability::Unproven,
            "no credit yet"
        );
        assert_eq!(world.settle().len(), 1);
        let binding = world.agent.bindings(world.now).next().unwrap();
        assert_eq!(binding.reachability, Reachability::Proven);
        assert_eq!(world.drops("challenges"), 1);
        assert_eq!(world.drops("bindings_resumed"), 1);
    });
}

#[test]
fn who_comes_back_elsewhere_or_after_a_day_is_a_stranger_again() {
    families(|family| {
        let mut world = World::acquainted(family);
        world.bind_at(None, 8);
        world.settle();
        assert_eq!(world.state(), Some(BindingState::Active));
        assert_eq!(world.drops("bindings_resumed"), 0);
        assert_eq!(world.drops("challenges"), 2);

        let mut world = World::acquainted(family);
        world.wait(Duration::from_secs(23 * 3600));
        world.bind(None);
        world.settle();
        assert_eq!(world.state(), Some(BindingState::Active));
        assert_eq!(world.drops("bindings_resumed"), 0);
        assert_eq!(world.drops("challenges"), 2);
    });
}

#[test]
fn a_restarted_mobile_node_knows_whom_it_knew() {
    families(|family| {
        let mut world = World::acquainted(family);
        let text = serde_json::to_string(&world.laptop.acquaintances()).unwrap();
        let known: Vec<StoredAcquaintance> = serde_json::from_str(&text).unwrap();
        let restarted = |seed| {
            let mut laptop = world.another_laptop(seed);
            laptop.restore_acquaintances(known.clone(), world.now);
            laptop
        };
        let mut again = restarted(6);
        world.laptop = restarted(5);
        world.bind(None);
        world.settle();
        assert_eq!(world.drops("bindings_resumed"), 1);

        // However often it is shown, a token lends one address.
        std::mem::swap(&mut world.laptop, &mut again);
        world.wait(Duration::from_secs(1));
        world.bind(None);
        world.settle();
        assert_eq!(world.state(), Some(BindingState::Active));
        assert_eq!(
            world.laptop.bindings(world.now)[0].home_address,
            again.bindings(world.now)[0].home_address
        );
        assert_eq!(world.agent.bindings(world.now).count(), 1);
    });
}

#[test]
fn a_process_that_has_just_begun_asks_for_a_cookie_of_its_own() {
    families(|family| {
        let mut world = World::acquainted(family);
        world.bind(None);
        let request = world.sent().remove(0);
        world.store.clear();
        world.replace_agent(&SEED);
        let challenge = world.answers(&request, request.source).remove(0);
        assert_eq!(world.agent.bindings(world.now).count(), 0);
        world.deliver(&challenge);
        assert_eq!(world.settle().len(), 1);
        assert_eq!(world.state(), Some(BindingState::Active));

        // After a while it takes what others gave, as they are known by then.
        let mut world = World::acquainted(family);
        world.store.clear();
        world.replace_agent(&SEED);
        world.wait(Duration::from_secs(15));
        world.bind(None);
        world.settle();
        assert_eq!(world.drops("bindings_resumed"), 1);
        assert_eq!(world.drops("challenges"), 0);
    });
}

#[test]
fn a_pinned_home_agent_is_not_taken_for_the_one_known_before() {
    families(|family| {
        let mut world = World::acquainted(family);
        world.bind(Some(HomeAgentSecret::from_seed(&[3; 32]).public()));
        world.settle();
        assert_eq!(world.state(), Some(BindingState::Registering));
        assert_eq!(world.drops("drop_other_key"), 1);
        assert_eq!(world.agent.bindings(world.now).count(), 0);
    });
}

#[test]
fn whose_index_somebody_else_has_taken_comes_back_with_another_key() {
    families(|family| {
        let mut world = World::acquainted(family);
        world.bind(None);
        let sent = world.sent().remove(0);
        world.answers(&sent, sent.source);
        // As if the other had found a key of the same index, which takes a while.
        let mut record = world.store.values().next().unwrap().clone();
        record.association = Arc::new(SecurityAssociation {
            key: Key::new([1; 32]).unwrap(),
            ..(*record.association).clone()
        });
        let taken = record.association.spi;
        world.store.insert((record.owner(), family), record);
        world.replace_agent(&SEED);

        for _ in 0..70 {
            world.wait(Duration::from_secs(1));
            world.settle();
        }
        assert_eq!(world.state(), None);
        assert_eq!(world.agent.bindings(world.now).count(), 1);
        world.wait(Duration::from_secs(60));
        world.bind(None);
        world.settle();
        assert_eq!(world.state(), Some(BindingState::Active));
        assert_eq!(world.agent.bindings(world.now).count(), 2);
        let others = |record: &&StoredRecord| record.association.spi != taken;
        assert_eq!(world.store.values().filter(others).count(), 1);
    });
}
