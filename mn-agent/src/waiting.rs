//! Who waits for a binding: answers the relay holds, and people at `mn-agent bind`.

use std::collections::BTreeMap;
use std::fmt::Display;

use control::Reply;
use mobility_protocol::{HomeAddress, HomeAgentAddress};
use tokio::sync::{mpsc, oneshot};

/// One who waits.
pub(crate) enum Wanted {
    /// An answer the relay holds.
    Answer(oneshot::Sender<()>),
    /// A command line, which may want several bindings.
    Command {
        /// What it named.
        name: String,
        /// Where [`gather`] waits; it has room for all outcomes.
        outcomes: mpsc::Sender<Outcome>,
    },
}

/// What became of one binding that a command line wanted: one line for a person.
pub(crate) type Outcome = Result<String, String>;

/// Answers a command line once each binding it wanted stands or has failed: it was done if one of
/// them stands.
pub(crate) async fn gather(
    mut reply: oneshot::Sender<Reply>,
    mut outcomes: mpsc::Receiver<Outcome>,
) {
    let mut stand = Vec::new();
    let mut failed = Vec::new();
    loop {
        tokio::select! {
            outcome = outcomes.recv() => match outcome {
                Some(Ok(binding)) => stand.push(binding),
                Some(Err(reason)) => failed.push(reason),
                None if stand.is_empty() && failed.is_empty() => return,
                None => break,
            },
            () = reply.closed() => return,
        }
    }
    let answer = if stand.is_empty() {
        Reply::failed(failed.join("; "))
    } else {
        stand.extend(
            failed
                .into_iter()
                .map(|reason| format!("but not all of it: {reason}")),
        );
        Reply::done(stand.join("; "))
    };
    // Whoever asked may have gone away.
    let _ = reply.send(answer);
}

impl Wanted {
    /// There will be no binding: applications connect without.
    pub(crate) fn failed(self, reason: impl Display) {
        match self {
            Self::Answer(ready) => drop(ready.send(())),
            Self::Command { outcomes, .. } => drop(outcomes.try_send(Err(reason.to_string()))),
        }
    }

    fn active(self, agent: HomeAgentAddress, home_address: HomeAddress) {
        match self {
            Self::Answer(ready) => drop(ready.send(())),
            Self::Command { name, outcomes } => {
                let binding = format!("{name} is reached from {home_address} through {agent}");
                drop(outcomes.try_send(Ok(binding)));
            }
        }
    }

    fn is_gone(&self) -> bool {
        match self {
            Self::Answer(ready) => ready.is_closed(),
            Self::Command { outcomes, .. } => outcomes.is_closed(),
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
