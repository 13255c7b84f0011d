//! Who owns the protocol of the tunnels in this network namespace: protocol 4 of IPv4, 41 of IPv6.
//!
//! A kernel tunnel device that is up decapsulates each packet itself, beside our raw socket. A
//! tunnel module that is merely loaded finds no device for it and answers with an ICMP error, which
//! would tell the other end that the tunnel is dead. So: never beside the former, and quiet about
//! the latter.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use mobility_protocol::Family;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrLike;

use super::Error;
use crate::nft::{self, Purpose};

/// Whether the userspace backend may have a tunnel's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// Nobody else wants it.
    Free,
    /// A tunnel module is loaded; the kernel must be kept from answering each packet.
    Contested,
}

/// Asks who owns the protocol of this family's tunnels in the caller's network namespace.
///
/// # Errors
/// [`Error::KernelTunnelUp`] when a kernel tunnel device is up, [`Error::Interfaces`] when the
/// devices can't be listed.
pub fn probe(family: Family) -> Result<Ownership, Error> {
    let mut present = false;
    for (name, up) in tunnel_devices(family).map_err(Error::Interfaces)? {
        if up {
            return Err(Error::KernelTunnelUp {
                device: name,
                family,
            });
        }
        present = true;
    }
    Ok(if present || module_loaded(family) {
        Ownership::Contested
    } else {
        Ownership::Free
    })
}

/// The nftables table that keeps the kernel quiet.
#[derive(Debug)]
pub(super) struct Guard(Family);

impl Guard {
    /// Puts the table in place, instead of one that an earlier run may have left.
    pub(super) fn install(family: Family) -> Result<Self, Error> {
        let (word, rule) = match family {
            Family::Ipv4 => ("ip", RULE),
            Family::Ipv6 => ("ip6", RULE_6),
        };
        nft(&format!(
            "table {word} {TABLE}
            delete table {word} {TABLE}
            table {word} {TABLE} {{
                chain output {{
                    type filter hook output priority 0; policy accept;
                    {rule} counter drop
                }}
            }}
            "
        ))
        .map(|()| Self(family))
    }

    pub(super) fn remove(self) -> Result<(), Error> {
        let word = match self.0 {
            Family::Ipv4 => "ip",
            Family::Ipv6 => "ip6",
        };
        nft(&format!(
            "table {word} {TABLE}
delete table {word} {TABLE}
"
        ))
    }
}

const TABLE: &str = "cha_userspace";

/// Port and protocol unreachable are all that the kernel says of a protocol nobody handles; 136 bits
/// into the ICMP message stands the protocol of the packet it complains about.
const RULE: &str = "icmp type destination-unreachable icmp code { 2, 3 } @th,136,8 4";

/// Port unreachable (1, 4) with a tunnel module and unknown next header (4, 1) without one; 112 bits
/// into the ICMPv6 message stands the next header of the packet it complains about.
const RULE_6: &str = "@th,0,16 { 0x0104, 0x0401 } @th,112,8 41";

/// `ARPHRD_TUNNEL`: what ipip and vti devices are, the two that take protocol 4.
const ARPHRD_TUNNEL: u16 = 768;

/// `ARPHRD_TUNNEL6`: what ip6tnl and vti6 devices are.
const ARPHRD_TUNNEL6: u16 = 769;

/// The kernel's devices for this family's tunnels, and whether each is up.
fn tunnel_devices(family: Family) -> io::Result<BTreeMap<String, bool>> {
    let kind = match family {
        Family::Ipv4 => ARPHRD_TUNNEL,
        Family::Ipv6 => ARPHRD_TUNNEL6,
    };
    Ok(nix::ifaddrs::getifaddrs()?
        .filter(|interface| {
            interface
                .address
                .as_ref()
                .filter(|address| address.family().is_some())
                .and_then(|address| address.as_link_addr())
                .is_some_and(|link| link.hatype() == kind)
        })
        .map(|interface| {
            (
                interface.interface_name,
                interface.flags.contains(InterfaceFlags::IFF_UP),
            )
        })
        .collect())
}

fn module_loaded(family: Family) -> bool {
    let modules = match family {
        Family::Ipv4 => ["ipip", "tunnel4"],
        Family::Ipv6 => ["ip6_tunnel", "tunnel6"],
    };
    let in_sysfs = modules
        .iter()
        .any(|module| Path::new("/sys/module").join(module).exists());
    in_sysfs
        || std::fs::read_to_string("/proc/modules").is_ok_and(|loaded| {
            loaded
                .lines()
                .filter_map(|line| line.split(' ').next())
                .any(|name| modules.contains(&name))
        })
}

fn nft(rules: &str) -> Result<(), Error> {
    nft::run(TABLE, rules, Purpose::Apply).map_err(Error::Guard)
}

#[cfg(test)]
mod tests;
