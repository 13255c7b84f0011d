//! Binding Updates of Mobile IPv6, by themselves and in UDP, and both families at once.

use super::*;
use crate::Family;
use crate::wire::mip6::iana::BindingErrorStatus;
use crate::wire::mip6::{
    self, BindingAddresses, BindingUpdate, MobileNodeIdentifier, MobilityOption, NetworkPrefix,
    Options, Packet, SequenceNumber, Status, UpdateFlags,
};

const HOME_AGENT_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x200, 0, 0, 0, 0, 1);
const UNSPECIFIED: Ipv6Addr = Ipv6Addr::UNSPECIFIED;
const ALICE: &str = "alice@example.net";

fn both() -> Config {
    let mut config = config();
    config.ipv6 = Some(HOME_AGENT_6);
    config.pools.push("2001:db8:200:1::/64".parse().unwrap());
    config.correspondents = Arc::from([
        "198.51.100.0/24".parse().unwrap(),
        "2001:db8:300::/48".parse().unwrap(),
    ]);
    config
}

fn host(host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 0, 0, host)
}

/// A Binding Update on its way: a plain first request, until a test changes it.
#[derive(Clone)]
struct Update {
    identity: &'static str,
    association: SecurityAssociation,
    source: Ipv6Addr,
    transport: Transport,
    packet_source: Ipv6Addr,
    /// In a Home Address option.
    home_address_option: Option<Ipv6Addr>,
    /// In a home network prefix option.
    home_network_prefix: Option<Ipv6Addr>,
    care_of: Option<Ipv6Addr>,
    sequence: u16,
    flags: UpdateFlags,
    lifetime: Lifetime,
    timestamp: Option<Identification>,
}

impl Update {
    fn new(identity: &'static str, from: u16, sequence: u16) -> Self {
        Self {
            identity,
            association: association(identity),
            source: host(from),
            transport: Transport::MobilityHeader,
            packet_source: host(from),
            home_address_option: None,
            home_network_prefix: Some(UNSPECIFIED),
            care_of: Some(host(from)),
            sequence,
            flags: UpdateFlags::HOME,
            lifetime: Lifetime::Infinite,
            timestamp: None,
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn of(self, home_address: Ipv6Addr) -> Self {
        self.with(|update| update.home_network_prefix = Some(home_address))
    }

    fn release(self, home_address: Ipv6Addr) -> Self {
        self.of(home_address)
            .with(|update| update.lifetime = Lifetime::Zero)
    }

    fn in_udp(self) -> Self {
        self.with(|update| update.transport = Transport::Udp { port: 40_000 })
    }

    fn addresses(&self) -> BindingAddresses {
        BindingAddresses {
            home_address: self
                .home_network_prefix
                .or(self.home_address_option)
                .unwrap_or(self.packet_source),
            care_of_address: self.care_of.unwrap_or(self.packet_source),
        }
    }

    fn octets(&self) -> Vec<u8> {
        let identity = Identity::new(self.identity).unwrap();
        let options = [
            self.care_of.map(MobilityOption::AlternateCareOfAddress),
            self.home_network_prefix
                .map(NetworkPrefix::of_address)
                .map(MobilityOption::HomeNetworkPrefix),
            MobileNodeIdentifier::nai(&identity)
                .ok()
                .map(MobilityOption::MobileNodeIdentifier),
            self.timestamp.map(MobilityOption::ReplayProtection),
        ];
        let update = BindingUpdate {
            sequence: SequenceNumber(self.sequence),
            flags: self.flags,
            lifetime: self.lifetime,
            options: Options::try_from(options.into_iter().flatten().collect::<Vec<_>>()).unwrap(),
        };
        let mut packet = Packet {
            source: self.packet_source,
            destination: HOME_AGENT_6,
            home_address: self.home_address_option,
            routing_address: None,
            message: &[],
        };
        let message = update.encode(
            &self.association,
            &self.addresses(),
            &packet.pseudo_header(),
        );
        packet.message = &message;
        match self.transport {
            Transport::MobilityHeader => message,
            Transport::Udp { .. } => packet.encode(),
        }
    }
}

/// What came back, verified as its mobile node verifies it.
#[derive(Debug)]
struct Answer {
    status: Status,
    sequence: u16,
    lifetime: Lifetime,
    /// In the home network prefix option.
    home_address: Option<Ipv6Addr>,
    /// In the type 2 routing header.
    routing_address: Option<Ipv6Addr>,
    timestamp: Option<Identification>,
}

impl World {
    fn dual() -> Self {
        Self::with(both())
    }

    fn deliver_6(&mut self, update: &Update, payload: &[u8]) -> Option<Transmit> {
        let datagram = Datagram {
            source: update.source.into(),
            destination: HOME_AGENT_6.into(),
            transport: update.transport,
            home_address: update.home_address_option,
            payload,
        };
        self.agent.handle_input(datagram, self.now);
        self.round();
        let transmit = self.agent.poll_transmit()?;
        assert_eq!(self.agent.poll_transmit(), None);
        assert_eq!(transmit.destination, update.source);
        assert_eq!(transmit.source, IpAddr::from(HOME_AGENT_6));
        assert_eq!(transmit.transport, update.transport, "answered in kind");
        assert!(transmit.payload.len() <= payload.len(), "never larger");
        Some(transmit)
    }

    fn update(&mut self, update: &Update) -> Option<Answer> {
        self.wait(Duration::from_millis(1));
        let transmit = self.deliver_6(update, &update.octets())?;
        let packet = match transmit.transport {
            Transport::Udp { .. } => Packet::decode(&transmit.payload).unwrap(),
            Transport::MobilityHeader => Packet {
                source: HOME_AGENT_6,
                destination: update.source,
                home_address: None,
                routing_address: transmit.home_address,
                message: &transmit.payload,
            },
        };
        let Ok(mip6::Message::BindingAcknowledgement(answer)) = packet.message() else {
            panic!("not an acknowledgement: {transmit:02x?}");
        };
        let addresses = answer.addresses(&packet, &update.addresses()).unwrap();
        let authentication = answer.options.mn_ha_authentication().unwrap();
        let association = association(update.identity);
        assert!(authentication.is_valid(&association, &addresses, packet.message));
        assert_eq!(
            answer.options.nai().unwrap().as_bytes(),
            update.identity.as_bytes()
        );
        Some(Answer {
            status: answer.status,
            sequence: answer.sequence.0,
            lifetime: answer.lifetime,
            home_address: answer.options.home_address(),
            routing_address: packet.routing_address,
            timestamp: answer.options.replay_protection(),
        })
    }

    fn bound_6(&mut self, identity: &'static str, from: u16, sequence: u16) -> Ipv6Addr {
        let answer = self.update(&Update::new(identity, from, sequence)).unwrap();
        assert_eq!(answer.status, Status::ACCEPTED);
        self.take_events();
        answer.home_address.unwrap()
    }

    fn status(&mut self, update: &Update) -> u8 {
        self.update(update).unwrap().status.0
    }
}

fn tunnel_6(home_address: Ipv6Addr, at: u16, former: Option<u16>) -> Event {
    Event::Dataplane(DataplaneChange::Install(Tunnel {
        home_address: home_address.into(),
        endpoints: TunnelEndpoints {
            local: HOME_AGENT_6.into(),
            remote: host(at).into(),
            interface: None,
        },
        former_remote: former.map(|at| host(at).into()),
        encapsulation: Encapsulation::Ip6InIp6,
        correspondents: Arc::from(["2001:db8:300::/48".parse().unwrap()]),
    }))
}

#[test]
fn a_first_update_is_lent_a_home_address_in_an_option() {
    let mut world = World::dual();
    let answer = world.update(&Update::new(ALICE, 7, 0x1234)).unwrap();
    assert_eq!(answer.status, Status::ACCEPTED);
    assert_eq!(answer.sequence, 0x1234);
    assert_eq!(answer.lifetime, Lifetime::Finite(secs(600)), "the default");
    assert_eq!(answer.routing_address, None, "it would not be received");
    let home_address = answer.home_address.unwrap();
    assert_eq!(home_address.segments()[..4], [0x2001, 0xdb8, 0x200, 1]);
    assert_eq!(world.take_events()[0], tunnel_6(home_address, 7, None));
    let binding = &world.bindings()[0];
    assert_eq!(binding.care_of, host(7).into());
    assert_eq!(binding.transport, Transport::MobilityHeader);
    assert_eq!(binding.lifetime, secs(600));
    let record = &world.store[&Identity::new(ALICE).unwrap()];
    assert_eq!(record.family(), Family::Ipv6);
    assert_eq!(record.last.sequence, Some(SequenceNumber(0x1234)));
    assert_eq!(world.counter("status_0"), 1);
}

#[test]
fn asking_again_burns_no_second_address() {
    let mut world = World::dual();
    let first = world.bound_6(ALICE, 7, 1);
    assert_eq!(world.bound_6(ALICE, 7, 2), first);
    assert_eq!(world.bound_6(ALICE, 8, 3), first, "also after a move");
    assert_eq!(world.bindings().len(), 1);
}

#[test]
fn lifetimes_are_whole_units_of_four_seconds() {
    let mut config = both();
    config.default_lifetime = secs(603);
    let mut world = World::with(config);
    let granted = |world: &mut World, sequence, asked| {
        let update = Update::new(ALICE, 7, sequence).with(|update| update.lifetime = asked);
        let answer = world.update(&update).unwrap();
        assert_eq!(
            Lifetime::Finite(world.bindings()[0].lifetime),
            answer.lifetime
        );
        answer.lifetime
    };
    let finite = |seconds| Lifetime::Finite(secs(seconds));
    assert_eq!(granted(&mut world, 1, Lifetime::Infinite), finite(600));
    assert_eq!(granted(&mut world, 2, finite(4)), finite(4));
    assert_eq!(granted(&mut world, 3, finite(100)), finite(100));
    assert_eq!(granted(&mut world, 4, finite(100_000)), finite(3600));
}

#[test]
fn a_move_is_carried_at_once_and_the_former_address_for_a_moment() {
    let mut world = World::dual();
    let home_address = world.bound_6(ALICE, 7, 1);
    let update = Update::new(ALICE, 8, 2).of(home_address);
    let answer = world.update(&update).unwrap();
    assert_eq!(answer.status, Status::ACCEPTED);
    assert_eq!(answer.home_address, Some(home_address));
    assert_eq!(world.take_events()[0], tunnel_6(home_address, 8, Some(7)));
    world.wait(FORMER_CARE_OF_GRACE);
    assert_eq!(world.take_events(), [tunnel_6(home_address, 8, None)]);
}

#[test]
fn numbers_that_are_not_later_are_told_the_last_one() {
    let mut world = World::dual();
    let home_address = world.bound_6(ALICE, 7, 40_000);
    for (sequence, accepted) in [
        (40_000, false),
        (39_999, false),
        (7_232, false),
        (7_231, true),
    ] {
        let mut world = World::dual();
        world.bound_6(ALICE, 7, 40_000);
        let update = Update::new(ALICE, 8, sequence);
        let answer = world.update(&update).unwrap();
        assert_eq!(answer.status == Status::ACCEPTED, accepted, "{sequence}");
        if !accepted {
            assert_eq!(answer.status, Status::SEQUENCE_OUT_OF_WINDOW);
            assert_eq!(answer.sequence, 40_000);
            assert_eq!(world.bindings()[0].care_of, host(7).into());
        }
    }
    // The store remembers it over a restart, and a deleted binding for a while.
    world.restart(both(), secs(1));
    let late = Update::new(ALICE, 8, 39_000);
    assert_eq!(world.status(&late), 135);
    let release = Update::new(ALICE, 7, 40_001).release(home_address);
    assert_eq!(world.status(&release), 0);
    world.wait(secs(9));
    assert_eq!(world.status(&late), 135);
    assert_eq!(world.bindings(), []);
}

#[test]
fn leaving_ends_the_binding_whatever_the_care_of_address() {
    let mut world = World::dual();
    let home_address = world.bound_6(ALICE, 7, 1);
    let answer = world
        .update(&Update::new(ALICE, 9, 2).release(home_address))
        .unwrap();
    assert_eq!(
        (answer.status, answer.lifetime),
        (Status::ACCEPTED, Lifetime::Zero)
    );
    assert_eq!(answer.home_address, Some(home_address));
    assert_eq!(
        world.take_events()[0],
        Event::Dataplane(DataplaneChange::Remove(home_address.into()))
    );
    // The answer was lost.
    let again = Update::new(ALICE, 9, 3).release(home_address);
    assert_eq!(world.status(&again), 0);
    world.wait(secs(300));
    assert!(world.store.is_empty());
    let unknown = Update::new(ALICE, 9, 4).release(home_address);
    assert_eq!(world.status(&unknown), 133);
}

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
