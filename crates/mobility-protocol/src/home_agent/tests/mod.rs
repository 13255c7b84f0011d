mod denial;
mod drops;
mod lifecycle;
mod mip6;
mod model;
mod nonces;
mod reachability;
mod replay;
mod restart;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::security::{Algorithm, HomeAgentSecret, Key, ReplayProtection, SecurityAssociation};
use crate::wire::mip4::{
    Extension, Extensions, Identification, Message, RegistrationReply, RegistrationRequest,
    ReplyCode, RequestFlags,
};
use crate::{HomeAddress, Identity, Lifetime, Reachability, Transport};

const HOME_AGENT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// 2026-01-01 00:00:00 UTC.
const NEW_YEAR: Duration = Duration::from_secs(1_767_225_600);
/// Configured; its fixed address is 10.128.0.9.
const LAPTOP: &str = "laptop@example.org";
/// Configured, without an address of its own.
const PHONE: &str = "phone@example.org";

fn config() -> Config {
    let node = |identity: &str, address: Option<&str>| MobileNodeConfig {
        identity: Identity::new(identity).unwrap(),
        address: address.map(|text| text.parse().unwrap()),
        association: association(identity),
        proves_moves: true,
    };
    Config {
        ipv4: Some(HOME_AGENT),
        ipv6: None,
        pools: vec!["10.128.0.0/24".parse().unwrap()],
        exclude: vec![],
        hold_down: secs(240),
        default_lifetime: secs(600),
        max_lifetime: secs(3600),
        mode: Mode::Open {
            secret: HomeAgentSecret::from_seed(&[9; 32]),
            legacy: true,
        },
        quotas: Quotas::default(),
        mobile_nodes: vec![node(LAPTOP, Some("10.128.0.9")), node(PHONE, None)],
        correspondents: Arc::from(["198.51.100.0/24".parse().unwrap()]),
        replay_window: secs(7),
    }
}

/// Whoever has this name by itself.
fn named(identity: &Identity) -> Owner {
    Owner {
        identity: identity.clone(),
        agreed: None,
    }
}

/// What somebody authenticates with.
fn association(identity: &str) -> SecurityAssociation {
    match identity {
        LAPTOP => SecurityAssociation {
            spi: 256,
            algorithm: Algorithm::HmacMd5,
            key: Key::new([0x0b; 16]).unwrap(),
            replay: ReplayProtection::Timestamps,
        },
        PHONE => SecurityAssociation {
            spi: 257,
            algorithm: Algorithm::HmacSha256,
            key: Key::new([0x0c; 32]).unwrap(),
            replay: ReplayProtection::Timestamps,
        },
        _ => SecurityAssociation::open_mode(),
    }
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A home agent with its driver: a store, a clock, and mobile nodes that ask.
struct World {
    agent: HomeAgent,
    now: Instant,
    store: BTreeMap<Owner, StoredRecord>,
    events: Vec<Event>,
}

/// A request on its way. The fields are a plain first request's; tests change what they are about.
#[derive(Clone)]
struct Ask {
    identity: Option<&'static str>,
    association: SecurityAssociation,
    source: SocketAddr,
    request: RegistrationRequest,
    /// Extensions after the authentication.
    unprotected: Vec<Extension>,
}

impl World {
    fn new() -> Self {
        Self::with(config())
    }

    fn with(config: Config) -> Self {
        let now = Instant::now();
        Self {
            agent: HomeAgent::new(config, [1; 32], now, NEW_YEAR).unwrap(),
            now,
            store: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    /// A first request, from 198.51.100.`host`, with a timestamp no other request has.
    fn ask(&mut self, identity: &'static str, host: u8) -> Ask {
        // Time does not stand still between two requests.
        self.wait(Duration::from_millis(1));
        let care_of_address = Ipv4Addr::new(198, 51, 100, host);
        Ask {
            identity: Some(identity),
            association: association(identity),
            source: (care_of_address, 40_000).into(),
            request: RegistrationRequest {
                flags: RequestFlags::CO_LOCATED,
                lifetime: Lifetime::Infinite,
                home_address: Ipv4Addr::UNSPECIFIED,
                home_agent: HOME_AGENT,
                care_of_address,
                identification: self.agent.clock.identification(self.now),
                extensions: Extensions::new(),
            },
            unprotected: vec![],
        }
    }

    fn send(&mut self, ask: &Ask) -> Option<RegistrationReply> {
        let payload = self.deliver(&ask.octets(), ask.source)?;
        let Ok(Message::RegistrationReply(reply)) = Message::decode(&payload) else {
            panic!("not a reply: {payload:02x?}");
        };
        let authentication = reply.extensions.mobile_home_authentication().unwrap();
        assert!(authentication.is_valid(&ask.association, &payload));
        assert_eq!(
            reply.extensions.nai().unwrap().as_bytes(),
            ask.identity.unwrap().as_bytes()
        );
        assert_eq!(reply.home_agent, HOME_AGENT);
        assert_eq!(reply.identification.low(), ask.request.identification.low());
        assert!(
            payload.len() <= ask.octets().len(),
            "never larger than the request"
        );
        Some(reply)
    }

    /// Delivers a datagram; gives back what is answered to its source.
    fn deliver(&mut self, payload: &[u8], source: SocketAddr) -> Option<Vec<u8>> {
        let datagram = Datagram {
            source: source.ip(),
            destination: HOME_AGENT.into(),
            transport: Transport::Udp {
                port: source.port(),
            },
            home_address: None,
            payload,
        };
        self.agent.handle_input(datagram, self.now);
        self.round();
        let transmit = self.agent.poll_transmit()?;
        assert_eq!(self.agent.poll_transmit(), None);
        assert_eq!(transmit.destination, source.ip());
        assert_eq!(transmit.transport, datagram.transport);
        assert_eq!(transmit.source, IpAddr::from(HOME_AGENT));
        Some(transmit.payload)
    }

    fn round(&mut self) {
        while let Some(change) = self.agent.poll_store_change() {
            match change {
                StoreChange::Put(record) => self.store.insert(record.owner(), record),
                StoreChange::Delete(owner, _) => self.store.remove(&owner),
            };
        }
        while let Some(event) = self.agent.poll_event() {
            self.events.push(event);
        }
    }

    /// Lets time pass, waking the agent whenever it asks for it.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(timeout) = self.agent.poll_timeout().filter(|timeout| *timeout <= end) {
            self.now = self.now.max(timeout);
            self.agent.handle_timeout(self.now);
            assert!(
                self.agent.poll_timeout().is_none_or(|next| next > timeout),
                "it would spin"
            );
        }
        self.now = end;
        self.round();
    }

    /// The process dies, and comes back after this time with its store.
    fn restart(&mut self, config: Config, after: Duration) -> RestoreSummary {
        let unix_time = self.agent.clock.unix_time(self.now) + after;
        // The monotonic clock of another boot has nothing to do with that of this one.
        self.now += secs(1_000_000);
        self.agent = HomeAgent::new(config, [2; 32], self.now, unix_time).unwrap();
        self.events.clear();
        let summary = self.agent.restore(self.store.values().cloned(), self.now);
        self.round();
        summary
    }

    fn counter(&self, name: &str) -> u64 {
        let counters = self.agent.counters();
        counters
            .iter()
            .find(|(known, _)| *known == name)
            .unwrap_or_else(|| panic!("{name}"))
            .1
    }

    fn bindings(&self) -> Vec<BindingView> {
        self.agent.bindings(self.now).collect()
    }

    fn used(&self) -> (u64, u64) {
        let usage = self.agent.pool_usage();
        (usage[0].used, usage[0].held_down)
    }

    fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// A binding of this identity at 198.51.100.`host`; gives its home address.
    fn bound(&mut self, identity: &'static str, host: u8) -> Ipv4Addr {
        let ask = self.ask(identity, host);
        let reply = self.send(&ask).unwrap();
        assert_eq!(reply.code, ReplyCode::ACCEPTED);
        self.take_events();
        reply.home_address
    }
}

impl Ask {
    fn with(mut self, change: impl FnOnce(&mut RegistrationRequest)) -> Self {
        change(&mut self.request);
        self
    }

    fn extended(mut self, extension: Extension) -> Self {
        self.request.extensions.push(extension);
        self
    }

    /// For this home address.
    fn of(self, home_address: Ipv4Addr) -> Self {
        self.with(|request| request.home_address = home_address)
    }

    /// A deregistration of this home address.
    fn release(self, home_address: Ipv4Addr) -> Self {
        self.of(home_address)
            .with(|request| request.lifetime = Lifetime::Zero)
    }

    fn octets(&self) -> Vec<u8> {
        let mut request = self.request.clone();
        if let Some(identity) = self.identity {
            request
                .extensions
                .push(Extension::Nai(Identity::new(identity).unwrap()));
        }
        let mut octets = request.encode(&self.association);
        let after = RegistrationReply {
            code: ReplyCode::ACCEPTED,
            lifetime: Lifetime::Zero,
            home_address: Ipv4Addr::UNSPECIFIED,
            home_agent: Ipv4Addr::UNSPECIFIED,
            identification: Identification(0),
            extensions: self.unprotected.iter().cloned().collect(),
        };
        octets.extend(&after.encode_unauthenticated()[RegistrationReply::FIXED_LENGTH..]);
        octets
    }
}

fn home(address: Ipv4Addr) -> HomeAddress {
    HomeAddress::from(address)
}

fn at(host: u8) -> CareOfAddress {
    CareOfAddress::from(Ipv4Addr::new(198, 51, 100, host))
}

fn tunnel(home_address: Ipv4Addr, host: u8, former: Option<u8>) -> Event {
    Event::Dataplane(DataplaneChange::Install(Tunnel {
        home_address: home(home_address),
        endpoints: TunnelEndpoints {
            local: HOME_AGENT.into(),
            remote: at(host).ip(),
            interface: None,
        },
        former_remote: former.map(|host| at(host).ip()),
        reachability: Reachability::Proven,
        encapsulation: Encapsulation::IpInIp,
        withdrawn: [].into(),
        correspondents: config().correspondents,
    }))
}

/// The same, where nobody knows yet whether it leads to its mobile node.
fn unproven(event: Event) -> Event {
    let Event::Dataplane(DataplaneChange::Install(tunnel)) = event else {
        panic!("{event:?} is about no tunnel");
    };
    Event::Dataplane(DataplaneChange::Install(Tunnel {
        reachability: Reachability::Unproven,
        ..tunnel
    }))
}
