//! Mobile nodes in great numbers on one machine, each with an identity and care-of addresses of its own.
//!
//! Every one is the project's own protocol machine. Messages go through real sockets; there is no data path but for what
//! a story sends by hand, and no application. They act when told to and within the lifetime of their bindings, which nobody refreshes in between.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    ops::Range,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use dataplane::signalling::Signalling;
use ipnet::IpNet;
use mobility_protocol::{
    CareOfAddress, HomeAgentAddress, Identity, Path,
    mobile_node::{Config, Credentials, Event, MobileNode},
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::runtime::Runtime;

use crate::{
    Family, Internet, LabError, Node, Prefixes, Site,
    family::{net, net6},
    internet::UPLINK,
    packet,
    stage::own_prefix,
    stretched,
};

/// How many of them wait for an answer at one time. More answers at once than the socket has room for would be lost.
const UNDER_WAY: usize = 128;

/// How long none of those may hear the answer it waits for.
const SILENCE: Duration = Duration::from_secs(20);

/// How often those that wait are looked after.
const LOOK: Duration = Duration::from_millis(100);

/// Longer than any fleet lives.
const NEVER: Duration = Duration::from_secs(86_400);

/// A machine full of mobile nodes, all of them served by one home agent and visiting one correspondent.
pub struct Fleet {
    node: Node,
    members: Vec<Member>,
    agent: HomeAgentAddress,
    correspondent: IpAddr,
    interface: u32,
    signalling: Signalling,
    runtime: Runtime,
}

struct Member {
    machine: MobileNode,
    abroad: bool,
    home_address: Option<IpAddr>,
}

/// How long something took that many mobile nodes did, some of them at a time.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// All of them together.
    pub took: Duration,
    /// Each, from its first message until the answer was understood, in the order of these answers.
    pub each: Vec<Duration>,
}

impl Fleet {
    /// `size` mobile nodes on a new machine at the core, and none of them bound.
    pub fn new(internet: &mut Internet, site: &Site, size: usize) -> Result<Fleet, LabError> {
        let node = Node::new("fleet")?;
        let next_hop = internet.connect(&node)?;
        for family in Family::ALL {
            for abroad in [false, true] {
                let prefix = place(abroad)?.of(family);
                own_prefix(internet, &node, next_hop.of(family), prefix)?;
            }
        }
        let (runtime, signalling, interface) = node.run(|network| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(LabError::io("start the fleet's runtime"))?;
            let signalling = {
                let _entered = runtime.enter();
                Signalling::mobile_node().map_err(|error| LabError::Other(error.to_string()))?
            };
            Ok((runtime, signalling, network.index(UPLINK)?))
        })?;
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        let unix_time = since_1970.unwrap_or_default();
        let members = (0..size)
            .map(|number| Member::new(number, unix_time))
            .collect::<Result<_, _>>()?;
        Ok(Fleet {
            node,
            members,
            agent: site.agent.into(),
            correspondent: site.address,
            interface,
            signalling,
            runtime,
        })
    }

    /// The machine that all of them are on.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The home address and the care-of address of each that has a binding.
    pub fn bindings(&self) -> Result<BTreeMap<IpAddr, IpAddr>, LabError> {
        let bound = self.members.iter().enumerate();
        bound
            .filter_map(|(number, member)| Some((member.home_address?, number, member.abroad)))
            .map(|(home_address, number, abroad)| Ok((home_address, care_of(number, abroad)?)))
            .collect()
    }

    /// The home address that a member has, if it has a binding.
    #[must_use]
    pub fn home_address(&self, number: usize) -> Option<IpAddr> {
        self.members.get(number)?.home_address
    }

    /// Asks for a binding for each of these, under a key that is agreed on.
    pub fn bind(&mut self, which: Range<usize>) -> Result<Campaign, LabError> {
        self.bind_with(which, &Credentials::Agreement { pinned: None })
    }

    /// As [`Fleet::bind`], with other credentials.
    pub fn bind_with(
        &mut self,
        which: Range<usize>,
        credentials: &Credentials,
    ) -> Result<Campaign, LabError> {
        let (agent, correspondent) = (self.agent, self.correspondent);
        let begin = move |member: &mut Member, path: Path, now| {
            let credentials = credentials.clone();
            let machine = &mut member.machine;
            machine
                .bind(agent, "server.example", &[correspondent], credentials, now)
                .map_err(|error| LabError::Other(format!("bind: {error}")))?;
            machine.handle_path(agent, Some(path), true, now);
            Ok(())
        };
        self.campaign(which, begin, |event| matches!(event, Event::Active { .. }))
    }

    /// Gives each of these its other care-of address, break before make.
    pub fn move_on(&mut self, which: Range<usize>) -> Result<Campaign, LabError> {
        let agent = self.agent;
        for member in &mut self.members[which.clone()] {
            member.abroad = !member.abroad;
        }
        let begin = move |member: &mut Member, path: Path, now| {
            member.machine.handle_path(agent, Some(path), false, now);
            Ok(())
        };
        self.campaign(which, begin, |event| matches!(event, Event::Moved { .. }))
    }

    /// Lets members send from somebody else's address. What is sent there goes where it went.
    pub fn usurp(&self, address: IpAddr) -> Result<(), LabError> {
        self.node
            .run(move |network| network.own_prefix(IpNet::from(address)))
    }

    /// Has a member say that it is at an address it [usurped](Fleet::usurp), or where it really is. Nobody waits for
    /// answers.
    pub fn pretend(&mut self, number: usize, elsewhere: Option<IpAddr>) -> Result<(), LabError> {
        let path = match elsewhere {
            None => self.path(number)?,
            Some(care_of) => Path {
                care_of: CareOfAddress(care_of),
                interface: self.interface,
            },
        };
        self.receive();
        let (agent, now) = (self.agent, Instant::now());
        let machine = &mut self.members[number].machine;
        machine.handle_path(agent, Some(path), false, now);
        self.finish(number, |_| false).map(|_| ())
    }

    /// Gives the bindings of these back.
    pub fn release(&mut self, which: Range<usize>) -> Result<Campaign, LabError> {
        let agent = self.agent;
        let begin = move |member: &mut Member, _, now| {
            member.machine.release(agent, now);
            Ok(())
        };
        self.campaign(which, begin, |event| {
            matches!(event, Event::Released { .. })
        })
    }

    /// Sends one datagram to `to` through the tunnel of a member, and waits for one that comes back by it.
    pub fn exchange(
        &self,
        number: usize,
        to: SocketAddr,
        data: &[u8],
        bound: Duration,
    ) -> Result<Option<Vec<u8>>, LabError> {
        let member = &self.members[number];
        let care_of = care_of(number, member.abroad)?;
        let lent = member.home_address;
        let home_address =
            lent.ok_or_else(|| LabError::Other(format!("mobile node {number} is not bound")))?;
        let packet = packet::udp((home_address, to.port()).into(), to, data);
        let agent = self.agent.ip();
        self.node.run(move |_| {
            let what = || LabError::io(format!("send a packet from {care_of} to {agent}"));
            let socket = open_tunnel(care_of).map_err(what())?;
            socket.set_read_timeout(Some(bound)).map_err(what())?;
            socket.send_to(&packet, (agent, 0)).map_err(what())?;
            let mut buffer = [0; 2048];
            let Ok(length) = socket.recv(&mut buffer) else {
                return Ok(None);
            };
            let heard = match agent {
                IpAddr::V4(_) => packet::ipv4_payload(&buffer[..length]),
                IpAddr::V6(_) => Some(&buffer[..length]),
            };
            Ok(heard.and_then(packet::udp_data).map(<[u8]>::to_vec))
        })
    }

    /// Lets each of `which` begin, a bounded number at a time, and waits until each has told its end.
    fn campaign(
        &mut self,
        which: Range<usize>,
        begin: impl Fn(&mut Member, Path, Instant) -> Result<(), LabError>,
        is_end: fn(&Event) -> bool,
    ) -> Result<Campaign, LabError> {
        let started = Instant::now();
        let mut waiting = which.clone();
        let mut under_way: BTreeMap<usize, Instant> = BTreeMap::new();
        let mut each = Vec::with_capacity(which.len());
        let (mut looked, mut progress) = (started, started);
        loop {
            let mut touched = Vec::new();
            while under_way.len() < UNDER_WAY
                && let Some(number) = waiting.next()
            {
                let (path, now) = (self.path(number)?, Instant::now());
                begin(&mut self.members[number], path, now)?;
                under_way.insert(number, now);
                touched.push(number);
            }
            touched.extend(self.receive());
            let now = Instant::now();
            if now.duration_since(looked) >= LOOK {
                looked = now;
                for number in under_way.keys() {
                    self.members[*number].machine.handle_timeout(now);
                    touched.push(*number);
                }
            }
            for number in touched {
                if self.finish(number, is_end)?
                    && let Some(begun) = under_way.remove(&number)
                {
                    progress = Instant::now();
                    each.push(progress.duration_since(begun));
                }
            }
            if each.len() == which.len() {
                let took = started.elapsed();
                return Ok(Campaign { took, each });
            }
            if progress.elapsed() > stretched(SILENCE) {
                return Err(LabError::TimedOut {
                    what: format!("the answers to {} of {which:?}", under_way.len()),
                    seconds: stretched(SILENCE).as_secs_f64(),
                });
            }
            if under_way.len() == UNDER_WAY || waiting.is_empty() {
                let readable =
                    async { tokio::time::timeout(LOOK, self.signalling.readable()).await };
                if let Ok(readable) = self.runtime.block_on(readable) {
                    readable.map_err(LabError::io("listen to home agents"))?;
                }
            }
        }
    }

    /// Hands on what has arrived; gives the numbers of those that it was for.
    fn receive(&mut self) -> Vec<usize> {
        let mut heard = Vec::new();
        while heard.len() < UNDER_WAY
            && let Some(datagram) = self.signalling.receive()
        {
            let member = number_of(datagram.destination)
                .and_then(|number| Some((number, self.members.get_mut(number)?)));
            if let Some((number, member)) = member {
                member.machine.handle_input(datagram, Instant::now());
                heard.push(number);
            }
        }
        heard
    }

    /// Sends what a member wants to send. Gives whether it has told its end.
    fn finish(&mut self, number: usize, is_end: fn(&Event) -> bool) -> Result<bool, LabError> {
        let member = &mut self.members[number];
        while let Some(transmit) = member.machine.poll_transmit() {
            let sent = self.signalling.send(&transmit);
            match sent {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    let what = format!("send from {}", transmit.source);
                    return Err(LabError::io(what)(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        let mut ended = false;
        while let Some(event) = member.machine.poll_event() {
            match event {
                Event::Active { home_address, .. } => member.home_address = Some(home_address.ip()),
                Event::Released { .. } => member.home_address = None,
                Event::Failed { reason, .. } => {
                    return Err(LabError::Other(format!("mobile node {number}: {reason}")));
                }
                Event::Lost { reason, .. } => {
                    return Err(LabError::Other(format!("mobile node {number}: {reason}")));
                }
                Event::Dataplane(_)
                | Event::Moved { .. }
                | Event::CheckUsage { .. }
                | Event::OtherKey { .. }
                | Event::SnapshotChanged => {}
            }
            ended |= is_end(&event);
        }
        Ok(ended)
    }

    fn path(&self, number: usize) -> Result<Path, LabError> {
        Ok(Path {
            care_of: CareOfAddress(care_of(number, self.members[number].abroad)?),
            interface: self.interface,
        })
    }
}

impl Member {
    fn new(number: usize, unix_time: Duration) -> Result<Member, LabError> {
        let identity = Identity::new(format!("member-{number}@fleet.example"))
            .map_err(|error| LabError::Other(error.to_string()))?;
        let config = Config {
            unused: NEVER,
            ..Config::new(identity)
        };
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&number.to_be_bytes());
        Ok(Member {
            machine: MobileNode::new(config, seed, Instant::now(), unix_time),
            abroad: false,
            home_address: None,
        })
    }
}

/// A socket for what is in a tunnel that ends at `own`.
fn open_tunnel(own: IpAddr) -> io::Result<UdpSocket> {
    let (domain, protocol) = match own {
        IpAddr::V4(_) => (Domain::IPV4, nix::libc::IPPROTO_IPIP),
        IpAddr::V6(_) => (Domain::IPV6, nix::libc::IPPROTO_IPV6),
    };
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(protocol)))?;
    socket.bind(&SocketAddr::from((own, 0)).into())?;
    Ok(socket.into())
}

/// Where the fleet's care-of addresses are, and where they are after a move.
fn place(abroad: bool) -> Result<Prefixes, LabError> {
    let number = u8::from(abroad);
    Ok(Prefixes {
        ipv4: net(Ipv4Addr::new(10, number << 4, 0, 0), 12)?,
        ipv6: net6(
            Ipv6Addr::new(0x2001, 0xdb8, 5, number.into(), 0, 0, 0, 0),
            64,
        )?,
    })
}

/// The care-of address of a member, of the story's family.
fn care_of(number: usize, abroad: bool) -> Result<IpAddr, LabError> {
    let host = u32::try_from(number + 1)
        .map_err(|error| LabError::Other(format!("mobile node {number}: {error}")))?;
    Ok(match place(abroad)?.of(Family::of_this_story()).network() {
        IpAddr::V4(network) => Ipv4Addr::from(u32::from(network) | host).into(),
        IpAddr::V6(network) => Ipv6Addr::from(u128::from(network) | u128::from(host)).into(),
    })
}

/// Whose care-of address it is, here or there.
fn number_of(care_of: IpAddr) -> Option<usize> {
    let host = match care_of {
        IpAddr::V4(address) => u32::from(address) & 0xf_ffff,
        IpAddr::V6(address) => {
            let [.., third, fourth] = address.segments();
            u32::from(third) << 16 | u32::from(fourth)
        }
    };
    usize::try_from(host).ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn care_of_addresses_tell_whose_they_are() {
        for abroad in [false, true] {
            for number in [0, 254, 65_535, 99_999] {
                assert_eq!(number_of(care_of(number, abroad).unwrap()), Some(number));
            }
        }
    }
}
