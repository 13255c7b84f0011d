//! The machines under whatever may happen to them: what the fuzz targets check, over their committed
//! corpora and over random scripts.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../corpus/mod.rs"]
mod committed;
#[path = "../../../../fuzz/src/home_agent/mod.rs"]
#[expect(
    unreachable_pub,
    reason = "there it is the library of the fuzz targets"
)]
mod home_agent;
#[path = "../../../../fuzz/src/mobile_node/mod.rs"]
#[expect(
    unreachable_pub,
    reason = "there it is the library of the fuzz targets"
)]
mod mobile_node;
#[path = "../../../../fuzz/src/script.rs"]
mod script;
#[path = "../../../../fuzz/src/time.rs"]
mod time;

use proptest::prelude::*;

use committed::replay;

#[test]
fn the_corpus_of_home_agent() {
    replay("home_agent", home_agent::home_agent);
}

#[test]
fn the_corpus_of_mobile_node() {
    replay("mobile_node", mobile_node::mobile_node);
}

proptest! {
    #[test]
    fn whatever_happens_to_a_home_agent(octets in prop::collection::vec(any::<u8>(), 0..600)) {
        home_agent::home_agent(&octets);
    }

    #[test]
    fn whatever_happens_to_a_mobile_node(octets in prop::collection::vec(any::<u8>(), 0..600)) {
        mobile_node::mobile_node(&octets);
    }
}
