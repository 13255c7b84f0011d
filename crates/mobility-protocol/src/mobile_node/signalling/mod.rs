//! Binding Updates and Acknowledgements as the core of the mobile node knows them: what either
//! signalling protocol says, in the words of neither. Below this, and nowhere else, it is known by
//! which protocol a home agent is spoken to, and in what its messages go.

mod mip4;
mod mip6;

use std::net::IpAddr;

use super::attempt::Request;
use super::authority::Elements;
use super::status::Drop;
use crate::binding::is_host_address;
use crate::security::{Cookie, PublicKey, ResumptionToken, SecurityAssociation};
use crate::wire::mip6::SequenceNumber;
use crate::{
    CareOfAddress, Datagram, Family, HomeAddress, Identity, Lifetime, Refusal, Stamp, Transport,
};

/// A Binding Update.
#[derive(Debug, Clone, Copy)]
pub(super) struct BindingUpdate<'a> {
    pub(super) identity: &'a Identity,
    /// `None` asks for one.
    pub(super) home_address: Option<HomeAddress>,
    pub(super) home_agent: IpAddr,
    pub(super) care_of: CareOfAddress,
    /// Whether it is about every care-of address the home agent knows (a release only).
    pub(super) everywhere: bool,
    pub(super) lifetime: Lifetime,
    pub(super) stamp: Stamp,
    pub(super) transport: Transport,
    /// What it brings along.
    pub(super) elements: Elements,
}

/// What a home agent sends.
#[derive(Debug, Clone)]
pub(super) enum Message<'a> {
    Acknowledgement(Acknowledgement<'a>),
    /// It would like to be asked to renew the binding. Anybody may have sent it.
    RefreshRequest,
    /// Somebody on the way does not know the binding a packet belonged to.
    UnknownBinding,
    /// Somebody at that address does not understand our messages.
    NotUnderstood,
}

/// A Binding Acknowledgement, not authenticated yet.
#[derive(Debug, Clone)]
pub(super) enum Acknowledgement<'a> {
    Mip4(mip4::Reply<'a>),
    Mip6(mip6::Acknowledgement<'a>),
}

/// What ties a Binding Acknowledgement to its update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tie {
    /// The low half of its timestamp.
    Low(u32),
    /// Its sequence number.
    Sequence(SequenceNumber),
    /// It does not say: it can only be meant for the latest.
    Latest,
}

/// What a Binding Acknowledgement says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted {
        lifetime: Lifetime,
        home_address: IpAddr,
        home_agent: IpAddr,
        /// What shows that it was heard where it was asked from, if that is to be shown.
        cookie: Option<Cookie>,
        /// What to come back with.
        token: Option<ResumptionToken>,
    },
    /// The update may have been an old one; this is what the next has to go by.
    NotFresh(Hint),
    WrongHomeAgent {
        right: IpAddr,
    },
    /// There is no such binding, or not at this care-of address.
    Disowned(Refusal),
    Refused(Refusal),
    /// It is to be sent again, with this.
    Challenged(Challenge),
}

/// What a home agent asks a stranger to send back, and its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) key_share: Option<PublicKey>,
    pub(super) cookie: Cookie,
    /// The code it came with.
    pub(super) refusal: Refusal,
}

/// What a home agent says about the next stamp it will accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// The seconds of its clock; under a key that goes with nonces, the next one.
    Clock(u32),
    /// The last number it accepted.
    Sequence(SequenceNumber),
}

/// Whether home agents and paths with this address can be used at all.
pub(super) fn is_supported(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => mip4::is_host(address),
        IpAddr::V6(address) => is_host_address(address),
    }
}

/// What Binding Updates of this family go in, unless that gets no answer.
pub(super) const fn usual_transport(family: Family) -> Transport {
    match family {
        Family::Ipv4 => mip4::TRANSPORT,
        Family::Ipv6 => mip6::NATIVE,
    }
}

/// What Binding Updates go in when `transport` gets no answer.
pub(super) fn other_transport(family: Family, transport: Transport) -> Transport {
    match family {
        Family::Ipv4 => mip4::TRANSPORT,
        Family::Ipv6 if transport == mip6::NATIVE => mip6::IN_UDP,
        Family::Ipv6 => mip6::NATIVE,
    }
}

/// Whether this is what messages of this family come in.
pub(super) fn is_transport(family: Family, transport: Transport) -> bool {
    match family {
        Family::Ipv4 => transport == mip4::TRANSPORT,
        Family::Ipv6 => [mip6::NATIVE, mip6::IN_UDP].contains(&transport),
    }
}

/// Whether messages of this family have sequence numbers. All have timestamps, whose random part ties
/// answers to them that anybody could make.
pub(super) const fn is_numbered(family: Family) -> bool {
    match family {
        Family::Ipv4 => false,
        Family::Ipv6 => true,
    }
}

/// Whether trying again soon is unlikely to help against this refusal of a home agent.
pub(super) const fn is_lasting(family: Family, refusal: Refusal) -> bool {
    match family {
        Family::Ipv4 => mip4::is_lasting(refusal.code),
        Family::Ipv6 => mip6::is_lasting(refusal.code),
    }
}

/// The octets of a Binding Update; `None` where its addresses are not of one family, or its identity
/// is longer than the protocol carries.
pub(super) fn encode(
    update: &BindingUpdate<'_>,
    association: &SecurityAssociation,
) -> Option<Vec<u8>> {
    match Family::of(update.home_agent) {
        Family::Ipv4 => mip4::encode(update, association),
        Family::Ipv6 => mip6::encode(update, association),
    }
}

/// The message in this datagram.
pub(super) fn decode<'a>(datagram: &Datagram<'a>) -> Result<Message<'a>, Drop> {
    match Family::of(datagram.source) {
        Family::Ipv4 => mip4::Reply::decode(datagram.payload)
            .map(|reply| Message::Acknowledgement(Acknowledgement::Mip4(reply))),
        Family::Ipv6 => mip6::decode(datagram),
    }
}

impl Acknowledgement<'_> {
    /// What ties it to its update.
    pub(super) fn tie(&self) -> Tie {
        match self {
            Self::Mip4(reply) => reply.tie(),
            Self::Mip6(acknowledgement) => acknowledgement.tie(),
        }
    }

    /// The number that says how it went, in the count of its protocol.
    pub(super) const fn code(&self) -> (Family, u8) {
        match self {
            Self::Mip4(_) => (Family::Ipv4, self.refusal().code),
            Self::Mip6(_) => (Family::Ipv6, self.refusal().code),
        }
    }

    /// That number with its name; a refusal, unless it accepts.
    pub(super) const fn refusal(&self) -> Refusal {
        match self {
            Self::Mip4(reply) => reply.refusal(),
            Self::Mip6(acknowledgement) => acknowledgement.refusal(),
        }
    }

    /// What the next update has to repeat, under a key that goes with nonces.
    pub(super) const fn nonce(&self) -> Option<u32> {
        match self {
            Self::Mip4(reply) => Some(reply.nonce()),
            Self::Mip6(_) => None,
        }
    }

    /// Whether it says, proven or not, that its sender does not have the key.
    pub(super) fn refuses_key(&self) -> bool {
        match self {
            Self::Mip4(_) => self.refusal().code == mip4::KEY_REFUSED,
            Self::Mip6(_) => self.refusal().code == mip6::KEY_REFUSED,
        }
    }

    /// What it says to `request`, once it is known to come from who shares `association` with us.
    pub(super) fn verify(
        &self,
        association: &SecurityAssociation,
        identity: &Identity,
        request: &Request,
    ) -> Result<Verdict, Drop> {
        match self {
            Self::Mip4(reply) => reply.verify(association, identity),
            Self::Mip6(acknowledgement) => acknowledgement.verify(association, identity, request),
        }
    }
}
