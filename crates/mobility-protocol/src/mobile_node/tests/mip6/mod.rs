//! Mobile IPv6: what is sent, by which transport, and what is believed.

mod answers;
mod sending;

use std::net::Ipv6Addr;

use super::*;
use crate::security::{Algorithm, Key, ReplayProtection};
use crate::wire::mip6::iana::BindingErrorStatus;
use crate::wire::mip6::{
    self, AcknowledgementFlags, BindingAcknowledgement, BindingAddresses, BindingError,
    BindingRefreshRequest, BindingUpdate, MobileNodeIdentifier, MobilityOption, NetworkPrefix,
    Options, Packet, SequenceNumber, Status, UpdateFlags,
};
use crate::{Encapsulation, Transport};

const AGENT_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x200, 0, 0, 0, 0, 1);
const HOME_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x200, 1, 0, 0, 0, 0xa1);
const SERVER_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x300, 0, 0, 0, 0, 5);
const NATIVE: Transport = Transport::MobilityHeader;
const UDP: Transport = Transport::Udp { port: 4191 };

fn care_of(n: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0x100 + n, 0, 0, 0, 0, 7)
}

fn path_6(n: u16) -> Path {
    Path {
        care_of: care_of(n).into(),
        interface: n.into(),
    }
}

fn key() -> SecurityAssociation {
    SecurityAssociation {
        spi: 256,
        algorithm: Algorithm::HmacSha1,
        key: Key::new([7; 16]).unwrap_or_else(|_| unreachable!("sixteen octets")),
        replay: ReplayProtection::Timestamps,
    }
}

/// An update that left.
#[derive(Debug)]
struct Left {
    at: Duration,
    transport: Transport,
    update: BindingUpdate,
    addresses: BindingAddresses,
}

/// The mobile node and its host.
struct Laptop6 {
    node: MobileNode,
    association: SecurityAssociation,
    begin: Instant,
    now: Instant,
    left: Vec<Left>,
    events: Vec<Event>,
    tunnels: BTreeMap<HomeAddress, Tunnel>,
    /// What the home agent lends.
    lent: Ipv6Addr,
}

impl Laptop6 {
    fn new(association: SecurityAssociation) -> Self {
        let begin = Instant::now();
        let mut laptop = Self {
            node: MobileNode::new(Config::new(identity()), [7; 32], begin, NEW_YEAR),
            association,
            begin,
            now: begin,
            left: Vec::new(),
            events: Vec::new(),
            tunnels: BTreeMap::new(),
            lent: HOME_6,
        };
        laptop.bind();
        laptop.path(1, true);
        laptop
    }

    fn active() -> Self {
        let mut laptop = Self::new(SecurityAssociation::open_mode());
        laptop.accept(0);
        laptop.act(|node, now| node.handle_usage(AGENT_6.into(), Usage::Sockets, now));
        laptop.left.clear();
        laptop.events.clear();
        laptop
    }

    fn bind(&mut self) {
        let association = self.association.clone();
        let bound = self.act(|node, now| {
            let correspondents = [SERVER_6.into()];
            node.bind(
                AGENT_6.into(),
                "server.example",
                &correspondents,
                association,
                now,
            )
        });
        assert_eq!(bound, Ok(()));
    }

    fn path(&mut self, n: u16, usable: bool) {
        self.act(|node, now| node.handle_path(AGENT_6.into(), Some(path_6(n)), usable, now));
    }

    fn act<T>(&mut self, act: impl FnOnce(&mut MobileNode, Instant) -> T) -> T {
        let result = act(&mut self.node, self.now);
        loop {
            self.drain_transmits();
            let Some(event) = self.node.poll_event() else {
                return result;
            };
            match event {
                Event::Dataplane(DataplaneChange::Install(tunnel)) => {
                    self.tunnels.insert(tunnel.home_address, tunnel);
                }
                Event::Dataplane(DataplaneChange::Remove(home_address)) => {
                    self.tunnels.remove(&home_address);
                }
                Event::CheckUsage { agent, .. } => {
                    self.node.handle_usage(agent, Usage::Sockets, self.now);
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

    fn drain_transmits(&mut self) {
        while let Some(transmit) = self.node.poll_transmit() {
            let IpAddr::V6(source) = transmit.source else {
                unreachable!("{transmit:?}")
            };
            assert_eq!(transmit.destination, IpAddr::from(AGENT_6));
            assert_eq!(transmit.home_address, None);
            let packet = match transmit.transport {
                Transport::MobilityHeader => Packet {
                    source,
                    destination: AGENT_6,
                    home_address: None,
                    routing_address: None,
                    message: &transmit.payload,
                },
                Transport::Udp { .. } => Packet::decode(&transmit.payload)
                    .unwrap_or_else(|error| unreachable!("{error}")),
            };
            assert_eq!((packet.source, packet.home_address), (source, None));
            let Ok(mip6::Message::BindingUpdate(update)) = packet.message() else {
                unreachable!("not an update: {transmit:?}")
            };
            let addresses = update
                .addresses(&packet)
                .unwrap_or_else(|error| unreachable!("{error}"));
            assert_eq!(addresses.care_of_address, source);
            let authentication = update
                .options
                .mn_ha_authentication()
                .unwrap_or_else(|| unreachable!("{update:?}"));
            assert!(authentication.is_valid(&self.association, &addresses, packet.message));
            assert_eq!(update.flags, UpdateFlags::HOME);
            assert_eq!(update.options.nai(), Some(identity()));
            self.left.push(Left {
                at: self.now - self.begin,
                transport: transmit.transport,
                update,
                addresses,
            });
        }
    }

    fn advance(&mut self, duration: Duration) {
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

    /// The n-th update not looked at yet is accepted with the usual address, for 600 seconds.
    fn accept(&mut self, n: usize) {
        self.answer(n, Status::ACCEPTED, |_| {});
    }

    /// The acknowledgement an obliging home agent would give, after `change`.
    /// The timestamp of what left as the `n`th.
    fn dated(&self, n: usize) -> Identification {
        let timestamp = self.left[n].update.options.replay_protection();
        timestamp.unwrap_or_else(|| unreachable!("all are dated"))
    }

    fn answer(
        &mut self,
        n: usize,
        status: Status,
        change: impl FnOnce(&mut BindingAcknowledgement),
    ) {
        let Left {
            transport,
            update,
            addresses,
            ..
        } = &self.left[n];
        let mut addresses = *addresses;
        let identifier =
            MobileNodeIdentifier::nai(&identity()).map(MobilityOption::MobileNodeIdentifier);
        let mut options: Vec<_> = identifier.into_iter().collect();
        if status.is_accepted() {
            addresses.home_address = self.lent;
            let prefix = NetworkPrefix::of_address(self.lent);
            options.push(MobilityOption::HomeNetworkPrefix(prefix));
        }
        let timestamp = update.options.replay_protection();
        options.extend(timestamp.map(MobilityOption::ReplayProtection));
        let mut answer = BindingAcknowledgement {
            status,
            flags: AcknowledgementFlags::NONE,
            sequence: update.sequence,
            lifetime: match update.lifetime {
                Lifetime::Zero => Lifetime::Zero,
                Lifetime::Finite(_) | Lifetime::Infinite => Lifetime::Finite(seconds(600)),
            },
            options: Options::try_from(options).unwrap_or_else(|_| unreachable!("few")),
        };
        change(&mut answer);
        let (transport, association) = (*transport, self.association.clone());
        let destination = addresses.care_of_address;
        self.deliver(transport, destination, |packet| {
            answer.encode(&association, &addresses, &packet.pseudo_header())
        });
    }

    /// A message of the home agent.
    fn deliver(
        &mut self,
        transport: Transport,
        destination: Ipv6Addr,
        encode: impl FnOnce(&Packet<'_>) -> Vec<u8>,
    ) {
        let packet = Packet {
            source: AGENT_6,
            destination,
            home_address: None,
            routing_address: None,
            message: &[],
        };
        let message = encode(&packet);
        let payload = match transport {
            Transport::MobilityHeader => message,
            Transport::Udp { .. } => Packet {
                message: &message,
                ..packet
            }
            .encode(),
        };
        self.receive(transport, destination, &payload);
    }

    fn receive(&mut self, transport: Transport, destination: Ipv6Addr, payload: &[u8]) {
        self.act(|node, now| {
            let datagram = Datagram {
                source: AGENT_6.into(),
                destination: destination.into(),
                transport,
                home_address: None,
                payload,
            };
            node.handle_input(datagram, now);
        });
    }

    fn counter(&self, name: &str) -> u64 {
        let counters = self.node.counters();
        counters
            .iter()
            .find(|(known, _)| known == name)
            .map_or(0, |(_, count)| *count)
    }

    fn transports(&self) -> Vec<(u64, Transport)> {
        let at = |left: &Left| (left.at.as_secs(), left.transport);
        self.left.iter().map(at).collect()
    }

    fn state(&self) -> Option<BindingState> {
        let views = self.node.bindings(self.now);
        views.first().map(|view| view.state)
    }
}
