//! The Linux data path of both daemons: it executes what the protocol machines ask for
//! ([`mobility_protocol::DataplaneChange`]) and reports links, addresses, routes and sockets.
//!
//! Only this crate talks netlink. It never decides about a binding, never judges a
//! signalling message, and removes exactly what it added: every route and every rule carries
//! [`ROUTE_PROTOCOL`], every address [`ADDRESS_LABEL`].
//!
//! [`home_agent::HomeAgentDataplane`] and [`mobile_node::MobileNodeDataplane`] are what the daemons
//! hold. Below them are the backends that carry packets ([`kernel`], [`userspace`]) and the kernel's
//! tables ([`netlink`]). Beside them are the sockets by which both machines talk ([`signalling`]):
//! what is in the messages is none of their business.

pub mod error;
pub mod home_agent;
pub mod kernel;
pub mod mobile_node;
pub mod netlink;
pub mod nft;
pub mod signalling;
pub mod userspace;

mod backend;
mod named;
mod privileges;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use backend::{BackendChoice, Carrier, Chosen};
pub use error::{Error, Failure};
use mobility_protocol::Family;
pub use userspace::Traffic;

/// The mark of every packet and question of our own: signalling, tunnelled packets, route questions.
/// A rule sends it to the main table before any capture, so that where the home agent's address is
/// also a correspondent's, our packets don't loop into the tunnel.
pub const FWMARK: u32 = 0x4348_4100;

/// The `protocol` of every route and rule that is ours ('C'); what carries it is removed by us and
/// by nobody else.
pub const ROUTE_PROTOCOL: u8 = 67;

/// The label of every home address on the loopback device; what carries it is removed by us and by
/// nobody else. The kernel wants it to begin with the device's name.
pub const ADDRESS_LABEL: &str = "lo:mn0";

/// The name of the home agent's tunnel device.
pub const HOME_AGENT_DEVICE: &str = "cha0";

/// The name of the mobile node's tunnel device.
pub const MOBILE_NODE_DEVICE: &str = "mn0";

/// The protocols of tunnels, which must not be inside of ours: whatever they carry would escape every
/// check. IPv4 and IPv6 in IP, GRE, minimal encapsulation, IPIP, Ethernet in IP, encapsulation headers
/// (RFC 1241), L2TP, MPLS in IP.
pub(crate) const TUNNELS: [u8; 9] = [4, 41, 47, 55, 94, 97, 98, 115, 137];

/// The MTU of a tunnel device on a path of 1500 octets with IP-in-IP (RFC 2003).
pub const DEFAULT_TUNNEL_MTU: u16 = 1480;

/// The address of each family that tunnels end at on this host, for the families that are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Addresses {
    /// Of IPv4.
    pub ipv4: Option<Ipv4Addr>,
    /// Of IPv6.
    pub ipv6: Option<Ipv6Addr>,
}

impl Addresses {
    /// Any address of either family.
    pub const UNSPECIFIED: Self = Self {
        ipv4: Some(Ipv4Addr::UNSPECIFIED),
        ipv6: Some(Ipv6Addr::UNSPECIFIED),
    };

    /// The one of this family.
    #[must_use]
    pub fn of(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::Ipv4 => self.ipv4.map(IpAddr::V4),
            Family::Ipv6 => self.ipv6.map(IpAddr::V6),
        }
    }

    /// Those there are.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> {
        [Family::Ipv4, Family::Ipv6]
            .into_iter()
            .filter_map(|family| self.of(family))
    }
}

impl From<Ipv4Addr> for Addresses {
    fn from(address: Ipv4Addr) -> Self {
        Self {
            ipv4: Some(address),
            ipv6: None,
        }
    }
}

impl From<Ipv6Addr> for Addresses {
    fn from(address: Ipv6Addr) -> Self {
        Self {
            ipv4: None,
            ipv6: Some(address),
        }
    }
}
