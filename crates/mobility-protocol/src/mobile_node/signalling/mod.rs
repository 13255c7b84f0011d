//! Binding Updates and Acknowledgements as the core of the mobile node knows them: what either
//! signalling protocol says, in the words of neither. Below this, and nowhere else, it is known by
//! which protocol a home agent is spoken to.

mod mip4;

use std::net::IpAddr;

use super::status::Drop;
use crate::security::SecurityAssociation;
use crate::wire::mip4::Identification;
use crate::{CareOfAddress, HomeAddress, Identity, Lifetime, Refusal, Transport};

/// A Binding Update.
#[derive(Debug, Clone, Copy)]
pub(super) struct BindingUpdate<'a> {
    pub(super) identity: &'a Identity,
    /// `None` asks for one.
    pub(super) home_address: Option<HomeAddress>,
    pub(super) home_agent: IpAddr,
    /// `None` means every one the home agent knows (a release only).
    pub(super) care_of: Option<CareOfAddress>,
    pub(super) lifetime: Lifetime,
    pub(super) identification: Identification,
}

/// A Binding Acknowledgement, not authenticated yet.
#[derive(Debug, Clone)]
pub(super) struct BindingAcknowledgement {
    reply: mip4::Reply,
}

/// What a Binding Acknowledgement says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted {
        lifetime: Lifetime,
        home_address: IpAddr,
        home_agent: IpAddr,
    },
    /// The high half of the Identification is the home agent's clock.
    WrongTime {
        high: u32,
    },
    WrongHomeAgent {
        right: IpAddr,
    },
    /// There is no such binding, or not at this care-of address.
    Disowned(Refusal),
    Refused(Refusal),
}

/// Whether home agents and paths with this address can be used at all.
pub(super) fn is_supported(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => mip4::is_host(address),
        IpAddr::V6(_) => false,
    }
}

/// What Binding Updates to this home agent go in.
pub(super) const fn transport(_home_agent: IpAddr) -> Transport {
    mip4::TRANSPORT
}

/// Whether trying again soon is unlikely to help against this refusal of a home agent.
pub(super) const fn is_lasting(refusal: Refusal) -> bool {
    mip4::is_lasting(refusal.code)
}

/// The octets of a Binding Update; `None` where its addresses are not of one family.
pub(super) fn encode(
    update: &BindingUpdate<'_>,
    association: &SecurityAssociation,
) -> Option<Vec<u8>> {
    mip4::encode(update, association)
}

impl BindingAcknowledgement {
    /// The acknowledgement in these octets.
    pub(super) fn decode(payload: &[u8]) -> Result<Self, Drop> {
        mip4::Reply::decode(payload).map(|reply| Self { reply })
    }

    /// What ties it to its request.
    pub(super) const fn low(&self) -> u32 {
        self.reply.low()
    }

    pub(super) const fn code(&self) -> u8 {
        self.reply.code()
    }

    /// What it says, once it is known to come from who shares `association` with us.
    pub(super) fn verify(
        &self,
        payload: &[u8],
        association: &SecurityAssociation,
        identity: &Identity,
    ) -> Result<Verdict, Drop> {
        self.reply.verify(payload, association, identity)
    }
}
