//! Who wants bindings: applications, whose lookups the relay reports, and people at the command line.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use control::server::Asked;
use control::{Reply, Request};
use mobility_protocol::mobile_node::{Credentials, Pin};
use mobility_protocol::security::PublicKey;
use mobility_protocol::{Family, HomeAgentAddress};
use name_relay::{AgentKey, Contradiction, DiscoverError, Discovery, Found, Report};
use tokio::sync::{mpsc, oneshot};

use super::{DATAPLANE_FAILURES, Daemon};
use crate::status;
use crate::waiting::{self, Wanted};

/// What the lookup for `mn-agent bind NAME` brought.
pub(super) struct Lookup {
    name: String,
    reply: oneshot::Sender<Reply>,
    result: Result<Vec<Found>, DiscoverError>,
}

impl Daemon {
    pub(super) async fn reported(&mut self, report: Report) {
        match report {
            Report::Discovery(discovery) => self.discovered(discovery).await,
            Report::Contradiction(contradiction) => self.contradicted(contradiction).await,
        }
    }

    /// Another name than those that led to a home agent has its correspondents' addresses, and not
    /// that home agent. The answer waits until no new socket is led there.
    async fn contradicted(&mut self, contradiction: Contradiction) {
        let failures = self.errors.get(DATAPLANE_FAILURES).copied();
        for (correspondent, agent) in contradiction.captured {
            tracing::debug!(%correspondent, %agent, "withdrawn: another name gives it without this home agent");
            self.machine
                .withdraw(agent.into(), &[correspondent].into(), Instant::now());
        }
        self.finish_round().await;
        self.tell_captured();
        if self.errors.get(DATAPLANE_FAILURES).copied() == failures {
            // The answer may have been given up.
            let _ = contradiction.withdrawn.send(());
        }
    }

    /// What the machine captures is what the relay compares answers with.
    pub(super) fn tell_captured(&self) {
        let captured = self.machine.captured();
        let captured = captured.into_iter().map(|(one, agent)| (one, agent.ip()));
        self.relay.set_captured(captured.collect());
    }

    /// A name with a home agent was looked up: the answer waits for the binding.
    async fn discovered(&mut self, discovery: Discovery) {
        let Discovery {
            name,
            correspondents,
            agents,
            key,
            ready,
        } = discovery;
        let wanted = Wanted::Answer(ready);
        self.bind(&name, &correspondents, &agents, key, wanted)
            .await;
    }

    /// A name was to be bound: in each family that has a home agent.
    pub(super) async fn found(&mut self, lookup: Lookup) {
        let Lookup {
            name,
            reply,
            result,
        } = lookup;
        let families = match result {
            Ok(families) => families,
            // Whoever asked may have gone away.
            Err(error) => return drop(reply.send(Reply::failed(error))),
        };
        let (outcomes, gathered) = mpsc::channel(families.len().max(1));
        tokio::spawn(waiting::gather(reply, gathered));
        for Found {
            correspondents,
            agents,
            key,
        } in families
        {
            let wanted = Wanted::Command {
                name: name.clone(),
                outcomes: outcomes.clone(),
            };
            self.bind(&name, &correspondents, &agents, key, wanted)
                .await;
        }
    }

    pub(super) async fn bind(
        &mut self,
        name: &str,
        correspondents: &[IpAddr],
        agents: &[IpAddr],
        key: Option<AgentKey>,
        wanted: Wanted,
    ) {
        let Some(address) = agents.first() else {
            return wanted.failed("the home agent has no address");
        };
        let agent = HomeAgentAddress(*address);
        let family = Family::of(*address);
        if !self.dataplane.carries(family) {
            return wanted.failed(format_args!("{family} isn't carried here"));
        }
        let correspondents = self.relay.capture(*address, correspondents);
        if correspondents.is_empty() {
            return wanted.failed("other names have its addresses without this home agent");
        }
        let credentials = self.credentials(name, agent, key);
        self.tell_surroundings();
        let now = Instant::now();
        match self
            .machine
            .bind(agent, name, &correspondents, credentials, now)
        {
            Ok(()) => {
                self.waiting.add(agent, wanted);
                self.look_at_path(agent).await;
            }
            Err(error) => {
                self.count("bind_refused");
                tracing::debug!(%name, %agent, %error, "no binding");
                wanted.failed(error);
                self.tell_captured();
            }
        }
    }

    /// Configured associations before all else; a key that is configured, or else published, binds who else
    /// may answer.
    pub(super) fn credentials(
        &self,
        name: &str,
        agent: HomeAgentAddress,
        key: Option<AgentKey>,
    ) -> Credentials {
        let cha = format!("cha.{name}");
        let mut associations = self.config.associations(&cha, agent.ip()).cloned();
        match associations.next() {
            Some(preferred) => Credentials::Associations {
                preferred,
                others: associations.collect(),
            },
            None => Credentials::Agreement {
                pinned: self
                    .config
                    .pinned_key(&cha, agent.ip())
                    .map(Pin::Configured)
                    .or(key.map(|key| Pin::Published(PublicKey(key)))),
            },
        }
    }

    pub(super) fn answer(&mut self, asked: Asked) {
        let Asked { request, reply } = asked;
        let answer = match request {
            Request::Status => Reply::MnAgent(Box::new(self.status())),
            Request::Bind { name } => {
                let name = canonical(&name);
                let relay = Arc::clone(&self.relay);
                self.lookups.spawn(async move {
                    let result = relay.discover(&name).await;
                    Lookup {
                        name,
                        reply,
                        result,
                    }
                });
                return;
            }
            Request::Release { name } => {
                let name = canonical(&name);
                if self.machine.release_name(&name, Instant::now()) {
                    Reply::done(format!("{name} released"))
                } else {
                    Reply::failed(format!("there is no binding for {name}"))
                }
            }
            Request::Revoke { .. } => Reply::failed("mn-agent lends no addresses; ask chad"),
        };
        // Whoever asked may have gone away.
        let _ = reply.send(answer);
    }

    pub(super) fn status(&self) -> control::status::MnAgentStatus {
        let shown = status::Shown {
            config: &self.config,
            identity: &self.identity,
            machine: &self.machine,
            dataplane: &self.dataplane,
            signalling: &self.signalling,
            relay: &self.relay,
            failures: &self.failures,
            errors: &self.errors,
            snapshot_failures: self.keeper.failures(),
            in_use: &self.in_use,
            started: self.started,
        };
        shown.status()
    }
}

/// A name as the relay writes it.
fn canonical(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}
