//! Which answers are believed, and what follows from them.

use super::*;

#[test]
fn a_number_out_of_the_window_is_followed_by_the_next_one_at_once() {
    let mut laptop = Laptop6::active();
    laptop.path(2, false);
    let used = laptop.left[0].update.sequence;
    let told = SequenceNumber(used.0.wrapping_add(20_000));
    laptop.answer(0, Status::SEQUENCE_OUT_OF_WINDOW, |answer| {
        answer.sequence = SequenceNumber(used.0.wrapping_sub(9));
    });
    assert_eq!(laptop.left.len(), 1, "an answer to something earlier");
    assert_eq!(laptop.counter("drop_stale_reply"), 1);
    laptop.answer(0, Status::SEQUENCE_OUT_OF_WINDOW, |answer| {
        answer.sequence = told;
    });
    assert_eq!(laptop.left.len(), 2);
    assert_eq!(laptop.left[1].update.sequence, told.next());
    assert_eq!(laptop.left[1].at, laptop.left[0].at);
    assert_eq!(laptop.left[1].transport, NATIVE, "it was heard there");
    laptop.accept(1);
    assert_eq!(laptop.state(), Some(BindingState::Active));
    assert_eq!(laptop.counter("resynchronisations"), 1);
}

#[test]
fn a_number_from_a_stranger_who_does_not_know_us_is_ignored() {
    let mut laptop = Laptop6::active();
    laptop.path(2, false);
    laptop.answer(0, Status::SEQUENCE_OUT_OF_WINDOW, |answer| {
        answer.options = Options::new();
    });
    assert_eq!(laptop.left.len(), 1);
    assert_eq!(laptop.counter("drop_identity_missing"), 1);
}

#[test]
fn who_did_not_see_the_first_update_refuses_nothing() {
    let mut laptop = Laptop6::new(SecurityAssociation::open_mode());
    let guessed = Identification(laptop.dated(0).0 ^ 1);
    for status in [
        Status::ADMINISTRATIVELY_PROHIBITED,
        Status::IDENTIFICATION_MISMATCH,
        Status::SEQUENCE_OUT_OF_WINDOW,
    ] {
        for forged in [Some(guessed), None] {
            let before = laptop.counter("drop_timestamp_mismatch");
            laptop.answer(0, status, |answer| {
                let others = answer
                    .options
                    .iter()
                    .filter(|option| !matches!(option, MobilityOption::ReplayProtection(_)))
                    .cloned();
                let options = others.chain(forged.map(MobilityOption::ReplayProtection));
                answer.options = Options::try_from(options.collect::<Vec<_>>())
                    .unwrap_or_else(|_| unreachable!("as many"));
            });
            assert_eq!(
                laptop.state(),
                Some(BindingState::Registering),
                "{status:?}"
            );
            assert_eq!(laptop.left.len(), 1, "{status:?}");
            assert_eq!(laptop.counter("drop_timestamp_mismatch"), before + 1);
        }
    }
    laptop.accept(0);
    assert_eq!(laptop.state(), Some(BindingState::Active));
}

#[test]
fn timestamps_follow_the_home_agents_clock() {
    let mut laptop = Laptop6::new(key());
    let sent = laptop.dated(0);
    assert_eq!(sent.high(), Identification::from_unix(NEW_YEAR).high());

    let ahead = Identification::from_unix(NEW_YEAR + seconds(3600)).high();
    let said = |timestamp: Identification| {
        move |answer: &mut BindingAcknowledgement| {
            let replace = |option: &MobilityOption| {
                if let MobilityOption::ReplayProtection(_) = option {
                    MobilityOption::ReplayProtection(timestamp)
                } else {
                    option.clone()
                }
            };
            answer.options =
                Options::try_from(answer.options.iter().map(replace).collect::<Vec<_>>())
                    .unwrap_or_else(|_| unreachable!("as many"));
        }
    };
    laptop.answer(0, Status::ACCEPTED, said(sent.with_high(ahead)));
    assert_eq!(laptop.counter("drop_timestamp_mismatch"), 1);
    assert_eq!(laptop.state(), Some(BindingState::Registering));

    laptop.answer(
        0,
        Status::IDENTIFICATION_MISMATCH,
        said(sent.with_high(ahead)),
    );
    assert_eq!(laptop.left.len(), 2);
    let corrected = laptop.left[1].update.options.replay_protection();
    assert_eq!(corrected.map(Identification::high), Some(ahead));
    laptop.accept(1);
    assert_eq!(laptop.state(), Some(BindingState::Active));
}

#[test]
fn refusals_have_their_consequences() {
    let mut laptop = Laptop6::active();
    laptop.advance(seconds(481));
    laptop.answer(0, Status::INSUFFICIENT_RESOURCES, |_| {});
    assert_eq!(laptop.state(), Some(BindingState::Active), "it stands");
    laptop.advance(seconds(40));
    let last = laptop.left.len() - 1;
    laptop.answer(last, Status::NOT_HOME_AGENT, |_| {});
    assert!(laptop.tunnels.is_empty(), "it does not");
    let begun_anew = laptop.left.last().map(|left| left.addresses.home_address);
    assert_eq!(begun_anew, Some(Ipv6Addr::UNSPECIFIED));

    let mut laptop = Laptop6::new(SecurityAssociation::open_mode());
    laptop.answer(0, Status::ADMINISTRATIVELY_PROHIBITED, |_| {});
    let refusal = Refusal {
        code: 129,
        name: Status::ADMINISTRATIVELY_PROHIBITED.name(),
    };
    let failed = Event::Failed {
        agent: AGENT_6.into(),
        reason: FailureReason::Refused(refusal),
    };
    assert_eq!(laptop.events, [failed]);
}

#[test]
fn a_refresh_request_is_heeded_but_not_again_and_again() {
    let mut laptop = Laptop6::active();
    let request = |laptop: &mut Laptop6| {
        let request = BindingRefreshRequest {
            options: Options::new(),
        };
        laptop.deliver(NATIVE, care_of(1), |packet| {
            request.encode(&packet.pseudo_header())
        });
    };
    request(&mut laptop);
    assert_eq!(laptop.left.len(), 1);
    assert_eq!(laptop.left[0].addresses.home_address, HOME_6);
    laptop.accept(0);
    request(&mut laptop);
    assert_eq!(laptop.left.len(), 1);
    assert_eq!(laptop.counter("drop_too_often"), 1);
    laptop.advance(seconds(20));
    request(&mut laptop);
    assert_eq!(laptop.left.len(), 2);
    assert_eq!(laptop.counter("refresh_requests"), 2);
}

#[test]
fn who_does_not_understand_is_tried_in_udp_at_once() {
    let mut laptop = Laptop6::new(SecurityAssociation::open_mode());
    let error = |laptop: &mut Laptop6| {
        let error = BindingError {
            status: BindingErrorStatus::UNRECOGNIZED_MESSAGE_TYPE,
            home_address: Ipv6Addr::UNSPECIFIED,
            options: Options::new(),
        };
        laptop.deliver(NATIVE, care_of(1), |packet| {
            error.encode(&packet.pseudo_header())
        });
    };
    error(&mut laptop);
    assert_eq!(laptop.transports(), [(0, NATIVE), (0, UDP)]);
    for _ in 0..10 {
        error(&mut laptop);
    }
    assert!(laptop.left.len() <= 3, "anybody may say so");
    assert_eq!(laptop.counter("binding_errors"), 11);
    laptop.accept(1);
    assert_eq!(laptop.state(), Some(BindingState::Active));
}

#[test]
fn an_address_the_host_cannot_take_is_given_back() {
    let lent = |text: &str| -> Ipv6Addr { text.parse().unwrap_or_else(|_| unreachable!("{text}")) };
    for (address, reason) in [
        ("::1", FailureReason::UnusableHomeAddress as fn(_) -> _),
        ("ff02::1", FailureReason::UnusableHomeAddress),
        ("fe80::1", FailureReason::UnusableHomeAddress),
        ("::ffff:192.0.2.1", FailureReason::UnusableHomeAddress),
        ("2001:db8:200::1", FailureReason::UnusableHomeAddress),
        ("2001:db8:300::5", FailureReason::UnusableHomeAddress),
        ("2001:db8:101::7", FailureReason::LocalHomeAddress),
        ("2001:db8:101::8", FailureReason::LocalHomeAddress),
        ("2001:db8:101::1:2", FailureReason::NearHomeAddress),
        ("2001:db8:1ff::53", FailureReason::NearHomeAddress),
    ] {
        let mut laptop = Laptop6::new(SecurityAssociation::open_mode());
        let surroundings = Surroundings {
            addresses: parsed(&["2001:db8:101::8"]),
            networks: parsed(&["2001:db8:101::/64"]),
            neighbours: parsed(&["2001:db8:1ff::53"]),
        };
        laptop.act(|node, _| node.handle_surroundings(surroundings));
        laptop.lent = lent(address);
        laptop.accept(0);
        let failed = Event::Failed {
            agent: AGENT_6.into(),
            reason: reason(laptop.lent.into()),
        };
        assert_eq!(laptop.events, [failed], "{address}");
        assert!(laptop.tunnels.is_empty(), "{address}");
        assert_eq!(laptop.counter("home_addresses_refused"), 1);
        let last = laptop.left.last().map(|left| left.update.lifetime);
        assert_eq!(last, Some(Lifetime::Zero), "{address}");
    }
}

#[test]
fn no_octet_of_an_acknowledgement_can_be_changed() {
    for transport in [NATIVE, UDP] {
        let mut laptop = Laptop6::new(SecurityAssociation::open_mode());
        let mut good = Vec::new();
        let addresses = BindingAddresses {
            home_address: HOME_6,
            care_of_address: care_of(1),
        };
        let prefix = NetworkPrefix::of_address(HOME_6);
        let answer = BindingAcknowledgement {
            status: Status::ACCEPTED,
            flags: AcknowledgementFlags::NONE,
            sequence: laptop.left[0].update.sequence,
            lifetime: Lifetime::Finite(seconds(600)),
            options: Options::try_from(vec![
                MobilityOption::HomeNetworkPrefix(prefix),
                MobilityOption::ReplayProtection(laptop.dated(0)),
            ])
            .unwrap_or_else(|_| unreachable!("two")),
        };
        let mut packet = Packet {
            source: AGENT_6,
            destination: care_of(1),
            home_address: None,
            routing_address: None,
            message: &[],
        };
        let open = SecurityAssociation::open_mode();
        let message = answer.encode(&open, &addresses, &packet.pseudo_header());
        packet.message = &message;
        good.extend(match transport {
            Transport::MobilityHeader => message.clone(),
            Transport::Udp { .. } => packet.encode(),
        });
        // What of an IPv6 header nothing protects.
        let unprotected =
            |bit: usize| transport == UDP && ((4..32).contains(&bit) || (56..64).contains(&bit));
        for bit in (0..good.len() * 8).filter(|bit| !unprotected(*bit)) {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (7 - bit % 8);
            laptop.receive(transport, care_of(1), &bad);
        }
        for length in 0..good.len() {
            laptop.receive(transport, care_of(1), &good[..length]);
        }
        assert_eq!(laptop.state(), Some(BindingState::Registering));
        let before = laptop.counter("drop_unexpected_source");
        laptop.receive(Transport::Udp { port: 9 }, care_of(1), &good);
        assert_eq!(laptop.counter("drop_unexpected_source"), before + 1);
        laptop.receive(transport, care_of(1), &good);
        assert_eq!(laptop.state(), Some(BindingState::Active), "{transport}");
    }
}
