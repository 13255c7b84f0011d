//! Mobile IPv6 binding updates (RFC 6275) in front of the core, by themselves or in UDP.
//!
//! The home address, and the wish for one, stands in a home network prefix option of length 128, as
//! this home agent's own mobile nodes write it, or in a Home Address option as RFC 6275 has it. An
//! acknowledgement says it where the update said it.

mod admission;

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use self::admission::Sender;
use super::acquaintance::{Challenge, Directory};
use super::config::Policy;
use super::counters::DropReason;
use super::message::{Acknowledgement, Answer, BindingUpdate, Reason};
use super::pools::Pools;
use super::signalling::Rejected;
use crate::binding::is_host_address;
use crate::security::{OPEN_MODE_SPI, SecurityAssociation};
use crate::wire::KeyAgreement;
use crate::wire::mip6::{
    self, BindingAcknowledgement, BindingAddresses, Identification, MobileNodeIdentifier,
    MobilityOption, NetworkPrefix, Options, OptionsError, Packet, SequenceNumber, Status,
    UpdateFlags,
};
use crate::{Datagram, HomeAddress, Identity, Lifetime, Refusal, Stamp, Transmit, Transport};

/// The longest lifetime the field can say asks for as long as we like to grant: there is no infinity.
const LONGEST: Duration = Duration::from_secs(4 * u16::MAX as u64);
/// What lifetimes are counted in.
const UNIT: Duration = Duration::from_secs(4);

/// What of a Binding Update its acknowledgement repeats or depends on.
#[derive(Debug)]
pub(super) struct Envelope {
    home_agent: Ipv6Addr,
    /// Where it came from on the wire.
    source: Ipv6Addr,
    transport: Transport,
    /// The source of the packet it was in; another one than on the wire in UDP only.
    packet_source: Ipv6Addr,
    /// The home address it had in a Home Address option; what answers it goes through a type 2
    /// routing header with the same (RFC 6275, section 9.5.4).
    routing_address: Option<Ipv6Addr>,
    /// Whether it had the home address in a home network prefix option, or none at all.
    by_prefix: bool,
    addresses: BindingAddresses,
    sequence: SequenceNumber,
    timestamp: Option<Identification>,
    /// How many octets it had, as answers are counted.
    length: usize,
}

/// The Binding Update in this datagram, and how it is to be answered.
pub(super) fn open(
    directory: Directory<'_>,
    pools: &Pools,
    datagram: &Datagram<'_>,
) -> Result<(BindingUpdate, Envelope), Rejected> {
    let policy = directory.policy;
    let home_agent = policy.ipv6.ok_or(DropReason::FamilyNotServed)?;
    let packet = admission::packet(home_agent, datagram)?;
    let (update, addresses) = admission::update(home_agent, datagram, &packet)?;
    let routing_address = packet
        .home_address
        .filter(|address| !address.is_unspecified());
    let envelope = Envelope {
        home_agent,
        source: match datagram.source {
            IpAddr::V6(source) => source,
            IpAddr::V4(_) => packet.source,
        },
        transport: datagram.transport,
        packet_source: packet.source,
        routing_address,
        by_prefix: routing_address.is_none() || update.options.home_address().is_some(),
        addresses,
        sequence: update.sequence,
        timestamp: update.options.replay_protection(),
        length: datagram.payload.len(),
    };
    let sender = admission::authenticate(
        directory,
        home_agent,
        datagram.source,
        &update,
        &addresses,
        packet.message,
    );
    let sender = sender.map_err(|failure| {
        failure.answered(|identity, association| {
            envelope
                .refuse(Status::AUTHENTICATION_FAILED, identity, association)
                .ok()
        })
    })?;
    let (identity, association) = match sender {
        Sender::Authenticated(identity, association) => (identity, association),
        Sender::Challenged(identity, challenge) => {
            return Err(match envelope.challenge(&identity, challenge) {
                Ok(answer) if answer.payload.len() <= datagram.payload.len() => {
                    Rejected::Challenged(answer)
                }
                Ok(_) | Err(_) => DropReason::TooShort.into(),
            });
        }
    };
    let proves_nothing = association.spi == OPEN_MODE_SPI;
    let update = BindingUpdate {
        home_address: (!addresses.home_address.is_unspecified())
            .then(|| HomeAddress::from(addresses.home_address)),
        care_of: addresses.care_of_address.into(),
        lifetime: update.lifetime,
        // RFC 6275, section 10.3.2: it is the home address that is deregistered.
        everywhere: true,
        stamp: Stamp {
            timestamp: envelope.timestamp,
            sequence: Some(update.sequence),
        },
        nonce: None,
        transport: datagram.transport,
        cookie: update.options.cookie(),
        malformed: (!proves_nothing && envelope.timestamp.is_none()).then_some(Reason::Undated),
        unacceptable: unacceptable(update.flags),
        grant: grant(policy, pools, &update, &envelope),
        identity,
        association,
    };
    Ok((update, envelope))
}

/// What no request may ask for.
fn unacceptable(flags: UpdateFlags) -> Option<Reason> {
    if flags.contains(UpdateFlags::PROXY_REGISTRATION) {
        Some(Reason::Proxy)
    } else if !flags.contains(UpdateFlags::HOME_REGISTRATION) {
        Some(Reason::NotHomeRegistration)
    } else if flags.contains(UpdateFlags::MOBILE_ROUTER) {
        Some(Reason::MobileRouter)
    } else if flags.contains(UpdateFlags::MAP_REGISTRATION) {
        Some(Reason::Prohibited)
    } else {
        None
    }
}

/// How long a binding is granted for, apart from whether there is a home address.
fn grant(
    policy: &Policy,
    pools: &Pools,
    update: &mip6::BindingUpdate,
    envelope: &Envelope,
) -> Result<Duration, Reason> {
    let BindingAddresses {
        home_address,
        care_of_address,
    } = envelope.addresses;
    let possible = is_host_address(care_of_address)
        && care_of_address != envelope.home_agent
        && !pools.covers(care_of_address.into());
    // Another source is a translator's, and nothing is tunnelled through translators here.
    if !possible || care_of_address != envelope.source {
        return Err(Reason::CareOfAddress);
    }
    if update.flags.contains(UpdateFlags::FORCE_UDP) {
        return Err(Reason::UdpEncapsulation);
    }
    if !home_address.is_unspecified() && !pools.covers(home_address.into()) {
        return Err(Reason::NotHomeSubnet);
    }
    let asked = match update.lifetime == Lifetime::Finite(LONGEST) {
        true => Lifetime::Infinite,
        false => update.lifetime,
    };
    let granted = policy.lifetime(asked);
    let units = granted.as_secs() / UNIT.as_secs();
    Ok(UNIT * u32::try_from(units).unwrap_or(u32::MAX).max(1))
}

impl Envelope {
    /// The Binding Acknowledgement that says this.
    pub(super) fn answer(
        &self,
        update: &BindingUpdate,
        acknowledgement: &Acknowledgement,
    ) -> Answer {
        let mut answer = BindingAcknowledgement {
            status: Status::ACCEPTED,
            flags: mip6::AcknowledgementFlags::NONE,
            sequence: self.sequence,
            lifetime: acknowledgement.outcome.unwrap_or(Lifetime::Zero),
            options: Options::new(),
        };
        let mut timestamp = self.timestamp;
        let mut addresses = self.addresses;
        match (acknowledgement.outcome, acknowledgement.home_address) {
            (Ok(_), Some(HomeAddress(IpAddr::V6(assigned)))) => addresses.home_address = assigned,
            (Ok(_), _) => {}
            (Err(denial), _) => {
                answer.status = status(denial.reason, self.timestamp.is_some());
                if answer.status == Status::SEQUENCE_OUT_OF_WINDOW {
                    answer.sequence = denial.sequence;
                }
                if answer.status == Status::IDENTIFICATION_MISMATCH {
                    timestamp = timestamp.map(|timestamp| timestamp.with_high(denial.clock));
                }
            }
        }
        let said =
            (acknowledgement.outcome.is_ok() && self.by_prefix).then_some(addresses.home_address);
        let code = answer.status;
        // What the request had room for, the shorter answer has room for.
        let _ = fill(&mut answer, &update.identity, said, timestamp);
        let whole = acknowledgement.element.and_then(|element| {
            let mut answer = answer.clone();
            let element = MobilityOption::KeyAgreement(element);
            answer.options.push(element).ok()?;
            Some(self.seal(&answer, &update.association, &addresses))
        });
        // Nothing is reflected that is larger than what came.
        let transmit = whole
            .filter(|transmit| transmit.payload.len() <= self.length)
            .unwrap_or_else(|| self.seal(&answer, &update.association, &addresses));
        Answer {
            transmit,
            code: Refusal {
                code: code.0,
                name: code.name(),
            },
            counter: ANSWERS
                .iter()
                .find(|(_, known)| *known == code)
                .map_or("status_other", |(name, _)| name),
        }
    }

    /// The Binding Acknowledgement that asks a stranger to come again.
    fn challenge(
        &self,
        identity: &Identity,
        challenge: Challenge,
    ) -> Result<Transmit, OptionsError> {
        let mut answer = BindingAcknowledgement {
            status: Status::EXPIRED_CARE_OF_NONCE_INDEX,
            flags: mip6::AcknowledgementFlags::NONE,
            sequence: self.sequence,
            lifetime: Lifetime::Zero,
            options: Options::new(),
        };
        fill(&mut answer, identity, None, self.timestamp)?;
        let elements = [
            challenge.key_share.map(KeyAgreement::KeyShare),
            Some(KeyAgreement::Cookie(challenge.cookie)),
        ];
        for element in elements.into_iter().flatten() {
            answer.options.push(MobilityOption::KeyAgreement(element))?;
        }
        Ok(self.seal(&answer, &SecurityAssociation::open_mode(), &self.addresses))
    }

    /// A refusal that depends on nothing but the message.
    fn refuse(
        &self,
        status: Status,
        identity: &Identity,
        association: &SecurityAssociation,
    ) -> Result<Transmit, OptionsError> {
        let mut answer = BindingAcknowledgement {
            status,
            flags: mip6::AcknowledgementFlags::NONE,
            sequence: self.sequence,
            lifetime: Lifetime::Zero,
            options: Options::new(),
        };
        fill(&mut answer, identity, None, self.timestamp)?;
        Ok(self.seal(&answer, association, &self.addresses))
    }

    fn seal(
        &self,
        answer: &BindingAcknowledgement,
        association: &SecurityAssociation,
        addresses: &BindingAddresses,
    ) -> Transmit {
        let mut packet = Packet {
            source: self.home_agent,
            destination: match self.packet_source.is_unspecified() {
                true => self.source,
                false => self.packet_source,
            },
            home_address: None,
            routing_address: self.routing_address,
            message: &[],
        };
        let message = answer.encode(association, addresses, &packet.pseudo_header());
        packet.message = &message;
        admission::transmit(&packet, self.source, self.transport)
    }
}

fn fill(
    answer: &mut BindingAcknowledgement,
    identity: &Identity,
    home_address: Option<Ipv6Addr>,
    timestamp: Option<Identification>,
) -> Result<(), OptionsError> {
    // Its place right behind the fixed part needs no padding.
    if let Some(home_address) = home_address {
        let prefix = NetworkPrefix::of_address(home_address);
        answer
            .options
            .push(MobilityOption::HomeNetworkPrefix(prefix))?;
    }
    if let Ok(identifier) = MobileNodeIdentifier::nai(identity) {
        answer
            .options
            .push(MobilityOption::MobileNodeIdentifier(identifier))?;
    }
    if let Some(timestamp) = timestamp {
        answer
            .options
            .push(MobilityOption::ReplayProtection(timestamp))?;
    }
    Ok(())
}

/// The statuses this home agent answers with, and the names of their counters.
const ANSWERS: [(&str, Status); 14] = [
    ("status_0", Status::ACCEPTED),
    ("status_128", Status::UNSPECIFIED),
    ("status_129", Status::ADMINISTRATIVELY_PROHIBITED),
    ("status_130", Status::INSUFFICIENT_RESOURCES),
    ("status_132", Status::NOT_HOME_SUBNET),
    ("status_133", Status::NOT_HOME_AGENT),
    ("status_135", Status::SEQUENCE_OUT_OF_WINDOW),
    ("status_139", Status::REGISTRATION_TYPE_CHANGE_DISALLOWED),
    ("status_140", Status::MOBILE_ROUTER_NOT_PERMITTED),
    ("status_144", Status::IDENTIFICATION_MISMATCH),
    ("status_145", Status::MESSAGE_IDENTIFICATION_REQUIRED),
    ("status_146", Status::AUTHENTICATION_FAILED),
    ("status_152", Status::PROXY_REGISTRATION_NOT_ENABLED),
    ("status_174", Status::INVALID_CARE_OF_ADDRESS),
];

/// The names of the counters of all answers.
pub(super) fn counters() -> impl Iterator<Item = &'static str> {
    ANSWERS.iter().map(|(name, _)| *name)
}

const fn status(reason: Reason, dated: bool) -> Status {
    match reason {
        Reason::NotFresh if dated => Status::IDENTIFICATION_MISMATCH,
        Reason::NotFresh => Status::SEQUENCE_OUT_OF_WINDOW,
        Reason::Undated => Status::MESSAGE_IDENTIFICATION_REQUIRED,
        // For the refusal to force UDP, RFC 5555 has 144, which RFC 4285 had taken before.
        Reason::Prohibited | Reason::UdpEncapsulation => Status::ADMINISTRATIVELY_PROHIBITED,
        Reason::Resources => Status::INSUFFICIENT_RESOURCES,
        Reason::NotHomeSubnet => Status::NOT_HOME_SUBNET,
        Reason::NotItsHomeAddress | Reason::OtherHomeAgent => Status::NOT_HOME_AGENT,
        Reason::CareOfAddress => Status::INVALID_CARE_OF_ADDRESS,
        Reason::NotHomeRegistration => Status::REGISTRATION_TYPE_CHANGE_DISALLOWED,
        Reason::MobileRouter => Status::MOBILE_ROUTER_NOT_PERMITTED,
        Reason::Proxy => Status::PROXY_REGISTRATION_NOT_ENABLED,
        Reason::PoorlyFormed
        | Reason::NotUnderstood
        | Reason::Encapsulation
        | Reason::ReverseTunnel => Status::UNSPECIFIED,
    }
}
