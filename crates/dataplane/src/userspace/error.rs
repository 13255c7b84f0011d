//! What can go wrong when the userspace backend starts, is driven, or stops.

use std::io;
use std::net::IpAddr;

/// Why the userspace backend refuses or fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A tunnel device of the kernel decapsulates protocol 4 already; two owners would each deliver
    /// every packet.
    #[error(
        "the kernel's tunnel device {device} is up and takes every IP-in-IP packet: \
         set it down (ip link set {device} down) or use the kernel backend"
    )]
    KernelTunnelUp {
        /// The device that is up.
        device: String,
    },
    /// A tunnel module is loaded, so the kernel answers every packet with an ICMP error, and the
    /// tool that could stop it doesn't run.
    #[error(
        "the ipip module is loaded and the kernel answers each IP-in-IP packet with an ICMP error; \
         keeping it quiet needs the program `nft` (package nftables), which can't be run"
    )]
    NftMissing(#[source] io::Error),
    /// `nft` refused the table that keeps the kernel quiet.
    #[error("nft refused the table ip cha_userspace: {reason}")]
    NftRefused {
        /// What `nft` wrote to standard error.
        reason: String,
    },
    /// The list of network devices can't be read.
    #[error("can't list the network devices")]
    Interfaces(#[source] io::Error),
    /// The MTU leaves no room for a packet every host must accept, or exceeds what IPv4 can carry.
    #[error("a tunnel MTU of {0} octets is outside 576..=65515")]
    Mtu(u16),
    /// The TUN device can't be created, attached or configured.
    #[error("can't {action} the TUN device {device}")]
    Device {
        /// The name of the device.
        device: String,
        /// What was attempted.
        action: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A socket can't be opened or configured.
    #[error("can't {action}")]
    Socket {
        /// What was attempted.
        action: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A thread can't be started.
    #[error("can't start the thread {name}")]
    Thread {
        /// Its name.
        name: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A tunnel with an address that is not IPv4.
    #[error("the userspace backend carries IPv4 only, and {0} is not")]
    NotIpv4(IpAddr),
}
