//! The home agent: messages from anybody in any order, time in any steps, a store that fails, restarts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use mobility_protocol::wire::mip4::Identification;
use mobility_protocol::{Datagram, Transport};

use super::script::{Script, flip};
use super::time::Timed;

mod requests;
mod world;

use requests::Request;
use world::World;

pub(crate) const HOME_AGENT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
pub(crate) const HOME_AGENT_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x200, 0, 0, 0, 0, 1);

/// A datagram as it arrives.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) transport: Transport,
    pub(crate) home_address: Option<Ipv6Addr>,
    pub(crate) payload: Vec<u8>,
    /// Nobody who holds the key wrote it so: it must not have any effect.
    pub(crate) forged: bool,
    /// It repeats a nonce: no second one like it may have any effect.
    pub(crate) good_once: bool,
}

impl Arrival {
    pub(crate) fn datagram(&self) -> Datagram<'_> {
        Datagram {
            source: self.source,
            destination: self.destination,
            transport: self.transport,
            home_address: self.home_address,
            payload: &self.payload,
        }
    }
}

/// Whatever arrives and whatever else happens: no address is lent twice, too early or to the wrong
/// one; pool, data path, store and bindings agree; answers go to the sender and are no larger than
/// what they answer; forged messages, and those with a nonce when they are repeated, change nothing; every message is counted once; and when
/// everybody has gone, nothing is left.
pub fn home_agent(octets: &[u8]) {
    let mut script = Script::new(octets);
    let mut world = World::new(script.octet());
    while let Some(what) = script.next() {
        match what % 16 {
            0..=4 => {
                let request = Request::ipv4(&mut script, &mut world);
                world.deliver(request);
            }
            5..=8 => {
                let request = Request::ipv6(&mut script, &mut world);
                world.deliver(request);
            }
            9 => {
                let arrival = raw(&mut script);
                world.deliver(arrival);
            }
            10 => world.wait(Duration::from_millis(u64::from(script.number()) * 20)),
            11 => world.oversleep(Duration::from_millis(u64::from(script.number()) * 200)),
            12 => world.set_clock(i64::from(script.number()) - 0x8000),
            13 => world.store_fails = script.octet() % 2 == 1,
            14 => {
                let (after, change) = (script.number(), script.octet());
                world.restart(Duration::from_secs(after.into()), change);
            }
            _ => world.repeat(script.below(8)),
        }
        world.check();
    }
    world.leave();
}

fn raw(script: &mut Script<'_>) -> Arrival {
    let kind = script.octet();
    let length = script.octet().into();
    let mut payload = script.octets(length).to_vec();
    if kind & 8 != 0 {
        flip(&mut payload, script.number());
    }
    let (source, destination): (IpAddr, IpAddr) = match kind & 1 {
        0 => (Ipv4Addr::new(198, 51, 100, kind).into(), HOME_AGENT.into()),
        _ => (host_6(kind).into(), HOME_AGENT_6.into()),
    };
    Arrival {
        source,
        destination,
        transport: match kind & 2 {
            0 => Transport::Udp { port: kind.into() },
            _ => Transport::MobilityHeader,
        },
        home_address: None,
        payload,
        forged: false,
        good_once: false,
    }
}

pub(crate) fn host_6(host: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 0, 0, host.into())
}

/// The timestamp a mobile node would send, or one that is off by up to two minutes.
pub(crate) fn timestamp(now: Duration, octet: u8) -> Identification {
    let off = match octet {
        0..=191 => 0,
        late => i64::from(late) - 224,
    };
    Identification::from_unix(Duration::from_millis(
        u64::try_from(now.as_millis())
            .unwrap_or_default()
            .saturating_add_signed(off * 4_000),
    ))
}
