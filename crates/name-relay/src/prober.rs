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
use crate::chain::{Answer, Texts, UNSURE_TTL};
use crate::counters::{Counter, Counters};
use crate::family::Family;
use crate::key::{self, KeyFault, Published};
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
    /// There is an agent, but what it says of its key can't be insisted on.
    Unkeyed(KeyFault),
    Failed,
}

impl Verdict {
    /// Whether nothing was learnt.
    fn has_failed(&self) -> bool {
        matches!(self, Self::Failed | Self::Unkeyed(KeyFault::Unproven))
    }
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
            Self::Known(verdict) => verdict.has_failed(),
            Self::Running(running) => match &*running.borrow() {
                Progress::Done(verdict) => verdict.has_failed(),
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
    /// its begin: an answer would wait as long to learn that there is one. Where
    /// the key has to be signed, or that there is none, the lookup waits for that.
    lookup_window: Duration,
    /// Whether the log has been told of malformed keys.
    warned: AtomicBool,
    counters: Arc<Counters>,
}

/// How long a key is remembered beyond its time, for answers that are in work.
const KEY_GRACE: Duration = Duration::from_secs(10);

/// What an agent publishes, and when it has to be asked again.
#[derive(Debug, Clone, Copy)]
struct Known {
    published: Published,
    until: Instant,
}

/// What agents have published, by the names they belong to.
type Keys = TtlCache<String, Known>;

/// A question for a key, and its answer when there is one.
type Asking = watch::Receiver<Option<Known>>;

/// What holds only as long as the name servers are the same.
struct State {
    servers: Servers,
    resolver: Resolver,
    verdicts: TtlCache<Subject, Verdict>,
    wildcards: TtlCache<Subject, Answer>,
    keys: Keys,
    /// The signed addresses of names with agents, where they have to be.
    signed: TtlCache<Subject, Vec<IpAddr>>,
    asking_keys: BTreeMap<String, (u64, Asking)>,
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
        let now = Instant::now();
        if let Some(verdict) = state.verdicts.lookup(&key, now)
            && match matches!(verdict, Verdict::Agents(_)) {
                // The key may have changed since.
                true => state.known_key(&key.1, now).is_some(),
                false => !again,
            }
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
        let asked = self.ask_key(&mut state, &key.1, agent.clone());
        let key_by = Instant::now() + self.lookup_window;
        let (progress, running) = watch::channel(Progress::Asking);
        state.serial += 1;
        let serial = state.serial;
        state.running.insert(key.clone(), (serial, running.clone()));
        let search = Search {
            name: name.clone(),
            family,
            agent: agent.clone(),
            resolver: state.resolver.clone(),
            order: self.upstreams.current_order(),
            wildcard: state.wildcards.lookup(&key, Instant::now()),
            must_be_signed: self.anchor.is_some(),
        };
        drop(state);
        let prober = Arc::clone(self);
        self.tasks.spawn(async move {
            let _permit = permit;
            let mut findings = timeout(PATIENCE, search.run(&progress))
                .await
                .unwrap_or_default();
            if matches!(findings.verdict, Verdict::Agents(_)) {
                let known = match prober.anchor {
                    Some(_) => prober.proven_key(&key.1, &agent, &findings, asked).await,
                    None => timeout_at(key_by, answer(asked)).await.ok().flatten(),
                };
                prober.weigh(known, &mut findings);
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
    /// known; without one that has to be insisted on nobody may be led there.
    pub(crate) fn key(&self, name: &str) -> Published {
        let known = {
            let state = self.state();
            state.keys.lookup(&name.to_owned(), Instant::now())
        };
        match (known, &self.anchor) {
            (Some(known), _) => known.published,
            (None, None) => Ok(None),
            (None, Some(_)) => {
                self.counters.count(Counter::DropUnprovenKey);
                Err(KeyFault::Unproven)
            }
        }
    }

    /// What the agent of `name` publishes, by signature. Denials behind an alias say nothing of it, so
    /// that its end, which is known by signature, is asked then.
    async fn proven_key(
        &self,
        name: &str,
        agent: &Name,
        findings: &Findings,
        asked: Asking,
    ) -> Option<Known> {
        let known = answer(asked).await;
        let owner = findings.owner.as_ref().filter(|owner| *owner != agent);
        let (Some(owner), None | Some(Err(KeyFault::Unproven))) =
            (owner, known.map(|known| known.published))
        else {
            return known;
        };
        let (servers, resolver) = {
            let state = self.state();
            (Arc::clone(&state.servers), state.resolver.clone())
        };
        let order = self.upstreams.current_order();
        let found = timeout(PATIENCE, resolver.texts(owner.clone(), order)).await;
        let known = self.read_key(name, found.ok());
        let mut state = self.state();
        if Arc::ptr_eq(&state.servers, &servers) {
            state.keep_key(name.to_owned(), known);
        }
        Some(known)
    }

    /// Does without an agent whose key can't be insisted on.
    fn weigh(&self, known: Option<Known>, findings: &mut Findings) {
        let published = match known {
            Some(known) => known.published,
            None if self.anchor.is_some() => Err(KeyFault::Unproven),
            None => Ok(None),
        };
        if let Err(fault) = published {
            let now = Instant::now();
            let left = known.map(|known| known.until.saturating_duration_since(now));
            findings.verdict = Verdict::Unkeyed(fault);
            findings.ttl = findings.ttl.min(left.unwrap_or_default());
            findings.ttl = findings.ttl.min(MAX_NEGATIVE_TTL);
        }
    }

    /// Asks for the key, unless it is known.
    fn ask_key(self: &Arc<Self>, state: &mut State, name: &str, agent: Name) -> Asking {
        if let Some((_, asking)) = state.asking_keys.get(name) {
            return asking.clone();
        }
        if let Some(known) = state.known_key(name, Instant::now()) {
            return watch::channel(Some(known)).1;
        }
        let (answered, asking) = watch::channel(None);
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
            let known = prober.read_key(&name, found.ok());
            prober.remember_key(name, serial, known);
            answered.send_replace(Some(known));
        });
        asking
    }

    /// What the texts of an agent say of its key. What nobody could tell of is
    /// no key, unless that has to be signed.
    fn read_key(&self, name: &str, found: Option<Texts>) -> Known {
        let (published, ttl) = match found {
            Some(Texts::Found { texts, ttl }) => (key::published(&texts), ttl),
            Some(Texts::Nothing { ttl }) => (Ok(None), ttl),
            Some(Texts::Unproven { ttl }) => (Err(KeyFault::Unproven), ttl),
            None => (Err(KeyFault::Unproven), Duration::ZERO),
        };
        let (published, ttl) = match published {
            Err(KeyFault::Unproven) if self.anchor.is_none() => (Ok(None), ttl.max(UNSURE_TTL)),
            published => (published, ttl),
        };
        if published == Err(KeyFault::Malformed) {
            self.counters.count(Counter::DropMalformedKey);
            tracing::debug!(%name, "its home agent publishes a malformed key, or several");
            if !self.warned.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "a home agent publishes a malformed key, or several, and is done without"
                );
            }
        }
        Known {
            published,
            until: Instant::now() + ttl.min(MAX_POSITIVE_TTL),
        }
    }

    fn remember_key(&self, name: String, serial: u64, known: Known) {
        let mut state = self.state();
        let asked = state.asking_keys.get(&name).map(|(serial, _)| *serial);
        if asked == Some(serial) {
            state.asking_keys.remove(&name);
            state.keep_key(name, known);
        }
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
            Verdict::Unkeyed(KeyFault::Unproven) => {
                self.counters.count(Counter::DropUnprovenKey);
                tracing::debug!(name = %key.1, "whether its home agent publishes a key is not signed");
            }
            Verdict::Agents(_) | Verdict::NoAgent | Verdict::Unkeyed(KeyFault::Malformed) => {}
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

impl State {
    /// What an agent publishes, unless it has to be asked again.
    fn known_key(&self, name: &str, now: Instant) -> Option<Known> {
        let known = self.keys.lookup(&name.to_owned(), now);
        known.filter(|known| now < known.until)
    }

    fn keep_key(&mut self, name: String, known: Known) {
        let now = Instant::now();
        let ttl = known.until.saturating_duration_since(now) + KEY_GRACE;
        self.keys.insert(name, known, ttl, now);
    }
}

/// The answer to a question for a key; none if nobody works on it any more.
async fn answer(mut asked: Asking) -> Option<Known> {
    let answered = asked.wait_for(Option::is_some).await;
    answered.ok().and_then(|known| *known)
}
