//! What brought about a binding brings about none when it is said again.

use std::time::Duration;

use mobility_protocol::mobile_node::BindingState;
use mobility_protocol::{Family, Transmit};

use crate::world::{SEED, World, address, families, home_agent};

#[test]
fn a_recorded_return_is_worth_nothing_later_and_nothing_elsewhere() {
    families(|family| {
        let mut world = World::acquainted(family);
        world.bind(None);
        let request = world.sent().remove(0);
        world.answers(&request, address(family, 66));
        assert_eq!(world.agent.bindings(world.now).count(), 0);
        world.answers(&request, request.source);
        assert_eq!(world.agent.bindings(world.now).count(), 1);
        world.laptop.release(home_agent(family), world.now);
        world.wait(Duration::from_secs(601));
        world.wait(Duration::from_secs(3600));
        assert_eq!(world.store.len(), 0);
        for answer in world.answers(&request, request.source) {
            assert!(answer.payload.len() <= request.payload.len());
        }
        assert_eq!(world.agent.bindings(world.now).count(), 0);
    });
}

#[test]
fn a_recorded_first_message_lends_nothing_after_its_binding_has_ended() {
    families(|family| {
        for came_back in [false, true] {
            let (mut world, request) = recorded(family, came_back);
            world.laptop.release(home_agent(family), world.now);
            world.settle();
            is_worth_nothing(&mut world, &request);
            assert_eq!(world.store.len(), 0, "and nothing is remembered for ever");

            // Nor after it has expired, when nobody has said anything since.
            let (mut world, request) = recorded(family, came_back);
            world.wait(Duration::from_secs(1));
            is_worth_nothing(&mut world, &request);
            assert_eq!(world.store.len(), 0);
        }
    });
}

#[test]
fn a_recorded_first_message_lends_nothing_after_a_restart() {
    families(|family| {
        for came_back in [false, true] {
            let (mut world, request) = recorded(family, came_back);
            world.laptop.release(home_agent(family), world.now);
            world.settle();
            world.wait(Duration::from_secs(1));
            world.replace_agent(&SEED);
            is_worth_nothing(&mut world, &request);

            // Nor where the store was lost, or another process with the same secret takes over.
            let (mut world, request) = recorded(family, came_back);
            world.wait(Duration::from_secs(1));
            world.store.clear();
            world.replace_agent(&SEED);
            is_worth_nothing(&mut world, &request);
            // Who owns it is known by the next round trip.
            let challenges = world.drops("challenges");
            world.laptop.release(home_agent(family), world.now);
            world.settle();
            world.bind(None);
            world.settle();
            assert_eq!(world.state(), Some(BindingState::Active));
            assert!(world.drops("challenges") >= challenges);
        }
    });
}

/// A home agent whose addresses don't rest, so that nothing is remembered but what has to be, and what
/// brought about a binding of a mobile node that came back, or came first.
fn recorded(family: Family, came_back: bool) -> (World, Transmit) {
    let mut world = World::with(family, |config| {
        config.hold_down = Duration::ZERO;
        config.quotas.first_lifetime = Duration::from_secs(1);
    });
    world.bind(None);
    let mut request = world.sent().remove(0);
    let challenge = world.answers(&request, request.source).remove(0);
    world.deliver(&challenge);
    if came_back {
        world.settle();
        world.laptop.release(home_agent(family), world.now);
        world.settle();
        world.wait(Duration::from_secs(3600));
        world.bind(None);
    }
    request = world.sent().remove(0);
    let answer = world.answers(&request, request.source).remove(0);
    assert_eq!(world.agent.bindings(world.now).count(), 1);
    world.deliver(&answer);
    (world, request)
}

/// What a recorded message brings about from now on, while its timestamp is near the time and after:
/// no binding.
fn is_worth_nothing(world: &mut World, recorded: &Transmit) {
    for _ in 0..20 {
        for source in [recorded.source, address(world.family, 66)] {
            for answer in world.answers(recorded, source) {
                assert!(answer.payload.len() <= recorded.payload.len());
            }
            assert_eq!(world.agent.bindings(world.now).count(), 0);
        }
        world.wait(Duration::from_secs(1));
    }
}
