//! The data path of a mobile node, as its daemon holds it.
//!
//! A host without a binding shows no trace of us: the device, the addresses, the rules and the
//! routes come with the first tunnel and go with the last.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::sync::Arc;

use mobility_protocol::{DataplaneChange, Family, HomeAddress, Tunnel};
use tokio::sync::Mutex;

use crate::error::Errors;
use crate::kernel::{self, MobileNodeTunnels};
use crate::netlink::mobile_node::Routes;
use crate::netlink::monitor::Monitor;
use crate::netlink::sockets::Sockets;
use crate::netlink::{Netlink, Repair, has_ipv6};
use crate::userspace::{self, Role, Traffic, UserspaceConfig};
use crate::{
    Addresses, BackendChoice, Carrier, Chosen, DEFAULT_TUNNEL_MTU, Error, Failure,
    MOBILE_NODE_DEVICE, privileges,
};

/// What the data path of a mobile node must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Which backend to take.
    pub backend: BackendChoice,
    /// The name of the tunnel device.
    pub device: String,
    /// The MTU of the tunnel device in octets: of the path's, less the wrapping.
    pub mtu: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            backend: BackendChoice::Auto,
            device: MOBILE_NODE_DEVICE.to_owned(),
            mtu: DEFAULT_TUNNEL_MTU,
        }
    }
}

/// A running data path. Stop it with [`MobileNodeDataplane::shutdown`]. After a mere drop, as after a
/// crash, the kernel backend goes on carrying; with the userspace backend the sessions of home
/// addresses wait. The next start takes them over.
#[derive(Debug)]
pub struct MobileNodeDataplane {
    config: Config,
    /// The families that are carried.
    carried: Addresses,
    chosen: Chosen,
    backend: Option<Backend>,
    tunnels: BTreeMap<HomeAddress, Tunnel>,
    /// [`MobileNodeDataplane::settle`] was called.
    settled: bool,
    /// What former backends of this run have counted.
    counted: BTreeMap<&'static str, u64>,
    routes: Arc<Mutex<Routes>>,
    repair: Repair,
    monitor: Monitor,
    sockets: Sockets,
}

/// What carries the tunnels.
#[derive(Debug)]
enum Backend {
    Kernel {
        tunnels: Arc<MobileNodeTunnels>,
        filter: kernel::Keeper,
    },
    Userspace(userspace::Backend),
}

impl MobileNodeDataplane {
    /// Opens what is needed to watch this host. What a crashed run left stays as it is, sessions
    /// waiting, until [`MobileNodeDataplane::settle`].
    ///
    /// # Errors
    /// [`Error::NoKernelBackend`], [`Error::Privileges`], [`Error::Netlink`], [`Error::Userspace`] when the
    /// kernel's own tunnels are in the way.
    #[expect(
        clippy::unused_async,
        reason = "it needs a runtime, and callers treat both daemons alike"
    )]
    pub async fn start(config: Config) -> Result<Self, Error> {
        privileges::check()?;
        let chosen = config.backend.resolve(kernel::probe_mobile_node)?;
        let carried = match chosen.carrier {
            Carrier::Kernel => of_this_system(),
            Carrier::Userspace => {
                // What the kernel still carries for a former run would be in the way.
                kernel::remove_mobile_node_leftovers()?;
                left_to_userspace()?
            }
        };
        let netlink = Netlink::open()?;
        let monitor = Monitor::start(netlink.clone(), config.device.clone())?;
        let sockets = Sockets::open()?;
        let routes = Routes::new(netlink, config.device.clone(), config.mtu);
        let routes = Arc::new(Mutex::new(routes));
        let repair = {
            let routes = Arc::clone(&routes);
            Repair::start(monitor.losses(), move || {
                let routes = Arc::clone(&routes);
                async move { routes.lock().await.repair().await }
            })
        };
        Ok(Self {
            config,
            carried,
            chosen,
            backend: None,
            tunnels: BTreeMap::new(),
            settled: false,
            counted: BTreeMap::new(),
            routes,
            repair,
            monitor,
            sockets,
        })
    }

    /// Executes changes in their order, each whatever becomes of the others, and returns those that
    /// failed. An [`DataplaneChange::Install`] that failed leaves its home address as it was before.
    #[must_use = "a binding whose tunnel failed carries nothing"]
    pub async fn apply(
        &mut self,
        changes: impl IntoIterator<Item = DataplaneChange>,
    ) -> Vec<Failure> {
        let mut failures = Vec::new();
        for change in changes {
            let (home_address, result) = match change {
                DataplaneChange::Install(tunnel) => {
                    (tunnel.home_address, self.install(tunnel).await)
                }
                DataplaneChange::Remove(home_address) => {
                    (home_address, self.remove(home_address).await)
                }
            };
            if let Err(error) = result {
                failures.push(Failure {
                    home_address,
                    error,
                });
            }
        }
        if self.tunnels.is_empty()
            && let Some(backend) = self.backend.take()
            && let Err(error) = self.retire(backend).await
        {
            tracing::warn!(%error, "not everything of the last binding could be removed");
        }
        failures
    }

    /// Removes what a crashed run left and no tunnel of this one has taken over. To be called once
    /// the bindings of that run are restored, or known not to be.
    ///
    /// # Errors
    /// What could not be removed; the rest was.
    pub async fn settle(&mut self) -> Result<(), Error> {
        self.settled = true;
        let mut errors = Errors::default();
        errors.note(self.routes.lock().await.settle().await);
        errors.note(match &self.backend {
            Some(backend) => backend.settle(),
            None => kernel::remove_mobile_node_leftovers(),
        });
        errors.into_result()
    }

    /// Whether packets are carried, as far as there is a tunnel. A backend ends by itself only when
    /// somebody removes its device.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.backend.as_ref().is_none_or(Backend::is_running)
    }

    /// Brings back a backend that has ended by itself, with all its tunnels, and returns the tunnels
    /// that failed. Does nothing while packets are carried.
    #[must_use = "a binding whose tunnel failed carries nothing"]
    pub async fn revive(&mut self) -> Vec<Failure> {
        if self.is_running() {
            return Vec::new();
        }
        let tunnels = self.tunnels.clone();
        if let Some(backend) = self.backend.take()
            && let Err(error) = self.retire(backend).await
        {
            tracing::warn!(%error, "not everything of the ended backend could be removed");
        }
        self.apply(tunnels.into_values().map(DataplaneChange::Install))
            .await
    }

    /// Keeps the tunnels' packets on their interfaces. To be called when links, addresses or routes
    /// have changed.
    ///
    /// # Errors
    /// [`Error::Netlink`], [`Error::Timeout`], [`Error::Several`].
    pub async fn refresh_ways(&self) -> Result<(), Error> {
        self.routes.lock().await.refresh_ways().await
    }

    /// Whether tunnels of this family can be carried here.
    #[must_use]
    pub fn carries(&self, family: Family) -> bool {
        self.carried.of(family).is_some()
    }

    /// What the tunnel of this home address has carried; `None` when there is none.
    #[must_use]
    pub fn traffic(&self, home_address: HomeAddress) -> Option<Traffic> {
        self.backend.as_ref()?.traffic(home_address)
    }

    /// The counters of the data path since the start, drops as `drop_<reason>`.
    #[must_use]
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        let mut counters = self.counted.clone();
        for (name, count) in self.backend.iter().flat_map(Backend::counters) {
            *counters.entry(name).or_default() += count;
        }
        counters.insert("routes_restored", self.repair.restored());
        counters.into_iter().collect()
    }

    /// What carries the tunnels, and why.
    #[must_use]
    pub const fn backend(&self) -> &Chosen {
        &self.chosen
    }

    /// Where this host is attached.
    #[must_use]
    pub const fn monitor(&self) -> &Monitor {
        &self.monitor
    }

    /// Who uses a home address. Those of installed tunnels are watched.
    #[must_use]
    pub const fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// Removes everything that was added, also by a crashed run. Every step is tried.
    ///
    /// # Errors
    /// What could not be removed.
    pub async fn shutdown(mut self) -> Result<(), Error> {
        let mut errors = Errors::default();
        if let Some(backend) = self.backend.take() {
            errors.note(self.retire(backend).await);
        }
        errors.note(self.settle().await);
        self.repair.stop().await;
        errors.into_result()
    }

    /// First the tunnel, then what leads packets into it.
    async fn install(&mut self, tunnel: Tunnel) -> Result<(), Error> {
        let home_address = tunnel.home_address;
        self.ready().await?;
        let Some(backend) = &self.backend else {
            return Err(Error::NoDevice(self.config.device.clone()));
        };
        let mut routes = self.routes.lock().await;
        routes.check(&tunnel)?;
        let led = match backend.install(&tunnel)? {
            Some(device) => routes.install_through(&tunnel, device).await,
            None => routes.install(&tunnel).await,
        };
        if let Err(error) = led {
            match self.tunnels.get(&home_address) {
                Some(former) => drop(backend.install(former)?),
                None => backend.remove(home_address)?,
            }
            return Err(error);
        }
        self.tunnels.insert(home_address, tunnel);
        self.sockets.watch(home_address);
        Ok(())
    }

    /// First what leads packets into the tunnel, then the tunnel.
    async fn remove(&mut self, home_address: HomeAddress) -> Result<(), Error> {
        let mut errors = Errors::default();
        self.sockets.unwatch(home_address);
        self.tunnels.remove(&home_address);
        errors.note(self.routes.lock().await.remove(home_address).await);
        if let Some(backend) = &self.backend {
            errors.note(backend.remove(home_address));
        }
        errors.into_result()
    }

    /// The device and the standing rules, if this is the first tunnel.
    async fn ready(&mut self) -> Result<(), Error> {
        if self.backend.is_some() {
            return Ok(());
        }
        let backend = Backend::start(self.chosen.carrier, &self.config, self.carried)?;
        let prepared = {
            let mut routes = self.routes.lock().await;
            match &backend {
                Backend::Kernel { .. } => routes.prepare_rules().await,
                Backend::Userspace(_) => routes.prepare().await,
            }
        };
        let prepared = prepared.and_then(|()| match self.settled {
            true => backend.settle(),
            false => Ok(()),
        });
        match prepared {
            Ok(()) => {
                self.backend = Some(backend);
                Ok(())
            }
            Err(error) => {
                let mut errors = Errors::default();
                errors.note::<()>(Err(error));
                errors.note(self.retire(backend).await);
                Err(errors.into_error())
            }
        }
    }

    async fn retire(&mut self, backend: Backend) -> Result<(), Error> {
        let mut errors = Errors::default();
        for home_address in std::mem::take(&mut self.tunnels).into_keys() {
            self.sockets.unwatch(home_address);
        }
        errors.note(self.routes.lock().await.cleanup().await);
        for (name, count) in backend.counters() {
            *self.counted.entry(name).or_default() += count;
        }
        errors.note(backend.shutdown().await);
        errors.into_result()
    }
}

impl Backend {
    fn start(carrier: Carrier, config: &Config, carried: Addresses) -> Result<Self, Error> {
        match carrier {
            Carrier::Kernel => {
                let tunnels = Arc::new(MobileNodeTunnels::start(&config.device, config.mtu)?);
                let filter = {
                    let tunnels = Arc::clone(&tunnels);
                    kernel::Keeper::start(move || tunnels.repair_filter())
                };
                Ok(Self::Kernel { tunnels, filter })
            }
            Carrier::Userspace => {
                let config = UserspaceConfig {
                    device: config.device.clone(),
                    mtu: config.mtu,
                    local: carried,
                };
                let tunnels = userspace::Backend::start(Role::MobileNode, config)?;
                Ok(Self::Userspace(tunnels))
            }
        }
    }

    /// The index of the tunnel's own device, where it has one.
    fn install(&self, tunnel: &Tunnel) -> Result<Option<u32>, Error> {
        match self {
            Self::Kernel { tunnels, .. } => tunnels.install(tunnel).map(Some),
            Self::Userspace(tunnels) => {
                tunnels.apply(&DataplaneChange::Install(tunnel.clone()))?;
                Ok(None)
            }
        }
    }

    fn remove(&self, home_address: HomeAddress) -> Result<(), Error> {
        match self {
            Self::Kernel { tunnels, .. } => tunnels.remove(home_address),
            Self::Userspace(tunnels) => Ok(tunnels.apply(&DataplaneChange::Remove(home_address))?),
        }
    }

    fn settle(&self) -> Result<(), Error> {
        match self {
            Self::Kernel { tunnels, .. } => tunnels.settle(),
            Self::Userspace(_) => Ok(()),
        }
    }

    fn is_running(&self) -> bool {
        match self {
            Self::Kernel { tunnels, .. } => tunnels.is_running(),
            Self::Userspace(tunnels) => tunnels.is_running(),
        }
    }

    fn traffic(&self, home_address: HomeAddress) -> Option<Traffic> {
        match self {
            Self::Kernel { tunnels, .. } => tunnels.traffic(home_address),
            Self::Userspace(tunnels) => tunnels.traffic(home_address),
        }
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        match self {
            Self::Kernel { tunnels, .. } => tunnels.counters(),
            Self::Userspace(tunnels) => tunnels.counters(),
        }
    }

    async fn shutdown(self) -> Result<(), Error> {
        match self {
            Self::Kernel { tunnels, filter } => {
                filter.stop().await;
                tunnels.shutdown()
            }
            Self::Userspace(tunnels) => Ok(tunnels.shutdown()?),
        }
    }
}

fn of_this_system() -> Addresses {
    let ipv6 = has_ipv6().then_some(Ipv6Addr::UNSPECIFIED);
    Addresses {
        ipv6,
        ..Addresses::UNSPECIFIED
    }
}

/// Every family of this system, but IPv6 only where the kernel leaves its tunnels to us.
fn left_to_userspace() -> Result<Addresses, Error> {
    userspace::probe(Family::Ipv4)?;
    let mut carried = of_this_system();
    if carried.ipv6.is_some()
        && let Err(error) = userspace::probe(Family::Ipv6)
    {
        tracing::warn!(%error, "only IPv4 is carried");
        carried.ipv6 = None;
    }
    Ok(carried)
}
