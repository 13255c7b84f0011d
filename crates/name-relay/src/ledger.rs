//! Whether an address may be reached through an agent: only as long as each name that gives it has
//! that agent. Else whoever has a name could give it the address of somebody else and carry what is
//! meant for him.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::counters::{Counter, Counters};
use crate::memory::{MAX_ANSWERS, Memory};

/// An address that new sockets reach through an agent, and a name that gives it without that agent.
pub(crate) type Contradicted = (IpAddr, IpAddr);

/// What names have said, and which addresses are captured: both under one lock, so that either an
/// answer comes first and stands in the way of a capture, or the capture does and is noticed.
#[derive(Debug)]
pub(crate) struct Ledger {
    state: Mutex<State>,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct State {
    memory: Memory,
    captured: BTreeMap<IpAddr, IpAddr>,
}

impl Ledger {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        let state = State {
            memory: Memory::new(MAX_ANSWERS),
            captured: BTreeMap::new(),
        };
        Self {
            state: Mutex::new(state),
            counters,
        }
    }

    /// An answer for `name` gives these addresses. Its agents are `None` where nobody could tell:
    /// what it had before counts then, and nothing is like having none. Returns what the answer
    /// contradicts.
    pub(crate) fn note(
        &self,
        name: &str,
        addresses: &[IpAddr],
        agents: Option<&[IpAddr]>,
    ) -> Vec<Contradicted> {
        let now = Instant::now();
        let mut state = self.state();
        let State { memory, captured } = &mut *state;
        let mut contradicted = Vec::new();
        for address in addresses {
            let known = memory.agents(name, *address, now).map(<[IpAddr]>::to_vec);
            let agents = agents.map_or_else(|| known.unwrap_or_default(), <[IpAddr]>::to_vec);
            memory.note(name, &[*address], &agents, now);
            if let Some(agent) = captured.get(address)
                && !agents.contains(agent)
            {
                contradicted.push((*address, *agent));
            }
        }
        contradicted
    }

    /// Whether new sockets reach one of these addresses through an agent.
    pub(crate) fn has_captured(&self, addresses: &[IpAddr]) -> bool {
        let captured = &self.state().captured;
        addresses
            .iter()
            .any(|address| captured.contains_key(address))
    }

    /// Those of the addresses that may be reached through `agent`. They count as captured from now
    /// on.
    pub(crate) fn capture(&self, agent: IpAddr, addresses: &[IpAddr]) -> Vec<IpAddr> {
        let now = Instant::now();
        let mut state = self.state();
        let State { memory, captured } = &mut *state;
        let (allowed, refused): (Vec<IpAddr>, Vec<IpAddr>) = addresses
            .iter()
            .partition(|address| memory.all_have(**address, agent, now));
        for address in &allowed {
            captured.entry(*address).or_insert(agent);
        }
        drop(state);
        for _ in refused {
            self.counters.count(Counter::DropContradicted);
        }
        allowed
    }

    /// What is captured now, by which agent, and nothing else.
    pub(crate) fn set_captured(&self, captured: BTreeMap<IpAddr, IpAddr>) {
        self.state().captured = captured;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
