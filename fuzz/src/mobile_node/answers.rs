//! What home agents answer, and what others answer in their place.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use mobility_protocol::security::{
    Cookie, Key, OPEN_MODE_SPI, ResumptionToken, SecurityAssociation,
};
use mobility_protocol::wire::KeyAgreement;
use mobility_protocol::wire::mip4::{Extension, RegistrationReply, RegistrationRequest, ReplyCode};
use mobility_protocol::wire::mip6::iana::BindingErrorStatus;
use mobility_protocol::wire::mip6::{
    AcknowledgementFlags, BindingAcknowledgement, BindingAddresses, BindingError,
    BindingRefreshRequest, BindingUpdate, MobileNodeIdentifier, MobilityOption, NetworkPrefix,
    Options, Packet, PseudoHeader, SequenceNumber, Status,
};
use mobility_protocol::{Identity, Lifetime, Transport};

use super::super::script::{Script, flip};
use super::laptop::{Laptop, Message, Sent};
use super::{AGENTS, NAME, association, key_pair};

/// Where a Mobility Header has its checksum (RFC 6275, section 6.1.1).
const CHECKSUM: std::ops::Range<usize> = 4..6;

/// What an answer says, and how.
struct Answer {
    code: u8,
    lifetime: u8,
    home: u8,
    number: u16,
    forged: bool,
    association: SecurityAssociation,
    /// What a home agent asks a stranger to begin with.
    challenge: Option<[KeyAgreement; 2]>,
    /// What else it has: something to send back, or to come back with.
    element: Option<KeyAgreement>,
}

/// An answer to one of the latest messages.
pub(crate) fn answer(script: &mut Script<'_>, laptop: &mut Laptop) {
    let (back, code, lifetime, home, form) = (
        script.below(8),
        script.octet(),
        script.octet(),
        script.octet(),
        script.octet(),
    );
    let number = script.number();
    let Some(sent) = laptop.sent(back).cloned() else {
        return;
    };
    let challenge = (association(sent.agent).is_none() && (48..160).contains(&code)).then(|| {
        [
            KeyAgreement::KeyShare(key_pair(home & 0x40 != 0).public()),
            KeyAgreement::Cookie(Cookie([lifetime; Cookie::LENGTH])),
        ]
    });
    let Some(mut association) = (match challenge {
        Some(_) => Some(SecurityAssociation::open_mode()),
        None => shared(laptop, &sent, home & 0x80 != 0),
    }) else {
        return;
    };
    let wrong_key = form & 7 == 7;
    if wrong_key {
        association.key = Key::new([form; 16]).unwrap_or_else(|error| unreachable!("{error}"));
    }
    let answer = Answer {
        code: match code {
            _ if challenge.is_some() && sent.to.is_ipv4() => 192,
            _ if challenge.is_some() => 137,
            0..=159 => 0,
            some => some.wrapping_mul(7),
        },
        lifetime,
        home,
        number,
        forged: wrong_key,
        association,
        challenge,
        element: match number % 4 {
            1 => Some(KeyAgreement::Cookie(Cookie([home; Cookie::LENGTH]))),
            2 => Some(KeyAgreement::ResumptionToken(ResumptionToken(
                [home; ResumptionToken::LENGTH],
            ))),
            _ => None,
        }
        .filter(|_| challenge.is_none()),
    };
    let mut payload = match &sent.message {
        Message::Request(request) => reply(&answer, request),
        Message::Update(update, addresses) => acknowledgement(&answer, &sent, update, addresses),
    };
    let flipped = match form & 0x18 {
        0x18 => flip(&mut payload, script.number()),
        _ => None,
    };
    let damaged = flipped.is_some_and(|octet| match sent.transport {
        _ if sent.to.is_ipv4() => true,
        // Another checksum may be the right one where the mobile node is now, and the answer as good as before.
        Transport::MobilityHeader => !CHECKSUM.contains(&octet),
        Transport::Udp { .. } => false,
    });
    let source = match form & 0xe0 {
        0xe0 => AGENTS[usize::from(form) % AGENTS.len()],
        _ => sent.to,
    };
    laptop.hear(source, sent.transport, &payload, answer.forged || damaged);
}

/// A Binding Refresh Request or a Binding Error, which anybody may send.
pub(crate) fn unprotected(script: &mut Script<'_>, laptop: &mut Laptop) {
    let (kind, status, back) = (script.octet(), script.octet(), script.below(8));
    let Some(sent) = laptop.sent(back) else {
        return;
    };
    let (IpAddr::V6(source), Message::Update(_, addresses)) = (sent.to, &sent.message) else {
        return;
    };
    let (transport, home_address) = (sent.transport, addresses.home_address);
    let to = addresses.care_of_address;
    let payload = in_packet(source, to, transport, |header| match kind & 1 {
        0 => BindingRefreshRequest {
            options: Options::new(),
        }
        .encode(header),
        _ => BindingError {
            status: BindingErrorStatus(status & 3),
            home_address,
            options: Options::new(),
        }
        .encode(header),
    });
    laptop.hear(source.into(), transport, &payload, false);
}

impl Answer {
    fn lifetime(&self) -> Lifetime {
        match self.lifetime {
            0..=7 => Lifetime::Zero,
            8..=15 => Lifetime::Infinite,
            some => Lifetime::Finite(Duration::from_secs(4 * u64::from(some))),
        }
    }
}

fn reply(answer: &Answer, request: &RegistrationRequest) -> Vec<u8> {
    let identification = request.identification;
    let reply = RegistrationReply {
        code: ReplyCode(answer.code),
        lifetime: match request.lifetime {
            _ if answer.challenge.is_some() => Lifetime::Zero,
            Lifetime::Zero => Lifetime::Zero,
            Lifetime::Finite(_) | Lifetime::Infinite => answer.lifetime(),
        },
        home_address: match answer.home {
            0..=127 if !request.home_address.is_unspecified() => request.home_address,
            0..=240 => Ipv4Addr::new(10, 128, 0, answer.home % 4 + 1),
            some => Ipv4Addr::from_bits(u32::from(some).wrapping_mul(0x0101_0101)),
        },
        home_agent: match answer.home & 0xf {
            0xf => Ipv4Addr::new(203, 0, 113, answer.lifetime),
            _ => request.home_agent,
        },
        identification: match answer.code {
            133 => identification.with_high(
                identification
                    .high()
                    .wrapping_add_signed(i32::from(answer.number.cast_signed())),
            ),
            _ => identification,
        },
        extensions: answer
            .challenge
            .into_iter()
            .flatten()
            .chain(answer.element)
            .map(Extension::KeyAgreement)
            .chain(
                answer
                    .challenge
                    .is_none()
                    .then(|| Extension::Nai(identity())),
            )
            .collect(),
    };
    reply.encode(&answer.association)
}

fn acknowledgement(
    answer: &Answer,
    sent: &Sent,
    update: &BindingUpdate,
    addresses: &BindingAddresses,
) -> Vec<u8> {
    let status = Status(answer.code);
    let mut addresses = *addresses;
    if status.is_accepted() {
        addresses.home_address = match answer.home {
            0..=127 if !addresses.home_address.is_unspecified() => addresses.home_address,
            0..=240 => Ipv6Addr::new(
                0x2001,
                0xdb8,
                0x200,
                1,
                0,
                0,
                0,
                (answer.home % 4 + 1).into(),
            ),
            some => Ipv6Addr::from_bits(u128::from(some) << 120),
        };
    }
    let timestamp = update.options.replay_protection().map(|timestamp| {
        let high = timestamp
            .high()
            .wrapping_add_signed(i32::from(answer.number.cast_signed()));
        MobilityOption::ReplayProtection(match status.0 {
            144 | 145 => timestamp.with_high(high),
            _ => timestamp,
        })
    });
    let options = [
        MobileNodeIdentifier::nai(&identity())
            .ok()
            .map(MobilityOption::MobileNodeIdentifier),
        status.is_accepted().then(|| {
            MobilityOption::HomeNetworkPrefix(NetworkPrefix::of_address(addresses.home_address))
        }),
        timestamp,
    ];
    let message = BindingAcknowledgement {
        status,
        flags: AcknowledgementFlags::NONE,
        sequence: match status.0 {
            135 => SequenceNumber(answer.number),
            _ => update.sequence,
        },
        lifetime: match update.lifetime {
            _ if answer.challenge.is_some() => Lifetime::Zero,
            Lifetime::Zero => Lifetime::Zero,
            Lifetime::Finite(_) | Lifetime::Infinite => answer.lifetime(),
        },
        options: Options::try_from(
            answer
                .challenge
                .into_iter()
                .flatten()
                .chain(answer.element)
                .map(MobilityOption::KeyAgreement)
                .chain(options.into_iter().flatten())
                .collect::<Vec<_>>(),
        )
        .unwrap_or_else(|error| unreachable!("{error}")),
    };
    let IpAddr::V6(source) = sent.to else {
        unreachable!("{sent:?}")
    };
    let to = addresses.care_of_address;
    in_packet(source, to, sent.transport, |header| {
        message.encode(&answer.association, &addresses, header)
    })
}

/// A message between these addresses, as it travels in this.
fn in_packet(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    transport: Transport,
    encode: impl FnOnce(&PseudoHeader) -> Vec<u8>,
) -> Vec<u8> {
    let mut packet = Packet {
        source,
        destination,
        home_address: None,
        routing_address: None,
        message: &[],
    };
    let message = encode(&packet.pseudo_header());
    match transport {
        Transport::MobilityHeader => message,
        Transport::Udp { .. } => {
            packet.message = &message;
            packet.encode()
        }
    }
}

/// What the sender of this message and its home agent have in common.
fn shared(laptop: &Laptop, sent: &Sent, second: bool) -> Option<SecurityAssociation> {
    if let Some(association) = association(sent.agent) {
        return Some(association);
    }
    if sent.spi == OPEN_MODE_SPI {
        return Some(SecurityAssociation::open_mode());
    }
    let share = laptop.shares[sent.agent]?;
    key_pair(second).with_mobile_node(&share, sent.to, &identity())
}

pub(crate) fn identity() -> Identity {
    Identity::new(NAME).unwrap_or_else(|error| unreachable!("{error}"))
}
