//! The run loop: one task owns the machine, its socket and its store.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use binding_store::BindingStore;
use control::config::chad::{Config, Listen, SecurityMode};
use control::server::{self, Asked, Server};
use control::supervision::{self, Watchdog};
use control::{Reply, Request};
use dataplane::home_agent::HomeAgentDataplane;
use dataplane::signalling::Signalling;
use mobility_protocol::DataplaneChange;
use mobility_protocol::home_agent::{self, Event, HomeAgent, Mode, RestoreSummary, StoreChange};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::{secret, status};

/// How many messages are handled before their acknowledgements are committed and sent. Larger
/// rounds make better use of a commit, smaller ones answer sooner.
const MESSAGES_PER_ROUND: usize = 512;

/// How long a failed commit rests before it is tried again without a new request.
const COMMIT_RETRY: Duration = Duration::from_secs(1);

/// How often the machine learns the wall clock anew, which may be stepped or have slept, and the
/// data path is looked after.
const CLOCK_INTERVAL: Duration = Duration::from_secs(5);

/// How far a mobile node's clock may be off (RFC 5944, section 5.7.1).
const REPLAY_WINDOW: Duration = Duration::from_secs(7);

/// Questions on the control socket that wait for this loop.
const QUESTIONS: usize = 16;

/// Anything that ends the daemon, as one line.
pub(crate) type Fatal = Box<dyn std::error::Error>;

/// Serves until told to stop.
pub(crate) async fn run(config: Config) -> Result<(), Fatal> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut daemon = Daemon::start(config).await?;
    let mut watchdog = Watchdog::new();
    let mut clock = tokio::time::interval(CLOCK_INTERVAL);
    let mut failed: Option<&str> = None;
    supervision::ready(&format!("serving on {}", daemon.config.listen));

    loop {
        let timeout = daemon.next_timeout();
        let sleep = pin!(tokio::time::sleep_until(timeout.into()));
        tokio::select! {
            readable = daemon.signalling.readable() => {
                readable?;
                daemon.receive();
            }
            () = sleep => daemon.agent.handle_timeout(Instant::now()),
            Some(asked) = daemon.questions.recv() => daemon.answer(asked),
            _ = clock.tick() => {
                daemon.agent.handle_unix_time(supervision::unix_time(), Instant::now());
                if !daemon.dataplane.is_running() {
                    // Bindings are in the store; a new start carries them again.
                    failed = Some("the data path has ended: was its device removed (cha0, cha0-6)?");
                    break;
                }
            }
            () = watchdog.tick() => {}
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        }
        daemon.finish_round();
    }
    supervision::stopping();
    daemon.stop().await?;
    failed.map_or(Ok(()), |reason| Err(reason.into()))
}

struct Daemon {
    agent: HomeAgent,
    signalling: Signalling,
    store: BindingStore,
    commit_after: Option<Instant>,
    dataplane: HomeAgentDataplane,
    questions: mpsc::Receiver<Asked>,
    control: JoinHandle<()>,
    config: Config,
    started: Instant,
    commit_failures: u64,
    withheld: u64,
    dataplane_failures: u64,
    send_failures: u64,
}

impl Daemon {
    async fn start(config: Config) -> Result<Self, Fatal> {
        let server = Server::bind(&config.control)?;
        let (handler, questions) = server::queue(QUESTIONS);
        let store = BindingStore::open(&config.state)?;
        let records = store.load()?;

        let secret = secret::load(&config.security.secret_file)?;
        let mode = match config.security.mode {
            SecurityMode::Open => Mode::Open {
                secret,
                legacy: config.security.legacy_open,
            },
            SecurityMode::Authenticated => Mode::Authenticated { secret },
        };
        let machine_config = machine_config(&config, mode);
        let correspondents = Arc::clone(&machine_config.correspondents);
        let mut agent = HomeAgent::new(
            machine_config,
            supervision::random()?,
            Instant::now(),
            supervision::unix_time(),
        )?;
        let summary = agent.restore(records, Instant::now());
        if summary != RestoreSummary::default() {
            let RestoreSummary {
                bound,
                expired,
                released,
                forgotten,
                discarded,
            } = summary;
            tracing::info!(
                bound,
                expired,
                released,
                forgotten,
                discarded,
                "bindings taken up from the store"
            );
        }

        let Listen { ipv4, ipv6 } = config.listen;
        let signalling = Signalling::home_agent(ipv4, ipv6)?;
        let addresses = dataplane::Addresses { ipv4, ipv6 };
        let pools = config.pool.prefixes().collect();
        let dataplane = HomeAgentDataplane::start(dataplane::home_agent::Config {
            backend: status::backend_choice(config.backend),
            correspondents: Some(correspondents),
            ..dataplane::home_agent::Config::new(addresses, pools)
        })
        .await?;

        let mut daemon = Self {
            agent,
            signalling,
            store,
            commit_after: None,
            dataplane,
            questions,
            control: tokio::spawn(server.serve(handler)),
            config,
            started: Instant::now(),
            commit_failures: 0,
            withheld: 0,
            dataplane_failures: 0,
            send_failures: 0,
        };
        daemon.finish_round();
        // Those of the store are installed now; the kernel may still carry others.
        if let Err(error) = daemon.dataplane.settle() {
            tracing::warn!(%error, "not everything a former run left could be removed");
        }
        for warning in status::warnings(&daemon.config) {
            tracing::warn!("{warning}");
        }
        tracing::info!(
            addresses = %daemon.config.listen,
            backend = %daemon.dataplane.backend().carrier,
            mode = daemon.config.security.mode.name(),
            "serving"
        );
        Ok(daemon)
    }

    fn next_timeout(&mut self) -> Instant {
        let idle = Instant::now() + Duration::from_secs(3600);
        [self.agent.poll_timeout(), self.commit_after]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(idle)
    }

    fn receive(&mut self) {
        for _ in 0..MESSAGES_PER_ROUND {
            let Some(datagram) = self.signalling.receive() else {
                return;
            };
            self.agent.handle_input(datagram, Instant::now());
        }
    }

    /// Executes what the round has produced: the data path first, as packets may be waiting for it;
    /// then the store; and what promises something to a mobile node last.
    fn finish_round(&mut self) {
        let mut changes: Vec<DataplaneChange> = Vec::new();
        while let Some(event) = self.agent.poll_event() {
            if let Event::Dataplane(change) = event {
                changes.push(change);
            } else {
                status::log(&event);
            }
        }
        for failure in self.dataplane.apply(changes) {
            self.dataplane_failures += 1;
            tracing::error!(error = %failure, "the data path could not be changed");
        }
        let committed = self.commit();
        while let Some(transmit) = self.agent.poll_transmit() {
            if !committed {
                self.withheld += 1;
            } else if let Err(error) = self.signalling.send(&transmit) {
                self.send_failures += 1;
                tracing::debug!(%error, destination = %transmit.destination, "sending signalling");
            }
        }
    }

    /// Brings the store up to date. While that fails no acknowledgement may leave; the store keeps
    /// what it could not write for the next try.
    fn commit(&mut self) -> bool {
        let changes: Vec<StoreChange> =
            std::iter::from_fn(|| self.agent.poll_store_change()).collect();
        if changes.is_empty() && self.store.pending() == 0 {
            return true;
        }
        let result = tokio::task::block_in_place(|| self.store.commit(changes));
        match result {
            Ok(()) => {
                if self.commit_after.take().is_some() {
                    tracing::warn!("the binding store works again");
                }
                true
            }
            Err(error) => {
                self.commit_failures += 1;
                if self.commit_after.is_none() {
                    tracing::error!(%error, "the binding store can't be written; no registration is acknowledged until it can");
                }
                self.commit_after = Some(Instant::now() + COMMIT_RETRY);
                false
            }
        }
    }

    fn answer(&self, asked: Asked) {
        let answer = match asked.request {
            Request::Status => Reply::Chad(Box::new(self.status())),
            Request::Bind { .. } | Request::Release { .. } => {
                Reply::failed("chad doesn't do that; ask mn-agent")
            }
            Request::Revoke { .. } => Reply::failed("revocation is not part of this release"),
        };
        // Whoever asked may have gone away.
        let _ = asked.reply.send(answer);
    }

    fn status(&self) -> control::status::ChadStatus {
        let own = [
            ("store_commit_failures", self.commit_failures),
            ("drop_withheld_reply", self.withheld),
            ("dataplane_failures", self.dataplane_failures),
            ("send_failures", self.send_failures),
        ]
        .into_iter()
        .chain(self.signalling.counters());
        status::chad(
            &self.config,
            &self.agent,
            &self.dataplane,
            self.started,
            own,
        )
    }

    /// Takes back everything added to the machine. Bindings stay in the store: mobile nodes go on
    /// with the next start.
    async fn stop(mut self) -> Result<(), Fatal> {
        self.commit();
        self.control.abort();
        self.dataplane.shutdown().await?;
        Ok(())
    }
}

fn machine_config(config: &Config, mode: Mode) -> home_agent::Config {
    home_agent::Config {
        ipv4: config.listen.ipv4,
        ipv6: config.listen.ipv6,
        pools: config.pool.prefixes().collect(),
        exclude: config.pool.exclude.clone(),
        hold_down: config.pool.hold_down,
        default_lifetime: config.lifetime.default,
        max_lifetime: config.lifetime.max,
        mode,
        quotas: config.security.quotas,
        mobile_nodes: config
            .mobile_nodes
            .iter()
            .map(|node| home_agent::MobileNodeConfig {
                identity: node.identity.clone(),
                address: node.address,
                association: node.association.clone(),
                proves_moves: node.proves_moves,
            })
            .collect(),
        correspondents: Arc::from(config.correspondents.as_slice()),
        replay_window: REPLAY_WINDOW,
    }
}
