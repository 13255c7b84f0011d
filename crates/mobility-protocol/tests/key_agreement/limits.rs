//! What strangers may have, and how fast.

use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use mobility_protocol::home_agent::{HomeAgent, Quotas};
use mobility_protocol::mobile_node::BindingState;
use mobility_protocol::wire::mip6::Packet;

use crate::world::{SEED, World, agent_config, families};

#[test]
fn one_host_has_a_quota_and_gets_it_back_when_its_addresses_have_rested() {
    families(|family| {
        let mut world = World::with(family, |config| config.quotas.host = 3);
        assert_eq!(crowd(&mut world, 20..30), 3);
        let held: u64 = world
            .agent
            .pool_usage()
            .iter()
            .map(|pool| pool.held_down)
            .sum();
        assert_eq!(held, 0, "who is refused costs the pool nothing");
        // All three expire, rest, and are forgotten.
        world.wait(Duration::from_secs(601));
        assert_eq!(crowd(&mut world, 30..33), 0, "they rest");
        world.wait(Duration::from_secs(61));
        assert_eq!(crowd(&mut world, 40..50), 3);
    });
}

#[test]
fn what_a_host_had_counts_after_a_restart() {
    families(|family| {
        let mut world = World::with(family, |config| config.quotas.host = 3);
        assert_eq!(crowd(&mut world, 20..30), 3);
        world.wait(Duration::from_secs(601));
        let mut config = agent_config(&SEED);
        config.quotas.host = 3;
        world.agent = HomeAgent::new(config, [3; 32], world.now, world.unix_time()).unwrap();
        let stored = world.store.values().cloned();
        world.agent.restore(stored, world.now);
        world.commit();
        assert_eq!(crowd(&mut world, 30..33), 0, "they rest");
        world.wait(Duration::from_secs(61));
        assert_eq!(crowd(&mut world, 40..50), 3);
    });
}

#[test]
fn one_host_gets_so_many_bindings_a_second() {
    families(|family| {
        let mut world = World::with(family, |config| config.quotas.rates.host = 2);
        assert_eq!(crowd(&mut world, 20..30), 8);
        assert_eq!(world.drops("refused_host_rate"), 2);
        let [reply, status] = [world.drops("reply_130"), world.drops("status_130")];
        assert_eq!(reply + status, 2, "they are told");
        world.wait(Duration::from_secs(1));
        assert_eq!(crowd(&mut world, 30..40), 10);
        assert_eq!(world.drops("refused_rate"), 0, "nobody else is concerned");
    });
}

#[test]
fn who_proves_only_where_he_is_makes_a_home_agent_compute_so_much_and_no_more() {
    families(|family| {
        let mut world = World::new(family);
        world.bind(None);
        let first = world.sent().remove(0);
        let challenge = world.answers(&first, first.source).remove(0);
        world.deliver(&challenge);
        let second = world.sent().remove(0);
        // The cookie is good, the key is not.
        let mut forged = second.clone();
        let last = forged.payload.len() - 1;
        forged.payload[last] ^= 1;
        if let (IpAddr::V6(source), IpAddr::V6(destination)) = (second.source, second.destination) {
            let header = Packet {
                source,
                destination,
                home_address: None,
                routing_address: None,
                message: &[],
            }
            .pseudo_header();
            let checksum = header.checksum(&forged.payload);
            forged.payload[4..6].copy_from_slice(&checksum.to_be_bytes());
        }
        for _ in 0..1000 {
            world.answers(&forged, forged.source);
        }
        let computed = world.drops("challenges") - 1;
        assert_eq!(computed, 80, "four seconds of four times five");
        assert_eq!(world.drops("drop_too_many_agreements"), 920);
        // He himself has to wait, too.
        world.answers(&second, second.source);
        assert_eq!(world.agent.bindings(world.now).count(), 0);
        world.wait(Duration::from_secs(1));
        let due = world.laptop.poll_timeout().unwrap();
        world.wait(due - world.now);
        world.settle();
        assert_eq!(world.state(), Some(BindingState::Active));
    });
}

#[test]
fn a_binding_lasts_a_minute_until_it_is_refreshed() {
    families(|family| {
        let mut world = World::with(family, |config| config.quotas = Quotas::default());
        world.bind(None);
        world.settle();
        let lifetime = |world: &World| {
            let bindings: Vec<_> = world.agent.bindings(world.now).collect();
            bindings.first().map(|binding| binding.lifetime.as_secs())
        };
        assert_eq!(lifetime(&world), Some(60));
        world.wait(Duration::from_secs(50));
        world.settle();
        assert_eq!(lifetime(&world), Some(600));
        assert_eq!(world.drops("bindings_refreshed"), 1);
    });
}

/// Mobile nodes made of these seeds come to one host, one after the other, and want bindings. Tells how many there
/// are then.
fn crowd(world: &mut World, seeds: Range<u8>) -> usize {
    for seed in seeds {
        world.laptop = world.another_laptop(seed);
        world.bind(None);
        world.settle();
    }
    world.agent.bindings(world.now).count()
}
