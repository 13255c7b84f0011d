//! What is refused, and what gets no answer.

use super::*;

#[test]
fn only_its_own_home_address_is_somebodys() {
    let mut world = World::dual();
    let alice = world.bound_6(ALICE, 7, 1);
    let bob = |sequence| Update::new("bob@example.net", 8, sequence);
    assert_eq!(world.status(&bob(1).of(alice)), 133);
    assert_eq!(world.status(&bob(2).release(alice)), 133);
    let elsewhere = "2001:db8:999::1".parse().unwrap();
    assert_eq!(world.status(&bob(3).of(elsewhere)), 132);
    assert_eq!(world.bindings().len(), 1);
    // "I am home": to whoever lends home addresses, a stranger's.
    let home = bob(4).with(|update| update.home_network_prefix = None);
    assert_eq!(
        world.status(&home.with(|update| update.lifetime = Lifetime::Zero)),
        133
    );
}

#[test]
fn what_is_not_done_here_is_refused_by_its_number() {
    let mut world = World::dual();
    let flags = |flags| Update::new(ALICE, 7, 1).with(|update| update.flags = flags);
    let home = UpdateFlags::HOME;
    assert_eq!(
        world.status(&flags(home | UpdateFlags::PROXY_REGISTRATION)),
        152
    );
    assert_eq!(world.status(&flags(home | UpdateFlags::MOBILE_ROUTER)), 140);
    assert_eq!(
        world.status(&flags(home | UpdateFlags::MAP_REGISTRATION)),
        129
    );
    assert_eq!(world.status(&flags(home | UpdateFlags::FORCE_UDP)), 129);
    assert_eq!(world.status(&flags(UpdateFlags::ACKNOWLEDGE)), 129);
    let care_of = |care_of| Update::new(ALICE, 7, 1).with(|update| update.care_of = Some(care_of));
    for impossible in [
        host(8),
        HOME_AGENT_6,
        "fe80::7".parse().unwrap(),
        UNSPECIFIED,
    ] {
        assert_eq!(world.status(&care_of(impossible)), 174, "{impossible}");
    }
    let borrowed = world.bound_6("bob@example.net", 9, 1);
    let looped = care_of(borrowed).with(|update| {
        update.source = borrowed;
        update.packet_source = borrowed;
    });
    assert_eq!(world.status(&looped), 174);
    assert_eq!(world.bindings().len(), 1);
    world.bound_6(ALICE, 7, 2);
    let change = flags(UpdateFlags::ACKNOWLEDGE).with(|update| update.sequence = 3);
    assert_eq!(world.status(&change), 139);
}

#[test]
fn a_key_asks_for_timestamps() {
    let mut world = World::dual();
    let now = |world: &World| world.agent.clock.identification(world.now);
    let dated = |sequence, timestamp| {
        Update::new(PHONE, 7, sequence).with(|update| update.timestamp = Some(timestamp))
    };
    assert_eq!(world.status(&Update::new(PHONE, 7, 1)), 145);

    let old = Identification::from_unix(NEW_YEAR - secs(3600)).with_high(7);
    let answer = world.update(&dated(2, old)).unwrap();
    assert_eq!(answer.status, Status::IDENTIFICATION_MISMATCH);
    let told = answer.timestamp.unwrap();
    assert_eq!((told.high(), told.low()), (now(&world).high(), old.low()));

    let time = now(&world);
    let answer = world.update(&dated(3, time)).unwrap();
    assert_eq!(answer.status, Status::ACCEPTED);
    assert_eq!(answer.timestamp, Some(time));
    // With a timestamp, the number is no defence and no obstacle.
    let later = now(&world);
    assert_eq!(world.status(&dated(1, later)), 0);
    assert_eq!(world.status(&dated(4, time)), 144);
}

#[test]
fn a_wrong_key_is_told_so_and_an_unknown_one_nothing() {
    let mut world = World::dual();
    let mut update = Update::new(PHONE, 7, 1);
    update.association.key = Key::new([9; 32]).unwrap();
    assert_eq!(world.status(&update), 146);
    assert_eq!(world.counter("drop_authentication_failed"), 1);
    update.association.spi = 999;
    assert!(world.update(&update).is_none());
    assert_eq!(world.counter("drop_unknown_association"), 1);
    let anonymous = Update {
        association: SecurityAssociation::open_mode(),
        ..Update::new(PHONE, 7, 1)
    };
    assert!(
        world.update(&anonymous).is_none(),
        "it has a key of its own"
    );
}

#[test]
fn messages_nobody_knows_are_answered_at_a_bounded_rate() {
    let mut world = World::dual();
    let update = Update::new(ALICE, 7, 1);
    let mut octets = update.octets();
    octets[2] = 99;
    let packet = Packet {
        source: host(7),
        destination: HOME_AGENT_6,
        home_address: None,
        routing_address: None,
        message: &[],
    };
    let checksum = packet.pseudo_header().checksum(&octets);
    octets[4..6].copy_from_slice(&checksum.to_be_bytes());
    let mut answered = 0;
    for _ in 0..100 {
        if let Some(transmit) = world.deliver_6(&update, &octets) {
            answered += 1;
            let answer = Packet {
                source: HOME_AGENT_6,
                destination: host(7),
                message: &transmit.payload,
                ..packet
            };
            let Ok(mip6::Message::BindingError(error)) = answer.message() else {
                panic!("{transmit:?}");
            };
            assert_eq!(error.status, BindingErrorStatus::UNRECOGNIZED_MESSAGE_TYPE);
        }
    }
    assert_eq!(answered, 10);
    assert_eq!(world.counter("drop_unknown_message_type"), 100);
}

#[test]
fn no_octet_can_be_changed() {
    for update in [Update::new(ALICE, 7, 1), Update::new(ALICE, 7, 1).in_udp()] {
        let mut world = World::dual();
        let good = update.octets();
        for length in 0..good.len() {
            assert_eq!(world.deliver_6(&update, &good[..length]), None);
        }
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            world.wait(secs(1));
            world.deliver_6(&update, &bad);
        }
        // Of an IPv6 header, class, flow label and hop limit are not protected, nor need to be.
        let unprotected = if update.transport == Transport::MobilityHeader {
            0
        } else {
            36
        };
        assert!(world.counter("status_0") + world.counter("status_135") <= unprotected);
    }
}

proptest::proptest! {
    #[test]
    fn anything_may_arrive(
        octets in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
        udp: bool,
    ) {
        let mut world = World::dual();
        let mut update = Update::new(ALICE, 7, 1);
        if udp {
            update = update.in_udp();
        }
        world.deliver_6(&update, &octets);
        proptest::prop_assert_eq!(world.bindings(), []);
    }
}
