//! The pools of both families as one.

use std::net::IpAddr;
use std::time::Instant;

use super::message::Reason;
use super::per_family::PerFamily;
use crate::pool::{Pool, PoolUsage};
use crate::{Family, HomeAddress};

/// A pool for each family that is served.
pub(super) struct Pools(pub(super) PerFamily<Option<Pool>>);

impl Pools {
    /// Lends some address.
    pub(super) fn allocate(&mut self, family: Family, now: Instant) -> Result<HomeAddress, Reason> {
        let pool = self.0.of_mut(family).as_mut().ok_or(Reason::Resources)?;
        pool.allocate(now)
            .map(HomeAddress)
            .map_err(|_| Reason::Resources)
    }

    /// Lends this address, if it is one to lend and nobody has it.
    pub(super) fn claim(&mut self, address: HomeAddress) -> Result<(), Reason> {
        let pool = self.of_mut(address).ok_or(Reason::Resources)?;
        pool.claim(address.ip()).map_err(|_| Reason::Resources)
    }

    /// Holds this address down until then; false if it is none to hold.
    pub(super) fn hold(&mut self, address: HomeAddress, until: Instant) -> bool {
        self.of_mut(address)
            .is_some_and(|pool| pool.hold(address.ip(), until).is_ok())
    }

    /// Takes an address back; says until when it is held down, if it is.
    pub(super) fn release(&mut self, address: HomeAddress, now: Instant) -> Option<Instant> {
        self.of_mut(address)?.release(address.ip(), now)
    }

    /// Whether this address is in a prefix of the pools.
    pub(super) fn covers(&self, address: IpAddr) -> bool {
        self.of(address).is_some_and(|pool| pool.covers(address))
    }

    /// Whether this address is set aside for somebody.
    pub(super) fn is_fixed(&self, address: HomeAddress) -> bool {
        self.of(address.ip())
            .is_some_and(|pool| pool.is_fixed(address.ip()))
    }

    /// How much of each prefix is taken, those of IPv4 first.
    pub(super) fn usage(&self) -> impl Iterator<Item = &PoolUsage> {
        self.0.iter().flatten().flat_map(Pool::usage)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        for pool in self.0.iter_mut().flatten() {
            pool.handle_timeout(now);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.0.iter().flatten().filter_map(Pool::poll_timeout).min()
    }

    /// To be called after many addresses were claimed (see [`Pool::settle`]).
    pub(super) fn settle(&mut self) {
        for pool in self.0.iter_mut().flatten() {
            pool.settle();
        }
    }

    fn of(&self, address: IpAddr) -> Option<&Pool> {
        self.0.of(Family::of(address)).as_ref()
    }

    fn of_mut(&mut self, address: HomeAddress) -> Option<&mut Pool> {
        self.0.of_mut(address.family()).as_mut()
    }
}
