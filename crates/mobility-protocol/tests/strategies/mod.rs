//! What random messages of both protocols are made of.

use mobility_protocol::security::{Algorithm, Key, ReplayProtection, SecurityAssociation};
use mobility_protocol::wire::Octets;
use proptest::prelude::*;
use proptest::sample::select;

/// At most so many, and `MAX`.
pub(crate) fn octets<const MAX: usize>(most: usize) -> impl Strategy<Value = Octets<MAX>> {
    prop::collection::vec(any::<u8>(), 0..=most)
        .prop_filter_map("too long", |octets| Octets::new(octets).ok())
}

/// One that may be configured.
pub(crate) fn association() -> impl Strategy<Value = SecurityAssociation> {
    let keys = prop::collection::vec(any::<u8>(), 1..100)
        .prop_filter_map("too long", |octets| Key::new(octets).ok());
    (256u32.., select(Algorithm::ALL.to_vec()), keys).prop_map(|(spi, algorithm, key)| {
        SecurityAssociation {
            spi,
            algorithm,
            key,
            replay: ReplayProtection::Timestamps,
        }
    })
}

/// Octets that become others.
pub(crate) type Changes = Vec<(prop::sample::Index, u8)>;

/// A few of them.
pub(crate) fn changes() -> impl Strategy<Value = Changes> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)
}

/// These octets with the changes, and perhaps cut short.
pub(crate) fn mutated(mut octets: Vec<u8>, changes: Changes, end: prop::sample::Index) -> Vec<u8> {
    for (position, octet) in changes {
        if !octets.is_empty() {
            let position = position.index(octets.len());
            octets[position] = octet;
        }
    }
    octets.truncate(end.index(2 * octets.len() + 1));
    octets
}
