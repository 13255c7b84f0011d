use super::*;
use crate::security::{Algorithm, Key};

#[test]
fn anything_may_arrive_at_any_time() {
    let mut laptop = Laptop::active();
    laptop.advance(seconds(481));
    let good = reply_to(&laptop.sent[0].request, ReplyCode::ACCEPTED, |_| {})
        .encode(&SecurityAssociation::open_mode());
    let before = laptop.node.bindings(laptop.now);
    for length in 0..good.len() {
        laptop.deliver(&good[..length]);
    }
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        laptop.deliver(&bad);
    }
    assert_eq!(
        laptop.node.bindings(laptop.now),
        before,
        "no octet can be left out or changed"
    );
    assert_eq!(laptop.counter("refreshes"), 0);
    laptop.deliver(&good);
    assert_eq!(laptop.counter("refreshes"), 1);
    laptop.deliver(&good);
    assert_eq!(laptop.counter("refreshes"), 1, "once is enough");
}

#[test]
fn each_drop_has_its_reason() {
    let open = SecurityAssociation::open_mode();
    let mut laptop = Laptop::new();
    laptop.bind();
    laptop.path(Some(path(1)), true);
    let request = laptop.sent[0].request.clone();
    let good = reply_to(&request, ReplyCode::ACCEPTED, |_| {});

    laptop.deliver_from(SocketAddr::from((AGENT, 4340)), &good.encode(&open));
    laptop.deliver_from(
        SocketAddr::from(([203, 0, 113, 11], PORT)),
        &good.encode(&open),
    );
    assert_eq!(laptop.counter("drop_unexpected_source"), 2);

    laptop.deliver(&request.encode(&open));
    assert_eq!(laptop.counter("drop_unexpected_message"), 1);

    let other = reply_to(&request, ReplyCode::ACCEPTED, |reply| {
        reply.identification.0 ^= 1
    });
    laptop.deliver(&other.encode(&open));
    assert_eq!(laptop.counter("drop_unmatched_identification"), 1);

    laptop.deliver(&good.encode_unauthenticated());
    assert_eq!(laptop.counter("drop_authentication_missing"), 1);

    let Ok(Message::RegistrationReply(twice)) = Message::decode(&good.encode(&open)) else {
        unreachable!()
    };
    laptop.deliver(&twice.encode(&open));
    assert_eq!(laptop.counter("drop_authentication_repeated"), 1);

    let key = Key::new([1; 16]).unwrap_or_else(|_| unreachable!("sixteen octets"));
    laptop.deliver(&good.encode(&SecurityAssociation {
        key,
        ..open.clone()
    }));
    laptop.deliver(&good.encode(&SecurityAssociation {
        spi: 256,
        ..open.clone()
    }));
    laptop.deliver(&good.encode(&SecurityAssociation {
        algorithm: Algorithm::HmacSha1,
        ..open.clone()
    }));
    assert_eq!(laptop.counter("drop_authentication_failed"), 3);

    let stranger = Identity::new("mn2@example.com").unwrap_or_else(|_| unreachable!());
    let other = reply_to(&request, ReplyCode::ACCEPTED, |reply| {
        reply.extensions = Extensions::new();
        reply.extensions.push(Extension::Nai(stranger));
    });
    laptop.deliver(&other.encode(&open));
    assert_eq!(laptop.counter("drop_identity_mismatch"), 1);

    let nothing = reply_to(&request, ReplyCode::ACCEPTED, |reply| {
        reply.lifetime = Lifetime::Zero
    });
    laptop.deliver(&nothing.encode(&open));
    assert_eq!(laptop.counter("drop_lifetime_zero"), 1);

    let nowhere = reply_to(&request, ReplyCode::ACCEPTED, |reply| {
        reply.home_agent = Ipv4Addr::LOCALHOST
    });
    laptop.deliver(&nowhere.encode(&open));
    assert_eq!(laptop.counter("drop_home_agent_unusable"), 1);

    for code in [2, 9, 201, 255] {
        laptop.deliver(&reply_to(&request, ReplyCode(code), |_| {}).encode(&open));
    }
    assert_eq!(laptop.counter("drop_unknown_code"), 4);

    laptop.deliver(
        &reply_to(&request, ReplyCode::FA_INSUFFICIENT_RESOURCES, |_| {}).encode_unauthenticated(),
    );
    laptop.deliver(
        &reply_to(&request, ReplyCode::FA_INVALID_HOME_AGENT_ADDRESS, |_| {})
            .encode_unauthenticated(),
    );
    assert_eq!(laptop.counter("drop_foreign_agent_denial"), 2);

    laptop.deliver(b"");
    assert_eq!(laptop.counter("drop_empty_message"), 1);
    laptop.deliver(b"\x63rubbish");
    assert_eq!(laptop.counter("drop_unknown_message_type"), 1);

    assert_eq!(laptop.state(), Some(BindingState::Registering));
    assert!(laptop.events.is_empty());
    laptop.deliver(&good.encode(&open));
    assert_eq!(
        laptop.take_events(),
        [active_event()],
        "none of it stood in the way"
    );
}

#[test]
fn a_reply_for_another_home_address_changes_nothing() {
    let mut laptop = Laptop::active();
    laptop.advance(seconds(480));
    laptop.answer(0, ReplyCode::ACCEPTED, |reply| {
        reply.home_address = Ipv4Addr::new(203, 0, 113, 130)
    });
    assert_eq!(laptop.counter("drop_home_address_mismatch"), 1);
    assert_eq!(laptop.counter("refreshes"), 0);
}

#[test]
fn an_address_no_host_can_have_is_given_back() {
    for bad in [
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::LOCALHOST,
        Ipv4Addr::BROADCAST,
        Ipv4Addr::new(224, 0, 0, 1),
        Ipv4Addr::new(169, 254, 3, 4),
        Ipv4Addr::new(240, 0, 0, 1),
        AGENT,
        SERVER,
    ] {
        let mut laptop = Laptop::new();
        laptop.bind();
        laptop.path(Some(path(1)), true);
        laptop.answer(0, ReplyCode::ACCEPTED, |reply| reply.home_address = bad);
        assert_eq!(
            laptop.take_events(),
            [failed(FailureReason::UnusableHomeAddress(bad.into()))]
        );
        assert!(laptop.tunnels.is_empty());
        assert_eq!(laptop.sent[1].request.lifetime, Lifetime::Zero);
        laptop.answer(1, ReplyCode::ACCEPTED, |reply| reply.home_address = bad);
        assert!(laptop.node.agents().is_empty(), "{bad}");
        laptop.bind();
        assert_eq!(
            laptop.take_events(),
            [failed(FailureReason::UnusableHomeAddress(bad.into()))],
            "not again at once"
        );
    }
}

#[test]
fn an_address_of_the_host_or_of_somebody_near_is_given_back() {
    let local = FailureReason::LocalHomeAddress(HOME.into());
    let near = FailureReason::NearHomeAddress(HOME.into());
    let home = HOME.to_string();
    for (addresses, networks, neighbours, reason) in [
        (vec![home.as_str()], vec!["203.0.113.0/24"], vec![], local),
        (vec![], vec!["10.0.0.0/8", "203.0.113.0/24"], vec![], near),
        (vec![], vec![], vec!["10.0.0.1", home.as_str()], near),
    ] {
        let mut laptop = Laptop::new();
        laptop.surrounded(&addresses, &networks, &neighbours);
        laptop.bind();
        laptop.path(Some(path(1)), true);
        laptop.accept(0);
        assert_eq!(laptop.take_events(), [failed(reason)]);
        assert!(laptop.tunnels.is_empty());
        assert_eq!(laptop.sent[1].request.lifetime, Lifetime::Zero);
        assert_eq!(laptop.sent[1].request.home_address, HOME);
        assert_eq!(laptop.counter("home_addresses_refused"), 1);
    }
}

#[test]
fn an_address_beside_the_local_network_is_taken() {
    let mut laptop = Laptop::new();
    laptop.surrounded(&["203.0.113.2"], &["203.0.113.0/25"], &["203.0.113.1"]);
    laptop.bind();
    laptop.path(Some(path(1)), true);
    laptop.accept(0);
    assert_eq!(laptop.take_events(), [active_event()]);
    assert_eq!(laptop.counter("home_addresses_refused"), 0);

    // It is ours now, wherever the host goes.
    laptop.surrounded(&[], &["203.0.113.128/25"], &[]);
    laptop.bind();
    assert_eq!(laptop.take_events(), [active_event()]);
}

#[test]
fn a_home_address_is_no_home_agent() {
    let mut laptop = Laptop::active();
    let association = SecurityAssociation::open_mode();
    let bound = laptop.act(|node, now| {
        let correspondents = [IpAddr::from([192, 0, 2, 99])];
        node.bind(HOME.into(), "b.example", &correspondents, association, now)
    });
    assert_eq!(bound, Err(BindError::UnusableAgent(HOME.into())));
}

#[test]
fn an_address_another_agent_lent_is_given_back() {
    let mut laptop = Laptop::active();
    let other = Ipv4Addr::new(203, 0, 113, 11);
    let association = SecurityAssociation::open_mode();
    let bound = laptop.act(|node, now| {
        node.bind(
            other.into(),
            "b.example",
            &[IpAddr::from([192, 0, 2, 99])],
            association.clone(),
            now,
        )
    });
    assert_eq!(bound, Ok(()));
    laptop.act(|node, now| node.handle_path(other.into(), Some(path(1)), true, now));
    let reply = reply_to(&laptop.sent[0].request, ReplyCode::ACCEPTED, |reply| {
        reply.home_agent = other
    });
    laptop.deliver_from(SocketAddr::from((other, PORT)), &reply.encode(&association));
    let reason = FailureReason::HomeAddressTaken {
        home_address: HOME.into(),
        agent: agent(),
    };
    assert_eq!(
        laptop.take_events(),
        [Event::Failed {
            agent: other.into(),
            reason
        }]
    );
    assert_eq!(
        laptop.tunnels[&HomeAddress::from(HOME)].endpoints.remote,
        IpAddr::V4(AGENT)
    );
    assert_eq!(laptop.node.agent_of(HOME.into()), Some(agent()));
}
