//! What an attacker writes: messages that are well formed but for what he doesn't know, the key.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use mobility_protocol::security::{
    Algorithm, Cookie, Key, OPEN_MODE_SPI, PublicKey, ReplayProtection, SecurityAssociation,
};
use mobility_protocol::wire::KeyAgreement;
use mobility_protocol::wire::mip4::{
    self, Extension, Identification, RegistrationReply, RegistrationRequest, ReplyCode,
    RequestFlags,
};
use mobility_protocol::wire::mip6::{
    self, AcknowledgementFlags, BindingAcknowledgement, BindingAddresses, BindingUpdate,
    MobileNodeIdentifier, MobilityOption, NetworkPrefix, Options, SequenceNumber, Status,
    UpdateFlags,
};
use mobility_protocol::{Identity, Lifetime, Transport};

use crate::network::Packet;

/// Under which key a forged request is made, with the index of the original or that of the published
/// association.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signature {
    Published,
    Guessed,
    /// A key of zeros, as the published one is, with the index of the agreed one.
    Zeros,
}

impl Signature {
    pub(crate) const ALL: [Self; 3] = [Self::Published, Self::Guessed, Self::Zeros];

    fn association(self, spi: u32) -> SecurityAssociation {
        let made = |octet| SecurityAssociation {
            spi: match spi {
                OPEN_MODE_SPI => 0x9234_5678,
                spi => spi,
            },
            algorithm: Algorithm::HmacSha256,
            key: Key::new([octet; 32]).expect("long enough"),
            replay: ReplayProtection::Timestamps,
        };
        match self {
            Self::Published => SecurityAssociation::open_mode(),
            Self::Guessed => made(0x42),
            Self::Zeros => made(0),
        }
    }
}

/// What is changed in somebody's request, or said in a new one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Forgery {
    /// The source and the care-of address; `None` leaves them.
    pub(crate) source: Option<IpAddr>,
    pub(crate) release: bool,
    pub(crate) home_address: Option<IpAddr>,
    pub(crate) key_share: Option<PublicKey>,
    /// When it seems to be sent.
    pub(crate) unix_time: Duration,
}

impl Forgery {
    /// A request that looks like this one, under another key; `None` if this is none.
    pub(crate) fn of_request(&self, packet: &Packet, signature: Signature) -> Option<Packet> {
        let source = self.source.unwrap_or(packet.source);
        match (source, packet.destination) {
            (IpAddr::V4(source), IpAddr::V4(_)) => {
                let mut request = registration_request(&packet.payload)?;
                let spi = request.extensions.mobile_home_authentication()?.spi;
                request.care_of_address = source;
                request.identification = Identification::from_unix(self.unix_time);
                if self.release {
                    request.lifetime = Lifetime::Zero;
                }
                request.extensions = request
                    .extensions
                    .iter()
                    .filter(|extension| !matches!(extension, Extension::Authentication(_)))
                    .cloned()
                    .collect();
                Some(Packet {
                    source: source.into(),
                    payload: request.encode(&signature.association(spi)),
                    ..packet.clone()
                })
            }
            (IpAddr::V6(source), IpAddr::V6(home_agent)) => {
                let (mut update, mut addresses) = binding_update(packet)?;
                let spi = update.options.mn_ha_authentication()?.spi;
                addresses.care_of_address = source;
                let timestamp = Identification::from_unix(self.unix_time);
                let is_kept = |option: &&MobilityOption| {
                    !matches!(
                        option,
                        MobilityOption::Authentication(_) | MobilityOption::Padding(_)
                    )
                };
                let options = update.options.iter().filter(is_kept).cloned();
                let options = options.map(|mut option| {
                    if let MobilityOption::AlternateCareOfAddress(said) = &mut option {
                        *said = source;
                    }
                    if let MobilityOption::ReplayProtection(said) = &mut option {
                        *said = timestamp;
                    }
                    option
                });
                update.options = Options::try_from(options.collect::<Vec<_>>()).ok()?;
                if self.release {
                    update.lifetime = Lifetime::Zero;
                }
                let association = signature.association(spi);
                let encode =
                    |header: &mip6::PseudoHeader| update.encode(&association, &addresses, header);
                Some(in_packet(source, home_agent, packet.transport, encode))
            }
            (IpAddr::V4(_) | IpAddr::V6(_), _) => None,
        }
    }

    /// A stranger's first request to this home agent, for any address or the one given.
    pub(crate) fn first_request(&self, identity: &Identity, home_agent: IpAddr) -> Packet {
        let elements = self.key_share.into_iter().flat_map(|key| {
            [
                KeyAgreement::KeyShare(key),
                KeyAgreement::Cookie(Cookie::NONE),
            ]
        });
        let identification = Identification::from_unix(self.unix_time);
        let lifetime = match self.release {
            true => Lifetime::Zero,
            false => Lifetime::Finite(Duration::from_secs(60)),
        };
        match (self.source, home_agent) {
            (Some(IpAddr::V4(source)), IpAddr::V4(home_agent)) => {
                let request = RegistrationRequest {
                    flags: RequestFlags::CO_LOCATED,
                    lifetime,
                    home_address: match self.home_address {
                        Some(IpAddr::V4(address)) => address,
                        Some(IpAddr::V6(_)) | None => Ipv4Addr::UNSPECIFIED,
                    },
                    home_agent,
                    care_of_address: source,
                    identification,
                    extensions: elements
                        .map(Extension::KeyAgreement)
                        .chain([Extension::Nai(identity.clone())])
                        .collect(),
                };
                Packet {
                    source: source.into(),
                    destination: home_agent.into(),
                    transport: Transport::Udp { port: 434 },
                    payload: request.encode(&SecurityAssociation::open_mode()),
                }
            }
            (Some(IpAddr::V6(source)), IpAddr::V6(home_agent)) => {
                let home_address = match self.home_address {
                    Some(IpAddr::V6(address)) => address,
                    Some(IpAddr::V4(_)) | None => Ipv6Addr::UNSPECIFIED,
                };
                let name = MobileNodeIdentifier::nai(identity).expect("short");
                let options = [
                    MobilityOption::HomeNetworkPrefix(NetworkPrefix::of_address(home_address)),
                    MobilityOption::AlternateCareOfAddress(source),
                    MobilityOption::MobileNodeIdentifier(name),
                    MobilityOption::ReplayProtection(identification),
                ];
                let options = options
                    .into_iter()
                    .chain(elements.map(MobilityOption::KeyAgreement));
                let update = BindingUpdate {
                    sequence: SequenceNumber(7),
                    flags: UpdateFlags::HOME,
                    lifetime,
                    options: Options::try_from(options.collect::<Vec<_>>()).expect("few options"),
                };
                let addresses = BindingAddresses {
                    home_address,
                    care_of_address: source,
                };
                let published = SecurityAssociation::open_mode();
                let encode =
                    |header: &mip6::PseudoHeader| update.encode(&published, &addresses, header);
                in_packet(source, home_agent, Transport::MobilityHeader, encode)
            }
            (_, home_agent) => unreachable!("no source of the family of {home_agent}"),
        }
    }

    /// What a home agent could seem to answer to this request: that it grants, that it refuses, that it
    /// knows nobody, and that it has another key.
    pub(crate) fn answers_to(packet: &Packet, own_key: PublicKey) -> Vec<Packet> {
        let challenge = [
            KeyAgreement::KeyShare(own_key),
            KeyAgreement::Cookie(Cookie([7; Cookie::LENGTH])),
        ];
        let back = |payload| Packet {
            source: packet.destination,
            destination: packet.source,
            transport: packet.transport,
            payload,
        };
        let mut answers = Vec::new();
        let published = SecurityAssociation::open_mode();
        if let Some(request) =
            registration_request(&packet.payload).filter(|_| packet.source.is_ipv4())
        {
            for code in [0, 129, 130, 133, 136, 192] {
                let elements = challenge.into_iter().filter(|_| code == 192);
                let reply = RegistrationReply {
                    code: ReplyCode(code),
                    lifetime: request.lifetime,
                    home_address: request.home_address,
                    home_agent: request.home_agent,
                    identification: request.identification,
                    extensions: elements.map(Extension::KeyAgreement).collect(),
                };
                answers.push(back(reply.encode(&published)));
            }
        }
        if let (Some((update, addresses)), IpAddr::V6(home_agent)) =
            (binding_update(packet), packet.destination)
        {
            for code in [0, 129, 130, 133, 137, 144] {
                let stamp = update.options.replay_protection();
                let options = stamp
                    .into_iter()
                    .map(MobilityOption::ReplayProtection)
                    .chain(
                        challenge
                            .into_iter()
                            .filter(|_| code == 137)
                            .map(MobilityOption::KeyAgreement),
                    );
                let answer = BindingAcknowledgement {
                    status: Status(code),
                    flags: AcknowledgementFlags::NONE,
                    sequence: update.sequence,
                    lifetime: update.lifetime,
                    options: Options::try_from(options.collect::<Vec<_>>()).expect("few options"),
                };
                let encode =
                    |header: &mip6::PseudoHeader| answer.encode(&published, &addresses, header);
                let to = addresses.care_of_address;
                answers.push(in_packet(home_agent, to, packet.transport, encode));
            }
        }
        answers
    }

    /// How many kinds of rubbish there are, at most.
    pub(crate) const KINDS_OF_RUBBISH: u8 = 4;

    /// Small messages that no home agent expects.
    pub(crate) fn rubbish(source: IpAddr, home_agent: IpAddr) -> Vec<Packet> {
        match (source, home_agent) {
            (IpAddr::V6(source), IpAddr::V6(home_agent)) => {
                [Transport::MobilityHeader, Transport::Udp { port: 4191 }]
                    .map(|transport| {
                        in_packet(source, home_agent, transport, |header| {
                            mip6::BindingError {
                                status: mip6::iana::BindingErrorStatus(1),
                                home_address: Ipv6Addr::UNSPECIFIED,
                                options: Options::new(),
                            }
                            .encode(header)
                        })
                    })
                    .into_iter()
                    .chain([unknown_header(source, home_agent)])
                    .collect()
            }
            (source, destination) => [&[][..], &[1], &[1; 24], &[200; 40]]
                .map(|payload| Packet {
                    source,
                    destination,
                    transport: Transport::Udp { port: 434 },
                    payload: payload.to_vec(),
                })
                .into(),
        }
    }
}

/// The smallest Mobility Header there is, of a type nobody knows.
fn unknown_header(source: Ipv6Addr, home_agent: Ipv6Addr) -> Packet {
    in_packet(source, home_agent, Transport::MobilityHeader, |header| {
        with_checksum(vec![59, 0, 200, 0, 0, 0, 0, 0], header)
    })
}

/// A Mobility Header with the checksum that it has between these addresses.
fn with_checksum(mut message: Vec<u8>, header: &mip6::PseudoHeader) -> Vec<u8> {
    if let Some(field) = message.get_mut(4..6) {
        field.fill(0);
    }
    let checksum = header.checksum(&message);
    if let Some(field) = message.get_mut(4..6) {
        field.copy_from_slice(&checksum.to_be_bytes());
    }
    message
}

/// A packet with nothing in it yet.
const fn outside(source: Ipv6Addr, destination: Ipv6Addr) -> mip6::Packet<'static> {
    mip6::Packet {
        source,
        destination,
        home_address: None,
        routing_address: None,
        message: &[],
    }
}

/// The same message from another address, with a checksum that is right, where there is one.
pub(crate) fn redirected(packet: &Packet, source: IpAddr) -> Packet {
    let payload = match (packet.transport, source, packet.destination) {
        (Transport::MobilityHeader, IpAddr::V6(source), IpAddr::V6(destination)) => {
            let header = outside(source, destination).pseudo_header();
            with_checksum(packet.payload.clone(), &header)
        }
        (Transport::Udp { .. }, IpAddr::V6(source), IpAddr::V6(destination)) => {
            let message = mip6::Packet::decode(&packet.payload).map(|inner| inner.message);
            let outside = outside(source, destination);
            let message = with_checksum(
                message.unwrap_or_default().to_vec(),
                &outside.pseudo_header(),
            );
            mip6::Packet {
                message: &message,
                ..outside
            }
            .encode()
        }
        _ => packet.payload.clone(),
    };
    Packet {
        source,
        payload,
        ..packet.clone()
    }
}

/// Whether it is a first request of somebody who comes back.
pub(crate) fn shows_token(packet: &Packet) -> bool {
    let token = match packet.destination {
        IpAddr::V4(_) => registration_request(&packet.payload)
            .and_then(|request| request.extensions.resumption_token()),
        IpAddr::V6(_) => {
            binding_update(packet).and_then(|(update, _)| update.options.resumption_token())
        }
    };
    token.is_some()
}

fn registration_request(payload: &[u8]) -> Option<RegistrationRequest> {
    match mip4::Message::decode(payload) {
        Ok(mip4::Message::RegistrationRequest(request)) => Some(request),
        Ok(_) | Err(_) => None,
    }
}

fn binding_update(packet: &Packet) -> Option<(BindingUpdate, BindingAddresses)> {
    let (IpAddr::V6(source), IpAddr::V6(destination)) = (packet.source, packet.destination) else {
        return None;
    };
    let inner = match packet.transport {
        Transport::MobilityHeader => mip6::Packet {
            message: &packet.payload,
            ..outside(source, destination)
        },
        Transport::Udp { .. } => mip6::Packet::decode(&packet.payload).ok()?,
    };
    let update = BindingUpdate::decode(inner.message).ok()?;
    let addresses = update.addresses(&inner).ok()?;
    Some((update, addresses))
}

pub(crate) fn in_packet(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    transport: Transport,
    encode: impl Fn(&mip6::PseudoHeader) -> Vec<u8>,
) -> Packet {
    let mut packet = outside(source, destination);
    let message = encode(&packet.pseudo_header());
    packet.message = &message;
    Packet {
        source: source.into(),
        destination: destination.into(),
        transport,
        payload: match transport {
            Transport::MobilityHeader => message.clone(),
            Transport::Udp { .. } => packet.encode(),
        },
    }
}
