//! What survives a restart of the mobile node.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::MobileNode;
use super::authority::{Authority, StoredAgreement};
use super::clock::AgentClock;
use super::config::MAX_AGENTS;
use super::credentials::Credentials;
use super::entry::{Entry, Established};
use super::signalling;
use crate::wire::Identification;
use crate::wire::mip6::SequenceNumber;
use crate::{CareOfAddress, HomeAddress, HomeAgentAddress, Path, Transport};

/// One binding, as [`MobileNode::snapshot`](super::MobileNode::snapshot) gives it and
/// [`MobileNode::restore`](super::MobileNode::restore) takes it up again. It may hold a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredBinding {
    /// The home agent it was asked of.
    pub agent: HomeAgentAddress,
    /// Where messages go: another address after a redirection (code 136).
    pub signalling: HomeAgentAddress,
    /// The other end of the tunnel.
    pub tunnel_end: IpAddr,
    /// The address it lends.
    pub home_address: HomeAddress,
    /// The care-of address the data path used.
    pub care_of: CareOfAddress,
    /// The interface the data path used.
    pub interface: u32,
    /// The names that share it, with their correspondents.
    pub names: BTreeMap<String, BTreeSet<IpAddr>>,
    /// Those of the correspondents that new sockets don't reach through it. Absent in what an earlier
    /// version wrote.
    #[serde(default)]
    pub withdrawn: BTreeSet<IpAddr>,
    /// When it was established, in Unix time.
    pub since: Duration,
    /// When its lifetime ends, in Unix time; `None` for never.
    pub expires: Option<Duration>,
    /// Seconds the home agent's clock is ahead of ours.
    pub clock_offset: i64,
    /// The last timestamp sent.
    pub identification: Option<u64>,
    /// The last sequence number sent. Absent over IPv4, and in what an earlier version wrote.
    #[serde(default)]
    pub sequence: Option<SequenceNumber>,
    /// What the home agent was heard in last. Absent in what an earlier version wrote.
    #[serde(default)]
    pub transport: Option<Transport>,
    /// The key that was agreed on. Absent where one is configured.
    #[serde(default)]
    pub agreement: Option<StoredAgreement>,
}

impl MobileNode {
    /// What [`MobileNode::restore`] needs after a crash: every binding the data path carries and
    /// that is not being released.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Vec<StoredBinding> {
        let unix_time = self.wall.unix_time(now);
        let unix = |at: Instant| {
            let ahead = at.saturating_duration_since(now);
            (unix_time + ahead).saturating_sub(now.saturating_duration_since(at))
        };
        let stored = |entry: &Entry| {
            let binding = entry.binding().filter(|_| entry.stands())?;
            let memory = self.memories.get(&entry.agent);
            let clock = memory.map(|memory| memory.clock).unwrap_or_default();
            Some(StoredBinding {
                agent: entry.agent,
                signalling: entry.signalling.into(),
                tunnel_end: binding.tunnel_end,
                home_address: binding.home_address,
                care_of: binding.installed.care_of,
                interface: binding.installed.interface,
                names: entry.names().clone(),
                withdrawn: entry.withdrawn.clone(),
                since: unix(binding.since),
                expires: binding.expires.map(unix),
                clock_offset: clock.offset(),
                identification: clock.floor().map(|identification| identification.0),
                sequence: memory.and_then(|memory| memory.sequence),
                transport: memory.and_then(|memory| memory.transport),
                agreement: entry.authority.stored(),
            })
        };
        self.entries.values().filter_map(stored).collect()
    }

    /// Take up bindings of an earlier life again, each with the credentials its names have now. One
    /// whose key is neither there nor in the snapshot is left to expire.
    /// Those whose lifetime has not ended are carried at once as they were; report the paths
    /// ([`MobileNode::handle_path`]), and the home agents will be told where they are.
    pub fn restore<C: Into<Credentials>>(
        &mut self,
        bindings: impl IntoIterator<Item = (StoredBinding, C)>,
        now: Instant,
    ) {
        let unix_time = self.wall.unix_time(now);
        for (stored, credentials) in bindings {
            let expired = stored.expires.is_some_and(|expires| expires <= unix_time);
            let agent = stored.agent;
            if expired || self.entries.contains_key(&agent) || self.entries.len() >= MAX_AGENTS {
                continue;
            }
            let identity = &self.config.identity;
            let Some(authority) =
                Authority::resume(credentials.into(), stored.agreement.as_ref(), identity)
            else {
                continue;
            };
            self.remember(agent, now);
            self.with_context(agent, now, |entries, context| {
                context.memory.clock = AgentClock::resume(
                    stored.clock_offset,
                    stored.identification.map(Identification),
                );
                context.memory.sequence = stored.sequence;
                context.memory.transport = stored
                    .transport
                    .filter(|transport| signalling::is_transport(agent.family(), *transport));
                if context
                    .check_home_address(stored.home_address, agent)
                    .is_err()
                {
                    return;
                }
                let binding = Established {
                    home_address: stored.home_address,
                    tunnel_end: stored.tunnel_end,
                    installed: Path {
                        care_of: stored.care_of,
                        interface: stored.interface,
                    },
                    confirmed: stored.care_of,
                    attachment: 0,
                    expires: stored
                        .expires
                        .map(|expires| now + expires.saturating_sub(unix_time)),
                    refresh: None,
                    since: now
                        .checked_sub(unix_time.saturating_sub(stored.since))
                        .unwrap_or(now),
                    handovers: 0,
                    carried: false,
                };
                let signalling = stored.signalling.ip();
                let mut entry =
                    Entry::resume(agent, signalling, authority, stored.names, binding, context);
                entry.withdraw(&stored.withdrawn, context);
                entries.insert(agent, entry);
            });
        }
    }
}
