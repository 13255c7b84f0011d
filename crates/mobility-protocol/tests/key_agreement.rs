//! Both machines agree on a key: what crosses the wire, and what strangers get out of it.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mobility_protocol::home_agent::{
    self, HomeAgent, Mode, Owner, Quotas, StoreChange, StoredRecord,
};
use mobility_protocol::mobile_node::{
    BindingState, Config, Credentials, Event, FailureReason, MobileNode, StoredAcquaintance,
    StoredBinding, Usage,
};
use mobility_protocol::security::{Claimant, Cookie, HomeAgentSecret, KeyPair, PublicKey};
use mobility_protocol::wire::mip6::Packet;
use mobility_protocol::{
    CareOfAddress, Datagram, Family, HomeAgentAddress, Identity, Path, Reachability, Transmit,
};

const NEW_YEAR: Duration = Duration::from_secs(1_767_225_600);
const SEED: [u8; 32] = [9; 32];

/// A laptop, a home agent, and the wire between them.
struct World {
    begin: Instant,
    now: Instant,
    family: Family,
    laptop: MobileNode,
    agent: HomeAgent,
    store: BTreeMap<(Owner, Family), StoredRecord>,
}

fn address(family: Family, last: u8) -> IpAddr {
    match family {
        Family::Ipv4 => [198, 51, 100, last].into(),
        Family::Ipv6 => format!("2001:db8:9::{last:x}").parse().unwrap(),
    }
}

fn home_agent(family: Family) -> HomeAgentAddress {
    match family {
        Family::Ipv4 => Ipv4Addr::new(203, 0, 113, 10).into(),
        Family::Ipv6 => HomeAgentAddress("2001:db8::10".parse().unwrap()),
    }
}

fn agent_config(secret: HomeAgentSecret) -> home_agent::Config {
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
            secret,
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

fn identity() -> Identity {
    Identity::new("a@b").unwrap()
}

impl World {
    fn new(family: Family) -> Self {
        let now = Instant::now();
        let config = agent_config(HomeAgentSecret::from_seed(&SEED));
        Self {
            begin: now,
            now,
            family,
            laptop: MobileNode::new(Config::new(identity()), [1; 32], now, NEW_YEAR),
            agent: HomeAgent::new(config, [2; 32], now, NEW_YEAR).unwrap(),
            store: BTreeMap::new(),
        }
    }

    fn bind(&mut self, pinned: Option<PublicKey>) {
        self.bind_at(pinned, 7);
    }

    fn bind_at(&mut self, pinned: Option<PublicKey>, last: u8) {
        let (agent, now) = (home_agent(self.family), self.now);
        let server = address(self.family, 80);
        let credentials = Credentials::Agreement { pinned };
        self.laptop
            .bind(agent, "server.example", &[server], credentials, now)
            .unwrap();
        self.attach(last);
    }

    fn attach(&mut self, last: u8) {
        let path = Path {
            care_of: CareOfAddress(address(self.family, last)),
            interface: 2,
        };
        self.laptop
            .handle_path(home_agent(self.family), Some(path), false, self.now);
    }

    /// What the laptop sends now.
    fn sent(&mut self) -> Vec<Transmit> {
        std::iter::from_fn(|| self.laptop.poll_transmit()).collect()
    }

    /// What the home agent answers to this from there.
    fn answers(&mut self, sent: &Transmit, source: IpAddr) -> Vec<Transmit> {
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

    fn commit(&mut self) {
        while let Some(change) = self.agent.poll_store_change() {
            let key = (change.owner(), change.family());
            match change {
                StoreChange::Put(record) => self.store.insert(key, record),
                StoreChange::Delete(..) => self.store.remove(&key),
            };
        }
    }

    fn deliver(&mut self, answer: &Transmit) {
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
    fn settle(&mut self) -> Vec<(usize, usize)> {
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

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.laptop.handle_timeout(self.now);
        self.agent.handle_timeout(self.now);
        self.commit();
    }

    fn state(&self) -> Option<BindingState> {
        Some(self.laptop.bindings(self.now).first()?.state)
    }

    fn drops(&self, name: &str) -> u64 {
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

fn families(test: impl Fn(Family)) {
    test(Family::Ipv4);
    test(Family::Ipv6);
}

#[test]
fn a_stranger_gets_a_binding_in_two_round_trips() {
    families(|family| {
        let mut world = World::new(family);
        world.bind(None);
        let exchanges = world.settle();
        assert_eq!(world.state(), Some(BindingState::Active), "{family}");
        assert_eq!(exchanges.len(), 2);
        let (asked, challenge) = exchanges[0];
        assert!(challenge <= asked, "{challenge} octets for {asked}");
        assert_eq!(world.drops("challenges"), 1);

        // A move takes one, and one more to show where it led; a refresh takes one.
        world.attach(8);
        let exchanges = world.settle();
        assert_eq!(exchanges.len(), 2);
        assert!(exchanges.iter().all(|(asked, told)| told <= asked));
        world.wait(Duration::from_secs(481));
        assert_eq!(world.settle().len(), 1);
        let bindings: Vec<_> = world.agent.bindings(world.now).collect();
        assert_eq!(bindings.len(), 1);
        assert_eq!(bindings[0].care_of.ip(), address(family, 8));
        assert!(!bindings[0].authenticated, "anybody may have this name");
    });
}

#[test]
fn a_pinned_key_is_asked_for() {
    families(|family| {
        let ours = HomeAgentSecret::from_seed(&SEED).public();
        let mut world = World::new(family);
        world.bind(Some(ours));
        world.settle();
        assert_eq!(world.state(), Some(BindingState::Active));

        let theirs = HomeAgentSecret::from_seed(&[3; 32]).public();
        let mut world = World::new(family);
        world.bind(Some(theirs));
        world.settle();
        assert_eq!(world.state(), Some(BindingState::Registering));
        assert_eq!(world.drops("drop_other_key"), 1);
        assert_eq!(world.agent.bindings(world.now).count(), 0);
        // It is told once, and at the end why there is no binding.
        let mut told = Vec::new();
        for _ in 0..64 {
            world.wait(Duration::from_secs(1));
            world.settle();
            told.extend(std::iter::from_fn(|| world.laptop.poll_event()));
        }
        let agent = home_agent(family);
        let other = Event::OtherKey {
            agent,
            found: ours,
            expected: theirs,
        };
        let failed = |event: &&Event| matches!(event, Event::Failed { reason, .. } if *reason == FailureReason::OtherKey);
        assert_eq!(told.iter().filter(|event| **event == other).count(), 1);
        assert_eq!(told.iter().filter(failed).count(), 1);
        assert_eq!(world.agent.bindings(world.now).count(), 0);
    });
}

#[test]
fn a_cookie_is_worth_nothing_elsewhere() {
    families(|family| {
        let mut world = World::new(family);
        world.bind(None);
        let first = world.sent().remove(0);
        let challenge = world.answers(&first, first.source).remove(0);
        world.deliver(&challenge);
        let second = world.sent().remove(0);
        // In IPv6 the packet in the datagram says where it is from; its native form has no such thing.
        let elsewhere = world.answers(&second, address(family, 66));
        assert_eq!(world.agent.bindings(world.now).count(), 0);
        for answer in &elsewhere {
            assert!(answer.payload.len() <= second.payload.len());
        }
        // Nor later.
        world.wait(Duration::from_secs(70));
        world.answers(&second, second.source);
        assert_eq!(world.agent.bindings(world.now).count(), 0);
        world.settle();
        assert_eq!(world.state(), Some(BindingState::Active), "asked again");
    });
}

#[test]
fn nobody_else_under_the_same_name_touches_a_binding() {
    families(|family| {
        let mut world = World::new(family);
        world.bind(None);
        world.settle();
        let lent = world.laptop.bindings(world.now)[0].home_address;

        // Somebody with the same name gets a binding of his own.
        let now = world.now;
        let other = MobileNode::new(Config::new(identity()), [77; 32], now, NEW_YEAR);
        let first = std::mem::replace(&mut world.laptop, other);
        world.bind(None);
        world.settle();
        let theirs = world.laptop.bindings(world.now)[0].home_address;
        assert_ne!(theirs, lent);
        assert_eq!(world.agent.bindings(world.now).count(), 2);

        // And ends his own.
        let agent = home_agent(family);
        world.laptop.release(agent, world.now);
        world.settle();
        let left: Vec<_> = world.agent.bindings(world.now).collect();
        assert_eq!(left.len(), 1);
        assert_eq!(Some(left[0].home_address), lent);
        world.laptop = first;
        world.attach(9);
        assert_eq!(world.settle().len(), 2);
        assert_eq!(world.state(), Some(BindingState::Active));
    });
}

#[test]
fn a_restarted_mobile_node_has_its_key() {
    families(|family| {
        let mut world = World::new(family);
        world.bind(None);
        world.settle();
        let stored = world.laptop.snapshot(world.now);
        let text = serde_json::to_string(&stored).unwrap();
        let stored: Vec<StoredBinding> = serde_json::from_str(&text).unwrap();
        world.wait(Duration::from_secs(1));
        let unix_time = NEW_YEAR + (world.now - world.begin);
        world.laptop = MobileNode::new(Config::new(identity()), [5; 32], world.now, unix_time);
        let credentials = Credentials::Agreement { pinned: None };
        let stored = stored
            .into_iter()
            .map(|binding| (binding, credentials.clone()));
        world.laptop.restore(stored, world.now);
        world.attach(7);
        assert_eq!(world.settle().len(), 1);
        assert_eq!(world.state(), Some(BindingState::Active));
        assert_eq!(world.agent.bindings(world.now).count(), 1);
    });
}

#[test]
fn a_home_agent_that_forgot_everything_is_asked_anew() {
    families(|family| {
        let mut world = World::new(family);
        world.bind(None);
        world.settle();
        world.wait(Duration::from_secs(2));
        let config = agent_config(HomeAgentSecret::from_seed(&SEED));
        let unix_time = NEW_YEAR + (world.now - world.begin);
        world.agent = HomeAgent::new(config, [3; 32], world.now, unix_time).unwrap();
        world.attach(8);
        world.settle();
        assert_eq!(world.state(), Some(BindingState::Active));
        assert_eq!(world.agent.bindings(world.now).count(), 1);
        let mut lost = false;
        while let Some(event) = world.laptop.poll_event() {
            lost |= matches!(event, Event::Lost { .. });
        }
        assert!(lost, "sockets may have an address that is gone");
    });
}

#[test]
fn a_home_agent_that_lost_its_secret_is_taken_for_a_new_one_in_the_end() {
    families(|family| {
        let mut world = World::new(family);
        world.bind(None);
        world.settle();
        world
            .laptop
            .handle_usage(home_agent(family), Usage::Sockets, world.now);
        world.wait(Duration::from_secs(2));
        let config = agent_config(HomeAgentSecret::from_seed(&[10; 32]));
        let unix_time = NEW_YEAR + (world.now - world.begin);
        world.agent = HomeAgent::new(config, [3; 32], world.now, unix_time).unwrap();
        world.attach(8);
        let since = world.now;
        world.settle();
        while world.state() == Some(BindingState::Moving) {
            let due = world.laptop.poll_timeout().unwrap();
            world.wait(due - world.now);
            world.settle();
        }
        assert_eq!(world.state(), Some(BindingState::Active));
        let took = world.now - since;
        assert!((2..10).contains(&took.as_secs()), "{took:?}");
        assert!(world.drops("drop_other_key") >= 2);
        assert_eq!(world.agent.bindings(world.now).count(), 1);
    });
}

#[test]
fn one_host_has_a_quota_and_gets_it_back_when_its_addresses_have_rested() {
    families(|family| {
        let mut world = World::new(family);
        let mut config = agent_config(HomeAgentSecret::from_seed(&SEED));
        config.quotas.host = 3;
        world.agent = HomeAgent::new(config, [2; 32], world.now, NEW_YEAR).unwrap();
        let crowd = |world: &mut World, seeds: std::ops::Range<u8>| {
            let unix_time = NEW_YEAR + (world.now - world.begin);
            for seed in seeds {
                world.laptop =
                    MobileNode::new(Config::new(identity()), [seed; 32], world.now, unix_time);
                world.bind(None);
                world.settle();
            }
            world.agent.bindings(world.now).count()
        };
        assert_eq!(crowd(&mut world, 20..30), 3);
        let held: u64 = world
            .agent
            .pool_usage()
            .iter()
            .map(|pool| pool.held_down)
            .sum();
        assert_eq!(held, 0, "who is refused costs the pool nothing");
        // All three expire, rest, and are forgotten.
        world.wait(Duration::from_secs(601));
        assert_eq!(crowd(&mut world, 30..33), 0, "they rest");
        world.wait(Duration::from_secs(61));
        assert_eq!(crowd(&mut world, 40..50), 3);
    });
}

#[test]
fn one_host_gets_so_many_bindings_a_second() {
    families(|family| {
        let mut world = World::new(family);
        let mut config = agent_config(HomeAgentSecret::from_seed(&SEED));
        config.quotas.rates.host = 2;
        world.agent = HomeAgent::new(config, [2; 32], world.now, NEW_YEAR).unwrap();
        let crowd = |world: &mut World, seeds: std::ops::Range<u8>| {
            let unix_time = NEW_YEAR + (world.now - world.begin);
            for seed in seeds {
                world.laptop =
                    MobileNode::new(Config::new(identity()), [seed; 32], world.now, unix_time);
                world.bind(None);
                world.settle();
            }
            world.agent.bindings(world.now).count()
        };
        assert_eq!(crowd(&mut world, 20..30), 8);
        assert_eq!(world.drops("refused_host_rate"), 2);
        let [reply, status] = [world.drops("reply_130"), world.drops("status_130")];
        assert_eq!(reply + status, 2, "they are told");
        world.wait(Duration::from_secs(1));
        assert_eq!(crowd(&mut world, 30..40), 10);
        assert_eq!(world.drops("refused_rate"), 0, "nobody else is concerned");
    });
}

#[test]
fn who_proves_only_where_he_is_makes_a_home_agent_compute_so_much_and_no_more() {
    families(|family| {
        let mut world = World::new(family);
        world.bind(None);
        let first = world.sent().remove(0);
        let challenge = world.answers(&first, first.source).remove(0);
        world.deliver(&challenge);
        let second = world.sent().remove(0);
        // The cookie is good, the key is not.
        let mut forged = second.clone();
        let last = forged.payload.len() - 1;
        forged.payload[last] ^= 1;
        if let (IpAddr::V6(source), IpAddr::V6(destination)) = (second.source, second.destination) {
            let header = Packet {
                source,
                destination,
                home_address: None,
                routing_address: None,
                message: &[],
            }
            .pseudo_header();
            let checksum = header.checksum(&forged.payload);
            forged.payload[4..6].copy_from_slice(&checksum.to_be_bytes());
        }
        for _ in 0..1000 {
            world.answers(&forged, forged.source);
        }
        let computed = world.drops("challenges") - 1;
        assert_eq!(computed, 80, "four seconds of four times five");
        assert_eq!(world.drops("drop_too_many_agreements"), 920);
        // He himself has to wait, too.
        world.answers(&second, second.source);
        assert_eq!(world.agent.bindings(world.now).count(), 0);
        world.wait(Duration::from_secs(1));
        let due = world.laptop.poll_timeout().unwrap();
        world.wait(due - world.now);
        world.settle();
        assert_eq!(world.state(), Some(BindingState::Active));
    });
}

#[test]
fn a_binding_lasts_a_minute_until_it_is_refreshed() {
    families(|family| {
        let mut world = World::new(family);
        let mut config = agent_config(HomeAgentSecret::from_seed(&SEED));
        config.quotas = Quotas::default();
        world.agent = HomeAgent::new(config, [2; 32], world.now, NEW_YEAR).unwrap();
        world.bind(None);
        world.settle();
        let lifetime = |world: &World| {
            let bindings: Vec<_> = world.agent.bindings(world.now).collect();
            bindings.first().map(|binding| binding.lifetime.as_secs())
        };
        assert_eq!(lifetime(&world), Some(60));
        world.wait(Duration::from_secs(50));
        world.settle();
        assert_eq!(lifetime(&world), Some(600));
        assert_eq!(world.drops("bindings_refreshed"), 1);
    });
}

#[test]
fn the_published_key_is_not_enough() {
    families(|family| {
        let mut world = World::new(family);
        let agent = home_agent(family);
        let open = mobility_protocol::security::SecurityAssociation::open_mode();
        world
            .laptop
            .bind(
                agent,
                "server.example",
                &[address(family, 80)],
                open,
                world.now,
            )
            .unwrap();
        world.attach(7);
        assert_eq!(world.settle(), []);
        assert_eq!(world.drops("drop_unprotected"), 1);
    });
}

#[test]
fn a_moved_mobile_node_shows_where_it_is_without_being_asked_twice() {
    families(|family| {
        let mut world = World::new(family);
        world.bind(None);
        world.settle();
        let reachability = |world: &World| {
            let mut bindings = world.agent.bindings(world.now);
            bindings.next().unwrap().reachability
        };
        assert_eq!(reachability(&world), Reachability::Proven);
        world.attach(8);
        let update = world.sent().remove(0);
        let answer = world.answers(&update, update.source).remove(0);
        assert_eq!(reachability(&world), Reachability::Unproven);
        world.deliver(&answer);
        assert_eq!(
            world.state(),
            Some(BindingState::Active),
            "traffic need not wait"
        );

        // The echo is lost, and sent again.
        assert_eq!(world.sent().len(), 1);
        assert_eq!(reachability(&world), Reachability::Unproven);
        world.wait(Duration::from_secs(1));
        assert_eq!(world.settle().len(), 1);
        assert_eq!(reachability(&world), Reachability::Proven);
        assert_eq!(world.drops("moves_unproven"), 1);
        assert_eq!(world.drops("moves_proven"), 1);
        world.wait(Duration::from_secs(100));
        assert_eq!(world.settle(), [], "and that is all");
    });
}

#[test]
fn an_owner_elsewhere_proves_nothing() {
    families(|family| {
        let mut world = World::new(family);
        world.bind(None);
        world.settle();
        // It sends from an address where it does not hear the answers.
        world.attach(66);
        for _ in 0..8 {
            for sent in world.sent() {
                world.answers(&sent, sent.source);
            }
            world.wait(Duration::from_secs(1));
        }
        let binding = world.agent.bindings(world.now).next().unwrap();
        assert_eq!(binding.care_of.ip(), address(family, 66));
        assert_eq!(binding.reachability, Reachability::Unproven);
        assert_eq!(world.drops("moves_proven"), 0);
    });
}

#[test]
fn a_home_agent_that_asks_for_ever_is_not_answered_for_ever() {
    families(|family| {
        let mut world = World::new(family);
        world.bind(None);
        world.settle();
        world.attach(8);
        let mut sent = 0_u8;
        for _ in 0..80 {
            for update in world.sent() {
                sent += 1;
                for answer in world.answers(&update, update.source) {
                    world.deliver(&answer);
                }
                // Whatever it has just asked for is worth nothing to it any more.
                let config = agent_config(HomeAgentSecret::from_seed(&[100 + sent; 32]));
                let unix_time = NEW_YEAR + (world.now - world.begin);
                world.agent = HomeAgent::new(config, [3; 32], world.now, unix_time).unwrap();
                world
                    .agent
                    .restore(world.store.values().cloned(), world.now);
            }
            world.wait(Duration::from_millis(100));
        }
        let binding = world.agent.bindings(world.now).next().unwrap();
        assert_eq!(binding.reachability, Reachability::Unproven);
        assert!((3..8).contains(&sent), "{sent} messages in eight seconds");
    });
}

/// A world in which the laptop had a binding, and the home agent has forgotten it.
fn acquainted(family: Family) -> World {
    let mut world = World::new(family);
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

#[test]
fn who_comes_back_needs_one_round_trip_and_then_shows_where_he_is() {
    families(|family| {
        let mut world = acquainted(family);
        world.bind(None);
        let request = world.sent().remove(0);
        let answer = world.answers(&request, request.source).remove(0);
        assert!(answer.payload.len() <= request.payload.len());
        world.deliver(&answer);
        assert_eq!(world.state(), Some(BindingState::Active));
        let binding = world.agent.bindings(world.now).next().unwrap();
        assert_eq!(
            binding.reachability,
            Reachability::Unproven,
            "no credit yet"
        );
        assert_eq!(world.settle().len(), 1);
        let binding = world.agent.bindings(world.now).next().unwrap();
        assert_eq!(binding.reachability, Reachability::Proven);
        assert_eq!(world.drops("challenges"), 1);
        assert_eq!(world.drops("bindings_resumed"), 1);
    });
}

#[test]
fn who_comes_back_elsewhere_or_after_a_day_is_a_stranger_again() {
    families(|family| {
        let mut world = acquainted(family);
        world.bind_at(None, 8);
        world.settle();
        assert_eq!(world.state(), Some(BindingState::Active));
        assert_eq!(world.drops("bindings_resumed"), 0);
        assert_eq!(world.drops("challenges"), 2);

        let mut world = acquainted(family);
        world.wait(Duration::from_secs(23 * 3600));
        world.bind(None);
        world.settle();
        assert_eq!(world.state(), Some(BindingState::Active));
        assert_eq!(world.drops("bindings_resumed"), 0);
        assert_eq!(world.drops("challenges"), 2);
    });
}

#[test]
fn a_restarted_mobile_node_knows_whom_it_knew() {
    families(|family| {
        let mut world = acquainted(family);
        let text = serde_json::to_string(&world.laptop.acquaintances()).unwrap();
        let known: Vec<StoredAcquaintance> = serde_json::from_str(&text).unwrap();
        let unix_time = NEW_YEAR + (world.now - world.begin);
        let restarted = |seed| {
            let mut laptop =
                MobileNode::new(Config::new(identity()), [seed; 32], world.now, unix_time);
            laptop.restore_acquaintances(known.clone(), world.now);
            laptop
        };
        let mut again = restarted(6);
        world.laptop = restarted(5);
        world.bind(None);
        world.settle();
        assert_eq!(world.drops("bindings_resumed"), 1);

        // However often it is shown, a token lends one address.
        std::mem::swap(&mut world.laptop, &mut again);
        world.wait(Duration::from_secs(1));
        world.bind(None);
        world.settle();
        assert_eq!(world.state(), Some(BindingState::Active));
        assert_eq!(
            world.laptop.bindings(world.now)[0].home_address,
            again.bindings(world.now)[0].home_address
        );
        assert_eq!(world.agent.bindings(world.now).count(), 1);
    });
}

#[test]
fn a_recorded_return_is_worth_nothing_later_and_nothing_elsewhere() {
    families(|family| {
        let mut world = acquainted(family);
        world.bind(None);
        let request = world.sent().remove(0);
        world.answers(&request, address(family, 66));
        assert_eq!(world.agent.bindings(world.now).count(), 0);
        world.answers(&request, request.source);
        assert_eq!(world.agent.bindings(world.now).count(), 1);
        world.laptop.release(home_agent(family), world.now);
        world.wait(Duration::from_secs(601));
        world.wait(Duration::from_secs(3600));
        assert_eq!(world.store.len(), 0);
        for answer in world.answers(&request, request.source) {
            assert!(answer.payload.len() <= request.payload.len());
        }
        assert_eq!(world.agent.bindings(world.now).count(), 0);
    });
}

/// What a recorded message brings about from now on, while its timestamp is near the time and after:
/// no binding.
fn is_worth_nothing(world: &mut World, recorded: &Transmit) {
    for _ in 0..20 {
        for source in [recorded.source, address(world.family, 66)] {
            for answer in world.answers(recorded, source) {
                assert!(answer.payload.len() <= recorded.payload.len());
            }
            assert_eq!(world.agent.bindings(world.now).count(), 0);
        }
        world.wait(Duration::from_secs(1));
    }
}

/// Another process begins in the home agent's place, with this of its store.
fn replace_agent(world: &mut World, stored: Vec<StoredRecord>) {
    let config = agent_config(HomeAgentSecret::from_seed(&SEED));
    let unix_time = NEW_YEAR + (world.now - world.begin);
    world.agent = HomeAgent::new(config, [3; 32], world.now, unix_time).unwrap();
    world.agent.restore(stored, world.now);
    world.store.clear();
    world.commit();
}

/// A home agent whose addresses don't rest, so that nothing is remembered but what has to be, and what
/// brought about a binding of a mobile node that came back, or came first.
fn recorded(family: Family, came_back: bool) -> (World, Transmit) {
    let mut world = World::new(family);
    let mut config = agent_config(HomeAgentSecret::from_seed(&SEED));
    config.hold_down = Duration::ZERO;
    config.quotas.first_lifetime = Duration::from_secs(1);
    world.agent = HomeAgent::new(config, [2; 32], world.now, NEW_YEAR).unwrap();
    world.bind(None);
    let mut request = world.sent().remove(0);
    let challenge = world.answers(&request, request.source).remove(0);
    world.deliver(&challenge);
    if came_back {
        world.settle();
        world.laptop.release(home_agent(family), world.now);
        world.settle();
        world.wait(Duration::from_secs(3600));
        world.bind(None);
    }
    request = world.sent().remove(0);
    let answer = world.answers(&request, request.source).remove(0);
    assert_eq!(world.agent.bindings(world.now).count(), 1);
    world.deliver(&answer);
    (world, request)
}

#[test]
fn a_recorded_first_message_lends_nothing_after_its_binding_has_ended() {
    families(|family| {
        for came_back in [false, true] {
            let (mut world, request) = recorded(family, came_back);
            world.laptop.release(home_agent(family), world.now);
            world.settle();
            is_worth_nothing(&mut world, &request);
            assert_eq!(world.store.len(), 0, "and nothing is remembered for ever");

            // Nor after it has expired, when nobody has said anything since.
            let (mut world, request) = recorded(family, came_back);
            world.wait(Duration::from_secs(1));
            is_worth_nothing(&mut world, &request);
            assert_eq!(world.store.len(), 0);
        }
    });
}

#[test]
fn a_recorded_first_message_lends_nothing_after_a_restart() {
    families(|family| {
        for came_back in [false, true] {
            let (mut world, request) = recorded(family, came_back);
            world.laptop.release(home_agent(family), world.now);
            world.settle();
            world.wait(Duration::from_secs(1));
            let stored = world.store.values().cloned().collect();
            replace_agent(&mut world, stored);
            is_worth_nothing(&mut world, &request);

            // Nor where the store was lost, or another process with the same secret takes over.
            let (mut world, request) = recorded(family, came_back);
            world.wait(Duration::from_secs(1));
            replace_agent(&mut world, vec![]);
            is_worth_nothing(&mut world, &request);
            // Who owns it is known by the next round trip.
            let challenges = world.drops("challenges");
            world.laptop.release(home_agent(family), world.now);
            world.settle();
            world.bind(None);
            world.settle();
            assert_eq!(world.state(), Some(BindingState::Active));
            assert!(world.drops("challenges") >= challenges);
        }
    });
}

#[test]
fn a_process_that_has_just_begun_asks_for_a_cookie_of_its_own() {
    families(|family| {
        let mut world = acquainted(family);
        world.bind(None);
        let request = world.sent().remove(0);
        replace_agent(&mut world, vec![]);
        let challenge = world.answers(&request, request.source).remove(0);
        assert_eq!(world.agent.bindings(world.now).count(), 0);
        world.deliver(&challenge);
        assert_eq!(world.settle().len(), 1);
        assert_eq!(world.state(), Some(BindingState::Active));

        // After a while it takes what others gave, as they are known by then.
        let mut world = acquainted(family);
        replace_agent(&mut world, vec![]);
        world.wait(Duration::from_secs(15));
        world.bind(None);
        world.settle();
        assert_eq!(world.drops("bindings_resumed"), 1);
        assert_eq!(world.drops("challenges"), 0);
    });
}

#[test]
fn a_pinned_home_agent_is_not_taken_for_the_one_known_before() {
    families(|family| {
        let mut world = acquainted(family);
        world.bind(Some(HomeAgentSecret::from_seed(&[3; 32]).public()));
        world.settle();
        assert_eq!(world.state(), Some(BindingState::Registering));
        assert_eq!(world.drops("drop_other_key"), 1);
        assert_eq!(world.agent.bindings(world.now).count(), 0);
    });
}

/// The vectors of docs/security.md.
#[test]
fn a_second_implementation_finds_the_same_numbers() {
    let secret = HomeAgentSecret::from_seed(&SEED);
    let pair = KeyPair::new([1; 32]);
    let at = IpAddr::from([203, 0, 113, 10]);
    let association = pair
        .with_home_agent(&secret.public(), at, &identity())
        .unwrap();
    let identity = identity();
    let claimant = Claimant {
        home_agent: at,
        source: [198, 51, 100, 7].into(),
        spi: association.spi,
        identity: &identity,
    };
    let cookie = secret.cookie(&claimant, NEW_YEAR);
    let token = secret.token(&claimant, NEW_YEAR);
    let found = [
        pair.public().to_string(),
        secret.public().to_string(),
        format!("{:08x}", association.spi),
        hex::encode(association.key.as_bytes()),
        hex::encode(cookie.0),
        hex::encode(token.0),
    ];
    assert_eq!(
        found,
        [
            "a4e09292b651c278b9772c569f5fa9bb13d906b46ab68c9df9dc2b4409f8a209",
            "5bd6ed0693f72f6af02cf426770224a78c721d6c14c96da4cef1c420abb18e02",
            "9a92f238",
            "28a96c426776ae7666e50d1c9dfc4b0aa316dccc18fd45e3a27e3936ea415e91",
            "6955b900620108592cca7221756b755f90561034",
            "6955b9003b65140b375b2563d1efc9e33cb6e4c9",
        ]
    );
    assert_ne!(cookie, Cookie::NONE);
    let text = include_str!("../../../docs/security.md");
    for number in found {
        assert!(text.contains(&number), "{number}");
    }
}
