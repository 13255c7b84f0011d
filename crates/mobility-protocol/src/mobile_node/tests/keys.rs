//! Several keys for one home agent, of which it knows some: whichever it is, there is a binding, and a key
//! is changed without one being lost.

use super::pair::Pair;
use super::*;
use crate::security::{Algorithm, Key, ReplayProtection};

const OLD: u32 = 300;
const NEW: u32 = 301;

/// The key under this index; `variant` tells apart what two sides believe it is.
fn key(spi: u32, variant: u8) -> SecurityAssociation {
    SecurityAssociation {
        spi,
        algorithm: Algorithm::HmacSha256,
        key: Key::new([spi.to_be_bytes()[3], variant].repeat(16)).unwrap(),
        replay: ReplayProtection::Timestamps,
    }
}

/// When the next key is tried where nothing is said about the one before: an application is waiting.
const SOON: Duration = Duration::from_millis(200);

fn families(test: impl Fn(Family)) {
    test(Family::Ipv4);
    test(Family::Ipv6);
}

#[test]
fn the_key_the_home_agent_has_is_found_and_remembered() {
    families(|family| {
        let keys = [key(NEW, 0), key(OLD, 0)];
        let mut pair = Pair::new(family, &[key(OLD, 0)]);
        pair.bind(&keys);
        pair.advance(seconds(2));
        assert_eq!(pair.state(), Some(BindingState::Active), "{family}");
        assert_eq!(pair.sent, [seconds(0), SOON], "{family}");

        // From now on it comes first: at a move, and for another binding.
        pair.attach(2);
        assert_eq!(pair.state(), Some(BindingState::Active));
        pair.node.release(pair.at(), pair.now);
        pair.settle();
        assert_eq!(pair.state(), None);
        pair.bind(&keys);
        assert_eq!(pair.state(), Some(BindingState::Active), "at once");
    });
}

#[test]
fn a_wrong_key_under_a_known_index_is_no_obstacle_either() {
    families(|family| {
        let mut pair = Pair::new(family, &[key(OLD, 0), key(NEW, 1)]);
        pair.bind(&[key(NEW, 0), key(OLD, 0)]);
        pair.advance(seconds(2));
        assert_eq!(pair.state(), Some(BindingState::Active), "{family}");
        // Over IPv6 the home agent says so.
        let second = match family {
            Family::Ipv4 => SOON,
            Family::Ipv6 => Duration::ZERO,
        };
        assert_eq!(pair.sent, [Duration::ZERO, second], "{family}");
    });
}

#[test]
fn a_key_is_changed_from_either_side_and_no_binding_is_lost() {
    let (old, new) = (key(OLD, 0), key(NEW, 0));
    families(|family| {
        for mobile_node_first in [false, true] {
            let mut pair = Pair::new(family, std::slice::from_ref(&old));
            pair.bind(std::slice::from_ref(&old));
            let (_, lent) = pair.known();
            let both = [new.clone(), old.clone()];
            if mobile_node_first {
                pair.restart(&both);
                assert_eq!(pair.known(), (OLD, lent), "the home agent has no other");
                pair.reconfigure(&both);
            } else {
                pair.reconfigure(&both);
                pair.restart(&both);
            }
            // A refresh is what it takes.
            pair.advance(seconds(600));
            assert_eq!(pair.known(), (NEW, lent), "{family} {mobile_node_first}");
            pair.reconfigure(std::slice::from_ref(&new));
            pair.attach(2);
            assert_eq!(pair.state(), Some(BindingState::Active));
            pair.restart(std::slice::from_ref(&new));
            assert_eq!(pair.known(), (NEW, lent));
            assert_eq!(pair.losses, 0);
        }
    });
}

#[test]
fn a_home_agent_without_any_of_the_keys_gets_no_more_messages_than_a_silent_one() {
    families(|family| {
        let mut pair = Pair::new(family, &[key(OLD, 1), key(NEW, 1)]);
        let third = key(302, 0);
        pair.bind(&[key(NEW, 0), key(OLD, 0), third]);
        pair.advance(seconds(70));
        assert_eq!(pair.state(), None);
        assert_eq!(pair.sent.len(), 6, "{family}");
    });
}

#[test]
fn a_forged_refusal_makes_the_next_key_come_sooner_and_nothing_else() {
    let mut laptop = Laptop::new();
    let credentials = Credentials::Associations {
        preferred: key(NEW, 0),
        others: vec![key(OLD, 0)],
    };
    let bound = laptop.act(|node, now| {
        node.bind(
            agent(),
            "server.example",
            &[SERVER.into()],
            credentials,
            now,
        )
    });
    assert_eq!(bound, Ok(()));
    laptop.path(Some(path(1)), true);
    for _ in 0..100 {
        let asked = &laptop.sent[laptop.sent.len() - 1].request;
        let forged = reply_to(asked, ReplyCode::MOBILE_NODE_FAILED_AUTHENTICATION, |_| {});
        laptop.deliver(&forged.encode_unauthenticated());
        laptop.deliver(&forged.encode(&SecurityAssociation::open_mode()));
    }
    assert_eq!(times(&laptop.sent), [0, 0]);
    assert_eq!(laptop.counter("drop_key_refused"), 1);
    let spi = |sent: &Sent| {
        let extensions = &sent.request.extensions;
        extensions.mobile_home_authentication().map(|one| one.spi)
    };
    assert_eq!(spi(&laptop.sent[0]), Some(NEW));
    assert_eq!(spi(&laptop.sent[1]), Some(OLD));
    assert_eq!(laptop.take_events(), []);

    // With the proof of the last of the keys it counts.
    let reply = reply_to(
        &laptop.sent[1].request,
        ReplyCode::MOBILE_NODE_FAILED_AUTHENTICATION,
        |_| {},
    );
    laptop.deliver(&reply.encode(&key(OLD, 0)));
    let told = refused(ReplyCode::MOBILE_NODE_FAILED_AUTHENTICATION);
    assert_eq!(laptop.take_events(), [told]);
}
