//! The userspace backend: IPv4 in IPv4 (RFC 2003) and IPv6 in IPv6 (RFC 2473) between one TUN device
//! and raw sockets.
//!
//! It puts on the wire what the kernel's own tunnels would, for kernels and containers without the
//! tunnel modules. It holds no route, rule or address: whoever starts it sends packets to its device
//! and gives the device its addresses. It believes nothing that arrives: every packet is held against
//! the tunnel it claims to belong to, and each reason for a drop has a counter.
//!
//! Its threads do the work and own all buffers: the uplink reads the device and writes the raw
//! sockets, a downlink for each family the other way. They share the table of tunnels with
//! [`Backend`].
//!
//! Hop limits are counted by the kernel, which forwards packets to and from the device and answers
//! those that have come to their end.

mod admission;
pub(crate) mod checksum;
mod coalesce;
mod counters;
mod credit;
mod device;
mod downlink;
mod error;
mod icmp;
mod inspection;
mod ip;
mod ipv4;
mod ipv6;
mod mss;
mod offload;
mod ownership;
mod peers;
mod shared;
mod socket;
mod table;
mod uplink;

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Instant;

use mobility_protocol::{DataplaneChange, Family, HomeAddress};

pub use error::Error;
pub(crate) use ipv6::{Identifications, pieces as ipv6_pieces};
use ownership::Guard;
pub use ownership::{Ownership, probe};
use shared::{Shared, least_path};
use socket::Receiver;
pub(crate) use socket::{Sender, Way};

use crate::Addresses;

/// The MTU for IPv6 of a tunnel device, given its own.
pub(crate) fn ipv6_mtu(device: u16) -> u16 {
    device::mtu(device, Family::Ipv6)
}

/// Which end of the tunnels this host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The inner source is the home address.
    MobileNode,
    /// The inner destination is the home address.
    HomeAgent,
}

/// What the backend must know before the first tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserspaceConfig {
    /// The name of the TUN device.
    pub device: String,
    /// The MTU of the device: of the path's, less 20 octets. IPv6 has 20 less, but no less than 1280.
    pub mtu: u16,
    /// The addresses tunnelled packets are received on, and the sources of the home agent's ICMP
    /// errors: one of each family that is to be carried. Unspecified on a mobile node, whose
    /// addresses come and go.
    pub local: Addresses,
}

impl UserspaceConfig {
    /// The usual device of a home agent with these addresses.
    #[must_use]
    pub fn home_agent(local: impl Into<Addresses>) -> Self {
        Self {
            device: crate::HOME_AGENT_DEVICE.to_owned(),
            mtu: crate::DEFAULT_TUNNEL_MTU,
            local: local.into(),
        }
    }

    /// The usual device of a mobile node.
    #[must_use]
    pub fn mobile_node() -> Self {
        Self {
            device: crate::MOBILE_NODE_DEVICE.to_owned(),
            mtu: crate::DEFAULT_TUNNEL_MTU,
            local: Addresses::UNSPECIFIED,
        }
    }
}

/// What one tunnel has carried since it was first installed. Octets are those of inner packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Packets out of the tunnel.
    pub packets_in: u64,
    /// Octets out of the tunnel.
    pub bytes_in: u64,
    /// Packets into the tunnel.
    pub packets_out: u64,
    /// Octets into the tunnel.
    pub bytes_out: u64,
    /// When the last packet came out of the tunnel.
    pub last_received: Option<Instant>,
}

/// The running backend.
///
/// Dropped without [`Backend::shutdown`] it stops like a process that dies: the kernel removes the
/// device and every route through it at once, and what kept the kernel quiet stays behind.
#[derive(Debug)]
pub struct Backend {
    shared: Arc<Shared>,
    device_index: u32,
    guards: Vec<Guard>,
    stop: Option<UnixStream>,
    threads: Vec<JoinHandle<()>>,
}

impl Backend {
    /// Takes the tunnels' protocols, creates the device, sets it up, and starts to carry packets.
    ///
    /// Everything belongs to the network namespace of the calling thread.
    ///
    /// # Errors
    /// When a protocol belongs to the kernel ([`probe`]), or privileges or the TUN driver are missing.
    pub fn start(role: Role, config: UserspaceConfig) -> Result<Self, Error> {
        let least = match config.local.ipv6 {
            None => 576,
            Some(_) => least_path(Family::Ipv6),
        };
        if !(least..=65_515).contains(&config.mtu) {
            return Err(Error::Mtu {
                mtu: config.mtu,
                least,
            });
        }
        let mut guards = Vec::new();
        for local in config.local.iter() {
            let family = Family::of(local);
            match probe(family)? {
                Ownership::Free => {}
                Ownership::Contested => guards.push(Guard::install(family)?),
            }
        }
        // The sockets first: a device must not appear without them.
        let receivers: Vec<_> = config
            .local
            .iter()
            .map(Receiver::open)
            .collect::<Result<_, _>>()?;
        let (stop, stopped) = UnixStream::pair().map_err(|source| Error::Socket {
            action: "open a socket pair",
            source,
        })?;
        let shared = Arc::new(Shared::open(role, &config, stopped)?);
        let device_index = shared.device.if_index().map_err(|source| Error::Device {
            device: config.device.clone(),
            action: "find",
            source,
        })?;

        let mut backend = Self {
            shared,
            device_index,
            guards,
            stop: Some(stop),
            threads: Vec::new(),
        };
        backend.spawn("tunnel-up", |shared| uplink::Uplink::new(shared).run())?;
        for receiver in receivers {
            let name = match receiver.family {
                Family::Ipv4 => "tunnel-down",
                Family::Ipv6 => "tunnel-down6",
            };
            backend.spawn(name, |shared| {
                downlink::Downlink::new(shared, receiver).run()
            })?;
        }
        tracing::info!(
            device = config.device,
            mtu = config.mtu,
            ?role,
            ipv4 = config.local.ipv4.is_some(),
            ipv6 = config.local.ipv6.is_some(),
            contested = !backend.guards.is_empty(),
            "the userspace backend carries packets"
        );
        Ok(backend)
    }

    /// Executes a change. It holds for the next packet in either direction.
    ///
    /// # Errors
    /// [`Error::MixedFamilies`], [`Error::FamilyNotCarried`]; nothing has changed then.
    pub fn apply(&self, change: &DataplaneChange) -> Result<(), Error> {
        match change {
            DataplaneChange::Install(tunnel) => {
                let family = tunnel.home_address.family();
                match self.shared.local.of(family) {
                    Some(_) => self.shared.table.install(tunnel),
                    None => Err(Error::FamilyNotCarried(family)),
                }
            }
            DataplaneChange::Remove(home_address) => {
                self.shared.table.remove(*home_address);
                Ok(())
            }
        }
    }

    /// What a tunnel has carried, or none when it is not installed.
    #[must_use]
    pub fn traffic(&self, home_address: HomeAddress) -> Option<Traffic> {
        self.shared.table.traffic(home_address)
    }

    /// Every counter by its name, drops as `drop_<reason>`, also those at zero.
    #[must_use]
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        self.shared.counters.all()
    }

    /// The interface index of the device.
    #[must_use]
    pub fn device_index(&self) -> u32 {
        self.device_index
    }

    /// The name of the device.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.shared.device_name
    }

    /// Whether all threads carry packets. They end by themselves only when somebody removes the
    /// device under them.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.shared.failed.load(Ordering::Relaxed)
            && self.threads.iter().all(|thread| !thread.is_finished())
    }

    /// Stops, and removes the device and whatever kept the kernel quiet. To be called in the network
    /// namespace of [`Backend::start`].
    ///
    /// # Errors
    /// The first thing that could not be removed; the others are removed all the same.
    pub fn shutdown(mut self) -> Result<(), Error> {
        self.halt();
        let device = device::delete(&self.shared.device_name, self.device_index);
        let guards = self.guards.drain(..).map(Guard::remove);
        // Each is removed, whatever becomes of the others.
        guards.fold(device, |before, removed| before.and(removed))
    }

    fn spawn(
        &mut self,
        name: &'static str,
        run: impl FnOnce(Arc<Shared>) -> std::io::Result<()> + Send + 'static,
    ) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let body = move || {
            if let Err(error) = run(Arc::clone(&shared)) {
                shared.failed.store(true, Ordering::Relaxed);
                tracing::error!(%error, device = shared.device_name, "the userspace backend can't carry packets any longer");
            }
        };
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(body);
        self.threads
            .push(thread.map_err(|source| Error::Thread { name, source })?);
        Ok(())
    }

    /// Ends the threads.
    fn halt(&mut self) {
        self.stop = None;
        for thread in self.threads.drain(..) {
            // A thread that has panicked has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.halt();
    }
}
