//! The numbers that mobile nodes have to repeat where a key goes with nonces (RFC 5944, section 5.7.2).
//!
//! There are as many as configured keys at most: one is made up when a first message under its key has
//! been authenticated. None outlives the process, so nothing that was accepted by an earlier one is good.

use std::collections::BTreeMap;

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::freshness::Freshness;
use crate::Identity;
use crate::wire::Identification;

/// What is expected of everybody.
#[derive(Debug)]
pub(super) struct Nonces {
    random: ChaCha12Rng,
    /// By identity and Security Parameter Index.
    expected: BTreeMap<(Identity, u32), Expected>,
}

/// What is expected under one key.
#[derive(Debug, Clone, Copy)]
struct Expected {
    /// The high half of the next Identification.
    next: u32,
    /// The Identification that had the one before.
    last: Option<Identification>,
}

impl Nonces {
    /// None yet. The seed has to be secret and new with each start.
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self {
            random: ChaCha12Rng::from_seed(seed),
            expected: BTreeMap::new(),
        }
    }

    /// Whether an authenticated request with this Identification is new, and the nonce of the answer, which
    /// the next has to repeat.
    ///
    /// A nonce is good once, whatever becomes of its request: one that was refused could be sent again by
    /// somebody else when it would be granted. It stays until then: whoever sends old requests again must not
    /// spoil the nonce that the mobile node has.
    pub(super) fn judge(
        &mut self,
        identity: &Identity,
        spi: u32,
        identification: Identification,
    ) -> (Freshness, u32) {
        let random = &mut self.random;
        let key = (identity.clone(), spi);
        let expected = self.expected.entry(key).or_insert_with(|| Expected {
            next: random.next_u32(),
            last: None,
        });
        let freshness = if expected.last == Some(identification) {
            Freshness::Repeated
        } else if identification.high() == expected.next {
            expected.last = Some(identification);
            // Any but the same again.
            expected.next = expected
                .next
                .wrapping_add(random.next_u32().saturating_add(1));
            Freshness::Fresh
        } else {
            Freshness::Mismatch
        };
        (freshness, expected.next)
    }
}
