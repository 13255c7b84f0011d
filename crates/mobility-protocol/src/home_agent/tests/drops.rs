//! What is not answered: each datagram is counted once under its reason, and leaves no state.

use super::*;
use crate::wire::Octets;
use crate::wire::mip4::{Authentication, AuthenticationKind, ExtensionType, Opaque};

#[track_caller]
fn dropped(world: &mut World, reason: &str, payload: &[u8], source: &str) {
    let before = world.counter(reason);
    let reply = world.deliver(payload, source.parse().unwrap());
    assert_eq!(reply, None, "{reason}");
    assert_eq!(world.counter(reason), before + 1, "{reason}");
    assert_eq!(world.take_events(), []);
    assert_eq!(world.used(), (0, 0));
    assert!(world.store.is_empty());
}

const SOURCE: &str = "198.51.100.7:40000";

#[test]
fn rubbish_is_dropped_by_kind() {
    let mut world = World::new();
    let whole = world.ask("alice@example.net", 7).octets();
    dropped(&mut world, "drop_empty_message", &[], SOURCE);
    dropped(&mut world, "drop_unknown_message_type", &[2; 40], SOURCE);
    dropped(&mut world, "drop_truncated_message", &whole[..23], SOURCE);
    dropped(&mut world, "drop_truncated_extension", &whole[..30], SOURCE);
    let unknown = [&whole[..24], &[99, 0], &whole[24..]].concat();
    dropped(
        &mut world,
        "drop_unknown_non_skippable_extension",
        &unknown,
        SOURCE,
    );
    let malformed = [&whole[..24], &[144, 1, 0], &whole[24..]].concat();
    dropped(&mut world, "drop_authentication_failed", &malformed, SOURCE);
    dropped(
        &mut world,
        "drop_malformed_extension",
        &malformed[..40],
        SOURCE,
    );
    let total: u64 = world.agent.counters().iter().map(|(_, count)| count).sum();
    assert_eq!(total, 7, "each exactly once");
}

#[test]
fn messages_for_others_are_dropped() {
    let mut world = World::new();
    dropped(
        &mut world,
        "drop_unexpected_message",
        &[&[4, 4, 0, 0][..], &[0x45; 28]].concat(),
        SOURCE,
    );
    let mut reply = vec![3, 0];
    reply.resize(20, 0);
    dropped(&mut world, "drop_unexpected_message", &reply, SOURCE);
}

#[test]
fn a_source_that_could_not_be_answered_is_dropped() {
    let mut world = World::new();
    let octets = world.ask("alice@example.net", 7).octets();
    for source in [
        "198.51.100.7:0",
        "0.0.0.0:40000",
        "224.0.0.1:40000",
        "255.255.255.255:434",
        "127.0.0.1:9",
    ] {
        dropped(&mut world, "drop_invalid_source", &octets, source);
    }
    dropped(
        &mut world,
        "drop_family_not_served",
        &octets,
        "[2001:db8::1]:434",
    );
}

#[test]
fn nobody_is_served_without_authentication_or_name() {
    let mut world = World::new();
    let ask = world.ask("alice@example.net", 7);
    let bare = ask.request.encode_unauthenticated();
    dropped(&mut world, "drop_missing_authentication", &bare, SOURCE);

    let nameless = Ask {
        identity: None,
        ..ask.clone()
    };
    dropped(
        &mut world,
        "drop_missing_identity",
        &nameless.octets(),
        SOURCE,
    );
    let mut named_too_late = nameless.clone();
    named_too_late
        .unprotected
        .push(Extension::Nai(Identity::new("alice@example.net").unwrap()));
    dropped(
        &mut world,
        "drop_missing_identity",
        &named_too_late.octets(),
        SOURCE,
    );

    let authentication = |kind| {
        Extension::Authentication(Authentication {
            kind,
            spi: 300,
            authenticator: Octets::new([0; 16]).unwrap(),
            covered: 0,
        })
    };
    let mut twice = ask.clone();
    twice
        .unprotected
        .push(authentication(AuthenticationKind::MobileHome));
    dropped(
        &mut world,
        "drop_missing_authentication",
        &twice.octets(),
        SOURCE,
    );
    let mut foreign = ask.clone();
    foreign
        .unprotected
        .push(authentication(AuthenticationKind::ForeignHome));
    dropped(
        &mut world,
        "drop_unknown_foreign_agent",
        &foreign.octets(),
        SOURCE,
    );
}

#[test]
fn a_changed_octet_anywhere_is_noticed() {
    let mut world = World::new();
    let octets = world.ask("alice@example.net", 7).octets();
    for position in 0..octets.len() {
        let mut changed = octets.clone();
        changed[position] ^= 0x40;
        assert_eq!(
            world.deliver(&changed, SOURCE.parse().unwrap()),
            None,
            "octet {position}"
        );
    }
    assert_eq!(world.used(), (0, 0));
}

#[test]
fn an_unknown_association_is_dropped() {
    let mut world = World::new();
    let mut ask = world.ask("alice@example.net", 7);
    ask.association.spi = 256;
    dropped(
        &mut world,
        "drop_unknown_association",
        &ask.octets(),
        SOURCE,
    );

    // A name with a key of its own can't be taken on with the key everybody knows.
    let thief = Ask {
        association: SecurityAssociation::open_mode(),
        ..world.ask(LAPTOP, 7)
    };
    dropped(
        &mut world,
        "drop_unknown_association",
        &thief.octets(),
        SOURCE,
    );
    // Nor with the key of another.
    let thief = Ask {
        association: association(PHONE),
        ..world.ask(LAPTOP, 7)
    };
    dropped(
        &mut world,
        "drop_unknown_association",
        &thief.octets(),
        SOURCE,
    );
    // Nor with its index alone.
    let mut thief = world.ask(LAPTOP, 7);
    thief.association.key = Key::new([0; 16]).unwrap();
    dropped(
        &mut world,
        "drop_authentication_failed",
        &thief.octets(),
        SOURCE,
    );
}

#[test]
fn strangers_are_dropped_in_authenticated_mode() {
    let mut world = World::with(Config {
        mode: Mode::Authenticated {
            secret: HomeAgentSecret::from_seed(&[9; 32]),
        },
        ..config()
    });
    let octets = world.ask("alice@example.net", 7).octets();
    dropped(&mut world, "drop_unknown_association", &octets, SOURCE);
    world.bound(LAPTOP, 7);
}

#[test]
fn an_extension_that_must_be_understood_and_is_not_drops_the_message() {
    let mut world = World::new();
    let content = crate::wire::mip4::OpaqueContent::Word {
        subtype: 1,
        data: Octets::new([0; 4]).unwrap(),
    };
    let proxy = Extension::Opaque(Opaque {
        extension_type: ExtensionType::PROXY_NON_SKIPPABLE,
        content,
    });
    let ask = world.ask("alice@example.net", 7).extended(proxy);
    dropped(
        &mut world,
        "drop_unsupported_extension",
        &ask.octets(),
        SOURCE,
    );
}

#[test]
fn an_extension_that_may_be_skipped_is_skipped() {
    let mut world = World::new();
    let ask = world.ask("alice@example.net", 7);
    let mut octets = ask.request.encode_unauthenticated();
    octets.extend([
        200, 3, 1, 2, 3, 0, 0, 131, 5, b'a', b'l', b'i', b'c', b'e', 32, 20,
    ]);
    octets.extend(ask.association.spi.to_be_bytes());
    let authenticator = ask.association.authenticator(&octets);
    octets.extend(authenticator);
    assert_eq!(world.deliver(&octets, ask.source).unwrap()[1], 0);
}
