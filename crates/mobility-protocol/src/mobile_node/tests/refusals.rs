use super::*;

fn registering() -> Laptop {
    let mut laptop = Laptop::new();
    laptop.bind();
    laptop.path(Some(path(1)), true);
    laptop
}

/// Ahead of our clock by this much, in the high half.
fn wrong_time(laptop: &mut Laptop, n: usize, ahead: i32) {
    laptop.answer(n, ReplyCode::IDENTIFICATION_MISMATCH, |reply| {
        let high = reply.identification.high().wrapping_add_signed(ahead);
        reply.identification = reply.identification.with_high(high);
    });
}

#[test]
fn code_133_sets_the_clock_and_asks_again_at_once() {
    for ahead in [3600, -3600, 300_000_000] {
        let mut laptop = registering();
        wrong_time(&mut laptop, 0, ahead);
        assert_eq!(laptop.sent.len(), 2);
        assert_eq!(laptop.elapsed(), Duration::ZERO);
        assert_eq!(
            laptop.sent[1]
                .request
                .identification
                .seconds_since(laptop.sent[0].request.identification),
            ahead
        );
        laptop.accept(1);
        assert_eq!(laptop.take_events(), [active_event()]);

        // The offset is this agent's from now on.
        laptop.sockets = Usage::Sockets;
        laptop.act(|node, now| node.handle_usage(agent(), Usage::Sockets, now));
        laptop.advance(seconds(480));
        assert_eq!(
            laptop.sent[2]
                .request
                .identification
                .seconds_since(laptop.sent[1].request.identification),
            480
        );
    }
}

#[test]
fn code_133_for_ever_is_answered_twice_at_once_and_then_by_the_schedule() {
    let mut laptop = registering();
    for _ in 0..600 {
        let last = laptop.sent.len() - 1;
        wrong_time(&mut laptop, last, 1000);
        laptop.advance(Duration::from_millis(100));
    }
    assert_eq!(laptop.sent.len(), 6, "no more than a silent agent gets");
    laptop.advance(seconds(40));
    assert_eq!(laptop.take_events(), [failed(FailureReason::Silent)]);
}

#[test]
fn an_unauthenticated_133_does_not_touch_the_clock() {
    let mut laptop = registering();
    let forged = reply_to(
        &laptop.sent[0].request,
        ReplyCode::IDENTIFICATION_MISMATCH,
        |reply| {
            reply.identification = reply.identification.with_high(1);
        },
    );
    laptop.deliver(&forged.encode_unauthenticated());
    laptop.advance(seconds(1));
    assert_eq!(times(&laptop.sent), [0, 1]);
    assert_eq!(
        laptop.sent[1]
            .request
            .identification
            .seconds_since(laptop.sent[0].request.identification),
        1
    );
}

#[test]
fn a_clock_set_back_keeps_identifications_increasing() {
    let mut laptop = Laptop::active();
    laptop.act(|node, now| node.handle_unix_time(NEW_YEAR - seconds(86_400), now));
    laptop.path(Some(path(2)), false);
    laptop.path(Some(path(3)), false);
    assert_increasing(&laptop.sent);
    let told = laptop.sent[0].request.identification.to_unix(NEW_YEAR);
    assert!(
        told.abs_diff(NEW_YEAR) <= seconds(2),
        "the home agent's clock did not jump"
    );
}

#[test]
fn code_136_goes_to_the_right_address_once() {
    let right = Ipv4Addr::new(203, 0, 113, 20);
    let mut laptop = registering();
    laptop.answer(0, ReplyCode::UNKNOWN_HOME_AGENT_ADDRESS, |reply| {
        reply.home_agent = right
    });
    assert_eq!(laptop.sent[1].destination, SocketAddr::from((right, PORT)));
    assert_eq!(laptop.sent[1].request.home_agent, right);
    assert_eq!(laptop.elapsed(), Duration::ZERO);

    let reply = reply_to(&laptop.sent[1].request, ReplyCode::ACCEPTED, |reply| {
        reply.home_agent = right
    });
    laptop.deliver_from(
        SocketAddr::from((right, PORT)),
        &reply.encode(&SecurityAssociation::open_mode()),
    );
    assert_eq!(laptop.take_events(), [active_event()]);
    assert_eq!(
        laptop.tunnels[&HomeAddress::from(HOME)].endpoints.remote,
        IpAddr::V4(right)
    );

    let mut laptop = registering();
    laptop.answer(0, ReplyCode::UNKNOWN_HOME_AGENT_ADDRESS, |reply| {
        reply.home_agent = right
    });
    let again = reply_to(
        &laptop.sent[1].request,
        ReplyCode::UNKNOWN_HOME_AGENT_ADDRESS,
        |_| {},
    );
    laptop.deliver_from(
        SocketAddr::from((right, PORT)),
        &again.encode(&SecurityAssociation::open_mode()),
    );
    assert_eq!(laptop.sent.len(), 2, "not round and round");
    assert!(matches!(laptop.take_events()[..], [Event::Failed { .. }]));
}

#[test]
fn every_other_code_fails_at_once_and_is_not_repeated() {
    for code in (128..=192)
        .filter(|code| ![133, 136].contains(code))
        .map(ReplyCode)
    {
        let mut laptop = registering();
        laptop.answer(0, code, |_| {});
        assert_eq!(laptop.take_events(), [refused(code)]);
        assert!(laptop.node.agents().is_empty());
        for _ in 0..4 {
            laptop.bind();
            assert_eq!(
                laptop.take_events(),
                [refused(code)],
                "an application meanwhile is not delayed"
            );
            laptop.advance(seconds(1));
        }
        assert_eq!(laptop.sent.len(), 1);
    }
}

#[test]
fn a_pool_that_recovers_is_found_soon_and_a_wrong_key_is_not_hammered() {
    let mut waits = Vec::new();
    for code in [
        ReplyCode::INSUFFICIENT_RESOURCES,
        ReplyCode::MOBILE_NODE_FAILED_AUTHENTICATION,
    ] {
        let mut laptop = registering();
        for _ in 0..6 {
            let last = laptop.sent.len() - 1;
            laptop.answer(last, code, |_| {});
            let begin = laptop.now;
            while laptop.node.agents().is_empty() {
                laptop.advance(seconds(1));
                laptop.bind();
            }
            waits.push((laptop.now - begin).as_secs());
            laptop.path(Some(path(1)), true);
        }
    }
    assert_eq!(
        waits,
        [5, 10, 20, 40, 80, 160, 60, 120, 240, 480, 960, 1920]
    );
}

#[test]
fn a_standing_binding_survives_refusals_until_it_expires() {
    for code in [128, 130, 131, 134, 135, 137, 138, 139, 142].map(ReplyCode) {
        let mut laptop = Laptop::active();
        laptop.advance(seconds(480));
        let mut answered = 0;
        while laptop.elapsed() < seconds(599) {
            while answered < laptop.sent.len() {
                laptop.answer(answered, code, |_| {});
                answered += 1;
            }
            laptop.advance(seconds(1));
        }
        assert_eq!(times(&laptop.sent), [480, 510, 570], "{code}");
        assert!(laptop.local_end().is_some());
        laptop.advance(seconds(1));
        assert!(laptop.tunnels.is_empty());
    }
}

#[test]
fn foreign_agents_cannot_end_a_binding() {
    let mut laptop = Laptop::active();
    laptop.advance(seconds(480));
    let request = laptop.sent[0].request.clone();
    for code in 64..=127 {
        let denial = reply_to(&request, ReplyCode(code), |_| {});
        laptop.deliver(&denial.encode_unauthenticated());
        laptop.deliver(&denial.encode(&SecurityAssociation::open_mode()));
    }
    assert_eq!(laptop.counter("drop_foreign_agent_denial"), 128);
    laptop.accept(0);
    assert_eq!(laptop.counter("refreshes"), 1);
}

#[test]
fn code_129_ends_a_binding_and_begins_another() {
    let mut laptop = Laptop::active();
    laptop.advance(seconds(480));
    laptop.answer(0, ReplyCode::ADMINISTRATIVELY_PROHIBITED, |_| {});
    assert_eq!(
        laptop.take_events(),
        [Event::Lost {
            agent: agent(),
            home_address: HOME.into(),
            reason: LossReason::Unknown
        }]
    );
    assert!(laptop.tunnels.is_empty());
    assert!(laptop.sent[1].request.home_address.is_unspecified());
    let other = Ipv4Addr::new(203, 0, 113, 140);
    laptop.answer(1, ReplyCode::ACCEPTED, |reply| reply.home_address = other);
    assert_eq!(
        laptop.take_events(),
        [Event::Active {
            agent: agent(),
            home_address: other.into()
        }]
    );
    assert_eq!(
        laptop.tunnels.keys().collect::<Vec<_>>(),
        [&HomeAddress::from(other)]
    );
}
