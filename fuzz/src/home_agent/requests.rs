//! What mobile nodes send, and what others send in their name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use mobility_protocol::security::{
    Algorithm, Claimant, Cookie, HomeAgentSecret, Key, KeyPair, ReplayProtection,
    SecurityAssociation,
};
use mobility_protocol::wire::KeyAgreement;
use mobility_protocol::wire::mip4::{Extension, Extensions, RegistrationRequest, RequestFlags};
use mobility_protocol::wire::mip6::{
    BindingAddresses, BindingUpdate, MobileNodeIdentifier, MobilityOption, NetworkPrefix, Options,
    Packet, SequenceNumber, UpdateFlags,
};
use mobility_protocol::{Family, Identity, Lifetime, Transport};

use super::super::script::{Script, flip};
use super::super::time::Timed;
use super::world::World;
use super::{Arrival, HOME_AGENT, HOME_AGENT_6, host_6, timestamp};

/// Configured; its fixed addresses are [`FIXED`].
pub(crate) const LAPTOP: &str = "laptop@example.org";
/// Configured, without an address of its own.
pub(crate) const PHONE: &str = "phone@example.org";
/// The laptop's own.
pub(crate) const FIXED: Ipv4Addr = Ipv4Addr::new(10, 128, 0, 9);

const NAMES: [&str; 12] = [
    LAPTOP, PHONE, "a", "b", "c", "d", "e", "f", "g", "h", "i", "j",
];

/// What the home agent agrees on keys with.
pub(crate) fn secret() -> HomeAgentSecret {
    HomeAgentSecret::from_seed(&[5; 32])
}

/// Whose configured association is whose; those of strangers are the one that everybody knows.
pub(crate) fn association(name: &str) -> SecurityAssociation {
    let own = |spi, algorithm, replay, key: &[u8]| {
        Key::new(key).map(|key| SecurityAssociation {
            spi,
            algorithm,
            key,
            replay,
        })
    };
    match name {
        LAPTOP => own(
            256,
            Algorithm::HmacMd5,
            ReplayProtection::Timestamps,
            &[0x0b; 16],
        ),
        PHONE => own(
            257,
            Algorithm::HmacSha256,
            ReplayProtection::Nonces,
            &[0x0c; 32],
        ),
        _ => return SecurityAssociation::open_mode(),
    }
    .unwrap_or_else(|error| unreachable!("{error}"))
}

pub(crate) fn identity(name: &str) -> Identity {
    Identity::new(name).unwrap_or_else(|error| unreachable!("{error}"))
}

/// What both families' requests say.
pub(crate) struct Request {
    name: &'static str,
    association: SecurityAssociation,
    /// What a stranger brings along who agrees on a key.
    agreement: Option<[Option<KeyAgreement>; 3]>,
    from: u8,
    home_address: Option<IpAddr>,
    lifetime: Lifetime,
    flags: u16,
    stamp: u8,
    form: u8,
    forged: bool,
}

impl Request {
    pub(crate) fn ipv4(script: &mut Script<'_>, world: &mut World) -> Arrival {
        let request = Self::read(script, world, Family::Ipv4);
        let care_of_address = Ipv4Addr::new(198, 51, 100, request.from);
        let extensions: Extensions = request
            .elements()
            .map(Extension::KeyAgreement)
            .chain([Extension::Nai(identity(request.name))])
            .collect();
        let message = RegistrationRequest {
            flags: match request.flags {
                0..=0xbfff => RequestFlags::CO_LOCATED,
                flags => RequestFlags::from_wire(flags.to_be_bytes()[1]),
            },
            lifetime: request.lifetime,
            home_address: match request.home_address {
                Some(IpAddr::V4(address)) => address,
                Some(IpAddr::V6(_)) | None => Ipv4Addr::UNSPECIFIED,
            },
            home_agent: HOME_AGENT,
            care_of_address,
            identification: match request.name {
                PHONE if request.stamp <= 191 => world.nonces(),
                _ => timestamp(world.unix_time(), request.stamp),
            },
            extensions,
        };
        let source = match request.form & 0x20 {
            0 => care_of_address,
            _ => Ipv4Addr::new(192, 0, 2, 99),
        };
        let transport = Transport::Udp { port: 40_000 };
        request.arrive(
            script,
            source.into(),
            HOME_AGENT.into(),
            transport,
            message.encode(&request.association),
        )
    }

    pub(crate) fn ipv6(script: &mut Script<'_>, world: &mut World) -> Arrival {
        let request = Self::read(script, world, Family::Ipv6);
        let care_of = host_6(request.from);
        let home_address = match request.home_address {
            Some(IpAddr::V6(address)) => address,
            Some(IpAddr::V4(_)) | None => Ipv6Addr::UNSPECIFIED,
        };
        // A home address may also stand in a header of its own.
        let in_header = request.form & 0x20 != 0 && !home_address.is_unspecified();
        let timestamped = request.agreement.is_some() || is_known(request.name);
        let options = [
            Some(MobilityOption::AlternateCareOfAddress(care_of)),
            (!in_header).then(|| {
                MobilityOption::HomeNetworkPrefix(NetworkPrefix::of_address(home_address))
            }),
            MobileNodeIdentifier::nai(&identity(request.name))
                .ok()
                .map(MobilityOption::MobileNodeIdentifier),
            timestamped.then(|| {
                MobilityOption::ReplayProtection(timestamp(world.unix_time(), request.stamp))
            }),
        ];
        let update = BindingUpdate {
            sequence: SequenceNumber(world.sequence(request.stamp)),
            flags: match request.flags {
                0..=0xbfff => UpdateFlags::HOME,
                flags => UpdateFlags::from_wire(flags << 2),
            },
            lifetime: request.lifetime,
            options: Options::try_from(
                request
                    .elements()
                    .map(MobilityOption::KeyAgreement)
                    .chain(options.into_iter().flatten())
                    .collect::<Vec<_>>(),
            )
            .unwrap_or_else(|error| unreachable!("{error}")),
        };
        let mut packet = Packet {
            source: care_of,
            destination: HOME_AGENT_6,
            home_address: in_header.then_some(home_address),
            routing_address: None,
            message: &[],
        };
        let addresses = BindingAddresses {
            home_address,
            care_of_address: care_of,
        };
        let message = update.encode(&request.association, &addresses, &packet.pseudo_header());
        packet.message = &message;
        let (transport, payload) = match request.form & 0x40 {
            0 => (Transport::MobilityHeader, message.clone()),
            _ => (Transport::Udp { port: 40_000 }, packet.encode()),
        };
        let header = packet
            .home_address
            .filter(|_| transport == Transport::MobilityHeader);
        let arrival = request.arrive(
            script,
            care_of.into(),
            HOME_AGENT_6.into(),
            transport,
            payload,
        );
        Arrival {
            home_address: header,
            ..arrival
        }
    }

    fn read(script: &mut Script<'_>, world: &mut World, family: Family) -> Self {
        // No two messages leave at the same moment.
        world.wait(Duration::from_millis(1));
        let name = NAMES[script.below(NAMES.len())];
        let from = script.octet();
        let which = script.octet();
        let lifetime = match script.octet() {
            0..=63 => Lifetime::Zero,
            64..=127 => Lifetime::Infinite,
            some => Lifetime::Finite(Duration::from_secs(4 * u64::from(some - 127))),
        };
        let (flags, stamp, form) = (script.number(), script.octet(), script.octet());
        let home_address = match which {
            0..=95 => None,
            96..=159 => world.bound_to(name, family),
            160..=223 => world.any_bound(which, family),
            some => Some(match family {
                Family::Ipv4 => Ipv4Addr::new(10, 128, 0, some % 20).into(),
                Family::Ipv6 => {
                    Ipv6Addr::new(0x2001, 0xdb8, 0x200, 1, 0, 0, 0, (some % 20).into()).into()
                }
            }),
        };
        let agreement = (!is_known(name) && from & 0x40 != 0)
            .then(|| agree(name, from, family, stamp, world.unix_time()));
        let own = match &agreement {
            Some((agreed, _)) => agreed.clone(),
            None => association(name),
        };
        let used = match form & 7 {
            6 => association(if name == LAPTOP { PHONE } else { LAPTOP }),
            7 => SecurityAssociation {
                key: Key::new([form; 16]).unwrap_or_else(|error| unreachable!("{error}")),
                ..own.clone()
            },
            _ => own.clone(),
        };
        Self {
            name,
            forged: used != own,
            association: used,
            agreement: agreement.map(|(_, elements)| elements),
            from,
            home_address,
            lifetime,
            flags,
            stamp,
            form,
        }
    }

    /// The elements of an agreement.
    fn elements(&self) -> impl Iterator<Item = KeyAgreement> + use<> {
        self.agreement.into_iter().flatten().flatten()
    }

    fn arrive(
        &self,
        script: &mut Script<'_>,
        source: IpAddr,
        destination: IpAddr,
        transport: Transport,
        mut payload: Vec<u8>,
    ) -> Arrival {
        let damaged = self.form & 0x18 == 0x18;
        if damaged {
            flip(&mut payload, script.number());
        }
        // What of an IPv6 header in UDP nothing protects may well be changed.
        let whole = destination.is_ipv4() || transport == Transport::MobilityHeader;
        Arrival {
            source,
            destination,
            transport,
            home_address: None,
            payload,
            forged: self.forged || (damaged && whole),
            good_once: self.name == PHONE && destination.is_ipv4(),
        }
    }
}

fn is_known(name: &str) -> bool {
    name == LAPTOP || name == PHONE
}

/// What a stranger of this name shares with the home agent after a cookie, which may be too old, none
/// or another's, or with a token, which may be too old; and what he brings along.
fn agree(
    name: &str,
    from: u8,
    family: Family,
    stamp: u8,
    now: Duration,
) -> (SecurityAssociation, [Option<KeyAgreement>; 3]) {
    let mut seed = [1; 32];
    if let Some((first, octet)) = seed.first_mut().zip(name.as_bytes().first()) {
        *first = *octet;
    }
    let (pair, secret, identity) = (KeyPair::new(seed), secret(), identity(name));
    let (home_agent, source): (IpAddr, IpAddr) = match family {
        Family::Ipv4 => (HOME_AGENT.into(), Ipv4Addr::new(198, 51, 100, from).into()),
        Family::Ipv6 => (HOME_AGENT_6.into(), host_6(from).into()),
    };
    let agreed = pair
        .with_home_agent(&secret.public(), home_agent, &identity)
        .unwrap_or_else(|| unreachable!("a good key"));
    let claimant = Claimant {
        home_agent,
        source,
        spi: agreed.spi,
        identity: &identity,
    };
    let ago = |seconds| now.saturating_sub(Duration::from_secs(seconds));
    let cookie = match stamp {
        0..=223 => secret.cookie(&claimant, now),
        224..=239 => secret.cookie(&claimant, ago(120)),
        240..=251 => Cookie::NONE,
        _ => Cookie([stamp; Cookie::LENGTH]),
    };
    let token = match stamp {
        244..=247 => Some(secret.token(&claimant, ago(3600))),
        248..=251 => Some(secret.token(&claimant, ago(90_000))),
        _ => None,
    };
    let elements = [
        Some(KeyAgreement::KeyShare(pair.public())),
        Some(KeyAgreement::Cookie(cookie)),
        token.map(KeyAgreement::ResumptionToken),
    ];
    (agreed, elements)
}
