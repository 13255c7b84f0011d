use super::*;

/// The same laptop after mn-agent was killed and started again `after` that long.
fn restart(laptop: Laptop, after: Duration) -> Laptop {
    let unix_time = NEW_YEAR + laptop.elapsed() + after;
    let stored = serde_json::to_string(&laptop.node.snapshot(laptop.now)).unwrap_or_default();
    let stored: Vec<StoredBinding> = serde_json::from_str(&stored).unwrap_or_default();
    let now = laptop.now + after;
    let mut next = Laptop {
        node: MobileNode::new(Config::new(identity()), [8; 32], now, unix_time),
        now,
        begin: laptop.begin,
        sent: Vec::new(),
        events: Vec::new(),
        tunnels: BTreeMap::new(),
        sockets: laptop.sockets,
    };
    let association = SecurityAssociation::open_mode();
    next.act(|node, now| {
        node.restore(
            stored
                .into_iter()
                .map(|stored| (stored, association.clone())),
            now,
        )
    });
    next
}

#[test]
fn a_binding_is_taken_up_where_it_was() {
    let mut laptop = Laptop::active();
    laptop.advance(seconds(100));
    let tunnels = laptop.tunnels.clone();
    let mut laptop = restart(laptop, seconds(5));
    assert_eq!(laptop.tunnels, tunnels, "carried at once, as it was");
    assert_eq!(laptop.take_events(), [active_event()]);
    assert!(laptop.sent.is_empty());

    laptop.path(Some(path(2)), false);
    assert_eq!(laptop.local_end(), Some(path(2).care_of.ip()));
    assert_eq!(laptop.sent[0].request.home_address, HOME);
    let view = &laptop.node.bindings(laptop.now)[0];
    assert_eq!(view.expires_in, Some(seconds(495)));
    assert_eq!(view.age, Some(seconds(105)));
    assert!(view.names.contains_key("server.example"));
    laptop.accept(0);
    assert_eq!(laptop.state(), Some(BindingState::Active));
}

#[test]
fn the_home_agents_clock_is_remembered() {
    let mut laptop = Laptop::new();
    laptop.bind();
    laptop.path(Some(path(1)), true);
    laptop.answer(0, ReplyCode::IDENTIFICATION_MISMATCH, |reply| {
        reply.identification = reply
            .identification
            .with_high(reply.identification.high() - 3600);
    });
    laptop.accept(1);
    let accepted = laptop.sent[1].request.identification;
    let mut laptop = restart(laptop, seconds(5));
    laptop.path(Some(path(1)), true);
    assert_eq!(
        laptop.sent[0]
            .request
            .identification
            .seconds_since(accepted),
        5
    );
}

#[test]
fn what_expired_meanwhile_is_not_taken_up() {
    let laptop = restart(Laptop::active(), seconds(601));
    assert!(laptop.tunnels.is_empty());
    assert!(laptop.node.agents().is_empty());
}

#[test]
fn what_nobody_uses_any_more_is_released() {
    let mut laptop = Laptop::active();
    laptop.sockets = Usage::None;
    let mut laptop = restart(laptop, seconds(1));
    laptop.path(Some(path(1)), true);
    laptop.accept(0);
    laptop.take_sent();
    laptop.advance(seconds(10));
    assert_eq!(laptop.sent[0].request.lifetime, Lifetime::Zero);
}

#[test]
fn a_snapshot_is_announced_when_it_changes() {
    let mut laptop = Laptop::new();
    laptop.bind();
    laptop.path(Some(path(1)), true);
    let payload = reply_to(&laptop.sent[0].request, ReplyCode::ACCEPTED, |_| {})
        .encode(&SecurityAssociation::open_mode());
    let destination = path(1).care_of.ip();
    laptop.node.handle_input(
        Datagram {
            source: AGENT.into(),
            destination,
            transport: Transport::Udp { port: PORT },
            home_address: None,
            payload: &payload,
        },
        laptop.now,
    );
    let events: Vec<_> = std::iter::from_fn(|| laptop.node.poll_event()).collect();
    assert_eq!(
        events
            .iter()
            .filter(|event| **event == Event::SnapshotChanged)
            .count(),
        1
    );
    assert_eq!(laptop.node.snapshot(laptop.now).len(), 1);
}
