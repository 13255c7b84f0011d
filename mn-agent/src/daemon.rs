//! The run loop: one task owns the machine, its socket, and the data path.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use control::config::mn_agent::{Config, DnsMode};
use control::server::{self, Asked, Server};
use control::supervision::{self, Watchdog};
use control::{Reply, Request};
use dataplane::FWMARK;
use dataplane::mobile_node::MobileNodeDataplane;
use dataplane::netlink::monitor::Changes;
use mobility_protocol::mobile_node::{self, Event, MAX_AGENTS, MobileNode, StoredBinding, Usage};
use mobility_protocol::security::SecurityAssociation;
use mobility_protocol::{Datagram, DataplaneChange, HomeAddress, HomeAgentAddress, Identity, Path};
use name_relay::{Discovery, Mode, Policy, Relay, RelayConfig};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use crate::signalling::{Received, SignallingSocket};
use crate::state::StateDirectory;
use crate::status;
use crate::waiting::{Waiting, Wanted};

/// Anything that ends the daemon, as one line.
pub(crate) type Fatal = Box<dyn std::error::Error>;

/// Discoveries that wait for this loop; more are answered plainly.
const DISCOVERIES: usize = 256;
/// Questions on the control socket that wait for this loop.
const QUESTIONS: usize = 16;
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
            received = daemon.socket.receive() => daemon.receive(received?),
            () = timeout => daemon.machine.handle_timeout(Instant::now()),
            Some(discovery) = daemon.discoveries.recv() => daemon.discovered(discovery).await,
            ended = daemon.dataplane.sockets().ended() => {
                let ended = ended?;
                daemon.sockets_ended(&ended.home_addresses, ended.overrun).await;
            }
            Some(asked) = daemon.questions.recv() => daemon.answer(asked),
            Some(found) = daemon.lookups.join_next() => {
                if let Ok(found) = found {
                    daemon.found(found).await;
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

/// What a lookup for `mn-agent bind NAME` brought.
type FoundByName = (Wanted, Result<name_relay::Found, name_relay::DiscoverError>);

struct Daemon {
    config: Config,
    identity: Identity,
    machine: MobileNode,
    socket: SignallingSocket,
    state: StateDirectory,
    dataplane: MobileNodeDataplane,
    changes: Changes,
    relay: Arc<Relay>,
    discoveries: mpsc::Receiver<Discovery>,
    questions: mpsc::Receiver<Asked>,
    control: JoinHandle<()>,
    lookups: JoinSet<FoundByName>,
    waiting: Waiting,
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
        let dataplane =
            MobileNodeDataplane::start(dataplane::mobile_node::Config::default()).await?;
        let changes = dataplane.monitor().changes();
        let socket = SignallingSocket::open(FWMARK)?;
        let machine = MobileNode::new(
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
        let (sender, discoveries) = mpsc::channel(DISCOVERIES);
        let relay = Relay::start(relay_config(&config), sender)?;

        let mut daemon = Self {
            config,
            identity,
            machine,
            socket,
            state,
            dataplane,
            changes,
            relay: relay.into(),
            discoveries,
            questions,
            control: tokio::spawn(server.serve(handler)),
            lookups: JoinSet::new(),
            waiting: Waiting::default(),
            in_use: BTreeMap::new(),
            failures: BTreeMap::new(),
            started: Instant::now(),
            errors: BTreeMap::new(),
        };
        daemon.take_up_bindings().await;
        tracing::info!(
            names = %daemon.relay.local_addr(),
            mode = daemon.config.dns.mode.name(),
            backend = daemon.dataplane.backend(),
            "serving"
        );
        Ok(daemon)
    }

    /// Bindings of a run that was killed go on; sessions on them have been waiting.
    async fn take_up_bindings(&mut self) {
        let stored: Vec<(StoredBinding, SecurityAssociation)> = self
            .state
            .load_bindings()
            .into_iter()
            .map(|binding| {
                let name = binding.names.keys().next().cloned().unwrap_or_default();
                let association = self.association(&name, binding.agent);
                (binding, association)
            })
            .collect();
        if !stored.is_empty() {
            tracing::info!(
                bindings = stored.len(),
                "taking up the bindings of the last run"
            );
        }
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
        self.machine
            .poll_timeout()
            .unwrap_or_else(|| Instant::now() + Duration::from_secs(3600))
    }

    fn has_bindings(&self) -> bool {
        !self.in_use.is_empty()
    }

    fn receive(
        &mut self,
        Received {
            source,
            destination,
            payload,
        }: Received,
    ) {
        let datagram = Datagram {
            source,
            destination,
            payload: &payload,
        };
        self.machine.handle_input(datagram, Instant::now());
    }

    /// A name with a home agent was looked up: the answer waits for the binding.
    async fn discovered(&mut self, discovery: Discovery) {
        let Discovery {
            name,
            correspondents,
            agents,
            ready,
        } = discovery;
        self.bind(&name, &correspondents, &agents, Wanted::Answer(ready))
            .await;
    }

    async fn found(&mut self, (wanted, result): FoundByName) {
        match result {
            Ok(found) => {
                let name = wanted.name().to_owned();
                self.bind(&name, &found.correspondents, &found.agents, wanted)
                    .await;
            }
            Err(error) => wanted.failed(&error),
        }
    }

    async fn bind(
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

    fn association(&self, name: &str, agent: HomeAgentAddress) -> SecurityAssociation {
        self.config
            .association(&format!("cha.{name}"), agent.ip())
            .cloned()
            .unwrap_or_else(SecurityAssociation::open_mode)
    }

    async fn look_at_paths(&mut self) {
        match self.dataplane.monitor().local_addresses().await {
            Ok(addresses) => {
                let addresses: BTreeSet<IpAddr> = addresses
                    .into_iter()
                    .map(|local| local.address.into())
                    .collect();
                self.machine.handle_local_addresses(addresses);
            }
            Err(error) => self.netlink_failed(&error),
        }
        for agent in self.machine.agents() {
            self.look_at_path(agent).await;
        }
    }

    /// Asks the kernel how it would reach the home agent now; its answer decides, not the event
    /// that made us ask.
    async fn look_at_path(&mut self, agent: HomeAgentAddress) {
        let monitor = self.dataplane.monitor();
        let preferred = match monitor.preferred_path(agent).await {
            Ok(preferred) => preferred,
            Err(error) => return self.netlink_failed(&error),
        };
        let current_usable = match self
            .in_use
            .values()
            .find(|(whose, _)| *whose == agent)
            .map(|(_, path)| path)
        {
            Some(current) if Some(*current) == preferred => true,
            Some(current) => match monitor.is_usable(*current).await {
                Ok(usable) => usable,
                Err(error) => return self.netlink_failed(&error),
            },
            None => false,
        };
        self.machine
            .handle_path(agent, preferred, current_usable, Instant::now());
    }

    async fn sockets_ended(&mut self, home_addresses: &BTreeSet<HomeAddress>, overrun: bool) {
        let affected: Vec<HomeAddress> = if overrun {
            self.machine
                .bindings(Instant::now())
                .into_iter()
                .filter_map(|view| view.home_address)
                .collect()
        } else {
            home_addresses.iter().copied().collect()
        };
        for home_address in affected {
            if let Some(agent) = self.machine.agent_of(home_address) {
                self.look_at_usage(agent, home_address).await;
            }
        }
    }

    async fn look_at_usage(&mut self, agent: HomeAgentAddress, home_address: HomeAddress) {
        match self.dataplane.sockets().in_use(home_address).await {
            Ok(in_use) => {
                let usage = if in_use { Usage::Sockets } else { Usage::None };
                self.machine.handle_usage(agent, usage, Instant::now());
            }
            Err(error) => self.netlink_failed(&error),
        }
    }

    async fn look_after_tunnels(&mut self) {
        if !self.dataplane.is_running() {
            tracing::warn!("somebody removed the tunnel device; making it anew");
            self.count("dataplane_revivals");
            for failure in self.dataplane.revive().await {
                self.count("dataplane_failures");
                tracing::error!(error = %failure, "the data path could not be changed");
            }
        }
        let now = Instant::now();
        for view in self.machine.bindings(now) {
            if let Some(home_address) = view.home_address
                && let Some(traffic) = self.dataplane.traffic(home_address)
            {
                self.machine.handle_traffic(
                    view.agent,
                    traffic.packets_out,
                    traffic.packets_in,
                    now,
                );
            }
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
            for event in events {
                self.execute(event).await;
            }
        }
    }

    fn transmit(&mut self) {
        while let Some(transmit) = self.machine.poll_transmit() {
            if let Err(error) = self.socket.send(&transmit) {
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
            } => self.look_at_usage(agent, home_address).await,
            Event::SnapshotChanged => {
                if let Err(error) = self
                    .state
                    .save_bindings(&self.machine.snapshot(Instant::now()))
                {
                    self.count("snapshot_failures");
                    tracing::warn!(%error, "the bindings can't be stored; they would not survive a crash");
                }
            }
            Event::Moved { .. } | Event::Lost { .. } | Event::Released { .. } => {}
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
            self.count("dataplane_failures");
            tracing::error!(error = %failure, "the data path could not be changed");
        }
    }

    fn answer(&mut self, asked: Asked) {
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

    fn status(&self) -> control::status::MnAgentStatus {
        let shown = status::Shown {
            config: &self.config,
            identity: &self.identity,
            machine: &self.machine,
            dataplane: &self.dataplane,
            relay: &self.relay,
            failures: &self.failures,
            errors: &self.errors,
            in_use: &self.in_use,
            started: self.started,
        };
        shown.status()
    }

    fn netlink_failed(&mut self, error: &dataplane::Error) {
        self.count("netlink_failures");
        tracing::warn!(%error, "the kernel could not be asked");
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
        restored?;
        removed?;
        Ok(())
    }
}

/// A name as the relay writes it.
fn canonical(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn relay_config(config: &Config) -> RelayConfig {
    let policy = config.policy.clone();
    RelayConfig {
        mode: match config.dns.mode {
            DnsMode::ResolvConf => Mode::ResolvConf,
            DnsMode::Manual => Mode::Manual,
        },
        listen: config.dns.listen,
        upstream: config.dns.upstream.clone(),
        hold: config.dns.hold,
        fwmark: Some(FWMARK),
        state_dir: config.state.clone(),
        allow: Policy::new(move |name| policy.allows(name)),
        ..RelayConfig::default()
    }
}
