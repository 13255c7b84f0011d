//! Several keys for one home agent, of which it knows some: whichever it is, there is a binding, and a key
//! is changed without one being lost.

use std::net::Ipv6Addr;
use std::sync::Arc;

use super::*;
use crate::Transmit;
use crate::home_agent::{self, HomeAgent, MobileNodeConfig, Mode, Quotas, StoreChange};
use crate::security::{Algorithm, HomeAgentSecret, Key};

const OLD: u32 = 300;
const NEW: u32 = 301;

/// The key under this index; `variant` tells apart what two sides believe it is.
fn key(spi: u32, variant: u8) -> SecurityAssociation {
    SecurityAssociation {
        spi,
        algorithm: Algorithm::HmacSha256,
        key: Key::new([spi.to_be_bytes()[3], variant].repeat(16)).unwrap(),
    }
}

/// A mobile node and a home agent that knows it.
struct Pair {
    family: Family,
    begin: Instant,
    now: Instant,
    node: MobileNode,
    agent: HomeAgent,
    records: BTreeMap<home_agent::Owner, home_agent::StoredRecord>,
    sent: Vec<Duration>,
    losses: usize,
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
    fn new(family: Family, keys: &[SecurityAssociation]) -> Self {
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

    fn at(&self) -> HomeAgentAddress {
        match self.family {
            Family::Ipv4 => agent(),
            Family::Ipv6 => HomeAgentAddress("2001:db8::10".parse().unwrap()),
        }
    }

    fn credentials(&self, keys: &[SecurityAssociation]) -> Credentials {
        Credentials::Associations {
            preferred: keys[0].clone(),
            others: keys[1..].to_vec(),
        }
    }

    fn bind(&mut self, keys: &[SecurityAssociation]) {
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

    fn attach(&mut self, n: u8) {
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
    fn settle(&mut self) {
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

    fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.node.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.node.handle_timeout(self.now);
            self.agent.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    fn unix_time(&self) -> Duration {
        NEW_YEAR + (self.now - self.begin)
    }

    /// The home agent is restarted with other keys.
    fn reconfigure(&mut self, keys: &[SecurityAssociation]) {
        self.agent = home_agent_with(keys, self.now, self.unix_time());
        self.agent.restore(self.records.values().cloned(), self.now);
        while self.agent.poll_event().is_some() {}
    }

    /// The mobile node is restarted with other keys.
    fn restart(&mut self, keys: &[SecurityAssociation]) {
        let stored = self.node.snapshot(self.now);
        assert_eq!(stored.len(), 1);
        self.node = MobileNode::new(Config::new(identity()), [8; 32], self.now, self.unix_time());
        let credentials = self.credentials(keys);
        let stored = stored.into_iter().map(|one| (one, credentials.clone()));
        self.node.restore(stored, self.now);
        self.attach(1);
        self.advance(seconds(10));
    }

    fn state(&self) -> Option<BindingState> {
        Some(self.node.bindings(self.now).first()?.state)
    }

    /// What the home agent has of the mobile node: under which key, and which address.
    fn known(&self) -> (u32, Option<HomeAddress>) {
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

/// When the next key is tried where nothing is said about the one before: an application is waiting.
const SOON: Duration = Duration::from_millis(200);

fn families(test: impl Fn(Family)) {
    test(Family::Ipv4);
    test(Family::Ipv6);
}

#[test]
fn the_key_the_home_agent_has_is_found_and_remembered() {
    families(|family| {
        let keys = [key(NEW, 0), key(OLD, 0)];
        let mut pair = Pair::new(family, &[key(OLD, 0)]);
        pair.bind(&keys);
        pair.advance(seconds(2));
        assert_eq!(pair.state(), Some(BindingState::Active), "{family}");
        assert_eq!(pair.sent, [seconds(0), SOON], "{family}");

        // From now on it comes first: at a move, and for another binding.
        pair.attach(2);
        assert_eq!(pair.state(), Some(BindingState::Active));
        pair.node.release(pair.at(), pair.now);
        pair.settle();
        assert_eq!(pair.state(), None);
        pair.bind(&keys);
        assert_eq!(pair.state(), Some(BindingState::Active), "at once");
    });
}

#[test]
fn a_wrong_key_under_a_known_index_is_no_obstacle_either() {
    families(|family| {
        let mut pair = Pair::new(family, &[key(OLD, 0), key(NEW, 1)]);
        pair.bind(&[key(NEW, 0), key(OLD, 0)]);
        pair.advance(seconds(2));
        assert_eq!(pair.state(), Some(BindingState::Active), "{family}");
        // Over IPv6 the home agent says so.
        let second = match family {
            Family::Ipv4 => SOON,
            Family::Ipv6 => Duration::ZERO,
        };
        assert_eq!(pair.sent, [Duration::ZERO, second], "{family}");
    });
}

#[test]
fn a_key_is_changed_from_either_side_and_no_binding_is_lost() {
    let (old, new) = (key(OLD, 0), key(NEW, 0));
    families(|family| {
        for mobile_node_first in [false, true] {
            let mut pair = Pair::new(family, std::slice::from_ref(&old));
            pair.bind(std::slice::from_ref(&old));
            let (_, lent) = pair.known();
            let both = [new.clone(), old.clone()];
            if mobile_node_first {
                pair.restart(&both);
                assert_eq!(pair.known(), (OLD, lent), "the home agent has no other");
                pair.reconfigure(&both);
            } else {
                pair.reconfigure(&both);
                pair.restart(&both);
            }
            // A refresh is what it takes.
            pair.advance(seconds(600));
            assert_eq!(pair.known(), (NEW, lent), "{family} {mobile_node_first}");
            pair.reconfigure(std::slice::from_ref(&new));
            pair.attach(2);
            assert_eq!(pair.state(), Some(BindingState::Active));
            pair.restart(std::slice::from_ref(&new));
            assert_eq!(pair.known(), (NEW, lent));
            assert_eq!(pair.losses, 0);
        }
    });
}

#[test]
fn a_home_agent_without_any_of_the_keys_gets_no_more_messages_than_a_silent_one() {
    families(|family| {
        let mut pair = Pair::new(family, &[key(OLD, 1), key(NEW, 1)]);
        let third = key(302, 0);
        pair.bind(&[key(NEW, 0), key(OLD, 0), third]);
        pair.advance(seconds(70));
        assert_eq!(pair.state(), None);
        assert_eq!(pair.sent.len(), 6, "{family}");
    });
}

#[test]
fn a_forged_refusal_makes_the_next_key_come_sooner_and_nothing_else() {
    let mut laptop = Laptop::new();
    let credentials = Credentials::Associations {
        preferred: key(NEW, 0),
        others: vec![key(OLD, 0)],
    };
    let bound = laptop.act(|node, now| {
        node.bind(
            agent(),
            "server.example",
            &[SERVER.into()],
            credentials,
            now,
        )
    });
    assert_eq!(bound, Ok(()));
    laptop.path(Some(path(1)), true);
    for _ in 0..100 {
        let asked = &laptop.sent[laptop.sent.len() - 1].request;
        let forged = reply_to(asked, ReplyCode::MOBILE_NODE_FAILED_AUTHENTICATION, |_| {});
        laptop.deliver(&forged.encode_unauthenticated());
        laptop.deliver(&forged.encode(&SecurityAssociation::open_mode()));
    }
    assert_eq!(times(&laptop.sent), [0, 0]);
    assert_eq!(laptop.counter("drop_key_refused"), 1);
    let spi = |sent: &Sent| {
        let extensions = &sent.request.extensions;
        extensions.mobile_home_authentication().map(|one| one.spi)
    };
    assert_eq!(spi(&laptop.sent[0]), Some(NEW));
    assert_eq!(spi(&laptop.sent[1]), Some(OLD));
    assert_eq!(laptop.take_events(), []);

    // With the proof of the last of the keys it counts.
    let reply = reply_to(
        &laptop.sent[1].request,
        ReplyCode::MOBILE_NODE_FAILED_AUTHENTICATION,
        |_| {},
    );
    laptop.deliver(&reply.encode(&key(OLD, 0)));
    let told = refused(ReplyCode::MOBILE_NODE_FAILED_AUTHENTICATION);
    assert_eq!(laptop.take_events(), [told]);
}
