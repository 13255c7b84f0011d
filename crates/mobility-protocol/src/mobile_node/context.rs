//! What the transitions of one binding may use beside the binding itself.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha12Rng;
use rand_core::Rng;

use super::acquaintance::StoredAcquaintance;
use super::attempt::Pace;
use super::clock::{AgentClock, WallClock};
use super::config::Config;
use super::credentials::Terms;
use super::event::{Event, FailureReason};
use super::signalling;
use super::status::Counters;
use super::surroundings::Surroundings;
use crate::security::SecurityAssociation;
use crate::wire::Identification;
use crate::wire::mip6::SequenceNumber;
use crate::{
    DataplaneChange, Family, HomeAddress, HomeAgentAddress, Stamp, Transmit, Transport, Tunnel,
};

/// How fast sequence numbers keep up with the time: faster than messages leave, and slow enough that
/// nothing of a former life is taken for new within half an hour.
const SEQUENCE_NUMBERS_PER_SECOND: u128 = 16;
/// The longest a home agent that failed is left alone.
const LONGEST_HOLD_OFF: Duration = Duration::from_secs(3600);
/// Failures that trying again won't cure keep it alone this much longer.
const LASTING_FACTOR: u32 = 12;

/// Everything a transition reads and writes outside of its entry.
pub(super) struct Context<'a> {
    pub(super) now: Instant,
    pub(super) config: &'a Config,
    pub(super) wall: &'a WallClock,
    pub(super) rng: &'a mut ChaCha12Rng,
    pub(super) memory: &'a mut Memory,
    pub(super) surroundings: &'a Surroundings,
    pub(super) out: &'a mut Outbox,
}

impl Context<'_> {
    /// Of the next message to a home agent of this family, under this association.
    pub(super) fn next_stamp(
        &mut self,
        family: Family,
        association: &SecurityAssociation,
    ) -> Stamp {
        if association.uses_nonces(family) {
            let nonce = self.memory.nonce(association.spi);
            return Identification::from_parts(nonce, self.rng.next_u32()).into();
        }
        let unix_time = self.wall.unix_time(self.now);
        Stamp {
            timestamp: Some(self.memory.clock.next(unix_time, self.rng)),
            sequence: signalling::is_numbered(family).then(|| self.memory.next_sequence(unix_time)),
        }
    }

    /// Whether the host can take this address from this agent.
    pub(super) fn check_home_address(
        &self,
        home_address: HomeAddress,
        agent: HomeAgentAddress,
    ) -> Result<(), FailureReason> {
        if !signalling::is_supported(home_address.ip()) {
            return Err(FailureReason::UnusableHomeAddress(home_address));
        }
        match self.out.carried.get(&home_address) {
            Some(other) if *other != agent => {
                return Err(FailureReason::HomeAddressTaken {
                    home_address,
                    agent: *other,
                });
            }
            // It may be among the host's addresses because we put it there.
            Some(_) => return Ok(()),
            None => {}
        }
        if self.surroundings.addresses.contains(&home_address.ip()) {
            return Err(FailureReason::LocalHomeAddress(home_address));
        }
        if self.surroundings.hold(home_address.ip()) {
            return Err(FailureReason::NearHomeAddress(home_address));
        }
        Ok(())
    }
}

/// What is remembered about a home agent beyond a single binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) clock: AgentClock,
    /// The last sequence number used or, where that was refused, the last one it accepted.
    pub(super) sequence: Option<SequenceNumber>,
    /// What it was heard in last.
    pub(super) transport: Option<Transport>,
    /// The index of the shared key it answered under last.
    pub(super) answered: Option<u32>,
    /// The nonce it gave last, and under which shared key.
    pub(super) given_nonce: Option<(u32, u32)>,
    /// When somebody last had us ask it whether it still holds the binding.
    pub(super) asked: Option<Instant>,
    pub(super) pace: Pace,
    /// What the next binding can begin with.
    pub(super) acquaintance: Option<StoredAcquaintance>,
    /// Until when it is left alone, and why, by those who insist on this.
    hold_off: Option<(Instant, FailureReason, Terms)>,
    failures: u32,
    pub(super) touched: Instant,
}

impl Memory {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            clock: AgentClock::default(),
            sequence: None,
            transport: None,
            answered: None,
            given_nonce: None,
            asked: None,
            pace: Pace::default(),
            acquaintance: None,
            hold_off: None,
            failures: 0,
            touched: now,
        }
    }

    /// Every message takes a later one. They keep up with the time, faster than messages may leave,
    /// so that a mobile node that lost its memory begins behind everything it sent before: what of
    /// that is still under way must not pass for new.
    fn next_sequence(&mut self, unix_time: Duration) -> SequenceNumber {
        let by_time = SequenceNumber(
            u16::try_from(unix_time.as_millis() * SEQUENCE_NUMBERS_PER_SECOND / 1000 % 0x1_0000)
                .unwrap_or_default(),
        );
        let next = match self.sequence {
            Some(last) if !by_time.is_after(last) => last.next(),
            Some(_) | None => by_time,
        };
        self.sequence = Some(next);
        next
    }

    /// What the next message under the shared key with this index repeats: before there is anything to
    /// repeat, any number does to learn the right one (RFC 5944, section 5.7.2).
    pub(super) fn nonce(&self, spi: u32) -> u32 {
        self.given_nonce
            .filter(|(under, _)| *under == spi)
            .map_or(0, |(_, nonce)| nonce)
    }

    /// Why the agent is left alone at present by who insists on this. Whoever answers for another name
    /// can have insisted on anything.
    pub(super) fn held_off(&self, terms: Terms, now: Instant) -> Option<FailureReason> {
        self.hold_off
            .filter(|(until, _, for_whom)| now < *until && *for_whom == terms)
            .map(|(_, reason, _)| reason)
    }

    pub(super) fn fail(
        &mut self,
        agent: HomeAgentAddress,
        reason: FailureReason,
        terms: Terms,
        config: &Config,
        now: Instant,
    ) {
        if self.hold_off.is_some_and(|(_, _, before)| before != terms) {
            self.failures = 0;
        }
        let factor = if reason.is_lasting(agent.family()) {
            LASTING_FACTOR
        } else {
            1
        };
        let doubled = 2u32.saturating_pow(self.failures.min(16));
        let hold_off = config
            .hold_off
            .saturating_mul(factor)
            .saturating_mul(doubled)
            .min(LONGEST_HOLD_OFF);
        self.failures = self.failures.saturating_add(1);
        self.hold_off = Some((now + hold_off, reason, terms));
    }

    pub(super) const fn succeed(&mut self) {
        self.hold_off = None;
        self.failures = 0;
    }
}

/// What waits for the host to fetch it.
#[derive(Debug)]
pub(super) struct Outbox {
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    snapshot_changed: bool,
    /// Which home addresses the data path carries, and for whom.
    pub(super) carried: BTreeMap<HomeAddress, HomeAgentAddress>,
    pub(super) counters: Counters,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self {
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            snapshot_changed: false,
            carried: BTreeMap::new(),
            counters: Counters::new(),
        }
    }

    pub(super) fn transmit(&mut self, transmit: Transmit) {
        self.transmits.push_back(transmit);
    }

    pub(super) fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    pub(super) fn install(&mut self, agent: HomeAgentAddress, tunnel: Tunnel) {
        self.carried.insert(tunnel.home_address, agent);
        self.event(Event::Dataplane(DataplaneChange::Install(tunnel)));
        self.snapshot_changed = true;
    }

    pub(super) fn remove(&mut self, home_address: HomeAddress) {
        self.carried.remove(&home_address);
        self.event(Event::Dataplane(DataplaneChange::Remove(home_address)));
        self.snapshot_changed = true;
    }

    pub(super) const fn snapshot_changed(&mut self) {
        self.snapshot_changed = true;
    }

    pub(super) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front().or_else(|| {
            std::mem::take(&mut self.snapshot_changed).then_some(Event::SnapshotChanged)
        })
    }
}
