//! Replay protection by nonces (RFC 5944, section 5.7.2).

use super::*;

fn with_nonces() -> Config {
    let mut config = config();
    for node in &mut config.mobile_nodes {
        node.association.replay = ReplayProtection::Nonces;
    }
    config
}

impl World {
    /// A request of the laptop's with this nonce.
    fn ask_with(&mut self, nonce: u32, host: u8) -> Ask {
        let ask = self.ask(LAPTOP, host);
        ask.with(|request| request.identification = request.identification.with_high(nonce))
    }

    fn told(&mut self, ask: &Ask) -> (ReplyCode, u32) {
        let reply = self.send(ask).unwrap();
        (reply.code, reply.identification.high())
    }
}

#[test]
fn each_answer_has_the_nonce_of_the_next_request() {
    let mut world = World::with(with_nonces());
    let ask = world.ask_with(1, 7);
    let (code, first) = world.told(&ask);
    assert_eq!(code, ReplyCode::IDENTIFICATION_MISMATCH);
    let mut given = vec![first];
    for host in [7, 7, 8, 9] {
        world.wait(secs(500));
        let ask = world.ask_with(*given.last().unwrap(), host);
        let (code, next) = world.told(&ask);
        assert_eq!(code, ReplyCode::ACCEPTED);
        assert!(!given.contains(&next));
        given.push(next);
        assert_eq!(world.bindings()[0].care_of, at(host));
    }
}

#[test]
fn nothing_is_good_twice_and_who_tries_spoils_nothing() {
    let mut world = World::with(with_nonces());
    let ask = world.ask_with(1, 7);
    let (_, mut nonce) = world.told(&ask);
    let mut sent = vec![];
    for (host, over) in [(7, false), (8, false), (8, true), (7, false), (7, true)] {
        let mut ask = world.ask_with(nonce, host);
        if over {
            ask = ask.release(Ipv4Addr::new(10, 128, 0, 9));
        }
        let (code, next) = world.told(&ask);
        assert_eq!(code, ReplyCode::ACCEPTED);
        nonce = next;
        sent.push(ask);
    }
    world.take_events();
    for time in [0, 1, 20, 1_000_000] {
        world.wait(secs(time));
        world.take_events();
        let (last, older) = sent.split_last().unwrap();
        for old in older {
            assert_eq!(
                world.told(old),
                (ReplyCode::IDENTIFICATION_MISMATCH, nonce),
                "after {time} s"
            );
        }
        // An answer that may have been lost is given again, and is none about anything else.
        assert_eq!(world.told(last).1, nonce);
        assert_eq!(world.bindings(), []);
        let events = world.take_events();
        assert!(
            events
                .iter()
                .all(|event| matches!(event, Event::Refused { .. })),
            "{events:?}"
        );
    }
    let ask = world.ask_with(nonce, 7);
    assert_eq!(world.told(&ask).0, ReplyCode::ACCEPTED);
}

#[test]
fn what_was_refused_is_not_good_later() {
    let mut world = World::with(with_nonces());
    let ask = world.ask_with(1, 7);
    let (_, nonce) = world.told(&ask);
    let refused = world.ask_with(nonce, 7).of(Ipv4Addr::new(10, 128, 0, 77));
    let (code, next) = world.told(&refused);
    assert_eq!(code, ReplyCode::ADMINISTRATIVELY_PROHIBITED);
    assert_ne!(next, nonce);
    assert_eq!(
        world.told(&refused),
        (ReplyCode::IDENTIFICATION_MISMATCH, next)
    );
}

#[test]
fn a_restart_forgets_all_nonces_and_no_binding() {
    let mut world = World::with(with_nonces());
    let ask = world.ask_with(1, 7);
    let (_, nonce) = world.told(&ask);
    let created = world.ask_with(nonce, 7);
    let (_, nonce) = world.told(&created);
    world.restart(with_nonces(), secs(1));
    assert_eq!(world.bindings()[0].care_of, at(7));
    let (code, fresh) = world.told(&created);
    assert_eq!(code, ReplyCode::IDENTIFICATION_MISMATCH);
    assert_ne!(fresh, nonce);
    let moved = world.ask_with(nonce, 8);
    assert_eq!(
        world.told(&moved),
        (ReplyCode::IDENTIFICATION_MISMATCH, fresh)
    );
    let moved = world.ask_with(fresh, 8);
    assert_eq!(world.told(&moved).0, ReplyCode::ACCEPTED);
    assert_eq!(world.bindings()[0].care_of, at(8));
}

#[test]
fn each_key_has_its_own_and_who_has_timestamps_keeps_them() {
    let mut config = with_nonces();
    let laptop = config.mobile_nodes[0].clone();
    let second = SecurityAssociation {
        spi: 999,
        replay: ReplayProtection::Timestamps,
        ..laptop.association.clone()
    };
    config.mobile_nodes.push(MobileNodeConfig {
        association: second.clone(),
        ..laptop
    });
    let mut world = World::with(config);
    let dated = Ask {
        association: second,
        ..world.ask(LAPTOP, 7)
    };
    assert_eq!(
        world.told(&dated),
        (ReplyCode::ACCEPTED, dated.request.identification.high())
    );
    let ask = world.ask_with(1, 8);
    let (code, nonce) = world.told(&ask);
    assert_eq!(code, ReplyCode::IDENTIFICATION_MISMATCH);
    let ask = world.ask_with(nonce, 8);
    assert_eq!(world.told(&ask).0, ReplyCode::ACCEPTED);
    assert_eq!(world.told(&dated).0, ReplyCode::IDENTIFICATION_MISMATCH);
    assert_eq!(world.bindings()[0].care_of, at(8));
}
