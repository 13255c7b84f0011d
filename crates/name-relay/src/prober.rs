//! Finding out whether `cha.<name>` exists and which key it publishes, once for all who ask.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_proto::rr::Name;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};

use crate::cache::TtlCache;
use crate::chain::{Answer, Texts};
use crate::counters::{Counter, Counters};
use crate::family::Family;
use crate::key::{self, AgentKey};
use crate::lookup::Resolver;
use crate::names;
use crate::search::{Findings, MAX_NEGATIVE_TTL, MAX_POSITIVE_TTL, Search, ttl};
use crate::socket::Sockets;
use crate::tasks::Tasks;
use crate::trust_anchor::TrustAnchor;
use crate::upstream::{PATIENCE, Servers, Upstreams};

/// The most verdicts that are remembered.
const MAX_VERDICTS: usize = 8192;
/// The most answers of wildcards that are remembered.
const MAX_WILDCARDS: usize = 2048;
/// The most agents that are looked up at once.
const MAX_RUNNING: usize = 256;

/// A name, and the family in which its agent is sought.
type Subject = (Family, String);

/// Whether a name has an agent of one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Agents(Vec<IpAddr>),
    NoAgent,
    Wildcard,
    /// There are answers, but not signed as they have to be.
    Insecure,
    Failed,
}

/// How far a lookup has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Progress {
    /// `cha.<name>` has not been answered.
    Asking,
    /// `cha.<name>` exists; whether as a wildcard is still open.
    Likely,
    Done(Verdict),
}

/// A verdict, at once or later. A sender that goes without one has failed.
#[derive(Debug, Clone)]
pub(crate) enum Probe {
    Known(Verdict),
    Running(watch::Receiver<Progress>),
}

impl Probe {
    /// Whether it has ended without telling anything.
    pub(crate) fn has_failed(&self) -> bool {
        match self {
            Self::Known(verdict) => *verdict == Verdict::Failed,
            Self::Running(running) => match &*running.borrow() {
                Progress::Done(verdict) => *verdict == Verdict::Failed,
                Progress::Asking | Progress::Likely => running.has_changed().is_err(),
            },
        }
    }
}

/// Looks up agents, with memory.
pub(crate) struct Prober {
    servers: watch::Receiver<Servers>,
    upstreams: Arc<Upstreams>,
    sockets: Sockets,
    anchor: Option<TrustAnchor>,
    state: Mutex<State>,
    permits: Arc<Semaphore>,
    tasks: Tasks,
    /// How long a lookup waits for the key of an agent that it has found, from
    /// its begin: an answer would wait as long to learn that there is one.
    lookup_window: Duration,
    /// Whether the log has been told of malformed keys.
    warned: AtomicBool,
    counters: Arc<Counters>,
}

/// The keys that agents have published, by the names they belong to.
type Keys = TtlCache<String, Option<AgentKey>>;

/// What holds only as long as the name servers are the same.
struct State {
    servers: Servers,
    resolver: Resolver,
    verdicts: TtlCache<Subject, Verdict>,
    wildcards: TtlCache<Subject, Answer>,
    keys: Keys,
    /// The signed addresses of names with agents, where they have to be.
    signed: TtlCache<Subject, Vec<IpAddr>>,
    asking_keys: BTreeMap<String, (u64, watch::Receiver<bool>)>,
    running: BTreeMap<Subject, (u64, watch::Receiver<Progress>)>,
    serial: u64,
}

impl Prober {
    pub(crate) fn new(
        servers: watch::Receiver<Servers>,
        upstreams: Arc<Upstreams>,
        sockets: Sockets,
        anchor: Option<TrustAnchor>,
        lookup_window: Duration,
        tasks: Tasks,
        counters: Arc<Counters>,
    ) -> Self {
        let current = servers.borrow().clone();
        Self {
            state: Mutex::new(State {
                resolver: Resolver::new(&current, &sockets, anchor.as_ref()),
                servers: current,
                verdicts: TtlCache::new(MAX_VERDICTS),
                wildcards: TtlCache::new(MAX_WILDCARDS),
                keys: TtlCache::new(MAX_VERDICTS),
                signed: TtlCache::new(MAX_VERDICTS),
                asking_keys: BTreeMap::new(),
                running: BTreeMap::new(),
                serial: 0,
            }),
            servers,
            upstreams,
            sockets,
            anchor,
            permits: Arc::new(Semaphore::new(MAX_RUNNING)),
            tasks,
            lookup_window,
            warned: AtomicBool::new(false),
            counters,
        }
    }

    /// Starts to look for the agent of `name`, or joins who already does.
    /// `again` asks anew where the memory says that there is none.
    pub(crate) fn begin(
        self: &Arc<Self>,
        name: &Name,
        family: Family,
        again: bool,
    ) -> Option<Probe> {
        let agent = names::agent_name(name)?;
        let key = (family, names::text(name));
        let mut state = self.state();
        if let Some(verdict) = state.verdicts.lookup(&key, Instant::now())
            && (!again || matches!(verdict, Verdict::Agents(_)))
        {
            self.counters.count(Counter::CacheHits);
            return Some(Probe::Known(verdict));
        }
        if let Some((_, running)) = state.running.get(&key) {
            return Some(Probe::Running(running.clone()));
        }
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            self.counters.count(Counter::DropTooManyLookups);
            return None;
        };
        self.counters.count(Counter::ChaLookups);
        let key_asked = self.ask_key(&mut state, &key.1, agent.clone());
        let key_by = Instant::now() + self.lookup_window;
        let (progress, running) = watch::channel(Progress::Asking);
        state.serial += 1;
        let serial = state.serial;
        state.running.insert(key.clone(), (serial, running.clone()));
        let search = Search {
            name: name.clone(),
            family,
            agent,
            resolver: state.resolver.clone(),
            order: self.upstreams.current_order(),
            wildcard: state.wildcards.lookup(&key, Instant::now()),
            must_be_signed: self.anchor.is_some(),
        };
        drop(state);
        let prober = Arc::clone(self);
        self.tasks.spawn(async move {
            let _permit = permit;
            let findings = timeout(PATIENCE, search.run(&progress))
                .await
                .unwrap_or_default();
            if let (Verdict::Agents(_), Some(mut asked)) = (&findings.verdict, key_asked) {
                let _in_time = timeout_at(key_by, asked.wait_for(|answered| *answered)).await;
            }
            prober.remember(key, serial, &findings);
            progress.send_replace(Progress::Done(findings.verdict));
        });
        Some(Probe::Running(running))
    }

    /// Those of the addresses that an answer gives for this name which may be
    /// reached through its agent: where they have to be signed, those that are.
    pub(crate) fn reachable(&self, name: &str, mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
        if self.anchor.is_none() {
            return addresses;
        }
        let family = addresses.first().copied().map(Family::of);
        let signed = family.and_then(|family| {
            let state = self.state();
            state
                .signed
                .lookup(&(family, name.to_owned()), Instant::now())
        });
        let signed = signed.unwrap_or_default();
        addresses.retain(|address| signed.contains(address));
        if addresses.is_empty() {
            self.counters.count(Counter::DropInsecure);
        }
        addresses
    }

    /// The key that the agent of this name has published, as far as it is
    /// known.
    pub(crate) fn key(&self, name: &str) -> Option<AgentKey> {
        let state = self.state();
        state.keys.lookup(&name.to_owned(), Instant::now())?
    }

    /// Asks for the key, unless it is known, and says how to learn that it is.
    fn ask_key(
        self: &Arc<Self>,
        state: &mut State,
        name: &str,
        agent: Name,
    ) -> Option<watch::Receiver<bool>> {
        if let Some((_, asking)) = state.asking_keys.get(name) {
            return Some(asking.clone());
        }
        if state
            .keys
            .lookup(&name.to_owned(), Instant::now())
            .is_some()
        {
            return None;
        }
        let (answered, asking) = watch::channel(false);
        state.serial += 1;
        let serial = state.serial;
        state
            .asking_keys
            .insert(name.to_owned(), (serial, asking.clone()));
        let resolver = state.resolver.clone();
        let order = self.upstreams.current_order();
        let (prober, name) = (Arc::clone(self), name.to_owned());
        self.tasks.spawn(async move {
            let found = timeout(PATIENCE, resolver.texts(agent, order)).await;
            prober.remember_key(name, serial, found.ok());
            answered.send_replace(true);
        });
        Some(asking)
    }

    fn remember_key(&self, name: String, serial: u64, found: Option<Texts>) {
        let mut state = self.state();
        let asked = state.asking_keys.get(&name).map(|(serial, _)| *serial);
        if asked != Some(serial) {
            return;
        }
        state.asking_keys.remove(&name);
        let Some(Texts { texts, ttl }) = found else {
            return;
        };
        let key = key::published(&texts).unwrap_or_else(|_malformed| {
            self.counters.count(Counter::DropMalformedKey);
            tracing::debug!(%name, "its home agent publishes a malformed key");
            if !self.warned.swap(true, Ordering::Relaxed) {
                tracing::warn!("a home agent publishes a malformed key, which is not pinned");
            }
            None
        });
        let ttl = ttl.min(MAX_POSITIVE_TTL);
        state.keys.insert(name, key, ttl, Instant::now());
    }

    /// The addresses of a name itself.
    pub(crate) async fn addresses(&self, name: &Name, family: Family) -> Answer {
        let resolver = self.state().resolver.clone();
        let order = self.upstreams.current_order();
        let lookup = resolver.addresses(name.clone(), family, order);
        timeout(PATIENCE, lookup).await.unwrap_or(Answer::Failed {
            ttl: Duration::ZERO,
        })
    }

    /// The state, emptied if the name servers have changed: another network
    /// may give other answers.
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let servers = self.servers.borrow();
        if !Arc::ptr_eq(&state.servers, &servers) {
            state.servers = Arc::clone(&servers);
            state.resolver = Resolver::new(&state.servers, &self.sockets, self.anchor.as_ref());
            state.verdicts.clear();
            state.wildcards.clear();
            state.keys.clear();
            state.signed.clear();
            state.asking_keys.clear();
            state.running.clear();
        }
        state
    }

    fn remember(&self, key: Subject, serial: u64, findings: &Findings) {
        match findings.verdict {
            Verdict::Wildcard => self.counters.count(Counter::DropWildcard),
            Verdict::Failed => self.counters.count(Counter::ChaLookupFailures),
            Verdict::Insecure => self.counters.count(Counter::DropInsecure),
            Verdict::Agents(_) | Verdict::NoAgent => {}
        }
        let mut state = self.state();
        if state
            .running
            .get(&key)
            .is_none_or(|(other, _)| *other != serial)
        {
            return;
        }
        state.running.remove(&key);
        let now = Instant::now();
        if let Some(wildcard) = &findings.wildcard {
            let ttl = ttl(wildcard).min(MAX_NEGATIVE_TTL);
            state
                .wildcards
                .insert(key.clone(), wildcard.clone(), ttl, now);
        }
        if let Some(signed) = &findings.signed {
            state
                .signed
                .insert(key.clone(), signed.clone(), findings.ttl, now);
        }
        state
            .verdicts
            .insert(key, findings.verdict.clone(), findings.ttl, now);
    }
}
