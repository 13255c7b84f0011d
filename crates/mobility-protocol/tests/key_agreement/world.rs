//! A laptop, a home agent, and the wire between them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mobility_protocol::home_agent::{
    self, HomeAgent, Mode, Owner, Quotas, StoreChange, StoredRecord,
};
use mobility_protocol::mobile_node::{
    BindError, BindingState, Config, Credentials, MobileNode, Pin,
};
use mobility_protocol::security::{HomeAgentSecret, PublicKey};
use mobility_protocol::{
    CareOfAddress, Datagram, Family, HomeAgentAddress, Identity, Path, Transmit,
};

pub(crate) const NEW_YEAR: Duration = Duration::from_secs(1_767_225_600);
pub(crate) const SEED: [u8; 32] = [9; 32];

/// A laptop, a home agent, and the wire between them.
pub(crate) struct World {
    pub(crate) begin: Instant,
    pub(crate) now: Instant,
    pub(crate) family: Family,
    pub(crate) laptop: MobileNode,
    pub(crate) agent: HomeAgent,
    pub(crate) store: BTreeMap<(Owner, Family), StoredRecord>,
}

impl World {
    pub(crate) fn new(family: Family) -> Self {
        Self::with(family, |_| {})
    }

    /// With another configuration of the home agent.
    pub(crate) fn with(family: Family, change: impl FnOnce(&mut home_agent::Config)) -> Self {
        let now = Instant::now();
        let mut config = agent_config(&SEED);
        change(&mut config);
        Self {
            begin: now,
            now,
            family,
            laptop: MobileNode::new(Config::new(identity()), [1; 32], now, NEW_YEAR),
            agent: HomeAgent::new(config, [2; 32], now, NEW_YEAR).unwrap(),
            store: BTreeMap::new(),
        }
    }

    /// A world in which the laptop had a binding, and the home agent has forgotten it.
    pub(crate) fn acquainted(family: Family) -> Self {
        let mut world = Self::new(family);
        world.bind(None);
        world.settle();
        world.laptop.release(home_agent(family), world.now);
        world.settle();
        world.wait(Duration::from_secs(3600));
        assert_eq!(world.agent.bindings(world.now).count(), 0);
        assert_eq!(world.store.len(), 0);
        assert_eq!(world.drops("challenges"), 1);
        world
    }

    pub(crate) fn bind(&mut self, pinned: Option<PublicKey>) {
        self.bind_at(pinned, 7);
    }

    pub(crate) fn bind_at(&mut self, pinned: Option<PublicKey>, last: u8) {
        let pinned = pinned.map(Pin::Configured);
        let credentials = Credentials::Agreement { pinned };
        self.bind_with("server.example", credentials).unwrap();
        self.attach(last);
    }

    /// A name is looked up which leads to the home agent; the laptop is where it was.
    pub(crate) fn bind_name(&mut self, name: &str, pinned: Option<Pin>) -> Result<(), BindError> {
        self.bind_with(name, Credentials::Agreement { pinned })?;
        self.attach(7);
        Ok(())
    }

    pub(crate) fn bind_with(
        &mut self,
        name: &str,
        credentials: Credentials,
    ) -> Result<(), BindError> {
        let server = address(self.family, 80);
        let agent = home_agent(self.family);
        self.laptop
            .bind(agent, name, &[server], credentials, self.now)
    }

    pub(crate) fn attach(&mut self, last: u8) {
        let path = Path {
            care_of: CareOfAddress(address(self.family, last)),
            interface: 2,
        };
        self.laptop
            .handle_path(home_agent(self.family), Some(path), false, self.now);
    }

    /// What the laptop sends now.
    pub(crate) fn sent(&mut self) -> Vec<Transmit> {
        std::iter::from_fn(|| self.laptop.poll_transmit()).collect()
    }

    /// What the home agent answers to this from there.
    pub(crate) fn answers(&mut self, sent: &Transmit, source: IpAddr) -> Vec<Transmit> {
        let datagram = Datagram {
            source,
            destination: sent.destination,
            transport: sent.transport,
            home_address: None,
            payload: &sent.payload,
        };
        self.agent.handle_input(datagram, self.now);
        self.commit();
        while self.agent.poll_event().is_some() {}
        std::iter::from_fn(|| self.agent.poll_transmit()).collect()
    }

    pub(crate) fn commit(&mut self) {
        while let Some(change) = self.agent.poll_store_change() {
            let key = (change.owner(), change.family());
            match change {
                StoreChange::Put(record) => self.store.insert(key, record),
                StoreChange::Delete(..) => self.store.remove(&key),
            };
        }
    }

    pub(crate) fn deliver(&mut self, answer: &Transmit) {
        let datagram = Datagram {
            source: answer.source,
            destination: answer.destination,
            transport: answer.transport,
            home_address: None,
            payload: &answer.payload,
        };
        self.laptop.handle_input(datagram, self.now);
    }

    /// Lets everything cross until nothing more is sent; tells the sizes of questions and answers.
    pub(crate) fn settle(&mut self) -> Vec<(usize, usize)> {
        let mut exchanges = Vec::new();
        for _ in 0..10 {
            for sent in self.sent() {
                let answers = self.answers(&sent, sent.source);
                for answer in answers {
                    exchanges.push((sent.payload.len(), answer.payload.len()));
                    self.deliver(&answer);
                }
            }
        }
        exchanges
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.laptop.handle_timeout(self.now);
        self.agent.handle_timeout(self.now);
        self.commit();
    }

    pub(crate) fn unix_time(&self) -> Duration {
        NEW_YEAR + (self.now - self.begin)
    }

    /// A mobile node of the same name begins in the laptop's place.
    pub(crate) fn another_laptop(&self, seed: u8) -> MobileNode {
        let config = Config::new(identity());
        MobileNode::new(config, [seed; 32], self.now, self.unix_time())
    }

    /// Another process begins in the home agent's place, with the secret of this seed and what is stored.
    pub(crate) fn replace_agent(&mut self, seed: &[u8; 32]) {
        let unix_time = self.unix_time();
        let agent = HomeAgent::new(agent_config(seed), [3; 32], self.now, unix_time);
        self.agent = agent.unwrap();
        let stored = self.store.values().cloned();
        self.agent.restore(stored, self.now);
        self.commit();
    }

    pub(crate) fn state(&self) -> Option<BindingState> {
        Some(self.laptop.bindings(self.now).first()?.state)
    }

    pub(crate) fn drops(&self, name: &str) -> u64 {
        let laptop = self.laptop.counters();
        let agent = self.agent.counters();
        laptop
            .into_iter()
            .map(|(name, count)| (name.into_owned(), count))
            .chain(
                agent
                    .into_iter()
                    .map(|(name, count)| (name.to_owned(), count)),
            )
            .filter(|(known, _)| known == name)
            .map(|(_, count)| count)
            .sum()
    }
}

pub(crate) fn address(family: Family, last: u8) -> IpAddr {
    match family {
        Family::Ipv4 => [198, 51, 100, last].into(),
        Family::Ipv6 => format!("2001:db8:9::{last:x}").parse().unwrap(),
    }
}

pub(crate) fn home_agent(family: Family) -> HomeAgentAddress {
    match family {
        Family::Ipv4 => Ipv4Addr::new(203, 0, 113, 10).into(),
        Family::Ipv6 => HomeAgentAddress("2001:db8::10".parse().unwrap()),
    }
}

pub(crate) fn agent_config(seed: &[u8; 32]) -> home_agent::Config {
    home_agent::Config {
        ipv4: Some(Ipv4Addr::new(203, 0, 113, 10)),
        ipv6: Some("2001:db8::10".parse().unwrap()),
        pools: vec![
            "10.128.0.0/24".parse().unwrap(),
            "2001:db8:1::/120".parse().unwrap(),
        ],
        exclude: vec![],
        hold_down: Duration::from_secs(60),
        default_lifetime: Duration::from_secs(600),
        max_lifetime: Duration::from_secs(600),
        mode: Mode::Open {
            secret: HomeAgentSecret::from_seed(seed),
            legacy: false,
        },
        quotas: Quotas {
            first_lifetime: Duration::from_secs(600),
            ..Quotas::default()
        },
        mobile_nodes: vec![],
        correspondents: Arc::from(["192.0.2.0/24".parse().unwrap()]),
        replay_window: Duration::from_secs(7),
    }
}

pub(crate) fn identity() -> Identity {
    Identity::new("a@b").unwrap()
}

pub(crate) fn families(test: impl Fn(Family)) {
    test(Family::Ipv4);
    test(Family::Ipv6);
}
