//! The two kinds of nodes, each with what a host around the machine does: store, data path,
//! sockets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use mobility_protocol::home_agent::{
    self, HomeAgent, MobileNodeConfig, Mode, Owner, Quotas, Rates, StoreChange, StoredRecord,
};
use mobility_protocol::mobile_node::{
    BindingView, Config, Credentials, Event, MobileNode, StoredBinding, Usage,
};
use mobility_protocol::security::{
    Algorithm, FIRST_SPI, HomeAgentSecret, Key, ReplayProtection, SecurityAssociation,
};
use mobility_protocol::{
    DataplaneChange, Family, HomeAddress, HomeAgentAddress, Identity, Path, Transport, Tunnel,
};

use crate::model::Model;
use crate::network::Packet;

/// What all home agents make their secret of.
pub(crate) const AGENT_SEED: [u8; 32] = [9; 32];

/// What a laptop authenticates with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A key that is agreed on at first contact.
    Agrees,
    /// A key of its own that all home agents have, with nonces where there are any.
    Shares,
    /// Nothing secret: of the old kind.
    Open,
}

impl Kind {
    /// Of the laptop with this index, where some have nonces or none has.
    pub(crate) const fn of(index: usize, nonces: bool) -> Self {
        match index % 6 {
            3 if nonces => Self::Shares,
            0 | 3 => Self::Open,
            _ => Self::Agrees,
        }
    }
}

/// A laptop with mn-agent and applications on it.
#[derive(Debug)]
pub(crate) struct Laptop {
    index: usize,
    /// `None` while mn-agent is not running.
    pub(crate) machine: Option<MobileNode>,
    /// What the last life of mn-agent left on disk.
    stored: Vec<StoredBinding>,
    /// The access networks it is attached to, the preferred one first.
    pub(crate) attached: Vec<u8>,
    /// With whom applications want to talk.
    pub(crate) wanted: BTreeSet<HomeAgentAddress>,
    /// Whose home address sockets have.
    pub(crate) sockets: BTreeMap<HomeAgentAddress, HomeAddress>,
    pub(crate) tunnels: BTreeMap<HomeAddress, Tunnel>,
    pub(crate) failures: u32,
    /// Whether its network lets the Mobility Header through.
    pub(crate) native: bool,
    pub(crate) kind: Kind,
    /// Packets through each tunnel: sent, received.
    pub(crate) traffic: BTreeMap<HomeAgentAddress, (u64, u64)>,
}

impl Laptop {
    pub(crate) fn new(index: usize, network: u8, kind: Kind) -> Self {
        Self {
            index,
            machine: None,
            stored: Vec::new(),
            attached: vec![network],
            wanted: BTreeSet::new(),
            sockets: BTreeMap::new(),
            tunnels: BTreeMap::new(),
            failures: 0,
            native: true,
            kind,
            traffic: BTreeMap::new(),
        }
    }

    pub(crate) fn identity(&self) -> Identity {
        identity(self.index)
    }

    fn credentials(&self) -> Credentials {
        match self.kind {
            Kind::Agrees => Credentials::Agreement { pinned: None },
            Kind::Shares => shared_key(self.index).into(),
            Kind::Open => SecurityAssociation::open_mode().into(),
        }
    }

    /// mn-agent starts, with what its last life left.
    pub(crate) fn start(&mut self, seed: [u8; 32], now: Instant, unix_time: Duration) {
        let mut machine = MobileNode::new(Config::new(self.identity()), seed, now, unix_time);
        let stored = std::mem::take(&mut self.stored);
        machine.restore(
            stored
                .into_iter()
                .map(|binding| (binding, self.credentials())),
            now,
        );
        self.machine = Some(machine);
        self.report_paths(now);
    }

    /// mn-agent dies, and its data path with it.
    pub(crate) fn crash(&mut self, model: &mut Model) {
        self.machine = None;
        for home_address in std::mem::take(&mut self.tunnels).into_keys() {
            model.drops(self.index, home_address);
        }
    }

    /// An application looks the agent's correspondent up.
    pub(crate) fn look_up(&mut self, agent: HomeAgentAddress, now: Instant) {
        self.wanted.insert(agent);
        let credentials = self.credentials();
        let Some(machine) = &mut self.machine else {
            return;
        };
        let name = format!("server.{agent}.example");
        machine
            .bind(agent, &name, &[correspondent(agent)], credentials, now)
            .expect("few agents, few names");
        self.report_paths(now);
    }

    /// All applications close their sockets.
    pub(crate) fn close(&mut self, now: Instant) {
        self.wanted.clear();
        let sockets = std::mem::take(&mut self.sockets);
        if let Some(machine) = &mut self.machine {
            for agent in sockets.into_keys() {
                machine.handle_usage(agent, Usage::None, now);
            }
        }
    }

    /// The address of this family in the n-th access network.
    pub(crate) fn address(index: usize, network: u8, family: Family) -> IpAddr {
        let [.., high, middle, low] = u32::try_from(index)
            .expect("a fleet of millions")
            .to_be_bytes();
        match family {
            Family::Ipv4 => Ipv4Addr::new(100 + network, high, middle, low).into(),
            Family::Ipv6 => {
                // Each has a prefix of its own there.
                let subnet = u16::from_be_bytes([middle, low]);
                let [high, middle, low] = [high, middle, low].map(u16::from);
                let network = 0x100 + u16::from(network);
                Ipv6Addr::new(0x2001, 0xdb8, network, subnet, 0, high, middle, low).into()
            }
        }
    }

    /// The laptop that has or had this address.
    pub(crate) fn index_of(address: IpAddr) -> usize {
        let [high, middle, low] = match address {
            IpAddr::V4(address) => {
                let [_, high, middle, low] = address.octets();
                [high, middle, low].map(u32::from)
            }
            IpAddr::V6(address) => {
                let [.., high, middle, low] = address.segments();
                [high, middle, low].map(u32::from)
            }
        };
        usize::try_from(high << 16 | middle << 8 | low).unwrap_or(usize::MAX)
    }

    /// What it has on the access networks it is attached to.
    pub(crate) fn own_addresses(&self) -> Vec<IpAddr> {
        let of = |family| {
            self.attached
                .iter()
                .map(move |network| Self::address(self.index, *network, family))
        };
        of(Family::Ipv4).chain(of(Family::Ipv6)).collect()
    }

    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        self.own_addresses().contains(&address)
    }

    /// Whether its network lets this through.
    pub(crate) fn hears(&self, packet: &Packet) -> bool {
        self.native || packet.transport != Transport::MobilityHeader
    }

    pub(crate) fn views(&self, now: Instant) -> Vec<BindingView> {
        self.machine
            .as_ref()
            .map(|machine| machine.bindings(now))
            .unwrap_or_default()
    }

    /// What the monitor would tell after every change of links, addresses or routes.
    pub(crate) fn report_paths(&mut self, now: Instant) {
        let network = self.attached.first().copied();
        let Some(mut machine) = self.machine.take() else {
            return;
        };
        for agent in machine.agents() {
            let usable = self
                .tunnels
                .iter()
                .filter(|(home_address, _)| machine.agent_of(**home_address) == Some(agent))
                .any(|(_, tunnel)| self.has_address(tunnel.endpoints.local));
            let preferred = network.map(|network| Path {
                care_of: Self::address(self.index, network, agent.family()).into(),
                interface: network.into(),
            });
            machine.handle_path(agent, preferred, usable, now);
        }
        self.machine = Some(machine);
    }

    pub(crate) fn receive(&mut self, packet: &Packet, now: Instant) {
        if let Some(machine) = &mut self.machine {
            machine.handle_input(packet.datagram(), now);
        }
    }

    /// Over what its bindings of IPv6 are talked about.
    pub(crate) fn transports(&self, now: Instant) -> impl Iterator<Item = Transport> {
        self.views(now)
            .into_iter()
            .filter(|view| view.agent.family() == Family::Ipv6)
            .map(|view| view.transport)
    }

    /// Executes what the machine wants, and returns what it sends.
    pub(crate) fn settle(&mut self, model: &mut Model, now: Instant) -> Vec<Packet> {
        let mut packets = Vec::new();
        let Some(mut machine) = self.machine.take() else {
            return packets;
        };
        loop {
            while let Some(transmit) = machine.poll_transmit() {
                let blocked = transmit.transport == Transport::MobilityHeader && !self.native;
                // An address that is gone can't be sent from.
                if self.has_address(transmit.source) && !blocked {
                    packets.push(Packet::from(transmit));
                }
            }
            let Some(event) = machine.poll_event() else {
                break;
            };
            match event {
                Event::Dataplane(DataplaneChange::Install(tunnel)) => {
                    model.carries(self.index, tunnel.home_address);
                    self.tunnels.insert(tunnel.home_address, tunnel);
                }
                Event::Dataplane(DataplaneChange::Remove(home_address)) => {
                    model.drops(self.index, home_address);
                    self.tunnels
                        .remove(&home_address)
                        .expect("only what was installed is removed");
                }
                Event::Active {
                    agent,
                    home_address,
                } => {
                    if self.wanted.contains(&agent) {
                        self.sockets.insert(agent, home_address);
                        machine.handle_usage(agent, Usage::Sockets, now);
                    }
                }
                Event::CheckUsage { agent, .. } => {
                    let usage = if self.sockets.contains_key(&agent) {
                        Usage::Sockets
                    } else {
                        Usage::None
                    };
                    machine.handle_usage(agent, usage, now);
                }
                Event::Failed { agent, .. } => {
                    self.failures += 1;
                    // The application connects without, and its old sockets give up.
                    self.sockets.remove(&agent);
                }
                Event::SnapshotChanged => self.stored = machine.snapshot(now),
                Event::Moved { .. }
                | Event::Lost { .. }
                | Event::Released { .. }
                | Event::OtherKey { .. } => {}
            }
        }
        self.machine = Some(machine);
        packets
    }
}

/// A host with chad on it.
pub(crate) struct Agent {
    /// The address of each family.
    pub(crate) addresses: [HomeAgentAddress; 2],
    config: home_agent::Config,
    /// `None` while chad is not running.
    pub(crate) machine: Option<HomeAgent>,
    store: BTreeMap<(Owner, Family), StoredRecord>,
    pub(crate) tunnels: BTreeMap<HomeAddress, Tunnel>,
}

impl Agent {
    /// With a pool of each family that lends about as much.
    pub(crate) fn new(index: u8, pool_length: u8, hold_down: Duration, lifetime: Duration) -> Self {
        let ipv4 = Ipv4Addr::new(203, 0, 113, index + 1);
        let ipv6 = Ipv6Addr::new(0x2001, 0xdb8, 0x200, 0, 0, 0, 0, u16::from(index) + 1);
        let pools = [
            format!("10.{index}.0.0/{pool_length}"),
            format!("2001:db8:1:{index}::/{}", 96 + pool_length),
        ];
        let addresses = [HomeAgentAddress::from(ipv4), HomeAgentAddress::from(ipv6)];
        let config = home_agent::Config {
            ipv4: Some(ipv4),
            ipv6: Some(ipv6),
            pools: pools
                .iter()
                .map(|pool| pool.parse().expect("a prefix"))
                .collect(),
            exclude: Vec::new(),
            hold_down,
            default_lifetime: lifetime,
            max_lifetime: lifetime,
            mode: Mode::Open {
                secret: HomeAgentSecret::from_seed(&AGENT_SEED),
                legacy: true,
            },
            // Fleets are larger than the networks they share.
            quotas: Quotas {
                host: u32::MAX,
                site: u32::MAX,
                rates: Rates::UNLIMITED,
                first_lifetime: lifetime,
            },
            mobile_nodes: Vec::new(),
            correspondents: addresses
                .iter()
                .map(|address| correspondent(*address).into())
                .collect(),
            replay_window: Duration::from_secs(7),
        };
        Self {
            addresses,
            config,
            machine: None,
            store: BTreeMap::new(),
            tunnels: BTreeMap::new(),
        }
    }

    /// Shares a key with the laptop that has this index.
    pub(crate) fn know(&mut self, laptop: usize) {
        self.config.mobile_nodes.push(MobileNodeConfig {
            identity: identity(laptop),
            address: None,
            association: shared_key(laptop),
            proves_moves: true,
        });
    }

    /// Serves only who agrees on a key, within these limits, and with nothing in its store.
    pub(crate) fn protect(&mut self, quotas: Quotas) {
        self.config.quotas = quotas;
        self.config.mode = Mode::Open {
            secret: HomeAgentSecret::from_seed(&AGENT_SEED),
            legacy: false,
        };
        self.store.clear();
    }

    /// An address of the pool of the agent with this index.
    pub(crate) fn nth_of_pool(index: usize, family: Family, number: u32) -> IpAddr {
        let index = u8::try_from(index).unwrap_or(0);
        let [_, _, high, low] = number.to_be_bytes();
        match family {
            Family::Ipv4 => Ipv4Addr::new(10, index, high, low).into(),
            Family::Ipv6 => {
                let low = u16::from_be_bytes([high, low]);
                Ipv6Addr::new(0x2001, 0xdb8, 1, index.into(), 0, 0, 0, low).into()
            }
        }
    }

    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        self.addresses.contains(&HomeAgentAddress(address))
    }

    /// Whether an address is of its pools.
    pub(crate) fn lends(&self, address: IpAddr) -> bool {
        self.config.pools.iter().any(|pool| pool.contains(&address))
    }

    /// chad starts, with what its store holds.
    pub(crate) fn start(&mut self, seed: [u8; 32], now: Instant, unix_time: Duration) {
        let mut machine = HomeAgent::new(self.config.clone(), seed, now, unix_time)
            .expect("a sane configuration");
        machine.restore(self.store.values().cloned(), now);
        self.machine = Some(machine);
    }

    /// chad dies, and its data path with it.
    pub(crate) fn crash(&mut self) {
        self.machine = None;
        self.tunnels.clear();
    }

    /// Its state directory is lost.
    pub(crate) fn forget(&mut self, model: &mut Model) {
        self.store.clear();
        for address in self.addresses {
            model.forgot(address);
        }
    }

    pub(crate) fn receive(&mut self, packet: &Packet, now: Instant) {
        if let Some(machine) = &mut self.machine {
            machine.handle_input(packet.datagram(), now);
        }
    }

    /// Commits, executes, and returns what is sent, in this order.
    pub(crate) fn settle(&mut self, model: &mut Model, now: Instant) -> Vec<Packet> {
        let Some(machine) = &mut self.machine else {
            return Vec::new();
        };
        while let Some(change) = machine.poll_store_change() {
            let address = match change.family() {
                Family::Ipv4 => self.addresses[0],
                Family::Ipv6 => self.addresses[1],
            };
            model.committed(address, &change, now);
            match change {
                StoreChange::Put(record) => {
                    let key = (record.owner(), record.family());
                    self.store.insert(key, record);
                }
                StoreChange::Delete(owner, family) => {
                    self.store.remove(&(owner, family));
                }
            }
        }
        while let Some(event) = machine.poll_event() {
            match event {
                home_agent::Event::Dataplane(DataplaneChange::Install(tunnel)) => {
                    self.tunnels.insert(tunnel.home_address, tunnel);
                }
                home_agent::Event::Dataplane(DataplaneChange::Remove(home_address)) => {
                    self.tunnels.remove(&home_address);
                }
                home_agent::Event::BindingCreated { .. }
                | home_agent::Event::BindingMoved { .. }
                | home_agent::Event::BindingRefreshed { .. }
                | home_agent::Event::BindingReleased { .. }
                | home_agent::Event::BindingExpired { .. }
                | home_agent::Event::Refused { .. } => {}
            }
        }
        let mut packets = Vec::new();
        while let Some(transmit) = machine.poll_transmit() {
            packets.push(Packet::from(transmit));
        }
        packets
    }
}

fn identity(laptop: usize) -> Identity {
    Identity::new(format!("laptop{laptop}@example.org")).expect("a short name")
}

fn shared_key(laptop: usize) -> SecurityAssociation {
    SecurityAssociation {
        spi: FIRST_SPI,
        algorithm: Algorithm::HmacSha256,
        key: Key::new(laptop.to_be_bytes()).expect("eight octets"),
        replay: ReplayProtection::Nonces,
    }
}

/// The server behind an agent.
pub(crate) fn correspondent(agent: HomeAgentAddress) -> IpAddr {
    match agent.ip() {
        IpAddr::V4(agent) => {
            let [.., last] = agent.octets();
            Ipv4Addr::new(192, 0, 2, last).into()
        }
        IpAddr::V6(agent) => {
            let [.., last] = agent.segments();
            Ipv6Addr::new(0x2001, 0xdb8, 0x300, 0, 0, 0, 0, last).into()
        }
    }
}
