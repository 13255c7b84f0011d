//! The home agent's protocol machine: requests in, replies and changes out.
//!
//! [`HomeAgent`] lends home addresses from a [pool](crate::pool) and knows where they are reached.
//! It is sans-IO: whoever drives it passes datagrams and the time in, and carries out what it puts
//! out.
//!
//! # What the driver owes
//! After one or several inputs, a *round*: take every [`StoreChange`], then every [`Event`] and every
//! [`Transmit`], until there are none. The changes of a round are durable before its transmits
//! leave. If they can't be made durable, the transmits are thrown away and the changes kept for the
//! next attempt, later ones replacing earlier ones of the same identity: the mobile nodes ask again,
//! and what they are told then is in the store.
//!
//! # Who gets an answer
//! Only a request with a valid authenticator of a known association; everything else is dropped, and
//! counted under its reason. (Over IPv6, messages of unknown types and with wrong authenticators are
//! dropped with a word to the sender, at most ten a second.) What is answered, in this order, with the
//! Code of Mobile IPv4 and the Status of Mobile IPv6:
//!
//! | Request | Code | Status |
//! |---|---|---|
//! | authenticated, but malformed; UDP Tunnel Request on the wrong side of the authentication | 134 | |
//! | no timestamp, under a key of its own | | 145 |
//! | timestamp outside the window, or not later than the last accepted | 133 | 144 |
//! | no timestamp, and a sequence number not later than the last accepted | | 135 |
//! | critical vendor extension | 140 | |
//! | Home Agent field, or Requested HA extension, not ours (all zeros and ones are) | 136 | |
//! | P set; H not set, with and without a binding; R set; M set | | 152; 139, 129; 140; 129 |
//! | *deregistration*: home address not this identity's | 129 | 133 |
//! | *deregistration*: else | 0 | 0 |
//! | D not set | 129 | |
//! | M or G set | 139 | |
//! | T not set | 138 | |
//! | care-of address impossible, or not the source (a translator) | 129 | 174 |
//! | UDP Tunnel Request for an encapsulation other than IP in IP | 142 | |
//! | UDP Tunnel Request with F; F set | 129 | 129 |
//! | home address named, but in no pool | 129 | 132 |
//! | home address named, but not this identity's | 129 | 133 |
//! | no address left, or too many identities remembered and this one not configured; more than a stranger's host or site, or all strangers, may have or get in a second | 130 | 130 |
//! | else; the second if S was set | 0, 1 | 0 |
//!
//! # Both families
//! One machine serves both. An identity may have a home address of each; they have nothing to do with
//! each other. Which protocol carried a request shows in the form of its answer, and nowhere else
//! but in the two front ends.
//!
//! # Whose home address it is
//! A binding is what the store says, and it is the identity's, with its key. No request re-creates a
//! binding that is not there. Who had an address gets it back while it is held down, by naming it or
//! by asking for any; a fixed address is its identity's at any time. A deregistration for an address
//! this identity had a moment ago is accepted again (the first answer was lost); for one it has not
//! it is refused, like any other request.
//!
//! # Where a mobile node is
//! A first request under an agreed key has echoed a cookie, and shows by that where its mobile node is.
//! After a move packets follow at once, but the care-of address is unproven until it has: the reply
//! brings a cookie, which the next request brings back. What the data path lets an unproven address
//! have is said with [`Reachability`](crate::Reachability). Under an agreed key an echo is good for five
//! minutes: the answer to a later refresh asks for another one, and without it the address is unproven
//! from the first refresh on that comes more than a minute after.
//!
//! # Replay
//! The last accepted [`Stamp`](crate::Stamp) of a mobile node is remembered for as long as it has a
//! binding or a held-down address, and at least twice the window longer than its binding. A request
//! with a timestamp that arrives twice is answered twice, but changes nothing the second time. When
//! our clock was set back so far that the last accepted timestamp is beyond the window, that timestamp
//! is taken for the time with this mobile node: it is told so by code 133 or status 144, and neither
//! is it locked out until our clock catches up, nor is anything accepted twice.
//!
//! Under a configured key that goes with nonces, every answer over IPv4 has the nonce of the next request,
//! which is good for one. They are forgotten with the process: the first request after that is answered
//! with code 133 and a new one.
//!
//! What was accepted before this process began, and is not in the store, may have been accepted by a
//! process whose store was lost. So for twice the window after it began, a stranger's cookie or token
//! must not be of an earlier second than the process; who shows an older one is given a new cookie.

mod acquaintance;
mod budget;
mod clock;
mod config;
mod counters;
mod event;
mod freshness;
mod message;
mod mip4;
mod mip6;
mod nonces;
mod per_family;
mod pools;
mod quotas;
mod rates;
mod reachability;
mod record;
mod registration;
mod restore;
mod signalling;
mod table;
#[cfg(test)]
mod tests;

pub use config::{Config, ConfigError, LONGEST_LIFETIME, MobileNodeConfig, Mode};
pub use event::{BindingState, BindingView, Event};
pub use quotas::Quotas;
pub use rates::Rates;
pub use record::{Owner, RestoreSummary, StoreChange, StoredLease, StoredRecord};

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::pool::PoolUsage;
use crate::security::{OPEN_MODE_SPI, PublicKey};
use crate::{
    CareOfAddress, Datagram, DataplaneChange, Encapsulation, Transmit, Tunnel, TunnelEndpoints,
};

use acquaintance::Directory;
use budget::{Budget, Rate};
use clock::Clock;
use config::Policy;
use counters::{Counters, Life};
use nonces::Nonces;
use pools::Pools;
use quotas::Taken;
use rates::Pace;
use reachability::Departures;
use signalling::Rejected;
use table::{Binding, Lease, Slot, Table};

/// How long packets from the care-of address before the last move are still accepted: those that
/// were under way.
pub const FORMER_CARE_OF_GRACE: Duration = Duration::from_secs(3);

/// How many mobile nodes without an address are remembered, for the sake of their last Identification,
/// before new ones are refused that are not configured. Without an end, registering and leaving under
/// ever new names would take all the memory there is. (Few in tests, so that they get there.)
const REMEMBERED: u64 = if cfg!(test) { 64 } else { 65_536 };

/// How many answers to senders who proved nothing leave in a second, and as many at once after a
/// second without: about what a kernel allows itself for ICMPv6 errors (RFC 4443, section 2.4 (f)).
const ERRORS: u32 = 10;

/// Steps of the wall clock below this are drift: not worth writing every record again.
const CLOCK_STEP: Duration = Duration::from_secs(1);

/// A home agent. See the [module](self).
pub struct HomeAgent {
    policy: Policy,
    pools: Pools,
    /// What strangers have of the pools.
    taken: Taken,
    /// How fast they get more.
    pace: Pace,
    /// How many agreements on keys are computed for them.
    agreements: Pace,
    table: Table,
    clock: Clock,
    nonces: Nonces,
    began: Instant,
    /// Who moved less than [`FORMER_CARE_OF_GRACE`] ago, until when, and from where.
    moving: BTreeMap<Slot, (Instant, CareOfAddress)>,
    moves: BTreeSet<(Instant, Slot)>,
    departures: Departures,
    changes: VecDeque<StoreChange>,
    /// From which slot on every record has still to be written again.
    rewrite: Option<usize>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    counters: Counters,
    /// How many datagrams may still be answered that prove nothing.
    errors: Budget,
}

impl HomeAgent {
    /// A home agent without bindings. The seed has to be secret and new with each start: it decides
    /// which addresses are lent, and which nonces are asked for.
    ///
    /// # Errors
    /// [`ConfigError`] when the configuration contradicts itself.
    pub fn new(
        config: Config,
        seed: [u8; 32],
        now: Instant,
        unix_time: Duration,
    ) -> Result<Self, ConfigError> {
        let (taken, rates) = (Taken::new(config.quotas), config.quotas.rates);
        let (pace, agreements) = (Pace::new(rates), Pace::of_agreements(rates));
        // What nonces tell must say nothing about which addresses are lent.
        let of_nonces = seed.map(|octet| !octet);
        let (policy, pools) = Policy::new(config, seed)?;
        Ok(Self {
            policy,
            pools,
            taken,
            pace,
            agreements,
            table: Table::default(),
            clock: Clock::new(unix_time, now),
            nonces: Nonces::new(of_nonces),
            began: now,
            moving: BTreeMap::new(),
            moves: BTreeSet::new(),
            departures: Departures::default(),
            changes: VecDeque::new(),
            rewrite: None,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            counters: Counters::new(),
            errors: Budget::WHOLE,
        })
    }

    /// Takes a datagram that arrived on our port. Anybody may have sent it.
    pub fn handle_input(&mut self, datagram: Datagram<'_>, now: Instant) {
        self.handle_timeout(now);
        let directory = Directory {
            policy: &self.policy,
            table: &self.table,
            agreements: &mut self.agreements,
            unix_time: self.clock.unix_time(now),
            began: (now.saturating_duration_since(self.began) <= 2 * self.policy.replay_window)
                .then(|| self.clock.unix_time(self.began)),
            now,
        };
        match signalling::open(directory, &self.pools, &datagram) {
            Ok((update, envelope)) => {
                let acknowledgement = self.acknowledge(&update, now);
                let answer = envelope.answer(&update, &acknowledgement);
                self.counters.replied(answer.counter);
                if acknowledgement.outcome.is_err() {
                    self.events.push_back(Event::Refused {
                        code: answer.code,
                        source: datagram.source,
                        identity: update.identity,
                    });
                }
                self.transmits.push_back(answer.transmit);
            }
            Err(Rejected::Challenged(answer)) => {
                self.counters.challenged();
                self.transmits.push_back(answer);
            }
            Err(Rejected::Dropped { reason, answer }) => {
                self.counters.dropped(reason);
                // Whoever proved nothing may have somebody else's address.
                if let Some(answer) = answer
                    && answer.payload.len() <= datagram.payload.len()
                    && self.errors.spend(Rate::new(ERRORS, ERRORS), now)
                {
                    self.transmits.push_back(answer);
                }
            }
        }
    }

    /// Does what is due. To be called at [`HomeAgent::poll_timeout`], and as often besides as one
    /// likes.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((until, slot)) = self.moves.first().copied() {
            if until > now {
                break;
            }
            self.settled(slot);
            self.install(slot);
        }
        while let Some(slot) = self.table.pop_due(now) {
            match self.table.get(slot).map(|node| node.lease) {
                Some(Lease::Bound(_)) => self.end(slot, Life::Expired, now),
                Some(Lease::Released { .. }) => {
                    if let Some(node) = self.table.remove(slot) {
                        if let Some(care_of) = node.counted_at {
                            self.taken.give_back(care_of);
                        }
                        let family = node.family();
                        self.changes
                            .push_back(StoreChange::Delete(node.owner(), family));
                    }
                }
                None => {}
            }
        }
        self.pools.handle_timeout(now);
    }

    /// The wall clock says this. To be called when it was set, and after the host slept.
    pub fn handle_unix_time(&mut self, unix_time: Duration, now: Instant) {
        if self.clock.unix_time(now).abs_diff(unix_time) >= CLOCK_STEP {
            // The store has Unix times, by the clock that was wrong.
            self.rewrite = Some(0);
        }
        self.clock = Clock::new(unix_time, now);
    }

    /// The next change to the store. Those of a round are durable before its transmits leave.
    pub fn poll_store_change(&mut self) -> Option<StoreChange> {
        if let Some(change) = self.changes.pop_front() {
            return Some(change);
        }
        while let Some(index) = self.rewrite.filter(|index| *index < self.table.end()) {
            self.rewrite = Some(index + 1);
            if let Some(node) = self.table.nth(index) {
                return Some(StoreChange::Put(self.record(node)));
            }
        }
        self.rewrite = None;
        None
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next thing to execute or to write down.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`HomeAgent::handle_timeout`] has something to do, at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let moved = self.moves.first().map(|(until, _)| *until);
        [self.table.next_deadline(), self.pools.poll_timeout(), moved]
            .into_iter()
            .flatten()
            .min()
    }

    /// The bindings there are, by home address.
    pub fn bindings(&self, now: Instant) -> impl Iterator<Item = BindingView> {
        let mut bound: Vec<(&Binding, Slot)> = self
            .table
            .iter()
            .filter_map(|(slot, node)| Some((node.binding()?, slot)))
            .collect();
        bound.sort_unstable_by_key(|(binding, _)| binding.home_address);
        bound.into_iter().filter_map(move |(binding, slot)| {
            let node = self.table.get(slot)?;
            Some(BindingView {
                home_address: binding.home_address,
                care_of: binding.care_of,
                reachability: binding.proof.reachability(),
                transport: binding.transport,
                identity: node.identity.clone(),
                expires_in: binding.expires.saturating_duration_since(now),
                lifetime: Duration::from_secs(binding.lifetime.into()),
                state: match self.moving.contains_key(&slot) {
                    true => BindingState::Moving,
                    false => BindingState::Active,
                },
                authenticated: !node.association.is_agreed()
                    && node.association.spi != OPEN_MODE_SPI,
            })
        })
    }

    /// What strangers know this home agent by, where they are served.
    #[must_use]
    pub fn public_key(&self) -> Option<PublicKey> {
        self.policy.public_key()
    }

    /// How much of each pool prefix is lent or held down, those of IPv4 first.
    #[must_use]
    pub fn pool_usage(&self) -> Vec<PoolUsage> {
        self.pools.usage().copied().collect()
    }

    /// How often what happened, by name in alphabetical order: `drop_<reason>` for each datagram
    /// that was not answered, `reply_<code>` for each that was, `bindings_<event>`.
    #[must_use]
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        self.counters.all()
    }

    /// Ends a binding: its address goes into hold-down, its mobile node is remembered for a while.
    fn end(&mut self, slot: Slot, how: Life, now: Instant) {
        let Some(node) = self.table.get(slot) else {
            return;
        };
        let Some(Binding { home_address, .. }) = node.binding().copied() else {
            return;
        };
        let (identity, last) = (node.identity.clone(), node.last);
        let held_until = self.pools.release(home_address, now);
        let remembered = now + self.policy.replay_memory(home_address.family());
        let lease = Lease::Released {
            home_address,
            held_until,
            forget_at: held_until.map_or(remembered, |held| held.max(remembered)),
        };
        self.settled(slot);
        self.departures.forget(slot);
        self.table.update(slot, last, lease);
        self.store(slot);
        self.counters.lived(how);
        self.events
            .push_back(Event::Dataplane(DataplaneChange::Remove(home_address)));
        self.events.push_back(match how {
            Life::Expired => Event::BindingExpired {
                home_address,
                identity,
            },
            Life::Created
            | Life::Resumed
            | Life::Moved
            | Life::MovedUnproven
            | Life::Proven
            | Life::Lapsed
            | Life::Refreshed
            | Life::Released => Event::BindingReleased {
                home_address,
                identity,
            },
        });
    }

    /// Tells the data path about a binding.
    fn install(&mut self, slot: Slot) {
        let binding = self.table.get(slot).and_then(|node| node.binding());
        if let Some(Binding {
            home_address,
            care_of,
            proof,
            ..
        }) = binding.copied()
            && let Some(local) = self.policy.address(home_address.family())
        {
            let family = home_address.family();
            self.events
                .push_back(Event::Dataplane(DataplaneChange::Install(Tunnel {
                    home_address,
                    endpoints: TunnelEndpoints {
                        local,
                        remote: care_of.ip(),
                        interface: None,
                    },
                    former_remote: self.moving.get(&slot).map(|(_, former)| former.ip()),
                    reachability: proof.reachability(),
                    encapsulation: Encapsulation::within(family),
                    withdrawn: Arc::default(),
                    correspondents: Arc::clone(self.policy.correspondents.of(family)),
                })));
        }
    }

    /// It moved just now, from there.
    fn moved(&mut self, slot: Slot, from: CareOfAddress, now: Instant) {
        self.settled(slot);
        let until = now + FORMER_CARE_OF_GRACE;
        self.moving.insert(slot, (until, from));
        self.moves.insert((until, slot));
    }

    /// Its last move is over.
    fn settled(&mut self, slot: Slot) {
        if let Some((until, _)) = self.moving.remove(&slot) {
            self.moves.remove(&(until, slot));
        }
    }

    fn store(&mut self, slot: Slot) {
        if let Some(node) = self.table.get(slot) {
            let change = StoreChange::Put(self.record(node));
            self.changes.push_back(change);
        }
    }

    fn record(&self, node: &table::MobileNode) -> StoredRecord {
        StoredRecord {
            identity: node.identity.clone(),
            association: node.association.clone(),
            last: node.last,
            counted_at: node.counted_at,
            lease: match node.lease {
                Lease::Bound(binding) => StoredLease::Bound {
                    home_address: binding.home_address,
                    care_of: binding.care_of,
                    reachability: binding.proof.reachability(),
                    transport: binding.transport,
                    lifetime: Duration::from_secs(binding.lifetime.into()),
                    expires_at: self.clock.unix_time(binding.expires),
                },
                Lease::Released {
                    home_address,
                    held_until,
                    forget_at,
                } => StoredLease::Released {
                    home_address,
                    held_until: held_until.map(|until| self.clock.unix_time(until)),
                    forget_at: self.clock.unix_time(forget_at),
                },
            },
        }
    }
}
