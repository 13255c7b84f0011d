//! The addresses a home agent has to lend.
//!
//! A pool holds prefixes of one family, up to a /8 of IPv4 or /64s of IPv6, in memory proportional
//! to the addresses in use or held down. Taking and returning an address takes the same time however
//! large the pool and however full it is.
//!
//! # In which order
//! Whoever knows some lent addresses can't tell the next one. Addresses that were never lent are
//! visited in the order of a keyed permutation, of which only the position is kept;
//! returned ones wait in a list from which a random one is taken. An address that is taken without
//! being visited (restored from the store) is stepped over when its turn comes, once; so finding
//! the last free address of a full pool is as quick as finding the first. Random probing would slow
//! down as the pool fills, and a bit or a list entry for every address would cost the memory of the
//! whole prefix. When far more addresses wait in the list than are in use, the list is dropped and
//! a new permutation begun.

mod config;
mod permutation;
mod space;
#[cfg(test)]
mod tests;

pub use config::{PoolConfig, PoolError};

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use config::{check_fixed, check_prefixes};
use permutation::Permutation;
use space::{Space, reserved};

/// Every address is lent or held down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("every address of the pool is lent or held down")]
pub struct Exhausted;

/// Why a particular address can't be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// It is not among the addresses to lend: outside the prefixes, or excluded.
    #[error("the address {0} is not one the pool lends")]
    NotLent(IpAddr),
    /// Somebody has it.
    #[error("the address {0} is in use")]
    InUse(IpAddr),
}

/// How much of a prefix is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUsage {
    /// The prefix as configured.
    pub prefix: IpNet,
    /// The addresses that can be lent, fixed ones included.
    pub size: u64,
    /// Those lent now.
    pub used: u64,
    /// Those resting after use.
    pub held_down: u64,
}

/// The addresses to lend. See the [module](self) for how they are chosen.
pub struct Pool {
    space: Space,
    fixed: BTreeSet<IpAddr>,
    usage: Vec<PoolUsage>,
    hold_down: Duration,

    /// Only ever looked up: the order of a hash map reaches nothing.
    taken: HashMap<IpAddr, Taken>,
    held: usize,
    /// When the addresses held down are free again. Addresses claimed back leave an entry behind
    /// that no longer agrees with `taken`; there are never more of those than of the others.
    holds: BinaryHeap<Reverse<(Instant, IpAddr)>>,

    random: ChaCha12Rng,
    permutation: Permutation,
    /// Which permutation this is.
    epoch: u32,
    /// How far the permutation was followed.
    position: u128,
    /// The addresses that were visited and are free.
    free: Vec<IpAddr>,
    /// How many addresses are taken that were not visited.
    unvisited: u128,
}

#[derive(Clone, Copy)]
struct Taken {
    state: TakenState,
    /// The epoch in which the permutation visited the address, if it did.
    visited: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TakenState {
    InUse,
    HeldDown { until: Instant },
}

/// The longest hold-down; a longer one is cut to this. It keeps the arithmetic of time within bounds.
pub const LONGEST_HOLD_DOWN: Duration = Duration::from_secs(365 * 24 * 3600);

/// Below this many addresses no memory is worth saving.
const SLACK: usize = 1024;

const NEVER: u32 = 0;

impl Pool {
    /// A pool with nothing lent. The seed decides the order and has to be secret.
    ///
    /// # Errors
    /// [`PoolError`] when the configuration contradicts itself or asks for too much.
    pub fn new(config: PoolConfig, seed: [u8; 32]) -> Result<Self, PoolError> {
        check_prefixes(&config.prefixes)?;
        check_fixed(&config.prefixes, &config.fixed)?;
        let gaps = config
            .prefixes
            .iter()
            .flat_map(reserved)
            .chain(config.fixed.iter().copied())
            .map(IpNet::from)
            .chain(config.exclude);
        let space = Space::new(&config.prefixes, gaps)?;
        let usage = config
            .prefixes
            .iter()
            .map(|prefix| {
                let fixed = config
                    .fixed
                    .iter()
                    .filter(|address| prefix.contains(*address));
                let size = space.size_within(prefix) + fixed.count() as u128;
                PoolUsage {
                    prefix: *prefix,
                    size: u64::try_from(size).unwrap_or(u64::MAX),
                    used: 0,
                    held_down: 0,
                }
            })
            .collect();
        let mut random = ChaCha12Rng::from_seed(seed);
        let permutation = Permutation::new(key(&mut random), space.size());
        Ok(Self {
            space,
            fixed: config.fixed,
            usage,
            hold_down: config.hold_down.min(LONGEST_HOLD_DOWN),
            taken: HashMap::new(),
            held: 0,
            holds: BinaryHeap::new(),
            random,
            permutation,
            epoch: NEVER + 1,
            position: 0,
            free: Vec::new(),
            unvisited: 0,
        })
    }

    /// Lends some address.
    ///
    /// # Errors
    /// [`Exhausted`] when every address is lent or held down.
    pub fn allocate(&mut self, now: Instant) -> Result<IpAddr, Exhausted> {
        self.handle_timeout(now);
        self.settle();
        let address = match self.free.len() {
            0 => self.next_unvisited().ok_or(Exhausted)?,
            length => {
                let choice = self.random.next_u64() % length as u64;
                self.free.swap_remove(usize::try_from(choice).unwrap_or(0))
            }
        };
        self.take(address, TakenState::InUse, self.epoch);
        Ok(address)
    }

    /// Lends this address: a fixed one, one held down for whoever had it last, or one restored from
    /// the store. An address that was lent before and is free again is looked for among all such:
    /// restoring belongs before the first [`Pool::allocate`].
    ///
    /// # Errors
    /// [`ClaimError`] when it is in use or not one to lend.
    pub fn claim(&mut self, address: IpAddr) -> Result<(), ClaimError> {
        self.take_unvisited(address, TakenState::InUse)
    }

    /// Holds this address down until then, restored from the store.
    ///
    /// # Errors
    /// [`ClaimError`] when it is in use or not one to lend.
    pub fn hold(&mut self, address: IpAddr, until: Instant) -> Result<(), ClaimError> {
        self.take_unvisited(address, TakenState::HeldDown { until })?;
        self.holds.push(Reverse((until, address)));
        Ok(())
    }

    /// Takes an address back and holds it down; says until when. Fixed addresses, whose next user is
    /// their last, and addresses that are not lent are not held down.
    pub fn release(&mut self, address: IpAddr, now: Instant) -> Option<Instant> {
        if !matches!(self.taken.get(&address)?.state, TakenState::InUse) {
            return None;
        }
        let until = now + self.hold_down;
        if self.hold_down.is_zero() || self.fixed.contains(&address) {
            self.forget(address);
            return None;
        }
        self.set_state(address, TakenState::HeldDown { until });
        self.holds.push(Reverse((until, address)));
        if self.holds.len() > 2 * self.held + SLACK {
            let taken = &self.taken;
            self.holds
                .retain(|Reverse((until, address))| is_held_until(taken, address, *until));
            self.holds.shrink_to(2 * self.holds.len());
        }
        Some(until)
    }

    /// Frees the addresses whose hold-down is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(Reverse((until, address))) = self.holds.peek().copied() {
            if until > now {
                break;
            }
            self.holds.pop();
            if is_held_until(&self.taken, &address, until) {
                self.forget(address);
            }
        }
    }

    /// When the next hold-down is over.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.holds.peek().map(|Reverse((until, _))| *until)
    }

    /// Does now what the first [`Pool::allocate`] after many [`Pool::claim`]s would otherwise have
    /// to do: it takes as long as the claims took.
    pub fn settle(&mut self) {
        // Stepping over taken addresses is quick while most are free. Where most are not, the rest
        // of the permutation holds fewer addresses than twice those claimed, and is visited whole.
        if 2 * self.unvisited > self.space.size() - self.position {
            if self.position == 0 {
                // Everything will be visited: no order hides anything, the plain one is cheapest.
                self.permutation = Permutation::identity(self.space.size());
            }
            while let Some(address) = self.next_unvisited() {
                self.free.push(address);
            }
        }
    }

    /// Whether this address is in one of the pool's prefixes, excluded or not.
    #[must_use]
    pub fn covers(&self, address: IpAddr) -> bool {
        self.usage
            .iter()
            .any(|usage| usage.prefix.contains(&address))
    }

    /// Whether this address is set aside for somebody.
    #[must_use]
    pub fn is_fixed(&self, address: IpAddr) -> bool {
        self.fixed.contains(&address)
    }

    /// How much of each prefix is taken, in the order of the configuration.
    #[must_use]
    pub fn usage(&self) -> &[PoolUsage] {
        &self.usage
    }

    /// The next address of the permutation that is free, marking those stepped over as visited.
    fn next_unvisited(&mut self) -> Option<IpAddr> {
        while self.position < self.space.size() {
            let number = self.permutation.at(self.position);
            self.position += 1;
            let address = self.space.address(number)?;
            match self.taken.get_mut(&address) {
                Some(taken) => {
                    taken.visited = self.epoch;
                    self.unvisited -= 1;
                }
                None => return Some(address),
            }
        }
        None
    }

    fn take_unvisited(&mut self, address: IpAddr, state: TakenState) -> Result<(), ClaimError> {
        match self.taken.get(&address).map(|taken| taken.state) {
            Some(TakenState::InUse) => Err(ClaimError::InUse(address)),
            Some(TakenState::HeldDown { .. }) => {
                self.set_state(address, state);
                Ok(())
            }
            None if self.fixed.contains(&address) => {
                self.take(address, state, self.epoch);
                Ok(())
            }
            None if self.space.contains(address) => {
                let visited = match self.free.iter().position(|free| *free == address) {
                    Some(index) => {
                        self.free.swap_remove(index);
                        self.epoch
                    }
                    None => {
                        self.unvisited += 1;
                        NEVER
                    }
                };
                self.take(address, state, visited);
                Ok(())
            }
            None => Err(ClaimError::NotLent(address)),
        }
    }

    fn take(&mut self, address: IpAddr, state: TakenState, visited: u32) {
        self.taken.insert(address, Taken { state, visited });
        self.count(address, state, 1);
    }

    fn set_state(&mut self, address: IpAddr, state: TakenState) {
        if let Some(taken) = self.taken.get_mut(&address) {
            let former = std::mem::replace(&mut taken.state, state);
            self.count(address, former, -1);
            self.count(address, state, 1);
        }
    }

    fn forget(&mut self, address: IpAddr) {
        let Some(taken) = self.taken.remove(&address) else {
            return;
        };
        self.count(address, taken.state, -1);
        if self.taken.capacity() > 8 * self.taken.len() + SLACK {
            self.taken.shrink_to(2 * self.taken.len());
        }
        if self.fixed.contains(&address) {
            return;
        }
        if taken.visited != self.epoch {
            self.unvisited -= 1;
            return;
        }
        self.free.push(address);
        if self.free.len() > 4 * self.taken.len() + SLACK {
            self.begin_epoch();
        }
    }

    /// Gives back the memory of a time when more addresses were in use.
    fn begin_epoch(&mut self) {
        self.permutation = Permutation::new(key(&mut self.random), self.space.size());
        self.epoch = self.epoch.wrapping_add(1).max(NEVER + 1);
        self.position = 0;
        self.free = Vec::new();
        let fixed = self
            .fixed
            .iter()
            .filter(|address| self.taken.contains_key(address));
        self.unvisited = (self.taken.len() - fixed.count()) as u128;
    }

    fn count(&mut self, address: IpAddr, state: TakenState, change: i64) {
        if matches!(state, TakenState::HeldDown { .. }) {
            self.held = self
                .held
                .saturating_add_signed(if change < 0 { -1 } else { 1 });
        }
        let usage = self
            .usage
            .iter_mut()
            .find(|usage| usage.prefix.contains(&address));
        if let Some(usage) = usage {
            let counter = match state {
                TakenState::InUse => &mut usage.used,
                TakenState::HeldDown { .. } => &mut usage.held_down,
            };
            *counter = counter.saturating_add_signed(change);
        }
    }
}

fn is_held_until(taken: &HashMap<IpAddr, Taken>, address: &IpAddr, until: Instant) -> bool {
    taken
        .get(address)
        .is_some_and(|taken| taken.state == TakenState::HeldDown { until })
}

fn key(random: &mut ChaCha12Rng) -> [u8; 32] {
    let mut key = [0; 32];
    random.fill_bytes(&mut key);
    key
}
