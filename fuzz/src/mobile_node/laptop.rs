//! A mobile node with its host, and what must hold.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use mobility_protocol::mobile_node::{BindingState, BindingView, Config, Event, MobileNode, Usage};
use mobility_protocol::security::PublicKey;
use mobility_protocol::wire::mip4::{self, RegistrationRequest};
use mobility_protocol::wire::mip6::{self, BindingAddresses, BindingUpdate, Packet};
use mobility_protocol::{
    Datagram, DataplaneChange, HomeAddress, HomeAgentAddress, Lifetime, Path, Transmit, Transport,
    Tunnel,
};

use super::super::time::{Clock, MANY, Timed};
use super::answers::identity;
use super::{AGENTS, agent, association, credentials};

/// Any wish is answered within this.
const PATIENCE: Duration = Duration::from_secs(600);

/// A message that left.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) agent: usize,
    pub(crate) to: IpAddr,
    pub(crate) transport: Transport,
    pub(crate) message: Message,
    /// Which association it is under.
    pub(crate) spi: u32,
    at: Instant,
}

#[derive(Debug, Clone)]
pub(crate) enum Message {
    Request(RegistrationRequest),
    Update(BindingUpdate, BindingAddresses),
}

pub(crate) struct Laptop {
    node: MobileNode,
    clock: Clock,
    sent: VecDeque<Sent>,
    tunnels: BTreeMap<HomeAddress, Tunnel>,
    sockets: [Option<Usage>; AGENTS.len()],
    packets: [(u64, u64); AGENTS.len()],
    /// The latest public key for each home agent.
    pub(crate) shares: [Option<PublicKey>; AGENTS.len()],
    /// Wishes without an answer yet.
    wished: BTreeSet<HomeAgentAddress>,
}

impl Laptop {
    pub(crate) fn new(seed: u8) -> Self {
        let clock = Clock::new();
        let config = Config::new(identity());
        Self {
            node: MobileNode::new(config, [seed; 32], clock.now, clock.unix_time()),
            clock,
            sent: VecDeque::new(),
            tunnels: BTreeMap::new(),
            sockets: [Some(Usage::None); AGENTS.len()],
            packets: [(0, 0); AGENTS.len()],
            shares: [None; AGENTS.len()],
            wished: BTreeSet::new(),
        }
    }

    pub(crate) fn sent(&self, back: usize) -> Option<&Sent> {
        self.sent.get(self.sent.len().checked_sub(1 + back)?)
    }

    pub(crate) fn bind(&mut self, index: usize, name: u8, correspondents: &[IpAddr], use_: Usage) {
        let agent = agent(index);
        let name = format!("n{name}.example");
        let bound = self.node.bind(
            agent,
            &name,
            correspondents,
            credentials(index),
            self.clock.now,
        );
        if bound.is_ok() {
            self.wished.insert(agent);
            self.sockets[index].get_or_insert(use_);
        }
        self.drain();
    }

    pub(crate) fn give_up(&mut self, index: usize) {
        self.node.release(agent(index), self.clock.now);
        self.wished.remove(&agent(index));
        self.drain();
    }

    pub(crate) fn give_up_name(&mut self, name: u8) {
        self.node
            .release_name(&format!("n{name}.example"), self.clock.now);
        self.drain();
        let agents = self.node.agents();
        self.wished.retain(|agent| agents.contains(agent));
    }

    pub(crate) fn path(&mut self, index: usize, path: Option<Path>, usable: bool) {
        self.node
            .handle_path(agent(index), path, usable, self.clock.now);
        self.drain();
    }

    /// What is found when the sockets are looked at; nobody looks for some octets.
    pub(crate) fn usage(&mut self, index: usize, octet: u8) {
        let usage = match octet & 1 {
            0 => Usage::None,
            _ => Usage::Sockets,
        };
        self.sockets[index] = (octet & 2 == 0).then_some(usage);
        self.node.handle_usage(agent(index), usage, self.clock.now);
        self.drain();
    }

    pub(crate) fn traffic(&mut self, index: usize, more: u8, back: u8) {
        let (sent, received) = &mut self.packets[index];
        *sent += u64::from(more);
        *received += u64::from(back);
        let (sent, received) = (*sent, *received);
        self.node
            .handle_traffic(agent(index), sent, received, self.clock.now);
        self.drain();
    }

    pub(crate) fn hear(
        &mut self,
        source: IpAddr,
        transport: Transport,
        payload: &[u8],
        forged: bool,
    ) {
        let destination = match source {
            IpAddr::V4(_) => IpAddr::from([198, 51, 1, 7]),
            IpAddr::V6(_) => self
                .sent
                .iter()
                .rev()
                .find_map(|sent| match &sent.message {
                    Message::Update(_, addresses) => Some(addresses.care_of_address.into()),
                    Message::Request(_) => None,
                })
                .unwrap_or(source),
        };
        let before = forged.then(|| (self.bindings(), self.tunnels.clone(), self.drops()));
        let datagram = Datagram {
            source,
            destination,
            transport,
            home_address: None,
            payload,
        };
        self.node.handle_input(datagram, self.clock.now);
        if let Some((bindings, tunnels, drops)) = before {
            assert_eq!(self.node.poll_transmit(), None, "{datagram:?}");
            assert_eq!(self.bindings(), bindings, "{datagram:?}");
            assert_eq!(self.drops(), drops + 1, "{datagram:?}");
            self.drain();
            assert_eq!(self.tunnels, tunnels, "{datagram:?}");
        }
        self.drain();
    }

    /// The process dies, and comes back after this time with what it wrote down.
    pub(crate) fn restart(&mut self, seed: u8, after: Duration) {
        let stored = self.node.snapshot(self.clock.now);
        self.clock.skip(after, after);
        let config = Config::new(identity());
        self.node = MobileNode::new(config, [seed; 32], self.clock.now, self.clock.unix_time());
        self.sent.clear();
        self.wished.clear();
        // What no restored binding takes over is removed.
        self.tunnels.clear();
        let stored = stored.into_iter().map(|stored| {
            let index = AGENTS.iter().position(|agent| *agent == stored.agent.ip());
            (stored, credentials(index.unwrap_or_default()))
        });
        self.node.restore(stored, self.clock.now);
        self.drain();
    }

    /// Everything is given up, and nothing is left.
    pub(crate) fn leave(&mut self) {
        self.wait(PATIENCE);
        self.check();
        assert!(self.wished.is_empty(), "unanswered: {:?}", self.wished);
        self.node.release_all(self.clock.now);
        self.drain();
        assert_eq!(self.tunnels.len(), 0);
        assert_eq!(self.node.agents(), []);
        assert_eq!(self.node.snapshot(self.clock.now).len(), 0);
        assert_eq!(self.node.poll_timeout(), None);
    }

    /// What holds at any time.
    pub(crate) fn check(&self) {
        let bindings = self.bindings();
        let mut correspondents = BTreeMap::new();
        let mut carried = BTreeMap::new();
        for binding in &bindings {
            assert!(AGENTS.contains(&binding.agent.ip()), "{binding:?}");
            for correspondent in binding.names.values().flatten() {
                let taken = correspondents.insert(correspondent, binding.agent);
                assert!(taken.is_none_or(|taken| taken == binding.agent));
            }
            if let Some(home_address) = binding.home_address {
                // What another home agent lends already is refused, and given back without being used.
                let used_here = self.node.agent_of(home_address) == Some(binding.agent);
                if binding.state == BindingState::Releasing && !used_here {
                    continue;
                }
                let before = carried.insert(home_address, binding);
                assert!(before.is_none(), "{home_address} twice: {bindings:?}");
            }
        }
        for (home_address, tunnel) in &self.tunnels {
            let Some(binding) = carried.get(home_address) else {
                unreachable!("{home_address} is carried for nobody: {bindings:?}")
            };
            assert_eq!(self.node.agent_of(*home_address), Some(binding.agent));
            let wanted: BTreeSet<IpAddr> = binding.names.values().flatten().copied().collect();
            for prefix in tunnel.correspondents.iter() {
                assert_eq!(prefix.prefix_len(), prefix.max_prefix_len(), "{prefix}");
                // One that is being given back carries what is under way until that is confirmed.
                let releasing = binding.state == BindingState::Releasing;
                assert!(
                    releasing || wanted.contains(&prefix.addr()),
                    "{prefix}: {binding:?}"
                );
            }
            let home = home_address.ip();
            assert!(!home.is_unspecified() && !home.is_loopback() && !home.is_multicast());
            assert_ne!(tunnel.endpoints.local, home);
            assert_ne!(tunnel.endpoints.remote, home);
            assert!(!AGENTS.contains(&home), "{home} is a home agent's");
        }
        assert!(self.node.snapshot(self.clock.now).len() <= self.tunnels.len());
    }

    fn bindings(&self) -> Vec<BindingView> {
        self.node.bindings(self.clock.now)
    }

    fn drops(&self) -> u64 {
        let counters = self.node.counters();
        let drops = counters
            .iter()
            .filter(|(name, _)| name.starts_with("drop_"));
        drops.map(|(_, count)| count).sum()
    }

    fn drain(&mut self) {
        for turn in 0.. {
            assert!(turn < MANY, "its outputs don't end");
            if let Some(transmit) = self.node.poll_transmit() {
                self.send(&transmit);
            } else if let Some(event) = self.node.poll_event() {
                self.execute(event);
            } else {
                break;
            }
        }
    }

    fn execute(&mut self, event: Event) {
        match event {
            Event::Dataplane(DataplaneChange::Install(tunnel)) => {
                self.tunnels.insert(tunnel.home_address, tunnel);
            }
            Event::Dataplane(DataplaneChange::Remove(home_address)) => {
                assert!(self.tunnels.remove(&home_address).is_some());
            }
            Event::CheckUsage { agent, .. } => {
                let index = AGENTS.iter().position(|known| *known == agent.ip());
                let usage = index.and_then(|index| self.sockets[index]);
                if let Some(usage) = usage {
                    self.node.handle_usage(agent, usage, self.clock.now);
                }
            }
            Event::Active { agent, .. } | Event::Failed { agent, .. } => {
                self.wished.remove(&agent);
            }
            Event::Moved { .. }
            | Event::Lost { .. }
            | Event::Released { .. }
            | Event::OtherKey { .. }
            | Event::SnapshotChanged => {}
        }
    }

    /// Every message is this mobile node's own, and no home agent gets more than five a second.
    fn send(&mut self, transmit: &Transmit) {
        let (message, spi) = decode(transmit);
        let agent = (0..AGENTS.len())
            .find(|index| {
                association(*index).map_or(spi > 512, |association| association.spi == spi)
                    && AGENTS[*index].is_ipv4() == transmit.destination.is_ipv4()
            })
            .unwrap_or_else(|| unreachable!("{transmit:?}"));
        let share = match &message {
            Message::Request(request) => request.extensions.key_share(),
            Message::Update(update, _) => update.options.key_share(),
        };
        if let Some(share) = share {
            self.shares[agent] = Some(share);
        }
        let five_ago = self
            .sent
            .iter()
            .rev()
            .filter(|sent| sent.agent == agent)
            .nth(4);
        assert!(
            five_ago.is_none_or(|sent| self.clock.now - sent.at >= Duration::from_secs(1)),
            "six within a second"
        );
        if self.sent.len() == 32 {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent {
            agent,
            to: transmit.destination,
            transport: transmit.transport,
            message,
            spi,
            at: self.clock.now,
        });
    }
}

impl Timed for Laptop {
    fn clock(&mut self) -> &mut Clock {
        &mut self.clock
    }

    fn due(&self) -> Option<Instant> {
        self.node.poll_timeout()
    }

    fn wake(&mut self) {
        self.node.handle_timeout(self.clock.now);
        self.drain();
    }

    fn tell_unix_time(&mut self) {
        let unix_time = self.clock.unix_time();
        self.node.handle_unix_time(unix_time, self.clock.now);
        self.drain();
    }
}

fn decode(transmit: &Transmit) -> (Message, u32) {
    let (IpAddr::V6(source), IpAddr::V6(destination)) = (transmit.source, transmit.destination)
    else {
        let Ok(mip4::Message::RegistrationRequest(request)) =
            mip4::Message::decode(&transmit.payload)
        else {
            unreachable!("{transmit:?}")
        };
        // RFC 5944, section 3.6.1.2: to give everything back, the care-of address is the home address.
        let gives_back =
            request.lifetime == Lifetime::Zero && request.care_of_address == request.home_address;
        let named = IpAddr::from(request.care_of_address);
        assert!(gives_back || named == transmit.source, "{transmit:?}");
        assert_eq!(request.extensions.nai(), Some(&identity()));
        let authentication = request.extensions.mobile_home_authentication();
        let spi = authentication.map_or(0, |authentication| authentication.spi);
        return (Message::Request(request), spi);
    };
    let packet = match transmit.transport {
        Transport::MobilityHeader => Packet {
            source,
            destination,
            home_address: None,
            routing_address: None,
            message: &transmit.payload,
        },
        Transport::Udp { .. } => {
            Packet::decode(&transmit.payload).unwrap_or_else(|error| unreachable!("{error}"))
        }
    };
    let Ok(mip6::Message::BindingUpdate(update)) = packet.message() else {
        unreachable!("{transmit:?}")
    };
    let addresses = update
        .addresses(&packet)
        .unwrap_or_else(|error| unreachable!("{error}"));
    assert_eq!(addresses.care_of_address, source);
    assert_eq!(update.options.nai(), Some(identity()));
    let authentication = update.options.mn_ha_authentication();
    let spi = authentication.map_or(0, |authentication| authentication.spi);
    (Message::Update(update, addresses), spi)
}
