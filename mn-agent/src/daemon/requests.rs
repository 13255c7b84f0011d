//! Who wants bindings: applications, whose lookups the relay reports, and people at the command line.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use control::server::Asked;
use control::{Reply, Request};
use mobility_protocol::HomeAgentAddress;
use mobility_protocol::security::SecurityAssociation;
use name_relay::Discovery;

use super::{Daemon, FoundByName};
use crate::status;
use crate::waiting::Wanted;

impl Daemon {
    /// A name with a home agent was looked up: the answer waits for the binding.
    pub(super) async fn discovered(&mut self, discovery: Discovery) {
        let Discovery {
            name,
            correspondents,
            agents,
            ready,
        } = discovery;
        self.bind(&name, &correspondents, &agents, Wanted::Answer(ready))
            .await;
    }

    pub(super) async fn found(&mut self, (wanted, result): FoundByName) {
        match result {
            Ok(found) => {
                let name = wanted.name().to_owned();
                self.bind(&name, &found.correspondents, &found.agents, wanted)
                    .await;
            }
            Err(error) => wanted.failed(&error),
        }
    }

    pub(super) async fn bind(
        &mut self,
        name: &str,
        correspondents: &[IpAddr],
        agents: &[IpAddr],
        wanted: Wanted,
    ) {
        let Some(address) = agents.iter().find(|agent| agent.is_ipv4()) else {
            return wanted.failed("the home agent has no IPv4 address");
        };
        let agent = HomeAgentAddress(*address);
        let association = self.association(name, agent);
        let now = Instant::now();
        match self
            .machine
            .bind(agent, name, correspondents, association, now)
        {
            Ok(()) => {
                self.waiting.add(agent, wanted);
                self.look_at_path(agent).await;
            }
            Err(error) => {
                self.count("bind_refused");
                tracing::debug!(%name, %agent, %error, "no binding");
                wanted.failed(error);
            }
        }
    }

    pub(super) fn association(&self, name: &str, agent: HomeAgentAddress) -> SecurityAssociation {
        self.config
            .association(&format!("cha.{name}"), agent.ip())
            .cloned()
            .unwrap_or_else(SecurityAssociation::open_mode)
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
                    (Wanted::Command { name, reply }, result)
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
