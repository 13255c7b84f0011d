//! Binding Updates and Acknowledgements as the core of the home agent knows them: what either
//! signalling protocol says, in the words of neither.

use std::sync::Arc;
use std::time::Duration;

use crate::security::{Cookie, SecurityAssociation};
use crate::wire::mip6::SequenceNumber;
use crate::wire::{Identification, KeyAgreement};
use crate::{
    CareOfAddress, Family, HomeAddress, Identity, Lifetime, Refusal, Stamp, Transmit, Transport,
};

/// A Binding Update with a valid authenticator.
#[derive(Debug)]
pub(super) struct BindingUpdate {
    pub(super) identity: Identity,
    pub(super) association: Arc<SecurityAssociation>,
    /// `None` asks for one.
    pub(super) home_address: Option<HomeAddress>,
    pub(super) care_of: CareOfAddress,
    pub(super) lifetime: Lifetime,
    /// A deregistration that is about every care-of address, not only about the one it names.
    pub(super) everywhere: bool,
    pub(super) stamp: Stamp,
    /// What tells it from an old one instead, where that is a nonce.
    pub(super) nonce: Option<Identification>,
    /// What it came in.
    pub(super) transport: Transport,
    /// What it was to send back, or zeros.
    pub(super) cookie: Option<Cookie>,
    /// What its protocol has against it, whatever it asks for and however old it is.
    pub(super) malformed: Option<Reason>,
    /// What its protocol has against it, whatever it asks for.
    pub(super) unacceptable: Option<Reason>,
    /// How long a binding would be granted for, or what its protocol has against one.
    pub(super) grant: Result<Duration, Reason>,
}

impl BindingUpdate {
    /// The family of the home address it is about.
    pub(super) const fn family(&self) -> Family {
        self.care_of.family()
    }

    /// Whether it is about this home address: by naming it, or by leaving it open.
    pub(super) fn names(&self, home_address: HomeAddress) -> bool {
        self.home_address.is_none_or(|named| named == home_address)
    }
}

/// Why a Binding Update is refused. Each protocol has its own numbers for these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// It breaks the rules of its protocol.
    PoorlyFormed,
    /// It may be an old one sent again.
    NotFresh,
    /// It says too little about when it was sent.
    Undated,
    /// It is not about a home address at all.
    NotHomeRegistration,
    /// It asks for what only mobile routers need.
    MobileRouter,
    /// It speaks for somebody else.
    Proxy,
    /// Something that must be understood is not.
    NotUnderstood,
    /// It is meant for another home agent.
    OtherHomeAgent,
    /// This home agent doesn't do that.
    Prohibited,
    /// The care-of address is impossible, or not where it came from.
    CareOfAddress,
    /// The encapsulation asked for is not available.
    Encapsulation,
    /// Packets from the mobile node have to come through the tunnel.
    ReverseTunnel,
    /// The encapsulation in UDP asked for is not available.
    UdpEncapsulation,
    /// The home address is not this identity's.
    NotItsHomeAddress,
    /// The home address is none we lend.
    NotHomeSubnet,
    /// There is no room.
    Resources,
}

/// What a mobile node is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Acknowledgement {
    pub(super) outcome: Result<Lifetime, Denial>,
    /// The one granted or, in a refusal, the one asked for.
    pub(super) home_address: Option<HomeAddress>,
    /// What is to be sent back, at once or the next time, if there is room for it.
    pub(super) element: Option<KeyAgreement>,
    /// What the next update has to repeat, where that is a nonce.
    pub(super) nonce: Option<u32>,
}

/// Why not, and what it takes to be fresh the next time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Denial {
    pub(super) reason: Reason,
    /// The seconds of the time that counts with this mobile node.
    pub(super) clock: u32,
    /// The last sequence number accepted from it.
    pub(super) sequence: SequenceNumber,
}

/// An Acknowledgement in the form of its protocol.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) transmit: Transmit,
    /// The number that says how it went.
    pub(super) code: Refusal,
    /// The counter of that number.
    pub(super) counter: &'static str,
}
