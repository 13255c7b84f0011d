//! What the fuzz targets check, over their committed corpora.

use proptest::prelude::*;

use crate::committed::{corpus, replay};
use crate::strategies::{changes, mutated};

#[path = "../../../../fuzz/src/mip6.rs"]
#[expect(
    unreachable_pub,
    reason = "there it is the library of the fuzz targets"
)]
mod targets;

#[test]
fn the_corpus_of_mip6_decode() {
    replay("mip6_decode", targets::mip6_decode);
}

#[test]
fn the_corpus_of_mip6_explain() {
    replay("mip6_explain", targets::mip6_explain);
}

#[test]
fn the_corpus_of_mip6_packet() {
    replay("mip6_packet", targets::mip6_packet);
}

proptest! {
    #[test]
    fn mutations_of_the_corpus(
        sample: prop::sample::Index,
        changes in changes(),
        end: prop::sample::Index,
    ) {
        let octets = mutated(sample.get(&corpus("mip6_decode")).1.clone(), changes, end);
        targets::mip6_decode(&octets);
        targets::mip6_explain(&octets);
    }

    #[test]
    fn mutated_packets(
        sample: prop::sample::Index,
        changes in changes(),
        end: prop::sample::Index,
    ) {
        targets::mip6_packet(&mutated(sample.get(&corpus("mip6_packet")).1.clone(), changes, end));
    }

    #[test]
    fn arbitrary_octets(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        targets::mip6_decode(&octets);
        targets::mip6_explain(&octets);
        targets::mip6_packet(&octets);
    }

    /// Of each message type, with a header that fits.
    #[test]
    fn arbitrary_options(message_type in 0u8..9, units in 0u8..30, octets in prop::collection::vec(any::<u8>(), 240)) {
        let mut message = vec![59, units, message_type];
        message.extend(octets);
        message.truncate((usize::from(units) + 1) * 8);
        targets::mip6_decode(&message);
        targets::mip6_explain(&message);
    }
}
