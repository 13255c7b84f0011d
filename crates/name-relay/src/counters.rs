//! What the relay has seen, counted.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// One counter of the relay.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Counter { $($(#[$doc])* $variant,)* }

        const NAMES: &[&str] = &[$($name,)*];
    };
}

counters! {
    /// Queries taken from applications.
    Queries => "queries",
    /// Answers given to applications.
    Answers => "answers",
    /// Repetitions of a query that was still in work.
    Retransmissions => "query_retransmissions",
    /// Queries that every name server failed to answer, answered SERVFAIL.
    UpstreamFailures => "upstream_failures",
    /// Changes of the list of name servers.
    UpstreamChanges => "upstream_changes",
    /// Answers held for a binding.
    Held => "held",
    /// Held answers that left because the binding stood (or was given up).
    HoldReleased => "hold_released",
    /// Held answers that left because the hold had passed.
    HoldExpired => "hold_expired",
    /// Names that led to an agent in time for their answer to be held.
    ChaFound => "cha_found",
    /// Names whose agent was found after their answer had left.
    ChaFoundLate => "cha_found_late",
    /// Lookups for agents that were made.
    ChaLookups => "cha_lookups",
    /// Lookups for agents that failed without an answer.
    ChaLookupFailures => "cha_lookup_failures",
    /// Lookups for agents answered from memory.
    CacheHits => "cache_hits",
    /// Times the relay wrote itself into `resolv.conf`.
    ResolvConfWrites => "resolv_conf_writes",
    /// UDP datagrams or TCP messages that are no DNS query.
    DropMalformedQuery => "drop_malformed_query",
    /// Messages to the listening socket that are answers.
    DropNotAQuery => "drop_not_a_query",
    /// Messages from another host.
    DropForeignSource => "drop_foreign_source",
    /// Queries beyond the bound of queries in flight.
    DropTooManyQueries => "drop_too_many_queries",
    /// TCP connections beyond their bound.
    DropTooManyConnections => "drop_too_many_connections",
    /// Answers with a wrong id or question.
    DropSpoofedAnswer => "drop_spoofed_answer",
    /// Answers that are no DNS message.
    DropMalformedAnswer => "drop_malformed_answer",
    /// Answers that could not be delivered to who asked.
    DropUndeliverable => "drop_undeliverable",
    /// Agents not told to the mobile node because its queue was full.
    DropDiscoveryFull => "drop_discovery_full",
    /// Lookups for agents not made because too many were under way.
    DropTooManyLookups => "drop_too_many_lookups",
    /// `cha.` answers that came from a wildcard.
    DropWildcard => "drop_wildcard",
    /// Agents not believed in because their addresses, or those of the name
    /// itself, are not signed.
    DropInsecure => "drop_insecure",
    /// Keys of agents published in a form that is not understood, or several of
    /// one agent: it is done without.
    DropMalformedKey => "drop_malformed_key",
    /// Agents done without because it is not signed which key they publish, or
    /// that they publish none, and has to be.
    DropUnprovenKey => "drop_unproven_key",
    /// Correspondents not reached through an agent because another name gives
    /// their address without that agent.
    DropContradicted => "drop_contradicted",
    /// Correspondents that were, until such a name was looked up.
    CapturesWithdrawn => "captures_withdrawn",
    /// Answers withheld, with SERVFAIL in their place, because the mobile node
    /// did not withdraw what they contradict.
    DropUnconfirmed => "drop_unconfirmed",
}

/// All counters of one relay.
#[derive(Debug)]
pub(crate) struct Counters(Vec<AtomicU64>);

impl Counters {
    pub(crate) fn new() -> Self {
        Self(NAMES.iter().map(|_| AtomicU64::new(0)).collect())
    }

    pub(crate) fn count(&self, counter: Counter) {
        if let Some(cell) = self.0.get(counter as usize) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn snapshot(&self) -> Vec<(&'static str, u64)> {
        NAMES
            .iter()
            .zip(&self.0)
            .map(|(name, cell)| (*name, cell.load(Ordering::Relaxed)))
            .collect()
    }
}

#[cfg(test)]
impl Counters {
    pub(crate) fn value(&self, counter: Counter) -> u64 {
        self.0[counter as usize].load(Ordering::Relaxed)
    }
}
