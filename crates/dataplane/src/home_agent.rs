//! The data path of a home agent, as its daemon holds it.

use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;
use mobility_protocol::{DataplaneChange, HomeAddress};
use tokio::sync::Mutex;

use crate::error::Errors;
use crate::netlink::home_agent::Routes;
use crate::netlink::monitor::Monitor;
use crate::netlink::{Netlink, Repair};
use crate::userspace::{Backend, Role, Traffic, UserspaceConfig};
use crate::{BackendChoice, DEFAULT_TUNNEL_MTU, Error, Failure, HOME_AGENT_DEVICE, privileges};

/// What the data path of a home agent must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Which backend to take.
    pub backend: BackendChoice,
    /// The home agent's address, which tunnelled packets are sent to and from.
    pub address: Ipv4Addr,
    /// The prefixes home addresses come from.
    pub pools: Vec<Ipv4Net>,
    /// The name of the tunnel device.
    pub device: String,
    /// The MTU of the tunnel device in octets: of the path's, less the wrapping.
    pub mtu: u16,
}

impl Config {
    /// The usual device and MTU.
    #[must_use]
    pub fn new(address: Ipv4Addr, pools: Vec<Ipv4Net>) -> Self {
        Self {
            backend: BackendChoice::Auto,
            address,
            pools,
            device: HOME_AGENT_DEVICE.to_owned(),
            mtu: DEFAULT_TUNNEL_MTU,
        }
    }
}

/// A running data path. Stop it with [`HomeAgentDataplane::shutdown`]; after a mere drop the
/// pool's `unreachable` routes stay, and the next start takes them over.
#[derive(Debug)]
pub struct HomeAgentDataplane {
    backend: Backend,
    backend_name: &'static str,
    routes: Arc<Mutex<Routes>>,
    repair: Repair,
    _monitor: Monitor,
}

impl HomeAgentDataplane {
    /// Makes packets to the pool unreachable, brings up the tunnel device, then leads the pool to it.
    ///
    /// # Errors
    /// [`Error::KernelBackend`], [`Error::Privileges`], [`Error::Userspace`], and those of
    /// [`Routes::guard`] and [`Routes::prepare`]. After an error nothing is left behind.
    pub async fn start(config: Config) -> Result<Self, Error> {
        let backend_name = config.backend.resolve()?;
        privileges::check()?;
        let netlink = Netlink::open()?;
        let monitor = Monitor::start(netlink.clone(), config.device.clone())?;
        let mut routes = Routes::new(netlink, config.pools);
        let backend = match serve(&mut routes, &config.device, config.mtu, config.address).await {
            Ok(backend) => backend,
            Err(error) => {
                let mut errors = Errors::default();
                errors.note::<()>(Err(error));
                errors.note(routes.remove().await);
                return Err(errors.into_error());
            }
        };
        let routes = Arc::new(Mutex::new(routes));
        let repair = {
            let routes = Arc::clone(&routes);
            Repair::start(monitor.losses(), move || {
                let routes = Arc::clone(&routes);
                async move { routes.lock().await.repair().await }
            })
        };
        Ok(Self {
            backend,
            backend_name,
            routes,
            repair,
            _monitor: monitor,
        })
    }

    /// Executes changes in their order, each whatever becomes of the others, and returns those that
    /// failed.
    #[must_use = "a binding whose tunnel failed carries nothing"]
    pub fn apply(&mut self, changes: impl IntoIterator<Item = DataplaneChange>) -> Vec<Failure> {
        let mut failures = Vec::new();
        for change in changes {
            if let Err(error) = self.backend.apply(&change) {
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

    /// What the tunnel of this home address has carried; `None` when there is none.
    #[must_use]
    pub fn traffic(&self, home_address: HomeAddress) -> Option<Traffic> {
        self.backend.traffic(home_address)
    }

    /// The counters of the data path, drops as `drop_<reason>`.
    #[must_use]
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        let mut counters = self.backend.counters();
        counters.push(("routes_restored", self.repair.restored()));
        counters
    }

    /// Whether packets are carried. A backend ends by itself only when somebody removes its device;
    /// a home agent is best started again then.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.backend.is_running()
    }

    /// The name of the backend.
    #[must_use]
    pub const fn backend(&self) -> &'static str {
        self.backend_name
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
        errors.note(self.backend.shutdown().map_err(Error::from));
        errors.note(self.routes.lock().await.remove().await);
        errors.into_result()
    }
}

async fn serve(
    routes: &mut Routes,
    device: &str,
    mtu: u16,
    local: Ipv4Addr,
) -> Result<Backend, Error> {
    routes.guard().await?;
    let config = UserspaceConfig {
        device: device.to_owned(),
        mtu,
        local: local.into(),
    };
    let backend = Backend::start(Role::HomeAgent, config)?;
    if let Err(error) = routes.prepare(device, mtu).await {
        let mut errors = Errors::default();
        errors.note::<()>(Err(error));
        errors.note(backend.shutdown().map_err(Error::from));
        return Err(errors.into_error());
    }
    Ok(backend)
}
