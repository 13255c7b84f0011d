//! What a mobile node shows of itself.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::MobileNode;
use super::entry::{Entry, State};
use super::signalling;
use crate::wire::{mip4, mip6};
use crate::{
    CareOfAddress, Encapsulation, Family, HomeAddress, HomeAgentAddress, Identity, Transport,
};

/// One binding, for people to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingView {
    /// The address it lends, once there is one.
    pub home_address: Option<HomeAddress>,
    /// The care-of address the data path uses or, before there is one, the one requests leave from.
    pub care_of: Option<CareOfAddress>,
    /// The home agent.
    pub agent: HomeAgentAddress,
    /// Who we are to it.
    pub identity: Identity,
    /// What is going on.
    pub state: BindingState,
    /// Until its lifetime ends; `None` for never and before it stands.
    pub expires_in: Option<Duration>,
    /// Since it stands.
    pub age: Option<Duration>,
    /// What the home agent was heard in last or, before that, what it is asked in first.
    pub transport: Transport,
    /// How packets are wrapped.
    pub encapsulation: Encapsulation,
    /// The names that share it, with their correspondents.
    pub names: BTreeMap<String, BTreeSet<IpAddr>>,
    /// Confirmed changes of its care-of address.
    pub handovers: u64,
}

/// The state of a binding, in the words of `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BindingState {
    /// A home address is being asked for, or a path to ask by is waited for.
    Registering,
    /// It stands; a refresh under way does not change that.
    Active,
    /// The home agent has not confirmed the present care-of address.
    Moving,
    /// It is being given back.
    Releasing,
}

impl fmt::Display for BindingState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Registering => "registering",
            Self::Active => "active",
            Self::Moving => "moving",
            Self::Releasing => "releasing",
        })
    }
}

impl MobileNode {
    /// The bindings, in the order of their home agents.
    #[must_use]
    pub fn bindings(&self, now: Instant) -> Vec<BindingView> {
        let view = |entry: &Entry| {
            let binding = entry.binding();
            BindingView {
                home_address: binding.map(|binding| binding.home_address),
                care_of: binding
                    .map(|binding| binding.installed.care_of)
                    .or(entry.care_of()),
                agent: entry.agent,
                identity: self.config.identity.clone(),
                state: match entry.state {
                    State::WaitingForPath { .. } | State::Registering { .. } => {
                        BindingState::Registering
                    }
                    State::Active { .. } | State::Refreshing { .. } => BindingState::Active,
                    State::Moving { .. } => BindingState::Moving,
                    State::Releasing { .. } | State::Abandoning { .. } | State::Ended => {
                        BindingState::Releasing
                    }
                },
                expires_in: binding
                    .and_then(|binding| binding.expires)
                    .map(|expires| expires.saturating_duration_since(now)),
                age: binding.map(|binding| now.saturating_duration_since(binding.since)),
                transport: self
                    .memories
                    .get(&entry.agent)
                    .and_then(|memory| memory.transport)
                    .unwrap_or(signalling::usual_transport(entry.agent.family())),
                encapsulation: Encapsulation::within(entry.agent.family()),
                names: entry.names().clone(),
                handovers: binding.map_or(0, |binding| binding.handovers),
            }
        };
        self.entries.values().map(view).collect()
    }
}

/// Why a datagram changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drop {
    /// By the wire's name for the fault.
    Malformed(&'static str),
    UnexpectedMessage,
    UnexpectedSource,
    UnmatchedIdentification,
    UnknownCode,
    ForeignAgentDenial,
    AuthenticationMissing,
    AuthenticationRepeated,
    AuthenticationFailed,
    IdentityMissing,
    IdentityMismatch,
    TimestampMismatch,
    LifetimeZero,
    HomeAddressMissing,
    HomeAddressMismatch,
    HomeAgentUnusable,
    ExtensionNotUnderstood,
    StaleReply,
    /// A home agent that agrees on no key grants something all the same.
    Unprotected,
    /// The home agent's key is not the one it should have, or none at all.
    OtherKey,
    /// The home agent does not have the key of the last message, and there is another one to try.
    KeyRefused,
    /// It asks for something it asked for a moment ago.
    TooOften,
}

impl Drop {
    const NAMES: [&'static str; 21] = [
        "unexpected_message",
        "unexpected_source",
        "unmatched_identification",
        "unknown_code",
        "foreign_agent_denial",
        "authentication_missing",
        "authentication_repeated",
        "authentication_failed",
        "identity_missing",
        "identity_mismatch",
        "timestamp_mismatch",
        "home_address_missing",
        "too_often",
        "lifetime_zero",
        "home_address_mismatch",
        "home_agent_unusable",
        "extension_not_understood",
        "stale_reply",
        "unprotected",
        "other_key",
        "key_refused",
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Malformed(fault) => fault,
            Self::UnexpectedMessage => "unexpected_message",
            Self::UnexpectedSource => "unexpected_source",
            Self::UnmatchedIdentification => "unmatched_identification",
            Self::UnknownCode => "unknown_code",
            Self::ForeignAgentDenial => "foreign_agent_denial",
            Self::AuthenticationMissing => "authentication_missing",
            Self::AuthenticationRepeated => "authentication_repeated",
            Self::AuthenticationFailed => "authentication_failed",
            Self::IdentityMissing => "identity_missing",
            Self::IdentityMismatch => "identity_mismatch",
            Self::TimestampMismatch => "timestamp_mismatch",
            Self::HomeAddressMissing => "home_address_missing",
            Self::TooOften => "too_often",
            Self::LifetimeZero => "lifetime_zero",
            Self::HomeAddressMismatch => "home_address_mismatch",
            Self::HomeAgentUnusable => "home_agent_unusable",
            Self::ExtensionNotUnderstood => "extension_not_understood",
            Self::StaleReply => "stale_reply",
            Self::Unprotected => "unprotected",
            Self::OtherKey => "other_key",
            Self::KeyRefused => "key_refused",
        }
    }
}

/// What has happened so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) requests: u64,
    pub(super) retransmissions: u64,
    pub(super) registrations: u64,
    pub(super) refreshes: u64,
    pub(super) handovers: u64,
    pub(super) releases: u64,
    pub(super) losses: u64,
    pub(super) failures: u64,
    pub(super) home_addresses_refused: u64,
    pub(super) probes: u64,
    /// Binding Refresh Requests and Binding Errors that were heeded.
    pub(super) refresh_requests: u64,
    pub(super) binding_errors: u64,
    pub(super) resynchronisations: u64,
    drops: BTreeMap<&'static str, u64>,
    /// By protocol and the number of the code, which a stranger may choose: at most 512.
    replies: BTreeMap<(Family, u8), u64>,
}

impl Counters {
    pub(super) fn new() -> Self {
        let drops = Drop::NAMES
            .into_iter()
            .chain(mip4::DecodeError::DROP_REASONS)
            .chain(mip6::DecodeError::DROP_REASONS)
            .chain(mip6::PacketError::DROP_REASONS)
            .map(|name| (name, 0))
            .collect();
        Self {
            requests: 0,
            retransmissions: 0,
            registrations: 0,
            refreshes: 0,
            handovers: 0,
            releases: 0,
            losses: 0,
            failures: 0,
            home_addresses_refused: 0,
            probes: 0,
            refresh_requests: 0,
            binding_errors: 0,
            resynchronisations: 0,
            drops,
            replies: BTreeMap::new(),
        }
    }

    pub(super) fn drop(&mut self, reason: Drop) {
        *self.drops.entry(reason.name()).or_default() += 1;
    }

    pub(super) fn reply(&mut self, code: (Family, u8)) {
        *self.replies.entry(code).or_default() += 1;
    }

    pub(super) fn list(&self) -> Vec<(Cow<'static, str>, u64)> {
        let plain = [
            ("requests", self.requests),
            ("retransmissions", self.retransmissions),
            ("registrations", self.registrations),
            ("refreshes", self.refreshes),
            ("handovers", self.handovers),
            ("releases", self.releases),
            ("losses", self.losses),
            ("failures", self.failures),
            ("home_addresses_refused", self.home_addresses_refused),
            ("probes", self.probes),
            ("refresh_requests", self.refresh_requests),
            ("binding_errors", self.binding_errors),
            ("resynchronisations", self.resynchronisations),
        ];
        let plain = plain
            .into_iter()
            .map(|(name, value)| (Cow::Borrowed(name), value));
        let replies = self.replies.iter().map(|((family, code), value)| {
            let name = match family {
                Family::Ipv4 => format!("reply_code_{code}"),
                Family::Ipv6 => format!("reply_status_{code}"),
            };
            (Cow::Owned(name), *value)
        });
        let drops = self
            .drops
            .iter()
            .map(|(name, value)| (Cow::Owned(format!("drop_{name}")), *value));
        plain.chain(replies).chain(drops).collect()
    }
}
