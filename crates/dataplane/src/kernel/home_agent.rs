//! The home agent's end of all tunnels, carried by the kernel.

mod credit;
mod device;
mod reconcile;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use credit::Moves;
pub(crate) use device::remove_leftovers;
use ipnet::IpNet;
use mobility_protocol::{DataplaneChange, Family, HomeAddress};
use state::State;

use super::bindings::Bindings;
use super::channel::Channel;
use super::elements::{self, Count, Element, Elements};
use super::routes;
use super::ruleset::{self, Rules, Served};
use crate::error::Errors;
use crate::userspace::Traffic;
use crate::{Addresses, Error, Failure};

/// What the home agent's tunnels depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeAgentConfig {
    /// The name of the tunnel device of IPv4; that of IPv6 has `-6` behind it.
    pub device: String,
    /// The MTU of the device: of the path's, less 20 octets. That of IPv6 has 20 less, but no less
    /// than 1280.
    pub mtu: u16,
    /// The home agent's addresses, which tunnelled packets are taken in at: one of each family that
    /// is to be carried.
    pub addresses: Addresses,
    /// The prefixes home addresses come from.
    pub pools: Vec<IpNet>,
    /// The peers of all bindings; `None` leaves it to the first binding to tell them.
    pub correspondents: Option<Arc<[IpNet]>>,
}

/// The running backend: an `external` device for each family, a wrapping route for each home address,
/// and the table `inet chad` of the packet filter.
///
/// All of it belongs to the kernel and goes on carrying when this process dies. The next start takes
/// it over as it is; what no binding claims until [`HomeAgentTunnels::settle`] goes then.
#[derive(Debug)]
pub struct HomeAgentTunnels {
    state: Mutex<State>,
    /// Names and indexes.
    devices: Vec<(String, u32)>,
}

impl HomeAgentConfig {
    /// Those that are carried.
    pub(crate) fn families(&self) -> impl Iterator<Item = Family> {
        self.addresses.iter().map(Family::of)
    }

    pub(super) fn rules(&self) -> Rules {
        let served = self.addresses.iter().map(|address| {
            let family = Family::of(address);
            let of_family = |pool: &&IpNet| Family::of(pool.addr()) == family;
            Served {
                device: device::name(&self.device, family),
                address,
                pools: self.pools.iter().filter(of_family).copied().collect(),
            }
        });
        Rules(served.collect())
    }
}

impl HomeAgentTunnels {
    /// Makes devices and table, or takes over what a former run left, with its bindings.
    /// Packets to the pool that no binding wants are told "unreachable" before anything is carried.
    ///
    /// Everything belongs to the network namespace of the calling thread.
    ///
    /// # Errors
    /// [`Error::TunnelModule`] when the kernel has no such tunnels, [`Error::DeviceTaken`],
    /// [`Error::ExternalDevice`], [`Error::PacketFilter`], [`Error::RouteTaken`], [`Error::Netlink`].
    pub fn start(config: HomeAgentConfig) -> Result<Self, Error> {
        let mut routes = Channel::open_route()?;
        let devices = device::open(&mut routes, &config)?;
        let names: Vec<_> = devices
            .values()
            .map(|device| (device.name.clone(), device.index))
            .collect();
        let mut state = State {
            devices: devices
                .iter()
                .map(|(family, device)| (*family, device.index))
                .collect(),
            rules: config.rules(),
            routes,
            elements: Elements::open(ruleset::TABLE)?,
            bindings: Bindings::default(),
            unclaimed: BTreeSet::new(),
            moves: Moves::default(),
            correspondents: config.correspondents.clone(),
            doubtful: false,
            round: 0,
            pools: config.pools,
            cutter: None,
        };
        if let Err(error) = state.serve(&devices) {
            let mut errors = Errors::default();
            errors.note::<()>(Err(error));
            if state.bindings.len() == 0 {
                errors.note(state.remove());
            }
            return Err(errors.into_error());
        }
        tracing::info!(
            devices = ?names.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            mtu = config.mtu,
            bindings = state.bindings.len(),
            "the kernel carries packets"
        );
        Ok(Self {
            state: Mutex::new(state),
            devices: names,
        })
    }

    /// Executes changes; those of one call hold at the same time as far as the packet filter is
    /// concerned. Returns those that failed.
    #[must_use = "a binding whose tunnel failed carries nothing"]
    pub fn apply(&self, changes: impl IntoIterator<Item = DataplaneChange>) -> Vec<Failure> {
        self.lock().apply(changes)
    }

    /// Removes what a former run left and no binding has claimed.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn settle(&self) -> Result<(), Error> {
        let mut state = self.lock();
        let unclaimed = std::mem::take(&mut state.unclaimed);
        let failures = state.exchange(unclaimed.into_iter().map(|home| (home, None)).collect());
        let mut errors = Errors::default();
        for failure in failures {
            errors.note::<()>(Err(failure.error));
        }
        errors.into_result()
    }

    /// What the tunnel of this home address has carried; `None` when there is none.
    #[must_use]
    pub fn traffic(&self, home_address: HomeAddress) -> Option<Traffic> {
        let home = home_address.ip();
        let mut state = self.lock();
        state.bindings.get(home)?;
        let sets = ruleset::sets(home_address.family());
        let [received, sent] = [sets.received, sets.sent].map(|set| {
            let element = Element::of(set, elements::octets(home));
            state
                .elements
                .count(&element)
                .ok()
                .flatten()
                .unwrap_or_default()
        });
        Some(traffic(received, sent))
    }

    /// What every tunnel has carried, in one question to the kernel for each direction and family.
    #[must_use]
    pub fn all_traffic(&self) -> BTreeMap<HomeAddress, Traffic> {
        let mut state = self.lock();
        let mut counts: BTreeMap<HomeAddress, [Count; 2]> = BTreeMap::new();
        let families: Vec<_> = state.families().collect();
        for sets in families.into_iter().map(ruleset::sets) {
            for (direction, set) in [sets.received, sets.sent].into_iter().enumerate() {
                let present = state.elements.list(set).unwrap_or_default();
                for present in present {
                    if let Some(home) = elements::address(&present.element.key)
                        && let Some(count) =
                            counts.entry(home.into()).or_default().get_mut(direction)
                    {
                        *count = present.count;
                    }
                }
            }
        }
        counts
            .into_iter()
            .map(|(home, [received, sent])| (home, traffic(received, sent)))
            .collect()
    }

    /// Every counter by its name, drops as `drop_<reason>`, also those at zero.
    #[must_use]
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        let mut state = self.lock();
        let found: BTreeMap<String, Count> = state
            .elements
            .counters()
            .unwrap_or_default()
            .into_iter()
            .collect();
        ruleset::COUNTERS
            .iter()
            .map(|name| (*name, found.get(*name).map_or(0, |count| count.packets)))
            .collect()
    }

    /// Whether the devices are there.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.devices
            .iter()
            .all(|(name, index)| nix::net::if_::if_nametoindex(name.as_str()) == Ok(*index))
    }

    /// Adds again what another program has removed of routes and device settings, and tells how much
    /// that was.
    ///
    /// # Errors
    /// What could not be added.
    pub fn repair_routes(&self) -> Result<usize, Error> {
        // Many routes take long to list, and changes don't wait for that.
        let round = self.lock().round;
        let present = routes::list(&mut Channel::open_route()?)?;
        let mut state = self.lock();
        let present = match state.round == round {
            true => present,
            false => routes::list(&mut state.routes)?,
        };
        state.repair_routes(present)
    }

    /// Puts the packet filter's table in place again if another program has removed it, and tells
    /// how much was missing.
    ///
    /// # Errors
    /// What could not be added.
    pub fn repair_filter(&self) -> Result<usize, Error> {
        let mut state = self.lock();
        let mut missing = match &mut state.cutter {
            Some(cutter) => usize::from(cutter.repair()?),
            None => 0,
        };
        if state.doubtful || !state.elements.table_exists()? {
            state.doubtful = true;
            missing += state.restore_table()?.max(1);
        }
        Ok(missing)
    }

    /// Removes everything. Every step is tried.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn shutdown(&self) -> Result<(), Error> {
        self.lock().remove()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
fn traffic(received: Count, sent: Count) -> Traffic {
    Traffic {
        packets_in: received.packets,
        bytes_in: received.bytes,
        packets_out: sent.packets,
        bytes_out: sent.bytes,
        last_received: None,
    }
}
