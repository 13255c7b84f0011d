use ipnet::IpNet;

use super::*;

#[test]
fn asks_for_an_address_and_gets_it() {
    let mut laptop = Laptop::new();
    laptop.bind();
    assert!(laptop.sent.is_empty(), "there is no path yet");
    laptop.path(Some(path(1)), true);

    let sent = laptop.sent[0].clone();
    assert_eq!(sent.source, path(1).care_of.ip());
    assert_eq!(sent.destination, SocketAddr::from((AGENT, PORT)));
    assert_eq!(sent.payload[1], 0x22, "D and T");
    assert_eq!(sent.request.lifetime, Lifetime::Infinite);
    assert!(sent.request.home_address.is_unspecified());
    assert_eq!(sent.request.home_agent, AGENT);
    assert_eq!(
        IpAddr::V4(sent.request.care_of_address),
        path(1).care_of.ip()
    );
    assert_eq!(
        sent.request.identification.to_unix(NEW_YEAR).as_secs(),
        NEW_YEAR.as_secs()
    );
    assert_eq!(sent.request.extensions.nai(), Some(&identity()));
    assert!(sent.request.extensions.udp_tunnel_request().is_some());
    let authentication = sent.request.extensions.mobile_home_authentication();
    assert!(
        authentication
            .is_some_and(|it| it.is_valid(&SecurityAssociation::open_mode(), &sent.payload))
    );

    laptop.accept(0);
    assert_eq!(laptop.take_events(), [active_event()]);
    let tunnel = &laptop.tunnels[&HomeAddress::from(HOME)];
    assert_eq!(tunnel.endpoints.local, path(1).care_of.ip());
    assert_eq!(tunnel.endpoints.remote, IpAddr::V4(AGENT));
    assert_eq!(tunnel.endpoints.interface, Some(1));
    assert_eq!(
        tunnel.correspondents.to_vec(),
        [IpNet::from(IpAddr::V4(SERVER))]
    );

    let views = laptop.node.bindings(laptop.now);
    assert_eq!(views[0].home_address, Some(HOME.into()));
    assert_eq!(views[0].state, BindingState::Active);
    assert_eq!(views[0].expires_in, Some(seconds(600)));
    assert!(views[0].names.contains_key("server.example"));
}

#[test]
fn a_silent_agent_is_asked_six_times_and_then_left_alone() {
    let mut laptop = Laptop::new();
    laptop.bind();
    laptop.path(Some(path(1)), true);
    laptop.advance(seconds(62));
    assert_eq!(times(&laptop.sent), [0, 1, 3, 7, 15, 31]);
    assert_increasing(&laptop.sent);
    assert!(laptop.events.is_empty());
    laptop.advance(seconds(1));
    assert_eq!(laptop.take_events(), [failed(FailureReason::Silent)]);
    assert!(laptop.node.agents().is_empty());

    laptop.take_sent();
    laptop.bind();
    assert_eq!(
        laptop.take_events(),
        [failed(FailureReason::Silent)],
        "at once"
    );
    assert!(laptop.node.agents().is_empty());
    laptop.advance(seconds(6));
    laptop.bind();
    laptop.path(Some(path(1)), true);
    assert_eq!(laptop.take_sent().len(), 1, "another chance");
}

#[test]
fn an_application_does_not_wait_for_an_agent_that_seems_silent() {
    let mut laptop = Laptop::new();
    laptop.bind();
    laptop.path(Some(path(1)), true);
    laptop.advance(seconds(1));
    laptop.bind();
    assert!(laptop.events.is_empty(), "it may still answer");
    laptop.advance(seconds(4));
    laptop.bind();
    assert_eq!(laptop.take_events(), [failed(FailureReason::Silent)]);
    laptop.accept(2);
    assert_eq!(
        laptop.take_events(),
        [active_event()],
        "late, for later sockets"
    );
}

#[test]
fn names_and_correspondents_share_one_binding() {
    let mut laptop = Laptop::active();
    let other = Ipv4Addr::new(192, 0, 2, 81);
    let association = SecurityAssociation::open_mode();
    let bound = laptop.act(|node, now| {
        node.bind(
            agent(),
            "www.example",
            &[other.into()],
            association.clone(),
            now,
        )
    });
    assert_eq!(bound, Ok(()));
    assert_eq!(laptop.take_events(), [active_event()], "it stands already");
    assert!(laptop.sent.is_empty());
    assert_eq!(
        laptop.tunnels[&HomeAddress::from(HOME)]
            .correspondents
            .len(),
        2
    );

    assert!(laptop.act(|node, now| node.release_name("www.example", now)));
    assert_eq!(
        laptop.tunnels[&HomeAddress::from(HOME)]
            .correspondents
            .len(),
        1
    );
    assert!(!laptop.act(|node, now| node.release_name("www.example", now)));
    assert!(laptop.act(|node, now| node.release_name("server.example", now)));
    assert_eq!(laptop.state(), Some(BindingState::Releasing));
}

#[test]
fn one_correspondent_has_one_agent() {
    let mut laptop = Laptop::active();
    let other = HomeAgentAddress::from(Ipv4Addr::new(203, 0, 113, 11));
    let association = SecurityAssociation::open_mode();
    let bound = laptop
        .act(|node, now| node.bind(other, "evil.example", &[SERVER.into()], association, now));
    assert_eq!(
        bound,
        Err(BindError::CorrespondentTaken {
            correspondent: SERVER.into(),
            agent: agent()
        })
    );
}

#[test]
fn a_withdrawn_correspondent_is_left_to_its_sockets_until_it_is_bound_again() {
    let mut laptop = Laptop::active();
    let carried = |laptop: &Laptop| {
        let tunnel = &laptop.tunnels[&HomeAddress::from(HOME)];
        (tunnel.correspondents.to_vec(), tunnel.withdrawn.to_vec())
    };
    let all = vec![IpNet::from(IpAddr::from(SERVER))];
    assert_eq!(laptop.node.captured(), [(SERVER.into(), agent())].into());

    let other = IpAddr::from([192, 0, 2, 99]);
    laptop.act(|node, now| node.withdraw(agent(), &[SERVER.into(), other].into(), now));
    assert_eq!(carried(&laptop), (all.clone(), all.clone()));
    assert!(laptop.node.captured().is_empty());
    assert_eq!(laptop.state(), Some(BindingState::Active));

    // Neither a move nor a restart forgets it.
    laptop.path(Some(path(2)), false);
    assert_eq!(carried(&laptop), (all.clone(), all.clone()));
    let stored = laptop.node.snapshot(laptop.now);
    let mut restarted = Laptop::new();
    let stored = stored
        .into_iter()
        .map(|stored| (stored, SecurityAssociation::open_mode()));
    restarted.act(|node, now| node.restore(stored, now));
    assert_eq!(carried(&restarted), (all.clone(), all.clone()));
    assert!(restarted.node.captured().is_empty());

    laptop.bind();
    assert_eq!(carried(&laptop), (all, vec![]));
}

#[test]
fn a_binding_that_nothing_may_use_is_not_waited_for() {
    let mut laptop = Laptop::new();
    laptop.bind();
    laptop.path(Some(path(1)), true);
    laptop.act(|node, now| node.withdraw(agent(), &[SERVER.into()].into(), now));
    assert_eq!(laptop.take_events(), [failed(FailureReason::Released)]);
    laptop.accept(0);
    assert!(laptop.tunnels.is_empty());
    assert_eq!(laptop.sent[1].request.lifetime, Lifetime::Zero);
}

#[test]
fn what_cannot_be_an_agent_is_refused() {
    let mut laptop = Laptop::new();
    laptop.surrounded(&["10.0.0.1"], &["192.0.2.0/25"], &[]);
    for bad in [
        "0.0.0.0",
        "127.0.0.1",
        "224.0.0.11",
        "255.255.255.255",
        "169.254.1.1",
        "10.0.0.1",
        "192.0.2.127",
        "::",
        "::1",
        "ff02::1",
        "fe80::1",
        "::ffff:192.0.2.1",
    ] {
        let bad: IpAddr = bad.parse().unwrap_or_else(|_| unreachable!("an address"));
        let association = SecurityAssociation::open_mode();
        let bound = laptop.act(|node, now| {
            node.bind(bad.into(), "x.example", &[SERVER.into()], association, now)
        });
        assert_eq!(bound, Err(BindError::UnusableAgent(bad.into())));
    }
    let association = SecurityAssociation::open_mode();
    let bound = laptop.act(|node, now| node.bind(agent(), "x.example", &[], association, now));
    assert_eq!(bound, Err(BindError::NoCorrespondent));
    let other_family: IpAddr = "2001:db8::1"
        .parse()
        .unwrap_or_else(|_| unreachable!("an address"));
    let association = SecurityAssociation::open_mode();
    let bound =
        laptop.act(|node, now| node.bind(agent(), "x.example", &[other_family], association, now));
    assert_eq!(bound, Err(BindError::NoCorrespondent));
}

#[test]
fn names_and_agents_are_bounded() {
    let mut laptop = Laptop::active();
    let association = SecurityAssociation::open_mode();
    let mut refused = None;
    for n in 0..=u16::try_from(MAX_NAMES).unwrap_or(u16::MAX) {
        let [high, low] = n.to_be_bytes();
        let address = IpAddr::from([172, 16, high, low]);
        refused = laptop
            .act(|node, now| {
                node.bind(
                    agent(),
                    &format!("{n}.example"),
                    &[address],
                    association.clone(),
                    now,
                )
            })
            .err();
    }
    assert_eq!(refused, Some(BindError::TooManyNames(MAX_NAMES)));
    for n in 0..=u16::try_from(MAX_AGENTS).unwrap_or(u16::MAX) {
        let [high, low] = n.to_be_bytes();
        let (other, address) = (
            IpAddr::from([172, 17, high, low]),
            IpAddr::from([172, 18, high, low]),
        );
        refused = laptop
            .act(|node, now| {
                node.bind(
                    other.into(),
                    "x.example",
                    &[address],
                    association.clone(),
                    now,
                )
            })
            .err();
    }
    assert_eq!(refused, Some(BindError::TooManyAgents(MAX_AGENTS)));
}

#[test]
fn without_a_path_it_waits_and_gives_up() {
    let mut laptop = Laptop::new();
    laptop.bind();
    for _ in 0..9 {
        laptop.path(None, false);
        laptop.advance(seconds(1));
    }
    assert_eq!(laptop.state(), Some(BindingState::Registering));
    laptop.advance(seconds(1));
    assert_eq!(laptop.take_events(), [failed(FailureReason::NoPath)]);
    laptop.bind();
    laptop.path(Some(path(1)), true);
    assert_eq!(
        laptop.sent.len(),
        1,
        "no agent is blamed for a missing path"
    );
}

#[test]
fn a_move_while_registering_asks_again_at_once() {
    let mut laptop = Laptop::new();
    laptop.bind();
    laptop.path(Some(path(1)), true);
    laptop.path(Some(path(2)), false);
    assert_eq!(laptop.sent.len(), 2);
    assert_eq!(laptop.sent[1].source, path(2).care_of.ip());
    assert_eq!(laptop.elapsed(), Duration::ZERO);

    // The first answer grants the address, but at the old care-of address.
    laptop.accept(0);
    assert_eq!(laptop.take_events(), [active_event()]);
    assert_eq!(laptop.state(), Some(BindingState::Moving));
    assert_eq!(laptop.local_end(), Some(path(2).care_of.ip()));
    assert_eq!(laptop.sent[2].request.home_address, HOME);
    assert_eq!(laptop.sent[2].source, path(2).care_of.ip());
    laptop.accept(2);
    assert_eq!(laptop.state(), Some(BindingState::Active));
}

#[test]
fn a_path_that_flaps_makes_five_messages_a_second_at_most() {
    let mut laptop = Laptop::new();
    laptop.bind();
    for n in 0..100 {
        laptop.path(Some(path(n % 7)), false);
        laptop.advance(Duration::from_millis(50));
    }
    assert!(
        laptop.sent.len() <= 26,
        "{} messages in 5 s",
        laptop.sent.len()
    );
    for window in laptop.sent.windows(6) {
        assert!(window[5].at - window[0].at >= seconds(1));
    }
}

#[test]
fn a_refresh_comes_at_four_fifths_and_backs_off_until_the_end() {
    let mut laptop = Laptop::active();
    laptop.advance(seconds(479));
    assert!(laptop.sent.is_empty());
    laptop.advance(seconds(120));
    assert_eq!(
        times(&laptop.sent),
        [480, 481, 483, 487, 495, 511, 543, 575]
    );
    assert!(
        laptop
            .sent
            .iter()
            .all(|sent| sent.request.home_address == HOME)
    );
    assert_increasing(&laptop.sent);
    assert_eq!(laptop.state(), Some(BindingState::Active));
    laptop.take_sent();
    laptop.advance(seconds(1));
    assert_eq!(
        laptop.take_events(),
        [Event::Lost {
            agent: agent(),
            home_address: HOME.into(),
            reason: LossReason::Expired
        }]
    );
    assert!(laptop.tunnels.is_empty());
    assert!(
        laptop.sent[0].request.home_address.is_unspecified(),
        "still wanted, so asked for again"
    );
}

#[test]
fn a_lifetime_counts_from_the_request_that_was_answered() {
    let mut laptop = Laptop::active();
    laptop.advance(seconds(482));
    assert_eq!(times(&laptop.sent), [480, 481]);
    laptop.advance(Duration::from_millis(500));
    laptop.accept(0);
    laptop.take_sent();
    laptop.advance(seconds(477));
    assert!(laptop.sent.is_empty());
    laptop.advance(seconds(1));
    assert_eq!(laptop.sent[0].at, seconds(960), "480 + 480");
}

#[test]
fn code_1_is_success_and_infinity_does_not_end() {
    let mut laptop = Laptop::new();
    laptop.bind();
    laptop.path(Some(path(1)), true);
    laptop.answer(
        0,
        ReplyCode::ACCEPTED_WITHOUT_SIMULTANEOUS_BINDINGS,
        |reply| reply.lifetime = Lifetime::Infinite,
    );
    laptop.sockets = Usage::Sockets;
    laptop.act(|node, now| node.handle_usage(agent(), Usage::Sockets, now));
    laptop.take_sent();
    laptop.advance(seconds(200_000));
    assert!(laptop.sent.is_empty());
    assert_eq!(laptop.state(), Some(BindingState::Active));
}
