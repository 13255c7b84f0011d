//! A mobile node and a home agent that share keys, with nothing between them.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::sync::Arc;

use super::*;
use crate::Transmit;
use crate::home_agent::{self, HomeAgent, MobileNodeConfig, Mode, Quotas, StoreChange};
use crate::security::HomeAgentSecret;

/// A mobile node and a home agent that knows it.
pub(super) struct Pair {
    pub(super) family: Family,
    pub(super) begin: Instant,
    pub(super) now: Instant,
    pub(super) node: MobileNode,
    pub(super) agent: HomeAgent,
    pub(super) records: BTreeMap<home_agent::Owner, home_agent::StoredRecord>,
    pub(super) sent: Vec<Duration>,
    pub(super) losses: usize,
}

fn home_agent_with(keys: &[SecurityAssociation], now: Instant, unix_time: Duration) -> HomeAgent {
    let known = |association: &SecurityAssociation| MobileNodeConfig {
        identity: identity(),
        address: None,
        association: association.clone(),
        proves_moves: true,
    };
    let config = home_agent::Config {
        ipv4: Some(AGENT),
        ipv6: Some("2001:db8::10".parse().unwrap()),
        pools: vec![
            "10.128.0.0/24".parse().unwrap(),
            "2001:db8:ff::/120".parse().unwrap(),
        ],
        exclude: vec![],
        hold_down: seconds(60),
        default_lifetime: seconds(600),
        max_lifetime: seconds(600),
        mode: Mode::Authenticated {
            secret: HomeAgentSecret::from_seed(&[9; 32]),
        },
        quotas: Quotas::default(),
        mobile_nodes: keys.iter().map(known).collect(),
        correspondents: Arc::from(["192.0.2.0/24".parse().unwrap()]),
        replay_window: seconds(7),
    };
    HomeAgent::new(config, [2; 32], now, unix_time).unwrap()
}

impl Pair {
    pub(super) fn new(family: Family, keys: &[SecurityAssociation]) -> Self {
        let now = Instant::now();
        Self {
            family,
            begin: now,
            now,
            node: MobileNode::new(Config::new(identity()), [7; 32], now, NEW_YEAR),
            agent: home_agent_with(keys, now, NEW_YEAR),
            records: BTreeMap::new(),
            sent: Vec::new(),
            losses: 0,
        }
    }

    pub(super) fn at(&self) -> HomeAgentAddress {
        match self.family {
            Family::Ipv4 => agent(),
            Family::Ipv6 => HomeAgentAddress("2001:db8::10".parse().unwrap()),
        }
    }

    pub(super) fn credentials(&self, keys: &[SecurityAssociation]) -> Credentials {
        Credentials::Associations {
            preferred: keys[0].clone(),
            others: keys[1..].to_vec(),
        }
    }

    pub(super) fn bind(&mut self, keys: &[SecurityAssociation]) {
        let server: IpAddr = match self.family {
            Family::Ipv4 => SERVER.into(),
            Family::Ipv6 => Ipv6Addr::from([0x2001, 0xdb8, 9, 0, 0, 0, 0, 80]).into(),
        };
        let credentials = self.credentials(keys);
        let bound = self.node.bind(
            self.at(),
            "server.example",
            &[server],
            credentials,
            self.now,
        );
        assert_eq!(bound, Ok(()));
        self.attach(1);
    }

    pub(super) fn attach(&mut self, n: u8) {
        let path = match self.family {
            Family::Ipv4 => path(n),
            Family::Ipv6 => Path {
                care_of: CareOfAddress::from(Ipv6Addr::from([
                    0x2001,
                    0xdb8,
                    n.into(),
                    0,
                    0,
                    0,
                    0,
                    7,
                ])),
                interface: n.into(),
            },
        };
        self.node
            .handle_path(self.at(), Some(path), false, self.now);
        self.settle();
    }

    /// Everything crosses until nothing more is sent.
    pub(super) fn settle(&mut self) {
        while let Some(sent) = self.node.poll_transmit() {
            self.sent.push(self.now - self.begin);
            self.agent.handle_input(incoming(&sent), self.now);
            while let Some(change) = self.agent.poll_store_change() {
                match change {
                    StoreChange::Put(record) => self.records.insert(record.owner(), record),
                    StoreChange::Delete(owner, _) => self.records.remove(&owner),
                };
            }
            while self.agent.poll_event().is_some() {}
            while let Some(answer) = self.agent.poll_transmit() {
                self.node.handle_input(incoming(&answer), self.now);
            }
        }
        while let Some(event) = self.node.poll_event() {
            self.losses += usize::from(matches!(event, Event::Lost { .. }));
            if let Event::CheckUsage { agent, .. } = event {
                self.node.handle_usage(agent, Usage::Sockets, self.now);
            }
        }
    }

    pub(super) fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.node.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.node.handle_timeout(self.now);
            self.agent.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    pub(super) fn unix_time(&self) -> Duration {
        NEW_YEAR + (self.now - self.begin)
    }

    /// The home agent is restarted with other keys.
    pub(super) fn reconfigure(&mut self, keys: &[SecurityAssociation]) {
        self.agent = home_agent_with(keys, self.now, self.unix_time());
        self.agent.restore(self.records.values().cloned(), self.now);
        while self.agent.poll_event().is_some() {}
    }

    /// The mobile node is restarted with other keys.
    pub(super) fn restart(&mut self, keys: &[SecurityAssociation]) {
        let stored = self.node.snapshot(self.now);
        assert_eq!(stored.len(), 1);
        self.node = MobileNode::new(Config::new(identity()), [8; 32], self.now, self.unix_time());
        let credentials = self.credentials(keys);
        let stored = stored.into_iter().map(|one| (one, credentials.clone()));
        self.node.restore(stored, self.now);
        self.attach(1);
        self.advance(seconds(10));
    }

    pub(super) fn state(&self) -> Option<BindingState> {
        Some(self.node.bindings(self.now).first()?.state)
    }

    /// What the home agent has of the mobile node: under which key, and which address.
    pub(super) fn known(&self) -> (u32, Option<HomeAddress>) {
        let record = self.records.values().next().unwrap();
        let lent = self.agent.bindings(self.now).next();
        (record.association.spi, lent.map(|lent| lent.home_address))
    }
}

fn incoming(transmit: &Transmit) -> Datagram<'_> {
    Datagram {
        source: transmit.source,
        destination: transmit.destination,
        transport: transmit.transport,
        home_address: None,
        payload: &transmit.payload,
    }
}
