//! Going on from what the store holds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::reachability::Proof;
use super::table::{Binding, Lease, MobileNode, Slot, seconds};
use super::{HomeAgent, LONGEST_LIFETIME, RestoreSummary, StoreChange, StoredLease, StoredRecord};
use crate::{HomeAddress, Reachability};

/// What a record is still good for.
enum Fate {
    Kept(Lease),
    Expired(Lease),
    /// What it had is not its own any more. It is remembered, so that nothing of its is accepted twice.
    Deprived(Lease),
    Forgotten,
    Discarded,
}

impl Fate {
    const fn deprived(home_address: HomeAddress, forget_at: Instant) -> Self {
        Self::Deprived(Lease::Released {
            home_address,
            // Nor does the pool keep it for this mobile node.
            held_until: None,
            forget_at,
        })
    }
}

impl HomeAgent {
    /// Goes on from these records: what another process of this home agent left in its store. To be
    /// called once, before the first input. Every binding that goes on is installed in the data
    /// path; records that are no longer good are changed or deleted.
    ///
    /// A binding whose mobile node would no longer authenticate with the same key ends, and its
    /// address is held down anew. That hold-down is not in the store. One whose address is no longer
    /// its mobile node's ends, too, but the mobile node is remembered.
    pub fn restore(
        &mut self,
        records: impl IntoIterator<Item = StoredRecord>,
        now: Instant,
    ) -> RestoreSummary {
        let mut summary = RestoreSummary::default();
        for record in records {
            match self.fate(&record, now) {
                Fate::Kept(lease) => {
                    match lease {
                        Lease::Bound(_) => summary.bound += 1,
                        Lease::Released { .. } => summary.released += 1,
                    }
                    if let Some(slot) = self.adopt(record, lease) {
                        self.install(slot);
                    }
                }
                Fate::Expired(lease) => {
                    summary.expired += 1;
                    if let Some(slot) = self.adopt(record, lease) {
                        self.store(slot);
                    }
                }
                Fate::Deprived(lease) => {
                    summary.discarded += 1;
                    if let Some(slot) = self.adopt(record, lease) {
                        self.store(slot);
                    }
                }
                Fate::Forgotten => {
                    summary.forgotten += 1;
                    self.forget(record);
                }
                Fate::Discarded => {
                    summary.discarded += 1;
                    self.forget(record);
                }
            }
        }
        self.pools.settle();
        summary
    }

    fn forget(&mut self, record: StoredRecord) {
        let family = record.family();
        self.changes
            .push_back(StoreChange::Delete(record.owner(), family));
    }

    fn fate(&mut self, record: &StoredRecord, now: Instant) -> Fate {
        if self.table.find(&record.owner(), record.family()).is_some() {
            return Fate::Discarded;
        }
        let (has_key, its_own) = (self.has_key(record), self.is_its_own(record));
        let memory = self.policy.replay_memory(record.family());
        match record.lease {
            StoredLease::Bound {
                home_address,
                care_of,
                reachability,
                transport,
                lifetime,
                expires_at,
            } => {
                // A clock that was set back must not lengthen what was granted.
                let lifetime = lifetime.min(LONGEST_LIFETIME);
                let left = self.clock.remaining(expires_at, now).min(lifetime);
                if !has_key {
                    self.hold(home_address, now, self.policy.hold_down);
                    return Fate::Discarded;
                }
                if left.is_zero() {
                    let held_until = expires_at.saturating_add(self.policy.hold_down);
                    let forget_at = expires_at.saturating_add(memory).max(held_until);
                    return match self.released(home_address, Some(held_until), forget_at, now) {
                        None => Fate::Forgotten,
                        Some(lease) if its_own => Fate::Expired(lease),
                        Some(_) => Fate::deprived(home_address, now + memory),
                    };
                }
                if !its_own || self.pools.claim(home_address).is_err() {
                    self.hold(home_address, now, self.policy.hold_down);
                    return Fate::deprived(home_address, now + memory);
                }
                // When its mobile node showed itself last is not stored; it is asked in good time.
                let proof = match reachability {
                    Reachability::Proven => self.proven_now(record.association.is_agreed(), now),
                    Reachability::Unproven => Proof::Missing,
                };
                Fate::Kept(Lease::Bound(Binding {
                    home_address,
                    care_of,
                    proof,
                    transport,
                    lifetime: seconds(lifetime),
                    expires: now + left,
                }))
            }
            StoredLease::Released {
                home_address,
                held_until,
                forget_at,
            } => match self.released(home_address, held_until, forget_at, now) {
                None => Fate::Forgotten,
                Some(_) if !has_key => Fate::Discarded,
                Some(_) if !its_own => Fate::deprived(home_address, now + memory),
                Some(lease) => Fate::Kept(lease),
            },
        }
    }

    /// What is left of a lease that is over; `None` if nothing is.
    fn released(
        &mut self,
        home_address: HomeAddress,
        held_until: Option<Duration>,
        forget_at: Duration,
        now: Instant,
    ) -> Option<Lease> {
        let longest = self
            .policy
            .hold_down
            .max(self.policy.replay_memory(home_address.family()));
        let memory = self.clock.remaining(forget_at, now).min(longest);
        if memory.is_zero() {
            return None;
        }
        let hold = held_until.map_or(Duration::ZERO, |until| self.clock.remaining(until, now));
        let held_until = self.hold(home_address, now, hold.min(self.policy.hold_down));
        Some(Lease::Released {
            home_address,
            held_until,
            forget_at: now + memory,
        })
    }

    /// Keeps an address from everybody for a while, if it is one that could be lent to anybody.
    fn hold(&mut self, home_address: HomeAddress, now: Instant, time: Duration) -> Option<Instant> {
        let until = now + time;
        let held = !time.is_zero()
            && !self.pools.is_fixed(home_address)
            && self.pools.hold(home_address, until);
        held.then_some(until)
    }

    /// Whether the mobile node of a record authenticates with the same key by the configuration of
    /// today.
    fn has_key(&self, record: &StoredRecord) -> bool {
        match record.association.is_agreed() {
            true => self.policy.agreement(&record.identity).is_some(),
            false => {
                let spi = record.association.spi;
                self.policy
                    .association(&record.identity, spi)
                    .is_some_and(|own| own.has_same_key(&record.association))
            }
        }
    }

    /// Whether the mobile node of a record may have the same address by the configuration of today.
    fn is_its_own(&self, record: &StoredRecord) -> bool {
        let (StoredLease::Bound { home_address, .. } | StoredLease::Released { home_address, .. }) =
            record.lease;
        let fixed = self.policy.fixed_address(&record.identity, record.family());
        match self.pools.is_fixed(home_address) {
            true => fixed == Some(home_address),
            false => fixed.is_none(),
        }
    }

    fn adopt(&mut self, record: StoredRecord, lease: Lease) -> Option<Slot> {
        let StoredRecord {
            identity,
            association,
            last,
            counted_at,
            ..
        } = record;
        // One copy of the key for everybody who shares it.
        let association = match self.policy.association(&identity, association.spi) {
            Some(shared) => Arc::clone(shared),
            None => association,
        };
        if let Some(care_of) = counted_at {
            self.taken.note(care_of);
        }
        let node = MobileNode::new(identity, association, last, lease, counted_at);
        self.table.insert(node)
    }
}
