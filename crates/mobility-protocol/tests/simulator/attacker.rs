//! Somebody who means harm. On path he sees every datagram and is faster than all others; off path he
//! sees nothing, but knows the public names and addresses of everybody. He sends whatever he likes from
//! whatever address, has hosts of his own, and can't keep anything from arriving.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use mobility_protocol::mobile_node::{Config, Credentials, Event, MobileNode, Usage};
use mobility_protocol::security::KeyPair;
use mobility_protocol::{Family, HomeAgentAddress, Identity, Path};

use crate::fleet::World;
use crate::forgery::{Forgery, Signature, redirected, shows_token};
use crate::network::Packet;
use crate::node::{Laptop, correspondent};

/// How many datagrams he remembers in each direction: the latest.
const MEMORY: usize = 2000;

/// What he does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attack {
    /// Requests and answers of others arrive again, from where they came and from elsewhere.
    Replay,
    /// The same with requests of those who come back, which need no echo: once an attack is under way
    /// also before the original arrives. Also under keys he doesn't know.
    Resume,
    /// Requests of others move their bindings to him and to a victim, end them, or are damaged.
    Forge,
    /// Home agents seem to refuse, to grant, and to have lost their secret: from now on in answer to
    /// each request, before their own answer.
    Answer,
    /// He asks in the name of others, from his own address.
    TakeIdentities,
    /// First requests from addresses that are not his.
    Flood,
    /// He tries the home addresses of the pools in the names of others.
    Scan,
    /// He fetches as many bindings as he gets, under many names from few hosts.
    Hoard,
    /// His own bindings move to a victim and back.
    MoveOntoVictim,
    /// Under keys of his own he asks for what may be said and should not be granted: any flags, any
    /// addresses as home and care-of address, any lifetime.
    Twist,
}

impl Attack {
    pub(crate) const ALL: [Self; 10] = [
        Self::Replay,
        Self::Resume,
        Self::Forge,
        Self::Answer,
        Self::TakeIdentities,
        Self::Flood,
        Self::Scan,
        Self::Hoard,
        Self::MoveOntoVictim,
        Self::Twist,
    ];
}

/// What he knows and has.
#[derive(Default)]
pub(crate) struct Attacker {
    pub(crate) on_path: bool,
    answers_first: bool,
    copies_first: bool,
    requests: Vec<Packet>,
    answers: Vec<Packet>,
    /// Those of the requests that were shown with a token.
    pub(crate) resumptions: Vec<Packet>,
    puppets: Vec<Puppet>,
    /// How many messages he sent that were not his puppets'.
    pub(crate) sent: u64,
    scanned: u32,
}

/// A mobile node of his own.
struct Puppet {
    machine: MobileNode,
    agent: HomeAgentAddress,
    /// Where he really is.
    at: IpAddr,
    abroad: bool,
}

/// One of his hosts: so many of them are in one site.
pub(crate) fn own_address(number: u8, family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::new(66, 6, 6, number).into(),
        Family::Ipv6 => Ipv6Addr::new(0x2001, 0xdb8, 0x666, number.into(), 0, 0, 0, 1).into(),
    }
}

/// Whether an address is of his site.
pub(crate) fn is_own(address: IpAddr) -> bool {
    match (address, own_address(0, Family::of(address))) {
        (IpAddr::V4(address), IpAddr::V4(own)) => address.octets()[..3] == own.octets()[..3],
        (IpAddr::V6(address), IpAddr::V6(own)) => address.segments()[..3] == own.segments()[..3],
        (IpAddr::V4(_) | IpAddr::V6(_), _) => false,
    }
}

/// Somebody who takes no part.
pub(crate) fn victim(family: Family) -> IpAddr {
    bystander(7, family)
}

/// Others who take no part.
fn bystander(number: u8, family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::new(77, 7, 7, number).into(),
        Family::Ipv6 => Ipv6Addr::new(0x2001, 0xdb8, 0x777, 0, 0, 0, 0, number.into()).into(),
    }
}

impl Attacker {
    /// A datagram passes.
    pub(crate) fn see(&mut self, packet: &Packet, to_agent: bool) {
        if !self.on_path {
            return;
        }
        if to_agent && shows_token(packet) {
            remember(&mut self.resumptions, packet);
        }
        match to_agent {
            true => remember(&mut self.requests, packet),
            false => remember(&mut self.answers, packet),
        }
    }

    /// What he sends when he sees a request, before anybody else can do anything.
    pub(crate) fn reacts_to(&self, packet: &Packet) -> Vec<Packet> {
        let mut packets = Vec::new();
        if self.on_path && self.answers_first {
            packets = Forgery::answers_to(packet, KeyPair::new([0x66; 32]).public());
        }
        if self.on_path && self.copies_first && shows_token(packet) {
            packets.extend(copies(packet));
        }
        packets
    }

    /// Whether a host of his has this address.
    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        self.puppets.iter().any(|puppet| puppet.at == address)
    }
}

impl World {
    pub(crate) fn attack(&mut self, attack: Attack) {
        self.wake_puppets();
        match attack {
            Attack::Replay => self.replay(),
            Attack::Resume => self.resume(),
            Attack::Forge => self.forge(),
            Attack::Answer => self.answer(),
            Attack::TakeIdentities => {
                let index = self.any(self.laptops.len());
                let identity = self.laptops[index].identity();
                let (agent, at) = (self.any_agent(), self.network.below(4));
                self.puppet(identity, agent, u8::try_from(at).unwrap_or(0));
            }
            Attack::Flood => self.flood(),
            Attack::Scan => self.scan(),
            Attack::Hoard => {
                let number = self.attacker.puppets.len();
                let identity = Identity::new(format!("n{number}@example.net")).expect("short");
                let (agent, at) = (self.any_agent(), 10 + number % 5);
                self.puppet(identity, agent, u8::try_from(at).unwrap_or(0));
            }
            Attack::MoveOntoVictim => self.move_onto_victim(),
            Attack::Twist => self.twist(),
        }
    }

    /// A datagram arrives for one of his hosts.
    pub(crate) fn arrive_at_puppets(&mut self, packet: &Packet) {
        let now = self.now();
        for puppet in &mut self.attacker.puppets {
            if puppet.at == packet.destination {
                puppet.machine.handle_input(packet.datagram(), now);
            }
        }
        self.settle_puppets();
    }

    fn wake_puppets(&mut self) {
        let now = self.now();
        for puppet in &mut self.attacker.puppets {
            puppet.machine.handle_timeout(now);
        }
        self.settle_puppets();
    }

    /// His mobile nodes send what they like: nothing keeps them from lying about their address.
    fn settle_puppets(&mut self) {
        let (mut packets, now) = (Vec::new(), self.now());
        for puppet in &mut self.attacker.puppets {
            while let Some(event) = puppet.machine.poll_event() {
                if matches!(event, Event::Active { .. } | Event::CheckUsage { .. }) {
                    // They keep what they get.
                    let agent = puppet.agent;
                    puppet.machine.handle_usage(agent, Usage::Sockets, now);
                }
            }
            while let Some(transmit) = puppet.machine.poll_transmit() {
                packets.push(Packet::from(transmit));
            }
        }
        for packet in packets {
            self.inject(packet);
        }
    }

    fn puppet(&mut self, identity: Identity, agent: HomeAgentAddress, number: u8) {
        let (now, seed) = (self.now(), self.network.seed());
        let at = own_address(number, agent.family());
        let mut machine = MobileNode::new(Config::new(identity), seed, now, self.unix_time());
        let credentials = Credentials::Agreement { pinned: None };
        let server = [correspondent(agent)];
        machine
            .bind(agent, "server.example", &server, credentials, now)
            .expect("its first");
        machine.handle_path(agent, Some(path(at)), false, now);
        self.attacker.puppets.push(Puppet {
            machine,
            agent,
            at,
            abroad: false,
        });
        self.settle_puppets();
    }

    fn move_onto_victim(&mut self) {
        let now = self.now();
        for puppet in &mut self.attacker.puppets {
            puppet.abroad = !puppet.abroad;
            let to = match puppet.abroad {
                true => victim(puppet.agent.family()),
                false => puppet.at,
            };
            puppet
                .machine
                .handle_path(puppet.agent, Some(path(to)), false, now);
        }
        self.settle_puppets();
    }

    fn replay(&mut self) {
        for _ in 0..10 {
            if let Some(packet) = self.any_of(|attacker| &attacker.requests) {
                self.inject(packet.clone());
                let family = Family::of(packet.source);
                let source = match self.network.below(3) {
                    0 => victim(family),
                    1 => own_address(1, family),
                    _ => {
                        let laptop = self.any(self.laptops.len());
                        Laptop::address(laptop, 0, family)
                    }
                };
                self.inject(redirected(&packet, source));
            }
            if let Some(packet) = self.any_of(|attacker| &attacker.answers) {
                self.inject(packet);
            }
        }
    }

    fn resume(&mut self) {
        self.attacker.copies_first = true;
        for _ in 0..5 {
            let Some(packet) = self.any_of(|attacker| &attacker.resumptions) else {
                return;
            };
            for copy in copies(&packet) {
                self.inject(copy);
            }
            self.forge_under_all_keys(&packet);
        }
    }

    fn forge_under_all_keys(&mut self, packet: &Packet) {
        let family = Family::of(packet.source);
        for source in [None, Some(victim(family)), Some(own_address(1, family))] {
            for signature in Signature::ALL {
                for release in [false, true] {
                    let forgery = Forgery {
                        source,
                        release,
                        unix_time: self.unix_time(),
                        ..Forgery::default()
                    };
                    let forged = forgery.of_request(packet, signature);
                    self.inject_some(forged);
                }
            }
        }
    }

    fn forge(&mut self) {
        for _ in 0..5 {
            let Some(packet) = self.any_of(|attacker| &attacker.requests) else {
                return;
            };
            self.forge_under_all_keys(&packet);
            // Where the authenticator is left as it is: one octet is another.
            let mut damaged = packet;
            let place = self.any(damaged.payload.len());
            if let Some(octet) = damaged.payload.get_mut(place) {
                *octet ^= 1 << self.network.below(8);
            }
            self.inject(damaged);
        }
    }

    /// Late, too.
    fn answer(&mut self) {
        self.attacker.answers_first = true;
        for _ in 0..5 {
            let Some(packet) = self.any_of(|attacker| &attacker.requests) else {
                return;
            };
            for forged in self.attacker.reacts_to(&packet) {
                self.inject(forged);
            }
        }
    }

    fn flood(&mut self) {
        let agent = self.any_agent();
        let family = agent.family();
        let identity = Identity::new("flood@example.net").expect("short");
        for _ in 0..30 {
            let [a, b, c, d, ..] = self.network.seed();
            let source = match (self.network.below(3), family) {
                (0, _) => victim(family),
                (_, Family::Ipv4) => Ipv4Addr::new(11 + a % 50, b, c, d).into(),
                (_, Family::Ipv6) => {
                    let [b, c, d] = [b, c, d].map(u16::from);
                    Ipv6Addr::new(0x2001, 0xdb8, 0x800 + b, c, 0, 0, 0, d).into()
                }
            };
            let forgery = Forgery {
                source: Some(source),
                unix_time: self.unix_time(),
                key_share: Some(KeyPair::new(self.network.seed()).public()),
                ..Forgery::default()
            };
            let first = forgery.first_request(&identity, agent.ip());
            self.inject(first);
        }
        // Each kind from another one, so that none hides what another brings about.
        for number in 8..=Forgery::KINDS_OF_RUBBISH + 7 {
            let source = bystander(number, family);
            let kind = usize::from(number - 8);
            let rubbish = Forgery::rubbish(source, agent.ip()).into_iter().nth(kind);
            self.inject_some(rubbish);
        }
    }

    fn scan(&mut self) {
        for _ in 0..20 {
            let agent = self.any_agent();
            let laptop = self.any(self.laptops.len());
            self.attacker.scanned += 1;
            let home_address = self.nth_of_pool(agent, self.attacker.scanned % 300);
            let family = agent.family();
            for source in [
                Laptop::address(laptop, 0, family),
                own_address(1, family),
                victim(family),
            ] {
                let forgery = Forgery {
                    source: Some(source),
                    release: self.network.happens(500),
                    home_address: Some(home_address),
                    unix_time: self.unix_time(),
                    ..Forgery::default()
                };
                let identity = self.laptops[laptop].identity();
                let request = forgery.first_request(&identity, agent.ip());
                for signature in Signature::ALL {
                    let forged = forgery.of_request(&request, signature);
                    self.inject_some(forged);
                }
                self.inject(request);
            }
        }
    }

    /// A datagram of his goes out. It is as fast as light.
    pub(crate) fn inject(&mut self, packet: Packet) {
        self.attacker.sent += 1;
        self.deliver(packet, Duration::from_millis(1));
    }

    fn inject_some(&mut self, packet: Option<Packet>) {
        if let Some(packet) = packet {
            self.inject(packet);
        }
    }

    pub(crate) fn any(&mut self, bound: usize) -> usize {
        let bound = u32::try_from(bound).unwrap_or(u32::MAX);
        usize::try_from(self.network.below(bound)).unwrap_or(0)
    }

    pub(crate) fn any_agent(&mut self) -> HomeAgentAddress {
        let agent = self.any(self.agents.len());
        let addresses = self.agents[agent].addresses;
        addresses[self.any(addresses.len())]
    }

    fn any_of(&mut self, which: fn(&Attacker) -> &Vec<Packet>) -> Option<Packet> {
        let length = which(&self.attacker).len();
        let number = self.any(length);
        which(&self.attacker).get(number).cloned()
    }
}

/// A request once more, from where it came and from elsewhere.
fn copies(packet: &Packet) -> [Packet; 3] {
    let family = Family::of(packet.source);
    [victim(family), own_address(1, family), packet.source].map(|source| redirected(packet, source))
}

fn remember(seen: &mut Vec<Packet>, packet: &Packet) {
    if seen.len() == MEMORY {
        seen.remove(0);
    }
    seen.push(packet.clone());
}

fn path(care_of: IpAddr) -> Path {
    Path {
        care_of: care_of.into(),
        interface: 1,
    }
}
