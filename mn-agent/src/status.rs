//! What `mn-agent` shows of itself: the status and the log.

use std::collections::BTreeMap;
use std::time::Instant;

use control::config::mn_agent::Config;
use control::status::{
    Backend, BindingState, BindingStatus, ChaStatus, DnsStatus, MnAgentStatus, Traffic,
};
use dataplane::Carrier;
use dataplane::mobile_node::MobileNodeDataplane;
use dataplane::signalling::Signalling;
use mobility_protocol::mobile_node::{self, BindingView, Event, MobileNode};
use mobility_protocol::{HomeAddress, HomeAgentAddress, Identity, Path};
use name_relay::Relay;

/// What the status is made of.
pub(crate) struct Shown<'a> {
    pub(crate) config: &'a Config,
    pub(crate) identity: &'a Identity,
    pub(crate) machine: &'a MobileNode,
    pub(crate) dataplane: &'a MobileNodeDataplane,
    pub(crate) signalling: &'a Signalling,
    pub(crate) relay: &'a Relay,
    pub(crate) failures: &'a BTreeMap<HomeAgentAddress, String>,
    pub(crate) errors: &'a BTreeMap<&'static str, u64>,
    pub(crate) snapshot_failures: u64,
    pub(crate) in_use: &'a BTreeMap<HomeAddress, (HomeAgentAddress, Path)>,
    pub(crate) started: Instant,
}

impl Shown<'_> {
    /// The state of the daemon, for `status`.
    pub(crate) fn status(&self) -> MnAgentStatus {
        let now = Instant::now();
        let views = self.machine.bindings(now);
        let machine: Vec<_> = self.machine.counters();
        let handovers = machine
            .iter()
            .find(|(name, _)| name == "handovers")
            .map_or(0, |(_, count)| *count);
        let machine = machine
            .into_iter()
            .map(|(name, count)| (name.into_owned(), count));
        let others = self
            .dataplane
            .counters()
            .into_iter()
            .chain(self.signalling.counters())
            .chain(self.relay.counters())
            .chain(self.errors.iter().map(|(name, count)| (*name, *count)))
            .chain([("snapshot_failures", self.snapshot_failures)])
            .map(|(name, count)| (name.to_owned(), count));
        let path = self.in_use.values().map(|(_, path)| path).next();
        MnAgentStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime: now.duration_since(self.started).as_secs(),
            backend: backend(self.dataplane.backend().carrier),
            backend_reason: Some(self.dataplane.backend().reason.clone()),
            identity: self.identity.to_string(),
            care_of: path.map(|path| path.care_of.ip()),
            interface: path.and_then(interface_name),
            handovers,
            dns: Some(DnsStatus {
                mode: self.config.dns.mode.name().to_owned(),
                listen: self.relay.local_addr(),
                upstream: self.relay.upstream(),
            }),
            warnings: Vec::new(),
            chas: self.agents(&views),
            bindings: views.into_iter().map(|view| self.binding(view)).collect(),
            counters: machine.chain(others).collect(),
        }
    }

    fn agents(&self, views: &[BindingView]) -> Vec<ChaStatus> {
        let serving = views.iter().map(|view| ChaStatus {
            cha: Some(view.agent.ip()),
            names: view.names.keys().cloned().collect(),
            state: view.state.to_string(),
            reason: None,
        });
        let failing = self
            .failures
            .iter()
            .filter(|(agent, _)| !views.iter().any(|view| view.agent == **agent))
            .map(|(agent, reason)| ChaStatus {
                cha: Some(agent.ip()),
                names: Vec::new(),
                state: "failed".to_owned(),
                reason: Some(reason.clone()),
            });
        serving.chain(failing).collect()
    }

    fn binding(&self, view: BindingView) -> BindingStatus {
        let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, correspondents) in &view.names {
            for correspondent in correspondents {
                names
                    .entry(correspondent.to_string())
                    .or_default()
                    .push(name.clone());
            }
        }
        let traffic = view
            .home_address
            .and_then(|home_address| self.dataplane.traffic(home_address));
        BindingStatus {
            choa: view.home_address.map(|home_address| home_address.ip()),
            care_of: view.care_of.map(|care_of| care_of.ip()),
            care_of_port: None,
            cha: Some(view.agent.ip()),
            identity: view.identity.to_string(),
            backend: backend(self.dataplane.backend().carrier),
            encapsulation: view.encapsulation.name().to_owned(),
            state: match view.state {
                mobile_node::BindingState::Registering => BindingState::Registering,
                mobile_node::BindingState::Active => BindingState::Active,
                mobile_node::BindingState::Moving => BindingState::Moving,
                mobile_node::BindingState::Releasing => BindingState::Releasing,
            },
            reachability: None,
            expires_in: view.expires_in.map(|left| left.as_secs()),
            correspondents: names.keys().cloned().collect(),
            names,
            handovers: Some(view.handovers),
            traffic: traffic.map_or_else(Traffic::default, |traffic| Traffic {
                packets_in: traffic.packets_in,
                bytes_in: traffic.bytes_in,
                packets_out: traffic.packets_out,
                bytes_out: traffic.bytes_out,
            }),
        }
    }
}

/// What the configuration asks for, as the data path calls it.
pub(crate) fn backend_choice(choice: control::config::BackendChoice) -> dataplane::BackendChoice {
    match choice {
        control::config::BackendChoice::Auto => dataplane::BackendChoice::Auto,
        control::config::BackendChoice::Kernel => dataplane::BackendChoice::Kernel,
        control::config::BackendChoice::Userspace => dataplane::BackendChoice::Userspace,
    }
}

fn backend(carrier: Carrier) -> Backend {
    match carrier {
        Carrier::Kernel => Backend::Kernel,
        Carrier::Userspace => Backend::Userspace,
    }
}

fn interface_name(path: &Path) -> Option<String> {
    nix::net::if_::if_indextoname(path.interface)
        .ok()?
        .into_string()
        .ok()
}

/// Writes an event down. Where this host is and whom it talks to is for debugging only.
pub(crate) fn log(event: &Event) {
    match event {
        Event::Active {
            agent,
            home_address,
        } => {
            tracing::info!("binding active");
            tracing::debug!(%agent, %home_address, "binding active with");
        }
        Event::Failed { agent, reason } => {
            tracing::info!(%reason, "no binding; applications connect without");
            tracing::debug!(%agent, "no binding with");
        }
        Event::Moved {
            agent,
            home_address,
            care_of,
        } => {
            tracing::info!("binding moved");
            tracing::debug!(%agent, %home_address, %care_of, "binding moved to");
        }
        Event::Lost {
            agent,
            home_address,
            reason,
        } => {
            tracing::warn!(%reason, "binding lost; sessions on it will not go on");
            tracing::debug!(%agent, %home_address, "binding lost with");
        }
        Event::Released {
            agent,
            home_address,
        } => {
            tracing::info!("binding released");
            tracing::debug!(%agent, %home_address, "binding released with");
        }
        Event::OtherKey {
            agent,
            found,
            expected,
        } => {
            tracing::warn!(%agent, %found, %expected, "somebody answers for the home agent who does not have its key");
        }
        Event::Dataplane(_) | Event::CheckUsage { .. } | Event::SnapshotChanged => {}
    }
}
