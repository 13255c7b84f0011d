//! Whether a mobile node is where its care-of address says.
//!
//! Whoever owns a binding may name any care-of address he can send from, and on many networks that is
//! any at all. So that nobody has others' packets sent to a third party, an address counts only when a
//! cookie that was sent there has come back. Where the key was agreed on it does not count for ever, for
//! its owner may leave it to somebody else and not say so.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::HomeAgent;
use super::counters::Life;
use super::message::BindingUpdate;
use super::table::{Binding, Slot, seconds};
use crate::security::{COOKIE_LIFETIME, Claimant};
use crate::wire::KeyAgreement;
use crate::{CareOfAddress, Reachability};

/// How long an echo spares a mobile node with an agreed key the next one, while it stays where it is, in
/// seconds. It costs one more round trip for each refresh with the usual lifetimes, and none for those
/// that come sooner.
const PROOF_LIFETIME: u32 = 300;

/// How long after it was first asked for another echo a mobile node counts as proven without, in seconds:
/// as long as the first cookie is good for. An update that gets no answer is sent again after one, two, four
/// seconds, and so on, with a cookie in each answer; so it takes more than the loss of some of them to miss
/// this, and who does is proven again one round trip after the next answer that arrives.
const ECHO_TIME: u32 = 60;
const _: () = assert!(ECHO_TIME as u64 == COOKIE_LIFETIME.as_secs());

/// What there is to show that a mobile node is at its care-of address. Times are in seconds since its home
/// agent began, which a table of many bindings has more room for than for instants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// Nothing.
    Missing,
    /// Enough for as long as it stays there: it has a configured key, or the published one.
    Lasting,
    /// It has an agreed key, and sent back a cookie then.
    Echoed(u32),
    /// The same, but too long ago. It was asked for another one then, and once more with each answer since.
    Asked(u32),
}

impl Proof {
    pub(super) const fn reachability(self) -> Reachability {
        match self {
            Self::Missing => Reachability::Unproven,
            Self::Lasting | Self::Echoed(_) | Self::Asked(_) => Reachability::Proven,
        }
    }

    /// What it is worth in a request without an echo.
    const fn aged(self, now: u32) -> Self {
        match self {
            Self::Echoed(at) if now.saturating_sub(at) > PROOF_LIFETIME => Self::Asked(now),
            Self::Asked(at) if now.saturating_sub(at) > ECHO_TIME => Self::Missing,
            Self::Missing | Self::Lasting | Self::Echoed(_) | Self::Asked(_) => self,
        }
    }
}

/// Where mobile nodes showed themselves last that have not since they left there.
/// One for each such binding at most.
#[derive(Debug, Default)]
pub(super) struct Departures(BTreeMap<Slot, Departure>);

#[derive(Debug)]
struct Departure {
    from: CareOfAddress,
    proof: Proof,
    at: Instant,
}

impl Departures {
    /// The mobile node has shown where it is, or has no binding any more.
    pub(super) fn forget(&mut self, slot: Slot) {
        self.0.remove(&slot);
    }

    fn note(&mut self, slot: Slot, from: &Binding, now: Instant) {
        let departure = Departure {
            from: from.care_of,
            proof: from.proof,
            at: now,
        };
        self.0.insert(slot, departure);
    }

    /// What showed that it was there, if this is where it was a moment ago. Somebody else may have the
    /// address by now if that is longer than a cookie is good for.
    fn returns(&self, slot: Slot, to: CareOfAddress, now: Instant) -> Option<Proof> {
        let departure = self.0.get(&slot)?;
        let recent = now.saturating_duration_since(departure.at) <= COOKIE_LIFETIME;
        (departure.from == to && recent).then_some(departure.proof)
    }
}

impl HomeAgent {
    /// What shows, with this request, that its mobile node is at its care-of address, where `former` is
    /// the binding it had before.
    pub(super) fn proof(
        &self,
        update: &BindingUpdate,
        slot: Option<Slot>,
        former: Option<Binding>,
        now: Instant,
    ) -> Proof {
        let echoed = !self.policy.proves_moves(&update.identity)
            || self.is_echo(update, self.clock.unix_time(now));
        if echoed {
            return self.proven_now(update.association.is_agreed(), now);
        }
        let known = match former {
            // The owner of a configured key is known to whoever configured it.
            None if !update.association.is_agreed() => Some(Proof::Lasting),
            None => None,
            Some(former) if former.care_of == update.care_of => Some(former.proof),
            // It is as old as it was: who comes and goes does not spare himself the next echo.
            Some(_) => slot.and_then(|slot| self.departures.returns(slot, update.care_of, now)),
        };
        known.map_or(Proof::Missing, |proof| proof.aged(self.uptime(now)))
    }

    /// What is known of a mobile node that has just shown where it is. Who has a configured key may
    /// belong to an implementation that knows nothing of cookies, and is asked nothing while it stays
    /// where it began.
    pub(super) fn proven_now(&self, is_agreed: bool, now: Instant) -> Proof {
        match is_agreed {
            true => Proof::Echoed(self.uptime(now)),
            false => Proof::Lasting,
        }
    }

    /// In seconds.
    fn uptime(&self, now: Instant) -> u32 {
        seconds(now.saturating_duration_since(self.began))
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
        let Some(former) = former else {
            return;
        };
        match (former.proof.reachability(), found) {
            (before, Reachability::Unproven) if former.care_of != care_of => {
                self.counters.lived(Life::MovedUnproven);
                if before == Reachability::Proven {
                    self.departures.note(slot, &former, now);
                }
            }
            (Reachability::Proven, Reachability::Unproven) => self.counters.lived(Life::Lapsed),
            (Reachability::Unproven, Reachability::Proven) => {
                self.counters.lived(Life::Proven);
                self.departures.forget(slot);
            }
            (Reachability::Unproven, Reachability::Unproven)
            | (Reachability::Proven, Reachability::Proven) => {}
        }
    }

    /// What a mobile node that may be elsewhere by now is to send back, or what one that agreed on a key
    /// may come back with.
    pub(super) fn element_for(
        &self,
        update: &BindingUpdate,
        found: Proof,
        now: Instant,
    ) -> Option<KeyAgreement> {
        let secret = &self.policy.secret;
        let claimant = self.claimant(update)?;
        let unix_time = self.clock.unix_time(now);
        match found {
            Proof::Missing | Proof::Asked(_) => {
                Some(KeyAgreement::Cookie(secret.cookie(&claimant, unix_time)))
            }
            Proof::Lasting | Proof::Echoed(_) => update
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
