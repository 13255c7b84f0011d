//! A home agent with its driver, and what must hold.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mobility_protocol::home_agent::{
    BindingState, BindingView, Config, Event, HomeAgent, MobileNodeConfig, Mode, Owner, Quotas,
    Rates, StoreChange, StoredLease, StoredRecord,
};
use mobility_protocol::wire::Identification;
use mobility_protocol::wire::mip4::Message;
use mobility_protocol::{DataplaneChange, Family, HomeAddress, Identity, Tunnel};

use super::super::time::{Clock, MANY, Timed};
use super::requests::{FIXED, LAPTOP, PHONE, association, identity, secret};
use super::{Arrival, HOME_AGENT, HOME_AGENT_6};

const HOLD_DOWN: Duration = Duration::from_secs(240);
const LONGEST: Duration = Duration::from_secs(600);
const EXCLUDED: Ipv4Addr = Ipv4Addr::new(10, 128, 0, 5);
/// Longer than anything lasts, whatever was done to the clock.
const LONG: Duration = Duration::from_secs(2 * 24 * 3600);

pub(crate) struct World {
    agent: HomeAgent,
    open: bool,
    clock: Clock,
    store: BTreeMap<(Owner, Family), StoredRecord>,
    /// What could not be made durable.
    pending: Vec<StoreChange>,
    pub(crate) store_fails: bool,
    tunnels: BTreeMap<HomeAddress, Tunnel>,
    /// Who had an address that rests now, and since when, as far as this life of the agent knows.
    former: BTreeMap<HomeAddress, (Identity, Instant)>,
    latest: VecDeque<Arrival>,
    /// Datagrams in this life of the agent.
    delivered: u64,
    sequence: u16,
    /// How often the process began.
    lives: u64,
    /// What the phone's next request repeats.
    nonce: u32,
}

impl World {
    pub(crate) fn new(kind: u8) -> Self {
        let clock = Clock::new();
        let open = kind & 1 == 0;
        Self {
            agent: new_agent(open, kind, 1, &clock),
            open,
            clock,
            store: BTreeMap::new(),
            pending: Vec::new(),
            store_fails: false,
            tunnels: BTreeMap::new(),
            former: BTreeMap::new(),
            latest: VecDeque::new(),
            delivered: 0,
            sequence: 0,
            lives: 1,
            nonce: 0,
        }
    }

    pub(crate) fn unix_time(&self) -> Duration {
        self.clock.unix_time()
    }

    /// The next one, or one out of order.
    pub(crate) fn sequence(&mut self, stamp: u8) -> u16 {
        self.sequence = self.sequence.wrapping_add(1);
        match stamp {
            0..=191 => self.sequence,
            some => self.sequence.wrapping_add(u16::from(some) << 8),
        }
    }

    /// The home agent's last nonce, with one of the phone's.
    pub(crate) fn nonces(&mut self) -> Identification {
        let ours = self.sequence(0);
        Identification::from_parts(self.nonce, ours.into())
    }

    pub(crate) fn bound_to(&self, name: &str, family: Family) -> Option<IpAddr> {
        let identity = identity(name);
        self.bindings()
            .into_iter()
            .find(|binding| binding.identity == identity && binding.home_address.family() == family)
            .map(|binding| binding.home_address.ip())
    }

    pub(crate) fn any_bound(&self, which: u8, family: Family) -> Option<IpAddr> {
        let mut bindings = self.bindings();
        bindings.retain(|binding| binding.home_address.family() == family);
        let index = usize::from(which) % bindings.len().max(1);
        bindings.get(index).map(|binding| binding.home_address.ip())
    }

    pub(crate) fn deliver(&mut self, arrival: Arrival) {
        self.wake();
        let before = arrival.forged.then(|| self.bindings());
        self.agent.handle_input(arrival.datagram(), self.clock.now);
        let answers = self.drain();
        self.delivered += 1;
        assert!(answers.len() <= 1, "{arrival:?}");
        for (destination, length) in answers {
            assert_eq!(destination, arrival.source, "it was not asked: {arrival:?}");
            assert!(length <= arrival.payload.len(), "amplified: {arrival:?}");
        }
        if let Some(before) = before {
            assert_eq!(self.bindings(), before, "{arrival:?}");
        }
        if self.latest.len() == 8 {
            self.latest.pop_front();
        }
        self.latest.push_back(arrival);
    }

    /// An earlier message arrives again.
    pub(crate) fn repeat(&mut self, back: usize) {
        let index = self.latest.len().checked_sub(1 + back);
        if let Some(mut arrival) = index.and_then(|index| self.latest.get(index)).cloned() {
            arrival.forged |= arrival.good_once;
            self.deliver(arrival);
        }
    }

    /// The process dies with what it could not store, and comes back after this time, perhaps with
    /// another mode.
    pub(crate) fn restart(&mut self, after: Duration, change: u8) {
        self.pending.clear();
        self.clock.skip(Duration::from_secs(1_000_000), after);
        if change % 4 == 1 {
            self.open = !self.open;
        }
        self.lives += 1;
        self.agent = new_agent(self.open, change, self.lives, &self.clock);
        self.tunnels.clear();
        self.former.clear();
        self.delivered = 0;
        let records: Vec<_> = self.store.values().cloned().collect();
        let count = records.len() as u64;
        let summary = self.agent.restore(records, self.clock.now);
        assert_eq!(
            summary.bound
                + summary.expired
                + summary.released
                + summary.forgotten
                + summary.discarded,
            count
        );
        self.drain();
    }

    /// Everybody has gone, and nothing is left.
    pub(crate) fn leave(&mut self) {
        self.store_fails = false;
        self.wait(LONG);
        self.drain();
        self.check();
        assert_eq!(self.bindings(), []);
        for usage in self.agent.pool_usage() {
            assert_eq!((usage.used, usage.held_down), (0, 0), "{}", usage.prefix);
        }
        assert_eq!(self.store.len(), 0);
        assert_eq!(self.agent.poll_timeout(), None);
    }

    /// What holds at any time.
    pub(crate) fn check(&self) {
        let bindings = self.bindings();
        let mut holders: BTreeMap<_, usize> = BTreeMap::new();
        let mut carried = BTreeMap::new();
        for binding in &bindings {
            let home_address = binding.home_address;
            let family = home_address.family();
            assert!(may_be_lent(home_address.ip()), "{binding:?}");
            assert!(carried.insert(home_address, binding.care_of).is_none());
            *holders.entry((family, &binding.identity)).or_default() += 1;
            let laptop = binding.identity == identity(LAPTOP);
            if family == Family::Ipv4 {
                assert_eq!(laptop, home_address.ip() == FIXED, "{binding:?}");
            }
            let known = laptop || binding.identity == identity(PHONE);
            assert_eq!(binding.authenticated, known, "{binding:?}");
            assert!(known || self.open, "{binding:?}");
            assert!(binding.expires_in > Duration::ZERO, "{binding:?}");
            assert!(binding.expires_in <= binding.lifetime, "{binding:?}");
            assert!(binding.lifetime <= LONGEST, "{binding:?}");
            self.check_tunnel(binding);
        }
        for ((_, identity), count) in holders {
            // A stranger has one under the key everybody knows, and one under his own.
            let most = match [LAPTOP, PHONE].map(self::identity).contains(identity) {
                true => 1,
                false => 2,
            };
            assert!(count <= most, "{identity} has {count}");
        }
        assert_eq!(self.tunnels.len(), bindings.len());
        for family in [Family::Ipv4, Family::Ipv6] {
            let of_family = |address: IpAddr| Family::of(address) == family;
            let usage = self.agent.pool_usage();
            let usage = usage.iter().filter(|usage| of_family(usage.prefix.addr()));
            let (mut used, mut resting, mut size) = (0, 0, 0);
            for usage in usage {
                used += usage.used;
                resting += usage.held_down;
                size += usage.size;
            }
            let bound = carried.keys().filter(|home| of_family(home.ip())).count();
            assert_eq!(used, bound as u64, "{family:?}");
            assert!(used + resting <= size, "{family:?}");
        }
        if self.pending.is_empty() {
            let stored: BTreeMap<_, _> = self
                .store
                .values()
                .filter_map(|record| match record.lease {
                    StoredLease::Bound {
                        home_address,
                        care_of,
                        ..
                    } => Some((home_address, care_of)),
                    StoredLease::Released { .. } => None,
                })
                .collect();
            assert_eq!(stored, carried);
        }
        let counted: u64 = self
            .agent
            .counters()
            .iter()
            .filter(|(name, _)| {
                ["drop_", "reply_", "status_", "challenges"]
                    .iter()
                    .any(|of| name.starts_with(of))
            })
            .map(|(_, count)| count)
            .sum();
        assert_eq!(counted, self.delivered, "{:?}", self.agent.counters());
    }

    fn check_tunnel(&self, binding: &BindingView) {
        let Some(tunnel) = self.tunnels.get(&binding.home_address) else {
            unreachable!("not carried: {binding:?}")
        };
        assert_eq!(tunnel.endpoints.remote, binding.care_of.ip());
        assert_eq!(
            tunnel.former_remote.is_some(),
            binding.state == BindingState::Moving,
            "{binding:?}"
        );
        let local: IpAddr = match binding.home_address.family() {
            Family::Ipv4 => HOME_AGENT.into(),
            Family::Ipv6 => HOME_AGENT_6.into(),
        };
        assert_eq!(tunnel.endpoints.local, local);
        assert_ne!(tunnel.endpoints.remote, local);
        assert_ne!(tunnel.endpoints.remote, binding.home_address.ip());
        assert_eq!(tunnel.correspondents.len(), 1, "those of the family");
    }

    fn bindings(&self) -> Vec<BindingView> {
        self.agent.bindings(self.clock.now).collect()
    }

    /// A round of the driver. Gives what left: to whom, and how many octets.
    fn drain(&mut self) -> Vec<(IpAddr, usize)> {
        let mut left = Vec::new();
        for turn in 0.. {
            assert!(turn < MANY, "its outputs don't end");
            if let Some(change) = self.agent.poll_store_change() {
                self.pending.push(change);
            } else if let Some(event) = self.agent.poll_event() {
                self.execute(event);
            } else if let Some(transmit) = self.agent.poll_transmit() {
                self.nonce = nonce_for_phone(&transmit.payload).unwrap_or(self.nonce);
                left.push((transmit.destination, transmit.payload.len()));
            } else {
                break;
            }
        }
        if self.store_fails {
            left.clear();
            return left;
        }
        for change in self.pending.drain(..) {
            match change {
                StoreChange::Put(record) => {
                    self.store.insert((record.owner(), record.family()), record);
                }
                StoreChange::Delete(owner, family) => {
                    self.store.remove(&(owner, family));
                }
            }
        }
        left
    }

    fn execute(&mut self, event: Event) {
        match event {
            Event::Dataplane(DataplaneChange::Install(tunnel)) => {
                self.tunnels.insert(tunnel.home_address, tunnel);
            }
            Event::Dataplane(DataplaneChange::Remove(home_address)) => {
                assert!(self.tunnels.remove(&home_address).is_some());
            }
            Event::BindingCreated {
                home_address,
                identity,
                ..
            } => {
                if let Some((former, since)) = self.former.remove(&home_address) {
                    assert!(
                        former == identity || self.clock.now - since >= HOLD_DOWN,
                        "{home_address} was {former}'s a moment ago, now it is {identity}'s"
                    );
                }
            }
            Event::BindingReleased {
                home_address,
                identity,
            }
            | Event::BindingExpired {
                home_address,
                identity,
            } => {
                self.former.insert(home_address, (identity, self.clock.now));
            }
            Event::BindingMoved { .. } | Event::BindingRefreshed { .. } | Event::Refused { .. } => {
            }
        }
    }
}

impl Timed for World {
    fn clock(&mut self) -> &mut Clock {
        &mut self.clock
    }

    fn due(&self) -> Option<Instant> {
        self.agent.poll_timeout()
    }

    fn wake(&mut self) {
        self.agent.handle_timeout(self.clock.now);
        self.drain();
    }

    fn tell_unix_time(&mut self) {
        let unix_time = self.clock.unix_time();
        self.agent.handle_unix_time(unix_time, self.clock.now);
        self.drain();
    }
}

fn new_agent(open: bool, kind: u8, life: u64, clock: &Clock) -> HomeAgent {
    let mut seed = [kind; 32];
    if let Some(first) = seed.first_chunk_mut() {
        *first = life.to_be_bytes();
    }
    let node = |name, address: Option<Ipv4Addr>| MobileNodeConfig {
        identity: identity(name),
        address: address.map(IpAddr::V4),
        association: association(name),
        proves_moves: true,
    };
    let net = |text: &str| text.parse().unwrap_or_else(|error| unreachable!("{error}"));
    let mode = match open {
        true => Mode::Open {
            secret: secret(),
            legacy: true,
        },
        false => Mode::Authenticated { secret: secret() },
    };
    let config = Config {
        ipv4: Some(HOME_AGENT),
        ipv6: Some(HOME_AGENT_6),
        pools: vec![net("10.128.0.0/28"), net("2001:db8:200:1::/125")],
        exclude: vec![IpAddr::V4(EXCLUDED).into()],
        hold_down: HOLD_DOWN,
        default_lifetime: LONGEST / 2,
        max_lifetime: LONGEST,
        mode,
        quotas: Quotas {
            host: 4,
            site: 6,
            rates: Rates {
                host: 1,
                site: 2,
                all: 3,
            },
            first_lifetime: LONGEST / 4,
        },
        mobile_nodes: vec![node(LAPTOP, Some(FIXED)), node(PHONE, None)],
        correspondents: Arc::from([net("198.51.100.0/24"), net("2001:db8:300::/48")]),
        replay_window: Duration::from_secs(7),
    };
    HomeAgent::new(config, seed, clock.now, clock.unix_time())
        .unwrap_or_else(|error| unreachable!("{error}"))
}

/// What this answer has the phone repeat, if it is one to the phone.
fn nonce_for_phone(payload: &[u8]) -> Option<u32> {
    match Message::decode(payload) {
        Ok(Message::RegistrationReply(reply)) => (reply.extensions.nai()?.as_bytes()
            == PHONE.as_bytes())
        .then(|| reply.identification.high()),
        Ok(_) | Err(_) => None,
    }
}

/// Whether any host may be lent this address.
fn may_be_lent(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, last] = address.octets();
            (a, b, c) == (10, 128, 0) && (1..=14).contains(&last) && address != EXCLUDED
        }
        IpAddr::V6(address) => {
            let first = Ipv6Addr::new(0x2001, 0xdb8, 0x200, 1, 0, 0, 0, 0).to_bits();
            (first + 1..first + 8).contains(&address.to_bits())
        }
    }
}
