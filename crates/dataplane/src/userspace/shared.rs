//! What both threads use.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicBool;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tun_rs::SyncDevice;

use super::counters::{Counter, Counters};
use super::ipv4::HEADER;
use super::socket::{self, Sender};
use super::table::{Entry, Table};
use super::{Error, Role, UserspaceConfig, device};

/// The least an IPv4 path carries; a smaller claim is not believed (what Linux holds to as well).
pub(super) const LEAST_PATH: u16 = 552;

/// The outer header, which the inner packet has to make room for.
#[expect(clippy::cast_possible_truncation, reason = "20")]
const OVERHEAD: u16 = HEADER as u16;

/// Descriptors, tunnels and counters.
pub(super) struct Shared {
    pub(super) role: Role,
    pub(super) local: Ipv4Addr,
    pub(super) mtu: u16,
    pub(super) device_name: String,
    pub(super) device: SyncDevice,
    /// Whether the device takes UDP super-segments (Linux 6.2).
    pub(super) udp_offload: bool,
    pub(super) receiver: OwnedFd,
    pub(super) sender: Sender,
    pub(super) table: Table,
    pub(super) counters: Counters,
    /// A thread has ended by itself.
    pub(super) failed: AtomicBool,
    /// Readable once the backend stops.
    stopped: UnixStream,
}

impl Shared {
    pub(super) fn open(
        role: Role,
        config: &UserspaceConfig,
        stopped: UnixStream,
    ) -> Result<Self, Error> {
        // The sockets first: a device must not appear without them.
        let receiver = socket::receiver(config.local)?;
        let sender = Sender::open()?;
        let device = device::open(config)?;
        Ok(Self {
            role,
            local: config.local,
            mtu: config.mtu,
            device_name: config.device.clone(),
            udp_offload: device.udp_gso(),
            device,
            receiver,
            sender,
            table: Table::new(),
            counters: Counters::new(),
            failed: AtomicBool::new(false),
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
            - OVERHEAD
    }

    /// Asks the kernel what the path of a tunnel carries. While it knows no way, the path is believed
    /// to carry what the device takes.
    pub(super) fn ask_path(&self, entry: &Entry) -> u16 {
        let believed = self.mtu.saturating_add(OVERHEAD);
        let mtu = socket::path_mtu(entry.way(), entry.remote)
            .unwrap_or(believed)
            .max(LEAST_PATH);
        if entry.state.learn_path(mtu, self.table.now()) {
            self.counters.count(Counter::PathMtuChanged);
            tracing::debug!(remote = %entry.remote, mtu, "the path of a tunnel has changed its MTU");
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
