//! The run loop: one task owns the machine, its socket, and the data path.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use control::config::mn_agent::{self, Config, DnsMode};
use control::server::{self, Asked, Server};
use control::supervision::{self, Watchdog};
use dataplane::FWMARK;
use dataplane::mobile_node::MobileNodeDataplane;
use dataplane::netlink::monitor::Changes;
use dataplane::signalling::Signalling;
use mobility_protocol::mobile_node::{
    self, Credentials, Event, MAX_AGENTS, MobileNode, StoredBinding, Surroundings,
};
use mobility_protocol::{DataplaneChange, HomeAddress, HomeAgentAddress, Identity, Path};
use name_relay::{Mode, Policy, Relay, RelayConfig, Report, TrustAnchor};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use crate::looks::Looks;
use crate::state::{Keeper, Memory, StateDirectory};
use crate::status;
use crate::waiting::Waiting;

mod host;
mod requests;

/// Changes of the data path that failed, as `status` calls them.
const DATAPLANE_FAILURES: &str = "dataplane_failures";

/// Anything that ends the daemon, as one line.
pub(crate) type Fatal = Box<dyn std::error::Error>;

/// Reports of the relay that wait for this loop; more discoveries are answered plainly.
const REPORTS: usize = 256;
/// Questions on the control socket that wait for this loop.
const QUESTIONS: usize = 16;
/// How many messages are handled before what follows from them is done.
const MESSAGES_PER_ROUND: usize = 64;
/// How often the tunnels' counters are looked at while there is a binding: several times within the
/// shortest sensible `linger`, so that use without connections is told from a closed connection.
const TRAFFIC_INTERVAL: Duration = Duration::from_millis(200);
/// How often the machine learns the wall clock anew, which may be stepped or have slept.
const CLOCK_INTERVAL: Duration = Duration::from_secs(5);

/// Serves until told to stop.
pub(crate) async fn run(config: Config) -> Result<(), Fatal> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut daemon = Daemon::start(config).await?;
    let mut watchdog = Watchdog::new();
    let mut clock = tokio::time::interval(CLOCK_INTERVAL);
    let mut traffic = tokio::time::interval(TRAFFIC_INTERVAL);
    traffic.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    supervision::ready(&format!(
        "names are relayed at {}",
        daemon.relay.local_addr()
    ));

    loop {
        let timeout = pin!(tokio::time::sleep_until(daemon.next_timeout().into()));
        tokio::select! {
            changed = daemon.changes.changed() => {
                changed?;
                daemon.look_at_paths().await;
            }
            readable = daemon.signalling.readable() => {
                readable?;
                daemon.receive();
            }
            () = timeout => daemon.handle_timeout().await,
            Some(report) = daemon.reports.recv() => daemon.reported(report).await,
            ended = daemon.dataplane.sockets().ended() => {
                let ended = ended?;
                daemon.sockets_ended(&ended.home_addresses, ended.overrun);
            }
            Some(asked) = daemon.questions.recv() => daemon.answer(asked),
            Some(lookup) = daemon.lookups.join_next() => {
                if let Ok(lookup) = lookup {
                    daemon.found(lookup).await;
                }
            }
            _ = traffic.tick(), if daemon.has_bindings() => daemon.look_after_tunnels().await,
            _ = clock.tick() => daemon.machine.handle_unix_time(supervision::unix_time(), Instant::now()),
            () = watchdog.tick() => {}
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        }
        daemon.finish_round().await;
    }
    supervision::stopping();
    daemon.stop().await
}

struct Daemon {
    config: Config,
    identity: Identity,
    machine: MobileNode,
    signalling: Signalling,
    keeper: Keeper,
    dataplane: MobileNodeDataplane,
    changes: Changes,
    relay: Arc<Relay>,
    reports: mpsc::Receiver<Report>,
    questions: mpsc::Receiver<Asked>,
    control: JoinHandle<()>,
    lookups: JoinSet<requests::Lookup>,
    waiting: Waiting,
    looks: Looks,
    /// As the kernel told them last; name servers not among them.
    surroundings: Surroundings,
    /// Whose tunnels the data path has, and the paths they use now.
    in_use: BTreeMap<HomeAddress, (HomeAgentAddress, Path)>,
    failures: BTreeMap<HomeAgentAddress, String>,
    started: Instant,
    errors: BTreeMap<&'static str, u64>,
}

impl Daemon {
    async fn start(config: Config) -> Result<Self, Fatal> {
        let server = Server::bind(&config.control)?;
        let (handler, questions) = server::queue(QUESTIONS);
        let state = StateDirectory::open(&config.state)
            .map_err(|error| format!("the state directory {}: {error}", config.state.display()))?;
        let identity = match &config.identity {
            Some(identity) => identity.clone(),
            None => state.anonymous_identity(supervision::random()?)?,
        };
        let (stored, known) = (state.load_bindings(), state.load_acquaintances());
        let dataplane = MobileNodeDataplane::start(dataplane::mobile_node::Config {
            backend: status::backend_choice(config.backend),
            ..dataplane::mobile_node::Config::default()
        })
        .await?;
        let changes = dataplane.monitor().changes();
        let signalling = Signalling::mobile_node()?;
        let mut machine = MobileNode::new(
            mobile_node::Config {
                linger: config.session.linger,
                inactivity: config.session.inactivity,
                unused: config.session.unused,
                ..mobile_node::Config::new(identity.clone())
            },
            supervision::random()?,
            Instant::now(),
            supervision::unix_time(),
        );
        machine.restore_acquaintances(known, Instant::now());
        let (sender, reports) = mpsc::channel(REPORTS);
        let relay = Relay::start(relay_config(&config)?, sender)?;

        let mut daemon = Self {
            config,
            identity,
            machine,
            signalling,
            keeper: Keeper::start(state),
            dataplane,
            changes,
            relay: relay.into(),
            reports,
            questions,
            control: tokio::spawn(server.serve(handler)),
            lookups: JoinSet::new(),
            waiting: Waiting::default(),
            looks: Looks::default(),
            surroundings: Surroundings::default(),
            in_use: BTreeMap::new(),
            failures: BTreeMap::new(),
            started: Instant::now(),
            errors: BTreeMap::new(),
        };
        daemon.take_up(stored).await;
        tracing::info!(
            names = %daemon.relay.local_addr(),
            mode = daemon.config.dns.mode.name(),
            backend = %daemon.dataplane.backend().carrier,
            "serving"
        );
        Ok(daemon)
    }

    /// Bindings of a run that was killed go on; sessions on them have been waiting.
    async fn take_up(&mut self, stored: Vec<StoredBinding>) {
        if !stored.is_empty() {
            tracing::info!(
                bindings = stored.len(),
                "taking up the bindings of the last run"
            );
        }
        let stored: Vec<(StoredBinding, Credentials)> = stored
            .into_iter()
            .map(|binding| {
                let credentials = binding
                    .names
                    .keys()
                    .map(|name| self.credentials(name, binding.agent, None))
                    .reduce(Credentials::or_stricter)
                    .unwrap_or(Credentials::Agreement { pinned: None });
                (binding, credentials)
            })
            .collect();
        self.machine.restore(stored, Instant::now());
        self.finish_round().await;
        self.look_at_paths().await;
        self.finish_round().await;
        if let Err(error) = self.dataplane.settle().await {
            self.count("settle_failures");
            tracing::warn!(%error, "not everything a crashed run left could be removed");
        }
    }

    fn next_timeout(&self) -> Instant {
        let now = Instant::now();
        [self.machine.poll_timeout(), self.looks.due(now)]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(now + Duration::from_secs(3600))
    }

    async fn handle_timeout(&mut self) {
        let now = Instant::now();
        self.machine.handle_timeout(now);
        self.look_at_sockets(now).await;
    }

    fn has_bindings(&self) -> bool {
        !self.in_use.is_empty()
    }

    fn receive(&mut self) {
        for _ in 0..MESSAGES_PER_ROUND {
            let Some(datagram) = self.signalling.receive() else {
                return;
            };
            self.machine.handle_input(datagram, Instant::now());
        }
    }

    /// Executes what the machine wants. Messages leave first: at a move the home agent must know
    /// before the first packet from the new address reaches it.
    async fn finish_round(&mut self) {
        // Answers to CheckUsage make new events; each round of them needs a new reason, so a few
        // rounds are plenty.
        for _ in 0..8 {
            self.transmit();
            let events: Vec<Event> = std::iter::from_fn(|| self.machine.poll_event()).collect();
            if events.is_empty() {
                return;
            }
            self.tell_captured();
            for event in events {
                self.execute(event).await;
            }
        }
    }

    fn transmit(&mut self) {
        while let Some(transmit) = self.machine.poll_transmit() {
            if let Err(error) = self.signalling.send(&transmit) {
                self.count("send_failures");
                tracing::debug!(%error, destination = %transmit.destination, "sending signalling");
            }
        }
    }

    async fn execute(&mut self, event: Event) {
        status::log(&event);
        match event {
            Event::Dataplane(change) => self.change_dataplane(change).await,
            Event::Active {
                agent,
                home_address,
            } => {
                self.failures.remove(&agent);
                self.waiting.active(agent, home_address);
            }
            Event::Failed { agent, reason } => {
                if self.failures.len() >= MAX_AGENTS {
                    self.failures.clear();
                }
                self.failures.insert(agent, reason.to_string());
                self.waiting.failed(agent, &reason);
            }
            Event::CheckUsage {
                agent,
                home_address,
            } => self.looks.want(home_address, agent),
            Event::SnapshotChanged => self.keeper.keep(Memory {
                bindings: self.machine.snapshot(Instant::now()),
                acquaintances: self.machine.acquaintances(),
            }),
            Event::Moved { .. }
            | Event::Lost { .. }
            | Event::Released { .. }
            | Event::OtherKey { .. } => {}
        }
    }

    async fn change_dataplane(&mut self, change: DataplaneChange) {
        match &change {
            DataplaneChange::Install(tunnel) => {
                if let Some(agent) = self.machine.agent_of(tunnel.home_address) {
                    let path = Path {
                        care_of: tunnel.endpoints.local.into(),
                        interface: tunnel.endpoints.interface.unwrap_or(0),
                    };
                    self.in_use.insert(tunnel.home_address, (agent, path));
                }
            }
            DataplaneChange::Remove(home_address) => {
                self.in_use.remove(home_address);
            }
        }
        for failure in self.dataplane.apply([change]).await {
            self.count(DATAPLANE_FAILURES);
            tracing::error!(error = %failure, "the data path could not be changed");
        }
    }

    fn count(&mut self, name: &'static str) {
        *self.errors.entry(name).or_default() += 1;
    }

    /// Gives back what was borrowed and removes what was added, each whatever becomes of the rest.
    async fn stop(mut self) -> Result<(), Fatal> {
        self.control.abort();
        self.lookups.shutdown().await;
        self.machine.release_all(Instant::now());
        self.finish_round().await;
        let restored = match Arc::into_inner(self.relay) {
            Some(relay) => relay.shutdown().await,
            None => Ok(()),
        };
        let removed = self.dataplane.shutdown().await;
        self.keeper.finish().await;
        restored?;
        removed?;
        Ok(())
    }
}

fn relay_config(config: &Config) -> Result<RelayConfig, Fatal> {
    let policy = config.policy.clone();
    let validate = match &policy {
        mn_agent::Policy::Any | mn_agent::Policy::AllowList(_) => None,
        mn_agent::Policy::Dnssec { anchor: None } => Some(TrustAnchor::root()),
        mn_agent::Policy::Dnssec { anchor: Some(keys) } => Some(keys.parse()?),
    };
    Ok(RelayConfig {
        mode: match config.dns.mode {
            DnsMode::ResolvConf => Mode::ResolvConf,
            DnsMode::Manual => Mode::Manual,
        },
        listen: config.dns.listen,
        upstream: config.dns.upstream.clone(),
        hold: config.dns.hold,
        lookup_window: config.dns.lookup_window,
        fwmark: Some(FWMARK),
        state_dir: config.state.clone(),
        allow: Policy::new(move |name| policy.allows(name)),
        validate,
        ..RelayConfig::default()
    })
}
