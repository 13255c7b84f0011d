//! The data path of a home agent, as its daemon holds it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use ipnet::IpNet;
use mobility_protocol::{DataplaneChange, HomeAddress};
use tokio::sync::Mutex;

use crate::error::Errors;
use crate::kernel::{self, HomeAgentConfig, HomeAgentTunnels};
use crate::netlink::forwarding::Forwarding;
use crate::netlink::home_agent::Routes;
use crate::netlink::monitor::Monitor;
use crate::netlink::{Netlink, Repair};
use crate::userspace::{self, Role, Traffic, UserspaceConfig};
use crate::{
    Addresses, BackendChoice, Carrier, Chosen, DEFAULT_TUNNEL_MTU, Error, Failure,
    HOME_AGENT_DEVICE, privileges,
};

/// How much longer than looking for lost routes took nobody looks again.
const REST: u32 = 50;

/// What the data path of a home agent must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Which backend to take.
    pub backend: BackendChoice,
    /// The home agent's addresses, which tunnelled packets are sent to and from.
    pub addresses: Addresses,
    /// The prefixes home addresses come from.
    pub pools: Vec<IpNet>,
    /// The peers of all bindings, as far as they are known beforehand: it saves time at the first one.
    pub correspondents: Option<Arc<[IpNet]>>,
    /// The name of the tunnel device; the kernel backend's of IPv6 has `-6` behind it.
    pub device: String,
    /// The MTU of the tunnel device in octets: of the path's, less 20. For IPv6 it is 20 less.
    pub mtu: u16,
}

impl Config {
    /// The usual device and MTU.
    #[must_use]
    pub fn new(addresses: impl Into<Addresses>, pools: Vec<IpNet>) -> Self {
        Self {
            backend: BackendChoice::Auto,
            addresses: addresses.into(),
            pools,
            correspondents: None,
            device: HOME_AGENT_DEVICE.to_owned(),
            mtu: DEFAULT_TUNNEL_MTU,
        }
    }
}

/// A running data path. Stop it with [`HomeAgentDataplane::shutdown`]. After a mere drop the pool's
/// `unreachable` routes stay, with the kernel backend everything stays and carries, and the next
/// start takes it over.
#[derive(Debug)]
pub struct HomeAgentDataplane {
    backend: Backend,
    chosen: Chosen,
    repair: Repair,
    _monitor: Monitor,
}

/// What carries the tunnels.
#[derive(Debug)]
enum Backend {
    Kernel {
        tunnels: Arc<HomeAgentTunnels>,
        filter: kernel::Keeper,
        enabled_forwarding: Vec<Forwarding>,
    },
    Userspace {
        tunnels: userspace::Backend,
        routes: Arc<Mutex<Routes>>,
    },
}

/// What all tunnels have carried, as of one moment.
#[derive(Debug)]
pub struct Measured<'a>(Measure<'a>);

#[derive(Debug)]
enum Measure<'a> {
    Listed(BTreeMap<HomeAddress, Traffic>),
    Live(&'a userspace::Backend),
}

impl Measured<'_> {
    /// What the tunnel of this home address has carried; `None` when there is none.
    #[must_use]
    pub fn traffic(&self, home_address: HomeAddress) -> Option<Traffic> {
        match &self.0 {
            Measure::Listed(all) => all.get(&home_address).copied(),
            Measure::Live(backend) => backend.traffic(home_address),
        }
    }
}

impl HomeAgentDataplane {
    /// Chooses the backend, makes packets to the pool unreachable, and is ready to carry bindings.
    /// Those that the kernel still carries for a former run go on until
    /// [`HomeAgentDataplane::settle`].
    ///
    /// # Errors
    /// [`Error::NoKernelBackend`], [`Error::Privileges`], [`Error::Userspace`], and those of
    /// [`HomeAgentTunnels::start`], [`Routes::guard`] and [`Routes::prepare`]. After an error nothing
    /// is left behind but what a former run left.
    pub async fn start(config: Config) -> Result<Self, Error> {
        privileges::check()?;
        let kernel = in_kernel(&config);
        let chosen = config
            .backend
            .resolve(|| kernel::probe_home_agent(&kernel))?;
        let netlink = Netlink::open()?;
        let monitor = Monitor::start(netlink.clone(), config.device.clone())?;
        let (backend, repair) = match chosen.carrier {
            Carrier::Kernel => {
                let (tunnels, enabled_forwarding) = serve_in_kernel(kernel)?;
                let tunnels = Arc::new(tunnels);
                let repair = {
                    let tunnels = Arc::clone(&tunnels);
                    Repair::start(monitor.losses(), move || {
                        let tunnels = Arc::clone(&tunnels);
                        async move {
                            let begin = Instant::now();
                            let repaired = tunnels.repair_routes();
                            // Every binding that goes looks like a loss, and looking costs in
                            // proportion to the bindings.
                            tokio::time::sleep(begin.elapsed() * REST).await;
                            repaired
                        }
                    })
                };
                let filter = {
                    let tunnels = Arc::clone(&tunnels);
                    kernel::Keeper::start(move || tunnels.repair_filter())
                };
                let backend = Backend::Kernel {
                    tunnels,
                    filter,
                    enabled_forwarding,
                };
                (backend, repair)
            }
            Carrier::Userspace => {
                kernel::remove_home_agent_leftovers(&config.device)?;
                let routes = Routes::new(netlink, config.pools.clone());
                let (tunnels, routes) = serve_in_userspace(routes, &config).await?;
                let routes = Arc::new(Mutex::new(routes));
                let repair = {
                    let routes = Arc::clone(&routes);
                    Repair::start(monitor.losses(), move || {
                        let routes = Arc::clone(&routes);
                        async move { routes.lock().await.repair().await }
                    })
                };
                (Backend::Userspace { tunnels, routes }, repair)
            }
        };
        Ok(Self {
            backend,
            chosen,
            repair,
            _monitor: monitor,
        })
    }

    /// Executes changes in their order, each whatever becomes of the others, and returns those that
    /// failed.
    #[must_use = "a binding whose tunnel failed carries nothing"]
    pub fn apply(&mut self, changes: impl IntoIterator<Item = DataplaneChange>) -> Vec<Failure> {
        let tunnels = match &self.backend {
            Backend::Kernel { tunnels, .. } => return tunnels.apply(changes),
            Backend::Userspace { tunnels, .. } => tunnels,
        };
        let mut failures = Vec::new();
        for change in changes {
            if let Err(error) = tunnels.apply(&change) {
                let home_address = match change {
                    DataplaneChange::Install(tunnel) => tunnel.home_address,
                    DataplaneChange::Remove(home_address) => home_address,
                };
                failures.push(Failure {
                    home_address,
                    error: error.into(),
                });
            }
        }
        failures
    }

    /// Removes what the kernel still carries for a former run and no binding of this one has taken
    /// over. To be called once the bindings of that run are restored, or known not to be.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn settle(&mut self) -> Result<(), Error> {
        match &self.backend {
            Backend::Kernel { tunnels, .. } => tunnels.settle(),
            Backend::Userspace { .. } => Ok(()),
        }
    }

    /// What the tunnel of this home address has carried; `None` when there is none.
    #[must_use]
    pub fn traffic(&self, home_address: HomeAddress) -> Option<Traffic> {
        match &self.backend {
            Backend::Kernel { tunnels, .. } => tunnels.traffic(home_address),
            Backend::Userspace { tunnels, .. } => tunnels.traffic(home_address),
        }
    }

    /// What all tunnels have carried; for many of them faster than asking for each.
    #[must_use]
    pub fn measure(&self) -> Measured<'_> {
        Measured(match &self.backend {
            Backend::Kernel { tunnels, .. } => Measure::Listed(tunnels.all_traffic()),
            Backend::Userspace { tunnels, .. } => Measure::Live(tunnels),
        })
    }

    /// The counters of the data path, drops as `drop_<reason>`.
    #[must_use]
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        let mut counters = match &self.backend {
            Backend::Kernel { tunnels, .. } => tunnels.counters(),
            Backend::Userspace { tunnels, .. } => tunnels.counters(),
        };
        counters.push(("routes_restored", self.repair.restored()));
        counters
    }

    /// Whether packets are carried. A backend ends by itself only when somebody removes its device;
    /// a home agent is best started again then.
    #[must_use]
    pub fn is_running(&self) -> bool {
        match &self.backend {
            Backend::Kernel { tunnels, .. } => tunnels.is_running(),
            Backend::Userspace { tunnels, .. } => tunnels.is_running(),
        }
    }

    /// What carries the tunnels, and why.
    #[must_use]
    pub const fn backend(&self) -> &Chosen {
        &self.chosen
    }

    /// Removes everything that was added. Every step is tried.
    ///
    /// # Errors
    /// What could not be removed.
    pub async fn shutdown(self) -> Result<(), Error> {
        let mut errors = Errors::default();
        self.repair.stop().await;
        // The device goes before the `unreachable` routes, so that no packet to the pool takes the
        // default route while packets from it still come in.
        match self.backend {
            Backend::Kernel {
                tunnels,
                filter,
                enabled_forwarding,
            } => {
                filter.stop().await;
                errors.note(tunnels.shutdown());
                for enabled in enabled_forwarding {
                    errors.note(enabled.restore());
                }
            }
            Backend::Userspace { tunnels, routes } => {
                errors.note(tunnels.shutdown().map_err(Error::from));
                errors.note(routes.lock().await.remove().await);
            }
        }
        errors.into_result()
    }
}

/// What the kernel backend must know.
fn in_kernel(config: &Config) -> HomeAgentConfig {
    HomeAgentConfig {
        device: config.device.clone(),
        mtu: config.mtu,
        addresses: config.addresses,
        pools: config.pools.clone(),
        correspondents: config.correspondents.clone(),
    }
}

/// Forwarding is on before anything is to be forwarded; it goes off again where that fails.
fn serve_in_kernel(config: HomeAgentConfig) -> Result<(HomeAgentTunnels, Vec<Forwarding>), Error> {
    let mut enabled = Vec::new();
    let forwarding = config.families().try_for_each(|family| {
        enabled.extend(Forwarding::enable(family)?);
        Ok(())
    });
    match forwarding.and_then(|()| HomeAgentTunnels::start(config)) {
        Ok(tunnels) => Ok((tunnels, enabled)),
        Err(error) => {
            let mut errors = Errors::default();
            errors.note::<()>(Err(error));
            for forwarding in enabled {
                errors.note(forwarding.restore());
            }
            Err(errors.into_error())
        }
    }
}

async fn serve_in_userspace(
    mut routes: Routes,
    config: &Config,
) -> Result<(userspace::Backend, Routes), Error> {
    let mut errors = Errors::default();
    match start_in_userspace(&mut routes, config).await {
        Ok(tunnels) => return Ok((tunnels, routes)),
        Err(error) => drop(errors.note::<()>(Err(error))),
    }
    errors.note(routes.remove().await);
    Err(errors.into_error())
}

async fn start_in_userspace(
    routes: &mut Routes,
    config: &Config,
) -> Result<userspace::Backend, Error> {
    routes.guard().await?;
    let tunnels = userspace::Backend::start(
        Role::HomeAgent,
        UserspaceConfig {
            device: config.device.clone(),
            mtu: config.mtu,
            local: config.addresses,
        },
    )?;
    if let Err(error) = routes.prepare(&config.device, config.mtu).await {
        let mut errors = Errors::default();
        errors.note::<()>(Err(error));
        errors.note(tunnels.shutdown().map_err(Error::from));
        return Err(errors.into_error());
    }
    Ok(tunnels)
}
