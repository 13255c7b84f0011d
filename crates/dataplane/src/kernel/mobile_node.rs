//! The mobile node's ends of its tunnels, carried by the kernel.
//!
//! For each home agent two devices: `mn0` sends and receives with the care-of address, and `mn0-in`
//! takes in what the home agent still sends to the one before. A move changes the ends of `mn0`;
//! routes through it stay as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use mobility_protocol::{HomeAddress, Tunnel};

use super::channel::Channel;
use super::cutter::{self, Cutter};
use super::device::{self, Device, Ends, Form};
use super::elements::Element;
use super::filter::{self, Filter};
use crate::Error;
use crate::error::Errors;
use crate::userspace::Traffic;

/// The running backend: devices in the group 67, and the table `inet mn-agent` of the packet filter.
///
/// All of it belongs to the kernel and goes on carrying when this process dies. The next start takes
/// it over as it is; what no binding claims until [`MobileNodeTunnels::settle`] goes then.
#[derive(Debug)]
pub struct MobileNodeTunnels {
    state: Mutex<State>,
    /// The first part of the names of devices.
    stem: String,
    mtu: u16,
}

#[derive(Debug)]
struct State {
    channel: Channel,
    filter: Filter,
    /// From the first binding of IPv6 on.
    cutter: Option<Cutter>,
    /// The kernel has no way to cut.
    uncut: bool,
    /// By the home agent's address: the kernel has no two devices with the same ends.
    pairs: BTreeMap<IpAddr, Pair>,
    tunnels: BTreeMap<HomeAddress, Tunnel>,
    /// Nothing is left of a former run that a binding could still claim.
    settled: bool,
}

/// The devices toward one home agent.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pair {
    name: String,
    index: u32,
    /// What the device sends from, and by which interface.
    ends: Ends,
    /// The index of the device that takes in what is sent to former care-of addresses.
    inbound: u32,
}

/// The table of the packet filter for narrow paths, and the number of its queue.
const NARROW_TABLE: &str = "mn-agent-narrow";
const NARROW_QUEUE: u16 = 4340;

/// What follows the name of a device in that of its inbound one.
const INBOUND: &str = "-in";

impl MobileNodeTunnels {
    /// Puts the packet filter's table in place and takes over the devices of a former run. `device`
    /// is the name of the first device; the others count on from it.
    ///
    /// Everything belongs to the network namespace of the calling thread.
    ///
    /// # Errors
    /// [`Error::Netlink`], [`Error::Timeout`].
    pub fn start(device: &str, mtu: u16) -> Result<Self, Error> {
        let mut channel = Channel::open_route()?;
        let filter = Filter::open()?;
        let pairs = former_pairs(device::list(&mut channel)?);
        tracing::info!(taken_over = pairs.len(), "the kernel carries packets");
        Ok(Self {
            state: Mutex::new(State {
                channel,
                filter,
                cutter: None,
                uncut: false,
                pairs,
                tunnels: BTreeMap::new(),
                settled: false,
            }),
            stem: device
                .trim_end_matches(|c: char| c.is_ascii_digit())
                .to_owned(),
            mtu,
        })
    }

    /// Carries a binding, or carries it elsewhere from now on, and returns the index of the device
    /// its packets go by.
    ///
    /// # Errors
    /// [`Error::MixedFamilies`], [`Error::Netlink`], [`Error::Sysctl`]; nothing has changed for this binding
    /// then.
    pub fn install(&self, tunnel: &Tunnel) -> Result<u32, Error> {
        let mut state = self.lock();
        let remote = tunnel.endpoints.remote;
        let ends = Ends::new(tunnel.endpoints)
            .filter(|ends| ends.family() == tunnel.home_address.family())
            .ok_or(Error::MixedFamilies {
                home_address: tunnel.home_address,
                local: tunnel.endpoints.local,
                remote,
            })?;
        let mut pair = match state.pairs.get(&remote) {
            Some(pair) => pair.clone(),
            None => {
                let name = self.free_name(&mut state.channel)?;
                let pair = make(&mut state.channel, &name, ends, self.mtu)?;
                state.pairs.insert(remote, pair.clone());
                pair
            }
        };
        // Who may answer is known before anybody can ask.
        state.filter.add(&answers(&pair, tunnel))?;
        if pair.ends != ends {
            device::change(&mut state.channel, pair.index, Form::Fixed(ends), self.mtu)?;
            pair.ends = ends;
            if let Some(cutter) = &mut state.cutter {
                cutter.forget()?;
            }
        }
        let index = pair.index;
        state.pairs.insert(remote, pair);
        let former = state.tunnels.insert(tunnel.home_address, tunnel.clone());
        if let Some(former) = former {
            if former.endpoints.remote != tunnel.endpoints.remote {
                state.remove_unused()?;
            }
            if former.correspondents != tunnel.correspondents {
                state.narrow()?;
            }
        }
        Ok(index)
    }

    /// Carries a binding no longer. An unknown one is no error.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn remove(&self, home_address: HomeAddress) -> Result<(), Error> {
        let mut state = self.lock();
        if state.tunnels.remove(&home_address).is_none() {
            return Ok(());
        }
        let mut errors = Errors::default();
        errors.note(state.remove_unused());
        errors.note(state.narrow());
        errors.into_result()
    }

    /// Removes what a former run left and no binding has claimed.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn settle(&self) -> Result<(), Error> {
        let mut state = self.lock();
        state.settled = true;
        let mut errors = Errors::default();
        errors.note(state.remove_unused());
        errors.note(state.remove_strays());
        errors.note(state.narrow());
        if state.cutter.is_none() {
            errors.note(cutter::remove_leftovers(NARROW_TABLE));
        }
        errors.into_result()
    }

    /// What the tunnel of this home address has carried; `None` when there is none.
    #[must_use]
    pub fn traffic(&self, home_address: HomeAddress) -> Option<Traffic> {
        let mut state = self.lock();
        let remote = state.tunnels.get(&home_address)?.endpoints.remote;
        let pair = state.pairs.get(&remote)?.clone();
        let mut traffic = Traffic::default();
        for index in [pair.index, pair.inbound] {
            let device = device::get(&mut state.channel, index).ok().flatten()?;
            traffic.packets_in += device.packets_in;
            traffic.bytes_in += device.bytes_in;
            traffic.packets_out += device.packets_out;
            traffic.bytes_out += device.bytes_out;
        }
        Some(traffic)
    }

    /// Every counter by its name, drops as `drop_<reason>`, also those at zero.
    #[must_use]
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        self.lock().filter.counters()
    }

    /// Whether the devices are there.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.lock()
            .pairs
            .values()
            .all(|pair| nix::net::if_::if_nametoindex(pair.name.as_str()) == Ok(pair.index))
    }

    /// Puts the packet filter's table in place again if another program has removed it, and tells
    /// how much was missing. Narrow paths are looked after from here, as no binding waits for that.
    ///
    /// # Errors
    /// What could not be added.
    pub fn repair_filter(&self) -> Result<usize, Error> {
        let mut state = self.lock();
        let missing = usize::from(state.filter.repair()?);
        match &mut state.cutter {
            Some(cutter) => Ok(missing + usize::from(cutter.repair()?)),
            None => {
                state.look_after_narrow_paths();
                Ok(missing)
            }
        }
    }

    /// Removes everything. Every step is tried.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn shutdown(&self) -> Result<(), Error> {
        let mut state = self.lock();
        state.tunnels.clear();
        state.settled = true;
        let mut errors = Errors::default();
        errors.note(state.remove_unused());
        errors.note(state.remove_strays());
        errors.note(Filter::remove());
        errors.note(match state.cutter.take() {
            Some(cutter) => cutter.stop(),
            None => cutter::remove_leftovers(NARROW_TABLE),
        });
        errors.into_result()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first name that no device has.
    fn free_name(&self, channel: &mut Channel) -> Result<String, Error> {
        let taken: BTreeSet<String> = device::list(channel)?
            .into_iter()
            .map(|device| device.name)
            .collect();
        let free = (0..=taken.len())
            .map(|number| format!("{}{number}", self.stem))
            .find(|name| !taken.contains(name) && !taken.contains(&format!("{name}{INBOUND}")));
        Ok(free.unwrap_or_else(|| self.stem.clone()))
    }
}

impl State {
    /// Cuts what is too big for narrow paths, once there is a binding of IPv6.
    fn look_after_narrow_paths(&mut self) {
        let needed = self.pairs.keys().any(IpAddr::is_ipv6);
        if !needed || self.uncut {
            return;
        }
        match Cutter::start(NARROW_TABLE, NARROW_QUEUE) {
            Ok(cutter) => self.cutter = Some(cutter),
            Err(error) => {
                self.uncut = true;
                tracing::warn!(
                    %error,
                    "packets of IPv6 of 1241 to 1280 octets don't get through paths of less than 1320"
                );
            }
        }
    }

    /// The devices that no tunnel needs. Before all bindings of a former run had their chance, one
    /// of them may.
    fn remove_unused(&mut self) -> Result<(), Error> {
        if !self.settled {
            return Ok(());
        }
        let used: BTreeSet<IpAddr> = self
            .tunnels
            .values()
            .map(|tunnel| tunnel.endpoints.remote)
            .collect();
        let unused: Vec<IpAddr> = self
            .pairs
            .keys()
            .filter(|remote| !used.contains(remote))
            .copied()
            .collect();
        let mut errors = Errors::default();
        for pair in unused.iter().filter_map(|remote| self.pairs.remove(remote)) {
            for index in [pair.index, pair.inbound] {
                errors.note(device::delete(&mut self.channel, index));
            }
        }
        errors.into_result()
    }

    /// Devices of ours that are no half of a pair.
    fn remove_strays(&mut self) -> Result<(), Error> {
        let known: BTreeSet<u32> = self
            .pairs
            .values()
            .flat_map(|pair| [pair.index, pair.inbound])
            .collect();
        let mut errors = Errors::default();
        for device in device::list(&mut self.channel)? {
            if is_ours(&device) && !known.contains(&device.index) {
                errors.note(device::delete(&mut self.channel, device.index));
            }
        }
        errors.into_result()
    }

    /// What no tunnel needs may come in no longer.
    fn narrow(&mut self) -> Result<(), Error> {
        if !self.settled {
            return Ok(());
        }
        let mut wanted = BTreeSet::new();
        for tunnel in self.tunnels.values() {
            if let Some(pair) = self.pairs.get(&tunnel.endpoints.remote) {
                wanted.extend(answers(pair, tunnel));
            }
        }
        self.filter.allow(&wanted)
    }
}

/// Removes devices and table that the kernel backend of a former run left.
///
/// # Errors
/// What could not be removed.
pub(crate) fn remove_leftovers() -> Result<(), Error> {
    let mut channel = Channel::open_route()?;
    let ours: Vec<Device> = device::list(&mut channel)?
        .into_iter()
        .filter(is_ours)
        .collect();
    if ours.is_empty() {
        return Ok(());
    }
    let mut errors = Errors::default();
    for device in ours {
        errors.note(device::delete(&mut channel, device.index));
    }
    errors.note(Filter::remove());
    errors.note(cutter::remove_leftovers(NARROW_TABLE));
    errors.into_result()
}

fn is_ours(device: &Device) -> bool {
    device.ours && matches!(device.form, Some(Form::Fixed(_)))
}

/// Both devices toward a home agent, up.
fn make(channel: &mut Channel, name: &str, ends: Ends, mtu: u16) -> Result<Pair, Error> {
    let outbound = Form::Fixed(ends);
    let inbound = Form::Fixed(Ends::to_any(ends.remote()));
    let inbound_name = format!("{name}{INBOUND}");
    let mut made = Vec::new();
    let mut make = |name: &str, form: Form| -> Result<u32, Error> {
        device::create(channel, name, form, mtu)?;
        let device = device::list(channel)?
            .into_iter()
            .find(|device| device.name == name);
        let device = device.ok_or_else(|| Error::NoDevice(name.to_owned()))?;
        made.push(device.index);
        // Answers to a home address may come in by either device, and what reverse path filtering
        // would look for is checked by the packet filter.
        device::prepare(name, form.family(), "0")?;
        device::bring_up(channel, device.index)?;
        Ok(device.index)
    };
    let both =
        make(&inbound_name, inbound).and_then(|inbound| Ok((inbound, make(name, outbound)?)));
    match both {
        Ok((inbound, index)) => Ok(Pair {
            name: name.to_owned(),
            index,
            ends,
            inbound,
        }),
        Err(error) => {
            for index in made {
                // The first error says what is wrong.
                let _ = device::delete(channel, index);
            }
            Err(error)
        }
    }
}

/// The pairs of a former run.
fn former_pairs(devices: Vec<Device>) -> BTreeMap<IpAddr, Pair> {
    let ours: BTreeMap<String, Device> = devices
        .into_iter()
        .filter(is_ours)
        .map(|device| (device.name.clone(), device))
        .collect();
    let mut pairs = BTreeMap::new();
    for device in ours.values() {
        let inbound = ours.get(&format!("{}{INBOUND}", device.name));
        if let Some(Form::Fixed(ends)) = device.form
            && let Some(inbound) = inbound
            && device.up
            && inbound.up
        {
            pairs.entry(ends.remote()).or_insert_with(|| Pair {
                name: device.name.clone(),
                index: device.index,
                ends,
                inbound: inbound.index,
            });
        }
    }
    pairs
}

/// What lets a home address's correspondents in by both devices.
fn answers(pair: &Pair, tunnel: &Tunnel) -> BTreeSet<Element> {
    let home = tunnel.home_address.ip();
    let prefixes = IpNet::aggregate(&tunnel.correspondents.to_vec());
    [pair.index, pair.inbound]
        .into_iter()
        .flat_map(|device| {
            prefixes
                .iter()
                .filter_map(move |prefix| filter::correspondent(device, home, *prefix))
        })
        .collect()
}
