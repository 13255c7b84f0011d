use super::*;

#[test]
fn break_before_make_does_not_wait_for_the_answer() {
    let mut laptop = Laptop::active();
    laptop.advance(seconds(20));
    laptop.path(Some(path(2)), false);
    assert_eq!(
        laptop.local_end(),
        Some(path(2).care_of.ip()),
        "data at once"
    );
    assert_eq!(laptop.sent.len(), 1, "and the Binding Update");
    assert_eq!(laptop.sent[0].at, seconds(20));
    assert_eq!(laptop.sent[0].source, path(2).care_of.ip());
    assert_eq!(laptop.sent[0].request.home_address, HOME);
    assert_eq!(laptop.state(), Some(BindingState::Moving));
    laptop.accept(0);
    assert_eq!(
        laptop.take_events(),
        [Event::Moved {
            agent: agent(),
            home_address: HOME.into(),
            care_of: path(2).care_of
        }]
    );
    assert_eq!(laptop.state(), Some(BindingState::Active));
    assert_eq!(laptop.node.bindings(laptop.now)[0].handovers, 1);
    assert_eq!(
        laptop.node.bindings(laptop.now)[0].expires_in,
        Some(seconds(600))
    );
}

#[test]
fn make_before_break_waits_for_the_answer() {
    let mut laptop = Laptop::active();
    laptop.path(Some(path(2)), true);
    assert_eq!(
        laptop.local_end(),
        Some(path(1).care_of.ip()),
        "the working path"
    );
    assert_eq!(laptop.sent[0].source, path(2).care_of.ip());
    laptop.accept(0);
    assert_eq!(laptop.local_end(), Some(path(2).care_of.ip()));
}

#[test]
fn the_old_path_dying_meanwhile_switches_at_once() {
    let mut laptop = Laptop::active();
    laptop.path(Some(path(2)), true);
    laptop.path(Some(path(2)), false);
    assert_eq!(laptop.local_end(), Some(path(2).care_of.ip()));
    assert_eq!(laptop.sent.len(), 1, "the message is under way already");
}

#[test]
fn an_answer_to_an_older_care_of_address_confirms_nothing() {
    let mut laptop = Laptop::active();
    laptop.path(Some(path(2)), false);
    laptop.path(Some(path(3)), false);
    assert_eq!(laptop.sent.len(), 2);
    laptop.accept(0);
    assert_eq!(laptop.state(), Some(BindingState::Moving));
    assert_eq!(laptop.counter("drop_stale_reply"), 1);
    assert_eq!(laptop.local_end(), Some(path(3).care_of.ip()));
    laptop.accept(1);
    assert_eq!(laptop.state(), Some(BindingState::Active));
    assert_eq!(laptop.take_events().len(), 1);
}

#[test]
fn moving_back_before_an_answer_is_told_too() {
    let mut laptop = Laptop::active();
    laptop.path(Some(path(2)), false);
    laptop.path(Some(path(1)), false);
    assert_eq!(laptop.sent.len(), 2);
    assert_eq!(laptop.sent[1].source, path(1).care_of.ip());
    assert_eq!(laptop.local_end(), Some(path(1).care_of.ip()));
    laptop.accept(0);
    assert_eq!(
        laptop.state(),
        Some(BindingState::Moving),
        "the home agent may believe in the other one"
    );
    laptop.accept(1);
    assert_eq!(laptop.state(), Some(BindingState::Active));
}

#[test]
fn an_answer_from_before_an_excursion_confirms_nothing() {
    let mut laptop = Laptop::active();
    laptop.advance(seconds(480));
    laptop.path(Some(path(2)), false);
    laptop.path(Some(path(1)), false);
    assert_eq!(laptop.sent.len(), 3);
    laptop.accept(0);
    assert_eq!(
        laptop.state(),
        Some(BindingState::Moving),
        "the home agent may have been told of the excursion after that"
    );
    laptop.accept(2);
    assert_eq!(laptop.state(), Some(BindingState::Active));
}

#[test]
fn a_refused_move_is_not_repeated_by_repeated_reports() {
    let mut laptop = Laptop::active();
    laptop.path(Some(path(2)), false);
    laptop.answer(0, ReplyCode::MOBILE_NODE_FAILED_AUTHENTICATION, |_| {});
    for _ in 0..20 {
        laptop.path(Some(path(2)), true);
        laptop.advance(seconds(1));
    }
    assert_eq!(laptop.sent.len(), 1);
}

#[test]
fn the_same_address_on_another_interface_needs_no_message() {
    let mut laptop = Laptop::active();
    laptop.path(
        Some(Path {
            interface: 9,
            ..path(1)
        }),
        true,
    );
    assert!(laptop.sent.is_empty());
    assert_eq!(
        laptop.tunnels[&HomeAddress::from(HOME)].endpoints.interface,
        Some(9)
    );
}

#[test]
fn repeated_reports_of_a_path_change_nothing() {
    let mut laptop = Laptop::active();
    for _ in 0..100 {
        laptop.path(Some(path(1)), true);
    }
    laptop.path(Some(path(2)), false);
    for _ in 0..100 {
        laptop.path(Some(path(2)), true);
    }
    assert_eq!(laptop.sent.len(), 1);
}

#[test]
fn an_unanswered_move_is_repeated_until_the_binding_ends() {
    let mut laptop = Laptop::active();
    laptop.advance(seconds(100));
    laptop.path(Some(path(2)), false);
    laptop.advance(seconds(200));
    assert_eq!(
        times(&laptop.sent),
        [100, 101, 103, 107, 115, 131, 163, 195, 227, 259, 291]
    );
    laptop.accept(10);
    assert_eq!(laptop.state(), Some(BindingState::Active));
}

#[test]
fn a_while_without_any_path_is_survived() {
    let mut laptop = Laptop::active();
    laptop.path(None, false);
    laptop.advance(seconds(500));
    assert!(laptop.sent.is_empty(), "nowhere to send");
    assert_eq!(
        laptop.local_end(),
        Some(path(1).care_of.ip()),
        "the binding stands"
    );
    laptop.path(Some(path(2)), false);
    assert_eq!(laptop.sent.len(), 1);
    laptop.accept(0);
    assert_eq!(laptop.state(), Some(BindingState::Active));
    assert_eq!(laptop.local_end(), Some(path(2).care_of.ip()));
}

#[test]
fn returning_to_the_same_network_asks_whether_the_binding_stands() {
    let mut laptop = Laptop::active();
    laptop.path(None, false);
    laptop.advance(seconds(30));
    laptop.path(Some(path(1)), true);
    assert_eq!(laptop.sent.len(), 1);
    laptop.accept(0);
    assert_eq!(laptop.counter("refreshes"), 1);
}

#[test]
fn a_lifetime_that_ends_while_away_is_made_good_on_return() {
    let mut laptop = Laptop::active();
    laptop.path(None, false);
    laptop.advance(seconds(5000));
    assert!(laptop.tunnels.is_empty());
    assert_eq!(
        laptop.take_events(),
        [Event::Lost {
            agent: agent(),
            home_address: HOME.into(),
            reason: LossReason::Expired
        }]
    );
    assert_eq!(
        laptop.state(),
        Some(BindingState::Registering),
        "sockets still wait for it"
    );
    laptop.path(Some(path(2)), false);
    assert!(laptop.sent[0].request.home_address.is_unspecified());
    laptop.accept(0);
    assert_eq!(
        laptop.local_end(),
        Some(path(2).care_of.ip()),
        "the same address: the sockets go on"
    );

    let mut laptop = Laptop::active();
    laptop.path(None, false);
    laptop.advance(seconds(600));
    laptop.sockets = Usage::None;
    laptop.advance(seconds(200));
    assert!(laptop.node.agents().is_empty(), "nobody waits any more");
}

#[test]
fn who_asks_while_sockets_wait_for_a_path_is_told_at_once() {
    let mut laptop = Laptop::active();
    laptop.path(None, false);
    laptop.advance(seconds(5000));
    laptop.take_events();
    laptop.bind();
    assert_eq!(laptop.take_events(), [failed(FailureReason::NoPath)]);
    assert_eq!(laptop.state(), Some(BindingState::Registering));
    // Asked with a path, which goes before the answer.
    laptop.path(Some(path(2)), false);
    laptop.bind();
    assert_eq!(laptop.take_events(), []);
    laptop.path(None, false);
    assert_eq!(laptop.take_events(), [failed(FailureReason::NoPath)]);
    assert_eq!(laptop.state(), Some(BindingState::Registering));
    laptop.path(Some(path(2)), false);
    laptop.accept(laptop.sent.len() - 1);
    assert_eq!(laptop.take_events(), [active_event()]);
}

#[test]
fn a_new_path_that_hears_but_does_not_answer_is_left_again() {
    let mut laptop = Laptop::active();
    laptop.path(Some(path(2)), true);
    laptop.advance(seconds(6));
    assert_eq!(laptop.local_end(), Some(path(1).care_of.ip()));
    assert!(
        laptop
            .sent
            .iter()
            .all(|sent| sent.source == path(2).care_of.ip())
    );
    laptop.take_sent();
    laptop.advance(seconds(1));
    assert_eq!(
        laptop.sent[0].source,
        path(1).care_of.ip(),
        "the home agent is told to stay"
    );
    laptop.accept(0);
    assert_eq!(laptop.state(), Some(BindingState::Active));
    laptop.take_sent();
    laptop.path(Some(path(2)), true);
    assert!(laptop.sent.is_empty(), "not at once again");
    laptop.advance(seconds(30));
    assert_eq!(
        laptop.sent[0].source,
        path(2).care_of.ip(),
        "another chance"
    );
    laptop.accept(0);
    assert_eq!(laptop.local_end(), Some(path(2).care_of.ip()));
}

#[test]
fn the_working_path_ending_uses_the_avoided_one_at_once() {
    let mut laptop = Laptop::active();
    laptop.path(Some(path(2)), true);
    laptop.advance(seconds(7));
    let last = laptop.sent.len() - 1;
    laptop.accept(last);
    laptop.take_sent();
    laptop.path(Some(path(2)), false);
    assert_eq!(laptop.local_end(), Some(path(2).care_of.ip()));
    assert_eq!(laptop.sent[0].source, path(2).care_of.ip());
}

#[test]
fn a_new_path_the_agent_refuses_does_not_end_what_works() {
    let mut laptop = Laptop::active();
    laptop.path(Some(path(2)), true);
    laptop.answer(0, ReplyCode::ADMINISTRATIVELY_PROHIBITED, |_| {});
    assert_eq!(laptop.local_end(), Some(path(1).care_of.ip()));
    assert_eq!(laptop.sent[1].source, path(1).care_of.ip());
    laptop.accept(1);
    assert_eq!(laptop.state(), Some(BindingState::Active));
    assert!(laptop.take_events().is_empty());
}

#[test]
fn a_dead_path_is_probed_and_a_forgotten_binding_replaced() {
    let mut laptop = Laptop::active();
    for second in 0..4 {
        laptop.act(|node, now| node.handle_traffic(agent(), 100 + second, 50, now));
        assert!(laptop.sent.is_empty());
        laptop.advance(seconds(1));
    }
    laptop.act(|node, now| node.handle_traffic(agent(), 200, 50, now));
    assert_eq!(laptop.sent.len(), 1);
    assert_eq!(laptop.sent[0].request.home_address, HOME);
    assert_eq!(laptop.counter("probes"), 1);
    laptop.answer(0, ReplyCode::ADMINISTRATIVELY_PROHIBITED, |_| {});
    assert!(laptop.sent[1].request.home_address.is_unspecified());
}

#[test]
fn sleep_is_followed_by_a_check() {
    let mut laptop = Laptop::active();
    laptop.act(|node, now| node.handle_unix_time(NEW_YEAR + seconds(7200), now));
    assert_eq!(laptop.sent.len(), 1);
    assert_eq!(
        laptop.sent[0]
            .request
            .identification
            .to_unix(NEW_YEAR)
            .as_secs(),
        NEW_YEAR.as_secs() + 7200
    );
}
