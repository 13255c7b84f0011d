//! Binding Updates of Mobile IPv6, by themselves and in UDP, and both families at once.

mod forms;
mod lifecycle;
mod refusals;

use super::*;
use crate::Family;
use crate::wire::mip6::iana::BindingErrorStatus;
use crate::wire::mip6::{
    self, BindingAddresses, BindingUpdate, MobileNodeIdentifier, MobilityOption, NetworkPrefix,
    Options, Packet, SequenceNumber, Status, UpdateFlags,
};

const HOME_AGENT_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x200, 0, 0, 0, 0, 1);
const UNSPECIFIED: Ipv6Addr = Ipv6Addr::UNSPECIFIED;
const ALICE: &str = "alice@example.net";

fn both() -> Config {
    let mut config = config();
    config.ipv6 = Some(HOME_AGENT_6);
    config.pools.push("2001:db8:200:1::/64".parse().unwrap());
    config.correspondents = Arc::from([
        "198.51.100.0/24".parse().unwrap(),
        "2001:db8:300::/48".parse().unwrap(),
    ]);
    config
}

fn host(host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 0, 0, host)
}

/// A Binding Update on its way: a plain first request, until a test changes it.
#[derive(Clone)]
struct Update {
    identity: &'static str,
    association: SecurityAssociation,
    source: Ipv6Addr,
    transport: Transport,
    packet_source: Ipv6Addr,
    /// In a Home Address option.
    home_address_option: Option<Ipv6Addr>,
    /// In a home network prefix option.
    home_network_prefix: Option<Ipv6Addr>,
    care_of: Option<Ipv6Addr>,
    sequence: u16,
    flags: UpdateFlags,
    lifetime: Lifetime,
    timestamp: Option<Identification>,
}

impl Update {
    fn new(identity: &'static str, from: u16, sequence: u16) -> Self {
        Self {
            identity,
            association: association(identity),
            source: host(from),
            transport: Transport::MobilityHeader,
            packet_source: host(from),
            home_address_option: None,
            home_network_prefix: Some(UNSPECIFIED),
            care_of: Some(host(from)),
            sequence,
            flags: UpdateFlags::HOME,
            lifetime: Lifetime::Infinite,
            timestamp: None,
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn of(self, home_address: Ipv6Addr) -> Self {
        self.with(|update| update.home_network_prefix = Some(home_address))
    }

    fn release(self, home_address: Ipv6Addr) -> Self {
        self.of(home_address)
            .with(|update| update.lifetime = Lifetime::Zero)
    }

    fn in_udp(self) -> Self {
        self.with(|update| update.transport = Transport::Udp { port: 40_000 })
    }

    fn addresses(&self) -> BindingAddresses {
        BindingAddresses {
            home_address: self
                .home_network_prefix
                .or(self.home_address_option)
                .unwrap_or(self.packet_source),
            care_of_address: self.care_of.unwrap_or(self.packet_source),
        }
    }

    fn octets(&self) -> Vec<u8> {
        let identity = Identity::new(self.identity).unwrap();
        let options = [
            self.care_of.map(MobilityOption::AlternateCareOfAddress),
            self.home_network_prefix
                .map(NetworkPrefix::of_address)
                .map(MobilityOption::HomeNetworkPrefix),
            MobileNodeIdentifier::nai(&identity)
                .ok()
                .map(MobilityOption::MobileNodeIdentifier),
            self.timestamp.map(MobilityOption::ReplayProtection),
        ];
        let update = BindingUpdate {
            sequence: SequenceNumber(self.sequence),
            flags: self.flags,
            lifetime: self.lifetime,
            options: Options::try_from(options.into_iter().flatten().collect::<Vec<_>>()).unwrap(),
        };
        let mut packet = Packet {
            source: self.packet_source,
            destination: HOME_AGENT_6,
            home_address: self.home_address_option,
            routing_address: None,
            message: &[],
        };
        let message = update.encode(
            &self.association,
            &self.addresses(),
            &packet.pseudo_header(),
        );
        packet.message = &message;
        match self.transport {
            Transport::MobilityHeader => message,
            Transport::Udp { .. } => packet.encode(),
        }
    }
}

/// What came back, verified as its mobile node verifies it.
#[derive(Debug)]
struct Answer {
    status: Status,
    sequence: u16,
    lifetime: Lifetime,
    /// In the home network prefix option.
    home_address: Option<Ipv6Addr>,
    /// In the type 2 routing header.
    routing_address: Option<Ipv6Addr>,
    timestamp: Option<Identification>,
}

impl World {
    fn dual() -> Self {
        Self::with(both())
    }

    fn deliver_6(&mut self, update: &Update, payload: &[u8]) -> Option<Transmit> {
        let datagram = Datagram {
            source: update.source.into(),
            destination: HOME_AGENT_6.into(),
            transport: update.transport,
            home_address: update.home_address_option,
            payload,
        };
        self.agent.handle_input(datagram, self.now);
        self.round();
        let transmit = self.agent.poll_transmit()?;
        assert_eq!(self.agent.poll_transmit(), None);
        assert_eq!(transmit.destination, update.source);
        assert_eq!(transmit.source, IpAddr::from(HOME_AGENT_6));
        assert_eq!(transmit.transport, update.transport, "answered in kind");
        assert!(transmit.payload.len() <= payload.len(), "never larger");
        Some(transmit)
    }

    fn update(&mut self, update: &Update) -> Option<Answer> {
        self.wait(Duration::from_millis(1));
        let transmit = self.deliver_6(update, &update.octets())?;
        let packet = match transmit.transport {
            Transport::Udp { .. } => Packet::decode(&transmit.payload).unwrap(),
            Transport::MobilityHeader => Packet {
                source: HOME_AGENT_6,
                destination: update.source,
                home_address: None,
                routing_address: transmit.home_address,
                message: &transmit.payload,
            },
        };
        let Ok(mip6::Message::BindingAcknowledgement(answer)) = packet.message() else {
            panic!("not an acknowledgement: {transmit:02x?}");
        };
        let addresses = answer.addresses(&packet, &update.addresses()).unwrap();
        let authentication = answer.options.mn_ha_authentication().unwrap();
        let association = association(update.identity);
        assert!(authentication.is_valid(&association, &addresses, packet.message));
        assert_eq!(
            answer.options.nai().unwrap().as_bytes(),
            update.identity.as_bytes()
        );
        Some(Answer {
            status: answer.status,
            sequence: answer.sequence.0,
            lifetime: answer.lifetime,
            home_address: answer.options.home_address(),
            routing_address: packet.routing_address,
            timestamp: answer.options.replay_protection(),
        })
    }

    fn bound_6(&mut self, identity: &'static str, from: u16, sequence: u16) -> Ipv6Addr {
        let answer = self.update(&Update::new(identity, from, sequence)).unwrap();
        assert_eq!(answer.status, Status::ACCEPTED);
        self.take_events();
        answer.home_address.unwrap()
    }

    fn status(&mut self, update: &Update) -> u8 {
        self.update(update).unwrap().status.0
    }
}

fn tunnel_6(home_address: Ipv6Addr, at: u16, former: Option<u16>) -> Event {
    Event::Dataplane(DataplaneChange::Install(Tunnel {
        home_address: home_address.into(),
        endpoints: TunnelEndpoints {
            local: HOME_AGENT_6.into(),
            remote: host(at).into(),
            interface: None,
        },
        former_remote: former.map(|at| host(at).into()),
        reachability: Reachability::Proven,
        encapsulation: Encapsulation::Ip6InIp6,
        withdrawn: [].into(),
        correspondents: Arc::from(["2001:db8:300::/48".parse().unwrap()]),
    }))
}
