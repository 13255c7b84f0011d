//! The home agent's end of all tunnels, carried by the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::{IpNet, Ipv4Net};
use mobility_protocol::{DataplaneChange, HomeAddress, Tunnel};

use super::bindings::{Binding, Bindings};
use super::channel::Channel;
use super::device::{self, Device, Form};
use super::elements::{Count, Element, Elements};
use super::message::Message;
use super::program::remove_table;
use super::routes::{self, Wrap};
use super::ruleset::{self, Rules};
use super::{ipv4, ipv4_prefixes};
use crate::error::Errors;
use crate::netlink::home_agent::unreachable_routes;
use crate::netlink::messages::Route;
use crate::netlink::sysctl::Setting;
use crate::userspace::Traffic;
use crate::{Error, Failure};

/// What the home agent's tunnels depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeAgentConfig {
    /// The name of the tunnel device.
    pub device: String,
    /// The MTU of the device.
    pub mtu: u16,
    /// The home agent's address, which tunnelled packets are taken in at.
    pub address: Ipv4Addr,
    /// The prefixes home addresses come from.
    pub pools: Vec<Ipv4Net>,
    /// The peers of all bindings; `None` leaves it to the first binding to tell them.
    pub correspondents: Option<Arc<[IpNet]>>,
}

/// The running backend: one `external` device, a wrapping route for each home address, and the table
/// `inet chad` of the packet filter.
///
/// All of it belongs to the kernel and goes on carrying when this process dies. The next start takes
/// it over as it is; what no binding claims until [`HomeAgentTunnels::settle`] goes then.
#[derive(Debug)]
pub struct HomeAgentTunnels {
    state: Mutex<State>,
    config: HomeAgentConfig,
    index: u32,
}

impl HomeAgentConfig {
    pub(super) fn rules(&self) -> Rules<'_> {
        Rules {
            device: &self.device,
            address: self.address,
            pools: &self.pools,
        }
    }
}

#[derive(Debug)]
struct State {
    config: HomeAgentConfig,
    index: u32,
    routes: Channel,
    elements: Elements,
    bindings: Bindings,
    /// Taken over from a former run and not claimed yet.
    unclaimed: BTreeSet<Ipv4Addr>,
    /// The peers of all home addresses, once the first binding has told.
    correspondents: Option<Arc<[IpNet]>>,
    /// A transaction has failed: kernel and bindings may differ.
    doubtful: bool,
    /// Counts changes of bindings.
    round: u64,
}

impl HomeAgentTunnels {
    /// Makes the device and the table, or takes over what a former run left, with its bindings.
    /// Packets to the pool that no binding wants are told "unreachable" before anything is carried.
    ///
    /// Everything belongs to the network namespace of the calling thread.
    ///
    /// # Errors
    /// [`Error::TunnelModule`] when the kernel has no such tunnels, [`Error::DeviceTaken`],
    /// [`Error::ExternalDevice`], [`Error::PacketFilter`], [`Error::RouteTaken`], [`Error::Netlink`].
    pub fn start(config: HomeAgentConfig) -> Result<Self, Error> {
        let mut routes = Channel::open_route()?;
        let device = match find(&mut routes, &config)? {
            Some(device) => device,
            None => make(&mut routes, &config)?,
        };
        let mut state = State {
            index: device.index,
            routes,
            elements: Elements::open(ruleset::TABLE)?,
            bindings: Bindings::default(),
            unclaimed: BTreeSet::new(),
            correspondents: config.correspondents.clone(),
            doubtful: false,
            round: 0,
            config: config.clone(),
        };
        if let Err(error) = state.serve(&device) {
            let mut errors = Errors::default();
            errors.note::<()>(Err(error));
            if state.bindings.len() == 0 {
                errors.note(state.remove());
            }
            return Err(errors.into_error());
        }
        tracing::info!(
            device = config.device,
            mtu = config.mtu,
            bindings = state.bindings.len(),
            "the kernel carries packets"
        );
        Ok(Self {
            index: state.index,
            state: Mutex::new(state),
            config,
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
        let IpAddr::V4(home) = home_address.ip() else {
            return None;
        };
        let mut state = self.lock();
        state.bindings.get(home)?;
        let [received, sent] = [ruleset::RECEIVED, ruleset::SENT].map(|set| {
            let element = Element::of(set, home.octets().to_vec());
            state
                .elements
                .count(&element)
                .ok()
                .flatten()
                .unwrap_or_default()
        });
        Some(traffic(received, sent))
    }

    /// What every tunnel has carried, in one question to the kernel for each direction.
    #[must_use]
    pub fn all_traffic(&self) -> BTreeMap<HomeAddress, Traffic> {
        let mut state = self.lock();
        let mut counts: BTreeMap<HomeAddress, [Count; 2]> = BTreeMap::new();
        for (direction, set) in [ruleset::RECEIVED, ruleset::SENT].into_iter().enumerate() {
            let present = state.elements.list(set).unwrap_or_default();
            for present in present {
                if let Some(home) = address(&present.element.key)
                    && let Some(count) = counts.entry(home.into()).or_default().get_mut(direction)
                {
                    *count = present.count;
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

    /// Whether the device is there.
    #[must_use]
    pub fn is_running(&self) -> bool {
        nix::net::if_::if_nametoindex(self.config.device.as_str()) == Ok(self.index)
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
        if !state.doubtful && state.elements.table_exists()? {
            return Ok(0);
        }
        state.doubtful = true;
        state.restore_table().map(|missing| missing.max(1))
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

impl State {
    /// Order matters: nothing is carried before it is checked.
    fn serve(&mut self, device: &Device) -> Result<(), Error> {
        let present = routes::list(&mut self.routes)?;
        self.guard(&present.others)?;
        self.install_rules()?;
        self.take_over(&present.wraps)?;
        // The way back to a home address is this device; whatever else comes out of it is false, even
        // while somebody has flushed the packet filter.
        Setting::ipv4_device(&self.config.device, "rp_filter").set("1")?;
        if !device.up {
            device::bring_up(&mut self.routes, self.index)?;
        }
        Ok(())
    }

    fn install_rules(&self) -> Result<(), Error> {
        let correspondents = self.correspondents.as_ref().map(|all| ipv4_prefixes(all));
        self.config
            .rules()
            .install(correspondents.as_deref())
            .map_err(Error::PacketFilter)
    }

    /// The `unreachable` routes, and none of ours beside them but those that wrap.
    fn guard(
        &mut self,
        present: &[netlink_packet_route::route::RouteMessage],
    ) -> Result<usize, Error> {
        let pools: Vec<_> = self.config.pools.iter().copied().map(IpNet::V4).collect();
        let mut missing: BTreeSet<Route> = unreachable_routes(&pools).collect();
        let mut surplus = Vec::new();
        for message in present {
            if !Route::from_message(message).is_some_and(|route| missing.remove(&route)) {
                surplus.push(routes::remove(message));
            }
        }
        let missing: Vec<Route> = missing.into_iter().collect();
        let mut added: Vec<Message> = missing.iter().map(routes::add).collect();
        let attempt = "make the pool unreachable";
        let refused = self.routes.change(attempt, &mut added)?;
        if let Some((at, source)) = refused.into_iter().next() {
            let error = Error::Netlink {
                attempt: attempt.to_owned(),
                source,
            };
            return Err(match missing.get(at) {
                Some(route) if error.is_present() => Error::RouteTaken {
                    destination: route.destination,
                    table: route.table,
                },
                _ => error,
            });
        }
        // What could not be removed was not there any longer.
        self.routes.change("remove a route", &mut surplus)?;
        Ok(missing.len())
    }

    /// The bindings of a former run: those that its routes and the packet filter agree about.
    fn take_over(&mut self, wraps: &[(Wrap, u32)]) -> Result<(), Error> {
        let marks = self
            .elements
            .list(ruleset::CARE_OF)?
            .into_iter()
            .filter_map(|present| {
                let mark = present.element.value?.try_into().ok()?;
                Some((address(&present.element.key)?, u32::from_ne_bytes(mark)))
            })
            .collect();
        let pairs = self
            .elements
            .list(ruleset::BINDINGS)?
            .into_iter()
            .filter_map(|present| {
                let (mark, home) = present.element.key.split_first_chunk()?;
                Some((u32::from_ne_bytes(*mark), address(home)?))
            })
            .collect();
        let (mine, others): (Vec<(Wrap, u32)>, Vec<_>) =
            wraps.iter().partition(|(_, index)| *index == self.index);
        let routed = mine
            .into_iter()
            .map(|(wrap, _)| {
                let binding = Binding {
                    local: wrap.local,
                    remote: wrap.remote,
                    former: None,
                };
                (wrap.home, binding)
            })
            .collect();
        let mut surplus: Vec<Message> = others
            .into_iter()
            .map(|(wrap, index)| wrap.remove(index))
            .collect();
        self.routes.change("remove a route", &mut surplus)?;
        self.bindings = Bindings::take_over(&marks, &pairs, &routed);
        self.unclaimed = self.bindings.homes().collect();
        self.reconcile().map(drop)
    }

    /// Brings the elements in the kernel to what the bindings need, and tells how many were missing.
    fn reconcile(&mut self) -> Result<usize, Error> {
        let mut surplus = Vec::new();
        let mut missing = self.bindings.all_elements();
        for set in ruleset::SETS {
            for present in self.elements.list(set)? {
                if !missing.remove(&present.element) {
                    surplus.push(present.element);
                }
            }
        }
        let missing: Vec<Element> = missing.into_iter().collect();
        // A care-of address with another mark must go before it can come.
        self.elements.change(&[], &surplus)?;
        self.elements.change(&missing, &[])?;
        self.doubtful = false;
        Ok(missing.len())
    }

    fn apply(&mut self, changes: impl IntoIterator<Item = DataplaneChange>) -> Vec<Failure> {
        let mut failures = Vec::new();
        let mut after = BTreeMap::new();
        for change in changes {
            let (home_address, result) = match &change {
                DataplaneChange::Install(tunnel) => (tunnel.home_address, self.understand(tunnel)),
                DataplaneChange::Remove(home_address) => (
                    *home_address,
                    ipv4(home_address.ip()).map(|home| (home, None)),
                ),
            };
            match result {
                Ok((home, binding)) => {
                    self.unclaimed.remove(&home);
                    after.insert(home, binding);
                }
                Err(error) => failures.push(Failure {
                    home_address,
                    error,
                }),
            }
        }
        failures.extend(self.exchange(after));
        failures
    }

    /// What an install asks for. The first one tells the peers of all.
    fn understand(&mut self, tunnel: &Tunnel) -> Result<(Ipv4Addr, Option<Binding>), Error> {
        let home = ipv4(tunnel.home_address.ip())?;
        let binding = Binding {
            local: ipv4(tunnel.endpoints.local)?,
            remote: ipv4(tunnel.endpoints.remote)?,
            former: tunnel.former_remote.map(ipv4).transpose()?,
        };
        match &self.correspondents {
            Some(known)
                if Arc::ptr_eq(known, &tunnel.correspondents)
                    || *known == tunnel.correspondents => {}
            Some(_) => return Err(Error::CorrespondentsDiffer),
            None => {
                ruleset::set_correspondents(&ipv4_prefixes(&tunnel.correspondents))
                    .map_err(Error::PacketFilter)?;
                self.correspondents = Some(Arc::clone(&tunnel.correspondents));
            }
        }
        Ok((home, Some(binding)))
    }

    /// First the packet filter takes in from the new addresses, then packets go there: at a move
    /// nothing is lost.
    fn exchange(&mut self, after: BTreeMap<Ipv4Addr, Option<Binding>>) -> Vec<Failure> {
        self.round = self.round.wrapping_add(1);
        let way = |home: Ipv4Addr, binding: Option<Binding>| {
            binding.map(|binding| Wrap {
                home,
                local: binding.local,
                remote: binding.remote,
            })
        };
        let former: Vec<Option<Wrap>> = after
            .keys()
            .map(|home| way(*home, self.bindings.get(*home)))
            .collect();
        let difference = self.bindings.exchange(&after);
        let changed = if self.doubtful {
            self.reconcile().map(drop)
        } else {
            self.elements
                .change(&difference.add, &difference.remove)
                .or_else(|error| {
                    tracing::warn!(%error, "the packet filter is not as it was left; comparing all of it");
                    self.doubtful = true;
                    self.restore_table().map(drop)
                })
        };
        let mut failures = Vec::new();
        if let Err(error) = changed {
            let error = Arc::new(error);
            failures.extend(after.keys().map(|home| Failure {
                home_address: (*home).into(),
                error: Error::Shared(Arc::clone(&error)),
            }));
        }
        let mut homes = Vec::new();
        let mut messages = Vec::new();
        for ((home, binding), former) in after.into_iter().zip(former) {
            let now = way(home, binding);
            if now == former {
                continue;
            }
            match (now, former) {
                (Some(now), _) => messages.push(now.install(self.index)),
                (None, Some(former)) => messages.push(former.remove(self.index)),
                (None, None) => continue,
            }
            homes.push((home, now.is_none()));
        }
        let attempt = "change the route of a home address";
        match self.routes.change(attempt, &mut messages) {
            Ok(refused) => {
                for (at, source) in refused {
                    let error = Error::Netlink {
                        attempt: attempt.to_owned(),
                        source,
                    };
                    match homes.get(at) {
                        Some((_, true)) if error.is_absent() => {}
                        Some((home, _)) => failures.push(Failure {
                            home_address: (*home).into(),
                            error,
                        }),
                        None => {}
                    }
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                failures.extend(homes.into_iter().map(|(home, _)| Failure {
                    home_address: home.into(),
                    error: Error::Shared(Arc::clone(&error)),
                }));
            }
        }
        failures
    }

    /// The table with its rules, peers and elements, whatever became of it.
    fn restore_table(&mut self) -> Result<usize, Error> {
        self.install_rules()?;
        self.reconcile()
    }

    fn repair_routes(&mut self, present: routes::Present) -> Result<usize, Error> {
        match device::get(&mut self.routes, self.index)? {
            None => return Err(Error::NoDevice(self.config.device.clone())),
            Some(device) if !device.up => device::bring_up(&mut self.routes, self.index)?,
            Some(_) => {}
        }
        let added = self.guard(&present.others)?;
        let mut missing: BTreeMap<Ipv4Addr, Wrap> = self
            .bindings
            .homes()
            .filter_map(|home| {
                let binding = self.bindings.get(home)?;
                let wrap = Wrap {
                    home,
                    local: binding.local,
                    remote: binding.remote,
                };
                Some((home, wrap))
            })
            .collect();
        for (wrap, index) in present.wraps {
            if index == self.index && missing.get(&wrap.home) == Some(&wrap) {
                missing.remove(&wrap.home);
            }
        }
        let mut messages: Vec<Message> = missing
            .values()
            .map(|wrap| wrap.install(self.index))
            .collect();
        let refused = self.routes.change("add a route again", &mut messages)?;
        Ok(added + messages.len() - refused.len())
    }

    /// The device takes its routes along; the `unreachable` ones outlive it, so that no packet to the
    /// pool takes the default route meanwhile.
    fn remove(&mut self) -> Result<(), Error> {
        let mut errors = Errors::default();
        errors.note(device::delete(&mut self.routes, self.index));
        errors.note(remove_table(&mut self.elements, ruleset::TABLE));
        if let Some(present) = errors.note(routes::list(&mut self.routes)) {
            let wraps = present
                .wraps
                .iter()
                .map(|(wrap, index)| wrap.remove(*index));
            let others = present.others.iter().map(routes::remove);
            let mut messages: Vec<Message> = wraps.chain(others).collect();
            errors.note(self.routes.change("remove a route", &mut messages));
        }
        errors.into_result()
    }
}

/// The device of a former run; `None` when there is none.
fn find(channel: &mut Channel, config: &HomeAgentConfig) -> Result<Option<Device>, Error> {
    let devices = device::list(channel)?;
    let found = devices
        .into_iter()
        .find(|device| device.name == config.device);
    match found {
        Some(found) if found.form == Some(Form::External) => Ok(Some(found)),
        Some(found) => Err(Error::DeviceTaken(found.name)),
        None => Ok(None),
    }
}

fn make(channel: &mut Channel, config: &HomeAgentConfig) -> Result<Device, Error> {
    let made = device::create(channel, &config.device, Form::External, config.mtu);
    if let Err(error) = made {
        // The kernel has one such device for each namespace.
        let other = device::list(channel)?
            .into_iter()
            .find(|device| device.form == Some(Form::External));
        return Err(match other {
            Some(other) if error.is_present() => Error::ExternalDevice(other.name),
            _ => device::explain(error),
        });
    }
    find(channel, config)?.ok_or_else(|| Error::NoDevice(config.device.clone()))
}

/// Removes device and table that the kernel backend of a former run left, so that another backend
/// can take their place.
///
/// # Errors
/// What could not be removed.
pub(crate) fn remove_leftovers(device: &str) -> Result<(), Error> {
    let mut channel = Channel::open_route()?;
    let mut found = false;
    for present in device::list(&mut channel)? {
        if present.name == device && present.form == Some(Form::External) {
            found = true;
            device::delete(&mut channel, present.index)?;
        }
    }
    if found {
        remove_table(&mut Elements::open(ruleset::TABLE)?, ruleset::TABLE)?;
    }
    Ok(())
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

fn address(octets: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(octets).ok().map(Ipv4Addr::from)
}
