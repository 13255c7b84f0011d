//! What may go to a care-of address before somebody has shown to be there: as much as went to the last
//! proven one in the two seconds before (RFC 4866), as the packet filter has counted it.
//!
//! The packet filter counts by home address and second, and forgets after two seconds. What it
//! remembers may have gone to more than one address; so it is noted how much had gone altogether at
//! each move.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Instant, SystemTime};

use mobility_protocol::{Family, Reachability};

use super::super::bindings::{Binding, Bindings};
use super::super::elements::{Element, Elements, octets};
use super::super::ruleset::{CREDIT_WINDOW, sets};
use crate::Error;

/// The moves of the last two seconds.
#[derive(Debug, Default)]
pub(super) struct Moves {
    of: BTreeMap<IpAddr, Move>,
    /// The oldest first; those that others followed as well.
    in_order: VecDeque<(Instant, IpAddr)>,
}

#[derive(Debug, Clone, Copy)]
struct Move {
    at: Instant,
    /// Octets that had gone to the home address, wherever it was.
    before: u64,
}

/// Of known bindings, those that become unproven and those that move. New ones have neither credit nor a
/// past.
#[derive(Debug, Default)]
pub(super) struct Turns {
    pub(super) unproven: Vec<IpAddr>,
    pub(super) moved: Vec<IpAddr>,
}

impl Turns {
    /// Where these become the bindings of their home addresses.
    pub(super) fn of(bindings: &Bindings, after: &BTreeMap<IpAddr, Option<Binding>>) -> Self {
        let mut turns = Self::default();
        for (home, next) in after {
            let (Some(before), Some(next)) = (bindings.get(*home), next) else {
                continue;
            };
            // Further unproven addresses share what is left.
            if before.reachability == Reachability::Proven
                && next.reachability == Reachability::Unproven
            {
                turns.unproven.push(*home);
            }
            if before.wrap.remote() != next.wrap.remote() {
                turns.moved.push(*home);
            }
        }
        turns
    }
}

impl Moves {
    /// These home addresses are elsewhere now, whatever went to them before.
    pub(super) fn note(&mut self, elements: &mut Elements, homes: &[IpAddr]) {
        let at = Instant::now();
        while let Some(&(old, home)) = self.in_order.front()
            && is_past(old, at)
        {
            self.in_order.pop_front();
            if self.of.get(&home).is_some_and(|last| last.at == old) {
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
                self.of.insert(*home, Move { at, before });
                self.in_order.push_back((at, *home));
            }
        }
    }

    /// Octets that went to this home address's present care-of address in the last two seconds, or less:
    /// in this second and the one before.
    pub(super) fn credit(&self, elements: &mut Elements, home: IpAddr) -> u64 {
        let before = match self.of.get(&home) {
            Some(last) if !is_past(last.at, Instant::now()) => last.before,
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

fn is_past(event: Instant, now: Instant) -> bool {
    now.saturating_duration_since(event) > CREDIT_WINDOW
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
