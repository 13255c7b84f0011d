//! Who waits for a binding: answers the relay holds, and people at `mn-agent bind`.

use std::collections::BTreeMap;
use std::fmt::Display;

use control::Reply;
use mobility_protocol::{HomeAddress, HomeAgentAddress};
use tokio::sync::oneshot;

/// One who waits.
pub(crate) enum Wanted {
    /// An answer the relay holds.
    Answer(oneshot::Sender<()>),
    /// A command line.
    Command {
        /// What it named.
        name: String,
        /// Where it waits.
        reply: oneshot::Sender<Reply>,
    },
}

impl Wanted {
    /// The name a command wants bound.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Answer(_) => "",
            Self::Command { name, .. } => name,
        }
    }

    /// There will be no binding: applications connect without.
    pub(crate) fn failed(self, reason: impl Display) {
        match self {
            Self::Answer(ready) => drop(ready.send(())),
            Self::Command { reply, .. } => drop(reply.send(Reply::failed(reason))),
        }
    }

    fn active(self, agent: HomeAgentAddress, home_address: HomeAddress) {
        match self {
            Self::Answer(ready) => drop(ready.send(())),
            Self::Command { name, reply } => {
                drop(reply.send(Reply::done(format!(
                    "{name} is reached from {home_address} through {agent}"
                ))));
            }
        }
    }

    fn is_gone(&self) -> bool {
        match self {
            Self::Answer(ready) => ready.is_closed(),
            Self::Command { reply, .. } => reply.is_closed(),
        }
    }
}

/// Those who wait, by home agent. The relay and the control socket bound their number; those who
/// gave up are forgotten at the next arrival.
#[derive(Default)]
pub(crate) struct Waiting(BTreeMap<HomeAgentAddress, Vec<Wanted>>);

impl Waiting {
    /// One more.
    pub(crate) fn add(&mut self, agent: HomeAgentAddress, wanted: Wanted) {
        let waiting = self.0.entry(agent).or_default();
        waiting.retain(|wanted| !wanted.is_gone());
        waiting.push(wanted);
    }

    /// The binding stands.
    pub(crate) fn active(&mut self, agent: HomeAgentAddress, home_address: HomeAddress) {
        for wanted in self.0.remove(&agent).unwrap_or_default() {
            wanted.active(agent, home_address);
        }
    }

    /// There is no binding.
    pub(crate) fn failed(&mut self, agent: HomeAgentAddress, reason: &impl Display) {
        for wanted in self.0.remove(&agent).unwrap_or_default() {
            wanted.failed(reason);
        }
    }
}
