//! What a mobile node tells its host.

use std::net::IpAddr;

use super::signalling;
use crate::security::PublicKey;
use crate::{CareOfAddress, DataplaneChange, Family, HomeAddress, HomeAgentAddress, Refusal};

/// Something the host executes, or tells those who wait for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Execute this, in order.
    Dataplane(DataplaneChange),
    /// Sockets may use the home address from now on. Every accepted
    /// [`bind`](super::MobileNode::bind) is answered by this or by [`Event::Failed`].
    Active {
        /// Whose binding.
        agent: HomeAgentAddress,
        /// The address it lends.
        home_address: HomeAddress,
    },
    /// There will be no binding; connect without. A home agent that merely takes long is reported
    /// this way too, and may become active later.
    Failed {
        /// With which home agent.
        agent: HomeAgentAddress,
        /// Why.
        reason: FailureReason,
    },
    /// The home agent knows the new care-of address.
    Moved {
        /// Whose binding.
        agent: HomeAgentAddress,
        /// The address that stayed.
        home_address: HomeAddress,
        /// Where it is now.
        care_of: CareOfAddress,
    },
    /// A binding ended against our will. Where it is still wanted a new registration follows by
    /// itself.
    Lost {
        /// Whose binding.
        agent: HomeAgentAddress,
        /// The address that is no longer ours.
        home_address: HomeAddress,
        /// Why.
        reason: LossReason,
    },
    /// A binding ended because nobody wanted it any more.
    Released {
        /// Whose binding.
        agent: HomeAgentAddress,
        /// The address given back.
        home_address: HomeAddress,
    },
    /// Look at the sockets and answer with [`handle_usage`](super::MobileNode::handle_usage) within
    /// two seconds; no answer counts as [`Usage::None`](super::Usage::None) where no socket was
    /// known.
    CheckUsage {
        /// Whose binding.
        agent: HomeAgentAddress,
        /// The address sockets may have.
        home_address: HomeAddress,
    },
    /// Somebody answers as the home agent who has another key than it. He is not answered; this is said
    /// once, until somebody with the right key answers.
    OtherKey {
        /// Whose place he takes.
        agent: HomeAgentAddress,
        /// What he has.
        found: PublicKey,
        /// The one that is pinned or, where none is, was agreed with before.
        expected: PublicKey,
    },
    /// What [`snapshot`](super::MobileNode::snapshot) gives has changed. Never twice in the queue.
    SnapshotChanged,
}

/// Why there is no binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FailureReason {
    /// The home agent said no.
    #[error("the home agent refused with code {0}")]
    Refused(Refusal),
    /// The home agent does not answer.
    #[error("the home agent does not answer")]
    Silent,
    /// Somebody answers for it who has another key than the one that is pinned.
    #[error("the home agent does not have the key that is pinned for it")]
    OtherKey,
    /// There was no path to the home agent for as long as the first use is waited for.
    #[error("no path to the home agent")]
    NoPath,
    /// The home agent lent an address that no host can have.
    #[error("the home agent lent {0}, which no host can have")]
    UnusableHomeAddress(HomeAddress),
    /// The home agent lent an address this host has already.
    #[error("the home agent lent {0}, which is an address of this host")]
    LocalHomeAddress(HomeAddress),
    /// The home agent lent an address of somebody around this host.
    #[error(
        "the home agent lent {0}, which belongs to a network this host is in, its router or its name server"
    )]
    NearHomeAddress(HomeAddress),
    /// The home agent lent an address another home agent has lent.
    #[error("the home agent lent {home_address}, which is already lent by {agent}")]
    HomeAddressTaken {
        /// The address.
        home_address: HomeAddress,
        /// Who lent it first.
        agent: HomeAgentAddress,
    },
    /// It was released before it stood.
    #[error("released before it was established")]
    Released,
}

impl FailureReason {
    /// Whether trying again soon is unlikely to help.
    pub(super) fn is_lasting(self, family: Family) -> bool {
        match self {
            Self::Refused(refusal) => signalling::is_lasting(family, refusal),
            Self::UnusableHomeAddress(_)
            | Self::LocalHomeAddress(_)
            | Self::NearHomeAddress(_)
            | Self::HomeAddressTaken { .. } => true,
            Self::Silent | Self::OtherKey | Self::NoPath | Self::Released => false,
        }
    }
}

/// Why a binding ended against our will.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LossReason {
    /// Its lifetime ended and the home agent had not renewed it.
    #[error("its lifetime ended")]
    Expired,
    /// The home agent does not know it (any more).
    #[error("the home agent does not hold it")]
    Unknown,
    /// The home agent gave another address when it was taken up again.
    #[error("the home agent lent another address")]
    Replaced,
    /// A name needs it for which the operator has configured more than it was begun with.
    #[error("it was begun without the key that is configured")]
    Distrusted,
}

/// Why a request for a binding was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// Nobody can be reached at this address, or not over this version of IP.
    #[error("{0} can't be a home agent's address")]
    UnusableAgent(HomeAgentAddress),
    /// No correspondent that could be reached through a home agent.
    #[error("no usable correspondent address")]
    NoCorrespondent,
    /// Another home agent carries traffic to this correspondent.
    #[error("{correspondent} is already reached through {agent}")]
    CorrespondentTaken {
        /// The address both claim.
        correspondent: IpAddr,
        /// Who has it.
        agent: HomeAgentAddress,
    },
    /// The binding with this home agent, which other names have, is held to another key than the one
    /// this name publishes.
    #[error("the binding with {0} is with another key than the name publishes")]
    OtherKey(HomeAgentAddress),
    /// Our identity has this many octets, more than goes into a message to that home agent.
    #[error("an identity of {0} octets does not go into the messages of Mobile IPv6")]
    LongIdentity(usize),
    /// Bindings with this many home agents are held.
    #[error("there are {0} home agents already")]
    TooManyAgents(usize),
    /// This many names share the binding.
    #[error("there are {0} names already")]
    TooManyNames(usize),
    /// This many correspondents would be behind the binding.
    #[error("there would be {0} correspondents")]
    TooManyCorrespondents(usize),
}
