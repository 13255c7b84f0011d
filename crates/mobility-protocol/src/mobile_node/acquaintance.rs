//! What outlives a binding: the key that was agreed on, and what spares us the next proof of where we
//! are.

use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::MobileNode;
use super::authority::StoredAgreement;
use crate::security::{ResumptionToken, TOKEN_LIFETIME};
use crate::{CareOfAddress, HomeAgentAddress};

/// The bound on home agents whose keys are kept when there is no binding.
pub const MAX_ACQUAINTANCES: usize = 256;

/// A home agent to come back to, as [`MobileNode::acquaintances`] gives it and
/// [`MobileNode::restore_acquaintances`] takes it up again. Secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredAcquaintance {
    /// Which.
    pub agent: HomeAgentAddress,
    pub(super) agreement: StoredAgreement,
    /// In hexadecimal.
    token: String,
    /// Where it was given.
    care_of: CareOfAddress,
    /// When, in Unix time.
    given_at: Duration,
}

impl StoredAcquaintance {
    pub(super) fn new(
        agent: HomeAgentAddress,
        agreement: StoredAgreement,
        token: ResumptionToken,
        care_of: CareOfAddress,
        given_at: Duration,
    ) -> Self {
        Self {
            agent,
            agreement,
            token: hex::encode(token.0),
            care_of,
            given_at,
        }
    }

    /// Whether it may still be worth something. After that the next binding has a key pair of its own.
    pub(super) fn is_fresh(&self, unix_time: Duration) -> bool {
        unix_time.abs_diff(self.given_at) < TOKEN_LIFETIME
    }

    /// What the home agent gave, and where.
    pub(super) fn token(&self) -> Option<(ResumptionToken, CareOfAddress)> {
        let mut token = [0; ResumptionToken::LENGTH];
        hex::decode_to_slice(&self.token, &mut token).ok()?;
        Some((ResumptionToken(token), self.care_of))
    }
}

impl fmt::Debug for StoredAcquaintance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredAcquaintance")
            .field("agent", &self.agent)
            .field("agreement", &self.agreement)
            .finish_non_exhaustive()
    }
}

impl MobileNode {
    /// The home agents to come back to, the latest [`MAX_ACQUAINTANCES`], by their addresses. To be
    /// kept whenever the snapshot is.
    #[must_use]
    pub fn acquaintances(&self) -> Vec<StoredAcquaintance> {
        let mut known: Vec<_> = self
            .memories
            .values()
            .filter_map(|memory| memory.acquaintance.clone())
            .collect();
        known.sort_by_key(|known| std::cmp::Reverse(known.given_at));
        known.truncate(MAX_ACQUAINTANCES);
        known.sort_by_key(|known| known.agent);
        known
    }

    /// Take up the acquaintances of an earlier life again.
    pub fn restore_acquaintances(
        &mut self,
        acquaintances: impl IntoIterator<Item = StoredAcquaintance>,
        now: Instant,
    ) {
        let unix_time = self.wall.unix_time(now);
        let fresh = acquaintances
            .into_iter()
            .filter(|known| known.is_fresh(unix_time));
        for known in fresh.take(MAX_ACQUAINTANCES) {
            self.remember(known.agent, now);
            if let Some(memory) = self.memories.get_mut(&known.agent) {
                memory.acquaintance = Some(known);
            }
        }
    }
}
