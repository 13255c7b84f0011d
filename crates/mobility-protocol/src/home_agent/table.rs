//! The mobile nodes a home agent knows, found by owner and by their next deadline.
//!
//! Built for a million of them: nodes lie side by side in slots, and a deadline that moves away, as
//! it does with each refresh, costs nothing until the old one comes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Owner;
use super::per_family::PerFamily;
use super::reachability::Proof;
use crate::security::SecurityAssociation;
use crate::{CareOfAddress, Family, HomeAddress, Identity, Stamp, Transport};

/// Where a mobile node is in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(u32);

/// A mobile node as its home agent knows it.
#[derive(Debug)]
pub(super) struct MobileNode {
    pub(super) identity: Identity,
    pub(super) association: Arc<SecurityAssociation>,
    /// That of the last accepted request.
    pub(super) last: Stamp,
    pub(super) lease: Lease,
    /// Where it was when it came, if there is a quota for who is there.
    pub(super) counted_at: Option<CareOfAddress>,
    /// Its entry among the deadlines: never later than the deadline of the lease.
    scheduled: Option<Instant>,
}

/// What a mobile node has, or had.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lease {
    Bound(Binding),
    Released {
        home_address: HomeAddress,
        /// Until when the pool keeps the address for nobody else.
        held_until: Option<Instant>,
        forget_at: Instant,
    },
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Binding {
    pub(super) home_address: HomeAddress,
    pub(super) care_of: CareOfAddress,
    /// What shows that its mobile node is there.
    pub(super) proof: Proof,
    /// What its last request came in.
    pub(super) transport: Transport,
    /// As granted, in seconds.
    pub(super) lifetime: u32,
    pub(super) expires: Instant,
}

/// A lifetime as a binding has it.
pub(super) fn seconds(lifetime: Duration) -> u32 {
    u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX)
}

impl MobileNode {
    pub(super) const fn new(
        identity: Identity,
        association: Arc<SecurityAssociation>,
        last: Stamp,
        lease: Lease,
        counted_at: Option<CareOfAddress>,
    ) -> Self {
        Self {
            identity,
            association,
            last,
            lease,
            counted_at,
            scheduled: None,
        }
    }

    pub(super) fn owner(&self) -> Owner {
        Owner::new(self.identity.clone(), &self.association)
    }

    /// Which of the two its owner may have this is.
    pub(super) const fn family(&self) -> Family {
        self.lease.home_address().family()
    }

    pub(super) const fn binding(&self) -> Option<&Binding> {
        match &self.lease {
            Lease::Bound(binding) => Some(binding),
            Lease::Released { .. } => None,
        }
    }
}

impl Lease {
    pub(super) const fn home_address(&self) -> HomeAddress {
        let (Self::Bound(Binding { home_address, .. }) | Self::Released { home_address, .. }) =
            self;
        *home_address
    }

    /// When something has to happen to it.
    const fn deadline(&self) -> Instant {
        match self {
            Self::Bound(binding) => binding.expires,
            Self::Released { forget_at, .. } => *forget_at,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Table {
    nodes: Vec<Option<MobileNode>>,
    vacant: Vec<Slot>,
    /// Only ever looked up: the order of a hash map reaches nothing.
    by_owner: PerFamily<HashMap<Owner, Slot>>,
    deadlines: BTreeSet<(Instant, Slot)>,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.by_owner.iter().map(HashMap::len).sum()
    }

    /// One past the last slot there may be a node in.
    pub(super) const fn end(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn find(&self, owner: &Owner, family: Family) -> Option<Slot> {
        self.by_owner.of(family).get(owner).copied()
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&MobileNode> {
        self.nodes.get(index(slot))?.as_ref()
    }

    /// By the number of its slot, in no particular order.
    pub(super) fn nth(&self, index: usize) -> Option<&MobileNode> {
        self.nodes.get(index)?.as_ref()
    }

    /// In no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Slot, &MobileNode)> {
        self.nodes
            .iter()
            .zip(0_u32..)
            .filter_map(|(node, number)| Some((Slot(number), node.as_ref()?)))
    }

    /// A node of an owner that is not there yet in its family; `None` if no slot is left.
    pub(super) fn insert(&mut self, node: MobileNode) -> Option<Slot> {
        let slot = match self.vacant.pop() {
            Some(slot) => slot,
            None => {
                let slot = Slot(u32::try_from(self.nodes.len()).ok()?);
                self.nodes.push(None);
                slot
            }
        };
        self.by_owner
            .of_mut(node.family())
            .insert(node.owner(), slot);
        *self.nodes.get_mut(index(slot))? = Some(node);
        self.schedule(slot);
        Some(slot)
    }

    /// Changes what a mobile node has, in the same family, after a request with this stamp.
    pub(super) fn update(&mut self, slot: Slot, stamp: Stamp, lease: Lease) {
        if let Some(node) = self.nodes.get_mut(index(slot)).and_then(Option::as_mut) {
            node.last = stamp.after(node.last);
            node.lease = lease;
            self.schedule(slot);
        }
    }

    /// A mobile node used another of its keys: it is this one its record is kept with.
    pub(super) fn authenticated(&mut self, slot: Slot, association: &Arc<SecurityAssociation>) {
        if let Some(node) = self.nodes.get_mut(index(slot)).and_then(Option::as_mut)
            && node.association.spi != association.spi
        {
            node.association = Arc::clone(association);
        }
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Option<MobileNode> {
        let node = self.nodes.get_mut(index(slot))?.take()?;
        self.by_owner.of_mut(node.family()).remove(&node.owner());
        if let Some(scheduled) = node.scheduled {
            self.deadlines.remove(&(scheduled, slot));
        }
        self.vacant.push(slot);
        if self.len() == 0 {
            *self = Self::default();
        }
        Some(node)
    }

    /// A node whose deadline has come.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Slot> {
        loop {
            let (scheduled, slot) = *self.deadlines.first()?;
            if scheduled > now {
                return None;
            }
            self.deadlines.pop_first();
            let Some(node) = self.nodes.get_mut(index(slot)).and_then(Option::as_mut) else {
                continue;
            };
            node.scheduled = None;
            if node.lease.deadline() <= now {
                return Some(slot);
            }
            self.schedule(slot);
        }
    }

    /// The next moment at which [`Table::pop_due`] may find something.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(scheduled, _)| *scheduled)
    }

    fn schedule(&mut self, slot: Slot) {
        let Some(node) = self.nodes.get_mut(index(slot)).and_then(Option::as_mut) else {
            return;
        };
        let deadline = node.lease.deadline();
        match node.scheduled {
            Some(scheduled) if scheduled <= deadline => return,
            Some(scheduled) => {
                self.deadlines.remove(&(scheduled, slot));
            }
            None => {}
        }
        node.scheduled = Some(deadline);
        self.deadlines.insert((deadline, slot));
    }
}

const fn index(slot: Slot) -> usize {
    slot.0 as usize
}
