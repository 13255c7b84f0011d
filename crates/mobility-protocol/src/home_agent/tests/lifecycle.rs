//! A binding from its first request to the end of its hold-down.

use super::*;

const ALICE: &str = "alice@example.net";
const BOB: &str = "bob@example.net";

#[test]
fn a_first_request_is_lent_an_address_and_tunnelled() {
    let mut world = World::new();
    let ask = world.ask(ALICE, 7);
    let reply = world.send(&ask).unwrap();
    assert_eq!(reply.code, ReplyCode::ACCEPTED);
    assert_eq!(
        reply.lifetime,
        Lifetime::Finite(secs(600)),
        "unlimited means the default"
    );
    assert_eq!(reply.identification, ask.request.identification);
    let address = reply.home_address;
    assert_eq!(address.octets()[..3], [10, 128, 0]);
    let identity = Identity::new(ALICE).unwrap();
    assert_eq!(
        world.take_events(),
        [
            tunnel(address, 7, None),
            Event::BindingCreated {
                home_address: home(address),
                care_of: at(7),
                identity: identity.clone(),
                lifetime: secs(600)
            },
        ]
    );
    let [binding] = &world.bindings()[..] else {
        panic!()
    };
    assert_eq!(binding.home_address, home(address));
    assert_eq!(binding.identity, identity);
    assert_eq!(binding.expires_in, secs(600));
    assert_eq!(binding.state, BindingState::Active);
    assert!(!binding.authenticated);
    assert_eq!(world.used(), (1, 0));
    assert_eq!(
        world.store[&named(&identity)].lease,
        StoredLease::Bound {
            transport: Transport::Udp { port: 40_000 },
            home_address: home(address),
            care_of: at(7),
            reachability: Reachability::Proven,
            lifetime: secs(600),
            expires_at: NEW_YEAR + secs(600) + Duration::from_millis(1),
        }
    );
}

#[test]
fn the_octets_of_a_reply_are_the_published_ones() {
    let octets = |text: &str| hex::decode(text).unwrap();
    let request = octets(
        "0122070800000000cb00710ac6336407ed00378080000001830f6d6e31406578616d706c652e636f6d2014000001000ad402008b0709b90ca22df1704cf12f",
    );
    let reply = octets(
        "03000258cb007181cb00710aed00378080000001830f6d6e31406578616d706c652e636f6d20140000010088ec0c23281fdd7bc7ce45614e057479",
    );
    let late = octets(
        "0385000000000000cb00710aed00459080000001830f6d6e31406578616d706c652e636f6d2014000001006a13e026f486eca57f81960703640b78",
    );
    let mut world = World::with(Config {
        pools: vec!["203.0.113.128/25".parse().unwrap()],
        max_lifetime: secs(600),
        mobile_nodes: vec![MobileNodeConfig {
            identity: Identity::new("mn1@example.com").unwrap(),
            address: Some("203.0.113.129".parse().unwrap()),
            association: association(LAPTOP),
            proves_moves: true,
        }],
        ..config()
    });
    let source = "198.51.100.7:40000".parse().unwrap();
    assert_eq!(world.deliver(&request, source), Some(reply));
    world.agent = World::new().agent;
    let mut world = World::with(Config {
        mobile_nodes: vec![MobileNodeConfig {
            identity: Identity::new("mn1@example.com").unwrap(),
            address: None,
            association: association(LAPTOP),
            proves_moves: true,
        }],
        ..config()
    });
    world.wait(secs(3600));
    assert_eq!(world.deliver(&request, source), Some(late));
}

#[test]
fn a_retransmitted_first_request_burns_no_second_address() {
    let mut world = World::new();
    let address = world.bound(ALICE, 7);
    assert_eq!(world.bound(ALICE, 7), address);
    // It moved while the first answer was under way.
    assert_eq!(world.bound(ALICE, 8), address);
    assert_eq!(world.used(), (1, 0));
    assert_eq!(world.bindings()[0].care_of, at(8));
    assert_ne!(
        world.bound(BOB, 7),
        address,
        "the same care-of address may be another's"
    );
}

#[test]
fn the_lifetime_is_what_was_asked_for_up_to_the_limit() {
    let mut world = World::new();
    for (asked, granted) in [(1, 1), (1800, 1800), (3600, 3600), (50_000, 3600)] {
        let ask = world
            .ask(ALICE, 7)
            .with(|request| request.lifetime = Lifetime::Finite(secs(asked)));
        assert_eq!(
            world.send(&ask).unwrap().lifetime,
            Lifetime::Finite(secs(granted))
        );
        assert_eq!(
            world.bindings()[0].expires_in,
            secs(granted),
            "also if it gets shorter"
        );
    }
}

#[test]
fn a_refresh_prolongs_and_leaves_the_data_path_alone() {
    let mut world = World::new();
    let address = world.bound(ALICE, 7);
    for _ in 0..10 {
        world.wait(secs(599));
        let ask = world.ask(ALICE, 7).of(address);
        assert_eq!(world.send(&ask).unwrap().home_address, address);
        let home_address = home(address);
        assert_eq!(
            world.take_events(),
            [Event::BindingRefreshed {
                home_address,
                lifetime: secs(600)
            }]
        );
    }
    world.wait(secs(600));
    assert_eq!(world.bindings(), []);
}

#[test]
fn a_move_changes_the_tunnel_at_once_and_forgets_the_former_end_later() {
    let mut world = World::new();
    let address = world.bound(ALICE, 7);
    let ask = world.ask(ALICE, 8).of(address);
    world.send(&ask).unwrap();
    let identity = Identity::new(ALICE).unwrap();
    assert_eq!(
        world.take_events(),
        [
            unproven(tunnel(address, 8, Some(7))),
            Event::BindingMoved {
                home_address: home(address),
                from: at(7),
                to: at(8),
                identity,
                configured: false,
            },
        ]
    );
    assert_eq!(world.bindings()[0].state, BindingState::Moving);
    world.wait(Duration::from_millis(2999));
    assert_eq!(world.take_events(), []);
    world.wait(Duration::from_millis(1));
    assert_eq!(world.take_events(), [unproven(tunnel(address, 8, None))]);
    assert_eq!(world.bindings()[0].state, BindingState::Active);
}

#[test]
fn moves_in_quick_succession_end_with_the_last() {
    let mut world = World::new();
    let address = world.bound(ALICE, 7);
    for host in [8, 9, 7] {
        let ask = world.ask(ALICE, host).of(address);
        world.send(&ask).unwrap();
        world.wait(secs(1));
    }
    let tunnels: Vec<Event> = world
        .take_events()
        .into_iter()
        .filter(|event| matches!(event, Event::Dataplane(_)))
        .collect();
    assert_eq!(
        tunnels,
        [
            unproven(tunnel(address, 8, Some(7))),
            unproven(tunnel(address, 9, Some(8))),
            tunnel(address, 7, Some(9))
        ]
    );
    world.wait(secs(10));
    assert_eq!(
        world.take_events(),
        [tunnel(address, 7, None)],
        "once, three seconds after the last"
    );
}

#[test]
fn a_released_address_is_held_down_for_its_owner_alone() {
    let mut world = World::new();
    let address = world.bound(ALICE, 7);
    let ask = world.ask(ALICE, 7).release(address);
    let reply = world.send(&ask).unwrap();
    assert_eq!(
        (reply.code, reply.lifetime),
        (ReplyCode::ACCEPTED, Lifetime::Zero)
    );
    assert_eq!(reply.home_address, address);
    let identity = Identity::new(ALICE).unwrap();
    assert_eq!(
        world.take_events(),
        [
            Event::Dataplane(DataplaneChange::Remove(home(address))),
            Event::BindingReleased {
                home_address: home(address),
                identity
            },
        ]
    );
    assert_eq!(world.used(), (0, 1));

    let ask = world.ask(BOB, 8).of(address);
    assert_eq!(world.send(&ask).unwrap().code.0, 129);
    for number in 0..252 {
        let name: &'static str = Box::leak(format!("node{number}@example.net").into_boxed_str());
        assert_ne!(world.bound(name, 9), address);
    }
    let ask = world.ask(BOB, 8);
    assert_eq!(world.send(&ask).unwrap().code.0, 130);
    // Its owner gets it back, by name or by asking for any.
    assert_eq!(world.bound(ALICE, 7), address);
    let ask = world.ask(ALICE, 7).release(address);
    world.send(&ask).unwrap();
    let ask = world.ask(ALICE, 7).of(address);
    assert_eq!(world.send(&ask).unwrap().code.0, 0);
    let ask = world.ask(ALICE, 7).release(address);
    world.send(&ask).unwrap();
    world.wait(secs(240));
    assert_eq!(world.bound(BOB, 8), address);
    let ask = world.ask(ALICE, 7).of(address);
    assert_eq!(
        world.send(&ask).unwrap().code.0,
        129,
        "it is over: start again"
    );
}

#[test]
fn every_form_of_deregistration_is_understood() {
    let mut world = World::new();
    let forms: [fn(&mut RegistrationRequest, Ipv4Addr); 4] = [
        |_, _| {},
        |request, address| request.care_of_address = address,
        |request, _| request.home_address = Ipv4Addr::UNSPECIFIED,
        |request, _| {
            request.home_address = Ipv4Addr::UNSPECIFIED;
            request.care_of_address = Ipv4Addr::UNSPECIFIED;
        },
    ];
    for form in forms {
        let address = world.bound(ALICE, 7);
        let ask = world
            .ask(ALICE, 7)
            .release(address)
            .with(|request| form(request, address));
        assert_eq!(world.send(&ask).unwrap().code, ReplyCode::ACCEPTED);
        assert_eq!(world.bindings(), []);
    }
    // From wherever it is now, with whatever flags.
    let address = world.bound(ALICE, 7);
    let mut ask = world.ask(ALICE, 8).release(address).with(|request| {
        request.care_of_address = Ipv4Addr::new(198, 51, 100, 7);
        request.flags = RequestFlags::NONE;
    });
    ask.source.set_port(50_000);
    assert_eq!(world.send(&ask).unwrap().code, ReplyCode::ACCEPTED);
    assert_eq!(world.bindings(), []);
}

#[test]
fn a_deregistration_whose_answer_was_lost_is_accepted_again() {
    let mut world = World::new();
    let address = world.bound(ALICE, 7);
    for _ in 0..3 {
        let ask = world.ask(ALICE, 7).release(address);
        assert_eq!(world.send(&ask).unwrap().code, ReplyCode::ACCEPTED);
    }
    assert_eq!(world.counter("bindings_released"), 1);
    assert_eq!(world.used(), (0, 1));
}

#[test]
fn deregistering_another_care_of_address_leaves_the_binding() {
    let mut world = World::new();
    let address = world.bound(ALICE, 7);
    let ask = world.ask(ALICE, 8).release(address);
    assert_eq!(world.send(&ask).unwrap().code, ReplyCode::ACCEPTED);
    assert_eq!(world.bindings()[0].care_of, at(7));
}

#[test]
fn nobody_refreshes_moves_or_ends_the_binding_of_another() {
    let mut world = World::new();
    let address = world.bound(LAPTOP, 7);
    let before = world.store.clone();
    for thief in [BOB, PHONE] {
        let ask = world.ask(thief, 8).of(address);
        assert_eq!(world.send(&ask).unwrap().code.0, 129);
        let ask = world.ask(thief, 7).of(address);
        assert_eq!(world.send(&ask).unwrap().code.0, 129);
        let ask = world.ask(thief, 8).release(address);
        assert_eq!(world.send(&ask).unwrap().code.0, 129);
        let all = world
            .ask(thief, 8)
            .release(address)
            .with(|request| request.care_of_address = address);
        assert_eq!(world.send(&all).unwrap().code.0, 129);
    }
    assert_eq!(world.bindings()[0].care_of, at(7));
    assert_eq!(world.store, before);
}

#[test]
fn a_fixed_address_is_its_owners_at_any_time() {
    let mut world = World::new();
    let fixed = Ipv4Addr::new(10, 128, 0, 9);
    assert_eq!(world.bound(LAPTOP, 7), fixed);
    assert!(world.bindings()[0].authenticated);
    let ask = world.ask(LAPTOP, 7).release(fixed);
    world.send(&ask).unwrap();
    assert_eq!(world.used(), (0, 0), "it rests for nobody");
    let ask = world.ask(LAPTOP, 7).of(fixed);
    assert_eq!(world.send(&ask).unwrap().code.0, 0);
    let ask = world.ask(LAPTOP, 7).of(Ipv4Addr::new(10, 128, 0, 10));
    assert_eq!(world.send(&ask).unwrap().code.0, 129);
}

#[test]
fn a_binding_that_is_not_refreshed_expires_without_a_word() {
    let mut world = World::new();
    let address = world.bound(ALICE, 7);
    world.wait(secs(600) - Duration::from_millis(1));
    assert_eq!(world.bindings().len(), 1);
    world.wait(Duration::from_millis(1));
    let identity = Identity::new(ALICE).unwrap();
    assert_eq!(
        world.take_events(),
        [
            Event::Dataplane(DataplaneChange::Remove(home(address))),
            Event::BindingExpired {
                home_address: home(address),
                identity
            },
        ]
    );
    assert_eq!(world.agent.poll_transmit(), None);
    // It was away; it comes back in time for its old address.
    world.wait(secs(200));
    assert_eq!(world.bound(ALICE, 8), address);
}

#[test]
fn nothing_is_left_in_the_end() {
    let mut world = World::with(Config {
        hold_down: secs(2),
        ..config()
    });
    let address = world.bound(ALICE, 7);
    let ask = world.ask(ALICE, 7).release(address);
    world.send(&ask).unwrap();
    world.wait(secs(2));
    assert_eq!(world.used(), (0, 0));
    assert_eq!(
        world.store.len(),
        1,
        "remembered for as long as a replay could be fresh"
    );
    world.wait(secs(12));
    assert!(world.store.is_empty());
    assert_eq!(world.agent.poll_timeout(), None);
}

#[test]
fn a_lost_commit_loses_nothing() {
    let mut world = World::new();
    let ask = world.ask(ALICE, 7);
    let datagram = Datagram {
        source: ask.source.ip(),
        destination: HOME_AGENT.into(),
        transport: Transport::Udp {
            port: ask.source.port(),
        },
        home_address: None,
        payload: &ask.octets(),
    };
    world.agent.handle_input(datagram, world.now);
    // The disk is full: the reply is thrown away, the changes wait.
    let waiting: Vec<StoreChange> =
        std::iter::from_fn(|| world.agent.poll_store_change()).collect();
    let transmit = world.agent.poll_transmit().unwrap();
    assert_eq!(waiting.len(), 1);
    // The mobile node asks again, and gets the same.
    let address = world.bound(ALICE, 7);
    let Ok(Message::RegistrationReply(lost)) = Message::decode(&transmit.payload) else {
        panic!()
    };
    assert_eq!(lost.home_address, address);
    assert_eq!(
        world.store.len(),
        1,
        "the later change replaces the earlier one"
    );
    assert_eq!(&waiting[0].owner(), world.store.keys().next().unwrap());
}

#[test]
fn contradictory_configurations_are_refused() {
    let error = |change: fn(&mut Config)| {
        let mut config = config();
        change(&mut config);
        HomeAgent::new(config, [0; 32], Instant::now(), NEW_YEAR)
            .err()
            .unwrap()
    };
    assert!(matches!(
        error(|c| c.ipv4 = Some(Ipv4Addr::LOCALHOST)),
        ConfigError::Address(_)
    ));
    assert!(matches!(
        error(|c| c.ipv6 = Some(Ipv6Addr::LOCALHOST)),
        ConfigError::Address(_)
    ));
    assert!(matches!(
        error(|c| c.pools.push("2001:db8::/64".parse().unwrap())),
        ConfigError::Family(_)
    ));
    assert!(matches!(error(|c| c.pools.clear()), ConfigError::Pool(_)));
    assert!(matches!(
        error(|c| c.max_lifetime = Duration::ZERO),
        ConfigError::Lifetime(_)
    ));
    assert!(matches!(
        error(|c| c.default_lifetime = secs(65_535)),
        ConfigError::Lifetime(_)
    ));
    assert!(matches!(
        error(|c| c.replay_window = Duration::ZERO),
        ConfigError::ReplayWindow(_)
    ));
    assert!(matches!(
        error(|c| c.hold_down = Duration::MAX),
        ConfigError::HoldDown(_)
    ));
    assert!(matches!(
        error(|c| c.mobile_nodes[1].identity = c.mobile_nodes[0].identity.clone()),
        ConfigError::TwoAddresses(_)
    ));
    assert!(matches!(
        error(|c| c.mobile_nodes.push(c.mobile_nodes[0].clone())),
        ConfigError::DuplicateSpi { spi: 256, .. }
    ));
    assert!(matches!(
        error(|c| c.mobile_nodes[1].address = c.mobile_nodes[0].address),
        ConfigError::DuplicateAddress(_)
    ));
    assert!(matches!(
        error(|c| c.mobile_nodes[0].association.spi = 255),
        ConfigError::Spi { spi: 255, .. }
    ));
    assert!(matches!(
        error(|c| c.mobile_nodes[0].association = SecurityAssociation::open_mode()),
        ConfigError::Spi { .. }
    ));
    assert!(matches!(
        error(|c| c.mobile_nodes[0].address = Some(HOME_AGENT.into())),
        ConfigError::Pool(_)
    ));
}
