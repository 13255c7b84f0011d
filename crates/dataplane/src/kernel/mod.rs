//! The kernel backend: IPv4 in IPv4 (RFC 2003) and IPv6 in IPv6 (RFC 2473) by the kernel's own tunnel
//! devices.
//!
//! Packets never visit this process. Devices, routes and the packet filter's table hold everything
//! that carrying needs, so they go on when the process dies, and the next start takes them over.

mod bindings;
mod channel;
mod cutter;
mod device;
mod elements;
mod filter;
mod home_agent;
mod keeper;
mod message;
mod mobile_node;
mod program;
mod queue;
mod routes;
mod ruleset;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use channel::Channel;
use device::{Ends, Form};
use filter::Filter;
pub(crate) use home_agent::remove_leftovers as remove_home_agent_leftovers;
pub use home_agent::{HomeAgentConfig, HomeAgentTunnels};
pub(crate) use keeper::Keeper;
pub use mobile_node::MobileNodeTunnels;
pub(crate) use mobile_node::remove_leftovers as remove_mobile_node_leftovers;
use mobility_protocol::Family;

use crate::Error;
use crate::netlink::families;

/// The name of a device that shows whether the kernel has tunnels, and goes at once.
const TRIAL_DEVICE: &str = "cha-trial";

/// Where the trial device would send to: an address that nobody has (RFC 7600; RFC 6666).
const fn nobody(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => IpAddr::V4(Ipv4Addr::new(192, 0, 0, 8)),
        Family::Ipv6 => IpAddr::V6(Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 1)),
    }
}

/// Whether the kernel can carry a home agent's tunnels, of all families that are configured, in the
/// calling thread's network namespace.
///
/// # Errors
/// What is missing: [`Error::PacketFilter`], [`Error::TunnelModule`].
pub(crate) fn probe_home_agent(config: &HomeAgentConfig) -> Result<(), Error> {
    // First what has no side effect: the trial device loads the module.
    config.rules().try_out().map_err(Error::PacketFilter)?;
    config.families().try_for_each(try_device)
}

/// Whether the kernel can carry a mobile node's tunnels in the calling thread's network namespace, in
/// each family that this system has.
///
/// # Errors
/// What is missing: [`Error::NoPacketFilter`], [`Error::TunnelModule`].
pub(crate) fn probe_mobile_node() -> Result<(), Error> {
    Filter::try_out()?;
    families().try_for_each(try_device)?;
    // At the first binding an application would wait for them.
    cutter::load_modules();
    Ok(())
}

fn try_device(family: Family) -> Result<(), Error> {
    let mut channel = Channel::open_route()?;
    let form = Form::Fixed(Ends::to_any(nobody(family)));
    let made = device::create(&mut channel, TRIAL_DEVICE, form, crate::DEFAULT_TUNNEL_MTU);
    match made {
        Err(error) if !error.is_present() => return Err(device::explain(error, family)),
        _ => {}
    }
    for device in device::list(&mut channel)? {
        if device.name == TRIAL_DEVICE {
            device::delete(&mut channel, device.index)?;
        }
    }
    Ok(())
}
