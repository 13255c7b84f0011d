//! What may go to a care-of address before somebody has shown to be there: as much as went to the last
//! proven one in the two seconds before (RFC 4866), as the packet filter has counted it.
//!
//! The packet filter counts by home address and second, and forgets after two seconds. What it
//! remembers may have gone to more than one address; so it is noted how much had gone altogether when
//! an address became the proven one.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Instant, SystemTime};

use mobility_protocol::{Family, Reachability};

use super::super::bindings::{Binding, Bindings};
use super::super::elements::{Element, Elements, octets};
use super::super::ruleset::{CREDIT_WINDOW, sets};
use crate::Error;

/// The proofs of the last two seconds.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    of: BTreeMap<IpAddr, Proof>,
    /// The oldest first; those that have been renewed as well.
    in_order: VecDeque<(Instant, IpAddr)>,
}

#[derive(Debug, Clone, Copy)]
struct Proof {
    at: Instant,
    /// Octets that had gone to the home address, wherever it was.
    before: u64,
}

/// The bindings that get an address which limits what may go there, and those that get one which is
/// proven.
#[derive(Debug, Default)]
pub(super) struct Turns {
    pub(super) unproven: Vec<IpAddr>,
    pub(super) proven: Vec<IpAddr>,
}

impl Turns {
    /// Of known bindings that become these. New ones have neither credit nor a past.
    pub(super) fn of(bindings: &Bindings, after: &BTreeMap<IpAddr, Option<Binding>>) -> Self {
        let mut turns = Self::default();
        for (home, next) in after {
            let (Some(before), Some(next)) = (bindings.get(*home), next) else {
                continue;
            };
            let moves = before.wrap.remote() != next.wrap.remote();
            match (before.reachability, next.reachability) {
                (Reachability::Proven, Reachability::Unproven) => turns.unproven.push(*home),
                (Reachability::Unproven, Reachability::Proven) => turns.proven.push(*home),
                (Reachability::Proven, Reachability::Proven) if moves => turns.proven.push(*home),
                // Further unproven addresses share what is left.
                _ => {}
            }
        }
        turns
    }
}

impl Proofs {
    /// The addresses that these home addresses have now are proven, whatever went to others before.
    pub(super) fn note(&mut self, elements: &mut Elements, homes: &[IpAddr]) {
        let at = Instant::now();
        while let Some(&(old, home)) = self.in_order.front()
            && is_past(old, at)
        {
            self.in_order.pop_front();
            if self.of.get(&home).is_some_and(|proof| proof.at == old) {
                self.of.remove(&home);
            }
        }
        for homes in homes.chunk_by(|one, next| Family::of(*one) == Family::of(*next)) {
            let keys: Vec<_> = homes.iter().copied().map(octets).collect();
            let sent = homes.first().map(|home| sets(Family::of(*home)).sent);
            let gone = sent.and_then(|sent| elements.octets(sent, &keys).ok());
            let mut gone = gone.into_iter().flatten();
            for home in homes {
                // Where it is not known what had gone, everything has: there is no credit then.
                let before = gone.next().unwrap_or(u64::MAX);
                self.of.insert(*home, Proof { at, before });
                self.in_order.push_back((at, *home));
            }
        }
    }

    /// Octets that went to this home address's proven care-of address in the last two seconds, or less:
    /// in this second and the one before.
    pub(super) fn credit(&self, elements: &mut Elements, home: IpAddr) -> u64 {
        let before = match self.of.get(&home) {
            Some(proof) if !is_past(proof.at, Instant::now()) => proof.before,
            _ => 0,
        };
        let earned = recent(elements, home)
            .and_then(|recent| Ok(recent.min(gone(elements, home)?.saturating_sub(before))));
        earned.unwrap_or_else(|error| {
            tracing::warn!(%error, "it is not known what a care-of address has received; the next one gets no credit");
            0
        })
    }
}

fn is_past(proof: Instant, now: Instant) -> bool {
    now.saturating_duration_since(proof) > CREDIT_WINDOW
}

/// Octets that went to a home address since it is bound.
fn gone(elements: &mut Elements, home: IpAddr) -> Result<u64, Error> {
    let element = Element::of(sets(Family::of(home)).sent, octets(home));
    Ok(elements.count(&element)?.unwrap_or_default().bytes)
}

fn recent(elements: &mut Elements, home: IpAddr) -> Result<u64, Error> {
    const DAY: u64 = 24 * 60 * 60;
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let mut sum = 0;
    for second in [now, now.saturating_sub(1)] {
        let second = u32::try_from(second % DAY).unwrap_or_default();
        // The packet filter compares the second as it has it.
        let key = [&*octets(home), &second.to_ne_bytes()].concat();
        let element = Element::of(sets(Family::of(home)).recent, key);
        sum += elements.count(&element)?.unwrap_or_default().bytes;
    }
    Ok(sum)
}
