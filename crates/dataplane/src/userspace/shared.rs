//! What both threads use.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicBool;

use mobility_protocol::Family;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tun_rs::SyncDevice;

use super::counters::{Counter, Counters};
use super::ipv6::Identifications;
use super::socket::{self, Sender};
use super::table::{Entry, Table};
use super::{Error, Role, UserspaceConfig, device};
use crate::Addresses;

/// The least a path carries; a smaller claim is not believed. IPv4: what Linux holds to as well;
/// IPv6: RFC 8200, section 5.
pub(super) const fn least_path(family: Family) -> u16 {
    match family {
        Family::Ipv4 => 552,
        Family::Ipv6 => 1280,
    }
}

/// Descriptors, tunnels and counters.
pub(super) struct Shared {
    pub(super) role: Role,
    pub(super) local: Addresses,
    mtu: u16,
    pub(super) device_name: String,
    pub(super) device: SyncDevice,
    /// Whether the device takes UDP super-segments (Linux 6.2).
    pub(super) udp_offload: bool,
    pub(super) sender: Sender,
    pub(super) table: Table,
    pub(super) counters: Counters,
    /// A thread has ended by itself.
    pub(super) failed: AtomicBool,
    pub(super) identifications: Identifications,
    /// Readable once the backend stops.
    stopped: UnixStream,
}

impl Shared {
    pub(super) fn open(
        role: Role,
        config: &UserspaceConfig,
        stopped: UnixStream,
    ) -> Result<Self, Error> {
        let sender = Sender::open(config.local)?;
        let device = device::open(config)?;
        Ok(Self {
            role,
            local: config.local,
            mtu: config.mtu,
            device_name: config.device.clone(),
            udp_offload: device.udp_gso(),
            device,
            sender,
            table: Table::new(config.local),
            counters: Counters::new(),
            failed: AtomicBool::new(false),
            identifications: Identifications::default(),
            stopped,
        })
    }

    /// Waits until the descriptor has something to say. None once the backend stops.
    pub(super) fn wait(&self, descriptor: &impl AsFd) -> io::Result<Option<PollFlags>> {
        let mut watched = [
            PollFd::new(descriptor.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.stopped.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut watched, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let [descriptor, stopped] = watched;
        Ok(if stopped.any().unwrap_or(true) {
            None
        } else {
            descriptor.revents()
        })
    }

    /// The largest inner packet that a tunnel's path carries.
    pub(super) fn largest_inner(&self, entry: &Entry) -> u16 {
        entry
            .state
            .path_mtu()
            .unwrap_or_else(|| self.ask_path(entry))
            .saturating_sub(entry.ends.overhead())
    }

    /// The MTU of the device for packets of this family.
    pub(super) fn device_mtu(&self, family: Family) -> u16 {
        device::mtu(self.mtu, family)
    }

    /// Asks the kernel what the path of a tunnel carries. While it knows no way, the path is believed
    /// to carry what the device takes.
    pub(super) fn ask_path(&self, entry: &Entry) -> u16 {
        let family = entry.ends.family();
        let believed = self
            .device_mtu(family)
            .saturating_add(entry.ends.overhead());
        let mtu = socket::path_mtu(entry.way(), entry.ends.remote())
            .unwrap_or(believed)
            .max(least_path(family));
        if entry.state.learn_path(mtu, self.table.now()) {
            self.counters.count(Counter::PathMtuChanged);
            tracing::debug!(remote = %entry.ends.remote(), mtu, "the path of a tunnel has changed its MTU");
        }
        mtu
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("role", &self.role)
            .field("device", &self.device_name)
            .finish_non_exhaustive()
    }
}
