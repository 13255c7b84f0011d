//! Which names have given which addresses lately, and the agents they had.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// How long an answer is remembered: beyond what name servers let others remember it, for
/// applications keep names longer than that.
pub(crate) const KEPT: Duration = Duration::from_secs(24 * 3600);

/// The most answers that are remembered, counted as pairs of a name and an address.
pub(crate) const MAX_ANSWERS: usize = 65_536;

/// The most agents of one name that are remembered.
const MAX_AGENTS: usize = 16;

/// A name, by its hash under a key of this process, so that a long one takes no more room, and the
/// domain below whose two last labels it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct NameId {
    domain: u64,
    name: u64,
}

/// What was said of one address by one name.
#[derive(Debug)]
struct Said {
    agents: Arc<[IpAddr]>,
    until: Instant,
}

/// Answers, each for a day. When full, the domain that has most of them loses its oldest one: so
/// whoever makes up names forgets what they say before he makes us forget others'.
#[derive(Debug)]
pub(crate) struct Memory {
    hasher: RandomState,
    capacity: usize,
    said: BTreeMap<(IpAddr, NameId), Said>,
    /// What each domain would lose first.
    domains: BTreeMap<u64, BTreeSet<(Instant, IpAddr, NameId)>>,
    sizes: BTreeSet<(usize, u64)>,
}

impl Memory {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            capacity,
            said: BTreeMap::new(),
            domains: BTreeMap::new(),
            sizes: BTreeSet::new(),
        }
    }

    /// The agents that `name` had when it last gave this address.
    pub(crate) fn agents(&self, name: &str, address: IpAddr, now: Instant) -> Option<&[IpAddr]> {
        let said = self.said.get(&(address, self.id(name)))?;
        (said.until > now).then_some(&*said.agents)
    }

    /// `name` has given these addresses, and has these agents.
    pub(crate) fn note(
        &mut self,
        name: &str,
        addresses: &[IpAddr],
        agents: &[IpAddr],
        now: Instant,
    ) {
        let id = self.id(name);
        let agents: Arc<[IpAddr]> = agents.iter().copied().take(MAX_AGENTS).collect();
        for address in addresses {
            self.forget(*address, id);
            while self.said.len() >= self.capacity && self.forget_one() {}
            let until = now + KEPT;
            let agents = Arc::clone(&agents);
            self.said.insert((*address, id), Said { agents, until });
            self.resize(id.domain, |answers| {
                answers.insert((until, *address, id));
            });
        }
    }

    /// Whether each name that has given this address has `agent`.
    pub(crate) fn all_have(&self, address: IpAddr, agent: IpAddr, now: Instant) -> bool {
        let first = NameId { domain: 0, name: 0 };
        let last = NameId {
            domain: u64::MAX,
            name: u64::MAX,
        };
        self.said
            .range((address, first)..=(address, last))
            .all(|(_, said)| said.until <= now || said.agents.contains(&agent))
    }

    fn forget(&mut self, address: IpAddr, id: NameId) {
        if let Some(said) = self.said.remove(&(address, id)) {
            self.resize(id.domain, |answers| {
                answers.remove(&(said.until, address, id));
            });
        }
    }

    fn forget_one(&mut self) -> bool {
        let oldest = self
            .sizes
            .last()
            .and_then(|(_, domain)| self.domains.get(domain)?.first().copied());
        let Some((_, address, id)) = oldest else {
            return false;
        };
        self.forget(address, id);
        true
    }

    fn resize(
        &mut self,
        domain: u64,
        change: impl FnOnce(&mut BTreeSet<(Instant, IpAddr, NameId)>),
    ) {
        let answers = self.domains.entry(domain).or_default();
        self.sizes.remove(&(answers.len(), domain));
        change(answers);
        if answers.is_empty() {
            self.domains.remove(&domain);
        } else {
            self.sizes.insert((answers.len(), domain));
        }
    }

    fn id(&self, name: &str) -> NameId {
        let mut dots = name.rmatch_indices('.');
        let domain = match (dots.next(), dots.next()) {
            (Some(_), Some((dot, _))) => name.get(dot + 1..).unwrap_or(name),
            _ => name,
        };
        NameId {
            domain: self.hasher.hash_one(domain),
            name: self.hasher.hash_one(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BANK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const AGENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 8));

    #[test]
    fn all_names_of_an_address_must_have_the_agent() {
        let now = Instant::now();
        let mut memory = Memory::new(8);
        assert!(
            memory.all_have(BANK, AGENT, now),
            "nothing speaks against it"
        );
        memory.note("a.example", &[BANK], &[OTHER, AGENT], now);
        assert!(memory.all_have(BANK, AGENT, now));
        memory.note("bank.example", &[BANK], &[], now);
        assert!(!memory.all_have(BANK, AGENT, now));
        memory.note("bank.example", &[BANK], &[AGENT], now);
        assert!(memory.all_have(BANK, AGENT, now), "it has one by now");
        assert!(!memory.all_have(BANK, OTHER, now));
    }

    #[test]
    fn an_answer_counts_for_a_day() {
        let now = Instant::now();
        let mut memory = Memory::new(8);
        memory.note("bank.example", &[BANK], &[], now);
        let later = now + KEPT - Duration::from_secs(1);
        assert!(!memory.all_have(BANK, AGENT, later));
        assert!(memory.agents("bank.example", BANK, later).is_some());
        assert!(memory.all_have(BANK, AGENT, now + KEPT));
        assert!(memory.agents("bank.example", BANK, now + KEPT).is_none());
    }

    #[test]
    fn who_makes_up_names_makes_us_forget_his_own() {
        let now = Instant::now();
        let mut memory = Memory::new(100);
        memory.note("www.bank.example", &[BANK], &[], now);
        for number in 0..10_000_u32 {
            let name = format!("{number}.evil.example");
            let address = IpAddr::from((number + 0x0a00_0000).to_be_bytes());
            let later = now + Duration::from_secs(number.into());
            memory.note(&name, &[address, BANK], &[AGENT], later);
        }
        assert_eq!(memory.said.len(), 100);
        let later = now + Duration::from_secs(10_000);
        assert!(!memory.all_have(BANK, AGENT, later));
        let answers: usize = memory.domains.values().map(BTreeSet::len).sum();
        assert_eq!((answers, memory.sizes.len()), (100, memory.domains.len()));
    }
}
