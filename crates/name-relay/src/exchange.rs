//! One query from its arrival to its answer.

use std::sync::Arc;

use crate::config::Policy;
use crate::counters::{Counter, Counters};
use crate::hold::Holder;
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
    /// name server gave one, SERVFAIL.
    pub(crate) async fn answer(&self, query: &Query, transport: Transport) -> Vec<u8> {
        self.counters.count(Counter::Queries);
        let servers = self.upstreams.current();
        let candidate = self.probe(query);
        let Some(answer) = self.upstreams.exchange(query, transport).await else {
            self.counters.count(Counter::UpstreamFailures);
            return query.server_failure();
        };
        let Some((name, mut probe)) = candidate else {
            return answer;
        };
        let correspondents = message::addresses(&answer);
        if correspondents.is_empty() {
            return answer;
        }
        // What kept the name servers from answering the question (a move, an
        // outage) has kept them from telling of the agent.
        let is_lost = probe.has_failed() || !Arc::ptr_eq(&servers, &self.upstreams.current());
        if is_lost && let Some((_, again)) = self.probe(query) {
            probe = again;
        }
        self.holder.hold(name, correspondents, probe).await;
        answer
    }

    /// Starts the lookup of the agent, where the query may lead to one.
    fn probe(&self, query: &Query) -> Option<(String, Probe)> {
        let (name, family) = query.address_question()?;
        let text = names::text(name);
        if !self.policy.permits(&text) {
            return None;
        }
        let probe = self.prober.begin(name, family, false)?;
        Some((text, probe))
    }
}
