//! Several names lead to one home agent. None can take from another what that insists on, or make the
//! home agent fail for it.

use std::time::Duration;

use mobility_protocol::mobile_node::{
    BindError, BindingState, Config, Credentials, Event, MobileNode, Pin, Usage,
};
use mobility_protocol::security::{
    Algorithm, HomeAgentSecret, Key, PublicKey, ReplayProtection, SecurityAssociation,
};

use crate::world::{SEED, World, families, home_agent, identity};

const IMPOSTOR: [u8; 32] = [3; 32];

fn key(seed: &[u8; 32]) -> PublicKey {
    HomeAgentSecret::from_seed(seed).public()
}

/// Nobody but the home agent with this key is believed any more.
fn is_held_to_the_key(world: &mut World) -> bool {
    let agent = home_agent(world.family);
    world.laptop.handle_usage(agent, Usage::Sockets, world.now);
    world.wait(Duration::from_secs(2));
    world.store.clear();
    world.replace_agent(&IMPOSTOR);
    world.attach(8);
    for _ in 0..20 {
        world.settle();
        world.wait(Duration::from_secs(1));
    }
    world.drops("drop_other_key") >= 3 && world.agent.bindings(world.now).count() == 0
}

#[test]
fn a_published_key_holds_for_a_binding_that_another_name_began() {
    families(|family| {
        let mut world = World::new(family);
        world.bind_name("advertisement.example", None).unwrap();
        world.settle();
        let published = Some(Pin::Published(key(&SEED)));
        world.bind_name("server.example", published).unwrap();
        assert_eq!(world.state(), Some(BindingState::Active));
        assert!(world.settle().is_empty(), "it stands");
        assert!(is_held_to_the_key(&mut world));
    });
}

#[test]
fn a_published_key_holds_after_a_restart() {
    families(|family| {
        let mut world = World::new(family);
        let published = Some(Pin::Published(key(&SEED)));
        world.bind_name("server.example", published).unwrap();
        world.settle();
        let stored = world.laptop.snapshot(world.now);
        let unix_time = world.unix_time();
        world.laptop = MobileNode::new(Config::new(identity()), [5; 32], world.now, unix_time);
        let credentials = Credentials::Agreement { pinned: None };
        world.laptop.restore(
            stored.into_iter().map(|one| (one, credentials.clone())),
            world.now,
        );
        world.attach(7);
        world.settle();
        assert_eq!(world.state(), Some(BindingState::Active));
        assert!(is_held_to_the_key(&mut world));
    });
}

#[test]
fn a_false_key_ends_no_binding_of_another_name() {
    families(|family| {
        let mut world = World::new(family);
        world.bind_name("server.example", None).unwrap();
        world.settle();
        let lent = world.laptop.bindings(world.now)[0].home_address;
        let refused = world.bind_name(
            "advertisement.example",
            Some(Pin::Published(key(&IMPOSTOR))),
        );
        assert_eq!(refused, Err(BindError::OtherKey(home_agent(family))));
        world.settle();
        assert_eq!(world.state(), Some(BindingState::Active));
        assert_eq!(world.laptop.bindings(world.now)[0].home_address, lent);
        let names = &world.laptop.bindings(world.now)[0].names;
        assert!(!names.contains_key("advertisement.example"));
    });
}

#[test]
fn a_false_key_keeps_no_other_name_waiting() {
    families(|family| {
        let mut world = World::new(family);
        let false_key = Some(Pin::Published(key(&IMPOSTOR)));
        world.bind_name("advertisement.example", false_key).unwrap();
        world.settle();
        let begin = world.now;
        while world.state().is_some() {
            let due = world.laptop.poll_timeout().unwrap();
            world.wait(due - world.now);
            world.settle();
        }
        let took = (world.now - begin).as_secs();
        assert!(took < 10, "given up after {took} s");
        world.bind_name("server.example", None).unwrap();
        world.settle();
        assert_eq!(world.state(), Some(BindingState::Active));
    });
}

#[test]
fn what_is_configured_ends_a_binding_that_was_begun_without() {
    let shared = || {
        let key = Key::new([7; 32]).unwrap();
        Credentials::from(SecurityAssociation {
            spi: 256,
            algorithm: Algorithm::HmacSha256,
            key,
            replay: ReplayProtection::Timestamps,
        })
    };
    let configured = || Credentials::Agreement {
        pinned: Some(Pin::Configured(key(&SEED))),
    };
    families(|family| {
        for credentials in [shared(), configured()] {
            let mut world = World::new(family);
            world.replace_agent(&IMPOSTOR);
            world.bind_name("advertisement.example", None).unwrap();
            world.settle();
            assert_eq!(
                world.state(),
                Some(BindingState::Active),
                "with an impostor"
            );
            world.bind_with("server.example", credentials).unwrap();
            assert_eq!(world.state(), Some(BindingState::Registering));
            let lost = std::iter::from_fn(|| world.laptop.poll_event())
                .any(|event| matches!(event, Event::Lost { .. }));
            assert!(lost, "sockets may have an address that is gone");
            world.settle();
            assert_eq!(world.state(), Some(BindingState::Registering));
        }
    });
}
