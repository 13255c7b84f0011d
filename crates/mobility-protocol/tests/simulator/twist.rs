//! What somebody with a key of his own can ask for: whatever fits into the fields, rightly authenticated.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use mobility_protocol::security::{Claimant, HomeAgentSecret, KeyPair};
use mobility_protocol::wire::KeyAgreement;
use mobility_protocol::wire::mip4::{Extension, Identification, RegistrationRequest, RequestFlags};
use mobility_protocol::wire::mip6::{
    BindingAddresses, BindingUpdate, MobileNodeIdentifier, MobilityOption, NetworkPrefix, Options,
    SequenceNumber, UpdateFlags,
};
use mobility_protocol::{Family, HomeAgentAddress, Identity, Lifetime, Transport};

use crate::attacker::{own_address, victim};
use crate::fleet::World;
use crate::forgery::in_packet;
use crate::network::Packet;
use crate::node::{AGENT_SEED, Laptop, correspondent};

/// How many identities he goes by.
const MEMBERS: u32 = 4;

impl World {
    /// His identities say something strange, each time later than before.
    pub(crate) fn twist(&mut self) {
        for number in 0..40 {
            let unix_time = self.unix_time() + Duration::from_millis(number);
            let agent = self.any_agent();
            let member = u8::try_from(self.network.below(MEMBERS)).unwrap_or(0);
            let own = own_address(20 + member, agent.family());
            let care_of = match self.network.happens(500) {
                true => own,
                false => self.any_address(agent, own),
            };
            let home_address = match self.network.happens(500) {
                true => unspecified(agent.family()),
                false => self.any_address(agent, own),
            };
            let source = if self.network.happens(500) {
                own
            } else {
                care_of
            };
            let message = Message {
                agent,
                member,
                own,
                source,
                care_of,
                home_address,
                unix_time,
            };
            let packet = message.twisted(self);
            self.inject(packet);
        }
    }

    /// An address that means something to somebody, of the family of this home agent.
    fn any_address(&mut self, agent: HomeAgentAddress, own: IpAddr) -> IpAddr {
        let family = agent.family();
        let laptop = self.any(self.laptops.len());
        let lent = (self.laptops[laptop].sockets.values())
            .map(|home_address| home_address.ip())
            .find(|address| Family::of(*address) == family);
        let other = (self.agents.iter().flat_map(|agent| agent.addresses))
            .find(|other| other.family() == family && *other != agent);
        let number = self.network.below(300);
        let mut addresses = vec![
            own,
            victim(family),
            agent.ip(),
            self.nth_of_pool(agent, number),
            Laptop::address(laptop, 0, family),
            correspondent(agent),
            unspecified(family),
        ];
        addresses.extend(lent);
        addresses.extend(other.map(|other| other.ip()));
        addresses.extend(match family {
            Family::Ipv4 => [
                Ipv4Addr::LOCALHOST,
                Ipv4Addr::BROADCAST,
                Ipv4Addr::new(224, 0, 0, 1),
                Ipv4Addr::new(169, 254, 0, 1),
            ]
            .map(IpAddr::from),
            Family::Ipv6 => [
                Ipv6Addr::LOCALHOST,
                Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1),
                Ipv4Addr::new(198, 51, 100, 1).to_ipv6_mapped(),
            ]
            .map(IpAddr::from),
        });
        addresses[self.any(addresses.len())]
    }
}

/// What stands in the message of a member, and where it comes from.
struct Message {
    agent: HomeAgentAddress,
    member: u8,
    /// A host of his.
    own: IpAddr,
    source: IpAddr,
    care_of: IpAddr,
    home_address: IpAddr,
    unix_time: Duration,
}

impl Message {
    /// The rest of it is up to chance.
    fn twisted(self, world: &mut World) -> Packet {
        let Self {
            agent,
            member,
            own,
            source,
            care_of,
            home_address,
            unix_time,
        } = self;
        let identity = Identity::new(format!("member{member}@example.net")).expect("short");
        let pair = KeyPair::new([0x70 + member; 32]);
        // What he has learnt by asking from a host of his.
        let secret = HomeAgentSecret::from_seed(&AGENT_SEED);
        let association = pair
            .with_home_agent(&secret.public(), agent.ip(), &identity)
            .expect("a good key");
        let claimant = Claimant {
            home_agent: agent.ip(),
            source: own,
            spi: association.spi,
            identity: &identity,
        };
        let elements = [
            KeyAgreement::KeyShare(pair.public()),
            KeyAgreement::Cookie(secret.cookie(&claimant, unix_time)),
        ];
        let identification = Identification::from_unix(unix_time);
        let lifetime = match world.network.below(4) {
            0 => Lifetime::Zero,
            1 => Lifetime::Finite(Duration::from_secs(4)),
            2 => Lifetime::Finite(Duration::from_secs(60)),
            _ => Lifetime::Infinite,
        };
        let flags = match world.network.happens(750) {
            true => None,
            false => Some(world.network.seed()),
        };
        match (source, care_of, home_address, agent.ip()) {
            (_, IpAddr::V4(care_of), IpAddr::V4(home_address), IpAddr::V4(home_agent)) => {
                let flags = flags.map(|[octet, ..]| RequestFlags::from_wire(octet));
                let request = RegistrationRequest {
                    flags: flags.unwrap_or(RequestFlags::CO_LOCATED),
                    lifetime,
                    home_address,
                    home_agent,
                    care_of_address: care_of,
                    identification,
                    extensions: (elements.into_iter())
                        .map(Extension::KeyAgreement)
                        .chain([Extension::Nai(identity)])
                        .collect(),
                };
                Packet {
                    source,
                    destination: home_agent.into(),
                    transport: Transport::Udp { port: 434 },
                    payload: request.encode(&association),
                }
            }
            (
                IpAddr::V6(source),
                IpAddr::V6(care_of_address),
                IpAddr::V6(home_address),
                IpAddr::V6(home_agent),
            ) => {
                let flags = flags.map(|[high, low, ..]| u16::from_be_bytes([high, low]));
                let name = MobileNodeIdentifier::nai(&identity).expect("short");
                let options = [
                    MobilityOption::HomeNetworkPrefix(NetworkPrefix::of_address(home_address)),
                    MobilityOption::AlternateCareOfAddress(care_of_address),
                    MobilityOption::MobileNodeIdentifier(name),
                    MobilityOption::ReplayProtection(identification),
                ];
                let elements = elements.into_iter().map(MobilityOption::KeyAgreement);
                let options: Vec<_> = options.into_iter().chain(elements).collect();
                let update = BindingUpdate {
                    sequence: SequenceNumber(u16::from(member)),
                    flags: flags.map_or(UpdateFlags::HOME, UpdateFlags::from_wire),
                    lifetime,
                    options: Options::try_from(options).expect("few options"),
                };
                let addresses = BindingAddresses {
                    home_address,
                    care_of_address,
                };
                in_packet(source, home_agent, Transport::MobilityHeader, |header| {
                    update.encode(&association, &addresses, header)
                })
            }
            (_, _, _, home_agent) => unreachable!("two families: {home_agent} and {care_of}"),
        }
    }
}

const fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::Ipv6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}
