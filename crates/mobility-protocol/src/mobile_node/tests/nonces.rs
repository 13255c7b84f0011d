//! Replay protection by nonces (RFC 5944, section 5.7.2).

use super::pair::Pair;
use super::*;
use crate::security::{Algorithm, Key, ReplayProtection};

fn key() -> SecurityAssociation {
    SecurityAssociation {
        spi: 300,
        algorithm: Algorithm::HmacSha256,
        key: Key::new([0x0d; 32]).unwrap(),
        replay: ReplayProtection::Nonces,
    }
}

impl Pair {
    /// How many messages have left since the last look.
    fn messages(&mut self) -> usize {
        std::mem::take(&mut self.sent).len()
    }

    fn resynchronisations(&self) -> u64 {
        let counters = self.node.counters();
        counters
            .into_iter()
            .find(|(name, _)| name == "resynchronisations")
            .unwrap()
            .1
    }
}

#[test]
fn only_a_first_message_takes_a_second_one() {
    let mut pair = Pair::new(Family::Ipv4, &[key()]);
    pair.bind(&[key()]);
    assert_eq!(pair.state(), Some(BindingState::Active));
    assert_eq!((pair.messages(), pair.resynchronisations()), (2, 1));
    // What follows shows where we are, for the first time here.
    pair.attach(2);
    pair.messages();
    pair.advance(seconds(481));
    assert_eq!(pair.messages(), 1, "a refresh");
    pair.node.release(pair.at(), pair.now);
    pair.settle();
    assert_eq!(pair.messages(), 1, "the end");
    pair.bind(&[key()]);
    assert_eq!(pair.state(), Some(BindingState::Active));
    assert_eq!((pair.messages(), pair.resynchronisations()), (1, 1));
}

#[test]
fn clocks_do_not_matter() {
    let mut pair = Pair::new(Family::Ipv4, &[key()]);
    let years_ago = NEW_YEAR - seconds(300_000_000);
    pair.node = MobileNode::new(Config::new(identity()), [7; 32], pair.now, years_ago);
    pair.bind(&[key()]);
    for (n, unix_time) in [(2, years_ago + seconds(100_000)), (1, NEW_YEAR)] {
        pair.node.handle_unix_time(unix_time, pair.now);
        pair.settle();
        pair.advance(seconds(1));
        pair.attach(n);
        assert_eq!(pair.state(), Some(BindingState::Active));
        assert_eq!(pair.resynchronisations(), 1);
    }
}

#[test]
fn a_restart_of_either_side_takes_one_more_message() {
    let mut pair = Pair::new(Family::Ipv4, &[key()]);
    pair.bind(&[key()]);
    let (_, lent) = pair.known();
    pair.reconfigure(&[key()]);
    pair.attach(2);
    assert_eq!(pair.known().1, lent);
    assert_eq!(pair.resynchronisations(), 2, "the first and this one");
    pair.restart(&[key()]);
    assert_eq!(pair.known().1, lent);
    assert_eq!(pair.resynchronisations(), 1);
    assert_eq!(pair.state(), Some(BindingState::Active));
    assert_eq!(pair.losses, 0);
}

#[test]
fn over_ipv6_there_are_timestamps() {
    let mut pair = Pair::new(Family::Ipv6, &[key()]);
    pair.bind(&[key()]);
    assert_eq!(pair.state(), Some(BindingState::Active));
    assert_eq!((pair.messages(), pair.resynchronisations()), (1, 0));
}

#[test]
fn what_is_not_answered_is_sent_again_octet_for_octet() {
    let mut laptop = Laptop::new();
    let asked =
        laptop.act(|node, now| node.bind(agent(), "server.example", &[SERVER.into()], key(), now));
    assert_eq!(asked, Ok(()));
    laptop.path(Some(path(1)), true);
    laptop.advance(seconds(4));
    let [first, second, third] = &*laptop.take_sent() else {
        panic!("three within four seconds");
    };
    assert_eq!([&second.payload, &third.payload], [&first.payload; 2]);

    // The answer to any of them has what the next repeats, beside a number of its own.
    let identification = first.request.identification;
    let reply = reply_to(
        &first.request,
        ReplyCode::IDENTIFICATION_MISMATCH,
        |reply| reply.identification = identification.with_high(0xcafe_f00d),
    );
    laptop.deliver(&reply.encode(&key()));
    let next = laptop.take_sent().remove(0).request;
    assert_eq!(next.identification.high(), 0xcafe_f00d);
    assert_ne!(next.identification.low(), identification.low());

    // The lifetime counts from when it was sent first: which of them was answered nobody knows.
    laptop.advance(seconds(8));
    let again = laptop.take_sent().remove(0).request;
    assert_eq!(again, next);
    let reply = reply_to(&again, ReplyCode::ACCEPTED, |reply| {
        reply.identification = again.identification.with_high(7);
    });
    laptop.deliver(&reply.encode(&key()));
    assert_eq!(laptop.state(), Some(BindingState::Active));
    laptop.sockets = Usage::Sockets;
    laptop.advance(seconds(472));
    let refresh = laptop.take_sent().remove(0).request;
    assert_eq!(refresh.identification.high(), 7);

    // Elsewhere it is another request, under the same nonce as long as that may be good.
    laptop.path(Some(path(2)), false);
    let moved = laptop.take_sent().remove(0).request;
    assert_eq!(moved.identification.high(), 7);
    assert_ne!(moved.identification.low(), refresh.identification.low());
}
