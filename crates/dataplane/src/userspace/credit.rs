//! How much may go to a care-of address: as much as there is once somebody has shown to be there, and
//! before that no more than his last proven address received in the two seconds before he left it
//! (the credit of RFC 4866). So a binding that is moved onto somebody who did not ask for it brings him
//! no more than its owner took himself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mobility_protocol::Reachability;

/// What may go to the other end of a tunnel, and what went. A tunnel that moves gets another one, so that
/// a packet on its way is never judged by what holds for another address.
#[derive(Debug)]
pub(super) struct Allowance {
    /// What went to this address, proven or not.
    window: Arc<Window>,
    /// None when everything may go.
    credit: Option<Arc<Credit>>,
}

impl Allowance {
    /// Of a tunnel that was not there before.
    pub(super) fn first(reachability: Reachability) -> Self {
        Self {
            window: Arc::default(),
            credit: match reachability {
                Reachability::Proven => None,
                Reachability::Unproven => Some(Arc::default()),
            },
        }
    }

    /// Of a tunnel that was there and changes, perhaps moves. One unproven address after the other uses
    /// up one credit.
    pub(super) fn next(&self, reachability: Reachability, moves: bool, now: u64) -> Self {
        let earned = || Arc::new(Credit::new(self.window.octets(now)));
        Self {
            window: match moves {
                true => Arc::default(),
                false => Arc::clone(&self.window),
            },
            credit: match reachability {
                Reachability::Proven => None,
                Reachability::Unproven => Some(self.credit.clone().unwrap_or_else(earned)),
            },
        }
    }

    /// Whether so many octets may go. They are spent then.
    pub(super) fn spend(&self, octets: u64) -> bool {
        match &self.credit {
            None => true,
            Some(credit) => credit.spend(octets),
        }
    }

    /// So many octets have gone.
    pub(super) fn gone(&self, octets: u64, now: u64) {
        self.window.record(octets, now);
    }
}

/// What is left.
#[derive(Debug, Default)]
pub(super) struct Credit(AtomicU64);

impl Credit {
    const fn new(octets: u64) -> Self {
        Self(AtomicU64::new(octets))
    }

    fn spend(&self, octets: u64) -> bool {
        let rest = |left: u64| left.checked_sub(octets);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest)
            .is_ok()
    }
}

/// The octets of the last two seconds, by quarters of a second: in each slot the number of the quarter,
/// from 1 on, above 32 bits for the octets. A slot that is not of these quarters counts nothing.
#[derive(Debug, Default)]
pub(super) struct Window([AtomicU64; SLOTS]);

const SLOTS: usize = 8;

/// Milliseconds.
const SLOT: u64 = 250;

impl Window {
    /// `now` is in milliseconds.
    fn record(&self, octets: u64, now: u64) {
        let quarter = quarter(now);
        let Some(slot) = usize::try_from(quarter % SLOTS as u64)
            .ok()
            .and_then(|slot| self.0.get(slot))
        else {
            return;
        };
        let add = |slot: u64| {
            let (of, before) = (slot >> 32, slot & MOST);
            let sum = match of.cmp(&quarter) {
                std::cmp::Ordering::Equal => before.saturating_add(octets).min(MOST),
                std::cmp::Ordering::Less => octets.min(MOST),
                // Another thread's clock is ahead, by two seconds at least.
                std::cmp::Ordering::Greater => return None,
            };
            Some(quarter << 32 | sum)
        };
        // An error says that these octets are too old to matter.
        let _ = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Those of this quarter and the seven before it.
    fn octets(&self, now: u64) -> u64 {
        let quarter = quarter(now);
        self.0
            .iter()
            .map(|slot| slot.load(Ordering::Relaxed))
            .filter(|slot| quarter.saturating_sub(slot >> 32) < SLOTS as u64)
            .map(|slot| slot & MOST)
            .sum()
    }
}

/// The octets a slot can hold.
const MOST: u64 = u32::MAX as u64;

const fn quarter(now: u64) -> u64 {
    now / SLOT + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use Reachability::{Proven, Unproven};

    fn left(allowance: &Allowance) -> u64 {
        match &allowance.credit {
            None => u64::MAX,
            Some(credit) => credit.0.load(Ordering::Relaxed),
        }
    }

    #[test]
    fn the_credit_is_what_went_in_the_two_seconds_before() {
        let home = Allowance::first(Proven);
        for (octets, now) in [(1, 0), (10, 1_999), (100, 2_100), (1_000, 3_500)] {
            assert!(home.spend(octets));
            home.gone(octets, now);
        }
        let moved_at = |now| left(&home.next(Unproven, true, now));
        assert_eq!(moved_at(3_500), 1_110);
        assert_eq!(moved_at(3_999), 1_100, "the quarter of 1,999 is over");
        assert_eq!(moved_at(5_249), 1_000);
        assert_eq!(moved_at(5_500), 0);
    }

    #[test]
    fn unproven_moves_share_one_credit_and_a_proof_begins_anew() {
        let home = Allowance::first(Proven);
        home.gone(3_000, 100);
        let away = home.next(Unproven, true, 200);
        assert!(away.spend(2_000));
        away.gone(2_000, 200);
        let further = away.next(Unproven, true, 300);
        assert!(!further.spend(1_001), "2,000 are gone for good");
        assert!(further.spend(600));
        further.gone(600, 300);
        let proven = further.next(Proven, false, 400);
        assert!(proven.spend(1_000_000));
        proven.gone(70, 400);
        assert_eq!(
            left(&proven.next(Unproven, true, 500)),
            670,
            "what went to the proven address, also before its proof"
        );
    }

    #[test]
    fn who_stays_and_is_no_longer_proven_has_the_same_credit() {
        let home = Allowance::first(Proven);
        home.gone(500, 100);
        let doubted = home.next(Unproven, false, 200);
        assert_eq!(left(&doubted), 500);
        assert!(doubted.spend(400));
        doubted.gone(400, 200);
        assert_eq!(left(&doubted.next(Unproven, true, 300)), 100);
        assert_eq!(left(&doubted.next(Proven, false, 300)), u64::MAX);
    }

    #[test]
    fn an_address_earns_no_credit_for_the_one_before_it() {
        let first = Allowance::first(Proven);
        first.gone(500, 100);
        assert_eq!(
            left(&first.next(Proven, false, 200).next(Unproven, true, 300)),
            500
        );
        assert_eq!(
            left(&first.next(Proven, true, 200).next(Unproven, true, 300)),
            0
        );
        assert_eq!(left(&Allowance::first(Unproven)), 0);
    }

    #[test]
    fn a_slot_holds_no_more_than_it_can() {
        let window = Window::default();
        window.record(u64::MAX, 100);
        window.record(u64::MAX, 100);
        assert_eq!(window.octets(100), MOST);
        window.record(7, 2_100);
        assert_eq!(window.octets(2_100), 7, "the slot is used again");
    }
}
