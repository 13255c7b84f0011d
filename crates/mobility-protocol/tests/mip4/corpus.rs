//! What the fuzz targets check, over their committed corpora.

use proptest::prelude::*;

use crate::committed::{corpus, replay};
use crate::strategies::{changes, mutated};

#[path = "../../../../fuzz/src/mip4.rs"]
#[expect(
    unreachable_pub,
    reason = "there it is the library of the fuzz targets"
)]
mod targets;

#[test]
fn the_corpus_of_mip4_decode() {
    replay("mip4_decode", targets::mip4_decode);
}

#[test]
fn the_corpus_of_mip4_explain() {
    replay("mip4_explain", targets::mip4_explain);
}

proptest! {
    #[test]
    fn mutations_of_the_corpus(
        sample: prop::sample::Index,
        changes in changes(),
        end: prop::sample::Index,
    ) {
        let octets = mutated(sample.get(&corpus("mip4_decode")).1.clone(), changes, end);
        targets::mip4_decode(&octets);
        targets::mip4_explain(&octets);
    }

    #[test]
    fn arbitrary_octets(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        targets::mip4_decode(&octets);
        targets::mip4_explain(&octets);
    }

    #[test]
    fn arbitrary_extensions(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut message = vec![1; 24];
        message.extend(octets);
        targets::mip4_decode(&message);
        targets::mip4_explain(&message);
    }
}
