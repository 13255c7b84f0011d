//! A mobile node in virtual time, with a home agent that answers what a test tells it to.

mod anything;
mod asking;
mod keys;
mod mip6;
mod moving;
mod nonces;
mod pair;
mod refusals;
mod registering;
mod releasing;
mod replies;
mod restarting;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::*;
use crate::security::SecurityAssociation;
use crate::wire::mip4::{
    Extension, Extensions, Identification, Message, PORT, RegistrationReply, RegistrationRequest,
    ReplyCode,
};
use crate::{CareOfAddress, DataplaneChange, Identity, Lifetime, Transport, Tunnel};

pub(super) const AGENT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
pub(super) const HOME: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 129);
pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 80);
/// 2026-01-01 00:00:00 UTC.
pub(super) const NEW_YEAR: Duration = Duration::from_secs(1_767_225_600);

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn identity() -> Identity {
    Identity::new("mn1@example.com")
        .unwrap_or_else(|_| unreachable!("it is neither empty nor long"))
}

pub(super) fn agent() -> HomeAgentAddress {
    AGENT.into()
}

/// The n-th access network.
pub(super) fn path(n: u8) -> Path {
    Path {
        care_of: CareOfAddress::from(Ipv4Addr::new(198, 51, n, 7)),
        interface: n.into(),
    }
}

/// A message that left, decoded.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) at: Duration,
    pub(super) source: IpAddr,
    pub(super) destination: SocketAddr,
    pub(super) request: RegistrationRequest,
    pub(super) payload: Vec<u8>,
}

/// The mobile node and its host.
pub(super) struct Laptop {
    pub(super) node: MobileNode,
    begin: Instant,
    pub(super) now: Instant,
    /// Messages not looked at yet.
    pub(super) sent: Vec<Sent>,
    /// Events not looked at yet, without the data path's and snapshots'.
    pub(super) events: Vec<Event>,
    pub(super) tunnels: BTreeMap<HomeAddress, Tunnel>,
    /// What is answered when the sockets are to be looked at.
    pub(super) sockets: Usage,
}

impl Laptop {
    pub(super) fn new() -> Self {
        let begin = Instant::now();
        let config = Config::new(identity());
        Self {
            node: MobileNode::new(config, [7; 32], begin, NEW_YEAR),
            begin,
            now: begin,
            sent: Vec::new(),
            events: Vec::new(),
            tunnels: BTreeMap::new(),
            sockets: Usage::None,
        }
    }

    /// One with a binding over the first network, in use.
    pub(super) fn active() -> Self {
        let mut laptop = Self::new();
        laptop.bind();
        laptop.path(Some(path(1)), true);
        laptop.accept(0);
        laptop.sent.clear();
        laptop.events.clear();
        laptop.sockets = Usage::Sockets;
        laptop.act(|node, now| node.handle_usage(agent(), Usage::Sockets, now));
        laptop
    }

    pub(super) fn act<T>(&mut self, act: impl FnOnce(&mut MobileNode, Instant) -> T) -> T {
        let result = act(&mut self.node, self.now);
        self.drain();
        result
    }

    /// What the host has and sees: its addresses, networks and neighbours.
    pub(super) fn surrounded(
        &mut self,
        addresses: &[&str],
        networks: &[&str],
        neighbours: &[&str],
    ) {
        let surroundings = Surroundings {
            addresses: parsed(addresses),
            networks: parsed(networks),
            neighbours: parsed(neighbours),
        };
        self.act(|node, _| node.handle_surroundings(surroundings));
    }

    pub(super) fn bind(&mut self) {
        let bound = self.act(|node, now| {
            node.bind(
                agent(),
                "server.example",
                &[SERVER.into()],
                SecurityAssociation::open_mode(),
                now,
            )
        });
        assert_eq!(bound, Ok(()));
    }

    pub(super) fn path(&mut self, preferred: Option<Path>, usable: bool) {
        self.act(|node, now| node.handle_path(agent(), preferred, usable, now));
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.now - self.begin
    }

    /// Let time pass, with every timer at its time.
    pub(super) fn advance(&mut self, duration: Duration) {
        let end = self.now + duration;
        for _ in 0..10_000 {
            match self.node.poll_timeout().filter(|at| *at <= end) {
                Some(at) => {
                    self.now = self.now.max(at);
                    self.act(MobileNode::handle_timeout);
                }
                None => {
                    self.now = end;
                    return;
                }
            }
        }
        unreachable!("timers do not stop: {:?}", self.node);
    }

    /// The n-th message not looked at yet is accepted with the usual address, for 600 seconds.
    pub(super) fn accept(&mut self, n: usize) {
        self.answer(n, ReplyCode::ACCEPTED, |_| {});
    }

    /// A reply to the n-th message not looked at yet, after `change`.
    pub(super) fn answer(
        &mut self,
        n: usize,
        code: ReplyCode,
        change: impl FnOnce(&mut RegistrationReply),
    ) {
        let reply = reply_to(&self.sent[n].request, code, change);
        self.deliver(&reply.encode(&SecurityAssociation::open_mode()));
    }

    pub(super) fn deliver(&mut self, payload: &[u8]) {
        self.deliver_from(SocketAddr::from((AGENT, PORT)), payload);
    }

    pub(super) fn deliver_from(&mut self, source: SocketAddr, payload: &[u8]) {
        let destination = path(1).care_of.ip();
        self.act(|node, now| {
            node.handle_input(
                Datagram {
                    source: source.ip(),
                    destination,
                    transport: Transport::Udp {
                        port: source.port(),
                    },
                    home_address: None,
                    payload,
                },
                now,
            )
        });
    }

    pub(super) fn take_sent(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sent)
    }

    pub(super) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    pub(super) fn counter(&self, name: &str) -> u64 {
        self.node
            .counters()
            .into_iter()
            .find(|(known, _)| known == name)
            .map_or(0, |(_, value)| value)
    }

    /// The outer address the data path uses for the usual home address.
    pub(super) fn local_end(&self) -> Option<IpAddr> {
        self.tunnels
            .get(&HomeAddress::from(HOME))
            .map(|tunnel| tunnel.endpoints.local)
    }

    pub(super) fn state(&self) -> Option<BindingState> {
        self.node
            .bindings(self.now)
            .first()
            .map(|binding| binding.state)
    }

    fn drain(&mut self) {
        self.drain_transmits();
        while let Some(event) = self.node.poll_event() {
            self.drain_event(event);
            // Answering a question about sockets may make it send.
            self.drain_transmits();
        }
    }

    fn drain_transmits(&mut self) {
        while let Some(transmit) = self.node.poll_transmit() {
            let Ok(Message::RegistrationRequest(request)) = Message::decode(&transmit.payload)
            else {
                unreachable!("not a request: {transmit:?}")
            };
            self.sent.push(Sent {
                at: self.elapsed(),
                source: transmit.source,
                destination: match transmit.transport {
                    Transport::Udp { port } => SocketAddr::new(transmit.destination, port),
                    Transport::MobilityHeader => unreachable!("IPv4 is spoken in UDP"),
                },
                request,
                payload: transmit.payload,
            });
        }
    }

    fn drain_event(&mut self, event: Event) {
        match event {
            Event::Dataplane(DataplaneChange::Install(tunnel)) => {
                self.tunnels.insert(tunnel.home_address, tunnel);
            }
            Event::Dataplane(DataplaneChange::Remove(home_address)) => {
                assert!(
                    self.tunnels.remove(&home_address).is_some(),
                    "{home_address} was not carried"
                );
            }
            Event::CheckUsage {
                agent,
                home_address,
            } => {
                assert!(self.tunnels.contains_key(&home_address) || self.tunnels.is_empty());
                self.node.handle_usage(agent, self.sockets, self.now);
            }
            Event::SnapshotChanged => {}
            event @ (Event::Active { .. }
            | Event::Failed { .. }
            | Event::Moved { .. }
            | Event::Lost { .. }
            | Event::Released { .. }
            | Event::OtherKey { .. }) => self.events.push(event),
        }
    }
}

fn parsed<T: std::str::FromStr + Ord>(texts: &[&str]) -> BTreeSet<T> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// The reply an obliging home agent would give, with this code, after `change`.
pub(super) fn reply_to(
    request: &RegistrationRequest,
    code: ReplyCode,
    change: impl FnOnce(&mut RegistrationReply),
) -> RegistrationReply {
    let mut extensions = Extensions::new();
    extensions.push(Extension::Nai(identity()));
    let mut reply = RegistrationReply {
        code,
        lifetime: match request.lifetime {
            Lifetime::Zero => Lifetime::Zero,
            Lifetime::Finite(_) | Lifetime::Infinite => Lifetime::Finite(seconds(600)),
        },
        home_address: HOME,
        home_agent: AGENT,
        identification: request.identification,
        extensions,
    };
    change(&mut reply);
    reply
}

pub(super) fn active_event() -> Event {
    Event::Active {
        agent: agent(),
        home_address: HOME.into(),
    }
}

pub(super) fn failed(reason: FailureReason) -> Event {
    Event::Failed {
        agent: agent(),
        reason,
    }
}

pub(super) fn refused(code: ReplyCode) -> Event {
    failed(FailureReason::Refused(Refusal {
        code: code.0,
        name: code.name(),
    }))
}

pub(super) fn times(sent: &[Sent]) -> Vec<u64> {
    sent.iter().map(|sent| sent.at.as_secs()).collect()
}

/// Each later than the one before.
pub(super) fn assert_increasing(sent: &[Sent]) {
    for pair in sent.windows(2) {
        let [before, after]: [Identification; 2] = [
            pair[0].request.identification,
            pair[1].request.identification,
        ];
        assert!(after.is_after(before), "{after} follows {before}");
    }
}
