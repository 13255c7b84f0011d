//! The world: a fleet of laptops, some home agents, one clock and one queue of what happens next.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use mobility_protocol::{Family, HomeAgentAddress};

use crate::attacker::{Attack, Attacker};
use crate::model::Model;
use crate::network::{Conditions, Network, Packet};
use crate::node::{Agent, Kind, Laptop};
use crate::tolls::Tolls;

/// 2026-01-01 00:00:00 UTC.
const NEW_YEAR: Duration = Duration::from_secs(1_767_225_600);
/// How many things may happen for each laptop before a run is called endless.
const HAPPENINGS_PER_LAPTOP: u64 = 5000;
/// How long an application waits before it looks the name of a failed agent up again.
const LOOK_UP_AGAIN: Duration = Duration::from_secs(10);
pub(crate) const NETWORKS: u8 = 4;

/// What can happen.
#[derive(Debug)]
pub(crate) enum Happening {
    Arrival(Packet),
    LaptopTimer(usize),
    AgentTimer(usize),
    LookUp(usize, HomeAgentAddress),
    /// Those who connected without try with the agent again, if they still run.
    LookUpAgain(usize, HomeAgentAddress),
    /// The laptop is attached to these networks from now on.
    Attach(usize, Vec<u8>),
    CrashLaptop(usize),
    StartLaptop(usize),
    CrashAgent {
        agent: usize,
        forget: bool,
    },
    StartAgent(usize),
    Close(usize),
    /// Applications talk, and the host reads the counters.
    Talk(usize),
    Check,
    Attack(Attack),
}

/// How big and how bad a world is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) laptops: usize,
    /// Home agents with the prefix length of the pool of each.
    pub(crate) agents: u8,
    pub(crate) pool_length: u8,
    /// With how many agents each laptop talks.
    pub(crate) agents_per_laptop: u8,
    pub(crate) conditions: Conditions,
    pub(crate) lifetime: Duration,
    pub(crate) hold_down: Duration,
    /// Laptops, of a thousand, whose clock is wrong by up to two hours.
    pub(crate) wrong_clocks: u32,
    /// Whether some laptops share a key with all home agents, and nonces go with it.
    pub(crate) nonces: bool,
    /// In which families laptops talk.
    pub(crate) families: &'static [Family],
    /// Laptops, of a thousand, whose networks don't let the Mobility Header through.
    pub(crate) without_native: u32,
}

pub(crate) struct World {
    pub(crate) scale: Scale,
    pub(crate) begin: Instant,
    pub(crate) elapsed: Duration,
    pub(crate) sequence: u64,
    pub(crate) queue: BinaryHeap<Reverse<(Duration, u64)>>,
    pub(crate) happenings: BTreeMap<u64, Happening>,
    /// The laptops that will look up an agent again.
    pub(crate) looking: BTreeSet<(usize, HomeAgentAddress)>,
    pub(crate) network: Network,
    pub(crate) laptops: Vec<Laptop>,
    pub(crate) agents: Vec<Agent>,
    pub(crate) clocks: Vec<i64>,
    pub(crate) laptop_wakes: Vec<Option<Duration>>,
    pub(crate) agent_wakes: Vec<Option<Duration>>,
    pub(crate) model: Model,
    pub(crate) happened: u64,
    pub(crate) datagrams: u64,
    pub(crate) attacker: Attacker,
    pub(crate) tolls: Tolls,
}

impl World {
    pub(crate) fn new(scale: Scale, seed: u64) -> Self {
        let mut network = Network::new(scale.conditions, seed);
        let begin = Instant::now();
        let mut agents = Vec::new();
        for index in 0..scale.agents {
            let (pool_length, hold_down) = (scale.pool_length, scale.hold_down);
            let mut agent = Agent::new(index, pool_length, hold_down, scale.lifetime);
            for laptop in
                (0..scale.laptops).filter(|laptop| Kind::of(*laptop, scale.nonces) == Kind::Shares)
            {
                agent.know(laptop);
            }
            agent.start(network.seed(), begin, NEW_YEAR);
            agents.push(agent);
        }
        let mut clocks = Vec::new();
        let mut laptops = Vec::new();
        for index in 0..scale.laptops {
            let wrong = network.happens(scale.wrong_clocks);
            let error = i64::from(network.below(14_400)) - 7200;
            clocks.push(if wrong { error } else { 0 });
            let attached = u8::try_from(network.below(NETWORKS.into())).unwrap_or(0);
            let mut laptop = Laptop::new(index, attached, Kind::of(index, scale.nonces));
            laptop.native = !network.happens(scale.without_native);
            laptops.push(laptop);
        }
        let mut world = Self {
            scale,
            begin,
            elapsed: Duration::ZERO,
            sequence: 0,
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            looking: BTreeSet::new(),
            network,
            laptop_wakes: vec![None; laptops.len()],
            agent_wakes: vec![None; agents.len()],
            laptops,
            agents,
            clocks,
            model: Model::new(scale.hold_down),
            happened: 0,
            datagrams: 0,
            attacker: Attacker::default(),
            tolls: Tolls::default(),
        };
        for index in 0..world.laptops.len() {
            world.start_laptop(index);
        }
        world
    }

    /// From now on the network is like this.
    pub(crate) fn set_conditions(&mut self, conditions: Conditions) {
        self.network.set_conditions(conditions);
    }

    /// Let so much time pass.
    pub(crate) fn run(&mut self, duration: Duration) {
        let end = self.elapsed + duration;
        let most = HAPPENINGS_PER_LAPTOP * (self.laptops.len() as u64 + 10);
        while let Some(Reverse((at, key))) = self
            .queue
            .peek()
            .copied()
            .filter(|Reverse((at, _))| *at <= end)
        {
            self.queue.pop();
            self.elapsed = at;
            self.happened += 1;
            assert!(
                self.happened < most,
                "{} things have happened, and no end",
                self.happened
            );
            if let Some(happening) = self.happenings.remove(&key) {
                self.happen(happening);
            }
        }
        self.elapsed = end;
    }

    pub(crate) fn now(&self) -> Instant {
        self.begin + self.elapsed
    }

    /// By the clocks that are right.
    pub(crate) fn unix_time(&self) -> Duration {
        NEW_YEAR + self.elapsed
    }

    /// An address out of the first few of the pool of a home agent.
    pub(crate) fn nth_of_pool(&self, agent: HomeAgentAddress, number: u32) -> IpAddr {
        let index = self
            .agents
            .iter()
            .position(|other| other.addresses.contains(&agent))
            .unwrap_or(0);
        Agent::nth_of_pool(index, agent.family(), number)
    }

    fn happen(&mut self, happening: Happening) {
        let now = self.now();
        match happening {
            Happening::Arrival(packet) => self.arrive(&packet),
            Happening::LaptopTimer(index) => {
                if self.laptop_wakes[index] == Some(self.elapsed) {
                    self.laptop_wakes[index] = None;
                    if let Some(machine) = &mut self.laptops[index].machine {
                        machine.handle_timeout(now);
                    }
                    self.settle_laptop(index);
                }
            }
            Happening::AgentTimer(index) => {
                if self.agent_wakes[index] == Some(self.elapsed) {
                    self.agent_wakes[index] = None;
                    if let Some(machine) = &mut self.agents[index].machine {
                        machine.handle_timeout(now);
                    }
                    self.settle_agent(index);
                }
            }
            Happening::LookUp(index, agent) => {
                self.laptops[index].look_up(agent, now);
                self.settle_laptop(index);
            }
            Happening::LookUpAgain(index, agent) => {
                self.looking.remove(&(index, agent));
                if self.laptops[index].wanted.contains(&agent) {
                    self.laptops[index].look_up(agent, now);
                    self.settle_laptop(index);
                }
            }
            Happening::Attach(index, networks) => {
                self.laptops[index].attached = networks;
                self.laptops[index].report_paths(now);
                self.settle_laptop(index);
            }
            Happening::CrashLaptop(index) => self.laptops[index].crash(&mut self.model),
            Happening::StartLaptop(index) => self.start_laptop(index),
            Happening::CrashAgent { agent, forget } => {
                self.agents[agent].crash();
                if forget {
                    self.agents[agent].forget(&mut self.model);
                }
            }
            Happening::StartAgent(index) => self.restart(index),
            Happening::Close(index) => {
                self.laptops[index].close(now);
                self.settle_laptop(index);
            }
            Happening::Talk(index) => self.talk(index),
            Happening::Check => self.check(),
            Happening::Attack(attack) => self.attack(attack),
        }
    }

    /// A home agent starts, with what its store holds.
    pub(crate) fn restart(&mut self, index: usize) {
        let (now, unix_time) = (self.now(), self.unix_time());
        let seed = self.network.seed();
        self.agents[index].start(seed, now, unix_time);
        self.settle_agent(index);
    }

    fn start_laptop(&mut self, index: usize) {
        let now = self.now();
        let unix_time = self
            .unix_time()
            .as_secs()
            .saturating_add_signed(self.clocks[index]);
        let unix_time = Duration::new(unix_time, self.elapsed.subsec_nanos());
        let seed = self.network.seed();
        self.laptops[index].start(seed, now, unix_time);
        // Applications go on wanting what they wanted.
        for agent in self.laptops[index].wanted.clone() {
            self.laptops[index].look_up(agent, now);
        }
        self.settle_laptop(index);
    }

    fn arrive(&mut self, packet: &Packet) {
        let now = self.now();
        let destination = packet.destination;
        if let Some(index) = self
            .agents
            .iter()
            .position(|agent| agent.has_address(destination))
        {
            self.tolls.received(packet);
            self.agents[index].receive(packet, now);
            self.settle_agent(index);
        } else if self.attacker.has_address(destination) {
            self.arrive_at_puppets(packet);
        } else {
            let index = Laptop::index_of(destination);
            if self
                .laptops
                .get(index)
                .is_some_and(|laptop| laptop.has_address(destination) && laptop.hears(packet))
            {
                self.laptops[index].receive(packet, now);
                self.settle_laptop(index);
            }
        }
    }

    /// One packet to every correspondent, and one back where both ends of the tunnel agree.
    fn talk(&mut self, index: usize) {
        let now = self.now();
        let laptop = &mut self.laptops[index];
        let attached = laptop.own_addresses();
        let Some(machine) = &mut laptop.machine else {
            return;
        };
        for (agent, home_address) in &laptop.sockets {
            let Some(tunnel) = laptop.tunnels.get(home_address) else {
                continue;
            };
            let far = self
                .agents
                .iter()
                .find(|far| far.addresses.contains(agent))
                .expect("it exists");
            let answered = far
                .tunnels
                .get(home_address)
                .is_some_and(|far| far.endpoints.remote == tunnel.endpoints.local)
                && attached.contains(&tunnel.endpoints.local);
            let (sent, received) = laptop.traffic.entry(*agent).or_default();
            *sent += 1;
            *received += u64::from(answered);
            machine.handle_traffic(*agent, *sent, *received, now);
        }
        self.settle_laptop(index);
    }

    fn settle_laptop(&mut self, index: usize) {
        let now = self.now();
        let failures = self.laptops[index].failures;
        let packets = self.laptops[index].settle(&mut self.model, now);
        self.send(packets);
        if self.laptops[index].failures != failures {
            for agent in self.laptops[index].wanted.clone() {
                let talks = self.laptops[index].sockets.contains_key(&agent);
                if !talks && self.looking.insert((index, agent)) {
                    self.schedule(LOOK_UP_AGAIN, Happening::LookUpAgain(index, agent));
                }
            }
        }
        let wake = self.laptops[index]
            .machine
            .as_ref()
            .and_then(|machine| machine.poll_timeout());
        if let Some(at) = self.wake(wake, self.laptop_wakes[index]) {
            self.laptop_wakes[index] = Some(at);
            self.schedule(at - self.elapsed, Happening::LaptopTimer(index));
        }
    }

    fn settle_agent(&mut self, index: usize) {
        let now = self.now();
        let packets = self.agents[index].settle(&mut self.model, now);
        self.tolls.sent(&packets);
        self.send(packets);
        let wake = self.agents[index]
            .machine
            .as_ref()
            .and_then(|machine| machine.poll_timeout());
        if let Some(at) = self.wake(wake, self.agent_wakes[index]) {
            self.agent_wakes[index] = Some(at);
            self.schedule(at - self.elapsed, Happening::AgentTimer(index));
        }
    }

    /// When to wake, if that is not arranged already.
    fn wake(&self, wanted: Option<Instant>, arranged: Option<Duration>) -> Option<Duration> {
        let at = wanted?
            .saturating_duration_since(self.begin)
            .max(self.elapsed);
        (arranged.is_none_or(|arranged| arranged <= self.elapsed || at < arranged)).then_some(at)
    }

    fn send(&mut self, packets: Vec<Packet>) {
        for packet in packets {
            self.datagrams += 1;
            let to_agent = self
                .agents
                .iter()
                .any(|agent| agent.has_address(packet.destination));
            self.attacker.see(&packet, to_agent);
            if to_agent {
                for answer in self.attacker.reacts_to(&packet) {
                    self.inject(answer);
                }
            }
            for delay in self.network.deliveries() {
                self.deliver(packet.clone(), delay);
            }
        }
    }

    pub(crate) fn deliver(&mut self, packet: Packet, after: Duration) {
        self.schedule(after, Happening::Arrival(packet));
    }

    pub(crate) fn schedule(&mut self, after: Duration, happening: Happening) {
        self.sequence += 1;
        self.queue
            .push(Reverse((self.elapsed + after, self.sequence)));
        self.happenings.insert(self.sequence, happening);
    }
}
