//! The two kinds of nodes, each with what a host around the machine does: store, data path,
//! sockets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mobility_protocol::home_agent::{self, HomeAgent, Mode, StoreChange, StoredRecord};
use mobility_protocol::mobile_node::{
    BindingView, Config, Event, MobileNode, StoredBinding, Usage,
};
use mobility_protocol::security::SecurityAssociation;
use mobility_protocol::{
    CareOfAddress, DataplaneChange, HomeAddress, HomeAgentAddress, Identity, Path, Tunnel,
};

use crate::model::Model;
use crate::network::Packet;

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
    /// Packets through each tunnel: sent, received.
    pub(crate) traffic: BTreeMap<HomeAgentAddress, (u64, u64)>,
}

impl Laptop {
    pub(crate) fn new(index: usize, network: u8) -> Self {
        Self {
            index,
            machine: None,
            stored: Vec::new(),
            attached: vec![network],
            wanted: BTreeSet::new(),
            sockets: BTreeMap::new(),
            tunnels: BTreeMap::new(),
            failures: 0,
            traffic: BTreeMap::new(),
        }
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity::new(format!("laptop{}@example.org", self.index)).expect("a short name")
    }

    /// mn-agent starts, with what its last life left.
    pub(crate) fn start(&mut self, seed: [u8; 32], now: Instant, unix_time: Duration) {
        let mut machine = MobileNode::new(Config::new(self.identity()), seed, now, unix_time);
        let stored = std::mem::take(&mut self.stored);
        machine.restore(
            stored
                .into_iter()
                .map(|binding| (binding, SecurityAssociation::open_mode())),
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
        let Some(machine) = &mut self.machine else {
            return;
        };
        let name = format!("server.{agent}.example");
        machine
            .bind(
                agent,
                &name,
                &[correspondent(agent)],
                SecurityAssociation::open_mode(),
                now,
            )
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

    /// The address in the n-th access network.
    pub(crate) fn address(index: usize, network: u8) -> Ipv4Addr {
        let [.., high, middle, low] = u32::try_from(index)
            .expect("a fleet of millions")
            .to_be_bytes();
        Ipv4Addr::new(100 + network, high, middle, low)
    }

    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        self.attached
            .iter()
            .any(|network| address == IpAddr::V4(Self::address(self.index, *network)))
    }

    pub(crate) fn views(&self, now: Instant) -> Vec<BindingView> {
        self.machine
            .as_ref()
            .map(|machine| machine.bindings(now))
            .unwrap_or_default()
    }

    /// What the monitor would tell after every change of links, addresses or routes.
    pub(crate) fn report_paths(&mut self, now: Instant) {
        let preferred = self.attached.first().map(|network| Path {
            care_of: CareOfAddress::from(Self::address(self.index, *network)),
            interface: (*network).into(),
        });
        let Some(mut machine) = self.machine.take() else {
            return;
        };
        for agent in machine.agents() {
            let usable = self
                .tunnels
                .iter()
                .filter(|(home_address, _)| machine.agent_of(**home_address) == Some(agent))
                .any(|(_, tunnel)| self.has_address(tunnel.endpoints.local));
            machine.handle_path(agent, preferred, usable, now);
        }
        self.machine = Some(machine);
    }

    pub(crate) fn receive(&mut self, packet: &Packet, now: Instant) {
        if let Some(machine) = &mut self.machine {
            machine.handle_input(packet.datagram(), now);
        }
    }

    /// Executes what the machine wants, and returns what it sends.
    pub(crate) fn settle(&mut self, model: &mut Model, now: Instant) -> Vec<Packet> {
        let mut packets = Vec::new();
        let Some(mut machine) = self.machine.take() else {
            return packets;
        };
        loop {
            while let Some(transmit) = machine.poll_transmit() {
                // An address that is gone can't be sent from.
                if self.has_address(transmit.source) {
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
                Event::Moved { .. } | Event::Lost { .. } | Event::Released { .. } => {}
            }
        }
        self.machine = Some(machine);
        packets
    }
}

/// A host with chad on it.
pub(crate) struct Agent {
    pub(crate) address: HomeAgentAddress,
    config: home_agent::Config,
    /// `None` while chad is not running.
    pub(crate) machine: Option<HomeAgent>,
    store: BTreeMap<Identity, StoredRecord>,
    pub(crate) tunnels: BTreeMap<HomeAddress, Tunnel>,
}

impl Agent {
    pub(crate) fn new(index: u8, pool: &str, hold_down: Duration, lifetime: Duration) -> Self {
        let ipv4 = Ipv4Addr::new(203, 0, 113, index + 1);
        let address = HomeAgentAddress::from(ipv4);
        let config = home_agent::Config {
            ipv4: Some(ipv4),
            ipv6: None,
            pools: vec![pool.parse().expect("a prefix")],
            exclude: Vec::new(),
            hold_down,
            default_lifetime: lifetime,
            max_lifetime: lifetime,
            mode: Mode::Open,
            mobile_nodes: Vec::new(),
            correspondents: Arc::from([correspondent(address).into()]),
            replay_window: Duration::from_secs(7),
        };
        Self {
            address,
            config,
            machine: None,
            store: BTreeMap::new(),
            tunnels: BTreeMap::new(),
        }
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
        model.forgot(self.address);
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
            model.committed(self.address, &change, now);
            match change {
                StoreChange::Put(record) => {
                    self.store.insert(record.identity.clone(), record);
                }
                StoreChange::Delete(identity, _) => {
                    self.store.remove(&identity);
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

/// The server behind an agent.
fn correspondent(agent: HomeAgentAddress) -> IpAddr {
    match agent.ip() {
        IpAddr::V4(agent) => {
            let [.., last] = agent.octets();
            Ipv4Addr::new(192, 0, 2, last).into()
        }
        IpAddr::V6(agent) => agent.into(),
    }
}
