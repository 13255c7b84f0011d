//! One entry of the binding update list: the binding with one home agent, its states and timers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::attempt::{Attempt, Outstanding, Purpose};
use super::authority::Authority;
use super::carriage::collect_correspondents;
use super::config::{Config, Usage};
use super::context::Context;
use super::event::Event;
use super::transitions::Input;
use super::usage::{Demand, PathTracker, UseTracker};
use crate::{CareOfAddress, HomeAddress, HomeAgentAddress, Path};

/// Due timers one call works off; more than any state has.
const MAX_STEPS: usize = 16;

/// The binding with one home agent.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) agent: HomeAgentAddress,
    /// Where messages go: the agent, or where it sent us (code 136).
    pub(super) signalling: IpAddr,
    pub(super) authority: Authority,
    pub(super) names: BTreeMap<String, BTreeSet<IpAddr>>,
    pub(super) correspondents: Arc<[IpNet]>,
    /// Those of them that are left to the sockets that have the home address.
    pub(super) withdrawn: BTreeSet<IpAddr>,
    /// What the kernel would use.
    pub(super) preferred: Option<Path>,
    /// What messages leave by: the preferred path, unless that one is avoided.
    pub(super) path: Option<Path>,
    /// The care-of address of the last path there was, how many there have been, and the last of
    /// them a message has left from. Only an answer to the present attachment confirms anything:
    /// those of earlier ones may overtake each other.
    pub(super) attached_as: Option<CareOfAddress>,
    pub(super) attachment: u64,
    pub(super) told: Option<u64>,
    /// Whether the path the data path uses still works.
    pub(super) usable: bool,
    pub(super) avoided: Option<Avoided>,
    pub(super) outstanding: Outstanding,
    pub(super) usage: UseTracker,
    pub(super) traffic: PathTracker,
    /// The address sockets may still have after a loss.
    pub(super) former_home_address: Option<HomeAddress>,
    pub(super) state: State,
}

/// A path on which nobody answered while the one before still works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Avoided {
    pub(super) path: Path,
    pub(super) until: Instant,
    pub(super) gap: Duration,
}

/// A binding the home agent has granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Established {
    pub(super) home_address: HomeAddress,
    /// The other end of the tunnel.
    pub(super) tunnel_end: IpAddr,
    /// What the data path uses.
    pub(super) installed: Path,
    /// What the home agent has acknowledged last, and by which attachment that was asked.
    pub(super) confirmed: CareOfAddress,
    pub(super) attachment: u64,
    pub(super) expires: Option<Instant>,
    pub(super) refresh: Option<Instant>,
    pub(super) since: Instant,
    pub(super) handovers: u64,
    /// Whether the data path carries it.
    pub(super) carried: bool,
}

/// The states of a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// Wanted, and no path to ask by. `until` is absent while sockets wait for the address.
    WaitingForPath { until: Option<Instant> },
    /// A home address is asked for. `held` is a binding that was being released and is wanted
    /// again: its data path stays until the answer.
    Registering {
        attempt: Attempt,
        held: Option<Established>,
    },
    /// It stands.
    Active { binding: Established },
    /// It stands, and the home agent is asked to renew it or whether it still does.
    Refreshing {
        binding: Established,
        attempt: Attempt,
    },
    /// The home agent is told a new care-of address.
    Moving {
        binding: Established,
        attempt: Attempt,
    },
    /// It is given back.
    Releasing {
        binding: Established,
        attempt: Attempt,
    },
    /// It was asked for and is no longer wanted; what the answer brings is given back.
    Abandoning { until: Instant },
    /// Nothing is left.
    Ended,
}

impl Entry {
    pub(super) fn new(
        agent: HomeAgentAddress,
        authority: Authority,
        context: &Context<'_>,
    ) -> Self {
        Self {
            agent,
            signalling: agent.ip(),
            authority,
            names: BTreeMap::new(),
            correspondents: Arc::default(),
            withdrawn: BTreeSet::new(),
            preferred: None,
            path: None,
            attached_as: None,
            attachment: 0,
            told: None,
            usable: false,
            avoided: None,
            outstanding: Outstanding::default(),
            usage: UseTracker::new(context.config, context.now),
            traffic: PathTracker::default(),
            former_home_address: None,
            state: State::WaitingForPath {
                until: Some(context.now + context.config.unused),
            },
        }
    }

    /// Take up a binding that stood before a restart: as one whose care-of address has to be told
    /// anew.
    pub(super) fn resume(
        agent: HomeAgentAddress,
        signalling: IpAddr,
        authority: Authority,
        names: BTreeMap<String, BTreeSet<IpAddr>>,
        binding: Established,
        context: &mut Context<'_>,
    ) -> Self {
        let mut entry = Self::new(agent, authority, context);
        entry.signalling = signalling;
        entry.names = names;
        entry.correspondents = collect_correspondents(&entry.names);
        let mut binding = binding;
        entry.install(&mut binding, context);
        context.out.event(Event::Active {
            agent,
            home_address: binding.home_address,
        });
        entry.state = State::Moving {
            binding,
            attempt: Attempt::new(Purpose::Update),
        };
        entry
    }

    pub(super) const fn names(&self) -> &BTreeMap<String, BTreeSet<IpAddr>> {
        &self.names
    }

    pub(super) fn correspondents(&self) -> impl Iterator<Item = IpAddr> {
        self.correspondents.iter().map(IpNet::addr)
    }

    /// The binding, where the home agent has granted one.
    pub(super) const fn binding(&self) -> Option<&Established> {
        match &self.state {
            State::Active { binding }
            | State::Refreshing { binding, .. }
            | State::Moving { binding, .. }
            | State::Releasing { binding, .. } => Some(binding),
            State::Registering { held, .. } => held.as_ref(),
            State::WaitingForPath { .. } | State::Abandoning { .. } | State::Ended => None,
        }
    }

    /// The care-of address requests leave from.
    pub(super) fn care_of(&self) -> Option<CareOfAddress> {
        self.path.map(|path| path.care_of)
    }

    /// Whether sockets can use a home address right now and for longer.
    pub(super) const fn stands(&self) -> bool {
        matches!(
            self.state,
            State::Active { .. } | State::Refreshing { .. } | State::Moving { .. }
        )
    }

    /// What the binding was begun with does not do.
    pub(super) fn begin_anew(&mut self, authority: Authority, context: &mut Context<'_>) {
        self.authority = authority;
        self.handle(Input::Distrusted, context);
    }

    /// Another name leads here, or the same one to other correspondents.
    pub(super) fn add_name(
        &mut self,
        name: &str,
        correspondents: &BTreeSet<IpAddr>,
        context: &mut Context<'_>,
    ) {
        self.names
            .entry(name.to_owned())
            .or_default()
            .extend(correspondents);
        self.offer(correspondents, context);
        self.usage.expect(context.config, context.now);
        self.handle(Input::Wanted, context);
    }

    /// A name no longer leads here. The binding goes with the last one.
    pub(super) fn remove_name(&mut self, name: &str, context: &mut Context<'_>) -> bool {
        if self.names.remove(name).is_none() {
            return false;
        }
        if self.names.is_empty() {
            self.handle(Input::Unwanted, context);
        } else {
            self.update_correspondents(context);
        }
        true
    }

    pub(super) fn handle_path(
        &mut self,
        preferred: Option<Path>,
        usable: bool,
        context: &mut Context<'_>,
    ) {
        self.preferred = preferred;
        self.usable = usable;
        if self
            .avoided
            .is_some_and(|avoided| !usable || preferred != Some(avoided.path))
        {
            self.avoided = None;
        }
        self.choose_path(context);
    }

    pub(super) fn handle_usage(&mut self, usage: Usage, context: &mut Context<'_>) {
        let demand = self.usage.handle_usage(usage, context.config, context.now);
        self.obey(demand, context);
    }

    pub(super) fn handle_traffic(&mut self, sent: u64, received: u64, context: &mut Context<'_>) {
        self.usage.handle_traffic(sent, context.now);
        let doubt = self
            .traffic
            .handle_traffic(sent, received, context.config, context.now);
        if doubt && matches!(self.state, State::Active { .. }) {
            context.out.counters.probes += 1;
            self.handle(Input::Doubt, context);
        }
    }

    /// The state machine, and whatever becomes due at once by its step.
    pub(super) fn handle(&mut self, input: Input, context: &mut Context<'_>) {
        self.step(input, context);
        self.handle_timeout(context);
    }

    pub(super) fn next_timeout(&self, config: &Config) -> Option<Instant> {
        let attempt = self.attempt().and_then(Attempt::due);
        let wait = match self.state {
            State::WaitingForPath { until } => until,
            State::Abandoning { until } => Some(until),
            State::Registering { .. }
            | State::Active { .. }
            | State::Refreshing { .. }
            | State::Moving { .. }
            | State::Releasing { .. }
            | State::Ended => None,
        };
        let expiry = self.binding().and_then(|binding| binding.expires);
        let refresh = if let State::Active { binding } = &self.state {
            binding.refresh
        } else {
            None
        };
        let usage = self
            .usage_home_address()
            .map(|_| self.usage.next_timeout(config));
        let avoided = self.retry_avoided_at();
        [attempt, wait, expiry, refresh, usage, avoided]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn handle_timeout(&mut self, context: &mut Context<'_>) {
        for _ in 0..MAX_STEPS {
            let now = context.now;
            let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
            let binding_expires = self.binding().and_then(|binding| binding.expires);
            if due(binding_expires) {
                self.step(Input::Expired, context);
            } else if let Some(home_address) = self.usage_home_address()
                && self.usage.next_timeout(context.config) <= now
            {
                match self.usage.handle_timeout(context.config, now) {
                    Some(Demand::Look) => {
                        context.out.event(Event::CheckUsage {
                            agent: self.agent,
                            home_address,
                        });
                    }
                    Some(Demand::Release) => self.step(Input::Unwanted, context),
                    None => {}
                }
            } else if due(self.attempt().and_then(Attempt::due)) {
                self.step(Input::Due, context);
            } else if due(self.retry_avoided_at()) {
                self.choose_path(context);
            } else if let State::Active {
                binding: Established {
                    refresh: Some(at), ..
                },
            } = &self.state
                && *at <= now
            {
                self.step(Input::Refresh, context);
            } else if let State::WaitingForPath { until: Some(until) } | State::Abandoning { until } =
                &self.state
                && *until <= now
            {
                self.step(Input::WaitOver, context);
            } else {
                return;
            }
        }
    }

    /// Stop at once: one message, and the data path gone.
    pub(super) fn stop(&mut self, context: &mut Context<'_>) {
        self.handle(Input::Unwanted, context);
        let state = std::mem::replace(&mut self.state, State::Ended);
        if let State::Releasing { binding, .. } = state {
            self.finish(binding, context);
        }
    }
}

/// What timers depend on.
impl Entry {
    pub(super) const fn attempt(&self) -> Option<&Attempt> {
        match &self.state {
            State::Registering { attempt, .. }
            | State::Refreshing { attempt, .. }
            | State::Moving { attempt, .. }
            | State::Releasing { attempt, .. } => Some(attempt),
            State::WaitingForPath { .. }
            | State::Active { .. }
            | State::Abandoning { .. }
            | State::Ended => None,
        }
    }

    pub(super) const fn attempt_mut(&mut self) -> Option<&mut Attempt> {
        match &mut self.state {
            State::Registering { attempt, .. }
            | State::Refreshing { attempt, .. }
            | State::Moving { attempt, .. }
            | State::Releasing { attempt, .. } => Some(attempt),
            State::WaitingForPath { .. }
            | State::Active { .. }
            | State::Abandoning { .. }
            | State::Ended => None,
        }
    }

    /// The home address whose sockets decide about the binding.
    pub(super) fn usage_home_address(&self) -> Option<HomeAddress> {
        match &self.state {
            State::Active { binding }
            | State::Refreshing { binding, .. }
            | State::Moving { binding, .. } => Some(binding.home_address),
            State::WaitingForPath { .. } | State::Registering { held: None, .. } => {
                self.former_home_address
            }
            State::Registering { held: Some(_), .. }
            | State::Releasing { .. }
            | State::Abandoning { .. }
            | State::Ended => None,
        }
    }

    pub(super) fn obey(&mut self, demand: Option<Demand>, context: &mut Context<'_>) {
        match demand {
            Some(Demand::Release) if self.usage_home_address().is_some() => {
                self.handle(Input::Unwanted, context)
            }
            Some(Demand::Release | Demand::Look) | None => {}
        }
    }
}
