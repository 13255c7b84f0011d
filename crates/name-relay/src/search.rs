//! One lookup of an agent: does `cha.<name>` exist, is it more than a wildcard, is it signed where it
//! has to be.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::rr::Name;
use tokio::sync::watch;

use crate::chain::Answer;
use crate::family::Family;
use crate::lookup::Resolver;
use crate::names;
use crate::prober::{Progress, Verdict};

/// No agent is believed in for longer than this.
pub(crate) const MAX_POSITIVE_TTL: Duration = Duration::from_secs(3600);
/// No agent is ruled out for longer than this.
pub(crate) const MAX_NEGATIVE_TTL: Duration = Duration::from_secs(900);
/// Octets of randomness in the name that only a wildcard answers for.
const STRANGER_LENGTH: usize = 10;

/// One lookup of an agent.
pub(crate) struct Search {
    pub(crate) name: Name,
    pub(crate) family: Family,
    pub(crate) agent: Name,
    pub(crate) resolver: Resolver,
    pub(crate) order: Vec<SocketAddr>,
    pub(crate) wildcard: Option<Answer>,
    pub(crate) must_be_signed: bool,
}

/// What a search has brought.
pub(crate) struct Findings {
    pub(crate) verdict: Verdict,
    pub(crate) ttl: Duration,
    /// The answer for a name that nobody has made, if it was learnt.
    pub(crate) wildcard: Option<Answer>,
    /// The signed addresses of the name, where they have to be.
    pub(crate) signed: Option<Vec<IpAddr>>,
    /// The name at the end of the agent's aliases, if it was learnt.
    pub(crate) owner: Option<Name>,
}

impl Default for Findings {
    fn default() -> Self {
        Self {
            verdict: Verdict::Failed,
            ttl: Duration::ZERO,
            wildcard: None,
            signed: None,
            owner: None,
        }
    }
}

impl Search {
    /// Asks for the agent and, beside it, for a name that only a wildcard
    /// answers for, so that the check delays nobody who has no agent.
    pub(crate) async fn run(self, progress: &watch::Sender<Progress>) -> Findings {
        let ask = |name| {
            self.resolver
                .addresses(name, self.family, self.order.clone())
        };
        let agent = ask(self.agent);
        let own = async {
            match self.must_be_signed {
                true => Some(ask(self.name.clone()).await),
                false => None,
            }
        };
        let stranger = async {
            match (self.wildcard, stranger(&self.name)) {
                (Some(known), _) => (known, false),
                (None, Some(name)) => (ask(name).await, true),
                (None, None) => (
                    Answer::Failed {
                        ttl: Duration::ZERO,
                    },
                    false,
                ),
            }
        };
        tokio::pin!(agent, stranger, own);
        let mut strangers = None;
        let mut owns = None;
        let agent = loop {
            tokio::select! {
                answer = &mut agent => break answer,
                answer = &mut stranger, if strangers.is_none() => strangers = Some(answer),
                answer = &mut own, if owns.is_none() => owns = Some(answer),
            }
        };
        let (addresses, owner, ttl) = match agent {
            Answer::Addresses {
                addresses,
                owner,
                ttl,
            } => (addresses, owner, ttl.min(MAX_POSITIVE_TTL)),
            Answer::Nothing { ttl } => return Findings::without(Verdict::NoAgent, ttl),
            Answer::Insecure { ttl } => return Findings::without(Verdict::Insecure, ttl),
            Answer::Failed { ttl } => return Findings::without(Verdict::Failed, ttl),
        };
        progress.send_replace(Progress::Likely);
        let (strangers, is_new) = match strangers {
            Some(strangers) => strangers,
            None => stranger.await,
        };
        let own = match owns {
            Some(own) => own,
            None => own.await,
        };
        let (signed, ttl) = match own {
            None => (None, ttl),
            Some(Answer::Addresses {
                addresses,
                ttl: own,
                ..
            }) => (Some(addresses), ttl.min(own)),
            Some(Answer::Failed { ttl }) => return Findings::without(Verdict::Failed, ttl),
            Some(Answer::Nothing { ttl: own } | Answer::Insecure { ttl: own }) => {
                return Findings::without(Verdict::Insecure, ttl.min(own));
            }
        };
        let verdict = if is_same(&strangers, &addresses, &owner) {
            Verdict::Wildcard
        } else {
            Verdict::Agents(addresses)
        };
        Findings {
            verdict,
            ttl,
            wildcard: is_new.then_some(strangers),
            signed,
            owner: Some(owner),
        }
    }
}

impl Findings {
    fn without(verdict: Verdict, ttl: Duration) -> Self {
        Self {
            verdict,
            ttl: ttl.min(MAX_NEGATIVE_TTL),
            wildcard: None,
            signed: None,
            owner: None,
        }
    }
}

/// Whether the stranger has an address of the agent's, or is an alias of the
/// same name (whose addresses may rotate).
fn is_same(stranger: &Answer, addresses: &[IpAddr], owner: &Name) -> bool {
    match stranger {
        Answer::Addresses {
            addresses: others,
            owner: other,
            ..
        } => other == owner || others.iter().any(|other| addresses.contains(other)),
        Answer::Nothing { .. } | Answer::Insecure { .. } | Answer::Failed { .. } => false,
    }
}

pub(crate) fn ttl(answer: &Answer) -> Duration {
    match answer {
        Answer::Addresses { ttl, .. }
        | Answer::Nothing { ttl }
        | Answer::Insecure { ttl }
        | Answer::Failed { ttl } => *ttl,
    }
}

/// A sibling of the agent's name that nobody has made.
fn stranger(name: &Name) -> Option<Name> {
    let mut random = [0; STRANGER_LENGTH];
    getrandom::fill(&mut random).ok()?;
    let label: String = random.iter().map(|octet| format!("{octet:02x}")).collect();
    names::child(name, &label)
}
