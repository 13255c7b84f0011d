//! The mobile node: applications that come and go, networks that change, answers from anybody, time in
//! any steps, restarts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use mobility_protocol::mobile_node::{Credentials, Usage};
use mobility_protocol::security::{Algorithm, Key, KeyPair, ReplayProtection, SecurityAssociation};
use mobility_protocol::{HomeAgentAddress, Path, Transport};

use super::script::{Script, flip};
use super::time::Timed;

mod answers;
mod laptop;

use laptop::Laptop;

/// One home agent for each family and mode.
pub(crate) const AGENTS: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10)),
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 20)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x200, 0, 0, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x200, 0, 0, 0, 0, 2)),
];
pub(crate) const NAME: &str = "laptop@example.org";

pub(crate) fn agent(index: usize) -> HomeAgentAddress {
    HomeAgentAddress::from(AGENTS[index])
}

/// The key that a home agent shares with this mobile node, if it does. With the others keys are agreed
/// on.
pub(crate) fn association(index: usize) -> Option<SecurityAssociation> {
    let spi = 256 + u32::try_from(index).unwrap_or_default();
    (index % 2 == 1).then(|| SecurityAssociation {
        spi,
        algorithm: Algorithm::HmacSha256,
        key: Key::new([9; 32]).unwrap_or_else(|error| unreachable!("{error}")),
        replay: ReplayProtection::Nonces,
    })
}

/// What this mobile node has for a home agent.
pub(crate) fn credentials(index: usize) -> Credentials {
    association(index).map_or(Credentials::Agreement { pinned: None }, Credentials::from)
}

/// What home agents agree on keys with: the first one and, after it has lost its secret, another.
pub(crate) fn key_pair(second: bool) -> KeyPair {
    KeyPair::new([if second { 6 } else { 5 }; 32])
}

/// Whatever is asked, heard and answered: a binding is carried only for the correspondents it was asked
/// for and at an address any host may have, no two share an address or a correspondent; messages
/// keep their pace and are this mobile node's; forged answers change nothing; every accepted wish is
/// answered; and when everything is given up, nothing is left.
pub fn mobile_node(octets: &[u8]) {
    let mut script = Script::new(octets);
    let mut laptop = Laptop::new(script.octet());
    while let Some(what) = script.next() {
        match what % 20 {
            0..=2 => bind(&mut script, &mut laptop),
            3 => {
                let index = script.below(AGENTS.len());
                laptop.give_up(index);
            }
            4 => laptop.give_up_name(script.octet() % 4),
            5 | 6 => {
                let (index, where_to) = (script.below(AGENTS.len()), script.octet());
                laptop.path(index, path(index, where_to), where_to & 0x80 == 0);
            }
            7 => {
                let (index, octet) = (script.below(AGENTS.len()), script.octet());
                laptop.usage(index, octet);
            }
            8 => {
                let (index, sent, received) =
                    (script.below(AGENTS.len()), script.octet(), script.octet());
                laptop.traffic(index, sent, received);
            }
            9..=13 => answers::answer(&mut script, &mut laptop),
            14 => raw(&mut script, &mut laptop),
            15 => laptop.wait(Duration::from_millis(u64::from(script.number()) * 10)),
            16 => laptop.oversleep(Duration::from_millis(u64::from(script.number()) * 100)),
            17 => laptop.set_clock(i64::from(script.number()) - 0x8000),
            18 => {
                let (seed, after) = (script.octet(), script.octet());
                laptop.restart(seed, Duration::from_secs(after.into()));
            }
            _ => answers::unprotected(&mut script, &mut laptop),
        }
        laptop.check();
    }
    laptop.leave();
}

fn bind(script: &mut Script<'_>, laptop: &mut Laptop) {
    let (index, name, which) = (
        script.below(AGENTS.len()),
        script.octet() % 4,
        script.octet(),
    );
    let correspondents: Vec<IpAddr> = (0..4)
        .filter(|bit| which & (1 << bit) != 0)
        .map(|host| correspondent(which & 0x80 != 0, host))
        .collect();
    laptop.bind(index, name, &correspondents, Usage::None);
}

fn correspondent(ipv6: bool, host: u8) -> IpAddr {
    match ipv6 {
        false => Ipv4Addr::new(192, 0, 2, 80 + host).into(),
        true => Ipv6Addr::new(0x2001, 0xdb8, 0x300, 0, 0, 0, 0, host.into()).into(),
    }
}

/// The way out there is now, if any.
fn path(index: usize, octet: u8) -> Option<Path> {
    let network = octet & 7;
    let care_of: IpAddr = match AGENTS[index] {
        _ if octet & 0x40 != 0 => return None,
        IpAddr::V4(_) => Ipv4Addr::new(198, 51, network, 7).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0x100, network.into(), 0, 0, 0, 7).into(),
    };
    Some(Path {
        care_of: care_of.into(),
        interface: u32::from(network) + 1,
    })
}

fn raw(script: &mut Script<'_>, laptop: &mut Laptop) {
    let kind = script.octet();
    let length = script.octet().into();
    let mut payload = script.octets(length).to_vec();
    if kind & 0x80 != 0 {
        flip(&mut payload, script.number());
    }
    let index = usize::from(kind) % AGENTS.len();
    let transport = match kind & 0x30 {
        0x00 => Transport::MobilityHeader,
        0x10 => Transport::Udp { port: 434 },
        _ => Transport::Udp { port: 4191 },
    };
    laptop.hear(AGENTS[index], transport, &payload, false);
}
