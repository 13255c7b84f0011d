//! The mobile node's machine: the binding update list, and who is told what when.
//!
//! One binding per address of a home agent, hence per family, shared by all names and correspondents behind it. The machine has
//! no sockets and no clock. Its host feeds it lookups ([`MobileNode::bind`]), paths
//! ([`MobileNode::handle_path`]), what came in on the signalling socket
//! ([`MobileNode::handle_input`]), looks at sockets ([`MobileNode::handle_usage`]) and tunnel
//! counters ([`MobileNode::handle_traffic`]); after each of these, and whenever
//! [`MobileNode::poll_timeout`] says so, it fetches messages to send and events to execute.
//!
//! # Life of a binding
//!
//! | State | Left when |
//! |---|---|
//! | waiting for a path | there is one, or [`Config::unused`] has passed |
//! | registering | an address is granted, or six requests in 63 seconds got nothing |
//! | active | 80 % of the lifetime have passed, the path changes or seems dead, or nobody uses it |
//! | refreshing | the home agent renews it, or its lifetime ends |
//! | moving | the home agent acknowledges the new care-of address, or the lifetime ends |
//! | releasing | the home agent acknowledges the release, or four messages got no answer |
//!
//! A home agent that does not know a binding (any more) ends it at once, and a new one is asked
//! for; so does a lifetime that ends. Other refusals leave a standing binding as it is, and are
//! asked about again after half a minute at the earliest. A refused or unanswered first request
//! ends in [`Event::Failed`], and for a while after it every further [`MobileNode::bind`] fails at
//! once, so that applications are not delayed again and again.
//!
//! # Moving
//!
//! A new care-of address is told to the home agent at once. If the path in use no longer works,
//! the data path is switched without waiting for the answer (break before make); if it does, it
//! stays until the answer has come over the new path (make before break). A new path that stays
//! silent while the old one works is left for half a minute, and the home agent told to stay.
//!
//! A home agent that accepts a new care-of address may want to see that we are there: its answer has a
//! cookie, and the next update, which follows at once, brings it back. The data path does not wait.
//!
//! # Coming back
//!
//! The key agreed on with a home agent and its last token outlive the binding
//! ([`MobileNode::acquaintances`]). The next binding from the same care-of address begins with them, and
//! takes one round trip.
//!
//! # Several keys
//!
//! Where several keys are shared with a home agent, so that one can be changed on one side after the other,
//! messages that get no answer take turns between them. What was answered is what later messages are
//! authenticated with; refreshes, which have the time, try the preferred key first.
//!
//! # Over IPv6
//!
//! Messages are Mobility Headers. Of those that get no answer, every other one goes in UDP; what was
//! answered is what later messages go in. Refreshes, which have the time, try the Mobility Header
//! first again.

mod acquaintance;
mod attempt;
mod authority;
mod carriage;
mod clock;
mod config;
mod context;
mod credentials;
mod entry;
mod event;
mod input;
mod outcomes;
mod shared_keys;
mod signalling;
mod snapshot;
mod status;
mod surroundings;
mod transitions;
mod usage;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;

use authority::{Authority, Fitness};
use clock::{Step, WallClock};
use context::{Context, Memory, Outbox};
use entry::{Entry, State};
use transitions::Input;

pub use crate::Refusal;
pub use acquaintance::{MAX_ACQUAINTANCES, StoredAcquaintance};
pub use authority::StoredAgreement;
pub use config::{Config, MAX_AGENTS, MAX_CORRESPONDENTS, MAX_NAMES, Usage};
pub use credentials::{Credentials, Pin};
pub use event::{BindError, Event, FailureReason, LossReason};
pub use snapshot::StoredBinding;
pub use status::{BindingState, BindingView};
pub use surroundings::Surroundings;

use crate::{Datagram, Family, HomeAddress, HomeAgentAddress, Path, Transmit};

/// The longest identity the option of Mobile IPv6 has room for (RFC 4283, section 3).
const LONGEST_IPV6_IDENTITY: usize = 254;

/// A wall clock that jumps ahead by this much means that the host slept.
const SLEPT: Duration = Duration::from_secs(5);

/// A mobile node.
#[derive(Debug)]
pub struct MobileNode {
    config: Config,
    rng: ChaCha12Rng,
    wall: WallClock,
    surroundings: Surroundings,
    entries: BTreeMap<HomeAgentAddress, Entry>,
    memories: BTreeMap<HomeAgentAddress, Memory>,
    out: Outbox,
}

impl MobileNode {
    /// A mobile node without bindings. `seed` must be unpredictable to others, `unix_time` is the
    /// time since 1970 at `now`.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32], now: Instant, unix_time: Duration) -> Self {
        Self {
            config,
            rng: ChaCha12Rng::from_seed(seed),
            wall: WallClock::new(unix_time, now),
            surroundings: Surroundings::default(),
            entries: BTreeMap::new(),
            memories: BTreeMap::new(),
            out: Outbox::new(),
        }
    }

    /// The correspondents of `name` shall be reached through `agent`. Idempotent; names and
    /// correspondents add up. Follow it with [`MobileNode::handle_path`].
    ///
    /// It is answered by [`Event::Active`] or [`Event::Failed`], at once where the answer is known:
    /// because the binding stands, or because the agent failed a short while ago for who has such
    /// `credentials`. A binding that other names have already is held to them as well; one that was
    /// begun with less than is configured begins anew. Correspondents that were withdrawn are back.
    ///
    /// # Errors
    /// [`BindError`] says why nothing was begun or changed.
    pub fn bind(
        &mut self,
        agent: HomeAgentAddress,
        name: &str,
        correspondents: &[IpAddr],
        credentials: impl Into<Credentials>,
        now: Instant,
    ) -> Result<(), BindError> {
        let correspondents = self.check_bind(agent, name, correspondents)?;
        let credentials = credentials.into();
        let terms = credentials.terms();
        let fitness = match self.entries.get_mut(&agent) {
            Some(entry) => entry.authority.fit(&credentials),
            None => Fitness::Fits,
        };
        if fitness == Fitness::Contradicts {
            return Err(BindError::OtherKey(agent));
        }
        if !self.entries.get(&agent).is_some_and(Entry::stands)
            && let Some(reason) = self
                .memories
                .get(&agent)
                .and_then(|memory| memory.held_off(terms, now))
        {
            self.out.event(Event::Failed { agent, reason });
            return Ok(());
        }
        self.remember(agent, now);
        if fitness == Fitness::TooWeak || !self.entries.contains_key(&agent) {
            self.with_context(agent, now, |entries, context| {
                let authority = Authority::new(agent, credentials, context);
                match entries.get_mut(&agent) {
                    Some(entry) => entry.begin_anew(authority, context),
                    None => {
                        entries.insert(agent, Entry::new(agent, authority, context));
                    }
                }
            });
        }
        self.with_entry(agent, now, |entry, context| {
            entry.add_name(name, &correspondents, context)
        });
        Ok(())
    }

    /// New sockets toward these correspondents shall not take the home address that `agent` lends, until
    /// they are bound again. Sockets that have it keep it, and their packets their way. Unknown agents
    /// and correspondents are no error.
    pub fn withdraw(
        &mut self,
        agent: HomeAgentAddress,
        correspondents: &BTreeSet<IpAddr>,
        now: Instant,
    ) {
        self.with_entry(agent, now, |entry, context| {
            entry.withdraw(correspondents, context)
        });
    }

    /// The correspondents toward which new sockets take a home address, or will when there is one,
    /// and the home agent that lends it.
    #[must_use]
    pub fn captured(&self) -> BTreeMap<IpAddr, HomeAgentAddress> {
        self.entries
            .values()
            .flat_map(|entry| {
                let taken = |one: &IpAddr| !entry.withdrawn.contains(one);
                entry
                    .correspondents()
                    .filter(taken)
                    .map(|one| (one, entry.agent))
            })
            .collect()
    }

    /// Let the binding with `agent` go, used or not. [`Event::Released`] follows when the agent has
    /// answered, or after 15 seconds.
    pub fn release(&mut self, agent: HomeAgentAddress, now: Instant) {
        self.with_entry(agent, now, |entry, context| {
            entry.handle(Input::Unwanted, context)
        });
    }

    /// Let `name` go, and with it the bindings that served no other. False if it is not known.
    pub fn release_name(&mut self, name: &str, now: Instant) -> bool {
        let mut known = false;
        for agent in self.agents() {
            self.with_entry(agent, now, |entry, context| {
                known |= entry.remove_name(name, context)
            });
        }
        known
    }

    /// Stop: one message to each home agent, and nothing left in the data path when the outputs
    /// have been fetched.
    pub fn release_all(&mut self, now: Instant) {
        for agent in self.agents() {
            self.with_entry(agent, now, Entry::stop);
        }
    }

    /// The home agents there are bindings with, or are going to be: those to report paths for.
    #[must_use]
    pub fn agents(&self) -> Vec<HomeAgentAddress> {
        self.entries.keys().copied().collect()
    }

    /// What the kernel would now use toward `agent`, and whether the path the data path uses still
    /// works (its address is assigned, its interface has a carrier). To be told after each
    /// [`MobileNode::bind`] and whenever links, addresses or routes have changed; repeating it does
    /// no harm. Unknown agents are no error.
    pub fn handle_path(
        &mut self,
        agent: HomeAgentAddress,
        preferred: Option<Path>,
        current_usable: bool,
        now: Instant,
    ) {
        // A home address can't be its own care-of address.
        let preferred = preferred.filter(|path| {
            let care_of = path.care_of.ip();
            signalling::is_supported(care_of)
                && path.care_of.family() == agent.family()
                && self.agent_of(HomeAddress(care_of)).is_none()
        });
        self.with_entry(agent, now, |entry, context| {
            entry.handle_path(preferred, current_usable, context)
        });
    }

    /// What the host has and sees around it. A home address that is part of that is refused, and so is
    /// a home agent at one of the host's own addresses.
    pub fn handle_surroundings(&mut self, surroundings: Surroundings) {
        self.surroundings = surroundings;
    }

    /// Something arrived on the signalling socket. Anybody may have sent it.
    pub fn handle_input(&mut self, datagram: Datagram<'_>, now: Instant) {
        if let Err(reason) = self.try_input(datagram, now) {
            self.out.counters.drop(reason);
        }
    }

    /// What a look at the sockets with the home address of `agent` found: in answer to
    /// [`Event::CheckUsage`], or unasked after one of them has appeared or ended (and then only).
    pub fn handle_usage(&mut self, agent: HomeAgentAddress, usage: Usage, now: Instant) {
        self.with_entry(agent, now, |entry, context| {
            entry.handle_usage(usage, context)
        });
    }

    /// How many packets the tunnel of `agent` has sent and received so far. About once a second
    /// while there is a binding: dead paths and use without connections are noticed by it.
    pub fn handle_traffic(
        &mut self,
        agent: HomeAgentAddress,
        sent: u64,
        received: u64,
        now: Instant,
    ) {
        self.with_entry(agent, now, |entry, context| {
            entry.handle_traffic(sent, received, context)
        });
    }

    /// The wall clock was set, or the host resumed from sleep. Bindings are checked after sleep.
    pub fn handle_unix_time(&mut self, unix_time: Duration, now: Instant) {
        match self.wall.set(unix_time, now) {
            Step::Back(step) => {
                for memory in self.memories.values_mut() {
                    memory.clock.compensate(step);
                }
            }
            Step::Forward(step) if step >= SLEPT => {
                for agent in self.agents() {
                    self.with_entry(agent, now, |entry, context| {
                        entry.handle(Input::Doubt, context)
                    });
                }
            }
            Step::Forward(_) | Step::Steady => {}
        }
    }

    /// The time [`MobileNode::poll_timeout`] named has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.next_timeout(&self.config).is_some_and(|at| at <= now))
            .map(|(agent, _)| *agent)
            .collect();
        for agent in due {
            self.with_entry(agent, now, Entry::handle_timeout);
        }
    }

    /// The next message to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.poll_transmit()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.out.poll_event()
    }

    /// When [`MobileNode::handle_timeout`] is to be called at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.entries
            .values()
            .filter_map(|entry| entry.next_timeout(&self.config))
            .min()
    }

    /// The home agent that lends `home_address`.
    #[must_use]
    pub fn agent_of(&self, home_address: HomeAddress) -> Option<HomeAgentAddress> {
        self.out.carried.get(&home_address).copied()
    }

    /// What has happened so far, by name: drops as `drop_<reason>`, acknowledgements as
    /// `reply_code_<number>` over IPv4 and `reply_status_<number>` over IPv6.
    #[must_use]
    pub fn counters(&self) -> Vec<(Cow<'static, str>, u64)> {
        self.out.counters.list()
    }
}

impl MobileNode {
    fn check_bind(
        &self,
        agent: HomeAgentAddress,
        name: &str,
        correspondents: &[IpAddr],
    ) -> Result<BTreeSet<IpAddr>, BindError> {
        let is_lent = self.agent_of(HomeAddress(agent.ip())).is_some();
        if is_lent || !self.surroundings.lead_to(agent.ip()) {
            return Err(BindError::UnusableAgent(agent));
        }
        let correspondents: BTreeSet<_> = correspondents
            .iter()
            .copied()
            .filter(|address| {
                signalling::is_supported(*address) && Family::of(*address) == agent.family()
            })
            .collect();
        if correspondents.is_empty() {
            return Err(BindError::NoCorrespondent);
        }
        for other in self.entries.values().filter(|entry| entry.agent != agent) {
            if let Some(correspondent) = other
                .correspondents()
                .find(|address| correspondents.contains(address))
            {
                return Err(BindError::CorrespondentTaken {
                    correspondent,
                    agent: other.agent,
                });
            }
        }
        let identity = self.config.identity.as_bytes().len();
        if agent.family() == Family::Ipv6 && identity > LONGEST_IPV6_IDENTITY {
            return Err(BindError::LongIdentity(identity));
        }
        match self.entries.get(&agent) {
            None if self.entries.len() >= MAX_AGENTS => {
                Err(BindError::TooManyAgents(self.entries.len()))
            }
            None => Ok(correspondents),
            Some(entry) => {
                if !entry.names().contains_key(name) && entry.names().len() >= MAX_NAMES {
                    return Err(BindError::TooManyNames(entry.names().len()));
                }
                let total = entry
                    .correspondents()
                    .chain(correspondents.iter().copied())
                    .collect::<BTreeSet<_>>();
                if total.len() > MAX_CORRESPONDENTS {
                    return Err(BindError::TooManyCorrespondents(total.len()));
                }
                Ok(correspondents)
            }
        }
    }

    /// Run `act` on an entry, and drop the entry when it has ended.
    fn with_entry(
        &mut self,
        agent: HomeAgentAddress,
        now: Instant,
        act: impl FnOnce(&mut Entry, &mut Context<'_>),
    ) {
        self.with_context(agent, now, |entries, context| {
            if let Some(entry) = entries.get_mut(&agent) {
                act(entry, context);
                if entry.state == State::Ended {
                    entries.remove(&agent);
                }
            }
        });
    }

    fn with_context(
        &mut self,
        agent: HomeAgentAddress,
        now: Instant,
        act: impl FnOnce(&mut BTreeMap<HomeAgentAddress, Entry>, &mut Context<'_>),
    ) {
        let Some(memory) = self.memories.get_mut(&agent) else {
            return;
        };
        memory.touched = now;
        let mut context = Context {
            now,
            config: &self.config,
            wall: &self.wall,
            rng: &mut self.rng,
            memory,
            surroundings: &self.surroundings,
            out: &mut self.out,
        };
        act(&mut self.entries, &mut context);
    }

    /// Make room for what is to be remembered about this agent.
    fn remember(&mut self, agent: HomeAgentAddress, now: Instant) {
        if !self.memories.contains_key(&agent) && self.memories.len() >= 2 * MAX_AGENTS {
            let oldest = self
                .memories
                .iter()
                .filter(|(agent, _)| !self.entries.contains_key(agent))
                .min_by_key(|(_, memory)| memory.touched)
                .map(|(agent, _)| *agent);
            if let Some(oldest) = oldest {
                self.memories.remove(&oldest);
            }
        }
        self.memories
            .entry(agent)
            .or_insert_with(|| Memory::new(now));
    }
}

#[cfg(test)]
mod tests;
