//! Mobile IPv4 registration (RFC 5944) in front of the core: a Registration Request becomes a
//! Binding Update, a Binding Acknowledgement a Registration Reply.

mod admission;
mod decision;

use std::net::{IpAddr, Ipv4Addr};

use self::admission::Admission;
use super::acquaintance::{Challenge, Directory};
use super::counters::DropReason;
use super::message::{Acknowledgement, Answer, BindingUpdate, Reason};
use super::pools::Pools;
use super::signalling::Rejected;
use crate::security::SecurityAssociation;
use crate::wire::KeyAgreement;
use crate::wire::mip4::iana::UdpTunnelReplyCode;
use crate::wire::mip4::{
    Extension, Extensions, Identification, RegistrationReply, RegistrationRequest, ReplyCode,
    RequestFlags, UdpTunnelReply,
};
use crate::{Datagram, Family, HomeAddress, Lifetime, Refusal, Stamp, Transmit, Transport};

/// What of a Registration Request its reply repeats or depends on.
#[derive(Debug)]
pub(super) struct Envelope {
    source: IpAddr,
    transport: Transport,
    home_agent: Ipv4Addr,
    identification: Identification,
    simultaneous_bindings: bool,
    udp_tunnel_offered: bool,
    /// How many octets it had.
    length: usize,
}

/// The Binding Update in this datagram, and how it is to be answered.
pub(super) fn open(
    directory: Directory<'_>,
    pools: &Pools,
    datagram: &Datagram<'_>,
) -> Result<(BindingUpdate, Envelope), Rejected> {
    let policy = directory.policy;
    let home_agent = policy.ipv4.ok_or(DropReason::FamilyNotServed)?;
    let admitted = match admission::admit(directory, home_agent, datagram)? {
        Admission::Admitted(admitted) => admitted,
        Admission::Challenged(request, challenge) => {
            let envelope = Envelope::new(home_agent, datagram, &request);
            let answer = envelope.challenge(&request, challenge);
            return Err(match answer.payload.len() > datagram.payload.len() {
                true => DropReason::TooShort.into(),
                false => Rejected::Challenged(answer),
            });
        }
    };
    let request = &admitted.request;
    let envelope = Envelope::new(home_agent, datagram, request);
    let nonce = admitted
        .association
        .uses_nonces(Family::Ipv4)
        .then_some(request.identification);
    let update = BindingUpdate {
        home_address: (!request.home_address.is_unspecified())
            .then(|| HomeAddress::from(request.home_address)),
        care_of: request.care_of_address.into(),
        lifetime: request.lifetime,
        // RFC 5944, section 3.8.2.2.
        everywhere: request.care_of_address == request.home_address,
        stamp: match nonce {
            Some(_) => Stamp::default(),
            None => request.identification.into(),
        },
        nonce,
        transport: datagram.transport,
        cookie: request.extensions.cookie(),
        malformed: admitted.malformed.then_some(Reason::PoorlyFormed),
        unacceptable: decision::check(home_agent, request).err(),
        grant: decision::grant(policy, home_agent, pools, request, datagram.source),
        identity: admitted.identity,
        association: admitted.association,
    };
    Ok((update, envelope))
}

impl Envelope {
    fn new(home_agent: Ipv4Addr, datagram: &Datagram<'_>, request: &RegistrationRequest) -> Self {
        Self {
            source: datagram.source,
            transport: datagram.transport,
            home_agent,
            identification: request.identification,
            simultaneous_bindings: request.flags.contains(RequestFlags::SIMULTANEOUS_BINDINGS),
            udp_tunnel_offered: request.extensions.udp_tunnel_request().is_some(),
            length: datagram.payload.len(),
        }
    }

    /// The Registration Reply that asks a stranger to come again. The identity is not repeated: that
    /// would make the answer larger than some requests.
    fn challenge(&self, request: &RegistrationRequest, challenge: Challenge) -> Transmit {
        let elements = [
            challenge.key_share.map(KeyAgreement::KeyShare),
            Some(KeyAgreement::Cookie(challenge.cookie)),
        ];
        let elements = elements.into_iter().flatten();
        let reply = RegistrationReply {
            code: ReplyCode::EXPERIMENTAL,
            lifetime: Lifetime::Zero,
            home_address: request.home_address,
            home_agent: self.home_agent,
            identification: self.identification,
            extensions: elements.map(Extension::KeyAgreement).collect(),
        };
        self.transmit(reply.encode(&SecurityAssociation::open_mode()))
    }

    fn transmit(&self, payload: Vec<u8>) -> Transmit {
        Transmit {
            source: self.home_agent.into(),
            interface: None,
            destination: self.source,
            transport: self.transport,
            home_address: None,
            payload,
        }
    }

    /// The Registration Reply that says this.
    pub(super) fn answer(
        &self,
        update: &BindingUpdate,
        acknowledgement: &Acknowledgement,
    ) -> Answer {
        let bound = matches!(
            acknowledgement.outcome,
            Ok(Lifetime::Finite(_) | Lifetime::Infinite)
        );
        let code = match acknowledgement.outcome {
            Ok(_) if bound && self.simultaneous_bindings => {
                ReplyCode::ACCEPTED_WITHOUT_SIMULTANEOUS_BINDINGS
            }
            Ok(_) => ReplyCode::ACCEPTED,
            Err(denial) => code(denial.reason),
        };
        let mut extensions = Extensions::new();
        // RFC 2794, section 2: who is named in the request is named in the reply.
        extensions.push(Extension::Nai(update.identity.clone()));
        if bound && self.udp_tunnel_offered {
            extensions.push(Extension::UdpTunnelReply(UdpTunnelReply {
                code: UdpTunnelReplyCode::DECLINED,
                forced: false,
                keepalive_interval: 0,
            }));
        }
        let reply = RegistrationReply {
            code,
            lifetime: acknowledgement.outcome.unwrap_or(Lifetime::Zero),
            home_address: acknowledgement
                .home_address
                .map_or(Ipv4Addr::UNSPECIFIED, ipv4),
            home_agent: self.home_agent,
            identification: match (acknowledgement.nonce, acknowledgement.outcome) {
                (Some(nonce), _) => self.identification.with_high(nonce),
                (None, Err(denial)) if denial.reason == Reason::NotFresh => {
                    self.identification.with_high(denial.clock)
                }
                (None, Ok(_) | Err(_)) => self.identification,
            },
            extensions,
        };
        let whole = acknowledgement.element.map(|element| {
            let mut reply = reply.clone();
            reply.extensions.push(Extension::KeyAgreement(element));
            reply.encode(&update.association)
        });
        // Nothing is reflected that is larger than what came.
        let payload = whole
            .filter(|payload| payload.len() <= self.length)
            .unwrap_or_else(|| reply.encode(&update.association));
        Answer {
            transmit: self.transmit(payload),
            code: Refusal {
                code: code.0,
                name: code.name(),
            },
            counter: REPLIES
                .iter()
                .find(|(_, known)| *known == code)
                .map_or("reply_other", |(name, _)| name),
        }
    }
}

/// The codes this home agent answers with, and the names of their counters.
const REPLIES: [(&str, ReplyCode); 11] = [
    ("reply_0", ReplyCode::ACCEPTED),
    ("reply_1", ReplyCode::ACCEPTED_WITHOUT_SIMULTANEOUS_BINDINGS),
    ("reply_129", ReplyCode::ADMINISTRATIVELY_PROHIBITED),
    ("reply_130", ReplyCode::INSUFFICIENT_RESOURCES),
    ("reply_133", ReplyCode::IDENTIFICATION_MISMATCH),
    ("reply_134", ReplyCode::POORLY_FORMED_REQUEST),
    ("reply_136", ReplyCode::UNKNOWN_HOME_AGENT_ADDRESS),
    ("reply_138", ReplyCode::REVERSE_TUNNEL_MANDATORY),
    ("reply_139", ReplyCode::ENCAPSULATION_UNAVAILABLE),
    ("reply_140", ReplyCode::VENDOR_EXTENSION_FROM_MOBILE_NODE),
    ("reply_142", ReplyCode::UDP_ENCAPSULATION_UNAVAILABLE),
];

/// The names of the counters of all answers.
pub(super) fn counters() -> impl Iterator<Item = &'static str> {
    REPLIES.iter().map(|(name, _)| *name)
}

const fn code(reason: Reason) -> ReplyCode {
    match reason {
        Reason::Prohibited
        | Reason::CareOfAddress
        | Reason::NotItsHomeAddress
        | Reason::NotHomeSubnet => ReplyCode::ADMINISTRATIVELY_PROHIBITED,
        Reason::Resources => ReplyCode::INSUFFICIENT_RESOURCES,
        Reason::NotFresh => ReplyCode::IDENTIFICATION_MISMATCH,
        // All but the first are of IPv6.
        Reason::PoorlyFormed
        | Reason::Undated
        | Reason::NotHomeRegistration
        | Reason::MobileRouter
        | Reason::Proxy => ReplyCode::POORLY_FORMED_REQUEST,
        Reason::OtherHomeAgent => ReplyCode::UNKNOWN_HOME_AGENT_ADDRESS,
        Reason::ReverseTunnel => ReplyCode::REVERSE_TUNNEL_MANDATORY,
        Reason::Encapsulation => ReplyCode::ENCAPSULATION_UNAVAILABLE,
        Reason::NotUnderstood => ReplyCode::VENDOR_EXTENSION_FROM_MOBILE_NODE,
        Reason::UdpEncapsulation => ReplyCode::UDP_ENCAPSULATION_UNAVAILABLE,
    }
}

/// A request of IPv4 is about home addresses of IPv4 only.
const fn ipv4(home_address: HomeAddress) -> Ipv4Addr {
    match home_address.ip() {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}
