//! The relay as the mobile node holds it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hickory_proto::rr::Name;
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::chain::Answer;
use crate::config::{Mode, RelayConfig};
use crate::counters::{Counter, Counters};
use crate::error::{DiscoverError, Error};
use crate::exchange::Exchange;
use crate::family::Family;
use crate::hold::{Holder, Release, Report};
use crate::key::{AgentKey, KeyFault};
use crate::ledger::Ledger;
use crate::prober::{Probe, Prober, Progress, Verdict};
use crate::resolv_conf::{Follower, Installation};
use crate::socket::Sockets;
use crate::tasks::Tasks;
use crate::upstream::{Servers, Upstreams};
use crate::{names, tcp, udp};

/// How often a free port is sought that is free for both UDP and TCP.
const PORT_ATTEMPTS: usize = 16;

/// A name and its agent, in one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The addresses of the name itself, all of one family; never empty.
    pub correspondents: Vec<IpAddr>,
    /// The addresses of `cha.<name>`, of the same family; never empty.
    pub agents: Vec<IpAddr>,
    /// The key that `cha.<name>` publishes, if it does and that is known yet.
    pub key: Option<AgentKey>,
}

/// A running relay. [`shutdown`](Relay::shutdown) ends it in order; dropping
/// it does the same without waiting.
pub struct Relay {
    address: SocketAddr,
    exchange: Arc<Exchange>,
    ledger: Arc<Ledger>,
    servers: watch::Receiver<Servers>,
    tasks: Tasks,
    follower: Option<JoinHandle<Result<(), Error>>>,
    follower_stop: CancellationToken,
    counters: Arc<Counters>,
}

impl Relay {
    /// Starts to listen and, in [`Mode::ResolvConf`], writes the relay into
    /// `resolv.conf`; what an earlier run left there in a crash is taken back
    /// first. Agents that are found, and what speaks against them, are sent to
    /// `reports`.
    ///
    /// # Errors
    /// A configuration that cannot work, an address that cannot be listened
    /// on, a `resolv.conf` that cannot be read or written, or no tokio
    /// runtime. Nothing is left behind then.
    pub fn start(config: RelayConfig, reports: mpsc::Sender<Report>) -> Result<Self, Error> {
        if config.mode == Mode::ResolvConf && config.listen.port() != 53 {
            return Err(Error::ListenPort(config.listen));
        }
        Self::launch(config, reports)
    }

    /// [`start`](Self::start), at whatever port.
    pub(crate) fn launch(
        config: RelayConfig,
        reports: mpsc::Sender<Report>,
    ) -> Result<Self, Error> {
        if Handle::try_current().is_err() {
            return Err(Error::NoRuntime);
        }
        if config.listen.ip().is_unspecified() {
            return Err(Error::ListenUnspecified(config.listen));
        }
        if let Some(relay) = config.upstream.iter().find(|up| **up == config.listen) {
            return Err(Error::UpstreamIsRelay(*relay));
        }
        let counters = Arc::new(Counters::new());
        let ledger = Arc::new(Ledger::new(Arc::clone(&counters)));
        let sockets = Sockets::new(config.fwmark);
        let (listener, socket) = listen(&sockets, config.listen)?;
        let address = socket.local_addr().map_err(|source| Error::Listen {
            address: config.listen,
            source,
        })?;

        let writes = config.mode == Mode::ResolvConf;
        let publishes = config.upstream.is_empty();
        let mut servers = config.upstream;
        let installation = if writes || publishes {
            let (installation, found) =
                Installation::open(&config.resolv_conf, &config.state_dir, address.ip(), writes)?;
            if publishes {
                servers = found;
            }
            Some(installation)
        } else {
            None
        };
        if servers.is_empty() {
            tracing::warn!("no name servers are known yet");
        }
        let (sender, servers) = watch::channel(Servers::from(servers));

        let tasks = Tasks::default();
        let upstreams = Arc::new(Upstreams::new(
            servers.clone(),
            sockets.clone(),
            Arc::clone(&counters),
        ));
        let prober = Arc::new(Prober::new(
            servers.clone(),
            Arc::clone(&upstreams),
            sockets,
            config.validate,
            config.lookup_window,
            tasks.clone(),
            Arc::clone(&counters),
        ));
        let exchange = Arc::new(Exchange {
            prober: Arc::clone(&prober),
            upstreams,
            holder: Holder::new(
                config.hold,
                config.lookup_window,
                reports,
                Arc::clone(&ledger),
                prober,
                tasks.clone(),
                Arc::clone(&counters),
            ),
            policy: config.allow,
            counters: Arc::clone(&counters),
        });
        let follower_stop = CancellationToken::new();
        let follower = match installation {
            Some(installation) => {
                let follower =
                    Follower::start(installation, sender, publishes, Arc::clone(&counters))?;
                Some(tokio::spawn(follower.run(follower_stop.clone())))
            }
            None => None,
        };
        tasks.spawn(udp::serve(
            Arc::new(socket),
            address,
            Arc::clone(&exchange),
            tasks.clone(),
        ));
        tasks.spawn(tcp::serve(
            listener,
            address,
            Arc::clone(&exchange),
            tasks.clone(),
        ));
        Ok(Self {
            address,
            exchange,
            ledger,
            servers,
            tasks,
            follower,
            follower_stop,
            counters,
        })
    }

    /// Looks up the agent of `name`, and the addresses of `name` itself, in
    /// both families at once; what is found in IPv4 comes before what is found
    /// in IPv6. A known agent is taken from memory; that there is none is asked
    /// anew.
    ///
    /// # Errors
    /// Why there is no agent in either family.
    pub async fn discover(&self, name: &str) -> Result<Vec<Found>, DiscoverError> {
        let mut parsed = Name::from_str_relaxed(name)
            .map_err(|_malformed| DiscoverError::InvalidName(name.to_owned()))?;
        parsed.set_fqdn(true);
        let text = names::text(&parsed);
        if names::agent_name(&parsed).is_none() {
            return Err(DiscoverError::Excluded(text));
        }
        if !self.exchange.policy.permits(&text) {
            return Err(DiscoverError::NotPermitted(text));
        }
        let (ipv4, ipv6) = tokio::join!(
            self.discover_in(Family::Ipv4, &parsed, &text),
            self.discover_in(Family::Ipv6, &parsed, &text),
        );
        let (found, obstacles): (Vec<_>, Vec<_>) =
            [ipv4, ipv6].into_iter().partition(Result::is_ok);
        let found: Vec<Found> = found.into_iter().flatten().collect();
        if !found.is_empty() {
            return Ok(found);
        }
        // A name has often no address in one family: the other tells more.
        Err(obstacles
            .into_iter()
            .filter_map(Result::err)
            .find(|obstacle| !matches!(obstacle, DiscoverError::NoAddress(_)))
            .unwrap_or(DiscoverError::NoAddress(text)))
    }

    /// Those of the addresses that may be reached through `agent`, which was
    /// found for them: all names that have given one of them within a day have
    /// that agent. New sockets may be led there from now on, until a
    /// [`Contradiction`](crate::Contradiction) or the next
    /// [`set_captured`](Self::set_captured) without them.
    #[must_use]
    pub fn capture(&self, agent: IpAddr, addresses: &[IpAddr]) -> Vec<IpAddr> {
        self.ledger.capture(agent, addresses)
    }

    /// The addresses that new sockets reach through an agent now, each with
    /// that agent; all others are not captured.
    pub fn set_captured(&self, captured: BTreeMap<IpAddr, IpAddr>) {
        self.ledger.set_captured(captured);
    }

    /// Where the relay listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The name servers that are asked now, in their order.
    #[must_use]
    pub fn upstream(&self) -> Vec<SocketAddr> {
        self.servers.borrow().to_vec()
    }

    /// What the relay has seen, by name; what it dropped as `drop_<reason>`.
    #[must_use]
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        self.counters.snapshot()
    }

    /// Restores `resolv.conf`, lets held answers go and ends.
    ///
    /// # Errors
    /// `resolv.conf` could not be restored.
    pub async fn shutdown(mut self) -> Result<(), Error> {
        self.follower_stop.cancel();
        let restored = match self.follower.take() {
            // A follower that broke down has restored the file as it went.
            Some(follower) => follower.await.unwrap_or(Ok(())),
            None => Ok(()),
        };
        self.tasks.end().await;
        restored
    }
}

impl Relay {
    async fn discover_in(
        &self,
        family: Family,
        name: &Name,
        text: &str,
    ) -> Result<Found, DiscoverError> {
        let prober = &self.exchange.prober;
        let (verdict, answer) = tokio::join!(
            async {
                match prober.begin(name, family, true) {
                    Some(probe) => verdict(probe).await,
                    None => Verdict::Failed,
                }
            },
            prober.addresses(name, family),
        );
        let text = text.to_owned();
        let correspondents = match answer {
            Answer::Addresses { addresses, .. } => addresses,
            Answer::Nothing { .. } => return Err(DiscoverError::NoAddress(text)),
            Answer::Insecure { .. } => return Err(DiscoverError::Insecure(text)),
            Answer::Failed { .. } => return Err(DiscoverError::NoAnswer(text)),
        };
        let holder = &self.exchange.holder;
        if holder.compare(&text, &correspondents, &verdict).await == Release::Withheld {
            return Err(DiscoverError::Contradicted(text));
        }
        match verdict {
            Verdict::Agents(agents) => {
                let correspondents = prober.reachable(&text, correspondents);
                if correspondents.is_empty() {
                    return Err(DiscoverError::Insecure(text));
                }
                let key = prober.key(&text).map_err(|fault| unkeyed(fault, text))?;
                self.counters.count(Counter::ChaFound);
                Ok(Found {
                    correspondents,
                    agents,
                    key,
                })
            }
            Verdict::Unkeyed(fault) => Err(unkeyed(fault, text)),
            Verdict::NoAgent => Err(DiscoverError::NoAgent(text)),
            Verdict::Wildcard => Err(DiscoverError::Wildcard(text)),
            Verdict::Insecure => Err(DiscoverError::Insecure(text)),
            Verdict::Failed => Err(DiscoverError::NoAnswer(text)),
        }
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Relay")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.follower_stop.cancel();
        self.tasks.abort();
    }
}

fn unkeyed(fault: KeyFault, name: String) -> DiscoverError {
    match fault {
        KeyFault::Malformed => DiscoverError::MalformedKey(name),
        KeyFault::Unproven => DiscoverError::UnprovenKey(name),
    }
}

async fn verdict(probe: Probe) -> Verdict {
    let mut progress = match probe {
        Probe::Known(verdict) => return verdict,
        Probe::Running(progress) => progress,
    };
    match progress
        .wait_for(|progress| matches!(progress, Progress::Done(_)))
        .await
        .map(|progress| progress.clone())
    {
        Ok(Progress::Done(verdict)) => verdict,
        _ => Verdict::Failed,
    }
}

/// Opens both sockets at one port.
fn listen(sockets: &Sockets, address: SocketAddr) -> Result<(TcpListener, UdpSocket), Error> {
    let open = || {
        let listener = sockets.tcp_listener(address)?;
        let socket = sockets.udp(listener.local_addr()?)?;
        Ok((listener, socket))
    };
    let attempts = if address.port() == 0 {
        PORT_ATTEMPTS
    } else {
        1
    };
    let mut result = open();
    for _ in 1..attempts {
        if result.is_ok() {
            break;
        }
        result = open();
    }
    result.map_err(|source| Error::Listen { address, source })
}

#[cfg(test)]
mod tests;
