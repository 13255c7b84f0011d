//! The forms in which an update may come, and the families beside each other.

use super::*;

#[test]
fn the_home_address_may_stand_in_its_own_header() {
    let mut world = World::dual();
    let asked = Update::new(ALICE, 7, 1).with(|update| {
        update.home_network_prefix = None;
        update.home_address_option = Some(UNSPECIFIED);
    });
    let answer = world.update(&asked).unwrap();
    assert_eq!(answer.status, Status::ACCEPTED);
    assert_eq!(answer.routing_address, None);
    let home_address = answer.home_address.unwrap();

    let moved = Update::new(ALICE, 8, 2).with(|update| {
        update.home_network_prefix = None;
        update.home_address_option = Some(home_address);
    });
    let answer = world.update(&moved).unwrap();
    assert_eq!(answer.status, Status::ACCEPTED);
    assert_eq!(answer.routing_address, Some(home_address));
    assert_eq!(answer.home_address, None);
    assert_eq!(world.bindings()[0].care_of, host(8).into());

    let contradictory = moved.of(host(1));
    assert!(world.update(&contradictory).is_none());
    assert_eq!(world.counter("drop_conflicting_home_address"), 1);
}

#[test]
fn everything_works_in_udp_too() {
    let mut world = World::dual();
    let answer = world.update(&Update::new(ALICE, 7, 1).in_udp()).unwrap();
    assert_eq!(answer.status, Status::ACCEPTED);
    let home_address = answer.home_address.unwrap();
    assert_eq!(
        world.bindings()[0].transport,
        Transport::Udp { port: 40_000 }
    );
    // As RFC 5555 has it, from the home address; and without one, from nowhere.
    let from_home = Update::new(ALICE, 7, 2).of(home_address).in_udp();
    let from_home = from_home.with(|update| update.packet_source = home_address);
    assert_eq!(world.status(&from_home), 0);
    let from_nowhere = Update::new("bob@example.net", 8, 1).in_udp();
    let from_nowhere = from_nowhere.with(|update| {
        update.packet_source = UNSPECIFIED;
        update.home_network_prefix = None;
    });
    assert_eq!(world.status(&from_nowhere), 0);
    // And back.
    assert_eq!(world.status(&Update::new(ALICE, 7, 3)), 0);
    assert!(
        world
            .bindings()
            .iter()
            .any(|binding| binding.transport == Transport::MobilityHeader)
    );
    let translated = Update::new(ALICE, 7, 4).in_udp();
    let translated = translated.with(|update| update.source = host(99));
    assert_eq!(world.status(&translated), 174);
}

#[test]
fn an_identity_has_a_home_address_in_each_family() {
    let mut world = World::dual();
    let ipv4 = world.bound(ALICE, 7);
    let ipv6 = world.bound_6(ALICE, 7, 1);
    let lent: Vec<_> = world
        .bindings()
        .iter()
        .map(|b| b.home_address.ip())
        .collect();
    assert_eq!(lent, [IpAddr::from(ipv4), IpAddr::from(ipv6)]);
    let release = Update::new(ALICE, 7, 2).release(ipv6);
    assert_eq!(world.status(&release), 0);
    assert_eq!(world.bindings().len(), 1, "the other one stays");
    assert_eq!(world.agent.pool_usage().len(), 2);
}

#[test]
fn one_family_alone_is_served_alone() {
    let mut config = both();
    config.ipv4 = None;
    config.pools.remove(0);
    config.mobile_nodes.clear();
    let mut world = World::with(config);
    world.bound_6(ALICE, 7, 1);
    let octets = Update::new(ALICE, 7, 2).octets();
    assert_eq!(
        world.deliver(&octets, "198.51.100.7:434".parse().unwrap()),
        None
    );
    assert_eq!(world.counter("drop_family_not_served"), 1);
}
