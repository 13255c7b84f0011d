//! What must be true, kept beside the machines and independent of them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mobility_protocol::home_agent::{Owner, StoreChange, StoredLease};
use mobility_protocol::{HomeAddress, HomeAgentAddress};

/// Who had an address last, and until when, if it was given back.
#[derive(Debug, Clone)]
struct Tenure {
    owner: Owner,
    ended: Option<Instant>,
}

/// The reference model: the leases that were made durable, and the tunnels mobile nodes carry.
#[derive(Debug)]
pub(crate) struct Model {
    hold_down: Duration,
    tenures: BTreeMap<(HomeAgentAddress, HomeAddress), Tenure>,
    held: BTreeMap<(HomeAgentAddress, Owner), HomeAddress>,
    carried: BTreeMap<HomeAddress, usize>,
    /// Addresses whose home agent lost its store: it may lend them again while the mobile node does
    /// not know yet.
    amnesia: bool,
}

impl Model {
    pub(crate) fn new(hold_down: Duration) -> Self {
        Self {
            hold_down,
            tenures: BTreeMap::new(),
            held: BTreeMap::new(),
            carried: BTreeMap::new(),
            amnesia: false,
        }
    }

    /// A home agent made this durable.
    pub(crate) fn committed(
        &mut self,
        agent: HomeAgentAddress,
        change: &StoreChange,
        now: Instant,
    ) {
        let StoreChange::Put(record) = change else {
            return;
        };
        let owner = record.owner();
        match record.lease {
            StoredLease::Bound { home_address, .. } => self.lent(agent, owner, home_address, now),
            StoredLease::Released { home_address, .. } => {
                self.returned(agent, &owner, home_address, now)
            }
        }
    }

    /// A home agent lost everything it knew.
    pub(crate) fn forgot(&mut self, agent: HomeAgentAddress) {
        self.amnesia = true;
        self.tenures.retain(|(lender, _), _| *lender != agent);
        self.held.retain(|(lender, _), _| *lender != agent);
    }

    pub(crate) fn has_amnesia(&self) -> bool {
        self.amnesia
    }

    /// A mobile node's data path carries this address from now on.
    pub(crate) fn carries(&mut self, laptop: usize, home_address: HomeAddress) {
        let before = self.carried.insert(home_address, laptop);
        assert!(
            self.amnesia || before.is_none_or(|before| before == laptop),
            "{home_address} is carried by laptops {before:?} and {laptop} at a time"
        );
    }

    /// A mobile node's data path carries this address no longer.
    pub(crate) fn drops(&mut self, laptop: usize, home_address: HomeAddress) {
        if self.carried.get(&home_address) == Some(&laptop) {
            self.carried.remove(&home_address);
        }
    }

    /// How many addresses of this agent are lent.
    pub(crate) fn lent_by(&self, agent: HomeAgentAddress) -> usize {
        self.held
            .keys()
            .filter(|(lender, _)| *lender == agent)
            .count()
    }

    pub(crate) fn carried(&self) -> usize {
        self.carried.len()
    }

    fn lent(
        &mut self,
        agent: HomeAgentAddress,
        owner: Owner,
        home_address: HomeAddress,
        now: Instant,
    ) {
        if let Some(tenure) = self.tenures.get(&(agent, home_address))
            && tenure.owner != owner
        {
            let ended = tenure.ended;
            assert!(
                ended.is_some(),
                "{agent} lends {home_address} to {owner:?} and {:?}",
                tenure.owner
            );
            assert!(
                ended.is_some_and(|ended| now.saturating_duration_since(ended) >= self.hold_down),
                "{agent} lends {home_address} to {owner:?} within the hold-down of {:?}",
                tenure.owner
            );
        }
        let before = self.held.insert((agent, owner.clone()), home_address);
        assert!(
            before.is_none_or(|before| before == home_address),
            "{agent} lends {owner:?} a second address, {home_address} beside {before:?}"
        );
        self.tenures
            .insert((agent, home_address), Tenure { owner, ended: None });
    }

    fn returned(
        &mut self,
        agent: HomeAgentAddress,
        owner: &Owner,
        home_address: HomeAddress,
        now: Instant,
    ) {
        if self.held.remove(&(agent, owner.clone())).is_some()
            && let Some(tenure) = self.tenures.get_mut(&(agent, home_address))
        {
            tenure.ended = Some(now);
        }
    }
}
