//! What is sent, in which transport and with which numbers, also after a restart.

use super::*;

#[test]
fn a_home_address_is_asked_for_natively_and_carried() {
    let mut laptop = Laptop6::new(SecurityAssociation::open_mode());
    let left = &laptop.left[0];
    assert_eq!(left.transport, NATIVE);
    assert_eq!(left.addresses.home_address, Ipv6Addr::UNSPECIFIED);
    assert_eq!(
        left.update.options.home_address(),
        Some(Ipv6Addr::UNSPECIFIED)
    );
    let now = Identification::from_unix(NEW_YEAR).high();
    assert_eq!(laptop.dated(0).high(), now);
    laptop.accept(0);
    let tunnel = &laptop.tunnels[&HOME_6.into()];
    assert_eq!(tunnel.endpoints.local, IpAddr::from(care_of(1)));
    assert_eq!(tunnel.endpoints.remote, IpAddr::from(AGENT_6));
    assert_eq!(tunnel.encapsulation, Encapsulation::Ip6InIp6);
    assert_eq!(laptop.state(), Some(BindingState::Active));
    assert_eq!(laptop.counter("reply_status_0"), 1);
}

#[test]
fn every_update_has_a_later_number() {
    let mut laptop = Laptop6::new(SecurityAssociation::open_mode());
    laptop.advance(seconds(40));
    let numbers: Vec<_> = laptop
        .left
        .iter()
        .map(|left| left.update.sequence)
        .collect();
    assert!(numbers.len() > 4);
    for pair in numbers.windows(2) {
        assert!(pair[1].is_after(pair[0]));
    }
}

#[test]
fn where_nothing_comes_back_messages_go_in_udp_and_later_back() {
    let mut laptop = Laptop6::new(SecurityAssociation::open_mode());
    laptop.advance(seconds(2));
    assert_eq!(laptop.transports(), [(0, NATIVE), (1, UDP)]);
    laptop.accept(1);
    laptop.act(|node, now| node.handle_usage(AGENT_6.into(), Usage::Sockets, now));
    assert_eq!(laptop.node.bindings(laptop.now)[0].transport, UDP);
    laptop.left.clear();

    // A move is told where it was heard last; a refresh has the time to try.
    laptop.path(2, false);
    assert_eq!(laptop.left[0].transport, UDP);
    laptop.accept(0);
    laptop.left.clear();
    laptop.advance(seconds(481));
    assert_eq!(laptop.left[0].transport, NATIVE);
    assert_eq!(laptop.left[1].transport, UDP);
    laptop.accept(1);
    laptop.left.clear();
    laptop.advance(seconds(480));
    assert_eq!(laptop.left[0].transport, NATIVE);
    laptop.accept(0);
    laptop.left.clear();
    laptop.path(3, false);
    assert_eq!(laptop.left[0].transport, NATIVE, "it works again");
}

#[test]
fn a_restart_goes_on_with_later_numbers_in_the_transport_that_worked() {
    let mut laptop = Laptop6::new(SecurityAssociation::open_mode());
    laptop.advance(seconds(2));
    laptop.accept(1);
    let stored = laptop.node.snapshot(laptop.now);
    let text = serde_json::to_string(&stored).unwrap_or_else(|error| unreachable!("{error}"));
    let stored: Vec<StoredBinding> =
        serde_json::from_str(&text).unwrap_or_else(|error| unreachable!("{error}"));
    let last = laptop.left[1].update.sequence;
    laptop.left.clear();
    laptop.node = MobileNode::new(
        Config::new(identity()),
        [8; 32],
        laptop.now,
        NEW_YEAR + (laptop.now - laptop.begin),
    );
    let open = SecurityAssociation::open_mode();
    laptop.act(|node, now| {
        node.restore(stored.into_iter().map(|stored| (stored, open.clone())), now);
    });
    laptop.path(1, true);
    assert_eq!(laptop.left[0].transport, UDP);
    assert!(laptop.left[0].update.sequence.is_after(last));
    assert_eq!(laptop.left[0].addresses.home_address, HOME_6);
}

#[test]
fn a_new_life_without_memory_begins_behind_the_former_one() {
    let mut laptop = Laptop6::new(SecurityAssociation::open_mode());
    for n in 2..12 {
        laptop.path(n, false);
        laptop.advance(Duration::from_millis(200));
    }
    let former = laptop.left.last().map(|left| left.update.sequence);
    let elapsed = laptop.now - laptop.begin;
    let config = Config::new(identity());
    laptop.node = MobileNode::new(config, [8; 32], laptop.now, NEW_YEAR + elapsed + seconds(1));
    laptop.bind();
    laptop.path(1, true);
    let begun = laptop.left.last().map(|left| left.update.sequence);
    assert!(
        begun
            .zip(former)
            .is_some_and(|(begun, former)| begun.is_after(former))
    );
}

#[test]
fn a_snapshot_of_an_earlier_version_is_taken_up() {
    let text = r#"[{"agent":"203.0.113.10","signalling":"203.0.113.10","tunnel_end":"203.0.113.10",
        "home_address":"203.0.113.129","care_of":"198.51.1.7","interface":1,
        "names":{"server.example":["192.0.2.80"]},"since":{"secs":1767225000,"nanos":0},
        "expires":{"secs":1767226200,"nanos":0},"clock_offset":0,"identification":1}]"#;
    let stored: Vec<StoredBinding> =
        serde_json::from_str(text).unwrap_or_else(|error| unreachable!("{error}"));
    assert_eq!((stored[0].sequence, stored[0].transport), (None, None));
    let mut laptop = Laptop::new();
    let open = SecurityAssociation::open_mode();
    laptop.act(|node, now| {
        node.restore(stored.into_iter().map(|stored| (stored, open.clone())), now);
    });
    assert_eq!(laptop.state(), Some(BindingState::Moving));
}

#[test]
fn each_family_has_a_binding_of_its_own() {
    let mut laptop = Laptop6::active();
    let open = SecurityAssociation::open_mode();
    let bound = laptop.node.bind(
        agent(),
        "server.example",
        &[SERVER.into()],
        open.clone(),
        laptop.now,
    );
    assert_eq!(bound, Ok(()));
    assert_eq!(laptop.node.agents().len(), 2);
    let other = laptop
        .node
        .bind(agent(), "x.example", &[SERVER_6.into()], open, laptop.now);
    assert_eq!(other, Err(BindError::NoCorrespondent));
    laptop
        .node
        .handle_path(agent(), Some(path_6(1)), false, laptop.now);
    assert_eq!(
        laptop.node.poll_transmit(),
        None,
        "a path of the other family is none"
    );
}

#[test]
fn an_identity_too_long_for_ipv6_is_refused_there_alone() {
    let identity = Identity::new([b'a'; 255]).unwrap_or_else(|_| unreachable!("just short enough"));
    let now = Instant::now();
    let mut node = MobileNode::new(Config::new(identity), [7; 32], now, NEW_YEAR);
    let open = SecurityAssociation::open_mode;
    assert_eq!(
        node.bind(AGENT_6.into(), "x.example", &[SERVER_6.into()], open(), now),
        Err(BindError::LongIdentity(255))
    );
    assert_eq!(
        node.bind(agent(), "x.example", &[SERVER.into()], open(), now),
        Ok(())
    );
}
