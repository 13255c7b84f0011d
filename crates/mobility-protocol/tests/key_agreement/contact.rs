//! Strangers become acquainted: by a key that is asked for, anew where one side has forgotten the other.

use std::time::Duration;

use mobility_protocol::mobile_node::{
    BindingState, Config, Credentials, Event, FailureReason, MobileNode, StoredBinding, Usage,
};
use mobility_protocol::security::HomeAgentSecret;

use crate::world::{NEW_YEAR, SEED, World, address, families, home_agent, identity};

#[test]
fn a_stranger_gets_a_binding_in_two_round_trips() {
    families(|family| {
        let mut world = World::new(family);
        world.bind(None);
        let exchanges = world.settle();
        world
            .laptop
            .handle_usage(home_agent(family), Usage::Sockets, world.now);
        assert_eq!(world.state(), Some(BindingState::Active), "{family}");
        assert_eq!(exchanges.len(), 2);
        let (asked, challenge) = exchanges[0];
        assert!(challenge <= asked, "{challenge} octets for {asked}");
        assert_eq!(world.drops("challenges"), 1);

        // A move takes one, and one more to show where it led; so does a refresh, long after that.
        world.attach(8);
        let exchanges = world.settle();
        assert_eq!(exchanges.len(), 2);
        assert!(exchanges.iter().all(|(asked, told)| told <= asked));
        world.wait(Duration::from_secs(481));
        assert_eq!(world.settle().len(), 2);
        let bindings: Vec<_> = world.agent.bindings(world.now).collect();
        assert_eq!(bindings.len(), 1);
        assert_eq!(bindings[0].care_of.ip(), address(family, 8));
        assert!(!bindings[0].authenticated, "anybody may have this name");
    });
}

#[test]
fn a_pinned_key_is_asked_for() {
    families(|family| {
        let ours = HomeAgentSecret::from_seed(&SEED).public();
        let mut world = World::new(family);
        world.bind(Some(ours));
        world.settle();
        assert_eq!(world.state(), Some(BindingState::Active));

        let theirs = HomeAgentSecret::from_seed(&[3; 32]).public();
        let mut world = World::new(family);
        world.bind(Some(theirs));
        world.settle();
        assert_eq!(world.state(), Some(BindingState::Registering));
        assert_eq!(world.drops("drop_other_key"), 1);
        assert_eq!(world.agent.bindings(world.now).count(), 0);
        // It is told once, and at the end why there is no binding.
        let mut told = Vec::new();
        for _ in 0..64 {
            world.wait(Duration::from_secs(1));
            world.settle();
            told.extend(std::iter::from_fn(|| world.laptop.poll_event()));
        }
        let agent = home_agent(family);
        let other = Event::OtherKey {
            agent,
            found: ours,
            expected: theirs,
        };
        let failed = |event: &&Event| matches!(event, Event::Failed { reason, .. } if *reason == FailureReason::OtherKey);
        assert_eq!(told.iter().filter(|event| **event == other).count(), 1);
        assert_eq!(told.iter().filter(failed).count(), 1);
        assert_eq!(world.agent.bindings(world.now).count(), 0);
    });
}

#[test]
fn a_cookie_is_worth_nothing_elsewhere() {
    families(|family| {
        let mut world = World::new(family);
        world.bind(None);
        let first = world.sent().remove(0);
        let challenge = world.answers(&first, first.source).remove(0);
        world.deliver(&challenge);
        let second = world.sent().remove(0);
        // In IPv6 the packet in the datagram says where it is from; its native form has no such thing.
        let elsewhere = world.answers(&second, address(family, 66));
        assert_eq!(world.agent.bindings(world.now).count(), 0);
        for answer in &elsewhere {
            assert!(answer.payload.len() <= second.payload.len());
        }
        // Nor later.
        world.wait(Duration::from_secs(70));
        world.answers(&second, second.source);
        assert_eq!(world.agent.bindings(world.now).count(), 0);
        world.settle();
        assert_eq!(world.state(), Some(BindingState::Active), "asked again");
    });
}

#[test]
fn nobody_else_under_the_same_name_touches_a_binding() {
    families(|family| {
        let mut world = World::new(family);
        world.bind(None);
        world.settle();
        let lent = world.laptop.bindings(world.now)[0].home_address;

        // Somebody with the same name gets a binding of his own.
        let now = world.now;
        let other = MobileNode::new(Config::new(identity()), [77; 32], now, NEW_YEAR);
        let first = std::mem::replace(&mut world.laptop, other);
        world.bind(None);
        world.settle();
        let theirs = world.laptop.bindings(world.now)[0].home_address;
        assert_ne!(theirs, lent);
        assert_eq!(world.agent.bindings(world.now).count(), 2);

        // And ends his own.
        let agent = home_agent(family);
        world.laptop.release(agent, world.now);
        world.settle();
        let left: Vec<_> = world.agent.bindings(world.now).collect();
        assert_eq!(left.len(), 1);
        assert_eq!(Some(left[0].home_address), lent);
        world.laptop = first;
        world.attach(9);
        assert_eq!(world.settle().len(), 2);
        assert_eq!(world.state(), Some(BindingState::Active));
    });
}

#[test]
fn a_restarted_mobile_node_has_its_key() {
    families(|family| {
        let mut world = World::new(family);
        world.bind(None);
        world.settle();
        let stored = world.laptop.snapshot(world.now);
        let text = serde_json::to_string(&stored).unwrap();
        let stored: Vec<StoredBinding> = serde_json::from_str(&text).unwrap();
        world.wait(Duration::from_secs(1));
        let unix_time = NEW_YEAR + (world.now - world.begin);
        world.laptop = MobileNode::new(Config::new(identity()), [5; 32], world.now, unix_time);
        let credentials = Credentials::Agreement { pinned: None };
        let stored = stored
            .into_iter()
            .map(|binding| (binding, credentials.clone()));
        world.laptop.restore(stored, world.now);
        world.attach(7);
        assert_eq!(world.settle().len(), 1);
        assert_eq!(world.state(), Some(BindingState::Active));
        assert_eq!(world.agent.bindings(world.now).count(), 1);
    });
}

#[test]
fn a_home_agent_that_forgot_everything_is_asked_anew() {
    families(|family| {
        let mut world = World::new(family);
        world.bind(None);
        world.settle();
        world.wait(Duration::from_secs(2));
        world.store.clear();
        world.replace_agent(&SEED);
        world.attach(8);
        world.settle();
        assert_eq!(world.state(), Some(BindingState::Active));
        assert_eq!(world.agent.bindings(world.now).count(), 1);
        let mut lost = false;
        while let Some(event) = world.laptop.poll_event() {
            lost |= matches!(event, Event::Lost { .. });
        }
        assert!(lost, "sockets may have an address that is gone");
    });
}

#[test]
fn a_home_agent_that_lost_its_secret_is_taken_for_a_new_one_in_the_end() {
    families(|family| {
        let mut world = World::new(family);
        world.bind(None);
        world.settle();
        world
            .laptop
            .handle_usage(home_agent(family), Usage::Sockets, world.now);
        world.wait(Duration::from_secs(2));
        world.store.clear();
        world.replace_agent(&[10; 32]);
        world.attach(8);
        let since = world.now;
        world.settle();
        while world.state() == Some(BindingState::Moving) {
            let due = world.laptop.poll_timeout().unwrap();
            world.wait(due - world.now);
            world.settle();
        }
        assert_eq!(world.state(), Some(BindingState::Active));
        let took = world.now - since;
        assert!((2..10).contains(&took.as_secs()), "{took:?}");
        assert!(world.drops("drop_other_key") >= 2);
        assert_eq!(world.agent.bindings(world.now).count(), 1);
    });
}

#[test]
fn the_published_key_is_not_enough() {
    families(|family| {
        let mut world = World::new(family);
        let agent = home_agent(family);
        let open = mobility_protocol::security::SecurityAssociation::open_mode();
        world
            .laptop
            .bind(
                agent,
                "server.example",
                &[address(family, 80)],
                open,
                world.now,
            )
            .unwrap();
        world.attach(7);
        assert_eq!(world.settle(), []);
        assert_eq!(world.drops("drop_unprotected"), 1);
    });
}
