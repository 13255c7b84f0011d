//! A keyed order in which to visit every number below a bound, in constant memory.

use sha2::{Digest, Sha256};

/// A bijection of `0..size`, chosen by a key. Without the key the next value can't be told from the
/// values seen so far.
///
/// It is a Feistel network over the smallest number of bits that holds `size`, its round function a
/// keyed SHA-256. Values at or above `size` are sent through again until one falls below it; fewer
/// than half the values of the network are at or above, so two passes suffice on average.
#[derive(Clone)]
pub(super) struct Permutation {
    key: [u8; 32],
    size: u128,
    left_bits: u32,
    right_bits: u32,
    rounds: u8,
}

/// Luby and Rackoff: four rounds of a pseudo-random function can't be told from a random
/// permutation, even by somebody who may ask for both directions.
const ROUNDS: u8 = 4;

/// The domain of a tiny network has hardly any orders; the walk makes up for the waste.
const MINIMUM_BITS: u32 = 8;

impl Permutation {
    /// The order this key gives to `0..size`. `size` is at most 2^100.
    pub(super) fn new(key: [u8; 32], size: u128) -> Self {
        let bits = (u128::BITS - size.saturating_sub(1).leading_zeros()).max(MINIMUM_BITS);
        let left_bits = bits / 2;
        Self {
            key,
            size,
            left_bits,
            right_bits: bits - left_bits,
            rounds: ROUNDS,
        }
    }

    /// The ascending order.
    pub(super) fn identity(size: u128) -> Self {
        Self {
            rounds: 0,
            ..Self::new([0; 32], size)
        }
    }

    /// The value at `position`, which must be below the size.
    pub(super) fn at(&self, position: u128) -> u128 {
        debug_assert!(
            position < self.size,
            "{position} is not below {}",
            self.size
        );
        let mut value = position;
        // Ends: following a bijection from below `size` leads back below `size`.
        loop {
            value = self.network(value);
            if value < self.size {
                return value;
            }
        }
    }

    fn network(&self, value: u128) -> u128 {
        let (mut left_bits, mut right_bits) = (self.left_bits, self.right_bits);
        let mut left = value >> right_bits;
        let mut right = value & mask(right_bits);
        for round in 0..self.rounds {
            (left, right) = (right, left ^ (self.round(round, right) & mask(left_bits)));
            (left_bits, right_bits) = (right_bits, left_bits);
        }
        (left << right_bits) | right
    }

    fn round(&self, round: u8, half: u128) -> u128 {
        let digest = Sha256::new()
            .chain_update(self.key)
            .chain_update([round])
            .chain_update(half.to_be_bytes())
            .finalize();
        digest
            .iter()
            .take(16)
            .fold(0, |value, octet| (value << 8) | u128::from(*octet))
    }
}

const fn mask(bits: u32) -> u128 {
    (1 << bits) - 1
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_value_comes_exactly_once() {
        for size in [1, 2, 3, 255, 256, 257, 1000, 4096, 70_000] {
            let permutation = Permutation::new([7; 32], size);
            let values: BTreeSet<u128> = (0..size).map(|i| permutation.at(i)).collect();
            assert_eq!(values.len() as u128, size);
            assert!(values.iter().all(|value| *value < size));
        }
    }

    #[test]
    fn the_largest_domain_works() {
        let size = 1 << 70;
        let permutation = Permutation::new([7; 32], size);
        assert!(permutation.at(size - 1) < size);
    }

    #[test]
    fn another_key_gives_another_order() {
        let order = |key| -> Vec<u128> {
            let permutation = Permutation::new([key; 32], 1 << 22);
            (0..16).map(|i| permutation.at(i)).collect()
        };
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        let first = order(1);
        assert!(
            first.windows(2).any(|pair| pair[0] > pair[1]),
            "not ascending"
        );
    }
}
