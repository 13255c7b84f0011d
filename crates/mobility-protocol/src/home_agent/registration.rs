//! What becomes of an authenticated Binding Update.

use std::time::{Duration, Instant};

use super::counters::Life;
use super::freshness::{Freshness, Time};
use super::message::{Acknowledgement, BindingUpdate, Denial, Reason};
use super::reachability::Proof;
use super::table::{Binding, Lease, MobileNode, Slot, seconds};
use super::{Event, HomeAgent, Owner, REMEMBERED};
use crate::{CareOfAddress, HomeAddress, Lifetime, Reachability};

/// What was granted.
struct Granted {
    /// How much of the lifetime there is.
    lifetime: Lifetime,
    home_address: HomeAddress,
    /// What shows where the mobile node is.
    proof: Proof,
}

impl Granted {
    /// The end of a binding.
    const fn nothing(home_address: HomeAddress) -> Self {
        Self {
            lifetime: Lifetime::Zero,
            home_address,
            proof: Proof::Lasting,
        }
    }
}

impl HomeAgent {
    pub(super) fn acknowledge(&mut self, update: &BindingUpdate, now: Instant) -> Acknowledgement {
        let owner = Owner::new(update.identity.clone(), &update.association);
        let slot = self.table.find(&owner, update.family());
        let last = slot
            .and_then(|slot| self.table.get(slot))
            .map(|node| node.last)
            .unwrap_or_default();
        let time = Time::new(&self.clock, self.policy.replay_window, last, now);
        let (freshness, nonce) = match update.nonce {
            Some(identification) => {
                let spi = update.association.spi;
                let (freshness, next) = self.nonces.judge(&update.identity, spi, identification);
                (freshness, Some(next))
            }
            None => (time.judge(update.stamp), None),
        };
        match self.decide(update, slot, freshness, now) {
            Ok(granted) => Acknowledgement {
                outcome: Ok(granted.lifetime),
                home_address: Some(granted.home_address),
                element: match granted.lifetime {
                    Lifetime::Zero => None,
                    Lifetime::Finite(_) | Lifetime::Infinite => {
                        self.element_for(update, granted.proof, now)
                    }
                },
                nonce,
            },
            Err(reason) => Acknowledgement {
                outcome: Err(Denial {
                    reason,
                    clock: time.told,
                    sequence: time.last_sequence(),
                }),
                home_address: update.home_address,
                element: None,
                nonce,
            },
        }
    }

    fn decide(
        &mut self,
        update: &BindingUpdate,
        slot: Option<Slot>,
        freshness: Freshness,
        now: Instant,
    ) -> Result<Granted, Reason> {
        if let Some(reason) = update.malformed {
            return Err(reason);
        }
        match freshness {
            Freshness::Fresh => {}
            Freshness::Repeated => {
                return self.repeat(update, slot, now).ok_or(Reason::NotFresh);
            }
            Freshness::Mismatch => return Err(Reason::NotFresh),
        }
        match update.unacceptable {
            // Only what is bound as a home registration can't become something else (RFC 6275,
            // section 9.5.1).
            Some(Reason::NotHomeRegistration) if slot.is_none() => return Err(Reason::Prohibited),
            Some(reason) => return Err(reason),
            None => {}
        }
        match update.lifetime {
            Lifetime::Zero => self.deregister(update, slot, now),
            Lifetime::Finite(_) | Lifetime::Infinite => self.register(update, slot, now),
        }
    }

    fn register(
        &mut self,
        update: &BindingUpdate,
        slot: Option<Slot>,
        now: Instant,
    ) -> Result<Granted, Reason> {
        let mut lifetime = update.grant?;
        let care_of = update.care_of;
        let former = slot.and_then(|slot| self.table.get(slot)?.binding().copied());
        let stranger = update.association.is_agreed();
        let arrives = stranger && former.is_none();
        let counted_at = (stranger && slot.is_none()).then_some(care_of);
        if arrives {
            // Before an address is touched: it would have to rest after that.
            self.admit(care_of, counted_at.is_some(), now)?;
            lifetime = lifetime.min(self.policy.first_lifetime);
        }
        let proof = self.proof(update, slot, former, now);
        if stranger {
            lifetime = lifetime.min(self.most_without_proof(proof, former, now));
        }
        let reachability = proof.reachability();
        let lent = self.lend(update, slot, lifetime, counted_at, proof, now);
        let (slot, home_address) = lent.inspect_err(|_| {
            if let Some(care_of) = counted_at {
                self.taken.give_back(care_of);
            }
        })?;
        if arrives {
            self.pace.take(care_of, now);
        }
        self.store(slot);
        self.note_reachability(slot, former, care_of, reachability, now);
        match former {
            None => {
                self.counters.lived(Life::Created);
                if reachability == Reachability::Unproven {
                    self.counters.lived(Life::Resumed);
                }
                self.install(slot);
                self.events.push_back(Event::BindingCreated {
                    home_address,
                    care_of,
                    identity: update.identity.clone(),
                    lifetime,
                });
            }
            Some(Binding { care_of: from, .. }) if from != care_of => {
                self.counters.lived(Life::Moved);
                self.moved(slot, from, now);
                self.install(slot);
                self.events.push_back(Event::BindingMoved {
                    home_address,
                    from,
                    to: care_of,
                    identity: update.identity.clone(),
                    configured: self.policy.is_configured(&update.identity),
                });
            }
            Some(former) => {
                self.counters.lived(Life::Refreshed);
                if former.proof.reachability() != reachability {
                    self.install(slot);
                }
                self.events.push_back(Event::BindingRefreshed {
                    home_address,
                    lifetime,
                });
            }
        }
        Ok(Granted {
            lifetime: Lifetime::Finite(lifetime),
            home_address,
            proof,
        })
    }

    /// The longest lifetime for a stranger of whom this is known: while he has not shown where he is, or
    /// is asked to show it again, that of a first one, or what is left to him if that is more. So whose
    /// answer gets lost at a move does not lose his binding sooner by that.
    fn most_without_proof(&self, proof: Proof, former: Option<Binding>, now: Instant) -> Duration {
        match proof {
            Proof::Lasting | Proof::Echoed(_) => Duration::MAX,
            Proof::Missing | Proof::Asked(_) => {
                let left = former.map_or(Duration::ZERO, |former| {
                    former.expires.saturating_duration_since(now)
                });
                self.policy
                    .first_lifetime
                    .max(Duration::from_secs(left.as_secs()))
            }
        }
    }

    /// Whether a stranger who is there may have a binding now; it is counted if it is `new`.
    fn admit(&mut self, care_of: CareOfAddress, new: bool, now: Instant) -> Result<(), Reason> {
        let room = self.pace.has_room(care_of, now);
        let room = room.and_then(|()| match new {
            true => self.taken.take(care_of),
            false => Ok(()),
        });
        room.map_err(|excess| {
            self.counters.exceeded(excess);
            Reason::Resources
        })
    }

    /// Takes an address from the pool and writes down who has it.
    fn lend(
        &mut self,
        update: &BindingUpdate,
        slot: Option<Slot>,
        lifetime: Duration,
        counted_at: Option<CareOfAddress>,
        proof: Proof,
        now: Instant,
    ) -> Result<(Slot, HomeAddress), Reason> {
        let home_address = self.home_address(update, slot, now)?;
        let lease = Lease::Bound(Binding {
            home_address,
            care_of: update.care_of,
            proof,
            transport: update.transport,
            lifetime: seconds(lifetime),
            expires: now + lifetime,
        });
        match self.bind(update, slot, lease, counted_at) {
            Ok(slot) => Ok((slot, home_address)),
            Err(reason) => {
                self.pools.release(home_address, now);
                Err(reason)
            }
        }
    }

    /// The home address this request gets, taken from the pool.
    fn home_address(
        &mut self,
        update: &BindingUpdate,
        slot: Option<Slot>,
        now: Instant,
    ) -> Result<HomeAddress, Reason> {
        let own = match slot
            .and_then(|slot| self.table.get(slot))
            .map(|node| node.lease)
        {
            Some(Lease::Bound(binding)) => {
                return update
                    .names(binding.home_address)
                    .then_some(binding.home_address)
                    .ok_or(Reason::NotItsHomeAddress);
            }
            Some(Lease::Released {
                home_address,
                held_until: Some(until),
                ..
            }) if until > now => Some(home_address),
            Some(Lease::Released { .. }) | None => {
                self.policy.fixed_address(&update.identity, update.family())
            }
        };
        // There are only so many configured mobile nodes as it is.
        let new = slot.is_none() && !self.policy.is_configured(&update.identity);
        if new && self.remembered() >= REMEMBERED {
            return Err(Reason::Resources);
        }
        match own {
            Some(own) if update.names(own) => {
                self.pools.claim(own)?;
                Ok(own)
            }
            None if update.home_address.is_none() => self.pools.allocate(update.family(), now),
            Some(_) | None => Err(Reason::NotItsHomeAddress),
        }
    }

    fn bind(
        &mut self,
        update: &BindingUpdate,
        slot: Option<Slot>,
        lease: Lease,
        counted_at: Option<CareOfAddress>,
    ) -> Result<Slot, Reason> {
        match slot {
            Some(slot) => {
                self.table.authenticated(slot, &update.association);
                self.table.update(slot, update.stamp, lease);
                Ok(slot)
            }
            None => {
                let (identity, association) = (update.identity.clone(), update.association.clone());
                let node = MobileNode::new(identity, association, update.stamp, lease, counted_at);
                self.table.insert(node).ok_or(Reason::Resources)
            }
        }
    }

    fn deregister(
        &mut self,
        update: &BindingUpdate,
        slot: Option<Slot>,
        now: Instant,
    ) -> Result<Granted, Reason> {
        let slot = slot.ok_or(Reason::NotItsHomeAddress)?;
        let lease = self.table.get(slot).ok_or(Reason::NotItsHomeAddress)?.lease;
        let (Lease::Bound(Binding { home_address, .. }) | Lease::Released { home_address, .. }) =
            lease;
        if !update.names(home_address) {
            return Err(Reason::NotItsHomeAddress);
        }
        self.table.authenticated(slot, &update.association);
        match lease {
            Lease::Bound(binding) => {
                self.table.update(slot, update.stamp, lease);
                if update.everywhere || binding.care_of == update.care_of {
                    self.end(slot, Life::Released, now);
                } else {
                    // RFC 5944, section 3.8.2.2: only the binding with that care-of address goes,
                    // and there is none.
                    self.store(slot);
                }
            }
            Lease::Released {
                home_address,
                held_until,
                forget_at,
            } => {
                // A request that was sent before this one may be on its way still, and has to be
                // refused for as long as it is fresh: it is this one that is remembered from now on.
                // Who says it for ever is remembered for ever, within his quota.
                let forget_at = forget_at.max(now + self.policy.replay_memory(update.family()));
                let lease = Lease::Released {
                    home_address,
                    held_until,
                    forget_at,
                };
                self.table.update(slot, update.stamp, lease);
                self.store(slot);
            }
        }
        Ok(Granted::nothing(home_address))
    }

    /// The answer to a request that was accepted and arrives again, without any effect: only what is
    /// left of the lifetime is granted.
    fn repeat(&self, update: &BindingUpdate, slot: Option<Slot>, now: Instant) -> Option<Granted> {
        if update.unacceptable.is_some() {
            return None;
        }
        match (self.table.get(slot?)?.lease, update.lifetime) {
            (Lease::Bound(binding), Lifetime::Finite(_) | Lifetime::Infinite) => {
                update.grant.ok()?;
                let same = update.names(binding.home_address) && binding.care_of == update.care_of;
                let left = binding.expires.saturating_duration_since(now);
                same.then_some(Granted {
                    lifetime: Lifetime::Finite(left),
                    home_address: binding.home_address,
                    proof: binding.proof,
                })
            }
            (Lease::Released { home_address, .. }, Lifetime::Zero) => update
                .names(home_address)
                .then(|| Granted::nothing(home_address)),
            (Lease::Bound(_), Lifetime::Zero)
            | (Lease::Released { .. }, Lifetime::Finite(_) | Lifetime::Infinite) => None,
        }
    }

    /// How many mobile nodes are remembered that have no address.
    fn remembered(&self) -> u64 {
        let taken: u64 = self
            .pools
            .usage()
            .map(|usage| usage.used + usage.held_down)
            .sum();
        (self.table.len() as u64).saturating_sub(taken)
    }
}
