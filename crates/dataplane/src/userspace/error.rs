//! What can go wrong when the userspace backend starts, is driven, or stops.

use std::io;
use std::net::IpAddr;

use mobility_protocol::Family;

use crate::nft;

/// Why the userspace backend refuses or fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A tunnel device of the kernel decapsulates the tunnel's protocol already; two owners would each
    /// deliver every packet.
    #[error(
        "the kernel's tunnel device {device} is up and takes every {} packet: \
         set it down (ip link set {device} down) or use the kernel backend",
        tunnel_name(*.family)
    )]
    KernelTunnelUp {
        /// The device that is up.
        device: String,
        /// The family of the tunnels it takes.
        family: Family,
    },
    /// A tunnel module is loaded, so the kernel answers every packet with an ICMP error, and what
    /// would stop it is not in place.
    #[error(
        "a tunnel module is loaded and the kernel answers each tunnelled packet with an ICMP error; \
         keeping it quiet failed: {0}"
    )]
    Guard(nft::Error),
    /// The list of network devices can't be read.
    #[error("can't list the network devices")]
    Interfaces(#[source] io::Error),
    /// The MTU leaves no room for a packet every host must accept, or exceeds what a packet can carry.
    #[error("a tunnel MTU of {mtu} octets is outside {least}..=65515")]
    Mtu {
        /// The MTU.
        mtu: u16,
        /// The least of the families that are to be carried.
        least: u16,
    },
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
    /// The addresses of a tunnel are not of one family.
    #[error(
        "a tunnel between {local} and {remote} can't carry {home}: the userspace backend wraps IPv4 \
         in IPv4 and IPv6 in IPv6"
    )]
    MixedFamilies {
        /// The home address.
        home: IpAddr,
        /// Our outer address.
        local: IpAddr,
        /// The other end's.
        remote: IpAddr,
    },
    /// A tunnel of a family that this backend was not started for.
    #[error("the userspace backend was started without {0}")]
    FamilyNotCarried(Family),
}

const fn tunnel_name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "IP-in-IP",
        Family::Ipv6 => "IPv6-in-IPv6",
    }
}
