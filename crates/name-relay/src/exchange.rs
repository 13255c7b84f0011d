//! One query from its arrival to its answer.

use std::sync::Arc;

use crate::config::Policy;
use crate::counters::{Counter, Counters};
use crate::hold::{Holder, Release};
use crate::message::{self, Query};
use crate::names;
use crate::prober::{Probe, Prober};
use crate::upstream::{Transport, Upstreams};

/// Everything that a query passes through.
pub(crate) struct Exchange {
    pub(crate) upstreams: Arc<Upstreams>,
    pub(crate) prober: Arc<Prober>,
    pub(crate) holder: Holder,
    pub(crate) policy: Policy,
    pub(crate) counters: Arc<Counters>,
}

impl Exchange {
    /// The answer to `query`, when it may leave. Always an answer: where no
    /// name server gave one, or it may not leave, SERVFAIL.
    pub(crate) async fn answer(&self, query: &Query, transport: Transport) -> Vec<u8> {
        self.counters.count(Counter::Queries);
        let servers = self.upstreams.current();
        let mut probe = self.probe(query);
        let Some(answer) = self.upstreams.exchange(query, transport).await else {
            self.counters.count(Counter::UpstreamFailures);
            return query.server_failure();
        };
        let correspondents = message::addresses(&answer);
        let Some((name, _)) = query
            .address_question()
            .filter(|_| !correspondents.is_empty())
        else {
            return answer;
        };
        // What kept the name servers from answering the question (a move, an
        // outage) has kept them from telling of the agent.
        let is_lost = probe.as_ref().is_some_and(Probe::has_failed)
            || !Arc::ptr_eq(&servers, &self.upstreams.current());
        if is_lost && let Some(again) = self.probe(query) {
            probe = Some(again);
        }
        let held = self.holder.hold(names::text(name), correspondents, probe);
        match held.await {
            Release::Leaves => answer,
            Release::Withheld => query.server_failure(),
        }
    }

    /// Starts the lookup of the agent, where the query may lead to one.
    fn probe(&self, query: &Query) -> Option<Probe> {
        let (name, family) = query.address_question()?;
        if !self.policy.permits(&names::text(name)) {
            return None;
        }
        self.prober.begin(name, family, false)
    }
}
