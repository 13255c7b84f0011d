use super::*;

fn released() -> Event {
    Event::Released {
        agent: agent(),
        home_address: HOME.into(),
    }
}

#[test]
fn an_unused_binding_is_given_back() {
    let mut laptop = Laptop::new();
    laptop.bind();
    laptop.path(Some(path(1)), true);
    laptop.accept(0);
    laptop.take_events();
    laptop.take_sent();
    laptop.advance(seconds(9));
    assert!(laptop.sent.is_empty());
    laptop.advance(seconds(1));
    let request = &laptop.sent[0].request;
    assert_eq!(request.lifetime, Lifetime::Zero);
    assert_eq!(request.home_address, HOME);
    assert_eq!(
        IpAddr::V4(request.care_of_address),
        path(1).care_of.ip(),
        "just this binding"
    );
    assert_eq!(laptop.state(), Some(BindingState::Releasing));
    assert!(laptop.local_end().is_some(), "until the answer");
    laptop.accept(0);
    assert_eq!(laptop.take_events(), [released()]);
    assert!(laptop.tunnels.is_empty());
    assert!(laptop.node.agents().is_empty());
    assert_eq!(laptop.node.poll_timeout(), None);
}

#[test]
fn a_binding_outlives_its_last_socket_by_the_linger() {
    let mut laptop = Laptop::active();
    laptop.advance(seconds(100));
    laptop.act(|node, now| node.handle_traffic(agent(), 5000, 6000, now));
    laptop.sockets = Usage::None;
    laptop.act(|node, now| node.handle_usage(agent(), Usage::None, now));
    laptop.act(|node, now| node.handle_traffic(agent(), 5002, 6001, now));
    laptop.advance(Duration::from_millis(4900));
    assert!(laptop.sent.is_empty());
    laptop.advance(Duration::from_millis(100));
    assert_eq!(laptop.sent[0].request.lifetime, Lifetime::Zero);
}

#[test]
fn a_socket_that_appears_during_the_linger_keeps_it() {
    let mut laptop = Laptop::active();
    laptop.act(|node, now| node.handle_usage(agent(), Usage::None, now));
    laptop.advance(seconds(100));
    assert!(laptop.sent.is_empty(), "the last look found it");
}

#[test]
fn traffic_without_sockets_keeps_it_until_it_is_inactive() {
    let mut laptop = Laptop::new();
    laptop.bind();
    laptop.path(Some(path(1)), true);
    laptop.accept(0);
    laptop.take_sent();
    for second in 1..=120 {
        laptop.act(|node, now| node.handle_traffic(agent(), second, second, now));
        laptop.advance(seconds(1));
    }
    assert!(laptop.sent.is_empty());
    laptop.advance(seconds(63));
    assert!(laptop.sent.is_empty());
    laptop.advance(seconds(1));
    assert_eq!(
        laptop.sent[0].request.lifetime,
        Lifetime::Zero,
        "60 s after the last packet and 5 s more"
    );
}

#[test]
fn an_unanswered_release_ends_by_itself() {
    let mut laptop = Laptop::active();
    laptop.act(|node, now| node.release(agent(), now));
    laptop.advance(Duration::from_millis(14_900));
    assert_eq!(times(&laptop.sent), [0, 1, 3, 7]);
    assert!(laptop.events.is_empty());
    laptop.advance(Duration::from_millis(100));
    assert_eq!(laptop.take_events(), [released()]);
    assert!(laptop.tunnels.is_empty());
}

#[test]
fn a_release_without_a_path_ends_too() {
    let mut laptop = Laptop::active();
    laptop.path(None, false);
    laptop.act(|node, now| node.release(agent(), now));
    laptop.advance(seconds(15));
    assert!(laptop.sent.is_empty());
    assert_eq!(laptop.take_events(), [released()]);
}

#[test]
fn a_release_after_an_unconfirmed_move_names_every_care_of_address() {
    let mut laptop = Laptop::active();
    laptop.path(Some(path(2)), false);
    laptop.path(Some(path(1)), false);
    laptop.take_sent();
    laptop.act(|node, now| node.release(agent(), now));
    assert_eq!(laptop.sent[0].request.care_of_address, HOME);

    let mut laptop = Laptop::active();
    laptop.act(|node, now| node.release(agent(), now));
    laptop.path(Some(path(2)), false);
    assert_eq!(laptop.sent[1].source, path(2).care_of.ip());
    assert_eq!(laptop.sent[1].request.care_of_address, HOME);
}

#[test]
fn a_release_after_an_answer_from_elsewhere_names_every_care_of_address() {
    let mut laptop = Laptop::active();
    laptop.path(Some(path(2)), false);
    laptop.path(Some(path(1)), false);
    laptop.accept(0);
    laptop.take_sent();
    laptop.act(|node, now| node.release(agent(), now));
    assert_eq!(
        laptop.sent[0].request.care_of_address, HOME,
        "it was at the other one when it answered"
    );
}

#[test]
fn a_lookup_during_the_release_revives_it() {
    let mut laptop = Laptop::active();
    laptop.act(|node, now| node.release(agent(), now));
    laptop.bind();
    assert_eq!(laptop.sent.len(), 2);
    assert!(
        laptop.sent[1].request.home_address.is_unspecified(),
        "whatever the home agent has done meanwhile"
    );
    laptop.accept(0);
    assert!(
        laptop.local_end().is_some(),
        "the release is answered, but it is wanted again"
    );
    assert!(laptop.take_events().is_empty());
    laptop.accept(1);
    assert_eq!(laptop.take_events(), [active_event()]);
    assert_eq!(laptop.state(), Some(BindingState::Active));

    // The home agent may have lent the address to nobody or somebody else.
    let mut laptop = Laptop::active();
    laptop.act(|node, now| node.release(agent(), now));
    laptop.bind();
    let other = Ipv4Addr::new(203, 0, 113, 140);
    laptop.answer(1, ReplyCode::ACCEPTED, |reply| reply.home_address = other);
    assert_eq!(
        laptop.tunnels.keys().collect::<Vec<_>>(),
        [&HomeAddress::from(other)]
    );

    let mut laptop = Laptop::active();
    laptop.act(|node, now| node.release(agent(), now));
    laptop.bind();
    laptop.answer(1, ReplyCode::INSUFFICIENT_RESOURCES, |_| {});
    assert_eq!(
        laptop.take_events(),
        [released(), refused(ReplyCode::INSUFFICIENT_RESOURCES)]
    );
    assert!(laptop.tunnels.is_empty());
}

#[test]
fn a_lookup_during_a_release_without_a_path_is_answered() {
    let mut laptop = Laptop::active();
    laptop.act(|node, now| node.release(agent(), now));
    laptop.path(None, false);
    laptop.take_events();
    laptop.bind();
    assert_eq!(laptop.take_events(), [failed(FailureReason::NoPath)]);
    laptop.bind();
    assert_eq!(laptop.take_events(), [failed(FailureReason::NoPath)]);
    laptop.path(Some(path(2)), false);
    laptop.accept(laptop.sent.len() - 1);
    assert_eq!(laptop.take_events(), [active_event()]);
}

#[test]
fn a_lookup_during_the_release_that_is_given_up_is_answered() {
    let mut laptop = Laptop::active();
    laptop.act(|node, now| node.release(agent(), now));
    laptop.bind();
    laptop.take_events();
    laptop.act(|node, now| node.release_name("server.example", now));
    assert_eq!(laptop.take_events(), [failed(FailureReason::Released)]);
    assert_eq!(laptop.state(), Some(BindingState::Releasing));
}

#[test]
fn a_refused_release_is_a_release() {
    let mut laptop = Laptop::active();
    laptop.act(|node, now| node.release(agent(), now));
    laptop.answer(0, ReplyCode::ADMINISTRATIVELY_PROHIBITED, |_| {});
    assert_eq!(laptop.take_events(), [released()]);
}

#[test]
fn what_is_granted_after_all_is_given_back() {
    let mut laptop = Laptop::new();
    laptop.bind();
    laptop.path(Some(path(1)), true);
    laptop.act(|node, now| node.release(agent(), now));
    assert_eq!(laptop.take_events(), [failed(FailureReason::Released)]);
    laptop.accept(0);
    assert_eq!(laptop.sent[1].request.lifetime, Lifetime::Zero);
    assert_eq!(laptop.sent[1].request.home_address, HOME);
    assert!(laptop.tunnels.is_empty());
    laptop.accept(1);
    assert!(laptop.node.agents().is_empty());

    let mut laptop = Laptop::new();
    laptop.bind();
    laptop.path(Some(path(1)), true);
    laptop.act(|node, now| node.release(agent(), now));
    laptop.advance(seconds(4));
    assert!(laptop.node.agents().is_empty());
    assert_eq!(laptop.sent.len(), 1);
}

#[test]
fn stopping_leaves_nothing_behind() {
    let mut laptop = Laptop::active();
    laptop.path(Some(path(2)), true);
    laptop.take_sent();
    laptop.act(MobileNode::release_all);
    assert_eq!(laptop.sent.len(), 1);
    assert_eq!(laptop.sent[0].request.lifetime, Lifetime::Zero);
    assert_eq!(laptop.take_events(), [released()]);
    assert!(laptop.tunnels.is_empty());
    assert!(laptop.node.agents().is_empty());
    assert!(laptop.node.snapshot(laptop.now).is_empty());
}
