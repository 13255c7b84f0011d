//! How often what happened.

use std::collections::BTreeMap;

use super::quotas::Excess;
use super::{mip4, mip6};

/// The counter of requests that were answered with a cookie and left no trace.
const CHALLENGES: &str = "challenges";

/// Why a datagram was dropped without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DropReason {
    /// The octets are no message; the wire's name for the fault.
    Undecodable(&'static str),
    /// We have no address of that family.
    FamilyNotServed,
    /// It is not for the address we are known by.
    UnexpectedDestination,
    /// A source nobody could answer to: port 0, or no unicast address.
    InvalidSource,
    /// A message that is not for a home agent, or not answered in this form.
    UnexpectedMessage,
    /// An extension that must be understood and is not.
    UnsupportedExtension,
    /// No Mobile-Home Authentication extension, or several (RFC 5944, section 3.8.2.1); no MN-HA
    /// authentication option (RFC 4285).
    MissingAuthentication,
    /// A Foreign-Home Authentication extension: there is no association with any foreign agent
    /// (RFC 5944, section 3.8.2.1).
    UnknownForeignAgent,
    /// No NAI before the authentication: nobody is named.
    MissingIdentity,
    /// This identity has no association under this SPI.
    UnknownAssociation,
    /// Nobody vouches for it: the published key is not accepted without a key share.
    Unprotected,
    /// An answer would be larger than what it answers, to somebody who proved nothing.
    TooShort,
    /// More agreements than are computed in a second for one host, one site, or all.
    TooManyAgreements,
    /// The authenticator is not the one the association makes. In IPv4 there is no answer: it would
    /// need a valid authenticator of our own and tell a stranger more than the mobile node, which
    /// drops it if it has another key. In IPv6 RFC 4285 has one, at a bounded rate.
    AuthenticationFailed,
}

impl DropReason {
    const NAMED: [(&'static str, Self); 13] = [
        ("drop_family_not_served", Self::FamilyNotServed),
        ("drop_unexpected_destination", Self::UnexpectedDestination),
        ("drop_invalid_source", Self::InvalidSource),
        ("drop_unexpected_message", Self::UnexpectedMessage),
        ("drop_unsupported_extension", Self::UnsupportedExtension),
        ("drop_missing_authentication", Self::MissingAuthentication),
        ("drop_unknown_foreign_agent", Self::UnknownForeignAgent),
        ("drop_missing_identity", Self::MissingIdentity),
        ("drop_unknown_association", Self::UnknownAssociation),
        ("drop_unprotected", Self::Unprotected),
        ("drop_too_short", Self::TooShort),
        ("drop_too_many_agreements", Self::TooManyAgreements),
        ("drop_authentication_failed", Self::AuthenticationFailed),
    ];
}

/// What happens to bindings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Created,
    /// One of them, by a mobile node that came back.
    Resumed,
    Moved,
    /// One of them, to where its mobile node has not shown itself yet.
    MovedUnproven,
    /// A mobile node has shown that it is where it moved to.
    Proven,
    /// A mobile node has been asked whether it is still where it was, and has not shown it.
    Lapsed,
    Refreshed,
    Released,
    Expired,
}

impl Life {
    const ALL: [(&'static str, Self); 9] = [
        ("bindings_created", Self::Created),
        ("bindings_resumed", Self::Resumed),
        ("bindings_moved", Self::Moved),
        ("moves_unproven", Self::MovedUnproven),
        ("moves_proven", Self::Proven),
        ("proofs_lapsed", Self::Lapsed),
        ("bindings_refreshed", Self::Refreshed),
        ("bindings_released", Self::Released),
        ("bindings_expired", Self::Expired),
    ];
}

/// Which limits kept bindings from strangers, beside the answer that counts itself.
const EXCESSES: [(&str, Excess); 5] = [
    ("refused_host_quota", Excess::HostQuota),
    ("refused_host_rate", Excess::HostRate),
    ("refused_rate", Excess::Rate),
    ("refused_site_quota", Excess::SiteQuota),
    ("refused_site_rate", Excess::SiteRate),
];

/// Counters by name, all there from the beginning.
#[derive(Debug)]
pub(super) struct Counters(BTreeMap<&'static str, u64>);

impl Counters {
    pub(super) fn new() -> Self {
        let drops = DropReason::NAMED.iter().map(|(name, _)| *name);
        let life = Life::ALL.iter().map(|(name, _)| *name);
        let names = drops
            .chain(life)
            .chain(EXCESSES.iter().map(|(name, _)| *name))
            .chain(mip4::counters())
            .chain(mip6::counters())
            .chain(UNDECODABLE.iter().map(|(name, _)| *name));
        Self(names.chain([CHALLENGES]).map(|name| (name, 0)).collect())
    }

    pub(super) fn dropped(&mut self, reason: DropReason) {
        let name = if let DropReason::Undecodable(fault) = reason {
            UNDECODABLE
                .iter()
                .find(|(_, known)| *known == fault)
                .map(|(name, _)| *name)
        } else {
            DropReason::NAMED
                .iter()
                .find(|(_, known)| *known == reason)
                .map(|(name, _)| *name)
        };
        self.count(name.unwrap_or("drop_other"));
    }

    /// Somebody was asked to prove that answers reach him.
    pub(super) fn challenged(&mut self) {
        self.count(CHALLENGES);
    }

    /// An answer left, of which this is the counter.
    pub(super) fn replied(&mut self, counter: &'static str) {
        self.count(counter);
    }

    pub(super) fn lived(&mut self, life: Life) {
        if let Some((name, _)) = Life::ALL.iter().find(|(_, known)| *known == life) {
            self.count(name);
        }
    }

    /// Somebody wanted more than this allows.
    pub(super) fn exceeded(&mut self, excess: Excess) {
        if let Some((name, _)) = EXCESSES.iter().find(|(_, known)| *known == excess) {
            self.count(name);
        }
    }

    pub(super) fn all(&self) -> Vec<(&'static str, u64)> {
        self.0.iter().map(|(name, count)| (*name, *count)).collect()
    }

    fn count(&mut self, name: &'static str) {
        *self.0.entry(name).or_default() += 1;
    }
}

/// What the wire modules call their faults, as counters. They have no prefix to give.
const UNDECODABLE: [(&str, &str); 22] = [
    ("drop_empty_message", "empty_message"),
    ("drop_unknown_message_type", "unknown_message_type"),
    ("drop_truncated_message", "truncated_message"),
    ("drop_trailing_octets", "trailing_octets"),
    ("drop_truncated_extension", "truncated_extension"),
    ("drop_malformed_extension", "malformed_extension"),
    (
        "drop_unknown_non_skippable_extension",
        "unknown_non_skippable_extension",
    ),
    ("drop_too_many_extensions", "too_many_extensions"),
    ("drop_truncated_header", "truncated_header"),
    ("drop_bad_payload_protocol", "bad_payload_protocol"),
    ("drop_bad_checksum", "bad_checksum"),
    ("drop_truncated_option", "truncated_option"),
    ("drop_malformed_option", "malformed_option"),
    ("drop_repeated_option", "repeated_option"),
    (
        "drop_option_after_authentication",
        "option_after_authentication",
    ),
    ("drop_too_many_options", "too_many_options"),
    ("drop_conflicting_home_address", "conflicting_home_address"),
    ("drop_not_ipv6", "not_ipv6"),
    ("drop_truncated_packet", "truncated_packet"),
    ("drop_no_mobility_header", "no_mobility_header"),
    ("drop_fragment", "fragment"),
    ("drop_malformed_header", "malformed_header"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use crate::wire;

    #[test]
    fn every_fault_of_the_wire_has_its_counter() {
        let known: BTreeSet<_> = UNDECODABLE.iter().map(|(_, reason)| *reason).collect();
        let faults: BTreeSet<_> = wire::mip4::DecodeError::DROP_REASONS
            .into_iter()
            .chain(wire::mip6::DecodeError::DROP_REASONS)
            .chain(wire::mip6::PacketError::DROP_REASONS)
            .collect();
        assert_eq!(known, faults);
        for (name, reason) in UNDECODABLE {
            assert_eq!(name, format!("drop_{reason}"));
        }
    }

    #[test]
    fn a_counter_exists_before_its_first_event() {
        let counters = Counters::new().all();
        assert!(counters.iter().all(|(_, count)| *count == 0));
        assert!(counters.contains(&("drop_authentication_failed", 0)));
        assert!(counters.contains(&("drop_malformed_extension", 0)));
        assert!(counters.is_sorted());
    }
}
