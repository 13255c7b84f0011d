//! Whether a mobile node is where its care-of address says.
//!
//! Whoever owns a binding may name any care-of address he can send from, and on many networks that is
//! any at all. So that nobody has others' packets sent to a third party, an address counts only when a
//! cookie that was sent there has come back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::HomeAgent;
use super::counters::Life;
use super::message::BindingUpdate;
use super::table::{Binding, Slot};
use crate::security::{COOKIE_LIFETIME, Claimant};
use crate::wire::KeyAgreement;
use crate::{CareOfAddress, Reachability};

/// Where mobile nodes showed themselves last that have not since they left there, and when that was.
/// One for each such binding at most.
#[derive(Debug, Default)]
pub(super) struct Departures(BTreeMap<Slot, (CareOfAddress, Instant)>);

impl Departures {
    /// The mobile node has shown where it is, or has no binding any more.
    pub(super) fn forget(&mut self, slot: Slot) {
        self.0.remove(&slot);
    }

    fn note(&mut self, slot: Slot, left: CareOfAddress, now: Instant) {
        self.0.insert(slot, (left, now));
    }

    /// Whether this is where it was a moment ago. Somebody else may have the address by now if that
    /// is longer than a cookie is good for.
    fn is_return(&self, slot: Slot, to: CareOfAddress, now: Instant) -> bool {
        self.0.get(&slot).is_some_and(|(left, at)| {
            *left == to && now.saturating_duration_since(*at) <= COOKIE_LIFETIME
        })
    }
}

impl HomeAgent {
    /// Whether this request shows that its mobile node is at its care-of address, where `former` is the
    /// binding it had before.
    pub(super) fn reachability(
        &self,
        update: &BindingUpdate,
        slot: Option<Slot>,
        former: Option<Binding>,
        now: Instant,
    ) -> Reachability {
        let known = match former {
            // The owner of a configured key is known to whoever configured it.
            None => !update.association.is_agreed(),
            Some(former) if former.care_of == update.care_of => {
                former.reachability == Reachability::Proven
            }
            Some(_) => {
                slot.is_some_and(|slot| self.departures.is_return(slot, update.care_of, now))
            }
        };
        match known
            || !self.policy.proves_moves(&update.identity)
            || self.is_echo(update, self.clock.unix_time(now))
        {
            true => Reachability::Proven,
            false => Reachability::Unproven,
        }
    }

    /// Counts and remembers what was found out about a binding that was `former`.
    pub(super) fn note_reachability(
        &mut self,
        slot: Slot,
        former: Option<Binding>,
        care_of: CareOfAddress,
        found: Reachability,
        now: Instant,
    ) {
        match (former, found) {
            (Some(former), Reachability::Unproven) if former.care_of != care_of => {
                self.counters.lived(Life::MovedUnproven);
                if former.reachability == Reachability::Proven {
                    self.departures.note(slot, former.care_of, now);
                }
            }
            (Some(former), Reachability::Proven)
                if former.reachability == Reachability::Unproven =>
            {
                self.counters.lived(Life::Proven);
                self.departures.forget(slot);
            }
            (Some(_) | None, Reachability::Proven | Reachability::Unproven) => {}
        }
    }

    /// What a mobile node that may be elsewhere is to send back, or what one that agreed on a key may
    /// come back with.
    pub(super) fn element_for(
        &self,
        update: &BindingUpdate,
        found: Reachability,
        now: Instant,
    ) -> Option<KeyAgreement> {
        let secret = &self.policy.secret;
        let claimant = self.claimant(update)?;
        let unix_time = self.clock.unix_time(now);
        match found {
            Reachability::Unproven => {
                Some(KeyAgreement::Cookie(secret.cookie(&claimant, unix_time)))
            }
            Reachability::Proven => update
                .association
                .is_agreed()
                .then(|| KeyAgreement::ResumptionToken(secret.token(&claimant, unix_time))),
        }
    }

    fn is_echo(&self, update: &BindingUpdate, unix_time: Duration) -> bool {
        update
            .cookie
            .zip(self.claimant(update))
            .is_some_and(|(cookie, claimant)| {
                self.policy.secret.verify(&cookie, &claimant, unix_time)
            })
    }

    fn claimant<'a>(&self, update: &'a BindingUpdate) -> Option<Claimant<'a>> {
        Some(Claimant {
            home_agent: self.policy.address(update.family())?,
            source: update.care_of.ip(),
            spi: update.association.spi,
            identity: &update.identity,
        })
    }
}
